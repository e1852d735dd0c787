"""Station 1: which scenes touch this tile this month."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.bands import SENTINEL2_BANDS, Level
from geo_assets.domain.errors import ArchiveError, ProductError, RegionError
from geo_assets.domain.region import Region
from geo_assets.domain.region_selection import Selection
from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.domain.tables import SCENES
from geo_assets.domain.tile_grid import tile_footprint
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Answer, Exclusion
from geo_assets.io.archives.paired import PairedArchive
from geo_assets.io.manifest import ItemInput
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.tables import scenes_frame, scenes_from, table_bytes, table_from
from geo_assets.stations.acquisitions import acquisition_named, companions_of, merged_acquisitions
from geo_assets.stations.detection import (
    EXTERNAL_FMASK,
    FMASK,
    QUALITY,
    needed_toa_bands,
    quality_layers,
    reads_own_fmask,
    toa_bands,
    uses_toa,
)
from geo_assets.stations.line import Line, Station

SCENES_FILE = "scenes.parquet"

_LEVELS: tuple[Level, ...] = ("L2A", "HLS", "NBAR", "L1C")
"""Surface reflectance before what the atmosphere adds to it."""


def read_scenes(product: Product) -> tuple[Scene, ...]:
    """The scenes of a `scene_search` product, in order of time and id; none if it is empty."""
    if product.manifest.status == "empty":
        return ()
    return scenes_from(table_from(product.bytes(SCENES_FILE), SCENES))


def reflectance_level(line: Line) -> Level:
    """The processing level whose bands become the composite, one for the whole region.

    The region's choice; by default the first of L2A, HLS, NBAR and L1C that has all the bands. An archive without a
    usable item is taken for L2A: then the search of each tile and month says what is wrong with its items.

    Raises
    ------
    RegionError
        The archive lacks a band that the region asks for.
    """
    offers, bands = line.archive.offers(), set(line.region.bands)
    choices = _LEVELS if line.region.level == "auto" else (line.region.level,)
    if not offers:
        return choices[0]
    for level in choices:
        if level in offers and bands <= offers[level]:
            return level
    lacks = sorted(bands - frozenset().union(*(offers.get(level, frozenset()) for level in choices)))
    has = "; ".join(
        f"{level}: {', '.join(sorted(names & SENTINEL2_BANDS.keys()))}" for level, names in sorted(offers.items())
    )
    raise RegionError(
        f"Region {line.region.name}: archive {line.archive.name} has no {', '.join(lacks) or 'level with all bands'} "
        f"(it has {has or 'no usable item'}). Leave the band out, or choose another archive."
    )


def _search(line: Line, place: Place, build: Build) -> None:
    answer, level = _answer(line, place), reflectance_level(line)
    excluded = list(answer.excluded)
    usable: dict[Level, list[SceneItem]] = {name: [] for name in _LEVELS}
    near = _area_near(line, place)
    beside: list[Exclusion] = []
    for item in answer.items:
        if item.archive and level != "L2A":
            continue  # L1C of another archive is no reflectance of the region's
        if not shapely.intersects(item.footprint, near):
            beside.append(Exclusion(item.id, "does not reach the area"))
        elif problem := _problem(line.region, item, level):
            excluded.append(Exclusion(item.id, problem))
        else:
            usable[item.level].append(item)
    acquisitions, superseded = merged_acquisitions(usable[level])
    wanted, unwanted = _wanted(line.region.selection, acquisitions, near)
    source = _l1c_source(line, level)
    companions = usable["L1C"] if level == "L2A" and source.name else []
    scenes = [Scene(parts, companions_of(parts, companions)) for parts in wanted]
    _expect_distinct(scenes)
    without = [Exclusion(scene.id, source.lacks(scene)) for scene in scenes if not scene.toa_parts]
    if needed_toa_bands(line.region):
        excluded += without
        scenes = [scene for scene in scenes if scene.toa_parts]
    elif source.name:
        for one in without:
            build.record({"item": one.item, "outcome": "without L1C", "reason": one.reason})
    if not scenes and not unwanted:
        other = f"its level is not the region's, {level}; set level: in the region file to choose"
        excluded += [
            Exclusion(item.id, other)
            for items in usable.values()
            for item in items
            if item.level != level and not item.archive
        ]
    for exclusion in (*excluded, *unwanted, *superseded, *beside):
        build.record({"item": exclusion.item, "outcome": "excluded", "reason": exclusion.reason})
    build.metric("archive", line.archive.name)
    if line.archive.chosen_because:
        build.metric("archive_chosen_because", line.archive.chosen_because)
    build.metric("level", level)
    build.metric("items_found", len(answer.items) + len(answer.excluded))
    build.metric("items_excluded", len(excluded))
    build.metric("items_superseded", len(superseded))
    build.metric("items_unwanted", len(unwanted))
    build.metric("scenes_found", len(scenes))
    build.metric("scenes_with_l1c", sum(bool(scene.toa_parts) for scene in scenes))
    build.metric("l1c_archive", source.name or "none")
    build.metric("l1c_archive_because", source.because)
    _put_expectation(build, place, answer, level, empty=not scenes)
    if not scenes and excluded and not unwanted:
        listed = "; ".join(f"{exclusion.item}: {exclusion.reason}" for exclusion in excluded[:5])
        raise ArchiveError(
            f"Region {line.region.name}, {place}: none of the {len(excluded)} items found can be used ({listed}). "
            "Repair them in the archive, or name them in selection.exclude to call the month empty."
        )
    if not scenes:
        build.empty(_nothing(line, answer, level, len(unwanted)))
        return
    build.put(SCENES_FILE, table_bytes(scenes_frame(scenes), SCENES), role="table.scenes", media_type=PARQUET)


def _put_expectation(build: Build, place: Place, answer: Answer, level: Level, *, empty: bool) -> None:
    """Metrics by which a silent stop of the archive is seen.

    The archive's newest item is told where it lies before the month's end, or the month is empty: elsewhere it says
    nothing of the month, and would change from day to day.
    """
    _, month = _tile_month(place)
    build.metric("acquisitions_expected", answer.expected)
    build.metric("acquisitions_found", _acquisitions_found(answer, level))
    if answer.newest is not None and (empty or answer.newest < month.next.begin):
        build.metric("newest_in_archive", f"{answer.newest:%Y-%m-%d}")


def _acquisitions_found(answer: Answer, level: Level) -> int:
    """Acquisitions of the tile that the archive lists, wanted or not."""
    return len({item.acquisition_key for item in answer.items if item.level == level})


def _nothing(line: Line, answer: Answer, level: Level, unwanted: int) -> str:
    """Why the month is empty, in words."""
    if unwanted:
        return f"the region's selection leaves out every one of the {unwanted} items of {level} over the area"
    expected = "unknown" if answer.expected is None else answer.expected
    newest = "unknown" if answer.newest is None else f"{answer.newest:%Y-%m-%d}"
    return (
        f"archive {line.archive.name} has no {level} scene over the area in this month: acquisitions expected "
        f"{expected}, found {_acquisitions_found(answer, level)}, newest item {newest}"
    )


PARQUET = "application/vnd.apache.parquet"


def _answer(line: Line, place: Place) -> Answer:
    """The archive's answer less what the region excludes by name."""
    answer = line.archive.search(*_tile_month(place))
    named = set(line.region.selection.exclude)
    return Answer(
        tuple(item for item in answer.items if item.id not in named),
        tuple(exclusion for exclusion in answer.excluded if exclusion.item not in named),
        answer.expected,
        answer.newest,
    )


def _tile_month(place: Place) -> tuple[str, Month]:
    assert place.tile is not None
    assert place.month is not None  # the station's scope
    return place.tile, place.month


def _area_near(line: Line, place: Place) -> BaseGeometry:
    return line.region.geometry.intersection(tile_footprint(_tile_month(place)[0]))


def _wanted(
    selection: Selection, acquisitions: Iterable[tuple[SceneItem, ...]], near: BaseGeometry
) -> tuple[list[tuple[SceneItem, ...]], list[Exclusion]]:
    """The acquisitions that a region's selection asks for, and the items of all others with the reason."""
    wanted, unwanted = [], []
    for parts in acquisitions:
        reason = next((reason for part in parts if (reason := _objection(selection, part))), None)
        if reason is None:
            footprint = shapely.union_all([part.footprint for part in parts])
            share = footprint.intersection(near).area / near.area if near.area else 1.0
            if share < selection.min_coverage:
                reason = f"shows {share:.1%} of the area, min_coverage is {selection.min_coverage:.1%}"
        if reason is None:
            wanted.append(parts)
        else:
            unwanted += [Exclusion(part.id, reason) for part in parts]
    return wanted, unwanted


def _objection(selection: Selection, item: SceneItem) -> str | None:
    """Why a region's selection leaves an item out, or None; a limit leaves out only what is known to break it."""
    limits = (
        ("cloud cover", item.cloud_cover, selection.max_cloud_cover, "max_cloud_cover"),
        ("view zenith", item.view_zenith, selection.max_view_zenith, "max_view_zenith"),
        ("sun zenith", item.sun_zenith, selection.max_sun_zenith, "max_sun_zenith"),
    )
    for name, value, limit, key in limits:
        if value is not None and limit is not None and value > limit:
            return f"{name} {value:g} is above {key} {limit:g}"
    if selection.platforms and item.platform not in {_platform(name) for name in selection.platforms}:
        return f"platform {item.platform or 'unknown'} is not among platforms"
    if selection.orbits and item.relative_orbit not in (None, *selection.orbits):
        return f"relative orbit {item.relative_orbit} is not among orbits"
    if selection.orbit_state and item.orbit_state not in (None, selection.orbit_state):
        return f"orbit is {item.orbit_state}, orbit_state is {selection.orbit_state}"
    aerosol = selection.aod_by_day.get(item.acquired.date())
    if aerosol is None:
        return "aod_by_day does not name its day" if selection.reject_unknown else None
    if selection.aod_max is not None and aerosol > selection.aod_max:
        return f"aerosol optical depth {aerosol:g} of its day is above aod_max {selection.aod_max:g}"
    return None


def _platform(name: str) -> str:
    """A platform as items have it: `s2a` for Sentinel-2A."""
    return name.lower().replace("sentinel-", "s")


def _problem(region: Region, item: SceneItem, level: Level) -> str | None:
    """Why an item cannot be used, or None."""
    needed = set(region.bands) if item.level == level else set()
    if item.level == "L1C":
        needed |= set(needed_toa_bands(region))
    if item.level == level and region.mask.detectors != "auto":
        if QUALITY in region.mask.detectors:
            needed |= set(quality_layers(region.bands, item)) or {"a quality layer"}
        if EXTERNAL_FMASK in region.mask.detectors and reads_own_fmask(region):
            needed.add(FMASK)
    lacks = sorted(needed - set(item.assets))
    if (
        not lacks
        and item.level == "L1C"
        and level == "L2A"
        and uses_toa(region)
        and not toa_bands(region, Scene((item,)))
    ):
        return "lacks L1C bands for every detector"
    return f"lacks {', '.join(lacks)}" if lacks else None


@dataclass(frozen=True, slots=True)
class _L1cSource:
    """Where the L1C of a region's scenes is looked for."""

    name: str
    """Of the archive; empty: nowhere."""
    because: str

    def lacks(self, scene: Scene) -> str:
        """Why a scene has none."""
        where = f"in archive {self.name}" if self.name else f"as none is looked for ({self.because})"
        return f"no usable L1C item of {acquisition_named(scene.parts[0])} {where}"


def _l1c_source(line: Line, level: Level) -> _L1cSource:
    region, archive = line.region, line.archive
    if level == "L1C":
        return _L1cSource(archive.name, "the region's reflectance is L1C itself")
    if level != "L2A":
        return _L1cSource("", f"{level} has none")
    if not uses_toa(region):
        return _L1cSource("", "no detector of the region needs it")
    if region.mask.l1c_archive == "none":
        return _L1cSource("", "mask.l1c_archive is none")
    if isinstance(archive, PairedArchive):
        return _L1cSource(archive.companion.name, archive.because)
    if "L1C" in archive.offers():
        return _L1cSource(archive.name, "the region's archive lists it")
    return _L1cSource(
        "",
        f"archive {archive.name} lists none, and mask.l1c_archive is {region.mask.l1c_archive}; name an archive of L1C "
        "there, such as cdse or local:PATH",
    )


def _expect_distinct(scenes: list[Scene]) -> None:
    keys = [scene.parts[0].acquisition_key for scene in scenes]
    repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
    if repeated:
        raise ProductError(f"Search: acquisitions left twice after de-duplication: {'; '.join(repeated)}. Report this.")


_LIMITS = {
    "max_cloud_cover", "min_coverage", "platforms", "orbits", "orbit_state", "aod_by_day", "aod_max", "reject_unknown",
    "max_view_zenith", "max_sun_zenith",
}  # fmt: skip
"""Keys of the region's selection by which items are left out."""


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        "archive": region.archive.partition(":")[0],
        "collection": region.collection,
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "bands": list(region.bands),
        "detectors": region.mask.detectors,
        "l1c_archive": region.mask.l1c_archive.partition(":")[0],
        "own_fmask": reads_own_fmask(region),
        "exclude": sorted(region.selection.exclude),
        "selection": region.selection.model_dump(mode="json", include=_LIMITS),
    }


def _items(line: Line, place: Place) -> tuple[ItemInput, ...]:
    """The catalogues' canonical answer, the archives that gave it, and the level that their offers lead to."""
    answer, level = _answer(line, place), reflectance_level(line)
    items = [
        ItemInput(id=item.id, baseline=item.baseline, generation=item.generated, checksum=item.digest)
        for item in answer.items
    ]
    excluded = [ItemInput(id=exclusion.item, checksum=exclusion.reason) for exclusion in answer.excluded]
    names = (
        f"archive {line.archive.name}",
        f"level {level}",
        f"L1C of {_l1c_source(line, level).name or 'no archive'}",
    )
    return (*(ItemInput(id=name) for name in names), *items, *excluded)


SCENE_SEARCH = Station(
    name="scene_search",
    version="3",
    scope="tile_month",
    summary="Scenes of one tile in one month: de-duplicated acquisitions and their files, from the archive.",
    settings=_settings,
    upstream=lambda line, place: (),
    build=_search,
    items=_items,
)
