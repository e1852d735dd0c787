import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from geo_assets.domain.errors import RegionError
from geo_assets.domain.modis_grid import PIXEL_M, modis_geobox
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.stations.bbox.grid import MOST_PIXELS, area_of, native_grid, utm_grid


class Item:
    """As much of a catalogue item as a grid looks at."""

    def __init__(self, tile):
        self.tile = tile


@st.composite
def boxes(draw, *, south=-80.0, north=80.0):
    west, bottom = draw(st.floats(-180, 177)), draw(st.floats(south, north))
    return west, bottom, west + draw(st.floats(0.01, 2)), bottom + draw(st.floats(0.01, 1))


@given(boxes(), st.sampled_from([60.0, 100.0, 500.0, 73.0]))
def test_the_grid_holds_the_area_and_no_row_or_column_more(box, resolution):
    grid = utm_grid(box, resolution)
    to_grid = Transformer.from_crs("EPSG:4326", str(grid.crs), always_xy=True)
    left, bottom, right, top = to_grid.transform_bounds(*box, densify_pts=21)
    bounds = grid.boundingbox
    assert bounds.left <= left < bounds.left + resolution
    assert bounds.right - resolution < right <= bounds.right
    assert bounds.bottom <= bottom < bounds.bottom + resolution
    assert bounds.top - resolution < top <= bounds.top


@given(boxes(south=1), st.sampled_from([60.0, 20.0, 100.0]))
def test_in_the_north_bounds_are_multiples_of_the_resolution(box, resolution):
    grid = utm_grid(box, resolution)
    middle = (box[0] + box[2]) / 2
    assert grid.crs.epsg == 32601 + math.floor((middle + 180) / 6)
    assert all(edge % resolution == 0 for edge in grid.boundingbox.bbox)


@pytest.mark.parametrize("tile", ["33TVL", "19LDD", "60HWB", "01KDB"])
@pytest.mark.parametrize("resolution", [10, 20, 30, 60])
def test_pixels_are_those_of_the_tiles_in_both_hemispheres(tile, resolution):
    native = tile_geobox(tile, resolution)
    lon, lat = native[1000:1001, 1000:1001].extent.to_crs("EPSG:4326").centroid.coords[0]
    grid = utm_grid((lon - 0.01, lat - 0.01, lon + 0.01, lat + 0.01), resolution)
    assert grid.crs == native.crs
    assert (grid.transform.c - native.transform.c) % resolution == 0
    assert (grid.transform.f - native.transform.f) % resolution == 0


def test_an_area_across_the_antimeridian_has_one_grid():
    grid = utm_grid((179.9, -17.0, -179.9, -16.8), 60)
    assert grid.crs.epsg == 32701
    height, width = grid.shape
    assert 300 < height < 500
    assert 300 < width < 500
    parts = area_of((179.9, -17.0, -179.9, -16.8))
    assert [part.bounds for part in parts.geoms] == [(179.9, -17.0, 180.0, -16.8), (-180.0, -17.0, -179.9, -16.8)]
    assert area_of((180.0, -17.0, -179.9, -16.8)).area == pytest.approx(0.1 * 0.2)
    assert area_of((1.0, 2.0, 3.0, 4.0)).bounds == (1.0, 2.0, 3.0, 4.0)


def test_an_exchanged_west_and_east_is_told():
    with pytest.raises(RegionError, match=r"found 355 degrees .* exchange them if it does not"):
        utm_grid((10.0, 50.0, 5.0, 51.0), 60)


def test_an_area_too_wide_for_a_zone_is_refused():
    with pytest.raises(RegionError, match="found 90 degrees from west to east"):
        utm_grid((-20.0, 50.0, 70.0, 51.0), 100_000)


def test_too_many_pixels_are_refused_before_anything_is_laid_out():
    with pytest.raises(RegionError, match=f"expected at most {MOST_PIXELS} in all. Divide the area, or choose larger"):
        utm_grid((10.0, 50.0, 14.0, 54.0), 0.5)


def test_the_native_grid_is_that_of_most_scenes():
    box = (11.9, 45.0, 12.3, 45.2)  # zone 33 in the middle
    tiles = [Item("32TQR"), Item("32TQR"), Item("33TTL"), Item(None)]
    assert native_grid(box, 60, tiles).crs.epsg == 32632
    assert native_grid(box, 60, []).crs.epsg == native_grid(box, 60, [Item(None)]).crs.epsg == 32633
    assert native_grid((-70.0, -20.0, -69.9, -19.9), 30, [Item("19KDV")]).crs.epsg == 32719


def test_the_native_grid_of_modis_tiles_has_their_pixels():
    native = modis_geobox("h18v04")
    lon, lat = native[1200:1201, 1200:1201].extent.to_crs("EPSG:4326").centroid.coords[0]
    grid = native_grid((lon - 0.05, lat - 0.05, lon + 0.05, lat + 0.05), 500, [Item("h18v04")])
    assert grid.transform.a == PIXEL_M
    for own, theirs in ((grid.transform.c, native.transform.c), (grid.transform.f, native.transform.f)):
        apart = (own - theirs) / PIXEL_M
        assert abs(apart - round(apart)) < 1e-6
    with pytest.raises(RegionError, match="ends at the antimeridian on both sides"):
        native_grid((179.0, 10.0, -179.0, 11.0), 500, [Item("h35v08")])
