import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.kernels.forest.smoothing import cloud_of_probability, disk_mean, halo_px
from geo_assets_tests.scenery.forests import stock_detector

SCENE = np.random.default_rng(5).random((64, 96), np.float32)


def probabilities():
    elements = st.floats(0, 1, width=32) | st.sampled_from([0.0, 0.4, 1.0, np.nan])
    return hnp.arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=elements)


@settings(max_examples=40)
@given(probabilities(), st.integers(0, 9))
def test_a_mean_is_that_of_the_mirrored_disk_with_nan_as_0(probability, radius):
    height, width = probability.shape
    known = np.nan_to_num(probability.astype(np.float64), nan=0.0)
    rows = np.r_[0:height, height - 1 : -1 : -1] if height else []
    cols = np.r_[0:width, width - 1 : -1 : -1]
    expected = np.zeros_like(known)
    for row, col in np.ndindex(known.shape):
        near = [
            known[rows[(row + down) % (2 * height)], cols[(col + right) % (2 * width)]]
            for down in range(-radius, radius + 1)
            for right in range(-radius, radius + 1)
            if down**2 + right**2 <= radius**2
        ]
        expected[row, col] = np.mean(near)
    assert_allclose(disk_mean(probability, radius_px=radius), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("radius", [1, 2, 3, 4, 5])
def test_a_mean_is_opencvs_to_the_bit(radius):
    cv2 = pytest.importorskip("cv2")
    disk = stock_detector(average_over=radius).conv_filter
    expected = cv2.filter2D(SCENE, -1, disk, borderType=cv2.BORDER_REFLECT)
    ours = disk_mean(SCENE, radius_px=radius)
    assert_allclose(ours, expected, rtol=0, atol=4e-7)
    if "AVX2" in cv2.getCPUFeaturesLine().replace("?", ""):
        assert_array_equal(ours, expected)


@pytest.mark.parametrize("radius", [6, 11, 22])
def test_a_wide_mean_is_opencvs_by_fouriers_transform_to_a_millionth(radius):
    cv2 = pytest.importorskip("cv2")
    expected = cv2.filter2D(SCENE, -1, stock_detector(average_over=radius).conv_filter, borderType=cv2.BORDER_REFLECT)
    assert_allclose(disk_mean(SCENE, radius_px=radius), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("average_over", "dilation_size"), [(0, 0), (1, 0), (1, 1), (4, 2), (2, 7)])
@pytest.mark.parametrize("threshold", [0.4, 0.5])
def test_cloud_is_the_librarys(threshold, average_over, dilation_size):
    stock = stock_detector(threshold, average_over or None, dilation_size or None)
    ours = cloud_of_probability(SCENE, threshold=threshold, average_over=average_over, dilation_size=dilation_size)
    assert_array_equal(ours, stock.get_mask_from_prob(SCENE[np.newaxis])[0] == 1)


def test_cloud_of_a_wide_mean_is_the_librarys_but_for_a_hair_at_the_threshold():
    stock = stock_detector(0.5, 22, None)
    ours = cloud_of_probability(SCENE, threshold=0.5, average_over=22, dilation_size=0)
    differs = ours != (stock.get_mask_from_prob(SCENE[np.newaxis])[0] == 1)
    assert (np.abs(disk_mean(SCENE, radius_px=22)[differs] - 0.5) < 1e-6).all()
    assert differs.mean() < 0.001


def test_dilation_without_a_mean_works_where_the_library_raises():
    cv2 = pytest.importorskip("cv2")
    with pytest.raises(cv2.error):
        stock_detector(0.99, None, 2).get_mask_from_prob(SCENE[np.newaxis])
    ours = cloud_of_probability(SCENE, threshold=0.99, average_over=0, dilation_size=2)
    expected = cv2.dilate((SCENE > 0.99).astype(np.uint8), stock_detector(0.99, None, 2).dilation_filter)
    assert_array_equal(ours, expected == 1)


@settings(max_examples=30)
@given(st.data(), st.integers(0, 7), st.integers(0, 5))
def test_blocks_with_their_halo_are_the_whole_scene_to_the_bit(data, average_over, dilation_size):
    halo = halo_px(average_over, dilation_size)
    settings_ = {"threshold": 0.5, "average_over": average_over, "dilation_size": dilation_size}
    whole_mean, whole = disk_mean(SCENE, radius_px=average_over), cloud_of_probability(SCENE, **settings_)
    top, left = data.draw(st.integers(0, 50)), data.draw(st.integers(0, 80))
    bottom, right = data.draw(st.integers(top + 1, 64)), data.draw(st.integers(left + 1, 96))
    first_row, first_col = max(0, top - halo), max(0, left - halo)
    near = SCENE[first_row : bottom + halo, first_col : right + halo]
    inside = slice(top - first_row, bottom - first_row), slice(left - first_col, right - first_col)
    assert_array_equal(cloud_of_probability(near, **settings_)[inside], whole[top:bottom, left:right])
    assert_array_equal(disk_mean(near, radius_px=average_over)[inside], whole_mean[top:bottom, left:right])


def test_unknown_pixels_count_as_clear_around_them():
    probability = np.full((5, 5), np.float32(0.6))
    probability[2, 2] = np.nan
    smooth = cloud_of_probability(probability, threshold=0.5, average_over=1, dilation_size=0)
    assert_array_equal(~smooth, np.abs(np.arange(-2, 3))[:, np.newaxis] + np.abs(np.arange(-2, 3)) <= 1)


def test_radii_and_dtypes_that_make_no_sense_are_refused():
    with pytest.raises(RegionError, match="average_over"):
        cloud_of_probability(SCENE, threshold=0.4, average_over=-1, dilation_size=0)
    with pytest.raises(RegionError, match="dilation_size"):
        cloud_of_probability(SCENE, threshold=0.4, average_over=0, dilation_size=-1)
    with pytest.raises(GridMismatchError, match="probability"):
        cloud_of_probability(SCENE.astype(np.float64), threshold=0.4, average_over=0, dilation_size=0)
    empty = cloud_of_probability(SCENE[:0], threshold=0.4, average_over=1, dilation_size=1)
    assert empty.shape == (0, 96)
