"""What the network was asked for: counters that many threads add to."""

import threading


class Meter:
    """Requests, bytes, retries, renewals and waiting, since the meter was made; safe among threads."""

    __slots__ = ("_bytes", "_lock", "_renewals", "_requests", "_retries", "_wait_s")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = self._bytes = self._retries = self._renewals = 0
        self._wait_s = 0.0

    def add(
        self, *, requests: int = 0, bytes: int = 0, retries: int = 0, renewals: int = 0, wait_s: float = 0.0
    ) -> None:
        """Count up; the parameters are the counters' names."""
        with self._lock:
            self._requests += requests
            self._bytes += bytes
            self._retries += retries
            self._renewals += renewals
            self._wait_s += wait_s

    def add_all(self, other: "Meter") -> None:
        """Count up by everything that another meter holds."""
        seen = other.snapshot()
        self.add(
            requests=int(seen["requests"]),
            bytes=int(seen["bytes"]),
            retries=int(seen["retries"]),
            renewals=int(seen["renewals"]),
            wait_s=seen["wait_s"],
        )

    @property
    def requests(self) -> int:
        """Requests sent, redirects and retries included."""
        return self._requests

    @property
    def bytes(self) -> int:
        """Bytes of bodies received, as they came over the wire, those of failed attempts included."""
        return self._bytes

    @property
    def retries(self) -> int:
        """Requests that were sent again after a failure that may pass."""
        return self._retries

    @property
    def renewals(self) -> int:
        """Requests that were signed anew because a host refused them."""
        return self._renewals

    @property
    def wait_s(self) -> float:
        """Seconds that threads waited: back-off, pauses that a host asked for, free connections."""
        return self._wait_s

    def snapshot(self) -> dict[str, int | float]:
        """All counters at one moment, by name."""
        with self._lock:
            return {
                "requests": self._requests,
                "bytes": self._bytes,
                "retries": self._retries,
                "renewals": self._renewals,
                "wait_s": self._wait_s,
            }
