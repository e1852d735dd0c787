"""The bytes of a cloud-optimised GeoTIFF in front of its first pixel.

What describes the *place* and the *bands* (CRS, transform, nodata, names, scales, tags) is taken from a
one-pixel file that GDAL writes, so GDAL reads from our files what it would read from its own. What describes
the *layout* (sizes, blocks, where they lie) is written here. Always BigTIFF: one layout for every size.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

LONG, SHORT, LONG8 = 4, 3, 16
"""TIFF type numbers: unsigned integers of 4, 2 and 8 bytes."""

_TYPE_BYTES = {1: 1, 2: 1, SHORT: 2, LONG: 4, 5: 8, 12: 8, LONG8: 8, 18: 8}
"""Width of a value of each TIFF type that GDAL writes into the tags kept below."""

_PIXEL_TAGS = frozenset({258, 262, 277, 284, 320, 338, 339, 42113})
"""BitsPerSample, Photometric, SamplesPerPixel, PlanarConfiguration, ColorMap, ExtraSamples, SampleFormat, GDAL_NODATA:
true of every resolution."""

_PLACE_TAGS = frozenset({33550, 33922, 34264, 34735, 34736, 34737, 42112})
"""ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeys, GDAL_METADATA: full resolution only."""

_HEADER_BYTES = 16

Palette: TypeAlias = Mapping[int, tuple[int, int, int]]
"""Value -> (red, green, blue), 0 to 255."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One TIFF field: its type number, how many values, and the values as little-endian bytes."""

    kind: int
    count: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RasterBand:
    """One band of a product raster, as its header describes it."""

    name: str
    """GDAL's band description."""
    scale: float | None = None
    """Stored counts times this (plus `offset`) is the physical value; None where counts are the value."""
    offset: float | None = None
    """In physical units; None is 0."""
    color: str | None = None
    """A `rasterio.enums.ColorInterp` name, as "red"; None leaves gray (first band) or undefined."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How blocks are stored, in TIFF's numbers."""

    block_px: int
    compression: int
    """8 deflate, 50000 zstd."""
    predictor: int
    """2 horizontal differences of integers, 3 of the bytes of floats."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockIndex:
    """Where the blocks of one resolution lie in the file."""

    height: int
    width: int
    offset: NDArray[np.uint64]
    """(band, block row, block column) bytes from the start of the file; 0 where a block is missing."""
    size: NDArray[np.uint32]
    """(band, block row, block column) bytes of the encoded block; 0 where it is missing."""


def described_tags(
    geobox: GeoBox,
    dtype: np.dtype[Any],
    nodata: float | None,
    bands: Sequence[RasterBand],
    metadata: Mapping[str, str],
    palette: Palette | None = None,
) -> dict[int, Tag]:
    """Tags for place and bands, as GDAL writes them.

    Parameters
    ----------
    geobox : GeoBox
        CRS and transform; its shape is not used.
    dtype, nodata
        Of the pixels.
    bands : sequence of RasterBand
    metadata : mapping
        Free text tags of the file; written in the order of their names.
    palette : mapping, optional
        Of a single band of uint8.

    Returns
    -------
    tags : dict of tag number to Tag
    """
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=1,
            height=1,
            count=len(bands),
            dtype=dtype.name,
            nodata=nodata,
            crs=None if geobox.crs is None else CRS.from_wkt(geobox.crs.to_wkt()),
            transform=geobox.transform,
            BIGTIFF="YES",
            ENDIANNESS="LITTLE",
            INTERLEAVE="BAND",
            # Three or four bytes would be taken for RGB or RGBA.
            PHOTOMETRIC="MINISBLACK" if palette is None else "PALETTE",
            ALPHA="NO",
        ) as one_pixel:
            one_pixel.descriptions = tuple(band.name for band in bands)
            if any(band.scale is not None or band.offset is not None for band in bands):
                one_pixel.scales = tuple(1.0 if band.scale is None else band.scale for band in bands)
                one_pixel.offsets = tuple(0.0 if band.offset is None else band.offset for band in bands)
            if any(band.color is not None for band in bands):
                default = [ColorInterp.gray] + [ColorInterp.undefined] * (len(bands) - 1)
                one_pixel.colorinterp = [
                    unset if band.color is None else ColorInterp[band.color]
                    for band, unset in zip(bands, default, strict=True)
                ]
            if palette is not None:
                one_pixel.write_colormap(1, dict(palette))
            one_pixel.update_tags(**dict(sorted(metadata.items())))
        memory.seek(0)
        found = _first_directory(memory.read())
    return {code: tag for code, tag in found.items() if code in _PIXEL_TAGS | _PLACE_TAGS}


def _first_directory(tiff: bytes) -> dict[int, Tag]:
    (directory,) = struct.unpack_from("<Q", tiff, 8)
    (entries,) = struct.unpack_from("<Q", tiff, directory)
    tags = {}
    for entry in range(directory + 8, directory + 8 + 20 * entries, 20):
        code, kind, count, elsewhere = struct.unpack_from("<HHQQ", tiff, entry)
        size = count * _TYPE_BYTES[kind]
        start = entry + 12 if size <= 8 else elsewhere
        tags[code] = Tag(kind, count, tiff[start : start + size])
    return tags


def header_bytes(described: Mapping[int, Tag], encoding: Encoding, resolutions: Sequence[BlockIndex]) -> bytes:
    """Everything in front of the pixels: signature, GDAL's note on the layout, one directory per resolution.

    Parameters
    ----------
    described : as returned by `described_tags`
    encoding : Encoding
    resolutions : sequence of BlockIndex
        Full resolution first, then each overview, half the one before.

    Returns
    -------
    header : bytes
        A multiple of 8 bytes; its length does not depend on the offsets and sizes in `resolutions`.
    """
    note = _layout_note(bands=resolutions[0].offset.shape[0])
    parts = [struct.pack("<2sHHHQ", b"II", 43, 8, 0, _HEADER_BYTES + len(note)), note]
    at = _HEADER_BYTES + len(note)
    for number, blocks in enumerate(resolutions):
        kept = _PIXEL_TAGS if number else _PIXEL_TAGS | _PLACE_TAGS
        tags = {code: tag for code, tag in described.items() if code in kept}
        tags |= _layout_tags(blocks, encoding, is_overview=number > 0)
        parts.append(_directory_bytes(tags, at, is_last=blocks is resolutions[-1]))
        at += len(parts[-1])
    return b"".join(parts)


def _layout_note(bands: int) -> bytes:
    """GDAL's hidden note by which it shows LAYOUT=COG, refuses accidental edits, and saves requests.

    Format: https://gdal.org/en/stable/drivers/raster/cog.html#header-ghost-area
    """
    claims = "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    claims += "BLOCK_TRAILER=LAST_4_BYTES_REPEATED\n"
    if bands > 1:
        claims += "INTERLEAVE=TILE\n"  # the bands of a block follow each other
    claims += "KNOWN_INCOMPATIBLE_EDITION=NO\n "  # the space leaves room for YES
    note = f"GDAL_STRUCTURAL_METADATA_SIZE={len(claims):06d} bytes\n{claims}".encode("ascii")
    return _padded(note)


def _layout_tags(blocks: BlockIndex, encoding: Encoding, *, is_overview: bool) -> dict[int, Tag]:
    return {
        254: _number(LONG, int(is_overview)),  # NewSubfileType: 1 is a reduced resolution
        256: _number(LONG, blocks.width),
        257: _number(LONG, blocks.height),
        259: _number(SHORT, encoding.compression),
        317: _number(SHORT, encoding.predictor),
        322: _number(LONG, encoding.block_px),
        323: _number(LONG, encoding.block_px),
        324: Tag(LONG8, blocks.offset.size, blocks.offset.astype("<u8").tobytes()),
        325: Tag(LONG, blocks.size.size, blocks.size.astype("<u4").tobytes()),
    }


def _number(kind: int, value: int) -> Tag:
    return Tag(kind, 1, value.to_bytes(_TYPE_BYTES[kind], "little"))


def _directory_bytes(tags: Mapping[int, Tag], at: int, *, is_last: bool) -> bytes:
    """One directory that starts at byte `at` of the file, and the values that do not fit into its entries."""
    entries, values = b"", b""
    values_at = _aligned(at + 8 + 20 * len(tags) + 8)
    for code, tag in sorted(tags.items()):
        entries += struct.pack("<HHQ", code, tag.kind, tag.count)
        if len(tag.data) <= 8:
            entries += tag.data.ljust(8, b"\0")
        else:
            entries += struct.pack("<Q", values_at + len(values))
            values += _padded(tag.data)
    following = 0 if is_last else values_at + len(values)
    directory = struct.pack("<Q", len(tags)) + entries + struct.pack("<Q", following)
    return _padded(directory) + values


def _padded(data: bytes) -> bytes:
    return data.ljust(_aligned(len(data)), b"\0")


def _aligned(size: int) -> int:
    return -(-size // 8) * 8
