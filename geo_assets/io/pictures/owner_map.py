"""Picture of where a mosaic's pixels come from: the quicklook, with the lines where it is cut drawn over it."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, Flag
from geo_assets.io.pictures.layer_maps import distinct_colours, require_proportions
from geo_assets.io.pictures.legend import NODATA_COLOUR, PAPER, Legend, Swatch, with_legend
from geo_assets.io.pictures.preview import nodata_painted, require_plane

_TINT = 0.35
"""Of the owner's colour, so that the ground stays visible."""

_LINE_SHARE = 400
"""A line is one pixel wide, and one more for each so many pixels of the picture's longer edge."""


def owner_map(
    base: Image.Image, owner: ClassCode, names: Mapping[int, str], *, title: str = "Seamlines", legend: bool = True
) -> Image.Image:
    """A picture of a mosaic, tinted by the source that owns the ground, with a line where the owner changes.

    Parameters
    ----------
    base : RGB image
        The mosaic's quicklook, at any scale.
    owner : (y, x) uint8
        Number of the source with the largest weight, 255 (painted grey) where none has data; of the same ground as
        `base`.
    names : number -> name
        Of all numbers in `owner`. Each keeps its colour whether it is present or not, so that pictures compare; the
        legend names those that are present, with their share of the ground that has data.
    title : str
        Line above the picture; none if empty.
    legend : bool
        False leaves title and legend away.

    Returns
    -------
    picture : RGB image

    Raises
    ------
    GridMismatchError
        `owner` and `base` differ in proportions, or `owner` is no plane with pixels.
    """
    require_plane(owner)
    require_proportions(base, owner)
    colours = dict(zip(sorted(names), distinct_colours(len(names)), strict=True))
    tints = np.full((NODATA_CLASS + 1, 3), NODATA_COLOUR, np.float32)
    for number, colour in colours.items():
        tints[number] = colour
    rows = (2 * np.arange(base.height) + 1) * owner.shape[0] // (2 * base.height)
    cols = (2 * np.arange(base.width) + 1) * owner.shape[1] // (2 * base.width)
    seen = owner[np.ix_(rows, cols)]
    pixels = (1 - _TINT) * np.asarray(base.convert("RGB")).astype(np.float32) + _TINT * tints[seen]
    pixels[_cuts(seen, 1 + max(seen.shape) // _LINE_SHARE)] = PAPER
    picture = nodata_painted(np.rint(pixels).astype(np.uint8), seen != NODATA_CLASS)
    if not legend:
        return picture
    counts = {number: int((owner == number).sum()) for number in colours}
    known = max(1, sum(counts.values()))
    swatches = [Swatch(colours[n], f"{names[n]} {_per_cent(counts[n], known)}") for n in colours if counts[n]]
    if (owner == NODATA_CLASS).any():
        swatches.append(Swatch(NODATA_COLOUR, "no data"))
    return with_legend(picture, Legend(tuple(swatches)), title=title)


def _cuts(seen: ClassCode, line_px: int) -> Flag:
    """Pixels of the lines between two owners; the end of all data is none."""
    cuts = np.zeros(seen.shape, np.bool_)
    known = seen != NODATA_CLASS
    for shift in range(1, line_px + 1):
        cuts[:, shift:] |= (seen[:, shift:] != seen[:, :-shift]) & known[:, shift:] & known[:, :-shift]
        cuts[shift:] |= (seen[shift:] != seen[:-shift]) & known[shift:] & known[:-shift]
    return cuts


def _per_cent(count: int, whole: int) -> str:
    return f"{100 * count / whole:.0f}%" if 100 * count >= whole else "<1%"
