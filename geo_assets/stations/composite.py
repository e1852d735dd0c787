"""Station 5: one value per pixel per month, with count, source and day of every pixel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from geo_assets.kernels.compositing.calibration import CalibrationCounts, calibration_counts
from geo_assets.kernels.compositing.methods import composite
from geo_assets.kernels.compositing.observations import Composite, Observations
from geo_assets.kernels.quality import MaskCode, usable_quality
from geo_assets.stations.attribution import attribution_line
from geo_assets.stations.compositing.figures import NAMES, BlockFigures, composite_metrics, has_values
from geo_assets.stations.compositing.nadir import NadirView, nadir_view
from geo_assets.stations.compositing.scores import Scoring, scoring
from geo_assets.stations.detection import class_layers, detectors_of, quality_layers, quality_of_layers
from geo_assets.stations.fetch import CLASSES, FETCH, REFLECTANCE, fetched_scenes, layer_file
from geo_assets.stations.ground import Blocks, Ground, Window, ground_of, units_of
from geo_assets.stations.line import Line, Station
from geo_assets.stations.mask import HYBRID_MASK, MASK
from geo_assets.stations.pictures import put_composite_pictures
from geo_assets.stations.search import SCENE_SEARCH
from geo_assets.stations.stac import put_stac_item
from geo_assets.stations.units import (
    BlockSource,
    UnitArrays,
    block_name,
    finish_units,
    put_raster,
    reflectance_bands,
)

COMPOSITE_FILE, UNCERTAINTY_FILE = "composite.tif", "uncertainty.tif"

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
    view = nadir_view(region, fetched, scenes, ground)
    scores = scoring(region, place, fetched, masked, scenes, ground)
    work = _Work(region, fetched, masked, scenes, ground, view, scores)
    build.lies_on(ground.geobox)
    units = units_of(ground.blocks(), line.unit_blocks)
    jobs = {key: partial(work.composed, blocks) for key, blocks in units.items()}
    counted = finish_units(line, build, jobs, str(place), keep=[*NAMES, "calibration"])
    _put_metrics(build, work, units, counted)
    searched = line.products.need(Place(SCENE_SEARCH.name, place.tile, place.month)).manifest
    build.metric("scenes_found", searched.metrics.get("scenes_found"))
    if not has_values(counted):
        build.empty(f"none of the {len(scenes)} fetched scenes has a clear pixel")
        return
    keys = {block: key for key, blocks in units.items() for block in blocks}
    _put_rasters(build, line, work, partial(BlockSource, build.units, keys, make=lambda key: jobs[key]()))
    put_composite_pictures(build, region, COMPOSITE_FILE, ground.extent())
    sources = [part.id for scene in scenes for part in scene.parts]
    put_stac_item(build, line, place, COMPOSITE_FILE, geobox=ground.geobox, sources=sources)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What one tile and month is composed of."""

    region: Region
    fetched: Product
    masked: Product
    scenes: tuple[Scene, ...]
    """Best first, as they were ranked."""
    ground: Ground
    view: NadirView
    scoring: Scoring | None

    def composed(self, blocks: Blocks) -> UnitArrays:
        """All layers of the blocks that have a value, and what was counted on the way."""
        arrays: dict[str, NDArray[Any]] = {}
        settings, bands = self.region.composite, self.region.bands
        figures = BlockFigures(self.scenes, settings.target_day)
        calibration = np.zeros((3, len(bands)), np.int64)
        for row, col in blocks:
            window = self.ground.block_window(row, col)
            inside = self.ground.inside(window)
            observations = self._observations(window)
            choice: dict[str, Any] = {
                "percentile": settings.percentile,
                "scores": None if self.scoring is None else self.scoring.scores(observations.reflectance, window),
                "red": bands.index("red") if "red" in bands else None,
                "nir": bands.index("nir") if "nir" in bands else None,
            }
            found = composite(observations, settings.method, uncertainty=settings.uncertainty, **choice)
            day = figures.add(observations, found, inside)
            if settings.uncertainty:
                tried = calibration_counts(
                    observations, settings.method, row=window.row, col=window.col, inside=inside, **choice
                )
                calibration += tried.to_array()
            if (found.source != NODATA_CLASS).any():
                layers = _layers(found, day)
                arrays |= {block_name(name, row, col): layer for name, layer in layers.items()}
        return {**arrays, **figures.arrays(), "calibration": calibration}

    def _observations(self, window: Window) -> Observations:
        """All scenes on a window; each of their blocks is read once."""
        by_time = sorted(self.scenes, key=lambda scene: (scene.acquired, scene.id))
        return Observations(
            np.stack([self.view.from_nadir(scene, self._reflectance(scene, window), window) for scene in self.scenes]),
            np.stack([self._quality(scene, window) for scene in self.scenes]),
            np.array([by_time.index(scene) for scene in self.scenes], np.int64),
        )

    def _reflectance(self, scene: Scene, window: Window) -> NDArray[np.int16]:
        return read_window(self.fetched.path(layer_file(scene.id, REFLECTANCE)), *window.slices)

    def _quality(self, scene: Scene, window: Window) -> ClassCode:
        """(y, x): 255 where the mask drops a scene; as its quality layer says where that alone judges."""
        codes = read_window(self.masked.path(layer_file(scene.id, MASK)), *window.slices, bands=[1])[0]
        base = None
        if detectors_of(self.region, scene) == ("quality",):
            names = class_layers(self.region, scene)
            indexes = [names.index(name) + 1 for name in quality_layers(self.region.bands, scene.parts[0])]
            layers = read_window(self.fetched.path(layer_file(scene.id, CLASSES)), *window.slices, bands=indexes)
            base = quality_of_layers(scene, layers)
        return usable_quality(codes, base, drop=[MaskCode[name.upper()] for name in self.region.mask.drop])


def _layers(found: Composite, day: ClassCode) -> dict[str, NDArray[Any]]:
    """Layer -> its (band, y, x) block."""
    layers: dict[str, NDArray[Any]] = {
        "bands": found.bands,
        "quality": found.quality[np.newaxis],
        "observation_count": found.observation_count[np.newaxis],
        "source": found.source[np.newaxis],
        "day": day[np.newaxis],
    }
    return layers if found.uncertainty is None else {**layers, "uncertainty": found.uncertainty}


def _put_rasters(build: Build, line: Line, work: _Work, source: Callable[[str], BlockSource]) -> None:
    """The bands, their uncertainty and the layers beside them, from finished units."""
    region, scenes = work.region, work.scenes
    reflectance: dict[str, tuple[str, str]] = {COMPOSITE_FILE: ("bands", "composite.reflectance")}
    if region.composite.uncertainty:
        reflectance[UNCERTAINTY_FILE] = ("uncertainty", "composite.uncertainty")
    attribution = attribution_line({scene.level for scene in scenes}, {scene.acquired.year for scene in scenes})
    bands = {
        "bands": reflectance_bands(region.bands),
        "uncertainty": [RasterBand(f"{band} uncertainty", scale=1e-4) for band in region.bands],
    }
    for name, (layer, role) in reflectance.items():
        put_raster(
            build,
            work.ground,
            name,
            source(layer),
            bands=bands[layer],
            dtype=np.int16,
            nodata=NODATA_REFLECTANCE,
            role=role,
            threads=line.threads,
            attribution=attribution,
        )
    for layer in LAYERS:
        put_raster(
            build,
            work.ground,
            f"{layer}.tif",
            source(layer),
            bands=[RasterBand(layer)],
            dtype=np.uint8,
            nodata=None if layer == "observation_count" else NODATA_CLASS,
            role=f"composite.{layer}",
            threads=line.threads,
        )


def _put_metrics(
    build: Build, work: _Work, units: Mapping[str, Blocks], counted: Mapping[str, Mapping[str, NDArray[Any]]]
) -> None:
    settings, bands = work.region.composite, work.region.bands
    metrics = composite_metrics(units, counted, work.scenes)
    for name, metric in metrics.items():
        build.metric(name, metric)
    build.metric("method", settings.method)
    build.metric("minimum_coverage", settings.minimum_coverage)
    build.metric("coverage_reached", metrics["valid_share"] >= settings.minimum_coverage)
    if work.scoring is not None:
        build.metric("scores", work.scoring.record())
    if settings.brdf != "none":
        build.metric("brdf", work.view.record())
    if settings.uncertainty:
        tried = CalibrationCounts.from_array(np.sum([arrays["calibration"] for arrays in counted.values()], axis=0))
        build.metric("calibration", tried.figures(bands))


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "drop": sorted(region.mask.drop),
        "composite": region.composite.used,
        "resolution": region.resolution,
        "bands": list(region.bands),
    }


MONTHLY_COMPOSITE = Station(
    name="monthly_composite",
    version="3",
    scope="tile_month",
    summary="One value per pixel and month, of its clear observations, with uncertainty, quality, count, source, day.",
    settings=_settings,
    upstream=lambda line, place: (
        Place(SCENE_SEARCH.name, place.tile, place.month),
        Place(FETCH.name, place.tile, place.month),
        Place(HYBRID_MASK.name, place.tile, place.month),
    ),
    build=_composite,
)
