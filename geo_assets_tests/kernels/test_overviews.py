"""Halving a raster: against a slow reference, and the laws that blocks rely on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.kernels.overviews import mean_half, nearest_half, overview_shapes

NODATA = {"uint8": 255, "int16": -32768, "uint16": 0}


@st.composite
def rasters(draw):
    """(pixels, nodata): small integer rasters in which nodata and the extremes are frequent."""
    dtype = draw(st.sampled_from(sorted(NODATA)))
    limits = np.iinfo(dtype)
    values = st.sampled_from([NODATA[dtype], limits.min, limits.max]) | st.integers(limits.min, limits.max)
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
    return draw(hnp.arrays(dtype, shape, elements=values)), NODATA[dtype]


def slow_mean_half(pixels, nodata):
    bands, height, width = pixels.shape
    half = np.empty((bands, -(-height // 2), -(-width // 2)), pixels.dtype)
    for band, row, col in np.ndindex(half.shape):
        four = [int(v) for v in pixels[band, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].flat]
        valid = [v for v in four if v != nodata]
        half[band, row, col] = np.floor(sum(valid) / len(valid) + 0.5) if valid else nodata
    return half


@given(rasters())
def test_mean_half_equals_the_slow_reference(raster):
    pixels, nodata = raster
    half = mean_half(pixels, nodata=nodata)
    assert half.dtype == pixels.dtype
    np.testing.assert_array_equal(half, slow_mean_half(pixels, nodata))


@given(rasters())
def test_without_nodata_every_integer_counts(raster):
    pixels, _ = raster
    np.testing.assert_array_equal(mean_half(pixels, nodata=None), slow_mean_half(pixels, nodata=None))


@given(rasters(), st.integers(0, 4), st.integers(0, 4))
def test_halving_then_cropping_equals_cropping_then_halving(raster, row, col):
    pixels, nodata = raster
    crop = pixels[:, 2 * row :, 2 * col :]
    if crop.size:
        whole = mean_half(pixels, nodata=nodata)
        np.testing.assert_array_equal(mean_half(crop, nodata=nodata), whole[:, row:, col:])


@pytest.mark.parametrize(
    ("four", "mean"),
    [([1, 2, 1, 2], 2), ([-1, -2, -1, -2], -1), ([-1, -1, -1, -2], -1), ([-3, -32768] * 2, -3)],
)
def test_halves_round_up_also_below_zero(four, mean):
    pixels = np.array(four, np.int16).reshape(1, 2, 2)
    assert mean_half(pixels, nodata=-32768).item() == mean


@pytest.mark.parametrize("nodata", [-1.0, np.nan, None])
def test_float_means_leave_out_nodata_and_nan(nodata):
    absent = np.nan if nodata is None else nodata
    pixels = np.array([[[0.25, absent, absent, absent], [np.nan, 0.75, absent, np.nan]]], np.float32)
    np.testing.assert_array_equal(mean_half(pixels, nodata=nodata), np.array([[[0.5, absent]]], np.float32))


def test_nearest_half_takes_the_upper_left_pixel():
    pixels = np.arange(15, dtype=np.uint8).reshape(1, 3, 5)
    np.testing.assert_array_equal(nearest_half(pixels), [[[0, 2, 4], [10, 12, 14]]])


def test_overviews_end_where_one_block_holds_the_raster():
    assert overview_shapes(10_980, 10_980, largest_px=512) == [
        (5490, 5490),
        (2745, 2745),
        (1373, 1373),
        (687, 687),
        (344, 344),
    ]
    assert overview_shapes(3, 513, largest_px=512) == [(2, 257)]
    assert overview_shapes(512, 512, largest_px=512) == []
