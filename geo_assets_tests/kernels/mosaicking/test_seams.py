from collections import defaultdict
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.mosaicking.seams import (
    FLOOR_PX,
    LINES,
    PARTS,
    PROFILE_PX,
    SEGMENT_PX,
    SMALLEST_SEGMENT_PX,
    Beneath,
    Frame,
    changes,
    segment_sums,
)

NODATA = -32768
BESIDE_PX = (-24, -16, -8, 8, 16, 24)


def whole(shape, row=0, col=0):
    return Frame(row, col, (slice(0, shape[0]), slice(0, shape[1])))


def sums_of(values, codes, frame=None, depth=None, stack=None):
    """{key: (counts, sums)} of a window; all sources of a stack are compared."""
    frame = frame or whole(codes.shape)
    codes = codes.astype(np.uint32)
    beneath = None if stack is None else Beneath(stack, NODATA, lambda before, after: range(len(stack)))
    found = defaultdict(lambda: (0, 0))
    for places in changes(codes, np.bitwise_count(codes) if depth is None else depth, frame):
        part = segment_sums(values, codes, places, frame, beneath)
        for key, counts, sums in zip(map(tuple, part.keys.tolist()), part.counts, part.sums, strict=True):
            found[key] = (found[key][0] + counts, found[key][1] + sums)
    return dict(found)


def means(values, codes, frame=None):
    """{(upright, before, after): mean step less its sides}, of windows within one lattice cell."""
    found = sums_of(values, codes, frame)
    return {key[2:]: sums[0] / counts[0] / PARTS for key, (counts, sums) in found.items()}


def slow_sums(values, codes, row, col, stack):
    """What the kernel does, pixel by pixel and in fractions."""
    height, width = codes.shape
    found = defaultdict(lambda: [[0, Fraction(0)] for _ in range(LINES + len(stack))])

    def step(y, x, upright):
        far_y, far_x = (y, x + 1) if upright else (y + 1, x)
        if min(y, x) < 0 or far_y >= height or far_x >= width or 0 in (codes[y, x], codes[far_y, far_x]):
            return None, None
        return int(values[far_y, far_x]) - int(values[y, x]), codes[y, x] != codes[far_y, far_x]

    for y, x, upright in np.ndindex(height, width, 2):
        if not step(y, x, upright)[1]:
            continue
        after = codes[y, x + 1] if upright else codes[y + 1, x]
        lines = found[(y + row) // SEGMENT_PX, (x + col) // SEGMENT_PX, upright, codes[y, x], after]

        def at(offset, y=y, x=x, upright=upright):
            return step(y, x + offset, upright) if upright else step(y + offset, x, upright)

        for line, away in enumerate((0, *FLOOR_PX)):
            value, crossed = at(away)
            beside = [
                other for other, crosses in (at(away + b) for b in BESIDE_PX) if crosses is not None and not crosses
            ]
            if value is not None and len(beside) >= 2 and (line == 0 or not crossed):
                lines[line][0] += 1
                lines[line][1] += value - Fraction(sum(beside), len(beside))
        for line, away in enumerate(PROFILE_PX, 1 + len(FLOOR_PX)):
            value, _ = at(away)
            if value is not None:
                lines[line][0] += 1
                lines[line][1] += value
        far = (y, x + 1) if upright else (y + 1, x)
        for line, source in enumerate(stack, LINES):
            if NODATA not in (source[y, x], source[far]):
                lines[line][0] += 1
                lines[line][1] += at(0)[0] - (int(source[far]) - int(source[y, x]))
    return dict(found)


@st.composite
def mosaics(draw):
    """Values, codes, sources of a window across a corner of lattice cells, too small for a segment to be left out."""
    height, width = draw(st.integers(2, 14)), draw(st.integers(2, 140))
    if draw(st.booleans()):
        height, width = width, height
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    codes = random.choice(np.array([0, 1, 2, 3], np.uint32), (height, width), p=[0.1, 0.5, 0.1, 0.3])
    for _ in range(draw(st.integers(0, 3))):  # some larger areas
        top, left = random.integers(0, height), random.integers(0, width)
        codes[top:, left:] = random.integers(1, 4)
    values = random.integers(-32767, 32768, (height, width)).astype(np.int16)
    stack = random.integers(-32767, 32768, (2, height, width)).astype(np.int16)
    stack[np.stack([codes & 1, codes & 2]) == 0] = NODATA
    return values, codes, stack, int(random.integers(-300, 300)), int(random.integers(-300, 300))


@settings(max_examples=25)
@given(mosaics())
def test_sums_equal_the_slow_reference(mosaic):
    values, codes, stack, row, col = mosaic
    frame = whole(codes.shape, row, col)
    expected = slow_sums(values, codes, row, col, stack)
    found = sums_of(values, codes, frame, stack=stack)
    assert found.keys() == expected.keys()
    for key, (counts, sums) in found.items():
        assert counts.tolist() == [number for number, _ in expected[key]]
        measured = 1 + len(FLOOR_PX)
        assert sums[:measured].tolist() == [total * PARTS for _, total in expected[key][:measured]]
        assert sums[measured:].tolist() == [total for _, total in expected[key][measured:]]


@settings(max_examples=25)
@given(mosaics(), st.data())
def test_windows_add_up_to_the_whole_however_it_is_cut(mosaic, data):
    values, codes, stack, row, col = mosaic
    expected = sums_of(values, codes, whole(codes.shape, row, col), stack=stack)
    found = defaultdict(lambda: [0, 0])
    cuts = [
        sorted({0, size, *data.draw(st.lists(st.integers(1, size - 1), max_size=3))}) for size in codes.shape
    ]  # fmt: skip
    for top, bottom in pairwise(cuts[0]):
        for left, right in pairwise(cuts[1]):
            y, x = max(top - 65, 0), max(left - 65, 0)
            around = np.s_[y : bottom + 65, x : right + 65]
            frame = Frame(row + y, col + x, (slice(top - y, bottom - y), slice(left - x, right - x)))
            window = np.ascontiguousarray(values[around]), codes[around].copy(), frame
            for key, parts in sums_of(*window, stack=np.ascontiguousarray(stack[:, *around])).items():
                found[key] = [have + more for have, more in zip(found[key], parts, strict=True)]
    assert found.keys() == expected.keys()
    for key, (counts, sums) in expected.items():
        assert_array_equal(found[key][0], counts)
        assert_array_equal(found[key][1], sums)


def halves(shape=(256, 256), at=128):
    codes = np.ones(shape, np.uint32)
    codes[:, at:] = 3
    return codes


@pytest.mark.parametrize("k", [-700, -1, 1, 37])
def test_on_level_ground_a_step_is_found_exactly(k):
    codes = halves()
    values = np.where(codes == 3, 2000 + k, 2000).astype(np.int16)
    assert means(values, codes) == {(1, 1, 3): k}
    assert means(values.T.copy(), codes.T.copy()) == {(0, 1, 3): k}


def test_a_slope_is_no_seam():
    codes = halves()
    values = np.broadcast_to(7 * np.arange(256), codes.shape).astype(np.int16)
    assert means(values, codes) == {(1, 1, 3): 0}


def test_a_step_is_found_in_noise_and_texture():
    draw = np.random.default_rng(1)
    codes = halves()
    values = (2000 + np.where(codes == 3, 25, 0) + 30 * draw.standard_normal(codes.shape)).astype(np.int16)
    # 30 counts of noise, two pixels and two times six sixths of a step, over 256 steps
    assert_allclose(means(values, codes)[1, 1, 3], 25, atol=3 * 30 * (2 + 2 / 6) ** 0.5 / 16)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_what_a_source_steps_itself_is_told_from_what_the_mosaic_adds(dtype):
    codes = halves()
    own = np.where(codes == 3, 2400, 2000).astype(dtype)
    other = np.where(codes == 3, 5, NODATA).astype(dtype)
    values = np.where(codes == 3, own + 7, own).astype(dtype)
    counts, sums = sums_of(values, codes, stack=np.stack([own, other]))[0, 0, 1, 1, 3]
    assert sums[0] == 407 * 256 * PARTS
    assert counts[LINES:].tolist() == [256, 0]
    assert sums[LINES:].tolist() == [7 * 256, 0]


def test_a_slanted_edge_of_a_hole_is_measured_in_both_directions():
    down, right = np.mgrid[:256, :256]
    codes = np.where(right > down, 3, 1).astype(np.uint32)
    values = np.where(codes == 3, 2040, 2000).astype(np.int16)
    assert means(values, codes) == {(1, 1, 3): 40, (0, 3, 1): -40}


def test_both_edges_of_a_hole_have_segments_of_their_own():
    codes = np.full((256, 256), 3, np.uint32)
    codes[40:200, 90:160] = 1
    values = np.where(codes == 3, 2040, 2000).astype(np.int16)
    assert means(values, codes) == {(1, 3, 1): -40, (1, 1, 3): 40, (0, 3, 1): -40, (0, 1, 3): 40}


def test_where_data_end_is_no_seam():
    codes = halves()
    codes[codes == 3] = 0
    assert sums_of(np.zeros(codes.shape, np.int16), codes) == {}


def test_a_short_segment_is_left_out_once_no_other_window_can_add_to_it():
    short = SMALLEST_SEGMENT_PX - 1
    codes = np.ones((300, 300), np.uint32)
    codes[:short, 100] = 3
    values = np.zeros(codes.shape, np.int16)
    assert sums_of(values, codes).keys() == set()
    codes[short, 100] = 3
    assert {key[2] for key in sums_of(values, codes)} == {1}
    assert len(sums_of(values[:200, :200].copy(), codes[:200, :200].copy())) == 3  # the window holds no whole cell


def test_floats_with_a_wrong_hole_keep_it_to_themselves():
    codes = halves()
    values = np.where(codes == 3, 0.25, 0.0).astype(np.float32)
    values[100, 127] = np.nan
    counts, sums = sums_of(values, codes)[0, 0, 1, 1, 3]
    assert counts[0] == 255
    assert sums[0] == PARTS * 0.25 * 255


def test_a_window_with_its_inner_part_outside_is_refused():
    codes = halves()
    with pytest.raises(GridMismatchError, match="expected a part of 256 x 256"):
        next(changes(codes, np.ones(codes.shape, np.uint8), Frame(0, 0, (slice(0, 257), slice(0, 256)))))
    with pytest.raises(GridMismatchError, match="depth"):
        next(changes(codes, np.ones((3, 3), np.uint8), whole(codes.shape)))
