"""Local GeoTIFFs by window: with our decoder and by GDAL the same pixels, each block decoded once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import CorruptProductError
from geo_assets.io.raster_file import RasterFile
from geo_assets.io.reads.tiff_pixels import TiffPixels
from geo_assets_tests.scenery.geotiffs import landscape, write_geotiff

TILED = {"tiled": True, "blockxsize": 64, "blockysize": 32, "compress": "zstd", "predictor": 2}
FORMS = [
    TILED,
    TILED | {"interleave": "pixel"},
    TILED | {"interleave": "band"},
    {"compress": "deflate", "blockysize": 7},
    {"compress": "lzma"},
    TILED | {"sparse_ok": True},
]


def two_bands():
    values = np.stack([landscape(150, 170), landscape(150, 170) + 5]).astype(np.int16)
    values[:, 32:128, 64:128] = 0
    return values


@pytest.mark.parametrize("form", FORMS)
def test_any_window_holds_what_was_written(tmp_path, form):
    values = two_bands()
    raster = RasterFile(write_geotiff(tmp_path / "a.tif", values, **form))
    random = np.random.default_rng(1)
    for _ in range(20):
        row, col = int(random.integers(150)), int(random.integers(170))
        height, width = int(random.integers(1, 151 - row)), int(random.integers(1, 171 - col))
        expected = values[:, row : row + height, col : col + width]
        assert_array_equal(raster.window(row, col, height, width), expected)
        larger = np.full((2, height + 3, width + 5), -1, np.int16)
        raster.read_into(larger[:, 1:-2, 2:-3], row, col)
        assert_array_equal(larger[:, 1:-2, 2:-3], expected)
        assert (larger == -1).sum() == larger.size - expected.size


def test_a_block_is_decoded_once_for_all_threads(tmp_path, monkeypatch):
    raster = RasterFile(write_geotiff(tmp_path / "a.tif", landscape(128, 128), **TILED))
    decoded, decode = [], TiffPixels._decoded

    def counted(self, level, index, *rest, **how):
        decoded.append(index)
        return decode(self, level, index, *rest, **how)

    monkeypatch.setattr(TiffPixels, "_decoded", counted)
    with ThreadPoolExecutor(4) as pool:
        windows = list(pool.map(lambda _: raster.window(0, 0, 128, 128), range(8)))
    assert sorted(decoded) == list(range(8))
    assert all((window == windows[0]).all() for window in windows)


def test_what_does_not_decode_is_refused_with_the_file(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", landscape(128, 128), **TILED)
    content = bytearray(path.read_bytes())
    at = len(content) // 2
    content[at : at + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(CorruptProductError, match=r"a\.tif"):
        RasterFile(path).window(0, 0, 128, 128)
