"""Positions against PROJ asked pixel by pixel, at every kind of edge, and projections that differ by a shift only."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio.crs
from affine import Affine
from numpy.testing import assert_array_equal
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geo_assets.domain.errors import GridMismatchError
from geo_assets.domain.modis_grid import SINUSOIDAL
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.coordinates import TOLERANCE_PX, grid_in_crs_of, shift_between, source_positions

UNNAMED_UTM_13N = (
    'PROJCS["UTM Zone 13, Northern Hemisphere",GEOGCS["Unknown datum based upon the WGS 84 ellipsoid",'
    'DATUM["Not_specified_based_on_WGS_84_spheroid",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",-105],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["Meter",1]]'
)
"""As the headers of HLS have it."""


def grid(epsg, west, north, resolution=60.0, pixels=150):
    return GeoBox((pixels, pixels + 30), Affine(resolution, 0, west, 0, -resolution, north), f"EPSG:{epsg}")


def asked_one_by_one(target, source):
    columns, lines = np.meshgrid(np.arange(target.shape[1]) + 0.5, np.arange(target.shape[0]) + 0.5)
    x, y = target.transform * (columns, lines)
    x, y = Transformer.from_crs(str(target.crs), str(source.crs), always_xy=True).transform(x, y)
    cols, rows = ~source.transform * (x, y)
    return rows, cols


CASES = {
    "neighbouring zones": (grid(32633, 300000, 5100000), tile_geobox("32TQR", 10)),
    "neighbouring zones, north of Norway": (grid(32633, 300000, 7900000), tile_geobox("34WDC", 10)),
    "south of the equator from the north": (grid(32733, 300000, 10002000), tile_geobox("32NRF", 10)),
    "sinusoidal": (grid(32633, 300000, 5100000), tile_geobox("h19v04", 500)),
    "across the antimeridian": (grid(32701, 99960, 8300020), tile_geobox("60KXF", 10)),
    "sinusoidal across the antimeridian, its eastern end": (grid(32701, 167000, 8300020), tile_geobox("h00v10", 500)),
    "sinusoidal across the antimeridian, its western end": (grid(32660, 830000, 100020), tile_geobox("h35v08", 500)),
    "polar": (grid(32633, 499980, 9300000), tile_geobox("h18v00", 500)),
    "southern pole": (grid(32733, 499980, 700000), tile_geobox("h18v17", 500)),
    "onto the sinusoidal grid": (tile_geobox("h19v04", 500)[1000:1100, 100:260], tile_geobox("33TVL", 60)),
    "coarse": (grid(32633, 300000, 5100000, resolution=2000.0), tile_geobox("h19v04", 500)),
}


@pytest.mark.parametrize("name", CASES)
def test_positions_are_those_that_proj_gives_one_by_one(name):
    target, source = CASES[name]
    rows, cols = source_positions(target, source.crs, source.transform)
    exact_rows, exact_cols = asked_one_by_one(target, source)
    assert np.isfinite(exact_rows).all()
    assert np.abs(rows - exact_rows).max() < TOLERANCE_PX
    assert np.abs(cols - exact_cols).max() < TOLERANCE_PX


@pytest.mark.parametrize("name", CASES)
def test_a_pixel_has_one_position_in_whatever_part_of_a_grid_it_is_asked_for(name):
    target, source = CASES[name]
    rows, cols = source_positions(target, source.crs, source.transform)
    for part in (np.s_[17:91, 40:41], np.s_[0:1, 0:160], np.s_[64:96, 32:150]):
        part_rows, part_cols = source_positions(target[part], source.crs, source.transform)
        exactly = str(target.crs) != SINUSOIDAL  # its pixels are no whole metres, so a part begins 1e-9 m beside
        np.testing.assert_allclose(part_rows, rows[part], rtol=0, atol=0 if exactly else 1e-8)
        np.testing.assert_allclose(part_cols, cols[part], rtol=0, atol=0 if exactly else 1e-8)


def test_positions_count_from_the_upper_left_corner_and_centres_lie_at_a_half():
    tile = tile_geobox("33TVL", 20)
    rows, cols = source_positions(tile[10:13, 20:24], tile.crs, tile.transform)
    assert_array_equal(rows, np.repeat([[10.5], [11.5], [12.5]], 4, axis=1))
    assert_array_equal(cols, np.repeat([[20.5, 21.5, 22.5, 23.5]], 3, axis=0))


def test_a_tile_of_the_south_and_its_hls_twin_have_the_same_pixels():
    ours = tile_geobox("19LDD", 30)
    hls = Affine(30, 0, 399960, 0, -30, -1599960)  # of T19LDD, in EPSG:32619
    rows, cols = source_positions(ours[:3, :3], "EPSG:32619", hls)
    assert_array_equal(rows[:, 0], [0.5, 1.5, 2.5])
    assert_array_equal(cols[0], [0.5, 1.5, 2.5])


def test_a_place_that_the_other_projection_does_not_have_is_not_finite():
    over_the_pole = GeoBox((3, 2), Affine(1.0, 0, 15.0, 0, -1.0, 91.0), "EPSG:4326")
    rows, cols = source_positions(over_the_pole, "EPSG:32633", Affine(10, 0, 0, 0, -10, 0))
    assert_array_equal(np.isfinite(rows) & np.isfinite(cols), [[False, False], [True, True], [True, True]])


def test_threads_get_the_same_positions():
    target, source = CASES["neighbouring zones"]
    expected = source_positions(target, source.crs, source.transform)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: source_positions(target, source.crs, source.transform), range(12)))
    for rows, cols in answers:
        assert_array_equal(rows, expected[0])
        assert_array_equal(cols, expected[1])


def test_a_rotated_target_and_a_flat_transform_are_refused():
    rotated = GeoBox((4, 4), Affine.rotation(30) * Affine.scale(10), "EPSG:32633")
    with pytest.raises(GridMismatchError, match="rotated"):
        source_positions(rotated, "EPSG:32632", Affine(10, 0, 0, 0, -10, 0))
    with pytest.raises(GridMismatchError, match="inverted"):
        source_positions(grid(32633, 0, 0), "EPSG:32632", Affine(10, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("one", "other", "shift"),
    [
        ("EPSG:32619", "EPSG:32719", (0, 10_000_000)),
        ("EPSG:32719", "EPSG:32619", (0, -10_000_000)),
        ("EPSG:32633", "EPSG:32633", (0, 0)),
        (CRS("EPSG:32733"), rasterio.crs.CRS.from_epsg(32633), (0, -10_000_000)),
        (UNNAMED_UTM_13N, "EPSG:32613", (0, 0)),
        (rasterio.crs.CRS.from_wkt(UNNAMED_UTM_13N), "EPSG:32713", (0, 10_000_000)),
        (SINUSOIDAL, rasterio.crs.CRS.from_user_input(SINUSOIDAL), (0, 0)),
        ("EPSG:32633", "EPSG:32634", None),
        ("EPSG:32633", "EPSG:32734", None),
        ("EPSG:32633", "EPSG:25833", None),  # ETRS89, whose ellipsoid is another
        ("EPSG:28355", "EPSG:7855", None),  # GDA94 and GDA2020 share the ellipsoid, and lie 1.8 m apart
        ("EPSG:32633", SINUSOIDAL, None),
        ("EPSG:32633", "EPSG:4326", None),
        ("EPSG:4326", "EPSG:4326", None),
    ],
)  # fmt: skip
def test_one_projection_is_known_by_its_shift(one, other, shift):
    assert shift_between(one, other) == shift


def test_a_grid_of_the_south_may_be_told_in_the_numbers_of_hls():
    told = grid_in_crs_of("EPSG:32619", tile_geobox("19LDD", 30))
    assert told.crs.epsg == 32619
    assert (told.transform.c, told.transform.f) == (399960, -1599960)
    assert told.shape == (3660, 3660)


def test_a_grid_is_not_told_in_another_projection():
    ours = tile_geobox("19LDD", 30)
    assert grid_in_crs_of("EPSG:32618", ours) is ours


def test_what_is_no_crs_is_refused():
    with pytest.raises(GridMismatchError, match="expected one that PROJ knows"):
        shift_between("EPSG:99999", "EPSG:32633")
