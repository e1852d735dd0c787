"""Station 4: which observations are clear: quality layers and detectors, fused pixel by pixel."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, Flag
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene
from geo_assets.io.cog_writer import RasterBand
from geo_assets.io.detectors.identity import outside_identity
from geo_assets.io.manifest import ItemInput
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.rasters import read_reduced, read_window
from geo_assets.kernels.distance import squared_distance
from geo_assets.kernels.quality import DetectorBit, MaskCode, fuse_codes
from geo_assets.stations.attribution import attribution_line
from geo_assets.stations.detection import (
    EXTERNAL_FMASK,
    FMASK,
    IN_HOUSE,
    QUALITY,
    DetectorChoice,
    class_layers,
    codes_of_layers,
    detector_bits,
    detector_choice,
    detectors_of,
    facts_of,
    fmask_file_codes,
    judging_detectors,
    quality_layers,
    reads_own_fmask,
)
from geo_assets.stations.fetch import (
    CLASSES,
    FETCH,
    REFLECTANCE,
    fetched_scenes,
    layer_file,
)
from geo_assets.stations.ground import Blocks, Ground, Window, ground_of, units_of
from geo_assets.stations.judging import PER_CENT, Judging, all_known, judged_at_once
from geo_assets.stations.line import Line, Station
from geo_assets.stations.nesting import Nesting
from geo_assets.stations.pictures import put_mask_picture
from geo_assets.stations.scene_mask import grown
from geo_assets.stations.search import SCENE_SEARCH
from geo_assets.stations.units import BlockSource, UnitArrays, block_name, finish_units, put_raster

MASK, PROBABILITY, DISTANCE = "mask", "probability", "distance"
"""Layers of a masked scene, as files `<scene>.<layer>.tif`."""

DISTANCE_CAP_M = 5_000
"""Pixels farther from cloud, or from shadow, than this are all as good: their distance is given as this."""

DISTANCE_NODATA = 65_535

_PICTURE_PX = 512


def _mask(line: Line, place: Place, build: Build) -> None:
    scenes = fetched_scenes(line, place)
    if not scenes:
        build.empty("no scene was fetched")
        return
    assert place.tile is not None  # the station's scope
    fetched = line.products.need(Place(FETCH.name, place.tile, place.month))
    ground = ground_of(line.region, place.tile)
    nesting = Nesting(ground, ground_of(line.region, place.tile, resolution=line.region.mask.resolution))
    build.lies_on(ground.geobox)
    judging, work = Judging(line, fetched, nesting), _Work(line, fetched, nesting)
    for scene in scenes:
        judging.expect_input(scene)
    keys = {
        scene.id: {name: f"{scene.id}/{name}" for name in judging_detectors(line.region, scene)} for scene in scenes
    }
    jobs = {key: partial(judging.judged, scene, name) for scene in scenes for name, key in keys[scene.id].items()}
    reports = finish_units(line, build, jobs, str(place), keep=["report"], at_once=judged_at_once(nesting.coarse))
    figures: dict[str, dict[str, Any]] = {}
    skipped: set[str] = set()
    for scene in scenes:  # one at a time, so that memory holds the detectors' rasters of one
        planes = {name: build.units.take(key, jobs[key]) for name, key in keys[scene.id].items()}
        figures[scene.id] = _masked_scene(build, work, scene, planes, str(place), thumbnail=scene is scenes[0])
        told = {name: json.loads(str(reports[key]["report"])) for name, key in keys[scene.id].items()}
        row = _row(scene, detector_choice(line.region, scene), told)
        build.record({**row, "unjudged": figures[scene.id]["unjudged"]})
        skipped.update(
            f"{name}: {step.removeprefix(f'{name}: ')}" for name, report in told.items() for step in report["skipped"]
        )
    shares = {scene: found["classes"] for scene, found in figures.items()}
    build.metric("class_shares", shares)
    build.metric("detector_shares", {scene: found["detectors"] for scene, found in figures.items()})
    build.metric("unjudged_shares", {scene: found["unjudged"] for scene, found in figures.items()})
    build.metric("clear_share", float(np.mean([share["clear"] for share in shares.values()])))
    build.metric("cloud_share", float(np.mean([share["cloud"] for share in shares.values()])))
    build.metric("detectors", sorted({name for scene in scenes for name in detectors_of(line.region, scene)}))
    build.metric(
        "input_missing", sorted({gap for scene in scenes for gap in detector_choice(line.region, scene).missing})
    )
    build.metric("steps_skipped", sorted(skipped))
    build.metric("scenes_masked", len(scenes))


def _masked_scene(
    build: Build, work: "_Work", scene: Scene, planes: Mapping[str, UnitArrays], what: str, *, thumbnail: bool
) -> dict[str, Any]:
    """Put the rasters of one scene; returns its shares of classes, of detectors, and of what they left unjudged."""
    units = units_of(work.ground.blocks(), work.line.unit_blocks)
    codes = {name: arrays["codes"] for name, arrays in planes.items()}
    jobs = {f"{scene.id}/{MASK}/{unit}": partial(work.masked, scene, blocks, codes) for unit, blocks in units.items()}
    kept = finish_units(work.line, build, jobs, what, keep=["counts", "flagged", "unjudged", "cells"])
    keys = {block: f"{scene.id}/{MASK}/{unit}" for unit, blocks in units.items() for block in blocks}
    _put_mask(build, work, scene, BlockSource(build.units, keys, MASK, lambda key: jobs[key]()), thumbnail=thumbnail)
    _put_probability(build, work, scene, planes)
    cells = np.full(work.coarse.geobox.shape, NODATA_CLASS, np.uint8)
    for arrays, blocks in zip(kept.values(), units.values(), strict=True):
        work.nesting.lay(cells, blocks, arrays["cells"])
    _put_distance(build, work, scene, cells)
    counts, flagged, unjudged = (
        np.sum([arrays[name] for arrays in kept.values()], axis=0) for name in ("counts", "flagged", "unjudged")
    )
    return {
        "classes": _shares(counts),
        "detectors": _detector_shares(work.line.region, scene, counts, flagged),
        "unjudged": float(unjudged / max(int(counts.sum()), 1)),
    }


def _row(scene: Scene, choice: DetectorChoice, told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The ledger's row of a scene: who judged it, why, and what nobody could judge."""
    return {
        "scene": scene.id,
        "outcome": "masked",
        "detectors": list(choice.names),
        "why": dict(zip(choice.names, choice.reasons, strict=True)),
        "missing": list(choice.missing),
        "skipped": {name: report["skipped"] for name, report in told.items() if report["skipped"]},
        "angles": next((report["angles"] for report in told.values()), None),
        "figures": {name: report["figures"] for name, report in told.items() if report["figures"]},
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What one tile and month of masks is made from."""

    line: Line
    fetched: Product
    nesting: Nesting

    @property
    def ground(self) -> Ground:
        """At the region's resolution."""
        return self.nesting.fine

    @property
    def coarse(self) -> Ground:
        """At the mask's, on which detectors work."""
        return self.nesting.coarse

    def masked(self, scene: Scene, blocks: Blocks, planes: Mapping[str, ClassCode]) -> UnitArrays:
        """Mask blocks of one scene: codes and bits, their counts inside the area, and the codes on the mask's grid.

        `unjudged` counts the pixels inside the area whose bands are there and which a detector could not judge.
        """
        arrays: dict[str, NDArray[Any]] = {}
        counts, flagged = np.zeros(256, np.int64), np.zeros(256, np.int64)
        cells, unjudged = [], 0
        for row, col in blocks:
            window = self.ground.block_window(row, col)
            whole, codes, bits, seen = self._grown(scene, window, planes)
            at = window.within(whole)
            cells.append(self.nesting.cells(codes, window).ravel())
            codes, bits = np.ascontiguousarray(codes[at]), np.ascontiguousarray(bits[at])
            inside = self.ground.inside(window)
            unjudged += int(np.count_nonzero(seen[at] & (codes == NODATA_CLASS) & inside))
            counts += np.bincount(codes[inside], minlength=256)
            flagged += np.bincount(bits[inside], minlength=256)
            if (codes != NODATA_CLASS).any():
                arrays[block_name(MASK, row, col)] = np.stack([codes, bits])
        found = {"counts": counts, "flagged": flagged, "unjudged": np.array(unjudged)}
        return {**arrays, **found, "cells": np.concatenate(cells)}

    def _grown(
        self, scene: Scene, window: Window, planes: Mapping[str, ClassCode]
    ) -> tuple[Window, ClassCode, ClassCode, Flag]:
        """Of a window and a rim: codes with cloud and shadow grown by the region's buffers, bits, and what was seen.

        The rim completes the mask's pixels that begin in the window. Seen with a halo as wide as the buffers, so that
        no block border shows.
        """
        settings, metres = self.line.region.mask, float(self.ground.geobox.resolution.x)
        whole = self.nesting.completed(window)
        widths = {
            MaskCode.SHADOW: settings.shadow_buffer_m / metres,
            MaskCode.CLOUD: settings.cloud_buffer_m / metres,
        }
        wide = whole.padded(math.ceil(max(widths.values())), self.line.region.tile_shape)
        codes, bits, seen = self._fused(scene, wide, planes)
        at = whole.within(wide)
        return whole, grown(codes, widths)[at], bits[at], seen[at]

    def _fused(
        self, scene: Scene, window: Window, planes: Mapping[str, ClassCode]
    ) -> tuple[ClassCode, ClassCode, Flag]:
        """Codes and detector bits of a window, before buffers, and where the scene has all of the region's bands."""
        region = self.line.region
        reflectance = read_window(self.fetched.path(layer_file(scene.id, REFLECTANCE)), *window.slices)
        valid = all_known(reflectance)
        bits = detector_bits(region, scene)
        detections: list[tuple[DetectorBit, ClassCode]] = []
        names = class_layers(region, scene)
        if names:
            stack = read_window(self.fetched.path(layer_file(scene.id, CLASSES)), *window.slices)
            layers = dict(zip(names, stack, strict=True))
            if QUALITY in bits:
                own = np.stack([layers[name] for name in quality_layers(region.bands, scene.parts[0])])
                detections.append((bits[QUALITY], codes_of_layers(scene, own)))
            if EXTERNAL_FMASK in bits and reads_own_fmask(region):
                detections.append((bits[EXTERNAL_FMASK], fmask_file_codes(region, layers[FMASK])))
        for name, plane in planes.items():
            detections.append((bits[name], self.nesting.nearest(plane, window)))
        if not detections:
            detections.append((DetectorBit.QUALITY_LAYER, np.zeros(valid.shape, np.uint8)))
        fused = fuse_codes(detections)
        fused.codes[~valid] = NODATA_CLASS
        fused.detectors[~valid] = NODATA_CLASS
        return fused.codes, fused.detectors, valid


def _put_mask(build: Build, work: _Work, scene: Scene, source: BlockSource, *, thumbnail: bool) -> None:
    """The mask raster of one scene, and its picture."""
    path = put_raster(
        build,
        work.ground,
        layer_file(scene.id, MASK),
        source,
        bands=[RasterBand("codes: 0 clear 1 cloud 2 shadow 3 snow 4 water"), RasterBand("detectors")],
        dtype=np.uint8,
        nodata=NODATA_CLASS,
        role="mask.codes",
        threads=work.line.threads,
        attribution=attribution_line({scene.level}, {scene.acquired.year}),
        tags={"SCENE": scene.id},
    )
    extent = work.ground.extent().slices
    reflectance = read_reduced(work.fetched.path(layer_file(scene.id, REFLECTANCE)), *extent, max_px=_PICTURE_PX)
    codes = read_reduced(path, *extent, max_px=_PICTURE_PX, bands=[1])[0]
    put_mask_picture(build, scene.id, reflectance, work.line.region.bands, codes, thumbnail=thumbnail)


def _put_probability(build: Build, work: _Work, scene: Scene, planes: Mapping[str, UnitArrays]) -> None:
    """The probability raster of one scene, in per cent: a band for each detector that knows probabilities."""
    per_cent = {name: arrays["per_cent"] for name, arrays in planes.items() if "per_cent" in arrays}
    if not per_cent:
        return
    extent = work.coarse.extent()
    stack = np.full((len(per_cent), *work.coarse.geobox.shape), NODATA_CLASS, np.uint8)
    for plane, found in zip(stack, per_cent.values(), strict=True):
        plane[extent.slices] = found
    put_raster(
        build,
        work.coarse,
        layer_file(scene.id, PROBABILITY),
        lambda row, col: stack[:, *work.coarse.block_window(row, col).slices],
        bands=[RasterBand(f"{name} cloud probability", scale=1 / PER_CENT) for name in per_cent],
        dtype=np.uint8,
        nodata=NODATA_CLASS,
        role="mask.probability",
        threads=work.line.threads,
        attribution=attribution_line({scene.level}, {scene.acquired.year}),
        tags={"SCENE": scene.id},
    )


def _put_distance(build: Build, work: _Work, scene: Scene, codes: ClassCode) -> None:
    """The raster of metres to the nearest cloud and to the nearest shadow, on the mask's grid."""
    put_raster(
        build,
        work.coarse,
        layer_file(scene.id, DISTANCE),
        _distances(codes, work.coarse),
        bands=[RasterBand("metres to cloud"), RasterBand("metres to shadow")],
        dtype=np.uint16,
        nodata=DISTANCE_NODATA,
        role="mask.distance",
        threads=work.line.threads,
        attribution=attribution_line({scene.level}, {scene.acquired.year}),
        tags={"SCENE": scene.id, "CAP_M": str(DISTANCE_CAP_M)},
    )


def _distances(codes: ClassCode, ground: Ground) -> Callable[[int, int], NDArray[np.uint16]]:
    """Block row and column -> (2, y, x) uint16, metres from cloud and from shadow; 65,535 where nothing was seen."""
    metres = float(ground.geobox.resolution.x)
    cap_px = max(math.ceil(DISTANCE_CAP_M / metres), 1)
    others = [codes != MaskCode.CLOUD, codes != MaskCode.SHADOW]

    def block(row: int, col: int) -> NDArray[np.uint16]:
        """One block of them."""
        window = ground.block_window(row, col)
        found = np.empty((len(others), window.height, window.width), np.uint16)
        for plane, other in zip(found, others, strict=True):
            near2 = squared_distance(
                other, cap_px=cap_px, top=window.row, left=window.col, height=window.height, width=window.width
            )
            plane[:] = np.minimum(np.rint(np.sqrt(near2) * metres), DISTANCE_CAP_M)
        found[:, codes[window.slices] == NODATA_CLASS] = DISTANCE_NODATA
        return found

    return block


def _shares(counts: NDArray[np.int64]) -> dict[str, float]:
    """Class -> share of the area's pixels on the tile, `nodata` included."""
    total = max(int(counts.sum()), 1)
    shares = {code.name.lower(): float(counts[code] / total) for code in MaskCode if code != MaskCode.FILL}
    return {**shares, "nodata": float(counts[MaskCode.FILL] / total)}


def _detector_shares(
    region: Region, scene: Scene, counts: NDArray[np.int64], flagged: NDArray[np.int64]
) -> dict[str, float]:
    """Detector -> share of the area's pixels on the tile that it called cloud or shadow; plug-ins share one bit."""
    total = max(int(counts.sum()), 1)
    by_bit: dict[DetectorBit, list[str]] = {}
    for name, bit in detector_bits(region, scene).items():
        by_bit.setdefault(bit, []).append(name)
    seen = np.arange(256) != NODATA_CLASS
    return {
        "+".join(names): float(flagged[seen & (np.arange(256) & bit > 0)].sum() / total)
        for bit, names in by_bit.items()
    }


def _outside_inputs(line: Line, place: Place) -> tuple[ItemInput, ...]:
    """Files of the user's that detectors read, and packages that brought them along."""
    found: list[ItemInput] = []
    asked = line.region.mask.detectors
    if (asked == "auto" or set(asked) <= set(IN_HOUSE)) and reads_own_fmask(line.region):
        return ()
    for scene in fetched_scenes(line, place):
        facts = facts_of(line.archive, scene)
        for name, detector in judging_detectors(line.region, scene, facts).items():
            identity = outside_identity(detector, scene.id)
            if identity is not None:
                found.append(ItemInput(id=f"{name} of {scene.id}", checksum=identity))
    return tuple(found)


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        **region.mask.model_dump(mode="json", exclude=_UNUSED),
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "bands": list(region.bands),
        "region_resolution": region.resolution,
    }


_UNUSED: Any = {
    "drop": True,
    "l1c_archive": True,
    "external_fmask": {"path", "timeout_s"},
    "scores": {"path"},
    "omnicloudmask": {"weights"},
}
"""Keys of the region's mask that other stations look at, that change no result, or whose files tell for themselves."""

HYBRID_MASK = Station(
    name="hybrid_mask",
    version="5",
    scope="tile_month",
    summary="Cloud, shadow, snow and water of every selected scene, by all detectors that have input, and who said so.",
    settings=_settings,
    upstream=lambda line, place: (
        Place(SCENE_SEARCH.name, place.tile, place.month),
        Place(FETCH.name, place.tile, place.month),
    ),
    build=_mask,
    items=_outside_inputs,
)
