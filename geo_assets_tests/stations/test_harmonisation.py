"""Tiles in different light, of two zones, are brought to agree, by stations that only some regions have."""

import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from geo_assets.api import places_of
from geo_assets.domain.errors import CorruptProductError
from geo_assets.kernels.mosaicking.blending import Correction
from geo_assets.stations.catalog import STATIONS, stations_of
from geo_assets.stations.harmonisation import HARMONISATION, OVERLAP_STATISTICS, corrections_of, pair_seams
from geo_assets.stations.line import Line, run_station
from geo_assets_tests.scenery.composites import composite_line, noise, put_composite, run_mosaics
from geo_assets_tests.scenery.lines import product_of, store_bytes
from geo_assets_tests.scenery.uneven_tiles import LIGHT, TILES, put_uneven_composites, uneven_line


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("uneven") / "store"


@pytest.fixture(scope="module")
def harmonised(folder) -> Line:
    line = uneven_line(folder, harmonise="gain_offset", seamline=True)
    assert set(line.region.tile_ids) == set(TILES)
    put_uneven_composites(line)
    run_mosaics(line)
    return line


def apart(line: Line, ground: np.ndarray, band: int) -> float:
    """The most that two tiles differ on some ground, counts, after correction."""
    product = product_of(line, "harmonisation")
    seen = []
    for tile, (gain, offset) in LIGHT.items():
        given = corrections_of(product, tile)[band]
        seen.append(given.gain * (gain * ground + offset) + given.offset)
    return max(float(np.abs(one - other).max()) for one, other in combinations(seen, 2))


def test_the_light_of_every_tile_is_undone_across_the_zone_edge(harmonised):
    assert apart(harmonised, np.linspace(500, 1700, 5), band=0) < 8
    assert apart(harmonised, np.linspace(1500, 5500, 5), band=1) < 20
    found = product_of(harmonised, "harmonisation").manifest.metrics
    assert found["left_alone"] == {}
    assert found["refused"] == []
    assert found["overlap_bias_after"] < 0.0005 < 0.005 < found["overlap_bias_before"]
    assert found["overlap_rmse_after"] < found["overlap_rmse_before"] / 5
    for band in ("red", "nir"):
        assert np.mean(list(found["gains"][band].values())) == pytest.approx(1, abs=1e-6)


def test_the_mosaics_are_blended_from_harmonised_tiles(harmonised):
    for tile in TILES:
        metrics = product_of(harmonised, "seam_blended_mosaic", tile).manifest.metrics
        assert abs(metrics["overlap_bias"]) < 0.001
        assert metrics["outside_inputs_px"] == 0


def test_a_pair_belongs_to_the_tile_whose_id_is_smaller(harmonised):
    products = {tile: product_of(harmonised, "overlap_statistics", tile) for tile in TILES}
    *others, last = products.values()
    assert {product.manifest.status for product in others} == {"done"}
    assert last.manifest.status == "empty"
    assert "whose ids are smaller" in last.manifest.reason
    second = TILES[1]
    assert set(products[second].manifest.metrics["samples"]) == {f"{second}+{other}" for other in TILES[2:]}
    seams = pair_seams(products.values())
    assert set(seams) == set(combinations(TILES, 2))
    assert all(set(np.unique(seam.label)) == {0, 1} for seam in seams.values())


def test_threads_and_units_change_no_byte_and_a_second_run_makes_nothing(harmonised, folder, tmp_path):
    store, made_anew = shutil.copytree(folder, tmp_path / "store"), set()
    for station in ("overlap_statistics", "harmonisation", "seam_blended_mosaic", "region_mosaic"):
        shutil.rmtree(store / "small" / station)
    line = uneven_line(store, threads=1, unit_blocks=1, harmonise="gain_offset", seamline=True)
    for place, outcome in run_mosaics(line).items():
        made_anew |= set() if outcome.reused else {place.station}
    assert made_anew == {"overlap_statistics", "harmonisation", "seam_blended_mosaic", "region_mosaic"}
    first, second = store_bytes(folder), store_bytes(store)
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert all(outcome.reused for outcome in run_mosaics(line).values())


def test_a_killed_run_keeps_the_pairs_that_were_done(harmonised, folder, monkeypatch):
    from geo_assets.stations import harmonisation

    honest, asked = harmonisation.overlap_means, []

    def broken(first, second):
        asked.append((first.name, second.name))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return honest(first, second)

    line = uneven_line(folder, threads=1, harmonise="gain_offset", seamline=False)
    place = OVERLAP_STATISTICS.place(next(one for one in line.region.tile_months if one.tile == TILES[0]))
    monkeypatch.setattr(harmonisation, "overlap_means", broken)
    with pytest.raises(KeyboardInterrupt):
        run_station(line, OVERLAP_STATISTICS, place)
    outcome = run_station(line, OVERLAP_STATISTICS, place)
    assert sorted(asked) == [(TILES[0], other) for other in (TILES[1], TILES[2], TILES[2], TILES[3])]
    assert not pair_seams([outcome.product])


def test_stations_are_in_the_line_only_where_the_region_asks_for_them(harmonised, tmp_path):
    def names(**mosaic):
        region = uneven_line(tmp_path / "store", **mosaic).region
        line = [station.name for station in stations_of(region)]
        assert {place.station for place in places_of(region)} == set(line)
        return {HARMONISATION.name, OVERLAP_STATISTICS.name} & set(line), len(line)

    assert names() == (set(), len(STATIONS) - 2)
    assert names(harmonise="gain") == ({"overlap_statistics", "harmonisation"}, len(STATIONS))
    assert names(seamline=True) == ({"overlap_statistics"}, len(STATIONS) - 1)
    order = [station.name for station in stations_of(harmonised.region)]
    assert order.index("monthly_composite") < order.index("overlap_statistics") < order.index("harmonisation")
    assert order.index("harmonisation") < order.index("seam_blended_mosaic")


def test_a_file_without_a_tile_names_the_remedy(harmonised):
    with pytest.raises(CorruptProductError, match=r"no correction of tile 33TVL.*backfill"):
        corrections_of(product_of(harmonised, "harmonisation"), "33TVL")


def test_offsets_are_said_in_counts_in_the_file_and_in_reflectance_in_the_metrics(harmonised):
    product = product_of(harmonised, "harmonisation")
    document = json.loads(product.bytes("harmonisation.json"))["bands"]["nir"]
    for tile, given in document["offsets_dn"].items():
        assert corrections_of(product, tile)[1] == Correction(document["gains"][tile], given)
        assert product.manifest.metrics["offsets"]["nir"][tile] == pytest.approx(given / 10_000, abs=1e-9)


def test_a_month_without_any_overlap_is_empty(tmp_path):
    line = composite_line(tmp_path / "store", area=(0.9, 43.5, 0.95, 43.55), mosaic={"harmonise": "gain"})
    (tile,) = line.region.tile_ids
    put_composite(line, tile, noise(tile))
    run_mosaics(line)
    product = product_of(line, "harmonisation")
    assert product.manifest.status == "empty"
    assert "share ground" in product.manifest.reason
    assert corrections_of(product, tile) == ()
