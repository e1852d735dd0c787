import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.compositing.calibration import FEWEST, LATTICE_PX, CalibrationCounts, calibration_counts
from geo_assets.kernels.compositing.observations import Observations
from geo_assets_tests.kernels.compositing.months import month
from geo_assets_tests.kernels.compositing.slow_composites import permuted

NONE = 255


def gaussian_ground(scenes=10, bands=3, side=40):
    """(observations, scores): independent noise of 150 counts round a ground truth, on the pixels that are tried."""
    random = np.random.default_rng(1)
    truth = random.uniform(500, 1500, (bands, side, side))
    seen = np.rint(truth + random.normal(0, 150, (scenes, bands, side, side))).astype(np.int16)
    counts = np.zeros((scenes, bands, side * LATTICE_PX, side * LATTICE_PX), np.int16)
    counts[..., ::LATTICE_PX, ::LATTICE_PX] = seen
    quality = np.zeros((scenes, *counts.shape[2:]), np.uint8)
    scores = random.random(quality.shape, np.float32)
    return Observations(counts, quality, np.arange(scenes)), scores


@pytest.fixture(scope="module")
def ground():
    return gaussian_ground()


def shares(ground, method, **options):
    observations, scores = ground
    counts = calibration_counts(observations, method, row=0, col=0, scores=scores, red=0, nir=1, **options)
    assert (counts.held_out == 1600).all()
    return counts.inside_1_sigma / counts.held_out, counts.inside_2_sigma / counts.held_out


@pytest.mark.parametrize(
    "method", ["best_pixel", "bap", "median", "weighted_mean", "medoid", "geomedian", "percentile"]
)
def test_sigma_is_honest_where_observations_are_gaussian(ground, method):
    one, two = shares(ground, method, percentile=50.0)
    assert ((one >= 0.60) & (one <= 0.76)).all()
    assert ((two >= 0.90) & (two <= 0.98)).all()


def test_values_that_are_not_meant_to_be_in_the_middle_are_found_out(ground):
    one, two = shares(ground, "percentile", percentile=5.0)
    assert (one < 0.50).all()
    assert (two < 0.90).all()
    one, _ = shares(ground, "max_ndvi")
    assert (one[:2] < 0.62).all()
    assert one[2] > 0.60  # a band that nobody chose by


def test_sigma_of_three_observations_is_known_to_be_short():
    one, two = shares(gaussian_ground(scenes=FEWEST, bands=1), "median")
    assert 0.53 < one.item() < 0.63  # Student's t with two degrees of freedom: 0.58 and 0.82
    assert 0.78 < two.item() < 0.87


@pytest.mark.parametrize("method", ["best_pixel", "median"])
def test_blocks_and_the_order_of_scenes_change_no_count(method):
    observations, _ = month(9, scenes=8, height=70, width=90)
    top, left = 1000, 333

    def counted(observations, rows, cols):
        part = Observations(
            observations.reflectance[:, :, rows, cols], observations.quality[:, rows, cols], observations.acquired
        )
        return calibration_counts(part, method, row=top + rows.start, col=left + cols.start)

    whole = counted(observations, slice(0, 70), slice(0, 90))
    assert whole.held_out[0] > 10
    parts = [
        counted(observations, rows, cols)
        for rows in (slice(0, 33), slice(33, 70))
        for cols in (slice(0, 5), slice(5, 90))
    ]
    assert_array_equal(sum(parts[1:], parts[0]).to_array(), whole.to_array())
    if method == "median":
        order = np.random.default_rng(0).permutation(8)
        shuffled = counted(permuted(observations, order), slice(0, 70), slice(0, 90))
        assert_array_equal(shuffled.to_array(), whole.to_array())


def test_only_clear_observations_inside_are_held_out():
    observations, _ = month(2, scenes=5, height=3, width=3)
    quality = np.zeros((5, 3, 3), np.uint8)
    every = Observations(observations.reflectance, quality, observations.acquired)
    assert calibration_counts(every, "median", row=14, col=15).held_out.tolist() == [1, 1, 1]  # pixel (2, 1)
    assert calibration_counts(every, "median", row=17, col=17).held_out.tolist() == [0, 0, 0]
    outside = np.ones((3, 3), bool)
    outside[2, 1] = False
    assert calibration_counts(every, "median", row=14, col=15, inside=outside).held_out.tolist() == [0, 0, 0]
    quality[:2, 2, 1] = 1, NONE
    marginal = Observations(observations.reflectance, quality, observations.acquired)
    assert calibration_counts(marginal, "median", row=14, col=15).held_out.tolist() == [0, 0, 0]
    with pytest.raises(GridMismatchError, match="'inside'"):
        calibration_counts(every, "median", row=0, col=0, inside=outside[:1])


def test_figures_are_shares_and_none_of_nothing():
    counts = CalibrationCounts.from_array(np.array([[4, 0], [3, 0], [4, 0]]))
    assert counts.figures(["red", "nir"]) == {
        "red": {"held_out": 4, "inside_1_sigma": 0.75, "inside_2_sigma": 1.0},
        "nir": {"held_out": 0, "inside_1_sigma": None, "inside_2_sigma": None},
    }
