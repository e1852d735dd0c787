"""Pixels of stored blocks onto an output grid, and of those only the ones that are wanted.

Both grids lie the same way round, so rows and columns are looked up apart: `Taps` says for every output row (and every
output column) which stored ones it is made from. A block comes as its file holds it: where its predictor is not
undone yet, only the rows that are looked at pay for it.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import (
    NODATA_CLASS,
    NODATA_REFLECTANCE,
    SATURATED_REFLECTANCE,
    ClassCode,
    Flag,
    ReflectanceCount,
)
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array
from geo_assets.kernels.radiometry import LOWEST_REFLECTANCE

_RUN_PX = 256
"""Output pixels that are interpolated at a time: few enough that scattered winners do not cost whole rows."""

_ON_THE_CENTRE = 1e-6
"""Stored pixels: an output centre this near to a stored one lies on it; coordinates are not more exact."""


Rectangle: TypeAlias = tuple[int, int, int, int]
"""A part of the output: row begin, row end, column begin, column end; the ends are not included."""


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """The stored pixels that each pixel along one output axis is made from."""

    first: NDArray[np.int32]
    """(n,): the stored pixel at or before the output pixel's centre; ascending from `begin` to `end`, else -1."""
    second: NDArray[np.int32]
    """(n,): the next one, or `first` where that alone counts."""
    weight: NDArray[np.float32]
    """(n,): of `second`, 0 to 1; `first` has the rest."""
    begin: int
    """First output pixel whose centre lies on the stored raster."""
    end: int
    """One past the last."""
    steps: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Where several output pixels in turn lie between the same two stored ones, as on a grid that nests in a coarser
    one: how many, how many of the first two's are missing, and the outputs for which this holds (begin, end)."""

    def touching(self, first: int, end: int) -> tuple[int, int]:
        """Output pixels with at least one tap among the stored pixels `first` to `end` (not included)."""
        held = slice(self.begin, self.end)
        return (
            self.begin + int(np.searchsorted(self.second[held], first)),
            self.begin + int(np.searchsorted(self.first[held], end)),
        )

    def within(self, first: int, end: int) -> tuple[int, int]:
        """Output pixels all of whose taps are among the stored pixels `first` to `end`; none: an empty range."""
        held = slice(self.begin, self.end)
        begin = self.begin + int(np.searchsorted(self.first[held], first))
        return begin, max(begin, self.begin + int(np.searchsorted(self.second[held], end)))

    def moved(self, *, outputs: int = 0, stored: int = 0) -> "Taps":
        """The same taps, counted from another first output pixel and another first stored one; outputs before go."""
        begin, end = max(self.begin - outputs, 0), max(self.end - outputs, 0)
        first, second = self.first[outputs:].copy(), self.second[outputs:].copy()
        first[begin:end] -= stored
        second[begin:end] -= stored
        return Taps(first, second, self.weight[outputs:], begin, end)

    def straddling(self, border: int) -> tuple[int, int]:
        """Output pixels with one tap before the stored pixel `border` and one from it on."""
        held = slice(self.begin, self.end)
        return (
            self.begin + int(np.searchsorted(self.second[held], border)),
            self.begin + int(np.searchsorted(self.first[held], border)),
        )

    @property
    def stored(self) -> tuple[int, int]:
        """First stored pixel that is a tap, and one past the last; equal where none is."""
        if self.begin >= self.end:
            return 0, 0
        return int(self.first[self.begin]), int(self.second[self.end - 1]) + 1


def bilinear_taps(centres: NDArray[np.float64], length: int) -> Taps:
    """Taps for interpolation between stored pixels' centres.

    Parameters
    ----------
    centres : (n,) float64, ascending
        Where the output pixels' centres lie, in stored pixels from the raster's edge: 0.5 is its first pixel's centre.
    length : int
        Stored pixels along the axis; centres beyond them have no taps.

    Returns
    -------
    taps : Taps
        Half a pixel along the edge, where only one neighbour exists, takes that one.
    """
    begin, end = _on_raster(centres, length)
    place = centres[begin:end] - 0.5
    nearest = np.rint(place)
    place = np.clip(np.where(np.abs(place - nearest) < _ON_THE_CENTRE, nearest, place), 0, max(length - 1, 0))
    first = np.floor(place)
    weight = place - first
    taps = _taps(len(centres), begin, end, first, first + (weight > 0), weight)
    return replace(taps, steps=_steps(taps))


def run_taps(first: int, begin: int, end: int, number: int) -> Taps:
    """Taps of outputs that are stored pixels: outputs `begin` to `end` of `number`, from stored pixel `first` on."""
    pixels = np.arange(first, first + end - begin, dtype=np.float64)
    return _taps(number, begin, end, pixels, pixels, np.zeros_like(pixels))


def nearest_taps(centres: NDArray[np.float64], length: int) -> Taps:
    """Taps for the stored pixel that holds each output centre; parameters as of `bilinear_taps`.

    A centre on the border between two pixels belongs to the second, as in GDAL.
    """
    begin, end = _on_raster(centres, length)
    place = np.floor(centres[begin:end] + _ON_THE_CENTRE)
    pixel = np.clip(place, 0, max(length - 1, 0))
    return _taps(len(centres), begin, end, pixel, pixel, np.zeros_like(pixel))


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A piece of a stored raster, from a file's block or put together from the edges of several."""

    pixels: NDArray[Any]
    """(y, x), as stored; where `undone` is False a row holds differences from its left neighbour (TIFF predictor 2)."""
    undone: Flag
    """(y,) bool: True for rows that hold values. Rows that are looked at are undone in place."""
    top: int
    """Stored row of `pixels[0]`."""
    left: int
    """Stored column of `pixels[:, 0]`."""

    @property
    def rows(self) -> tuple[int, int]:
        """First stored row, and one past the last."""
        return self.top, self.top + self.pixels.shape[0]

    @property
    def cols(self) -> tuple[int, int]:
        """First stored column, and one past the last."""
        return self.left, self.left + self.pixels.shape[1]


def whole_block(pixels: NDArray[Any], top: int, left: int, *, predicted: bool = False) -> Block:
    """A block none of whose rows is undone (`predicted`), or all of whose rows are values."""
    return Block(pixels, np.full(pixels.shape[0], not predicted, np.bool_), top, left)


def sample_classes(block: Block, rows: Taps, cols: Taps, table: ClassCode, classes: ClassCode) -> None:
    """Fill `classes` where the nearest stored pixel lies in the block.

    Parameters
    ----------
    block : Block
        uint8.
    rows, cols : Taps
        Of the output axes; `first` alone counts.
    table : (256,) uint8
        What each stored value becomes.
    classes : (y, x) uint8, changed
        On the output grid.
    """
    expect_array("table", table, np.uint8, (256,))
    expect_array("block", block.pixels, np.uint8, (None, None))
    _sample_classes(
        block.pixels, block.undone, block.top, block.left, rows.first, cols.first,
        *rows.within(*block.rows), *cols.within(*block.cols), table, classes,
    )  # fmt: skip


def sample_validity(block: Block, rows: Taps, cols: Taps, nodata: int, classes: ClassCode) -> None:
    """Fill `classes` where the nearest stored pixel lies in the block: 0 where it holds data, else 255.

    Parameters
    ----------
    block : Block
        Of integers.
    rows, cols, classes
        As for `sample_classes`.
    nodata : int
        Stored value that means "nothing seen".
    """
    _sample_validity(
        block.pixels, block.undone, block.top, block.left, rows.first, cols.first,
        *rows.within(*block.rows), *cols.within(*block.cols), nodata, classes,
    )  # fmt: skip


def wanted_sources(wanted: NDArray[np.int16], first: int, count: int) -> Flag:
    """(count,) bool: which of the sources numbered from `first` on any pixel is to be taken from.

    Parameters
    ----------
    wanted : (y, x) int16
        Number of the source that each pixel is to be taken from.
    """
    found = np.zeros(count, np.bool_)
    _mark_wanted(wanted, first, found)
    return found


def holds_wanted(wanted: NDArray[np.int16], source: int, rectangle: Rectangle) -> bool:
    """Whether a rectangle of the output wants a pixel of a source.

    Parameters
    ----------
    wanted : (y, x) int16
        Number of the source that each pixel is to be taken from.
    """
    return bool(_holds_wanted(wanted, np.int16(source), *rectangle))


def pick_reflectance(
    block: Block,
    rows: Taps,
    cols: Taps,
    rectangle: Rectangle,
    *,
    wanted: NDArray[np.int16],
    source: int,
    offset_dn: int,
    nodata: int,
    reflectance: ReflectanceCount,
) -> None:
    """Fill the wanted pixels of a rectangle of the output by bilinear interpolation among stored counts.

    Parameters
    ----------
    block : Block
        uint16 or int16 counts; it holds all taps of the rectangle.
    rows, cols : Taps
        Of the output axes.
    rectangle : Rectangle
        An empty range does nothing.
    wanted : (y, x) int16
        Only pixels that hold `source` are filled.
    source : int
        Number of the scene that the block belongs to.
    offset_dn : int
        Added to the interpolated count.
    nodata : int
        Stored count that means "nothing seen": it has no weight, and where the pixel that holds the output's centre is
        such a one the output stays as it is.
    reflectance : (y, x) int16, changed
        Counts of 1e-4, limited to -32767 and 32767.

    Raises
    ------
    GridMismatchError
        The block holds something else than 16-bit counts.

    Notes
    -----
    ``floor(mean + 1/2) + offset_dn``, the mean in float32: exact for grids whose pixels are multiples of each other.
    """
    if block.pixels.dtype not in (np.dtype(np.uint16), np.dtype(np.int16)):
        raise GridMismatchError(
            f"Stored counts: found {block.pixels.dtype}, expected uint16 or int16. Read the band as it is stored."
        )
    row_begin, row_end, col_begin, col_end = rectangle
    if row_begin >= row_end or col_begin >= col_end:
        return
    between = bool(rows.weight[row_begin:row_end].any() or cols.weight[col_begin:col_end].any())
    if between:
        _pick_between(
            block.pixels, block.undone, block.top, block.left, rows.first, rows.second, rows.weight,
            cols.first, cols.second, cols.weight, cols.steps, row_begin, row_end, col_begin, col_end,
            wanted, np.int16(source), offset_dn, nodata, reflectance,
        )  # fmt: skip
    elif cols.first[col_end - 1] - cols.first[col_begin] == col_end - col_begin - 1:
        _pick_copies(
            block.pixels, block.undone, block.top, block.left, rows.first, row_begin, row_end, col_begin, col_end,
            wanted, np.int16(source), offset_dn, nodata, reflectance, int(cols.first[col_begin]),
        )  # fmt: skip
    else:
        _pick_centres(
            block.pixels, block.undone, block.top, block.left, rows.first, cols.first,
            row_begin, row_end, col_begin, col_end, wanted, np.int16(source), offset_dn, nodata, reflectance,
        )  # fmt: skip


def edges_of(block: Block) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Its first row, last row, first column and last column, as values; the whole block is undone for it."""
    _undo_all(block.pixels, block.undone)
    pixels = block.pixels
    return pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]


def _on_raster(centres: NDArray[np.float64], length: int) -> tuple[int, int]:
    return (
        int(np.searchsorted(centres, -_ON_THE_CENTRE)),
        int(np.searchsorted(centres, length + _ON_THE_CENTRE)),
    )


def _taps(
    number: int,
    begin: int,
    end: int,
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> Taps:
    taps = Taps(np.full(number, -1, np.int32), np.full(number, -1, np.int32), np.zeros(number, np.float32), begin, end)
    taps.first[begin:end], taps.second[begin:end], taps.weight[begin:end] = first, second, weight
    return taps


def _steps(taps: Taps) -> tuple[int, int, int, int]:
    """See `Taps.steps`."""
    between = np.flatnonzero(taps.second > taps.first)
    if not between.size or between[-1] - between[0] != between.size - 1:
        return 0, 0, 0, 0
    first = taps.first[between]
    lengths = np.diff(np.flatnonzero(np.diff(first, prepend=-1)))
    many = int(lengths[1]) if lengths.size > 1 else 0
    missing = many - int(lengths[0]) if many else 0
    if many < 2 or missing < 0 or (first != first[0] + (np.arange(first.size) + missing) // many).any():
        return 0, 0, 0, 0
    return many, missing, int(between[0]), int(between[-1]) + 1


@njit(nogil=True, cache=True)
def _undo(pixels: NDArray[Any], undone: Flag, row: int) -> None:
    """Undo horizontal differencing of one row, wrapping as TIFF asks; nothing where it is done."""
    if undone[row]:
        return
    line = pixels[row]
    total = np.int64(0)
    for col in range(line.size):
        total += line[col]
        line[col] = total  # the low bits of the sum: wraps
    undone[row] = True


@njit(nogil=True, cache=True)
def _undo_all(pixels: NDArray[Any], undone: Flag) -> None:
    for row in range(pixels.shape[0]):
        _undo(pixels, undone, row)


@njit(nogil=True, cache=True)
def _sample_classes(
    pixels: ClassCode, undone: Flag, top: int, left: int, rows: NDArray[np.int32], cols: NDArray[np.int32],
    row_begin: int, row_end: int, col_begin: int, col_end: int, table: ClassCode, classes: ClassCode,
) -> None:  # fmt: skip
    if col_begin >= col_end:
        return
    for row in range(row_begin, row_end):
        _undo(pixels, undone, rows[row] - top)
        line, places, filled = pixels[rows[row] - top], cols[col_begin:col_end], classes[row, col_begin:col_end]
        for col in range(filled.size):
            filled[col] = table[line[places[col] - left]]


@njit(nogil=True, cache=True)
def _sample_validity(
    pixels: NDArray[Any], undone: Flag, top: int, left: int, rows: NDArray[np.int32], cols: NDArray[np.int32],
    row_begin: int, row_end: int, col_begin: int, col_end: int, nodata: int, classes: ClassCode,
) -> None:  # fmt: skip
    if col_begin >= col_end:
        return
    for row in range(row_begin, row_end):
        _undo(pixels, undone, rows[row] - top)
        line, places, filled = pixels[rows[row] - top], cols[col_begin:col_end], classes[row, col_begin:col_end]
        for col in range(filled.size):
            filled[col] = NODATA_CLASS if line[places[col] - left] == nodata else 0


@njit(nogil=True, cache=True)
def _is_in(line: NDArray[np.int16], source: np.int16, begin: int, end: int) -> bool:
    part = line[begin:end]
    found = np.int16(0)
    for col in range(part.size):  # no way out early, and as wide as the pixels: the compiler uses vectors
        found |= np.int16(part[col] == source)
    return bool(found != 0)


@njit(nogil=True, cache=True)
def _holds_wanted(
    wanted: NDArray[np.int16], source: np.int16, row_begin: int, row_end: int, col_begin: int, col_end: int
) -> bool:
    row = row_begin
    while row < row_end and not _is_in(wanted[row], source, col_begin, col_end):
        row += 1
    return row < row_end


@njit(nogil=True, cache=True)
def _stored_reflectance(count: np.int32) -> np.int32:
    return min(max(count, np.int32(LOWEST_REFLECTANCE)), np.int32(SATURATED_REFLECTANCE))


@njit(nogil=True, cache=True)
def _pick_copies(
    pixels: NDArray[Any], undone: Flag, top: int, left: int, rows: NDArray[np.int32],
    row_begin: int, row_end: int, col_begin: int, col_end: int,
    wanted: NDArray[np.int16], source: np.int16, offset_dn: int, nodata: int, reflectance: ReflectanceCount,
    first_col: int,
) -> None:  # fmt: skip
    """As `_pick_centres`, where output columns are stored columns, one after the other from `first_col` on."""
    empty, offset = np.int32(nodata), np.int32(offset_dn)
    for row in range(row_begin, row_end):
        if not _is_in(wanted[row], source, col_begin, col_end):
            continue
        _undo(pixels, undone, rows[row] - top)
        line = pixels[rows[row] - top, first_col - left : first_col - left + col_end - col_begin]
        asked, filled = wanted[row, col_begin:col_end], reflectance[row, col_begin:col_end]
        for col in range(line.size):
            count = np.int32(line[col])
            # Stored only if so, never put back as it was: the pixel beside may be another source's, in another thread.
            if (asked[col] == source) & (count != empty):
                filled[col] = np.int16(_stored_reflectance(count + offset))


@njit(nogil=True, cache=True)
def _pick_centres(
    pixels: NDArray[Any], undone: Flag, top: int, left: int, rows: NDArray[np.int32], cols: NDArray[np.int32],
    row_begin: int, row_end: int, col_begin: int, col_end: int,
    wanted: NDArray[np.int16], source: np.int16, offset_dn: int, nodata: int, reflectance: ReflectanceCount,
) -> None:  # fmt: skip
    """Every output centre lies on a stored one."""
    empty, offset = np.int32(nodata), np.int32(offset_dn)
    for row in range(row_begin, row_end):
        if not _is_in(wanted[row], source, col_begin, col_end):
            continue
        _undo(pixels, undone, rows[row] - top)
        line = pixels[rows[row] - top]
        for col in range(col_begin, col_end):
            if wanted[row, col] == source:
                count = np.int32(line[cols[col] - left])
                if count != empty:
                    reflectance[row, col] = _stored_reflectance(count + offset)


@njit(nogil=True, cache=True)
def _pick_between(
    pixels: NDArray[Any], undone: Flag, top: int, left: int,
    rows: NDArray[np.int32], next_rows: NDArray[np.int32], row_weights: NDArray[np.float32],
    cols: NDArray[np.int32], next_cols: NDArray[np.int32], col_weights: NDArray[np.float32],
    steps: tuple[int, int, int, int], row_begin: int, row_end: int, col_begin: int, col_end: int,
    wanted: NDArray[np.int16], source: np.int16, offset_dn: int, nodata: int, reflectance: ReflectanceCount,
) -> None:  # fmt: skip
    """Bilinear interpolation among the valid ones of four stored pixels: down the columns first, then along the row."""
    empty, offset = np.int32(nodata), np.int32(offset_dn)
    first, end = cols[col_begin] - left, next_cols[col_end - 1] + 1 - left
    many, missing, steps_begin, steps_end = steps
    mixed, sides = np.empty(end - first, np.float32), np.empty((2, _RUN_PX + 2 * many), np.float32)
    interpolated = np.empty(_RUN_PX, np.int16)
    for row in range(row_begin, row_end):
        if not _is_in(wanted[row], source, col_begin, col_end):
            continue
        _undo(pixels, undone, rows[row] - top)
        _undo(pixels, undone, next_rows[row] - top)
        above, below = pixels[rows[row] - top, first:end], pixels[next_rows[row] - top, first:end]
        _mix(above, below, row_weights[row], empty, mixed)
        for begin in range(col_begin, col_end, _RUN_PX):
            stop = min(begin + _RUN_PX, col_end)
            if not _is_in(wanted[row], source, begin, stop):
                continue
            if steps_begin <= begin and stop <= steps_end:
                skipped = (begin - steps_begin + missing) % many
                at = cols[begin] - first - left
                _repeat(mixed[at:], many, skipped + stop - begin, sides[0])
                _repeat(mixed[at + 1 :], many, skipped + stop - begin, sides[1])
            else:
                skipped = 0
                for col in range(begin, stop):  # apart from the arithmetic, which then uses vectors
                    sides[0, col - begin] = mixed[cols[col] - first - left]
                    sides[1, col - begin] = mixed[next_cols[col] - first - left]
            _interpolate(sides[0, skipped:], sides[1, skipped:], col_weights[begin:stop], offset, interpolated)
            if _take(interpolated, wanted[row, begin:stop], source, reflectance[row, begin:stop]):
                _fill_gaps(
                    above, below, row_weights[row], cols[begin:stop], next_cols[begin:stop], col_weights[begin:stop],
                    first + left, interpolated, wanted[row, begin:stop], source, offset, empty,
                    reflectance[row, begin:stop],
                )  # fmt: skip


@njit(nogil=True, cache=True)
def _take(
    interpolated: NDArray[np.int16], wanted: NDArray[np.int16], source: np.int16, reflectance: NDArray[np.int16]
) -> bool:
    """Fill the wanted pixels of a run that have a value; whether one of them has none."""
    none = np.int16(NODATA_REFLECTANCE)
    for col in range(wanted.size):
        if (wanted[col] == source) & (interpolated[col] != none):  # stored only if so: see `_pick_copies`
            reflectance[col] = interpolated[col]
    some_gap = np.int16(0)
    for col in range(wanted.size):
        some_gap |= np.int16((wanted[col] == source) & (interpolated[col] == none))
    return bool(some_gap != 0)


@njit(nogil=True, cache=True)
def _mix(
    above: NDArray[Any], below: NDArray[Any], down: np.float32, empty: np.int32, mixed: NDArray[np.float32]
) -> None:
    """Fill `mixed` between two stored rows; NaN where one of them holds nodata."""
    for col in range(mixed.size):
        mean = (np.float32(1) - down) * np.float32(above[col]) + down * np.float32(below[col])
        has_empty = (np.int32(above[col]) == empty) | (np.int32(below[col]) == empty)
        mixed[col] = np.float32(np.nan) if has_empty else mean


@njit(nogil=True, cache=True)
def _repeat(values: NDArray[np.float32], many: int, number: int, repeated: NDArray[np.float32]) -> None:
    """Fill at least `number` of `repeated` with each value `many` times; the usual ways to nest are spelled out."""
    count = -(-number // many)
    if many == 2:
        for index in range(count):
            repeated[2 * index] = repeated[2 * index + 1] = values[index]
    elif many == 3:
        for index in range(count):
            repeated[3 * index] = repeated[3 * index + 1] = repeated[3 * index + 2] = values[index]
    elif many == 6:
        for index in range(count):
            repeated[6 * index] = repeated[6 * index + 1] = repeated[6 * index + 2] = values[index]
            repeated[6 * index + 3] = repeated[6 * index + 4] = repeated[6 * index + 5] = values[index]
    else:
        for index in range(count):
            repeated[index * many : (index + 1) * many] = values[index]


@njit(nogil=True, cache=True)
def _interpolate(
    west: NDArray[np.float32], east: NDArray[np.float32], weights: NDArray[np.float32], offset: np.int32,
    interpolated: NDArray[np.int16],
) -> None:  # fmt: skip
    """Reflectance counts of a run of output pixels; nodata where a stored pixel lacks."""
    for col in range(weights.size):
        mean = (np.float32(1) - weights[col]) * west[col] + weights[col] * east[col]
        is_gap = mean != mean  # NaN
        count = np.int32(np.floor((np.float32(0) if is_gap else mean) + np.float32(0.5)))
        interpolated[col] = np.int32(NODATA_REFLECTANCE) if is_gap else _stored_reflectance(count + offset)


@njit(nogil=True, cache=True)
def _fill_gaps(
    above: NDArray[Any], below: NDArray[Any], down: np.float32, cols: NDArray[np.int32], next_cols: NDArray[np.int32],
    weights: NDArray[np.float32], first_col: int, interpolated: NDArray[np.int16], wanted: NDArray[np.int16],
    source: np.int16, offset: np.int32, empty: np.int32, reflectance: NDArray[np.int16],
) -> None:  # fmt: skip
    """The wanted pixels of a run with nodata among their four stored ones: from the others, if the own is valid."""
    one, none, half = np.float32(1), np.float32(0), np.float32(0.5)
    for col in range(cols.size):
        if interpolated[col] != NODATA_REFLECTANCE or wanted[col] != source:
            continue
        west, east, right = cols[col] - first_col, next_cols[col] - first_col, weights[col]
        north_west, north_east = np.int32(above[west]), np.int32(above[east])
        south_west, south_east = np.int32(below[west]), np.int32(below[east])
        if down >= half:  # of the four, the one that the centre lies in
            own = south_east if right >= half else south_west
        else:
            own = north_east if right >= half else north_west
        if own == empty:
            continue
        w_nw = (one - down) * (one - right) if north_west != empty else none
        w_ne = (one - down) * right if north_east != empty else none
        w_sw = down * (one - right) if south_west != empty else none
        w_se = down * right if south_east != empty else none
        total = w_nw * np.float32(north_west) + w_ne * np.float32(north_east)
        total += w_sw * np.float32(south_west) + w_se * np.float32(south_east)
        mean = total / (w_nw + w_ne + w_sw + w_se)
        reflectance[col] = _stored_reflectance(np.int32(np.floor(mean + half)) + offset)


@njit(nogil=True, cache=True)
def _mark_wanted(wanted: NDArray[np.int16], first: int, found: Flag) -> None:
    for row in range(wanted.shape[0]):
        last = np.int16(-1)
        for col in range(wanted.shape[1]):
            if wanted[row, col] != last:
                last = wanted[row, col]
                if first <= last < first + found.size:
                    found[last - first] = True
