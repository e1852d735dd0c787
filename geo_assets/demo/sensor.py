"""What the demo's sensor stores: counts of each band, seen through air, clouds, shadow and its own noise."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.demo.ground import Cover, Ground
from geo_assets.demo.noise import cell_noise, smooth_noise
from geo_assets.demo.passes import Acquisition
from geo_assets.demo.sky import OPACITY_STEPS, Sky
from geo_assets.domain.arrays import DigitalNumber, Flag, Reflectance, ReflectanceCount
from geo_assets.domain.bands import QUANTIFICATION, SENTINEL2_BANDS, Level


@dataclass(frozen=True, slots=True)
class _Optics:
    """One band's way through the air; reflectances and shares, unitless."""

    path: float
    """Top-of-atmosphere reflectance of clear air over black ground (mostly Rayleigh)."""
    transmission: float
    """Of clear air, down and up."""
    cloud: float
    """Brightness of an opaque water cloud at the top of the atmosphere."""
    cirrus: float
    """The same of the thickest ice cloud."""
    haze: float
    """What haze of strength 1 adds."""
    shade: float
    """Share of the light that a full shadow takes; blue sky light remains."""


_OPTICS = {
    "coastal": _Optics(0.088, 0.80, 0.56, 0.28, 0.026, 0.42),
    "blue": _Optics(0.058, 0.84, 0.55, 0.27, 0.022, 0.46),
    "green": _Optics(0.034, 0.87, 0.53, 0.26, 0.017, 0.54),
    "red": _Optics(0.019, 0.90, 0.53, 0.25, 0.013, 0.60),
    "rededge1": _Optics(0.015, 0.90, 0.54, 0.25, 0.011, 0.61),
    "rededge2": _Optics(0.012, 0.89, 0.56, 0.26, 0.009, 0.63),
    "rededge3": _Optics(0.010, 0.91, 0.58, 0.26, 0.008, 0.64),
    "nir": _Optics(0.008, 0.90, 0.57, 0.25, 0.007, 0.65),
    "nir08": _Optics(0.007, 0.93, 0.59, 0.26, 0.006, 0.66),
    "nir09": _Optics(0.003, 0.30, 0.30, 0.15, 0.002, 0.66),
    "cirrus": _Optics(0.0011, 0.0, 0.011, 0.038, 0.0, 0.0),
    "swir16": _Optics(0.001, 0.94, 0.42, 0.15, 0.001, 0.72),
    "swir22": _Optics(0.001, 0.91, 0.30, 0.12, 0.001, 0.74),
}
"""Path, transmission and cloud follow real L1C scenes of 33TVL and of a cloudy coast; the rest is by eye."""

_NOISE = 0.004
"""Width of the sensor's noise, reflectance."""


def observed_reflectance(
    surface: ReflectanceCount, sky: Sky, acquisition: Acquisition, band: str, level: Level, geobox: GeoBox
) -> Reflectance:
    """Reflectance of one band as the sensor sees it, before gains, counts and nodata.

    Parameters
    ----------
    surface : (y, x) int16
        True surface reflectance x 10,000 on `geobox`.
    sky
        On `geobox`.
    band, level
        `L1C`: at the top of the atmosphere. `L2A`: with the clear air taken away, as atmospheric correction
        does; clouds, haze and shadows stay.

    Returns
    -------
    reflectance : (y, x) float32
        Valid everywhere; a little below 0 at times.
    """
    optics = _OPTICS[band]
    path, transmission = (optics.path, optics.transmission) if level == "L1C" else (0.0, 1.0)
    number = list(SENTINEL2_BANDS).index(band)
    settings = (
        path, transmission, optics.cloud, optics.cirrus, optics.haze * acquisition.weather.haze, optics.shade,
        0.1 * _NOISE if band == "cirrus" else _NOISE,
    )  # fmt: skip
    seen = np.empty(surface.shape, np.float32)
    place = (geobox.affine.c, geobox.affine.f, geobox.affine.a)
    _fill_observed(seen, surface, sky.cloud, sky.cirrus, sky.shade, place, settings, acquisition.seed, number)
    return seen


def counts_of(reflectance: Reflectance, covered: Flag, *, gain: float, offset: float, added: int) -> DigitalNumber:
    """Stored counts: ``reflectance * gain + offset`` in 1 / 10,000, plus `added`; 0 where not `covered`.

    Parameters
    ----------
    reflectance : (y, x) float32
    covered : (y, x) bool
        True where the sensor saw the ground.

    Returns
    -------
    counts : (y, x) uint16
        0 is nodata, so the darkest ground counts 1.
    """
    exact = (reflectance * np.float32(gain) + np.float32(offset)) * np.float32(QUANTIFICATION) + np.float32(added)
    counts: DigitalNumber = np.clip(np.rint(exact), 1, 65535).astype(np.uint16)
    counts[~covered] = 0
    return counts


def mean_of_cells(reflectance: Reflectance, factor: int) -> Reflectance:
    """Average of every `factor` x `factor` cell; both sides are multiples of `factor`."""
    height, width = reflectance.shape
    cells = reflectance.reshape(height // factor, factor, width // factor, factor)
    return np.asarray(cells.mean(axis=(1, 3), dtype=np.float64), np.float32)


def scene_classes(ground: Ground, sky: Sky, acquisition: Acquisition) -> NDArray[np.uint8]:
    """Scene classification (SCL) as a processor that is good, not perfect, would make it.

    Parameters
    ----------
    ground, sky
        Truth on one grid, (y, x).

    Returns
    -------
    scl : (y, x) uint8
        Codes of `SCL_NAMES`, never 0: nodata is for whoever cuts the scene. Cloud edges and thin cirrus are
        missed in places, so are some shadows, and a few roofs pass for cloud.
    """
    classes = np.empty(ground.cover.shape, np.uint8)
    affine = ground.geobox.affine
    place = (affine.c, affine.f, affine.a)
    _fill_classes(classes, ground.cover, ground.vigour, sky.cloud, sky.cirrus, sky.shade, place, acquisition.seed)
    return classes


@njit(nogil=True, cache=True)
def _fill_observed(
    seen: Reflectance,
    surface: ReflectanceCount,
    cloud: NDArray[np.uint8],
    cirrus: NDArray[np.uint8],
    shade: NDArray[np.uint8],
    place: tuple[float, float, float],
    settings: tuple[float, float, float, float, float, float, float],
    seed: int,
    band: int,
) -> None:
    left, top, resolution = place
    path, transmission, cloud_white, cirrus_white, haze, shade_depth, noise = settings
    height, width = seen.shape
    for row in range(height):
        y = top - (row + 0.5) * resolution
        for col in range(width):
            x = left + (col + 0.5) * resolution
            value = surface[row, col] * 1e-4 * (1.0 - shade_depth * shade[row, col] / OPACITY_STEPS)
            value = path + transmission * value
            if haze > 0.0:
                value += haze * (0.7 + 0.6 * smooth_noise(x, y, 5000.0, seed + 41)) * (1.0 - 0.5 * value)
            if cirrus[row, col] > 0:
                ice = cirrus[row, col] / OPACITY_STEPS
                value += ice * (cirrus_white - 0.75 * value)
            if cloud[row, col] > 0:
                water = cloud[row, col] / OPACITY_STEPS
                bright = cloud_white * (0.06 + 0.30 * smooth_noise(x, y, 380.0, seed + 42) + 0.74 * water)
                value += water * (bright - value)
            column = int(np.floor(x / resolution))
            line = int(np.floor(y / resolution))
            two = cell_noise(column, line, seed + 50 * band + 1) + cell_noise(column, line, seed + 50 * band + 2)
            seen[row, col] = value + noise * 0.5 * (two - 1.0)


@njit(nogil=True, cache=True)
def _class_of_ground(cover: int, vigour: int) -> int:
    if cover <= Cover.LAKE:
        return 6
    if cover == Cover.BUILT or cover == Cover.ROAD or cover == Cover.FALLOW:
        return 5
    if (cover == Cover.WHEAT or cover == Cover.MAIZE) and vigour < 90:
        return 5
    return 4


@njit(nogil=True, cache=True)
def _fill_classes(
    classes: NDArray[np.uint8],
    cover: NDArray[np.uint8],
    vigour: NDArray[np.uint8],
    cloud: NDArray[np.uint8],
    cirrus: NDArray[np.uint8],
    shade: NDArray[np.uint8],
    place: tuple[float, float, float],
    seed: int,
) -> None:
    left, top, resolution = place
    height, width = classes.shape
    for row in range(height):
        y = top - (row + 0.5) * resolution
        for col in range(width):
            x = left + (col + 0.5) * resolution
            wavering = 0.30 * (smooth_noise(x, y, 160.0, seed + 61) - 0.5)
            thick = cloud[row, col] / OPACITY_STEPS + wavering
            missed_shadow = smooth_noise(x, y, 900.0, seed + 62) < 0.30
            code = _class_of_ground(cover[row, col], vigour[row, col])
            if shade[row, col] > 0.45 * OPACITY_STEPS and not missed_shadow:
                code = 3
            if cover[row, col] == Cover.BUILT and vigour[row, col] > 238:
                code = 8
            if cirrus[row, col] / OPACITY_STEPS + wavering > 0.42:
                code = 10
            if thick > 0.38:
                code = 7
            if thick > 0.52:
                code = 8
            if thick > 0.80:
                code = 9
            classes[row, col] = code
