"""A real day of MCD43A4, reduced ten times: the coast of Mozambique on 6 January 2017."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox

from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.coordinates import source_positions
from geo_assets.kernels.reprojection import resample_bilinear, resample_nearest
from geo_assets.stations.line import Line
from geo_assets_tests.scenery.lines import pixels_of, product_of, run_until, small_line

TILE, ITEM = "h21v11", "MCD43A4.A2017006.h21v11.006"
AREA = (33.9, -21.5, 35.2, -20.5)
NUMBERS = {"red": 1, "nir": 2, "blue": 3}
NODATA, FILL, NONE = -32768, 32767, 255


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory) -> Path:
    copy = tmp_path_factory.mktemp("mcd43a4") / "archive"
    shutil.copytree(shared_data / "modis-mcd43a4", copy)
    assets = {}
    for number in range(1, 8):
        assets[f"Nadir_Reflectance_Band{number}"] = {"href": f"{ITEM}_B{number:02d}.tif"}
        assets[f"BRDF_Albedo_Band_Mandatory_Quality_Band{number}"] = {"href": f"{ITEM}_B{number:02d}qa.tif"}
    west, south, east, north = 31.9, -30.0, 46.2, -20.0
    outline = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": ITEM,
        "collection": "modis-43A4-061",
        "geometry": {"type": "Polygon", "coordinates": [outline]},
        "properties": {"datetime": "2017-01-06T00:00:00Z"},
        "assets": assets,
        "links": [],
    }
    (copy / "item.json").write_text(json.dumps(item))
    return copy


@pytest.fixture(scope="module")
def line(folder) -> Line:
    line = small_line(
        folder / "item.json",
        folder.parent / "store",
        area=AREA,
        resolution=500,
        bands=list(NUMBERS),
        months={"first": "2017-01", "last": "2017-01"},
    )
    run_until(line, "monthly_composite")
    return line


@pytest.fixture(scope="module")
def ground(line) -> tuple[slice, slice]:
    """Rows and columns of the tile that the composite was made for."""
    seen = pixels_of(product_of(line, "monthly_composite"), "quality.tif")[0] != NONE
    rows, cols = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def stored(path: Path, grid: GeoBox) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """A file's pixels, and where those of a grid lie in it."""
    with rasterio.open(path) as raster:
        return raster.read(1), source_positions(grid, raster.crs, raster.transform)


def test_a_pixel_has_a_value_where_every_band_and_its_quality_have_one(line, folder, ground):
    grid = tile_geobox(TILE, 500)[ground]
    qualities = []
    for number in NUMBERS.values():
        classes, at = stored(folder / f"{ITEM}_B{number:02d}qa.tif", grid)
        qualities.append(resample_nearest(classes, *at, fill=NONE))
    worst = np.max(qualities, axis=0)
    composite = product_of(line, "monthly_composite")
    assert_array_equal(pixels_of(composite, "quality.tif", ground)[0], worst)
    assert set(np.unique(worst)) == {0, 1, NONE}
    assert composite.manifest.metrics["days"] == [6]


def test_values_are_the_stored_counts_interpolated(line, folder, ground):
    grid = tile_geobox(TILE, 500)[ground]
    composite = pixels_of(product_of(line, "monthly_composite"), "composite.tif", ground)
    valid = composite[0] != NODATA
    assert valid.mean() > 0.3
    for found, number in zip(composite, NUMBERS.values(), strict=True):
        counts, at = stored(folder / f"{ITEM}_B{number:02d}.tif", grid)
        expected = resample_bilinear(counts, *at, nodata=FILL)
        assert np.abs(found[valid].astype(int) - expected[valid]).max() <= 1
        assert (found[valid] == expected[valid]).mean() > 0.99
