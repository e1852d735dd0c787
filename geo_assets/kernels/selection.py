"""Which scenes are worth fetching, judged by how much of the asked-for area each one shows."""

from collections.abc import Collection, Sequence
from datetime import datetime
from fractions import Fraction

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import ClassCode, Flag
from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.kernels.expectations import expect_array, expect_at_least
from geo_assets.kernels.quality import MaskCode, Quality, usable_quality


def clear_share_per_cell(
    codes: ClassCode,
    inside: Flag,
    *,
    cell_px: int,
    drop: Collection[MaskCode] = (MaskCode.CLOUD, MaskCode.SHADOW),
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clear pixels, and pixels of the area, in every cell: the two numbers whose ratio is the clear share.

    Counts and not the ratio, because counts of cells add up to those of the area.

    Parameters
    ----------
    codes : (y, x) uint8
        `MaskCode` of one scene.
    inside : (y, x) bool
        True for pixels of the area, whether the scene saw them or not.
    cell_px : int
        Edge of a cell. Cells at the right and bottom may be cut off by the array's edge.
    drop : collection of MaskCode
        Classes that are not clear; fill never is.

    Returns
    -------
    clear, area : (ceil(y / cell_px), ceil(x / cell_px)) int64
        Pixels inside that are clear, and pixels inside; `area` is 0 in a cell beside the area.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above.
    DetectorError
        A value that is no `MaskCode`.
    RegionError
        `cell_px` is below 1.
    """
    expect_array("codes", codes, np.uint8, (None, None))
    expect_array("inside", inside, np.bool_, codes.shape)
    expect_at_least("cell_px", cell_px, 1)
    clear = usable_quality(codes, drop=drop) != Quality.NONE
    cells = (-(-codes.shape[0] // cell_px), -(-codes.shape[1] // cell_px))
    clear_px, area_px = np.zeros(cells, np.int64), np.zeros(cells, np.int64)
    _count_cells(clear, inside, cell_px, clear_px, area_px)
    return clear_px, area_px


def rank_by_area_share(
    clear_px: NDArray[np.int64], *, acquired: Sequence[datetime], item_ids: Sequence[str]
) -> NDArray[np.intp]:
    """Scenes from best to worst: by how much of the area each shows clear, then the earlier, then by id.

    All scenes are measured against the same area, so their clear pixels rank them as the shares would. Their
    own valid pixels do not count: a cloudless sliver of a swath is not better than a whole tile with one
    cloud.

    Parameters
    ----------
    clear_px : (scene,) int64
        Clear pixels inside the area.
    acquired : sequence of datetime
        Datatake start of every scene, UTC.
    item_ids : sequence of str
        Unique, so that the ranking does not depend on the order of the catalogue's answer.

    Returns
    -------
    ranking : (scene,) intp
        Indices into the scenes, best first.

    Raises
    ------
    GridMismatchError
        The three differ in length.
    """
    expect_array("clear_px", clear_px, np.int64, (None,))
    return _ranking([-int(clear) for clear in clear_px], acquired, item_ids)


def rank_by_scene_share(
    clear_px: NDArray[np.int64],
    valid_px: NDArray[np.int64],
    *,
    acquired: Sequence[datetime],
    item_ids: Sequence[str],
) -> NDArray[np.intp]:
    """Scenes from best to worst: by the clear share of what each one saw of the area, then the earlier, then by id.

    A cloudless sliver ranks before a whole tile with one cloud: `rank_by_area_share` covers more. For comparison with
    programs that rank so.

    Parameters
    ----------
    clear_px, valid_px : (scene,) int64
        Clear pixels inside the area, and pixels inside it that the scene saw; a scene that saw none comes last.
    acquired, item_ids
        As for `rank_by_area_share`.

    Returns
    -------
    ranking : (scene,) intp
        Indices into the scenes, best first. Shares are compared as fractions, so that equals are equal.

    Raises
    ------
    GridMismatchError
        The four differ in length.
    """
    expect_array("clear_px", clear_px, np.int64, (None,))
    expect_array("valid_px", valid_px, np.int64, clear_px.shape)
    shares = [
        Fraction(int(clear), int(valid)) if valid else Fraction(-1)
        for clear, valid in zip(clear_px, valid_px, strict=True)
    ]
    return _ranking([-share for share in shares], acquired, item_ids)


def greedy_selection(clear: Flag, *, order: Sequence[int], coverage_target: float, min_k: int, max_k: int) -> list[int]:
    """The scenes that together show enough pixels clear: each time the one that adds most to those before it.

    Parameters
    ----------
    clear : (scene, pixel) bool
        True where a scene shows a pixel clear.
    order : sequence of int
        The scenes to choose from, best first: of scenes that add equally much, the first in it is taken.
    coverage_target : float
        Share of all pixels to be shown clear by at least one scene, 0 to 1. Where the scenes together do not reach
        it, what they do reach takes its place.
    min_k, max_k : int
        Fewest and most scenes; fewer than `min_k` only where `order` has no more.

    Returns
    -------
    selection : list of int
        Scenes in the order in which they were chosen.

    Raises
    ------
    GridMismatchError
        `clear` is no 2-D array of bool, or `order` repeats a scene or names one that it does not have.
    RegionError
        A share outside 0 to 1, `min_k` below 0, or `max_k` below `min_k`.
    """
    expect_array("clear", clear, np.bool_, (None, None))
    candidates = np.array(order, np.int64)
    if len(set(order)) != len(order) or any(not 0 <= scene < clear.shape[0] for scene in order):
        raise GridMismatchError(
            f"Selection: found the order {list(order)}, expected different ones of {clear.shape[0]} scenes."
        )
    if not 0 <= coverage_target <= 1:
        raise RegionError(f"Setting 'coverage_target': found {coverage_target}, expected a share of 0 to 1.")
    expect_at_least("min_k", min_k, 0)
    expect_at_least("max_k", max_k, min_k)
    chosen = np.empty(min(max_k, len(candidates)), np.int64)
    wanted = float(coverage_target) * clear.shape[1]
    number = _choose_greedily(np.ascontiguousarray(clear), candidates, wanted, min_k, chosen)
    return [int(scene) for scene in chosen[:number]]


def _ranking(keys: Sequence[int | Fraction], acquired: Sequence[datetime], item_ids: Sequence[str]) -> NDArray[np.intp]:
    """Indices in order of the keys, smallest first, then of time, then of id."""
    if not len(keys) == len(acquired) == len(item_ids):
        raise GridMismatchError(
            f"Ranking: found {len(keys)} clear counts, {len(acquired)} dates and {len(item_ids)} ids, "
            "expected one of each per scene."
        )
    best_first = sorted(range(len(keys)), key=lambda scene: (keys[scene], acquired[scene], item_ids[scene]))
    return np.array(best_first, np.intp)


@njit(nogil=True, cache=True)
def _choose_greedily(
    clear: Flag, candidates: NDArray[np.int64], wanted_px: float, min_k: int, chosen: NDArray[np.int64]
) -> int:
    """Fill `chosen`, and return how many there are."""
    pixels = clear.shape[1]
    covered = np.zeros(pixels, np.bool_)
    left = np.ones(candidates.size, np.bool_)
    covered_px, number = 0, 0
    while number < chosen.size:
        best, best_gain = -1, -1
        for place in range(candidates.size):
            if left[place]:
                scene, gain = candidates[place], 0
                for pixel in range(pixels):
                    gain += clear[scene, pixel] & ~covered[pixel]
                if gain > best_gain:
                    best, best_gain = place, gain
        # No gain at all: what the scenes reach together is reached.
        if number >= min_k and (covered_px >= wanted_px or best_gain == 0):
            break
        left[best] = False
        chosen[number] = candidates[best]
        number += 1
        covered_px += best_gain
        covered |= clear[candidates[best]]
    return number


@njit(nogil=True, cache=True)
def _count_cells(
    clear: Flag, inside: Flag, cell_px: int, clear_px: NDArray[np.int64], area_px: NDArray[np.int64]
) -> None:
    for row in range(clear.shape[0]):
        for cell_col in range(clear_px.shape[1]):
            for col in range(cell_col * cell_px, min((cell_col + 1) * cell_px, clear.shape[1])):
                area_px[row // cell_px, cell_col] += inside[row, col]
                clear_px[row // cell_px, cell_col] += inside[row, col] and clear[row, col]
