"""What a region will cost before anything runs: scenes, requests, bytes, hours and memory of every tile and month.

Scenes come from the archive's answers, bytes from the header of one file per band; nothing else is read. What the
archive serves and what this machine computes in a second is assumed, and said: see `Rates`.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.domain.bands import S2CLOUDLESS_BANDS, SENTINEL2_BANDS
from geo_assets.domain.errors import AssetLostError
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene, SceneAsset, SceneItem
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.domain.tile_month import TileMonth
from geo_assets.io.products import Products
from geo_assets.io.reads.tiff_directory import HEAD_BYTES, TiffLevel, UnsupportedTiffError
from geo_assets.io.reads.tiff_pixels import GAP_BYTES, SPAN_BYTES, TiffPixels
from geo_assets.io.stores.store import open_store
from geo_assets.stations.detection import (
    EXTERNAL_FMASK,
    FMASK,
    QUALITY,
    S2CLOUDLESS,
    class_layers,
    judging_detectors,
    quality_layers,
    scouted_by,
    toa_bands,
)
from geo_assets.stations.ground import Ground, ground_of, units_of
from geo_assets.stations.judging import judged_at_once, judging_bytes
from geo_assets.stations.line import Line, run_station
from geo_assets.stations.offset_findings import is_tested, test_bands
from geo_assets.stations.offsets import items_with_offset
from geo_assets.stations.search import SCENE_SEARCH, read_scenes

_UNTOLD_BYTES_PER_PX = 1.2
"""Of a band whose header cannot be sampled and whose item states no size: Sentinel-2 L2A, deflated, in the mean."""
_UNTOLD_BLOCK_PX = 1024
_TILE_M = 109_800
_OFFSET_TEST_M = 300
"""Pixel size at which counts are asked for their offset."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What hours are worked out from; none of it is measured here."""

    megabytes_per_s: float = 20.0
    """That the archive serves over all connections together."""
    request_s: float = 0.1
    """That one request waits for its first byte; each thread has one under way."""
    megapixels_per_s: float = 6.0
    """Pixels of one band of one scene that a core takes from block to mosaic."""
    judged_megapixels_per_s: float = 1.5
    """Pixels of one scene that a core judges by one detector."""
    base_bytes: float = 650e6
    """Of the process with its libraries, compiled kernels and open files."""


ASSUMED = Rates()
"""A good connection to a cloud archive, and one core of a recent machine."""


@dataclass(frozen=True, slots=True)
class PlannedWork:
    """What a tile and month, or several of them, are expected to take."""

    scenes_found: int
    scenes_read: int
    """At most: with `coverage_target`, fewer where fewer are enough."""
    requests: int
    bytes: int
    seconds: float
    peak_bytes: int
    """Memory of the whole process while it works on it."""


@dataclass(frozen=True, slots=True)
class _Resolution:
    """One resolution of a sampled file: how large its pixels, blocks and bytes are."""

    pixel_m: float
    block_px: tuple[int, int]
    """Height, width."""
    across: int
    """Blocks side by side."""
    stored: int
    """Blocks that hold data."""
    block_bytes: float
    """Mean of those."""

    def cost(self, geobox: GeoBox, units: Iterable[Sequence[BoundingBox]]) -> "_Cost":
        """What it takes to read windows of a tile from a file that begins at the tile's corner.

        Every unit of windows opens the file anew, and then reads each block once. Blocks of one row lie side by side in
        a file, rows one behind the other: a gap above `GAP_BYTES` between rows, or a span above `SPAN_BYTES`, makes
        another request.
        """
        opened, cost = 0, _Cost()
        touched: set[tuple[int, int]] = set()
        for windows in units:
            opened += 1
            seen: set[tuple[int, int]] = set()
            for window in windows:
                fresh = self._blocks_under(geobox, window) - seen
                seen |= fresh
                cost += self._spans(len({row for row, _ in fresh}), len(fresh))
            touched |= seen
        share = min(1.0, self.stored / max(len(touched), 1))  # a file may be smaller than its tile
        return _Cost(opened + math.ceil(cost.requests * share), opened * HEAD_BYTES + cost.bytes * share)

    def _blocks_under(self, geobox: GeoBox, window: BoundingBox) -> set[tuple[int, int]]:
        left, top = geobox.boundingbox.left, geobox.boundingbox.top
        height_m, width_m = (edge * self.pixel_m for edge in self.block_px)
        rows = _covered(top - window.top, top - window.bottom, height_m)
        return {(row, col) for row in rows for col in _covered(window.left - left, window.right - left, width_m)}

    def _spans(self, rows: int, blocks: int) -> "_Cost":
        if not blocks:
            return _Cost()
        size = blocks * self.block_bytes
        joined = (self.across - blocks / rows) * self.block_bytes <= GAP_BYTES
        return _Cost(max(1 if joined else rows, math.ceil(size / SPAN_BYTES)), size)


@dataclass(frozen=True, slots=True)
class _Cost:
    """Requests and bytes of reading."""

    requests: int = 0
    bytes: float = 0.0

    def __add__(self, other: "_Cost") -> "_Cost":
        return _Cost(self.requests + other.requests, self.bytes + other.bytes)


class _Files:
    """What files of a collection's bands look like, each learned from the first one that is met."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._known: dict[tuple[str, str, int], tuple[_Resolution, ...]] = {}

    def levels(self, item: SceneItem, name: str) -> tuple[_Resolution, ...]:
        """Full resolution first, then the overviews."""
        key = (item.collection, name, item.assets[name].band_index)
        if key not in self._known:
            self._known[key] = self._sampled(item, name)
        return self._known[key]

    def _sampled(self, item: SceneItem, name: str) -> tuple[_Resolution, ...]:
        asset = item.assets[name]
        source = self._line.archive.open(asset, where=f"Item {item.id}, band {name}")
        try:
            pixels = TiffPixels(source)
            pixel_m = abs(pixels.file.transform.a) if pixels.file.transform else _pixel_m(name)
            whole = pixels.file.levels[0].width
            return tuple(
                _resolution(pixel_m * whole / level.width, level, pixels.table(level).counts)
                for level in pixels.file.levels
            )
        except (UnsupportedTiffError, AssetLostError):  # JPEG 2000, or a file that the reading will name
            return (_untold(asset, _pixel_m(name)),)
        finally:
            source.close()


def planned_work(line: Line, *, rates: Rates = ASSUMED) -> Iterator[tuple[TileMonth, PlannedWork]]:
    """What every tile and month of a region will take, in the order in which a backfill goes.

    Parameters
    ----------
    line
        The region's; its store is not looked at, so finished products are counted as if they were missing.
    rates
        What is assumed of archive and machine.

    Yields
    ------
    tile_month, work

    Raises
    ------
    RegionError
        The archive lacks a band.
    ArchiveError
        The archive cannot be asked.
    """
    files = _Files(line)
    with TemporaryDirectory(prefix="geo-assets-plan-") as folder:  # the search runs for real, and is forgotten
        aside = replace(line, products=Products(open_store(folder), line.region.name))
        for tile_month in line.region.tile_months:
            scenes = read_scenes(run_station(aside, SCENE_SEARCH, SCENE_SEARCH.place(tile_month)).product)
            yield tile_month, _planned(line, tile_month, scenes, files, rates)


def sum_of(works: Iterable[PlannedWork]) -> PlannedWork:
    """What several tiles and months take one after the other; memory is that of the largest."""
    works = tuple(works)
    return PlannedWork(
        scenes_found=sum(work.scenes_found for work in works),
        scenes_read=sum(work.scenes_read for work in works),
        requests=sum(work.requests for work in works),
        bytes=sum(work.bytes for work in works),
        seconds=sum(work.seconds for work in works),
        peak_bytes=max((work.peak_bytes for work in works), default=0),
    )


def _planned(line: Line, tile_month: TileMonth, scenes: tuple[Scene, ...], files: _Files, rates: Rates) -> PlannedWork:
    region, ground = line.region, ground_of(line.region, tile_month.tile)
    selection = region.selection
    most = selection.top_k if selection.coverage_target is None else selection.max_k
    read = scenes[:most]  # which ones is not known before the scout; they cost alike
    cost = _Cost()
    for scene in scenes:
        cost += _looking_cost(region, scene, ground, files)
    for scene in read:
        cost += _fetching_cost(line, scene, ground, files)
    pixels = int(ground.active.sum()) * BLOCK_PX**2
    moving = max(cost.bytes / (1e6 * rates.megabytes_per_s), cost.requests * rates.request_s / line.threads)
    computing = len(read) * len(region.bands) * pixels / (1e6 * rates.megapixels_per_s * line.threads)
    judged, judging = _judged(line, tile_month, read)
    computing += judged / (1e6 * rates.judged_megapixels_per_s * line.threads)
    return PlannedWork(
        scenes_found=len(scenes),
        scenes_read=len(read),
        requests=cost.requests,
        bytes=round(cost.bytes),
        seconds=moving + computing,
        peak_bytes=round(rates.base_bytes + max(_held_bytes(line, ground, len(read)), judging)),
    )


def _judged(line: Line, tile_month: TileMonth, scenes: Sequence[Scene]) -> tuple[int, float]:
    """Pixels that detectors judge, summed over scenes and detectors, and the memory of those that work at once."""
    coarse = ground_of(line.region, tile_month.tile, resolution=line.region.mask.resolution)
    extent, detectors = coarse.extent(), sum(len(judging_detectors(line.region, scene)) for scene in scenes)
    at_once = min(line.threads, judged_at_once(coarse), detectors)
    return detectors * extent.height * extent.width, float(at_once * judging_bytes(coarse))


def _looking_cost(region: Region, scene: Scene, ground: Ground, files: _Files) -> _Cost:
    """Of the scout's coarse look at a scene."""
    metres = region.selection.scout_factor * ground.geobox.resolution.x
    read = {
        QUALITY: (scene.parts, quality_layers(region.bands, scene.parts[0])),
        EXTERNAL_FMASK: (scene.parts, (FMASK,)),
        S2CLOUDLESS: (scene.toa_parts, S2CLOUDLESS_BANDS),
        None: (scene.parts, region.bands[:1]),
    }
    parts, names = read[scouted_by(region, scene)]
    if ground.area.is_empty:
        return _Cost()
    west, south, east, north = ground.area.bounds
    area = BoundingBox(west, south, east, north)
    return _cost_of(files, parts, names, ground.geobox, [[area]], coarsest_m=metres)


def _fetching_cost(line: Line, scene: Scene, ground: Ground, files: _Files) -> _Cost:
    """Of a scene's bands and quality layers on all active blocks, and of the test of its offset."""
    region = line.region
    names = (*region.bands, *class_layers(region, scene))
    cost = _cost_of(files, scene.parts, names, ground.geobox, _units(line, ground))
    toa = toa_bands(region, scene)
    if toa:
        coarse = ground_of(region, ground.tile, resolution=region.mask.resolution)
        cost += _cost_of(files, scene.toa_parts, toa, coarse.geobox, _units(line, coarse))
    for item in items_with_offset(region, scene):
        if is_tested(item):
            tile = tile_geobox(ground.tile, 60)
            bands = test_bands(region.bands, item)
            cost += _cost_of(files, (item,), bands, tile, [[tile.boundingbox]], coarsest_m=_OFFSET_TEST_M)
    return cost


def _cost_of(
    files: _Files,
    items: Iterable[SceneItem],
    names: Iterable[str],
    geobox: GeoBox,
    units: Sequence[Sequence[BoundingBox]],
    *,
    coarsest_m: float = 0.0,
) -> _Cost:
    """Of reading bands of items in units of windows, from the coarsest overview of at most `coarsest_m`."""
    cost = _Cost()
    for item in items:
        for name in names:
            if name in item.assets:
                full, *overviews = files.levels(item, name)
                level = next((one for one in reversed(overviews) if one.pixel_m <= coarsest_m), full)
                cost += level.cost(geobox, units)
    return cost


def _units(line: Line, ground: Ground) -> list[list[BoundingBox]]:
    """Windows of the active blocks, unit by unit."""
    units = units_of(ground.blocks(), line.unit_blocks).values()
    return [[ground.window_geobox(ground.block_window(*block)).boundingbox for block in unit] for unit in units]


def _held_bytes(line: Line, ground: Ground, scenes: int) -> float:
    """The units that threads work on, and the row of finished ones that a raster is laid down from."""
    bands, edge = len(line.region.bands), line.unit_blocks
    unit = edge**2 * BLOCK_PX**2 * (2 * bands + len(("quality", "count", "source", "day")))
    stack = BLOCK_PX**2 * (2 * bands + 2) * scenes
    across = int(ground.active.any(axis=0).sum())
    return float(line.threads * (2 * unit + 2 * stack) + math.ceil(across / edge) * unit)


def _covered(first_m: float, last_m: float, edge_m: float) -> range:
    """Numbers of the blocks between two distances from a file's corner."""
    return range(max(0, math.floor(first_m / edge_m + 1e-6)), max(0, math.ceil(last_m / edge_m - 1e-6)))


def _resolution(pixel_m: float, level: TiffLevel, counts: NDArray[np.int64]) -> _Resolution:
    stored = counts[counts > 0]
    return _Resolution(
        pixel_m,
        (level.block_height, level.block_width),
        level.blocks_across,
        int(stored.size),
        float(stored.mean()) if stored.size else 0.0,
    )


def _untold(asset: SceneAsset, pixel_m: float) -> _Resolution:
    """Of a file that has no block table: blocks as JPEG 2000 has them, bytes by its stated size."""
    edge = math.ceil(_TILE_M / pixel_m)
    across = math.ceil(edge / _UNTOLD_BLOCK_PX)
    size = asset.size_bytes or _UNTOLD_BYTES_PER_PX * edge**2
    return _Resolution(pixel_m, (_UNTOLD_BLOCK_PX, _UNTOLD_BLOCK_PX), across, across**2, size / across**2)


def _pixel_m(name: str) -> float:
    """Native pixel size of a Sentinel-2 band; that of SCL for a layer."""
    return float(SENTINEL2_BANDS[name].resolution_m) if name in SENTINEL2_BANDS else 20.0
