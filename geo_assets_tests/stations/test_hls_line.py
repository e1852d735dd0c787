"""HLS regions: the squares of Sentinel-2 at 30 m, in the south under northern numbers, read without a warp."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from rasterio.enums import Resampling

from geo_assets.demo.truth import write_cog
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.angles import angles_on
from geo_assets.io.rasters import raster_geobox
from geo_assets.io.reads import band
from geo_assets.stations import fetch
from geo_assets_tests.scenery.lines import pixels_of, product_of, run_all, run_until, small_line
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


@dataclass(frozen=True)
class WantsAngles:
    """As much of a plug-in as fetch asks for."""

    needs_angles: bool = True


def test_angles_of_a_scene_come_from_its_layers_north_and_south(tile, tmp_path, monkeypatch):
    seen = hls_acquisition(tile, "2024-06-03", window=np.s_[1000:1100, 1200:1300], bands=("red",))
    item = hls_item(".", tmp_path / "hls2euwest", seen)
    _, geobox = seen.classes
    counts = {"SZA": 3150, "SAA": 35_900, "VZA": 700, "VAA": 28_500}
    for name, count in counts.items():
        layer = np.full((1, *geobox.shape), count, np.uint16)
        write_cog(tmp_path / f"{name}.tif", layer, geobox, nodata=40_000, overviews=Resampling.nearest)
        item["assets"][name] = {"href": f"{name}.tif"}
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    line = small_line(tmp_path, tmp_path / "store", area=seen.area(margin_m=300), resolution=30, level="HLS")
    monkeypatch.setattr(fetch, "judging_detectors", lambda region, scene: {"plug-in": WantsAngles()})
    run_until(line, "fetch")
    product = product_of(line, "fetch", tile)
    (scene,) = fetch.fetched_scenes(line, product.place)
    finding = fetch.fetched_angles(product, scene)
    assert finding.source == f"HLS layers of {item['id']}"
    angles = angles_on(finding, 30)
    assert angles is not None
    found = [float(plane) for plane in angles.at(1050, 1250)]
    assert found == pytest.approx([31.5, 359.0, 7.0, 285.0], abs=1.5)  # azimuths from the grid's north
