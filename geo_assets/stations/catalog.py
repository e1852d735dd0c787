"""Every station, in the order in which the data pass them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from geo_assets.domain.region import Region
from geo_assets.io.places import Place
from geo_assets.stations.composite import MONTHLY_COMPOSITE
from geo_assets.stations.fetch import FETCH
from geo_assets.stations.harmonisation import (
    HARMONISATION,
    OVERLAP_STATISTICS,
    harmonisation_wanted,
    overlap_statistics_wanted,
)
from geo_assets.stations.line import Station
from geo_assets.stations.mask import HYBRID_MASK
from geo_assets.stations.mosaic import SEAM_BLENDED_MOSAIC
from geo_assets.stations.region_mosaic import REGION_MOSAIC
from geo_assets.stations.scout import SCOUT
from geo_assets.stations.search import SCENE_SEARCH
from geo_assets.stations.stats import DATASET_STATS, NORMALIZATION_STATS

STATIONS: tuple[Station, ...] = (
    SCENE_SEARCH,
    SCOUT,
    FETCH,
    HYBRID_MASK,
    MONTHLY_COMPOSITE,
    OVERLAP_STATISTICS,
    HARMONISATION,
    SEAM_BLENDED_MOSAIC,
    NORMALIZATION_STATS,
    REGION_MOSAIC,
    DATASET_STATS,
)

_WANTED: Mapping[str, Callable[[Region], bool]] = MappingProxyType(
    {OVERLAP_STATISTICS.name: overlap_statistics_wanted, HARMONISATION.name: harmonisation_wanted}
)
"""Stations that are in the line of some regions only."""

STATION_BY_NAME: dict[str, Station] = {station.name: station for station in STATIONS}


def stations_of(region: Region) -> tuple[Station, ...]:
    """The stations of a region's line, in order: those that it has no use for are left out."""
    return tuple(station for station in STATIONS if station.name not in _WANTED or _WANTED[station.name](region))


def station_places(region: Region, station: Station) -> tuple[Place, ...]:
    """Every product of a station: months in order, tiles in spatial order within each."""
    if station.scope == "tile_month":
        return tuple(station.place(tile_month) for tile_month in region.tile_months)
    if station.scope == "month":
        return tuple(Place(station.name, None, month) for month in region.month_list)
    return (Place(station.name),)
