import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.kernels.fmask.percentiles import PixelSet, percentiles

NUMBERS = st.one_of(
    st.floats(-2, 2, width=32), st.sampled_from([0.0, -0.0, 0.5, 0.25]), st.floats(-(2.0**100), 2.0**100, width=32)
)


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.floats(0, 100), st.randoms(use_true_random=False))
def test_percentiles_equal_numpys(numbers, percent, random):
    values = np.array([numbers], np.float32)
    flags = np.array([[random.choice([0, 1, 3]) for _ in numbers]], np.uint8)
    flags[0, 0] = 1
    found = percentiles(values, flags, PixelSet(3, 1), (percent, 50.0))
    expected = np.percentile(values[flags == 1].astype(np.float64), [percent, 50.0])
    assert found == pytest.approx(tuple(expected), rel=1e-9, abs=1e-9 * float(np.abs(values).max() + 1))


def test_no_pixel_has_no_percentile():
    assert np.isnan(
        percentiles(np.ones((3, 3), np.float32), np.zeros((3, 3), np.uint8), PixelSet(1, 1), (2.0, 98.0))
    ).all()


def test_what_is_not_looked_at_may_be_anything():
    values = np.array([[1, np.nan, np.inf, 3]], np.float32)
    assert percentiles(values, np.array([[1, 0, 0, 1]], np.uint8), PixelSet(1, 1), (50.0,)) == (2.0,)
    assert percentiles(values, np.array([[1, 0, 1, 1]], np.uint8), PixelSet(1, 1), (0.0, 100.0)) == (1.0, np.inf)
