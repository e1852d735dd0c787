"""Where a region's mosaic lies: its CRS and lattice, its tiles on it, and the ground of them that matters."""

from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.domain.errors import GridMismatchError
from geo_assets.domain.region import Region
from geo_assets.domain.tile_grid import neighbours, tile_crs, tile_footprint, tile_geobox
from geo_assets.io.area import projected_area
from geo_assets.io.placing import LATTICE_VERSION, Placement, place_tile
from geo_assets.stations.ground import Ground, ground_of

_MOST_STRETCHED = 12
"""Times as wide as it is on the ground that a tile may be in the mosaic's CRS: Mercator doubles at 60 degrees and has
tenfold at 84. What is wider was torn apart where the projection ends."""


def mosaic_crs(region: Region) -> str:
    """The mosaic's CRS: the region file's, else the UTM zone of most tiles, or `SINUSOIDAL`."""
    return most_frequent_crs(region) if region.mosaic.crs == "auto" else region.mosaic.crs


def most_frequent_crs(region: Region) -> str:
    """The CRS of most of the region's tiles, among equals that of the first."""
    own = Counter(tile_crs(tile) for tile in region.tile_ids)
    return max(own, key=lambda crs: own[crs])


def mosaic_grid(region: Region) -> dict[str, Any]:
    """The lattice that all mosaics of the region lie on, for metrics and fingerprints: another one, other pixels."""
    placement = mosaic_placement(region, region.tile_ids[0])
    size, transform = placement.geobox.resolution.x, placement.geobox.transform
    origin = [transform.c - placement.col * size, transform.f + placement.row * size]
    return {
        "crs": mosaic_crs(region),
        "origin": [round(value, 6) + 0.0 for value in origin],
        "resolution": size,
        "version": LATTICE_VERSION,
    }


def neighbours_of(region: Region, tile: str) -> tuple[str, ...]:
    """The region's tiles that a tile's mosaic is blended from: those whose ground touches its own, itself included."""
    return _neighbours(region.tile_ids)[tile]


@lru_cache(maxsize=8)
def _neighbours(tiles: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return neighbours(tiles)


def mosaic_placement(region: Region, tile: str) -> Placement:
    """A tile on the lattice of the region's mosaic.

    Raises
    ------
    GridMismatchError
        The mosaic's CRS has no place for the tile, or tears it apart.
    """
    return _placement(tile, region.resolution, mosaic_crs(region))


@lru_cache(maxsize=512)
def _placement(tile: str, resolution: int, crs: str) -> Placement:
    placement: Placement | None
    try:
        placement = place_tile(tile, resolution, crs)
    except (OverflowError, ValueError):  # its corners are nowhere
        placement = None
    if placement is None or max(placement.geobox.shape) > _MOST_STRETCHED * max(tile_geobox(tile, resolution).shape):
        raise GridMismatchError(
            f"Tile {tile}: found no place for it in one piece in {crs}, the mosaic's CRS. Choose a mosaic.crs that "
            "holds the whole region, or `auto`; cut regions in two at the antimeridian."
        )
    return placement


def mosaic_ground(region: Region, tile: str) -> Ground:
    """A tile's raster on the mosaic's lattice, and its blocks that can hold data: those near the area, and feather."""
    if mosaic_placement(region, tile).native:
        return ground_of(region, tile)
    return _warped_ground(region.geometry, tile, region.resolution, mosaic_crs(region), region.feather_m)


@lru_cache(maxsize=64)
def _warped_ground(area: BaseGeometry, tile: str, resolution: int, crs: str, feather_m: float) -> Ground:
    placement = _placement(tile, resolution, crs)
    near = projected_area(area, tile_footprint(tile), crs, margin_m=feather_m)
    reach = near.buffer(feather_m).intersection(placement.outline)
    shapely.prepare(reach)
    height, width = placement.geobox.shape
    edge_m = BLOCK_PX * placement.geobox.resolution.x
    west, south, east, north = placement.geobox.boundingbox.bbox
    rows, cols = -(-height // BLOCK_PX), -(-width // BLOCK_PX)
    left, top = np.meshgrid(west + np.arange(cols) * edge_m, north - np.arange(rows) * edge_m)
    cells = shapely.box(left, np.maximum(top - edge_m, south), np.minimum(left + edge_m, east), top)
    return Ground(tile, placement.geobox, near.intersection(placement.outline), shapely.intersects(reach, cells))
