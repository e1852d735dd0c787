"""The asset of station 3: the selected scenes' bands on the tile's grid."""

import dagster as dg

from geo_assets.orchestration.materialization import materialize_each
from geo_assets.orchestration.partitions import RegionPartitions
from geo_assets.orchestration.resources import LineResource
from geo_assets.orchestration.station_asset import station_asset
from geo_assets.stations.line import Station


def fetch(station: Station, partitions: RegionPartitions) -> dg.AssetsDefinition:
    """Reflectance of every selected scene of a tile and month; reads the archive's pixels."""

    @station_asset(
        station,
        partitions,
        group="1_acquire",
        kinds={"geotiff"},
        deps=["scene_search", "scout"],
        asks_archive=True,
    )
    def fetch(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return fetch
