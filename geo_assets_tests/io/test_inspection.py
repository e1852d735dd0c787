"""The inspector finds what is wrong, and only that."""

import os

import numpy as np
import pytest

from geo_assets.domain.tile_month import Month
from geo_assets.io.inspection import verify
from geo_assets.io.places import Place
from geo_assets.io.products import Products, State

PLACES = [Place("mask", tile, Month(2024, 7)) for tile in ("33TVL", "33TVM", "33TWL")]
FINGERPRINT = "a" * 64


@pytest.fixture
def region(products):
    products.claim_region({"tiles": ["33TVL", "33TVM", "33TWL"]})
    for place in PLACES:
        with products.building(place, fingerprint=FINGERPRINT) as build:
            build.put("codes.tif", f"codes of {place.tile}".encode(), "mask.codes", "image/tiff")
            build.put("layers/probability.tif", b"probability", "mask.probability", "image/tiff")
    return products


def give_up(region, place, error):
    with region.building(place, fingerprint=FINGERPRINT) as build:
        build.units.put("u", {"a": np.zeros(3)})
        raise error


def findings(region):
    return [(finding.kind, finding.key) for finding in verify(region)]


def test_a_sound_region_has_no_findings(region):
    assert findings(region) == []


def test_neither_has_one_that_is_not_there(products):
    assert findings(products) == []


def test_damage_is_named_file_by_file(region):
    store = region.store
    store.write("valley/mask/33TVL/2024-07/codes.tif", b"codes of 33TVX")
    store.delete("valley/mask/33TVM/2024-07/layers/probability.tif")
    store.write("valley/mask/33TWL/2024-07/extra.tif", b"x")
    assert findings(region) == [
        ("damaged", "valley/mask/33TVL/2024-07/codes.tif"),
        ("missing", "valley/mask/33TVM/2024-07/layers/probability.tif"),
        ("stray", "valley/mask/33TWL/2024-07/extra.tif"),
    ]
    assert all("backfill" in str(finding) or "delete it" in str(finding) for finding in verify(region))


def test_a_flipped_byte_is_found_even_when_size_and_time_are_unchanged(local_store):
    products = Products(local_store, "valley")
    with products.building(PLACES[0], fingerprint=FINGERPRINT) as build:
        build.put("codes.tif", b"codes", "mask.codes", "image/tiff")
    path = products.need(PLACES[0]).path("codes.tif")
    before = path.stat()
    path.write_bytes(b"codez")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert products.done(PLACES[0], FINGERPRINT) is not None
    assert findings(products) == [("damaged", "valley/mask/33TVL/2024-07/codes.tif")]
    assert products.done(PLACES[0], FINGERPRINT) is None
    assert products.state(PLACES[0], FINGERPRINT) is State.CORRUPT


def test_manifests_that_cannot_be_trusted_are_named(region):
    store = region.store
    whole = store.read("valley/mask/33TVL/2024-07/manifest.json")
    store.write("valley/mask/33TVL/2024-07/manifest.json", whole[:-20])
    store.write("valley/mask/33TVM/2024-07/manifest.json", whole)
    store.write("valley/region.json", b"garbage")
    found = findings(region)
    assert ("unreadable", "valley/mask/33TVL/2024-07/manifest.json") in found
    assert ("unreadable", "valley/mask/33TVM/2024-07/manifest.json") in found
    assert ("damaged", "valley/mask/33TVM/2024-07/codes.tif") in found
    assert ("unreadable", "valley/region.json") in found


def test_unfinished_partitions_and_foreign_files_are_named_and_failures_are_not(region):
    stopped, failed = (Place("fetch", tile, Month(2024, 7)) for tile in ("33TVL", "33TVM"))
    with pytest.raises(KeyboardInterrupt):
        give_up(region, stopped, KeyboardInterrupt())
    with pytest.raises(ValueError, match="bad"):
        give_up(region, failed, ValueError("bad"))
    region.store.delete_prefix(f"valley/{failed.folder}/.units")
    region.store.write("valley/notes.txt", b"mine")
    assert findings(region) == [
        ("incomplete", "valley/fetch/33TVL/2024-07"),
        ("stray", "valley/notes.txt"),
    ]


def test_units_that_outlived_their_product_are_named(region):
    region.store.write("valley/mask/33TVL/2024-07/.units/f/u.unit", b"x")
    assert findings(region) == [("stray", "valley/mask/33TVL/2024-07/.units")]


def test_what_outlived_a_product_goes_when_it_is_found_done(region):
    region.store.write("valley/mask/33TVL/2024-07/.units/f/u.unit", b"x")
    assert region.done(PLACES[0], FINGERPRINT) is not None
    assert findings(region) == []
