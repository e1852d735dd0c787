"""Seams: mosaics of neighbours agree to the bit, lose nothing and invent nothing, north, south and across zones."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geo_assets.demo.plan import DemoPlan
from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.area import inside_area, projected_area
from geo_assets.io.rasters import raster_geobox
from geo_assets.stations.ground import ground_of
from geo_assets.stations.line import Line
from geo_assets.stations.mosaic_grid import neighbours_of
from geo_assets_tests.scenery.lines import pixels_of, product_of, run_all, shared_slices, slices_within, small_line
from geo_assets_tests.scenery.small_archive import SmallArchive

NODATA = -32768
SOUTH = DemoPlan(tiles=("19LCE", "19LDE", "19LCD", "19LDD"), window_m=12_000, l2a_resolution=60)
EAST_OF_ZONE_EDGE, WEST_OF_ZONE_EDGE = "31TCJ", "30TYP"
AREA_AT_ZONE_EDGE = (0.55, 43.50, 0.80, 43.60)


@pytest.fixture(scope="module")
def south_line(tmp_path_factory) -> Line:
    """Four southern tiles of noise round their common corner, one with a cloud in the overlap."""
    archive = SmallArchive(tmp_path_factory.mktemp("south") / "archive")
    for number, tile in enumerate(SOUTH.tiles):
        ground = SOUTH.part(tile, 60)
        red = np.random.default_rng(number).integers(1, 9000, ground.shape).astype(np.uint16)
        scl = np.full(ground.shape, 4, np.uint8)
        if number == 2:
            rows, cols = slices_within(common_ground(), ground)
            scl[rows.start + 20 : rows.start + 37, cols.start + 90 : cols.start + 99] = 9
        archive.add(tile, "2024-06-10", {"red": (red, ground), "scl": (scl, ground)}, added_counts=1000)
    line = small_line(archive.write(), archive.folder.parent / "store", area=SOUTH.area, mosaic={"feather_m": 1200})
    run_all(line)
    return line


def common_ground() -> GeoBox:
    """What all four southern tiles see."""
    first, *others = (tile_geobox(tile, 60) for tile in SOUTH.tiles)
    for other in others:
        first = first[shared_slices(first, other)[0]]
    return first


@pytest.fixture(params=["demo_line", "south_line"])
def line(request) -> Line:
    return request.getfixturevalue(request.param)


def mosaics_of(line: Line) -> dict[str, tuple[np.ndarray, GeoBox]]:
    products = {tile: product_of(line, "seam_blended_mosaic", tile) for tile in line.region.tile_ids}
    return {
        tile: (pixels_of(product, "mosaic.tif"), raster_geobox(product.path("mosaic.tif")))
        for tile, product in products.items()
    }


def contributors(line: Line, tile: str) -> Iterator[np.ndarray]:
    """Composites of a tile and its neighbours on the tile's grid, nodata beyond them."""
    geobox = tile_geobox(tile, 60)
    for neighbour in neighbours_of(line.region, tile):
        ours, theirs = shared_slices(geobox, tile_geobox(neighbour, 60))
        stack = np.full((len(line.region.bands), *geobox.shape), NODATA, np.int16)
        stack[:, *ours] = pixels_of(product_of(line, "monthly_composite", neighbour), "composite.tif", theirs)
        yield stack


def assert_pairs_are_identical(mosaics: dict[str, tuple[np.ndarray, GeoBox]], *, fewest_px: int) -> None:
    for one, other in combinations(sorted(mosaics), 2):
        (left, left_geobox), (right, right_geobox) = mosaics[one], mosaics[other]
        ours, theirs = shared_slices(left_geobox, right_geobox)
        left, right = left[:, *ours], right[:, *theirs]
        both = (left != NODATA) & (right != NODATA)
        assert both[0].sum() > fewest_px, (one, other)
        assert_array_equal(left[both], right[both], err_msg=f"{one} {other}")


def test_where_two_mosaics_overlap_their_pixels_are_identical(line):
    assert len(line.region.tile_ids) == 4
    assert_pairs_are_identical(mosaics_of(line), fewest_px=20_000)


def test_a_mosaic_is_valid_where_a_composite_is_and_between_the_composites(line):
    for tile, (mosaic, _) in mosaics_of(line).items():
        stack = np.stack(list(contributors(line, tile)))
        valid = stack != NODATA
        active = ground_of(line.region, tile).active.repeat(BLOCK_PX, axis=0).repeat(BLOCK_PX, axis=1)
        active = active[: mosaic.shape[1], : mosaic.shape[2]]
        assert_array_equal(mosaic != NODATA, valid.any(axis=0) & active)
        lowest = np.where(valid, stack, 32_767).min(axis=0)
        highest = np.where(valid, stack, NODATA).max(axis=0)
        there = mosaic != NODATA
        assert ((lowest <= mosaic) & (mosaic <= highest))[there].all()
        alone = there & (valid.sum(axis=0) == 1)
        assert alone.sum() > 300
        assert_array_equal(mosaic[alone], highest[alone])


def test_deep_inside_all_tiles_the_blend_is_their_mean(south_line):
    tile = SOUTH.tiles[0]
    rows, cols = slices_within(common_ground(), tile_geobox(tile, 60))
    middle = slice(rows.start + 60, rows.stop - 22), slice(cols.start + 22, cols.stop - 22)
    stack = np.stack([composite[0][middle] for composite in contributors(south_line, tile)]).astype(np.int64)
    assert stack.min() > NODATA
    mosaic = pixels_of(product_of(south_line, "seam_blended_mosaic", tile), "mosaic.tif", middle)[0]
    assert_array_equal(mosaic, (2 * stack.sum(axis=0) + 4) // 8)


def test_from_one_tile_to_the_next_the_share_falls_from_all_to_nothing(south_line):
    left, right = SOUTH.tiles[:2]
    ours, theirs = shared_slices(tile_geobox(left, 60), tile_geobox(right, 60))
    # Ground of these two tiles alone, less what is near its own northern edge, where both weigh little.
    north = slice(slices_within(SOUTH.part(left, 60), tile_geobox(left, 60))[0].start + 8, common_ground_row(left))
    own, other = (
        pixels_of(product_of(south_line, "monthly_composite", tile), "composite.tif", (north, cols))[0].astype(float)
        for tile, (_, cols) in ((left, ours), (right, theirs))
    )
    mosaic = pixels_of(product_of(south_line, "seam_blended_mosaic", left), "mosaic.tif", (north, ours[1]))[0]
    # What the mosaic took of the left tile, by column: noise, so the two tiles tell each other apart.
    share = ((mosaic - other) * (own - other)).sum(axis=0) / ((own - other) ** 2).sum(axis=0)
    assert share[0] > 0.95
    assert share[-1] < 0.05
    np.testing.assert_allclose(share[30:-30], 0.5, atol=1e-3)
    assert (np.diff(share) < 0.02).all()


def common_ground_row(tile: str) -> int:
    """The row of a northern tile where the southern ones begin."""
    return slices_within(common_ground(), tile_geobox(tile, 60))[0].start


def test_the_region_mosaic_is_the_tiles_mosaics(line):
    product = product_of(line, "region_mosaic")
    whole, geobox = pixels_of(product, "region.tif"), raster_geobox(product.path("region.tif"))
    covered = np.zeros(whole.shape, bool)
    for mosaic, own_geobox in mosaics_of(line).values():
        ours, theirs = shared_slices(geobox, own_geobox)
        part = mosaic[:, *theirs]
        valid = part != NODATA
        assert valid.sum() == (mosaic != NODATA).sum()
        assert_array_equal(whole[:, *ours][valid], part[valid])
        covered[:, *ours] |= valid
    assert_array_equal(whole != NODATA, covered)


def smooth(geobox: GeoBox) -> np.ndarray:
    """Counts that are a smooth function of longitude and latitude, in whatever zone they are asked for."""
    height, width = geobox.shape
    east = geobox.transform.c + (np.arange(width) + 0.5) * geobox.resolution.x
    north = geobox.transform.f - (np.arange(height) + 0.5) * geobox.resolution.x
    to_degrees = Transformer.from_crs(str(geobox.crs), 4326, always_xy=True).transform
    longitude, latitude = to_degrees(*np.meshgrid(east, north))
    return 3000 + 1500 * np.sin(40 * longitude) * np.cos(55 * latitude)


@pytest.fixture(scope="module")
def zone_edge_line(tmp_path_factory) -> Line:
    archive = SmallArchive(tmp_path_factory.mktemp("zones") / "archive")
    for tile in (EAST_OF_ZONE_EDGE, WEST_OF_ZONE_EDGE):
        ground = tile_geobox(tile, 60)
        scl = np.full(ground.shape, 4, np.uint8)
        archive.add(
            tile, "2024-06-10", {"red": (np.rint(smooth(ground)).astype(np.uint16), ground), "scl": (scl, ground)}
        )
    line = small_line(
        archive.write(), archive.folder.parent / "store", area=AREA_AT_ZONE_EDGE, mosaic={"feather_m": 1200}
    )
    assert set(line.region.tile_ids) == {EAST_OF_ZONE_EDGE, WEST_OF_ZONE_EDGE}
    run_all(line)
    return line


def test_across_a_zone_edge_mosaics_agree_and_lie_on_one_grid(zone_edge_line):
    mosaics = mosaics_of(zone_edge_line)
    assert len({str(geobox.crs) for _, geobox in mosaics.values()}) == 1
    assert_pairs_are_identical(mosaics, fewest_px=50_000)


def test_across_a_zone_edge_no_pixel_of_the_area_is_lost_or_wrong(zone_edge_line):
    product = product_of(zone_edge_line, "region_mosaic")
    red, geobox = pixels_of(product, "region.tif")[0], raster_geobox(product.path("region.tif"))
    area = zone_edge_line.region.geometry
    inside = inside_area(projected_area(area, area, str(geobox.crs), margin_m=0), geobox)
    assert inside.sum() > 50_000
    assert (red[inside] != NODATA).all()
    assert np.abs(red - smooth(geobox))[inside].max() < 2
