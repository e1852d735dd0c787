import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.kernels.fmask.probability import (
    CLEAR,
    CLEAR_LAND,
    CLEAR_WATER,
    ClearSky,
    Thresholds,
    cirrus_excess,
    clear_sky,
    cloud_probability,
    how_many,
    look_counts,
    probable_cloud,
)
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.spectra import Look, Saturation, Scaling, spectra
from geo_assets_tests.kernels.fmask import cloud_references
from geo_assets_tests.kernels.fmask.made_up_scenes import counts, landscape

CHOSEN = FmaskSettings()
SEEN, POTENTIAL, WATER = (int(flag) for flag in (Look.SEEN, Look.POTENTIAL, Look.WATER))


def scene(seed, *, saturated=np.inf):
    cover, _ = landscape(60, 50, seed=seed)
    random = np.random.default_rng(seed)
    bands = counts(cover, random)
    valid = random.random(cover.shape) < 0.95
    found = spectra(
        bands, valid, Scaling(np.float32(0), np.float32(10_000)), Saturation(saturated, np.inf, np.inf), CHOSEN
    )
    return found, cloud_references.spectra(bands, valid, saturated=(saturated, np.inf, np.inf))


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([np.inf, 5600.0]), st.booleans())
def test_probability_and_thresholds_equal_the_slow_reference(seed, saturated, icy):
    found, reference = scene(seed, saturated=saturated)
    excess = np.random.default_rng(seed).uniform(0, 0.02, found.look.shape).astype(np.float32) * icy
    expected, land, water = cloud_references.probability(reference, excess, CHOSEN)
    probability, thresholds = cloud_probability(
        found, excess if icy else None, ClearSky(CLEAR_LAND, CLEAR_WATER), CHOSEN
    )
    assert_allclose(probability, expected, rtol=1e-4, atol=1e-5)
    assert (thresholds.land, thresholds.water) == pytest.approx((land, water), abs=1e-5)
    cloud = probable_cloud(found.look, probability, thresholds)
    limit = np.where(reference["water"], np.float32(thresholds.water), np.float32(thresholds.land))
    undecided = np.abs(expected - limit) < 1e-5
    assert_array_equal(cloud[~undecided], (reference["potential"] & (expected > limit))[~undecided])
    assert_array_equal(np.isnan(probability), ~reference["seen"])
    assert np.nanmin(probability) >= 0
    assert np.nanmax(probability) <= 1


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_much_saturated_ground_leaves_the_range_of_brightness_to_what_was_measured(share):
    found, _ = scene(5)
    clear = np.flatnonzero((found.look & (SEEN | POTENTIAL | WATER)) == SEEN)
    found.hot.flat[clear[: int(share * clear.size)]] = np.inf  # such as snow
    measured = found.hot.flat[clear[int(share * clear.size) :]]
    expected = np.percentile(measured.astype(float), (17.5, 82.5)) if measured.size else np.zeros(2)
    probability, thresholds = cloud_probability(found, None, ClearSky(CLEAR_LAND, CLEAR_WATER), CHOSEN)
    assert (thresholds.hot_low + 0.04, thresholds.hot_high - 0.04) == pytest.approx(tuple(expected), abs=1e-6)
    assert np.isfinite(thresholds.land)
    assert np.isfinite(probability[(found.look & SEEN) != 0]).all()


@given(st.integers(0, 1000))
def test_cirrus_is_what_exceeds_the_clear_sky(seed):
    random = np.random.default_rng(seed)
    look = random.choice([0, SEEN, SEEN | POTENTIAL, SEEN | WATER], (20, 30)).astype(np.uint8)
    cirrus = random.uniform(0.001, 0.03, (20, 30)).astype(np.float32)
    cirrus[random.random((20, 30)) < 0.1] = np.nan
    before, kept = look.copy(), cirrus.copy()
    base = cirrus_excess(cirrus, look, CHOSEN)
    clear = (before & (SEEN | POTENTIAL)) == SEEN
    assert base == pytest.approx(np.percentile(kept[clear & np.isfinite(kept)].astype(float), 2), rel=1e-6)
    seen = (before & SEEN) != 0
    expected = np.where(seen, np.nan_to_num(np.maximum(kept - np.float32(base), 0)), 0)
    assert_array_equal(cirrus, expected)
    assert_array_equal(look, before | np.where(expected > np.float32(0.01), POTENTIAL, 0).astype(np.uint8))


def test_where_nothing_is_clear_cirrus_has_no_base():
    look = np.full((4, 4), SEEN | POTENTIAL, np.uint8)
    cirrus = np.full((4, 4), 0.005, np.float32)
    assert cirrus_excess(cirrus, look, CHOSEN) == 0
    assert_array_equal(cirrus, np.float32(0.005))


@pytest.mark.parametrize(
    ("land", "water", "expected"),
    [
        (500, 500, ClearSky(CLEAR_LAND, CLEAR_WATER)),
        (500, 99, ClearSky(CLEAR_LAND, None)),
        (60, 60, ClearSky(CLEAR, None)),
        (99, 500, ClearSky(CLEAR, CLEAR_WATER)),
        (50, 49, ClearSky(None, None)),
        (0, 0, ClearSky(None, None)),
    ],
)
def test_a_hundred_clear_pixels_are_the_least_that_speak(land, water, expected):
    look = np.full(5000, SEEN | POTENTIAL, np.uint8)
    look[:land] = SEEN
    look[land : land + water] = SEEN | WATER
    assert clear_sky(look.reshape(50, 100), CHOSEN) == expected


def test_of_a_large_scene_a_thousandth_must_be_clear():
    look = np.full((500, 400), SEEN | POTENTIAL, np.uint8)
    look[0, :199] = SEEN
    assert clear_sky(look, CHOSEN).land is None
    look[0, 199] = SEEN
    assert clear_sky(look, CHOSEN).land == CLEAR_LAND
    assert clear_sky(look, dataclasses.replace(CHOSEN, least_clear_share=0.01)).land is None


def test_sets_of_pixels_are_counted_by_their_flags():
    look = np.array([[0, SEEN, SEEN | WATER], [SEEN | POTENTIAL, SEEN | POTENTIAL | WATER, SEEN]], np.uint8)
    counts_of_looks = look_counts(look)
    assert counts_of_looks.sum() == 6
    assert [how_many(counts_of_looks, pixels) for pixels in (CLEAR, CLEAR_LAND, CLEAR_WATER)] == [3, 2, 1]


def test_potential_cloud_must_exceed_the_threshold_of_its_own_ground():
    look = np.array([[SEEN | POTENTIAL, SEEN | POTENTIAL | WATER, SEEN, 0, SEEN | POTENTIAL]], np.uint8)
    probability = np.array([[0.5, 0.5, 0.9, 0.9, 1.7]], np.float32)
    cloud = probable_cloud(look, probability, Thresholds(0, 1, land=0.4, water=0.6))
    assert_array_equal(cloud, [[True, False, False, False, True]])
    assert_array_equal(probability, np.array([[0.5, 0.5, 0.9, np.nan, 1]], np.float32))
