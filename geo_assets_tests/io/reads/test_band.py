"""Scenes' files as strangers write them: headers that lie, pixels that end too early, disguises."""

import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from geo_assets.domain.errors import ArchiveTransientError, AssetLostError, GeoAssetsError, GridMismatchError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.reads import band
from geo_assets.io.reads.band import BandReader, Content, open_band
from geo_assets.io.reads.byte_source import LocalFile
from geo_assets.io.reads.tiff_directory import HEAD_BYTES
from geo_assets_tests.scenery.memory_source import MemorySource

GEOBOX = tile_geobox("33TVL", 60)
PLACE = GEOBOX.transform
NODATA = -32768


def written(path: Path, pixels: np.ndarray | None = None, **profile: Any) -> Path:
    """A GeoTIFF of (band, y, x) at the tile's upper left corner, ones by default."""
    pixels = np.ones((1, 100, 100), np.uint16) if pixels is None else pixels
    count, height, width = pixels.shape
    usual = {"crs": "EPSG:32633", "transform": PLACE, "dtype": pixels.dtype}
    with rasterio.open(
        path, "w", **{"driver": "GTiff", "count": count, "height": height, "width": width, **usual, **profile}
    ) as raster:
        raster.write(pixels)
    return path


def giant(path: Path, edge_px: int, *, block_px: int, pixel_m: float = 60.0) -> Path:
    """A GeoTIFF of hardly a byte that states `edge_px` x `edge_px` pixels."""
    transform = Affine(pixel_m, 0, PLACE.c, 0, -pixel_m, PLACE.f)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=edge_px, width=edge_px, dtype="uint16", crs="EPSG:32633",
        transform=transform, tiled=True, blockxsize=block_px, blockysize=block_px, SPARSE_OK=True,
    ):  # fmt: skip
        pass
    return path


@contextmanager
def opened(
    path: Path, grid: GeoBox, content: Content, *, band: int = 1, nodata: float | None = None
) -> Iterator[BandReader]:
    where = "Item S2, band red"
    with (
        closing(LocalFile(path, where)) as source,
        open_band(source, band, grid, content, where=where, nodata=nodata) as reader,
    ):
        yield reader


def reflectance(path: Path, band: int = 1) -> np.ndarray:
    """The first block, offset -1000."""
    with opened(path, GEOBOX, "reflectance", band=band) as reader:
        return reader.reflectance(0, 0, 512, 512, offset_dn=-1000)


def classes(path: Path) -> np.ndarray:
    with opened(path, GEOBOX, "classes") as reader:
        return reader.classes(0, 0, 512, 512, fill=0)


def lost(path: Path, band: int = 1) -> str:
    """What is said of a file that cannot be used, read by block and as a coarse look."""
    messages = set()
    for look in (lambda: reflectance(path, band), lambda: coarse(path, band)):
        with pytest.raises(GeoAssetsError) as refusal:
            look()
        assert type(refusal.value) in (AssetLostError, GridMismatchError)
        messages.add(str(refusal.value))
    message = min(messages)
    assert message.startswith("Item S2, band red: ")
    assert "selection.exclude" in message
    return message


def coarse(path: Path, band: int = 1) -> np.ndarray:
    small = GEOBOX.zoom_to(resolution=600)
    with opened(path, small, "reflectance", band=band) as reader:
        return reader.coarse()


def test_without_a_stated_nodata_zero_is_none(tmp_path):
    pixels = np.full((1, 100, 100), 3000, np.uint16)
    pixels[0, :10] = 0
    found = reflectance(written(tmp_path / "red.tif", pixels))
    assert (found[:10] == NODATA).all()
    assert (found[10:100, :100] == 2000).all()
    assert (found[100:] == NODATA).all()


def test_each_band_of_a_file_of_thirteen_is_found(tmp_path):
    pixels = np.stack([np.full((40, 40), 1000 * band, np.uint16) for band in range(1, 14)])
    path = written(tmp_path / "all.tif", pixels, nodata=0)
    assert [int(reflectance(path, band)[0, 0]) for band in range(1, 14)] == [1000 * band for band in range(13)]
    assert "found 13 bands in the file, expected band 14" in lost(path, 14)


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "uint32", "complex64"])
def test_pixels_of_another_kind_are_refused(tmp_path, dtype):
    path = written(tmp_path / "red.tif", np.ones((1, 50, 50), dtype))
    assert f"found pixels of {dtype}, expected uint16 or int16" in lost(path)


def test_a_header_that_states_a_giant_is_refused_before_anything_is_allocated(tmp_path):
    message = lost(giant(tmp_path / "red.tif", 1_000_000, block_px=8192))
    assert "1000000 x 1000000 pixels" in message


def test_a_header_that_states_giant_blocks_is_refused(tmp_path):
    message = lost(giant(tmp_path / "red.tif", 60_000, block_px=32_768))
    assert "blocks of 32768 x 32768 pixels" in message


@pytest.mark.parametrize("pixel_m", [1e-6, 0.7, 61.0, 1e9])
def test_pixels_of_absurd_sizes_take_no_memory(tmp_path, pixel_m):
    transform = Affine(pixel_m, 0, PLACE.c, 0, -pixel_m, PLACE.f)
    found = reflectance(written(tmp_path / "red.tif", transform=transform))
    assert found.shape == (512, 512)


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({"crs": None}, "found no CRS in the file"),
        ({"transform": Affine(0, 0, PLACE.c, 0, 0, PLACE.f)}, "found no place in its CRS"),
        ({"transform": Affine(float("nan"), 0, PLACE.c, 0, -60, PLACE.f)}, "found no place in its CRS"),
    ],
)
def test_a_file_that_does_not_say_where_it_lies_is_refused(tmp_path, profile, said):
    assert said in lost(written(tmp_path / "red.tif", **profile))


@pytest.mark.parametrize("share", [0.0, 0.0002, 0.01, 0.5, 0.999])
def test_a_file_that_ends_too_early_is_refused(tmp_path, share):
    path = written(tmp_path / "red.tif", np.random.default_rng(1).integers(1, 999, (1, 200, 200), np.uint16))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(AssetLostError, match=r"Item S2, band red: cannot be read .* Restore the file") as refusal:
        reflectance(path)
    assert "selection.exclude" in str(refusal.value)


@pytest.mark.parametrize("name", ["red.tif", "red.jp2"])
def test_a_vrt_in_disguise_is_not_followed(tmp_path, name):
    target = written(tmp_path / "private.tif")
    (tmp_path / name).write_text(
        f"""<VRTDataset rasterXSize="100" rasterYSize="100"><SRS>EPSG:32633</SRS>
        <GeoTransform>{PLACE.c}, 60, 0, {PLACE.f}, 0, -60</GeoTransform>
        <VRTRasterBand dataType="UInt16" band="1"><SimpleSource>
        <SourceFilename>{target}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""
    )
    with rasterio.open(tmp_path / name) as followed:  # the disguise is sound: GDAL by itself would follow it
        assert followed.read(1).min() == 1
    assert "cannot be read" in lost(tmp_path / name)


def test_what_a_stranger_lays_beside_a_file_changes_nothing(tmp_path):
    path = written(tmp_path / "red.tif", nodata=0)
    alone = reflectance(path)
    (tmp_path / "red.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>1</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    (tmp_path / "red.tif.msk").write_text("<VRTDataset/>")
    (tmp_path / "red.tif.ovr").write_text("<VRTDataset/>")
    assert (reflectance(path) == alone).all()
    assert (coarse(path) != NODATA).any()


def test_a_page_of_html_in_place_of_pixels_is_refused(tmp_path):
    (tmp_path / "red.tif").write_text("<html>Please log in</html>")
    assert "not recognized" in lost(tmp_path / "red.tif")


def test_a_nodata_value_that_pixels_cannot_have_is_refused(tmp_path):
    path = written(tmp_path / "red.tif", nodata=0)
    content = path.read_bytes()
    field = struct.pack("<HHI", 42113, 2, 2)  # GDAL_NODATA, text of two characters
    assert content.count(field) == 1
    place = content.index(field)
    path.write_bytes(content[:place] + struct.pack("<HHI", 42113, 2, 4) + b"0.5\0" + content[place + 12 :])
    assert "nodata 0.5, expected a value of uint16" in lost(path)


@pytest.mark.parametrize(("dtype", "value"), [("uint16", 300), ("int16", -5)])
def test_a_class_that_is_no_byte_is_refused_rather_than_wrapped(tmp_path, dtype, value):
    path = written(tmp_path / "scl.tif", np.full((1, 50, 50), value, dtype))
    with pytest.raises(AssetLostError, match=rf"holds .*{value}.*expected classes of 0 to 255"):
        classes(path)


def test_classes_in_wider_integers_are_read(tmp_path):
    found = classes(written(tmp_path / "scl.tif", np.full((1, 50, 50), 11, np.int16)))
    assert found.dtype == np.uint8
    assert (found[:50, :50] == 11).all()
    assert (found[50:] == 0).all()


def test_a_catalogue_may_know_the_nodata_that_a_file_does_not_state(tmp_path):
    pixels = np.full((1, 100, 100), 3000, np.int16)
    pixels[0, :10] = 32767
    path = written(tmp_path / "red.tif", pixels, nodata=0)
    with opened(path, GEOBOX, "reflectance", nodata=32767) as reader:
        found = reader.reflectance(0, 0, 512, 512, offset_dn=0)
    assert (found[:10] == NODATA).all()
    assert (found[10:100, :100] == 3000).all()


@pytest.mark.parametrize("nodata", [0.5, -1, 65_536])
def test_a_catalogues_nodata_that_pixels_cannot_have_is_refused(tmp_path, nodata):
    path = written(tmp_path / "red.tif")
    with (
        pytest.raises(AssetLostError, match=f"the catalogue states nodata {nodata:g}, expected a value of uint16"),
        opened(path, GEOBOX, "reflectance", nodata=nodata),
    ):
        pass


def ramp(height: int, width: int) -> np.ndarray:
    """(1, y, x) uint16, unlike in every pixel, nodata in a corner."""
    pixels = (np.arange(height)[:, np.newaxis] * 7 + np.arange(width) * 3 + 1).astype(np.uint16)
    pixels[: height // 3, : width // 3] = 0
    return pixels[np.newaxis]


OTHERWISE_STORED = [
    {"driver": "GTiff", "compress": "lzma", "tiled": True},
    {"driver": "GTiff", "NBITS": 15},
    {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"},
]


@pytest.mark.parametrize("pixel_m", [10, 20, 60, 180, 61])
@pytest.mark.parametrize("stored", OTHERWISE_STORED, ids=str)
def test_what_gdal_must_decode_gives_the_same_counts_and_classes(tmp_path, stored, pixel_m):
    how = {"transform": Affine(pixel_m, 0, PLACE.c, 0, -pixel_m, PLACE.f)}
    found: dict[str, list[np.ndarray]] = {"plain.tif": [], "other.jp2": []}
    for name, windows in found.items():
        stored_so = how | ({} if name == "plain.tif" else stored)
        path = written(tmp_path / f"red_{name}", ramp(300, 260), **stored_so)
        with opened(path, GEOBOX, "reflectance", nodata=0) as reader:
            windows += [reader.reflectance(row, 0, 40, 64, offset_dn=-1) for row in (0, 40)]
        path = written(tmp_path / f"scl_{name}", ramp(300, 260) % 12, **stored_so)
        with opened(path, GEOBOX, "classes", nodata=0) as reader:
            windows.append(reader.classes(3, 5, 40, 64, fill=99))
    for plain, other in zip(*found.values(), strict=True):
        assert_array_equal(plain, other)


@pytest.mark.parametrize("stored", [{}, OTHERWISE_STORED[0], OTHERWISE_STORED[2]], ids=str)
def test_a_source_that_fails_says_so_itself(tmp_path, stored):
    noise = np.random.default_rng(2).integers(1, 4_000, (1, 400, 400), np.uint16)
    source = MemorySource.of(written(tmp_path / "red.jp2", noise, **stored))
    slow = ArchiveTransientError("slow today")
    with open_band(source, 1, GEOBOX, "reflectance", where="Item S2, band red") as reader:
        source.failure = slow
        with pytest.raises(ArchiveTransientError) as failure:
            reader.reflectance(0, 0, 400, 400, offset_dn=0)
    assert failure.value is slow


def test_a_jpeg_2000_that_ends_too_early_is_lost(tmp_path):
    path = written(tmp_path / "red.jp2", ramp(300, 300), **OTHERWISE_STORED[2])
    content = path.read_bytes()
    for share in (0.0, 0.001, 0.3, 0.99):
        path.write_bytes(content[: int(share * len(content))])
        assert "cannot be read" in lost(path)


def pyramid(path: Path, pixels: np.ndarray, **profile: Any) -> Path:
    """A GeoTIFF of 10 m pixels with overviews of 20 m to 160 m, at the tile's upper left corner."""
    usual = {"transform": Affine(10, 0, PLACE.c, 0, -10, PLACE.f), "nodata": 0, "tiled": True, "compress": "deflate"}
    written(path, pixels, **{**usual, "blockxsize": 128, "blockysize": 128, **profile})
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews([2, 4, 8, 16], Resampling.nearest if pixels.dtype == np.uint8 else Resampling.average)
    return path


def by_gdal(path: Path, grid: GeoBox, resampling: Resampling) -> np.ndarray:
    """The overview of 160 m on a grid."""
    with (
        rasterio.open(path, overview_level=3) as raster,
        WarpedVRT(
            raster, crs=str(grid.crs), transform=grid.transform, height=grid.shape[0], width=grid.shape[1],
            resampling=resampling, src_nodata=0, nodata=0, tolerance=1e-3,
        ) as warped,
    ):  # fmt: skip
        counts: np.ndarray = warped.read(1)
    return counts


COARSE_GRIDS = [
    GEOBOX.zoom_to(resolution=300)[:40, :40],
    GEOBOX.zoom_to(resolution=180)[3:60, 5:70],
    GeoBox((30, 30), Affine(170, 0, PLACE.c - 1_234, 0, -170, PLACE.f + 777), "EPSG:32633"),
]


@pytest.mark.parametrize("grid", COARSE_GRIDS, ids=str)
def test_a_coarse_look_is_gdals_average_of_a_part_of_the_bytes(tmp_path, grid):
    random = np.random.default_rng(4)
    pixels = (ramp(1_000, 1_000) + random.integers(0, 50, (1, 1_000, 1_000))).astype(np.uint16)
    pixels[0, :300, :300] = 0
    path = pyramid(tmp_path / "red.tif", pixels)
    source = MemorySource.of(path)
    with open_band(source, 1, grid, "reflectance", where="Item S2, band red") as reader:
        found = reader.coarse(offset_dn=0)
    expected = by_gdal(path, grid, Resampling.average).astype(np.int16)
    assert_array_equal(found == NODATA, expected == 0)
    seen = expected != 0
    assert np.abs(found[seen] - expected[seen]).max() <= 1
    assert source.bytes_read - HEAD_BYTES < source.size / 20


@pytest.mark.parametrize("grid", COARSE_GRIDS, ids=str)
def test_a_coarse_look_at_classes_takes_gdals_nearest_of_a_part_of_the_bytes(tmp_path, grid):
    pixels = np.random.default_rng(5).integers(1, 12, (1, 1_000, 1_000), np.uint8)
    pixels[0, 500:] = 0
    path = pyramid(tmp_path / "scl.tif", pixels)
    source = MemorySource.of(path)
    with open_band(source, 1, grid, "classes", where="Item S2, band scl") as reader:
        found = reader.coarse_classes(fill=0)
    assert_array_equal(found, by_gdal(path, grid, Resampling.nearest))
    assert source.bytes_read - HEAD_BYTES < source.size / 20


@pytest.mark.parametrize("stored", [{}, {"compress": "lzma"}], ids=str)
def test_a_coarse_look_from_another_zone_reads_no_full_resolution(tmp_path, stored):
    noise = np.random.default_rng(6).integers(2_000, 2_100, (1, 1_000, 1_000), np.uint16)
    source = MemorySource.of(pyramid(tmp_path / "red.tif", noise, **stored))
    west, _, _, north = rasterio.warp.transform_bounds("EPSG:32633", "EPSG:32632", *COARSE_GRIDS[0].boundingbox.bbox)
    grid = GeoBox((45, 45), Affine(300, 0, west, 0, -300, north), "EPSG:32632")
    with open_band(source, 1, grid, "reflectance", where="Item S2, band red") as reader:
        found = reader.coarse(offset_dn=0)
    assert found[found != NODATA].mean() == pytest.approx(2_050, abs=5)
    assert 0.5 < (found != NODATA).sum() * 9e4 / 1e8 < 1.5
    assert source.bytes_read - HEAD_BYTES < source.size / 20


def test_a_coarse_look_is_the_same_in_slabs(tmp_path, monkeypatch):
    path = pyramid(tmp_path / "red.tif", ramp(1_000, 1_000))
    looks = []
    for limit_px in (4 << 20, 5_000):
        monkeypatch.setattr(band, "_COARSE_LOOK_PX", limit_px)
        with opened(path, COARSE_GRIDS[0], "reflectance") as reader:
            looks.append(reader.coarse())
    assert_array_equal(*looks)


@pytest.mark.parametrize("pixel_m", [1e-150, 1e-6, 1e-2, 61.0, 1e9, 1e150])
@pytest.mark.parametrize("place", [(PLACE.c, PLACE.f), (1e300, -1e300), (0.0, 0.0)])
def test_a_coarse_look_at_pixels_of_absurd_sizes_and_places_takes_no_memory(tmp_path, pixel_m, place):
    transform = Affine(pixel_m, 0, place[0], 0, -pixel_m, place[1])
    path = written(tmp_path / "scl.tif", np.ones((1, 100, 100), np.uint8), transform=transform)
    small = GEOBOX.zoom_to(resolution=600)
    for content in ("classes", "reflectance"):
        with suppress(AssetLostError), opened(path, small, content) as reader:
            found = reader.coarse_classes(fill=0)
            assert found.shape == reader.classes(0, 0, *small.shape, fill=0).shape == small.shape


def test_the_sinusoidal_grid_is_one_however_it_is_spelled(tmp_path):
    metres = 463.3127165279165
    place = Affine(metres, 0, 20 * metres, 0, -metres, 5_000_000)
    ours = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
    theirs = (
        'PROJCS["unnamed",GEOGCS["Unknown datum based upon the custom spheroid",DATUM["Not specified (based on custom '
        'spheroid)",SPHEROID["Custom spheroid",6371007.181,0]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
        ',PROJECTION["Sinusoidal"],PARAMETER["longitude_of_center",0],PARAMETER["false_easting",0],'
        'PARAMETER["false_northing",0],UNIT["Meter",1]]'
    )
    pixels = ramp(40, 40)
    path = written(tmp_path / "red.tif", pixels, crs=theirs, transform=place, nodata=0)
    with opened(path, GeoBox((40, 40), place, ours), "reflectance") as reader:
        found = reader.reflectance(0, 0, 40, 40, offset_dn=0)
    assert_array_equal(np.where(found == NODATA, 0, found), pixels[0])


def test_a_rotated_file_is_warped(tmp_path):
    turned = Affine(0, 60, PLACE.c, -60, 0, PLACE.f)  # columns run south, rows east
    path = written(tmp_path / "red.tif", ramp(50, 50), transform=turned, nodata=0)
    with opened(path, GEOBOX, "classes") as reader:
        assert_array_equal(reader._warp(0, 0, 50, 50), ramp(50, 50)[0].T)
