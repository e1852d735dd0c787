"""What is made again when the mosaic's settings change: the stations that read them, and what follows from them."""

import pytest

from geo_assets_tests.scenery.composites import composite_line, noise, put_composite, run_mosaics
from geo_assets_tests.scenery.lines import store_bytes

AREA = (14.93, 45.60, 15.13, 45.70)
BEGUN = {"feather_m": 1200, "harmonise": "gain"}
ALL = {"overlap_statistics", "harmonisation", "seam_blended_mosaic", "region_mosaic"}


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """A function of mosaic settings: the stations that were run for them, in one store that remembers the last."""
    store = tmp_path_factory.mktemp("settled") / "store"

    def made(**changes) -> set[str]:
        line = composite_line(store, area=AREA, mosaic={**BEGUN, **changes}, unit_blocks=1)
        return {place.station for place, outcome in run_mosaics(line).items() if not outcome.reused}

    line = composite_line(store, area=AREA, mosaic=BEGUN)
    for tile in line.region.tile_ids:
        put_composite(line, tile, noise(tile))
    made()
    return made, store


@pytest.mark.parametrize(
    ("changes", "stations"),
    [
        ({}, set()),
        ({"seam_limit": 2.0}, set()),
        ({"profile": "linear"}, {"seam_blended_mosaic", "region_mosaic"}),
        ({"harmonise": "none"}, {"seam_blended_mosaic", "region_mosaic"}),
        ({"harmonise": "gain_offset"}, {"harmonisation", "seam_blended_mosaic", "region_mosaic"}),
        ({"seamline": True}, ALL),
        ({"crs": "EPSG:3035"}, ALL),
    ],
)
def test_only_who_reads_a_setting_runs_again_and_back_again_gives_the_same_bytes(settled, changes, stations):
    made, store = settled
    made()
    before = store_bytes(store)
    assert made(**changes) == stations
    made()
    assert store_bytes(store) == before
