"""From stored counts to reflectance counts, and from fine pixels to coarse ones."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import (
    NODATA_REFLECTANCE,
    SATURATED_REFLECTANCE,
    ClassCode,
    ReflectanceCount,
)
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array, expect_at_least

LOWEST_REFLECTANCE = NODATA_REFLECTANCE + 1
"""Smallest reflectance count that is a value."""


def reflectance_counts(dn: NDArray[np.uint16] | NDArray[np.int16], *, offset_dn: int, nodata: int) -> ReflectanceCount:
    """Reflectance counts from an archive's stored counts. The only place where the offset is applied.

    Parameters
    ----------
    dn : (..., y, x) uint16 or int16
        Stored counts of 1e-4 reflectance (Sentinel-2, HLS and MCD43A4 all use this scale).
    offset_dn : int
        Added to the counts: 0, or -1000 since processing baseline 04.00 unless the archive has already added
        it.
    nodata : int
        The stored count that means "nothing seen": 0 for Sentinel-2, -9999 for HLS. Tested before the offset.

    Returns
    -------
    reflectance : (..., y, x) int16
        ``dn + offset_dn``, negative values kept, limited to -32767 and to 32767 (saturated); -32768 where
        `dn` is nodata and nowhere else.

    Raises
    ------
    GridMismatchError
        `dn` is neither uint16 nor int16.

    Notes
    -----
    Sentinel-2 Products Specification, BOA_ADD_OFFSET, processing baseline 04.00 on.
    """
    if dn.dtype not in (np.dtype(np.uint16), np.dtype(np.int16)):
        raise GridMismatchError(
            f"Stored counts: found {dn.dtype}, expected uint16 or int16. Read the band as it is stored."
        )
    reflectance = np.empty(dn.shape, np.int16)
    _fill_reflectance_counts(np.ravel(dn), offset_dn, nodata, reflectance.reshape(-1))
    return reflectance


def block_mean(counts: ReflectanceCount, factor: int) -> ReflectanceCount:
    """Mean of the valid pixels of every `factor` x `factor` cell: the way down in resolution for reflectance.

    Parameters
    ----------
    counts : (y, x) int16
        Reflectance counts, nodata -32768. The first cell begins at the first pixel.
    factor : int
        Pixels along a cell's edge. Cells at the right and bottom may be cut off by the array's edge.

    Returns
    -------
    mean : (ceil(y / factor), ceil(x / factor)) int16
        ``floor(mean + 1/2)`` computed exactly; -32768 where no pixel of the cell is valid.

    Raises
    ------
    GridMismatchError
        `counts` is not a 2-D array of int16.
    RegionError
        `factor` is below 1.
    """
    expect_array("counts", counts, np.int16, (None, None))
    expect_at_least("factor", factor, 1)
    mean = np.empty((-(-counts.shape[0] // factor), -(-counts.shape[1] // factor)), np.int16)
    _fill_block_mean(counts, factor, mean)
    return mean


def every_nth(classes: ClassCode, factor: int) -> ClassCode:
    """The pixel at the centre of every `factor` x `factor` cell: the way down in resolution for categories.

    Parameters
    ----------
    classes : (y, x) uint8
        Categories, which have no mean.
    factor : int
        Pixels along a cell's edge. With an even factor the centre is a corner, and the pixel below and right
        of it is taken.

    Returns
    -------
    centres : (ceil(y / factor), ceil(x / factor)) uint8
        ``classes[i * factor + factor // 2, j * factor + factor // 2]``; where the array's edge cuts a cell
        off before its centre, its last row or column.

    Raises
    ------
    GridMismatchError
        `classes` is not a 2-D array of uint8.
    RegionError
        `factor` is below 1.
    """
    expect_array("classes", classes, np.uint8, (None, None))
    expect_at_least("factor", factor, 1)
    rows, cols = (np.minimum(np.arange(0, length, factor) + factor // 2, length - 1) for length in classes.shape)
    return classes[np.ix_(rows, cols)]


@njit(nogil=True, cache=True)
def _fill_reflectance_counts(dn: NDArray[Any], offset_dn: int, nodata: int, reflectance: ReflectanceCount) -> None:
    for index in range(dn.size):
        shifted = np.int64(dn[index]) + offset_dn
        if dn[index] == nodata:
            reflectance[index] = NODATA_REFLECTANCE
        elif shifted < LOWEST_REFLECTANCE:
            reflectance[index] = LOWEST_REFLECTANCE
        elif shifted > SATURATED_REFLECTANCE:
            reflectance[index] = SATURATED_REFLECTANCE
        else:
            reflectance[index] = shifted


@njit(nogil=True, cache=True)
def _fill_block_mean(counts: ReflectanceCount, factor: int, mean: ReflectanceCount) -> None:
    height, width = counts.shape
    total = np.empty(mean.shape[1], np.int64)
    number = np.empty(mean.shape[1], np.int64)
    for cell_row in range(mean.shape[0]):
        total[:] = 0
        number[:] = 0
        for row in range(cell_row * factor, min((cell_row + 1) * factor, height)):
            for cell in range(mean.shape[1]):
                for col in range(cell * factor, min((cell + 1) * factor, width)):
                    value = np.int64(counts[row, col])
                    if value != NODATA_REFLECTANCE:
                        total[cell] += value
                        number[cell] += 1
        for cell in range(mean.shape[1]):
            if number[cell] == 0:
                mean[cell_row, cell] = NODATA_REFLECTANCE
            else:
                mean[cell_row, cell] = (2 * total[cell] + number[cell]) // (2 * number[cell])
