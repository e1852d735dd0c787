"""The asset of station 5: one value per pixel per month."""

import dagster as dg

from geo_assets.orchestration.materialization import materialize_each
from geo_assets.orchestration.partitions import RegionPartitions
from geo_assets.orchestration.resources import LineResource
from geo_assets.orchestration.station_asset import station_asset
from geo_assets.stations.line import Station


def monthly_composite(station: Station, partitions: RegionPartitions) -> dg.AssetsDefinition:
    """Reflectance by `composite.method`, with uncertainty, quality, count, source and day of every pixel."""

    @station_asset(
        station,
        partitions,
        group="3_composite",
        kinds={"geotiff", "numba", "stac"},
        deps=["scene_search", "fetch", "hybrid_mask"],
    )
    def monthly_composite(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return monthly_composite
