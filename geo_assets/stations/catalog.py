"""Every station, in the order in which the data pass them."""

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
