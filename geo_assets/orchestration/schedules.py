"""The month that is over, made without being asked: first its tiles, then what waits for all of them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import PARTITION_NAME_TAG

from geo_assets.domain.region import Region
from geo_assets.domain.tile_month import Month, months_between
from geo_assets.orchestration.partitions import months_of_range, range_tags

MONTHLY_CRON = "0 3 5 * *"
"""03:00 UTC on the 5th: archives list the last acquisitions of a month some days late."""


def monthly_schedule(
    region: Region, job: UnresolvedAssetJobDefinition, *, growing: bool = False
) -> dg.ScheduleDefinition:
    """One ranged run over all tiles of the last full month, on the 5th of each month.

    One run, not one a tile: `build_schedule_from_partitioned_job` would launch as many runs as there are tiles. With
    `growing`, the region has no last month.
    """

    @dg.schedule(
        job=job,
        cron_schedule=MONTHLY_CRON,
        execution_timezone="UTC",
        description="All tiles of the last full month, in one run, on the 5th at 03:00 UTC.",
    )
    def last_full_month(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """A run of every tile for the month that has just ended; skipped outside of the region's months."""
        month = Month.containing(context.scheduled_execution_time).previous
        first, last = region.month_list[0], region.month_list[-1]
        if month < first or (month > last and not growing):
            return dg.SkipReason(
                f"Region {region.name}: {month} is not one of its months, {first} to {last}. "
                "Extend months.last in the region file, or leave it out to go on for ever."
            )
        return dg.RunRequest(run_key=str(month), tags=range_tags(region.tile_ids, [month]))

    return last_full_month


def stages_follow(region: Region, jobs: Sequence[UnresolvedAssetJobDefinition]) -> list[dg.SensorDefinition]:
    """A sensor between each two stages: those of tiles, the first among them, and those of months take turns."""
    pairs = enumerate(pairwise(jobs))
    return [
        tiles_follow_month(region, before, after) if number % 2 else month_follows_tiles(before, after)
        for number, (before, after) in pairs
    ]


def month_follows_tiles(
    tiles_job: UnresolvedAssetJobDefinition, month_job: UnresolvedAssetJobDefinition
) -> dg.SensorDefinition:
    """When a ranged run of all tiles has succeeded, what its months have as a whole follows.

    A sensor on the run rather than a later schedule: it needs no guess at how long the tiles take, and a failed run is
    followed by nothing until somebody has run it again. Runs of single partitions (backfills) are left alone.
    """

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name=_sensor_name(tiles_job, month_job),
        monitored_jobs=[tiles_job],
        request_job=month_job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"After the tiles of a month in {tiles_job.name}: {month_job.name}.",
    )
    def follow(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        """What comes after a run of tiles: a run for each of its months."""
        run = context.dagster_run
        months = months_of_range(run.tags)
        if months is None:
            yield dg.SkipReason(f"Run {run.run_id} was of a single partition.")
            return
        for month in months_between(*months):
            yield dg.RunRequest(run_key=f"{run.run_id}:{month}", partition_key=str(month))

    return follow


def tiles_follow_month(
    region: Region, month_job: UnresolvedAssetJobDefinition, tiles_job: UnresolvedAssetJobDefinition
) -> dg.SensorDefinition:
    """When the run of a month has succeeded, one ranged run of all tiles follows."""

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name=_sensor_name(month_job, tiles_job),
        monitored_jobs=[month_job],
        request_job=tiles_job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"After a month in {month_job.name}: all of its tiles in {tiles_job.name}.",
    )
    def follow(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        """What comes after a run of months: one run of all their tiles."""
        run = context.dagster_run
        months = months_of_range(run.tags)
        if months is None and PARTITION_NAME_TAG in run.tags:
            months = (Month.parse(run.tags[PARTITION_NAME_TAG]),) * 2
        if months is None:
            return dg.SkipReason(f"Run {run.run_id} was of no month.")
        return dg.RunRequest(run_key=run.run_id, tags=range_tags(region.tile_ids, months_between(*months)))

    return follow


def _sensor_name(before: UnresolvedAssetJobDefinition, after: UnresolvedAssetJobDefinition) -> str:
    """Such as `region_after_tiles`: the jobs are called like what they make of a month."""
    follower, leader = (job.name.removesuffix("_of_month") for job in (after, before))
    return f"{follower}_after_{leader}"
