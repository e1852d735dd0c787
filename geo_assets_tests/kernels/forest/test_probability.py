import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import DetectorError
from geo_assets.kernels.forest import probability as judging
from geo_assets.kernels.forest.codes import rank_table, reflectance_of
from geo_assets.kernels.forest.probability import forest_probability
from geo_assets.kernels.forest.trees import MOST_THRESHOLDS, UnsuitedForestError, forest_tables
from geo_assets_tests.scenery.forests import awkward_values, forests, grown, probability_of

LARGE = [grown([(choice * 7, choice % 3, (choice % 200) / 200) for choice in range(600)]) for _ in range(3)]
"""Three trees of 601 leaves over three features."""


def judged(trees, features, values, valid=None, **how):
    """Of values (feature, y, x)."""
    valid = np.ones(values.shape[1:], bool) if valid is None else valid
    return forest_probability(forest_tables(trees, features), list(values), valid, **how)


@settings(max_examples=60)
@given(forests(), st.integers(1, 150), st.integers(0, 99), st.sampled_from([np.float32, np.float64]))
def test_probability_is_to_the_bit_that_of_a_plain_walk(forest, pixels, seed, dtype):
    trees, features = forest
    values = awkward_values(features, pixels, seed, dtype)
    assert_array_equal(judged(trees, features, values[:, np.newaxis])[0], probability_of(trees, values))


@settings(max_examples=20)
@given(forests(), st.sampled_from([np.uint16, np.int16]), st.sampled_from([0, -1000, 1000]), st.integers(1, 20_000))
def test_counts_are_judged_as_the_reflectance_that_they_stand_for(forest, dtype, offset, quantification):
    trees, features = forest
    tables = forest_tables(trees, features)
    edges = np.array([0, 1, 2198, 2199, 10_900, 32_767, 65_535], np.uint16).view(np.uint16)
    random = np.random.default_rng(quantification)
    counts = random.choice(np.concatenate([edges, random.integers(0, 65_536, 20)]), (features, 5, 30))
    counts = counts.astype(np.uint16).view(dtype)
    valid = np.ones((5, 30), bool)
    ranks = rank_table(tables.thresholds, counts.dtype, offset, quantification)
    expected = forest_probability(tables, list(reflectance_of(counts, offset, quantification)), valid)
    assert_array_equal(forest_probability(tables, list(counts), valid, ranks=ranks), expected)


def test_a_pixel_is_judged_alike_alone_among_others_in_any_order_and_by_any_number_of_threads(monkeypatch):
    values = awkward_values(3, 5000, 1).reshape(3, 50, 100)
    whole = judged(LARGE, 3, values)
    assert_array_equal(judged(LARGE, 3, values[:, ::-1, ::-1]), whole[::-1, ::-1])
    assert_array_equal(judged(LARGE, 3, values[:, 20:33, 7:8]), whole[20:33, 7:8])
    monkeypatch.setattr(judging, "_PIXELS_AT_A_TIME", 700)
    monkeypatch.setattr(judging, "_PIXELS_OF_A_THREAD", 130)
    assert_array_equal(judged(LARGE, 3, values, threads=3), whole)


def test_pixels_that_are_not_valid_are_nan_and_change_no_other():
    values = awkward_values(3, 600, 2).reshape(3, 20, 30)
    valid = np.random.default_rng(3).random((20, 30)) > 0.5
    assert_array_equal(judged(LARGE, 3, values, valid), np.where(valid, judged(LARGE, 3, values), np.float32(np.nan)))
    assert np.isnan(judged(LARGE, 3, values, np.zeros((20, 30), bool))).all()
    assert judged(LARGE, 3, values[:, :0]).shape == (0, 30)


def test_as_many_thresholds_as_a_byte_can_rank_are_exact():
    trees = [grown([(choice, 0, float(choice)) for choice in range(MOST_THRESHOLDS)])]
    values = np.arange(-1, 2 * MOST_THRESHOLDS + 1, dtype=np.float32)[np.newaxis] / 2
    assert_array_equal(judged(trees, 1, values[:, np.newaxis])[0], probability_of(trees, values))
    with pytest.raises(UnsuitedForestError, match="feature 0: found 256 different thresholds"):
        forest_tables([*trees, grown([(0, 0, 1000.0)])], 1)


def test_more_features_than_a_byte_can_name_do_not_suit():
    with pytest.raises(UnsuitedForestError, match="256 features"):
        forest_tables([grown([])], 256)


@pytest.mark.parametrize(("side", "children"), [("left", [1, -1]), ("right", [-2, 0]), ("left", [7, -1])])
def test_nodes_that_are_no_tree_are_refused_before_anybody_walks_them(side, children):
    tree = grown([(0, 0, 0.5), (1, 0, 0.7)])
    getattr(tree, side)[:] = children
    with pytest.raises(DetectorError, match="tree 0: 2 nodes and 3 leaves are not one tree"):
        forest_tables([tree], 1)
    with pytest.raises(DetectorError, match="features 0 to 3, expected 0 to 2"):
        forest_tables([grown([(0, 0, 0.5), (1, 3, 0.7)])], 3)
