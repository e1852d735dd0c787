"""What a benchmark returns: one number, and the target that it is held against."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured number of one benchmark."""

    what: str
    """What was measured, on which input."""
    value: float
    """In `unit`: a median of at least five quiet runs where it is a time."""
    unit: str
    """Of `value` and `target`: "s", "MB", "x" for a ratio ..."""
    target: float | None = None
    """The number to reach; None where there is nothing to hold it against."""
    higher_is_better: bool = False
    """Whether `value` reaches `target` from above, as a speed-up does, or from below, as a duration."""

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing where there is no target."""
        if self.target is None:
            return ""
        reached = self.value >= self.target if self.higher_is_better else self.value <= self.target
        return "met" if reached else "missed"


def interleaved(
    one: Callable[[], object],
    other: Callable[[], object],
    *,
    rounds: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Median over rounds of the ratio of `one`'s time to `other`'s; each round runs both, after a warm-up of each.

    The machine's speed drifts: only times of the same round compare. Wall time, unless `clock` is another one.
    """
    one()
    other()
    ratios = []
    for _ in range(rounds):
        began = clock()
        one()
        between = clock()
        other()
        ratios.append((between - began) / (clock() - between))
    return statistics.median(ratios)
