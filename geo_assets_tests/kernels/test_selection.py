from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import DetectorError, GridMismatchError, RegionError
from geo_assets.kernels.quality import MaskCode
from geo_assets.kernels.selection import (
    clear_share_per_cell,
    greedy_selection,
    rank_by_area_share,
    rank_by_scene_share,
)
from geo_assets_tests.scenery import references
from geo_assets_tests.scenery.strategies import flags, mask_codes, windows

DAY_ONE = datetime(2024, 7, 1, 10, 30, tzinfo=UTC)
SCENES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=6)


@st.composite
def scouted(draw):
    """(codes, inside) of one window."""
    window = draw(windows())
    return draw(mask_codes(window)), draw(flags(window))


def ranked(clear_px, days, item_ids):
    acquired = [DAY_ONE + timedelta(days=day) for day in days]
    return rank_by_area_share(np.array(clear_px, np.int64), acquired=acquired, item_ids=item_ids)


@given(scouted(), st.integers(1, 5))
def test_cells_count_what_the_slow_reference_counts(scene, cell_px):
    codes, inside = scene
    clear_px, area_px = clear_share_per_cell(codes, inside, cell_px=cell_px)
    clear = np.isin(codes, [MaskCode.CLEAR, MaskCode.SNOW, MaskCode.WATER]) & inside
    assert {cell: pixels.sum() for cell, pixels in references.cells(clear, cell_px)} == dict(np.ndenumerate(clear_px))
    assert {cell: pixels.sum() for cell, pixels in references.cells(inside, cell_px)} == dict(np.ndenumerate(area_px))


@given(scouted(), st.integers(1, 5))
def test_cells_of_any_size_add_up_to_the_same_area(scene, cell_px):
    codes, inside = scene
    clear_px, area_px = clear_share_per_cell(codes, inside, cell_px=cell_px)
    whole_clear, whole_area = clear_share_per_cell(codes, inside, cell_px=9)
    assert (clear_px.sum(), area_px.sum()) == (whole_clear.sum(), whole_area.sum())
    assert (clear_px <= area_px).all()


def test_the_golden_cells():
    codes = np.array([[0, 1, 3, 4, 255], [0, 2, 3, 0, 255], [0, 0, 1, 1, 0]], np.uint8)
    inside = np.ones((3, 5), bool)
    inside[0, 0] = False
    clear_px, area_px = clear_share_per_cell(codes, inside, cell_px=2)
    assert clear_px.tolist() == [[1, 4, 0], [2, 0, 1]]
    assert area_px.tolist() == [[3, 4, 2], [2, 2, 1]]
    without_snow, _ = clear_share_per_cell(codes, inside, cell_px=2, drop=[MaskCode.SNOW])
    assert without_snow.tolist() == [[3, 2, 0], [2, 2, 1]]


def test_an_area_of_another_window_is_refused():
    with pytest.raises(GridMismatchError, match="'inside'"):
        clear_share_per_cell(np.zeros((2, 2), np.uint8), np.ones((2, 3), bool), cell_px=1)


def test_a_code_that_no_mask_has_is_refused():
    with pytest.raises(DetectorError, match="found the value 9"):
        clear_share_per_cell(np.full((2, 2), 9, np.uint8), np.ones((2, 2), bool), cell_px=1)


def test_a_cell_without_pixels_is_refused():
    with pytest.raises(RegionError, match="at least 1"):
        clear_share_per_cell(np.zeros((2, 2), np.uint8), np.ones((2, 2), bool), cell_px=0)


def test_a_cloudless_sliver_ranks_behind_a_whole_tile_with_one_cloud():
    sliver, whole_tile = 508, 930  # of 1000 pixels; the sliver saw no others
    assert ranked([sliver, whole_tile], [0, 1], ["sliver", "tile"]).tolist() == [1, 0]


def test_equals_are_ranked_by_date_and_then_by_id():
    assert ranked([5, 5, 5, 9], [2, 1, 1, 3], ["a", "c", "b", "d"]).tolist() == [3, 2, 1, 0]


@given(SCENES, st.randoms())
def test_the_ranking_does_not_depend_on_the_order_of_the_answer(scenes, random):
    named = [(clear, day, f"scene-{number}") for number, (clear, day) in enumerate(scenes)]
    shuffled = random.sample(named, len(named))
    in_order = [named[index] for index in ranked(*zip(*named, strict=True))]
    assert [shuffled[index] for index in ranked(*zip(*shuffled, strict=True))] == in_order


@given(SCENES)
def test_clear_area_never_rises_along_the_ranking(scenes):
    clear_px, days = zip(*scenes, strict=True)
    ranking = ranked(clear_px, days, [str(number) for number in range(len(scenes))])
    assert sorted(ranking) == list(range(len(scenes)))
    assert (np.diff(np.array(clear_px)[ranking]) <= 0).all()


def test_a_scene_without_a_date_is_refused():
    with pytest.raises(GridMismatchError, match="one of each per scene"):
        ranked([1, 2], [1], ["a", "b"])


def test_no_scenes_have_no_ranking():
    assert_array_equal(ranked([], [], []), [])


def test_by_its_own_share_a_cloudless_sliver_ranks_before_a_whole_tile_with_one_cloud():
    sliver, whole_tile = (508, 508), (930, 1000)
    clear, valid = np.array([whole_tile, sliver, (0, 0)], np.int64).T.copy()
    dates = [DAY_ONE] * 3
    assert rank_by_scene_share(clear, valid, acquired=dates, item_ids=["tile", "sliver", "none"]).tolist() == [1, 0, 2]


def test_shares_that_are_equal_fractions_are_ranked_by_date():
    clear, valid = np.array([1, 2, 3], np.int64), np.array([3, 6, 9], np.int64)
    dates = [DAY_ONE + timedelta(days=day) for day in (2, 1, 3)]
    assert rank_by_scene_share(clear, valid, acquired=dates, item_ids=["a", "b", "c"]).tolist() == [1, 0, 2]


@st.composite
def choices(draw):
    """(clear, order, settings) of a few scenes over a few pixels."""
    scenes = draw(st.integers(1, 5))
    clear = draw(flags((scenes, draw(st.integers(0, 8)))))
    order = draw(st.permutations(range(scenes)))[: draw(st.integers(0, scenes))]
    min_k = draw(st.integers(0, 3))
    target = draw(st.sampled_from([0, 0.3, 0.5, 0.95, 1]))
    return clear, order, {"coverage_target": target, "min_k": min_k, "max_k": draw(st.integers(min_k, 5))}


def covered_px(clear, chosen) -> int:
    return int(clear[list(chosen)].any(axis=0).sum())


@given(choices())
def test_the_greedy_choice_is_that_of_the_slow_reference(choice):
    clear, order, settings = choice
    assert greedy_selection(clear, order=order, **settings) == references.greedy_choice(clear, order, **settings)


@given(choices())
def test_each_scene_adds_no_more_than_the_one_before_it(choice):
    clear, order, settings = choice
    chosen = greedy_selection(clear, order=order, **settings)
    steps = np.diff([covered_px(clear, chosen[:number]) for number in range(len(chosen) + 1)])
    assert (np.diff(steps) <= 0).all()


@given(choices())
def test_the_choice_ends_at_its_limits_at_the_target_or_at_what_can_be_reached(choice):
    clear, order, settings = choice
    chosen = greedy_selection(clear, order=order, **settings)
    assert set(chosen) <= set(order)
    assert len(set(chosen)) == len(chosen)
    assert min(settings["min_k"], len(order)) <= len(chosen) <= settings["max_k"]
    wanted = min(settings["coverage_target"] * clear.shape[1], covered_px(clear, order))
    assert covered_px(clear, chosen) >= wanted or len(chosen) == settings["max_k"]
    if len(chosen) > settings["min_k"]:
        assert covered_px(clear, chosen[:-1]) < wanted


@given(choices(), st.randoms())
def test_the_choice_does_not_depend_on_where_pixels_lie_nor_on_scenes_that_are_no_candidates(choice, random):
    clear, order, settings = choice
    chosen = greedy_selection(clear, order=order, **settings)
    pixels = random.sample(range(clear.shape[1]), clear.shape[1])
    others = np.ones((1, clear.shape[1]), bool)
    assert greedy_selection(np.concatenate([clear[:, pixels], others]), order=order, **settings) == chosen


def test_of_scenes_that_add_equally_much_the_first_in_rank_is_taken():
    clear = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], bool)
    whole = {"coverage_target": 1, "min_k": 0, "max_k": 3}
    assert greedy_selection(clear, order=[2, 1, 0], **whole) == [2, 0]
    assert greedy_selection(clear, order=[1, 0, 2], **whole) == [1, 0, 2]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"order": [0, 0]}, GridMismatchError, "different ones of 2 scenes"),
        ({"order": [2]}, GridMismatchError, "different ones of 2 scenes"),
        ({"coverage_target": 1.5}, RegionError, "a share of 0 to 1"),
        ({"coverage_target": float("nan")}, RegionError, "a share of 0 to 1"),
        ({"min_k": -1}, RegionError, "min_k"),
        ({"max_k": 1}, RegionError, "max_k"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(wrong, error, message):
    usual = {"order": [0, 1], "coverage_target": 0.9, "min_k": 2, "max_k": 4}
    with pytest.raises(error, match=message):
        greedy_selection(np.ones((2, 3), bool), **(usual | wrong))
