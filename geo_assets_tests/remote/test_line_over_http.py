"""The stations over an archive that is reached by HTTP: as a user has it, from a region file to statistics."""

import io
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal
from pyproj import Transformer

from geo_assets.api import run_line
from geo_assets.domain.errors import ArchiveTransientError, GeoAssetsError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.archives.credentials import Credentials
from geo_assets.orchestration.product_metadata import product_metadata
from geo_assets.stations.line import Line
from geo_assets_tests.scenery.clock import Clock
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.faults import Corrupt, Drop, Effect, Stall, Status
from geo_assets_tests.scenery.lines import VOLATILE, pixels_of, product_of, run_until, slices_within
from geo_assets_tests.scenery.remote_catalogues import (
    DETECTED,
    Acquisition,
    counts_at,
    hls_acquisition,
    modis_acquisition,
    sentinel2_acquisition,
    serve_cdse,
    serve_earth_search,
    serve_hls,
    serve_mcd43a4,
    serve_planetary_computer,
)
from geo_assets_tests.scenery.remote_line import area_over, remote_line, remote_region, with_clock, with_patience

TILE = "33TVL"
WINDOW = (slice(800, 860), slice(800, 860))
CONTAINER = "sentinel2l2a01/sentinel2-l2"
TOKEN_PARTS = ("sig=", "skoid", "se=20", "SECRET")


def acquisition(day: str, tile: str = TILE, **others) -> Acquisition:
    return sentinel2_acquisition(tile, day, **{"window": WINDOW, "bands": ("red", "nir")} | others)


@pytest.fixture(scope="module")
def june() -> list[Acquisition]:
    """Three scenes: the first is the clearest, then the second."""
    return [
        acquisition("2024-06-10"),
        acquisition("2024-06-15", cloudy=(slice(0, 12), slice(0, 60))),
        acquisition("2024-06-25", cloudy=(slice(0, 30), slice(0, 60))),
    ]


@pytest.fixture
def url(server: FaultServer, tmp_path: Path, june) -> str:
    return serve_planetary_computer(server, tmp_path / "archive", june)


def line_over(url: str, seen, store: Path, **settings) -> Line:
    return remote_line(remote_region("planetary-computer", url, seen, **settings), store)


def products(store: Path) -> dict[str, bytes]:
    """Every raster and table of a store, by its path."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.name not in (*VOLATILE, "manifest.json")
    }


def every_byte_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def composite_of(line: Line):
    return product_of(line, "monthly_composite")


def test_a_region_of_the_planetary_computer_runs_from_search_to_statistics(server, url, june, tmp_path):
    line = line_over(url, june, tmp_path / "store")
    outcomes = list(run_line(line))
    assert {outcome.product.manifest.status for outcome in outcomes} == {"done"}
    product = composite_of(line)
    red = pixels_of(product, "composite.tif")[0]
    grid = line_grid(line)
    where = june[0].bands["red"][1]
    coarse = counts_at(june[0], "red", where).reshape(180, 2, 180, 2).mean(axis=(1, 3))
    found = red[slices_within(june[0].classes[1], grid)]
    # Averaging 2 x 2 pixels of 10 m; the area itself is a little smaller than the ground.
    inside = found != -32768
    assert inside.mean() > 0.8
    assert np.abs(found[inside] - coarse[inside]).max() <= 1
    assert server.sas.issued == {CONTAINER: 1}
    left = every_byte_of(tmp_path / "store")
    assert not any(part.encode() in left for part in TOKEN_PARTS)
    assert len(server.requests_for("/api/stac/v1/search")) <= 2
    assert [outcome.reused for outcome in run_line(line_over(url, june, tmp_path / "store"))] == [True] * len(outcomes)


def line_grid(line: Line):
    return tile_geobox(TILE, line.region.resolution)


def test_ten_minutes_of_backfill_with_tokens_of_a_minute_sign_once_a_lifetime_and_leak_nothing(
    tmp_path, june, caplog, capsys
):
    """Every request turns the clock; a token is renewed at half its life, and none is refused or left anywhere."""
    clock = Clock()
    caplog.set_level(logging.DEBUG)
    with FaultServer(clock) as server:
        server.sas.lifetime_s = 60
        server.tick_s = 4.0
        neighbours = [acquisition(f"2024-06-{day}", tile) for tile in (TILE, "33TVM") for day in (10, 15, 25)]
        july = [acquisition(f"2024-07-{day}", tile) for tile in (TILE, "33TVM") for day in ("08", 18, 28)]
        url = serve_planetary_computer(server, tmp_path / "archive", neighbours + july)
        region = remote_region("planetary-computer", url, neighbours, months={"first": "2024-06", "last": "2024-07"},
                               selection={"top_k": 3})  # fmt: skip
        line = with_clock(remote_line(region, tmp_path / "store"), clock)
        began = clock()
        outcomes = run_until(line, "monthly_composite")  # what comes after asks the archive nothing
        elapsed = clock() - began
        assert {outcome.product.manifest.status for outcome in outcomes.values()} == {"done"}
        assert elapsed >= 600, "not ten minutes of the server's time"
        assert 403 not in server.statuses()
        files = server.requests_for(f"/{CONTAINER}/*")
        assert all(request.is_signed for request in files)
        assert len({request.query for request in files}) == server.sas.issued[CONTAINER]
        assert server.sas.issued[CONTAINER] <= elapsed / 30 + 1
    left = every_byte_of(tmp_path / "store")
    shown = caplog.text + "".join(capsys.readouterr())
    for part in TOKEN_PARTS:
        assert part.encode() not in left
        assert part not in shown
    assert files


@pytest.mark.parametrize("effect", [Drop(), Status(503)], ids=["dropped", "503"])
def test_five_per_cent_of_failing_ranges_leave_the_products_as_they_are(server, url, june, tmp_path, effect):
    run_until(line_over(url, june, tmp_path / "clean"), "dataset_stats")
    server.fail(f"/{CONTAINER}/*", effect, share=0.05, seed=7)
    server.fail(f"/{CONTAINER}/*", effect, times=2)
    failing = line_over(url, june, tmp_path / "failing")
    run_until(failing, "dataset_stats")
    assert products(tmp_path / "clean") == products(tmp_path / "failing")
    runs = [json.loads(path.read_text()) for path in (tmp_path / "failing").rglob("run.json")]
    assert sum(run["traffic"]["retries"] for run in runs) >= 2


@pytest.mark.parametrize(
    ("effect", "said"), [(Status(404), "HTTP 404"), (Corrupt(3000), "read twice")], ids=["404", "corrupt"]
)
def test_a_lost_asset_gives_the_next_ranked_scene_its_place_and_a_ledger_row(server, url, june, tmp_path, effect, said):
    settings: dict[str, Any] = {"selection": {"top_k": 1}}
    server.fail("*_20240610T100031_B04_10m.tif", effect)
    line = line_over(url, june, tmp_path / "store", **settings)
    run_until(line, "monthly_composite")
    with_gap = products(tmp_path / "store")
    ledgers = [row for station in ("scout", "fetch") for row in product_of(line, station).manifest.ledger]
    (row,) = [row for row in ledgers if row["outcome"] == "lost"]
    assert (row["item"], row["band"]) == (_id(june[0]), "red")
    for part in ("bytes ", said):
        assert part in str(row["error"])
    server.heal()
    settings["selection"]["exclude"] = [_id(june[0])]
    without = line_over(url, june, tmp_path / "without", **settings)
    run_until(without, "monthly_composite")
    expected = products(tmp_path / "without")
    composites = [name for name in with_gap if "monthly_composite" in name and name.endswith("composite.tif")]
    assert composites
    for name in composites:
        assert_array_equal(_pixels(with_gap[name]), _pixels(expected[name]))


def _id(seen: Acquisition) -> str:
    return f"{seen.platform}_MSIL2A_{seen.stamp}_R{seen.orbit:03d}_T{seen.tile}_{seen.generated:%Y%m%dT%H%M%S}"


def _pixels(content: bytes):
    with rasterio.open(io.BytesIO(content)) as raster:
        return raster.read()


@pytest.mark.parametrize("effect", [Stall(), Stall(after_bytes=100)], ids=["silent", "stops in the middle"])
def test_a_stalled_server_fails_the_partition_in_time_with_item_band_range_and_attempts(
    server, url, june, tmp_path, effect
):
    line = line_over(url, june, tmp_path / "store")
    run_until(line, "scout")
    with_patience(line, patience_s=2.0, read_s=0.5)
    server.fail("*_20240610T100031_B04_10m.tif", effect)
    began = time.monotonic()
    with pytest.raises(ArchiveTransientError) as failure:
        run_until(line, "fetch")
    assert time.monotonic() - began < 60, "it hung"
    for part in (_id(june[0]), "red", "bytes ", "attempt"):
        assert part in str(failure.value)
    server.heal()
    resumed = line_over(url, june, tmp_path / "store")
    run_until(resumed, "monthly_composite")
    assert composite_of(resumed).manifest.status == "done"


def always(server: FaultServer, effect: Effect) -> None:
    server.fail("*_B04_10m.tif", effect)


def test_what_never_passes_fails_the_partition_and_leaves_no_product(server, url, june, tmp_path):
    line = with_patience(line_over(url, june, tmp_path / "store"), patience_s=2.0, read_s=1.0)
    always(server, Status(503))
    with pytest.raises(GeoAssetsError, match="503"):
        run_until(line, "fetch")
    assert not (tmp_path / "store/remote/fetch" / TILE / "2024-06/manifest.json").exists()


def test_a_month_without_scenes_and_one_under_cloud_are_products_that_say_so(server, tmp_path, june):
    cloudy = acquisition("2024-06-10")
    cloudy.classes[0][:] = DETECTED
    url = serve_planetary_computer(server, tmp_path / "archive", [cloudy])
    line = line_over(url, [cloudy], tmp_path / "store", months={"first": "2024-06", "last": "2024-07"})
    run_until(line, "monthly_composite")
    for month in ("2024-06", "2024-07"):
        manifest = product_of(line, "monthly_composite", TILE, month).manifest
        assert manifest.status == "empty"
        assert manifest.reason


def test_many_tiles_and_months_are_searched_for_together(server, tmp_path):
    tiles = (TILE, "33TVM", "33TWL")
    seen = [acquisition(f"2024-{month:02d}-10", tile) for tile in tiles for month in range(1, 7)]
    url = serve_planetary_computer(server, tmp_path / "archive", seen)
    line = line_over(url, seen[::6], tmp_path / "store", months={"first": "2024-01", "last": "2024-06"})
    run_until(line, "scene_search")
    assert len(server.requests_for("/api/stac/v1/search")) <= 6


SERVED = {
    "earth-search": (serve_earth_search, lambda: acquisition("2024-06-10"), 10),
    "cdse": (serve_cdse, lambda: acquisition("2024-06-10"), 10),
    "hls": (serve_hls, lambda: hls_acquisition("19LDD", "2024-06-10", window=(slice(1600, 1680),) * 2), 30),
    "mcd43a4": (serve_mcd43a4, lambda: modis_acquisition("h14v10", "2024-06-10", window=(slice(900, 960),) * 2), 500),
}


@pytest.mark.parametrize("archive", SERVED)
def test_every_archive_comes_through_the_stations_with_its_pixels(server, tmp_path, cdse_keys, archive):
    serve, see, resolution = SERVED[archive]
    seen = see()
    url = serve(server, tmp_path / "archive", [seen])
    bands = ["red", "nir08"] if archive == "hls" else ["red", "nir"]
    margin_m = 3 * 464 if archive == "mcd43a4" else 120
    region = remote_region(
        archive, url, [seen], bands=bands, resolution=resolution, area=area_over([seen], margin_m=margin_m),
        mosaic={} if archive == "mcd43a4" else {"feather_m": 3 * resolution},
    )  # fmt: skip
    line = remote_line(region, tmp_path / "store", credentials=Credentials.from_environment(os.environ))
    outcomes = run_until(line, "monthly_composite")
    assert {outcome.product.manifest.status for outcome in outcomes.values()} == {"done"}
    product = product_of(line, "monthly_composite")
    red = pixels_of(product, "composite.tif")[0]
    counts, where = seen.bands["red"]
    with rasterio.open(product.path("composite.tif")) as raster:
        col, row = ~raster.transform * _upper_left(where, raster.crs)
    assert (col, row) == pytest.approx((round(col), round(row)), abs=1e-3), "pixels coincide"
    found = red[round(row) : round(row) + counts.shape[0], round(col) : round(col) + counts.shape[1]]
    inside = found != -32768
    assert inside.mean() > 0.7
    assert np.abs(found[inside] - counts[inside]).max() <= 1


def _upper_left(where, crs) -> tuple[float, float]:
    """A grid's corner in another CRS of the same zone: HLS numbers southern zones as northern ones."""
    to_product = Transformer.from_crs(str(where.crs), crs, always_xy=True)
    x, y = to_product.transform(where.boundingbox.left, where.boundingbox.top)
    return float(x), float(y)


def test_what_dagster_shows_of_a_product_names_no_signature(server, url, june, tmp_path):
    line = line_over(url, june, tmp_path / "store")
    for outcome in run_until(line, "monthly_composite").values():
        shown = str({name: value.value for name, value in product_metadata(outcome).items()})
        assert not any(part in shown for part in TOKEN_PARTS)
