"""Composites without scenes: what stands before a mosaic, laid into a store as a function of the ground says."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE
from geo_assets.domain.region import region_from
from geo_assets.io.cog_writer import RasterBand
from geo_assets.io.products import Build, Place, Product, Products
from geo_assets.io.stores.store import open_store
from geo_assets.stations.attribution import attribution_line
from geo_assets.stations.catalog import stations_of
from geo_assets.stations.composite import COMPOSITE_FILE, LAYERS, MONTHLY_COMPOSITE
from geo_assets.stations.ground import ground_of
from geo_assets.stations.line import Line, Outcome, run_station
from geo_assets.stations.stac import put_stac_item
from geo_assets.stations.units import put_raster, reflectance_bands

See: TypeAlias = Callable[[GeoBox], NDArray[np.int16]]
"""A block's grid -> its (band, y, x) counts."""


def composite_line(store: Path, *, threads: int = 2, unit_blocks: int = 2, **settings: Any) -> Line:
    """A line that begins at composites: it has no archive, and June 2024 as its month."""
    usual = {"name": "small", "archive": "demo", "bands": ["red"], "resolution": 60, "max_tiles": 100}
    months = {"months": {"first": "2024-06", "last": "2024-06"}}
    region = region_from({**usual, **months, **settings})
    products = Products(open_store(str(store)), region.name)
    return Line(region, products, cast(Any, None), threads=threads, unit_blocks=unit_blocks)


def put_composite(line: Line, tile: str, see: See | None, *, day: int = 10, count: int = 2) -> Product:
    """A tile's composite; without `see` an empty one. `day` and `count` are those of all its pixels."""
    place = Place(MONTHLY_COMPOSITE.name, tile, line.region.month_list[0])
    with line.products.building(place, fingerprint="f" * 64) as build:
        if see is None:
            build.empty("nothing was seen")
        else:
            _fill(build, line, see, {"quality": 0, "observation_count": count, "source": 0, "day": day})
    return line.products.need(place)


def _fill(build: Build, line: Line, see: See, values: Mapping[str, int]) -> None:
    """Put the files of a composite; `values` are those of the layers where it has data."""
    region, place = line.region, build.place
    ground = ground_of(region, str(place.tile))
    active = set(ground.blocks())

    @cache  # asked for again for each layer
    def bands(row: int, col: int) -> NDArray[np.int16] | None:
        return see(ground.window_geobox(ground.block_window(row, col))) if (row, col) in active else None

    def plane(row: int, col: int, *, layer: str) -> NDArray[np.uint8] | None:
        block, nothing = bands(row, col), 0 if layer == "observation_count" else NODATA_CLASS
        return None if block is None else np.where(block[:1] == NODATA_REFLECTANCE, nothing, values[layer]).astype("u1")

    put_raster(
        build, ground, COMPOSITE_FILE, bands, bands=reflectance_bands(region.bands), dtype=np.int16,
        nodata=NODATA_REFLECTANCE, role="composite.reflectance", threads=1,
        attribution=attribution_line({"L2A"}, {2024}),
    )  # fmt: skip
    for layer in LAYERS:
        put_raster(
            build, ground, f"{layer}.tif", partial(plane, layer=layer), bands=[RasterBand(layer)], dtype=np.uint8,
            nodata=None if layer == "observation_count" else NODATA_CLASS, role=f"composite.{layer}", threads=1,
        )  # fmt: skip
    build.lies_on(ground.geobox)
    put_stac_item(build, line, place, COMPOSITE_FILE, geobox=ground.geobox, sources=[f"S2A_{place.tile}"])


def run_mosaics(line: Line, *, last: str = "region_mosaic") -> dict[Place, Outcome]:
    """Run every station after the composites but the statistics, up to and including the one named `last`."""
    names = [station.name for station in stations_of(line.region)]
    wanted = names[names.index(MONTHLY_COMPOSITE.name) + 1 : names.index(last) + 1]
    outcomes = {}
    for station in stations_of(line.region):
        if station.name not in wanted or "stats" in station.name:
            continue
        if station.scope == "month":
            places = [Place(station.name, None, month) for month in line.region.month_list]
        else:
            places = [station.place(tile_month) for tile_month in line.region.tile_months]
        outcomes |= {place: run_station(line, station, place) for place in places}
    return outcomes


def smooth(geobox: GeoBox) -> NDArray[np.float64]:
    """(y, x) counts that are a smooth function of longitude and latitude, in whatever CRS they are asked for."""
    height, width = geobox.shape
    east = geobox.transform.c + (np.arange(width) + 0.5) * geobox.resolution.x
    north = geobox.transform.f - (np.arange(height) + 0.5) * geobox.resolution.x
    to_degrees = Transformer.from_crs(str(geobox.crs), 4326, always_xy=True).transform
    longitude, latitude = to_degrees(*np.meshgrid(east, north))
    return np.asarray(3000 + 1500 * np.sin(40 * longitude) * np.cos(55 * latitude))


def noise(tile: str, *, bands: int = 1, level: int = 0) -> See:
    """Counts that differ from tile to tile and pixel to pixel, the same for the same ground of a tile."""

    def see(geobox: GeoBox) -> NDArray[np.int16]:
        corner = [round(abs(geobox.transform.c)), round(abs(geobox.transform.f))]
        draw = np.random.default_rng([*map(ord, tile), *corner])
        return (draw.integers(1000, 3000, (bands, *geobox.shape)) + level).astype(np.int16)

    return see
