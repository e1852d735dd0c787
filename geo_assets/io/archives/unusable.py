"""Items that cannot be used: each counts wherever its scene may be missed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.errors import RegionError
from geo_assets.domain.scene import SceneItem
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Exclusion, Query
from geo_assets.io.archives.sensors.stac_item import plain


@dataclass(frozen=True, slots=True)
class Unusable:
    """An item that cannot be used, and when and where it is missed."""

    exclusion: Exclusion
    month: Month | None
    """None where the item does not say."""
    ground: BaseGeometry | None
    """EPSG:4326; None where the item does not say."""

    def concerns(self, month: Month, ground: BaseGeometry) -> bool:
        """True unless the item says that it lies elsewhere or in another month."""
        return self.month in (None, month) and self._reaches(ground)

    def answers(self, query: Query) -> bool:
        """True unless the item says that it lies elsewhere or in another time."""
        first, last = Month.containing(query.first), Month.containing(query.last)
        return (self.month is None or first <= self.month <= last) and self._reaches(query.area)

    def _reaches(self, ground: BaseGeometry) -> bool:
        return self.ground is None or bool(shapely.intersects(self.ground, ground))


def unreadable(document: Mapping[str, Any], reason: str) -> Unusable:
    """An item that could not be understood, with what it says of time and place all the same."""
    exclusion = Exclusion(plain(document.get("id"), 200), plain(reason, 600))
    return Unusable(exclusion, _stated_month(document), _stated_ground(document))


def refused(item: SceneItem, reason: str) -> Unusable:
    """An item that was understood and may not be used."""
    return Unusable(Exclusion(item.id, plain(reason, 600)), Month.containing(item.acquired), item.footprint)


def _stated_month(document: Mapping[str, Any]) -> Month | None:
    properties = document.get("properties")
    text = properties.get("datetime") if isinstance(properties, Mapping) else None
    try:
        return Month.parse(str(text)[:7])
    except RegionError:
        return None


def _stated_ground(document: Mapping[str, Any]) -> BaseGeometry | None:
    try:
        ground = shape(document["geometry"])
    except Exception:  # whatever a stranger's geometry does to shapely
        return None
    return None if ground.is_empty else ground
