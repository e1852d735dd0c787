"""Which inspector looks at which station, as Dagster asset checks."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import dagster as dg

from geo_assets.checks.acquire import (
    acquisitions_keep_coming,
    offsets_are_applied_once,
    scenes_are_unique,
    selection_covers,
)
from geo_assets.checks.composite import (
    coverage_is_enough,
    dates_lie_in_patches,
    has_a_value_where_something_is_clear,
    stays_near_the_target_day,
    uncertainty_is_honest,
)
from geo_assets.checks.harmonisation import every_tile_is_harmonised, overlaps_agree
from geo_assets.checks.mask import classes_add_up, scenes_are_judged_alike, what_was_seen_is_judged
from geo_assets.checks.mosaic import covers_what_its_tile_covers, holds_every_tile, pixels_are_exact, seams_are_not_seen
from geo_assets.checks.stats import every_band_was_counted
from geo_assets.orchestration.inspection import Inspector, inspect_each
from geo_assets.orchestration.partitions import RegionPartitions
from geo_assets.orchestration.resources import LineResource
from geo_assets.orchestration.station_asset import partitions_of
from geo_assets.stations.line import Station

INSPECTORS: Mapping[str, tuple[Inspector, ...]] = MappingProxyType(
    {
        "scene_search": (scenes_are_unique, acquisitions_keep_coming),
        "scout": (selection_covers,),
        "fetch": (offsets_are_applied_once,),
        "hybrid_mask": (classes_add_up, what_was_seen_is_judged, scenes_are_judged_alike),
        "monthly_composite": (
            coverage_is_enough,
            has_a_value_where_something_is_clear,
            stays_near_the_target_day,
            dates_lie_in_patches,
            uncertainty_is_honest,
        ),
        "harmonisation": (overlaps_agree, every_tile_is_harmonised),
        "seam_blended_mosaic": (covers_what_its_tile_covers, pixels_are_exact, seams_are_not_seen),
        "region_mosaic": (holds_every_tile, pixels_are_exact, seams_are_not_seen),
        "normalization_stats": (every_band_was_counted,),
        "dataset_stats": (every_band_was_counted,),
    }
)

JUDGE_EMPTY: frozenset[Inspector] = frozenset({acquisitions_keep_coming})
"""Inspectors that look at empty products as well; the others have nothing to find in them."""


def station_checks(stations: Sequence[Station], partitions: RegionPartitions) -> list[dg.AssetChecksDefinition]:
    """A check for every inspector of every station."""
    return [
        _check(station, partitions, inspector) for station in stations for inspector in INSPECTORS.get(station.name, ())
    ]


def _check(station: Station, partitions: RegionPartitions, inspector: Inspector) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=station.name,
        name=inspector.__name__,
        description=(inspector.__doc__ or "").strip(),
        partitions_def=partitions_of(station.scope, partitions),
    )
    def check(context: dg.AssetCheckExecutionContext, line: LineResource) -> dg.AssetCheckResult:
        return inspect_each(context, line, station, inspector, empty_too=inspector in JUDGE_EMPTY)

    return check
