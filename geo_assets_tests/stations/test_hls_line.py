"""HLS regions: the squares of Sentinel-2 at 30 m, in the south under northern numbers, read without a warp."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.rasters import raster_geobox
from geo_assets.io.reads import band
from geo_assets_tests.scenery.lines import pixels_of, product_of, run_all, small_line
from geo_assets_tests.scenery.remote_catalogues import hls_acquisition, hls_item

WINDOW = np.s_[1000:1080, 1200:1290]


@pytest.fixture(params=["19LDD", "33TVL"])
def tile(request) -> str:
    return request.param


def test_a_tile_of_hls_keeps_its_pixels_north_and_south(tile, tmp_path, monkeypatch):
    def no_warp(*arguments, **settings):
        raise AssertionError("a tile of HLS was warped")

    monkeypatch.setattr(band, "WarpedVRT", no_warp)
    clear = hls_acquisition(tile, "2024-06-03", window=WINDOW, bands=("red", "nir08"))
    cloudy = hls_acquisition(
        tile, "2024-06-05", window=WINDOW, bands=("red", "nir08"), platform="L8", cloudy=np.s_[10:40, 10:60]
    )
    items = [hls_item(".", tmp_path / "archive" / "hls2euwest", seen) for seen in (clear, cloudy)]
    (tmp_path / "archive" / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    line = small_line(
        tmp_path / "archive", tmp_path / "store", area=clear.area(margin_m=300), resolution=30, level="HLS",
        bands=["red", "nir08"], mosaic={"feather_m": 300},
    )  # fmt: skip
    run_all(line)
    product = product_of(line, "monthly_composite", tile)
    assert raster_geobox(product.path("composite.tif")) == tile_geobox(tile, 30)
    assert product.manifest.metrics["valid_share"] == 1.0
    composite = pixels_of(product, "composite.tif", WINDOW)
    for index, name in enumerate(("red", "nir08")):
        seen = composite[index] != -32768
        assert_array_equal(composite[index][seen], clear.bands[name][0][seen])
