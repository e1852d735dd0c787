"""A backfill without the daemon: ranged runs in this process, going round whatever fails."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import dagster as dg

from geo_assets.domain.errors import RegionError
from geo_assets.domain.tile_month import Month
from geo_assets.io.products import Place
from geo_assets.orchestration.backfill_plan import BackfillPlan, Batch, Result
from geo_assets.orchestration.home import fail_orphaned_runs, process_tags
from geo_assets.orchestration.materialization import PartitionDone, listening
from geo_assets.orchestration.partitions import range_tags
from geo_assets.stations.line import Line, Station

BACKFILL_TAG = "geo_assets/backfill"
"""On every run of `geo-assets backfill`, so that Dagster's pages can filter by it."""

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration under which Dagster records its events and prints none of them."""


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """One partition more."""

    done: PartitionDone
    finished: int
    """Partitions that have come to a result, this one included."""
    total: int
    """Partitions asked for."""


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What became of every partition that was asked for."""

    built: tuple[Place, ...]
    reused: tuple[Place, ...]
    empty: tuple[Place, ...]
    """Those of the built and reused ones that had nothing to show."""
    failed: tuple[tuple[Place, str], ...]
    """With their messages."""
    blocked: tuple[tuple[Place, str], ...]
    """Not tried, because something they read failed."""
    waiting: tuple[tuple[Place, str], ...]
    """Not tried, because they read a product that was neither made before nor asked for."""
    runs: tuple[str, ...]
    """Dagster's run ids."""

    @property
    def ok(self) -> bool:
        """True if nothing failed."""
        return not self.failed and not self.blocked


OnProgress: TypeAlias = Callable[[BackfillProgress], None]


def backfill(
    definitions: dg.Definitions,
    line: Line,
    instance: dg.DagsterInstance,
    *,
    stations: Sequence[Station],
    tiles: Sequence[str] | None = None,
    months: Sequence[Month] | None = None,
    on_progress: OnProgress | None = None,
) -> BackfillReport:
    """Materialize every partition of some tiles and months, in as few runs as failures allow.

    One ranged run of all tiled stations, one of the monthly ones, one of those over everything. A station that fails
    somewhere keeps the later ones of its run from starting; they are then run over the stretches that are sound. Runs
    that a killed backfill left behind as running are marked as failed first.

    Parameters
    ----------
    definitions
        Of the region; its assets carry the names of the stations.
    line
        The same region, opened: says what each product reads.
    instance
        Where Dagster records the runs.
    stations
        What to run, in the order of the line.
    tiles, months
        Of the region; all of them by default.
    on_progress
        Told of each partition as it finishes, in this thread.

    Raises
    ------
    RegionError
        A tile or month is not the region's.
    """
    _require_known(line, tiles, months)
    plan = BackfillPlan(
        line,
        tuple(stations),
        frozenset(line.region.tile_ids if tiles is None else tiles),
        frozenset(line.region.month_list if months is None else months),
    )
    fail_orphaned_runs(instance, only_dead=True)
    job = definitions.resolve_implicit_global_asset_job_def()
    ledger = _Ledger(plan, on_progress)
    runs = []
    with _silent_dagster(), listening(ledger.note):
        while (batch := plan.next_batch()) is not None:
            runs.append(_run(job, batch, plan, instance))
    return ledger.report(tuple(runs))


class _Ledger:
    """Notes each finished partition in the plan, and passes it on."""

    def __init__(self, plan: BackfillPlan, on_progress: OnProgress | None) -> None:
        self._plan = plan
        self._on_progress = on_progress
        self._empty: list[Place] = []

    def note(self, done: PartitionDone) -> None:
        if done.outcome is None:
            self._plan.record(done.place, "failed", done.message)
        else:
            self._plan.record(done.place, "reused" if done.outcome.reused else "built")
            if done.outcome.product.manifest.status == "empty":
                self._empty.append(done.place)
        if self._on_progress is not None:
            self._on_progress(BackfillProgress(done, len(self._plan.results), self._plan.total))

    def report(self, runs: tuple[str, ...]) -> BackfillReport:
        results, messages = self._plan.results, self._plan.messages

        def of(wanted: Result) -> tuple[Place, ...]:
            return tuple(place for place, result in results.items() if result == wanted)

        def explained(wanted: Result) -> tuple[tuple[Place, str], ...]:
            return tuple((place, messages.get(place, "")) for place in of(wanted))

        return BackfillReport(
            built=of("built"),
            reused=of("reused"),
            empty=tuple(self._empty),
            failed=explained("failed"),
            blocked=explained("blocked"),
            waiting=explained("waiting"),
            runs=runs,
        )


def _run(job: dg.JobDefinition, batch: Batch, plan: BackfillPlan, instance: dg.DagsterInstance) -> str:
    """One run of `batch`; afterwards every partition of its first station has a result."""
    tags = {BACKFILL_TAG: batch.stations[0].scope, **process_tags()}
    if batch.stations[0].scope != "all":
        tags |= range_tags(batch.tiles, batch.months)
    result = job.execute_in_process(
        run_config=_QUIET,
        instance=instance,
        raise_on_error=False,
        asset_selection=[dg.AssetKey(station.name) for station in batch.stations],
        tags=tags,
    )
    for place in batch.places(batch.stations[0]):
        if place not in plan.results:  # the step broke outside of any partition, so no listener was told
            plan.record(place, "failed", f"run {result.run_id} ended before it was tried; Dagster has the run's log")
    return result.run_id


def _require_known(line: Line, tiles: Sequence[str] | None, months: Sequence[Month] | None) -> None:
    strange = sorted(set(tiles or ()) - set(line.region.tile_ids))
    if strange:
        raise RegionError(
            f"Region {line.region.name}: has no tile {', '.join(strange)}; it has {', '.join(line.region.tile_ids[:8])}"
            f"{' ...' if len(line.region.tile_ids) > 8 else ''}. Choose among them, or extend the area."
        )
    unknown = sorted(set(months or ()) - set(line.region.month_list))
    if unknown:
        first, last = line.region.month_list[0], line.region.month_list[-1]
        raise RegionError(
            f"Region {line.region.name}: has no month {', '.join(map(str, unknown))}; it has {first} to {last}. "
            "Choose among them, or extend months in the region file."
        )


@contextmanager
def _silent_dagster() -> Iterator[None]:
    """Keep what Dagster logs outside of runs off the terminal; the instance still records everything."""
    logger = logging.getLogger("dagster")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
