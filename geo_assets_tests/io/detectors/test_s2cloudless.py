"""The detector against the library itself, and what it refuses."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.domain.bands import S2CLOUDLESS_BANDS, SENTINEL2_BANDS
from geo_assets.domain.errors import DetectorError, RegionError
from geo_assets.io.detectors.forest_model import installed_forest
from geo_assets.io.detectors.s2cloudless import S2Cloudless, s2cloudless_cloud, s2cloudless_probability
from geo_assets.kernels.detection import Detector, DetectorInput, detected
from geo_assets_tests.scenery.forests import stock_detector, stock_probability

SHAPE = (40, 60)
ALL = np.ones(SHAPE, bool)


@cache
def counts() -> np.ndarray:
    """(band, y, x) uint16, offset 1000: from dark to saturated, neighbours alike."""
    random = np.random.default_rng(11)
    brightness = np.cumsum(random.normal(0, 500, (1, *SHAPE)), axis=2) + 3000
    dn = brightness * random.uniform(0.5, 1.5, (10, 1, 1)) + random.normal(0, 300, (10, *SHAPE))
    dn = np.clip(dn, 0, 65_535).astype(np.uint16)
    dn[:, 0, :20] = random.choice(
        np.array([0, 1, 999, 1000, 1001, 32_767, 32_768, 65_534, 65_535], np.uint16), (10, 20)
    )
    return dn


def scene_of(values, valid=ALL, **how) -> DetectorInput:
    bands = dict(zip(S2CLOUDLESS_BANDS, values, strict=True))
    how.setdefault("quantification", None if values.dtype.kind == "f" else 10_000)
    return DetectorInput(bands, valid, None, 60.0, scene="S2A_TEST", **how)


def reflectance(dn, offset=0, quantification=10_000):
    return (dn.astype(np.float32) + np.float32(offset)) / np.float32(quantification)


@pytest.mark.parametrize(("offset", "quantification"), [(0, 10_000), (-1000, 10_000), (-1000, 20_000)])
def test_probability_of_counts_is_the_librarys_to_the_bit(offset, quantification):
    found = s2cloudless_probability(scene_of(counts(), offset=offset, quantification=quantification))
    assert_array_equal(found, stock_probability(reflectance(counts(), offset, quantification)))


def test_probability_of_reflectance_counts_is_the_librarys_to_the_bit():
    signed = np.minimum(counts().astype(np.int32) - 1000, 32_767).astype(np.int16)
    assert_array_equal(s2cloudless_probability(scene_of(signed)), stock_probability(reflectance(signed)))
    signed = signed.copy()
    signed[3, 5, 7] = -32_768
    detection = detected(S2Cloudless(), scene_of(signed))
    assert np.isnan(detection.probability[5, 7])
    assert detection.codes[5, 7] == 255
    assert np.isnan(detection.probability).sum() == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probability_is_the_librarys_at_and_beside_every_threshold_of_the_model(dtype):
    thresholds = installed_forest().tables.thresholds
    spectra = []
    random = np.random.default_rng(3)
    base = reflectance(counts())[:, 5:].reshape(10, -1)
    for feature, row in enumerate(thresholds):
        at = row[np.isfinite(row)].astype(dtype)
        for value in (np.nextafter(at, dtype(-np.inf)), at, np.nextafter(at, dtype(np.inf))):
            some = base[:, random.integers(0, base.shape[1], at.size)].astype(dtype)
            some[feature] = value
            spectra.append(some)
    values = np.concatenate(spectra, axis=1)[:, np.newaxis]
    valid = np.ones(values.shape[1:], bool)
    assert_array_equal(installed_forest().probability(list(values), valid), stock_probability(values))


def test_special_values_count_as_in_lightgbm():
    values = reflectance(counts()).copy()
    random = np.random.default_rng(4)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, -1e-36, -0.1, 6.5535, 3e38], np.float32)
    values[random.random(values.shape) < 0.2] = 0
    where = random.random(values.shape) < 0.3
    values[where] = random.choice(special, where.sum())
    values[:, 0, 0] = np.nan
    assert_array_equal(s2cloudless_probability(scene_of(values)), stock_probability(values))


def test_only_valid_pixels_are_judged():
    valid = np.random.default_rng(6).random(SHAPE) > 0.4
    whole = detected(S2Cloudless(average_over=0, dilation_size=0), scene_of(counts()))
    part = detected(S2Cloudless(average_over=0, dilation_size=0), scene_of(counts(), valid))
    assert_array_equal(part.probability, np.where(valid, whole.probability, np.float32(np.nan)))
    assert_array_equal(part.codes, np.where(valid, whole.codes, 255))
    nothing = detected(S2Cloudless(), scene_of(counts(), np.zeros(SHAPE, bool)))
    assert (nothing.codes == 255).all()


@pytest.mark.parametrize(("threshold", "average_over", "dilation_size"), [(0.4, 1, 1), (0.45, 4, 2), (0.3, 0, 0)])
def test_codes_are_the_librarys_masks(threshold, average_over, dilation_size):
    detector = S2Cloudless(threshold, average_over, dilation_size)
    detection = detected(detector, scene_of(counts(), offset=-1000))
    stock = stock_detector(threshold, average_over or None, dilation_size or None)
    mask = stock.get_cloud_masks(np.moveaxis(reflectance(counts(), -1000), 0, -1)[np.newaxis])[0]
    assert_array_equal(detection.codes, mask)
    assert 0.05 < mask.mean() < 0.95


def test_blocks_with_the_halo_that_it_declares_are_the_whole_scene():
    detector = S2Cloudless(0.45, 3, 2)
    assert detector.halo_px == 5
    assert detector.halo_m == 5 * 160
    whole = detected(detector, scene_of(counts())).codes
    for rows, cols in ((slice(10, 20), slice(0, 33)), (slice(20, 40), slice(33, 60))):
        top, left = max(0, rows.start - 5), max(0, cols.start - 5)
        near = counts()[:, top : rows.stop + 5, left : cols.stop + 5]
        codes = detected(detector, scene_of(near, np.ones(near.shape[1:], bool))).codes
        inside = codes[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]
        assert_array_equal(inside, whole[rows, cols])


def test_threads_change_no_bit():
    assert_array_equal(
        s2cloudless_probability(scene_of(counts()), threads=3), s2cloudless_probability(scene_of(counts()))
    )


def test_it_is_a_detector_and_says_what_it_needs():
    detector = S2Cloudless()
    assert isinstance(detector, Detector)
    assert (detector.name, detector.bands, detector.levels) == ("s2cloudless", S2CLOUDLESS_BANDS, ("L1C",))
    assert (detector.threshold, detector.average_over, detector.dilation_size) == (0.45, 1, 1)


# What goes wrong with s2cloudless by hand, CLOUDS.md 1: refused, or impossible.


def test_the_order_of_bands_does_not_matter_and_others_are_passed_over():
    scene = scene_of(counts())
    all_bands = {name: scene.bands.get(name, counts()[0] // 2) for name in reversed(SENTINEL2_BANDS)}
    assert len(all_bands) == 13
    found = s2cloudless_probability(dataclasses.replace(scene, bands=all_bands))
    assert_array_equal(found, s2cloudless_probability(scene))


@pytest.mark.parametrize("judge", [lambda scene: detected(S2Cloudless(), scene), s2cloudless_probability])
def test_l2a_is_refused_for_its_lack_of_b10(judge):
    scene = scene_of(counts())
    with pytest.raises(DetectorError, match=r"L2A.*no cirrus band \(B10\)"):
        judge(dataclasses.replace(scene, level="L2A"))
    without = {name: band for name, band in scene.bands.items() if name != "cirrus"}
    with pytest.raises(DetectorError, match=r"lacks cirrus \(B10\)"):
        judge(dataclasses.replace(scene, bands=without))


def test_zeros_in_the_place_of_b10_are_refused():
    shape = (100, 100)
    dn = np.random.default_rng(1).integers(500, 4000, (10, *shape)).astype(np.uint16)
    dn[S2CLOUDLESS_BANDS.index("cirrus")] = 0
    with pytest.raises(DetectorError, match=r"cirrus \(B10\) 0 in all 10000 valid pixels"):
        detected(S2Cloudless(), scene_of(dn, np.ones(shape, bool)))
    dn[:, 50:] = 0
    dn[S2CLOUDLESS_BANDS.index("cirrus"), 3, 4] = 1
    assert s2cloudless_probability(scene_of(dn, np.ones(shape, bool))).shape == shape


@pytest.mark.parametrize("judge", [lambda scene: detected(S2Cloudless(), scene), s2cloudless_probability])
def test_bands_of_unequal_grids_are_refused(judge):
    scene = scene_of(counts())
    bands = {**scene.bands, "coastal": counts()[0][::3, ::3]}
    with pytest.raises(DetectorError, match=r"Bring bands of 10, 20 and 60 m to one resolution first"):
        judge(dataclasses.replace(scene, bands=bands))


def test_counts_given_as_reflectance_are_refused():
    with pytest.raises(DetectorError, match=r"These are counts.*quantification=10000"):
        detected(S2Cloudless(), scene_of(counts().astype(np.float32)))
    with pytest.raises(DetectorError, match="quantification None"):
        s2cloudless_probability(scene_of(counts(), quantification=None))
    with pytest.raises(DetectorError, match="quantification 10000, expected None"):
        s2cloudless_probability(scene_of(reflectance(counts()), quantification=10_000))


def test_an_offset_left_in_turns_clear_ground_into_cloud_and_the_offset_setting_turns_it_back():
    clear = np.array([1100, 850, 700, 1000, 2600, 2800, 900, 12, 1700, 900], np.uint16)
    dn = np.broadcast_to(clear[:, np.newaxis, np.newaxis], (10, 4, 5)) + np.uint16(1000)
    valid = np.ones((4, 5), bool)
    right = s2cloudless_probability(scene_of(dn, valid, offset=-1000))
    assert_array_equal(right, s2cloudless_probability(scene_of(dn - np.uint16(1000), valid)))
    assert (right < 0.1).all()
    assert (s2cloudless_probability(scene_of(dn, valid)) > 0.9).all()


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(RegionError, match="threshold"):
        S2Cloudless(threshold=1.5)
    with pytest.raises(RegionError, match="average_over -1"):
        S2Cloudless(average_over=-1)


def test_cloud_is_above_the_threshold_and_not_at_it():
    probability = np.array([[0.45, np.nextafter(np.float32(0.45), np.float32(1))]], np.float32)
    assert_array_equal(s2cloudless_cloud(probability, threshold=0.45, average_over=0, dilation_size=0), [[False, True]])
