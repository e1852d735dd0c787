"""What a region is said to cost, against what a run of it is seen to ask of a server."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geo_assets.domain.bands import HYBRID_BANDS
from geo_assets.domain.errors import RegionError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.archives.credentials import Credentials
from geo_assets.stations.judging import JUDGING_BYTES_PER_PX
from geo_assets.stations.plan import ASSUMED, planned_work, sum_of
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.lines import area_of, run_until, small_line
from geo_assets_tests.scenery.remote_catalogues import sentinel2_acquisition, serve_cdse, serve_planetary_computer
from geo_assets_tests.scenery.remote_line import remote_line, remote_region
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
WINDOW = (slice(0, 200), slice(0, 200))


@pytest.fixture(scope="module")
def seen():
    """Three scenes of 12 km from the corner of a tile."""
    return [
        sentinel2_acquisition(TILE, f"2024-06-{day}", window=WINDOW, bands=("red", "nir", "blue"))
        for day in (10, 15, 25)
    ]


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


def asked_of(server: FaultServer, since: int) -> tuple[int, int]:
    """Requests of files, and the bytes of their ranges."""
    ranges = [one.range for one in server.requests[since:] if one.path.endswith(".tif")]
    spans = [re.fullmatch(r"bytes=(\d+)-(\d+)", text) for text in ranges]
    return len(ranges), sum(int(span[2]) - int(span[1]) + 1 for span in spans if span)


@pytest.mark.parametrize("resolution", [20, 60])
def test_requests_and_bytes_are_about_what_a_run_asks_for(server, tmp_path, seen, resolution):
    url = serve_planetary_computer(server, tmp_path / "archive", seen)
    region = remote_region("planetary-computer", url, seen, resolution=resolution)
    line = remote_line(region, tmp_path / "store")
    work = sum_of(work for _, work in planned_work(line))
    sampled, _ = asked_of(server, 0)
    assert (work.scenes_found, work.scenes_read) == (3, 2)
    assert sampled <= 4, "one header a band"
    assert list((tmp_path / "store").rglob("manifest.json")) == []
    since = len(server.requests)
    run_until(line, "fetch")
    requests, size = asked_of(server, since)
    assert work.requests == pytest.approx(requests, rel=0.3)
    assert work.bytes == pytest.approx(size, rel=0.2)


def test_files_without_a_block_table_are_counted_by_their_stated_size(server, tmp_path, seen):
    url = serve_cdse(server, tmp_path / "archive", seen[:1])
    credentials = {"cdse_s3_access_key": server.presigned.access_key, "cdse_s3_secret_key": "SECRET"}
    region = remote_region("cdse", url, seen[:1], mask={"detectors": ["quality"]})
    line = remote_line(region, tmp_path / "store", credentials=Credentials(**credentials))
    work = sum_of(work for _, work in planned_work(line))
    assert work.scenes_read == 1
    whole = sum(path.stat().st_size for path in (tmp_path / "archive").rglob("*.jp2"))
    assert 0 < work.bytes < 5 * whole


@pytest.fixture
def archive(tmp_path) -> Path:
    small = SmallArchive(tmp_path / "archive")
    ground = tile_geobox(TILE, 60)[500:540, 600:640]
    for day in range(10, 16):
        red = np.arange(1, 1601, dtype=np.uint16).reshape(ground.shape)
        scl = np.full(ground.shape, 4, np.uint8)
        small.add(TILE, f"2024-06-{day}", {"red": (red, ground), "scl": (scl, ground)})
    return small.write()


def small_region(archive: Path, store: Path, **settings):
    ground = tile_geobox(TILE, 60)[500:540, 600:640]
    return small_line(archive, store, area=area_of(ground), mosaic={"feather_m": 60}, **settings)


def test_every_tile_and_month_is_told_in_order_and_selection_counts(archive, tmp_path):
    months = {"first": "2024-05", "last": "2024-06"}
    line = small_region(
        archive, tmp_path / "store", months=months, selection={"top_k": 4, "exclude": [f"S2A_{TILE}_20240610_0_L2A"]}
    )
    works = list(planned_work(line))
    assert [str(tile_month) for tile_month, _ in works] == [f"2024-05|{TILE}", f"2024-06|{TILE}"]
    empty, june = (work for _, work in works)
    assert (empty.scenes_found, empty.scenes_read, empty.requests, empty.bytes, empty.seconds) == (0, 0, 0, 0, 0)
    assert (june.scenes_found, june.scenes_read) == (5, 4)
    adaptive = small_region(archive, tmp_path / "store", selection={"coverage_target": 0.9, "max_k": 3})
    assert [work.scenes_read for _, work in planned_work(adaptive)] == [3]


def test_time_follows_the_rates_and_memory_the_threads(archive, tmp_path):
    line = small_region(archive, tmp_path / "store")
    ((_, usual),) = planned_work(line)
    ((_, slow),) = planned_work(line, rates=replace(ASSUMED, request_s=10 * ASSUMED.request_s))
    ((_, wide),) = planned_work(replace(line, threads=8))
    assert slow.seconds > 5 * usual.seconds
    assert wide.seconds < usual.seconds
    assert wide.peak_bytes > usual.peak_bytes > ASSUMED.base_bytes
    assert (slow.requests, slow.bytes) == (usual.requests, usual.bytes) == (wide.requests, wide.bytes)


def test_finer_masks_take_more_time_and_memory_and_no_more_than_two_at_20_m(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    patch = tile_geobox(TILE, 60)[500:540, 600:640]
    bands = {name: (np.full(patch.shape, 900, np.uint16), patch) for name in HYBRID_BANDS}
    archive.add(TILE, "2024-06-10", bands, level="L1C")
    works = {}
    for metres in (20, 60):
        settings = {"tiles": [TILE], "threads": 8, "mask": {"resolution": metres}}
        ((_, works[metres]),) = planned_work(small_line(archive.write(), tmp_path / "store", **settings))
    pixels = 110_000**2 / 20**2
    assert works[20].peak_bytes - ASSUMED.base_bytes == pytest.approx(2 * JUDGING_BYTES_PER_PX * pixels, rel=0.1)
    assert works[20].seconds > 4 * works[60].seconds


def test_a_sum_adds_all_but_memory(archive, tmp_path):
    line = small_region(archive, tmp_path / "store")
    ((_, work),) = planned_work(line)
    both = sum_of([work, replace(work, peak_bytes=work.peak_bytes + 1)])
    assert (both.scenes_read, both.requests, both.bytes) == (2 * work.scenes_read, 2 * work.requests, 2 * work.bytes)
    assert both.peak_bytes == work.peak_bytes + 1
    assert sum_of([]).peak_bytes == 0


def test_a_band_that_the_archive_lacks_is_refused(archive, tmp_path):
    with pytest.raises(RegionError, match="has no nir"):
        list(planned_work(small_region(archive, tmp_path / "store", bands=["red", "nir"])))
