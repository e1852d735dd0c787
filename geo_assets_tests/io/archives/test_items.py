"""Items as the catalogues wrote them, and as nobody should."""

import copy
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.io.archives.items import ItemError, scene_item

L2A_BANDS = set(SENTINEL2_BANDS) - {"cirrus"} | {"scl"}
L1C_BANDS = set(SENTINEL2_BANDS)
SQUARE = {"type": "Polygon", "coordinates": [[[14, 45], [15, 45], [15, 46], [14, 46], [14, 45]]]}

Item = dict[str, Any]


def sound() -> Item:
    """A small L2A item, to be spoilt."""
    return {
        "type": "Feature",
        "id": "S2A_33TVL_20240610_0_L2A",
        "collection": "sentinel-2-l2a",
        "geometry": copy.deepcopy(SQUARE),
        "properties": {
            "datetime": "2024-06-10T10:04:41Z",
            "platform": "sentinel-2a",
            "grid:code": "MGRS-33TVL",
            "s2:processing_baseline": "05.10",
        },
        "assets": {"red": {"href": "red.tif"}, "scl": {"href": "scl.tif"}},
    }


def refusal_of(item: Item) -> str:
    with pytest.raises(ItemError) as refusal:
        scene_item(item)
    assert len(str(refusal.value)) < 250
    return str(refusal.value)


@pytest.fixture
def recorded(shared_data) -> Callable[[str], list[Item]]:
    """Items of a recorded answer, by the file's name."""

    def items(name: str) -> list[Item]:
        document = json.loads((shared_data / "stac" / name).read_text())
        return document.get("features") or [document]

    return items


def test_planetary_computer_s_33_items_are_understood(recorded):
    scenes = [scene_item(item) for item in recorded("planetary-computer_search_sentinel-2-l2a.json")]
    assert len(scenes) == 33
    assert {scene.level for scene in scenes} == {"L2A"}
    assert all(f"_T{scene.tile}_" in scene.id for scene in scenes)
    assert {(scene.platform, scene.relative_orbit, scene.datatake) for scene in scenes} == {
        ("s2a", 116, "20190101T000001")
    }
    assert {(scene.baseline, scene.offset_dn) for scene in scenes} == {("02.12", 0)}
    assert all(set(scene.assets) == L2A_BANDS for scene in scenes)
    assert scenes[0].assets["red"].href.endswith("B04_10m.tif")
    assert scenes[0].assets["swir16"].href.endswith("B11_20m.tif")


def test_cdse_s_4_items_are_two_acquisitions_over_two_tiles(recorded):
    scenes = [scene_item(item) for item in recorded("cdse-stac_search_sentinel-2-l2a.json")]
    assert {(scene.tile, scene.platform, scene.relative_orbit, scene.datatake) for scene in scenes} == {
        ("32TNT", "s2b", 65, "20200705T101559"),
        ("32TMT", "s2b", 65, "20200705T101559"),
        ("32TNT", "s2a", 108, "20200703T103031"),
        ("32TMT", "s2a", 108, "20200703T103031"),
    }
    assert {(scene.baseline, scene.offset_dn) for scene in scenes} == {("05.00", -1000)}
    assert all(set(scene.assets) == L2A_BANDS for scene in scenes)
    assert scenes[0].assets["red"].href.endswith("_B04_10m.jp2")
    assert scenes[0].assets["nir08"].href.endswith("_B8A_20m.jp2")


def test_earth_search_s_l1c_item_states_its_offset(recorded):
    (item,) = recorded("earth-search_search_sentinel-2-l1c.json")
    scene = scene_item(item)
    assert (scene.id, scene.level, scene.tile) == ("S2B_27VWK_20240206_0_L1C", "L1C", "27VWK")
    assert (scene.baseline, scene.offset_dn, scene.relative_orbit) == ("05.10", -1000, 81)
    assert scene.datatake == "20240206T131259"
    assert set(scene.assets) == L1C_BANDS


def test_both_versions_of_earth_search_mean_the_same_scene(recorded):
    (old,) = (scene_item(item) for item in recorded("earth-search-v0_item_S2A_28QCH.json"))
    (new,) = (scene_item(item) for item in recorded("earth-search-v1_item_S2A_28QCH.json"))
    assert old.id == new.id == "S2A_28QCH_20200714_0_L2A"
    assert (old.tile, old.level, old.platform, old.offset_dn) == (new.tile, new.level, new.platform, new.offset_dn)
    assert (old.tile, old.offset_dn) == ("28QCH", 0)
    assert set(old.assets) == set(new.assets) == L2A_BANDS
    assert (new.baseline, new.datatake, new.relative_orbit) == ("02.14", "20200714T115221", 123)
    assert (old.baseline, old.relative_orbit) == ("", None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hls_item_S30_T19LDD.json", "harmonised"),
        ("landsat-c2_item_LC08_028030.json", "'LANDSAT_8', expected Sentinel-2"),
        ("modis-43A4-061_item.json", "'terra,aqua', expected Sentinel-2"),
        ("cdse-odata_search.json", "id None is not a plain name"),
    ],
)
def test_other_sensors_and_products_are_refused_with_the_reason(recorded, name, said):
    for item in recorded(name):
        assert said in refusal_of(item)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "../../etc/passwd"}, "not a plain name"),
        ({"id": "a/b"}, "not a plain name"),
        ({"id": "a\\b"}, "not a plain name"),
        ({"id": ".hidden"}, "not a plain name"),
        ({"id": "a\0b"}, "not a plain name"),
        ({"id": "x" * 1000}, "not a plain name"),
        ({"id": ""}, "not a plain name"),
        ({"id": 5}, "not a plain name"),
        ({"geometry": None}, "no geometry"),
        ({"geometry": {"type": "Point", "coordinates": [14, 45]}}, "empty"),
        ({"geometry": {"type": "Polygon", "coordinates": []}}, "empty"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[14, 45]]]}}, "not GeoJSON"),
        ({"geometry": {"type": "Blob"}}, "not GeoJSON"),
        ({"geometry": {**SQUARE, "coordinates": [[[4e5, 5e6], [5e5, 5e6], [5e5, 6e6], [4e5, 5e6]]]}}, "degrees"),
        ({"properties": None}, "no properties"),
        ({"assets": None}, "no assets"),
        ({"assets": {}}, "no assets"),
        ({"assets": {"thumbnail": {"href": "x.png"}}}, "no asset that is a Sentinel-2 band (found thumbnail)"),
        ({"assets": {"red": {}}}, "asset red has no href"),
        ({"assets": {"red": {"href": 5}}}, "asset red has no href"),
        ({"assets": {"red": {"href": "r.tif", "file:size": 10**18}}}, "file size"),
        ({"assets": {"red": {"href": "r.tif", "file:size": -1}}}, "file size"),
    ],
)
def test_an_item_that_lacks_or_breaks_something_is_refused_with_the_reason(changes, said):
    assert said in refusal_of({**sound(), **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"datetime": None}, "no datetime"),
        ({"datetime": "yesterday"}, "not an ISO time"),
        ({"datetime": "0001-01-01T00:00:00+14:00"}, "calendar"),
        ({"platform": "landsat-8"}, "expected Sentinel-2"),
        ({"sat:relative_orbit": 0}, "expected 1 to 143"),
        ({"sat:relative_orbit": math.inf}, "expected 1 to 143"),
        ({"sat:relative_orbit": 10**30}, "expected 1 to 143"),
        ({"s2:processing_baseline": None}, "neither offset nor processing baseline"),
    ],
)
def test_a_property_that_cannot_be_is_refused_with_the_reason(changes, said):
    item = sound()
    item["properties"].update(changes)
    assert said in refusal_of(item)


def test_an_item_with_a_range_of_time_begins_when_the_range_does():
    item = sound()
    item["properties"] |= {"datetime": None, "start_datetime": "2024-06-10T12:04:41+02:00"}
    assert scene_item(item).acquired == datetime(2024, 6, 10, 10, 4, 41, tzinfo=UTC)


@pytest.mark.parametrize(
    ("baseline", "stated", "applied", "offset"),
    [
        ("05.10", {}, False, -1000),
        ("03.01", {}, False, 0),
        ("05.10", {"raster:bands": [{"scale": 1e-4, "offset": 0}]}, False, 0),
        ("05.10", {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}, False, -1000),
        ("05.10", {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}, True, 0),
        ("05.10", {"raster:bands": [{"nodata": 0, "data_type": "uint16"}]}, False, -1000),
        ("05.10", {"raster:scale": 1e-4, "raster:offset": -0.1}, False, -1000),
        ("03.01", {"raster:offset": -0.1}, False, -1000),
        (None, {"raster:offset": 0}, False, 0),
    ],
)
def test_the_offset_is_what_the_bands_state_and_else_what_the_baseline_implies(baseline, stated, applied, offset):
    item = sound()
    item["properties"] |= {"s2:processing_baseline": baseline, "earthsearch:boa_offset_applied": applied}
    item["assets"]["red"] |= stated
    assert scene_item(item).offset_dn == offset


@pytest.mark.parametrize(
    "stated",
    [
        {"scale": 2.75e-5, "offset": -0.2},
        {"scale": math.nan},
        {"scale": "0.0001"},
        {"scale": 1e-4, "offset": math.nan},
        {"scale": 1e-4, "offset": 50},
    ],
)
def test_a_scaling_that_is_not_sentinel_2s_is_refused(stated):
    item = sound()
    item["assets"]["red"]["raster:bands"] = [stated]
    assert "asset red has" in refusal_of(item)


def test_bands_that_disagree_about_the_offset_are_refused():
    item = sound()
    item["assets"]["red"]["raster:bands"] = [{"offset": -0.1}]
    item["assets"]["blue"] = {"href": "blue.tif", "raster:bands": [{"offset": 0}]}
    assert "different offsets (-1000, 0 counts)" in refusal_of(item)


def test_bands_of_one_file_are_found_by_their_place_in_it():
    item = sound()
    names = [band.number for band in SENTINEL2_BANDS.values()]
    item["assets"] = {
        "visual": {
            "href": "rgb.tif",
            "roles": ["visual"],
            "eo:bands": [{"name": name} for name in ("B04", "B03", "B02")],
        },
        "all": {
            "href": "all.tif",
            "eo:bands": [{"name": name} for name in names],
            "raster:bands": [{"scale": 1e-4, "offset": -0.1}] * 13,
        },
    }
    scene = scene_item(item)
    assert {name: (asset.href, asset.band_index) for name, asset in scene.assets.items()} == {
        name: ("all.tif", place) for place, name in enumerate(SENTINEL2_BANDS, start=1)
    }
    assert scene.offset_dn == -1000


def test_the_digest_changes_with_anything_in_the_item_and_with_nothing_else():
    item = sound()
    reordered = dict(reversed(list(item.items())))
    changed = {**sound(), "links": [{"rel": "self", "href": "x"}]}
    assert scene_item(item).digest == scene_item(reordered).digest
    assert scene_item(item).digest != scene_item(changed).digest


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just("0001-01-01T00:00:00+14:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
PLACES = [
    ("id",), ("collection",), ("geometry",), ("geometry", "type"), ("geometry", "coordinates"), ("properties",),
    ("properties", "datetime"), ("properties", "platform"), ("properties", "grid:code"),
    ("properties", "s2:processing_baseline"), ("properties", "sat:relative_orbit"), ("properties", "s2:product_uri"),
    ("properties", "eo:cloud_cover"), ("assets",), ("assets", "red"), ("assets", "B04"), ("assets", "scl"),
    ("assets", "red", "href"), ("assets", "red", "eo:bands"), ("assets", "red", "raster:bands"),
    ("assets", "red", "file:size"), ("assets", "red", "roles"),
]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(PLACES), junk), min_size=1, max_size=3))
def test_whatever_an_item_holds_it_is_understood_or_refused(changes):
    item = sound()
    for (*parents, last), value in changes:
        holder: Any = item
        for parent in parents:
            holder = holder.get(parent) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder[last] = value
    reason = ""
    try:
        found = scene_item(item).assets
    except ItemError as error:
        found, reason = {}, str(error)
    assert bool(found) != bool(reason)
    assert len(reason) < 400


@pytest.mark.parametrize("stated", [5.1, 510, "five", "5.1", ["05.10"]])
def test_a_baseline_that_is_stated_and_not_understood_is_refused_since_it_decides_the_offset(stated):
    item = sound()
    item["properties"]["s2:processing_baseline"] = stated
    assert "s2:processing_baseline" in refusal_of(item)


@pytest.mark.parametrize("stated", ["05.10", "5.10", "N0510", "0510"])
def test_a_baseline_is_understood_however_it_is_spelled(stated):
    item = sound()
    item["properties"]["s2:processing_baseline"] = stated
    assert scene_item(item).baseline == "05.10"


def test_an_offset_that_only_some_bands_state_must_agree_with_the_baseline():
    item = sound()
    item["assets"]["blue"] = {"href": "blue.tif", "raster:bands": [{"scale": 1e-4, "offset": 0}]}
    assert "only some bands" in refusal_of(item)
    item["assets"]["blue"]["raster:bands"][0]["offset"] = -0.1
    assert scene_item(item).offset_dn == -1000


@pytest.mark.parametrize(
    ("collection", "level"),
    [
        ("sentinel-2a-l1c", "L1C"),
        ("sentinel-2a-l2a", "L2A"),
        ("sentinel_2_l1c", "L1C"),
        ("S2MSI2A", "L2A"),
        ("sentinel-2-c1-l2a", "L2A"),
    ],
)
def test_the_level_is_read_with_its_l_for_2a_is_a_satellite_as_well(collection, level):
    item = sound()
    item["collection"] = collection
    assert scene_item(item).level == level


def test_a_collection_named_after_the_satellite_leaves_the_level_to_the_assets():
    item = sound()
    item["collection"] = "sentinel-2a"
    item["assets"] = {"B10": {"href": "B10.tif"}, "B04": {"href": "B04.tif"}}
    assert scene_item(item).level == "L1C"


@pytest.mark.parametrize(
    "ring",
    [
        [[179.2, -15], [180.3, -15], [180.3, -14], [179.2, -14], [179.2, -15]],
        [[-180.8, -15], [-179.7, -15], [-179.7, -14], [-180.8, -14], [-180.8, -15]],
        [[179.2, -15], [-179.7, -15], [-179.7, -14], [179.2, -14], [179.2, -15]],
    ],
)
def test_a_footprint_across_the_antimeridian_reaches_both_sides_however_it_is_drawn(ring):
    item = sound()
    item["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    footprint = scene_item(item).footprint
    assert footprint.area == pytest.approx(1.1)
    assert footprint.intersects(shapely.box(179.5, -14.8, 179.6, -14.2))
    assert footprint.intersects(shapely.box(-179.9, -14.8, -179.8, -14.2))
    assert not footprint.intersects(shapely.box(-10, -20, 10, 0))
