import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import RegionError
from geo_assets.kernels.fmask.grow import grown_within, moved_clouds
from geo_assets.kernels.fmask.match import UNMATCHED_M, Displacement, Match, cloud_objects
from geo_assets_tests.kernels.fmask import shadow_references
from geo_assets_tests.scenery.strategies import flags

pairs = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda shape: st.tuples(flags(shape), flags(shape)))


@given(pairs, st.integers(0, 12))
def test_growth_equals_one_dilation_after_the_other(pair, steps):
    seed, allowed = pair
    assert_array_equal(grown_within(seed, allowed, steps=steps), shadow_references.grown_within(seed, allowed, steps))


def test_growth_follows_the_ground_that_is_allowed_and_stops_in_time():
    allowed = np.zeros((5, 9), bool)
    allowed[2, 1:8] = allowed[0] = True
    seed = np.zeros_like(allowed)
    seed[2, 1] = True
    grown = grown_within(seed, allowed, steps=3)
    assert_array_equal(np.argwhere(grown), [[2, 1], [2, 2], [2, 3], [2, 4]])


def test_growth_of_less_than_nothing_is_refused():
    with pytest.raises(RegionError):
        grown_within(np.ones((2, 2), bool), np.ones((2, 2), bool), steps=-1)


@given(pairs.map(lambda pair: pair[0]), st.integers(-5, 5), st.integers(-5, 5))
def test_moved_clouds_lie_where_each_of_their_pixels_is_moved_to(cloud, down, right):
    objects = cloud_objects(cloud)
    match = Match(np.full(objects.count, 100.0), np.ones(objects.count))
    match.height_m[::2] = UNMATCHED_M
    move = Displacement(np.full(objects.count, down / 100), np.full(objects.count, right / 100))
    expected = np.zeros_like(cloud)
    for number in range(1, objects.count, 2):
        for run in range(objects.first_run[number], objects.first_run[number + 1]):
            for col in range(objects.run_begin[run], objects.run_end[run]):
                row, col = objects.run_row[run] + down, col + right
                if 0 <= row < cloud.shape[0] and 0 <= col < cloud.shape[1]:
                    expected[row, col] = True
    assert_array_equal(moved_clouds(objects, move, match, cloud.shape), expected)
