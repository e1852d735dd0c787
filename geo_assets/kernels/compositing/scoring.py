"""How good an observation is: scores of date, cloud, haze, view and sensor, and their weighted mean."""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import ReflectanceCount
from geo_assets.domain.bands import QUANTIFICATION
from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.domain.region_composite import ScoreWeights
from geo_assets.kernels.expectations import expect_array

NO_CLOUD_KNOWN = 65_535
"""Distance to cloud where none is known: as far as can be."""

SIGMOID_SPAN = 10.0
"""Between nothing and enough, a sigmoid's exponent goes from -5 to 5: scores from 0.007 to 0.993."""

HAZE_OFFSET = 0.08
"""Reflectance by which clear ground's blue exceeds half its red, at most: the haze-optimised transform is 0 there."""

HAZE_HALF, HAZE_WIDTH = -0.015, 0.02
"""Transform with score 0.5, and the change of it that the whole sigmoid takes, in reflectance (FORCE)."""

VIEW_ZENITH_DEG = 20.0
"""View zenith that has no merit any more. Sentinel-2 looks down from at most 12 degrees, and scores 0.27 there."""


def bap_scores(
    weights: ScoreWeights,
    *,
    day: Sequence[float] | NDArray[np.generic],
    target_day: float,
    shape: tuple[int, ...],
    cloud_distance_m: NDArray[np.uint16] | None = None,
    blue: ReflectanceCount | None = None,
    red: ReflectanceCount | None = None,
    view_zenith: NDArray[np.floating] | None = None,
    sensor: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """Score of every observation, 0 to 1: the weighted mean of the partial scores that have input and weight.

    A partial score without input is left out for all observations alike. Blocks of one product must agree on what has
    input, else their scores do not compare: the caller says so by what it gives.

    Parameters
    ----------
    weights : ScoreWeights
        The region file's `composite.weights`.
    day : (time,)
        Day of each observation, counted as `target_day` is.
    target_day : float
        The day that `date` prefers.
    shape : (int, int)
        Height and width of the window.
    cloud_distance_m : (time, y, x) uint16 or None
        Metres to the nearest cloud or shadow; 65,535 where none is known, which is far enough.
    blue, red : (time, y, x) int16 or None
        Reflectance counts, both or none. Where one is nodata the score means nothing: that observation is not usable.
    view_zenith : (time,) or (time, y, x) float or None
        Degrees; NaN scores 0.
    sensor : (time,) float or None
        Score of each observation's platform, 0 to 1.

    Returns
    -------
    scores : (time, y, x) float32
        0 to 1.

    Raises
    ------
    RegionError
        No partial score has both weight and input.
    GridMismatchError
        An input of another shape or dtype, or one of blue and red alone.

    Notes
    -----
    - date: ``exp(-0.5 ((day - target) / sigma)**2)`` (Griffiths et al. 2013, "A pixel-based Landsat compositing
      algorithm for large area land cover mapping"; White et al. 2014, "Pixel-based image compositing for large-area
      dense time series applications").
    - cloud distance: ``1 / (1 + exp(-10 / enough * (min(d, enough) - enough / 2)))``. Griffiths' 0.2 per pixel of 30 m
      where 50 pixels are enough, 1500 m; as FORCE does (Frantz 2019, "FORCE - Landsat + Sentinel-2 analysis ready data
      and beyond"), the slope goes with the distance asked for, so that it always takes scores from 0.007 to 0.993.
    - haze: the haze-optimised transform ``HOT = blue - 0.5 red - 0.08`` (Zhang et al. 2002, "An image transform to
      characterize and compensate for spatial variations in thin cloud contamination"; constants of Zhu & Woodcock
      2012), in FORCE's sigmoid ``1 / (1 + exp((HOT + 0.015) / 0.002))``.
    - view zenith: FORCE's ``1 / (1 + exp(10 / 20 * (zenith - 10)))`` in degrees.

    Exponentials of distance and haze are tables over whole counts, made once: no block has its own rounding.
    """
    scenes = len(day)
    total = np.zeros((scenes, *shape), np.float64)
    weight_sum = 0.0
    if weights.date > 0:
        away = (np.asarray(day, np.float64) - target_day) / weights.date_sigma_days
        total += weights.date * np.exp(-0.5 * away**2)[:, np.newaxis, np.newaxis]
        weight_sum += weights.date
    if weights.sensor > 0 and sensor is not None:
        expect_array("sensor", sensor, sensor.dtype, (scenes,))
        total += weights.sensor * np.asarray(sensor, np.float64)[:, np.newaxis, np.newaxis]
        weight_sum += weights.sensor
    if weights.cloud_distance > 0 and cloud_distance_m is not None:
        expect_array("cloud_distance_m", cloud_distance_m, np.uint16, total.shape)
        _add_by_distance(cloud_distance_m, weights.cloud_distance * _distance_table(weights.cloud_distance_m), total)
        weight_sum += weights.cloud_distance
    if weights.haze > 0 and _has_haze(blue, red):
        assert blue is not None  # both or none: just seen
        assert red is not None
        expect_array("blue", blue, np.int16, total.shape)
        expect_array("red", red, np.int16, total.shape)
        _add_by_haze(blue, red, weights.haze * _haze_table(), _HAZE_FIRST, total)
        weight_sum += weights.haze
    if weights.view_zenith > 0 and view_zenith is not None:
        total += weights.view_zenith * _view_score(view_zenith, total.shape)
        weight_sum += weights.view_zenith
    if weight_sum == 0:
        raise RegionError(
            "Scores: no partial score has both weight and input. Give composite.weights.date a weight, or choose "
            "another composite.method."
        )
    return (total / weight_sum).astype(np.float32)


def _has_haze(blue: ReflectanceCount | None, red: ReflectanceCount | None) -> bool:
    if (blue is None) != (red is None):
        raise GridMismatchError("Scores: found one of blue and red, expected both, or none. Haze needs the two.")
    return blue is not None


def _distance_table(enough_m: float) -> NDArray[np.float64]:
    """(n,) score by whole metres to cloud; the last one for all that lies farther."""
    metres = np.minimum(np.arange(int(np.ceil(enough_m)) + 1), enough_m)
    return np.asarray(1 / (1 + np.exp(-SIGMOID_SPAN / enough_m * (metres - enough_m / 2))), np.float64)


_HAZE_FIRST, _HAZE_LAST = 0, 2_600
"""Of ``2 blue - red`` in counts: beyond, the score is 1, or 0, to ten digits or more."""


def _haze_table() -> NDArray[np.float64]:
    """(n,) score by ``2 blue - red`` in counts, from `_HAZE_FIRST` to `_HAZE_LAST`: whole numbers keep the half."""
    transform = np.arange(_HAZE_FIRST, _HAZE_LAST + 1) / (2 * QUANTIFICATION) - HAZE_OFFSET
    return np.asarray(1 / (1 + np.exp(SIGMOID_SPAN / HAZE_WIDTH * (transform - HAZE_HALF))), np.float64)


def _view_score(view_zenith: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Broadcast against (time, y, x)."""
    expected = shape if view_zenith.ndim == len(shape) else shape[:1]
    expect_array("view_zenith", view_zenith, view_zenith.dtype, expected)
    zenith = np.asarray(view_zenith, np.float64).reshape(view_zenith.shape + (1,) * (len(shape) - view_zenith.ndim))
    score = 1 / (1 + np.exp(SIGMOID_SPAN / VIEW_ZENITH_DEG * (zenith - VIEW_ZENITH_DEG / 2)))
    return np.nan_to_num(score, nan=0.0)


@njit(nogil=True, cache=True)
def _add_by_distance(distance_m: NDArray[np.uint16], table: NDArray[np.float64], total: NDArray[np.float64]) -> None:
    last = table.size - 1
    for time in range(total.shape[0]):
        for row in range(total.shape[1]):
            for col in range(total.shape[2]):
                metres = int(distance_m[time, row, col])
                total[time, row, col] += table[min(metres, last)]


@njit(nogil=True, cache=True)
def _add_by_haze(
    blue: ReflectanceCount, red: ReflectanceCount, table: NDArray[np.float64], first: int, total: NDArray[np.float64]
) -> None:
    last = table.size - 1
    for time in range(total.shape[0]):
        for row in range(total.shape[1]):
            for col in range(total.shape[2]):
                doubled = 2 * int(blue[time, row, col]) - int(red[time, row, col]) - first
                total[time, row, col] += table[min(max(doubled, 0), last)]
