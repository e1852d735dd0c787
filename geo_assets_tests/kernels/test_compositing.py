import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.compositing import MOST_SCENES, best_pixel
from geo_assets_tests.scenery import references
from geo_assets_tests.scenery.strategies import stacks

NODATA, NONE = -32768, 255
LAYERS = ("bands", "quality", "observation_count", "source")


def layers(composite):
    return [getattr(composite, name) for name in LAYERS]


@given(stacks())
def test_best_pixel_equals_the_slow_reference(stack):
    composite = best_pixel(*stack)
    for layer, slow in zip(layers(composite), references.best_pixel(*stack), strict=True):
        assert_array_equal(layer, slow)
    assert [layer.dtype for layer in layers(composite)] == [np.int16, np.uint8, np.uint8, np.uint8]


@given(stacks())
def test_a_fully_unusable_scene_changes_nothing(stack):
    reflectance, quality = stack
    with_scene = np.concatenate([reflectance, reflectance[:1]])
    all_unusable = np.concatenate([quality, np.full_like(quality[:1], NONE)])
    for layer, expected in zip(layers(best_pixel(with_scene, all_unusable)), layers(best_pixel(*stack)), strict=True):
        assert_array_equal(layer, expected)


@given(stacks(), st.data())
def test_crop_then_composite_equals_composite_then_crop(stack, data):
    reflectance, quality = stack
    height, width = quality.shape[1:]
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    cropped = best_pixel(reflectance[..., top:, left:].copy(), quality[..., top:, left:].copy())
    for layer, whole in zip(layers(cropped), layers(best_pixel(*stack)), strict=True):
        assert_array_equal(layer, whole[..., top:, left:])


@given(stacks(), st.randoms())
def test_the_order_of_scenes_decides_among_equals_only(stack, random):
    reflectance, quality = stack
    order = random.sample(range(len(quality)), len(quality))
    composite, shuffled = best_pixel(*stack), best_pixel(reflectance[order], quality[order])
    assert_array_equal(shuffled.quality, composite.quality)
    assert_array_equal(shuffled.observation_count, composite.observation_count)


@given(stacks())
def test_every_pixel_is_one_scenes_whole_spectrum_or_none(stack):
    reflectance, _ = stack
    composite = best_pixel(*stack)
    for row, col in np.ndindex(composite.source.shape):
        spectrum, source = composite.bands[:, row, col], composite.source[row, col]
        if source == NONE:
            assert (spectrum == NODATA).all()
        else:
            assert_array_equal(spectrum, reflectance[source, :, row, col])
            assert (spectrum != NODATA).all()


def test_a_gap_in_one_band_sends_the_whole_pixel_to_the_next_scene():
    reflectance = np.array([[100, NODATA], [300, 400]], np.int16).reshape(2, 2, 1, 1)
    composite = best_pixel(reflectance, np.array([0, 2], np.uint8).reshape(2, 1, 1))
    assert composite.bands.ravel().tolist() == [300, 400]
    assert (composite.quality.item(), composite.observation_count.item(), composite.source.item()) == (
        2,
        1,
        1,
    )


def test_the_golden_composite_of_three_scenes():
    quality = np.array([[[0, 1, 255, 2]], [[0, 0, 255, 1]], [[1, 0, 0, 1]]], np.uint8)
    reflectance = np.array([[[[1, 2, 3, 4]]], [[[11, 12, 13, 14]]], [[[21, 22, NODATA, 24]]]], np.int16)
    composite = best_pixel(reflectance, quality)
    assert composite.bands.tolist() == [[[1, 12, NODATA, 14]]]
    assert composite.quality.tolist() == [[0, 0, NONE, 1]]
    assert composite.observation_count.tolist() == [[3, 3, 0, 3]]
    assert composite.source.tolist() == [[0, 1, NONE, 1]]


def test_the_largest_stack_counts_and_names_every_scene():
    reflectance = np.zeros((MOST_SCENES, 1, 1, 1), np.int16)
    quality = np.full((MOST_SCENES, 1, 1), 1, np.uint8)
    quality[-1] = 0
    composite = best_pixel(reflectance, quality)
    assert (composite.observation_count.item(), composite.source.item()) == (255, 254)


def test_more_scenes_than_source_can_name_are_refused():
    with pytest.raises(GridMismatchError, match="at most 255"):
        best_pixel(np.zeros((256, 1, 1, 1), np.int16), np.zeros((256, 1, 1), np.uint8))


def test_quality_of_another_window_is_refused():
    with pytest.raises(GridMismatchError, match="'quality'"):
        best_pixel(np.zeros((1, 1, 2, 2), np.int16), np.zeros((1, 2, 3), np.uint8))


def test_no_scene_at_all_gives_a_composite_of_nothing():
    composite = best_pixel(np.zeros((0, 2, 1, 1), np.int16), np.zeros((0, 1, 1), np.uint8))
    assert composite.bands.ravel().tolist() == [NODATA, NODATA]
    assert composite.observation_count.item() == 0
