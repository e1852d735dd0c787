"""Focal standard deviation of large windows, by which even snow is told from cloud.

Q19 = Qiu, Zhu & He (2019), 10.1016/j.rse.2019.05.024.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Reflectance
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.spectra import DARKEST, Look

_SEEN, _POTENTIAL, _SNOW = np.uint8(Look.SEEN), np.uint8(Look.POTENTIAL), np.uint8(Look.SNOW)
_SATURATED = np.uint8(Look.SATURATED_GREEN)


def even_snow(
    green: Reflectance, swir16: Reflectance, look: NDArray[np.uint8], *, resolution_m: float, settings: FmaskSettings
) -> int:
    """How many potential clouds are even snow; they lose the flag `POTENTIAL`.

    Parameters
    ----------
    green, swir16 : (y, x) float32
        Top-of-atmosphere reflectance.
    look : (y, x) uint8
        `Look` flags, changed in place.
    resolution_m
        Edge of a pixel.
    settings
        `snow_texture`, `snow_texture_radius_m`.

    Returns
    -------
    pixels : int

    Notes
    -----
    Spectral-contextual snow index, Q19 section 3.1.2: the standard deviation of green over a square, times
    ``1 - NDSI``. Pixels that are not seen, and what lies outside the array, are left out of the square. Running sums in
    float64: a square costs the same whatever its size.
    """
    radius_px = max(1, int(np.ceil(settings.snow_texture_radius_m / resolution_m)))
    return int(_drop_even_snow(green, swir16, look, radius_px, settings.snow_texture))


@njit(nogil=True, cache=True, error_model="numpy")
def _drop_even_snow(green: Reflectance, swir16: Reflectance, look: NDArray[np.uint8], radius: int, limit: float) -> int:
    height, width = look.shape
    # Sums over the rows of the window, one a column; the window moves down, and each row is then swept along.
    count, total, squares = np.zeros(width, np.int64), np.zeros(width), np.zeros(width)
    dropped = 0
    for entering in range(height + radius):
        leaving, row = entering - 2 * radius - 1, entering - radius
        for col in range(width):
            if entering < height and look[entering, col] & _SEEN:
                value = np.float64(green[entering, col])
                count[col] += 1
                total[col] += value
                squares[col] += value * value
            if leaving >= 0 and look[leaving, col] & _SEEN:
                value = np.float64(green[leaving, col])
                count[col] -= 1
                total[col] -= value
                squares[col] -= value * value
        if row < 0:
            continue
        n, s, s2 = 0, 0.0, 0.0
        for col in range(min(radius, width)):
            n, s, s2 = n + count[col], s + total[col], s2 + squares[col]
        for col in range(width):
            if col + radius < width:
                n, s, s2 = n + count[col + radius], s + total[col + radius], s2 + squares[col + radius]
            if col - radius - 1 >= 0:
                left = col - radius - 1
                n, s, s2 = n - count[left], s - total[left], s2 - squares[left]
            flags = look[row, col]
            if flags & _POTENTIAL and flags & _SNOW and not flags & _SATURATED:
                deviation = np.sqrt(max(s2 - s * s / n, 0.0) / max(n - 1, 1))
                bright, dark = max(green[row, col], DARKEST), max(swir16[row, col], DARKEST)
                if deviation * (1.0 - (bright - dark) / (bright + dark)) < limit:
                    look[row, col] = flags & ~_POTENTIAL
                    dropped += 1
    return dropped
