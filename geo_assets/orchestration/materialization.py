"""A station run for the partitions of a Dagster run, one after another, and what Dagster is told about each."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_IS_USER_PROVIDED_TAG, DATA_VERSION_TAG
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData

from geo_assets.domain.errors import ArchiveTransientError, GeoAssetsError
from geo_assets.domain.tile_month import Month, TileMonth
from geo_assets.io.building import without_secrets
from geo_assets.io.products import Place
from geo_assets.orchestration.product_metadata import product_metadata
from geo_assets.orchestration.resources import LineResource
from geo_assets.stations.line import Line, Outcome, Station, run_station


@dataclass(frozen=True, slots=True)
class PartitionDone:
    """One partition of one station has come to its end."""

    place: Place
    outcome: Outcome | None
    """None if it failed."""
    error: Exception | None
    """Why it failed."""

    @property
    def message(self) -> str:
        """The error in words, without secrets; empty for a success."""
        if self.error is None:
            return ""
        if isinstance(self.error, GeoAssetsError):
            return str(self.error)
        return without_secrets(f"{type(self.error).__name__}: {self.error}")


Listener: TypeAlias = Callable[[PartitionDone], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_interrupted: ContextVar[Callable[[], bool]] = ContextVar("interrupted", default=lambda: False)

_versions: dict[tuple[str, str], list[dg.AssetMaterialization]] = {}
"""(run id, step key) -> the step's materializations, kept for `report_data_versions` to repeat and then dropped."""


@contextmanager
def listening(listener: Listener, *, interrupted: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Tell `listener` of every partition that is materialized inside the block, in this thread.

    Once `interrupted` says True, no further partition begins, and the run ends as canceled.
    """
    token, other = _listener.set(listener), _interrupted.set(interrupted)
    try:
        yield
    finally:
        _listener.reset(token)
        _interrupted.reset(other)


def place_of(station: Station, partition_key: str | None) -> Place:
    """The product that a partition key stands for; None for a station without partitions.

    Raises
    ------
    RegionError
        The key is not a `month|tile`, or not a month.
    """
    if partition_key is None:
        return Place(station.name, None, None)
    if station.scope == "month":
        return Place(station.name, None, Month.parse(partition_key))
    return station.place(TileMonth.parse(partition_key))


def partition_keys_of(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, station: Station
) -> list[str | None]:
    """The partitions of a run, in the region's order; [None] for a station without partitions.

    Raises
    ------
    dagster.Failure
        The run's range is empty: Dagster takes a range from a later tile to an earlier one for nothing at all.
    """
    if station.scope == "all":
        return [None]
    keys: list[str | None] = list(context.partition_keys)
    if not keys:
        raise dg.Failure(
            f"{station.name}: the run's range holds no partition. Its start must not come after its end; tiles follow "
            "each other as in `geo-assets region`, months as in time.",
            allow_retries=False,
        )
    return keys


def materialize_each(context: dg.AssetExecutionContext, line: LineResource, station: Station) -> None:
    """Run `station` for every partition of the run, and tell Dagster of each as it finishes.

    A partition that fails does not keep the next from being tried, and gets no materialization.

    Raises
    ------
    dagster.Failure
        The line cannot be opened; or names every partition that failed, with its message. Dagster tries the step
        again only if the archive failed in a way that may pass; partitions that are done are then met as finished.
        Or the user has interrupted the backfill (see `listening`).
    """
    try:
        _expect_no_interrupt()
        _materialize_each(context, line, station)
    except KeyboardInterrupt:
        if not _interrupted.get()():
            raise
        # Passed on, it would be subject to the retry policy: Dagster would wait, and begin anew.
        context.instance.report_run_canceling(context.run, "Interrupted by the user.")
        raise dg.Failure(
            f"{station.name}: interrupted. Finished work is kept: run it again, and it goes on from there.",
            allow_retries=False,
        ) from None


def _materialize_each(context: dg.AssetExecutionContext, line: LineResource, station: Station) -> None:
    opened = opened_line(line)
    keys = partition_keys_of(context, station)
    failures: list[tuple[str, PartitionDone]] = []
    materializations: list[dg.AssetMaterialization] = []
    for key in keys:
        done = _attempt(opened, station, place_of(station, key))
        if done.outcome is not None:
            materializations.append(_log_materialization(context, key, done.outcome))
        else:
            context.log.error("%s%s", done.message, _whereabouts(done.error))
            failures.append((key or station.name, done))
        listener = _listener.get()
        if listener is not None:
            listener(done)
        _expect_no_interrupt()
    if failures:
        raise _failure(station, failures, len(keys))
    _versions[context.run.run_id, station.name] = materializations  # a step is called like its asset, and that like us


def opened_line(line: LineResource) -> Line:
    """The line of a resource; `dagster.Failure` with the message when it cannot be opened."""
    try:
        return line.open()
    except GeoAssetsError as error:
        raise dg.Failure(str(error), allow_retries=isinstance(error, ArchiveTransientError)) from None


@dg.success_hook(name="report_data_versions")
def report_data_versions(context: dg.HookContext) -> None:
    """Make the digest of each product the newest data version of its partition.

    When a step succeeds, Dagster itself materializes every partition of its range once more, under a data version of
    its own making. Only what is reported after that, from a hook, stays the newest. `report_runless_asset_event` would
    do, but a partition's page would then know neither its run nor its job.
    """
    for materialization in _versions.pop((context.run_id, context.step_key), []):
        event = DagsterEvent(
            event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name=context.job_name,
            step_key=context.step_key,
            event_specific_data=StepMaterializationData(materialization),
        )
        context.instance.report_dagster_event(event, context.run_id)


def _expect_no_interrupt() -> None:
    """Raise an interrupt again that was lost on its way: C code that calls back drops exceptions."""
    if _interrupted.get()():
        raise KeyboardInterrupt


def _attempt(line: Line, station: Station, place: Place) -> PartitionDone:
    try:
        return PartitionDone(place, run_station(line, station, place), None)
    except Exception as error:
        return PartitionDone(place, None, error)


def _log_materialization(
    context: dg.AssetExecutionContext, key: str | None, outcome: Outcome
) -> dg.AssetMaterialization:
    """Log the event as soon as the product stands, so that it outlives a crash of the run."""
    metadata = product_metadata(outcome)
    materialization = dg.AssetMaterialization(
        asset_key=context.asset_key,
        partition=key,
        metadata=metadata,
        tags={DATA_VERSION_TAG: outcome.product.digest, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"},
    )
    context.log_event(materialization)
    context.add_asset_metadata(metadata, partition_key=key)
    return materialization


def _failure(station: Station, failures: Sequence[tuple[str, PartitionDone]], total: int) -> dg.Failure:
    lines = [f"{key}: {done.message}" for key, done in failures]
    return dg.Failure(
        description=f"{station.name}: {len(failures)} of {total} partitions failed.\n" + "\n".join(lines),
        metadata={"failed": len(failures), "partitions": ", ".join(key for key, _ in failures)},
        allow_retries=any(isinstance(done.error, ArchiveTransientError) for _, done in failures),
    )


def _whereabouts(error: Exception | None) -> str:
    """The lines of code that a defect came through; a deliberate error says all in its message."""
    if error is None or isinstance(error, GeoAssetsError):
        return ""
    return "\n" + "".join(traceback.format_tb(error.__traceback__))
