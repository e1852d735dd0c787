"""Partitions: their keys, their order, and what they cost."""

import time
from datetime import UTC, datetime

import dagster as dg
import pytest

from geo_assets.domain.region import region_from
from geo_assets.domain.tile_grid import tiles_of
from geo_assets.orchestration.partitions import region_partitions
from geo_assets.orchestration.resources import (
    LineResource,
    leaves_last_month_open,
    line_resource,
    surroundings,
)
from geo_assets.stations.opening import Surroundings
from geo_assets_tests.scenery.trivial_line import region_file, trivial_definitions

NOW = datetime(2024, 9, 10, tzinfo=UTC)


def region(**changes):
    return region_from(
        {
            "name": "here",
            "tiles": ["33TVL", "33TWL"],
            "months": {"first": "2024-07", "last": "2024-09"},
            "archive": "demo",
            "bands": ["red"],
            "resolution": 60,
            **changes,
        },
        now=NOW,
    )


def test_the_keys_of_a_region_are_those_of_its_tile_months():
    here = region()
    partitions = region_partitions(here, now=NOW)
    assert partitions.tile_months.get_partition_keys() == [one.key for one in here.tile_months]
    assert partitions.months.get_partition_keys() == ["2024-07", "2024-08", "2024-09"]


def test_a_growing_region_has_every_month_that_is_over():
    here = region(months={"first": "2024-07"})
    assert [str(month) for month in here.month_list] == ["2024-07", "2024-08"]
    keys = region_partitions(here, growing=True, now=NOW).months.get_partition_keys(current_time=NOW)
    assert keys == ["2024-07", "2024-08"]
    later = datetime(2024, 12, 1, tzinfo=UTC)
    grown = region_partitions(here, growing=True, now=NOW).months.get_partition_keys(current_time=later)
    assert grown[-1] == "2024-11"


def test_a_modis_region_has_keys_of_its_tiles_and_no_mosaic_waits_for_a_neighbour():
    here = region(tiles=["h19v04", "h18v04"], archive="mcd43a4", resolution=500)
    partitions = region_partitions(here, now=NOW)
    keys = partitions.tile_months.get_partition_keys()
    assert {str(key) for key in keys} == {f"2024-0{month}|{tile}" for month in (7, 8, 9) for tile in here.tile_ids}
    waits_for = partitions.neighbourhood.get_upstream_mapped_partitions_result_for_partitions(
        partitions.tile_months.subset_with_partition_keys(["2024-08|h18v04"]),
        partitions.tile_months,
        partitions.tile_months,
        current_time=NOW,
    )
    assert set(waits_for.partitions_subset.get_partition_keys()) == {"2024-08|h18v04"}


def test_a_region_file_says_whether_its_months_go_on(tmp_path):
    assert leaves_last_month_open(region_file(tmp_path, last=None))
    assert not leaves_last_month_open(region_file(tmp_path))


def test_a_local_store_needs_no_session_and_a_bucket_gets_one_without_secrets(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert line_resource(surroundings()).s3 is None
    monkeypatch.setenv("GEO_ASSETS_STORE", "s3://bucket/prefix")
    resource = line_resource(surroundings())
    assert isinstance(resource, LineResource)
    assert resource.s3 is not None
    assert resource.s3.endpoint_url == "http://127.0.0.1:9000"
    assert "hush" not in repr(resource)


@pytest.mark.slow
def test_a_thousand_tiles_and_ten_years_load_within_ten_seconds(tmp_path):
    tiles = tiles_of((-10.0, 36.0, 50.0, 60.0))[:1000]
    assert len(tiles) == 1000
    path = region_file(tmp_path, tiles=tiles)
    path.write_text(path.read_text().replace("first: 2024-06, last: 2024-07", "first: 2014-01, last: 2023-12"))
    began = time.perf_counter()
    definitions = trivial_definitions(Surroundings(path, str(tmp_path / "store"), tmp_path, 1))
    repository = definitions.get_repository_def()
    seconds = time.perf_counter() - began
    partitions = repository.asset_graph.get(dg.AssetKey("fetch")).partitions_def
    assert partitions.get_num_partitions() == 120_000
    assert seconds < 10
