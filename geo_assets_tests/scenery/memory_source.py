"""A `ByteSource` in memory that remembers what was asked of it, and can go wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from geo_assets.io.reads.byte_source import lost_file


@dataclass(slots=True)
class MemorySource:
    """The bytes of one file."""

    content: bytes
    where: str = "Item S2, band red"
    fresh: bytes | None = None
    """What a refresh brings; None: the same again."""
    failure: BaseException | None = None
    """What the next reads raise; the head is read before."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """All that was read, the head included."""
    refreshed: int = 0
    attempts: int = 1

    @classmethod
    def of(cls, path: Path) -> "MemorySource":
        return cls(path.read_bytes())

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def bytes_read(self) -> int:
        return sum(end - first for first, end in self.spans)

    def head(self, length: int) -> bytes:
        self.spans.append((0, min(length, self.size)))
        return self.content[:length]

    def read(self, spans: Sequence[tuple[int, int]]) -> list[memoryview]:
        if self.failure is not None:
            raise self.failure
        self.spans += spans
        for first, end in spans:
            if not 0 <= first <= end <= self.size:
                raise lost_file(self.where, f"bytes {first} to {end} of {self.size}")
        return [memoryview(self.content)[first:end] for first, end in spans]

    def refresh(self) -> None:
        self.refreshed += 1
        self.content = self.content if self.fresh is None else self.fresh

    def close(self) -> None:
        pass
