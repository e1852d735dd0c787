"""Quantities of one grid on another, of any dtype that can be blended: interpolated, or averaged where pixels grow."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.kernels.expectations import expect_array, expect_at_least
from geo_assets.kernels.reprojection import Positions


def resample_mean(
    source: NDArray[Any],
    rows: Positions,
    cols: Positions,
    *,
    nodata: float,
    factor: int = 1,
    top: int = 0,
    left: int = 0,
) -> NDArray[Any]:
    """Every target pixel as the mean of bilinear values at ``factor**2`` places within it.

    Parameters
    ----------
    source : (row, col) of any of `kernels.mosaicking.blending.BLENDED_DTYPES`
        A window of a raster. Beyond the window there is no data, so it needs one pixel more on every side than the
        positions touch, except at the raster's edge.
    rows, cols : (y * factor, x * factor) float64
        Places in that raster, pixels from its upper left corner (`kernels.reprojection`); not finite lies outside.
    nodata
        A value of the dtype, or NaN; NaN is never data. Validity is taken from the source alone: no value that comes
        of interpolation is taken for nodata.
    factor
        Places along the edge of a target pixel: about the source pixels that it is long.
    top, left
        Row and column of the raster at which the window begins.

    Returns
    -------
    resampled : (y, x) of the source's dtype
        A place has data exactly where the source pixel in which it lies has; its value is the weighted mean of the
        valid ones among the four nearest. A target pixel has data where at least half of its places have; integers
        are rounded half up; what would be nodata is the next value above.

    Raises
    ------
    GridMismatchError
        Rows and columns differ in shape or dtype.
    RegionError
        `factor` is below 1.
    """
    expect_at_least("factor", factor, 1)
    expect_array("rows", rows, np.float64, (None, None))
    expect_array("cols", cols, np.float64, rows.shape)
    empty = source.dtype.type(nodata)
    floating = source.dtype.kind == "f"
    above = np.nextafter(empty, source.dtype.type(np.inf)) if floating else np.int64(empty) + 1
    resampled = np.empty((rows.shape[0] // factor, rows.shape[1] // factor), source.dtype)
    _resample(np.ascontiguousarray(source), rows, cols, factor, top, left, empty, above, floating, resampled)
    return resampled


@njit(nogil=True, cache=True)
def _resample(
    source: NDArray[Any],
    rows: Positions,
    cols: Positions,
    factor: int,
    top: int,
    left: int,
    nodata: Any,
    above: Any,
    floating: bool,
    resampled: NDArray[Any],
) -> None:
    for y in range(resampled.shape[0]):
        for x in range(resampled.shape[1]):
            total, known = 0.0, 0
            for row in range(y * factor, (y + 1) * factor):
                for col in range(x * factor, (x + 1) * factor):
                    value = _interpolated(source, rows[row, col] - top, cols[row, col] - left, nodata)
                    if value == value:
                        total += value
                        known += 1
            resampled[y, x] = nodata
            if 2 * known >= factor * factor:
                mean = total / known
                resampled[y, x] = mean if floating else np.floor(mean + 0.5)
                if resampled[y, x] == nodata:
                    resampled[y, x] = above


@njit(nogil=True, cache=True)
def _interpolated(source: NDArray[Any], row: float, col: float, nodata: Any) -> float:
    """Weighted mean of the valid ones among the four pixels nearest to a place; NaN where its own has no data.

    `row` and `col` count from the corner of `source` (y, x), and lie outside of it where they are not finite. As in
    `reprojection`, whose loop knows integers only, and would be a third slower with this one.
    """
    height, width = source.shape
    if not (row >= 0 and col >= 0 and row < height and col < width):
        return np.nan
    here = source[int(row), int(col)]
    if here == nodata or here != here:
        return np.nan
    first_row, first_col = int(np.floor(row - 0.5)), int(np.floor(col - 0.5))
    along, across = row - 0.5 - first_row, col - 0.5 - first_col
    total, weights = 0.0, 0.0
    for below in range(2):
        near_row = first_row + below
        if near_row < 0 or near_row >= height:
            continue
        weight_row = along if below else 1.0 - along
        for beside in range(2):
            near_col = first_col + beside
            if near_col < 0 or near_col >= width:
                continue
            value = source[near_row, near_col]
            if value == nodata or value != value:
                continue
            weight = weight_row * (across if beside else 1.0 - across)
            total += weight * np.float64(value)
            weights += weight
    return total / weights
