"""s2cloudless' forest: CPU time against the library, peak memory, and how soon a fresh process has its first answer."""

import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import Measurement
from geo_assets.domain.bands import QUANTIFICATION, S2CLOUDLESS_BANDS, SENTINEL2_BANDS
from geo_assets.io.detectors.forest_model import installed_forest

_SCENE = Path(__file__).resolve().parents[2] / "shared" / "data" / "s2-l1c-cloudprob" / "scene.npz"
_SIZES_PX = {1024: 5, 1830: 3}
"""Edge of the square -> rounds; the library takes a minute for 1830 x 1830, a tile at 60 m."""
_PER_CPU_SECOND = 13.0


def main() -> Sequence[Measurement]:
    """How many times more pixels per CPU second than the library, on counts as stored; and memory and start-up."""
    results = []
    for edge, rounds in _SIZES_PX.items():
        ratio, speed = _against_library(scene_counts(edge), rounds)
        results.append(_ratio(f"s2cloudless / forest, CPU time, {edge} x {edge} real spectra with noise", ratio))
        results.append(Measurement(f"forest, {edge} x {edge}", speed, "Mpx per CPU second"))
    random = np.random.default_rng(7)
    unrelated = np.stack([random.permutation(band.ravel()).reshape(band.shape) for band in scene_counts(512)])
    ratio, speed = _against_library(unrelated, 3)
    results.append(_ratio("the same, 512 x 512, every band shuffled by itself", ratio))
    results.append(Measurement("peak memory above the input, 1830 x 1830", _peak_megabytes(), "MB", 400.0))
    results.append(Measurement("fresh process to first answer, all caches warm", _start_up_seconds(), "s", 1.5))
    return results


def scene_counts(edge: int) -> NDArray[np.uint16]:
    """(10, edge, edge) counts: a real cloudy coast, laid side by side, with 2 % of noise: no two pixels are alike.

    Without `../shared/data`, made-up spectra of clouds over ground.
    """
    random = np.random.default_rng(5)
    if _SCENE.is_file():
        with np.load(_SCENE) as scene:
            numbers = [str(number) for number in scene["bands"]]
            chosen = [numbers.index(SENTINEL2_BANDS[name].number) for name in S2CLOUDLESS_BANDS]
            real = scene["dn"][chosen].astype(np.float32)
    else:
        cloud = np.clip(np.cumsum(random.normal(0, 0.05, (428, 512)), axis=1), 0, 1)
        real = (1500 + 6000 * cloud * random.uniform(0.3, 1, (10, 1, 1))).astype(np.float32)
    whole = np.pad(real, [(0, 0), *[(0, max(0, edge - length)) for length in real.shape[1:]]], mode="symmetric")
    noisy = whole[:, :edge, :edge] * random.normal(1, 0.02, (10, edge, edge)).astype(np.float32)
    counts: NDArray[np.uint16] = np.clip(noisy, 0, 65_535).astype(np.uint16)
    return counts


def _ratio(what: str, ratio: float) -> Measurement:
    return Measurement(what, ratio, "x", _PER_CPU_SECOND, higher_is_better=True)


def _against_library(counts: NDArray[np.uint16], rounds: int) -> tuple[float, float]:
    """Median ratio of CPU times, interleaved, and our median of megapixels per CPU second."""
    library, forest = _library(), installed_forest()
    valid = np.ones(counts.shape[1:], np.bool_)

    def stock(some: NDArray[np.uint16]) -> Any:
        spectra = np.moveaxis(some, 0, -1)[np.newaxis].astype(np.float32) / np.float32(QUANTIFICATION)
        return library.get_cloud_probability_maps(spectra)[0]

    def ours(some: NDArray[np.uint16]) -> Any:
        return forest.probability(list(some), valid[: some.shape[1]], quantification=QUANTIFICATION)

    if not np.array_equal(stock(counts[:, :9]), ours(counts[:, :9])):
        raise AssertionError("The forest's probability is not the library's: there is nothing to compare.")
    ratios, speeds = [], []
    for _ in range(rounds):
        theirs, mine = _cpu_seconds(lambda: stock(counts)), _cpu_seconds(lambda: ours(counts))
        ratios.append(theirs / mine)
        speeds.append(valid.size / mine / 1e6)
    return statistics.median(ratios), statistics.median(speeds)


def _cpu_seconds(work: Callable[[], object]) -> float:
    """Of all threads: the library uses every core."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _library() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from s2cloudless.cloud_detector import S2PixelCloudDetector
    return S2PixelCloudDetector(all_bands=False)


_PEAK = """
import json
import numpy as np
from geo_assets.io.detectors.forest_model import installed_forest

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

counts = np.random.default_rng(1).integers(0, 12000, (10, 1830, 1830), np.uint16)
valid = np.ones((1830, 1830), bool)
forest = installed_forest()
forest.probability([band[:9] for band in counts], valid[:9], quantification=10000)
before = peak()
forest.probability(list(counts), valid, quantification=10000)
print(json.dumps(peak() - before))
"""

_START_UP = """
import json, time
began = time.perf_counter()
import numpy as np
from geo_assets.io.detectors.forest_model import installed_forest
bands = [np.full((100, 100), 1000, np.uint16)] * 10
installed_forest().probability(bands, np.ones((100, 100), bool), quantification=10000)
print(json.dumps(time.perf_counter() - began))
"""


def _peak_megabytes() -> float:
    return _told_by_child(_PEAK)


def _start_up_seconds() -> float:
    return statistics.median(_told_by_child(_START_UP) for _ in range(5))


def _told_by_child(program: str) -> float:
    """The number that a fresh Python prints."""
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(json.loads(child.stdout))
