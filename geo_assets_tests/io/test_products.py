"""Products: nothing half made is visible, done means whole and wanted, and no state is guessed."""

import json
import logging
import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from geo_assets.domain.errors import (
    ArchiveTransientError,
    CorruptProductError,
    MissingProductError,
    ProductError,
    RegionError,
    ResourceError,
    SchemaError,
)
from geo_assets.domain.tile_month import Month, TileMonth
from geo_assets.io.building import without_secrets
from geo_assets.io.manifest import LOST, GridRecord, Inputs, RunRecord
from geo_assets.io.places import Place
from geo_assets.io.products import Products, State
from geo_assets.io.stores.leftovers import temporary_name
from geo_assets.io.stores.store import open_store

PLACE = Place("mask", "33TVL", Month(2024, 7))
FOLDER = "valley/mask/33TVL/2024-07"
OLD, NEW = "a" * 64, "b" * 64


def make(products, fingerprint=OLD, files=None, place=PLACE, **more):
    with products.building(place, fingerprint=fingerprint, **more) as build:
        for name, data in (files or {"codes.tif": b"codes", "probability.tif": b"prob"}).items():
            build.put(name, data, f"mask.{Path(name).stem}", "image/tiff")
    return build.manifest


def give_up(products, error, fingerprint=OLD):
    """Finish the unit `u`, put a file, then raise `error`."""
    with products.building(PLACE, fingerprint=fingerprint) as build:
        build.units.take("u", lambda: {"a": np.zeros(3)})
        build.put("codes.tif", b"other", "mask.codes", "image/tiff")
        raise error


def content_of(store, folder="valley"):
    return {key: store.read(key) for key in store.keys(folder) if not key.endswith("run.json")}


def test_a_place_is_a_folder():
    assert Place.of("mask", TileMonth("33TVL", Month(2024, 7))) == PLACE
    assert PLACE.folder == "mask/33TVL/2024-07"
    assert PLACE.key == "mask|33TVL|2024-07"
    assert Place("region_mosaic", month=Month(2024, 7)).folder == "region_mosaic/_region/2024-07"
    assert Place("dataset_stats").folder == "dataset_stats/_region/_all"
    with pytest.raises(ProductError, match="Station"):
        Place("../mask")


def test_a_product_is_found_with_its_files(products):
    make(products, inputs=Inputs(upstream={"fetch|33TVL|2024-07": "1" * 64}))
    product = products.need(PLACE)
    assert product.bytes("codes.tif") == b"codes"
    assert product.path("probability.tif").read_bytes() == b"prob"
    assert [file.name for file in product.files_with_role("mask")] == ["codes.tif", "probability.tif"]
    assert [file.name for file in product.files_with_role("mask.codes")] == ["codes.tif"]
    assert product.files_with_role("mas") == ()
    assert product.manifest.inputs.upstream == {"fetch|33TVL|2024-07": "1" * 64}
    assert product.digest == product.manifest.content_digest
    with pytest.raises(MissingProductError, match=r"codes\.tif, probability\.tif"):
        product.bytes("nothing.tif")


def test_json_files_are_parsed(products):
    make(products, files={"stats.json": b'{"mean": 0.1}'})
    assert products.need(PLACE).json("stats.json") == {"mean": 0.1}


def test_what_is_not_made_is_missing_with_the_command_that_makes_it(products):
    assert products.find(PLACE) is None
    assert products.state(PLACE, OLD) is State.MISSING
    with pytest.raises(MissingProductError, match=r"mask 33TVL 2024-07 is not made.*geo-assets backfill"):
        products.need(PLACE)


def test_the_same_work_leaves_the_same_bytes(products):
    make(products)
    first = content_of(products.store)
    make(products, files={"probability.tif": b"prob", "codes.tif": b"codes"})
    assert content_of(products.store) == first


def test_the_ledger_and_metrics_do_not_depend_on_the_order_of_threads(products):
    def made(rows):
        with products.building(PLACE, fingerprint=OLD) as build:
            build.put("a", b"x", "mask", "x/y")
            for row in rows:
                build.record(row)
                build.metric(f"of_{row['item']}", np.float64(0.5))
        return build.manifest.to_bytes()

    rows = [{"item": "S2B", "outcome": "read"}, {"item": "S2A", "outcome": LOST}]
    assert made(rows) == made(rows[::-1])


def test_done_is_the_wanted_fingerprint_and_untouched_files(products):
    make(products)
    assert products.done(PLACE, OLD).manifest == products.find(PLACE).manifest
    assert products.state(PLACE, OLD) is State.DONE
    assert products.state(PLACE) is State.DONE
    assert products.done(PLACE, NEW) is None
    assert products.state(PLACE, NEW) is State.STALE


def test_done_does_not_read_files_whose_stamps_are_as_sealed(products, monkeypatch):
    make(products)
    monkeypatch.setattr(type(products.store), "sha256", lambda *_: pytest.fail("a file was read"))
    assert products.done(PLACE, OLD) is not None


def test_a_flipped_byte_is_corrupt(products):
    make(products)
    products.store.write(f"{FOLDER}/codes.tif", b"codez")
    assert products.done(PLACE, OLD) is None
    condition = products.condition(PLACE, OLD)
    assert condition.state is State.CORRUPT
    assert "codes.tif has other bytes" in condition.reason
    with pytest.raises(CorruptProductError, match="backfill"):
        products.need(PLACE).bytes("codes.tif")


@pytest.mark.parametrize("data", [b"codes and more", b"code", b""])
def test_a_file_of_another_size_is_corrupt_without_being_read(products, monkeypatch, data):
    make(products)
    products.store.write(f"{FOLDER}/codes.tif", data)
    monkeypatch.setattr(type(products.store), "sha256", lambda *_: pytest.fail("a file was read"))
    assert products.state(PLACE, OLD) is State.CORRUPT


def test_a_file_that_is_gone_is_corrupt(products):
    make(products)
    products.store.delete(f"{FOLDER}/codes.tif")
    assert products.state(PLACE, OLD) is State.CORRUPT
    for read in (products.need(PLACE).bytes, products.need(PLACE).path):
        with pytest.raises(CorruptProductError, match="does not have it"):
            read("codes.tif")


def test_a_corrupt_product_is_rebuilt_to_the_same_bytes(products):
    make(products)
    first = content_of(products.store)
    products.store.write(f"{FOLDER}/codes.tif", b"codez")
    make(products)
    assert content_of(products.store) == first
    assert products.state(PLACE, OLD) is State.DONE


def test_a_touched_file_is_hashed_once_and_sealed_again(local_store, monkeypatch):
    products = Products(local_store, "valley")
    make(products)
    os.utime(Path(local_store.url) / FOLDER / "codes.tif", ns=(1, 1))
    assert products.done(PLACE, OLD) is not None
    monkeypatch.setattr(type(local_store), "sha256", lambda *_: pytest.fail("a file was read"))
    assert products.done(PLACE, OLD) is not None
    assert products.run(PLACE).started is not None


@pytest.mark.parametrize("run", [None, b"", b"{garbage"])
def test_a_lost_run_record_is_made_again(products, run):
    make(products)
    if run is None:
        products.store.delete(f"{FOLDER}/run.json")
    else:
        products.store.write(f"{FOLDER}/run.json", run)
    assert products.done(PLACE, OLD) is not None
    assert set(products.run(PLACE).seals) == {"codes.tif", "probability.tif"}


def test_a_reader_that_may_not_write_still_gets_a_verified_product(local_store, monkeypatch, caplog):
    products = Products(local_store, "valley")
    make(products)
    local_store.delete(f"{FOLDER}/run.json")

    def refuse(*_):
        raise ResourceError("Store: cannot write")

    monkeypatch.setattr(type(local_store), "write", refuse)
    with caplog.at_level(logging.INFO):
        assert products.done(PLACE, OLD) is not None
    assert "seals could not be written" in caplog.text


def test_a_truncated_manifest_is_corrupt_and_rebuilt(products):
    make(products)
    whole = products.store.read(f"{FOLDER}/manifest.json")
    products.store.write(f"{FOLDER}/manifest.json", whole[: len(whole) // 2])
    assert products.done(PLACE, OLD) is None
    assert products.state(PLACE) is State.CORRUPT
    with pytest.raises(CorruptProductError, match=r"manifest\.json.*backfill"):
        products.need(PLACE)
    make(products)
    assert products.store.read(f"{FOLDER}/manifest.json") == whole


def test_a_newer_manifest_is_never_taken_for_work_to_do(products):
    make(products)
    newer = json.loads(products.store.read(f"{FOLDER}/manifest.json")) | {"schema_version": 9}
    products.store.write(f"{FOLDER}/manifest.json", json.dumps(newer).encode())
    for ask in (products.find, products.state, lambda place: products.done(place, OLD)):
        with pytest.raises(SchemaError, match="newer geo_assets"):
            ask(PLACE)


@pytest.mark.parametrize(
    "place",
    [
        Place("fetch", "33TVL", Month(2024, 7)),
        Place("mask", "33TVM", Month(2024, 7)),
        Place("mask", "33TVL", Month(2024, 8)),
        Place("mask"),
    ],
)
def test_a_manifest_in_another_products_folder_is_refused(products, place):
    make(products)
    products.store.write(f"valley/{place.folder}/manifest.json", products.store.read(f"{FOLDER}/manifest.json"))
    with pytest.raises(SchemaError, match="found the manifest of region valley, mask 33TVL 2024-07"):
        products.find(place)


def test_a_manifest_in_another_regions_folder_is_refused(products):
    make(products)
    products.store.write(f"plain/{PLACE.folder}/manifest.json", products.store.read(f"{FOLDER}/manifest.json"))
    with pytest.raises(SchemaError, match="expected region plain"):
        Products(products.store, "plain").find(PLACE)


def test_an_empty_product_says_why(products):
    with products.building(PLACE, fingerprint=OLD) as build:
        build.empty("no scene with valid pixels")
    condition = products.condition(PLACE, OLD)
    assert condition.state is State.EMPTY
    assert condition.reason == "no scene with valid pixels"
    assert products.done(PLACE, OLD).manifest.status == "empty"


def test_a_product_of_nothing_is_refused(products):
    build = products.building(PLACE, fingerprint=OLD)
    with pytest.raises(ProductError, match="declare the product empty"), build:
        pass
    assert products.find(PLACE) is None


@pytest.mark.parametrize("name", ["manifest.json", "run.json", "failed.json", ".units/x", "../x", "a.tif"])
def test_reserved_unsafe_and_repeated_names_are_refused(products, name):
    with products.building(PLACE, fingerprint=OLD) as build:
        build.put("a.tif", b"x", "mask", "x/y")
        with pytest.raises(ProductError):
            build.put(name, b"x", "mask", "x/y")
    assert [file.name for file in build.manifest.files] == ["a.tif"]


def test_an_exception_publishes_nothing_and_keeps_the_old_product_and_the_units(products):
    make(products)
    before = content_of(products.store)
    with pytest.raises(ArchiveTransientError):
        give_up(products, ArchiveTransientError("the catalogue is away"), NEW)
    after = content_of(products.store)
    assert after.items() >= before.items()
    assert set(after) - set(before) == {f"{FOLDER}/.units/{NEW}/u.unit", f"{FOLDER}/failed.json"}
    assert products.done(PLACE, OLD) is not None
    condition = products.condition(PLACE, NEW)
    assert condition.state is State.FAILED
    assert "the catalogue is away" in condition.reason


def test_success_clears_the_failure_all_units_and_what_older_products_left(products):
    make(products, files={"codes.tif": b"codes", "old/layer.tif": b"layer"})
    with pytest.raises(ValueError, match="bad"):
        give_up(products, ValueError("bad"), "c" * 64)
    assert products.state(PLACE, "c" * 64) is State.FAILED
    make(products, NEW)
    assert list(products.store.keys("valley")) == [
        f"{FOLDER}/{name}" for name in ("codes.tif", "manifest.json", "probability.tif", "run.json")
    ]
    assert products.state(PLACE, NEW) is State.DONE
    assert products.failure(PLACE) is None


def test_begun_and_stopped_is_incomplete_and_begun_and_raised_is_failed(products):
    with pytest.raises(KeyboardInterrupt):
        give_up(products, KeyboardInterrupt())
    assert products.state(PLACE, OLD) is State.INCOMPLETE
    with pytest.raises(ValueError, match="bad"):
        give_up(products, ValueError("bad"))
    assert products.state(PLACE) is State.FAILED


def test_finished_units_are_taken_up_and_counted(products):
    with pytest.raises(KeyboardInterrupt):
        give_up(products, KeyboardInterrupt())
    with products.building(PLACE, fingerprint=OLD) as build:
        build.units.take("u", lambda: pytest.fail("made a second time"))
        build.units.take("u2", lambda: {"a": np.ones(3)})
        build.put("a", b"x", "mask", "x/y")
    units = products.run(PLACE).units
    assert (units.computed, units.reused) == (1, 1)


def test_the_manifest_holds_nothing_volatile_and_the_run_record_does(products):
    make(products)
    run = products.run(PLACE)
    assert datetime.fromisoformat(run.started) <= datetime.fromisoformat(run.finished)
    assert run.pid == os.getpid()
    manifest = products.store.read(f"{FOLDER}/manifest.json").decode()
    assert run.host not in manifest
    assert run.started[:10] not in manifest


def test_bytes_that_the_store_changed_on_the_way_are_noticed_and_not_published(products, monkeypatch):
    monkeypatch.setattr(type(products.store), "sha256", lambda *_: "0" * 64)
    with pytest.raises(CorruptProductError, match="read back"):
        make(products)
    assert products.find(PLACE) is None
    assert products.state(PLACE, OLD) is State.FAILED


def test_a_file_from_elsewhere_is_copied_and_one_from_scratch_moved(products, tmp_path):
    mine = tmp_path / "mine.tif"
    mine.write_bytes(b"mine")
    with products.building(PLACE, fingerprint=OLD) as build:
        built = build.scratch("layers/built.tif")
        built.write_bytes(b"built")
        build.put("mine.tif", mine, "mask", "image/tiff")
        build.put("built.tif", built, "mask", "image/tiff")
        with pytest.raises(ProductError, match="still building"):
            _ = build.manifest
    assert mine.read_bytes() == b"mine"
    assert not built.parent.parent.exists()
    assert products.need(PLACE).bytes("built.tif") == b"built"


def test_a_product_says_on_which_grid_it_lies(products):
    geobox = GeoBox((4, 3), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633")
    with products.building(PLACE, fingerprint=OLD) as build:
        build.lies_on(geobox)
        build.empty("no scene")
    assert products.need(PLACE).manifest.grid == GridRecord.of(geobox)


def test_a_store_that_cannot_be_written_fails_as_ours_and_hides_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    products = Products(open_store(str(tmp_path / "file" / "store")), "valley")
    with pytest.raises(ResourceError, match="GEO_ASSETS_STORE"):
        make(products)
    assert "could not be recorded" in caplog.text


def test_a_name_that_is_no_folder_cannot_be_a_region(local_store):
    for name in ("a/b", ".hidden"):
        with pytest.raises(RegionError):
            Products(local_store, name)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("GET https://host/a.tif?se=2024&sig=HUSH failed", "GET https://host/a.tif?... failed"),
        ("s3://user:HUSH@bucket/key", "s3://bucket/key"),
        ("Authorization: Bearer HUSH.x-y", "Authorization: Bearer ..."),
        ("{'aws_secret_access_key': 'HUSH', 'n': 1}", "{'aws_secret_access_key': '...', 'n': 1}"),
        ("token=HUSH;next", "token=...;next"),
        ("key AKIAHUSHHUSHHUSH1 is unknown", "key ... is unknown"),
        ("tile 33TVL: 3 != 4", "tile 33TVL: 3 != 4"),
    ],
)
def test_recorded_failures_hold_no_secrets(text, kept):
    assert without_secrets(text) == kept


def test_long_failures_are_cut():
    assert len(without_secrets("x" * 10_000)) < 600


def test_a_region_claims_its_folder_once_and_widens_it(products):
    products.claim_region({"tiles": ["33TVL"], "resolution": 20})
    first = products.store.stat("valley/region.json")
    products.claim_region({"tiles": ["33TVL"], "resolution": 20})
    assert products.store.stat("valley/region.json") == first
    products.claim_region({"tiles": ["33TVM", "33TVL"], "resolution": 20})
    record = json.loads(products.store.read("valley/region.json"))
    assert record == {"name": "valley", "resolution": 20, "schema_version": 1, "tiles": ["33TVL", "33TVM"]}


def test_a_store_of_another_region_is_refused_with_the_remedy(products):
    products.claim_region({"tiles": ["33TVL"]})
    with pytest.raises(SchemaError, match=r"33TVL.*32UQA.*GEO_ASSETS_STORE"):
        products.claim_region({"tiles": ["32UQA"]})
    assert json.loads(products.store.read("valley/region.json"))["tiles"] == ["33TVL"]


def test_a_region_record_of_a_newer_schema_or_of_garbage_is_refused(products):
    products.store.write("valley/region.json", b'{"schema_version": 2}')
    with pytest.raises(SchemaError, match="newer"):
        products.claim_region({"tiles": ["33TVL"]})
    products.store.write("valley/region.json", b"{garb")
    with pytest.raises(CorruptProductError, match=r"region\.json"):
        products.claim_region({"tiles": ["33TVL"]})


def test_leftovers_of_killed_runs_go_with_the_next_build(local_store):
    products = Products(local_store, "valley")
    machine = temporary_name().split("-")[2]
    dead = Path(local_store.url) / FOLDER / f".tmp-999999999-{machine}-00"
    dead.mkdir(parents=True)
    (dead / "half.tif").write_bytes(b"half")
    make(products)
    assert not dead.exists()


def test_run_records_survive_their_file():
    record = RunRecord(started="2024-07-01T00:00:00+00:00", seals={"a": (1, "2")})
    assert RunRecord.from_bytes(record.to_bytes()) == record
