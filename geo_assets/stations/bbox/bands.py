"""Bands, read where their scene wins: only the blocks under winning pixels are fetched and decoded."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import NODATA_REFLECTANCE, ReflectanceCount
from geo_assets.domain.errors import AssetLostError
from geo_assets.domain.scene import SceneItem
from geo_assets.io.reads.tiff_directory import TiffLevel
from geo_assets.io.reads.tiff_pixels import Span, TiffPixels
from geo_assets.kernels.picking.bands import holds_wanted, pick_reflectance, wanted_sources
from geo_assets.kernels.picking.stored_blocks import Block, edges_of, whole_block
from geo_assets.kernels.picking.taps import Taps
from geo_assets.kernels.radiometry import reflectance_counts
from geo_assets.kernels.reprojection import resample_bilinear
from geo_assets.stations.bbox.crew import Crew
from geo_assets.stations.bbox.files import (
    Loss,
    Losses,
    Placement,
    SceneFile,
    SceneFiles,
    coarsest_level,
    place,
    takes_overviews,
)
from geo_assets.stations.bbox.request import CompositeRequest

T = TypeVar("T")

_COUNT_BYTES = 2
_JOB_BYTES = 8 << 20
"""Decoded bytes that one job brings: large enough for few requests, small enough that all threads end together."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An item that the composite is made from."""

    item: SceneItem
    offset_dn: int
    """Added to its counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """Which source each pixel of the output is to be taken from."""

    sources: Sequence[Source]
    numbers: NDArray[np.int16]
    """(y, x) int16: place in `sources`, counted from `first`; anything else is left as it is."""
    first: int = 0
    pixels: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    """Rows and columns of all pixels that are wanted, where they are few: then nothing else is searched."""

    def used(self) -> list[int]:
        """Places in `sources` of those that some pixel is to be taken from."""
        if self.pixels is None:
            found = np.flatnonzero(wanted_sources(self.numbers, self.first, len(self.sources)))
        else:
            found = np.unique(self.numbers[self.pixels] - self.first)
        return [int(number) for number in found]


class WinnerReader:
    """Reads the bands of a composite, from as many scenes and blocks as it takes.

    Parameters
    ----------
    request, grid, files, crew
        Of the composite.
    advance
        Told the share of the work that each finished piece was, of the reading that goes on.
    """

    def __init__(
        self,
        request: CompositeRequest,
        grid: GeoBox,
        files: SceneFiles,
        crew: Crew,
        advance: Callable[[float], None] = lambda share: None,
    ) -> None:
        self._request, self._grid, self._files, self._crew, self._advance = request, grid, files, crew, advance

    def open_all(self, items: Sequence[SceneItem], bands: Sequence[str]) -> Losses:
        """Open the bands of some items, side by side; those that are lost."""
        watch = _Watch()

        def opened(item: SceneItem, band: str) -> None:
            self._files.open(item, band)

        self._crew.run(
            partial(watch.guarded, item, band, partial(opened, item, band)) for item in items for band in bands
        )
        return watch.losses

    def read(self, wanted: Wanted, reflectance: Mapping[str, ReflectanceCount]) -> Losses:
        """Fill bands where a source is wanted.

        Parameters
        ----------
        wanted
            Where that is.
        reflectance : mapping of str to (y, x) int16, changed
            Band -> counts; pixels for which the source holds no data stay as they are.

        Returns
        -------
        losses
            Items of which a file is lost; what had been read of them by then is filled.

        Raises
        ------
        ArchiveTransientError, ArchiveRefusedError
            A file cannot be read now, or may not be.
        """
        used = {number: wanted.sources[number] for number in wanted.used()}
        watch = _Watch(self.open_all([source.item for source in used.values()], list(reflectance)))
        found = self._crew.run(
            partial(
                watch.guarded,
                source.item,
                band,
                partial(self._target, source, band, number + wanted.first, wanted, values),
            )
            for number, source in used.items()
            for band, values in reflectance.items()
        )
        targets = [target for target in found if target is not None]
        self._crew.run(self._jobs(targets, self._planned(targets), watch))
        return watch.losses

    def _target(self, source: Source, band: str, number: int, wanted: Wanted, values: ReflectanceCount) -> "_Target":
        """One band of one source on the output; where its blocks lie is read now, side by side with others."""
        file = self._files.open(source.item, band)
        if file.dtype.itemsize != _COUNT_BYTES:
            raise AssetLostError(
                f"{file.where}: found counts of {file.dtype}, expected uint16 or int16. "
                "Name the item in selection.exclude."
            )
        overviews = takes_overviews(file, self._grid, self._request.read)
        level = coarsest_level(file, float(self._grid.resolution.x)) if overviews else file.levels[0]
        if file.pixels is not None and level.blocks is not None:
            file.pixels.table(level.blocks)
        return _Target(place(file, self._grid, level, "bilinear"), number, source.offset_dn, wanted, values)

    def _planned(self, targets: Sequence["_Target"]) -> list[list[int]]:
        """The blocks that each target needs; bands of one grid share the search."""
        searches: dict[tuple[int, int, int, int, int], _Target] = {}
        keys = []
        for target in targets:
            keys.append(target.search_key)
            searches.setdefault(keys[-1], target)
        found = dict(zip(searches, self._crew.run(target.needed_blocks for target in searches.values()), strict=True))
        return [found[key] for key in keys]

    def _jobs(
        self, targets: Sequence["_Target"], planned: Sequence[Sequence[int]], watch: "_Watch"
    ) -> Iterator[Callable[[], None]]:
        """What is to be done for some targets that need some blocks; the first can begin before the last is known."""
        whole = max(sum(len(blocks) or 1 for blocks in planned), 1)
        for target, blocks in zip(targets, planned, strict=True):
            if target.placement.taps is None:
                yield self._job(target, watch, partial(target.look_up, self._grid, self._files), 1 / whole)
                continue
            pieces = watch.guarded(target.file.item, target.file.name, partial(_pieces, target, blocks)) or []
            seams = _Seams(target, blocks, pieces=len(pieces))
            for piece in pieces:
                yield self._job(target, watch, partial(target.pick, piece, seams), len(piece.indexes) / whole)

    def _job(self, target: "_Target", watch: "_Watch", job: Callable[[], None], share: float) -> Callable[[], None]:
        def done() -> None:
            watch.guarded(target.file.item, target.file.name, job)
            self._advance(share)

        return done


def _pieces(target: "_Target", blocks: Sequence[int]) -> list[Span]:
    """The spans of some blocks, none of them longer than a job should be."""
    level, pixels = target.blocked
    each = max(1, _JOB_BYTES // level.block_bytes)
    return [
        piece
        for first in range(0, len(blocks), each)
        for piece in pixels.spans(level, blocks[first : first + each], sample=target.file.sample)
    ]


class _Watch:
    """Notes which items are lost on the way, and spares the rest of their work."""

    def __init__(self, losses: Losses | None = None) -> None:
        self.losses: Losses = losses or {}

    def guarded(self, item: SceneItem, band: str, job: Callable[[], T]) -> T | None:
        """What a job gives; None where its item is lost already, or now, which is noted."""
        if item.id in self.losses:
            return None
        try:
            return job()
        except AssetLostError as error:
            self.losses.setdefault(item.id, Loss(band, str(error)))
            return None


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """One band of one source, and the plane that it fills."""

    placement: Placement
    number: int
    offset_dn: int
    wanted: Wanted
    reflectance: ReflectanceCount

    @property
    def file(self) -> SceneFile:
        return self.placement.file

    @property
    def taps(self) -> tuple[Taps, Taps]:
        assert self.placement.taps is not None
        return self.placement.taps

    @property
    def blocked(self) -> tuple[TiffLevel, TiffPixels]:
        """The level's blocks, where there are taps."""
        assert self.placement.level.blocks is not None
        assert self.file.pixels is not None
        return self.placement.level.blocks, self.file.pixels

    @property
    def search_key(self) -> tuple[int, int, int, int, int]:
        """Equal for targets that need the same blocks."""
        if self.placement.taps is None:
            return self.number, id(self), 0, 0, 0
        rows, cols = self.taps  # one object for all levels that lie alike
        level, _ = self.blocked
        return self.number, id(rows), id(cols), level.block_height, level.block_width

    def needed_blocks(self) -> list[int]:
        """Blocks with a tap of a pixel that is wanted from this source."""
        if self.placement.taps is None:
            return []
        (rows, cols), (level, _) = self.taps, self.blocked
        if self.wanted.pixels is not None:
            return self._blocks_of(*self.wanted.pixels)
        (top, bottom), (left, right) = rows.stored, cols.stored
        height, width = level.block_height, level.block_width
        across = [
            (col, cols.touching(col * width, (col + 1) * width)) for col in range(left // width, -(-right // width))
        ]
        return [
            row * level.blocks_across + col
            for row in range(top // height, -(-bottom // height))
            for row_span in [rows.touching(row * height, (row + 1) * height)]
            for col, col_span in across
            if holds_wanted(self.wanted.numbers, self.number, (*row_span, *col_span))
        ]

    def _blocks_of(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> list[int]:
        """Blocks with a tap of one of some pixels, as far as they are wanted from this source."""
        (row_taps, col_taps), (level, _) = self.taps, self.blocked
        own = self.wanted.numbers[rows, cols] == self.number
        own &= (rows >= row_taps.begin) & (rows < row_taps.end) & (cols >= col_taps.begin) & (cols < col_taps.end)
        blocks = [
            down[rows[own]] // level.block_height * level.blocks_across + across[cols[own]] // level.block_width
            for down in (row_taps.first, row_taps.second)
            for across in (col_taps.first, col_taps.second)
        ]
        return [int(block) for block in np.unique(np.concatenate(blocks))]

    def pick(self, span: Span, seams: "_Seams") -> None:
        """Fill what lies within the blocks of one span, and keep their edges."""
        level, pixels = self.blocked
        for index, stored in pixels.read_span(level, span, sample=self.file.sample, undo=False):
            row, col = divmod(index, level.blocks_across)
            block = whole_block(
                stored, row * level.block_height, col * level.block_width, predicted=level.predictor == 2
            )
            self.fill(block)
            seams.keep(row, col, block)
        seams.piece_done()

    def fill(self, block: Block, *, rows: tuple[int, int] | None = None, cols: tuple[int, int] | None = None) -> None:
        """Fill the pixels all of whose taps the block holds, or those of some output rows or columns only."""
        row_taps, col_taps = self.taps
        pick_reflectance(
            block,
            row_taps,
            col_taps,
            (*(rows or row_taps.within(*block.rows)), *(cols or col_taps.within(*block.cols))),
            wanted=self.wanted.numbers,
            source=self.number,
            offset_dn=self.offset_dn,
            nodata=self.file.nodata,
            reflectance=self.reflectance,
        )

    def look_up(self, grid: GeoBox, files: SceneFiles) -> None:
        """Fill by looking pixels up one by one, where the file lies in another projection."""
        for part in self.placement.parts(grid):
            if not holds_wanted(self.wanted.numbers, self.number, part):
                continue
            rows, cols = self.placement.positions(grid, part)
            window = self.placement.window_round(rows, cols, margin=1)
            if window is None:
                continue
            stored = self.file.window(self.placement.level, *window)
            counts = resample_bilinear(stored, rows, cols, nodata=self.file.nodata, top=window[0], left=window[1])
            found = reflectance_counts(counts, offset_dn=self.offset_dn, nodata=self.file.nodata)
            inside = slice(*part[:2]), slice(*part[2:])
            taken = (self.wanted.numbers[inside] == self.number) & (found != NODATA_REFLECTANCE)
            self.reflectance[inside][taken] = found[taken]
        files.release(self.file)  # it keeps the blocks that neighbouring parts share


class _Seams:
    """Edges of blocks, until both sides of the borders between them are there: for outputs with taps on both."""

    def __init__(self, target: _Target, blocks: Sequence[int], *, pieces: int) -> None:
        self._target, self._pieces, self._lock = target, pieces, threading.Lock()
        level, _ = target.blocked
        rows, cols = target.taps
        down = sorted({index // level.blocks_across for index in blocks})
        across = sorted({index % level.blocks_across for index in blocks})
        self._down = {row: rows.straddling(row * level.block_height) for row in down if row - 1 in down}
        self._across = {col: cols.straddling(col * level.block_width) for col in across if col - 1 in across}
        self._down = {row: span for row, span in self._down.items() if span[0] < span[1]}
        self._across = {col: span for col, span in self._across.items() if span[0] < span[1]}
        self._top, self._left = (down[0], across[0]) if blocks else (0, 0)
        height = (down[-1] + 1 - self._top) * level.block_height if blocks else 0
        width = (across[-1] + 1 - self._left) * level.block_width if blocks else 0
        empty = partial(np.full, fill_value=target.file.nodata, dtype=target.file.dtype)
        self._rows: dict[int, NDArray[Any]] = {row: empty((2, width)) for row in self._down}
        self._cols: dict[int, NDArray[Any]] = {col: empty((height, 2)) for col in self._across}

    def keep(self, row: int, col: int, block: Block) -> None:
        """Keep the edges of a block (row, col) that are needed; blocks may come from several threads."""
        above, below = self._rows.get(row), self._rows.get(row + 1)
        before, behind = self._cols.get(col), self._cols.get(col + 1)
        if above is None and below is None and before is None and behind is None:
            return
        level, _ = self._target.blocked
        first_row, last_row, first_col, last_col = edges_of(block)
        along = slice((col - self._left) * level.block_width, (col - self._left) * level.block_width + len(first_row))
        beside = slice((row - self._top) * level.block_height, (row - self._top) * level.block_height + len(first_col))
        if above is not None:
            above[1, along] = first_row
        if below is not None:
            below[0, along] = last_row
        if before is not None:
            before[beside, 1] = first_col
        if behind is not None:
            behind[beside, 0] = last_col

    def piece_done(self) -> None:
        """Fill what straddles borders when the last piece of the file is there."""
        with self._lock:
            self._pieces -= 1
            if self._pieces:
                return
        level, _ = self._target.blocked
        top, left = self._top * level.block_height, self._left * level.block_width
        for row, span in self._down.items():
            self._target.fill(whole_block(self._rows[row], row * level.block_height - 1, left), rows=span)
        for col, span in self._across.items():
            self._target.fill(whole_block(self._cols[col], top, col * level.block_width - 1), cols=span)
        self._rows.clear()
        self._cols.clear()
