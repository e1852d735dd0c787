"""The same region makes the same bytes, however the work is cut, spread and ordered."""

import json
import shutil
from pathlib import Path

import pytest

from geo_assets.stations.catalog import STATION_BY_NAME
from geo_assets.stations.line import run_station
from geo_assets_tests.scenery.lines import run_all, small_line, store_bytes
from geo_assets_tests.scenery.three_tiles import three_tiles_settings


def reordered(archive: Path, folder: Path) -> Path:
    """A copy of an archive that lists its items, and each item's assets, the other way round."""
    shutil.copytree(archive, folder)
    document = json.loads((folder / "items.json").read_text())
    for item in document["features"]:
        item["assets"] = dict(reversed(item["assets"].items()))
    (folder / "items.json").write_text(json.dumps({**document, "features": document["features"][::-1]}))
    return folder


def assert_equal_stores(one: Path, other: Path) -> None:
    first, second = store_bytes(one), store_bytes(other)
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_threads_units_and_order_of_items_change_no_byte(three_tiles_folder, tmp_path):
    other = reordered(three_tiles_folder / "archive", tmp_path / "reordered")
    run_all(small_line(other, tmp_path / "store", threads=3, unit_blocks=3, **three_tiles_settings()))
    assert_equal_stores(three_tiles_folder / "store", tmp_path / "store")


@pytest.mark.parametrize("method", ["bap", "geomedian", "median"])
def test_threads_and_units_change_no_byte_of_a_composite_by_any_kind_of_method(three_tiles_folder, tmp_path, method):
    stores = []
    for threads, unit_blocks in ((1, 1), (3, 3)):
        folder = shutil.copytree(three_tiles_folder, tmp_path / f"{unit_blocks}")
        line = small_line(
            folder / "archive",
            folder / "store",
            threads=threads,
            unit_blocks=unit_blocks,
            composite={"method": method},
            **three_tiles_settings(),
        )
        station = STATION_BY_NAME["monthly_composite"]
        assert not run_station(line, station, station.place(line.region.tile_months[0])).reused
        stores.append(folder / "store")
    assert_equal_stores(*stores)


@pytest.mark.slow
def test_the_whole_demo_line_is_the_same_whatever_runs_it(demo_line, demo_archive, demo_settings, tmp_path):
    other = reordered(demo_archive, tmp_path / "reordered")
    run_all(small_line(other, tmp_path / "store", threads=1, unit_blocks=3, **demo_settings))
    assert_equal_stores(demo_archive.parent / "store", tmp_path / "store")
