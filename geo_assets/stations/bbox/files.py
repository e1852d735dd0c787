"""The files of scenes, opened once each, and where they lie under the output grid."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_DN
from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.errors import AssetLostError
from geo_assets.domain.scene import SceneItem
from geo_assets.io.archives.archive import Archive
from geo_assets.io.coordinates import shift_between, source_positions
from geo_assets.io.reads.band_file import BandFile
from geo_assets.io.reads.byte_source import ByteSource
from geo_assets.io.reads.tiff_directory import TiffLevel
from geo_assets.io.reads.tiff_pixels import TiffPixels
from geo_assets.io.wire.meter import Meter
from geo_assets.kernels.picking.bands import Rectangle
from geo_assets.kernels.picking.taps import Taps, bilinear_taps, nearest_taps
from geo_assets.kernels.reprojection import Positions

Sampling: TypeAlias = Literal["nearest", "bilinear"]
"""Classes are never interpolated, reflectance always."""

_BAND_DTYPES = ("uint16", "int16")
_LAYER_DTYPES = ("uint8", "uint16", "int16")
_NOT_COARSER = 1.01
"""An overview's pixels are not always a whole multiple of the file's."""
_AUTO_FROM = 2 / _NOT_COARSER
_OUTLINE_POINTS = 33
_PART_PX, _STORED_EDGE_PX = 512, 2048
"""Where pixels are looked up one by one: longest edge of a part of the output, and of the stored pixels under it."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One resolution of a file: full, or an overview."""

    width: int
    height: int
    transform: Affine
    """From (column, row) to the file's CRS."""
    blocks: TiffLevel | None
    """None where the file is not a TIFF that is decoded here, and is read by windows."""

    @property
    def pixel_m(self) -> float:
        """The longer edge of a pixel."""
        place = self.transform
        return max(abs(place.a), abs(place.b), abs(place.d), abs(place.e))


@dataclass(frozen=True, slots=True)
class Loss:
    """A file that is gone or unreadable for good."""

    band: str
    """Band or layer."""
    reason: str
    """Which block, bytes and attempts, as far as they are known."""


Losses: TypeAlias = dict[str, Loss]
"""Item id -> its first file that is lost: the item is of no use without it."""


class SceneFile:
    """One band or layer of a scene, open.

    Parameters
    ----------
    item, name
        What it is.
    source
        Its bytes; closed with the file.
    meter
        Counts what is read of it.

    Raises
    ------
    AssetLostError
        It is no raster of 8 or 16 bits that is understood, or lies nowhere.
    ArchiveError
        It cannot be read.
    """

    def __init__(self, item: SceneItem, name: str, source: ByteSource, meter: Meter) -> None:
        self.item, self.name, self.meter = item, name, meter
        self.where = source.where
        asset = item.assets[name]
        self._source, self._lock = source, threading.Lock()
        self._file = BandFile(source, asset.band_index, source.where)
        facts, dtypes = self._file.facts, _BAND_DTYPES if name in SENTINEL2_BANDS else _LAYER_DTYPES
        if asset.band_index > facts.samples or facts.dtype not in dtypes or None in (facts.crs, facts.transform):
            self._file.close()
            raise AssetLostError(
                f"{self.where}: found {facts.samples} bands of {facts.dtype} in CRS {facts.crs}, expected band "
                f"{asset.band_index} of {', '.join(dtypes)} with a CRS and a place in it. "
                "Name the item in selection.exclude."
            )
        assert facts.crs is not None
        assert facts.transform is not None
        self.crs, self.dtype, self.sample = facts.crs, np.dtype(facts.dtype), asset.band_index - 1
        self.nodata = _nodata(self.dtype, facts.nodata if asset.nodata is None else asset.nodata)
        self.levels: tuple[Level, ...] = (Level(facts.width, facts.height, facts.transform, None),)
        if self.pixels is not None:
            file = self.pixels.file
            self.levels = tuple(
                Level(level.width, level.height, file.level_transform(level) or facts.transform, level)
                for level in file.levels
            )

    @property
    def pixels(self) -> TiffPixels | None:
        """Its blocks; None where GDAL reads it."""
        return self._file.pixels

    def window(self, level: Level, row: int, col: int, height: int, width: int) -> NDArray[Any]:
        """Stored pixels of a rectangle of a level, which may reach beyond it: nodata there."""
        if self.pixels is not None and level.blocks is not None:
            return self.pixels.window(level.blocks, row, col, height, width, sample=self.sample, fill=self.nodata)
        with self._lock:  # GDAL's datasets serve one thread
            return self._file.window(row, col, height, width, fill=self.nodata)

    def close(self) -> None:
        """Let go of what is open; what the meter counted stays."""
        self._file.close()
        self._source.close()


class SceneFiles:
    """The open files of one composite; usable from several threads.

    Parameters
    ----------
    archive
        Of the scenes.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._lock = threading.Lock()
        self._opened: dict[tuple[str, str], SceneFile] = {}
        self._meters: dict[tuple[str, str], Meter] = {}

    def open(self, item: SceneItem, name: str) -> SceneFile:
        """A band or layer of an item; its header is read when it is first asked for.

        Raises
        ------
        AssetLostError
            The file is gone, is no raster that is understood, or lies nowhere.
        ArchiveTransientError, ArchiveRefusedError
            It cannot be read now, or may not be.
        """
        with self._lock:
            known = self._opened.get((item.id, name))
        if known is not None:
            return known
        with self._lock:
            meter = self._meters.setdefault((item.id, name), Meter())
        source = self._archive.open(item.assets[name], where=f"Item {item.id}, band {name}", meter=meter)
        file = SceneFile(item, name, source, meter)
        with self._lock:
            kept = self._opened.setdefault((item.id, name), file)
        if kept is not file:  # another thread was as quick
            file.close()
        return kept

    def release(self, file: SceneFile) -> None:
        """Let go of one file and of the blocks that it keeps; it is opened anew when it is asked for again."""
        with self._lock:
            self._opened.pop((file.item.id, file.name), None)
        file.close()

    @property
    def meters(self) -> dict[tuple[str, str], Meter]:
        """(Item id, name) -> what was read of it, for all files that were ever opened, in this order."""
        with self._lock:
            return {key: self._meters[key] for key in sorted(self._meters)}

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            files = list(self._opened.values())
            self._opened.clear()
        for file in files:
            file.close()


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """A level under the output grid."""

    file: SceneFile
    level: Level
    taps: tuple[Taps, Taps] | None
    """Of output rows and columns, where both grids lie the same way round in one projection and blocks can be decoded
    here; else None: then pixels are looked up one by one."""
    extent: Rectangle
    """Part of the output that the file may reach."""

    @property
    def is_empty(self) -> bool:
        """True where the file does not reach the output."""
        return self.extent[0] >= self.extent[1] or self.extent[2] >= self.extent[3]

    def positions(self, grid: GeoBox, part: Rectangle) -> tuple[Positions, Positions]:
        """Rows and columns of the level at which the centres of a part of the output lie."""
        row_begin, row_end, col_begin, col_end = part
        return source_positions(grid[row_begin:row_end, col_begin:col_end], self.file.crs, self.level.transform)

    def parts(self, grid: GeoBox) -> Iterator[Rectangle]:
        """The extent in parts, each over a few megapixels of the level at most."""
        row_begin, row_end, col_begin, col_end = self.extent
        edge = max(1, min(_PART_PX, int(_STORED_EDGE_PX * self.level.pixel_m / float(grid.resolution.x))))
        for row in range(row_begin, row_end, edge):
            for col in range(col_begin, col_end, edge):
                yield row, min(row + edge, row_end), col, min(col + edge, col_end)

    def window_round(self, rows: Positions, cols: Positions, *, margin: int) -> tuple[int, int, int, int] | None:
        """The part of the level (row, column, height, width) that holds positions and some pixels around, if any."""
        inside = (rows >= 0) & (rows < self.level.height) & (cols >= 0) & (cols < self.level.width)
        if not inside.any():
            return None
        rows, cols = rows[inside], cols[inside]
        top, left = max(int(rows.min()) - margin, 0), max(int(cols.min()) - margin, 0)
        bottom = min(int(rows.max()) + 1 + margin, self.level.height)
        right = min(int(cols.max()) + 1 + margin, self.level.width)
        return top, left, bottom - top, right - left


def place(file: SceneFile, grid: GeoBox, level: Level, sampling: Sampling) -> Placement:
    """Where a level of a file lies under a grid."""
    height, width = grid.shape
    shift = shift_between(str(grid.crs), file.crs)
    here, there = grid.transform, level.transform
    if shift is None or there.b or there.d or there.a <= 0 or there.e >= 0 or level.blocks is None:
        return Placement(file, level, None, _reached(file, level, grid))
    rows = _axis_taps((here.f + shift[1] - there.f) / there.e, here.e / there.e, height, level.height, sampling)
    cols = _axis_taps((here.c + shift[0] - there.c) / there.a, here.a / there.a, width, level.width, sampling)
    return Placement(file, level, (rows, cols), (rows.begin, rows.end, cols.begin, cols.end))


def coarsest_level(file: SceneFile, pixel_m: float) -> Level:
    """The coarsest level whose pixels are not larger than some metres; full resolution where all are."""
    return next((level for level in reversed(file.levels) if level.pixel_m <= pixel_m * _NOT_COARSER), file.levels[0])


def takes_overviews(file: SceneFile, grid: GeoBox, read: Literal["auto", "exact", "overview"]) -> bool:
    """Whether overviews may be read: `auto` takes them where the output is at least twice as coarse as the file."""
    return read == "overview" or (read == "auto" and float(grid.resolution.x) >= _AUTO_FROM * file.levels[0].pixel_m)


def _nodata(dtype: np.dtype[Any], stated: float | None) -> int:
    """The value that means none; where none is stated, or one that no pixel can have, what usually stands for it."""
    limits = np.iinfo(dtype)
    if stated is not None and float(stated).is_integer() and limits.min <= stated <= limits.max:
        return int(stated)
    return NODATA_CLASS if dtype.itemsize == 1 else NODATA_DN


@lru_cache(maxsize=256)
def _axis_taps(first: float, step: float, number: int, length: int, sampling: Sampling) -> Taps:
    """Taps of output pixels whose edges lie at ``first + i * step``, in stored pixels; one object for all who ask."""
    centres = first + (np.arange(number, dtype=np.float64) + 0.5) * step
    return bilinear_taps(centres, length) if sampling == "bilinear" else nearest_taps(centres, length)


def _reached(file: SceneFile, level: Level, grid: GeoBox) -> Rectangle:
    """The part of a grid that holds a raster's outline, and a pixel to spare; all where the outline has no place."""
    height, width = grid.shape
    up, down = np.linspace(0, 1, _OUTLINE_POINTS), np.linspace(1, 0, _OUTLINE_POINTS)
    cols = np.concatenate([up, np.ones_like(up), down, np.zeros_like(up)]) * level.width
    rows = np.concatenate([np.zeros_like(up), up, np.ones_like(up), down]) * level.height
    there, here = level.transform, grid.transform
    x, y = there.a * cols + there.b * rows + there.c, there.d * cols + there.e * rows + there.f
    xs, ys = Transformer.from_crs(file.crs, str(grid.crs), always_xy=True).transform(x, y)
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        return 0, height, 0, width
    out_cols, out_rows = (xs - here.c) / here.a, (ys - here.f) / here.e
    return (
        int(np.clip(np.floor(out_rows.min()) - 1, 0, height)),
        int(np.clip(np.ceil(out_rows.max()) + 1, 0, height)),
        int(np.clip(np.floor(out_cols.min()) - 1, 0, width)),
        int(np.clip(np.ceil(out_cols.max()) + 1, 0, width)),
    )
