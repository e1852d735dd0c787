import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image

from geo_assets.domain.arrays import NODATA_REFLECTANCE
from geo_assets.domain.errors import GridMismatchError, ProductError
from geo_assets.io.pictures.legend import NODATA_COLOUR
from geo_assets.io.pictures.preview import (
    band_picture,
    crop_to_valid,
    png_bytes,
    sampled,
    thumbnail_data_uri,
    thumbnail_png,
    true_colour,
)


def plane(*rows):
    return np.array(rows, dtype=np.int16)


def noise(seed, height=200, width=300):
    colours = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(colours)


def decoded(uri):
    head, body = uri.split(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(body, validate=True)))


def test_true_colour_is_black_at_zero_and_white_from_0_3_on():
    ramp = plane([-500, 0, 1500, 3000, 32767])
    picture = np.asarray(true_colour(ramp, ramp, ramp))
    middle = round(255 * 0.5 ** (1 / 1.4))
    assert_array_equal(picture[0, :, 0], [0, 0, middle, 255, 255])


def test_true_colour_keeps_the_order_of_its_bands():
    high, low = plane([3000]), plane([0])
    assert true_colour(high, low, low).getpixel((0, 0)) == (255, 0, 0)
    assert true_colour(low, high, low).getpixel((0, 0)) == (0, 255, 0)
    assert true_colour(low, low, high).getpixel((0, 0)) == (0, 0, 255)


def test_nodata_of_one_band_is_grey_in_true_colour():
    full, holed = plane([3000, 3000]), plane([3000, NODATA_REFLECTANCE])
    picture = true_colour(full, holed, full)
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert picture.getpixel((1, 0)) == NODATA_COLOUR


def test_one_band_is_grey_and_white_from_0_5_on():
    picture = np.asarray(band_picture(plane([0, 2500, 5000, 9000])))
    assert_array_equal(picture[0], [[0] * 3, [128] * 3, [255] * 3, [255] * 3])


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (700, 3), (1024, 1024), (1025, 1025), (3000, 2000)])
def test_a_picture_is_no_longer_than_asked_and_keeps_its_proportions(shape):
    picture = band_picture(np.zeros(shape, dtype=np.int16))
    step = -(-max(shape) // 1024)
    assert picture.size == (-(-shape[1] // step), -(-shape[0] // step))
    assert max(picture.size) <= 1024


def slow_mean_of_valid(values, step):
    """Cell by cell, in exact arithmetic; None where no pixel is valid."""
    means = []
    for top in range(0, values.shape[0], step):
        for left in range(0, values.shape[1], step):
            cell = values[top : top + step, left : left + step]
            valid = [int(value) for value in cell.ravel() if value != NODATA_REFLECTANCE]
            mean = (2 * sum(valid) + len(valid)) // (2 * len(valid)) if valid else None
            means.append(mean)
    return means


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_shrinking_averages_the_valid_pixels_of_each_cell(seed, height, width, max_px):
    draw = np.random.default_rng(seed)
    values = draw.integers(-2000, 5001, (height, width)).astype(np.int16)
    values[draw.random((height, width)) < 0.5] = NODATA_REFLECTANCE
    picture = np.asarray(band_picture(values, max_px=max_px)).reshape(-1, 3)
    step = -(-max(height, width) // max_px)
    for colour, mean in zip(picture.tolist(), slow_mean_of_valid(values, step), strict=True):
        if mean is None:
            assert tuple(colour) == NODATA_COLOUR
        else:
            assert colour == [round(255 * min(1.0, max(0.0, mean / 5000)))] * 3


def test_the_strips_that_bound_the_memory_leave_no_trace():
    values = np.arange(3000, dtype=np.int16)[:, np.newaxis] % 5000
    picture = np.asarray(band_picture(values, max_px=300))
    expected = np.rint(255 * np.floor(values.reshape(300, 10).mean(axis=1) + 0.5) / 5000)
    assert_array_equal(picture[:, 0, 0], expected)


def test_pictures_of_nodata_alone_are_grey():
    empty = np.full((5, 7), NODATA_REFLECTANCE, dtype=np.int16)
    for picture in (true_colour(empty, empty, empty), band_picture(empty, max_px=2)):
        assert picture.getcolors() == [(picture.width * picture.height, NODATA_COLOUR)]


def test_bands_of_different_shapes_are_refused():
    with pytest.raises(GridMismatchError, match="one shape"):
        true_colour(plane([1, 2]), plane([1, 2]), plane([1]))


@pytest.mark.parametrize("shape", [(0, 5), (4,), (2, 3, 4)])
def test_what_is_no_plane_of_pixels_is_refused(shape):
    with pytest.raises(GridMismatchError, match="at least one pixel"):
        band_picture(np.zeros(shape, dtype=np.int16))


def test_counts_that_are_not_int16_are_refused():
    with pytest.raises(ProductError, match="uint16"):
        band_picture(np.zeros((2, 2), dtype=np.uint16))


def test_the_same_array_gives_the_same_bytes():
    values = np.random.default_rng(5).integers(0, 4000, (300, 400)).astype(np.int16)
    assert png_bytes(true_colour(values, values, values)) == png_bytes(true_colour(values, values, values))
    assert thumbnail_data_uri(noise(1)) == thumbnail_data_uri(noise(1))


def test_a_png_carries_nothing_but_pixels():
    file = png_bytes(noise(0))
    picture = Image.open(io.BytesIO(file))
    picture.load()
    assert_array_equal(np.asarray(picture), np.asarray(noise(0)))
    assert not picture.info
    assert all(chunk not in file[:64] + file[-64:] for chunk in (b"tIME", b"tEXt", b"iTXt"))


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=25, deadline=None)
def test_a_thumbnail_of_noise_fits_into_markdown(seed, height, width):
    picture = noise(seed, height, width)
    uri = thumbnail_data_uri(picture)
    assert len(uri) < 950
    assert uri.split(",")[1] == base64.b64encode(thumbnail_png(picture)).decode()
    small = decoded(uri)
    assert small.width <= width
    assert small.height <= height


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_a_thumbnail_is_made_of_any_kind_of_image(mode):
    assert len(thumbnail_data_uri(noise(2).convert(mode))) < 950


def test_a_smooth_image_keeps_96_px_and_its_shape():
    picture = Image.linear_gradient("L").resize((400, 300))
    assert decoded(thumbnail_data_uri(picture)).size == (96, 72)


def test_a_thumbnail_shows_the_colours_of_its_image():
    picture = Image.new("RGB", (200, 200), (200, 30, 40))
    picture.paste((20, 60, 220), (100, 0, 200, 200))
    small = decoded(thumbnail_data_uri(picture)).convert("RGB")
    assert small.getpixel((10, 50)) == (200, 30, 40)
    assert small.getpixel((85, 50)) == (20, 60, 220)


@pytest.mark.parametrize(
    ("dtype", "nodata", "value"),
    [(np.int16, -32768, -5), (np.uint8, 255, 0), (np.float32, np.nan, 0.0), (np.bool_, False, True)],
)
def test_the_crop_surrounds_the_data_with_a_margin(dtype, nodata, value):
    array = np.full((50, 40), nodata, dtype=dtype)
    array[10:12, 30] = value
    assert crop_to_valid(array, margin_px=3) == (slice(7, 15), slice(27, 34))


def test_the_crop_holds_the_data_of_every_array_and_stays_inside():
    first, second = np.zeros((2, 20, 20), dtype=bool), np.zeros((20, 20), dtype=bool)
    first[1, 1, 19] = second[5, 10] = True
    assert crop_to_valid(first, second, margin_px=2) == (slice(0, 8), slice(8, 20))


def test_the_crop_of_nothing_is_everything():
    assert crop_to_valid(np.zeros((4, 6), dtype=bool)) == (slice(0, 4), slice(0, 6))


def test_the_crop_refuses_arrays_of_different_shapes():
    with pytest.raises(GridMismatchError, match="same window"):
        crop_to_valid(np.zeros((4, 6), dtype=bool), np.zeros((4, 5), dtype=bool))
    with pytest.raises(GridMismatchError, match="at least one"):
        crop_to_valid()


def test_a_sample_takes_the_middle_of_each_cell_on_the_grid_of_the_averages():
    layer = np.arange(70, dtype=np.uint8).reshape(7, 10)
    assert_array_equal(sampled(layer, 4), layer[np.ix_([1, 4, 6], [1, 4, 7, 9])])
    assert band_picture(layer.astype(np.int16), max_px=4).size == (4, 3)
