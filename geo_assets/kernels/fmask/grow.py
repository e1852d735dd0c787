"""From matched clouds to shadow: the ground under the moved clouds, and what is dark right beside it."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.kernels.expectations import expect_array, expect_at_least
from geo_assets.kernels.fmask.match import CloudObjects, Displacement, Match


def moved_clouds(objects: CloudObjects, displacement: Displacement, match: Match, shape: tuple[int, int]) -> Flag:
    """Ground on which the matched clouds lie when they are moved to their shadows.

    Parameters
    ----------
    objects, displacement, match
        Of one scene.
    shape : (rows, cols)
        Of that scene.

    Returns
    -------
    covered : (y, x) bool
        Clouds that were not matched cover nothing.
    """
    covered = np.zeros(shape, np.bool_)
    down = np.rint(match.height_m * displacement.row_per_m).astype(np.int64)
    right = np.rint(match.height_m * displacement.col_per_m).astype(np.int64)
    runs = (objects.run_row, objects.run_begin, objects.run_end, objects.first_run)
    _fill_moved(runs, match.height_m >= 0, down, right, covered)
    return covered


def grown_within(seed: Flag, allowed: Flag, *, steps: int) -> Flag:
    """Pixels that are reached from the seed over allowed ones: geodesic dilation.

    Parameters
    ----------
    seed : (y, x) bool
        Where to start; kept, allowed or not.
    allowed : (y, x) bool
        Where it may go.
    steps : int
        How many pixels from the seed at most, diagonal steps included.

    Returns
    -------
    grown : (y, x) bool

    Raises
    ------
    RegionError
        A negative number of steps.
    GridMismatchError
        Arrays that are not as above.
    """
    expect_array("seed", seed, np.bool_, (None, None))
    expect_array("allowed", allowed, np.bool_, seed.shape)
    expect_at_least("steps", steps, 0)
    grown = seed.copy()
    _grow(allowed, steps, grown)
    return grown


@njit(nogil=True, cache=True)
def _fill_moved(
    runs: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]],
    matched: Flag,
    down: NDArray[np.int64],
    right: NDArray[np.int64],
    covered: Flag,
) -> None:
    run_row, run_begin, run_end, first_run = runs
    rows, cols = covered.shape
    for cloud in range(matched.size):
        if not matched[cloud]:
            continue
        for run in range(first_run[cloud], first_run[cloud + 1]):
            row = run_row[run] + down[cloud]
            if row < 0 or row >= rows:
                continue
            for col in range(max(run_begin[run] + right[cloud], 0), min(run_end[run] + right[cloud], cols)):
                covered[row, col] = True


@njit(nogil=True, cache=True)
def _grow(allowed: Flag, steps: int, grown: Flag) -> None:
    """Breadth first: one ring of pixels after the other."""
    rows, cols = grown.shape
    ring = np.empty(grown.size, np.int32)
    count = 0
    for row in range(rows):
        for col in range(cols):
            if grown[row, col] and _may_grow(allowed, grown, row, col):
                ring[count] = row * cols + col
                count += 1
    begin, end = 0, count
    for _ in range(steps):
        for index in range(begin, end):
            row, col = ring[index] // cols, ring[index] % cols
            for near_row in range(max(row - 1, 0), min(row + 2, rows)):
                for near_col in range(max(col - 1, 0), min(col + 2, cols)):
                    if allowed[near_row, near_col] and not grown[near_row, near_col]:
                        grown[near_row, near_col] = True
                        ring[count] = near_row * cols + near_col
                        count += 1
        begin, end = end, count


@njit(nogil=True, cache=True)
def _may_grow(allowed: Flag, grown: Flag, row: int, col: int) -> bool:
    """Whether a pixel has a neighbour that is allowed and not reached yet."""
    for near_row in range(max(row - 1, 0), min(row + 2, grown.shape[0])):
        for near_col in range(max(col - 1, 0), min(col + 2, grown.shape[1])):
            if allowed[near_row, near_col] and not grown[near_row, near_col]:
                return True
    return False
