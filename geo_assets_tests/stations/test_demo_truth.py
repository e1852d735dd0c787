"""The line against the truth that the demo archive was made from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from geo_assets.demo.sky import CLOUD_FROM
from geo_assets.demo.truth import acquisition_of, load_ground, load_sky
from geo_assets.domain.arrays import ClassCode, Flag
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.domain.tile_month import Month
from geo_assets.io.angles import angles_on
from geo_assets.io.detectors.embedded_fmask import EmbeddedFmask
from geo_assets.io.detectors.s2cloudless import S2Cloudless
from geo_assets.kernels.detection import DetectorInput, detected
from geo_assets.kernels.quality import DetectorBit, MaskCode, fuse_codes
from geo_assets.stations.detection import toa_bands
from geo_assets.stations.fetch import fetched_angles, fetched_scenes
from geo_assets.stations.ground import ground_of
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


@dataclass(frozen=True)
class Judged:
    """One scene over the demo's part of a tile: what was there, and what each detector alone and both together say."""

    opacity: NDArray[np.float32]
    shadow: Flag
    codes: dict[str, ClassCode]


@pytest.fixture(scope="module")
def judged(demo_line, demo_archive, demo_plan) -> list[Judged]:
    """Every masked scene of every tile: the mask as the line made it, and undilated what its detectors say."""
    found = []
    for tile in demo_plan.tiles:
        fetched, masked = (product_of(demo_line, station, tile) for station in ("fetch", "hybrid_mask"))
        window = slices_within(demo_plan.part(tile, 60), tile_geobox(tile, 60))
        for scene in fetched_scenes(demo_line, fetched.place):
            truth = load_sky(demo_archive, acquisition_of(scene.id))
            part = demo_plan.part_slices(tile, 60)
            codes = {"line": pixels_of(masked, f"{scene.id}.mask.tif", window)[0]}
            names = toa_bands(demo_line.region, scene)
            # The whole extent as the line has it: thresholds are percentiles of it.
            extent = ground_of(demo_line.region, tile).extent()
            stack = pixels_of(fetched, f"{scene.id}.toa.tif", extent.slices)
            angles = angles_on(fetched_angles(fetched, scene), 60)
            seen = DetectorInput(
                bands=dict(zip(names, stack, strict=True)),
                valid=(stack != NODATA).all(axis=0),
                angles=angles.within(extent.row, extent.col),
                resolution_m=60,
            )
            for detector in (S2Cloudless(dilation_size=0), EmbeddedFmask()):
                whole = np.full(tile_geobox(tile, 60).shape, NONE, np.uint8)
                whole[extent.slices] = detected(detector, seen).codes
                codes[detector.name] = whole[window]
            both = [(DetectorBit.S2CLOUDLESS, codes["s2cloudless"]), (DetectorBit.EMBEDDED_FMASK, codes["fmask"])]
            codes["hybrid"] = fuse_codes(both).codes
            found.append(Judged(truth.opacity[part], truth.shadow[part], codes))
    return found


def agreement(judged: list[Judged], name: str, code: int, truth: Callable[[Judged], Flag]) -> tuple[float, float]:
    """F1 and recall of one class over all scenes, where the line saw them."""
    hits = said = there = 0
    for one in judged:
        seen = one.codes["line"] != NONE
        is_there, is_said = truth(one) & seen, (one.codes[name] == code) & seen
        hits += (is_there & is_said).sum()
        said += is_said.sum()
        there += is_there.sum()
    return 2 * hits / (said + there), hits / there


def cloudy(one: Judged) -> Flag:
    return one.opacity > CLOUD_FROM


def test_the_hybrid_tells_cloud_better_than_either_detector_alone(judged):
    found = {name: agreement(judged, name, MaskCode.CLOUD, cloudy)[0] for name in ("s2cloudless", "fmask", "hybrid")}
    assert found["hybrid"] > max(found["s2cloudless"], found["fmask"]) + 0.004
    assert found["hybrid"] > 0.96


def test_the_lines_mask_misses_hardly_any_cloud(judged):
    assert agreement(judged, "line", MaskCode.CLOUD, cloudy)[1] > 0.985


def test_either_detector_sees_veils_that_the_other_misses(judged):
    alone = {"s2cloudless": 0, "fmask": 0}
    for one in judged:
        said = {name: (one.codes[name] == MaskCode.CLOUD) & cloudy(one) for name in alone}
        alone["s2cloudless"] += (said["s2cloudless"] & ~said["fmask"]).sum()
        alone["fmask"] += (said["fmask"] & ~said["s2cloudless"]).sum()
    there = sum(cloudy(one).sum() for one in judged)
    assert min(alone.values()) > 0.002 * there


def test_shadows_are_those_of_the_truth(judged):
    f1, _ = agreement(judged, "fmask", MaskCode.SHADOW, lambda one: one.shadow)
    assert f1 > 0.6


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
    parts = {row["item"] for row in fetched if row.get("item", "").endswith("L2A")}
    assert len(parts) == len({row["scene"] for row in fetched}) + 1
