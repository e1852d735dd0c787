"""GDAL's virtual rasters: one picture of many files, which stay where they are.

Format: https://gdal.org/en/stable/drivers/raster/vrt.html
"""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from numpy.typing import DTypeLike
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.domain.errors import GridMismatchError
from geo_assets.io.tiff_headers import RasterBand

_GDAL_TYPES = {"uint8": "Byte", "int16": "Int16", "uint16": "UInt16", "float32": "Float32"}


@dataclass(frozen=True, slots=True)
class VrtPart:
    """A file that a virtual raster is made of; on its lattice, with its bands."""

    href: str
    """Its path relative to the virtual raster's folder, POSIX."""
    shape: tuple[int, int]
    """Its height and width in pixels."""
    row: int
    col: int
    """Where its upper left pixel lies in the virtual raster; outside of it, too."""


def vrt_bytes(
    geobox: GeoBox, bands: Sequence[RasterBand], dtype: DTypeLike, nodata: float, parts: Sequence[VrtPart]
) -> bytes:
    """A virtual raster, for a file whose name ends in `.vrt`.

    Parameters
    ----------
    geobox
        CRS, transform and shape of the whole.
    bands
        Names, scales and colours of the bands; every part has the same ones in the same order.
    dtype : uint8, int16, uint16 or float32
        Of the parts, too.
    nodata
        Where no part has data, and what a part's pixel must not be to be seen. Where two parts have data, the later
        one is seen.
    parts
        Those that do not touch the whole are left out.

    Raises
    ------
    GridMismatchError
        No part touches the whole, or the dtype is another one.
    """
    height, width = geobox.shape
    kind = _GDAL_TYPES.get(np.dtype(dtype).name)
    seen = [part for part in parts if _overlap(part, height, width) is not None]
    if kind is None or not seen:
        found = f"dtype {np.dtype(dtype).name}" if kind is None else f"none of {len(parts)} parts on its ground"
        raise GridMismatchError(
            f"Virtual raster of {width} x {height} px: found {found}, expected {', '.join(_GDAL_TYPES)} "
            "and at least one part. Correct the station's call."
        )
    root = ElementTree.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    assert geobox.crs is not None  # every product's grid has one
    _child(root, "SRS", geobox.crs.to_wkt(), dataAxisToSRSAxisMapping="1,2")
    a, b, c, d, e, f = list(geobox.transform)[:6]
    _child(root, "GeoTransform", ", ".join(repr(float(value)) for value in (c, a, b, f, d, e)))
    for number, band in enumerate(bands, start=1):
        element = _child(root, "VRTRasterBand", dataType=kind, band=str(number))
        _child(element, "Description", band.name)
        _child(element, "NoDataValue", _number(nodata))
        if band.color is not None:
            _child(element, "ColorInterp", band.color.capitalize())
        if band.scale is not None or band.offset is not None:
            _child(element, "Offset", _number(band.offset or 0.0))
            _child(element, "Scale", _number(1.0 if band.scale is None else band.scale))
        for part in seen:
            element.append(_source(part, number, kind, nodata, height, width))
    ElementTree.indent(root, " ")
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f"{text}\n".encode()


def _source(part: VrtPart, band: int, kind: str, nodata: float, height: int, width: int) -> ElementTree.Element:
    source = ElementTree.Element("ComplexSource")
    _child(source, "SourceFilename", part.href, relativeToVRT="1")
    _child(source, "SourceBand", str(band))
    block = str(BLOCK_PX)
    rows, cols = str(part.shape[0]), str(part.shape[1])
    # Told here, so that opening the whole opens none of its parts.
    _child(source, "SourceProperties", RasterXSize=cols, RasterYSize=rows, DataType=kind, BlockXSize=block,
           BlockYSize=block)  # fmt: skip
    overlap = _overlap(part, height, width)
    assert overlap is not None  # the caller has sorted out the others
    top, left, bottom, right = overlap
    size = {"xSize": str(right - left), "ySize": str(bottom - top)}
    _child(source, "SrcRect", xOff=str(left - part.col), yOff=str(top - part.row), **size)
    _child(source, "DstRect", xOff=str(left), yOff=str(top), **size)
    _child(source, "NODATA", _number(nodata))
    return source


def _overlap(part: VrtPart, height: int, width: int) -> tuple[int, int, int, int] | None:
    """Top, left, bottom, right of a part's ground within the whole; None where there is none."""
    top, bottom = max(part.row, 0), min(part.row + part.shape[0], height)
    left, right = max(part.col, 0), min(part.col + part.shape[1], width)
    return (top, left, bottom, right) if top < bottom and left < right else None


def _child(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name, attributes)
    element.text = text
    return element


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
