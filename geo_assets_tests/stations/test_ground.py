"""Which blocks of a tile matter: at zone edges, in the south, at the antimeridian, on the MODIS grid."""

from datetime import UTC, datetime

import numpy as np
import pytest
import shapely

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.domain.region import Region, region_from
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.stations.ground import Ground, Window, ground_of
from geo_assets.stations.mosaic_grid import mosaic_crs, mosaic_ground, neighbours_of

NOW = datetime(2024, 9, 10, tzinfo=UTC)


def region(**changes) -> Region:
    usual = {"name": "here", "archive": "local:items.json", "bands": ["red"], "resolution": 60, "max_tiles": 100}
    return region_from({**usual, "months": {"first": "2024-07", "last": "2024-07"}, **changes}, now=NOW)


def grounds(here: Region) -> dict[str, Ground]:
    return {tile: ground_of(here, tile) for tile in here.tile_ids}


def covered_m2(here: Region) -> float:
    """Ground inside the area, each pixel of each tile counted."""
    total = 0
    for ground in grounds(here).values():
        height, width = ground.geobox.shape
        total += int(ground.inside(Window(0, 0, height, width)).sum()) * ground.geobox.resolution.x**2
    return total


@pytest.mark.parametrize(
    "area",
    [(14.2, 45.8, 14.5, 45.95), (179.9, -17.0, -179.9, -16.9), (179.5, 64.0, -179.5, 64.2), (-0.1, -0.1, 0.1, 0.1)],
)
def test_modis_tiles_share_out_an_area_without_gap_or_overlap(area):
    here = region(resolution=500, area=area)
    assert len(here.tile_ids) > 1
    _, south, _, north = here.geometry.bounds
    parts = shapely.get_parts(here.geometry)
    degrees = np.radians([part.bounds[2] - part.bounds[0] for part in parts]).sum()
    zone_m2 = 6_371_007.181**2 * degrees * (np.sin(np.radians(north)) - np.sin(np.radians(south)))
    assert covered_m2(here) == pytest.approx(zone_m2, rel=0.01)  # the sinusoidal projection keeps areas


def test_a_modis_tile_as_a_whole_is_its_part_of_the_globe():
    limb = ground_of(region(resolution=500, tiles=["h09v02"]), "h09v02")
    globe = 6_371_007.181**2 * np.pi / 2 * (np.sin(np.radians(70)) - np.sin(np.radians(60)))
    inside = limb.inside(Window(0, 0, 2400, 2400))
    assert 0 < inside.mean() < 1
    assert not limb.active[0, 0]  # beyond the antimeridian
    assert limb.active[-1, -1]
    assert inside.sum() * limb.geobox.resolution.x**2 < globe


@pytest.mark.parametrize("tile", ["h17v00", "h18v17"])
def test_a_tile_at_the_pole_is_whole_ground(tile):
    ground = ground_of(region(resolution=500, tiles=[tile]), tile)
    assert ground.area.is_valid
    inside = ground.inside(Window(0, 0, 2400, 2400))
    # Up to where 10 degrees of the equator are half a parallel it is as wide as any tile, then half the globe.
    limb = np.arccos(1 / 18)
    held = np.radians(10) * (limb - np.radians(80)) + np.pi * (1 - np.sin(limb))
    assert inside.sum() * ground.geobox.resolution.x**2 == pytest.approx(6_371_007.181**2 * held, rel=1e-3)


def test_only_blocks_that_the_area_touches_are_read_of_a_modis_tile():
    here = region(resolution=500, area=(14.5, 45.8, 14.7, 45.95))
    ground = ground_of(here, "h19v04")
    assert len(ground.blocks()) == 1
    ((row, col),) = ground.blocks()
    window = ground.block_window(row, col)
    assert ground.inside(window).sum() == ground.inside(Window(0, 0, 2400, 2400)).sum()
    assert (window.height, window.width) == (BLOCK_PX, BLOCK_PX)


def test_a_modis_tile_has_one_ground_whatever_resolution_is_asked_for():
    here = region(resolution=500, area=(14.5, 45.8, 14.7, 45.95))
    assert ground_of(here, "h19v04", resolution=60) is ground_of(here, "h19v04")


def test_a_modis_mosaic_is_the_tiles_own_and_lies_on_its_own_pixels():
    here = region(resolution=500, tiles=["h18v04", "h19v04"])
    assert mosaic_crs(here).startswith("+proj=sinu")
    assert neighbours_of(here, "h18v04") == ("h18v04",)
    assert mosaic_ground(here, "h18v04").geobox == tile_geobox("h18v04", 500)


def test_the_mosaic_of_a_region_in_two_zones_takes_the_one_of_most_tiles():
    assert mosaic_crs(region(area=(0.55, 43.50, 0.80, 43.60), archive="hls")) in ("EPSG:32630", "EPSG:32631")
    assert mosaic_crs(region(tiles=["19LDD", "19LCD", "20LKJ"])) == "EPSG:32719"


@pytest.mark.parametrize("resolution", [30, 60])
def test_an_area_across_the_antimeridian_is_ground_in_both_zones(resolution):
    here = region(area=(179.95, -17.0, -179.95, -16.95), resolution=resolution)
    for tile, ground in grounds(here).items():
        height, width = ground.geobox.shape
        inside = ground.inside(Window(0, 0, height, width))
        assert inside.any(), tile
        assert ground.active.sum() < ground.active.size / 2
