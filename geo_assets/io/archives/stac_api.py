"""Archives behind a STAC API: one search for an area and time, shared by all tiles and months."""

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shapely.geometry.base import BaseGeometry

from geo_assets import __version__
from geo_assets.domain.bands import Level
from geo_assets.domain.scene import ANGLE_ASSETS, SceneAsset, SceneItem
from geo_assets.domain.tile_grid import tile_footprint
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.access import FileAccess
from geo_assets.io.archives.archive import Answer, Exclusion, Query, expect_own
from geo_assets.io.archives.expectation import KNOWN_MONTHS_AROUND, expected_acquisitions
from geo_assets.io.archives.facts import Collection, Facts
from geo_assets.io.archives.filters import covers, fits, in_order
from geo_assets.io.archives.items import ItemError, scene_item
from geo_assets.io.archives.search.cache import SearchCache
from geo_assets.io.archives.search.plan import Box, Period, boxes_over, periods_between
from geo_assets.io.archives.search.shelf import FORMAT, Shelf
from geo_assets.io.archives.unusable import Unusable, refused, unreadable
from geo_assets.io.archives.withdrawn import withdrawn
from geo_assets.io.reads.byte_source import ByteSource
from geo_assets.io.wire.exchange import utc_now
from geo_assets.io.wire.meter import Meter

if TYPE_CHECKING:
    from geo_assets.io.archives.search.asking import Asking, Wanted

_SAMPLE = 5


class StacApiArchive:
    """An archive that is asked over the network; see `Archive`.

    Parameters
    ----------
    facts
        What is known of it.
    collections
        Those of its collections that are searched, as one pool.
    catalog_url
        Landing page of its STAC API, without a slash at its end.
    access
        Opens its files, and knows its hosts.
    cache
        Answers of searches.
    area, period
        What will be searched: one search serves every tile, month and query inside. None: each has its own.
    max_cloud_cover
        Per cent; asked of the server for everything that is searched.
    now
        Aware time of day.
    """

    def __init__(
        self,
        facts: Facts,
        collections: Sequence[Collection],
        *,
        catalog_url: str,
        access: FileAccess,
        cache: SearchCache,
        area: BaseGeometry | None = None,
        period: Period | None = None,
        max_cloud_cover: float | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.name = facts.name
        self.chosen_because = ""
        """See `Archive.chosen_because`."""
        self.facts = facts
        self.collections = tuple(collections)
        self.catalog_url = catalog_url
        self.access = access
        self.asked = Meter()
        """Requests of searches."""
        self._cache = cache
        self._area, self._period, self._max_cloud_cover = area, period, max_cloud_cover
        self.now = now
        """Aware time of day."""

    def offers(self) -> Mapping[Level, frozenset[str]]:
        """See `Archive.offers`; from the facts, without a request."""
        offered: dict[Level, set[str]] = {}
        for collection in self.collections:
            offered.setdefault(collection.level, set()).update(collection.bands, collection.layers)
        return {level: frozenset(names) for level, names in offered.items()}

    def search(self, tile: str, month: Month) -> Answer:
        """See `Archive.search`; one search serves all tiles and months of the archive's area and period."""
        ground, first, last = tile_footprint(tile), month.begin, month.next.begin
        shelves = [self._shelf(piece) for piece in self._pieces_of_month(ground, month)]
        known = [item for shelf in shelves for item in shelf.items if covers(item, tile, ground)]
        return Answer(
            in_order(item for item in known if first <= item.acquired < last),
            _exclusions(one for shelf in shelves for one in shelf.unusable if one.concerns(month, ground)),
            expected=expected_acquisitions(known, month, now=self.now()),
            newest=_newest(shelves),
        )

    def find(self, query: Query) -> Answer:
        """See `Archive.find`; inside the archive's area and period by the search that all share."""
        shelves = [self._shelf(piece) for piece in self._pieces_of_query(query)]
        return Answer(
            in_order(item for shelf in shelves for item in shelf.items if fits(item, query)),
            _exclusions(one for shelf in shelves for one in shelf.unusable if one.answers(query)),
            newest=_newest(shelves),
        )

    def has_scenes(self, area: BaseGeometry, period: Period) -> bool:
        """Whether it has any scene over an area in a time: one small search, never cached.

        Raises
        ------
        ArchiveError
            As in `search`.
        """
        return any(self._asking.first_page(self._wanted(box, period), limit=1) for box in boxes_over(area))

    def sample(self, area: BaseGeometry, period: Period) -> SceneItem | None:
        """Some usable scene over an area in a time; None if the first few found are none. Never cached.

        Raises
        ------
        ArchiveError
            As in `search`.
        """
        for box in boxes_over(area):
            for document in self._asking.first_page(self._wanted(box, period), limit=_SAMPLE):
                item = self._read(_without_links(document))
                if isinstance(item, SceneItem):
                    return item
        return None

    def open(self, asset: SceneAsset, *, where: str, meter: Meter | None = None) -> ByteSource:
        """See `Archive.open`."""
        expect_own(asset, self.name, where)
        return self.access.open(asset, where=where, meter=meter)

    def close(self) -> None:
        """See `Archive.close`."""
        self.access.close()

    def _pieces_of_month(self, ground: BaseGeometry, month: Month) -> Sequence["_Piece"]:
        """Those that hold the month, and of the shared ones those that tell which orbits see a tile."""
        first, last = month.begin, month.next.begin
        area = ground if self._area is None else self._area
        if self._period is None or not _within((first, last), self._period):
            return _pieces(area, (first, last), self.collections, self._max_cloud_cover)
        before, after = month, month
        for _ in range(KNOWN_MONTHS_AROUND):
            before, after = before.previous, after.next
        pieces = _pieces(area, self._period, self.collections, self._max_cloud_cover)
        return [piece for piece in pieces if _overlap(piece.period, (before.begin, after.next.begin))]

    def _pieces_of_query(self, query: Query) -> Sequence["_Piece"]:
        wanted = (query.first, query.last)
        is_shared = (
            self._area is not None
            and self._period is not None
            and _within(wanted, self._period)
            and self._area.covers(query.area)
        )
        if self._area is None or self._period is None or not is_shared:
            return _pieces(query.area, wanted, self.collections, query.max_cloud_cover)
        pieces = _pieces(self._area, self._period, self.collections, self._max_cloud_cover)
        return [piece for piece in pieces if _overlap(piece.period, wanted)]

    def _shelf(self, piece: "_Piece") -> Shelf:
        """What one search has found, asked now or earlier."""
        described = [FORMAT, __version__, self.name, self.catalog_url, [one.id for one in self.collections]]
        described += [piece.boxes, [moment.isoformat() for moment in piece.period], piece.max_cloud_cover]
        key = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:32]
        return self._cache.shelf(key, until=piece.period[1], ask=lambda: self._asked_for(piece))

    def _asked_for(self, piece: "_Piece") -> Shelf:
        """A search of the catalogue, in all the boxes of a piece."""
        asked = self.now()
        found: dict[Hashable, SceneItem | Unusable] = {}
        for box in piece.boxes:
            wanted = self._wanted(box, piece.period, piece.max_cloud_cover)
            for identity, read in self._asking.found(wanted, lambda document: _identified(document, self._read)):
                found.setdefault(identity, read)
        items = [one for one in found.values() if isinstance(one, SceneItem) and _within_period(one, piece.period)]
        unusable = [one for one in found.values() if isinstance(one, Unusable)]
        gone = self._withdrawn(items)
        unusable += [refused(item, "was withdrawn by its archive") for item in items if item.id in gone]
        return Shelf(
            asked,
            in_order(item for item in items if item.id not in gone),
            tuple(sorted(unusable, key=lambda one: (one.exclusion.item, one.exclusion.reason))),
        )

    def _wanted(self, box: Box, period: Period, max_cloud_cover: float | None = None) -> "Wanted":
        from geo_assets.io.archives.search.asking import Wanted  # costs 0.2 s, which a cached search should not pay

        return Wanted(tuple(one.id for one in self.collections), box, *period, max_cloud_cover)

    @cached_property
    def _asking(self) -> "Asking":
        from geo_assets.io.archives.search.asking import Asking
        from geo_assets.io.archives.search.pages import WirePages

        what = f"Archive {self.name}, search"
        pages = WirePages(self.access.search_wire, what=what, meter=self.asked)
        return Asking(self.catalog_url, pages, what=what, page_limit=self.facts.page_limit)

    def _read(self, document: Mapping[str, Any]) -> SceneItem | Unusable:
        """The scene item of a catalogue's item, or why it cannot be used."""
        try:
            named = str(document.get("collection") or self.collections[0].id)
            collection = next((one for one in self.collections if one.id == named), None)
            if collection is None:
                raise ItemError(f"is of collection {named!r:.60}, which was not asked for")
            item = scene_item(document, offsets=collection.offsets)
            if item.level != collection.level:
                raise ItemError(f"is of level {item.level}, expected {collection.level} in {collection.id}")
            assets = {name: checked for name, asset in item.assets.items() if (checked := self._checked(name, asset))}
        except ItemError as error:
            return unreadable(document, str(error))
        return replace(item, assets=assets)

    def _checked(self, name: str, asset: SceneAsset) -> SceneAsset | None:
        """The asset as `FileAccess.checked` has it; None for one of angles that is not to be opened."""
        try:
            return self.access.checked(asset)
        except ItemError:
            if name in ANGLE_ASSETS:  # its scene can do without
                return None
            raise

    def _withdrawn(self, items: Sequence[SceneItem]) -> frozenset[str]:
        if self.facts.deleted_url is None or not items:
            return frozenset()
        url = self.access.address(self.facts.deleted_url)
        return withdrawn([item.id for item in items], url=url, wire=self.access.wire, meter=self.asked)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one entry of the cache holds."""

    boxes: tuple[Box, ...]
    period: Period
    max_cloud_cover: float | None


def _pieces(
    area: BaseGeometry, period: Period, collections: Sequence[Collection], max_cloud_cover: float | None
) -> list[_Piece]:
    boxes = boxes_over(area)
    periods = periods_between(*period, boxes, collections=len(collections))
    return [_Piece(boxes, one, max_cloud_cover) for one in periods]


def _identified(
    document: Mapping[str, Any], read: Callable[[Mapping[str, Any]], SceneItem | Unusable]
) -> tuple[Hashable, tuple[Hashable, SceneItem | Unusable]]:
    """An item's identity in its catalogue, twice: for one search, and for all of a piece."""
    plain = _without_links(document)
    identity = (str(plain.get("collection")), str(plain.get("id")))
    return identity, (identity, read(plain))


def _without_links(document: Mapping[str, Any]) -> dict[str, Any]:
    """The item less what depends on where and when it was asked: links, and the signatures of addresses."""
    plain = {key: value for key, value in document.items() if key != "links"}
    assets = plain.get("assets")
    if isinstance(assets, Mapping):
        plain["assets"] = {key: _unsigned(asset) for key, asset in assets.items()}
    return plain


def _unsigned(value: Any) -> Any:
    """An asset, its `href` and those of its alternates without query."""
    if not isinstance(value, Mapping):
        return value
    plain = {key: _unsigned(inner) if key in ("alternate", "https") else inner for key, inner in value.items()}
    if isinstance(plain.get("href"), str):
        plain["href"] = plain["href"].partition("?")[0]
    return plain


def _within_period(item: SceneItem, period: Period) -> bool:
    return period[0] <= item.acquired < period[1]


def _within(inner: Period, outer: Period) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _overlap(one: Period, other: Period) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _newest(shelves: Iterable[Shelf]) -> datetime | None:
    return max((item.acquired for shelf in shelves for item in shelf.items), default=None)


def _exclusions(unusable: Iterable[Unusable]) -> tuple[Exclusion, ...]:
    return tuple(one.exclusion for one in unusable)
