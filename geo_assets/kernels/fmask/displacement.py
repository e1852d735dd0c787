"""The cloud displacement index: clouds shift between bands that look from different angles, roofs do not.

F18 = Frantz, Haß, Uhl, Stoffels & Hill (2018), 10.1016/j.rse.2018.04.046.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag, Reflectance
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.spectra import DARKEST, Look

_SEEN, _POTENTIAL = np.uint8(Look.SEEN), np.uint8(Look.POTENTIAL)


def displacement_index(
    rededge3: Reflectance, nir: Reflectance, nir08: Reflectance, look: NDArray[np.uint8], settings: FmaskSettings
) -> NDArray[np.float32]:
    """CDI of every pixel.

    Parameters
    ----------
    rededge3, nir, nir08 : (y, x) float32
        B07, B08 and B8A at the top of the atmosphere, 20 m; NaN is nodata.
    look : (y, x) uint8
        `Look` flags: what is not seen is left out of the windows.
    settings
        `cdi_window_px`.

    Returns
    -------
    cdi : (y, x) float32
        -1 to 1, negative where clouds are; 0 where nothing varies; NaN where not seen or not known.

    Notes
    -----
    F18, eq. 4-6: ``(V7 - V8) / (V7 + V8)``, the focal variances of B07 / B8A, which look nearly alike, and of
    B08 / B8A, which look from different angles.
    """
    cdi = np.empty(look.shape, np.float32)
    _fill_index(rededge3, nir, nir08, look, settings.cdi_window_px // 2, cdi)
    return cdi


def displaced_cloud(look: NDArray[np.uint8], cdi: NDArray[np.float32], settings: FmaskSettings) -> int:
    """How many potential clouds do not shift; they lose the flag `POTENTIAL`.

    Parameters
    ----------
    look : (y, x) uint8
        `Look` flags, changed in place.
    cdi : (y, x) float32
        Of `displacement_index`.
    settings
        `cdi_seed`, `cdi_grow`.

    Returns
    -------
    pixels : int

    Notes
    -----
    F18, section 3.3: potential cloud below `cdi_seed`, eroded by one pixel (its four neighbours must be such too), then
    grown over all eight neighbours within potential cloud below `cdi_grow`. Beyond the array's edge all are such.
    """
    kept = np.zeros(look.shape, np.bool_)
    return int(_grow_from_seeds(look, cdi, settings.cdi_seed, settings.cdi_grow, kept))


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_index(
    rededge3: Reflectance,
    nir: Reflectance,
    nir08: Reflectance,
    look: NDArray[np.uint8],
    radius: int,
    cdi: NDArray[np.float32],
) -> None:
    height, width = look.shape
    # Row sums of the window in each column: count, then sum and sum of squares of both ratios.
    count = np.zeros(width, np.int64)
    sums = np.zeros((4, width))
    # The rows of the window themselves, so that what leaves it is not computed a second time.
    size = 2 * radius + 1
    known = np.zeros((size, width), np.bool_)
    ratio7, ratio8 = np.zeros((size, width)), np.zeros((size, width))
    for entering in range(height + radius):
        slot, row = entering % size, entering - radius
        for col in range(width):
            if known[slot, col]:
                seven, eight = ratio7[slot, col], ratio8[slot, col]
                count[col] -= 1
                sums[0, col] -= seven
                sums[1, col] -= seven * seven
                sums[2, col] -= eight
                sums[3, col] -= eight * eight
                known[slot, col] = False
            if entering < height and look[entering, col] & _SEEN:
                divisor = nir08[entering, col]
                # Summed first: a comparison, such as max, may lose a NaN.
                if np.isfinite(rededge3[entering, col] + nir[entering, col] + divisor):
                    reference = np.float64(max(divisor, DARKEST))
                    seven = np.float64(max(rededge3[entering, col], DARKEST)) / reference
                    eight = np.float64(max(nir[entering, col], DARKEST)) / reference
                    known[slot, col], ratio7[slot, col], ratio8[slot, col] = True, seven, eight
                    count[col] += 1
                    sums[0, col] += seven
                    sums[1, col] += seven * seven
                    sums[2, col] += eight
                    sums[3, col] += eight * eight
        if row < 0:
            continue
        middle = row % size
        n, a, a2, b, b2 = 0, 0.0, 0.0, 0.0, 0.0
        for col in range(-radius, width):
            right, left = col + radius, col - radius - 1
            if right < width:
                n, a, a2 = n + count[right], a + sums[0, right], a2 + sums[1, right]
                b, b2 = b + sums[2, right], b2 + sums[3, right]
            if left >= 0:
                n, a, a2 = n - count[left], a - sums[0, left], a2 - sums[1, left]
                b, b2 = b - sums[2, left], b2 - sums[3, left]
            if col < 0:
                continue
            if not known[middle, col]:
                cdi[row, col] = np.nan
                continue
            # Running sums leave crumbs of rounding: variances below them are none.
            crumbs = 1e-10 * max(a2, b2)
            seven, eight = a2 - a * a / n, b2 - b * b / n
            seven, eight = (seven if seven > crumbs else 0.0), (eight if eight > crumbs else 0.0)
            cdi[row, col] = (seven - eight) / (seven + eight) if seven + eight > 0 else 0.0


@njit(nogil=True, cache=True)
def _grow_from_seeds(look: NDArray[np.uint8], cdi: NDArray[np.float32], seed: float, grow: float, kept: Flag) -> int:
    height, width = look.shape
    pending = [0]
    pending.pop()
    for row in range(height):
        for col in range(width):
            is_seed = look[row, col] & _POTENTIAL != 0 and cdi[row, col] < seed
            for side in range(4):
                if not is_seed:
                    break
                r, c = row + (side == 0) - (side == 1), col + (side == 2) - (side == 3)
                if 0 <= r < height and 0 <= c < width:
                    is_seed = look[r, c] & _POTENTIAL != 0 and cdi[r, c] < seed
            if is_seed:
                kept[row, col] = True
                pending.append(row * width + col)
    while len(pending) > 0:
        place = pending.pop()
        row, col = place // width, place % width
        for r in range(max(row - 1, 0), min(row + 2, height)):
            for c in range(max(col - 1, 0), min(col + 2, width)):
                if not kept[r, c] and look[r, c] & _POTENTIAL and cdi[r, c] < grow:
                    kept[r, c] = True
                    pending.append(r * width + c)
    dropped = 0
    for row in range(height):
        for col in range(width):
            if look[row, col] & _POTENTIAL and not kept[row, col]:
                look[row, col] &= ~_POTENTIAL
                dropped += 1
    return dropped
