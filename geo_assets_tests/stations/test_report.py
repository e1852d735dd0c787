"""A month as a page: what it shows of a finished line, and of lines that lack something."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from geo_assets.domain.errors import MissingProductError
from geo_assets.io.products import Products
from geo_assets.io.stores.store import open_store
from geo_assets.stations.line import Line
from geo_assets.stations.report import month_report
from geo_assets.stations.report_zoom import worst_edge
from geo_assets_tests.scenery.composites import composite_line, noise, put_composite, run_mosaics
from geo_assets_tests.scenery.lines import product_of

AREA = (14.93, 45.60, 15.13, 45.70)
WEST, EAST = "33TVL", "33TWL"


def page_of(line: Line) -> str:
    return month_report(line, line.region.month_list[0]).decode()


def level(counts: int):
    return lambda geobox: np.full((1, *geobox.shape), counts, np.int16)


@pytest.fixture(scope="module")
def page(demo_line) -> str:
    return page_of(demo_line)


def made(store, sees, **mosaic) -> Line:
    """A line of two tiles from composites to the region's mosaic."""
    line = composite_line(store, area=AREA, mosaic={"feather_m": 1200, **mosaic})
    for tile, see in zip((WEST, EAST), sees, strict=True):
        put_composite(line, tile, see)
    run_mosaics(line)
    return line


@pytest.fixture(scope="module")
def one_tile(tmp_path_factory) -> Line:
    """The eastern one is empty."""
    return made(tmp_path_factory.mktemp("one"), (noise(WEST), None))


def test_a_finished_month_is_shown_from_goals_to_fingerprints(page, demo_line):
    for heading in ("Quality", "Before and after blending", "The hardest edge", "Seams", "Overlaps", "Composite: best",
                    "Histograms", "Observations", "Coverage"):  # fmt: skip
        assert f"<h2>{heading}" in page
    assert "goals are met" in page
    assert all(tile in page for tile in demo_line.region.tile_ids)
    assert product_of(demo_line, "region_mosaic").manifest.fingerprint in page
    assert "Contains modified Copernicus Sentinel data [2024]" in page
    assert "Made from other settings" not in page


def test_the_page_is_small_and_fetches_nothing(page):
    assert len(page) < 3_000_000
    addresses = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(addresses) > 8
    assert all(address.startswith("data:image/") for address in addresses)
    assert all(len(alt) > 8 for alt in re.findall(r'alt="([^"]*)"', page))
    assert page.count("alt=") == len(addresses)


def test_the_same_products_give_the_same_bytes(page, demo_line):
    assert page_of(demo_line) == page


def test_products_of_an_older_version_are_shown_without_what_they_lack(demo_line, tmp_path):
    copied = tmp_path / "store"
    shutil.copytree(demo_line.products.store.url, copied)
    line = replace(demo_line, products=Products(open_store(str(copied)), demo_line.region.name))
    for station in ("monthly_composite", "seam_blended_mosaic", "region_mosaic"):
        for path in (copied / line.region.name / station).rglob("manifest.json"):
            tile = None if station == "region_mosaic" else path.parts[-3]
            manifest = product_of(line, station, tile).manifest
            path.write_bytes(manifest.model_copy(update={"metrics": {}}).to_bytes())
    shutil.rmtree(copied / line.region.name / "normalization_stats")
    shutil.rmtree(copied / line.region.name / "hybrid_mask")
    page = page_of(line)
    for words in ("Nothing could be judged", "not measured", "The hardest edge", "statistics have not been made",
                  "no longer in the store"):  # fmt: skip
        assert words in page


def test_products_of_other_settings_are_told(one_tile):
    settings = one_tile.region.mosaic.model_copy(update={"feather_m": 1800.0})
    page = page_of(replace(one_tile, region=one_tile.region.model_copy(update={"mosaic": settings})))
    assert "Made from other settings" in page
    assert "geo-assets backfill" in page


def test_a_month_that_is_not_built_says_how_to_build_it(tmp_path):
    with pytest.raises(MissingProductError, match=r"monthly_composite .* is not made.*geo-assets backfill"):
        page_of(composite_line(tmp_path, area=AREA))


def test_an_empty_month_is_a_page_that_says_why(tmp_path):
    page = page_of(made(tmp_path, (None, None)))
    assert "No tile has data in this month. Reasons: nothing was seen." in page
    assert "Nothing could be judged" in page
    assert page.count(">empty<") >= 2


def test_an_empty_tile_is_named_and_the_other_is_shown(one_tile):
    page = page_of(one_tile)
    assert f"Tiles without data in this month: {EAST}." in page
    assert "<h2>Before and after blending" in page
    assert "no longer in the store" in page  # composites without scenes


@pytest.mark.parametrize("mosaic", [{"crs": "EPSG:6933"}, {"harmonise": "gain", "seamline": True}])
def test_the_edge_where_tiles_differ_most_is_found_and_is_gone_in_the_mosaic(tmp_path, mosaic):
    line = made(tmp_path, (level(2000), level(2300)), **mosaic)
    found = worst_edge(line, line.region.month_list[0], [WEST, EAST], near=EAST)
    assert found is not None
    assert (found.tile, found.other, found.band) == (WEST, EAST, "red")
    assert found.difference == pytest.approx(0.03)
    before, after = (np.asarray(picture.convert("L"), float) for picture in (found.before, found.after))
    steps = [np.abs(np.diff(picture, axis=1)).max(axis=1) for picture in (before, after)]
    assert np.median(steps[0]) > 100 > 40 > np.median(steps[1])
    edge = np.abs(np.diff(before, axis=1)).argmax(axis=1)
    assert abs(np.median(edge) - before.shape[1] / 2) < before.shape[1] / 5
    assert "<h2>The hardest edge" in page_of(line)


def test_tiles_without_common_ground_have_no_edge(tmp_path):
    line = composite_line(tmp_path, area=AREA)
    assert worst_edge(line, line.region.month_list[0], [WEST]) is None
    assert worst_edge(line, line.region.month_list[0], []) is None
