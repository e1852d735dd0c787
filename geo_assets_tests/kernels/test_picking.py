import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.picking import (
    bilinear_taps,
    edges_of,
    holds_wanted,
    nearest_taps,
    pick_reflectance,
    run_taps,
    sample_classes,
    sample_validity,
    wanted_sources,
    whole_block,
)

NODATA = -32768


@st.composite
def rasters(draw):
    """(stored counts, nodata) with holes, in one of the dtypes that archives have."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    dtype, nodata = draw(st.sampled_from([(np.uint16, 0), (np.int16, -9999)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    stored = random.integers(1, 12_000, (height, width)).astype(dtype)
    stored[random.random((height, width)) < draw(st.sampled_from([0.0, 0.2, 0.9]))] = nodata
    return stored, nodata


@st.composite
def axes(draw, length):
    """Centres of output pixels along an axis of `length` stored ones, reaching beyond it on both sides."""
    step = draw(st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 0.7, 1 / 3]))
    first = draw(st.sampled_from([-2.0, -0.5, 0.0, 0.1, 0.5, 1.0]))
    number = int((length + 3) / step) + 1
    return first + (np.arange(number) + 0.5) * step


@st.composite
def pictures(draw):
    stored, nodata = draw(rasters())
    return stored, nodata, draw(axes(stored.shape[0])), draw(axes(stored.shape[1]))


def slow_bilinear(stored, nodata, row, col, offset):
    """One output pixel in float64: None outside, and where the stored pixel that holds the place is nodata."""
    height, width = stored.shape
    if not (-1e-6 <= row <= height + 1e-6 and -1e-6 <= col <= width + 1e-6):
        return None
    near = []
    for place, length in ((row, height), (col, width)):
        place = min(max(place - 0.5, 0), length - 1)
        if abs(place - round(place)) < 1e-6:
            place = round(place)
        first = math.floor(place)
        near.append([(first, 1 - (place - first)), (min(first + 1, length - 1), place - first)])
    own = tuple(pair[1][0] if pair[1][1] >= 0.5 else pair[0][0] for pair in near)
    if stored[own] == nodata:
        return None
    total = weights = 0.0
    for r, down in near[0]:
        for c, across in near[1]:
            if stored[r, c] != nodata:
                total += down * across * float(stored[r, c])
                weights += down * across
    return total / weights + offset


def differences(stored):
    """TIFF predictor 2."""
    shifted = stored.copy()
    shifted[:, 1:] -= stored[:, :-1]
    return shifted


def picked(blocks, rows, cols, shape, nodata, *, offset=0, wanted=None):
    reflectance = np.full(shape, NODATA, np.int16)
    wanted = np.zeros(shape, np.int16) if wanted is None else wanted
    for block in blocks:
        pick_reflectance(
            block, rows, cols, (*rows.within(*block.rows), *cols.within(*block.cols)),
            wanted=wanted, source=0, offset_dn=offset, nodata=nodata, reflectance=reflectance,
        )  # fmt: skip
    return reflectance


@given(pictures(), st.sampled_from([0, -1000]), st.booleans())
def test_picked_pixels_equal_the_slow_bilinear_reference(picture, offset, predicted):
    stored, nodata, row_centres, col_centres = picture
    rows, cols = bilinear_taps(row_centres, stored.shape[0]), bilinear_taps(col_centres, stored.shape[1])
    block = whole_block(differences(stored) if predicted else stored.copy(), 0, 0, predicted=predicted)
    found = picked([block], rows, cols, (len(row_centres), len(col_centres)), nodata, offset=offset)
    for (row, col), value in np.ndenumerate(found):
        expected = slow_bilinear(stored, nodata, row_centres[row], col_centres[col], offset)
        if expected is None:
            assert value == NODATA
        else:
            assert abs(value - expected) <= 0.51  # half a count, and what float32 rounds


@given(pictures())
def test_pixels_that_are_not_wanted_stay_as_they_are(picture):
    stored, nodata, row_centres, col_centres = picture
    rows, cols = bilinear_taps(row_centres, stored.shape[0]), bilinear_taps(col_centres, stored.shape[1])
    shape = (len(row_centres), len(col_centres))
    wanted = np.random.default_rng(5).integers(-1, 2, shape).astype(np.int16)
    found = picked([whole_block(stored, 0, 0)], rows, cols, shape, nodata, wanted=wanted)
    everywhere = picked([whole_block(stored, 0, 0)], rows, cols, shape, nodata)
    assert_array_equal(found, np.where(wanted == 0, everywhere, NODATA))


@given(pictures(), st.data())
def test_blocks_with_their_seams_give_what_the_whole_raster_gives(picture, data):
    stored, nodata, row_centres, col_centres = picture
    height, width = stored.shape
    down, across = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    rows, cols = bilinear_taps(row_centres, height), bilinear_taps(col_centres, width)
    shape = (len(row_centres), len(col_centres))
    blocks = [
        whole_block(stored[top : top + down, left : left + across].copy(), top, left)
        for top in range(0, height, down)
        for left in range(0, width, across)
    ]
    found = picked(blocks, rows, cols, shape, nodata)
    everything = {"wanted": np.zeros(shape, np.int16), "source": 0, "offset_dn": 0, "nodata": nodata}
    for border in range(down, height, down):
        strip = whole_block(stored[border - 1 : border + 1].copy(), border - 1, 0)
        rectangle = (*rows.straddling(border), *cols.within(0, width))
        pick_reflectance(strip, rows, cols, rectangle, **everything, reflectance=found)
    for border in range(across, width, across):
        strip = whole_block(stored[:, border - 1 : border + 1].copy(), 0, border - 1)
        rectangle = (*rows.within(0, height), *cols.straddling(border))
        pick_reflectance(strip, rows, cols, rectangle, **everything, reflectance=found)
    assert_array_equal(found, picked([whole_block(stored, 0, 0)], rows, cols, shape, nodata))


@given(st.integers(1, 30), st.data())
def test_taps_are_found_where_they_lie(length, data):
    centres = data.draw(axes(length))
    taps = data.draw(st.sampled_from([bilinear_taps, nearest_taps]))(centres, length)
    first = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(first + 1, length))
    has_tap = [index for index in range(taps.begin, taps.end) for tap in {taps.first[index], taps.second[index]}
               if first <= tap < end]  # fmt: skip
    all_taps = [index for index in range(taps.begin, taps.end)
                if first <= taps.first[index] and taps.second[index] < end]  # fmt: skip
    astride = [index for index in range(taps.begin, taps.end) if taps.first[index] < first <= taps.second[index]]
    assert sorted(set(has_tap)) == list(range(*taps.touching(first, end)))
    assert all_taps == list(range(*taps.within(first, end)))
    assert astride == list(range(*taps.straddling(first)))
    assert (taps.first[: taps.begin] == -1).all()
    assert (taps.first[taps.end :] == -1).all()
    outside = [index for index, centre in enumerate(centres) if not 0 <= round(centre, 9) <= length]
    assert outside == [*range(taps.begin), *range(taps.end, len(centres))]


@given(st.integers(1, 20), st.data())
def test_moved_taps_are_the_same_taps_counted_from_elsewhere(length, data):
    taps = bilinear_taps(data.draw(axes(length)), length)
    outputs = data.draw(st.integers(0, taps.begin)) if taps.begin < taps.end else 0
    stored = taps.stored[0]
    moved = taps.moved(outputs=outputs, stored=stored)
    held, moved_held = slice(taps.begin, taps.end), slice(moved.begin, moved.end)
    assert_array_equal(moved.first[moved_held] + stored, taps.first[held])
    assert_array_equal(moved.second[moved_held] + stored, taps.second[held])
    assert_array_equal(moved.weight[moved_held], taps.weight[held])
    assert moved.begin == taps.begin - outputs


@given(pictures())
def test_classes_are_those_of_the_stored_pixel_that_holds_the_centre(picture):
    stored, _, row_centres, col_centres = picture
    classes = (stored % 12).astype(np.uint8)
    table = np.arange(256, dtype=np.uint8)[::-1].copy()
    rows, cols = nearest_taps(row_centres, stored.shape[0]), nearest_taps(col_centres, stored.shape[1])
    found = np.full((len(row_centres), len(col_centres)), 77, np.uint8)
    sample_classes(whole_block(differences(classes), 0, 0, predicted=True), rows, cols, table, found)
    for (row, col), value in np.ndenumerate(found):
        down, across = math.floor(row_centres[row] + 1e-6), math.floor(col_centres[col] + 1e-6)
        inside = -1e-6 <= row_centres[row] <= stored.shape[0] and -1e-6 <= col_centres[col] <= stored.shape[1]
        down, across = min(down, stored.shape[0] - 1), min(across, stored.shape[1] - 1)
        assert value == (table[classes[max(down, 0), max(across, 0)]] if inside else 77)


def test_a_band_counts_as_seen_where_it_is_not_nodata():
    stored = np.array([[0, 5], [7, 0]], np.uint16)
    rows = run_taps(0, 0, 2, 2)
    seen = np.zeros((2, 2), np.uint8)
    sample_validity(whole_block(stored, 0, 0), rows, rows, 0, seen)
    assert seen.tolist() == [[255, 0], [0, 255]]


def test_counts_that_no_int16_holds_are_saturated_and_nodata_is_never_written():
    stored = np.array([[65535, 40000, 1, 500]], np.uint16)
    rows, cols = run_taps(0, 0, 1, 1), run_taps(0, 0, 4, 4)
    assert picked([whole_block(stored, 0, 0)], rows, cols, (1, 4), 0).tolist() == [[32767, 32767, 1, 500]]
    low = np.array([[-32767, -32000]], np.int16)
    cols = run_taps(0, 0, 2, 2)
    assert picked([whole_block(low, 0, 0)], rows, cols, (1, 2), -9999, offset=-1000).tolist() == [[-32767, -32767]]


def test_nodata_is_never_blended_in():
    stored = np.array([[0, 100], [200, 300]], np.uint16)
    middle = bilinear_taps(np.array([1.0]), 2)  # between the four: the centre lies in the last one
    assert picked([whole_block(stored, 0, 0)], middle, middle, (1, 1), 0).item() == 200
    stored = np.array([[100, 200], [300, 0]], np.uint16)
    assert picked([whole_block(stored, 0, 0)], middle, middle, (1, 1), 0).item() == NODATA


def test_the_edges_of_a_block_are_values_whatever_its_predictor():
    stored = np.arange(12, dtype=np.uint16).reshape(3, 4) * 17 % 11
    edges = edges_of(whole_block(differences(stored), 0, 0, predicted=True))
    for edge, expected in zip(edges, (stored[0], stored[-1], stored[:, 0], stored[:, -1]), strict=True):
        assert_array_equal(edge, expected)


def test_wanted_sources_are_those_that_some_pixel_wants():
    wanted = np.array([[-1, -1, 3], [5, 5, -1]], np.int16)
    assert wanted_sources(wanted, 3, 4).tolist() == [True, False, True, False]
    assert holds_wanted(wanted, 5, (1, 2, 0, 1))
    assert not holds_wanted(wanted, 5, (0, 1, 0, 3))
    assert not holds_wanted(wanted, 5, (1, 1, 0, 3))


@pytest.mark.parametrize("step", [1.0, 0.5])
def test_two_sources_fill_their_pixels_of_one_plane_at_the_same_time(step):
    edge = 1024
    stored = np.full((int(edge * step) + 1,) * 2, 7, np.uint16)
    taps = bilinear_taps((np.arange(edge) + 0.5) * step, len(stored))
    wanted = (np.indices((edge, edge)).sum(axis=0) % 2).astype(np.int16)  # as a chessboard
    rectangle = (*taps.within(0, len(stored)), *taps.within(0, len(stored)))

    def fill(source, reflectance):
        pick_reflectance(
            whole_block(stored, 0, 0), taps, taps, rectangle,
            wanted=wanted, source=source, offset_dn=0, nodata=0, reflectance=reflectance,
        )  # fmt: skip

    with ThreadPoolExecutor(2) as pool:
        for _ in range(60):
            reflectance = np.full((edge, edge), NODATA, np.int16)
            list(pool.map(fill, (0, 1), (reflectance, reflectance)))
            assert (reflectance == 7).all()


def test_other_pixels_than_16_bit_counts_are_refused():
    rows = run_taps(0, 0, 1, 1)
    with pytest.raises(GridMismatchError, match="found float32, expected uint16 or int16"):
        picked([whole_block(np.zeros((1, 1), np.float32), 0, 0)], rows, rows, (1, 1), 0)
