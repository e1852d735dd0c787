"""What all assets that stand for a station have in common."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import dagster as dg

from geo_assets.orchestration.materialization import report_data_versions
from geo_assets.orchestration.partitions import RegionPartitions
from geo_assets.orchestration.policies import ARCHIVE_POOL, ARCHIVE_RETRY, daemon_backfills
from geo_assets.stations.line import Scope, Station

AssetBody: TypeAlias = Callable[..., None]
"""Takes the execution context and the resources that its annotations name."""


def station_asset(
    station: Station,
    partitions: RegionPartitions,
    *,
    group: str,
    kinds: Iterable[str],
    deps: Iterable[str | dg.AssetDep] = (),
    asks_archive: bool = False,
) -> Callable[[AssetBody], dg.AssetsDefinition]:
    """A decorator like `dagster.asset`, with name, partitions, version and policies as the station needs them.

    Parameters
    ----------
    group
        Begins with its place in the line, for Dagster lists groups by name.
    kinds
        Tags on the lineage's cards.
    deps
        Assets that it reads: of the same tile and month, where no mapping says otherwise.
    asks_archive
        It takes a share of the archive's pool, and another try when the archive fails in passing.
    """
    return dg.asset(
        name=station.name,
        description=station.summary,
        code_version=station.version,
        group_name=group,
        kinds=set(kinds),
        deps=list(deps),
        partitions_def=partitions_of(station.scope, partitions),
        backfill_policy=None if station.scope == "all" else daemon_backfills(),
        pool=ARCHIVE_POOL if asks_archive else None,
        retry_policy=ARCHIVE_RETRY if asks_archive else None,
        hooks={report_data_versions},
    )


def partitions_of(scope: Scope, partitions: RegionPartitions) -> dg.PartitionsDefinition[str] | None:
    """The partitions of a station's asset and check; None for a station over everything."""
    if scope == "all":
        return None
    return partitions.tile_months if scope == "tile_month" else partitions.months
