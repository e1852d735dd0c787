"""The asset of station 4: which observations are clear."""

import dagster as dg

from geo_assets.orchestration.materialization import materialize_each
from geo_assets.orchestration.partitions import RegionPartitions
from geo_assets.orchestration.resources import LineResource
from geo_assets.orchestration.station_asset import station_asset
from geo_assets.stations.line import Station


def hybrid_mask(station: Station, partitions: RegionPartitions) -> dg.AssetsDefinition:
    """Mask codes, detector bits, cloud probability and distances of every fetched scene."""

    @station_asset(
        station,
        partitions,
        group="2_mask",
        kinds={"geotiff", "numba"},
        deps=["scene_search", "fetch"],
    )
    def hybrid_mask(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return hybrid_mask
