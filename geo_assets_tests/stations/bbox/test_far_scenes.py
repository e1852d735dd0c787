"""Scenes in another projection than the output: neighbouring zones, HLS in the south, MODIS, and JPEG 2000."""

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.archives.archive import Query
from geo_assets.io.archives.local import LocalArchive
from geo_assets.stations.bbox.engine import compose
from geo_assets.stations.bbox.files import SceneFiles, coarsest_level, place
from geo_assets.stations.bbox.grid import area_of, utm_grid
from geo_assets.stations.bbox.request import CompositeRequest
from geo_assets_tests.scenery.small_archive import SmallArchive

NODATA, NONE = -32768, 255


def plane(geobox):
    """(y, x) counts that are the same function of the place on the globe, whatever grid shows it."""
    rows, cols = np.indices(geobox.shape) + 0.5
    x, y = geobox.transform.a * cols + geobox.transform.c, geobox.transform.e * rows + geobox.transform.f
    lon, lat = Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True).transform(x, y)
    return 3000 + 2000 * np.sin(40 * lon) * np.cos(40 * lat)


def add(archive, tile, day, window, *, clear=True, **options):
    """A scene whose red is `plane`: 20 m, under a quality layer of 20 m."""
    geobox = tile_geobox(tile, 20)[window]
    scl = np.full(geobox.shape, 4 if clear else 9, np.uint8)
    counts = np.rint(plane(geobox)).astype(np.uint16)
    layers = {"red": (counts, geobox), "scl": (scl, geobox)}
    return archive.add(tile, day, layers, **options), geobox


def opened(archive):
    return LocalArchive(archive.write())


def composite_of(archive, bbox, **settings):
    usual = {"datetime": "2024-06", "resolution": 20.0, "bands": ("red",), "read": "exact"}
    return compose(opened(archive), CompositeRequest(bbox=bbox, **usual | settings), threads=3)


def box_round(geobox, row, col, half_px):
    corner = geobox[row - half_px : row + half_px, col - half_px : col + half_px]
    return tuple(corner.extent.to_crs("EPSG:4326").boundingbox.bbox)


def assert_shows_the_plane(composite, *, within=3.0):
    red = composite.bands["red"]
    assert (red != NODATA).all()
    assert np.abs(red - plane(composite.grid)).max() < within


def window_round(tile, lon, lat):
    """Rows and columns of 12 km of a tile's grid of 20 m round a place."""
    whole = tile_geobox(tile, 20)
    x, y = Transformer.from_crs("EPSG:4326", str(whole.crs), always_xy=True).transform(lon, lat)
    col, row = (int(place) for place in ~whole.transform * (x, y))
    return slice(max(row - 300, 0), row + 300), slice(max(col - 300, 0), col + 300)


@pytest.mark.parametrize(("output_crs", "epsg"), [("utm", 32633), ("native", 32632)])
def test_an_area_that_tiles_of_two_zones_show_is_read_from_both(tmp_path, output_crs, epsg):
    archive = SmallArchive(tmp_path / "archive")
    lon, lat = 12.6, 45.1
    names = [
        add(archive, tile, day, window_round(tile, lon, lat))[0]
        for tile, day in (("32TQR", "2024-06-03"), ("33TUL", "2024-06-04"), ("32TQR", "2024-06-05"))
    ]
    box = (lon - 0.02, lat - 0.02, lon + 0.02, lat + 0.02)
    composite = composite_of(archive, box, output_crs=output_crs)
    assert composite.grid.crs.epsg == epsg
    assert set(composite.source_ids) == set(names)
    assert_shows_the_plane(composite)
    assert (composite.observation_count == 3).all()
    (other,) = (place for place, name in enumerate(composite.source_ids) if "33TUL" in name)
    alone = composite_of(archive, box, output_crs=output_crs, datetime="2024-06-04")
    assert_shows_the_plane(alone)
    assert alone.source_ids == (composite.source_ids[other],)


@pytest.mark.parametrize("resolution", [20.0, 60.0])
def test_a_scene_of_another_zone_ranks_and_reads_as_its_own_zone_would_show_it(tmp_path, resolution):
    archive = SmallArchive(tmp_path / "archive")
    window = window_round("32TQR", 12.02, 45.1)
    add(archive, "32TQR", "2024-06-03", window)
    add(archive, "32TQR", "2024-06-13", window, clear=False)
    composite = composite_of(archive, (12.0, 45.08, 12.04, 45.12), resolution=resolution, top_k=1)
    assert composite.grid.crs.epsg == 32633
    assert composite.source_ids == ("S2A_32TQR_20240603_0_L2A",)
    assert_shows_the_plane(composite, within=6.0)
    shares = {row["item"]: row["clear_share"] for row in composite.ledger if "clear_share" in row}
    assert list(shares.values()) == [1.0, 0.0]


def test_an_area_across_the_antimeridian_is_read_from_both_sides(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    for tile, lon in (("60KXF", 179.99), ("01KAA", -179.99)):
        add(archive, tile, "2024-06-03" if lon > 0 else "2024-06-04", window_round(tile, lon, -17.2))
    # Footprints as catalogues have them, on either side.
    for item, ring in zip(archive.items, ((179.9, 180.0), (-180.0, -179.9)), strict=True):
        corners = [[ring[0], -17.25], [ring[1], -17.25], [ring[1], -17.15], [ring[0], -17.15], [ring[0], -17.25]]
        item["geometry"] = {"type": "Polygon", "coordinates": [corners]}
    composite = composite_of(archive, (179.99, -17.21, -179.99, -17.19), resolution=60.0)
    assert len(composite.source_ids) == 2
    assert (composite.bands["red"] != NODATA).all()


def test_hls_pixels_of_the_south_are_read_as_they_are(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    south = tile_geobox("19LDD", 20)[1000:1200, 1000:1200]
    transform = south.transform.translation(0, -10_000_000) @ south.transform  # as HLS numbers its zones
    north = GeoBox(south.shape, transform, "EPSG:32619")
    counts = np.random.default_rng(1).integers(100, 9000, south.shape).astype(np.uint16)
    archive.add("19LDD", "2024-06-03", {"red": (counts, north), "scl": (np.full(south.shape, 4, np.uint8), south)})
    outline = south.extent.to_crs("EPSG:4326")
    archive.items[0]["geometry"] = outline.json
    composite = composite_of(archive, box_round(south, 100, 100, 40))
    assert composite.grid.crs.epsg == 32719
    row = round((south.transform.f - composite.grid.transform.f) / 20)
    col = round((composite.grid.transform.c - south.transform.c) / 20)
    height, width = composite.grid.shape
    assert_array_equal(composite.bands["red"], counts[row : row + height, col : col + width])


def test_blocks_are_only_taken_apart_where_grids_lie_the_same_way_round(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    _, geobox = add(archive, "33TVL", "2024-06-03", (slice(0, 300), slice(0, 300)))
    local = opened(archive)
    request = CompositeRequest(bbox=box_round(geobox, 150, 150, 50), datetime="2024-06", bands=("red",))
    (item,) = local.find(_query(request)).items
    files = SceneFiles(local)
    file = files.open(item, "red")
    assert file is files.open(item, "red")
    grid = utm_grid(request.bbox, 20)
    flipped = GeoBox(grid.shape, grid.transform.translation(0, 0) @ grid.transform, "EPSG:32632")
    assert place(file, grid, file.levels[0], "bilinear").taps is not None
    assert place(file, flipped, file.levels[0], "bilinear").taps is None
    assert coarsest_level(file, 20.0) is file.levels[0]
    assert coarsest_level(file, 45.0).pixel_m == pytest.approx(40.0)
    files.close()


def _query(request):
    return Query(area_of(request.bbox), *request.period)


def test_jpeg_2000_is_read_by_windows(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    name, geobox = add(archive, "33TVL", "2024-06-03", (slice(0, 300), slice(0, 300)))
    bbox = box_round(geobox, 150, 150, 50)
    expected = {size: composite_of(archive, bbox, resolution=size) for size in (20.0, 60.0, 10.0)}
    for band in ("red", "scl"):
        path = archive.folder / name / f"{band}.tif"
        with rasterio.open(path) as stored:
            pixels, profile = stored.read(), stored.profile
        path = path.with_suffix(".jp2")
        with rasterio.open(
            path, "w", driver="JP2OpenJPEG", count=1, dtype=pixels.dtype, crs=profile["crs"],
            transform=profile["transform"], height=300, width=300, QUALITY=100, REVERSIBLE="YES", YCBCR420="NO",
        ) as raster:  # fmt: skip
            raster.write(pixels)
        asset = archive.items[0]["assets"][band]
        asset |= {"href": f"{name}/{band}.jp2", "file:size": path.stat().st_size}
        del asset["file:checksum"]
    for size, of_tiff in expected.items():
        composite = composite_of(archive, bbox, resolution=size)
        assert_array_equal(composite.quality, of_tiff.quality)
        assert np.abs(composite.bands["red"].astype(int) - of_tiff.bands["red"]).max() <= 1
