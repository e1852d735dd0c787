"""The cheapest line through a grid of costs, and the two sides of it.

All costs are integers and ties go to the smaller index, so the line is the same on every machine.
"""

from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array

Cost: TypeAlias = NDArray[np.int32]
"""(y, x) int32: what a line pays for passing through a cell, above 0."""

HIGHEST_COST = 1 << 16
"""Of a cell. In a grid of 16,000 cells on either edge, the costliest line and a cell's index beside it fit an int64."""

UNDECIDED = 255
"""Of a cell on neither side."""

_STRAIGHT, _DIAGONAL = 5, 7
"""Half the length of a step in tenths of a cell: each of the two cells pays for its half."""


def cheapest_path(cost: Cost, starts: Flag, ends: Flag) -> NDArray[np.int64]:
    """Cells of the cheapest line between two places.

    Parameters
    ----------
    cost : (y, x) int32
        1 to `HIGHEST_COST`.
    starts, ends : (y, x) bool
        The line may begin at any True of `starts`, and end at any True of `ends`.

    Returns
    -------
    path : (n, 2) int64
        Rows and columns from start to end, each cell one of the eight neighbours of the one before. It pays half
        the cost of either cell for a step, times 10 (14 for a diagonal one). Of equally cheap lines the one whose
        cells were reached first, in the order of costs and then of row-major indices.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above, a cost is out of range, a place is empty, or there are too many cells.

    Notes
    -----
    Dijkstra (1959), "A note on two problems in connexion with graphs", on a binary heap.
    """
    expect_array("cost", cost, np.int32, (None, None))
    expect_array("starts", starts, np.bool_, cost.shape)
    expect_array("ends", ends, np.bool_, cost.shape)
    # No cell costs more to reach than along the most direct line: so many diagonal steps, each of two halves.
    costliest = 2 * _DIAGONAL * HIGHEST_COST * (max(cost.shape) + 1)
    if (costliest + 1) * cost.size > np.iinfo(np.int64).max:
        raise GridMismatchError(
            f"Cheapest path: found {cost.shape[0]} x {cost.shape[1]} cells, expected at most about 16,000 x 16,000. "
            "Take larger cells."
        )
    if not (starts.any() and ends.any()) or cost.min() < 1 or cost.max() > HIGHEST_COST:
        raise GridMismatchError(
            f"Cheapest path: found {starts.sum()} starts, {ends.sum()} ends and costs from {cost.min(initial=0)} to "
            f"{cost.max(initial=0)}, expected at least one of each and costs from 1 to {HIGHEST_COST}. Scale the costs."
        )
    backwards = _cheapest_path(np.ascontiguousarray(cost), starts, ends)
    return np.stack(np.divmod(backwards[::-1], cost.shape[1]), axis=1)


def sides_of(path: NDArray[np.int64], first: Flag, second: Flag) -> NDArray[np.uint8]:
    """Which side of a line each cell is on.

    Parameters
    ----------
    path : (n, 2) int64
        From `cheapest_path`.
    first, second : (y, x) bool
        Cells from which the two sides are flooded, through the edges of cells and not across the line; of a cell
        that both reach, `first`.

    Returns
    -------
    side : (y, x) uint8
        0 on the side of `first`, 1 on that of `second`, `UNDECIDED` on the line itself and where neither flood came.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above.
    """
    expect_array("path", path, np.int64, (None, 2))
    expect_array("first", first, np.bool_, (None, None))
    expect_array("second", second, np.bool_, first.shape)
    side = np.full(first.shape, UNDECIDED, np.uint8)
    barred = np.zeros(first.shape, np.bool_)
    barred[path[:, 0], path[:, 1]] = True
    _flood(first, barred, np.uint8(0), side)
    _flood(second, barred, np.uint8(1), side)
    return side


@njit(nogil=True, cache=True)
def _cheapest_path(cost: Cost, starts: Flag, ends: Flag) -> NDArray[np.int64]:
    """Row-major indices of the path's cells, from its end to its start."""
    height, width = cost.shape
    cells = height * width
    paid = np.full(cells, np.iinfo(np.int64).max, np.int64)
    before = np.full(cells, -1, np.int64)
    heap = np.empty(1024, np.int64)  # of what was paid, times the number of cells, plus the cell: ties are decided
    size = 0
    for cell in range(cells):
        if starts[cell // width, cell % width]:
            paid[cell] = _STRAIGHT * np.int64(cost[cell // width, cell % width])
            heap, size = _pushed(heap, size, paid[cell] * cells + cell)
    end = -1
    while size > 0:
        smallest = heap[0]
        size = _without_smallest(heap, size)
        cell = smallest % cells
        if smallest // cells != paid[cell]:
            continue  # it was reached more cheaply since
        row, col = cell // width, cell % width
        if ends[row, col]:
            end = cell
            break
        for down in range(-1, 2):
            for right in range(-1, 2):
                to_row, to_col = row + down, col + right
                if not (0 <= to_row < height and 0 <= to_col < width) or (down == 0 and right == 0):
                    continue
                step = _DIAGONAL if down != 0 and right != 0 else _STRAIGHT
                total = paid[cell] + step * (np.int64(cost[row, col]) + np.int64(cost[to_row, to_col]))
                to_cell = to_row * width + to_col
                if total < paid[to_cell]:
                    paid[to_cell] = total
                    before[to_cell] = cell
                    heap, size = _pushed(heap, size, total * cells + to_cell)
    length = 0
    cell = end
    while cell >= 0:
        length += 1
        cell = before[cell]
    path = np.empty(length, np.int64)
    cell = end
    for position in range(length):
        path[position] = cell
        cell = before[cell]
    return path


@njit(nogil=True, cache=True)
def _pushed(heap: NDArray[np.int64], size: int, key: int) -> tuple[NDArray[np.int64], int]:
    """The heap with one key more, in a longer array if need be."""
    if size == heap.size:
        longer = np.empty(2 * size, np.int64)
        longer[:size] = heap
        heap = longer
    at = size
    while at > 0 and heap[(at - 1) >> 1] > key:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = key
    return heap, size + 1


@njit(nogil=True, cache=True)
def _without_smallest(heap: NDArray[np.int64], size: int) -> int:
    """Take the smallest key out of the heap, and return how many are left."""
    size -= 1
    key = heap[size]
    at = 0
    while 2 * at + 1 < size:
        below = 2 * at + 1
        if below + 1 < size and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= key:
            break
        heap[at] = heap[below]
        at = below
    heap[at] = key
    return size


@njit(nogil=True, cache=True)
def _flood(seeds: Flag, barred: Flag, label: np.uint8, side: NDArray[np.uint8]) -> None:
    height, width = side.shape
    waiting = np.empty(side.size, np.int64)
    size = 0
    for row in range(height):
        for col in range(width):
            if seeds[row, col] and not barred[row, col] and side[row, col] == UNDECIDED:
                side[row, col] = label
                waiting[size] = row * width + col
                size += 1
    while size > 0:
        size -= 1
        row, col = waiting[size] // width, waiting[size] % width
        for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            to_row, to_col = row + down, col + right
            if not (0 <= to_row < height and 0 <= to_col < width):
                continue
            if side[to_row, to_col] == UNDECIDED and not barred[to_row, to_col]:
                side[to_row, to_col] = label
                waiting[size] = to_row * width + to_col
                size += 1
