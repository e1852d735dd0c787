import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.spectra import Look, Saturation, Scaling, saturation_of, spectra
from geo_assets_tests.kernels.fmask import cloud_references
from geo_assets_tests.kernels.fmask.made_up_scenes import BANDS, counts, scenes

COUNTS = Scaling(np.float32(0), np.float32(10_000))
NEVER = Saturation(np.inf, np.inf, np.inf)
CHOSEN = FmaskSettings()


def look_at(bands, valid, scaling=COUNTS, saturation=NEVER):
    return spectra(bands, valid, scaling, saturation, CHOSEN)


def one_pixel(name):
    return counts(np.array([[name]]), np.random.default_rng(0), noise=0)


@settings(max_examples=60)
@given(scenes(), st.sampled_from([0, -1000]), st.sampled_from([np.inf, 5000.0, 2000.0]))
def test_the_look_equals_the_slow_reference(scene, offset, limit):
    bands, valid = scene
    found = look_at(bands, valid, Scaling(np.float32(offset), np.float32(10_000)), Saturation(limit, limit, limit))
    expected = cloud_references.spectra(bands, valid, offset=offset, saturated=(limit, limit, limit))
    for flag in Look:
        assert_array_equal(found.has(flag), expected[flag.name.lower()], err_msg=flag.name)
    assert_allclose(found.hot, expected["hot"], rtol=1e-6, atol=1e-7)
    assert_allclose(found.plainness, expected["plainness"], rtol=1e-6, atol=1e-6)


@given(scenes())
def test_counts_reflectance_counts_and_reflectance_look_alike(scene):
    bands, valid = scene
    bands = {name: np.minimum(band, 30_000) for name, band in bands.items()}
    as_dn = look_at({name: band + np.uint16(1000) for name, band in bands.items()}, valid,
                    Scaling(np.float32(-1000), np.float32(10_000)))  # fmt: skip
    as_counts = look_at({name: band.astype(np.int16) for name, band in bands.items()}, valid)
    floats = {name: band.astype(np.float32) / np.float32(10_000) for name, band in bands.items()}
    as_floats = look_at(floats, valid, Scaling(np.float32(0), np.float32(1)))
    for other in (as_counts, as_floats):
        assert_array_equal(other.look, as_dn.look)
        assert_array_equal(other.hot, as_dn.hot)
        assert_array_equal(other.plainness, as_dn.plainness)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("forest", Look.SEEN),
        ("field", Look.SEEN),
        ("soil", Look.SEEN | Look.BUILT),
        ("roofs", Look.SEEN | Look.BUILT),
        ("lake", Look.SEEN | Look.WATER),
        ("turbid", Look.SEEN | Look.WATER),
        ("snow", Look.SEEN | Look.SNOW | Look.POTENTIAL),
        ("cloud", Look.SEEN | Look.POTENTIAL),
        ("haze", Look.SEEN | Look.POTENTIAL),
    ],
)
def test_each_ground_looks_like_itself(name, expected):
    found = look_at(one_pixel(name), np.ones((1, 1), bool))
    assert Look(int(found.look[0, 0])) == expected if name != "snow" else found.look[0, 0] & Look.SNOW


@pytest.mark.parametrize(
    ("dtype", "nodata"), [(np.int16, -32768), (np.float32, np.nan), (np.float32, np.inf), (np.float32, -np.inf)]
)
@pytest.mark.parametrize("band", BANDS)
def test_a_pixel_that_lacks_one_band_is_not_seen(dtype, nodata, band):
    bands = {name: np.full((2, 2), 0.3 if dtype == np.float32 else 3000, dtype) for name in BANDS}
    bands[band][0, 1] = nodata
    found = look_at(bands, np.ones((2, 2), bool), Scaling(np.float32(0), np.float32(1 if dtype == np.float32 else 1e4)))
    assert_array_equal(found.look == 0, [[False, True], [False, False]])
    assert_array_equal(np.isnan(found.hot), found.look == 0)
    assert_array_equal(np.isnan(found.plainness), found.look == 0)


def test_a_single_zero_is_a_dark_pixel():
    bands = one_pixel("forest") | {"swir22": np.zeros((1, 1), np.uint16)}
    assert look_at(bands, np.ones((1, 1), bool)).look[0, 0] == Look.SEEN


def test_a_plateau_of_bright_values_is_saturation_and_a_lone_maximum_is_not():
    random = np.random.default_rng(3)
    bands = {name: random.uniform(0.02, 0.25, (100, 100)).astype(np.float32) for name in BANDS}
    bands["blue"][:5, :5] = 0.39
    bands["green"][0, 0] = 0.7
    bands["red"] = np.minimum(bands["red"], np.float32(0.2))
    found = saturation_of(bands, np.ones((100, 100), bool), Scaling(np.float32(0), np.float32(1)), CHOSEN)
    assert found == Saturation(float(np.float32(0.39)), np.inf, np.inf), "red ends at a plateau, but a dark one"


@pytest.mark.parametrize(("dtype", "mark"), [(np.uint16, 65535), (np.int16, 32767)])
def test_a_marked_pixel_is_saturated_even_alone(dtype, mark):
    bands = {name: np.full((9, 9), 800, dtype) for name in BANDS}
    bands["red"][4, 4] = mark
    assert saturation_of(bands, np.ones((9, 9), bool), COUNTS, CHOSEN) == Saturation(np.inf, np.inf, float(mark))
    nowhere = saturation_of(bands, np.zeros((9, 9), bool), COUNTS, CHOSEN)
    assert nowhere == NEVER


def test_saturated_blue_cannot_hide_a_cloud():
    bands = one_pixel("cloud")
    bands["blue"][:] = 3000  # what a saturating sensor says of 0.55: HOT is below 0
    valid = np.ones((1, 1), bool)
    assert not look_at(bands, valid).has(Look.POTENTIAL)
    saturated = look_at(bands, valid, saturation=Saturation(3000.0, np.inf, np.inf))
    assert saturated.has(Look.POTENTIAL)
    assert np.isposinf(saturated.hot)
