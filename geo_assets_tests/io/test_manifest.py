"""Manifests: the same bytes for the same product, sealed, and honest about what changed them."""

import json

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from geo_assets.domain.errors import CorruptProductError, ProductError, SchemaError
from geo_assets.io.manifest import (
    LOST,
    FileEntry,
    GridRecord,
    Inputs,
    ItemInput,
    Manifest,
    canonical_json,
    digest_of,
    fingerprint,
)

ENTRY = FileEntry(name="a.tif", bytes=3, sha256="0" * 64, role="mask.codes", media_type="image/tiff")


def manifest(**changes):
    content = {
        "region": "valley",
        "station": "mask",
        "tile": "33TVL",
        "month": "2024-07",
        "status": "done",
        "fingerprint": "f" * 64,
        "inputs": Inputs(upstream={"fetch|33TVL|2024-07": "1" * 64}, items=(ItemInput(id="S2A"),)),
        "files": (ENTRY,),
        "grid": GridRecord(crs="EPSG:32633", transform=(20, 0, 399960, 0, -20, 5200020), shape=(5490, 5490)),
        "metrics": {"share": 0.1, "count": 3, "by_class": {"cloud": 1.0}},
        "ledger": ({"item": "S2A", "outcome": "read"},),
        "software": {"s2cloudless": "1.7"},
    }
    return Manifest(**{**content, **changes})


def test_a_manifest_survives_its_file():
    data = manifest().to_bytes()
    assert Manifest.from_bytes(data, where="x") == manifest()
    assert Manifest.from_bytes(data, where="x").to_bytes() == data
    assert data.endswith(b"}\n")


def test_every_truncation_and_every_flipped_byte_is_noticed():
    data = manifest().to_bytes()
    for at in range(0, len(data) - 1, 7):
        flipped = bytearray(data)
        flipped[at] ^= 1
        for damaged in (data[:at], bytes(flipped)):
            with pytest.raises((CorruptProductError, SchemaError), match="valley/mask/manifest"):
                Manifest.from_bytes(damaged, where="valley/mask/manifest.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff\xfe", b'{"schema_version": "1"}'])
def test_garbage_is_corrupt_and_the_remedy_named(data):
    with pytest.raises(CorruptProductError, match=r"where\.json.*`geo-assets backfill` rebuilds"):
        Manifest.from_bytes(data, where="where.json")


def test_a_newer_schema_is_not_touched():
    newer = canonical_json({**json.loads(manifest().to_bytes()), "schema_version": 2})
    with pytest.raises(SchemaError, match=r"newer geo_assets\. Upgrade"):
        Manifest.from_bytes(newer, where="x")


def test_a_sealed_record_of_another_shape_is_corrupt():
    content = {"schema_version": 1, "region": "valley"}
    sealed = canonical_json({**content, "seal": digest_of(content)})
    with pytest.raises(CorruptProductError, match="station: Field required"):
        Manifest.from_bytes(sealed, where="x")


def test_identical_files_made_otherwise_have_the_same_content_digest():
    other = manifest(fingerprint="e" * 64, metrics={}, inputs=Inputs(), software={}, grid=None)
    assert other.content_digest == manifest().content_digest


@pytest.mark.parametrize(
    "changes",
    [
        {"station": "composite"},
        {"status": "empty", "reason": "no scene"},
        {"files": ()},
        {"files": (ENTRY.model_copy(update={"sha256": "1" * 64}),)},
        {"files": (ENTRY.model_copy(update={"name": "b.tif"}),)},
        {"ledger": ({"item": "S2A", "outcome": LOST},)},
    ],
)
def test_the_content_digest_sees_what_a_reader_downstream_sees(changes):
    assert manifest(**changes).content_digest != manifest().content_digest


def test_only_lost_rows_of_the_ledger_are_content():
    retried = manifest(ledger=({"item": "S2A", "outcome": "read", "retries": 3},))
    assert retried.content_digest == manifest().content_digest


def test_the_words_in_which_a_loss_is_told_are_no_content():
    told = [manifest(ledger=({"item": "S2A", "outcome": LOST, "error": error},)) for error in ("gone", "gone again")]
    assert told[0].content_digest == told[1].content_digest


def test_a_fingerprint_sees_station_code_settings_and_inputs_but_no_order():
    one = fingerprint("mask", "1", {"a": 1, "b": [1, 2]}, {"x": "1", "y": "2"})
    assert fingerprint("mask", "1", {"b": (1, 2), "a": 1}, {"y": "2", "x": "1"}) == one
    others = [
        fingerprint("fetch", "1", {"a": 1, "b": [1, 2]}, {"x": "1", "y": "2"}),
        fingerprint("mask", "2", {"a": 1, "b": [1, 2]}, {"x": "1", "y": "2"}),
        fingerprint("mask", "1", {"a": 1, "b": [2, 1]}, {"x": "1", "y": "2"}),
        fingerprint("mask", "1", {"a": 1, "b": [1, 2]}, {"x": "1", "y": "3"}),
        fingerprint("mask", "1", {"a": 1, "b": [1, 2]}, {"x": "1"}),
    ]
    assert len({one, *others}) == 6


def test_items_are_identified_by_every_sign_of_their_version():
    item = ItemInput(id="S2A", baseline="05.00", generation="1", checksum="abc")
    versions = [item.model_copy(update={name: "other"}) for name in ("baseline", "generation", "checksum")]
    identities = {Inputs(items=(version,)).identities()["item:S2A"] for version in (item, *versions)}
    assert len(identities) == 4


def test_the_order_of_items_is_no_input_but_every_one_of_them_is():
    one, two, other = (
        ItemInput(id="S2A", checksum="1"),
        ItemInput(id="S2A", checksum="2"),
        ItemInput(id="S2B"),
    )
    assert Inputs(items=(one, two, other)).identities() == Inputs(items=(other, two, one)).identities()
    assert Inputs(items=(one, two)).identities() != Inputs(items=(two,)).identities()


def test_numpy_is_written_as_plain_numbers():
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": (np.int64(7), True), "d": np.bool_(True)}
    assert json.loads(canonical_json(value)) == {"a": 0.5, "b": [0, 1, 2], "c": [7, True], "d": True}


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), object(), {1: 2}, {1, 2}, b"x"])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(ProductError, match="expected finite numbers"):
        canonical_json({"value": value})


def test_a_grid_is_recorded_as_rasterio_would_have_it():
    geobox = GeoBox((5490, 5490), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633")
    record = GridRecord.of(geobox)
    assert record.crs == "EPSG:32633"
    assert record.transform == (20.0, 0.0, 399960.0, 0.0, -20.0, 5300040.0)
    assert record.shape == (5490, 5490)
