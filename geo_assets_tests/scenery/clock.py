"""A clock that tests turn by hand: for tokens that expire and pauses that nobody wants to wait for."""

import threading
from datetime import UTC, datetime, timedelta


class Clock:
    """The time of a server and its clients, as the test has it; thread-safe.

    Give `now` to whatever asks the time of day, the clock itself to whatever counts seconds, and `sleep` to whatever
    waits: sleeping turns the clock instead.
    """

    def __init__(self, start: datetime = datetime(2024, 7, 1, 12, tzinfo=UTC)) -> None:
        self._start = start
        self._seconds = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Seconds since the clock was made, as `time.monotonic` would count them."""
        with self._lock:
            return self._seconds

    def now(self) -> datetime:
        """Aware time of day, UTC."""
        return self._start + timedelta(seconds=self())

    def advance(self, seconds: float) -> None:
        """Turn the clock on."""
        with self._lock:
            self._seconds += seconds

    def sleep(self, seconds: float) -> None:
        """Wait for nothing: the clock turns by that much."""
        self.advance(max(0.0, seconds))


class WallClock(Clock):
    """The machine's time, plus what it was turned on by."""

    def __call__(self) -> float:
        return super().__call__() + (datetime.now(UTC) - self._start).total_seconds()

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))
