import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import yaml
from numpy.testing import assert_array_equal
from pyproj import Transformer
from rasterio.enums import Resampling
from s2cloudless import S2PixelCloudDetector
from shapely.geometry import shape

import geo_assets.demo
from geo_assets.demo.archive import build_demo_archive, ensure_demo_archive
from geo_assets.demo.ground import Cover, ground_of, surface_reflectance
from geo_assets.demo.passes import acquisitions, granules
from geo_assets.demo.plan import DemoPlan
from geo_assets.demo.sky import sky_of
from geo_assets.demo.truth import acquisition_names, acquisition_of, load_ground, load_sky, write_cog
from geo_assets.domain.bands import S2CLOUDLESS_BANDS, SENTINEL2_BANDS
from geo_assets.domain.errors import MissingProductError, RegionError
from geo_assets.domain.region import region_from
from geo_assets.domain.tile_grid import tile_epsg, tile_geobox, tiles_of
from geo_assets.domain.tile_month import Month

TINY = DemoPlan(window_m=1_800, months=("2024-06",), acquisitions=2)
SMALL = DemoPlan(window_m=12_000, l2a_resolution=60)
"""Wider than the overlap, so that each tile has ground of its own."""

Item = dict[str, Any]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_demo_archive(tmp_path_factory.mktemp("demo"), SMALL)


@pytest.fixture(scope="module")
def items(archive: Path) -> list[Item]:
    features: list[Item] = json.loads((archive / "items.json").read_text())["features"]
    return features


def tile_of(item: Item) -> str:
    return str(item["properties"]["grid:code"]).removeprefix("MGRS-")


def read(archive: Path, item: Item, band: str) -> np.ndarray:
    with rasterio.open(archive / item["assets"][band]["href"]) as raster:
        return raster.read(1)


def reflectance(archive: Path, item: Item, band: str) -> np.ndarray:
    """As the catalogue asks for it; NaN is nodata."""
    facts = item["assets"][band]["raster:bands"][0]
    applied = item["properties"].get("earthsearch:boa_offset_applied", False)
    counts = read(archive, item, band)
    offset = 0.0 if applied else facts["offset"]
    return np.where(counts == 0, np.nan, counts * facts["scale"] + offset).astype(np.float32)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_two_builds_of_one_plan_have_the_same_bytes(tmp_path: Path) -> None:
    first = digests(build_demo_archive(tmp_path / "a", TINY))
    second = digests(build_demo_archive(tmp_path / "b", TINY))
    assert first == second
    assert "items.json" in first


def test_it_is_built_once_and_under_another_name_for_another_plan(tmp_path: Path) -> None:
    heard: list[float] = []
    folder = ensure_demo_archive(tmp_path, TINY, progress=lambda message, share: heard.append(share))
    assert heard[0] == 0.0
    assert heard[-1] == 1.0
    assert all(earlier < later for earlier, later in pairwise(heard))
    heard.clear()
    assert ensure_demo_archive(tmp_path, TINY, progress=lambda message, share: heard.append(share)) == folder
    assert heard == []
    other = DemoPlan(window_m=1_800, months=("2024-06",), acquisitions=1, seed=7)
    assert ensure_demo_archive(tmp_path, other) != folder


def test_builders_that_start_together_get_one_complete_archive(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        folders = set(pool.map(lambda _: ensure_demo_archive(tmp_path, TINY), range(2)))
    assert set(tmp_path.iterdir()) == folders
    assert (folders.pop() / "items.json").is_file()


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    def give_up(message: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_demo_archive(tmp_path, TINY, progress=give_up)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("window_m", 1_000, "multiple of 60"),
        ("window_m", 240_000, "beyond tiles"),
        ("acquisitions", 0, "1 to 10"),
        ("acquisitions", 2.5, "whole number"),
        ("seed", -1, "not negative"),
        ("l2a_resolution", 25, "two of"),
        ("l1c_resolution", 10, "multiple of the first"),
        ("months", (), "at least one"),
        ("months", ("2024-07", "2024-06"), "in order"),
        ("months", ("2024-13",), "YYYY-MM"),
        ("tiles", ("33TWM", "33TVM", "33TVL", "33TWL"), "2 x 2"),
        ("tiles", ("33TVM", "33TWM", "33TVL"), "2 x 2"),
        ("tiles", ("33TVM", "33TWM", "33TVL", "33TXL"), "2 x 2"),
    ],
)
def test_a_plan_that_cannot_be_says_which_field_is_wrong(field: str, value: object, message: str) -> None:
    with pytest.raises(RegionError, match=message):
        DemoPlan(**{field: value})  # type: ignore[arg-type]


def test_files_lie_on_their_tiles_pixels_and_match_what_the_items_say(archive: Path, items: list[Item]) -> None:
    for item in items:
        bands = {"blue", "green", "red", "nir", "scl"} if item["id"].endswith("L2A") else set(SENTINEL2_BANDS)
        assert set(item["assets"]) == bands
        whole = tile_geobox(tile_of(item), 60).boundingbox
        for asset in item["assets"].values():
            content = (archive / asset["href"]).read_bytes()
            assert asset["file:size"] == len(content)
            assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
            with rasterio.open(archive / asset["href"]) as raster:
                assert raster.nodata == 0
                assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
                assert raster.crs.to_epsg() == item["properties"]["proj:epsg"] == tile_epsg(tile_of(item))
                assert list(raster.shape) == asset["proj:shape"]
                assert list(raster.transform[:6]) == asset["proj:transform"]
                assert raster.res == (60, 60)
                left, bottom, right, top = raster.bounds
            assert (left - whole.left) % 60 == (whole.top - top) % 60 == 0
            assert whole.left <= left < right <= whole.right
            assert whole.bottom <= bottom < top <= whole.top


def test_large_files_have_overviews(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    layers = np.arange(702 * 702, dtype=np.uint32).reshape(1, 702, 702)
    write_cog(path, layers, DemoPlan(window_m=14_040).window(20), nodata=0, overviews=Resampling.average)
    with rasterio.open(path) as raster:
        assert raster.overviews(1) == [2, 4]
        assert raster.block_shapes == [(256, 256)]
        assert_array_equal(raster.read(), layers)


def test_footprints_enclose_the_data_and_little_else(archive: Path, items: list[Item]) -> None:
    to_metres = Transformer.from_crs(4326, SMALL.epsg, always_xy=True).transform
    for item in items:
        footprint = shape(item["geometry"])
        assert footprint.is_valid
        assert item["bbox"] == pytest.approx(footprint.bounds)
        in_metres = shapely.transform(footprint, to_metres, interleaved=False)
        part = shapely.box(*SMALL.part_bounds(tile_of(item)))
        assert in_metres.within(part.buffer(1.0))
        valid = read(archive, item, "blue") > 0
        assert valid.mean() == pytest.approx(in_metres.area / part.area, abs=0.01)


def test_a_swath_edge_runs_through_the_window(archive: Path, items: list[Item]) -> None:
    cut = [item for item in items if item["properties"]["sat:relative_orbit"] == 79]
    assert cut
    for item in cut:
        valid = read(archive, item, "blue") > 0
        first = valid.argmax(axis=1)[valid.any(axis=1)]
        assert not valid.all()
        assert first[0] > first[-1]
        assert (np.diff(first) <= 0).all()


def test_neighbouring_tiles_see_the_same_ground_up_to_a_small_gain(archive: Path, items: list[Item]) -> None:
    left, right, *_ = SMALL.tiles
    same_day = [item for item in items if item["id"].endswith("_L1C") and item["properties"]["s2:sequence"] == "0"]
    by_name = {(tile_of(item), acquisition_of(item["id"])): item for item in same_day}
    differ = 0
    for name in acquisition_names(archive):
        pair = [reflectance(archive, by_name[tile, name], "nir") for tile in (left, right)]
        width = pair[0].shape[1] + pair[1].shape[1] - SMALL.window_m // 60
        ratio = pair[1][:, :width] / pair[0][:, -width:]
        middle = np.nanmedian(ratio)
        assert 0.97 < middle < 1.03
        assert np.nanmax(np.abs(ratio - middle)) < 0.02  # counts are whole numbers
        differ += abs(middle - 1) > 0.002
    assert differ >= 5


def test_both_ways_of_storing_the_offset_give_the_same_reflectance(archive: Path, items: list[Item]) -> None:
    kinds = set()
    for item in items:
        properties = item["properties"]
        if item["collection"] != "sentinel-2-l2a":
            baseline = properties["s2:processing_baseline"]
            offset = item["assets"]["red"]["raster:bands"][0]["offset"]
            assert offset == (-0.1 if baseline >= "04.00" else 0)
            continue
        offset = item["assets"]["red"]["raster:bands"][0]["offset"]
        kinds.add((properties["s2:processing_baseline"], properties["earthsearch:boa_offset_applied"], offset))
        truth = load_ground(archive, Month.parse(properties["datetime"][:7]))
        sky = load_sky(archive, acquisition_of(item["id"]))
        part = SMALL.part_slices(tile_of(item), SMALL.l2a_resolution)
        red = reflectance(archive, item, "red")
        clear = (sky.opacity[part] < 0.01) & ~sky.shadow[part] & np.isfinite(red)
        if clear.sum() > 2_000:
            error = red - truth.surface[2][part] / 10_000
            assert abs(np.median(error[clear])) < 0.035
    assert kinds == {("05.10", True, 0), ("05.10", False, -0.1), ("02.14", False, 0)}


def test_the_older_of_two_processings_is_farther_from_the_truth(archive: Path, items: list[Item]) -> None:
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        if item["id"].endswith("_L2A"):
            groups.setdefault((acquisition_of(item["id"]), tile_of(item)), []).append(item)
    twins = [group for group in groups.values() if len({i["properties"]["s2:processing_baseline"] for i in group}) == 2]
    assert len(twins) == 1
    old, new = sorted(twins[0], key=lambda item: str(item["properties"]["s2:processing_baseline"]))
    assert old["properties"]["s2:datatake_id"][:21] == new["properties"]["s2:datatake_id"][:21]
    assert old["properties"]["s2:generation_time"] < new["properties"]["s2:generation_time"]
    sky = load_sky(archive, acquisition_of(old["id"]))
    truth = load_ground(archive, Month.parse(SMALL.months[0])).surface[1]
    part = SMALL.part_slices(tile_of(old), SMALL.l2a_resolution)
    clear = (sky.opacity[part] < 0.01) & ~sky.shadow[part]
    bias = [float(np.median((reflectance(archive, item, "green") - truth[part] / 1e4)[clear])) for item in (old, new)]
    assert abs(bias[0]) > 0.01 + abs(bias[1])


def test_two_datastrips_of_one_datatake_are_both_needed(archive: Path, items: list[Item]) -> None:
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        properties = item["properties"]
        groups.setdefault((item["collection"], properties["s2:datatake_id"] + tile_of(item)), []).append(item)
    pairs = [group for group in groups.values() if len(group) == 2]
    assert len(pairs) == 2  # one at each level
    for first, second in pairs:
        assert first["properties"]["s2:datastrip_id"] != second["properties"]["s2:datastrip_id"]
        outlines = [shape(item["geometry"]) for item in (first, second)]
        shared = outlines[0].intersection(outlines[1]).area
        assert 0 < shared < 0.5 * min(outline.area for outline in outlines)
        valid = [read(archive, item, "blue") > 0 for item in (first, second)]
        assert (valid[0] | valid[1]).all()
        assert not valid[0].all()
        assert not valid[1].all()


def test_ids_are_unique_and_each_scene_exists_at_both_levels(items: list[Item]) -> None:
    ids = [item["id"] for item in items]
    assert len(set(ids)) == len(ids)
    levels = [{name[:-4] for name in ids if name.endswith(level)} for level in ("_L2A", "_L1C")]
    assert levels[0] == levels[1]
    takes = {
        level: {item["properties"]["s2:datatake_id"] for item in items if item["id"].endswith(level)}
        for level in ("_L2A", "_L1C")
    }
    assert takes["_L2A"] == takes["_L1C"]


def test_s2cloudless_finds_the_clouds_and_nothing_else(archive: Path, items: list[Item]) -> None:
    detector = S2PixelCloudDetector(threshold=0.45, average_over=1, dilation_size=1, all_bands=False)
    hit = missed = false = clear_flagged = clear_seen = 0
    tile = SMALL.tiles[3]
    for item in items:
        if item["collection"] != "sentinel-2-l1c" or tile_of(item) != tile:
            continue
        toa = np.stack([reflectance(archive, item, band) for band in S2CLOUDLESS_BANDS], axis=-1)
        seen = np.isfinite(toa).all(axis=-1)
        flagged = detector.get_cloud_masks(np.nan_to_num(toa)[None])[0].astype(bool)
        opacity = load_sky(archive, acquisition_of(item["id"])).opacity[SMALL.part_slices(tile, 60)]
        cloud = opacity > 0.4
        hit += (flagged & cloud & seen).sum()
        false += (flagged & ~cloud & seen).sum()
        missed += (~flagged & cloud & seen).sum()
        clear_flagged += (flagged & (opacity < 0.05) & seen).sum()
        clear_seen += ((opacity < 0.05) & seen).sum()
    assert 2 * hit / (2 * hit + false + missed) >= 0.9
    assert clear_flagged / clear_seen < 0.02


def test_the_scene_classification_is_good_but_not_perfect(archive: Path, items: list[Item]) -> None:
    right = wrong = 0
    for item in items:
        if item["collection"] == "sentinel-2-l2a":
            classes = read(archive, item, "scl")
            part = SMALL.part_slices(tile_of(item), SMALL.l2a_resolution)
            cloud = load_sky(archive, acquisition_of(item["id"])).opacity[part] > 0.4
            called = np.isin(classes, (8, 9, 10))
            right += ((called == cloud) & (classes > 0)).sum()
            wrong += ((called != cloud) & (classes > 0)).sum()
            assert_array_equal(classes == 0, read(archive, item, "red") == 0)
    assert 0.002 < wrong / (right + wrong) < 0.06


@pytest.mark.parametrize("month", [Month.parse(month) for month in DemoPlan().months])
def test_nearly_all_ground_is_clear_once_a_month_but_never_all_on_one_date(month: Month) -> None:
    plan = DemoPlan()
    grid = plan.window(60)
    ever = np.zeros(grid.shape, bool)
    shares = []
    for acquisition in acquisitions(plan, month):
        sky = sky_of(plan, acquisition, grid)
        clear = ~sky.is_cloud & ~sky.is_shadow
        if acquisition.relative_orbit == 79:
            clear[:, : grid.shape[1] // 2] = False  # most of what the swath leaves out
        shares.append(clear.mean())
        ever |= clear
    assert ever.mean() >= 0.97
    assert 0.75 < max(shares) < 0.97
    assert min(shares) < 0.1


def test_a_shadow_lies_where_the_sun_throws_it() -> None:
    plan = DemoPlan(acquisitions=1)
    (acquisition,) = acquisitions(plan, Month(2024, 7))
    assert 90 < acquisition.sun_azimuth < 180
    sky = sky_of(plan, acquisition, plan.window(20))
    east, north = acquisition.shadow_shift_m
    assert east < 0 < north
    columns, rows = round(-east / 20), round(north / 20)
    agreement = np.corrcoef(sky.shade[:-rows, :-columns].ravel(), sky.cloud[rows:, columns:].ravel())[0, 1]
    assert agreement > 0.97
    assert np.corrcoef(sky.shade.ravel(), sky.cloud.ravel())[0, 1] < 0.7


def test_ground_is_a_function_of_position_and_not_of_the_window() -> None:
    small, large = DemoPlan(window_m=1_200), DemoPlan(window_m=3_600)
    inner, outer = (ground_of(plan.window(20), seed=5) for plan in (small, large))
    within = np.s_[60:120, 60:120]
    assert_array_equal(outer.cover[within], inner.cover)
    assert_array_equal(outer.light[within], inner.light)
    assert_array_equal(outer.vigour[within], inner.vigour)


def test_months_change_fields_and_leave_water() -> None:
    ground = ground_of(DemoPlan().window(60), seed=DemoPlan().seed)
    june, july = (surface_reflectance(ground, Month(2024, number), "nir") for number in (6, 7))
    wheat, maize, river = (ground.cover == cover for cover in (Cover.WHEAT, Cover.MAIZE, Cover.RIVER))
    assert july[wheat].mean() < 0.92 * june[wheat].mean()
    assert july[maize].mean() > 1.2 * june[maize].mean()
    assert_array_equal(july[river], june[river])


def test_an_unknown_truth_is_refused_by_name(archive: Path) -> None:
    with pytest.raises(MissingProductError, match=r"ground_2030-01.*ground_2024-06"):
        load_ground(archive, Month(2030, 1))
    with pytest.raises(MissingProductError, match="sky_S2A_20300101"):
        load_sky(archive, "S2A_20300101")


def test_the_bundled_region_asks_for_exactly_the_four_tiles_of_the_default_plan() -> None:
    text = (Path(geo_assets.demo.__file__).parent / "region.yaml").read_text()
    region = region_from(yaml.safe_load(text))
    plan = DemoPlan()
    assert region.area == plan.area
    assert set(region.tile_ids) == set(tiles_of(plan.area)) == set(plan.tiles)
    assert tuple(str(month) for month in region.month_list) == plan.months
    assert region.resolution == plan.l2a_resolution


def test_every_month_of_a_year_has_as_many_overpasses_as_asked_for() -> None:
    plan = DemoPlan(acquisitions=10)
    for number in range(1, 13):
        overpasses = acquisitions(plan, Month(2023, number))
        assert len(overpasses) == 10
        assert all(Month.containing(a.started) == Month(2023, number) for a in overpasses)
        assert all(first.started < second.started for first, second in combinations(overpasses, 2))
        assert all(granules(plan, acquisition) for acquisition in overpasses)
