"""Months, and the pair of tile and month that names a partition."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from geo_assets.domain.errors import RegionError

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_TILE = re.compile(r"[0-9A-Z]{5}|h\d\dv\d\d", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month, UTC; prints as `2024-07`."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The month that `text` ("2024-07") names; `RegionError` for anything else."""
        match = _MONTH.fullmatch(text)
        if match is None or int(match[1]) < 1:
            raise RegionError(f"Month: found {text!r}, expected YYYY-MM, such as 2024-07.")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def containing(cls, moment: datetime) -> Self:
        """The month in which an aware `moment` falls in UTC."""
        utc = moment.astimezone(UTC)
        return cls(utc.year, utc.month)

    @property
    def begin(self) -> datetime:
        """Its first instant, UTC."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def next(self) -> "Month":
        """The month after it."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def previous(self) -> "Month":
        """The month before it."""
        return Month(self.year - (self.number == 1), (self.number - 2) % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


def months_between(first: Month, last: Month) -> tuple[Month, ...]:
    """All months from `first` to `last`, both included, in order of time."""
    months = []
    while first <= last:
        months.append(first)
        first = first.next
    return tuple(months)


@dataclass(frozen=True, slots=True, order=True)
class TileMonth:
    """One tile in one month: the partition that every station works on; prints as `2024-07|33TVL`."""

    tile: str
    month: Month

    @classmethod
    def parse(cls, key: str) -> Self:
        """The tile and month of a partition key `month|tile`; `RegionError` if it is not one."""
        month, bar, tile = key.partition("|")
        if not bar or _TILE.fullmatch(tile) is None:
            raise RegionError(
                f"Partition key: found {key!r}, expected month|tile, such as 2024-07|33TVL or 2024-07|h18v04."
            )
        return cls(tile, Month.parse(month))

    @property
    def key(self) -> str:
        """The partition key, dimensions in Dagster's order (sorted by name)."""
        return f"{self.month}|{self.tile}"

    def __str__(self) -> str:
        return self.key
