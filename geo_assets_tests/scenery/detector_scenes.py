"""Small scenes for detectors that read files or start programs, and the rasters that those would find or write."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from geo_assets.domain.bands import HYBRID_BANDS
from geo_assets.kernels.detection import DetectorInput

SCENE = "S2B_33TVL_20240613_0_L1C"
CORNER = (499_980, 5_100_000)
GRID = GeoBox((8, 6), Affine(60, 0, CORNER[0], 0, -60, CORNER[1]), "EPSG:32633")
"""The mask's grid: 480 m high, 360 m wide."""


def small_scene(valid=None, *, bands=None, geobox=GRID, scene=SCENE, level="L1C", offset=-1000) -> DetectorInput:
    """Twelve bands of counts as stored, all of them 3000 unless given."""
    bands = {name: np.full(geobox.shape, 3000, np.uint16) for name in HYBRID_BANDS} if bands is None else bands
    valid = np.ones(geobox.shape, bool) if valid is None else valid
    return DetectorInput(bands, valid, None, 60.0, level=level, offset=offset, geobox=geobox, scene=scene)


def write_raster(path: Path, values, *, pixel_m=60.0, corner=CORNER, crs="EPSG:32633", driver="GTiff", **more) -> Path:
    """One band, or several, north-up."""
    values = np.asarray(values)
    values = values[np.newaxis] if values.ndim == 2 else values
    with rasterio.open(
        path,
        "w",
        driver=driver,
        dtype=values.dtype,
        count=len(values),
        height=values.shape[1],
        width=values.shape[2],
        crs=crs,
        transform=more.pop("transform", Affine(pixel_m, 0, corner[0], 0, -pixel_m, corner[1])),
        **more,
    ) as dataset:
        dataset.write(values)
    return path
