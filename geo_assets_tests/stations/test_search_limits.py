"""What a region's selection leaves out, each with its reason; and what says that an archive has stopped."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo_assets.checks.acquire import acquisitions_keep_coming
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.orchestration.inspection import Evidence, Verdict
from geo_assets.stations.line import Line
from geo_assets.stations.search import read_scenes
from geo_assets_tests.scenery.lines import area_of, product_of, run_until, small_line
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
GEOBOX = tile_geobox(TILE, 60)[900:940, 900:940]


def add(archive: SmallArchive, day: str, *, columns=slice(None), **about) -> str:
    part = GEOBOX[:, columns]
    bands = {"red": (np.full(part.shape, 1500, np.uint16), part), "scl": (np.full(part.shape, 4, np.uint8), part)}
    return archive.add(TILE, day, bands, **about)


def line_of(archive: SmallArchive, store: Path, **selection) -> Line:
    return small_line(
        archive.write(), store, area=area_of(GEOBOX), mask={"detectors": ["quality"]}, selection=selection
    )


def searched(line: Line) -> tuple[list[str], dict[str, str], Any]:
    """Ids of the scenes that are left, item -> reason of the others, and the manifest."""
    run_until(line, "scene_search")
    product = product_of(line, "scene_search")
    reasons = {row["item"]: row["reason"] for row in product.manifest.ledger}
    return [scene.id for scene in read_scenes(product)], reasons, product.manifest


USUAL = {
    "eo:cloud_cover": 20.0,
    "view:sun_elevation": 50.0,
    "view:incidence_angle": 4.0,
    "sat:orbit_state": "descending",
    "sat:relative_orbit": 122,
}
LIMITS = {
    "max_cloud_cover": (
        {"max_cloud_cover": 30},
        {"eo:cloud_cover": 60.0},
        "cloud cover 60 is above max_cloud_cover 30",
    ),
    "max_sun_zenith": (
        {"max_sun_zenith": 60},
        {"view:sun_elevation": 25.0},
        "sun zenith 65 is above max_sun_zenith 60",
    ),
    "max_view_zenith": (
        {"max_view_zenith": 8},
        {"view:incidence_angle": 9.5},
        "view zenith 9.5 is above max_view_zenith 8",
    ),
    "orbits": ({"orbits": [122, 22]}, {"sat:relative_orbit": 79}, "relative orbit 79 is not among orbits"),
    "orbit_state": (
        {"orbit_state": "descending"},
        {"sat:orbit_state": "ascending"},
        "orbit is ascending, orbit_state is descending",
    ),
    "platforms": ({"platforms": ["Sentinel-2A"]}, {"platform": "sentinel-2b"}, "platform s2b is not among platforms"),
}


@pytest.mark.parametrize("key", LIMITS)
def test_a_limit_leaves_out_what_breaks_it_and_says_so(key, tmp_path):
    limit, breach, reason = LIMITS[key]
    archive = SmallArchive(tmp_path / "archive")
    kept = add(archive, "2024-06-05", **USUAL)
    left_out = add(archive, "2024-06-15", **(USUAL | breach))
    scenes, reasons, manifest = searched(line_of(archive, tmp_path / "store", **limit))
    assert scenes == [kept]
    assert reasons == {left_out: reason}
    assert (manifest.metrics["items_unwanted"], manifest.metrics["items_excluded"]) == (1, 0)
    without, _, _ = searched(line_of(archive, tmp_path / "without"))
    assert without == [kept, left_out]


@pytest.mark.parametrize("key", ["max_cloud_cover", "max_sun_zenith", "max_view_zenith", "orbit_state"])
def test_an_item_that_does_not_say_is_kept(key, tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    silent = add(archive, "2024-06-05")
    scenes, _, _ = searched(line_of(archive, tmp_path / "store", **LIMITS[key][0]))
    assert scenes == [silent]


def test_hazy_days_are_left_out_and_unknown_ones_only_if_the_region_says_so(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    fair, hazy, unknown = (add(archive, f"2024-06-{day}") for day in ("05", "10", "15"))
    gate = {"aod_by_day": {"2024-06-05": 0.1, "2024-06-10": 0.45}, "aod_max": 0.3}
    scenes, reasons, _ = searched(line_of(archive, tmp_path / "lenient", **gate))
    assert scenes == [fair, unknown]
    assert reasons == {hazy: "aerosol optical depth 0.45 of its day is above aod_max 0.3"}
    scenes, reasons, _ = searched(line_of(archive, tmp_path / "strict", **gate, reject_unknown=True))
    assert scenes == [fair]
    assert reasons[unknown] == "aod_by_day does not name its day"


def test_a_scene_must_show_enough_of_the_area_with_all_its_parts_together(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    halves = [
        add(archive, "2024-06-05", columns=columns, sequence=number, datastrip=f"DS_{number}")
        for number, columns in enumerate((slice(0, 20), slice(20, 40)))
    ]
    sliver = add(archive, "2024-06-15", columns=slice(0, 10))
    scenes, reasons, _ = searched(line_of(archive, tmp_path / "store", min_coverage=0.9))
    assert scenes == halves[:1]
    assert list(reasons) == [sliver]
    assert "of the area, min_coverage is 90.0%" in reasons[sliver]


def test_a_month_of_which_nothing_is_wanted_is_empty_and_says_so(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    add(archive, "2024-06-05", **USUAL)
    scenes, _, manifest = searched(line_of(archive, tmp_path / "store", orbits=[1]))
    assert scenes == []
    assert manifest.status == "empty"
    assert manifest.reason == "the region's selection leaves out every one of the 1 items of L2A over the area"


def test_a_new_limit_searches_anew_and_the_usual_ones_written_out_do_not(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    add(archive, "2024-06-05", **USUAL)
    run_until(line_of(archive, tmp_path / "store"), "scene_search")
    written = {"max_cloud_cover": None, "platforms": [], "min_coverage": 0.0}
    for selection, reused in ((written, True), ({"max_cloud_cover": 90}, False)):
        (outcome,) = run_until(line_of(archive, tmp_path / "store", **selection), "scene_search").values()
        assert outcome.reused is reused


@dataclass(frozen=True)
class Foreseeing:
    """An archive that knows how many acquisitions there should be, and which is its newest."""

    archive: Any
    expected: int | None
    newest: datetime | None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.archive, name)

    def search(self, tile, month):
        return replace(self.archive.search(tile, month), expected=self.expected, newest=self.newest)


JUNE_10, JUNE_28, MAY_20, JULY_3 = (
    datetime(2024, *day, 10, 0, tzinfo=UTC) for day in ((6, 10), (6, 28), (5, 20), (7, 3))
)


def judged(tmp_path: Path, found: int, expected: int | None, newest: datetime | None) -> tuple[Verdict, Any]:
    archive = SmallArchive(tmp_path / "archive")
    for number in range(found):
        add(archive, f"2024-06-{number + 1:02d}")
    add(archive, "2024-07-03")
    line = line_of(archive, tmp_path / "store")
    line = replace(line, archive=Foreseeing(line.archive, expected, newest))
    _, _, manifest = searched(line)
    return acquisitions_keep_coming(Evidence(line.region, manifest, dict)), manifest


def test_as_many_acquisitions_as_expected_are_no_news(tmp_path):
    verdict, manifest = judged(tmp_path, 5, 6, JULY_3)
    assert verdict.passed
    assert manifest.metrics["acquisitions_expected"] == 6
    assert manifest.metrics["acquisitions_found"] == 5
    assert "newest_in_archive" not in manifest.metrics  # it would change from day to day, and says nothing of June


def test_far_fewer_acquisitions_than_expected_are_seen(tmp_path):
    verdict, _ = judged(tmp_path, 2, 6, JUNE_10)
    assert not verdict.passed
    assert verdict.description.startswith(
        "acquisitions: 6 expected, 2 found; the archive's newest item is of 2024-06-10"
    )


def test_an_empty_month_is_no_quiet_success_where_acquisitions_were_expected(tmp_path):
    verdict, manifest = judged(tmp_path, 0, 6, MAY_20)
    assert manifest.status == "empty"
    assert manifest.reason == (
        "archive local has no L2A scene over the area in this month: "
        "acquisitions expected 6, found 0, newest item 2024-05-20"
    )
    assert not verdict.passed


def test_an_empty_month_after_the_archives_newest_item_is_seen_though_nobody_counts(tmp_path):
    verdict, _ = judged(tmp_path, 0, None, MAY_20)
    assert not verdict.passed
    assert "unknown expected, 0 found" in verdict.description


@pytest.mark.parametrize(("expected", "newest"), [(None, JULY_3), (0, JULY_3), (None, None)])
def test_an_empty_month_of_an_archive_that_goes_on_passes(expected, newest, tmp_path):
    verdict, _ = judged(tmp_path, 0, expected, newest)
    assert verdict.passed


def test_the_newest_item_is_told_where_it_lies_in_the_month(tmp_path):
    verdict, manifest = judged(tmp_path, 4, 6, JUNE_28)
    assert verdict.passed
    assert manifest.metrics["newest_in_archive"] == "2024-06-28"
