"""Where tokens lie while they are valid: in memory, or in a folder that all processes of a deployment share."""

import contextlib
import fcntl
import json
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from geo_assets.domain.errors import ArchiveError, ResourceError

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,150}")
_LIMIT_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Token:
    """Something that lets us in for a while."""

    secret: SecretStr
    issued: datetime
    """When we got it; aware."""
    expires: datetime
    refresh: SecretStr | None = None
    """What gets the next one without a login."""
    refresh_expires: datetime | None = None

    def lasts(self, now: datetime, *, margin: timedelta) -> bool:
        """Whether it is not yet time to renew it: `margin` before its end, or after half its life if that is later."""
        return now < self.expires - min(margin, (self.expires - self.issued) / 2)


@dataclass(slots=True)
class _Seat:
    """What the threads of this process know together about one token."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: Token | None = None
    fetches: int = 0
    failures: int = 0
    error: ArchiveError | None = None


class TokenShelf:
    """Tokens by name, each fetched by one thread of one process while the others wait for it.

    Parameters
    ----------
    folder
        Shares them among processes, in files that only this user may read; None keeps them in this process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._seats: dict[str, _Seat] = {}
        self._lock = threading.Lock()

    @property
    def is_shared(self) -> bool:
        """Whether other processes may use what lies here."""
        return self._folder is not None

    def token(self, name: str, *, good: Callable[[Token], bool], fetch: Callable[[Token | None], Token]) -> Token:
        """The token of this name.

        Parameters
        ----------
        name
            Lower-case letters, digits, `.` and `-`.
        good
            Whether a token that lies here will do.
        fetch
            Gets a new one; it is given the old one, which may hold what refreshes it. Threads that wait while another
            fetches take what it gets, or fail as it fails.

        Raises
        ------
        ArchiveError
            As `fetch` has it.
        ResourceError
            The folder cannot be used, or belongs to somebody else.
        """
        seat = self._seat(name)
        token = seat.token
        if token is not None and good(token):
            return token
        fetches, failures = seat.fetches, seat.failures
        with seat.lock:
            token = seat.token
            if token is not None and (good(token) or seat.fetches != fetches):
                return token
            if seat.error is not None and seat.failures != failures:
                raise type(seat.error)(str(seat.error))
            with self._locked(name):
                stored = self._stored(name)
                if stored is None or not good(stored):
                    stored = self._fetched(name, seat, fetch, stored or token)
            seat.token = stored
            return stored

    def held(self, name: str) -> Token | None:
        """What lies here under a name, good or not."""
        return self._seat(name).token or self._stored(name)

    def drop(self, name: str) -> None:
        """Forget a token."""
        seat = self._seat(name)
        with seat.lock:
            seat.token = None
            if self._folder is not None:
                (self._folder / f"{name}.json").unlink(missing_ok=True)

    def _fetched(self, name: str, seat: _Seat, fetch: Callable[[Token | None], Token], old: Token | None) -> Token:
        try:
            token = fetch(old)
        except ArchiveError as error:
            seat.failures += 1
            seat.error = error
            raise
        seat.fetches += 1
        self._store(name, token)
        return token

    def _seat(self, name: str) -> _Seat:
        seat = self._seats.get(name)
        if seat is None:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r:.200} is no name of a token: lower-case letters, digits, `.` and `-`.")
            with self._lock:
                seat = self._seats.setdefault(name, _Seat())
        return seat

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keep other processes from fetching the same token."""
        if self._folder is None:
            yield
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = os.lstat(self._folder)
            descriptor = os.open(self._folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ResourceError(
                f"Folder {self._folder}: tokens cannot be kept in it ({error.strerror}). Name one that is yours."
            ) from None
        try:
            # Somebody else's folder could feed us tokens, or read ours.
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                raise ResourceError(f"Folder {self._folder}: belongs to another user. Name one of yours for tokens.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)  # which unlocks it

    def _stored(self, name: str) -> Token | None:
        """The token in the folder; None where there is none that is ours and readable."""
        if self._folder is None:
            return None
        try:
            descriptor = os.open(self._folder / f"{name}.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
                return None
            text = file.read(_LIMIT_BYTES)
        # A file of another version, or cut off by a full disk, is as good as none.
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return _token_from(json.loads(text))
        return None

    def _store(self, name: str, token: Token) -> None:
        if self._folder is None:
            return
        temporary = self._folder / f".{name}-{secrets.token_hex(8)}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                json.dump(_document_of(token), file)
            os.replace(temporary, self._folder / f"{name}.json")
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise ResourceError(
                f"Folder {self._folder}: a token cannot be kept in it ({error.strerror}). Make room, or name another."
            ) from None


def _document_of(token: Token) -> dict[str, str | None]:
    return {
        "secret": token.secret.get_secret_value(),
        "issued": token.issued.isoformat(),
        "expires": token.expires.isoformat(),
        "refresh": None if token.refresh is None else token.refresh.get_secret_value(),
        "refresh_expires": None if token.refresh_expires is None else token.refresh_expires.isoformat(),
    }


def _token_from(document: Any) -> Token:
    refresh, refresh_expires = document["refresh"], document["refresh_expires"]
    return Token(
        secret=SecretStr(document["secret"]),
        issued=datetime.fromisoformat(document["issued"]),
        expires=datetime.fromisoformat(document["expires"]),
        refresh=None if refresh is None else SecretStr(refresh),
        refresh_expires=None if refresh_expires is None else datetime.fromisoformat(refresh_expires),
    )
