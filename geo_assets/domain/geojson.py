"""GeoJSON areas: one checked geometry out of the polygons of a document."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

_WGS84 = ("CRS84", "EPSG::4326", "EPSG:4326")
"""How the CRS that GeoJSON always has is spelled by programs that still write one."""


def geojson_area(document: Mapping[str, Any]) -> BaseGeometry:
    """The union of all polygons of a GeoJSON object.

    Parameters
    ----------
    document
        A Polygon, MultiPolygon, Feature or FeatureCollection, parsed; longitude first, EPSG:4326.

    Returns
    -------
    area
        A valid Polygon or MultiPolygon within -180..180, -90..90; heights are left out.

    Raises
    ------
    ValueError
        Says what is wrong with which part, and what to do.
    """
    _expect_wgs84(document)
    polygons = [_polygon(geometry, where) for geometry, where in _geometries(document, "")]
    if not polygons:
        raise ValueError("holds no feature; give a Polygon or MultiPolygon with an area")
    return shapely.union_all(polygons)


def _geometries(document: Any, where: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Every geometry object, and where it stands."""
    kind = document.get("type") if isinstance(document, Mapping) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        for number, feature in enumerate(document["features"], start=1):
            if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
                raise ValueError(f"is a FeatureCollection whose feature {number} is none; repair or remove it")
            yield from _geometries(feature, f"feature {number} ")
    elif kind == "Feature":
        if not isinstance(document.get("geometry"), Mapping):
            raise ValueError(f"{where}is a Feature without geometry; draw its polygon, or remove it")
        yield document["geometry"], where
    else:
        yield document, where


def _polygon(document: Mapping[str, Any], where: str) -> BaseGeometry:
    kind = document.get("type")
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(
            f"{where}is {f'a {kind!s:.40}' if kind else 'not GeoJSON, having no type'}; "
            "give a Polygon or MultiPolygon (buffer points and lines first)"
        )
    try:
        geometry = shapely.force_2d(shape(document))
    except Exception as error:
        raise ValueError(f"{where}is not a GeoJSON {kind} ({type(error).__name__} in its coordinates)") from error
    if geometry.is_empty:
        raise ValueError(f"{where}is an empty {kind}; give one with an area")
    west, south, east, north = geometry.bounds
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise ValueError(
            f"{where}lies outside -180..180, -90..90 (bounds {west:g} {south:g} {east:g} {north:g}); "
            "give degrees, longitude first, and split polygons at the antimeridian"
        )
    if not geometry.is_valid:
        raise ValueError(f"{where}is not valid: {shapely.is_valid_reason(geometry)}; repair the polygon")
    return geometry


def _expect_wgs84(document: Mapping[str, Any]) -> None:
    """Refuse the `crs` member of older GeoJSON unless it names what GeoJSON has anyway."""
    crs = document.get("crs")
    if crs is None:
        return
    properties = crs.get("properties") if isinstance(crs, Mapping) else None
    name = str(properties.get("name") if isinstance(properties, Mapping) else crs)
    if not name.endswith(_WGS84):
        raise ValueError(f"is in CRS {name:.80}; transform it to EPSG:4326, longitude first")


def split_at_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """The same ground with longitudes in -180..180, cut where it crosses the antimeridian.

    Parameters
    ----------
    geometry
        Polygons in EPSG:4326, none of them wider than half the globe. Catalogues draw those that cross it in three
        ways: split already, with longitudes beyond +-180, or with an edge that jumps from one side to the other.

    Returns
    -------
    geometry
        Valid; the same ground where nothing crosses.
    """
    polygons = [_valid(shapely.transform(polygon, _unwrapped)) for polygon in shapely.get_parts(geometry)]
    joined = shapely.union_all(polygons)
    west, _, east, _ = joined.bounds
    if west >= -180 and east <= 180:
        return joined
    world = shapely.box(-180, -90, 180, 90)
    turned = [affinity.translate(joined, turn).intersection(world) for turn in (-360.0, 0.0, 360.0)]
    return shapely.union_all([part for part in turned if part.area > 0])


def _valid(polygon: BaseGeometry) -> BaseGeometry:
    return polygon if polygon.is_valid else polygon.buffer(0)


def _unwrapped(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes without jumps: an edge longer than half the globe went the other way round."""
    if len(corners) < 2 or np.abs(np.diff(corners[:, 0])).max() <= 180:
        return corners
    return np.column_stack([np.where(corners[:, 0] < 0, corners[:, 0] + 360, corners[:, 0]), corners[:, 1]])
