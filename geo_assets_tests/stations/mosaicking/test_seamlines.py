import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.ndimage import gaussian_filter, shift

from geo_assets.domain.errors import CorruptProductError, GridMismatchError
from geo_assets.kernels.mosaicking.blending import WEIGHT_ONE
from geo_assets.stations.mosaicking.blend import BlendSettings, blended
from geo_assets.stations.mosaicking.overlaps import CELL_PX, OverlapMeans, overlap_means
from geo_assets.stations.mosaicking.seamlines import FEATHER_PX, PairSeam, find_seam, seamline_weights
from geo_assets_tests.scenery.blend_sources import ArraySource, extent_of

LEFT, RIGHT = (0, 0, 480, 400), (0, 160, 480, 400)
UPPER, LOWER = (0, 0, 400, 480), (160, 0, 400, 480)
UPPER_LEFT, LOWER_RIGHT = (0, 0, 400, 400), (160, 160, 400, 400)
LOWER_LEFT, UPPER_RIGHT = (160, 0, 400, 400), (0, 160, 400, 400)
SHORT_LEFT, TALL_RIGHT = (160, 0, 240, 400), (0, 160, 640, 400)
WIDE, WITHIN, TALL = (160, 0, 240, 560), (200, 80, 160, 320), (0, 160, 560, 240)


def means(first, second, difference=0.0, *, seed=None):
    """Of two footprints: the second's values are the first's and a difference, smooth random ground if seeded."""
    top, left = (-(-max(first[axis], second[axis]) // CELL_PX) for axis in (0, 1))
    bottom, right = (min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) // CELL_PX for axis in (0, 1))
    shape = (2, max(bottom - top, 0), max(right - left, 0))
    ground = np.full(shape, 2000.0)
    if seed is not None:
        difference = np.rint(gaussian_filter(np.random.default_rng(seed).normal(0, 3000, shape), (0, 2, 2)))
    return OverlapMeans("a", "b", top, left, ground, ground + difference)


def found(first, second, *args, **kwargs):
    return find_seam(means(first, second, *args, **kwargs), first, second).label


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_line_between_left_and_right_goes_from_top_to_bottom(seed):
    label = found(LEFT, RIGHT, seed=seed)
    assert (np.diff(label.astype(int), axis=1) >= -1).all()
    assert (label[:, 0] == 0).all()
    assert (label[:, -1] == 1).all()


@pytest.mark.parametrize("seed", [None, 1])
def test_a_line_between_upper_and_lower_goes_from_left_to_right(seed):
    label = found(UPPER, LOWER, seed=seed)
    assert (label[0] == 0).all()
    assert (label[-1] == 1).all()


@pytest.mark.parametrize("seed", [None, 1])
def test_a_line_between_diagonal_neighbours_goes_from_corner_to_corner(seed):
    label = found(UPPER_LEFT, LOWER_RIGHT, seed=seed)
    assert not label[0].any()
    assert not label[:, 0].any()
    assert label[1:, -1].all()
    assert label[-1, 1:].all()
    falling = found(LOWER_LEFT, UPPER_RIGHT, seed=seed)
    assert not falling[-1].any()
    assert not falling[:, 0].any()
    assert falling[0, 1:].all()
    assert falling[:-1, -1].all()


def test_a_line_begins_where_the_shorter_one_ends():
    label = found(SHORT_LEFT, TALL_RIGHT, seed=1)
    assert not label[1:-1, 0].any()
    assert label[0, 1:].all()
    assert label[-1, 1:].all()


def test_a_line_is_straight_and_clear_of_the_ends_where_all_ground_is_alike():
    label = found(LEFT, RIGHT)
    assert (label == label[0]).all()
    assert FEATHER_PX // CELL_PX <= label[0].tolist().index(1) <= label.shape[1] - FEATHER_PX // CELL_PX


def test_tiles_of_one_row_that_differ_by_a_few_pixels_in_height_are_cut_as_if_they_did_not():
    level = found(LEFT, RIGHT, seed=1)
    assert_array_equal(found((-6, 0, 486, 400), RIGHT, seed=1), level)
    assert_array_equal(found(LEFT, (0, 160, 486, 400), seed=1), level)


@pytest.mark.parametrize("seed", [None, 1])
def test_without_a_line_the_farther_border_wins(seed):
    assert not found(WIDE, WITHIN, seed=seed).any()
    assert found(WITHIN, WIDE, seed=seed).all()
    assert not found(LEFT, LEFT, seed=seed).any()
    crossing = found(WIDE, TALL, seed=seed)
    assert crossing.shape == (30, 30)
    assert_array_equal([crossing[15, 0], crossing[15, -1], crossing[0, 15], crossing[-1, 15]], [0, 0, 1, 1])


spans = st.tuples(st.integers(-90, 90), st.integers(8, 200))


@given(spans, spans, spans, spans, st.integers(0, 99))
def test_any_two_that_share_a_cell_have_a_seam(rows, cols, other_rows, other_cols, seed):
    first, second = ((row[0], col[0], row[1], col[1]) for row, col in ((rows, cols), (other_rows, other_cols)))
    overlap = means(first, second)
    if min(overlap.first_means.shape) < 1:
        return
    random = np.random.default_rng(seed)
    gaps = np.where(random.random(overlap.first_means.shape) < 0.3, np.nan, random.integers(0, 9, (2, 1, 1)))
    seen = random.integers(0, 4, gaps.shape[1:], np.uint8)
    known = OverlapMeans("a", "b", overlap.row, overlap.col, overlap.first_means, overlap.second_means + gaps, seen)
    seam = find_seam(known, first, second)
    assert seam.label.shape == gaps.shape[1:]
    assert set(np.unique(seam.label)) <= {0, 1}


@pytest.mark.parametrize("offset", [-700, 40])
def test_an_offset_between_the_two_moves_nothing(offset):
    plain = means(LEFT, RIGHT, seed=3)
    other = OverlapMeans("a", "b", plain.row, plain.col, plain.first_means, plain.second_means + offset)
    assert_array_equal(find_seam(other, LEFT, RIGHT).label, find_seam(plain, LEFT, RIGHT).label)


def test_the_order_of_the_two_only_swaps_the_labels_where_the_line_does_not_run():
    plain = means(LEFT, RIGHT, seed=3)
    swapped = OverlapMeans("a", "b", plain.row, plain.col, plain.second_means, plain.first_means)
    same = find_seam(plain, LEFT, RIGHT).label == 1 - find_seam(swapped, RIGHT, LEFT).label
    assert (~same).sum(axis=1).max() <= 4
    with pytest.raises(GridMismatchError, match="expected them in order"):
        find_seam(OverlapMeans("b", "a", 0, 20, plain.first_means, plain.second_means), LEFT, RIGHT)


def test_a_line_keeps_clear_of_what_changed_as_far_as_the_feather_reaches():
    difference = np.zeros((2, 60, 30))
    difference[:, 20:40, :20] = 900
    label = found(LEFT, RIGHT, difference)
    assert not label[20:40, :22].any()
    assert label[30].any()


def test_a_line_goes_through_change_that_has_no_way_round():
    difference = np.zeros((2, 60, 30))
    difference[:, 20:40] = 900
    label = found(LEFT, RIGHT, difference)
    assert not label[:, 0].any()
    assert label[:, -1].all()


def test_a_gap_is_worth_no_detour_and_no_shelter_where_both_agree():
    difference = np.tile(np.where(np.indices((60, 30)).sum(axis=0) % 2, 100.0, -100.0), (2, 1, 1))
    difference[:, :, 15:22] = 0.0
    difference[:, 20:30, 12:26] = np.nan
    difference[:, :, :9] = np.nan
    label = found(LEFT, RIGHT, difference)
    assert {row.tolist().index(1) for row in label} <= set(range(17, 22))
    assert found(LEFT, RIGHT, np.full((2, 60, 30), np.nan)).any()


def test_where_scenes_end_aslant_the_line_goes_from_crossing_to_crossing_of_their_ends():
    random = np.random.default_rng(6)
    rows, cols = np.mgrid[:480, :560]
    ground = np.rint(2000 + gaussian_filter(random.normal(size=rows.shape), 4) * 3000)
    inside_first = (cols - rows // 4 < 300) & (rows + cols // 4 > 90)
    inside_second = (cols - rows // 4 > 180) & (rows - cols // 8 < 420)
    values = [
        np.where(inside, ground + random.normal(0, 60, ground.shape), -32768).astype(np.int16)[np.newaxis]
        for inside in (inside_first, inside_second)
    ]
    first = ArraySource("a", 0, 0, values[0][:, :, :400])
    second = ArraySource("b", 0, 160, values[1][:, :, 160:])
    means = overlap_means(first, second)
    assert_array_equal(np.unique(means.seen), [0, 1, 2, 3])
    assert means.seen[0, 0] == 0
    assert_array_equal(OverlapMeans.from_arrays(means.to_arrays()).seen, means.seen)
    seam = find_seam(means, LEFT, RIGHT)
    label = np.kron(seam.label, np.ones((8, 8), np.uint8))
    both = (inside_first & inside_second)[:, 160:400]
    cut = np.zeros(label.shape, bool)
    cut[:, 1:] = label[:, 1:] != label[:, :-1]
    one_only = (inside_first ^ inside_second)[:, 160:400]
    assert one_only[cut].mean() < 0.1
    assert both[cut].mean() > 0.6


def test_bands_that_differ_in_validity_far_from_where_sources_meet_keep_all_their_data():
    values = np.full((2, 80, 200), 500, np.int16)
    values[:, :, 150:] = -32768
    values[1, 40, 190] = 700
    left, right = ArraySource("a", 0, 0, values), ArraySource("b", 0, 100, np.full((2, 80, 200), 500, np.int16))
    right.values[:, :, 60:] = -32768
    blend = blended([left, right], 0, 0, 80, 300, BlendSettings(feather_px=30, seamlines=seams_of([left, right])))
    assert blend.values[1, 40, 190] == 700
    assert_array_equal(blend.values[0] == -32768, np.broadcast_to(np.arange(300) >= 160, (80, 300)))


def test_cells_of_other_ground_are_refused():
    with pytest.raises(GridMismatchError, match="expected them inside b"):
        find_seam(means(LEFT, RIGHT), LEFT, (*UPPER_LEFT[:2], 100, 100))


def test_a_seam_comes_back_from_a_file():
    seam = find_seam(means(LEFT, RIGHT, seed=1), LEFT, RIGHT)
    file = io.BytesIO()
    np.savez(file, **seam.to_arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        back = PairSeam.from_arrays(arrays)
    assert (back.first, back.second, back.row, back.col) == (seam.first, seam.second, seam.row, seam.col)
    assert_array_equal(back.label, seam.label)


@pytest.mark.parametrize("broken", [{"seam_label": np.full((2, 2), 2, np.uint8)}, {"seam_origin": np.zeros(3)}])
def test_a_broken_seam_is_refused(broken):
    with pytest.raises(CorruptProductError, match="Rebuild the overlap statistics"):
        PairSeam.from_arrays(find_seam(means(LEFT, RIGHT), LEFT, RIGHT).to_arrays() | broken)
    with pytest.raises(CorruptProductError, match="expected two names"):
        PairSeam.from_arrays({})


def seams_of(sources):
    footprints = {source.name: (source.row, source.col, source.height, source.width) for source in sources}
    pairs = [overlap_means(first, second) for first in sources for second in sources if first.name < second.name]
    return {
        (pair.first, pair.second): find_seam(pair, footprints[pair.first], footprints[pair.second])
        for pair in pairs
        if pair is not None
    }


def four_sources():
    """Four tiles round one corner, with holes; a quarter of the ground has all four."""
    random = np.random.default_rng(2)
    ground = gaussian_filter(random.normal(size=(200, 200)), 2) * 3000 + 2000
    sources = []
    for name, row, col in (("a", 0, 0), ("b", 3, 60), ("c", 62, 0), ("d", 60, 61)):
        values = ground[row : row + 130, col : col + 130] + gaussian_filter(random.normal(size=(130, 130)), 3) * 2000
        values = np.rint(values).astype(np.int16)[np.newaxis]
        values[0, random.integers(0, 110) :, :][:17, 40:60] = -32768
        sources.append(ArraySource(name, row - 40, col + 17, values))
    return sources


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_order_and_windows_change_no_weight_and_no_pixel_of_four_that_meet(data):
    sources = four_sources()
    settings_ = BlendSettings(feather_px=40, seamlines=seams_of(sources))
    top, left, height, width = extent_of(sources)
    whole = blended(sources, top, left, height, width, settings_)
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows, cols = data.draw(st.integers(1, height - row)), data.draw(st.integers(1, width - col))
    part = blended(data.draw(st.permutations(sources)), top + row, left + col, rows, cols, settings_)
    assert_array_equal(part.values, whole.values[:, row : row + rows, col : col + cols])


def test_a_source_just_beyond_a_tile_changes_nothing_in_it():
    sources = four_sources()
    tile = sources[1]
    beyond = ArraySource("0", tile.row, tile.col + tile.width + 1, np.full((1, 130, 130), 4000, np.int16))
    seams = seams_of([beyond, *sources])
    footprint = (tile.row, tile.col, tile.height, tile.width)
    alone, among = (
        blended(group, *footprint, BlendSettings(feather_px=40, seamlines=seams)).values
        for group in (sources, [*sources, beyond])
    )
    assert_array_equal(alone, among)


def test_weights_come_in_the_order_of_the_names():
    sources = four_sources()
    valid = np.zeros((4, 200, 200), bool)
    for plane, source in zip(valid, sources, strict=True):
        rows, cols = (slice(at, at + 130) for at in (source.row + 40, source.col - 17))
        plane[rows, cols] = source.values[0] != source.nodata
    inner, seams = np.s_[30:160, 30:160], seams_of(sources)
    weights = seamline_weights(valid, "abcd", seams, -40, 17, inner)
    order = [2, 0, 3, 1]
    shuffled = seamline_weights(valid[order], [*"cadb"], seams, -40, 17, inner)
    assert_array_equal(shuffled, weights[order])
    assert_array_equal(seamline_weights(valid, "abcd", {}, -40, 17, inner)[0][100:, 100:], 0)
    assert (seamline_weights(valid, "abcd", {}, -40, 17, np.s_[:50, :30])[0] == WEIGHT_ONE).all()
    with pytest.raises(GridMismatchError, match="many different names"):
        seamline_weights(valid, "aabc", seams, -40, 17, inner)


@pytest.fixture(scope="module")
def misregistered():
    """Two scenes of fields, half a pixel apart, 2 % and 15 counts brighter, every fifth field changed."""
    random = np.random.default_rng(0)
    height, width, overlap = 512, 1100, 520
    rows, cols = np.mgrid[: height + 8, : width + 8]
    fields = sum(
        random.integers(-400, 400, (60, 120))[(rows + cols // 7 % 3) // px, (cols + rows // 9) // px] for px in (37, 13)
    )
    ground = gaussian_filter(2000 + fields + 400 * gaussian_filter(random.normal(size=fields.shape), 1.2), 0.6)
    changed = (random.random((20, 30)) < 0.2)[rows // 60, cols // 60]
    ground, later = (shift(ground, by, order=1, mode="nearest") for by in (-0.25, 0.25))
    later = 1.02 * later + 15
    later += changed * random.integers(-700, 700, (20, 30))[rows // 60, cols // 60]
    scenes = [np.rint(values + random.normal(0, 10, values.shape)).astype(np.int16) for values in (ground, later)]
    left = ArraySource("a", 0, 0, scenes[0][np.newaxis, :height, : 290 + overlap])
    right = ArraySource("b", 0, 290, scenes[1][np.newaxis, :height, 290:width])
    return left, right, changed[:height, 290 : 290 + overlap]


def test_a_seamline_keeps_what_a_wide_feather_blurs(misregistered):
    left, right, _ = misregistered
    wide, narrow = (
        blended([left, right], 0, 0, 512, 1100, BlendSettings(feather_px=240, seamlines=seams, measure=True))
        for seams in (None, seams_of([left, right]))
    )
    figures = [blend.sums.figures(["red"]) for blend in (wide, narrow)]
    assert figures[0]["sharpness_kept"] < 0.92
    assert figures[1]["sharpness_kept"] >= 0.97
    assert figures[1]["seam_ratio"] <= 1.3 < figures[1]["seam_naive_ratio"]
    assert figures[1]["outside_inputs_px"] == figures[1]["single_source_mismatch_px"] == 0
    assert steps_along_the_line(narrow, [-1, 0, 1]) <= 1.3 * steps_along_the_line(narrow, [-60, -50, -40, 40, 50, 60])


def steps_along_the_line(blend, offsets_px):
    """Largest mean step over 256 rows from left to right, on lines so far from where the owner changes."""
    line = np.argmax(blend.owner == 1, axis=1)
    rows = np.arange(len(line))
    values = blend.values[0].astype(float)
    steps = np.stack([values[rows, line + away] - values[rows, line + away - 1] for away in offsets_px])
    return np.abs(steps.reshape(len(offsets_px), -1, 256).mean(axis=2)).max()


def test_a_seamline_avoids_changed_fields(misregistered):
    left, right, changed = misregistered
    seam = seams_of([left, right])["a", "b"]
    cut = np.zeros(seam.label.shape, bool)
    cut[:, 1:] |= seam.label[:, 1:] != seam.label[:, :-1]
    cut[1:] |= seam.label[1:] != seam.label[:-1]
    top, first = CELL_PX * seam.row, CELL_PX * seam.col - 290
    cells = changed[top : top + CELL_PX * cut.shape[0], first : first + CELL_PX * cut.shape[1]]
    cells = cells.reshape(cut.shape[0], CELL_PX, cut.shape[1], CELL_PX).mean(axis=(1, 3))
    assert cells.mean() > 0.12
    assert cells[cut].mean() < 0.01
