"""MODIS tiles as ground: `h18v04` and its neighbours in the sinusoidal projection, and their outlines on the globe.

The sinusoidal map of the sphere is cut into 36 x 18 squares of 10 degrees of latitude; those that hold any of the
globe are tiles (MODIS Land Tile Grid; MODIS Land team, "MODIS Grids"). Latitudes are taken over from WGS 84 as they
are, as the products are made: no shift of datum lies between the sphere and EPSG:4326.
"""

import math
import re
from functools import lru_cache

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from shapely.geometry import Polygon

from geo_assets.domain.errors import RegionError

SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs +type=crs"
"""CRS of the MODIS land grid, as PROJ spells it: it has no EPSG code."""

MODIS_RESOLUTION = 500
"""What a region file calls the native pixels of 463.31 m."""

MODIS_TILE_PX = 2400
"""Pixels along the edge of a tile."""

COLUMNS, ROWS = 36, 18
"""Tiles round the equator and from pole to pole."""

_RADIUS_M = 6_371_007.181
_WEST_M, _NORTH_M = -20_015_109.354, 10_007_554.677
"""Upper left corner of the grid, as the products' metadata have it (UpperLeftPointMtrs of h00v00)."""
TILE_M = -_WEST_M / (COLUMNS // 2)
"""Edge of a tile."""
PIXEL_M = TILE_M / MODIS_TILE_PX
"""463.3127165 m."""

_NAME = re.compile(r"h([0-2]\d|3[0-5])v(0\d|1[0-7])", re.ASCII)
_LATITUDE_STEP = 0.05
"""Degrees between the points of an outline: lines between them leave the true edge by less than 70 m anywhere."""

_NARROWEST = 1e-9
"""Degrees: less is a point of the limb."""


def is_modis_tile(tile: str) -> bool:
    """Whether a tile of that name holds any of the globe."""
    match = _NAME.fullmatch(tile)
    return match is not None and _holds_ground(int(match[1]), int(match[2]))


def modis_tile_at(tile: str) -> tuple[int, int]:
    """Column and row of a tile; `RegionError` if no MODIS tile has that name."""
    match = _NAME.fullmatch(tile)
    if match is None or not _holds_ground(int(match[1]), int(match[2])):
        raise RegionError(
            f"Tile: found {tile!r}, expected a MODIS tile that holds ground, h00 to h35 and v00 to v17, such as "
            "h18v04. Correct it, or give an area."
        )
    return int(match[1]), int(match[2])


def modis_geobox(tile: str) -> GeoBox:
    """Native grid of a whole tile: 2400 x 2400 pixels of `PIXEL_M`, north up, in `SINUSOIDAL`.

    Raises
    ------
    RegionError
        No MODIS tile has that name.
    """
    column, row = modis_tile_at(tile)
    transform = Affine(PIXEL_M, 0, _WEST_M + column * TILE_M, 0, -PIXEL_M, _NORTH_M - row * TILE_M)
    return GeoBox((MODIS_TILE_PX, MODIS_TILE_PX), transform, SINUSOIDAL)


def modis_footprint(tile: str) -> Polygon:
    """Outline of the part of a tile that lies on the globe, EPSG:4326, within -180..180.

    Tiles share their edges exactly: the outlines fill the globe without gap or overlap. No tile crosses the
    antimeridian, where the grid ends on both sides.

    Raises
    ------
    RegionError
        No MODIS tile has that name.
    """
    return _footprint(*modis_tile_at(tile))


def sinusoidal_footprint(box: BoundingBox) -> Polygon:
    """Outline of the part of a box in `SINUSOIDAL` that lies on the globe, EPSG:4326, within -180..180.

    Raises
    ------
    RegionError
        None of it does.
    """
    north_m, south_m = min(box.top, _NORTH_M), max(box.bottom, -_NORTH_M)
    outline = _outline(*(edge / TILE_M for edge in (box.left, south_m, box.right, north_m)))
    if outline.is_empty:
        raise RegionError(
            f"Box {tuple(box.bbox)} of the sinusoidal projection: lies beyond the globe. Move it, or give an area."
        )
    return outline


def modis_tiles_near(bounds: tuple[float, float, float, float]) -> list[str]:
    """Tiles whose outline may reach into (west, south, east, north) degrees; some too many do no harm."""
    west, south, east, north = bounds
    first, last = max(math.floor((90 - north) / 10), 0), min(math.floor((90 - south) / 10), ROWS - 1)
    near = []
    for row in range(first, last + 1):
        for column in range(COLUMNS):
            if _holds_ground(column, row):
                left, _, right, _ = _footprint(column, row).bounds
                if left <= east and right >= west:
                    near.append(f"h{column:02d}v{row:02d}")
    return near


def _holds_ground(column: int, row: int) -> bool:
    """Whether a square's inner edge lies on the globe at its widest parallel."""
    widest = min(abs(80 - 10 * row), abs(90 - 10 * row))
    inner = min(abs(column - COLUMNS // 2), abs(column + 1 - COLUMNS // 2))
    return inner < COLUMNS / 2 * math.cos(math.radians(widest)) - 1e-9


@lru_cache(maxsize=COLUMNS * ROWS)
def _footprint(column: int, row: int) -> Polygon:
    middle_column, middle_row = COLUMNS // 2, ROWS // 2
    return _outline(column - middle_column, middle_row - row - 1, column + 1 - middle_column, middle_row - row)


def _outline(left: float, bottom: float, right: float, top: float) -> Polygon:
    """Outline on the globe of a box in units of tiles, counted from where the equator meets Greenwich."""
    latitudes = _latitudes(left, bottom, right, top)
    west, east = _meridian(left, latitudes), _meridian(right, latitudes)
    held = east - west > _NARROWEST
    # The limb cuts a corner off: where both edges lie beyond it nothing is held, but for the point where it begins.
    held[:-1] |= held[1:]
    held[1:] |= held[:-1]
    ring = np.concatenate(
        [np.column_stack([west[held], latitudes[held]]), np.column_stack([east[held], latitudes[held]])[::-1]]
    )
    return shapely.Polygon(ring)


def _latitudes(left: float, bottom: float, right: float, top: float) -> NDArray[np.float64]:
    """Latitudes of an outline's points, northward: also those at which an edge meets the antimeridian.

    All but the box's own lie on one lattice, so that boxes that touch share their points.
    """
    lattice = np.arange(-90, 90, _LATITUDE_STEP).round(9)
    edges = np.unique(np.abs([*range(COLUMNS // 2), left, right])) / (COLUMNS // 2)
    limb = np.degrees(np.arccos(edges[edges < 1]))
    places = np.concatenate([lattice, limb, -limb])
    south, north = 10.0 * bottom, 10.0 * top
    return np.unique([south, *places[(places > south) & (places < north)], north])


def _meridian(edge: float, latitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes of a box's west or east edge, kept within -180..180."""
    along = np.maximum(np.cos(np.radians(latitudes)), 1e-12)
    return np.clip(10.0 * edge / along, -180.0, 180.0)
