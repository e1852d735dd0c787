"""The CRS that a GeoTIFF's keys state: EPSG codes directly, what is spelled out through GDAL.

GeoTIFF 1.1 (OGC 19-008r4), clauses 7.1 to 7.5.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from geo_assets.io.gdal import gdal_warnings
from geo_assets.io.reads.byte_source import lost_file
from geo_assets.io.tiff_headers import SHORT, BlockIndex, Encoding, Tag, header_bytes

_MODEL, _RASTER, _GEOGRAPHIC, _PROJECTED = 1024, 1025, 2048, 3072
_PLAIN = {_MODEL, _RASTER, 1026, _GEOGRAPHIC, 2049, 2054, 2057, 2059, _PROJECTED, 3073, 3076}
"""Keys that add nothing to an EPSG code: citations, and units and ellipsoid where they are the code's own."""

_METRE, _DEGREE = 9001, 9102
_EPSG_CODES = range(1024, 32_767)
_ASCII, _DOUBLE = 2, 12


@dataclass(frozen=True, slots=True)
class GeoKeys:
    """The three fields that state a CRS, as a file holds them."""

    directory: tuple[int, ...]
    """Field 34735: version and number of keys, then (key, field that holds it, count, value or index) of each."""
    doubles: tuple[float, ...]
    """Field 34736."""
    text: bytes
    """Field 34737."""

    def _entries(self) -> Iterator[tuple[int, int, int]]:
        """Key, field and value of each."""
        for start in range(4, len(self.directory) - 3, 4):
            key, field, _, value = self.directory[start : start + 4]
            yield key, field, value

    def _shorts(self) -> dict[int, int]:
        return {key: value for key, field, value in self._entries() if field == 0}

    @property
    def pixel_is_point(self) -> bool:
        """True where the transform speaks of pixel centres."""
        return self._shorts().get(_RASTER) == 2

    @property
    def epsg(self) -> int | None:
        """The code of the CRS, where nothing else is said of it."""
        shorts = self._shorts()
        if {key for key, _, _ in self._entries()} - _PLAIN or self.directory[:1] != (1,):
            return None
        if shorts.get(3076, _METRE) != _METRE or shorts.get(2054, _DEGREE) != _DEGREE:
            return None
        code = shorts.get({1: _PROJECTED, 2: _GEOGRAPHIC}.get(shorts.get(_MODEL, 0), 0), 0)
        return code if code in _EPSG_CODES else None


def crs_of(keys: GeoKeys, where: str) -> str | None:
    """The CRS that keys state.

    Returns
    -------
    crs
        `EPSG:n`, or WKT as GDAL understands the keys; None where they state none.

    Raises
    ------
    AssetLostError
        They make no sense.
    """
    known = _known(keys.epsg)
    if known is not None:
        return known
    crs, complaint = _spelled_out(keys)
    if complaint:
        raise lost_file(where, f"its CRS: {complaint}")
    return crs


@lru_cache(maxsize=256)
def _known(code: int | None) -> str | None:
    """`EPSG:n` where PROJ knows the code."""
    try:
        return None if code is None else str(CRS.from_epsg(code))
    except CRSError:
        return None


@lru_cache(maxsize=256)  # all bands of an archive's tile state the same
def _spelled_out(keys: GeoKeys) -> tuple[str | None, str]:
    """GDAL's reading of a file of one missing pixel with these keys, and what it complains of."""
    described = {
        258: Tag(SHORT, 1, b"\x08\0"),
        262: Tag(SHORT, 1, b"\x01\0"),
        277: Tag(SHORT, 1, b"\x01\0"),
        33550: Tag(_DOUBLE, 3, struct.pack("<3d", 1, 1, 0)),
        33922: Tag(_DOUBLE, 6, bytes(48)),
        34735: Tag(SHORT, len(keys.directory), struct.pack(f"<{len(keys.directory)}H", *keys.directory)),
    }
    if keys.doubles:
        described[34736] = Tag(_DOUBLE, len(keys.doubles), struct.pack(f"<{len(keys.doubles)}d", *keys.doubles))
    if keys.text:
        described[34737] = Tag(_ASCII, len(keys.text), keys.text)
    nowhere = BlockIndex(1, 1, np.zeros((1, 1, 1), np.uint64), np.zeros((1, 1, 1), np.uint32))
    tiff = header_bytes(described, Encoding(block_px=16, compression=8, predictor=1), [nowhere])
    crs = None
    try:
        with gdal_warnings() as complaints, MemoryFile(tiff) as memory, memory.open(driver="GTiff") as one_pixel:
            crs = one_pixel.crs
    except (RasterioError, NotGeoreferencedWarning, OSError) as error:
        complaints.append(str(error))
    return str(crs) if crs else None, "; ".join(complaints)[:300]
