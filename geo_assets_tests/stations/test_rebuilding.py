"""What runs again after a change: exactly what depends on it, and nothing after no change."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely
import shapely.geometry

from geo_assets_tests.scenery.lines import run_all, run_until, small_line, store_bytes
from geo_assets_tests.scenery.three_tiles import FAR, LEFT, MONTHS, RIGHT, TILES, three_tiles_settings

JUNE = MONTHS[0]
EVERY = {(tile, month) for tile in TILES for month in MONTHS}
PIXEL_STATIONS = ("scene_search", "scout", "fetch", "hybrid_mask", "monthly_composite")


@pytest.fixture
def folder(three_tiles_folder, tmp_path) -> Path:
    """A copy of the archive and of the finished store, to change."""
    return shutil.copytree(three_tiles_folder, tmp_path / "three")


def rebuilt(folder: Path, *, last: str = "dataset_stats", **settings) -> set[tuple[str, str | None, str | None]]:
    """(station, tile, month) of every product that a run of the line, up to its last station, makes anew."""
    line = small_line(folder / "archive", folder / "store", **{**three_tiles_settings(), **settings})
    outcomes = run_until(line, last)
    return {
        (place.station, place.tile, str(place.month) if place.month else None)
        for place, outcome in outcomes.items()
        if not outcome.reused
    }


def all_of(*stations: str) -> set[tuple[str, str, str]]:
    return {(station, tile, month) for station in stations for tile, month in EVERY}


def of(tile: str, month: str, *stations: str) -> set[tuple[str, str, str]]:
    return {(station, tile, month) for station in stations}


MOSAICS_OF_JUNE = {
    ("seam_blended_mosaic", LEFT, JUNE),
    ("seam_blended_mosaic", RIGHT, JUNE),
    ("region_mosaic", None, JUNE),
}
STATISTICS_OF_LEFT_IN_JUNE = {("normalization_stats", LEFT, JUNE), ("dataset_stats", None, None)}


def test_touched_files_and_reordered_items_rebuild_nothing(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path)
    catalogue = folder / "archive" / "items.json"
    document = json.loads(catalogue.read_text())
    catalogue.write_text(json.dumps({**document, "features": document["features"][::-1]}))
    assert rebuilt(folder) == set()


def test_new_clip_percentiles_rebuild_statistics_alone(folder):
    found = rebuilt(folder, stats={"clip_percentiles": [2, 98]})
    assert found == all_of("normalization_stats") | {("dataset_stats", None, None)}


def test_a_new_feather_rebuilds_no_composite_mask_or_statistics(folder):
    found = rebuilt(folder, mosaic={"feather_m": 720})
    # The feather also decides which blocks are fetched; the same blocks were, so nothing hangs on that.
    months = {("region_mosaic", None, month) for month in MONTHS}
    assert found == all_of("scout", "fetch", "seam_blended_mosaic") | months


def test_a_threshold_that_changes_no_pixel_rebuilds_only_those_who_ask_for_it(folder):
    assert rebuilt(folder, mask={"threshold": 0.46}) == all_of("scout", "hybrid_mask")


def test_a_wider_dilation_goes_on_only_where_s2cloudless_had_a_say(folder):
    found = rebuilt(folder, mask={"dilation_size": 4})
    downstream = of(LEFT, JUNE, "monthly_composite") | MOSAICS_OF_JUNE | STATISTICS_OF_LEFT_IN_JUNE
    assert found == all_of("hybrid_mask") | downstream


def test_more_scenes_than_there_are_are_no_change_to_fetch(folder):
    assert rebuilt(folder, selection={"top_k": 3}) == all_of("scout")


def test_fewer_scenes_are_fetched_anew(folder):
    assert rebuilt(folder, last="fetch", selection={"top_k": 1}) == all_of("scout", "fetch")


def test_after_a_change_the_store_is_as_one_made_from_scratch(folder, tmp_path):
    area = three_tiles_settings()["area"]
    smaller = shapely.buffer(shapely.geometry.shape(area), -0.004, join_style="mitre")  # in the same blocks
    july = {"first": MONTHS[1], "last": MONTHS[1]}
    settings = {"area": shapely.geometry.mapping(smaller), "months": july}
    rebuilt(folder, **settings)
    run_all(small_line(folder / "archive", tmp_path / "scratch", **{**three_tiles_settings(), **settings}))
    expected, found = store_bytes(tmp_path / "scratch"), store_bytes(folder / "store")
    assert [name for name in expected if found.get(name) != expected[name]] == []


def altered_item(folder: Path, tile: str, day: str) -> tuple[dict, Path]:
    """A catalogue's document, and in it the L2A item to alter."""
    document = json.loads((folder / "archive" / "items.json").read_text())
    name = f"S2A_{tile}_{day.replace('-', '')}_0_L2A"
    return document, next(item for item in document["features"] if item["id"] == name)


def test_an_item_with_other_metadata_rebuilds_its_tile_month_up_to_the_equal_composite(folder):
    document, item = altered_item(folder, LEFT, f"{JUNE}-15")
    item["properties"]["updated"] = "2025-01-01T00:00:00Z"
    (folder / "archive" / "items.json").write_text(json.dumps(document))
    assert rebuilt(folder) == of(LEFT, JUNE, *PIXEL_STATIONS)
    assert rebuilt(folder) == set()


def test_an_item_with_other_pixels_rebuilds_its_tile_month_and_what_it_is_blended_into(folder):
    document, item = altered_item(folder, LEFT, f"{JUNE}-15")
    other = folder / "archive" / f"S2A_{LEFT}_{MONTHS[1].replace('-', '')}15_0_L2A" / "red.tif"
    content = other.read_bytes()
    (folder / "archive" / item["assets"]["red"]["href"]).write_bytes(content)
    item["assets"]["red"] |= {"file:size": len(content), "file:checksum": "1220" + hashlib.sha256(content).hexdigest()}
    (folder / "archive" / "items.json").write_text(json.dumps(document))
    assert rebuilt(folder) == of(LEFT, JUNE, *PIXEL_STATIONS) | MOSAICS_OF_JUNE | STATISTICS_OF_LEFT_IN_JUNE


def test_a_new_item_of_the_far_tile_leaves_the_others_alone(folder):
    document, item = altered_item(folder, FAR, f"{JUNE}-15")
    document["features"].remove(item)
    (folder / "archive" / "items.json").write_text(json.dumps(document))
    found = rebuilt(folder)
    assert {tile for _, tile, _ in found} == {FAR, None}
    assert {month for _, _, month in found} == {JUNE, None}


@pytest.mark.parametrize("station", ["fetch", "monthly_composite", "seam_blended_mosaic"])
def test_a_flipped_bit_is_found_and_its_product_alone_made_again(folder, station):
    place = folder / "store" / "small" / station / LEFT / JUNE
    before = {path.name: path.read_bytes() for path in place.iterdir() if path.name != "run.json"}
    victim = next(path for path in sorted(place.iterdir()) if path.suffix == ".tif")
    content = np.fromfile(victim, np.uint8)
    content[len(content) // 2] ^= 1
    content.tofile(victim)
    assert rebuilt(folder) == {(station, LEFT, JUNE)}
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.name != "run.json"} == before


def test_a_lost_file_and_a_lost_manifest_are_made_again(folder):
    store = folder / "store" / "small"
    (store / "monthly_composite" / LEFT / JUNE / "day.tif").unlink()
    (store / "hybrid_mask" / FAR / JUNE / "manifest.json").unlink()
    assert rebuilt(folder) == {("monthly_composite", LEFT, JUNE), ("hybrid_mask", FAR, JUNE)}
