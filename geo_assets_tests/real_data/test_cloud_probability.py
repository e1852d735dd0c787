"""Half of a large real L1C scene of a cloudy coast, with the detector's own reference."""

import numpy as np
from numpy.testing import assert_array_equal

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.io.detectors import s2cloudless_cloud, s2cloudless_probability

ROWS = 160
"""The forest takes 40 microseconds a pixel: these are enough."""
CUT_ROWS = 6
"""Beside the cut, smoothing and dilation lack what lies beyond."""


def test_probability_and_mask_repeat_the_reference(shared_data):
    with np.load(shared_data / "s2-l1c-cloudprob" / "scene.npz") as scene:
        numbers, dn = [str(number) for number in scene["bands"]], scene["dn"][:, :ROWS]
        expected, expected_cloud = scene["cloud_probability"][:ROWS], scene["cloud_mask"][:ROWS]
    bands = {
        name: np.minimum(dn[numbers.index(band.number)], 32_767).astype(np.int16)
        for name, band in SENTINEL2_BANDS.items()
    }
    probability = s2cloudless_probability(bands)
    np.testing.assert_allclose(probability, expected, rtol=0, atol=1e-6)
    cloud = s2cloudless_cloud(probability, threshold=0.4, average_over=1, dilation_size=1)
    assert_array_equal(cloud[:-CUT_ROWS], expected_cloud[:-CUT_ROWS] == 1)
