"""One band of one open file: its own TIFF blocks where they can be decoded here, GDAL's pixels where not."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterWindow

from geo_assets.domain.errors import AssetLostError
from geo_assets.io.gdal import gdal_warnings, without_queries
from geo_assets.io.reads.byte_source import ByteSource, lost_file
from geo_assets.io.reads.gdal_file import GDAL_SETTINGS, GdalFile
from geo_assets.io.reads.tiff_directory import (
    BLOCK_LIMIT_BYTES,
    EDGE_LIMIT_PX,
    HEAD_BYTES,
    SAMPLES_LIMIT,
    UnsupportedTiffError,
)
from geo_assets.io.reads.tiff_pixels import TiffPixels

Counts: TypeAlias = NDArray[Any]
"""Stored counts, uint8, uint16 or int16."""

_TIFF = re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")
_JPEG_2000 = re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file says of its pixels."""

    height: int
    width: int
    samples: int
    dtype: str
    """Of the band."""
    crs: str | None
    """`EPSG:n` or WKT."""
    transform: Affine | None
    """From (column, row) to the CRS; None where there is none, or none that can be inverted."""
    nodata: float | None
    """Of the band."""

    @property
    def is_north_up(self) -> bool:
        """True where columns run east and rows south."""
        place = self.transform
        return place is not None and max(abs(place.b), abs(place.d)) <= 1e-9 and place.a > 0 > place.e

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north of the ground that the file covers, in its CRS."""
        assert self.transform is not None
        place, corners = self.transform, [(col, row) for col in (0, self.width) for row in (0, self.height)]
        xs = [place.a * col + place.b * row + place.c for col, row in corners]
        ys = [place.d * col + place.e * row + place.f for col, row in corners]
        return min(xs), min(ys), max(xs), max(ys)


class BandFile:
    """One band of a TIFF or JPEG 2000 file.

    Parameters
    ----------
    source
        The file's bytes; it stays the caller's to close.
    band_index
        Counted from 1.
    where
        Scene and band, for error messages.

    Raises
    ------
    AssetLostError
        The file is neither, cannot be read, or its header asks for more than any scene holds.
    ArchiveError
        The source cannot be read.
    """

    def __init__(self, source: ByteSource, band_index: int, where: str) -> None:
        self.where, self._band = where, band_index
        head = source.head(HEAD_BYTES)
        self._gdal = GdalFile(source, head, _driver(head, where))
        try:
            self.pixels: TiffPixels | None = TiffPixels(source, head) if _TIFF.match(head) else None
        except UnsupportedTiffError:
            self.pixels = None
        try:
            self.facts = self._facts_of_gdal() if self.pixels is None else _facts_of_tiff(self.pixels)
        except BaseException:
            self.close()  # nobody else can: there will be no band
            raise

    def window(self, row: int, col: int, height: int, width: int, *, fill: int) -> Counts:
        """Stored pixels of a rectangle that may reach beyond the file: `fill` there, and in blocks that it lacks."""
        facts = self.facts
        if self.pixels is not None:
            level = self.pixels.file.levels[0]
            return self.pixels.window(level, row, col, height, width, sample=self._band - 1, fill=fill)
        top, left = max(row, 0), max(col, 0)
        bottom, right = min(row + height, facts.height), min(col + width, facts.width)
        out = np.full((height, width), fill, facts.dtype)
        if top < bottom and left < right:
            with self.asking_gdal() as dataset:
                out[top - row : bottom - row, left - col : right - col] = dataset.read(
                    self._band, window=RasterWindow(left, top, right - left, bottom - top)
                )
        return out

    @contextmanager
    def asking_gdal(self, *, overview: int | None = None) -> Iterator[Any]:
        """The file as a rasterio dataset; GDAL's errors and warnings are errors: a warned read is a failed read.

        Parameters
        ----------
        overview
            Counted from 0 by falling size; full resolution without it.

        Raises
        ------
        AssetLostError
            GDAL cannot make sense of the file.
        ArchiveError
            What the source raised when GDAL read it.
        """
        complaints: list[str] = []
        try:
            with rasterio.Env(**GDAL_SETTINGS), gdal_warnings() as complaints:
                yield self._gdal.dataset(overview)
        except (RasterioError, CPLE_BaseError, NotGeoreferencedWarning, OSError) as error:
            complaints.append(str(error.__cause__ or error))
        if self._gdal.error is not None:
            raise self._gdal.error
        if complaints:
            raise lost_file(self.where, without_queries("; ".join(dict.fromkeys(complaints)))[:300])

    def close(self) -> None:
        """Let go of what GDAL holds."""
        self._gdal.close()

    def _facts_of_gdal(self) -> FileFacts:
        # What GDAL complained of is told before the header is judged, which a cut file has lost in part.
        with self.asking_gdal() as dataset:
            pass
        width, height, samples = dataset.width, dataset.height, dataset.count
        if max(width, height) > EDGE_LIMIT_PX or samples > SAMPLES_LIMIT:
            raise AssetLostError(
                f"{self.where}: the header states {width} x {height} pixels and {samples} bands, expected at most "
                f"{EDGE_LIMIT_PX} and {SAMPLES_LIMIT}. Name the item in selection.exclude."
            )
        index = min(self._band, samples) - 1  # a band that is not there is told by who asked for it
        rows, cols = dataset.block_shapes[index]
        dtype = dataset.dtypes[index]
        if rows * cols * np.dtype(dtype).itemsize * samples > BLOCK_LIMIT_BYTES:
            raise AssetLostError(
                f"{self.where}: the header states blocks of {cols} x {rows} pixels, expected at most "
                f"{BLOCK_LIMIT_BYTES >> 20} MiB. Rewrite the file in blocks, or name the item in selection.exclude."
            )
        place = dataset.transform
        usable = not place.is_identity and np.isfinite(place).all() and place.determinant != 0
        return FileFacts(
            height, width, samples, dtype, str(dataset.crs) if dataset.crs else None,
            place if usable else None, dataset.nodatavals[index],
        )  # fmt: skip


def _driver(head: bytes, where: str) -> Literal["GTiff", "JP2OpenJPEG"]:
    """The one driver that may open a file: GDAL's others would follow what a stranger's file points to."""
    if _TIFF.match(head):
        return "GTiff"
    if _JPEG_2000.match(head):
        return "JP2OpenJPEG"
    raise lost_file(where, f"not recognized as TIFF or JPEG 2000: it begins with {head[:12]!r}")


def _facts_of_tiff(pixels: TiffPixels) -> FileFacts:
    file, full = pixels.file, pixels.file.levels[0]
    return FileFacts(full.height, full.width, file.samples, file.dtype.name, file.crs, file.transform, file.nodata)
