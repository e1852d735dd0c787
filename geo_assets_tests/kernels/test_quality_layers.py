import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.bands import SCL_NAMES
from geo_assets.domain.errors import DetectorError, GridMismatchError
from geo_assets.kernels.quality import MaskCode
from geo_assets.kernels.quality_layers import (
    FmaskEncoding,
    fmask_codes,
    hls_quality,
    mcd43a4_codes,
    mcd43a4_quality,
    msk_classi_codes,
    omnicloudmask_codes,
    scl_codes,
    scl_quality,
)

CLEAR, CLOUD, SHADOW, SNOW, WATER, FILL = MaskCode
EVERY_VALUE = np.arange(256, dtype=np.uint8)


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
