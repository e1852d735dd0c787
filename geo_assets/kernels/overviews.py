"""Overviews: a raster at half its resolution, again and again.

Every function halves pixels whose upper left corner lies on an even row and column of the raster, so a raster
may be halved block by block, in any order, and the result is that of halving it whole.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def overview_shapes(height: int, width: int, *, largest_px: int) -> list[tuple[int, int]]:
    """Shapes of the overviews of a raster, largest first; none where the raster itself is small enough.

    Parameters
    ----------
    height, width : int
        Pixels of the raster.
    largest_px : int
        The last overview is the first whose longest side is at most this.

    Returns
    -------
    shapes : list of (height, width)
        Each half of the one before, rounded up.
    """
    shapes = []
    while max(height, width) > largest_px:
        height, width = (height + 1) // 2, (width + 1) // 2
        shapes.append((height, width))
    return shapes


def nearest_half(pixels: NDArray[Any]) -> NDArray[Any]:
    """Half the resolution by taking the upper left pixel of each 2x2: for classes, which have no mean.

    Parameters
    ----------
    pixels : (band, y, x) of any dtype

    Returns
    -------
    half : (band, ceil(y / 2), ceil(x / 2)) of the same dtype
        A view of `pixels`. Nodata is a value like any other.
    """
    return pixels[:, ::2, ::2]


def mean_half(pixels: NDArray[Any], *, nodata: float | None) -> NDArray[Any]:
    """Half the resolution by the mean of the valid pixels of each 2x2.

    Parameters
    ----------
    pixels : (band, y, x) integers of up to 32 bits, float32 or float64
    nodata : float, optional
        Value of the pixels that do not count. Without it every integer counts. NaN never counts.

    Returns
    -------
    half : (band, ceil(y / 2), ceil(x / 2)) of the same dtype
        Integers are rounded, halves towards plus infinity: 1.5 gives 2 and -1.5 gives -1. Where no pixel is
        valid it is `nodata`, or NaN without one. At an odd edge the mean is that of the pixels that exist.
    """
    bands, height, width = pixels.shape
    half = np.empty((bands, (height + 1) // 2, (width + 1) // 2), pixels.dtype)
    contiguous = np.ascontiguousarray(pixels)  # one memory layout: compiled once for each dtype
    if pixels.dtype.kind == "f":
        _halve_floats(contiguous, pixels.dtype.type(np.nan if nodata is None else nodata), half)
    else:
        # Without nodata, a value that no pixel of up to 32 bits can have.
        _halve_integers(contiguous, np.int64(np.iinfo(np.int64).min if nodata is None else nodata), half)
    return half


@njit(nogil=True, cache=True)
def _integer_mean(a: Any, b: Any, c: Any, d: Any, nodata: np.int64) -> Any:
    total, count = np.int64(0), np.int64(0)
    for value in (a, b, c, d):
        if value != nodata:
            total += value
            count += 1
    # `//` rounds down for negative totals too, so this is floor(mean + 1/2).
    return (2 * total + count) // (2 * count) if count > 0 else nodata


@njit(nogil=True, cache=True)
def _float_mean(a: Any, b: Any, c: Any, d: Any, nodata: Any) -> Any:
    total, count = 0.0, 0  # float64
    for value in (a, b, c, d):
        if value == value and value != nodata:  # NaN differs from itself
            total += value
            count += 1
    return total / count if count > 0 else np.float64(nodata)


@njit(nogil=True, cache=True)
def _occurs(nodata: np.int64, line: Any) -> bool:
    found = 0
    for col in range(line.size):
        found |= np.int64(line[col]) == nodata
    return found != 0


# The two loops differ in one call only: a function passed to a kernel would be neither inlined nor cached.
# Where an odd edge lacks a pixel, its neighbour counts twice: so do the others, and the mean is the same.


@njit(nogil=True, cache=True)
def _halve_integers(pixels: NDArray[Any], nodata: np.int64, half: NDArray[Any]) -> None:
    bands, height, width = pixels.shape
    for band in range(bands):
        for row in range(half.shape[1]):
            upper = pixels[band, 2 * row]
            lower = pixels[band, min(2 * row + 1, height - 1)]
            target = half[band, row]
            if _occurs(nodata, upper) or _occurs(nodata, lower):
                for col in range(width // 2):
                    x = 2 * col
                    target[col] = _integer_mean(upper[x], upper[x + 1], lower[x], lower[x + 1], nodata)
            else:  # several pixels at a time
                for col in range(width // 2):
                    x = 2 * col
                    total = np.int64(upper[x]) + np.int64(upper[x + 1]) + np.int64(lower[x]) + np.int64(lower[x + 1])
                    target[col] = (total + 2) >> 2
            if width % 2:
                target[-1] = _integer_mean(upper[-1], upper[-1], lower[-1], lower[-1], nodata)


@njit(nogil=True, cache=True)
def _halve_floats(pixels: NDArray[Any], nodata: Any, half: NDArray[Any]) -> None:
    bands, height, width = pixels.shape
    for band in range(bands):
        for row in range(half.shape[1]):
            upper = pixels[band, 2 * row]
            lower = pixels[band, min(2 * row + 1, height - 1)]
            for col in range(width // 2):
                x = 2 * col
                half[band, row, col] = _float_mean(upper[x], upper[x + 1], lower[x], lower[x + 1], nodata)
            if width % 2:
                half[band, row, -1] = _float_mean(upper[-1], upper[-1], lower[-1], lower[-1], nodata)
