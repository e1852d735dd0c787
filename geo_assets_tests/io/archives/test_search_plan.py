"""How searches are cut into boxes and periods."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.domain.tile_grid import tile_footprint
from geo_assets.io.archives.search.plan import boxes_over, periods_between, quarters

VALLEY = shapely.box(14.5, 45.8, 14.7, 45.95)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@st.composite
def areas(draw):
    corners = draw(st.lists(st.tuples(st.integers(-1790, 1770), st.integers(-850, 830)), min_size=1, max_size=40))
    return shapely.union_all([shapely.box(x / 10, y / 10, x / 10 + 1.3, y / 10 + 0.9) for x, y in corners])


@given(areas())
def test_boxes_hold_the_whole_area_and_are_few(area):
    boxes = boxes_over(area)
    assert shapely.union_all([shapely.box(*box) for box in boxes]).buffer(1e-9).covers(area)
    assert len(boxes) <= 16 + 2
    assert all(-180 <= west < east <= 180 and -90 <= south < north <= 90 for west, south, east, north in boxes)


def test_a_small_area_is_one_box():
    assert boxes_over(VALLEY) == ((14.5, 45.8, 14.7, 45.95),)


def test_tiles_far_apart_are_not_joined_by_the_ocean_between_them():
    assert len(boxes_over(shapely.union_all([tile_footprint("33TVL"), tile_footprint("19LDD")]))) == 2


def test_thousands_of_islands_are_few_boxes():
    islands = shapely.MultiPolygon(
        [shapely.box(x / 2, y / 2, x / 2 + 0.1, y / 2 + 0.1) for x in range(60) for y in range(60)]
    )
    boxes = boxes_over(islands)
    assert len(boxes) <= 16
    assert shapely.union_all([shapely.box(*box) for box in boxes]).covers(islands)


def test_tiles_that_touch_are_one_box():
    assert len(boxes_over(shapely.union_all([tile_footprint(tile) for tile in ("33TVL", "33TVM", "33TWM")]))) == 1


def test_beside_the_antimeridian_a_sliver_of_the_other_side_is_asked_for_as_well():
    assert boxes_over(shapely.box(-179.9, -15, -179.2, -14)) == (
        (-179.9, -15.0, -179.2, -14.0),
        (179.99, -15.0, 180.0, -14.0),
    )
    both = shapely.union_all([shapely.box(179.2, -15, 180, -14), shapely.box(-180, -15, -179.2, -14)])
    assert boxes_over(both) == ((-180.0, -15.0, -179.2, -14.0), (179.2, -15.0, 180.0, -14.0))


def test_quarters_are_the_box():
    box = (10.0, 40.0, 12.0, 41.0)
    parts = [shapely.box(*quarter) for quarter in quarters(box)]
    assert shapely.union_all(parts).equals(shapely.box(*box))
    assert sum(part.area for part in parts) == pytest.approx(2.0)


MONTHS = st.integers(0, 12 * 12).map(lambda number: datetime(2013 + number // 12, number % 12 + 1, 1, tzinfo=UTC))


@given(areas(), MONTHS, MONTHS, st.integers(1, 3))
def test_periods_follow_on_each_other_from_first_to_last(area, one, other, collections):
    first, last = sorted((one, other))
    periods = periods_between(first, last, boxes_over(area), collections=collections)
    assert [begin for begin, _ in periods][:1] == ([first] if first < last else [])
    assert [end for _, end in periods][-1:] == ([last] if first < last else [])
    assert all(begin < end for begin, end in periods)
    assert all(end == begin for (_, end), (begin, _) in pairwise(periods))


def test_a_small_area_is_searched_by_the_year_and_a_large_one_by_the_month():
    first, last = day("2023-03-01"), day("2025-02-01")
    small = periods_between(first, last, boxes_over(VALLEY), collections=1)
    assert [f"{begin:%Y-%m} {end:%Y-%m}" for begin, end in small] == [
        "2023-03 2024-01", "2024-01 2025-01", "2025-01 2025-02",
    ]  # fmt: skip
    assert len(periods_between(first, last, boxes_over(shapely.box(0, 40, 12, 52)), collections=1)) == 23


def test_a_longer_time_has_the_same_pieces_as_the_shorter_so_that_answers_serve_again():
    boxes = boxes_over(shapely.box(10, 44, 15, 47))
    short = periods_between(day("2023-01-01"), day("2024-01-01"), boxes, collections=1)
    long = periods_between(day("2022-01-01"), day("2025-06-01"), boxes, collections=1)
    assert len(short) > 1
    assert set(short) <= set(long)
