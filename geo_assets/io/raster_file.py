"""One local GeoTIFF, read by window from any thread: decoded here where its encoding is one of ours, else by GDAL."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.errors import ArchiveError, CorruptProductError
from geo_assets.io.rasters import raster_facts, read_window
from geo_assets.io.reads.byte_source import LocalFile
from geo_assets.io.reads.tiff_directory import UnsupportedTiffError
from geo_assets.io.reads.tiff_pixels import TiffPixels


class RasterFile:
    """An open raster.

    Parameters
    ----------
    path
        Of a file on disk.

    Raises
    ------
    CorruptProductError
        It is missing, or no raster.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        facts = raster_facts(path)
        self.height, self.width = facts.geobox.shape
        self.bands = len(facts.names)
        if "," in facts.dtype:
            raise CorruptProductError(f"Raster {path}: found bands of {facts.dtype}, expected one dtype for all.")
        self.dtype: np.dtype[Any] = np.dtype(facts.dtype)
        self.nodata = facts.nodata
        """As the file declares it."""
        self._pixels = self._decoder()

    def window(self, row: int, col: int, height: int, width: int) -> NDArray[Any]:
        """(band, y, x) of a window inside the raster, as stored; missing blocks as nodata.

        Raises
        ------
        CorruptProductError
            The file cannot be read.
        """
        out = np.empty((self.bands, height, width), self.dtype)
        self.read_into(out, row, col)
        return out

    def read_into(self, out: NDArray[Any], row: int, col: int) -> None:
        """Fill a (band, y, x) array, or a part of one, with the window that begins at a pixel: see `window`."""
        if self._pixels is not None:
            try:
                for sample, band in enumerate(out):
                    self._decode_into(band, self._pixels, row, col, sample)
            except ArchiveError:  # GDAL is asked again below: it reads more, or says what is wrong
                pass
            else:
                return
        out[...] = read_window(self.path, slice(row, row + out.shape[1]), slice(col, col + out.shape[2]))

    @staticmethod
    def _decode_into(out: NDArray[Any], pixels: TiffPixels, row: int, col: int, sample: int) -> None:
        """Fill a (y, x) array from the blocks that it touches."""
        level = pixels.file.levels[0]
        high, wide = level.block_height, level.block_width
        bottom, right = row + out.shape[0], col + out.shape[1]
        for top in range(row - row % high, bottom, high):
            rows = slice(max(row, top) - row, min(bottom, top + high) - row)
            for left in range(col - col % wide, right, wide):
                part = out[rows, max(col, left) - col : min(right, left + wide) - col]
                block = pixels.block(level, top // high * level.blocks_across + left // wide, sample=sample)
                if block is None:
                    part[...] = pixels.stated_fill()
                else:
                    down, across = max(row - top, 0), max(col - left, 0)
                    part[...] = block[down : down + part.shape[0], across : across + part.shape[1]]

    def _decoder(self) -> TiffPixels | None:
        """Our own decoder where it understands the file and agrees with GDAL on what is in it."""
        try:
            source = LocalFile(self.path, str(self.path))
        except ArchiveError:
            return None
        try:
            pixels = TiffPixels(source)
            level = pixels.file.levels[0]
            found = (level.height, level.width, level.dtype.newbyteorder("="), level.samples)
        except (UnsupportedTiffError, ArchiveError):
            source.close()
            return None
        if found != (self.height, self.width, self.dtype, self.bands):
            source.close()
            return None
        weakref.finalize(self, source.close)
        return pixels
