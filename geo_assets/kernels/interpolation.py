"""Reflectance on a finer grid that nests in the stored one, in integers."""

import numpy as np
from numba import njit

from geo_assets.domain.arrays import NODATA_REFLECTANCE, ReflectanceCount


def bilinear_up(counts: ReflectanceCount, *, factor: int) -> ReflectanceCount:
    """Bilinear interpolation to pixels `factor` times smaller.

    Parameters
    ----------
    counts : (y, x) int16
        Reflectance x 10,000; -32768 is nodata.
    factor
        Fine pixels along the edge of a stored one, at least 1.

    Returns
    -------
    fine : (y * factor, x * factor) int16
        Nodata exactly where the stored pixel round the fine one is nodata; elsewhere the weighted mean of the valid
        ones among the four stored pixels whose centres are nearest, rounded half up.

    Notes
    -----
    A fine pixel's centre lies at ``(i + 1/2) / factor - 1/2`` stored pixels, so all weights are whole numbers of
    ``1 / (2 factor)`` squared: the sum is exact, and the result is the same however the grid was cut (given a ring
    of one stored pixel).
    """
    height, width = counts.shape
    fine = np.empty((height * factor, width * factor), np.int16)
    _bilinear_up(np.ascontiguousarray(counts), factor, fine)
    return fine


@njit(nogil=True, cache=True)
def _bilinear_up(counts: ReflectanceCount, factor: int, fine: ReflectanceCount) -> None:
    height, width = counts.shape
    whole = 2 * factor
    for row in range(fine.shape[0]):
        own_row = row // factor
        along = 2 * (row % factor) + 1 - factor  # centre's distance from the stored centre, in 1/(2 factor)
        other_row = min(max(own_row + (1 if along > 0 else -1), 0), height - 1)
        weight_other_row = np.int64(abs(along))
        weight_own_row = whole - weight_other_row
        for col in range(fine.shape[1]):
            own_col = col // factor
            if counts[own_row, own_col] == NODATA_REFLECTANCE:
                fine[row, col] = NODATA_REFLECTANCE
                continue
            across = 2 * (col % factor) + 1 - factor
            other_col = min(max(own_col + (1 if across > 0 else -1), 0), width - 1)
            weight_other_col = np.int64(abs(across))
            weight_own_col = whole - weight_other_col
            total, weights = np.int64(0), np.int64(0)
            for near_row, weight_row in ((own_row, weight_own_row), (other_row, weight_other_row)):
                for near_col, weight_col in ((own_col, weight_own_col), (other_col, weight_other_col)):
                    value = counts[near_row, near_col]
                    if value != NODATA_REFLECTANCE:
                        total += np.int64(value) * weight_row * weight_col
                        weights += weight_row * weight_col
            fine[row, col] = (2 * total + weights) // (2 * weights)
