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
from geo_assets.domain.scene import ANGLE_LAYERS, GRANULE_METADATA, Scene
from geo_assets.domain.tables import SCENES
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Query
from geo_assets.io.archives.expectation import expected_acquisitions
from geo_assets.io.archives.filters import fits
from geo_assets.io.archives.items import ItemError, scene_item
from geo_assets.io.archives.search.shelf import Shelf, shelf_bytes, shelf_from
from geo_assets.io.archives.unusable import unreadable
from geo_assets.io.tables import scenes_frame, table_bytes

L2A_ASSETS = set(SENTINEL2_BANDS) - {"cirrus"} | {"scl", "aot", GRANULE_METADATA}
L1C_ASSETS = {*SENTINEL2_BANDS, GRANULE_METADATA}
NOW = datetime(2024, 12, 1, tzinfo=UTC)
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
    assert all(set(scene.assets) == L2A_ASSETS for scene in scenes)
    assert scenes[0].assets["red"].href.endswith("B04_10m.tif")
    assert scenes[0].assets[GRANULE_METADATA].href.endswith("/GRANULE/L2A_T60VUK_A018417_20181231T235957/MTD_TL.xml")
    assert (scenes[0].sun_azimuth, scenes[0].view_azimuth) == (pytest.approx(174.189, abs=1e-3), None)
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
    assert all(set(scene.assets) == L2A_ASSETS for scene in scenes)
    metadata = scenes[0].assets[GRANULE_METADATA]
    assert (metadata.href.endswith("/MTD_TL.xml"), metadata.size_bytes) == (True, 626559)
    assert metadata.alternate is not None
    assert (scenes[0].sun_azimuth, scenes[0].view_azimuth) == pytest.approx((149.7178, 152.0055), abs=1e-3)
    red = scenes[0].assets["red"]
    assert red.href.startswith("s3://eodata/Sentinel-2/MSI/L2A_N0500/")
    assert red.href.endswith("_B04_10m.jp2")
    assert red.alternate is not None
    assert red.alternate.startswith("https://zipper.dataspace.copernicus.eu/odata/v1/Products(")
    assert red.size_bytes is not None
    assert red.checksum is not None
    assert red.checksum.startswith("1620")
    assert {scene.orbit_state for scene in scenes} == {"descending"}
    assert scenes[0].sun_zenith == pytest.approx(27.2486, abs=1e-3)
    assert scenes[0].view_zenith == pytest.approx(2.9762, abs=1e-3)
    assert {name: asset.nodata for name, asset in scenes[0].assets.items() if asset.nodata != 0} == {
        "aot": None,
        GRANULE_METADATA: None,
    }
    assert scenes[0].assets["nir08"].href.endswith("_B8A_20m.jp2")


def test_the_hls_item_is_one_of_a_pool_with_bands_by_sensor(recorded):
    (item,) = recorded("hls_item_S30_T19LDD.json")
    scene = scene_item(item)
    assert (scene.level, scene.tile, scene.platform, scene.quality) == ("HLS", "19LDD", "s2a", "hls_fmask")
    assert (scene.datatake, scene.baseline, scene.offset_dn) == ("20220615T144741", "02.00", 0)
    assert set(scene.assets) == {*SENTINEL2_BANDS, "fmask", *ANGLE_LAYERS}
    assert {(scene.assets[name].href[-7:], scene.assets[name].nodata) for name in ANGLE_LAYERS} == {
        (f"{name.upper()}.tif", 40_000) for name in ANGLE_LAYERS
    }
    assert (scene.sun_azimuth, scene.view_azimuth) == (33.2, 108.4)
    assert scene.assets["nir"].href == scene.assets["nir08"].href
    assert scene.assets["nir"].href.endswith(".B8A.tif")
    assert scene.assets["swir22"].href.endswith(".B12.tif")
    assert (scene.assets["red"].nodata, scene.assets["fmask"].nodata) == (-9999, 255)


def test_the_mcd43a4_item_is_of_one_day_with_a_quality_for_every_band(recorded):
    (item,) = recorded("modis-43A4-061_item.json")
    scene = scene_item(item)
    assert (scene.level, scene.tile, scene.quality, scene.offset_dn) == ("NBAR", "h14v10", "mcd43a4", 0)
    assert scene.acquired == datetime(2022, 2, 1, tzinfo=UTC)
    assert scene.generated == "2022041051831"
    bands = {"blue", "green", "red", "nir", "swir16", "swir22"}
    assert set(scene.assets) == bands | {f"qa_{band}" for band in bands}
    assert scene.assets["blue"].href.endswith("Nadir_Reflectance_Band3.tif")
    assert scene.assets["qa_blue"].href.endswith("Mandatory_Quality_Band3.tif")
    assert (scene.assets["red"].nodata, scene.assets["qa_red"].nodata) == (32767, 255)


def hls(sensor: str = "L30") -> Item:
    keys = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B09", "B10", "B11", "Fmask")
    return {
        "type": "Feature",
        "id": f"HLS.{sensor}.T33TVL.2024162T100441.v2.0",
        "collection": f"hls2-{sensor.lower()}",
        "geometry": copy.deepcopy(SQUARE),
        "properties": {"datetime": "2024-06-10T10:04:41Z", "platform": "LANDSAT_8"},
        "assets": {key: {"href": f"{key}.tif"} for key in keys},
    }


def test_an_asset_key_of_hls_means_what_its_sensor_says():
    scene = scene_item(hls("L30"))
    assert {name: asset.href for name, asset in scene.assets.items()} == {
        "coastal": "B01.tif", "blue": "B02.tif", "green": "B03.tif", "red": "B04.tif", "nir": "B05.tif",
        "nir08": "B05.tif", "cirrus": "B09.tif", "swir16": "B06.tif", "swir22": "B07.tif", "fmask": "Fmask.tif",
    }  # fmt: skip
    assert scene.platform == "landsat-8"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "HLS.S30.T33TVL.2024162T100441.v2.0"}, "of S30 by its id and of collection hls2-l30"),
        ({"id": "HLS.L30.T33TVL.2024999T100441.v2.0"}, "no day of a year"),
        ({"id": "HLS.L30.granule"}, "not an HLS name"),
        ({"assets": {"B04": {"href": "B04.tif"}}}, "no Fmask"),
        ({"assets": {"Fmask": {"href": "Fmask.tif"}}}, "no asset that is a band of L30"),
        ({"assets": {"B04": {"href": "r.tif", "raster:bands": [{"scale": 1.0}]}}}, "scale 1.0"),
        ({"assets": {"B04": {"href": "r.tif", "raster:bands": [{"offset": -0.1}]}}}, "HLS has none"),
    ],
)
def test_an_hls_item_that_contradicts_itself_is_refused_with_the_reason(changes, said):
    assert said in refusal_of({**hls(), **changes})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda item: item.update(id="MCD43A4.A2022400.h14v10.061"), "no day of a year"),
        (lambda item: item.update(id="MCD43A4.somewhere"), "not an MCD43A4 name"),
        (lambda item: item["properties"].update(datetime="2022-03-01T00:00:00Z"), "by its datetime"),
        (lambda item: item["assets"].pop("BRDF_Albedo_Band_Mandatory_Quality_Band1"), "without BRDF_Albedo"),
        (lambda item: item.update(assets={"hdf": {"href": "x.hdf"}}), "no asset that is a MODIS band"),
    ],
)
def test_an_mcd43a4_item_that_contradicts_itself_is_refused_with_the_reason(recorded, change, said):
    (item,) = recorded("modis-43A4-061_item.json")
    change(item)
    assert said in refusal_of(item)


@pytest.mark.parametrize(
    ("stated", "sun", "view", "orbit"),
    [
        ({"s2:mean_solar_zenith": 30.5, "view:sun_elevation": 10}, 30.5, None, None),
        ({"view:sun_elevation": 72}, 18.0, None, None),
        ({"view:incidence_angle": 4.0, "view:off_nadir": 0}, None, 4.0, None),
        ({"view:off_nadir": 0}, None, 0.0, None),
        ({"view:off_nadir": 7.5}, None, pytest.approx(8.429, abs=1e-3), None),
        ({"sat:orbit_state": "ascending"}, None, None, "ascending"),
        ({"sat:orbit_state": "geostationary", "view:sun_elevation": math.nan, "view:off_nadir": "7"}, None, None, None),
        ({"s2:mean_solar_zenith": 10**400, "view:incidence_angle": True}, None, None, None),
    ],
)
def test_angles_are_degrees_from_the_zenith_or_unknown(stated, sun, view, orbit):
    item = sound()
    item["properties"] |= stated
    scene = scene_item(item)
    assert (scene.sun_zenith, scene.view_zenith, scene.orbit_state) == (sun, view, orbit)


@pytest.mark.parametrize(
    ("stated", "sun", "view"),
    [
        ({"s2:mean_solar_azimuth": 150.5, "view:sun_azimuth": 10}, 150.5, None),
        ({"view:sun_azimuth": -20, "view:azimuth": 360}, 340.0, 0.0),
        ({"view:sun_azimuth": 361, "view:azimuth": "104"}, None, None),
        ({"s2:mean_solar_azimuth": math.nan, "view:sun_azimuth": True, "view:azimuth": math.inf}, None, None),
    ],
)
def test_azimuths_are_degrees_from_north_or_unknown(stated, sun, view):
    item = sound()
    item["properties"] |= stated
    scene = scene_item(item)
    assert (scene.sun_azimuth, scene.view_azimuth) == (sun, view)


@pytest.mark.parametrize(
    ("key", "asset", "found"),
    [
        ("MTD_TL.xml", {"href": "S2.SAFE/GRANULE/x/MTD_TL.xml"}, "S2.SAFE/GRANULE/x/MTD_TL.xml"),
        ("metadata", {"href": "a/metadata.xml?signed"}, "a/metadata.xml?signed"),
        ("metadata", {"href": "S2.SAFE/MTD_MSIL2A.xml"}, None),
        ("product_metadata", {"href": "S2.SAFE/MTD_MSIL2A.xml"}, None),
        ("granule_metadata", {"href": ""}, None),
        ("granule_metadata", {"href": "MTD_TL.xml", "file:size": -1}, None),
        ("granule_metadata", "MTD_TL.xml", None),
    ],
)
def test_an_asset_of_angles_that_makes_no_sense_is_left_out_and_its_scene_is_not(key, asset, found):
    item = sound()
    item["assets"][key] = asset
    assets = scene_item(item).assets
    assert {"red", "scl"} <= set(assets)
    assert (assets[GRANULE_METADATA].href if GRANULE_METADATA in assets else None) == found


def test_earth_search_s_l1c_item_states_its_offset(recorded):
    (item,) = recorded("earth-search_search_sentinel-2-l1c.json")
    scene = scene_item(item)
    assert (scene.id, scene.level, scene.tile) == ("S2B_27VWK_20240206_0_L1C", "L1C", "27VWK")
    assert (scene.baseline, scene.offset_dn, scene.relative_orbit) == ("05.10", -1000, 81)
    assert scene.datatake == "20240206T131259"
    assert set(scene.assets) == L1C_ASSETS
    assert scene.assets[GRANULE_METADATA].href == "s3://sentinel-s2-l1c/tiles/27/V/WK/2024/2/6/0/metadata.xml"


def test_both_versions_of_earth_search_mean_the_same_scene(recorded):
    (old,) = (scene_item(item) for item in recorded("earth-search-v0_item_S2A_28QCH.json"))
    (new,) = (scene_item(item) for item in recorded("earth-search-v1_item_S2A_28QCH.json"))
    assert old.id == new.id == "S2A_28QCH_20200714_0_L2A"
    assert (old.tile, old.level, old.platform, old.offset_dn) == (new.tile, new.level, new.platform, new.offset_dn)
    assert (old.tile, old.offset_dn) == ("28QCH", 0)
    assert set(old.assets) == set(new.assets) == L2A_ASSETS
    assert old.assets[GRANULE_METADATA].href.endswith("/metadata.xml")
    assert new.assets[GRANULE_METADATA].href.endswith("/granule_metadata.xml")
    assert (new.baseline, new.datatake, new.relative_orbit) == ("02.14", "20200714T115221", 123)
    assert (old.baseline, old.relative_orbit) == ("", None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("landsat-c2_item_LC08_028030.json", "'LANDSAT_8', expected Sentinel-2"),
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


NOTHING: Item = {}
ZERO: Item = {"raster:bands": [{"scale": 1e-4, "offset": 0}]}
MINUS: Item = {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}


@pytest.mark.parametrize(
    ("baseline", "stated", "applied", "offset", "doubtful"),
    [
        ("05.10", MINUS, False, -1000, False),
        ("05.10", ZERO, True, 0, False),
        ("05.10", MINUS, True, 0, True),
        ("05.10", ZERO, False, -1000, True),
        ("05.10", NOTHING, True, 0, False),
        ("05.10", NOTHING, False, -1000, False),
        ("05.10", MINUS, None, -1000, False),
        ("05.10", ZERO, None, 0, True),
        ("05.10", NOTHING, None, -1000, True),
        ("03.01", ZERO, False, 0, False),
        ("03.01", MINUS, False, 0, True),
        ("03.01", MINUS, None, -1000, True),
        ("03.01", NOTHING, None, 0, False),
        (None, ZERO, False, 0, False),
        (None, MINUS, None, -1000, False),
        ("05.10", {"raster:bands": [{"nodata": 0, "data_type": "uint16"}]}, False, -1000, False),
        ("05.10", {"raster:scale": 1e-4, "raster:offset": -0.1}, False, -1000, False),
    ],
)
def test_earth_search_s_flag_speaks_first_then_the_bands_then_the_baseline_and_discord_is_a_doubt(
    baseline, stated, applied, offset, doubtful
):
    item = sound()
    item["properties"] |= {"s2:processing_baseline": baseline, "earthsearch:boa_offset_applied": applied}
    item["assets"]["red"] |= stated
    scene = scene_item(item, offsets="earth-search")
    assert (scene.offset_dn, scene.offset_doubtful) == (offset, doubtful)


@pytest.mark.parametrize(("baseline", "offset"), [("02.12", 0), ("03.01", 0), ("04.00", -1000), ("05.11", -1000)])
@pytest.mark.parametrize("stated", [NOTHING, ZERO, MINUS])
def test_where_the_baseline_alone_counts_nothing_else_is_listened_to(baseline, offset, stated):
    item = sound()
    item["properties"] |= {"s2:processing_baseline": baseline, "earthsearch:boa_offset_applied": True}
    item["assets"]["red"] |= stated
    scene = scene_item(item, offsets="baseline")
    assert (scene.offset_dn, scene.offset_doubtful) == (offset, False)


def test_a_baseline_alone_is_no_doubt_in_a_catalogue_of_the_user_s_own():
    scene = scene_item(sound())
    assert (scene.offset_dn, scene.offset_doubtful) == (-1000, False)


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
    | st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "\ud800", "GS2A_20249999T000000_1_N05.10"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
PLACES = [
    ("id",), ("collection",), ("geometry",), ("geometry", "type"), ("geometry", "coordinates"), ("properties",),
    ("properties", "datetime"), ("properties", "platform"), ("properties", "grid:code"),
    ("properties", "s2:processing_baseline"), ("properties", "sat:relative_orbit"), ("properties", "s2:product_uri"),
    ("properties", "s2:datatake_id"), ("properties", "s2:datastrip_id"), ("properties", "s2:generation_time"),
    ("properties", "view:azimuth"), ("properties", "view:sun_azimuth"), ("assets", "granule_metadata"),
    ("properties", "sat:orbit_state"), ("properties", "view:off_nadir"), ("properties", "view:sun_elevation"),
    ("properties", "earthsearch:boa_offset_applied"), ("assets", "red", "alternate"),
    ("assets", "red", "file:checksum"), ("properties", "eo:cloud_cover"),
    ("assets",), ("assets", "red"), ("assets", "B04"), ("assets", "scl"),
    ("assets", "red", "href"), ("assets", "red", "eo:bands"), ("assets", "red", "raster:bands"),
    ("assets", "red", "file:size"), ("assets", "red", "roles"),
]  # fmt: skip


@pytest.mark.parametrize("make", [sound, hls])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), junk), min_size=1, max_size=3))
def test_whatever_an_item_holds_it_is_understood_or_refused_and_can_be_written_down(make, changes):
    item = make()
    for (*parents, last), value in changes:
        holder: Any = item
        for parent in parents:
            holder = holder.get(parent) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder[last] = value
    scene, reason = None, ""
    try:
        scene = scene_item(item, offsets="earth-search")
    except ItemError as error:
        reason = str(error)
    if scene is None:
        missed = unreadable(item, reason)
        answer = Shelf(NOW, (), (missed,))
        missed.answers(Query(square(), NOW, NOW))
        assert 0 < len(reason) < 400
    else:
        assert scene.assets
        answer = Shelf(NOW, (scene,), ())
        table_bytes(scenes_frame([Scene((scene,))]), SCENES)
        expected_acquisitions([scene], Month(2024, 6), now=NOW)
        fits(scene, Query(square(), NOW, NOW))
    assert shelf_from(shelf_bytes(answer)) == answer


def square() -> shapely.Polygon:
    return shapely.box(14, 45, 15, 46)


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
