"""How well a mask agrees with labels: counts of agreement, and how they change with threshold and buffer.

Every sweep looks at each pixel once: it is ranked among the settings, and the counts of all of them are sums over the
ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, Flag
from geo_assets.domain.errors import DetectorError, RegionError
from geo_assets.kernels.distance import squared_distance
from geo_assets.kernels.expectations import expect_array

_STRATA = 256
"""As many as a byte tells apart."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a class was found where it is, and where it is not; pixels."""

    hits: int
    """Found, and true."""
    false_alarms: int
    """Found, and not true."""
    misses: int
    """True, and not found."""
    rejections: int
    """Neither."""

    @property
    def pixels(self) -> int:
        """All that were compared."""
        return self.hits + self.false_alarms + self.misses + self.rejections

    @property
    def precision(self) -> float:
        """Share of what was found that is true; NaN where nothing was found."""
        return _share(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """Share of what is true that was found; NaN where nothing is."""
        return _share(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN where nothing is true and nothing was found."""
        return _share(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)

    @property
    def iou(self) -> float:
        """Intersection over union of what is true and what was found; NaN where both are empty."""
        return _share(self.hits, self.hits + self.false_alarms + self.misses)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def confusion(
    truth: ClassCode, found: ClassCode, *, classes: int, strata: NDArray[np.uint8] | None = None
) -> dict[int | None, NDArray[np.int64]]:
    """How often each found class meets each true one, in one pass.

    Parameters
    ----------
    truth, found : (y, x) uint8
        Classes; 255 is unlabelled or fill, and such pixels do not count.
    classes : int
        All classes lie below this.
    strata : (y, x) uint8, optional
        Which part of the land a pixel belongs to, such as its land cover; 255 is a part like the others.

    Returns
    -------
    pixels
        Stratum -> (true class, found class) int64, of every stratum with a pixel that counts; under None of all
        pixels together.

    Raises
    ------
    GridMismatchError
        The arrays differ in shape, or are not uint8.
    DetectorError
        A class that is neither below `classes` nor 255.
    """
    expect_array("truth", truth, np.uint8, (None, None))
    expect_array("found", found, np.uint8, truth.shape)
    if strata is not None:
        expect_array("strata", strata, np.uint8, truth.shape)
    for name, values in (("truth", truth), ("mask", found)):
        unknown = [value for value in np.unique(values) if classes <= value < NODATA_CLASS]
        if unknown:
            raise DetectorError(
                f"Evaluation: found the class {unknown[0]} in the {name}, expected 0 to {classes - 1}, or 255 where "
                "nothing is known. Translate the classes first."
            )
    counts = np.zeros((1 if strata is None else _STRATA, classes, classes), np.int64)
    _count_pairs(truth, found, _strata_of(truth, strata), counts)
    return _by_stratum(counts, strata)


def agreement(
    true: Flag, found: Flag, labelled: Flag, strata: NDArray[np.uint8] | None = None
) -> dict[int | None, Agreement]:
    """How well one flag agrees with another, wherever it is labelled.

    Parameters
    ----------
    true, found, labelled : (y, x) bool
        What is true, what was found, and where both are known.
    strata : (y, x) uint8, optional
        As for `confusion`.

    Returns
    -------
    agreements
        Stratum -> agreement, of every stratum with a labelled pixel; under None of all pixels together.

    Raises
    ------
    GridMismatchError
        The arrays differ in shape or dtype.
    """
    ranks = found.astype(np.uint16)
    return {
        stratum: swept[0] for stratum, swept in _swept(true, ranks, labelled, strata, settings=1, rising=True).items()
    }


def threshold_sweep(
    true: Flag,
    probability: NDArray[np.float32],
    thresholds: Sequence[float],
    labelled: Flag,
    strata: NDArray[np.uint8] | None = None,
    *,
    anyhow: Flag | None = None,
) -> dict[int | None, list[Agreement]]:
    """How well ``probability > threshold`` agrees with a flag, for each of many thresholds.

    Parameters
    ----------
    true, labelled, strata
        As for `agreement`.
    probability : (y, x) float32
        NaN exceeds no threshold; leave such pixels out by `labelled` if they are not to count.
    thresholds : sequence of float
        Rising; compared in float32, as the detector does.
    anyhow : (y, x) bool, optional
        Pixels that count as found whatever their probability, since another detector has found them.

    Returns
    -------
    agreements
        Stratum -> one agreement for each threshold; under None of all pixels together.

    Raises
    ------
    GridMismatchError
        The arrays differ in shape or dtype.
    RegionError
        The thresholds do not rise.
    """
    expect_array("probability", probability, np.float32, true.shape)
    steps = _rising("thresholds", thresholds, np.float32)
    ranks = np.empty(probability.shape, np.uint16)
    _rank_above(probability, steps, ranks)
    if anyhow is not None:
        expect_array("anyhow", anyhow, np.bool_, true.shape)
        ranks[anyhow] = len(steps)
    return _swept(true, ranks, labelled, strata, settings=len(steps), rising=True)


def buffer_sweep(
    true: Flag,
    found: Flag,
    radii_px: Sequence[float],
    labelled: Flag,
    strata: NDArray[np.uint8] | None = None,
    *,
    never: Flag | None = None,
) -> dict[int | None, list[Agreement]]:
    """How well a flag agrees with another when it is grown by each of many radii, as `kernels.quality.buffer` does.

    Parameters
    ----------
    true, found, labelled, strata
        As for `agreement`.
    radii_px : sequence of float
        Rising, pixels; 0 is the flag as it is.
    never : (y, x) bool, optional
        Pixels that no buffer takes, such as cloud when shadow grows.

    Returns
    -------
    agreements
        Stratum -> one agreement for each radius; under None of all pixels together.

    Raises
    ------
    GridMismatchError
        The arrays differ in shape or dtype.
    RegionError
        The radii do not rise, or one is negative.
    """
    expect_array("found", found, np.bool_, true.shape)
    steps = _rising("radii", radii_px, np.float64)
    if steps[0] < 0:
        raise RegionError(f"Buffers: found {radii_px[0]} px, expected at least 0. Raise it.")
    height, width = found.shape
    distance2 = squared_distance(~found, cap_px=int(steps[-1]) + 1, top=0, left=0, height=height, width=width)
    ranks = np.empty(found.shape, np.uint16)
    _rank_within(distance2, np.square(steps), ranks)
    if never is not None:
        expect_array("never", never, np.bool_, true.shape)
        ranks[never & ~found] = len(steps)
    return _swept(true, ranks, labelled, strata, settings=len(steps), rising=False)


def _swept(
    true: Flag,
    ranks: NDArray[np.uint16],
    labelled: Flag,
    strata: NDArray[np.uint8] | None,
    *,
    settings: int,
    rising: bool,
) -> dict[int | None, list[Agreement]]:
    """Agreements of all settings from the histogram of ranks.

    `rising`: a pixel of rank r is found by settings 0 to r - 1; else by settings r and later.
    """
    for name, flag in (("true", true), ("labelled", labelled)):
        expect_array(name, flag, np.bool_, ranks.shape)
    if strata is not None:
        expect_array("strata", strata, np.uint8, ranks.shape)
    counts = np.zeros((1 if strata is None else _STRATA, 2, settings + 1), np.int64)
    _count_ranks(true, ranks, labelled, _strata_of(true, strata), counts)
    return {stratum: _agreements(pixels, rising=rising) for stratum, pixels in _by_stratum(counts, strata).items()}


def _by_stratum(counts: NDArray[np.int64], strata: NDArray[np.uint8] | None) -> dict[int | None, NDArray[np.int64]]:
    """Tables of the strata that have pixels, and under None their sum."""
    tables: dict[int | None, NDArray[np.int64]] = {None: counts.sum(axis=0)}
    if strata is not None:
        tables |= {int(stratum): counts[stratum] for stratum in np.flatnonzero(counts.any(axis=(1, 2)))}
    return tables


def _agreements(pixels: NDArray[np.int64], *, rising: bool) -> list[Agreement]:
    """Agreement of each setting, from (not true or true, rank) counts."""
    whole = pixels.sum(axis=1)
    found = whole[:, np.newaxis] - pixels.cumsum(axis=1)[:, :-1] if rising else pixels.cumsum(axis=1)[:, :-1]
    return [
        Agreement(int(hit), int(false), int(whole[1] - hit), int(whole[0] - false))
        for false, hit in zip(found[0], found[1], strict=True)
    ]


def _rising(name: str, given: Sequence[float], dtype: type) -> NDArray[Any]:
    steps: NDArray[Any] = np.asarray(given, dtype)
    if steps.ndim != 1 or not steps.size or np.isnan(steps).any() or (np.diff(steps) <= 0).any():
        raise RegionError(f"Sweep: found {name} {list(given)!r:.80}, expected numbers that rise. Sort them.")
    return steps


def _strata_of(like: NDArray[Any], strata: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    return np.zeros(like.shape, np.uint8) if strata is None else strata


@njit(nogil=True, cache=True)
def _count_pairs(truth: Any, found: Any, strata: Any, counts: Any) -> None:
    for row in range(truth.shape[0]):
        for col in range(truth.shape[1]):
            if truth[row, col] != NODATA_CLASS and found[row, col] != NODATA_CLASS:
                counts[strata[row, col], truth[row, col], found[row, col]] += 1


@njit(nogil=True, cache=True)
def _count_ranks(true: Any, ranks: Any, labelled: Any, strata: Any, counts: Any) -> None:
    for row in range(true.shape[0]):
        for col in range(true.shape[1]):
            if labelled[row, col]:
                counts[strata[row, col], np.int64(true[row, col]), ranks[row, col]] += 1


@njit(nogil=True, cache=True)
def _rank_above(values: Any, steps: Any, ranks: Any) -> None:
    """Number of steps that a value exceeds; none for NaN."""
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            low, high = 0, steps.size
            while low < high:
                middle = (low + high) // 2
                if values[row, col] > steps[middle]:
                    low = middle + 1
                else:
                    high = middle
            ranks[row, col] = low


@njit(nogil=True, cache=True)
def _rank_within(distance2: Any, steps2: Any, ranks: Any) -> None:
    """First step that reaches a pixel; the number of steps where none does."""
    for row in range(distance2.shape[0]):
        for col in range(distance2.shape[1]):
            low, high = 0, steps2.size
            while low < high:
                middle = (low + high) // 2
                if distance2[row, col] <= steps2[middle]:
                    high = middle
                else:
                    low = middle + 1
            ranks[row, col] = low
