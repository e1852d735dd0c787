"""The jobs that people and schedules start by name: one for each stage of a month.

A stage is what one ranged run can do: stations of tiles, or those of whole months. Where tiles are harmonised, a
station of the month stands between two of tiles, and the line has four stages instead of two.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from geo_assets.orchestration.policies import RUN_TAGS

TILES_JOB = "tiles_of_month"
HARMONISATION_JOB = "harmonisation_of_month"
MOSAICS_JOB = "mosaics_of_month"
REGION_JOB = "region_of_month"

_OF_STAGES: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {2: (TILES_JOB, REGION_JOB), 4: (TILES_JOB, HARMONISATION_JOB, MOSAICS_JOB, REGION_JOB)}
)
_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        TILES_JOB: "All stations up to where tiles wait for each other: one tile and month, or a range by tags.",
        HARMONISATION_JOB: "Gains and offsets of all tiles of one month.",
        MOSAICS_JOB: "The mosaics of harmonised tiles: one tile and month, or a range of them by tags.",
        REGION_JOB: "The region's mosaic of one month, and the statistics of all months so far.",
    }
)


def stage_jobs(stages: Sequence[Sequence[dg.AssetsDefinition]]) -> list[UnresolvedAssetJobDefinition]:
    """A job for each of a line's stages, in order; those of tiles and those of months take turns."""
    return [
        dg.define_asset_job(
            name, selection=dg.AssetSelection.assets(*assets), description=_DESCRIPTIONS[name], tags=RUN_TAGS
        )
        for name, assets in zip(_OF_STAGES[len(stages)], stages, strict=True)
    ]
