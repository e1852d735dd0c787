"""One window of a mosaic: the same whatever it is cut into, and no work where there is nothing to blend."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.mosaicking.blending import Correction, weight_table
from geo_assets.stations.mosaicking import blend as blending
from geo_assets.stations.mosaicking.blend import BlendSettings, blended
from geo_assets.stations.mosaicking.overlaps import overlap_means
from geo_assets.stations.mosaicking.seamlines import find_seam
from geo_assets_tests.scenery import references
from geo_assets_tests.scenery.blend_sources import NODATA, ArraySource, array_sources, extent_of, on_canvas

FEATHER_PX = 4
WIDE = BlendSettings(FEATHER_PX)


def whole(sources, how=WIDE):
    return blended(sources, *extent_of(sources), how)


def in_blocks(sources, how, cuts):
    """The whole, window by window."""
    top, left, height, width = extent_of(sources)
    step_rows, step_cols = cuts
    values = np.empty((sources[0].bands, height, width), sources[0].dtype)
    owner, share = np.empty((height, width), object), np.empty((height, width), np.uint8)
    sums = None
    for row in range(0, height, step_rows):
        for col in range(0, width, step_cols):
            high, wide = min(step_rows, height - row), min(step_cols, width - col)
            part = blended(sources, top + row, left + col, high, wide, how)
            place = np.s_[row : row + high, col : col + wide]
            values[:, *place] = part.values
            owner[place] = owner_names(part)
            share[place] = part.share_of("b")
            sums = sums if part.sums is None else part.sums if sums is None else sums + part.sums
    return values, owner, share, sums


def owner_names(result):
    return np.array([*result.names, *[None] * (256 - len(result.names))], object)[result.owner]


def by_reference(sources):
    """Every source's weight by comparing every pixel with every invalid one."""
    extent, table = extent_of(sources), weight_table(FEATHER_PX)
    bands = []
    for band in range(sources[0].bands):
        planes = [on_canvas(source, extent)[band] for source in sorted(sources, key=lambda source: source.name)]
        distances = [
            references.squared_distance(np.pad(plane != NODATA, 1), FEATHER_PX)[1:-1, 1:-1] for plane in planes
        ]
        bands.append(references.feathered(planes, [table[distance2] for distance2 in distances]))
    return np.stack(bands)


def side_by_side(*, height=12, width=20, overlap=8, bands=1, values=(1000, 2000)):
    west, east = (np.full((bands, height, width), value, np.int16) for value in values)
    return [ArraySource("a", 0, 0, west), ArraySource("b", 0, width - overlap, east)]


@settings(max_examples=12, deadline=None)
@given(array_sources(bands=2, largest_px=7, most=3))
def test_a_mosaic_equals_the_slow_reference(sources):
    assert_array_equal(whole(sources).values, by_reference(sources))


@settings(max_examples=40, deadline=None)
@given(array_sources(bands=3), st.tuples(st.integers(1, 9), st.integers(1, 9)), st.randoms())
def test_windows_and_order_change_nothing(sources, cuts, random):
    expected, (values, owner, share, _) = whole(sources), in_blocks(random.sample(sources, len(sources)), WIDE, cuts)
    assert_array_equal(values, expected.values)
    assert_array_equal(owner, owner_names(expected))
    assert_array_equal(share, expected.share_of("b"))


def test_windows_change_nothing_along_seamlines():
    random = np.random.default_rng(5)
    sources = [
        ArraySource(name, row, col, random.integers(0, 4000, (1, 96, 120)).astype(np.int16))
        for name, row, col in [("a", 3, 5), ("b", 8, 70), ("c", 50, 33)]
    ]
    sources[1].values[0, 20:50, 10:30] = NODATA
    seams = {
        (first.name, second.name): find_seam(
            overlap_means(first, second), *((s.row, s.col, s.height, s.width) for s in (first, second))
        )
        for first, second in [sources[:2], sources[::2], sources[1:]]
    }
    how = replace(WIDE, seamlines=seams)
    expected = whole(sources, how)
    values, _, share, _ = in_blocks(sources, how, (37, 61))
    assert_array_equal(values, expected.values)
    assert_array_equal(share, expected.share_of("b"))
    assert (expected.values != whole(sources).values).any()


def test_a_cell_of_one_source_is_copied_and_never_measured(monkeypatch):
    monkeypatch.setattr(blending, "squared_distance", pytest.fail)
    west, east = side_by_side()
    assert_array_equal(blended([west, east], 0, 0, 12, 12, WIDE).values, west.values[:, :, :12])
    assert west.windows == [(0, 0, 12, 12)]
    assert east.windows == []


def test_where_one_of_several_has_data_it_is_copied(monkeypatch):
    monkeypatch.setattr(blending, "squared_distance", pytest.fail)
    west, east = side_by_side()
    east.values[:, :, :8] = NODATA
    result = whole([west, east])
    assert_array_equal(result.values[0, 3, 11:21], [1000] * 9 + [2000])
    assert_array_equal(result.contributors, 1)
    assert_array_equal(result.owner[3], [0] * 20 + [1] * 12)


def test_bands_that_share_their_validity_share_their_distances(monkeypatch):
    measured = []
    distance = blending.squared_distance
    monkeypatch.setattr(blending, "squared_distance", lambda *a, **k: measured.append(1) or distance(*a, **k))
    whole(side_by_side(bands=5))
    assert len(measured) == 2
    sources = side_by_side(bands=5)
    sources[0].values[3, 5, 15] = NODATA
    measured.clear()
    whole(sources)
    assert len(measured) == 6


def test_weights_fade_from_one_source_to_the_other():
    result = whole(side_by_side(overlap=4))
    row = result.values[0, 6]
    assert_array_equal(row[:16], 1000)
    assert_array_equal(row[20:], 2000)
    assert (np.diff(row[15:21]) > 0).all()
    assert_array_equal(result.contributors[6], [1] * 16 + [2] * 4 + [1] * 16)
    share = result.share_of("b")[6]
    assert (share[:16] == 0).all()
    assert (share[20:] == 100).all()
    assert (np.diff(share[15:21].astype(int)) > 0).all()


def test_classes_take_the_largest_weight():
    result = whole(side_by_side(values=(3, 9)), replace(WIDE, categorical=True))
    assert_array_equal(result.values[0, 6], [3] * 17 + [9] * 15)


def test_corrections_are_applied_to_copies_and_to_blends():
    corrections = {"b": (Correction(0.5, 0.0),)}
    assert_array_equal(whole(side_by_side(), replace(WIDE, corrections=corrections)).values, 1000)


def test_nodata_is_where_no_source_has_data():
    sources = side_by_side()
    sources[0].values[:, 2:5, 13:16] = NODATA
    sources[1].values[:, 3:6, 1:9] = NODATA  # its last column lies beyond the other source
    result = whole(sources)
    assert_array_equal(np.argwhere(result.values[0] == NODATA)[[0, -1]], [[3, 13], [5, 20]])
    assert_array_equal(result.owner == 255, result.values[0] == NODATA)


def test_a_window_that_nobody_reaches_is_nodata():
    result = blended(side_by_side(), 100, 100, 3, 3, WIDE)
    assert_array_equal(result.values, NODATA)
    assert result.names == ()


def test_floats_are_blended_to_nodata_of_nan():
    sources = side_by_side()
    for source in sources:
        source.values, source.nodata = source.values.astype(np.float32), np.nan
    sources[0].values[:, 0, :] = np.nan
    values = whole(sources).values
    assert np.isnan(values[0, 0, :12]).all()
    assert np.isnan(values).sum() == 12


@settings(max_examples=5, deadline=None)
@given(st.tuples(st.integers(40, 400), st.integers(40, 400)))
def test_what_is_measured_does_not_depend_on_windows(cuts):
    random = np.random.default_rng(3)
    truth = random.integers(0, 3000, (1, 300, 700)).astype(np.int16)
    sources = [
        ArraySource("a", 0, 0, truth[:, :, :400] + np.int16(40)),
        ArraySource("b", 0, 250, truth[:, :, 250:]),
    ]
    sources[1].values[0, 90:130, 30:90] = NODATA
    how = BlendSettings(100, measure=True)
    expected = whole(sources, how)
    values, owner, share, sums = in_blocks(sources, how, cuts)
    assert sums.figures(["red"]) == expected.sums.figures(["red"])
    for measured, alone in [(values, expected.values), (owner, owner_names(expected)), (share, expected.share_of("b"))]:
        assert_array_equal(measured, alone)
    assert_array_equal(values, whole(sources, replace(how, measure=False)).values)
    expected = expected.sums.figures(["red"])
    assert expected["single_source_mismatch_px"] == 0


def test_nothing_is_measured_far_from_where_sources_meet():
    sources = side_by_side(height=8, width=300, overlap=20)
    assert blended(sources, 0, 0, 8, 279, replace(WIDE, measure=True)).sums is None
    assert blended(sources, 0, 200, 8, 80, replace(WIDE, measure=True)).sums is not None


def test_sources_of_two_forms_are_refused():
    west, east = side_by_side()
    east.nodata = 0
    with pytest.raises(GridMismatchError, match="b has dtype, nodata and bands"):
        whole([west, east])


def test_two_sources_of_one_name_are_refused():
    west, east = side_by_side()
    east.name = "a"
    with pytest.raises(GridMismatchError, match="same name"):
        whole([west, east])
