"""Archives opened by region and by name, with credentials from the environment and nowhere else."""

from typing import Any

import pytest
import shapely

from geo_assets.domain.errors import RegionError, ResourceError
from geo_assets.domain.region import region_from
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.auto import AutoArchive
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.local import LocalArchive
from geo_assets.io.archives.paired import PairedArchive
from geo_assets.io.archives.stac_api import StacApiArchive
from geo_assets.orchestration.resources import line_resource
from geo_assets.stations.opening import Surroundings, open_archive, open_named_archive

AREA = shapely.box(14.5, 45.8, 14.7, 45.95)
YEAR = (Month(2023, 1).begin, Month(2024, 1).begin)
SECRETS = {"CDSE_USERNAME": "somebody", "CDSE_PASSWORD": "p4ssw0rd", "PC_SDK_SUBSCRIPTION_KEY": "pc-SECRET"}


def region(**settings: Any):
    usual = {
        "name": "valley", "area": [14.5, 45.8, 14.7, 45.95], "months": {"first": "2023-01", "last": "2023-12"},
        "archive": "planetary-computer", "bands": ["red"], "resolution": 20,
    }  # fmt: skip
    return region_from(usual | settings)


def searched(archive: Any) -> list[str]:
    return [collection.id for collection in archive.collections]


@pytest.mark.parametrize("name", ["planetary-computer", "earth-search", "hls", "cdse"])
def test_a_region_opens_its_archive_and_asks_nothing(tmp_path, name):
    archive = open_archive(region(archive=name), tmp_path)
    assert isinstance(archive, StacApiArchive)
    assert (archive.name, archive.chosen_because) == (name, "")
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("settings", "collections"),
    [
        ({"archive": "earth-search"}, ["sentinel-2-l2a", "sentinel-2-c1-l2a"]),
        ({"archive": "earth-search", "level": "L1C"}, ["sentinel-2-l1c"]),
        ({"archive": "earth-search", "mask": {"detectors": ["s2cloudless"]}},
         ["sentinel-2-l2a", "sentinel-2-c1-l2a", "sentinel-2-l1c"]),
        ({"archive": "earth-search", "collection": "sentinel-2-c1-l2a"}, ["sentinel-2-c1-l2a"]),
        ({"archive": "cdse"}, ["sentinel-2-l2a", "sentinel-2-l1c"]),
        ({"archive": "cdse", "level": "L2A", "mask": {"detectors": ["quality"]}}, ["sentinel-2-l2a"]),
        ({"archive": "cdse", "level": "L2A", "mask": {"l1c_archive": "none"}}, ["sentinel-2-l2a"]),
        ({"archive": "earth-search", "mask": {"l1c_archive": "earth-search"}},
         ["sentinel-2-l2a", "sentinel-2-c1-l2a", "sentinel-2-l1c"]),
        ({"archive": "earth-search", "mask": {"l1c_archive": "earth-search", "detectors": ["quality"]}},
         ["sentinel-2-l2a", "sentinel-2-c1-l2a"]),
    ],
)  # fmt: skip
def test_l1c_is_searched_only_where_it_is_used_and_paid_for_only_on_purpose(tmp_path, settings, collections):
    assert searched(open_archive(region(**settings), tmp_path)) == collections


CDSE_LOGIN = Credentials.from_environment({"CDSE_USERNAME": "somebody", "CDSE_PASSWORD": "p4ssw0rd"})


@pytest.mark.parametrize(
    "settings",
    [
        {"mask": {"l1c_archive": "cdse"}},
        {"mask": {"l1c_archive": "cdse", "detectors": ["fmask"]}, "archive": "earth-search", "level": "L2A"},
        {"mask": {"l1c_archive": "earth-search"}},
        {"mask": {"l1c_archive": "earth-search"}, "archive": "cdse"},
    ],
)
def test_the_archive_that_a_region_names_for_l1c_is_searched_for_that_alone(tmp_path, settings):
    archive = open_archive(region(**settings), tmp_path)
    assert isinstance(archive, PairedArchive)
    assert archive.name == settings.get("archive", "planetary-computer")
    assert archive.companion.name == settings["mask"]["l1c_archive"]
    assert searched(archive.companion) == ["sentinel-2-l1c"]
    assert archive.because == "mask.l1c_archive names it"
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("archive", ["planetary-computer", "earth-search", "auto"])
def test_by_auto_l1c_comes_from_cdse_only_where_we_are_let_in(tmp_path, archive):
    opened = open_archive(region(archive=archive), tmp_path, CDSE_LOGIN)
    assert isinstance(opened, PairedArchive)
    assert opened.companion.name == "cdse"
    assert "credentials for cdse" in opened.because
    assert not isinstance(open_archive(region(archive=archive), tmp_path), PairedArchive)


def test_an_archive_that_is_chosen_for_a_region_is_not_asked_for_l1c_that_costs_money(tmp_path, monkeypatch):
    archive = open_archive(region(archive="auto"), tmp_path)
    assert isinstance(archive, AutoArchive)
    monkeypatch.setattr(AutoArchive, "_missing_month", lambda self, one: None if one.name == "earth-search" else "none")
    assert searched(archive.chosen) == ["sentinel-2-l2a", "sentinel-2-c1-l2a"]


@pytest.mark.parametrize(
    "settings",
    [
        {"archive": "hls"},
        {"archive": "cdse"},
        {"level": "L1C", "archive": "earth-search"},
        {"mask": {"l1c_archive": "none"}},
        {"mask": {"detectors": ["quality"]}},
        {"mask": {"detectors": []}},
        {"catalog_url": "https://stac.example.org/v1"},
        {"archive": "earth-search", "mask": {"detectors": ["s2cloudless"]}},
    ],
)
def test_no_second_archive_is_opened_where_none_is_of_use(tmp_path, settings):
    assert not isinstance(open_archive(region(**settings), tmp_path, CDSE_LOGIN), PairedArchive)


def test_who_works_on_files_of_his_own_is_led_to_the_network_only_on_purpose(tmp_path):
    own = {"archive": f"local:{tmp_path}"}
    assert isinstance(open_archive(region(**own), tmp_path, CDSE_LOGIN), LocalArchive)
    archive = open_archive(region(**own, mask={"l1c_archive": "cdse"}), tmp_path, CDSE_LOGIN)
    assert isinstance(archive, PairedArchive)
    beside = open_archive(region(**own, mask={"l1c_archive": f"local:{tmp_path / 'toa'}"}), tmp_path)
    assert isinstance(beside, PairedArchive)
    assert isinstance(beside.companion, LocalArchive)
    assert beside.companion.path == tmp_path / "toa"


@pytest.mark.parametrize("name", ["pc", "hls", "mcd43a4"])
def test_an_archive_without_l1c_is_refused_with_those_that_have_it(tmp_path, name):
    with pytest.raises(RegionError, match=r"mask.l1c_archive: found '.*', which has no L1C.*earth-search, cdse, demo"):
        open_archive(region(archive="earth-search", mask={"l1c_archive": name}), tmp_path)


def test_auto_chooses_later_and_needs_to_know_for_what(tmp_path):
    archive = open_archive(region(archive="auto"), tmp_path)
    assert isinstance(archive, AutoArchive)
    with pytest.raises(RegionError, match="give all of them"):
        open_named_archive("auto", area=AREA, period=YEAR)
    for key in ("catalog_url", "collection"):
        with pytest.raises(RegionError, match=rf"{key}: found .*name the archive"):
            open_named_archive("auto", area=AREA, period=YEAR, bands=("red",), **{key: "https://stac.example.org/v1"})


def test_files_of_the_user_s_own_are_opened_by_path(tmp_path):
    archive = open_named_archive(f"local:{tmp_path}")
    assert isinstance(archive, LocalArchive)
    assert archive.path == tmp_path


def test_a_name_that_nobody_has_is_refused_with_those_there_are():
    with pytest.raises(RegionError, match=r"found 'usgs'; expected demo, planetary-computer, .*local:PATH"):
        open_named_archive("usgs")


def test_credentials_come_with_the_surroundings_and_are_never_shown(tmp_path):
    place = Surroundings.from_environment(SECRETS | {"GEO_ASSETS_HOME": str(tmp_path)})
    assert place.credentials == Credentials.from_environment(SECRETS)
    resource = line_resource(place)
    shown = f"{place!r} {resource!r} {resource.model_dump()}"
    assert not any(secret in shown for secret in SECRETS.values())


def test_half_a_login_is_refused_before_anything_runs():
    with pytest.raises(ResourceError, match="CDSE_USERNAME is set and CDSE_PASSWORD is not"):
        Surroundings.from_environment({"CDSE_USERNAME": "somebody"})
