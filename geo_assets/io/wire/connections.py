"""Sockets under way: kept alive, one pool a host, proxied where the machine says so, and never past their time."""

import http.client
import io
import logging
import math
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from geo_assets.domain.errors import ArchiveRefusedError
from geo_assets.io.wire.addresses import is_loopback, shown

_KEPT_ALIVE = 64  # connections a host that outlive a request; a governor lets fewer through
_DRAINED_BYTES = 65_536  # rests of answers up to here are read, so that the connection can be used again

Origin = tuple[str, str, int]
"""Scheme, host and port: who is asked."""


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """A checked address, taken apart once."""

    url: str
    origin: Origin
    target: str
    """Path and query."""

    @property
    def host(self) -> str:
        """Name or number, without port."""
        return self.origin[1]


def route_to(url: str) -> Route:
    """The route to an address that `checked_url` has passed."""
    parts = urlsplit(url)
    origin = (parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    path = parts.path or "/"
    return Route(url, origin, f"{path}?{parts.query}" if parts.query else path)


class Connections:
    """Sends requests, and knows nothing of retries, redirects and trust.

    Parameters
    ----------
    connect_s
        For each address of a host to take a connection.
    read_s
        For each next piece of an answer to arrive.
    """

    def __init__(self, *, connect_s: float, read_s: float) -> None:
        self._timeout = urllib3.Timeout(connect=connect_s, read=read_s)
        self._shortest_s = max(connect_s, read_s)
        self._connect_s, self._read_s = connect_s, read_s
        self._proxies = urllib.request.getproxies()
        self._pools: dict[Origin, tuple[urllib3.HTTPConnectionPool, bool]] = {}
        self._lock = threading.Lock()
        self._trust: ssl.SSLContext | None = None

    def send(
        self, method: str, route: Route, headers: Mapping[str, str], body: bytes | None, *, seconds: float
    ) -> urllib3.BaseHTTPResponse:
        """The answer's status and headers; its body is still on the wire, and the caller closes it.

        Parameters
        ----------
        seconds
            Until here everything has come: the headers and, unless `due_in` says otherwise, the body.

        Raises
        ------
        urllib3.exceptions.HTTPError, OSError, http.client.HTTPException
            As the libraries have it: their texts may show the whole address.
        """
        pool, through_proxy = self._pool(route.origin)
        due_in(seconds)
        timeout = self._timeout
        if seconds < self._shortest_s:
            seconds = max(seconds, 0.001)
            timeout = urllib3.Timeout(connect=min(self._connect_s, seconds), read=min(self._read_s, seconds))
        return pool.urlopen(
            method,
            route.url if through_proxy else route.target,
            body=body,
            headers=headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=timeout,
            preload_content=False,
            decode_content=False,
        )

    def forget(self, origin: Origin) -> None:
        """Use fresh connections from now on; those under way end as they would."""
        with self._lock:
            self._pools.pop(origin, None)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool, _ in pools.values():
            pool.close()

    def _pool(self, origin: Origin) -> tuple[urllib3.HTTPConnectionPool, bool]:
        """The pool of a host, and whether it leads to a proxy that wants whole addresses."""
        found = self._pools.get(origin)
        if found is None:
            with self._lock:
                found = self._pools.get(origin) or self._new_pool(origin)
                self._pools[origin] = found
        return found

    def _new_pool(self, origin: Origin) -> tuple[urllib3.HTTPConnectionPool, bool]:
        scheme, host, port = origin
        tls: dict[str, Any] = {}
        if scheme == "https":
            self._trust = self._trust or ssl.create_default_context()
            tls["ssl_context"] = self._trust
        proxy = None if self._bypasses(host) else self._proxies.get(scheme, self._proxies.get("all"))
        if proxy is None:
            kind = _TLSPool if scheme == "https" else _Pool
            return kind(host, port, maxsize=_KEPT_ALIVE, **tls), False
        manager = _proxy_manager(proxy, **tls)
        return manager.connection_from_host(host, port, scheme), scheme == "http"

    def _bypasses(self, host: str) -> bool:
        return is_loopback(host) or bool(urllib.request.proxy_bypass(host))


def due_in(seconds: float) -> None:
    """From now on, the answer that this thread reads has to be complete within so many seconds.

    A time-out of a socket counts from the last byte: a server that drips one now and then would keep us for ever.
    """
    _due.at = time.monotonic() + seconds


def finish(response: urllib3.BaseHTTPResponse) -> None:
    """Read and forget the rest of an answer, so that its connection serves again; close it if that is too much."""
    remaining = response.length_remaining
    if remaining is not None and remaining <= _DRAINED_BYTES:
        response.drain_conn()
    response.close()


_due = threading.local()


class _TimedStream(io.RawIOBase):
    """The bytes of a socket up to the moment when the answer is due."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._socket = sock
        self._each_s = self._set_s = sock.gettimeout() or math.inf

    def readable(self) -> bool:
        """As every stream that is read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has arrived, or wait for it."""
        remaining_s = _due.at - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        allowed_s = min(self._each_s, remaining_s)
        if allowed_s != self._set_s:  # rarely: setting it costs a system call
            self._socket.settimeout(allowed_s)
            self._set_s = allowed_s
        return self._socket.recv_into(buffer)  # as the raw stream does, with a call less

    def close(self) -> None:
        """Let go of the socket."""
        if not self.closed:
            self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """An answer whose status line, headers and body all have to be there in time."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedStream(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _TimedResponse


class _TLSConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


def _proxy_manager(proxy: str, **tls: Any) -> urllib3.ProxyManager:
    """The way through a proxy, `http://user:password@host:port` as in the environment."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ArchiveRefusedError(
            f"Proxy {shown(proxy)}: expected http://host:port. Correct http_proxy, https_proxy or all_proxy in the "
            "environment, or name the archive's hosts in no_proxy."
        )
    proxy_headers = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        proxy_headers = urllib3.make_headers(proxy_basic_auth=user)
    address = f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    manager = urllib3.ProxyManager(address, proxy_headers=proxy_headers, maxsize=_KEPT_ALIVE, **tls)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
    return manager


def _without_query(record: logging.LogRecord) -> bool:
    """Cut the queries, which may be signatures, from what urllib3 logs."""
    if isinstance(record.args, tuple):
        record.args = tuple(value.partition("?")[0] if isinstance(value, str) else value for value in record.args)
    return True


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_without_query)
