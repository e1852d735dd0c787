"""Values as ranks: how many of a feature's thresholds are smaller. For any split, the rank decides as the value does.

LightGBM's own reading of a value comes first (missing type None): NaN is 0, and so is what lies within 1e-35 of it.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_NEARLY_ZERO = float(np.float32(1e-35))
"""`kZeroThreshold` (LightGBM, include/LightGBM/meta.h): values up to it never reach the trees, which see 0."""


def reflectance_of(counts: NDArray[Any], offset: int, quantification: int) -> NDArray[np.float32]:
    """Reflectance from counts, in the arithmetic of s2cloudless' users: all of it in float32."""
    return (counts.astype(np.float32) + np.float32(offset)) / np.float32(quantification)


def rank_table(
    thresholds: NDArray[np.float64], dtype: "np.dtype[Any]", offset: int, quantification: int
) -> NDArray[np.uint8]:
    """The rank of every count that 16 bits can hold.

    Parameters
    ----------
    thresholds : (feature, 255) float64
        As in `ForestTables`.
    dtype : uint16 or int16
        Of the counts.
    offset, quantification
        As in `reflectance_of`.

    Returns
    -------
    table : (feature, 65536) uint8
        Indexed by the count's 16 bits, read as uint16.
    """
    counts = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    values = reflectance_of(counts, offset, quantification)
    table = np.empty((thresholds.shape[0], counts.size), np.uint8)
    _fill_ranks(values, thresholds, table)
    return table


@njit(nogil=True, cache=True)
def encode_counts(
    counts: NDArray[np.uint16],
    table: NDArray[np.uint8],
    key_bits: NDArray[np.uint64],
    pixels: NDArray[np.int64],
    codes: NDArray[np.uint8],
    keys: NDArray[np.uint64],
) -> None:
    """Fill codes (pixel, feature) and sort keys (pixel,) of chosen pixels of counts (feature, pixel)."""
    for number in range(pixels.size):
        key = np.uint64(0)
        for feature in range(counts.shape[0]):
            code = table[feature, counts[feature, pixels[number]]]
            codes[number, feature] = code
            key |= key_bits[feature, code]
        keys[number] = key


@njit(nogil=True, cache=True)
def encode_values(
    values: NDArray[Any],
    thresholds: NDArray[np.float64],
    key_bits: NDArray[np.uint64],
    pixels: NDArray[np.int64],
    codes: NDArray[np.uint8],
    keys: NDArray[np.uint64],
) -> None:
    """Fill codes and keys as `encode_counts` does, of values (feature, pixel) float32 or float64, by search."""
    for number in range(pixels.size):
        key = np.uint64(0)
        for feature in range(values.shape[0]):
            code = _rank(values[feature, pixels[number]], thresholds[feature])
            codes[number, feature] = code
            key |= key_bits[feature, code]
        keys[number] = key


@njit(nogil=True, cache=True)
def _fill_ranks(values: NDArray[np.float32], thresholds: NDArray[np.float64], table: NDArray[np.uint8]) -> None:
    for feature in range(table.shape[0]):
        for count in range(values.size):
            table[feature, count] = _rank(values[count], thresholds[feature])


@njit(nogil=True, cache=True)
def _rank(value: float, thresholds: NDArray[np.float64]) -> np.uint8:
    """How many of 255 ascending thresholds are smaller than a value; compared in float64, as LightGBM does."""
    seen = np.float64(value) if abs(value) > _NEARLY_ZERO else np.float64(0.0)  # NaN is not greater either
    rank = 0
    for step in (128, 64, 32, 16, 8, 4, 2, 1):
        if thresholds[rank + step - 1] < seen:
            rank += step
    return np.uint8(rank)
