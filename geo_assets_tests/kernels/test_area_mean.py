"""Means over cells that need not nest in the pixels."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.area_mean import area_mean
from geo_assets.kernels.radiometry import block_mean
from geo_assets_tests.scenery.references import NODATA, half_up

counts = hnp.arrays(
    np.int16,
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    elements=st.sampled_from([NODATA, -32767, 32767, 0]) | st.integers(-32767, 32767),
)


@st.composite
def edges(draw):
    """Increasing quarters of pixels, some beyond the raster."""
    quarters = draw(st.lists(st.integers(-12, 40), min_size=2, max_size=6, unique=True))
    return np.array(sorted(quarters)) / 4


def slow_area_mean(pixels, row_edges, col_edges):
    def shared(low, high, pixel):
        return max(Fraction(0), min(Fraction(high), pixel + 1) - max(Fraction(low), pixel))

    mean = np.full((len(row_edges) - 1, len(col_edges) - 1), NODATA)
    for row, (upper, lower) in enumerate(pairwise(row_edges)):
        for col, (left, right) in enumerate(pairwise(col_edges)):
            areas = {
                (y, x): shared(upper, lower, y) * shared(left, right, x)
                for y, x in np.ndindex(pixels.shape)
                if pixels[y, x] != NODATA
            }
            if sum(areas.values()):
                total = sum(int(pixels[pixel]) * area for pixel, area in areas.items())
                mean[row, col] = half_up(total / sum(areas.values()))
    return mean


@given(counts, edges(), edges())
def test_the_mean_equals_the_slow_reference(pixels, row_edges, col_edges):
    found = area_mean(pixels, row_edges, col_edges)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, slow_area_mean(pixels, row_edges, col_edges))


@given(counts, st.integers(1, 4))
def test_whole_cells_give_the_block_mean(pixels, factor):
    rows, cols = (np.arange(0.0, length + factor, factor) for length in pixels.shape)
    np.testing.assert_array_equal(area_mean(pixels, rows, cols), block_mean(pixels, factor))


@given(counts, edges(), edges())
def test_cells_do_not_depend_on_their_neighbours(pixels, row_edges, col_edges):
    whole = area_mean(pixels, row_edges, col_edges)
    for row in range(len(row_edges) - 1):
        np.testing.assert_array_equal(area_mean(pixels, row_edges[row : row + 2], col_edges), whole[row : row + 1])


def test_a_cell_of_no_width_or_beyond_the_pixels_has_no_mean():
    found = area_mean(np.ones((3, 3), np.int16), np.array([0.0, 0.0, 1.0, 5.0, 9.0]), np.array([-2.0, -1.0, 0.5]))
    assert found.tolist() == [[NODATA, NODATA], [NODATA, 1], [NODATA, 1], [NODATA, NODATA]]


def test_other_dtypes_are_refused():
    edge = np.array([0.0, 1.0])
    with pytest.raises(GridMismatchError, match="counts"):
        area_mean(np.ones((3, 3), np.uint16), edge, edge)
    with pytest.raises(GridMismatchError, match="row_edges"):
        area_mean(np.ones((3, 3), np.int16), np.array([0, 1]), edge)
