"""An archive of L2A and a companion that has its L1C: asked where it is needed, told apart, never taken for none."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import shapely

from geo_assets.domain.errors import ArchiveError, ArchiveRefusedError, ArchiveTransientError
from geo_assets.domain.scene import SceneItem
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Query
from geo_assets.io.archives.known import Opening, facts_of, open_known
from geo_assets.io.archives.local import LocalArchive
from geo_assets.io.archives.paired import PairedArchive
from geo_assets_tests.scenery.small_archive import SmallArchive
from geo_assets_tests.scenery.stac_search import Item

TILE, JUNE, JULY = "33TVL", Month(2024, 6), Month(2024, 7)
GEOBOX = tile_geobox(TILE, 60)[900:910, 900:910]
BAND = {"red": (np.full((10, 10), 1000, np.uint16), GEOBOX)}


@dataclass
class Asked:
    """An archive that notes which months it is asked for."""

    archive: Any
    months: list[Month]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.archive, name)

    def search(self, tile: str, month: Month) -> Any:
        self.months.append(month)
        return self.archive.search(tile, month)


@pytest.fixture
def own(tmp_path) -> SmallArchive:
    return SmallArchive(tmp_path / "own")


@pytest.fixture
def other(tmp_path) -> SmallArchive:
    return SmallArchive(tmp_path / "other")


def paired(own: SmallArchive, other: SmallArchive) -> PairedArchive:
    return PairedArchive(LocalArchive(own.write()), LocalArchive(other.write(), name="other"), because="a test says so")


def levels(items: tuple[SceneItem, ...]) -> list[tuple[str, str]]:
    return [(item.level, item.archive) for item in items]


def test_l1c_comes_from_the_companion_and_everything_else_from_the_own_archive(own, other):
    own.add(TILE, "2024-06-10", BAND)
    l1c = other.add(TILE, "2024-06-10", {**BAND, "cirrus": BAND["red"]}, level="L1C")
    other.add(TILE, "2024-06-12", BAND)  # L2A of another archive is none of the region's
    archive = paired(own, other)
    answer = archive.search(TILE, JUNE)
    assert sorted(levels(answer.items)) == [("L1C", "other"), ("L2A", "")]
    assert {asset.archive for item in answer.items if item.id == l1c for asset in item.assets.values()} == {"other"}
    assert archive.offers() == {"L2A": frozenset({"red"})}
    assert (archive.name, archive.chosen_because) == ("local", "")
    assert answer.newest == LocalArchive(own.folder).search(TILE, JUNE).newest


def test_the_companion_is_asked_for_months_with_l2a_alone(own, other):
    own.add(TILE, "2024-06-10", BAND)
    own.add(TILE, "2024-07-10", BAND, level="L1C")
    other.add(TILE, "2024-07-10", BAND, level="L1C", sequence=1)
    archive = paired(own, other)
    archive.companion = noting = Asked(archive.companion, [])
    assert levels(archive.search(TILE, JULY).items) == [("L1C", "")]
    assert noting.months == []
    archive.search(TILE, JUNE)
    assert noting.months == [JUNE]


def test_an_acquisition_about_midnight_is_found_in_the_month_of_the_other_catalogue(own, other):
    start = {"s2:datatake_id": "GS2A_20240630T235931_012345_N05.10"}
    own.add(TILE, "2024-07-01", BAND, **start, datetime="2024-07-01T00:00:41Z")
    l1c = other.add(TILE, "2024-06-30", BAND, level="L1C", **start, datetime="2024-06-30T23:59:31Z")
    other.add(TILE, "2024-06-29", BAND, level="L1C")
    answer = paired(own, other).search(TILE, JULY)
    assert [item.id for item in answer.items if item.level == "L1C"] == [l1c]


def test_of_an_item_that_both_have_the_own_archive_s_counts(own, other):
    own.add(TILE, "2024-06-10", BAND)
    for archive in (own, other):
        archive.add(TILE, "2024-06-10", BAND, level="L1C")
    assert levels(paired(own, other).search(TILE, JUNE).items) == [("L1C", ""), ("L2A", "")]


def test_a_query_finds_l1c_whatever_cloud_cover_it_states(own, other):
    own.add(TILE, "2024-06-10", BAND, **{"eo:cloud_cover": 5})
    other.add(TILE, "2024-06-10", BAND, level="L1C", **{"eo:cloud_cover": 60})
    other.add(TILE, "2024-06-20", BAND, level="L1C")
    ground = GEOBOX.extent.to_crs("EPSG:4326").geom
    query = Query(ground, datetime(2024, 6, 9, tzinfo=UTC), datetime(2024, 6, 11, tzinfo=UTC), max_cloud_cover=10)
    assert sorted(levels(paired(own, other).find(query).items)) == [("L1C", "other"), ("L2A", "")]
    empty = Query(ground, datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC))
    assert paired(own, other).find(empty).items == ()


def test_each_file_is_opened_by_its_own_archive_and_by_no_other(own, other):
    for value, archive, level in ((1000, own, "L2A"), (2000, other, "L1C")):
        archive.add(TILE, "2024-06-10", {"red": (np.full((10, 10), value, np.uint16), GEOBOX)}, level=level)
    archive = paired(own, other)
    l1c, l2a = sorted(archive.search(TILE, JUNE).items, key=lambda item: item.level)
    for item, folder in ((l2a, own.folder), (l1c, other.folder)):
        source = archive.open(item.assets["red"], where="here")
        assert bytes(source.head(1 << 20)) == (folder / item.id / "red.tif").read_bytes()
        source.close()
    with pytest.raises(
        ArchiveRefusedError, match=r"here: found a file of archive other, expected one of local.*l1c_arch"
    ):
        archive.own.open(l1c.assets["red"], where="here")
    archive.companion = LocalArchive(other.folder, name="a third")
    with pytest.raises(ArchiveRefusedError, match="found a file of archive other"):
        archive.open(l1c.assets["red"], where="here")


@dataclass
class Failing:
    """An archive that cannot be asked."""

    error: Exception
    name: str = "failing"

    def search(self, tile: str, month: Month) -> Any:
        raise self.error

    find = search


@pytest.mark.parametrize("kind", [ArchiveTransientError, ArchiveRefusedError, ArchiveError])
def test_a_companion_that_cannot_be_asked_is_an_error_of_its_kind_and_never_none(own, kind):
    own.add(TILE, "2024-06-10", BAND)
    archive = PairedArchive(LocalArchive(own.write()), Failing(kind("It is down.")), because="")  # type: ignore[arg-type]
    with pytest.raises(
        ArchiveError, match=r"It is down. It was asked for the L1C .* mask.l1c_archive: none"
    ) as failure:
        archive.search(TILE, JUNE)
    assert type(failure.value) is kind
    assert archive.search(TILE, JULY).items == ()


def test_a_companion_that_is_not_there_is_an_error(own, tmp_path):
    own.add(TILE, "2024-06-10", BAND)
    archive = PairedArchive(LocalArchive(own.write()), LocalArchive(tmp_path / "nowhere"), because="")
    with pytest.raises(ArchiveError, match=r"nowhere: no such file or folder.*l1c_archive: none"):
        archive.search(TILE, JUNE)


# Real answers


def recorded_l1c_of(item: Item, template: Item) -> Item:
    """A recorded L1C item as if it were of an L2A item's datatake and tile, at the moment that its tile was seen."""
    tile, properties = item["properties"]["s2:mgrs_tile"], dict(template["properties"])
    properties |= {
        "datetime": "2018-12-31T23:59:57Z",
        "platform": "sentinel-2a",
        "grid:code": f"MGRS-{tile}",
        "s2:datatake_id": item["properties"]["s2:datatake_id"],
        "s2:product_uri": f"S2A_MSIL1C_20190101T000001_N0207_R116_T{tile}_20190101T012345.SAFE",
    }
    for key in ("mgrs:utm_zone", "mgrs:latitude_band", "mgrs:grid_square"):
        properties.pop(key, None)
    ground = {key: item[key] for key in ("geometry", "bbox")}
    return template | {"id": f"S2A_{tile}_20181231_0_L1C", "properties": properties} | ground


@pytest.fixture
def recorded(shared_data) -> Callable[[str], list[Item]]:
    """Items of a recorded answer, by the file's name."""

    def items(name: str) -> list[Item]:
        return json.loads((shared_data / "stac" / name).read_text())["features"]

    return items


def test_planetary_computer_s_scenes_find_their_l1c_in_earth_search_though_it_lies_in_the_year_before(server, recorded):
    surface = recorded("planetary-computer_search_sentinel-2-l2a.json")
    (template,) = recorded("earth-search_search_sentinel-2-l1c.json")
    toa = [recorded_l1c_of(item, template) for item in surface[:3]]
    own = open_known(facts_of("pc"), Opening(catalog_url=server.catalogue(surface)))
    url = server.catalogue(toa, "/earth-search/v1")
    companion = open_known(facts_of("earth-search"), Opening(catalog_url=url, levels=("L1C",)))
    archive = PairedArchive(own, companion, because="")
    tile = surface[0]["properties"]["s2:mgrs_tile"]
    found = archive.search(tile, Month(2019, 1)).items
    (l1c,) = (item for item in found if item.level == "L1C")
    assert (l1c.id, l1c.archive) == (f"S2A_{tile}_20181231_0_L1C", "earth-search")
    assert l1c.acquisition_key == next(item for item in found if item.level == "L2A").acquisition_key
    assert l1c.assets["granule_metadata"].archive == "earth-search"
    assert set(archive.offers()) == {"L2A"}


def test_a_companion_over_the_network_is_closed_with_the_own_archive(server, own, recorded):
    companion = open_known(facts_of("earth-search"), Opening(catalog_url=server.catalogue([], "/v1"), levels=("L1C",)))
    archive = PairedArchive(LocalArchive(own.write()), companion, because="")
    query = Query(shapely.box(14, 45, 15, 46), JUNE.begin, JULY.begin)
    assert archive.find(query).items == ()
    assert server.requests == []
    archive.close()
