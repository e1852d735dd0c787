"""Three real L1C dates over one place: 11 July 2015 clear, 31 July overcast, 30 August clear."""

import json
from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal
from rasterio.warp import Resampling, reproject

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.archives.local import LocalArchive
from geo_assets.io.detectors.s2cloudless import s2cloudless_probability
from geo_assets.io.reads.band import open_band
from geo_assets.io.reads.byte_source import LocalFile
from geo_assets.kernels.detection import DetectorInput
from geo_assets.kernels.radiometry import reflectance_counts
from geo_assets.stations.line import Line
from geo_assets_tests.scenery.lines import pixels_of, product_of, run_all, small_line

TILE = "33TVL"
WINDOW = slice(1900, 2110), slice(6460, 6680)
"""Of the tile's 10 m grid: the scenes' square kilometre, and some ground around."""
GEOBOX = tile_geobox(TILE, 10)[WINDOW]
JULY_11, JULY_31, AUGUST_30 = (
    f"S2A_L1C_33TVL_{moment}" for moment in ("20150711T100008", "20150731T100009", "20150830T100547")
)
BANDS = ("blue", "green", "red", "nir", "swir16")
NODATA, NONE = -32768, 255


@pytest.fixture(scope="module")
def archive(shared_data: Path) -> Path:
    return shared_data / "s2-l1c-multidate"


@pytest.fixture(scope="module")
def opened() -> list[str]:
    """The href of every file that the line asked its archive for."""
    return []


@pytest.fixture(scope="module")
def line(archive, opened, tmp_path_factory) -> Line:
    line = small_line(
        archive,
        tmp_path_factory.mktemp("l1c") / "store",
        area=[14.5514, 45.8659, 14.5642, 45.8750],
        months={"first": "2015-07", "last": "2015-08"},
        bands=list(BANDS),
        resolution=10,
        mosaic={"feather_m": 200},
    )
    honest = LocalArchive.open

    def noted(self, asset, **how):
        opened.append(asset.href)
        return honest(self, asset, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalArchive, "open", noted)
        run_all(line)
    return line


def warped_by_rasterio(archive: Path, scene: str, band: str) -> np.ndarray:
    """(y, x) uint16: the stored counts on `GEOBOX`, by one call of rasterio."""
    counts = np.zeros(GEOBOX.shape, np.uint16)
    with rasterio.open(archive / scene / f"{SENTINEL2_BANDS[band].number}.tif") as source:
        reproject(
            rasterio.band(source, 1),
            counts,
            dst_transform=GEOBOX.transform,
            dst_crs=str(GEOBOX.crs),
            resampling=Resampling.bilinear,
            src_nodata=0,
            dst_nodata=0,
            init_dest_nodata=True,
        )
    return counts


@pytest.mark.parametrize(("month", "scene", "fewest"), [("2015-07", JULY_11, 0.97), ("2015-08", AUGUST_30, 0.97)])
def test_a_composite_is_the_clear_date_as_rasterio_warps_it(line, archive, month, scene, fewest):
    product = product_of(line, "monthly_composite", month=month)
    composite = pixels_of(product, "composite.tif", WINDOW)
    expected = np.stack(
        [reflectance_counts(warped_by_rasterio(archive, scene, band), offset_dn=0, nodata=0) for band in BANDS]
    )
    valid = (composite != NODATA).all(axis=0)
    assert valid.sum() > fewest * (expected[0] != NODATA).sum()
    assert product.manifest.metrics["valid_share"] > fewest
    assert_array_equal(composite[:, valid], expected[:, valid])

    day, source = (pixels_of(product, f"{layer}.tif", WINDOW)[0] for layer in ("day", "source"))
    number = product.manifest.metrics["scenes"].index(scene)
    assert_array_equal(day, np.where(valid, datetime.strptime(scene[14:22], "%Y%m%d").day, NONE))
    assert_array_equal(source, np.where(valid, number, NONE))


def test_no_pixel_of_july_is_from_the_overcast_day(line):
    search, composite = (
        product_of(line, station, month="2015-07") for station in ("scene_search", "monthly_composite")
    )
    assert search.manifest.metrics["scenes_found"] == 2
    assert composite.manifest.metrics["days"] == [11]
    assert composite.manifest.metrics["share_of_scene"][JULY_31] == 0
    mask = pixels_of(product_of(line, "hybrid_mask", month="2015-07"), f"{JULY_31}.mask.tif", WINDOW)[0]
    assert (mask[mask != NONE] == 1).mean() > 0.99


def test_the_mosaic_of_a_single_tile_is_its_composite(line):
    for month in ("2015-07", "2015-08"):
        composite, mosaic = (
            product_of(line, name, month=month) for name in ("monthly_composite", "seam_blended_mosaic")
        )
        assert_array_equal(pixels_of(mosaic, "mosaic.tif", WINDOW), pixels_of(composite, "composite.tif", WINDOW))


def test_the_references_of_the_archive_are_never_opened(line, opened):
    assert opened
    assert not [href for href in opened if "CLP_" in href or "CLM_" in href]
    fetched = product_of(line, "fetch", month="2015-07").manifest.ledger
    assert {row["outcome"] for row in fetched} == {"read", "angles"}
    assert not [row for row in fetched if row["outcome"] == "read" and "CL" in Path(row["href"]).name]


@pytest.mark.parametrize("band", ["blue", "swir22"])
def test_a_warped_band_equals_rasterios_own_reproject(archive, band):
    expected = reflectance_counts(warped_by_rasterio(archive, JULY_11, band), offset_dn=0, nodata=0)
    path = archive / JULY_11 / f"{SENTINEL2_BANDS[band].number}.tif"
    with (
        closing(LocalFile(path, "test")) as source,
        open_band(source, 1, GEOBOX, "reflectance", where="test") as reader,
    ):
        assert_array_equal(reader.reflectance(0, 0, *GEOBOX.shape, offset_dn=0), expected)


@pytest.mark.parametrize("scene", [JULY_11, JULY_31, AUGUST_30])
def test_the_detector_on_the_native_bands_repeats_the_stored_probability(archive, scene):
    item = json.loads((archive / scene / "item.json").read_text())
    bands = {}
    for name, band in SENTINEL2_BANDS.items():
        with rasterio.open(archive / scene / item["assets"][band.number]["href"]) as source:
            bands[name] = reflectance_counts(source.read(1), offset_dn=0, nodata=0)
    with rasterio.open(archive / scene / "CLP_S2C.tif") as source:
        expected = source.read(1)
    scene = DetectorInput(bands, np.ones(expected.shape, bool), None, 10.0)
    assert_array_equal(s2cloudless_probability(scene), expected)
