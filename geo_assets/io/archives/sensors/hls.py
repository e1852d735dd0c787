"""HLS items: Landsat (L30) and Sentinel-2 (S30) made alike by NASA, one pool.

The id says sensor, tile, time and version, and is the same in every catalogue. What an asset key means depends on the
sensor: `B05` is near infrared on L30 and red edge on S30.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from geo_assets.domain.bands import QUANTIFICATION
from geo_assets.domain.scene import ANGLE_LAYERS, SceneAsset, SceneItem
from geo_assets.io.archives.sensors.stac_item import (
    ItemError,
    acquired_of,
    angle_asset,
    asset_of,
    assets_of,
    cloud_cover_of,
    collection_of,
    digest_of,
    footprint_of,
    id_of,
    orbit_state_of,
    plain,
    platform_name,
    properties_of,
    stated_offset_dn,
    sun_azimuth_of,
    sun_zenith_of,
    view_azimuth_of,
    view_zenith_of,
)

NODATA_DN = -9999
FMASK_NODATA = 255
ANGLE_NODATA = 40_000
"""HLS v2 user guide, tables of layers."""

BAND_KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "L30": {
        "coastal": ("B01", "coastal_aerosol"),
        "blue": ("B02", "blue"),
        "green": ("B03", "green"),
        "red": ("B04", "red"),
        "nir": ("B05", "nir_narrow"),
        "nir08": ("B05", "nir_narrow"),
        "cirrus": ("B09", "cirrus"),
        "swir16": ("B06", "swir_1"),
        "swir22": ("B07", "swir_2"),
    },
    "S30": {
        "coastal": ("B01", "coastal_aerosol"),
        "blue": ("B02", "blue"),
        "green": ("B03", "green"),
        "red": ("B04", "red"),
        "rededge1": ("B05", "red_edge_1"),
        "rededge2": ("B06", "red_edge_2"),
        "rededge3": ("B07", "red_edge_3"),
        "nir": ("B8A", "nir_narrow"),
        "nir08": ("B8A", "nir_narrow"),
        "nir09": ("B09", "water_vapor"),
        "cirrus": ("B10", "cirrus"),
        "swir16": ("B11", "swir_1"),
        "swir22": ("B12", "swir_2"),
    },
}
"""Sensor -> stable band -> asset keys (Planetary Computer and LP DAAC first, stactools after them).

`nir` is the narrow band of both sensors, which see alike; S30's broad B08 has no counterpart on L30.
"""

_NAME = re.compile(r"HLS\.(L30|S30)\.T(\d{2}[C-X][A-HJ-NP-Z]{2})\.(\d{7}T\d{6})\.v(\d{1,2})\.(\d{1,2})", re.ASCII)
_SCALE = 1 / QUANTIFICATION


def is_hls(item: Mapping[str, Any]) -> bool:
    """True if the item's id or collection says HLS."""
    return str(item.get("id")).upper().startswith("HLS.") or collection_of(item).lower().startswith("hls")


def hls_item(item: Mapping[str, Any]) -> SceneItem:
    """The scene item that a STAC item of HLS describes.

    Raises
    ------
    ItemError
        Anything needed is missing, malformed or not understood.
    """
    name, properties = id_of(item), properties_of(item)
    match = _NAME.fullmatch(name)
    if match is None:
        raise ItemError(f"id {name:.80} is not an HLS name, such as HLS.S30.T56PPQ.2024005T001421.v2.0")
    sensor, tile, sensed, major, minor = match.groups()
    stated = collection_of(item).lower()
    if any(other in stated for other in ("l30", "s30") if other != sensor.lower()):
        raise ItemError(f"is of {sensor} by its id and of collection {stated:.40}")
    return SceneItem(
        id=name,
        level="HLS",
        acquired=acquired_of(properties),
        datatake=f"{_moment(sensed):%Y%m%dT%H%M%S}",
        platform=platform_name(str(properties.get("platform") or f"hls-{sensor}")),
        relative_orbit=None,
        tile=tile,
        datastrip="",
        baseline=f"{int(major):02d}.{int(minor):02d}",
        generated=plain(properties.get("created") or properties.get("updated") or "", 40),
        offset_dn=0,
        footprint=footprint_of(item),
        cloud_cover=cloud_cover_of(properties),
        digest=digest_of(item),
        assets=_assets(item, sensor),
        collection=collection_of(item),
        quality="hls_fmask",
        sun_zenith=sun_zenith_of(properties),
        view_zenith=view_zenith_of(properties),
        orbit_state=orbit_state_of(properties),
        sun_azimuth=sun_azimuth_of(properties),
        view_azimuth=view_azimuth_of(properties),
    )


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%jT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise ItemError(f"id names {text}, which is no day of a year and time") from None


def _assets(item: Mapping[str, Any], sensor: str) -> dict[str, SceneAsset]:
    listed = assets_of(item)
    found = {}
    for band, keys in BAND_KEYS[sensor].items():
        for key in keys:
            if isinstance(listed.get(key), Mapping):
                if stated_offset_dn(key, listed[key], 1, scale=_SCALE):
                    raise ItemError(f"asset {key} states an offset, and HLS has none")
                found[band] = asset_of(key, listed[key], nodata=NODATA_DN)
                break
    if not found:
        raise ItemError(f"has no asset that is a band of {sensor} (found {', '.join(sorted(listed))[:120]})")
    fmask = next((key for key in ("Fmask", "fmask") if isinstance(listed.get(key), Mapping)), None)
    if fmask is None:
        raise ItemError("has no Fmask, which says which pixels are clear")
    return found | {"fmask": asset_of(fmask, listed[fmask], nodata=FMASK_NODATA)} | _angle_layers(listed)


def _angle_layers(listed: Mapping[str, Any]) -> dict[str, SceneAsset]:
    """Those of the four that there are."""
    read = (
        (name, angle_asset(key, listed, nodata=ANGLE_NODATA)) for name in ANGLE_LAYERS for key in (name.upper(), name)
    )
    return {name: asset for name, asset in read if asset is not None}
