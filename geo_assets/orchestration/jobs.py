"""The jobs that people and schedules start by name."""

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from geo_assets.orchestration.policies import RUN_TAGS

TILES_JOB = "tiles_of_month"
REGION_JOB = "region_of_month"


def tiles_job(assets: Sequence[dg.AssetsDefinition]) -> UnresolvedAssetJobDefinition:
    """Every station that works on a tile and a month."""
    return dg.define_asset_job(
        TILES_JOB,
        selection=dg.AssetSelection.assets(*assets),
        description="All tiled stations: one tile and month, or a range of them by tags.",
        tags=RUN_TAGS,
    )


def region_job(assets: Sequence[dg.AssetsDefinition]) -> UnresolvedAssetJobDefinition:
    """What follows when all tiles of a month are there: the region's mosaic, and the statistics over all months."""
    return dg.define_asset_job(
        REGION_JOB,
        selection=dg.AssetSelection.assets(*assets),
        description="The region's mosaic of one month, and the statistics of all months so far.",
        tags=RUN_TAGS,
    )
