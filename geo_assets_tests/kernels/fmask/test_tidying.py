import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import ndimage

from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.spectra import Look
from geo_assets.kernels.fmask.tidying import (
    bright_surface,
    cloud_objects,
    cloud_without_bright_surfaces,
    cloud_without_specks,
    smoothed_cloud,
    wider,
)
from geo_assets_tests.kernels.fmask import cloud_references

CHOSEN = FmaskSettings()


def random_flags(seed, height, width, count, share=0.5):
    random = np.random.default_rng(seed)
    return [random.random((height, width)) < share for _ in range(count)]


sizes = st.tuples(st.integers(0, 2**32), st.integers(1, 14), st.integers(1, 14))


@given(sizes)
def test_smoothing_equals_the_slow_reference(size):
    cloud, seen = random_flags(*size, count=2, share=0.6)
    assert_array_equal(smoothed_cloud(cloud, seen), cloud_references.smoothed(cloud, seen))


@given(sizes)
def test_cloud_and_clear_are_treated_alike(size):
    """Nine votes are never a draw; at the edge, where they may be, clear wins."""
    (cloud,) = random_flags(*size, count=1)
    seen = np.ones(cloud.shape, bool)
    inner = (slice(1, -1), slice(1, -1))
    assert_array_equal(smoothed_cloud(~cloud, seen)[inner], ~smoothed_cloud(cloud, seen)[inner])


@given(sizes, st.integers(0, 6))
def test_wider_equals_scipys(size, radius):
    (flag,) = random_flags(*size, count=1, share=0.1)
    assert_array_equal(wider(flag, radius), cloud_references.wider(flag, radius))


@given(sizes, st.integers(1, 6))
def test_specks_go_and_objects_stay_whole(size, smallest):
    (cloud,) = random_flags(*size, count=1, share=0.3)
    kept = cloud_without_specks(cloud, *cloud_objects(cloud), smallest_px=smallest)
    numbers, _ = ndimage.label(cloud, np.ones((3, 3)))
    sizes_px = np.bincount(numbers.ravel())
    assert_array_equal(kept, cloud & (sizes_px[numbers] >= smallest))


@settings(max_examples=50)
@given(sizes, st.sampled_from([20.0, 60.0, 90.0]))
def test_bright_surfaces_equal_the_slow_reference(size, resolution_m):
    cloud, candidate, water, seen = random_flags(*size, count=4, share=0.8)
    water, cloud = water & (np.arange(water.size).reshape(water.shape) % 11 == 0), cloud & seen
    cloud &= ~(np.arange(cloud.shape[1]) % 5 == 4)
    look = (seen * np.uint8(Look.SEEN) | (water & seen) * np.uint8(Look.WATER)).astype(np.uint8)
    objects, count = cloud_objects(cloud)
    kept, removed = cloud_without_bright_surfaces(
        cloud, objects, count, candidate, look, resolution_m=resolution_m, settings=CHOSEN
    )
    radius = {20.0: 4, 60.0: 2, 90.0: 1}[resolution_m]
    expected = cloud_references.without_bright_surfaces(cloud, candidate, water & seen, seen, radius)
    assert_array_equal(kept, expected)
    assert removed == count - cloud_objects(expected)[1]


@pytest.mark.parametrize("without_cdi", [True, False])
def test_candidates_lie_around_built_up_ground_that_does_not_shift(without_cdi):
    look = np.full((40, 40), Look.SEEN, np.uint8)
    look[10, 10] |= Look.BUILT
    look[30, 30] |= Look.BUILT
    look[39, 0] |= Look.SNOW
    look[10, 12] = 0
    cdi = np.zeros((40, 40), np.float32)
    cdi[30, 30] = -0.9
    found = bright_surface(look, None if without_cdi else cdi, resolution_m=60.0, settings=CHOSEN)
    expected = np.zeros((40, 40), bool)
    expected[6:15, 6:15] = True
    expected[10, 12] = False
    expected[39, 0] = True
    if without_cdi:
        expected[26:35, 26:35] = True
    assert_array_equal(found, expected)


def test_roofs_go_a_cloud_over_them_and_one_over_water_stay():
    cloud = np.zeros((60, 60), bool)
    cloud[5:8, 5:8] = cloud[20:32, 20:32] = cloud[50:53, 50:53] = cloud[50:53, 0:3] = True
    look = np.full((60, 60), Look.SEEN, np.uint8)
    look[51, 51] |= Look.WATER
    objects, count = cloud_objects(cloud)
    kept, removed = cloud_without_bright_surfaces(
        cloud, objects, count, np.ones((60, 60), bool), look, resolution_m=20.0,
        settings=dataclasses.replace(CHOSEN, bright_surface_erosion_m=60.0),
    )  # fmt: skip
    expected = cloud.copy()
    expected[5:8, 5:8] = expected[50:53, 0:3] = False
    assert_array_equal(kept, expected)
    assert removed == 2
