"""A line whose stations write a few bytes: the real names, scopes and dependencies, none of the work."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import dagster as dg

from geo_assets.definitions import definitions_for
from geo_assets.domain.errors import ArchiveTransientError, AssetLostError
from geo_assets.domain.tile_grid import neighbours
from geo_assets.io.archives.archive import Archive
from geo_assets.io.products import Build, Place, Products
from geo_assets.io.region_file import read_region
from geo_assets.io.stores.store import open_store
from geo_assets.orchestration.resources import LineResource, surroundings
from geo_assets.stations.line import Line, Scope, Station
from geo_assets.stations.opening import Surroundings

METRICS: Mapping[str, Mapping[str, Any]] = {
    "scene_search": {"items_found": 0, "scenes_found": 0, "acquisitions_found": 0},
    "scout": {"clear_share_of_any": 0.9, "clear_share_left_out": 0.1},
    "hybrid_mask": {"class_shares": {"one scene": {"clear": 0.75, "cloud": 0.25}}},
    "monthly_composite": {"valid_share": 0.5},
    "seam_blended_mosaic": {"valid_px": 10, "valid_share": 0.5},
    "region_mosaic": {"valid_px": 10},
    "normalization_stats": {"bands": {"red": {"pixels": 5}}},
    "dataset_stats": {"bands": {"red": {"pixels": 5}}},
}

PIXEL_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)


def poison(store: Path, place: Place, *, passing: bool = False) -> Path:
    """Make the station at `place` fail until the file that this returns is removed."""
    path = store / "poison" / place.folder.replace("/", "-")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("passing" if passing else "for good")
    return path


def trivial_stations(*, harmonised: bool = False) -> tuple[Station, ...]:
    """All nine stations, in the order of the line; or all eleven, for harmonised tiles that are cut along seamlines."""

    def same(name):
        return lambda line, place: (Place(name, place.tile, place.month),)

    def around(*names):
        return lambda line, place: tuple(
            Place(name, tile, place.month) for name in names for tile in neighbours(line.region.tile_ids)[place.tile]
        )

    def of_month(name):
        return lambda line, place: tuple(Place(name, tile, place.month) for tile in line.region.tile_ids)

    def adjusted(line, place):
        near = around("monthly_composite", "overlap_statistics")(line, place)
        return (*near, Place("harmonisation", None, place.month))

    def of_all(line, place):
        return tuple(Place.of("normalization_stats", tile_month) for tile_month in line.region.tile_months)

    between = (
        _station("overlap_statistics", "tile_month", around("monthly_composite")),
        _station("harmonisation", "month", of_month("overlap_statistics")),
    )
    return (
        _station("scene_search", "tile_month", lambda line, place: ()),
        _station("scout", "tile_month", same("scene_search")),
        _station("fetch", "tile_month", same("scout")),
        _station("hybrid_mask", "tile_month", same("fetch")),
        _station("monthly_composite", "tile_month", same("hybrid_mask")),
        *(between if harmonised else ()),
        _station("seam_blended_mosaic", "tile_month", adjusted if harmonised else around("monthly_composite")),
        _station("normalization_stats", "tile_month", same("monthly_composite")),
        _station("region_mosaic", "month", of_month("seam_blended_mosaic")),
        _station("dataset_stats", "all", of_all),
    )


def _station(name: str, scope: Scope, upstream: Any) -> Station:
    return Station(
        name=name,
        version="1",
        scope=scope,
        summary=f"Trivial {name}.",
        settings=lambda region: {"resolution": region.resolution},
        upstream=upstream,
        build=_build,
    )


def _build(line: Line, place: Place, build: Build) -> None:
    poisoned = Path(line.products.store.url) / "poison" / place.folder.replace("/", "-")
    if poisoned.exists():
        if poisoned.read_text() == "passing":
            poisoned.unlink()
            raise ArchiveTransientError(f"{place}: the archive is busy. Run it again.")
        raise AssetLostError(f"{place}: scene poisoned. Take the poison away.")
    for name, value in METRICS.get(place.station, {}).items():
        build.metric(name, value)
    build.put("note.json", json.dumps({"place": place.key}).encode(), "note", "application/json")
    if place.station == "monthly_composite":
        build.put("item.json", b"{}", "stac", "application/geo+json")
        build.put("thumbnail.png", PIXEL_PNG, "thumbnail", "image/png")


class TrivialLineResource(LineResource):
    """A line without an archive."""

    def open(self) -> Line:
        region = read_region(self.region_file)
        return Line(region, Products(open_store(self.store), region.name), cast(Archive, None))


def region_file(
    folder: Path,
    *,
    tiles: Sequence[str] = ("33TVL", "33TWL"),
    last: str | None = "2024-07",
    harmonised: bool = False,
) -> Path:
    """A small region file of June and July 2024."""
    path = folder / "region.yaml"
    months = "{first: 2024-06}" if last is None else f"{{first: 2024-06, last: {last}}}"
    path.write_text(
        f"name: trivial\ntiles: [{', '.join(tiles)}]\nmonths: {months}\n"
        f"archive: demo\nbands: [red]\nresolution: 60\nmax_tiles: 1000\n"
        + ("mosaic: {harmonise: gain_offset, seamline: true}\n" if harmonised else "")
    )
    return path


def trivial_resource(place: Surroundings) -> TrivialLineResource:
    """Opens the trivial line of a region."""
    return TrivialLineResource(region_file=str(place.region_file), store=place.store, home=str(place.home))


def trivial_definitions(place: Surroundings, *, growing: bool = False) -> dg.Definitions:
    """The definitions of a region whose stations are trivial."""
    region = read_region(place.region_file)
    stations = trivial_stations(harmonised=region.mosaic.harmonise != "none")
    return definitions_for(region, trivial_resource(place), stations=stations, growing=growing)


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev -m` of this module serves: the region that the environment names."""
    return trivial_definitions(surroundings())
