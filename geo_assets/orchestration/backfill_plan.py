"""Which partitions a backfill runs next, and which ones it must leave: bookkeeping without Dagster."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from geo_assets.domain.errors import ProductError
from geo_assets.domain.tile_month import Month
from geo_assets.io.products import Place
from geo_assets.stations.line import Line, Station

Result: TypeAlias = Literal["built", "reused", "failed", "blocked", "waiting"]
"""What became of a partition: `blocked` stands behind a failed one, `waiting` behind one that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One ranged run: some stations of one scope, over a rectangle of tiles and months."""

    stations: tuple[Station, ...]
    tiles: tuple[str, ...]
    """Consecutive in the region's order; empty for stations without tiles."""
    months: tuple[Month, ...]
    """Consecutive; empty for stations without months."""

    def places(self, station: Station) -> tuple[Place, ...]:
        """The products of one of its stations."""
        return _places(station, self.tiles, self.months)


@dataclass(slots=True)
class BackfillPlan:
    """What was asked for, and what has become of it so far."""

    line: Line
    stations: tuple[Station, ...]
    """In the order of the line: each after those it reads."""
    tiles: frozenset[str]
    months: frozenset[Month]
    results: dict[Place, Result] = field(default_factory=dict)
    messages: dict[Place, str] = field(default_factory=dict)
    """Why the failed, blocked and waiting ones are not done."""
    _asked: dict[str, tuple[Place, ...]] = field(default_factory=dict)
    _upstream: dict[Place, tuple[Place, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tiles = tuple(tile for tile in self.line.region.tile_ids if tile in self.tiles)
        months = tuple(month for month in self.line.region.month_list if month in self.months)
        for station in self.stations:
            self._asked[station.name] = _places(station, tiles, months)
            for place in self._asked[station.name]:
                self._upstream[place] = tuple(station.upstream(self.line, place))

    @property
    def total(self) -> int:
        """How many partitions were asked for."""
        return len(self._upstream)

    def record(self, place: Place, result: Result, message: str = "") -> None:
        """Note what became of a partition; a success stands, whatever is said of it later."""
        if self.results.get(place) in {"built", "reused"}:
            return
        self.results[place] = result
        self.messages.pop(place, None)
        if message:
            self.messages[place] = message

    def next_batch(self) -> Batch | None:
        """The next run: a large rectangle that the first unfinished station can do, and all stations that can follow.

        None when nothing more can be done; whatever is left has been recorded as blocked or waiting by then.
        """
        for index, station in enumerate(self.stations):
            self._set_aside_hopeless(station)
            pending = {place for place in self._asked[station.name] if place not in self.results}
            if not pending:
                continue
            tiles, months = self._largest_rectangle(pending)
            members, joining = [station], set(_places(station, tiles, months))
            for later in self.stations[index + 1 :]:
                places = _places(later, tiles, months)
                if later.scope == station.scope and all(self._can_follow(place, joining) for place in places):
                    members.append(later)
                    joining.update(places)
            return Batch(tuple(members), tiles, months)
        return None

    def _can_follow(self, place: Place, joining: Set[Place]) -> bool:
        """Whether `place` is unfinished, and all it reads is there or made earlier in the same run (`joining`)."""
        return place not in self.results and all(
            source in joining or self.results.get(source) in {"built", "reused"} or self._is_there(source)
            for source in self._upstream[place]
        )

    def _set_aside_hopeless(self, station: Station) -> None:
        """Record those partitions of `station` that will never have what they read.

        Every station before it is finished by now, so whatever is missing stays missing.
        """
        for place in self._asked[station.name]:
            if place in self.results:
                continue
            missing = [
                source
                for source in self._upstream[place]
                if self.results.get(source) not in {"built", "reused"} and not self._is_there(source)
            ]
            if not missing:
                continue
            broken = [source for source in missing if self.results.get(source) in {"failed", "blocked"}]
            if broken:
                self.record(place, "blocked", f"needs {_named(broken)}")
            else:
                self.record(place, "waiting", f"needs {_named(missing)}, outside of what was asked for")

    def _is_there(self, source: Place) -> bool:
        """Whether a product that nobody asked for has been made before."""
        if source in self._upstream:
            return False
        try:
            return self.line.products.find(source) is not None
        except ProductError:  # damaged: the station that reads it says so, with the remedy
            return True

    def _largest_rectangle(self, pending: Set[Place]) -> tuple[tuple[str, ...], tuple[Month, ...]]:
        """A block of consecutive tiles and months that are all among `pending`, as large as they come."""
        example = next(iter(pending))
        tiles: Sequence[str | None] = self.line.region.tile_ids if example.tile is not None else (None,)
        months: Sequence[Month | None] = self.line.region.month_list if example.month is not None else (None,)
        rows = {month: {place.tile for place in pending if place.month == month} for month in months}
        best_tiles: Sequence[str | None] = ()
        best_months: Sequence[Month | None] = ()
        for top in range(len(months)):
            common = rows[months[top]]
            for bottom in range(top, len(months)):
                common = common & rows[months[bottom]]
                if len(common) * (len(months) - top) <= len(best_tiles) * len(best_months):
                    break
                stretch = _longest_stretch(tiles, common)
                if len(stretch) * (bottom - top + 1) > len(best_tiles) * len(best_months):
                    best_tiles, best_months = stretch, months[top : bottom + 1]
        return (
            tuple(tile for tile in best_tiles if tile is not None),
            tuple(month for month in best_months if month is not None),
        )


def _places(station: Station, tiles: Sequence[str], months: Sequence[Month]) -> tuple[Place, ...]:
    if station.scope == "all":
        return (Place(station.name, None, None),)
    if station.scope == "month":
        return tuple(Place(station.name, None, month) for month in months)
    return tuple(Place(station.name, tile, month) for month in months for tile in tiles)


def _longest_stretch(order: Sequence[str | None], members: Set[str | None]) -> Sequence[str | None]:
    best: Sequence[str | None] = ()
    begin = 0
    for end in range(len(order) + 1):
        if end == len(order) or order[end] not in members:
            if end - begin > len(best):
                best = order[begin:end]
            begin = end + 1
    return best


def _named(places: Sequence[Place]) -> str:
    rest = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return ", ".join(str(place) for place in places[:3]) + rest
