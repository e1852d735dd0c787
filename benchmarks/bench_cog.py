"""The COG writer against GDAL's COG driver: one band of a whole 10 m tile, ZSTD 1, predictor 2, overviews."""

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from rasterio.shutil import copy

from benchmarks.measurement import Measurement, interleaved
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.cog_writer import RasterBand, write_cog

_BLOCK_PX = 512


def main() -> Sequence[Measurement]:
    """Wall time of ours over GDAL's, 2 threads each; GDAL reads an uncompressed file that is in the page cache."""
    geobox = tile_geobox("33UWQ", 10)
    counts = np.random.default_rng(3).normal(1500, 40, geobox.shape).astype(np.int16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source.tif"
        profile = {"driver": "GTiff", "dtype": "int16", "count": 1, "nodata": -32768, "crs": str(geobox.crs)}
        height, width = geobox.shape
        with rasterio.open(
            source, "w", **profile, transform=geobox.transform, height=height, width=width, tiled=True
        ) as raster:
            raster.write(counts, 1)

        def ours(overviews: Literal["average", "none"] = "average") -> None:
            def block(row: int, col: int) -> np.ndarray:
                rows = slice(row * _BLOCK_PX, (row + 1) * _BLOCK_PX)
                return counts[np.newaxis, rows, col * _BLOCK_PX : (col + 1) * _BLOCK_PX]

            bands = [RasterBand("red", scale=1e-4)]
            write_cog(folder / "ours.tif", geobox, np.int16, -32768, bands, block, overviews=overviews, threads=2)

        def theirs(resampling: str = "average") -> None:
            options = {"compress": "zstd", "level": 1, "predictor": 2, "num_threads": 2, "blocksize": _BLOCK_PX}
            reduced = {"overviews": "none"} if resampling == "none" else {"overview_resampling": resampling}
            copy(source, folder / "theirs.tif", driver="COG", **reduced, **options)

        wall = interleaved(ours, theirs)
        work = interleaved(ours, theirs, clock=time.process_time, rounds=3)
        plain = interleaved(partial(ours, "none"), partial(theirs, "none"), rounds=3)
    what = "our COG writer / GDAL's COG driver, 10,980 px"
    return (
        Measurement(what, wall, "x", 0.45),
        Measurement(f"{what}, CPU time", work, "x"),
        Measurement(f"{what}, without overviews", plain, "x"),
    )
