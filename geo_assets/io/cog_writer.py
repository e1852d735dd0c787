"""Writes every product raster: a strict cloud-optimised GeoTIFF, each block encoded once, on threads.

GDAL's COG driver writes a temporary file and its overviews, then reads and compresses everything again. Here
blocks flow once from the caller into the encoder; each block that passes leaves its half-resolution quarter
in the block above it, which is encoded as soon as its last quarter arrived. So no resolution is held whole.

Layout: header; blocks of the smallest overview first, the full resolution last; within a resolution blocks in
row order, within a block its bands one after the other (PlanarConfiguration 2). Blocks without data are not
stored.
"""

import shutil
import struct
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Literal, NamedTuple, TypeAlias

import imagecodecs
import numpy as np
from numpy.typing import DTypeLike, NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.domain.errors import GridMismatchError, ProductError
from geo_assets.io.tiff_headers import BlockIndex, Encoding, Palette, RasterBand, described_tags, header_bytes
from geo_assets.kernels.overviews import mean_half, nearest_half, overview_shapes
from geo_assets.kernels.predictor import padded_differences, padded_float_differences

__all__ = ["BlockReader", "Palette", "RasterBand", "write_cog"]

BlockReader: TypeAlias = Callable[[int, int], NDArray[Any] | None]
"""Gives the (band, y, x) pixels of (block row, block column); None where the block holds nodata only."""

_Halve: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

_Encode: TypeAlias = Callable[[NDArray[Any]], bytes | bytearray | None]
"""Encodes one band of a block; None where no pixel has data."""

_Encoded: TypeAlias = list[bytes | bytearray | None]
"""The bands of one block; None for a band without data."""

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")

_COMPRESSION = {"deflate": 8, "zstd": 50000}

_SPOOL_IN_MEMORY_BYTES = 4 << 20
"""Encoded blocks of one resolution stay in memory up to this size, then move to disk."""

_BLOCKS_IN_FLIGHT_PER_THREAD = 2


def write_cog(
    path: Path,
    geobox: GeoBox,
    dtype: DTypeLike,
    nodata: float | None,
    bands: Sequence[RasterBand],
    read_block: BlockReader,
    *,
    overviews: Literal["average", "nearest", "none"],
    codec: Literal["zstd", "deflate"] = "zstd",
    level: int = 1,
    threads: int = 2,
    tags: Mapping[str, str] = MappingProxyType({}),
    palette: Palette | None = None,
    block_px: int = BLOCK_PX,
) -> None:
    """Write a raster block by block as a strict COG; the same pixels give the same bytes.

    Parameters
    ----------
    path : Path
        Written as it is, and removed where writing fails; the caller makes it atomic.
    geobox : GeoBox
        CRS, transform and shape of the raster.
    dtype : uint8, int8, uint16, int16, uint32, int32, float32 or float64
    nodata : float, optional
        Value without data, not counted in averaged overviews; missing blocks read as this, or 0 without it. NaN for
        floats.
    bands : sequence of RasterBand
        At least one.
    read_block : callable (block row, block column) -> (band, y, x) of `dtype`, or None
        Called once for each block in row order, from the calling thread. Blocks at the right and lower edge
        may be clipped to the raster or full (what lies outside is dropped). The array must not change later.
        None says that no pixel of the block has data; a band of a block without data is left out in any case,
        so the bytes do not depend on who noticed.
    overviews : {"average", "nearest", "none"}
        "average" for quantities (`kernels.overviews.mean_half`), "nearest" for classes. Halved until the
        longest side fits into one block. "none" is the quickest: nothing waits in temporary files.
    codec, level
        ZSTD 1 to 22 or DEFLATE 0 to 12; differences of neighbouring pixels are encoded (TIFF predictor 2,
        or 3 for floats).
    threads : int
        Encoding threads; does not change a bit.
    tags : mapping
        Free text metadata of the file.
    palette : mapping, optional
        Colours of the values of a single uint8 band: value -> (red, green, blue), 0 to 255; black for all others.
    block_px : int
        Edge of a block, a multiple of 16.

    Raises
    ------
    GridMismatchError
        `read_block` gave another shape or dtype.
    ProductError
        The raster asked for is not one this writer can make.

    Notes
    -----
    Memory: less than one row of blocks in all bands (the unfinished overview blocks), `2 * threads + 1`
    blocks with their encoded bytes, and 4 MiB of encoded bytes per resolution. The rest waits in unnamed
    temporary files in the folder of `path`, which vanish with the process.
    """
    pixels = _PixelFormat(np.dtype(dtype), nodata, len(bands), block_px)
    _refuse_impossible(path, pixels, codec, threads, palette)
    encoding = Encoding(block_px, _COMPRESSION[codec], predictor=3 if pixels.dtype.kind == "f" else 2)
    compress = partial(imagecodecs.zstd_encode if codec == "zstd" else imagecodecs.deflate_encode, level=level)
    encode = partial(_encoded, pixels=pixels, compress=compress)
    halve: _Halve = nearest_half if overviews == "nearest" else partial(mean_half, nodata=nodata)
    height, width = geobox.shape
    smaller = [] if overviews == "none" else overview_shapes(height, width, largest_px=block_px)
    header = partial(header_bytes, described_tags(geobox, pixels.dtype, nodata, bands, tags, palette), encoding)

    with ExitStack() as spools:
        resolutions = [
            _Resolution.empty(*shape, pixels, spools.enter_context(_spool(path.parent) if smaller else _in_place(path)))
            for shape in [(height, width), *smaller]
        ]
        if not smaller:
            resolutions[0].spool.write(header([resolutions[0].index]))  # as long as the one that replaces it
        with ThreadPoolExecutor(threads, thread_name_prefix="cog") as pool:
            in_flight = threads * _BLOCKS_IN_FLIGHT_PER_THREAD
            pyramid = _Pyramid(resolutions, pixels, halve, encode, pool, in_flight)
            for row, col in np.ndindex(resolutions[0].grid):
                clipped = resolutions[0].block_shape(row, col, block_px)
                name = f"{path.name}, block {row, col}"
                pyramid.add(row, col, _checked_block(read_block(row, col), clipped, pixels, name))
            pyramid.finish()
        if smaller:
            _assemble(path, resolutions, header)
        else:
            resolutions[0].spool.seek(0)
            resolutions[0].spool.write(header([resolutions[0].index]))


class _PixelFormat(NamedTuple):
    """What is the same for every block of the file."""

    dtype: np.dtype[Any]
    nodata: float | None
    bands: int
    block_px: int

    @property
    def fill(self) -> Any:
        """Scalar of `dtype` that missing blocks read as."""
        return self.dtype.type(0 if self.nodata is None else self.nodata)


def _refuse_impossible(path: Path, pixels: _PixelFormat, codec: str, threads: int, palette: Palette | None) -> None:
    problems = []
    if pixels.dtype.name not in _DTYPES:
        problems.append(f"dtype {pixels.dtype.name}, expected one of {', '.join(_DTYPES)}")
    elif pixels.nodata is not None and not _is_exact(pixels.nodata, pixels.dtype):
        problems.append(f"nodata {pixels.nodata}, which {pixels.dtype.name} cannot hold")
    if codec not in _COMPRESSION:
        problems.append(f"codec {codec}, expected one of {', '.join(_COMPRESSION)}")
    if pixels.bands < 1:
        problems.append("no band, expected at least one")
    if pixels.block_px < 16 or pixels.block_px % 16:
        problems.append(f"blocks of {pixels.block_px} px, expected a multiple of 16")
    if palette is not None and (pixels.dtype != np.uint8 or pixels.bands != 1):
        problems.append(f"a palette for {pixels.bands} bands of {pixels.dtype.name}, expected one band of uint8")
    if palette is not None and not all(0 <= part <= 255 for key in palette for part in (key, *palette[key])):
        problems.append("a palette with values or colours outside 0 to 255")
    if threads < 1:
        problems.append(f"{threads} threads, expected at least one")
    if problems:
        found = "; ".join(problems)
        raise ProductError(f"Raster {path} cannot be written: {found}. Correct the station's call.")


def _is_exact(value: float, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "f":
        return bool(value != value or dtype.type(value) == value)
    limits = np.iinfo(dtype)
    return limits.min <= value <= limits.max and value == int(value)


def _checked_block(
    block: NDArray[Any] | None, clipped: tuple[int, int], pixels: _PixelFormat, name: str
) -> NDArray[Any] | None:
    """The block clipped to the raster, refused where it is not what was announced."""
    if block is None:
        return None
    height, width = clipped
    expected = (pixels.bands, height, width)
    full = (pixels.bands, pixels.block_px, pixels.block_px)
    if block.dtype != pixels.dtype or block.shape not in (expected, full):
        raise GridMismatchError(
            f"Raster {name}: found {block.dtype} {block.shape}, expected "
            f"{pixels.dtype} {expected} (band, y, x). Correct the station that computes this block."
        )
    return block[:, :height, :width]


@contextmanager
def _in_place(path: Path) -> Iterator[IO[bytes]]:
    """The file itself, which goes again if it is not finished: a single resolution needs no detour."""
    with path.open("wb") as file:
        try:
            yield file
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _spool(folder: Path) -> tempfile.SpooledTemporaryFile[bytes]:
    return tempfile.SpooledTemporaryFile(_SPOOL_IN_MEMORY_BYTES, dir=str(folder))


@dataclass(frozen=True, slots=True, eq=False)
class _Resolution:
    """One resolution while it is written: its encoded blocks, and the blocks that still miss a quarter."""

    index: BlockIndex
    """Offsets are those in `spool`, until the file is assembled from several."""
    spool: IO[bytes]
    unfinished: dict[tuple[int, int], NDArray[Any]] = field(default_factory=dict)
    """(block row, block column) of the blocks of which some quarter has data."""

    @classmethod
    def empty(cls, height: int, width: int, pixels: _PixelFormat, spool: IO[bytes]) -> "_Resolution":
        grid = (pixels.bands, -(-height // pixels.block_px), -(-width // pixels.block_px))
        return cls(BlockIndex(height, width, np.zeros(grid, np.uint64), np.zeros(grid, np.uint32)), spool)

    @property
    def grid(self) -> tuple[int, int]:
        """Block rows and block columns."""
        _, rows, cols = self.index.offset.shape
        return rows, cols

    def block_shape(self, row: int, col: int, block_px: int) -> tuple[int, int]:
        """Height and width of a block, clipped to the raster."""
        return (
            min(block_px, self.index.height - row * block_px),
            min(block_px, self.index.width - col * block_px),
        )

    def store(self, row: int, col: int, encoded: _Encoded) -> None:
        """Append the bands of a block, each between the size and the trailer the layout note promises."""
        for band, data in enumerate(encoded):
            if data is not None:
                self.index.offset[band, row, col] = self.spool.tell() + 4
                self.index.size[band, row, col] = len(data)
                for part in (struct.pack("<I", len(data)), data, data[-4:]):  # joined, they would be copied
                    self.spool.write(part)


class _Passed(NamedTuple):
    """A block on its way through the encoder."""

    resolution: int
    row: int
    col: int
    result: Future[tuple[_Encoded, NDArray[Any] | None]] | None
    """The encoded block and the block at half resolution; None where no pixel has data."""


class _Pyramid:
    """Takes the blocks of the full resolution in row order and fills the spools of every resolution.

    Only the calling thread touches it; the pool runs `_encoded_and_halved`. Blocks leave the queue in the
    order in which they entered, so what is written does not depend on which thread was faster.
    """

    def __init__(
        self,
        resolutions: Sequence[_Resolution],
        pixels: _PixelFormat,
        halve: _Halve,
        encode: _Encode,
        pool: ThreadPoolExecutor,
        most_in_flight: int,
    ) -> None:
        self._resolutions = resolutions
        self._pixels = pixels
        self._halve = halve
        self._encode = encode
        self._pool = pool
        self._most_in_flight = most_in_flight
        self._queue: deque[_Passed] = deque()

    def add(self, row: int, col: int, block: NDArray[Any] | None) -> None:
        """Pass on a block of the full resolution; waits while too many are being encoded."""
        self._enqueue(0, row, col, block)
        while len(self._queue) > self._most_in_flight:
            self._drain_one()

    def finish(self) -> None:
        """Wait for every block of every resolution."""
        while self._queue:
            self._drain_one()

    def _enqueue(self, resolution: int, row: int, col: int, block: NDArray[Any] | None) -> None:
        halve = self._halve if resolution + 1 < len(self._resolutions) else None
        result = None if block is None else self._pool.submit(_encoded_and_halved, block, self._encode, halve)
        self._queue.append(_Passed(resolution, row, col, result))

    def _drain_one(self) -> None:
        resolution, row, col, result = self._queue.popleft()
        quarter = None
        if result is not None:
            encoded, quarter = result.result()
            self._resolutions[resolution].store(row, col, encoded)
        if resolution + 1 < len(self._resolutions):
            self._hand_up(resolution, row, col, quarter)

    def _hand_up(self, resolution: int, row: int, col: int, quarter: NDArray[Any] | None) -> None:
        """Put a halved block into the block above it; that one is passed on with its last quarter."""
        above = self._resolutions[resolution + 1]
        key = (row // 2, col // 2)
        if quarter is not None:
            if key not in above.unfinished:
                shape = (self._pixels.bands, *above.block_shape(*key, self._pixels.block_px))
                above.unfinished[key] = np.full(shape, self._pixels.fill)
            y, x = (part % 2 * (self._pixels.block_px // 2) for part in (row, col))
            _, height, width = quarter.shape
            above.unfinished[key][:, y : y + height, x : x + width] = quarter
        rows, cols = self._resolutions[resolution].grid
        # Row order: the lower right quarter is the last, or what stands in for it at the raster's edge.
        if (row % 2 or row == rows - 1) and (col % 2 or col == cols - 1):
            self._enqueue(resolution + 1, *key, above.unfinished.pop(key, None))


def _encoded_and_halved(
    block: NDArray[Any], encode: _Encode, halve: _Halve | None
) -> tuple[_Encoded, NDArray[Any] | None]:
    """The work on one block: each band encoded (None without data), and the block at half resolution."""
    block = np.ascontiguousarray(block)  # a part of a large array is many times slower to compute on
    encoded: _Encoded = [encode(band) for band in block]
    has_data = any(data is not None for data in encoded)
    return encoded, halve(block) if halve is not None and has_data else None


def _encoded(
    band: NDArray[Any], pixels: _PixelFormat, compress: Callable[[NDArray[Any]], bytes | bytearray]
) -> bytes | bytearray | None:
    """One band of a block in full size: TIFF stores whole blocks; what lies outside is nodata to every reader."""
    predicted = padded_float_differences if pixels.dtype.kind == "f" else padded_differences
    differences = predicted(band, fill=pixels.fill, block_px=pixels.block_px)
    return None if differences is None else compress(differences)


def _assemble(path: Path, resolutions: Sequence[_Resolution], header: Callable[[list[BlockIndex]], bytes]) -> None:
    """Write the header, then the spools from the smallest resolution to the full one."""
    indices = [resolution.index for resolution in resolutions]
    at = len(header(indices))
    for resolution in reversed(resolutions):
        index = resolution.index
        np.add(index.offset, np.uint64(at), out=index.offset, where=index.size > 0)
        at += resolution.spool.tell()
    with path.open("wb") as file:
        file.write(header(indices))
        for resolution in reversed(resolutions):
            resolution.spool.seek(0)
            shutil.copyfileobj(resolution.spool, file, 1 << 20)
