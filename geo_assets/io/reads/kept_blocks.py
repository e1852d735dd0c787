"""Decoded blocks that are kept for a while, all open files together: windows of our grid share a file's blocks."""

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Any

from numpy.typing import NDArray


class KeptBlocks:
    """Least recently used blocks leave first; usable from several threads.

    Parameters
    ----------
    limit_bytes
        Of all blocks that are kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[int, Hashable], NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._dropped: deque[int] = deque()

    def get(self, file: int, block: Hashable) -> NDArray[Any] | None:
        """A block of a file, if it is still here."""
        with self._lock:
            pixels = self._blocks.get((file, block))
            if pixels is not None:
                self._blocks.move_to_end((file, block))
            return pixels

    def put(self, file: int, block: Hashable, pixels: NDArray[Any]) -> None:
        """Keep a block, which nobody changes from now on."""
        with self._lock:
            self._forget_dropped()
            self._forget((file, block))
            self._blocks[file, block] = pixels
            self._bytes += pixels.nbytes
            while self._bytes > self._limit:
                self._forget(next(iter(self._blocks)))

    def drop(self, file: int) -> None:
        """Forget the blocks of a file before others are put."""
        self._dropped.append(file)  # takes no lock: the garbage collector may call while one is held

    def _forget_dropped(self) -> None:
        gone = {self._dropped.popleft() for _ in range(len(self._dropped))}
        if gone:
            for key in [key for key in self._blocks if key[0] in gone]:
                self._forget(key)

    def _forget(self, key: tuple[int, Hashable]) -> None:
        pixels = self._blocks.pop(key, None)
        self._bytes -= 0 if pixels is None else pixels.nbytes
