import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.mosaicking.mosaic_figures import contributors, fidelity_sums
from geo_assets.kernels.mosaicking.seams import Frame

NODATA = -32768


def whole(shape, row=0):
    return Frame(row, 0, (slice(0, shape[-2]), slice(0, shape[-1])))


def fidelity(mosaic, stack, nodata=NODATA, frame=None):
    return fidelity_sums(mosaic, stack, nodata, contributors(stack, nodata), frame or whole(mosaic.shape))


def is_valid(values, nodata):
    return (values == values) & (values != nodata)


@st.composite
def stacks(draw, dtypes=("int16", "float32")):
    """Sources with holes, a mosaic that is mostly their mean, and the nodata of both."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    sources, height, width = draw(st.integers(1, 5)), draw(st.integers(1, 12)), draw(st.integers(1, 90))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodata = {"int16": NODATA, "float32": np.nan}[dtype.name]
    low, high = {"int16": (-32767, 32768), "float32": (-1e4, 1e4)}[dtype.name]
    stack = random.uniform(low, high, (sources, height, width)).astype(dtype)
    areas = np.kron(random.random((sources, 2, 3)) < 0.3, np.ones((6, 30), bool))[:, :height, :width]
    stack[areas] = nodata
    known = is_valid(stack, nodata)
    total = np.where(known, stack, 0).astype(np.float64).sum(axis=0)
    mean = np.floor(total / np.maximum(known.sum(axis=0), 1) + (dtype.kind != "f") / 2)
    mosaic = np.where(known.any(axis=0), mean, nodata).astype(dtype)
    wrong = random.random((height, width)) < 0.05
    mosaic[wrong] = random.uniform(low, high, int(wrong.sum())).astype(dtype)
    return stack, mosaic, nodata


def sets_of(found):
    return [[found.members(int(code)) if code else () for code in row] for row in found.codes]


def slow_sets(valid):
    return [
        [tuple(np.flatnonzero(valid[:, y, x]).tolist()) for x in range(valid.shape[2])] for y in range(len(valid[0]))
    ]


@settings(max_examples=30)
@given(stacks())
def test_contributors_are_the_sources_with_a_value_and_the_first_wins_the_hard_edge(given_stack):
    stack, _, nodata = given_stack
    valid = is_valid(stack, nodata)
    found = contributors(stack, nodata)
    assert sets_of(found) == slow_sets(valid)
    assert_array_equal(found.depth, valid.sum(axis=0))
    some = valid.any(axis=0)
    assert_array_equal(found.first, np.where(some, valid.argmax(axis=0) + 1, 0))
    first = np.take_along_axis(stack, valid.argmax(axis=0)[np.newaxis], axis=0)[0]
    assert_array_equal(found.hard, np.where(some, first, np.asarray(nodata).astype(stack.dtype)))


def test_sets_of_more_sources_than_a_code_has_bits_are_told_apart():
    random = np.random.default_rng(3)
    stack = random.integers(0, 3, (40, 9, 11)).astype(np.int16) - 1
    stack[:, 0, 0] = -1
    found = contributors(stack, -1)
    assert sets_of(found) == slow_sets(stack != -1)
    assert found.codes[0, 0] == 0


@settings(max_examples=30)
@given(stacks(), st.integers(-9, 9))
def test_sums_equal_the_slow_reference(given_stack, lattice_row):
    stack, mosaic, nodata = given_stack
    valid, known = is_valid(stack, nodata), is_valid(mosaic, nodata)
    depth = valid.sum(axis=0)
    found = fidelity(mosaic, stack, nodata, whole(mosaic.shape, lattice_row))
    wide = stack.astype(np.float64)
    low, high = (extreme.reduce(np.where(valid, wide, -sign * np.inf), axis=0) for extreme, sign in
                 ((np.minimum, -1), (np.maximum, 1)))  # fmt: skip
    outside = known & (depth > 0) & ((mosaic < low) | (mosaic > high))
    assert_array_equal(
        found.faults,
        [
            (depth > 1).sum(),
            (outside & (depth == 1)).sum(),
            (known != (depth > 0)).sum(),
            (outside & (depth > 1)).sum(),
        ],
    )
    for i, j in np.ndindex(len(stack), len(stack)):
        both = valid[i] & valid[j] & (i < j)
        difference = (wide[i] - wide[j])[both]
        assert_allclose(found.pairs[i, j], [both.sum(), difference.sum(), (difference**2).sum()], rtol=1e-12)
    same = (valid[:, :-1, :-1] == valid[:, 1:, :-1]).all(axis=0) & (valid[:, :-1, :-1] == valid[:, :-1, 1:]).all(axis=0)

    def energy(values):
        return (values[1:, :-1] - values[:-1, :-1]) ** 2 + (values[:-1, 1:] - values[:-1, :-1]) ** 2

    for number in range(2, len(stack) + 1):
        here = same & (depth[:-1, :-1] == number) & known[:-1, :-1]
        expected = sum(energy(one)[same & (depth[:-1, :-1] == number) & has[:-1, :-1]].sum()
                       for one, has in zip(wide, valid, strict=True))  # fmt: skip
        assert_allclose(found.edges[number], [np.nansum(energy(mosaic.astype(np.float64))[here]), expected], rtol=1e-6)


def test_an_average_is_no_fault_and_each_fault_is_counted_once():
    stack = np.full((2, 4, 6), 100, np.int16)
    stack[1] = 105
    stack[0, :, 4:], stack[1, :, 0] = NODATA, NODATA
    mosaic = np.full((4, 6), 103, np.int16)
    mosaic[:, 0], mosaic[:, 4:] = 100, 105
    assert fidelity(mosaic, stack).faults.tolist() == [12, 0, 0, 0]
    mosaic[0, 0], mosaic[1, 1], mosaic[2, 2], mosaic[3, 5] = 101, NODATA, 106, NODATA
    assert fidelity(mosaic, stack).faults.tolist() == [12, 1, 2, 1]


def test_integers_without_nodata_are_valid_everywhere():
    stack = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    assert (contributors(stack, np.nan).depth == 2).all()
    assert (contributors(stack, 99_999).depth == 2).all()


def test_pairs_of_many_sources_are_compared_in_every_eighth_row_of_the_lattice():
    stack = np.zeros((9, 20, 5), np.int16)
    pairs = fidelity(stack[0], stack, frame=whole(stack.shape, row=-3)).pairs
    assert pairs[0, 8, 0] == 3 * 5  # lattice rows 0, 8 and 16 of -3 to 16
    assert fidelity(stack[0], stack[:8].copy()).pairs[0, 7, 0] == 100


def test_a_mosaic_of_another_dtype_is_refused():
    stack = np.zeros((2, 3, 4), np.int16)
    with pytest.raises(GridMismatchError, match="mosaic"):
        fidelity(np.zeros((3, 4), np.int32), stack)
