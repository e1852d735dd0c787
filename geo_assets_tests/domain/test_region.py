"""What a region may be, what it may not, and whether a refusal tells key, value, what is expected and the remedy."""

import math
from datetime import UTC, date, datetime
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.domain.errors import RegionError
from geo_assets.domain.region import Region, region_from
from geo_assets.domain.tile_month import Month

NOW = datetime(2024, 8, 10, tzinfo=UTC)
SOUND: dict[str, Any] = {
    "name": "valley",
    "area": [14.5, 45.8, 14.7, 45.95],
    "months": {"first": "2024-01", "last": "2024-02"},
    "archive": "demo",
    "bands": ["red", "nir"],
    "resolution": 20,
}
TRIANGLE = {"type": "Polygon", "coordinates": [[[14.5, 45.8], [14.7, 45.8], [14.7, 45.9], [14.5, 45.8]]]}
FAR_TRIANGLE = {"type": "Polygon", "coordinates": [[[20.5, 45.8], [20.7, 45.8], [20.7, 45.9], [20.5, 45.8]]]}


def region_with(**changes: Any) -> Region:
    """The sound region with some keys changed; `None` leaves one out."""
    mapping = {key: value for key, value in {**SOUND, **changes}.items() if value is not None}
    return region_from(mapping, origin="Region file valley.yaml", now=NOW)


def refusal_of(**changes: Any) -> str:
    with pytest.raises(RegionError) as refusal:
        region_with(**changes)
    message = str(refusal.value)
    assert message.startswith("Region file valley.yaml:\n")
    assert "pydantic" not in message
    assert "validation" not in message
    return message


def test_a_sound_region_has_what_its_file_says_and_sensible_defaults():
    region = region_with()
    assert region.tile_ids == ("33TVL",)
    assert region.month_list == (Month(2024, 1), Month(2024, 2))
    assert [tile_month.key for tile_month in region.tile_months] == ["2024-01|33TVL", "2024-02|33TVL"]
    assert region.tile_shape == (5490, 5490)
    assert region.feather_px == 120
    assert region.selection.top_k == 3
    assert region.mask.detectors == "auto"


@pytest.mark.parametrize(
    ("composite", "read"),
    [
        ({}, {"target_day": 15}),
        ({"method": "percentile"}, {"target_day": 15, "percentile": 25.0}),
        ({"method": "median", "target_day": 3}, {"target_day": 3}),
        (
            {"method": "bap", "weights": {"haze": 0.0, "cloud_distance": 0.0}},
            {"target_day": 15, "weights": {"date": 1.0, "date_sigma_days": 10.0}},
        ),
        (
            {"method": "weighted_mean", "weights": {"sensor": 0.5, "sensor_scores": {"s2c": 0.8}, "date": 0.0}},
            {
                "target_day": 15,
                "weights": {
                    "cloud_distance": 1.0,
                    "cloud_distance_m": 3000.0,
                    "haze": 0.5,
                    "sensor": 0.5,
                    "sensor_scores": {"s2c": 0.8},
                },
            },
        ),
    ],
)
def test_a_composite_depends_on_the_settings_that_its_method_reads(composite, read):
    settings = region_with(composite=composite).composite
    others = {"method": settings.method, "brdf": "none", "uncertainty": True, "minimum_coverage": 0.0}
    assert settings.used == others | read


@pytest.mark.parametrize(
    ("composite", "needed"),
    [
        ({}, False),
        ({"brdf": "c_factor"}, True),
        ({"method": "bap"}, False),
        ({"method": "bap", "weights": {"view_zenith": 0.2}}, True),
    ],
)
def test_angles_are_needed_by_scores_of_view_and_by_brdf(composite, needed):
    assert region_with(composite=composite).composite.needs_view is needed


def test_haze_that_nobody_asked_for_needs_no_blue():
    assert region_with(bands=["red", "nir"], composite={"method": "bap"}).composite.weights.haze == 0.5


def test_without_a_last_month_a_region_reaches_to_the_last_full_one():
    region = region_with(months={"first": "2024-05"})
    assert region.month_list == (Month(2024, 5), Month(2024, 6), Month(2024, 7))


def test_a_region_that_begins_this_month_holds_this_month():
    assert region_with(months={"first": "2024-08"}).month_list == (Month(2024, 8),)


def test_an_unknown_key_is_named_with_the_allowed_ones():
    message = refusal_of(resolutoin=20)
    assert "unknown key 'resolutoin'" in message
    assert "resolution" in message.partition("allowed here:")[2]


def test_an_unknown_key_of_a_section_is_named_with_that_sections_keys():
    message = refusal_of(mask={"detector": "auto"})
    assert "mask.detector: unknown key 'detector'" in message
    assert "detectors" in message.partition("allowed here:")[2]
    assert "max_tiles" not in message.partition("allowed here:")[2]


def test_a_plug_in_may_be_named_where_it_is_installed():
    settings = {**SOUND, "mask": {"detectors": ["s2cloudless", "haze_finder"]}}
    assert region_from(settings, now=NOW, plug_ins=["haze_finder"]).mask.detectors == ("s2cloudless", "haze_finder")
    with pytest.raises(RegionError, match=r"found 'haze_finder'.*the installed plug-ins mist_finder"):
        region_from(settings, now=NOW, plug_ins=["mist_finder"])


def test_settings_of_a_named_detector_are_kept_as_they_are():
    mask = {
        "detectors": ["external_fmask", "scores", "omnicloudmask"],
        "external_fmask": {
            "encoding": "python_fmask",
            "command": "fmask_sentinel2Stacked --safedir {safe} -o {output}",
        },
        "scores": {"path": "scores/{scene}.tif", "high_is": "clear", "threshold": 0.6},
        "omnicloudmask": {"weights": "weights"},
    }
    found = region_with(mask=mask).mask
    assert found.external_fmask.timeout_s == 3600
    assert found.scores.threshold == 0.6
    assert found.omnicloudmask.weights == "weights"
    assert (found.l1c_archive, found.missing_angles) == ("auto", "degrade")


def test_every_problem_has_a_line_of_its_own():
    lines = refusal_of(name="A", bands=[], resolution=7).splitlines()
    assert [line.strip().partition(":")[0] for line in lines[1:]] == ["name", "bands", "resolution"]


def test_missing_keys_are_named():
    message = refusal_of(name=None, months=None)
    assert "name: missing; add it" in message
    assert "months: missing; add it" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bands": ["B4"]}, ("bands: found 'B4'", "expected one of coastal, blue")),
        ({"bands": "red"}, ("bands: found 'red'", "expected a list")),
        ({"bands": []}, ("bands: found []", "at least 1")),
        ({"bands": ["red", "red"]}, ("bands:", "repeated", "once")),
        ({"bands": [4]}, ("bands.0: found 4", "expected text")),
        ({"bands": [f"b{number}" for number in range(10_000)]}, ("bands: found 'b0'", "expected one of")),
        ({"resolution": 0}, ("resolution: found 0", "10, 12, 15, 20, 30, 60", "divide 60")),
        ({"resolution": -20}, ("resolution: found -20", "expected one of")),
        ({"resolution": 25}, ("resolution: found 25", "expected one of")),
        ({"resolution": math.nan}, ("resolution: found nan", "whole number")),
        ({"resolution": "twenty"}, ("resolution: found 'twenty'", "whole number")),
        ({"resolution": "20"}, ("resolution: found '20'", "whole number")),
        ({"resolution": True}, ("resolution: found True", "whole number")),
        ({"max_tiles": True}, ("max_tiles: found True", "whole number")),
        ({"max_tiles": 0}, ("max_tiles: found 0", "at least 1")),
        ({"selection": {"top_k": 0}}, ("selection.top_k: found 0", "at least 1")),
        ({"selection": {"top_k": True}}, ("selection.top_k: found True", "whole number")),
        ({"selection": 3}, ("selection: found 3", "top_k")),
        ({"mosaic": {"feather_m": math.nan}}, ("mosaic.feather_m: found nan", "finite")),
        ({"mosaic": {"feather_m": -1}}, ("mosaic.feather_m: found -1", "more than 0")),
        ({"mosaic": {"feather_m": 5}}, ("mosaic.feather_m 5", "one pixel", "at least 20")),
        ({"mosaic": {"feather_m": 99_999}}, ("mosaic.feather_m: found 99999", "at most 4890")),
        ({"mosaic": {"crs": "EPSG:4326"}}, ("mosaic.crs: found 'EPSG:4326' (WGS 84)", "not the metre", "EPSG:6933")),
        ({"mosaic": {"crs": "EPSG:2263"}}, ("mosaic.crs: found 'EPSG:2263'", "not the metre")),
        ({"mosaic": {"crs": "EPSG:99999"}}, ("mosaic.crs: found 'EPSG:99999'", "auto or an EPSG code")),
        ({"mosaic": {"crs": "EPSG:3035\n"}}, ("mosaic.crs: found 'EPSG:3035\\n'", "auto or an EPSG code")),
        ({"mosaic": {"crs": "EPSG:32633+5773"}}, ("mosaic.crs: found 'EPSG:32633+5773'", "auto or an EPSG code")),
        ({"mosaic": {"crs": "EPSG:7405"}}, ("mosaic.crs: found 'EPSG:7405'", "without heights")),
        ({"mosaic": {"crs": "+proj=utm +zone=33"}}, ("mosaic.crs: found '+proj=utm", "auto or an EPSG code")),
        ({"mosaic": {"harmonise": "gian"}}, ("mosaic.harmonise: found 'gian'", "'gain_offset'")),
        ({"mosaic": {"seamline": "yes"}}, ("mosaic.seamline: found 'yes'", "true or false")),
        ({"mosaic": {"seam_gate": "stop"}}, ("mosaic.seam_gate: found 'stop'", "'report' or 'raise'")),
        ({"mosaic": {"seam_limit": 0.5}}, ("mosaic.seam_limit: found 0.5", "at least 1")),
        ({"composite": {"target_day": 32}}, ("composite.target_day: found 32", "at most 31")),
        ({"mask": {"detectors": ["fmsk"]}}, ("mask.detectors: found 'fmsk'", "auto", "omnicloudmask", "plug-in")),
        ({"mask": {"detectors": "fmask"}}, ("mask.detectors: found 'fmask'", "auto, or a list of quality")),
        ({"mask": {"detectors": ["fmask", "fmask"]}}, ("mask.detectors:", "repeated")),
        ({"mask": {"fmask_encoding": "hls_bits"}},
            ("mask.fmask_encoding: found 'hls_bits'", "has moved", "external_fmask: {encoding:")),
        ({"mask": {"detectors": ["external_fmask"]}}, ("mask.external_fmask: found nothing", "{encoding: fmask4}")),
        ({"mask": {"external_fmask": {"path": "a.tif"}}}, ("mask.external_fmask.encoding: missing",)),
        ({"mask": {"external_fmask": {"encoding": "fmask5"}}}, ("mask.external_fmask.encoding: found", "fmask4")),
        ({"mask": {"external_fmask": {"encoding": "fmask4", "command": "fmask {safe}", "path": "a.tif"}}},
            ("mask.external_fmask.path: found 'a.tif'", "command is given too")),
        ({"mask": {"external_fmask": {"encoding": "fmask4", "command": "fmask {saef}"}}},
            ("mask.external_fmask.command: found the placeholder {saef}", "{granule}")),
        ({"mask": {"external_fmask": {"encoding": "fmask4", "command": "fmask {safe}", "timeout_s": 0}}},
            ("mask.external_fmask.timeout_s: found 0", "more than 0")),
        ({"mask": {"detectors": ["quality"], "external_fmask": {"encoding": "fmask4"}}},
            ("mask.external_fmask: found settings", "[quality]", "does not name external_fmask")),
        ({"mask": {"detectors": ["scores"]}}, ("mask.scores: found nothing", "high_is: clear")),
        ({"mask": {"scores": {"path": "{scene}.tif", "high_is": "clear"}}}, ("mask.scores: found settings", "(auto)")),
        ({"mask": {"detectors": ["scores"], "scores": {"path": "{tile}.tif", "high_is": "clear"}}},
            ("mask.scores.path: found '{tile}.tif'", "same file for every scene", "{scene}")),
        ({"mask": {"external_fmask": {"encoding": "fmask4", "path": "a.tif"}}},
            ("mask.external_fmask.path: found 'a.tif'", "same file for every scene")),
        ({"mask": {"detectors": ["scores"], "scores": {"path": "{scne}.tif", "high_is": "clear"}}},
            ("mask.scores.path: found the placeholder {scne}", "{scene}")),
        ({"mask": {"detectors": ["scores"], "scores": {"path": "{scene}.tif"}}}, ("mask.scores.high_is: missing",)),
        ({"mask": {"detectors": ["omnicloudmask"]}}, ("mask.omnicloudmask: found nothing", "weights")),
        ({"mask": {"missing_angles": "guess"}}, ("mask.missing_angles: found 'guess'", "'refuse'")),
        ({"mask": {"l1c_archive": "copernicus"}}, ("mask.l1c_archive: found 'copernicus'", "cdse", "none")),
        ({"mask": {"drop": ["clouds"]}}, ("mask.drop.0: found 'clouds'", "'cloud'")),
        ({"mask": {"threshold": 2}}, ("mask.threshold: found 2", "less than 1")),
        ({"mask": {"resolution": 7}}, ("mask.resolution: found 7", "10, 12, 15")),
        ({"stats": {"clip_percentiles": [99, 1]}}, ("stats.clip_percentiles", "lower percentile first")),
        ({"composite": {"method": "mode"}}, ("composite.method: found 'mode'", "'best_pixel'")),
        ({"composite": {"percentile": 30.0}}, ("percentile: found 30", "method is best_pixel", "write method: p")),
        ({"composite": {"method": "percentile", "percentile": 101}}, ("composite.percentile: found 101", "most 100")),
        ({"composite": {"target_day": 0}}, ("composite.target_day: found 0", "at least 1")),
        ({"composite": {"weights": {"date": 2.0}}}, ("weights: found with method best_pixel", "bap or weighted_mean")),
        ({"composite": {"method": "bap", "weights": {"cloud": 1.0}}}, ("composite.weights.cloud", "cloud_distance")),
        ({"composite": {"method": "bap", "weights": {"date": -1.0}}}, ("weights.date: found -1", "at least 0")),
        ({"composite": {"method": "bap", "weights": {"date": 0.0, "cloud_distance": 0.0, "haze": 0.0}}},
            ("weights: all are 0", "at least one")),
        ({"composite": {"method": "bap", "weights": {"sensor": 1.0}}},
            ("sensor 1 with 0 sensor_scores", "give both", "sensor_scores: {")),
        ({"composite": {"method": "bap", "weights": {"sensor_scores": {"s2a": 0.5}}}}, ("sensor 0 with 1 sensor_sc",)),
        ({"composite": {"method": "bap", "weights": {"haze": 1.0}}},
            ("composite.weights.haze: found 1", "bands has no blue", "haze: 0")),
        ({"composite": {"method": "bap", "weights": {"date": 0.0, "cloud_distance": 0.0}}},
            ("composite.weights.haze: found 0.5", "bands has no blue")),
        ({"bands": ["green"], "composite": {"method": "max_ndvi"}},
            ("composite.method: found max_ndvi", "no red and no nir")),
        ({"composite": {"brdf": "nadir"}}, ("composite.brdf: found 'nadir'", "'c_factor'")),
        ({"archive": "hls", "composite": {"brdf": "c_factor"}}, ("composite.brdf: found c_factor", "hls", "already")),
        ({"archive": "local:a.json", "level": "L1C", "composite": {"brdf": "c_factor"}},
            ("composite.brdf: found c_factor", "top-of-atmosphere", "level: L2A")),
        ({"name": "a/b"}, ("name: found 'a/b'", "lower-case letters")),
        ({"name": "../x"}, ("name: found '../x'", "lower-case letters")),
        ({"name": "x" * 64}, ("name: found", "63")),
        ({"archive": "earthsearch"}, ("archive: found 'earthsearch'", "earth-search, hls", "local:PATH")),
        ({"archive": "local:"}, ("archive: found 'local:'", "local:PATH")),
        ({"archive": "PC"}, ("archive: found 'PC'", "pc (planetary-computer)")),
        ({"archive": 5}, ("archive: found 5", "demo, planetary-computer", "local:PATH")),
        ({"collection": "a/../b"}, ("collection: found 'a/../b'", "id of a STAC collection")),
        ({"level": "L3"}, ("level: found 'L3'", "'auto'")),
        ({"selection": {"windowed_fetch": 1}}, ("selection.windowed_fetch: found 1", "true or false")),
        ({"selection": {"rank": "best"}}, ("selection.rank: found 'best'", "'area' or 'scene'")),
        ({"selection": {"scout_factor": 0}}, ("selection.scout_factor: found 0", "at least 1")),
        ({"selection": {"coverage_target": 0}}, ("selection.coverage_target: found 0", "more than 0")),
        ({"selection": {"coverage_target": 95}}, ("selection.coverage_target: found 95", "at most 1")),
        ({"selection": {"top_k": 3, "coverage_target": 0.9}}, ("top_k, coverage_target: found both (3 and 0.9)",)),
        ({"selection": {"min_k": 9}}, ("min_k, max_k: found 9 and 8", "smaller")),
        ({"selection": {"max_cloud_cover": 101}}, ("selection.max_cloud_cover: found 101", "at most 100")),
        ({"selection": {"min_coverage": -0.1}}, ("selection.min_coverage: found -0.1", "at least 0")),
        ({"selection": {"platforms": ["s2a", "s2a"]}}, ("selection.platforms", "repeated")),
        ({"selection": {"platforms": ["../s2a"]}}, ("selection.platforms.0: found '../s2a'", "letters")),
        ({"selection": {"orbits": [0]}}, ("selection.orbits.0: found 0", "at least 1")),
        ({"selection": {"orbits": [144]}}, ("selection.orbits.0: found 144", "at most 143")),
        ({"selection": {"orbit_state": "up"}}, ("selection.orbit_state: found 'up'", "'ascending' or 'descending'")),
        ({"selection": {"aod_by_day": [0.1]}}, ("selection.aod_by_day: found [0.1]", "{2024-07-15: 0.12}")),
        ({"selection": {"aod_by_day": {"2024-02-30": 0.1}}}, ("found '2024-02-30'", "YYYY-MM-DD")),
        ({"selection": {"aod_by_day": {20240101: 0.1}}}, ("found 20240101", "YYYY-MM-DD")),
        ({"selection": {"aod_by_day": {datetime(2024, 1, 1, 5): 0.1}}}, ("found datetime", "YYYY-MM-DD")),
        ({"selection": {"aod_by_day": {"2024-01-01": -0.1}}}, ("aod_by_day.2024-01-01: found -0.1", "at least 0")),
        ({"selection": {"aod_by_day": {"2024-01-01": math.nan}}}, ("aod_by_day.2024-01-01: found nan", "finite")),
        ({"selection": {"aod_max": 0.3}}, ("aod_by_day: found none", "aod_max", "give days")),
        ({"selection": {"reject_unknown": True}}, ("aod_by_day: found none", "reject_unknown", "give days")),
        ({"selection": {"max_view_zenith": 91}}, ("selection.max_view_zenith: found 91", "at most 90")),
        ({"selection": {"max_sun_zenith": -1}}, ("selection.max_sun_zenith: found -1", "at least 0")),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_key_value_and_what_is_expected(changes, said):
    message = refusal_of(**changes)
    for part in said:
        assert part in message
    assert len(message) < 400


@pytest.mark.parametrize("key", ["archive", "catalog_url"])
@pytest.mark.parametrize(
    "value", ["https://user:SECRET@host/x?sig=SECRET", "https://SECRET@SECRET@host/x", "https://u:SEC/RET@host/x"]
)
def test_a_secret_in_a_wrong_value_is_not_repeated(key, value):
    message = refusal_of(**{"archive": "cdse", key: value})
    assert "SEC" not in message
    assert "host/x" in message


@pytest.mark.parametrize(
    "name", ["demo", "planetary-computer", "earth-search", "hls", "cdse", "auto", "local:a b/c.json"]
)
def test_every_archive_of_sentinel_2_tiles_may_be_named(name):
    region = region_with(archive=name)
    assert region.archive == name
    assert region.grid == "mgrs"


def test_pc_is_short_for_planetary_computer():
    assert region_with(archive="pc").archive == "planetary-computer"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("https://stac.example.org/v1/", "https://stac.example.org/v1"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/api/", "http://[::1]:8080/api"),
    ],
)
def test_an_archive_may_be_asked_at_another_address(written, address):
    assert region_with(archive="hls", catalog_url=written).catalog_url == address


@pytest.mark.parametrize(
    "address",
    ["ftp://host/x", "file:///etc/passwd", "s3://bucket/x", "https://", "host/x", "https://host:0/x", "https://host:99999",
     "https://host/x?key=1", "https://host/x#y", "https://user@host/x", "https://ho st/x", "https://h\u00f6st/x",
     "https://host/\n", "https://host/" + "x" * 3_000, "/vsicurl/https://host"],
)  # fmt: skip
def test_an_address_that_is_none_of_a_stac_api_is_refused(address):
    message = refusal_of(archive="cdse", catalog_url=address)
    assert "catalog_url: found" in message
    assert "expected the address of a STAC API" in message
    assert len(message) < 400


@pytest.mark.parametrize("archive", ["demo", "local:items.json"])
@pytest.mark.parametrize(("key", "value"), [("catalog_url", "https://host/v1"), ("collection", "sentinel-2-c1-l2a")])
def test_an_archive_of_files_has_neither_address_nor_collection(archive, key, value):
    message = refusal_of(**{"archive": archive, key: value})
    assert f"{key}: found '{value}'" in message
    assert f"leave {key} out" in message


def test_selection_may_aim_at_a_coverage_instead_of_a_number_of_scenes():
    selection = region_with(selection={"coverage_target": 0.95, "max_k": 6}).selection
    assert (selection.coverage_target, selection.min_k, selection.max_k) == (0.95, 2, 6)
    assert region_with(selection={"top_k": 3, "coverage_target": None}).selection.top_k == 3


@pytest.mark.parametrize("day", ["2024-07-15", date(2024, 7, 15)])
def test_days_of_haze_are_told_with_or_without_quotes(day):
    selection = region_with(selection={"aod_by_day": {day: 0.12}, "aod_max": 0.3, "reject_unknown": True}).selection
    assert selection.aod_by_day == {date(2024, 7, 15): 0.12}
    assert selection.model_dump(mode="json")["aod_by_day"] == {"2024-07-15": 0.12}


MODIS: dict[str, Any] = {"archive": "mcd43a4", "resolution": 500}


def test_a_modis_region_has_the_tiles_and_the_pixels_of_the_modis_grid():
    region = region_with(**MODIS, max_tiles=4)
    assert region.tile_ids == ("h19v04",)
    assert region.tile_shape == (2400, 2400)
    assert region.grid == "modis"
    assert region.feather_m == 0
    assert [tile_month.key for tile_month in region.tile_months] == ["2024-01|h19v04", "2024-02|h19v04"]


def test_a_modis_region_may_name_its_tiles():
    region = region_with(**MODIS, area=None, tiles=["h19v04", "h18v04"])
    assert set(region.tile_ids) == {"h18v04", "h19v04"}
    assert region.geometry.bounds[1::2] == pytest.approx((40, 50))


def test_resolution_500_says_that_a_local_archive_holds_modis_tiles():
    assert region_with(archive="local:items.json", resolution=500, level="NBAR").tile_ids == ("h19v04",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"archive": "mcd43a4"}, ("resolution: found 20", "expected 500", "463.31 m")),
        ({"resolution": 500}, ("resolution: found 500", "native grid of mcd43a4", "archive is demo", "10, 12, 15")),
        ({**MODIS, "area": None, "tiles": ["33TVL"]}, ("tiles: found '33TVL'", "MODIS tiles, such as h18v04")),
        ({"area": None, "tiles": ["h18v04"]}, ("tiles: found 'h18v04'", "Sentinel-2 tiles, such as 33TVL")),
        ({**MODIS, "area": None, "tiles": ["h00v00"]}, ("tiles: found 'h00v00'", "such as h18v04")),
        ({**MODIS, "level": "L2A"}, ("level: found L2A", "NBAR belongs to the MODIS grid")),
        ({"level": "NBAR"}, ("level: found NBAR", "resolution is 20")),
        ({**MODIS, "mask": {"detectors": ["s2cloudless"]}}, ("mask.detectors: found ['s2cloudless']", "[quality]")),
        ({**MODIS, "mosaic": {"feather_m": 2400.0}}, ("mosaic.feather_m: found 2400", "joined, not feathered")),
    ],
)  # fmt: skip
def test_words_of_two_grids_do_not_mix(changes, said):
    message = refusal_of(**changes)
    for part in said:
        assert part in message


@pytest.mark.parametrize(
    ("months", "said"),
    [
        ({"first": "2024-13"}, ("months.first: found '2024-13'", "YYYY-MM")),
        ({"first": "2024-01-01"}, ("months.first: found '2024-01-01'", "YYYY-MM")),
        ({"first": 2024}, ("months.first: found 2024", "YYYY-MM")),
        ({"first": True}, ("months.first: found True", "YYYY-MM")),
        ({"first": None}, ("months.first: found None", "YYYY-MM")),
        ({"last": "2024-01"}, ("months.first: missing",)),
        ({"first": "0224-01"}, ("months.first: found '0224-01'", "correct the year")),
        ({"first": "2024-03", "last": "2024-01"}, ("last 2024-01 lies before first 2024-03", "swap")),
        ({"first": "2024-01", "last": "2024-09"}, ("months.last: found 2024-09", "future", "2024-08", "leave out")),
        ({"first": "2024-09"}, ("months.first: found 2024-09", "future", "2024-08")),
        ({"first": "2024-01", "step": 2}, ("months.step: unknown key", "first, last")),
        ("2024-01", ("months: found '2024-01'", "first")),
    ],
)
def test_months_that_cannot_be_are_refused(months, said):
    message = refusal_of(months=months)
    for part in said:
        assert part in message


@pytest.mark.parametrize(
    ("area", "said"),
    [
        ([14.5, 45.95, 14.7, 45.8], "south < north"),
        ([14.7, 45.8, 14.5, 45.95], "swap"),
        ([14.5, 45.8, 14.5, 45.95], "different longitudes"),
        ([200, 45, 201, 46], "-180..180"),
        ([14, -91, 15, 46], "-90 <= south"),
        ([math.nan, 45, 15, 46], "-180..180"),
        ([14, 45, math.inf, 46], "-180..180"),
        ([14, 45, 15], "four numbers"),
        ([14, 45, 15, 46, 0], "four numbers"),
        (["14.5", "45.8", "14.7", "45.95"], "four numbers"),
        ([True, 45, 15, 46], "four numbers"),
        (5, "four numbers"),
        (True, "four numbers"),
        ([14, -85, 15, -84.5], "Sentinel-2"),
    ],
)  # fmt: skip
def test_a_bounding_box_that_cannot_be_is_refused(area, said):
    message = refusal_of(area=area)
    assert "area" in message
    assert said in message


def test_an_area_over_max_tiles_is_refused_with_the_number_to_set():
    message = refusal_of(area=[14, 45, 18, 47], max_tiles=4)
    count = message.partition("set max_tiles: ")[2].partition(" ")[0]
    assert f"covers {count} tiles and max_tiles is 4" in message
    assert len(region_with(area=[14, 45, 18, 47], max_tiles=int(count)).tile_ids) == int(count)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"area": None}, "found neither"),
        ({"tiles": ["33TVL"]}, "found both"),
        ({"area": None, "tiles": ["33tvl"]}, "found '33tvl'"),
        ({"area": None, "tiles": ["99XXX"]}, "found '99XXX'"),
        ({"area": None, "tiles": ["../x"]}, "such as 33TVL"),
        ({"area": None, "tiles": ["33TVL", "33TVL"]}, "once"),
        ({"area": None, "tiles": "33TVL"}, "expected a list"),
        ({"area": None, "tiles": [5]}, "expected text"),
    ],
)
def test_tiles_and_area_are_alternatives_and_tiles_must_exist(changes, said):
    assert said in refusal_of(**changes)


def test_tiles_are_put_into_spatial_order_whatever_order_they_are_given_in():
    one = region_with(area=None, tiles=["33TWL", "33TVL", "33TVM"])
    other = region_with(area=None, tiles=["33TVM", "33TWL", "33TVL"])
    assert one.tile_ids == other.tile_ids
    assert set(one.tile_ids) == {"33TVL", "33TVM", "33TWL"}


def test_an_area_may_cross_the_antimeridian():
    region = region_with(area=[179.9, -17.0, -179.9, -16.8])
    assert {tile[:2] for tile in region.tile_ids} == {"01", "60"}
    assert region.geometry.bounds[0] == -180
    assert region.geometry.area == pytest.approx(0.2 * 0.2)


@pytest.mark.parametrize(
    "document",
    [
        TRIANGLE,
        {"type": "Feature", "properties": None, "geometry": TRIANGLE},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": TRIANGLE}]},
        {"type": "MultiPolygon", "coordinates": [TRIANGLE["coordinates"]]},
        {"type": "Polygon", "coordinates": [[[*place, 250.0] for place in TRIANGLE["coordinates"][0]]]},
        {**TRIANGLE, "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}},
    ],
)
def test_geojson_polygons_in_any_wrapping_are_an_area(document):
    geometry = region_with(area=document).geometry
    assert geometry.equals(shapely.geometry.shape(TRIANGLE))
    assert not geometry.has_z


def test_a_feature_collection_is_the_union_of_its_features():
    features = [{"type": "Feature", "geometry": geometry} for geometry in (TRIANGLE, FAR_TRIANGLE)]
    region = region_with(area={"type": "FeatureCollection", "features": features})
    assert region.geometry.area == pytest.approx(0.02)
    assert {tile[:2] for tile in region.tile_ids} == {"33", "34"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "no type"),
        ({"type": "Feature", "geometry": None}, "Feature without geometry"),
        ({"type": "Point", "coordinates": [14, 45]}, "is a Point"),
        ({"type": "LineString", "coordinates": [[14, 45], [15, 45]]}, "buffer points and lines"),
        ({"type": "GeometryCollection", "geometries": [TRIANGLE]}, "is a GeometryCollection"),
        ({"type": "FeatureCollection", "features": []}, "no feature"),
        ({"type": "FeatureCollection", "features": [None]}, "feature 1 is none"),
        ({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": None}]}, "feature 1 is a Fea"),
        ({"type": "Polygon"}, "not a GeoJSON Polygon"),
        ({"type": "Polygon", "coordinates": []}, "empty Polygon"),
        ({"type": "Polygon", "coordinates": [[[14, 45]]]}, "not a GeoJSON Polygon"),
        ({"type": "Polygon", "coordinates": [[[math.nan, 45], [15, 45], [15, 46], [math.nan, 45]]]}, "Polygon"),
        ({"type": "Polygon", "coordinates": [[[14, 45], [15, 46], [15, 45], [14, 46], [14, 45]]]}, "not valid"),
        ({"type": "Polygon", "coordinates": [[[4e5, 5e6], [5e5, 5e6], [5e5, 6e6], [4e5, 5e6]]]}, "lies outside"),
        ({**TRIANGLE, "crs": {"type": "name", "properties": {"name": "EPSG:32633"}}}, "EPSG:32633; transform"),
        ({**TRIANGLE, "crs": 5}, "transform it to EPSG:4326"),
    ],
)  # fmt: skip
def test_geojson_that_is_no_area_is_refused_with_the_reason(document, said):
    message = refusal_of(area=document)
    assert "area: found" in message
    assert said in message


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def taken_or_refused(mapping):
    """True for a region that names its tiles, and for a refusal that names the file; anything else raises."""
    try:
        return bool(region_from(mapping, origin="junk.yaml", now=NOW).tile_ids)
    except RegionError as error:
        return str(error).startswith("junk.yaml:\n  ")


@given(st.sampled_from(sorted(Region.model_fields)), junk)
def test_whatever_stands_in_a_key_it_is_taken_or_refused_in_our_words(key, value):
    assert taken_or_refused({**SOUND, key: value})


@given(st.sampled_from(["type", "geometry", "coordinates", "features", "crs"]), junk)
def test_whatever_geojson_holds_it_is_taken_or_refused_in_our_words(key, value):
    for document in (
        TRIANGLE,
        {"type": "Feature", "geometry": TRIANGLE},
        {"type": "FeatureCollection", "features": []},
    ):
        assert taken_or_refused({**SOUND, "area": {**document, key: value}})
