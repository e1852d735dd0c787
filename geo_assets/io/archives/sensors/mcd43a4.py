"""MCD43A4 items: MODIS reflectance as seen from straight above, one a day, each made from 16 days."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shapely.geometry.base import BaseGeometry

from geo_assets.domain.bands import QUANTIFICATION
from geo_assets.domain.errors import RegionError
from geo_assets.domain.scene import SceneAsset, SceneItem
from geo_assets.domain.tile_grid import tile_footprint
from geo_assets.io.archives.sensors.stac_item import (
    ItemError,
    acquired_of,
    asset_of,
    assets_of,
    cloud_cover_of,
    collection_of,
    digest_of,
    id_of,
    plain,
    properties_of,
    stated_offset_dn,
)

NODATA_DN = 32_767
QUALITY_NODATA = 255
"""MCD43A4 v061 user guide."""

MODIS_BANDS: dict[str, int] = {"blue": 3, "green": 4, "red": 1, "nir": 2, "swir16": 6, "swir22": 7}
"""Stable band -> MODIS band. Band 5 (1240 nm) has no stable name; catalogues call it `lwir12`, wrongly."""

_NAME = re.compile(r"MCD43A4\.A(\d{7})\.h(\d{2})v(\d{2})\.(\d{3})(?:\.(\d{13}))?", re.ASCII)
_PRODUCTION = re.compile(r"MCD43A4\.A\d{7}\.h\d{2}v\d{2}\.\d{3}\.(\d{13})", re.ASCII)
_SCALE = 1 / QUANTIFICATION


def is_mcd43a4(item: Mapping[str, Any]) -> bool:
    """True if the item's id says MCD43A4."""
    return str(item.get("id")).startswith("MCD43A4.")


def mcd43a4_item(item: Mapping[str, Any]) -> SceneItem:
    """The scene item that a STAC item of MCD43A4 describes; acquired on the day in the middle of its 16.

    Raises
    ------
    ItemError
        Anything needed is missing, malformed or not understood.
    """
    name, properties = id_of(item), properties_of(item)
    match = _NAME.fullmatch(name)
    if match is None:
        raise ItemError(f"id {name:.80} is not an MCD43A4 name, such as MCD43A4.A2022032.h14v10.061.2022041051831")
    day_of_year, column, row, _, production = match.groups()
    day = _day(day_of_year)
    if properties.get("datetime") is not None and abs(acquired_of(properties) - day) > timedelta(days=1):
        raise ItemError(f"is of {day:%Y-%m-%d} by its id, and of {properties['datetime']!s:.40} by its datetime")
    assets = _assets(item)
    return SceneItem(
        id=name,
        level="NBAR",
        acquired=day,
        datatake=f"{day:%Y%m%dT%H%M%S}",
        platform="terra+aqua",
        relative_orbit=None,
        tile=f"h{column}v{row}",
        datastrip="",
        baseline="",
        generated=production or _produced(assets) or plain(properties.get("created") or "", 40),
        offset_dn=0,
        footprint=_footprint(f"h{column}v{row}"),
        cloud_cover=cloud_cover_of(properties),
        digest=digest_of(item),
        assets=assets,
        collection=collection_of(item),
        quality="mcd43a4",
    )


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%j").replace(tzinfo=UTC)
    except ValueError:
        raise ItemError(f"id names {text}, which is no day of a year") from None


def _footprint(tile: str) -> BaseGeometry:
    """The whole tile: the outlines of data that catalogues draw are simplified, and leave out coasts and islands."""
    try:
        return tile_footprint(tile)
    except RegionError:
        raise ItemError(f"id names the tile {tile}, which there is not") from None


def _assets(item: Mapping[str, Any]) -> dict[str, SceneAsset]:
    listed = assets_of(item)
    found = {}
    for band, number in MODIS_BANDS.items():
        key, quality = f"Nadir_Reflectance_Band{number}", f"BRDF_Albedo_Band_Mandatory_Quality_Band{number}"
        if not isinstance(listed.get(key), Mapping):
            continue
        if stated_offset_dn(key, listed[key], 1, scale=_SCALE):
            raise ItemError(f"asset {key} states an offset, and MCD43A4 has none")
        if not isinstance(listed.get(quality), Mapping):
            raise ItemError(f"has {key} without {quality}, which says which pixels are sound")
        found[band] = asset_of(key, listed[key], nodata=NODATA_DN)
        found[f"qa_{band}"] = asset_of(quality, listed[quality], nodata=QUALITY_NODATA)
    if not found:
        raise ItemError(f"has no asset that is a MODIS band (found {', '.join(sorted(listed))[:120]})")
    return found


def _produced(assets: Mapping[str, SceneAsset]) -> str:
    """The production time in the files' names: newer is better."""
    named = _PRODUCTION.search(min(asset.href for asset in assets.values()))
    return named[1] if named else ""
