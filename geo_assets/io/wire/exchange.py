"""One request and its answer: tried again when that may help, signed anew when refused, complete or an error."""

import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Generic, TypeVar
from urllib.parse import urljoin, urlsplit

import urllib3

from geo_assets import __version__
from geo_assets.domain.errors import ArchiveRefusedError, ArchiveTransientError, AssetLostError
from geo_assets.io.wire.addresses import HostRule, checked_url, shown
from geo_assets.io.wire.bodies import Broken, Span, Unacceptable, span_body, whole_body
from geo_assets.io.wire.connections import Connections, Route, due_in, finish, route_to
from geo_assets.io.wire.governor import NO_WAIT, Governor
from geo_assets.io.wire.meter import Meter
from geo_assets.io.wire.outcomes import (
    LIBRARY_ERRORS,
    Denied,
    Done,
    Failed,
    HeldBack,
    Hopeless,
    Moved,
    is_about_trust,
    reason_of,
)
from geo_assets.io.wire.signing import Signed, Signer, Unsigned

_log = logging.getLogger(__name__)

_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})
_DENIED = frozenset({401, 403})
_EXPIRED_ON_S3 = 400  # S3 answers so when the session behind a signature has ended
_GONE = frozenset({404, 410})
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 3
_KEPT_ROUTES = 4_096
_FIRST_BACKOFF_S = 0.25
_LONGEST_BACKOFF_S = 30.0
_SLOWEST_BYTES_S = 50_000  # an answer that comes slower counts as stalled
_EXCERPT_BYTES, _EXCERPT_CHARACTERS = 2_000, 200
_USER_AGENT = f"geo-assets/{__version__}"
# Headers that may follow a redirect to another host: none of them lets anybody in.
_HARMLESS_HEADERS = frozenset({"accept", "accept-encoding", "cache-control", "range", "user-agent"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes
    """Decompressed."""

    def __repr__(self) -> str:
        return f"Reply(status={self.status}, {len(self.body):,} bytes)"  # a body may be a token


@dataclass(frozen=True, slots=True)
class _Order(Generic[T]):
    """What is wanted."""

    what: str
    """How messages begin."""
    method: str
    href: str
    headers: Mapping[str, str]
    receive: Callable[[urllib3.BaseHTTPResponse], T]
    meter: Meter
    signer: Signer | None
    expected_bytes: int
    """Decides how long a body may take whose length nobody states."""
    body: bytes | None = field(default=None, repr=False)
    accept: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Patience:
    """How long an order may take."""

    started: float
    deadline: float


def utc_now() -> datetime:
    """The machine's time of day, aware."""
    return datetime.now(UTC)


class Wire:
    """Requests to the hosts of one archive.

    Usable from many threads. Connections are kept alive; proxies of the environment are used, except to this machine.

    Parameters
    ----------
    rule
        The hosts that may be asked, at first and after a redirect.
    governor
        Limits of the hosts; share it among all that talk to them.
    patience_s
        An order fails for good after so long, back-off and pauses that the host asked for included. Queueing for one
        of the governor's connections does not count.
    connect_s, read_s
        For a connection to be taken, and for each next piece of an answer. A request as a whole, however its answer
        drips, has twice `read_s`, or as long as its bytes take at 50 kB/s.
    attempts
        Requests for one order before it fails for good; redirects and one renewal of credentials do not count.
    clock, sleep, now
        Seconds that only grow, waiting for them, and the aware time of day.
    """

    def __init__(
        self,
        rule: HostRule,
        *,
        governor: Governor | None = None,
        patience_s: float = 180.0,
        connect_s: float = 10.0,
        read_s: float = 30.0,
        attempts: int = 6,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.rule = rule
        self._governor = governor or Governor(clock=clock, sleep=sleep)
        self._connections = Connections(connect_s=connect_s, read_s=read_s)
        self._patience_s, self._read_s, self._attempts = patience_s, read_s, attempts
        self._clock, self._sleep, self._now = clock, sleep, now
        self._routes: dict[str, Route] = {}

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit_bytes: int = 16 << 20,
        what: str = "",
        meter: Meter | None = None,
        signer: Signer | None = None,
        accept: Collection[int] = (),
    ) -> Reply:
        """The whole answer to a request.

        Parameters
        ----------
        method
            GET or HEAD, or a POST that does no harm when sent twice.
        url
            Unsigned address; `signer` signs it for every attempt.
        limit_bytes
            The most that the body may have, also when decompressed.
        what
            How messages begin: what is read, of which item or collection.
        meter
            Counts what is sent and received.
        accept
            Statuses beside 2xx that come back as a reply, neither tried again nor an error.

        Raises
        ------
        ArchiveTransientError
            The host did not answer completely within attempts and patience.
        AssetLostError
            404 or 410.
        ArchiveRefusedError
            The host does not let us in, an address is not to be asked, or the answer is not to be trusted.
        """

        def receive(response: urllib3.BaseHTTPResponse) -> Reply:
            return Reply(response.status, MappingProxyType(response.headers), whole_body(response, limit_bytes))

        order = _Order(
            what=what or shown(url),
            method=method,
            href=url,
            headers={"Accept-Encoding": "gzip", **(headers or {})},
            receive=receive,
            meter=meter or Meter(),
            signer=_who_signs(signer),
            expected_bytes=limit_bytes,
            body=body,
            accept=frozenset(accept),
        )
        return self._carried_out(order)

    def span(
        self,
        href: str,
        start: int,
        stop: int,
        *,
        what: str = "",
        meter: Meter | None = None,
        signer: Signer | None = None,
        past_caches: bool = False,
    ) -> Span:
        """The bytes `start` to `stop` (exclusive, more than `start`) of a file, fewer only where the file ends.

        Parameters
        ----------
        past_caches
            Ask caches on the way to ask the host again.

        Raises
        ------
        ArchiveTransientError, AssetLostError, ArchiveRefusedError
            As in `request`.
        """
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{stop - 1}"}
        if past_caches:
            headers["Cache-Control"] = "no-cache"
        order = _Order(
            what=f"{what or shown(href)}, bytes {start}-{stop - 1}",
            method="GET",
            href=href,
            headers=headers,
            receive=lambda response: span_body(response, start, stop),
            meter=meter or Meter(),
            signer=_who_signs(signer),
            expected_bytes=stop - start,
            accept=frozenset({416}),
        )
        return self._carried_out(order)

    def forget_connections(self, href: str, signer: Signer | None = None) -> None:
        """Use fresh connections to the host of a file from now on."""
        self._connections.forget(route_to(href if signer is None else signer.signed(href).url).origin)

    def close(self) -> None:
        """Close idle connections; what is under way ends as it would."""
        self._connections.close()

    def _carried_out(self, order: _Order[T]) -> T:
        """The order's answer, whatever it takes within attempts and patience."""
        started = self._clock()
        patience = _Patience(started, started + self._patience_s)
        failures, renewed = 0, False
        while True:
            signed = self._signed(order)
            outcome = self._attempt(order, signed, patience)
            if isinstance(outcome, Done):
                return outcome.value
            if isinstance(outcome, Hopeless):
                raise outcome.error
            if isinstance(outcome, HeldBack):
                raise ArchiveTransientError(f"{order.what}: after {failures} failed attempts, {outcome.reason}")
            if isinstance(outcome, Denied):
                if order.signer is None or renewed:
                    raise _denied(order, signed, outcome)
                order.signer.renew(order.href, signed)
                order.meter.add(renewals=1)
                renewed = True
                continue
            failures += 1
            self._wait_to_try_again(order, signed, outcome, failures, patience)

    def _signed(self, order: _Order[T]) -> Signed:
        """The order's address as it is sent."""
        if order.signer is None:
            return Signed(order.href)
        if not order.href.startswith("s3://"):  # which only its signer understands
            self._route(order.href)  # checked before anybody signs anything for it
        return order.signer.signed(order.href)

    def _route(self, url: str) -> Route:
        """The route to an address, checked."""
        route = self._routes.get(url)
        if route is None:
            route = route_to(checked_url(url, self.rule))
            if len(self._routes) >= _KEPT_ROUTES:
                self._routes.clear()
            self._routes[url] = route
        return route

    def _attempt(
        self, order: _Order[T], signed: Signed, patience: _Patience
    ) -> Done[T] | Failed | HeldBack | Denied | Hopeless:
        """One attempt, redirects followed."""
        method, route, body = order.method, self._route(signed.url), order.body
        headers: Mapping[str, str] = {"User-Agent": _USER_AGENT, **order.headers, **signed.headers}
        for _ in range(_MOST_REDIRECTS + 1):
            outcome = self._hop(order, method, route, headers, body, patience)
            if not isinstance(outcome, Moved):
                return outcome
            if outcome.status == 303:
                method, body = "GET" if method == "POST" else method, None
            target = self._redirected(route, outcome.location, body)
            if isinstance(target, str):
                return Hopeless(ArchiveRefusedError(f"{_named(order, route.url)} {target}"))
            if target.origin != route.origin:
                headers = {name: value for name, value in headers.items() if name.lower() in _HARMLESS_HEADERS}
            route = target
        return Hopeless(
            ArchiveRefusedError(
                f"{_named(order, signed.url)} was redirected more than {_MOST_REDIRECTS} times. "
                "Use the address that it leads to."
            )
        )

    def _redirected(self, route: Route, location: str, body: bytes | None) -> Route | str:
        """Where a redirect leads, or why it is not followed."""
        try:
            target = self._route(urljoin(route.url, location))
        except ArchiveRefusedError as error:
            return f"redirects elsewhere. {error}"
        except ValueError:
            return "redirects to something that is no address. Use the address that it means."
        place = shown(target.url)
        if route.origin[0] == "https" and target.origin[0] != "https":
            return f"redirects to {place}, which is plain http. Nothing asked for by https is read without it."
        if body is not None and route.origin != target.origin:
            return f"sends what was posted on to {place}. Use that address itself, if you trust it."
        return target

    def _hop(
        self,
        order: _Order[T],
        method: str,
        route: Route,
        headers: Mapping[str, str],
        body: bytes | None,
        patience: _Patience,
    ) -> Done[T] | Failed | HeldBack | Denied | Moved | Hopeless:
        """One request under the governor, which learns how it went."""
        gate = self._governor.gate(route.host)
        try:
            wait = gate.enter(deadline=patience.deadline)
        except ArchiveTransientError as error:
            return HeldBack(str(error))
        try:
            patience.deadline += wait.queued_s
            outcome = self._exchanged(order, method, route, headers, body, patience.deadline - self._clock())
        finally:
            gate.leave()
        if wait != NO_WAIT:
            order.meter.add(wait_s=wait.queued_s + wait.paused_s)
        if isinstance(outcome, Failed):
            gate.failed(outcome.reason)
            if outcome.retry_after_s is not None:
                gate.pause(outcome.retry_after_s)
        else:
            gate.succeeded()
        return outcome

    def _exchanged(
        self,
        order: _Order[T],
        method: str,
        route: Route,
        headers: Mapping[str, str],
        body: bytes | None,
        patience_s: float,
    ) -> Done[T] | Failed | Denied | Moved | Hopeless:
        """One request and its answer.

        What the libraries raise ends here: its text may show the whole address, signature included.
        """
        if patience_s <= 0:
            return Failed("no time was left for it")
        response = None
        order.meter.add(requests=1)
        try:
            response = self._connections.send(method, route, headers, body, seconds=min(patience_s, 2 * self._read_s))
            length = response.length_remaining
            expected_bytes = order.expected_bytes if length is None else length
            due_in(min(patience_s, max(2 * self._read_s, expected_bytes / _SLOWEST_BYTES_S)))
            return self._outcome(order, route, response)
        except Broken as fault:
            return Failed(f"an answer that is incomplete: {fault}")
        except Unacceptable as fault:
            return Hopeless(
                ArchiveRefusedError(
                    f"{_named(order, route.url)} {fault}. Nothing of it is used; do without "
                    "a mirror or proxy if there is one."
                )
            )
        except LIBRARY_ERRORS as error:
            if is_about_trust(error):
                return Hopeless(
                    ArchiveRefusedError(
                        f"{order.what}: the certificate of {shown(route.url)} is not trusted. Correct the "
                        "machine's clock, or its certificates (SSL_CERT_FILE names them)."
                    )
                )
            return Failed(reason_of(error))
        finally:
            if response is not None:
                order.meter.add(bytes=response.tell())
                response.close()  # an answer that was read to its end has given its connection back already

    def _outcome(
        self, order: _Order[T], route: Route, response: urllib3.BaseHTTPResponse
    ) -> Done[T] | Failed | Denied | Moved | Hopeless:
        """What an answer means, by its status."""
        status = response.status
        if 200 <= status < 300 or status in order.accept:
            return Done(order.receive(response))
        location = response.headers.get("Location") if status in _MOVED else None
        if location is not None:
            finish(response)
            return Moved(status, location)
        if status in _MAY_PASS:
            finish(response)
            return Failed(f"HTTP {status}", self._retry_after_s(response.headers))
        if status in _GONE:
            finish(response)
            return Hopeless(
                AssetLostError(f"{_named(order, route.url)} is gone (HTTP {status}). Search again: it may have moved.")
            )
        if status in _DENIED or (status == _EXPIRED_ON_S3 and order.signer is not None):
            finish(response)
            return Denied(status)
        return Hopeless(
            ArchiveRefusedError(
                f"{_named(order, route.url)} answers HTTP {status}, expected 2xx.{_excerpt(order, response)} "
                "Compare the request with what the archive's documentation allows."
            )
        )

    def _retry_after_s(self, headers: Mapping[str, str]) -> float | None:
        """Seconds from a Retry-After header, a number or a date; None where it is neither."""
        text = headers.get("Retry-After", "").strip()
        if text.isdecimal() and len(text) < 10:
            return float(text)
        then = _date(text)
        if then is None:
            return None
        now = _date(headers.get("Date", "")) or self._now()  # the host's own clock where it tells it: ours may be wrong
        return max(0.0, (then - now).total_seconds())

    def _wait_to_try_again(
        self, order: _Order[T], signed: Signed, outcome: Failed, failures: int, patience: _Patience
    ) -> None:
        """Wait for the next attempt, or raise `ArchiveTransientError` where there is none."""
        backoff_s = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.5)
        pause_s = outcome.retry_after_s or 0.0
        now = self._clock()
        if failures >= self._attempts or now + max(backoff_s, pause_s) > patience.deadline:
            asked = f", asking for a pause of {pause_s:.0f} s" if pause_s else ""
            raise ArchiveTransientError(
                f"{order.what}: host {urlsplit(signed.url).hostname} failed in {failures} attempts within "
                f"{now - patience.started:.0f} s, the last time with {outcome.reason}{asked}. Run it again; "
                "`geo-assets doctor` tells whether the archive is up."
            )
        _log.info("%s: %s; attempt %d of %d follows", order.what, outcome.reason, failures + 1, self._attempts)
        if pause_s <= backoff_s:  # a longer one the gate keeps, for all threads
            self._sleep(backoff_s)
            order.meter.add(wait_s=backoff_s)
        order.meter.add(retries=1)


def _who_signs(signer: Signer | None) -> Signer | None:
    """The signer, if it has anything to sign with."""
    return None if type(signer) is Unsigned else signer


def _named(order: _Order[T], url: str) -> str:
    """What is wanted, and its address where that does not name it already: ledgers have no room for it twice."""
    return order.what if shown(url) in order.what else f"{order.what}: {shown(url)}"


def _denied(order: _Order[T], signed: Signed, outcome: Denied) -> ArchiveRefusedError:
    if order.signer is None:
        remedy = "It needs credentials that this request does not have; `geo-assets archives` names them."
        how = "without credentials"
    else:
        remedy, how = order.signer.remedy, "with renewed credentials too"
    return ArchiveRefusedError(f"{_named(order, signed.url)} refuses us (HTTP {outcome.status}), {how}. {remedy}")


def _excerpt(order: _Order[T], response: urllib3.BaseHTTPResponse) -> str:
    """The start of what a catalogue says about an error; storage repeats signatures in its XML, and is not quoted."""
    if order.signer is not None or "json" not in response.headers.get("Content-Type", ""):
        return ""
    text = response.read(_EXCERPT_BYTES).decode("ascii", "replace")
    words = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return f" It says: {words[:_EXCERPT_CHARACTERS]}" if words else ""


def _date(text: str) -> datetime | None:
    """An HTTP date, aware; None where it is none."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
