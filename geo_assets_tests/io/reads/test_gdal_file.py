"""GDAL on sources of bytes: few requests, nothing beside the file, and our own errors."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.testing import assert_array_equal
from rasterio.errors import RasterioIOError
from rasterio.vrt import WarpedVRT

from geo_assets.domain.errors import ArchiveTransientError
from geo_assets.io.reads.gdal_file import GDAL_SETTINGS, PAGE_BYTES, GdalFile
from geo_assets.io.reads.tiff_directory import HEAD_BYTES
from geo_assets_tests.scenery.memory_source import MemorySource

PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}


@pytest.fixture(autouse=True)
def gdal_settings():
    with rasterio.Env(**GDAL_SETTINGS):
        yield


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(1, 4_000, (1_000, 1_000)).astype(np.uint16)


@pytest.fixture(scope="module")
def jpeg_2000(tmp_path_factory, pixels) -> Path:
    path = tmp_path_factory.mktemp("jp2") / "red.jp2"
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", count=1, height=1_000, width=1_000, dtype="uint16", QUALITY="100",
        REVERSIBLE="YES", YCBCR420="NO", BLOCKXSIZE=256, BLOCKYSIZE=256, **PLACE,
    ) as raster:  # fmt: skip
        raster.write(pixels, 1)
    return path


@pytest.fixture(scope="module")
def tiff(tmp_path_factory, pixels) -> Path:
    path = tmp_path_factory.mktemp("tif") / "red.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=1_000, width=1_000, dtype="uint16", tiled=True, blockxsize=256,
        blockysize=256, compress="lzma", **PLACE,
    ) as raster:  # fmt: skip
        raster.write(pixels, 1)
    return path


def on(source: MemorySource, driver: str) -> GdalFile:
    return GdalFile(source, source.head(HEAD_BYTES), driver)


@pytest.fixture(params=["GTiff", "JP2OpenJPEG"])
def driver(request) -> str:
    return request.param


@pytest.fixture
def source(driver, tiff, jpeg_2000) -> MemorySource:
    return MemorySource.of(tiff if driver == "GTiff" else jpeg_2000)


def test_gdal_reads_the_pixels_and_each_byte_once(source, driver, pixels):
    file = on(source, driver)
    assert_array_equal(file.dataset().read(1), pixels)
    assert_array_equal(file.dataset().read(1), pixels)
    file.close()
    assert file.error is None
    assert len(source.spans) <= 2 + source.size // (8 * PAGE_BYTES)
    assert source.bytes_read <= source.size


def test_a_window_reads_the_part_of_the_file_that_it_lies_in(source, driver, pixels):
    file = on(source, driver)
    assert_array_equal(file.dataset().read(1, window=((600, 700), (800, 900))), pixels[600:700, 800:900])
    file.close()
    assert source.bytes_read < source.size / 2


@pytest.mark.parametrize(
    "fault", [ArchiveTransientError("slow today"), KeyboardInterrupt(), MemoryError("no more"), ValueError("our fault")]
)
def test_what_goes_wrong_is_kept_and_does_not_unwind_through_gdal(source, driver, fault):
    file = on(source, driver)
    file.dataset()
    source.failure = fault
    with suppress(RasterioIOError):  # GDAL's drivers do not all tell
        file.dataset().read(1)
    assert file.error is fault
    source.failure = None
    read = len(source.spans)
    with suppress(RasterioIOError):
        file.dataset().read(1, window=((500, 510), (0, 10)))
    assert len(source.spans) == read
    file.close()


def test_nothing_lies_beside_the_file(tiff):
    asked = []

    class Curious(GdalFile):
        def open(self, path, mode="r", **how):
            asked.append(path)
            return super().open(path, mode, **how)

    source = MemorySource.of(tiff)
    file = Curious(source, source.head(HEAD_BYTES), "GTiff")
    with WarpedVRT(file.dataset(), crs="EPSG:32632") as warped:
        warped.read(1, window=((0, 5), (0, 5)))
    file.close()
    assert {path.rpartition("/")[2] for path in asked} <= {"scene.tif", "test"}
    for name in ("scene.tif.aux.xml", "scene.tif.ovr", "other.tif"):
        with pytest.raises(FileNotFoundError):
            file.open(name)
        assert not file.isfile(name)
    assert file.ls("") == []


def test_a_file_opened_in_one_thread_may_be_read_and_closed_in_others(source, driver, pixels):
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        file = one.submit(on, source, driver).result()
        one.submit(file.dataset).result()
        assert_array_equal(other.submit(lambda: file.dataset().read(1)).result(), pixels)
        other.submit(file.close).result()
