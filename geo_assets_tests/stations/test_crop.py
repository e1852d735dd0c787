"""Pieces of a region's mosaic: its own pixels, cut along an area."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from numpy.testing import assert_array_equal
from rasterio.features import geometry_mask
from rasterio.warp import transform_geom

import geo_assets as ga
from geo_assets.cli.door import main
from geo_assets.domain.errors import MissingProductError, ProductError, RegionError, ResourceError
from geo_assets.io import free_space
from geo_assets.stations.line import Line
from geo_assets_tests.scenery.composites import composite_line, noise, put_composite, run_mosaics
from geo_assets_tests.scenery.lines import pixels_of, product_of

NODATA = -32768
BANDS = ["red", "green", "blue", "nir"]
TRIANGLE = shapely.Polygon([(14.95, 45.62), (15.11, 45.63), (15.02, 45.69)])
SETTINGS = {
    "name": "small", "archive": "demo", "area": [14.93, 45.60, 15.13, 45.70], "bands": BANDS, "resolution": 60,
    "months": {"first": "2024-06", "last": "2024-07"}, "mosaic": {"feather_m": 1200},
}  # fmt: skip


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Line:
    line = composite_line(tmp_path_factory.mktemp("crop") / "store", **{**SETTINGS, "months": {
        "first": "2024-06", "last": "2024-06"}})  # fmt: skip
    for tile in line.region.tile_ids:
        put_composite(line, tile, noise(tile, bands=4))
    run_mosaics(line)
    return line


def read(path: Path) -> tuple[np.ndarray, rasterio.Affine]:
    with rasterio.open(path) as raster:
        return raster.read(), raster.transform


def of_the_region(line: Line, path: Path) -> np.ndarray:
    """The region's pixels on the ground of a piece."""
    product = product_of(line, "region_mosaic")
    pixels, whole = pixels_of(product, "region.tif"), read(product.path("region.tif"))[1]
    piece, transform = read(path)
    row, col = round((whole.f - transform.f) / 60), round((transform.c - whole.c) / 60)
    return pixels[:, row : row + piece.shape[1], col : col + piece.shape[2]]


def test_a_piece_has_the_regions_pixels_inside_of_the_area_and_none_outside(line, tmp_path):
    path = ga.crop_mosaic(line, "2024-06", TRIANGLE, tmp_path / "piece.tif")
    pixels, transform = read(path)
    shape = transform_geom("EPSG:4326", "EPSG:32633", shapely.segmentize(TRIANGLE, 0.01))
    inside = geometry_mask([shape], pixels.shape[1:], transform, invert=True)
    assert_array_equal(pixels, np.where(inside, of_the_region(line, path), NODATA))
    assert inside.sum() > 5000
    with rasterio.open(path) as raster:
        assert raster.descriptions == tuple(BANDS)
        tags = raster.tags()
    assert tags["FINGERPRINT"] == product_of(line, "region_mosaic").manifest.fingerprint
    assert "Copernicus" in tags["ATTRIBUTION"]


def test_a_piece_may_keep_its_rectangle_and_have_some_bands_in_any_order(line, tmp_path):
    path = ga.crop_mosaic(line, "2024-06", TRIANGLE, tmp_path / "piece.tif", bands=["nir", "red"], bbox_only=True)
    assert_array_equal(read(path)[0], of_the_region(line, path)[[3, 0]])


def test_heights_of_an_area_are_left_out(line, tmp_path):
    pieces = [ga.crop_mosaic(line, "2024-06", area, tmp_path / f"{area.has_z}.tif") for area in (
        TRIANGLE, shapely.force_3d(TRIANGLE, 300.0))]  # fmt: skip
    assert_array_equal(read(pieces[0])[0], read(pieces[1])[0])


def test_a_piece_never_takes_the_place_of_the_whole(line):
    whole = product_of(line, "region_mosaic").path("region.tif")
    before = whole.read_bytes()
    with pytest.raises(RegionError, match="is the mosaic itself"):
        ga.crop_mosaic(line, "2024-06", TRIANGLE, whole)
    assert whole.read_bytes() == before


BOWTIE = shapely.Polygon([(15, 45.6), (15.1, 45.7), (15.1, 45.6), (15, 45.7)])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"area": shapely.box(16, 45, 16.1, 45.1)}, "holds no pixel of the mosaic of region small"),
        ({"area": shapely.box(15.00001, 45.65001, 15.00002, 45.65002)}, "holds no pixel"),
        ({"area": BOWTIE}, "an invalid Polygon"),
        ({"area": shapely.Point(15, 45.65)}, "an empty Point"),
        ({"area": shapely.box(500_000, 5_000_000, 510_000, 5_010_000)}, "expected degrees"),
        ({"month": "2024-07"}, "is not one of region small's, expected 2024-06 to 2024-06"),
        ({"bands": ["red", "swir16"]}, "Bands red, swir16: expected some of red, green, blue, nir"),
        ({"bands": []}, "Bands none"),
    ],
)
def test_a_piece_that_cannot_be_is_refused_and_nothing_written(line, tmp_path, changes, said):
    asked = {"month": "2024-06", "area": TRIANGLE, "output": tmp_path / "piece.tif", **changes}
    with pytest.raises(RegionError, match=said):
        ga.crop_mosaic(line, **asked)
    assert list(tmp_path.iterdir()) == []


def test_a_month_that_is_not_built_or_empty_is_told(tmp_path):
    line = composite_line(tmp_path / "store", **SETTINGS)
    with pytest.raises(MissingProductError, match=r"2024-07: its mosaic is not made\. Run `geo-assets backfill`"):
        ga.crop_mosaic(line, "2024-07", TRIANGLE, tmp_path / "piece.tif")
    line = composite_line(tmp_path / "store", **{**SETTINGS, "months": {"first": "2024-06", "last": "2024-06"}})
    for tile in line.region.tile_ids:
        put_composite(line, tile, None)
    run_mosaics(line)
    with pytest.raises(ProductError, match="its mosaic is empty"):
        ga.crop_mosaic(line, "2024-06", TRIANGLE, tmp_path / "piece.tif")


def test_a_full_disk_and_an_absent_folder_are_told(line, tmp_path, monkeypatch):
    with pytest.raises(ResourceError, match="cannot be written"):
        ga.crop_mosaic(line, "2024-06", TRIANGLE, tmp_path / "absent" / "piece.tif")
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(free_space.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ResourceError, match=r"GB free.*smaller area"):
        ga.crop_mosaic(line, "2024-06", TRIANGLE, tmp_path / "piece.tif")


def call(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["crop", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_the_command_writes_the_same_piece(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("items.json").write_text('{"type": "FeatureCollection", "features": []}')
    june = {"archive": "local:items.json", "months": {"first": "2024-06", "last": "2024-06"}}
    Path("small.yaml").write_text(json.dumps({**SETTINGS, **june}))
    Path("area.geojson").write_text(json.dumps(shapely.geometry.mapping(TRIANGLE)))
    monkeypatch.setenv("GEO_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GEO_ASSETS_STORE", str(line.products.store.url))
    code, said = call("small.yaml", "2024-06", "area.geojson", "-o", "piece.tif")
    assert code == 0, said
    assert "piece.tif (" in said
    expected = ga.crop_mosaic(line, "2024-06", TRIANGLE, tmp_path / "expected.tif")
    assert Path("piece.tif").read_bytes() == expected.read_bytes()
    assert call("small.yaml", "area.geojson", "-o", "other.tif")[0] == 2
    Path("area.geojson").write_text('{"type": "Point", "coordinates": [15, 45]}')
    code, said = call("small.yaml", "2024-06", "area.geojson", "-o", "other.tif")
    assert (code, "is a Point" in said) == (2, True)
    assert not Path("other.tif").exists()
