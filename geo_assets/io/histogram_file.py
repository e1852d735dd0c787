"""Many exact histograms in one file, written and read one by one: an `.npz` whose bytes depend on its content only.

A histogram named `N` is four arrays, `N/bins`, `N/numbers`, `N/ends` and `N/nodata` (`kernels.histogram.
PackedHistogram`), so that `numpy.load` opens the file, too.
"""

import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from geo_assets.domain.errors import CorruptProductError, GridMismatchError
from geo_assets.kernels.histogram import PackedHistogram

COMPRESSION = f"zlib {zlib.ZLIB_RUNTIME_VERSION}"
"""What the bytes depend on besides the content."""

_ARRAYS = ("bins", "numbers", "ends", "nodata")

_LEVEL = 1
"""Of DEFLATE: hundreds of sums are written for one part that changed."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time stamp of every member: the first that a ZIP archive can hold."""


class _OpenArchive:
    """A context manager that closes its archive."""

    _archive: zipfile.ZipFile

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()


class HistogramWriter(_OpenArchive):
    """Writes histograms, one after the other; a context manager."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path, "w")

    def write(self, name: str, histogram: PackedHistogram) -> None:
        """Add a histogram under a name of its own."""
        for array in _ARRAYS:
            content = BytesIO()
            np.lib.format.write_array(content, getattr(histogram, array), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}/{array}.npy", _EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            self._archive.writestr(member, content.getvalue(), compresslevel=_LEVEL)


class HistogramReader(_OpenArchive):
    """Reads histograms by name; a context manager.

    Raises
    ------
    CorruptProductError
        The file, or a histogram asked for, is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise self._damaged(str(error)) from None

    def read(self, name: str) -> PackedHistogram:
        """The histogram of this name."""
        try:
            return PackedHistogram(**{array: self._array(f"{name}/{array}.npy") for array in _ARRAYS})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, GridMismatchError) as error:
            raise self._damaged(f"{name}: {error}") from None

    def _array(self, member: str) -> np.ndarray:
        with self._archive.open(member) as content:
            return np.lib.format.read_array(content, allow_pickle=False)

    def _damaged(self, why: str) -> CorruptProductError:
        return CorruptProductError(f"{self._path}: {why}. Expected histograms as sealed: `geo-assets backfill`.")
