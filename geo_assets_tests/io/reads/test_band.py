"""Scenes' files as strangers write them: headers that lie, pixels that end too early, disguises."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from geo_assets.domain.errors import AssetLostError, GeoAssetsError, GridMismatchError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.cog import open_band

GEOBOX = tile_geobox("33TVL", 60)
PLACE = GEOBOX.transform
NODATA = -32768


def written(path: Path, pixels: np.ndarray | None = None, **profile: Any) -> Path:
    """A GeoTIFF of (band, y, x) at the tile's upper left corner, ones by default."""
    pixels = np.ones((1, 100, 100), np.uint16) if pixels is None else pixels
    count, height, width = pixels.shape
    usual = {"crs": "EPSG:32633", "transform": PLACE, "dtype": pixels.dtype}
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, **{**usual, **profile}
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


def reflectance(path: Path, band: int = 1) -> np.ndarray:
    """The first block, offset -1000."""
    with open_band(str(path), band, GEOBOX, "reflectance", where="Item S2, band red") as reader:
        return reader.reflectance(0, 0, 512, 512, offset_dn=-1000)


def classes(path: Path) -> np.ndarray:
    with open_band(str(path), 1, GEOBOX, "classes", where="Item S2, band scl") as reader:
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
    with open_band(str(path), band, small, "reflectance", where="Item S2, band red") as reader:
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


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint32", "complex64"])
def test_pixels_of_another_kind_are_refused(tmp_path, dtype):
    path = written(tmp_path / "red.tif", np.ones((1, 50, 50), dtype))
    assert f"found pixels of {dtype}, expected uint8, uint16, int16" in lost(path)


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
