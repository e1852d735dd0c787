"""L2A over the network with L1C beside it: each archive asked for its own, under its own rules."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.domain.bands import HYBRID_BANDS
from geo_assets.domain.errors import ArchiveRefusedError, ArchiveTransientError
from geo_assets.io.archives.known import Opening, facts_of, open_known
from geo_assets.io.archives.paired import PairedArchive
from geo_assets.stations.fetch import fetched_scenes
from geo_assets.stations.line import Line
from geo_assets_tests.scenery.faults import Redirect, Status
from geo_assets_tests.scenery.lines import pixels_of, product_of, run_until
from geo_assets_tests.scenery.remote_catalogues import Acquisition, sentinel2_acquisition, serve_earth_search
from geo_assets_tests.scenery.remote_line import remote_line, remote_region
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE, DAY = "33TVL", "2024-06-10"


@pytest.fixture
def seen() -> Acquisition:
    return sentinel2_acquisition(TILE, DAY, window=(slice(900, 940), slice(900, 940)), bands=("red", "nir"))


@pytest.fixture
def toa(tmp_path, seen) -> SmallArchive:
    """L1C of the same datatake: every band 800, and 1000 on top."""
    _, at_20_m = seen.classes
    at_60_m = at_20_m.zoom_out(3)
    counts = np.full(at_60_m.shape, 1800, np.uint16)
    archive = SmallArchive(tmp_path / "toa")
    archive.add(TILE, DAY, dict.fromkeys(HYBRID_BANDS, (counts, at_60_m)), level="L1C", added_counts=1000)
    archive.write()
    return archive


def line_of(server, folder: Path, seen: Acquisition, l1c_archive: str) -> Line:
    url = serve_earth_search(server, folder, [seen])
    region = remote_region("earth-search", url, [seen], bands=["red"], mask={"l1c_archive": l1c_archive})
    return remote_line(region, folder / "store")


def test_l1c_of_a_folder_serves_scenes_of_the_network(server, tmp_path, seen, toa):
    line = line_of(server, tmp_path, seen, f"local:{toa.folder}")
    run_until(line, "fetch")
    product = product_of(line, "fetch", TILE)
    (scene,) = fetched_scenes(line, product.place)
    assert [item.id for item in scene.companions] == [toa.items[0]["id"]]
    found = pixels_of(product, f"{scene.id}.toa.tif", (slice(900, 940), slice(900, 940)))
    assert found.shape[0] == len(HYBRID_BANDS)
    assert_array_equal(found, 800)
    assert product_of(line, "scene_search", TILE).manifest.metrics["l1c_archive"] == "local"


def beside_cdse(line: Line, server) -> Line:
    """The line with CDSE as companion, asked at the server for what it never has: files of another host."""
    catalogue = server.catalogue([], "/cdse/v1")
    companion = open_known(facts_of("cdse"), Opening(catalog_url=catalogue, levels=("L1C",)))
    assert isinstance(line.archive, PairedArchive)
    return replace(line, archive=PairedArchive(line.archive.own, companion, because="a test says so"))


def test_a_companion_whose_catalogue_is_down_stops_the_month_to_be_run_again(server, tmp_path, seen, toa, impatient):
    line = beside_cdse(line_of(server, tmp_path, seen, f"local:{toa.folder}"), server)
    server.fail("/cdse/v1/*", Status(503, retry_after="0"))
    with pytest.raises(ArchiveTransientError, match=r"cdse.*L1C of scenes of earth-search.*l1c_archive: none"):
        run_until(line, "scene_search")
    server.heal()
    run_until(line, "scene_search")
    assert product_of(line, "scene_search", TILE).manifest.metrics["scenes_with_l1c"] == 0


def test_a_companion_whose_catalogue_leads_elsewhere_is_not_followed(server, tmp_path, seen, toa, impatient):
    line = beside_cdse(line_of(server, tmp_path, seen, f"local:{toa.folder}"), server)
    server.fail("/cdse/v1/*", Redirect(server.other_host + "/stolen{path}"))
    with pytest.raises(ArchiveRefusedError):
        run_until(line, "scene_search")
    assert server.requests_for("/stolen*") == []
