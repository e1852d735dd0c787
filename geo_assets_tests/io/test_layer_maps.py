import numpy as np
import pytest
from PIL import Image

from geo_assets.domain.errors import DetectorError, GridMismatchError, ProductError
from geo_assets.io.pictures import layer_maps
from geo_assets.io.pictures.layer_maps import (
    MASK_CLASSES,
    UNCERTAINTY_TOP,
    class_map,
    count_map,
    day_map,
    mask_overlay,
    uncertainty_map,
    weight_map,
)
from geo_assets.io.pictures.legend import GREEN, NODATA_COLOUR, ORANGE, colour_scale, scale_colour
from geo_assets.io.pictures.preview import png_bytes


def layer(*values):
    return np.array([values], dtype=np.uint8)


def colours(picture):
    return [picture.getpixel((col, 0)) for col in range(picture.width)]


MAPS = {
    "mask": lambda codes, **settings: mask_overlay(
        Image.new("RGB", (codes.shape[-1], codes.shape[0])), codes, **settings
    ),
    "count": count_map,
    "weight": lambda codes, **settings: weight_map(np.where(codes == 255, np.nan, codes / 4), **settings),
    "class": lambda codes, **settings: class_map(codes, {0: "clear", 1: "marginal"}, **settings),
    "day": day_map,
}
every_map = pytest.mark.parametrize("draw", MAPS.values(), ids=MAPS.keys())


def test_the_overlay_tints_what_the_mask_names_and_leaves_clear_ground_alone():
    base = Image.new("RGB", (6, 1), (100, 110, 120))
    picture = mask_overlay(base, layer(0, 1, 2, 3, 4, 255), legend=False)
    tinted = [
        tuple(round(0.3 * ground + 0.7 * tint) for ground, tint in zip((100, 110, 120), colour, strict=True))
        for _, colour in MASK_CLASSES.values()
    ]
    assert colours(picture) == [(100, 110, 120), *tinted, NODATA_COLOUR]


def test_the_overlay_samples_codes_that_are_finer_than_the_picture():
    codes = np.zeros((30, 60), dtype=np.uint8)
    codes[:, 30:] = 1
    picture = mask_overlay(Image.new("RGB", (4, 2)), codes, legend=False)
    assert [colour == (0, 0, 0) for colour in colours(picture)] == [True, True, False, False]


def test_the_overlay_takes_every_pair_of_sizes_that_pictures_can_have():
    for height, width in ((1025, 1024), (5490, 5489), (1100, 37), (3, 2100)):
        step = -(-max(height, width) // 1024)
        base = Image.new("RGB", (-(-width // step), -(-height // step)))
        assert mask_overlay(base, np.zeros((height, width), dtype=np.uint8), legend=False).size == base.size


def test_the_overlay_can_stand_beside_what_lies_under_it():
    base = Image.new("RGB", (60, 1), (100, 110, 120))
    picture = mask_overlay(base, np.ones((1, 60), dtype=np.uint8), legend=False, beside=True)
    assert picture.size == (121, 1)
    assert colours(picture)[:61] == [(100, 110, 120)] * 60 + [(255, 255, 255)]
    assert (100, 110, 120) not in colours(picture)[61:]


def test_the_legend_of_a_mask_names_every_class_that_is_there_clear_ground_too(monkeypatch):
    told = []
    monkeypatch.setattr(layer_maps, "with_legend", lambda picture, legend, *, title: told.append(legend))
    codes = np.zeros((20, 20), dtype=np.uint8)
    mask_overlay(Image.new("RGB", (20, 20)), codes)
    codes[0, 0], codes[0, 1], codes[1] = 1, 255, 2
    mask_overlay(Image.new("RGB", (20, 20)), codes)
    codes[:], codes[0, 0] = 1, 2
    mask_overlay(Image.new("RGB", (20, 20)), codes)
    assert [[swatch.label for swatch in legend.swatches] for legend in told] == [
        ["clear 100%"], ["clear 95%", "cloud <1%", "shadow 5%", "no data"], ["cloud >99%", "shadow <1%"],
    ]  # fmt: skip


def test_the_overlay_refuses_codes_outside_the_contract():
    with pytest.raises(DetectorError, match=r"\[7, 254\]"):
        mask_overlay(Image.new("RGB", (3, 1)), layer(0, 7, 254))


def test_the_overlay_refuses_codes_of_other_ground():
    with pytest.raises(GridMismatchError, match="same proportions"):
        mask_overlay(Image.new("RGB", (30, 10)), np.zeros((30, 10), dtype=np.uint8))


def test_counts_run_along_the_scale_and_none_is_grey():
    picture = count_map(layer(0, 1, 2, 4, 255), legend=False)
    assert colours(picture) == [
        NODATA_COLOUR, scale_colour(1 / 4), scale_colour(2 / 4), scale_colour(1), NODATA_COLOUR,
    ]  # fmt: skip


def test_counts_compare_between_pictures_that_share_a_top():
    few, many = count_map(layer(1, 2), top=9, legend=False), count_map(layer(2, 12), top=9, legend=False)
    assert colours(few)[1] == colours(many)[0]
    assert colours(many)[1] == scale_colour(1)


def test_weights_run_along_the_whole_scale():
    picture = weight_map(np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]]), legend=False)
    low, high = scale_colour(0), scale_colour(1)
    assert colours(picture) == [low, low, scale_colour(0.5), high, high, NODATA_COLOUR]


def test_classes_have_their_own_colours_and_strangers_share_a_dark_one():
    picture = class_map(layer(0, 1, 9, 8, 255), {0: "clear", 1: "marginal"}, legend=False)
    assert colours(picture) == [GREEN, ORANGE, scale_colour(0), scale_colour(0), NODATA_COLOUR]


def test_classes_take_the_colours_they_are_given():
    picture = class_map(layer(0, 1), {0: "clear", 1: "marginal"}, colours={1: (1, 2, 3)}, legend=False)
    assert colours(picture) == [GREEN, (1, 2, 3)]


def test_twenty_classes_have_twenty_colours():
    codes = np.arange(20, dtype=np.uint8)[np.newaxis]
    picture = class_map(codes, {code: f"scene {code}" for code in range(20)}, legend=False)
    assert len(set(colours(picture))) == 20


def test_days_have_the_same_colour_in_every_month():
    picture = day_map(layer(1, 16, 31, 0, 255), legend=False)
    assert colours(picture) == [
        scale_colour(0), scale_colour(0.5), scale_colour(1), NODATA_COLOUR, NODATA_COLOUR,
    ]  # fmt: skip


def test_a_day_beyond_31_is_refused():
    with pytest.raises(ProductError, match="day 32"):
        day_map(layer(1, 32))


@every_map
@pytest.mark.parametrize("value", [0, 1, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 1500), (1500, 1), (40, 30)])
def test_every_map_of_any_size_gets_a_title_and_a_legend(draw, value, shape):
    codes = np.full(shape, value, dtype=np.uint8)
    bare, framed = draw(codes, legend=False), draw(codes, title="A title much too long for the picture" * 3)
    assert framed.mode == bare.mode == "RGB"
    assert framed.width >= max(300, bare.width)
    assert framed.height > bare.height


@every_map
def test_every_map_gives_the_same_bytes_twice(draw):
    codes = (np.arange(3000, dtype=np.uint8) % 5).reshape(50, 60)
    assert png_bytes(draw(codes)) == png_bytes(draw(codes.copy()))


@every_map
def test_a_legend_leaves_the_pixels_as_they_are(draw):
    codes = (np.arange(400 * 320) % 5).reshape(400, 320).astype(np.uint8)
    bare, framed = draw(codes, legend=False), draw(codes, title="")
    assert framed.crop((0, 0, 320, 400)).tobytes() == bare.tobytes()


@every_map
def test_what_is_no_plane_of_pixels_is_refused(draw):
    with pytest.raises(GridMismatchError, match="at least one pixel"):
        draw(np.zeros(5, dtype=np.uint8))


def test_the_scale_climbs_evenly_in_lightness():
    srgb = colour_scale().astype(np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16
    even = np.linspace(lightness[0], lightness[-1], 256)
    assert lightness[-1] - lightness[0] > 70
    assert np.abs(lightness - even).max() < 3
    assert np.diff(lightness)[::2].min() > -0.2


def test_uncertainty_is_the_root_mean_square_of_the_bands_under_a_fixed_scale():
    # The scale's end in both bands, in one of them, nothing, nodata.
    top = round(UNCERTAINTY_TOP * 10_000)
    counts = np.array([[[top, top, 0, -32768]], [[top, 0, 0, -32768]]], np.int16)
    weights = np.array([[1.0, np.sqrt(0.5), 0.0, np.nan]])
    assert colours(uncertainty_map(counts, legend=False)) == colours(weight_map(weights, legend=False))
    assert uncertainty_map(counts).height > 1
