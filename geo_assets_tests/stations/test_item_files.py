"""Small files of items read whole: bounded, traced to their item, and held to the same rules as bands."""

from collections.abc import Callable, Iterator

import pytest

from geo_assets.domain.errors import ArchiveRefusedError, ArchiveTransientError
from geo_assets.domain.scene import GRANULE_METADATA, SceneItem
from geo_assets.io.archives import access
from geo_assets.io.archives.items import scene_item
from geo_assets.io.archives.known import Opening, facts_of, open_known
from geo_assets.io.wire.exchange import Wire
from geo_assets.io.wire.meter import Meter
from geo_assets.stations.item_files import NO_BLOCK, ItemFiles, LostBandError
from geo_assets_tests.scenery.fault_server import FaultServer
from geo_assets_tests.scenery.faults import Effect, Redirect, Status

XML = b"<?xml version='1.0'?>" + b"<Tile/>" * 500
PATH = "/sentinel-cogs/S2A/metadata.xml"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def read(server, tmp_path, monkeypatch) -> Callable[[int], bytes]:
    """Reads an item's metadata from a server, with little patience."""
    monkeypatch.setattr(
        access, "Wire", lambda *rules, **settings: Wire(*rules, **settings, patience_s=1.0, read_s=0.5, connect_s=0.5)
    )
    path = tmp_path / PATH.removeprefix("/")
    path.parent.mkdir(parents=True)
    path.write_bytes(XML)
    server.folder("/sentinel-cogs", tmp_path / "sentinel-cogs")
    archive = open_known(facts_of("earth-search"), Opening(catalog_url=server.catalogue([], "/v1")))
    item = item_at(f"{server.url}{PATH}")
    return lambda limit: ItemFiles(archive, Meter()).whole(item, GRANULE_METADATA, limit_bytes=limit)


def item_at(href: str) -> SceneItem:
    return scene_item(
        {
            "id": "S2A_33TVL_20240610_0_L1C",
            "collection": "sentinel-2-l1c",
            "geometry": {"type": "Polygon", "coordinates": [[[14, 45], [15, 45], [15, 46], [14, 46], [14, 45]]]},
            "properties": {"datetime": "2024-06-10T10:04:41Z", "s2:processing_baseline": "05.10"},
            "assets": {"cirrus": {"href": "x.tif"}, "granule_metadata": {"href": href}},
        }
    )


def test_a_small_file_comes_whole_in_one_request(read, server):
    assert read(len(XML)) == XML
    assert len(server.requests_for(PATH)) == 1


def test_a_file_larger_than_expected_is_lost_and_not_read_to_its_end(read):
    with pytest.raises(LostBandError, match=r"S2A_33TVL_20240610_0_L1C, granule_metadata .*over 100 bytes") as loss:
        read(100)
    assert (loss.value.item, loss.value.band, loss.value.block) == (
        "S2A_33TVL_20240610_0_L1C", GRANULE_METADATA, NO_BLOCK,
    )  # fmt: skip
    assert loss.value.href.endswith(PATH)


@pytest.mark.parametrize(
    ("effect", "kind"),
    [(Status(404), LostBandError), (Status(503), ArchiveTransientError), (Status(403), ArchiveRefusedError)],
)
def test_what_is_gone_is_lost_and_what_may_come_back_is_not(read, server, effect: Effect, kind):
    server.fail(PATH, effect)
    with pytest.raises(kind):
        read(1 << 20)


def test_a_redirect_to_another_host_is_not_followed(read, server):
    server.fail(PATH, Redirect(server.other_host + "/stolen{path}"))
    with pytest.raises(ArchiveRefusedError):
        read(1 << 20)
    assert server.requests_for("/stolen*") == []


def test_a_passing_failure_is_tried_again(read, server):
    server.fail(PATH, Status(503, retry_after="0"), times=1)
    assert read(1 << 20) == XML
    assert len(server.requests_for(PATH)) == 2
