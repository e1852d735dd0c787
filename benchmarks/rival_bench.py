"""The bench that other programs are compared in: its scripts, its Python, and its driver's figures.

`GEO_BENCH_TOOLS` names the folder of `compare.py`, `GEO_BENCH` that of its data, virtual environment and results
(`~/.cache/geo-bench` if it is not set). Its README says how to install it, write archives and start the servers.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS = "benchmarks.bestpixel:engine"
"""The plug-in, as `compare.py` wants it."""


def tools() -> Path | None:
    """The folder of `compare.py`; None, and said so, where there is none: then there is nothing to compare with."""
    folder = os.environ.get("GEO_BENCH_TOOLS")
    if folder and (Path(folder) / "compare.py").is_file() and _python().is_file():
        return Path(folder)
    print("Skipped: GEO_BENCH_TOOLS does not name a folder with compare.py, or its Python is missing.", file=sys.stderr)
    return None


def root() -> Path:
    """The folder of the bench's data and results."""
    return Path(os.environ.get("GEO_BENCH") or Path.home() / ".cache" / "geo-bench")


def has_archive(name: str) -> bool:
    """Whether an archive of that name has been written."""
    return any((root() / "data" / name).glob("*.json"))


@dataclass(frozen=True, slots=True)
class Runs:
    """What `compare.py` measured of one workload: engine -> a report for each round, None where it failed."""

    reports: Mapping[str, Sequence[Mapping[str, Any] | None]]

    def ratio(self, key: str, engine: str, to: str) -> float:
        """Median over rounds of one engine's figure (`wall`, `rss_mb` ...) over another's in the same round."""
        pairs = zip(self.reports[engine], self.reports[to], strict=True)
        return statistics.median(float(one[key]) / float(other[key]) for one, other in pairs if one and other)

    def median(self, key: str, engine: str) -> float:
        """Median over rounds of an engine's figure."""
        return statistics.median(float(report[key]) for report in self.reports[engine] if report)


def compared(
    folder: Path,
    workload: str,
    engines: Sequence[str],
    *,
    ours: Mapping[str, tuple[str, Mapping[str, str]]],
    rounds: int,
) -> Runs:
    """Run engines on a workload, interleaved, each run in a fresh process.

    Parameters
    ----------
    folder
        As of `tools`.
    workload, engines
        Names that `compare.py --list` shows; names of `ours` may be among the engines.
    ours
        Name -> (module:function, options) of engines of this project.
    rounds
        How many.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "runs.json"
        command = [str(_python()), str(folder / "compare.py"), workload, *engines, "--rounds", str(rounds)]
        command += ["--json", str(report), "--timeout", "600"]
        for name, (function, options) in ours.items():
            command += ["--engine", f"{name}={function}", "--python", f"{name}={sys.executable}"]
            command += [word for key, value in options.items() for word in ("--option", f"{name}={key}={value}")]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        if not report.is_file():
            raise RuntimeError(f"compare.py {workload} ended with {done.returncode} before it had measured anything")
        return Runs(json.loads(report.read_text())["runs"])


def _python() -> Path:
    return root() / "venv" / "bin" / "python"
