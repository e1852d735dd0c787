"""What a month's figures are held against, and what is said of those that miss it."""

from typing import Any

import pytest

from geo_assets.domain.region import Region, region_from
from geo_assets.io.report_page import LONG_TABLE_ROWS, Goal
from geo_assets.stations.report_goals import figure, goals_of, percent
from geo_assets.stations.report_sections import calibration_section, overlap_section, seam_section

SOUND_MOSAIC = {
    "valid_share": 0.99,
    "seam_ratio": 1.1,
    "seam_ratio_by_chance": 1.2,
    "seam_step_dn": 11.0,
    "seam_floor_dn": 10.0,
    "seam_naive_ratio": 8.0,
    "seam_naive_step_dn": 80.0,
    "seam_segments": 40,
    "sharpness_kept": 0.93,
    "overlap_bias": -0.001,
    "overlap": {"33TVL+33TWL": {"red": {"bias": -0.001, "rmse": 0.004, "pixels": 900}}},
    "single_source_mismatch_px": 0,
    "validity_mismatch_px": 0,
    "outside_inputs_px": 0,
    "harmonised": {"mode": "gain", "left_alone": {}},
}
SOUND_COMPOSITE = {
    "valid_share": 0.97,
    "nodata_mismatch_px": 0,
    "temporal_distance_days": {"median": 4.0, "p95": 9.0},
    "date_fragmentation": 0.01,
    "calibration": {"red": {"held_out": 5000, "inside_1_sigma": 0.66, "inside_2_sigma": 0.93}},
}


def region(**settings: Any) -> Region:
    return region_from(
        {
            "name": "valley",
            "area": (14.93, 45.60, 15.13, 45.70),
            "archive": "demo",
            "bands": ["red"],
            "resolution": 60,
            "months": {"first": "2024-06", "last": "2024-06"},
            "composite": {"method": "bap"},
            "mosaic": {"harmonise": "gain"},
            **settings,
        }
    )


def goals(
    found: Region, *, mosaic: dict[str, Any] | None = None, composite: dict[str, Any] | None = None
) -> list[Goal]:
    """Of two tiles, one of which is sound; figures of the other that differ are given."""
    return goals_of(
        found,
        {"33TVL": SOUND_COMPOSITE, "33TWL": {**SOUND_COMPOSITE, **(composite or {})}},
        {"33TVL": SOUND_MOSAIC, "33TWL": {**SOUND_MOSAIC, **(mosaic or {})}},
    )


def missed(found: list[Goal]) -> dict[str, str]:
    return {goal.name: goal.remedy for goal in found if goal.verdict == "missed"}


def test_a_sound_month_meets_every_goal():
    found = goals(region())
    assert missed(found) == {}
    names = {goal.name for goal in found if goal.verdict == "met"}
    assert names == {"M1", "M2", "M3", "M4", "M5", "M7", "M8", "M9", "M10", "M11", "M14"}


@pytest.mark.parametrize(
    ("name", "mosaic", "composite", "words"),
    [
        ("M1", {"seam_ratio": 2.0}, {}, "mosaic.seamline"),
        ("M2", {"overlap_bias": -0.004}, {}, "haze"),
        ("M2", {"overlap": {"33TVL+33TWL": {"red": {"rmse": 0.02}}}}, {}, "haze"),
        ("M3", {"single_source_mismatch_px": 1}, {}, "cannot come from the data"),
        ("M4", {"validity_mismatch_px": 1}, {}, "cannot come from the data"),
        ("M5", {"outside_inputs_px": 1}, {}, "cannot come from the data"),
        ("M7", {"sharpness_kept": 0.8}, {}, "mosaic.seamline"),
        ("M8", {"harmonised": {"left_alone": {"33TWL": ["red"]}}}, {}, "cloud, haze"),
        ("M9", {}, {"nodata_mismatch_px": 3}, "cannot come from the data"),
        ("M10", {}, {"temporal_distance_days": {"median": 11}}, "composite.weights.date"),
        ("M11", {}, {"date_fragmentation": 0.06}, "selection.top_k"),
        ("M14", {}, {"calibration": {"red": {"held_out": 5000, "inside_1_sigma": 0.4}}}, "mask.cloud_buffer_m"),
    ],
)
def test_one_tile_that_misses_a_goal_is_enough_and_what_to_do_is_said(name, mosaic, composite, words):
    found = missed(goals(region(), mosaic=mosaic, composite=composite))
    assert list(found) == [name]
    assert words in found[name]


def test_a_seam_that_chance_explains_is_not_missed_here_either():
    assert "M1" not in missed(goals(region(), mosaic={"seam_ratio": 1.6, "seam_ratio_by_chance": 1.7}))


def test_what_a_region_has_not_asked_for_is_not_judged():
    found = goals(
        region(composite={"method": "median"}, mosaic={}),
        composite={"temporal_distance_days": {"median": 14}, "date_fragmentation": 0.4},
        mosaic={"harmonised": {"left_alone": {"33TWL": ["red"]}}},
    )
    assert missed(found) == {}
    assert [goal.name for goal in found if goal.verdict == "quiet" and goal.found != "not measured"] == [
        "M8", "M9", "M10", "M11",
    ]  # fmt: skip


def test_a_wanted_coverage_is_a_goal():
    found = goals(region(composite={"method": "bap", "minimum_coverage": 0.98}))
    assert list(missed(found)) == ["M9"]


@pytest.mark.parametrize("older", [{}, {"overlap": None, "calibration": None, "harmonised": None, "seam_ratio": None}])
def test_products_of_an_older_version_are_not_measured_and_not_missed(older):
    found = goals_of(region(), {"33TVL": older}, {"33TVL": older})
    assert {goal.verdict for goal in found} == {"quiet"}
    assert {goal.found for goal in found} == {"not measured"}
    assert "No seam was measured" in seam_section({"33TVL": older}).text
    assert list(overlap_section({"33TVL": older})) == []
    assert list(calibration_section({"33TVL": older})) == []


def test_a_hundred_tiles_have_tables_that_scroll_and_the_worst_pairs_first():
    tiles = [f"{number:02d}TAA" for number in range(100)]
    mosaics = {
        tile: {**SOUND_MOSAIC, "overlap": {f"{tile}+{other}": {"red": {"bias": index * 1e-4, "rmse": 0.1, "pixels": 9}}
               for other in ("90TAA", "91TAA")}} for index, tile in enumerate(tiles)
    }  # fmt: skip
    seams, (overlaps,) = seam_section(mosaics), overlap_section(mosaics)
    assert seams.table is not None
    assert overlaps.table is not None
    assert seams.table.is_long
    assert len(seams.table.rows) == 100 > LONG_TABLE_ROWS
    assert len(overlaps.table.rows) == 100
    assert overlaps.table.rows[0][1] == "+0.0099"
    assert "100 of 200 pairs" in overlaps.text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "-"),
        ("7", "-"),
        (True, "-"),
        (0, "0"),
        (12345, "12,345"),
        (1.0004, "1.00"),
        (123.4, "123"),
        (0.5, "0.500"),
    ],
)
def test_numbers_are_short(value, words):
    assert figure(value) == words
    assert percent(0.1234) == "12.3%"
