"""The colours, lettering and legends that all pictures share.

Colours stay apart for colour-blind readers: the classes are those of Okabe and Ito (Color Universal Design,
2008); the scale climbs evenly in lightness, and so reads in grey too. Letters come from Pillow's own font.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour: TypeAlias = tuple[int, int, int]
"""Red, green, blue, 0-255 (sRGB)."""

PAPER: Colour = (255, 255, 255)
INK: Colour = (30, 34, 42)
QUIET_INK: Colour = (96, 102, 114)
HAIRLINE: Colour = (214, 217, 223)
NODATA_COLOUR: Colour = (203, 206, 212)
"""A grey that neither cloud (white) nor shadow (near black) has."""

ORANGE: Colour = (230, 159, 0)
SKY_BLUE: Colour = (86, 180, 233)
GREEN: Colour = (0, 158, 115)
YELLOW: Colour = (240, 228, 66)
BLUE: Colour = (0, 114, 178)
VERMILION: Colour = (213, 94, 0)
PURPLE: Colour = (204, 121, 167)
CLASS_COLOURS: tuple[Colour, ...] = (GREEN, ORANGE, BLUE, YELLOW, PURPLE, SKY_BLUE, VERMILION)
"""Okabe and Ito's colours, neighbours far apart in lightness too."""

_SCALE_ANCHORS: tuple[Colour, ...] = (
    (36, 18, 92), (52, 68, 148), (38, 118, 152), (40, 164, 126), (140, 204, 76), (252, 234, 84),
)  # fmt: skip
_MIN_WIDTH = 300  # a legend needs this much to be read
_MAX_ENLARGED = 1024
_EMBOLDEN = 0.4  # Pillow's font has one weight; a stroke of this width makes the other
_BEYOND_THE_FONT = str.maketrans({"–": "-", "—": "-", "−": "-", "×": "x", "→": ">", "²": "2", "’": "'"})


@dataclass(frozen=True, slots=True)
class Swatch:
    """One colour and what it means."""

    colour: Colour
    label: str


@dataclass(frozen=True, slots=True)
class ColourBar:
    """Colours side by side, with labels where they say something."""

    colours: tuple[Colour, ...]
    """From left to right, each as wide as the others."""
    ticks: tuple[tuple[float, str], ...]
    """Position (0 the left edge, 1 the right) and label; labels that would touch are left out."""


@dataclass(frozen=True, slots=True)
class Legend:
    """What the colours of a picture mean: a bar, swatches or both."""

    swatches: tuple[Swatch, ...] = ()
    bar: ColourBar | None = None


@lru_cache(maxsize=1)
def colour_scale() -> NDArray[np.uint8]:
    """Colours from low (dark violet) to high (light yellow), evenly in lightness.

    Returns
    -------
    colours : (256, 3) uint8
        sRGB, read-only.

    Notes
    -----
    The anchors are placed where their CIE 1976 lightness L* falls between that of the ends.
    """
    anchors = np.array(_SCALE_ANCHORS, dtype=np.float64)
    lightness = _lightness(anchors)
    steps = np.linspace(lightness[0], lightness[-1], 256)
    channels = [np.interp(steps, lightness, anchors[:, channel]) for channel in range(3)]
    colours = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    colours.flags.writeable = False
    return colours


def _lightness(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE 1976 L* (0-100) of sRGB colours (n, 3), 0-255; IEC 61966-2-1 for the transfer curve."""
    srgb = colours / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness: NDArray[np.float64] = np.where(
        luminance > 0.008856, 116.0 * np.cbrt(luminance) - 16.0, 903.3 * luminance
    )
    return lightness


def scale_colour(share: float) -> Colour:
    """Colour of `colour_scale` at `share` of its length, 0-1; values outside are clipped."""
    red, green, blue = colour_scale()[round(255 * min(1.0, max(0.0, share)))]
    return int(red), int(green), int(blue)


@lru_cache(maxsize=32)
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font at `size_px`, so that pictures do not depend on what a machine has installed."""
    return ImageFont.load_default(size=size_px)


def legible(text: str) -> str:
    """`text` in letters that Pillow's font has: accents fall off, other strangers become `?`."""
    plain = unicodedata.normalize("NFKD", text.translate(_BEYOND_THE_FONT))
    letters = (letter for letter in plain if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" or letter in "°·…" else "?" for letter in letters)


def text_width(text: str, size_px: int) -> int:
    """Width of `text` in pixels, as `write` draws it."""
    return int(np.ceil(font(size_px).getlength(legible(text))))


def shortened(text: str, size_px: int, *, width_px: int) -> str:
    """`text`, or as much of its beginning as fits into `width_px` with `…` behind it."""
    if text_width(text, size_px) <= width_px:
        return text
    while text and text_width(text.rstrip() + "…", size_px) > width_px:
        text = text[:-1]
    return text.rstrip() + "…"


def write(
    draw: ImageDraw.ImageDraw,
    position: tuple[float, float],
    text: str,
    size_px: int,
    *,
    colour: Colour = INK,
    anchor: str = "la",
    bold: bool = False,
    halo: Colour | None = None,
) -> None:
    """Write one line; `anchor` is Pillow's (`la`: position is the top left), `halo` a rim to stand out on."""
    letters = legible(text)
    if halo is not None:
        draw.text(position, letters, halo, font(size_px), anchor=anchor, stroke_width=2, stroke_fill=halo)
    draw.text(position, letters, colour, font(size_px), anchor=anchor, stroke_width=_EMBOLDEN if bold else 0)


def with_legend(picture: Image.Image, legend: Legend, *, title: str) -> Image.Image:
    """The picture with its title above and its legend below, on white.

    Parameters
    ----------
    picture : RGB image
        Enlarged by a whole factor first if it is narrower than a legend needs.
    legend : Legend
    title : str
        One line, shortened to the width; none if empty.

    Returns
    -------
    image : RGB image
        At least 300 px wide. Letters grow with the width, and so stay legible where a sheet shrinks it.
    """
    picture = _enlarged(picture)
    width = max(picture.width, _MIN_WIDTH)
    size = min(36, max(13, round(width / 27)))
    inset = size // 2
    top = round(1.7 * size) if title else 0
    rows = _swatch_rows(legend.swatches, size, width - 2 * inset)
    bar_height = round(2.6 * size) if legend.bar else 0
    height = top + picture.height + bar_height + round(1.6 * size) * len(rows) + inset
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        line = shortened(title, size, width_px=width - 2 * inset)
        write(draw, (inset, top / 2), line, size, anchor="lm", bold=True)
    sheet.paste(picture, ((width - picture.width) // 2, top))
    below = top + picture.height + inset
    if legend.bar:
        _draw_bar(draw, legend.bar, (inset, below), size, width - 2 * inset)
        below += bar_height
    for row in rows:
        _draw_swatches(draw, row, (inset, below), size)
        below += round(1.6 * size)
    return sheet


def _enlarged(picture: Image.Image) -> Image.Image:
    """The picture by the smallest whole factor that reaches the minimal width, unless it would grow huge."""
    wanted = -(-_MIN_WIDTH // picture.width)
    factor = min(wanted, max(1, _MAX_ENLARGED // max(picture.size)))
    if factor == 1:
        return picture
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def _draw_bar(draw: ImageDraw.ImageDraw, bar: ColourBar, corner: tuple[int, int], size: int, width: int) -> None:
    start, top = corner
    edges = np.linspace(start, start + width, len(bar.colours) + 1).round().astype(int)
    bottom = top + round(0.8 * size)
    for colour, left, right in zip(bar.colours, edges[:-1], edges[1:], strict=True):
        draw.rectangle((int(left), top, max(int(left), int(right) - 1), bottom), fill=colour)
    free_from = 0.0
    for share, label in bar.ticks:
        half = text_width(label, size) / 2
        mark = start + round(share * (width - 1))
        centre = min(start + width - half, max(start + half, mark))
        if centre - half >= free_from:
            draw.line((mark, bottom + 1, mark, bottom + size // 4), fill=QUIET_INK, width=max(1, size // 12))
            write(draw, (centre, bottom + round(0.4 * size)), label, size, colour=QUIET_INK, anchor="ma")
            free_from = centre + half + 0.6 * size


def _swatch_rows(swatches: Sequence[Swatch], size: int, width: int) -> list[list[tuple[int, Swatch]]]:
    """Swatches with their left edges, wrapped into rows of `width`."""
    rows: list[list[tuple[int, Swatch]]] = []
    left = width + 1
    for swatch in swatches:
        needed = round(1.35 * size) + text_width(swatch.label, size)
        if left + needed > width:
            rows.append([])
            left = 0
        rows[-1].append((left, swatch))
        left += needed + size
    return rows


def _draw_swatches(
    draw: ImageDraw.ImageDraw, row: Sequence[tuple[int, Swatch]], corner: tuple[int, int], size: int
) -> None:
    start, top = corner[0], corner[1] + size // 8
    for left, swatch in row:
        edge = start + left
        draw.rectangle((edge, top, edge + size - 1, top + size - 1), fill=swatch.colour, outline=QUIET_INK)
        write(draw, (edge + round(1.35 * size), top + size / 2), swatch.label, size, anchor="lm")
