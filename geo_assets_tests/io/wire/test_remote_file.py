"""A remote file as ranges of bytes: exactly what was asked, of the same file, in few requests."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.domain.errors import ArchiveRefusedError, ArchiveTransientError, AssetLostError
from geo_assets.io.reads.byte_source import ByteSource
from geo_assets.io.wire import remote_file
from geo_assets.io.wire.meter import Meter
from geo_assets.io.wire.remote_file import RemoteFile
from geo_assets_tests.io.wire.conftest import CONTENT, answer
from geo_assets_tests.scenery.faults import Claim, Drop, IgnoreRange, NewVersion, Shorten, Status, Truncate

RED = "/files/red.tif"


@pytest.fixture
def red(server, wire):
    return RemoteFile(f"{server.url}{RED}", wire=wire, where="item S2A_1, band red")


def part(first, last, total, body=None, **headers):
    """A raw 206."""
    body = CONTENT[first : last + 1] if body is None else body
    return answer("206 Partial Content", body, Content_Range=f"bytes {first}-{last}/{total}", **headers)


def test_it_is_a_byte_source(red):
    source: ByteSource = red
    assert source.where.startswith("item S2A_1, band red (http://127.0.0.1:")


def test_spans_come_back_exactly_and_in_the_order_asked(red):
    spans = [(50_000, 50_010), (0, 3), (102_399, 102_400), (0, 3), (7, 7)]
    assert [bytes(found) for found in red.read(spans)] == [CONTENT[first:end] for first, end in spans]
    assert red.size == len(CONTENT)


def test_the_head_is_one_request_and_what_lies_in_it_costs_none(server, red):
    assert red.head(16_384) == CONTENT[:16_384]
    assert red.attempts == 1
    assert red.head(100) == CONTENT[:100]
    assert [bytes(found) for found in red.read([(10, 20), (16_000, 16_384)])] == [
        CONTENT[10:20],
        CONTENT[16_000:16_384],
    ]
    assert red.attempts == 0
    assert len(server.requests) == 1


def test_a_longer_head_asks_for_the_rest_only(server, red):
    red.head(1000)
    assert red.head(3000) == CONTENT[:3000]
    assert [request.range for request in server.requests] == ["bytes=0-999", "bytes=1000-2999"]


def test_the_head_of_a_short_file_is_the_whole_file(server, red):
    assert red.head(1 << 20) == CONTENT
    assert red.head(2 << 20) == CONTENT
    assert len(server.requests) == 1
    assert red.size == len(CONTENT)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_empty_file_has_an_empty_head(server, wire, ranges):
    if not ranges:
        server.fail("*", IgnoreRange())
    empty = RemoteFile(f"{server.url}/files/empty.tif", wire=wire, where="empty")
    assert empty.head(100) == b""
    assert empty.size == 0
    assert empty.head(100) == b""
    assert len(server.requests) == 1
    with pytest.raises(AssetLostError, match="ends after 0 bytes"):
        empty.read([(0, 1)])


def test_traffic_is_counted(server, wire):
    server.fail(RED, Status(503), tries=1)
    meter = Meter()
    red = RemoteFile(f"{server.url}{RED}", wire=wire, where="red", meter=meter)
    red.read([(0, 1000)])
    assert red.attempts == 2
    assert (meter.requests, meter.retries, meter.bytes) == (2, 1, 1000 + len(b"refused"))
    assert meter.wait_s > 0


def test_attempts_are_known_after_a_failure(server, red):
    server.fail(RED, Drop())
    with pytest.raises(ArchiveTransientError, match=r"item S2A_1, band red .*red\.tif\), bytes 5-9: host 127\.0\.0\.1"):
        red.read([(5, 10)])
    assert red.attempts == 6


@pytest.mark.parametrize("effect", [Drop(), Truncate(0.5), Claim(length=10), Status(503)])
def test_a_range_that_breaks_off_is_read_again(server, red, effect):
    server.fail(RED, effect, tries=2)
    assert red.read([(1000, 3000)])[0] == CONTENT[1000:3000]
    assert red.attempts == 3


@pytest.mark.parametrize(
    ("effect", "fault"),
    [
        (Claim(header=""), "without saying which bytes"),
        (Claim(header="bytes 1000-2999"), "without saying which bytes"),
        (Claim(header="items 1000-2999/102400"), "without saying which bytes"),
        (Claim(header="bytes 1000-2999/*"), "does not say how large"),
        (Claim(header="bytes 1000-2998/102400"), "sends bytes 1000-2998 of 102400, asked for 1000-2999"),
        (Claim(header=f"bytes 1000-2999/{'9' * 30}"), "without saying which bytes"),
        (Claim(header="bytes 1000-2999/2000"), "sends bytes 1000-2999 of 2000"),
        (Claim(shift=1), "sends bytes 1001-3000"),
        (Claim(length=5000), "announces 5,000 bytes for a range of 2,000"),
        (Status(204), "HTTP 204"),
    ],
)
def test_a_range_that_is_not_the_one_asked_for_is_refused(server, red, effect, fault):
    server.fail(RED, effect)
    with pytest.raises(ArchiveRefusedError, match=fault):
        red.read([(1000, 3000)])
    assert len(server.requests) == 1


def test_a_compressed_range_is_refused(script, wire):
    one = script(part(0, 9, 100, Content_Encoding="gzip"))
    with pytest.raises(ArchiveRefusedError, match="encoding 'gzip', expected the file's own bytes"):
        RemoteFile(one.url, wire=wire, where="red").head(10)
    assert b"Accept-Encoding: identity" in one.requests[0]


def test_a_chunked_range_of_the_right_length_is_read(script, wire):
    def chunked(body):
        return part(0, 6, 100, body, Content_Length=None, Transfer_Encoding="chunked")

    good, long = chunked(b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"), chunked(b"9\r\nabcdefghi\r\n0\r\n\r\n")
    short = chunked(b"3\r\nabc\r\n0\r\n\r\n")
    one = script(good, good)
    red = RemoteFile(one.url, wire=wire, where="red")
    assert red.read([(0, 7)]) == red.read([(0, 7)]) == [b"abcdefg"]
    assert one.connections == 1
    assert RemoteFile(script(short, good).url, wire=wire, where="red").read([(0, 7)]) == [b"abcdefg"]
    with pytest.raises(ArchiveRefusedError, match="sends more than the 7 bytes"):
        RemoteFile(script(long).url, wire=wire, where="red").read([(0, 7)])


def test_a_host_that_ignores_ranges_is_read_just_to_the_end_of_the_span(server, wire):
    server.fail(RED, IgnoreRange())
    meter = Meter()
    red = RemoteFile(f"{server.url}{RED}", wire=wire, where="red", meter=meter)
    assert red.read([(1000, 3000)])[0] == CONTENT[1000:3000]
    assert red.size == len(CONTENT)
    assert meter.bytes == 3000
    assert red.head(1 << 20) == CONTENT
    with pytest.raises(AssetLostError, match="ends after 102,400 bytes"):
        red.read([(102_399, 102_401)])


def test_a_whole_file_without_length_is_read_only_where_its_end_is_certain(script, wire):
    whole = b"%x\r\n%s\r\n0\r\n\r\n" % (len(CONTENT), CONTENT)
    one = script(answer(body=whole, Content_Length=None, Transfer_Encoding="chunked"))
    assert RemoteFile(one.url, wire=wire, where="red").head(1 << 20) == CONTENT
    with pytest.raises(ArchiveRefusedError, match="does not say how large"):
        RemoteFile(one.url, wire=wire, where="red").head(1000)
    one = script(answer(body=CONTENT, Content_Length=None, Connection="close"))
    with pytest.raises(ArchiveRefusedError, match="does not say how large"):
        RemoteFile(one.url, wire=wire, where="red").head(1 << 20)


def test_a_web_page_is_no_file(script, wire):
    one = script(answer(body=b"<html>log in</html>", Content_Type="text/html; charset=utf-8"))
    with pytest.raises(ArchiveRefusedError, match="answers with a web page"):
        RemoteFile(one.url, wire=wire, where="red").head(10)


def test_a_host_that_ignores_ranges_is_not_read_through_far(server, wire):
    server.fail(RED, IgnoreRange())
    with pytest.raises(ArchiveRefusedError, match="does not serve ranges of bytes"):
        wire.span(f"{server.url}{RED}", 1 << 30, (1 << 30) + 1)


def test_a_whole_file_that_breaks_off_is_read_again(script, wire):
    short = answer(body=CONTENT[:500], Content_Length=len(CONTENT), Connection="close")
    one = script(short, answer(body=CONTENT))
    assert RemoteFile(one.url, wire=wire, where="red").read([(1000, 1010)])[0] == CONTENT[1000:1010]


def test_a_file_that_changes_while_it_is_read_is_a_passing_failure(server, red):
    red.head(100)
    server.fail(RED, NewVersion())
    with pytest.raises(ArchiveTransientError, match=r"changed while it was read .*ETag .*, now '.another.'"):
        red.read([(1000, 1010)])


def test_a_file_that_grows_while_it_is_read_is_a_passing_failure(server, red):
    red.head(100)
    server.fail(RED, Claim(total=200_000))
    with pytest.raises(ArchiveTransientError, match="102,400 bytes, now 200,000"):
        red.read([(1000, 1010)])
    server.heal()
    server.fail(RED, Shorten(0.5))
    with pytest.raises(ArchiveTransientError, match="changed"):
        red.read([(100_000, 100_010)])


def test_a_file_of_another_size_than_the_catalogue_says_is_lost(server, wire):
    red = RemoteFile(f"{server.url}{RED}", wire=wire, where="red", size_bytes=102_401)
    assert red.size == 102_401
    with pytest.raises(AssetLostError, match="has 102,400 bytes, the catalogue says 102,401"):
        red.head(10)
    red = RemoteFile(f"{server.url}{RED}", wire=wire, where="red", size_bytes=102_400)
    assert red.head(10) == CONTENT[:10]


def test_a_span_past_the_end_is_lost_and_not_asked_for_where_the_size_is_known(server, red):
    for first in (102_000, 102_400, 200_000):
        with pytest.raises(AssetLostError, match="ends after 102,400 bytes"):
            red.read([(first, 300_000)])
    assert len(server.requests) == 1


def test_the_end_of_a_file_is_believed_only_with_its_size(script, wire):
    one = script(answer("416 Range Not Satisfiable"))
    with pytest.raises(ArchiveRefusedError, match="no bytes follow byte 10"):
        RemoteFile(one.url, wire=wire, where="red").read([(10, 20)])
    one = script(answer("416 Range Not Satisfiable", Content_Range="bytes */1000"))
    with pytest.raises(ArchiveRefusedError, match="no bytes follow byte 10"):
        RemoteFile(one.url, wire=wire, where="red").read([(10, 20)])


def test_a_span_that_is_none_or_enormous_is_not_asked_for(server, red):
    with pytest.raises(ValueError, match="is no span"):
        red.read([(10, 5)])
    with pytest.raises(ArchiveRefusedError, match="bytes are asked for at once"):
        red.read([(0, 1 << 40)])
    assert server.requests == []


def test_neighbours_share_a_request_as_long_as_next_to_nothing_is_read_in_vain(server, red):
    red.read([(0, 1000), (1000, 2000), (2050, 3000), (60_000, 60_010)])
    assert [request.range for request in server.requests] == ["bytes=0-2999", "bytes=60000-60009"]


@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(1, 10**6)), max_size=30))
def test_joined_ranges_hold_every_span_once_and_read_little_in_vain(places):
    spans = [(first, first + length) for first, length in places]
    joined = list(remote_file._joined(spans))
    assert sorted(span for *_, members in joined for span in members) == sorted(set(spans))
    for start, stop, members in joined:
        assert min(first for first, _ in members) == start
        assert max(end for _, end in members) == stop
        assert len(members) == 1 or stop - start <= 8 << 20
    needed = sum(end - first for first, end in set(spans))
    assert sum(stop - start for start, stop, _ in joined) <= 1.05 * needed


def test_ranges_are_joined_up_to_eight_mebibytes():
    mebibyte = 1 << 20
    spans = [(index * mebibyte, (index + 1) * mebibyte) for index in range(20)]
    assert [(start, stop) for start, stop, _ in remote_file._joined(spans)] == [
        (0, 8 * mebibyte), (8 * mebibyte, 16 * mebibyte), (16 * mebibyte, 20 * mebibyte),
    ]  # fmt: skip


def test_after_a_refresh_nothing_remembered_is_used(script, wire):
    one = script(part(0, 99, 1000))
    red = RemoteFile(one.url, wire=wire, where="red")
    red.head(100)
    red.refresh()
    red.head(100)
    assert one.connections == 2
    assert b"Cache-Control" not in one.requests[0]
    assert b"Cache-Control: no-cache" in one.requests[1]


def test_after_a_refresh_it_must_still_be_the_same_file(server, red):
    red.head(100)
    red.refresh()
    server.fail(RED, NewVersion())
    with pytest.raises(ArchiveTransientError, match="changed"):
        red.head(100)


@pytest.mark.parametrize(
    ("code", "name"), [("1220", "sha256"), ("d50110", "md5"), ("1114", "sha1"), ("1340", "sha512"), ("2030", "sha384")]
)
def test_a_checksum_that_fits_is_confirmed(red, server, wire, code, name, monkeypatch):
    monkeypatch.setattr(remote_file, "_CHECKSUM_PIECE_BYTES", 10_000)
    digest = hashlib.new(name, CONTENT).hexdigest()
    meter = Meter()
    red = RemoteFile(f"{server.url}{RED}", wire=wire, where="red", checksum=code + digest, meter=meter)
    assert red.verify_checksum()
    assert (meter.requests, meter.bytes) == (11, len(CONTENT))


def test_a_checksum_that_does_not_fit_means_that_the_file_is_lost(server, wire):
    red = RemoteFile(f"{server.url}{RED}", wire=wire, where="red", checksum="1220" + "0" * 64)
    with pytest.raises(AssetLostError, match=r"sha256 is .*, the catalogue says 000"):
        red.verify_checksum()


@pytest.mark.parametrize("checksum", [None, "1e20" + "0" * 64])
def test_no_checksum_or_one_of_a_kind_that_is_not_computed_is_not_confirmed(server, wire, checksum):
    assert not RemoteFile(f"{server.url}{RED}", wire=wire, where="red", checksum=checksum).verify_checksum()
    assert server.requests == []


@pytest.mark.parametrize("checksum", ["", "no hex", "12", "1220", "1220ab", "12200", "ffffffffff", "1210" + "0" * 32])
def test_a_checksum_that_is_no_multihash_is_refused(server, wire, checksum):
    with pytest.raises(ArchiveRefusedError, match="catalogue's checksum"):
        RemoteFile(f"{server.url}{RED}", wire=wire, where="red", checksum=checksum).verify_checksum()
