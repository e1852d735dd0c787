"""A mosaic of 2x2 tiles against reading and writing alone, GDAL, rasterio.merge, Orfeo ToolBox and a guide's recipe.

`python -m benchmarks mosaic` takes tiles of 4,000 px (two minutes); `python -m benchmarks.bench_mosaic full` those of
Sentinel-2 at 10 m, 10,980 px, 440 Mpx in all, which the targets are for (ten minutes); another number of pixels does as
well. Every run has a process of its own and two threads; runs take turns, and only those of one round are compared.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measurement import Measurement
from benchmarks.mosaic_runs import is_there, write_tiles

USUAL_PX, FULL_PX, _WARM_PX = 4_000, 10_980, 600
_ROUNDS = 3
_ONCE = ("otb_mosaic", "guides_recipe")
"""Take minutes: one round tells enough."""
_RECIPE_LIMIT_PX = 5_000
"""The recipe holds eight arrays of the whole mosaic: 20 GB for full tiles."""
_OURS = ("ours", "ours_unmeasured", "ours_with_overviews")
_NARROW = "1x2"
_AGAINST = {"floor": 1.5, "gdal_vrt": 0.75, "rasterio_merge": 0.75, "otb_mosaic": 0.25, "guides_recipe": None}
_SHARE_OF_MEASURING, _PEAK_MB, _GROWTH = 0.15, 500.0, 1.05


def main(size: int = USUAL_PX) -> Sequence[Measurement]:
    """All runs in turn, round after round."""
    with tempfile.TemporaryDirectory(prefix="bench-mosaic-") as scratch:
        folder = Path(scratch)
        write_tiles(folder, size)
        write_tiles(folder / "small", _WARM_PX)
        measured: dict[str, list[dict[str, float]]] = {}
        for turn in range(_ROUNDS):
            for name in (*_OURS, *_AGAINST):
                too_large = name == "guides_recipe" and size > _RECIPE_LIMIT_PX
                if is_there(name) and not (turn and name in _ONCE) and not too_large:
                    measured.setdefault(name, []).append(_run(name, folder))
                elif not turn:
                    why = "needs 20 GB for tiles as large" if too_large else "not installed"
                    print(f"  {name}: not run, {why}", file=sys.stderr, flush=True)
            measured.setdefault(_NARROW, []).append(_run("ours", folder, _NARROW))
    return _measurements(size, measured)


def _run(name: str, folder: Path, kind: str = "2x2") -> dict[str, float]:
    print(f"  {name} {kind}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.mosaic_runs", name, str(folder), kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _measurements(size: int, measured: dict[str, list[dict[str, float]]]) -> Sequence[Measurement]:
    what = f"2x2 tiles of {size} px"
    full = size >= FULL_PX
    rows = [
        Measurement(f"{what}, {name}: {words}", statistics.median(run[key] for run in measured[name]), unit)
        for name in (*_OURS, *_AGAINST)
        if name in measured
        for key, words, unit in (("wall", "wall", "s"), ("cpu", "CPU", "s"), ("rss", "peak memory", "MB"))
    ]

    def ratio(key: str, to: str) -> float:
        pairs = zip(measured["ours"], measured[to], strict=False)
        return statistics.median(one[key] / other[key] for one, other in pairs)

    for rival, target in _AGAINST.items():
        if rival in measured:
            rows.append(Measurement(f"{what}, wall over {rival}", ratio("wall", rival), "x", target if full else None))
            rows.append(Measurement(f"{what}, CPU over {rival}", ratio("cpu", rival), "x"))
    rows.append(
        Measurement(f"{what}, measuring", 1 - 1 / ratio("cpu", "ours_unmeasured"), "of CPU", _SHARE_OF_MEASURING)
    )
    peak = statistics.median(run["rss"] for run in measured["ours"])
    rows.append(Measurement(f"{what}, peak memory", peak, "MB", _PEAK_MB))
    rows.append(Measurement(f"{what}, peak memory over that of 1x2", ratio("rss", _NARROW), "x", _GROWTH))
    return rows


if __name__ == "__main__":
    from benchmarks.__main__ import table

    asked = sys.argv[1] if len(sys.argv) > 1 else str(USUAL_PX)
    print(table(main(FULL_PX if asked == "full" else int(asked))))
