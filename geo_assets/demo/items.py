"""STAC 1.0 items of the demo's scenes, with the properties that Earth Search v1 gives."""

from datetime import timedelta
from typing import Any

import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely.geometry import mapping
from shapely.geometry.polygon import orient

from geo_assets.demo.passes import NEW_BASELINE, Granule
from geo_assets.demo.plan import DemoPlan
from geo_assets.domain.bands import SENTINEL2_BANDS, Level

COLLECTIONS: dict[Level, str] = {"L2A": "sentinel-2-l2a", "L1C": "sentinel-2-l1c"}
"""Processing level -> collection id, Earth Search's names."""

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_CATALOGUED = "2024-12-01T00:00:00Z"
"""`created` and `updated` of every item: fixed, so that two builds are equal."""

_EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in (
        "eo/v1.1.0", "file/v2.1.0", "grid/v1.1.0", "projection/v1.1.0", "raster/v1.1.0", "sat/v1.0.0",
        "view/v1.0.0",
    )
]  # fmt: skip


def band_asset(granule: Granule, level: Level, band: str, geobox: GeoBox, href: str) -> dict[str, Any]:
    """The catalogue's entry for one band's file; size and checksum come with the file."""
    facts, added = SENTINEL2_BANDS[band], granule.added_counts(level)
    return {
        "href": href,
        "type": _COG,
        "title": f"{band} ({facts.number})",
        "roles": ["data", "reflectance"],
        "gsd": geobox.resolution.x,
        "eo:bands": [{"name": band, "description": facts.number, "center_wavelength": facts.wavelength_nm / 1000}],
        "raster:bands": [
            {
                "nodata": 0,
                "data_type": "uint16",
                "spatial_resolution": geobox.resolution.x,
                "scale": 0.0001,
                "offset": -added / 10_000 if added else 0,
            }
        ],
        **_grid(geobox),
    }


def class_asset(geobox: GeoBox, href: str) -> dict[str, Any]:
    """The catalogue's entry for the scene classification."""
    return {
        "href": href,
        "type": _COG,
        "title": "Scene classification map (SCL)",
        "roles": ["data", "classification"],
        "gsd": geobox.resolution.x,
        "raster:bands": [{"nodata": 0, "data_type": "uint8", "spatial_resolution": geobox.resolution.x}],
        **_grid(geobox),
    }


def scene_item(
    plan: DemoPlan, granule: Granule, level: Level, assets: dict[str, dict[str, Any]], cloud_cover: float
) -> dict[str, Any]:
    """One item; `cloud_cover` in per cent of the ground that it shows."""
    to_degrees = Transformer.from_crs(plan.epsg, 4326, always_xy=True)
    outline = shapely.segmentize(granule.region, 2_000)
    degrees = shapely.transform(outline, to_degrees.transform, interleaved=False)
    footprint = orient(shapely.set_precision(degrees, 1e-7))
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": _EXTENSIONS,
        "id": granule.item_id(level),
        "collection": COLLECTIONS[level],
        "geometry": mapping(footprint),
        "bbox": [round(side, 7) for side in footprint.bounds],
        "properties": _properties(plan, granule, level, round(cloud_cover, 4)),
        "assets": assets,
        "links": [],
    }


def _grid(geobox: GeoBox) -> dict[str, Any]:
    affine = geobox.affine
    return {
        "proj:shape": list(geobox.shape),
        "proj:transform": [affine.a, 0.0, affine.c, 0.0, affine.e, affine.f],
    }


def _properties(plan: DemoPlan, granule: Granule, level: Level, cloud_cover: float) -> dict[str, Any]:
    acquisition, tile = granule.acquisition, granule.tile
    start, platform, baseline = (
        f"{acquisition.started:%Y%m%dT%H%M%S}",
        acquisition.platform,
        acquisition.baseline,
    )
    sensed = acquisition.started + timedelta(seconds=250 + 15 * plan.tiles.index(tile))
    strip_sensed = acquisition.started + timedelta(seconds=210 + 25 * granule.strip)
    reprocessed = baseline == NEW_BASELINE and granule.sequence > 0 and granule.strip == 0
    made = acquisition.started + (timedelta(days=90) if reprocessed else timedelta(hours=5, minutes=granule.strip))
    short = baseline.replace(".", "")
    properties: dict[str, Any] = {
        "datetime": f"{sensed:%Y-%m-%dT%H:%M:%S}.000Z",
        "created": _CATALOGUED,
        "updated": _CATALOGUED,
        "platform": f"sentinel-2{platform[-1].lower()}",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": cloud_cover,
        "grid:code": f"MGRS-{tile}",
        "proj:epsg": plan.epsg,
        "proj:code": f"EPSG:{plan.epsg}",
        "sat:relative_orbit": acquisition.relative_orbit,
        "sat:orbit_state": "descending",
        "view:incidence_angle": 0.0,
        "view:sun_azimuth": acquisition.sun_azimuth,
        "view:sun_elevation": acquisition.sun_elevation,
        "s2:sequence": str(granule.sequence),
        "s2:product_type": f"S2MSI{level[1:]}",
        "s2:processing_baseline": baseline,
        "s2:generation_time": f"{made:%Y-%m-%dT%H:%M:%S}.000Z",
        "s2:datatake_id": f"G{platform}_{start}_{acquisition.absolute_orbit:06d}_N{baseline}",
        "s2:datastrip_id": (
            f"{platform}_OPER_MSI_{level}_DS_2BPS_{made:%Y%m%dT%H%M%S}_S{strip_sensed:%Y%m%dT%H%M%S}_N{baseline}"
        ),
        "s2:product_uri": (
            f"{platform}_MSI{level}_{start}_N{short}_R{acquisition.relative_orbit:03d}_T{tile}_"
            f"{made:%Y%m%dT%H%M%S}.SAFE"
        ),
    }
    if level == "L2A":
        properties["earthsearch:boa_offset_applied"] = acquisition.offset_applied and baseline == NEW_BASELINE
    return properties
