from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from scipy.ndimage import label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.mosaicking.seamline import HIGHEST_COST, UNDECIDED, cheapest_path, sides_of

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
costs = shapes.flatmap(lambda shape: hnp.arrays(np.int32, shape, elements=st.integers(1, 9)))


def column(shape, index):
    cells = np.zeros(shape, bool)
    cells[:, index] = True
    return cells


def price(cost, path):
    """What a path pays, by the docstring."""
    ends = [5 * int(cost[tuple(path[0])])]
    for here, there in pairwise(path):
        assert np.abs(here - there).max() == 1
        ends.append((7 if (here != there).all() else 5) * (int(cost[tuple(here)]) + int(cost[tuple(there)])))
    return sum(ends)


def cheapest_price(cost, starts, ends):
    """The same of the best path, by scipy."""
    cells = np.arange(cost.size).reshape(cost.shape)
    edges = []
    for here, there, step in (
        (np.s_[:, :-1], np.s_[:, 1:], 5), (np.s_[:-1], np.s_[1:], 5),
        (np.s_[:-1, :-1], np.s_[1:, 1:], 7), (np.s_[:-1, 1:], np.s_[1:, :-1], 7),
    ):  # fmt: skip
        edges.append(np.stack([cells[here], cells[there], step * (cost[here] + cost[there])]).reshape(3, -1))
    rows, cols, prices = np.concatenate(edges, axis=1)
    graph = coo_array((prices, (rows, cols)), shape=(cost.size, cost.size)).tocsr()
    far = dijkstra(graph, directed=False, indices=cells[starts])
    return (far + 5 * cost[starts][:, np.newaxis])[:, cells[ends]].min()


@settings(max_examples=40)
@given(costs)
def test_no_path_is_cheaper(cost):
    starts, ends = column(cost.shape, 0), column(cost.shape, -1)
    path = cheapest_path(cost, starts, ends)
    assert starts[tuple(path[0])]
    assert ends[tuple(path[-1])]
    assert price(cost, path) == cheapest_price(cost, starts, ends)


@given(costs)
def test_the_two_sides_of_a_path_touch_nowhere_and_all_ground_has_one(cost):
    path = cheapest_path(cost, column(cost.shape, 0), column(cost.shape, -1))
    first, second = np.zeros(cost.shape, bool), np.zeros(cost.shape, bool)
    first[0], second[-1] = True, True
    side = sides_of(path, first, second)
    on_path = np.zeros(cost.shape, bool)
    on_path[tuple(path.T)] = True
    assert_array_equal(side == UNDECIDED, on_path)
    regions, _ = label(~on_path)
    assert not set(regions[side == 0]) & set(regions[side == 1])


def test_a_path_of_many_equal_ones_is_always_the_same():
    flat = np.ones((5, 7), np.int32)
    path = cheapest_path(flat, column(flat.shape, 0), column(flat.shape, -1))
    assert_array_equal(path, [(0, col) for col in range(7)])


def test_a_path_goes_round_what_is_dear_and_through_what_has_no_way_round():
    cost = np.ones((5, 6), np.int32)
    cost[:4, 2] = 9
    cost[:, 4] = 9
    path = cheapest_path(cost, column(cost.shape, 0), column(cost.shape, -1))
    assert_array_equal(path[:, 0], [4, 4, 4, 4, 4, 4])
    assert_array_equal(path[:, 1], range(6))


def test_a_path_may_be_one_cell():
    here = np.zeros((3, 3), bool)
    here[1, 2] = True
    assert_array_equal(cheapest_path(np.ones((3, 3), np.int32), here, here), [(1, 2)])


@pytest.mark.parametrize("wrong", [0, -1, HIGHEST_COST + 1])
def test_costs_out_of_range_are_refused(wrong):
    cost = np.full((2, 2), wrong, np.int32)
    with pytest.raises(GridMismatchError, match="costs from"):
        cheapest_path(cost, cost == wrong, cost == wrong)


def test_a_path_from_nowhere_is_refused():
    cost = np.ones((2, 2), np.int32)
    with pytest.raises(GridMismatchError, match="found 0 starts, 4 ends"):
        cheapest_path(cost, cost == 0, cost == 1)


def test_more_cells_than_costs_can_be_told_apart_in_are_refused():
    many = np.broadcast_to(np.int32(1), (30_000, 30_000))
    with pytest.raises(GridMismatchError, match="found 30000 x 30000 cells"):
        cheapest_path(many, *2 * [np.broadcast_to(True, many.shape)])
