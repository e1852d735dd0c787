"""The terminal's way to a report: where it goes, and how it ends when there is nothing to report."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from geo_assets.cli import main
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets_tests.scenery.lines import area_of, run_all, small_line
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
GROUND = tile_geobox(TILE, 60)[500:540, 600:640]
SETTINGS = {
    "area": list(area_of(GROUND)),
    "months": {"first": "2024-06", "last": "2024-07"},
    "mask": {"detectors": ["quality"]},
    "mosaic": {"feather_m": 60},
}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with a region file, its archive, and its finished store; July is empty."""
    folder = tmp_path_factory.mktemp("built")
    archive = SmallArchive(folder / "archive")
    red = np.arange(1, 1601, dtype=np.uint16).reshape(GROUND.shape)
    archive.add(TILE, "2024-06-10", {"red": (red, GROUND), "scl": (np.full(GROUND.shape, 4, np.uint8), GROUND)})
    run_all(small_line(archive.write(), folder / "products", **SETTINGS))
    region = {"name": "small", "archive": "local:archive", "bands": ["red"], "resolution": 60, **SETTINGS}
    (folder / "small.yaml").write_text(yaml.safe_dump(region))
    return folder


@pytest.fixture
def work(built, monkeypatch) -> Path:
    monkeypatch.chdir(built)
    monkeypatch.setenv("GEO_ASSETS_HOME", "home")
    monkeypatch.setenv("GEO_ASSETS_STORE", "products")
    return built


def call(*arguments: object) -> tuple[int, str, str]:
    """Exit code, what was told, and what was told beside it."""
    result = CliRunner().invoke(main, ["report", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def test_a_report_is_written_where_it_is_wanted(work):
    assert call("small.yaml", "2024-06", "-o", "pages/june.html") == (0, "pages/june.html\n", "")
    page = (work / "pages" / "june.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "small, 2024-06" in page
    assert "1 tile in EPSG:32633" in page


def test_without_a_region_file_and_output_both_come_from_the_surroundings(work, monkeypatch):
    monkeypatch.setenv("GEO_ASSETS_REGION", "small.yaml")
    code, told, _ = call("2024-07")
    assert (code, told) == (0, "home/small-2024-07.html\n")
    assert "No tile has data in this month" in (work / told.strip()).read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "expected a month"),
        (("small.yaml", "2024-06", "more"), "expected a month"),
        (("small.yaml", "June"), "June"),
        (("small.yaml", "2024-08"), "not one of its months; expected 2024-06 to 2024-07"),
        (("nowhere.yaml", "2024-06"), "nowhere.yaml"),
    ],
)
def test_what_cannot_be_meant_is_told_without_a_traceback(work, arguments, words):
    code, told, beside = call(*arguments)
    assert (code, told) == (2, "")
    assert words in beside


def test_a_month_that_is_not_built_names_the_remedy(work, tmp_path):
    code, _, beside = call("small.yaml", "2024-06", "--store", tmp_path / "empty", "-o", tmp_path / "june.html")
    assert code == 2
    assert "is not made" in beside
    assert "geo-assets backfill" in beside
    assert not (tmp_path / "june.html").exists()


def test_a_report_that_cannot_be_written_names_the_option(work, tmp_path):
    shutil.copy(work / "small.yaml", tmp_path / "file")
    code, _, beside = call("small.yaml", "2024-06", "-o", tmp_path / "file" / "june.html")
    assert code == 2
    assert "--output" in beside
