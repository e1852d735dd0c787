"""Peak memory of a month's mosaic, region and statistics: 6 x 6 whole tiles of 60 m against 2 x 2.

Composites are laid into a store first, by another process; then each size runs from composites to `dataset_stats` in a
fresh process, whose peak resident size (VmHWM) is asked for after each station.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from benchmarks.measurement import Measurement
from geo_assets.stations.catalog import station_places, stations_of
from geo_assets.stations.composite import MONTHLY_COMPOSITE
from geo_assets.stations.line import run_station
from geo_assets_tests.scenery.composites import composite_line, put_composite

COLUMNS, ROWS = "TUVWXY", "ABCDEF"
"""Of zone 33, north of the equator, where it is widest."""
BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
GOAL = 1.10
"""Of the larger region's peak over the smaller one's."""


def tiles_of_square(edge: int) -> list[str]:
    """Names of `edge` x `edge` neighbouring tiles."""
    return [f"33N{column}{row}" for row in ROWS[:edge] for column in COLUMNS[:edge]]


def waves(geobox: GeoBox, bands: int) -> NDArray[np.int16]:
    """(band, y, x) counts with relief and some noise, quick to make."""
    height, width = geobox.shape
    east = (geobox.transform.c / 60 + np.arange(width)).astype(np.int64)
    north = (geobox.transform.f / 60 - np.arange(height)).astype(np.int64)
    relief = (1500 + 900 * np.sin(east / 90)[np.newaxis] * np.cos(north / 70)[:, np.newaxis]).astype(np.int16)
    noise = np.random.default_rng(int(east[0] + 7 * north[0])).integers(0, 32, (bands, height, width), np.int16)
    return np.asarray(relief[np.newaxis] + noise, np.int16)


def settings(edge: int, bands: int) -> dict[str, Any]:
    """Of the region."""
    return {"tiles": tiles_of_square(edge), "bands": list(BANDS[:bands]), "mosaic": {"feather_m": 2400}}


def lay(store: Path, edge: int, bands: int) -> None:
    """Write every composite."""
    line = composite_line(store, **settings(edge, bands))
    for number, tile in enumerate(line.region.tile_ids):
        put_composite(line, tile, lambda geobox: waves(geobox, bands), day=1 + number % 28)


def run(store: Path, edge: int, bands: int) -> dict[str, float]:
    """Run what follows the composites; station -> peak so far, MB, and `cpu_s`."""
    line = composite_line(store, **settings(edge, bands))
    stations = stations_of(line.region)
    begin = stations.index(MONTHLY_COMPOSITE) + 1
    found = {"begin": peak_mb()}
    for station in stations[begin:]:
        for place in station_places(line.region, station):
            run_station(line, station, place)
        found[station.name] = peak_mb()
    return {**found, "cpu_s": time.process_time()}


def peak_mb() -> float:
    """The largest resident size that this process has had, MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def in_process(step: str, store: Path, edge: int, bands: int) -> dict[str, float]:
    """A step, `lay` or `run`, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_region_memory", step, str(store), str(edge), str(bands)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(edge: int = 6, bands: int = 2) -> Sequence[Measurement]:
    """Peaks of both sizes after each station, and their ratio."""
    peaks = {}
    for size in (2, edge):
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "store"
            in_process("lay", store, size, bands)
            peaks[size] = in_process("run", store, size, bands)
    results = []
    for name in peaks[2]:
        unit, what = ("s", "CPU time") if name == "cpu_s" else ("MB", f"peak memory up to {name}")
        results += [
            Measurement(f"{what}, {size} x {size} tiles, {bands} bands", peaks[size][name], unit) for size in peaks
        ]
    ratio = peaks[edge]["dataset_stats"] / peaks[2]["dataset_stats"]
    return [*results, Measurement(f"peak memory, {edge} x {edge} tiles over 2 x 2", ratio, "x", GOAL)]


if __name__ == "__main__":
    _step, _store, _edge, _bands = sys.argv[1:]
    if _step == "lay":
        lay(Path(_store), int(_edge), int(_bands))
        print("{}")
    else:
        print(json.dumps(run(Path(_store), int(_edge), int(_bands))))
