"""Pixels of TIFF files by block and by window, over any source of bytes."""

import itertools
import threading
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.errors import AssetLostError
from geo_assets.io.reads.byte_source import ByteSource, lost_file
from geo_assets.io.reads.kept_blocks import KeptBlocks
from geo_assets.io.reads.tiff_blocks import BlockDecodeError, Payload, decoded
from geo_assets.io.reads.tiff_directory import HEAD_BYTES, INTEGER_TYPES, Field, Header, TiffLevel, read_directories

GAP_BYTES = 64 << 10
"""Blocks that lie this close may be read at once: the bytes between them cost less than a request."""
_GAP_SHARE, _SMALL_GAPS_BYTES = 0.05, 4 << 10
"""All that is read in vain: at most this part of what is needed, and as much on top."""
SPAN_BYTES = 8 << 20
"""Longest stretch of several blocks that is read at once."""
_KEPT = KeptBlocks(64 << 20)
_NUMBERS = itertools.count()
_LOCKS = 16


@dataclass(frozen=True, slots=True)
class Span:
    """Blocks that one read brings: half-open bytes of the file, and whose they are."""

    first: int
    end: int
    indexes: tuple[int, ...]
    """In the order of the file."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockTable:
    """Where the blocks of a level lie."""

    offsets: NDArray[np.int64]
    """Bytes from the start of the file; samples one after the other in a planar file."""
    counts: NDArray[np.int64]
    """Bytes; 0 where a block is not stored because it holds nodata only."""


class TiffPixels:
    """One open TIFF file; usable from several threads.

    Parameters
    ----------
    source
        The file's bytes; it stays the caller's to close.
    head
        Its first bytes where they have been read already.

    Raises
    ------
    AssetLostError
        The file is no TIFF, or its header makes no sense or states more than any scene holds.
    UnsupportedTiffError
        It is stored in a way that is not decoded here.
    ArchiveError
        The source cannot be read.
    """

    def __init__(self, source: ByteSource, head: bytes | None = None) -> None:
        self._source = source
        self._header = Header(source, source.head(HEAD_BYTES) if head is None else head)
        self.file = read_directories(self._header)
        self._lock = threading.Lock()
        self._tables: dict[int, BlockTable] = {}
        self._decoding = [threading.Lock() for _ in range(_LOCKS)]
        self._number = next(_NUMBERS)
        weakref.finalize(self, _KEPT.drop, self._number)

    def table(self, level: TiffLevel) -> BlockTable:
        """Where the blocks of a level lie; read when first asked for, unless the header's first bytes hold it."""
        with self._lock:
            if level.number not in self._tables:
                self._tables[level.number] = self._read_table(level)
            return self._tables[level.number]

    def spans(self, level: TiffLevel, indexes: Iterable[int], *, sample: int = 0) -> list[Span]:
        """What to read for some blocks.

        Parameters
        ----------
        level
            One of `file.levels`.
        indexes
            Blocks, counted along the rows: ``row * level.blocks_across + column``.
        sample
            Counted from 0.

        Returns
        -------
        spans
            In the order of the file; blocks that are not stored are in none.

        Raises
        ------
        AssetLostError
            A block lies beyond the end of the file, or fills more bytes than its pixels can.
        """
        table = self.table(level)
        shift = sample * level.plane_blocks if level.planar else 0
        wanted = np.unique(np.fromiter(indexes, np.int64)) + shift
        wanted = wanted[table.counts[wanted] > 0]
        wanted = wanted[np.argsort(table.offsets[wanted], kind="stable")]
        firsts, ends = table.offsets[wanted], table.offsets[wanted] + table.counts[wanted]
        size = self._source.size
        for index, first, end in zip(wanted - shift, firsts, ends, strict=True):
            self._expect_sane(level, int(index), int(first), int(end), size)
        spans: list[Span] = []
        joined = _joined(firsts, ends)
        for index, first, end, near in zip(
            *(some.tolist() for some in (wanted - shift, firsts, ends, joined)), strict=True
        ):
            if near and end - spans[-1].first <= SPAN_BYTES:
                spans[-1] = Span(spans[-1].first, max(spans[-1].end, end), (*spans[-1].indexes, index))
            else:
                spans.append(Span(first, end, (index,)))
        return spans

    def blocks(
        self, level: TiffLevel, indexes: Iterable[int], *, sample: int = 0, undo: bool = True
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Pixels of blocks, one span read at a time.

        Parameters
        ----------
        level, indexes, sample
            As in `spans`.
        undo
            False leaves the differences of predictor 2 in: see `tiff_blocks.decoded`.

        Yields
        ------
        index, pixels
            (rows, columns) of the level's dtype, whole blocks also at the raster's edges; in the order of the file.
            Blocks that are not stored do not come.

        Raises
        ------
        AssetLostError
            A block does not decode, even from a second reading over fresh connections.
        ArchiveError
            The source cannot be read.
        """
        for span in self.spans(level, indexes, sample=sample):
            yield from self.read_span(level, span, sample=sample, undo=undo)

    def read_span(
        self, level: TiffLevel, span: Span, *, sample: int = 0, undo: bool = True
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Pixels of the blocks of one span: see `blocks`."""
        for index, pixels in self._whole_blocks(level, span, sample=sample, undo=undo):
            yield index, _of_sample(level, pixels, sample)

    def window(
        self,
        level: TiffLevel,
        row: int,
        col: int,
        height: int,
        width: int,
        *,
        sample: int = 0,
        fill: float | None = None,
    ) -> NDArray[Any]:
        """Pixels of a rectangle of a level, which may reach beyond it.

        Parameters
        ----------
        level
            One of `file.levels`.
        row, col, height, width
            In the level's pixels.
        sample
            Counted from 0.
        fill
            Where the file does not reach or a block is not stored; the file's nodata without it, or 0 if it
            states none that its pixels can have.

        Returns
        -------
        pixels : (height, width) of the level's dtype
            As stored.

        Raises
        ------
        AssetLostError, ArchiveError
            As in `blocks`.

        Notes
        -----
        Recently decoded blocks are kept, 64 MiB of all files together, since windows of a grid share them.
        """
        out = np.full((height, width), self.stated_fill() if fill is None else fill, level.dtype)
        for index, pixels in self._window_blocks(level, row, col, height, width, sample):
            _paste(level, index, _of_sample(level, pixels, sample), out, row, col)
        return out

    def block(self, level: TiffLevel, index: int, *, sample: int = 0) -> NDArray[Any] | None:
        """Pixels of one block, for files at hand: decoded once, however many threads ask for it at a time.

        Parameters
        ----------
        level, index, sample
            As in `spans`.

        Returns
        -------
        pixels : (rows, columns) of the level's dtype, or None
            The whole block also at the raster's edges; kept for a while, and not to be written to. None where it is not
            stored.

        Raises
        ------
        AssetLostError, ArchiveError
            As in `blocks`.
        """
        key = _kept_as(level, index, sample)
        with self._decoding[hash(key) % _LOCKS]:  # who comes second finds it done
            pixels = _KEPT.get(self._number, key)
            if pixels is None:
                table, at = self.table(level), key[1]
                first = int(table.offsets[at])
                stretch = first, first + int(table.counts[at])
                if stretch[0] == stretch[1]:
                    return None
                self._expect_sane(level, index, *stretch, self._source.size)
                (payload,) = self._source.read([stretch])
                pixels = self._decoded(level, index, stretch, payload, undo=True)
                _KEPT.put(self._number, key, pixels)
        return _of_sample(level, pixels, sample)

    def _expect_sane(self, level: TiffLevel, index: int, first: int, end: int, size: int | None) -> None:
        """Refuse a block that lies beyond the end of the file, or fills more bytes than its pixels can."""
        most = 2 * level.block_bytes + GAP_BYTES
        if end - first > most or (size is not None and end > size):
            said = f"lies at bytes {first} to {end}, expected at most {most} within the file's {size}"
            raise self._lost(level, index, said)

    def stated_fill(self) -> float:
        """What blocks that are not stored hold: the file's nodata, or 0 if it states none that its pixels can have."""
        nodata, dtype = self.file.nodata, self.file.dtype
        if nodata is None or dtype.kind == "f":
            return nodata or 0
        limits = np.iinfo(dtype)
        return nodata if nodata.is_integer() and limits.min <= nodata <= limits.max else 0

    def _window_blocks(
        self, level: TiffLevel, row: int, col: int, height: int, width: int, sample: int
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """The stored blocks that a rectangle touches, kept ones first."""
        top, bottom = max(row, 0), min(row + height, level.height)
        left, right = max(col, 0), min(col + width, level.width)
        if top >= bottom or left >= right:
            return
        down = np.arange(top // level.block_height, -(-bottom // level.block_height))
        across = np.arange(left // level.block_width, -(-right // level.block_width))
        missing = []
        for index in (down[:, np.newaxis] * level.blocks_across + across).ravel().tolist():
            pixels = _KEPT.get(self._number, _kept_as(level, index, sample))
            if pixels is None:
                missing.append(index)
            else:
                yield index, pixels
        for span in self.spans(level, missing, sample=sample):
            for index, pixels in self._whole_blocks(level, span, sample=sample, undo=True):
                _KEPT.put(self._number, _kept_as(level, index, sample), pixels)
                yield index, pixels

    def _whole_blocks(
        self, level: TiffLevel, span: Span, *, sample: int, undo: bool
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Blocks of one span with all the samples that they hold."""
        table = self.table(level)
        shift = sample * level.plane_blocks if level.planar else 0
        at_hand = self._header.at_hand(span.first, span.end)
        stretch = self._source.read([(span.first, span.end)])[0] if at_hand is None else memoryview(at_hand)
        for index in span.indexes:
            first = int(table.offsets[index + shift])
            end = first + int(table.counts[index + shift])
            payload = stretch[first - span.first : end - span.first]
            yield index, self._decoded(level, index, (first, end), payload, undo=undo)

    def _decoded(
        self, level: TiffLevel, index: int, stretch: tuple[int, int], payload: Payload, *, undo: bool
    ) -> NDArray[Any]:
        """A block's pixels; read again once, from the file itself, where its bytes make no sense."""
        rows = level.block_rows(index)
        try:
            return decoded(level, payload, rows=rows, undo=undo)
        except BlockDecodeError:
            self._source.refresh()
            (payload,) = self._source.read([stretch])
        try:
            return decoded(level, payload, rows=rows, undo=undo)
        except BlockDecodeError as error:
            said = f"bytes {stretch[0]} to {stretch[1]}, read twice, {self._source.attempts} requests the last time"
            raise self._lost(level, index, f"does not decode: {error}; {said}") from None

    def _lost(self, level: TiffLevel, index: int, complaint: str) -> AssetLostError:
        row, col = divmod(index, level.blocks_across)
        return lost_file(self._source.where, f"block {row, col} of level {level.number} {complaint}")

    def _read_table(self, level: TiffLevel) -> BlockTable:
        fields = (level.offsets, level.counts)
        spans = [(field.position, field.end) for field in fields]
        stored = [self._header.at_hand(*span) for span in spans]
        if None in stored:
            stored = [bytes(found) for found in self._source.read(spans)]
        return BlockTable(*(self._numbers(level, field, found) for field, found in zip(fields, stored, strict=True)))

    def _numbers(self, level: TiffLevel, field: Field, stored: bytes | None) -> NDArray[np.int64]:
        values = np.frombuffer(stored or b"", np.dtype(INTEGER_TYPES[field.kind]).newbyteorder(level.byte_order))
        if values.max(initial=0) >= 1 << 62:
            raise lost_file(self._source.where, f"its header states a block at or of {values.max()} bytes")
        return values.astype(np.int64)


def _joined(firsts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which stretches are read with the one before: those behind the smallest gaps, as long as these are worth it."""
    if not firsts.size:
        return np.zeros(0, bool)
    gaps = np.maximum(firsts[1:] - np.maximum.accumulate(ends)[:-1], 0)
    allowed = _GAP_SHARE * (ends - firsts).sum() + _SMALL_GAPS_BYTES
    by_size = np.argsort(gaps, kind="stable")
    worth = np.zeros(gaps.size, bool)
    worth[by_size] = np.cumsum(gaps[by_size]) <= allowed
    return np.concatenate([[False], worth & (gaps <= GAP_BYTES)])


def _of_sample(level: TiffLevel, pixels: NDArray[Any], sample: int) -> NDArray[Any]:
    return pixels if level.block_samples == 1 else pixels[:, :, sample]


def _kept_as(level: TiffLevel, index: int, sample: int) -> tuple[int, int]:
    """A block's name among those kept: one that holds all samples serves them all."""
    return level.number, index + (sample * level.plane_blocks if level.planar else 0)


def _paste(level: TiffLevel, index: int, pixels: NDArray[Any], out: NDArray[Any], row: int, col: int) -> None:
    """Copy what a block and a window have in common; `row` and `col` are the window's corner in the level."""
    block_row, block_col = divmod(index, level.blocks_across)
    first_row, first_col = block_row * level.block_height, block_col * level.block_width
    top, left = max(row, first_row), max(col, first_col)
    bottom = min(row + out.shape[0], first_row + pixels.shape[0], level.height)
    right = min(col + out.shape[1], first_col + pixels.shape[1], level.width)
    out[top - row : bottom - row, left - col : right - col] = pixels[
        top - first_row : bottom - first_row, left - first_col : right - first_col
    ]
