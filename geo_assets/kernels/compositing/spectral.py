"""Methods that see all bands of an observation together: medoid and geometric median."""

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
from geo_assets.kernels.compositing.reducers import mark_nearest

GEOMEDIAN_EPS = 0.1
"""A step shorter than this many counts is the last."""

GEOMEDIAN_MOST_STEPS = 1000

_LANES = 64
"""Neighbouring pixels that take their steps together, each until its own last one."""


def medoid(observations: Observations) -> Composite:
    """The observation with the least sum of Euclidean distances to the others, over all bands; the earliest of equals.

    A spectrum that was observed, like `best_pixel`'s, and as deaf to outliers as a median. Of two observations either
    is as near, so the earlier is taken.

    Parameters
    ----------
    observations : Observations
        Of any order.

    Returns
    -------
    composite : Composite
        On the same window.

    Notes
    -----
    Flood (2013), "Seasonal composite Landsat TM/ETM+ images using the medoid (a multi-dimensional median)". Squared
    distances are whole numbers; their roots are added in order of acquisition.
    """
    return filled(_fill_medoid, observations)


def geomedian(observations: Observations) -> Composite:
    """The geometric median: the spectrum with the least sum of Euclidean distances to all observations.

    Parameters
    ----------
    observations : Observations
        Of any order.

    Returns
    -------
    composite : Composite
        On the same window, rounded half up to counts; `source` is the observation nearest to the result.

    Notes
    -----
    Roberts, Mueller & McIntyre (2017), "High-dimensional pixel composites from Earth observation time series". Found
    by Weiszfeld's steps with the correction of Vardi & Zhang (2000) where a step meets an observation, by the
    conventions of odc-algo and its geomad: from the mean; a gap in one band drops the observation; until a step is
    shorter than a tenth of a count (odc-algo's ``eps = 0.1 * scale`` for whole numbers, here with scale 1e-4), at most
    1000 steps. Unlike there, no pixel starts from its neighbour's result, and all numbers are float64.
    """
    return filled(_fill_geomedian, observations)


@njit(nogil=True, cache=True)
def _fill_medoid(
    reflectance: ReflectanceCount, quality: ClassCode, order: NDArray[np.int64],
    bands: ReflectanceCount, best_quality: ClassCode, observation_count: ClassCode, source: ClassCode,
) -> None:  # fmt: skip
    width = reflectance.shape[3]
    used = np.empty((order.size, width), np.bool_)
    sums = np.empty((order.size, width), np.float64)
    squared = np.empty(width, np.float64)
    least = np.empty(width, np.float64)
    for row in range(reflectance.shape[2]):
        mark_used(reflectance, quality, order, row, used, best_quality[row], observation_count[row])
        sums[:] = 0.0
        for one in range(order.size):
            for other in range(one + 1, order.size):
                squared[:] = 0.0
                for band in range(reflectance.shape[1]):
                    line, facing = reflectance[order[one], band, row], reflectance[order[other], band, row]
                    for col in range(width):
                        away = np.float64(np.int32(line[col]) - np.int32(facing[col]))
                        squared[col] += away * away
                for col in range(width):
                    distance = np.sqrt(squared[col]) if used[one, col] & used[other, col] else 0.0
                    sums[one, col] += distance
                    sums[other, col] += distance
        least[:] = np.inf
        for place in range(order.size):
            for col in range(width):
                if used[place, col] and sums[place, col] < least[col]:
                    least[col], source[row, col] = sums[place, col], order[place]
        copy_chosen(reflectance, row, source[row], bands)


@njit(nogil=True, cache=True)
def _fill_geomedian(
    reflectance: ReflectanceCount, quality: ClassCode, order: NDArray[np.int64],
    bands: ReflectanceCount, best_quality: ClassCode, observation_count: ClassCode, source: ClassCode,
) -> None:  # fmt: skip
    scenes, band_count, height, width = reflectance.shape
    used = np.empty((scenes, width), np.bool_)
    distance, least = np.empty(width, np.uint64), np.empty(width, np.uint64)
    spectra, present = np.zeros((scenes, band_count, _LANES)), np.zeros((scenes, _LANES))
    middle = np.zeros((band_count, _LANES))
    for row in range(height):
        mark_used(reflectance, quality, order, row, used, best_quality[row], observation_count[row])
        for left in range(0, width, _LANES):
            lanes = min(_LANES, width - left)
            most = 0
            present[:] = 0.0
            for lane in range(lanes):
                kept = 0
                for place in range(scenes):
                    if used[place, left + lane]:
                        present[kept, lane] = 1.0
                        for band in range(band_count):
                            spectra[kept, band, lane] = reflectance[order[place], band, row, left + lane]
                        kept += 1
                most = max(most, kept)
            if most == 0:
                continue
            _find_geomedian(spectra[:most], present[:most], middle)
            for band in range(band_count):
                for lane in range(lanes):
                    if best_quality[row, left + lane] != NODATA_CLASS:
                        bands[band, row, left + lane] = np.int16(np.floor(middle[band, lane] + 0.5))
        mark_nearest(reflectance, order, row, used, bands, source[row], distance, least)


@njit(nogil=True, cache=True)
def _find_geomedian(spectra: NDArray[np.float64], present: NDArray[np.float64], middle: NDArray[np.float64]) -> None:
    """Fill `middle` (band, lane) from (time, band, lane) spectra of which those with `present` 1 count."""
    times, band_count, _ = spectra.shape
    target = np.empty((band_count, _LANES))
    pulls, met, count = np.empty(_LANES), np.empty(_LANES), np.zeros(_LANES)
    squared, moved, stay = np.empty(_LANES), np.empty(_LANES), np.empty(_LANES)
    going = np.empty(_LANES)
    middle[:] = 0.0
    for time in range(times):
        for lane in range(_LANES):
            count[lane] += present[time, lane]
        for band in range(band_count):
            for lane in range(_LANES):
                middle[band, lane] += present[time, lane] * spectra[time, band, lane]
    for band in range(band_count):
        for lane in range(_LANES):
            middle[band, lane] /= max(count[lane], 1.0)
    for lane in range(_LANES):
        going[lane] = 1.0 if count[lane] > 1 else 0.0
    for _ in range(GEOMEDIAN_MOST_STEPS):
        left = 0.0
        for lane in range(_LANES):
            left += going[lane]
        if left == 0:
            break
        target[:] = 0.0
        pulls[:] = 0.0
        met[:] = 0.0
        for time in range(times):
            squared[:] = 0.0
            for band in range(band_count):
                for lane in range(_LANES):
                    away = spectra[time, band, lane] - middle[band, lane]
                    squared[lane] += away * away
            for lane in range(_LANES):
                apart = squared[lane] > 0
                pull = present[time, lane] / np.sqrt(squared[lane] if apart else 1.0)
                met[lane] += 0.0 if apart else present[time, lane]
                squared[lane] = pull if apart else 0.0
                pulls[lane] += squared[lane]
            for band in range(band_count):
                for lane in range(_LANES):
                    target[band, lane] += squared[lane] * spectra[time, band, lane]
        squared[:] = 0.0
        for band in range(band_count):
            for lane in range(_LANES):
                target[band, lane] /= pulls[lane] if pulls[lane] > 0 else 1.0
                away = (target[band, lane] - middle[band, lane]) * pulls[lane]
                squared[lane] += away * away
        for lane in range(_LANES):
            # Vardi & Zhang: an observation that the step stands on holds it back, entirely where it is the median.
            drive = np.sqrt(squared[lane])
            stay[lane] = min(1.0, met[lane] / drive) if drive > 0 else 0.0
            stay[lane] = 1.0 if pulls[lane] == 0 else stay[lane]
        moved[:] = 0.0
        for band in range(band_count):
            for lane in range(_LANES):
                step = (1.0 - stay[lane]) * (target[band, lane] - middle[band, lane]) * going[lane]
                middle[band, lane] += step
                moved[lane] += step * step
        for lane in range(_LANES):
            going[lane] = going[lane] if moved[lane] >= GEOMEDIAN_EPS * GEOMEDIAN_EPS else 0.0
