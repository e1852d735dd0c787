"""Dagster for real over the real stations: backfills by the daemon and by the terminal, a month's scenes broken."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from geo_assets.io.inspection import verify
from geo_assets.io.products import State
from geo_assets.io.region_file import read_region
from geo_assets.stations.opening import open_line
from geo_assets.stations.status import standings
from geo_assets_tests.assets.dagster_server import ROOT, DagsterServer, dagster_server
from geo_assets_tests.scenery.lines import PLAIN_STATIONS
from geo_assets_tests.scenery.three_tiles import LEFT, MONTHS, RIGHT, TILES, three_tiles, three_tiles_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SOUND, BROKEN = MONTHS
BROKEN_SCENES = tuple(f"S2A_{RIGHT}_{BROKEN}-{day}_0_L2A".replace("-", "") for day in ("05", "15"))
"""All of one tile in one month: one alone would be left out."""
TILED = [station.name for station in PLAIN_STATIONS if station.scope == "tile_month"]
OF_MONTHS = [station.name for station in PLAIN_STATIONS if station.scope != "all"]
DATASET = "dataset_stats/_region/_all"
EVERYTHING = {f"{name}/{tile}/{month}" for name in TILED for tile in TILES for month in MONTHS} | {
    f"region_mosaic/_region/{SOUND}",
    f"region_mosaic/_region/{BROKEN}",
    DATASET,
}
BEHIND_THE_BROKEN_SCENES = {
    f"fetch/{RIGHT}/{BROKEN}",
    f"hybrid_mask/{RIGHT}/{BROKEN}",
    f"monthly_composite/{RIGHT}/{BROKEN}",
    f"normalization_stats/{RIGHT}/{BROKEN}",
    f"seam_blended_mosaic/{RIGHT}/{BROKEN}",
    f"seam_blended_mosaic/{LEFT}/{BROKEN}",  # of the neighbour; not of the tile far away
    f"region_mosaic/_region/{BROKEN}",
    DATASET,
}


@dataclass(frozen=True)
class Workplace:
    """An archive of two neighbours and a tile far away, and a region over its two months."""

    folder: Path

    @property
    def region_file(self) -> Path:
        return self.folder / "three.yaml"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "GEO_ASSETS_REGION": str(self.region_file),
            "GEO_ASSETS_STORE": str(self.folder / "store"),
            "GEO_ASSETS_HOME": str(self.folder / "home"),
        }

    def break_scenes(self) -> dict[Path, bytes]:
        """Cut in half what `fetch` reads and `scout` does not; returns what the files were."""
        files = [self.folder / "archive" / scene / "nir.tif" for scene in BROKEN_SCENES]
        whole = {file: file.read_bytes() for file in files}
        for file, content in whole.items():
            file.write_bytes(content[: len(content) // 2])
        return whole

    def mend(self, whole: Mapping[Path, bytes]) -> None:
        """Put the files back that `break_scenes` broke."""
        for file, content in whole.items():
            file.write_bytes(content)

    def built(self) -> dict[str, int]:
        """`station/tile/month` of each product in the store -> when its manifest was written, ns."""
        manifests = (self.folder / "store" / "three").glob("*/*/*/manifest.json")
        return {"/".join(path.parts[-4:-1]): path.stat().st_mtime_ns for path in manifests}

    def is_whole(self) -> bool:
        """True if every product is what the region file asks for, and sound to the byte."""
        line = open_line(read_region(self.region_file), self.folder / "store", home=self.folder / "home")
        states = {standing.state for standing in standings(line)}
        return states == {State.DONE} and not list(verify(line.products))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("real"))
    three_tiles(place.folder / "archive")
    settings = {**three_tiles_settings(), "name": "three", "archive": "local:archive", "resolution": 60}
    place.region_file.write_text(json.dumps(settings))  # JSON is YAML
    return place


@pytest.fixture(scope="module")
def server(place) -> Iterator[DagsterServer]:
    with dagster_server(place.folder / "home", environment=place.environment) as running:
        yield running


@pytest.fixture
def empty_store(place) -> Path:
    store = place.folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    return store


def rebuilt(before: Mapping[str, int], after: Mapping[str, int]) -> set[str]:
    """Products that were written since `before`."""
    return {name for name, written in after.items() if before.get(name) != written}


def test_the_daemon_leaves_out_what_broken_scenes_are_behind_and_running_again_from_failure_makes_just_that(
    place, server, empty_store
):
    whole = place.break_scenes()
    # The daemon looks at its backfills every 30 s, so that two at a time take no longer than one.
    sound = server.launch_backfill(OF_MONTHS, [f"{SOUND}|{tile}" for tile in TILES])
    broken = server.launch_backfill([*OF_MONTHS, "dataset_stats"], [f"{BROKEN}|{tile}" for tile in TILES])
    assert server.finished(sound) == "COMPLETED_SUCCESS"
    assert server.finished(broken) == "COMPLETED_FAILED"
    before = place.built()
    assert set(before) == EVERYTHING - BEHIND_THE_BROKEN_SCENES

    place.mend(whole)
    again = server.run_again_from_failure(broken)
    assert server.finished(again) == "COMPLETED_SUCCESS"
    assert rebuilt(before, place.built()) == BEHIND_THE_BROKEN_SCENES
    assert place.is_whole()
    selected = {key.to_user_string() for run in server.runs_of(again) for key in run.asset_selection}
    assert selected == {name.partition("/")[0] for name in BEHIND_THE_BROKEN_SCENES}
    every_partition = {f"{month}|{tile}" for month in MONTHS for tile in TILES}
    assert all(server.partitions_of(name) == every_partition for name in TILED)
    assert server.partitions_of("region_mosaic") == set(MONTHS)


def test_the_terminal_finishes_all_else_names_the_broken_scenes_and_then_makes_just_what_is_missing(place, empty_store):
    def backfill() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "geo_assets.cli", "backfill"],
            cwd=ROOT,
            env={**os.environ, **place.environment},
            capture_output=True,
            text=True,
            timeout=240,
        )

    whole = place.break_scenes()
    broken = backfill()
    assert broken.returncode == 1, broken.stderr
    before = place.built()
    assert set(before) == EVERYTHING - BEHIND_THE_BROKEN_SCENES
    failures = [line for line in broken.stderr.splitlines() if "failed: " in line]
    assert len(failures) == 1
    assert f"fetch {RIGHT} {BROKEN}" in failures[0]
    assert ", ".join(BROKEN_SCENES) in failures[0]
    assert f"Item {BROKEN_SCENES[0]}, band nir" in failures[0]
    assert broken.stderr.count("not built: ") == len(BEHIND_THE_BROKEN_SCENES) - 1
    assert "Traceback" not in broken.stderr

    place.mend(whole)
    repaired = backfill()
    assert repaired.returncode == 0, repaired.stderr
    assert rebuilt(before, place.built()) == BEHIND_THE_BROKEN_SCENES
    assert f"{len(BEHIND_THE_BROKEN_SCENES)} products built, {len(before)} found done" in repaired.stdout
    assert place.is_whole()
