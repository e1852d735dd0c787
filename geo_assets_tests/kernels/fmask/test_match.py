from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from geo_assets.kernels.angles import Angles
from geo_assets.kernels.fmask import match as matching
from geo_assets.kernels.fmask.match import (
    UNMATCHED_M,
    CloudObjects,
    Displacement,
    cloud_objects,
    heights_to_try,
    match_clouds,
    shadow_displacement,
)
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets_tests.kernels.fmask import shadow_references
from geo_assets_tests.scenery.strategies import flags

CHOSEN = FmaskSettings()
ALONE = replace(CHOSEN, shadow_neighbours=0)
shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def one_cloud_at(row, col):
    nothing = np.empty(0, np.int32)
    return CloudObjects(
        nothing, nothing, nothing, np.zeros(2, np.int64), np.ones(1, np.int64), np.array([row]), np.array([col])
    )


@given(shapes.flatmap(flags))
def test_objects_are_scipys_eight_connected_ones(cloud):
    objects = cloud_objects(cloud)
    labels, count = ndimage.label(cloud, shadow_references.TOUCHING)
    drawn = np.zeros_like(labels)
    for number in range(objects.count):
        for run in range(objects.first_run[number], objects.first_run[number + 1]):
            drawn[objects.run_row[run], objects.run_begin[run] : objects.run_end[run]] = number + 1
    assert_array_equal(drawn, labels)
    assert_array_equal(objects.area_px, np.bincount(labels.ravel(), minlength=count + 1)[1:])
    centroids = np.array(ndimage.center_of_mass(cloud, labels, np.arange(1, count + 1))).reshape(-1, 2)
    assert_allclose(np.column_stack([objects.row, objects.col]), centroids)


@pytest.mark.parametrize(
    ("sun_azimuth", "row", "col"), [(0, 1, 0), (90, 0, -1), (180, -1, 0), (270, 0, 1), (45, 0.7071, -0.7071)]
)
def test_shadows_lie_away_from_the_sun(sun_azimuth, row, col):
    move = shadow_displacement(one_cloud_at(3.0, 4.0), Angles.constant(45, sun_azimuth), 20.0)
    assert_allclose([20 * move.row_per_m[0], 20 * move.col_per_m[0]], [row, col], atol=1e-4)


@pytest.mark.parametrize(
    ("view_azimuth", "row", "col"), [(0, -1, 0), (90, 0, 1), (180, 1, 0), (270, 0, -1), (45, -0.7071, 0.7071)]
)
def test_a_cloud_seen_aslant_stands_nearer_to_the_sensor_than_it_seems(view_azimuth, row, col):
    move = shadow_displacement(one_cloud_at(3.0, 4.0), Angles.constant(0, 0, 45, view_azimuth), 10.0)
    assert_allclose([10 * move.row_per_m[0], 10 * move.col_per_m[0]], [row, col], atol=1e-4)


def test_seen_from_where_the_sun_stands_a_cloud_hides_its_shadow():
    move = shadow_displacement(one_cloud_at(3.0, 4.0), Angles.constant(30, 150, 30, 150), 10.0)
    assert_allclose([move.row_per_m, move.col_per_m], 0, atol=1e-7)
    assert_array_equal(heights_to_try(Displacement(np.zeros(1), np.zeros(1)), CHOSEN), [CHOSEN.shadow_lowest_m])


def test_every_cloud_has_the_angles_of_its_own_place():
    cloud = np.zeros((1, 40), bool)
    cloud[0, 2:5] = cloud[0, 30:35] = True
    angles = Angles(np.array([[20.0, 60.0]]), *(np.full((1, 2), angle) for angle in (90.0, 0.0, 0.0)), col_step=39.0)
    move = shadow_displacement(cloud_objects(cloud), angles, 10.0)
    zenith = np.radians(20 + 40 * np.array([3, 32]) / 39)
    assert_allclose(move.col_per_m, -np.tan(zenith) / 10, rtol=1e-5)


def test_heights_move_no_shadow_by_more_than_a_pixel_and_reach_both_ends():
    move = Displacement(np.array([0.02, 0.05]), np.array([-0.01, 0.03]))
    heights = heights_to_try(move, CHOSEN)
    assert heights[0] == CHOSEN.shadow_lowest_m
    assert heights[-1] == CHOSEN.shadow_highest_m
    assert np.diff(heights).max() * np.hypot(0.05, 0.03) <= 1 + 1e-9


@settings(max_examples=60)
@given(st.integers(0, 2**32), shapes, st.floats(-0.03, 0.03), st.floats(-0.03, 0.03))
def test_similarities_equal_the_slow_reference(seed, shape, row_per_m, col_per_m):
    random = np.random.default_rng(seed)
    cloud, dark, valid = (random.random(shape) < share for share in (0.3, 0.5, 0.8))
    comparable = valid & ~cloud
    objects, heights = cloud_objects(cloud), np.linspace(50, 600, 23)
    sums = np.zeros((shape[0], shape[1] + 1), np.uint32)
    matching._sum_rows(dark, comparable, sums)
    found = np.empty((objects.count, heights.size), np.float32)
    matching._fill_similarity(
        (objects.run_row, objects.run_begin, objects.run_end, objects.first_run), sums,
        (np.full(objects.count, row_per_m), np.full(objects.count, col_per_m)), heights, np.arange(objects.count),
        np.float32(0.1), 20_000, found, np.empty_like(found),
    )  # fmt: skip
    expected = shadow_references.similarities(cloud, dark, comparable, row_per_m, col_per_m, heights, 0.1)
    assert_allclose(found, expected, rtol=1e-5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from([0.5, 0.9, 1.0]))
def test_the_lowest_height_near_the_best_is_climbed_to_its_top(judged, tolerance):
    judged = np.array(judged, np.float32)
    near = np.flatnonzero(judged >= tolerance * judged.max())
    last = near[0]
    while last + 1 in near:
        last += 1
    expected = near[0] + judged[near[0] : last + 1].argmax()
    assert matching._lowest_close_to_best(judged, tolerance) == expected


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(2, 30), st.integers(0, 6), st.integers(1, 60))
def test_neighbours_are_the_nearest_large_clouds(seed, size, count, witness_px):
    cloud = np.random.default_rng(seed).random((size, size)) < 0.3
    objects = cloud_objects(cloud)
    witness = matching._witnesses(objects, replace(CHOSEN, shadow_witness_px=witness_px), most=10**6)
    assert_array_equal(witness, np.flatnonzero(objects.area_px >= witness_px))
    nearest = matching._nearest(objects, witness, count)
    for number, found in enumerate(nearest):
        others = witness[witness != number]
        away = np.abs(objects.row[others] - objects.row[number]) + np.abs(objects.col[others] - objects.col[number])
        chosen = witness[found[found >= 0]]
        assert number not in chosen
        assert chosen.size == min(count, others.size)
        away_found = np.abs(objects.row[chosen] - objects.row[number]) + np.abs(
            objects.col[chosen] - objects.col[number]
        )
        assert_allclose(away_found, np.sort(away)[: chosen.size])


def shadowed_ground(heights_m, *, row_per_m=-0.04, col_per_m=-0.02, size=170):
    """Clouds of growing size along a diagonal, and ground that is dark in their shadows and here and there."""
    random = np.random.default_rng(3)
    cloud, dark = np.zeros((size, size), bool), random.random((size, size)) < 0.08
    for number in range(len(heights_m)):
        top, left, edge = 70 + 14 * number, 150 - 15 * number, 5 + number
        cloud[top : top + edge, left : left + edge] = True
        cloud[top : top + edge // 2, left : left + edge + 3] = True
    labels, _ = ndimage.label(cloud)
    for number, height in enumerate(heights_m):
        rows, cols = np.nonzero(labels == number + 1)
        dark[rows + int(np.rint(height * row_per_m)), cols + int(np.rint(height * col_per_m))] = True
    objects = cloud_objects(cloud)
    move = Displacement(np.full(objects.count, row_per_m), np.full(objects.count, col_per_m))
    return objects, dark & ~cloud, ~cloud, move


@pytest.mark.parametrize("settings", [CHOSEN, ALONE])
@pytest.mark.parametrize("heights_m", [(500,) * 5, (1500,) * 5, (400, 1500, 420, 1480, 410)])
def test_heights_are_found_within_a_pixel(heights_m, settings):
    objects, dark, comparable, move = shadowed_ground(heights_m)
    match = match_clouds(objects, dark=dark, comparable=comparable, displacement=move, settings=settings)
    assert_allclose(match.height_m, heights_m, atol=1 / 0.04 + 1)
    assert (match.similarity > 0.9).all()


def test_without_dark_ground_nothing_is_matched():
    objects, dark, comparable, move = shadowed_ground((500,) * 5)
    match = match_clouds(objects, dark=dark & False, comparable=comparable, displacement=move, settings=CHOSEN)
    assert_array_equal(match.height_m, UNMATCHED_M)
    assert_array_equal(match.similarity, 0)


def test_ground_outside_speaks_neither_for_a_match_nor_makes_one():
    objects, dark, comparable, _ = shadowed_ground((500,) * 5)
    far = Displacement(np.full(objects.count, 3.0), np.full(objects.count, 3.0))
    match = match_clouds(objects, dark=dark, comparable=comparable, displacement=far, settings=CHOSEN)
    assert_array_equal(match.height_m, UNMATCHED_M)


def test_a_height_that_no_neighbour_has_must_convince_by_itself():
    heights_m = np.array([500.0, 510.0, 2000.0, 490.0, 2100.0])
    neighbours = np.array([[number for number in range(5) if number != cloud] for cloud in range(5)])
    convincing = np.array([False, False, False, False, True])
    kept = heights_m.copy()
    matching._drop_alone(kept, convincing, heights_m, neighbours, 0.5, 0.25, 20.0)
    assert_array_equal(kept, [500, 510, UNMATCHED_M, 490, 2100])


def test_a_cloud_of_very_many_runs_is_sampled_and_finds_the_same_height():
    objects, dark, comparable, move = shadowed_ground((800,) * 5)
    sampled = match_clouds(
        objects, dark=dark, comparable=comparable, displacement=move, settings=replace(CHOSEN, shadow_sampled_runs=3)
    )
    assert_allclose(sampled.height_m, 800, atol=1 / 0.04 + 1)


def test_threads_change_nothing():
    objects, dark, comparable, move = shadowed_ground((800,) * 5)

    def heights(_):
        found = match_clouds(objects, dark=dark, comparable=comparable, displacement=move, settings=CHOSEN)
        return found.height_m.tobytes() + found.similarity.tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(heights, range(12)))) == 1


def test_the_largest_clouds_speak_when_there_are_too_many():
    objects = cloud_objects(np.repeat([[True, False], [False, False]], [1, 3], axis=0).repeat([2, 1], axis=1))
    assert_array_equal(matching._witnesses(objects, replace(CHOSEN, shadow_witness_px=1), most=1), [0])
    objects, *_ = shadowed_ground((500,) * 5)
    assert_array_equal(matching._witnesses(objects, replace(CHOSEN, shadow_witness_px=1), most=2), [3, 4])
