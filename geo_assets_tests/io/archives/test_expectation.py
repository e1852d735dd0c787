"""How many acquisitions a month should have."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from geo_assets.domain.scene import SceneItem
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.expectation import expected_acquisitions
from geo_assets.io.archives.items import scene_item
from geo_assets_tests.scenery.many_items import pc_item

JUNE = Month(2024, 6)
LATER = datetime(2024, 12, 1, tzinfo=UTC)


def seen(day: date, platform: str = "S2A", orbit: int = 122) -> SceneItem:
    return scene_item(pc_item("33TVL", day, platform=platform, orbit=orbit))


def named(item: SceneItem, platform: str) -> SceneItem:
    return replace(item, platform=platform, relative_orbit=None)


def test_one_orbit_of_one_satellite_comes_back_every_ten_days():
    assert expected_acquisitions([seen(date(2024, 6, 10))], JUNE, now=LATER) == 3
    assert expected_acquisitions([seen(date(2024, 6, 10))], Month(2024, 5), now=LATER) == 4  # 1, 11, 21, 31 May


def test_two_satellites_and_two_orbits_add_up():
    known = [seen(date(2024, 6, 1)), seen(date(2024, 6, 6), "S2B"), seen(date(2024, 6, 4), orbit=22)]
    assert expected_acquisitions(known, JUNE, now=LATER) == 9


def test_what_is_known_of_neighbouring_months_counts_and_repetitions_count_once():
    known = [seen(date(2024, 4, 11) + timedelta(days=10 * number)) for number in range(12)]
    assert expected_acquisitions(known, JUNE, now=LATER) == 3
    assert expected_acquisitions(known[:1], JUNE, now=LATER) == 3


def test_days_that_have_not_passed_are_not_expected():
    known = [seen(date(2024, 6, 1))]
    assert expected_acquisitions(known, JUNE, now=datetime(2024, 6, 12, tzinfo=UTC)) == 2
    assert expected_acquisitions(known, JUNE, now=datetime(2024, 5, 20, tzinfo=UTC)) == 0


@pytest.mark.parametrize(("platform", "count"), [("landsat-8", 2), ("terra+aqua", 30), ("hls-s30", None), ("", None)])
def test_every_satellite_has_its_own_cycle_and_one_without_says_nothing(platform, count):
    assert expected_acquisitions([named(seen(date(2024, 6, 3)), platform)], JUNE, now=LATER) == count


def test_nothing_known_is_nothing_said():
    assert expected_acquisitions([], JUNE, now=LATER) is None
