"""Reflectance of stored blocks on an output grid, and of its pixels only the ones that are wanted."""

from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, SATURATED_REFLECTANCE, Flag, ReflectanceCount
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.picking.stored_blocks import Block, undo_row
from geo_assets.kernels.picking.taps import Taps
from geo_assets.kernels.radiometry import LOWEST_REFLECTANCE

_RUN_PX = 256
"""Output pixels that are interpolated at a time: few enough that scattered winners do not cost whole rows."""

Rectangle: TypeAlias = tuple[int, int, int, int]
"""A part of the output: row begin, row end, column begin, column end; the ends are not included."""


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
        undo_row(pixels, undone, rows[row] - top)
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
        undo_row(pixels, undone, rows[row] - top)
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
        undo_row(pixels, undone, rows[row] - top)
        undo_row(pixels, undone, next_rows[row] - top)
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
