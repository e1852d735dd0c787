"""Station 1: which scenes touch this tile this month."""

from collections.abc import Iterable, Mapping
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.bands import S2CLOUDLESS_BANDS, Level
from geo_assets.domain.errors import ArchiveError, ProductError, RegionError
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene, SceneItem, are_complementary
from geo_assets.domain.tables import SCENES
from geo_assets.domain.tile_grid import tile_footprint
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Answer, Exclusion
from geo_assets.io.manifest import ItemInput
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.tables import scenes_frame, scenes_from, table_bytes, table_from
from geo_assets.stations.line import Line, Station

SCENES_FILE = "scenes.parquet"


def read_scenes(product: Product) -> tuple[Scene, ...]:
    """The scenes of a `scene_search` product, in order of time and id; none if it is empty."""
    if product.manifest.status == "empty":
        return ()
    return scenes_from(table_from(product.bytes(SCENES_FILE), SCENES))


def reflectance_level(line: Line) -> Level:
    """The processing level whose bands become the composite, one for the whole region.

    The region's choice; by default L2A where the archive has all the bands, else L1C. An archive without a usable item
    is taken for L2A: then the search of each tile and month says what is wrong with its items.

    Raises
    ------
    RegionError
        The archive lacks a band that the region asks for.
    """
    offers, bands = line.archive.offers(), set(line.region.bands)
    choices: tuple[Level, ...] = ("L2A", "L1C") if line.region.level == "auto" else (line.region.level,)
    if not offers:
        return choices[0]
    for level in choices:
        if level in offers and bands <= offers[level]:
            return level
    lacks = sorted(bands - frozenset().union(*(offers.get(level, frozenset()) for level in choices)))
    has = "; ".join(
        f"{level}: {', '.join(sorted(names - {'scl', 'fmask'}))}" for level, names in sorted(offers.items())
    )
    raise RegionError(
        f"Region {line.region.name}: archive {line.archive.name} has no {', '.join(lacks) or 'level with all bands'} "
        f"(it has {has or 'no usable item'}). Leave the band out, or choose another archive."
    )


def uses_s2cloudless(region: Region) -> bool:
    """True when the region's detectors include s2cloudless, or choose themselves."""
    return region.mask.detectors == "auto" or "s2cloudless" in region.mask.detectors


def merged_acquisitions(
    items: Iterable[SceneItem],
) -> tuple[tuple[tuple[SceneItem, ...], ...], tuple[Exclusion, ...]]:
    """Items grouped into acquisitions: the newest processing of each, with its complementary datastrips.

    Returns
    -------
    acquisitions
        In order of time and id; within one, parts in order of id.
    superseded
        Items that another processing of the same ground replaces.
    """
    by_key: dict[tuple[str, str, int, str], list[SceneItem]] = {}
    for item in items:
        by_key.setdefault(item.acquisition_key, []).append(item)
    acquisitions, superseded = [], []
    for rivals in by_key.values():
        kept: list[SceneItem] = []
        for item in sorted(rivals, key=lambda item: item.processing_rank, reverse=True):
            if all(are_complementary(item, other) for other in kept):
                kept.append(item)
            else:
                superseded.append(
                    Exclusion(item.id, f"superseded by {kept[0].id} (baseline {kept[0].baseline or '?'})")
                )
        acquisitions.append(tuple(sorted(kept, key=lambda item: item.id)))
    ordered = tuple(sorted(acquisitions, key=lambda parts: (parts[0].acquired, parts[0].id)))
    return ordered, tuple(sorted(superseded, key=lambda exclusion: exclusion.item))


def _search(line: Line, place: Place, build: Build) -> None:
    answer, level = _answer(line, place), reflectance_level(line)
    excluded = list(answer.excluded)
    usable: dict[Level, list[SceneItem]] = {"L1C": [], "L2A": []}
    near = _area_near(line, place)
    beside: list[Exclusion] = []
    for item in answer.items:
        if not shapely.intersects(item.footprint, near):
            beside.append(Exclusion(item.id, "does not reach the area"))
        elif problem := _problem(line.region, item, level):
            excluded.append(Exclusion(item.id, problem))
        else:
            usable[item.level].append(item)
    acquisitions, superseded = merged_acquisitions(usable[level])
    companions, _ = merged_acquisitions(usable["L1C"] if level == "L2A" and uses_s2cloudless(line.region) else ())
    scenes = [_scene(parts, companions) for parts in acquisitions]
    _expect_distinct(scenes)
    if line.region.mask.detectors != "auto" and uses_s2cloudless(line.region):
        excluded += [
            Exclusion(scene.id, "lacks an L1C item for s2cloudless") for scene in scenes if not scene.toa_parts
        ]
        scenes = [scene for scene in scenes if scene.toa_parts]
    if not scenes:
        other = f"its level is not the region's, {level}; set level: in the region file to choose"
        excluded += [Exclusion(item.id, other) for items in usable.values() for item in items if item.level != level]
    for exclusion in (*excluded, *superseded, *beside):
        build.record({"item": exclusion.item, "outcome": "excluded", "reason": exclusion.reason})
    build.metric("level", level)
    build.metric("items_found", len(answer.items) + len(answer.excluded))
    build.metric("items_excluded", len(excluded))
    build.metric("items_superseded", len(superseded))
    build.metric("scenes_found", len(scenes))
    build.metric("scenes_with_l1c", sum(bool(scene.toa_parts) for scene in scenes))
    if not scenes and excluded:
        listed = "; ".join(f"{exclusion.item}: {exclusion.reason}" for exclusion in excluded[:5])
        raise ArchiveError(
            f"Region {line.region.name}, {place}: none of the {len(excluded)} items found can be used ({listed}). "
            "Repair them in the archive, or name them in selection.exclude to call the month empty."
        )
    if not scenes:
        build.empty(f"archive {line.archive.name} has no {level} scene over the area in this month")
        return
    build.put(SCENES_FILE, table_bytes(scenes_frame(scenes), SCENES), role="table.scenes", media_type=PARQUET)


PARQUET = "application/vnd.apache.parquet"


def _answer(line: Line, place: Place) -> Answer:
    """The archive's answer less what the region excludes by name."""
    answer = line.archive.search(*_tile_month(place))
    named = set(line.region.selection.exclude)
    return Answer(
        tuple(item for item in answer.items if item.id not in named),
        tuple(exclusion for exclusion in answer.excluded if exclusion.item not in named),
    )


def _tile_month(place: Place) -> tuple[str, Month]:
    assert place.tile is not None
    assert place.month is not None  # the station's scope
    return place.tile, place.month


def _area_near(line: Line, place: Place) -> BaseGeometry:
    return line.region.geometry.intersection(tile_footprint(_tile_month(place)[0]))


def _problem(region: Region, item: SceneItem, level: Level) -> str | None:
    """Why an item cannot be used, or None."""
    needed = set(region.bands) if item.level == level else set()
    if item.level == "L1C" and (level == "L2A" or region.mask.detectors != "auto") and uses_s2cloudless(region):
        needed |= set(S2CLOUDLESS_BANDS)
    if item.level == level and region.mask.detectors != "auto":
        layers = {"quality": "scl", "fmask": "fmask"}
        needed |= {layer for detector, layer in layers.items() if detector in region.mask.detectors}
    lacks = sorted(needed - set(item.assets))
    return f"lacks {', '.join(lacks)}" if lacks else None


def _scene(parts: tuple[SceneItem, ...], companions: tuple[tuple[SceneItem, ...], ...]) -> Scene:
    own = parts[0]
    for others in companions:
        other = others[0]
        if (other.platform, other.datatake) == (own.platform, own.datatake) and other.tile == own.tile:
            return Scene(parts, others)
    return Scene(parts)


def _expect_distinct(scenes: list[Scene]) -> None:
    keys = [scene.parts[0].acquisition_key for scene in scenes]
    repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
    if repeated:
        raise ProductError(f"Search: acquisitions left twice after de-duplication: {'; '.join(repeated)}. Report this.")


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        "archive": region.archive.partition(":")[0],
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "bands": list(region.bands),
        "detectors": region.mask.detectors,
        "exclude": sorted(region.selection.exclude),
    }


def _items(line: Line, place: Place) -> tuple[ItemInput, ...]:
    """The catalogue's canonical answer, and the level that its offers lead to."""
    answer = _answer(line, place)
    items = [
        ItemInput(id=item.id, baseline=item.baseline, generation=item.generated, checksum=item.digest)
        for item in answer.items
    ]
    excluded = [ItemInput(id=exclusion.item, checksum=exclusion.reason) for exclusion in answer.excluded]
    return (ItemInput(id=f"level {reflectance_level(line)}"), *items, *excluded)


SCENE_SEARCH = Station(
    name="scene_search",
    version="1",
    scope="tile_month",
    summary="Scenes of one tile in one month: de-duplicated acquisitions and their files, from the archive.",
    settings=_settings,
    upstream=lambda line, place: (),
    build=_search,
    items=_items,
)
