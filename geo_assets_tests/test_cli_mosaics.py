"""The terminal's way to a mosaic: files, options, what is told, and how it ends."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from geo_assets.cli import main
from geo_assets_tests.scenery.geotiffs import landscape, read_geotiff, two_neighbours, write_geotiff


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    """Exit code, what was told, and what was told beside it."""
    result = CliRunner().invoke(main, ["mosaic", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def test_a_mosaic_is_written_with_its_picture_and_told_in_lines(work):
    paths = two_neighbours(work, height=300, width=400, overlap=200, step=100)
    code, told, _ = call(*paths, "-o", "both.tif", "--feather-m", 900)
    assert code == 0
    assert told.splitlines()[0] == "both.tif, both.png"
    for words in (
        "600 x 300 of 10 m in EPSG:32633",
        "100.0%",
        "2, 0 warped",
        "times the ground's own steps; a hard edge",
        "wrong        0 px",
    ):
        assert words in told
    with Image.open("both.png") as picture:
        assert picture.size == (600, 300)
    assert read_geotiff("both.tif")[0].shape == (1, 300, 600)


def test_all_figures_are_told_as_json_and_warnings_beside(work):
    code, told, beside = call(*two_neighbours(work), "-o", "both.tif", "--json", "--no-picture")
    figures = json.loads(told)
    assert code == 0
    assert figures["feather_exceeds_overlap"] == {"east+west": 300.0}
    assert "Note: the overlap of east+west" in beside
    assert not (work / "both.png").exists()


def test_options_reach_the_mosaic(work):
    paths = two_neighbours(work, nodata=None)
    code, told, _ = call(*paths, "-o", "both.tif", "--nodata", 9, "-r", 20, "--harmonise", "gain", "--json")
    assert code == 0
    assert json.loads(told)["warped"] == ["east", "west"]
    assert json.loads(told)["harmonised"]["mode"] == "gain"
    assert read_geotiff("both.tif")[1]["nodata"] == 9


def test_colours_are_shown_as_such(work):
    bands = np.stack([landscape(40, 40), landscape(40, 40) // 2, landscape(40, 40) // 4])
    path = write_geotiff(work / "a.tif", bands, names=("blue", "green", "red"), photometric="minisblack")
    assert call(path, "-o", "one.tif", "--feather-m", 100)[0] == 0
    with Image.open("one.png") as picture:
        red, green, blue = picture.convert("RGB").getpixel((20, 20))
    assert red < green < blue


def test_what_does_not_fit_is_told_without_a_traceback(work):
    other = write_geotiff(work / "other.tif", landscape(30, 30).astype(np.int16))
    code, _, told = call(*two_neighbours(work), other, "-o", "both.tif")
    assert code == 2
    assert "found dtype {'uint16'}, expected {'int16'}" in told or "found dtype {'int16'}" in told
    assert not (work / "both.tif").exists()


def test_help_has_examples():
    code, told, _ = call("--help")
    assert code == 0
    assert "geo-assets mosaic west.tif east.tif -o both.tif" in told


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_mosaic_that_is_stopped_in_the_middle_leaves_no_file_but_the_old_one(work, sent):
    random = np.random.default_rng(1)
    for number in range(2):
        values = random.integers(1, 60_000, (5000, 3000)).astype(np.uint16)
        write_geotiff(work / f"{number}.tif", values, col=2000 * number)
    (work / "both.tif").write_bytes(b"the old one")
    command = [sys.executable, "-c", "from geo_assets.cli import main; main()"]
    command += ["mosaic", "0.tif", "1.tif", "-o", "both.tif", "--block", "512"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "%" in process.stderr.readline() + process.stderr.readline()
        process.send_signal(sent)
        told = process.stderr.read()
    assert process.returncode != 0
    assert sorted(path.name for path in work.iterdir()) == ["0.tif", "1.tif", "both.tif"]
    assert (work / "both.tif").read_bytes() == b"the old one"
    if sent == signal.SIGINT:
        assert process.returncode == 130
        assert "Interrupted: nothing was written." in told
