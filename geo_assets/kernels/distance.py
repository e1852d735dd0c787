"""Exact distance to the nearest invalid pixel, capped, on a window.

Because it is capped, a window with `cap_px` pixels of surroundings knows everything it needs: nothing farther
away can change its distances. So blocks can be computed one by one, in any order, and agree to the bit with
the whole.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.kernels.expectations import expect_array
from geo_assets.kernels.near_distance import LARGEST_NEAR_PX, fill_near_distance

LARGEST_PX = 32_767
"""Of a cap, and of a window's width with its surroundings: two squares of it still fit an int32."""


def squared_distance(valid: Flag, *, cap_px: int, top: int, left: int, height: int, width: int) -> NDArray[np.int32]:
    """Squared Euclidean distance of each pixel of a window to the nearest False of `valid`, capped.

    Parameters
    ----------
    valid : (y, x) bool
        True where a pixel holds data. Only the window and `cap_px` pixels around it are looked at. What lies
        outside the array counts as valid: where a footprint ends at the array's edge, pad it with one ring of
        False.
    cap_px : int
        Distances of `cap_px` and more are all reported as `cap_px`.
    top, left, height, width : int
        The window, in pixels of `valid`.

    Returns
    -------
    distance2 : (height, width) int32
        In squared pixels between pixel centres: 0 where `valid` is False, at least 1 where it is True, at
        most ``cap_px**2``.

    Raises
    ------
    RegionError
        `cap_px` is below 1 or above `LARGEST_PX`.
    GridMismatchError
        `valid` is not a 2-D array of bool, or the window is empty, leaves it, or is too wide.

    Notes
    -----
    A column pass, then each row from the column distances. For caps up to `near_distance.LARGEST_NEAR_PX` by what
    may still matter, many pixels at a time; above, by the lower envelope of parabolas: Meijster, Roerdink &
    Hesselink (2000), "A general algorithm for computing distance transforms in linear time". Both are exact.
    """
    expect_array("valid", valid, np.bool_, (None, None))
    if not 1 <= cap_px <= LARGEST_PX:
        raise RegionError(f"Distance cap: found {cap_px} px, expected 1 to {LARGEST_PX}. Change the feather.")
    rows, cols = valid.shape
    if min(top, left) < 0 or min(height, width) < 1 or top + height > rows or left + width > cols:
        raise GridMismatchError(
            f"Distance window: found rows {top} to {top + height} and columns {left} to {left + width}, "
            f"expected a part of the {rows} x {cols} pixels of 'valid'. Read a larger window of validity."
        )
    first_row, first_col = max(top - cap_px, 0), max(left - cap_px, 0)
    near = valid[first_row : top + height + cap_px, first_col : left + width + cap_px]
    if near.shape[1] > LARGEST_PX:
        raise GridMismatchError(
            f"Distance window: found {near.shape[1]} columns with its surroundings, expected at most "
            f"{LARGEST_PX}. Work in smaller windows."
        )
    distance2 = np.empty((height, width), np.int32)
    fill = fill_near_distance if cap_px <= LARGEST_NEAR_PX else _fill_squared_distance
    fill(near, cap_px, top - first_row, left - first_col, distance2)
    return distance2


@njit(nogil=True, cache=True)
def _fill_squared_distance(valid: Flag, cap: int, top: int, left: int, distance2: NDArray[np.int32]) -> None:
    height, width = distance2.shape
    down = _column_distance(valid, np.uint16(cap))
    far = np.int32(cap * cap)
    # The lower envelope of one row: parabola k has its lowest point, `lift[k]`, at column `apex[k]`, and is
    # the lowest of all from column `begin[k]` to where the next begins.
    apex = np.empty(valid.shape[1], np.int32)
    lift = np.empty(valid.shape[1], np.int32)
    begin = np.empty(valid.shape[1], np.int32)
    for row in range(height):
        last = _lower_envelope(down[top + row], cap, apex, lift, begin)
        if last < 0:
            distance2[row] = far
            continue
        end = left + width
        while end > left:
            while begin[last] >= end:
                last -= 1
            start = max(begin[last], left)
            for col in range(start, end):
                away = np.int32(col - apex[last])
                distance2[row, col - left] = min(np.int32(away * away + lift[last]), far)
            end = start


@njit(nogil=True, cache=True)
def _column_distance(valid: Flag, cap: np.uint16) -> NDArray[np.uint16]:
    """Distance to the nearest False of the same column, capped."""
    # Swept row by row and not column by column: the compiler then takes many columns at a time.
    height, width = valid.shape
    down = np.empty((height, width), np.uint16)
    for col in range(width):
        down[0, col] = cap if valid[0, col] else 0
    for row in range(1, height):
        for col in range(width):
            down[row, col] = min(down[row - 1, col] + 1, cap) if valid[row, col] else 0
    for row in range(height - 2, -1, -1):
        for col in range(width):
            down[row, col] = min(down[row, col], down[row + 1, col] + 1)
    return down


@njit(nogil=True, cache=True)
def _lower_envelope(
    down: NDArray[np.uint16],
    cap: int,
    apex: NDArray[np.int32],
    lift: NDArray[np.int32],
    begin: NDArray[np.int32],
) -> int:
    """Fill the envelope of ``(col - c)**2 + down[c]**2`` over all columns c; return its last index, or -1.

    Columns whose own distance reaches the cap cannot bring any pixel below it, and are passed over.
    """
    width = down.size
    last = -1
    for col in range(width):
        if down[col] >= cap:
            continue
        height2 = np.int32(down[col]) * np.int32(down[col])
        first = np.uint32(0)
        while last >= 0:
            to_old = begin[last] - apex[last]
            to_new = begin[last] - col
            if to_old * to_old + lift[last] > to_new * to_new + height2:
                last -= 1  # the new parabola is lower wherever the old one was the lowest
                continue
            # Where they cross, rounded up. Never negative: the division, the dearest step, can be unsigned.
            gap = np.uint32(col * col - apex[last] * apex[last] + height2 - lift[last])
            first = gap // np.uint32(2 * (col - apex[last])) + np.uint32(1)
            break
        if first < width:
            last += 1
            apex[last] = col
            lift[last] = height2
            begin[last] = first
    return last
