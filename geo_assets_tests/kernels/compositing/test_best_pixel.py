import numpy as np
from hypothesis import given, settings
from numpy.testing import assert_array_equal

from geo_assets.kernels.compositing.methods import composite
from geo_assets.kernels.compositing.observations import Observations
from geo_assets_tests.scenery import references
from geo_assets_tests.scenery.strategies import stacks

NODATA, NONE = -32768, 255
LAYERS = ("bands", "quality", "observation_count", "source")


def best_pixel(reflectance, quality):
    return composite(Observations(reflectance, quality, np.arange(len(quality))), "best_pixel")


def layers(made):
    return [getattr(made, name) for name in LAYERS]


@settings(max_examples=50)
@given(stacks())
def test_best_pixel_equals_the_slow_reference(stack):
    made = best_pixel(*stack)
    for layer, slow in zip(layers(made), references.best_pixel(*stack), strict=True):
        assert_array_equal(layer, slow)
    assert [layer.dtype for layer in layers(made)] == [np.int16, np.uint8, np.uint8, np.uint8]


@settings(max_examples=30)
@given(stacks())
def test_every_pixel_is_one_scenes_whole_spectrum_or_none(stack):
    reflectance, _ = stack
    made = best_pixel(*stack)
    for row, col in np.ndindex(made.source.shape):
        spectrum, source = made.bands[:, row, col], made.source[row, col]
        if source == NONE:
            assert (spectrum == NODATA).all()
        else:
            assert_array_equal(spectrum, reflectance[source, :, row, col])
            assert (spectrum != NODATA).all()


def test_a_gap_in_one_band_sends_the_whole_pixel_to_the_next_scene():
    reflectance = np.array([[100, NODATA], [300, 400]], np.int16).reshape(2, 2, 1, 1)
    made = best_pixel(reflectance, np.array([0, 2], np.uint8).reshape(2, 1, 1))
    assert made.bands.ravel().tolist() == [300, 400]
    assert (made.quality.item(), made.observation_count.item(), made.source.item()) == (2, 1, 1)


def test_the_golden_composite_of_three_scenes():
    quality = np.array([[[0, 1, 255, 2]], [[0, 0, 255, 1]], [[1, 0, 0, 1]]], np.uint8)
    reflectance = np.array([[[[1, 2, 3, 4]]], [[[11, 12, 13, 14]]], [[[21, 22, NODATA, 24]]]], np.int16)
    made = best_pixel(reflectance, quality)
    assert made.bands.tolist() == [[[1, 12, NODATA, 14]]]
    assert made.quality.tolist() == [[0, 0, NONE, 1]]
    assert made.observation_count.tolist() == [[3, 3, 0, 3]]
    assert made.source.tolist() == [[0, 1, NONE, 1]]


def test_among_equals_rank_decides_not_the_day():
    reflectance = np.array([[[[7]]], [[[8]]]], np.int16)
    later_first = Observations(reflectance, np.zeros((2, 1, 1), np.uint8), np.array([9, 3]))
    assert composite(later_first, "best_pixel").bands.item() == 7
