"""How far a composite is, and how long its steps took."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUALITY_SHARE = 0.25
"""Of the whole, as progress is told, for choosing scenes; the rest is for their bands."""


class Pace:
    """Tells how far a composite is, and keeps the seconds of each step.

    Parameters
    ----------
    tell
        Told the step that goes on, and the share of the whole that is done, 0 to 1; from any thread, one at a time.
    searched_s
        Seconds that the search took.
    """

    def __init__(self, tell: Callable[[str, float], None], searched_s: float) -> None:
        self.timings = {"search": searched_s}
        """Step -> seconds."""
        self.asked_share = 1.0
        """Of all bands, those that are read now; 0 for second reads, which are of a few pixels."""
        self._tell, self._lock = tell, threading.Lock()
        self._read_share, self._told = 0.0, 0.0

    @property
    def reading_share(self) -> float:
        """Of the whole, what is done when so much of the bands is read."""
        return QUALITY_SHARE + (1 - QUALITY_SHARE) * self._read_share

    def advance(self, share: float) -> None:
        """Another share of the bands that are asked for is read; from any thread."""
        with self._lock:
            self._read_share = min(self._read_share + share * self.asked_share, 1.0)
            self.say("bands", self.reading_share)

    def say(self, step: str, share: float) -> None:
        """Tell progress, which never goes back though what a lost scene showed is read anew."""
        self._told = max(self._told, share)
        self._tell(step, self._told)

    @contextmanager
    def timed(self, step: str, share: float) -> Iterator[None]:
        """Adds the time that the block takes to the step's."""
        self.say(step, share)
        began = time.perf_counter()
        yield
        self.timings[step] = self.timings.get(step, 0.0) + time.perf_counter() - began
