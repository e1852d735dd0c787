"""Pictures beside products: fixed stretches, so that months and tiles compare at a glance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode
from geo_assets.domain.region import Region
from geo_assets.io.pictures.layer_maps import count_map, day_map, mask_overlay, uncertainty_map, weight_map
from geo_assets.io.pictures.preview import band_picture, crop_to_valid, png_bytes, thumbnail_png, true_colour
from geo_assets.io.products import Build
from geo_assets.io.rasters import read_reduced
from geo_assets.stations.ground import Window

QUICKLOOK, THUMBNAIL = "quicklook.png", "thumbnail.png"
PNG = "image/png"
_QUICKLOOK_PX = 1024


def reflectance_picture(bands: NDArray[np.int16], names: Sequence[str]) -> Image.Image:
    """True colour of (band, y, x) reflectance counts, or the first band in grey where red, green or blue is lacking."""
    if {"red", "green", "blue"} <= set(names):
        red, green, blue = (bands[list(names).index(name)] for name in ("red", "green", "blue"))
        return true_colour(red, green, blue, max_px=_QUICKLOOK_PX)
    return band_picture(bands[0], max_px=_QUICKLOOK_PX)


def put_reflectance_pictures(build: Build, region: Region, raster: str, extent: Window) -> tuple[slice, slice, int]:
    """Put a quicklook and a thumbnail of a reflectance raster that waits in the build's scratch folder.

    Returns
    -------
    rows, cols, max_px
        Where the reduced raster holds data, and the reduction's `max_px`, for further pictures alike.
    """
    bands = read_reduced(build.scratch(raster), *extent.slices, max_px=_QUICKLOOK_PX)
    rows, cols = crop_to_valid(*bands)
    picture = reflectance_picture(bands[:, rows, cols], region.bands)
    build.put(QUICKLOOK, png_bytes(picture), role="overview.true_colour", media_type=PNG)
    build.put(THUMBNAIL, thumbnail_png(picture), role="thumbnail", media_type=PNG)
    return rows, cols, _QUICKLOOK_PX


def put_composite_pictures(build: Build, region: Region, raster: str, extent: Window) -> None:
    """Quicklook, thumbnail, observation count, day and, where it has one, uncertainty of a composite."""
    rows, cols, max_px = put_reflectance_pictures(build, region, raster, extent)
    if region.composite.uncertainty:
        planes = read_reduced(build.scratch("uncertainty.tif"), *extent.slices, max_px=max_px)[:, rows, cols]
        build.put("uncertainty.png", png_bytes(uncertainty_map(planes)), role="overview.uncertainty", media_type=PNG)
    for layer, draw in (("observation_count", count_map), ("day", day_map)):
        plane = read_reduced(build.scratch(f"{layer}.tif"), *extent.slices, max_px=max_px)[0][rows, cols]
        build.put(f"{layer}.png", png_bytes(draw(plane)), role=f"overview.{layer}", media_type=PNG)


def put_mask_picture(
    build: Build,
    scene_id: str,
    reflectance: NDArray[np.int16],
    names: Sequence[str],
    codes: ClassCode,
    *,
    thumbnail: bool = False,
) -> None:
    """A scene in true colour with its mask tinted over it; (band, y, x) and (y, x) on one reduced grid.

    With `thumbnail`, it stands for the whole product.
    """
    rows, cols = crop_to_valid(codes)
    base = reflectance_picture(reflectance[:, rows, cols], names)
    picture = mask_overlay(base, codes[rows, cols], title=scene_id)
    build.put(f"{scene_id}.overlay.png", png_bytes(picture), role="overview.mask", media_type=PNG)
    if thumbnail:
        plain = mask_overlay(base, codes[rows, cols], legend=False)
        build.put(THUMBNAIL, thumbnail_png(plain), role="thumbnail", media_type=PNG)


def put_weight_picture(build: Build, own_weight: NDArray[np.uint8]) -> None:
    """How much of each mosaic pixel comes from the tile itself; (y, x) uint8 per cent, 255 nodata."""
    rows, cols = crop_to_valid(own_weight)
    share = np.where(own_weight == NODATA_CLASS, np.nan, own_weight / 100).astype(np.float32)[rows, cols]
    picture = weight_map(share, title="Share of this tile's own composite")
    build.put("weight.png", png_bytes(picture), role="overview.weight", media_type=PNG)
