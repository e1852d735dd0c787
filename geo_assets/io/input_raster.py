"""What the header of a user's own GeoTIFF says: a stranger's word, held against limits before anything is allocated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geo_assets.domain.errors import GeoAssetsError, ProductError
from geo_assets.io.gdal import BLOCK_CACHE, gdal_warnings
from geo_assets.io.tiff_headers import Palette

BLOCK_LIMIT_BYTES = 256 << 20
"""Of a decoded block: it is held whole, however little of it is wanted."""

BANDS_LIMIT = 1_024

_EDGE_LIMIT_PX = 1 << 24
_FARTHEST = 1e9
"""Units of a CRS, from its origin: twenty times round the Earth in metres."""
_SMALLEST_PIXEL = 1e-18
"""Its ground, units of the CRS squared."""


@dataclass(frozen=True, slots=True)
class InputRaster:
    """A GeoTIFF as its header describes it."""

    path: Path
    crs: str
    """WKT."""
    transform: Affine
    """From pixels to the CRS."""
    height: int
    width: int
    """Pixels."""
    dtypes: tuple[str, ...]
    """numpy's name of each band's."""
    nodatas: tuple[float | None, ...]
    """Of each band; None where the file declares none."""
    names: tuple[str, ...]
    """Descriptions of the bands; empty for one without."""
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    """Of each band: stored values times scale plus offset are physical; 1 and 0 where none is declared."""
    colors: tuple[str, ...]
    """`rasterio.enums.ColorInterp` names."""
    palette: Palette = field(default_factory=lambda: MappingProxyType({}))
    """Colour of every class of the first band; empty where the file has no colour table."""
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Free text metadata of the file."""

    @property
    def geobox(self) -> GeoBox:
        """Its grid."""
        return GeoBox((self.height, self.width), self.transform, self.crs)

    @property
    def bands(self) -> int:
        """How many."""
        return len(self.dtypes)


def input_raster(path: Path) -> InputRaster:
    """Read a header.

    Parameters
    ----------
    path
        Taken literally, never as an address of GDAL's; nothing but a GeoTIFF is opened.

    Raises
    ------
    ProductError
        There is no such file, it is no GeoTIFF, it lies nowhere on Earth, its validity is a mask, or its header states
        more than any raster holds.
    """
    if not path.is_file():
        raise ProductError(
            f"Input {path}: found no such file, expected a GeoTIFF on this disk. Correct the path; "
            "addresses and archives are not read: download or unpack them first."
        )
    if not path.stat().st_size:
        raise _unreadable(path, "it is empty, 0 bytes")
    try:
        with rasterio.Env(**BLOCK_CACHE), gdal_warnings() as complaints, rasterio.open(path, driver="GTiff") as dataset:
            if complaints:
                raise _unreadable(path, "; ".join(complaints))
            return _described(path, dataset)
    except (NotGeoreferencedWarning, RasterioError, OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from None


def _unreadable(path: Path, why: str) -> GeoAssetsError:
    return ProductError(f"Input {path}: cannot be read ({why}). Expected a sound GeoTIFF; copy or convert it again.")


def _described(path: Path, dataset: Any) -> InputRaster:
    if dataset.crs is None or dataset.transform.is_identity:
        raise ProductError(
            f"Input {path}: found {'no CRS' if dataset.crs is None else 'no place'}, expected both CRS and transform. "
            "Set them with `gdal_edit.py -a_srs -a_ullr`."
        )
    numbers = tuple(dataset.transform)[:6]
    if not all(abs(number) <= _FARTHEST for number in numbers) or abs(dataset.transform.determinant) < _SMALLEST_PIXEL:
        raise ProductError(
            f"Input {path}: found the transform {numbers}, expected pixels of some size on Earth. Set it with "
            "`gdal_edit.py -a_ullr`."
        )
    if any(MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in dataset.mask_flag_enums):
        raise ProductError(
            f"Input {path}: found a mask beside its pixels, expected validity as a nodata value. Write it into the "
            "pixels: `gdalwarp -dstnodata VALUE`."
        )
    rows, cols = dataset.block_shapes[0]
    itemsize = max(_itemsize(dtype) for dtype in dataset.dtypes)
    pixel_interleaved = str(dataset.interleaving).lower().endswith("pixel")
    block_bytes = rows * cols * itemsize * (dataset.count if pixel_interleaved else 1)
    for found, limit, what in (
        (max(dataset.height, dataset.width), _EDGE_LIMIT_PX, "pixels along an edge"),
        (dataset.count, BANDS_LIMIT, "bands"),
        (block_bytes, BLOCK_LIMIT_BYTES, f"bytes in a block of {rows} x {cols} px"),
    ):
        if found > limit:
            raise ProductError(
                f"Input {path}: found {found} {what}, expected at most {limit}. If the header is right, rewrite the "
                "file with `gdal_translate -co TILED=YES`, or in parts."
            )
    colors = tuple(color.name for color in dataset.colorinterp)
    return InputRaster(
        path,
        dataset.crs.to_wkt(),
        dataset.transform,
        dataset.height,
        dataset.width,
        tuple(dataset.dtypes),
        tuple(dataset.nodatavals),
        tuple(name or "" for name in dataset.descriptions),
        tuple(dataset.scales),
        tuple(dataset.offsets),
        colors,
        MappingProxyType(dataset.colormap(1) if colors[0] == ColorInterp.palette.name else {}),
        MappingProxyType(dataset.tags()),
    )


def _itemsize(dtype: str) -> int:
    """Bytes of a pixel, at least; rasterio has names, such as `complex_int16`, that numpy does not know."""
    return {"complex_int16": 4}.get(dtype, 0) or int("".join(filter(str.isdigit, dtype)) or 8) // 8
