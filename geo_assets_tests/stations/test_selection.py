"""Which scenes are fetched, and in which blocks: few that show much, and none where it adds nothing."""

from pathlib import Path

import numpy as np
import pytest

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.stations.fetch import fetched_scenes
from geo_assets.stations.line import Line
from geo_assets.stations.scout import read_selection
from geo_assets_tests.scenery.lines import area_of, pixels_of, product_of, run_until, small_line
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
TILE_60 = tile_geobox(TILE, 60)
GEOBOX = TILE_60[BLOCK_PX - 100 : BLOCK_PX + 100, BLOCK_PX - 100 : BLOCK_PX + 100]
"""The corner of four blocks: 100 pixels of each."""
WEST, EAST, NORTH, ALL = np.s_[:, :100], np.s_[:, 100:], np.s_[:100, :], np.s_[:, :]
LEFT_BLOCKS, RIGHT_BLOCKS = {(0, 0), (1, 0)}, {(0, 1), (1, 1)}


def add(archive: SmallArchive, day: str, clear, *, seen=ALL) -> str:
    """A scene that shows the ground clear in one rectangle, and clouds in the rest of what it sees."""
    scl, red = np.zeros(GEOBOX.shape, np.uint8), np.zeros(GEOBOX.shape, np.uint16)
    scl[seen], red[seen] = 9, 7000
    scl[clear], red[clear] = 4, 1000 + int(day[-2:])
    return archive.add(TILE, day, {"red": (red, GEOBOX), "scl": (scl, GEOBOX)})


def line_of(archive: SmallArchive, store: Path, *, margin_m=300, **selection) -> Line:
    return small_line(
        archive.write(),
        store,
        area=area_of(GEOBOX, margin_m=margin_m),
        mask={"detectors": ["quality"]},
        mosaic={"feather_m": 60},
        selection=selection,
    )


def served(line: Line) -> dict[str, set[tuple[int, int]]]:
    """Scene -> the blocks in which it is fetched."""
    table = read_selection(product_of(line, "scout"))
    rows = table[table["serves"]]
    return {scene: set(zip(some["block_row"], some["block_col"], strict=True)) for scene, some in rows.groupby("scene")}


def selected(line: Line) -> list[str]:
    return [scene.id for scene in fetched_scenes(line, product_of(line, "fetch").place)]


@pytest.fixture
def archive(tmp_path) -> SmallArchive:
    return SmallArchive(tmp_path / "archive")


def test_each_block_gets_the_scenes_that_show_it_and_no_others(archive, tmp_path):
    west, east, cloudy = (
        add(archive, "2024-06-05", WEST),
        add(archive, "2024-06-10", EAST),
        add(archive, "2024-06-15", np.s_[:0]),
    )
    line = line_of(archive, tmp_path / "store", coverage_target=0.95, min_k=1)
    run_until(line, "monthly_composite")
    assert served(line) == {west: LEFT_BLOCKS, east: RIGHT_BLOCKS}
    assert cloudy not in selected(line)
    raster = pixels_of(product_of(line, "fetch"), f"{west}.reflectance.tif")[0]
    assert (raster[:, :BLOCK_PX] == 1005).any()
    assert (raster[:, BLOCK_PX:] == -32768).all()
    metrics = product_of(line, "monthly_composite").manifest.metrics
    assert metrics["valid_share"] == 1.0
    assert metrics["scenes_used"] == sum(share > 0 for share in metrics["share_of_scene"].values())
    assert product_of(line, "scout").manifest.metrics["clear_share_of_any"] == 1.0


def test_without_windows_a_chosen_scene_is_fetched_wherever_it_reaches(archive, tmp_path):
    west, east = add(archive, "2024-06-05", WEST), add(archive, "2024-06-10", EAST)
    line = line_of(archive, tmp_path / "store", coverage_target=0.95, min_k=1, windowed_fetch=False)
    run_until(line, "fetch")
    assert served(line) == dict.fromkeys((west, east), LEFT_BLOCKS | RIGHT_BLOCKS)


def test_no_block_gets_fewer_scenes_than_min_k_nor_more_than_max_k(archive, tmp_path):
    for step in range(10):
        add(archive, f"2024-06-{10 + step}", np.s_[:, step * 10 :: 100])
    for min_k, max_k in ((2, 3), (1, 4)):
        line = line_of(archive, tmp_path / f"store-{max_k}", coverage_target=1.0, min_k=min_k, max_k=max_k)
        run_until(line, "scout")
        blocks = [block for found in served(line).values() for block in found]
        assert {blocks.count(block) for block in LEFT_BLOCKS | RIGHT_BLOCKS} == {max_k}


def test_a_second_scene_that_adds_nothing_is_the_clearest_that_is_left_and_never_all_cloud(archive, tmp_path):
    whole = add(archive, "2024-06-25", ALL)
    north, west = add(archive, "2024-06-05", np.s_[:60, :]), add(archive, "2024-06-10", np.s_[:, :30])
    line = line_of(archive, tmp_path / "store", coverage_target=0.5, min_k=2, max_k=4)
    run_until(line, "scout")
    assert served(line) == {whole: LEFT_BLOCKS | RIGHT_BLOCKS, north: {(0, 0), (0, 1)}, west: {(1, 0)}}


def test_where_all_scenes_are_cloud_min_k_of_them_are_looked_at_closely(archive, tmp_path):
    names = [add(archive, f"2024-06-{day}", np.s_[:0]) for day in ("05", "10", "15")]
    line = line_of(archive, tmp_path / "store", coverage_target=0.9, min_k=2)
    run_until(line, "scout")
    assert set(served(line)) == set(names[:2])


def test_a_lower_target_is_content_with_fewer_scenes(archive, tmp_path):
    most, rest = add(archive, "2024-06-05", np.s_[:, :180]), add(archive, "2024-06-10", np.s_[:, 180:])
    found = {}
    for target in (0.7, 1.0):
        line = line_of(archive, tmp_path / f"store-{target}", coverage_target=target, min_k=1)
        run_until(line, "fetch")
        found[target] = selected(line)
    assert found == {0.7: [most], 1.0: [most, rest]}


def test_what_lies_in_the_feather_alone_is_served_like_the_nearest_ground_of_the_area(archive, tmp_path):
    west, east = add(archive, "2024-06-05", WEST), add(archive, "2024-06-10", EAST)
    line = small_line(
        archive.write(),
        tmp_path / "store",
        area=area_of(GEOBOX[:60, :60], margin_m=300),  # in one block; the feather reaches the three others
        mask={"detectors": ["quality"]},
        mosaic={"feather_m": 4800},
        selection={"coverage_target": 0.9, "min_k": 1},
    )
    run_until(line, "fetch")
    assert served(line) == {west: LEFT_BLOCKS | RIGHT_BLOCKS}
    assert east not in selected(line)


def test_a_sliver_ranks_behind_by_area_and_first_by_its_own_share(archive, tmp_path):
    whole = add(archive, "2024-06-05", np.s_[20:, :])
    sliver = add(archive, "2024-06-10", np.s_[:, :30], seen=np.s_[:, :30])
    for rank, expected in (("area", [whole, sliver]), ("scene", [sliver, whole])):
        line = line_of(archive, tmp_path / f"store-{rank}", rank=rank, top_k=2)
        run_until(line, "fetch")
        assert selected(line) == expected


def test_a_coarser_look_has_larger_pixels_but_never_too_few(archive, tmp_path):
    add(archive, "2024-06-05", ALL)
    found = {}
    for factor in (1, 2, 3, 64):
        line = line_of(archive, tmp_path / f"store-{factor}", scout_factor=factor)
        run_until(line, "scout")
        found[factor] = product_of(line, "scout").manifest.metrics["scout_pixel_m"]
    assert found == {1: 60, 2: 120, 3: 180, 64: 240}  # 12 km are 2,500 pixels of 240 m
