"""The archives that are asked over the network, by name."""

from collections.abc import Callable
from collections.abc import Collection as CollectionOf
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from shapely.geometry.base import BaseGeometry

from geo_assets.domain.bands import Level
from geo_assets.domain.errors import RegionError
from geo_assets.domain.region_archive import ARCHIVE_ALIASES, EXPECTED_ARCHIVE, catalog_address
from geo_assets.io.archives.access import FileAccess
from geo_assets.io.archives.cdse import CDSE
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.earth_search import EARTH_SEARCH
from geo_assets.io.archives.facts import Collection, Facts
from geo_assets.io.archives.hls import HLS
from geo_assets.io.archives.mcd43a4 import MCD43A4
from geo_assets.io.archives.planetary_computer import PLANETARY_COMPUTER
from geo_assets.io.archives.search.cache import SearchCache
from geo_assets.io.archives.search.plan import Period
from geo_assets.io.archives.stac_api import StacApiArchive
from geo_assets.io.wire.addresses import shown
from geo_assets.io.wire.exchange import utc_now

KNOWN: dict[str, Facts] = {facts.name: facts for facts in (PLANETARY_COMPUTER, EARTH_SEARCH, HLS, MCD43A4, CDSE)}
"""Name -> facts, in the order in which `geo-assets archives` lists them."""


def facts_of(name: str) -> Facts:
    """The facts of an archive by its name or alias.

    Raises
    ------
    RegionError
        There is no such archive.
    """
    facts = KNOWN.get(ARCHIVE_ALIASES.get(name, name))
    if facts is None:
        raise RegionError(f"archive: found {name!r}; {EXPECTED_ARCHIVE}.")
    return facts


@dataclass(frozen=True, slots=True)
class Opening:
    """How an archive that is asked over the network is opened."""

    credentials: Credentials = field(default_factory=Credentials)
    home: Path | None = None
    """Folder for answers of searches, tokens and connection slots; None keeps them in memory."""
    catalog_url: str | None = None
    """Where its catalogue is asked instead of at its usual address."""
    collection: str | None = None
    """The one collection to use; None: the archive's usual ones."""
    levels: CollectionOf[Level] | None = None
    """Processing levels to search; None: those of the usual collections."""
    area: BaseGeometry | None = None
    """EPSG:4326; with `period`: what will be asked for, in one search."""
    period: Period | None = None
    max_cloud_cover: float | None = None
    """Per cent; scenes that state more are not even asked for."""
    now: Callable[[], datetime] = utc_now
    """Aware time of day."""


def open_known(facts: Facts, opening: Opening) -> StacApiArchive:
    """An archive that is asked over the network; nothing is asked yet.

    Raises
    ------
    RegionError
        It has no such collection or level, or `catalog_url` is no address.
    """
    catalog_url = facts.catalog_url if opening.catalog_url is None else _address(opening.catalog_url)
    home = opening.home
    return StacApiArchive(
        facts,
        searched_collections(facts, opening),
        catalog_url=catalog_url,
        access=FileAccess(facts, catalog_url, opening.credentials, home=home, now=opening.now),
        cache=SearchCache(None if home is None else home / "searches" / facts.name, now=opening.now),
        area=opening.area,
        period=opening.period,
        max_cloud_cover=opening.max_cloud_cover,
        now=opening.now,
    )


def searched_collections(facts: Facts, opening: Opening) -> tuple[Collection, ...]:
    """Those of an archive's collections that are searched.

    Raises
    ------
    RegionError
        It has none of that name or level.
    """
    named = _named(facts, opening)
    chosen = [named] if named is not None else [one for one in facts.collections if not one.asked_for]
    if opening.levels is not None:
        taken = {one.level for one in chosen}
        beside = [one for one in facts.collections if one.level not in taken]
        chosen = [one for one in (*chosen, *beside) if one.level in opening.levels]
    if chosen:
        return tuple(chosen)
    raise RegionError(
        f"level: found {', '.join(sorted(opening.levels or ()))}, and archive {facts.name} has "
        f"{', '.join(sorted(facts.levels()))}; choose one of them, or another archive."
    )


def _named(facts: Facts, opening: Opening) -> Collection | None:
    """The collection that the opening names; on a mirror it may have a name of its own."""
    if opening.collection is None:
        return None
    for collection in facts.collections:
        if collection.id == opening.collection:
            return collection
    if opening.catalog_url is not None:
        return replace(facts.collections[0], id=opening.collection)
    raise RegionError(
        f"collection: found {opening.collection!r}, expected one of "
        f"{', '.join(one.id for one in facts.collections)}, which archive {facts.name} has."
    )


def _address(catalog_url: str) -> str:
    try:
        return catalog_address(catalog_url)
    except ValueError as error:
        raise RegionError(f"catalog_url: found {shown(catalog_url)}, {error}.") from None
