"""Station 3: the selected scenes' bands, as reflectance on the tile's raster."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, ClassCode, ReflectanceCount
from geo_assets.domain.bands import S2CLOUDLESS_BANDS
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.io.cog import BandReader, Content, open_band
from geo_assets.io.cog_writer import RasterBand
from geo_assets.io.products import Build, Place
from geo_assets.stations.ground import Blocks, Ground, ground_of, units_of
from geo_assets.stations.line import Line, Station
from geo_assets.stations.scout import SCOUT, detectors_of, read_selection
from geo_assets.stations.search import SCENE_SEARCH, read_scenes
from geo_assets.stations.units import BlockSource, UnitArrays, block_name, finish_units, put_raster

REFLECTANCE, CLASSES, TOA = "reflectance", "classes", "toa"
"""Layers of a fetched scene, as files `<scene>.<layer>.tif`."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One raster that is fetched for a scene."""

    name: str
    parts: tuple[SceneItem, ...]
    bands: tuple[str, ...]
    ground: Ground

    @property
    def nodata(self) -> int:
        """What stands where no part has data."""
        return NODATA_CLASS if self.name == CLASSES else NODATA_REFLECTANCE


def layer_file(scene_id: str, layer: str) -> str:
    """The file of a layer within a `fetch` product."""
    return f"{scene_id}.{layer}.tif"


def class_layers(region: Region, scene: Scene) -> tuple[str, ...]:
    """The categorical layers that a scene's mask is made from: `scl`, `fmask`, both or none."""
    detectors = detectors_of(region, scene)
    return tuple(name for name, detector in (("scl", "quality"), ("fmask", "fmask")) if detector in detectors)


def selected_scenes(line: Line, place: Place) -> tuple[Scene, ...]:
    """The scenes that scout selected for a tile and month, best first."""
    selection = read_selection(line.products.need(Place(SCOUT.name, place.tile, place.month)))
    if not len(selection):
        return ()
    by_id = {
        scene.id: scene for scene in read_scenes(line.products.need(Place(SCENE_SEARCH.name, place.tile, place.month)))
    }
    chosen = selection[selection["selected"]].sort_values("rank")["scene"].unique()
    return tuple(by_id[scene] for scene in chosen)


def _fetch(line: Line, place: Place, build: Build) -> None:
    scenes = selected_scenes(line, place)
    if not scenes:
        build.empty("no scene was selected")
        return
    assert place.tile is not None  # the station's scope
    ground = ground_of(line.region, place.tile)
    coarse = ground_of(line.region, place.tile, resolution=line.region.mask.resolution)
    build.lies_on(ground.geobox)
    serves = _served_blocks(line, place)
    jobs: dict[str, Callable[[], UnitArrays]] = {}
    layers: list[tuple[Scene, Layer, dict[tuple[int, int], str]]] = []
    for scene in scenes:
        for layer in _layers(line.region, scene, ground, coarse):
            blocks = layer.ground.blocks() if layer.name == TOA else serves[scene.id]
            keys: dict[tuple[int, int], str] = {}
            for unit, members in units_of(blocks, line.unit_blocks).items():
                key = f"{scene.id}/{layer.name}/{unit}"
                jobs[key] = partial(_read_unit, line, layer, members)
                keys |= dict.fromkeys(members, key)
            layers.append((scene, layer, keys))
    finish_units(line, build, jobs, str(place))
    decoded = 0
    for scene, layer, keys in layers:
        _put_layer(line, build, scene, layer, keys, jobs)
        decoded += _record_reads(build, scene, layer, keys)
    build.metric("scenes_fetched", len(scenes))
    build.metric("megabytes_read", decoded / 1e6)  # decoded: how files are compressed is the archive's affair
    build.metric("days", sorted({scene.acquired.day for scene in scenes}))


def _layers(region: Region, scene: Scene, ground: Ground, coarse: Ground) -> Iterable[Layer]:
    yield Layer(REFLECTANCE, scene.parts, region.bands, ground)
    classes = class_layers(region, scene)
    if classes:
        yield Layer(CLASSES, scene.parts, classes, ground)
    if "s2cloudless" in detectors_of(region, scene):
        yield Layer(TOA, scene.toa_parts, S2CLOUDLESS_BANDS, coarse)


def _served_blocks(line: Line, place: Place) -> dict[str, Blocks]:
    selection = read_selection(line.products.need(Place(SCOUT.name, place.tile, place.month)))
    rows = selection[selection["serves"]]
    return {
        str(scene): tuple((int(row), int(col)) for row, col in zip(some["block_row"], some["block_col"], strict=True))
        for scene, some in rows.groupby("scene")
    }


def _read_unit(line: Line, layer: Layer, blocks: Blocks) -> UnitArrays:
    """The blocks of one layer that hold data, each merged from the scene's parts."""
    read = _read_classes if layer.name == CLASSES else _read_reflectance
    merged: dict[tuple[int, int], NDArray[Any]] = {}
    for part in layer.parts:
        for block, found in read(line, layer, part, blocks).items():
            if block in merged:
                # Valid-first in order of id, and by whole spectra: a pixel never mixes two datastrips.
                lacking = (merged[block] == layer.nodata).any(axis=0)
                merged[block] = np.where(lacking, found, merged[block])
            else:
                merged[block] = found
    return {
        block_name(layer.name, *block): array
        for block, array in sorted(merged.items())
        if (array != layer.nodata).any()
    }


def _read_reflectance(
    line: Line, layer: Layer, part: SceneItem, blocks: Blocks
) -> dict[tuple[int, int], ReflectanceCount]:
    def read(reader: BandReader, row: int, col: int, height: int, width: int) -> ReflectanceCount:
        return reader.reflectance(row, col, height, width, offset_dn=part.offset_dn)

    return _read_bands(line, layer, part, blocks, read)


def _read_classes(line: Line, layer: Layer, part: SceneItem, blocks: Blocks) -> dict[tuple[int, int], ClassCode]:
    def read(reader: BandReader, row: int, col: int, height: int, width: int) -> ClassCode:
        return reader.classes(row, col, height, width, fill=NODATA_CLASS)

    return _read_bands(line, layer, part, blocks, read)


def _read_bands(
    line: Line,
    layer: Layer,
    part: SceneItem,
    blocks: Blocks,
    read: Callable[[BandReader, int, int, int, int], NDArray[Any]],
) -> dict[tuple[int, int], NDArray[Any]]:
    """(band, y, x) of each block, one file open at a time."""
    content: Content = "classes" if layer.name == CLASSES else "reflectance"
    found: dict[tuple[int, int], list[NDArray[Any]]] = {block: [] for block in blocks}
    for name in layer.bands:
        asset = part.assets[name]
        where = f"Item {part.id}, band {name}"
        address = line.archive.address(asset)
        with open_band(address, asset.band_index, layer.ground.geobox, content, where=where) as reader:
            for block in blocks:
                window = layer.ground.block_window(*block)
                found[block].append(read(reader, window.row, window.col, window.height, window.width))
    return {block: np.stack(bands) for block, bands in found.items()}


def _put_layer(
    line: Line,
    build: Build,
    scene: Scene,
    layer: Layer,
    keys: Mapping[tuple[int, int], str],
    jobs: Mapping[str, Callable[[], UnitArrays]],
) -> None:
    reflectance = layer.name != CLASSES
    put_raster(
        build,
        layer.ground,
        layer_file(scene.id, layer.name),
        BlockSource(build.units, keys, layer.name, lambda key: jobs[key]()),
        bands=[RasterBand(name, scale=1e-4 if reflectance else None) for name in layer.bands],
        dtype=np.int16 if reflectance else np.uint8,
        nodata=layer.nodata,
        role=f"s2.{scene.level.lower() if layer.name != TOA else 'l1c'}.{layer.name}",
        threads=line.threads,
        tags={"SCENE": scene.id, "ACQUIRED": f"{scene.acquired:%Y-%m-%dT%H:%M:%SZ}"},
    )


def _record_reads(build: Build, scene: Scene, layer: Layer, blocks: Iterable[tuple[int, int]]) -> int:
    """Ledger rows of what was read for one layer; returns its bytes, decoded, on our grid."""
    windows = [layer.ground.block_window(*block) for block in blocks]
    pixels = sum(window.height * window.width for window in windows)
    for part in layer.parts:
        for name in layer.bands:
            build.record(
                {
                    "outcome": "read",
                    "scene": scene.id,
                    "item": part.id,
                    "band": name,
                    "href": part.assets[name].href.split("?")[0],
                    "offset_dn": 0 if layer.name == CLASSES else part.offset_dn,
                    "offset_applied": layer.name != CLASSES,
                    "blocks": len(windows),
                }
            )
    itemsize = 1 if layer.name == CLASSES else 2
    return pixels * itemsize * len(layer.bands) * len(layer.parts)


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "resolution": region.resolution,
        "feather_m": region.mosaic.feather_m,
        "bands": list(region.bands),
        "detectors": region.mask.detectors,
        "mask_resolution": region.mask.resolution,
    }


FETCH = Station(
    name="fetch",
    version="1",
    scope="tile_month",
    summary="The selected scenes' bands and quality layers on the tile's grid: reflectance x 10,000, offset applied.",
    settings=_settings,
    upstream=lambda line, place: (
        Place(SCENE_SEARCH.name, place.tile, place.month),
        Place(SCOUT.name, place.tile, place.month),
    ),
    build=_fetch,
)
