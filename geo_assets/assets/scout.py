"""The asset of station 2: a coarse look at which scenes are worth fetching."""

import dagster as dg

from geo_assets.orchestration.materialization import materialize_each
from geo_assets.orchestration.partitions import RegionPartitions
from geo_assets.orchestration.resources import LineResource
from geo_assets.orchestration.station_asset import station_asset
from geo_assets.stations.line import Station


def scout(station: Station, partitions: RegionPartitions) -> dg.AssetsDefinition:
    """Selection of scenes of a tile and month; reads coarse pixels from the archive."""

    @station_asset(
        station,
        partitions,
        group="1_acquire",
        kinds={"parquet", "pandera"},
        deps=["scene_search"],
        asks_archive=True,
    )
    def scout(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return scout
