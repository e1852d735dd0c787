"""A raster that somebody else made, and where the pixels of a mask lie in it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geo_assets.domain.errors import DetectorError, GridMismatchError
from geo_assets.io.gdal import BLOCK_CACHE, gdal_warnings

ROWS_AT_A_TIME = 256
"""Rows of the mask that are read together: rasters of 10 m pixels are 36 times as large as a mask of 60 m."""

_HFA_SIGNATURE = b"EHFA_HEADER_TAG"
"""How files of python-fmask's format begin. All others are opened as GeoTIFF: GDAL's further drivers never see them."""

_FINEST_PX = 32.0
"""Pixels of the raster to one of the mask, at most: bounds what is read."""

_SAME_M = 1e-3


@contextmanager
def opened(path: Path, about: str) -> Iterator[rasterio.DatasetReader]:
    """A user's raster while it is read; `DetectorError` names it when it is missing or broken, or when GDAL warns."""
    if not path.is_file():
        raise DetectorError(
            f"{about}: there is no file {path}. Put it there, or correct the path in the region file's mask."
        )
    complaints: list[str] = []
    try:
        with (
            rasterio.Env(**BLOCK_CACHE),
            gdal_warnings() as complaints,
            rasterio.open(path, driver=_driver(path)) as dataset,
        ):
            yield dataset
            problem = "; ".join(complaints)
    except (RasterioError, OSError, NotGeoreferencedWarning) as error:
        problem = "; ".join([*complaints, str(error)])
    if problem:
        raise DetectorError(
            f"{about}: {path.name} cannot be read ({problem:.300}), expected a whole GeoTIFF or HFA (.img) raster. "
            "Make it again."
        )


def _driver(path: Path) -> str:
    with path.open("rb") as file:
        return "HFA" if file.read(len(_HFA_SIGNATURE)) == _HFA_SIGNATURE else "GTiff"


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where the pixels of a mask lie in a raster of the same CRS."""

    top: float
    """Row of the raster, in its pixels and parts of them, at which the mask begins."""
    left: float
    """Column likewise."""
    step: float
    """Edge of a mask pixel in pixels of the raster."""
    pixel_m: float
    """Edge of the raster's pixel."""

    def overlapping(self, first: int, stop: int, *, along_rows: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """First pixel of the raster that touches each mask pixel from `first` to `stop`, and the one after the last."""
        edges = (self.top if along_rows else self.left) + np.arange(first, stop + 1) * self.step
        tolerance = _SAME_M / self.pixel_m
        return np.floor(edges[:-1] + tolerance).astype(np.intp), np.ceil(edges[1:] - tolerance).astype(np.intp)

    def nearest(self, first: int, stop: int, *, along_rows: bool) -> NDArray[np.intp]:
        """Pixel of the raster in which the centre of each mask pixel lies; it may be off the raster."""
        centres = (self.top if along_rows else self.left) + (np.arange(first, stop) + 0.5) * self.step
        pixels: NDArray[np.intp] = np.floor(centres + _SAME_M / self.pixel_m).astype(np.intp)
        return pixels


def lattice(dataset: rasterio.DatasetReader, geobox: GeoBox, about: str) -> Lattice:
    """Where a mask's pixels lie in a raster: north-up and square both, in one CRS.

    Raises
    ------
    GridMismatchError
        Another CRS, a raster that is turned or has oblong pixels, or pixels so small that it is no mask's.
    """
    theirs, ours = dataset.transform, geobox.transform
    if dataset.crs is None or not _same_crs(dataset.crs, geobox):
        found = "no CRS" if dataset.crs is None else f"CRS {_crs_name(dataset.crs)}"
        raise GridMismatchError(
            f"{about}: found {found}, expected {geobox.crs}. Warp it to the scene's own CRS by nearest neighbour."
        )
    if theirs.b or theirs.d or theirs.a <= 0 or not math.isclose(theirs.a, -theirs.e, rel_tol=1e-9):
        raise GridMismatchError(
            f"{about}: found the transform {tuple(theirs)[:6]}, expected north-up square pixels. Warp it to such ones."
        )
    step = ours.a / theirs.a
    if step > _FINEST_PX:
        raise GridMismatchError(
            f"{about}: found pixels of {theirs.a:g} m for a mask of {ours.a:g} m, expected at most {_FINEST_PX:g} to "
            "one. Reduce it first."
        )
    return Lattice((theirs.f - ours.f) / theirs.a, (ours.c - theirs.c) / theirs.a, step, theirs.a)


def expect_aligned(dataset: rasterio.DatasetReader, geobox: GeoBox, where: Lattice, about: str) -> None:
    """Refuse, with `GridMismatchError`, a raster that does not cover the mask or is shifted against it.

    Not shifted is what shares its lines with the mask where both have one: an origin that is a whole number of common
    parts of both pixels away, such as 10 m for pixels of 20 and 30 m.
    """
    height, width = geobox.shape
    theirs_mm, ours_mm = round(where.pixel_m * 1000), round(geobox.resolution.x * 1000)
    common_m = math.gcd(theirs_mm, ours_mm) / 1000
    shifts = [abs(offset * where.pixel_m) % common_m for offset in (where.top, where.left)]
    shifted = max(min(shift, common_m - shift) for shift in shifts) > _SAME_M
    nested = common_m * 10 >= min(where.pixel_m, geobox.resolution.x)
    (first, _), (_, stop) = (
        where.overlapping(0, 1, along_rows=True),
        where.overlapping(height - 1, height, along_rows=True),
    )
    (left, _), (_, right) = (
        where.overlapping(0, 1, along_rows=False),
        where.overlapping(width - 1, width, along_rows=False),
    )
    covers = first[0] >= 0 and left[0] >= 0 and stop[0] <= dataset.height and right[0] <= dataset.width
    if shifted or not nested or not covers:
        what = "it does not cover the scene" if not covers else "its pixels are shifted against the scene's"
        raise GridMismatchError(
            f"{about}: found {_extent(dataset)}, expected pixels that cover {_extent_of(geobox)} and share its lines: "
            f"{what}. Make it on the scene's own grid."
        )


def _extent(dataset: rasterio.DatasetReader) -> str:
    west, south, east, north = dataset.bounds
    return f"{west:.10g} {south:.10g} {east:.10g} {north:.10g} in pixels of {dataset.transform.a:.10g} m"


def _extent_of(geobox: GeoBox) -> str:
    west, south, east, north = geobox.boundingbox.bbox
    return f"{west:.10g} {south:.10g} {east:.10g} {north:.10g} in pixels of {geobox.resolution.x:.10g} m"


def _same_crs(found: CRS, geobox: GeoBox) -> bool:
    """Whether a raster's CRS is the mask's; formats spell names and axes of one CRS in different ways."""
    expected = CRS.from_wkt(geobox.crs.to_wkt()) if geobox.crs is not None else None
    if expected is None:
        return False
    return found == expected or (found.to_epsg() is not None and found.to_epsg() == expected.to_epsg())


def _crs_name(crs: CRS) -> str:
    return f"EPSG:{crs.to_epsg()}" if crs.to_epsg() else crs.to_wkt()[:80]
