"""The Fmask steps again, slow and obvious: whole numpy arrays for the spectra, loops over windows for the rest."""

import numpy as np
from scipy import ndimage

from geo_assets.kernels.fmask.settings import FmaskSettings

SIX = ("blue", "green", "red", "nir", "swir16", "swir22")


def reflectances(bands, valid, offset, quantification):
    """Reflectance of each band as float32, and where all six are known."""
    seen = valid.copy()
    found = {}
    for name in SIX:
        stored = bands[name]
        seen &= ~np.isnan(stored) if stored.dtype == np.float32 else stored.astype(int) != -32768
        found[name] = (stored.astype(np.float32) + np.float32(offset)) / np.float32(quantification)
        found[name] = np.maximum(found[name], np.float32(1e-5))
    return found, seen


def difference(one, other):
    return (one - other) / (one + other)


def spectra(bands, valid, *, offset=0, quantification=10_000, saturated=(np.inf, np.inf, np.inf)):
    """Dictionary of (y, x) arrays by what they are."""
    chosen = FmaskSettings()
    found, seen = reflectances(bands, valid, offset, quantification)
    blue, green, red, nir, swir16, swir22 = (found[name] for name in SIX)
    at_limit = [bands[name] >= limit for name, limit in zip(("blue", "green", "red"), saturated, strict=True)]
    ndvi, ndsi, ndbi = difference(nir, red), difference(green, swir16), difference(swir16, nir)
    mean = (blue + green + red) / np.float32(3)
    whiteness = (np.abs(blue - mean) + np.abs(green - mean) + np.abs(red - mean)) / mean
    whiteness[np.any(at_limit, axis=0)] = 0
    hot = blue - np.float32(0.5) * red - np.float32(chosen.haze)
    potential = (swir22 > np.float32(0.03)) & (ndsi < np.float32(0.8)) & (ndvi < np.float32(0.8))
    potential &= (whiteness < np.float32(0.7)) & ((hot > 0) | np.any(at_limit, axis=0))
    potential &= nir > np.float32(0.75) * swir16
    snow = (ndsi > np.float32(0.15)) & (nir > np.float32(0.11)) & (green > np.float32(0.10))
    water = (ndvi < np.float32(0.01)) & (nir < np.float32(0.11))
    water |= (ndvi < np.float32(0.1)) & (nir < np.float32(0.05))
    built = (ndbi > 0) & (ndbi > ndvi) & ~water
    for_land_ndvi = np.where(at_limit[1] & (ndvi < 0), 0, ndvi)
    for_land_ndsi = np.where(at_limit[2] & (ndsi < 0), 0, ndsi)
    variability = 1 - np.max([np.abs(for_land_ndvi), np.abs(for_land_ndsi), np.abs(ndbi), whiteness], axis=0)
    flags = {"potential": potential, "snow": snow, "water": water, "built": built, "saturated_green": at_limit[1]}
    return {name: flag & seen for name, flag in flags.items()} | {
        "seen": seen,
        "hot": np.where(seen, np.where(at_limit[0], np.inf, hot), np.nan),
        "plainness": np.where(seen, np.where(water, np.minimum(swir16 / np.float32(0.11), 1), variability), np.nan),
    }


def windows(shape, radius):
    """Each pixel with the slices of the square around it."""
    for row, col in np.ndindex(shape):
        rows = slice(max(row - radius, 0), row + radius + 1)
        yield (row, col), (rows, slice(max(col - radius, 0), col + radius + 1))


def even_snow(green, swir16, seen, candidate, radius):
    """Candidates in even surroundings."""
    even = np.zeros(green.shape, bool)
    for place, window in windows(green.shape, radius):
        values = green[window][seen[window]].astype(np.float64)
        if candidate[place] and seen[place]:
            deviation = values.std(ddof=1) if values.size > 1 else 0.0
            ndsi = difference(float(green[place]), float(swir16[place]))
            even[place] = deviation * (1 - ndsi) < 0.0009
    return even


def displacement_index(rededge3, nir, nir08, seen):
    """CDI from the variances of the known pixels of each 7 x 7 window."""
    known = seen & np.isfinite(rededge3) & np.isfinite(nir) & np.isfinite(nir08)
    seven = np.where(known, rededge3.astype(np.float64) / np.where(known, nir08, 1), 0)
    eight = np.where(known, nir.astype(np.float64) / np.where(known, nir08, 1), 0)
    cdi = np.full(seen.shape, np.nan)
    for place, window in windows(seen.shape, 3):
        if known[place]:
            inside = known[window]
            one, other = seven[window][inside].var(), eight[window][inside].var()
            cdi[place] = (one - other) / (one + other) if one + other > 1e-12 else 0
    return cdi


def displaced(potential, cdi):
    """Potential cloud that F18 keeps."""
    seeds = ndimage.binary_erosion(potential & (cdi < -0.5), border_value=1)
    grown = ndimage.binary_propagation(seeds, structure=np.ones((3, 3)), mask=potential & (cdi < -0.25))
    return seeds | grown


def smoothed(cloud, seen):
    result = np.zeros(cloud.shape, bool)
    for place, window in windows(cloud.shape, 1):
        result[place] = seen[place] and 2 * (cloud & seen)[window].sum() > seen[window].sum()
    return result


def wider(flag, radius):
    return ndimage.maximum_filter(flag, 2 * radius + 1, mode="constant", cval=False)


def probability(found, cirrus_excess, settings):
    """Cloud probability and the thresholds over land and water."""
    clear = found["seen"] & ~found["potential"]
    land = clear & ~found["water"]
    low, high = np.percentile(found["hot"][land], [17.5, 82.5])
    low, high = low - 0.04, high + 0.04
    brightness = np.where(np.isinf(found["hot"]), 1, np.clip((found["hot"] - low) / (high - low), 0, 1))
    chances = np.where(found["water"], found["plainness"], np.maximum(found["plainness"], 0) * brightness)
    chances = chances + settings.cirrus_weight * cirrus_excess / settings.cirrus_scale
    return (
        chances,
        np.percentile(chances[land], 82.5) + settings.probability_offset,
        np.percentile(chances[clear & found["water"]], 82.5) + settings.probability_offset,
    )


def without_bright_surfaces(cloud, candidate, water, seen, radius):
    """Objects that are not (all candidate, dry, and gone when eroded)."""
    objects, count = ndimage.label(cloud, np.ones((3, 3)))
    kept = np.zeros(cloud.shape, bool)
    core = ndimage.minimum_filter(cloud | ~seen, 2 * radius + 1, mode="constant", cval=True)
    for number in range(1, count + 1):
        inside = objects == number
        if not (candidate[inside].all() and not water[inside].any() and not core[inside].any()):
            kept |= inside
    return kept
