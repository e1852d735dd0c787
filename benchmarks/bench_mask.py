"""A whole tile from its files to its mask: 10, 20 and 60 m COGs of a Sentinel-2 tile, both detectors at 60 m."""

import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from benchmarks.bench_fmask import mirrored, real_scene
from benchmarks.measurement import Measurement
from geo_assets.domain.bands import HYBRID_BANDS, SENTINEL2_BANDS

_EDGE_M = 109_800
_UPPER_LEFT = 399_960, 5_100_000
_TARGET_S, _MOST_RSS_MB = 25.0, 2048.0
_ANGLES = ("--sun-zenith", "35", "--sun-azimuth", "150", "--view-zenith", "0")


def main() -> Sequence[Measurement]:
    """CPU time and peak memory of `geo-assets mask` on a folder of bands, a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_tile(folder / "bands")
        mask = [str(Path(sys.executable).with_name("geo-assets")), "mask", str(folder / "bands"), *_ANGLES]
        runs = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*mask, "--out", str(folder / "out")], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            runs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            shutil.rmtree(folder / "out")
    about = "a tile of 10980 px bands to its mask at 60 m"
    return (
        Measurement(about, min(runs), "CPU-s", _TARGET_S),
        Measurement(f"{about}, peak memory", after.ru_maxrss / 1024, "MB", _MOST_RSS_MB),
    )


def _write_tile(folder: Path) -> None:
    """The twelve bands of a real scene, mirrored until they fill a tile, as COGs of their native pixels."""
    folder.mkdir()
    scene = real_scene()
    for name in HYBRID_BANDS:
        band = SENTINEL2_BANDS[name]
        edge = _EDGE_M // band.resolution_m
        counts = mirrored(scene[name], edge)
        with rasterio.open(
            folder / f"{band.number}.tif", "w", driver="COG", count=1, height=edge, width=edge, dtype=np.uint16,
            nodata=0, crs="EPSG:32633", transform=from_origin(*_UPPER_LEFT, band.resolution_m, band.resolution_m),
            compress="DEFLATE", level=6, predictor="STANDARD", blocksize=1024,
        ) as raster:  # fmt: skip
            raster.write(counts, 1)
