"""Bands of scenes, read onto our grids.

Three ways, chosen by how the file's grid lies to ours: the same pixels (or whole numbers of them) are read and
averaged as integers; a coarser grid that nests is interpolated by our own integer kernel; anything else is warped
by GDAL, always in whole blocks of the target, so that no result depends on how the work was cut. A coarse look takes
the nearest overview that is not coarser than ours.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
import rasterio.warp
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_DN, ClassCode, ReflectanceCount
from geo_assets.domain.errors import AssetLostError, GridMismatchError
from geo_assets.io.coordinates import grid_in_crs_of
from geo_assets.io.reads.band_file import BandFile, Counts, FileFacts
from geo_assets.io.reads.byte_source import ByteSource
from geo_assets.io.reads.tiff_directory import TiffLevel
from geo_assets.io.reads.tiff_pixels import TiffPixels
from geo_assets.kernels.area_mean import area_mean
from geo_assets.kernels.interpolation import bilinear_up
from geo_assets.kernels.radiometry import block_mean, every_nth, reflectance_counts

Content: TypeAlias = Literal["reflectance", "classes"]
"""What a band holds decides how it is resampled: reflectance is averaged or interpolated, classes never."""

_DOWN_LIMIT, _UP_LIMIT = 12, 60
"""How far pixel sizes may differ to be averaged or interpolated by us; beyond, GDAL streams what we would allocate."""
_DTYPES: dict[Content, tuple[str, ...]] = {
    "reflectance": ("uint16", "int16"),
    "classes": ("uint8", "uint16", "int16"),
}
_SNAP_PX = 1e-3
_FAR_PX = 1e12  # beyond it lies no ground, and integers end
_AVERAGED_FROM = 1.5
"""Pixels that grow by half or more are averages of the file's."""
_COARSE_LOOK_PX = 4 << 20
"""File pixels held at a time in a coarse look."""
WARP_TOLERANCE_PX = 1e-3
"""How far GDAL's interpolated coordinates may be off; its default is 0.125, and it refuses 0."""
UNSCALED_KERNEL = {"XSCALE": "1", "YSCALE": "1"}
"""Bilinear means the four nearest pixels: GDAL would widen its kernel by a ratio that it guesses for every chunk."""


@dataclass(frozen=True, slots=True)
class _Nesting:
    """How the file's pixels nest in ours."""

    down: int
    """File pixels along an edge of one of ours; 1 where ours is finer."""
    up: int
    """Our pixels along an edge of one of the file's; 1 where the file's are finer."""
    row: int
    col: int
    """File pixel (where `down`) or our pixel (where `up`) of the grids' upper left corners' difference."""


class BandReader:
    """One band of one open file, read block by block onto a grid."""

    def __init__(self, file: BandFile, band_index: int, geobox: GeoBox, content: Content, nodata: int) -> None:
        # HLS numbers its southern tiles as northern ones: told in the file's CRS, our grid nests in its pixels.
        geobox = grid_in_crs_of(file.facts.crs, geobox)
        self._file, self._band, self._geobox, self._content = file, band_index, geobox, content
        self.nodata = nodata
        self._same_crs = file.facts.is_north_up and _same_crs(str(file.facts.crs), str(geobox.crs))
        self._nesting = _nesting(file.facts, geobox) if self._same_crs else None
        self._warped: Any = None

    def reflectance(self, row: int, col: int, height: int, width: int, *, offset_dn: int) -> ReflectanceCount:
        """Reflectance counts of a window of the grid.

        Returns
        -------
        counts : (height, width) int16
            Reflectance x 10,000 with the offset applied; nodata -32768 also where the file does not reach.
        """
        nesting = self._nesting
        if nesting is None:
            return reflectance_counts(self._warp(row, col, height, width), offset_dn=offset_dn, nodata=self.nodata)
        if nesting.up == 1:
            down = nesting.down
            stored = self._stored(nesting.row + row * down, nesting.col + col * down, height * down, width * down)
            counts = reflectance_counts(stored, offset_dn=offset_dn, nodata=self.nodata)
            return counts if down == 1 else block_mean(counts, factor=down)
        up = nesting.up
        first_row, first_col = (row + nesting.row) // up - 1, (col + nesting.col) // up - 1
        last_row, last_col = (
            (row + nesting.row + height - 1) // up + 1,
            (col + nesting.col + width - 1) // up + 1,
        )
        stored = self._stored(first_row, first_col, last_row - first_row + 1, last_col - first_col + 1)
        counts = reflectance_counts(stored, offset_dn=offset_dn, nodata=self.nodata)
        fine = bilinear_up(counts, factor=up)
        top, left = row + nesting.row - first_row * up, col + nesting.col - first_col * up
        return np.ascontiguousarray(fine[top : top + height, left : left + width])

    def classes(self, row: int, col: int, height: int, width: int, *, fill: int) -> ClassCode:
        """Classes of a window of the grid: the nearest stored pixel's, `fill` where the file does not reach."""
        nesting = self._nesting
        if nesting is None:
            return self._class_codes(self._warp(row, col, height, width), fill)
        if nesting.up == 1:
            down = nesting.down
            stored = self._stored(nesting.row + row * down, nesting.col + col * down, height * down, width * down)
            codes = self._class_codes(stored, fill)
            return codes if down == 1 else every_nth(codes, factor=down)
        rows, cols = (
            (np.arange(row, row + height) + nesting.row) // nesting.up,
            (np.arange(col, col + width) + nesting.col) // nesting.up,
        )
        stored = self._stored(int(rows[0]), int(cols[0]), int(rows[-1] - rows[0]) + 1, int(cols[-1] - cols[0]) + 1)
        return self._class_codes(stored[np.ix_(rows - rows[0], cols - cols[0])], fill)

    def coarse(self, *, offset_dn: int = 0) -> ReflectanceCount:
        """The whole of a small grid for a coarse look: averaged from the nearest overview, where the file has any."""
        overview = self._overview() if self._same_crs and self._growth() >= _AVERAGED_FROM else None
        if overview is not None:
            return np.concatenate([overview.means(rows, offset_dn) for rows in overview.slabs()])
        return reflectance_counts(self._coarse_warp(), offset_dn=offset_dn, nodata=self.nodata)

    def coarse_classes(self, *, fill: int) -> ClassCode:
        """The whole of a small grid for a coarse look at classes: nearest pixels of the nearest overview."""
        return self._class_codes(self.coarse_stored(), fill)

    def coarse_stored(self) -> Counts:
        """The same for what is no class, as it is stored; `nodata` where the file does not reach."""
        overview = self._overview() if self._same_crs else None
        if overview is not None:
            return np.concatenate([overview.nearest(rows) for rows in overview.slabs()])
        return self._coarse_warp()

    def close(self) -> None:
        """Close what the reader opened on top of the file."""
        if self._warped is not None:
            self._warped.close()

    def _overview(self) -> "_Overview | None":
        """The level for a coarse look, if it is decoded here and holds less than would burst the memory."""
        if self._file.pixels is None:
            return None
        overview = _Overview(self._file.pixels, self._band - 1, self._geobox, self.nodata)
        return overview if overview.row_px <= _COARSE_LOOK_PX else None

    def _class_codes(self, stored: Counts, fill: int) -> ClassCode:
        codes = np.where(stored == self.nodata, fill, stored)
        if codes.size and not 0 <= codes.min() <= codes.max() <= 255:
            raise AssetLostError(
                f"{self._file.where}: holds {codes.min()} to {codes.max()}, expected classes of 0 to 255. "
                "Name the item in selection.exclude."
            )
        return codes.astype(np.uint8)

    def _stored(self, row: int, col: int, height: int, width: int) -> Counts:
        return self._file.window(row, col, height, width, fill=self.nodata)

    def _warp(self, row: int, col: int, height: int, width: int) -> Counts:
        with self._file.asking_gdal() as dataset:
            if self._warped is None:
                self._warped = self._on_our_grid(dataset)
            counts: Counts = self._warped.read(self._band, window=RasterWindow(col, row, width, height))
        return counts

    def _coarse_warp(self) -> Counts:
        """The whole grid from the nearest overview, which GDAL would not take by itself."""
        with self._file.asking_gdal() as dataset:
            growth = self._growth() * (1 + _SNAP_PX)
            fitting = [number for number, factor in enumerate(dataset.overviews(self._band)) if factor <= growth]
        with (
            self._file.asking_gdal(overview=max(fitting, default=None)) as dataset,
            self._on_our_grid(dataset) as warped,
        ):
            counts: Counts = warped.read(self._band)
        return counts

    def _on_our_grid(self, dataset: Any) -> Any:
        resampling = self._resampling()
        return WarpedVRT(
            dataset,
            crs=str(self._geobox.crs),
            transform=self._geobox.transform,
            width=self._geobox.shape[1],
            height=self._geobox.shape[0],
            resampling=resampling,
            src_nodata=self.nodata,
            nodata=self.nodata,
            tolerance=WARP_TOLERANCE_PX,
            **(UNSCALED_KERNEL if resampling == Resampling.bilinear else {}),
        )

    def _resampling(self) -> Resampling:
        """Nearest for classes; for reflectance average where pixels grow, else bilinear."""
        if self._content == "classes":
            return Resampling.nearest
        return Resampling.average if self._growth() >= _AVERAGED_FROM else Resampling.bilinear

    def _growth(self) -> float:
        """Edge of our pixels over the file's; across CRSs by the area that the file covers in ours."""
        facts, geobox = self._file.facts, self._geobox
        assert facts.transform is not None
        if _same_crs(str(facts.crs), str(geobox.crs)):
            return float(geobox.resolution.x / np.hypot(facts.transform.a, facts.transform.d))
        west, south, east, north = rasterio.warp.transform_bounds(facts.crs, str(geobox.crs), *facts.bounds)
        area_m2 = (east - west) * (north - south)
        return float(geobox.resolution.x / np.sqrt(abs(area_m2) / (facts.width * facts.height)))


class _Overview:
    """The level of a TIFF for a coarse look, and where a grid of the same CRS lies on it."""

    def __init__(self, pixels: TiffPixels, sample: int, geobox: GeoBox, nodata: int) -> None:
        self._pixels, self._sample, self._nodata = pixels, sample, nodata
        self._level = _nearest_level(pixels, geobox)
        theirs = pixels.file.level_transform(self._level)
        assert theirs is not None
        ours, (height, width) = geobox.transform, geobox.shape
        with np.errstate(over="ignore"):  # pixels of absurd sizes lie at infinity
            self._row_edges = _snapped((ours.f + ours.e * np.arange(height + 1) - theirs.f) / theirs.e)
            self._col_edges = _snapped((ours.c + ours.a * np.arange(width + 1) - theirs.c) / theirs.a)

    @property
    def row_px(self) -> int:
        """Pixels of the level that one row of the grid covers."""
        rows, cols = self._inside()
        return int((np.diff(rows).max() + 2) * (cols[-1] - cols[0] + 2))

    def slabs(self) -> Iterator[slice]:
        """Rows of the grid, as many at a time as keep what is held of the level in bounds."""
        count = len(self._row_edges) - 1
        each = max(1, _COARSE_LOOK_PX // self.row_px)
        for first in range(0, count, each):
            yield slice(first, min(first + each, count))

    def means(self, rows: slice, offset_dn: int) -> ReflectanceCount:
        """(rows, columns) averages of the level's valid pixels."""
        row_edges, col_edges = self._inside()
        row_edges = row_edges[rows.start : rows.stop + 1]
        (top, bottom), (left, right) = (
            (int(np.floor(edges[0])), int(np.ceil(edges[-1]))) for edges in (row_edges, col_edges)
        )
        stored = self._window(top, left, bottom - top, right - left)
        counts = reflectance_counts(stored, offset_dn=offset_dn, nodata=self._nodata)
        return area_mean(counts, row_edges - top, col_edges - left)

    def nearest(self, rows: slice) -> Counts:
        """(rows, columns) of the level's pixels that hold the centres of ours."""
        row_edges = self._row_edges[rows.start : rows.stop + 1]
        (held_rows, down), (held_cols, across) = (
            _centres(edges, size)
            for edges, size in ((row_edges, self._level.height), (self._col_edges, self._level.width))
        )
        found = np.full((len(held_rows), len(held_cols)), self._nodata, self._level.dtype)
        if down.size and across.size:
            top, left = int(down[0]), int(across[0])
            stored = self._window(top, left, int(down[-1]) - top + 1, int(across[-1]) - left + 1)
            found[np.ix_(held_rows, held_cols)] = stored[np.ix_(down - top, across - left)]
        return found

    def _inside(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Row and column edges, drawn in to the level where they lie beyond it."""
        return np.clip(self._row_edges, 0, self._level.height), np.clip(self._col_edges, 0, self._level.width)

    def _window(self, row: int, col: int, height: int, width: int) -> Counts:
        return self._pixels.window(self._level, row, col, height, width, sample=self._sample, fill=self._nodata)


def _snapped(edges: NDArray[Any]) -> NDArray[np.float64]:
    """Edges that all but coincide with pixel edges, made to: a sliver of a pixel costs a block."""
    near = np.clip(edges, -_FAR_PX, _FAR_PX)
    whole = np.round(near)
    snapped: NDArray[np.float64] = np.where(np.abs(near - whole) <= _SNAP_PX, whole, near)
    return snapped


def _centres(edges: NDArray[np.float64], size: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which cells have their centre on the level, and on which of its pixels."""
    centres = (edges[:-1] + edges[1:]) / 2
    held = (centres >= 0) & (centres < size)
    return held, np.floor(centres[held]).astype(np.int64)


@contextmanager
def open_band(
    source: ByteSource, band_index: int, geobox: GeoBox, content: Content, *, where: str, nodata: float | None = None
) -> Iterator[BandReader]:
    """One band of a file, ready to be read onto a grid.

    Parameters
    ----------
    source
        The file's bytes, as an archive has opened them; GeoTIFF and JPEG 2000 only. It stays the caller's to close.
    band_index
        Counted from 1.
    where
        Scene and band, for error messages.
    nodata
        The stored value that means none, where the catalogue knows better than the file.

    Raises
    ------
    AssetLostError
        The file cannot be read, or its header asks for more than any scene holds.
    ArchiveTransientError
        A server failed in a way that may pass.
    ArchiveRefusedError
        A server does not let us in.
    GridMismatchError
        The file has no CRS or no place in it.
    """
    with closing(BandFile(source, band_index, where)) as file:
        _check_facts(file.facts, band_index, content, where)
        none = _nodata(file.facts, nodata, content, where)
        with closing(BandReader(file, band_index, geobox, content, none)) as reader:
            yield reader


def _check_facts(facts: FileFacts, band_index: int, content: Content, where: str) -> None:
    if not 1 <= band_index <= facts.samples:
        raise AssetLostError(
            f"{where}: found {facts.samples} bands in the file, expected band {band_index}, as the catalogue says. "
            "Repair the item, or name it in selection.exclude."
        )
    if facts.dtype not in _DTYPES[content]:
        raise AssetLostError(
            f"{where}: found pixels of {facts.dtype}, expected {' or '.join(_DTYPES[content])}. "
            "Name the item in selection.exclude."
        )
    if facts.crs is None or facts.transform is None:
        lacks = "no CRS" if facts.crs is None else "no place in its CRS"
        raise GridMismatchError(
            f"{where}: found {lacks} in the file, expected a CRS and a transform. Name the item in selection.exclude."
        )


def _nodata(facts: FileFacts, known: float | None, content: Content, where: str) -> int:
    """The value that means none: the catalogue's, else the file's, or what stands for it where neither states one."""
    stated, dtype = facts.nodata if known is None else known, np.dtype(facts.dtype)
    if stated is None or np.isnan(stated):
        return NODATA_CLASS if content == "classes" and dtype.itemsize == 1 else NODATA_DN
    limits = np.iinfo(dtype)
    if not float(stated).is_integer() or not limits.min <= stated <= limits.max:
        who, what = ("header", "file") if known is None else ("catalogue", "item")
        raise AssetLostError(
            f"{where}: the {who} states nodata {stated:g}, expected a value of {dtype}. "
            f"Repair the {what}, or name the item in selection.exclude."
        )
    return int(stated)


@lru_cache(maxsize=256)
def _same_crs(theirs: str, ours: str) -> bool:
    """True where two CRSs are one, also if one is spelled out: the sinusoidal grid has no code."""
    try:
        return theirs == ours or bool(CRS.from_string(theirs) == CRS.from_string(ours))
    except CRSError:
        return False


def _nearest_level(pixels: TiffPixels, geobox: GeoBox) -> TiffLevel:
    """The coarsest level whose pixels are not larger than ours; full resolution where all are."""
    nearest = pixels.file.levels[0]
    for level in pixels.file.levels[1:]:
        place = pixels.file.level_transform(level)
        if place is not None and max(place.a / geobox.transform.a, place.e / geobox.transform.e) <= 1 + _SNAP_PX:
            nearest = level
    return nearest


def _nesting(facts: FileFacts, geobox: GeoBox) -> _Nesting | None:
    """How the pixels of a file in our CRS nest in ours, or None where a warp is needed."""
    ours, theirs = geobox.transform, facts.transform
    assert theirs is not None
    if not np.isclose(theirs.a, -theirs.e, rtol=1e-9):
        return None
    ratio = ours.a / theirs.a
    if not 0.5 / _UP_LIMIT < ratio < 2 * _DOWN_LIMIT:
        return None
    down, up = max(1, round(ratio)), max(1, round(1 / ratio))
    if abs(ratio - down / up) > 1e-9 * ratio or down > _DOWN_LIMIT or up > _UP_LIMIT:
        return None
    pixel = theirs.a if up == 1 else ours.a
    row, col = (theirs.f - ours.f) / pixel, (ours.c - theirs.c) / pixel
    if max(abs(row), abs(col)) > _FAR_PX or abs(row - round(row)) > _SNAP_PX or abs(col - round(col)) > _SNAP_PX:
        return None
    return _Nesting(down, up, round(row), round(col))
