"""Station 6: neighbouring tiles' composites, blended across their seams.

Every pixel is the weighted mean of all tiles that cover it, with weights that depend on the tiles' validity alone: the
products of neighbours are identical where they overlap, so no seam can exist between products. MODIS tiles overlap
nowhere: a tile's mosaic is its composite, and `region_mosaic` joins them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.domain.arrays import BLOCK_PX, NODATA_CLASS, NODATA_REFLECTANCE, Flag, ReflectanceCount
from geo_assets.domain.region import Region
from geo_assets.domain.tile_grid import neighbours, tile_crs
from geo_assets.io.area import inside_area
from geo_assets.io.cog_writer import RasterBand
from geo_assets.io.placing import PlacedRaster, Placement, place_tile
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.rasters import read_window
from geo_assets.kernels.blending import add_weighted, weight_table, weighted_mean
from geo_assets.kernels.distance import squared_distance
from geo_assets.kernels.seams import REACH_PX, root_mean_square, seam_steps
from geo_assets.stations.composite import COMPOSITE_FILE, MONTHLY_COMPOSITE
from geo_assets.stations.ground import Blocks, Ground, Window, ground_of, units_of
from geo_assets.stations.line import Line, Station
from geo_assets.stations.pictures import put_reflectance_pictures, put_weight_picture
from geo_assets.stations.stac import put_stac_item, sources_of
from geo_assets.stations.units import BlockSource, UnitArrays, block_name, finish_units, put_raster

MOSAIC_FILE = "mosaic.tif"
_PREVIEW_STEP = 8
_PREVIEW_PX = BLOCK_PX // _PREVIEW_STEP


def mosaic_crs(region: Region) -> str:
    """The mosaic's CRS: the UTM zone of most of the region's tiles, among equals that of the first; or `SINUSOIDAL`."""
    own = Counter(tile_crs(tile) for tile in region.tile_ids)
    return max(own, key=lambda crs: own[crs])


def neighbours_of(region: Region, tile: str) -> tuple[str, ...]:
    """The region's tiles that a tile's mosaic is blended from: those whose ground touches its own, itself included."""
    return _neighbours(region.tile_ids)[tile]


@lru_cache(maxsize=8)
def _neighbours(tiles: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return neighbours(tiles)


@dataclass(frozen=True, eq=False)
class _Blend:
    """What one tile's mosaic is computed from."""

    region: Region
    own: Placement
    rasters: tuple[PlacedRaster, ...]
    """Composites that reach this tile, in order of tile id."""

    @cached_property
    def weights(self) -> NDArray[np.int32]:
        """Integer weight by squared distance in pixels."""
        return weight_table(self.region.feather_px, self.region.mosaic.profile)

    def block(self, window: Window) -> tuple[ReflectanceCount, NDArray[np.uint8], int]:
        """(band, y, x) blended counts, (y, x) own share in per cent, and pixels with several contributors."""
        bands = len(self.region.bands)
        shape = (window.height, window.width)
        total, weight_sum = np.zeros((bands, *shape), np.int64), np.zeros((bands, *shape), np.int64)
        own_weight, contributors = np.zeros(shape, np.int64), np.zeros(shape, np.uint8)
        for raster in self.rasters:
            before = weight_sum[0].copy()
            self._add(raster, window, total, weight_sum)
            contributors += weight_sum[0] > before
            if raster.placement.tile == self.own.tile:
                own_weight += weight_sum[0] - before
        blended = np.empty((bands, *shape), np.int16)
        for band in range(bands):
            weighted_mean(total[band], weight_sum[band], out=blended[band])
        share = np.full(shape, NODATA_CLASS, np.uint8)
        known = weight_sum[0] > 0
        share[known] = (100 * own_weight[known] + weight_sum[0][known] // 2) // weight_sum[0][known]
        if not self.own.native:
            beyond = ~inside_area(self.own.outline, self.own.geobox[window.slices])
            blended[:, beyond], share[beyond], contributors[beyond] = NODATA_REFLECTANCE, NODATA_CLASS, 0
        return blended, share, int((contributors > 1).sum())

    def _add(
        self, raster: PlacedRaster, window: Window, total: NDArray[np.int64], weight_sum: NDArray[np.int64]
    ) -> None:
        """Add one tile's part of a block to the sums; weights fall to the edge of its validity and of its footprint."""
        placement, reach = raster.placement, self.region.feather_px
        height, width = placement.geobox.shape
        top = window.row + self.own.row - placement.row
        left = window.col + self.own.col - placement.col
        first_row, last_row = max(top, 0), min(top + window.height, height)
        first_col, last_col = max(left, 0), min(left + window.width, width)
        if first_row >= last_row or first_col >= last_col:
            return
        near_row, near_col = max(first_row - reach, 0), max(first_col - reach, 0)
        far_row, far_col = min(last_row + reach, height), min(last_col + reach, width)
        near = raster.window(near_row, near_col, far_row - near_row, far_col - near_col)
        inner = near[:, first_row - near_row : last_row - near_row, first_col - near_col : last_col - near_col]
        if not (inner != NODATA_REFLECTANCE).any():
            return
        rows, cols = slice(first_row - top, last_row - top), slice(first_col - left, last_col - left)
        # The footprint ends at the raster's edge: one ring of invalid pixels makes the distance see it.
        ring = ((int(near_row == 0), int(far_row == height)), (int(near_col == 0), int(far_col == width)))
        known: Flag | None = None
        distance2: NDArray[np.int32] | None = None
        for band in range(len(near)):
            valid = near[band] != NODATA_REFLECTANCE
            if known is None or distance2 is None or not np.array_equal(valid, known):
                known = valid
                distance2 = squared_distance(
                    np.pad(valid, ring),
                    cap_px=reach,
                    top=first_row - near_row + ring[0][0],
                    left=first_col - near_col + ring[1][0],
                    height=last_row - first_row,
                    width=last_col - first_col,
                )
            add_weighted(
                total[band][rows, cols],
                weight_sum[band][rows, cols],
                values=np.ascontiguousarray(inner[band]),
                distance2=distance2,
                weights=self.weights,
            )


def mosaic_ground(region: Region, tile: str) -> Ground:
    """The blocks of a tile's mosaic that can hold data, on the mosaic's grid."""
    placement, ground = place_tile(tile, region.resolution, mosaic_crs(region)), ground_of(region, tile)
    if placement.native:
        return ground
    rows, cols = (-(-edge // BLOCK_PX) for edge in placement.geobox.shape)
    return Ground(tile, placement.geobox, placement.outline, np.ones((rows, cols), bool))


def _upstream(line: Line, place: Place) -> tuple[Place, ...]:
    assert place.tile is not None  # the station's scope
    return tuple(Place(MONTHLY_COMPOSITE.name, tile, place.month) for tile in neighbours_of(line.region, place.tile))


def _mosaic(line: Line, place: Place, build: Build) -> None:
    assert place.tile is not None  # the station's scope
    region, crs = line.region, mosaic_crs(line.region)
    composites = {upstream.tile: line.products.need(upstream) for upstream in _upstream(line, place)}
    with_data = {str(tile): product for tile, product in composites.items() if product.manifest.status == "done"}
    if not with_data:
        build.empty("neither the tile nor a neighbour has a composite")
        return
    ground = mosaic_ground(region, place.tile)
    build.lies_on(ground.geobox)
    blend = _Blend(
        region,
        place_tile(place.tile, region.resolution, crs),
        tuple(_placed(region, tile, with_data[tile], crs) for tile in sorted(with_data)),
    )
    units = units_of(ground.blocks(), line.unit_blocks)
    jobs = {key: partial(_blended_unit, blend, ground, blocks) for key, blocks in units.items()}
    kept = finish_units(line, build, jobs, str(place), keep=["counts"])
    counts = np.sum([arrays["counts"] for arrays in kept.values()], axis=0)
    if counts[0] == 0:
        build.empty("no composite has data on this tile")
        return
    keys = {block: key for key, blocks in units.items() for block in blocks}
    put_raster(
        build,
        ground,
        MOSAIC_FILE,
        BlockSource(build.units, keys, "mosaic", lambda key: jobs[key]()),
        bands=[RasterBand(name, scale=1e-4) for name in region.bands],
        dtype=np.int16,
        nodata=NODATA_REFLECTANCE,
        role="mosaic.reflectance",
        threads=line.threads,
        tags={"REGION": region.name, "MONTH": str(place.month)},
    )
    build.metric("valid_px", int(counts[0]))
    build.metric("blended_share", float(counts[1] / counts[0]))
    build.metric("valid_share", float(counts[2] / max(int(counts[3]), 1)))
    build.metric("contributors", sorted(with_data))
    build.metric("mosaic_crs", crs)
    build.metric("feather_px", region.feather_px)
    for name, value in _seam_metrics(build, blend, ground).items():
        build.metric(name, value)
    put_reflectance_pictures(build, region, MOSAIC_FILE, ground.extent())
    put_weight_picture(build, _own_share(build, jobs, keys, ground))
    sources = sorted({item for product in with_data.values() for item in sources_of(product)})
    put_stac_item(build, line, place, MOSAIC_FILE, geobox=ground.geobox, sources=sources)


def _placed(region: Region, tile: str, product: Product, crs: str) -> PlacedRaster:
    return PlacedRaster(product.path(COMPOSITE_FILE), place_tile(tile, region.resolution, crs))


def _blended_unit(blend: _Blend, ground: Ground, blocks: Blocks) -> UnitArrays:
    arrays: dict[str, NDArray[Any]] = {}
    counts = np.zeros(4, np.int64)
    for row, col in blocks:
        window = ground.block_window(row, col)
        blended, share, overlapped = blend.block(window)
        valid = blended[0] != NODATA_REFLECTANCE
        inside = ground.inside(window)
        counts += (valid.sum(), overlapped, (valid & inside).sum(), inside.sum())
        if valid.any():
            arrays[block_name("mosaic", row, col)] = blended
            arrays[block_name("share", row, col)] = share[::_PREVIEW_STEP, ::_PREVIEW_STEP]
    return {**arrays, "counts": counts}


def _seam_metrics(build: Build, blend: _Blend, ground: Ground) -> dict[str, float | None]:
    """Signed step where a contributor's footprint ends, and where none does, in counts (RMS over segments)."""
    path, extent = build.scratch(MOSAIC_FILE), ground.extent()
    seam, elsewhere = [], []
    for raster in blend.rasters:
        if not raster.placement.native:
            continue
        height, width = raster.placement.geobox.shape
        top, left = raster.placement.row - blend.own.row, raster.placement.col - blend.own.col
        for strip, line in _strips(path, extent, (top, top + height), (left, left + width)):
            steps = seam_steps(strip, line=line)
            seam.append(steps.seam)
            elsewhere.append(steps.elsewhere)
    return {
        "seam_step_dn": root_mean_square(np.concatenate(seam)) if seam else None,
        "seam_floor_dn": root_mean_square(np.concatenate(elsewhere)) if elsewhere else None,
    }


def _strips(
    path: Path, extent: Window, rows: tuple[int, int], cols: tuple[int, int]
) -> Iterator[tuple[ReflectanceCount, int]]:
    """(band, along, across) strips round the footprint edges that cross an extent, each with its line."""
    top, bottom = max(extent.row, rows[0]), min(extent.row + extent.height, rows[1])
    left, right = max(extent.col, cols[0]), min(extent.col + extent.width, cols[1])
    if top >= bottom or left >= right:
        return
    for row in rows:
        if extent.row + REACH_PX <= row <= extent.row + extent.height - REACH_PX:
            strip = read_window(path, slice(row - REACH_PX, row + REACH_PX), slice(left, right))
            yield np.ascontiguousarray(strip.transpose(0, 2, 1)), REACH_PX
    for col in cols:
        if extent.col + REACH_PX <= col <= extent.col + extent.width - REACH_PX:
            yield read_window(path, slice(top, bottom), slice(col - REACH_PX, col + REACH_PX)), REACH_PX


def _own_share(
    build: Build, jobs: Mapping[str, Any], keys: Mapping[tuple[int, int], str], ground: Ground
) -> NDArray[np.uint8]:
    """(y, x) uint8: every eighth pixel's weight of the tile itself, per cent, 255 nodata; the whole tile."""
    height, width = (-(-edge // _PREVIEW_STEP) for edge in ground.geobox.shape)
    shares = np.full((height, width), NODATA_CLASS, np.uint8)
    source = BlockSource(build.units, keys, "share", lambda key: jobs[key]())
    for row, col in sorted(keys):
        share = source(row, col)
        if share is not None:
            top, left = row * _PREVIEW_PX, col * _PREVIEW_PX
            shares[top : top + share.shape[0], left : left + share.shape[1]] = share
    return shares


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        **region.mosaic.model_dump(mode="json"),
        "crs": mosaic_crs(region),
        "resolution": region.resolution,
    }


SEAM_BLENDED_MOSAIC = Station(
    name="seam_blended_mosaic",
    version="1",
    scope="tile_month",
    summary="Composites of a tile and its neighbours, feathered by distance: identical wherever two mosaics overlap.",
    settings=_settings,
    upstream=_upstream,
    build=_mosaic,
)
