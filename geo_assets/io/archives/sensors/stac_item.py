"""What the items of every sensor have in common, read from a stranger's JSON.

Whatever an item lacks or breaks raises `ItemError`; the archive records it as an exclusion and goes on.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.geojson import split_at_antimeridian
from geo_assets.domain.scene import OrbitState, SceneAsset
from geo_assets.kernels.angles import ground_incidence

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")
_FILE_LIMIT_BYTES = 1 << 40
_SCALE_SLACK = 1e-9
_HORIZON = 90.0
"""Degrees from the zenith; a view from beyond it is none."""


class ItemError(ValueError):
    """One item cannot be used; says why."""


def plain(text: object, limit: int) -> str:
    """A stranger's text as tables and messages can hold it: ASCII, printable, bounded."""
    return ascii(str(text)[:limit])[1:-1][:limit]


def id_of(item: Mapping[str, Any]) -> str:
    """Its id, a plain name: ids name files and partitions' inputs."""
    name = item.get("id")
    if not isinstance(name, str) or _ID.fullmatch(name) is None:
        raise ItemError(f"id {name!r:.80} is not a plain name (letters, digits, dot, dash, underscore)")
    return name


def properties_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its properties."""
    properties = item.get("properties")
    if not isinstance(properties, Mapping):
        raise ItemError("has no properties")
    return properties


def assets_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its assets, at least one; each may still be anything."""
    listed = item.get("assets")
    if not isinstance(listed, Mapping) or not listed:
        raise ItemError("has no assets")
    return listed


def collection_of(item: Mapping[str, Any]) -> str:
    """The collection that it names, or empty."""
    return plain(item.get("collection") or "", 100)


def acquired_of(properties: Mapping[str, Any]) -> datetime:
    """Sensing time, UTC: `datetime`, else the begin of its range."""
    text = properties.get("datetime") or properties.get("start_datetime")
    if not isinstance(text, str):
        raise ItemError("has no datetime")
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ItemError(f"datetime {text!r:.40} is not an ISO time") from None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ItemError(f"datetime {text!r:.40} lies beyond the calendar") from None


def footprint_of(item: Mapping[str, Any]) -> BaseGeometry:
    """Where it has data, EPSG:4326, split at the antimeridian."""
    if not isinstance(item.get("geometry"), Mapping):
        raise ItemError("has no geometry")
    try:
        with np.errstate(all="ignore"):  # of coordinates that are no numbers, which are refused below
            drawn = shape(item["geometry"])
        in_degrees = all(math.isfinite(bound) and abs(bound) <= 360 for bound in drawn.bounds)
        geometry = split_at_antimeridian(drawn) if in_degrees else drawn
    except Exception as error:
        raise ItemError(f"geometry is not GeoJSON ({type(error).__name__})") from None
    if drawn.is_empty or geometry.area == 0:
        raise ItemError("geometry is empty")
    if not in_degrees:
        raise ItemError("geometry has no coordinates in degrees")
    return geometry


def platform_name(text: str) -> str:
    """The satellite's name as we write it: `s2a` for `Sentinel-2A`, `landsat-8` for `LANDSAT_8`."""
    return plain(text.lower().replace("_", "-").replace("sentinel-", "s"), 20)


def cloud_cover_of(properties: Mapping[str, Any]) -> float | None:
    """Stated cloud cover, per cent."""
    return _number_in(properties.get("eo:cloud_cover"), 0, 100)


def sun_zenith_of(properties: Mapping[str, Any]) -> float | None:
    """Mean angle of the sun from the zenith, degrees."""
    zenith = _number_in(properties.get("s2:mean_solar_zenith"), 0, 180)
    elevation = _number_in(properties.get("view:sun_elevation"), -90, 90)
    if zenith is not None or elevation is None:
        return zenith
    return 90.0 - elevation


def view_zenith_of(properties: Mapping[str, Any]) -> float | None:
    """Mean angle of the view from the zenith on the ground, degrees.

    `view:incidence_angle` is that angle; `view:off_nadir` is the one at the satellite, a little smaller on a round
    earth.
    """
    incidence = _number_in(properties.get("view:incidence_angle"), 0, 90)
    off_nadir = _number_in(properties.get("view:off_nadir"), 0, 90)
    if incidence is not None or off_nadir is None:
        return incidence
    zenith = float(ground_incidence(off_nadir))
    return zenith if zenith <= _HORIZON else None


def sun_azimuth_of(properties: Mapping[str, Any]) -> float | None:
    """Mean direction from the ground to the sun, degrees clockwise from north, 0 to 360."""
    azimuth = _azimuth(properties.get("s2:mean_solar_azimuth"))
    return _azimuth(properties.get("view:sun_azimuth")) if azimuth is None else azimuth


def view_azimuth_of(properties: Mapping[str, Any]) -> float | None:
    """Mean direction from the ground to the sensor, degrees clockwise from north, 0 to 360.

    The catalogues copy what ESA's and HLS's metadata call the azimuth of the view, which is that direction.
    """
    return _azimuth(properties.get("view:azimuth"))


def orbit_state_of(properties: Mapping[str, Any]) -> OrbitState | None:
    """Which way the satellite flew, if stated."""
    stated = properties.get("sat:orbit_state")
    return stated if stated in ("ascending", "descending") else None


def digest_of(item: Mapping[str, Any]) -> str:
    """Sha256 of the item in canonical JSON."""
    return hashlib.sha256(json.dumps(item, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def asset_of(key: str, asset: Mapping[str, Any], *, band_index: int = 1, nodata: int | None = None) -> SceneAsset:
    """The file of a STAC asset, with its `alternate.https` address where it has one."""
    href = asset.get("href")
    if not isinstance(href, str) or not href:
        raise ItemError(f"asset {key} has no href")
    size = asset.get("file:size")
    if size is not None and not (type(size) is int and 0 < size < _FILE_LIMIT_BYTES):
        raise ItemError(f"asset {key} states a file size of {size!r:.30}")
    checksum = asset.get("file:checksum")
    return SceneAsset(href, band_index, size, plain(checksum, 200) if checksum else None, nodata, _alternate(asset))


def angle_asset(key: str, listed: Mapping[str, Any], *, nodata: int | None = None) -> SceneAsset | None:
    """The file of an asset that tells angles; None where there is none or it makes no sense, for it is no band."""
    asset = listed.get(key)
    try:
        return asset_of(key, asset, nodata=nodata) if isinstance(asset, Mapping) else None
    except ItemError:
        return None


def stated_offset_dn(key: str, asset: Mapping[str, Any], band_index: int, *, scale: float) -> int | None:
    """The offset of one band of an asset in counts, None where it states none.

    Raises
    ------
    ItemError
        It states another scale than `scale`, or an offset beyond 1 reflectance.
    """
    bands = asset.get("raster:bands")
    own = bands[band_index - 1] if isinstance(bands, list) and len(bands) >= band_index else None
    if isinstance(own, Mapping):
        stated, offset = own.get("scale", scale), own.get("offset")
    else:  # STAC 1.1
        stated, offset = asset.get("raster:scale", scale), asset.get("raster:offset")
    if not isinstance(stated, (int, float)) or not abs(stated - scale) <= _SCALE_SLACK:
        raise ItemError(f"asset {key} has scale {stated!r:.20}, expected {scale:g}")
    if offset is None:
        return None
    if not isinstance(offset, (int, float)) or not abs(offset) <= 1:
        raise ItemError(f"asset {key} has offset {offset!r:.20}, expected 0 or -0.1")
    return round(offset / scale)


def _alternate(asset: Mapping[str, Any]) -> str | None:
    """The address that `alternate.https` names (STAC alternate assets extension)."""
    others = asset.get("alternate")
    https = others.get("https") if isinstance(others, Mapping) else None
    href = https.get("href") if isinstance(https, Mapping) else None
    return href if isinstance(href, str) and href else None


def _azimuth(value: object) -> float | None:
    stated = _number_in(value, -180, 360)
    return None if stated is None else stated % 360


def _number_in(value: object, least: float, most: float) -> float | None:
    """The value as a float if it is a number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if least <= value <= most else None
