"""The region's raster: its grid, and its blocks, put together from the tiles' mosaics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import BLOCK_PX, NODATA_REFLECTANCE, Flag
from geo_assets.domain.errors import ProductError
from geo_assets.domain.region import Region
from geo_assets.io.area import projected_area
from geo_assets.io.placing import Placement
from geo_assets.io.products import Product
from geo_assets.io.raster_file import RasterFile
from geo_assets.io.vrt import VrtPart
from geo_assets.stations.ground import Blocks, Ground, Window
from geo_assets.stations.mosaic import MOSAIC_FILE
from geo_assets.stations.mosaic_grid import mosaic_crs, mosaic_ground, mosaic_placement

_OPEN = 16


@dataclass(frozen=True, slots=True, eq=False)
class RegionSheet:
    """The smallest raster on the mosaic's lattice that holds every tile's active ground."""

    ground: Ground
    """Its grid and the blocks of it that can hold data; its area is the region's."""
    row: int
    col: int
    """Lattice position of its upper left pixel."""
    mosaics: Mapping[str, tuple[Placement, Product]]
    """By tile, sorted."""
    opened: Callable[[Path], RasterFile]
    """A raster; the last few stay open, for a row of blocks meets one tile after the other."""

    def block(self, block_row: int, block_col: int) -> tuple[NDArray[np.int16] | None, NDArray[np.int64]]:
        """One block, and how many of its pixels each tile has.

        Returns
        -------
        pixels : (band, y, x) int16, or None where no tile has data
        counts : (tile,) int64
            Pixels of the block with data in each tile's mosaic.

        Raises
        ------
        ProductError
            Two tiles differ on ground that they share.
        """
        window = self.ground.block_window(block_row, block_col)
        top, left = self.row + window.row, self.col + window.col
        counts = np.zeros(len(self.mosaics), np.int64)
        merged: NDArray[np.int16] | None = None
        for index, (tile, (placement, product)) in enumerate(self.mosaics.items()):
            shared = _shared(placement, top, left, window)
            if shared is None:
                continue
            rows, cols, here = shared
            raster = self.opened(product.path(MOSAIC_FILE))
            found = raster.window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
            valid = found != NODATA_REFLECTANCE
            counts[index] = valid[0].sum()
            if not counts[index] and not valid.any():
                continue
            if merged is None:
                merged = np.full((len(found), window.height, window.width), NODATA_REFLECTANCE, np.int16)
            target = merged[:, *here]
            differ = (target != NODATA_REFLECTANCE) & valid & (target != found)
            if differ.any():
                raise ProductError(
                    f"Region mosaic: tile {tile} differs from its neighbours on {int(differ.any(axis=0).sum())} pixels "
                    "that they share, expected none. One of them is older: run `geo-assets backfill`."
                )
            np.copyto(target, found, where=valid)
        return merged, counts

    def parts(self) -> list[VrtPart]:
        """The tiles' mosaics as parts of a virtual raster in the region product's folder."""
        return [
            VrtPart(
                f"../../../{product.place.folder}/{MOSAIC_FILE}",
                (placement.geobox.shape[0], placement.geobox.shape[1]),
                placement.row - self.row,
                placement.col - self.col,
            )
            for placement, product in self.mosaics.values()
        ]


def region_sheet(region: Region, with_data: Mapping[str, Product]) -> RegionSheet:
    """Where the mosaics of a region's tiles, all those of a month that have data, make one raster."""
    placements = {tile: mosaic_placement(region, tile) for tile in sorted(with_data)}
    grounds = {tile: mosaic_ground(region, tile) for tile in placements}
    extents = [
        (placement.row + extent.row, placement.col + extent.col, extent)
        for placement, extent in ((placements[tile], grounds[tile].extent()) for tile in placements)
        if extent.height
    ]
    top, left = min(row for row, _, _ in extents), min(col for _, col, _ in extents)
    height = max(row + extent.height for row, _, extent in extents) - top
    width = max(col + extent.width for _, col, extent in extents) - left
    first = next(iter(placements.values()))
    transform = first.geobox.transform * first.geobox.transform.translation(left - first.col, top - first.row)
    geobox = GeoBox((height, width), transform, first.geobox.crs)
    active = np.zeros((-(-height // BLOCK_PX), -(-width // BLOCK_PX)), bool)
    for tile, ground in grounds.items():
        _activate(active, ground, placements[tile].row - top, placements[tile].col - left)
    area = projected_area(region.geometry, region.geometry, mosaic_crs(region), margin_m=0.0)
    whole = Ground("", geobox, area, active)
    mosaics = {tile: (placements[tile], with_data[tile]) for tile in placements}
    return RegionSheet(whole, top, left, mosaics, lru_cache(maxsize=_OPEN)(RasterFile))


def row_units(blocks: Blocks, unit_blocks: int) -> dict[str, Blocks]:
    """Units of work that lie in one row of blocks: name -> its blocks, at most `unit_blocks` squared of them.

    Read back in row order, one of them at a time is in memory, however wide the raster.
    """
    length = unit_blocks**2
    units: dict[str, list[tuple[int, int]]] = {}
    for row, col in blocks:
        units.setdefault(f"{length}-{row:04d}-{col // length:04d}", []).append((row, col))
    return {name: tuple(members) for name, members in sorted(units.items())}


def _activate(active: Flag, ground: Ground, top: int, left: int) -> None:
    """Mark the sheet's blocks that a tile's active blocks touch; the tile's corner lies at `top`, `left` of it."""
    for row, col in ground.blocks():
        window = ground.block_window(row, col)
        first_row, first_col = max(top + window.row, 0), max(left + window.col, 0)
        last_row, last_col = top + window.row + window.height - 1, left + window.col + window.width - 1
        active[first_row // BLOCK_PX : last_row // BLOCK_PX + 1, first_col // BLOCK_PX : last_col // BLOCK_PX + 1] = (
            True
        )


def _shared(
    placement: Placement, top: int, left: int, window: Window
) -> tuple[slice, slice, tuple[slice, slice]] | None:
    """Rows and columns of a tile's raster, and of a window at a lattice position, of the ground that both have."""
    height, width = placement.geobox.shape
    first_row, last_row = max(top, placement.row), min(top + window.height, placement.row + height)
    first_col, last_col = max(left, placement.col), min(left + window.width, placement.col + width)
    if first_row >= last_row or first_col >= last_col:
        return None
    return (
        slice(first_row - placement.row, last_row - placement.row),
        slice(first_col - placement.col, last_col - placement.col),
        (slice(first_row - top, last_row - top), slice(first_col - left, last_col - left)),
    )
