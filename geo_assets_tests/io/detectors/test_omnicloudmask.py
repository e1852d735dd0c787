"""The adapter with a function of the package's documented signature; with the package itself where it is installed."""

import csv
import socket
from importlib.resources import files
from importlib.util import find_spec

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import DetectorError, ResourceError
from geo_assets.io.detectors.omnicloudmask import OmniCloudMask, package_predict
from geo_assets.kernels.detection import Detector, DetectorInput, detected
from geo_assets.kernels.quality import DetectorBit, MaskCode
from geo_assets.kernels.quality_layers import omnicloudmask_codes

CLEAR, CLOUD, SHADOW, FILL = MaskCode.CLEAR, MaskCode.CLOUD, MaskCode.SHADOW, MaskCode.FILL
SHAPE = (40, 48)
RNG = np.random.default_rng(6)
INSTALLED = find_spec("omnicloudmask") is not None


def scene_of(valid=None, shape=SHAPE, level="L1C", resolution_m=20.0):
    bands = {name: RNG.integers(1001, 9000, shape).astype(np.uint16) for name in ("red", "green", "nir")}
    valid = np.ones(shape, bool) if valid is None else valid
    return DetectorInput(bands, valid, None, resolution_m, level=level, offset=-1000, scene="scene")


def answering(confidence, asked=None):
    """A function like `predict_from_array`, which answers with what it is given."""

    def predict_from_array(input_array, patch_size=1000, patch_overlap=300, *, export_confidence, no_data_value=0):
        assert export_confidence
        if asked is not None:
            asked.update(array=input_array, patch_size=patch_size, overlap=patch_overlap, nodata=no_data_value)
        return confidence

    return predict_from_array


def test_classes_become_codes_and_both_clouds_the_probability(tmp_path):
    confidence = RNG.dirichlet(np.ones(4), SHAPE).transpose(2, 0, 1).astype(np.float32)
    valid = np.ones(SHAPE, bool)
    valid[:3] = False
    detection = detected(OmniCloudMask(tmp_path, answering(confidence)), scene_of(valid))
    expected = np.array([CLEAR, CLOUD, CLOUD, SHADOW], np.uint8)[confidence.argmax(axis=0)]
    assert_array_equal(detection.codes, np.where(valid, expected, FILL))
    assert_allclose(detection.probability[valid], confidence[1:3].sum(axis=0)[valid])
    assert np.isnan(detection.probability[~valid]).all()


def test_it_is_given_red_green_and_near_infrared_with_zero_for_nothing_else_than_nodata(tmp_path):
    asked, valid = {}, np.ones(SHAPE, bool)
    valid[0, 0] = False
    scene = scene_of(valid)
    scene.bands["red"][5, 5] = 1000  # reflectance 0 is a dark pixel
    detected(OmniCloudMask(tmp_path, answering(np.full((4, *SHAPE), 0.25, np.float32), asked)), scene)
    assert_array_equal(asked["array"][1], np.where(valid, scene.reflectance("green"), 0))
    assert_array_equal((asked["array"] == 0).any(axis=0), ~valid)
    assert (asked["patch_size"], asked["overlap"], asked["nodata"]) == (40, 20, 0)


def test_what_was_not_predicted_is_fill_and_told(tmp_path):
    confidence = np.full((4, *SHAPE), 0.25, np.float32)
    confidence[:, 0, :2] = np.nan
    detection = detected(OmniCloudMask(tmp_path, answering(confidence)), scene_of())
    assert (detection.codes == FILL).sum() == 2
    assert detection.skipped == ("omnicloudmask: 2 seen pixels were not predicted",)


def test_an_answer_of_another_shape_or_a_sliver_is_refused(tmp_path):
    with pytest.raises(DetectorError, match=r"found an answer of \(1, 40, 48\), expected \(4, 40, 48\)"):
        detected(OmniCloudMask(tmp_path, answering(np.zeros((1, *SHAPE), np.uint8))), scene_of())
    with pytest.raises(DetectorError, match="at least 32 in each direction"):
        detected(OmniCloudMask(tmp_path, answering(None)), scene_of(shape=(31, 400)))


def test_pixels_of_60_m_are_too_large_for_it(tmp_path):
    with pytest.raises(DetectorError, match=r"found pixels of 60 m, expected 10 to 50 m.*mask\.resolution"):
        detected(OmniCloudMask(tmp_path, answering(None)), scene_of(resolution_m=60.0))


def test_it_is_a_detector():
    assert isinstance(OmniCloudMask("weights"), Detector)
    assert OmniCloudMask("weights").bit == DetectorBit.PLUG_IN


@pytest.mark.skipif(INSTALLED, reason="the package is installed")
def test_without_the_package_the_extra_is_named(tmp_path):
    with pytest.raises(ResourceError, match=r"geo-assets\[omnicloudmask\]"):
        detected(OmniCloudMask(tmp_path), scene_of())


def test_a_real_mask_by_omnicloudmask_has_known_classes_only(shared_data):
    with rasterio.open(next((shared_data / "masks").glob("*_omnicloudmask_10m.tif"))) as dataset:
        values = dataset.read(1, out_shape=(1098, 1098))
    codes = omnicloudmask_codes(values)
    assert set(np.unique(values)) == {0, 1, 2, 3}
    assert_array_equal(codes == CLOUD, (values == 1) | (values == 2))
    assert_array_equal(codes == SHADOW, values == 3)


# With the package itself


@pytest.fixture
def package():
    if not INSTALLED:
        pytest.skip("the extra omnicloudmask is not installed")
    return pytest.importorskip("omnicloudmask")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_package_predicts_by_local_weights_and_never_asks_the_network(package, tmp_path, monkeypatch):
    import safetensors.torch
    import segmentation_models_pytorch
    import torch

    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(DetectorError, match=r"none of its files, expected PM_model.*Nothing is downloaded"):
        package_predict(tmp_path)
    torch.manual_seed(1)
    with (files("omnicloudmask") / "model_download_links.csv").open() as text:
        rows = [row for row in csv.DictReader(text) if float(row["version"]) == 4.0]
    for row in rows:
        network = segmentation_models_pytorch.Unet(
            encoder_name=row["timm_model_name"], encoder_weights=None, in_channels=3, classes=4
        )
        safetensors.torch.save_file(network.state_dict(), tmp_path / row["file_name"])
    valid = np.ones((64, 80), bool)
    valid[:8] = False
    scene = scene_of(valid, shape=(64, 80))
    detection = detected(OmniCloudMask(tmp_path), scene)
    stack = np.where(valid, np.stack([scene.reflectance(name) for name in ("red", "green", "nir")]), 0)
    classes = package.predict_from_array(
        stack.astype(np.float32), patch_size=64, patch_overlap=32, destination_model_dir=tmp_path
    )[0]
    assert_array_equal(detection.codes, np.where(valid, omnicloudmask_codes(classes.astype(np.uint8)), FILL))
    (tmp_path / rows[0]["file_name"]).write_bytes(b"cut short")
    with pytest.raises(DetectorError, match="expected PM_model"):
        package_predict(tmp_path)
