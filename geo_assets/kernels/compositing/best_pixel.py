"""Methods that take one observation whole: best pixel, best available pixel by score, greenest pixel."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, ReflectanceCount
from geo_assets.kernels.compositing.observations import (
    Composite,
    Observations,
    copy_chosen,
    filled,
    mark_used,
)


def best_pixel(observations: Observations) -> Composite:
    """The observation of best quality in every pixel; among equals the first of the time axis, that is by rank.

    Parameters
    ----------
    observations : Observations
        Scenes in order of rank.

    Returns
    -------
    composite : Composite
        On the same window; a pixel never mixes scenes, and never takes nodata while another scene has a value.
    """
    return filled(_fill_first, observations, order=np.arange(len(observations.acquired), dtype=np.int64))


def best_available_pixel(observations: Observations, scores: NDArray[np.float32]) -> Composite:
    """The observation of best quality with the highest score; among equals the earliest.

    Quality comes before score: Griffiths and White score what a mask has left, all of which counts as clear; an
    observation that the mask calls marginal or dark is not made clear by a good day.

    Parameters
    ----------
    observations : Observations
        Of any order.
    scores : (time, y, x) float32
        As of `scoring.bap_scores`; NaN ranks last.

    Returns
    -------
    composite : Composite
        On the same window.
    """
    return filled(_fill_highest, observations, scores)


def greenest_pixel(observations: Observations, *, red: int, nir: int) -> Composite:
    """The observation of best quality with the highest NDVI; among equals the earliest.

    Compared by cross-multiplied counts, so that no rounding decides. Where red or nir is below 0, or both are 0, NDVI
    means nothing and may exceed 1: such an observation ranks behind every other.

    Parameters
    ----------
    observations : Observations
        Of any order.
    red, nir : int
        Indexes of those bands.

    Returns
    -------
    composite : Composite
        On the same window.

    Notes
    -----
    Holben (1986), "Characteristics of maximum-value composite images from temporal AVHRR data".
    """
    return filled(_fill_greenest, observations, red, nir)


@njit(nogil=True, cache=True)
def _fill_first(
    reflectance: ReflectanceCount, quality: ClassCode, order: NDArray[np.int64],
    bands: ReflectanceCount, best_quality: ClassCode, observation_count: ClassCode, source: ClassCode,
) -> None:  # fmt: skip
    width = reflectance.shape[3]
    used = np.empty((order.size, width), np.bool_)
    for row in range(reflectance.shape[2]):
        mark_used(reflectance, quality, order, row, used, best_quality[row], observation_count[row])
        for place in range(order.size - 1, -1, -1):  # the first is written last
            for col in range(width):
                if used[place, col]:
                    source[row, col] = order[place]
        copy_chosen(reflectance, row, source[row], bands)


@njit(nogil=True, cache=True)
def _fill_highest(
    reflectance: ReflectanceCount, quality: ClassCode, order: NDArray[np.int64], scores: NDArray[np.float32],
    bands: ReflectanceCount, best_quality: ClassCode, observation_count: ClassCode, source: ClassCode,
) -> None:  # fmt: skip
    width = reflectance.shape[3]
    used = np.empty((order.size, width), np.bool_)
    best = np.empty(width, np.float32)
    for row in range(reflectance.shape[2]):
        mark_used(reflectance, quality, order, row, used, best_quality[row], observation_count[row])
        chosen, best[:] = source[row], -np.inf
        for place in range(order.size):
            line, candidate, scene = scores[order[place], row], used[place], np.uint8(order[place])
            for col in range(width):  # without a branch, so that the compiler may use vectors
                better = candidate[col] & ((line[col] > best[col]) | (chosen[col] == NODATA_CLASS))
                chosen[col] = scene if better else chosen[col]
                best[col] = max(best[col], line[col]) if better else best[col]
        copy_chosen(reflectance, row, source[row], bands)


@njit(nogil=True, cache=True)
def _fill_greenest(
    reflectance: ReflectanceCount, quality: ClassCode, order: NDArray[np.int64], red: int, nir: int,
    bands: ReflectanceCount, best_quality: ClassCode, observation_count: ClassCode, source: ClassCode,
) -> None:  # fmt: skip
    width = reflectance.shape[3]
    used = np.empty((order.size, width), np.bool_)
    best_difference, best_sum = np.empty(width, np.float64), np.empty(width, np.float64)
    for row in range(reflectance.shape[2]):
        mark_used(reflectance, quality, order, row, used, best_quality[row], observation_count[row])
        chosen, best_difference[:], best_sum[:] = source[row], -3, 1
        for place in range(order.size):
            reds, nirs = reflectance[order[place], red, row], reflectance[order[place], nir, row]
            candidate, scene = used[place], np.uint8(order[place])
            for col in range(width):  # products of whole numbers below 2**17: float64 has them exactly
                dark, bright = np.float64(reds[col]), np.float64(nirs[col])
                meaning = (dark >= 0) & (bright >= 0) & (dark + bright > 0)
                difference = bright - dark if meaning else -2.0  # below every NDVI
                total = bright + dark if meaning else 1.0
                better = candidate[col] & (difference * best_sum[col] > best_difference[col] * total)
                chosen[col] = scene if better else chosen[col]
                best_difference[col] = difference if better else best_difference[col]
                best_sum[col] = total if better else best_sum[col]
        copy_chosen(reflectance, row, source[row], bands)
