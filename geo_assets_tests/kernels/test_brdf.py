import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.errors import RegionError
from geo_assets.kernels.brdf import NADIR_BANDS, c_factor, li_sparse, ross_thick

zeniths = st.floats(0, 75)
kernels = pytest.mark.parametrize("kernel", [ross_thick, li_sparse])


@kernels
def test_kernels_are_zero_with_sun_and_sensor_at_the_zenith(kernel):
    assert_allclose(kernel(0.0, 0.0, 77.0), 0, atol=1e-12)


@kernels
@given(zeniths, zeniths, st.floats(-360, 360))
def test_kernels_do_not_change_where_sun_and_sensor_change_places(kernel, sun, view, azimuth):
    assert_allclose(kernel(sun, view, azimuth), kernel(view, sun, azimuth), atol=1e-9)
    assert_allclose(kernel(sun, view, azimuth), kernel(sun, view, -azimuth), atol=1e-9)


def test_kernels_at_the_hot_spot_are_those_of_the_closed_form():
    zenith = np.array([0.0, 20, 45, 60])
    secant = 1 / np.cos(np.radians(zenith))
    assert_allclose(ross_thick(zenith, zenith, 0.0), np.pi / 4 * (secant - 1), atol=1e-9)
    assert_allclose(li_sparse(zenith, zenith, 0.0), secant**2 - secant, atol=1e-9)


def test_kernels_with_the_sun_at_the_zenith_are_those_worked_out_by_hand():
    # Seen from 60 degrees: phase 60 degrees; crowns and their shadows do not overlap, O = 0.
    assert_allclose(ross_thick(0.0, 60.0, 0.0), (np.pi / 12 + np.sqrt(3) / 2) / 1.5 - np.pi / 4, atol=1e-12)
    assert_allclose(li_sparse(0.0, 60.0, 0.0), -1.5, atol=1e-12)


@pytest.mark.parametrize("band", NADIR_BANDS)
def test_a_factor_brings_what_the_model_sees_to_what_it_sees_from_nadir(band):
    sun, view, azimuth = np.meshgrid([20.0, 45, 65], [0.0, 5, 12], [0.0, 90, 180])
    factor = c_factor(band, sun, view, azimuth)
    shape = NADIR_BANDS[band]

    def seen(view, azimuth):
        return (
            shape.isotropic
            + shape.volumetric * ross_thick(sun, view, azimuth)
            + shape.geometric * li_sparse(sun, view, azimuth)
        )

    assert_allclose(factor * seen(view, azimuth), seen(0 * view, azimuth), rtol=1e-12)
    assert (np.abs(factor - 1) < 0.25).all()


def test_at_nadir_nothing_changes():
    assert_allclose(c_factor("red", [10.0, 40, 70], 0.0, [0.0, 90, 180]), 1, rtol=1e-12)


def test_ground_seen_with_the_light_is_darkened_and_against_it_brightened():
    with_light, against = c_factor("red", 45.0, 10.0, [0.0, 180.0])
    assert with_light < 0.97
    assert against > 1.03


def test_the_golden_factors():
    found = {band: c_factor(band, 40.0, 10.0, 20.0).item() for band in ("blue", "red", "nir", "swir22")}
    golden = {"blue": 0.945879, "red": 0.945196, "nir": 0.943608, "swir22": 0.948085}
    assert found == pytest.approx(golden, abs=1e-6)


def test_bands_without_coefficients_are_left_alone_and_unknown_angles_stay_unknown():
    for band in set(SENTINEL2_BANDS) - set(NADIR_BANDS):
        assert_allclose(c_factor(band, 45.0, [10.0, np.nan], 0.0), 1)
    assert np.isnan(c_factor("red", 45.0, [10.0, np.nan], 0.0)).tolist() == [False, True]


def test_what_cannot_be_is_refused():
    with pytest.raises(RegionError, match="'thermal'"):
        c_factor("thermal", 1.0, 1.0, 1.0)
    with pytest.raises(RegionError, match="sun zenith of 95"):
        c_factor("red", 95.0, 1.0, 1.0)
    with pytest.raises(RegionError, match="view zenith of -1"):
        c_factor("coastal", 5.0, -1.0, 1.0)
