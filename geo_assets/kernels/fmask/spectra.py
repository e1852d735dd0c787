"""What a pixel's own spectrum says: indices, potential cloud, snow, water, and how much it varies.

One pass over the stored counts makes everything that later steps need, so that no full-size array of a single index
ever exists. The tests themselves are the small functions below, one a rule.

Z&W12 = Zhu & Woodcock (2012), 10.1016/j.rse.2011.10.028; Q19 = Qiu, Zhu & He (2019), 10.1016/j.rse.2019.05.024.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, Flag
from geo_assets.kernels.fmask.settings import FmaskSettings

SPECTRAL_BANDS: tuple[str, ...] = ("blue", "green", "red", "nir", "swir16", "swir22")
"""The six bands that no step can do without."""

DARKEST = np.float32(1e-5)
"""Reflectance below this counts as this: ratios of negative numbers mean nothing."""


class Look(IntFlag):
    """What one look at a pixel's spectrum tells; several hold at once."""

    SEEN = 1
    """Valid, and known in all six bands; no other flag is set without it."""
    POTENTIAL = 2
    """Potential cloud."""
    SNOW = 4
    WATER = 8
    BUILT = 16
    """Built-up or bare: brighter at 1600 nm than in the near infrared, and more so than that is than red."""
    SATURATED_GREEN = 32


_SEEN, _POTENTIAL, _SNOW, _WATER, _BUILT, _SATURATED_GREEN = (np.uint8(flag) for flag in Look)


class Scaling(NamedTuple):
    """How stored counts become reflectance: ``(count + offset) / quantification``, in float32."""

    offset: np.float32
    quantification: np.float32


class Saturation(NamedTuple):
    """Stored values from which a visible band says only "at least this bright"; infinite where it never does."""

    blue: float
    green: float
    red: float


@dataclass(frozen=True, slots=True, eq=False)
class Spectra:
    """The look at every pixel; all (y, x)."""

    look: NDArray[np.uint8]
    """`Look` flags."""
    hot: NDArray[np.float32]
    """Haze-optimized transformation, reflectance units; infinite where blue is saturated (HOT is then at least what
    it measures); NaN where not seen."""
    plainness: NDArray[np.float32]
    """What the spectrum contributes to the cloud probability. Land: 1 less the largest of the absolute NDVI, NDSI and
    NDBI and the whiteness. Water: brightness at 1600 nm, 0 to 1. NaN where not seen."""

    def has(self, flag: Look) -> Flag:
        """(y, x) bool: where a flag is set."""
        return np.asarray((self.look & np.uint8(flag)) != 0)


class _Rules(NamedTuple):
    """`FmaskSettings` as the compiled loop takes them: float32, as the reflectances are."""

    swir22: np.float32
    ndsi: np.float32
    ndvi: np.float32
    whiteness: np.float32
    haze: np.float32
    nir_swir: np.float32
    snow_ndsi: np.float32
    snow_nir: np.float32
    snow_green: np.float32
    water_ndvi: np.float32
    water_nir: np.float32
    turbid_ndvi: np.float32
    turbid_nir: np.float32
    water_swir16: np.float32


def spectra(
    bands: Mapping[str, NDArray[Any]], valid: Flag, scaling: Scaling, saturation: Saturation, settings: FmaskSettings
) -> Spectra:
    """The look at every pixel of a scene.

    Parameters
    ----------
    bands : stable name -> (y, x) uint16, int16 or float32
        `SPECTRAL_BANDS`, top-of-atmosphere, as stored. -32768, NaN and infinities are nodata.
    valid : (y, x) bool
        True where the scene was seen.
    scaling, saturation
        What the stored values mean.
    settings
        Thresholds.

    Returns
    -------
    spectra : Spectra

    Notes
    -----
    NDVI = (nir - red) / (nir + red), NDSI = (green - swir16) / (green + swir16),
    NDBI = (swir16 - nir) / (swir16 + nir). Z&W12, without temperature: whiteness eq. 2, HOT eq. 3, potential cloud
    eq. 1-6, snow eq. 20, water eq. 5, variability probability eq. 15 (with NDBI: Q19), water's brightness eq. 10. Where
    a visible band is saturated, whiteness is 0 and HOT passes; NDVI of saturated green and NDSI of saturated red do not
    count when negative (Q19).
    """
    look = np.empty(valid.shape, np.uint8)
    hot = np.empty(valid.shape, np.float32)
    plainness = np.empty(valid.shape, np.float32)
    six = tuple(np.ascontiguousarray(bands[name]) for name in SPECTRAL_BANDS)
    _look(six, valid, scaling, saturation, _rules(settings), look, hot, plainness)
    return Spectra(look, hot, plainness)


def saturation_of(
    bands: Mapping[str, NDArray[Any]], valid: Flag, scaling: Scaling, settings: FmaskSettings
) -> Saturation:
    """Where the visible bands saturate, by their own values.

    A sensor that saturates leaves a plateau: many pixels that share the largest value, and that value is bright. So it
    is found also in data whose saturated pixels nobody marked, such as Landsat's reflectance; the marks of L1C (65535)
    and of int16 counts (32767) are found whatever their number.

    Parameters
    ----------
    bands, valid, scaling, settings
        As for `spectra`; blue, green and red are looked at.

    Returns
    -------
    saturation : Saturation
    """
    seen = int(np.count_nonzero(valid))
    enough = max(settings.saturated_px, settings.saturated_share * seen)
    found = []
    for name in ("blue", "green", "red"):
        stored = bands[name]
        largest, count = _largest(np.ascontiguousarray(stored), valid)
        marked = stored.dtype != np.float32 and largest == np.iinfo(stored.dtype).max
        bright = (largest + scaling.offset) / scaling.quantification >= settings.saturated_from
        found.append(float(largest) if marked or (bright and count >= enough) else np.inf)
    return Saturation(*found)


def _rules(settings: FmaskSettings) -> _Rules:
    return _Rules(
        *(
            np.float32(value)
            for value in (
                settings.potential_swir22, settings.potential_ndsi, settings.potential_ndvi, settings.whiteness,
                settings.haze, settings.nir_swir, settings.snow_ndsi, settings.snow_nir, settings.snow_green,
                settings.water_ndvi, settings.water_nir, settings.turbid_ndvi, settings.turbid_nir,
                settings.water_swir16,
            )
        )
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ the rules


@njit(nogil=True, cache=True, error_model="numpy")
def normalized_difference(one: np.float32, other: np.float32) -> np.float32:
    """``(one - other) / (one + other)``; both above 0."""
    return (one - other) / (one + other)


@njit(nogil=True, cache=True, error_model="numpy")
def deviation_from_grey(blue: np.float32, green: np.float32, red: np.float32) -> np.float32:
    """Whiteness test of Z&W12, eq. 2 (after Gomez-Chova et al. 2007): 0 is grey."""
    mean = (blue + green + red) / np.float32(3)
    return (abs(blue - mean) + abs(green - mean) + abs(red - mean)) / mean


@njit(nogil=True, cache=True)
def haze_optimized(blue: np.float32, red: np.float32, rules: _Rules) -> np.float32:
    """HOT of Z&W12, eq. 3 (after Zhang et al. 2002)."""
    return blue - np.float32(0.5) * red - rules.haze


@njit(nogil=True, cache=True)
def is_potential_cloud(
    nir: np.float32, swir16: np.float32, swir22: np.float32, ndvi: np.float32, ndsi: np.float32,
    whiteness: np.float32, hazy: bool, rules: _Rules,
) -> bool:  # fmt: skip
    """Z&W12, eq. 1-4 and 6 without temperature."""
    neither_snow_nor_green = (swir22 > rules.swir22) & (ndsi < rules.ndsi) & (ndvi < rules.ndvi)
    return bool(neither_snow_nor_green & (whiteness < rules.whiteness) & hazy & (nir > rules.nir_swir * swir16))


@njit(nogil=True, cache=True)
def is_snow(green: np.float32, nir: np.float32, ndsi: np.float32, rules: _Rules) -> bool:
    """Z&W12, eq. 20 without temperature (after Hall et al. 2001)."""
    return bool((ndsi > rules.snow_ndsi) & (nir > rules.snow_nir) & (green > rules.snow_green))


@njit(nogil=True, cache=True)
def is_water(nir: np.float32, ndvi: np.float32, rules: _Rules) -> bool:
    """Z&W12, eq. 5: also under thin cloud."""
    clear = (ndvi < rules.water_ndvi) & (nir < rules.water_nir)
    return bool(clear | ((ndvi < rules.turbid_ndvi) & (nir < rules.turbid_nir)))


@njit(nogil=True, cache=True, error_model="numpy")
def _look(
    bands: tuple[NDArray[Any], ...],
    valid: Flag,
    scaling: Scaling,
    saturation: Saturation,
    rules: _Rules,
    look: NDArray[np.uint8],
    hot: NDArray[np.float32],
    plainness: NDArray[np.float32],
) -> None:
    offset, quantification = scaling.offset, scaling.quantification
    height, width = valid.shape
    for row in range(height):
        for col in range(width):
            blue_stored, green_stored, red_stored = bands[0][row, col], bands[1][row, col], bands[2][row, col]
            known = valid[row, col]
            for band in bands:
                known = known & (band[row, col] - band[row, col] == 0) & (band[row, col] != NODATA_REFLECTANCE)
            if not known:
                look[row, col] = 0
                hot[row, col] = np.nan
                plainness[row, col] = np.nan
                continue
            blue = max((np.float32(blue_stored) + offset) / quantification, DARKEST)
            green = max((np.float32(green_stored) + offset) / quantification, DARKEST)
            red = max((np.float32(red_stored) + offset) / quantification, DARKEST)
            nir = max((np.float32(bands[3][row, col]) + offset) / quantification, DARKEST)
            swir16 = max((np.float32(bands[4][row, col]) + offset) / quantification, DARKEST)
            swir22 = max((np.float32(bands[5][row, col]) + offset) / quantification, DARKEST)
            saturated = (
                (blue_stored >= saturation.blue) | (green_stored >= saturation.green) | (red_stored >= saturation.red)
            )
            ndvi = normalized_difference(nir, red)
            ndsi = normalized_difference(green, swir16)
            ndbi = normalized_difference(swir16, nir)
            whiteness = np.float32(0) if saturated else deviation_from_grey(blue, green, red)
            haze = haze_optimized(blue, red, rules)
            flags = _SEEN
            if is_potential_cloud(nir, swir16, swir22, ndvi, ndsi, whiteness, saturated | (haze > 0), rules):
                flags |= _POTENTIAL
            if is_snow(green, nir, ndsi, rules):
                flags |= _SNOW
            if green_stored >= saturation.green:
                flags |= _SATURATED_GREEN
            if is_water(nir, ndvi, rules):
                flags |= _WATER
                plainness[row, col] = min(swir16 / rules.water_swir16, np.float32(1))
            else:
                if (ndbi > 0) & (ndbi > ndvi):
                    flags |= _BUILT
                if (green_stored >= saturation.green) & (ndvi < 0):
                    ndvi = np.float32(0)
                if (red_stored >= saturation.red) & (ndsi < 0):
                    ndsi = np.float32(0)
                plainness[row, col] = np.float32(1) - max(max(abs(ndvi), abs(ndsi)), max(abs(ndbi), whiteness))
            look[row, col] = flags
            hot[row, col] = np.inf if blue_stored >= saturation.blue else haze


@njit(nogil=True, cache=True)
def _largest(stored: NDArray[Any], valid: Flag) -> tuple[float, int]:
    """The largest valid value, and how many pixels share it; minus infinity if there is none."""
    largest, count = -np.inf, 0
    for row in range(stored.shape[0]):
        for col in range(stored.shape[1]):
            value = stored[row, col]
            if valid[row, col] and value >= largest:
                count = count + 1 if value == largest else 1
                largest = np.float64(value)
    return largest, count
