"""Two rasters of the same ground, seen through cells of pixels: means where every pixel of a cell is valid in both."""

from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.errors import GridMismatchError

CellMeans: TypeAlias = NDArray[np.float64]
"""(band, y, x) float64: mean of a cell's pixels in stored counts; NaN is nodata."""


def common_cell_means(
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    cell_px: int,
    first_nodata: float | None,
    second_nodata: float | None,
) -> tuple[CellMeans, CellMeans]:
    """Means over the cells of two windows of the same ground, only where both know every pixel of a cell.

    Parameters
    ----------
    first, second : (band, y, x) of any integer or floating dtype, the same one
        Stored counts; edges are whole numbers of cells.
    cell_px
        Edge of a cell, pixels.
    first_nodata, second_nodata
        Nodata of each; NaN is allowed, None: every value is data. In floating dtypes NaN is always nodata.

    Returns
    -------
    first_means, second_means : (band, y / cell_px, x / cell_px) float64
        NaN where, in this band, a pixel of the cell is nodata in one of the two. Integers are summed as integers, so
        that the mean is the rounded quotient of exact numbers; floats are summed in float64, row by row.

    Raises
    ------
    GridMismatchError
        The windows differ in shape or dtype, or are not made of whole cells.
    """
    bands, height, width = first.shape
    if first.shape != second.shape or first.dtype != second.dtype or height % cell_px or width % cell_px:
        raise GridMismatchError(
            f"Overlap: found windows of {first.dtype} {first.shape} and {second.dtype} {second.shape}, expected the "
            f"same dtype and shape, with edges that are multiples of {cell_px} px. Bring both onto one grid first."
        )
    shape = (bands, height // cell_px, width // cell_px)
    first_means, second_means = np.empty(shape), np.empty(shape)
    zero = np.int64(0) if np.issubdtype(first.dtype, np.integer) else np.float64(0)
    _fill(first, second, *_sentinel(first.dtype, first_nodata), *_sentinel(second.dtype, second_nodata), cell_px,
          zero, first_means, second_means)  # fmt: skip
    return first_means, second_means


def _sentinel(dtype: np.dtype[Any], nodata: float | None) -> tuple[float | int, bool]:
    """Nodata as the loops compare it, and whether there is one; a number that the dtype cannot hold never occurs."""
    if nodata is None or np.isnan(nodata):
        return 0, False
    if not np.issubdtype(dtype, np.integer):
        return float(np.asarray(nodata).astype(dtype)), True
    limits = np.iinfo(dtype)
    fits = float(nodata).is_integer() and limits.min <= nodata <= limits.max
    return (int(nodata), True) if fits else (0, False)


@njit(nogil=True, cache=True)
def _fill(
    first: Any, second: Any, first_nodata: Any, first_has: bool, second_nodata: Any, second_has: bool,
    cell_px: int, zero: Any, first_means: Any, second_means: Any,
) -> None:  # fmt: skip
    """`zero` is of the dtype of the sums."""
    bands, rows, cols = first_means.shape
    size = cell_px * cell_px
    for band in range(bands):
        for row in range(rows):
            for col in range(cols):
                first_sum, second_sum = zero, zero
                known = True
                for y in range(row * cell_px, (row + 1) * cell_px):
                    for x in range(col * cell_px, (col + 1) * cell_px):
                        one, other = zero + first[band, y, x], zero + second[band, y, x]
                        if (first_has and one == first_nodata) or (second_has and other == second_nodata):
                            known = False
                        first_sum += one
                        second_sum += other
                first_mean, second_mean = first_sum / size, second_sum / size
                # A NaN pixel makes its sum NaN; both must be, so that a cell is known in both or in neither.
                known = known and np.isfinite(first_mean) and np.isfinite(second_mean)
                first_means[band, row, col] = first_mean if known else np.nan
                second_means[band, row, col] = second_mean if known else np.nan
