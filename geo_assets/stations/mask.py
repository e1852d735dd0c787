"""Station 4: which observations are clear: quality layer, s2cloudless and Fmask files, fused pixel by pixel."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, Flag
from geo_assets.domain.bands import S2CLOUDLESS_BANDS
from geo_assets.domain.errors import DetectorError
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene
from geo_assets.io.cog_writer import RasterBand
from geo_assets.io.detectors import s2cloudless_cloud, s2cloudless_probability
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.rasters import read_reduced, read_window
from geo_assets.kernels.quality import (
    DetectorBit,
    FmaskEncoding,
    MaskCode,
    buffer,
    fmask_codes,
    fuse_codes,
    scl_codes,
)
from geo_assets.stations.fetch import (
    CLASSES,
    FETCH,
    REFLECTANCE,
    TOA,
    class_layers,
    layer_file,
    selected_scenes,
)
from geo_assets.stations.ground import Ground, Window, ground_of
from geo_assets.stations.line import Line, Station
from geo_assets.stations.pictures import put_mask_picture
from geo_assets.stations.scout import SCOUT, detectors_of
from geo_assets.stations.search import SCENE_SEARCH
from geo_assets.stations.units import BlockSource, UnitArrays, block_name, finish_units, put_raster

MASK, PROBABILITY = "mask", "probability"
"""Layers of a masked scene, as files `<scene>.<layer>.tif`."""

_PER_CENT = 100
_PICTURE_PX = 512


def _mask(line: Line, place: Place, build: Build) -> None:
    scenes = selected_scenes(line, place)
    if not scenes:
        build.empty("no scene was selected")
        return
    assert place.tile is not None  # the station's scope
    fetched = line.products.need(Place(FETCH.name, place.tile, place.month))
    ground = ground_of(line.region, place.tile)
    coarse = ground_of(line.region, place.tile, resolution=line.region.mask.resolution)
    build.lies_on(ground.geobox)
    jobs = {scene.id: partial(_masked_scene, line, fetched, scene, ground, coarse) for scene in scenes}
    kept = finish_units(line, build, jobs, str(place), keep=["counts"])
    shares = {}
    for scene in scenes:
        layer = partial(_source, build, scene, jobs)
        put_raster(
            build,
            ground,
            layer_file(scene.id, MASK),
            layer(ground, MASK),
            bands=[RasterBand("codes: 0 clear 1 cloud 2 shadow 3 snow 4 water"), RasterBand("detectors")],
            dtype=np.uint8,
            nodata=NODATA_CLASS,
            role="mask.codes",
            threads=line.threads,
            tags={"SCENE": scene.id},
        )
        if "s2cloudless" in detectors_of(line.region, scene):
            put_raster(
                build,
                coarse,
                layer_file(scene.id, PROBABILITY),
                layer(coarse, PROBABILITY),
                bands=[RasterBand("s2cloudless cloud probability", scale=1 / _PER_CENT)],
                dtype=np.uint8,
                nodata=NODATA_CLASS,
                role="mask.probability",
                threads=line.threads,
                tags={"SCENE": scene.id},
            )
        extent = ground.extent().slices
        reflectance = read_reduced(fetched.path(layer_file(scene.id, REFLECTANCE)), *extent, max_px=_PICTURE_PX)
        codes = read_reduced(build.scratch(layer_file(scene.id, MASK)), *extent, max_px=_PICTURE_PX, bands=[1])[0]
        put_mask_picture(build, scene.id, reflectance, line.region.bands, codes)
        shares[scene.id] = _shares(kept[scene.id]["counts"])
        build.record({"scene": scene.id, "outcome": "masked", "detectors": list(detectors_of(line.region, scene))})
    build.metric("class_shares", shares)
    build.metric("clear_share", float(np.mean([share["clear"] for share in shares.values()])))
    build.metric("cloud_share", float(np.mean([share["cloud"] for share in shares.values()])))
    build.metric("detectors", sorted({name for scene in scenes for name in detectors_of(line.region, scene)}))
    build.metric("scenes", len(scenes))


def _source(build: Build, scene: Scene, jobs: Mapping[str, Any], ground: Ground, layer: str) -> BlockSource:
    return BlockSource(build.units, dict.fromkeys(ground.blocks(), scene.id), layer, lambda key: jobs[key]())


def _masked_scene(line: Line, fetched: Product, scene: Scene, ground: Ground, coarse: Ground) -> UnitArrays:
    """Mask blocks, probability blocks, and class counts inside the area, of one scene."""
    region, detectors = line.region, detectors_of(line.region, scene)
    if not detectors and region.mask.detectors == "auto":
        raise DetectorError(
            f"Region {region.name}, scene {scene.id}: no detector has input: the item has no SCL, no Fmask file, and "
            "L1C bands for s2cloudless are not in the archive. "
            "Set mask.detectors: [] to call every valid pixel clear on purpose."
        )
    arrays: dict[str, NDArray[Any]] = {}
    cloud = None
    if "s2cloudless" in detectors:
        probability, cloud = _s2cloudless(region, fetched, scene, coarse)
        arrays |= _probability_blocks(probability, coarse)
    extent = ground.extent()
    codes = np.full((extent.height, extent.width), NODATA_CLASS, np.uint8)
    bits = np.full((extent.height, extent.width), NODATA_CLASS, np.uint8)
    for row, col in ground.blocks():
        window = ground.block_window(row, col)
        fused_codes, fused_bits = _fused_block(region, fetched, scene, window, cloud)
        at = _within(extent, window)
        codes[at], bits[at] = fused_codes, fused_bits
    counts = np.zeros(256, np.int64)
    for row, col in ground.blocks():
        window = ground.block_window(row, col)
        at = _within(extent, window)
        grown = _grown(region, codes, at)
        if (grown != NODATA_CLASS).any():
            arrays[block_name(MASK, row, col)] = np.stack([grown, bits[at]])
        counts += np.bincount(grown[ground.inside(window)], minlength=256)
    return {**arrays, "counts": counts}


def _within(extent: Window, window: Window) -> tuple[slice, slice]:
    top, left = window.row - extent.row, window.col - extent.col
    return slice(top, top + window.height), slice(left, left + window.width)


def _s2cloudless(
    region: Region, fetched: Product, scene: Scene, coarse: Ground
) -> tuple[NDArray[np.float32], tuple[Flag, Flag]]:
    """Probability, and (cloud, known), on the whole coarse raster's active extent; NaN elsewhere."""
    rows, cols = coarse.extent().slices
    stack = read_window(fetched.path(layer_file(scene.id, TOA)), rows, cols)
    whole = np.full(coarse.geobox.shape, np.nan, np.float32)
    whole[rows, cols] = s2cloudless_probability(dict(zip(S2CLOUDLESS_BANDS, stack, strict=True)))
    settings = region.mask
    cloud = s2cloudless_cloud(
        whole,
        threshold=settings.threshold,
        average_over=settings.average_over,
        dilation_size=settings.dilation_size,
    )
    return whole, (cloud, ~np.isnan(whole))


def _probability_blocks(probability: NDArray[np.float32], coarse: Ground) -> dict[str, NDArray[Any]]:
    per_cent = np.where(np.isnan(probability), NODATA_CLASS, np.rint(np.nan_to_num(probability) * _PER_CENT))
    blocks = {}
    for row, col in coarse.blocks():
        block = per_cent[coarse.block_window(row, col).slices].astype(np.uint8)
        if (block != NODATA_CLASS).any():
            blocks[block_name(PROBABILITY, row, col)] = block[np.newaxis]
    return blocks


def _fused_block(
    region: Region, fetched: Product, scene: Scene, window: Window, cloud: tuple[Flag, Flag] | None
) -> tuple[ClassCode, ClassCode]:
    """Codes and detector bits of one block, before buffers."""
    first_band = read_window(fetched.path(layer_file(scene.id, REFLECTANCE)), *window.slices)
    valid = (first_band != np.iinfo(np.int16).min).all(axis=0)
    detections: list[tuple[DetectorBit, ClassCode]] = []
    names = class_layers(region, scene)
    if names:
        layers = dict(zip(names, read_window(fetched.path(layer_file(scene.id, CLASSES)), *window.slices), strict=True))
        if "scl" in layers:
            scl = np.where(layers["scl"] == NODATA_CLASS, np.uint8(0), layers["scl"])
            detections.append((DetectorBit.QUALITY_LAYER, scl_codes(scl)))
        if "fmask" in layers:
            detections.append(
                (DetectorBit.EXTERNAL_FMASK, fmask_codes(layers["fmask"], FmaskEncoding(region.mask.fmask_encoding)))
            )
    if cloud is not None:
        flag, known = (_nearest(plane, window, region.mask.resolution / region.resolution) for plane in cloud)
        codes = np.where(flag, np.uint8(MaskCode.CLOUD), np.uint8(MaskCode.CLEAR))
        detections.append((DetectorBit.S2CLOUDLESS, np.where(known, codes, np.uint8(MaskCode.FILL))))
    if not detections:
        detections.append((DetectorBit.QUALITY_LAYER, np.zeros(valid.shape, np.uint8)))
    fused = fuse_codes(detections)
    return np.where(valid, fused.codes, np.uint8(NODATA_CLASS)), np.where(
        valid, fused.detectors, np.uint8(NODATA_CLASS)
    )


def _nearest(plane: Flag, window: Window, ratio: float) -> Flag:
    """A coarse plane at a window of the fine raster: the coarse pixel that holds each fine centre."""
    rows = ((np.arange(window.row, window.row + window.height) + 0.5) / ratio).astype(np.int64)
    cols = ((np.arange(window.col, window.col + window.width) + 0.5) / ratio).astype(np.int64)
    flags: Flag = plane[np.ix_(rows, cols)]
    return flags


def _grown(region: Region, codes: ClassCode, at: tuple[slice, slice]) -> ClassCode:
    """A block of the codes with cloud and shadow grown by the region's buffers, seen with a halo as wide."""
    settings, metres = region.mask, region.resolution
    grown = codes[at].copy()
    for code, width_m in ((MaskCode.SHADOW, settings.shadow_buffer_m), (MaskCode.CLOUD, settings.cloud_buffer_m)):
        if width_m:
            halo = math.ceil(width_m / metres)
            top, left = max(at[0].start - halo, 0), max(at[1].start - halo, 0)
            flag = codes[top : at[0].stop + halo, left : at[1].stop + halo] == code
            near = buffer(flag, radius_px=width_m / metres)[at[0].start - top :, at[1].start - left :]
            near = near[: grown.shape[0], : grown.shape[1]]
            grown[near & (grown != MaskCode.FILL) & (grown != MaskCode.CLOUD)] = code
    return grown


def _shares(counts: NDArray[np.int64]) -> dict[str, float]:
    """Class -> share of the area's pixels on the tile, `nodata` included."""
    total = max(int(counts.sum()), 1)
    shares = {code.name.lower(): float(counts[code] / total) for code in MaskCode if code != MaskCode.FILL}
    return {**shares, "nodata": float(counts[MaskCode.FILL] / total)}


def _settings(region: Region) -> Mapping[str, Any]:
    return {**region.mask.model_dump(mode="json", exclude={"drop"}), "region_resolution": region.resolution}


HYBRID_MASK = Station(
    name="hybrid_mask",
    version="1",
    scope="tile_month",
    summary="Cloud, shadow, snow and water of every selected scene, by all detectors that have input, and who said so.",
    settings=_settings,
    upstream=lambda line, place: (
        Place(SCENE_SEARCH.name, place.tile, place.month),
        Place(SCOUT.name, place.tile, place.month),
        Place(FETCH.name, place.tile, place.month),
    ),
    build=_mask,
)
