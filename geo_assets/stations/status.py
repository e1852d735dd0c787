"""Where every product stands: judged by fingerprints, for tables and exit codes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from geo_assets.domain.errors import GeoAssetsError, ProductError
from geo_assets.domain.tile_month import Month
from geo_assets.io.manifest import LOST
from geo_assets.io.places import Place
from geo_assets.io.products import Products, State
from geo_assets.stations.catalog import station_places, stations_of
from geo_assets.stations.line import Line, Station, expected


@dataclass(frozen=True, slots=True)
class Standing:
    """One product's state."""

    place: Place
    state: State
    reason: str = ""


def standings(line: Line, stations: Iterable[Station] | None = None) -> Iterator[Standing]:
    """The state of every product of the region, station by station; of all its stations by default.

    A product is stale as well when one that it was made from is: it would be rebuilt if that one's content changed.
    """
    unsound: dict[Place, State] = {}
    for station in stations_of(line.region) if stations is None else stations:
        for place in station_places(line.region, station):
            standing = _standing(line, station, place, unsound)
            if standing.state not in (State.DONE, State.EMPTY):
                unsound[place] = standing.state
            yield standing


def _standing(line: Line, station: Station, place: Place, unsound: Mapping[Place, State]) -> Standing:
    fingerprint = None
    try:
        fingerprint, _ = expected(line, station, place)
    except ProductError:  # an input is missing or unreadable: its own line says so
        pass
    except GeoAssetsError as error:
        return Standing(place, State.FAILED, str(error))
    try:
        condition = line.products.condition(place, fingerprint)
    except ProductError as error:  # a manifest of another version or place
        return Standing(place, State.CORRUPT, str(error))
    if condition.state in (State.DONE, State.EMPTY):
        behind = [upstream for upstream in station.upstream(line, place) if upstream in unsound]
        corrupt = [upstream for upstream in behind if unsound[upstream] is State.CORRUPT]
        if corrupt:
            return Standing(place, State.STALE, f"{corrupt[0]} is corrupt")
        if fingerprint is None or behind:
            return Standing(place, State.STALE, f"{behind[0] if behind else 'an input'} is not done")
    return Standing(place, condition.state, condition.reason or "")


def retry_lost(line: Line) -> list[Place]:
    """Make the next run try again what archives had lost; the products that it will rebuild.

    They are stale until then, and what was made from them is rebuilt if the lost assets are back.
    """
    of_archives = [station for station in stations_of(line.region) if station.name in ("scout", "fetch")]
    places = [place for station in of_archives for place in station_places(line.region, station)]
    return [place for place in places if line.products.retry_lost(place)]


def worst_by_tile_month(found: Iterable[Standing]) -> Mapping[tuple[str, Month], Standing]:
    """For each tile and month the standing of the first station that is not done, else of the last one."""
    table: dict[tuple[str, Month], Standing] = {}
    for standing in found:
        place = standing.place
        if place.tile is None or place.month is None:
            continue
        before = table.get((place.tile, place.month))
        if before is None or before.state in (State.DONE, State.EMPTY):
            table[place.tile, place.month] = standing
    return table


def products_using(products: Products, line: Line, item_id: str) -> list[Place]:
    """Every product that a catalogue item went into, found through the manifests."""
    users: list[Place] = []
    reached: set[str] = set()
    for station in stations_of(line.region):
        for place in station_places(line.region, station):
            product = products.find(place)
            if product is None:
                continue
            inputs = product.manifest.inputs
            used = station.name == "scene_search" and any(item.id == item_id for item in inputs.items)
            rows = [row for row in product.manifest.ledger if row.get("outcome") != LOST]
            named = any(item_id in (row.get("item"), row.get("scene")) for row in rows)
            if used or named or reached & set(inputs.upstream):
                users.append(place)
                # Search sees every item; only what scout selected goes on to pixels.
                if station.name not in ("scene_search", "scout"):
                    reached.add(place.key)
    return users
