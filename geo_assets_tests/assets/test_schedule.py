"""The monthly schedule, and what follows the month's tiles."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from geo_assets.domain.tile_month import Month
from geo_assets.orchestration.jobs import HARMONISATION_JOB, MOSAICS_JOB, REGION_JOB, TILES_JOB
from geo_assets.orchestration.partitions import months_of_range, range_tags
from geo_assets_tests.scenery.trivial_line import trivial_definitions


def tick(setting, moment, **options):
    repository = trivial_definitions(setting.surroundings, **options).get_repository_def()
    (schedule,) = repository.schedule_defs
    context = dg.build_schedule_context(
        instance=setting.instance, scheduled_execution_time=moment, repository_def=repository
    )
    return schedule, schedule.evaluate_tick(context)


def test_a_tick_asks_for_all_tiles_of_the_last_full_month_in_one_run(setting):
    schedule, result = tick(setting, datetime(2024, 8, 5, 3, tzinfo=UTC))
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 5 * *", "UTC")
    (request,) = result.run_requests
    order = setting.line.region.tile_ids
    assert request.partition_key is None
    assert request.tags["dagster/asset_partition_range_start"] == f"2024-07|{order[0]}"
    assert request.tags["dagster/asset_partition_range_end"] == f"2024-07|{order[-1]}"
    assert schedule.job_name == TILES_JOB


def test_a_month_after_the_regions_last_is_skipped_with_the_remedy(setting):
    _, result = tick(setting, datetime(2024, 9, 5, 3, tzinfo=UTC))
    assert not result.run_requests
    assert "Extend months.last" in result.skip_message


def test_a_region_without_a_last_month_goes_on(setting):
    _, result = tick(setting, datetime(2024, 11, 5, 3, tzinfo=UTC), growing=True)
    assert result.run_requests[0].tags["dagster/asset_partition_range_start"].startswith("2024-10|")


def test_the_ranged_run_that_the_schedule_asks_for_makes_the_month(setting):
    _, result = tick(setting, datetime(2024, 8, 5, 3, tzinfo=UTC))
    job = setting.definitions.resolve_job_def(TILES_JOB)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    run = job.execute_in_process(instance=setting.instance, tags=result.run_requests[0].tags, run_config=quiet)
    assert run.success
    assert sorted(setting.materializations("seam_blended_mosaic")) == ["2024-07|33TVL", "2024-07|33TWL"]


@pytest.mark.parametrize(("ranged", "months"), [(False, []), (True, ["2024-07"])])
def test_the_regions_products_follow_a_ranged_run_and_no_other(setting, ranged, months):
    tags = range_tags(setting.tiles, [Month(2024, 7)]) if ranged else {}
    job = setting.definitions.resolve_job_def(TILES_JOB)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    single = {} if tags else {"partition_key": "2024-07|33TVL"}
    selection = [dg.AssetKey("scene_search")]
    run = job.execute_in_process(
        instance=setting.instance, tags=tags, run_config=quiet, asset_selection=selection, **single
    )
    (sensor,) = setting.definitions.get_repository_def().sensor_defs
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_event=run.get_run_success_event(),
        dagster_instance=setting.instance,
        dagster_run=run.dagster_run,
    )
    asked = [item for item in sensor(context) if isinstance(item, dg.RunRequest)]
    assert [request.partition_key for request in asked] == months
    assert sensor.job_name == REGION_JOB


def test_a_harmonised_month_is_made_stage_by_stage(make_setting):
    setting = make_setting(harmonised=True)
    repository = setting.definitions.get_repository_def()
    followers = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert set(followers) == {"harmonisation_after_tiles", "mosaics_after_harmonisation", "region_after_mosaics"}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    request = dg.RunRequest(tags=range_tags(setting.tiles, [Month(2024, 7)]))
    stages = {
        TILES_JOB: "harmonisation_after_tiles",
        HARMONISATION_JOB: "mosaics_after_harmonisation",
        MOSAICS_JOB: "region_after_mosaics",
    }
    asked = [TILES_JOB]
    for name, follower in stages.items():
        run = setting.definitions.resolve_job_def(name).execute_in_process(
            instance=setting.instance, partition_key=request.partition_key, tags=request.tags, run_config=quiet
        )
        assert run.success
        context = dg.build_run_status_sensor_context(
            sensor_name=follower,
            dagster_event=run.get_run_success_event(),
            dagster_instance=setting.instance,
            dagster_run=run.dagster_run,
        )
        found = followers[follower](context)
        (request,) = [found] if isinstance(found, dg.RunRequest) else list(found)
        asked.append(followers[follower].job_name)
    assert asked == [*stages, REGION_JOB]
    assert request.partition_key == "2024-07"
    assert sorted(setting.materializations("seam_blended_mosaic")) == ["2024-07|33TVL", "2024-07|33TWL"]
    assert list(setting.materializations("harmonisation")) == ["2024-07"]


def test_a_runs_range_is_read_back_from_its_tags():
    tags = range_tags(["33TVL", "33TWL"], [Month(2024, 6), Month(2024, 7)])
    assert months_of_range(tags) == (Month(2024, 6), Month(2024, 7))
    assert months_of_range(range_tags([], [Month(2024, 6)])) == (Month(2024, 6), Month(2024, 6))
    assert months_of_range({}) is None
