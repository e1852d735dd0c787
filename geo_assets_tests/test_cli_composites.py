"""The terminal's ways to a composite: places, options, files, what is told, and how it ends."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from PIL import Image

from geo_assets.cli import main, telling
from geo_assets.cli.composites import composite as composite_command
from geo_assets.cli.words import numbers, place_and_rest
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.lines import area_of
from geo_assets_tests.scenery.remote_catalogues import sentinel2_acquisition, serve_cdse, serve_planetary_computer
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
GROUND = tile_geobox(TILE, 60)[500:540, 600:640]
BOX = [f"{edge:.6f}" for edge in area_of(GROUND)]
JUNE = "S2A_33TVL_20240610_0_L2A"


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> str:
    """June clear, July under cloud, of blue, green, red and nir."""
    small = SmallArchive(tmp_path_factory.mktemp("archive"))
    counts = np.arange(1, 1601, dtype=np.uint16).reshape(GROUND.shape)
    for month, scl in ((6, 4), (7, 9)):
        bands = {name: (counts + number, GROUND) for number, name in enumerate(("blue", "green", "red", "nir"))}
        small.add(TILE, f"2024-{month:02d}-10", {**bands, "scl": (np.full(GROUND.shape, scl, np.uint8), GROUND)})
    return f"local:{small.write()}"


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    """The current folder."""
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


# composite


def test_a_composite_is_written_with_its_picture_and_described(work, archive):
    result = call("composite", *BOX, "2024-06", "-a", archive, "-o", "deep/june.tif")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (work / "deep").iterdir()) == ["june.png", "june.tif"]
    with rasterio.open(work / "deep/june.tif") as raster:
        assert raster.descriptions == ("blue", "green", "red", "nir")
        assert raster.tags()["SOURCES"] == JUNE
        counts = raster.read(1)
    assert counts.max() == 1600
    with Image.open(work / "deep/june.png") as picture:
        assert picture.size == counts.shape[::-1]
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "2024-06-01 to 2024-06-30"
    assert "archive local" in lines
    assert f"sources 1: {JUNE}" in lines
    assert any(line.startswith("read local files, ") for line in lines)
    assert any("% of" in line and "px of 60 m" in line for line in lines)
    assert "written deep/june.tif (blue, green, red, nir), deep/june.png" in lines
    assert result.stderr.splitlines()[0] == "  0% search"


def test_every_option_reaches_the_composite(work, archive):
    Path("aod.json").write_text('{"2024-06-10": 0.1}')
    result = call(
        "composite", "--bbox", *BOX, "2024-06-09/2024-06-11", "--archive", archive, "--bands", "nir, red",
        "--resolution", 120, "--max-cloud-cover", 90, "--coverage-target", 0.9, "--min-k", 1, "--max-k", 2,
        "--whole-fetch", "--read", "exact", "--rank", "scene", "--output-crs", "native", "--mask", "none",
        "--aod-by-day", "aod.json", "--aod-max", 0.2, "--reject-unknown", "--uncertainty", "--scout-factor", 2,
        "--cache", "kept", "--layers", "-o", "all.tif",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    layers = ("observation_count", "quality", "selected_observation", "uncertainty")
    assert sorted(path.name for path in work.glob("all.*")) == sorted(
        ["all.png", "all.tif", *(f"all.{layer}.tif" for layer in layers)]
    )
    with rasterio.open("all.tif") as raster:
        assert raster.descriptions == ("nir", "red")
        assert raster.res == (120, 120)


@pytest.mark.parametrize(
    "place",
    [("-5.2", "43.1", "-4.9", "43.3"), ("-.5", "-.5", "-0.25", "-1e-1"), ("-179.9", "-17", "-179.8", "-16.9")],
)
@pytest.mark.parametrize("by_option", [False, True])
def test_negative_coordinates_are_no_options(archive, place, by_option):
    where = ("--bbox", *place) if by_option else place
    result = call("composite", *where, "2024-06", "-a", archive)
    assert result.exit_code == 1
    assert "no scene" in result.stdout


@pytest.mark.parametrize(
    ("where", "when", "reason"),
    [
        (("-5.2", "43.1", "-5.1", "43.2"), "2024-06", "no scene"),
        (BOX, "2024-07", "clear"),
        (BOX, "2024-05", "no scene"),
    ],
)
def test_an_empty_composite_is_no_success_and_writes_nothing(work, archive, where, when, reason):
    result = call("composite", *where, when, "-a", archive)
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("  empty ")]
    assert reason in line
    assert line.endswith("nothing was written")
    assert "is empty" not in result.stderr, "it is told once"
    assert list(work.rglob("*.tif")) == list(work.rglob("*.png")) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["1", "2", "2024-06"], "expected WEST SOUTH EAST NORTH DATETIME"),
        ([*BOX], "expected WEST SOUTH EAST NORTH DATETIME"),
        ([*BOX, "2024-06", "2024-07"], "expected WEST SOUTH EAST NORTH DATETIME"),
        (["--bbox", *BOX, *BOX, "2024-06"], "expected DATETIME with --bbox"),
        (["--bbox", *BOX[:3], "2024-06"], "--bbox"),
        (["east", *BOX[1:], "2024-06"], "WEST: found 'east'"),
        ([*BOX, "June"], "datetime: found 'June'"),
        (["200", BOX[1], "201", BOX[3], "2024-06"], "bbox: found west 200"),
        ([BOX[0], BOX[3], BOX[2], BOX[1], "2024-06"], "The order is west, south, east, north"),
        (["nan", *BOX[1:], "2024-06"], "bbox"),
        ([*BOX, "2024-06", "-r", "-60"], "resolution: found -60"),
        ([*BOX, "2024-06", "-r", "0"], "resolution: found 0"),
        ([*BOX, "2024-06", "-r", "nan"], "resolution: found nan"),
        ([*BOX, "2024-06", "-r", "fine"], "'fine' is not a valid float"),
        ([*BOX, "2024-06", "--top-k", "0"], "top_k: found 0"),
        ([*BOX, "2024-06", "--bands", "B04"], "bands: found B04"),
        ([*BOX, "2024-06", "--bands", "red,,nir"], "names separated by commas"),
        ([*BOX, "2024-06", "--bands", "swir16"], "swir16"),
        ([*BOX, "2024-06", "--read", "fast"], "read: found 'fast'"),
        ([*BOX, "2024-06", "--rank", "best"], "rank: found 'best'"),
        ([*BOX, "2024-06", "--output-crs", "EPSG:1"], "output_crs: found 'EPSG:1'"),
        ([*BOX, "2024-06", "-a", "atlantis"], "archive: found 'atlantis'"),
        ([*BOX, "2024-06", "--catalog-url", "https://stac.example.org"], "is read from files"),
        ([*BOX, "2024-06", "--resolutin", "20"], "--resolution"),
        ([*BOX, "2024-06", "--aod-by-day", "nowhere.json"], "nowhere.json: cannot be read"),
        ([*BOX, "2024-06", "--aod-by-day", "list.json"], "aod_by_day: found [1]"),
        ([*BOX, "2024-06", "-o", "june.png"], "ends in .tif"),
        ([*BOX, "2024-06", "-o", ""], "ends in .tif"),
        ([*BOX, "2024-06", "-o", "list.json/june.tif"], "cannot be written to"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(work, archive, arguments, said):
    Path("list.json").write_text("[1]")
    assert said in refusal_of("composite", "-a", archive, *arguments)
    assert [path.name for path in work.iterdir()] == ["list.json"]


def test_a_file_that_cannot_be_written_is_named(archive):
    Path("june.tif").mkdir()
    assert "File june.tif: cannot be written" in refusal_of(
        "composite", *BOX, "2024-06", "-a", archive, "-o", "june.tif"
    )


@pytest.mark.parametrize("command", ["composite", "monthly"])
def test_an_interrupt_ends_the_program_as_shells_expect(monkeypatch, archive, command):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("geo_assets.cli.composites.build_composite", interrupted)
    monkeypatch.setattr("geo_assets.cli.composites.monthly_composites", interrupted)
    when = ["2024-06"] if command == "composite" else ["--years", "2024"]
    result = call(command, *BOX, *when, "-a", archive)
    assert result.exit_code == 130
    assert result.stderr.startswith("Interrupted: ")


def test_an_interrupt_between_raster_and_picture_does_not_deny_the_raster(monkeypatch, archive):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("geo_assets.api.CompositeResult.to_png", interrupted)
    result = call("composite", *BOX, "2024-06", "-a", archive, "-o", "june.tif")
    assert result.exit_code == 130
    assert Path("june.tif").exists()
    assert result.stderr.endswith("Interrupted: files that are there are complete, others are missing.\n")


# monthly


def test_months_are_written_each_under_its_name_and_an_empty_one_is_told(work, archive):
    result = call("monthly", *BOX, "--years", "2024", "--months", "6-7", "-a", archive, "-o", "out")
    assert result.exit_code == 1
    assert sorted(path.name for path in (work / "out").iterdir()) == ["composite-2024-06.png", "composite-2024-06.tif"]
    assert "2024-06-01 to 2024-06-30" in result.stdout
    assert "2024-07-01 to 2024-07-31" in result.stdout
    assert result.stdout.count("  empty ") == 1
    assert call("monthly", "--bbox", *BOX, "--years", "2024", "--months", "6", "-a", archive).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*BOX], "--years"),
        ([*BOX, "2024-06", "--years", "2024"], "expected WEST SOUTH EAST NORTH"),
        ([*BOX, "--years", "24"], "years: found"),
        ([*BOX, "--years", "2024-2020"], "expected whole numbers, such as 2024"),
        ([*BOX, "--years", "2024", "--months", "0-3"], "months: found"),
        ([*BOX, "--years", "2024", "--months", "June"], "expected whole numbers"),
        ([*BOX, "--years", "2024", "-o", "file"], "cannot be written to"),
    ],
)
def test_months_that_cannot_be_are_refused(archive, arguments, said):
    Path("file").write_text("")
    assert said in refusal_of("monthly", "-a", archive, *arguments)


# How arguments are read


def test_numbers_are_read_with_commas_and_ranges():
    assert numbers("2024") == (2024,)
    assert numbers("2022, 2024") == (2022, 2024)
    assert numbers("5-7,9") == (5, 6, 7, 9)
    for text in ("", "-5", "5-", "7-5", "1e3", "5--7", "٣"):
        with pytest.raises(click.BadParameter, match="expected whole numbers"):
            numbers(text)


def test_a_place_is_read_from_option_or_words():
    assert place_and_rest(("1", " -2", "3", "4", "2024"), None, ["DATETIME"]) == ((1, -2, 3, 4), ["2024"])
    assert place_and_rest(("2024",), (1, 2, 3, 4), ["DATETIME"]) == ((1, 2, 3, 4), ["2024"])


def test_help_teaches_by_examples_that_can_be_read():
    for command in ("composite", "monthly", "plan", "doctor"):
        examples = [line.strip() for line in call(command, "--help").stdout.splitlines() if "geo-assets " in line]
        examples = [line for line in examples if line.startswith("geo-assets")]
        assert examples, command
    words = "-5.2 43.1 -4.9 43.3 2024-05-15/2024-06-15 -b red,green,blue -r 10".split()
    context = composite_command.make_context("composite", words)
    assert context.params["bands"] == ("red", "green", "blue")


def test_a_terminal_sees_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with telling.steps_shown() as tell:
        tell("search", 0.0)
        tell("bands", 0.5)
    shown = capsys.readouterr().err
    assert "bands" in shown
    assert "100%" in shown


# Over the network


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture(autouse=True)
def nobodys_credentials(monkeypatch) -> None:
    for name in ("PC_SDK_SUBSCRIPTION_KEY", "CDSE_USERNAME", "CDSE_PASSWORD", "CDSE_TOTP", "CDSE_S3_ACCESS_KEY",
                 "CDSE_S3_SECRET_KEY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def seen():
    return sentinel2_acquisition(TILE, "2024-06-10", window=(slice(800, 830), slice(800, 830)), bands=("red", "green"))


def test_a_composite_over_the_network_tells_requests_and_bytes_and_keeps_searches(server, work, seen):
    url = serve_planetary_computer(server, work / "archive", [seen])
    command = ("composite", "--bbox", *seen.bbox, "2024-06", "-a", "pc", "--catalog-url", url, "-r", 20, "-b", "red")
    first = call(*command)
    assert first.exit_code == 0, first.output
    (read,) = [line.split() for line in first.stdout.splitlines() if line.startswith("  read ")]
    assert read[2] == "requests,"
    assert int(read[1]) == len([one for one in server.requests if "/token/" not in one.path])
    assert "archive      planetary-computer" in first.stdout
    asked = len(server.requests_for("*/search"))
    assert call(*command).exit_code == 0
    assert len(server.requests_for("*/search")) == asked
    assert "sig=" not in first.output + (work / "composite.tif").read_bytes().decode("latin-1")


# archives, doctor


def test_archives_are_listed_with_bands_periods_and_credentials(monkeypatch):
    monkeypatch.setenv("CDSE_USERNAME", "somebody")
    monkeypatch.setenv("CDSE_PASSWORD", "xyzzy")
    told = call("archives").stdout
    for part in ("planetary-computer: ", "sentinel-2-c1-l2a (L2A, COG), since 2015-06", "modis-43A4-061", "local:PATH",
                 "10 m: blue, green, red, nir; 20 m:", "CDSE_USERNAME + CDSE_PASSWORD", "hls2-l30"):  # fmt: skip
        assert part in told
    lines = {line.strip() for line in told.splitlines()}
    assert any("CDSE_USERNAME" in line and line.endswith(": set") for line in lines)
    assert any("CDSE_S3_ACCESS_KEY" in line and line.endswith(": not set") for line in lines)
    assert any("PC_SDK_SUBSCRIPTION_KEY" in line and line.endswith("not set, not needed") for line in lines)
    assert "xyzzy" not in told
    assert "somebody" not in told


def test_archives_as_json_are_for_programs():
    found = {one["name"]: one for one in json.loads(call("archives", "--json").stdout)}
    assert list(found) == ["planetary-computer", "earth-search", "hls", "mcd43a4", "cdse"]
    assert found["cdse"]["credentials"][0] == {
        "variables": ["CDSE_S3_ACCESS_KEY", "CDSE_S3_SECRET_KEY"], "needed": True, "set": False,
        "purpose": found["cdse"]["credentials"][0]["purpose"],
    }  # fmt: skip
    assert found["hls"]["collections"][0]["bands"]["red"] == 30


def findings(result: Result) -> dict[str, str]:
    """Step -> what was told of it."""
    return dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if line.startswith("  "))


@pytest.mark.parametrize(("age_days", "outcome", "code"), [(10, "ok", 0), (100, "failed", 1)])
def test_an_archive_is_tried_step_by_step_and_a_long_silence_is_a_finding(server, work, age_days, outcome, code):
    day = f"{datetime.now(UTC) - timedelta(days=age_days):%Y-%m-%d}"
    recent = sentinel2_acquisition(TILE, day, window=(slice(800, 830), slice(800, 830)), bands=("red", "green"))
    url = serve_planetary_computer(server, work / "archive", [recent])
    result = call("doctor", "planetary-computer", "--catalog-url", url, "--bbox", *recent.bbox)
    told = findings(result)
    assert {step: told[step].split()[0] for step in told} == {
        "reach": "ok", "login": "ok", "search": outcome, "read": "ok"
    }  # fmt: skip
    assert ("may have stopped" in told["search"]) == (outcome == "failed")
    assert result.exit_code == code


def test_an_archive_that_is_down_is_a_finding_with_a_remedy_and_exit_code_1(server):
    address = server.url.rsplit(":", 1)[0]
    result = call("doctor", "earth-search", "--catalog-url", f"{address}:9/v1")
    assert result.exit_code == 1
    told = findings(result)
    assert told["reach"].startswith("failed")
    assert told["read"].startswith("not tried")


def test_missing_credentials_fail_the_archive_that_is_named(server, work, seen):
    url = serve_cdse(server, work / "archive", [seen])
    result = call("doctor", "cdse", "--catalog-url", url)
    assert result.exit_code == 1
    assert "CDSE_S3_ACCESS_KEY" in findings(result)["login"]


def test_all_archives_are_tried_and_those_without_credentials_passed_over(monkeypatch):
    monkeypatch.setattr("geo_assets.cli.archives.examined", lambda archive, area: iter(()))
    result = call("doctor")
    assert result.exit_code == 0
    for name in ("planetary-computer", "earth-search", "hls", "mcd43a4", "cdse"):
        assert name in result.stdout
    assert "passed over  no credentials are set: CDSE_S3_ACCESS_KEY" in result.stdout


def test_a_local_archive_is_looked_at(archive):
    result = call("doctor", archive)
    assert result.exit_code == 0
    assert "L2A: blue, green, nir, red, scl" in result.stdout
    assert call("doctor", "local:/nowhere").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["auto"], "chooses among others"),
        (["atlantis"], "archive: found 'atlantis'"),
        (["--catalog-url", "https://stac.example.org/v1"], "without an archive"),
        (["demo", "--catalog-url", "https://stac.example.org/v1"], "Leave it out"),
        (["earth-search", "--bbox", "15", "46", "14", "45"], "--bbox"),
        (["earth-search", "--catalog-url", "ftp://stac.example.org"], "catalog_url"),
    ],
)
def test_a_patient_that_is_none_is_refused(arguments, said):
    assert said in refusal_of("doctor", *arguments)
