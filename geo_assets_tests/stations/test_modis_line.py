"""A MODIS region from the catalogue's items to the region's mosaic: native pixels, tiles joined at their edge."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox

from geo_assets.domain.modis_grid import SINUSOIDAL
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.rasters import raster_geobox
from geo_assets.stations.ground import ground_of
from geo_assets.stations.line import Line
from geo_assets.stations.report import month_report
from geo_assets_tests.scenery.lines import pixels_of, product_of, run_all, slices_within, small_line
from geo_assets_tests.scenery.remote_catalogues import UNSEEN, Acquisition, mcd43a4_item, modis_acquisition

WEST, EAST = "h18v04", "h19v04"
AREA = (14.2, 45.8, 14.5, 45.95)
"""The edge between the two tiles runs through its middle."""
WINDOWS = {WEST: np.s_[960:1024, 2340:2400], EAST: np.s_[960:1024, 0:60]}
UPPER, LOWER = np.s_[0:30, :], np.s_[30:64, :]


def days_of(tile: str) -> dict[str, Acquisition]:
    """One day sees the lower part, another the upper one, and a third everything by magnitude inversion alone."""
    seen = {
        day: modis_acquisition(tile, day, window=WINDOWS[tile], bands=("red", "nir"), unseen=unseen)
        for day, unseen in (("2024-06-03", UPPER), ("2024-06-20", LOWER), ("2024-06-11", None))
    }
    quality, where = seen["2024-06-11"].classes
    seen["2024-06-11"] = replace(seen["2024-06-11"], classes=(np.ones_like(quality), where))
    return seen


def local_archive(folder: Path, acquisitions: list[Acquisition]) -> Path:
    items = [mcd43a4_item(".", folder / "modiseuwest", seen) for seen in acquisitions]
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return folder


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Line:
    home = tmp_path_factory.mktemp("modis")
    may = modis_acquisition(WEST, "2024-05-31", window=WINDOWS[WEST], bands=("red", "nir"))
    seen = [may, *(one for tile in (WEST, EAST) for one in days_of(tile).values())]
    archive = local_archive(home / "archive", seen)
    line = small_line(archive, home / "store", area=AREA, resolution=500, bands=["red", "nir"])
    run_all(line)
    return line


def truth(tile: str, band: str) -> tuple[np.ndarray, GeoBox]:
    """Counts of the day that sees a pixel by full inversion, and where they lie."""
    days = days_of(tile)
    lower, where = days["2024-06-03"].bands[band]
    upper, _ = days["2024-06-20"].bands[band]
    return np.where(lower == UNSEEN, upper, lower), where


@pytest.mark.parametrize("station", ["monthly_composite", "seam_blended_mosaic"])
@pytest.mark.parametrize("tile", [WEST, EAST])
def test_a_tile_holds_the_best_pixels_of_its_days_on_its_own_grid(line, tile, station):
    product = product_of(line, station, tile)
    name = {"monthly_composite": "composite.tif", "seam_blended_mosaic": "mosaic.tif"}[station]
    assert raster_geobox(product.path(name)) == tile_geobox(tile, 500)
    for index, band in enumerate(("red", "nir")):
        expected, _ = truth(tile, band)
        assert_array_equal(pixels_of(product, name, WINDOWS[tile])[index], expected)
    assert (pixels_of(product, name)[0] != -32768).sum() == expected.size


def test_the_region_mosaic_joins_the_tiles_without_gap_or_step(line):
    product = product_of(line, "region_mosaic")
    with rasterio.open(product.path("region.tif")) as raster:
        assert raster.crs == rasterio.crs.CRS.from_user_input(SINUSOIDAL)
    whole = raster_geobox(product.path("region.tif"))
    pixels = pixels_of(product, "region.tif")
    for tile in (WEST, EAST):
        expected, where = truth(tile, "red")
        assert_array_equal(pixels[0][slices_within(where, whole)], expected)
    assert (pixels[0] != -32768).sum() == 2 * expected.size


def test_the_products_stac_items_lie_where_the_tiles_lie(line):
    for product in (product_of(line, "seam_blended_mosaic", WEST), product_of(line, "region_mosaic")):
        item = json.loads(product.bytes("item.json"))
        west, south, east, north = item["bbox"]
        assert west < AREA[0] < 14.36 < east
        assert south < AREA[1] < AREA[3] < north
        assert item["properties"]["proj:code"] is None
        assert "Sinusoidal" in item["properties"]["proj:wkt2"]
        assert item["properties"]["gsd"] == pytest.approx(463.3127165)
        assert [band["eo:center_wavelength"] for band in next(iter(item["assets"].values()))["bands"]] == [0.645, 0.859]


def test_only_items_of_the_month_and_the_tile_went_in(line):
    item = json.loads(product_of(line, "seam_blended_mosaic", WEST).bytes("item.json"))
    sources = item["properties"]["geo_assets:sources"]
    assert len(sources) == 3
    assert all(source.startswith("MCD43A4.A2024") and ".h18v04." in source for source in sources)
    assert not any(".A2024152." in source for source in sources)  # the last of May


def test_shares_count_the_area_alone(line):
    for tile in (WEST, EAST):
        assert product_of(line, "seam_blended_mosaic", tile).manifest.metrics["valid_share"] == 1.0


def test_an_area_across_the_antimeridian_has_both_ends_of_the_map(tmp_path):
    area = (179.9, 64.0, -179.9, 64.1)
    line = small_line(tmp_path / "archive", tmp_path / "store", area=area, resolution=500)
    assert set(line.region.tile_ids) == {"h10v02", "h25v02"}
    windows = {tile: ground_of(line.region, tile).extent().slices for tile in line.region.tile_ids}
    seen = {
        tile: modis_acquisition(tile, "2024-06-03", window=window, bands=("red",)) for tile, window in windows.items()
    }
    local_archive(tmp_path / "archive", list(seen.values()))
    run_all(line)
    for tile, acquisition in seen.items():
        mosaic = product_of(line, "seam_blended_mosaic", tile)
        assert mosaic.manifest.metrics["valid_share"] == 1.0
        assert_array_equal(pixels_of(mosaic, "mosaic.tif", windows[tile])[0], acquisition.bands["red"][0])
        west, _, east, _ = json.loads(mosaic.bytes("item.json"))["bbox"]
        assert -180 <= west < east <= 180
    assert product_of(line, "region_mosaic").manifest.metrics["tiles_empty"] == []


def test_a_month_s_report_says_that_tiles_are_joined_and_that_there_is_no_seam(line):
    page = month_report(line, line.region.month_list[0]).decode()
    assert "2 tiles of the MODIS sinusoidal grid" in page
    assert "No seam was measured" in page
    assert "The hardest edge" not in page
    assert "missed" not in page.partition("</style>")[2].replace('class="missed"', "missed")
