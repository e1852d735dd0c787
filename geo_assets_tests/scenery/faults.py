"""What can go wrong between a server and its client, to be programmed into `fault_server`.

An effect says what happens, a `Fault` says to which requests.
"""

import random
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Status:
    """Refused with this status, whatever was asked."""

    code: int
    retry_after: str | None = None
    """Seconds or an HTTP date, as the header has it."""
    body: bytes = b"refused"


@dataclass(frozen=True, slots=True)
class Delay:
    """Answered as it should be, after some real seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stall:
    """Silence, until the client or the server leaves."""

    after_bytes: int | None = None
    """Bytes of the body that still come; None when not even the status line does."""


@dataclass(frozen=True, slots=True)
class Drip:
    """A few bytes at a time, so that no single wait is long."""

    piece_bytes: int = 1
    pause_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is reset before a byte of the answer is sent."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """The whole length is announced, a share of the body sent, and the connection closed."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Shorten:
    """The file itself is cut: every answer agrees about its shorter length."""

    share: float = 0.6


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Bits of a span of the file are turned over, wherever a request meets it."""

    first: int = 0
    stop: int | None = None
    """Half-open; None is the file's end."""


@dataclass(frozen=True, slots=True)
class IgnoreRange:
    """200 and the whole file, whatever range was asked for."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Headers that do not agree with the body."""

    total: int | None = None
    """Total in Content-Range."""
    length: int | None = None
    """Content-Length; the connection closes after the body."""
    shift: int = 0
    """Added to both ends in Content-Range."""
    header: str | None = None
    """Content-Range as it stands; empty leaves it out."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """302 elsewhere; `{path}` stands for the path that was asked for, `{query}` for its query with question mark."""

    to: str
    code: int = 302


@dataclass(frozen=True, slots=True)
class NewVersion:
    """The file is replaced by another of the same length: another ETag and Last-Modified, same bytes."""

    etag: str = '"another"'


Effect: TypeAlias = (
    Status | Delay | Stall | Drip | Drop | Truncate | Shorten | Corrupt | IgnoreRange | Claim | Redirect | NewVersion
)


@dataclass(frozen=True, slots=True)
class Fault:
    """An effect on some of the requests."""

    pattern: str
    """Of the path, without query, as `fnmatch` has it: `*/B04_10m.tif`; `*` crosses slashes."""
    effect: Effect
    method: str = "*"
    tries: int | None = None
    """Only the first so many tries of one path and range."""
    share: float = 1.0
    """Of the requests, drawn by path, range and try: the same for every order of requests."""
    after_s: float = 0.0
    """Only from this many seconds of the server's clock after it was programmed."""
    until_s: float = float("inf")
    skip: int = 0
    """Not the first so many requests that it would meet."""
    times: int | None = None
    """Only so many times altogether."""
    seed: int = 0

    def meets(self, method: str, path: str, wanted: str, attempt: int, age_s: float) -> bool:
        """Whether a request is one of those; `attempt` counts from 1, `skip` and `times` are the server's."""
        return (
            fnmatchcase(path, self.pattern)
            and fnmatchcase(method, self.method)
            and (self.tries is None or attempt <= self.tries)
            and self.after_s <= age_s < self.until_s
            and (self.share >= 1.0 or random.Random(f"{self.seed} {path} {wanted} {attempt}").random() < self.share)
        )
