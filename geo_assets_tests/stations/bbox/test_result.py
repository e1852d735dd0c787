"""A composite's ways out of memory: what is written is what was there, and nothing in it is taken for HTML."""

import base64
import io
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal
from odc.geo.geobox import GeoBox
from PIL import Image
from rio_cogeo.cogeo import cog_validate

from geo_assets.domain.errors import ResourceError
from geo_assets.domain.modis_grid import SINUSOIDAL
from geo_assets.stations.bbox.result import CompositeResult

GRID = GeoBox((30, 40), Affine(60, 0, 499_980, 0, -60, 5_090_220), "EPSG:32633")
NODATA = -32768
JUNE = (datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC))


def composite(**changes: object) -> CompositeResult:
    """A small composite whose first ten rows hold no data."""
    rows, cols = np.indices(GRID.shape)
    seen = rows >= 10

    def band(offset: int) -> np.ndarray:
        return np.where(seen, offset + 40 * rows + cols, NODATA).astype(np.int16)

    result = CompositeResult(
        bands={"blue": band(-60), "green": band(600), "red": band(1200), "nir": band(3000)},
        quality=np.where(seen, cols % 3, 255).astype(np.uint8),
        observation_count=np.where(seen, 2, 0).astype(np.uint16),
        selected_observation=np.where(seen, rows % 2, -1).astype(np.int16),
        grid=GRID,
        source_ids=("S2A_33TVL_20240610_0_L2A", "S2B_33TVL_20240615_0_L2A"),
        archive="earth-search",
        period=JUNE,
    )
    return replace(result, **changes)


UNCERTAIN = {"red": np.where(composite().bands["red"] == NODATA, NODATA, 35).astype(np.int16)}


def empty_composite(**changes: object) -> CompositeResult:
    whole = composite()
    return replace(
        whole,
        bands={name: np.full(GRID.shape, NODATA, np.int16) for name in whole.bands},
        quality=np.full(GRID.shape, 255, np.uint8),
        observation_count=np.zeros(GRID.shape, np.uint16),
        selected_observation=np.full(GRID.shape, -1, np.int16),
        source_ids=(),
        reason="no scene between 2024-06-01 and 2024-06-30",
        **changes,
    )


# What it says of itself


def test_it_knows_its_month_and_coverage_and_is_short_to_print():
    result = composite()
    assert (result.year, result.month) == (2024, 6)
    assert result.coverage == pytest.approx(20 / 30)
    assert repr(result) == (
        "<CompositeResult blue, green, red, nir; 40 x 30 px of 60 m; 66.7% covered; 2 sources of earth-search>"
    )
    assert "empty: no scene" in repr(empty_composite())


# xarray


def test_the_dataset_holds_the_counts_as_they_are():
    result = composite(uncertainty=UNCERTAIN)
    dataset = result.to_xarray()
    for name, values in result.bands.items():
        assert dataset[name].dtype == np.int16
        assert_array_equal(dataset[name], values)
    for name in ("quality", "observation_count", "selected_observation"):
        assert_array_equal(dataset[name], getattr(result, name))
    assert_array_equal(dataset["red_uncertainty"], UNCERTAIN["red"])
    assert set(dataset.coords) == {"x", "y", "time", "spatial_ref"}


def test_the_dataset_lies_on_the_grid_by_its_pixels_centres():
    dataset = composite().to_xarray()
    assert_array_equal(dataset.x, 499_980 + 60 * (np.arange(40) + 0.5))
    assert_array_equal(dataset.y, 5_090_220 - 60 * (np.arange(30) + 0.5))
    assert dataset.x.attrs["standard_name"] == "projection_x_coordinate"
    assert dataset.y.attrs["units"] == "m"
    reference = dataset.spatial_ref.attrs
    assert rasterio.crs.CRS.from_wkt(reference["crs_wkt"]).to_epsg() == 32633
    assert reference["GeoTransform"] == "499980.0 60.0 0.0 5090220.0 0.0 -60.0"
    assert reference["grid_mapping_name"] == "transverse_mercator"


def test_decoding_the_dataset_by_cf_gives_reflectance_and_nan():
    result = composite(uncertainty=UNCERTAIN)
    decoded = xarray.decode_cf(result.to_xarray())
    red = result.bands["red"]
    assert_allclose(decoded.red, np.where(red == NODATA, np.nan, red * 1e-4), rtol=1e-6)
    assert_array_equal(np.isnan(decoded.quality), result.quality == 255)
    assert_array_equal(np.isnan(decoded.selected_observation), result.selected_observation == -1)
    assert_allclose(np.nanmax(decoded.red_uncertainty), 0.0035)
    assert decoded.red.attrs["standard_name"] == "surface_bidirectional_reflectance"
    assert composite(level="L1C").to_xarray().red.attrs["standard_name"].startswith("toa_")


def test_a_netcdf_file_comes_back_with_values_and_place(tmp_path):
    dataset = composite().to_xarray()[["red", "nir"]]
    dataset.to_netcdf(tmp_path / "june.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "june.nc", engine="scipy", decode_coords="all") as back:
        assert_allclose(back.red, xarray.decode_cf(dataset).red)
        assert back.rio.crs.to_epsg() == 32633
        assert back.time == np.datetime64("2024-06-01")


def test_rioxarray_finds_crs_transform_and_nodata_and_its_raster_comes_back(tmp_path):
    result = composite()
    dataset = result.to_xarray()
    assert dataset.rio.crs.to_epsg() == 32633
    assert dataset.rio.transform() == GRID.transform
    assert dataset.red.rio.nodata == NODATA
    dataset.red.rio.to_raster(tmp_path / "red.tif")
    with rioxarray.open_rasterio(tmp_path / "red.tif") as back:
        assert_array_equal(back[0], result.bands["red"])
        assert back.rio.transform() == GRID.transform
        assert back.rio.crs == dataset.rio.crs
        assert back.rio.nodata == NODATA
    assert_array_equal(dataset.rio.clip_box(500_100, 5_089_000, 500_900, 5_089_500).x[[0, -1]], [500_130, 500_910])


def test_a_sinusoidal_grid_finds_its_way_into_dataset_file_and_page(tmp_path):
    grid = GeoBox(GRID.shape, Affine(463.3127165, 0, 1_111_950.52, 0, -463.3127165, 5_559_752.6), SINUSOIDAL)
    result = composite(grid=grid)
    dataset = result.to_xarray()
    assert dataset.rio.transform() == grid.transform
    assert dataset.x.attrs["units"] == "m"
    with rasterio.open(result.to_geotiff(tmp_path / "modis.tif")) as raster:
        assert raster.transform == grid.transform
        assert raster.crs == dataset.rio.crs
    assert "40 × 30 px of 463.313 m" in result._repr_html_()


def test_months_lie_one_behind_the_other():
    july = composite(
        period=(datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 8, 1, tzinfo=UTC)),
        source_ids=("S2A_33TVL_20240710_0_L2A",),
    )
    months = xarray.concat([composite().to_xarray(), july.to_xarray()], "time", combine_attrs="drop_conflicts")
    assert months.red.dims == ("time", "y", "x")
    assert_array_equal(months.time, np.array(["2024-06-01", "2024-07-01"], "M8[ns]"))
    assert "flag_meanings" in months.quality.attrs
    assert "flag_meanings" not in months.selected_observation.attrs


def test_source_ids_are_flags_of_the_selected_observation():
    flags = composite(source_ids=("S2A one", "S2B")).to_xarray().selected_observation.attrs
    assert_array_equal(flags["flag_values"], [0, 1])
    assert flags["flag_meanings"] == "S2A_one S2B"
    assert "flag_meanings" not in empty_composite().to_xarray().selected_observation.attrs


def test_without_xarray_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ResourceError, match=r"pip install 'geo-assets\[xarray\]'"):
        composite().to_xarray()


# Files


def test_the_geotiff_is_a_strict_cog_that_comes_back_pixel_by_pixel(tmp_path):
    result = composite()
    path = result.to_geotiff(tmp_path / "deep" / "june.tif")
    assert [found.name for found in path.parent.iterdir()] == ["june.tif"]
    assert cog_validate(path, strict=True) == (True, [], [])
    with rasterio.open(path) as raster:
        assert_array_equal(raster.read(), np.stack(list(result.bands.values())))
        assert raster.descriptions == ("blue", "green", "red", "nir")
        assert set(raster.scales) == {1e-4}
        assert raster.nodata == NODATA
        assert raster.crs.to_epsg() == 32633
        assert raster.transform == GRID.transform
        assert raster.tags()["ARCHIVE"] == "earth-search"
        assert raster.tags()["PERIOD"] == "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z"
        assert raster.tags()["SOURCES"].split() == list(result.source_ids)


def test_layers_are_written_beside_the_bands(tmp_path):
    result = composite(uncertainty=UNCERTAIN)
    result.to_geotiff(tmp_path / "june.tif", layers=True)
    nodata = {"quality": 255, "observation_count": None, "selected_observation": -1, "uncertainty": NODATA}
    assert {path.name for path in tmp_path.iterdir()} == {"june.tif", *(f"june.{name}.tif" for name in nodata)}
    for name, expected in nodata.items():
        with rasterio.open(tmp_path / f"june.{name}.tif") as raster:
            layer = UNCERTAIN["red"] if name == "uncertainty" else getattr(result, name)
            assert_array_equal(raster.read(1), layer)
            assert raster.nodata == expected
            assert raster.dtypes[0] == layer.dtype


def test_a_composite_larger_than_a_block_is_written_whole(tmp_path):
    grid = GeoBox((600, 1100), GRID.transform, GRID.crs)
    values = np.arange(600 * 1100, dtype=np.int32).reshape(grid.shape) % 30_000
    layer = np.zeros(grid.shape, np.uint8)
    result = composite(
        bands={"nir": values.astype(np.int16)}, grid=grid, quality=layer, observation_count=layer,
        selected_observation=layer.astype(np.int16),
    )  # fmt: skip
    with rasterio.open(result.to_geotiff(tmp_path / "large.tif")) as raster:
        assert_array_equal(raster.read(1), values)
        assert raster.overviews(1) == [2, 4]


def test_the_same_composite_gives_the_same_bytes_and_replaces_a_file(tmp_path):
    first = composite().to_geotiff(tmp_path / "june.tif").read_bytes()
    assert composite().to_geotiff(tmp_path / "june.tif").read_bytes() == first


def test_an_empty_composite_is_written_as_nodata(tmp_path):
    with rasterio.open(empty_composite().to_geotiff(tmp_path / "empty.tif", layers=True)) as raster:
        assert (raster.read() == NODATA).all()
    assert "comment" in empty_composite().to_xarray().attrs


def test_the_picture_is_true_colour_or_one_band_in_grey(tmp_path):
    result = composite()
    colour = np.asarray(Image.open(result.to_png(tmp_path / "june.png")))
    assert colour.shape == (30, 40, 3)
    assert (colour[:10] == colour[0, 0]).all()
    assert (colour[15, :, 0] > colour[15, :, 2]).all()  # red is brighter than blue
    grey = np.asarray(composite(bands={"nir": result.bands["nir"]}).picture())[15]
    assert (grey[:, 0] == grey[:, 2]).all()
    assert max(result.picture(max_px=16).size) <= 16


@pytest.mark.parametrize("target", ["/proc/composite.tif", "a-file/composite.tif", "a-folder", ""])
def test_a_file_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("text")
    (tmp_path / "a-folder").mkdir()
    for write in (composite().to_geotiff, composite().to_png):
        with pytest.raises(ResourceError, match="File "):
            write(target)
    assert {path.name for path in tmp_path.rglob("*")} == {"a-file", "a-folder"}


# A notebook's page


def test_a_notebook_shows_picture_size_coverage_and_sources():
    page = composite(archive_reason="it is the first that has all the bands")._repr_html_()
    png = re.search('src="data:image/png;base64,([^"]+)"', page)
    assert Image.open(io.BytesIO(base64.b64decode(png[1]))).size == (40, 30)
    for part in ("40 × 30 px of 60 m", "EPSG:32633", "66.7%", "S2A_33TVL_20240610_0_L2A", "2024-06-01 to 2024-06-30"):
        assert part in page
    assert "earth-search (it is the first that has all the bands)" in page


def test_a_notebook_shows_why_a_composite_is_empty_and_no_more_than_a_dozen_sources():
    assert "0.0% of the grid: no scene between" in empty_composite()._repr_html_()
    page = composite(source_ids=[f"scene-{number}" for number in range(40)])._repr_html_()
    assert "scene-11 and 28 more" in page


def test_text_from_a_catalogue_is_escaped_in_a_notebook():
    hostile = '<script>alert("x")</script>'
    page = composite(
        source_ids=(hostile,), archive=hostile, archive_reason=hostile, reason=hostile,
        bands={hostile: composite().bands["red"]},
    )._repr_html_()  # fmt: skip
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 5
