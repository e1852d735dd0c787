"""What a failing server may cost: time, a scene with a ledger row, or the whole partition; never a pixel."""

import time
from functools import partial
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from geo_assets import build_composite, build_monthly_composites
from geo_assets.domain.errors import ArchiveTransientError, AssetLostError, GeoAssetsError
from geo_assets.io.archives import access
from geo_assets.io.wire.exchange import Wire
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.faults import (
    Corrupt,
    Delay,
    Drip,
    Drop,
    IgnoreRange,
    NewVersion,
    Shorten,
    Stall,
    Status,
    Truncate,
)
from geo_assets_tests.scenery.remote_catalogues import (
    Acquisition,
    counts_at,
    sentinel2_acquisition,
    serve_earth_search,
    serve_planetary_computer,
)

FIRST, SECOND = "S2A_33TVL_20240610_0_L2A", "S2A_33TVL_20240620_0_L2A"


@pytest.fixture(scope="module")
def scenes() -> list[Acquisition]:
    """Two scenes of 6 km; the earlier one is clearer and comes first."""
    window = (slice(0, 100), slice(0, 100))
    clear = sentinel2_acquisition("33TVL", "2024-06-10", window=window, bands=("red", "green", "nir"))
    cloudy = sentinel2_acquisition("33TVL", "2024-06-20", window=window, bands=("red", "green", "nir"),
                                   cloudy=(slice(0, 10), slice(0, 10)))  # fmt: skip
    return [clear, cloudy]


def compose(scenes, url: str, **settings):
    asked = {"resolution": 10.0, "bands": ["red", "green", "nir"], "read": "exact", "top_k": 1} | settings
    return build_composite(scenes[0].area(margin_m=200), "2024-06", archive="earth-search", catalog_url=url, **asked)


def assert_same(one, other) -> None:
    for band, values in one.bands.items():
        assert_array_equal(values, other.bands[band])
    for layer in ("quality", "observation_count", "selected_observation"):
        assert_array_equal(getattr(one, layer), getattr(other, layer))
    assert one.source_ids == other.source_ids


@pytest.fixture
def url(server: FaultServer, tmp_path: Path, scenes) -> str:
    return serve_earth_search(server, tmp_path / "archive", scenes)


@pytest.mark.parametrize("effect", [Drop(), Status(503), Truncate(0.7), Status(429, retry_after="0"), Status(500)],
                         ids=lambda effect: type(effect).__name__)  # fmt: skip
def test_five_per_cent_of_failing_ranges_cost_time_alone(server, scenes, url, effect):
    clean = compose(scenes, url)
    server.fail("*.tif", effect, share=0.05, seed=3)
    server.fail("*.tif", effect, times=2)  # however few the requests are
    failing = compose(scenes, url)
    assert_same(clean, failing)
    assert_array_equal(clean.bands["red"], counts_at(scenes[0], "red", clean.grid))
    assert failing.traffic["retries"] >= 2


@pytest.mark.parametrize("file", ["B04.tif", "SCL.tif"])
@pytest.mark.parametrize(
    "effect", [Status(404), Status(410), Corrupt(2000), Corrupt(200, 600), Shorten(0.3), Shorten(0.02)],
    ids=["404", "410", "corrupt", "corrupt header", "cut short", "cut to its header"],
)  # fmt: skip
def test_a_lost_file_gives_the_next_scene_its_place_and_a_row_in_the_ledger(server, scenes, url, file, effect):
    server.fail(f"*/{FIRST}/{file}", effect)
    result = compose(scenes, url)
    clear = result.quality != 255
    assert result.source_ids == (SECOND,)
    assert clear.mean() > 0.95
    for band in ("red", "nir"):
        expected = counts_at(scenes[1], band, result.grid)
        assert_array_equal(result.bands[band][clear], expected[clear])
    (row,) = [row for row in result.ledger if row["outcome"] == "lost"]
    assert row["item"] == FIRST
    assert file in row["reason"]


def test_a_file_that_is_never_sent_whole_is_not_given_up_for_lost(server, scenes, url, impatient):
    server.fail(f"*/{FIRST}/B04.tif", Truncate(0.0))
    with pytest.raises(ArchiveTransientError, match=f"{FIRST}, band red"):
        compose(scenes, url)


def test_when_every_scene_is_lost_the_error_says_item_asset_range_and_attempts(server, scenes, url):
    server.fail("*/B04.tif", Corrupt(2000))
    with pytest.raises(AssetLostError) as loss:
        compose(scenes, url)
    for part in (FIRST, SECOND, "band red", "bytes ", "read twice"):
        assert part in str(loss.value)


def test_a_file_that_a_server_does_not_have_in_parts_is_read_whole(server, scenes, url):
    clean = compose(scenes, url)
    server.fail("*.tif", IgnoreRange())
    assert_same(clean, compose(scenes, url))


def test_a_file_that_changes_while_it_is_read_is_not_mixed(server, scenes, url):
    server.fail(f"*/{FIRST}/B04.tif", NewVersion(), skip=1)
    with pytest.raises(ArchiveTransientError, match=f"{FIRST}, band red.* changed while it was read"):
        compose(scenes, url)
    server.heal()
    result = compose(scenes, url)
    assert_array_equal(result.bands["red"], counts_at(scenes[0], "red", result.grid))


def test_a_slow_server_is_waited_for(server, scenes, url):
    clean = compose(scenes, url)
    server.fail("*.tif", Delay(0.05))
    assert_same(clean, compose(scenes, url))
    server.heal()
    server.fail("*/SCL.tif", Drip(piece_bytes=4000, pause_s=0.001))
    assert_same(clean, compose(scenes, url))


def test_a_search_that_fails_for_a_while_is_repeated_and_a_failing_page_is_halved(server, tmp_path, scenes):
    url = serve_earth_search(server, tmp_path, scenes, fails_above=25, accepts_post=False)
    server.fail("*/search", Status(502), times=2)
    assert compose(scenes, url).source_ids == (FIRST,)


def test_a_catalogue_that_pages_wrongly_neither_hangs_nor_repeats_a_scene(server, tmp_path, scenes):
    many = [sentinel2_acquisition("33TVL", f"2024-06-{day:02d}", bands=("red", "green", "nir")) for day in range(1, 13)]
    for name, paging in (("same", {"same_token": True}), ("twice", {"repeats": 2}), ("lies", {"matched": 10**9})):
        server.catalogue([], "/none/v1")
        url = serve_earth_search(server, tmp_path, many, path=f"/{name}/v1", largest=5, **paging)
        try:
            result = build_composite(many[0].area(margin_m=200), "2024-06", 20.0, "earth-search", ["red"],
                                     catalog_url=url, top_k=12)  # fmt: skip
        except GeoAssetsError as error:
            said = str(error).lower()
        else:
            assert len(set(result.source_ids)) == len(result.source_ids)
            said = "page"
        assert "page" in said or "search" in said


def test_a_permanently_refusing_server_is_an_error_that_names_the_file(server, scenes, url):
    server.fail(f"*/{FIRST}/SCL.tif", Status(403))
    with pytest.raises(GeoAssetsError, match=FIRST):
        compose(scenes, url)


@pytest.mark.parametrize("effect", [Stall(), Stall(after_bytes=50), Drip(pause_s=0.1)], ids=["silent", "half", "drip"])
def test_a_dead_server_is_an_error_within_the_configured_time(server, tmp_path, scenes, impatient, effect):
    url = serve_planetary_computer(server, tmp_path, scenes)
    server.fail("*20240610*B04_10m.tif", effect)
    began = time.monotonic()
    with pytest.raises(ArchiveTransientError, match=r"R122_T33TVL_20240610T150031, band red.* bytes .* attempts"):
        build_composite(scenes[0].area(margin_m=200), "2024-06", 10.0, "planetary-computer", ["red"], catalog_url=url)
    assert time.monotonic() - began < 60, "it hung"


def test_a_dead_catalogue_is_an_error_within_the_configured_time(server, tmp_path, scenes, monkeypatch):
    monkeypatch.setattr(access, "Wire", partial(Wire, patience_s=0.4, read_s=0.2))
    url = serve_earth_search(server, tmp_path, scenes)
    server.fail("*/search", Stall(after_bytes=20))
    began = time.monotonic()
    with pytest.raises(ArchiveTransientError, match="search"):
        compose(scenes, url)
    assert time.monotonic() - began < 60, "it hung"


def test_a_signature_that_is_refused_once_is_renewed_and_nobody_notices(server, tmp_path, scenes):
    url = serve_planetary_computer(server, tmp_path, scenes)
    area = scenes[0].area(margin_m=200)
    clean = build_composite(area, "2024-06", 20.0, "planetary-computer", ["red"], catalog_url=url)
    server.fail("*B04_10m.tif", Status(403), times=1)
    again = build_composite(area, "2024-06", 20.0, "planetary-computer", ["red"], catalog_url=url)
    assert_same(clean, again)
    assert again.traffic["renewals"] == 1
    assert sum(server.sas.issued.values()) == 3


def test_three_months_in_one_call_ask_less_than_three_calls(server, tmp_path):
    window = (slice(0, 60), slice(0, 60))
    seen = [
        sentinel2_acquisition("33TVL", f"2024-{month:02d}-10", window=window, bands=("red",)) for month in (4, 5, 6)
    ]
    url = serve_planetary_computer(server, tmp_path, seen)
    area = seen[0].area(margin_m=200)
    results = build_monthly_composites(area, [2024], [4, 5, 6], 20.0, "planetary-computer", ["red"], catalog_url=url)
    together = len(server.requests)
    server.forget_requests()
    alone = [
        build_composite(area, f"2024-{month:02d}", 20.0, "planetary-computer", ["red"], catalog_url=url)
        for month in (4, 5, 6)
    ]
    for one, other in zip(results, alone, strict=True):
        assert_same(one, other)
    assert together < len(server.requests)
