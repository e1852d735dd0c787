from datetime import UTC, datetime

import pytest

from geo_assets.domain.errors import RegionError
from geo_assets.stations.bbox.request import CompositeRequest, period_of

NAN, INF = float("nan"), float("inf")
USUAL = {"bbox": (14.0, 45.0, 15.0, 46.0), "datetime": "2024-06", "bands": ("red",)}


def instant(*numbers):
    return datetime(*numbers, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024-07-01/2024-07-31", instant(2024, 7, 1), instant(2024, 8, 1)),
        ("2024-07-03", instant(2024, 7, 3), instant(2024, 7, 4)),
        ("2024-12", instant(2024, 12, 1), instant(2025, 1, 1)),
        ("2024-02/2024-03-05", instant(2024, 2, 1), instant(2024, 3, 6)),
    ],
)
def test_a_period_holds_its_days_whole(text, first, last):
    assert period_of(text) == (first, last)
    assert CompositeRequest(**USUAL | {"datetime": text}).period == (first, last)


@pytest.mark.parametrize("text", ["", "2024", "2024-13", "2024-02-30", "2024-07-01/", "2024-07-01/x", "june", None, 7])
def test_what_is_no_period_is_refused(text):
    with pytest.raises(RegionError, match="expected days as 2024-07-01/2024-07-31, one day, or a month"):
        period_of(text)


def test_days_in_the_wrong_order_are_refused():
    with pytest.raises(RegionError, match=r"the last day lies before the first\. Exchange them"):
        period_of("2024-07-31/2024-07-01")


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("bbox", (1, 2, 3), "four finite numbers"),
        ("bbox", (1, 2, 3, NAN), "four finite numbers"),
        ("bbox", (1, 2, 3, INF), "four finite numbers"),
        ("bbox", ("1", 2, 3, 4), "four finite numbers"),
        ("bbox", None, "four finite numbers"),
        ("bbox", (14, 46, 15, 45), "expected south < north"),
        ("bbox", (14, 45, 15, 91), "in -90..90"),
        ("bbox", (200, 45, 201, 46), "Subtract 360 from longitudes beyond 180"),
        ("bbox", (14, 45, 14, 46), "expected different longitudes"),
        ("resolution", 0, "above 0"),
        ("resolution", -60, "above 0"),
        ("resolution", NAN, "expected a number"),
        ("resolution", INF, "expected a number"),
        ("resolution", "60", "expected a number"),
        ("resolution", 1e9, "at most 100000"),
        ("bands", (), "expected some of coastal, blue"),
        ("bands", ("red", "infrared"), "found infrared, expected some of coastal, blue"),
        ("bands", ("red", "red"), "one of them twice"),
        ("bands", "red", "expected some of"),
        ("top_k", 0, "expected a whole number, 1 to 64"),
        ("top_k", True, "expected a whole number"),
        ("top_k", 2.5, "expected a whole number"),
        ("min_k", 9, "max_k: found 8, expected a whole number, 9 to 64"),
        ("scout_factor", 0, "scout_factor"),
        ("coverage_target", 0, "above 0"),
        ("coverage_target", 1.5, "at most 1"),
        ("max_cloud_cover", 101, "0 to 100"),
        ("aod_max", -1, "aod_max"),
        ("read", "best", "expected one of auto, exact, overview"),
        ("rank", "cloud", "expected one of area, scene"),
        ("output_crs", "EPSG:3857", "expected one of utm, native"),
        ("mask", "scl", "expected one of quality, none"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(setting, value, says):
    with pytest.raises(RegionError, match=says):
        CompositeRequest(**USUAL | {setting: value})


def test_a_box_across_the_antimeridian_is_not_an_inverted_one():
    assert CompositeRequest(**USUAL | {"bbox": (179.5, -17, -179.5, -16)}).bbox[0] == 179.5
