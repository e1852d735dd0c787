"""Power cuts, damage and rivals over the whole line: real processes, killed in every station."""

import os
import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from geo_assets.api import places_of, run_line
from geo_assets.domain.errors import ArchiveTransientError, CorruptProductError
from geo_assets.io.inspection import verify
from geo_assets.io.products import Products, State
from geo_assets.io.stores.store import open_store
from geo_assets.stations.catalog import STATION_BY_NAME
from geo_assets.stations.fetch import fetched_scenes
from geo_assets.stations.line import run_station
from geo_assets.stations.status import retry_lost, standings
from geo_assets_tests.scenery.lines import PLAIN_STATIONS, store_bytes
from geo_assets_tests.scenery.valley_line import NAME, Runs, open_valley

FINE = '{"resolution": 20, "mask": {"detectors": "auto"}}'
"""Several blocks to a tile, and s2cloudless on L1C bands too."""


def findings(store):
    """(kind, key) of what `verify` says."""
    return [(finding.kind, finding.key) for finding in verify(Products(open_store(str(store)), NAME))]


class Witness:
    """Follows the runs of one store from kill to kill, and judges them by a run that was left alone."""

    def __init__(self, runs: Runs, uninterrupted: Runs) -> None:
        self.runs, self.uninterrupted = runs, uninterrupted
        self.units_in_all = {folder: sum(counts) for folder, counts in uninterrupted.units_counted().items()}
        self.finished: set[Path] = set()
        self.held: Counter[Path] = Counter()
        self.taken_over = 0

    def look(self) -> None:
        """Nothing half made is visible, and what got finished took over every unit that was there before."""
        assert {kind for kind, _ in findings(self.runs.store)} <= {"incomplete", "stray"}
        counted = self.runs.units_counted()
        for folder in counted.keys() - self.finished:
            computed, reused = counted[folder]
            assert reused == self.held[folder], folder
            assert computed + reused == self.units_in_all[folder], folder
            self.taken_over += reused
        self.finished = set(counted)
        self.held = self.runs.units_held()

    def judge(self) -> None:
        """Every product as in the run that was left alone, nothing else, no unit made twice."""
        self.look()
        assert store_bytes(self.runs.store) == store_bytes(self.uninterrupted.store)
        assert findings(self.runs.store) == []
        assert set(self.runs.noted("unit").values()) == {1}
        assert self.taken_over > 0


def kill_in_stations(witness: Witness, kills: dict[str, int], moments: random.Random) -> None:
    """Kill the line before changes of each station chosen at random, then let it end."""
    changes = witness.uninterrupted.noted("change")
    for station, number in kills.items():
        chosen = sorted(moments.sample(range(changes[station]), number))
        for before, now in pairwise([0, *chosen]):
            witness.runs.die(station, after=now - before)
            witness.look()
    witness.runs.finish()


def test_a_killed_line_repeats_no_finished_unit_and_ends_in_the_same_bytes(demo_archive, finished, tmp_path):
    witness = Witness(Runs(demo_archive, tmp_path), finished)
    kill_in_stations(witness, {"scout": 1, "fetch": 1, "seam_blended_mosaic": 1}, random.Random(7))
    witness.judge()
    assert store_bytes(witness.runs.store) == store_bytes(finished.store)


@pytest.fixture(scope="module")
def fine_run(demo_archive, tmp_path_factory):
    """A line of several blocks a tile and all detectors, left alone."""
    runs = Runs(demo_archive, tmp_path_factory.mktemp("fine"), FINE)
    runs.finish()
    return runs


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_line_killed_in_every_station_repeats_no_finished_unit_and_ends_in_the_same_bytes(
    demo_archive, fine_run, tmp_path
):
    """25 kills: before any change of the store, be it a unit, a product's file, its manifest or the tidying."""
    kills = {station.name: 3 if station.scope == "tile_month" else 2 for station in PLAIN_STATIONS}
    assert sum(kills.values()) >= 20
    witness = Witness(Runs(demo_archive, tmp_path, FINE), fine_run)
    kill_in_stations(witness, kills, random.Random(20240711))
    witness.judge()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_line_killed_at_any_time_ends_in_the_same_bytes(demo_archive, fine_run, tmp_path):
    moments, kills = random.Random(20240723), 0
    runs = Runs(demo_archive, tmp_path, FINE)
    witness = Witness(runs, fine_run)
    for _ in range(8):
        process = runs.start()
        process.stdout.readline()
        time.sleep(moments.uniform(0.05, 2.5))
        process.kill()
        process.communicate()
        kills += process.returncode == -SIGKILL
        witness.look()
    runs.finish()
    assert kills >= 5
    witness.judge()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_lines_at_once_in_one_store_both_finish_and_agree(demo_archive, fine_run, tmp_path):
    rivals = Runs(demo_archive, tmp_path, FINE)
    processes = [rivals.start() for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors.decode()
    assert findings(rivals.store) == []
    assert store_bytes(rivals.store) == store_bytes(fine_run.store)


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_a_byte_unseen(path):
    """As a failing disk does it: size and time are as they were."""
    before = path.stat()
    flip_a_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut_in_half(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("damage", "station", "pattern", "found"),
    [
        (flip_a_byte, "fetch", "*.reflectance.tif", "damaged"),
        (flip_a_byte_unseen, "seam_blended_mosaic", "mosaic.tif", "damaged"),
        (cut_in_half, "monthly_composite", "composite.tif", "damaged"),
        (Path.unlink, "scout", "selection.parquet", "missing"),
        (cut_in_half, "hybrid_mask", "manifest.json", "unreadable"),
        (flip_a_byte, "normalization_stats", "manifest.json", "unreadable"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_damaged_file_is_named_and_its_product_alone_rebuilt_to_the_same_bytes(
    damage, station, pattern, found, demo_archive, finished, tmp_path
):
    store = shutil.copytree(finished.store, tmp_path / "store")
    damaged = sorted(store.glob(f"{NAME}/{station}/*/*/{pattern}"))[0]
    damage(damaged)
    line = open_valley(demo_archive, store)
    assert findings(store) == [(found, str(damaged.relative_to(store)))]
    states = {standing.place.station: standing.state for standing in standings(line) if standing.state != State.DONE}
    assert states[station] == State.CORRUPT
    assert next(iter(states)) == station
    rebuilt = [outcome.product for outcome in run_line(line) if not outcome.reused]
    assert [str(store / NAME / product.place.folder) for product in rebuilt] == [str(damaged.parent)]
    assert store_bytes(store) == store_bytes(finished.store)
    assert findings(store) == []


def test_nothing_is_made_from_a_damaged_product(demo_archive, finished, tmp_path):
    store = shutil.copytree(finished.store, tmp_path / "store")
    line = open_valley(demo_archive, store)
    flip_a_byte(store / NAME / place_of(line, "monthly_composite", "33TVL").folder / "composite.tif")
    mosaic = place_of(line, "seam_blended_mosaic", "33TWL")  # a neighbour's
    (store / NAME / mosaic.folder / "manifest.json").unlink()
    with pytest.raises(CorruptProductError, match=r"monthly_composite 33TVL.*backfill"):
        run_station(line, STATION_BY_NAME["seam_blended_mosaic"], mosaic)
    assert line.products.find(mosaic) is None


class PowerCut(BaseException):
    """Raised where the power goes."""


def cut_after(number):
    """A listener to a line's progress that stops it when `number` units of a product are finished."""

    def on_unit(what, units_finished, units):
        if units_finished == number:
            raise PowerCut

    return on_unit


def place_of(line, station, tile):
    return next(place for place in places_of(line.region) if place.station == station and place.tile == tile)


def test_a_damaged_unit_is_made_again_and_the_others_are_kept(demo_archive, finished, tmp_path):
    runs = Runs(demo_archive, tmp_path)
    shutil.copytree(finished.store, runs.store)
    line = open_valley(demo_archive, runs.store)
    place = place_of(line, "fetch", "33TWL")
    folder = Path(NAME, place.folder)
    (runs.store / folder / "manifest.json").unlink()
    with pytest.raises(PowerCut):
        run_station(replace(line, on_unit=cut_after(2)), STATION_BY_NAME["fetch"], place)
    kept = runs.units_of(runs.store / folder)
    flip_a_byte(kept[0])
    run_station(line, STATION_BY_NAME["fetch"], place)
    computed, _ = finished.units_counted()[folder]
    assert len(kept) >= 2
    assert runs.units_counted()[folder] == (computed - len(kept) + 1, len(kept) - 1)
    assert store_bytes(runs.store) == store_bytes(finished.store)


def lost_rows(line, place):
    return [row for row in line.products.need(place).manifest.ledger if row["outcome"] == "lost"]


def test_a_truncated_file_costs_its_scene_alone_and_is_used_again_once_it_is_repaired(demo_archive, finished, tmp_path):
    archive = shutil.copytree(demo_archive, tmp_path / "archive")
    store = shutil.copytree(finished.store, tmp_path / "store")
    line = open_valley(archive, store, mosaic={"feather_m": 1200})  # another feather: all is fetched again
    place = place_of(line, "fetch", "33TWL")
    before = fetched_scenes(line, place)
    item = before[-1].parts[0]
    file = archive / item.assets["nir"].href
    whole = file.read_bytes()
    cut_in_half(file)

    for _ in run_line(line):
        pass
    (row,) = lost_rows(line, place)
    assert (row["item"], row["band"]) == (item.id, "nir")
    assert "bytes" in row["error"]
    after = fetched_scenes(line, place)
    assert len(after) == len(before)
    assert item.id not in {part.id for scene in after for part in scene.parts}
    assert findings(store) == []
    assert [outcome.product for outcome in run_line(line) if not outcome.reused] == []

    file.write_bytes(whole)
    assert retry_lost(line) == [place]
    assert line.products.condition(place, line.products.need(place).manifest.fingerprint).state is State.STALE
    for _ in run_line(line):
        pass
    assert fetched_scenes(line, place) == before
    assert lost_rows(line, place) == []
    again = Runs(demo_archive, tmp_path / "again")
    for _ in run_line(open_valley(archive, again.store, mosaic={"feather_m": 1200})):
        pass
    assert store_bytes(store) == store_bytes(again.store)


def test_a_file_that_stays_lost_is_tried_again_once_for_each_time_that_somebody_asks(demo_archive, finished, tmp_path):
    archive = shutil.copytree(demo_archive, tmp_path / "archive")
    store = shutil.copytree(finished.store, tmp_path / "store")
    line = open_valley(archive, store, mosaic={"feather_m": 1200})
    place = place_of(line, "fetch", "33TWL")
    (archive / fetched_scenes(line, place)[0].parts[0].assets["nir"].href).unlink()
    for _ in run_line(line):
        pass
    first = store_bytes(store)
    assert retry_lost(line) == [place]
    tried = [outcome.product.place for outcome in run_line(line) if not outcome.reused]
    assert tried == [place]
    assert store_bytes(store) == first
    assert [outcome for outcome in run_line(line) if not outcome.reused] == []


def test_a_busy_archive_fails_the_partition_and_its_units_outlive_that(demo_archive, finished, tmp_path):
    store = shutil.copytree(finished.store, tmp_path / "store")
    line = open_valley(demo_archive, store, mosaic={"feather_m": 1200})
    place = place_of(line, "fetch", "33TWL")
    old = line.products.need(place)
    item = fetched_scenes(line, place)[-1].parts[0]
    busy = replace(line, archive=BusyArchive(line.archive, item.assets["nir"].href))
    run_station(busy, STATION_BY_NAME["scout"], place_of(line, "scout", "33TWL"))
    with pytest.raises(ArchiveTransientError, match="is busy"):
        run_station(busy, STATION_BY_NAME["fetch"], place)
    assert line.products.need(place).manifest == old.manifest
    condition = line.products.condition(place, "another")
    assert condition.state is State.FAILED
    assert item.id in condition.reason

    kept = len(list((store / NAME / place.folder).glob(".units/**/*.unit")))
    assert run_station(line, STATION_BY_NAME["fetch"], place).reused is False
    units = line.products.run(place).units
    assert kept > 0
    assert units.reused == kept
    assert units.computed > 0


@dataclass(frozen=True)
class BusyArchive:
    """An archive that cannot open one of its files now."""

    archive: Any
    href: str

    def __getattr__(self, name):
        return getattr(self.archive, name)

    def open(self, asset, *, where, meter=None):
        if asset.href == self.href:
            raise ArchiveTransientError(f"{where}: the archive is busy. Run it again.")
        return self.archive.open(asset, where=where, meter=meter)
