"""Composites of ground that other programs stumble over: zone edges, the south, the antimeridian, the pole, nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pyproj import Transformer

from geo_assets import build_composite
from geo_assets.domain.tile_grid import tile_geobox, tiles_of
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.remote_catalogues import (
    DETECTED,
    UNSEEN,
    Acquisition,
    counts_at,
    sentinel2_acquisition,
    serve_earth_search,
    serve_planetary_computer,
)

Box = tuple[float, float, float, float]


def window_over(tile: str, box: Box, margin_px: int = 12) -> tuple[slice, slice]:
    """Rows and columns of the tile's 60 m pixels that a box of degrees reaches, and some more; clipped to the tile."""
    grid = tile_geobox(tile, 60)
    west, south, east, north = box
    edge = np.linspace(0, 1, 9)
    longitudes = [*(west + edge * ((east - west) % 360))] * 2
    latitudes = [*[south] * 9, *[north] * 9]
    x, y = Transformer.from_crs(4326, str(grid.crs), always_xy=True).transform(longitudes, latitudes)
    cols = (np.array(x) - grid.affine.c) / 60
    rows = (grid.affine.f - np.array(y)) / 60
    spans = [(int(along.min()) - margin_px, int(along.max()) + margin_px) for along in (rows, cols)]
    clipped = [slice(max(0, begin), min(1830, end)) for begin, end in spans]
    return clipped[0], clipped[1]


def flat(tile: str, day: str, box: Box, count: int, **others) -> Acquisition:
    """A scene of one count everywhere."""
    seen = sentinel2_acquisition(tile, day, window=window_over(tile, box), bands=("red",), **others)
    counts, geobox = seen.bands["red"]
    return replace(seen, bands={"red": (np.where(counts == UNSEEN, counts, np.int16(count)), geobox)})


def red_of(server: FaultServer, folder: Path, box: Box, acquisitions, resolution: float = 20.0, **settings):
    url = serve_earth_search(server, folder, acquisitions)
    asked = {"bands": ["red"], "read": "exact"} | settings
    return build_composite(box, "2024-06", resolution, "earth-search", catalog_url=url, **asked)


def test_an_area_across_two_utm_zones_has_no_gap_and_uses_each_acquisition_once(server, tmp_path):
    box = (0.55, 43.62, 0.60, 43.65)
    assert tiles_of(box) == ("30TYP", "31TCJ")
    seen = [flat(tile, "2024-06-10", box, 1200) for tile in tiles_of(box)]
    result = red_of(server, tmp_path, box, seen)
    assert result.grid.crs.epsg == 32631
    assert (result.bands["red"] == 1200).all()
    assert (result.observation_count == 1).all(), "two files of one acquisition are one observation"


def test_across_zones_each_pixel_comes_from_where_its_coordinates_say(server, tmp_path):
    """The neighbouring zone alone has data: every output pixel is its nearest 2 x 2 pixels, interpolated."""
    box = (0.55, 43.62, 0.60, 43.65)
    seen = flat("30TYP", "2024-06-10", box, 0)
    counts, geobox = seen.bands["red"]
    height, width = counts.shape
    plane = 500 + 3 * np.arange(width)[np.newaxis] + 2 * np.arange(height)[:, np.newaxis]
    seen = replace(seen, bands={"red": (plane.astype(np.int16), geobox)})
    result = red_of(server, tmp_path, box, [seen])
    rows, cols = np.mgrid[: result.grid.shape[0], : result.grid.shape[1]] + 0.5
    x, y = result.grid.affine * (cols.ravel(), rows.ravel())
    to_native = Transformer.from_crs(str(result.grid.crs), str(geobox.crs), always_xy=True)
    native_col, native_row = ~geobox.affine * np.array(to_native.transform(x, y))
    expected = 500 + 3 * (native_col - 0.5) + 2 * (native_row - 0.5)
    assert np.abs(result.bands["red"].ravel() - expected).max() <= 1


@pytest.mark.parametrize("resolution", [10.0, 20.0, 30.0, 60.0])
def test_the_south_keeps_its_pixels(server, tmp_path, resolution):
    box = (-69.90, -14.60, -69.87, -14.57)
    seen = sentinel2_acquisition("19LDD", "2024-06-10", window=window_over("19LDD", box), bands=("red",))
    result = red_of(server, tmp_path, box, [seen], resolution)
    assert result.grid.crs.epsg == 32719
    assert result.coverage == 1
    if resolution == 10:
        assert_array_equal(result.bands["red"], counts_at(seen, "red", result.grid))
    natively = red_of(server, tmp_path, box, [seen], resolution, output_crs="native")
    assert natively.coverage == 1


@pytest.mark.parametrize("archive", ["earth-search", "planetary-computer"])
def test_an_area_across_the_antimeridian_is_one_picture(server, tmp_path, archive):
    box = (179.9, -17.75, -179.9, -17.7)
    tiles = tiles_of(box)
    assert set(tiles) == {"01KAA", "60KYF"}
    seen = [flat(tile, "2024-06-10", box, 900) for tile in tiles]
    serve = serve_earth_search if archive == "earth-search" else serve_planetary_computer
    url = serve(server, tmp_path, seen)
    result = build_composite(box, "2024-06", 20.0, archive, ["red"], catalog_url=url, read="exact")
    assert result.grid.shape[1] < 1500, "the grid goes the short way round"
    assert (result.bands["red"] == 900).all()


def test_polar_edge_tiles_of_two_zones_make_one_picture(server, tmp_path):
    box = (8.95, 83.42, 9.05, 83.43)
    seen = [flat(tile, "2024-06-10", box, 7000) for tile in tiles_of(box)]
    assert len(seen) == 2
    result = red_of(server, tmp_path, box, seen)
    assert (result.bands["red"] == 7000).all()


def test_no_scene_is_an_empty_composite_that_says_so(server, tmp_path):
    box = (14.20, 45.90, 14.22, 45.92)
    elsewhere = flat("33TVL", "2024-07-10", box, 900)
    result = red_of(server, tmp_path, box, [elsewhere])
    assert result.coverage == 0
    assert result.source_ids == ()
    assert "no scene" in result.reason.lower() or "no item" in result.reason.lower()
    assert (result.bands["red"] == UNSEEN).all()
    assert (result.quality == 255).all()
    assert (result.selected_observation == -1).all()


def test_all_cloud_is_an_empty_composite_that_says_so(server, tmp_path):
    box = (14.20, 45.90, 14.22, 45.92)
    seen = flat("33TVL", "2024-06-10", box, 900)
    scl, where = seen.classes
    result = red_of(server, tmp_path, box, [replace(seen, classes=(np.full_like(scl, DETECTED), where))])
    assert result.coverage == 0
    assert "cloud" in result.reason.lower() or "clear" in result.reason.lower()
    assert (result.bands["red"] == UNSEEN).all()


def test_one_pixel_is_a_composite(server, tmp_path):
    seen = sentinel2_acquisition("33TVL", "2024-06-10", bands=("red",))
    counts, geobox = seen.bands["red"]
    x, y = geobox.affine * (100.5, 50.5)
    lon, lat = Transformer.from_crs(str(geobox.crs), 4326, always_xy=True).transform(x, y)
    box = (lon - 1e-6, lat - 1e-6, lon + 1e-6, lat + 1e-6)
    result = red_of(server, tmp_path, box, [seen], 10.0)
    assert result.grid.shape == (1, 1)
    assert result.bands["red"][0, 0] == counts[50, 100]


def test_the_better_seen_scene_comes_first_and_holes_are_filled_from_the_next(server, tmp_path):
    box = (14.20, 45.90, 14.22, 45.92)
    window = window_over("33TVL", box)
    hazy = sentinel2_acquisition("33TVL", "2024-06-05", window=window, bands=("red",),
                                 cloudy=(slice(0, 40), slice(0, 60)))  # fmt: skip
    partly = sentinel2_acquisition("33TVL", "2024-06-10", window=window, bands=("red",),
                                   unseen=(slice(0, 20), slice(0, 20)))  # fmt: skip
    result = red_of(server, tmp_path, box, [hazy, partly], 10.0, top_k=2)
    first, second = (counts_at(seen, "red", result.grid) for seen in (partly, hazy))
    filled = np.where(first != UNSEEN, first, np.where(second > 3500, UNSEEN, second))
    assert_array_equal(result.bands["red"], filled)
    assert result.coverage == pytest.approx((filled != UNSEEN).mean())
