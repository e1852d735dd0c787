"""MODIS tiles against the products' own metadata, against the projection itself, and at the ends of the globe."""

import numpy as np
import pytest
import rasterio.crs
import shapely
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.crs import CRS
from odc.geo.geom import BoundingBox
from pyproj import CRS as ProjCRS
from pyproj import Transformer

from geo_assets.domain.errors import RegionError
from geo_assets.domain.modis_grid import SINUSOIDAL, is_modis_tile, sinusoidal_footprint
from geo_assets.domain.tile_grid import (
    neighbours,
    spatial_order,
    tile_crs,
    tile_epsg,
    tile_exists,
    tile_footprint,
    tile_geobox,
    tiles_of,
)

WKT_OF_THE_PRODUCTS = (
    'PROJCRS["unnamed",BASEGEOGCRS["Unknown datum based upon the custom spheroid",'
    'DATUM["Not specified (based on custom spheroid)",ELLIPSOID["Custom spheroid",6371007.181,0,'
    'LENGTHUNIT["metre",1,ID["EPSG",9001]]]],PRIMEM["Greenwich",0,ANGLEUNIT["degree",0.0174532925199433,'
    'ID["EPSG",9122]]]],CONVERSION["unnamed",METHOD["Sinusoidal"],PARAMETER["Longitude of natural origin",0,'
    'ANGLEUNIT["degree",0.0174532925199433],ID["EPSG",8802]],PARAMETER["False easting",0,LENGTHUNIT["metre",1],'
    'ID["EPSG",8806]],PARAMETER["False northing",0,LENGTHUNIT["metre",1],ID["EPSG",8807]]],CS[Cartesian,2],'
    'AXIS["easting",east,ORDER[1],LENGTHUNIT["metre",1,ID["EPSG",9001]]],AXIS["northing",north,ORDER[2],'
    'LENGTHUNIT["metre",1,ID["EPSG",9001]]]]'
)
"""`proj:wkt2` of an item of modis-43A4-061."""

GOLDEN_ORIGINS = {
    "h14v10": (-4447802.078667, -1111950.519667),  # proj:transform of an item of modis-43A4-061
    "h21v11": (3335851.559, -2223901.039333),  # header of a raster of MCD43A4
    "h00v08": (-20015109.354, 1111950.519667),
}
EVERY_TILE = tiles_of((-180.0, -90.0, 180.0, 90.0), grid="modis")


def test_the_globe_has_460_tiles():
    assert len(EVERY_TILE) == len(set(EVERY_TILE)) == 460
    assert all(tile_exists(tile) for tile in EVERY_TILE)


def test_the_tiles_fill_the_globe_without_gap_or_overlap():
    outlines = [tile_footprint(tile) for tile in EVERY_TILE]
    assert all(outline.is_valid and outline.geom_type == "Polygon" for outline in outlines)
    assert sum(outline.area for outline in outlines) == pytest.approx(360 * 180, rel=1e-9)
    assert shapely.union_all(outlines, grid_size=1e-7).area == pytest.approx(360 * 180, rel=1e-9)


@pytest.mark.parametrize("tile", GOLDEN_ORIGINS)
def test_a_known_tile_lies_where_its_products_lie(tile):
    geobox = tile_geobox(tile, 500)
    assert geobox.shape == (2400, 2400)
    assert (geobox.transform.c, geobox.transform.f) == pytest.approx(GOLDEN_ORIGINS[tile], abs=1e-5)
    assert (geobox.resolution.x, -geobox.resolution.y) == pytest.approx((463.3127165279167,) * 2, abs=1e-8)


def test_every_library_takes_the_crs_for_that_of_the_products():
    assert CRS(SINUSOIDAL) == CRS(WKT_OF_THE_PRODUCTS)
    assert ProjCRS(SINUSOIDAL) == ProjCRS(WKT_OF_THE_PRODUCTS)
    assert rasterio.crs.CRS.from_user_input(SINUSOIDAL) == rasterio.crs.CRS.from_wkt(WKT_OF_THE_PRODUCTS)
    assert str(tile_geobox("h18v04", 500).crs) == tile_crs("h18v04") == SINUSOIDAL


def test_tiles_that_touch_share_one_lattice():
    here, east, south = (tile_geobox(tile, 500) for tile in ("h18v04", "h19v04", "h18v05"))
    assert here.boundingbox.right == pytest.approx(east.boundingbox.left, abs=1e-6)
    assert here.boundingbox.bottom == pytest.approx(south.boundingbox.top, abs=1e-6)


@given(st.floats(-179.99, 179.99), st.floats(-89.9, 89.9))
def test_a_place_lies_in_the_tile_that_the_projection_puts_it_in(lon, lat):
    x, y = Transformer.from_crs("EPSG:4326", SINUSOIDAL, always_xy=True).transform(lon, lat)
    near = shapely.Point(lon, lat).buffer(1e-6)
    for tile in tiles_of(near, grid="modis"):
        left, bottom, right, top = tile_geobox(tile, 500).boundingbox.bbox
        slack_m = 100  # lines between an outline's points leave the true edge by less
        assert left - slack_m < x < right + slack_m
        assert bottom - 1 < y < top + 1


def test_an_outline_follows_the_projections_edges():
    to_degrees = Transformer.from_crs(SINUSOIDAL, "EPSG:4326", always_xy=True)
    box = tile_geobox("h21v11", 500).boundingbox
    along = np.linspace(box.bottom, box.top, 1001)
    edge = shapely.points(*to_degrees.transform(np.full_like(along, box.left), along))
    assert shapely.distance(edge, tile_footprint("h21v11").boundary).max() < 1e-5  # a metre


@pytest.mark.parametrize(
    ("area", "tiles"),
    [
        ((14.5, 45.8, 14.7, 45.95), {"h19v04"}),
        ((14.3, 45.8, 14.45, 45.95), {"h18v04", "h19v04"}),
        ((179.5, -0.5, -179.5, 0.5), {"h35v08", "h35v09", "h00v08", "h00v09"}),
        ((-180, 60, -179, 61), {"h09v02"}),
        ((0.0, 0.0, 10.0, 10.0), {"h18v08"}),  # its eastern edge bulges outwards: ground beside it is another's
        ((-180, 89.9, 180, 90), {"h17v00", "h18v00"}),
        ((-1, -90, 1, -89.9), {"h17v17", "h18v17"}),
        ((-0.1, -0.1, 0.1, 0.1), {"h17v08", "h18v08", "h17v09", "h18v09"}),
    ],
)
def test_the_tiles_of_an_area_are_those_that_hold_some_of_it(area, tiles):
    assert set(tiles_of(area, grid="modis")) == tiles


@pytest.mark.parametrize("tile", ["h00v08", "h35v09", "h09v02", "h14v00", "h21v17", "h17v00"])
def test_a_tile_at_the_end_of_the_globe_holds_its_own_ground_only(tile):
    footprint = tile_footprint(tile)
    west, south, east, north = footprint.bounds
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90
    assert set(tiles_of(footprint.buffer(-1e-3), grid="modis")) == {tile}


def test_a_box_of_several_tiles_has_their_outline():
    here, south_east = (tile_geobox(tile, 500).boundingbox for tile in ("h34v08", "h35v10"))
    box = BoundingBox(here.left, south_east.bottom, south_east.right, here.top, here.crs)
    tiles = [f"h{column}v{row:02d}" for column in (34, 35) for row in (8, 9, 10)]
    together = shapely.union_all([tile_footprint(tile) for tile in tiles], grid_size=1e-9)
    assert shapely.symmetric_difference(sinusoidal_footprint(box), together).area < 1e-6


def test_a_box_beyond_the_globe_has_no_outline():
    with pytest.raises(RegionError, match="beyond the globe"):
        sinusoidal_footprint(BoundingBox(-20e6, 9e6, -19e6, 10e6, SINUSOIDAL))


@pytest.mark.parametrize(
    "name", ["h00v00", "h35v17", "h13v00", "h36v08", "h18v18", "h18v4", "H18V04", "18v04", "h18v04 "]
)
def test_a_square_beyond_the_globe_is_no_tile(name):
    assert not is_modis_tile(name)
    with pytest.raises(RegionError, match="expected a tile"):
        tile_footprint(name)


def test_a_modis_tile_has_native_pixels_and_no_others():
    with pytest.raises(RegionError, match="expected 500, which stands for the native pixels"):
        tile_geobox("h18v04", 60)
    with pytest.raises(RegionError, match="such as 33TVL"):
        tile_epsg("h18v04")


def test_modis_tiles_keep_one_order_and_a_run_of_them_is_compact():
    assert spatial_order(reversed(EVERY_TILE)) == EVERY_TILE
    steps = np.array([(int(tile[1:3]), int(tile[4:])) for tile in EVERY_TILE])
    assert np.median(np.abs(np.diff(steps, axis=0)).sum(axis=1)) == 1


def test_modis_tiles_touch_and_share_no_ground_so_each_is_alone():
    assert neighbours(["h18v04", "h19v04", "33TVL"]) == {
        "33TVL": ("33TVL",),
        "h18v04": ("h18v04",),
        "h19v04": ("h19v04",),
    }
