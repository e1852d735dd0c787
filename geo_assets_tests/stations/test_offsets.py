"""Reflectance is what the ground has, whatever the metadata say of offsets; where nobody knows, a scene is left out."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.checks.acquire import offsets_are_applied_once
from geo_assets.domain.errors import ArchiveError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.orchestration.inspection import Evidence
from geo_assets.stations.fetch import fetched_scenes
from geo_assets.stations.line import Line
from geo_assets_tests.scenery.grounds import reflectance_of, stored
from geo_assets_tests.scenery.lines import (
    area_of,
    pixels_of,
    product_of,
    run_until,
    slices_within,
    small_line,
    store_bytes,
)
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
TILE_60 = tile_geobox(TILE, 60)
GEOBOX = TILE_60[600:900, 600:900]
BANDS = ("blue", "green", "red")
ALL_BANDS = (*BANDS, "swir16", "swir22")


def add(archive: SmallArchive, ground: str, added: int, says: str, *, day="2024-06-10", bands=ALL_BANDS, seed=1) -> str:
    """A scene of one ground; `says` what its metadata make of the counts that were added."""
    counts = stored(np_clipped(ground, seed), added)
    scl = np.full(GEOBOX.shape, 4, np.uint8)
    layers = {name: (counts[name], GEOBOX) for name in bands} | {"scl": (scl, GEOBOX)}
    name = archive.add(TILE, day, layers, added_counts=added)
    item = archive.item(name)
    flag, offset = added == 0, -added / 10_000
    if says in ("wrong", "flag wrong"):
        flag = not flag
    if says == "wrong":
        offset = -0.1 - offset
    item["properties"]["earthsearch:boa_offset_applied"] = flag
    if says == "nothing":
        del item["properties"]["earthsearch:boa_offset_applied"]
    for band in bands:
        item["assets"][band]["raster:bands"][0]["offset"] = offset
        if says == "nothing":
            del item["assets"][band]["raster:bands"][0]["offset"]
    return name


def np_clipped(ground: str, seed: int) -> dict[str, np.ndarray]:
    """Reflectance that both forms can hold: the shifted one stops at 1."""
    return {name: np.maximum(counts, 1) for name, counts in reflectance_of(ground, GEOBOX.shape, seed=seed).items()}


def line_of(archive: SmallArchive, store: Path, **settings) -> Line:
    usual = {"bands": list(BANDS), "area": area_of(GEOBOX), "mask": {"detectors": ["quality"]}}
    return small_line(archive.write(), store, **(usual | settings))


def red_of(line: Line, scene: str) -> np.ndarray:
    product = product_of(line, "fetch")
    return pixels_of(product, f"{scene}.reflectance.tif", slices_within(GEOBOX, TILE_60))[BANDS.index("red")]


def offset_rows(line: Line, station: str = "scout") -> list[dict]:
    return [row for row in product_of(line, station).manifest.ledger if row["outcome"] == "offset tested"]


@pytest.mark.parametrize("says", ["the truth", "wrong", "flag wrong", "nothing"])
@pytest.mark.parametrize("added", [0, 1000])
@pytest.mark.parametrize("ground", ["land", "water"])
def test_reflectance_is_that_of_the_ground_whatever_the_metadata_say(ground, added, says, tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    scene = add(archive, ground, added, says)
    line = line_of(archive, tmp_path / "store")
    run_until(line, "fetch")
    assert_array_equal(red_of(line, scene), np_clipped(ground, 1)["red"])
    (row,) = offset_rows(line)
    assert row["offset_decided_dn"] == -added
    assert row["offset_disagrees"] == (row["offset_asserted_dn"] != -added)
    assert row["offset_disagrees"] == (says == "wrong" or (says == "flag wrong") or (says == "nothing" and added == 0))


def test_a_desert_goes_by_its_metadata_as_long_as_they_agree(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    scene = add(archive, "desert", 1000, "the truth")
    line = line_of(archive, tmp_path / "store")
    run_until(line, "fetch")
    assert_array_equal(red_of(line, scene), np_clipped("desert", 1)["red"])
    assert offset_rows(line)[0]["offset_decided_dn"] is None


def test_a_desert_in_doubt_is_left_out_as_if_the_region_excluded_it_and_the_ledger_says_why(tmp_path):
    products = {}
    for way in ("in doubt", "excluded"):
        archive = SmallArchive(tmp_path / way / "archive")
        doubtful = add(archive, "desert", 1000, "flag wrong", day="2024-06-05")
        others = [
            add(archive, "land", added, "the truth", day=day)
            for added, day in ((0, "2024-06-10"), (1000, "2024-06-15"))
        ]
        exclude = [doubtful] if way == "excluded" else []
        line = line_of(archive, tmp_path / way / "store", selection={"top_k": 2, "exclude": exclude})
        run_until(line, "monthly_composite")
        assert [scene.id for scene in fetched_scenes(line, product_of(line, "fetch").place)] == others
        products[way] = line
    withdrawn = [
        row for row in product_of(products["in doubt"], "scout").manifest.ledger if row["outcome"] == "excluded"
    ]
    assert [row["scene"] for row in withdrawn] == [doubtful]
    assert "too bright to tell" in withdrawn[0]["reason"]
    composites = [product_of(line, "monthly_composite").bytes("composite.tif") for line in products.values()]
    assert composites[0] == composites[1]


def test_a_month_whose_offsets_nobody_knows_is_an_error_that_says_what_to_do(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    scene = add(archive, "desert", 1000, "flag wrong")
    line = line_of(archive, tmp_path / "store")
    with pytest.raises(ArchiveError, match=rf"none of its scenes can be used \({scene}\).*selection.exclude"):
        run_until(line, "scout")


def test_pixels_of_an_older_baseline_are_not_asked(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    add(archive, "land", 0, "nothing")
    archive.items[0]["properties"]["s2:processing_baseline"] = "02.14"
    line = line_of(archive, tmp_path / "store")
    run_until(line, "fetch")
    assert offset_rows(line) == []
    assert product_of(line, "scout").manifest.metrics["offsets_tested"] == 0


@pytest.mark.parametrize("lost", [None, "blue"])
def test_bands_that_are_not_used_have_a_say_too_and_one_that_is_lost_is_done_without(lost, tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    scene = add(archive, "water", 1000, "flag wrong")
    if lost:
        (archive.folder / scene / f"{lost}.tif").unlink()
    line = line_of(archive, tmp_path / "store", bands=["red"])
    run_until(line, "fetch")
    found = pixels_of(product_of(line, "fetch"), f"{scene}.reflectance.tif", slices_within(GEOBOX, TILE_60))[0]
    assert_array_equal(found, np_clipped("water", 1)["red"])


def test_offsets_found_on_l1c_hold_for_its_cloud_probability_too(tmp_path):
    """The same top-of-atmosphere counts, with and without the offset, and metadata that are wrong about it."""
    shares = []
    for added in (0, 1000):
        archive = SmallArchive(tmp_path / f"archive-{added}")
        reflectance = np_clipped("land", 1)
        others = dict.fromkeys(("coastal", "rededge1", "nir", "nir08", "nir09", "cirrus"), reflectance["red"])
        counts = stored(reflectance | others, added)
        name = archive.add(
            TILE,
            "2024-06-10",
            {band: (values, GEOBOX) for band, values in counts.items()},
            level="L1C",
            added_counts=1000 - added,
            baseline="05.10",
        )
        line = line_of(archive, tmp_path / f"store-{added}", level="L1C", mask={"detectors": ["s2cloudless"]})
        run_until(line, "monthly_composite")
        assert {row["offset_decided_dn"] for row in offset_rows(line)} == {-added}
        assert fetched_scenes(line, product_of(line, "fetch").place)[0].id == name
        shares.append(product_of(line, "hybrid_mask").manifest.metrics["class_shares"])
        shares[-1] = list(shares[-1].values())
    assert shares[0] == shares[1]


def test_the_check_counts_what_pixels_corrected_and_refuses_counts_without_an_offset(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    add(archive, "land", 1000, "wrong", day="2024-06-05")
    add(archive, "land", 0, "the truth", day="2024-06-15")
    line = line_of(archive, tmp_path / "store")
    run_until(line, "fetch")
    manifest = product_of(line, "fetch").manifest
    verdict = offsets_are_applied_once(Evidence(line.region, manifest, dict))
    assert verdict.passed
    assert verdict.figures == {"items": 2, "odd": 0, "corrected": 1}
    rows = [dict(row) for row in manifest.ledger]
    rows[0]["offset_dn"] = 7
    spoiled = manifest.model_copy(update={"ledger": tuple(rows)})
    assert not offsets_are_applied_once(Evidence(line.region, spoiled, dict)).passed


def test_how_the_work_is_cut_changes_no_byte(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    for number, (ground, added, says) in enumerate(
        [("land", 1000, "wrong"), ("desert", 0, "flag wrong"), ("water", 0, "nothing")]
    ):
        add(archive, ground, added, says, day=f"2024-06-{10 + number}")
    archive.write()
    made = []
    for threads, unit_blocks in ((1, 1), (4, 3)):
        line = line_of(archive, tmp_path / f"store-{threads}", threads=threads, unit_blocks=unit_blocks)
        run_until(line, "fetch")
        made.append(store_bytes(tmp_path / f"store-{threads}"))
    assert made[0] == made[1]
