"""Local copies of products that live elsewhere, named by their content and bounded in size."""

import contextlib
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geo_assets.domain.errors import ResourceError
from geo_assets.io.stores.leftovers import TEMPORARY_PREFIX, sweep_folder, temporary_name

_IN_USE_S = 3600.0
"""A file asked for within this time may be open in some process, and is not dropped."""


class DownloadCache:
    """Files by SHA-256 in a folder that only this user may enter; least recently used ones go first."""

    def __init__(self, folder: Path | None, *, max_bytes: int) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"geo_assets-{os.getuid()}"
        self._max_bytes = max_bytes
        self._verified: set[Path] = set()

    @property
    def folder(self) -> Path:
        """The cache's folder, made on first use; `ResourceError` when it is not ours alone."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = os.lstat(self._folder)
        except OSError as error:
            raise ResourceError(
                f"Cache {self._folder}: cannot be made ({error.strerror}). Name another, or set TMPDIR."
            ) from error
        # Under a shared temporary folder, somebody else may have made it first to feed us files.
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise ResourceError(f"Cache {self._folder}: belongs to another user. Name another folder, or set TMPDIR.")
        return self._folder

    def find(self, sha256: str, suffix: str) -> Path | None:
        """The cached file, re-hashed the first time this process asks; None when absent or damaged."""
        path = self._path(sha256, suffix)
        try:
            if path not in self._verified:
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                        path.unlink(missing_ok=True)
                        return None
                self._verified.add(path)
            os.utime(path)
        except FileNotFoundError:
            self._verified.discard(path)
            return None
        return path

    @contextmanager
    def filling(self, sha256: str, suffix: str) -> Iterator[tuple[Path, Path]]:
        """Yield a temporary path to fill and the final one, which the file gets on a clean exit."""
        final = self._path(sha256, suffix)
        temporary = self.folder / temporary_name()
        try:
            yield temporary, final
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)
        self._verified.add(final)
        self._drop_oldest()

    def sweep(self) -> None:
        """Remove temporary files and folders of processes that are gone."""
        sweep_folder(self.folder)

    def _path(self, sha256: str, suffix: str) -> Path:
        return self.folder / f"{sha256}{suffix}"

    def _drop_oldest(self) -> None:
        files = []
        for entry in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file() and not entry.name.startswith(TEMPORARY_PREFIX):
                    files.append((entry.stat().st_mtime, entry.stat().st_size, Path(entry.path)))
        excess = sum(size for _, size, _ in files) - self._max_bytes
        for used, size, path in sorted(files):
            if excess <= 0 or time.time() - used < _IN_USE_S:
                return
            path.unlink(missing_ok=True)
            excess -= size
