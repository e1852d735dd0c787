"""What Dagster is told when stations run as assets."""

import dagster as dg
import pytest
from dagster._core.definitions.data_version import extract_data_version_from_entry

from geo_assets.domain.tile_month import Month
from geo_assets.io.places import Place
from geo_assets.orchestration import station_asset
from geo_assets.orchestration.partitions import range_tags
from geo_assets.orchestration.policies import ARCHIVE_RETRY
from geo_assets.stations.catalog import STATIONS
from geo_assets.stations.mosaic import SEAM_BLENDED_MOSAIC
from geo_assets_tests.scenery.trivial_line import trivial_stations

JUNE, JULY = Month(2024, 6), Month(2024, 7)
BETWEEN = ("overlap_statistics", "harmonisation")
"""Stations of regions that harmonise or cut along seamlines."""


def run(setting, names, **tags):
    job = setting.definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=setting.instance,
        raise_on_error=False,
        asset_selection=[dg.AssetKey(name) for name in names],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        **tags,
    )


def test_every_partition_of_a_run_is_materialized_with_its_metadata(setting):
    names = [station.name for station in trivial_stations() if station.scope == "tile_month"]
    assert run(setting, names, tags=range_tags(setting.tiles, [JUNE, JULY])).success
    entries = setting.materializations("monthly_composite")
    assert sorted(entries) == ["2024-06|33TVL", "2024-06|33TWL", "2024-07|33TVL", "2024-07|33TWL"]
    for key, entry in entries.items():
        metadata = entry.asset_materialization.metadata
        month, _, tile = key.partition("|")
        assert metadata["valid_share"] == dg.FloatMetadataValue(0.5)
        assert metadata["outcome"].value == "built"
        assert metadata["status"].value == "done"
        assert metadata["seconds"].value >= 0
        assert metadata["path"].path.endswith(f"trivial/monthly_composite/{tile}/{month}")
        assert metadata["stac"].path.endswith("/item.json")
        assert metadata["thumbnail"].md_str.startswith("![thumbnail](data:image/png;base64,")
        assert len(metadata["thumbnail"].md_str) < 1000


def test_the_newest_data_version_of_a_partition_is_the_products_digest_and_leads_to_its_run(setting):
    result = run(setting, ["scene_search", "scout"], tags=range_tags(setting.tiles, [JUNE]))
    assert result.success
    for name in ("scene_search", "scout"):
        for tile in ("33TVL", "33TWL"):
            entry = setting.materializations(name)[f"2024-06|{tile}"]
            assert entry.run_id == result.run_id
            digest = setting.line.products.need(Place(name, tile, JUNE)).digest
            assert extract_data_version_from_entry(entry).value == digest
            assert entry.asset_materialization.metadata["outcome"].value == "built"


def test_a_single_partition_runs_by_its_key(setting):
    assert run(setting, ["scene_search"], partition_key="2024-07|33TWL").success
    assert list(setting.materializations("scene_search")) == ["2024-07|33TWL"]


def test_a_finished_partition_is_a_hit(setting):
    for _ in range(2):
        assert run(setting, ["scene_search"], partition_key="2024-07|33TWL").success
    entry = setting.materializations("scene_search")["2024-07|33TWL"]
    assert entry.asset_materialization.metadata["outcome"].value == "hit"


def test_a_failed_partition_is_named_and_the_others_are_done(setting):
    setting.poison(Place("scene_search", "33TVL", JULY))
    result = run(setting, ["scene_search", "scout"], tags=range_tags(setting.tiles, [JUNE, JULY]))
    assert not result.success
    assert sorted(setting.materializations("scene_search")) == [
        "2024-06|33TVL",
        "2024-06|33TWL",
        "2024-07|33TWL",
    ]
    assert setting.materializations("scout") == {}
    failure = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert "1 of 4 partitions failed" in failure.user_failure_data.description
    assert "2024-07|33TVL: scene_search 33TVL 2024-07: scene poisoned." in failure.user_failure_data.description
    good = setting.materializations("scene_search")["2024-06|33TVL"]
    digest = setting.line.products.need(Place("scene_search", "33TVL", JUNE)).digest
    assert extract_data_version_from_entry(good).value == digest


def test_only_an_archive_that_fails_in_passing_is_asked_again(make_setting, monkeypatch):
    monkeypatch.setattr(station_asset, "ARCHIVE_RETRY", dg.RetryPolicy(max_retries=ARCHIVE_RETRY.max_retries))
    setting = make_setting()
    setting.poison(Place("scene_search", "33TVL", JULY), passing=True)
    passing = run(setting, ["scene_search"], partition_key="2024-07|33TVL")
    assert passing.success
    assert any(event.event_type_value == "STEP_RESTARTED" for event in passing.all_events)
    setting.poison(Place("scene_search", "33TWL", JULY))
    for_good = run(setting, ["scene_search"], partition_key="2024-07|33TWL")
    assert not for_good.success
    assert not any(event.event_type_value == "STEP_RESTARTED" for event in for_good.all_events)


def test_a_range_that_runs_backwards_is_refused_instead_of_doing_nothing(setting):
    result = run(setting, ["scene_search"], tags=range_tags(setting.tiles[::-1], [JUNE]))
    assert not result.success
    assert setting.materializations("scene_search") == {}
    failure = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert "holds no partition" in failure.user_failure_data.description


def test_the_checks_report_every_partition_of_a_range(setting):
    assert run(setting, ["scene_search", "scout"], tags=range_tags(setting.tiles, [JUNE])).success
    key = dg.AssetCheckKey(dg.AssetKey("scout"), "selection_covers")
    records = setting.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    evaluations = [
        record.event.dagster_event.event_specific_data for record in records if record.event.dagster_event is not None
    ]
    by_partition = {found.partition: found for found in evaluations if getattr(found, "partition", None)}
    assert sorted(by_partition) == ["2024-06|33TVL", "2024-06|33TWL"]
    assert all(found.passed for found in by_partition.values())


def test_the_lineage_lists_its_groups_in_order_and_describes_everything(setting):
    graph = setting.definitions.resolve_asset_graph()
    groups = {node.key.to_user_string(): node.group_name for node in graph.asset_nodes}
    assert list(dict.fromkeys(groups[station.name] for station in trivial_stations()))[:4] == [
        "1_acquire",
        "2_mask",
        "3_composite",
        "4_mosaic",
    ]
    for node in graph.asset_nodes:
        assert node.description
        assert node.kinds
        assert node.code_version == "1"
    pools = {node.key.to_user_string() for node in graph.asset_nodes if node.pools == {"archive"}}
    assert pools == {"scene_search", "scout", "fetch"}


@pytest.mark.parametrize(
    ("station", "harmonised"),
    [(station, station.name in BETWEEN) for station in STATIONS] + [(SEAM_BLENDED_MOSAIC, True)],
    ids=lambda value: getattr(value, "name", "harmonised" if value else "plain"),
)
def test_the_arrows_of_the_lineage_are_what_the_stations_read(make_setting, station, harmonised):
    setting = make_setting(harmonised=harmonised)
    line, month = setting.line, JULY
    place = {
        "tile_month": Place(station.name, setting.tiles[0], month),
        "month": Place(station.name, None, month),
        "all": Place(station.name),
    }[station.scope]
    read = {dg.AssetKey(source.station) for source in station.upstream(line, place)}
    assert setting.definitions.resolve_asset_graph().get(dg.AssetKey(station.name)).parent_keys == read


def test_a_mosaic_waits_for_its_neighbours_of_the_same_month(make_setting):
    setting = make_setting(tiles=("33TVL", "33TWL", "33TXL", "33UWP"))
    graph = setting.definitions.resolve_asset_graph()
    tiled = graph.get(dg.AssetKey("seam_blended_mosaic")).partitions_def
    mapping = graph.get(dg.AssetKey("seam_blended_mosaic")).partition_mappings[dg.AssetKey("monthly_composite")]

    def composites_for(key):
        wanted = tiled.empty_subset().with_partition_keys([key])
        result = mapping.get_upstream_mapped_partitions_result_for_partitions(wanted, tiled, tiled)
        return set(result.partitions_subset.get_partition_keys())

    assert composites_for("2024-06|33TWL") == {"2024-06|33TVL", "2024-06|33TWL", "2024-06|33TXL"}
    assert composites_for("2024-07|33TVL") == {"2024-07|33TVL", "2024-07|33TWL"}
    assert composites_for("2024-07|33UWP") == {"2024-07|33UWP"}


@pytest.mark.parametrize("name", ["region_mosaic", "dataset_stats"])
def test_the_assets_of_the_whole_region_follow(setting, name):
    assert not setting.backfill().failed
    partitions = {"region_mosaic": ["2024-06", "2024-07"], "dataset_stats": [None]}
    assert list(setting.materializations(name)) == partitions[name]
