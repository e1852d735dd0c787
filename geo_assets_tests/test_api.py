"""The library door: what it asks of the archive and the engine, what it hands out, and what it refuses."""

import logging
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import geo_assets
from geo_assets.api import monthly_composites
from geo_assets.domain.errors import ArchiveError, GeoAssetsError, RegionError, ResourceError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets_tests.scenery.lines import area_of
from geo_assets_tests.scenery.small_archive import SmallArchive

ROOT = Path(__file__).resolve().parent.parent
TILE = "33TVL"
GROUND = tile_geobox(TILE, 60)[500:540, 600:640]
BOX = area_of(GROUND)
CLEAR, CLOUD = 4, 9
JUNE, JULY = "S2A_33TVL_20240610_0_L2A", "S2A_33TVL_20240710_0_L2A"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """June and July clear, August under cloud, of red and nir."""
    archive = SmallArchive(tmp_path_factory.mktemp("archive"))
    counts = np.arange(1, 1601, dtype=np.uint16).reshape(GROUND.shape)
    for month, scl in ((6, CLEAR), (7, CLEAR), (8, CLOUD)):
        classes = np.full(GROUND.shape, scl, np.uint8)
        bands = {"red": (counts + month, GROUND), "nir": (counts + 3000, GROUND), "scl": (classes, GROUND)}
        archive.add(TILE, f"2024-{month:02d}-10", bands)
    return archive.write()


@pytest.fixture
def archive(folder) -> str:
    return f"local:{folder}"


# One composite


def test_a_composite_holds_the_archives_pixels_with_all_that_was_learned(archive):
    result = geo_assets.build_composite(BOX, "2024-06", archive=archive)
    assert isinstance(result, geo_assets.CompositeResult)
    assert list(result.bands) == ["red", "nir"], "of the usual bands those that the archive has, in their order"
    left, top = (round(abs(a - b) / 60) for a, b in zip(
        (GROUND.transform.c, GROUND.transform.f), (result.grid.transform.c, result.grid.transform.f), strict=True
    ))  # fmt: skip
    found = result.bands["red"][top : top + 40, left : left + 40]
    assert_array_equal(found, np.arange(1, 1601).reshape(GROUND.shape) + 6)
    assert result.source_ids == (JUNE,)
    assert result.reason is None
    assert (result.year, result.month, result.level, result.archive, result.archive_reason) == (
        2024, 6, "L2A", "local", ""
    )  # fmt: skip
    assert set(result.timings) >= {"search", "quality", "winners", "bands", "total"}
    assert {"requests", "bytes", "retries"} <= set(result.traffic)
    assert any(row.get("item") == JUNE for row in result.ledger)


def test_bands_are_given_in_the_order_asked_for_as_tuple_or_list(archive):
    for bands in (["nir", "red"], ("nir", "red")):
        assert list(geo_assets.build_composite(BOX, "2024-06", 60, archive, bands).bands) == ["nir", "red"]


def test_a_bounding_box_may_be_an_array(archive):
    result = geo_assets.build_composite(np.array(BOX), "2024-06", archive=archive)
    assert result.grid == geo_assets.build_composite(BOX, "2024-06", archive=archive).grid


def test_progress_is_told_by_steps_and_ends_with_the_whole(archive):
    heard = []
    geo_assets.build_composite(
        BOX, "2024-06", archive=archive, progress=lambda step, share: heard.append((step, share))
    )
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert {"search", "quality", "bands"} <= {step for step, _ in heard}


@pytest.mark.parametrize(
    ("where", "when", "said"),
    [(BOX, "2024-05", "no scene"), (BOX, "2024-08", "clear"), ((-5.2, 43.1, -5.1, 43.2), "2024-06", "no scene")],
    ids=["no scene in time", "all cloudy", "no scene in space"],
)
def test_an_empty_composite_is_all_nodata_says_why_and_is_warned_of(archive, caplog, where, when, said):
    result = geo_assets.build_composite(where, when, archive=archive)
    assert said in result.reason
    assert result.coverage == 0
    assert all((band == -32768).all() for band in result.bands.values())
    assert (result.quality == 255).all()
    assert (result.observation_count == 0).all()
    assert (result.selected_observation == -1).all()
    (warning,) = [record for record in caplog.records if record.name == "geo_assets.api"]
    assert warning.levelno == logging.WARNING
    assert result.reason in warning.getMessage()


@pytest.mark.parametrize("day", ["2024-06-10", date(2024, 6, 10), datetime(2024, 6, 10, 9, tzinfo=UTC)])
def test_hazy_days_are_left_out_by_day_however_it_is_written(archive, day):
    def asked(depth: float, **gates: object) -> int:
        gated = geo_assets.build_composite(BOX, "2024-06", archive=archive, aod_by_day={day: depth}, **gates)
        return len(gated.source_ids)

    assert asked(0.2, aod_max=0.3) == 1
    assert asked(0.4, aod_max=0.3) == 0
    assert asked(0.4, reject_unknown=True) == 1


# Months


def test_months_come_in_order_of_time_on_one_grid_each_as_alone(archive):
    results = geo_assets.build_monthly_composites(BOX, 2024, [8, 6, 7], archive=archive)
    assert [(result.year, result.month) for result in results] == [(2024, 6), (2024, 7), (2024, 8)]
    assert [result.source_ids for result in results[:2]] == [(JUNE,), (JULY,)]
    assert "clear" in results[2].reason
    for result, month in zip(results, ("2024-06", "2024-07", "2024-08"), strict=True):
        alone = geo_assets.build_composite(BOX, month, archive=archive)
        assert result.grid == alone.grid
        for name, values in alone.bands.items():
            assert_array_equal(result.bands[name], values)


def test_months_are_handed_over_one_by_one(archive):
    months = monthly_composites(BOX, [2024], (6, 7), archive=archive)
    assert next(months).month == 6
    assert next(months).month == 7
    assert next(months, None) is None


@pytest.mark.parametrize("years", [[], "2024", 2024.0, [True], 24, [2024, 12_000], None])
def test_years_that_are_none_are_refused(years):
    with pytest.raises(RegionError, match="years: found"):
        geo_assets.build_monthly_composites(BOX, years, 6, archive="demo")


@pytest.mark.parametrize("months", [[], 0, 13, range(3), ["June"], None])
def test_months_that_are_none_are_refused_before_the_first_is_made(months):
    with pytest.raises(RegionError, match="months: found"):
        monthly_composites(BOX, 2024, months, archive="demo")


# What cannot be


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resolution": -60}, "resolution"),
        ({"resolution": 0}, "resolution"),
        ({"resolution": float("nan")}, "resolution"),
        ({"bbox": (15.1, 46.0, 15.0, 45.9)}, "bbox"),
        ({"bbox": (200, 45.9, 200.1, 46.0)}, "bbox"),
        ({"bbox": "14.9,45.9,15.1,46.0"}, "bbox"),
        ({"bbox": None}, "bbox"),
        ({"datetime": "June 2024"}, "datetime"),
        ({"datetime": date(2024, 6, 1)}, "datetime"),
        ({"top_k": 0}, "top_k"),
        ({"min_k": 4, "max_k": 3}, "max_k"),
        ({"coverage_target": 0}, "coverage_target"),
        ({"bands": "red"}, "bands"),
        ({"bands": []}, "bands"),
        ({"bands": ["B04"]}, "B04"),
        ({"bands": ["red", "swir16"]}, "swir16"),
        ({"read": "fast"}, "read"),
        ({"rank": "best"}, "rank"),
        ({"output_crs": "EPSG:4326"}, "output_crs"),
        ({"mask": "cloud"}, "mask"),
        ({"scout_factor": 0}, "scout_factor"),
        ({"max_cloud_cover": -1}, "max_cloud_cover"),
        ({"aod_by_day": [0.1]}, "aod_by_day"),
        ({"aod_by_day": {"yesterday": 0.1}}, "aod_by_day"),
        ({"aod_by_day": {"2024-06-10": "hazy"}}, "aod_by_day"),
        ({"aod_max": float("inf")}, "aod_max"),
        ({"archive": "atlantis"}, "archive"),
        ({"archive": ""}, "archive"),
        ({"archive": None}, "archive"),
        ({"archive": "demo", "catalog_url": "https://stac.example.org/v1"}, "catalog_url"),
        ({"archive": "earth-search", "catalog_url": "stac.example.org"}, "catalog_url"),
        ({"archive": "auto", "catalog_url": "https://stac.example.org/v1"}, "catalog_url"),
    ],
)
def test_what_cannot_be_is_refused_by_name_with_what_is_expected(archive, changes, said):
    asked = {"bbox": BOX, "datetime": "2024-06", "archive": archive} | changes
    with pytest.raises(RegionError) as refusal:
        geo_assets.build_composite(asked.pop("bbox"), asked.pop("datetime"), **asked)
    assert said in str(refusal.value)
    assert "found" in str(refusal.value) or "has no" in str(refusal.value)


def test_an_archive_that_is_not_there_is_named():
    with pytest.raises(ArchiveError, match="/no/such/folder"):
        geo_assets.build_composite(BOX, "2024-06", archive="local:/no/such/folder")


def test_half_a_pair_of_credentials_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("CDSE_USERNAME", "somebody-SECRET")
    with pytest.raises(ResourceError, match="CDSE_USERNAME is set and CDSE_PASSWORD is not") as refusal:
        geo_assets.build_composite(BOX, "2024-06", archive="cdse")
    assert "SECRET" not in str(refusal.value)


def test_unknown_settings_are_refused_as_python_does():
    with pytest.raises(TypeError, match="top_n"):
        geo_assets.build_composite(BOX, "2024-06", archive="demo", top_n=3)
    with pytest.raises(TypeError, match="top_n"):
        monthly_composites(BOX, 2024, 6, archive="demo", top_n=3)


def test_a_cache_that_names_nobodys_home_is_refused():
    with pytest.raises(GeoAssetsError, match="no home folder"):
        geo_assets.build_composite(BOX, "2024-06", archive="earth-search", cache="~nobody-here/cache")


# The door itself


def test_importing_the_package_warns_of_nothing_and_its_names_are_listed():
    program = "import geo_assets; print(' '.join(dir(geo_assets))); geo_assets.build_composite"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert {"CompositeResult", "build_composite", "build_monthly_composites"} <= set(done.stdout.split())


@pytest.mark.slow
def test_the_examples_of_the_pages_run_on_the_demo_archive(tmp_path, monkeypatch):
    """Offline, one after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for page in ("README.md", "docs/library.md"):
        for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL):
            if "read_region" not in block:  # needs a region of the reader's own
                exec(block, names)
    june = names["june"]
    assert list(june.bands) == ["blue", "green", "red", "nir"]
    assert june.coverage > 0.95
    assert {path.name for path in tmp_path.iterdir()} == {".geo_assets", "june.tif", "june.png", "mask.png"}
    assert names["mask"].share()["cloud"] > 0.1
    assert names["series"].sizes["time"] == 2
