"""The line over a tiny demo archive where four tiles meet, also as a process that can be told when to die."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3

from geo_assets.api import run_line
from geo_assets.demo.plan import DemoPlan
from geo_assets.domain.region import Region, region_from
from geo_assets.io.manifest import RunRecord
from geo_assets.io.products import Products
from geo_assets.io.stores.store import S3Access
from geo_assets.stations.line import Line
from geo_assets.stations.opening import open_line
from geo_assets_tests.conftest import ROOT

NAME = "valley"
KEY_ID, SECRET = "AKIDVALLEY", "hush-hush-valley-secret"
CHANGES = {"write", "publish", "delete", "delete_prefix"}
"""What a store does that another process could see half done."""


def valley_region(archive: Path, **settings: Any) -> Region:
    """A month of four tiles; `settings` are keys of the region file on top of the usual ones."""
    usual = {
        "name": NAME,
        "area": list(DemoPlan(window_m=12_000).area),
        "months": {"first": "2024-06", "last": "2024-06"},
        "archive": f"local:{archive}",
        "bands": ["red", "nir"],
        "resolution": 60,
        "selection": {"top_k": 2},
        "mask": {"detectors": ["quality"]},
    }
    return region_from({**usual, **settings})


def s3_access(endpoint: str, cache: Path) -> S3Access:
    """Access to the S3 server of the tests, with credentials that must not be seen anywhere."""
    session = boto3.session.Session(KEY_ID, SECRET, region_name="us-east-1")
    return S3Access(session, endpoint_url=endpoint, allow_http=True, cache=cache)


def open_valley(archive: Path, store: str | Path, *, s3: S3Access | None = None, **settings: Any) -> Line:
    """The valley's line, in units of single blocks so that there are several to a product."""
    return open_line(valley_region(archive, **settings), store, s3=s3, unit_blocks=1)


class WatchedStore:
    """A store that logs its changes, and kills its process before one of them; all else is the real store's.

    The log has a line `change STATION` for each change that was begun, and `unit KEY` for each unit that was finished.
    """

    def __init__(self, store: Any, log: Path, *, fatal_station: str | None, changes_before: int) -> None:
        self._store, self._log = store, log
        self._station, self._left = fatal_station, changes_before
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in CHANGES:
            return method

        def change(key: str, *arguments: Any) -> Any:
            self._begin(key.split("/")[1])
            result = method(key, *arguments)
            if key.endswith(".unit"):
                self._note(f"unit {key}")
            return result

        return change

    def _begin(self, station: str) -> None:
        with self._lock:
            if station == self._station:
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                self._left -= 1
            self._note(f"change {station}")

    def _note(self, line: str) -> None:
        with self._log.open("a") as lines:
            lines.write(f"{line}\n")


def watched(line: Line, log: Path, *, fatal_station: str | None = None, changes_before: int = 0) -> Line:
    """The line over a `WatchedStore`."""
    store: Any = WatchedStore(line.products.store, log, fatal_station=fatal_station, changes_before=changes_before)
    return replace(line, products=Products(store, line.region.name))


@dataclass(frozen=True)
class Runs:
    """Runs of one line into one store, one after the other, and what they left there."""

    archive: Path
    folder: Path
    settings: str = "{}"
    """Of the region file, as JSON."""
    store_url: str | None = None
    """The store, if it is not a folder beside the log."""

    @property
    def store(self) -> Path:
        """Folder of a local store."""
        return self.folder / "store"

    @property
    def log(self) -> Path:
        """What `WatchedStore` noted, in all runs."""
        return self.folder / "log"

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """A process that runs the line; it says `ready` when it begins."""
        module = "geo_assets_tests.scenery.valley_line"
        places = [str(self.archive), self.store_url or str(self.store), str(self.log)]
        command = [sys.executable, "-m", module, *places, "--settings", self.settings, *options]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, *options: str) -> None:
        """Run to the end."""
        _expect(self.start(*options), 0)

    def die(self, station: str, *options: str, after: int) -> None:
        """Run until the station has begun `after` changes of its part of the store, and then no further."""
        _expect(self.start("--die-in", station, "--after", str(after), *options), -signal.SIGKILL)

    def noted(self, kind: str) -> Counter[str]:
        """Station or unit -> how often the log says `kind` of it."""
        lines = (line.split() for line in self.log.read_text().splitlines())
        return Counter(name for found, name in lines if found == kind)

    def units_of(self, folder: Path) -> list[Path]:
        """Finished units of the product in `folder`, by name."""
        return sorted(folder.glob(".units/**/*.unit"))

    def units_held(self) -> Counter[Path]:
        """Folder of each unfinished product, within the store -> how many finished units it has."""
        folders = [path for path in self.store.glob(f"{NAME}/*/*/*") if not (path / "manifest.json").exists()]
        return Counter({folder.relative_to(self.store): len(self.units_of(folder)) for folder in folders})

    def units_counted(self) -> dict[Path, tuple[int, int]]:
        """Folder of each finished product, within the store -> units that its last run computed, and took over."""
        counted = {}
        for manifest in self.store.glob(f"{NAME}/*/*/*/manifest.json"):
            record = RunRecord.from_bytes((manifest.parent / "run.json").read_bytes())
            assert record is not None
            counted[manifest.parent.relative_to(self.store)] = (record.units.computed, record.units.reused)
        return counted


def _expect(process: subprocess.Popen[bytes], code: int) -> None:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == code, errors.decode()


def main() -> None:
    """Run the line to its end, or until the chosen change of the chosen station."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archive", type=Path)
    parser.add_argument("store")
    parser.add_argument("log", type=Path)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--endpoint")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--die-in")
    parser.add_argument("--after", type=int, default=0)
    asked = parser.parse_args()
    access = s3_access(asked.endpoint, asked.cache) if asked.endpoint else None
    line = open_valley(asked.archive, asked.store, s3=access, **asked.settings)
    os.write(1, b"ready\n")
    for _ in run_line(watched(line, asked.log, fatal_station=asked.die_in, changes_before=asked.after)):
        pass


if __name__ == "__main__":
    main()
