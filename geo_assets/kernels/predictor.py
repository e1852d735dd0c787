"""TIFF's predictors: what is stored are differences of neighbours, which compress better than values.

TIFF 6.0 section 14 (predictor 2); Adobe Photoshop TIFF Technical Note 3 (predictor 3).
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array


def padded_differences(band: NDArray[Any], *, fill: int, block_px: int) -> NDArray[Any] | None:
    """Predictor 2 of a block: the differences along its rows, as a whole block whatever part of it there is.

    Parameters
    ----------
    band : (y, x) integers, at most (block_px, block_px)
        Values in native byte order.
    fill : int
        What lies below and to the right of `band`.
    block_px : int
        Edge of the block.

    Returns
    -------
    differences : (block_px, block_px) unsigned, of the width of `band`, or None
        The first value of a row, then differences that wrap round, as of the signed values. None where every value
        of `band` is `fill`.

    Raises
    ------
    GridMismatchError
        `band` has other dimensions, no pixel, or more than the block.
    """
    _expect_part(band, block_px)
    unsigned = band.view(f"u{band.dtype.itemsize}")
    differences = np.empty((block_px, block_px), unsigned.dtype)
    return differences if _fill_differences(unsigned, _bits(fill, band.dtype), differences) else None


def padded_float_differences(band: NDArray[Any], *, fill: float, block_px: int) -> NDArray[np.uint8] | None:
    """Predictor 3 of a block: the differences of the bytes along its rows, as a whole block.

    Parameters
    ----------
    band : (y, x) float32 or float64, at most (block_px, block_px)
        In native byte order.
    fill : float
        What lies below and to the right of `band`; may be NaN.
    block_px : int
        Edge of the block.

    Returns
    -------
    differences : (block_px, block_px * bytes of a value) uint8, or None
        The first bytes of all values of a row, then the second ones, and so on, most significant first; each less
        the one before it. None where every value of `band` is `fill`, or NaN where that is NaN.

    Raises
    ------
    GridMismatchError
        `band` has other dimensions, no pixel, or more than the block.
    """
    _expect_part(band, block_px)
    width = band.dtype.itemsize
    differences = np.empty((block_px, block_px * width), np.uint8)
    bits = band.view(f"u{width}")
    has_data = _fill_float_differences(band, bits, band.dtype.type(fill), _bits(fill, band.dtype), differences)
    return differences if has_data else None


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


def _expect_part(band: NDArray[Any], block_px: int) -> None:
    expect_array("band", band, band.dtype, (None, None))
    if not (1 <= band.shape[0] <= block_px and 1 <= band.shape[1] <= block_px):
        raise GridMismatchError(
            f"Array 'band': found {band.shape}, expected 1 to {block_px} rows and columns. Cut it to one block."
        )


def _bits(value: float, dtype: np.dtype[Any]) -> Any:
    """The bits of `value` as a scalar of the unsigned integers of the same width."""
    return np.array([value], dtype).view(f"u{dtype.itemsize}")[0]


@njit(nogil=True, cache=True)
def _fill_differences(band: Any, fill: Any, differences: Any) -> bool:
    """Whether any value differs from `fill`."""
    rows, cols = band.shape
    differing = differences.dtype.type(0)
    for row in range(rows):
        values, line = band[row], differences[row]
        line[0] = values[0]
        differing |= values[0] ^ fill
        for col in range(1, cols):
            line[col] = values[col] - values[col - 1]
            differing |= values[col] ^ fill
        if cols < line.size:
            line[cols] = fill - values[cols - 1]
            line[cols + 1 :] = 0
    differences[rows:, 0] = fill
    differences[rows:, 1:] = 0
    return bool(differing != 0)


@njit(nogil=True, cache=True)
def _fill_float_differences(band: Any, bits: Any, fill: Any, fill_bits: Any, differences: NDArray[np.uint8]) -> bool:
    """Whether any value differs from `fill`."""
    rows, cols = band.shape
    block_px = differences.shape[0]
    width = differences.shape[1] // block_px
    line = np.empty(differences.shape[1], np.uint8)
    differing = 0
    for row in range(block_px):
        for byte in range(width):
            shift = 8 * (width - 1 - byte)
            plane = line[byte * block_px : (byte + 1) * block_px]
            plane[:] = np.uint8(fill_bits >> shift)
            if row < rows:
                values = bits[row]
                for col in range(cols):
                    plane[col] = np.uint8(values[col] >> shift)
        if row < rows:
            for col in range(cols):
                value = band[row, col]
                differing |= not (value == fill or (value != value and fill != fill))
        target = differences[row]
        target[0] = line[0]
        for at in range(1, line.size):
            target[at] = line[at] - line[at - 1]
    return bool(differing != 0)


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
