"""The assets of station 7: counts per band, by tile and month and over everything, for normalization."""

import dagster as dg

from geo_assets.orchestration.materialization import materialize_each
from geo_assets.orchestration.partitions import RegionPartitions
from geo_assets.orchestration.resources import LineResource
from geo_assets.orchestration.station_asset import station_asset
from geo_assets.stations.line import Station


def normalization_stats(station: Station, partitions: RegionPartitions) -> dg.AssetsDefinition:
    """Exact histogram of every band of a tile's composite."""

    @station_asset(
        station,
        partitions,
        group="5_publish",
        kinds={"numpy"},
        deps=["monthly_composite"],
    )
    def normalization_stats(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return normalization_stats


def dataset_stats(station: Station, partitions: RegionPartitions) -> dg.AssetsDefinition:
    """Clip percentiles, mean and deviation of every band over all tiles and months."""

    @station_asset(
        station,
        partitions,
        group="5_publish",
        kinds={"json"},
        deps=[dg.AssetDep("normalization_stats", partition_mapping=dg.AllPartitionMapping())],
    )
    def dataset_stats(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return dataset_stats
