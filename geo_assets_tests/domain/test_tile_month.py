from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.domain.errors import RegionError
from geo_assets.domain.tile_month import Month, TileMonth, months_between

months = st.builds(Month, st.integers(1, 9999), st.integers(1, 12))


@given(months)
def test_a_month_reads_back_what_it_prints(month):
    assert Month.parse(str(month)) == month


@given(months, months)
def test_months_sort_as_their_text_does(one, other):
    assert (one < other) == (str(one) < str(other))


@given(st.builds(Month, st.integers(2, 9998), st.integers(1, 12)))
def test_the_month_after_the_one_before_is_the_same(month):
    assert month.previous.next == month
    assert month.next.previous == month
    assert month.previous < month < month.next


@given(st.builds(Month, st.integers(2000, 2030), st.integers(1, 12)), st.integers(0, 40))
def test_a_range_of_months_holds_both_its_ends_and_each_month_once(first, count):
    last = first
    for _ in range(count):
        last = last.next
    found = months_between(first, last)
    assert (found[0], found[-1], len(found)) == (first, last, count + 1)
    assert all(later == earlier.next for earlier, later in pairwise(found))


def test_a_range_that_ends_before_it_begins_is_empty():
    assert months_between(Month(2024, 2), Month(2024, 1)) == ()


@given(st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
def test_a_moment_lies_between_its_months_begin_and_the_next_ones(moment):
    month = Month.containing(moment)
    assert month.begin <= moment < month.next.begin


def test_a_moment_belongs_to_its_month_in_utc_wherever_the_clock_stands():
    just_after_midnight_in_the_east = datetime(2024, 7, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert Month.containing(just_after_midnight_in_the_east) == Month(2024, 6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024",
        "2024-13",
        "2024-00",
        "2024-7",
        "0000-01",
        "2024-07-01",
        " 2024-07",
        "2024-07\n",
        "-2024-07",
        "٢٠٢٤-07",
    ],
)
def test_what_is_no_month_is_refused_with_an_example(text):
    with pytest.raises(RegionError, match=r"expected YYYY-MM, such as 2024-07") as refusal:
        Month.parse(text)
    assert repr(text) in str(refusal.value)


@given(months, st.sampled_from(["33TVL", "01CDH", "60XWP", "h18v04", "h00v08"]))
def test_a_partition_key_reads_back(month, tile):
    key = TileMonth(tile, month).key
    assert key == f"{month}|{tile}"
    assert TileMonth.parse(key) == TileMonth(tile, month)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "|",
        "2024-07",
        "2024-07|",
        "33TVL|2024-07",
        "2024-07|../..",
        "2024-07|33TVL|x",
        "2024-7|33TVL",
        "2024-07|33tvl",
        "2024-07|H18V04",
        "2024-07|h18v4",
        "2024-07|33TVLX",
    ],
)
def test_what_is_no_partition_key_is_refused(key):
    with pytest.raises(RegionError, match="expected"):
        TileMonth.parse(key)
