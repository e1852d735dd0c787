"""Pictures of reflectance, and the ways out: PNG bytes, and thumbnails for Dagster's pages.

Stretches are fixed, so that two pictures compare, and the same array gives the same bytes. Masks and layers
are drawn in `layer_maps`.
"""

import base64
import io
from bisect import bisect_left
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, Flag, ReflectanceCount
from geo_assets.domain.bands import QUANTIFICATION
from geo_assets.domain.errors import GridMismatchError, ProductError
from geo_assets.io.pictures.legend import NODATA_COLOUR

MAX_PX = 1024
"""Longest edge of a picture, before a legend is added, unless a caller asks for another."""

TRUE_COLOUR_WHITE = 0.3
"""Reflectance shown as white in true colour: bare soil stays below, clouds lie above."""

TRUE_COLOUR_GAMMA = 1.4
"""Lifts vegetation and water, which are dark, as prints of satellite scenes do."""

BAND_WHITE = 0.5
"""Reflectance shown as white in a picture of one band; vegetation reaches 0.5 in the near infrared."""

THUMBNAIL_MAX_CHARS = 950
"""Length that no thumbnail reaches; Dagster shows an inline image only below 1000 characters of Markdown."""

_URI_HEAD = "data:image/png;base64,"
_THUMBNAIL_SIDES_PX = (96, 88, 80, 72, 64, 56, 52, 48, 44, 40, 36, 32, 28, 24, 20, 16)
_THUMBNAIL_SOURCE_PX = 2 * _THUMBNAIL_SIDES_PX[0]
_MOST_COLOURS, _FEWEST_COLOURS = 16, 8  # fewer lose the clouds' edges, more cost pixels that show more
_OUTPUT_ROWS = 64  # averaged at a time, which bounds the memory that a whole tile needs


def true_colour(
    red: ReflectanceCount, green: ReflectanceCount, blue: ReflectanceCount, *, max_px: int = MAX_PX
) -> Image.Image:
    """True-colour picture under one fixed stretch.

    Parameters
    ----------
    red, green, blue : (y, x) int16
        Reflectance x 10,000 on one grid; -32768 is nodata, and one band's nodata is nodata of all.
    max_px : int
        Longest edge of the picture. Larger arrays are averaged over their valid pixels, by a whole factor.

    Returns
    -------
    picture : RGB image
        Reflectance 0 is black and 0.3 white, with a gamma of 1.4; nodata is grey.

    Raises
    ------
    GridMismatchError
        The bands differ in shape, or are not planes with pixels.
    ProductError
        A band is not int16.
    """
    bands = (red, green, blue)
    for band in bands:
        _require_reflectance(band)
        if band.shape != red.shape:
            raise GridMismatchError(
                f"True colour: found bands of {[band.shape for band in bands]} pixels, expected one shape. "
                "Read all three at the same resolution and window."
            )
    valid = np.logical_and.reduce([band != NODATA_REFLECTANCE for band in bands])
    step = _step(red.shape, max_px)
    means, shown = zip(*(_mean_of_valid(band, valid, step) for band in bands), strict=True)
    tone = _tone_curve(TRUE_COLOUR_WHITE, TRUE_COLOUR_GAMMA)
    return nodata_painted(tone[np.stack(means, axis=-1).view(np.uint16)], shown[0])


def band_picture(values: ReflectanceCount, *, max_px: int = MAX_PX) -> Image.Image:
    """Grey picture of one band under a fixed linear stretch, where a region has no blue, green and red.

    Parameters
    ----------
    values : (y, x) int16
        Reflectance x 10,000; -32768 is nodata.
    max_px : int
        Longest edge of the picture, as in `true_colour`.

    Returns
    -------
    picture : RGB image
        Reflectance 0 is black and 0.5 white; nodata is a grey with a hint of blue.

    Raises
    ------
    GridMismatchError, ProductError
        As in `true_colour`.
    """
    _require_reflectance(values)
    mean, shown = _mean_of_valid(values, values != NODATA_REFLECTANCE, _step(values.shape, max_px))
    grey = _tone_curve(BAND_WHITE, 1.0)[mean.view(np.uint16)]
    return nodata_painted(np.repeat(grey[..., np.newaxis], 3, axis=-1), shown)


def crop_to_valid(*arrays: NDArray[Any], margin_px: int = 8) -> tuple[slice, slice]:
    """Rows and columns that hold data, so that a picture shows them and not the empty rest of a tile.

    Parameters
    ----------
    *arrays : (..., y, x) bool, uint8, int16 or float
        On one grid. Valid is True, not 255, not -32768, not NaN; a pixel counts if any array has it.
    margin_px : int
        Empty pixels kept around the data, as far as the arrays reach.

    Returns
    -------
    rows, cols : slice
        Of all arrays alike; everything if no pixel is valid.

    Raises
    ------
    GridMismatchError
        No array, or arrays of different shapes.
    """
    if len({array.shape[-2:] for array in arrays}) != 1 or any(array.ndim < 2 for array in arrays):
        raise GridMismatchError(
            f"Crop to valid: found arrays of {[array.shape for array in arrays]}, expected at least one, "
            "and the same (y, x). Read them with the same window."
        )
    valid: Flag = np.zeros(arrays[0].shape[-2:], dtype=np.bool_)
    for array in arrays:
        valid |= _is_valid(array).reshape(-1, *valid.shape).any(axis=0)
    rows, cols = (np.flatnonzero(valid.any(axis=axis)) for axis in (1, 0))
    return _span(rows, valid.shape[0], margin_px), _span(cols, valid.shape[1], margin_px)


def thumbnail_png(image: Image.Image) -> bytes:
    """PNG file of the image, small enough to be written into Markdown.

    Parameters
    ----------
    image : image
        Of any size and mode; its proportions are kept.

    Returns
    -------
    png : bytes
        At most 693 bytes, so that its data URI stays below 950 characters. Smooth images come out up to 96 px
        large, noisy ones smaller, with 16 or 8 colours.
    """
    source = image.convert("RGB")
    source.thumbnail((_THUMBNAIL_SOURCE_PX, _THUMBNAIL_SOURCE_PX), Image.Resampling.BOX, reducing_gap=None)

    def candidate(side_px: int, colours: int) -> bytes | None:
        png = _png(_reduced(source, side_px, colours), compress_level=9)
        return png if len(_data_uri(png)) < THUMBNAIL_MAX_CHARS else None

    # The smallest one, 16 px in 8 colours, takes 136 bytes of pixels however noisy: something always fits.
    largest = bisect_left(
        _THUMBNAIL_SIDES_PX, True, key=lambda side_px: candidate(side_px, _FEWEST_COLOURS) is not None
    )
    side_px = _THUMBNAIL_SIDES_PX[min(largest, len(_THUMBNAIL_SIDES_PX) - 1)]
    fitting = candidate(side_px, _MOST_COLOURS) or candidate(side_px, _FEWEST_COLOURS)
    return fitting or _png(_reduced(source, _THUMBNAIL_SIDES_PX[-1], _FEWEST_COLOURS), compress_level=9)


def thumbnail_data_uri(image: Image.Image) -> str:
    """`thumbnail_png` of the image as `data:image/png;base64,...`, always shorter than 950 characters."""
    return _data_uri(thumbnail_png(image))


def png_bytes(image: Image.Image) -> bytes:
    """PNG file of the image, without time stamps or other metadata: the same image gives the same bytes."""
    return _png(image, compress_level=4)  # 9 takes three times as long for 1 % less


def sampled(layer: NDArray[Any], max_px: int) -> NDArray[Any]:
    """Every n-th pixel of a layer, for categories and counts, which have no mean.

    Parameters
    ----------
    layer : (y, x) any dtype
    max_px : int
        Longest edge of what comes back.

    Returns
    -------
    sample : (ceil(y / n), ceil(x / n)) of the same dtype
        The middle pixel of each n x n cell; n as in the averages of `true_colour`, so that both show the
        same ground.

    Raises
    ------
    GridMismatchError
        Not a plane with pixels.
    """
    require_plane(layer)
    step = _step(layer.shape, max_px)
    rows, cols = (np.minimum(np.arange(0, size, step) + step // 2, size - 1) for size in layer.shape)
    return layer[np.ix_(rows, cols)]


def nodata_painted(pixels: NDArray[np.uint8], shown: Flag) -> Image.Image:
    """RGB image of `pixels` (y, x, 3) sRGB, in the grey of nodata where `shown` (y, x) is False."""
    colours = np.where(shown[..., np.newaxis], pixels, np.array(NODATA_COLOUR, dtype=np.uint8))
    return Image.fromarray(np.ascontiguousarray(colours))


def require_plane(values: NDArray[Any]) -> None:
    """Raise `GridMismatchError` unless `values` is (y, x) with at least one pixel."""
    if values.ndim != 2 or values.size == 0:
        raise GridMismatchError(
            f"Picture: found an array of shape {values.shape}, expected (y, x) with at least one pixel. "
            "Pass one layer of a window that is not empty."
        )


def _require_reflectance(band: NDArray[Any]) -> None:
    require_plane(band)
    if band.dtype != np.int16:
        raise ProductError(
            f"Picture: found reflectance of type {band.dtype}, expected int16 counts of 1e-4, "
            "nodata -32768. Convert stored counts with the radiometry kernel first."
        )


def _step(shape: tuple[int, ...], max_px: int) -> int:
    """Whole factor that brings `shape` to at most `max_px`."""
    return max(1, -(-max(shape) // max_px))


def _mean_of_valid(values: ReflectanceCount, valid: Flag, step: int) -> tuple[ReflectanceCount, Flag]:
    """Mean of the valid pixels of each step x step cell, halves rounded up, and whether a cell has any.

    Cells at the lower and right edge may be cut off. Where none is valid the mean is 0.
    """
    height, width = values.shape
    means = np.zeros((-(-height // step), -(-width // step)), dtype=np.int16)
    shown = np.zeros(means.shape, dtype=np.bool_)
    col_starts = np.arange(0, width, step)
    for out_row in range(0, means.shape[0], _OUTPUT_ROWS):
        rows = slice(out_row * step, (out_row + _OUTPUT_ROWS) * step)
        row_starts = np.arange(0, values[rows].shape[0], step)
        totals, counts = (
            np.add.reduceat(np.add.reduceat(part, row_starts, axis=0, dtype=np.int64), col_starts, axis=1)
            for part in (np.where(valid[rows], values[rows], 0), valid[rows])
        )
        divisors = np.maximum(counts, 1)
        means[out_row : out_row + _OUTPUT_ROWS] = (2 * totals + divisors) // (2 * divisors)
        shown[out_row : out_row + _OUTPUT_ROWS] = counts > 0
    return means, shown


def _tone_curve(white: float, gamma: float) -> NDArray[np.uint8]:
    """Grey of every int16 count, by its bits as uint16: 0 up to reflectance 0, 255 from `white` on."""
    counts = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.float64)
    shares = np.clip(counts / (QUANTIFICATION * white), 0.0, 1.0)
    tones: NDArray[np.uint8] = np.rint(255 * shares ** (1 / gamma)).astype(np.uint8)
    return tones


def _is_valid(array: NDArray[Any]) -> Flag:
    valid: Flag
    if array.dtype == np.bool_:
        valid = array
    elif np.issubdtype(array.dtype, np.floating):
        valid = ~np.isnan(array)
    else:
        valid = array != (NODATA_CLASS if array.dtype == np.uint8 else NODATA_REFLECTANCE)
    return valid


def _span(occupied: NDArray[np.intp], size: int, margin_px: int) -> slice:
    """First to last of the indices `occupied` with a margin; everything if there is none."""
    if occupied.size == 0:
        return slice(0, size)
    return slice(max(0, int(occupied[0]) - margin_px), min(size, int(occupied[-1]) + 1 + margin_px))


def _reduced(image: Image.Image, side_px: int, colours: int) -> Image.Image:
    """The image with no edge over `side_px`, in a palette of its own; dithering would defeat compression."""
    small = image.copy()
    small.thumbnail((side_px, side_px), Image.Resampling.BOX, reducing_gap=None)
    # The median cut alone gives rare colours away: a road in a forest, a swath edge. k-means mends that.
    return small.quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)


def _png(image: Image.Image, *, compress_level: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=compress_level)
    return stream.getvalue()


def _data_uri(png: bytes) -> str:
    return _URI_HEAD + base64.b64encode(png).decode("ascii")
