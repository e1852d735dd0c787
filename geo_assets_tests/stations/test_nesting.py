"""Codes between the region's pixels and the mask's, whatever the sizes of both."""

import math

import numpy as np
import pytest
from affine import Affine
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox

from geo_assets.stations.ground import Ground
from geo_assets.stations.nesting import Nesting

EDGE_M = 12_000
SIZES = [(20, 60), (10, 60), (10, 15), (12, 20), (20, 20), (60, 20), (30, 20)]
"""Metres of the region's pixels and of the mask's."""
RANK = {255: 0, 0: 1, 4: 2, 3: 3, 2: 4, 1: 5}


def ground(pixel_m: int) -> Ground:
    shape = (EDGE_M // pixel_m, EDGE_M // pixel_m)
    geobox = GeoBox(shape, Affine(pixel_m, 0, 499_980, 0, -pixel_m, 5_100_000), "EPSG:32633")
    blocks = math.ceil(shape[0] / 512)
    return Ground("33TVL", geobox, geobox.extent.geom, np.ones((blocks, blocks), bool))


def codes_of(ground: Ground) -> np.ndarray:
    draw = np.random.default_rng(3)
    return draw.choice(np.array([0, 0, 0, 0, 1, 2, 3, 4, 255], np.uint8), ground.geobox.shape)


@pytest.mark.parametrize(("fine_m", "coarse_m"), SIZES)
def test_a_pixel_has_the_code_of_the_one_that_holds_its_centre(fine_m, coarse_m):
    nesting = Nesting(ground(fine_m), ground(coarse_m))
    codes = codes_of(nesting.coarse)
    for row, col in nesting.fine.blocks()[:2]:
        window = nesting.fine.block_window(row, col)
        at = [
            [math.floor((index + 0.5) * fine_m / coarse_m) for index in range(first, first + size)]
            for first, size in ((window.row, window.height), (window.col, window.width))
        ]
        assert_array_equal(nesting.nearest(codes, window), codes[np.ix_(*at)])


@pytest.mark.parametrize(("fine_m", "coarse_m"), SIZES)
def test_block_by_block_a_coarse_pixel_gets_the_most_restrictive_code_that_it_touches(fine_m, coarse_m):
    nesting = Nesting(ground(fine_m), ground(coarse_m))
    codes = codes_of(nesting.fine)
    found = []
    for row, col in nesting.fine.blocks():
        window = nesting.fine.block_window(row, col)
        found.append(nesting.cells(codes[nesting.completed(window).slices], window).ravel())
    plane = np.full(nesting.coarse.geobox.shape, 77, np.uint8)
    nesting.lay(plane, nesting.fine.blocks(), np.concatenate(found))
    assert (plane != 77).all()
    draw = np.random.default_rng(4)
    for row, col in draw.integers(0, plane.shape[0], (200, 2)):
        rows, cols = (
            slice(number * coarse_m // fine_m, math.ceil((number + 1) * coarse_m / fine_m)) for number in (row, col)
        )
        assert plane[row, col] == max(codes[rows, cols].ravel(), key=lambda code: RANK[int(code)])


@pytest.mark.parametrize(("fine_m", "coarse_m"), SIZES)
def test_reflectance_is_averaged_in_whole_groups_and_taken_at_centres_otherwise(fine_m, coarse_m):
    nesting = Nesting(ground(fine_m), ground(coarse_m))
    counts = np.random.default_rng(5).integers(0, 5000, nesting.fine.geobox.shape).astype(np.int16)
    window = nesting.coarse.block_window(0, 0)
    found = nesting.averaged(counts[nesting.under(window).slices], window)
    assert found.shape == (window.height, window.width)
    if coarse_m % fine_m == 0:
        group = coarse_m // fine_m
        assert found[3, 5] == math.floor(counts[3 * group : 4 * group, 5 * group : 6 * group].mean() + 0.5)
    else:
        assert found[3, 5] == counts[int(3.5 * coarse_m / fine_m), int(5.5 * coarse_m / fine_m)]
