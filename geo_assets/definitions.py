"""The front door for Dagster: one region's assets, checks, jobs and schedule."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from types import MappingProxyType
from typing import TypeAlias

import dagster as dg

from geo_assets.api import read_region
from geo_assets.assets.composite import monthly_composite
from geo_assets.assets.fetch import fetch
from geo_assets.assets.harmonisation import harmonisation, overlap_statistics
from geo_assets.assets.mask import hybrid_mask
from geo_assets.assets.mosaic import region_mosaic, seam_blended_mosaic
from geo_assets.assets.scout import scout
from geo_assets.assets.search import scene_search
from geo_assets.assets.stats import dataset_stats, normalization_stats
from geo_assets.checks.station_checks import station_checks
from geo_assets.domain.region import Region
from geo_assets.orchestration.jobs import stage_jobs
from geo_assets.orchestration.partitions import RegionPartitions, region_partitions
from geo_assets.orchestration.resources import (
    LineResource,
    leaves_last_month_open,
    line_resource,
    surroundings,
)
from geo_assets.orchestration.schedules import monthly_schedule, stages_follow
from geo_assets.stations.catalog import stations_of
from geo_assets.stations.harmonisation import harmonisation_wanted
from geo_assets.stations.line import Station

AssetOf: TypeAlias = Callable[[Station, RegionPartitions], dg.AssetsDefinition]

ASSETS: Mapping[str, AssetOf] = MappingProxyType(
    {
        "scene_search": scene_search,
        "scout": scout,
        "fetch": fetch,
        "hybrid_mask": hybrid_mask,
        "monthly_composite": monthly_composite,
        "overlap_statistics": overlap_statistics,
        "harmonisation": harmonisation,
        "seam_blended_mosaic": seam_blended_mosaic,
        "normalization_stats": normalization_stats,
        "region_mosaic": region_mosaic,
        "dataset_stats": dataset_stats,
    }
)
"""Station -> its asset."""


def definitions_for(
    region: Region, line: LineResource, *, stations: Sequence[Station] | None = None, growing: bool = False
) -> dg.Definitions:
    """Everything that Dagster needs to know about one region.

    Parameters
    ----------
    region
        Tiles and months, which become partitions.
    line
        Opens the same region in the process of a run.
    stations
        What the assets run, each with a name in `ASSETS`, in order; those of the region's line by default.
    growing
        The region file leaves `months.last` out: each month that ends becomes a partition.
    """
    with warnings.catch_warnings():
        # Partitioned checks, backfill policies and mappings between dimensions: dagster is pinned to 1.13 for them.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        stations = stations_of(region) if stations is None else stations
        partitions = region_partitions(region, growing=growing)
        mosaic = partial(seam_blended_mosaic, harmonised=harmonisation_wanted(region), cut=region.mosaic.seamline)
        makers: Mapping[str, AssetOf] = {**ASSETS, "seam_blended_mosaic": mosaic}
        assets = {station.name: makers[station.name](station, partitions) for station in stations}
        stages = groupby(stations, key=lambda station: station.scope == "tile_month")
        jobs = stage_jobs([[assets[station.name] for station in members] for _, members in stages])
        return dg.Definitions(
            assets=list(assets.values()),
            asset_checks=station_checks(stations, partitions),
            jobs=jobs,
            schedules=[monthly_schedule(region, jobs[0], growing=growing)],
            sensors=stages_follow(region, jobs),
            resources={"line": line},
            # Parallel are runs and the kernels within one, never the steps of a run: a step process costs 4 s to start.
            executor=dg.in_process_executor,
        )


@dg.definitions
def defs() -> dg.Definitions:
    """The region that the environment names (see `Surroundings`); the bundled demo if it names none."""
    place = surroundings()
    region = read_region(place.region_file)
    return definitions_for(region, line_resource(place), growing=leaves_last_month_open(place.region_file))
