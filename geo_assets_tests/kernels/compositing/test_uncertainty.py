import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.kernels.compositing.methods import composite
from geo_assets.kernels.compositing.observations import Observations
from geo_assets.kernels.compositing.uncertainty import add_observations, standard_uncertainty, uncertainty_counts
from geo_assets_tests.kernels.compositing.months import months

NODATA, NONE = -32768, 255


def running(values, composite_values):
    count, mean, squares = (np.zeros(values.shape[1:], dtype) for dtype in (np.uint16, np.float32, np.float32))
    for one in values:
        add_observations(one, count, mean, squares)
    return count, uncertainty_counts(composite_values, count, squares)


@settings(max_examples=50)
@given(months())
def test_uncertainty_is_that_of_numpy_over_all_usable_observations(observed):
    observations, _ = observed
    made = composite(observations, "median", uncertainty=True)
    usable = (observations.quality != NONE) & (observations.reflectance != NODATA).all(axis=1)
    for band, row, col in np.ndindex(made.bands.shape):
        value = made.bands[band, row, col]
        if value == NODATA:
            assert made.uncertainty[band, row, col] == NODATA
            continue
        seen = observations.reflectance[usable[:, row, col], band, row, col].astype(float)
        variance = np.var(seen, ddof=1) if len(seen) > 1 else 0.0
        expected = min(max(10.0, np.sqrt(variance + (0.02 * value) ** 2)), 32767)
        assert abs(made.uncertainty[band, row, col] - expected) <= 0.5 + 1e-9 * expected


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_running_moments_give_the_uncertainty_of_the_stack(seed, observations):
    random = np.random.default_rng(seed)
    values = random.integers(-50, 9000, (observations, 3, 4)).astype(np.int16)
    values[random.random(values.shape) < 0.3] = NODATA
    count, uncertainty = running(values, values[0])
    assert_array_equal(count, (values != NODATA).sum(axis=0))
    stack = Observations(values[:, np.newaxis], np.zeros(values.shape, np.uint8), np.arange(observations))
    exact = standard_uncertainty(stack, values[:1])[0]
    assert np.abs(uncertainty.astype(int) - exact).max() <= 1


def test_the_golden_uncertainty():
    values = np.array([[[5000, 100, 100, NODATA, 20_000]], [[5000, 160, NODATA, NODATA, -20_000]]], np.int16)
    stack = Observations(values[:, np.newaxis], np.zeros(values.shape, np.uint8), np.arange(2))
    # 2 % of 5000; sqrt(1800 + 2**2); one observation: the floor; none; a spread of 40,000 over sqrt(2), and 2 %
    golden = [[[100, 42, 10, NODATA, 28_287]]]
    assert standard_uncertainty(stack, values[:1]).tolist() == golden
    assert running(values, values[0])[1].tolist() == golden[0]


def test_uncertainty_is_not_computed_unasked():
    stack = Observations(np.zeros((1, 1, 1, 1), np.int16), np.zeros((1, 1, 1), np.uint8), np.arange(1))
    assert composite(stack, "median").uncertainty is None
