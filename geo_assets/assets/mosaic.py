"""The assets of station 6: neighbouring tiles blended across their seams, and the region in one piece."""

import dagster as dg

from geo_assets.orchestration.materialization import materialize_each
from geo_assets.orchestration.partitions import RegionPartitions
from geo_assets.orchestration.resources import LineResource
from geo_assets.orchestration.station_asset import station_asset
from geo_assets.stations.line import Station


def seam_blended_mosaic(
    station: Station, partitions: RegionPartitions, *, harmonised: bool = False, cut: bool = False
) -> dg.AssetsDefinition:
    """A tile's mosaic, which waits for the composites of the tile and of all its neighbours.

    Where tiles are `harmonised`, it waits for all of the month's, too; where they are `cut` along seamlines, for the
    overlaps of the neighbours, among which the seams are.
    """
    deps = [dg.AssetDep("monthly_composite", partition_mapping=partitions.neighbourhood)]
    if harmonised:
        deps.append(dg.AssetDep("harmonisation", partition_mapping=partitions.whole_month))
    if cut:
        deps.append(dg.AssetDep("overlap_statistics", partition_mapping=partitions.neighbourhood))

    @station_asset(
        station,
        partitions,
        group="4_mosaic",
        kinds={"geotiff", "numba", "stac"},
        deps=deps,
    )
    def seam_blended_mosaic(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return seam_blended_mosaic


def region_mosaic(station: Station, partitions: RegionPartitions) -> dg.AssetsDefinition:
    """The mosaics of all tiles of a month as one."""

    @station_asset(
        station,
        partitions,
        group="5_publish",
        kinds={"geotiff", "stac"},
        deps=[dg.AssetDep("seam_blended_mosaic", partition_mapping=partitions.whole_month)],
    )
    def region_mosaic(context: dg.AssetExecutionContext, line: LineResource) -> None:
        materialize_each(context, line, station)

    return region_mosaic
