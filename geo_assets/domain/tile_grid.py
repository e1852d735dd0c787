"""Tiles as ground: their grids and footprints, the tiles of an area, and who is next to whom.

Everything is computed, offline, from the tile's name: `33TVL` is a Sentinel-2 tile, `h18v04` one of MODIS, whose
grid is `modis_grid`'s part. The origin rule of `tile_geobox` gives 56,686 of the
56,686 origins of ESA's list; which names exist is `tile_list`'s part. All UTM zones are one transverse
Mercator, turned by 6 degrees, and the south differs by its false northing only: so one projection, in signed
northing, serves every tile.

Outlines have `_POINTS_PER_SIDE` points a side. The straight line from one to the next leaves the true edge by
less than 0.5 m at 60 degrees of latitude and 3 m at 84.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, TypeAlias, TypeVar

import numpy as np
import shapely
import shapely.affinity
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.errors import RegionError
from geo_assets.domain.modis_grid import (
    MODIS_RESOLUTION,
    SINUSOIDAL,
    is_modis_tile,
    modis_footprint,
    modis_geobox,
    modis_tile_at,
    modis_tiles_near,
)
from geo_assets.domain.tile_list import (
    COLUMNS_PER_ZONE,
    ROWS,
    ZONES,
    Square,
    columns_of,
    square_of,
)
from geo_assets.domain.tile_list import tile_exists as _is_mgrs_tile

__all__ = [
    "TILE_EDGE_M",
    "TILE_RESOLUTIONS_M",
    "Area",
    "TileGrid",
    "neighbours",
    "spatial_order",
    "tile_crs",
    "tile_epsg",
    "tile_exists",
    "tile_footprint",
    "tile_geobox",
    "tiles_of",
]

TILE_EDGE_M = 109_800
"""Edge of every tile (Sentinel-2 Products Specification: 100 km squares, enlarged to 109.8 km)."""

TILE_RESOLUTIONS_M = (10, 12, 15, 20, 30, 60)
"""Pixel sizes of tiled products. They divide 60 m, the step of origins, so neighbours share a lattice."""

Area: TypeAlias = BaseGeometry | tuple[float, float, float, float]
"""Ground in EPSG:4326: (multi)polygon or (west, south, east, north); west > east crosses 180 degrees."""

TileGrid: TypeAlias = Literal["mgrs", "modis"]
"""Whose tiles: Sentinel-2's (MGRS squares, in UTM), or MODIS' `hXXvYY` (in the sinusoidal projection)."""

_Tile = TypeVar("_Tile")
_SQUARE_M = 100_000
_ORIGIN_STEP_M = 60
_FALSE_NORTHING_M = 10_000_000
_POINTS_PER_SIDE = 30
_WORLD = shapely.box(-180, -90, 180, 90)
_HILBERT_BITS = 9
_MODIS_HILBERT_BITS = 6


def tile_exists(tile: str) -> bool:
    """Whether ESA's Sentinel-2 list, or the MODIS grid, has a tile of that name."""
    return _is_mgrs_tile(tile) or is_modis_tile(tile)


def tile_crs(tile: str) -> str:
    """CRS of the tile's own pixels: `EPSG:32633`, or `SINUSOIDAL`.

    Raises
    ------
    RegionError
        There is no tile of that name.
    """
    return SINUSOIDAL if is_modis_tile(tile) else f"EPSG:{tile_epsg(tile)}"


def tile_epsg(tile: str) -> int:
    """EPSG code of the tile's UTM zone: 326xx north, 327xx south of the equator.

    Raises
    ------
    RegionError
        No Sentinel-2 tile has that name.
    """
    square = square_of(tile)
    return (32_700 if square.row < 0 else 32_600) + square.zone


def tile_geobox(tile: str, resolution: float) -> GeoBox:
    """Native grid of a whole tile.

    Parameters
    ----------
    tile : str
        Name in ESA's list, such as `33TVL`, or of the MODIS grid, such as `h18v04`.
    resolution : float
        Pixel size in metres, one of `TILE_RESOLUTIONS_M`; for a MODIS tile `MODIS_RESOLUTION`, which stands for its
        native pixels.

    Returns
    -------
    geobox : GeoBox
        Square of `TILE_EDGE_M`, north up, in the tile's own UTM CRS (`tile_epsg`); see `modis_geobox` for MODIS.

    Raises
    ------
    RegionError
        No such tile, or another resolution.

    Notes
    -----
    With the 100 km square's west edge E and *signed* north edge N, the upper left corner is
    ``floor(E / 60) * 60, ceil(N / 60) * 60``. The false northing is added afterwards; snapping the southern
    northing itself would move every southern tile by 10-40 m.
    """
    if is_modis_tile(tile):
        if resolution != MODIS_RESOLUTION:
            raise RegionError(
                f"Tile {tile}: found a resolution of {resolution!r} m, expected {MODIS_RESOLUTION}, which stands for "
                "the native pixels of the MODIS grid. Choose that, or ask for a bounding box instead of tiles."
            )
        return modis_geobox(tile)
    if resolution not in TILE_RESOLUTIONS_M:
        raise RegionError(
            f"Tile {tile}: found a resolution of {resolution!r} m, expected one of "
            f"{', '.join(map(str, TILE_RESOLUTIONS_M))}, so that neighbouring tiles share one pixel lattice. "
            "Choose one of these, or ask for a bounding box instead of tiles."
        )
    west, north = _origin(square_of(tile))
    epsg = tile_epsg(tile)
    false_northing = _FALSE_NORTHING_M if epsg > 32_700 else 0
    pixels = round(TILE_EDGE_M / resolution)
    transform = Affine(resolution, 0, west, 0, -resolution, north + false_northing)
    return GeoBox((pixels, pixels), transform, f"EPSG:{epsg}")


def tile_footprint(tile: str) -> Polygon | MultiPolygon:
    """Outline of a whole tile, EPSG:4326; two polygons within -180..180 if it crosses the antimeridian.

    Of a MODIS tile the part that lies on the globe.

    Raises
    ------
    RegionError
        There is no tile of that name.
    """
    return modis_footprint(tile) if is_modis_tile(tile) else _footprint(square_of(tile))


def tiles_of(area: Area, *, grid: TileGrid = "mgrs") -> tuple[str, ...]:
    """All tiles that hold a part of an area, in `spatial_order`.

    Not the fewest that would cover it: a small area where tiles overlap gets every tile that contains a part
    of it, since they need not see the same passes. Tiles that merely touch the area's edge are left out.

    Parameters
    ----------
    area : polygon, multipolygon, or (west, south, east, north)
        EPSG:4326, edges straight in longitude and latitude. A bounding box with west > east crosses the
        antimeridian; a polygon that crosses it comes in two parts, as in RFC 7946.
    grid
        Whose tiles.

    Returns
    -------
    tiles : tuple of str
        At least one.

    Raises
    ------
    RegionError
        The area is not valid ground within -180..180 and -90..90, or it lies wholly beyond the Sentinel-2 tiles,
        which end near 84 degrees.
    """
    ground = _ground(area)
    shapely.prepare(ground)
    if grid == "modis":
        near = modis_tiles_near(ground.bounds)
        return spatial_order(_holding_part(ground, near, [modis_footprint(tile) for tile in near]))
    west, south, east, north = ground.bounds
    found: list[Square] = []
    for row in _rows_near(south, north):
        squares = [square for square in _squares_of_row(row) if _is_near(square, west, east)]
        found.extend(_holding_part(ground, squares, [_footprint(square) for square in squares]))
    if not found:
        raise RegionError(
            f"Area {_bounds_text(ground.bounds)}: found no Sentinel-2 tile there, expected ground between "
            "about 84 S and 84 N. Move the area."
        )
    return tuple(square.tile for square in sorted(found, key=_place_on_curve))


def spatial_order(tiles: Iterable[str]) -> tuple[str, ...]:
    """The tiles, each once, ordered such that any run of them is a compact patch of ground.

    The order is that of a Hilbert curve over the whole grid (8 columns a zone), so it depends neither on the
    order given nor on which other tiles are given. Tiles of two grids do not mix: those of MODIS come last.

    Raises
    ------
    RegionError
        There is no tile of one of the names.
    """
    names = set(tiles)
    of_modis = {tile for tile in names if is_modis_tile(tile)}
    squares = sorted({square_of(tile) for tile in names - of_modis}, key=_place_on_curve)
    return (
        *(square.tile for square in squares),
        *sorted(of_modis, key=lambda tile: _hilbert(*modis_tile_at(tile), bits=_MODIS_HILBERT_BITS)),
    )


def neighbours(tiles: Iterable[str], *, margin_m: float = 0.0) -> dict[str, tuple[str, ...]]:
    """For each tile, those of the given tiles that touch or overlap it, itself included.

    MODIS tiles share no ground, so each has itself alone.

    Parameters
    ----------
    tiles : iterable of str
        Names in ESA's list, from any zones, or MODIS tiles.
    margin_m : float
        0 up to `TILE_EDGE_M`: tiles count as touching up to about this distance. Each square is grown by half
        of it in its own CRS, so the relation stays symmetric across zone edges.

    Returns
    -------
    neighbours : dict of tile to tiles
        Keys and values in `spatial_order`; symmetric, also across zone edges and the antimeridian.

    Raises
    ------
    RegionError
        There is no tile of one of the names, or the margin is outside its range.
    """
    if not 0 <= margin_m <= TILE_EDGE_M:
        raise RegionError(
            f"Neighbours: found a margin of {margin_m!r} m, expected 0 to {TILE_EDGE_M} m. "
            "Give the width over which neighbours are blended."
        )
    given = spatial_order(tiles)
    ordered = [tile for tile in given if not is_modis_tile(tile)]
    footprints = np.array([_footprint(square_of(tile), grown_m=margin_m / 2) for tile in ordered], dtype=object)
    pairs = shapely.STRtree(footprints).query(footprints, predicate="intersects")
    together: dict[str, list[str]] = {tile: [tile] if is_modis_tile(tile) else [] for tile in given}
    for tile, other in sorted(pairs.T.tolist()):
        together[ordered[tile]].append(ordered[other])
    return {tile: tuple(others) for tile, others in together.items()}


def _origin(square: Square) -> tuple[int, int]:
    """Upper left corner: easting and signed northing, metres."""
    west, north = square.column * _SQUARE_M, (square.row + 1) * _SQUARE_M
    return west // _ORIGIN_STEP_M * _ORIGIN_STEP_M, -(-north // _ORIGIN_STEP_M) * _ORIGIN_STEP_M


@lru_cache(maxsize=1)
def _zone_31_to_lonlat() -> Transformer:
    return Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True)


@lru_cache(maxsize=len(ROWS) * COLUMNS_PER_ZONE)
def _outline(column: int, row: int, grown_m: float) -> NDArray[np.float64]:
    """Closed ring, counterclockwise from the lower left: (point, (lon, lat)), degrees, as if in zone 31."""
    west, north = _origin(Square(31, column, row))
    edge = TILE_EDGE_M + 2 * grown_m
    ahead = np.arange(_POINTS_PER_SIDE) * edge / _POINTS_PER_SIDE
    back, near, far = edge - ahead, np.zeros_like(ahead), np.full_like(ahead, edge)
    right = np.concatenate([ahead, far, back, near, [0.0]]) + (west - grown_m)
    up = np.concatenate([near, ahead, far, back, [0.0]]) + (north - TILE_EDGE_M - grown_m)
    ring = np.column_stack(_zone_31_to_lonlat().transform(right, up))
    ring.flags.writeable = False
    return ring


def _footprint(square: Square, *, grown_m: float = 0.0) -> Polygon | MultiPolygon:
    """A square's outline, grown by some metres on every side, EPSG:4326, split at the antimeridian."""
    ring = _outline(square.column, square.row, grown_m) + np.array([_degrees_from_zone_31(square), 0.0])
    whole = shapely.Polygon(ring)
    west, _, east, _ = whole.bounds
    if west >= -180 and east <= 180:
        return whole
    beyond = 360.0 if west < -180 else -360.0
    return shapely.union(
        shapely.intersection(whole, _WORLD),
        shapely.intersection(shapely.affinity.translate(whole, beyond), _WORLD),
    )


def _degrees_from_zone_31(square: Square) -> float:
    return (square.zone - 31) * 6.0


def _squares_of_row(row: int) -> Iterator[Square]:
    for zone in ZONES:
        for column in columns_of(zone, row):
            yield Square(zone, column, row)


def _rows_near(south: float, north: float) -> range:
    """Rows whose squares may reach into a range of latitudes, degrees; a row too many does no harm."""
    # Along the meridian a degree of latitude is 110.5-111.1 km of northing; towards the edge of the widest
    # zone (33X) a parallel rises by less than 25 km; squares reach 9.8 km beyond their row in the south.
    lowest = min(south * 110_500, south * 111_100) - 25_000
    highest = max(north * 110_500, north * 111_100) + 35_000
    first, last = math.floor(lowest / _SQUARE_M), math.floor(highest / _SQUARE_M)
    return range(max(first, ROWS[0]), min(last, ROWS[-1]) + 1)


def _is_near(square: Square, west: float, east: float) -> bool:
    """Whether a square reaches into a range of longitudes within -180..180."""
    longitudes = _outline(square.column, square.row, 0.0)[:, 0] + _degrees_from_zone_31(square)
    left, right = longitudes.min(), longitudes.max()
    return any(left + turn <= east and right + turn >= west for turn in (-360, 0, 360))


def _holding_part(ground: BaseGeometry, tiles: Sequence[_Tile], footprints: Sequence[BaseGeometry]) -> list[_Tile]:
    """The tiles whose footprint shares more than an edge with the ground."""
    outlines = np.array(footprints, dtype=object)
    holds_part = shapely.intersects(ground, outlines)
    holds_part[holds_part] = ~shapely.touches(ground, outlines[holds_part])
    return [tile for tile, holds in zip(tiles, holds_part, strict=True) if holds]


def _place_on_curve(square: Square) -> int:
    """Distance along a Hilbert curve over (column of the whole grid, row)."""
    return _hilbert(
        (square.zone - ZONES[0]) * COLUMNS_PER_ZONE + square.column - 1, square.row - ROWS[0], bits=_HILBERT_BITS
    )


def _hilbert(x: int, y: int, *, bits: int) -> int:
    """Distance along a Hilbert curve that fills a square of 2 ** bits cells."""
    place = 0
    for bit in reversed(range(bits)):
        right, up = x >> bit & 1, y >> bit & 1
        place = place << 2 | (3 * right ^ up)
        if not up:  # turn the quadrant, so that its curve begins where the last one ended
            if right:
                x, y = ~x, ~y
            x, y = y, x
    return place


def _ground(area: Area) -> Polygon | MultiPolygon:
    """The area as a valid polygon in -180..180, -90..90; `RegionError` for anything else."""
    if isinstance(area, tuple):
        return _box(*area)
    if not isinstance(area, Polygon | MultiPolygon) or area.is_empty:
        raise RegionError(
            f"Area: found {area!r}, expected a polygon or multipolygon that is not empty, or a tuple "
            "(west, south, east, north). Buffer points and lines first."
        )
    west, south, east, north = area.bounds
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise RegionError(
            f"Area {_bounds_text(area.bounds)}: expected longitudes in -180..180 and latitudes in -90..90. "
            "Give EPSG:4326, longitude first, and split polygons at the antimeridian."
        )
    if not area.is_valid:
        raise RegionError(
            f"Area {_bounds_text(area.bounds)}: found an invalid polygon ({shapely.is_valid_reason(area)}). "
            "Repair its outline, with shapely.make_valid for instance."
        )
    return area


def _box(west: float, south: float, east: float, north: float) -> Polygon | MultiPolygon:
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    spans = [(left, right) for left, right in spans if left < right]
    if not (spans and -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        raise RegionError(
            f"Bounding box {_bounds_text((west, south, east, north))}: expected south < north in -90..90, "
            "and west and east different in -180..180, west > east only across the antimeridian. "
            "Give west, south, east, north in degrees."
        )
    parts = [shapely.box(left, south, right, north) for left, right in spans]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _bounds_text(bounds: tuple[float, float, float, float]) -> str:
    return "({:g}, {:g}, {:g}, {:g})".format(*bounds)
