"""Station 4: which observations are clear: quality layer, s2cloudless and Fmask files, fused pixel by pixel."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import shapely
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
    MaskCode,
    buffer,
    fuse_codes,
)
from geo_assets.stations.detection import (
    FMASK,
    class_layers,
    codes_of_layers,
    detectors_of,
    fmask_file_codes,
    quality_layers,
)
from geo_assets.stations.fetch import (
    CLASSES,
    FETCH,
    REFLECTANCE,
    TOA,
    fetched_scenes,
    layer_file,
)
from geo_assets.stations.ground import Blocks, Ground, Window, ground_of, units_of
from geo_assets.stations.line import Line, Station
from geo_assets.stations.pictures import put_mask_picture
from geo_assets.stations.search import SCENE_SEARCH
from geo_assets.stations.units import BlockSource, UnitArrays, block_name, finish_units, put_raster

MASK, PROBABILITY = "mask", "probability"
"""Layers of a masked scene, as files `<scene>.<layer>.tif`."""

_PER_CENT = 100
_PICTURE_PX = 512


def _mask(line: Line, place: Place, build: Build) -> None:
    scenes = fetched_scenes(line, place)
    if not scenes:
        build.empty("no scene was fetched")
        return
    assert place.tile is not None  # the station's scope
    work = _Work(
        line,
        line.products.need(Place(FETCH.name, place.tile, place.month)),
        ground_of(line.region, place.tile),
        ground_of(line.region, place.tile, resolution=line.region.mask.resolution),
    )
    build.lies_on(work.ground.geobox)
    with_forest = [scene for scene in scenes if "s2cloudless" in work.detectors(scene)]
    forest = {f"{scene.id}/{PROBABILITY}": partial(work.probability, scene) for scene in with_forest}
    planes = finish_units(line, build, forest, str(place), keep=["plane"])
    clouds = {scene.id: work.cloud(planes[f"{scene.id}/{PROBABILITY}"]["plane"]) for scene in with_forest}
    units = {
        f"{scene.id}/{MASK}/{unit}": (scene, blocks)
        for scene in scenes
        for unit, blocks in units_of(work.ground.blocks(), line.unit_blocks).items()
    }
    jobs = {key: partial(work.masked, scene, blocks, clouds.get(scene.id)) for key, (scene, blocks) in units.items()}
    kept = finish_units(line, build, jobs, str(place), keep=["counts"])
    shares: dict[str, dict[str, float]] = {}
    for scene in scenes:
        keys = {block: key for key, (owner, blocks) in units.items() if owner is scene for block in blocks}
        source = BlockSource(build.units, keys, MASK, lambda key: jobs[key]())
        _put_mask(build, work, scene, source, thumbnail=scene is scenes[0])
        if scene.id in clouds:
            _put_probability(build, work, scene, planes[f"{scene.id}/{PROBABILITY}"]["plane"])
        counts = np.sum([kept[key]["counts"] for key in dict.fromkeys(keys.values())], axis=0)
        shares[scene.id] = _shares(counts)
        build.record({"scene": scene.id, "outcome": "masked", "detectors": list(work.detectors(scene))})
    build.metric("class_shares", shares)
    build.metric("clear_share", float(np.mean([share["clear"] for share in shares.values()])))
    build.metric("cloud_share", float(np.mean([share["cloud"] for share in shares.values()])))
    build.metric("detectors", sorted({name for scene in scenes for name in work.detectors(scene)}))
    build.metric("scenes_masked", len(scenes))


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What one tile and month of masks is made from."""

    line: Line
    fetched: Product
    ground: Ground
    coarse: Ground
    """The same tile on the mask's grid."""

    def detectors(self, scene: Scene) -> tuple[str, ...]:
        """The detectors of a scene; `DetectorError` when it has input for none of them."""
        detectors = detectors_of(self.line.region, scene)
        if not detectors and self.line.region.mask.detectors == "auto":
            raise DetectorError(
                f"Region {self.line.region.name}, scene {scene.id}: no detector has input: the item has no SCL, no "
                "Fmask file, and L1C bands for s2cloudless are not in the archive. "
                "Set mask.detectors: [] to call every valid pixel clear on purpose."
            )
        return detectors

    def probability(self, scene: Scene) -> UnitArrays:
        """`plane`: (y, x) float32 of the whole coarse raster, NaN where unknown."""
        rows, cols = self.coarse.extent().slices
        stack = read_window(self.fetched.path(layer_file(scene.id, TOA)), rows, cols)
        plane = np.full(self.coarse.geobox.shape, np.nan, np.float32)
        plane[rows, cols] = s2cloudless_probability(dict(zip(S2CLOUDLESS_BANDS, stack, strict=True)))
        return {"plane": plane}

    def cloud(self, plane: NDArray[np.float32]) -> tuple[Flag, Flag]:
        """Cloud, and where it is known, on the whole coarse raster."""
        settings = self.line.region.mask
        cloud = s2cloudless_cloud(
            plane,
            threshold=settings.threshold,
            average_over=settings.average_over,
            dilation_size=settings.dilation_size,
        )
        return cloud, ~np.isnan(plane)

    def masked(self, scene: Scene, blocks: Blocks, cloud: tuple[Flag, Flag] | None) -> UnitArrays:
        """Mask blocks of one scene, and its class counts inside the area."""
        arrays: dict[str, NDArray[Any]] = {}
        counts = np.zeros(256, np.int64)
        for row, col in blocks:
            window = self.ground.block_window(row, col)
            codes, bits = self.grown(scene, window, cloud)
            counts += np.bincount(codes[self.ground.inside(window)], minlength=256)
            if (codes != NODATA_CLASS).any():
                arrays[block_name(MASK, row, col)] = np.stack([codes, bits])
        return {**arrays, "counts": counts}

    def grown(self, scene: Scene, window: Window, cloud: tuple[Flag, Flag] | None) -> tuple[ClassCode, ClassCode]:
        """Codes with cloud and shadow grown by the region's buffers, and detector bits, of a window.

        Seen with a halo as wide as the buffers, so that no block border shows.
        """
        settings, metres = self.line.region.mask, self.line.region.resolution
        widths = {MaskCode.SHADOW: settings.shadow_buffer_m, MaskCode.CLOUD: settings.cloud_buffer_m}
        wide = window.padded(math.ceil(max(widths.values()) / metres), self.line.region.tile_shape)
        codes, bits = _fused(self.line.region, self.fetched, scene, wide, cloud)
        grown = codes.copy()
        for code, width_m in widths.items():
            if width_m:
                near = buffer(codes == code, radius_px=width_m / metres)
                grown[near & (grown != MaskCode.FILL) & (grown != MaskCode.CLOUD)] = code
        at = window.within(wide)
        return np.ascontiguousarray(grown[at]), np.ascontiguousarray(bits[at])


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
        tags={"SCENE": scene.id},
    )
    extent = work.ground.extent().slices
    reflectance = read_reduced(work.fetched.path(layer_file(scene.id, REFLECTANCE)), *extent, max_px=_PICTURE_PX)
    codes = read_reduced(path, *extent, max_px=_PICTURE_PX, bands=[1])[0]
    put_mask_picture(build, scene.id, reflectance, work.line.region.bands, codes, thumbnail=thumbnail)


def _put_probability(build: Build, work: _Work, scene: Scene, plane: NDArray[np.float32]) -> None:
    """The probability raster of one scene, in per cent."""
    per_cent = np.where(np.isnan(plane), NODATA_CLASS, np.rint(np.nan_to_num(plane) * _PER_CENT)).astype(np.uint8)
    put_raster(
        build,
        work.coarse,
        layer_file(scene.id, PROBABILITY),
        lambda row, col: per_cent[np.newaxis, *work.coarse.block_window(row, col).slices],
        bands=[RasterBand("s2cloudless cloud probability", scale=1 / _PER_CENT)],
        dtype=np.uint8,
        nodata=NODATA_CLASS,
        role="mask.probability",
        threads=work.line.threads,
        tags={"SCENE": scene.id},
    )


def _fused(
    region: Region, fetched: Product, scene: Scene, window: Window, cloud: tuple[Flag, Flag] | None
) -> tuple[ClassCode, ClassCode]:
    """Codes and detector bits of a window, before buffers."""
    reflectance = read_window(fetched.path(layer_file(scene.id, REFLECTANCE)), *window.slices)
    valid = (reflectance != np.iinfo(np.int16).min).all(axis=0)
    detections: list[tuple[DetectorBit, ClassCode]] = []
    names = class_layers(region, scene)
    if names:
        layers = dict(zip(names, read_window(fetched.path(layer_file(scene.id, CLASSES)), *window.slices), strict=True))
        detectors = detectors_of(region, scene)
        if "quality" in detectors:
            own = np.stack([layers[name] for name in quality_layers(region.bands, scene.parts[0])])
            detections.append((DetectorBit.QUALITY_LAYER, codes_of_layers(scene, own)))
        if FMASK in detectors:
            detections.append((DetectorBit.EXTERNAL_FMASK, fmask_file_codes(region, scene, layers[FMASK])))
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


def _shares(counts: NDArray[np.int64]) -> dict[str, float]:
    """Class -> share of the area's pixels on the tile, `nodata` included."""
    total = max(int(counts.sum()), 1)
    shares = {code.name.lower(): float(counts[code] / total) for code in MaskCode if code != MaskCode.FILL}
    return {**shares, "nodata": float(counts[MaskCode.FILL] / total)}


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        **region.mask.model_dump(mode="json", exclude={"drop"}),
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "bands": list(region.bands),
        "region_resolution": region.resolution,
    }


HYBRID_MASK = Station(
    name="hybrid_mask",
    version="2",
    scope="tile_month",
    summary="Cloud, shadow, snow and water of every selected scene, by all detectors that have input, and who said so.",
    settings=_settings,
    upstream=lambda line, place: (
        Place(SCENE_SEARCH.name, place.tile, place.month),
        Place(FETCH.name, place.tile, place.month),
    ),
    build=_mask,
)
