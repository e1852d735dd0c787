import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.picking.bands import holds_wanted, pick_reflectance, wanted_sources
from geo_assets.kernels.picking.stored_blocks import whole_block
from geo_assets.kernels.picking.taps import bilinear_taps, run_taps
from geo_assets_tests.kernels.picking.pictures import differences, pictures

NODATA = -32768


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
