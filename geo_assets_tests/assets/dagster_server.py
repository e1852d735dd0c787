"""A real `dagster dev` for tests: started on a free port, asked through GraphQL, stopped with all its children."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import dagster as dg

from geo_assets.orchestration.home import open_instance, prepare_home

ROOT = Path(__file__).resolve().parent.parent.parent
READY_WITHIN_S = 120.0
"""A code server took 12-35 s to start on a loaded machine."""

_OPEN = build_opener(ProxyHandler({})).open
_FINISHED = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}

_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename
        ... on RepositoryLocation { repositories { name } }
        ... on PythonError { message causes { message } } } } } } }"""

_LAUNCH = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""

_AGAIN = """mutation($params: ReexecutionParams) { reexecutePartitionBackfill(reexecutionParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""

_STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
    __typename ... on PartitionBackfill { status error { message } } ... on PythonError { message } } }"""


class DagsterServerError(Exception):
    """Dagster did not start, or refused what was asked of it."""


@dataclass(frozen=True)
class DagsterServer:
    """A running `dagster dev` with webserver and daemon."""

    url: str
    home: Path
    """DAGSTER_HOME."""
    log: Path
    """What it printed."""

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The `data` of a GraphQL answer; `DagsterServerError` for one with errors."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with _OPEN(request, timeout=60) as answer:
            document = json.load(answer)
        if document.get("errors"):
            raise DagsterServerError(document["errors"][0]["message"])
        return document["data"]

    def launch_backfill(self, assets: Sequence[str], partitions: Sequence[str]) -> str:
        """Start a daemon backfill and return its id.

        Parameters
        ----------
        assets
            Names. Those whose partitions are others than the first asset's get the ones that follow from them.
        partitions
            Keys of the first asset.
        """
        params = {
            "assetSelection": [{"path": [name]} for name in assets],
            "partitionNames": list(partitions),
            "tags": [],
        }
        return self._started(self.ask(_LAUNCH, params=params)["launchPartitionBackfill"])

    def run_again_from_failure(self, backfill_id: str) -> str:
        """Start what a finished backfill left undone, and return the new backfill's id."""
        params = {"parentRunId": backfill_id, "strategy": "FROM_FAILURE"}
        return self._started(self.ask(_AGAIN, params=params)["reexecutePartitionBackfill"])

    def finished(self, backfill_id: str, *, within_s: float = 300.0) -> str:
        """Wait until a backfill is over, and return its status, such as COMPLETED_SUCCESS or COMPLETED_FAILED."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            answer = self.ask(_STATUS, id=backfill_id)["partitionBackfillOrError"]
            if answer.get("status") in _FINISHED:
                return str(answer["status"])
            time.sleep(1.0)
        raise DagsterServerError(
            f"Backfill {backfill_id} was not over after {within_s:.0f} s: {answer}\n{self._tail()}"
        )

    def partitions_of(self, asset: str) -> set[str]:
        """The materialized partitions of an asset."""
        with open_instance(self.home) as instance:
            return set(instance.get_materialized_partitions(dg.AssetKey(asset)))

    def runs_of(self, backfill_id: str) -> list[dg.DagsterRun]:
        """The runs that a backfill launched."""
        with open_instance(self.home) as instance:
            return list(instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id})))

    def _started(self, answer: Mapping[str, Any]) -> str:
        if "backfillId" not in answer:
            raise DagsterServerError(f"{answer['__typename']}: {answer.get('message')}")
        return str(answer["backfillId"])

    def _wait_until_loaded(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DagsterServerError(f"dagster dev ended with {process.returncode}:\n{self._tail()}")
            try:
                workspace = self.ask(_LOCATIONS)["workspaceOrError"]
            except (URLError, ConnectionError, TimeoutError):
                time.sleep(0.5)
                continue
            entries = workspace.get("locationEntries", [])
            if entries and all(entry["loadStatus"] == "LOADED" for entry in entries):
                for entry in entries:
                    if entry["locationOrLoadError"]["__typename"] == "PythonError":
                        error = entry["locationOrLoadError"]
                        told = [error["message"], *(cause["message"] for cause in error["causes"])]
                        raise DagsterServerError("".join(told))
                return
            time.sleep(0.5)
        raise DagsterServerError(f"dagster dev was not ready after {READY_WITHIN_S:.0f} s:\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


@contextmanager
def dagster_server(
    folder: Path, *, module: str = "geo_assets.definitions", environment: Mapping[str, str] | None = None
) -> Iterator[DagsterServer]:
    """`dagster dev` over `module`, ready to be asked; stopped with everything it started when the block ends.

    Parameters
    ----------
    folder
        Empty folder for Dagster's home and log.
    environment
        Added to this process's own: GEO_ASSETS_REGION and its like.

    Raises
    ------
    DagsterServerError
        It did not start, or the definitions could not be loaded; with what it printed.
    """
    home = prepare_home(folder, project=ROOT)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = DagsterServer(f"http://127.0.0.1:{port}", home, folder / "dagster-dev.log")
    command = [sys.executable, "-m", "dagster", "dev", "-m", module, "-h", "127.0.0.1", "-p", str(port)]
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(ROOT), **(environment or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that it can be stopped with all its children
        )
    try:
        server._wait_until_loaded(process)
        yield server
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    with suppress(ProcessLookupError):  # whatever of its children has not gone by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=20)
