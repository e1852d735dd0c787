"""Lines over small archives, run without Dagster, and what stands in their stores."""

from pathlib import Path
from typing import Any

from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geo_assets.api import places_of
from geo_assets.domain.region import region_from
from geo_assets.domain.tile_month import Month
from geo_assets.io.places import Place
from geo_assets.io.products import Product
from geo_assets.io.rasters import read_window
from geo_assets.stations.catalog import STATION_BY_NAME, STATIONS
from geo_assets.stations.line import Line, Outcome, run_station
from geo_assets.stations.opening import open_line

PLAIN_STATIONS = tuple(station for station in STATIONS if station.name not in ("overlap_statistics", "harmonisation"))
"""The line of a region that neither harmonises nor cuts along seamlines."""

VOLATILE = ("run.json", "failed.json")
"""What two stores of the same products may differ in."""


def small_line(archive: Path, store: Path, *, threads: int = 2, unit_blocks: int = 2, **settings: Any) -> Line:
    """A line over a local archive; `settings` are keys of the region file."""
    usual = {"name": "small", "archive": f"local:{archive}", "bands": ["red"], "resolution": 60}
    months = {"months": {"first": "2024-06", "last": "2024-06"}}
    return open_line(
        region_from({**usual, **months, **settings}), store, home=store.parent, threads=threads, unit_blocks=unit_blocks
    )


def run_until(line: Line, last: str) -> dict[Place, Outcome]:
    """Run every station on every partition, up to and including the station named `last`."""
    names = list(STATION_BY_NAME)
    wanted = names[: names.index(last) + 1]
    return {
        place: run_station(line, STATION_BY_NAME[place.station], place)
        for place in places_of(line.region)
        if place.station in wanted
    }


def run_all(line: Line) -> dict[Place, Outcome]:
    """Run every station on every partition."""
    return run_until(line, "dataset_stats")


def product_of(line: Line, station: str, tile: str | None = None, month: str | None = None) -> Product:
    """A finished product; the region's first tile and month unless told otherwise."""
    scope = STATION_BY_NAME[station].scope
    first = line.region.tile_months[0]
    if scope == "tile_month":
        return line.products.need(Place(station, tile or first.tile, Month.parse(month) if month else first.month))
    if scope == "month":
        return line.products.need(Place(station, None, Month.parse(month) if month else first.month))
    return line.products.need(Place(station))


def pixels_of(product: Product, name: str, window: tuple[slice, slice] = (slice(None), slice(None))) -> NDArray[Any]:
    """(band, y, x): the pixels of one of its rasters, all of them or those of a window."""
    return read_window(product.path(name), *window)


def slices_within(inner: GeoBox, outer: GeoBox) -> tuple[slice, slice]:
    """Rows and columns of `outer` that `inner` is; both on one lattice."""
    size = outer.resolution.x
    row = round((outer.boundingbox.top - inner.boundingbox.top) / size)
    col = round((inner.boundingbox.left - outer.boundingbox.left) / size)
    return slice(row, row + inner.shape[0]), slice(col, col + inner.shape[1])


def shared_slices(one: GeoBox, other: GeoBox) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns, of each of two grids on one lattice, of the ground that both have."""
    shared = one.boundingbox & other.boundingbox
    size = one.resolution.x
    shape = (round(shared.span_y / size), round(shared.span_x / size))
    ground = GeoBox(shape, Affine(size, 0, shared.left, 0, -size, shared.top), one.crs)
    return slices_within(ground, one), slices_within(ground, other)


def store_bytes(store: Path) -> dict[str, bytes]:
    """Every file of a store but the volatile ones, by relative path."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.name not in VOLATILE
    }


def area_of(geobox: GeoBox, *, margin_m: float = 0.0) -> tuple[float, float, float, float]:
    """West, south, east, north of a box inside a grid, degrees."""
    left, bottom, right, top = geobox.boundingbox.buffered(-margin_m).bbox
    to_degrees = Transformer.from_crs(str(geobox.crs), 4326, always_xy=True).transform
    longitudes, latitudes = to_degrees((left, left, right, right), (bottom, top, bottom, top))
    (_, west, east, _), (_, south, north, _) = sorted(longitudes), sorted(latitudes)
    return west, south, east, north
