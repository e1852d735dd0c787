"""Seamlines: how long one is looked for, and their weights against those of the wide feather."""

import time
from collections.abc import Sequence
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import Measurement, interleaved
from geo_assets.kernels.distance import squared_distance
from geo_assets.kernels.mosaicking.blending import distance_weights, weight_table
from geo_assets.stations.mosaicking.overlaps import CELL_PX, OverlapMeans
from geo_assets.stations.mosaicking.seamlines import FEATHER_PX, PairSeam, find_seam, seamline_weights

_CAP_PX = 240
_HEIGHT_PX, _OVERLAP_PX = 1024, 978


def main() -> Sequence[Measurement]:
    """Of two full tiles side by side, of 10,000 x 10,000 pixels, and of a window across an overlap of two tiles."""
    results = [
        Measurement(f"seam of {rows} x {cols} cells, four bands", _seconds(rows, cols), "s", target)
        for rows, cols, target in ((1372, 122, 0.3), (1250, 1250, 5.0))
    ]
    seam = PairSeam("a", "b", 0, 0, _wandering_line(np.random.default_rng(0)))
    ratio = interleaved(
        partial(_along_seam, _valid(FEATHER_PX), seam), partial(_wide, _valid(_CAP_PX), weight_table(_CAP_PX))
    )
    return [*results, Measurement("weights along a seamline / of the wide feather", ratio, "x", 2.0)]


def _seconds(rows: int, cols: int) -> float:
    random = np.random.default_rng(1)
    first = random.normal(2000, 300, (4, rows, cols))
    means = OverlapMeans("a", "b", 0, 0, first, 1.02 * first + random.normal(20, 20, first.shape))
    height, width = CELL_PX * rows, CELL_PX * cols
    times = []
    for _ in range(6):
        began = time.process_time()
        find_seam(means, (0, -4000, height, width + 4000), (0, 0, height, width + 4000))
        times.append(time.process_time() - began)
    return median(times[1:])


def _wandering_line(random: np.random.Generator) -> NDArray[np.uint8]:
    steps = random.integers(-1, 2, _HEIGHT_PX // CELL_PX + 6)
    line = np.clip(60 + np.cumsum(steps), 5, 115)
    return (np.arange(_OVERLAP_PX // CELL_PX) >= line[:, np.newaxis]).astype(np.uint8)


def _valid(halo_px: int) -> NDArray[np.bool_]:
    """Of the left and the right tile, in the overlap and so far around it."""
    valid = np.ones((2, _HEIGHT_PX + 2 * halo_px, _OVERLAP_PX + 2 * halo_px), np.bool_)
    valid[0, :, halo_px + _OVERLAP_PX :] = False
    valid[1, :, :halo_px] = False
    return valid


def _along_seam(valid: NDArray[np.bool_], seam: PairSeam) -> object:
    inner = np.s_[FEATHER_PX : FEATHER_PX + _HEIGHT_PX, FEATHER_PX : FEATHER_PX + _OVERLAP_PX]
    return seamline_weights(valid, ("a", "b"), {("a", "b"): seam}, 0, 0, inner)


def _wide(valid: NDArray[np.bool_], table: NDArray[np.int32]) -> object:
    size = {"top": _CAP_PX, "left": _CAP_PX, "height": _HEIGHT_PX, "width": _OVERLAP_PX}
    return [distance_weights(squared_distance(one, cap_px=_CAP_PX, **size), table) for one in valid]
