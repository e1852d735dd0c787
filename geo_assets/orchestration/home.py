"""Dagster's home: one folder that `demo`, `dev` and `backfill` share, so that a later start finds the history."""

import os
import socket
from importlib.resources import files
from pathlib import Path

import dagster as dg

from geo_assets.domain.errors import ResourceError

INSTANCE_FILE = "dagster.yaml"

_PROCESS_TAG = "geo_assets/process"
"""host:process id, on runs that live in the process of `geo-assets backfill`."""

_UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def prepare_home(home: Path, *, project: Path | None = None) -> Path:
    """The folder for `DAGSTER_HOME`, with an up-to-date `dagster.yaml` in it.

    Parameters
    ----------
    home
        GEO_ASSETS_HOME; Dagster's folder is `dagster` inside.
    project
        Folder whose `dagster.yaml` is copied; the current one by default. Where there is none, the one that came
        with geo_assets is.

    Raises
    ------
    ResourceError
        The folder cannot be written.
    """
    folder = (home / "dagster").expanduser().absolute()
    package = Path(str(files("geo_assets")))
    # In a wheel it lies inside the package, in a checkout beside it.
    candidates = [place / INSTANCE_FILE for place in (project or Path.cwd(), package.parent, package)]
    try:
        content = next((place for place in candidates if place.is_file()), candidates[-1]).read_bytes()
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / INSTANCE_FILE
        if not target.is_file() or target.read_bytes() != content:
            aside = folder / f".{INSTANCE_FILE}.new"
            aside.write_bytes(content)
            aside.replace(target)
    except OSError as error:
        raise ResourceError(
            f"Dagster's home {folder}: cannot be written ({error.strerror}). "
            "Give GEO_ASSETS_HOME a folder that you may write to."
        ) from None
    return folder


def open_instance(folder: Path) -> dg.DagsterInstance:
    """The instance that lives in a folder made by `prepare_home`; close it by `with`.

    Raises
    ------
    ResourceError
        Its `dagster.yaml` is not one that Dagster accepts.
    """
    try:
        return dg.DagsterInstance.from_config(str(folder))
    except dg.DagsterInvalidConfigError as error:
        raise ResourceError(
            f"{folder / INSTANCE_FILE}: {error}. Repair the dagster.yaml that it is copied from."
        ) from None


def process_tags() -> dict[str, str]:
    """Run tags that tell whose process a run lives in."""
    return {_PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}"}


def fail_orphaned_runs(instance: dg.DagsterInstance, *, only_dead: bool = False) -> tuple[str, ...]:
    """Mark runs that claim to be running as failed, and return their ids.

    For after a power cut: such runs stay STARTED for ever, for Dagster's default launcher does not look after its
    processes. Finished units and products stay, and running again goes on from them.

    Parameters
    ----------
    only_dead
        Spare those that do not carry `process_tags`, or whose process is still there. Otherwise all are failed: call it
        while nothing is running.
    """
    claiming = instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))
    orphans = [run for run in claiming if not only_dead or _is_dead(run.tags.get(_PROCESS_TAG, ""))]
    for run in orphans:
        instance.report_run_failed(
            run, "Its process is gone (`geo-assets orphans`). Run it again: it goes on from there."
        )
        # Otherwise it would hold its share of a pool, and the next backfill would wait for that without a word.
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return tuple(run.run_id for run in orphans)


def _is_dead(process: str) -> bool:
    host, _, number = process.rpartition(":")
    if host != socket.gethostname() or not number.isdecimal() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        return False
    return False
