"""What the pixels of a Sentinel-2 scene say about the offset in their counts, where its metadata may be wrong."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_DN, Flag
from geo_assets.domain.bands import OFFSET_SINCE_BASELINE_4
from geo_assets.domain.errors import GridMismatchError

Counts: TypeAlias = NDArray[np.uint16] | NDArray[np.int16]

OFFSET_TEST_BANDS: tuple[str, ...] = ("blue", "green", "red", "swir16", "swir22")
"""The bands in which something dark lies nearly everywhere: water, shadow, vegetation, or snow in the last two."""

FEWEST_TEST_BANDS = 3
"""Fewer cannot show that the offset is still to be applied: haze lifts the darkest ground of one or two as far."""

_DARKER_THAN = 880
"""Counts that carry 1000 more than reflectance x 10,000 hardly go below: it would be a reflectance of -0.012."""
_SHIFTED_SHARE, _UNSHIFTED_SHARE = 0.01, 0.001
"""More such pixels in one band, and the offset is applied already; fewer in every band, and it may not be."""
_DARKEST_SHARE = 0.005
_DARKEST_AT_MOST = 1250
"""The darkest ground of a scene has a reflectance under 0.025 in most bands."""
_FEWEST_PIXELS = 400
"""Below this a hundredth of them is a handful."""


def decided_offset(bands: Mapping[str, Counts], nodata: int = NODATA_DN) -> int | None:
    """The offset to be added to the counts of one item of processing baseline 04.00 or later, as its pixels have it.

    Such counts carry 1000 more than reflectance x 10,000, unless the archive has taken it off again. Where it has,
    some band has dark pixels far below 1000; where it has not, no band has, and the darkest ground lies just
    above. Bright scenes (desert, cloud, snow without SWIR) may show neither.

    Parameters
    ----------
    bands : mapping of str to (y, x) uint16 or int16
        Stable name -> stored counts of an overview, averaged or picked; those of `OFFSET_TEST_BANDS`, others are not
        looked at. All show the same ground, each in pixels of its own.
    nodata : int
        Stored count that means "nothing seen". Pixels beside it are not judged: an overview may have averaged it in.

    Returns
    -------
    offset_dn : int or None
        0: already applied. -1000: to be applied. None: undecided.

    Raises
    ------
    GridMismatchError
        A band that is not a 2-D array of unsigned or signed 16-bit integers.

    Notes
    -----
    0 where in any band more than 1 % of the pixels have less than 880 counts. -1000 where in no band more than 0.1 %
    have, and the darkest 0.5 % of the pixels end between 880 and 1250 in at least three bands at once. The thresholds
    are this project's: unshifted counts of ESA have practically none below 900, shifted ones many over water, shadow
    and vegetation.
    """
    planes = [(bands[name], _whole(name, bands[name], nodata)) for name in OFFSET_TEST_BANDS if name in bands]
    planes = [(counts, whole) for counts, whole in planes if np.count_nonzero(whole) >= _FEWEST_PIXELS]
    if not planes:
        return None
    dark_share = max(float(np.mean(counts[whole] < _DARKER_THAN)) for counts, whole in planes)
    if dark_share > _SHIFTED_SHARE:
        return 0
    if len(planes) < FEWEST_TEST_BANDS or dark_share > _UNSHIFTED_SHARE:
        return None
    darkest = _darkest_in_several(planes)
    just_above = darkest is not None and _DARKER_THAN <= darkest <= _DARKEST_AT_MOST
    return OFFSET_SINCE_BASELINE_4 if just_above else None


def _whole(name: str, counts: Counts, nodata: int) -> Flag:
    """(y, x): True where a pixel is valid and touches no nodata."""
    if counts.ndim != 2 or counts.dtype not in (np.dtype(np.uint16), np.dtype(np.int16)):
        raise GridMismatchError(
            f"Band {name!r}: found {counts.dtype} {counts.shape}, expected uint16 (any, any). "
            "Give the counts of one band as they are stored."
        )
    whole = np.empty(counts.shape, np.bool_)
    _mark_whole(counts != nodata, whole)
    return whole


def _darkest_in_several(planes: list[tuple[Counts, Flag]]) -> int | None:
    """The count that the darkest ground has at most in `FEWEST_TEST_BANDS` bands at once; None for too few pixels.

    At once: a desert is as dark in blue, and snow beside it in two short-wave bands.
    """
    height, width = min((counts.shape for counts, _ in planes), key=lambda shape: shape[0] * shape[1])
    stack, everywhere = [], np.ones((height, width), np.bool_)
    for counts, whole in planes:
        at = np.ix_(_centres(height, counts.shape[0]), _centres(width, counts.shape[1]))
        stack.append(counts[at])
        everywhere &= whole[at]
    several = np.partition(np.stack(stack), FEWEST_TEST_BANDS - 1, axis=0)[FEWEST_TEST_BANDS - 1][everywhere]
    if several.size < _FEWEST_PIXELS:
        return None
    rank = int(_DARKEST_SHARE * several.size)
    return int(np.partition(several, rank)[rank])


def _centres(coarse: int, fine: int) -> NDArray[np.intp]:
    """Of `fine` pixels along an axis those that hold the centres of `coarse` ones."""
    return (2 * np.arange(coarse) + 1) * fine // (2 * coarse)


@njit(nogil=True, cache=True)
def _mark_whole(valid: Flag, whole: Flag) -> None:
    """Fill `whole`: valid, and so is every neighbour that the array has."""
    height, width = valid.shape
    for row in range(height):
        for col in range(width):
            all_valid = valid[row, col]
            for near_row in range(max(row - 1, 0), min(row + 2, height)):
                for near_col in range(max(col - 1, 0), min(col + 2, width)):
                    all_valid &= valid[near_row, near_col]
            whole[row, col] = all_valid
