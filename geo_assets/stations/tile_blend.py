"""One tile's part of the mosaic: its units of bands, layers and figures, from all composites that reach it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import BLOCK_PX, NODATA_CLASS, NODATA_REFLECTANCE, Flag
from geo_assets.io.area import inside_area
from geo_assets.io.placing import PlacedRaster, Placement
from geo_assets.stations.ground import Blocks, Ground, Window
from geo_assets.stations.mosaicking.blend import Blended, BlendSettings, blended
from geo_assets.stations.mosaicking.measuring import MosaicSums
from geo_assets.stations.units import UnitArrays, block_name

LAYERS = ("quality", "observation_count", "day")
"""Classes of the composites that go on beside the bands, each pixel's from the composite that weighs most."""

SHARE_STEP = 8
"""Every so many pixels the tile's own share is kept, for its picture."""


@dataclass(frozen=True, eq=False)
class TileBlend:
    """What one tile's mosaic is computed from."""

    own: Placement
    """The tile's raster on the mosaic's lattice."""
    ground: Ground
    """The same raster, and its blocks that can hold data."""
    rasters: tuple[PlacedRaster, ...]
    """Composites that reach this tile."""
    layers: Mapping[str, Mapping[str, PlacedRaster]]
    """Layer -> tile -> where it lies."""
    settings: BlendSettings

    def unit(self, blocks: Blocks) -> UnitArrays:
        """The blocks of bands, layers and own share (per cent) that have data; `counts`: pixels with data, those of
        several contributors, those with data in the area, all in the area; and the sums of what was measured.
        """
        arrays: dict[str, NDArray[Any]] = {}
        counts, sums = np.zeros(4, np.int64), MosaicSums()
        for window in _rectangles(self.ground, blocks):
            found = blended(
                self.rasters,
                self.own.row + window.row,
                self.own.col + window.col,
                window.height,
                window.width,
                self.settings,
            )
            if found.sums is not None:
                sums += found.sums
            planes = {"mosaic": found.values, "share": found.share_of(self.own.tile)[np.newaxis]}
            planes |= self._layers(found, window)
            contributors = found.contributors
            if not self.own.native:
                beyond = ~inside_area(self.own.outline, self.ground.window_geobox(window))
                for name, plane in planes.items():
                    plane[:, beyond] = layer_nodata(name)
                contributors[beyond] = 0
            valid, inside = planes["mosaic"][0] != NODATA_REFLECTANCE, self.ground.inside(window)
            counts += (valid.sum(), (contributors > 1).sum(), (valid & inside).sum(), inside.sum())
            arrays |= _cut(planes, valid, window)
        return {**arrays, "counts": counts, **sums.to_arrays()}

    def _layers(self, found: Blended, window: Window) -> dict[str, NDArray[np.uint8]]:
        """(1, y, x) of each layer, every pixel from the composite with the largest weight."""
        shape = (1, window.height, window.width)
        planes = {name: np.full(shape, layer_nodata(name), np.uint8) for name in LAYERS}
        for index in np.unique(found.owner[found.owner != NODATA_CLASS]):
            here = found.owner == index
            rows, cols = _bounds(here)
            for name, plane in planes.items():
                raster = self.layers[name][found.names[index]]
                part = raster.window(
                    self.own.row + window.row + rows.start - raster.row,
                    self.own.col + window.col + cols.start - raster.col,
                    rows.stop - rows.start,
                    cols.stop - cols.start,
                )
                np.copyto(plane[0, rows, cols], part[0], where=here[rows, cols])
        return planes


def layer_nodata(layer: str) -> int:
    """What `mosaic`, `share` or one of `LAYERS` holds where there is nothing; of observations, 0 says it."""
    return {"mosaic": NODATA_REFLECTANCE, "observation_count": 0}.get(layer, NODATA_CLASS)


def _rectangles(ground: Ground, blocks: Blocks) -> Iterator[Window]:
    """Windows that cover a unit's blocks and nothing else, few of them: halos are read for each."""
    spans: dict[tuple[int, int], list[int]] = {}
    for row, members in groupby(sorted(blocks), key=lambda block: block[0]):
        for first, last in _runs([col for _, col in members]):
            spans.setdefault((first, last), []).append(row)
    for (left, right), rows in sorted(spans.items()):
        for top, bottom in _runs(rows):
            begin, end = ground.block_window(top, left), ground.block_window(bottom, right)
            yield Window(begin.row, begin.col, end.row + end.height - begin.row, end.col + end.width - begin.col)


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of every run of consecutive numbers; they ascend."""
    cuts = [index for index in range(1, len(numbers)) if numbers[index] != numbers[index - 1] + 1]
    parts = [numbers[start:stop] for start, stop in pairwise([0, *cuts, len(numbers)])]
    return [(part[0], part[-1]) for part in parts]


def _cut(planes: Mapping[str, NDArray[Any]], valid: Flag, window: Window) -> dict[str, NDArray[Any]]:
    """The blocks of a window, layer by layer, those with data alone; shares on every `SHARE_STEP`th pixel."""
    arrays: dict[str, NDArray[Any]] = {}
    for top in range(0, window.height, BLOCK_PX):
        for left in range(0, window.width, BLOCK_PX):
            block = (slice(top, top + BLOCK_PX), slice(left, left + BLOCK_PX))
            if not valid[block].any():
                continue
            row, col = (window.row + top) // BLOCK_PX, (window.col + left) // BLOCK_PX
            for name, plane in planes.items():
                part = plane[:, *block]
                arrays[block_name(name, row, col)] = part[0, ::SHARE_STEP, ::SHARE_STEP] if name == "share" else part
    return arrays


def _bounds(flags: Flag) -> tuple[slice, slice]:
    """Rows and columns of the smallest rectangle round all True; there is one."""
    rows, cols = np.flatnonzero(flags.any(axis=1)), np.flatnonzero(flags.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
