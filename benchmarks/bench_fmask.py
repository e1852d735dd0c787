"""The embedded Fmask-type detector on a tile of 60 m pixels: CPU time of the whole and of its steps, and memory."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measurement import Measurement
from geo_assets.domain.arrays import DigitalNumber
from geo_assets.domain.bands import FMASK_BANDS, SENTINEL2_BANDS
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.detection import DetectorInput
from geo_assets.kernels.fmask import detection as steps
from geo_assets.kernels.fmask.detection import fmask_detection

_EDGE_PX = 1830
_ROUNDS = 5
_TARGET, _PYTHON_FMASK = 0.6, 5.8
"""CPU-seconds per million pixels: ours to reach, and what python-fmask takes end to end."""
_SCENE = Path(__file__).resolve().parents[2] / "shared" / "data" / "s2-l1c-cloudprob" / "scene.npz"
_STEPS = {
    "_spectra": "indices, potential cloud, snow, water",
    "_displacement": "cloud displacement",
    "_cirrus": "cirrus",
    "_probable_cloud": "probabilities, thresholds, decision",
    "_tidied": "tidying, bright surfaces",
    "_shadow": "shadow: flood, match, grow",
    "mask_codes": "codes",
}
"""Function of `detection` -> the steps that it takes."""


def main() -> Sequence[Measurement]:
    """CPU-seconds per million pixels at 60 m and, with the cloud displacement index, at 20 m."""
    results = []
    for resolution_m in (60.0, 20.0):
        scene = _tile(resolution_m)
        fmask_detection(scene)  # compiled, or loaded
        seconds = min(_cpu_seconds(partial(fmask_detection, scene)) for _ in range(_ROUNDS)) / _megapixels()
        about = f"embedded Fmask, {_EDGE_PX} x {_EDGE_PX} px of {resolution_m:g} m"
        results.append(Measurement(about, seconds, "CPU-s/Mpx", _TARGET))
        results.append(
            Measurement(
                f"{about}: python-fmask's 5.8 / this", _PYTHON_FMASK / seconds, "x", 10.0, higher_is_better=True
            )
        )
        results += [
            Measurement(f"  {_STEPS[name]}", value, "CPU-s/Mpx") for name, value in _step_seconds(scene).items()
        ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.append(Measurement("embedded Fmask, peak memory of the process", peak, "MB", 2000.0))
    return results


def _tile(resolution_m: float) -> DetectorInput:
    """A real scene that fills a tile."""
    scene = real_scene()
    bands = {name: mirrored(scene[name], _EDGE_PX) for name in FMASK_BANDS}
    return DetectorInput(bands, bands["blue"] != 0, Angles.constant(35.0, 150.0), resolution_m)


def real_scene() -> dict[str, DigitalNumber]:
    """Stable name -> (y, x) uint16 of all L1C bands over a cloudy coast; made up where the real one is absent."""
    if _SCENE.is_file():
        stored = np.load(_SCENE)
        return dict(zip(SENTINEL2_BANDS, stored["dn"], strict=True))
    print("no real scene in ../shared/data, noise instead", file=sys.stderr)
    random = np.random.default_rng(1)
    return {name: random.integers(300, 5000, (512, 512)).astype(np.uint16) for name in SENTINEL2_BANDS}


def mirrored(band: DigitalNumber, edge_px: int) -> DigitalNumber:
    """A band beside its mirror images until it fills a square."""
    rows, cols = (-(-edge_px // length) for length in band.shape)
    wide = np.concatenate([band[:, :: 1 - 2 * (number % 2)] for number in range(cols)], axis=1)
    tall = np.concatenate([wide[:: 1 - 2 * (number % 2)] for number in range(rows)])
    return np.ascontiguousarray(tall[:edge_px, :edge_px])


def _step_seconds(scene: DetectorInput) -> dict[str, float]:
    """CPU-seconds per million pixels of each step, by timing the functions that `fmask_detection` calls."""
    spent: dict[str, float] = dict.fromkeys(_STEPS, 0.0)
    original = {name: getattr(steps, name) for name in _STEPS}

    def timed(name: str, *args: Any, **kwargs: Any) -> Any:
        began = time.process_time()
        answer = original[name](*args, **kwargs)
        spent[name] += (time.process_time() - began) / _megapixels()
        return answer

    try:
        for name in _STEPS:
            setattr(steps, name, partial(timed, name))
        fmask_detection(scene)
    finally:
        for name, function in original.items():
            setattr(steps, name, function)
    return spent


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _megapixels() -> float:
    return _EDGE_PX * _EDGE_PX / 1e6
