"""How probable cloud is over land and over water, held against what the scene's own clear sky looks like.

Z&W12 = Zhu & Woodcock (2012), 10.1016/j.rse.2011.10.028; Q19 = Qiu, Zhu & He (2019), 10.1016/j.rse.2019.05.024.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag, Reflectance
from geo_assets.kernels.fmask.percentiles import PixelSet, percentiles
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.spectra import Look, Spectra

CLEAR = PixelSet(Look.SEEN | Look.POTENTIAL, Look.SEEN)
"""Seen, and no potential cloud; on land or water."""
CLEAR_LAND = PixelSet(Look.SEEN | Look.POTENTIAL | Look.WATER, Look.SEEN)
CLEAR_WATER = PixelSet(Look.SEEN | Look.POTENTIAL | Look.WATER, Look.SEEN | Look.WATER)

_SEEN, _POTENTIAL, _WATER = np.uint8(Look.SEEN), np.uint8(Look.POTENTIAL), np.uint8(Look.WATER)
_FLAGS = 1 << len(Look)


@dataclass(frozen=True, slots=True)
class ClearSky:
    """Which clear pixels speak for the scene's land and for its water."""

    land: PixelSet | None
    """`CLEAR_LAND`, or all that is clear where land is too rare; None where that is too little as well."""
    water: PixelSet | None
    """`CLEAR_WATER`, or None where it is too rare."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the clear sky says; NaN where it is too rare to ask."""

    hot_low: float
    """HOT at which brightness probability is 0,"""
    hot_high: float
    """and at which it is 1."""
    land: float
    """Cloud probability above which potential cloud over land is cloud."""
    water: float
    """The same over water."""


def cirrus_excess(cirrus: Reflectance, look: NDArray[np.uint8], settings: FmaskSettings) -> float:
    """The clear sky's reflectance at 1375 nm; `cirrus` becomes what exceeds it, and potential cloud where that is much.

    Parameters
    ----------
    cirrus : (y, x) float32
        Top-of-atmosphere reflectance, overwritten: at least 0, and 0 where not seen or not known.
    look : (y, x) uint8
        `Look` flags; `POTENTIAL` is added.
    settings
        `cirrus`, `cirrus_percentile`.

    Returns
    -------
    base : float
        0 where nothing is clear.

    Notes
    -----
    Q19, section 3.1, without its elevation zones.
    """
    known = look * np.isfinite(cirrus)
    (base,) = percentiles(cirrus, known, CLEAR, (settings.cirrus_percentile,))
    base = 0.0 if np.isnan(base) else base
    _raise_cirrus(cirrus, np.float32(base), np.float32(settings.cirrus), look)
    return base


def clear_sky(look: NDArray[np.uint8], settings: FmaskSettings) -> ClearSky:
    """Which clear pixels are many enough to speak for land and for water (Z&W12, section 3.1.1, eq. 7 and 12)."""
    counts = look_counts(look)
    least = max(settings.least_clear_px, settings.least_clear_share * how_many(counts, PixelSet(Look.SEEN, Look.SEEN)))
    land = next((sky for sky in (CLEAR_LAND, CLEAR) if how_many(counts, sky) >= least), None)
    return ClearSky(land, CLEAR_WATER if how_many(counts, CLEAR_WATER) >= least else None)


def cloud_probability(
    spectra: Spectra, cirrus: Reflectance | None, sky: ClearSky, settings: FmaskSettings
) -> tuple[NDArray[np.float32], Thresholds]:
    """Cloud probability of every pixel, and the thresholds that the clear sky sets.

    Parameters
    ----------
    spectra
        Its `plainness` is overwritten with the probability.
    cirrus : (y, x) float32, optional
        As `cirrus_excess` leaves it.
    sky
        Must have land; see `clear_sky`.
    settings
        Percentiles, margins, weights.

    Returns
    -------
    probability : (y, x) float32
        At least 0; above 1 where cirrus is thick; NaN where not seen.
    thresholds : Thresholds

    Notes
    -----
    Land: variability times brightness by HOT (Q19, for sensors without a thermal band); water: brightness at 1600 nm
    (Z&W12, eq. 10); plus a share of cirrus (Q19). Thresholds: Z&W12, eq. 17, with Q19's offset for Sentinel-2.
    """
    land = sky.land or CLEAR
    low, high = _hot_range(spectra, land, settings)
    weight = 0.0 if cirrus is None else settings.cirrus_weight / settings.cirrus_scale
    probability = spectra.plainness
    _fill_probability(
        spectra.look, spectra.hot, probability if cirrus is None else cirrus, probability, np.float32(low),
        np.float32(high), np.float32(weight),
    )  # fmt: skip
    over_land = _threshold(probability, spectra.look, land, settings)
    over_water = settings.water_threshold
    if sky.water is not None:
        over_water = _threshold(probability, spectra.look, sky.water, settings)
    return probability, Thresholds(low, high, over_land, over_water)


def probable_cloud(look: NDArray[np.uint8], probability: NDArray[np.float32], thresholds: Thresholds) -> Flag:
    """(y, x) bool: potential cloud that is more probable than the threshold over its ground; Z&W12, eq. 18.

    `probability` is cut to 0-1 on the way.
    """
    cloud = np.empty(look.shape, np.bool_)
    _decide(look, probability, np.float32(thresholds.land), np.float32(thresholds.water), cloud)
    return cloud


def look_counts(look: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(64,) int64: how many pixels have each combination of `Look` flags."""
    counts = np.zeros(_FLAGS, np.int64)
    _count_looks(look, counts)
    return counts


def how_many(counts: NDArray[np.int64], pixels: PixelSet) -> int:
    """Of `look_counts`, those of a set of pixels."""
    return int(counts[np.arange(_FLAGS) & pixels.asked == pixels.wanted].sum())


def _hot_range(spectra: Spectra, land: PixelSet, settings: FmaskSettings) -> tuple[float, float]:
    """HOT at which the brightness probability is 0 and 1."""
    percents = settings.low_percentile, settings.high_percentile
    low, high = percentiles(spectra.hot, spectra.look, land, percents)
    if not np.isfinite(high):  # so much is saturated, such as snow: what was measured has to tell
        low, high = percentiles(spectra.hot, spectra.look * np.isfinite(spectra.hot), land, percents)
    if np.isnan(high):  # nothing was: saturated is bright
        low = high = 0.0
    return low - settings.hot_margin, high + settings.hot_margin


def _threshold(
    probability: NDArray[np.float32], look: NDArray[np.uint8], pixels: PixelSet, settings: FmaskSettings
) -> float:
    (high,) = percentiles(probability, look, pixels, (settings.high_percentile,))
    return high + settings.probability_offset


@njit(nogil=True, cache=True)
def _raise_cirrus(cirrus: Reflectance, base: np.float32, limit: np.float32, look: NDArray[np.uint8]) -> None:
    for row in range(look.shape[0]):
        for col in range(look.shape[1]):
            excess = cirrus[row, col] - base
            seen = (look[row, col] & _SEEN) != 0 and 0 < excess < np.inf  # False also for NaN
            cirrus[row, col] = excess if seen else np.float32(0)
            if seen and excess > limit:
                look[row, col] |= _POTENTIAL


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_probability(
    look: NDArray[np.uint8],
    hot: NDArray[np.float32],
    cirrus: NDArray[np.float32],
    probability: NDArray[np.float32],
    low: np.float32,
    high: np.float32,
    weight: np.float32,
) -> None:
    span = high - low
    for row in range(look.shape[0]):
        for col in range(look.shape[1]):
            flags = look[row, col]
            if flags & _SEEN == 0:
                continue
            value = max(probability[row, col], np.float32(0))
            if flags & _WATER == 0:
                value *= np.float32(1) if hot[row, col] >= high else max(hot[row, col] - low, np.float32(0)) / span
            if weight > 0:
                value += weight * cirrus[row, col]
            probability[row, col] = value


@njit(nogil=True, cache=True)
def _decide(
    look: NDArray[np.uint8], probability: NDArray[np.float32], land: np.float32, water: np.float32, cloud: Flag
) -> None:
    for row in range(look.shape[0]):
        for col in range(look.shape[1]):
            flags, value = look[row, col], probability[row, col]
            cloud[row, col] = (flags & _POTENTIAL != 0) & (value > (water if flags & _WATER else land))
            probability[row, col] = min(value, np.float32(1)) if flags & _SEEN else np.float32(np.nan)


@njit(nogil=True, cache=True)
def _count_looks(look: NDArray[np.uint8], counts: NDArray[np.int64]) -> None:
    for row in range(look.shape[0]):
        for col in range(look.shape[1]):
            counts[look[row, col]] += 1
