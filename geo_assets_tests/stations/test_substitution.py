"""A lost file costs its scene, and the next one takes its place, as if the lost one had never been there."""

from pathlib import Path

import numpy as np
import pytest

from geo_assets.domain.errors import AssetLostError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.stations.fetch import fetched_scenes
from geo_assets.stations.line import Line
from geo_assets.stations.status import products_using
from geo_assets_tests.scenery.lines import area_of, product_of, run_until, small_line, store_bytes
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
GEOBOX = tile_geobox(TILE, 60)[440:640, 440:640]
"""The corner of four blocks."""
DAYS = ("2024-06-03", "2024-06-08", "2024-06-13", "2024-06-18")
CLOUDY = (slice(0, 20), slice(20, 60), slice(60, 120), slice(120, 200))
"""Columns under cloud: the first day is the clearest, the last the cloudiest."""
CHOICES = {"a fixed number": {"top_k": 2}, "as many as it takes": {"coverage_target": 1.0, "min_k": 2, "max_k": 3}}


def filled(folder: Path) -> tuple[SmallArchive, list[str]]:
    """An archive of four scenes, and their ids in the order of their clear shares."""
    archive, names = SmallArchive(folder), []
    for number, (day, cloudy) in enumerate(zip(DAYS, CLOUDY, strict=True)):
        draw = np.random.default_rng(number)
        scl = np.full(GEOBOX.shape, 4, np.uint8)
        scl[:, cloudy] = 9
        bands = {name: (draw.integers(1100, 5000, GEOBOX.shape).astype(np.uint16), GEOBOX) for name in ("red", "nir")}
        names.append(archive.add(TILE, day, {**bands, "scl": (scl, GEOBOX)}, added_counts=1000))
    archive.write()
    return archive, names


def line_of(archive: SmallArchive, store: Path, *, threads=2, unit_blocks=1, **selection) -> Line:
    settings = {"bands": ["red", "nir"], "area": area_of(GEOBOX, margin_m=300), "mask": {"detectors": ["quality"]}}
    return small_line(archive.folder, store, threads=threads, unit_blocks=unit_blocks, selection=selection, **settings)


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def spoil_a_block(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    path.write_bytes(content)


def lost_rows(line: Line, station: str) -> list[dict]:
    return [row for row in product_of(line, station).manifest.ledger if row["outcome"] == "lost"]


def pixels(line: Line) -> dict[str, bytes]:
    """Every file of the composite."""
    product = product_of(line, "monthly_composite")
    return {file.name: product.bytes(file.name) for file in product.manifest.files}


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, Line]:
    """Way of choosing -> the finished line of a region that excludes the clearest scene."""
    folder = tmp_path_factory.mktemp("clean")
    archive, names = filled(folder / "archive")
    lines = {
        choice: line_of(archive, folder / choice, exclude=[names[0]], **settings)
        for choice, settings in CHOICES.items()
    }
    for line in lines.values():
        run_until(line, "monthly_composite")
    return lines


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(
    ("damage", "layer", "station"),
    [
        (remove, "scl", "scout"),
        (cut, "scl", "scout"),
        (remove, "nir", "fetch"),
        (cut, "nir", "fetch"),
        (spoil_a_block, "nir", "fetch"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_products_are_those_of_a_clean_run_without_the_scene(damage, layer, station, choice, clean, tmp_path):
    archive, names = filled(tmp_path / "archive")
    damage(archive.folder / names[0] / f"{layer}.tif")
    line = line_of(archive, tmp_path / "store", **CHOICES[choice])
    run_until(line, "monthly_composite")

    (row,) = lost_rows(line, station)
    assert (row["scene"], row["item"], row["band"]) == (names[0], names[0], layer)
    assert row["href"] == f"{names[0]}/{layer}.tif"
    assert row["error"].startswith(f"Item {names[0]}, band {layer}")
    place = product_of(line, "fetch").place
    assert fetched_scenes(line, place) == fetched_scenes(clean[choice], place)
    assert pixels(line) == pixels(clean[choice])
    assert product_of(line, "fetch").manifest.metrics["scenes_withdrawn"] == (station == "fetch")


@pytest.mark.parametrize("choice", CHOICES)
def test_however_the_work_is_cut_the_same_loss_is_told_in_the_same_words(choice, tmp_path):
    archive, names = filled(tmp_path / "archive")
    cut(archive.folder / names[0] / "nir.tif")
    spoil_a_block(archive.folder / names[2] / "nir.tif")
    made = []
    for threads, unit_blocks in ((1, 1), (4, 3)):
        store = tmp_path / f"store-{threads}"
        line = line_of(archive, store, threads=threads, unit_blocks=unit_blocks, **CHOICES[choice])
        run_until(line, "monthly_composite")
        made.append(store_bytes(store))
    assert made[0] == made[1]
    assert {row["scene"] for row in lost_rows(line, "fetch")} == {names[0], names[2]}


def test_what_was_lost_is_part_of_what_a_product_is(clean, tmp_path):
    archive, names = filled(tmp_path / "archive")
    remove(archive.folder / names[0] / "nir.tif")
    line = line_of(archive, tmp_path / "store", top_k=2)
    run_until(line, "fetch")
    whole = product_of(clean["a fixed number"], "fetch")
    assert product_of(line, "fetch").manifest.files == whole.manifest.files
    assert product_of(line, "fetch").digest != whole.digest


def test_a_lost_scene_is_no_source_of_the_products_that_went_without_it(tmp_path):
    archive, names = filled(tmp_path / "archive")
    remove(archive.folder / names[0] / "nir.tif")
    line = line_of(archive, tmp_path / "store", top_k=2)
    run_until(line, "monthly_composite")
    users = {name: [place.station for place in products_using(line.products, line, name)] for name in names[:2]}
    assert users[names[0]] == ["scene_search", "scout"]
    assert users[names[1]] == ["scene_search", "scout", "fetch", "hybrid_mask", "monthly_composite"]


@pytest.mark.parametrize(("layer", "station"), [("scl", "scout"), ("nir", "fetch")])
def test_a_month_that_has_lost_every_scene_is_an_error_that_names_them(layer, station, tmp_path):
    archive, names = filled(tmp_path / "archive")
    for name in names:
        remove(archive.folder / name / f"{layer}.tif")
    line = line_of(archive, tmp_path / "store", top_k=2)
    with pytest.raises(AssetLostError, match=rf"{station} 33TVL 2024-06: none of its scenes can be used") as failure:
        run_until(line, "fetch")
    assert all(name in str(failure.value) for name in names)


def test_a_scene_that_is_left_when_the_others_are_lost_is_enough(tmp_path):
    archive, names = filled(tmp_path / "archive")
    for name in names[:3]:
        remove(archive.folder / name / "red.tif")
    line = line_of(archive, tmp_path / "store", top_k=2)
    run_until(line, "monthly_composite")
    assert [scene.id for scene in fetched_scenes(line, product_of(line, "fetch").place)] == names[3:]


def with_two_parts(archive: SmallArchive, names: list[str]) -> str:
    """The best scene gets a second datastrip, in the south of the first."""
    north, south = GEOBOX[:100], GEOBOX[100:]
    ids = []
    for sequence, part in ((7, north), (8, south)):
        scl, counts = np.full(part.shape, 4, np.uint8), np.full(part.shape, 3000, np.uint16)
        bands = {"red": (counts, part), "nir": (counts, part), "scl": (scl, part)}
        ids.append(
            archive.add(TILE, "2024-06-25", bands, added_counts=1000, sequence=sequence, datastrip=f"DS_{sequence}")
        )
    archive.write()
    return ids[0]


def test_a_scene_of_two_datastrips_goes_as_a_whole(tmp_path):
    archive, names = filled(tmp_path / "archive")
    scene = with_two_parts(archive, names)
    line = line_of(archive, tmp_path / "whole", top_k=2)
    run_until(line, "fetch")
    assert fetched_scenes(line, product_of(line, "fetch").place)[0].id == scene
    remove(archive.folder / scene.replace("_7_", "_8_") / "nir.tif")
    line = line_of(archive, tmp_path / "store", top_k=2)
    run_until(line, "fetch")
    assert [scene.id for scene in fetched_scenes(line, product_of(line, "fetch").place)] == names[:2]
    (row,) = lost_rows(line, "fetch")
    assert (row["scene"], row["item"]) == (scene, scene.replace("_7_", "_8_"))
