"""Composite methods against what users would take: numpy on float stacks with NaN, and odc-algo's geometric median.

One thread each, on the same observations: a month of twelve scenes, of which clouds take a third in patches. The
rivals get their input ready made (float32 with NaN, in the order of axes that they want), and write no quality, count
or source; ours starts from counts and quality and writes them. odc-algo computes its geometric median by `geomad`,
which is no dependency: `pip install --no-deps geomad`, or the table says that it is not installed.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import Measurement
from geo_assets.domain.region_composite import CompositeMethod, ScoreWeights
from geo_assets.kernels.compositing.methods import composite
from geo_assets.kernels.compositing.observations import Composite, Observations
from geo_assets.kernels.compositing.scoring import bap_scores
from geo_assets.kernels.compositing.uncertainty import standard_uncertainty

_SCENES, _BANDS, _EDGE_PX = 12, 6, 512
_RIVAL_ROWS = 64
"""Of the block, for rivals that take seconds for it."""


def main() -> Sequence[Measurement]:
    """CPU time per million pixels and scene of each method, and how many times as fast as its rival it is."""
    few, few_scores = _month(_RIVAL_ROWS)
    month, scores = _month(_EDGE_PX)
    work: dict[str, Callable[[], object]] = {method: partial(_ours, method, month, scores) for method in _METHODS}
    work["uncertainty"] = partial(standard_uncertainty, month, month.reflectance[0])
    work["scores"] = partial(_scores, month)
    results = [
        Measurement(f"{name}, {_SCENES} scenes, {_BANDS} bands, per Mpx and scene", 1e3 * _seconds(run), "ms")
        for name, run in work.items()
    ]
    stack = _floats(few)
    rivals: tuple[tuple[CompositeMethod, Callable[[], object], float | None], ...] = (
        ("median", lambda: np.nanmedian(stack, axis=0), 5.0),
        ("percentile", lambda: np.nanpercentile(stack, 25, axis=0, method="inverted_cdf"), 5.0),
        ("weighted_mean", partial(_numpy_weighted_mean, stack, few_scores), None),
        ("medoid", partial(_numpy_medoid, stack), None),
        ("max_ndvi", partial(_numpy_greenest, stack), None),
    )
    for method, rival, target in rivals:
        ours = partial(_ours, method, few, few_scores)
        ratio = _cpu_ratio(_quiet(rival), ours)
        results.append(Measurement(f"numpy / {method}", ratio, "x", target, higher_is_better=True))
    return results + _against_geomad(few, few_scores)


_METHODS: tuple[CompositeMethod, ...] = (
    "best_pixel", "bap", "median", "percentile", "weighted_mean", "max_ndvi", "medoid", "geomedian",
)  # fmt: skip


def _month(rows: int) -> tuple[Observations, NDArray[np.float32]]:
    random = np.random.default_rng(11)
    ground = random.normal(1500, 500, (_BANDS, rows, _EDGE_PX))
    reflectance = (ground + random.normal(0, 120, (_SCENES, _BANDS, rows, _EDGE_PX))).astype(np.int16)
    patches = random.random((_SCENES, -(-rows // 32), _EDGE_PX // 32)) < 1 / 3
    quality = np.where(np.kron(patches, np.ones((1, 32, 32), bool))[:, :rows], 255, 0).astype(np.uint8)
    scores = random.random(quality.shape).astype(np.float32)
    return Observations(reflectance, quality, np.arange(_SCENES)), scores


def _ours(method: CompositeMethod, observations: Observations, scores: NDArray[np.float32]) -> Composite:
    return composite(observations, method, scores=scores, red=2, nir=3)


def _scores(observations: Observations) -> object:
    """All partial scores, with distances to cloud of up to 5 km."""
    blue, red = (np.ascontiguousarray(observations.reflectance[:, band]) for band in (0, 2))
    return bap_scores(
        ScoreWeights(view_zenith=0.1),
        day=np.arange(_SCENES) * 2.5,
        target_day=15,
        shape=blue.shape[1:],
        cloud_distance_m=(blue.view(np.uint16) % 5000).astype(np.uint16),
        blue=blue,
        red=red,
        view_zenith=np.full(_SCENES, 8.0),
    )


def _seconds(run: Callable[[], object]) -> float:
    """CPU time per million pixels and scene, the least of five: other work on the machine is not the method's."""
    run()
    taken = []
    for _ in range(5):
        began = time.thread_time()
        run()
        taken.append(time.thread_time() - began)
    return min(taken) / (_EDGE_PX**2 / 1e6) / _SCENES


def _cpu_ratio(one: Callable[[], object], other: Callable[[], object]) -> float:
    """Median over rounds of the ratio of this thread's CPU times; each round runs both, after a warm-up of each."""
    one()
    other()
    ratios = []
    for _ in range(5):
        began = time.thread_time()
        one()
        between = time.thread_time()
        other()
        ratios.append((between - began) / (time.thread_time() - between))
    return statistics.median(ratios)


def _floats(observations: Observations) -> NDArray[np.float32]:
    """(time, band, y, x) float32, NaN where not usable."""
    stack = observations.reflectance.astype(np.float32)
    return np.where(observations.quality[:, np.newaxis] == 255, np.float32(np.nan), stack)


def _numpy_weighted_mean(stack: NDArray[np.float32], scores: NDArray[np.float32]) -> object:
    weights = np.where(np.isnan(stack), 0, scores[:, np.newaxis])
    return np.nansum(weights * stack, axis=0) / weights.sum(axis=0)


def _numpy_medoid(stack: NDArray[np.float32]) -> object:
    apart = np.sqrt(((stack[:, np.newaxis] - stack) ** 2).sum(axis=2))
    sums = np.where(np.isnan(stack[:, 0]), np.inf, np.nansum(apart, axis=1))
    return np.take_along_axis(stack, np.argmin(sums, axis=0)[np.newaxis, np.newaxis], axis=0)[0]


def _numpy_greenest(stack: NDArray[np.float32]) -> object:
    ndvi = (stack[:, 3] - stack[:, 2]) / (stack[:, 3] + stack[:, 2])
    chosen = np.argmax(np.where(np.isnan(ndvi), -2, ndvi), axis=0)
    return np.take_along_axis(stack, chosen[np.newaxis, np.newaxis], axis=0)[0]


def _quiet(work: Callable[[], object]) -> Callable[[], object]:
    """A pixel without any observation makes numpy warn."""

    def run() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return work()

    return run


def _against_geomad(observations: Observations, scores: NDArray[np.float32]) -> list[Measurement]:
    what = "odc-algo's geomad / geomedian, one core"
    try:
        geomad: Any = import_module("geomad")
    except ImportError as error:
        return [Measurement(f"{what} (not installed: {error})", float("nan"), "x")]
    reflectance = np.ascontiguousarray(_floats(observations).transpose(2, 3, 1, 0)) * np.float32(1e-4)
    # odc-algo's way to it: reflectance, and a step of a tenth of a count as the last.
    theirs = partial(geomad.nangeomedian_pcm, reflectance, eps=1e-5, maxiters=1000, num_threads=1, nocheck=True)
    found = _ours("geomedian", observations, scores)
    apart = np.abs(found.bands - np.moveaxis(theirs() * 1e4, 2, 0))
    agreement = float(np.nanmax(np.where(found.quality == 255, np.nan, apart)))
    ratio = _cpu_ratio(_quiet(theirs), partial(_ours, "geomedian", observations, scores))
    return [
        Measurement(what, ratio, "x", 1.0, higher_is_better=True),
        Measurement("largest difference from geomad's geomedian", agreement, "counts"),
    ]
