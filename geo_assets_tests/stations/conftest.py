"""The smallest demo archive that has seams, its finished lines, and an S3 server."""

from pathlib import Path

import pytest

from geo_assets.api import run_line
from geo_assets.demo.archive import build_demo_archive
from geo_assets.demo.plan import DemoPlan
from geo_assets.stations.line import Line
from geo_assets_tests.io.conftest import bucket, s3_client, s3_endpoint, s3_session
from geo_assets_tests.scenery.lines import run_all, small_line
from geo_assets_tests.scenery.three_tiles import three_tiles, three_tiles_settings
from geo_assets_tests.scenery.valley_line import Runs, open_valley, watched

__all__ = ["bucket", "s3_client", "s3_endpoint", "s3_session"]


@pytest.fixture(scope="session")
def demo_plan() -> DemoPlan:
    """One month, so that its fair day has both the reprocessed scene and the one in two datastrips."""
    return DemoPlan(window_m=12_000, l2a_resolution=60, months=("2024-06",))


@pytest.fixture(scope="session")
def demo_archive(demo_plan, tmp_path_factory) -> Path:
    return build_demo_archive(tmp_path_factory.mktemp("demo") / "archive", demo_plan)


@pytest.fixture(scope="session")
def demo_settings(demo_plan) -> dict:
    """What every line over the demo archive asks for."""
    return {"bands": ["blue", "green", "red", "nir"], "area": demo_plan.area, "selection": {"top_k": 3}}


@pytest.fixture(scope="session")
def demo_line(demo_archive, demo_settings) -> Line:
    """All stations done, by every detector that has input."""
    line = small_line(demo_archive, demo_archive.parent / "store", **demo_settings)
    run_all(line)
    return line


@pytest.fixture(scope="session")
def finished(demo_archive, tmp_path_factory) -> Runs:
    """A run of the valley's line that nothing interrupted; a test that changes its store works on a copy."""
    runs = Runs(demo_archive, tmp_path_factory.mktemp("finished"))
    for _ in run_line(watched(open_valley(demo_archive, runs.store), runs.log)):
        pass
    return runs


@pytest.fixture(scope="session")
def three_tiles_folder(tmp_path_factory) -> Path:
    """The archive of three tiles, and the store of its finished line, made block by block on one thread."""
    folder = tmp_path_factory.mktemp("three")
    three_tiles(folder / "archive")
    run_all(small_line(folder / "archive", folder / "store", threads=1, unit_blocks=1, **three_tiles_settings()))
    return folder
