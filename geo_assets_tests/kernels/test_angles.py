import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import DetectorError, GridMismatchError
from geo_assets.kernels.angles import Angles, angles_from, ground_incidence

FOUR = ("sun_zenith", "sun_azimuth", "view_zenith", "view_azimuth")


@st.composite
def node_grids(draw):
    """Angles at up to 4 x 4 nodes anywhere, azimuths within a right angle so that none cancel each other."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    zeniths = [draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 89, width=32))) for _ in "sv"]
    spread = [draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 90, width=32))) for _ in "sv"]
    turned = [(azimuth + draw(st.integers(0, 359))) % 360 for azimuth in spread]
    place = {name: draw(st.floats(-20, 20)) for name in ("first_row", "first_col")}
    place |= {name: draw(st.floats(0.5, 9)) for name in ("row_step", "col_step")}
    return Angles(zeniths[0], turned[0], zeniths[1], turned[1], **place)


positions = st.floats(-30, 60)


def difference(one, other):
    return (np.asarray(one) - other + 180) % 360 - 180


def slow_angle(angles, name, row, col):
    """One angle of one pixel, by the definition."""
    nodes = getattr(angles, name)
    down = min(max((row + 0.5 - angles.first_row) / angles.row_step, 0), nodes.shape[0] - 1)
    right = min(max((col + 0.5 - angles.first_col) / angles.col_step, 0), nodes.shape[1] - 1)
    total = 0
    for node_row in range(nodes.shape[0]):
        for node_col in range(nodes.shape[1]):
            weight = max(0, 1 - abs(down - node_row)) * max(0, 1 - abs(right - node_col))
            node = float(nodes[node_row, node_col])
            total += weight * (cmath.rect(1, math.radians(node)) if name.endswith("azimuth") else node)
    return math.degrees(cmath.phase(total)) % 360 if name.endswith("azimuth") else total


@given(node_grids(), positions, positions)
def test_angles_between_nodes_are_those_of_the_slow_interpolation(angles, row, col):
    for name, found in zip(FOUR, angles.at(row, col), strict=True):
        assert abs(difference(found, slow_angle(angles, name, row, col))) < 1e-6


@settings(max_examples=30)
@given(node_grids(), positions, positions, st.integers(-9, 9), st.integers(-9, 9))
def test_a_window_s_pixels_have_the_angles_of_the_raster_s(angles, row, col, first_row, first_col):
    window = angles.within(first_row, first_col)
    assert_allclose(window.at(row - first_row, col - first_col), angles.at(row, col), atol=1e-6)


def test_larger_pixels_with_the_same_corner_have_the_angles_of_their_centre():
    nodes = np.linspace(10, 60, 12, dtype=np.float32).reshape(3, 4)
    metres = Angles(nodes, nodes, nodes, nodes, first_row=0, first_col=0, row_step=5000, col_step=5000)
    assert_allclose(metres.on_pixels(60).at(70, 100), metres.at(70.5 * 60 - 0.5, 100.5 * 60 - 0.5))


def test_azimuths_meet_at_north():
    azimuth = np.array([[350, 20]], np.float32)
    flat = np.full((1, 2), 30, np.float32)
    _, sun, _, view = Angles(flat, azimuth, flat, azimuth).at(0, [0, 0.25, 1 / 3, 0.5, 1])
    assert_allclose(difference(sun, [350, 357.3, 0, 5, 20]), 0, atol=0.3)
    assert_array_equal(sun, view)
    assert (sun >= 0).all()
    assert (sun < 360).all()


def test_constant_angles_are_the_same_everywhere():
    found = Angles.constant(45, 160, 5, 100).at([[0], [1000]], [-5, 0, 99])
    for angle, expected in zip(found, (45, 160, 5, 100), strict=True):
        assert angle.shape == (2, 3)
        assert_allclose(angle, expected)


def test_angles_per_pixel_are_those_of_the_pixel():
    pixels = np.arange(6, dtype=np.float64).reshape(2, 3)
    found = Angles.per_pixel(pixels, pixels + 10, pixels + 20, pixels + 30).at([[0], [1]], [0, 1, 2])
    for angle, plus in zip(found, (0, 10, 20, 30), strict=True):
        assert_allclose(angle, pixels + plus)


def test_azimuths_from_minus_180_are_turned_round():
    angles = Angles.constant(1, -90, 0, 360)
    assert (angles.sun_azimuth.item(), angles.view_azimuth.item()) == (270, 0)


@pytest.mark.parametrize(
    ("four", "message"),
    [
        ((90, 0, 0, 0), "sun_zenith: found 90, expected degrees from the zenith"),
        ((-1, 0, 0, 0), "sun_zenith"),
        ((math.nan, 0, 0, 0), "sun_zenith: found nan"),
        ((0, 361, 0, 0), "sun_azimuth: found 361"),
        ((0, -181, 0, 0), "sun_azimuth"),
        ((0, 0, math.inf, 0), "view_zenith"),
        ((0, 0, 0, math.nan), "view_azimuth"),
    ],
)
def test_angles_out_of_range_are_refused(four, message):
    with pytest.raises(DetectorError, match=message):
        Angles.constant(*four)


def test_grids_of_other_shapes_or_without_a_step_are_refused():
    one, two = np.zeros((1, 1), np.float32), np.zeros((2, 2), np.float32)
    with pytest.raises(GridMismatchError, match="view_zenith"):
        Angles(one, one, two, one)
    with pytest.raises(GridMismatchError, match="no node"):
        Angles.per_pixel(*[np.zeros((0, 3))] * 4)
    with pytest.raises(GridMismatchError, match="positive steps"):
        Angles(one, one, one, one, row_step=0)


@pytest.mark.parametrize(
    ("written", "expected", "assumed"),
    [
        ({"sun_zenith": 30, "sun_azimuth": 160}, (30, 160, 0, 0), True),
        ({"sun_elevation": 60, "sun_azimuth": -20, "view_zenith": None}, (30, 340, 0, 0), True),
        ({"sun_zenith": 30, "sun_azimuth": 160, "view_zenith": 0}, (30, 160, 0, 0), False),
        ({"sun_zenith": 30, "sun_azimuth": 160, "view_zenith": 8, "view_azimuth": 100}, (30, 160, 8, 100), False),
        (
            {"view:sun_elevation": 60, "view:sun_azimuth": 160, "view:incidence_angle": 8, "view:azimuth": 100},
            (30, 160, 8, 100),
            False,
        ),
        ({"sun_zenith": 30, "sun_azimuth": 160, "view:off_nadir": 10, "view:azimuth": 9}, (30, 160, 11.2451, 9), False),
    ],
)
def test_angles_are_understood_as_users_write_them(written, expected, assumed):
    angles = angles_from(written)
    assert_allclose([angle.item() for angle in angles.at(0, 0)], expected, atol=1e-3)
    assert angles.view_assumed is assumed


def test_numbers_hold_for_all_pixels_of_the_arrays_beside_them():
    zenith = np.array([[10, 20, 30]])
    angles = angles_from({"sun_zenith": zenith, "sun_azimuth": 160})
    assert_allclose(angles.at(0, [0, 1, 2])[:2], [[10, 20, 30], [160] * 3])


def test_angles_and_nothing_are_themselves():
    angles = Angles.constant(1, 2)
    assert angles_from(angles) is angles
    assert angles_from(None) is None


@pytest.mark.parametrize(
    ("written", "error", "message"),
    [
        ({"zenith": 3}, DetectorError, "found zenith, expected names among sun_zenith, "),
        ({"sun_zenith": 3, "sun_elevation": 87, "sun_azimuth": 1}, DetectorError, "sun_zenith and sun_elevation"),
        ({"sun_zenith": 3}, DetectorError, "no sun azimuth"),
        ({"sun_azimuth": 3}, DetectorError, "no sun zenith"),
        ({"sun_zenith": 3, "sun_azimuth": 1, "view_zenith": 5}, DetectorError, "without azimuth"),
        ({"sun_zenith": "high", "sun_azimuth": 1}, DetectorError, "'high'"),
        ({"sun_elevation": -3, "sun_azimuth": 1}, DetectorError, "found 93"),
        ({"sun_zenith": 3, "sun_azimuth": 1, "view:off_nadir": 70, "view:azimuth": 1}, DetectorError, "found nan"),
        ({"sun_zenith": np.zeros((2, 2)), "sun_azimuth": np.zeros((2, 3))}, GridMismatchError, r"\(2, 2\), \(2, 3\)"),
        ({"sun_zenith": np.zeros(4), "sun_azimuth": 1}, GridMismatchError, "sun_zenith"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_would_be(written, error, message):
    with pytest.raises(error, match=message):
        angles_from(written)


def test_the_view_slants_more_at_the_ground_than_at_the_satellite():
    assert_allclose(ground_incidence([0, 10]), [0, 11.2451], atol=1e-3)
