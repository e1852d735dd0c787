"""Pictures of masks and layers, each with its legend.

Layers are sampled, never averaged: there is no mean of two classes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, ClassCode, ReflectanceCount
from geo_assets.domain.bands import QUANTIFICATION
from geo_assets.domain.errors import DetectorError, GridMismatchError, ProductError
from geo_assets.io.pictures.legend import (
    BLUE,
    CLASS_COLOURS,
    NODATA_COLOUR,
    PAPER,
    PURPLE,
    SKY_BLUE,
    VERMILION,
    Colour,
    ColourBar,
    Legend,
    Swatch,
    colour_scale,
    scale_colour,
    with_legend,
)  # fmt: skip
from geo_assets.io.pictures.preview import MAX_PX, nodata_painted, require_plane, sampled

MASK_CLASSES: Mapping[int, tuple[str, Colour]] = {
    1: ("cloud", VERMILION),
    2: ("shadow", PURPLE),
    3: ("snow", SKY_BLUE),
    4: ("water", BLUE),
}
"""Mask code -> name and tint; 0 is clear and keeps its colour."""

_TINT = 0.7
_GAPS = 60
"""Gaps between two pictures that would fill the width of one."""
_ABSENT: Colour = (240, 241, 243)


def mask_overlay(
    base: Image.Image, codes: ClassCode, *, title: str = "Mask", legend: bool = True, beside: bool = False
) -> Image.Image:
    """A picture with its cloud, shadow, snow and water tinted, and the shares of all classes in the legend.

    Parameters
    ----------
    base : RGB image
        What the mask is about, at any scale.
    codes : (y, x) uint8
        0 clear, 1 cloud, 2 shadow, 3 snow, 4 water, 255 fill (painted grey); the same ground as `base`.
    title : str
        Line above the picture; none if empty.
    legend : bool
        False leaves title and legend away, for a sheet that has its own.
    beside : bool
        True shows the picture without the mask too, to the left: what lies under a tint is else hard to judge.

    Returns
    -------
    picture : RGB image
        Shares are of the pixels that are not fill.

    Raises
    ------
    DetectorError
        A code outside the contract.
    GridMismatchError
        `codes` and `base` differ in proportions, or `codes` is no plane with pixels.
    """
    require_plane(codes)
    require_proportions(base, codes)
    counts = _code_counts(codes)
    unknown = [code for code in np.flatnonzero(counts) if code not in (0, *MASK_CLASSES, NODATA_CLASS)]
    if unknown:
        raise DetectorError(
            f"Mask picture: found codes {[int(code) for code in unknown]}, expected 0-4 and 255 (fill). "
            "Map the detector's classes to the mask's codes first."
        )
    rows = (2 * np.arange(base.height) + 1) * codes.shape[0] // (2 * base.height)
    cols = (2 * np.arange(base.width) + 1) * codes.shape[1] // (2 * base.width)
    seen = codes[np.ix_(rows, cols)]
    pixels = np.asarray(base.convert("RGB")).astype(np.float32)
    for code, (_, tint) in MASK_CLASSES.items():
        here = seen == code
        pixels[here] = (1 - _TINT) * pixels[here] + _TINT * np.array(tint, dtype=np.float32)
    picture = nodata_painted(np.rint(pixels).astype(np.uint8), seen != NODATA_CLASS)
    if beside:
        picture = _side_by_side(base, picture)
    if not legend:
        return picture
    observed = max(1, int(counts[:NODATA_CLASS].sum()))
    swatches = [
        Swatch(tint, f"{name} {_per_cent(counts[code] / observed)}")
        for code, (name, tint) in ({0: ("clear", PAPER)} | dict(MASK_CLASSES)).items()
        if counts[code]
    ]
    return with_legend(picture, Legend((*swatches, *_nodata_swatch(counts[NODATA_CLASS]))), title=title)


def count_map(
    observation_count: ClassCode,
    *,
    top: int | None = None,
    title: str = "Clear observations",
    max_px: int = MAX_PX,
    legend: bool = True,
) -> Image.Image:
    """Picture of how many observations each pixel had.

    Parameters
    ----------
    observation_count : (y, x) uint8
        0 where nothing was seen, painted grey as nodata (255) is.
    top : int, optional
        Count at the light end of the scale, the largest present if omitted; give one where pictures must
        compare.
    title, legend
        As in `mask_overlay`.
    max_px : int
        Longest edge of the picture; larger layers are sampled.

    Returns
    -------
    picture : RGB image

    Raises
    ------
    GridMismatchError
        Not a plane with pixels.
    """
    counts = sampled(observation_count, max_px)
    seen = (counts > 0) & (counts != NODATA_CLASS)
    if top is None:
        top = int(np.flatnonzero(_code_counts(observation_count)[:NODATA_CLASS]).max(initial=1))
    colours = tuple(scale_colour(count / top) for count in range(1, top + 1))
    pixels = np.array((NODATA_COLOUR, *colours), dtype=np.uint8)[np.where(seen, np.minimum(counts, top), 0)]
    picture = nodata_painted(pixels, seen)
    if not legend:
        return picture
    ticks = tuple(((count - 0.5) / top, str(count)) for count in range(1, top + 1))
    key = Legend((Swatch(NODATA_COLOUR, "none"),), ColourBar(colours, ticks))
    return with_legend(picture, key, title=title)


def weight_map(
    weight: NDArray[np.floating[Any]],
    *,
    title: str = "Blend weight",
    max_px: int = MAX_PX,
    legend: bool = True,
) -> Image.Image:
    """Picture of a weight between 0 and 1 under the full scale.

    Parameters
    ----------
    weight : (y, x) float
        Unitless, clipped to 0-1; NaN is nodata, painted grey.
    title, max_px, legend
        As in `count_map`.

    Returns
    -------
    picture : RGB image

    Raises
    ------
    GridMismatchError
        Not a plane with pixels.
    """
    ticks = ((0.0, "0"), (0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1.0, "1"))
    return _under_scale(sampled(weight, max_px), ticks, title=title if legend else None)


UNCERTAINTY_TOP = 0.05
"""Reflectance at the light end of an uncertainty's scale: what hazy months reach over bright ground."""


def uncertainty_map(
    uncertainty: ReflectanceCount,
    *,
    title: str = "Standard uncertainty of reflectance",
    max_px: int = MAX_PX,
    legend: bool = True,
) -> Image.Image:
    """Picture of standard uncertainty: of several bands their root mean square.

    Parameters
    ----------
    uncertainty : (band, y, x) int16
        Counts of 1e-4 reflectance; -32768 is nodata, painted grey, in the first band for all.
    title, max_px, legend
        As in `count_map`.

    Returns
    -------
    picture : RGB image
        The scale spans 0 to `UNCERTAINTY_TOP` in every picture; what is larger is shown as that.

    Raises
    ------
    GridMismatchError
        Not planes with pixels.
    """
    planes = np.stack([sampled(plane, max_px) for plane in uncertainty]).astype(np.float64)
    mean = np.sqrt((planes**2).mean(axis=0)) / QUANTIFICATION
    share = np.where(planes[0] == NODATA_REFLECTANCE, np.nan, mean / UNCERTAINTY_TOP)
    ticks = tuple((tick / UNCERTAINTY_TOP, f"{tick:g}") for tick in (0.0, 0.01, 0.02, 0.03, 0.04, UNCERTAINTY_TOP))
    return _under_scale(share, ticks, title=title if legend else None)


def class_map(
    codes: ClassCode,
    names: Mapping[int, str],
    *,
    colours: Mapping[int, Colour] | None = None,
    title: str = "",
    max_px: int = MAX_PX,
    legend: bool = True,
) -> Image.Image:
    """Picture of categories: the quality layer, the source scene, the archive's scene classification.

    Parameters
    ----------
    codes : (y, x) uint8
        255 is nodata, painted grey.
    names : code -> name
        Shown in this order, if present. Present codes without a name share one dark colour, named `other`.
    colours : code -> colour, optional
        By default the Okabe-Ito colours in the order of `names`; more classes than those run along the scale.
    title, max_px, legend
        As in `count_map`.

    Returns
    -------
    picture : RGB image

    Raises
    ------
    GridMismatchError
        Not a plane with pixels.
    """
    shown = sampled(codes, max_px)
    present = set(np.flatnonzero(_code_counts(codes)).tolist())
    other = scale_colour(0.0)
    colour_of = dict(zip(names, distinct_colours(len(names)), strict=True)) | dict(colours or {})
    table = np.full((256, 3), other, dtype=np.uint8)
    for code in names:
        table[code] = colour_of[code]
    picture = nodata_painted(table[shown], shown != NODATA_CLASS)
    if not legend:
        return picture
    swatches = [Swatch(colour_of[code], name) for code, name in names.items() if code in present]
    if present - set(names) - {NODATA_CLASS}:
        swatches.append(Swatch(other, "other"))
    key = Legend((*swatches, *_nodata_swatch(NODATA_CLASS in present)))
    return with_legend(picture, key, title=title)


def day_map(day: ClassCode, *, title: str = "Day of month", max_px: int = MAX_PX, legend: bool = True) -> Image.Image:
    """Picture of the day of the month that each pixel comes from.

    Parameters
    ----------
    day : (y, x) uint8
        1-31; 0 and 255 are nodata, painted grey.
    title, max_px, legend
        As in `count_map`.

    Returns
    -------
    picture : RGB image
        The scale spans 1-31 in every picture; its bar shows only the days that are present.

    Raises
    ------
    GridMismatchError
        Not a plane with pixels.
    ProductError
        A day beyond 31.
    """
    days = sampled(day, max_px)
    present = set(np.flatnonzero(_code_counts(day)).tolist()) - {0, NODATA_CLASS}
    if present and max(present) > 31:
        raise ProductError(
            f"Picture of days: found day {max(present)}, expected 1-31, or 0 and 255 for nodata. "
            "Rebuild the composite whose `day` layer this is."
        )
    table = np.array([scale_colour((number - 1) / 30) for number in range(32)], dtype=np.uint8)
    shown = (days != 0) & (days != NODATA_CLASS)
    picture = nodata_painted(table[np.where(shown, days, 0)], shown)
    if not legend:
        return picture
    bar = ColourBar(
        tuple(scale_colour((number - 1) / 30) if number in present else _ABSENT for number in range(1, 32)),
        tuple(((number - 0.5) / 31, str(number)) for number in sorted(present)),
    )
    return with_legend(picture, Legend(_nodata_swatch(not shown.all()), bar), title=title)


def _under_scale(
    share: NDArray[np.floating[Any]], ticks: tuple[tuple[float, str], ...], *, title: str | None
) -> Image.Image:
    """Shares, clipped to 0-1, under the full scale, NaN in grey; with a legend where there is a title."""
    shown = ~np.isnan(share)
    level = np.rint(255 * np.clip(np.where(shown, share, 0.0), 0.0, 1.0)).astype(np.uint8)
    picture = nodata_painted(colour_scale()[level], shown)
    if title is None:
        return picture
    bar = ColourBar(tuple(scale_colour(place) for place in np.linspace(0, 1, 256)), ticks)
    return with_legend(picture, Legend(_nodata_swatch(not shown.all()), bar), title=title)


def require_proportions(base: Image.Image, codes: ClassCode) -> None:
    """Raise `GridMismatchError` unless a layer (y, x) has the proportions of the picture that it is laid over."""
    height, width = codes.shape
    # Both edges of a picture round up, each by less than a pixel.
    if abs(base.height - height * base.width / width) > max(1.0, height / width):
        raise GridMismatchError(
            f"Picture: found {width} x {height} px of codes over {base.width} x {base.height} px of "
            "picture, expected the same proportions. Crop both to the same window first."
        )


def _code_counts(codes: ClassCode) -> NDArray[np.int64]:
    """How often each code 0-255 occurs; by rows, because `bincount` widens its input to 8 bytes a pixel."""
    counts = np.zeros(256, dtype=np.int64)
    for row in range(0, codes.shape[0], 256):
        counts += np.bincount(codes[row : row + 256].ravel(), minlength=256)
    return counts


def _side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures of one size with a line of paper between them."""
    gap = max(1, left.width // _GAPS)
    both = Image.new("RGB", (2 * left.width + gap, left.height), PAPER)
    both.paste(left, (0, 0))
    both.paste(right, (left.width + gap, 0))
    return both


def _per_cent(share: float) -> str:
    """A share that is not none, in whole per cent: what is there is never 0 %, and only all of it is 100 %."""
    return "<1%" if share < 0.01 else ">99%" if 0.99 < share < 1 else f"{100 * share:.0f}%"


def _nodata_swatch(present: Any) -> tuple[Swatch, ...]:
    return (Swatch(NODATA_COLOUR, "no data"),) if present else ()


def distinct_colours(count: int) -> list[Colour]:
    """As many colours as asked for, as far apart as they can be."""
    if count <= len(CLASS_COLOURS):
        return list(CLASS_COLOURS[:count])
    return [scale_colour(number / (count - 1)) for number in range(count)]
