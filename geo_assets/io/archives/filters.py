"""Which items a query means: checked here whatever the archive has already left out."""

from collections.abc import Iterable

import shapely
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.scene import SceneItem
from geo_assets.io.archives.archive import Query
from geo_assets.io.archives.sensors.stac_item import platform_name


def fits(item: SceneItem, query: Query) -> bool:
    """True if the item is of the time, the limits and the ground of a query.

    A limit leaves out what is known to break it: an item that states no cloud cover or no orbit is kept.
    """
    return (
        query.first <= item.acquired < query.last
        and (query.max_cloud_cover is None or item.cloud_cover is None or item.cloud_cover <= query.max_cloud_cover)
        and (not query.platforms or item.platform in map(platform_name, query.platforms))
        and (not query.orbits or item.relative_orbit is None or item.relative_orbit in query.orbits)
        and bool(shapely.intersects(item.footprint, query.area))
    )


def covers(item: SceneItem, tile: str, ground: BaseGeometry) -> bool:
    """True if the item is of a tile, or names none and reaches its ground."""
    if item.tile is not None:
        return item.tile == tile
    return bool(shapely.intersects(item.footprint, ground))


def in_order(items: Iterable[SceneItem]) -> tuple[SceneItem, ...]:
    """The items by time and id."""
    return tuple(sorted(items, key=lambda item: (item.acquired, item.id)))
