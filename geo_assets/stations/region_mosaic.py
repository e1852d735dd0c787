"""The month's mosaic of the whole region: one raster, and the STAC collection of its tiles."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pystac
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import BLOCK_PX, NODATA_REFLECTANCE
from geo_assets.domain.errors import ProductError
from geo_assets.domain.region import Region
from geo_assets.io.cog_writer import RasterBand
from geo_assets.io.placing import Placement, place_tile
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.rasters import read_window
from geo_assets.stations.ground import Ground, Window
from geo_assets.stations.line import Line, Station
from geo_assets.stations.mosaic import MOSAIC_FILE, SEAM_BLENDED_MOSAIC, mosaic_crs, mosaic_ground
from geo_assets.stations.pictures import put_reflectance_pictures
from geo_assets.stations.stac import ITEM_FILE, last_instant, put_stac_item, sources_of
from geo_assets.stations.units import put_raster

REGION_FILE, COLLECTION_FILE = "region.tif", "collection.json"


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """The region's raster: its grid, and where each tile's mosaic lies on it."""

    geobox: GeoBox
    row: int
    col: int
    """Lattice position of its upper left pixel."""
    mosaics: Mapping[str, tuple[Placement, Product]]

    def block(self, block_row: int, block_col: int) -> NDArray[Any] | None:
        """(band, y, x) of one block; the tiles' mosaics agree wherever two of them have data, or it raises."""
        top, left = self.row + block_row * BLOCK_PX, self.col + block_col * BLOCK_PX
        height = min(BLOCK_PX, self.geobox.shape[0] - block_row * BLOCK_PX)
        width = min(BLOCK_PX, self.geobox.shape[1] - block_col * BLOCK_PX)
        merged: NDArray[Any] | None = None
        for tile, (placement, product) in sorted(self.mosaics.items()):
            tile_height, tile_width = placement.geobox.shape
            first_row, last_row = max(top, placement.row), min(top + height, placement.row + tile_height)
            first_col, last_col = max(left, placement.col), min(left + width, placement.col + tile_width)
            if first_row >= last_row or first_col >= last_col:
                continue
            rows = slice(first_row - placement.row, last_row - placement.row)
            cols = slice(first_col - placement.col, last_col - placement.col)
            found = read_window(product.path(MOSAIC_FILE), rows, cols)
            if merged is None:
                merged = np.full((len(found), height, width), NODATA_REFLECTANCE, np.int16)
            target = merged[:, first_row - top : last_row - top, first_col - left : last_col - left]
            both = (target != NODATA_REFLECTANCE) & (found != NODATA_REFLECTANCE)
            if (target[both] != found[both]).any():
                raise ProductError(
                    f"Region mosaic: tile {tile} differs from its neighbours on "
                    f"{int((target[both] != found[both]).sum())} pixels that they share, expected none. "
                    "One of them is older: run `geo-assets backfill`."
                )
            np.copyto(target, found, where=target == NODATA_REFLECTANCE)
        return merged


def _upstream(line: Line, place: Place) -> tuple[Place, ...]:
    return tuple(Place(SEAM_BLENDED_MOSAIC.name, tile, place.month) for tile in line.region.tile_ids)


def _region_mosaic(line: Line, place: Place, build: Build) -> None:
    region = line.region
    products = {str(upstream.tile): line.products.need(upstream) for upstream in _upstream(line, place)}
    with_data = {tile: product for tile, product in products.items() if product.manifest.status == "done"}
    if not with_data:
        build.empty("every tile is empty in this month")
        return
    sheet = _sheet(region, with_data)
    build.lies_on(sheet.geobox)
    rows, cols = (-(-edge // BLOCK_PX) for edge in sheet.geobox.shape)
    ground = Ground("", sheet.geobox, sheet.geobox.extent.geom, np.ones((rows, cols), bool))
    valid_px = 0

    def counted(block_row: int, block_col: int) -> NDArray[Any] | None:
        """The sheet's block, its valid pixels counted and progress told on the way."""
        nonlocal valid_px
        block = sheet.block(block_row, block_col)
        valid_px += 0 if block is None else int((block[0] != NODATA_REFLECTANCE).sum())
        if line.on_unit is not None:
            line.on_unit(str(place), block_row * cols + block_col + 1, rows * cols)
        return block

    put_raster(
        build,
        ground,
        REGION_FILE,
        counted,
        bands=[RasterBand(name, scale=1e-4) for name in region.bands],
        dtype=np.int16,
        nodata=NODATA_REFLECTANCE,
        role="region_mosaic.reflectance",
        threads=line.threads,
        tags={"REGION": region.name, "MONTH": str(place.month)},
    )
    build.metric("valid_px", valid_px)
    build.metric("tiles", sorted(with_data))
    build.metric("tiles_empty", sorted(set(products) - set(with_data)))
    height, width = sheet.geobox.shape
    put_reflectance_pictures(build, region, REGION_FILE, Window(0, 0, height, width))
    sources = sorted({item for product in with_data.values() for item in sources_of(product)})
    put_stac_item(build, line, place, REGION_FILE, geobox=sheet.geobox, sources=sources)
    build.put(
        COLLECTION_FILE,
        _collection(line, place, with_data),
        role="stac.collection",
        media_type="application/json",
    )


def _sheet(region: Region, with_data: Mapping[str, Product]) -> _Sheet:
    """The smallest raster on the lattice that holds every tile's active ground."""
    crs = mosaic_crs(region)
    placements = {tile: place_tile(tile, region.resolution, crs) for tile in with_data}
    tops, lefts, bottoms, rights = [], [], [], []
    for tile, placement in placements.items():
        extent = mosaic_ground(region, tile).extent()
        tops.append(placement.row + extent.row)
        lefts.append(placement.col + extent.col)
        bottoms.append(tops[-1] + extent.height)
        rights.append(lefts[-1] + extent.width)
    top, left = min(tops), min(lefts)
    first = next(iter(placements.values()))
    transform = first.geobox.transform * first.geobox.transform.translation(left - first.col, top - first.row)
    geobox = GeoBox((max(bottoms) - top, max(rights) - left), transform, first.geobox.crs)
    return _Sheet(geobox, top, left, {tile: (placements[tile], product) for tile, product in with_data.items()})


def _collection(line: Line, place: Place, with_data: Mapping[str, Product]) -> bytes:
    """A STAC collection of the tiles' mosaics of one month, with links relative to the store."""
    assert place.month is not None  # the station's scope
    items = {tile: product.json(ITEM_FILE) for tile, product in sorted(with_data.items())}
    boxes = np.array([item["bbox"] for item in items.values()])
    bbox = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    collection = pystac.Collection(
        id=f"{line.region.name}-{place.month}",
        description=f"Seam-blended mosaics of region {line.region.name}, {place.month}.",
        extent=pystac.Extent(
            pystac.SpatialExtent([bbox]),
            pystac.TemporalExtent([[place.month.begin, last_instant(place.month)]]),
        ),
        license="other",
    )
    document = collection.to_dict(include_self_link=False)
    document["links"] = [
        {"rel": "item", "type": "application/geo+json", "href": f"../../../{product.place.folder}/{ITEM_FILE}"}
        for product in with_data.values()
    ]
    return json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"


REGION_MOSAIC = Station(
    name="region_mosaic",
    version="1",
    scope="month",
    summary="One raster of the whole region for the month, and the STAC collection of its tiles.",
    settings=lambda region: {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "feather_m": region.mosaic.feather_m,
        "tiles": list(region.tile_ids),
        "bands": list(region.bands),
    },
    upstream=_upstream,
    build=_region_mosaic,
)
