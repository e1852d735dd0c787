"""Every method for one pixel, written so that reading it is enough to believe it."""

import math
from fractions import Fraction

import numpy as np

from geo_assets.kernels.compositing.observations import Observations
from geo_assets_tests.scenery.references import half_up

NODATA, NONE = -32768, 255


def slow_composite(observations, method, *, percentile=25.0, scores=None, red=0, nir=0):
    """(bands, quality, observation_count, source), pixel by pixel."""
    _, bands, height, width = observations.reflectance.shape
    made = np.full((bands, height, width), NODATA)
    best, source = np.full((height, width), NONE), np.full((height, width), NONE)
    count = np.zeros((height, width), int)
    for pixel in np.ndindex(height, width):
        spectra = observations.reflectance[(slice(None), slice(None), *pixel)].astype(int)
        quality = observations.quality[(slice(None), *pixel)]
        usable = [scene for scene, code in enumerate(quality) if code != NONE and (spectra[scene] != NODATA).all()]
        count[pixel] = len(usable)
        if not usable:
            continue
        best[pixel] = min(quality[usable])
        used = [scene for scene in usable if quality[scene] == best[pixel]]
        if method == "best_pixel":
            value = spectra[used[0]]
            source[pixel] = used[0]
        else:
            used.sort(key=lambda scene: observations.acquired[scene])
            here = None if scores is None else scores[(slice(None), *pixel)][used]
            value = METHODS[method](spectra[used], scores=here, percentile=percentile, red=red, nir=nir)
            if method in ("bap", "max_ndvi", "medoid"):
                source[pixel] = used[value]
                value = spectra[used[value]]
            else:
                source[pixel] = min(used, key=lambda scene: sum((spectra[scene] - value) ** 2))
        made[(slice(None), *pixel)] = value
    return made, best, count, source


def _median(spectra, **_):
    middle = [sorted(values)[(len(values) - 1) // 2 : len(values) // 2 + 1] for values in spectra.T.tolist()]
    return np.array([half_up(Fraction(sum(values), len(values))) for values in middle])


def _percentile(spectra, *, percentile, **_):
    """The least value that enough of the others do not exceed."""
    needed = max(Fraction(str(percentile)) / 100 * len(spectra), 1)
    return np.array([min(value for value in values if sum(values <= value) >= needed) for values in spectra.T])


def _weighted_mean(spectra, *, scores, **_):
    weights = [max(1, half_up(Fraction(float(min(max(score, 0), 1))) * 2**16)) for score in scores]
    sums = [sum(weight * value for weight, value in zip(weights, values, strict=True)) for values in spectra.T.tolist()]
    return np.array([half_up(Fraction(total, sum(weights))) for total in sums])


def _highest_score(spectra, *, scores, **_):
    return max(range(len(spectra)), key=lambda place: scores[place])


def _greenest(spectra, *, red, nir, **_):
    def ndvi(place):
        dark, bright = map(int, (spectra[place][red], spectra[place][nir]))
        return Fraction(bright - dark, bright + dark) if min(dark, bright) >= 0 and dark + bright > 0 else -2

    return max(range(len(spectra)), key=ndvi)


def _medoid(spectra, **_):
    def distances(one):
        return math.fsum(math.sqrt(sum((spectra[one] - other) ** 2)) for other in spectra)

    least = min(map(distances, range(len(spectra))))
    return next(one for one in range(len(spectra)) if distances(one) <= least * (1 + 1e-12))


def _geomedian(spectra, **_):
    """Weiszfeld with Vardi & Zhang's correction, by numpy."""
    middle = spectra.mean(axis=0)
    for _ in range(1000):
        apart = np.linalg.norm(spectra - middle, axis=1)
        away = apart > 0
        if not away.any():
            break
        target = np.average(spectra[away], axis=0, weights=1 / apart[away])
        drive = np.linalg.norm(((spectra[away] - middle) / apart[away, np.newaxis]).sum(axis=0))
        stay = min(1.0, (~away).sum() / drive) if drive > 0 else 0.0
        step = (1 - stay) * (target - middle)
        middle = middle + step
        if np.linalg.norm(step) < 0.1:
            break
    return np.floor(middle + 0.5).astype(int)


METHODS = {
    "median": _median,
    "percentile": _percentile,
    "weighted_mean": _weighted_mean,
    "bap": _highest_score,
    "max_ndvi": _greenest,
    "medoid": _medoid,
    "geomedian": _geomedian,
}


def permuted(observations, order):
    """The same scenes in another order of the time axis."""
    return Observations(observations.reflectance[order], observations.quality[order], observations.acquired[order])
