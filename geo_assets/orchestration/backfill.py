"""A backfill without the daemon: ranged runs in this process, going round whatever fails."""

import logging
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TypeAlias

import dagster as dg
from dagster._utils import interrupts as dagster_interrupts

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
    traffic: Mapping[str, int | float] = field(default_factory=dict)
    """What all partitions together asked of archives over the network, by the names of `Meter.snapshot`."""

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

    In the main thread the first SIGINT or SIGTERM stops the work, wherever it is; the second kills the process.

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
    KeyboardInterrupt
        After the first SIGINT or SIGTERM: the run is closed in Dagster, and finished units and products are kept.
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
    interruption = _Interruption()
    with _silent_dagster(), interruption.owning_signals(), listening(ledger.note, interrupted=interruption):
        try:
            while (batch := plan.next_batch()) is not None:
                runs.append(_run(job, batch, plan, instance))
                if interruption():  # the run took it for a failure of its own
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            _close_own_runs(instance)
            raise
    return ledger.report(tuple(runs))


class _Interruption:
    """Whether the user has asked to stop; true or false when called."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        return self._asked

    @contextmanager
    def owning_signals(self) -> Iterator[None]:
        """Inside, the first SIGINT or SIGTERM raises KeyboardInterrupt, and the next kills; only in the main thread.

        Dagster would put handlers of its own before ours, which delay a signal outside of steps, even through the wait
        before a retry, and never let the second one through. It has no setting for that.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        replace = dagster_interrupts._replace_interrupt_signal
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            dagster_interrupts._replace_interrupt_signal = lambda new_signal_handler: None
            for number in before:
                signal.signal(number, self._stop)
            yield
        finally:
            dagster_interrupts._replace_interrupt_signal = replace
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set from Python

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt


class _Ledger:
    """Notes each finished partition in the plan, and passes it on."""

    def __init__(self, plan: BackfillPlan, on_progress: OnProgress | None) -> None:
        self._plan = plan
        self._on_progress = on_progress
        self._empty: set[Place] = set()
        self._traffic: defaultdict[str, int | float] = defaultdict(int)

    def note(self, done: PartitionDone) -> None:
        """Enter a finished partition's result into the plan, and tell whoever wants progress."""
        if done.outcome is None:
            self._plan.record(done.place, "failed", done.message)
        else:
            self._plan.record(done.place, "reused" if done.outcome.reused else "built")
            for name, amount in done.outcome.traffic.items():
                self._traffic[name] += amount
            if done.outcome.product.manifest.status == "empty":
                self._empty.add(done.place)
        if self._on_progress is not None:
            self._on_progress(BackfillProgress(done, len(self._plan.results), self._plan.total))

    def report(self, runs: tuple[str, ...]) -> BackfillReport:
        """Every partition by what became of it, after these runs."""
        results, messages = self._plan.results, self._plan.messages

        def of(wanted: Result) -> tuple[Place, ...]:
            return tuple(place for place, result in results.items() if result == wanted)

        def explained(wanted: Result) -> tuple[tuple[Place, str], ...]:
            return tuple((place, messages.get(place, "")) for place in of(wanted))

        return BackfillReport(
            built=of("built"),
            reused=of("reused"),
            empty=tuple(place for place in results if place in self._empty),
            failed=explained("failed"),
            blocked=explained("blocked"),
            waiting=explained("waiting"),
            runs=runs,
            traffic=dict(self._traffic),
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


def _close_own_runs(instance: dg.DagsterInstance) -> None:
    """Mark the run as failed that an interrupt left open, because it came amid Dagster's own bookkeeping."""
    for run in instance.get_runs(filters=dg.RunsFilter(tags=process_tags())):
        if not run.is_finished:
            instance.report_run_failed(run, "Interrupted. Run it again: it goes on from there.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


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
