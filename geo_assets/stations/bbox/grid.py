"""The output grid of a composite: the UTM zone of the area's centre, or the CRS that the scenes come in."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.errors import RegionError
from geo_assets.domain.modis_grid import MODIS_RESOLUTION, PIXEL_M, SINUSOIDAL, is_modis_tile
from geo_assets.domain.scene import SceneItem

Bbox: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north, degrees; west > east crosses the antimeridian."""

MOST_PIXELS = 1 << 29
"""Of one composite: 230 km square at 10 m. Each pixel takes 5 bytes, and 2 more a band."""

_UTM_NORTH, _UTM_SOUTH = 32_600, 32_700
_FALSE_NORTHING_M = 10_000_000
_FARTHEST_FROM_MERIDIAN = 20.0
"""Degrees from a zone's central meridian: there, on the equator, a pixel is 6 % smaller than it says."""
_POINTS_PER_SIDE = 21
_MODIS_CORNER = (-20_015_109.354, 10_007_554.677)


def utm_grid(bbox: Bbox, resolution: float) -> GeoBox:
    """The grid of an area in the UTM zone of its centre.

    Parameters
    ----------
    bbox
        Of the area.
    resolution
        Metres.

    Returns
    -------
    grid
        North up, bounds snapped outward to multiples of the resolution; in the south to multiples of it counted from
        the equator, so that grids of 10, 12, 15, 20, 30 and 60 m lie on the pixels of Sentinel-2's tiles.

    Raises
    ------
    RegionError
        The area is too wide for a zone, or has too many pixels.
    """
    west, south, _, north = bbox
    middle = west + width_degrees(bbox) / 2
    return _zone_grid(bbox, resolution, int((middle + 180) % 360 // 6) + 1, southern=south + north < 0)


def native_grid(bbox: Bbox, resolution: float, items: Iterable[SceneItem]) -> GeoBox:
    """The grid of an area in the CRS of most of its scenes: their UTM zone, or the sinusoidal one of MODIS tiles.

    Parameters
    ----------
    bbox, resolution
        As for `utm_grid`. In the sinusoidal grid 500 means its own pixels of 463.31 m.
    items
        The scenes found; where none names a tile, the grid is that of `utm_grid`.

    Returns
    -------
    grid
        As of `utm_grid`; sinusoidal bounds are snapped to multiples of the resolution from the MODIS grid's corner.
        South of the equator HLS numbers its zones as northern ones; the same pixels have the southern number here.

    Raises
    ------
    RegionError
        As `utm_grid`.
    """
    tiles = [item.tile for item in items if item.tile]
    if any(is_modis_tile(tile) for tile in tiles):
        if bbox[0] > bbox[2]:
            raise RegionError(
                f"Bounding box {_text(bbox)}: the sinusoidal grid ends at the antimeridian on both sides. "
                "Divide the area there, or ask for output_crs='utm'."
            )
        pixel = PIXEL_M if resolution == MODIS_RESOLUTION else resolution
        return _snapped(bbox, SINUSOIDAL, _MODIS_CORNER, pixel)
    zones = Counter((int(tile[:2]), tile[2] < "N") for tile in tiles)
    if not zones:
        return utm_grid(bbox, resolution)
    (zone, southern), _ = min(zones.items(), key=lambda counted: (-counted[1], counted[0]))
    return _zone_grid(bbox, resolution, zone, southern=southern)


def width_degrees(bbox: Bbox) -> float:
    """How far a bounding box reaches from west to east."""
    return (bbox[2] - bbox[0]) % 360


def area_of(bbox: Bbox) -> BaseGeometry:
    """The bounding box as a polygon, EPSG:4326, in two parts where it crosses the antimeridian."""
    west, south, east, north = bbox
    if west <= east:
        return shapely.box(west, south, east, north)
    parts = [shapely.box(west, south, 180.0, north), shapely.box(-180.0, south, east, north)]
    return shapely.MultiPolygon([part for part in parts if part.area > 0])


def _zone_grid(bbox: Bbox, resolution: float, zone: int, *, southern: bool) -> GeoBox:
    meridian = zone * 6 - 183
    farthest = max(abs((edge - meridian + 180) % 360 - 180) for edge in (bbox[0], bbox[2]))
    if max(farthest, width_degrees(bbox) / 2) > _FARTHEST_FROM_MERIDIAN:
        crosses = (
            " West > east means across the antimeridian: exchange them if it does not." if bbox[0] > bbox[2] else ""
        )
        raise RegionError(
            f"Bounding box {_text(bbox)}: found {width_degrees(bbox):g} degrees from west to east, its middle in UTM "
            f"zone {zone}, expected ground within {_FARTHEST_FROM_MERIDIAN:g} degrees of the zone's central meridian. "
            f"Divide the area.{crosses}"
        )
    origin = (0.0, _FALSE_NORTHING_M if southern else 0.0)
    return _snapped(bbox, f"EPSG:{(_UTM_SOUTH if southern else _UTM_NORTH) + zone}", origin, resolution)


def _snapped(bbox: Bbox, crs: str, origin: tuple[float, float], pixel: float) -> GeoBox:
    """The smallest grid of whole pixels, counted from `origin`, that holds the area."""
    west, south, _, north = bbox
    bounds = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform_bounds(
        west, south, west + width_degrees(bbox), north, densify_pts=_POINTS_PER_SIDE
    )
    if not all(math.isfinite(bound) for bound in bounds):
        raise RegionError(
            f"Bounding box {_text(bbox)}: it reaches beyond what {crs} can show. Move or divide the area."
        )
    left, top = math.floor((bounds[0] - origin[0]) / pixel), math.ceil((bounds[3] - origin[1]) / pixel)
    right, bottom = math.ceil((bounds[2] - origin[0]) / pixel), math.floor((bounds[1] - origin[1]) / pixel)
    height, width = top - bottom, right - left
    if height * width > MOST_PIXELS:
        raise RegionError(
            f"Bounding box {_text(bbox)}: found {width} x {height} pixels of {pixel:g} m, expected at most "
            f"{MOST_PIXELS} in all. Divide the area, or choose larger pixels."
        )
    transform = Affine(pixel, 0.0, origin[0] + left * pixel, 0.0, -pixel, origin[1] + top * pixel)
    return GeoBox((height, width), transform, crs)


def _text(bbox: Bbox) -> str:
    return "({:g}, {:g}, {:g}, {:g})".format(*bbox)
