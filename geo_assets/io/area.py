"""Which pixels of a grid lie inside an area."""

import threading

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.features import geometry_mask
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.arrays import Flag
from geo_assets.domain.modis_grid import SINUSOIDAL

_METRES_PER_DEGREE = 111_000.0
_DENSIFIED_DEGREES = 0.01

_one_at_a_time = threading.Lock()
"""rasterio changes the process-wide filters of warnings while it burns: two threads would undo each other's."""


def projected_area(area: BaseGeometry, footprint: BaseGeometry, crs: str, *, margin_m: float) -> BaseGeometry:
    """The part of an area that lies on a footprint or within a margin of it, in a projected CRS.

    Parameters
    ----------
    area, footprint
        EPSG:4326, longitudes -180..180, split at the antimeridian.
    crs
        Projected CRS of the result, such as `EPSG:32633` or `SINUSOIDAL`; its unit is the metre.
    margin_m
        Ground beyond the footprint that is kept, metres.

    Returns
    -------
    geometry
        Densified before it was projected; empty when the area does not come near.

    Notes
    -----
    Only ground near the footprint is projected, since UTM coordinates of far ground are meaningless; an area on the
    other side of the antimeridian is near, so it is tried a turn to the west and to the east as well. Not so in the
    sinusoidal projection of MODIS, which ends there.
    """
    latitude = max(abs(footprint.bounds[1]), abs(footprint.bounds[3]))
    margin = (margin_m + 1_000) / _METRES_PER_DEGREE / max(np.cos(np.radians(latitude)), 0.05)
    near = footprint.buffer(margin)
    turns = (0.0,) if crs == SINUSOIDAL else (-360.0, 0.0, 360.0)
    pieces = [affinity.translate(area, turn).intersection(near) for turn in turns]
    projected = [
        Geometry(shapely.segmentize(piece, _DENSIFIED_DEGREES), "EPSG:4326").to_crs(crs).geom
        for piece in pieces
        if piece.area > 0
    ]
    return shapely.union_all(projected)


def inside_area(area: BaseGeometry, geobox: GeoBox) -> Flag:
    """True where a pixel's centre lies inside the area.

    Parameters
    ----------
    area
        In the geobox' CRS.
    geobox
        Grid of (height, width) pixels.

    Returns
    -------
    inside : (height, width) bool
    """
    height, width = geobox.shape
    grid_box = shapely.box(*geobox.boundingbox.bbox)
    if area.is_empty or not area.intersects(grid_box):
        return np.zeros((height, width), bool)
    if area.contains(grid_box):
        return np.ones((height, width), bool)
    with _one_at_a_time:
        inside: Flag = geometry_mask([area], (height, width), geobox.transform, invert=True)
    return inside
