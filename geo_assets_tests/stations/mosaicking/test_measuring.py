import json
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError
from geo_assets.stations.mosaicking.blend import BlendSettings, blended
from geo_assets.stations.mosaicking.measuring import MARGIN_PX, SUMS_ARRAYS, MosaicSums, OverlapWindow, measured
from geo_assets_tests.scenery.mosaic_truth import NODATA, mosaic_truth, with_hard_edges


@cache
def land(seed=1, **settings):
    return mosaic_truth(seed, **settings)


@cache
def windowed(truth):
    """(source, band, y, x) of all tiles on the ground's lattice; the ground with noise; tiles that all show that."""
    shape = truth.ground.shape
    stack = np.full((len(truth.tiles), *shape), NODATA, np.int16)
    for layer, tile in zip(stack, truth.tiles, strict=True):
        layer[:, tile.row : tile.row + tile.height, tile.col : tile.col + tile.width] = tile.values
    noise = truth.noise_dn * np.random.default_rng(0).standard_normal(shape)
    ideal = np.rint(truth.ground + noise).astype(np.int16)
    ideal[(stack == NODATA).all(axis=0)] = NODATA
    return stack, ideal, np.where(stack == NODATA, np.int16(NODATA), ideal)


def sums_of(truth, mosaic, cuts=None, stack=None):
    """Sums of all bands of a mosaic, cut into windows at rows and columns."""
    stack = windowed(truth)[0] if stack is None else stack
    height, width = mosaic.shape[1:]
    rows, cols = cuts or ([0, height], [0, width])
    sums = MosaicSums()
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            y, x = max(top - MARGIN_PX, 0), max(left - MARGIN_PX, 0)
            around = np.s_[y : bottom + MARGIN_PX, x : right + MARGIN_PX]
            inner = (slice(top - y, bottom - y), slice(left - x, right - x))
            for band in range(len(mosaic)):
                layers = np.ascontiguousarray(stack[:, band][:, *around])
                here = np.ascontiguousarray(mosaic[band][around])
                sums += measured(OverlapWindow(y, x, inner, truth.names, layers, here, NODATA, band))
    return sums


def figures(truth, mosaic, **how):
    return sums_of(truth, mosaic, **how).figures([f"b{band}" for band in range(len(mosaic))], 1e-4)


def feathered(truth, feather_px=100):
    return blended(truth.tiles, 0, 0, *truth.ground.shape[1:], BlendSettings(feather_px)).values


LANDS = {
    "noise": {"noise_dn": 60.0, "texture_dn": 5.0, "fields_dn": 5.0},
    "textured land": {"noise_dn": 12.0, "texture_dn": 150.0, "fields_dn": 300.0},
    "holes": {"holes": 6, "ragged": True},
}


@pytest.mark.parametrize("how", LANDS.values(), ids=LANDS)
def test_truth_itself_has_no_seam_on_any_land(how):
    truth = land(0, **how)
    _, ideal, tiles = windowed(truth)
    found = figures(truth, ideal, stack=tiles)
    assert found["seam_ratio"] == found["seam_ratio_by_chance"] == 1.0
    assert found["seam_step_dn"] == found["seam_floor_dn"]
    # Truth crosses these lines as it does any others.
    assert found["seam_sources_dn"] < 1.5 * found["seam_floor_dn"]


@pytest.mark.parametrize("how", LANDS.values(), ids=LANDS)
@pytest.mark.parametrize("k", [-30, 8])
def test_a_known_seam_is_found_to_the_count_on_any_land(how, k):
    truth = land(0, tiles=(1, 2), **how)
    _, ideal, tiles = windowed(truth)
    both = (tiles != NODATA).all(axis=0)
    found = figures(truth, np.where(both, ideal + np.int16(k), ideal), stack=tiles)
    assert found["seam_ratio"] == pytest.approx(np.hypot(1, k / found["seam_floor_dn"]), rel=1e-6)
    assert found["seam_floor_dn"] == figures(truth, ideal, stack=tiles)["seam_floor_dn"]


@pytest.mark.parametrize("how", LANDS.values(), ids=LANDS)
def test_blended_tiles_of_one_brightness_look_like_truth(how):
    truth = land(1, gain=0.005, offset_dn=5.0, **how)
    assert figures(truth, feathered(truth))["seam_ratio"] < 1.05


@cache
def clouded():
    """Two tiles: the second has a hole, and in just that place the first shows another day, 400 counts brighter."""
    truth = land(4, tiles=(1, 2), gain=0.01)
    first, second = (tile.values.copy() for tile in truth.tiles)
    hole, left = np.s_[:, 250:390, 60:200], truth.tiles[1].col
    second[hole] = NODATA
    first[:, 250:390, left + 60 : left + 200] += 400
    tiles = (replace(truth.tiles[0], values=first), replace(truth.tiles[1], values=second))
    return replace(truth, tiles=tiles), np.s_[:, 250:390, left + 60 : left + 200]


def test_a_change_of_day_along_a_cloud_is_no_seam():
    truth, _ = clouded()
    found = figures(truth, feathered(truth))
    assert found["seam_ratio"] < 1.05
    assert found["seam_sources_dn"] > 10 * found["seam_floor_dn"]
    assert found["seam_seen_dn"] == pytest.approx(found["seam_sources_dn"], rel=0.05)
    assert found["seam_seen_ratio"] == pytest.approx(found["seam_seen_dn"] / found["seam_floor_dn"])
    hard = figures(truth, with_hard_edges(truth.tiles[::-1], truth.ground.shape[1:]))
    assert hard["seam_ratio"] > 3


def test_a_seam_along_a_change_of_day_is_found_all_the_same():
    truth, hole = clouded()
    mosaic = feathered(truth)
    mosaic[hole] += 40
    found = figures(truth, mosaic)
    assert found["seam_segments"] == 12
    round_the_hole = 6 / 12
    assert found["seam_step_dn"] == pytest.approx(np.hypot(found["seam_floor_dn"], 40 * round_the_hole**0.5), rel=0.05)


def test_tiles_that_only_touch_are_measured_against_the_land():
    truth = land(0, tiles=(1, 2), offset_dn=300.0, gain=0.0)
    _, ideal, tiles = windowed(truth)
    tiles, middle = tiles.copy(), ideal.shape[2] // 2
    tiles[0, :, :, middle:], tiles[1, :, :, :middle] = NODATA, NODATA
    found = figures(truth, ideal, stack=tiles)
    assert found["seam_ratio"] < found["seam_ratio_by_chance"]
    assert found["seam_ratio_by_chance"] > 2
    assert found["seam_sources_dn"] is None
    brighter = np.where(tiles[1] == NODATA, ideal, ideal + np.int16(300))
    assert (
        figures(truth, brighter, stack=np.where(tiles == NODATA, NODATA, brighter).astype(np.int16))["seam_ratio"] > 5
    )


def test_hard_edges_are_found_and_a_feather_hides_them():
    truth = land(3, tiles=(2, 3), texture_dn=25.0, fields_dn=30.0)
    hard = figures(truth, with_hard_edges(truth.tiles, truth.ground.shape[1:]))
    assert hard["seam_ratio"] > 15
    assert hard["seam_naive_ratio"] > 25
    soft = figures(truth, feathered(truth))
    assert soft["seam_ratio"] < 1.3
    assert soft["seam_naive_ratio"] == hard["seam_naive_ratio"]
    assert soft["seam_profile"]["naive"]["0"] > 20 * soft["seam_profile"]["naive"]["8"]


def test_a_mean_without_weights_is_found_out():
    truth = land(3, tiles=(2, 3), texture_dn=25.0, fields_dn=30.0)
    stack, *_ = windowed(truth)
    known = stack != NODATA
    mean = np.where(known, stack, 0).sum(axis=0) // np.maximum(known.sum(axis=0), 1)
    assert figures(truth, np.where(known.any(axis=0), mean, NODATA).astype(np.int16))["seam_ratio"] > 10


@settings(max_examples=10)
@given(st.data())
def test_any_cutting_into_windows_gives_the_same_figures(data):
    truth = land(7, tile_px=300, overlap_px=120, bands=2, holes=3, ragged=True)
    mosaic = feathered(truth, 40)
    expected = sums_of(truth, mosaic)
    cuts = [sorted({0, size, *data.draw(st.lists(st.integers(1, size - 1), max_size=3))}) for size in mosaic.shape[1:]]
    found = sums_of(truth, mosaic, cuts)
    assert found.figures(["red", "nir"]) == expected.figures(["red", "nir"])
    assert found.pairs.keys() == expected.pairs.keys()
    for key, sums in expected.seams.items():
        assert_array_equal(found.seams[key], sums)


def test_a_window_that_ends_where_an_overlap_begins_has_no_seam():
    truth = land(2, tiles=(1, 2), tile_px=300, overlap_px=120, bands=2, gain=0.0)
    sums = sums_of(truth, feathered(truth, 40), ([0, 300], [0, truth.tiles[1].col]))
    assert not sums.seams
    assert not sums.pairs


def test_sums_survive_a_checkpoint():
    truth = land(7, tile_px=300, overlap_px=120, bands=2, holes=3, ragged=True)
    sums = sums_of(truth, feathered(truth, 40))
    arrays = sums.to_arrays()
    assert tuple(arrays) == SUMS_ARRAYS
    again = MosaicSums.from_arrays({**arrays, "another": np.zeros(3)})
    assert again.figures(["red", "nir"]) == sums.figures(["red", "nir"])
    for name, array in again.to_arrays().items():
        assert_array_equal(array, arrays[name])
    assert not MosaicSums.from_arrays(MosaicSums().to_arrays()).seams


def test_figures_tell_what_a_tile_differs_by_and_are_plain_json():
    truth = land(2, tiles=(1, 2), tile_px=300, overlap_px=120, bands=2, gain=0.0)
    found = figures(truth, feathered(truth, 40))
    for band in range(2):
        pair = found["overlap"]["r0c0+r0c1"][f"b{band}"]
        expected = (truth.tiles[0].offset[band] - truth.tiles[1].offset[band]) * 1e-4
        assert pair["bias"] == pytest.approx(expected, abs=5e-5)
        assert pair["rmse"] == pytest.approx(np.hypot(expected, truth.noise_dn * 2**0.5 * 1e-4), rel=0.02)
        assert pair["pixels"] == 300 * 120
    assert abs(found["overlap_bias"]) == max(abs(pair["bias"]) for pair in found["overlap"]["r0c0+r0c1"].values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_where_nothing_is_measured_figures_are_none():
    found = MosaicSums().figures(["red"])
    assert found["seam_ratio"] is None
    assert found["overlap_rmse"] is None
    assert found["sharpness_kept"] is None
    assert found["by_band"]["red"]["seam_segments"] == 0
    assert found["seam_profile"] == {"mosaic": {}, "naive": {}}


def test_a_step_on_ground_without_noise_has_a_ratio_that_json_can_hold():
    stack = np.full((2, 256, 256), 100, np.int16)
    stack[1, :, :128] = NODATA
    level = OverlapWindow(0, 0, (slice(0, 256), slice(0, 256)), ("a", "b"), stack, stack[0].copy(), NODATA, 0)
    assert measured(level).figures(["red"])["seam_ratio"] is None
    level.mosaic[:, 128:] += 1
    assert measured(level).figures(["red"])["seam_ratio"] == 1e6


def test_names_out_of_order_are_refused():
    stack = np.zeros((2, 9, 9), np.int16)
    inner = (slice(0, 9), slice(0, 9))
    for names in (("b", "a"), ("a", "a"), ("a",)):
        with pytest.raises(GridMismatchError, match="sorted order"):
            measured(OverlapWindow(0, 0, inner, names, stack, stack[0], NODATA, 0))
