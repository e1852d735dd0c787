"""Bands of scenes, read onto our grids.

Three ways, chosen by how the file's grid lies to ours: the same pixels (or whole numbers of them) are read and
averaged as integers; a coarser grid that nests is interpolated by our own integer kernel; anything else is warped
by GDAL, always in whole blocks of the target, so that no result depends on how the work was cut.
"""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import rasterio
import rasterio.warp
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_DN
from geo_assets.domain.errors import (
    ArchiveError,
    ArchiveRefusedError,
    ArchiveTransientError,
    AssetLostError,
    GridMismatchError,
)
from geo_assets.io.gdal import BLOCK_CACHE, gdal_warnings, without_queries
from geo_assets.kernels.interpolation import bilinear_up
from geo_assets.kernels.radiometry import block_mean, every_nth, reflectance_counts

Counts: TypeAlias = NDArray[Any]
"""Stored counts, uint8, uint16 or int16."""

Content: TypeAlias = Literal["reflectance", "classes"]
"""What a band holds decides how it is resampled: reflectance is averaged or interpolated, classes never."""

_EDGE_LIMIT_PX = 65_536  # six times that of a Sentinel-2 scene
_BANDS_LIMIT = 64
_BLOCK_LIMIT_BYTES = 256 << 20
_DOWN_LIMIT, _UP_LIMIT = 12, 60
"""How far pixel sizes may differ to be averaged or interpolated by us; beyond, GDAL streams what we would allocate."""
_DTYPES = ("uint8", "uint16", "int16")
_SNAP_PX = 1e-3
WARP_TOLERANCE_PX = 1e-3
"""How far GDAL's interpolated coordinates may be off; its default is 0.125, and it refuses 0."""
UNSCALED_KERNEL = {"XSCALE": "1", "YSCALE": "1"}
"""Bilinear means the four nearest pixels: GDAL would widen its kernel by a ratio that it guesses for every chunk."""
_GDAL = {
    **BLOCK_CACHE,
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": "0",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif,.tiff,.TIF,.TIFF,.jp2,.JP2,.j2k",
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",  # else a failure is remembered, and a second try in this process is none
}
_REMOTE = "/vsicurl/"
_NOT_LET_IN = re.compile(r"HTTP response code[^;]*: (401|403|407|451)\b")
_GONE = re.compile(r"HTTP response code[^;]*: 4(?!08|25|29)\d\d\b|not recognized as|does not exist")


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

    def __init__(self, source: Any, band_index: int, geobox: GeoBox, content: Content, where: str) -> None:
        self._source, self._band, self._geobox, self._where = source, band_index, geobox, where
        self._content = content
        self._remote = source.name.startswith(_REMOTE)
        self.nodata = _nodata(source, band_index, content, where)
        self._nesting = _nesting(source, geobox)
        self._warped: Any = None

    def reflectance(self, row: int, col: int, height: int, width: int, *, offset_dn: int) -> NDArray[np.int16]:
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

    def classes(self, row: int, col: int, height: int, width: int, *, fill: int) -> NDArray[np.uint8]:
        """Classes of a window of the grid: the nearest stored pixel's, `fill` where the file does not reach."""
        nesting = self._nesting
        if nesting is None:
            stored = self._warp(row, col, height, width)
        elif nesting.up == 1:
            down = nesting.down
            stored = self._stored(nesting.row + row * down, nesting.col + col * down, height * down, width * down)
            stored = stored if down == 1 else every_nth(stored, factor=down)
        else:
            up = nesting.up
            rows, cols = (
                (np.arange(row, row + height) + nesting.row) // up,
                (np.arange(col, col + width) + nesting.col) // up,
            )
            stored = self._stored(int(rows[0]), int(cols[0]), int(rows[-1] - rows[0]) + 1, int(cols[-1] - cols[0]) + 1)
            stored = stored[np.ix_(rows - rows[0], cols - cols[0])]
        return self._class_codes(stored, fill)

    def coarse(self, *, offset_dn: int = 0) -> NDArray[np.int16]:
        """The whole of a small grid for a coarse look: averaged from overviews where the file has them."""
        stored = self._warp(0, 0, *self._geobox.shape)
        return reflectance_counts(stored, offset_dn=offset_dn, nodata=self.nodata)

    def coarse_classes(self, *, fill: int) -> NDArray[np.uint8]:
        """The whole of a small grid for a coarse look at classes: nearest pixels."""
        return self._class_codes(self._warp(0, 0, *self._geobox.shape), fill)

    def _class_codes(self, stored: Counts, fill: int) -> NDArray[np.uint8]:
        codes = np.where(stored == self.nodata, fill, stored)
        if codes.size and not 0 <= codes.min() <= codes.max() <= 255:
            raise AssetLostError(
                f"{self._where}: holds {codes.min()} to {codes.max()}, expected classes of 0 to 255. "
                "Name the item in selection.exclude."
            )
        return codes.astype(np.uint8)

    def _stored(self, row: int, col: int, height: int, width: int) -> Counts:
        """Stored pixels of a rectangle that may reach beyond the file: nodata there."""
        source = self._source
        top, left = max(row, 0), max(col, 0)
        bottom, right = min(row + height, source.height), min(col + width, source.width)
        out = np.full((height, width), self.nodata, source.dtypes[self._band - 1])
        if top < bottom and left < right:
            with _failures(self._where, remote=self._remote):
                out[top - row : bottom - row, left - col : right - col] = source.read(
                    self._band, window=RasterWindow(left, top, right - left, bottom - top)
                )
        return out

    def _warp(self, row: int, col: int, height: int, width: int) -> Counts:
        resampling = self._resampling()
        with _failures(self._where, remote=self._remote):
            if self._warped is None:
                self._warped = WarpedVRT(
                    self._source,
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
            counts: Counts = self._warped.read(self._band, window=RasterWindow(col, row, width, height))
        return counts

    def _resampling(self) -> Resampling:
        """Nearest for classes; for reflectance average where pixels grow by half or more, else bilinear."""
        if self._content == "classes":
            return Resampling.nearest
        growth = _pixel_growth(self._source, self._geobox)
        return Resampling.average if growth >= 1.5 else Resampling.bilinear

    def close(self) -> None:
        """Close what the reader opened on top of the file."""
        if self._warped is not None:
            self._warped.close()


@contextmanager
def open_band(address: str, band_index: int, geobox: GeoBox, content: Content, *, where: str) -> Iterator[BandReader]:
    """One band of a file, ready to be read onto a grid.

    Parameters
    ----------
    address
        What GDAL opens, as an archive adapter has checked it; GeoTIFF and JPEG 2000 only.
    where
        Scene and band, for error messages.

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
    remote = address.startswith(_REMOTE)
    with rasterio.Env(**_GDAL):
        with _failures(where, remote=remote):  # told before the header is judged, which a cut file has lost in part
            source = rasterio.open(address, driver=_driver(address))
        with closing(source), _failures(where, remote=remote):
            _check_header(source, band_index, where)
            with closing(BandReader(source, band_index, geobox, content, where)) as reader:
                yield reader


def _driver(address: str) -> str:
    """The one driver that may open a file: GDAL's others would follow what a stranger's file points to."""
    return "JP2OpenJPEG" if address.partition("?")[0].lower().endswith((".jp2", ".j2k")) else "GTiff"


def _check_header(source: Any, band_index: int, where: str) -> None:
    if max(source.width, source.height) > _EDGE_LIMIT_PX or source.count > _BANDS_LIMIT:
        raise AssetLostError(
            f"{where}: the header states {source.width} x {source.height} pixels and {source.count} bands, "
            f"expected at most {_EDGE_LIMIT_PX} and {_BANDS_LIMIT}. Name the item in selection.exclude."
        )
    if band_index > source.count:
        raise AssetLostError(
            f"{where}: found {source.count} bands in the file, expected band {band_index}, as the catalogue says. "
            "Repair the item, or name it in selection.exclude."
        )
    dtype = source.dtypes[band_index - 1]
    if dtype not in _DTYPES:
        raise AssetLostError(
            f"{where}: found pixels of {dtype}, expected {', '.join(_DTYPES)}. Name the item in selection.exclude."
        )
    rows, cols = source.block_shapes[band_index - 1]
    if rows * cols * np.dtype(dtype).itemsize * source.count > _BLOCK_LIMIT_BYTES:
        raise AssetLostError(
            f"{where}: the header states blocks of {cols} x {rows} pixels, expected at most "
            f"{_BLOCK_LIMIT_BYTES >> 20} MiB. Rewrite the file in blocks, or name the item in selection.exclude."
        )
    transform = source.transform
    if source.crs is None or transform.is_identity or not np.isfinite(transform).all() or transform.determinant == 0:
        lacks = "no CRS" if source.crs is None else "no place in its CRS"
        raise GridMismatchError(
            f"{where}: found {lacks} in the file, expected a CRS and a transform. Name the item in selection.exclude."
        )


def _nodata(source: Any, band_index: int, content: Content, where: str) -> int:
    """The file's nodata value, or what stands for it where the file states none."""
    stated, dtype = source.nodatavals[band_index - 1], np.dtype(source.dtypes[band_index - 1])
    if stated is None or np.isnan(stated):
        return NODATA_CLASS if content == "classes" and dtype.itemsize == 1 else NODATA_DN
    limits = np.iinfo(dtype)
    if not float(stated).is_integer() or not limits.min <= stated <= limits.max:
        raise AssetLostError(
            f"{where}: the header states nodata {stated:g}, expected a value of {dtype}. "
            "Repair the file, or name the item in selection.exclude."
        )
    return int(stated)


@contextmanager
def _failures(where: str, *, remote: bool) -> Iterator[None]:
    """GDAL's errors and warnings as errors of the archive: a warned read is a failed read."""
    try:
        with gdal_warnings() as complaints:
            yield
    except (RasterioError, CPLE_BaseError, NotGeoreferencedWarning, OSError) as error:
        complaints.append(str(error.__cause__ or error))
    if complaints:
        raise _failure(where, without_queries("; ".join(dict.fromkeys(complaints)))[:300], remote=remote)


def _failure(where: str, complaint: str, *, remote: bool) -> ArchiveError:
    """The kind of error that GDAL's words tell; what a server did not refuse for good may pass."""
    exclude = "or name the item in selection.exclude of the region file."
    if remote and _NOT_LET_IN.search(complaint):
        return ArchiveRefusedError(f"{where}: the server refuses it ({complaint}). Renew the access, {exclude}")
    if not remote or _GONE.search(complaint):
        return AssetLostError(f"{where}: cannot be read ({complaint}). Restore the file and run again, {exclude}")
    return ArchiveTransientError(f"{where}: cannot be read now ({complaint}). Run it again, {exclude}")


def _pixel_growth(source: Any, geobox: GeoBox) -> float:
    """Edge of our pixels over the file's; across CRSs by the area that the file covers in ours."""
    if str(source.crs) == str(geobox.crs):
        return float(geobox.resolution.x / source.transform.a)
    west, south, east, north = rasterio.warp.transform_bounds(source.crs, str(geobox.crs), *source.bounds)
    area_m2 = (east - west) * (north - south)
    return float(geobox.resolution.x / np.sqrt(area_m2 / (source.width * source.height)))


def _nesting(source: Any, geobox: GeoBox) -> _Nesting | None:
    """How the file's pixels nest in ours, or None where a warp is needed."""
    ours, theirs = geobox.transform, source.transform
    if str(source.crs) != str(geobox.crs) or any(abs(value) > 1e-9 for value in (theirs.b, theirs.d)):
        return None
    if not np.isclose(theirs.a, -theirs.e, rtol=1e-9) or theirs.a <= 0:
        return None
    ratio = ours.a / theirs.a
    down, up = max(1, round(ratio)), max(1, round(1 / ratio))
    if abs(ratio - down / up) > 1e-9 * ratio or down > _DOWN_LIMIT or up > _UP_LIMIT:
        return None
    pixel = theirs.a if up == 1 else ours.a
    row, col = (theirs.f - ours.f) / pixel, (ours.c - theirs.c) / pixel
    if abs(row - round(row)) > _SNAP_PX or abs(col - round(col)) > _SNAP_PX:
        return None
    return _Nesting(down, up, round(row), round(col))
