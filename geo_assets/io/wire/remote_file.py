"""One remote file as ranges of bytes: few requests, each answer checked, and the same file from first to last."""

import hashlib
import threading
from collections.abc import Iterator, Sequence

from geo_assets.domain.errors import ArchiveRefusedError, ArchiveTransientError, AssetLostError
from geo_assets.io.wire.addresses import shown
from geo_assets.io.wire.bodies import Span
from geo_assets.io.wire.exchange import Wire
from geo_assets.io.wire.meter import Meter
from geo_assets.io.wire.signing import Signer

_LARGEST_GAP_BYTES = 65_536
_GAP_SHARE = 0.05  # of the bytes that are needed: the most that joining requests may read in vain
_LARGEST_JOINED_BYTES = 8 << 20
_LARGEST_SPAN_BYTES = 1 << 30
_CHECKSUM_PIECE_BYTES = 8 << 20

_HASHES = {0xD5: "md5", 0x11: "sha1", 0x12: "sha256", 0x13: "sha512", 0x16: "sha3_256", 0x20: "sha384"}
"""Codes of the multihash table that hashlib can compute."""


class RemoteFile:
    """A file on a host, a `ByteSource`; usable from several threads.

    Parameters
    ----------
    href
        Unsigned address.
    wire
        Asks for it.
    where
        What messages call it: item and band; the address is added.
    signer
        Signs each request; None: everybody may read it.
    meter
        Counts requests and bytes.
    size_bytes
        `file:size` of the catalogue; a file of another size is not the one that the catalogue means.
    checksum
        `file:checksum` of the catalogue, a multihash in hexadecimal digits.
    """

    def __init__(
        self,
        href: str,
        *,
        wire: Wire,
        where: str,
        signer: Signer | None = None,
        meter: Meter | None = None,
        size_bytes: int | None = None,
        checksum: str | None = None,
    ) -> None:
        self.where = f"{where} ({shown(href)})"
        self._href = href
        self._wire, self._signer = wire, signer
        self._meter = meter or Meter()
        self._stated_size = size_bytes
        self._checksum = checksum
        self._total: int | None = None
        self._etag: str | None = None
        self._head = b""
        self._past_caches = False
        self._attempts = threading.local()
        self._lock = threading.Lock()

    @property
    def size(self) -> int | None:
        """Bytes of the whole file: as the host has it, before the first request as the catalogue has it."""
        return self._stated_size if self._total is None else self._total

    @property
    def attempts(self) -> int:
        """Requests that this thread's last span took; 0 if it was at hand."""
        return getattr(self._attempts, "count", 0)

    def head(self, length: int) -> bytes:
        """The first `length` bytes, or the whole file if it is shorter.

        What an earlier call brought is kept, and not asked for again.

        Raises
        ------
        ArchiveTransientError
            The host does not answer, or the file changed since the first request.
        AssetLostError
            The file is gone, or not as large as the catalogue says.
        ArchiveRefusedError
            The host does not let us in, or its answer is not to be trusted.
        """
        self._attempts.count = 0
        with self._lock:
            at_hand = self._head
            if len(at_hand) < length and len(at_hand) != self._total:
                at_hand += self._span(len(at_hand), length).body
                self._head = at_hand
        return at_hand[:length]

    def read(self, spans: Sequence[tuple[int, int]]) -> list[memoryview]:
        """The bytes of half-open spans (first, end), exactly, in the order asked.

        Spans inside the kept head cost no request; near neighbours share one, as long as that reads next to nothing
        in vain.

        Raises
        ------
        ArchiveTransientError, ArchiveRefusedError
            As in `head`.
        AssetLostError
            As in `head`, or the file ends before a span does.
        """
        self._attempts.count = 0
        head = memoryview(self._head)
        found: dict[tuple[int, int], memoryview] = {}
        missing = []
        for first, end in spans:
            self._check(first, end)
            if end <= len(head) or first == end:
                found[first, end] = head[first:end] if end <= len(head) else memoryview(b"")
            else:
                missing.append((first, end))
        for start, stop, members in _joined(missing):
            body = self._whole_span(start, stop)
            found.update({(first, end): body[first - start : end - start] for first, end in members})
        return [found[first, end] for first, end in spans]

    def verify_checksum(self) -> bool:
        """Whether the catalogue's checksum was compared, and fits; False where it has none that we can compute.

        Reads the whole file once, a piece at a time.

        Raises
        ------
        AssetLostError
            The file is another one than the catalogue means.
        ArchiveTransientError, ArchiveRefusedError
            As in `head`; `ArchiveRefusedError` also where the checksum is no multihash.
        """
        if self._checksum is None:
            return False
        name, expected = _multihash(self._checksum, self.where)
        if name is None:
            return False
        digest = hashlib.new(name, usedforsecurity=False)
        for piece in self._pieces():
            digest.update(piece)
        if digest.hexdigest() != expected:
            raise AssetLostError(
                f"{self.where}: {name} is {digest.hexdigest()}, the catalogue says {expected}. The file was replaced "
                "or damaged: search again, or leave the item out."
            )
        return True

    def refresh(self) -> None:
        """Make the next reads use fresh connections, ask past caches, and forget the head."""
        with self._lock:
            self._head = b""
            self._past_caches = True
        self._wire.forget_connections(self._href, self._signer)

    def close(self) -> None:
        """Forget the head; the wire's connections stay."""
        self._head = b""

    def _check(self, first: int, end: int) -> None:
        if not 0 <= first <= end:
            raise ValueError(f"{self.where}: [{first}, {end}) is no span of bytes.")
        size = self.size
        if size is not None and end > size:
            raise self._too_short(end, size)
        if end - first > _LARGEST_SPAN_BYTES:
            raise ArchiveRefusedError(
                f"{self.where}: {end - first:,} bytes are asked for at once, expected at most "
                f"{_LARGEST_SPAN_BYTES:,}. The file is not used."
            )

    def _whole_span(self, start: int, stop: int) -> memoryview:
        """The bytes of a span, none missing."""
        span = self._span(start, stop)
        if len(span.body) != stop - start:
            raise self._too_short(stop, span.total)
        return span.body

    def _span(self, start: int, stop: int) -> Span:
        """One range of the same file as ever."""
        meter = Meter()
        try:
            span = self._wire.span(
                self._href,
                start,
                stop,
                what=self.where,
                meter=meter,
                signer=self._signer,
                past_caches=self._past_caches,
            )
        finally:
            self._attempts.count = meter.requests
            self._meter.add_all(meter)
        self._compare(span)
        return span

    def _compare(self, span: Span) -> None:
        """Refuse bytes of a file that is not the one of the catalogue, or of the first request."""
        if self._stated_size is not None and span.total != self._stated_size:
            raise AssetLostError(
                f"{self.where}: has {span.total:,} bytes, the catalogue says {self._stated_size:,}. The file was "
                "replaced or cut off: search again, or leave the item out."
            )
        if self._total is None:
            self._total, self._etag = span.total, span.etag
        elif self._total != span.total or (span.etag is not None and self._etag not in (None, span.etag)):
            raise ArchiveTransientError(
                f"{self.where}: changed while it was read ({self._total:,} bytes, now {span.total:,}; ETag "
                f"{_brief(self._etag)}, now {_brief(span.etag)}). Run it again."
            )

    def _pieces(self) -> Iterator[memoryview]:
        """The whole file in order."""
        first = self._span(0, _CHECKSUM_PIECE_BYTES)
        yield first.body
        for start in range(_CHECKSUM_PIECE_BYTES, first.total, _CHECKSUM_PIECE_BYTES):
            yield self._whole_span(start, min(start + _CHECKSUM_PIECE_BYTES, first.total))

    def _too_short(self, end: int, size: int) -> AssetLostError:
        return AssetLostError(
            f"{self.where}: ends after {size:,} bytes, where one before byte {end:,} is needed. The file is damaged "
            "or cut off: search again, or leave the item out."
        )


def _joined(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Ranges to ask for, as (start, stop, spans inside).

    Gaps are bridged smallest first, as long as all of them together are a small share of what is needed.
    """
    ordered = sorted(set(spans))
    bridged = _bridged_gaps(ordered)
    members: list[tuple[int, int]] = []
    start = stop = 0
    for index, (first, end) in enumerate(ordered):
        if members and (index not in bridged or max(stop, end) - start > _LARGEST_JOINED_BYTES):
            yield start, stop, members
            members = []
        start, stop = (start, max(stop, end)) if members else (first, end)
        members.append((first, end))
    if members:
        yield start, stop, members


def _bridged_gaps(ordered: Sequence[tuple[int, int]]) -> set[int]:
    """Indexes of the spans that are read together with the one before."""
    gaps, reach = [], 0
    for index, (first, end) in enumerate(ordered):
        gaps.append((first - reach, index))
        reach = max(reach, end)
    allowed = _GAP_SHARE * sum(end - first for first, end in ordered)
    bridged = set()
    for gap, index in sorted(gaps[1:]):
        allowed -= max(gap, 0)
        if gap > _LARGEST_GAP_BYTES or allowed < 0:
            break
        bridged.add(index)
    return bridged


def _multihash(text: str, where: str) -> tuple[str | None, str]:
    """Name and hexadecimal digest of a multihash; no name for a hash that is not computed here.

    https://github.com/multiformats/multihash: code and length as variable-length integers, then the digest.
    """
    try:
        code, rest = _varint(bytes.fromhex(text[:1024]))
        length, digest = _varint(rest)
    except (ValueError, IndexError):
        length, digest, code = -1, b"", 0
    if length != len(digest) or not digest:
        raise ArchiveRefusedError(
            f"{where}: the catalogue's checksum {text!r:.80} is no multihash. Report the item to the archive."
        )
    name = _HASHES.get(code)
    if name is not None and hashlib.new(name, usedforsecurity=False).digest_size != length:
        raise ArchiveRefusedError(
            f"{where}: the catalogue's checksum has {length} bytes, not those of {name}. Report the item."
        )
    return name, digest.hex()


def _varint(data: bytes) -> tuple[int, bytes]:
    """An unsigned integer of seven bits a byte, lowest first, and what follows it."""
    value = shift = 0
    for index in range(4):
        value |= (data[index] & 0x7F) << shift
        shift += 7
        if data[index] < 0x80:
            return value, data[index + 1 :]
    raise ValueError("too long")


def _brief(etag: str | None) -> str:
    return "none" if etag is None else f"{etag!r:.40}"
