import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from scipy.ndimage import gaussian_filter

from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.kernels.fmask.flood import filled_basins
from geo_assets_tests.kernels.fmask import shadow_references
from geo_assets_tests.scenery.strategies import flags

connectivities = st.sampled_from([4, 8])


@st.composite
def terrains(draw):
    """Heights with many ties, or with few, and where they are valid."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    highest = draw(st.sampled_from([3, 40, 65_535]))
    height = draw(hnp.arrays(np.uint16, shape, elements=st.integers(0, highest)))
    return height, draw(flags(shape)), draw(st.integers(0, highest))


@settings(max_examples=150)
@given(terrains(), connectivities)
def test_filled_basins_equal_scikit_images_reconstruction(terrain, connectivity):
    height, valid, outlet = terrain
    assert_array_equal(
        filled_basins(height, valid, outlet=outlet, connectivity=connectivity),
        shadow_references.filled_basins(height, valid, outlet, connectivity),
    )


@pytest.mark.parametrize("connectivity", [4, 8])
def test_filled_basins_of_a_landscape_equal_scikit_images_reconstruction(connectivity):
    random = np.random.default_rng(5)
    height = (gaussian_filter(random.random((300, 220)), 3) * 9000 + random.random((300, 220)) * 300).astype(np.uint16)
    valid = gaussian_filter(random.random(height.shape), 6) < 0.53
    outlet = int(np.percentile(height[valid], 17.5))
    assert_array_equal(
        filled_basins(height, valid, outlet=outlet, connectivity=connectivity),
        shadow_references.filled_basins(height, valid, outlet, connectivity),
    )


@given(terrains(), connectivities)
def test_filling_twice_changes_nothing(terrain, connectivity):
    height, valid, outlet = terrain
    once = filled_basins(height, valid, outlet=outlet, connectivity=connectivity)
    assert (once >= height).all()
    assert_array_equal(filled_basins(once, valid, outlet=outlet, connectivity=connectivity), once)


@given(terrains(), connectivities)
def test_filling_turns_with_the_ground(terrain, connectivity):
    height, valid, outlet = terrain
    turned = filled_basins(np.rot90(height), np.rot90(valid), outlet=outlet, connectivity=connectivity)
    assert_array_equal(np.rot90(filled_basins(height, valid, outlet=outlet, connectivity=connectivity)), turned)


def test_a_diagonal_rim_holds_water_that_flows_over_four_neighbours_only():
    height = np.full((5, 5), 9, np.uint16)
    height[2, 2] = height[1, 1] = 1
    height[0, 0] = 2
    valid = np.ones((5, 5), bool)
    assert filled_basins(height, valid, outlet=0)[2, 2] == 9
    assert filled_basins(height, valid, outlet=0, connectivity=8)[2, 2] == 2


def test_water_drains_into_a_gap_of_the_data_down_to_the_outlet():
    height = np.full((7, 9), 50, np.uint16)
    height[3, 2:6] = 10
    valid = np.ones((7, 9), bool)
    assert_array_equal(filled_basins(height, valid, outlet=20)[3, 2:6], [50, 50, 50, 50])
    valid[3, 6] = False
    filled = filled_basins(height, valid, outlet=20)
    assert_array_equal(filled[3, 2:7], [20, 20, 20, 20, 50])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"outlet": -1}, RegionError),
        ({"outlet": 65_536}, RegionError),
        ({"connectivity": 6}, RegionError),
        ({"height": np.zeros((2, 2), np.float32)}, GridMismatchError),
        ({"valid": np.ones((3, 2), bool)}, GridMismatchError),
    ],
)
def test_what_cannot_be_flooded_is_refused(change, error):
    given = {"height": np.zeros((2, 2), np.uint16), "valid": np.ones((2, 2), bool), "outlet": 3, **change}
    with pytest.raises(error):
        filled_basins(given.pop("height"), given.pop("valid"), **given)
