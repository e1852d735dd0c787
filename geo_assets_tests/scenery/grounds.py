"""Grounds by their reflectance in the bands in which offsets show: land, water, desert, snow, cloud."""

import numpy as np
from numpy.typing import NDArray

from geo_assets.kernels.offsets import OFFSET_TEST_BANDS

GROUNDS = {
    # Darkest and brightest reflectance of blue, green, red, swir16, swir22.
    "land": ((0.018, 0.09), (0.030, 0.12), (0.015, 0.13), (0.010, 0.30), (0.005, 0.22)),
    "water": ((0.020, 0.06), (0.015, 0.05), (0.004, 0.03), (-0.004, 0.01), (-0.005, 0.01)),
    "desert": ((0.100, 0.22), (0.170, 0.32), (0.250, 0.45), (0.350, 0.60), (0.300, 0.55)),
    "snow": ((0.500, 0.95), (0.500, 0.95), (0.480, 0.95), (0.030, 0.20), (0.030, 0.18)),
    "cloud": ((0.300, 1.10), (0.290, 1.10), (0.280, 1.10), (0.200, 0.50), (0.150, 0.45)),
}


def reflectance_of(ground: str, shape: tuple[int, int], *, seed: int = 1) -> dict[str, NDArray[np.int64]]:
    """Band -> (y, x) reflectance x 10,000: mostly in the middle of the ground's range, with both ends of it.

    Dark ground lies together, in the north, as lakes and forests do: an overview keeps it dark.
    """
    draw = np.random.default_rng(seed)
    share = np.sort(draw.beta(1.2, 2.0, shape), axis=None).reshape(shape)
    return {
        name: np.rint((darkest + share * (brightest - darkest) + draw.normal(0, 0.001, shape)) * 10_000).astype(int)
        for name, (darkest, brightest) in zip(OFFSET_TEST_BANDS, GROUNDS[ground], strict=True)
    }


def stored(reflectance: dict[str, NDArray[np.int64]], added_counts: int) -> dict[str, NDArray[np.uint16]]:
    """The same as counts in a file: 0 means nodata there, so that the darkest is 1."""
    return {name: np.maximum(counts + added_counts, 1).astype(np.uint16) for name, counts in reflectance.items()}
