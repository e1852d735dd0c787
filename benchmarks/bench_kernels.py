"""Kernels against the library functions that users would take: capped distance and exact histogram."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from benchmarks.measurement import Measurement
from benchmarks.measurement import interleaved as interleaved_by
from geo_assets.kernels.distance import squared_distance
from geo_assets.kernels.histogram import HistogramSum, PackedHistogram, reflectance_histogram

_EDGE_PX = 1504
_CAPS_PX = (40, 120, 240)
_PARTS = 200

interleaved = partial(interleaved_by, clock=time.thread_time)
"""By CPU time: all that is compared here runs on the calling thread, whoever else is busy."""


def main() -> Sequence[Measurement]:
    """How many times faster than scipy, OpenCV (where it is installed) and numpy, one thread each; CPU time."""
    random = np.random.default_rng(7)
    return (*_distances(random), *_histograms(random), _merging(random))


def _distances(random: np.random.Generator) -> list[Measurement]:
    """Validity of a block of 1024 pixels with its surroundings."""
    rivals: dict[str, tuple[Callable[[NDArray[np.bool_]], object], float]] = {"scipy": (distance_transform_edt, 12.0)}
    if find_spec("cv2") is not None:
        rivals["cv2 precise"] = (_opencv_distance(), 3.0)
    results = []
    for name, (valid, is_target) in _grounds(random).items():
        for cap_px in _CAPS_PX:
            ours = partial(squared_distance, valid, cap_px=cap_px, top=0, left=0, height=_EDGE_PX, width=_EDGE_PX)
            for rival, (theirs, target) in rivals.items():
                ratio = interleaved(partial(theirs, valid), ours)
                what = f"{rival} / capped distance, {name}, {cap_px} px"
                results.append(Measurement(what, ratio, "x", target if is_target else None, higher_is_better=True))
    return results


def _grounds(random: np.random.Generator) -> Mapping[str, tuple[NDArray[np.bool_], bool]]:
    """Name -> validity, and whether there is a target for it."""
    shape = (_EDGE_PX, _EDGE_PX)
    ring, half_plane = np.ones(shape, bool), np.ones(shape, bool)
    ring[[0, -1]], ring[:, [0, -1]] = False, False
    half_plane[:, :500] = False
    return {
        "rectangular holes": (_rectangles(random), True),
        "1 % single pixels": (random.random(shape) > 0.01, True),
        "ring": (ring, True),
        "half plane": (half_plane, True),
        "0.1 % single pixels": (random.random(shape) > 0.001, False),
        "clouds": (gaussian_filter(random.normal(size=shape), 12) > -0.03, False),
    }


def _rectangles(random: np.random.Generator) -> NDArray[np.bool_]:
    valid = np.ones((_EDGE_PX, _EDGE_PX), bool)
    for top, left, height, width in random.integers([0, 0, 20, 20], [_EDGE_PX, _EDGE_PX, 200, 200], (20, 4)):
        valid[top : top + height, left : left + width] = False
    return valid


def _opencv_distance() -> Callable[[NDArray[np.bool_]], object]:
    import cv2

    cv2.setNumThreads(1)
    return lambda valid: cv2.distanceTransform(valid.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _histograms(random: np.random.Generator) -> list[Measurement]:
    counts = random.normal(1500, 600, (1, 2048, 2048)).astype(np.int16)
    ours = partial(_histogram, counts)
    ratio = interleaved(lambda: np.bincount(counts.ravel().view(np.uint16), minlength=65536), ours)
    against_bincount = Measurement("numpy bincount / exact histogram", ratio, "x", 5.0, higher_is_better=True)
    bins = np.arange(-32768, 32769) * 1e-4
    ratio = interleaved(lambda: np.histogram(counts.ravel() * 1e-4, bins=bins), ours, rounds=3)
    what = "numpy histogram of float bins / exact histogram"
    return [against_bincount, Measurement(what, ratio, "x", 20.0, higher_is_better=True)]


def _histogram(counts: NDArray[np.int16]) -> object:
    return reflectance_histogram(counts)


def _merging(random: np.random.Generator) -> Measurement:
    """Packed histograms into a running sum, against adding all bins of each."""
    parts = [reflectance_histogram(random.normal(1500, 600, (4, 200, 200)).astype(np.int16)) for _ in range(8)]
    packed = [part.packed() for part in parts]

    def added() -> NDArray[np.int64]:
        total = parts[0].counts
        for index in range(1, _PARTS):
            total = total + parts[index % len(parts)].counts
        return total

    ratio = interleaved(added, partial(_summed, packed))
    return Measurement("adding all bins / merging packed histograms", ratio, "x", higher_is_better=True)


def _summed(packed: Sequence[PackedHistogram]) -> object:
    total = HistogramSum(4)
    for index in range(_PARTS):
        total.add(packed[index % len(packed)])
    return total.histogram()
