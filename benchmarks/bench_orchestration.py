"""What Dagster costs: `geo-assets backfill` over stations that do nothing, and a large region's code location."""

import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measurement import Measurement
from geo_assets.domain.tile_grid import tiles_of
from geo_assets.orchestration.backfill import backfill
from geo_assets.orchestration.home import open_instance, prepare_home
from geo_assets.stations.opening import Surroundings
from geo_assets_tests.scenery.trivial_line import (
    region_file,
    trivial_definitions,
    trivial_resource,
    trivial_stations,
)

MANY_TILES = (-10.0, 36.0, 50.0, 60.0)
"""A bounding box with well over a thousand tiles, degrees."""


def main() -> Sequence[Measurement]:
    """Seconds a tile-month of seven trivial stations, fresh and finished, peak memory, and seconds to load."""
    with tempfile.TemporaryDirectory() as folder:
        load = _seconds_to_load(Path(folder), tiles=1000)
    with tempfile.TemporaryDirectory() as folder:
        fresh, again = _seconds_of_backfills(Path(folder), tiles=100)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        Measurement("backfill of 100 tiles x 7 trivial stations, a tile-month", fresh / 100, "s", 1.0),
        Measurement("the same again, everything finished, a tile-month", again / 100, "s", 1.0),
        Measurement("peak memory of both", peak_mb, "MB", 2000.0),
        Measurement("code location of 1000 tiles x 120 months", load, "s", 10.0),
    )


def _region(folder: Path, *, tiles: int, months: str) -> Surroundings:
    path = region_file(folder, tiles=tiles_of(MANY_TILES)[:tiles])
    path.write_text(path.read_text().replace("first: 2024-06, last: 2024-07", months))
    return Surroundings(path, str(folder / "store"), folder, threads=1)


def _seconds_of_backfills(folder: Path, *, tiles: int) -> tuple[float, float]:
    place = _region(folder, tiles=tiles, months="first: 2024-07, last: 2024-07")
    definitions, line = trivial_definitions(place), trivial_resource(place).open()
    seconds = []
    with open_instance(prepare_home(folder)) as instance:
        for _ in range(2):
            began = time.perf_counter()
            report = backfill(definitions, line, instance, stations=trivial_stations())
            seconds.append(time.perf_counter() - began)
            if not report.ok:
                raise RuntimeError(f"The trivial backfill failed: {report.failed[:1]}")
    return seconds[0], seconds[1]


def _seconds_to_load(folder: Path, *, tiles: int) -> float:
    place = _region(folder, tiles=tiles, months="first: 2014-01, last: 2023-12")
    began = time.perf_counter()
    repository = trivial_definitions(place).get_repository_def()
    repository.load_all_definitions()
    return time.perf_counter() - began


if __name__ == "__main__":
    for measured in main():
        print(f"{measured.what}: {measured.value:.3g} {measured.unit} {measured.verdict}")
