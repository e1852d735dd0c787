"""Decoding the blocks of a COG against the floor: libdeflate alone on the same bytes, two threads each."""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import rasterio

from benchmarks.measurement import Measurement, interleaved
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.reads.byte_source import LocalFile
from geo_assets.io.reads.tiff_blocks import decoded
from geo_assets.io.reads.tiff_pixels import TiffPixels

_EDGE_PX = 8192
_THREADS = 2
_inflate: Any = imagecodecs.deflate_decode  # its stubs know neither memoryviews nor arrays, which it takes


def main() -> Sequence[Measurement]:
    """Reading, inflating and undoing predictor 2, over reading and inflating; DEFLATE, blocks of 1,024 pixels."""
    geobox = tile_geobox("33UWQ", 10)[:_EDGE_PX, :_EDGE_PX]
    rng = np.random.default_rng(5)
    counts = (1500 + 900 * np.sin(np.arange(_EDGE_PX) / 90)[:, np.newaxis] + rng.normal(0, 40, geobox.shape)).astype(
        np.uint16
    )
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "band.tif"
        profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "nodata": 0, "crs": str(geobox.crs)}
        layout = {"tiled": True, "blockxsize": 1024, "blockysize": 1024, "compress": "deflate", "predictor": 2}
        with rasterio.open(
            path, "w", **profile, **layout, transform=geobox.transform, height=_EDGE_PX, width=_EDGE_PX
        ) as raster:
            raster.write(counts, 1)
        source = LocalFile(path, "band")
        pixels = TiffPixels(source)
        level = pixels.file.levels[0]
        table = pixels.table(level)
        spans = [
            (int(first), int(first) + int(length)) for first, length in zip(table.offsets, table.counts, strict=True)
        ]

        def floor(span: tuple[int, int]) -> None:
            (payload,) = source.read([span])
            _inflate(payload, out=np.empty(level.block_bytes, np.uint8))

        def ours(span: tuple[int, int]) -> None:
            (payload,) = source.read([span])
            decoded(level, payload)

        ratio = interleaved(lambda: _each(ours, spans), lambda: _each(floor, spans), rounds=9)
        source.close()
    return (Measurement("decoding blocks / libdeflate's floor", ratio, "x", 1.3),)


def _each(work: Callable[[tuple[int, int]], None], spans: Sequence[tuple[int, int]]) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, spans))
