"""Files that a mosaic cannot be made of, and requests that would never end: refused, named, nothing left behind."""

import os
import resource

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine, from_origin

import geo_assets
from geo_assets.domain.errors import GeoAssetsError, GridMismatchError, ProductError, RegionError, ResourceError
from geo_assets_tests.scenery.geotiffs import landscape, read_geotiff, two_neighbours, write_geotiff


def refusal(paths, output, **how):
    """The message; there is no file more than before."""
    before = sorted(os.listdir(output.parent))
    with pytest.raises(GeoAssetsError) as refused:
        geo_assets.blend_mosaic(paths, output, **{"feather_m": 100, **how})
    assert sorted(os.listdir(output.parent)) == before
    return refused.type, str(refused.value)


@pytest.mark.parametrize(
    "address", ["/vsicurl/http://127.0.0.1:9/a.tif", "https://127.0.0.1:9/a.tif", "/vsizip/z/a.tif"]
)
def test_addresses_and_archives_are_not_opened(tmp_path, address):
    kind, message = refusal([address], tmp_path / "mosaic.tif")
    assert kind is ProductError
    assert "found no such file" in message
    assert "download or unpack them first" in message


@pytest.mark.parametrize(
    "transform",
    [Affine(10, 0, np.nan, 0, -10, 5e6), Affine(1e-300, 0, 5e5, 0, -1e-300, 5e6), Affine(10, 0, 1e300, 0, -10, 5e6),
     Affine(10, 10, 5e5, 10, 10, 5e6)],
)  # fmt: skip
def test_a_place_that_is_none_is_refused(tmp_path, transform):
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=9, width=9, dtype="uint8", nodata=0, crs="EPSG:32633",
        transform=transform,
    ):  # fmt: skip
        pass
    kind, message = refusal([path], tmp_path / "mosaic.tif", resolution=10)
    assert kind is ProductError
    assert "a.tif: found the transform" in message


@pytest.mark.parametrize("internal", [True, False])
def test_a_mask_beside_the_pixels_is_refused_rather_than_overlooked(tmp_path, internal):
    path = tmp_path / "a.tif"
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        rasterio.open(
            path, "w", driver="GTiff", count=1, height=20, width=20, dtype="uint8", crs="EPSG:32633",
            transform=from_origin(5e5, 5e6, 10, 10),
        ) as file,
    ):  # fmt: skip
        file.write(np.ones((1, 20, 20), np.uint8))
        file.write_mask(np.eye(20, dtype=np.uint8) * 255)
    kind, message = refusal([path], tmp_path / "mosaic.tif", nodata=0)
    assert kind is ProductError
    assert "a.tif: found a mask beside its pixels" in message


def test_offsets_that_differ_are_refused(tmp_path):
    west, east = two_neighbours(tmp_path)
    with rasterio.open(east, "r+") as file:
        file.offsets = (-1000,)
    kind, message = refusal([west, east], tmp_path / "mosaic.tif")
    assert kind is GridMismatchError
    assert "west.tif: found offset (0.0,), expected (-1000.0,) as in" in message


@pytest.mark.parametrize("nodata", [-9999, np.nan])
def test_infinite_values_are_no_data_to_blend(tmp_path, nodata):
    values = landscape(30, 30, dtype="float32")
    values[3, 4:6] = -np.inf
    path = write_geotiff(tmp_path / "a.tif", values, nodata=nodata)
    kind, message = refusal([path], tmp_path / "mosaic.tif")
    assert kind is ProductError
    assert "a.tif: found 2 NaN or infinite values in 30 x 30 px" in message


def test_infinity_may_be_nodata(tmp_path):
    values = landscape(30, 30, dtype="float32")
    values[3] = np.inf
    path = write_geotiff(tmp_path / "a.tif", values, nodata=np.inf)
    assert geo_assets.blend_mosaic([path], tmp_path / "mosaic.tif", feather_m=100).metrics["valid_px"] == 870


@pytest.mark.parametrize("coloured", ["a", "b"])
def test_a_colour_table_in_any_input_makes_all_of_them_classes(tmp_path, coloured):
    paths = [
        write_geotiff(tmp_path / f"{name}.tif", np.full((40, 40), value, np.uint8), col=col)
        for name, col, value in (("a", 0, 2), ("b", 20, 8))
    ]
    with rasterio.open(tmp_path / f"{coloured}.tif", "r+") as file:
        file.write_colormap(1, {2: (255, 0, 0, 255), 8: (0, 0, 255, 255)})
    result = geo_assets.blend_mosaic(paths, tmp_path / "mosaic.tif", feather_m=100)
    assert set(np.unique(read_geotiff(result.path)[0])) == {2, 8}
    kind, message = refusal(paths, tmp_path / "mosaic.tif", harmonise="gain")
    assert kind is RegionError
    assert "harmonise: found it for classes" in message


def test_pixel_sizes_that_differ_by_rounding_are_one(tmp_path):
    paths = [
        write_geotiff(tmp_path / f"{name}.tif", landscape(40, 40), col=col, pixel=pixel)
        for name, col, pixel in (("a", 0, 10), ("b", 20, 10 + 1e-9))
    ]
    metrics = geo_assets.blend_mosaic(paths, tmp_path / "mosaic.tif", feather_m=100).metrics
    assert metrics["warped"] == []
    assert metrics["blended_px"] == 800


def test_too_little_common_ground_to_harmonise_is_said(tmp_path):
    result = geo_assets.blend_mosaic(
        two_neighbours(tmp_path, overlap=5), tmp_path / "mosaic.tif", feather_m=100, harmonise="gain"
    )
    assert any("no two inputs share enough ground to be harmonised in band 1" in said for said in result.warnings)


def test_inputs_a_continent_apart_are_refused_before_anything_is_written(tmp_path):
    paths = [
        write_geotiff(tmp_path / f"{name}.tif", landscape(20, 20), row=place, col=place)
        for name, place in (("a", 0), ("b", 10**6))
    ]
    kind, message = refusal(paths, tmp_path / "mosaic.tif")
    assert kind is RegionError
    assert "of 1000020 x 1000020 px: found inputs that cover less than one in 1000" in message


def test_more_inputs_on_one_ground_than_can_be_told_apart_are_refused(tmp_path):
    paths = [write_geotiff(tmp_path / f"{number}.tif", landscape(4, 4)) for number in range(256)]
    kind, message = refusal(paths, tmp_path / "mosaic.tif")
    assert kind is ResourceError
    assert "256 rasters reach one window" in message
    assert "fewer rasters of the same ground" in message


def test_a_name_that_no_disk_can_hold_is_told(tmp_path):
    kind, message = refusal(two_neighbours(tmp_path), tmp_path / f"{'x' * 251}.tif")
    assert kind is ResourceError
    assert "File name too long" in message


@pytest.mark.parametrize("how", [{"crs": "EPSG:3857"}, {"crs": "EPSG:3857", "resolution": 100}])
def test_ground_that_a_crs_tears_apart_is_refused(tmp_path, how):
    path = write_geotiff(
        tmp_path / "a.tif", landscape(90, 90), crs="EPSG:32660", origin=(733_000, 5_000_000), pixel=100
    )
    kind, message = refusal([path], tmp_path / "mosaic.tif", **how)
    assert kind is GridMismatchError
    assert "cut files in two at the antimeridian" in message


def test_who_is_told_of_the_progress_may_stop_it(tmp_path):
    class Enough(Exception):
        pass

    def tell(step, share):
        raise Enough

    paths = two_neighbours(tmp_path)
    with pytest.raises(Enough):
        geo_assets.blend_mosaic(paths, tmp_path / "mosaic.tif", feather_m=100, progress=tell)
    assert sorted(os.listdir(tmp_path)) == ["east.tif", "west.tif"]


def test_a_disk_that_is_full_after_all_leaves_the_old_file(tmp_path):
    random = np.random.default_rng(1).integers(1, 60_000, (700, 700)).astype(np.uint16)
    path = write_geotiff(tmp_path / "a.tif", random)
    output = tmp_path / "mosaic.tif"
    output.write_bytes(b"the old one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        kind, message = refusal([path], output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert kind is ResourceError
    assert "mosaic.tif: cannot be written (File too large)" in message
    assert output.read_bytes() == b"the old one"
