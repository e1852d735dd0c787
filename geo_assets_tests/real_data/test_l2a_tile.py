"""A real L2A tile as Earth Search publishes it, reduced ten times: the Sahara on 19 February 2020."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal

from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.rasters import raster_geobox
from geo_assets.kernels.quality import MaskCode
from geo_assets.kernels.quality_layers import scl_codes, scl_quality
from geo_assets.stations.line import Line
from geo_assets_tests.scenery.lines import pixels_of, product_of, run_all, shared_slices, small_line

TILE, SCENE = "29RKH", "S2A_29RKH_20200219_0_L2A"
OTHER_ZONE = "28RHN"
"""Shows the same ground, in the zone to the west; the archive has no scene of it."""
NODATA, NONE = -32768, 255
BANDS = ("blue", "nir", "swir16")
NUMBERS = ("B02", "B08", "B11")
GEOBOX = tile_geobox(TILE, 60)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "s2-l2a-cog" / SCENE


@pytest.fixture(scope="module")
def line(folder, tmp_path_factory) -> Line:
    line = small_line(
        folder / "item.json",
        tmp_path_factory.mktemp("l2a") / "store",
        area=[-11.16, 24.70, -11.02, 24.90],
        months={"first": "2020-02", "last": "2020-02"},
        bands=list(BANDS),
        mosaic={"feather_m": 600},
    )
    run_all(line)
    return line


def test_every_pixel_that_scl_calls_usable_becomes_the_composite(line, folder):
    product = product_of(line, "monthly_composite")
    valid = pixels_of(product, "source.tif")[0] == 0
    expected = scl_quality(nearest(folder / "SCL.tif"))
    expected[np.isin(scl_codes(nearest(folder / "SCL.tif")), [MaskCode.CLOUD, MaskCode.SHADOW])] = NONE
    served = pixels_of(product_of(line, "fetch"), f"{SCENE}.classes.tif")[0] != NONE
    assert_array_equal(valid[served], expected[served] != NONE)
    assert_array_equal(pixels_of(product, "quality.tif")[0][served], expected[served])
    assert not valid[~served].any()
    assert product.manifest.metrics["days"] == [19]
    assert product.manifest.metrics["valid_share"] > 0.9


def test_values_are_the_stored_counts_interpolated(line, folder):
    composite = pixels_of(product_of(line, "monthly_composite"), "composite.tif")
    valid = composite[0] != NODATA
    for found, number in zip(composite, NUMBERS, strict=True):
        # The reduced files have 100 and 200 m pixels: nothing of ours but the warp can be between.
        with rasterio.open(folder / f"{number}.tif") as source:
            lowest, highest = range_of_four_nearest(source.read(1), source.transform.a)
        assert ((found >= lowest) & (found <= highest))[valid].all()
        assert len(np.unique(found[valid])) > 100


def test_the_neighbour_in_the_other_zone_is_empty_and_its_mosaic_the_same(line):
    assert line.region.tile_ids == (TILE, OTHER_ZONE)
    empty = product_of(line, "monthly_composite", OTHER_ZONE).manifest
    assert (empty.status, empty.reason) == ("empty", "no scene was fetched")
    mosaics = {tile: product_of(line, "seam_blended_mosaic", tile) for tile in line.region.tile_ids}
    own = pixels_of(mosaics[TILE], "mosaic.tif")
    assert_array_equal(own, pixels_of(product_of(line, "monthly_composite"), "composite.tif"))
    other, geobox = pixels_of(mosaics[OTHER_ZONE], "mosaic.tif"), raster_geobox(mosaics[OTHER_ZONE].path("mosaic.tif"))
    assert geobox.crs == GEOBOX.crs
    ours, theirs = shared_slices(GEOBOX, geobox)
    own, other = own[:, *ours], other[:, *theirs]
    both = (own != NODATA) & (other != NODATA)
    assert both.sum() > 0.9 * (own != NODATA).sum()
    assert_array_equal(own[both], other[both])


def test_statistics_count_every_valid_pixel_of_the_area(line):
    composite = product_of(line, "monthly_composite").manifest.metrics
    nir = product_of(line, "dataset_stats").json("stats.json")["bands"]["nir"]
    assert nir["pixels"] == round(composite["valid_share"] * composite["area_px"])
    assert 0.2 < nir["clipped_mean"] < 0.6
    assert product_of(line, "hybrid_mask").manifest.metrics["detectors"] == ["quality"]


def centres(size: float) -> np.ndarray:
    """Of our pixels, in pixels of `size` metres from the tile's corner; rows and columns alike."""
    return (np.arange(GEOBOX.shape[0]) + 0.5) * 60 / size


def nearest(path: Path) -> np.ndarray:
    """(y, x) uint8: the stored pixel in which each of ours has its centre."""
    with rasterio.open(path) as source:
        places = centres(source.transform.a).astype(int)
        return source.read(1)[np.ix_(places, places)]


def range_of_four_nearest(counts: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest of the four stored pixels round each centre of ours."""
    first = np.floor(centres(size) - 0.5).astype(int)
    sides = [np.clip(first + step, 0, len(counts) - 1) for step in (0, 1)]
    four = np.stack([counts[np.ix_(rows, cols)] for rows in sides for cols in sides]).astype(np.int64)
    return four.min(axis=0), four.max(axis=0)
