"""Cloud from cloud probability: a mean over a disk, a threshold, a dilation by a disk, as s2cloudless has them.

A pixel's answer depends on the `halo_px` pixels around it and on nothing else, not even on its place in the array:
blocks that were given as many pixels of surroundings agree to the bit with the whole scene.
"""

from typing import Any

import numpy as np
from numba import njit
from numba.extending import intrinsic
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.kernels.expectations import expect_array, expect_at_least
from geo_assets.kernels.quality import buffer


def halo_px(average_over: int, dilation_size: int) -> int:
    """How many pixels around a block `cloud_of_probability` needs to know."""
    return average_over + dilation_size


def cloud_of_probability(
    probability: NDArray[np.float32], *, threshold: float, average_over: int, dilation_size: int
) -> Flag:
    """Cloud where the mean probability of a disk is above a threshold, and around it.

    Parameters
    ----------
    probability : (y, x) float32
        0 to 1; NaN, where nothing is known, counts as 0.
    threshold
        Cloud where the mean is larger; compared in float32.
    average_over, dilation_size
        Radii of the disks in pixels; 0 for none.

    Returns
    -------
    cloud : (y, x) bool
        At the array's edge probabilities are mirrored, and no cloud comes in from beyond.

    Raises
    ------
    RegionError
        A negative radius.
    GridMismatchError
        `probability` is not a 2-D array of float32.

    Notes
    -----
    `S2PixelCloudDetector.get_mask_from_prob` (s2cloudless 1.7), which raises for a dilation without a mean.
    """
    expect_array("probability", probability, np.float32, (None, None))
    expect_at_least("average_over", average_over, 0)
    expect_at_least("dilation_size", dilation_size, 0)
    if probability.size == 0:
        return np.zeros(probability.shape, np.bool_)
    cloud: Flag = disk_mean(probability, radius_px=average_over) > np.float32(threshold)
    return buffer(cloud, radius_px=dilation_size) if dilation_size else cloud


def disk_mean(probability: NDArray[np.float32], *, radius_px: int) -> NDArray[np.float32]:
    """Mean over the pixels whose centres lie within a radius; NaN counts as 0, the array is mirrored at its edge.

    Parameters
    ----------
    probability : (y, x) float32
        Any values; not empty.
    radius_px : int
        0 for the values themselves.

    Returns
    -------
    mean : (y, x) float32

    Notes
    -----
    OpenCV's `filter2D` with `BORDER_REFLECT`, to the bit, up to a radius of 5 and but for the last columns, the width's
    remainder by 8 or so: there it rounds products before it adds them, and differs by up to 2e-7. From a radius of 6 it
    goes by Fourier's transform, and differs by up to 5e-7 everywhere.
    """
    known = np.nan_to_num(probability, nan=0.0)
    if radius_px == 0:
        return known
    around = np.arange(-radius_px, radius_px + 1)
    disk = around[:, np.newaxis] ** 2 + around**2 <= radius_px**2
    mean = np.empty_like(known)
    wide = np.pad(known, radius_px, mode="symmetric")
    _fill_weighted_sums(wide, np.argwhere(disk), np.float32(1 / disk.sum()), mean)
    return mean


@njit(nogil=True, cache=True)
def _fill_weighted_sums(
    wide: NDArray[np.float32], offsets: NDArray[np.int64], weight: np.float32, sums: NDArray[np.float32]
) -> None:
    """Fill sums (y, x) with the weighted values of `wide` at each pixel's offsets (n, 2), added in that order."""
    height, width = sums.shape
    for row in range(height):
        total = sums[row]
        total[:] = np.float32(0)
        for number in range(offsets.shape[0]):
            values = wide[row + offsets[number, 0], offsets[number, 1] : offsets[number, 1] + width]
            for col in range(width):
                total[col] = _multiply_add(values[col], weight, total[col])


def _generate_multiply_add(typing_context: Any, value: Any, weight: Any, total: Any) -> Any:
    """``value * weight + total``, rounded once, on every processor."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return value(value, weight, total), generate


_multiply_add: Any = intrinsic(_generate_multiply_add)
