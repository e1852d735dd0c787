"""The library door's masks: what goes in, what comes out, and each refusal."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

import geo_assets
from geo_assets.domain.bands import HYBRID_BANDS, S2CLOUDLESS_BANDS, SENTINEL2_BANDS
from geo_assets.domain.errors import DetectorError, GeoAssetsError, GridMismatchError
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.detection import Detection
from geo_assets.kernels.quality import DetectorBit
from geo_assets_tests.scenery.cloudy_scene import cloudy_band

SHAPE = (40, 50)
SUN = {"sun_zenith": 40.0, "sun_azimuth": 150.0}
NUMBER = {name: band.number for name, band in SENTINEL2_BANDS.items()}


def scene() -> dict[str, np.ndarray]:
    """Counts without offset; cloud in rows 10 to 20 and columns 10 to 22."""
    cloud, lake = (slice(10, 20), slice(10, 22)), (slice(30, None), slice(40, None))
    return {name: cloudy_band(name, SHAPE, cloud, lake) for name in SENTINEL2_BANDS}


@pytest.fixture(scope="module")
def bands():
    return scene()


@pytest.fixture(scope="module")
def probability(bands):
    return geo_assets.cloud_probability(bands)


def without(bands, *names):
    return {name: band for name, band in bands.items() if name not in names}


# cloud_probability


def test_names_and_numbers_in_any_case_and_order_give_the_same_probability(bands, probability):
    assert (probability.dtype, probability.shape) == (np.float32, SHAPE)
    assert probability[12, 12] > 0.45 > probability[30, 40]
    for call in (str.upper, str.lower):
        numbered = {call(NUMBER[name]): bands[name] for name in reversed(S2CLOUDLESS_BANDS)}
        assert_array_equal(geo_assets.cloud_probability(numbered), probability)


def test_an_offset_left_in_changes_the_result_and_the_offset_cures_it(bands, probability):
    shifted = {name: band + np.uint16(1000) for name, band in bands.items()}
    assert (geo_assets.cloud_probability(shifted) != probability).mean() > 0.9
    assert_array_equal(geo_assets.cloud_probability(shifted, offset=-1000), probability)
    assert_array_equal(geo_assets.cloud_probability(shifted, offset=-1000.0, quantification=1e4), probability)


def test_counts_that_speak_against_the_offset_are_told(bands, caplog):
    low = {name: band // 4 for name, band in bands.items()}  # the darkest far below 1000
    assert "offset -1000 is doubtful" in told(low, caplog, offset=-1000)
    assert not told(low, caplog, offset=0)
    left_in = {name: band + np.uint16(1000) for name, band in low.items()}
    assert "offset +0 is doubtful" in told(left_in, caplog, offset=0)
    assert not told(left_in, caplog, offset=-1000)
    assert not told(left_in, caplog, offset=0, quantification=255)


def told(bands, caplog, **scaling):
    caplog.clear()
    geo_assets.cloud_probability(bands, **scaling)
    said = caplog.text
    caplog.clear()
    geo_assets.cloud_mask(bands, angles=SUN, resolution_m=20, detectors="s2cloudless", **scaling)
    assert caplog.text == said
    return said


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint32])
def test_counts_of_other_integer_types_are_the_same_counts(bands, probability, dtype):
    assert_array_equal(geo_assets.cloud_probability({n: b.astype(dtype) for n, b in bands.items()}), probability)


def test_reflectance_gives_what_its_counts_give(bands, probability):
    floats = {name: band.astype(np.float32) / np.float32(10_000) for name, band in bands.items()}
    assert_array_equal(geo_assets.cloud_probability(floats, quantification=None), probability)


def test_counts_are_valid_unless_all_bands_are_zero_and_reflectance_where_no_band_is_nan(bands):
    dark = {name: band.copy() for name, band in bands.items()}
    dark["cirrus"][0, 0] = 0
    for band in dark.values():
        band[0, 1] = 0
    found = geo_assets.cloud_probability(dark)
    assert not np.isnan(found[0, 0])
    assert_array_equal(np.argwhere(np.isnan(found)), [[0, 1]])
    floats = {name: band.astype(np.float32) / np.float32(10_000) for name, band in bands.items()}
    floats["nir09"][3, 4] = np.nan
    assert_array_equal(np.argwhere(np.isnan(geo_assets.cloud_probability(floats, quantification=None))), [[3, 4]])


def test_a_given_validity_is_what_is_judged(bands, probability):
    valid = np.zeros(SHAPE, bool)
    valid[5:15, 5:15] = True
    assert_array_equal(geo_assets.cloud_probability(bands, valid=valid), np.where(valid, probability, np.nan))


NOT_BANDS = {
    "no mapping": (lambda b: list(b.values()), {}, "mapping of band names"),
    "an unknown name": (lambda b: {**b, "B99": b["blue"]}, {}, "called 'B99'"),
    "a number for a name": (lambda b: {**b, 3: b["blue"]}, {}, "called 3"),
    "a band twice": (lambda b: {**b, "B02": b["blue"]}, {}, "both 'blue' and 'B02'"),
    "nothing": (lambda b: {}, {}, "found no band"),
    "no cirrus, as of L2A": (lambda b: without(b, "cirrus"), {}, r"lacks cirrus \(B10\).*Only L1C"),
    "several missing": (lambda b: without(b, "coastal", "nir08"), {}, r"lacks coastal \(B01\), nir08 \(B8A\) for s2c"),
    "zeros for cirrus": (lambda b: {**b, "cirrus": b["cirrus"] * 0}, {}, r"found cirrus \(B10\) 0 in all"),
    "unequal shapes": (lambda b: {**b, "coastal": b["coastal"][::6, ::6]}, {}, r"unequal shapes.*coastal \(7, 9\)"),
    "a stack": (lambda b: {**b, "blue": np.stack([b["blue"]] * 2)}, {}, r"shape \(2, 40, 50\)"),
    "a ragged list": (lambda b: {**b, "blue": [[1, 2], [3]]}, {}, "blue: found list that is no array"),
    "a masked array": (lambda b: {**b, "blue": np.ma.masked_less(b["blue"], 5)}, {}, "masked array"),
    "truth values": (lambda b: {**b, "blue": b["blue"] > 5}, {}, "found bool in blue"),
    "negative counts": (lambda b: {**b, "red": b["red"].astype(np.int16) - 9999}, {}, "in red, expected counts"),
    "counts above 16 bits": (lambda b: {**b, "red": b["red"].astype(np.int32) + 65_536}, {}, "in red, expected counts"),
    "float counts": (
        lambda b: {n: a.astype(float) for n, a in b.items()},
        {},
        "found float64 in .*quantification=None",
    ),
    "counts called reflectance": (lambda b: b, {"quantification": None}, "found uint16 in .* expected float"),
    "undivided counts": (
        lambda b: {n: a.astype(np.float32) for n, a in b.items()},
        {"quantification": None},
        "values above 20 .* given as reflectance",
    ),
    "an offset for reflectance": (
        lambda b: {n: a / 1e4 for n, a in b.items()},
        {"quantification": None, "offset": -1000},
        "offset -1000 for reflectance",
    ),
    "an offset in reflectance": (lambda b: b, {"offset": -0.1}, "found offset -0.1"),
    "no quantification": (lambda b: b, {"quantification": 0}, "found quantification 0"),
    "half a count for quantification": (lambda b: b, {"quantification": 9999.5}, "found quantification 9999.5"),
    "a quantification beyond all": (lambda b: b, {"quantification": 10**400}, "found quantification 1000"),
    "an offset beyond all": (lambda b: b, {"offset": -(10**9)}, "found offset -1000000000"),
    "an offset that is no number": (lambda b: b, {"offset": math.nan}, "found offset nan"),
    "validity of another shape": (lambda b: b, {"valid": np.ones((3, 3), bool)}, r"found valid of bool \(3, 3\)"),
    "validity in numbers": (lambda b: b, {"valid": np.ones(SHAPE, np.uint8)}, "found valid of uint8"),
}


@pytest.mark.parametrize("wrong", NOT_BANDS)
def test_bands_that_cannot_be_meant_are_refused_by_both_doors(bands, wrong):
    change, settings, words = NOT_BANDS[wrong]
    with pytest.raises((DetectorError, GridMismatchError), match=words):
        geo_assets.cloud_probability(change(bands), **settings)
    with pytest.raises((DetectorError, GridMismatchError), match=words):
        geo_assets.cloud_mask(change(bands), angles=SUN, resolution_m=20, **{"detectors": ("s2cloudless",), **settings})


# cloud_mask


def test_a_mask_holds_codes_detectors_probability_and_what_was_skipped(bands, probability):
    found = geo_assets.cloud_mask(bands, angles=SUN, resolution_m=20)
    assert isinstance(found, geo_assets.CloudMask)
    assert (found.codes.dtype, found.codes.shape) == (np.uint8, SHAPE)
    assert found.codes[14, 14] == 1
    assert found.detectors[14, 14] == DetectorBit.S2CLOUDLESS | DetectorBit.EMBEDDED_FMASK
    assert_array_equal(found.probability, probability)
    assert any(key.startswith("fmask.") for key in found.figures)
    assert all(step.startswith(("fmask: ", "s2cloudless: ")) for step in found.skipped)
    shares = found.share()
    assert list(shares) == ["clear", "cloud", "shadow", "snow", "water"]
    assert sum(shares.values()) == pytest.approx(1)


def test_without_angles_there_is_no_matched_shadow_and_it_is_told(bands):
    found = geo_assets.cloud_mask(bands, angles=None, resolution_m=20)
    assert not (found.codes == 2).any()
    assert any("angles" in step for step in found.skipped)


def test_fmask_alone_is_content_with_six_bands_and_tells_what_it_skips(bands):
    six = {name: bands[name] for name in ("blue", "green", "red", "nir", "swir16", "swir22")}
    found = geo_assets.cloud_mask(six, angles=SUN, resolution_m=20, detectors=("fmask",))
    assert set(np.unique(found.detectors)) <= {0, DetectorBit.EMBEDDED_FMASK}
    assert any("cirrus" in step.lower() for step in found.skipped)
    with pytest.raises(DetectorError, match=r"lacks coastal.*for s2cloudless.*choose detectors fmask"):
        geo_assets.cloud_mask(six, angles=SUN, resolution_m=20)


def test_counts_are_fill_where_blue_green_or_red_is_zero(bands):
    dark = {name: band.copy() for name, band in bands.items()}
    dark["green"][2, 3] = 0
    dark["nir09"][4, 5] = 0
    found = geo_assets.cloud_mask(dark, angles=SUN, resolution_m=20)
    assert_array_equal(np.argwhere(found.codes == 255), [[2, 3]])
    assert found.detectors[2, 3] == 255
    assert math.isnan(found.probability[2, 3])


def test_angles_may_be_a_mapping_arrays_or_angles(bands):
    whole = {key: np.full(SHAPE, value) for key, value in SUN.items()}
    elevation = {"view:sun_elevation": 50.0, "view:sun_azimuth": 150.0}
    first, *others = (
        geo_assets.cloud_mask(bands, angles=angles, resolution_m=20).codes
        for angles in (SUN, whole, elevation, Angles.constant(40.0, 150.0, view_assumed=True))
    )
    for other in others:
        assert_array_equal(other, first)


class Painter:
    """A detector that says what it was told to."""

    name, bands, optional_bands, levels = "painter", ("blue",), (), ("L1C",)
    bit, needs_angles, resolution_m, halo_m = DetectorBit.PLUG_IN, False, (1.0, 1000.0), 0.0

    def __init__(self, codes):
        self.codes = codes

    def detect(self, scene):
        return Detection(np.where(scene.valid, self.codes, np.uint8(255)))


def painted(codes, **settings):
    blue = np.full(codes.shape, 500, np.uint16)
    blue[codes == 255] = 0
    settings = {"angles": None, "resolution_m": 10, "detectors": [Painter(codes)], **settings}
    return geo_assets.cloud_mask({"blue": blue}, **settings)


def test_buffers_grow_cloud_and_shadow_over_neither_fill_nor_cloud():
    codes = np.zeros((9, 9), np.uint8)
    codes[4, 2], codes[4, 5], codes[:, 8] = 1, 2, 255
    assert_array_equal(painted(codes).codes, codes)
    found = painted(codes, cloud_buffer_m=20, shadow_buffer_m=40)
    row, col = np.indices(codes.shape)
    expected = np.where(np.hypot(row - 4, col - 5) <= 4, 2, 0)
    expected[np.hypot(row - 4, col - 2) <= 2] = 1
    expected[:, 8] = 255
    assert_array_equal(found.codes, expected)
    assert_array_equal(found.detectors, np.where(codes == 255, 255, np.isin(codes, [1, 2]) * 16))


def test_the_classes_are_drawn_with_their_legend(tmp_path):
    codes = np.arange(25, dtype=np.uint8).reshape(5, 5) % 5
    path = painted(codes).to_png(tmp_path / "deep" / "mask.png")
    with Image.open(path) as picture:
        assert picture.width >= 300


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"resolution_m": 4.9}, "found pixels of 4.9 m"),
        ({"resolution_m": 1001}, "found pixels of 1001 m"),
        ({"resolution_m": 0.0001}, "pixels in degrees"),
        ({"resolution_m": "60"}, "found pixels of '60' m"),
        ({"angles": {"sun_zenith": 95.0, "sun_azimuth": 10.0}}, "95"),
        ({"angles": {"sun_zenith": 40.0, "sun_azimuth": 400.0}}, "400"),
        ({"angles": {"sun_zenith": 40.0}}, "no sun azimuth"),
        ({"angles": {"zenith": 40.0}}, "zenith"),
        ({"angles": {"sun_zenith": np.full((3, 3), 40.0), "sun_azimuth": 10.0}}, r"angles of \(3, 3\)"),
        ({"angles": [40.0, 10.0]}, "found list, expected a mapping of names to degrees"),
        ({"angles": {"sun_zenith": np.ma.masked_all(SHAPE), "sun_azimuth": 10.0}}, "sun_zenith: found nan"),
        ({"detectors": ()}, "found none"),
        ({"detectors": None}, "found none"),
        ({"detectors": ("fmask", "fmask")}, "fmask twice"),
        ({"detectors": ("quality",)}, "needs a region file"),
        ({"detectors": ("nobody",)}, "nobody"),
        ({"cloud_buffer_m": -1}, "cloud_buffer_m: found -1"),
        ({"shadow_buffer_m": math.nan}, "shadow_buffer_m: found nan"),
        ({"cloud_buffer_m": True}, "cloud_buffer_m: found True"),
    ],
)
def test_settings_that_cannot_be_are_refused(bands, settings, words):
    with pytest.raises(GeoAssetsError, match=words):
        geo_assets.cloud_mask(bands, **{"angles": SUN, "resolution_m": 20, **settings})


def test_numpys_numbers_are_numbers(bands):
    usual = {"angles": SUN, "detectors": "s2cloudless"}
    found = geo_assets.cloud_mask(bands, resolution_m=np.int64(20), cloud_buffer_m=np.float32(40), **usual)
    assert_array_equal(found.codes, geo_assets.cloud_mask(bands, resolution_m=20, cloud_buffer_m=40, **usual).codes)


def test_a_detectors_name_is_taken_without_a_list(bands):
    found = geo_assets.cloud_mask(bands, angles=SUN, resolution_m=20, detectors="s2cloudless")
    assert set(np.unique(found.detectors)) <= {0, DetectorBit.S2CLOUDLESS}


def test_the_hybrid_needs_all_bands_but_b06(bands):
    with pytest.raises(DetectorError, match=r"expected coastal \(B01\).*swir22 \(B12\)\. Give"):
        geo_assets.cloud_mask({"rededge2": bands["rededge2"]}, angles=SUN, resolution_m=20)
    assert "rededge2" not in HYBRID_BANDS


def test_an_index_is_masked_through_the_same_door(bands):
    found = geo_assets.cloud_mask(bands, angles=SUN, resolution_m=20)
    nir, red = (bands[name].astype(np.int16) for name in ("nir", "red"))
    index = geo_assets.apply_mask(geo_assets.ndvi(nir=nir, red=red), found.codes)
    assert_array_equal(np.isnan(index), np.isin(found.codes, [1, 2, 255]))
