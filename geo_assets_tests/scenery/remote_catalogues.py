"""One acquisition, served as each public archive would: its names, its metadata, its counts and its files.

An `Acquisition` knows the reflectance of the ground. Each function lays its files down as one archive has them, and
gives the items as that archive's catalogue answers: Planetary Computer, Earth Search (with its flag right, wrong or
missing), CDSE (JPEG 2000, STAC 1.1), HLS and MCD43A4.
"""

import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.enums import Resampling

from geo_assets.demo.truth import write_cog
from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.lines import area_of
from geo_assets_tests.scenery.stac_search import Item

Counts = NDArray[np.int16]
"""(y, x) int16, reflectance x 10,000; `UNSEEN` where the sensor saw nothing."""

UNSEEN = -32768

USUAL_BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
DETECTED = 9
"""SCL: cloud, high probability."""

PC_PATH, EARTH_SEARCH_PATH, CDSE_PATH = "/api/stac/v1", "/earth-search/v1", "/cdse/v1"

SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
MODIS_EDGE_M = 1111950.5196667
MODIS_PIXELS = 2400
NBAR_NUMBERS = {"red": 1, "nir": 2, "blue": 3, "green": 4, "swir16": 6, "swir22": 7}

HLS_NUMBERS = {
    "L30": {"coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "nir08": "B05", "swir16": "B06",
            "swir22": "B07", "cirrus": "B09"},
    "S30": {band.name: band.number for band in SENTINEL2_BANDS.values()},
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Acquisition:
    """What a satellite saw of a part of a tile."""

    tile: str
    start: datetime
    """Datatake start, UTC."""
    bands: Mapping[str, tuple[Counts, GeoBox]]
    """Stable name -> counts, and where they lie."""
    classes: tuple[NDArray[np.uint8], GeoBox]
    """SCL, or HLS Fmask bits, and where they lie."""
    platform: str = "S2A"
    orbit: int = 122
    baseline: str = "05.10"
    cloud_cover: float = 20.0
    sequence: int = 0

    @property
    def outline(self) -> dict[str, Any]:
        """GeoJSON polygon of the ground, EPSG:4326; across the antimeridian with longitudes beyond 180."""
        return _outline(self.classes[1])

    @property
    def bbox(self) -> list[float]:
        """West, south, east, north of the outline."""
        longitudes, latitudes = zip(*self.outline["coordinates"][0], strict=True)
        return [min(longitudes), min(latitudes), max(longitudes), max(latitudes)]

    def area(self, *, margin_m: float = 0.0) -> tuple[float, float, float, float]:
        """West, south, east, north of a box inside the ground, degrees."""
        return area_of(self.classes[1], margin_m=margin_m)

    @property
    def stamp(self) -> str:
        """Datatake start as names have it."""
        return f"{self.start:%Y%m%dT%H%M%S}"

    @property
    def generated(self) -> datetime:
        """When it was processed."""
        return self.start + timedelta(hours=5)

    @property
    def product(self) -> str:
        """Name of the SAFE product, without `.SAFE`."""
        made = f"{self.generated:%Y%m%dT%H%M%S}"
        baseline = "N" + self.baseline.replace(".", "")
        return f"{self.platform}_MSIL2A_{self.stamp}_{baseline}_R{self.orbit:03d}_T{self.tile}_{made}"

    @property
    def square(self) -> str:
        """Tile as paths have it: `33/T/VL`."""
        return f"{int(self.tile[:-3])}/{self.tile[-3]}/{self.tile[-2:]}"


_LAKE_ROWS = 3
"""Rows of 60 m pixels."""


def sentinel2_acquisition(
    tile: str,
    day: str,
    *,
    window: tuple[slice, slice] = (slice(0, 40), slice(0, 40)),
    bands: Sequence[str] = USUAL_BANDS,
    seed: int = 0,
    cloudy: tuple[slice, slice] | None = None,
    unseen: tuple[slice, slice] | None = None,
    **others: Any,
) -> Acquisition:
    """An acquisition of a part of a Sentinel-2 tile, every band at its own pixel size.

    Parameters
    ----------
    window
        Rows and columns of the tile's 60 m pixels; the default has the tile's own origin.
    cloudy, unseen
        Rows and columns of the window's 60 m pixels that are cloud, or that the sensor did not see.
    others
        Fields of `Acquisition`.

    Notes
    -----
    Land reflects 0.015 to 0.35, clouds 0.6 to 0.8, and a lake in the north is dark in all bands at once, as real
    water is: by it the offset of the counts can be told.
    """
    draw = np.random.default_rng([seed, *day.encode(), *tile.encode()])
    drawn: dict[str, tuple[Counts, GeoBox]] = {}
    for band in bands:
        resolution = SENTINEL2_BANDS[band].resolution_m
        geobox = _finer(tile, resolution, window)
        counts = draw.integers(150, 3500, geobox.shape).astype(np.int16)
        shore = _LAKE_ROWS * 60 // resolution
        counts[:shore] = draw.integers(150, 240, counts[:shore].shape)
        if cloudy:
            counts[_scaled(cloudy, 60 // resolution)] += 4500
        if unseen:
            counts[_scaled(unseen, 60 // resolution)] = UNSEEN
        drawn[band] = (counts, geobox)
    where = _finer(tile, 20, window)
    scl = np.full(where.shape, 4, np.uint8)
    if cloudy:
        scl[_scaled(cloudy, 3)] = DETECTED
    if unseen:
        scl[_scaled(unseen, 3)] = 0
    start = datetime.fromisoformat(f"{day}T10:00:31").replace(tzinfo=UTC)
    return Acquisition(tile, start, drawn, (scl, where), **others)


def hls_acquisition(
    tile: str,
    day: str,
    *,
    window: tuple[slice, slice] = (slice(0, 80), slice(0, 80)),
    bands: Sequence[str] = ("blue", "green", "red", "nir08", "swir16", "swir22"),
    seed: int = 0,
    fmask: int = 64,
    cloudy: tuple[slice, slice] | None = None,
    unseen: tuple[slice, slice] | None = None,
    platform: str = "S2A",
    **others: Any,
) -> Acquisition:
    """An acquisition on HLS's 30 m grid: rows and columns are those of 30 m pixels; reflectance goes below 0.

    `platform` `L8` or `L9` makes it L30, `S2A` and the like S30.
    """
    draw = np.random.default_rng([seed, *day.encode(), *platform.encode()])
    geobox = hls_geobox(tile)[window]
    bits = np.full(geobox.shape, fmask, np.uint8)
    drawn: dict[str, tuple[Counts, GeoBox]] = {}
    for band in bands:
        counts = draw.integers(-60, 3500, geobox.shape).astype(np.int16)
        if cloudy:
            counts[cloudy] += 4500
        if unseen:
            counts[unseen] = UNSEEN
        drawn[band] = (counts, geobox)
    if cloudy:
        bits[cloudy] |= 0b10
    if unseen:
        bits[unseen] = 255
    start = datetime.fromisoformat(f"{day}T10:00:31").replace(tzinfo=UTC)
    return Acquisition(tile, start, drawn, (bits, geobox), platform, **others)


def hls_geobox(tile: str) -> GeoBox:
    """HLS's grid of a tile: the Sentinel-2 square at 30 m, numbered as in the north, with signed northing."""
    native = tile_geobox(tile, 30)
    epsg = int(native.crs.epsg or 0)
    if epsg < 32700:
        return native
    affine = native.affine
    moved = Affine(affine.a, 0, affine.c, 0, affine.e, affine.f - 10_000_000)
    return GeoBox(native.shape, moved, f"EPSG:{epsg - 100}")


def modis_acquisition(
    tile: str,
    day: str,
    *,
    window: tuple[slice, slice],
    bands: Sequence[str] = ("red", "nir", "blue", "green"),
    seed: int = 0,
    unseen: tuple[slice, slice] | None = None,
    **others: Any,
) -> Acquisition:
    """A day of MCD43A4: rows and columns are those of the sinusoidal tile's pixels; `classes` is 0 or 255 (fill)."""
    draw = np.random.default_rng([seed, *day.encode(), *tile.encode()])
    geobox = modis_geobox(tile)[window]
    quality = np.zeros(geobox.shape, np.uint8)
    drawn: dict[str, tuple[Counts, GeoBox]] = {}
    for band in bands:
        counts = draw.integers(100, 4000, geobox.shape).astype(np.int16)
        if unseen:
            counts[unseen] = UNSEEN
        drawn[band] = (counts, geobox)
    if unseen:
        quality[unseen] = 255
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return Acquisition(tile, start, drawn, (quality, geobox), "MODIS", **others)


def modis_geobox(tile: str) -> GeoBox:
    """Sinusoidal grid of a MODIS tile `hXXvYY`: 2400 pixels of 463.3127165 m."""
    column, row = int(tile[1:3]), int(tile[4:6])
    pixel = MODIS_EDGE_M / MODIS_PIXELS
    transform = Affine(pixel, 0, (column - 18) * MODIS_EDGE_M, 0, -pixel, (9 - row) * MODIS_EDGE_M)
    return GeoBox((MODIS_PIXELS, MODIS_PIXELS), transform, SINUSOIDAL)


# Planetary Computer


def serve_planetary_computer(
    server: FaultServer, folder: Path, acquisitions: Sequence[Acquisition], path: str = PC_PATH, **paging: Any
) -> str:
    """Serve them as sentinel-2-l2a behind signatures; returns the catalogue's URL."""
    items = [planetary_computer_item(server.url, folder, one) for one in acquisitions]
    server.folder("/sentinel2l2a01/sentinel2-l2", folder / "sentinel2-l2", gate=server.sas)
    return server.catalogue(items, path, **paging)


def planetary_computer_item(url: str, folder: Path, seen: Acquisition) -> Item:
    """The item of sentinel-2-l2a, its COGs laid down under `folder`; +1000 in the counts since baseline 04.00."""
    place = f"sentinel2-l2/{seen.square}/{seen.start:%Y/%m/%d}/{seen.product}.SAFE/GRANULE/L2A_T{seen.tile}/IMG_DATA"
    added = 1000 if seen.baseline >= "04" else 0
    assets: dict[str, Any] = {}
    for band, (counts, geobox) in seen.bands.items():
        known = SENTINEL2_BANDS[band]
        name = f"{place}/R{known.resolution_m}m/T{seen.tile}_{seen.stamp}_{known.number}_{known.resolution_m}m.tif"
        _write_tiff(folder / name, _stored(counts, added), geobox)
        assets[known.number] = {
            "href": f"{url}/sentinel2l2a01/{name}",
            **_grid_of(geobox),
            "gsd": float(known.resolution_m),
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "title": f"Band - {known.number} - {known.resolution_m}m",
            "eo:bands": [{"name": known.number, "common_name": band}],
        }
    for layer, values, where in (("SCL", *seen.classes), ("AOT", *_aot(seen))):
        name = f"{place}/R20m/T{seen.tile}_{seen.stamp}_{layer}_20m.tif"
        _write_tiff(folder / name, values, where)
        assets[layer] = {"href": f"{url}/sentinel2l2a01/{name}", **_grid_of(where), "gsd": 20.0, "roles": ["data"]}
    assets["tilejson"] = {"href": "https://planetarycomputer.microsoft.com/api/data/v1/item/tilejson.json?item=x"}
    name = f"{seen.platform}_MSIL2A_{seen.stamp}_R{seen.orbit:03d}_T{seen.tile}_{seen.generated:%Y%m%dT%H%M%S}"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "sentinel-2-l2a",
        "bbox": seen.bbox,
        "geometry": seen.outline,
        "links": [],
        "assets": assets,
        "properties": {
            "datetime": _time(seen.start),
            "platform": f"Sentinel-{seen.platform[1:]}",
            "constellation": "Sentinel 2",
            "proj:epsg": seen.classes[1].crs.epsg,
            "s2:mgrs_tile": seen.tile,
            "s2:product_uri": f"{seen.product}.SAFE",
            "s2:product_type": "S2MSI2A",
            "s2:processing_baseline": seen.baseline,
            "s2:generation_time": _time(seen.generated),
            "s2:datatake_id": f"G{seen.platform}_{seen.stamp}_012345_N{seen.baseline}",
            "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_ESRI_{seen.stamp}_N{seen.baseline}",
            "s2:mean_solar_zenith": 31.5,
            "sat:orbit_state": "descending",
            "sat:relative_orbit": seen.orbit,
            "eo:cloud_cover": seen.cloud_cover,
        },
    }


# Earth Search


def serve_earth_search(
    server: FaultServer,
    folder: Path,
    acquisitions: Sequence[Acquisition],
    path: str = EARTH_SEARCH_PATH,
    *,
    collection: Literal["sentinel-2-l2a", "sentinel-2-c1-l2a"] = "sentinel-2-l2a",
    flag: Literal["right", "wrong", "missing"] = "right",
    **paging: Any,
) -> str:
    """Serve them as Earth Search v1 does; returns the catalogue's URL."""
    make = earth_search_c1_item if collection == "sentinel-2-c1-l2a" else earth_search_item
    items = [make(server.url, folder, one, flag=flag) for one in acquisitions]
    server.folder("/sentinel-cogs", folder / "sentinel-cogs")
    return server.catalogue(items, path, **paging)


def earth_search_item(
    url: str,
    folder: Path,
    seen: Acquisition,
    *,
    flag: Literal["right", "wrong", "missing"] = "right",
    shifted: bool = True,
) -> Item:
    """The item of sentinel-2-l2a.

    Parameters
    ----------
    flag
        `right`: `earthsearch:boa_offset_applied` and `raster:offset` say what the pixels are. `wrong`: both say the
        opposite, as in items of 2025. `missing`: neither is there.
    shifted
        Whether the offset was added to the pixels already, as it usually was; False leaves +1000 in the counts.
    """
    name = f"{seen.platform}_{seen.tile}_{seen.start:%Y%m%d}_{seen.sequence}_L2A"
    place = f"sentinel-cogs/sentinel-s2-l2a-cogs/{seen.square}/{seen.start:%Y}/{seen.start.month}/{name}"
    since_4 = seen.baseline >= "04"
    said = shifted if flag == "right" else not shifted
    scaling = {} if flag == "missing" else {"scale": 1e-4, "offset": 0 if said or not since_4 else -0.1}
    item = _earth_search_like(url, folder, seen, name, place, 0 if shifted or not since_4 else 1000, scaling)
    item["collection"] = "sentinel-2-l2a"
    if flag != "missing":
        item["properties"]["earthsearch:boa_offset_applied"] = said and since_4
    return item


def earth_search_c1_item(
    url: str, folder: Path, seen: Acquisition, *, flag: Literal["right", "wrong", "missing"] = "right"
) -> Item:
    """The item of sentinel-2-c1-l2a: +1000 in the counts, and `raster:offset` -0.1 says so."""
    name = f"{seen.platform}_T{seen.tile}_{seen.stamp}_L2A"
    place = f"sentinel-cogs/sentinel-2-c1-l2a/{seen.square}/{seen.start:%Y}/{seen.start.month}/{name}"
    scaling = {"right": {"scale": 1e-4, "offset": -0.1}, "wrong": {"scale": 1e-4, "offset": 0}, "missing": {}}[flag]
    item = _earth_search_like(url, folder, seen, name, place, 1000, scaling)
    item["collection"] = "sentinel-2-c1-l2a"
    return item


def _earth_search_like(
    url: str, folder: Path, seen: Acquisition, name: str, place: str, added: int, scaling: Mapping[str, float]
) -> Item:
    assets: dict[str, Any] = {}
    for band, (counts, geobox) in seen.bands.items():
        known = SENTINEL2_BANDS[band]
        _write_tiff(folder / f"{place}/{known.number}.tif", _stored(counts, added), geobox)
        assets[band] = {
            "href": f"{url}/{place}/{known.number}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "eo:bands": [{"name": band, "common_name": band}],
            "gsd": known.resolution_m,
            **_grid_of(geobox),
            "raster:bands": [{"nodata": 0, "data_type": "uint16", "spatial_resolution": known.resolution_m, **scaling}],
            "roles": ["data", "reflectance"],
        }
        assets[f"{band}-jp2"] = {
            "href": f"s3://sentinel-s2-l2a/tiles/{seen.square}/{known.number}.jp2",
            "type": "image/jp2",
            "roles": ["data", "reflectance"],
        }
    for layer, values, where in (("scl", *seen.classes), ("aot", *_aot(seen))):
        _write_tiff(folder / f"{place}/{layer.upper()}.tif", values, where)
        kind = {"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}
        if layer == "aot":
            kind |= {"data_type": "uint16", "scale": 0.001, "offset": 0}
        assets[layer] = {"href": f"{url}/{place}/{layer.upper()}.tif", **_grid_of(where), "raster:bands": [kind]}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "",
        "bbox": seen.bbox,
        "geometry": seen.outline,
        "links": [],
        "assets": assets,
        "properties": {
            "created": _time(seen.generated + timedelta(hours=2)),
            "updated": _time(seen.generated + timedelta(hours=3)),
            "datetime": _time(seen.start + timedelta(seconds=221)),
            "platform": f"sentinel-{seen.platform[1:].lower()}",
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "proj:epsg": seen.classes[1].crs.epsg,
            "mgrs:utm_zone": int(seen.tile[:-3]),
            "mgrs:latitude_band": seen.tile[-3],
            "mgrs:grid_square": seen.tile[-2:],
            "grid:code": f"MGRS-{seen.tile}",
            "view:sun_azimuth": 150.0,
            "view:sun_elevation": 58.5,
            "s2:product_type": "S2MSI2A",
            "s2:processing_baseline": seen.baseline,
            "s2:product_uri": f"{seen.product}.SAFE",
            "s2:generation_time": _time(seen.generated),
            "s2:datatake_id": f"G{seen.platform}_{seen.stamp}_012345_N{seen.baseline}",
            "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_2BPS_{seen.stamp}_N{seen.baseline}",
            "s2:sequence": str(seen.sequence),
            "eo:cloud_cover": seen.cloud_cover,
        },
    }


# Copernicus Data Space Ecosystem


def serve_cdse(
    server: FaultServer, folder: Path, acquisitions: Sequence[Acquisition], path: str = CDSE_PATH, **paging: Any
) -> str:
    """Serve them as CDSE does, behind S3 keys and access tokens; returns the catalogue's URL."""
    items = [cdse_item(server.url, folder, one) for one in acquisitions]
    server.folder("/eodata", folder / "eodata", gate=server.presigned)
    server.folder("/odata/v1", folder / "odata/v1", gate=server.identity)
    return server.catalogue(items, path, **paging)


def cdse_item(url: str, folder: Path, seen: Acquisition) -> Item:
    """The item of sentinel-2-l2a, STAC 1.1, its JPEG 2000 files laid down twice: for S3 and for OData.

    As CDSE's generator does, every band says scale 1e-4 and offset -0.1, whatever its baseline; AOT too.
    """
    granule = f"GRANULE/L2A_T{seen.tile}_A012345_{seen.stamp}/IMG_DATA"
    safe = f"Sentinel-2/MSI/L2A_N{seen.baseline.replace('.', '')}/{seen.start:%Y/%m/%d}/{seen.product}.SAFE"
    product_id = uuid.uuid5(uuid.NAMESPACE_URL, seen.product)
    added = 1000 if seen.baseline >= "04" else 0
    layers = [
        (f"{SENTINEL2_BANDS[band].number}_{SENTINEL2_BANDS[band].resolution_m}m", _stored(counts, added), geobox)
        for band, (counts, geobox) in seen.bands.items()
    ]
    layers += [("SCL_20m", *seen.classes), ("AOT_20m", *_aot(seen))]
    assets: dict[str, Any] = {}
    for key, stored, geobox in layers:
        file = f"{granule}/R{key.rpartition('_')[2]}/T{seen.tile}_{seen.stamp}_{key}.jp2"
        path = folder / "eodata" / safe / file
        _write_jp2(path, stored, geobox)
        nodes = "/".join(f"Nodes({part})" for part in (f"{seen.product}.SAFE", *file.split("/")))
        _link(path, folder / f"odata/v1/Products({product_id})/{nodes}/$value")
        content = path.read_bytes()
        gsd = int(key.rpartition("_")[2].removesuffix("m"))
        assets[key] = {
            "href": f"s3://eodata/{safe}/{file}",
            "alternate": {
                "https": {
                    "href": f"{url}/odata/v1/Products({product_id})/{nodes}/$value",
                    "auth:refs": ["oidc"],
                    "alternate:name": "HTTPS",
                }
            },
            "file:size": len(content),
            "file:checksum": "1620" + hashlib.sha3_256(content).hexdigest(),
            "proj:code": f"EPSG:{geobox.crs.epsg}",
            **_grid_of(geobox),
            "gsd": gsd,
            "type": "image/jp2",
            "roles": ["data", "sampling:original", f"gsd:{gsd}m"],
            "nodata": 0,
            "data_type": str(stored.dtype),
            "auth:refs": ["s3"],
            "storage:refs": ["cdse-s3", "creodias-s3"],
            "alternate:name": "S3",
            **({} if key == "SCL_20m" else {"raster:scale": 0.0001, "raster:offset": -0.1}),
        }
        if key.startswith("B"):
            number = key.partition("_")[0]
            common = next(band.name for band in SENTINEL2_BANDS.values() if band.number == number)
            assets[key]["bands"] = [{"name": number, "eo:common_name": common}]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": seen.product,
        "collection": "sentinel-2-l2a",
        "bbox": seen.bbox,
        "geometry": seen.outline,
        "links": [],
        "assets": assets,
        "properties": {
            "datetime": _time(seen.start),
            "start_datetime": _time(seen.start),
            "end_datetime": _time(seen.start),
            "created": _time(seen.generated),
            "updated": _time(seen.generated),
            "published": _time(seen.generated),
            "platform": f"sentinel-{seen.platform[1:].lower()}",
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "grid:code": f"MGRS-{seen.tile}",
            "product:type": "S2MSI2A",
            "processing:level": "L2",
            "processing:version": seen.baseline,
            "processing:datetime": _time(seen.generated),
            "eopf:datatake_id": f"G{seen.platform}_{seen.stamp}_012345_N{seen.baseline}",
            "eopf:datastrip_id": f"S2A_OPER_MSI_L2A_DS_S2RP_{seen.stamp}_N{seen.baseline}",
            "sat:orbit_state": "descending",
            "sat:relative_orbit": seen.orbit,
            "view:sun_elevation": 58.5,
            "view:incidence_angle": 2.97,
            "eo:cloud_cover": seen.cloud_cover,
        },
    }


# HLS and MCD43A4 on Planetary Computer


def serve_hls(
    server: FaultServer, folder: Path, acquisitions: Sequence[Acquisition], path: str = PC_PATH, **paging: Any
) -> str:
    """Serve them as hls2-l30 and hls2-s30 behind signatures; returns the catalogue's URL."""
    items = [hls_item(server.url, folder, one) for one in acquisitions]
    server.folder("/hls2euwest/hls2", folder / "hls2", gate=server.sas)
    return server.catalogue(items, path, **paging)


def hls_item(url: str, folder: Path, seen: Acquisition) -> Item:
    """The item of hls2-l30 or hls2-s30, its COGs laid down under `folder`; nodata -9999, Fmask bits, 255 fill."""
    sensor = "L30" if seen.platform.startswith("L") else "S30"
    name = f"HLS.{sensor}.T{seen.tile}.{seen.start:%Y%jT%H%M%S}.v2.0"
    place = f"hls2/{sensor}/{seen.square}/{seen.start:%Y/%m/%d}/{name}"
    bits, where = seen.classes
    assets: dict[str, Any] = {}
    for band, (counts, geobox) in seen.bands.items():
        number = HLS_NUMBERS[sensor][band]
        stored = np.where(counts == UNSEEN, np.int16(-9999), counts)
        _write_tiff(folder / f"{place}.{number}.tif", stored, geobox, nodata=-9999)
        assets[number] = {
            "href": f"{url}/hls2euwest/{place}.{number}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "raster:bands": [{"data_type": "int16", "nodata": -9999, "scale": 0.0001, "spatial_resolution": 30}],
            "eo:bands": [{"name": number, "common_name": band}],
            "roles": ["data", "reflectance"],
        }
    _write_tiff(folder / f"{place}.Fmask.tif", bits, where, nodata=255)
    assets["Fmask"] = {
        "href": f"{url}/hls2euwest/{place}.Fmask.tif",
        "raster:bands": [{"data_type": "uint8", "nodata": 255, "unit": "bit field", "spatial_resolution": 30}],
        "roles": ["data"],
    }
    platforms = {"L8": "landsat-8", "L9": "landsat-9"}
    affine = where.affine
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": f"hls2-{sensor.lower()}",
        "bbox": seen.bbox,
        "geometry": seen.outline,
        "links": [],
        "assets": assets,
        "properties": {
            "datetime": _time(seen.start),
            "created": _time(seen.generated),
            "platform": platforms.get(seen.platform, f"sentinel-{seen.platform[1:].lower()}"),
            "instruments": ["oli", "tirs"] if sensor == "L30" else ["msi"],
            "hls:product": f"HLS{sensor}",
            "eo:cloud_cover": round(seen.cloud_cover),
            "view:azimuth": 108.4,
            "view:sun_azimuth": 150.2,
            "proj:epsg": where.crs.epsg,
            "proj:shape": list(where.shape),
            "proj:transform": [affine.a, 0.0, affine.c, 0.0, affine.e, affine.f],
            "mgrs:utm_zone": int(seen.tile[:-3]),
            "mgrs:latitude_band": seen.tile[-3],
            "mgrs:grid_square": seen.tile[-2:],
        },
    }


def serve_mcd43a4(
    server: FaultServer, folder: Path, acquisitions: Sequence[Acquisition], path: str = PC_PATH, **paging: Any
) -> str:
    """Serve them as modis-43A4-061 behind signatures; returns the catalogue's URL."""
    items = [mcd43a4_item(server.url, folder, one) for one in acquisitions]
    server.folder("/modiseuwest/modis-061-cogs", folder / "modis-061-cogs", gate=server.sas)
    return server.catalogue(items, path, **paging)


def mcd43a4_item(url: str, folder: Path, seen: Acquisition) -> Item:
    """The item of modis-43A4-061: 16 days around `datetime`, fill 32767 that no metadata states."""
    produced = f"{seen.generated + timedelta(days=9, minutes=seen.sequence):%Y%j%H%M%S}"
    name = f"MCD43A4.A{seen.start:%Y%j}.{seen.tile}.061.{produced}"
    place = f"modis-061-cogs/MCD43A4/{seen.tile[1:3]}/{seen.tile[4:6]}/{seen.start:%Y%j}/{name}"
    quality, where = seen.classes
    assets: dict[str, Any] = {}
    for band, (counts, geobox) in seen.bands.items():
        number = NBAR_NUMBERS[band]
        stored = np.where(counts == UNSEEN, np.int16(32767), counts)
        for key, values, fill in (
            (f"Nadir_Reflectance_Band{number}", stored, 32767),
            (f"BRDF_Albedo_Band_Mandatory_Quality_Band{number}", quality, 255),
        ):
            _write_tiff(folder / f"{place}_{key}.tif", values, geobox, nodata=fill)
            assets[key] = {
                "href": f"{url}/modiseuwest/{place}_{key}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "raster:bands": [{"data_type": str(values.dtype), "spatial_resolution": 500}],
                "eo:bands": [{"name": key}],
                "roles": ["data"],
            }
    affine = where.affine
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "modis-43A4-061",
        "bbox": seen.bbox,
        "geometry": seen.outline,
        "links": [],
        "assets": assets,
        "properties": {
            "datetime": _time(seen.start),
            "start_datetime": _time(seen.start - timedelta(days=8)),
            "end_datetime": _time(seen.start + timedelta(days=8, seconds=-1)),
            "created": _time(seen.generated + timedelta(days=9, minutes=seen.sequence)),
            "updated": _time(seen.generated + timedelta(days=9, minutes=seen.sequence)),
            "platform": "terra,aqua",
            "instruments": ["modis"],
            "modis:horizontal-tile": int(seen.tile[1:3]),
            "modis:vertical-tile": int(seen.tile[4:6]),
            "modis:tile-id": f"510{seen.tile[1:3]}0{seen.tile[4:6]}",
            "proj:epsg": None,
            "proj:wkt2": where.crs.to_wkt(),
            "proj:shape": list(where.shape),
            "proj:transform": [affine.a, 0.0, affine.c, 0.0, affine.e, affine.f],
        },
    }


# Files


def _finer(tile: str, resolution: int, window: tuple[slice, slice]) -> GeoBox:
    """The tile's grid at a pixel size, in a window given in 60 m pixels."""
    return tile_geobox(tile, resolution)[_scaled(window, 60 // resolution)]


def _scaled(window: tuple[slice, slice], times: int) -> tuple[slice, slice]:
    rows, cols = (slice(part.start * times, part.stop * times) for part in window)
    return rows, cols


def _stored(counts: Counts, added: int) -> NDArray[np.uint16]:
    """Counts as files have them: uint16, 0 where nothing was seen."""
    return np.where(counts == UNSEEN, 0, np.maximum(counts.astype(np.int32) + added, 1)).astype(np.uint16)


def _aot(seen: Acquisition) -> tuple[NDArray[np.uint16], GeoBox]:
    """Aerosol optical thickness 0.1, x 1000."""
    values, where = seen.classes
    return np.full(values.shape, 100, np.uint16), where


def _outline(geobox: GeoBox) -> dict[str, Any]:
    """The grid's outline in degrees, some points to a side."""
    left, bottom, right, top = geobox.boundingbox.bbox
    along, up = np.linspace(left, right, 9), np.linspace(bottom, top, 9)
    x = [*along, *np.full(8, right), *along[-2::-1], *np.full(8, left)]
    y = [*np.full(9, bottom), *up[1:], *np.full(8, top), *up[-2::-1]]
    longitudes, latitudes = Transformer.from_crs(str(geobox.crs), 4326, always_xy=True).transform(x, y)
    if max(longitudes) - min(longitudes) > 180:
        longitudes = [longitude % 360 for longitude in longitudes]
    return {
        "type": "Polygon",
        "coordinates": [[[round(lon, 8), round(lat, 8)] for lon, lat in zip(longitudes, latitudes, strict=True)]],
    }


def _grid_of(geobox: GeoBox) -> dict[str, Any]:
    """What the projection extension says of a file."""
    affine = geobox.affine
    return {
        "proj:shape": list(geobox.shape),
        "proj:transform": [affine.a, 0.0, affine.c, 0.0, affine.e, affine.f],
        "proj:bbox": list(geobox.boundingbox.bbox),
    }


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.024000Z"


def _write_tiff(path: Path, stored: NDArray[Any], geobox: GeoBox, *, nodata: int = 0) -> None:
    if not path.exists():
        overviews = Resampling.nearest if stored.dtype == np.uint8 else Resampling.average
        write_cog(path, stored[np.newaxis], geobox, nodata=nodata, overviews=overviews)


def _write_jp2(path: Path, stored: NDArray[Any], geobox: GeoBox) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = stored.shape
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", count=1, height=height, width=width, dtype=stored.dtype, nodata=None,
        crs=str(geobox.crs), transform=geobox.affine, QUALITY="100", REVERSIBLE="YES", BLOCKXSIZE=256, BLOCKYSIZE=256,
    ) as raster:  # fmt: skip
        raster.write(stored, 1)


def _link(path: Path, name: Path) -> None:
    if not name.exists():
        name.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, name)


def counts_at(seen: Acquisition, band: str, grid: GeoBox) -> Counts:
    """What an acquisition saw at the pixels of a grid with the band's own pixels; `UNSEEN` beside its ground."""
    counts, geobox = seen.bands[band]
    size = geobox.resolution.x
    assert grid.crs == geobox.crs, "another projection"
    assert abs(grid.resolution.x - size) < 1e-6 * size, "other pixels"
    down, along = geobox.boundingbox.top - grid.boundingbox.top, grid.boundingbox.left - geobox.boundingbox.left
    offsets = (down / size, along / size)
    row, col = (round(offset) for offset in offsets)
    assert all(abs(offset - round(offset)) < 1e-3 for offset in offsets), "pixels do not coincide"
    rows, cols = np.arange(grid.shape[0])[:, np.newaxis] + row, np.arange(grid.shape[1]) + col
    inside = (rows >= 0) & (rows < geobox.shape[0]) & (cols >= 0) & (cols < geobox.shape[1])
    found = counts[rows.clip(0, geobox.shape[0] - 1), cols.clip(0, geobox.shape[1] - 1)]
    return np.where(inside, found, np.int16(UNSEEN))
