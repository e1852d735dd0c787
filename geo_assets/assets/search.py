"""The asset of station 1: which scenes touch this tile this month."""

import dagster as dg

from geo_assets.orchestration.materialization import materialize_each
from geo_assets.orchestration.partitions import RegionPartitions
from geo_assets.orchestration.resources import LineResource
from geo_assets.orchestration.station_asset import station_asset
from geo_assets.stations.line import Station


def scene_search(station: Station, partitions: RegionPartitions) -> dg.AssetsDefinition:
    """Scenes of a tile and month; reads the archive's catalogue."""

    @station_asset(
        station,
        partitions,
        group="1_acquire",
        kinds={"stac", "parquet", "pandera"},
        asks_archive=True,
    )
    def scene_search(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return scene_search
