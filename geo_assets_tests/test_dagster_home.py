"""`dagster.yaml` and `workspace.yaml`: what they switch on, and what they offer to switch on."""

import re
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.instance.config import dagster_instance_config

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = (ROOT / "dagster.yaml").read_text()


def with_block_switched_on(name):
    """The settings with the one-sign block `# name:` uncommented, as its heading tells a person to do."""
    block = re.search(rf"^# {name}:\n(# .*\n)*", SETTINGS, re.MULTILINE)
    assert block is not None
    return SETTINGS.replace(block[0], re.sub(r"^# ", "", block[0], flags=re.MULTILINE))


@pytest.fixture
def dagster_home(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))

    def write(settings):
        (tmp_path / "dagster.yaml").write_text(settings)
        return str(tmp_path)

    return write


def test_the_instance_loads_without_telemetry_and_retries_crashes_but_not_failures(dagster_home):
    dagster_home(SETTINGS)
    with DagsterInstance.get() as instance:
        assert instance.telemetry_enabled is False
        assert instance.nux_enabled is False
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 2
        assert instance.run_retries_retry_on_asset_or_op_failure is False
        assert instance.run_monitoring_enabled
        concurrency = instance.get_concurrency_config()
        assert concurrency.run_queue_config.max_concurrent_runs == 2
        assert concurrency.pool_config.default_pool_limit == 2


def test_compute_logs_go_to_a_bucket_once_switched_on(dagster_home, monkeypatch):
    from dagster_aws.s3 import S3ComputeLogManager

    monkeypatch.setenv("GEO_ASSETS_LOG_BUCKET", "logs-of-the-line")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    dagster_home(with_block_switched_on("compute_logs"))
    with DagsterInstance.get() as instance:
        manager = instance.compute_log_manager
        assert isinstance(manager, S3ComputeLogManager)
        assert manager._s3_bucket == "logs-of-the-line"


def test_the_postgres_storage_is_valid_once_switched_on(dagster_home, monkeypatch):
    monkeypatch.setenv("GEO_ASSETS_POSTGRES_URL", "postgresql://me:secret@localhost:5432/dagster")
    settings, _ = dagster_instance_config(dagster_home(with_block_switched_on("storage")))
    assert settings["storage"] == {"postgres": {"postgres_url": {"env": "GEO_ASSETS_POSTGRES_URL"}}}


def test_the_workspace_names_one_code_location():
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace == {
        "load_from": [{"python_module": {"module_name": "geo_assets.definitions", "location_name": "geo_assets"}}]
    }
