"""Station 3: the selected scenes' bands, as reflectance on the tile's raster."""

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, Flag
from geo_assets.domain.bands import Level
from geo_assets.domain.errors import ArchiveError
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.domain.tables import FETCHED
from geo_assets.io.angles import AngleFinding, angles_bytes, angles_from_bytes, scene_angles
from geo_assets.io.building import without_secrets
from geo_assets.io.cog_writer import RasterBand
from geo_assets.io.manifest import LOST
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.reads.band import Content
from geo_assets.io.tables import table_bytes, table_from
from geo_assets.stations.attribution import attribution_line
from geo_assets.stations.detection import (
    class_layers,
    detectors_of,
    judging_detectors,
    reads_own_fmask,
    toa_bands,
)
from geo_assets.stations.ground import Blocks, Ground, ground_of, units_of
from geo_assets.stations.item_files import NO_BLOCK, ItemFiles, LostBandError
from geo_assets.stations.line import Line, Station
from geo_assets.stations.offsets import Findings
from geo_assets.stations.scout import (
    SCOUT,
    Withdrawals,
    expect_some_left,
    read_look,
    read_offsets,
    settled_choice,
    withdrawal_row,
)
from geo_assets.stations.search import PARQUET, SCENE_SEARCH, read_scenes
from geo_assets.stations.selection import choice_settings, is_adaptive
from geo_assets.stations.units import BlockSource, UnitArrays, block_name, finish_units, put_raster

REFLECTANCE, CLASSES, TOA = "reflectance", "classes", "toa"
"""Layers of a fetched scene, as files `<scene>.<layer>.tif`."""

FETCHED_FILE = "fetched.parquet"
"""Which scenes were fetched in the end, and with which offsets."""

_METADATA_LIMIT_BYTES = 16 << 20
"""A granule's metadata have 0.3 to 2 MB."""

_FAMILY: Mapping[Level, str] = {"L1C": "s2.l1c", "L2A": "s2.l2a", "HLS": "hls", "NBAR": "modis.nbar"}
"""Processing level -> beginning of its rasters' roles."""


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


def angles_file(scene_id: str) -> str:
    """The file of a scene's angles within a `fetch` product."""
    return f"{scene_id}.angles.json"


def fetched_angles(product: Product, scene: Scene) -> AngleFinding:
    """The angles of a scene of a `fetch` product, and where they come from; none where nothing asks for them."""
    name = angles_file(scene.id)
    if name not in {file.name for file in product.manifest.files}:
        return AngleFinding(None, "none: neither a detector of the scene nor the composite asks for them")
    return angles_from_bytes(product.bytes(name), f"{product.place}, {name}")


def fetched_scenes(line: Line, place: Place) -> tuple[Scene, ...]:
    """The scenes that were fetched for a tile and month, best first; none if there was nothing to fetch.

    Their companions are those that were read: one whose file is lost is none.
    """
    product = line.products.need(Place(FETCH.name, place.tile, place.month))
    if product.manifest.status == "empty":
        return ()
    searched = line.products.need(Place(SCENE_SEARCH.name, place.tile, place.month))
    by_id = {scene.id: scene for scene in read_scenes(searched)}
    table = table_from(product.bytes(FETCHED_FILE), FETCHED)
    read = set(table["item"])
    scenes = [by_id[scene] for scene in table.sort_values("rank", kind="stable")["scene"].unique()]
    return tuple(
        replace(scene, companions=tuple(item for item in scene.companions if item.id in read)) for scene in scenes
    )


def _fetch(line: Line, place: Place, build: Build) -> None:
    scouted = line.products.need(Place(SCOUT.name, place.tile, place.month))
    if scouted.manifest.status == "empty":
        build.empty("no scene was selected")
        return
    assert place.tile is not None  # the station's scope
    work = _Work(
        line,
        ItemFiles(line.archive, build.meter),
        ground_of(line.region, place.tile),
        ground_of(line.region, place.tile, resolution=line.region.mask.resolution),
        read_offsets(scouted),
    )
    build.lies_on(work.ground.geobox)
    look, withdrawn, bare = read_look(line, scouted), Withdrawals(), Withdrawals()
    while True:
        choice = settled_choice(line, build, place, work.files, look, work.findings, withdrawn)
        expect_some_left(line, place, withdrawn, choice.selected)
        scenes = [replace(scene, companions=()) if scene.id in bare else scene for scene in choice.selected]
        jobs = {key: job for scene in scenes for key, job in work.jobs(scene, choice.serves[scene.id]).items()}
        lost: dict[str, ArchiveError] = {}
        finish_units(line, build, jobs, str(place), setbacks=lost)
        if not lost:
            break
        losses = work.first_losses(scenes, lost)
        for scene in scenes:
            if scene.id in losses:
                first = losses[scene.id]
                (bare if work.can_do_without(scene, first) else withdrawn)[scene.id] = first
    _put_scenes(build, work, scenes, choice.serves, jobs)
    _put_angles(build, work, place, scenes)
    bare = {name: error for name, error in bare.items() if name in choice.serves}
    for name, error in withdrawn.items():
        build.record(withdrawal_row(name, error))
    for name, error in bare.items():
        build.record({**withdrawal_row(name, error), "consequence": "the scene is masked without L1C"})
    build.metric("scenes_fetched", len(scenes))
    build.metric("scenes_withdrawn", len(withdrawn))
    build.metric("scenes_without_lost_l1c", len(bare))
    build.metric("scenes", [scene.id for scene in scenes])
    build.metric("days", sorted({scene.acquired.day for scene in scenes}))


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What one tile and month is fetched with."""

    line: Line
    files: ItemFiles
    ground: Ground
    coarse: Ground
    """The same tile on the mask's grid."""
    findings: Findings

    def layers(self, scene: Scene) -> tuple[Layer, ...]:
        """The rasters that are fetched for a scene."""
        region = self.line.region
        layers = [Layer(REFLECTANCE, scene.parts, region.bands, self.ground)]
        classes = class_layers(region, scene)
        if classes:
            layers.append(Layer(CLASSES, scene.parts, classes, self.ground))
        toa = toa_bands(region, scene)
        if toa:
            layers.append(Layer(TOA, scene.toa_parts, toa, self.coarse))
        return tuple(layers)

    def wants_angles(self, scene: Scene) -> bool:
        """True where a detector reads L1C, to which angles belong, or insists on them; or where the composite asks."""
        region = self.line.region
        judging = judging_detectors(region, scene).values()
        needed = region.composite.needs_view or any(detector.needs_angles for detector in judging)
        return needed or bool(toa_bands(region, scene))

    def can_do_without(self, scene: Scene, loss: LostBandError) -> bool:
        """True where what is lost is a companion's, and others are left of the detectors that choose themselves."""
        if self.line.region.mask.detectors != "auto" or loss.item not in {item.id for item in scene.companions}:
            return False
        return bool(detectors_of(self.line.region, replace(scene, companions=())))

    def units(self, scene: Scene, layer: Layer, serves: Flag) -> dict[str, Blocks]:
        """Unit -> the blocks of a layer in it; its key names them, for a scene may come to serve other blocks."""
        served = layer.ground.blocks() if layer.name == TOA else _blocks_of(serves)
        return {
            f"{scene.id}/{layer.name}/{unit}-{_mark(blocks)}": blocks
            for unit, blocks in units_of(served, self.line.unit_blocks).items()
        }

    def jobs(self, scene: Scene, serves: Flag) -> dict[str, Callable[[], UnitArrays]]:
        """Unit -> what reads it."""
        return {
            key: partial(_read_unit, self, layer, blocks)
            for layer in self.layers(scene)
            for key, blocks in self.units(scene, layer, serves).items()
        }

    def first_losses(self, scenes: Collection[Scene], lost: Mapping[str, ArchiveError]) -> dict[str, LostBandError]:
        """Id of a scene -> its first loss by layer, part, band and block: the same however the work was cut."""
        losses = [error for error in lost.values() if isinstance(error, LostBandError)]
        first: dict[str, LostBandError] = {}
        for scene in scenes:
            order = [(part.id, name) for layer in self.layers(scene) for part in layer.parts for name in layer.bands]
            own = [error for error in losses if (error.item, error.band) in order]
            if own:
                first[scene.id] = min(own, key=lambda error: (order.index((error.item, error.band)), error.block))
        return first


def _blocks_of(serves: Flag) -> Blocks:
    return tuple((int(row), int(col)) for row, col in np.argwhere(serves))


def _mark(what: Blocks | list[str]) -> str:
    return f"{zlib.crc32(repr(what).encode()):08x}"


def _read_unit(work: _Work, layer: Layer, blocks: Blocks) -> UnitArrays:
    """The blocks of one layer that hold data, each merged from the scene's parts."""
    merged: dict[tuple[int, int], NDArray[Any]] = {}
    for part in layer.parts:
        for block, found in _read_bands(work, layer, part, blocks).items():
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


def _read_bands(work: _Work, layer: Layer, part: SceneItem, blocks: Blocks) -> dict[tuple[int, int], NDArray[Any]]:
    """(band, y, x) of each block, one file open at a time. The only place that hands an offset to reflectance."""
    content: Content = "classes" if layer.name == CLASSES else "reflectance"
    found: dict[tuple[int, int], list[NDArray[Any]]] = {block: [] for block in blocks}
    for name in layer.bands:
        at = NO_BLOCK
        try:
            with work.files.opened(part, name, layer.ground.geobox, content) as reader:
                for at in blocks:
                    window = layer.ground.block_window(*at)
                    place = (window.row, window.col, window.height, window.width)
                    if content == "classes":
                        found[at].append(reader.classes(*place, fill=NODATA_CLASS))
                    else:
                        found[at].append(reader.reflectance(*place, offset_dn=work.findings[part.id].applied_dn))
        except LostBandError as loss:
            loss.block = at
            raise
    return {block: np.stack(bands) for block, bands in found.items()}


def _put_angles(build: Build, work: _Work, place: Place, scenes: Collection[Scene]) -> None:
    """Where sun and sensor stood over the scenes for which it is asked; a lost source is told, another taken."""
    asking = [scene for scene in scenes if work.wants_angles(scene)]
    keys = {scene.id: f"{scene.id}/angles-{_mark([item.id for item in scene.companions])}" for scene in asking}
    jobs = {keys[scene.id]: partial(_read_angles, work, scene) for scene in asking}
    kept = finish_units(work.line, build, jobs, f"{place}, angles", keep=["angles", "lost"])
    for scene in asking:
        unit = kept[keys[scene.id]]
        content = unit["angles"].tobytes()
        build.put(angles_file(scene.id), content, role="metadata.angles", media_type="application/json")
        finding = angles_from_bytes(content)
        source = finding.source
        left = "unknown" if finding.angles is None else f"from {source.partition(';')[0]}"
        build.record({"scene": scene.id, "item": scene.id, "outcome": "angles", "source": without_secrets(source)})
        for item, name, href, error in unit["lost"].tolist():
            build.record(
                {
                    "outcome": LOST,
                    "scene": scene.id,
                    "item": item,
                    "band": name,
                    "href": href,
                    "error": error,
                    "consequence": f"angles are {left}",
                }
            )


def _read_angles(work: _Work, scene: Scene) -> UnitArrays:
    """`angles`: the finding as bytes; `lost`: item, asset, address and error of each source that is lost for good."""
    lost: list[LostBandError] = []

    @contextmanager
    def noted() -> Iterator[None]:
        try:
            yield
        except LostBandError as loss:
            lost.append(loss)
            raise

    def read_bytes(item: SceneItem, name: str) -> bytes:
        with noted():
            return work.files.whole(item, name, limit_bytes=_METADATA_LIMIT_BYTES)

    def read_layer(item: SceneItem, name: str, grid: GeoBox) -> NDArray[Any]:
        with noted(), work.files.opened(item, name, grid, "classes") as band:
            return band.coarse_stored()

    finding = scene_angles((*scene.parts, *scene.companions), read_bytes, read_layer, work.ground.geobox)
    rows = [[loss.item, loss.band, loss.href, without_secrets(str(loss))] for loss in lost]
    return {
        "angles": np.frombuffer(angles_bytes(finding), np.uint8),
        "lost": np.array(rows, dtype=np.str_).reshape(len(rows), 4),
    }


def _put_scenes(
    build: Build,
    work: _Work,
    scenes: Collection[Scene],
    serves: Mapping[str, Flag],
    jobs: Mapping[str, Callable[[], UnitArrays]],
) -> None:
    """The rasters of all chosen scenes, and the table of what they were read from."""
    decoded, rows = 0, []
    for rank, scene in enumerate(scenes):
        for layer in work.layers(scene):
            units = work.units(scene, layer, serves[scene.id])
            keys = {block: key for key, blocks in units.items() for block in blocks}
            _put_layer(work.line, build, scene, layer, keys, jobs)
            decoded += _record_reads(build, work, scene, layer, keys)
        items = {item.id: ("detector", item) for item in scene.companions if item.id in work.findings}
        items |= {item.id: ("reflectance", item) for item in scene.parts}
        for name, (role, _) in items.items():
            offset_dn = work.findings[name].applied_dn
            rows.append({"scene": scene.id, "rank": rank, "role": role, "item": name, "offset_dn": offset_dn})
    frame = pd.DataFrame(rows, columns=list(FETCHED.columns))
    build.put(FETCHED_FILE, table_bytes(frame, FETCHED), role="table.fetched", media_type=PARQUET)
    build.metric("megabytes_decoded", decoded / 1e6)  # what came over the wire is in `run.json`


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
        role=f"{_FAMILY['L1C' if layer.name == TOA else scene.level]}.{layer.name}",
        threads=line.threads,
        tags={"SCENE": scene.id, "ACQUIRED": f"{scene.acquired:%Y-%m-%dT%H:%M:%SZ}"},
        attribution=attribution_line({scene.level}, {scene.acquired.year}),
    )


def _record_reads(build: Build, work: _Work, scene: Scene, layer: Layer, blocks: Iterable[tuple[int, int]]) -> int:
    """Ledger rows of what was read for one layer; returns its bytes, decoded, on our grid."""
    windows = [layer.ground.block_window(*block) for block in blocks]
    pixels = sum(window.height * window.width for window in windows)
    counts = layer.name != CLASSES
    for part in layer.parts:
        for name in layer.bands:
            build.record(
                {
                    "outcome": "read",
                    "scene": scene.id,
                    "item": part.id,
                    "band": name,
                    "href": part.assets[name].href.partition("?")[0],
                    "offset_dn": work.findings[part.id].applied_dn if counts else 0,
                    "offset_asserted_dn": part.offset_dn if counts else 0,
                    "offset_applied": counts,
                    "blocks": len(windows),
                }
            )
    return pixels * (2 if counts else 1) * len(layer.bands) * len(layer.parts)


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "resolution": region.resolution,
        "feather_m": region.mosaic.feather_m,
        "bands": list(region.bands),
        # A scene that is lost is replaced by the same rules. What a fixed number of scenes would be replaced by is seen
        # from scout's product alone.
        "selection": choice_settings(region) if is_adaptive(region) else None,
        "detectors": region.mask.detectors,
        "mask_resolution": region.mask.resolution,
        "missing_angles": region.mask.missing_angles,
        "own_fmask": region.mask.external_fmask is not None and reads_own_fmask(region),
        **({"angles": "all scenes"} if region.composite.needs_view else {}),
    }


FETCH = Station(
    name="fetch",
    version="4",
    scope="tile_month",
    summary="The selected scenes' bands, quality layers and angles on the tile's grid: reflectance x 10,000.",
    settings=_settings,
    upstream=lambda line, place: (
        Place(SCENE_SEARCH.name, place.tile, place.month),
        Place(SCOUT.name, place.tile, place.month),
    ),
    build=_fetch,
)
