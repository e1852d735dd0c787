"""`local:` archives: static catalogues, hrefs that lead elsewhere, and files on a web server."""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo_assets.domain.errors import (
    ArchiveError,
    ArchiveRefusedError,
    ArchiveTransientError,
    AssetLostError,
    GeoAssetsError,
    RegionError,
)
from geo_assets.domain.scene import SceneAsset
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.local import LocalArchive
from geo_assets.io.wire.addresses import HostRule
from geo_assets.io.wire.exchange import Wire
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.faults import Status
from geo_assets_tests.scenery.lines import area_of, pixels_of, product_of, run_until, slices_within, small_line
from geo_assets_tests.scenery.small_archive import SmallArchive

JUNE = Month(2024, 6)
TILE = "33TVL"
GEOBOX = tile_geobox(TILE, 60)
GROUND = GEOBOX[500:540, 600:640]
SECRET = "sig=SECRET"

Item = dict[str, Any]


@pytest.fixture
def small(tmp_path) -> SmallArchive:
    """One scene of red and classes."""
    archive = SmallArchive(tmp_path / "archive")
    red = np.arange(1, 1601, dtype=np.uint16).reshape(GROUND.shape)
    archive.add(TILE, "2024-06-10", {"red": (red, GROUND), "scl": (np.full(GROUND.shape, 4, np.uint8), GROUND)})
    archive.write()
    return archive


def catalogue(folder: Path, items: list[Item], name: str = "items.json") -> LocalArchive:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return LocalArchive(folder)


def with_href(small: SmallArchive, href: str) -> LocalArchive:
    small.items[0]["assets"]["red"]["href"] = href
    return catalogue(small.folder, small.items)


def red_of(archive: LocalArchive) -> SceneAsset:
    (item,) = archive.search(TILE, JUNE).items
    return item.assets["red"]


def bytes_of(archive: LocalArchive) -> bytes:
    with closing(archive.open(red_of(archive), where="red")) as source:
        return source.head(1 << 20)


def hasty_line_of(archive: Path, store: Path):
    """A line that does not wait between two tries."""
    line = line_of(archive, store)
    line.archive._wire = Wire(HostRule.any_host(), attempts=2, sleep=lambda seconds: None)
    return line


def line_of(archive: Path, store: Path, **settings: Any):
    return small_line(archive, store, area=area_of(GROUND), mosaic={"feather_m": 60}, **settings)


# What an archive offers and finds


def test_items_are_found_by_tile_and_month(small):
    archive = LocalArchive(small.folder)
    assert [item.id for item in archive.search(TILE, JUNE).items] == ["S2A_33TVL_20240610_0_L2A"]
    assert archive.search("33TVM", JUNE).items == ()
    assert archive.search(TILE, Month(2024, 7)).items == ()
    assert archive.offers() == {"L2A": frozenset({"red", "scl"})}


def test_an_item_that_names_no_tile_serves_every_tile_that_it_touches(small):
    (item,) = small.items
    item["id"] = "scene"
    del item["properties"]["grid:code"]
    archive = catalogue(small.folder, [item])
    assert len(archive.search(TILE, JUNE).items) == 1
    assert archive.search("33TXL", JUNE).items == ()


def test_a_static_catalogue_is_walked_whatever_loops_its_links_make(small):
    folder = small.folder
    (folder / "items.json").unlink()
    (folder / "scenes").mkdir()
    links = [{"rel": "child", "href": "scenes/collection.json"}, {"rel": "self", "href": "catalog.json"}]
    (folder / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    links = [{"rel": "item", "href": "one.json"}, {"rel": "child", "href": "../catalog.json"}]
    (folder / "scenes/collection.json").write_text(json.dumps({"type": "Collection", "links": links}))
    (item,) = small.items
    item["assets"] = {"red": {**item["assets"]["red"], "href": f"../{item['assets']['red']['href']}"}}
    (folder / "scenes/one.json").write_text(json.dumps(item))
    archive = LocalArchive(folder)
    assert bytes_of(archive).startswith(b"II")


def test_a_changed_catalogue_is_read_again(small):
    archive = LocalArchive(small.folder)
    assert len(archive.search(TILE, JUNE).items) == 1
    catalogue(small.folder, [])
    assert archive.search(TILE, JUNE).items == ()


def test_an_id_that_is_listed_twice_counts_once_and_is_recorded(small):
    answer = catalogue(small.folder, small.items * 2).search(TILE, JUNE)
    assert len(answer.items) == 1
    assert [exclusion.reason for exclusion in answer.excluded] == ["the catalogue lists this id twice"]


def test_a_catalogue_of_many_files_is_read_in_seconds(small):
    folder = small.folder
    (folder / "items.json").unlink()
    text = json.dumps(small.items[0])
    links = []
    for number in range(2_000):
        (folder / f"{number}.json").write_text(text.replace('"S2A_33TVL_20240610_0_L2A"', f'"S2A_33TVL_{number}"'))
        links.append({"rel": "item", "href": f"{number}.json"})
    (folder / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    archive = LocalArchive(folder)
    began = time.monotonic()
    assert len(archive.search(TILE, JUNE).items) == 2_000
    assert time.monotonic() - began < 10


# Catalogues that are none


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "found type None, expected a FeatureCollection"),
        (b'{"type": "FeatureCollection"}', "found type 'FeatureCollection'"),
        (b'{"type": "FeatureCollection", "features": {}}', "found type 'FeatureCollection'"),
        (b'{"type": "Polygon", "coordinates": []}', "found type 'Polygon'"),
    ],
)
def test_a_file_that_is_no_catalogue_is_named_with_the_reason(tmp_path, content, said):
    path = tmp_path / "items.json"
    path.write_bytes(content)
    with pytest.raises(ArchiveError) as refusal:
        LocalArchive(tmp_path).offers()
    assert f"Archive {path}: " in str(refusal.value)
    assert said in str(refusal.value)


def test_a_path_that_leads_nowhere_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ArchiveError, match=r"no such file or folder.*relative to the region file"):
        LocalArchive(tmp_path / "nowhere").offers()
    with pytest.raises(ArchiveError, match=r"holds none of catalog\.json.*name the STAC file"):
        LocalArchive(tmp_path).offers()


@pytest.mark.parametrize("links", [None, 5, {}, [None, 5, {}, {"rel": ["item"]}]])
def test_links_that_are_none_lead_nowhere_and_break_nothing(tmp_path, links):
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    assert LocalArchive(tmp_path).offers() == {}


@pytest.mark.parametrize(
    "href",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "s3://bucket/x.json",
        "http://host/x.json",
        "/vsizip/x",
        "a\0b",
    ],
)
def test_a_catalogues_link_that_leaves_its_folder_is_refused(tmp_path, href):
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": [{"rel": "item", "href": href}]}))
    with pytest.raises(ArchiveRefusedError, match="Copy what it leads to into the folder"):
        LocalArchive(tmp_path).offers()


def test_a_link_to_a_missing_file_is_named(tmp_path):
    links = [{"rel": "item", "href": "gone.json"}]
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    with pytest.raises(ArchiveError, match=r"gone\.json: cannot be read \(No such file"):
        LocalArchive(tmp_path).offers()


# Hrefs that lead elsewhere


@pytest.mark.parametrize(
    "href",
    [
        "../outside.tif",
        "scenes/../../outside.tif",
        "/etc/passwd",
        "/vsizip/archive.zip/red.tif",
        "/vsicurl/http://127.0.0.1/red.tif",
        "/VSIMEM/red.tif",
        "vrt:///etc/passwd",
        "GTIFF_DIR:1:red.tif",
        "file:///etc/passwd",
        "s3://bucket/red.tif",
        "ftp://host/red.tif",
        "data:image/tiff;base64,AAAA",
        "http://",
        "http://[bad/red.tif",
        "http://host:99999/red.tif",
        "http://host/red .tif",
        "ht\ntp://host/red.tif",
        "http://host/\nred.tif",
        "http://user:SECRET@host/red.tif",
        "red\0.tif",
        "loop/red.tif",
        "link.tif",
    ],
)
def test_an_href_that_leaves_the_archive_excludes_its_item_with_the_reason(small, href):
    (small.folder / "loop").symlink_to(small.folder / "loop")
    (small.folder.parent / "outside.tif").write_bytes(b"private")
    (small.folder / "link.tif").symlink_to(small.folder.parent / "outside.tif")
    archive = with_href(small, href)
    answer = archive.search(TILE, JUNE)
    assert answer.items == ()
    (exclusion,) = answer.excluded
    assert exclusion.item == "S2A_33TVL_20240610_0_L2A"
    assert exclusion.reason.startswith("href ")
    assert "SECRET" not in exclusion.reason
    # A scene table from somebody else's store could still hold it.
    with pytest.raises(ArchiveRefusedError, match=r"href .* Repair the item, or name it in selection\.exclude"):
        archive.open(SceneAsset(href), where="Item x, band red")


def test_a_link_within_the_archive_is_followed(small):
    real = small.folder / small.items[0]["assets"]["red"]["href"]
    (small.folder / "link.tif").symlink_to(real)
    archive = with_href(small, "link.tif")
    assert bytes_of(archive) == real.read_bytes()


def test_a_listed_file_that_is_gone_is_named_with_the_remedy(small):
    archive = LocalArchive(small.folder)
    asset = red_of(archive)
    os.unlink(small.folder / asset.href)
    with pytest.raises(AssetLostError, match=r"Item x, band red .*red\.tif.*Restore the file"):
        archive.open(asset, where="Item x, band red")


def test_a_band_that_the_archive_lacks_is_named_with_those_it_has(small, tmp_path):
    line = line_of(small.folder, tmp_path / "store", bands=["red", "swir16"])
    with pytest.raises(RegionError) as refusal:
        run_until(line, "scene_search")
    for part in ("Region small", "has no swir16", "L2A: red", "Leave the band out"):
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda item: item.update(geometry=None), "has no geometry"),
        (lambda item: item["properties"].update(datetime=None), "has no datetime"),
        (lambda item: item["assets"]["red"].update(href="../../x.tif"), "leaves the archive's folder"),
        (lambda item: item.update(id="../x"), "not a plain name"),
    ],
)
def test_a_month_of_which_only_a_broken_item_is_known_fails_and_says_why(small, tmp_path, spoil, said):
    spoil(small.items[0])
    good = SmallArchive(tmp_path / "other")
    good.add(TILE, "2024-05-10", {"red": (np.ones(GROUND.shape, np.uint16), GROUND)})
    good.items[0]["assets"]["red"]["href"] = small.items[0]["assets"]["scl"]["href"]
    catalogue(small.folder, [*small.items, *good.items])
    store = tmp_path / "store"
    with pytest.raises(ArchiveError) as refusal:
        run_until(line_of(small.folder, store), "scene_search")
    for part in ("Region small", "scene_search 33TVL 2024-06", said, "selection.exclude"):
        assert part in str(refusal.value)
    assert not list(store.rglob("manifest.json"))


# Files on a web server


@pytest.fixture(params=["ranges", "whole files"])
def web(request, small) -> Iterator[FaultServer]:
    with FaultServer() as web:
        web.folder("/", small.folder, ranges=request.param == "ranges")
        yield web


def published(small: SmallArchive, web: FaultServer, folder: Path, query: str = "") -> Path:
    """A catalogue of its own in which every href is the server's."""
    items = json.loads(json.dumps(small.items))
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = f"{web.url}/{asset['href']}{query}"
    catalogue(folder, items)
    return folder


def every_byte_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_pixels_from_a_web_server_are_the_same_and_signatures_stay_secret(small, web, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    web.demand_query("/", SECRET)
    folder = published(small, web, tmp_path / "catalogue", f"?{SECRET}")
    line = line_of(folder, tmp_path / "store")
    run_until(line, "monthly_composite")
    product = product_of(line, "fetch")
    found = pixels_of(product, "S2A_33TVL_20240610_0_L2A.reflectance.tif", slices_within(GROUND, GEOBOX))[0]
    np.testing.assert_array_equal(found, np.arange(1, 1601).reshape(GROUND.shape))
    assert {row["href"] for row in product.manifest.ledger} == {
        f"{web.url}/S2A_33TVL_20240610_0_L2A/{band}.tif" for band in ("red", "scl")
    }
    assert b"SECRET" not in every_byte_of(tmp_path / "store")
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (404, AssetLostError, "404"),
        (410, AssetLostError, "410"),
        (401, ArchiveRefusedError, "Renew the access"),
        (403, ArchiveRefusedError, "Renew the access"),
        (429, ArchiveTransientError, "Run it again"),
        (500, ArchiveTransientError, "Run it again"),
        (503, ArchiveTransientError, "Run it again"),
    ],
)
def test_a_servers_refusal_names_item_band_and_status_and_passes_with_its_cause(
    small, web, tmp_path, caplog, status, kind, said
):
    caplog.set_level(logging.DEBUG)
    line = hasty_line_of(published(small, web, tmp_path / "catalogue", f"?{SECRET}"), tmp_path / "store")
    web.fail("/S2A_33TVL_20240610_0_L2A/red.tif", Status(status))
    with pytest.raises(GeoAssetsError) as refusal:
        run_until(line, "fetch")
    assert type(refusal.value) is kind
    for part in ("Item S2A_33TVL_20240610_0_L2A, band red", str(status), said):
        assert part in str(refusal.value)
    assert "SECRET" not in str(refusal.value) + caplog.text
    assert b"SECRET" not in every_byte_of(tmp_path / "store")
    assert not (tmp_path / "store/small/fetch/33TVL/2024-06/manifest.json").exists()
    web.heal()  # the same process tries again, as Dagster's retries do
    run_until(line, "fetch")
    assert product_of(line, "fetch").manifest.status == "done"


def test_a_server_that_is_not_there_may_come_back(small, tmp_path):
    with FaultServer() as web:
        folder = published(small, web, tmp_path / "catalogue", f"?{SECRET}")
    with pytest.raises(ArchiveTransientError, match="Item S2A_33TVL_20240610_0_L2A, band scl") as refusal:
        run_until(hasty_line_of(folder, tmp_path / "store"), "fetch")
    assert "SECRET" not in str(refusal.value)


def test_two_files_that_differ_in_their_query_alone_exclude_their_item(small, tmp_path):
    item = small.items[0]
    for band, query in (("red", "file=1"), ("scl", "file=2")):
        item["assets"][band]["href"] = f"http://127.0.0.1/get.tif?{query}"
    answer = catalogue(tmp_path / "catalogue", [item]).search(TILE, JUNE)
    assert answer.items == ()
    assert "differs from it in the query alone" in answer.excluded[0].reason
