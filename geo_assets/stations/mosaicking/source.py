"""What a mosaic is blended from."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.kernels.mosaicking.blending import has_data


class BlendSource(Protocol):
    """A raster on the lattice of a mosaic, read by window; safe to use from several threads."""

    @property
    def name(self) -> str:
        """Unique within a mosaic; sources are taken in the order of their names."""

    @property
    def row(self) -> int:
        """Lattice position of its upper left pixel."""

    @property
    def col(self) -> int:
        """Lattice position of its upper left pixel."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def bands(self) -> int:
        """How many."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """One of `kernels.mosaicking.blending.BLENDED_DTYPES`."""

    @property
    def nodata(self) -> float:
        """A value of the dtype, or NaN."""

    def window(self, row: int, col: int, height: int, width: int) -> NDArray[Any]:
        """(band, y, x) of a window inside the source, counted from its own upper left pixel. Not to be written to."""


@runtime_checkable
class FileSource(BlendSource, Protocol):
    """A source that spares work where pixels are copied, or only asked for."""

    def read_into(self, out: NDArray[Any], row: int, col: int) -> None:
        """Fill a (band, y, x) array, or a part of one, with the window that begins at a pixel of the source."""

    def valid(self, row: int, col: int, height: int, width: int) -> Flag:
        """(band, y, x) whether a window has data."""


def read_into(source: BlendSource, out: NDArray[Any], row: int, col: int) -> None:
    """Fill a (band, y, x) array, or a part of one, with the window that begins at a pixel of a source."""
    if isinstance(source, FileSource):
        source.read_into(out, row, col)
    else:
        out[...] = source.window(row, col, out.shape[1], out.shape[2])


def validity(source: BlendSource, row: int, col: int, height: int, width: int) -> Flag:
    """(band, y, x) whether a window of a source has data."""
    if isinstance(source, FileSource):
        return source.valid(row, col, height, width)
    return has_data(source.window(row, col, height, width), source.nodata)
