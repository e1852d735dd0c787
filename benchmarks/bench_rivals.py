"""Composites against bestpixel, odc-stac and stackstac on the bench's archives, interleaved, each run a fresh process.

The bench stands beside this project: `GEO_BENCH_TOOLS` names its folder (with `compare.py`), `GEO_BENCH` its data, and
`GEO_BENCH_PYTHON` the interpreter that the rivals are installed in. `GEO_BENCH_ROUNDS` is 5. Workloads whose archive
has not been made are left out. compare.py's own tables are printed as they come.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measurement import Measurement

_TIME_LIMIT_S = 7200


@dataclass(frozen=True, slots=True)
class _Workload:
    """One workload of compare.py, and what is to be reached on it."""

    name: str
    archive: str
    exact: float
    """Wall time over bestpixel's, reading at full resolution."""
    overview: float | None = None
    """The same where overviews may be read."""
    memory: float | None = None
    """Peak resident memory over bestpixel's."""
    others: tuple[str, ...] = field(default=())
    """Further rivals; slow ones only where it takes minutes at most."""


_WORKLOADS = (
    _Workload("small60x7", "small", exact=0.35, overview=0.09, others=("odc_best", "odc_median", "stackstac_median")),
    _Workload("small10x4", "small", exact=0.35),
    _Workload("full60x7", "full", exact=0.35, overview=0.09, memory=0.30, others=("odc_best",)),
    _Workload("full60x12", "full", exact=0.35, overview=0.09, memory=0.30),
    _Workload("full10x7", "full", exact=0.35),
    _Workload("full10x4_tile", "full", exact=0.17),
)
_MONTHS = "months10x4"


def main() -> Sequence[Measurement]:
    """Ratios of wall time and memory to bestpixel's in the same round; bytes sent over those of the blocks used."""
    tools = os.environ.get("GEO_BENCH_TOOLS")
    if not tools:
        print("rivals: left out. Set GEO_BENCH_TOOLS to the bench's folder, whose README says how to begin.")
        return ()
    bench = _Bench(Path(tools))
    found: list[Measurement] = []
    for workload in _WORKLOADS:
        if bench.has(workload.archive):
            found += _against_rivals(bench, workload)
    if bench.has("small_months"):
        found.append(_three_months(bench))
    return found


class _Bench:
    """The tools of the bench, run with the interpreter that its rivals live in."""

    def __init__(self, tools: Path) -> None:
        self._tools = tools
        self._data = Path(os.environ.get("GEO_BENCH") or Path.home() / ".cache" / "geo-bench")
        self._python = os.environ.get("GEO_BENCH_PYTHON") or str(self._data / "venv" / "bin" / "python")
        self._rounds = os.environ.get("GEO_BENCH_ROUNDS") or "5"

    def has(self, archive: str) -> bool:
        """Whether an archive has been made."""
        return any((self._data / "data" / archive).glob("*.json"))

    def compare(self, workload: str, engines: Sequence[str], ours: Mapping[str, str]) -> dict[str, list[Any]]:
        """Engine -> its report of each round; `ours` are names of our engine -> the function and its option."""
        command = [self._python, str(self._tools / "compare.py"), workload, *engines, *ours, "--rounds", self._rounds]
        for name, function in ours.items():
            command += ["--engine", f"{name}=benchmarks.bestpixel:{function}", "--python", f"{name}={sys.executable}"]
        if "overview" in ours:
            command += ["--option", "overview=read=overview"]
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "runs.json"
            subprocess.run([*command, "--json", str(report)], check=False, timeout=_TIME_LIMIT_S)
            runs: dict[str, list[Any]] = json.loads(report.read_text())["runs"]
        return runs

    def waste(self, workload: str, engine: str) -> float:
        """Bytes that the last run was sent, over the bytes of the whole blocks among them."""
        log = self._data / "results" / f"{workload}.{engine}.log"
        command = [self._python, str(self._tools / "decode_bound.py"), str(log), "--repeat", "1"]
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIME_LIMIT_S).stdout
        numbers = re.search(r"([\d.]+) MB sent; \d+ blocks, ([\d.]+) MB packed", told)
        assert numbers is not None, told
        return float(numbers[1]) / float(numbers[2])


def _against_rivals(bench: _Bench, workload: _Workload) -> Iterator[Measurement]:
    ours = {"exact": "engine"} | ({"overview": "engine"} if workload.overview else {})
    runs = bench.compare(workload.name, ["bestpixel", *workload.others], ours)
    yield _ratio(workload.name, runs, "exact", "bestpixel", "wall", workload.exact)
    if workload.overview:
        yield _ratio(workload.name, runs, "overview", "bestpixel", "wall", workload.overview)
    if workload.memory:
        yield _ratio(workload.name, runs, "exact", "bestpixel", "rss_mb", workload.memory)
    for rival in workload.others:
        yield _ratio(workload.name, runs, "exact", rival, "wall", None)
    yield Measurement(
        f"{workload.name}: bytes sent / bytes of blocks used", bench.waste(workload.name, "exact"), "x", 1.1
    )


def _three_months(bench: _Bench) -> Measurement:
    """One call for three months against a call for each."""
    runs = bench.compare(_MONTHS, ["bestpixel"], {"months": "months", "exact": "engine"})
    return _ratio(_MONTHS, runs, "months", "exact", "wall", 1.0)


def _ratio(
    workload: str, runs: Mapping[str, list[Any]], ours: str, rival: str, figure: str, target: float | None
) -> Measurement:
    """The median over rounds of our figure over the rival's in the same round."""
    pairs = [(one[figure], other[figure]) for one, other in zip(runs[ours], runs[rival], strict=True) if one and other]
    value = statistics.median(one / other for one, other in pairs) if pairs else float("nan")
    what = {"wall": "wall time", "rss_mb": "peak memory"}[figure]
    return Measurement(f"{workload}: {what}, {ours} / {rival}", value, "x", target)
