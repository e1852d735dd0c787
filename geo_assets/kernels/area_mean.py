"""A coarse look at reflectance: means over the ground of larger pixels that need not nest in the stored ones."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, ReflectanceCount
from geo_assets.kernels.expectations import expect_array


def area_mean(
    counts: ReflectanceCount, row_edges: NDArray[np.float64], col_edges: NDArray[np.float64]
) -> ReflectanceCount:
    """Mean of the valid pixels that each cell of another grid covers, weighted by the area covered.

    Parameters
    ----------
    counts : (y, x) int16
        Reflectance counts, nodata -32768.
    row_edges : (rows + 1,) float64
        Where the cells' edges lie, in pixels of `counts` from its upper edge, increasing. A cell may reach beyond
        the array: there is nodata.
    col_edges : (columns + 1,) float64
        Likewise from its left edge.

    Returns
    -------
    mean : (rows, columns) int16
        ``floor(mean + 1/2)``; -32768 where no valid pixel is covered.

    Raises
    ------
    GridMismatchError
        An array has another dtype or number of axes.
    """
    expect_array("counts", counts, np.int16, (None, None))
    expect_array("row_edges", row_edges, np.float64, (None,))
    expect_array("col_edges", col_edges, np.float64, (None,))
    mean = np.empty((len(row_edges) - 1, len(col_edges) - 1), np.int16)
    _fill_area_mean(counts, row_edges, col_edges, mean)
    return mean


@njit(nogil=True, cache=True)
def _fill_area_mean(counts: Any, row_edges: Any, col_edges: Any, mean: Any) -> None:
    height, width = counts.shape
    for cell_row in range(mean.shape[0]):
        upper, lower = row_edges[cell_row], row_edges[cell_row + 1]
        rows = range(max(int(np.floor(upper)), 0), min(int(np.ceil(lower)), height))
        for cell_col in range(mean.shape[1]):
            left, right = col_edges[cell_col], col_edges[cell_col + 1]
            cols = range(max(int(np.floor(left)), 0), min(int(np.ceil(right)), width))
            total, covered = 0.0, 0.0
            for row in rows:
                tall = min(lower, row + 1.0) - max(upper, float(row))
                for col in cols:
                    if counts[row, col] != NODATA_REFLECTANCE:
                        area = tall * (min(right, col + 1.0) - max(left, float(col)))
                        total += area * counts[row, col]
                        covered += area
            mean[cell_row, cell_col] = np.floor(total / covered + 0.5) if covered > 0.0 else NODATA_REFLECTANCE
