"""One request and its answer: what is tried again, what is an error, and what an error says."""

import gzip
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime

import pytest

from geo_assets.domain.errors import ArchiveRefusedError, ArchiveTransientError, AssetLostError
from geo_assets.io.wire.governor import Governor, HostLimits
from geo_assets.io.wire.meter import Meter
from geo_assets.io.wire.signing import Signed, Unsigned
from geo_assets_tests.io.wire.conftest import CONTENT, answer
from geo_assets_tests.scenery.faults import Drip, Drop, Redirect, Stall, Status, Truncate

RED = "/files/red.tif"


class Tickets:
    """A signer whose tickets are numbered."""

    remedy = "Buy another ticket."

    def __init__(self):
        self.number = 0
        self.renewals = 0

    def signed(self, href):
        return Signed(f"{href}?ticket={self.number}", {"Authorization": f"Bearer SECRET-{self.number}"})

    def renew(self, href, refused=None):
        self.renewals += 1
        self.number += 1


def with_causes(error):
    """The texts of an error and of everything that hangs on it."""
    while error is not None:
        yield f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_the_whole_answer_comes_back(server, wire):
    meter = Meter()
    reply = wire.request("GET", f"{server.url}{RED}", meter=meter)
    assert (reply.status, reply.body) == (200, CONTENT)
    assert reply.headers["content-length"] == str(len(CONTENT))
    assert meter.snapshot() == {"requests": 1, "bytes": len(CONTENT), "retries": 0, "renewals": 0, "wait_s": 0.0}
    assert "SECRET" not in repr(type(reply)(200, {"x": "SECRET"}, b"SECRET"))


def test_a_head_request_has_no_body(server, wire):
    reply = wire.request("HEAD", f"{server.url}{RED}")
    assert (reply.body, reply.headers["Content-Length"]) == (b"", str(len(CONTENT)))


def test_connections_are_used_again(script, wire):
    one = script(answer(body=b"yes"))
    for _ in range(5):
        assert wire.request("GET", one.url).body == b"yes"
    assert one.connections == 1


def test_the_connection_of_a_short_error_is_used_again_too(script, wire):
    one = script(answer("503 Busy", b"busy"), answer(body=b"yes"))
    assert wire.request("GET", one.url).body == b"yes"
    assert one.connections == 1


def test_after_forgetting_a_host_its_connections_are_fresh(script, wire):
    one = script(answer(body=b"yes"))
    wire.request("GET", one.url)
    wire.forget_connections(one.url)
    wire.request("GET", one.url)
    assert one.connections == 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(server, wire, clock, status):
    server.fail(RED, Status(status), tries=3)
    meter = Meter()
    assert wire.request("GET", f"{server.url}{RED}", meter=meter).body == CONTENT
    assert (meter.requests, meter.retries) == (4, 3)
    assert meter.wait_s == pytest.approx(clock())
    assert 0.5 * 1.75 <= clock() <= 1.5 * 1.75


@pytest.mark.parametrize("effect", [Drop(), Truncate(0.5), Truncate(0.0)])
def test_a_broken_connection_is_tried_again(server, wire, effect):
    server.fail(RED, effect, tries=2)
    meter = Meter()
    assert wire.request("GET", f"{server.url}{RED}", meter=meter).body == CONTENT
    assert meter.retries == 2


def test_a_stalled_answer_is_tried_again(server, new_wire):
    server.fail(RED, Stall(), times=1)
    server.fail(RED, Stall(after_bytes=100), times=1)
    meter = Meter()
    assert new_wire(read_s=0.05).request("GET", f"{server.url}{RED}", meter=meter).body == CONTENT
    assert meter.retries == 2


@pytest.mark.parametrize("effect", [Drip(piece_bytes=1, pause_s=0.02), Drip(piece_bytes=40, pause_s=0.02)])
def test_an_answer_that_drips_ends_in_time_though_no_single_wait_is_long(server, new_wire, effect):
    server.fail(RED, effect)
    with pytest.raises(ArchiveTransientError, match=r"in 1 attempts .* stalled"):
        new_wire(read_s=0.1, attempts=1).request("GET", f"{server.url}{RED}")


def test_a_slow_answer_has_the_time_that_its_length_takes(server, new_wire):
    # 102,400 bytes at 50 kB/s: 2 s, where twice the time-out of a read is 0.2 s.
    server.fail(RED, Drip(piece_bytes=5_000, pause_s=0.02))
    assert new_wire(read_s=0.1, attempts=1).request("GET", f"{server.url}{RED}").body == CONTENT


def test_an_error_after_the_last_attempt_names_host_attempts_cause_and_remedy(server, wire):
    server.fail(RED, Status(503))
    with pytest.raises(ArchiveTransientError) as failure:
        wire.request("GET", f"{server.url}{RED}?sig=SECRET", what="Scene S2A_1, band red")
    message = str(failure.value)
    assert message.startswith("Scene S2A_1, band red: host 127.0.0.1 failed in 6 attempts")
    assert "HTTP 503" in message
    assert "Run it again" in message
    assert len(server.requests) == 6


def test_patience_ends_before_the_attempts_do(server, new_wire, clock):
    server.fail(RED, Status(503))
    with pytest.raises(ArchiveTransientError, match="attempts within"):
        new_wire(patience_s=20.0, attempts=1000).request("GET", f"{server.url}{RED}")
    assert 5.0 < clock() <= 20.0


def test_a_host_that_is_not_there_is_a_passing_failure(new_wire):
    with pytest.raises(ArchiveTransientError, match=r"2 attempts .* refused connection"):
        new_wire(attempts=2).request("GET", "http://127.0.0.1:9/a")


def test_the_pause_that_a_host_asks_for_is_kept(server, wire, clock):
    server.fail(RED, Status(429, retry_after="17"), tries=1)
    wire.request("GET", f"{server.url}{RED}")
    assert clock() == pytest.approx(17.0)


def test_a_pause_until_a_date_is_counted_by_the_hosts_clock_or_else_by_ours(script, new_wire, clock):
    wire = new_wire()
    then = format_datetime(clock.now().replace(minute=1), usegmt=True)
    one = script(answer("503 Busy", Retry_After=then), answer())
    wire.request("GET", one.url)
    assert clock() == pytest.approx(60.0)
    hosts_time = format_datetime(clock.now().replace(hour=3, minute=0), usegmt=True)
    then = format_datetime(clock.now().replace(hour=3, minute=2), usegmt=True)
    two = script(answer("503 Busy", Date=hosts_time, Retry_After=then), answer())
    wire.request("GET", two.url)
    assert clock() == pytest.approx(180.0)


@pytest.mark.parametrize("text", ["soon", "-5", "1e3", "Mon, 99 Foo", "9" * 30])
def test_a_pause_that_is_no_time_is_not_kept(script, wire, clock, text):
    wire.request("GET", script(answer("503 Busy", Retry_After=text), answer()).url)
    assert clock() < 1.0


def test_a_pause_beyond_our_patience_is_an_error_at_once(server, wire, clock):
    server.fail(RED, Status(503, retry_after="3600"))
    with pytest.raises(ArchiveTransientError, match="HTTP 503, asking for a pause of 3600 s"):
        wire.request("GET", f"{server.url}{RED}")
    assert len(server.requests) == 1
    with pytest.raises(ArchiveTransientError, match=r"after 0 failed attempts, host 127\.0\.0\.1 asks for a pause"):
        wire.request("GET", f"{server.url}{RED}")
    assert len(server.requests) == 1


def test_a_host_that_is_down_is_soon_left_alone(server, new_wire, clock):
    server.fail(RED, Status(503))
    wire = new_wire(governor=Governor(breaker_failures=4, clock=clock, sleep=clock.sleep))
    told = "after 4 failed attempts, host .* failed 4 times in a row, the last time with HTTP 503"
    with pytest.raises(ArchiveTransientError, match=told):
        wire.request("GET", f"{server.url}{RED}")
    assert len(server.requests) == 4


def test_waiting_for_a_free_connection_uses_up_no_patience(server, new_wire, clock):
    governor = Governor(HostLimits(requests_per_minute=6), clock=clock, sleep=clock.sleep)
    wire = new_wire(governor=governor, patience_s=1.0)
    for _ in range(5):
        assert wire.request("GET", f"{server.url}{RED}").body == CONTENT
    assert clock() == pytest.approx(40.0)


def test_a_host_never_sees_more_connections_than_it_bears(server, new_wire, clock):
    wire = new_wire(governor=Governor(HostLimits(connections=2), clock=clock, sleep=clock.sleep))
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: wire.request("GET", f"{server.url}{RED}").body, range(40)))
    assert set(replies) == {CONTENT}
    assert server.busiest <= 2


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_is_gone_is_lost_at_once(server, wire, status):
    server.fail(RED, Status(status))
    with pytest.raises(AssetLostError, match=f"red: .*red.tif is gone .HTTP {status}"):
        wire.request("GET", f"{server.url}{RED}", what="red")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 405, 409, 418, 501, 505])
def test_any_other_status_is_refused_at_once(server, wire, status):
    server.fail(RED, Status(status))
    with pytest.raises(ArchiveRefusedError, match=f"answers HTTP {status}, expected 2xx"):
        wire.request("GET", f"{server.url}{RED}")
    assert len(server.requests) == 1


def test_a_catalogues_own_words_are_quoted_and_a_storages_are_not(script, wire):
    said = b'{"detail": "bbox is\ninverted\x1b[31m"}'
    with pytest.raises(ArchiveRefusedError, match=r'It says: {"detail": "bbox is inverted') as refusal:
        wire.request("GET", script(answer("400 Bad", said, Content_Type="application/json")).url)
    assert "\x1b" not in str(refusal.value)
    said = b"<Error><StringToSign>SECRET</StringToSign></Error>"
    with pytest.raises(ArchiveRefusedError) as refusal:
        wire.request("GET", script(answer("400 Bad", said, Content_Type="application/xml")).url)
    assert "SECRET" not in str(refusal.value)


def test_a_status_that_the_caller_accepts_comes_back(server, wire):
    server.fail(RED, Status(503, body=b"busy"))
    reply = wire.request("GET", f"{server.url}{RED}", accept={503})
    assert (reply.status, reply.body) == (503, b"busy")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("signer", [None, Unsigned()])
def test_without_credentials_a_refusal_is_final(server, wire, status, signer):
    server.fail(RED, Status(status))
    with pytest.raises(ArchiveRefusedError, match=r"without credentials. It needs credentials"):
        wire.request("GET", f"{server.url}{RED}", signer=signer)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
def test_after_a_refusal_credentials_are_renewed_once_and_tried(server, wire, status):
    server.fail(RED, Status(status), tries=1)
    signer, meter = Tickets(), Meter()
    assert wire.request("GET", f"{server.url}{RED}", signer=signer, meter=meter).body == CONTENT
    assert [request.query for request in server.requests] == ["ticket=0", "ticket=1"]
    assert (signer.renewals, meter.renewals, meter.retries) == (1, 1, 0)


def test_renewed_credentials_that_are_refused_are_an_error_with_the_signers_remedy(server, wire):
    server.fail(RED, Status(403))
    signer = Tickets()
    with pytest.raises(ArchiveRefusedError, match=r"with renewed credentials too. Buy another ticket") as refusal:
        wire.request("GET", f"{server.url}{RED}", signer=signer)
    assert (signer.renewals, len(server.requests)) == (1, 2)
    assert "ticket=" not in str(refusal.value)


def test_every_attempt_is_signed_anew(server, wire):
    server.fail(RED, Status(503), tries=1)
    signer = Tickets()
    sign = signer.signed

    def next_ticket(href):
        signer.number += 1
        return sign(href)

    signer.signed = next_ticket
    wire.request("GET", f"{server.url}{RED}", signer=signer)
    assert [request.query for request in server.requests] == ["ticket=1", "ticket=2"]


def test_nothing_is_signed_for_a_host_that_is_not_on_the_list(wire):
    signer = Tickets()
    signer.signed = pytest.fail
    with pytest.raises(ArchiveRefusedError, match="not on the archive's list"):
        wire.request("GET", "https://evil.example/a", signer=signer)


def test_a_redirect_on_the_same_host_keeps_the_credentials(server, wire):
    server.fail("/old/*", Redirect(RED))
    reply = wire.request("GET", f"{server.url}/old/red.tif", signer=Tickets())
    assert reply.body == CONTENT
    assert all(request.has_credentials for request in server.requests)
    assert len(server.requests) == 2


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_on_the_list_loses_the_credentials(server, new_wire, code):
    server.fail("/old/*", Redirect(f"{server.other_host}{RED}", code))
    wire = new_wire("127.0.0.1", "localhost")
    headers = {"Ocp-Apim-Subscription-Key": "SECRET", "Cookie": "SECRET", "Range": "bytes=0-9"}
    reply = wire.request("GET", f"{server.url}/old/red.tif", signer=Tickets(), headers=headers)
    assert reply.body == CONTENT[:10]
    first, second = server.requests
    assert first.has_credentials
    assert first.headers["ocp-apim-subscription-key"] == "SECRET"
    assert "SECRET" not in str(second)
    assert second.range == "bytes=0-9"


def test_a_redirect_to_a_host_that_is_not_on_the_list_is_refused(server, wire):
    server.fail("/old/*", Redirect(f"{server.other_host}{RED}?sig=SECRET"))
    with pytest.raises(ArchiveRefusedError, match=r"redirects elsewhere.*localhost is not on the archive's list") as e:
        wire.request("GET", f"{server.url}/old/red.tif")
    assert len(server.requests) == 1
    assert not any("SECRET" in text for text in with_causes(e.value))


@pytest.mark.parametrize("target", ["file:///etc/passwd", "//user@127.0.0.1/a", "http://[", "s3://bucket/key"])
def test_a_redirect_to_no_address_is_refused(server, wire, target):
    server.fail("/old/*", Redirect(target))
    with pytest.raises(ArchiveRefusedError, match="redirects"):
        wire.request("GET", f"{server.url}/old/red.tif")


def test_redirects_in_a_circle_are_refused(server, wire):
    server.fail("/old/*", Redirect("{path}"))
    with pytest.raises(ArchiveRefusedError, match="redirected more than 3 times"):
        wire.request("GET", f"{server.url}/old/red.tif")
    assert len(server.requests) == 4


def test_a_redirect_without_a_target_is_refused(script, wire):
    with pytest.raises(ArchiveRefusedError, match="answers HTTP 302"):
        wire.request("GET", script(answer("302 Found")).url)


def test_what_is_posted_stays_with_its_host(server, new_wire):
    server.fail("/old/*", Redirect(f"{server.other_host}{RED}", 307))
    with pytest.raises(ArchiveRefusedError, match="sends what was posted on to"):
        new_wire("127.0.0.1", "localhost").request("POST", f"{server.url}/old/login", body=b"password=SECRET")


def test_a_post_that_is_answered_elsewhere_is_fetched_from_there(server, wire):
    server.fail("/old/*", Redirect(RED, 303))
    assert wire.request("POST", f"{server.url}/old/search", body=b"{}").body == CONTENT
    assert [request.method for request in server.requests] == ["POST", "GET"]


def test_a_compressed_answer_is_unpacked_and_bounded(script, wire):
    text = b"{}" * 5000
    one = script(answer(body=gzip.compress(text), Content_Encoding="gzip"))
    assert wire.request("GET", one.url, limit_bytes=len(text)).body == text
    assert b"Accept-Encoding: gzip" in one.requests[0]
    with pytest.raises(ArchiveRefusedError, match="unpacks to more than 9,999 bytes"):
        wire.request("GET", one.url, limit_bytes=9_999)


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-4], lambda packed: packed + b"x", lambda packed: b"x" + packed]
)
def test_a_damaged_compressed_answer_is_tried_again(script, wire, damage):
    packed = gzip.compress(b"{}" * 5000)
    one = script(answer(body=damage(packed), Content_Encoding="gzip"), answer(body=packed, Content_Encoding="gzip"))
    assert wire.request("GET", one.url).body == b"{}" * 5000


def test_an_encoding_that_nobody_asked_for_is_refused(script, wire):
    with pytest.raises(ArchiveRefusedError, match="encoding 'br'"):
        wire.request("GET", script(answer(body=b"x", Content_Encoding="br")).url)


def test_an_answer_beyond_the_limit_is_refused_unread(script, wire):
    with pytest.raises(ArchiveRefusedError, match="announces 4,000,000,000 bytes, expected at most 1,000"):
        wire.request("GET", script(answer(Content_Length=4_000_000_000)).url, limit_bytes=1000)
    endless = answer(body=b"x" * 5000, Content_Length=None, Connection="close")
    with pytest.raises(ArchiveRefusedError, match="sends more than 1,000 bytes"):
        wire.request("GET", script(endless).url, limit_bytes=1000)


def test_a_chunked_answer_is_put_together(script, wire):
    chunked = answer(body=b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", Content_Length=None, Transfer_Encoding="chunked")
    one = script(chunked)
    assert wire.request("GET", one.url).body == b"abcdefg"
    assert wire.request("GET", one.url).body == b"abcdefg"
    assert one.connections == 1


def test_a_chunked_answer_that_breaks_off_is_tried_again(script, wire):
    short = answer(body=b"3\r\nabc\r\n4\r\nde", Content_Length=None, Transfer_Encoding="chunked", Connection="close")
    assert wire.request("GET", script(short, answer(body=b"yes")).url).body == b"yes"


@pytest.mark.parametrize(
    "raw", [b"nonsense\r\n\r\n", b"HTTP/1.1 999999 x\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200]
)
def test_an_answer_that_is_no_http_is_a_passing_failure(script, new_wire, raw):
    with pytest.raises(ArchiveTransientError, match="2 attempts"):
        new_wire(attempts=2, read_s=0.2).request("GET", script(raw).url)


@pytest.mark.parametrize(
    "effect", [Status(503), Status(404), Status(400), Drop(), Truncate(), Redirect("http://a.b/c?sig=SECRET")]
)
def test_no_error_shows_a_signature_anywhere(server, new_wire, caplog, effect):
    caplog.set_level(logging.DEBUG)
    server.fail(RED, effect)
    with pytest.raises((ArchiveTransientError, AssetLostError, ArchiveRefusedError)) as failure:
        new_wire(attempts=2).request("GET", f"{server.url}{RED}?sig=SECRET", headers={"Authorization": "SECRET"})
    assert not any("SECRET" in text for text in with_causes(failure.value))
    assert "SECRET" not in caplog.text
    assert failure.value.__context__ is None


def test_what_urllib3_logs_has_no_query(server, wire, caplog):
    caplog.set_level(logging.DEBUG)
    wire.request("GET", f"{server.url}{RED}?sig=SECRET")
    assert "red.tif" in caplog.text
    assert "SECRET" not in caplog.text


def test_a_thread_that_is_interrupted_gives_its_connection_back(server, new_wire, clock, monkeypatch):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    wire = new_wire(governor=Governor(HostLimits(connections=1), clock=clock, sleep=clock.sleep))
    with monkeypatch.context() as patch:
        patch.setattr(wire._connections, "send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            wire.request("GET", f"{server.url}{RED}")
    assert wire.request("GET", f"{server.url}{RED}").body == CONTENT


def test_a_proxy_of_the_environment_is_used_and_this_machine_bypassed(script, server, new_wire, monkeypatch):
    proxy = script(answer(body=b"by proxy"))
    monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://user:p%40ss@").removesuffix("/file"))
    monkeypatch.setenv("no_proxy", "")
    wire = new_wire("127.0.0.1", "http://archive.example")
    assert wire.request("GET", "http://archive.example/a?b=c").body == b"by proxy"
    assert b"GET http://archive.example/a?b=c HTTP/1.1" in proxy.requests[0]
    assert b"basic dxnlcjpwqhnz" in proxy.requests[0].lower()  # user:p@ss
    assert wire.request("GET", f"{server.url}{RED}").body == CONTENT
    assert len(proxy.requests) == 1


def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(new_wire, monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://user:SECRET@127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ArchiveRefusedError, match=r"Proxy socks5://127.0.0.1:1: expected http") as refusal:
        new_wire("archive.example").request("GET", "https://archive.example/a")
    assert "SECRET" not in str(refusal.value)


def test_threads_of_one_wire_do_not_mix_their_answers(server, wire):
    lost = []

    def read(number):
        first = number * 97 % 90_000
        span = wire.span(f"{server.url}{RED}", first, first + 1000)
        if span.body != CONTENT[first : first + 1000]:
            lost.append(number)

    server.fail(RED, Drop(), share=0.05)
    server.fail(RED, Status(503), share=0.05)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(300)))
    assert lost == []
    assert threading.active_count() < 100
