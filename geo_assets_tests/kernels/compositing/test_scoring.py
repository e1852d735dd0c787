import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.domain.region_composite import ScoreWeights
from geo_assets.kernels.compositing.scoring import NO_CLOUD_KNOWN, bap_scores


def weights(**chosen):
    """No weight but those that are chosen."""
    none = dict.fromkeys(("date", "cloud_distance", "haze", "view_zenith", "sensor"), 0.0)
    return ScoreWeights.model_construct(**{**ScoreWeights().model_dump(), **none, **chosen})


def scored(chosen, *, shape=(1, 1), **inputs):
    given = {"day": [15], "target_day": 15, **inputs}
    return bap_scores(weights(**chosen), shape=shape, **given)


def test_the_date_score_is_a_gaussian_of_days():
    scores = scored({"date": 2.0, "date_sigma_days": 10.0}, day=[15, 25, 5, 1])
    assert_allclose(scores.ravel(), [1, math.exp(-0.5), math.exp(-0.5), math.exp(-0.98)], rtol=1e-6)


def test_the_cloud_distance_score_is_griffiths_at_his_fifty_pixels():
    pixels = np.arange(80)
    metres = (30 * pixels).astype(np.uint16).reshape(1, 1, 80)
    scores = scored({"cloud_distance": 1.0, "cloud_distance_m": 1500.0}, shape=(1, 80), cloud_distance_m=metres)
    griffiths = 1 / (1 + np.exp(-0.2 * (np.minimum(pixels, 50) - 50 / 2)))
    assert_allclose(scores.ravel(), griffiths, rtol=1e-6)


def test_the_cloud_distance_score_spans_whatever_distance_is_asked_for():
    metres = np.array([0, 1500, 3000, 5000, NO_CLOUD_KNOWN], np.uint16).reshape(1, 1, 5)
    scores = scored({"cloud_distance": 1.0, "cloud_distance_m": 3000.0}, shape=(1, 5), cloud_distance_m=metres)
    assert_allclose(scores.ravel(), [0.0067, 0.5, 0.9933, 0.9933, 0.9933], atol=1e-4)


def test_the_haze_score_is_forces_sigmoid_of_the_transform():
    blue, red = np.meshgrid(np.arange(-500, 4000, 37), np.arange(-300, 6000, 53))
    blue, red = blue[np.newaxis].astype(np.int16), red[np.newaxis].astype(np.int16)
    scores = scored({"haze": 1.0}, shape=blue.shape[1:], blue=blue, red=red)
    transform = blue.astype(float) - 0.5 * red - 800  # FORCE has it in counts
    force = 1 / (1 + np.exp(10 / 200 * (np.clip(transform, -15_000, 14_000) + 150)))
    assert_allclose(scores, force, atol=1e-7)


def test_haze_over_the_same_ground_scores_lower():
    clear, hazy = ((400, 500), (1100, 1000))
    blue, red = np.array([clear, hazy], np.int16).T.reshape(2, 2, 1, 1)
    scores = scored({"haze": 1.0}, day=[1, 1], blue=blue, red=red).ravel()
    assert scores[0] > 0.99
    assert scores[1] < scores[0]


def test_the_view_score_falls_from_the_nadir_and_an_unknown_view_has_none():
    scores = scored({"view_zenith": 1.0}, day=[1] * 4, view_zenith=np.array([0.0, 10, 20, np.nan])).ravel()
    assert_allclose(scores, [0.9933, 0.5, 0.0067, 0], atol=1e-4)
    by_pixel = np.array([0.0, 10]).reshape(1, 1, 2)
    assert_allclose(scored({"view_zenith": 1.0}, shape=(1, 2), view_zenith=by_pixel).ravel(), scores[:2])


def test_the_total_is_the_mean_by_weights_of_what_has_input():
    inputs = {"day": [15, 25], "sensor": np.array([0.5, 1.0])}
    total = scored({"date": 3.0, "sensor": 1.0, "haze": 9.0}, **inputs).ravel()
    assert_allclose(total, [(3 + 0.5) / 4, (3 * math.exp(-0.5) + 1) / 4], rtol=1e-6)


def test_blocks_have_the_scores_of_the_whole():
    random = np.random.default_rng(0)
    shape = (3, 7, 9)
    inputs = {
        "cloud_distance_m": random.integers(0, 4000, shape).astype(np.uint16),
        "blue": random.integers(0, 3000, shape).astype(np.int16),
        "red": random.integers(0, 3000, shape).astype(np.int16),
        "view_zenith": random.uniform(0, 12, shape).astype(np.float32),
    }
    chosen = {"date": 1.0, "cloud_distance": 0.4, "haze": 0.3, "view_zenith": 0.1}
    whole = scored(chosen, shape=shape[1:], day=[1, 9, 20], **inputs)
    cut = {name: values[:, 2:6, 3:] for name, values in inputs.items()}
    assert_array_equal(scored(chosen, shape=(4, 6), day=[1, 9, 20], **cut), whole[:, 2:6, 3:])
    assert whole.dtype == np.float32
    assert ((whole >= 0) & (whole <= 1)).all()


def test_scores_of_nothing_are_refused():
    with pytest.raises(RegionError, match="no partial score has both weight and input"):
        scored({"haze": 1.0})
    with pytest.raises(GridMismatchError, match="one of blue and red"):
        scored({"haze": 1.0}, blue=np.zeros((1, 1, 1), np.int16))
    with pytest.raises(GridMismatchError, match="'cloud_distance_m'"):
        scored({"cloud_distance": 1.0}, cloud_distance_m=np.zeros((1, 2, 1), np.uint16))
