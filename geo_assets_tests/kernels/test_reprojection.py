"""Pixels taken at positions, against slow references and by laws that need none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.reprojection import lattice_positions, resample_bilinear, resample_nearest

NODATA = -9999

shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))
counts = shapes.flatmap(
    lambda shape: arrays(np.int16, shape, elements=st.sampled_from([NODATA, NODATA + 1, -50, 0, 7, 4000, 32767]))
)
places = st.one_of(
    st.floats(-2, 9), st.integers(-2, 18).map(lambda half: half / 2), st.sampled_from([math.nan, math.inf, -math.inf])
)


@st.composite
def positions(draw):
    shape = draw(shapes)
    return draw(arrays(np.float64, shape, elements=places)), draw(arrays(np.float64, shape, elements=places))


def slow_nearest(source, row, col, fill):
    height, width = source.shape
    inside = 0 <= row < height and 0 <= col < width
    return source[math.floor(row), math.floor(col)] if inside else fill


def slow_bilinear(source, row, col, nodata):
    if slow_nearest(source, row, col, nodata) == nodata:
        return nodata
    height, width = source.shape
    total = weights = 0.0
    for near_row in range(height):
        for near_col in range(width):
            weight = max(0.0, 1 - abs(near_row + 0.5 - row)) * max(0.0, 1 - abs(near_col + 0.5 - col))
            if source[near_row, near_col] != nodata:
                total += weight * source[near_row, near_col]
                weights += weight
    return total / weights


@given(counts, positions())
def test_nearest_is_the_pixel_round_the_position(source, at):
    rows, cols = at
    taken = resample_nearest(source, rows, cols, fill=-1)
    expected = [slow_nearest(source, row, col, -1) for row, col in zip(rows.flat, cols.flat, strict=True)]
    assert_array_equal(taken.ravel(), expected)


@given(counts, positions())
def test_bilinear_is_the_mean_of_the_valid_pixels_round_the_position(source, at):
    rows, cols = at
    mixed = resample_bilinear(source, rows, cols, nodata=NODATA)
    for found, row, col in zip(mixed.ravel().tolist(), rows.flat, cols.flat, strict=True):
        expected = slow_bilinear(source, row, col, NODATA)
        assert (found == NODATA) == (expected == NODATA)
        if expected != NODATA:
            assert abs(found - expected) <= (1.5 if found == NODATA + 1 else 0.5 + 1e-9)


@given(counts, positions(), st.integers(0, 3), st.integers(0, 3))
def test_a_window_that_holds_a_ring_more_gives_the_same_pixels(source, at, top, left):
    rows, cols = at
    wide = np.pad(source, ((top, 1), (left, 2)), constant_values=NODATA)
    shifted = rows + top, cols + left
    assert_array_equal(
        resample_bilinear(wide, *shifted, nodata=NODATA),
        resample_bilinear(source, *shifted, nodata=NODATA, top=top, left=left),
    )
    assert_array_equal(
        resample_nearest(wide, *shifted, fill=NODATA),
        resample_nearest(source, *shifted, fill=NODATA, top=top, left=left),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32])
def test_at_the_pixels_centres_the_counts_come_back(dtype):
    source = np.arange(12, dtype=dtype).reshape(3, 4)
    rows, cols = np.meshgrid(np.arange(3) + 0.5, np.arange(4) + 0.5, indexing="ij")
    mixed = resample_bilinear(source, rows, cols, nodata=0)
    assert mixed.dtype == dtype
    assert_array_equal(mixed, source)
    assert_array_equal(resample_nearest(source, rows, cols, fill=9), source)


def test_half_a_count_is_rounded_up_also_below_zero():
    source = np.array([[2, 3], [-3, -2]], np.int16)
    middle = np.array([[1.0]])
    assert resample_bilinear(source, np.array([[0.5]]), middle, nodata=NODATA)[0, 0] == 3
    assert resample_bilinear(source, np.array([[1.5]]), middle, nodata=NODATA)[0, 0] == -2


def test_a_mean_that_happens_to_be_the_nodata_value_stays_a_value():
    source = np.array([[NODATA - 1, NODATA + 1]], np.int16)
    assert resample_bilinear(source, np.array([[0.5]]), np.array([[1.0]]), nodata=NODATA)[0, 0] == NODATA + 1


def test_nodata_does_not_bleed_into_its_neighbours():
    source = np.array([[1000, 0], [1000, 0]], np.uint16)
    rows, cols = np.full((1, 3), 1.0), np.array([[0.6, 0.99, 1.0]])
    assert resample_bilinear(source, rows, cols, nodata=0).tolist() == [[1000, 1000, 0]]


def test_a_flag_is_taken_as_it_is():
    clear = np.array([[True, False]])
    at = np.array([[0.5, 0.5, 7.0]]), np.array([[0.2, 1.2, 0.2]])
    taken = resample_nearest(clear, *at, fill=False)
    assert taken.dtype == bool
    assert taken.tolist() == [[True, False, False]]


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        (np.zeros((2, 2), np.float32), np.zeros((1, 1))),
        (np.zeros((2, 2), np.int16), np.zeros((1, 1), np.float32)),
        (np.zeros((2, 2), np.int16), np.zeros((2, 1))),
        (np.zeros((2, 2), np.int16), np.zeros(1)),
    ],
)
def test_reflectance_or_positions_of_another_kind_are_refused(source, rows):
    with pytest.raises(GridMismatchError, match="expected"):
        resample_bilinear(source, rows, np.zeros((1, 1)), nodata=0)


def test_a_cubic_field_is_interpolated_without_error():
    def field(row, col):
        return 3 + 2 * row - col + row * col**2 + 0.5 * row**3 - 0.25 * col**3

    nodes = field(*np.meshgrid(np.arange(7.0), np.arange(9.0), indexing="ij"))
    rows, cols = np.linspace(1, 4.99, 23), np.linspace(1, 6.99, 31)
    assert_allclose(lattice_positions(nodes, rows, cols), field(*np.meshgrid(rows, cols, indexing="ij")), atol=1e-9)


@pytest.mark.parametrize(("rows", "cols"), [([0.9], [2.0]), ([2.0], [0.0]), ([5.0], [2.0]), ([2.0], [7.5])])
def test_a_place_too_near_to_the_lattices_edge_is_refused(rows, cols):
    with pytest.raises(GridMismatchError, match="Make the lattice wider"):
        lattice_positions(np.zeros((7, 9)), np.array(rows), np.array(cols))
