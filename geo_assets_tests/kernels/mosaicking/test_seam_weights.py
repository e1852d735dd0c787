import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import distance_transform_edt

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.mosaicking import seam_weights
from geo_assets.kernels.mosaicking.blending import WEIGHT_ONE
from geo_assets.kernels.mosaicking.seam_weights import NOBODY, CellLabels, owners, ownership_weights

CELL, FEATHER = 8, 6
SIZE = 26


@st.composite
def grounds(draw):
    """(valid, labels, row, col) of two to four sources with holes, and labels for most pairs."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sources = draw(st.integers(2, 4))
    valid = np.ones((sources, SIZE, SIZE), bool)
    for source in valid:
        for _ in range(draw(st.integers(0, 3))):
            top, left, height, width = random.integers(0, SIZE, 4)
            source[top : top + height, left : left + width] = False
    row, col = (draw(st.integers(-30, 30)) for _ in range(2))
    labels = {
        (first, second): CellLabels(
            (row + random.integers(-9, 20)) // CELL,
            (col + random.integers(-9, 20)) // CELL,
            random.integers(0, 2, random.integers(1, 6, 2), np.uint8),
        )
        for second in range(sources)
        for first in range(second)
        if random.random() < 0.8
    }
    return valid, labels, row, col


def second_wins(cells, row, col):
    """Labels interpolated at one pixel's centre, by the docstring."""
    rows, cols = cells.label.shape
    down, along = ((at + 0.5) / CELL - origin - 0.5 for at, origin in ((row, cells.row), (col, cells.col)))
    above, left = int(np.floor(down)), int(np.floor(along))
    total = 0.0
    for r, share_r in ((above, above + 1 - down), (above + 1, down - above)):
        for c, share_c in ((left, left + 1 - along), (left + 1, along - left)):
            total += share_r * share_c * cells.label[np.clip(r, 0, rows - 1), np.clip(c, 0, cols - 1)]
    return total > 0.5


def slow_owners(valid, labels, row, col):
    owner = np.full(valid.shape[1:], NOBODY, np.uint8)
    for y, x in np.argwhere(valid.any(axis=0)):
        here = np.flatnonzero(valid[:, y, x])
        wins = dict.fromkeys(here, 0)
        for second in here:
            for first in here[here < second]:
                cells = labels.get((first, second))
                wins[second if cells and second_wins(cells, row + y, col + x) else first] += 1
        winners = [source for source in here if wins[source] == len(here) - 1]
        owner[y, x] = winners[0] if winners else here[0]
    return owner


def distance(to):
    """To the nearest True; far where there is none."""
    return distance_transform_edt(~to) if to.any() else np.full(to.shape, 1e9)


def slow_weights(valid, owner):
    """Floats, of a whole in which nobody has data outside."""
    weights = np.zeros(valid.shape)
    known = owner != NOBODY
    for source in range(len(valid)):
        own = owner == source
        past_line = np.where(own, 0.5 - distance(known & ~own), distance(own) - 0.5)
        share = (1 - np.sin(np.pi / 2 * np.clip(past_line / (FEATHER - 0.5), -1, 1))) / 2
        to_end = distance(np.pad(~valid[source], 1, constant_values=True))[1:-1, 1:-1]
        weights[source] = share * (1 - np.cos(np.pi * np.minimum(to_end / FEATHER, 1))) / 2 * valid[source]
    weights[:, (np.rint(weights * WEIGHT_ONE) > 0).sum(axis=0) == 1] = 0
    weights = np.rint(weights * WEIGHT_ONE)
    alone = (weights.sum(axis=0) == 0) & known
    for source in range(len(valid)):
        weights[source, alone & (owner == source)] = WEIGHT_ONE
    return weights


def whole(valid, owner):
    return ownership_weights(valid, owner, np.s_[:, :], feather_px=FEATHER)


@settings(max_examples=12, deadline=None)
@given(grounds())
def test_owners_and_weights_equal_the_slow_reference(ground):
    owner = owners(*ground, cell_px=CELL)
    assert_array_equal(owner, slow_owners(*ground))
    assert_allclose(whole(ground[0], owner), slow_weights(ground[0], owner), atol=2)


@given(grounds())
def test_somebody_has_a_weight_exactly_where_somebody_has_data_and_nobody_without(ground):
    valid = ground[0]
    weights = whole(valid, owners(*ground, cell_px=CELL))
    assert_array_equal(weights.sum(axis=0) > 0, valid.any(axis=0))
    assert not weights[~valid].any()
    assert weights.min() >= 0
    assert weights.max() <= WEIGHT_ONE


@given(grounds())
def test_beyond_the_feather_the_owner_is_alone(ground):
    owner = owners(*ground, cell_px=CELL)
    weights = whole(ground[0], owner)
    for source, weight in enumerate(weights):
        assert not weight[distance(owner == source) >= FEATHER].any()
        other = (owner != source) & (owner != NOBODY)
        assert (weight[(owner == source) & (distance(other) >= FEATHER)] == WEIGHT_ONE).all()
        assert (weight[owner == source] > 0).all()


@given(grounds(), st.data())
def test_a_window_with_a_feather_around_it_has_the_weights_of_the_whole(ground, data):
    valid, labels, row, col = ground
    top, left = (data.draw(st.integers(0, SIZE - 1)) for _ in range(2))
    height, width = (data.draw(st.integers(1, SIZE - begin)) for begin in (top, left))
    first_row, first_col = max(top - FEATHER, 0), max(left - FEATHER, 0)
    near = valid[:, first_row : top + height + FEATHER, first_col : left + width + FEATHER]
    inner = np.s_[top - first_row : top - first_row + height, left - first_col : left - first_col + width]
    owner = owners(near, labels, row + first_row, col + first_col, cell_px=CELL)
    part = ownership_weights(near, owner, inner, feather_px=FEATHER)
    expected = whole(valid, owners(*ground, cell_px=CELL))[:, top : top + height, left : left + width]
    assert_array_equal(part, expected)


def test_the_tiles_in_which_weights_are_made_leave_no_trace(monkeypatch):
    random = np.random.default_rng(4)
    valid = random.random((3, SIZE, SIZE)) < 0.97
    labels = {
        (0, 1): CellLabels(0, 0, random.integers(0, 2, (4, 4), np.uint8)),
        (1, 2): CellLabels(1, 1, np.eye(2, dtype=np.uint8)),
    }
    owner = owners(valid, labels, 0, 0, cell_px=CELL)
    expected = whole(valid, owner)
    monkeypatch.setattr(seam_weights, "_TILE_PX", 5)
    assert_array_equal(whole(valid, owner), expected)


def test_a_line_is_feathered_alike_on_both_sides():
    cells = CellLabels(0, 0, np.array([[0, 0, 1, 1]], np.uint8))
    valid = np.ones((2, 3, 32), bool)
    owner = owners(np.pad(valid, ((0, 0), (9, 9), (9, 9)), constant_values=True), {(0, 1): cells}, -9, -9, cell_px=CELL)
    around = np.ones((2, *owner.shape), bool)
    weights = ownership_weights(around, owner, np.s_[9:12, 9:41], feather_px=FEATHER)
    assert_array_equal(weights[0], weights[1, :, ::-1])
    assert_array_equal(
        np.rint(100 * weights[0, 1, 9:23] / WEIGHT_ONE), [100, 100, 98, 92, 83, 71, 57, 43, 29, 17, 8, 2, 0, 0]
    )


def test_three_that_win_in_a_circle_leave_the_ground_to_the_first():
    valid = np.ones((3, 8, 8), bool)
    first, second = CellLabels(0, 0, np.zeros((1, 1), np.uint8)), CellLabels(0, 0, np.ones((1, 1), np.uint8))
    circle = {(0, 1): first, (1, 2): first, (0, 2): second}
    assert (owners(valid, circle, 0, 0, cell_px=CELL) == 0).all()
    valid[0] = False
    assert (owners(valid, circle, 0, 0, cell_px=CELL) == 1).all()
    assert (owners(valid[[1, 2, 0]], {}, 0, 0, cell_px=CELL) == 0).all()


def test_an_empty_window_is_refused():
    with pytest.raises(GridMismatchError, match="one with pixels"):
        ownership_weights(np.ones((2, 4, 4), bool), np.zeros((4, 4), np.uint8), np.s_[2:2, :], feather_px=FEATHER)
