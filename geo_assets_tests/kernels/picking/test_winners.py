import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.picking.taps import nearest_taps, run_taps
from geo_assets.kernels.picking.winners import (
    CHUNK_PX,
    View,
    consider,
    empty_winners,
    next_winners,
    quality_at,
    unfilled,
)

NODATA, NONE = -32768, 255
LAYERS = ("quality", "selected", "observation_count")


@st.composite
def stacks(draw):
    """(source, y, x) uint8 quality, and the acquisition of each source."""
    sources, height, width = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    quality = random.choice(np.array([0, 1, 2, NONE], np.uint8), (sources, height, width))
    starts = [True] + [draw(st.booleans()) for _ in range(sources - 1)]
    return quality, (np.cumsum(starts) - 1).tolist()


def views_of(quality):
    rows, cols = (run_taps(0, 0, length, length) for length in quality.shape[1:])
    return [View(one, rows, cols) for one in quality]


def winners_of(views, acquisitions, shape):
    winners = empty_winners(*shape)
    consider(views, acquisitions, winners, begin=0, end=shape[0])
    return winners


def slow_winners(quality, acquisitions):
    sources, height, width = quality.shape
    slow = empty_winners(height, width)
    for row, col in np.ndindex(height, width):
        usable = [source for source in range(sources) if quality[source, row, col] != NONE]
        slow.observation_count[row, col] = len({acquisitions[source] for source in usable})
        if usable:
            best = min(usable, key=lambda source: (quality[source, row, col], source))
            slow.quality[row, col], slow.selected[row, col] = quality[best, row, col], best
    return slow


@given(stacks())
def test_the_map_of_winners_equals_the_slow_reference(stack):
    quality, acquisitions = stack
    winners = winners_of(views_of(quality), acquisitions, quality.shape[1:])
    for layer in LAYERS:
        assert_array_equal(getattr(winners, layer), getattr(slow_winners(quality, acquisitions), layer))


@given(stacks(), st.integers(1, 6))
def test_rows_may_be_filled_apart_and_in_any_order(stack, strip):
    quality, acquisitions = stack
    height, width = quality.shape[1:]
    winners = empty_winners(height, width)
    for begin in reversed(range(0, height, strip)):
        consider(views_of(quality), acquisitions, winners, begin=begin, end=min(begin + strip, height))
    for layer in LAYERS:
        assert_array_equal(getattr(winners, layer), getattr(slow_winners(quality, acquisitions), layer))


@given(stacks())
def test_a_source_on_pixels_of_its_own_counts_where_they_lie(stack):
    quality, acquisitions = stack
    height, width = quality.shape[1:]
    rows, cols = (
        nearest_taps((np.arange(2 * length + 3) - 0.5) / 2, length) for length in (height, width)
    )  # two output pixels to one of the source's, with a rim that it does not reach
    winners = winners_of([View(one, rows, cols) for one in quality], acquisitions, (2 * height + 3, 2 * width + 3))
    fine = np.full((len(quality), 2 * height + 3, 2 * width + 3), NONE, np.uint8)
    fine[:, 1 : 2 * height + 1, 1 : 2 * width + 1] = quality.repeat(2, axis=1).repeat(2, axis=2)
    # A centre on the raster's very edge still lies on it.
    held = np.ix_(range(len(quality)), range(rows.begin, rows.end), range(cols.begin, cols.end))
    fine[held] = quality[:, rows.first[rows.begin : rows.end]][:, :, cols.first[cols.begin : cols.end]]
    for layer in LAYERS:
        assert_array_equal(getattr(winners, layer), getattr(slow_winners(fine, acquisitions), layer))


def test_tiles_of_one_flight_count_as_one_observation_where_they_overlap():
    clear = np.zeros((3, 1, 1), np.uint8)
    assert winners_of(views_of(clear), [0, 0, 1], (1, 1)).observation_count.item() == 2
    assert winners_of(views_of(clear), [0, 1, 2], (1, 1)).observation_count.item() == 3


def test_a_source_counts_only_in_the_chunks_that_it_serves():
    width = 2 * CHUNK_PX
    rows, cols = run_taps(0, 0, 1, 1), run_taps(0, 0, width, width)
    clear, dark = np.zeros((1, width), np.uint8), np.full((1, width), 2, np.uint8)
    views = [View(clear, rows, cols, np.array([[False, True]])), View(dark, rows, cols)]
    winners = winners_of(views, [0, 1], (1, width))
    assert_array_equal(winners.selected[0], np.repeat([1, 0], CHUNK_PX))
    assert_array_equal(winners.observation_count[0], np.repeat([1, 2], CHUNK_PX))
    at = np.array([0, CHUNK_PX])
    assert quality_at(views[0], np.zeros(2, np.int64), at).tolist() == [NONE, 0]


def test_a_flight_torn_apart_is_refused():
    with pytest.raises(GridMismatchError, match="acquisition 0 do not lie one behind the other"):
        winners_of(views_of(np.zeros((3, 1, 1), np.uint8)), [0, 1, 0], (1, 1))


@given(stacks())
def test_pixels_without_data_go_to_the_next_source_until_none_is_left(stack):
    quality, acquisitions = stack
    views, shape = views_of(quality), quality.shape[1:]
    winners = winners_of(views, acquisitions, shape)
    rows, cols = (index.astype(np.int64) for index in np.nonzero(winners.selected >= 0))
    order = np.lexsort((np.arange(len(quality))[:, np.newaxis, np.newaxis] + 0 * quality, quality), axis=0)
    for turn in range(1, len(quality) + 1):
        next_winners(views, acquisitions, rows, cols, winners)
        for row, col in zip(rows, cols, strict=True):
            left = [source for source in order[turn:, row, col] if quality[source, row, col] != NONE]
            assert winners.selected[row, col] == (left[0] if left else -1)
            assert winners.quality[row, col] == (quality[left[0], row, col] if left else NONE)
            assert winners.observation_count[row, col] == len({acquisitions[source] for source in left})
        keep = winners.selected[rows, cols] >= 0
        rows, cols = rows[keep], cols[keep]


def test_unfilled_pixels_are_those_with_a_winner_and_a_gap_in_some_band():
    winners = winners_of(views_of(np.array([[[0, 0, NONE], [0, 0, 0]]], np.uint8)), [0], (2, 3))
    bands = [np.array([[1, NODATA, NODATA], [1, 1, 1]], np.int16), np.array([[1, 1, NODATA], [1, 1, NODATA]], np.int16)]
    rows, cols = unfilled(winners, bands, begin=0, end=2)
    assert list(zip(rows.tolist(), cols.tolist(), strict=True)) == [(0, 1), (1, 2)]
    rows, cols = unfilled(winners, bands, begin=1, end=2)
    assert list(zip(rows.tolist(), cols.tolist(), strict=True)) == [(1, 2)]
