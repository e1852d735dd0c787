"""Reflectance for a page that must stay small: reduced, as JPEG; and two windows side by side under one stretch."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geo_assets.domain.arrays import NODATA_REFLECTANCE, Flag
from geo_assets.io.pictures.preview import nodata_painted

_DARKEST, _BRIGHTEST = 1.0, 99.0
"""Per cent of the pixels that a local stretch shows as black and as white."""

_LEAST_RANGE = 200
"""Counts from black to white at least: noise of flat ground shall not look like structure."""


def jpeg_bytes(image: Image.Image, *, quality: int = 85, sharp: bool = False) -> bytes:
    """JPEG file of the image without time stamps; `sharp` keeps colours at full resolution."""
    rgb, subsampling = image.convert("RGB"), 0 if sharp else 2
    stream = io.BytesIO()
    try:
        rgb.save(stream, format="JPEG", quality=quality, subsampling=subsampling, optimize=True, progressive=True)
    except OSError:  # Pillow's buffer, a byte or two a pixel, is too small for noise
        stream = io.BytesIO()
        rgb.save(stream, format="JPEG", quality=quality, subsampling=subsampling)
    return stream.getvalue()


def palette_bytes(image: Image.Image) -> bytes:
    """PNG file of a map of classes in a palette of its own: a tenth of the size, and no colour off by more than one."""
    small = image.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    stream = io.BytesIO()
    small.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def reduced(image: Image.Image, max_px: int) -> Image.Image:
    """The image with no edge over `max_px`; itself where it is small enough."""
    scale = max_px / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(edge * scale)) for edge in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def alike_stretched(
    first: NDArray[np.int16], second: NDArray[np.int16], *, enlarged: int = 1
) -> tuple[Image.Image, Image.Image]:
    """Pictures of two windows in which the same count is the same colour, with as much contrast as the first allows.

    Parameters
    ----------
    first, second : (3, y, x) int16
        What is shown as red, green and blue, reflectance x 10,000, -32768 nodata.
    enlarged
        Edge of the square that shows a pixel.

    Returns
    -------
    pictures
        RGB. 1 % of the first one's valid values are black, 1 % white, unless that is less than 0.02 of reflectance;
        nodata is grey.
    """
    valid: Flag = (first != NODATA_REFLECTANCE).all(axis=0)
    values = first[:, valid]
    low, high = np.percentile(values, (_DARKEST, _BRIGHTEST)) if values.size else (0.0, 0.0)
    wider = max(_LEAST_RANGE - (high - low), 0) / 2
    one, other = (_stretched(bands, float(low - wider), float(high + wider)) for bands in (first, second))
    return _enlarged(one, enlarged), _enlarged(other, enlarged)


def _stretched(bands: NDArray[np.int16], low: float, high: float) -> Image.Image:
    shares = np.clip((bands.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    tones = np.rint(255 * shares ** (1 / 1.2)).astype(np.uint8)
    return nodata_painted(np.moveaxis(tones, 0, -1), (bands != NODATA_REFLECTANCE).all(axis=0))


def _enlarged(image: Image.Image, factor: int) -> Image.Image:
    width, height = image.size
    return image.resize((width * factor, height * factor), Image.Resampling.NEAREST)
