"""Mosaics on any grid, with their layers, figures and gates; and inputs that cannot be blended."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError, ProductError
from geo_assets.io.area import inside_area, projected_area
from geo_assets.io.products import Place
from geo_assets.io.rasters import raster_facts, raster_geobox
from geo_assets.stations.line import Line, run_station
from geo_assets.stations.mosaic import SEAM_BLENDED_MOSAIC
from geo_assets.stations.mosaic_grid import mosaic_ground, mosaic_placement
from geo_assets_tests.scenery.composites import composite_line, noise, put_composite, run_mosaics, smooth
from geo_assets_tests.scenery.lines import pixels_of, product_of, small_line, store_bytes
from geo_assets_tests.scenery.three_tiles import LEFT, three_tiles_settings
from geo_assets_tests.stations.test_mosaic import AREA_AT_ZONE_EDGE, assert_pairs_are_identical, mosaics_of

NODATA = -32768
WEST, EAST = "33TVL", "33TWL"
AREA = (14.93, 45.60, 15.13, 45.70)
"""On the overlap of both, and of no third tile."""


def pair_line(folder: Path, *, levels: tuple[int, int] = (0, 0), **settings) -> Line:
    """Two tiles that overlap, of noise at two levels; days 10 and 20, seen 2 and 5 times."""
    line = composite_line(folder / "store", **{"area": AREA, "mosaic": {"feather_m": 1200}, **settings})
    assert set(line.region.tile_ids) == {WEST, EAST}
    put_composite(line, WEST, noise(WEST, level=levels[0]), day=10, count=2)
    put_composite(line, EAST, noise(EAST, level=levels[1]), day=20, count=5)
    return line


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Line:
    line = pair_line(tmp_path_factory.mktemp("pair"))
    run_mosaics(line)
    return line


# Grids


@pytest.fixture(scope="module", params=["EPSG:3035", "EPSG:6933"])
def far_line(request, tmp_path_factory) -> Line:
    """Two tiles of two zones, and a mosaic in the CRS of neither."""
    line = composite_line(
        tmp_path_factory.mktemp("far"), area=AREA_AT_ZONE_EDGE, mosaic={"feather_m": 1200, "crs": request.param}
    )
    for tile in line.region.tile_ids:
        put_composite(line, tile, lambda geobox: np.rint(smooth(geobox)).astype(np.int16)[np.newaxis])
    run_mosaics(line)
    return line


def test_in_a_crs_of_no_tile_mosaics_agree_on_one_lattice_that_is_told(far_line):
    mosaics = mosaics_of(far_line)
    assert_pairs_are_identical(mosaics, fewest_px=10_000)
    grids = [product_of(far_line, "seam_blended_mosaic", tile).manifest.metrics["mosaic_grid"] for tile in mosaics]
    crs = far_line.region.mosaic.crs
    assert grids[0] == grids[1] == {"crs": crs, "origin": [0.0, 0.0], "resolution": 60, "version": "1"}
    for _, geobox in mosaics.values():
        assert f"EPSG:{geobox.crs.epsg}" == crs
        assert (geobox.transform.c % 60, geobox.transform.f % 60) == (0, 0)


def test_in_a_crs_of_no_tile_no_pixel_of_the_area_is_lost_or_wrong(far_line):
    product = product_of(far_line, "region_mosaic")
    red, geobox = pixels_of(product, "region.tif")[0], raster_geobox(product.path("region.tif"))
    area = far_line.region.geometry
    inside = inside_area(projected_area(area, area, far_line.region.mosaic.crs, margin_m=0), geobox)
    assert inside.sum() > 40_000
    assert (red[inside] != NODATA).all()
    assert np.abs(red - smooth(geobox))[inside].max() < 2
    assert product.manifest.metrics["valid_share"] == 1.0


def test_warped_tiles_are_made_near_the_area_only(far_line):
    for tile in far_line.region.tile_ids:
        active = mosaic_ground(far_line.region, tile).active
        assert 0 < active.sum() < active.size / 2


def test_a_tile_that_the_mosaics_crs_tears_apart_is_refused(tmp_path):
    line = composite_line(tmp_path, tiles=["01KAB"], mosaic={"crs": "EPSG:6933"})
    with pytest.raises(GridMismatchError, match=r"in one piece in EPSG:6933.*antimeridian"):
        mosaic_placement(line.region, "01KAB")


# Layers and header


def test_layers_come_from_the_composite_that_weighs_most(pair):
    product = product_of(pair, "seam_blended_mosaic", WEST)
    mosaic, day = pixels_of(product, "mosaic.tif")[0], pixels_of(product, "day.tif")[0]
    count, quality = pixels_of(product, "observation_count.tif")[0], pixels_of(product, "quality.tif")[0]
    valid = mosaic != NODATA
    assert_array_equal(day != 255, valid)
    assert_array_equal(quality, np.where(valid, 0, 255))
    assert_array_equal(count, np.where(day == 10, 2, np.where(day == 20, 5, 0)))
    row = np.flatnonzero(valid.any(axis=1))[30]
    days = day[row][valid[row]]
    assert (days[0], days[-1]) == (10, 20)
    assert np.count_nonzero(np.diff(days.astype(int))) == 1  # in the middle of the overlap, once


def test_rasters_say_where_they_come_from(pair):
    product = product_of(pair, "seam_blended_mosaic", WEST)
    facts = raster_facts(product.path("mosaic.tif"))
    said = {name: facts.tags[name] for name in ("REGION", "MONTH", "FINGERPRINT", "ATTRIBUTION")}
    assert said == {
        "REGION": "small",
        "MONTH": "2024-06",
        "FINGERPRINT": product.manifest.fingerprint,
        "ATTRIBUTION": "Contains modified Copernicus Sentinel data [2024]",
    }
    composite = raster_facts(product_of(pair, "monthly_composite", WEST).path("composite.tif"))
    assert "FINGERPRINT" not in composite.tags  # equal pixels made otherwise rebuild nothing


# Figures and gate


def test_figures_of_the_seam_are_in_the_manifest(pair):
    metrics = product_of(pair, "seam_blended_mosaic", WEST).manifest.metrics
    assert metrics["seam_ratio"] < 2  # few segments of much noise
    assert metrics["single_source_mismatch_px"] == metrics["validity_mismatch_px"] == metrics["outside_inputs_px"] == 0
    assert set(metrics["by_band"]) == {"red"}
    assert set(metrics["overlap"]) == {f"{WEST}+{EAST}"}
    assert metrics["harmonised"] == {"mode": "none", "gain_and_offset": {}, "left_alone": {}}


def test_a_seam_that_is_seen_is_refused_where_the_region_asks_for_it_and_told_else(tmp_path):
    levels, hard = (0, 900), {"feather_m": 60, "profile": "linear"}
    report = pair_line(tmp_path / "report", levels=levels, mosaic=hard)
    run_mosaics(report)
    found = product_of(report, "region_mosaic").manifest.metrics
    assert found["seam_ratio"] > 2
    assert found["seam_worst"]["band"] == "red"
    gate = pair_line(tmp_path / "gate", levels=levels, mosaic={**hard, "seam_gate": "raise"})
    with pytest.raises(ProductError, match=r"33T[VW]L 2024-06.*found a seam.*expected [0-9.]+ times.*harmonise"):
        run_mosaics(gate)
    first = Place("seam_blended_mosaic", gate.region.tile_ids[0], gate.region.month_list[0])
    assert gate.products.find(first) is None


def test_units_and_threads_change_no_byte(pair, tmp_path):
    other = pair_line(tmp_path, unit_blocks=1, threads=3)
    run_mosaics(other)
    ours, theirs = (store_bytes(Path(line.products.store.url)) for line in (pair, other))
    assert ours == theirs


@pytest.mark.parametrize("mosaic", [{"harmonise": "gain_offset"}, {"seamline": True}])
def test_adjusted_mosaics_agree_where_they_overlap(tmp_path, mosaic):
    line = composite_line(tmp_path, area=AREA, mosaic={"feather_m": 1200, **mosaic})
    for tile, level in ((WEST, 0), (EAST, 60 if "harmonise" in mosaic else 5)):
        draw = np.random.default_rng(level)
        put_composite(
            line,
            tile,
            lambda geobox, level=level, draw=draw: np.rint(
                smooth(geobox) + level + draw.normal(0, 10, geobox.shape)
            ).astype(np.int16)[np.newaxis],
        )
    run_mosaics(line)
    assert_pairs_are_identical(mosaics_of(line), fewest_px=20_000)
    metrics = product_of(line, "seam_blended_mosaic", WEST).manifest.metrics
    assert metrics["seam_ratio"] < 1.3
    assert metrics["single_source_mismatch_px"] == 0
    if "harmonise" in mosaic:
        assert abs(metrics["overlap_bias"]) < 0.001
        assert set(metrics["harmonised"]["gain_and_offset"]) == {WEST, EAST}


# Inputs


def test_beside_an_empty_neighbour_a_tiles_mosaic_is_its_composite(tmp_path):
    line = pair_line(tmp_path)
    put_composite(line, EAST, None)
    run_mosaics(line)
    own = pixels_of(product_of(line, "monthly_composite", WEST), "composite.tif")
    assert_array_equal(pixels_of(product_of(line, "seam_blended_mosaic", WEST), "mosaic.tif"), own)
    east = product_of(line, "seam_blended_mosaic", EAST).manifest
    assert (east.status, east.metrics["contributors"]) == ("done", [WEST])


def test_a_month_without_data_is_empty_from_tile_to_region(tmp_path):
    line = pair_line(tmp_path)
    for tile in (WEST, EAST):
        put_composite(line, tile, None)
    run_mosaics(line)
    assert "neither the tile nor a neighbour" in product_of(line, "seam_blended_mosaic", WEST).manifest.reason
    assert "every tile is empty" in product_of(line, "region_mosaic").manifest.reason


def rewrite(line, product, **profile) -> None:
    """Make the composite again with another profile, properly sealed, as another program could."""
    with rasterio.open(product.path("composite.tif")) as raster:
        pixels, kept = raster.read(), raster.profile
    kept |= profile
    manifest = product.manifest
    with line.products.building(product.place, fingerprint=manifest.fingerprint, inputs=manifest.inputs) as build:
        other = build.scratch("other.tif")
        with rasterio.open(other, "w", **kept) as raster:
            raster.write(pixels[:, : kept["height"]].astype(kept["dtype"]))
            raster.set_band_description(1, profile.get("description", "red"))
        for file in manifest.files:
            content = other if file.name == "composite.tif" else product.bytes(file.name)
            build.put(file.name, content, role=file.role, media_type=file.media_type)


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (
            {"dtype": "float32", "predictor": 3, "nodata": float("nan")},
            "found pixels float32, nodata nan, expected int16",
        ),
        ({"height": 1829}, "found grid 1830 x 1829 px"),
        ({"description": "nir"}, "found bands nir, expected red"),
    ],
)
def test_a_composite_that_cannot_be_blended_is_refused(tmp_path, profile, said):
    line = pair_line(tmp_path)
    rewrite(line, product_of(line, "monthly_composite", EAST), **profile)
    with pytest.raises(ProductError, match=f"monthly_composite {EAST} 2024-06: {said}.*geo-assets backfill"):
        run_mosaics(line)


def test_a_neighbour_of_another_version_of_the_region_is_refused(three_tiles_folder, tmp_path):
    folder = shutil.copytree(three_tiles_folder, tmp_path / "three")
    settings = {**three_tiles_settings(), "composite": {"minimum_coverage": 0.25}}
    line = small_line(folder / "archive", folder / "store", **settings)
    place = Place("seam_blended_mosaic", LEFT, line.region.month_list[0])
    manifest = folder / "store" / "small" / place.folder / "manifest.json"
    manifest.unlink()
    with pytest.raises(ProductError, match=r"monthly_composite.*of other settings or inputs.*backfill"):
        run_station(line, SEAM_BLENDED_MOSAIC, place)
    assert json.loads((manifest.parent / "failed.json").read_text())["error"] == "ProductError"
