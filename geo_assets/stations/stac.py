"""STAC items beside products, so that QGIS, odc-stac or a tile server opens the store as a static catalogue."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pystac
import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.arrays import NODATA_REFLECTANCE
from geo_assets.domain.bands import MODIS_BANDS, SENTINEL2_BANDS, Band
from geo_assets.domain.modis_grid import SINUSOIDAL, sinusoidal_footprint
from geo_assets.domain.region import Region
from geo_assets.domain.tile_month import Month
from geo_assets.io.products import Build, Place, Product
from geo_assets.stations.line import Line

ITEM_FILE, COLLECTION_FILE = "item.json", "collection.json"
GEOJSON, VRT = "application/geo+json", "application/x-gdal-vrt+xml"
_OUTLINE_DEGREES = 1e-4
"""How far, about 10 m, an item's outline may leave the raster's; corners by the hundred help nobody."""
_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
)


def put_stac_item(
    build: Build,
    line: Line,
    place: Place,
    raster: str,
    *,
    geobox: GeoBox,
    sources: Sequence[str],
    virtual: str | None = None,
    collection: str | None = None,
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
    virtual
        A virtual raster of the same pixels in the same product.
    collection
        Relative path to the collection that lists the item.
    """
    item = reflectance_item(line, place, raster, geobox, sources)
    if virtual is not None:
        asset = pystac.Asset(f"./{virtual}", media_type=VRT, roles=["virtual"], title="The tiles' mosaics, as one")
        item.add_asset(virtual.removesuffix(".vrt") + "-virtual", asset)
    if collection is not None:
        assert place.month is not None  # every reflectance product has one
        item.collection_id = collection_id(line.region, place.month)
        item.add_link(pystac.Link("collection", collection, media_type="application/json"))
    content = json.dumps(item.to_dict(include_self_link=False), sort_keys=True, indent=1)
    build.put(ITEM_FILE, content.encode() + b"\n", role="stac.item", media_type=GEOJSON)


def reflectance_item(line: Line, place: Place, raster: str, geobox: GeoBox, sources: Sequence[str]) -> pystac.Item:
    """A STAC item for one reflectance raster of a month."""
    assert place.month is not None  # every reflectance product has one
    outline = shapely.simplify(_footprint(geobox), _OUTLINE_DEGREES)
    item = pystac.Item(
        id="-".join(filter(None, (line.region.name, place.station, place.tile, str(place.month)))),
        geometry=json.loads(json.dumps(mapping(shapely.set_precision(outline, 1e-7)))),
        bbox=[round(value, 7) for value in outline.bounds],
        datetime=None,
        start_datetime=place.month.begin,
        end_datetime=last_instant(place.month),
        properties={
            **_crs_fields(geobox),
            "proj:shape": list(geobox.shape),
            "proj:transform": list(geobox.transform)[:6],
            "gsd": line.region.pixel_m,
            "geo_assets:region": line.region.name,
            "geo_assets:sources": sorted(sources),
        },
        stac_extensions=list(_EXTENSIONS),
    )
    item.add_asset(raster.removesuffix(".tif"), _reflectance_asset(line, raster))
    return item


def collection_id(region: Region, month: Month) -> str:
    """Of the collection of a region's mosaics of one month."""
    return f"{region.name}-{month}"


def put_region_collection(
    build: Build, line: Line, place: Place, tiles: Mapping[str, Product], *, attribution: str
) -> None:
    """Put the STAC collection of a region's mosaics of one month: the whole, and each tile's, by relative links.

    Parameters
    ----------
    tiles
        Tile -> its mosaic, of those that have data.
    attribution
        What the makers of the data ask to be said.
    """
    assert place.month is not None  # the station's scope
    region = line.region
    items = [tiles[tile].json(ITEM_FILE) for tile in sorted(tiles)]
    boxes = np.array([item["bbox"] for item in items])
    bbox = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    codes = sorted({str(item["properties"]["proj:code"]) for item in items})
    collection = pystac.Collection(
        id=collection_id(region, place.month),
        title=f"{region.name}, {place.month}",
        description=f"Seam-blended mosaics of region {region.name}, {place.month}. {attribution}.",
        keywords=["reflectance", "mosaic", "cloud-free"],
        extent=pystac.Extent(
            pystac.SpatialExtent([bbox]),
            pystac.TemporalExtent([[place.month.begin, last_instant(place.month)]]),
        ),
        license="other",
        providers=_providers(attribution),
        summaries=pystac.Summaries(
            {"gsd": [region.pixel_m], "proj:code": codes, "bands": [{"name": name} for name in region.bands]}
        ),
        extra_fields={"attribution": attribution},
    )
    document = collection.to_dict(include_self_link=False)
    hrefs = ["./" + ITEM_FILE, *(f"../../../{tiles[tile].place.folder}/{ITEM_FILE}" for tile in sorted(tiles))]
    document["links"] = [{"rel": "item", "type": GEOJSON, "href": href} for href in hrefs]
    document["links"] += [{"rel": "license", "type": "text/html", "href": href} for href in _licenses(attribution)]
    content = json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"
    build.put(COLLECTION_FILE, content, role="stac.collection", media_type="application/json")


def _providers(attribution: str) -> list[pystac.Provider]:
    """Who made the data, by what the attribution says, and what made the mosaics of it."""
    known = (("Sentinel", "Copernicus", "https://dataspace.copernicus.eu"), ("USGS", "USGS", "https://www.usgs.gov"),
             ("NASA", "NASA LP DAAC", "https://lpdaac.usgs.gov"))  # fmt: skip
    roles = [pystac.ProviderRole.PRODUCER, pystac.ProviderRole.LICENSOR]
    makers = [pystac.Provider(name, roles=roles, url=url) for word, name, url in known if word in attribution]
    return [*makers, pystac.Provider("geo_assets", roles=[pystac.ProviderRole.PROCESSOR])]


def _licenses(attribution: str) -> list[str]:
    """Where the terms of use of the data stand."""
    terms = (
        ("Sentinel", "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"),
        ("NASA", "https://lpdaac.usgs.gov/data/data-citation-and-policies/"),
    )
    return [address for word, address in terms if word in attribution]


def sources_of(product: Product) -> list[str]:
    """Ids of the catalogue items that a product's STAC item names."""
    return [str(item) for item in product.json(ITEM_FILE)["properties"]["geo_assets:sources"]]


def last_instant(month: Month) -> datetime:
    """The last whole second of a month, UTC."""
    return month.next.begin - timedelta(seconds=1)


def _footprint(geobox: GeoBox) -> BaseGeometry:
    """Outline of a grid, EPSG:4326."""
    if str(geobox.crs) == SINUSOIDAL:
        return sinusoidal_footprint(geobox.boundingbox)
    outline: BaseGeometry = geobox.footprint("EPSG:4326", buffer=0).geom
    return outline


def _crs_fields(geobox: GeoBox) -> dict[str, Any]:
    """The projection extension's name of a CRS: its code, or WKT where it has none."""
    assert geobox.crs is not None  # every product's grid has one
    if geobox.crs.epsg is None:
        return {"proj:code": None, "proj:wkt2": geobox.crs.to_wkt()}
    return {"proj:code": str(geobox.crs)}


def _sensor_bands(region: Region) -> Mapping[str, Band]:
    """Bands of the one sensor that a region's reflectance comes from; none for HLS, which mixes two."""
    if region.grid == "modis":
        return MODIS_BANDS
    return {} if "HLS" in (region.level, region.archive.upper()) else SENTINEL2_BANDS


def _reflectance_asset(line: Line, raster: str) -> pystac.Asset:
    sensor = _sensor_bands(line.region)
    bands = [
        {"name": name, "eo:center_wavelength": sensor[name].wavelength_nm / 1000} if name in sensor else {"name": name}
        for name in line.region.bands
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
            "raster:spatial_resolution": line.region.pixel_m,
        },
    )
