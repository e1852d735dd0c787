"""Quantities on another grid: interpolated, averaged where pixels grow, and never taken for nodata."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.reprojection import resample_bilinear
from geo_assets.kernels.resampling import resample_mean

NODATA = -32768


def grid(rows, cols):
    """Positions at the crossings of rows and columns."""
    return tuple(np.ascontiguousarray(one) for one in np.meshgrid(rows, cols, indexing="ij"))


@given(st.integers(0, 2**32 - 1), st.floats(-1, 8), st.floats(-1, 8))
def test_one_place_a_pixel_is_bilinear_interpolation(seed, row, col):
    random = np.random.default_rng(seed)
    source = random.integers(-500, 500, (7, 7)).astype(np.int16)
    source[random.random((7, 7)) < 0.3] = NODATA
    places = grid(row + np.arange(3) * 0.7, col + np.arange(3) * 0.7)
    assert_array_equal(resample_mean(source, *places, nodata=NODATA), resample_bilinear(source, *places, nodata=NODATA))


def test_pixels_that_grow_are_averages():
    source = np.arange(64, dtype=np.float32).reshape(8, 8)
    places = grid(np.arange(8) + 0.5, np.arange(8) + 0.5)
    coarse = resample_mean(source, *places, nodata=np.nan, factor=4)
    assert_allclose(coarse, source.reshape(2, 4, 2, 4).mean(axis=(1, 3)))


def test_half_of_a_large_pixel_makes_it_valid():
    source = np.full((2, 4), 7, np.uint8)
    source[0] = 255
    source[1, 3] = 255
    places = grid(np.arange(2) + 0.5, np.arange(4) + 0.5)
    assert_array_equal(resample_mean(source, *places, nodata=255, factor=2), [[7, 255]])


@pytest.mark.parametrize(
    ("dtype", "next_above"), [("int16", 1), ("float32", np.nextafter(np.float32(0), np.float32(1)))]
)
def test_what_would_be_nodata_is_the_next_value_above(dtype, next_above):
    source = np.array([[-10, 10]], dtype)
    assert resample_mean(source, *grid([0.5], [1.0]), nodata=0)[0, 0] == next_above


def test_nan_is_never_interpolated_and_nowhere_is_nodata():
    source = np.array([[1.0, np.nan, 3.0]])
    found = resample_mean(source, *grid([0.5], [0.9, 1.5, 2.1, 9.0, np.inf]), nodata=np.nan)
    assert_array_equal(found, [[1.0, np.nan, 3.0, np.nan, np.nan]])


def test_rows_and_columns_of_two_shapes_are_refused():
    with pytest.raises(GridMismatchError, match="'cols'"):
        resample_mean(np.zeros((2, 2), np.int16), np.zeros((1, 2)), np.zeros((2, 2)), nodata=0)
