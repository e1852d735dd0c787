"""The demo's landscape: what grows where, and what colour it has in each month.

Everything is a function of UTM position, so two tiles that see the same ground agree to the last digit.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.demo.noise import cell_noise, cloudy_noise, smooth_noise
from geo_assets.domain.arrays import ReflectanceCount
from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.tile_month import Month


class Cover(IntEnum):
    """What lies on the ground; the kernel below writes these codes."""

    RIVER = 0
    LAKE = 1
    CONIFER = 2
    BROADLEAF = 3
    MEADOW = 4
    WHEAT = 5
    MAIZE = 6
    RAPESEED = 7
    POTATO = 8
    FALLOW = 9
    GARDEN = 10
    BUILT = 11
    ROAD = 12


_WATER, _LAKE = (
    (45, 50, 58, 40, 34, 24, 20, 18, 16, 14, 0, 9, 7),
    (28, 32, 38, 20, 15, 11, 9, 8, 7, 6, 0, 5, 4),
)
_CONIFER = (15, 19, 34, 21, 55, 150, 185, 200, 215, 222, 0, 98, 44)
_BROADLEAF = (18, 25, 54, 25, 84, 275, 345, 365, 385, 392, 0, 175, 78)
_GRASS, _CROP = (
    (28, 38, 78, 46, 118, 290, 350, 370, 390, 396, 0, 225, 120),
    (26, 34, 70, 35, 104, 335, 425, 450, 468, 468, 0, 195, 96),
)
_HAY = (58, 78, 118, 128, 176, 250, 280, 300, 320, 330, 0, 330, 230)
_STRAW = (78, 104, 150, 200, 232, 268, 290, 312, 330, 338, 0, 372, 285)
_SOIL, _BARE = (
    (62, 80, 112, 148, 172, 190, 204, 216, 230, 236, 0, 300, 252),
    (92, 112, 145, 176, 196, 208, 218, 230, 240, 246, 0, 310, 272),
)
_ROOFS, _ASPHALT = (
    (80, 97, 118, 134, 146, 158, 168, 178, 186, 190, 0, 205, 186),
    (84, 98, 114, 124, 132, 138, 144, 150, 156, 160, 0, 178, 168),
)

_COLOURS = {  # cover: (when green, when not), reflectance x 1000 of the 13 bands by wavelength
    Cover.RIVER: (_WATER, _WATER), Cover.LAKE: (_LAKE, _LAKE),
    Cover.CONIFER: (_CONIFER, _CONIFER), Cover.BROADLEAF: (_BROADLEAF, _HAY),
    Cover.MEADOW: (_GRASS, _HAY), Cover.WHEAT: (_CROP, _STRAW), Cover.MAIZE: (_CROP, _SOIL),
    Cover.RAPESEED: (_GRASS, _STRAW), Cover.POTATO: (_CROP, _SOIL), Cover.FALLOW: (_GRASS, _BARE),
    Cover.GARDEN: (_GRASS, _ROOFS), Cover.BUILT: (_BROADLEAF, _ROOFS), Cover.ROAD: (_GRASS, _ASPHALT),
}  # fmt: skip

_GREENNESS = {  # cover: per cent green, January to December; a Central European year, by eye
    Cover.RIVER: (0,) * 12, Cover.LAKE: (0,) * 12, Cover.CONIFER: (100,) * 12,
    Cover.BROADLEAF: (10, 10, 20, 60, 95, 100, 96, 92, 82, 50, 20, 10),
    Cover.MEADOW: (45, 45, 60, 80, 92, 80, 68, 70, 72, 65, 55, 45),
    Cover.WHEAT: (45, 48, 60, 82, 95, 70, 12, 8, 10, 20, 35, 42),
    Cover.MAIZE: (4, 4, 5, 8, 15, 48, 92, 95, 60, 15, 6, 4),
    Cover.RAPESEED: (50, 52, 62, 70, 85, 48, 8, 15, 30, 42, 48, 50),
    Cover.POTATO: (4, 4, 4, 10, 38, 88, 90, 55, 12, 6, 4, 4),
    Cover.FALLOW: (10, 10, 14, 20, 22, 16, 10, 12, 16, 14, 12, 10),
    Cover.GARDEN: (40, 40, 48, 66, 78, 76, 70, 68, 64, 56, 48, 42),
    Cover.BUILT: (2, 2, 3, 6, 8, 8, 8, 8, 7, 5, 3, 2),
    Cover.ROAD: (8, 8, 10, 14, 16, 16, 14, 14, 14, 12, 10, 8),
}  # fmt: skip

_VARIETY = {Cover.CONIFER: 0, Cover.BROADLEAF: 14, Cover.BUILT: 10, Cover.ROAD: 10, Cover.GARDEN: 60}
"""Per cent of greenness between a cover's palest and its lushest place; `_USUAL_VARIETY` for the others."""
_USUAL_VARIETY = 46

_LIGHT_STEPS = 100.0
"""`Ground.light` counts this for flat ground."""


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """A piece of landscape, before month and band are chosen."""

    geobox: GeoBox
    cover: NDArray[np.uint8]
    """(y, x) `Cover` codes."""
    vigour: NDArray[np.uint8]
    """(y, x) 0-255: how well it grows there, by parcel and within it."""
    light: NDArray[np.uint8]
    """(y, x) relief shading and texture; 100 is flat, even ground."""


def ground_of(geobox: GeoBox, *, seed: int) -> Ground:
    """The landscape on a north-up UTM grid, sampled at pixel centres."""
    layers = np.empty((3, *geobox.shape), np.uint8)
    affine = geobox.affine
    _fill_ground(layers, affine.c, affine.f, affine.a, seed % 2**31)
    return Ground(geobox, layers[0], layers[1], layers[2])


def surface_reflectance(ground: Ground, month: Month, band: str) -> ReflectanceCount:
    """Reflectance of the ground in the middle of a month, without air, clouds or sensor.

    Parameters
    ----------
    ground
        Landscape, (y, x).
    band
        A key of `SENTINEL2_BANDS`. `cirrus` is 0 everywhere: no light comes back from the ground.

    Returns
    -------
    surface : (y, x) int16
        Reflectance x 10,000; valid everywhere.
    """
    at = list(SENTINEL2_BANDS).index(band)
    table = np.empty((len(Cover), 4), np.float32)
    for cover in Cover:
        green, bare = _COLOURS[cover]
        variety = _VARIETY.get(cover, _USUAL_VARIETY)
        table[cover] = (
            green[at] * 10,
            bare[at] * 10,
            _GREENNESS[cover][month.number - 1] / 100,
            variety / 100,
        )
    surface = np.empty(ground.cover.shape, np.int16)
    _fill_surface(surface, ground.cover, ground.vigour, ground.light, table)
    return surface


@njit(nogil=True, cache=True)
def _fill_surface(
    surface: ReflectanceCount,
    cover: NDArray[np.uint8],
    vigour: NDArray[np.uint8],
    light: NDArray[np.uint8],
    table: NDArray[np.float32],
) -> None:
    height, width = surface.shape
    for row in range(height):
        for col in range(width):
            green, bare, greenness, variety = table[cover[row, col]]
            share = greenness + variety * (vigour[row, col] / 255.0 - 0.5)
            share = min(1.0, max(0.0, share))
            lit = light[row, col] / _LIGHT_STEPS
            surface[row, col] = np.int16(np.rint(lit * (share * green + (1.0 - share) * bare)))


@njit(nogil=True, cache=True)
def _river_centre(x: float) -> float:
    """Northing of the river at easting `x`, metres: bends of three sizes."""
    bends = 1500.0 * np.sin(x / 3900.0) + 620.0 * np.sin(x / 1310.0 + 1.0) + 170.0 * np.sin(x / 460.0 + 2.0)
    return float(bends)


@njit(nogil=True, cache=True)
def _valley(x: float, y: float) -> float:
    """Signed distance in metres to the nearest river; rivers run west to east, 15 km apart."""
    apart = 15_000.0
    across = (y - _river_centre(x) + 4_000.0) % apart
    across = across - apart if across > apart / 2 else across
    slope = (_river_centre(x + 10.0) - _river_centre(x - 10.0)) / 20.0
    return float(across / np.sqrt(1.0 + slope * slope))


@njit(nogil=True, cache=True)
def _height(x: float, y: float, seed: int) -> float:
    """Ground height in metres: a flat valley floor, hills beyond it."""
    from_river = min(1.0, max(0.0, (abs(_valley(x, y)) - 900.0) / 3600.0))
    hills = abs(2.0 * cloudy_noise(x, y, 3400.0, 4, seed + 7) - 1.0)
    return 40.0 * cloudy_noise(x, y, 1500.0, 3, seed + 8) + 620.0 * from_river * (1.0 - 1.7 * hills)


@njit(nogil=True, cache=True)
def _nearest_site(x: float, y: float, size_m: float, seed: int) -> tuple[int, int, float, float]:
    """Cell of the nearest jittered site, and how much farther the second nearest is, in metres."""
    column, row = int(np.floor(x / size_m)), int(np.floor(y / size_m))
    nearest, second, site_column, site_row = 1e12, 1e12, column, row
    for i in range(column - 1, column + 2):
        for j in range(row - 1, row + 2):
            dx = (i + 0.15 + 0.7 * cell_noise(i, j, seed)) * size_m - x
            dy = (j + 0.15 + 0.7 * cell_noise(i, j, seed + 1)) * size_m - y
            distance = np.sqrt(dx * dx + dy * dy)
            if distance < nearest:
                nearest, second, site_column, site_row = distance, nearest, i, j
            elif distance < second:
                second = distance
    return site_column, site_row, nearest, second - nearest


@njit(nogil=True, cache=True)
def _parcel(x: float, y: float, seed: int) -> tuple[float, float, bool]:
    """Draws of the parcel at a position: crop 0-1, vigour 0-1, and whether it is a track between fields."""
    bent_x = x + 60.0 * (smooth_noise(x, y, 520.0, seed + 31) - 0.5)
    bent_y = y + 60.0 * (smooth_noise(x, y, 520.0, seed + 32) - 0.5)
    column, row, _, margin = _nearest_site(bent_x, bent_y, 1150.0, seed + 33)
    angle = np.pi * cell_noise(column, row, seed + 35)
    along = np.cos(angle) * bent_x + np.sin(angle) * bent_y
    across = -np.sin(angle) * bent_x + np.cos(angle) * bent_y
    width = 60.0 + 130.0 * cell_noise(column, row, seed + 36) ** 2
    strip = int(np.floor(across / width))
    length = 240.0 + 260.0 * cell_noise(strip, column, seed + 37)
    piece = int(np.floor(along / length + 5.0 * cell_noise(strip, row, seed + 38)))
    key = strip * 7919 + piece
    quarter = 0.25 * cell_noise(column, row, seed + 39)
    crop = (cell_noise(key, column * 31 + row, seed + 40) + quarter) % 1.0
    return crop, cell_noise(key, column * 31 + row, seed + 41), margin < 14.0


@njit(nogil=True, cache=True)
def _built_up(x: float, y: float, valley: float, seed: int) -> float:
    """How town-like a place is: above 0.5 roofs and gardens, larger nearer a centre."""
    column, row, distance, _ = _nearest_site(x, y, 2600.0, seed + 51)
    size = 170.0 + 1100.0 * cell_noise(column, row, seed + 53) ** 5
    if abs(valley) > 3200.0:
        size = min(size, 260.0) * cell_noise(column, row, seed + 55)
    ragged = 0.1 + 1.8 * cloudy_noise(x, y, 520.0, 4, seed + 54)
    return 1.0 - 0.5 * distance / (size * ragged)


@njit(nogil=True, cache=True)
def _lake_depth(x: float, y: float, seed: int) -> float:
    """Above zero inside one of the scattered ponds and gravel pits."""
    column, row, distance, _ = _nearest_site(x, y, 4300.0, seed + 61)
    radius = 520.0 * (cell_noise(column, row, seed + 63) - 0.35)
    return radius * (0.6 + 0.8 * cloudy_noise(x, y, 380.0, 2, seed + 64)) - distance


@njit(nogil=True, cache=True)
def _cover_at(x: float, y: float, height: float, seed: int) -> tuple[int, float]:
    """Cover code and vigour 0-1 of a place."""
    valley = _valley(x, y)
    texture = smooth_noise(x, y, 45.0, seed + 71)
    if abs(valley) < 42.0 + 30.0 * smooth_noise(x, y, 900.0, seed + 72):
        return 0, texture
    if abs(valley) < 3500.0 and _lake_depth(x, y, seed) > 0.0:
        return 1, texture
    if abs(valley - 820.0 - 260.0 * np.sin(x / 2300.0)) < 17.0:
        return 12, texture
    town = _built_up(x, y, valley, seed)
    if town > 0.5:
        block_column, block_row = int(np.floor(x / 55.0)), int(np.floor(y / 45.0))
        roof = cell_noise(block_column, block_row, seed + 73) < 0.14 + 0.8 * (town - 0.5)
        return (11 if roof else 10), cell_noise(block_column, block_row, seed + 74)
    woods = cloudy_noise(x, y, 1300.0, 5, seed + 75)
    wooded = 1.5 * woods + 0.5 * min(1.0, max(0.0, (height - 90.0) / 330.0))
    if wooded > 1.06 or (abs(valley) < 130.0 and woods > 0.42):
        needles = smooth_noise(x, y, 1900.0, seed + 76) + 0.35 * texture + min(0.25, height / 2400.0)
        return (2 if needles > 0.88 else 3), 0.5 * texture + 0.5 * smooth_noise(x, y, 300.0, seed + 77)
    crop, vigour, track = _parcel(x, y, seed)
    vigour = 0.62 * vigour + 0.23 * smooth_noise(x, y, 210.0, seed + 78) + 0.15 * texture
    if track:
        return 4, 0.4 * vigour
    meadows = 0.30 + 0.6 * min(1.0, max(0.0, (height - 60.0) / 150.0))
    if crop < meadows:
        return 4, vigour
    share = (crop - meadows) / (1.0 - meadows)
    if share < 0.32:
        return 5, vigour
    if share < 0.70:
        return 6, vigour
    if share < 0.80:
        return 7, vigour
    return (8 if share < 0.93 else 9), vigour


@njit(nogil=True, cache=True)
def _fill_ground(layers: NDArray[np.uint8], left: float, top: float, resolution: float, seed: int) -> None:
    """Cover, vigour and light; light from the south-east, where the sun stands at a Sentinel-2 overpass."""
    _, height, width = layers.shape
    for row in range(height):
        y = top - (row + 0.5) * resolution
        for col in range(width):
            x = left + (col + 0.5) * resolution
            ground = _height(x, y, seed)
            slope = (ground - _height(x + 21.0, y - 21.0, seed)) / 30.0
            cover, vigour = _cover_at(x, y, ground, seed)
            grain = cell_noise(int(np.floor(x / 20.0)), int(np.floor(y / 20.0)), seed + 81) - 0.5
            rough = 0.22 if cover == 2 or cover == 3 or cover == 11 else 0.07
            lit = 1.0 + rough * grain
            if cover > 1:
                lit *= min(1.35, max(0.55, 1.0 + 0.9 * slope))
            layers[0, row, col] = cover
            layers[1, row, col] = np.uint8(255.0 * min(1.0, max(0.0, vigour)))
            layers[2, row, col] = np.uint8(_LIGHT_STEPS * lit + 0.5)
