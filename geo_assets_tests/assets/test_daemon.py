"""Dagster for real: webserver, daemon and run processes, asked through GraphQL."""

from pathlib import Path

import pytest

from geo_assets.domain.tile_month import Month
from geo_assets.io.places import Place
from geo_assets.io.region_file import read_region
from geo_assets_tests.assets.dagster_server import DagsterServerError, dagster_server
from geo_assets_tests.scenery.trivial_line import poison, region_file, trivial_stations

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MODULE = "geo_assets_tests.scenery.trivial_line"


def test_a_poisoned_fetch_leaves_its_dependants_and_running_again_from_failure_finishes_them(tmp_path):
    path = region_file(tmp_path, tiles=("33TVL", "33TWL", "33TXL"), last="2024-06")
    region, store = read_region(path), tmp_path / "store"
    environment = {"GEO_ASSETS_REGION": str(path), "GEO_ASSETS_STORE": str(store), "GEO_ASSETS_HOME": str(tmp_path)}
    bad = Place("fetch", region.tile_ids[0], Month(2024, 6))
    poisoned = poison(Path(store), bad)
    every = {one.key for one in region.tile_months}
    bad_key = f"2024-06|{bad.tile}"
    with dagster_server(tmp_path / "dagster", module=MODULE, environment=environment) as server:
        first = server.launch_backfill([station.name for station in trivial_stations()], sorted(every))
        assert server.finished(first) == "COMPLETED_FAILED"
        assert server.partitions_of("scout") == every
        assert server.partitions_of("fetch") == every - {bad_key}
        assert server.partitions_of("monthly_composite") == every - {bad_key}
        untouched = every - {f"2024-06|{tile}" for tile in region.tile_ids[:2]}
        assert server.partitions_of("seam_blended_mosaic") == untouched
        assert server.partitions_of("region_mosaic") == set()
        poisoned.unlink()
        second = server.run_again_from_failure(first)
        assert server.finished(second) == "COMPLETED_SUCCESS"
        assert server.partitions_of("seam_blended_mosaic") == every
        assert server.partitions_of("region_mosaic") == {"2024-06"}
        steps = {
            step for run in server.runs_of(second) for step in (key.to_user_string() for key in run.asset_selection)
        }
        assert "fetch" in steps
        assert "scene_search" not in steps


def test_a_broken_region_file_says_so_when_the_code_is_loaded(tmp_path):
    path = region_file(tmp_path)
    path.write_text(path.read_text().replace("bands: [red]", "bands: [purple]"))
    with (
        pytest.raises(DagsterServerError, match="purple"),
        dagster_server(tmp_path / "dagster", module=MODULE, environment={"GEO_ASSETS_REGION": str(path)}),
    ):
        pass
