import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.ndimage import distance_transform_edt

from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.kernels.distance import LARGEST_PX, squared_distance
from geo_assets.kernels.near_distance import LARGEST_NEAR_PX
from geo_assets_tests.scenery import references
from geo_assets_tests.scenery.strategies import flags, windows


def whole(valid, cap_px):
    return squared_distance(valid, cap_px=cap_px, top=0, left=0, height=valid.shape[0], width=valid.shape[1])


def field_with_holes():
    """A field of 90 x 70 pixels with a pond, a ditch one pixel wide, a speck, and a border on two sides."""
    valid = np.ones((90, 70), bool)
    valid[20:30, 15:33] = False
    valid[np.arange(40, 80), np.arange(10, 50)] = False
    valid[60, 65] = False
    valid[0], valid[:, 0] = False, False
    return valid


@given(windows().flatmap(flags), st.integers(1, 12))
def test_distance_equals_the_slow_reference(valid, cap_px):
    assert_array_equal(whole(valid, cap_px), references.squared_distance(valid, cap_px))


@pytest.mark.parametrize("cap_px", [1, 7, 200])
def test_distance_equals_scipys(cap_px):
    valid = field_with_holes()
    exact = np.rint(distance_transform_edt(valid) ** 2)
    assert_array_equal(whole(valid, cap_px), np.minimum(exact, cap_px**2))


@st.composite
def holed_grounds(draw):
    """Several blocks of 64 columns wide, with specks from one in ten thousand to every second pixel, and rectangles."""
    height, width, seed = draw(st.integers(1, 40)), draw(st.integers(1, 330)), draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    valid = random.random((height, width)) >= draw(st.sampled_from([0, 1e-4, 1e-3, 1e-2, 0.1, 0.5]))
    for top, left, rows, cols in random.integers(0, [height, width, 30, 150], (draw(st.integers(0, 3)), 4)):
        valid[top : top + rows, left : left + cols] = False
    return valid


@settings(max_examples=100)
@given(holed_grounds(), st.integers(1, 300))
def test_specks_and_rectangles_give_scipys_distances_with_every_cap(valid, cap_px):
    exact = np.rint(distance_transform_edt(valid) ** 2) if not valid.all() else np.full(valid.shape, np.inf)
    assert_array_equal(whole(valid, cap_px), np.minimum(exact, cap_px**2))


@settings(max_examples=30)
@given(holed_grounds(), st.integers(1, LARGEST_NEAR_PX), st.integers(0, 300), st.integers(1, 330))
def test_near_and_wide_caps_agree_on_any_part_of_a_row(valid, cap_px, left, width):
    left = min(left, valid.shape[1] - 1)
    window = {"top": 0, "left": left, "height": valid.shape[0], "width": min(width, valid.shape[1] - left)}
    near = squared_distance(valid, cap_px=cap_px, **window)
    wide = squared_distance(valid, cap_px=LARGEST_NEAR_PX + 1, **window)
    assert_array_equal(near, np.minimum(wide, cap_px**2))


@settings(max_examples=50)
@given(st.integers(1, 15), st.integers(0, 60), st.integers(0, 40), st.integers(1, 30), st.integers(1, 30))
def test_a_window_with_surroundings_equals_that_window_of_the_whole(cap_px, top, left, height, width):
    valid = field_with_holes()
    first_row, first_col = max(top - cap_px, 0), max(left - cap_px, 0)
    block = valid[first_row : top + height + cap_px, first_col : left + width + cap_px]
    distance2 = squared_distance(
        block, cap_px=cap_px, top=top - first_row, left=left - first_col, height=height, width=width
    )
    expected = whole(valid, cap_px)[top : top + height, left : left + width]
    assert_array_equal(distance2, expected)
    in_place = squared_distance(valid, cap_px=cap_px, top=top, left=left, height=height, width=width)
    assert_array_equal(in_place, expected)


@pytest.mark.parametrize("width", [1, 32, 63, 64, 100])
def test_ground_to_the_right_of_a_window_of_any_width_is_seen(width):
    valid = np.ones((240, 400), bool)
    valid[100:110, 200:220] = False
    for left in range(200 - width - 40, 200 - width):
        window = {"top": 60, "left": left, "height": 100, "width": width}
        expected = whole(valid, 120)[60:160, left : left + width]
        assert_array_equal(squared_distance(valid, cap_px=120, **window), expected)


def test_distance_turns_with_the_ground():
    valid = field_with_holes()
    assert_array_equal(whole(np.rot90(valid), 30), np.rot90(whole(valid, 30)))


def test_the_outside_counts_as_valid_and_a_ring_of_false_ends_the_ground():
    ground = np.ones((3, 5), bool)
    assert_array_equal(whole(ground, 4), np.full((3, 5), 16))
    ringed = squared_distance(np.pad(ground, 1), cap_px=4, top=1, left=1, height=3, width=5)
    assert_array_equal(ringed, [[1, 1, 1, 1, 1], [1, 4, 4, 4, 1], [1, 1, 1, 1, 1]])


def test_the_golden_distances_of_two_holes():
    valid = np.ones((5, 8), bool)
    valid[1, 1] = valid[4, 6] = False
    assert whole(valid, 4).dtype == np.int32
    assert_array_equal(
        whole(valid, 4),
        [
            [2, 1, 2, 5, 10, 16, 16, 16],
            [1, 0, 1, 4, 9, 10, 9, 10],
            [2, 1, 2, 5, 8, 5, 4, 5],
            [5, 4, 5, 8, 5, 2, 1, 2],
            [10, 9, 10, 9, 4, 1, 0, 1],
        ],
    )


@pytest.mark.parametrize("cap_px", [0, -3, LARGEST_PX + 1])
def test_an_impossible_cap_is_refused(cap_px):
    with pytest.raises(RegionError, match="expected 1 to"):
        whole(np.ones((2, 2), bool), cap_px)


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 0, 0, 2), (0, 0, 2, 0), (3, 0, 2, 2), (0, 3, 2, 2)])
def test_a_window_that_is_empty_or_leaves_the_array_is_refused(window):
    top, left, height, width = window
    with pytest.raises(GridMismatchError, match="expected a part of the 4 x 4 pixels"):
        squared_distance(np.ones((4, 4), bool), cap_px=2, top=top, left=left, height=height, width=width)


def test_a_window_too_wide_for_exact_squares_is_refused():
    with pytest.raises(GridMismatchError, match="smaller windows"):
        whole(np.ones((1, LARGEST_PX + 1), bool), 2)


def test_a_mask_that_is_not_bool_is_refused():
    with pytest.raises(GridMismatchError, match="found uint8"):
        whole(np.ones((2, 2), np.uint8), 2)
