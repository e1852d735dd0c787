import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError, RegionError, ResourceError
from geo_assets.kernels.distance import squared_distance
from geo_assets.kernels.mosaicking.blending import (
    BLENDED_DTYPES,
    WEIGHT_ONE,
    Correction,
    corrected,
    distance_weights,
    has_data,
    heaviest,
    weight_table,
    weighted_mean,
)
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


def blend(scenes, distances=None, weights=WEIGHTS, corrections=()):
    weighed = [distance_weights(distance2, weights) for distance2 in distances or map(distance_to_edge, scenes)]
    return mean_of(np.stack(scenes), np.stack(weighed), NODATA, corrections)


def mean_of(stack, weights, nodata, corrections=()):
    out = np.empty(stack.shape[1:], stack.dtype)
    weighted_mean(stack, weights, nodata=nodata, corrections=corrections, out=out)
    return out


def single_row(*sources, dtype):
    """(source, 1, x) of one row of each source."""
    return np.array(sources, dtype)[:, None, :]


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
    stack = single_row([2, -3, 0, -1, 7], [3, -2, 1, 0, 7], dtype=np.int16)
    equal = np.ones(stack.shape, np.int32)
    equal[:, 0, 4] = 0
    assert_array_equal(mean_of(stack, equal, NODATA), [[3, -2, 1, 0, NODATA]])


@pytest.mark.parametrize("dtype", BLENDED_DTYPES)
def test_every_dtype_is_blended_to_its_ends(dtype):
    limits = np.finfo(dtype) if dtype.startswith("f") else np.iinfo(dtype)
    stack = single_row([limits.max, limits.min, 10], [limits.max, limits.min, 20], dtype=dtype)
    weights = np.full(stack.shape, WEIGHT_ONE, np.int32)
    assert_array_equal(mean_of(stack, weights, 7), stack[0] + np.array([0, 0, 5], dtype))


@given(
    st.lists(st.tuples(st.floats(-(2.0**90), 2.0**90, width=32), st.integers(0, WEIGHT_ONE)), min_size=1, max_size=5),
    st.sampled_from(["float32", "float64"]),
)
def test_floats_stay_between_their_contributors(contributors, dtype):
    values, weights = (np.array(part) for part in zip(*contributors, strict=True))
    mean = mean_of(values.astype(dtype)[:, None, None], weights.astype(np.int32)[:, None, None], np.nan)
    weighing = values[weights > 0]
    assert np.isnan(mean[0, 0]) if not weighing.size else weighing.min() <= mean[0, 0] <= weighing.max()


@pytest.mark.parametrize(("dtype", "expected"), [("int16", 1), ("float32", np.nextafter(np.float32(0), np.float32(1)))])
def test_a_mean_is_never_nodata(dtype, expected):
    stack = single_row([-5], [5], dtype=dtype)
    assert mean_of(stack, np.ones(stack.shape, np.int32), 0)[0, 0] == expected


@given(
    st.sampled_from(["uint8", "int16", "uint16"]),
    st.floats(0.8, 1.2),
    st.floats(-300, 300),
    st.integers(0, 255),
    st.integers(0, 255),
)
def test_a_harmonised_value_is_the_exact_one_rounded_once_and_kept_valid(dtype, gain, offset, value, nodata):
    limits, correction = np.iinfo(dtype), Correction(gain, offset)
    found = int(corrected(np.array([[value]], dtype), correction, nodata=nodata)[0, 0])
    if value == nodata:
        assert found == nodata
        return
    exact = min(max(gain * value + offset, limits.min), limits.max)
    assert limits.min <= found <= limits.max
    assert found != nodata
    assert abs(found - exact) <= (0.5 + 2**-7 if round(exact) != nodata else 1.5 + 2**-7)
    alone = mean_of(np.array([[[value]]], dtype), np.full((1, 1, 1), 12345, np.int32), nodata, [correction])
    assert alone[0, 0] == found


def test_harmonised_values_are_rounded_once_at_the_end():
    stack = single_row([100], [100], dtype=np.uint16)
    corrections = [Correction(1.0, 0.25), Correction(1.0, 0.25 + 1 / 64)]
    assert mean_of(stack, np.ones(stack.shape, np.int32), 0, corrections)[0, 0] == 100
    corrections = [Correction(1.0, 0.25), Correction(1.0, 0.75)]
    assert mean_of(stack, np.ones(stack.shape, np.int32), 0, corrections)[0, 0] == 101


def test_an_identity_correction_copies_the_very_array():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert corrected(values, Correction(), nodata=np.nan) is values


def test_harmonised_floats_keep_nodata_and_nan():
    values = np.array([[1.0, -9999.0, np.nan]], np.float32)
    assert_array_equal(corrected(values, Correction(2.0, 1.0), nodata=-9999.0), [[3.0, -9999.0, np.nan]])


def test_classes_are_never_averaged_and_ties_go_to_the_first():
    stack = single_row([3, 3, 3, 3], [9, 9, 9, 9], dtype=np.uint8)
    weights = single_row([5, 4, 5, 0], [4, 5, 5, 0], dtype=np.int32)
    out = np.empty((1, 4), np.uint8)
    heaviest(stack, weights, nodata=255, out=out)
    assert_array_equal(out, [[3, 9, 3, 255]])


def test_nan_is_never_data_and_nodata_of_floats_may_be_a_number():
    values = np.array([1.0, np.nan, -9999.0], np.float32)
    assert_array_equal(has_data(values, np.nan), [True, False, True])
    assert_array_equal(has_data(values, -9999.0), [True, False, False])


def test_more_than_64_bits_hold_are_refused():
    stack = np.zeros((33, 1, 1), np.uint32)
    with pytest.raises(ResourceError, match="64 bits"):
        mean_of(stack, np.ones(stack.shape, np.int32), 0, [Correction(1.1)] * 33)


def test_a_dtype_without_sums_is_refused():
    with pytest.raises(GridMismatchError, match="found int64"):
        mean_of(np.zeros((1, 1, 1), np.int64), np.ones((1, 1, 1), np.int32), 0)


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
    with pytest.raises(GridMismatchError, match="'weights'"):
        blend([values], [np.zeros((3, 4), np.int32)])
