"""Station 6: neighbouring tiles' composites, blended across their seams.

Every pixel is the weighted mean of all tiles that cover it, with weights that depend on the tiles' validity alone (or
on the seamlines of pairs): the products of neighbours are identical where they overlap, so no seam can exist between
products. MODIS tiles overlap nowhere: a tile's mosaic is its composite, and `region_mosaic` joins them.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import BLOCK_PX, NODATA_CLASS, NODATA_REFLECTANCE
from geo_assets.domain.errors import MissingProductError, ProductError
from geo_assets.domain.goals import largest_seam_ratio
from geo_assets.domain.region import Region
from geo_assets.io.cog_writer import RasterBand
from geo_assets.io.placing import PlacedRaster
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.rasters import raster_facts
from geo_assets.stations.attribution import attribution_of
from geo_assets.stations.composite import COMPOSITE_FILE, MONTHLY_COMPOSITE
from geo_assets.stations.ground import Ground, ground_of, units_of
from geo_assets.stations.harmonisation import (
    HARMONISATION,
    OVERLAP_STATISTICS,
    corrections_of,
    harmonisation_wanted,
    left_alone_in,
    pair_seams,
)
from geo_assets.stations.line import Line, Station, expected
from geo_assets.stations.mosaic_grid import (
    mosaic_crs,
    mosaic_grid,
    mosaic_ground,
    mosaic_placement,
    neighbours_of,
)
from geo_assets.stations.mosaicking.blend import BlendSettings
from geo_assets.stations.mosaicking.measuring import SUMS_ARRAYS, MosaicSums
from geo_assets.stations.pictures import put_reflectance_pictures, put_weight_picture
from geo_assets.stations.stac import COLLECTION_FILE, put_stac_item, sources_of
from geo_assets.stations.tile_blend import LAYERS, SHARE_STEP, TileBlend, layer_nodata
from geo_assets.stations.units import BlockSource, finish_units, put_raster, reflectance_bands

MOSAIC_FILE = "mosaic.tif"
_SHARE_PX = BLOCK_PX // SHARE_STEP
_SCALE = 1e-4


def expect_current(line: Line, station: Station, product: Product) -> None:
    """Refuse a product that was made from other settings or inputs than the region's.

    Where its own inputs are gone, which is no fault, nobody can tell, and it is let pass.

    Raises
    ------
    ProductError
        It is stale.
    """
    try:
        wanted, _ = expected(line, station, product.place)
    except MissingProductError:
        return
    made = product.manifest.fingerprint
    if made != wanted:
        raise ProductError(
            f"Region {product.region}, {product.place}: found it made as {made[:12]}, of other settings or inputs than "
            f"the region's, expected {wanted[:12]}. Run `geo-assets backfill`, or materialise it before what reads it."
        )


def _expect_composite(region: Region, tile: str, product: Product) -> None:
    """Refuse a composite that cannot be blended: other bands, another grid, or floats, of which NaN would be one."""
    facts, geobox = raster_facts(product.path(COMPOSITE_FILE)), ground_of(region, tile).geobox
    pairs = {
        "bands": (", ".join(facts.names), ", ".join(region.bands)),
        "pixels": (f"{facts.dtype}, nodata {facts.nodata}", f"int16, nodata {float(NODATA_REFLECTANCE)}"),
        "grid": (_grid_words(facts.geobox), _grid_words(geobox)),
    }
    for what, (found, wanted) in pairs.items():
        if found != wanted:
            raise ProductError(
                f"Region {region.name}, {product.place}: found {what} {found}, expected {wanted}. It cannot be blended "
                "with its neighbours: delete its folder and run `geo-assets backfill`."
            )


def _grid_words(geobox: GeoBox) -> str:
    """A grid in words that differ where grids do."""
    height, width = geobox.shape
    corner, crs = f"{geobox.transform.c:.3f}, {geobox.transform.f:.3f}", geobox.crs
    named = f"EPSG:{crs.epsg}" if crs is not None and crs.epsg else "a CRS without a number"
    return f"{width} x {height} px of {geobox.resolution.x:g} m at {corner} in {named}"


def _upstream(line: Line, place: Place) -> tuple[Place, ...]:
    assert place.tile is not None  # the station's scope
    near = neighbours_of(line.region, place.tile)
    return (
        *(Place(MONTHLY_COMPOSITE.name, tile, place.month) for tile in near),
        *_adjusting(line.region, place),
    )


def _mosaic(line: Line, place: Place, build: Build) -> None:
    assert place.tile is not None  # the station's scope
    region = line.region
    composites: dict[str, Product] = {}
    for tile in neighbours_of(region, place.tile):
        product = line.products.need(Place(MONTHLY_COMPOSITE.name, tile, place.month))
        expect_current(line, MONTHLY_COMPOSITE, product)
        if product.manifest.status == "done":
            _expect_composite(region, tile, product)
            composites[tile] = product
    if not composites:
        build.empty("neither the tile nor a neighbour has a composite")
        return
    ground = mosaic_ground(region, place.tile)
    build.lies_on(ground.geobox)
    settings, adjusted = _blend_settings(line, place, composites)
    blend = _blend(region, place.tile, ground, composites, settings)
    units = units_of(ground.blocks(), line.unit_blocks)
    jobs = {key: partial(blend.unit, blocks) for key, blocks in units.items()}
    kept = finish_units(line, build, jobs, str(place), keep=["counts", *SUMS_ARRAYS])
    counts = np.sum([arrays["counts"] for arrays in kept.values()], axis=0)
    if counts[0] == 0:
        build.empty("no composite has data on this tile")
        return
    figures = sum((MosaicSums.from_arrays(arrays) for arrays in kept.values()), MosaicSums())
    build.metric("valid_px", int(counts[0]))
    build.metric("blended_share", float(counts[1] / counts[0]))
    build.metric("valid_share", float(counts[2] / max(int(counts[3]), 1)))
    build.metric("contributors", sorted(composites))
    build.metric("mosaic_crs", mosaic_crs(region))
    build.metric("mosaic_grid", mosaic_grid(region))
    build.metric("feather_px", region.feather_px)
    build.metric("harmonised", adjusted)
    measured = figures.figures(region.bands, _SCALE)
    for name, value in measured.items():
        build.metric(name, value)
    build.metric("blended_px", int(counts[1]))  # pixels; what was measured counts each band of them
    _expect_no_seam(region, place, measured)
    keys = {block: key for key, blocks in units.items() for block in blocks}
    attribution = attribution_of(product.path(COMPOSITE_FILE) for product in composites.values())
    for layer in ("mosaic", *LAYERS):
        put_raster(
            build,
            ground,
            MOSAIC_FILE if layer == "mosaic" else f"{layer}.tif",
            BlockSource(build.units, keys, layer, lambda key: jobs[key]()),
            bands=reflectance_bands(region.bands) if layer == "mosaic" else [RasterBand(layer)],
            dtype=np.int16 if layer == "mosaic" else np.uint8,
            nodata=None if layer == "observation_count" else layer_nodata(layer),
            role="mosaic.reflectance" if layer == "mosaic" else f"mosaic.{layer}",
            threads=line.threads,
            attribution=attribution,
            with_fingerprint=True,
        )
    put_reflectance_pictures(build, region, MOSAIC_FILE, ground.extent())
    put_weight_picture(build, _own_share(build, jobs, keys, ground))
    sources = sorted({item for product in composites.values() for item in sources_of(product)})
    collection = f"../../../{Place('region_mosaic', None, place.month).folder}/{COLLECTION_FILE}"
    put_stac_item(build, line, place, MOSAIC_FILE, geobox=ground.geobox, sources=sources, collection=collection)


def _blend(
    region: Region, tile: str, ground: Ground, composites: Mapping[str, Product], settings: BlendSettings
) -> TileBlend:
    placements = {other: mosaic_placement(region, other) for other in composites}
    return TileBlend(
        mosaic_placement(region, tile),
        ground,
        tuple(PlacedRaster(composites[other].path(COMPOSITE_FILE), where) for other, where in placements.items()),
        {
            layer: {
                other: PlacedRaster(
                    composites[other].path(f"{layer}.tif"), where, nodata=layer_nodata(layer), categorical=True
                )
                for other, where in placements.items()
            }
            for layer in LAYERS
        },
        settings,
    )


def _adjusting(region: Region, place: Place) -> tuple[Place, ...]:
    """What tells how the composites are adjusted before they are blended, and where they are cut."""
    places = [Place(HARMONISATION.name, None, place.month)] if harmonisation_wanted(region) else []
    if region.mosaic.seamline:
        assert place.tile is not None  # the station's scope
        near = neighbours_of(region, place.tile)
        places += [Place(OVERLAP_STATISTICS.name, tile, place.month) for tile in near]
    return tuple(places)


def _blend_settings(
    line: Line, place: Place, composites: Mapping[str, Product]
) -> tuple[BlendSettings, dict[str, Any]]:
    """How the composites are blended, and the same in words for the metric `harmonised`."""
    region = line.region
    products = [line.products.need(needed) for needed in _adjusting(region, place)]
    solved = [product for product in products if product.place.tile is None and product.manifest.status == "done"]
    corrections = {tile: corrections_of(product, tile) for product in solved for tile in composites}
    seams = pair_seams([product for product in products if product.place.tile is not None])
    told = {
        tile: {
            band: [round(correction.gain, 9), round(correction.offset * _SCALE, 9)]
            for band, correction in zip(region.bands, of_bands, strict=True)
        }
        for tile, of_bands in sorted(corrections.items())
    }
    settings = BlendSettings(
        region.feather_px,
        region.mosaic.profile,
        corrections=corrections,
        seamlines=seams if region.mosaic.seamline else None,
        measure=True,
    )
    alone = {tile: bands for product in solved for tile, bands in left_alone_in(product).items() if tile in composites}
    return settings, {"mode": region.mosaic.harmonise, "gain_and_offset": told, "left_alone": alone}


def _expect_no_seam(region: Region, place: Place, figures: Mapping[str, Any]) -> None:
    """Refuse a mosaic whose seam is seen, if the region asks for that."""
    ratio = figures["seam_ratio"]
    limit = largest_seam_ratio(region.mosaic.seam_limit, figures["seam_ratio_by_chance"])
    if region.mosaic.seam_gate == "report" or ratio is None or ratio <= limit:
        return
    bands = {name: band["seam_ratio"] for name, band in figures["by_band"].items() if band["seam_ratio"] is not None}
    worst = max(bands, key=lambda name: bands[name], default="none")
    raise ProductError(
        f"Region {region.name}, {place}: found a seam of {figures['seam_step_dn']:.3g} counts where contributors "
        f"change, {ratio:.3g} times the noise floor of {figures['seam_floor_dn']:.3g} (worst in band {worst}), "
        f"expected {limit:g} times at most. Set mosaic.harmonise: gain_offset where tiles differ in brightness, "
        "mosaic.seamline: true where the ground changed, or a wider mosaic.feather_m; or raise mosaic.seam_limit."
    )


def _own_share(
    build: Build, jobs: Mapping[str, Any], keys: Mapping[tuple[int, int], str], ground: Ground
) -> NDArray[np.uint8]:
    """(y, x) uint8: every eighth pixel's weight of the tile itself, per cent, 255 nodata; the whole tile."""
    height, width = (-(-edge // SHARE_STEP) for edge in ground.geobox.shape)
    shares = np.full((height, width), NODATA_CLASS, np.uint8)
    source = BlockSource(build.units, keys, "share", lambda key: jobs[key]())
    for row, col in sorted(keys):
        share = source(row, col)
        if share is not None:
            top, left = row * _SHARE_PX, col * _SHARE_PX
            shares[top : top + share.shape[0], left : left + share.shape[1]] = share
    return shares


def _settings(region: Region) -> Mapping[str, Any]:
    unused = {"crs"} if region.mosaic.seam_gate == "raise" else {"crs", "seam_limit"}
    return {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        **region.mosaic.model_dump(mode="json", exclude=unused),
        "bands": list(region.bands),
        "grid": mosaic_grid(region),
    }


SEAM_BLENDED_MOSAIC = Station(
    name="seam_blended_mosaic",
    version="2",
    scope="tile_month",
    summary="Composites of a tile and its neighbours, feathered by distance: identical wherever two mosaics overlap.",
    settings=_settings,
    upstream=_upstream,
    build=_mosaic,
)
