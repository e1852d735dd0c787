"""Who owns a pixel of several that have it, and how weights fall across the line where the owner changes.

Integers throughout, and nothing farther than the feather from a pixel matters: a window with that much around it knows
its own part of the whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.distance import squared_distance
from geo_assets.kernels.expectations import expect_array
from geo_assets.kernels.mosaicking.blending import WEIGHT_ONE, weight_table

NOBODY: Final = 255
"""Owner of a pixel where no source has data."""


_TILE_PX = 128
"""Edge of what is weighed at a time: most tiles have one owner, and nothing to measure."""


@dataclass(frozen=True, slots=True, eq=False)
class CellLabels:
    """Which of two sources wins, on cells of the lattice."""

    row: int
    col: int
    """Lattice position of cell [0, 0], in cells."""
    label: NDArray[np.uint8]
    """(y, x): 0 the first wins, 1 the second."""


def owners(
    valid: Flag, labels: Mapping[tuple[int, int], CellLabels], row: int, col: int, *, cell_px: int
) -> NDArray[np.uint8]:
    """Index of the source that owns each pixel.

    Parameters
    ----------
    valid : (source, y, x) bool
        True where a source has data.
    labels : (first, second) -> CellLabels
        Of pairs of sources, ``first < second``; where there is none, the first wins. Between the centres of cells
        labels are interpolated linearly, and the second wins above one half: that cuts the corners of the staircase.
    row, col : int
        Lattice position of ``valid[:, 0, 0]``, pixels.
    cell_px : int
        Edge of a cell of labels, pixels of the lattice.

    Returns
    -------
    owner : (y, x) uint8
        The source that wins against all others that are valid there; where there is none such (three can win in a
        circle), the first valid one; `NOBODY` where none is.

    Raises
    ------
    GridMismatchError
        `valid` is no stack of planes of bool, or has more than 255 of them.
    """
    expect_array("valid", valid, np.bool_, (None, None, None))
    sources = len(valid)
    if sources > NOBODY:
        raise GridMismatchError(
            f"Owners: found {sources} sources in one window, expected at most {NOBODY}. Work in smaller windows."
        )
    positions = np.full((sources * (sources - 1) // 2, 5), -1, np.int64)
    planes = [np.zeros(0, np.uint8)]
    begin = 0
    for (first, second), cells in labels.items():
        expect_array("label", cells.label, np.uint8, (None, None))
        positions[second * (second - 1) // 2 + first] = (begin, cells.row, cells.col, *cells.label.shape)
        planes.append(cells.label.ravel())
        begin += cells.label.size
    owner = np.empty(valid.shape[1:], np.uint8)
    _fill_owners(valid, np.concatenate(planes), positions, row, col, cell_px, owner)
    return owner


def ownership_weights(
    valid: Flag, owner: NDArray[np.uint8], inner: tuple[slice, slice], *, feather_px: int
) -> NDArray[np.int32]:
    """Weights that change from one owner to the next over `feather_px` to either side.

    Parameters
    ----------
    valid : (source, y, x) bool
        True where a source has data; `feather_px` around the inner window, or to where all sources end.
    owner : (y, x) uint8
        From `owners`.
    inner : (slice, slice)
        The window of `valid` for which weights are wanted.
    feather_px : int
        How far from the line where the owner changes weights reach, and how far from the end of data they rise.

    Returns
    -------
    weights : (source, inner y, inner x) int32
        The rise over the signed distance to the line where the owner changes, times the rise over the distance to the
        source's own end of data, both half a cosine; `WEIGHT_ONE` where only one source has a weight.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above, or `inner` is no window.

    Notes
    -----
    Between pixel centres, the line lies half a pixel from the nearest pixel of another owner. Without the second
    factor half of a step would stay where a source's data ends near a line.
    """
    expect_array("valid", valid, np.bool_, (None, None, None))
    expect_array("owner", owner, np.uint8, valid.shape[1:])
    (top, bottom, _), (left, right, _) = (part.indices(edge) for part, edge in zip(inner, owner.shape, strict=True))
    height, width = bottom - top, right - left
    if min(height, width) < 1:
        raise GridMismatchError(f"Seamline weights: found window {inner}, expected one with pixels. Leave it out.")
    weights = np.zeros((len(valid), height, width), np.int32)
    for row in range(top, bottom, _TILE_PX):
        for col in range(left, right, _TILE_PX):
            tile = (row, col, min(_TILE_PX, bottom - row), min(_TILE_PX, right - col))
            _weigh(valid, owner, tile, feather_px, weights[:, row - top :, col - left :])
    return weights


def _weigh(
    valid: Flag, owner: NDArray[np.uint8], tile: tuple[int, int, int, int], feather_px: int, weights: NDArray[np.int32]
) -> None:
    """Fill the weights of one tile, which begins where `weights` does."""
    row, col, height, width = tile
    first_row, first_col = max(row - feather_px, 0), max(col - feather_px, 0)
    near = np.s_[first_row : row + height + feather_px, first_col : col + width + feather_px]
    owned, own = owner[near], owner[row : row + height, col : col + width]
    present = [source for source in range(len(valid)) if (owned == source).any()]
    if len(present) <= 1:
        for source in present:
            weights[source, :height, :width] = (own == source) * np.int32(WEIGHT_ONE)
        return
    window = (row - first_row, col - first_col, height, width)
    to_owned = np.stack([_distance2(owned != source, window, feather_px) for source in present])
    ends = [_distance2(valid[source][near], window, feather_px, ringed=True) for source in present]
    held = np.full(NOBODY + 1, NOBODY, np.uint8)
    held[present] = np.arange(len(present))
    shared = np.empty((len(present), height, width), np.int32)
    _fill_weights(held[own], to_owned, np.stack(ends), *_tables(feather_px), shared)
    weights[present, :height, :width] = shared


def _distance2(far: Flag, window: tuple[int, int, int, int], cap_px: int, *, ringed: bool = False) -> NDArray[np.int32]:
    """Capped squared distance to the nearest False; of a ringed plane, to its border too."""
    top, left, height, width = window
    rows, cols = far.shape
    at_border = min(top, left, rows - top - height, cols - left - width) < cap_px
    if far.all() and not (ringed and at_border):
        return np.full((height, width), cap_px**2, np.int32)
    if ringed and at_border:
        far = np.pad(far, 1)
        top, left = top + 1, left + 1
    return squared_distance(far, cap_px=cap_px, top=top, left=left, height=height, width=width)


@cache
def _tables(feather_px: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Weights over squared distance: within the own ground to another's, outside it to the own, and to the end."""
    distance = np.sqrt(np.arange(feather_px**2 + 1, dtype=np.float64))
    rise = np.sin(np.pi / 2 * np.maximum(distance - 0.5, 0) / (feather_px - 0.5)) / 2
    inside, outside = (np.rint(share * WEIGHT_ONE).astype(np.int32) for share in (0.5 + rise, 0.5 - rise))
    return inside, outside, weight_table(feather_px)


@njit(nogil=True, cache=True)
def _fill_owners(
    valid: Flag,
    labels: NDArray[np.uint8],
    positions: NDArray[np.int64],
    row: int,
    col: int,
    cell_px: int,
    owner: NDArray[np.uint8],
) -> None:
    sources, height, width = valid.shape
    second_wins = np.zeros((len(positions), width), np.uint8)
    for y in range(height):
        for pair in range(len(positions)):
            if positions[pair, 0] >= 0:
                _fill_row(labels, positions[pair], row + y, col, cell_px, second_wins[pair])
        if sources == 2:  # nearly always, and without a branch the compiler takes many columns at a time
            for x in range(width):
                wins = valid[1, y, x] & (second_wins[0, x] | (not valid[0, y, x]))
                owner[y, x] = 1 if wins else 0 if valid[0, y, x] else NOBODY
            continue
        for x in range(width):
            best, smallest = -1, -1
            for source in range(sources):
                if not valid[source, y, x]:
                    continue
                if best < 0:
                    best = smallest = source
                elif second_wins[source * (source - 1) // 2 + best, x]:
                    best = source
            for source in range(smallest, best):  # those after it lost against it above, not all before it did
                if valid[source, y, x] and not second_wins[best * (best - 1) // 2 + source, x]:
                    best = smallest
                    break
            owner[y, x] = NOBODY if best < 0 else best


@njit(nogil=True, cache=True)
def _fill_row(
    labels: NDArray[np.uint8],
    position: NDArray[np.int64],
    row: int,
    col: int,
    cell_px: int,
    second_wins: NDArray[np.uint8],
) -> None:
    """Whether the second wins, along one row of pixels: labels interpolated between the centres of cells."""
    begin, first_row, first_col, rows, cols = position
    whole = 2 * cell_px  # a cell in half pixels, as centres of pixels and of cells lie on those
    from_centre = 2 * row + 1 - whole * first_row - cell_px
    above, share_below = from_centre // whole, from_centre % whole
    upper = begin + cols * min(max(above, 0), rows - 1)
    lower = begin + cols * min(max(above + 1, 0), rows - 1)
    x = 0
    while x < second_wins.size:
        from_centre = 2 * (col + x) + 1 - whole * first_col - cell_px
        before, share_right = from_centre // whole, from_centre % whole
        left, right = min(max(before, 0), cols - 1), min(max(before + 1, 0), cols - 1)
        at_left = (whole - share_below) * labels[upper + left] + share_below * labels[lower + left]
        at_right = (whole - share_below) * labels[upper + right] + share_below * labels[lower + right]
        end = min(x + (whole - share_right + 1) // 2, second_wins.size)
        if at_left == at_right:
            second_wins[x:end] = at_left > cell_px
        else:
            for pixel in range(x, end):
                second_wins[pixel] = (whole - share_right) * at_left + share_right * at_right > whole * cell_px
                share_right += 2
        x = end


@njit(nogil=True, cache=True)
def _fill_weights(
    owner: NDArray[np.uint8],
    to_owned: NDArray[np.int32],
    to_end: NDArray[np.int32],
    inside: NDArray[np.int32],
    outside: NDArray[np.int32],
    towards_end: NDArray[np.int32],
    weights: NDArray[np.int32],
) -> None:
    sources, height, width = to_owned.shape
    for y in range(height):
        for x in range(width):
            mine = owner[y, x]
            to_other = np.int32(inside.size - 1)
            for source in range(sources):
                if source != mine:
                    to_other = min(to_other, to_owned[source, y, x])
            positive, last = 0, 0
            for source in range(sources):
                share = inside[to_other] if source == mine else outside[to_owned[source, y, x]]
                weight = np.int64(share) * towards_end[to_end[source, y, x]] // WEIGHT_ONE
                weights[source, y, x] = weight
                if weight > 0:
                    positive += 1
                    last = source
            if positive == 1:
                weights[last, y, x] = WEIGHT_ONE
