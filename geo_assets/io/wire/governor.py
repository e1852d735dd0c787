"""How often a host is asked: connections, requests per minute, pauses it asked for, and when to leave it alone.

One governor serves all threads that talk to an archive. Nothing here knows HTTP.
"""

import fcntl
import hashlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from geo_assets.domain.errors import ArchiveTransientError, ResourceError

_LONGEST_PAUSE_S = (
    900.0  # a host that asks for more is asked again after this: a typing error must not park us for ever
)
_BURST_SHARE = 0.1  # of a minute's requests may come at once, the rest evenly
_SLOT_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What one host bears."""

    connections: int = 32
    """Requests under way at the same time."""
    requests_per_minute: float | None = None
    """None: as many as the connections carry."""

    def __post_init__(self) -> None:
        rate = self.requests_per_minute
        if self.connections < 1 or (rate is not None and not rate > 0):
            raise ValueError(f"{self} would let nothing through; connections and rate are positive.")


class Governor:
    """A gate for every host.

    Parameters
    ----------
    limits
        For every host that `hosts` does not name.
    hosts
        Limits by host name.
    slots_folder
        Shares the connections of a host among all processes that name the same folder, by locked files in it.
    breaker_failures
        A host that fails this many times in a row, with no success in between, is left alone.
    cool_down_s
        For how long; then one request tries.
    clock, sleep
        Seconds that only grow, and waiting for them.
    """

    def __init__(
        self,
        limits: HostLimits | None = None,
        *,
        hosts: Mapping[str, HostLimits] | None = None,
        slots_folder: Path | None = None,
        breaker_failures: int = 48,
        cool_down_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits = limits or HostLimits()
        self._hosts = dict(hosts or {})
        self._slots_folder = slots_folder
        self._breaker_failures = breaker_failures
        self._cool_down_s = cool_down_s
        self._clock, self._sleep = clock, sleep
        self._gates: dict[str, HostGate] = {}
        self._lock = threading.Lock()

    def gate(self, host: str) -> "HostGate":
        """The gate of a host, the same at every call."""
        gate = self._gates.get(host)
        if gate is None:
            with self._lock:
                gate = self._gates.get(host) or self._new_gate(host)
                self._gates[host] = gate
        return gate

    def _new_gate(self, host: str) -> "HostGate":
        limits = self._hosts.get(host, self._limits)
        slots = None
        if self._slots_folder is not None:
            slots = _SharedSlots(self._slots_folder, host, limits.connections, self._sleep)
        breaker = _Breaker(host, self._breaker_failures, self._cool_down_s, self._clock)
        return HostGate(host, limits, breaker, slots, self._clock, self._sleep)


@dataclass(frozen=True, slots=True)
class Wait:
    """What a request waited for, in seconds."""

    queued_s: float
    """For its turn."""
    paused_s: float
    """For a host that asked for a pause."""


NO_WAIT = Wait(0.0, 0.0)


class HostGate:
    """Lets requests to one host through; every `enter` is followed by one `leave`."""

    def __init__(
        self,
        host: str,
        limits: HostLimits,
        breaker: "_Breaker",
        slots: "_SharedSlots | None",
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._host = host
        self._breaker = breaker
        self._slots = slots
        self._clock, self._sleep = clock, sleep
        self._permits = threading.Semaphore(limits.connections)
        self._pace = None if limits.requests_per_minute is None else _Pace(limits.requests_per_minute, clock)
        self._held = threading.local()
        self._paused_until = 0.0
        self._asks_for_pause = False
        self._lock = threading.Lock()

    def enter(self, *, deadline: float) -> Wait:
        """Wait for a place, and return how long that took.

        Waiting for a connection that others hold is a queue, not a failure, and knows no deadline: each of them is
        bounded by its own.

        Parameters
        ----------
        deadline
            By the clock; a pause that lasts longer is not waited for.

        Raises
        ------
        ArchiveTransientError
            The host failed too often, or asked for a pause past the deadline.
        """
        self._breaker.check()
        queued_s = paused_s = 0.0
        if self._pace is not None and (early_s := self._pace.seconds_early()) > 0:
            self._sleep(early_s)
            queued_s += early_s
        while True:
            if self._asks_for_pause:
                paused_s += self._wait_out_the_pause(deadline + queued_s)
            if not self._permits.acquire(blocking=False):
                started = self._clock()
                self._permits.acquire()
                queued_s += self._clock() - started
            if not self._asks_for_pause:
                break
            self._permits.release()
        if self._slots is not None:
            try:
                self._held.slot, slot_wait_s = self._slots.take()
            except BaseException:
                self._permits.release()
                raise
            queued_s += slot_wait_s
        return Wait(queued_s, paused_s) if queued_s or paused_s else NO_WAIT

    def leave(self) -> None:
        """Give the place back."""
        if self._slots is not None:
            self._slots.give_back(self._held.slot)
        self._permits.release()

    def pause(self, seconds: float) -> None:
        """No thread asks for so long, at most a quarter of an hour: the host wants it."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + min(max(seconds, 0.0), _LONGEST_PAUSE_S))
            self._asks_for_pause = True

    def failed(self, reason: str = "") -> None:
        """Count a failure that may pass; the reason is told to those who then find the host left alone."""
        self._breaker.failed(reason)

    def succeeded(self) -> None:
        """The host answers: forget its failures."""
        self._breaker.succeeded()

    def _wait_out_the_pause(self, deadline: float) -> float:
        waited = 0.0
        while True:
            with self._lock:
                now, until = self._clock(), self._paused_until
                if until <= now:
                    self._asks_for_pause = False
                    return waited
            if until > deadline:
                raise ArchiveTransientError(
                    f"host {self._host} asks for a pause of another {until - now:.0f} s, longer than we wait. "
                    "Run it again after it."
                )
            self._sleep(until - now)
            waited += until - now


class _Pace:
    """So many requests a minute, evenly after a short burst (generic cell rate algorithm)."""

    def __init__(self, requests_per_minute: float, clock: Callable[[], float]) -> None:
        self._interval_s = 60.0 / requests_per_minute
        self._burst_s = max(0.0, requests_per_minute * _BURST_SHARE - 1.0) * self._interval_s
        self._clock = clock
        self._next = 0.0
        self._lock = threading.Lock()

    def seconds_early(self) -> float:
        """How long to wait before the request that is announced hereby; zero or less: not at all."""
        with self._lock:
            now = self._clock()
            due = max(self._next, now)
            self._next = due + self._interval_s
            return due - self._burst_s - now


class _Breaker:
    """Open after too many failures in a row: nobody asks until it has cooled down; then one does."""

    def __init__(self, host: str, failures: int, cool_down_s: float, clock: Callable[[], float]) -> None:
        self._host = host
        self._limit = failures
        self._cool_down_s = cool_down_s
        self._clock = clock
        self._failures = 0
        self._last_reason = ""
        self._open_until = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise `ArchiveTransientError` while open."""
        if self._failures < self._limit:
            return
        with self._lock:
            if self._failures < self._limit:
                return
            remaining_s = self._open_until - self._clock()
            if remaining_s <= 0:
                self._open_until = self._clock() + self._cool_down_s  # this request tries; others wait for its fate
                return
        raise ArchiveTransientError(
            f"host {self._host} failed {self._failures} times in a row{self._last_reason}, and is left alone for "
            f"another {remaining_s:.0f} s. Run it again after that; `geo-assets doctor` shows whether it is back."
        )

    def failed(self, reason: str) -> None:
        with self._lock:
            self._failures += 1
            self._last_reason = f", the last time with {reason}" if reason else ""
            if self._failures >= self._limit:
                self._open_until = self._clock() + self._cool_down_s

    def succeeded(self) -> None:
        if self._failures:
            with self._lock:
                self._failures = 0


class _SharedSlots:
    """Connections of a host that several processes share: whoever locks a file holds its slot.

    The system drops the lock of a process that dies, so that no slot is lost.
    """

    def __init__(self, folder: Path, host: str, count: int, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        name = hashlib.sha256(host.encode()).hexdigest()[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            slots = [os.open(folder / f"slot-{name}-{index}", flags, 0o600) for index in range(count)]
        except OSError as error:
            raise ResourceError(
                f"Folder {folder}: connection slots cannot be kept in it ({error.strerror}). Name one that is yours."
            ) from None
        self._free = deque(slots)
        weakref.finalize(self, _close_all, slots)

    def take(self) -> tuple[int, float]:
        """A locked file, and the seconds waited for it; `give_back` it."""
        waited = 0.0
        while True:
            for _ in range(len(self._free)):
                slot = self._free.popleft()  # the gate lets as many threads in as there are slots
                try:
                    fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._free.append(slot)
                    continue
                return slot, waited
            self._sleep(_SLOT_POLL_S)
            waited += _SLOT_POLL_S

    def give_back(self, slot: int) -> None:
        fcntl.flock(slot, fcntl.LOCK_UN)
        self._free.appendleft(slot)


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
