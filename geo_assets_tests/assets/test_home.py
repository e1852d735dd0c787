"""Dagster's home, and runs that lost their process."""

import dagster as dg
import pytest
import yaml

from geo_assets.domain.errors import ResourceError
from geo_assets.orchestration.home import fail_orphaned_runs, open_instance, prepare_home, process_tags


def a_run(instance, tags):
    @dg.op
    def nothing():
        pass

    @dg.job
    def nothing_job():
        nothing()

    run = instance.create_run_for_job(nothing_job, tags=tags)
    instance.report_run_canceling(run)
    return run


def status_of(instance, run):
    return instance.get_run_by_id(run.run_id).status


def test_the_projects_settings_are_copied_and_follow_changes(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    for content in ("telemetry: {enabled: false}\n", "nux: {enabled: false}\n"):
        (project / "dagster.yaml").write_text(content)
        folder = prepare_home(tmp_path / "home", project=project)
        assert folder == tmp_path / "home" / "dagster"
        assert (folder / "dagster.yaml").read_text() == content


def test_outside_of_a_checkout_the_packaged_settings_make_a_working_instance(tmp_path):
    folder = prepare_home(tmp_path / "home", project=tmp_path)
    settings = yaml.safe_load((folder / "dagster.yaml").read_text())
    assert settings["telemetry"] == settings["nux"] == {"enabled": False}
    with open_instance(folder) as instance:
        assert instance.run_retries_max_retries == 2
        assert instance.root_directory == str(folder)


def test_settings_that_dagster_refuses_are_named_with_the_remedy(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetri: {}\n")
    with pytest.raises(ResourceError, match="telemetri"):
        open_instance(prepare_home(tmp_path / "home", project=tmp_path))


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(ResourceError, match="GEO_ASSETS_HOME"):
        prepare_home(tmp_path / "home", project=tmp_path)


def test_orphans_of_a_power_cut_are_failed(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        run = a_run(instance, {})
        assert fail_orphaned_runs(instance) == (run.run_id,)
        assert status_of(instance, run) == dg.DagsterRunStatus.FAILURE
        assert fail_orphaned_runs(instance) == ()


def test_a_backfill_fails_only_runs_whose_process_is_known_to_be_gone():
    host, _, _ = process_tags()["geo_assets/process"].rpartition(":")
    with dg.DagsterInstance.ephemeral() as instance:
        gone = a_run(instance, {"geo_assets/process": f"{host}:{2**22 + 1}"})  # above Linux's largest process id
        alive = a_run(instance, process_tags())
        elsewhere = a_run(instance, {"geo_assets/process": "another-host:1"})
        unknown = a_run(instance, {})
        assert fail_orphaned_runs(instance, only_dead=True) == (gone.run_id,)
        assert status_of(instance, gone) == dg.DagsterRunStatus.FAILURE
        for run in (alive, elsewhere, unknown):
            assert status_of(instance, run) == dg.DagsterRunStatus.CANCELING


def test_an_orphan_gives_back_its_share_of_a_pool(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = a_run(instance, {})
        pools = instance.event_log_storage
        pools.set_concurrency_slots("archive", 1)
        assert pools.claim_concurrency_slot("archive", run.run_id, "fetch").is_claimed
        fail_orphaned_runs(instance)
        assert pools.claim_concurrency_slot("archive", "the next run", "fetch").is_claimed
