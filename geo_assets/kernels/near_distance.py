"""The capped distance for caps whose square fits 16 bits: many pixels at a time, and only what can matter.

Instead of distances the kernels hold *rises*: how far a squared distance stays below that of the cap, so that
"nothing near" is 0, subtraction that stops at 0 cannot overflow, and nearer is larger. A row of the result is

    rise(x) = max over columns c of  rise(c) - (x - c)**2

and is found block by block: the lowest rise in a block bounds how far a source may be and still matter. Where
many columns are sources, all pixels of the block look one step further at a time, and stop soon; where sources
are few and far, each of those that matter is offered to all pixels at once. Both give the exact maximum, so the
choice between them changes nothing but time.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag

LARGEST_NEAR_PX = 255
"""Largest cap: its square is the largest that fits an uint16."""

_BLOCK = 64
_STEPS = 8
"""Columns whose contribution is computed between two looks at the bound."""
_PADDING = 6 * _BLOCK
"""Rises of 0 on either side of a row, so that no block needs to ask where the row ends: at least
`LARGEST_NEAR_PX + _BLOCK + _STEPS`."""
_FEW_SOURCES = 8
"""In a block, up to which sources are offered one by one. Measured; does not change a bit."""


@njit(nogil=True, cache=True)
def fill_near_distance(valid: Flag, cap: int, top: int, left: int, distance2: NDArray[np.int32]) -> None:
    """Fill `distance2`, the squared distances of the window of `valid` that begins at (`top`, `left`).

    As `distance.squared_distance`, which checks what it is given; `cap` is 1 to `LARGEST_NEAR_PX`.
    """
    height, width = distance2.shape
    rows, cols = valid.shape
    above = np.empty((height, cols), np.uint8)  # distance to the nearest False of the same column, upwards
    near = np.full(cols, cap, np.uint8)
    for row in range(top + height):
        _step(valid[row], cap, near)
        if row >= top:
            above[row - top] = near
    near[:] = cap
    for row in range(rows - 1, top + height - 1, -1):
        _step(valid[row], cap, near)
    origin = _PADDING + -left % _BLOCK  # of column 0 in `rise`: the window begins with a block
    blocks = (origin + cols + _PADDING) // _BLOCK + 1
    rise = np.zeros(blocks * _BLOCK, np.uint16)
    is_source = np.zeros(blocks * _BLOCK, np.uint8)
    count = np.zeros(blocks, np.int64)  # sources of each block
    peak = np.zeros(blocks, np.uint16)  # at most the highest of them; 0 without one
    sources = np.empty((blocks, _BLOCK), np.int64)
    is_listed = np.empty(blocks, np.bool_)
    best = np.empty(_BLOCK, np.uint16)
    squares = _squares()
    far2 = np.uint16(cap * cap)
    for row in range(height - 1, -1, -1):
        _step(valid[top + row], cap, near)
        _fill_rise(near, above[row], far2, rise[origin : origin + cols])
        _mark_sources(rise, is_source)
        for block in range(origin // _BLOCK, (origin + cols - 1) // _BLOCK + 1):
            part = slice(block * _BLOCK, (block + 1) * _BLOCK)
            count[block] = _total(is_source[part])
            peak[block] = _highest(rise[part]) if count[block] > 0 else 0
        highest = _highest(peak)
        if highest == 0:  # every column is the nearest of its own pixel
            _store(far2, rise[origin + left :], distance2[row])
            continue
        is_listed[:] = False
        for start in range(0, width, _BLOCK):
            at = origin + left + start
            target = distance2[row, start : start + _BLOCK]
            _load(rise[at:], target.size, far2, best)
            low = _lowest(best)
            if low < far2:
                if count[at // _BLOCK] > _FEW_SOURCES:
                    _look_around(rise, peak, cap, low, at, best)
                else:
                    _ask_sources(
                        rise, is_source, count, peak, highest, squares, sources, is_listed, low, at, target.size, best
                    )
            _store(far2, best, target)


@njit(nogil=True, cache=True)
def _step(valid: Flag, cap: int, near: NDArray[np.uint8]) -> None:
    """From the column distances of one row to those of the next."""
    farthest = np.uint8(cap - 1)
    for col in range(near.size):
        near[col] = np.uint8(min(near[col], farthest) + np.uint8(1)) if valid[col] else np.uint8(0)


@njit(nogil=True, cache=True)
def _fill_rise(below: NDArray[np.uint8], above: NDArray[np.uint8], far2: np.uint16, rise: NDArray[np.uint16]) -> None:
    for col in range(rise.size):
        distance = np.uint16(min(below[col], above[col]))
        rise[col] = np.uint16(far2 - np.uint16(distance * distance))


@njit(nogil=True, cache=True)
def _load(rise: NDArray[np.uint16], inside: int, far2: np.uint16, best: NDArray[np.uint16]) -> None:
    for x in range(best.size):
        best[x] = rise[x]
    for x in range(inside, best.size):  # beyond the window: as near as can be, so that they ask for nothing
        best[x] = far2


@njit(nogil=True, cache=True)
def _store(far2: np.uint16, rise: NDArray[np.uint16], distance2: NDArray[np.int32]) -> None:
    for x in range(distance2.size):
        distance2[x] = np.int32(far2) - np.int32(rise[x])


@njit(nogil=True, cache=True)
def _squares() -> NDArray[np.uint16]:
    """(2 * _PADDING,) squared distance to the middle, at most what an uint16 holds."""
    squares = np.empty(2 * _PADDING, np.uint16)
    for index in range(squares.size):
        squares[index] = min((index - _PADDING) ** 2, 65_535)
    return squares


@njit(nogil=True, cache=True)
def _mark_sources(rise: NDArray[np.uint16], is_source: NDArray[np.uint8]) -> None:
    """Mark the columns that may be the nearest of a pixel in another column.

    A column that is at most 1 above its right neighbour is nowhere to the right better than that neighbour, and
    likewise to the left.
    """
    inner = rise[1:-1]
    right, left = rise[2:], rise[:-2]
    marks = is_source[1:-1]
    for col in range(inner.size):
        marks[col] = np.uint8(_less(inner[col], right[col]) > 1) | np.uint8(_less(inner[col], left[col]) > 1)


@njit(nogil=True, cache=True)
def _look_around(
    rise: NDArray[np.uint16],
    peak: NDArray[np.uint16],
    cap: int,
    lowest: np.uint16,
    at: int,
    best: NDArray[np.uint16],
) -> None:
    """Raise `best`, the block that begins at `at`, to the contributions of all columns, nearest first."""
    block = at // _BLOCK
    low = np.int64(lowest)
    for away in range(0, cap, _BLOCK):
        skipped = away // _BLOCK
        left_peak = np.int64(max(peak[block - skipped - 1], peak[block - skipped]))
        right_peak = np.int64(max(peak[block + skipped + 1], peak[block + skipped]))
        for distance in range(away + 1, min(away + _BLOCK, cap), _STEPS):
            needed = low + distance * distance  # what a column so far away must exceed to matter
            if left_peak <= needed and right_peak <= needed:
                break
            if left_peak > needed:
                _raise_from(rise[at - distance - _STEPS + 1 :], True, distance, best)
            if right_peak > needed:
                _raise_from(rise[at + distance :], False, distance, best)
            low = np.int64(_lowest(best))


@njit(nogil=True, cache=True)
def _raise_from(rise: NDArray[np.uint16], backwards: bool, distance: int, best: NDArray[np.uint16]) -> None:
    """Raise a block to the contributions of `_STEPS` distances, of which `distance` is the smallest."""
    s0, s1, s2, s3 = _square(distance), _square(distance + 1), _square(distance + 2), _square(distance + 3)
    s4, s5, s6, s7 = _square(distance + 4), _square(distance + 5), _square(distance + 6), _square(distance + 7)
    if backwards:
        s0, s1, s2, s3, s4, s5, s6, s7 = s7, s6, s5, s4, s3, s2, s1, s0
    for x in range(_BLOCK):
        one = max(_less(rise[x], s0), _less(rise[x + 1], s1))
        two = max(_less(rise[x + 2], s2), _less(rise[x + 3], s3))
        three = max(_less(rise[x + 4], s4), _less(rise[x + 5], s5))
        four = max(_less(rise[x + 6], s6), _less(rise[x + 7], s7))
        best[x] = max(best[x], max(max(one, two), max(three, four)))


@njit(nogil=True, cache=True)
def _ask_sources(
    rise: NDArray[np.uint16],
    is_source: NDArray[np.uint8],
    count: NDArray[np.int64],
    peak: NDArray[np.uint16],
    highest: np.uint16,
    squares: NDArray[np.uint16],
    sources: NDArray[np.int64],
    is_listed: NDArray[np.bool_],
    lowest: np.uint16,
    at: int,
    inside: int,
    best: NDArray[np.uint16],
) -> None:
    """Raise `best`, the block that begins at `at`, to the contributions of the sources, one by one.

    Of two sources on the same side the farther one matters only if it is higher at the block's near edge: the
    nearer one falls more slowly from there on. The right edge is that of the `inside` pixels within the window.
    """
    block, end = at // _BLOCK, at + inside - 1
    low = np.int64(lowest)
    if count[block] > 0:
        _list_sources(block, is_source, sources, is_listed)
        for index in range(count[block]):
            source = sources[block, index]
            if rise[source] > low + 1:
                _raise_to(rise[source], squares[_PADDING + at - source :], best)
        low = np.int64(_lowest(best))
    record = max(np.int64(best[0]), low)
    for other in range(block - 1, -1, -1):
        gap = at - (other + 1) * _BLOCK + 1
        if np.int64(highest) - gap * gap <= record:
            break
        if np.int64(peak[other]) - gap * gap > record:
            _list_sources(other, is_source, sources, is_listed)
            for index in range(count[other] - 1, -1, -1):
                source = sources[other, index]
                reach = np.int64(rise[source]) - (at - source) ** 2
                if reach > record:
                    record = reach
                    _raise_to(rise[source], squares[_PADDING + at - source :], best)
    record = max(np.int64(best[inside - 1]), low)
    for other in range(block + 1, peak.size):
        gap = other * _BLOCK - end
        if np.int64(highest) - gap * gap <= record:
            break
        if np.int64(peak[other]) - gap * gap > record:
            _list_sources(other, is_source, sources, is_listed)
            for index in range(count[other]):
                source = sources[other, index]
                reach = np.int64(rise[source]) - (source - end) ** 2
                if reach > record:
                    record = reach
                    _raise_to(rise[source], squares[_PADDING + at - source :], best)


@njit(nogil=True, cache=True)
def _list_sources(
    block: int, is_source: NDArray[np.uint8], sources: NDArray[np.int64], is_listed: NDArray[np.bool_]
) -> None:
    """List a block's sources, from left to right, where this was not done for this row."""
    if not is_listed[block]:
        is_listed[block] = True
        listed = np.int64(0)
        for col in range(block * _BLOCK, (block + 1) * _BLOCK):
            sources[block, np.minimum(listed, _BLOCK - 1)] = col
            listed += np.int64(is_source[col])


@njit(nogil=True, cache=True)
def _raise_to(height: np.uint16, squares: NDArray[np.uint16], best: NDArray[np.uint16]) -> None:
    """Raise a block to the contribution of one source; `squares` begins with that of the block's first pixel."""
    for x in range(_BLOCK):
        best[x] = max(best[x], _less(height, squares[x]))


@njit(nogil=True, cache=True, inline="always")
def _less(value: np.uint16, part: np.uint16) -> np.uint16:
    """`value - part`, or 0: one machine instruction."""
    return np.uint16(max(value, part) - part)


@njit(nogil=True, cache=True, inline="always")
def _square(distance: int) -> np.uint16:
    return np.uint16(min(distance * distance, 65_535))


@njit(nogil=True, cache=True)
def _lowest(values: NDArray[np.uint16]) -> np.uint16:
    lowest: np.uint16 = values[0]
    for index in range(values.size):
        lowest = min(lowest, values[index])
    return lowest


@njit(nogil=True, cache=True)
def _highest(values: NDArray[np.uint16]) -> np.uint16:
    highest: np.uint16 = values[0]
    for index in range(values.size):
        highest = max(highest, values[index])
    return highest


@njit(nogil=True, cache=True)
def _total(marks: NDArray[np.uint8]) -> int:
    total = 0
    for index in range(marks.size):
        total += int(marks[index])
    return total
