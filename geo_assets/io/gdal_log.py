"""What GDAL says beside its answers."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_GDAL_LOG = logging.getLogger("rasterio._env")


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
