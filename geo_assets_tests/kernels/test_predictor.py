"""TIFF's predictors, made and undone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.predictor import (
    padded_differences,
    padded_float_differences,
    undo_differences,
    undo_float_differences,
)

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]
shapes = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 4))


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes)))
def test_sums_equal_numpys_and_wrap_round_like_them(differences):
    expected = np.cumsum(differences, axis=1, dtype=differences.dtype)
    undo_differences(differences)
    np.testing.assert_array_equal(differences, expected)


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes)))
def test_differences_undone_are_the_values(values):
    differences = np.diff(values, axis=1, prepend=np.zeros_like(values[:, :1]))
    undo_differences(differences)
    np.testing.assert_array_equal(differences, values)


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.integers(0, 9), st.integers(0, 9))
def test_rows_may_be_undone_one_by_one(differences, first, count):
    some = slice(first, first + count)
    expected = differences.copy()
    expected[some] = np.cumsum(differences, axis=1, dtype=np.uint16)[some]
    undo_differences(differences, rows=some)
    np.testing.assert_array_equal(differences, expected)


def test_a_sample_of_a_block_of_many_may_be_undone_alone():
    differences = np.arange(60, dtype=np.uint16).reshape(4, 5, 3)
    expected = np.cumsum(differences, axis=1, dtype=np.uint16)
    undo_differences(differences[:, :, 1])
    np.testing.assert_array_equal(differences[:, :, 1], expected[:, :, 1])


def slow_float_differences(values, samples):
    """As the Technical Note has it: the bytes of a row by significance, each less the one `samples` before it."""
    rows = []
    for row in values:
        planes = row.astype(">f4").view(np.uint8).reshape(-1, 4).T.ravel()
        rows.append(
            [(int(planes[at]) - int(planes[at - samples]) * (at >= samples)) % 256 for at in range(planes.size)]
        )
    return np.array(rows, np.uint8)


@given(hnp.arrays(np.float32, shapes))
def test_floats_come_back_bit_by_bit(values):
    rows, cols, samples = values.shape
    lines = values.reshape(rows, cols * samples)
    found = undo_float_differences(slow_float_differences(lines, samples), samples=samples)
    np.testing.assert_array_equal(found.view(np.uint32), lines.view(np.uint32))


def test_golden_floats():
    # 1.0 is 3f 80 00 00 and -2.0 is c0 00 00 00: first bytes 3f c0, second 80 00, then zeros; then differences.
    stored = np.array([[0x3F, 0x81, 0xC0, 0x80, 0x00, 0x00, 0x00, 0x00]], np.uint8)
    assert undo_float_differences(stored, samples=1).tolist() == [[1.0, -2.0]]


def test_other_shapes_and_kinds_are_refused():
    with pytest.raises(GridMismatchError, match="block"):
        undo_differences(np.zeros(3, np.uint8))
    with pytest.raises(GridMismatchError, match="stored"):
        undo_float_differences(np.zeros((3, 4), np.uint16), samples=1)


@settings(max_examples=50)
@given(
    st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, st.tuples(st.integers(1, 5), st.integers(1, 5))))
)
def test_differences_of_part_of_a_block_undone_are_the_values_and_fill_around_them(values):
    differences = padded_differences(values, fill=7, block_px=5)
    expected = np.full((5, 5), 7, values.dtype)
    expected[: values.shape[0], : values.shape[1]] = values
    assert (differences is None) == (expected == 7).all()
    if differences is not None:
        undo_differences(differences)
        np.testing.assert_array_equal(differences.view(values.dtype), expected)


@settings(max_examples=50)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 5))), st.sampled_from([np.nan, -1.0]))
def test_float_differences_of_part_of_a_block_undone_are_the_values_and_fill_around_them(values, fill):
    differences = padded_float_differences(values, fill=fill, block_px=5)
    expected = np.full((5, 5), fill, np.float32)
    expected[: values.shape[0], : values.shape[1]] = values
    assert (differences is None) == bool((np.isnan(values) if np.isnan(fill) else values == fill).all())
    if differences is not None:
        np.testing.assert_array_equal(undo_float_differences(differences, samples=1), expected)


@pytest.mark.parametrize("shape", [(6, 5), (5, 6), (0, 5), (5, 0)])
def test_what_is_no_part_of_a_block_is_refused(shape):
    with pytest.raises(GridMismatchError, match="expected 1 to 5 rows and columns"):
        padded_differences(np.zeros(shape, np.int16), fill=0, block_px=5)
    with pytest.raises(GridMismatchError, match="expected 1 to 5 rows and columns"):
        padded_float_differences(np.zeros(shape, np.float32), fill=0, block_px=5)
