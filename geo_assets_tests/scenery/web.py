"""A small web server on this machine: files with byte ranges, and whatever failure a test asks for."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Web:
    """A folder, served."""

    url: str
    """`http://127.0.0.1:port`, without a slash at the end."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Path (`/a/b.tif`) -> HTTP status that it is refused with; may be changed while serving."""
    secret: str | None = None
    """A query (`sig=...`) without which every request is refused with 403."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path, range header) of every request."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that leave early are no failure."""


@contextmanager
def serving(folder: Path, *, ranges: bool = True) -> Iterator[Web]:
    """The files of `folder` over HTTP/1.1 while open; without `ranges` always whole."""
    web = Web("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            parts = urlsplit(self.path)
            wanted = self.headers.get("Range", "")
            web.asked.append((self.command, parts.path, wanted))
            path = (folder / parts.path.lstrip("/")).resolve()
            status, body, headers = 200, b"", {"Accept-Ranges": "bytes" if ranges else "none"}
            if parts.path in web.refusals:
                status = web.refusals[parts.path]
            elif web.secret is not None and parts.query != web.secret:
                status = 403
            elif not path.is_relative_to(folder.resolve()) or not path.is_file():
                status = 404
            else:
                body = path.read_bytes()
                span = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted) if ranges else None
                if span:
                    first, last = int(span[1]), min(int(span[2] or len(body)), len(body) - 1)
                    if first > last:
                        status, body, headers["Content-Range"] = 416, b"", f"bytes */{len(body)}"
                    else:
                        headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
                        status, body = 206, body[first : last + 1]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
