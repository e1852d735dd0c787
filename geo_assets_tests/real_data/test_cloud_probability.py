"""Real L1C scenes by our forest and by s2cloudless itself: equal to the bit."""

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_allclose, assert_array_equal
from rasterio.enums import Resampling

from geo_assets.domain.bands import S2CLOUDLESS_BANDS, SENTINEL2_BANDS
from geo_assets.io.detectors.s2cloudless import s2cloudless_cloud, s2cloudless_probability
from geo_assets.kernels.detection import DetectorInput
from geo_assets_tests.scenery.forests import stock_detector, stock_probability

ROWS = 160
"""The library takes 15 microseconds a pixel: these are enough of the largest scene."""
CUT_ROWS = 6
"""Beside the cut, smoothing and dilation lack what lies beyond."""
NUMBERS = [SENTINEL2_BANDS[name].number for name in S2CLOUDLESS_BANDS]
DATES = ("20150711T100008", "20150731T100009", "20150830T100547")


def scene_of(values, quantification=10_000) -> DetectorInput:
    valid = np.ones(values.shape[1:], bool)
    return DetectorInput(
        dict(zip(S2CLOUDLESS_BANDS, values, strict=True)), valid, None, 10.0, quantification=quantification
    )


def reflectance(dn):
    return dn.astype(np.float32) / np.float32(10_000)


@pytest.fixture(scope="module")
def cloudy_coast(shared_data):
    """Half of a large scene, half of it cloud: counts, the reference probability and mask that came with it."""
    with np.load(shared_data / "s2-l1c-cloudprob" / "scene.npz") as scene:
        numbers = [str(number) for number in scene["bands"]]
        dn = scene["dn"][[numbers.index(number) for number in NUMBERS]]
        return dn, scene["cloud_probability"], scene["cloud_mask"]


def test_a_cloudy_coast_is_the_librarys_and_repeats_its_reference(cloudy_coast):
    dn, expected, expected_cloud = (array[..., :ROWS, :] for array in cloudy_coast)
    probability = s2cloudless_probability(scene_of(dn))
    assert_array_equal(probability, stock_probability(reflectance(dn)))
    assert_allclose(probability, expected, rtol=0, atol=1e-7)
    cloud = s2cloudless_cloud(probability, threshold=0.4, average_over=1, dilation_size=1)
    assert_array_equal(cloud[:-CUT_ROWS], expected_cloud[:-CUT_ROWS] == 1)


def test_counts_reflectance_counts_and_reflectance_are_one(cloudy_coast):
    dn = cloudy_coast[0][:, ROWS:]
    whole = s2cloudless_probability(scene_of(dn))
    assert_allclose(whole, cloudy_coast[1][ROWS:], rtol=0, atol=1e-7)
    assert_array_equal(s2cloudless_probability(scene_of(dn.astype(np.int16))), whole)
    assert_array_equal(s2cloudless_probability(scene_of(reflectance(dn), None)), whole)
    in_double = s2cloudless_probability(scene_of(dn / 10_000, None))
    assert_allclose(in_double, whole, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("average_over", "dilation_size"), [(1, 1), (4, 2), (22, 11)])
def test_masks_of_a_cloudy_coast_are_the_librarys(cloudy_coast, average_over, dilation_size):
    probability = cloudy_coast[1]
    stock = stock_detector(0.4, average_over, dilation_size)
    ours = s2cloudless_cloud(probability, threshold=0.4, average_over=average_over, dilation_size=dilation_size)
    assert_array_equal(ours, stock.get_mask_from_prob(probability[np.newaxis])[0] == 1)


@pytest.mark.parametrize("date", DATES)
def test_one_place_on_three_dates_is_what_the_library_gave_and_gives(shared_data, date):
    folder = shared_data / "s2-l1c-multidate" / f"S2A_L1C_33TVL_{date}"
    bands = []
    for number in NUMBERS:
        with rasterio.open(folder / f"{number}.tif") as source:
            bands.append(source.read(1))
    with rasterio.open(folder / "CLP_S2C.tif") as stored, rasterio.open(folder / "CLM_S2C.tif") as stored_cloud:
        expected, expected_cloud = stored.read(1), stored_cloud.read(1)
    dn = np.stack(bands)
    probability = s2cloudless_probability(scene_of(dn))
    assert_array_equal(probability, stock_probability(reflectance(dn)))
    assert_array_equal(probability, expected)
    cloud = s2cloudless_cloud(probability, threshold=0.4, average_over=4, dilation_size=2)
    assert_array_equal(cloud, expected_cloud == 1)


def test_native_bands_brought_to_one_grid_are_the_librarys(shared_data):
    folder = shared_data / "s2-l1c-jp2" / "IMG_DATA"
    bands = []
    for number in NUMBERS:
        with rasterio.open(folder / f"T31TDH_20150726T105026_{number}.jp2") as source:
            finer = source.height > 150
            bands.append(source.read(1, out_shape=(150, 150), resampling=Resampling(5 if finer else 1)))
    dn = np.stack(bands)
    assert_array_equal(s2cloudless_probability(scene_of(dn)), stock_probability(reflectance(dn)))
