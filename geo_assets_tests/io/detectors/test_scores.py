import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal
from odc.geo.geobox import GeoBox

from geo_assets.domain.errors import DetectorError, GridMismatchError, RegionError
from geo_assets.io.detectors.scene_facts import SceneFacts
from geo_assets.io.detectors.scores import Scores, scores_on_grid
from geo_assets.kernels.detection import Detector, detected
from geo_assets.kernels.quality import DetectorBit, MaskCode
from geo_assets_tests.scenery.detector_scenes import CORNER, GRID, SCENE, small_scene, write_raster

CLEAR, CLOUD, FILL = MaskCode.CLEAR, MaskCode.CLOUD, MaskCode.FILL
RNG = np.random.default_rng(5)
SCORES = RNG.random(GRID.shape).astype(np.float32)


def scores_of(path, high_is="clear", **settings):
    return Scores(str(path), high_is, **settings)


def test_a_low_clear_score_is_cloud_and_a_high_cloud_score_too(tmp_path):
    scores = SCORES.copy()
    scores[0, :2] = 0.625, 0.5
    path = write_raster(tmp_path / "scores.tif", scores)
    clear = detected(scores_of(path, threshold=0.625), small_scene())
    assert_array_equal(clear.codes, np.where(scores < 0.625, CLOUD, CLEAR))
    assert_array_equal(clear.probability, 1 - scores)
    cloud = detected(scores_of(path, "cloud"), small_scene())
    assert_array_equal(cloud.codes, np.where(scores > 0.5, CLOUD, CLEAR))
    assert_array_equal(cloud.probability, scores)


def test_without_a_score_a_pixel_is_fill_and_that_is_told(tmp_path):
    scores = SCORES.copy()
    scores[0, 0], scores[1, 1] = np.nan, -9999
    path = write_raster(tmp_path / "scores.tif", scores, nodata=-9999)
    valid = np.ones(GRID.shape, bool)
    valid[5] = False
    detection = detected(scores_of(path), small_scene(valid))
    known = valid.copy()
    known[0, 0] = known[1, 1] = False
    assert_array_equal(detection.codes == FILL, ~known)
    assert_array_equal(np.isnan(detection.probability), ~known)
    assert detection.skipped == ("scores: 2 of 42 seen pixels have no score in scores.tif",)


def test_stored_counts_are_scaled_as_the_raster_declares(tmp_path):
    path = write_raster(tmp_path / "percent.tif", np.full(GRID.shape, 80, np.uint8), nodata=255)
    with pytest.raises(DetectorError, match=r"found scores 80 to 80, expected 0 to 1.*scale"):
        detected(scores_of(path), small_scene())
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (0.01,)
    assert_allclose(detected(scores_of(path), small_scene()).probability, 0.2, atol=1e-6)


@pytest.mark.parametrize(("pixel_m", "shift_m"), [(10, 0), (20, -20), (25, 7), (90, -30), (463.3, 0), (60, 30)])
def test_other_grids_are_read_at_the_centres_of_the_mask_s_pixels(tmp_path, pixel_m, shift_m):
    side = int(600 / pixel_m) + 2
    scores = RNG.random((side, side)).astype(np.float32)
    west, north = CORNER[0] + shift_m, CORNER[1] - shift_m
    path = write_raster(tmp_path / "scores.tif", scores, pixel_m=pixel_m, corner=(west, north))
    expected = np.full(GRID.shape, np.nan, np.float32)
    for row, col in np.ndindex(expected.shape):
        y, x = CORNER[1] - (row + 0.5) * 60, CORNER[0] + (col + 0.5) * 60
        r, c = int(np.floor((north - y) / pixel_m + 1e-6)), int(np.floor((x - west) / pixel_m + 1e-6))
        if 0 <= r < side and 0 <= c < side:
            expected[row, col] = scores[r, c]
    assert_array_equal(scores_on_grid(path, GRID, "Scores"), expected)


def test_many_strips_give_what_one_would(tmp_path):
    geobox = GeoBox((700, 20), Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), "EPSG:32633")
    scores = RNG.random((234, 7)).astype(np.float32)
    path = write_raster(tmp_path / "scores.tif", scores, pixel_m=30)
    assert_array_equal(scores_on_grid(path, geobox, "Scores"), scores.repeat(3, 0).repeat(3, 1)[:700, :20])


TURNED = Affine.translation(*CORNER) * Affine.rotation(9) * Affine.scale(60, -60)
BAD = {
    "another CRS": ({"crs": "EPSG:32634"}, SCORES, GridMismatchError, "EPSG:32634, expected EPSG:32633"),
    "turned": ({"transform": TURNED}, SCORES, GridMismatchError, "north-up"),
    "two bands": ({}, np.stack([SCORES, SCORES]), DetectorError, "found 2 bands"),
    "negative": ({}, SCORES - 2, DetectorError, r"found scores -[12].*expected 0 to 1"),
    "infinite": ({}, SCORES + np.inf, DetectorError, "found scores inf"),
    "elsewhere": ({"corner": (0, 0)}, SCORES, DetectorError, "no score where the scene was seen"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_raster_that_cannot_be_the_scenes_scores_is_refused(tmp_path, case):
    more, values, error, problem = BAD[case]
    path = write_raster(tmp_path / "scores.tif", values, **more)
    with pytest.raises(error, match=rf"Scores, scene {SCENE}.*{problem}"):
        detected(scores_of(path), small_scene())


def test_a_missing_or_broken_file_is_named(tmp_path):
    detector = scores_of("{tile}/{scene}.tif", folder=tmp_path, facts=SceneFacts(tile="33TVL"))
    with pytest.raises(DetectorError, match=rf"there is no file {tmp_path}/33TVL/{SCENE}\.tif"):
        detected(detector, small_scene())
    (tmp_path / "scores.tif").write_text("scores")
    with pytest.raises(DetectorError, match=r"scores\.tif cannot be read"):
        detected(scores_of(tmp_path / "scores.tif"), small_scene())


@pytest.mark.parametrize(
    "settings", [{"threshold": 0}, {"threshold": 1.5}, {"high_is": "snow"}, {"path": "{granule}.tif"}]
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(RegionError, match=r"mask\.scores"):
        Scores(**{"path": "x.tif", "high_is": "clear", **settings})


def test_it_is_a_detector_of_any_level_without_bands(tmp_path):
    detector = scores_of(write_raster(tmp_path / "scores.tif", SCORES))
    assert isinstance(detector, Detector)
    assert detector.bit == DetectorBit.PLUG_IN
    assert detected(detector, small_scene(bands={}, level="L2A", offset=0)).codes.shape == GRID.shape
