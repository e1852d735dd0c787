import numpy as np
import pytest
from PIL import ImageChops
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Point, Polygon, box

from geo_assets.domain.errors import RegionError
from geo_assets.io.pictures.preview import png_bytes
from geo_assets.io.pictures.region_map import region_map

AREA_FILL = (240, 198, 112)
TILE_FILL = (221, 234, 242)


def columns_with(picture, colour):
    map_only = np.asarray(picture)[92:]  # below the legend's swatches
    return np.flatnonzero((map_only == colour).all(axis=-1).any(axis=0))


def share_of(picture, colour):
    return (np.asarray(picture)[92:] == colour).all(axis=-1).mean()


def over_180(west, south, east, north):
    """The box that runs from `west` over the antimeridian to `east`, split there."""
    return MultiPolygon([box(west, south, 180, north), box(-180, south, east, north)])


def test_the_area_lies_filled_inside_its_tile():
    picture = region_map(box(14.4, 45.3, 14.8, 45.7), {"33TVL": box(14, 45, 15.2, 46)}, title="Sava")
    area, tile = columns_with(picture, AREA_FILL), columns_with(picture, TILE_FILL)
    assert tile.min() < area.min() < area.max() < tile.max()
    assert share_of(picture, AREA_FILL) < share_of(picture, TILE_FILL)


def test_east_is_right_and_north_is_up():
    tile = {"33TVL": box(14, 45, 15, 46)}
    corner = np.asarray(region_map(box(14.7, 45.7, 15, 46), tile, title=""))[92:]
    rows, cols = np.nonzero((corner == AREA_FILL).all(axis=-1))
    assert cols.mean() > corner.shape[1] / 2
    assert rows.mean() < corner.shape[0] / 2


def test_a_map_over_the_antimeridian_is_the_map_of_the_same_shapes_elsewhere():
    area, tile = over_180(179.5, -17, -179.5, -16), over_180(179, -17.5, -179, -15.5)
    joined = region_map(area, {"60KXF": tile}, title="")
    elsewhere = region_map(box(-0.5, -17, 0.5, -16), {"60KXF": box(-1, -17.5, 1, -15.5)}, title="")
    frame = (84, 92, joined.width - 36, joined.height - 88)
    assert joined.size == elsewhere.size
    # Joined rings start at another corner, which moves Pillow's lines by a part of a pixel.
    difference = ImageChops.difference(joined.crop(frame), elsewhere.crop(frame))
    assert np.asarray(difference).mean() < 1
    for colour in (AREA_FILL, TILE_FILL):
        ours, theirs = columns_with(joined, colour), columns_with(elsewhere, colour)
        assert abs(ours.min() - theirs.min()) <= 1
        assert abs(ours.max() - theirs.max()) <= 1


def test_tiles_on_both_sides_of_the_antimeridian_are_neighbours_on_the_map():
    tiles = {"60KXF": box(178.9, -17, 180, -16), "01KAB": box(-180, -17, -178.9, -16)}
    picture = region_map(Point(179.9, -16.5).buffer(0.3).intersection(tiles["60KXF"]), tiles, title="")
    filled = columns_with(picture, TILE_FILL)
    assert filled.max() - filled.min() > 0.8 * (picture.width - 120)
    assert share_of(picture, TILE_FILL) > 0.4


def test_a_region_round_the_whole_world_is_drawn_as_it_is():
    picture = region_map(box(-180, -60, 180, 60), {"all": box(-180, -60, 180, 60)}, title="World")
    assert share_of(picture, AREA_FILL) > 0.35


@pytest.mark.parametrize("latitude", [-80.0, -0.5, 45.0, 83.0])
def test_a_tiny_area_is_ringed_and_its_tile_is_seen_whole(latitude):
    tile = box(14, latitude, 15.3, latitude + 1)
    point = Point(14.5, latitude + 0.5).buffer(0.0005)
    picture = region_map(point, {"33TVL": tile}, title="Plot")
    assert share_of(picture, TILE_FILL) > 0.15
    ring = np.asarray(picture)[92:]
    assert (ring == (166, 106, 0)).all(axis=-1).sum() > 50


def test_holes_in_the_area_stay_empty():
    whole = box(14, 45, 15, 46)
    holed = Polygon(whole.exterior.coords, [box(14.2, 45.2, 14.8, 45.8).exterior.coords])
    tiles = {"33TVL": whole}
    assert share_of(region_map(holed, tiles, title=""), AREA_FILL) < 0.75 * share_of(
        region_map(whole, tiles, title=""), AREA_FILL
    )


def test_many_tiles_a_long_title_and_a_narrow_strip_still_make_a_map():
    tiles = {f"33T{number:03d}": translate(box(0, 0, 1.2, 1), 0.3 * number, 0) for number in range(200)}
    picture = region_map(box(0, 0.4, 60, 0.6), tiles, title="A very long title " * 20)
    assert max(picture.size) <= 1100
    assert min(picture.size) >= 360


def test_an_area_without_tiles_and_tiles_without_an_area_are_drawn():
    area = box(14, 45, 15, 46)
    assert share_of(region_map(area, {}, title=""), AREA_FILL) > 0.3
    assert share_of(region_map(Polygon(), {"33TVL": area}, title=""), TILE_FILL) > 0.3


def test_nothing_to_draw_is_an_error_that_says_so():
    with pytest.raises(RegionError, match="no area and no tiles"):
        region_map(Polygon(), {}, title="")


def test_the_same_region_gives_the_same_bytes():
    def draw():
        return region_map(box(14, 45, 14.5, 45.5), {"33TVL": box(14, 45, 15, 46)}, title="Sava")

    assert png_bytes(draw()) == png_bytes(draw())
