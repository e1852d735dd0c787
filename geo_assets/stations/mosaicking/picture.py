"""A picture of any mosaic: red, green and blue where its bands are called so, classes in their colours, else grey."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geo_assets.domain.arrays import Flag
from geo_assets.io.input_raster import InputRaster, input_raster
from geo_assets.io.pictures.preview import nodata_painted
from geo_assets.io.rasters import read_reduced
from geo_assets.kernels.mosaicking.blending import has_data

_COLORS = ("red", "green", "blue")
_SHOWN = (2.0, 98.0)
"""Per cent of the mosaic's values between black and white, all bands under one stretch."""


def mosaic_picture(path: Path, *, max_px: int = 1024) -> Image.Image:
    """A mosaic, reduced; the stretch is the picture's own, so two pictures do not compare.

    Raises
    ------
    ProductError
        The file cannot be read.
    """
    raster = input_raster(path)
    bands = _shown_bands(raster)
    values = read_reduced(path, slice(None), slice(None), max_px=max_px, bands=bands)
    nodata = raster.nodatas[0]
    valid = np.asarray(has_data(values, float("nan") if nodata is None else nodata).all(axis=0))
    if raster.palette:
        return nodata_painted(_in_palette(values[0], raster), valid)
    stretched = _stretched(values, valid)
    return nodata_painted(stretched if len(bands) == 3 else np.repeat(stretched, 3, axis=2), valid)


def _shown_bands(raster: InputRaster) -> list[int]:
    """Counted from 1."""
    for called in (raster.names, raster.colors):
        if set(_COLORS) <= set(called):
            return [called.index(color) + 1 for color in _COLORS]
    return [1]


def _in_palette(codes: NDArray[Any], raster: InputRaster) -> NDArray[np.uint8]:
    colours = np.zeros((256, 3), np.uint8)
    for code, colour in raster.palette.items():
        colours[code] = colour[:3]
    shown: NDArray[np.uint8] = colours[codes]
    return shown


def _stretched(values: NDArray[Any], valid: Flag) -> NDArray[np.uint8]:
    """(y, x, band) uint8."""
    if not valid.any():
        return np.zeros((*valid.shape, len(values)), np.uint8)
    exact = np.where(valid, values, 0).astype(np.float64)
    low, high = np.percentile(exact[:, valid], _SHOWN)
    stretched = np.clip((exact - low) / max(high - low, 1e-9), 0, 1) * 255
    return np.ascontiguousarray(np.rint(stretched).astype(np.uint8).transpose(1, 2, 0))
