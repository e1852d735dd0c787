"""Every station, in the order in which the data pass them."""

from geo_assets.domain.region import Region
from geo_assets.io.places import Place
from geo_assets.stations.composite import MONTHLY_COMPOSITE
from geo_assets.stations.fetch import FETCH
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
    SEAM_BLENDED_MOSAIC,
    NORMALIZATION_STATS,
    REGION_MOSAIC,
    DATASET_STATS,
)

STATION_BY_NAME: dict[str, Station] = {station.name: station for station in STATIONS}


def station_places(region: Region, station: Station) -> tuple[Place, ...]:
    """Every product of a station: months in order, tiles in spatial order within each."""
    if station.scope == "tile_month":
        return tuple(station.place(tile_month) for tile_month in region.tile_months)
    if station.scope == "month":
        return tuple(Place(station.name, None, month) for month in region.month_list)
    return (Place(station.name),)
