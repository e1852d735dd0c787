"""Reading our own rasters: windows, files that are replaced, files that are damaged."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from geo_assets.domain.errors import CorruptProductError, GridMismatchError
from geo_assets.io import rasters
from geo_assets.io.cog_writer import RasterBand, write_cog
from geo_assets.io.rasters import raster_geobox, read_window

GEOBOX = GeoBox((50, 70), Affine(20, 0, 300_000, 0, -20, 6_200_020), "EPSG:32733")
PIXELS = np.arange(2 * 50 * 70, dtype=np.int16).reshape(2, 50, 70)


def write(path, pixels=PIXELS):
    def read_block(row, col):
        return pixels[:, row * 16 : row * 16 + 16, col * 16 : col * 16 + 16]

    bands = [RasterBand("red"), RasterBand("nir")]
    write_cog(path, GEOBOX, "int16", -32768, bands, read_block, overviews="average", block_px=16)
    return path


def test_a_window_is_a_slice_of_the_raster(tmp_path):
    path = write(tmp_path / "raster.tif")
    np.testing.assert_array_equal(read_window(path, slice(3, 40), slice(20, 70)), PIXELS[:, 3:40, 20:70])
    np.testing.assert_array_equal(read_window(path, slice(None), slice(0, 1), [2]), PIXELS[1:, :, :1])


def test_the_geobox_is_the_one_written(tmp_path):
    assert raster_geobox(write(tmp_path / "raster.tif")) == GEOBOX


@pytest.mark.parametrize(
    ("rows", "cols", "bands", "message"),
    [
        (slice(0, 51), slice(0, 1), None, "rows 0 to 51 asked for, found 0 to 50"),
        (slice(0, 1), slice(-1, 5), None, "columns -1 to 5"),
        (slice(0, 10, 2), slice(0, 1), None, "rows"),
        (slice(0, 1), slice(0, 1), [3], "bands 1 to 2"),
    ],
)
def test_a_window_outside_the_raster_is_refused(tmp_path, rows, cols, bands, message):
    path = write(tmp_path / "raster.tif")
    with pytest.raises(GridMismatchError, match=message):
        read_window(path, rows, cols, bands)


def test_a_replaced_file_is_read_anew(tmp_path):
    path = write(tmp_path / "raster.tif")
    read_window(path, slice(0, 1), slice(0, 1))
    os.replace(write(tmp_path / "next.tif", PIXELS + 1), path)
    np.testing.assert_array_equal(read_window(path, slice(None), slice(None)), PIXELS + 1)


def test_threads_share_no_handle_and_read_the_same(tmp_path):
    path = write(tmp_path / "raster.tif")
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda row: read_window(path, slice(row, row + 1), slice(None)), range(50)))
    np.testing.assert_array_equal(np.concatenate(rows, axis=1), PIXELS)


def test_only_a_few_files_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(rasters, "_OPEN_PER_THREAD", 2)
    for number in range(4):
        read_window(write(tmp_path / f"{number}.tif"), slice(0, 1), slice(0, 1))
    assert [path.name for path in rasters._OPEN.datasets] == ["2.tif", "3.tif"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CorruptProductError, match=r"gone\.tif"):
        raster_geobox(tmp_path / "gone.tif")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, share):
    path = write(tmp_path / "raster.tif")
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(CorruptProductError, match=r"raster\.tif"):
        read_window(path, slice(None), slice(None))


def test_a_damaged_block_is_never_read_as_data(tmp_path):
    path = write(tmp_path / "raster.tif")
    raw = bytearray(path.read_bytes())
    raw[-60:-20] = bytes(40)
    path.write_bytes(raw)
    with pytest.raises(CorruptProductError, match=r"raster\.tif"):
        read_window(path, slice(None), slice(None))


def test_what_gdal_only_warns_about_is_an_error(tmp_path):
    path = write(tmp_path / "raster.tif")
    edited = path.read_bytes().replace(b"INCOMPATIBLE_EDITION=NO\n ", b"INCOMPATIBLE_EDITION=YES\n")
    path.write_bytes(edited)
    with pytest.raises(CorruptProductError, match=r"raster\.tif.*invalidated by later changes"):
        read_window(path, slice(None), slice(None))
