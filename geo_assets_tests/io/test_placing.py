"""Where tiles lie on a mosaic's lattice."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox

from geo_assets.domain.errors import GridMismatchError
from geo_assets.domain.modis_grid import SINUSOIDAL
from geo_assets.domain.tile_grid import tile_crs, tile_geobox
from geo_assets.io import placing
from geo_assets.io.placing import PlacedRaster, Placement, place_tile
from geo_assets_tests.scenery.geotiffs import landscape, write_geotiff


@pytest.mark.parametrize("resolution", [10, 30, 60])
@pytest.mark.parametrize(("tile", "east", "south"), [("33TVL", "33TWL", "33TVK"), ("19LDD", "19LED", "19LDC")])
def test_neighbours_of_a_zone_lie_whole_pixels_apart(tile, east, south, resolution):
    here, right, below = (place_tile(name, resolution, tile_crs(tile)) for name in (tile, east, south))
    assert here.native
    assert (right.row, right.col - here.col) == (here.row, 100_020 // resolution)
    assert below.col == here.col
    assert below.row > here.row


def test_modis_tiles_follow_upon_each_other_by_their_2400_pixels():
    here, right, below = (place_tile(tile, 500, SINUSOIDAL) for tile in ("h18v04", "h19v04", "h18v05"))
    assert here.native
    assert (here.row, here.col) == (-5 * 2400, 0)
    assert (right.row, right.col) == (here.row, here.col + 2400)
    assert (below.row, below.col) == (here.row + 2400, here.col)


def test_a_tile_of_another_zone_is_placed_on_the_mosaics_lattice_and_holds_all_of_it():
    placed = place_tile("30TYP", 60, "EPSG:32631")
    assert not placed.native
    assert (placed.geobox.transform.c % 60, placed.geobox.transform.f % 60) == (0, 0)
    left, bottom, right, top = placed.geobox.boundingbox.bbox
    west, south, east, north = placed.outline.bounds
    assert left <= west < east <= right
    assert bottom <= south < north <= top


def test_a_tile_off_the_lattice_is_refused(monkeypatch):
    shifted = tile_geobox("33TVL", 60).pad(0).translate_pix(0.5, 0)
    monkeypatch.setattr(placing, "tile_geobox", lambda tile, resolution: shifted)
    with pytest.raises(GridMismatchError, match="off the 60 m lattice"):
        place_tile("33TVL", 60, "EPSG:32633")


@pytest.mark.parametrize("crs", ["EPSG:6933", "EPSG:3035", "EPSG:3857"])
def test_any_crs_in_metres_has_a_lattice(crs):
    placed = place_tile("33TVL", 60, crs)
    assert not placed.native
    assert (placed.geobox.transform.c, placed.geobox.transform.f) == (placed.col * 60, -placed.row * 60)
    west, south, east, north = placed.outline.bounds
    left, bottom, right, top = placed.geobox.boundingbox.bbox
    assert left <= west < east <= right
    assert bottom <= south < north <= top


def on_another_lattice(path, size, **how):
    """A raster, to be warped onto `size` pixels of 10 m that begin 3.3 pixels beside its own."""
    geobox = GeoBox(size, rasterio.Affine(10, 0, 500_033, 0, -10, 4_999_967), "EPSG:32633")
    return PlacedRaster(path, Placement("a", geobox, 0, 0, None, native=False), **how)


def test_a_raster_of_the_lattice_is_read_as_it_is(tmp_path):
    values = landscape(70, 90)
    path = write_geotiff(tmp_path / "a.tif", values, tiled=True, blockxsize=32, blockysize=32)
    geobox = GeoBox((70, 90), rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    placed = PlacedRaster(path, Placement("a", geobox, 5, 7, None, native=True))
    assert (placed.name, placed.row, placed.col, placed.bands, placed.nodata) == ("a", 5, 7, 1, 0)
    assert_array_equal(placed.window(10, 20, 30, 40)[0], values[10:40, 20:60])
    with pytest.raises(GridMismatchError, match="Rebuild it on the grid of a"):
        PlacedRaster(path, Placement("a", geobox[1:, :], 5, 7, None, native=True))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_a_warped_pixel_depends_on_no_window_and_no_thread(tmp_path, dtype):
    values = (landscape(700, 600) // 12).astype(dtype)
    values[100:130, 200:260] = 0
    path = write_geotiff(tmp_path / "a.tif", values)
    whole = on_another_lattice(path, (690, 590)).window(0, 0, 690, 590)
    again = on_another_lattice(path, (690, 590))
    windows = [(row, col, 115, 118) for row in range(0, 690, 115) for col in range(0, 590, 118)]
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(lambda window: again.window(*window), windows))
    for (row, col, height, width), part in zip(windows, parts, strict=True):
        assert_array_equal(part, whole[:, row : row + height, col : col + width])
    assert_array_equal(whole[0, 110:120, 205:250], 0)


def test_bounded_pieces_change_no_pixel(tmp_path, monkeypatch):
    path = write_geotiff(tmp_path / "a.tif", landscape(90, 80))
    whole = on_another_lattice(path, (80, 70)).window(0, 0, 80, 70)
    monkeypatch.setattr(placing, "_PLACES_AT_ONCE", 500)
    monkeypatch.setattr(placing, "_SOURCE_PX_AT_ONCE", 300)
    assert_array_equal(on_another_lattice(path, (80, 70)).window(0, 0, 80, 70), whole)


def test_classes_are_picked(tmp_path):
    codes = np.tile(np.array([3, 9], np.uint8), (40, 20))
    found = on_another_lattice(write_geotiff(tmp_path / "a.tif", codes, nodata=255), (30, 30), categorical=True)
    assert_array_equal(found.window(0, 0, 30, 30)[0], np.tile(np.array([9, 3], np.uint8), (30, 15)))


def test_a_raster_without_nodata_is_refused_unless_it_is_given_one(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", landscape(40, 40), nodata=None)
    with pytest.raises(GridMismatchError, match="declares no nodata"):
        on_another_lattice(path, (30, 30))
    assert on_another_lattice(path, (30, 30), nodata=7).nodata == 7


def test_validity_is_that_of_the_pixels_and_full_blocks_are_read_once(tmp_path, monkeypatch):
    values = landscape(600, 1100)
    values[520:, 30:40] = 0
    path = write_geotiff(tmp_path / "a.tif", values)
    with rasterio.open(path) as file:
        raster = PlacedRaster(path, Placement("a", GeoBox((600, 1100), file.transform, file.crs), 0, 0, None, True))
    for row, col, height, width in ((0, 0, 600, 1100), (500, 20, 40, 40), (100, 600, 300, 500)):
        assert_array_equal(raster.valid(row, col, height, width)[0], values[row : row + height, col : col + width] > 0)
    monkeypatch.setattr(PlacedRaster, "read_stored", None)
    assert raster.valid(0, 0, 512, 1100).all()
