"""Archives behind a STAC API: real answers replayed, one search for all, exclusions, nothing signed kept."""

import json
import multiprocessing
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import shapely

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.errors import ArchiveRefusedError, ArchiveTransientError, RegionError
from geo_assets.domain.tile_grid import tile_footprint, tiles_of
from geo_assets.domain.tile_month import Month, months_between
from geo_assets.io.archives.archive import Query
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.known import Opening, facts_of, open_known
from geo_assets.io.archives.stac_api import StacApiArchive
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.faults import Status
from geo_assets_tests.scenery.many_items import passes, pc_item
from geo_assets_tests.scenery.stac_search import Catalogue, Item

NOW = datetime(2024, 12, 1, tzinfo=UTC)
JUNE = Month(2024, 6)
SECRET = "?sv=2024&se=2024-12-02&sig=SECRET"


def archive_of(name: str, url: str, **settings: Any) -> StacApiArchive:
    return open_known(facts_of(name), Opening(catalog_url=url, **({"now": lambda: NOW} | settings)))


def shared(name: str, url: str, tiles: list[str], first: Month, last: Month, **settings: Any) -> StacApiArchive:
    """An archive opened as a region of tiles and months opens it."""
    area = shapely.union_all([tile_footprint(tile) for tile in tiles])
    return archive_of(name, url, area=area, period=(first.begin, last.next.begin), **settings)


def searches(server: FaultServer) -> int:
    return len(server.requests_for("*/search"))


@pytest.fixture
def recorded(shared_data) -> Callable[[str], list[Item]]:
    """Items of a recorded answer, by the file's name."""

    def items(name: str) -> list[Item]:
        document = json.loads((shared_data / "stac" / name).read_text())
        return document.get("features") or [document]

    return items


# Real answers


def whole_world(first: datetime) -> Query:
    return Query(shapely.box(-180, -90, 180, 90), first, first + timedelta(days=31))


def test_planetary_computer_s_33_items_are_found_tile_by_tile_across_the_antimeridian(server, recorded):
    items = recorded("planetary-computer_search_sentinel-2-l2a.json")
    archive = archive_of("pc", server.catalogue(items))
    found = [item for tile in {item["properties"]["s2:mgrs_tile"] for item in items}
             for item in archive.search(tile, Month(2019, 1)).items]  # fmt: skip
    assert sorted(item.id for item in found) == sorted(item["id"] for item in items)
    assert {(item.level, item.quality, item.offset_dn, item.offset_doubtful) for item in found} == {
        ("L2A", "scl", 0, False)
    }
    assert all(asset.href.startswith("https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/")
               for item in found for asset in item.assets.values())  # fmt: skip


def test_cdse_s_items_keep_both_addresses_sizes_and_checksums(server, recorded):
    archive = archive_of("cdse", server.catalogue(recorded("cdse-stac_search_sentinel-2-l2a.json"), "/v1"))
    answer = archive.find(Query(shapely.box(9, 47, 9.1, 47.1), Month(2020, 7).begin, Month(2020, 8).begin))
    assert len(answer.items) == 4
    assert answer.excluded == ()
    assert {(item.baseline, item.offset_dn, item.offset_doubtful) for item in answer.items} == {("05.00", -1000, False)}
    red = answer.items[0].assets["red"]
    assert red.href.startswith("s3://eodata/")
    assert (red.alternate or "").startswith("https://zipper.dataspace.copernicus.eu/odata/v1/Products(")
    assert red.size_bytes is not None
    assert (red.checksum or "").startswith("1620")


def test_cdse_s_generator_does_not_decide_the_offset_of_old_baselines(server, recorded):
    items = recorded("cdse-stac_search_sentinel-2-l2a.json")
    for item in items:  # its raster:offset stays -0.1
        item["properties"]["processing:version"] = "02.14"
        item["id"] = item["id"].replace("N0500", "N0214")
    archive = archive_of("cdse", server.catalogue(items, "/v1"))
    answer = archive.find(Query(shapely.box(9, 47, 9.1, 47.1), Month(2020, 7).begin, Month(2020, 8).begin))
    assert {(item.offset_dn, item.offset_doubtful) for item in answer.items} == {(0, False)}


def test_withdrawn_products_of_cdse_are_excluded_and_named_and_asked_for_once(server, recorded):
    items = recorded("cdse-stac_search_sentinel-2-l2a.json")
    server.deleted_products.append({"Name": f"{items[1]['id']}.SAFE", "DeletionCause": "Duplicated product"})
    server.deleted_products.append({"Name": "S2A_MSIL2A_elsewhere.SAFE"})
    archive = archive_of("cdse", server.catalogue(items, "/v1"))
    query = Query(shapely.box(9, 47, 9.1, 47.1), Month(2020, 7).begin, Month(2020, 8).begin)
    for _ in range(2):
        answer = archive.find(query)
        assert items[1]["id"] not in {item.id for item in answer.items}
        assert [(one.item, one.reason) for one in answer.excluded] == [(items[1]["id"], "was withdrawn by its archive")]
    (asked,) = server.requests_for("*/DeletedProducts")
    assert asked.query.count("SAFE") == 4


@pytest.mark.parametrize("body", [b"<html>", b'{"value": 5}', b'{"value": [{"Id": 1}]}'])
def test_a_list_of_withdrawn_products_that_makes_no_sense_is_no_empty_list(server, recorded, body):
    archive = archive_of("cdse", server.catalogue(recorded("cdse-stac_search_sentinel-2-l2a.json"), "/v1"))
    server.fail("*/DeletedProducts", Status(200, body=body))
    with pytest.raises(ArchiveRefusedError, match="list of deleted products"):
        archive.search("32TNT", Month(2020, 7))


def test_earth_search_s_items_of_both_levels_are_found_where_both_are_asked_for(server, recorded):
    items = recorded("earth-search_search_sentinel-2-l1c.json") + recorded("earth-search-v1_item_S2A_28QCH.json")
    url = server.catalogue(items, "/v1")
    (toa,) = archive_of("earth-search", url, levels=("L1C",)).search("27VWK", Month(2024, 2)).items
    assert (toa.level, toa.offset_dn, toa.offset_doubtful, toa.quality) == ("L1C", -1000, False, "none")
    assert set(toa.assets) == {*SENTINEL2_BANDS, "granule_metadata"}
    assert toa.assets["red"].href == "s3://sentinel-s2-l1c/tiles/27/V/WK/2024/2/6/0/B04.jp2"
    (surface,) = archive_of("earth-search", url).search("28QCH", Month(2020, 7)).items
    assert (surface.level, surface.offset_dn, surface.offset_doubtful) == ("L2A", 0, False)
    assert surface.sun_zenith == pytest.approx(17.6734, abs=1e-3)
    # L1C costs its readers money: never without having been asked for.
    assert archive_of("earth-search", url).search("27VWK", Month(2024, 2)).items == ()


def moved_to(items: list[Item], collection: str, place: str) -> list[Item]:
    """The published example of a package, as the Planetary Computer lists it."""
    for item in items:
        item["collection"] = collection
        for asset in item["assets"].values():
            asset["href"] = f"{place}/{asset['href'].rpartition('/')[2]}"
    return items


def test_the_hls_item_is_found_in_its_pool(server, recorded):
    items = moved_to(recorded("hls_item_S30_T19LDD.json"), "hls2-s30", "https://hls2euwest.blob.core.windows.net/hls2")
    archive = archive_of("hls", server.catalogue(items))
    (item,) = archive.search("19LDD", Month(2022, 6)).items
    assert (item.level, item.quality, item.tile) == ("HLS", "hls_fmask", "19LDD")
    assert archive.offers() == {"HLS": frozenset(set(SENTINEL2_BANDS) | {"fmask"})}
    body = json.loads(server.requests_for("*/search")[0].body)
    assert sorted(body["collections"]) == ["hls2-l30", "hls2-s30"]


def test_the_mcd43a4_item_is_found_in_the_month_of_its_day_alone(server, recorded):
    place = "https://modiseuwest.blob.core.windows.net/modis-061-cogs"
    items = moved_to(recorded("modis-43A4-061_item.json"), "modis-43A4-061", place)
    archive = archive_of("mcd43a4", server.catalogue(items))
    (item,) = archive.search("h14v10", Month(2022, 2)).items
    assert (item.level, item.tile, item.acquired) == ("NBAR", "h14v10", datetime(2022, 2, 1, tzinfo=UTC))
    # Its sixteen days reach into January, where the catalogue finds it as well.
    assert archive.search("h14v10", Month(2022, 1)).items == ()


# One search for all


def test_a_backfill_of_100_tile_months_makes_a_request_for_every_hundred_items(server, tmp_path):
    tiles = list(tiles_of(shapely.box(14.0, 44.2, 16.6, 46.6)))[:10]
    months = months_between(Month(2023, 1), Month(2023, 10))
    items = passes(tiles, date(2022, 12, 1), date(2023, 12, 1), query=SECRET)
    archive = shared("pc", server.catalogue(items), tiles, months[0], months[-1], home=tmp_path)
    found = {item.id for month in months for tile in tiles for item in archive.search(tile, month).items}
    inside = [item["id"] for item in items if "2023-01" <= item["properties"]["datetime"] < "2023-11"]
    assert found == set(inside)
    assert len(inside) == 600
    assert searches(server) <= 9
    assert archive.asked.requests == len(server.requests)


def test_other_processes_and_later_ones_ask_nothing_again(server, tmp_path):
    items = passes(["33TVL"], date(2024, 5, 1), date(2024, 8, 1))
    url = server.catalogue(items)
    first = shared("pc", url, ["33TVL"], Month(2024, 5), Month(2024, 7), home=tmp_path).search("33TVL", JUNE)
    again = shared("pc", url, ["33TVL"], Month(2024, 5), Month(2024, 7), home=tmp_path).search("33TVL", JUNE)
    assert again == first
    assert searches(server) == 1


def _search_june(url: str, home: Path) -> int:
    return len(shared("pc", url, ["33TVL"], Month(2024, 5), Month(2024, 7), home=home).search("33TVL", JUNE).items)


def test_processes_that_ask_together_ask_once(server, tmp_path):
    url = server.catalogue(passes(["33TVL"], date(2024, 5, 1), date(2024, 8, 1)))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.starmap(_search_june, [(url, tmp_path)] * 6) == [6] * 6
    assert searches(server) == 1


def test_queries_inside_the_archive_s_area_and_time_share_its_search(server):
    url = server.catalogue(passes(["33TVL"], date(2024, 5, 1), date(2024, 8, 1)))
    archive = shared("pc", url, ["33TVL"], Month(2024, 5), Month(2024, 7))
    ground = shapely.box(*tile_footprint("33TVL").centroid.buffer(0.1).bounds)
    for month in months_between(Month(2024, 5), Month(2024, 7)):
        assert len(archive.find(Query(ground, month.begin, month.next.begin)).items) in (6, 7)
    assert searches(server) == 1
    assert archive.find(Query(shapely.box(0, 0, 1, 1), JUNE.begin, JUNE.next.begin)).items == ()
    assert searches(server) == 2


def test_a_query_s_limits_are_kept_whatever_the_catalogue_sends(server):
    items = [
        pc_item("33TVL", date(2024, 6, 1), **{"eo:cloud_cover": 10.0}),
        pc_item("33TVL", date(2024, 6, 2), **{"eo:cloud_cover": 90.0}),
        pc_item("33TVL", date(2024, 6, 3), **{"eo:cloud_cover": None}),
        pc_item("33TVL", date(2024, 6, 4), platform="S2B", orbit=22),
        pc_item("33TVL", date(2024, 7, 1)),
    ]
    archive = shared("pc", server.catalogue(items), ["33TVL"], JUNE, Month(2024, 7))
    ground = tile_footprint("33TVL")

    def days(**limits: Any) -> list[int]:
        query = Query(ground, JUNE.begin, JUNE.next.begin, **limits)
        return [item.acquired.day for item in archive.find(query).items]

    assert days() == [1, 2, 3, 4]
    assert days(max_cloud_cover=50.0) == [1, 3, 4]
    assert days(platforms=("S2B",)) == days(platforms=("sentinel-2b",)) == [4]
    assert days(orbits=(122,)) == [1, 2, 3]


def test_a_limit_on_cloud_cover_is_asked_of_the_catalogue_only_on_purpose(server):
    url = server.catalogue([pc_item("33TVL", date(2024, 6, 1), **{"eo:cloud_cover": 90.0})])
    assert len(shared("pc", url, ["33TVL"], JUNE, JUNE).search("33TVL", JUNE).items) == 1
    assert "query" not in json.loads(server.requests_for("*/search")[-1].body)
    limited = shared("pc", url, ["33TVL"], JUNE, JUNE, max_cloud_cover=50.0)
    assert limited.search("33TVL", JUNE).items == ()
    assert json.loads(server.requests_for("*/search")[-1].body)["query"] == {"eo:cloud_cover": {"lte": 50.0}}


# What an answer says besides


def test_acquisitions_are_expected_as_the_orbits_around_the_month_let_expect(server):
    gone = {date(2024, 6, 15), date(2024, 6, 20), date(2024, 6, 25), date(2024, 6, 30)}
    listed = [item for item in passes(["33TVL"], date(2024, 5, 1), date(2024, 7, 31))
              if date.fromisoformat(item["properties"]["datetime"][:10]) not in gone]  # fmt: skip
    archive = shared("pc", server.catalogue(listed), ["33TVL"], Month(2024, 5), Month(2024, 7))
    answer = archive.search("33TVL", JUNE)
    assert (answer.expected, len(answer.items)) == (6, 2)
    assert answer.newest is not None
    assert f"{answer.newest:%Y-%m-%d}" == "2024-07-30"


def test_a_month_without_any_item_is_a_gap_where_its_neighbours_have_some(server):
    items = passes(["33TVL"], date(2024, 5, 1), date(2024, 5, 31), every=10)
    archive = shared("pc", server.catalogue(items), ["33TVL"], Month(2024, 5), Month(2024, 9))
    assert (archive.search("33TVL", JUNE).expected, archive.search("33TVL", JUNE).items) == (3, ())


def test_nothing_is_expected_where_nothing_is_known(server):
    archive = shared("pc", server.catalogue([]), ["33TVL"], JUNE, JUNE)
    answer = archive.search("33TVL", JUNE)
    assert (answer.items, answer.excluded, answer.expected, answer.newest) == ((), (), None, None)


# Items that cannot be used


def spoilt(change: Callable[[Item], Any]) -> list[Item]:
    """Three items of June, the second of them changed."""
    items = passes(["33TVL"], date(2024, 6, 1), date(2024, 6, 11))
    change(items[1])
    return items


def with_href(href: str) -> Callable[[Item], None]:
    return lambda item: item["assets"]["B04"].update(href=href)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda item: item.update(id="../../etc/passwd"), "not a plain name"),
        (lambda item: item.update(id="a/b"), "not a plain name"),
        (lambda item: item.update(id="a\\b"), "not a plain name"),
        (with_href("/vsicurl/https://sentinel2l2a01.blob.core.windows.net/x.tif"), "no http or https address"),
        (with_href("/etc/passwd"), "no http or https address"),
        (with_href("file:///etc/passwd"), "no http or https address"),
        (with_href("../x.tif"), "no http or https address"),
        (with_href("https://sentinel2l2a01.blob.core.windows.net/a/../../x.tif"), "`..` in its path"),
        (with_href("https://sentinel2l2a01.blob.core.windows.net/a/%2e%2e/x.tif"), "`..` in its path"),
        (with_href("https://elsewhere.example.org/x.tif?sig=SECRET"), "host elsewhere.example.org is not on"),
        (with_href("https://evil.org/sentinel2l2a01.blob.core.windows.net/x.tif"), "host evil.org is not on"),
        (with_href("https://sentinel2l2a01.blob.core.windows.net.evil.org/x.tif"), "is not on the archive's list"),
        (with_href("https://user:SECRET@sentinel2l2a01.blob.core.windows.net/x.tif"), "user name"),
        (with_href("http://sentinel2l2a01.blob.core.windows.net/x.tif"), "plain http"),
        (with_href("http://169.254.169.254/latest/meta-data"), "169.254.169.254"),
        (with_href("s3://eodata/x.jp2"), "bucket eodata is not the archive's"),
        (with_href("s3://eodata/../x.jp2"), "is no s3://BUCKET/KEY"),
        (with_href("gs://bucket/x.tif"), "no http or https address"),
        (with_href(""), "asset B04 has no href"),
        (lambda item: item["assets"]["B04"].update(alternate={"https": {"href": "https://evil.org/x"}}), "evil.org"),
        (lambda item: item["properties"].update(platform="landsat-8"), "expected Sentinel-2"),
        (lambda item: item.update(collection="landsat-c2-l2"), "collection 'landsat-c2-l2', which was not asked for"),
        (lambda item: item["properties"].update({"s2:product_type": "S2MSI1C"}), "of level L1C, expected L2A"),
        (lambda item: item.update(assets=None), "has no assets"),
        (lambda item: item.update(geometry=None), "has no geometry"),
    ],
)
def test_one_bad_item_is_excluded_with_the_reason_and_never_hides_the_rest(server, tmp_path, change, said):
    class Unfiltered(Catalogue):
        """Answers everything, whatever is asked."""

        def search(self, here: str, query: dict[str, Any], method: str) -> tuple[int, Any]:
            return 200, {"features": self.items}

    archive = archive_of("pc", server.serve_catalogue(Unfiltered(spoilt(change), "/api/stac/v1")), home=tmp_path)
    answer = archive.search("33TVL", JUNE)
    assert [item.acquired.day for item in answer.items] == [1, 11]
    (exclusion,) = answer.excluded
    assert said in exclusion.reason
    assert len(exclusion.reason) < 700
    kept = exclusion.reason + "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert "SECRET" not in kept
    assert len(server.requests) == 1


def test_an_item_that_says_neither_when_nor_where_counts_against_every_tile_and_month(server):
    archive = shared("pc", server.catalogue(spoilt(lambda item: item.update(id="../x"))), ["33TVL"], JUNE, JUNE)
    assert len(archive.search("33TVL", JUNE).excluded) == 1
    assert archive.search("33TVL", Month(2024, 8)).excluded == ()  # it says that it is of June


# Nothing signed is kept, and only what matters decides


def test_no_signature_of_a_catalogue_is_kept_anywhere(server, tmp_path):
    url = server.catalogue(passes(["33TVL"], date(2024, 6, 1), date(2024, 6, 30), query=SECRET))
    answer = shared("pc", url, ["33TVL"], JUNE, JUNE, home=tmp_path).search("33TVL", JUNE)
    assert len(answer.items) == 6
    assert "SECRET" not in repr(answer)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(b"SECRET" in path.read_bytes() or b"sig=" in path.read_bytes() for path in files)


def test_signatures_and_links_do_not_change_an_item_s_digest_and_a_new_baseline_does(server):
    plain, signed, other = (pc_item("33TVL", date(2024, 6, 1), query=query) for query in ("", SECRET, ""))
    signed["links"] = [{"rel": "self", "href": "https://elsewhere/"}]
    other["properties"]["s2:processing_baseline"] = "05.11"
    digests = []
    for number, item in enumerate((plain, signed, other)):
        archive = archive_of("pc", server.catalogue([item], f"/{number}/v1"))
        digests.append(archive.search("33TVL", JUNE).items[0].digest)
    assert digests[0] == digests[1] != digests[2]


# Answers that grow old


class Clock:
    """A time of day that a test turns on."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time


def test_answers_about_old_scenes_last_a_month_and_about_recent_ones_hours(server, tmp_path):
    items = passes(["33TVL"], date(2024, 1, 1), date(2024, 11, 30))
    url, clock = server.catalogue(items), Clock()

    def ask(month: Month) -> int:
        """Searches that a fresh process makes for a month."""
        server.forget_requests()
        shared("pc", url, ["33TVL"], month, month, home=tmp_path, now=clock).search("33TVL", month)
        return searches(server)

    old, recent = Month(2024, 3), Month(2024, 11)
    assert (ask(old), ask(recent)) == (1, 1)
    clock.time += timedelta(hours=5)
    assert (ask(old), ask(recent)) == (0, 0)
    clock.time += timedelta(hours=2)
    assert (ask(old), ask(recent)) == (0, 1)
    clock.time += timedelta(days=29)
    assert (ask(old), ask(recent)) == (0, 1)
    clock.time += timedelta(days=1)
    assert (ask(old), ask(recent)) == (1, 1)
    clock.time -= timedelta(days=300)  # the machine's clock was wrong
    assert ask(old) == 1


def test_an_answer_that_is_asked_again_and_is_the_same_gives_the_same_items(server, tmp_path):
    items = passes(["33TVL"], date(2024, 6, 1), date(2024, 6, 30))
    url, clock = server.catalogue(items), Clock()
    archive = shared("pc", url, ["33TVL"], JUNE, JUNE, home=tmp_path, now=clock)
    before = archive.search("33TVL", JUNE)
    items.reverse()
    clock.time += timedelta(days=31)
    assert archive.search("33TVL", JUNE) == before
    assert searches(server) == 2
    items.append(pc_item("33TVL", date(2024, 6, 2), platform="S2B"))
    clock.time += timedelta(days=31)
    assert len(archive.search("33TVL", JUNE).items) == len(before.items) + 1


def test_a_catalogue_that_fails_when_an_old_answer_must_be_asked_again_is_a_failure_that_may_pass(server, tmp_path):
    url, clock = server.catalogue(passes(["33TVL"], date(2024, 6, 1), date(2024, 6, 30))), Clock()
    archive = shared("pc", url, ["33TVL"], JUNE, JUNE, home=tmp_path, now=clock)
    archive.search("33TVL", JUNE)
    clock.time += timedelta(days=31)
    server.fail("*/search", Status(500))
    with pytest.raises(ArchiveTransientError):
        archive.search("33TVL", JUNE)
    server.heal()
    assert len(archive.search("33TVL", JUNE).items) == 6


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"format": 0}', b'{"format": 1, "asked": "never"}', b"[]", b"\xff\xfe"]
)
def test_a_damaged_answer_is_asked_for_again(server, tmp_path, damage):
    url = server.catalogue(passes(["33TVL"], date(2024, 6, 1), date(2024, 6, 30)))
    shared("pc", url, ["33TVL"], JUNE, JUNE, home=tmp_path).search("33TVL", JUNE)
    (kept,) = tmp_path.rglob("*.json")
    kept.write_bytes(damage)
    assert len(shared("pc", url, ["33TVL"], JUNE, JUNE, home=tmp_path).search("33TVL", JUNE).items) == 6
    assert searches(server) == 2


def test_mirrors_collections_and_areas_have_answers_of_their_own(server, tmp_path):
    items = passes(["33TVL"], date(2024, 6, 1), date(2024, 6, 30))
    one, other = server.catalogue(items, "/one/v1"), server.catalogue(items[:1], "/other/v1")
    assert len(shared("pc", one, ["33TVL"], JUNE, JUNE, home=tmp_path).search("33TVL", JUNE).items) == 6
    assert len(shared("pc", other, ["33TVL"], JUNE, JUNE, home=tmp_path).search("33TVL", JUNE).items) == 1
    assert shared("pc", one, ["33TVM"], JUNE, JUNE, home=tmp_path).search("33TVM", JUNE).items == ()


# Which collections


def test_the_pool_of_earth_search_is_both_of_its_surface_collections():
    opening = Opening()
    ids = [one.id for one in open_known(facts_of("earth-search"), opening).collections]
    assert ids == ["sentinel-2-l2a", "sentinel-2-c1-l2a"]
    named = open_known(facts_of("earth-search"), Opening(collection="sentinel-2-c1-l2a"))
    assert [one.id for one in named.collections] == ["sentinel-2-c1-l2a"]
    with_toa = open_known(facts_of("earth-search"), Opening(collection="sentinel-2-c1-l2a", levels=("L2A", "L1C")))
    assert [one.id for one in with_toa.collections] == ["sentinel-2-c1-l2a", "sentinel-2-l1c"]
    assert set(with_toa.offers()) == {"L2A", "L1C"}


def test_a_collection_that_an_archive_lacks_is_refused_with_those_it_has():
    with pytest.raises(RegionError, match=r"found 'landsat'.*sentinel-2-l2a, sentinel-2-c1-l2a, sentinel-2-l1c"):
        open_known(facts_of("earth-search"), Opening(collection="landsat"))
    mirrored = open_known(facts_of("pc"), Opening(collection="s2-copy", catalog_url="https://stac.example.org/v1"))
    assert [one.id for one in mirrored.collections] == ["s2-copy"]


def test_a_level_that_an_archive_lacks_is_refused_with_those_it_has():
    with pytest.raises(RegionError, match=r"found L1C, and archive planetary-computer has L2A"):
        open_known(facts_of("pc"), Opening(levels=("L1C",)))


def test_an_address_that_is_none_is_refused():
    for url in ("ftp://x/y", "https://user:SECRET@host/v1", "https://host/v1?key=SECRET", "nonsense"):
        with pytest.raises(RegionError, match="catalog_url: found") as refusal:
            open_known(facts_of("pc"), Opening(catalog_url=url))
        assert "SECRET" not in str(refusal.value)


def test_opening_and_describing_an_archive_asks_nothing(server):
    archive = archive_of("cdse", server.catalogue([], "/v1"), credentials=Credentials())
    assert set(archive.offers()) == {"L2A", "L1C"}
    assert archive.name == "cdse"
    archive.close()
    assert server.requests == []
