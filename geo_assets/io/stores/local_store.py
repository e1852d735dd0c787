"""A store in a local folder: temporary file beside the target, fsync, rename, fsync of the folder."""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from geo_assets.domain.errors import MissingProductError, ResourceError
from geo_assets.io.stores.leftovers import TEMPORARY_PREFIX, sweep_folder, temporary_name
from geo_assets.io.stores.store import Stamp, check_key

_log = logging.getLogger(__name__)

_COPY_BYTES = 1 << 20
_ATTEMPTS = 3
_WITHOUT_LOCKS = {errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


class LocalStore:
    """Named bytes under a folder, which is made when something is first written. Satisfies `Store`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return f"LocalStore({self.url!r})"

    @property
    def url(self) -> str:
        """The absolute folder."""
        return str(self._folder)

    def read(self, key: str) -> bytes:
        """The bytes under `key`; `MissingProductError` when there are none."""
        with self._opened(key) as file:
            return file.read()

    def sha256(self, key: str) -> str:
        """SHA-256 (hex) of the file; `MissingProductError` when absent."""
        with self._opened(key) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write(self, key: str, data: bytes) -> Stamp:
        """Put `data` under `key`: synced to disk under a temporary name, then renamed."""
        target = self._target(key)
        with self._refusals("write", key):
            for _ in range(_ATTEMPTS - 1):
                # Another run may remove the units' folder between our mkdir and our rename.
                with contextlib.suppress(FileNotFoundError):
                    return _write_and_rename(target, data)
            return _write_and_rename(target, data)

    def publish(self, key: str, path: Path) -> Stamp:
        """Move the finished file `path` to `key`: a rename, or from another file system a synced copy."""
        target = self._target(key)
        with self._refusals("write", key):
            _make_folder(target.parent)
            try:
                stamp = _synced(path)
                os.replace(path, target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                stamp = _copy_and_rename(path, target)
                path.unlink()
            _sync_folder(target.parent)
        return stamp

    def local_path(self, key: str, sha256: str) -> Path:
        """The file itself, unread; `MissingProductError` when absent."""
        path = self._target(key)
        if not path.is_file():
            raise self._missing(key)
        return path

    def stat(self, key: str) -> Stamp | None:
        """Size and modification time in nanoseconds; None when absent."""
        try:
            status = os.stat(self._target(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._refusal("look at", key, error) from error
        return _stamp(status) if stat.S_ISREG(status.st_mode) else None

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys in the folder `prefix` and below, in the order of their characters."""
        folder = self._folder / check_key(prefix) if prefix else self._folder
        yield from self._keys_below(folder, f"{prefix}/" if prefix else "")

    def delete(self, key: str) -> None:
        """Remove the file, durably; an absent one is fine."""
        target = self._target(key)
        with self._refusals("delete", key), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            target.unlink()
            _sync_folder(target.parent)

    def delete_prefix(self, prefix: str) -> None:
        """Remove the folder `prefix` with all that is in it; what another run adds meanwhile may stay."""
        folder = self._target(prefix)
        with self._refusals("delete", prefix):
            for _ in range(_ATTEMPTS):
                if not folder.is_dir():
                    return
                try:
                    shutil.rmtree(folder)
                except FileNotFoundError:
                    continue  # another run removes it, too
                except OSError as error:
                    if error.errno != errno.ENOTEMPTY:  # else another run writes into it
                        raise

    def scratch(self, near: str) -> Path:
        """A new folder inside the folder `near`, invisible to `keys`."""
        folder = self._target(near) / temporary_name()
        with self._refusals("write", near):
            _make_folder(folder.parent)
            folder.mkdir()
        return folder

    def sweep(self, prefix: str) -> None:
        """Remove temporary files of processes that are gone."""
        sweep_folder(self._target(prefix))

    @contextmanager
    def exclusive(self, prefix: str) -> Iterator[None]:
        """Hold an advisory lock on the folder `prefix`; a file system without locks is used without."""
        folder = self._target(prefix)
        with self._refusals("write", prefix):
            _make_folder(folder)
            descriptor = os.open(folder, os.O_RDONLY)
        try:
            with self._refusals("lock", prefix):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                except OSError as error:
                    if error.errno not in _WITHOUT_LOCKS:
                        raise
                    _log.debug("Store %s: no locks on this file system", self.url)
            yield
        finally:
            os.close(descriptor)

    def require_writable(self) -> None:
        """Write and remove a small probe; `ResourceError` if that fails."""
        with self._refusals("write", "."):
            probe = self._folder / temporary_name()
            self._folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"probe")
            probe.unlink()

    def _target(self, key: str) -> Path:
        return self._folder / check_key(key)

    def _keys_below(self, folder: Path, stem: str) -> Iterator[str]:
        try:
            with os.scandir(folder) as entries:
                named = [(f"{entry.name}/" if entry.is_dir() else entry.name) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._refusal("list", stem, error) from error
        # With its slash, a folder sorts among the files as its keys do.
        for name in sorted(name for name in named if not name.startswith(TEMPORARY_PREFIX)):
            if name.endswith("/"):
                yield from self._keys_below(folder / name[:-1], stem + name)
            else:
                yield stem + name

    @contextmanager
    def _opened(self, key: str) -> Iterator[BufferedReader]:
        try:
            with open(self._target(key), "rb") as file:
                yield file
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise self._missing(key) from None
        except OSError as error:
            raise self._refusal("read", key, error) from error

    @contextmanager
    def _refusals(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._refusal(action, key, error) from error

    def _missing(self, key: str) -> MissingProductError:
        return MissingProductError(
            f"Store {self.url}: expected {key}, found nothing. `geo-assets status` shows what is there."
        )

    def _refusal(self, action: str, key: str, error: OSError) -> ResourceError:
        remedy = {
            errno.ENOSPC: "Free some space, or choose another folder with GEO_ASSETS_STORE; units stay.",
            errno.EDQUOT: "Free some of your quota, or choose another folder with GEO_ASSETS_STORE.",
            errno.EIO: "The disk fails: move the store to another one.",
        }.get(
            error.errno or 0,
            "Choose a folder that this user may write to with GEO_ASSETS_STORE, or correct its permissions.",
        )
        return ResourceError(f"Store {self.url}: cannot {action} {key} ({error.strerror or error}). {remedy}")


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, str(status.st_mtime_ns))


def _write_and_rename(target: Path, data: bytes) -> Stamp:
    _make_folder(target.parent)
    temporary = target.parent / temporary_name()
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            stamp = _stamp(os.fstat(file.fileno()))
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)
    return stamp


def _copy_and_rename(source: Path, target: Path) -> Stamp:
    temporary = target.parent / temporary_name()
    try:
        with open(source, "rb") as reader, open(temporary, "xb") as writer:
            shutil.copyfileobj(reader, writer, _COPY_BYTES)
        stamp = _synced(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return stamp


def _synced(path: Path) -> Stamp:
    """The stamp of `path` once its bytes are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return _stamp(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Put renames and removals inside `folder` on the disk, too."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Make `folder` and its parents, each recorded in its parent on the disk."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)
