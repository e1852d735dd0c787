"""What was really there: the ground of each month, the sky of each overpass, to measure a station's error."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from geo_assets.demo.ground import Ground, surface_reflectance
from geo_assets.demo.sky import OPACITY_STEPS, Sky
from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, Flag, ReflectanceCount
from geo_assets.domain.errors import MissingProductError
from geo_assets.domain.tile_month import Month

TRUTH_BANDS = ("blue", "green", "red", "nir")
"""Bands of the ground's truth, in file order."""

_FOLDER = "truth"


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """Surface reflectance in the middle of a month over the whole window: no air, clouds, gains or noise."""

    surface: ReflectanceCount
    """(band, y, x) int16, reflectance x 10,000, in the order of `TRUTH_BANDS`; valid everywhere."""
    geobox: GeoBox
    """The window at the L2A bands' pixel size."""


@dataclass(frozen=True, slots=True, eq=False)
class SkyTruth:
    """Clouds of one overpass over the whole window, beyond its swath too; arrays are (y, x)."""

    opacity: NDArray[np.float32]
    """0 clear to 1 opaque, clouds and cirrus together; the archive calls it cloud above `sky.CLOUD_FROM`."""
    shadow: Flag
    """True where ground that is not cloud lies in a cloud's shadow."""
    covered: Flag
    """True inside the swath."""
    geobox: GeoBox
    """The window at the L2A bands' pixel size."""


def acquisition_of(item_id: str) -> str:
    """Name of an item's overpass: `S2A_20240603` of `S2A_33TVL_20240603_0_L2A`."""
    platform, _, day, *_ = item_id.split("_")
    return f"{platform}_{day}"


def acquisition_names(archive: Path) -> tuple[str, ...]:
    """Every overpass that the archive has the truth of, in order of time."""
    names = [path.stem.removeprefix("sky_") for path in (archive / _FOLDER).glob("sky_*.tif")]
    return tuple(sorted(names, key=lambda name: name.split("_")[1]))


def load_ground(archive: Path, month: Month) -> GroundTruth:
    """The ground of one month.

    Raises
    ------
    MissingProductError
        The archive has no such month.
    """
    layers, geobox = _read(archive / _FOLDER / f"ground_{month}.tif")
    return GroundTruth(layers.astype(np.int16, copy=False), geobox)


def load_sky(archive: Path, acquisition: str) -> SkyTruth:
    """The sky of one overpass, named as by `acquisition_of`.

    Raises
    ------
    MissingProductError
        The archive has no such overpass.
    """
    layers, geobox = _read(archive / _FOLDER / f"sky_{acquisition}.tif")
    opacity = layers[0].astype(np.float32) / np.float32(OPACITY_STEPS)
    return SkyTruth(opacity, np.asarray(layers[1] == 1), np.asarray(layers[2] == 1), geobox)


def write_ground(archive: Path, ground: Ground, month: Month) -> None:
    """Lay down the truth of a month."""
    surface = np.stack([surface_reflectance(ground, month, band) for band in TRUTH_BANDS])
    path = archive / _FOLDER / f"ground_{month}.tif"
    write_cog(path, surface, ground.geobox, nodata=NODATA_REFLECTANCE, overviews=Resampling.average)


def write_sky(archive: Path, sky: Sky, covered: Flag, geobox: GeoBox, acquisition: str) -> None:
    """Lay down the truth of an overpass: opacity, shadow and coverage as three uint8 bands."""
    layers = np.stack([sky.opacity, sky.is_shadow.astype(np.uint8), covered.astype(np.uint8)])
    path = archive / _FOLDER / f"sky_{acquisition}.tif"
    write_cog(path, layers, geobox, nodata=NODATA_CLASS, overviews=Resampling.nearest)


def write_cog(path: Path, layers: NDArray[np.generic], geobox: GeoBox, *, nodata: int, overviews: Resampling) -> None:
    """A cloud-optimized GeoTIFF as public archives have them: 256 px blocks, DEFLATE, overviews.

    Parameters
    ----------
    layers : (band, y, x)
        Integers.
    overviews
        How they are made; classes need `nearest`.

    Notes
    -----
    GDAL's COG driver on one thread: the same layers make the same bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = layers.shape
    with rasterio.open(
        path, "w", driver="COG", count=count, height=height, width=width, dtype=layers.dtype, nodata=nodata,
        crs=str(geobox.crs), transform=geobox.affine, compress="DEFLATE", level=6, predictor="STANDARD",
        blocksize=256, overview_resampling=overviews.name, interleave="BAND",
    ) as raster:  # fmt: skip
        raster.write(layers)


def _read(path: Path) -> tuple[NDArray[np.generic], GeoBox]:
    if not path.is_file():
        raise MissingProductError(
            f"Demo archive {path.parent.parent.name}: found no {path.name} in its truth. Ask for one of "
            f"{', '.join(sorted(other.stem for other in path.parent.glob('*.tif')))}."
        )
    with rasterio.open(path) as raster:
        affine = Affine(*raster.transform[:6])
        return raster.read(), GeoBox(raster.shape, affine, f"EPSG:{raster.crs.to_epsg()}")
