"""The COG writer: GDAL reads back what went in, validators agree, bytes depend on pixels only."""

import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rio_cogeo.cogeo import cog_validate

from geo_assets.domain.errors import GridMismatchError, ProductError
from geo_assets.io import cog_writer
from geo_assets.io.cog_writer import RasterBand, write_cog
from geo_assets.kernels.overviews import mean_half, nearest_half

NODATA = {
    "uint8": 255,
    "int8": -128,
    "uint16": 0,
    "int16": -32768,
    "uint32": 2**32 - 1,
    "int32": -(2**31),
    "float32": float("nan"),
    "float64": -9999.5,
}
SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"


def geobox_of(height, width, *, crs="EPSG:32633", origin=(399_960, 5_100_000), pixel_m=10.0):
    return GeoBox((height, width), Affine(pixel_m, 0, origin[0], 0, -pixel_m, origin[1]), crs)


def scene(dtype, bands, height, width, *, seed=0):
    """(band, y, x): noise over the dtype's range, negative where it can be, with a hole of nodata."""
    rng = np.random.default_rng(seed)
    if dtype.startswith("float"):
        pixels = rng.normal(0, 1, (bands, height, width)).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        pixels = rng.integers(limits.min, limits.max, (bands, height, width), dtype, endpoint=True)
    pixels[:, height // 4 : height // 2, width // 3 : width // 2] = NODATA[dtype]
    return pixels


def blocks_of(pixels, block_px=512):
    """Reader of clipped blocks of an array in memory."""

    def read_block(row, col):
        top, left = row * block_px, col * block_px
        return pixels[:, top : top + block_px, left : left + block_px]

    return read_block


def write(path, pixels, *, read_block=None, bands=None, geobox=None, block_px=512, **options):
    dtype = pixels.dtype.name
    write_cog(
        path,
        geobox or geobox_of(*pixels.shape[1:]),
        dtype,
        options.pop("nodata", NODATA[dtype]),
        bands or [RasterBand(f"band {number}") for number in range(pixels.shape[0])],
        read_block or blocks_of(pixels, block_px),
        **{"overviews": "average", "block_px": block_px, **options},
    )
    return path


def overviews_read(path):
    with rasterio.open(path) as dataset:
        levels = len(dataset.overviews(1))
    read = []
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as overview:
            read.append(overview.read())
    return read


def assert_valid_cog(path):
    assert cog_validate(path, strict=True, quiet=True) == (True, [], [])


@pytest.mark.parametrize("codec", ["zstd", "deflate"])
@pytest.mark.parametrize("bands", [1, 5])
@pytest.mark.parametrize("dtype", sorted(NODATA))
def test_gdal_reads_back_every_pixel(tmp_path, dtype, bands, codec):
    pixels = scene(dtype, bands, 333, 700)
    path = write(tmp_path / "raster.tif", pixels, codec=codec)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels)
        assert dataset.dtypes == (dtype,) * bands
        np.testing.assert_equal(dataset.nodata, NODATA[dtype])
        assert dataset.block_shapes == [(512, 512)] * bands
    assert_valid_cog(path)


@pytest.mark.parametrize("shape", [(1, 1), (700, 333), (512, 512), (513, 1), (1025, 1024)])
def test_odd_sizes_survive(tmp_path, shape):
    pixels = scene("int16", 2, *shape)
    path = write(tmp_path / "raster.tif", pixels)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels)
    # rio-cogeo takes a raster or overview that is one block wide and several high for one that is not tiled.
    if shape not in [(513, 1), (1025, 1024)]:
        assert_valid_cog(path)


def test_a_tile_with_three_blocks_is_small_and_valid(tmp_path):
    filled = {(0, 0): 3, (5, 7): -4, (10, 10): 5}

    def read_block(row, col):
        return np.full((4, 512, 512), filled[row, col], np.int16) if (row, col) in filled else None

    path = tmp_path / "tile.tif"
    bands = [RasterBand(name) for name in ("blue", "green", "red", "nir")]
    write_cog(path, geobox_of(5490, 5490), "int16", -32768, bands, read_block, overviews="average")
    expected = np.full((5490, 5490), -32768, np.int16)
    for (row, col), value in filled.items():
        expected[row * 512 : row * 512 + 512, col * 512 : col * 512 + 512] = value
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(2), expected)
    assert path.stat().st_size < 30_000
    assert_valid_cog(path)


def test_a_raster_without_any_data_is_valid(tmp_path):
    pixels = np.full((2, 1300, 600), 255, np.uint8)
    path = write(tmp_path / "empty.tif", pixels, read_block=lambda row, col: None)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels)
    assert_valid_cog(path)


def test_names_scales_tags_and_colours_are_read_by_gdal(tmp_path):
    bands = [
        RasterBand("red", scale=1e-4, offset=-0.1, color="red"),
        RasterBand("green", scale=1e-4, color="green"),
        RasterBand("blue", color="blue"),
        RasterBand("größe <&>"),
    ]
    tags = {"title": "<a & b>", "MONTH": "2024-07"}
    path = write(tmp_path / "raster.tif", scene("uint8", 4, 20, 30), bands=bands, tags=tags)
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("red", "green", "blue", "größe <&>")
        assert dataset.scales == (1e-4, 1e-4, 1.0, 1.0)
        assert dataset.offsets == (-0.1, 0.0, 0.0, 0.0)
        assert [color.name for color in dataset.colorinterp] == ["red", "green", "blue", "undefined"]
        assert dataset.tags() == {"title": "<a & b>", "MONTH": "2024-07", "AREA_OR_POINT": "Area"}
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_classes_have_a_colour_table_in_every_resolution(tmp_path):
    palette = {0: (0, 0, 255), 1: (12, 200, 3), 255: (250, 250, 250)}
    pixels = scene("uint8", 1, 70, 50) % 2
    path = write(tmp_path / "classes.tif", pixels, palette=palette, overviews="nearest", block_px=32)
    for options in ({}, {"overview_level": 0}):
        with rasterio.open(path, **options) as dataset:
            table = dataset.colormap(1)
            assert {value: table[value][:3] for value in palette} == palette
            assert table[7][:3] == (0, 0, 0)
            assert [color.name for color in dataset.colorinterp] == ["palette"]
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels)
    assert_valid_cog(path)


def test_a_float_nodata_may_be_nan_or_a_number(tmp_path):
    for name, nodata in [("nan", float("nan")), ("number", -1e30)]:
        pixels = scene("float64", 1, 60, 60)
        pixels[pixels == NODATA["float64"]] = nodata
        path = write(tmp_path / f"{name}.tif", pixels, nodata=nodata, block_px=16)
        with rasterio.open(path) as dataset:
            np.testing.assert_array_equal(dataset.read(), pixels)
            np.testing.assert_equal(dataset.nodata, nodata)
        assert all(np.nanmax(np.abs(overview[overview != nodata])) < 10 for overview in overviews_read(path))


def test_four_bytes_are_not_taken_for_a_picture_with_alpha(tmp_path):
    path = write(tmp_path / "raster.tif", scene("uint8", 4, 20, 30))
    with rasterio.open(path) as dataset:
        assert [color.name for color in dataset.colorinterp] == ["gray"] + ["undefined"] * 3


@pytest.mark.parametrize(
    "geobox",
    [
        geobox_of(40, 30),
        geobox_of(40, 30, crs="EPSG:32733", origin=(300_000, 6_200_020), pixel_m=20.0),
        geobox_of(40, 30, crs=SINUSOIDAL, origin=(1_111_950.519667, 5_559_752.598333), pixel_m=463.312716528),
    ],
    ids=["north", "south", "sinusoidal"],
)
def test_crs_and_transform_are_exact(tmp_path, geobox):
    path = write(tmp_path / "raster.tif", scene("uint16", 1, 40, 30), geobox=geobox)
    with rasterio.open(path) as dataset:
        assert GeoBox.from_rio(dataset) == geobox


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_do_not_change_a_byte(tmp_path, threads):
    pixels = scene("int16", 3, 333, 700)
    alone = write(tmp_path / "alone.tif", pixels, threads=1, block_px=64).read_bytes()
    assert write(tmp_path / "threads.tif", pixels, threads=threads, block_px=64).read_bytes() == alone


def test_full_edge_blocks_give_the_bytes_of_clipped_ones(tmp_path):
    pixels = scene("uint16", 2, 100, 90)
    full = np.zeros((2, 128, 128), np.uint16)
    full[:, :100, :90] = pixels
    full[:, 100:] = 7  # outside the raster: must not be seen
    clipped = write(tmp_path / "clipped.tif", pixels, block_px=64).read_bytes()
    read_full = blocks_of(full, 64)
    assert write(tmp_path / "full.tif", pixels, read_block=read_full, block_px=64).read_bytes() == clipped


@pytest.mark.parametrize("dtype", sorted(NODATA))
def test_blocks_of_nodata_are_left_out_whoever_notices(tmp_path, dtype):
    pixels = scene(dtype, 2, 200, 200)
    pixels[:, 64:128] = NODATA[dtype]

    def sparse(row, col):
        return None if row == 1 else blocks_of(pixels, 64)(row, col)

    dense = write(tmp_path / "dense.tif", pixels, block_px=64).read_bytes()
    assert write(tmp_path / "sparse.tif", pixels, read_block=sparse, block_px=64).read_bytes() == dense


def test_without_nodata_missing_blocks_are_zero_and_zeros_count_in_means(tmp_path):
    pixels = np.zeros((1, 32, 32), np.uint8)
    pixels[0, 0, 0] = 4
    path = write(tmp_path / "raster.tif", pixels, nodata=None, block_px=16)
    with rasterio.open(path) as dataset:
        assert dataset.nodata is None
        np.testing.assert_array_equal(dataset.read(), pixels)
    assert overviews_read(path)[0][0, 0, 0] == 1


@st.composite
def layouts(draw):
    """(pixels, empty blocks, kind of overview): shapes up to five blocks of 16 px, some of them empty."""
    dtype = draw(st.sampled_from(sorted(NODATA)))
    bands, height, width = draw(st.tuples(st.integers(1, 3), st.integers(1, 75), st.integers(1, 75)))
    pixels = scene(dtype, bands, height, width, seed=draw(st.integers(0, 9)))
    grid = [(row, col) for row in range(-(-height // 16)) for col in range(-(-width // 16))]
    empty = draw(st.sets(st.sampled_from(grid)))
    for row, col in empty:
        pixels[:, row * 16 : row * 16 + 16, col * 16 : col * 16 + 16] = NODATA[dtype]
    return pixels, empty, draw(st.sampled_from(["average", "nearest", "none"]))


@settings(max_examples=60, deadline=None)
@given(layouts())
def test_any_raster_and_its_overviews_equal_halving_it_whole(layout):
    pixels, empty, overviews = layout

    def read_block(row, col):
        return None if (row, col) in empty else blocks_of(pixels, 16)(row, col)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "raster.tif"
        write(path, pixels, read_block=read_block, overviews=overviews, block_px=16)
        with rasterio.open(path) as dataset:
            np.testing.assert_array_equal(dataset.read(), pixels)
        read = overviews_read(path)
    expected = pixels
    for overview in read:
        expected = (
            nearest_half(expected) if overviews == "nearest" else mean_half(expected, nodata=NODATA[pixels.dtype.name])
        )
        np.testing.assert_array_equal(overview, expected)
    assert overviews == "none" or max(expected.shape[1:]) <= 16


def test_the_layout_note_is_true(tmp_path):
    pixels = scene("int16", 3, 300, 200)
    pixels[1, 64:128, 64:128] = -32768
    path = write(tmp_path / "raster.tif", pixels, block_px=64)
    raw = path.read_bytes()
    assert b"BLOCK_LEADER=SIZE_AS_UINT4\nBLOCK_TRAILER=LAST_4_BYTES_REPEATED\nINTERLEAVE=TILE\n" in raw
    end_of_smaller = None
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
        for page in reversed(tiff.pages):
            grid = (3, -(-page.imagelength // 64), -(-page.imagewidth // 64))
            offsets = np.reshape(page.dataoffsets, grid).transpose(1, 2, 0)  # block row, block column, band
            sizes = np.reshape(page.databytecounts, grid).transpose(1, 2, 0)
            at = end_of_smaller or offsets[offsets > 0].min() - 4
            for offset, size in zip(offsets[sizes > 0], sizes[sizes > 0], strict=True):
                assert offset == at + 4
                assert raw[at:offset] == int(size).to_bytes(4, "little")
                at = offset + size + 4
                assert raw[at - 4 : at] == raw[at - 8 : at - 4]
            end_of_smaller = at
    assert end_of_smaller == len(raw)


def test_blocks_are_asked_for_once_in_row_order_by_the_calling_thread(tmp_path):
    pixels = scene("uint8", 1, 40, 70)
    asked = []

    def read_block(row, col):
        asked.append((row, col, threading.get_ident()))
        return blocks_of(pixels, 16)(row, col)

    write(tmp_path / "raster.tif", pixels, read_block=read_block, block_px=16)
    assert asked == [(row, col, threading.get_ident()) for row in range(3) for col in range(5)]


@pytest.mark.parametrize("overviews", ["average", "none"])
def test_a_failing_read_leaves_nothing_behind(tmp_path, monkeypatch, overviews):
    monkeypatch.setattr(cog_writer, "_SPOOL_IN_MEMORY_BYTES", 1)  # every block goes through the disk
    pixels = scene("int16", 1, 300, 200)

    def read_block(row, col):
        if row == 3:
            raise OSError("the disk is gone")
        return blocks_of(pixels, 64)(row, col)

    with pytest.raises(OSError, match="the disk is gone"):
        write(tmp_path / "raster.tif", pixels, read_block=read_block, block_px=64, overviews=overviews)
    assert list(tmp_path.iterdir()) == []


def test_spools_on_disk_and_in_memory_give_the_same_bytes(tmp_path, monkeypatch):
    pixels = scene("int16", 2, 300, 200)
    in_memory = write(tmp_path / "memory.tif", pixels, block_px=64).read_bytes()
    monkeypatch.setattr(cog_writer, "_SPOOL_IN_MEMORY_BYTES", 1)
    assert write(tmp_path / "disk.tif", pixels, block_px=64).read_bytes() == in_memory
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.tif", "memory.tif"]


@pytest.mark.parametrize(
    "block",
    [np.zeros((1, 16, 16), np.int32), np.zeros((2, 16, 16), np.int16), np.zeros((1, 9, 16), np.int16)],
)
def test_a_block_of_another_kind_is_refused_by_name(tmp_path, block):
    pixels = scene("int16", 1, 40, 40)
    with pytest.raises(GridMismatchError, match=r"raster\.tif, block \(0, 0\)"):
        write(tmp_path / "raster.tif", pixels, read_block=lambda row, col: block, block_px=16)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nodata": -32768.5}, "int16 cannot hold"),
        ({"nodata": 40_000}, "int16 cannot hold"),
        ({"nodata": float("nan")}, "int16 cannot hold"),
        ({"codec": "lzw"}, "codec lzw"),
        ({"palette": {0: (0, 0, 0)}}, "a palette for 1 bands of int16"),
        ({"block_px": 100}, "multiple of 16"),
        ({"threads": 0}, "0 threads"),
    ],
)
def test_an_impossible_raster_is_refused_with_the_reason(tmp_path, wrong, message):
    with pytest.raises(ProductError, match=message):
        write(tmp_path / "raster.tif", scene("int16", 1, 4, 4), **wrong)
