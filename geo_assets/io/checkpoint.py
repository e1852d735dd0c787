"""Finished units of unfinished work, so that a killed run loses only the units it was in.

A unit is a few named arrays. It is published whole through the store, and read only if its own digest agrees.
"""

import hashlib
import io
import logging
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.errors import MissingProductError, ProductError
from geo_assets.io.stores.store import Store

_log = logging.getLogger(__name__)

_MAGIC = b"GAUNIT2\n"
_DIGEST_BYTES = 32
_SUFFIX = ".unit"
_LENGTHS = struct.Struct("<IQ")
"""Of an array's name and of its bytes, in front of both."""


class Checkpoint:
    """Units of one piece of work, under a prefix of a store; safe to use from several threads.

    Units are kept for speed and never promised: another run that finishes the same product removes them. Ask
    with `take`, which makes again what is gone.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._lock = threading.Lock()
        self._made: set[str] = set()
        self._found: set[str] = set()

    @property
    def computed(self) -> int:
        """Units that `take` made in this run, however often it was asked for them."""
        return len(self._made)

    @property
    def reused(self) -> int:
        """Units that `take` found finished by an earlier run."""
        return len(self._found)

    def get(self, key: str, *, beginning: str = "") -> dict[str, NDArray[Any]] | None:
        """The unit's arrays, in the order of their names; None when absent or damaged (logged).

        Parameters
        ----------
        key
            The unit.
        beginning
            Of the names of the arrays that are wanted; the others are not unpacked.
        """
        try:
            data = self._store.read(self._key(key))
        except MissingProductError:
            return None
        arrays = _unpacked(data, beginning)
        if arrays is None:
            _log.warning("Unit %s of %s is damaged, it is made again", key, self._prefix)
        return arrays

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Publish a finished unit.

        Parameters
        ----------
        key : str
            Relative POSIX path; the same work has the same key in every run.
        arrays : mapping
            Name -> array of any shape and any dtype but object.
        """
        self._store.write(self._key(key), _packed(arrays))

    def take(self, key: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        """The unit's arrays: those of an earlier run if they verify, else made now and published."""
        arrays = self.get(key)
        if arrays is not None:
            with self._lock:
                if key not in self._made:
                    self._found.add(key)
            return arrays
        made = make()
        with self._lock:  # before others can read it, for they would take it for an earlier run's
            self._made.add(key)
        self.put(key, made)
        return dict(sorted(made.items()))

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}{_SUFFIX}"


def _packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The same bytes for the same arrays: magic, SHA-256 of the rest, named .npy streams, each in zstd of its own."""
    pieces: list[bytes] = []
    for name, array in sorted(arrays.items()):
        if array.dtype.hasobject:
            raise ProductError(f"Unit array {name!r}: found dtype {array.dtype}, expected numbers, text or flags.")
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array, allow_pickle=False)
        label, content = name.encode(), bytes(imagecodecs.zstd_encode(stream.getvalue(), level=1))
        pieces += [_LENGTHS.pack(len(label), len(content)), label, content]
    payload = b"".join(pieces)
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def _unpacked(data: bytes, beginning: str = "") -> dict[str, NDArray[Any]] | None:
    start = len(_MAGIC) + _DIGEST_BYTES
    payload = memoryview(data)[start:]
    if not data.startswith(_MAGIC) or data[len(_MAGIC) : start] != hashlib.sha256(payload).digest():
        return None
    arrays, at = {}, 0
    while at < len(payload):
        label_bytes, content_bytes = _LENGTHS.unpack_from(payload, at)
        begin = at + _LENGTHS.size + label_bytes
        name, at = bytes(payload[begin - label_bytes : begin]).decode(), begin + content_bytes
        if name.startswith(beginning):
            stream = io.BytesIO(imagecodecs.zstd_decode(bytes(payload[begin:at])))
            arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
    return arrays
