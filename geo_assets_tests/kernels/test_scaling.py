"""Counts times a smooth factor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.scaling import NODE_STEP_PX, factor_nodes, scaled_counts

NODATA = -32768


@st.composite
def rasters(draw, least_px=1):
    """Counts with gaps, and factors at nodes that reach beyond them."""
    height, width = draw(st.integers(least_px, 70)), draw(st.integers(least_px, 70))
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    counts = random.integers(-2000, 32767, (height, width), endpoint=True).astype(np.int16)
    counts[random.random(counts.shape) < 0.1] = NODATA
    shape = tuple(-(-length // NODE_STEP_PX) + 1 for length in (height, width))
    return counts, random.uniform(0.8, 1.25, shape)


def slow(counts, nodes):
    """The same in Python's whole numbers."""
    scaled = np.full(counts.shape, NODATA, np.int16)
    for (row, col), value in np.ndenumerate(counts):
        if value != NODATA:
            above, left = row // 32, col // 32
            down, across = row % 32, col % 32
            below, right = min(above + 1, nodes.shape[0] - 1), min(left + 1, nodes.shape[1] - 1)
            on_left = int(nodes[above, left]) * (32 - down) + int(nodes[below, left]) * down
            on_right = int(nodes[above, right]) * (32 - down) + int(nodes[below, right]) * down
            factor = on_left * (32 - across) + on_right * across
            rounded = (2 * int(value) * factor + (1 << 30)) // (1 << 31)  # half up
            scaled[row, col] = min(max(rounded, -32767), 32767)
    return scaled


@settings(max_examples=40)
@given(rasters())
def test_scaled_counts_equal_the_slow_reference(raster):
    counts, factor = raster
    nodes = factor_nodes(factor)
    assert_array_equal(scaled_counts(counts, nodes), slow(counts, nodes))


@given(rasters())
def test_a_factor_of_one_changes_nothing_and_nodata_stays(raster):
    counts, factor = raster
    assert_array_equal(scaled_counts(counts, factor_nodes(np.ones(factor.shape))), counts)
    assert_array_equal(scaled_counts(counts, factor_nodes(factor)) == NODATA, counts == NODATA)


@settings(max_examples=30)
@given(rasters(least_px=NODE_STEP_PX + 1))
def test_a_window_on_nodes_is_the_whole_cut(raster):
    counts, factor = raster
    nodes = factor_nodes(factor)
    whole = scaled_counts(counts, nodes)
    part = scaled_counts(counts[NODE_STEP_PX:, NODE_STEP_PX:], nodes[1:, 1:])
    assert_array_equal(part, whole[NODE_STEP_PX:, NODE_STEP_PX:])


def test_bright_and_dark_counts_stay_inside_their_range():
    counts = np.array([[32767, 30_000, -32767, NODATA]], np.int16)
    scaled = scaled_counts(counts, factor_nodes(np.full((2, 2), 1.25)))
    assert_array_equal(scaled, [[32767, 32767, -32767, NODATA]])


def test_too_few_nodes_are_refused():
    with pytest.raises(GridMismatchError, match="expected at least"):
        scaled_counts(np.zeros((40, 40), np.int16), np.ones((1, 2), np.int32))
