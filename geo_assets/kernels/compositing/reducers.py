"""Methods that make every band's value of all used observations: median, percentile, weighted mean."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import SATURATED_REFLECTANCE, ClassCode, Flag, ReflectanceCount
from geo_assets.domain.errors import RegionError
from geo_assets.kernels.compositing.observations import (
    MOST_SCENES,
    Composite,
    Observations,
    filled,
    mark_used,
)

WEIGHT_ONE = 1 << 16
"""The weight of score 1: scores are rounded to this fraction, so that sums are whole numbers of any order."""

_FAR = np.uint64(2**62)


def median(observations: Observations) -> Composite:
    """The median of every band.

    Of an even number of observations the mean of the two in the middle, rounded half up; no float is involved.

    Parameters
    ----------
    observations : Observations
        Of any order.

    Returns
    -------
    composite : Composite
        On the same window; `source` is the observation nearest to the result.
    """
    return _by_rank(observations, lambda count: (count - 1) // 2, lambda count: count // 2)


def percentile_of_bands(observations: Observations, percentile: float) -> Composite:
    """A percentile of every band by nearest rank: always a value that was observed.

    The smallest value that at least `percentile` percent of the used observations do not exceed, at 0 the least
    (inverted empirical distribution function: Hyndman & Fan 1996, definition 1).

    Parameters
    ----------
    observations : Observations
        Of any order.
    percentile : float
        0 to 100, taken as the decimal that it is written as: 35 % of 20 observations is the 7th.

    Returns
    -------
    composite : Composite
        On the same window; `source` is the observation nearest to the result.

    Raises
    ------
    RegionError
        `percentile` is outside 0 to 100.
    """
    if not 0 <= percentile <= 100:
        raise RegionError(f"Composite: found percentile {percentile}, expected 0 to 100.")
    share = Fraction(str(percentile)) / 100

    def nearest(count: int) -> int:
        return max(math.ceil(share * count), 1) - 1

    return _by_rank(observations, nearest, nearest)


def weighted_mean(observations: Observations, scores: NDArray[np.float32]) -> Composite:
    """The mean of every band by scores, rounded half up.

    Parameters
    ----------
    observations : Observations
        Of any order.
    scores : (time, y, x) float32
        0 to 1, as of `scoring.bap_scores`; taken to the nearest ``1 / WEIGHT_ONE``, but never as 0: a pixel with a
        single bad observation still has a value. NaN is the least score.

    Returns
    -------
    composite : Composite
        On the same window; `source` is the observation nearest to the result.

    Notes
    -----
    After WASP (Hagolle et al. 2018, "Sentinel-2 surface reflectance level 3A product ATBD", Theia), whose weights are
    products of date, aerosol and cloud distance; here they are the scores of `bap`.
    """
    return filled(_fill_weighted_mean, observations, scores)


def _by_rank(observations: Observations, lower: Callable[[int], int], upper: Callable[[int], int]) -> Composite:
    """Mean of two places in the sorted values of each band, which depend on how many values there are."""
    counts = range(1, MOST_SCENES + 1)
    network = comparators(len(observations.acquired))
    ranks = (np.array([0, *map(rank, counts)], np.int64) for rank in (lower, upper))
    return filled(_fill_by_rank, observations, network, *ranks)


def comparators(length: int) -> NDArray[np.int64]:
    """(n, 2) int64: places to compare and swap, one after another, until `length` values are in order.

    A network does the same steps for all values, so that many pixels are sorted at once (Batcher 1968, "Sorting
    networks and their applications": odd-even merge, for any length).
    """
    pairs: list[tuple[int, int]] = []
    merged = 1
    while merged < length:
        step = merged
        while step >= 1:
            for start in range(step % merged, length - step, 2 * step):
                for low in range(start, min(start + step, length - step)):
                    if low // (2 * merged) == (low + step) // (2 * merged):
                        pairs.append((low, low + step))
            step //= 2
        merged *= 2
    return np.array(pairs, np.int64).reshape(-1, 2)


@njit(nogil=True, cache=True)
def mark_nearest(
    reflectance: ReflectanceCount, order: NDArray[np.int64], row: int, used: Flag, bands: ReflectanceCount,
    source: ClassCode, distance: NDArray[np.uint64], least: NDArray[np.uint64],
) -> None:  # fmt: skip
    """Fill `source` of one row with the used scene whose spectrum is nearest to the result's; the last two are room."""
    least[:] = _FAR
    for place in range(order.size):
        distance[:] = 0
        for band in range(bands.shape[0]):
            line, result = reflectance[order[place], band, row], bands[band, row]
            for col in range(line.size):
                away = np.uint64(abs(np.int32(line[col]) - np.int32(result[col])))
                distance[col] += away * away
        candidate, scene = used[place], np.uint8(order[place])
        for col in range(distance.size):
            nearer = candidate[col] & (distance[col] < least[col])
            least[col] = distance[col] if nearer else least[col]
            source[col] = scene if nearer else source[col]


@njit(nogil=True, cache=True)
def _fill_by_rank(
    reflectance: ReflectanceCount, quality: ClassCode, order: NDArray[np.int64], network: NDArray[np.int64],
    lower: NDArray[np.int64], upper: NDArray[np.int64],
    bands: ReflectanceCount, best_quality: ClassCode, observation_count: ClassCode, source: ClassCode,
) -> None:  # fmt: skip
    width = reflectance.shape[3]
    used = np.empty((order.size, width), np.bool_)
    values = np.empty((order.size, width), np.int16)
    count = np.empty(width, np.int64)
    distance, least = np.empty(width, np.uint64), np.empty(width, np.uint64)
    for row in range(reflectance.shape[2]):
        mark_used(reflectance, quality, order, row, used, best_quality[row], observation_count[row])
        count[:] = 0
        for place in range(order.size):
            for col in range(width):
                count[col] += used[place, col]
        for band in range(reflectance.shape[1]):
            for place in range(order.size):
                line, candidate, kept = reflectance[order[place], band, row], used[place], values[place]
                for col in range(width):
                    # What is not used goes to the end; among values as large it cannot be told apart, and need not be.
                    kept[col] = line[col] if candidate[col] else np.int16(SATURATED_REFLECTANCE)
            _sort_columns(values, network)
            for col in range(width):
                if count[col] > 0:
                    low, high = values[lower[count[col]], col], values[upper[count[col]], col]
                    bands[band, row, col] = (np.int64(low) + np.int64(high) + 1) >> 1
        mark_nearest(reflectance, order, row, used, bands, source[row], distance, least)


@njit(nogil=True, cache=True)
def _sort_columns(values: ReflectanceCount, network: NDArray[np.int64]) -> None:
    for pair in range(network.shape[0]):
        first, second = values[network[pair, 0]], values[network[pair, 1]]
        for col in range(first.size):
            one, other = first[col], second[col]
            first[col] = min(one, other)
            second[col] = max(one, other)


@njit(nogil=True, cache=True)
def _fill_weighted_mean(
    reflectance: ReflectanceCount, quality: ClassCode, order: NDArray[np.int64], scores: NDArray[np.float32],
    bands: ReflectanceCount, best_quality: ClassCode, observation_count: ClassCode, source: ClassCode,
) -> None:  # fmt: skip
    width = reflectance.shape[3]
    used = np.empty((order.size, width), np.bool_)
    weights = np.empty((order.size, width), np.int32)
    weight, total = np.empty(width, np.int64), np.empty(width, np.int64)
    distance, least = np.empty(width, np.uint64), np.empty(width, np.uint64)
    for row in range(reflectance.shape[2]):
        mark_used(reflectance, quality, order, row, used, best_quality[row], observation_count[row])
        weight[:] = 0
        for place in range(order.size):
            line, candidate, weighing = scores[order[place], row], used[place], weights[place]
            for col in range(width):
                score = np.float64(line[col]) if line[col] > 0 else 0.0  # NaN is not above 0
                one = max(np.int32(1), np.int32(min(score, 1.0) * WEIGHT_ONE + 0.5))
                weighing[col] = one if candidate[col] else np.int32(0)
                weight[col] += weighing[col]
        for band in range(reflectance.shape[1]):
            total[:] = 0
            for place in range(order.size):
                counts, weighing = reflectance[order[place], band, row], weights[place]
                for col in range(width):
                    total[col] += np.int64(weighing[col]) * np.int64(counts[col])
            made = bands[band, row]
            for col in range(width):
                if weight[col] > 0:
                    # The quotient of float64 lies nearer to the true one than that to the next whole number.
                    made[col] = np.int16(np.floor((2 * total[col] + weight[col]) / (2 * weight[col])))
        mark_nearest(reflectance, order, row, used, bands, source[row], distance, least)
