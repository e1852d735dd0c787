"""Tables that cross stations: what is read is what was written, byte for byte."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
import shapely

from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.domain.tables import SCENES
from geo_assets.io.archives.items import scene_item
from geo_assets.io.tables import scenes_frame, scenes_from, table_bytes, table_from

RECORDED = (
    "planetary-computer_search_sentinel-2-l2a.json",
    "cdse-stac_search_sentinel-2-l2a.json",
    "earth-search_search_sentinel-2-l1c.json",
    "earth-search-v1_item_S2A_28QCH.json",
    "hls_item_S30_T19LDD.json",
    "modis-43A4-061_item.json",
)


@pytest.fixture
def items(shared_data) -> list[SceneItem]:
    """Scene items of every sensor."""
    documents: list[dict[str, Any]] = [json.loads((shared_data / "stac" / name).read_text()) for name in RECORDED]
    return [scene_item(item) for document in documents for item in document.get("features") or [document]]


def same(one: SceneItem, other: SceneItem) -> bool:
    """Equal in every field; footprints to the 7 digits that are written."""
    pairs = ((getattr(one, field.name), getattr(other, field.name)) for field in fields(SceneItem))
    return all(
        shapely.equals_exact(first, second, tolerance=1e-6) if isinstance(first, shapely.Geometry) else first == second
        for first, second in pairs
    )


def test_scenes_of_every_sensor_come_back_as_they_were(items):
    written = table_bytes(scenes_frame([Scene((item,)) for item in items]), SCENES)
    found = scenes_from(table_from(written, SCENES))
    assert len(found) == len(items) == 41
    assert all(same(scene.parts[0], item) for scene, item in zip(found, items, strict=True))


def test_a_table_without_one_angle_or_orbit_or_tile_is_read_as_well(items):
    bare = replace(
        items[0], tile=None, orbit_state=None, sun_zenith=None, view_zenith=None, sun_azimuth=None, view_azimuth=None,
        cloud_cover=None, relative_orbit=None, offset_doubtful=True,
    )  # fmt: skip
    (found,) = scenes_from(table_from(table_bytes(scenes_frame([Scene((bare,))]), SCENES), SCENES))
    assert same(found.parts[0], bare)


def test_the_same_scenes_give_the_same_bytes(items):
    scenes = [Scene((item,)) for item in items]
    assert table_bytes(scenes_frame(scenes), SCENES) == table_bytes(scenes_frame(scenes), SCENES)


def test_parts_and_companions_stay_apart(items):
    assets = {name: replace(asset, archive="cdse") for name, asset in items[34].assets.items()}
    part, companion = items[33], replace(items[34], level="L1C", assets=assets)
    (found,) = scenes_from(table_from(table_bytes(scenes_frame([Scene((part,), (companion,))]), SCENES), SCENES))
    assert (found.parts[0].id, found.companions[0].id) == (part.id, companion.id)
    assert found.companions[0].level == "L1C"
    assert (found.parts[0].archive, found.companions[0].archive) == ("", "cdse")
    assert same(found.companions[0], companion)
