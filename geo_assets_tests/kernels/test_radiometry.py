import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.kernels.radiometry import block_mean, every_nth, reflectance_counts
from geo_assets_tests.scenery import references
from geo_assets_tests.scenery.strategies import reflectance, windows

NODATA = -32768
EVERY_UINT16 = np.arange(65_536).astype(np.uint16)
EVERY_INT16 = np.arange(-32_768, 32_768).astype(np.int16)


@pytest.mark.parametrize("offset_dn", [0, -1000, 1000, -40_000])
@pytest.mark.parametrize(("dn", "nodata"), [(EVERY_UINT16, 0), (EVERY_INT16, -9999), (EVERY_INT16, 32_767)])
def test_every_stored_count_is_shifted_once_and_limited(dn, nodata, offset_dn):
    shifted = np.clip(dn.astype(int) + offset_dn, -32_767, 32_767)
    counts = reflectance_counts(dn, offset_dn=offset_dn, nodata=nodata)
    assert counts.dtype == np.int16
    assert_array_equal(counts, np.where(dn.astype(int) == nodata, NODATA, shifted))


@pytest.mark.parametrize("offset_dn", [0, -1000, -40_000])
def test_only_nodata_becomes_nodata(offset_dn):
    counts = reflectance_counts(EVERY_UINT16, offset_dn=offset_dn, nodata=0)
    assert np.flatnonzero(counts == NODATA).tolist() == [0]


def test_dark_water_stays_below_zero():
    dn = np.array([[0, 1, 900, 1000, 11_000, 65_535]], np.uint16)
    counts = reflectance_counts(dn, offset_dn=-1000, nodata=0)
    assert counts.tolist() == [[NODATA, -999, -100, 0, 10_000, 32_767]]


def test_any_leading_axes_and_any_memory_layout_will_do():
    dn = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)[:, ::2, ::-1]
    assert_array_equal(reflectance_counts(dn, offset_dn=5, nodata=99), dn.astype(int) + 5)


def test_counts_of_another_type_are_refused():
    with pytest.raises(GridMismatchError, match="found float32"):
        reflectance_counts(np.zeros(3, np.float32), offset_dn=0, nodata=0)


@given(windows().flatmap(reflectance), st.integers(1, 5))
def test_block_mean_equals_the_slow_reference(counts, factor):
    mean = block_mean(counts, factor)
    assert mean.dtype == np.int16
    assert_array_equal(mean, references.block_mean(counts, factor))


@given(windows().flatmap(reflectance))
def test_cells_of_one_pixel_change_nothing(counts):
    assert_array_equal(block_mean(counts, 1), counts)


def test_the_golden_block_mean():
    counts = np.array(
        [
            [1, 2, 10, NODATA, -1],
            [2, 1, NODATA, 13, -2],
            [-1, -2, NODATA, NODATA, 7],
        ],
        np.int16,
    )
    assert block_mean(counts, 2).tolist() == [[2, 12, -1], [-1, NODATA, 7]]


@given(windows(), st.integers(1, 5))
def test_every_nth_takes_the_centre_of_every_cell(window, factor):
    classes = np.arange(window[0] * window[1], dtype=np.uint8).reshape(window)
    centres = every_nth(classes, factor)
    for cell, pixels in references.cells(classes, factor):
        row, col = (min(factor // 2, length - 1) for length in pixels.shape)
        assert centres[cell] == pixels[row, col]


def test_every_nth_of_whole_cells_is_a_stride():
    classes = np.arange(36, dtype=np.uint8).reshape(6, 6)
    assert_array_equal(every_nth(classes, 3), classes[1::3, 1::3])
    assert_array_equal(every_nth(classes, 2), classes[1::2, 1::2])


@pytest.mark.parametrize(("coarser", "dtype"), [(block_mean, np.int16), (every_nth, np.uint8)])
def test_a_cell_without_pixels_is_refused(coarser, dtype):
    with pytest.raises(RegionError, match="at least 1"):
        coarser(np.zeros((2, 2), dtype), 0)
