"""STAC items beside products, so that QGIS, odc-stac or a tile server opens the store as a static catalogue."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import pystac
import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry import mapping

from geo_assets.domain.arrays import NODATA_REFLECTANCE
from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.tile_month import Month
from geo_assets.io.products import Build, Place, Product
from geo_assets.stations.line import Line

ITEM_FILE = "item.json"
GEOJSON = "application/geo+json"
_OUTLINE_DEGREES = 1e-4
"""How far, about 10 m, an item's outline may leave the raster's; corners by the hundred help nobody."""
_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
)


def put_stac_item(
    build: Build, line: Line, place: Place, raster: str, *, geobox: GeoBox, sources: Sequence[str]
) -> None:
    """Put a STAC item that describes a product's reflectance raster.

    Parameters
    ----------
    raster
        The COG's file name in the same product.
    geobox
        The raster's grid.
    sources
        Ids of the catalogue items that went in.
    """
    item = reflectance_item(line, place, raster, geobox, sources)
    content = json.dumps(item.to_dict(include_self_link=False), sort_keys=True, indent=1)
    build.put(ITEM_FILE, content.encode() + b"\n", role="stac.item", media_type=GEOJSON)


def reflectance_item(line: Line, place: Place, raster: str, geobox: GeoBox, sources: Sequence[str]) -> pystac.Item:
    """A STAC item for one reflectance raster of a month."""
    assert place.month is not None  # every reflectance product has one
    outline = shapely.simplify(geobox.footprint("EPSG:4326", buffer=0).geom, _OUTLINE_DEGREES)
    item = pystac.Item(
        id="-".join(filter(None, (line.region.name, place.station, place.tile, str(place.month)))),
        geometry=json.loads(json.dumps(mapping(shapely.set_precision(outline, 1e-7)))),
        bbox=[round(value, 7) for value in outline.bounds],
        datetime=None,
        start_datetime=place.month.begin,
        end_datetime=last_instant(place.month),
        properties={
            "proj:code": str(geobox.crs),
            "proj:shape": list(geobox.shape),
            "proj:transform": list(geobox.transform)[:6],
            "gsd": line.region.resolution,
            "geo_assets:region": line.region.name,
            "geo_assets:sources": sorted(sources),
        },
        stac_extensions=list(_EXTENSIONS),
    )
    item.add_asset(raster.removesuffix(".tif"), _reflectance_asset(line, raster))
    return item


def sources_of(product: Product) -> list[str]:
    """Ids of the catalogue items that a product's STAC item names."""
    return [str(item) for item in product.json(ITEM_FILE)["properties"]["geo_assets:sources"]]


def last_instant(month: Month) -> datetime:
    """The last whole second of a month, UTC."""
    return month.next.begin - timedelta(seconds=1)


def _reflectance_asset(line: Line, raster: str) -> pystac.Asset:
    bands = [
        {"name": name, "eo:center_wavelength": SENTINEL2_BANDS[name].wavelength_nm / 1000} for name in line.region.bands
    ]
    return pystac.Asset(
        href=f"./{raster}",
        media_type=pystac.MediaType.COG,
        roles=["data", "reflectance"],
        extra_fields={
            "bands": bands,
            "data_type": "int16",
            "nodata": NODATA_REFLECTANCE,
            "raster:scale": 1e-4,
            "raster:offset": 0.0,
            "raster:spatial_resolution": line.region.resolution,
        },
    )
