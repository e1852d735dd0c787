"""How sure a composite's values are: the spread of what was observed, and the calibration of the sensor."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, SATURATED_REFLECTANCE, ClassCode, ReflectanceCount
from geo_assets.kernels.compositing.observations import Observations, mark_usable
from geo_assets.kernels.expectations import expect_array

CALIBRATION_SHARE = 0.02
"""Of a value: the calibration uncertainty that bestpixel's `boa_unc` assumes."""

LEAST_UNCERTAINTY = 10
"""Counts: 0.001 reflectance."""


def standard_uncertainty(observations: Observations, bands: ReflectanceCount) -> ReflectanceCount:
    """Standard uncertainty of a composite's values, in counts of 1e-4 reflectance.

    Parameters
    ----------
    observations : Observations
        What the composite was made of.
    bands : (band, y, x) int16
        The composite's reflectance counts; nodata -32768.

    Returns
    -------
    uncertainty : (band, y, x) int16
        ``sqrt(sample variance + (0.02 value)**2)`` over all usable observations of the pixel, of any quality, at least
        10 (0.001 reflectance), at most 32767; the variance of a single observation is taken as 0; -32768 where `bands`
        is nodata.

    Notes
    -----
    It says how far an observation of the month lies from the value, not how well a mean of many is known: with method
    `median` the error of the value itself is smaller. Sums are whole numbers, so no order of scenes changes it.
    """
    scenes, count, height, width = observations.reflectance.shape
    expect_array("bands", bands, np.int16, (count, height, width))
    uncertainty = np.full(bands.shape, NODATA_REFLECTANCE, np.int16)
    _fill_uncertainty(
        observations.reflectance,
        observations.quality,
        np.arange(scenes, dtype=np.int64),
        np.ascontiguousarray(bands),
        uncertainty,
    )
    return uncertainty


def add_observations(
    values: ReflectanceCount, count: NDArray[np.uint16], mean: NDArray[np.float32], squares: NDArray[np.float32]
) -> None:
    """Add one source's values to the running moments of every pixel, where a stack is never held (Welford 1962).

    Parameters
    ----------
    values : (y, x) int16
        Reflectance counts of one observation; nodata -32768 is none.
    count, mean, squares : (y, x), changed
        Number, mean and sum of squared deviations so far; all zero at first.
    """
    _add_observations(values, count, mean, squares)


def uncertainty_counts(
    values: ReflectanceCount, count: NDArray[np.uint16], squares: NDArray[np.float32]
) -> ReflectanceCount:
    """`standard_uncertainty` from running moments.

    Parameters
    ----------
    values : (y, x) int16
        The composite's reflectance counts; nodata -32768.
    count, squares : (y, x)
        Of `add_observations`, over all usable observations of each pixel.

    Returns
    -------
    uncertainty : (y, x) int16
        -32768 where `values` is nodata.
    """
    uncertainty = np.full(values.shape, NODATA_REFLECTANCE, np.int16)
    _fill_from_moments(values, count, squares, uncertainty)
    return uncertainty


@njit(nogil=True, cache=True)
def _counts(value: np.int16, variance: float) -> np.int16:
    """The one formula."""
    total = np.sqrt(variance + (CALIBRATION_SHARE * value) ** 2)
    return np.int16(min(max(np.rint(total), LEAST_UNCERTAINTY), SATURATED_REFLECTANCE))


@njit(nogil=True, cache=True)
def _fill_uncertainty(
    reflectance: ReflectanceCount, quality: ClassCode, order: NDArray[np.int64],
    bands: ReflectanceCount, uncertainty: ReflectanceCount,
) -> None:  # fmt: skip
    width = reflectance.shape[3]
    usable = np.empty((order.size, width), np.bool_)
    count, total, squares = np.empty(width, np.int64), np.empty(width, np.int64), np.empty(width, np.int64)
    for row in range(reflectance.shape[2]):
        mark_usable(reflectance, quality, order, row, usable)
        count[:] = 0
        for place in range(order.size):
            for col in range(width):
                count[col] += usable[place, col]
        for band in range(reflectance.shape[1]):
            total[:] = 0
            squares[:] = 0
            for place in range(order.size):
                line = reflectance[order[place], band, row]
                for col in range(width):
                    value = np.int64(line[col]) if usable[place, col] else np.int64(0)
                    total[col] += value
                    squares[col] += value * value
            for col in range(width):
                if bands[band, row, col] != NODATA_REFLECTANCE:
                    spread = count[col] * squares[col] - total[col] * total[col]
                    variance = spread / max(count[col] * (count[col] - 1), 1)
                    uncertainty[band, row, col] = _counts(bands[band, row, col], variance)


@njit(nogil=True, cache=True)
def _add_observations(
    values: ReflectanceCount, count: NDArray[np.uint16], mean: NDArray[np.float32], squares: NDArray[np.float32]
) -> None:
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            value = values[row, col]
            if value != NODATA_REFLECTANCE:
                count[row, col] += 1
                away = np.float32(value) - mean[row, col]
                mean[row, col] += away / np.float32(count[row, col])
                squares[row, col] += away * (np.float32(value) - mean[row, col])


@njit(nogil=True, cache=True)
def _fill_from_moments(
    values: ReflectanceCount, count: NDArray[np.uint16], squares: NDArray[np.float32], uncertainty: ReflectanceCount
) -> None:
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            if values[row, col] != NODATA_REFLECTANCE:
                variance = float(squares[row, col]) / max(int(count[row, col]) - 1, 1)
                uncertainty[row, col] = _counts(values[row, col], variance)
