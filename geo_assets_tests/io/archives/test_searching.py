"""Searches of a catalogue that pages, refuses, fails and lies."""

import itertools
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from geo_assets.domain.errors import ArchiveError, ArchiveRefusedError, ArchiveTransientError
from geo_assets.io.archives.search.asking import Asking, Wanted
from geo_assets.io.archives.search.pages import WirePages
from geo_assets.io.wire.addresses import HostRule
from geo_assets.io.wire.exchange import Wire
from geo_assets.io.wire.meter import Meter
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.faults import Redirect, Stall, Status
from geo_assets_tests.scenery.many_items import passes, pc_item
from geo_assets_tests.scenery.stac_search import Catalogue, Item

FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
BOX = (13.0, 44.0, 17.0, 47.0)
WANTED = Wanted(("sentinel-2-l2a",), BOX, FIRST, LAST)
SEARCH = "/api/stac/v1/search"


@pytest.fixture(scope="module")
def items() -> list[Item]:
    """260 items of 33TVL: more than two pages."""
    return [
        pc_item("33TVL", date(2024, 1, 1) + timedelta(days=number % 130), platform=platform)
        for platform in ("S2A", "S2B")
        for number in range(130)
    ]


def asking_of(url: str, **settings: Any) -> Asking:
    wire = Wire(HostRule(("127.0.0.1",)), attempts=2, sleep=lambda seconds: None, **settings.pop("wire", {}))
    return Asking(
        url, WirePages(wire, what="Archive test, search", meter=Meter()), what="Archive test, search", **settings
    )


def named(document: Any) -> tuple[str, str]:
    return document["id"], document["id"]


def found_by(asking: Asking, wanted: Wanted = WANTED) -> list[str]:
    return asking.found(wanted, named)


def limits(server: FaultServer) -> list[tuple[str, int]]:
    """Method and limit of every search."""
    asked = []
    for request in server.requests_for(SEARCH):
        body = json.loads(request.body) if request.body else {}
        query = dict(pair.split("=", 1) for pair in request.query.split("&")) if request.query else {}
        asked.append((request.method, int(body.get("limit") or query.get("limit") or 0)))
    return asked


def test_all_pages_are_read_in_order_of_time_with_no_request_besides(server, items):
    found = found_by(asking_of(server.catalogue(items)))
    in_order = sorted(items, key=lambda item: (item["properties"]["datetime"], item["id"]))
    assert found == [item["id"] for item in in_order]
    assert limits(server) == [("POST", 100)] * 3
    assert len(server.requests) == 3  # no landing page, no conformance classes


def test_a_search_says_what_is_wanted(server, items):
    wanted = Wanted(("sentinel-2-l2a",), BOX, FIRST, LAST, max_cloud_cover=30.0)
    found_by(asking_of(server.catalogue(items)), wanted)
    body = json.loads(server.requests_for(SEARCH)[0].body)
    assert body == {
        "bbox": list(BOX),
        "collections": ["sentinel-2-l2a"],
        "datetime": "2024-01-01T00:00:00Z/2025-01-01T00:00:00Z",
        "limit": 100,
        "query": {"eo:cloud_cover": {"lte": 30.0}},
        "sortby": [
            {"field": "properties.datetime", "direction": "asc"},
            {"field": "id", "direction": "asc"},
        ],
    }


def test_a_catalogue_that_takes_no_post_is_asked_by_get_and_not_by_post_again(server, items):
    asking = asking_of(server.catalogue(items, accepts_post=False))
    assert len(found_by(asking)) == 260
    assert limits(server) == [("POST", 100)] + [("GET", 100)] * 3
    server.forget_requests()
    assert len(found_by(asking)) == 260
    assert {method for method, _ in limits(server)} == {"GET"}


def test_a_post_that_fails_is_asked_by_get(server, items):
    url = server.catalogue(items)
    server.fail(SEARCH, Status(504), method="POST")
    assert len(found_by(asking_of(url))) == 260


@pytest.mark.parametrize("largest", [50, 25, 12, 6, 5])
def test_pages_are_halved_until_the_catalogue_can_answer_them(server, items, largest):
    found = found_by(asking_of(server.catalogue(items, fails_above=largest)))
    assert len(found) == len(set(found)) == 260
    assert {limit for _, limit in limits(server)[-5:]} == {largest}
    asked = [limit for limit, _ in itertools.groupby(limit for _, limit in limits(server))]
    assert asked == [limit for limit in (100, 50, 25, 12, 6, 5) if limit >= largest]


class FailsAtSome(Catalogue):
    """A catalogue that answers some of its requests, by their number, with a status."""

    failing: frozenset[int] = frozenset()
    status = 500

    def search(self, here: str, query: dict[str, Any], method: str) -> tuple[int, Any]:
        self.asked = getattr(self, "asked", 0) + 1
        return (self.status, {}) if self.asked in self.failing else super().search(here, query, method)


@pytest.mark.parametrize("status", [413, 500, 502, 504])
@pytest.mark.parametrize("failing", [{2}, {2, 3}, {3}, {2, 4, 5}])
def test_a_page_that_fails_in_the_middle_costs_no_item_and_brings_none_twice(server, items, status, failing):
    catalogue = FailsAtSome(items, "/api/stac/v1")
    catalogue.failing, catalogue.status = frozenset(failing), status
    found = found_by(asking_of(server.serve_catalogue(catalogue)))
    assert len(found) == len(set(found)) == 260


class OnlySmallBoxes(Catalogue):
    """A catalogue that cannot search a large box."""

    def search(self, here: str, query: dict[str, Any], method: str) -> tuple[int, Any]:
        west, south, east, north = query["bbox"]
        if (east - west) * (north - south) > 4:
            return 504, {"code": "timeout"}
        return super().search(here, query, method)


def test_a_box_too_large_for_the_catalogue_is_cut_in_four_and_what_lies_in_two_parts_counts_once(server):
    items = passes(["33TVL", "33TVM", "33TWL", "33TWM"], date(2024, 6, 1), date(2024, 6, 30))
    found = found_by(asking_of(server.serve_catalogue(OnlySmallBoxes(items))))
    assert sorted(found) == sorted(item["id"] for item in items)


def test_a_catalogue_that_fails_at_everything_is_left_alone_after_a_bounded_number_of_requests(server, items):
    url = server.catalogue(items)
    server.fail(SEARCH, Status(500))
    with pytest.raises(ArchiveTransientError, match=r"HTTP 500.*geo-assets doctor"):
        found_by(asking_of(url))
    assert len(server.requests) < 50


def test_a_catalogue_that_is_not_there_is_told_at_once(server):
    server.stop()
    with pytest.raises(ArchiveTransientError, match="Archive test, search"):
        found_by(asking_of(f"{server.url}/api/stac/v1"))


def test_a_catalogue_that_stalls_is_asked_for_less_and_given_up_in_time(server, items):
    url = server.catalogue(items)
    server.fail(SEARCH, Stall())
    clock = itertools.count(0, 12.0)  # every look at the clock takes 12 s
    asking = asking_of(url, wire={"read_s": 0.05}, clock=lambda: next(clock), patience_s=100.0)
    with pytest.raises(ArchiveTransientError):
        found_by(asking)
    assert limits(server)[0] == ("POST", 100)
    assert {limit for _, limit in limits(server)} == {100, 25}
    assert len(server.requests) < 30


def test_a_stall_of_post_alone_costs_one_wait(server, items):
    url = server.catalogue(items)
    server.fail(SEARCH, Stall(), method="POST")
    assert len(found_by(asking_of(url, wire={"read_s": 0.05}))) == 260


# Catalogues that page wrongly


@pytest.mark.parametrize(
    ("paging", "said"),
    [
        ({"same_token": True}, "same link|nothing new"),
        ({"matched": 999}, "says that it has 999 items, and sends 260"),
    ],
)
def test_a_catalogue_that_pages_wrongly_is_refused(server, items, paging, said):
    with pytest.raises(ArchiveRefusedError, match=said) as refusal:
        found_by(asking_of(server.catalogue(items, **paging)))
    assert "scenes would be missed" in str(refusal.value)
    assert len(server.requests) < 10


@pytest.mark.parametrize("repeats", [7, 100, 1000])
def test_a_page_that_begins_with_items_of_those_before_brings_none_twice(server, items, repeats):
    found = found_by(asking_of(server.catalogue(items, repeats=repeats)))
    assert len(found) == len(set(found)) == 260


class Odd(Catalogue):
    """A catalogue whose pages a test writes itself."""

    def __init__(self, answer: Callable[[str, dict[str, Any]], Any]) -> None:
        super().__init__([], "/api/stac/v1")
        self.answer = answer

    def search(self, here: str, query: dict[str, Any], method: str) -> tuple[int, Any]:
        return 200, self.answer(here, query)


def test_an_empty_page_with_a_link_to_the_next_is_no_end(server, items):
    def answer(here: str, query: dict[str, Any]) -> Any:
        page = int(query.get("token", 0))
        link = {"rel": "next", "method": "POST", "href": f"{here}/search", "body": {"token": page + 1}, "merge": True}
        return {"features": items[:3] if page == 2 else [], "links": [link] if page < 3 else []}

    assert len(found_by(asking_of(server.serve_catalogue(Odd(answer))))) == 3
    assert [json.loads(request.body).get("limit") for request in server.requests] == [100] * 4  # merged


def test_new_tokens_for_ever_without_an_item_are_refused(server):
    numbers = itertools.count()

    def answer(here: str, query: dict[str, Any]) -> Any:
        return {"features": [], "links": [{"rel": "next", "href": f"{here}/search?token={next(numbers)}"}]}

    with pytest.raises(ArchiveRefusedError, match="nothing new"):
        found_by(asking_of(server.serve_catalogue(Odd(answer))))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("<html>log in to the hotel's network</html>", "no item collection"),
        (["a", "list"], "no item collection"),
        ({"features": None}, "no item collection"),
        ({"features": {"a": 1}}, "no item collection"),
    ],
)
def test_what_is_no_item_collection_is_refused(server, answer, said):
    with pytest.raises(ArchiveRefusedError, match=said):
        found_by(asking_of(server.serve_catalogue(Odd(lambda here, query: answer))))


@pytest.mark.parametrize("links", [None, "no", [5, {"rel": "next"}, {"rel": "next", "href": 5}], {}])
def test_links_that_are_none_end_a_search(server, items, links):
    def answer(here: str, query: dict[str, Any]) -> Any:
        return {"features": [*items[:2]], "links": links}

    assert len(found_by(asking_of(server.serve_catalogue(Odd(answer))))) == 2


def test_a_link_to_another_host_is_not_followed(server, items):
    def answer(here: str, query: dict[str, Any]) -> Any:
        link = {"rel": "next", "href": f"{server.other_host}/api/stac/v1/search?sig=SECRET", "headers": {"X": "y"}}
        return {"features": items[:2], "links": [link]}

    with pytest.raises(ArchiveRefusedError, match="localhost is not on the archive's list") as refusal:
        found_by(asking_of(server.serve_catalogue(Odd(answer))))
    assert "SECRET" not in str(refusal.value)


def test_a_redirect_to_another_host_is_not_followed(server, items):
    url = server.catalogue(items)
    server.fail(SEARCH, Redirect(server.other_host + "{path}{query}"))
    with pytest.raises(ArchiveRefusedError, match="redirects elsewhere"):
        found_by(asking_of(url))


def test_headers_that_a_link_asks_for_are_not_sent(server, items):
    def answer(here: str, query: dict[str, Any]) -> Any:
        link = {"rel": "next", "href": f"{here}/search?page=2", "headers": {"Authorization": "Bearer mine"}}
        return {
            "features": items[:2] if not query.get("page") else items[2:3],
            "links": [] if query.get("page") else [link],
        }

    assert len(found_by(asking_of(server.serve_catalogue(Odd(answer))))) == 3
    assert not any(request.has_credentials for request in server.requests)


# Catalogues that understand less


class Unsorted(Catalogue):
    """A catalogue without the sort extension, that says so in its way."""

    status = 400

    def search(self, here: str, query: dict[str, Any], method: str) -> tuple[int, Any]:
        if "sortby" in query:
            return self.status, {"code": "BadRequest"}
        return super().search(here, query, method)


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_catalogue_that_cannot_sort_is_asked_without(server, items, status):
    catalogue = Unsorted(items, "/api/stac/v1")
    catalogue.status = status
    asking = asking_of(server.serve_catalogue(catalogue))
    assert len(set(found_by(asking))) == 260
    server.forget_requests()
    found_by(asking)
    assert 400 not in server.statuses()


def test_a_search_that_is_not_understood_is_refused_with_the_remedy(server, items):
    url = server.catalogue(items)
    server.fail(SEARCH, Status(400, body=b"no such collection, see https://a.b/c?token=SECRET"))
    with pytest.raises(ArchiveRefusedError, match="does not understand") as refusal:
        found_by(asking_of(url))
    assert "no such collection" in str(refusal.value)
    assert "SECRET" not in str(refusal.value)


def test_an_address_without_a_search_is_told_apart_from_a_failure(server):
    with pytest.raises(ArchiveError, match=r"no search at .*Correct catalog_url"):
        found_by(asking_of(f"{server.url}/nothing"))


def test_a_first_page_is_one_small_request(server, items):
    asking = asking_of(server.catalogue(items))
    assert len(asking.first_page(WANTED, limit=3)) == 3
    assert limits(server) == [("POST", 3)]
    assert asking.first_page(Wanted(("other",), BOX, FIRST, LAST), limit=3) == []


def test_every_item_is_handed_over_as_its_page_comes(server, items):
    """So that a large answer never lies in memory as parsed JSON."""
    asking = asking_of(server.catalogue(items))
    handed: list[int] = []

    def read(document: Any) -> tuple[str, str]:
        handed.append(len(server.requests))
        return named(document)

    asking.found(WANTED, read)
    assert handed == [1] * 100 + [2] * 100 + [3] * 60
