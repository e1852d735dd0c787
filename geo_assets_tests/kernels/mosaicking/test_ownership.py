import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.kernels.mosaicking.blending import has_data
from geo_assets.kernels.mosaicking.ownership import NO_OWNER, ownership, sole_ownership, tally


def test_owners_are_who_weighs_most_and_contributors_who_has_data():
    weights = np.array([[[5, 4, 5, 0]], [[4, 5, 5, 0]]], np.int32)
    valid = np.array([[[1, 1, 1, 0]], [[1, 1, 0, 0]]], bool)
    owner, contributors = np.empty((1, 4), np.uint8), np.empty((1, 4), np.uint8)
    ownership(weights, valid, np.array([4, 7], np.uint8), owner, contributors)
    assert_array_equal(owner, [[4, 7, 4, NO_OWNER]])
    assert_array_equal(contributors, [[2, 2, 1, 0]])


@pytest.mark.parametrize("nodata", [0, np.nan])
def test_where_one_raster_lies_alone_it_owns_what_it_knows(nodata):
    values = np.random.default_rng(2).integers(0, 3, (5, 300)).astype(np.float32 if nodata else np.uint16)
    values[values == 0] = nodata
    frame = np.full((2, 7, 310), 9, np.uint8)
    owner, contributors = frame[:, 1:-1, 4:-6]
    sole_ownership(values, 4, owner, contributors, nodata=nodata)
    valid = has_data(values, nodata)
    assert_array_equal(contributors, valid)
    assert_array_equal(owner, np.where(valid, 4, NO_OWNER))
    assert (frame == 9).sum() == frame.size - 2 * values.size


@pytest.mark.parametrize("runs", [1, 90, 400])
def test_a_tally_counts_every_pixel(runs):
    random = np.random.default_rng(3)
    owner = np.repeat(random.integers(0, 256, (6, 5)), runs, axis=1).astype(np.uint8)
    contributors = random.integers(0, 4, owner.shape).astype(np.uint8)
    owned, blended_px = tally(owner, contributors)
    assert_array_equal(owned, np.bincount(owner.ravel(), minlength=256))
    assert blended_px == (contributors > 1).sum()
