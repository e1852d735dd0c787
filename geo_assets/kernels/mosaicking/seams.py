"""How visible seams are: signed steps across every line where contributors change, against the steps beside it.

Steps are summed with their sign along a segment before anything is squared: texture and noise cancel, a seam does not.
Unsigned gradients are useless on textured land, where truth itself scores as high as many seams. And what a source
itself steps on that line, a shore or a change of its own day along a cloud, is told apart from what the mosaic adds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array

SEGMENT_PX = 256
"""Segments are cut at multiples of this on the lattice: of at most 256 steps, where the line is straight."""

SMALLEST_SEGMENT_PX = 64
"""Segments of fewer steps say more of the land's texture than of the seam, and are left out."""

PARTS = 60
"""Steps less the mean of those beside them are counted in 60ths: a whole number for one to six lines beside."""

FLOOR_PX = (-40, -36, -32, 32, 36, 40)
"""Lines beside a seam, far enough to be free of it, that are measured as if they were seams: the floor."""

PROFILE_PX = (-40, -32, -24, -20, -16, -12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40)
"""Lines whose mean steps are drawn."""

FARTHEST_PX = 65
"""How far from a seam a pixel can matter: 40 px to a floor line, 24 more to the line beside that, and its far side."""

LINES = 1 + len(FLOOR_PX) + len(PROFILE_PX)
"""Lines of one segment in the order of the sums: the seam, the floor's, the profile's."""

_BESIDE_PX = np.array((-24, -16, -8, 8, 16, 24), np.int64)
_MEASURED_PX = np.array((0, *FLOOR_PX), np.int64)
_PROFILE_PX = np.array(PROFILE_PX, np.int64)
_OFFSETS_PX = np.unique([*np.add.outer(_MEASURED_PX, np.append(_BESIDE_PX, 0)).ravel(), *_PROFILE_PX])
_REACH_PX = FARTHEST_PX - 1
_STRIDE_PX = 64
_ROOM = 8_192
_FEWEST_BESIDE = 2


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where the arrays of a window lie, and which of their pixels count."""

    row: int
    col: int
    """Lattice position of the upper left pixel."""
    inner: tuple[slice, slice]
    """Rows and columns of the pixels that count; the others are surroundings."""

    def bounds(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """First row, row after the last, the same of columns; `GridMismatchError` if arrays of `shape` end before."""
        rows, cols = self.inner
        if not (0 <= rows.start < rows.stop <= shape[-2] and 0 <= cols.start < cols.stop <= shape[-1]):
            raise GridMismatchError(
                f"Inner part of a window: found rows {rows.start} to {rows.stop}, columns {cols.start} to {cols.stop}; "
                f"expected a part of {shape[-2]} x {shape[-1]} pixels. Read the window with its surroundings."
            )
        return rows.start, rows.stop, cols.start, cols.stop


@dataclass(frozen=True, slots=True, eq=False)
class SegmentSums:
    """Steps of all segments of a window."""

    keys: NDArray[np.int64]
    """(segment, 5) lattice cell's row and column, 1 where the line is upright, contributors before and after it."""
    counts: NDArray[np.int64]
    """(segment, `LINES` + n) steps that were summed."""
    sums: NDArray[Any]
    """(segment, `LINES` + n) int64, or float64 for float values: the seam's and the floor's in `PARTS` of a count and
    less the mean of the lines beside them, the profile's as they are; then, for each of up to n sources on both sides,
    how much the mosaic steps beyond it, as it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Beneath:
    """The sources under a mosaic, and those of a segment that its steps are compared with."""

    stack: NDArray[Any]
    """(source, y, x) of the mosaic's dtype."""
    nodata: float
    on_both_sides: Callable[[int, int], Sequence[int]]
    """Codes before and after -> indexes of sources."""


def changes(codes: NDArray[np.uint32], depth: NDArray[np.uint8], frame: Frame) -> Iterator[NDArray[np.int32]]:
    """Where contributors change, one row of lattice cells after the other.

    Scratch stays small even where every second pixel is a hole.

    Parameters
    ----------
    codes : (y, x) uint32
        Who contributed, as any number; 0 where nobody did.
    depth : (y, x) uint8
        How many did. A change belongs to that of its two pixels with more, to the left or upper one among equals; and
        counts where that is an inner one. So windows without any overlap need no look.
    frame : Frame
        Where they lie.

    Yields
    ------
    places : (place, 3) int32
        Row and column of the left or upper pixel, and 1 where the line is upright (crossed from left to right), else 0.
        Both pixels have a code, and not the same.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above, or the frame's inner part leaves the arrays.
    """
    expect_array("codes", codes, np.uint32, (None, None))
    expect_array("depth", depth, np.uint8, codes.shape)
    top, bottom, left, right = frame.bounds(codes.shape)
    for cell_row in range((frame.row + top - 1) // SEGMENT_PX, (frame.row + bottom - 1) // SEGMENT_PX + 1):
        first = max(cell_row * SEGMENT_PX - frame.row, top - 1, 0)
        last = min((cell_row + 1) * SEGMENT_PX - frame.row, bottom)
        places = np.empty((_ROOM, 3), np.int32)
        found = _changes(codes, depth, first, last, top, bottom, left, right, places)
        if found > _ROOM:
            places = np.empty((found, 3), np.int32)
            _changes(codes, depth, first, last, top, bottom, left, right, places)
        yield places[:found]


def segment_sums(
    values: NDArray[Any],
    codes: NDArray[np.uint32],
    places: NDArray[np.int32],
    frame: Frame,
    beneath: Beneath | None = None,
) -> SegmentSums:
    """Steps across changes, summed per segment.

    The step of a change is the difference (right less left, lower less upper) less the mean difference on the parallel
    lines 8, 16 and 24 px to both sides, of those (two at least) whose two pixels share a code. The floor: the same for
    the lines 32, 36 and 40 px to both sides. So the land's slope falls out of both.

    Parameters
    ----------
    values : (y, x) number
        The mosaic; looked at only where it has a code.
    codes : (y, x) uint32
        Who contributed, as any number; 0 where nobody did.
    places : (place, 3) int32
        From one yield of `changes`, of these codes or of finer ones; where these do not change, nothing is measured.
    frame : Frame
        Where the arrays lie; `FARTHEST_PX` of surroundings at least, less where the mosaic ends.
    beneath : Beneath, optional
        What the mosaic was made of. Where such a source has both pixels of a change, its own step is taken from the
        mosaic's: the rest is what the mosaic adds. Without it no source is looked at.

    Returns
    -------
    sums : SegmentSums
        Keys are sorted. The sums of windows whose inner parts tile a mosaic add up to those of the whole, key by key,
        but for segments that lie within one window and are smaller than `SMALLEST_SEGMENT_PX`: they are left out.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above, or the frame's inner part leaves the arrays.
    """
    expect_array("values", values, values.dtype, (None, None))
    expect_array("codes", codes, np.uint32, values.shape)
    expect_array("places", places, np.int32, (None, 3))
    top, bottom, left, right = frame.bounds(values.shape)
    keys, group, places = _grouped(codes, places, frame)
    compared = [] if beneath is None else [beneath.on_both_sides(before, after) for *_, before, after in keys.tolist()]
    width = LINES + max(map(len, compared), default=0)
    counts = np.zeros((len(keys), width), np.int64)
    sums = np.zeros((len(keys), width), np.int64 if values.dtype.kind in "iu" else np.float64)
    if len(keys):
        _add_steps(values, codes, places, group, _OFFSETS_PX, _BESIDE_PX, _MEASURED_PX, _PROFILE_PX, counts, sums)
    if beneath is not None and width > LINES:
        expect_array("stack", beneath.stack, values.dtype, (None, *values.shape))
        sources = np.full((len(keys), width - LINES), -1, np.int64)
        for row, indexes in zip(sources, compared, strict=True):
            row[: len(indexes)] = indexes
        empty = void_of(values.dtype, beneath.nodata)
        _add_beyond(values, places, group, beneath.stack, *empty, sources, counts[:, LINES:], sums[:, LINES:])
    # A cell whose pixels and their right and lower neighbours are all inner ones gets nothing from other windows.
    cells = keys[:, :2] * SEGMENT_PX - (frame.row, frame.col)
    whole = (cells >= (top, left)).all(axis=1) & (cells + SEGMENT_PX < (bottom, right)).all(axis=1)
    kept = ~whole | (counts[:, 0] >= SMALLEST_SEGMENT_PX)
    return SegmentSums(keys[kept], counts[kept], sums[kept])


def void_of(dtype: np.dtype[Any], nodata: float) -> tuple[Any, bool]:
    """Nodata in a dtype, and whether any pixel can have it."""
    if dtype.kind == "f":
        return dtype.type(nodata), True
    limits = np.iinfo(dtype)
    if np.isfinite(nodata) and limits.min <= nodata <= limits.max and nodata == int(nodata):
        return dtype.type(nodata), True
    return dtype.type(0), False


def _grouped(
    codes: NDArray[np.uint32], places: NDArray[np.int32], frame: Frame
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """(segment, 5) keys in sorted order; and of the places where codes change the segment, and themselves."""
    rows, cols, upright = places.T
    before, after = codes[rows, cols], codes[rows + 1 - upright, cols + upright]
    here = before != after
    keys = np.empty((int(here.sum()), 5), np.int64)
    keys[:, 0] = (rows[here] + np.int64(frame.row)) // SEGMENT_PX
    keys[:, 1] = (cols[here] + np.int64(frame.col)) // SEGMENT_PX
    keys[:, 2], keys[:, 3], keys[:, 4] = upright[here], before[here], after[here]
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    begins = np.ones(len(ordered), bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.empty(len(ordered), np.int64)
    group[order] = np.cumsum(begins) - 1
    return ordered[begins], group, places[here]


@njit(nogil=True, cache=True)
def _changes(
    codes: NDArray[np.uint32],
    depth: NDArray[np.uint8],
    first: int,
    last: int,
    top: int,
    bottom: int,
    left: int,
    right: int,
    places: NDArray[np.int32],
) -> int:
    """Number of changes whose left or upper pixel lies in rows `first` to `last`; as many as have room are entered."""
    height, width = codes.shape
    found = 0
    for row in range(first, last):
        far = min(row + 1, height - 1)
        for begin in range(max(left - 1, 0), right, _STRIDE_PX):
            end = min(begin + _STRIDE_PX, right)
            # Where nothing changes, as nearly everywhere, this is all that is done; it compiles to a few instructions.
            here, below, differs = codes[row, begin : min(end + 1, width)], codes[far, begin:end], np.uint32(0)
            for col in range(here.size - 1):
                differs |= here[col] ^ here[col + 1]
            for col in range(below.size):
                differs |= here[col] ^ below[col]
            if differs == 0:
                continue
            for col in range(begin, end):
                for upright in range(2):
                    far_row, far_col = row + 1 - upright, col + upright
                    if far_row == height or far_col == width or codes[row, col] == codes[far_row, far_col]:
                        continue
                    if codes[row, col] == 0 or codes[far_row, far_col] == 0:
                        continue
                    own_row, own_col = row, col
                    if depth[far_row, far_col] > depth[row, col]:
                        own_row, own_col = far_row, far_col
                    if top <= own_row < bottom and left <= own_col < right:
                        if found < places.shape[0]:
                            places[found, 0], places[found, 1], places[found, 2] = row, col, upright
                        found += 1
    return found


@njit(nogil=True, cache=True)
def _add_steps(
    values: NDArray[Any],
    codes: NDArray[np.uint32],
    places: NDArray[np.int32],
    group: NDArray[np.int64],
    offsets: NDArray[np.int64],
    beside: NDArray[np.int64],
    measured: NDArray[np.int64],
    profile: NDArray[np.int64],
    counts: NDArray[np.int64],
    sums: NDArray[Any],
) -> None:
    """Add every place's steps to its segment's lines."""
    height, width = values.shape
    reach = _REACH_PX
    step = np.zeros(2 * reach + 1, sums.dtype)
    known = np.zeros(2 * reach + 1, np.uint8)  # 0 no data on one side, 1 a change, 2 data of the same contributors
    zero = sums.dtype.type(0)
    for place in range(places.shape[0]):
        row, col, upright = places[place, 0], places[place, 1], places[place, 2]
        for offset in offsets:
            at = offset + reach
            known[at] = 0
            y, x = (row, col + offset) if upright == 1 else (row + offset, col)
            far_y, far_x = (y, x + 1) if upright == 1 else (y + 1, x)
            if y < 0 or x < 0 or far_y >= height or far_x >= width:
                continue
            here, there = codes[y, x], codes[far_y, far_x]
            if here != 0 and there != 0:
                step[at] = (zero + values[far_y, far_x]) - (zero + values[y, x])
                if step[at] == step[at]:  # NaN where a mosaic wrongly has none
                    known[at] = 2 if here == there else 1
        segment = group[place]
        for line in range(measured.size):
            at = measured[line] + reach
            if known[at] == 0 or (line > 0 and known[at] == 1):
                continue
            total, number = zero, 0
            for k in range(beside.size):
                if known[at + beside[k]] == 2:
                    total += step[at + beside[k]]
                    number += 1
            if number >= _FEWEST_BESIDE:
                counts[segment, line] += 1
                sums[segment, line] += PARTS * step[at] - (PARTS // number) * total
        for line in range(profile.size):
            at = profile[line] + reach
            if known[at] != 0:
                counts[segment, measured.size + line] += 1
                sums[segment, measured.size + line] += step[at]


@njit(nogil=True, cache=True)
def _add_beyond(
    values: NDArray[Any],
    places: NDArray[np.int32],
    group: NDArray[np.int64],
    stack: NDArray[Any],
    void: Any,
    has_void: bool,
    sources: NDArray[np.int64],
    counts: NDArray[np.int64],
    sums: NDArray[Any],
) -> None:
    """Add the mosaic's step less each source's own, where the source has both pixels."""
    zero = sums.dtype.type(0)
    for place in range(places.shape[0]):
        row, col, upright = places[place, 0], places[place, 1], places[place, 2]
        far_row, far_col = row + 1 - upright, col + upright
        segment = group[place]
        step = (zero + values[far_row, far_col]) - (zero + values[row, col])
        for k in range(sources.shape[1]):
            source = sources[segment, k]
            if source < 0:
                break
            here, there = stack[source, row, col], stack[source, far_row, far_col]
            if has_void and (here == void or there == void):
                continue
            beyond = step - ((zero + there) - (zero + here))
            if beyond == beyond:  # NaN where one of the four has none
                counts[segment, k] += 1
                sums[segment, k] += beyond
