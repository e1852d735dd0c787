from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.bands import SCL_NAMES
from geo_assets.domain.errors import DetectorError, GridMismatchError, RegionError
from geo_assets.kernels.quality import (
    DetectorBit,
    FmaskEncoding,
    MaskCode,
    Quality,
    buffer,
    fmask_codes,
    fuse_codes,
    hls_quality,
    mcd43a4_codes,
    mcd43a4_quality,
    most_restrictive,
    msk_classi_codes,
    omnicloudmask_codes,
    scl_codes,
    scl_quality,
    usable_quality,
)
from geo_assets_tests.scenery.strategies import flags, mask_codes, windows

CLEAR, CLOUD, SHADOW, SNOW, WATER, FILL = MaskCode
EVERY_VALUE = np.arange(256, dtype=np.uint8)
EVERY_CODE = np.array([*MaskCode], np.uint8)


def each(kernel, *arguments):
    """{value: its translation, or None where it is refused} for all 256 values."""
    translations = {}
    for value in EVERY_VALUE:
        try:
            translations[int(value)] = kernel(np.array([[value]]), *arguments).item()
        except DetectorError:
            translations[int(value)] = None
    return translations


def unless_listed(listed, otherwise=None):
    return {value: listed.get(value, otherwise) for value in range(256)}


def test_every_value_of_the_scene_classification_has_its_code_or_is_refused():
    known = {0: FILL, 1: FILL, 2: CLEAR, 3: SHADOW, 4: CLEAR, 5: CLEAR}
    known |= {6: WATER, 7: CLEAR, 8: CLOUD, 9: CLOUD, 10: CLOUD, 11: SNOW}
    assert set(known) == set(SCL_NAMES)
    assert each(scl_codes) == unless_listed(known)


def test_every_value_of_the_scene_classification_has_its_quality():
    known = {4: 0, 5: 0, 6: 0, 11: 0, 7: 1, 2: 2, 3: 2}
    assert each(scl_quality) == unless_listed(known, otherwise=255)


def test_what_is_unusable_by_quality_is_fill_or_cloud_by_code():
    scl = np.arange(12, dtype=np.uint8)
    assert_array_equal(scl_quality(scl) == 255, np.isin(scl_codes(scl), [FILL, CLOUD]))


def test_every_value_of_fmask_4_has_its_code_or_is_refused():
    known = {0: CLEAR, 1: WATER, 2: SHADOW, 3: SNOW, 4: CLOUD, 255: FILL}
    assert each(fmask_codes, FmaskEncoding.FMASK4) == unless_listed(known)


def test_every_value_of_python_fmask_has_its_code_or_is_refused():
    known = {0: FILL, 1: CLEAR, 2: CLOUD, 3: SHADOW, 4: SNOW, 5: WATER}
    assert each(fmask_codes, FmaskEncoding.PYTHON_FMASK) == unless_listed(known)


def test_every_value_of_the_hls_layer_is_decoded_bit_by_bit():
    decoded = each(fmask_codes, FmaskEncoding.HLS_BITS)
    assert decoded.pop(255) == FILL
    for value, code in decoded.items():
        cirrus, cloud, _, shadow, snow, water = (bool(value >> bit & 1) for bit in range(6))
        ranked = [(cirrus or cloud, CLOUD), (shadow, SHADOW), (snow, SNOW), (water, WATER), (True, CLEAR)]
        assert code == next(code for present, code in ranked if present)


def test_every_value_of_the_hls_layer_has_its_quality():
    decoded = each(hls_quality)
    assert decoded.pop(255) == 255
    for value, quality in decoded.items():
        cirrus, cloud, adjacent, shadow, snow, _ = (bool(value >> bit & 1) for bit in range(6))
        ranked = [(cloud, 255), (cirrus or shadow, 2), (adjacent or snow or value >> 6 in (2, 3), 1), (True, 0)]
        assert quality == next(quality for present, quality in ranked if present)


def each_layer(kernel):
    """`each` of a kernel that takes several layers, for one."""
    return each(lambda value: kernel(value[np.newaxis]))


def test_every_value_of_the_quality_of_mcd43a4_has_its_code_and_its_quality():
    assert each_layer(mcd43a4_codes) == unless_listed({0: CLEAR, 1: CLEAR, 255: FILL})
    assert each_layer(mcd43a4_quality) == unless_listed({0: 0, 1: 1}, otherwise=255)


@given(st.lists(st.tuples(*[st.sampled_from((0, 1, 255))] * 3), min_size=1, max_size=5))
def test_the_worst_band_of_mcd43a4_decides(pixels):
    layers = np.array(pixels, np.uint8).T[:, np.newaxis]
    worst = [max(layer) for layer in pixels]
    assert mcd43a4_quality(layers).tolist() == [worst]
    assert mcd43a4_codes(layers).tolist() == [[255 if value == 255 else 0 for value in worst]]


def test_mcd43a4_without_a_quality_layer_is_refused():
    with pytest.raises(GridMismatchError, match="found no layer"):
        mcd43a4_quality(np.zeros((0, 2, 2), np.uint8))


@pytest.mark.parametrize(("layer", "means"), [(0, CLOUD), (1, CLOUD), (2, SNOW)])
def test_every_value_of_each_layer_of_the_classification_mask_has_its_code_or_is_refused(layer, means):
    def alone(value):
        layers = np.zeros((3, 1, 1), np.uint8)
        layers[layer] = value
        return msk_classi_codes(layers)

    assert each(alone) == unless_listed({0: CLEAR, 1: means})


def test_cloud_outranks_snow_in_the_classification_mask():
    opaque, cirrus, snow = np.indices((2, 2, 2), np.uint8).reshape(3, 1, 8)
    expected = [CLEAR, SNOW, CLOUD, CLOUD, CLOUD, CLOUD, CLOUD, CLOUD]
    assert msk_classi_codes(np.stack([opaque, cirrus, snow])).tolist() == [expected]


def test_a_classification_mask_of_one_layer_is_refused():
    with pytest.raises(GridMismatchError, match="MSK_CLASSI"):
        msk_classi_codes(np.zeros((1, 2, 2), np.uint8))


def test_every_value_of_omnicloudmask_has_its_code_or_is_refused():
    assert each(omnicloudmask_codes) == unless_listed({0: CLEAR, 1: CLOUD, 2: CLOUD, 3: SHADOW})


def test_cloud_in_fmask_4_is_not_read_as_bits():
    assert fmask_codes(np.array([4], np.uint8), FmaskEncoding.FMASK4).item() == CLOUD
    assert fmask_codes(np.array([4], np.uint8), FmaskEncoding.HLS_BITS).item() == CLEAR


def test_a_refusal_names_the_layer_the_value_and_what_was_expected():
    with pytest.raises(DetectorError, match=r"\(SCL\): found the value 12, expected one of 0, 1, .*, 11\."):
        scl_codes(np.array([[4, 12, 5]], np.uint8))
    with pytest.raises(DetectorError, match=r"\(python_fmask\): found the value 6, expected one of 0, .*, 5\."):
        fmask_codes(np.array([[6]], np.uint8), FmaskEncoding.PYTHON_FMASK)


def test_codes_that_are_not_bytes_are_refused():
    with pytest.raises(GridMismatchError, match="found int16"):
        scl_codes(np.zeros((2, 2), np.int16))


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
