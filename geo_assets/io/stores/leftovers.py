"""Names of files in the making, and how those of killed processes are found and removed.

A temporary name carries the process id and a tag of the machine, so that a later run can tell an abandoned
file from one that another process is writing this moment.
"""

import hashlib
import logging
import os
import re
import secrets
import shutil
import socket
import time
from functools import cache
from pathlib import Path

_log = logging.getLogger(__name__)

TEMPORARY_PREFIX = ".tmp-"
"""How every temporary file or folder begins; no key may."""

ABANDONED_AFTER_S = 24 * 3600.0
"""Age at which a temporary file of an unknown machine counts as abandoned."""

_NAME = re.compile(re.escape(TEMPORARY_PREFIX) + r"(?P<pid>\d+)-(?P<machine>[0-9a-f]{10})-[0-9a-f]+")


@cache
def _machine() -> str:
    # The process-id namespace belongs to it: two containers can share a host name but not each other's ids.
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{socket.gethostname()}|{namespace}".encode()).hexdigest()[:10]


def temporary_name() -> str:
    """A fresh name for a file or folder that this process is making."""
    return f"{TEMPORARY_PREFIX}{os.getpid()}-{_machine()}-{secrets.token_hex(6)}"


def is_abandoned(path: Path) -> bool:
    """Whether the maker of the temporary `path` is gone; another machine's is taken for gone after a day."""
    match = _NAME.fullmatch(path.name)
    if match is not None and match["machine"] == _machine():
        return not _is_alive(int(match["pid"]))
    try:
        return time.time() - path.stat().st_mtime > ABANDONED_AFTER_S
    except FileNotFoundError:
        return False


def sweep_folder(folder: Path) -> None:
    """Remove every abandoned temporary file and folder below `folder`."""
    for parent, folders, files in os.walk(folder):
        temporary = [name for name in (*folders, *files) if name.startswith(TEMPORARY_PREFIX)]
        folders[:] = [name for name in folders if not name.startswith(TEMPORARY_PREFIX)]
        for path in (Path(parent, name) for name in temporary):
            if is_abandoned(path):
                _log.info("Removing %s, left behind by a killed run", path)
                _remove(path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
