"""A wire to this machine, and a server that answers what a test writes down, byte for byte."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from geo_assets.io.wire.addresses import HostRule
from geo_assets.io.wire.exchange import Wire
from geo_assets.io.wire.governor import Governor
from geo_assets_tests.scenery.clock import Clock
from geo_assets_tests.scenery.fault_server import FaultServer

CONTENT = bytes(range(256)) * 400
"""Of the file that `server` serves as `/files/red.tif`."""


class Script:
    """Raw answers for one connection after another; the last one is given again and again."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/file"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client left, or the test is over
            self._answer_all(connection)

    def _answer_all(self, connection: socket.socket) -> None:
        text = b""
        while True:
            while b"\r\n\r\n" not in text:
                piece = connection.recv(65536)
                if not piece:
                    return
                text += piece
            request, _, text = text.partition(b"\r\n\r\n")
            answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
            self.requests.append(request)
            connection.sendall(answer)
            if b"Connection: close" in answer:
                connection.shutdown(socket.SHUT_RDWR)
                return


def answer(status: str = "200 OK", body: bytes = b"", **headers: object) -> bytes:
    """A raw answer; `Content_Length=None` leaves a header out."""
    stated = {"Content-Length": len(body), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in stated.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    """A server for the answers given."""
    scripts: list[Script] = []

    def started(*answers: bytes) -> Script:
        scripts.append(Script(*answers))
        return scripts[-1]

    yield started
    for one in scripts:
        one.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock, tmp_path: Path) -> Iterator[FaultServer]:
    """Serves `CONTENT` as `/files/red.tif`, and an empty file beside it."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "red.tif").write_bytes(CONTENT)
    (folder / "empty.tif").write_bytes(b"")
    with FaultServer(clock) as server:
        server.folder("/files", folder)
        yield server


@pytest.fixture
def new_wire(clock: Clock) -> Iterator[Callable[..., Wire]]:
    """Wires whose waiting turns the clock instead."""
    wires: list[Wire] = []

    def made(*hosts: str, **settings: object) -> Wire:
        settings = {"clock": clock, "sleep": clock.sleep, "now": clock.now, **settings}
        settings.setdefault("governor", Governor(clock=clock, sleep=clock.sleep))
        wires.append(Wire(HostRule(hosts or ("127.0.0.1",)), **settings))
        return wires[-1]

    yield made
    for wire in wires:
        wire.close()


@pytest.fixture
def wire(new_wire: Callable[..., Wire]) -> Wire:
    return new_wire()
