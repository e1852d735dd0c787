"""TIFF headers: what they may say, and what strangers make them say."""

import struct

import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.domain.errors import AssetLostError
from geo_assets.io.reads.tiff_directory import HEAD_BYTES, Header, TiffFile, UnsupportedTiffError, read_directories
from geo_assets.io.reads.tiff_pixels import TiffPixels
from geo_assets_tests.scenery.memory_source import MemorySource
from geo_assets_tests.scenery.tiff_bytes import (
    ASCII,
    BYTE,
    DOUBLE,
    LONG,
    LONG8,
    PIXELS_AT,
    SHORT,
    one_block,
    tiff_bytes,
)

UTM_33 = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633]
PLACED = {
    33550: (DOUBLE, [10.0, 10.0, 0.0]),
    33922: (DOUBLE, [0.0, 0.0, 0.0, 500_000.0, 5_000_000.0, 0.0]),
    34735: (SHORT, UTM_33),
}


def parsed(content: bytes) -> TiffFile:
    source = MemorySource(content)
    return read_directories(Header(source, source.head(HEAD_BYTES)))


def refused(content: bytes) -> str:
    with pytest.raises(AssetLostError) as refusal:
        parsed(content)
    message = str(refusal.value)
    assert message.startswith("Item S2, band red: ")
    assert "selection.exclude" in message
    return message


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_both_byte_orders_and_both_sizes_say_the_same(order, big):
    file = parsed(tiff_bytes(one_block() | PLACED | {42113: (ASCII, b"17\0")}, order=order, big=big))
    (level,) = file.levels
    assert (level.width, level.height, level.block_width, level.block_height, level.tiled) == (8, 4, 8, 4, False)
    assert (file.crs, file.nodata, file.dtype.name, file.samples) == ("EPSG:32633", 17.0, "uint8", 1)
    assert file.transform == Affine(10, 0, 500_000, 0, -10, 5_000_000)


def test_what_is_missing_is_what_tiff_6_says_it_is():
    fields = one_block()
    for code in (277, 278, 259):  # samples a pixel, rows a strip, compression
        del fields[code]
    (level,) = parsed(tiff_bytes(fields)).levels
    assert (level.samples, level.block_height, level.compression, level.predictor) == (1, 4, 1, 1)
    assert level.dtype == "uint8"  # no SampleFormat


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({33550: (DOUBLE, [10, 20, 0]), 33922: (DOUBLE, [0, 0, 0, 5, 6, 0])}, Affine(10, 0, 5, 0, -20, 6)),
        ({33550: (DOUBLE, [10, 20, 0]), 33922: (DOUBLE, [1, 2, 0, 5, 6, 0])}, Affine(10, 0, -5, 0, -20, 46)),
        ({34264: (DOUBLE, [0, 3, 0, 5, 2, 0, 0, 6, *[0] * 8])}, Affine(0, 3, 5, 2, 0, 6)),
        ({33550: (DOUBLE, [10, 20, 0])}, None),
        ({33550: (DOUBLE, [0, 0, 0]), 33922: (DOUBLE, [0, 0, 0, 5, 6, 0])}, None),
        ({34264: (DOUBLE, [float("nan"), 0, 0, 5, 0, 1, 0, 6, *[0] * 8])}, None),
        ({}, None),
    ],
)
def test_a_transform_is_taken_as_gdal_takes_it(fields, expected):
    assert parsed(tiff_bytes(one_block() | fields)).transform == expected


def test_pixels_that_are_points_lie_half_a_pixel_further():
    keys = UTM_33.copy()
    keys[11] = 2
    assert parsed(tiff_bytes(one_block() | PLACED | {34735: (SHORT, keys)})).transform == Affine(
        10, 0, 499_995, 0, -10, 5_000_005
    )


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:4326",
        "EPSG:32733",
        "EPSG:3035",
        "+proj=sinu +lon_0=0 +R=6371007.181 +units=m +no_defs",
        "+proj=laea +lat_0=11 +lon_0=12 +datum=WGS84 +units=us-ft +no_defs",
    ],
)
@pytest.mark.parametrize("point", [False, True])
def test_crs_and_transform_are_those_that_gdal_reads(tmp_path, crs, point):
    path = tmp_path / "placed.tif"
    place = Affine(463.3127165, 0, -1_111_950.519667, 0, -463.3127165, 5_559_752.598333)
    with rasterio.open(
        path, "w", driver="GTiff", width=7, height=5, count=1, dtype="int16", crs=crs, transform=place, nodata=32767
    ) as raster:
        if point:
            raster.update_tags(AREA_OR_POINT="Point")
    file = parsed(path.read_bytes())
    with rasterio.open(path) as raster:
        assert (file.crs, file.nodata) == (str(raster.crs), raster.nodata)
        assert file.transform is not None
        assert file.transform.almost_equals(raster.transform, 1e-9)


def test_overviews_are_found_and_masks_and_other_pages_are_not():
    half, mask, page = one_block(4, 2), one_block(8, 4), one_block(2, 2)
    half[254], mask[254] = (LONG, [1]), (LONG, [4])
    other = one_block(4, 2) | {254: (LONG, [1]), 258: (SHORT, [16])}
    file = parsed(tiff_bytes(one_block() | PLACED, mask, half, page, other))
    assert [(level.number, level.width, level.height) for level in file.levels] == [(0, 8, 4), (1, 4, 2)]
    assert file.level_transform(file.levels[1]) == Affine(20, 0, 500_000, 0, -20, 5_000_000)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({256: (LONG, [0])}, "0 x 4 pixels"),
        ({257: (LONG, [4_000_000_000])}, "8 x 4000000000 pixels"),
        ({277: (SHORT, [65])}, "65 bands"),
        ({278: (LONG, [0])}, "blocks of 8 x 0 pixels"),
        ({322: (LONG, [16])}, "blocks of 16 x 0 pixels"),
        ({322: (LONG, [1 << 31]), 323: (LONG, [1 << 31])}, "blocks of 2147483648 x 2147483648 pixels"),
        ({273: (LONG, [16, 16])}, "field 273 lists 2 values of type 4, expected one for each of 1 blocks"),
        ({279: (LONG, [32, 32, 32])}, "field 279 lists 3 values"),
        ({279: (DOUBLE, [32.0])}, "field 279 lists 1 values of type 12"),
        ({256: (DOUBLE, [8.0])}, "field 256 holds 1 values of type 12"),
        ({33550: (DOUBLE, [10, -10, 0]), 33922: (DOUBLE, [0] * 6)}, "negative pixel height of -10"),
        ({42113: (ASCII, b"none\0")}, "nodata 'none'"),
        ({34735: (SHORT, [1, 1, 0, 1, 3072, 34736, 1, 900, 1024, 0, 1, 1])}, "its CRS"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(changed, said):
    assert said in refused(tiff_bytes(one_block() | changed))


def test_without_block_positions_a_file_is_refused():
    fields = one_block()
    del fields[273], fields[279]
    assert "field 273 lists nothing" in refused(tiff_bytes(fields))


@pytest.mark.parametrize("count", [2**32 - 1, 2**20])
def test_a_count_of_billions_costs_nothing(count):
    content = tiff_bytes(one_block(), big=True)
    field = struct.pack("<HHQ", 273, LONG, 1)
    assert content.count(field) == 1
    assert "field 273" in refused(content.replace(field, struct.pack("<HHQ", 273, LONG, count)))


def test_a_table_of_blocks_beyond_the_end_of_the_file_is_refused_before_it_is_read():
    many = {322: (LONG, [1]), 323: (LONG, [1]), 256: (LONG, [60_000]), 257: (LONG, [60_000])}
    content = tiff_bytes(one_block() | many, big=True)
    for code in (273, 279):
        content = content.replace(struct.pack("<HHQ", code, LONG, 1), struct.pack("<HHQ", code, LONG, 60_000**2))
    assert "fills 14400000000 bytes" in refused(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not recognized as a TIFF"),
        (b"II*\0", "not recognized as a TIFF"),
        (b"<html>Please log in</html>", "not recognized as a TIFF"),
        (b"II*\0\0\0\0\0", "it has no directory"),
        (b"II*\0\xff\xff\xff\xff", "points to bytes 4294967295"),
        (b"MM\0+\0\x08\0\0" + b"\xff" * 8, "points to bytes 18446744073709551615"),
        (b"II+\0\x04\0\0\0" + b"\x10" * 8, "not recognized as a TIFF"),
        (b"II*\0\x08\0\0\0\0\0", "states 0 fields"),
        (b"II*\0\x08\0\0\0\xff\xff", "states 65535 fields"),
        (b"II*\0\x08\0\0\0\x09\0", "points to bytes 10"),
    ],
)
def test_what_is_no_tiff_or_ends_in_its_header_is_refused(content, said):
    assert said in refused(content)


def test_directories_that_run_in_a_circle_are_refused():
    at = PIXELS_AT + 32
    assert f"run in a circle at byte {at}" in refused(tiff_bytes(one_block(), one_block(), then=at))


def test_directories_without_end_are_refused():
    assert "more than 64 directories" in refused(tiff_bytes(*[one_block()] * 65))


@pytest.mark.parametrize(
    "changed",
    [
        {259: (SHORT, [7])},  # JPEG
        {258: (SHORT, [1])},
        {258: (SHORT, [64])},
        {339: (SHORT, [6])},  # complex
        {262: (SHORT, [6])},  # YCbCr
        {266: (SHORT, [2])},  # bits the other way round
        {259: (SHORT, [8]), 317: (SHORT, [3])},  # predictor of floats
        {259: (SHORT, [8]), 317: (SHORT, [9])},
        {259: (LONG, [34887]), 50674: (LONG, [4, 9])},
        {277: (SHORT, [2]), 258: (SHORT, [8, 16])},
    ],
)
def test_a_sound_file_of_another_kind_is_left_to_gdal(changed):
    with pytest.raises(UnsupportedTiffError):
        parsed(tiff_bytes(one_block() | changed))


def test_without_sizes_of_blocks_gdal_may_guess():
    fields = one_block()
    del fields[279]
    with pytest.raises(UnsupportedTiffError):
        parsed(tiff_bytes(fields))


def test_a_predictor_means_nothing_without_a_compression_that_takes_it():
    (level,) = parsed(tiff_bytes(one_block() | {317: (SHORT, [2])})).levels
    assert level.predictor == 1


def test_fields_of_unknown_types_are_skipped():
    content = tiff_bytes(one_block() | {65000: (BYTE, [1])})
    unknown = content.replace(struct.pack("<HH", 65000, BYTE), struct.pack("<HH", 65000, 99))
    assert parsed(unknown).samples == 1


def test_a_usual_file_costs_one_request():
    source = MemorySource(tiff_bytes(one_block() | PLACED))
    pixels = TiffPixels(source)
    pixels.table(pixels.file.levels[0])
    assert source.spans == [(0, source.size)]


def test_a_directory_at_the_end_of_a_file_costs_one_more():
    pixels = bytes(200_000)
    fields = one_block(1_000, 200) | PLACED
    source = MemorySource(tiff_bytes(fields, pixels=pixels))
    tiff = TiffPixels(source)
    tiff.table(tiff.file.levels[0])
    assert len(source.spans) == 2
    assert source.bytes_read < HEAD_BYTES + 2_000


def test_long_tables_of_blocks_are_read_when_their_level_is_asked_for():
    number = 60_000
    full = one_block(1, number) | PLACED
    full |= {278: (LONG, [1]), 273: (LONG8, [16] * number), 279: (LONG8, [1] * number)}
    source = MemorySource(tiff_bytes(full, big=True))
    tiff = TiffPixels(source)
    assert source.bytes_read < 2 * HEAD_BYTES
    tiff.table(tiff.file.levels[0])
    tiff.table(tiff.file.levels[0])
    assert len(source.spans) <= 4
    assert source.bytes_read < 2 * HEAD_BYTES + 2 * 8 * number


SOUND = tiff_bytes(one_block() | PLACED, one_block(4, 2) | {254: (LONG, [1])})


@settings(max_examples=300)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(SOUND) - 1), st.sampled_from([0, 1, 2, 4, 16, 127, 128, 255])),
        min_size=1,
        max_size=6,
    ),
    end=st.integers(0, len(SOUND)),
    cut=st.booleans(),
)
def test_whatever_a_header_is_turned_into_it_is_read_or_refused(changes, end, cut):
    content = bytearray(SOUND)
    for position, value in changes:
        content[position] = value
    try:
        tiff = TiffPixels(MemorySource(bytes(content[:end] if cut else content)))
        for level in tiff.file.levels:
            assert tiff.window(level, -1, -1, 5, 5).shape == (5, 5)
    except (AssetLostError, UnsupportedTiffError):
        pass
