"""The cache of searches: what it keeps, and who asks."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from geo_assets.domain.errors import ArchiveTransientError, ResourceError
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Exclusion
from geo_assets.io.archives.items import scene_item
from geo_assets.io.archives.search.cache import SearchCache
from geo_assets.io.archives.search.shelf import Shelf, shelf_bytes, shelf_from
from geo_assets.io.archives.unusable import Unusable
from geo_assets_tests.scenery.many_items import pc_item

NOW = datetime(2024, 12, 1, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def shelf(day: int = 1) -> Shelf:
    item = scene_item(pc_item("33TVL", datetime(2024, 6, day, tzinfo=UTC).date()))
    missed = Unusable(Exclusion("x", "is spoilt"), Month(2024, 6), item.footprint)
    return Shelf(NOW, (item,), (missed, Unusable(Exclusion("y", "says nothing"), None, None)))


def cache_of(folder: Path | None) -> SearchCache:
    return SearchCache(folder, now=lambda: NOW)


def refused() -> Shelf:
    raise AssertionError("asked although the answer is at hand")


def test_a_shelf_is_read_back_exactly_as_it_was():
    assert shelf_from(shelf_bytes(shelf())) == shelf()
    assert shelf_bytes(shelf()) == shelf_bytes(shelf())


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_answer_is_asked_for_once(tmp_path, in_memory):
    cache = cache_of(None if in_memory else tmp_path)
    assert cache.shelf("a", until=LONG_AGO, ask=shelf) == shelf()
    assert cache.shelf("a", until=LONG_AGO, ask=refused) == shelf()
    assert cache.shelf("b", until=LONG_AGO, ask=lambda: shelf(2)) == shelf(2)


def test_threads_that_ask_together_ask_once(tmp_path):
    cache, asked, gate = cache_of(tmp_path), [], threading.Barrier(8)

    def ask() -> Shelf:
        asked.append(1)
        return shelf()

    def work() -> None:
        gate.wait()
        assert cache.shelf("a", until=LONG_AGO, ask=ask) == shelf()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_a_failed_question_leaves_nothing_behind(tmp_path):
    def fail() -> Shelf:
        raise ArchiveTransientError("down")

    cache = cache_of(tmp_path)
    with pytest.raises(ArchiveTransientError):
        cache.shelf("a", until=LONG_AGO, ask=fail)
    assert not list(tmp_path.glob("*.json"))
    assert cache.shelf("a", until=LONG_AGO, ask=shelf) == shelf()


def test_an_answer_that_another_process_has_renewed_is_seen(tmp_path):
    one, other = cache_of(tmp_path), cache_of(tmp_path)
    one.shelf("a", until=LONG_AGO, ask=shelf)
    later = SearchCache(tmp_path, now=lambda: NOW + timedelta(days=31))
    later.shelf("a", until=LONG_AGO, ask=lambda: Shelf(NOW + timedelta(hours=-1), shelf(2).items, ()))
    assert one.shelf("a", until=LONG_AGO, ask=refused).items == shelf(2).items
    assert other.shelf("a", until=LONG_AGO, ask=refused).items == shelf(2).items


def test_many_answers_are_on_disk_and_few_in_memory(tmp_path):
    cache = cache_of(tmp_path)
    for number in range(20):
        cache.shelf(f"k{number}", until=LONG_AGO, ask=shelf)
    assert len(cache._held) <= 8
    assert all(cache.shelf(f"k{number}", until=LONG_AGO, ask=refused) == shelf() for number in range(20))


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match=r"Search cache .*file.*GEO_ASSETS_HOME"):
        cache_of(tmp_path / "file").shelf("a", until=LONG_AGO, ask=shelf)
