"""What an answer carries, checked against what was asked and what its headers say."""

import re
import zlib
from dataclasses import dataclass

import urllib3

from geo_assets.io.wire.connections import finish

LARGEST_WHOLE_BYTES = 64 << 20
"""So far a file is read from its start for a range in it, where a host does not serve ranges."""

_PIECE_BYTES = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_UNSATISFIED_RANGE = re.compile(r"bytes \*/(\d{1,18})")


class Broken(Exception):
    """The answer is not complete: it may be next time. Says what is wrong with it."""


class Unacceptable(Exception):
    """The answer is not to be trusted, and another attempt would bring the same. Says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of a file's bytes, as long as was asked or up to the end of the file."""

    body: memoryview
    total: int
    """Bytes of the whole file."""
    etag: str | None
    """The host's name for this state of the file."""


def whole_body(response: urllib3.BaseHTTPResponse, limit_bytes: int) -> bytes:
    """The body of an answer, decompressed; `Broken` where it breaks off, `Unacceptable` beyond the limit."""
    length = response.length_remaining
    if length is not None and length > limit_bytes:
        raise Unacceptable(f"announces {length:,} bytes, expected at most {limit_bytes:,}")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise Unacceptable(f"answers in the encoding {encoding!r:.40}, which nobody asked for")
    body = _rest(response, limit_bytes) if length is None else _exactly(response, length)
    return _decompressed(body, limit_bytes) if encoding == "gzip" and body else body


def span_body(response: urllib3.BaseHTTPResponse, start: int, stop: int) -> Span:
    """The bytes `start` to `stop` of a file from the answer to a request for them.

    Accepted are 206 with exactly this range, cut off only at the end of the file; 200, a whole file of which is read
    what is needed; and 416, nothing, for a range that starts at the end or beyond.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Unacceptable(f"answers in the encoding {encoding!r:.40}, expected the file's own bytes")
    if response.status == 206:
        body, total = _partial(response, start, stop)
    elif response.status == 200:
        body, total = _from_whole(response, start, stop)
    elif response.status == 416:
        body, total = b"", _unsatisfied_total(response, start)
    else:
        raise Unacceptable(f"answers HTTP {response.status} to a request for a range of bytes")
    return Span(memoryview(body), total, response.headers.get("ETag"))


def _partial(response: urllib3.BaseHTTPResponse, start: int, stop: int) -> tuple[bytes, int]:
    stated = response.headers.get("Content-Range", "")
    found = _CONTENT_RANGE.fullmatch(stated.strip())
    if found is None:
        raise Unacceptable("answers HTTP 206 without saying which bytes it sends")
    if found[3] == "*":
        raise Unacceptable("does not say how large the file is")
    first, last, total = int(found[1]), int(found[2]), int(found[3])
    if first != start or last != min(stop, total) - 1:
        raise Unacceptable(f"sends bytes {first}-{last} of {total}, asked for {start}-{stop - 1}")
    length = last - first + 1
    announced = response.length_remaining
    if announced is not None and announced > length:
        raise Unacceptable(f"announces {announced:,} bytes for a range of {length:,}")
    if announced is not None and announced < length:
        raise Broken(f"only {announced:,} of {length:,} bytes announced")
    body = _exactly(response, length)
    if announced is None and response.read(1):  # also reads the end mark of a chunked answer
        raise Unacceptable(f"sends more than the {length:,} bytes of the range")
    return body, total


def _from_whole(response: urllib3.BaseHTTPResponse, start: int, stop: int) -> tuple[bytes, int]:
    """A range from the answer of a host that does not serve ranges."""
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise Unacceptable("answers with a web page, as a login or a blocked network does")
    if stop > LARGEST_WHOLE_BYTES:
        raise Unacceptable(
            f"does not serve ranges of bytes, and reading up to byte {stop:,} would pass {LARGEST_WHOLE_BYTES:,}"
        )
    total = response.length_remaining
    end = stop if total is None else min(stop, total)
    done = 0
    while done < min(start, end):
        piece = response.read(min(_PIECE_BYTES, start - done))
        if not piece:
            break
        done += len(piece)
    body = _exactly(response, end - start, short=total is None) if done == start and end > start else b""
    if total is None:
        if response.read(1) or not response.headers.get("Transfer-Encoding"):
            raise Unacceptable("does not say how large the file is")
        total = done + len(body)  # a chunked answer has an end mark
    elif done < min(start, end):
        raise Broken(f"broke off after {done:,} of {total:,} bytes")
    return body, total


def _unsatisfied_total(response: urllib3.BaseHTTPResponse, start: int) -> int:
    found = _UNSATISFIED_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    total = int(found[1]) if found else 0
    if total > start or (found is None and start > 0):
        raise Unacceptable(f"says that no bytes follow byte {start}, and not how many the file has before it")
    finish(response)
    return total


def _exactly(response: urllib3.BaseHTTPResponse, length: int, *, short: bool = False) -> bytes:
    """So many next bytes, fewer only if `short`."""
    body = response.read(length)  # one allocation, filled from the socket
    if len(body) < length and not short:
        raise Broken(f"broke off after {len(body):,} of {length:,} bytes")
    return body


def _rest(response: urllib3.BaseHTTPResponse, limit_bytes: int) -> bytes:
    pieces, size = [], 0
    while piece := response.read(_PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > limit_bytes:
            raise Unacceptable(f"sends more than {limit_bytes:,} bytes")
    return b"".join(pieces)


def _decompressed(body: bytes, limit_bytes: int) -> bytes:
    decoder = zlib.decompressobj(wbits=31)
    try:
        plain = decoder.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise Broken("its gzip stream is damaged") from None
    if len(plain) > limit_bytes:
        raise Unacceptable(f"unpacks to more than {limit_bytes:,} bytes")
    if not decoder.eof or decoder.unused_data:
        raise Broken("its gzip stream is not complete")
    return plain
