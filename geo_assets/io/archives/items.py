"""STAC items of the Sentinel-2 catalogues, read as scene items.

Names differ between catalogues: a band's asset is called `blue` (Earth Search), `B02` (Planetary Computer, L1C) or
`B02_10m` (CDSE), or is one band of a file that lists `eo:bands`. Whatever an item lacks or breaks raises
`ItemError`; the adapter records it as an exclusion and goes on.
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

from geo_assets.domain.bands import OFFSET_SINCE_BASELINE_4, QUANTIFICATION, SENTINEL2_BANDS, Level
from geo_assets.domain.geojson import split_at_antimeridian
from geo_assets.domain.scene import SceneAsset, SceneItem

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")
_TILE = re.compile(r"[0-9]{1,2}[C-X][A-HJ-NP-Z]{2}")
_TILE_IN_NAME = re.compile(r"(?:^|_)T?([0-9]{2}[C-X][A-HJ-NP-Z]{2})(?:_|$)")
_PRODUCT = re.compile(r"(S2[A-D])_MSI(L1C|L2A)_(\d{8}T\d{6})_N(\d{2})(\d{2})_R(\d{3})_T(\w{5})_(\d{8}T\d{6})", re.ASCII)
_BASELINE = re.compile(r"N?(\d{1,2})\.?(\d{2})")
_LEVELS: tuple[Level, ...] = ("L1C", "L2A")
_DATATAKE = re.compile(r"GS2[A-D]_(\d{8}T\d{6})_", re.ASCII)
_SENTINEL2 = re.compile(r"(sentinel[-_ ]?2|s2)[a-d]?", re.IGNORECASE)
_HLS = re.compile(r"hls(?![a-z])|hls[ls]30", re.IGNORECASE)
_HIGHEST_ORBIT = 143
_BASELINE_4_SINCE = datetime(2022, 1, 25, tzinfo=UTC)
"""From this day on ESA's processors add an offset to the counts (Sentinel-2 Products Specification, baseline 04.00)."""
_FILE_LIMIT_BYTES = 1 << 40
_SCALE = 1 / QUANTIFICATION
_CLASSES = ("scl", "fmask")


class ItemError(ValueError):
    """One item cannot be used; says why."""


def scene_item(item: Mapping[str, Any]) -> SceneItem:
    """The scene item that a STAC item describes.

    Parameters
    ----------
    item
        A STAC Item as parsed JSON, from a stranger.

    Raises
    ------
    ItemError
        Anything needed is missing, malformed or not understood.
    """
    name = item.get("id")
    if not isinstance(name, str) or _ID.fullmatch(name) is None:
        raise ItemError(f"id {name!r:.80} is not a plain name (letters, digits, dot, dash, underscore)")
    properties = item.get("properties")
    if not isinstance(properties, Mapping):
        raise ItemError("has no properties")
    _expect_sentinel2(item, properties)
    product = _PRODUCT.match(str(properties.get("s2:product_uri", ""))) or _PRODUCT.match(name)
    acquired = _acquired(properties)
    level = _level(item, properties, product)
    baseline = _baseline(properties, product)
    sources = _sources(item)
    assets = {band: _asset(key, item["assets"][key], band_index) for band, (key, band_index) in sources.items()}
    return SceneItem(
        id=name,
        level=level,
        acquired=acquired,
        datatake=_datatake(properties, product, acquired),
        platform=str(properties.get("platform", product[1] if product else "")).lower().replace("sentinel-", "s")[:20],
        relative_orbit=_relative_orbit(properties, product),
        tile=_tile(name, properties, product),
        datastrip=str(properties.get("s2:datastrip_id", properties.get("eopf:datastrip_id", "")))[:200],
        baseline=baseline,
        generated=str(properties.get("s2:generation_time", product[8] if product else properties.get("updated", "")))[
            :40
        ],
        offset_dn=_offset_dn(item, sources, baseline, level, acquired),
        footprint=_footprint(item),
        cloud_cover=_cloud_cover(properties),
        digest=hashlib.sha256(json.dumps(item, sort_keys=True, separators=(",", ":")).encode()).hexdigest(),
        assets=assets,
    )


def _expect_sentinel2(item: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Refuse other sensors, and products whose bands only look like ESA's."""
    platform, collection = properties.get("platform"), str(item.get("collection") or "")
    if _HLS.match(str(item["id"])) or _HLS.match(collection):
        raise ItemError("is harmonised (HLS): its bands and counts are not those of ESA's L1C and L2A")
    if platform is not None and _SENTINEL2.fullmatch(str(platform)) is None:
        raise ItemError(f"is of platform {platform!r:.40}, expected Sentinel-2")


def _acquired(properties: Mapping[str, Any]) -> datetime:
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


def _footprint(item: Mapping[str, Any]) -> BaseGeometry:
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


def _level(item: Mapping[str, Any], properties: Mapping[str, Any], product: re.Match[str] | None) -> Level:
    texts = (
        product[2] if product else "",
        str(properties.get("s2:product_type", "")),
        str(properties.get("processing:level", "")),
        str(item.get("collection", "")),
    )
    for text in texts:
        # With its L, for 2A is a satellite as well.
        found = {
            level
            for level in _LEVELS
            if re.search(rf"\b(L|S2MSI|LEVEL-?){level[1:]}\b", text.upper().replace("_", "-"))
        }
        if len(found) == 1:
            return found.pop()
    assets = item.get("assets")
    names = {key.lower().split("_")[0] for key in assets} if isinstance(assets, Mapping) else set()
    if "scl" in names:
        return "L2A"
    if names & {"b10", "cirrus"}:
        return "L1C"
    raise ItemError("does not say whether it is L1C or L2A (s2:product_type, collection, an SCL asset or B10)")


def _baseline(properties: Mapping[str, Any], product: re.Match[str] | None) -> str:
    """`NN.NN`, or empty where nothing says; what is stated and not understood is refused, for it decides the offset."""
    stated = properties.get("s2:processing_baseline")
    match = _BASELINE.fullmatch(stated if isinstance(stated, str) else "")
    if stated and match is None:
        raise ItemError(f"s2:processing_baseline is {stated!r:.20}, expected text such as '05.10'")
    match = match or re.fullmatch(r"0?(\d{1,2})\.(\d{2})", str(properties.get("processing:version", "")))
    if match:
        return f"{int(match[1]):02d}.{match[2]}"
    return f"{product[4]}.{product[5]}" if product else ""


def _datatake(properties: Mapping[str, Any], product: re.Match[str] | None, acquired: datetime) -> str:
    for key in ("s2:datatake_id", "eopf:datatake_id"):
        match = _DATATAKE.match(str(properties.get(key, "")))
        if match:
            return match[1]
    return product[3] if product else f"{acquired:%Y%m%dT%H%M%S}"


def _relative_orbit(properties: Mapping[str, Any], product: re.Match[str] | None) -> int | None:
    orbit = properties.get("sat:relative_orbit", product[6] if product else None)
    if orbit is None:
        return None
    if not str(orbit).isdecimal() or not 1 <= int(str(orbit)[:9]) <= _HIGHEST_ORBIT:
        raise ItemError(f"sat:relative_orbit is {orbit!r:.20}, expected 1 to {_HIGHEST_ORBIT}")
    return int(orbit)


def _tile(name: str, properties: Mapping[str, Any], product: re.Match[str] | None) -> str | None:
    candidates = [
        str(properties.get("grid:code", "")).removeprefix("MGRS-"),
        str(properties.get("s2:mgrs_tile", "")),
    ]
    if "mgrs:utm_zone" in properties:
        candidates.append(
            f"{properties['mgrs:utm_zone']}{properties.get('mgrs:latitude_band')}{properties.get('mgrs:grid_square')}"
        )
    candidates.append(product[7] if product else "")
    named = _TILE_IN_NAME.search(name)
    candidates.append(named[1] if named else "")
    for text in candidates:
        tile = text.removeprefix("T")
        if _TILE.fullmatch(tile):
            return tile.zfill(5)
    return None


def _cloud_cover(properties: Mapping[str, Any]) -> float | None:
    value = properties.get("eo:cloud_cover")
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 100 else None


def _sources(item: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Stable name -> key of the asset that holds it, and the 1-based band of its file."""
    listed = item.get("assets")
    if not isinstance(listed, Mapping) or not listed:
        raise ItemError("has no assets")
    found: dict[str, tuple[str, int]] = {}
    for name in (*SENTINEL2_BANDS, "scl", "fmask"):
        for key in _keys_of(name):
            if isinstance(listed.get(key), Mapping):
                found[name] = (key, 1)
                break
    for key, asset in sorted(listed.items()):
        if isinstance(asset, Mapping) and isinstance(asset.get("eo:bands"), list) and len(asset["eo:bands"]) > 1:
            roles = asset.get("roles")
            if (isinstance(roles, list) and "visual" in roles) or key.lower() in ("visual", "thumbnail", "tci"):
                continue
            for index, band in enumerate(asset["eo:bands"], start=1):
                stable = _stable_name(str(band.get("name", ""))) if isinstance(band, Mapping) else None
                if stable is not None and stable not in found:
                    found[stable] = (key, index)
    if not found:
        raise ItemError(f"has no asset that is a Sentinel-2 band (found {', '.join(sorted(listed))[:120]})")
    return found


def _keys_of(name: str) -> tuple[str, ...]:
    """Asset keys that mean `name`, the finest resolution first."""
    if name in SENTINEL2_BANDS:
        band = SENTINEL2_BANDS[name]
        return (
            name,
            band.number,
            band.number.lower(),
            *(f"{band.number}_{metres}m" for metres in (10, 20, 60)),
        )
    upper = name.upper()
    return (name, upper, *(f"{upper}_{metres}m" for metres in (20, 60))) if name == "scl" else (name, "Fmask", upper)


def _stable_name(text: str) -> str | None:
    return next((name for name, band in SENTINEL2_BANDS.items() if text in (name, band.number)), None)


def _asset(key: str, asset: Mapping[str, Any], band_index: int) -> SceneAsset:
    href = asset.get("href")
    if not isinstance(href, str) or not href:
        raise ItemError(f"asset {key} has no href")
    size = asset.get("file:size")
    if size is not None and not (isinstance(size, int) and 0 < size < _FILE_LIMIT_BYTES):
        raise ItemError(f"asset {key} states a file size of {size!r:.30}")
    checksum = asset.get("file:checksum")
    return SceneAsset(href, band_index, size, str(checksum) if checksum else None)


def _offset_dn(
    item: Mapping[str, Any], sources: Mapping[str, tuple[str, int]], baseline: str, level: Level, acquired: datetime
) -> int:
    """The offset that the metadata asserts, one for the whole item."""
    by_band = [
        _stated_offset_dn(key, item["assets"][key], band_index)
        for name, (key, band_index) in sources.items()
        if name not in _CLASSES
    ]
    stated = {offset for offset in by_band if offset is not None}
    of_baseline = OFFSET_SINCE_BASELINE_4 if baseline >= "04.00" else 0
    if len(stated) > 1:
        raise ItemError(f"bands state different offsets ({', '.join(map(str, sorted(stated)))} counts)")
    if level == "L2A" and item["properties"].get("earthsearch:boa_offset_applied") is True:
        return 0
    if stated and None in by_band and stated != {of_baseline}:
        raise ItemError(
            f"only some bands state an offset ({stated.pop()} counts), and baseline {baseline} says another"
        )
    if stated:
        return stated.pop()
    if not baseline and acquired >= _BASELINE_4_SINCE:
        raise ItemError("states neither offset nor processing baseline, and may have either since January 2022")
    return of_baseline


def _stated_offset_dn(key: str, asset: Mapping[str, Any], band_index: int) -> int | None:
    """The offset of one band of an asset in counts, None where it states none."""
    bands = asset.get("raster:bands")
    own = bands[band_index - 1] if isinstance(bands, list) and len(bands) >= band_index else None
    if isinstance(own, Mapping):
        scale, offset = own.get("scale", _SCALE), own.get("offset")
    else:  # STAC 1.1
        scale, offset = asset.get("raster:scale", _SCALE), asset.get("raster:offset")
    if not isinstance(scale, (int, float)) or not abs(scale - _SCALE) <= 1e-9:
        raise ItemError(f"asset {key} has scale {scale!r:.20}, expected {_SCALE:g}")
    if offset is None:
        return None
    if not isinstance(offset, (int, float)) or not abs(offset) <= 1:
        raise ItemError(f"asset {key} has offset {offset!r:.20}, expected 0 or -0.1")
    return round(offset / scale)
