"""TIFF's predictors undone: what is stored are differences of neighbours, which compress better than values.

TIFF 6.0 section 14 (predictor 2); Adobe Photoshop TIFF Technical Note 3 (predictor 3).
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.kernels.expectations import expect_array


def undo_differences(block: NDArray[Any], *, rows: slice = slice(None)) -> None:
    """Predictor 2 undone in place: every value becomes the sum of the differences up to it.

    Parameters
    ----------
    block : (y, x) or (y, x, sample), 8, 16 or 32 bits a value
        Differences along the rows, sample by sample, in native byte order; afterwards the values. Sums wrap round,
        so signed integers and the bits of floats come out as they went in.
    rows
        Only these; rows do not depend on each other.

    Raises
    ------
    GridMismatchError
        `block` has other dimensions.
    """
    unsigned = block.view(f"u{block.dtype.itemsize}")
    if block.ndim == 2:
        unsigned = unsigned[:, :, np.newaxis]
    expect_array("block", unsigned, unsigned.dtype, (None, None, None))
    _undo_differences(unsigned[rows])


def undo_float_differences(stored: NDArray[np.uint8], *, samples: int) -> NDArray[np.float32]:
    """Predictor 3 undone: bytes summed along the rows, then put together to floats.

    Parameters
    ----------
    stored : (y, 4 * x * samples) uint8
        A row holds the first bytes of all its values, then the second ones, and so on, most significant first
        whatever the file's byte order; each byte is the difference to the one `samples` before it.
    samples : int
        Values of a pixel that follow each other.

    Returns
    -------
    values : (y, x * samples) float32
        In native byte order.

    Raises
    ------
    GridMismatchError
        `stored` is not a 2-D array of uint8.
    """
    expect_array("stored", stored, np.uint8, (None, None))
    bits = np.empty((stored.shape[0], stored.shape[1] // 4), np.uint32)
    _undo_float_differences(stored, samples, bits)
    return bits.view(np.float32)


@njit(nogil=True, cache=True)
def _undo_differences(block: Any) -> None:
    rows, cols, samples = block.shape
    for row in range(rows):
        for sample in range(samples):
            total = block[row, 0, sample]
            for col in range(1, cols):
                total += block[row, col, sample]
                block[row, col, sample] = total


@njit(nogil=True, cache=True)
def _undo_float_differences(stored: Any, samples: int, bits: Any) -> None:
    rows, values = bits.shape
    line = np.empty(stored.shape[1], np.uint8)
    for row in range(rows):
        for sample in range(samples):
            total = np.uint8(0)
            for at in range(sample, line.size, samples):
                total += stored[row, at]
                line[at] = total
        for value in range(values):
            bits[row, value] = (
                np.uint32(line[value]) << np.uint32(24)
                | np.uint32(line[values + value]) << np.uint32(16)
                | np.uint32(line[2 * values + value]) << np.uint32(8)
                | np.uint32(line[3 * values + value])
            )
