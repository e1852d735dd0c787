"""Sentinel-2 items of any catalogue.

Names differ: a band's asset is called `blue` (Earth Search), `B02` (Planetary Computer, L1C) or `B02_10m` (CDSE), or
is one band of a file that lists `eo:bands`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from geo_assets.domain.bands import OFFSET_SINCE_BASELINE_4, QUANTIFICATION, SENTINEL2_BANDS, Level
from geo_assets.domain.scene import GRANULE_METADATA, Quality, SceneAsset, SceneItem
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

OffsetRule: TypeAlias = Literal["signals", "earth-search", "baseline"]
"""Which of an item's signals about the offset count.

`baseline`: the processing baseline alone (Planetary Computer, which states nothing else; CDSE, whose generator writes
`raster:offset` -0.1 for every band and baseline). `signals`: flag, `raster:offset` and baseline, doubtful where they
disagree. `earth-search`: the same, and doubtful as well where a baseline from 04.00 on is all there is, for that
catalogue has usually added the offset to the pixels already.
"""

_TILE = re.compile(r"[0-9]{1,2}[C-X][A-HJ-NP-Z]{2}")
_TILE_IN_NAME = re.compile(r"(?:^|_)T?([0-9]{2}[C-X][A-HJ-NP-Z]{2})(?:_|$)")
_PRODUCT = re.compile(r"(S2[A-D])_MSI(L1C|L2A)_(\d{8}T\d{6})_N(\d{2})(\d{2})_R(\d{3})_T(\w{5})_(\d{8}T\d{6})", re.ASCII)
_BASELINE = re.compile(r"N?(\d{1,2})\.?(\d{2})")
_LEVELS: tuple[Level, ...] = ("L1C", "L2A")
_DATATAKE = re.compile(r"GS2[A-D]_(\d{8}T\d{6})_", re.ASCII)
_SENTINEL2 = re.compile(r"(sentinel[-_ ]?2|s2)[a-d]?", re.IGNORECASE)
_HIGHEST_ORBIT = 143
_BASELINE_4_SINCE = datetime(2022, 1, 25, tzinfo=UTC)
"""From this day on ESA's processors add an offset to the counts (Sentinel-2 Products Specification, baseline 04.00)."""
_SCALE = 1 / QUANTIFICATION
_NODATA_DN = 0
"""In bands and in the scene classification (Sentinel-2 Products Specification)."""
_LAYERS = ("scl", "fmask", "aot")
_GRANULE_KEYS = ("granule_metadata", "granule-metadata", "MTD_TL.xml", "MTD_TL", "metadata")
"""Earth Search and CDSE, Planetary Computer, items made from SAFE folders, and Earth Search v0."""
_GRANULE_FILES = ("MTD_TL.xml", "metadata.xml")


def sentinel2_item(item: Mapping[str, Any], *, offsets: OffsetRule) -> SceneItem:
    """The scene item that a STAC item of L1C or L2A describes.

    Parameters
    ----------
    item
        A STAC Item as parsed JSON, from a stranger.
    offsets
        Which signals about the offset count.

    Raises
    ------
    ItemError
        Anything needed is missing, malformed or not understood.
    """
    name, properties = id_of(item), properties_of(item)
    platform = properties.get("platform")
    if platform is not None and _SENTINEL2.fullmatch(str(platform)) is None:
        raise ItemError(f"is of platform {platform!r:.40}, expected Sentinel-2")
    product = _PRODUCT.match(str(properties.get("s2:product_uri", ""))) or _PRODUCT.match(name)
    acquired, level, baseline = acquired_of(properties), _level(item, product), _baseline(properties, product)
    sources = _sources(item)
    assets = {band: _asset(item, band, *source) for band, source in sources.items()}
    offset_dn, doubtful = _offset(item, sources, baseline, level, acquired, offsets)
    return SceneItem(
        id=name,
        level=level,
        acquired=acquired,
        datatake=_datatake(properties, product, acquired),
        platform=platform_name(str(platform or (product[1] if product else ""))),
        relative_orbit=_relative_orbit(properties, product),
        tile=_tile(name, properties, product),
        datastrip=plain(properties.get("s2:datastrip_id", properties.get("eopf:datastrip_id", "")), 200),
        baseline=baseline,
        generated=_generated(properties, product),
        offset_dn=offset_dn,
        offset_doubtful=doubtful,
        footprint=footprint_of(item),
        cloud_cover=cloud_cover_of(properties),
        digest=digest_of(item),
        assets=assets | _granule_metadata(assets_of(item)),
        collection=collection_of(item),
        quality=_quality(assets),
        sun_zenith=sun_zenith_of(properties),
        view_zenith=view_zenith_of(properties),
        orbit_state=orbit_state_of(properties),
        sun_azimuth=sun_azimuth_of(properties),
        view_azimuth=view_azimuth_of(properties),
    )


def _granule_metadata(listed: Mapping[str, Any]) -> dict[str, SceneAsset]:
    """The XML with the granule's angles, if it is listed; `metadata` may also be that of the whole product."""
    for key in _GRANULE_KEYS:
        asset = angle_asset(key, listed)
        if asset is not None and (key != "metadata" or _file_name(asset.href) in _GRANULE_FILES):
            return {GRANULE_METADATA: asset}
    return {}


def _file_name(href: str) -> str:
    return href.partition("?")[0].rpartition("/")[2]


def _quality(assets: Mapping[str, SceneAsset]) -> Quality:
    return "scl" if "scl" in assets else "none"


def _generated(properties: Mapping[str, Any], product: re.Match[str] | None) -> str:
    return plain(properties.get("s2:generation_time", product[8] if product else properties.get("updated", "")), 40)


def _level(item: Mapping[str, Any], product: re.Match[str] | None) -> Level:
    properties = properties_of(item)
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
    names = {key.lower().split("_")[0] for key in assets_of(item)}
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
    named = [_DATATAKE.match(str(properties.get(key, ""))) for key in ("s2:datatake_id", "eopf:datatake_id")]
    stated = [match[1] for match in named if match] + ([product[3]] if product else [])
    return next((text for text in stated if _is_moment(text)), f"{acquired:%Y%m%dT%H%M%S}")


def _is_moment(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%dT%H%M%S")
    except ValueError:
        return False
    return True


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


def _sources(item: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Stable name -> key of the asset that holds it, and the 1-based band of its file."""
    listed = assets_of(item)
    found: dict[str, tuple[str, int]] = {}
    for name in (*SENTINEL2_BANDS, *_LAYERS):
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
    if not found.keys() - {"aot"}:
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
    if name == "fmask":
        return (name, "Fmask", upper)
    return (name, upper, *(f"{upper}_{metres}m" for metres in (10, 20, 60)))


def _stable_name(text: str) -> str | None:
    return next((name for name, band in SENTINEL2_BANDS.items() if text in (name, band.number)), None)


def _asset(item: Mapping[str, Any], band: str, key: str, band_index: int) -> SceneAsset:
    nodata = _NODATA_DN if band == "scl" or band in SENTINEL2_BANDS else None
    return asset_of(key, item["assets"][key], band_index=band_index, nodata=nodata)


def _offset(
    item: Mapping[str, Any],
    sources: Mapping[str, tuple[str, int]],
    baseline: str,
    level: Level,
    acquired: datetime,
    rule: OffsetRule,
) -> tuple[int, bool]:
    """The offset that the metadata assert, one for the whole item, and whether they leave a doubt."""
    of_baseline = OFFSET_SINCE_BASELINE_4 if baseline >= "04.00" else 0
    of_bands = None if rule == "baseline" else _offset_of_bands(item, sources, of_baseline)
    of_flag = None if rule == "baseline" else _offset_of_flag(properties_of(item), baseline, level)
    if not baseline and of_bands is None and of_flag is None and acquired >= _BASELINE_4_SINCE:
        raise ItemError("states neither offset nor processing baseline, and may have either since January 2022")
    if of_flag is not None:
        return of_flag, of_bands is not None and of_bands != of_flag
    if of_bands is not None:
        return of_bands, bool(baseline) and of_bands != of_baseline
    silent = rule == "earth-search" and level == "L2A" and of_baseline != 0
    return of_baseline, silent


def _offset_of_flag(properties: Mapping[str, Any], baseline: str, level: Level) -> int | None:
    """What Earth Search's flag asserts: nothing left to add, or still all that the baseline has."""
    applied = properties.get("earthsearch:boa_offset_applied")
    if level != "L2A" or not isinstance(applied, bool) or (not applied and not baseline):
        return None
    return OFFSET_SINCE_BASELINE_4 if not applied and baseline >= "04.00" else 0


def _offset_of_bands(item: Mapping[str, Any], sources: Mapping[str, tuple[str, int]], of_baseline: int) -> int | None:
    """What `raster:offset` asserts, the same for every band that states one; None where none does."""
    by_band = [
        stated_offset_dn(key, item["assets"][key], band_index, scale=_SCALE)
        for name, (key, band_index) in sources.items()
        if name not in _LAYERS
    ]
    stated = {offset for offset in by_band if offset is not None}
    if len(stated) > 1:
        raise ItemError(f"bands state different offsets ({', '.join(map(str, sorted(stated)))} counts)")
    if stated and None in by_band and stated != {of_baseline}:
        raise ItemError(f"only some bands state an offset ({stated.pop()} counts), and the baseline says another")
    return stated.pop() if stated else None
