"""`auto`: which archive it takes, why, and that it keeps to it."""

from datetime import date
from typing import Any

import pytest
import shapely

from geo_assets.domain.errors import ArchiveRefusedError, ArchiveTransientError, RegionError
from geo_assets.domain.tile_grid import tile_footprint
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.auto import AutoArchive, Need
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.facts import Facts
from geo_assets.io.archives.known import Opening, open_known
from geo_assets.io.archives.stac_api import StacApiArchive
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.faults import Status
from geo_assets_tests.scenery.many_items import passes

SUMMER = (Month(2024, 6).begin, Month(2024, 9).begin)
GROUND = shapely.box(*tile_footprint("33TVL").centroid.buffer(0.05).bounds)
CDSE_KEYS = Credentials.from_environment({"CDSE_S3_ACCESS_KEY": "a", "CDSE_S3_SECRET_KEY": "b"})


@pytest.fixture
def archives(server: FaultServer) -> dict[str, list[Any]]:
    """Name -> items of the archive, which may be changed before it is asked; all of them have all summer."""
    return {
        name: passes(["33TVL"], date(2024, 6, 1), date(2024, 8, 31), every=10)
        for name in ("planetary-computer", "earth-search", "cdse", "hls")
    }


def auto_of(server: FaultServer, archives: dict[str, list[Any]], **settings: Any) -> AutoArchive:
    bands = settings.pop("bands", ("red", "nir"))
    period = settings.pop("period", SUMMER)

    def open_one(facts: Facts) -> StacApiArchive:
        items = [item | {"collection": facts.collections[0].id} for item in archives[facts.name]]
        url = server.catalogue(items, f"/{facts.name}/v1")
        return open_known(facts, Opening(catalog_url=url, area=GROUND, period=period))

    return AutoArchive(Need(bands, GROUND, period), open_one, **({"credentials": Credentials()} | settings))


def test_the_first_archive_that_answers_and_has_the_months_is_taken(server, archives):
    auto = auto_of(server, archives)
    assert auto.name == "planetary-computer"
    assert auto.chosen_because == "first that answers and has red, nir"
    assert len(server.requests) == 2  # the first and the last month
    assert auto.name == "planetary-computer"
    assert len(server.requests) == 2


def test_an_archive_that_does_not_answer_is_passed_over_and_named(server, archives):
    server.fail("/planetary-computer/*", Status(500))
    auto = auto_of(server, archives)
    assert auto.name == "earth-search"
    assert "passed over: planetary-computer does not answer" in auto.chosen_because


def test_an_archive_that_has_fallen_silent_is_passed_over_and_named(server, archives):
    del archives["planetary-computer"][-4:]
    auto = auto_of(server, archives)
    assert auto.name == "earth-search"
    assert "planetary-computer has no scene over the area in 2024-08" in auto.chosen_because


def test_bands_that_surface_reflectance_lacks_lead_to_hls(server, archives):
    auto = auto_of(server, archives, bands=("red", "cirrus"))
    assert auto.name == "hls"
    assert "planetary-computer lacks cirrus" in auto.chosen_because
    assert "cdse lacks credentials" in auto.chosen_because


def test_cdse_is_considered_where_its_credentials_are_set(server, archives):
    auto = auto_of(server, archives, bands=("red", "cirrus"), credentials=CDSE_KEYS)
    assert auto.name == "cdse"


def test_an_archive_that_begins_later_is_not_even_asked(server, archives):
    early = (Month(2014, 6).begin, Month(2014, 7).begin)
    with pytest.raises(RegionError, match=r"none has red, nir.*planetary-computer begins 2015-06"):
        _ = auto_of(server, archives, period=early).name
    assert server.requests == []


def test_bands_that_no_archive_has_are_refused(server, archives):
    with pytest.raises(RegionError, match=r"none has red, thermal.*lacks thermal.*Leave a band out"):
        _ = auto_of(server, archives, bands=("red", "thermal")).name


def test_ground_that_no_archive_has_seen_is_the_first_one_s_empty_month(server, archives):
    for items in archives.values():
        items.clear()
    auto = auto_of(server, archives)
    assert auto.name == "planetary-computer"
    assert "earth-search has no scene over the area in 2024-06" in auto.chosen_because
    assert auto.search("33TVL", Month(2024, 6)).items == ()


def test_where_none_answers_the_failure_may_pass(server, archives):
    server.fail("*/search", Status(500))
    with pytest.raises(ArchiveTransientError, match=r"planetary-computer does not answer.*geo-assets doctor"):
        _ = auto_of(server, archives).name


def test_the_choice_is_kept_for_all_processes_and_later_runs(server, archives, tmp_path):
    server.fail("/planetary-computer/*", Status(500))
    first = auto_of(server, archives, folder=tmp_path)
    because = first.chosen_because
    server.heal()
    server.forget_requests()
    later = auto_of(server, archives, folder=tmp_path)
    assert (later.name, later.chosen_because) == ("earth-search", because)
    longer = auto_of(server, archives, folder=tmp_path, period=(SUMMER[0], Month(2025, 1).begin))
    assert longer.name == "earth-search"  # as a region whose months go on
    assert server.requests == []
    assert auto_of(server, archives, folder=tmp_path, bands=("red",)).name == "planetary-computer"


def test_a_choice_that_another_process_made_meanwhile_counts(server, archives, tmp_path):
    slow = auto_of(server, archives, folder=tmp_path)
    choose = slow._choose

    def choose_late() -> StacApiArchive:
        server.fail("/planetary-computer/*", Status(500))
        assert auto_of(server, archives, folder=tmp_path).name == "earth-search"
        server.heal()
        return choose()

    slow._choose = choose_late  # type: ignore[method-assign]
    assert slow.name == "earth-search"


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"archive": "nobody", "because": ""}', b'{"archive": "cdse"}'])
def test_a_choice_that_cannot_be_read_is_not_made_anew_silently(server, archives, tmp_path, damage):
    assert auto_of(server, archives, folder=tmp_path).name
    (kept,) = tmp_path.glob("auto-*.json")
    kept.write_bytes(damage)
    with pytest.raises(ArchiveRefusedError, match="Remove it to choose again"):
        _ = auto_of(server, archives, folder=tmp_path).name


def test_everything_else_is_the_chosen_archive_s(server, archives):
    auto = auto_of(server, archives)
    assert auto.offers() == auto.chosen.offers()
    assert auto.search("33TVL", Month(2024, 6)) == auto.chosen.search("33TVL", Month(2024, 6))
    auto.close()
