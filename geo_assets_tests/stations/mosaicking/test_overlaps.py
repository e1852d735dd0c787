"""Cell means of overlaps: anchored at the lattice, exact, and only of cells that both rasters know."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.stations.mosaicking.overlaps import CELL_PX, OverlapMeans, overlap_means
from geo_assets_tests.scenery.blend_sources import NODATA, ArraySource


def slow_means(first, second):
    """Cell of the lattice -> means in both, band by band."""
    found = {}
    top, left = max(first.row, second.row), max(first.col, second.col)
    bottom = min(first.row + first.height, second.row + second.height)
    right = min(first.col + first.width, second.col + second.width)
    for row in range(-(-top // CELL_PX), bottom // CELL_PX):
        for col in range(-(-left // CELL_PX), right // CELL_PX):
            cells = []
            for source in (first, second):
                y, x = row * CELL_PX - source.row, col * CELL_PX - source.col
                cells.append(source.values[:, y : y + CELL_PX, x : x + CELL_PX])
            for band in range(first.bands):
                if all((cell[band] != source.nodata).all() and np.isfinite(cell[band].astype(float)).all()
                       for cell, source in zip(cells, (first, second), strict=True)):  # fmt: skip
                    found[band, row, col] = tuple(cell[band].astype(np.float64).mean() for cell in cells)
    return found


@st.composite
def two_sources(draw, dtypes=("int16", "uint8", "float32", "float64", "uint32")):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(dtypes))
    nodata = {"int16": NODATA, "uint8": 255, "float32": float("nan"), "float64": -9999.0, "uint32": 0}[dtype]
    sources = []
    for name in draw(st.permutations(["a", "b"])):
        row, col = draw(st.tuples(st.integers(-20, 20), st.integers(-20, 20)))
        values = random.integers(1, 250, (2, draw(st.integers(8, 50)), draw(st.integers(8, 50)))).astype(dtype)
        values[0, random.random(values.shape[1:]) < draw(st.sampled_from([0, 0.002, 0.01]))] = nodata
        sources.append(ArraySource(name, row, col, values, nodata=nodata))
    return sources


@settings(max_examples=60, deadline=None)
@given(two_sources())
def test_means_are_those_of_whole_cells_that_both_know(sources):
    first, second = sorted(sources, key=lambda source: source.name)
    expected = slow_means(first, second)
    found = overlap_means(*sources)
    if not expected:
        assert found is None
        return
    assert (found.first, found.second) == ("a", "b")
    known = np.argwhere(~np.isnan(found.first_means))
    assert {(band, found.row + row, found.col + col) for band, row, col in known} == set(expected)
    for band, row, col in known:
        means = found.first_means[band, row, col], found.second_means[band, row, col]
        assert means == expected[band, found.row + row, found.col + col]
    assert_array_equal(np.isnan(found.first_means), np.isnan(found.second_means))


def test_the_order_of_the_two_and_what_lies_around_them_change_nothing():
    random = np.random.default_rng(1)
    ground = random.integers(0, 9000, (1, 700, 300)).astype(np.int16)
    a, b = ArraySource("a", -3, 5, ground), ArraySource("b", 60, -40, ground[:, ::-1].copy())
    found, turned = overlap_means(a, b), overlap_means(b, a)
    assert_array_equal(found.first_means, turned.first_means)
    assert_array_equal(found.second_means, turned.second_means)
    assert (found.row, found.col) == (turned.row, turned.col)
    # Cut off what they do not share: positions on the lattice keep their means.
    rows, cols = slice(63, None), slice(0, 255)
    cut = overlap_means(ArraySource("a", 60, 5, ground[:, rows, cols]), b)
    assert_array_equal(found.first_means, cut.first_means)
    assert_array_equal(found.second_means, cut.second_means)


def test_every_pixel_is_read_once_and_never_much_at_a_time():
    pixels = np.ones((1, 1200, 1300), np.int16)
    a, b = ArraySource("a", 0, 0, pixels), ArraySource("b", 8, 8, pixels)
    overlap_means(a, b)
    for source in (a, b):
        seen = np.zeros((1200, 1300), int)
        for row, col, height, width in source.windows:
            assert height * width <= 512 * 512
            seen[row : row + height, col : col + width] += 1
        assert seen.max() == 1
        assert seen.sum() == 1192 * 1288


def test_samples_are_every_fourth_cell_of_the_lattice_that_both_know():
    a = ArraySource("a", -16, 8, np.arange(200 * 200, dtype=np.int32).reshape(1, 200, 200), nodata=-1)
    b = ArraySource("b", -16, 8, a.values + 7, nodata=-1)
    a.values[0, 16, 24] = -1  # in the cell at (0, 32), the first one of a multiple of 32 px in both
    found = overlap_means(a, b)
    cells = [(row, col) for row in range(0, 184, 32) for col in range(32, 208, 32)][1:]
    inside = [(row, col) for row, col in cells if row + 8 <= 184 and col + 8 <= 208]
    expected = [a.values[0, row + 16 : row + 24, col - 8 : col].mean() for row, col in inside]
    samples = found.samples(0)
    assert_array_equal(samples[:, 0], expected)
    assert_array_equal(samples[:, 1], np.array(expected) + 7)
    wider = found.samples(0, step=8)
    assert {tuple(sample) for sample in wider} < {tuple(sample) for sample in samples}


def test_arrays_make_it_again():
    source = ArraySource("b", 0, 0, np.ones((2, 40, 40), np.int16))
    found = overlap_means(source, ArraySource("a", 8, 16, source.values))
    arrays = found.to_arrays()
    assert not any(array.dtype.hasobject for array in arrays.values())
    again = OverlapMeans.from_arrays(arrays)
    assert (again.first, again.second, again.row, again.col) == ("a", "b", 1, 2)
    assert_array_equal(again.second_means, found.second_means)


def test_rasters_without_a_cell_in_common_have_no_overlap():
    pixels = np.ones((1, 20, 20), np.int16)
    assert overlap_means(ArraySource("a", 0, 0, pixels), ArraySource("b", 0, 20, pixels)) is None
    assert overlap_means(ArraySource("a", 0, 0, pixels), ArraySource("b", 0, 11, pixels)) is None  # 9 px, no cell
    empty = np.full((1, 20, 20), NODATA, np.int16)
    assert overlap_means(ArraySource("a", 0, 0, pixels), ArraySource("b", 0, 0, empty)) is None


def test_rasters_of_other_bands_dtype_or_the_same_name_are_refused():
    one = ArraySource("a", 0, 0, np.ones((1, 20, 20), np.int16))
    for other in (
        ArraySource("b", 0, 0, np.ones((2, 20, 20), np.int16)),
        ArraySource("b", 0, 0, np.ones((1, 20, 20), np.uint16)),
        ArraySource("a", 0, 0, np.ones((1, 20, 20), np.int16)),
    ):
        with pytest.raises(GridMismatchError, match="two names, the same bands and the same dtype"):
            overlap_means(one, other)
