"""Bytes of one file by position, wherever the file lies."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from geo_assets.domain.errors import AssetLostError


def lost_file(where: str, complaint: str) -> AssetLostError:
    """What is said of a file that is gone, cut off or makes no sense."""
    return AssetLostError(
        f"{where}: cannot be read ({complaint}). Restore the file and run again, or name the item in "
        "selection.exclude of the region file."
    )


class ByteSource(Protocol):
    """One file, read by byte ranges; usable from several threads."""

    @property
    def where(self) -> str:
        """What messages call it: item, band and address without query."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes of the whole file where known; always known once `head` has answered."""
        ...

    @property
    def attempts(self) -> int:
        """Requests made for the last span, for ledgers."""
        ...

    def head(self, length: int) -> bytes:
        """The first `length` bytes, or the whole file if it is shorter.

        Raises
        ------
        ArchiveError
            As in `read`.
        """
        ...

    def read(self, spans: Sequence[tuple[int, int]]) -> list[memoryview]:
        """The bytes of half-open spans (first, end): exactly, and in the order asked; may join neighbours.

        Raises
        ------
        AssetLostError
            The file is gone, or ends before a span does.
        ArchiveTransientError
            It cannot be read now.
        ArchiveRefusedError
            It may not be read.
        """
        ...

    def refresh(self) -> None:
        """Make the next reads use fresh connections and nothing remembered: what was read made no sense."""
        ...

    def close(self) -> None:
        """Let go of what is open; the source is not used afterwards."""
        ...


class LocalFile:
    """A regular file on disk as a `ByteSource`.

    Parameters
    ----------
    path
        Of the file; taken literally, never as an address of GDAL's.
    where
        What messages call it.

    Raises
    ------
    AssetLostError
        There is no such file, or it is a folder, a pipe or a device.
    """

    def __init__(self, path: str | Path, where: str) -> None:
        self.where = where
        self.attempts = 1
        self._path = Path(path)
        self._descriptor = self._opened()

    @property
    def size(self) -> int:
        """Bytes of the file, now."""
        return os.fstat(self._descriptor).st_size

    def head(self, length: int) -> bytes:
        """See `ByteSource.head`."""
        return self._pread(0, min(length, self.size)).tobytes()

    def read(self, spans: Sequence[tuple[int, int]]) -> list[memoryview]:
        """See `ByteSource.read`."""
        return [self._pread(first, end) for first, end in spans]

    def refresh(self) -> None:
        """Open the file again: it may have been replaced."""
        fresh = self._opened()
        os.dup2(fresh, self._descriptor, inheritable=False)  # in place: another thread may be reading
        os.close(fresh)

    def close(self) -> None:
        """See `ByteSource.close`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _opened(self) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not make us wait
        except OSError as error:
            raise lost_file(self.where, str(error.strerror)) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise lost_file(self.where, "it is no regular file")
        return descriptor

    def _pread(self, first: int, end: int) -> memoryview:
        if not 0 <= first <= end <= self.size:  # before anything is allocated
            raise lost_file(self.where, f"bytes {first} to {end} asked for, the file has {self.size}")
        pieces: list[bytes] = []
        at = first
        while at < end or not pieces:
            try:
                pieces.append(os.pread(self._descriptor, end - at, at))
            except OSError as error:
                raise lost_file(self.where, str(error.strerror)) from None
            if at < end and not pieces[-1]:
                raise lost_file(self.where, f"the file shrank below {end} bytes")
            at += len(pieces[-1])
        return memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))
