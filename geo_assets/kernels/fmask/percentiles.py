"""Exact percentiles of millions of values without sorting or copying them."""

from collections.abc import Sequence
from math import floor
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_HALF = 1 << 16
_SIGN = np.uint32(0x8000_0000)
_ALL = np.uint32(0xFFFF_FFFF)


class PixelSet(NamedTuple):
    """The pixels whose flags, of those that are asked for, are exactly the wanted ones."""

    asked: int
    wanted: int


def percentiles(
    values: NDArray[np.float32], flags: NDArray[np.uint8], pixels: PixelSet, percents: Sequence[float]
) -> tuple[float, ...]:
    """Percentiles of the values of some pixels, as `numpy.percentile` defines them (linear).

    Parameters
    ----------
    values : (y, x) float32
        Not NaN where they are looked at.
    flags : (y, x) uint8
        One bit a property of the pixel.
    pixels
        Which of them are looked at.
    percents
        0 to 100.

    Returns
    -------
    percentiles : tuple of float
        One for each of `percents`; NaN where there is no pixel.

    Notes
    -----
    Radix selection: a float32's bits, its sign turned, sort like the number. One count of the upper 16 bits tells in
    which of 65,536 intervals a rank lies, a second one of the lower 16 bits of that interval, which number it is.
    """
    bits = np.ascontiguousarray(values).view(np.uint32)
    asked, wanted = np.uint8(pixels.asked), np.uint8(pixels.wanted)
    upper = np.zeros(_HALF, np.int64)
    _count_upper(bits, flags, asked, wanted, upper)
    up_to = np.cumsum(upper)
    count = int(up_to[-1])
    if count == 0:
        return (float("nan"),) * len(percents)
    lower: dict[int, NDArray[np.int64]] = {}

    def of_rank(rank: int) -> float:
        """The value of a rank, counted from 0: its upper half first, then the lower half among equals."""
        high = int(np.searchsorted(up_to, rank, side="right"))
        if high not in lower:
            lower[high] = np.zeros(_HALF, np.int64)
            _count_lower(bits, flags, asked, wanted, np.uint32(high), lower[high])
        rank_within = rank - int(up_to[high - 1] if high else 0)
        low = int(np.searchsorted(np.cumsum(lower[high]), rank_within, side="right"))
        return _number(high << 16 | low)

    found = []
    for percent in percents:
        place = percent / 100 * (count - 1)
        rank = floor(place)
        below, above = of_rank(rank), of_rank(min(rank + 1, count - 1))
        found.append(below if above == below else below + (above - below) * (place - rank))
    return tuple(found)


def _number(sorted_bits: int) -> float:
    """The float32 of sortable bits."""
    bits = sorted_bits ^ (int(_SIGN) if sorted_bits & int(_SIGN) else int(_ALL))
    return float(np.array([bits], np.uint32).view(np.float32)[0])


@njit(nogil=True, cache=True)
def _sortable(bits: np.uint32) -> np.uint32:
    return bits ^ (_ALL if bits & _SIGN else _SIGN)


@njit(nogil=True, cache=True)
def _count_upper(
    bits: NDArray[np.uint32], flags: NDArray[np.uint8], asked: np.uint8, wanted: np.uint8, counts: NDArray[np.int64]
) -> None:
    for row in range(bits.shape[0]):
        for col in range(bits.shape[1]):
            if flags[row, col] & asked == wanted:
                counts[_sortable(bits[row, col]) >> np.uint32(16)] += 1


@njit(nogil=True, cache=True)
def _count_lower(
    bits: NDArray[np.uint32], flags: NDArray[np.uint8], asked: np.uint8, wanted: np.uint8, high: np.uint32,
    counts: NDArray[np.int64],
) -> None:  # fmt: skip
    for row in range(bits.shape[0]):
        for col in range(bits.shape[1]):
            if flags[row, col] & asked == wanted:
                key = _sortable(bits[row, col])
                if key >> np.uint32(16) == high:
                    counts[key & np.uint32(0xFFFF)] += 1
