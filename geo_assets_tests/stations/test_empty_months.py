"""A month with nothing to show is a result that says why, from the station where it shows to the last."""

import numpy as np

from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.stations.catalog import stations_of
from geo_assets_tests.scenery.lines import area_of, product_of, run_all, small_line
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
GEOBOX = tile_geobox(TILE, 60)[900:940, 900:940]


def test_a_month_under_cloud_is_empty_from_the_composite_on_and_says_why(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    bands = {"red": (np.full((40, 40), 6000, np.uint16), GEOBOX), "scl": (np.full((40, 40), 9, np.uint8), GEOBOX)}
    for day in ("2024-06-10", "2024-06-15"):
        archive.add(TILE, day, bands)
    line = small_line(archive.write(), tmp_path / "store", area=area_of(GEOBOX), mask={"detectors": ["quality"]})
    run_all(line)
    manifests = {station.name: product_of(line, station.name).manifest for station in stations_of(line.region)}
    assert {name for name, manifest in manifests.items() if manifest.status == "done"} == {
        "scene_search", "scout", "fetch", "hybrid_mask",
    }  # fmt: skip
    assert manifests["monthly_composite"].reason == "none of the 2 fetched scenes has a clear pixel"
    assert manifests["monthly_composite"].metrics["seen_share"] == 1.0
    assert manifests["monthly_composite"].metrics["valid_share"] == 0.0
