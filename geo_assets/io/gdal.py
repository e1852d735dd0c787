"""GDAL on a short lead: how much it may keep in memory, and what it says beside its answers."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

BLOCK_CACHE = {"GDAL_CACHEMAX": 128 << 20}
"""Bytes of decoded blocks that GDAL may keep; its default, 5 % of the machine, grows with the machine."""

_GDAL_LOG = logging.getLogger("rasterio._env")


def without_queries(text: str) -> str:
    """`text` without what follows a `?` in a word: in an address it may be a signature."""
    return re.sub(r"\?[^\s'\",;)]+", "?...", text)


def _redact(record: logging.LogRecord) -> bool:
    record.msg, record.args = without_queries(record.getMessage()), ()
    return True


for _name in ("_base", "_env", "_io", "_vrt", "_warp", "vrt", "warp"):  # those of rasterio that speak of files
    logging.getLogger(f"rasterio.{_name}").addFilter(_redact)


class _WarningsOfOneThread(logging.Handler):
    """Keeps what rasterio logs from the thread that made it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if threading.get_ident() == self._thread:
            self.messages.append(record.getMessage())


@contextmanager
def gdal_warnings() -> Iterator[list[str]]:
    """GDAL's warnings of this thread while open: rasterio only logs them, and a warned read is a failed one."""
    handler = _WarningsOfOneThread()
    _GDAL_LOG.addHandler(handler)
    try:
        yield handler.messages
    finally:
        _GDAL_LOG.removeHandler(handler)
