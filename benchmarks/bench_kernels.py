"""Kernels against the library functions that users would take: capped distance and exact histogram."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from benchmarks.measurement import Measurement, interleaved
from geo_assets.kernels.distance import squared_distance
from geo_assets.kernels.histogram import reflectance_histogram

_EDGE_PX = 1504
_CAP_PX = 240


def main() -> Sequence[Measurement]:
    """How many times faster than scipy and numpy, on validity with few large and many small holes."""
    random = np.random.default_rng(7)
    holed = {"rectangular holes": _rectangles(random), "1 % single pixels": random.random((_EDGE_PX, _EDGE_PX)) > 0.01}
    results = []
    for name, valid in holed.items():
        ours = partial(squared_distance, valid, cap_px=_CAP_PX, top=0, left=0, height=_EDGE_PX, width=_EDGE_PX)
        ratio = interleaved(partial(distance_transform_edt, valid), ours)
        results.append(Measurement(f"scipy EDT / capped distance, {name}", ratio, "x", 12.0, higher_is_better=True))
    counts = random.normal(1500, 600, (1, 2048, 2048)).astype(np.int16)
    ratio = interleaved(
        lambda: np.bincount(counts.ravel().view(np.uint16), minlength=65536), partial(_histogram, counts)
    )
    results.append(Measurement("numpy bincount / exact histogram", ratio, "x", 5.0, higher_is_better=True))
    bins = np.arange(-32768, 32769) * 1e-4
    ratio = interleaved(lambda: np.histogram(counts.ravel() * 1e-4, bins=bins), partial(_histogram, counts), rounds=3)
    results.append(
        Measurement("numpy histogram of float bins / exact histogram", ratio, "x", 20.0, higher_is_better=True)
    )
    return results


def _histogram(counts: NDArray[np.int16]) -> object:
    return reflectance_histogram(counts)


def _rectangles(random: np.random.Generator) -> NDArray[np.bool_]:
    valid = np.ones((_EDGE_PX, _EDGE_PX), bool)
    for top, left, height, width in random.integers([0, 0, 20, 20], [_EDGE_PX, _EDGE_PX, 200, 200], (20, 4)):
        valid[top : top + height, left : left + width] = False
    return valid
