"""Our composites against bestpixel 0.3.0, odc-stac and stackstac, on the same archive, servers and machine.

GEO_BENCH_TOOLS=FOLDER python -m benchmarks rivals      GEO_BENCH_ROUNDS=5 for more than 3 rounds
"""

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measurement import Measurement
from benchmarks.rival_bench import OURS, Runs, compared, has_archive, tools

_WALL = {"full60x7": 0.35, "full60x12": 0.35, "full10x7": 0.35, "full10x4_tile": 0.17}
"""Workload -> wall time over bestpixel's that `read="exact"`, which gives the same pixels, is to reach."""
_MEMORY = {"full60x7": 0.30, "full60x12": 0.30}
_OVERVIEWS = {"full60x7": 0.09, "full60x12": 0.09}
_RIVALS = {"full60x7": ("odc_best", "odc_median", "stackstac_median")}
_MOST_RSS_MB = 600.0
_SMALL = ("small60x7", "small10x4")


def main() -> Sequence[Measurement]:
    """Ratios of wall time and memory, in the same round; medians."""
    folder = tools()
    if folder is None:
        return ()
    rounds = int(os.environ.get("GEO_BENCH_ROUNDS", "3"))
    results: list[Measurement] = []
    if has_archive("full"):
        for workload in _WALL:
            results += _against_all(folder, workload, rounds)
    elif has_archive("small"):
        for workload in _SMALL:
            results += _against_all(folder, workload, rounds)
    if has_archive("small_months"):
        results += _months(folder, rounds)
    return results


def _against_all(folder: Path, workload: str, rounds: int) -> list[Measurement]:
    ours: dict[str, tuple[str, dict[str, str]]] = {"exact": (OURS, {})}
    if workload in _OVERVIEWS:
        ours["overview"] = (OURS, {"read": "overview"})
    rivals = _RIVALS.get(workload, ())
    runs = compared(folder, workload, ["bestpixel", *ours, *rivals], ours=ours, rounds=rounds)
    results = [
        _ratio(runs, workload, "wall", "exact", "bestpixel", _WALL.get(workload)),
        _ratio(runs, workload, "rss_mb", "exact", "bestpixel", _MEMORY.get(workload)),
        _ratio(runs, workload, "mb", "exact", "bestpixel", None),
        Measurement(
            f"{workload}: peak memory, exact", runs.median("rss_mb", "exact"), "MB",
            _MOST_RSS_MB if workload in _MEMORY else None,
        ),
    ]  # fmt: skip
    if "overview" in ours:
        results.append(_ratio(runs, workload, "wall", "overview", "bestpixel", _OVERVIEWS[workload]))
    results += [_ratio(runs, workload, "wall", "exact", rival, None) for rival in rivals]
    return results


def _months(folder: Path, rounds: int) -> list[Measurement]:
    """Three months from one call, and from three."""
    ours: dict[str, tuple[str, dict[str, str]]] = {"one_call": ("benchmarks.bestpixel:months", {}), "each": (OURS, {})}
    runs = compared(folder, "months10x4", ["bestpixel", *ours], ours=ours, rounds=rounds)
    return [
        _ratio(runs, "months10x4", "wall", "one_call", "bestpixel", None),
        _ratio(runs, "months10x4", "wall", "one_call", "each", 1.0),
    ]


_WORDS = {"wall": "wall time", "rss_mb": "peak memory", "mb": "bytes sent"}


def _ratio(runs: Runs, workload: str, key: str, engine: str, to: str, target: float | None) -> Measurement:
    return Measurement(f"{workload}: {_WORDS[key]}, {engine} / {to}", runs.ratio(key, engine, to), "x", target)
