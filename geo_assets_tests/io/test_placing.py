"""Where tiles lie on a mosaic's lattice."""

import pytest

from geo_assets.domain.errors import GridMismatchError
from geo_assets.domain.modis_grid import SINUSOIDAL
from geo_assets.domain.tile_grid import tile_crs, tile_geobox
from geo_assets.io import placing
from geo_assets.io.placing import place_tile


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
