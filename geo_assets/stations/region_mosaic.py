"""The month's mosaic of the whole region: one raster, a virtual one of the tiles, and the STAC collection of both."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE
from geo_assets.domain.errors import ProductError
from geo_assets.domain.region import Region
from geo_assets.io.free_space import expect_free_space
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.vrt import vrt_bytes
from geo_assets.stations.attribution import attribution_of
from geo_assets.stations.ground import Blocks, Window
from geo_assets.stations.line import Line, Station
from geo_assets.stations.mosaic import MOSAIC_FILE, SEAM_BLENDED_MOSAIC, expect_current
from geo_assets.stations.mosaic_grid import mosaic_crs, mosaic_grid
from geo_assets.stations.pictures import put_reflectance_pictures
from geo_assets.stations.region_sheet import RegionSheet, region_sheet, row_units
from geo_assets.stations.stac import COLLECTION_FILE, VRT, put_region_collection, put_stac_item, sources_of
from geo_assets.stations.units import BlockSource, UnitArrays, block_name, finish_units, put_raster, reflectance_bands

REGION_FILE, VRT_FILE = "region.tif", "region.vrt"

_DISK_SHARE = 4.0
"""Disk that a region's mosaic needs at most, in sizes of what it is made from: units (which lack the predictor), the
writer's spools, the file, and some to spare."""

_WORST: Mapping[str, Callable[[Iterable[float]], float]] = {
    "overlap_bias": partial(max, key=abs),
    "overlap_rmse": max,
    "sharpness_kept": min,
}
"""Figures of the tiles' mosaics of which the region has the worst."""

_OF_A_SEAM = (
    "seam_ratio", "seam_ratio_by_chance", "seam_step_dn", "seam_floor_dn", "seam_sources_dn", "seam_seen_ratio",
    "seam_seen_dn", "seam_naive_ratio", "seam_naive_step_dn",
)  # fmt: skip
"""Figures that belong together, of the tile with the worst seam."""

_COUNTED = (
    "single_source_mismatch_px", "validity_mismatch_px", "outside_inputs_px", "seam_segments", "blended_px",
)  # fmt: skip
"""Figures that are added up; ground that two tiles share counts twice."""


def _upstream(line: Line, place: Place) -> tuple[Place, ...]:
    return tuple(Place(SEAM_BLENDED_MOSAIC.name, tile, place.month) for tile in line.region.tile_ids)


def _region_mosaic(line: Line, place: Place, build: Build) -> None:
    region = line.region
    products = {str(upstream.tile): line.products.need(upstream) for upstream in _upstream(line, place)}
    with_data = {tile: product for tile, product in products.items() if product.manifest.status == "done"}
    if not with_data:
        build.empty("every tile is empty in this month")
        return
    for product in products.values():
        expect_current(line, SEAM_BLENDED_MOSAIC, product)
    _expect_space(build, with_data)
    sheet = region_sheet(region, with_data)
    geobox = sheet.ground.geobox
    build.lies_on(geobox)
    units = row_units(sheet.ground.blocks(), line.unit_blocks)
    jobs = {key: partial(_merged_unit, sheet, blocks) for key, blocks in units.items()}
    kept = finish_units(line, build, jobs, str(place), keep=["counts"])
    counts = np.sum([arrays["counts"] for arrays in kept.values()], axis=0)
    _expect_no_gap(sheet, counts[3:])
    keys = {block: key for key, blocks in units.items() for block in blocks}
    bands = reflectance_bands(region.bands)
    attribution = attribution_of(product.path(MOSAIC_FILE) for product in with_data.values())
    put_raster(
        build,
        sheet.ground,
        REGION_FILE,
        BlockSource(build.units, keys, "region", lambda key: jobs[key]()),
        bands=bands,
        dtype=np.int16,
        nodata=NODATA_REFLECTANCE,
        role="region_mosaic.reflectance",
        threads=line.threads,
        attribution=attribution,
        with_fingerprint=True,
    )
    virtual = vrt_bytes(geobox, bands, np.int16, NODATA_REFLECTANCE, sheet.parts())
    build.put(VRT_FILE, virtual, role="region_mosaic.virtual", media_type=VRT)
    build.metric("valid_px", int(counts[0]))
    build.metric("area_px", int(counts[1]))
    build.metric("valid_share", float(counts[2] / max(int(counts[1]), 1)))
    build.metric("gap_px", 0)  # else it was refused
    build.metric("tiles", sorted(with_data))
    build.metric("tiles_empty", sorted(set(products) - set(with_data)))
    build.metric("mosaic_crs", mosaic_crs(region))
    build.metric("mosaic_grid", mosaic_grid(region))
    for name, value in region_figures({tile: product.manifest.metrics for tile, product in with_data.items()}).items():
        build.metric(name, value)
    put_reflectance_pictures(build, region, REGION_FILE, Window(0, 0, *geobox.shape))
    sources = sorted({item for product in with_data.values() for item in sources_of(product)})
    put_stac_item(
        build,
        line,
        place,
        REGION_FILE,
        geobox=geobox,
        sources=sources,
        virtual=VRT_FILE,
        collection=f"./{COLLECTION_FILE}",
    )
    put_region_collection(build, line, place, with_data, attribution=attribution)


def _expect_space(build: Build, with_data: Mapping[str, Product]) -> None:
    stored = sum(
        file.bytes for product in with_data.values() for file in product.manifest.files if file.name == MOSAIC_FILE
    )
    expect_free_space(
        build.scratch(REGION_FILE).parent,
        int(_DISK_SHARE * stored),
        what=f"Region {build.region}, {build.place}",
        remedy="Free some, choose another GEO_ASSETS_STORE, or cut the region into several.",
    )


def _merged_unit(sheet: RegionSheet, blocks: Blocks) -> UnitArrays:
    """The unit's blocks; `counts`: valid pixels, those of the area, those of both, then the valid ones of each tile."""
    arrays: dict[str, NDArray[Any]] = {}
    counts = np.zeros(3 + len(sheet.mosaics), np.int64)
    for row, col in blocks:
        block, of_tiles = sheet.block(row, col)
        inside = sheet.ground.inside(sheet.ground.block_window(row, col))
        counts[1] += inside.sum()
        counts[3:] += of_tiles
        if block is not None:
            valid = block[0] != NODATA_REFLECTANCE
            counts[0] += valid.sum()
            counts[2] += (valid & inside).sum()
            arrays[block_name("region", row, col)] = block
    return {**arrays, "counts": counts}


def _expect_no_gap(sheet: RegionSheet, counts: NDArray[np.int64]) -> None:
    """Refuse a region in which a pixel of a tile's mosaic has no place: valid exactly where a tile is (M4)."""
    for (tile, (_, product)), found in zip(sheet.mosaics.items(), counts, strict=True):
        expected = product.manifest.metrics.get("valid_px")
        if found != expected:
            raise ProductError(
                f"Region mosaic: found {found} pixels of tile {tile}, expected the {expected} that its mosaic has. "
                f"Make {product.place} again: delete its folder and run `geo-assets backfill`."
            )


def region_figures(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the seams of a region are like, from the metrics of its tiles' mosaics.

    Parameters
    ----------
    metrics
        Tile -> metrics of its `seam_blended_mosaic`.

    Returns
    -------
    figures
        The worst seam, by its ratio over what chance allows, with its step, floor and naive ratio, and `seam_worst`,
        where it is; the worst bias, RMSE and sharpness; sums of counts. None where no tile has the figure.
    """
    figures = _worst_seam(metrics)
    for name, worst in _WORST.items():
        found = {tile: float(some[name]) for tile, some in sorted(metrics.items()) if some.get(name) is not None}
        figures[name] = worst(found.values()) if found else None
    for name in _COUNTED:
        counted = [some[name] for some in metrics.values() if some.get(name) is not None]
        figures[name] = int(sum(counted)) if counted else None
    return figures


def _worst_seam(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of one tile's seams, and where they are."""
    seen = {tile: some for tile, some in sorted(metrics.items()) if some.get("seam_ratio") is not None}
    if not seen:
        return {**dict.fromkeys(_OF_A_SEAM), "seam_worst": None}
    tile = max(seen, key=lambda name: seen[name]["seam_ratio"] / (seen[name].get("seam_ratio_by_chance") or 1.0))
    of_bands = {
        band: some["seam_ratio"]
        for band, some in (seen[tile].get("by_band") or {}).items()
        if some["seam_ratio"] is not None
    }
    worst_band = max(of_bands, key=lambda band: of_bands[band]) if of_bands else None
    return {**{name: seen[tile].get(name) for name in _OF_A_SEAM}, "seam_worst": {"tile": tile, "band": worst_band}}


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "feather_m": region.mosaic.feather_m,
        "tiles": list(region.tile_ids),
        "bands": list(region.bands),
        "grid": mosaic_grid(region),
    }


REGION_MOSAIC = Station(
    name="region_mosaic",
    version="2",
    scope="month",
    summary="One raster of the whole region for the month, a virtual one of its tiles, and their STAC collection; "
    "`geo-assets report MONTH` shows how good it is.",
    settings=_settings,
    upstream=_upstream,
    build=_region_mosaic,
)
