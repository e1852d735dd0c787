"""Power cuts and rivals: real processes killed at random moments, and two at once on one partition."""

import itertools
import json
import random
import subprocess
import sys
import time

import pytest

from geo_assets.io.inspection import verify
from geo_assets.io.products import Products, State
from geo_assets.io.stores.store import open_store
from geo_assets_tests.conftest import ROOT
from geo_assets_tests.scenery.building_process import PLACE, REGION, UNITS, build, fingerprint_of

KILLS = 8
FOLDER = f"{REGION}/{PLACE.folder}"


def start(store, log, *options):
    command = [
        sys.executable,
        "-m",
        "geo_assets_tests.scenery.building_process",
        store.url,
        str(log),
        *options,
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process):
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    assert output == b"ready\n"


def published_units(store):
    return {key.removeprefix(f"{FOLDER}/.units/") for key in store.keys(FOLDER) if "/.units/" in key}


def computed(log):
    return log.read_text().splitlines() if log.exists() else []


def product_bytes(store):
    return {key: store.read(key) for key in store.keys(REGION) if not key.endswith("/run.json")}


def assert_nothing_half_made_is_visible(store):
    product = Products(store, REGION).find(PLACE)
    if product is not None:
        for file in product.manifest.files:
            assert store.sha256(f"{FOLDER}/{file.name}") == file.sha256, file.name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    store = open_store(str(folder / "store"))
    build(Products(store, REGION), 2, folder / "log")
    return product_bytes(store)


def finish_or_kill(process, *, after_s):
    """Kill the process `after_s` seconds into its build; whether that came before its end."""
    process.stdout.readline()
    time.sleep(after_s)
    process.kill()
    process.communicate()
    return process.returncode != 0


def test_a_build_killed_at_random_moments_repeats_no_finished_unit_and_ends_in_the_same_bytes(tmp_path, uninterrupted):
    """A product of older settings is rebuilt, the rebuild killed up to three times before it may end."""
    moments = random.Random()
    kills = 0
    for round_number in itertools.count():
        store = open_store(str(tmp_path / f"store-{round_number}"))
        log = tmp_path / f"log-{round_number}"
        build(Products(store, REGION), 1, tmp_path / "log-of-the-old")
        for may_end in (False, False, False, True):
            finished, lines_before = published_units(store), len(computed(log))
            process = start(store, log, "--settings", "2", "--unit-seconds", "0.004")
            if may_end:
                finish(process)
            else:
                kills += finish_or_kill(process, after_s=moments.uniform(0, 0.15))
            made = {f"{fingerprint_of(2)}/{line.split()[1]}.unit" for line in computed(log)[lines_before:]}
            assert not made & finished
            assert_nothing_half_made_is_visible(store)
        # A run killed right after its manifest leaves units: `verify` names, the next build removes them.
        found = {key: data for key, data in product_bytes(store).items() if "/.units/" not in key}
        assert found == uninterrupted
        if kills >= KILLS:
            return


class PowerCut(BaseException):
    """Raised where the power goes."""


class FailingStore:
    """A store that loses power before its `steps`-th change; all else is the real store's."""

    def __init__(self, store, steps):
        self._store = store
        self._steps = steps

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if name not in {"write", "publish", "delete", "delete_prefix"}:
            return method

        def change(*args):
            if self._steps == 0:
                raise PowerCut
            self._steps -= 1
            return method(*args)

        return change


def test_a_power_cut_before_any_single_change_shows_nothing_half_made(local_store, tmp_path, uninterrupted):
    """Every step of units, publishing and tidying once: old product, none or new product, never a mixture."""
    seen = set()
    for steps in itertools.count():
        local_store.delete_prefix(REGION)
        log = tmp_path / f"log-{steps}"
        build(Products(local_store, REGION), 1, tmp_path / "log-of-the-old")
        products = Products(local_store, REGION)
        try:
            build(Products(FailingStore(local_store, steps), REGION), 2, log)
        except PowerCut:
            assert_nothing_half_made_is_visible(local_store)
            seen.add(products.state(PLACE, fingerprint_of(2)))
        else:
            break
        build(products, 2, log)
        assert len(computed(log)) <= len(UNITS) + 1  # only the unit that was in the making is made again
        found = {key: data for key, data in product_bytes(local_store).items() if "/.units/" not in key}
        assert found == uninterrupted
    assert steps > len(UNITS)
    assert seen == {State.STALE, State.INCOMPLETE, State.DONE}


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_two_runs_at_once_end_in_one_whole_product(kind, request, tmp_path, uninterrupted):
    store = request.getfixturevalue(f"{kind}_store")
    options = ["--settings", "2", "--unit-seconds", "0.002"]
    if kind == "s3":
        options += ["--endpoint", request.getfixturevalue("s3_endpoint")]
    rivals = [start(store, tmp_path / f"log-{number}", *options) for number in range(2)]
    for rival in rivals:
        finish(rival)
    products = Products(store, REGION)
    assert products.done(PLACE, fingerprint_of(2)) is not None
    assert product_bytes(store) == uninterrupted
    assert list(verify(products)) == []


def test_a_run_that_a_rival_has_overtaken_leaves_its_product_alone(store, tmp_path):
    products = Products(store, REGION)
    with products.building(PLACE, fingerprint=fingerprint_of(1)) as late:
        late.put("composite.bin", b"bands", "composite", "application/octet-stream")
        with products.building(PLACE, fingerprint=fingerprint_of(1)) as rival:
            rival.put("composite.bin", b"bands", "composite", "application/octet-stream")
        before = {key: (store.stat(key), store.read(key)) for key in store.keys(FOLDER)}
    assert late.manifest == rival.manifest
    assert {key: (store.stat(key), store.read(key)) for key in store.keys(FOLDER)} == before


def test_a_rebuild_puts_back_what_is_damaged_under_an_equal_manifest(store):
    products = Products(store, REGION)
    for _ in range(2):
        with products.building(PLACE, fingerprint=fingerprint_of(1)) as build:
            build.put("composite.bin", b"bands", "composite", "application/octet-stream")
            store.write(f"{FOLDER}/composite.bin", b"BANDS")
    assert store.read(f"{FOLDER}/composite.bin") == b"bands"
    assert products.done(PLACE, fingerprint_of(1)) is not None


def test_two_runs_with_other_settings_end_in_the_product_of_one_of_them(local_store, tmp_path):
    rivals = [
        start(local_store, tmp_path / "log", "--settings", settings, "--unit-seconds", "0.002")
        for settings in ("1", "2")
    ]
    for rival in rivals:
        finish(rival)
    products = Products(local_store, REGION)
    states = {products.state(PLACE, fingerprint_of(settings)) for settings in (1, 2)}
    assert states == {State.DONE, State.STALE}
    # The first to finish removed the other's units; what that one added later is all that may be left.
    assert {finding.kind for finding in verify(products)} <= {"stray"}


def test_a_finished_product_is_not_built_again(local_store, tmp_path):
    products = Products(local_store, REGION)
    build(products, 1, tmp_path / "log")
    build(products, 1, tmp_path / "log")
    assert len(computed(tmp_path / "log")) == len(UNITS)
    run = json.loads(local_store.read(f"{FOLDER}/run.json"))
    assert run["units"] == {"computed": len(UNITS), "reused": 0}
