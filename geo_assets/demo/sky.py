"""The demo's sky: clouds, ice clouds and the shadows they cast, as functions of UTM position and date."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.demo.noise import cloudy_noise, smooth_noise
from geo_assets.demo.passes import Acquisition
from geo_assets.demo.plan import DemoPlan
from geo_assets.domain.arrays import Flag

OPACITY_STEPS = 250
"""Opacities are stored as whole numbers up to this, which is opaque."""

CLOUD_FROM = 0.25
"""Opacity above which the truth speaks of cloud: a quarter adds 0.13 to dark ground, which no composite forgives."""

_SAMPLES = 96


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """What stands between sun, ground and sensor; all (y, x) uint8 in steps of 1 / `OPACITY_STEPS`."""

    cloud: NDArray[np.uint8]
    """Opacity of water clouds."""
    cirrus: NDArray[np.uint8]
    """Opacity of ice clouds, which cast no visible shadow."""
    shade: NDArray[np.uint8]
    """Share of the sunlight that water clouds hold back from the ground."""

    @property
    def opacity(self) -> NDArray[np.uint8]:
        """Of water and ice clouds together."""
        clear = (OPACITY_STEPS - self.cloud.astype(np.uint32)) * (OPACITY_STEPS - self.cirrus.astype(np.uint32))
        return (OPACITY_STEPS - clear // OPACITY_STEPS).astype(np.uint8)

    @property
    def is_cloud(self) -> Flag:
        """True where it is cloudier than `CLOUD_FROM`."""
        return np.asarray(self.opacity > CLOUD_FROM * OPACITY_STEPS)

    @property
    def is_shadow(self) -> Flag:
        """True where clear ground lies in a cloud's shadow."""
        return np.asarray((self.shade > 0.3 * OPACITY_STEPS) & ~self.is_cloud)


def sky_of(plan: DemoPlan, acquisition: Acquisition, geobox: GeoBox) -> Sky:
    """The sky of an acquisition on a north-up UTM grid, sampled at pixel centres.

    The cloud share that the weather asks for holds over the plan's window, whatever the window's size.
    """
    weather, seed, affine = acquisition.weather, acquisition.seed, geobox.affine
    size_m = min(weather.cell_m, plan.window_m / 3)
    west, _, _, north = plan.window_bounds
    sample = np.empty((_SAMPLES, _SAMPLES), np.float32)
    _fill_clouds(sample, west, north, plan.window_m / _SAMPLES, size_m, seed)
    middle = float(np.quantile(sample, 1.0 - weather.cloud_share))
    shift_east, shift_north = acquisition.shadow_shift_m
    density = np.empty(geobox.shape, np.float32)
    _fill_clouds(density, affine.c, affine.f, affine.a, size_m, seed)
    cloud = _opacity(density, middle, weather.softness)
    # The shadow on a place is that of the cloud which stands towards the sun from it.
    _fill_clouds(density, affine.c - shift_east, affine.f - shift_north, affine.a, size_m, seed)
    shade = _opacity(density, middle, weather.softness)
    cirrus = np.zeros(geobox.shape, np.uint8)
    if weather.cirrus > 0:
        _fill_cirrus(cirrus, affine.c, affine.f, affine.a, 2.0 * size_m, weather.cirrus, seed + 999)
    return Sky(cloud, cirrus, shade)


def _opacity(density: NDArray[np.float32], middle: float, softness: float) -> NDArray[np.uint8]:
    """Half opaque where density is `middle`; steeper outside than inside, as cumulus is."""
    rise = np.clip((density - middle) / np.float32(softness) + np.float32(0.3), 0, 1)
    rise = 1 - (1 - rise) ** 2
    return np.asarray(np.rint(rise * OPACITY_STEPS), np.uint8)


@njit(nogil=True, cache=True)
def _fill_clouds(
    density: NDArray[np.float32], left: float, top: float, resolution: float, size_m: float, seed: int
) -> None:
    height, width = density.shape
    for row in range(height):
        y = top - (row + 0.5) * resolution
        for col in range(width):
            x = left + (col + 0.5) * resolution
            masses = cloudy_noise(x, y, size_m, 3, seed)
            lumps = abs(2.0 * cloudy_noise(x, y, 700.0, 2, seed + 5003) - 1.0)
            density[row, col] = 0.83 * masses + 0.17 * lumps


@njit(nogil=True, cache=True)
def _fill_cirrus(
    cirrus: NDArray[np.uint8],
    left: float,
    top: float,
    resolution: float,
    size_m: float,
    strongest: float,
    seed: int,
) -> None:
    """Streaks, five times longer than wide, along a direction that the seed draws."""
    angle = 0.3 + 0.9 * smooth_noise(0.5, 0.5, 1.0, seed)
    height, width = cirrus.shape
    for row in range(height):
        y = top - (row + 0.5) * resolution
        for col in range(width):
            x = left + (col + 0.5) * resolution
            along = np.cos(angle) * x + np.sin(angle) * y
            across = -np.sin(angle) * x + np.cos(angle) * y
            veil = cloudy_noise(0.2 * along, across, size_m / 2, 5, seed)
            where = smooth_noise(x, y, 1.5 * size_m, seed + 77)
            thickness = min(1.0, max(0.0, (veil - 0.42) / 0.4)) * min(1.0, max(0.0, 2.2 * where - 0.7))
            cirrus[row, col] = np.uint8(np.rint(250.0 * strongest * thickness))
