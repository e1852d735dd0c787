"""Pictures that stay small, and two windows that compare."""

import io

import numpy as np
import pytest
from PIL import Image

from geo_assets.io.pictures.legend import NODATA_COLOUR
from geo_assets.io.pictures.photos import alike_stretched, jpeg_bytes, palette_bytes, reduced

NODATA = -32768


def window(*levels: int) -> np.ndarray:
    """(3, 4, n) counts, a column of each level."""
    return np.broadcast_to(np.array(levels, np.int16), (3, 4, len(levels))).copy()


def tones(image: Image.Image) -> list[int]:
    return [int(value) for value in np.asarray(image)[0, :, 0]]


def test_the_same_count_has_the_same_colour_in_both_pictures():
    first, second = alike_stretched(window(1000, 2000, 3000), window(3000, 1000, 2000))
    dark, middle, bright = tones(first)
    assert dark < 20 < 100 < middle < 200 < 250 < bright
    assert tones(second) == [bright, dark, middle]


def test_what_the_first_does_not_reach_is_black_or_white():
    _, second = alike_stretched(window(1000, 2000), window(0, 9000))
    assert tones(second) == [0, 255]


def test_flat_ground_stays_flat():
    first, second = alike_stretched(window(2000, 2001), window(2000, 2100))
    assert abs(np.diff(tones(first))[0]) <= 2
    assert tones(second)[1] > 250


def test_nodata_is_grey_and_has_no_say_in_the_stretch():
    first, second = alike_stretched(window(NODATA, 1000, 2000), window(NODATA, NODATA, NODATA), enlarged=2)
    assert first.size == second.size == (6, 8)
    assert first.getpixel((0, 0)) == NODATA_COLOUR
    assert tones(first)[2] < 20 < 240 < tones(first)[4]
    assert set(np.asarray(second).reshape(-1, 3).tolist()[0]) == set(NODATA_COLOUR)
    assert alike_stretched(window(NODATA), window(7))[0].size == (1, 4)


def test_photographs_shrink_and_are_the_same_bytes_each_time():
    ground = np.random.default_rng(3).integers(0, 255, (64, 128, 3), np.uint8)
    picture = Image.fromarray(ground)
    assert reduced(picture, 32).size == (32, 16)
    assert reduced(picture, 500) is picture
    assert jpeg_bytes(picture) == jpeg_bytes(picture)
    assert Image.open(io.BytesIO(jpeg_bytes(picture, sharp=True))).format == "JPEG"


def test_noise_makes_a_photograph_too_though_it_hardly_shrinks():
    noise = np.random.default_rng(3).integers(0, 255, (300, 300, 3), np.uint8)
    content = jpeg_bytes(Image.fromarray(noise), quality=94, sharp=True)
    assert Image.open(io.BytesIO(content)).size == (300, 300)


@pytest.mark.parametrize("colours", [3, 200])
def test_maps_of_classes_keep_their_colours(colours):
    palette = np.random.default_rng(colours).integers(0, 255, (colours, 3), np.uint8)
    plane = palette[np.arange(60 * 60).reshape(60, 60) % colours]
    found = np.asarray(Image.open(io.BytesIO(palette_bytes(Image.fromarray(plane)))).convert("RGB"))
    assert np.abs(found.astype(int) - plane).max() <= (0 if colours == 3 else 16)
