"""The demo region against its known truth, and what it costs to meet finished products again."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from benchmarks.measurement import Measurement
from geo_assets.api import open_line, read_region, run_line
from geo_assets.demo.truth import acquisition_of, load_ground, load_sky
from geo_assets.domain.tile_month import Month
from geo_assets.io.places import Place
from geo_assets.stations.fetch import fetched_scenes
from geo_assets.stations.line import Line
from geo_assets.stations.opening import demo_region_file

_THICK = 0.4
"""Opacity from which a pixel counts as cloud."""


def main() -> Sequence[Measurement]:
    """Reflectance error of the mosaics, cloud F1 of the masks, and milliseconds a finished product."""
    with tempfile.TemporaryDirectory() as folder:
        line = open_line(read_region(demo_region_file()), Path(folder) / "store", home=Path(folder))
        for _ in run_line(line):
            pass
        began = time.perf_counter()
        reused = [outcome.reused for outcome in run_line(line)]
        again = (time.perf_counter() - began) / len(reused)
        results = [Measurement("a finished product met again", 1000 * again, "ms", 20.0)]
        for month in line.region.month_list:
            results += _mosaic_errors(line, month)
        results.append(Measurement("cloud F1 of the masks, all scenes and tiles", _cloud_f1(line), "", 0.9, True))
    return results


def _archive(line: Line) -> Path:
    return Path(line.archive.root)  # type: ignore[attr-defined]  # the demo archive is a local one


def _mosaic_errors(line: Line, month: Month) -> list[Measurement]:
    truth = load_ground(_archive(line), month)
    product = line.products.need(Place("region_mosaic", None, month))
    found = _on(product.path("region.tif"), truth.geobox)
    valid = found[0] != -32768
    error = (found[:, valid].astype(float) - truth.surface[:, valid]) * 1e-4
    rmse = np.sqrt(np.mean(error**2, axis=1))
    return [
        Measurement(f"{month}: share of the ground with a value", float(valid.mean()), ""),
        Measurement(f"{month}: RMSE of blue, reflectance", float(rmse[0]), ""),
        Measurement(f"{month}: RMSE of nir, reflectance", float(rmse[3]), ""),
    ]


def _cloud_f1(line: Line) -> float:
    hit = flagged = cloudy = 0
    for tile_month in line.region.tile_months:
        place = Place.of("hybrid_mask", tile_month)
        product = line.products.need(place)
        for scene in fetched_scenes(line, place):
            sky = load_sky(_archive(line), acquisition_of(scene.id))
            codes = _on(product.path(f"{scene.id}.mask.tif"), sky.geobox)[0]
            known = codes != 255
            found, truth = (codes == 1)[known], (sky.opacity > _THICK)[known]
            hit += int((found & truth).sum())
            flagged += int(found.sum())
            cloudy += int(truth.sum())
    return 2 * hit / max(flagged + cloudy, 1)


def _on(path: Path, geobox: object) -> NDArray[np.generic]:
    """(band, y, x) of a raster on another grid of the same lattice; nodata beyond it."""
    transform, (height, width) = geobox.transform, geobox.shape  # type: ignore[attr-defined]
    with rasterio.open(path) as raster:
        col = round((transform.c - raster.transform.c) / transform.a)
        row = round((raster.transform.f - transform.f) / transform.a)
        window = rasterio.windows.Window(col, row, width, height)
        pixels: NDArray[np.generic] = raster.read(window=window, boundless=True, fill_value=raster.nodata)
        return pixels
