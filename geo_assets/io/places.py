"""Addresses of products: a station's answer for a tile or all of them, in a month or all of them."""

import re
from dataclasses import dataclass
from typing import Self

from geo_assets.domain.errors import ProductError
from geo_assets.domain.tile_month import Month, TileMonth

_STATION = re.compile(r"[a-z][a-z0-9_]*")
_WHOLE_REGION = "_region"
_ALL_MONTHS = "_all"


@dataclass(frozen=True, slots=True)
class Place:
    """Which product is meant within a region; prints as `hybrid_mask 33TVL 2024-07`."""

    station: str
    tile: str | None = None
    """None: the whole region."""
    month: Month | None = None
    """None: all months."""

    def __post_init__(self) -> None:
        if _STATION.fullmatch(self.station) is None:
            raise ProductError(f"Station: found {self.station!r}, expected lower-case letters, digits and _.")

    @classmethod
    def of(cls, station: str, tile_month: TileMonth) -> Self:
        """A station's product of one tile and month."""
        return cls(station, tile_month.tile, tile_month.month)

    @property
    def folder(self) -> str:
        """Relative to the region's folder: `station/tile/month`."""
        return f"{self.station}/{self.tile or _WHOLE_REGION}/{self.month or _ALL_MONTHS}"

    @property
    def key(self) -> str:
        """Its name among another product's inputs: `station|tile|month`."""
        return self.folder.replace("/", "|")

    def __str__(self) -> str:
        return f"{self.station} {self.tile or 'of the whole region'} {self.month or 'of all months'}"
