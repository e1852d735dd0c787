"""TIFF directories: where the blocks of a file lie and how they are stored, read with every size bounded.

A header is a stranger's word. Nothing is allocated from a number that it states before that number was held against
the file's size and the limits below; what makes no sense is an `AssetLostError`, what makes sense but is none of the
encodings decoded here is an `UnsupportedTiffError`, for GDAL to try.

TIFF 6.0 (Adobe 1992), BigTIFF (https://www.awaresystems.be/imaging/tiff/bigtiff.html), GeoTIFF 1.1 (OGC 19-008r4).
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geo_assets.domain.errors import AssetLostError, GeoAssetsError
from geo_assets.io.reads.byte_source import ByteSource, lost_file
from geo_assets.io.reads.geo_keys import GeoKeys, crs_of

EDGE_LIMIT_PX = 65_536  # six times that of a Sentinel-2 scene
SAMPLES_LIMIT = 64
BLOCK_LIMIT_BYTES = 256 << 20
HEAD_BYTES = 32 << 10
"""Read at first: it holds the directories and block tables of a usual Sentinel-2 or HLS band."""

_NEIGHBOURHOOD_BYTES = 8 << 10
_HEADER_LIMIT_BYTES = 64 << 20
_DIRECTORIES_LIMIT = 64
_ENTRIES_LIMIT = 4_096
_VALUES_LIMIT = 65_536
"""Values of any field but the block tables."""

NONE, LZW, DEFLATE, DEFLATE_OLD, PACKBITS, LERC, ZSTD = 1, 5, 8, 32946, 32773, 34887, 50000
"""TIFF's numbers of the compressions that `tiff_blocks` decodes."""

_WITH_PREDICTOR = (LZW, DEFLATE, DEFLATE_OLD, ZSTD)
_COMPRESSIONS = (NONE, LZW, DEFLATE, DEFLATE_OLD, PACKBITS, LERC, ZSTD)
_PHOTOMETRICS = (1, 2, 3)
"""Counts as they are: gray, RGB, palette."""

_DTYPES = {(1, 8): "u1", (1, 16): "u2", (1, 32): "u4", (2, 8): "i1", (2, 16): "i2", (2, 32): "i4", (3, 32): "f4"}
"""(SampleFormat, BitsPerSample) -> numpy's name."""

INTEGER_TYPES = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_NUMBERS = INTEGER_TYPES | {6: "i1", 8: "i2", 9: "i4", 11: "f4", 12: "f8", 17: "i8"}
"""TIFF's types of numbers -> numpy's names; RATIONAL is not used by any field read here."""

_TYPE_BYTES = {2: 1, 5: 8, 7: 1, 10: 8} | {kind: int(name[1]) for kind, name in _NUMBERS.items()}

ByteOrder: TypeAlias = Literal["<", ">"]


class UnsupportedTiffError(GeoAssetsError):
    """A sound TIFF stored in a way that is not decoded here: `io.reads.band` has GDAL read it."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a directory: where its values lie."""

    kind: int
    """TIFF's type number."""
    count: int
    position: int
    """Byte of the first value in the file."""

    @property
    def end(self) -> int:
        """First byte behind the values."""
        return self.position + self.count * _TYPE_BYTES[self.kind]


@dataclass(frozen=True, slots=True)
class TiffLevel:
    """One resolution of a file: its pixels, its blocks, and how they are stored."""

    number: int
    """0 is full resolution."""
    width: int
    height: int
    block_width: int
    block_height: int
    tiled: bool
    """Tiles are stored whole, also at the edges; strips end with the raster."""
    samples: int
    planar: bool
    """True where every sample has blocks of its own; else a block holds all samples of its pixels in turn."""
    dtype: np.dtype[Any]
    """In native byte order."""
    byte_order: ByteOrder
    """Of the stored values."""
    compression: int
    """TIFF's number."""
    predictor: int
    """1 none, 2 differences of neighbours, 3 of the bytes of floats."""
    lerc_compression: int
    """What LERC's bytes are wrapped in: 0 nothing, 1 DEFLATE, 2 ZSTD."""
    offsets: Field
    counts: Field

    @property
    def blocks_across(self) -> int:
        """Blocks of one sample side by side."""
        return -(-self.width // self.block_width)

    @property
    def blocks_down(self) -> int:
        """Blocks of one sample one under the other."""
        return -(-self.height // self.block_height)

    @property
    def plane_blocks(self) -> int:
        """Blocks of one sample; the second sample of a planar file begins with this number."""
        return self.blocks_across * self.blocks_down

    @property
    def block_samples(self) -> int:
        """Samples that one block holds."""
        return 1 if self.planar else self.samples

    @property
    def block_bytes(self) -> int:
        """Bytes of a decoded whole block."""
        return self.block_height * self.block_width * self.block_samples * self.dtype.itemsize

    def block_rows(self, index: int) -> int:
        """Rows that are stored of a block: fewer in the last strip."""
        if self.tiled:
            return self.block_height
        first = index % self.plane_blocks // self.blocks_across * self.block_height
        return min(self.block_height, self.height - first)


@dataclass(frozen=True, slots=True)
class TiffFile:
    """What the directories of a file say."""

    levels: tuple[TiffLevel, ...]
    """Full resolution, then the overviews, largest first."""
    crs: str | None
    """`EPSG:n`, or WKT where the file spells its CRS out; None where it states none."""
    transform: Affine | None
    """From (column, row) of pixel corners of the full resolution to the CRS."""
    nodata: float | None
    """As GDAL's tag states it."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of all samples of all levels."""
        return self.levels[0].dtype

    @property
    def samples(self) -> int:
        """Bands."""
        return self.levels[0].samples

    def level_transform(self, level: TiffLevel) -> Affine | None:
        """From (column, row) of a level to the CRS: a level shows all of the file's ground, as GDAL has it."""
        if self.transform is None:
            return None
        across, down = self.levels[0].width / level.width, self.levels[0].height / level.height
        a, b, c, d, e, f, *_ = self.transform
        return Affine(a * across, b * down, c, d * across, e * down, f)


class Header:
    """The parts of a file round its directories, fetched as they are needed.

    Parameters
    ----------
    source
        The file.
    head
        Its first bytes, read already.
    """

    def __init__(self, source: ByteSource, head: bytes) -> None:
        self.source = source
        self._pieces: list[tuple[int, bytes]] = [(0, head)]
        self._total = len(head)

    def lost(self, complaint: str) -> AssetLostError:
        """The error for a header that cannot be used."""
        return lost_file(self.source.where, complaint)

    def at_hand(self, position: int, end: int) -> bytes | None:
        """Bytes of the file, if they have come along with others."""
        for start, piece in self._pieces:
            if start <= position and end <= start + len(piece):
                return piece[position - start : end - start]
        return None

    def at(self, position: int, length: int) -> bytes:
        """Bytes of the file, read if need be.

        The neighbourhood comes along, since directories and their values lie close together: a little at a new
        place, ever more where a piece turned out too short.
        """
        end = position + length
        found = self.at_hand(position, end)
        if found is not None:
            return found
        self.expect_inside(position, end)
        continued = [len(piece) for start, piece in self._pieces if start <= position <= start + len(piece)]
        first, reach = position, end
        if self.source.size is not None:
            reach = max(end, position + 2 * max(continued, default=_NEIGHBOURHOOD_BYTES // 2))
            reach = min(reach, self.source.size)
            first = position if continued else max(0, position - _NEIGHBOURHOOD_BYTES // 8)
        self._total += reach - first
        if self._total > _HEADER_LIMIT_BYTES:
            raise self.lost(f"its header is scattered over more than {_HEADER_LIMIT_BYTES >> 20} MiB")
        (piece,) = self.source.read([(first, reach)])
        self._pieces.append((first, bytes(piece)))
        return bytes(piece[position - first : end - first])

    def expect_inside(self, position: int, end: int) -> None:
        """Refuse to look beyond the end of the file."""
        size = self.source.size
        if size is not None and end > size:
            raise self.lost(f"its header points to bytes {position} to {end}, the file has {size}")


def read_directories(header: Header) -> TiffFile:
    """The directories of a TIFF.

    Parameters
    ----------
    header
        Grows by what its first bytes did not hold; the tables of block positions stay unread.

    Raises
    ------
    AssetLostError
        The file is no TIFF, ends within its directories, or its header makes no sense or states more than any
        scene holds.
    UnsupportedTiffError
        It is stored in a way that is not decoded here.
    ArchiveError
        The source cannot be read.
    """
    return _Parser(header).file()


class _Parser:
    """Reads one file's directories."""

    def __init__(self, header: Header) -> None:
        self._header = header
        order, self._big, self._first = self._signature()
        self._order: ByteOrder = order

    def file(self) -> TiffFile:
        """The whole file as its directories describe it: levels, and the place that the first of them states."""
        levels: list[TiffLevel] = []
        place: tuple[str | None, Affine | None, float | None] = (None, None, None)
        for number, fields in enumerate(self._directories()):
            if number == 0:
                levels.append(self._level(fields))
                place = *self._place(fields), self._nodata(fields)
            elif self._subfile_type(fields) & 5 == 1:  # reduced resolution, and no mask
                levels += self._overview(fields, levels[0])
        levels.sort(key=lambda level: -level.width)
        return TiffFile(tuple(replace(level, number=number) for number, level in enumerate(levels)), *place)

    def _signature(self) -> tuple[ByteOrder, bool, int]:
        """Byte order, whether it is a BigTIFF, and where the first directory lies."""
        size = self._header.source.size
        start = self._header.at(0, 16 if size is None else min(16, size))
        orders: dict[bytes, ByteOrder] = {b"II": "<", b"MM": ">"}
        order = orders.get(start[:2])
        if order is not None and len(start) >= 8:
            (version,) = struct.unpack_from(f"{order}H", start, 2)
            if version == 42:
                return order, False, struct.unpack_from(f"{order}I", start, 4)[0]
            if version == 43 and len(start) == 16 and struct.unpack_from(f"{order}HH", start, 4) == (8, 0):
                return order, True, struct.unpack_from(f"{order}Q", start, 8)[0]
        raise self._header.lost(f"not recognized as a TIFF: it begins with {start[:8]!r}")

    def _directories(self) -> Iterator[Mapping[int, Field]]:
        seen: set[int] = set()
        position = self._first
        while position:
            if position in seen:
                raise self._header.lost(f"its directories run in a circle at byte {position}")
            if len(seen) == _DIRECTORIES_LIMIT:
                raise self._header.lost(f"it has more than {_DIRECTORIES_LIMIT} directories")
            seen.add(position)
            fields, position = self._directory(position)
            yield fields
        if not seen:
            raise self._header.lost("it has no directory")

    def _directory(self, position: int) -> tuple[Mapping[int, Field], int]:
        """The fields of one directory, and where the next one lies; 0 after the last."""
        counter, entry, pointer = ("Q", "HHQQ", "Q") if self._big else ("H", "HHII", "I")
        counter_bytes, entry_bytes, pointer_bytes = (struct.calcsize(f"={one}") for one in (counter, entry, pointer))
        (entries,) = struct.unpack(self._order + counter, self._header.at(position, counter_bytes))
        if not 1 <= entries <= _ENTRIES_LIMIT:
            raise self._header.lost(f"the directory at byte {position} states {entries} fields")
        begin = position + counter_bytes
        stored = self._header.at(begin, entries * entry_bytes + pointer_bytes)
        fields: dict[int, Field] = {}
        for number in range(entries):
            code, kind, count, elsewhere = struct.unpack_from(self._order + entry, stored, number * entry_bytes)
            if kind not in _TYPE_BYTES:
                continue  # TIFF 6.0: a type that a reader does not know is skipped
            inline = count * _TYPE_BYTES[kind] <= pointer_bytes
            here = begin + (number + 1) * entry_bytes - pointer_bytes
            fields.setdefault(code, Field(kind, count, here if inline else elsewhere))
        (following,) = struct.unpack_from(self._order + pointer, stored, entries * entry_bytes)
        return fields, following

    def _values(self, code: int, field: Field, types: Mapping[int, str] = INTEGER_TYPES) -> NDArray[Any]:
        """The values of a field that describes the file, in native byte order."""
        if field.kind not in types or not 1 <= field.count <= _VALUES_LIMIT:
            raise self._header.lost(f"field {code} holds {field.count} values of type {field.kind}")
        stored = self._header.at(field.position, field.end - field.position)
        values = np.frombuffer(stored, np.dtype(types[field.kind]).newbyteorder(self._order))
        return values.astype(values.dtype.newbyteorder("="))

    def _number(self, fields: Mapping[int, Field], code: int, default: int) -> int:
        field = fields.get(code)
        return default if field is None else int(self._values(code, field)[0])

    def _same_number(self, fields: Mapping[int, Field], code: int, default: int, what: str) -> int:
        """A number that is stated for every sample and must be one for all."""
        field = fields.get(code)
        if field is None:
            return default
        values = self._values(code, field)
        if (values != values[0]).any():
            raise UnsupportedTiffError(f"its samples differ in {what}")
        return int(values[0])

    def _subfile_type(self, fields: Mapping[int, Field]) -> int:
        return self._number(fields, 254, 0)

    def _level(self, fields: Mapping[int, Field]) -> TiffLevel:
        width, height, samples = (
            self._number(fields, code, default) for code, default in ((256, 0), (257, 0), (277, 1))
        )
        if not (1 <= width <= EDGE_LIMIT_PX and 1 <= height <= EDGE_LIMIT_PX and 1 <= samples <= SAMPLES_LIMIT):
            raise AssetLostError(
                f"{self._header.source.where}: the header states {width} x {height} pixels and {samples} bands, "
                f"expected 1 to {EDGE_LIMIT_PX} and 1 to {SAMPLES_LIMIT}. Name the item in selection.exclude."
            )
        tiled = 322 in fields or 323 in fields
        if tiled:
            block_width, block_height = self._number(fields, 322, 0), self._number(fields, 323, 0)
        else:
            block_width, block_height = width, min(self._number(fields, 278, height), height)
        if block_width < 1 or block_height < 1:
            raise self._header.lost(f"its header states blocks of {block_width} x {block_height} pixels")
        dtype = self._dtype(fields)
        planar = self._number(fields, 284, 1) == 2 and samples > 1
        if block_width * block_height * dtype.itemsize * (1 if planar else samples) > BLOCK_LIMIT_BYTES:
            raise AssetLostError(
                f"{self._header.source.where}: the header states blocks of {block_width} x {block_height} pixels, "
                f"expected at most {BLOCK_LIMIT_BYTES >> 20} MiB. Rewrite the file in blocks, or name the item in "
                "selection.exclude."
            )
        compression, predictor, wrapped = self._compression(fields, dtype)
        blocks = -(-width // block_width) * -(-height // block_height) * (samples if planar else 1)
        offsets, counts = self._tables(fields, (324, 325) if 324 in fields else (273, 279), blocks)
        return TiffLevel(
            0, width, height, block_width, block_height, tiled, samples, planar, dtype, self._order,
            compression, predictor, wrapped, offsets, counts,
        )  # fmt: skip

    def _overview(self, fields: Mapping[int, Field], full: TiffLevel) -> list[TiffLevel]:
        """The level of a directory of reduced resolution; none where it does not show the same samples."""
        level = self._level(fields)
        same = (level.dtype, level.samples) == (full.dtype, full.samples)
        return [level] if same and level.width <= full.width and level.height <= full.height else []

    def _dtype(self, fields: Mapping[int, Field]) -> np.dtype[Any]:
        bits = self._same_number(fields, 258, 1, "bits")
        form = self._same_number(fields, 339, 1, "format")
        if (form, bits) not in _DTYPES:
            raise UnsupportedTiffError(f"its samples have {bits} bits of format {form}")
        return np.dtype(_DTYPES[form, bits])

    def _compression(self, fields: Mapping[int, Field], dtype: np.dtype[Any]) -> tuple[int, int, int]:
        """Compression, predictor, and what LERC is wrapped in."""
        compression = self._number(fields, 259, NONE)
        photometric, fill_order = self._number(fields, 262, -1), self._number(fields, 266, 1)
        if compression not in _COMPRESSIONS or photometric not in _PHOTOMETRICS or fill_order != 1:
            raise UnsupportedTiffError(
                f"compression {compression}, photometric {photometric}, fill order {fill_order} are not decoded here"
            )
        predictor = self._number(fields, 317, 1) if compression in _WITH_PREDICTOR else 1
        if predictor not in (1, 2, 3) or (predictor == 3 and dtype.kind != "f"):
            raise UnsupportedTiffError(f"predictor {predictor} of {dtype} is not undone here")
        wrapped = 0
        if compression == LERC and 50674 in fields:
            parameters = self._values(50674, fields[50674])
            wrapped = int(parameters[1]) if parameters.size > 1 else 0
        if wrapped not in (0, 1, 2):
            raise UnsupportedTiffError(f"LERC wrapped in compression {wrapped} is not decoded here")
        return compression, predictor, wrapped

    def _tables(self, fields: Mapping[int, Field], codes: tuple[int, int], blocks: int) -> tuple[Field, Field]:
        """Where the positions and sizes of blocks are listed, one each."""
        tables = [fields.get(code) for code in codes]
        if tables[0] is not None and tables[1] is None:
            raise UnsupportedTiffError("it does not state the sizes of its blocks")
        for code, table in zip(codes, tables, strict=True):
            if table is None or table.kind not in INTEGER_TYPES or table.count != blocks:
                stated = "nothing" if table is None else f"{table.count} values of type {table.kind}"
                raise self._header.lost(f"field {code} lists {stated}, expected one for each of {blocks} blocks")
            if table.end - table.position > _HEADER_LIMIT_BYTES:
                raise self._header.lost(f"field {code} fills {table.end - table.position} bytes")
            self._header.expect_inside(table.position, table.end)
        assert tables[0] is not None
        assert tables[1] is not None
        return tables[0], tables[1]

    def _nodata(self, fields: Mapping[int, Field]) -> float | None:
        text = self._text(fields, 42113)
        try:
            return float(text) if text else None
        except ValueError:
            raise self._header.lost(f"its header states nodata {text[:40]!r}") from None

    def _text(self, fields: Mapping[int, Field], code: int) -> str:
        if code not in fields or fields[code].count == 0:
            return ""
        stored = self._values(code, fields[code], {2: "u1"}).tobytes()
        return stored.partition(b"\0")[0].decode("latin-1").strip()

    def _place(self, fields: Mapping[int, Field]) -> tuple[str | None, Affine | None]:
        """CRS and transform."""
        if 34735 not in fields:
            return None, self._transform(fields, points=False)
        keys = GeoKeys(
            tuple(int(value) for value in self._values(34735, fields[34735])),
            tuple(float(value) for value in self._doubles(fields, 34736)),
            self._values(34737, fields[34737], {2: "u1"}).tobytes() if 34737 in fields else b"",
        )
        return crs_of(keys, self._header.source.where), self._transform(fields, points=keys.pixel_is_point)

    def _doubles(self, fields: Mapping[int, Field], code: int) -> NDArray[Any]:
        return self._values(code, fields[code], _NUMBERS) if code in fields else np.empty(0)

    def _transform(self, fields: Mapping[int, Field], *, points: bool) -> Affine | None:
        """As GDAL takes it: scale and tie point first, else the matrix; pixels that are points lie half a pixel off."""
        scale, tie, matrix = (self._doubles(fields, code).tolist() for code in (33550, 33922, 34264))
        if len(scale) >= 2 and scale[0] != 0 and scale[1] != 0:
            if scale[1] < 0:  # GeoTIFF and GDAL disagree on what this means
                raise self._header.lost(f"its header states a negative pixel height of {scale[1]:g}")
            if len(tie) < 6:
                return None
            found = Affine(scale[0], 0.0, tie[3] - tie[0] * scale[0], 0.0, -scale[1], tie[4] + tie[1] * scale[1])
        elif len(matrix) == 16:
            found = Affine(matrix[0], matrix[1], matrix[3], matrix[4], matrix[5], matrix[7])
        else:
            return None
        if points:
            a, b, c, d, e, f, *_ = found
            found = Affine(a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)
        return found if all(map(isfinite, found[:6])) and found.determinant != 0 else None
