"""Two Landsat scenes of neighbouring paths and different dates: slanting ends, clouds in different places."""

import pytest
from numpy.testing import assert_array_equal

from geo_assets import blend_mosaic
from geo_assets.io.rasters import read_window


@pytest.fixture(scope="module")
def scenes(shared_data):
    return [shared_data / "landsat-seam" / f"mosaic_cog{number}.tif" for number in (1, 2)]


def blended(scenes, output, **settings):
    settings = {"feather_m": 12_000, "crs": "EPSG:32618", "resolution": 300, "nodata": 0, "overviews": False} | settings
    return blend_mosaic(scenes, output, **settings)


def test_a_real_seam_keeps_more_along_a_line_than_under_a_wide_feather(scenes, tmp_path):
    wide, cut = (blended(scenes, tmp_path / f"{seamline}.tif", seamline=seamline).metrics for seamline in (False, True))
    assert cut["sharpness_kept"] > wide["sharpness_kept"] + 0.1
    assert cut["seam_ratio"] < 1.3 < cut["seam_naive_ratio"]
    assert cut["validity_mismatch_px"] == cut["outside_inputs_px"] == cut["single_source_mismatch_px"] == 0


def test_neither_order_nor_blocks_change_a_real_pixel(scenes, tmp_path):
    one = blended(scenes, tmp_path / "one.tif", seamline=True).path
    other = blended(scenes[::-1], tmp_path / "other.tif", seamline=True, block=256, threads=1).path
    assert_array_equal(*(read_window(path, slice(0, 770), slice(0, 1160)) for path in (one, other)))
