"""Indices against their formulas, what they refuse, and what a mask takes out of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import DetectorError, GridMismatchError, RegionError
from geo_assets.kernels.indices import INDEX_BANDS, apply_mask, evi, index_counts, nbr, ndvi, ndwi
from geo_assets.kernels.quality import MaskCode

NODATA = -32768
INDICES = {"ndvi": ndvi, "ndwi": ndwi, "nbr": nbr, "evi": evi}
counts = arrays(np.int16, (3, 4), elements=st.one_of(st.just(NODATA), st.integers(-300, 12_000)))


def reference(name, bands):
    """The formulas of the papers, in float64."""
    known = {key: np.where(band == NODATA, np.nan, band / 10_000) for key, band in bands.items()}
    with np.errstate(all="ignore"):
        if name == "evi":
            nir, red, blue = (known[key] for key in ("nir", "red", "blue"))
            above, below = 2.5 * (nir - red), nir + 6 * red - 7.5 * blue + 1
        else:
            one, other = (known[key] for key in INDEX_BANDS[name])
            above, below = one - other, one + other
        return np.where(np.abs(below) < 1e-12, np.nan, above / below)


@pytest.mark.parametrize("name", INDICES)
@given(data=st.data())
def test_an_index_is_its_formula_and_nan_where_a_band_has_no_data_or_the_denominator_is_zero(name, data):
    bands = {band: data.draw(counts) for band in INDEX_BANDS[name]}
    found = INDICES[name](**bands)
    assert found.dtype == np.float32
    assert_allclose(found, reference(name, bands), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", INDICES)
def test_reflectance_gives_what_its_counts_give(name):
    rng = np.random.default_rng(1)
    bands = {band: rng.integers(1, 9000, (5, 6)).astype(np.int16) for band in INDEX_BANDS[name]}
    bands[INDEX_BANDS[name][0]][0, 0] = NODATA
    for dtype in (np.float32, np.float64):
        floats = {
            band: np.where(values == NODATA, np.nan, values / 1e4).astype(dtype) for band, values in bands.items()
        }
        assert_allclose(INDICES[name](**floats), INDICES[name](**bands), rtol=2e-4, atol=1e-6)


def test_vegetation_water_and_burnt_ground_have_the_signs_that_the_papers_give_them():
    green, red, nir, swir22 = (np.array([[value]], np.float32) for value in (0.08, 0.04, 0.4, 0.1))
    assert ndvi(nir=nir, red=red) > 0.8
    assert ndwi(green=green, nir=nir) < 0
    assert nbr(nir=nir, swir22=swir22) > 0.5
    assert evi(nir=nir, red=red, blue=red) > 0.5


def test_bands_are_named_and_never_counted_off():
    one = np.ones((2, 2), np.float32)
    with pytest.raises(TypeError):
        ndvi(one, one)  # type: ignore[misc]


def test_stored_counts_are_refused_since_their_offset_does_not_cancel():
    stored = np.ones((2, 2), np.uint16)
    with pytest.raises(GridMismatchError, match=r"uint16.*offset"):
        ndvi(nir=stored, red=stored)


def test_bands_of_unequal_shapes_or_dtypes_are_refused():
    with pytest.raises(GridMismatchError, match=r"nir float32 \(2, 2\), red float32 \(1, 2\)"):
        ndvi(nir=np.ones((2, 2), np.float32), red=np.ones((1, 2), np.float32))
    with pytest.raises(GridMismatchError, match="one shape and dtype"):
        evi(nir=np.ones((2, 2), np.float32), red=np.ones((2, 2), np.int16), blue=np.ones((2, 2), np.int16))


def test_counts_of_an_index_round_clip_and_keep_nodata():
    index = np.array([[0.12344, -0.12346, np.nan, 9.0, -9.0]], np.float32)
    assert_array_equal(index_counts(index), [[1234, -1235, NODATA, 32767, -32767]])


# apply_mask

CODES = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)


@pytest.mark.parametrize(
    ("drop", "kept"),
    [
        (("cloud", "shadow"), [[1, 0, 0], [1, 1, 0]]),
        ((), [[1, 1, 1], [1, 1, 0]]),
        ([MaskCode.SNOW, "water"], [[1, 1, 1], [0, 0, 0]]),
    ],
)
def test_dropped_classes_and_fill_become_nodata_in_planes_and_stacks_of_both_kinds(drop, kept):
    kept = np.array(kept, bool)
    plane = np.arange(6, dtype=np.int16).reshape(2, 3)
    assert_array_equal(apply_mask(plane, CODES, drop=drop), np.where(kept, plane, NODATA))
    stack = np.stack([plane, plane + 1]).astype(np.float32)
    before = stack.copy()
    found = apply_mask(stack, CODES, drop=drop)
    assert found.dtype == np.float32
    assert_array_equal(found, np.where(kept, stack, np.nan))
    assert_array_equal(stack, before)


@pytest.mark.parametrize(
    ("values", "codes", "drop", "error", "words"),
    [
        (np.zeros((2, 3), np.uint16), CODES, ("cloud",), GridMismatchError, "uint16"),
        (np.zeros((3, 2), np.int16), CODES, ("cloud",), GridMismatchError, "codes"),
        (np.zeros((2, 3), np.int16), CODES.astype(np.int16), ("cloud",), GridMismatchError, "codes"),
        (np.zeros((2, 3), np.int16), CODES + np.uint8(7), ("cloud",), DetectorError, "found the value 6"),
        (np.zeros((2, 3), np.int16), CODES, ("haze",), DetectorError, "haze"),
        (np.zeros((2, 3), np.int16), CODES, "cloud", RegionError, r"\['cloud'\]"),
    ],
)
def test_what_cannot_be_masked_is_refused(values, codes, drop, error, words):
    with pytest.raises(error, match=words):
        apply_mask(values, codes, drop=drop)
