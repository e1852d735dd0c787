"""The embedded Fmask-type detector against labels by eye (Wieland, Li & Martinis 2019), and against s2cloudless."""

import numpy as np
import pytest

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.detection import DetectorInput
from geo_assets.kernels.fmask.detection import fmask_detection
from geo_assets.kernels.quality import MaskCode

SHADOW, CLOUD = 0, 4
"""Codes of the labels."""


def f1(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def west_half(shared_data, *, sun_azimuth):
    """The Sentinel-2 image and its labels. It states no metadata: pixel size and sun are estimates from itself."""
    stored = np.load(shared_data / "cloud-truth" / "sentinel2_west.npz")
    bands = dict(zip(stored["bands"].tolist(), stored["dn"], strict=True))
    valid = np.ones(stored["truth"].shape, bool)
    angles = Angles.constant(45.0, sun_azimuth, view_assumed=True)
    return DetectorInput(bands, valid, angles, 10.0, scene="sentinel2_west"), stored["truth"]


@pytest.fixture(scope="module")
def sentinel2(shared_data):
    scene, truth = west_half(shared_data, sun_azimuth=160.0)
    return fmask_detection(scene), truth


@pytest.fixture(scope="module")
def landsat5(shared_data):
    stored = np.load(shared_data / "cloud-truth" / "landsat5.npz")
    bands = dict(zip(stored["bands"].tolist(), stored["reflectance"], strict=True))
    scene = DetectorInput(bands, np.ones(stored["truth"].shape, bool), None, 30.0, quantification=None)
    return fmask_detection(scene), stored["truth"]


def test_clouds_of_sentinel2_are_found_without_buffers(sentinel2):
    detection, truth = sentinel2
    assert f1(detection.codes == MaskCode.CLOUD, truth == CLOUD) >= 0.89


def test_shadows_of_sentinel2_are_found_without_buffers(sentinel2):
    detection, truth = sentinel2
    assert f1(detection.codes == MaskCode.SHADOW, truth == SHADOW) >= 0.86


def test_with_the_sun_on_the_wrong_side_the_shadows_are_missed(sentinel2, shared_data):
    scene, truth = west_half(shared_data, sun_azimuth=340.0)
    mirrored = fmask_detection(scene).codes == MaskCode.SHADOW
    assert f1(mirrored, truth == SHADOW) < f1(sentinel2[0].codes == MaskCode.SHADOW, truth == SHADOW) - 0.2


def test_steps_without_bands_are_recorded(sentinel2):
    steps = [text.partition(":")[0] for text in sentinel2[0].skipped]
    assert steps[:4] == ["cloud displacement", "cirrus", "water threshold", "bright surfaces"]


def test_clouds_of_landsat5_are_found_though_its_blue_band_saturates(landsat5):
    detection, truth = landsat5
    assert f1(detection.codes == MaskCode.CLOUD, truth == CLOUD) >= 0.91
    assert detection.figures["saturated_blue"] == pytest.approx(0.393, abs=0.001)


def every_band(stored):
    return dict(zip(SENTINEL2_BANDS, stored["dn"], strict=True))


@pytest.mark.parametrize("resolution_m", [20.0, 60.0])
def test_it_agrees_with_the_learned_detector_on_a_cloudy_coast(shared_data, resolution_m):
    stored = np.load(shared_data / "s2-l1c-cloudprob" / "scene.npz")
    scene = DetectorInput(every_band(stored), np.ones(stored["dn"].shape[1:], bool), None, resolution_m)
    detection = fmask_detection(scene)
    assert f1(detection.codes == MaskCode.CLOUD, stored["cloud_mask"] == 1) >= 0.92
    assert ("not_displaced_px" in detection.figures) == (resolution_m == 20.0)


@pytest.mark.parametrize("date", ["20150711T100008", "20150830T100547"])
def test_a_clear_day_has_no_clouds(shared_data, date):
    stored = np.load(shared_data / "s2-l1c-multidate" / f"S2A_L1C_33TVL_{date}" / "reference.npz")
    scene = DetectorInput(every_band(stored), np.ones(stored["dn"].shape[1:], bool), None, 10.0)
    assert not (fmask_detection(scene).codes == MaskCode.CLOUD).any()
