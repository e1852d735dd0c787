"""Pixels of TIFFs, against the libraries that wrote them."""

import struct
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import ArchiveTransientError, AssetLostError
from geo_assets.io.reads.tiff_blocks import BlockDecodeError, decoded
from geo_assets.io.reads.tiff_pixels import SPAN_BYTES, TiffPixels
from geo_assets.kernels.predictor import undo_differences
from geo_assets_tests.scenery.memory_source import MemorySource
from geo_assets_tests.scenery.tiff_bytes import LONG, one_block, tiff_bytes

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4")


@dataclass(frozen=True)
class Written:
    """A file and what was written into it."""

    content: bytes
    pixels: np.ndarray
    """(sample, y, x)."""
    said: str


def random_pixels(shape: tuple[int, int, int], dtype: str, seed: int) -> np.ndarray:
    """Steps and noise, also below zero where the dtype goes there."""
    random = np.random.default_rng(seed)
    ramp = np.cumsum(random.integers(-3, 4, shape), axis=2) + random.integers(0, 100, (*shape[:2], 1))
    return (ramp + random.random(shape)).astype(dtype) if dtype == "f4" else ramp.astype(dtype)


@st.composite
def tiffs(draw: st.DrawFn) -> Written:
    dtype = draw(st.sampled_from(DTYPES))
    codec = draw(st.sampled_from([None, "lzw", "deflate", "adobe_deflate", "zstd", "packbits"]))
    predictors = [1] if codec in (None, "packbits") else [1, 3] if dtype == "f4" else [1, 2]
    predictor = draw(st.sampled_from(predictors))
    samples, planar = draw(st.sampled_from([(1, None), (3, "contig"), (3, "separate"), (2, "contig")]))
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    tile = draw(st.sampled_from([None, (16, 16), (32, 16), (16, 48)]))
    how: dict[str, Any] = {
        "byteorder": draw(st.sampled_from("<>")),
        "bigtiff": draw(st.booleans()),
        "compression": {"deflate": 32946, "adobe_deflate": 8}.get(str(codec), codec),
        "predictor": predictor if predictor > 1 else None,
        "tile": tile,
        "rowsperstrip": None if tile else draw(st.integers(1, height)),
        "planarconfig": planar,
    }
    pixels = random_pixels((samples, height, width), dtype, draw(st.integers(0, 9)))
    stored = pixels[0] if samples == 1 else np.moveaxis(pixels, 0, -1) if planar == "contig" else pixels
    file = BytesIO()
    tifffile.imwrite(file, stored, photometric="minisblack", **how)
    return Written(file.getvalue(), pixels, f"{dtype} {pixels.shape} {how}")


@settings(max_examples=250)
@given(tiffs(), st.integers(-10, 40), st.integers(-10, 40), st.integers(1, 50), st.integers(1, 50))
def test_any_window_holds_what_was_written_and_zero_outside(tiff, row, col, height, width):
    source = TiffPixels(MemorySource(tiff.content))
    padded = np.pad(tiff.pixels, ((0, 0), (10, 90), (10, 90)))
    for sample in range(len(tiff.pixels)):
        found = source.window(source.file.levels[0], row, col, height, width, sample=sample)
        assert found.dtype == tiff.pixels.dtype, tiff.said
        expected = padded[sample, row + 10 : row + 10 + height, col + 10 : col + 10 + width]
        assert_array_equal(found, expected, err_msg=tiff.said)


CODECS = [
    {"compress": "LERC"},
    {"compress": "LERC_DEFLATE"},
    {"compress": "LERC_ZSTD"},
    {"compress": "DEFLATE", "predictor": 2},
    {"compress": "ZSTD", "ENDIANNESS": "BIG"},
    {"compress": "LZW", "predictor": 2, "ENDIANNESS": "BIG"},
]
OF_FLOATS = [{"compress": "DEFLATE", "predictor": 3}, {"compress": "ZSTD", "predictor": 3, "ENDIANNESS": "BIG"}]


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize(
    ("dtype", "codec"),
    [*product(["uint8", "uint16", "int16", "float32"], CODECS), *product(["float32"], OF_FLOATS)],
    ids=str,
)
def test_what_gdal_writes_is_read_with_its_overviews(tmp_path, dtype, interleave, codec):
    pixels = random_pixels((3, 90, 110), "u1", 1).astype(dtype)
    path = tmp_path / "some.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=90, width=110, dtype=dtype, interleave=interleave, nodata=7,
        tiled=True, blockxsize=32, blockysize=48, crs="EPSG:32633", transform=Affine(10, 0, 5e5, 0, -10, 5e6), **codec,
    ) as raster:  # fmt: skip
        raster.write(pixels)
        raster.build_overviews([2, 4])
    tiff = TiffPixels(MemorySource.of(path))
    assert len(tiff.file.levels) == 3
    for level in tiff.file.levels:
        how = {} if level.number == 0 else {"overview_level": level.number - 1}
        with rasterio.open(path, **how) as raster:
            for sample in range(3):
                found = tiff.window(level, 0, 0, level.height, level.width, sample=sample)
                assert_array_equal(found, raster.read(sample + 1))


def written(path: Path, pixels: np.ndarray, **how: Any) -> Path:
    """A GeoTIFF of (y, x) in DEFLATE blocks of 16 pixels by default."""
    usual = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "zlevel": 1}
    height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=height, width=width, dtype=pixels.dtype, crs="EPSG:32633",
        transform=Affine(10, 0, 5e5, 0, -10, 5e6), **{**usual, **how},
    ) as raster:  # fmt: skip
        raster.write(pixels, 1)
    return path


@pytest.mark.parametrize(("nodata", "expected"), [(None, 0), (9, 9)])
def test_a_block_that_is_not_stored_is_nodata(tmp_path, nodata, expected):
    pixels = np.full((48, 48), 0 if nodata is None else nodata, np.uint16)
    pixels[16:32, 16:32] = 5
    tiff = TiffPixels(MemorySource.of(written(tmp_path / "some.tif", pixels, nodata=nodata, SPARSE_OK=True)))
    (level,) = tiff.file.levels
    assert (tiff.table(level).counts > 0).sum() == 1
    assert [index for index, _ in tiff.blocks(level, range(9))] == [4]
    assert_array_equal(tiff.window(level, 0, 0, 48, 48), pixels)
    assert tiff.window(level, -5, 0, 1, 1) == expected
    assert tiff.window(level, 0, 0, 1, 1, fill=77) == 77


@pytest.mark.parametrize("codec", [None, "deflate", "zstd", "lzw", "packbits"])
def test_a_short_last_strip_that_gdal_filled_as_a_whole_one_is_read(tmp_path, codec):
    pixels = np.zeros((60, 70), np.uint16)
    pixels[:20] = 7
    path = written(tmp_path / "some.tif", pixels, tiled=False, blockxsize=70, blockysize=29, compress=codec)
    tiff = TiffPixels(MemorySource.of(path))
    (level,) = tiff.file.levels
    assert level.block_rows(2) == 2
    assert_array_equal(tiff.window(level, 0, 0, 60, 70), pixels)


def test_a_stated_nodata_that_pixels_cannot_have_fills_nothing(tmp_path):
    path = written(tmp_path / "some.tif", np.ones((16, 16), np.uint8), nodata=0)
    content = path.read_bytes().replace(
        struct.pack("<HHI", 42113, 2, 2) + b"0\0\0\0", struct.pack("<HHI", 42113, 2, 4) + b"nan\0"
    )
    tiff = TiffPixels(MemorySource(content))
    assert tiff.window(tiff.file.levels[0], -1, 0, 1, 1) == 0


def test_neighbouring_blocks_are_read_at_once_and_far_ones_are_not(tmp_path):
    random = np.random.default_rng(3)
    pixels = random.integers(0, 60_000, (64, 64 * 320)).astype(np.uint16)  # rows of blocks are 655 kB apart
    tiff = TiffPixels(source := MemorySource.of(written(tmp_path / "some.tif", pixels, compress=None)))
    (level,) = tiff.file.levels
    across, each = level.blocks_across, level.block_bytes
    assert [span.indexes for span in tiff.spans(level, [across + 1, 0, across, 1, 1])] == [(0, 1), (across, across + 1)]
    assert all(span.end - span.first <= SPAN_BYTES for span in tiff.spans(level, range(4 * across)))
    before = len(source.spans)
    found = dict(tiff.blocks(level, [across, across + 1]))
    assert len(source.spans) == before + 1
    assert_array_equal(found[across + 1], pixels[16:32, 16:32])
    small_gap, large_gap = 8, 9 + 4_096 // each
    assert len(tiff.spans(level, [0, small_gap])) == 1
    assert len(tiff.spans(level, [0, large_gap])) == 2


@pytest.mark.parametrize("skipped", [1, 3, 40, 200])
def test_hardly_a_byte_is_read_in_vain(tmp_path, skipped):
    pixels = np.random.default_rng(3).integers(0, 60_000, (64, 64 * 320)).astype(np.uint16)
    tiff = TiffPixels(MemorySource.of(written(tmp_path / "some.tif", pixels, compress=None)))
    (level,) = tiff.file.levels
    wanted = [index for index in range(level.plane_blocks) if index % (8 + skipped) < 8]
    spans = tiff.spans(level, wanted)
    assert sum((span.indexes for span in spans), ()) == tuple(wanted)
    assert sum(span.end - span.first for span in spans) <= 1.05 * len(wanted) * level.block_bytes + 4_096


def test_windows_that_share_blocks_read_them_once(tmp_path):
    pixels = np.random.default_rng(8).integers(0, 60_000, (256, 256)).astype(np.uint16)
    path = written(tmp_path / "some.tif", pixels, blockxsize=256, blockysize=256)
    tiff = TiffPixels(source := MemorySource.of(path))
    (level,) = tiff.file.levels
    for row, col in np.ndindex(8, 8):
        found = tiff.window(level, 32 * row, 32 * col, 32, 32)
        assert_array_equal(found, pixels[32 * row : 32 * row + 32, 32 * col : 32 * col + 32])
    assert len(source.spans) == 2  # head and block


def test_a_file_that_its_head_holds_is_read_once(tmp_path):
    tiff = TiffPixels(source := MemorySource.of(written(tmp_path / "some.tif", np.ones((64, 64), np.uint16))))
    assert tiff.window(tiff.file.levels[0], 0, 0, 64, 64).min() == 1
    assert source.spans == [(0, source.size)]


def test_differences_may_be_left_in_for_whoever_undoes_them(tmp_path):
    pixels = random_pixels((1, 32, 32), "u2", 5)[0]
    tiff = TiffPixels(MemorySource.of(written(tmp_path / "some.tif", pixels, predictor=2, ENDIANNESS="BIG")))
    (level,) = tiff.file.levels
    for index, block in tiff.blocks(level, range(4), undo=False):
        top, left = 16 * (index // 2), 16 * (index % 2)
        assert_array_equal(np.cumsum(block, axis=1, dtype=np.uint16), pixels[top : top + 16, left : left + 16])
        undo_differences(block)
        assert_array_equal(block, pixels[top : top + 16, left : left + 16])


def damaged(path: Path, index: int = 4) -> tuple[bytes, bytes, tuple[int, int]]:
    """The file, the file with the middle of a block overwritten, and the block's bytes."""
    content = path.read_bytes()
    tiff = TiffPixels(MemorySource(content))
    table = tiff.table(tiff.file.levels[0])
    first, end = int(table.offsets[index]), int(table.offsets[index] + table.counts[index])
    bad = bytearray(content)
    bad[first + 2 : end] = b"\xff" * (end - first - 2)
    return content, bytes(bad), (first, end)


@pytest.mark.parametrize("codec", ["deflate", "zstd", "lzw"])
def test_a_block_that_does_not_decode_is_read_again_over_fresh_connections(tmp_path, codec):
    pixels = random_pixels((1, 48, 48), "u2", 2)[0]
    good, bad, block = damaged(written(tmp_path / "some.tif", pixels, compress=codec))
    source = MemorySource(bad, fresh=good)
    tiff = TiffPixels(source)
    assert_array_equal(tiff.window(tiff.file.levels[0], 0, 0, 48, 48), pixels)
    assert source.refreshed == 1
    assert source.spans[-1] == block  # nothing but the block is read again


@pytest.mark.parametrize("codec", ["deflate", "zstd", "lzw", "lerc"])
def test_a_block_that_stays_damaged_is_lost_with_its_place_in_the_file(tmp_path, codec):
    pixels = random_pixels((1, 48, 48), "u2", 2)[0]
    _, bad, (first, end) = damaged(written(tmp_path / "some.tif", pixels, compress=codec))
    source = MemorySource(bad, attempts=3)
    tiff = TiffPixels(source)
    said = (
        rf"Item S2, band red: cannot be read \(block \(1, 1\) of level 0 does not decode: .*; bytes {first} to {end}, "
    )
    with pytest.raises(AssetLostError, match=said + r"read twice, 3 requests the last time\).*selection\.exclude"):
        tiff.window(tiff.file.levels[0], 0, 0, 48, 48)
    assert source.refreshed == 1
    assert_array_equal(tiff.window(tiff.file.levels[0], 0, 0, 16, 48), pixels[:16])  # the others are well


def test_a_source_that_fails_says_so_itself(tmp_path):
    source = MemorySource.of(written(tmp_path / "some.tif", np.ones((300, 300), np.uint16), compress=None))
    tiff = TiffPixels(source)
    source.failure = ArchiveTransientError("slow today")
    with pytest.raises(ArchiveTransientError, match="slow today"):
        tiff.window(tiff.file.levels[0], 200, 200, 5, 5)


def with_table(path: Path, *, offset: int | None = None, count: int | None = None) -> TiffPixels:
    """The file, its first block said to lie elsewhere."""
    tiff = TiffPixels(MemorySource.of(path))
    (level,) = tiff.file.levels
    content = bytearray(path.read_bytes())
    for field, value in ((level.offsets, offset), (level.counts, count)):
        if value is not None:
            struct.pack_into("<I" if field.kind == 4 else "<H", content, field.position, value)
    return TiffPixels(MemorySource(bytes(content)))


@pytest.mark.parametrize("lie", [{"offset": 4_000_000_000}, {"offset": 100_000}, {"count": 60_000}])
def test_a_block_beyond_the_end_of_the_file_is_lost(tmp_path, lie):
    tiff = with_table(written(tmp_path / "some.tif", np.ones((48, 48), np.uint16)), **lie)
    (level,) = tiff.file.levels
    with pytest.raises(AssetLostError, match=r"block \(0, 0\) of level 0 lies at bytes"):
        tiff.window(level, 0, 0, 5, 5)
    assert tiff.window(level, 20, 20, 5, 5).min() == 1


def test_a_block_of_more_bytes_than_its_pixels_can_need_is_not_fetched():
    greedy = one_block() | {279: (LONG, [100_000])}
    tiff = TiffPixels(source := MemorySource(tiff_bytes(greedy, pixels=bytes(200_000))))
    with pytest.raises(AssetLostError, match=r"block \(0, 0\) of level 0 lies at bytes 16 to 100016"):
        tiff.window(tiff.file.levels[0], 0, 0, 4, 8)
    assert source.bytes_read < 50_000


@pytest.mark.parametrize("size", [0, 1, 511, 513, 5_000])
@pytest.mark.parametrize("codec", ["none", "deflate", "zstd", "lzw", "packbits"])
def test_a_block_must_hold_exactly_its_pixels(tmp_path, codec, size):
    path = written(tmp_path / "some.tif", np.ones((16, 16), np.uint16), compress=codec)
    (level,) = TiffPixels(MemorySource.of(path)).file.levels
    encode = {
        "none": bytes,
        "deflate": imagecodecs.zlib_encode,
        "zstd": imagecodecs.zstd_encode,
        "lzw": imagecodecs.lzw_encode,
        "packbits": imagecodecs.packbits_encode,
    }[codec]
    with pytest.raises(BlockDecodeError):
        decoded(level, bytes(encode(bytes(size))))
    assert decoded(level, bytes(encode(bytes(512)))).shape == (16, 16)


def test_lerc_of_another_shape_or_kind_than_the_header_says_is_refused(tmp_path):
    path = written(tmp_path / "some.tif", np.ones((16, 16), np.uint16), compress="lerc")
    (level,) = TiffPixels(MemorySource.of(path)).file.levels
    for lie in (np.ones((16, 17), np.uint16), np.ones((4_000, 4_000), np.uint16), np.ones((16, 16), np.float32)):
        with pytest.raises(BlockDecodeError):
            decoded(level, bytes(imagecodecs.lerc_encode(lie)))


def test_what_lerc_masks_out_is_nan_in_floats_and_refused_in_integers(tmp_path):
    seen = np.ones((16, 16), bool)
    seen[3] = False
    for dtype in (np.float32, np.uint16):
        path = written(tmp_path / "some.tif", np.ones((16, 16), dtype), compress="lerc")
        (level,) = TiffPixels(MemorySource.of(path)).file.levels
        payload = bytes(imagecodecs.lerc_encode(np.ones((16, 16), dtype), masks=seen))
        if dtype is np.float32:
            assert_array_equal(np.isnan(decoded(level, payload)), ~seen)
        else:
            with pytest.raises(BlockDecodeError, match="mask"):
                decoded(level, payload)


def test_all_rasters_of_the_shared_data_are_read_as_gdal_reads_them(shared_data: Path):
    paths = sorted(shared_data.rglob("*.tif"))
    assert len(paths) > 50
    for path in paths:
        tiff = TiffPixels(MemorySource.of(path))
        with rasterio.open(path) as raster:
            full = tiff.file.levels[0]
            sample = raster.count - 1
            assert_array_equal(tiff.window(full, 0, 0, *raster.shape, sample=sample), raster.read(raster.count))
            assert (tiff.file.crs, tiff.file.transform) == (str(raster.crs), raster.transform)
            assert len(tiff.file.levels) == 1 + len(raster.overviews(1))
