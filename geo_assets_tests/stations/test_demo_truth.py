"""The line against the truth that the demo archive was made from."""

import numpy as np
import pytest

from geo_assets.demo.sky import CLOUD_FROM
from geo_assets.demo.truth import acquisition_of, load_ground, load_sky
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.domain.tile_month import Month
from geo_assets_tests.scenery.lines import pixels_of, product_of, slices_within

NODATA, NONE = -32768, 255
JUNE = Month(2024, 6)


@pytest.fixture(params=range(4), ids=["upper left", "upper right", "lower left", "lower right"])
def tile(request, demo_plan) -> str:
    return demo_plan.tiles[request.param]


@pytest.fixture
def window(demo_plan, tile):
    """Rows and columns, in the tile's raster, of its part of the demo's window."""
    return slices_within(demo_plan.part(tile, 60), tile_geobox(tile, 60))


def test_composites_are_close_to_the_ground_that_was_there(demo_line, demo_archive, demo_plan, tile, window):
    product = product_of(demo_line, "monthly_composite", tile)
    composite = pixels_of(product, "composite.tif", window)
    truth = load_ground(demo_archive, JUNE).surface[:, *demo_plan.part_slices(tile, 60)]
    valid = (composite != NODATA).all(axis=0)
    assert valid.mean() > 0.95
    error = (composite - truth.astype(int))[:, valid] / 10_000
    assert (np.sqrt((error**2).mean(axis=1)) < [0.015, 0.015, 0.02, 0.03]).all()
    assert (np.abs(error.mean(axis=1)) < 0.02).all()  # the demo's atmospheric correction is off by up to this


def test_hardly_a_chosen_pixel_lies_under_true_cloud(demo_line, demo_archive, demo_plan, tile, window):
    product = product_of(demo_line, "monthly_composite", tile)
    source = pixels_of(product, "source.tif", window)[0]
    cloudy = 0
    for number, scene in enumerate(product.manifest.metrics["scenes"]):
        opacity = load_sky(demo_archive, acquisition_of(scene)).opacity[demo_plan.part_slices(tile, 60)]
        cloudy += (opacity[source == number] > CLOUD_FROM).sum()
    assert cloudy < 0.01 * (source != NONE).sum()


def test_masks_find_the_clouds_of_the_truth(demo_line, demo_archive, demo_plan, tile, window):
    product = product_of(demo_line, "hybrid_mask", tile)
    hits = found = there = 0
    for scene in product_of(demo_line, "monthly_composite", tile).manifest.metrics["scenes"]:
        codes = pixels_of(product, f"{scene}.mask.tif", window)[0]
        truth = load_sky(demo_archive, acquisition_of(scene)).opacity[demo_plan.part_slices(tile, 60)] > CLOUD_FROM
        seen = codes != NONE
        hits += (seen & truth & (codes == 1)).sum()
        found += (seen & (codes == 1)).sum()
        there += (seen & truth).sum()
    assert 2 * hits / (found + there) > 0.8
    assert hits / there > 0.95


def test_layers_beside_the_bands_agree_with_each_other(demo_line, tile, window):
    product = product_of(demo_line, "monthly_composite", tile)
    bands = pixels_of(product, "composite.tif", window)
    quality, count, source, day = (
        pixels_of(product, f"{layer}.tif", window)[0] for layer in ("quality", "observation_count", "source", "day")
    )
    valid = (bands != NODATA).all(axis=0)
    for layer in (quality, source, day):
        np.testing.assert_array_equal(layer != NONE, valid)
    np.testing.assert_array_equal(count > 0, valid)
    assert count.max() == len(product.manifest.metrics["scenes"]) == 3
    assert (bands == NODATA).any(axis=0).sum() == (~valid).sum()
    days = np.array([int(acquisition_of(scene)[-2:]) for scene in product.manifest.metrics["scenes"]])
    np.testing.assert_array_equal(day[valid], days[source[valid]])
    fetched = product_of(demo_line, "fetch", tile)
    for number, scene in enumerate(product.manifest.metrics["scenes"]):
        own = pixels_of(fetched, f"{scene}.reflectance.tif", window)
        np.testing.assert_array_equal(bands[:, source == number], own[:, source == number])


def test_the_reprocessed_scene_and_the_two_datastrips_of_the_demo_are_met(demo_line, demo_plan):
    searches = {tile: product_of(demo_line, "scene_search", tile).manifest for tile in demo_plan.tiles}
    superseded = {tile: search.metrics["items_superseded"] for tile, search in searches.items()}
    assert superseded == dict(zip(demo_plan.tiles, (1, 0, 0, 0), strict=True))
    fetched = product_of(demo_line, "fetch", demo_plan.tiles[3]).manifest.ledger
    parts = {row["item"] for row in fetched if row["item"].endswith("L2A")}
    assert len(parts) == len({row["scene"] for row in fetched}) + 1
