"""A mosaic of anybody's GeoTIFFs: seamless, the same however it is made, and refused where it cannot be right."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from rasterio.transform import from_origin

import geo_assets
from geo_assets.domain.errors import GridMismatchError, ProductError, RegionError, ResourceError
from geo_assets.io import free_space
from geo_assets.stations.mosaicking import strips
from geo_assets_tests.scenery.geotiffs import PIXEL, landscape, read_geotiff, two_neighbours, write_geotiff

NEAR = {"feather_m": 100}


def mosaic(paths, folder, **how):
    """Values, header and result."""
    result = geo_assets.blend_mosaic(paths, folder / "mosaic.tif", **{**NEAR, **how})
    return *read_geotiff(result.path), result


@pytest.mark.parametrize(
    "dtype",
    [
        "uint8",
        "uint16",
        "float32",
        *(pytest.param(dtype, marks=pytest.mark.slow) for dtype in ("int8", "int16", "uint32", "int32", "float64")),
    ],
)
def test_inputs_that_agree_are_joined_to_what_they_are_parts_of(tmp_path, dtype):
    nodata = -9999 if dtype in ("int16", "int32", "float32", "float64") else 0
    level = 60 if dtype.endswith("8") else 2000
    whole = (landscape(80, 150) // (1 if level == 2000 else 50) + (0 if level == 2000 else 5)).astype(dtype)
    paths = [
        write_geotiff(tmp_path / f"{name}.tif", np.ascontiguousarray(whole[:, cols]), col=cols.start, nodata=nodata)
        for name, cols in (("a", slice(0, 90)), ("b", slice(60, 150)))
    ]
    values, header, result = mosaic(paths, tmp_path)
    assert_array_equal(values[0], whole)
    assert header["dtype"] == dtype
    assert header["nodata"] == nodata
    assert result.metrics["single_source_mismatch_px"] == result.metrics["validity_mismatch_px"] == 0
    json.dumps(result.metrics, allow_nan=False)


def test_the_seam_of_a_hard_edge_is_gone(tmp_path):
    random = np.random.default_rng(1)
    paths = []
    for name, row, step in (("a.tif", 0, 0), ("b.tif", 300, 200)):
        noisy = landscape(600, 700, row=row) + random.normal(0, 10, (600, 700)) + step
        paths.append(write_geotiff(tmp_path / name, noisy.astype(np.uint16), row=row))
    metrics = mosaic(paths, tmp_path, feather_m=1400)[2].metrics
    assert metrics["seam_ratio"] < 1.6
    assert metrics["seam_naive_ratio"] > 10
    assert metrics["overlap"]["a+b"]["band 1"]["bias"] == pytest.approx(-200, abs=1)


def test_one_input_is_copied(tmp_path):
    path = write_geotiff(tmp_path / "one.tif", landscape(40, 50))
    values, _, result = mosaic([path], tmp_path)
    assert_array_equal(values[0], landscape(40, 50))
    assert result.metrics["seam_ratio"] is None


def test_header_is_that_of_the_inputs(tmp_path):
    how = {"names": ("red", "nir"), "scales": (1e-4, 1e-4), "tags": {"ATTRIBUTION": "Contains Sentinel data [2024]"}}
    paths = [
        write_geotiff(
            tmp_path / name, np.stack([landscape(60, 60, col=col)] * 2), col=col, photometric="minisblack", **how
        )
        for name, col in (("a.tif", 0), ("b.tif", 40))
    ]
    _, header, result = mosaic(paths, tmp_path)
    assert header["names"] == ("red", "nir")
    assert header["scales"] == (1e-4, 1e-4)
    assert header["tags"]["ATTRIBUTION"] == "Contains Sentinel data [2024]"
    assert header["tags"]["MOSAIC_INPUTS"] == "a.tif, b.tif"
    assert set(result.metrics["by_band"]) == {"red", "nir"}


def test_classes_with_a_colour_table_are_never_averaged_and_keep_it(tmp_path):
    paths = []
    for name, col, code in (("a.tif", 0, 3), ("b.tif", 40, 9)):
        path = write_geotiff(tmp_path / name, np.full((60, 60), code, np.uint8), col=col, nodata=255)
        with rasterio.open(path, "r+") as file:
            file.write_colormap(1, {3: (10, 120, 10, 255), 9: (200, 0, 0, 255)})
        paths.append(path)
    result = geo_assets.blend_mosaic(paths, tmp_path / "mosaic.tif", **NEAR)
    with rasterio.open(result.path) as file:
        assert set(np.unique(file.read())) == {3, 9}
        assert file.colormap(1)[9] == (200, 0, 0, 255)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_order_blocks_and_threads_change_no_byte(data, three_files):
    assert bytes_of_any_call(data, three_files, (64, 1024)) == three_files.expected


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_order_blocks_and_threads_change_no_byte_in_500_cases(data, large_files):
    assert bytes_of_any_call(data, large_files, (128, 4096)) == large_files.expected


def bytes_of_any_call(data, files, blocks) -> bytes:
    """The mosaic of the files in an order, blocks and threads that are drawn."""
    paths = data.draw(st.permutations(files.paths))
    how = {"block": data.draw(st.integers(*blocks)), "threads": data.draw(st.integers(1, 2))}
    output = files.paths[0].with_name("again.tif")
    geo_assets.blend_mosaic(paths, output, **files.how, **how, measure=False)
    return output.read_bytes()


def files_of(folder, size, how):
    random = np.random.default_rng(4)
    paths = []
    for name, row, col in (("a", 0, 0), ("b", size // 9, size * 2 // 3), ("c", size * 2 // 3, size // 4)):
        values = landscape(size, size, row=row, col=col) + random.integers(0, 300, (size, size)).astype(np.uint16)
        top, left = random.integers(0, size * 3 // 4, 2)
        values[top : top + size // 5, left : left + size // 6] = 0
        paths.append(
            write_geotiff(folder / f"{name}.tif", values, row=row, col=col, tiled=True, blockxsize=64, blockysize=64)
        )
    result = geo_assets.blend_mosaic(paths, folder / "expected.tif", **how, threads=1, measure=False)
    return SimpleNamespace(paths=paths, expected=result.path.read_bytes(), how=how)


@pytest.fixture(scope="module")
def three_files(tmp_path_factory):
    return files_of(tmp_path_factory.mktemp("three"), 150, {"feather_m": 200})


@pytest.fixture(scope="module")
def large_files(tmp_path_factory):
    return files_of(tmp_path_factory.mktemp("large"), 900, {"feather_m": 1000, "harmonise": "gain"})


def test_strips_join_without_a_trace(tmp_path, monkeypatch):
    paths = [write_geotiff(tmp_path / f"{row}.tif", landscape(700, 80, row=row), row=row) for row in (0, 450)]
    whole = mosaic(paths, tmp_path)[0]
    monkeypatch.setattr(strips, "_STRIP_BYTES", 1)
    assert_array_equal(mosaic(paths, tmp_path)[0], whole)
    assert_array_equal(whole[0], landscape(1150, 80))


def test_another_crs_is_warped_once_and_a_common_one_is_not(tmp_path):
    west = write_geotiff(tmp_path / "west.tif", landscape(80, 90))
    with rasterio.open(west) as file:
        left, top = rasterio.warp.transform("EPSG:32633", "EPSG:32632", [file.bounds.left + 600], [file.bounds.top])
    values = np.full((80, 90), 2000, np.uint16)
    east = write_geotiff(tmp_path / "east.tif", values, crs="EPSG:32632", origin=(round(left[0]), round(top[0])))
    with pytest.raises(GridMismatchError, match=r"west.tif: found CRS EPSG:32633, expected EPSG:32632 .*Pass crs="):
        mosaic([west, east], tmp_path)
    warped, header, result = mosaic([west, east], tmp_path, crs="EPSG:32633")
    assert result.metrics["warped"] == ["east"]
    assert header["crs"].to_epsg() == 32633
    assert header["transform"].c % PIXEL == header["transform"].f % PIXEL == 0
    row, col = (round((header["transform"].f - 5_000_000) / 10), round((500_000 - header["transform"].c) / 10))
    assert_array_equal(warped[0, row : row + 40, col : col + 40], landscape(40, 40))
    assert set(np.unique(warped[0, row + 15 : row + 60, col + 100 : col + 120])) == {2000}


def test_a_coarser_mosaic_averages(tmp_path):
    board = (np.indices((80, 80)).sum(axis=0) % 2 * 200 + 1000).astype(np.int16)
    paths = [write_geotiff(tmp_path / f"{col}.tif", board, col=col, nodata=-1) for col in (0, 60)]
    values, header, result = mosaic(paths, tmp_path, resolution=40)
    assert header["transform"].a == 40
    assert result.metrics["warped"] == ["0", "60"]
    assert set(np.unique(values)) == {1100}


def test_no_interpolated_value_is_taken_for_nodata(tmp_path):
    values = np.tile(np.array([-10, 10], np.int16), (60, 30))
    path = write_geotiff(tmp_path / "a.tif", values, nodata=0)
    warped = mosaic([path], tmp_path, crs="EPSG:32632")[0]
    whole = mosaic([write_geotiff(tmp_path / "b.tif", np.full_like(values, 5), nodata=0)], tmp_path, crs="EPSG:32632")[
        0
    ]
    assert_array_equal(warped != 0, whole != 0)


def test_inputs_without_nodata_are_given_one(tmp_path):
    paths = two_neighbours(tmp_path, nodata=None)
    with pytest.raises(GridMismatchError, match=r"declares no nodata.*nodata=NUMBER"):
        mosaic(paths, tmp_path)
    assert mosaic(paths, tmp_path, nodata=65535)[1]["nodata"] == 65535
    floats = two_neighbours(tmp_path, nodata=None, dtype="float32")
    assert np.isnan(mosaic(floats, tmp_path)[1]["nodata"])


def test_inputs_apart_are_put_beside_each_other_and_that_is_said(tmp_path):
    paths = [write_geotiff(tmp_path / f"{col}.tif", landscape(30, 30, col=col), col=col) for col in (0, 700)]
    values, _, result = mosaic(paths, tmp_path)
    assert_array_equal(values[0, :, 30:700], 0)
    assert_array_equal(values[0, :, 700:], landscape(30, 30, col=700))
    assert result.warnings == ("no two inputs have data on the same ground: nothing was blended.",)


def test_inputs_without_data_give_a_mosaic_without_and_that_is_said(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", np.zeros((30, 30), np.uint16))
    values, _, result = mosaic([path], tmp_path)
    assert not values.any()
    assert result.warnings == ("no input has data: the mosaic holds nodata only.",)


def test_a_feather_wider_than_half_the_overlap_names_the_pair(tmp_path):
    _, _, result = mosaic(two_neighbours(tmp_path), tmp_path, feather_m=200)
    assert result.metrics["feather_exceeds_overlap"] == {"east+west": 300.0}
    assert "overlap of east+west is 300 m wide" in result.warnings[0]


def test_gains_are_told_and_applied(tmp_path):
    left = write_geotiff(tmp_path / "a.tif", landscape(400, 400))
    right = write_geotiff(tmp_path / "b.tif", (landscape(400, 400, col=200) * 1.04).astype(np.uint16), col=200)
    metrics = mosaic([left, right], tmp_path, feather_m=500, harmonise="gain", seamline=True)[2].metrics
    gains = metrics["harmonised"]["gains"]["band 1"]
    assert gains["a"] / gains["b"] == pytest.approx(1.04, abs=0.002)
    assert metrics["overlap_rmse"] < 5
    assert metrics["seamlines"] == 1


def other(folder, **how):
    """A file that does not fit to `two_neighbours`."""
    values = how.pop("values", landscape(80, 90))
    return write_geotiff(folder / "other.tif", values, **how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"values": landscape(80, 90).astype(np.int16)}, r"found dtype \{'int16'\}, expected \{'uint16'\}"),
        ({"nodata": 9}, r"west.tif: found nodata \(0.0,\), expected \(9.0,\)|found nodata \(9.0,\), expected \(0.0,\)"),
        ({"values": np.stack([landscape(80, 90)] * 2)}, "found bands"),
        ({"scales": (1e-4,)}, "found scale"),
        ({"pixel": 20}, "found pixels of"),
        ({"origin": (500_003, 5_000_000)}, r"0\.300 of a pixel beside"),
        ({"crs": "EPSG:4326", "pixel": 0.001, "origin": (15, 46)}, "found CRS"),
        ({"values": landscape(80, 90).astype(np.int64)}, "found int64"),
        ({"values": landscape(80, 90).astype(np.complex64), "nodata": None}, "found complex64"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_pixel_is_read(tmp_path, how, message):
    with pytest.raises(GridMismatchError, match=message) as refused:
        mosaic([*two_neighbours(tmp_path), other(tmp_path, **how)], tmp_path)
    assert ".tif" in str(refused.value)
    assert not (tmp_path / "mosaic.tif").exists()


def test_bands_in_another_order_are_refused(tmp_path):
    paths = [
        write_geotiff(tmp_path / f"{name}.tif", np.stack([landscape(30, 30)] * 2), names=names)
        for name, names in (("a", ("red", "nir")), ("b", ("nir", "red")))
    ]
    with pytest.raises(GridMismatchError, match="found band descriptions"):
        mosaic(paths, tmp_path)


def test_degrees_are_no_measure_for_a_feather(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", landscape(30, 30), crs="EPSG:4326", pixel=0.001, origin=(15, 46))
    with pytest.raises(GridMismatchError, match=r"a.tif: found WGS 84 in degree.*Pass crs="):
        mosaic([path], tmp_path)
    assert mosaic([path], tmp_path, crs="EPSG:32633", resolution=100)[2].metrics["valid_px"] > 500


def test_nan_is_refused_where_nodata_is_a_number(tmp_path):
    values = landscape(30, 30, dtype="float32")
    values[3, 4:6] = np.nan
    path = write_geotiff(tmp_path / "a.tif", values, nodata=-9999)
    with pytest.raises(ProductError, match=r"a.tif: found 2 NaN .* nodata is -9999"):
        mosaic([path], tmp_path)
    assert os.listdir(tmp_path) == ["a.tif"]


def test_files_that_are_none_are_named(tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "empty.tif").touch()
    for name, why in (("text.tif", "cannot be read"), ("empty.tif", "0 bytes"), ("none.tif", "found no such file")):
        with pytest.raises(ProductError, match=f"{name}.*{why}"):
            mosaic([tmp_path / name], tmp_path)
    with pytest.raises(RegionError, match="found none"):
        mosaic([], tmp_path)
    with pytest.raises(RegionError, match="in a list"):
        mosaic(tmp_path / "a.tif", tmp_path)


def test_a_damaged_file_is_named_and_leaves_nothing_behind(tmp_path):
    random = np.random.default_rng(1).integers(1, 60_000, (600, 600)).astype(np.uint16)
    path = write_geotiff(tmp_path / "a.tif", random, tiled=True, blockxsize=256, blockysize=256, compress="zstd")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ProductError, match=r"a\.tif"):
        mosaic([path], tmp_path)
    assert os.listdir(tmp_path) == ["a.tif"]


def test_a_header_that_states_too_much_is_refused_before_anything_is_allocated(tmp_path):
    path = tmp_path / "huge.tif"
    how = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 0, "crs": "EPSG:32633", "sparse_ok": True}
    with rasterio.open(
        path, "w", height=200_000, width=200_000, transform=from_origin(0, 9e6, 10, 10), tiled=True,
        blockxsize=32_768, blockysize=32_768, **how,
    ):  # fmt: skip
        pass
    with pytest.raises(ProductError, match=r"huge.tif: found 1073741824 bytes in a block"):
        mosaic([path], tmp_path)


def test_a_file_twice_and_an_output_that_is_an_input_are_refused(tmp_path):
    west, east = two_neighbours(tmp_path)
    link = tmp_path / "link.tif"
    os.link(west, link)
    with pytest.raises(RegionError, match="are one file"):
        mosaic([west, east, link], tmp_path)
    with pytest.raises(RegionError, match="is one of the inputs"):
        geo_assets.blend_mosaic([west, east], east, **NEAR)
    assert_array_equal(read_geotiff(east)[0][0], landscape(80, 90, col=60))


def test_outputs_that_cannot_be_written_are_refused(tmp_path):
    paths = two_neighbours(tmp_path)
    with pytest.raises(ResourceError, match="no folder that can be written to"):
        geo_assets.blend_mosaic(paths, tmp_path / "none" / "mosaic.tif", **NEAR)
    with pytest.raises(RegionError, match=r"ends in \.tif"):
        geo_assets.blend_mosaic(paths, tmp_path / "mosaic.png", **NEAR)


def test_a_mosaic_larger_than_the_disk_is_refused_with_the_number(tmp_path, monkeypatch):
    paths = two_neighbours(tmp_path)
    monkeypatch.setattr(free_space.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(ResourceError, match=r"mosaic.tif of 150 x 80 px: found 1e-06 GB free .* expected 6.41e-05 GB"):
        mosaic(paths, tmp_path)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"feather_m": 0}, "feather_m: found 0"),
        ({"feather_m": 1}, "feather_m: found 1 m, 0 pixels"),
        ({"feather_m": 1e6}, "expected 1 to 4096 pixels"),
        ({"profile": "cubic"}, "profile: found 'cubic'"),
        ({"harmonise": "all"}, "harmonise: found 'all'"),
        ({"block": 5}, "block: found 5"),
        ({"threads": 0}, "threads: found 0"),
        ({"resolution": -1}, "resolution: found -1"),
        ({"crs": "nowhere"}, "crs: found 'nowhere'"),
        ({"nodata": "x"}, "nodata: found 'x'"),
        ({"categorical": True, "harmonise": "gain"}, "classes, which have no gain"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, how, message):
    with pytest.raises(RegionError, match=message):
        mosaic(two_neighbours(tmp_path), tmp_path, **how)


def test_progress_is_told_to_the_end(tmp_path):
    told = []
    mosaic(
        two_neighbours(tmp_path), tmp_path, harmonise="gain", progress=lambda step, share: told.append((step, share))
    )
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert told[0][0] == "overlaps"
    assert told[-1] == ("mosaic", 1.0)
