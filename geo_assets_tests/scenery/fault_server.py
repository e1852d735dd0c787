"""A web server on this machine that is every archive at once, and fails in any way that a test asks for.

It serves folders with byte ranges, STAC APIs over given items, Planetary Computer's signing service, CDSE's identity
service and its list of deleted products, behind the gates of `gates`. `fail` programs faults of `faults` by path,
try, share and time; every request is recorded.

    with FaultServer() as server:
        server.folder("/files", folder)
        catalog_url = server.catalogue(items)
        server.fail("*/red.tif", Status(503, retry_after="1"), tries=1)
        ...
        assert server.requests_for("*/red.tif")[-1].status == 206
"""

import json
import os
import re
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass
from email.utils import formatdate
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from geo_assets_tests.scenery.clock import Clock, WallClock
from geo_assets_tests.scenery.faults import (
    Claim,
    Corrupt,
    Delay,
    Drip,
    Drop,
    Effect,
    Fault,
    IgnoreRange,
    NewVersion,
    Redirect,
    Shorten,
    Stall,
    Status,
    Truncate,
)
from geo_assets_tests.scenery.gates import Asked, BearerGate, Gate, PresignedGate, QueryGate, SasGate
from geo_assets_tests.scenery.stac_search import Catalogue, Item

SAS_PATH = "/api/sas/v1"
IDENTITY_PATH = "/auth/realms/CDSE/protocol/openid-connect"
DELETED_PATH = "/odata/v1/DeletedProducts"

_LONGEST_WAIT_S = 120.0
"""A stall ends here at the latest, so that no test hangs the machine."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came and as it was answered."""

    method: str
    path: str
    """Percent signs decoded, without query."""
    query: str
    range: str
    """The Range header; empty without one."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    status: int
    """0 where no status was sent."""
    at_s: float
    """Seconds of the server's clock."""

    @property
    def is_signed(self) -> bool:
        """Whether it has any query."""
        return bool(self.query)

    @property
    def has_credentials(self) -> bool:
        """Whether it carries an Authorization header."""
        return "authorization" in self.headers


@dataclass(slots=True)
class _Answer:
    """What is to be sent, before faults."""

    status: int
    body: bytes = b""
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    whole: "_File | None" = None
    """The file that it is a part of."""
    first: int = 0
    """Where the body begins in it."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file, or as much of it as a fault leaves."""

    path: Path
    size: int
    etag: str
    modified: float

    def read(self, first: int, stop: int) -> bytes:
        with self.path.open("rb") as file:
            return os.pread(file.fileno(), max(0, min(stop, self.size) - first), first)


@dataclass(frozen=True, slots=True)
class _Folder:
    prefix: str
    folder: Path
    gate: Gate | None
    ranges: bool


class FaultServer:
    """See the module; a context manager. Serves on 127.0.0.1 at a port of its own."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or WallClock()
        self.tick_s = 0.0
        """Seconds that the clock is turned on at every request."""
        self.requests: list[Request] = []
        """Every request that was answered, in order of their answers."""
        self.busiest = 0
        """The most requests that were under way together."""
        self.sas = SasGate(self.clock)
        self.presigned = PresignedGate(self.clock)
        self.identity = BearerGate(self.clock)
        self.deleted_products: list[dict[str, Any]] = []
        """Entries of the DeletedProducts list, as OData has them; `Name` at least."""
        self._catalogues: list[Catalogue] = []
        self._folders: list[_Folder] = []
        self._faults: list[tuple[Fault, float]] = []
        self._met: Counter[int] = Counter()
        self._tries: Counter[tuple[str, str, str]] = Counter()
        self._under_way = 0
        self._lock = threading.Lock()
        self._left = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, name="fault-server", daemon=True
        )

    @property
    def port(self) -> int:
        """Its port, on 127.0.0.1."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def other_host(self) -> str:
        """The same server under another host's name: what a redirect off-host leads to."""
        return f"http://localhost:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Serve no more, and close every connection."""
        self._left.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.close_connections()
        self._thread.join()

    # What it serves

    def folder(self, prefix: str, folder: Path, *, gate: Gate | None = None, ranges: bool = True) -> str:
        """Serve the files of a folder under a path; the longest prefix counts. Returns the URL."""
        self._folders.append(_Folder(prefix.rstrip("/"), folder.resolve(), gate, ranges))
        self._folders.sort(key=lambda one: -len(one.prefix))
        return f"{self.url}{prefix.rstrip('/')}"

    def catalogue(self, items: list[Item], path: str = "/api/stac/v1", **paging: Any) -> str:
        """Serve a STAC API over items; `paging` are fields of `stac_search.Paging`. Returns its URL."""
        return self.serve_catalogue(Catalogue(items, path), **paging)

    def serve_catalogue(self, catalogue: Catalogue, **paging: Any) -> str:
        """Serve a STAC API that the test keeps in its hands. Returns its URL."""
        for name, value in paging.items():
            setattr(catalogue.paging, name, value)
        self._catalogues.append(catalogue)
        return f"{self.url}{catalogue.path}"

    # What goes wrong

    def fail(self, pattern: str, effect: Effect, **when: Any) -> None:
        """Program a fault; `when` are the other fields of `Fault`. The first that meets a request counts."""
        with self._lock:
            self._faults.append((Fault(pattern, effect, **when), self.clock()))

    def demand_query(self, prefix: str, secret: str) -> None:
        """Refuse with 403 every file under a folder's prefix without this query."""
        self._folders = [
            _Folder(one.prefix, one.folder, QueryGate(secret), one.ranges) if one.prefix == prefix.rstrip("/") else one
            for one in self._folders
        ]

    def heal(self) -> None:
        """Forget every fault, and how often anything was tried."""
        with self._lock:
            self._faults.clear()
            self._met.clear()
            self._tries.clear()

    # What was asked

    def requests_for(self, pattern: str, method: str = "*") -> list[Request]:
        """Recorded requests whose path meets a pattern."""
        with self._lock:
            return [one for one in self.requests if fnmatchcase(one.path, pattern) and fnmatchcase(one.method, method)]

    def statuses(self, pattern: str = "*") -> Counter[int]:
        """Status -> how often it was answered."""
        return Counter(request.status for request in self.requests_for(pattern))

    def forget_requests(self) -> None:
        """Begin a new record."""
        with self._lock:
            self.requests.clear()
            self.busiest = 0

    # Between the two

    def _begin(self, method: str, path: str, wanted: str) -> Effect | None:
        """Count a request in, and draw its fault."""
        self.clock.advance(self.tick_s)
        with self._lock:
            self._under_way += 1
            self.busiest = max(self.busiest, self._under_way)
            key = (method, path, wanted)
            self._tries[key] += 1
            for number, (fault, since) in enumerate(self._faults):
                last = float("inf") if fault.times is None else fault.skip + fault.times
                if self._met[number] >= last or not fault.meets(
                    method, path, wanted, self._tries[key], self.clock() - since
                ):
                    continue
                self._met[number] += 1
                if self._met[number] > fault.skip:
                    return fault.effect
        return None

    def _end(self) -> None:
        with self._lock:
            self._under_way -= 1

    def _record(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def _answer(self, method: str, asked: Asked, effect: Effect | None) -> _Answer:
        if isinstance(effect, Status):
            headers = (("Retry-After", effect.retry_after),) if effect.retry_after is not None else ()
            return _Answer(effect.code, effect.body, "text/plain", headers)
        if isinstance(effect, Redirect):
            query = f"?{asked.query}" if asked.query else ""
            return _Answer(effect.code, b"", headers=(("Location", effect.to.format(path=asked.path, query=query)),))
        for catalogue in self._catalogues:
            if asked.path == catalogue.path or asked.path.startswith(f"{catalogue.path}/"):
                return _as_json(*self._searched(catalogue, method, asked))
        service = self._service(method, asked)
        if service is not None:
            return service
        for mount in self._folders:
            if asked.path.startswith(f"{mount.prefix}/"):
                return self._file(mount, asked, effect)
        return _Answer(404, b"no such path", "text/plain")

    def _searched(self, catalogue: Catalogue, method: str, asked: Asked) -> tuple[int, Any]:
        below = asked.path[len(catalogue.path) :]
        if method == "POST":
            return catalogue.post(self.url, below, asked.body)
        return catalogue.get(self.url, below, asked.query)

    def _service(self, method: str, asked: Asked) -> _Answer | None:
        """The answer of a signing, identity or OData service; None for any other path."""
        if asked.path.startswith(f"{SAS_PATH}/token/"):
            return _Answer(*self.sas.token(asked, asked.path.removeprefix(f"{SAS_PATH}/token/")))
        if asked.path == f"{IDENTITY_PATH}/token" and method == "POST":
            return _Answer(*self.identity.token(asked))
        if asked.path == f"{IDENTITY_PATH}/logout" and method == "POST":
            return _Answer(*self.identity.logout(asked))
        if asked.path == DELETED_PATH:
            wanted = parse_qs(asked.query).get("$filter", [""])[0]
            names = re.findall(r"'([^']*)'", wanted)
            found = [one for one in self.deleted_products if not names or any(name in one["Name"] for name in names)]
            return _Answer(200, json.dumps({"value": found}).encode())
        return None

    def _file(self, mount: _Folder, asked: Asked, effect: Effect | None) -> _Answer:
        refusal = mount.gate.refusal(asked) if mount.gate else None
        if refusal is not None:
            return _Answer(403, f"<Error><Code>{refusal}</Code></Error>".encode(), "application/xml")
        path = (mount.folder / asked.path[len(mount.prefix) :].lstrip("/")).resolve()
        if not path.is_relative_to(mount.folder) or not path.is_file():
            return _Answer(404, b"<Error><Code>BlobNotFound</Code></Error>", "application/xml")
        stat = path.stat()
        size = int(stat.st_size * effect.share) if isinstance(effect, Shorten) else stat.st_size
        etag = effect.etag if isinstance(effect, NewVersion) else f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'
        modified = stat.st_mtime + (3600.0 if isinstance(effect, NewVersion) else 0.0)
        file = _File(path, size, etag, modified)
        wanted = asked.headers.get("range", "")
        if not mount.ranges or isinstance(effect, IgnoreRange):
            wanted = ""
        return _part(file, wanted, accepts_ranges=mount.ranges, claim=effect if isinstance(effect, Claim) else None)


def _as_json(status: int, content: Any) -> _Answer:
    return _Answer(status, json.dumps(content).encode(), "application/geo+json")


def _part(file: _File, wanted: str, *, accepts_ranges: bool, claim: Claim | None) -> _Answer:
    """A file, or the range of it that a Range header asks for."""
    headers = [
        ("ETag", file.etag),
        ("Last-Modified", formatdate(file.modified, usegmt=True)),
        ("Accept-Ranges", "bytes" if accepts_ranges else "none"),
    ]
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
    if span is None or not (span[1] or span[2]):
        return _Answer(200, file.read(0, file.size), "image/tiff", tuple(headers), file, 0)
    if span[1]:
        first, last = int(span[1]), min(int(span[2] or file.size), file.size - 1)
    else:
        first, last = max(0, file.size - int(span[2])), file.size - 1
    if first > last:
        return _Answer(416, b"", "text/plain", (("Content-Range", f"bytes */{file.size}"),))
    shift, total = (claim.shift, claim.total or file.size) if claim else (0, file.size)
    content_range = f"bytes {first + shift}-{last + shift}/{total}"
    if claim and claim.header is not None:
        content_range = claim.header
    if content_range:
        headers.append(("Content-Range", content_range))
    return _Answer(206, file.read(first, last + 1), "image/tiff", tuple(headers), file, first)


def _corrupted(answer: _Answer, effect: Corrupt) -> bytes:
    """The body, with the bits turned over that lie in the effect's span of the file."""
    body = bytearray(answer.body)
    first = max(0, effect.first - answer.first)
    stop = len(body) if effect.stop is None else min(len(body), effect.stop - answer.first)
    for place in range(first, stop):
        body[place] ^= 0xFF
    return bytes(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, owner: FaultServer) -> None:
        self.owner = owner
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """End what clients keep open, which would be answered for ever otherwise."""
        with self._guard:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that leave early are no failure."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        owner = self.server.owner
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        length = int(self.headers.get("Content-Length") or 0)
        asked = Asked(
            path, parts.query, {name.lower(): value for name, value in self.headers.items()}, self.rfile.read(length)
        )
        effect = owner._begin(self.command, path, asked.headers.get("range", ""))
        try:
            if isinstance(effect, Delay):
                owner._left.wait(effect.seconds)
            answer = owner._answer(self.command, asked, effect)
            silent = isinstance(effect, Drop) or (isinstance(effect, Stall) and effect.after_bytes is None)
            owner._record(
                Request(
                    self.command, path, parts.query, asked.headers.get("range", ""), asked.headers, asked.body,
                    0 if silent else answer.status, owner.clock(),
                )
            )  # fmt: skip
            self._send(answer, effect)
        finally:
            owner._end()

    def _send(self, answer: _Answer, effect: Effect | None) -> None:
        if isinstance(effect, Drop):
            self._reset()
            return
        if isinstance(effect, Stall) and effect.after_bytes is None:
            self._wait_for_the_end()
            return
        body = _corrupted(answer, effect) if isinstance(effect, Corrupt) and answer.whole else answer.body
        head = self._head(answer, len(body), effect)
        sent = b"" if self.command == "HEAD" else body
        if isinstance(effect, Stall):
            self.wfile.write(head + sent[: effect.after_bytes])
            self._wait_for_the_end()
        elif isinstance(effect, Truncate):
            self.wfile.write(head + sent[: int(len(sent) * effect.share)])
            self.close_connection = True
        elif isinstance(effect, Drip):
            self._drip(head + sent, effect)
        else:
            self.wfile.write(head + sent)
            if isinstance(effect, Claim) and effect.length is not None:
                self.close_connection = True

    def _head(self, answer: _Answer, length: int, effect: Effect | None) -> bytes:
        if isinstance(effect, Claim) and effect.length is not None:
            length = effect.length
        headers = {"Content-Type": answer.kind, "Content-Length": str(length), **dict(answer.headers)}
        reason = self.responses.get(answer.status, ("", ""))[0]
        lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _drip(self, content: bytes, effect: Drip) -> None:
        end = time.monotonic() + _LONGEST_WAIT_S
        for first in range(0, len(content), effect.piece_bytes):
            self.wfile.write(content[first : first + effect.piece_bytes])
            if self.server.owner._left.wait(effect.pause_s) or time.monotonic() > end:
                self.close_connection = True
                break

    def _wait_for_the_end(self) -> None:
        """Until the client hangs up or the server stops."""
        self.close_connection = True
        self.connection.settimeout(0.05)
        end = time.monotonic() + _LONGEST_WAIT_S
        while not self.server.owner._left.is_set() and time.monotonic() < end:
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue

    def _reset(self) -> None:
        """Hang up with RST, as a connection does that broke."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()  # or it would keep the socket open
        self.connection.close()
