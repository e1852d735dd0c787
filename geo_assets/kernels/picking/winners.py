"""Which scene shows each pixel best, known from quality layers alone: before any band is read.

The winner of a pixel is the scene of lowest quality code; among equals the one that comes first. Sources are numbered
in that order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, ClassCode, Flag, ReflectanceCount
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array
from geo_assets.kernels.picking.taps import Taps

CHUNK_PX = 512
"""Edge of a chunk of the output: what adaptive selection chooses scenes for."""

MOST_SOURCES = 16_383
"""Half of what an int16 numbers: the other half means "wanted, not yet read"."""


_FULL = 255
"""The count stays there."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """How well one source shows the output's pixels."""

    quality: ClassCode
    """(y, x) uint8: quality codes on a grid of their own; 255 is unusable."""
    rows: Taps
    """Output rows -> rows of `quality`, of which `first` counts."""
    cols: Taps
    """Output columns -> columns of `quality`."""
    serves: Flag | None = None
    """(y, x) bool, a value for each chunk of `CHUNK_PX`: False where the source is not to be used. None: everywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class WinnerMap:
    """The best source of every pixel of the output."""

    quality: ClassCode
    """(y, x) uint8: the winner's quality code; 255 where no source is usable."""
    selected: NDArray[np.int16]
    """(y, x) int16: the winner's number; -1 where there is none."""
    observation_count: NDArray[np.uint8]
    """(y, x) uint8: acquisitions usable here, 255 for as many or more; 0 where there is none."""


def empty_winners(height: int, width: int) -> WinnerMap:
    """No source seen yet."""
    return WinnerMap(
        np.full((height, width), NODATA_CLASS, np.uint8),
        np.full((height, width), -1, np.int16),
        np.zeros((height, width), np.uint8),
    )


def consider(views: Sequence[View], acquisitions: Sequence[int], winners: WinnerMap, *, begin: int, end: int) -> None:
    """Fill rows `begin` to `end` of the map of winners.

    Rows do not depend on each other: several threads may each fill rows of their own.

    Parameters
    ----------
    views : sequence of View
        Sources from best to worst; the number of each is its place.
    acquisitions : sequence of int
        Acquisition of each source, sources of one acquisition one behind the other: where several show a pixel, as
        tiles do that overlap, it counts as one observation.
    winners : WinnerMap, changed
        As `empty_winners` made it.

    Raises
    ------
    GridMismatchError
        More than `MOST_SOURCES` sources, quality that is not a 2-D uint8 array, or an acquisition torn apart.
    """
    if len(views) > MOST_SOURCES:
        raise GridMismatchError(
            f"Winners: found {len(views)} sources, expected at most {MOST_SOURCES}. Ask for less ground."
        )
    torn = [
        one
        for place, one in enumerate(acquisitions[1:], 1)
        if one in acquisitions[:place] and one != acquisitions[place - 1]
    ]
    if torn:
        raise GridMismatchError(f"Winners: the sources of acquisition {torn[0]} do not lie one behind the other.")
    counted = np.zeros((end - begin, winners.quality.shape[1]), np.uint8)
    everywhere = np.ones((1, 1), np.bool_)
    for source, view in enumerate(views):
        expect_array("quality", view.quality, np.uint8, (None, None))
        if source and acquisitions[source] != acquisitions[source - 1]:
            counted[:] = 0
        _consider(
            view.quality, view.rows.first, view.cols.first, max(begin, view.rows.begin), min(end, view.rows.end),
            view.cols.begin, view.cols.end, everywhere if view.serves is None else view.serves,
            view.serves is not None, np.int16(source), begin, counted,
            winners.quality, winners.selected, winners.observation_count,
        )  # fmt: skip


def quality_at(view: View, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> ClassCode:
    """(n,) uint8: the quality that a source has at output pixels; 255 where it has none.

    Parameters
    ----------
    view : View
        Of the source.
    rows, cols : (n,) int64
        Output pixels.
    """
    inside = (rows >= view.rows.begin) & (rows < view.rows.end) & (cols >= view.cols.begin) & (cols < view.cols.end)
    found = np.full(rows.shape, NODATA_CLASS, np.uint8)
    if view.serves is not None:
        inside &= view.serves[rows // CHUNK_PX, cols // CHUNK_PX]
    found[inside] = view.quality[view.rows.first[rows[inside]], view.cols.first[cols[inside]]]
    return found


def unfilled(
    winners: WinnerMap, bands: Sequence[ReflectanceCount], *, begin: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of pixels that have a winner, and no value in some band.

    Parameters
    ----------
    winners : WinnerMap
        On the output grid.
    bands : sequence of (y, x) int16
        Reflectance counts as read from the winners, nodata -32768.
    begin, end
        Rows that are looked at.

    Returns
    -------
    rows, cols : (n,) int64
        In order of rows.
    """
    lacking = np.zeros(end - begin, np.bool_)
    for band in bands:
        expect_array("band", band, np.int16, winners.selected.shape)
        _mark_lacking_rows(band[begin:end], winners.selected[begin:end], lacking)
    rows: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    cols: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for row in begin + np.flatnonzero(lacking):
        empty = np.logical_or.reduce([band[row] == NODATA_REFLECTANCE for band in bands])
        cols.append(np.flatnonzero(empty & (winners.selected[row] >= 0)))
        rows.append(np.full(cols[-1].shape, row, np.int64))
    return np.concatenate(rows), np.concatenate(cols)


def next_winners(
    views: Sequence[View],
    acquisitions: Sequence[int],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    winners: WinnerMap,
) -> None:
    """Hand pixels whose winner turned out to hold no data to the next-best source.

    Parameters
    ----------
    views, acquisitions
        As for `consider`.
    rows, cols : (n,) int64
        Those pixels, each once.
    winners : WinnerMap, changed
        `quality` and `selected` become those of the next source by quality and number, or 255 and -1; an acquisition
        that has no other usable source here is no observation any longer.
    """
    best, number = winners.quality[rows, cols], winners.selected[rows, cols]
    acquisition = np.array([*acquisitions, -1])
    next_best, next_number = np.full_like(best, NODATA_CLASS), np.full_like(number, -1)
    seen_again = np.zeros(rows.shape, np.bool_)
    for source, view in enumerate(views):
        quality = quality_at(view, rows, cols)
        later = (quality != NODATA_CLASS) & ((quality > best) | ((quality == best) & (source > number)))
        seen_again |= later & (acquisition[number] == acquisitions[source])
        better = later & (quality < next_best)
        next_best[better], next_number[better] = quality[better], source
    winners.quality[rows, cols], winners.selected[rows, cols] = next_best, next_number
    winners.observation_count[rows, cols] -= (~seen_again).astype(np.uint8)


@njit(nogil=True, cache=True)
def _consider(
    quality: ClassCode, rows: NDArray[np.int32], cols: NDArray[np.int32],
    row_begin: int, row_end: int, col_begin: int, col_end: int, serves: Flag, by_chunk: bool,
    source: np.int16, first_row: int, counted: ClassCode,
    best: ClassCode, selected: NDArray[np.int16], observation_count: NDArray[np.uint8],
) -> None:  # fmt: skip
    width = max(col_end - col_begin, 0)
    line = np.empty(width, np.uint8)
    shown_row, shown_chunk = -1, -1
    for row in range(row_begin, row_end):
        if rows[row] != shown_row or (by_chunk and row // CHUNK_PX != shown_chunk):
            shown_row, shown_chunk = rows[row], row // CHUNK_PX
            if width > 0 and cols[col_end - 1] - cols[col_begin] == width - 1:
                line[:] = quality[shown_row, cols[col_begin] : cols[col_begin] + width]
            else:
                for col in range(width):
                    line[col] = quality[shown_row, cols[col_begin + col]]
            if by_chunk:
                for col in range(width):
                    if not serves[shown_chunk, (col_begin + col) // CHUNK_PX]:
                        line[col] = NODATA_CLASS
        _take_better(
            line, source, counted[row - first_row, col_begin:col_end], best[row, col_begin:col_end],
            selected[row, col_begin:col_end], observation_count[row, col_begin:col_end],
        )  # fmt: skip


@njit(nogil=True, cache=True)
def _take_better(
    line: ClassCode, source: np.int16, counted: ClassCode,
    best: ClassCode, selected: NDArray[np.int16], observation_count: NDArray[np.uint8],
) -> None:  # fmt: skip
    """One row; without a branch, so that the compiler may use vectors."""
    for col in range(line.size):
        usable = np.uint8(line[col] != NODATA_CLASS)
        observation_count[col] += usable & np.uint8(counted[col] == 0) & np.uint8(observation_count[col] != _FULL)
        counted[col] |= usable
        selected[col] = source if line[col] < best[col] else selected[col]
        best[col] = min(line[col], best[col])


@njit(nogil=True, cache=True)
def _mark_lacking_rows(band: ReflectanceCount, selected: NDArray[np.int16], lacking: Flag) -> None:
    for row in range(band.shape[0]):
        found = False
        for col in range(band.shape[1]):
            found |= (band[row, col] == NODATA_REFLECTANCE) & (selected[row, col] >= 0)
        lacking[row] |= found
