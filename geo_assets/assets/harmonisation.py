"""The assets between stations 5 and 6: what neighbours have in common, and the gains and offsets of a month."""

import dagster as dg

from geo_assets.orchestration.materialization import materialize_each
from geo_assets.orchestration.partitions import RegionPartitions
from geo_assets.orchestration.resources import LineResource
from geo_assets.orchestration.station_asset import station_asset
from geo_assets.stations.line import Station


def overlap_statistics(station: Station, partitions: RegionPartitions) -> dg.AssetsDefinition:
    """A tile's pairs with its neighbours, which wait for the composites of all of them."""

    @station_asset(
        station,
        partitions,
        group="4_mosaic",
        kinds={"numba", "numpy"},
        deps=[dg.AssetDep("monthly_composite", partition_mapping=partitions.neighbourhood)],
    )
    def overlap_statistics(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return overlap_statistics


def harmonisation(station: Station, partitions: RegionPartitions) -> dg.AssetsDefinition:
    """One solution for all tiles of a month, which waits for all of their overlaps."""

    @station_asset(
        station,
        partitions,
        group="4_mosaic",
        kinds={"json", "numba"},
        deps=[dg.AssetDep("overlap_statistics", partition_mapping=partitions.whole_month)],
    )
    def harmonisation(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return harmonisation
