"""Rasters on a mosaic's lattice: as they are where their pixels lie on it, warped once where they do not."""

import itertools
import threading
import weakref
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.arrays import BLOCK_PX, Flag
from geo_assets.domain.errors import GridMismatchError
from geo_assets.domain.tile_grid import tile_crs, tile_geobox
from geo_assets.io.coordinates import source_positions
from geo_assets.io.raster_file import RasterFile
from geo_assets.io.rasters import raster_geobox
from geo_assets.io.reads.kept_blocks import KeptBlocks
from geo_assets.kernels.mosaicking.blending import has_data
from geo_assets.kernels.reprojection import Positions, resample_nearest
from geo_assets.kernels.resampling import resample_mean

LATTICE_VERSION = "1"
"""Changes when a pixel of a mosaic would come to lie elsewhere, or be resampled in another way."""

LARGEST_FACTOR = 64
"""Source pixels along the edge of a lattice's: beyond it, whoever wants so coarse a picture takes an overview."""

_OUTLINE_STEP_M = 2_000.0
_PLACES_AT_ONCE = 1 << 20
_SOURCE_PX_AT_ONCE = 1 << 24
_LOCKS = 16
_WARPED = KeptBlocks(128 << 20)
_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where a raster lies on the lattice of a mosaic's CRS."""

    tile: str
    """The tile, or another name that is the raster's own within the mosaic."""
    geobox: GeoBox
    """Its grid in the mosaic's CRS; the raster's own where that is its own CRS."""
    row: int
    col: int
    """Lattice position of its upper left pixel; neighbours' differences are whole pixels."""
    outline: BaseGeometry
    """The raster's ground in the mosaic's CRS."""
    native: bool
    """True where the raster's own pixels are used."""


def place_tile(tile: str, resolution: int, crs: str) -> Placement:
    """A tile on the lattice of a mosaic's CRS.

    The lattice runs through the native pixels of the CRS's own tiles: through multiples of the pixel size, except in
    the southern UTM zones. There northings are 40 m off the multiples of 60 m, and so is it. In any other CRS in
    metres, such as EPSG:6933, EPSG:3035 or EPSG:3857, it runs through multiples of the pixel size from its origin.

    Parameters
    ----------
    tile
        MGRS tile of the mosaic's UTM zone or another, or MODIS tile.
    resolution
        As the region has it: metres, or 500 for MODIS pixels.
    crs
        Of the mosaic: as `tile_crs` spells it, or `EPSG:NUMBER` of a projected CRS in metres.

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
    """A raster, read by its position on a mosaic's lattice; safe to use from several threads.

    Parameters
    ----------
    path
        Of a GeoTIFF on disk.
    placement
        Where it lies, and whether its own pixels are used.
    nodata
        For a file that declares none.
    categorical
        The file holds classes: pixels are picked, never interpolated.

    Raises
    ------
    CorruptProductError
        The file is missing, or no raster.
    GridMismatchError
        It declares no nodata and none is given; its own pixels are to be used and lie elsewhere; or the lattice's
        pixels are more than `LARGEST_FACTOR` times as long as its own.
    """

    def __init__(
        self, path: Path, placement: Placement, *, nodata: float | None = None, categorical: bool = False
    ) -> None:
        self.placement, self.name = placement, placement.tile
        self.row, self.col = placement.row, placement.col
        self.height, self.width = placement.geobox.shape
        self._file, self._grid, self._categorical = RasterFile(path), raster_geobox(path), categorical
        self.bands, self.dtype = self._file.bands, self._file.dtype
        declared = nodata if self._file.nodata is None else self._file.nodata
        if declared is None:
            raise GridMismatchError(
                f"Raster {path}: declares no nodata, expected a number or NaN. Say which value means that there is "
                "no data."
            )
        self.nodata = float(declared)
        if placement.native and not _alike(self._grid, placement.geobox):
            raise GridMismatchError(
                f"Raster {path}: found {self._grid.shape} rows and columns from {self._grid.transform * (0, 0)}, "
                f"expected {placement.geobox.shape} from {placement.geobox.transform * (0, 0)}. Rebuild it on the grid "
                f"of {placement.tile}."
            )
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._full: dict[tuple[int, int], bool] = {}
        self._number = next(_NUMBERS)
        weakref.finalize(self, _WARPED.drop, self._number)

    def window(self, row: int, col: int, height: int, width: int) -> NDArray[Any]:
        """(band, y, x) of a window within the placement's grid, in its own pixels; not to be written to."""
        out = np.empty((self.bands, height, width), self.dtype)
        self.read_into(out, row, col)
        return out

    def read_into(self, out: NDArray[Any], row: int, col: int) -> None:
        """Fill a (band, y, x) array, or a part of one, with the window that begins at a pixel: see `window`."""
        if self.placement.native:
            self.read_stored(out, row, col)
        else:
            self._read_warped(out, row, col)

    def read_stored(self, out: NDArray[Any], row: int, col: int) -> None:
        """Fill a (band, y, x) array with a window of the file's own pixels."""
        self._file.read_into(out, row, col)

    def valid(self, row: int, col: int, height: int, width: int) -> Flag:
        """(band, y, x) whether a window within the placement's grid has data.

        What is full of data is read once to know it: the halos of windows are mostly such.
        """
        out = np.ones((self.bands, height, width), np.bool_)
        for block_row in range(row // BLOCK_PX, -(-(row + height) // BLOCK_PX)):
            for block_col in range(col // BLOCK_PX, -(-(col + width) // BLOCK_PX)):
                if self._is_full(block_row, block_col):
                    continue
                top, left = max(block_row * BLOCK_PX, row), max(block_col * BLOCK_PX, col)
                high = min((block_row + 1) * BLOCK_PX, row + height) - top
                wide = min((block_col + 1) * BLOCK_PX, col + width) - left
                known = has_data(self.window(top, left, high, wide), self.nodata)
                out[:, top - row : top - row + high, left - col : left - col + wide] = known
        return out

    def _is_full(self, block_row: int, block_col: int) -> bool:
        full = self._full.get((block_row, block_col))
        if full is None:
            top, left = block_row * BLOCK_PX, block_col * BLOCK_PX
            block = self.window(top, left, min(BLOCK_PX, self.height - top), min(BLOCK_PX, self.width - left))
            full = self._full[block_row, block_col] = bool(has_data(block, self.nodata).all())
        return full

    def _read_warped(self, out: NDArray[Any], row: int, col: int) -> None:
        """Whole blocks only are warped, and kept for a while: windows and their halos share them."""
        _, height, width = out.shape
        for block_row in range(row // BLOCK_PX, -(-(row + height) // BLOCK_PX)):
            for block_col in range(col // BLOCK_PX, -(-(col + width) // BLOCK_PX)):
                block = self._warped_block(block_row, block_col)
                top, left = block_row * BLOCK_PX, block_col * BLOCK_PX
                first_row, last_row = max(row, top), min(row + height, top + block.shape[1])
                first_col, last_col = max(col, left), min(col + width, left + block.shape[2])
                out[:, first_row - row : last_row - row, first_col - col : last_col - col] = block[
                    :, first_row - top : last_row - top, first_col - left : last_col - left
                ]

    def _warped_block(self, block_row: int, block_col: int) -> NDArray[Any]:
        key = (block_row, block_col)
        with self._locks[hash(key) % _LOCKS]:  # two threads that want one block: the second finds it made
            block = _WARPED.get(self._number, key)
            if block is None:
                rows = slice(block_row * BLOCK_PX, min((block_row + 1) * BLOCK_PX, self.height))
                cols = slice(block_col * BLOCK_PX, min((block_col + 1) * BLOCK_PX, self.width))
                block = self._warped(self.placement.geobox[rows, cols])
                _WARPED.put(self._number, key, block)
            return block

    @cached_property
    def _factor(self) -> int:
        """The raster's pixels along the edge of one of the lattice's, in the middle of it."""
        if self._categorical:
            return 1
        row, col = (min(edge // 2, edge - 1) for edge in self.placement.geobox.shape)
        middle = self.placement.geobox[row : row + 1, col : col + 1].pad(1)
        rows, cols = self._places(middle)
        down = np.hypot(rows[2, 1] - rows[0, 1], cols[2, 1] - cols[0, 1]) / 2
        across = np.hypot(rows[1, 2] - rows[1, 0], cols[1, 2] - cols[1, 0]) / 2
        ratio = np.sqrt(down * across)
        if ratio > LARGEST_FACTOR + 0.5:
            raise GridMismatchError(
                f"Raster {self._file.path}: its pixels are {ratio:.0f} times as small as those of the mosaic, expected "
                f"at most {LARGEST_FACTOR} times. Reduce it first, or ask for a finer resolution."
            )
        return max(1, round(ratio)) if np.isfinite(ratio) else 1

    def _places(self, target: GeoBox) -> tuple[Positions, Positions]:
        """Where the centres of a grid's pixels lie in the file."""
        return source_positions(target, self._grid.crs, self._grid.transform)

    def _warped(self, target: GeoBox) -> NDArray[Any]:
        """(band, y, x) of a part of the placement's grid, in pieces of bounded size."""
        height, width = target.shape
        factor = self._factor
        if height * width * factor * factor > _PLACES_AT_ONCE and max(height, width) > 1:
            return self._in_halves(target)
        fine = GeoBox(
            (height * factor, width * factor), target.transform * target.transform.scale(1 / factor), target.crs
        )
        rows, cols = self._places(fine)
        window = self._reached(rows, cols)
        if window is None:
            return np.full((self.bands, height, width), self.nodata, self.dtype)
        if window[2] * window[3] > _SOURCE_PX_AT_ONCE and max(height, width) > 1:
            return self._in_halves(target)
        top, left, high, wide = window
        stored = np.empty((self.bands, high, wide), self.dtype)
        self.read_stored(stored, top, left)
        take = (
            partial(resample_nearest, fill=self.nodata)
            if self._categorical
            else partial(resample_mean, nodata=self.nodata, factor=factor)
        )
        return np.stack([take(band, rows, cols, top=top, left=left) for band in stored])

    def _in_halves(self, target: GeoBox) -> NDArray[Any]:
        """The same for a part that would need too much at once; no pixel depends on it."""
        height, width = target.shape
        if height >= width:
            parts = [target[: height // 2, :], target[height // 2 :, :]]
        else:
            parts = [target[:, : width // 2], target[:, width // 2 :]]
        return np.concatenate([self._warped(part) for part in parts], axis=1 if height >= width else 2)

    def _reached(self, rows: Positions, cols: Positions) -> tuple[int, int, int, int] | None:
        """Row, column, height and width of the file's pixels that some places need; None where they need none."""
        height, width = self._grid.shape
        inside = (rows >= 0) & (cols >= 0) & (rows < height) & (cols < width)
        if not inside.any():
            return None
        top, left = (max(int(np.floor(places[inside].min() - 0.5)), 0) for places in (rows, cols))
        bottom = min(int(np.floor(rows[inside].max() - 0.5)) + 2, height)
        right = min(int(np.floor(cols[inside].max() - 0.5)) + 2, width)
        return top, left, bottom - top, right - left


def _alike(one: GeoBox, other: GeoBox) -> bool:
    """Whether two grids have the same pixels, to a thousandth of one; what the CRS is called does not matter."""
    precision = abs(other.transform.a) / 1000
    return one.shape == other.shape and bool(
        np.allclose(np.array(one.transform) - np.array(other.transform), 0.0, rtol=0.0, atol=precision)
    )
