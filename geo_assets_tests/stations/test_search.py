"""Which scenes the line goes on with: one per acquisition, whole, and nothing left out unsaid."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.domain.bands import S2CLOUDLESS_BANDS
from geo_assets.domain.errors import ArchiveError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.places import Place
from geo_assets.stations.catalog import stations_of
from geo_assets.stations.line import Line
from geo_assets.stations.search import read_scenes
from geo_assets_tests.scenery.lines import area_of, pixels_of, product_of, run_all, run_until, small_line
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE, DAY = "33TVL", "2024-06-10"
NODATA = -32768
WINDOW = slice(900, 940), slice(900, 940)
"""Of the tile's 60 m grid: 2.4 km of ground that no other tile has."""
GEOBOX = tile_geobox(TILE, 60)[WINDOW]
VEGETATION = np.full((40, 40), 4, np.uint8)


@dataclass(frozen=True)
class Setting:
    """An archive to be filled, and lines over its ground."""

    archive: SmallArchive
    store: Path

    def line(self, **settings) -> Line:
        return small_line(self.archive.write(), self.store, **{"area": area_of(GEOBOX), "mask": QUALITY, **settings})

    def add(self, value=1000, *, tile=TILE, day=DAY, columns=slice(None), **about) -> str:
        """A scene of one value in the given columns, and none elsewhere."""
        scl, red = np.zeros_like(VEGETATION), np.zeros((40, 40), np.uint16)
        scl[:, columns], red[:, columns] = 4, value
        bands = {"red": (red[:, columns], GEOBOX[:, columns]), "scl": (scl[:, columns], GEOBOX[:, columns])}
        return self.archive.add(tile, day, bands, **about)


QUALITY = {"detectors": ["quality"]}


@pytest.fixture
def setting(tmp_path) -> Setting:
    return Setting(SmallArchive(tmp_path / "archive"), tmp_path / "store")


def searched(line: Line):
    run_until(line, "scene_search")
    product = product_of(line, "scene_search")
    ledger = {row["item"]: row["reason"] for row in product.manifest.ledger}
    return read_scenes(product), ledger, product.manifest.metrics


def test_of_two_processings_the_newer_baseline_stays_whatever_their_order(setting):
    newer = setting.add(1000, sequence=0, baseline="05.10")
    older = setting.add(1200, sequence=1, baseline="02.14", **{"s2:generation_time": "2030-01-01T00:00:00Z"})
    scenes, ledger, metrics = searched(setting.line())
    assert [scene.id for scene in scenes] == [newer]
    assert ledger == {older: f"superseded by {newer} (baseline 05.10)"}
    assert (metrics["scenes_found"], metrics["items_superseded"], metrics["items_excluded"]) == (1, 1, 0)


def test_of_twins_the_one_generated_last_stays(setting):
    twins = [
        setting.add(sequence=number, **{"s2:generation_time": f"2024-06-1{number}T00:00:00Z"}) for number in (3, 5, 4)
    ]
    scenes, ledger, _ = searched(setting.line())
    assert [scene.id for scene in scenes] == [twins[1]]
    assert set(ledger) == {twins[0], twins[2]}


def test_the_same_moment_of_another_satellite_is_another_scene(setting):
    names = {setting.add(platform=platform) for platform in ("S2A", "S2B")}
    scenes, ledger, _ = searched(setting.line())
    assert {scene.id for scene in scenes} == names
    assert not ledger


def test_complementary_datastrips_are_one_scene_with_the_pixels_of_both(setting):
    west = setting.add(1111, columns=slice(0, 22), sequence=0, datastrip="DS_1")
    east = setting.add(2222, columns=slice(18, 40), sequence=1, datastrip="DS_2", baseline="05.11")
    line = setting.line()
    scenes, ledger, _ = searched(line)
    assert [[part.id for part in scene.parts] for scene in scenes] == [[west, east]]
    assert not ledger
    run_until(line, "monthly_composite")
    red = pixels_of(product_of(line, "fetch"), f"{west}.reflectance.tif", WINDOW)[0]
    assert_array_equal(red[:, :22], 1111)  # the first part counts where both have data
    assert_array_equal(red[:, 22:], 2222)
    assert_array_equal(pixels_of(product_of(line, "monthly_composite"), "composite.tif", WINDOW)[0], red)
    items = {row["item"] for row in product_of(line, "fetch").manifest.ledger}
    assert items == {west, east}


def test_an_l1c_companion_belongs_to_the_scene_of_its_datatake(setting):
    toa = {name: (np.full((40, 40), 800, np.uint16), GEOBOX) for name in S2CLOUDLESS_BANDS}
    with_l1c, without = setting.add(day="2024-06-10"), setting.add(day="2024-06-12")
    companion = setting.archive.add(TILE, "2024-06-10", toa, level="L1C")
    stray = setting.archive.add(TILE, "2024-06-14", toa, level="L1C")
    line = setting.line(mask={"detectors": "auto"})
    scenes, _, metrics = searched(line)
    assert {scene.id: [item.id for item in scene.companions] for scene in scenes} == {
        with_l1c: [companion],
        without: [],
    }
    assert metrics["level"] == "L2A"
    assert metrics["scenes_with_l1c"] == 1
    run_until(line, "hybrid_mask")
    assert product_of(line, "hybrid_mask").manifest.metrics["detectors"] == ["quality", "s2cloudless"]
    assert stray not in {row["item"] for row in product_of(line, "fetch").manifest.ledger}


def test_an_item_that_the_region_excludes_is_not_even_mentioned(setting):
    kept, excluded = setting.add(day="2024-06-10"), setting.add(day="2024-06-12")
    setting.archive.item(excluded)["geometry"] = None  # malformed as well
    scenes, ledger, metrics = searched(setting.line(selection={"exclude": [excluded]}))
    assert [scene.id for scene in scenes] == [kept]
    assert not ledger
    assert metrics["items_found"] == 1


def without_geometry(item):
    item["geometry"] = None


def without_time(item):
    del item["properties"]["datetime"]


def without_the_band(item):
    del item["assets"]["red"]


def with_a_href_outside(item):
    item["assets"]["red"]["href"] = "../../elsewhere.tif"


def with_a_scheme(item):
    item["assets"]["red"]["href"] = "file:///etc/hostname"


def with_two_offsets(item):
    item["assets"]["nir"] = {**item["assets"]["red"], "raster:bands": [{"scale": 1e-4, "offset": -0.1}]}


FLAWS = {
    without_geometry: "has no geometry",
    without_time: "has no datetime",
    without_the_band: "lacks red",
    with_a_href_outside: "leaves the archive's folder",
    with_a_scheme: "only http(s)",
    with_two_offsets: "different offsets (-1000, 0 counts)",
}


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.__name__)
def test_an_item_that_cannot_be_used_is_recorded_and_the_others_serve(setting, flaw):
    sound, flawed = setting.add(day="2024-06-10"), setting.add(day="2024-06-12")
    flaw(setting.archive.item(flawed))
    scenes, ledger, metrics = searched(setting.line())
    assert [scene.id for scene in scenes] == [sound]
    assert list(ledger) == [flawed]
    assert FLAWS[flaw] in ledger[flawed]
    assert metrics["items_excluded"] == 1


def test_a_month_of_which_no_item_can_be_used_is_an_error_that_names_them(setting):
    setting.add(day="2024-07-10")
    flawed = setting.add(day="2024-06-12")
    without_the_band(setting.archive.item(flawed))
    line = setting.line()
    with pytest.raises(ArchiveError, match=rf"33TVL 2024-06: none of the 1 items .*{flawed}: lacks red.*exclude"):
        run_until(line, "scene_search")
    assert line.products.find(Place("scene_search", TILE, line.region.month_list[0])) is None


def test_a_month_without_a_scene_is_empty_through_all_stations(setting):
    setting.add(day="2024-07-10")
    line = setting.line()
    outcomes = run_all(line)
    assert {place.station for place in outcomes} == {station.name for station in stations_of(line.region)}
    manifests = [outcome.product.manifest for outcome in outcomes.values()]
    assert {manifest.status for manifest in manifests} == {"empty"}
    assert all(manifest.reason for manifest in manifests)
    search = product_of(line, "scene_search").manifest
    assert search.reason == (
        "archive local has no L2A scene over the area in this month: "
        "acquisitions expected unknown, found 0, newest item 2024-07-10"
    )
    assert all(outcome.reused for outcome in run_all(line).values())


def test_a_scene_beside_the_area_is_none(setting):
    setting.add(columns=slice(0, 10))
    line = setting.line(area=area_of(GEOBOX[:, 20:]))
    scenes, ledger, metrics = searched(line)
    assert not scenes
    assert set(ledger.values()) == {"does not reach the area"}
    assert product_of(line, "scene_search").manifest.status == "empty"
    assert metrics["items_found"] == 1


def test_a_month_of_the_other_level_raises_instead_of_calling_itself_empty(setting):
    l1c = setting.archive.add(TILE, DAY, {"red": (np.full((40, 40), 900, np.uint16), GEOBOX)}, level="L1C")
    setting.add(day="2024-07-10")
    line = setting.line(mask={"detectors": []}, months={"first": "2024-06", "last": "2024-06"})
    with pytest.raises(ArchiveError, match=rf"{l1c}.*level"):
        run_until(line, "scene_search")
    chosen = setting.line(level="L1C", mask={"detectors": []}, months={"first": "2024-06", "last": "2024-06"})
    assert [scene.id for scene in searched(chosen)[0]] == [l1c]
