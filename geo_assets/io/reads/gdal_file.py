"""GDAL on a `ByteSource`: for JPEG 2000, warps, and TIFFs stored in ways that are not decoded here.

GDAL gets one name, which it can open, and nothing beside it: sidecars are not there. It reads through pages, so that
its many small reads become few requests. What goes wrong in a callback never unwinds through GDAL: the file just ends
there for GDAL, and whoever asked GDAL asks here for the error itself.
"""

from collections import OrderedDict
from collections.abc import Sequence
from contextvars import Context
from typing import Any, Literal

import rasterio
from rasterio.abc import MultiByteRangeResourceContainer

from geo_assets.io.gdal import BLOCK_CACHE
from geo_assets.io.reads.byte_source import ByteSource
from geo_assets.io.reads.tiff_directory import HEAD_BYTES

GDAL_SETTINGS = {**BLOCK_CACHE, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_NUM_THREADS": "1"}
"""What must hold while a `GdalFile` is used. Threads of GDAL's own open the file anew and do not find it, which its
JPEG 2000 driver does not tell: the pixels would be whatever the memory held before."""
PAGE_BYTES = HEAD_BYTES
_PAGES_KEPT = 512
_PAGES_AHEAD = 32
"""Most pages that are read at once for a reader that goes through the file from front to back."""
_NAMES = {"GTiff": "scene.tif", "JP2OpenJPEG": "scene.jp2"}


class GdalFile(MultiByteRangeResourceContainer):  # type: ignore[misc]  # rasterio is untyped
    """A folder, as rasterio sees it, with one file in it.

    Parameters
    ----------
    source
        The file's bytes; it stays the caller's to close.
    head
        Its first bytes, read already.
    driver
        The one driver of GDAL's that may open it: others would follow what a stranger's file points to.
    """

    def __init__(self, source: ByteSource, head: bytes, driver: Literal["GTiff", "JP2OpenJPEG"]) -> None:
        self._source, self._head, self._driver = source, head, driver
        self._name = _NAMES[driver]
        self._size = len(head) if source.size is None else source.size
        whole = range(len(head) // PAGE_BYTES)
        self._pages = OrderedDict((page, head[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]) for page in whole)
        self._next, self._ahead = len(whole), 1
        self._opened: dict[int | None, Any] = {}
        self._context = Context()  # where rasterio notes what it has open: a thread of its own does not find it
        self.error: BaseException | None = None
        """The first that a read met; everything that GDAL says afterwards follows from it."""

    def dataset(self, overview: int | None = None) -> Any:
        """The file as a rasterio dataset, opened when first asked for; for one thread at a time.

        `overview` counts from 0 by falling size; without it, full resolution.
        """
        if overview not in self._opened:
            how = {} if overview is None else {"overview_level": overview}
            opened = self._context.run(rasterio.open, self._name, driver=self._driver, opener=self, **how)
            self._opened[overview] = opened
        return self._opened[overview]

    def close(self) -> None:
        """Close the datasets, from whichever thread."""
        while self._opened:
            self._context.run(self._opened.popitem()[1].close)

    def open(self, path: str, mode: str = "r", **_: Any) -> "_Cursor":
        """See `rasterio.abc.FileContainer.open`; nothing but the one file is there."""
        if not self.isfile(path):
            raise FileNotFoundError(path)
        return _Cursor(self)

    def isfile(self, path: str) -> bool:
        """See `rasterio.abc.FileContainer.isfile`."""
        return path.rpartition("/")[2] == self._name

    def isdir(self, path: str) -> bool:
        """See `rasterio.abc.FileContainer.isdir`."""
        return False

    def ls(self, path: str) -> list[str]:
        """See `rasterio.abc.FileContainer.ls`."""
        return []

    def mtime(self, path: str) -> int:
        """See `rasterio.abc.FileContainer.mtime`."""
        return 0

    def rm(self, path: str) -> None:
        """See `rasterio.abc.FileContainer.rm`: nothing is ever removed."""

    def size(self, path: str = "") -> int:
        """See `rasterio.abc.FileContainer.size`."""
        return self._size

    def ranges(self, stretches: Sequence[tuple[int, int]]) -> list[bytes]:
        """Half-open stretches of the file: cut off at its end, and empty after an error."""
        inside = [(min(first, self._size), min(end, self._size)) for first, end in stretches]
        if all(end <= len(self._head) for _, end in inside):
            return [self._head[first:end] for first, end in inside]
        try:
            if self.error is None:
                return self._from_pages(inside)
        except BaseException as error:  # raised by whoever asked GDAL: it must not unwind through C
            self.error = error
        return [b""] * len(inside)

    def _from_pages(self, stretches: Sequence[tuple[int, int]]) -> list[bytes]:
        wanted = [range(first // PAGE_BYTES, -(-end // PAGE_BYTES)) for first, end in stretches]
        pages = self._needed(sorted({page for some in wanted for page in some}))
        found = []
        for (first, end), some in zip(stretches, wanted, strict=True):
            start = some.start * PAGE_BYTES
            found.append(b"".join(pages[page] for page in some)[first - start : end - start])
        return found

    def _needed(self, wanted: Sequence[int]) -> dict[int, bytes]:
        """Pages by number; those that are missing are read in one go, and a few ahead of a steady reader."""
        missing = [page for page in wanted if page not in self._pages]
        if missing:
            steady = missing[0] == self._next
            self._ahead = min(2 * self._ahead, _PAGES_AHEAD) if steady else 1
            last = -(-self._size // PAGE_BYTES)
            reached = max(missing[-1] + 1, min(missing[0] + self._ahead, last)) if steady else missing[-1] + 1
            missing += [page for page in range(missing[-1] + 1, reached) if page not in self._pages]
            self._next = missing[-1] + 1
        pages = {page: self._pages[page] for page in wanted if page in self._pages} | self._read(missing)
        for page in pages:
            self._pages[page] = pages[page]
            self._pages.move_to_end(page)
        while len(self._pages) > _PAGES_KEPT:
            self._pages.popitem(last=False)
        return pages

    def _read(self, missing: Sequence[int]) -> dict[int, bytes]:
        spans: list[tuple[int, int]] = []
        for page in missing:
            first, end = page * PAGE_BYTES, min((page + 1) * PAGE_BYTES, self._size)
            if spans and spans[-1][1] == first:
                spans[-1] = spans[-1][0], end
            else:
                spans.append((first, end))
        pages = {}
        for (first, _), found in zip(spans, self._source.read(spans) if spans else (), strict=True):
            for at in range(0, len(found), PAGE_BYTES):
                pages[(first + at) // PAGE_BYTES] = bytes(found[at : at + PAGE_BYTES])
        return pages


class _Cursor:
    """One open handle of GDAL's on the file."""

    def __init__(self, file: GdalFile) -> None:
        self._file, self._at = file, 0

    def __enter__(self) -> "_Cursor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to let go of: the source is another's."""

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._file.size())[whence]
        return self._at

    def read(self, count: int = -1) -> bytes:
        end = self._file.size() if count < 0 else self._at + count
        (found,) = self._file.ranges([(self._at, end)])
        self._at += len(found)
        return found

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        return self._file.ranges([(first, first + size) for first, size in zip(offsets, sizes, strict=True)])
