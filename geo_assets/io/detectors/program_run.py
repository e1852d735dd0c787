"""Another program, run on a short lead: no shell, a time limit, no secrets, and a bounded record of what it said."""

import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from geo_assets.domain.errors import DetectorError

PLAIN_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""What a program sees when nobody hands it an environment."""

SAID_BYTES = 64 << 10
"""How much of a program's output is kept: its end."""

_TAIL_CHARACTERS = 600
_GRACE_S = 2.0
_READER_S = 5.0
_CHUNK_BYTES = 1 << 14

_SECRET_NAME = re.compile(
    r"^(PC_SDK|CDSE|AWS|AZURE|GOOGLE|EARTHDATA|GEO_ASSETS|DAGSTER)_"
    r"|SECRET|TOKEN|PASSW|PASSPHRASE|PASS(?:_|$|FILE)|_PWD|USERPWD|CREDENTIAL|COOKIE|BEARER|API_?KEY|KEY(?:_|$)|_AUTH",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"://[^/\s@]*:[^/\s@]*@")
"""An address with user and password, such as a proxy's or a database's."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """What programs of others are given of the world around us, and where their last words are kept."""

    environment: Mapping[str, str] | None = field(default=None, repr=False)
    """What they see, less the secrets; `PLAIN_ENVIRONMENT` by default."""
    log_folder: Path | None = None
    """Where `<scene>.<detector>.log` keeps the end of what a program said; without it only an error tells."""


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """What a program that ended well did."""

    seconds: float
    """Wall time."""
    said: str
    """The last `SAID_BYTES` of its output and errors, in the order in which they came."""


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for another program: without credentials of archives and stores, tokens and passwords."""
    return {
        name: value
        for name, value in environment.items()
        if not _SECRET_NAME.search(name) and not _SECRET_VALUE.search(value)
    }


def run_program(
    words: Sequence[str],
    *,
    about: str,
    folder: Path,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> ProgramRun:
    """What a program said, once it has ended well.

    It is started without a shell, in a process group of its own; whatever is left of the group when the program ends
    or its time is over, children included, is killed.

    Parameters
    ----------
    words
        The program, looked up in the PATH of its environment, and its arguments, each as it is.
    about
        Whose program it is, for messages.
    folder
        Where it works; its temporary files go there too.
    timeout_s
        Seconds after which it is killed.
    environment
        What it sees, without the secrets; `PLAIN_ENVIRONMENT` by default. A HOME that is not named is `folder`.
    log
        File that keeps the end of what it said, also when it fails.

    Raises
    ------
    DetectorError
        It cannot be started, ends with another code than 0, or does not end in time.
    """
    variables = {"HOME": str(folder), **without_secrets(environment or PLAIN_ENVIRONMENT), "TMPDIR": str(folder)}
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            list(words),
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DetectorError(
            f"{about}: the program {words[0]!r} cannot be started ({reason}). "
            "Install it, or name it by its whole path in the command."
        ) from None
    assert process.stdout is not None  # a pipe was asked for
    ear = _Ear(process.stdout)
    try:
        code: int | None = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = None
        _end_group(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
    finally:
        _end_group(process.pid, signal.SIGKILL)
        process.wait()
        said = ear.heard()
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(said, encoding="utf-8")
    seconds = time.monotonic() - started
    if code is None:
        raise DetectorError(
            f"{about}: {words[0]!r} did not end within {timeout_s:g} s and was stopped, with all that it had started. "
            f"Raise timeout_s, or find out what it waits for. {_told(said)}"
        )
    if code != 0:
        ending = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise DetectorError(f"{about}: {words[0]!r} {ending}, expected 0. Run the command by hand. {_told(said)}")
    _log.info("%s: %s ended well after %.1f s", about, words[0], seconds)
    return ProgramRun(seconds, said)


class _Ear:
    """Listens to a pipe in a thread, so that the program never waits, and remembers the end."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._listen, name="what a program says", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        # What has left the process group may hold the pipe open for longer than anybody listens.
        with suppress(ValueError, OSError):
            while chunk := os.read(self._pipe.fileno(), _CHUNK_BYTES):
                self._kept += chunk
                del self._kept[:-SAID_BYTES]
            self._pipe.close()

    def heard(self) -> str:
        self._thread.join(_READER_S)
        text = bytes(self._kept).decode("utf-8", errors="replace")
        return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in text)


def _end_group(group: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, how)


def _told(said: str) -> str:
    """The end of what a program said, for a message."""
    tail = said.strip()
    if not tail:
        return "It said nothing."
    return f"It said: {'...' if len(tail) > _TAIL_CHARACTERS else ''}{tail[-_TAIL_CHARACTERS:]}"
