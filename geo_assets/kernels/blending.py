"""Weighted means of overlapping scenes, in integers.

A weight comes from a table over squared distance, a sum is a sum of integers, and the only division is the
last step: so the blend is the same to the bit for every order of scenes, size of block and number of threads.
"""

from typing import Literal, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, ReflectanceCount
from geo_assets.domain.errors import RegionError
from geo_assets.kernels.expectations import expect_array, expect_at_least

Profile: TypeAlias = Literal["cosine", "linear"]
"""How a weight grows from a scene's edge inwards; cosine is level at both ends and leaves no crease."""

WEIGHT_ONE = 1 << 20
"""The weight of a pixel at the cap or deeper. 2**27 scenes of the largest counts still fit an int64 sum."""


def weight_table(cap_px: int, profile: Profile = "cosine") -> NDArray[np.int32]:
    """Blend weight for every squared distance from 0 to ``cap_px**2``.

    Parameters
    ----------
    cap_px : int
        Width of the feather: where the weight reaches `WEIGHT_ONE`, in pixels from the nearest invalid pixel.
    profile : "cosine" or "linear"
        Rise over t = distance / cap: ``(1 - cos(pi t)) / 2``, or ``t``.

    Returns
    -------
    weights : (cap_px**2 + 1,) int32
        Never decreasing; 0 at distance 0 (an invalid pixel) and at least 1 elsewhere, so that no valid pixel
        is lost.

    Raises
    ------
    RegionError
        `cap_px` is below 1, or `profile` is unknown.
    """
    expect_at_least("cap_px", cap_px, 1)
    depth = np.sqrt(np.arange(cap_px**2 + 1, dtype=np.float64)) / cap_px
    if profile == "cosine":
        rise = (1.0 - np.cos(np.pi * depth)) / 2.0
    elif profile == "linear":
        rise = depth
    else:
        raise RegionError(f"Feather profile: found {profile!r}, expected 'cosine' or 'linear'.")
    weights = np.maximum(np.rint(rise * WEIGHT_ONE), 1).astype(np.int32)
    weights[0] = 0
    return weights


def add_weighted(
    total: NDArray[np.int64],
    weight_sum: NDArray[np.int64],
    *,
    values: ReflectanceCount,
    distance2: NDArray[np.int32],
    weights: NDArray[np.int32],
) -> None:
    """Add one band of one scene to a blend's running sums, in place.

    One band at a time, because each may have its own gaps: where all share them, pass the same `distance2`
    again.

    Parameters
    ----------
    total, weight_sum : (y, x) int64
        Sums of weight times value, and of weight; both start at zero. Written.
    values : (y, x) int16
        Reflectance counts; nodata (-32768) adds nothing.
    distance2 : (y, x) int32
        From `squared_distance` on this band's validity, with the cap of the weights.
    weights : (cap_px**2 + 1,) int32
        From `weight_table`.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above.
    RegionError
        A distance lies beyond the table: distances and weights were made with different caps. The sums are
        then void.
    """
    expect_array("total", total, np.int64, (None, None))
    expect_array("weight_sum", weight_sum, np.int64, total.shape)
    expect_array("values", values, np.int16, total.shape)
    expect_array("distance2", distance2, np.int32, total.shape)
    expect_array("weights", weights, np.int32, (None,))
    farthest = _add_weighted(total, weight_sum, values, distance2, weights)
    if farthest >= weights.size:
        raise RegionError(
            f"Blend: found a squared distance of {farthest}, expected 0 to {weights.size - 1}. "
            "Use the same cap_px for the distances and for the weights."
        )


def weighted_mean(total: NDArray[np.int64], weight_sum: NDArray[np.int64], *, out: ReflectanceCount) -> None:
    """Divide a blend's sums into reflectance counts.

    Parameters
    ----------
    total, weight_sum : (y, x) int64
        As `add_weighted` left them.
    out : (y, x) int16
        Written: ``floor(total / weight_sum + 1/2)`` computed exactly (halves go up, negative means too),
        between the smallest and the largest value that was added; -32768 where no scene had a value.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above.
    """
    expect_array("total", total, np.int64, (None, None))
    expect_array("weight_sum", weight_sum, np.int64, total.shape)
    expect_array("out", out, np.int16, total.shape)
    _weighted_mean(total, weight_sum, out)


@njit(nogil=True, cache=True)
def _add_weighted(
    total: NDArray[np.int64],
    weight_sum: NDArray[np.int64],
    values: ReflectanceCount,
    distance2: NDArray[np.int32],
    weights: NDArray[np.int32],
) -> int:
    """Add, and return the largest squared distance met; one beyond the table adds nothing."""
    farthest = 0
    for row in range(total.shape[0]):
        for col in range(total.shape[1]):
            value = np.int64(values[row, col])
            squared = distance2[row, col]
            farthest = max(farthest, squared)
            if value != NODATA_REFLECTANCE and squared < weights.size:
                weight = np.int64(weights[squared])
                total[row, col] += weight * value
                weight_sum[row, col] += weight
    return farthest


@njit(nogil=True, cache=True)
def _weighted_mean(total: NDArray[np.int64], weight_sum: NDArray[np.int64], out: ReflectanceCount) -> None:
    for row in range(total.shape[0]):
        for col in range(total.shape[1]):
            weight = weight_sum[row, col]
            if weight == 0:
                out[row, col] = NODATA_REFLECTANCE
            else:
                out[row, col] = (2 * total[row, col] + weight) // (2 * weight)
