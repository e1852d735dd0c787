import numpy as np
from numpy.testing import assert_array_equal

from geo_assets.kernels.picking.stored_blocks import edges_of, whole_block
from geo_assets_tests.kernels.picking.pictures import differences


def test_the_edges_of_a_block_are_values_whatever_its_predictor():
    stored = np.arange(12, dtype=np.uint16).reshape(3, 4) * 17 % 11
    edges = edges_of(whole_block(differences(stored), 0, 0, predicted=True))
    for edge, expected in zip(edges, (stored[0], stored[-1], stored[:, 0], stored[:, -1]), strict=True):
        assert_array_equal(edge, expected)
