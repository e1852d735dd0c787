"""Answers of searches on disk: asked once for all processes, asked again when they have grown old."""

import fcntl
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from geo_assets.domain.errors import ResourceError
from geo_assets.io.archives.search.shelf import Shelf, shelf_bytes, shelf_from
from geo_assets.io.stores.leftovers import temporary_name

log = logging.getLogger(__name__)

RECENT = timedelta(days=90)
"""Catalogues add and reprocess scenes for weeks: what is younger is asked for again sooner."""
RECENT_LASTS = timedelta(hours=6)
OLDER_LASTS = timedelta(days=30)
_MOST_HELD = 8
"""Shelves in memory: about 20 MB each for a region of ordinary size."""


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class SearchCache:
    """Shelves by key, in memory and in a folder.

    Parameters
    ----------
    folder
        Shared by any number of processes; None keeps shelves in this process's memory only.
    recent_lasts, older_lasts
        How long an answer is good, for scenes younger than 90 days and for older ones.
    now
        Aware time of day.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        recent_lasts: timedelta = RECENT_LASTS,
        older_lasts: timedelta = OLDER_LASTS,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._folder = folder
        self._recent_lasts, self._older_lasts = recent_lasts, older_lasts
        self._now = now
        self._held: OrderedDict[str, tuple[Shelf, tuple[int, int] | None]] = OrderedDict()
        self._lock = threading.Lock()

    def shelf(self, key: str, *, until: datetime, ask: Callable[[], Shelf]) -> Shelf:
        """The shelf of a key, asked for where there is none that is still good.

        Parameters
        ----------
        key
            A name of letters and digits; the same for the same search.
        until
            End of the time that the search covers, which decides how long its answer is good.
        ask
            Asks the catalogue.

        Raises
        ------
        ResourceError
            The folder cannot be written.
        GeoAssetsError
            Whatever `ask` raises.
        """
        with self._lock:  # one thread asks, the others find its answer
            shelf = self._good(key, until)
            if shelf is not None:
                return shelf
            with self._claimed(key):
                shelf = self._good(key, until)  # another process may have asked meanwhile
                return self._kept(key, ask()) if shelf is None else shelf

    def _good(self, key: str, until: datetime) -> Shelf | None:
        shelf = self._found(key)
        if shelf is None:
            return None
        lasts = self._recent_lasts if self._now() - until < RECENT else self._older_lasts
        age = self._now() - shelf.asked
        # An answer from the future was written under a clock that has been corrected.
        return shelf if timedelta(0) <= age < lasts else None

    def _found(self, key: str) -> Shelf | None:
        """What memory or disk has, however old."""
        held, stamp = self._held.get(key, (None, None))
        path = self._path(key)
        if path is None:
            return held
        try:
            seen = _stamp(path)
            if held is not None and seen == stamp:
                self._held.move_to_end(key)
                return held
            shelf = shelf_from(path.read_bytes())
        except OSError:
            return None
        if shelf is None:
            log.warning("Search cache %s: is damaged or of another version; the search is asked again", path)
        else:
            self._hold(key, shelf, seen)
        return shelf

    def _kept(self, key: str, shelf: Shelf) -> Shelf:
        """The shelf as it is read back, after it was written."""
        content = shelf_bytes(shelf)
        read_back = shelf_from(content)
        assert read_back is not None  # or writing and reading disagree, which a test would show
        path = self._path(key)
        if path is not None:
            temporary = path.with_name(temporary_name())
            try:
                with open(temporary, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            except OSError as error:
                temporary.unlink(missing_ok=True)
                raise self._unwritable(error) from None
        self._hold(key, read_back, None if path is None else _stamp(path))
        return read_back

    def _hold(self, key: str, shelf: Shelf, stamp: tuple[int, int] | None) -> None:
        """Keep a shelf in memory; what a folder has as well, only the last few of."""
        self._held[key] = shelf, stamp
        self._held.move_to_end(key)
        while self._folder is not None and len(self._held) > _MOST_HELD:
            self._held.popitem(last=False)

    @contextmanager
    def _claimed(self, key: str) -> Iterator[None]:
        """While open, no other process asks for this key; the system frees the claim of one that dies."""
        path = self._path(key)
        if path is None:
            yield
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _path(self, key: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{key}.json"

    def _unwritable(self, error: OSError) -> ResourceError:
        return ResourceError(
            f"Search cache {self._folder}: cannot be written ({error.strerror or error}). "
            "Give GEO_ASSETS_HOME a folder that you may write to."
        )


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
