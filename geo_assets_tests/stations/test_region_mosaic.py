"""The region in one piece: as a file, as a virtual one, as a collection; and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import ProductError, ResourceError
from geo_assets.io import free_space
from geo_assets.io.places import Place
from geo_assets.io.products import Product, Products
from geo_assets.io.rasters import raster_facts
from geo_assets.stations.line import Line, run_station
from geo_assets.stations.region_mosaic import REGION_MOSAIC, region_figures
from geo_assets.stations.region_sheet import region_sheet, row_units
from geo_assets_tests.scenery.composites import composite_line, noise, put_composite, run_mosaics
from geo_assets_tests.scenery.lines import pixels_of, product_of, store_bytes
from geo_assets_tests.scenery.valley_line import NAME, Runs

BANDS = ["blue", "green", "red"]
AREA = (14.93, 45.60, 15.13, 45.70)
TILES = ("33TVL", "33TWL")
NODATA = -32768


def made_line(store: Path, *, last: str = "region_mosaic") -> Line:
    line = composite_line(store, area=AREA, bands=BANDS, mosaic={"feather_m": 1200}, unit_blocks=1)
    for tile in TILES:
        put_composite(line, tile, noise(tile, bands=3))
    run_mosaics(line, last=last)
    return line


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Line:
    return made_line(tmp_path_factory.mktemp("region"))


@pytest.fixture
def product(line) -> Product:
    return product_of(line, "region_mosaic")


@pytest.fixture
def unmade(line, tmp_path) -> tuple[Line, Place]:
    """A copy of the line's store in which the region's mosaic is still to be made."""
    copied = composite_line(tmp_path / "store", area=AREA, bands=BANDS, mosaic={"feather_m": 1200}, unit_blocks=1)
    shutil.copytree(line.products.store.url, tmp_path / "store")
    place = Place(REGION_MOSAIC.name, None, line.region.month_list[0])
    shutil.rmtree(tmp_path / "store" / "small" / place.folder)
    return copied, place


def test_the_virtual_raster_shows_the_same_pixels_from_the_tiles_files(line, product, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(line.products.store.url, moved)  # its paths are relative
    with rasterio.open(moved / "small" / product.place.folder / "region.vrt") as virtual:
        assert_array_equal(virtual.read(), pixels_of(product, "region.tif"))
        assert virtual.descriptions == tuple(BANDS)
        assert [colour.name for colour in virtual.colorinterp] == BANDS
        assert virtual.nodata == NODATA
        facts = raster_facts(product.path("region.tif"))
        assert (virtual.transform, virtual.shape) == (facts.geobox.transform, facts.geobox.shape)
        assert {Path(file).parents[1].name for file in virtual.files[1:]} == set(TILES)


def test_the_file_says_what_it_is_and_whose_data_it_holds(product):
    facts = raster_facts(product.path("region.tif"))
    assert (facts.names, facts.nodata) == (tuple(BANDS), NODATA)
    assert facts.tags["FINGERPRINT"] == product.manifest.fingerprint
    assert facts.tags["ATTRIBUTION"] == "Contains modified Copernicus Sentinel data [2024]"
    with rasterio.open(product.path("region.tif")) as raster:
        assert [colour.name for colour in raster.colorinterp] == ["blue", "green", "red"]
        assert raster.scales == (1e-4,) * 3


def test_the_collection_leads_to_every_item_and_names_terms_and_makers(product):
    folder = Path(product.path("collection.json")).parent
    collection = pystac.Collection.from_file(str(folder / "collection.json"))
    items = list(collection.get_items())
    assert {item.id for item in items} == {
        "small-region_mosaic-2024-06",
        *(f"small-seam_blended_mosaic-{tile}-2024-06" for tile in TILES),
    }
    for item in items:
        assert item.collection_id == collection.id
        assert all(Path(asset.get_absolute_href()).is_file() for asset in item.assets.values())
    whole = next(item for item in items if "region_mosaic" in item.id)
    assert set(whole.assets) == {"region", "region-virtual"}
    assert [provider.name for provider in collection.providers] == ["Copernicus", "geo_assets"]
    assert "Copernicus Sentinel data [2024]" in collection.extra_fields["attribution"]
    assert collection.get_single_link("license").href.endswith("Sentinel_Data_Legal_Notice")
    assert collection.summaries.get_list("gsd") == [60.0]


def test_figures_are_the_worst_of_the_tiles_and_there_is_no_gap(line, product):
    metrics = product.manifest.metrics
    of_tiles = {tile: product_of(line, "seam_blended_mosaic", tile).manifest.metrics for tile in TILES}
    worst = max(of_tiles.values(), key=lambda found: found["seam_ratio"] / found["seam_ratio_by_chance"])
    assert metrics["seam_ratio"] == worst["seam_ratio"]
    assert of_tiles[metrics["seam_worst"]["tile"]]["seam_step_dn"] == metrics["seam_step_dn"]
    assert (metrics["gap_px"], metrics["valid_share"]) == (0, 1.0)
    assert metrics["valid_px"] == (pixels_of(product, "region.tif")[0] != NODATA).sum()


def test_figures_of_tiles_without_a_seam_are_none():
    alone = {"seam_ratio": None, "overlap_bias": None, "single_source_mismatch_px": 0}
    found = region_figures({"33TVL": alone, "33TWL": {**alone, "seam_ratio": 1.25, "seam_step_dn": 3.0}})
    assert (found["seam_ratio"], found["seam_step_dn"]) == (1.25, 3.0)
    assert found["seam_worst"] == {"tile": "33TWL", "band": None}
    assert (found["overlap_bias"], found["single_source_mismatch_px"]) == (None, 0)
    assert region_figures({"33TVL": alone})["seam_worst"] is None


def test_a_few_segments_that_scatter_are_no_worse_than_many_that_do_not():
    few, many = {"seam_ratio": 1.9, "seam_ratio_by_chance": 2.0}, {"seam_ratio": 1.5, "seam_ratio_by_chance": 1.1}
    assert region_figures({"33TVL": few, "33TWL": many})["seam_worst"]["tile"] == "33TWL"


def test_blocks_that_no_tile_reaches_are_in_no_unit_and_units_lie_in_one_row(line):
    products = {tile: product_of(line, "seam_blended_mosaic", tile) for tile in TILES}
    sheet = region_sheet(line.region, products)
    for row, col in np.argwhere(~sheet.ground.active):
        assert sheet.block(int(row), int(col))[0] is None
    blocks = tuple((row, col) for row in range(3) for col in range(7))
    units = row_units(blocks, 2)
    assert sorted(block for members in units.values() for block in members) == list(blocks)
    assert {(len({row for row, _ in members}), len(members)) for members in units.values()} == {(1, 4), (1, 3)}


def test_a_full_disk_is_told_before_anything_is_written(unmade, monkeypatch):
    line, place = unmade
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(free_space.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ResourceError, match=r"found 1e-06 GB free.*expected 0\.\d+ GB.*GEO_ASSETS_STORE"):
        run_station(line, REGION_MOSAIC, place)
    assert not list(Path(line.products.store.url).rglob("*.unit"))


@pytest.mark.parametrize(
    ("when", "told"),
    [("before", r"33TVL.*sealed.*backfill"), ("while", r"found \d+ pixels of tile 33TVL, expected the \d+.*backfill")],
)
def test_a_tile_whose_pixels_are_not_those_of_its_manifest_is_refused(unmade, monkeypatch, when, told):
    line, place = unmade
    if when == "while":  # it is looked at, and changes afterwards
        monkeypatch.setattr(Products, "expect_whole", lambda *_: None)
    raster = product_of(line, "seam_blended_mosaic", TILES[0]).path("mosaic.tif")
    with rasterio.open(raster, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        pixels = file.read()
        row, col = np.argwhere(pixels[0] != NODATA)[0]
        pixels[:, row, col] = NODATA
        file.write(pixels)
    with pytest.raises(ProductError, match=told):
        run_station(line, REGION_MOSAIC, place)


@pytest.mark.slow
def test_a_killed_region_mosaic_goes_on_where_it_stopped_and_ends_in_the_same_bytes(demo_archive, finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "runs")
    runs = Runs(demo_archive, tmp_path / "runs")
    folder = Path(NAME) / "region_mosaic" / "_region" / "2024-06"
    shutil.rmtree(runs.store / folder)
    units, _ = finished.units_counted()[folder]
    assert units >= 2
    runs.die("region_mosaic", after=1)
    held = runs.units_held()[folder]
    assert held == 1
    runs.finish()
    assert runs.units_counted()[folder] == (units - held, held)
    assert store_bytes(runs.store) == store_bytes(finished.store)
    assert json.loads((runs.store / folder / "manifest.json").read_text())["status"] == "done"
