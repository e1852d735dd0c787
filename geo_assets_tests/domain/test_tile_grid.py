"""Tiles against ESA's list, against each zone's own projection, and across every kind of edge."""

import hashlib
import time

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from geo_assets.domain.errors import RegionError
from geo_assets.domain.tile_grid import (
    TILE_EDGE_M,
    TILE_RESOLUTIONS_M,
    neighbours,
    spatial_order,
    tile_epsg,
    tile_exists,
    tile_footprint,
    tile_geobox,
    tiles_of,
)

ESA_LIST_SHA256 = "ef55d356e08441901e774fa5608302af8dc2d5a17825c68823f7b465410ae3ef"
"""Of the lines "tile epsg ulx uly", sorted, made from TILE_ID, EPSG and UTM_WKT of ESA's KML."""

WHOLE_WORLD = (-180.0, -90.0, 180.0, 90.0)

GOLDEN_ORIGINS = {
    "33UWQ": (32633, 499980, 5500020),
    "19LDD": (32719, 399960, 8400040),
    "33TVL": (32633, 399960, 5100000),
    "31TCJ": (32631, 300000, 4900020),
    "30TYP": (32630, 699960, 4900020),
    "01LAC": (32701, 99960, 8300020),  # reaches across 180 degrees
    "33XWJ": (32633, 499980, 8900040),  # Svalbard
    "32VKM": (32632, 199980, 6700020),  # zone 32 widened for Norway
    "33MTV": (32733, 199980, 10000000),  # south of the equator
    "33NTA": (32633, 199980, 100020),  # and north of it
}


@pytest.fixture(scope="module")
def every_tile():
    return tiles_of(WHOLE_WORLD)


def upper_left(tile):
    box = tile_geobox(tile, 60).boundingbox
    return round(box.left), round(box.top)


def in_zone_crs(tile, lon, lat):
    return Transformer.from_crs("EPSG:4326", f"EPSG:{tile_epsg(tile)}", always_xy=True).transform(lon, lat)


# --- the list and the grids -----------------------------------------------------------------------


def test_the_rules_give_the_56686_tiles_and_origins_of_esa_and_no_other(every_tile):
    assert len(every_tile) == 56_686
    lines = "".join("{} {} {} {}\n".format(tile, tile_epsg(tile), *upper_left(tile)) for tile in sorted(every_tile))
    assert hashlib.sha256(lines.encode()).hexdigest() == ESA_LIST_SHA256


@pytest.mark.parametrize("tile", GOLDEN_ORIGINS)
def test_a_known_tile_has_its_official_origin(tile):
    assert (tile_epsg(tile), *upper_left(tile)) == GOLDEN_ORIGINS[tile]


@pytest.mark.parametrize("resolution", TILE_RESOLUTIONS_M)
@pytest.mark.parametrize("tile", ["33UWQ", "19LDD", "01LAC"])
def test_every_resolution_gives_the_same_square(tile, resolution):
    geobox = tile_geobox(tile, resolution)
    assert geobox.shape == (TILE_EDGE_M / resolution, TILE_EDGE_M / resolution)
    assert (geobox.resolution.x, geobox.resolution.y) == (resolution, -resolution)
    assert geobox.crs.epsg == tile_epsg(tile)
    left, bottom, right, top = geobox.boundingbox.bbox
    assert (left, top) == GOLDEN_ORIGINS[tile][1:]
    assert (right - left, top - bottom) == (TILE_EDGE_M, TILE_EDGE_M)


def test_33tvl_contains_a_known_place_in_its_own_coordinates():
    left, bottom, right, top = tile_geobox("33TVL", 10).boundingbox.bbox
    assert left < 465181 < right
    assert bottom < 5079244 < top


@pytest.mark.parametrize("resolution", [0, -10, float("nan"), float("inf"), 5, 10.5, 25, 120])
def test_a_resolution_that_would_break_the_common_lattice_is_refused(resolution):
    with pytest.raises(RegionError, match="expected one of 10, 12, 15, 20, 30, 60"):
        tile_geobox("33TVL", resolution)


@pytest.mark.parametrize(
    "name",
    ["T33TVL", "33tvl", "1LAC", "00TVL", "61TVL", "33IVL", "33TAL", "33TVW", "32XNL", "34XDG", "", "h00v00", "h36v08"],
)
def test_a_name_that_is_no_tile_is_refused_with_the_remedy(name):
    assert not tile_exists(name)
    for question in (tile_epsg, tile_footprint, lambda tile: tile_geobox(tile, 10)):
        with pytest.raises(RegionError, match="such as 33TVL"):
            question(name)


@pytest.mark.parametrize("name", ["32VKM", "31XDG", "33XWJ", "60XVP", "01CDH"])
def test_a_tile_in_a_corner_of_the_list_exists(name):
    assert tile_exists(name)


@pytest.mark.parametrize(
    ("west", "east", "overlap_m"),
    [("33TUL", "33TVL", 9_840), ("33TVL", "33TWL", 9_780), ("19LCD", "19LDD", 9_840)],
)
def test_neighbours_in_a_zone_overlap_by_whole_60_m_steps(west, east, overlap_m):
    assert tile_geobox(west, 60).boundingbox.right - tile_geobox(east, 60).boundingbox.left == overlap_m


@pytest.mark.parametrize(
    ("south", "north", "overlap_m"),
    [("33TVK", "33TVL", 9_840), ("33TVL", "33TVM", 9_780), ("19LDC", "19LDD", 9_780)],
)
def test_rows_of_a_zone_overlap_by_whole_60_m_steps(south, north, overlap_m):
    assert tile_geobox(south, 60).boundingbox.top - tile_geobox(north, 60).boundingbox.bottom == overlap_m


# --- footprints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", GOLDEN_ORIGINS)
def test_a_footprint_lies_on_the_edges_of_its_geobox(tile):
    left, bottom, right, top = tile_geobox(tile, 10).boundingbox.bbox
    points = shapely.get_coordinates(tile_footprint(tile))
    points = points[np.abs(points[:, 0]) < 180]  # cuts at the antimeridian lie inside the tile
    x, y = in_zone_crs(tile, *points.T)
    to_edge = np.minimum.reduce([np.abs(x - left), np.abs(x - right), np.abs(y - bottom), np.abs(y - top)])
    assert to_edge.max() < 1e-3
    assert len(points) >= 4 * 20


@pytest.mark.parametrize("tile", ["01LAC", "60KXF", "01CDH", "01XDH"])
def test_a_footprint_is_valid_and_within_the_world(tile):
    footprint = tile_footprint(tile)
    west, south, east, north = footprint.bounds
    assert footprint.is_valid
    assert -180 <= west < east <= 180
    assert -90 < south < north < 90


def test_298_footprints_are_split_at_the_antimeridian(every_tile):
    parts = [int(shapely.get_num_geometries(tile_footprint(tile))) for tile in every_tile]
    assert (parts.count(1), parts.count(2)) == (56_686 - 298, 298)


def test_the_halves_of_a_dateline_tile_add_up_to_the_same_square_of_another_zone():
    assert shapely.get_num_geometries(tile_footprint("01CDK")) == 2
    assert tile_footprint("01CDK").area == pytest.approx(tile_footprint("07CDK").area, rel=1e-12)


# --- tiles of an area -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("area", "tiles"),
    [
        ((13.2, 46.0, 13.3, 46.05), {"33TUL", "33TUM"}),  # two rows overlap
        ((14.95, 45.9, 15.05, 46.0), {"33TVL", "33TVM", "33TWL", "33TWM"}),  # four tiles overlap
        ((0.6, 43.7, 0.7, 43.8), {"30TYP", "31TCJ"}),  # zones 30 and 31
        ((15.0, -0.05, 15.1, 0.05), {"33MWV", "33MVV", "33NVA", "33NWA"}),  # the equator
        ((179.9, -17.7, -179.9, -17.6), {"01KAA", "60KYF"}),  # the antimeridian
        ((5.5, 60.5, 5.6, 60.6), {"32VKN", "32VLN"}),  # Norway: zone 32 alone
        ((-69.9, -14.9, -69.88, -14.85), {"19LCD", "19LDD"}),  # the south
    ],
)
def test_an_area_gets_every_tile_that_holds_a_part_of_it(area, tiles):
    assert set(tiles_of(area)) == tiles


def tile_table(tiles):
    """Zone, left and signed top of every tile, one row a tile."""
    rows = []
    for tile in tiles:
        left, top = upper_left(tile)
        rows.append((int(tile[:2]), left, top - (10_000_000 if tile[2] < "N" else 0)))
    return np.array(rows)


def test_tiny_areas_get_the_tiles_whose_pixel_grids_contain_them(every_tile):
    table, names = tile_table(every_tile), np.array(every_tile)
    draw = np.random.default_rng(20240701)
    points = np.column_stack([draw.uniform(-180, 180, 200), draw.uniform(-83.7, 84, 200)])
    points[:40, 0] = draw.uniform(179.5, 180, 40) * draw.choice([-1, 1], 40)
    to_zone_31 = Transformer.from_crs("EPSG:4326", "EPSG:32631", always_xy=True)
    for lon, lat in points:
        contains = np.zeros(len(names), dtype=bool)
        for zone in range(1, 61):
            from_meridian = (lon - (6 * zone - 183) + 180) % 360 - 180
            if abs(from_meridian) < 30:
                x, y = to_zone_31.transform(3 + from_meridian, lat)
                within_x = (table[:, 1] <= x) & (x <= table[:, 1] + TILE_EDGE_M)
                contains |= (table[:, 0] == zone) & within_x & (table[:, 2] - TILE_EDGE_M <= y) & (y <= table[:, 2])
        assert set(tiles_of(shapely.box(lon, lat, lon + 1e-9, lat + 1e-9))) == set(names[contains])


@settings(deadline=None)  # a zone's first projection takes a while
@given(data=st.data())
def test_a_small_box_round_a_point_of_a_tile_gets_that_tile(every_tile, data):
    tile = data.draw(st.sampled_from(every_tile))
    left, bottom, _, _ = tile_geobox(tile, 10).boundingbox.bbox
    inside = st.floats(0.001, 0.999)
    x, y = left + data.draw(inside) * TILE_EDGE_M, bottom + data.draw(inside) * TILE_EDGE_M
    lon, lat = Transformer.from_crs(f"EPSG:{tile_epsg(tile)}", "EPSG:4326", always_xy=True).transform(x, y)
    west, east = ((edge + 180) % 360 - 180 for edge in (lon - 1e-4, lon + 1e-4))
    assert tile in tiles_of((west, lat - 1e-4, east, lat + 1e-4))


def test_a_box_and_its_polygon_get_the_same_tiles_in_the_same_order():
    two_halves = shapely.MultiPolygon([shapely.box(178, -20, 180, -15), shapely.box(-180, -20, -178, -15)])
    assert tiles_of((178, -20, -178, -15)) == tiles_of(two_halves)
    assert tiles_of((6.0, 45.0, 11.0, 48.0)) == tiles_of(shapely.box(6, 45, 11, 48))


def test_a_hole_needs_no_tiles():
    ring = shapely.box(5, 40, 25, 50) - shapely.box(7, 42, 23, 48)
    assert "33TVL" in tiles_of(shapely.box(5, 40, 25, 50))
    assert "33TVL" not in tiles_of(ring)


def test_a_tile_that_only_touches_the_area_is_left_out():
    west, south, _, north = tile_footprint("33TVL").bounds
    assert "33TVL" not in tiles_of((west - 0.1, south, west, north))
    assert "33TVL" in tiles_of((west - 0.1, south, west + 0.01, north))


def test_ground_up_to_the_pole_gets_the_tiles_that_exist():
    tiles = tiles_of((10, 80, 20, 90))
    assert "33XWP" in tiles
    assert all(tile[2] == "X" for tile in tiles)
    assert max(tile_footprint(tile).bounds[3] for tile in tiles) > 84


@pytest.mark.parametrize("area", [(0, 85, 10, 90), (0, -90, 10, -84), shapely.box(0, 86, 1, 87)])
def test_ground_beyond_the_tiles_is_refused(area):
    with pytest.raises(RegionError, match="between about 84 S and 84 N"):
        tiles_of(area)


@pytest.mark.parametrize(
    "area",
    [
        (0, 10, 10, 10),
        (0, 20, 10, 10),
        (5, 10, 5, 20),
        (180, 10, -180, 20),
        (0, -91, 10, 20),
        (0, 10, 181, 20),
        (-190, 10, 0, 20),
        (0, float("nan"), 10, 20),
        (float("nan"), 0, 10, 20),
        (0, 0, float("inf"), 20),
    ],
)
def test_a_bounding_box_that_encloses_no_ground_is_refused(area):
    with pytest.raises(RegionError, match="Give west, south, east, north in degrees"):
        tiles_of(area)


@pytest.mark.parametrize(
    ("area", "remedy"),
    [
        (shapely.Polygon(), "Buffer points and lines"),
        (shapely.Point(10, 50), "Buffer points and lines"),
        (shapely.LineString([(0, 0), (1, 1)]), "Buffer points and lines"),
        (shapely.box(170, 0, 190, 10), "split polygons at the antimeridian"),
        (shapely.box(500_000, 5_000_000, 600_000, 5_100_000), "Give EPSG:4326"),
        (shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "make_valid"),
    ],
)
def test_a_geometry_that_is_no_ground_is_refused_with_the_remedy(area, remedy):
    with pytest.raises(RegionError, match=remedy):
        tiles_of(area)


def test_a_continent_takes_less_than_two_seconds_and_a_small_area_a_few_milliseconds():
    tiles_of((8.0, 45.0, 8.1, 45.1))  # the first call reads the projection
    begin = time.process_time()
    assert len(tiles_of((25, -10, 180, 80))) > 10_000
    assert time.process_time() - begin < 2
    begin = time.process_time()
    tiles_of((-58.5, -34.7, -58.3, -34.5))
    assert time.process_time() - begin < 0.2


# --- order and neighbours -------------------------------------------------------------------------

ALPS = (5.0, 44.0, 17.0, 48.5)


def test_the_order_is_the_same_for_any_order_given_and_for_any_other_tiles():
    tiles = tiles_of(ALPS)
    assert spatial_order(tiles) == tiles
    assert spatial_order(reversed(tiles)) == tiles
    assert spatial_order([*tiles, *tiles]) == tiles
    assert spatial_order(tiles[::3]) == tiles[::3]


def test_runs_of_the_order_are_compact_patches():
    tiles = tiles_of((-10, 36, 30, 60))
    adjacent = neighbours(tiles)

    def pairs_kept_together(order, run=8):
        place = {tile: index // run for index, tile in enumerate(order)}
        return sum(place[tile] == place[other] for tile in order for other in adjacent[tile] if other > tile)

    assert pairs_kept_together(tiles) > 1.5 * pairs_kept_together(sorted(tiles))


def test_each_tile_of_a_full_block_follows_one_of_its_four_nearest(every_tile):
    corners = np.array([upper_left(tile) for tile in every_tile if tile[:2] == "01" and tile[2] in "JK"])
    block = corners[(corners[:, 1] > 7_200_000) & (corners[:, 1] <= 7_900_000)]
    assert len(block) == 8 * 8
    assert np.abs(np.diff(block, axis=0)).sum(axis=1).max() == 100_020


def test_an_unknown_tile_has_no_place_and_no_neighbours():
    with pytest.raises(RegionError, match="XXXXX"):
        spatial_order(["33TVL", "XXXXX"])
    with pytest.raises(RegionError, match="XXXXX"):
        neighbours(["33TVL", "XXXXX"])


def test_a_tile_inside_a_zone_has_its_eight_neighbours_and_itself():
    around = {"33TUK", "33TVK", "33TWK", "33TUL", "33TVL", "33TWL", "33TUM", "33TVM", "33TWM"}
    assert set(neighbours(tiles_of((10, 43, 18, 49)))["33TVL"]) == around


def test_neighbours_are_found_across_a_zone_edge_and_the_equator_and_180_degrees():
    tiles = ["31TCJ", "30TYP", "31TFJ", "33MWV", "33NWA", "01KAA", "60KYF", "60KXF"]
    assert neighbours(tiles) == {
        tile: spatial_order(together)
        for together in (["31TCJ", "30TYP"], ["31TFJ"], ["33MWV", "33NWA"], ["01KAA", "60KYF"])
        for tile in together
    } | {"60KYF": spatial_order(["01KAA", "60KYF", "60KXF"]), "60KXF": spatial_order(["60KYF", "60KXF"])}


def unwrapped(tile):
    """The footprint in 0..360, where the antimeridian is an ordinary line."""
    parts = shapely.get_parts(tile_footprint(tile))
    return shapely.unary_union([shapely.transform(part, to_360) if part.centroid.x < 0 else part for part in parts])


def to_360(points):
    return points + np.array([360.0, 0.0])


@pytest.mark.parametrize("latitudes", [(-18, -15), (64, 66), (78, 80), (-80, -79)])
def test_the_antimeridian_parts_no_neighbours(latitudes):
    tiles = tiles_of((176, latitudes[0], -176, latitudes[1]))
    shapes = {tile: unwrapped(tile) for tile in tiles}
    expected = {tile: {other for other in tiles if shapes[tile].intersects(shapes[other])} for tile in tiles}
    assert {tile: set(others) for tile, others in neighbours(tiles).items()} == expected


@pytest.mark.parametrize("area", [ALPS, (170, 60, -170, 70), (0, 72, 40, 80), (-75, -20, -65, -10)])
@pytest.mark.parametrize("margin_m", [0, 2_400])
def test_being_neighbours_is_mutual_and_includes_oneself(area, margin_m):
    adjacent = neighbours(tiles_of(area), margin_m=margin_m)
    for tile, others in adjacent.items():
        assert tile in others
        assert all(tile in adjacent[other] for other in others)
        assert spatial_order(others) == others


def test_a_margin_lets_tiles_meet_that_stand_apart():
    gap_m = tile_geobox("33TWL", 60).boundingbox.left - tile_geobox("33TUL", 60).boundingbox.right
    assert gap_m == 90_180
    assert neighbours(["33TUL", "33TWL"], margin_m=gap_m - 100)["33TUL"] == ("33TUL",)
    assert set(neighbours(["33TUL", "33TWL"], margin_m=gap_m + 100)["33TUL"]) == {"33TUL", "33TWL"}


@pytest.mark.parametrize("margin_m", [-1, float("nan"), 200_000])
def test_a_margin_out_of_range_is_refused(margin_m):
    with pytest.raises(RegionError, match="margin"):
        neighbours(["33TVL"], margin_m=margin_m)
