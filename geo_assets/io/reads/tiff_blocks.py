"""One encoded block of a TIFF becomes pixels. Everything here lets go of the interpreter while it works."""

from collections.abc import Callable
from typing import Any, TypeAlias

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.errors import GeoAssetsError
from geo_assets.io.reads.tiff_directory import DEFLATE, DEFLATE_OLD, LERC, LZW, NONE, PACKBITS, ZSTD, TiffLevel
from geo_assets.kernels.predictor import undo_differences, undo_float_differences

Payload: TypeAlias = bytes | memoryview

_SLACK = 8
"""Bytes of room behind a block, by which one that holds too much is told: some decoders just stop."""

_DECODERS: dict[int, Callable[..., Any]] = {
    LZW: imagecodecs.lzw_decode,
    DEFLATE: imagecodecs.deflate_decode,
    DEFLATE_OLD: imagecodecs.deflate_decode,
    PACKBITS: imagecodecs.packbits_decode,
    ZSTD: imagecodecs.zstd_decode,
}
_LERC_DECODER: Callable[..., Any] = imagecodecs.lerc_decode
_LERC_HEADER_BYTES = 4_096
_LERC_WRAPPINGS: dict[int, Callable[..., Any]] = {1: imagecodecs.zlib_decode, 2: imagecodecs.zstd_decode}


class BlockDecodeError(GeoAssetsError):
    """A block's bytes are not what its directory says. Never leaves `io.reads.tiff_pixels`."""


def decoded(level: TiffLevel, payload: Payload, *, rows: int | None = None, undo: bool = True) -> NDArray[Any]:
    """Pixels of one block.

    Parameters
    ----------
    level
        What the block belongs to.
    payload
        Its bytes as stored.
    rows
        Rows that it holds, `level.block_rows(index)`; all without it.
    undo
        False leaves the differences of predictor 2, in native byte order, for a caller that undoes them where it
        needs the values; predictor 3 is always undone.

    Returns
    -------
    pixels : (rows, block_width) or (rows, block_width, sample) of the level's dtype
        Native byte order, as stored: not scaled, nodata kept. Samples where a block holds more than one.

    Raises
    ------
    BlockDecodeError
        It does not decode, or to another number of bytes.
    """
    rows = level.block_height if rows is None else rows
    shape = (rows, level.block_width, level.block_samples)
    pixels = _lerc(level, payload, shape) if level.compression == LERC else _values(level, payload, shape)
    if level.predictor == 2 and undo:
        undo_differences(pixels)
    return pixels[:, :, 0] if level.block_samples == 1 else pixels


def _values(level: TiffLevel, payload: Payload, shape: tuple[int, int, int]) -> NDArray[Any]:
    """(rows, columns, sample), the differences of predictor 2 still in."""
    size = shape[0] * shape[1] * shape[2] * level.dtype.itemsize
    stored = _bytes(level.compression, payload, size, level.block_bytes)
    if level.predictor == 3:
        return undo_float_differences(stored.reshape(shape[0], -1), samples=level.block_samples).reshape(shape)
    values = stored.view(level.dtype.newbyteorder(level.byte_order))
    if not values.dtype.isnative:
        values = values.byteswap().view(level.dtype)
    return values.reshape(shape)


def _bytes(compression: int, payload: Payload, size: int, whole: int) -> NDArray[np.uint8]:
    """Exactly `size` decoded bytes, writable; of a block that holds that many, or, as any other, `whole`.

    GDAL fills the strips that nobody has written, the short last one among them, with as many bytes as the others.
    """
    if compression == NONE:
        stored = np.frombuffer(payload, np.uint8)
        found, count = stored[:size].copy(), stored.size
    else:
        room = np.empty(whole + _SLACK, np.uint8)
        try:
            count = len(_DECODERS[compression](payload, out=room))
        except (RuntimeError, ValueError) as error:  # what imagecodecs raises
            raise BlockDecodeError(str(error)) from None
        found = room[:size]
    if count not in (size, whole):
        raise BlockDecodeError(f"it holds {count if count < whole else f'over {whole}'} bytes, expected {size}")
    return found


def _lerc(level: TiffLevel, payload: Payload, shape: tuple[int, int, int]) -> NDArray[Any]:
    """(rows, columns, sample). LERC brings its own shape, dtype and byte order, which must be the directory's."""
    try:
        if level.lerc_compression:
            room = level.block_bytes + level.block_bytes // 8 + _LERC_HEADER_BYTES  # it never grows more
            payload = _LERC_WRAPPINGS[level.lerc_compression](payload, out=room)
        # With room given, another shape or dtype is refused before anything is allocated from the stated one.
        pixels = np.empty(shape if level.block_samples > 1 else shape[:2], level.dtype)
        _, valid = _LERC_DECODER(payload, masks=True, out=pixels)
    except (RuntimeError, ValueError) as error:
        raise BlockDecodeError(str(error)) from None
    if valid is not None and not valid.all():
        if level.dtype.kind != "f":
            raise BlockDecodeError("its LERC mask leaves out integers, which have no value for that")
        pixels[~valid] = np.nan
    return pixels.reshape(shape)
