"""Virtual rasters: GDAL sees in them what it sees in their parts."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox

from geo_assets.domain.errors import GridMismatchError
from geo_assets.io.cog_writer import write_cog
from geo_assets.io.tiff_headers import RasterBand
from geo_assets.io.vrt import VrtPart, vrt_bytes

NODATA = -32768
BANDS = [RasterBand("red & edge", scale=1e-4, color="red"), RasterBand("nir", scale=1e-4)]
WHOLE = GeoBox((90, 70), Affine(60, 0, 399_960, 0, -60, 5_100_000), "EPSG:32633")


def part(folder, name, row, col, height, width, *, seed):
    """A raster of noise with gaps, on the lattice of `WHOLE`."""
    pixels = np.random.default_rng(seed).integers(0, 9000, (2, height, width)).astype(np.int16)
    pixels[:, :: seed + 3] = NODATA
    geobox = GeoBox((height, width), WHOLE.transform * Affine.translation(col, row), WHOLE.crs)
    path = folder / name / "mosaic.tif"
    path.parent.mkdir(parents=True)
    write_cog(path, geobox, np.int16, NODATA, BANDS, lambda *_: pixels, overviews="average", block_px=512)
    return pixels, VrtPart(f"../{name}/mosaic.tif", (height, width), row, col)


def test_gdal_sees_the_parts_where_they_lie_and_nodata_elsewhere(tmp_path):
    first, first_part = part(tmp_path, "first", 10, -5, 60, 40, seed=1)
    second, second_part = part(tmp_path, "second", 30, 20, 80, 30, seed=2)
    _, far_part = part(tmp_path, "far", 200, 0, 10, 10, seed=3)
    expected = np.full((2, *WHOLE.shape), NODATA, np.int16)
    expected[:, 10:70, 0:35] = first[:, :, 5:]
    seen = expected[:, 30:90, 20:50]
    np.copyto(seen, second[:, :60], where=second[:, :60] != NODATA)
    (tmp_path / "region").mkdir()
    path = tmp_path / "region" / "region.vrt"
    path.write_bytes(vrt_bytes(WHOLE, BANDS, np.int16, NODATA, [first_part, second_part, far_part]))
    with rasterio.open(path) as whole:
        assert_array_equal(whole.read(), expected)
        assert (whole.transform, str(whole.crs), whole.nodata) == (WHOLE.transform, "EPSG:32633", NODATA)
        assert (whole.descriptions, whole.scales) == (("red & edge", "nir"), (1e-4, 1e-4))
        assert whole.colorinterp[0].name == "red"
        assert len(whole.files) == 3  # itself and two parts: the third one's ground is elsewhere


def test_without_any_part_on_its_ground_there_is_no_virtual_raster(tmp_path):
    _, far_part = part(tmp_path, "far", 200, 0, 10, 10, seed=3)
    with pytest.raises(GridMismatchError, match="none of 1 parts"):
        vrt_bytes(WHOLE, BANDS, np.int16, NODATA, [far_part])
