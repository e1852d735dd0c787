"""One window of a mosaic, blended from all sources that reach it.

A window is cut into cells at the edges of the sources' footprints. A cell of one source is a copy: nothing is measured
there. Where several sources lie, each is weighed by its distance to where it ends (wide feather), or by the pairs'
seamlines; and only there, in the smallest rectangle round the pixels that several of them know. All that a pixel's
value depends on lies within the halo that is read around it, so windows join without a trace.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.domain.errors import GridMismatchError, ResourceError
from geo_assets.kernels.distance import squared_distance
from geo_assets.kernels.mosaicking.blending import (
    IDENTITY,
    Correction,
    Profile,
    corrected,
    distance_weights,
    has_data,
    heaviest,
    weight_table,
    weighted_mean,
)
from geo_assets.kernels.mosaicking.ownership import NO_OWNER, ownership, sole_ownership
from geo_assets.stations.mosaicking import measuring
from geo_assets.stations.mosaicking.blend_words import Blended, BlendSettings, Shared
from geo_assets.stations.mosaicking.measuring import MARGIN_PX, MosaicSums, OverlapWindow
from geo_assets.stations.mosaicking.rectangles import Rectangle, cells_of, footprint_of
from geo_assets.stations.mosaicking.seamlines import seamline_weights
from geo_assets.stations.mosaicking.source import BlendSource, read_into, validity

__all__ = ["BlendSettings", "BlendSource", "Blended", "blended"]

_MOST_SOURCES = NO_OWNER
"""On one window; an owner is a byte."""


def blended(
    sources: Sequence[BlendSource],
    row: int,
    col: int,
    height: int,
    width: int,
    settings: BlendSettings,
    *,
    into: NDArray[Any] | None = None,
) -> Blended:
    """One window of a mosaic.

    Parameters
    ----------
    sources
        All of the mosaic's, in any order; those that do not reach the window are not touched.
    row, col, height, width
        Lattice position and size of the window.
    settings
        How they are blended.
    into : (band, y, x), optional
        Written, and then the values of the result: a part of something larger.

    Returns
    -------
    blended
        The same to the bit whatever windows the mosaic is cut into, in whatever order the sources come.

    Raises
    ------
    GridMismatchError
        Sources differ in dtype, nodata or number of bands, or share a name.
    ResourceError
        More sources reach the window than a layer of owners can number.
    """
    first = _expect_alike(sources)
    window = Rectangle(row, col, height, width)
    reach = window.grown(max(settings.halo_px, 3 * MARGIN_PX if settings.measure else 0))
    near = sorted((s for s in sources if not footprint_of(s).common(reach).is_empty), key=lambda s: s.name)
    blend = _Blend(tuple(near), settings, first.bands, first.dtype, first.nodata)
    parts = [(part, blend.surroundings(part)) for part in blend.measured_parts(window)] if settings.measure else []
    if not parts:
        return blend.canvas(window, into).cut_out(window, into, None)
    canvas = blend.canvas(reduce(Rectangle.hull, (area for _, area in parts), window))
    return canvas.cut_out(window, into, sum((blend.measured(canvas, *part) for part in parts), MosaicSums()))


def _expect_alike(sources: Sequence[BlendSource]) -> BlendSource:
    first = min(sources, key=lambda source: source.name)
    for other in sources:
        found, expected = ((s.dtype, str(s.nodata), s.bands) for s in (other, first))
        if found != expected:
            raise GridMismatchError(
                f"Mosaic: {other.name} has dtype, nodata and bands {found}, {first.name} has {expected}. "
                "Bring them to one form first."
            )
    if len({source.name for source in sources}) < len(sources):
        raise GridMismatchError("Mosaic: two sources have the same name, and the order of names decides. Rename one.")
    return first


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """A rectangle of the mosaic while it is filled."""

    area: Rectangle
    sources: tuple[BlendSource, ...]
    """Those that reach it, in canonical order."""
    values: NDArray[Any]
    owner: NDArray[np.uint8]
    contributors: NDArray[np.uint8]
    shared: list[Shared]

    def cut_out(self, window: Rectangle, into: NDArray[Any] | None, sums: MosaicSums | None) -> Blended:
        """A part as the result."""
        rows, cols = window.slices_in(self.area)
        values = self.values[:, rows, cols]
        if into is not None and self.values is not into:
            into[...] = values
        return Blended(
            values if into is None else into,
            self.owner[rows, cols],
            self.contributors[rows, cols],
            tuple(source.name for source in self.sources),
            sums,
            window,
            tuple(self.shared),
        )


@dataclass(frozen=True)
class _Blend:
    """The sources of a neighbourhood, and how they are blended."""

    sources: tuple[BlendSource, ...]
    """In canonical order."""
    settings: BlendSettings
    bands: int
    dtype: np.dtype[Any]
    nodata: float

    @cached_property
    def footprints(self) -> tuple[Rectangle, ...]:
        """Where the sources lie, in their order."""
        return tuple(map(footprint_of, self.sources))

    def _reaching(self, area: Rectangle) -> tuple[BlendSource, ...]:
        return tuple(
            source
            for source, ground in zip(self.sources, self.footprints, strict=True)
            if not ground.common(area).is_empty
        )

    def canvas(self, area: Rectangle, into: NDArray[Any] | None = None) -> _Canvas:
        """A rectangle of the mosaic, blended."""
        here = self._reaching(area)
        if len(here) > _MOST_SOURCES:
            raise ResourceError(
                f"Mosaic: {len(here)} rasters reach one window of {area.height} x {area.width} px, and at most "
                f"{_MOST_SOURCES} can be told apart. Choose a smaller block, or fewer "
                "rasters of the same ground."
            )
        shape = (area.height, area.width)
        values = np.empty((self.bands, *shape), self.dtype) if into is None else into
        canvas = _Canvas(area, here, values, np.empty(shape, np.uint8), np.empty(shape, np.uint8), [])
        for cell, covering in cells_of(area, [footprint_of(source) for source in here]):
            if len(covering) == 1:
                self._copy(canvas, cell, covering[0])
            elif covering:
                self._blend(canvas, cell, covering)
            else:
                self._clear(canvas, cell)
        return canvas

    def _clear(self, canvas: _Canvas, cell: Rectangle) -> None:
        """Fill a cell that nobody knows."""
        rows, cols = cell.slices_in(canvas.area)
        canvas.values[:, rows, cols] = self.nodata
        canvas.owner[rows, cols], canvas.contributors[rows, cols] = NO_OWNER, 0

    def _copy(self, canvas: _Canvas, cell: Rectangle, index: int, known: NDArray[Any] | None = None) -> None:
        """Fill a cell from the only source that has data in it, whose pixels may be `known`."""
        rows, cols = cell.slices_in(canvas.area)
        source, values = canvas.sources[index], canvas.values[:, rows, cols]
        if known is None:
            _read_into(source, cell, values)
        else:
            values[...] = known
        sole_ownership(values[0], index, canvas.owner[rows, cols], canvas.contributors[rows, cols], nodata=self.nodata)
        self._correct(source, values)

    def _blend(self, canvas: _Canvas, cell: Rectangle, covering: Sequence[int]) -> None:
        """Fill a cell that lies in several footprints."""
        stack = np.empty((len(covering), self.bands, cell.height, cell.width), self.dtype)
        for place, index in enumerate(covering):
            _read_into(canvas.sources[index], cell, stack[place])
        valid = has_data(stack, self.nodata)
        knowing = [place for place in range(len(covering)) if valid[place].any()]
        if len(knowing) < 2:
            self._clear(canvas, cell)
            for place in knowing:
                self._copy(canvas, cell, covering[place], stack[place])
            return
        if len(knowing) < len(covering):
            stack, valid = stack[knowing], valid[knowing]
        having = tuple(covering[place] for place in knowing)
        sources = [canvas.sources[index] for index in having]
        meeting = _meeting(valid, cell)
        # Along seamlines, who owns a pixel nearby may have none in this window. Sources that end before the cell are
        # not asked: a tile's mosaic need not know of those that do not reach the tile.
        asked = sources if self.settings.seamlines is None else [canvas.sources[index] for index in covering]
        near = None if meeting is None else self._neighbourhood(asked, meeting)
        weights = np.empty((len(having), cell.height, cell.width), np.int32)
        for band in range(self.bands):
            fresh = (
                band == 0
                or near is None
                or near.valid[band] is not near.valid[band - 1]
                or not np.array_equal(valid[:, band], valid[:, band - 1])  # farther off than what is near
            )
            if fresh and band > 0:
                weights = np.empty_like(weights)  # those of the first band are kept
            if fresh and meeting != cell:
                weights[...] = valid[:, band]  # each pixel has one source, though the cell has several
            if fresh and near is not None and meeting is not None:
                self._weigh(near, band, meeting, sources, out=weights[:, *meeting.slices_in(cell)])
            if band == 0:
                self._note(canvas, cell, having, weights, valid[:, 0])
            self._fill(canvas.values[band, *cell.slices_in(canvas.area)], stack[:, band], weights, sources, band)

    def _neighbourhood(self, sources: Sequence[BlendSource], meeting: Rectangle) -> "_Neighbourhood":
        """All validity that the weights of a rectangle depend on."""
        area = meeting.grown(self.settings.halo_px)
        valid = np.zeros((self.bands, len(sources), area.height, area.width), np.bool_)
        for index, source in enumerate(sources):
            part = footprint_of(source).common(area)
            valid[:, index, *part.slices_in(area)] = _validity(source, part)
        by_band = [valid[0]]
        for band in valid[1:]:
            by_band.append(by_band[-1] if np.array_equal(band, by_band[-1]) else band)
        return _Neighbourhood(area, tuple(source.name for source in sources), tuple(by_band))

    def _weigh(
        self,
        near: "_Neighbourhood",
        band: int,
        meeting: Rectangle,
        sources: Sequence[BlendSource],
        *,
        out: NDArray[np.int32],
    ) -> None:
        """Write the (source, y, x) weights of a rectangle where several sources meet."""
        rows, cols = meeting.slices_in(near.area)
        valid, settings = near.valid[band], self.settings
        if settings.seamlines is not None:
            weights = seamline_weights(
                valid, near.names, settings.seamlines, near.area.row, near.area.col, (rows, cols)
            )
            for place, source in enumerate(sources):
                out[place] = weights[near.names.index(source.name)]
            return
        size = {"top": rows.start, "left": cols.start, "height": meeting.height, "width": meeting.width}
        table = _table(settings.feather_px, settings.profile)
        for place, one in enumerate(valid):
            distance_weights(squared_distance(one, cap_px=settings.feather_px, **size), table, out=out[place])

    def _note(
        self, canvas: _Canvas, cell: Rectangle, having: tuple[int, ...], weights: NDArray[np.int32], valid: Flag
    ) -> None:
        """Keep who made the first band of a cell."""
        rows, cols = cell.slices_in(canvas.area)
        numbers = np.array(having, np.uint8)
        ownership(weights, valid, numbers, canvas.owner[rows, cols], canvas.contributors[rows, cols])
        if self.settings.shares:
            canvas.shared.append(Shared(cell, having, weights))

    def _fill(
        self,
        out: NDArray[Any],
        stack: NDArray[Any],
        weights: NDArray[np.int32],
        sources: Sequence[BlendSource],
        band: int,
    ) -> None:
        """Write one band of a cell."""
        if self.settings.categorical:
            heaviest(stack, weights, nodata=self.nodata, out=out)
        else:
            corrections = [self._correction(source, band) for source in sources]
            weighted_mean(stack, weights, nodata=self.nodata, corrections=corrections, out=out)

    def _correct(self, source: BlendSource, values: NDArray[Any]) -> None:
        """Harmonise the (band, y, x) pixels of a source where they are."""
        for band, stored in enumerate(values):
            correction = self._correction(source, band)
            if not correction.is_identity:
                stored[...] = corrected(stored, correction, nodata=self.nodata)

    def _correction(self, source: BlendSource, band: int) -> Correction:
        known = self.settings.corrections.get(source.name)
        return IDENTITY if known is None or self.settings.categorical else known[band]

    def surroundings(self, inner: Rectangle) -> Rectangle:
        """What must be known to measure a part: far beyond it only across the lines where contributors change."""
        area = inner.grown(1)
        upright = level = False
        for source in self._reaching(area):
            valid = np.zeros((self.bands, area.height, area.width), np.bool_)
            part = footprint_of(source).common(area)
            valid[:, *part.slices_in(area)] = _validity(source, part)
            upright = upright or bool((valid[:, :, 1:] != valid[:, :, :-1]).any())
            level = level or bool((valid[:, 1:] != valid[:, :-1]).any())
        return inner.grown(MARGIN_PX if level else 1, MARGIN_PX if upright else 1)

    def measured(self, canvas: _Canvas, inner: Rectangle, area: Rectangle) -> MosaicSums:
        """The figures of a part of a canvas, which holds its surroundings too."""
        here = self._reaching(area)
        stack = np.full((self.bands, len(here), area.height, area.width), self.nodata, self.dtype)
        for index, source in enumerate(here):
            part = footprint_of(source).common(area)
            values = stack[:, index, *part.slices_in(area)]
            _read_into(source, part, values)
            self._correct(source, values)
        mosaic = canvas.values[:, *area.slices_in(canvas.area)]
        names = tuple(source.name for source in here)
        sums = MosaicSums()
        for band in range(self.bands):
            sums += measuring.measured(
                OverlapWindow(
                    area.row, area.col, inner.slices_in(area), names, stack[band], mosaic[band], self.nodata, band
                )
            )
        return sums

    def measured_parts(self, window: Rectangle) -> list[Rectangle]:
        """What of a window lies where footprints overlap or touch, or one pixel beside: nowhere else can a seam be."""
        grown = [ground.grown(1) for ground in self.footprints]
        meeting = [first.common(second) for first, second in combinations(grown, 2)]
        cells = cells_of(window, [common for common in meeting if not common.is_empty])
        return [cell for cell, covering in cells if covering]


class _Neighbourhood(NamedTuple):
    """Validity around a place where sources meet."""

    area: Rectangle
    names: tuple[str, ...]
    valid: tuple[Flag, ...]
    """For each band (source, y, x); False outside a footprint. The same array again where bands share it."""


@lru_cache(maxsize=8)
def _table(feather_px: int, profile: Profile) -> NDArray[np.int32]:
    return weight_table(feather_px, profile)


def _read(source: BlendSource, area: Rectangle) -> NDArray[Any]:
    """(band, y, x) of a rectangle of the lattice that lies inside a source."""
    return source.window(area.row - source.row, area.col - source.col, area.height, area.width)


def _read_into(source: BlendSource, area: Rectangle, out: NDArray[Any]) -> None:
    """The same, to where it is wanted."""
    read_into(source, out, area.row - source.row, area.col - source.col)


def _validity(source: BlendSource, area: Rectangle) -> Flag:
    """(band, y, x) whether a rectangle of the lattice that lies inside a source has data."""
    return validity(source, area.row - source.row, area.col - source.col, area.height, area.width)


def _meeting(valid: Flag, cell: Rectangle) -> Rectangle | None:
    """The smallest rectangle of a cell round all pixels that several sources know in some band."""
    if valid.all():
        return cell
    flags = (valid.sum(axis=0, dtype=np.uint8) > 1).any(axis=0)
    rows, cols = np.flatnonzero(flags.any(axis=1)), np.flatnonzero(flags.any(axis=0))
    if not rows.size:
        return None
    return Rectangle(
        cell.row + int(rows[0]),
        cell.col + int(cols[0]),
        int(rows[-1] - rows[0]) + 1,
        int(cols[-1] - cols[0]) + 1,
    )
