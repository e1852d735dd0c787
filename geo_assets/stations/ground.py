"""Which pixels of a tile matter: the area, and the feather round it, in whole blocks."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.arrays import BLOCK_PX, Flag
from geo_assets.domain.region import Region
from geo_assets.domain.tile_grid import tile_footprint, tile_geobox
from geo_assets.io.area import inside_area, projected_area

Blocks: TypeAlias = tuple[tuple[int, int], ...]
"""Block rows and columns, row by row."""


def units_of(blocks: Blocks, unit_blocks: int) -> dict[str, Blocks]:
    """Units of work: name -> its blocks, at most `unit_blocks` squared of them; by name."""
    units: dict[str, list[tuple[int, int]]] = {}
    for row, col in blocks:
        units.setdefault(f"{unit_blocks}-{row // unit_blocks:03d}-{col // unit_blocks:03d}", []).append((row, col))
    return {name: tuple(members) for name, members in sorted(units.items())}


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels of a tile's raster, made of whole blocks (cut at the raster's edge)."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def padded(self, halo_px: int, limit: tuple[int, int]) -> "Window":
        """With a halo on every side, as far as a raster of height and width `limit` reaches."""
        row, col = max(self.row - halo_px, 0), max(self.col - halo_px, 0)
        bottom, right = min(self.row + self.height + halo_px, limit[0]), min(self.col + self.width + halo_px, limit[1])
        return Window(row, col, bottom - row, right - col)

    def within(self, wider: "Window") -> tuple[slice, slice]:
        """Its rows and columns in an array of a wider window."""
        top, left = self.row - wider.row, self.col - wider.col
        return slice(top, top + self.height), slice(left, left + self.width)


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """One tile's raster, and the ground of it that a region needs."""

    tile: str
    geobox: GeoBox
    area: BaseGeometry
    """The region's area near the tile, in the tile's CRS."""
    active: Flag
    """(block rows, block cols): True where a block touches the area or its feather; others are never read."""

    def block_window(self, block_row: int, block_col: int) -> Window:
        """The pixels of one block."""
        row, col = block_row * BLOCK_PX, block_col * BLOCK_PX
        height, width = self.geobox.shape
        return Window(row, col, min(BLOCK_PX, height - row), min(BLOCK_PX, width - col))

    def blocks(self) -> Blocks:
        """Active blocks, row by row."""
        return tuple((int(row), int(col)) for row, col in np.argwhere(self.active))

    def window_geobox(self, window: Window) -> GeoBox:
        """The grid of a window."""
        return self.geobox[window.slices]

    def inside(self, window: Window) -> Flag:
        """(height, width): True where a pixel's centre lies in the area."""
        return inside_area(self.area, self.window_geobox(window))

    def extent(self) -> Window:
        """The smallest window that holds every active block."""
        rows, cols = np.flatnonzero(self.active.any(axis=1)), np.flatnonzero(self.active.any(axis=0))
        if rows.size == 0:
            return Window(0, 0, 0, 0)
        first, last = (
            self.block_window(int(rows[0]), int(cols[0])),
            self.block_window(int(rows[-1]), int(cols[-1])),
        )
        return Window(first.row, first.col, last.row + last.height - first.row, last.col + last.width - first.col)


@lru_cache(maxsize=64)
def _ground(area: BaseGeometry, tile: str, resolution: int, feather_m: float) -> Ground:
    geobox = tile_geobox(tile, resolution)
    near = projected_area(area, tile_footprint(tile), str(geobox.crs), margin_m=feather_m)
    reach = near.buffer(feather_m)
    shapely.prepare(reach)
    height, width = geobox.shape
    rows, cols = -(-height // BLOCK_PX), -(-width // BLOCK_PX)
    edge_m = BLOCK_PX * geobox.resolution.x
    west, south_limit, east_limit, north = geobox.boundingbox.bbox
    left, top = np.meshgrid(west + np.arange(cols) * edge_m, north - np.arange(rows) * edge_m)
    cells = shapely.box(left, np.maximum(top - edge_m, south_limit), np.minimum(left + edge_m, east_limit), top)
    return Ground(tile, geobox, near, shapely.intersects(reach, cells))


def ground_of(region: Region, tile: str, *, resolution: int | None = None) -> Ground:
    """The ground of a tile at the region's resolution, or at another one (the mask's); MODIS tiles have but one."""
    if resolution is None or region.grid == "modis":
        resolution = region.resolution
    return _ground(region.geometry, tile, resolution, region.feather_m)
