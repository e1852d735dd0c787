"""The fault server keeps its word: what a test programs is what a client meets."""

import json
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPConnection, IncompleteRead
from urllib.parse import quote

import pytest
import urllib3

from geo_assets_tests.scenery.clock import Clock
from geo_assets_tests.scenery.fault_server import DELETED_PATH, IDENTITY_PATH, SAS_PATH, FaultServer
from geo_assets_tests.scenery.faults import (
    Claim,
    Corrupt,
    Delay,
    Drip,
    Drop,
    IgnoreRange,
    NewVersion,
    Redirect,
    Shorten,
    Stall,
    Status,
    Truncate,
)

CONTENT = bytes(range(256)) * 40
PATH = "/files/one.bin"


@pytest.fixture
def server(tmp_path) -> Iterator[FaultServer]:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/one.bin").write_bytes(CONTENT)
    with FaultServer(Clock()) as server:
        server.folder("/files", tmp_path / "files")
        yield server


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=2.0) as pool:
        yield pool


def asked(pool, server, path=PATH, span="", **kwargs):
    headers = {"Range": f"bytes={span}"} if span else {}
    return pool.request("GET", f"{server.url}{path}", headers=headers, redirect=False, **kwargs)


def test_files_are_served_whole_and_by_ranges_on_one_connection(server):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
    for span, status, expected, content_range in (
        ("", 200, CONTENT, None),
        ("bytes=3-9", 206, CONTENT[3:10], f"bytes 3-9/{len(CONTENT)}"),
        ("bytes=10200-", 206, CONTENT[10200:], f"bytes 10200-10239/{len(CONTENT)}"),
        ("bytes=-4", 206, CONTENT[-4:], f"bytes 10236-10239/{len(CONTENT)}"),
        ("bytes=20000-20001", 416, b"", f"bytes */{len(CONTENT)}"),
    ):
        connection.request("GET", PATH, headers={"Range": span} if span else {})
        reply = connection.getresponse()
        assert (reply.status, reply.read(), reply.headers["Content-Range"]) == (status, expected, content_range)
    connection.request("GET", "/files/../conftest.py")
    assert connection.getresponse().status == 404
    connection.close()
    assert [request.status for request in server.requests] == [200, 206, 206, 206, 416, 404]
    assert server.requests[1].range == "bytes=3-9"


def test_statuses_are_given_for_the_first_tries_only_with_their_retry_after(server, pool):
    server.fail("*/one.bin", Status(429, retry_after="7"), tries=2)
    replies = [asked(pool, server, span="0-3") for _ in range(3)]
    assert [reply.status for reply in replies] == [429, 429, 206]
    assert replies[0].headers["Retry-After"] == "7"
    assert asked(pool, server, span="4-7").status == 429, "tries are counted per range"
    server.heal()
    assert asked(pool, server, span="8-9").status == 206


def test_faults_have_their_time_their_share_and_their_number(server, pool):
    server.fail(PATH, Status(403), after_s=600)
    assert asked(pool, server).status == 200
    server.clock.advance(601)
    assert asked(pool, server).status == 403
    server.heal()
    server.fail(PATH, Status(503), times=2)
    assert [asked(pool, server).status for _ in range(3)] == [503, 503, 200]
    server.heal()
    server.fail(PATH, Status(503), skip=1, times=1)
    assert [asked(pool, server).status for _ in range(3)] == [200, 503, 200]
    server.heal()
    server.fail(PATH, Status(503), share=0.3, seed=4)
    first = [asked(pool, server, span=f"{start}-{start}").status for start in range(200)]
    assert 30 < first.count(503) < 90
    server.heal()
    server.fail(PATH, Status(503), share=0.3, seed=4)
    assert [asked(pool, server, span=f"{start}-{start}").status for start in range(200)] == first


def test_bodies_are_cut_dropped_corrupted_or_shortened(server, pool):
    server.fail(PATH, Truncate(0.5), times=1)
    with pytest.raises((urllib3.exceptions.ProtocolError, IncompleteRead)):
        asked(pool, server, span="0-99")
    server.fail(PATH, Drop(), times=1)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        asked(pool, server)
    server.heal()
    server.fail(PATH, Corrupt(10, 12))
    assert asked(pool, server, span="8-13").data == bytes([8, 9, 10 ^ 255, 11 ^ 255, 12, 13])
    assert asked(pool, server, span="20-21").data == bytes([20, 21])
    server.heal()
    server.fail(PATH, Shorten(0.5))
    assert asked(pool, server, span="5000-9000").headers["Content-Range"] == "bytes 5000-5119/5120"
    assert server.requests[1].status == 0


def test_headers_lie(server, pool):
    server.fail(PATH, IgnoreRange(), times=1)
    whole = asked(pool, server, span="0-3")
    assert (whole.status, whole.data) == (200, CONTENT)
    server.fail(PATH, Claim(total=1 << 42), times=1)
    assert asked(pool, server, span="0-3").headers["Content-Range"] == f"bytes 0-3/{1 << 42}"
    server.fail(PATH, Claim(shift=5), times=1)
    assert asked(pool, server, span="0-3").headers["Content-Range"] == f"bytes 5-8/{len(CONTENT)}"
    server.fail(PATH, Claim(header=""), times=1)
    assert "Content-Range" not in asked(pool, server, span="0-3").headers
    server.fail(PATH, NewVersion(), times=1)
    tags = {asked(pool, server, span=span).headers["ETag"] for span in ("0-3", "4-7", "8-9")}
    assert len(tags) == 2


def test_a_stalled_or_dripping_server_leaves_the_client_to_its_patience(server, pool):
    server.fail(PATH, Stall(), times=1)
    with pytest.raises(urllib3.exceptions.TimeoutError):
        asked(pool, server, timeout=0.2)
    server.fail(PATH, Stall(after_bytes=3), times=1)
    with pytest.raises(urllib3.exceptions.TimeoutError):
        asked(pool, server, timeout=0.2)
    server.fail(PATH, Drip(piece_bytes=200, pause_s=0.001), times=1)
    assert asked(pool, server, span="0-999").data == CONTENT[:1000]
    server.fail(PATH, Delay(0.01), times=1)
    assert asked(pool, server, span="0-9").data == CONTENT[:10]


def test_redirects_lead_to_another_name_of_the_same_server(server, pool):
    server.fail("/elsewhere/*", Redirect(server.other_host + PATH + "{query}"))
    reply = asked(pool, server, "/elsewhere/one.bin?sig=1")
    assert reply.status == 302
    assert reply.headers["Location"] == f"http://localhost:{server.port}{PATH}?sig=1"
    assert pool.request("GET", reply.headers["Location"]).data == CONTENT


def test_a_stopped_server_answers_nobody_not_even_on_a_connection_kept_open(tmp_path, pool):
    (tmp_path / "one.bin").write_bytes(CONTENT)
    with FaultServer() as server:
        server.folder("/files", tmp_path)
        assert asked(pool, server).data == CONTENT
    with pytest.raises(urllib3.exceptions.HTTPError):
        asked(pool, server)


def test_signatures_hold_for_their_container_until_they_expire(server, pool, tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/b.tif").write_bytes(CONTENT)
    server.sas.lifetime_s = 60
    server.folder("/account/container", tmp_path / "blobs", gate=server.sas)
    path = "/account/container/b.tif"
    answer = json.loads(asked(pool, server, f"{SAS_PATH}/token/account/container").data)
    assert asked(pool, server, path).status == 403
    assert asked(pool, server, f"{path}?{answer['token']}").data == CONTENT
    assert asked(pool, server, f"{path}?{answer['token']}&{answer['token']}").status == 403
    other = json.loads(asked(pool, server, f"{SAS_PATH}/token/account/other").data)
    assert asked(pool, server, f"{path}?{other['token']}").status == 403
    server.clock.advance(60)
    assert asked(pool, server, f"{path}?{answer['token']}").status == 403
    assert server.sas.issued == {"account/container": 1, "account/other": 1}
    assert answer["msft:expiry"] == f"{server.clock.now():%Y-%m-%dT%H:%M:%SZ}"


def test_sessions_are_opened_refreshed_and_closed(server, pool, tmp_path):
    (tmp_path / "eodata").mkdir()
    (tmp_path / "eodata/a.jp2").write_bytes(CONTENT)
    server.folder("/odata/v1/Products", tmp_path / "eodata", gate=server.identity)

    def grant(**form):
        return pool.request(
            "POST",
            f"{server.url}{IDENTITY_PATH}/token",
            fields={"client_id": "cdse-public"} | form,
            encode_multipart=False,
        )

    def get(token):
        headers = {"Authorization": f"Bearer {token}"}
        return pool.request("GET", f"{server.url}/odata/v1/Products/a.jp2", headers=headers).status

    wrong = grant(grant_type="password", username="somebody", password="no")
    assert wrong.status == 401
    first = grant(grant_type="password", username="somebody", password="p4ssw0rd").json()
    assert get(first["access_token"]) == 200
    server.clock.advance(600)
    assert get(first["access_token"]) == 403
    second = grant(grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert get(second["access_token"]) == 200
    assert grant(grant_type="refresh_token", refresh_token=first["refresh_token"]).status == 400
    assert server.identity.open_sessions == 1
    form = {"client_id": "cdse-public", "refresh_token": second["refresh_token"]}
    left = pool.request("POST", f"{server.url}{IDENTITY_PATH}/logout", fields=form, encode_multipart=False)
    assert (left.status, server.identity.open_sessions) == (204, 0)


def test_presigned_requests_need_a_key_that_is_known_and_a_signature_in_time(server, pool, tmp_path):
    (tmp_path / "eodata").mkdir()
    (tmp_path / "eodata/a.jp2").write_bytes(CONTENT)
    server.folder("/eodata", tmp_path / "eodata", gate=server.presigned)
    now = f"{server.clock.now():%Y%m%dT%H%M%SZ}"
    signed = (
        f"X-Amz-Credential=TESTKEY{quote('/', safe='')}20240701&X-Amz-Date={now}&X-Amz-Expires=60&X-Amz-Signature=0"
    )
    assert asked(pool, server, "/eodata/a.jp2").status == 403
    assert asked(pool, server, f"/eodata/a.jp2?{signed}").status == 200
    server.clock.advance(61)
    assert asked(pool, server, f"/eodata/a.jp2?{signed}").status == 403


def test_deleted_products_are_listed_by_name(server, pool):
    server.deleted_products.append({"Name": "S2A_ONE.SAFE", "DeletionDate": "2024-06-30T00:00:00Z"})
    for name, count in (("S2A_ONE.SAFE", 1), ("S2A_TWO.SAFE", 0)):
        url = f"{DELETED_PATH}?$filter={quote(f'Name eq {name!r}')}"
        assert len(json.loads(asked(pool, server, url).data)["value"]) == count


ITEMS = [
    {
        "id": f"item_{day:02d}",
        "collection": "one" if day % 2 else "two",
        "bbox": [10 + day, 45, 10.5 + day, 45.5],
        "properties": {"datetime": f"2024-06-{day:02d}T10:00:00Z", "eo:cloud_cover": 10 * day},
    }
    for day in range(1, 8)
]


def pages(pool, url, body) -> list[dict]:
    """All pages of a POST search, five at most."""
    found: list[dict] = []
    link = {"href": f"{url}/search", "body": body}
    while link and len(found) < 5:
        found.append(pool.request("POST", link["href"], json=link["body"]).json())
        link = next((one for one in found[-1]["links"] if one["rel"] == "next"), None)
    return found


def ids(found) -> list[str]:
    return [item["id"] for page in found for item in page["features"]]


def test_catalogues_are_searched_by_ground_time_collection_and_cloud(server, pool):
    url = server.catalogue(ITEMS)
    ascending = {"sortby": [{"field": "properties.datetime", "direction": "asc"}], "limit": 3}
    assert ids(pages(pool, url, ascending)) == [item["id"] for item in ITEMS]
    for query, expected in (
        ({"bbox": [12.6, 44, 13.2, 46]}, ["item_03"]),
        ({"datetime": "2024-06-02T00:00:00Z/2024-06-03T23:59:59Z"}, ["item_02", "item_03"]),
        ({"collections": ["two"]}, ["item_02", "item_04", "item_06"]),
        ({"query": {"eo:cloud_cover": {"lte": 20}}}, ["item_01", "item_02"]),
        ({"ids": ["item_05"]}, ["item_05"]),
        ({"bbox": [179, 44, 11.2, 46]}, ["item_01"]),
    ):
        assert ids(pages(pool, url, ascending | query)) == expected
    reply = asked(pool, server, "/api/stac/v1/search?collections=one,two&bbox=11,44,12.2,46&limit=1").json()
    assert [item["id"] for item in reply["features"]] == ["item_02"]
    following = next(link["href"] for link in reply["links"] if link["rel"] == "next")
    assert ids([pool.request("GET", following).json()]) == ["item_01"]


def test_catalogues_page_wrongly_on_request(server, pool):
    url = server.catalogue(ITEMS, "/same/v1", same_token=True)
    assert len(pages(pool, url, {"limit": 3})) == 5
    url = server.catalogue(ITEMS, "/twice/v1", repeats=1, matched=99)
    found = pages(pool, url, {"limit": 3})
    assert len(ids(found)) == 9
    assert len(set(ids(found))) == 7
    assert found[0]["numberMatched"] == 99
    url = server.catalogue(ITEMS, "/big/v1", fails_above=4, accepts_post=False)
    assert pool.request("POST", f"{url}/search", json={"limit": 5}).status == 500
    assert pool.request("POST", f"{url}/search", json={"limit": 4}).status == 405
    assert pool.request("GET", f"{url}/search?limit=4").status == 200


def test_the_clock_turns_with_every_request(server, pool):
    server.tick_s = 1.5
    before = server.clock.now()
    asked(pool, server)
    asked(pool, server)
    assert server.clock.now() - before == timedelta(seconds=3)
