"""The terminal door, as careful, clumsy and hostile users open it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import click
import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from geo_assets.cli import main, running
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.places import Place
from geo_assets.orchestration.home import open_instance
from geo_assets_tests.scenery.lines import area_of
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
GROUND = tile_geobox(TILE, 60)[500:540, 600:640]
COMMANDS = ("archives", "backfill", "composite", "crop", "demo", "dev", "doctor", "impact", "mask", "monthly", "mosaic",
            "orphans", "plan", "region", "report", "status", "verify")  # fmt: skip
GOOD, OVERCAST = "S2A_33TVL_20240610_0_L2A", "S2B_33TVL_20240615_0_L2A"
PRODUCTS = 9
"""Seven of one tile and month, the region mosaic, the statistics over all."""


def region_text(archive: str = "local:archive", **changes: str) -> str:
    """A region file over the small archive; `changes` are keys with their YAML, "" leaves one out."""
    keys = {
        "name": "small",
        "area": "[{}, {}, {}, {}]".format(*area_of(GROUND)),
        "months": "{first: 2024-06, last: 2024-06}",
        "archive": archive,
        "bands": "[red]",
        "resolution": "60",
        "mosaic": "{feather_m: 60}",
    }
    return "".join(f"{key}: {value}\n" for key, value in {**keys, **changes}.items() if value)


def make_archive(folder: Path) -> Path:
    archive = SmallArchive(folder)
    red = np.arange(1, 1601, dtype=np.uint16).reshape(GROUND.shape)
    for day, platform, scl in (("2024-06-10", "S2A", 4), ("2024-06-15", "S2B", 9)):
        classes = np.full(GROUND.shape, scl, np.uint8)
        archive.add(TILE, day, {"red": (red, GROUND), "scl": (classes, GROUND)}, platform=platform)
    return archive.write()


def geo_assets(*arguments: object, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A real call of the program in a folder."""
    environment = {**os.environ, "GEO_ASSETS_HOME": str(folder / "home"), "GEO_ASSETS_THREADS": "2", **variables}
    return subprocess.run(
        [sys.executable, "-m", "geo_assets.cli", *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder with a region file, its archive, and the store that a backfill with relative paths made."""
    folder = tmp_path_factory.mktemp("built")
    make_archive(folder / "archive")
    (folder / "small.yaml").write_text(region_text())
    return folder, geo_assets("backfill", "small.yaml", folder=folder, GEO_ASSETS_STORE="products")


@pytest.fixture
def work(built, tmp_path, monkeypatch) -> Path:
    """A copy of it, as the current folder."""
    folder = tmp_path / "work"
    shutil.copytree(built[0], folder, ignore=shutil.ignore_patterns("home"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GEO_ASSETS_HOME", str(folder / "home"))
    monkeypatch.setenv("GEO_ASSETS_STORE", "products")
    return folder


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEO_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path


def call(*arguments: object) -> Result:
    """The program within this process; whatever is no deliberate end is raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    return result


def refusal_of(*arguments: object) -> str:
    """What the program says when it exits with 2."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    return result.stderr


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_its_options(command):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: main {command}" in result.output
    assert len(result.output.partition("Options:")[0].split()) > 8
    options = [option for option in main.commands[command].params if isinstance(option, click.Option)]
    assert all(option.help for option in options)


def test_help_lists_every_command_and_says_what_region_is():
    result = call("--help")
    assert all(command in result.output for command in COMMANDS)
    assert "GEO_ASSETS_REGION" in result.output
    assert set(main.commands) == set(COMMANDS)


def test_the_program_tells_its_version():
    assert call("--version").output.strip()


# region


@pytest.mark.parametrize(
    ("changes", "tiles"),
    [
        ({}, "1: 33TVL"),
        ({"area": "", "tiles": "[33TVL, 33TWL, 33TVM]"}, "3: "),
        ({"area": "field.geojson"}, "1: 33TVL"),
        ({"area": "[179.9, -17.0, -179.9, -16.8]"}, "2: 01KAB, 60KYG"),
        ({"area": "[18.4, -34.2, 18.6, -34.0]"}, "34HBH"),
    ],
    ids=["bounding box", "tiles", "GeoJSON", "antimeridian", "south"],
)
def test_region_prints_tiles_months_partitions_and_sizes_and_draws_a_map(empty, changes, tiles):
    west, south, east, north = area_of(GROUND)
    outline = [[west, south], [east, south], [east, north], [west, south]]
    (empty / "field.geojson").write_text(f'{{"type": "Polygon", "coordinates": [{outline}]}}')
    (empty / "small.yaml").write_text(region_text("demo", **changes))
    result = call("region", "small.yaml")
    assert result.exit_code == 0
    for part in ("small", "2024-06 to 2024-06: 1", tiles, "1830 x 1830 px of 60 m", "EPSG:32", "partitions", "stored"):
        assert part in result.output
    picture = empty / "home/small-tiles.png"
    assert f"map          {picture.relative_to(empty)}" in result.output
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert min(pixels.shape[:2]) > 200
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 3


def test_region_needs_neither_archive_nor_store(empty):
    (empty / "small.yaml").write_text(region_text("local:/nowhere"))
    assert call("region", "small.yaml", "--png", "deep/map.png").exit_code == 0
    assert (empty / "deep/map.png").is_file()
    assert not (empty / "home").exists()


def test_region_and_backfill_refuse_a_band_that_the_archive_lacks_before_anything_else(work):
    (work / "small.yaml").write_text(region_text(bands="[red, nir]"))
    for command in ("region", "backfill"):
        message = refusal_of(command, "small.yaml")
        for part in ("Region small", "nir", "red", "Leave the band out"):
            assert part in message
    assert not (work / "home").exists()


def test_region_refuses_a_band_that_a_known_archive_lacks_without_asking_it(empty):
    (empty / "small.yaml").write_text(region_text("mcd43a4", bands="[red, nir08]", resolution="500", mosaic=""))
    message = refusal_of("region", "small.yaml")
    for part in ("Region small", "mcd43a4 has no nir08", "swir16"):
        assert part in message


def test_region_looks_past_an_archive_that_cannot_be_read(work):
    (work / "archive/items.json").write_text("{")
    assert call("region", "small.yaml").exit_code == 0


def test_without_a_region_file_the_variable_and_else_the_demo_is_meant(empty, monkeypatch):
    assert call("region").output.startswith("demo\n")
    (empty / "small.yaml").write_text(region_text())
    monkeypatch.setenv("GEO_ASSETS_REGION", "small.yaml")
    assert call("region").output.startswith("small\n")


def test_region_refuses_a_picture_that_cannot_be_written(empty):
    (empty / "small.yaml").write_text(region_text())
    for target in ("small.yaml/map.png", "/proc/map.png", "."):
        message = refusal_of("region", "small.yaml", "--png", target)
        assert "Picture" in message
        assert "--png" in message


# backfill


def test_a_backfill_makes_everything_and_tells_its_progress_line_by_line(built):
    folder, done = built
    assert done.returncode == 0, done.stderr
    assert f"{PRODUCTS} products built, 0 found done" in done.stdout
    lines = done.stderr.splitlines()
    assert "fetch 33TVL 2024-06 (3/9)" in lines
    assert lines[-1] == "dataset_stats of the whole region of all months (9/9)"
    assert "\x1b" not in done.stderr + done.stdout
    assert len(list((folder / "products/small").rglob("manifest.json"))) == PRODUCTS


def truncated(built: tuple[Path, object], folder: Path, items: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """A backfill over the archive whose items' red files lack their ends."""
    shutil.copytree(built[0] / "archive", folder / "archive")
    (folder / "small.yaml").write_text(region_text())
    for item in items:
        damaged = folder / "archive" / item / "red.tif"
        damaged.write_bytes(damaged.read_bytes()[:-500])
    done = geo_assets("backfill", "small.yaml", "--store", "products", folder=folder)
    assert "Traceback" not in done.stderr + done.stdout
    return done


def test_a_backfill_over_truncated_files_names_one_and_exits_with_1(built, tmp_path):
    done = truncated(built, tmp_path, (GOOD, OVERCAST))
    assert done.returncode == 1
    assert "scout 33TVL 2024-06 failed (2/9)" in done.stderr
    assert f"Item {GOOD}, band red" in done.stderr
    assert "not built: fetch 33TVL 2024-06: needs scout 33TVL 2024-06" in done.stderr
    assert "run the same command again" in done.stderr
    made = {path.parts[-4] for path in (tmp_path / "products/small").rglob("manifest.json")}
    assert made == {"scene_search"}


def test_a_backfill_goes_on_without_a_lost_file_and_names_it(built, tmp_path):
    done = truncated(built, tmp_path, (GOOD,))
    assert done.returncode == 0
    (lost,) = [line for line in done.stderr.splitlines() if line.startswith("lost: ")]
    assert f"Item {GOOD}, band red" in lost
    assert "--retry-lost" in done.stderr


INTERRUPTED = "Interrupted: finished work is kept; run the same command again."

TROUBLED = """
import sys, time
from geo_assets import cli
from geo_assets.domain.errors import ArchiveTransientError
from geo_assets.orchestration import materialization

honest, (station, trouble) = materialization.run_station, sys.argv[1:3]

def run_station(line, found, place):
    if found.name != station:
        return honest(line, found, place)
    if trouble == "retries":
        print("in", station, flush=True)
        raise ArchiveTransientError("The archive is busy.")
    try:
        print("in", station, flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("told", flush=True)
        if trouble == "swallows":
            return honest(line, found, place)
        if trouble == "hangs":
            time.sleep(60)
        raise

materialization.run_station = run_station
cli.main(sys.argv[3:])
"""
"""The program with a station that sleeps, and meets an interrupt in one way or another."""


@pytest.fixture
def troubled(tmp_path):
    """Starts a backfill over the small archive, and hands it over when it is in its troubled station."""
    make_archive(tmp_path / "archive")
    (tmp_path / "small.yaml").write_text(region_text())
    environment = {**os.environ, "GEO_ASSETS_HOME": str(tmp_path / "home"), "GEO_ASSETS_THREADS": "2"}
    started = []

    def start(station: str, trouble: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", TROUBLED, station, trouble, "backfill", "small.yaml", "--store", "products"]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True))
        assert started[-1].stdout.readline() == f"in {station}\n", started[-1].communicate()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def stations_made(folder: Path) -> set[str]:
    return {path.parts[-4] for path in (folder / "products/small").rglob("manifest.json")}


def run_statuses(folder: Path) -> list[dg.DagsterRunStatus]:
    with open_instance(folder / "home/dagster") as instance:
        return [run.status for run in instance.get_runs()]


@pytest.mark.parametrize(
    ("station", "trouble", "number", "made"),
    [
        ("fetch", "sleeps", signal.SIGINT, {"scene_search", "scout"}),
        ("hybrid_mask", "sleeps", signal.SIGTERM, {"scene_search", "scout", "fetch"}),
        ("hybrid_mask", "swallows", signal.SIGINT, {"scene_search", "scout", "fetch", "hybrid_mask"}),
    ],
)
def test_an_interrupt_stops_the_backfill_at_once_and_a_second_one_goes_on(
    troubled, tmp_path, station, trouble, number, made
):
    process = troubled(station, trouble)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == "told\n"
    assert err.splitlines()[-1] == INTERRUPTED
    assert "Traceback" not in err
    assert stations_made(tmp_path) == made
    assert run_statuses(tmp_path) == [dg.DagsterRunStatus.CANCELED]
    if number == signal.SIGINT:
        again = geo_assets("backfill", "small.yaml", "--store", "products", folder=tmp_path)
        assert again.returncode == 0, again.stderr
        assert f"{PRODUCTS - len(made)} products built, {len(made)} found done" in again.stdout


def test_an_interrupt_ends_the_wait_before_a_retry(troubled, tmp_path):
    process = troubled("fetch", "retries")
    time.sleep(2)  # into the wait, which takes up to 10 s; by chance it is over already, and the next one has begun
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == INTERRUPTED
    assert run_statuses(tmp_path)[0] in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    assert stations_made(tmp_path) == {"scene_search", "scout"}


def test_a_second_interrupt_kills(troubled):
    process = troubled("fetch", "hangs")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "told\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tile", "33XXX"], "has no tile 33XXX; it has 33TVL"),
        (["--month", "2023-01"], "has no month 2023-01; it has 2024-06"),
        (["--month", "June"], "found 'June', expected YYYY-MM"),
        (["--store", "small.yaml/store"], "is a file, expected a folder"),
        (["--store", "/proc/store"], "cannot write"),
        (["--store", ""], "empty name"),
        (["--store", "~nobody-here/store"], "no home folder"),
        (["--store", "ftp://host/store"], "expected a folder or s3://bucket/prefix"),
        (["--store", "s3://key:SECRET@bucket/x"], "Take them out"),
    ],
)
def test_a_backfill_that_cannot_begin_is_refused(work, arguments, said):
    before = sorted(work.rglob("*"))
    message = refusal_of("backfill", "small.yaml", *arguments)
    assert said in message
    assert "SECRET" not in message
    assert [path for path in sorted(work.rglob("*")) if "home" not in path.parts] == before


def test_an_unwritable_home_is_refused(work, monkeypatch):
    monkeypatch.setenv("GEO_ASSETS_HOME", "/proc/home")
    assert "Give GEO_ASSETS_HOME a folder" in refusal_of("backfill", "small.yaml")
    assert "Give GEO_ASSETS_HOME a folder" in refusal_of("orphans")
    assert "Give GEO_ASSETS_HOME a folder" in refusal_of("status")


def test_lost_files_are_tried_again_on_request_only(work, monkeypatch):
    asked, report = [], SimpleNamespace(ok=True)
    monkeypatch.setattr(running, "_backfill", lambda *_, **__: report)
    monkeypatch.setattr(running, "retry_lost", lambda line: asked.append(line) or [Place("fetch", TILE)])
    assert call("backfill", "small.yaml").exit_code == 0
    assert asked == []
    result = call("backfill", "small.yaml", "--retry-lost")
    assert result.exit_code == 0
    assert len(asked) == 1
    assert result.stderr == "1 product lacks files that an archive had lost; they are tried again.\n"


# status


def test_status_shows_a_table_and_counts(work):
    result = call("status", "small.yaml")
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines()]
    assert rows == [["33TVL"], ["2024-06", "done"], "9 of 9 products are done.".split()]


def test_status_of_what_was_never_made_writes_nothing(work):
    result = call("status", "small.yaml", "--store", "elsewhere")
    assert result.exit_code == 0
    assert "2024-06  missing" in result.output
    assert "0 of 9 products are done" in result.output
    assert "--long" in result.output
    assert not (work / "elsewhere").exists()
    assert not (work / "home").exists()


def test_status_tells_stale_from_done_and_lists_all_on_request(work):
    (work / "small.yaml").write_text(region_text(stats="{clip_percentiles: [2, 98]}"))
    result = call("status", "small.yaml", "--long")
    assert "2024-06  stale" in result.output
    assert "normalization_stats 33TVL 2024-06: stale" in result.output
    assert "8 of 9 products are done" in result.output or "7 of 9 products are done" in result.output


def test_the_option_is_stronger_than_the_variable(work, monkeypatch):
    monkeypatch.setenv("GEO_ASSETS_STORE", "elsewhere")
    assert "0 of 9" in call("status", "small.yaml").output
    assert "9 of 9" in call("status", "small.yaml", "--store", "products").output


def test_status_refuses_a_file_in_the_stores_place(work):
    for store in ("small.yaml", "small.yaml/store"):
        assert "is a file, expected a folder" in refusal_of("status", "small.yaml", "--store", store)


# verify


def test_verify_finds_nothing_wrong_with_a_fresh_store(work):
    result = call("verify", "small.yaml")
    assert result.exit_code == 0
    assert ", 0 damaged, 0 other findings in products." in result.output


def test_verify_names_the_damaged_and_the_missing_file_and_exits_with_1(work):
    folder = work / "products/small/monthly_composite/33TVL/2024-06"
    damaged, missing = sorted(folder.glob("*.tif"))[:2]
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    missing.unlink()
    result = call("verify", "small.yaml")
    assert result.exit_code == 1
    assert f"damaged: small/monthly_composite/33TVL/2024-06/{damaged.name}: found sha256" in result.output
    assert f"missing: small/monthly_composite/33TVL/2024-06/{missing.name}" in result.output
    assert "`geo-assets backfill` rebuilds it" in result.output
    assert "2 damaged" in result.output


def test_verify_names_a_corrupt_manifest_and_status_calls_it_corrupt(work):
    manifest = work / "products/small/scout/33TVL/2024-06/manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:100])
    result = call("verify", "small.yaml")
    assert result.exit_code == 1
    assert "unreadable: small/scout/33TVL/2024-06/manifest.json" in result.output
    assert "2024-06  corrupt" in call("status", "small.yaml").output


# impact


def test_impact_names_the_products_of_an_item(work):
    result = call("impact", GOOD, "small.yaml")
    assert result.exit_code == 0
    places = result.output.splitlines()[:-1]
    assert "monthly_composite 33TVL 2024-06" in places
    assert "region_mosaic of the whole region 2024-06" in places
    assert result.output.splitlines()[-1] == f"{len(places)} products used {GOOD}."


def test_impact_counts_a_single_product_in_the_singular(work):
    shutil.copytree(work / "products/small/scene_search", work / "searched/small/scene_search")
    result = call("impact", GOOD, "small.yaml", "--store", "searched")
    assert result.exit_code == 0
    assert result.output.splitlines() == ["scene_search 33TVL 2024-06", f"1 product used {GOOD}."]


def test_impact_of_an_item_that_nobody_used_is_none(work):
    for item in ("S2A_nobody", "../../etc/passwd", "x" * 10_000):
        result = call("impact", item, "small.yaml")
        assert result.exit_code == 1
        assert result.output == f"No product used {item}.\n"


# Stores of others


@pytest.mark.parametrize("command", ["status", "verify", "backfill"])
def test_a_store_of_another_region_of_this_name_is_refused(work, command):
    (work / "small.yaml").write_text(region_text(area="", tiles="[32UQA]"))
    message = refusal_of(command, "small.yaml")
    for part in ("Region small", "holds another region", "33TVL", "32UQA", "Rename the region"):
        assert part in message


@pytest.mark.parametrize("command", ["status", "verify", "backfill"])
def test_a_store_of_a_newer_version_is_refused(work, command):
    record = work / "products/small/region.json"
    record.write_text(record.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    message = refusal_of(command, "small.yaml")
    for part in ("region.json", "schema version 2", "expected 1", "Upgrade"):
        assert part in message


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 1, "tiles": 5}'])
def test_a_damaged_region_record_keeps_nobody_from_looking_but_from_writing(work, content):
    (work / "products/small/region.json").write_text(content)
    message = refusal_of("backfill", "small.yaml")
    assert "region.json" in message
    assert "Delete it" in message
    assert call("status", "small.yaml").exit_code == 0
    result = call("verify", "small.yaml")
    assert result.exit_code == 1
    assert "unreadable: small/region.json" in result.output


# Region files and archives that cannot be


@pytest.mark.parametrize("command", ["region", "status", "verify", "backfill", "dev"])
@pytest.mark.parametrize("path", ["nowhere.yaml", ".", "~nobody-here/region.yaml"])
def test_a_region_file_that_is_none_is_refused_by_every_command(empty, command, path):
    message = refusal_of(command, path)
    assert path.strip("~.") in message
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resolution": "0"}, "resolution: found 0"),
        ({"bands": "[B4]"}, "bands: found 'B4'"),
        ({"tile": "[33TVL]"}, "unknown key 'tile'"),
        ({"area": "[14, 40, 20, 48]"}, "set max_tiles"),
        ({"months": "{first: 2999-01}"}, "future"),
        ({"area": "field.geojson"}, "field.geojson: cannot be read"),
        ({"archive": "atlantis"}, "archive: found 'atlantis'"),
    ],
)
def test_a_region_file_with_an_error_is_refused_with_key_and_value(empty, changes, said):
    (empty / "small.yaml").write_text(region_text(**changes))
    for command in ("region", "status"):
        message = refusal_of(command, "small.yaml")
        assert "small.yaml" in message
        assert said in message


def test_threads_that_cannot_be_are_refused(work, monkeypatch):
    for threads in ("0", "-1", "many", "1e9"):
        monkeypatch.setenv("GEO_ASSETS_THREADS", threads)
        assert "GEO_ASSETS_THREADS" in refusal_of("status", "small.yaml")


@pytest.mark.parametrize("arguments", [["nonsense"], ["impact"], ["status", "a", "b"], ["dev", "--port", "0"]])
def test_a_call_that_is_none_is_refused_with_its_usage(empty, arguments):
    assert "Usage:" in refusal_of(*arguments)


def test_a_real_call_prints_its_refusal_alone(tmp_path):
    (tmp_path / "small.yaml").write_text(region_text(resolution="-20"))
    done = geo_assets("status", "small.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Region file ")
    assert len(done.stderr.splitlines()) == 2
    assert "\x1b" not in done.stderr


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    (tmp_path / "small.yaml").write_text(region_text("demo"))
    done = subprocess.run(
        f"{sys.executable} -m geo_assets.cli region small.yaml | head -1",
        shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "small\n"
    assert done.stderr == ""
