"""How visible a seam is: the signed step across it, against the steps beside it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, ReflectanceCount
from geo_assets.kernels.expectations import expect_array

SEGMENT_PX = 256
"""Length over which steps are averaged: texture cancels, a seam does not."""

REACH_PX = 72
"""How far beside a seam the strip must reach."""

_BESIDE_PX = np.array([-24, -16, -8, 8, 16, 24])
_ELSEWHERE_PX = np.array([-40, -36, -32, 32, 36, 40])


@dataclass(frozen=True, slots=True, eq=False)
class SeamSteps:
    """Signed steps of a seam's segments, and of lines where there is no seam."""

    seam: NDArray[np.float64]
    """(segment,) counts, of all bands."""
    elsewhere: NDArray[np.float64]
    """(line segment,) counts, of all bands."""


def seam_steps(strip: ReflectanceCount, *, line: int) -> SeamSteps:
    """Steps across a straight seam, segment by segment.

    Parameters
    ----------
    strip : (band, along, across) int16
        Reflectance counts round the seam, nodata -32768.
    line : int
        The seam runs between the columns ``line - 1`` and ``line`` of the strip, `REACH_PX` from its borders.

    Returns
    -------
    steps : SeamSteps
        For each segment of `SEGMENT_PX` the mean difference across the line, less that of the parallel lines beside
        it; the same for lines 32-40 px away. Segments with less than half of their pixels are left out.

    Raises
    ------
    GridMismatchError
        `strip` is not a 3-D array of int16.

    Notes
    -----
    Signed and averaged before it is squared: unsigned gradients are useless on textured land, where truth itself
    scores as high as many seams.
    """
    expect_array("strip", strip, np.int16, (None, None, None))
    along = strip.shape[1]
    valid = strip != NODATA_REFLECTANCE
    pair = valid[:, :, 1:] & valid[:, :, :-1]
    steps = np.where(pair, np.diff(strip.astype(np.int32), axis=2), 0)
    starts = np.arange(0, along, SEGMENT_PX)
    counts = np.add.reduceat(pair, starts, axis=1, dtype=np.int64)
    sums = np.add.reduceat(steps, starts, axis=1, dtype=np.int64)
    lengths = np.diff(np.append(starts, along))[np.newaxis, :, np.newaxis]
    mean = np.where(2 * counts >= np.maximum(lengths, 2 * 16), sums / np.maximum(counts, 1), np.nan)

    def less_its_sides(position: int) -> NDArray[np.float64]:
        sides = position + _BESIDE_PX
        difference: NDArray[np.float64] = mean[:, :, position] - mean[:, :, sides].mean(axis=2)
        return difference[~np.isnan(difference)]

    seam = less_its_sides(line - 1)
    elsewhere = [less_its_sides(int(line - 1 + away)) for away in _ELSEWHERE_PX]
    return SeamSteps(seam, np.concatenate(elsewhere))


def root_mean_square(values: NDArray[np.float64]) -> float | None:
    """RMS; None without values."""
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else None
