import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.kernels.blending import WEIGHT_ONE, add_weighted, weight_table, weighted_mean
from geo_assets.kernels.distance import squared_distance
from geo_assets_tests.scenery import references
from geo_assets_tests.scenery.strategies import overlapping_scenes

NODATA = -32768
CAP_PX = 4
WEIGHTS = weight_table(CAP_PX)


def distance_to_edge(values, cap_px=CAP_PX):
    """Of a scene whose footprint ends at its array's edge."""
    height, width = values.shape
    ringed = np.pad(values != NODATA, 1)
    return squared_distance(ringed, cap_px=cap_px, top=1, left=1, height=height, width=width)


def blend(scenes, distances=None, weights=WEIGHTS):
    total, weight_sum = (np.zeros(scenes[0].shape, np.int64) for _ in range(2))
    for values, distance2 in zip(scenes, distances or map(distance_to_edge, scenes), strict=True):
        add_weighted(total, weight_sum, values=values, distance2=distance2, weights=weights)
    mean = np.empty(scenes[0].shape, np.int16)
    weighted_mean(total, weight_sum, out=mean)
    return mean


def slope(window, steepness, gap):
    """A scene that rises eastwards, with nodata in a rectangle."""
    values = np.broadcast_to(np.arange(window[1]) * steepness - 300, window).astype(np.int16)
    values[gap] = NODATA
    return values


@given(overlapping_scenes())
def test_a_blend_equals_the_slow_reference(scenes):
    weights = [WEIGHTS[distance_to_edge(values)] for values in scenes]
    assert_array_equal(blend(scenes), references.feathered(scenes, weights))


@given(overlapping_scenes(), st.randoms())
def test_the_order_of_scenes_is_irrelevant(scenes, random):
    shuffled = random.sample(scenes, len(scenes))
    assert_array_equal(blend(shuffled), blend(scenes))


@given(overlapping_scenes())
def test_a_blend_lies_between_its_contributors_and_is_valid_where_one_is(scenes):
    mean, stack = blend(scenes), np.stack(scenes)
    valid = stack != NODATA
    assert_array_equal(mean != NODATA, valid.any(axis=0))
    seen = valid.any(axis=0)
    assert (mean >= np.where(valid, stack, 32767).min(axis=0))[seen].all()
    assert (mean <= np.where(valid, stack, NODATA).max(axis=0))[seen].all()


@given(overlapping_scenes())
def test_a_single_scene_is_copied(scenes):
    assert_array_equal(blend(scenes[:1]), scenes[0])


@given(overlapping_scenes(), st.integers(-32767, 32767))
def test_equal_scenes_blend_into_themselves(scenes, constant):
    flat = [np.where(values == NODATA, values, np.int16(constant)) for values in scenes]
    seen = (np.stack(flat) != NODATA).any(axis=0)
    assert_array_equal(blend(flat), np.where(seen, constant, NODATA))


@settings(max_examples=30)
@given(st.integers(1, 39), st.integers(1, 29))
def test_blocks_with_a_halo_equal_the_whole(cut_row, cut_col):
    window = (40, 30)
    scenes = [slope(window, 40, np.s_[:12, 18:]), slope(window, -25, np.s_[25:, :9])]
    whole = blend(scenes)
    for rows in (slice(0, cut_row), slice(cut_row, 40)):
        for cols in (slice(0, cut_col), slice(cut_col, 30)):
            block = [np.ascontiguousarray(values[rows, cols]) for values in scenes]
            distances = [
                squared_distance(
                    np.pad(values != NODATA, 1),
                    cap_px=CAP_PX,
                    top=rows.start + 1,
                    left=cols.start + 1,
                    height=rows.stop - rows.start,
                    width=cols.stop - cols.start,
                )
                for values in scenes
            ]
            assert_array_equal(blend(block, distances), whole[rows, cols])


def test_the_seam_fades_from_one_scene_to_the_other():
    west, east = np.full((9, 20), 1000, np.int16), np.full((9, 20), 2000, np.int16)
    west[:, 13:], east[:, :6] = NODATA, NODATA
    row = blend([west, east])[4]
    assert_array_equal(row[:6], 1000)
    assert_array_equal(row[13:], 2000)
    assert (np.diff(row[5:14]) > 0).all()


def test_a_half_is_rounded_up_below_zero_too():
    total, weight_sum = np.array([[5, -5, 1, -1, 0]]), np.array([[2, 2, 2, 2, 0]])
    mean = np.empty((1, 5), np.int16)
    weighted_mean(total, weight_sum, out=mean)
    assert_array_equal(mean, [[3, -2, 1, 0, NODATA]])


@pytest.mark.parametrize("profile", ["cosine", "linear"])
@pytest.mark.parametrize("cap_px", [1, 2, 240])
def test_weights_rise_from_the_edge_and_lose_no_valid_pixel(profile, cap_px):
    weights = weight_table(cap_px, profile)
    assert weights.shape == (cap_px**2 + 1,)
    assert weights[0] == 0
    assert weights[1:].min() >= 1
    assert (np.diff(weights) >= 0).all()
    assert weights[-1] == WEIGHT_ONE


def test_the_widest_feather_still_weighs_the_pixel_at_its_edge():
    assert weight_table(3000)[1] == 1


def test_the_golden_weights():
    linear = [0, 349525, 494303, 605396, 699051, 781562, 856159, 924757, 988607, 1048576]
    cosine = [0, 262144, 477252, 650441, 786432, 889568, 963840, 1012912, 1040136, 1048576]
    assert weight_table(3, "linear").tolist() == linear
    assert weight_table(3, "cosine").tolist() == cosine


def test_the_golden_blend():
    west, east = np.full((5, 8), 1000, np.int16), np.full((5, 8), -501, np.int16)
    west[:, 6:], east[:, :2] = NODATA, NODATA
    west[2, 4] = NODATA
    golden = [
        [1000, 1000, 250, 250, 250, 250, -501, -501],
        [1000, 1000, 660, 35, -161, -161, -501, -501],
        [1000, 1000, 660, -161, -501, -281, -501, -501],
        [1000, 1000, 660, 35, -161, -161, -501, -501],
        [1000, 1000, 250, 250, 250, 250, -501, -501],
    ]
    assert_array_equal(blend([west, east]), golden)


def test_an_unknown_profile_is_refused():
    with pytest.raises(RegionError, match="'cosine' or 'linear'"):
        weight_table(3, "cubic")


def test_a_feather_without_width_is_refused():
    with pytest.raises(RegionError, match="at least 1"):
        weight_table(0)


def test_distances_beyond_the_weights_are_refused():
    values = np.zeros((9, 9), np.int16)
    with pytest.raises(RegionError, match="same cap_px"):
        blend([values], [distance_to_edge(values, cap_px=5)])


def test_a_scene_on_another_window_is_refused():
    values = np.zeros((3, 3), np.int16)
    with pytest.raises(GridMismatchError, match="'distance2'"):
        blend([values], [np.zeros((3, 4), np.int32)])
