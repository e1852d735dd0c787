"""Tiles on the mosaic's lattice: as they are where the CRS is the same, warped once where it is another."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.arrays import BLOCK_PX, NODATA_REFLECTANCE, ReflectanceCount
from geo_assets.domain.errors import CorruptProductError, GridMismatchError
from geo_assets.domain.tile_grid import tile_crs, tile_geobox
from geo_assets.io.gdal import BLOCK_CACHE
from geo_assets.io.rasters import read_window
from geo_assets.io.reads.band import UNSCALED_KERNEL, WARP_TOLERANCE_PX

_OUTLINE_STEP_M = 2_000.0
_BLOCKS_KEPT = 48


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where a tile lies on the lattice of a mosaic's CRS."""

    tile: str
    geobox: GeoBox
    """Its grid in the mosaic's CRS; the tile's own where that is its own CRS."""
    row: int
    col: int
    """Lattice position of its upper left pixel; neighbours' differences are whole pixels."""
    outline: BaseGeometry
    """The tile's square in the mosaic's CRS."""
    native: bool
    """True where the tile's own pixels are used."""


def place_tile(tile: str, resolution: int, crs: str) -> Placement:
    """A tile on the lattice of a mosaic's CRS.

    The lattice runs through the native pixels of the CRS's own tiles: through multiples of the pixel size, except in
    the southern UTM zones. There northings are 40 m off the multiples of 60 m, and so is it.

    Parameters
    ----------
    tile
        MGRS tile of the mosaic's UTM zone or another, or MODIS tile.
    resolution
        As the region has it: metres, or 500 for MODIS pixels.
    crs
        Of the mosaic, as `tile_crs` spells it.

    Raises
    ------
    GridMismatchError
        The tile's pixels are off the lattice.
    """
    own = tile_geobox(tile, resolution)
    size_m = own.resolution.x
    south_m = (10_000_000 % resolution) if crs.startswith("EPSG:327") else 0
    native = tile_crs(tile) == crs
    west, south, east, north = own.boundingbox.bbox
    square = shapely.segmentize(shapely.box(west, south, east, north), _OUTLINE_STEP_M)
    if native:
        geobox, outline = own, square
    else:
        outline = Geometry(square, own.crs).to_crs(crs).geom
        left, low, right, high = outline.bounds
        first_col, last_col = int(np.floor(left / size_m)), int(np.ceil(right / size_m))
        top = int(np.ceil((high - south_m) / size_m))
        bottom = int(np.floor((low - south_m) / size_m))
        transform = rasterio.Affine(size_m, 0, first_col * size_m, 0, -size_m, top * size_m + south_m)
        geobox = GeoBox((top - bottom, last_col - first_col), transform, crs)
    col = geobox.transform.c / size_m
    row = -(geobox.transform.f - south_m) / size_m
    if abs(col - round(col)) > 1e-6 or abs(row - round(row)) > 1e-6:
        raise GridMismatchError(
            f"Tile {tile}: origin {geobox.transform.c, geobox.transform.f} is off the {size_m:g} m lattice."
        )
    return Placement(tile, geobox, round(row), round(col), outline, native)


class PlacedRaster:
    """A tile's composite, read by lattice position; safe to use from several threads."""

    def __init__(self, path: Path, placement: Placement) -> None:
        self.placement = placement
        self._path = path
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()

    def window(self, row: int, col: int, height: int, width: int) -> ReflectanceCount:
        """(band, y, x) int16 of a window within the placement's grid, in its own pixels."""
        if self.placement.native:
            return read_window(self._path, slice(row, row + height), slice(col, col + width))
        with self._lock:
            return self._from_warped_blocks(row, col, height, width)

    def _from_warped_blocks(self, row: int, col: int, height: int, width: int) -> ReflectanceCount:
        """Whole blocks only are warped, so that a pixel never depends on the window it was asked in."""
        rows, cols = (
            range(row // BLOCK_PX, -(-(row + height) // BLOCK_PX)),
            range(col // BLOCK_PX, -(-(col + width) // BLOCK_PX)),
        )
        wide = np.concatenate(
            [
                np.concatenate([self._warped_block(block_row, block_col) for block_col in cols], axis=2)
                for block_row in rows
            ],
            axis=1,
        )
        top, left = row - rows[0] * BLOCK_PX, col - cols[0] * BLOCK_PX
        return np.ascontiguousarray(wide[:, top : top + height, left : left + width])

    def _warped_block(self, block_row: int, block_col: int) -> NDArray[Any]:
        key = (block_row, block_col)
        if key not in self._blocks:
            self._blocks[key] = self._warp(block_row * BLOCK_PX, block_col * BLOCK_PX)
            while len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return self._blocks[key]

    def _warp(self, row: int, col: int) -> NDArray[Any]:
        grid = self.placement.geobox
        height, width = min(BLOCK_PX, grid.shape[0] - row), min(BLOCK_PX, grid.shape[1] - col)
        try:
            with (
                rasterio.Env(**BLOCK_CACHE),
                rasterio.open(self._path) as source,
                WarpedVRT(
                    source,
                    crs=str(grid.crs),
                    transform=grid.transform,
                    width=grid.shape[1],
                    height=grid.shape[0],
                    resampling=Resampling.bilinear,
                    src_nodata=NODATA_REFLECTANCE,
                    nodata=NODATA_REFLECTANCE,
                    tolerance=WARP_TOLERANCE_PX,
                    **UNSCALED_KERNEL,
                ) as warped,
            ):
                block: NDArray[Any] = warped.read(window=RasterWindow(col, row, width, height))
        except rasterio.errors.RasterioError as error:
            raise CorruptProductError(
                f"Raster {self._path}: cannot be warped ({error}). `geo-assets verify` tells more."
            ) from None
        return block
