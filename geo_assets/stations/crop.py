"""A piece of a region's mosaic for somebody else: one GeoTIFF, cut along an area."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.arrays import BLOCK_PX, NODATA_REFLECTANCE
from geo_assets.domain.errors import MissingProductError, ProductError, RegionError, ResourceError
from geo_assets.domain.region import Region
from geo_assets.domain.tile_month import Month
from geo_assets.io.area import inside_area, projected_area
from geo_assets.io.cog_writer import write_cog
from geo_assets.io.free_space import expect_free_space
from geo_assets.io.places import Place
from geo_assets.io.products import Product
from geo_assets.io.rasters import RasterFacts, raster_facts, read_window
from geo_assets.stations.ground import Window
from geo_assets.stations.line import Line
from geo_assets.stations.mosaic_grid import mosaic_crs
from geo_assets.stations.region_mosaic import REGION_FILE, REGION_MOSAIC
from geo_assets.stations.units import reflectance_bands


def crop_mosaic(
    line: Line,
    month: Month | str,
    area: BaseGeometry,
    output: str | Path,
    *,
    bands: Sequence[str] | None = None,
    bbox_only: bool = False,
) -> Path:
    """Write the part of a region's mosaic that lies in an area as a strict cloud-optimised GeoTIFF.

    Parameters
    ----------
    line
        Of the region; see `open_line`.
    month
        Whose mosaic; `2024-07`.
    area
        Polygons in EPSG:4326. The pixels whose centres lie inside are kept, as they are: nothing is resampled.
    output
        File to write, replaced in one step; its folder exists.
    bands
        Names in the order wanted; all of the region's by default.
    bbox_only
        Keep the whole rectangle round the area; else what lies outside of the area is nodata.

    Returns
    -------
    output
        The file: int16 reflectance counts, nodata -32768, on the lattice of the region's mosaic.

    Raises
    ------
    RegionError
        The area does not meet the region's mosaic, or is none; the month or a band is not the region's.
    MissingProductError
        The month's mosaic has not been made.
    ProductError
        The month is empty, or its mosaic is damaged.
    ResourceError
        The file cannot be written, or would not fit.
    """
    month = Month.parse(month) if isinstance(month, str) else month
    output = Path(output)
    product = _built(line, month)
    line.products.expect_whole(product)
    raster = product.path(REGION_FILE)
    facts = raster_facts(raster)
    numbers = _numbers(line, facts, bands)
    if output.exists() and output.samefile(raster):
        raise RegionError(f"Crop {output}: is the mosaic itself, which would be lost. Choose another name.")
    shape = _on_the_ground(shapely.force_2d(area), line.region)
    window = _window(shape, facts.geobox)
    if window is None:
        raise _apart(area, line.region.name)
    geobox = facts.geobox[window.slices]
    met: list[tuple[int, int]] = []

    def block(block_row: int, block_col: int) -> NDArray[Any] | None:
        """The pixels of one block of the piece; None where none of them is inside."""
        row, col = block_row * BLOCK_PX, block_col * BLOCK_PX
        part = Window(row, col, min(BLOCK_PX, window.height - row), min(BLOCK_PX, window.width - col))
        inside = True if bbox_only else inside_area(shape, geobox[part.slices])
        if not np.any(inside):
            return None
        met.append((block_row, block_col))
        rows, cols = Window(window.row + row, window.col + col, part.height, part.width).slices
        pixels = read_window(raster, rows, cols, numbers)
        return pixels if bbox_only else np.where(inside, pixels, NODATA_REFLECTANCE).astype(np.int16)

    raw_bytes = 2 * len(numbers) * window.height * window.width
    expect_free_space(
        output.absolute().parent,
        raw_bytes * 8 // 3,  # overviews add a third; the writer's spools are as large as the file
        what=f"Crop {output}",
        remedy="Choose a smaller area, fewer bands or another --output.",
    )
    names = [line.region.bands[number - 1] for number in numbers]
    part_file = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        write_cog(
            part_file,
            geobox,
            np.int16,
            NODATA_REFLECTANCE,
            reflectance_bands(names),
            block,
            overviews="average",
            threads=line.threads,
            tags={name: text for name, text in facts.tags.items() if name in _KEPT_TAGS},
        )
        if not met:
            raise _apart(area, line.region.name)  # it lies between the centres of pixels
        os.replace(part_file, output)
    except OSError as error:
        raise ResourceError(
            f"Crop {output}: cannot be written ({error.strerror}). Choose a folder that you may write to, "
            "or free some space."
        ) from None
    finally:
        with suppress(OSError):
            part_file.unlink(missing_ok=True)
    return output


_KEPT_TAGS = ("REGION", "MONTH", "FINGERPRINT", "ATTRIBUTION")


def _built(line: Line, month: Month) -> Product:
    """The month's region mosaic, which has data."""
    region = line.region
    months = region.month_list
    if month not in months:
        raise RegionError(
            f"Month {month}: is not one of region {region.name}'s, expected {months[0]} to {months[-1]}. "
            "Choose one of them, or change months in the region file."
        )
    product = line.products.find(Place(REGION_MOSAIC.name, None, month))
    if product is None:
        raise MissingProductError(
            f"Region {region.name}, {month}: its mosaic is not made. Run `geo-assets backfill`, and crop it then."
        )
    if product.manifest.status == "empty":
        raise ProductError(
            f"Region {region.name}, {month}: its mosaic is empty ({product.manifest.reason}). Choose another month."
        )
    return product


def _numbers(line: Line, facts: RasterFacts, bands: Sequence[str] | None) -> list[int]:
    """Numbers of the bands wanted, from 1."""
    if facts.names != line.region.bands:
        raise ProductError(
            f"Region {line.region.name}: its mosaic has bands {', '.join(facts.names)}, the region file "
            f"{', '.join(line.region.bands)}. Run `geo-assets backfill` first."
        )
    wanted = facts.names if bands is None else tuple(bands)
    unknown = [band for band in wanted if band not in facts.names]
    if unknown or not wanted or len(set(wanted)) < len(wanted):
        raise RegionError(
            f"Bands {', '.join(wanted) or 'none'}: expected some of {', '.join(facts.names)}, each once. "
            "Correct --bands."
        )
    return [facts.names.index(band) + 1 for band in wanted]


def _on_the_ground(area: BaseGeometry, region: Region) -> BaseGeometry:
    """What of an area lies on or near a region's mosaic, in the mosaic's CRS."""
    if area.is_empty or area.area == 0 or not area.is_valid:
        raise RegionError(
            f"Area: found {'an invalid' if not area.is_valid else 'an empty'} {area.geom_type}, expected a polygon "
            "with an area, EPSG:4326, longitude first. Repair it."
        )
    west, south, east, north = area.bounds
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise RegionError(
            f"Area: found bounds {west:g} {south:g} {east:g} {north:g}, expected degrees, longitude first. "
            "Transform it to EPSG:4326, and split it at the antimeridian."
        )
    beyond_m = region.feather_m + 2 * BLOCK_PX * region.pixel_m  # as far as blocks reach out of the region's area
    shape = projected_area(area, region.geometry, mosaic_crs(region), margin_m=beyond_m)
    if shape.is_empty:
        raise _apart(area, region.name)
    return shape


def _window(shape: BaseGeometry, geobox: GeoBox) -> Window | None:
    """The smallest window with all pixels that a shape of the grid's CRS touches; None where it touches none."""
    (left, low, right, high), inverse = shape.bounds, ~geobox.transform
    (first_col, first_row), (last_col, last_row) = inverse * (left, high), inverse * (right, low)
    height, width = geobox.shape
    row, col = max(int(np.floor(first_row)), 0), max(int(np.floor(first_col)), 0)
    bottom, right_col = min(int(np.ceil(last_row)), height), min(int(np.ceil(last_col)), width)
    if row >= bottom or col >= right_col:
        return None
    return Window(row, col, bottom - row, right_col - col)


def _apart(area: BaseGeometry, region: str) -> RegionError:
    where = " ".join(f"{value:g}" for value in area.bounds)
    return RegionError(
        f"Area with bounds {where}: holds no pixel of the mosaic of region {region}. Choose one inside of it "
        "(degrees, longitude first)."
    )
