from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import DetectorError, GridMismatchError, RegionError
from geo_assets.kernels.quality import (
    DetectorBit,
    MaskCode,
    Quality,
    buffer,
    fuse_codes,
    most_restrictive,
    usable_quality,
)
from geo_assets.kernels.quality_layers import scl_codes, scl_quality
from geo_assets_tests.scenery.strategies import flags, mask_codes, windows

CLEAR, CLOUD, SHADOW, SNOW, WATER, FILL = MaskCode
EVERY_CODE = np.array([*MaskCode], np.uint8)


def test_the_golden_fusion_of_every_pair_of_codes():
    first, second = (np.ascontiguousarray(codes) for codes in np.meshgrid(EVERY_CODE, EVERY_CODE))
    fused = fuse_codes([(DetectorBit.QUALITY_LAYER, first), (DetectorBit.S2CLOUDLESS, second)])
    assert fused.codes.tolist() == [
        [0, 1, 2, 3, 4, 255],
        [1, 1, 1, 1, 1, 255],
        [2, 1, 2, 2, 2, 255],
        [3, 1, 2, 3, 3, 255],
        [4, 1, 2, 3, 4, 255],
        [255, 255, 255, 255, 255, 255],
    ]
    assert fused.detectors.tolist() == [
        [0, 1, 1, 0, 0, 255],
        [2, 3, 3, 2, 2, 255],
        [2, 3, 3, 2, 2, 255],
        [0, 1, 1, 0, 0, 255],
        [0, 1, 1, 0, 0, 255],
        [255, 255, 255, 255, 255, 255],
    ]


@settings(max_examples=30)
@given(st.lists(mask_codes((3, 4)), min_size=3, max_size=3))
def test_the_order_of_detectors_is_irrelevant(found):
    detections = list(zip(DetectorBit, found, strict=False))
    fused = fuse_codes(detections)
    for shuffled in permutations(detections):
        again = fuse_codes(shuffled)
        assert_array_equal(again.codes, fused.codes)
        assert_array_equal(again.detectors, fused.detectors)


@settings(max_examples=30)
@given(mask_codes((3, 4)))
def test_one_detector_alone_is_fused_into_itself_and_left_as_it_was(found):
    before = found.copy()
    assert_array_equal(fuse_codes([(DetectorBit.PLUG_IN, found)]).codes, found)
    assert_array_equal(found, before)


def test_a_detectors_unknown_code_is_refused_by_its_name():
    with pytest.raises(DetectorError, match=r"EMBEDDED_FMASK: found the value 7"):
        fuse_codes([(DetectorBit.EMBEDDED_FMASK, np.full((2, 2), 7, np.uint8))])


def test_detectors_on_different_windows_are_refused():
    one, other = np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)
    with pytest.raises(GridMismatchError, match="S2CLOUDLESS"):
        fuse_codes([(DetectorBit.QUALITY_LAYER, one), (DetectorBit.S2CLOUDLESS, other)])


def test_fusing_no_detector_is_refused():
    with pytest.raises(DetectorError, match="found no detector"):
        fuse_codes([])


def runs_within(length):
    """(first, stop) of a few runs of indices that may overlap."""
    ends = st.tuples(st.integers(0, length - 1), st.integers(1, length))
    return st.lists(ends.filter(lambda run: run[0] < run[1]), min_size=1, max_size=4)


@settings(max_examples=50)
@given(mask_codes((7, 9)), runs_within(7), runs_within(9))
def test_a_larger_pixel_has_the_most_restrictive_code_that_lies_in_it(codes, rows, cols):
    cells = most_restrictive(codes, tuple(np.array(rows).T), tuple(np.array(cols).T))
    for (row, (top, bottom)), (col, (left, right)) in product(enumerate(rows), enumerate(cols)):
        inside = codes[top:bottom, left:right]
        assert cells[row, col] == next(code for code in (CLOUD, SHADOW, SNOW, WATER, CLEAR, FILL) if code in inside)


@given(windows().flatmap(flags), st.sampled_from([0, 0.5, 1, 1.5, 2, 2.9, 4]))
def test_a_buffer_is_every_pixel_within_reach(flag, radius_px):
    near = np.zeros_like(flag)
    for row, col in np.ndindex(flag.shape):
        away = np.argwhere(flag) - (row, col)
        near[row, col] = ((away**2).sum(axis=1) <= radius_px**2).any()
    assert_array_equal(buffer(flag, radius_px=radius_px), near)


def test_the_golden_buffer_is_a_disk():
    speck = np.zeros((7, 7), bool)
    speck[3, 3] = True
    drawn = [
        ".......",
        "...#...",
        "..###..",
        ".#####.",
        "..###..",
        "...#...",
        ".......",
    ]
    assert_array_equal(buffer(speck, radius_px=2), [[pixel == "#" for pixel in row] for row in drawn])


def test_a_negative_buffer_is_refused():
    with pytest.raises(RegionError, match="at least 0"):
        buffer(np.zeros((2, 2), bool), radius_px=-1)


def test_cloud_shadow_and_fill_are_unusable_snow_and_water_are_clear():
    assert usable_quality(EVERY_CODE).tolist() == [0, 255, 255, 0, 0, 255]


def test_what_is_not_dropped_is_dark_and_fill_is_always_dropped():
    assert usable_quality(EVERY_CODE, drop=()).tolist() == [0, 2, 2, 0, 0, 255]
    assert usable_quality(EVERY_CODE, drop=[SNOW]).tolist() == [0, 2, 2, 255, 0, 255]


def test_the_archives_quality_is_kept_where_the_mask_leaves_the_pixel():
    base = np.array([1, 0, 2, 2, 255, 0], np.uint8)
    assert usable_quality(EVERY_CODE, base).tolist() == [1, 255, 255, 2, 255, 255]


def test_the_archives_quality_of_another_window_is_refused():
    with pytest.raises(GridMismatchError, match="'base_quality'"):
        usable_quality(EVERY_CODE, EVERY_CODE[:3])


def test_cloud_that_is_kept_on_purpose_is_a_dark_observation_also_by_the_archive_s_layer():
    scl = np.array([[4, 9, 3, 0]], np.uint8)
    kept = usable_quality(scl_codes(scl), scl_quality(scl), drop=())
    assert_array_equal(kept, [[Quality.CLEAR, Quality.DARK, Quality.DARK, Quality.NONE]])
