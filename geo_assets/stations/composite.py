"""Station 5: one value per pixel per month, with count, source and day of every pixel."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, ClassCode
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene
from geo_assets.io.cog_writer import RasterBand
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.rasters import read_window
from geo_assets.kernels.compositing import best_pixel
from geo_assets.kernels.quality import MaskCode, usable_quality
from geo_assets.stations.detection import class_layers, detectors_of, quality_layers, quality_of_layers
from geo_assets.stations.fetch import CLASSES, FETCH, REFLECTANCE, fetched_scenes, layer_file
from geo_assets.stations.ground import Blocks, Ground, Window, ground_of, units_of
from geo_assets.stations.line import Line, Station
from geo_assets.stations.mask import HYBRID_MASK, MASK
from geo_assets.stations.pictures import put_composite_pictures
from geo_assets.stations.search import SCENE_SEARCH
from geo_assets.stations.stac import put_stac_item
from geo_assets.stations.units import BlockSource, UnitArrays, block_name, finish_units, put_raster

COMPOSITE_FILE = "composite.tif"
LAYERS = ("quality", "observation_count", "source", "day")
"""Categorical layers beside the bands, each a file of its own."""


def _composite(line: Line, place: Place, build: Build) -> None:
    scenes = fetched_scenes(line, place)
    if not scenes:
        build.empty("no scene was fetched")
        return
    assert place.tile is not None  # the station's scope
    region, ground = line.region, ground_of(line.region, place.tile)
    fetched = line.products.need(Place(FETCH.name, place.tile, place.month))
    masked = line.products.need(Place(HYBRID_MASK.name, place.tile, place.month))
    build.lies_on(ground.geobox)
    units = units_of(ground.blocks(), line.unit_blocks)
    jobs = {
        key: partial(_composed_unit, line, fetched, masked, scenes, ground, blocks) for key, blocks in units.items()
    }
    kept = finish_units(line, build, jobs, str(place), keep=["counts"])
    counts = np.sum([arrays["counts"] for arrays in kept.values()], axis=0)
    _put_metrics(build, region, scenes, counts)
    searched = line.products.need(Place(SCENE_SEARCH.name, place.tile, place.month)).manifest
    build.metric("scenes_found", searched.metrics.get("scenes_found"))
    if counts[3] == 0:
        build.empty(f"none of the {len(scenes)} fetched scenes has a clear pixel")
        return
    keys = {block: key for key, blocks in units.items() for block in blocks}
    source = partial(BlockSource, build.units, keys, make=lambda key: jobs[key]())
    put_raster(
        build,
        ground,
        COMPOSITE_FILE,
        source("bands"),
        bands=[RasterBand(name, scale=1e-4) for name in region.bands],
        dtype=np.int16,
        nodata=NODATA_REFLECTANCE,
        role="composite.reflectance",
        threads=line.threads,
        tags={"REGION": region.name, "MONTH": str(place.month), "ATTRIBUTION": _attribution(scenes)},
    )
    for layer in LAYERS:
        put_raster(
            build,
            ground,
            f"{layer}.tif",
            source(layer),
            bands=[RasterBand(layer)],
            dtype=np.uint8,
            nodata=None if layer == "observation_count" else NODATA_CLASS,
            role=f"composite.{layer}",
            threads=line.threads,
        )
    put_composite_pictures(build, region, COMPOSITE_FILE, ground.extent())
    sources = [part.id for scene in scenes for part in scene.parts]
    put_stac_item(build, line, place, COMPOSITE_FILE, geobox=ground.geobox, sources=sources)


def _composed_unit(
    line: Line, fetched: Product, masked: Product, scenes: tuple[Scene, ...], ground: Ground, blocks: Blocks
) -> UnitArrays:
    arrays: dict[str, NDArray[Any]] = {}
    counts = np.zeros(4 + len(scenes), np.int64)
    for row, col in blocks:
        window = ground.block_window(row, col)
        rows, cols = window.slices
        stack = np.stack([read_window(fetched.path(layer_file(scene.id, REFLECTANCE)), rows, cols) for scene in scenes])
        quality = np.stack([_quality(line.region, fetched, masked, scene, window) for scene in scenes])
        found = best_pixel(stack, quality)
        inside = ground.inside(window)
        chosen = found.source != NODATA_CLASS
        counts[0] += inside.sum()
        counts[1] += (inside & chosen).sum()
        counts[2] += (inside & (stack != NODATA_REFLECTANCE).all(axis=1).any(axis=0)).sum()
        counts[3] += chosen.sum()
        counts[4:] += np.bincount(found.source[inside & chosen], minlength=len(scenes))
        if chosen.any():
            days = np.array([scene.acquired.day for scene in scenes], np.uint8)
            day = np.full(found.source.shape, NODATA_CLASS, np.uint8)
            day[chosen] = days[found.source[chosen]]
            arrays[block_name("bands", row, col)] = found.bands
            layers = {
                "quality": found.quality,
                "observation_count": found.observation_count,
                "source": found.source,
            }
            for name, layer in {**layers, "day": day}.items():
                arrays[block_name(name, row, col)] = layer[np.newaxis]
    return {**arrays, "counts": counts}


def _quality(region: Region, fetched: Product, masked: Product, scene: Scene, window: Window) -> ClassCode:
    """(y, x) quality of one scene: 255 where the mask drops it; as its quality layer says where that alone judges."""
    codes = read_window(masked.path(layer_file(scene.id, MASK)), *window.slices, bands=[1])[0]
    base = None
    if detectors_of(region, scene) == ("quality",):
        names = class_layers(region, scene)
        indexes = [names.index(name) + 1 for name in quality_layers(region.bands, scene.parts[0])]
        layers = read_window(fetched.path(layer_file(scene.id, CLASSES)), *window.slices, bands=indexes)
        base = quality_of_layers(scene, layers)
    return usable_quality(codes, base, drop=[MaskCode[name.upper()] for name in region.mask.drop])


def _put_metrics(build: Build, region: Region, scenes: tuple[Scene, ...], counts: NDArray[np.int64]) -> None:
    area = max(int(counts[0]), 1)
    coverage = float(counts[1] / area)
    build.metric("area_px", int(counts[0]))
    build.metric("valid_share", coverage)
    build.metric("seen_share", float(counts[2] / area))
    build.metric("scenes", [scene.id for scene in scenes])
    build.metric("scenes_used", int(np.count_nonzero(counts[4:])))
    build.metric("share_of_scene", {scene.id: float(n / area) for scene, n in zip(scenes, counts[4:], strict=True)})
    build.metric("days", sorted({scene.acquired.day for scene, n in zip(scenes, counts[4:], strict=True) if n}))
    build.metric("minimum_coverage", region.composite.minimum_coverage)
    build.metric("coverage_reached", coverage >= region.composite.minimum_coverage)


def _attribution(scenes: tuple[Scene, ...]) -> str:
    """What the makers of the data ask to be said of them."""
    years = ", ".join(map(str, sorted({scene.acquired.year for scene in scenes})))
    levels = {scene.level for scene in scenes}
    if levels == {"NBAR"}:
        return f"Contains MODIS MCD43A4 data [{years}], courtesy of NASA LP DAAC"
    if levels == {"HLS"}:
        return (
            f"Contains Harmonized Landsat and Sentinel-2 (HLS) data [{years}], courtesy of NASA LP DAAC and USGS, "
            "with modified Copernicus Sentinel data"
        )
    return f"Contains modified Copernicus Sentinel data [{years}]"


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "drop": sorted(region.mask.drop),
        "composite": region.composite.model_dump(mode="json"),
        "resolution": region.resolution,
        "bands": list(region.bands),
    }


MONTHLY_COMPOSITE = Station(
    name="monthly_composite",
    version="2",
    scope="tile_month",
    summary="Best clear observation of every pixel in the month, with quality, observation count, source and day.",
    settings=_settings,
    upstream=lambda line, place: (
        Place(SCENE_SEARCH.name, place.tile, place.month),
        Place(FETCH.name, place.tile, place.month),
        Place(HYBRID_MASK.name, place.tile, place.month),
    ),
    build=_composite,
)
