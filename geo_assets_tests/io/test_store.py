"""What every store promises, local and S3 alike; and what only a folder can show."""

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from geo_assets.domain.errors import MissingProductError, ProductError, ResourceError
from geo_assets.io.stores import local_store as local_store_module
from geo_assets.io.stores.leftovers import TEMPORARY_PREFIX
from geo_assets.io.stores.store import check_key, open_store

LARGE = bytes(range(256)) * 80_000  # 20 MB: more than one part of a multipart upload


def test_what_is_written_is_read_back(store):
    stamp = store.write("a/b.bin", b"first")
    assert store.read("a/b.bin") == b"first"
    assert store.stat("a/b.bin") == stamp
    assert stamp.size == 5
    assert store.sha256("a/b.bin") == hashlib.sha256(b"first").hexdigest()


def test_a_second_write_replaces_the_first_and_changes_the_stamp(store):
    before = store.write("a", b"first")
    assert store.write("a", b"other") != before
    assert store.read("a") == b"other"


@pytest.mark.parametrize("data", [b"", b"small", LARGE], ids=["empty", "small", "multipart"])
def test_a_published_file_moves_into_the_store(store, data):
    folder = store.scratch("valley/here")
    path = folder / "built.tif"
    path.write_bytes(data)
    stamp = store.publish("valley/here/built.tif", path)
    assert not path.exists()
    assert store.stat("valley/here/built.tif") == stamp
    assert store.sha256("valley/here/built.tif") == hashlib.sha256(data).hexdigest()


def test_what_is_absent_is_missing_and_has_no_stamp(store):
    store.write("a/b", b"x")
    for key in ("nothing", "a", "a/b/c"):
        assert store.stat(key) is None
        with pytest.raises(MissingProductError, match="status"):
            store.read(key)
        with pytest.raises(MissingProductError):
            store.sha256(key)
        with pytest.raises(MissingProductError):
            store.local_path(key, "0" * 64)


def test_keys_are_sorted_by_their_characters_and_end_at_the_folder(store):
    for key in ("b", "a/z", "a-b/x", "a/b/c", "ab", "a/b.x"):
        store.write(key, b"")
    assert list(store.keys()) == sorted(["b", "a/z", "a-b/x", "a/b/c", "ab", "a/b.x"])
    assert list(store.keys("a")) == ["a/b.x", "a/b/c", "a/z"]
    assert list(store.keys("nowhere")) == []


def test_deleting_is_final_and_may_be_repeated(store):
    for key in ("a/1", "a/b/2", "ab/3"):
        store.write(key, b"x")
    for _ in range(2):
        store.delete("a/1")
        assert list(store.keys()) == ["a/b/2", "ab/3"]
    for _ in range(2):
        store.delete_prefix("a")
        assert list(store.keys()) == ["ab/3"]


def test_files_in_the_making_are_no_keys(store):
    (store.scratch("valley") / "half.tif").write_bytes(b"half")
    assert list(store.keys()) == []


def test_a_writable_store_passes_the_probe_and_keeps_nothing_of_it(store):
    store.require_writable()
    assert list(store.keys()) == []


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\\b", "a b", "a\n", "ä", "%2e", ".tmp-1", "a/.tmp-x/b"],
)
def test_a_key_that_could_leave_the_store_is_refused(store, key):
    with pytest.raises(ProductError, match="Store key"):
        store.write(key, b"x")
    with pytest.raises(ProductError, match="Store key"):
        check_key(key)


@pytest.mark.parametrize("url", ["gs://bucket/x", "s3://", "s3://UPPER", "file:///x", "", "  "])
def test_an_address_of_no_store_is_refused(url):
    with pytest.raises(ResourceError, match="Store"):
        open_store(url)


@pytest.mark.parametrize("url", ["s3://user:hush@bucket/x", "s3://bucket/x?token=hush"])
def test_secrets_in_an_address_are_refused_and_not_repeated(url):
    with pytest.raises(ResourceError) as refusal:
        open_store(url)
    assert "hush" not in str(refusal.value)


def test_readers_never_see_half_a_write(store):
    """One writer alternates two long contents while readers look: each look finds one of the two, whole."""
    contents = {bytes([value]) * 200_000 for value in (1, 2)}
    store.write("shared", next(iter(contents)))
    over = threading.Event()

    def alternate():
        for _ in range(8):
            for content in contents:
                store.write("shared", content)
        over.set()

    writer = threading.Thread(target=alternate)
    writer.start()
    seen = [store.read("shared")]
    while not over.is_set():
        seen.append(store.read("shared"))
    writer.join()
    assert set(seen) <= contents


def test_a_local_file_is_given_as_it_lies(local_store):
    local_store.write("a/b.tif", b"x")
    assert local_store.local_path("a/b.tif", "unread") == Path(local_store.url) / "a/b.tif"


def test_a_store_below_a_file_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    store = open_store(str(tmp_path / "file" / "store"))
    assert list(store.keys()) == []
    built = tmp_path / "built"
    built.write_bytes(b"x")
    for attempt in (
        lambda: store.write("a", b"x"),
        lambda: store.publish("a", built),
        lambda: store.scratch("a"),
        store.require_writable,
    ):
        with pytest.raises(ResourceError, match="GEO_ASSETS_STORE"):
            attempt()
    assert built.exists()


def test_a_write_that_fails_leaves_the_old_bytes_and_no_litter(local_store, monkeypatch):
    local_store.write("a", b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(local_store_module.os, "fsync", full)
    with pytest.raises(ResourceError, match="Free some space"):
        local_store.write("a", b"new")
    assert local_store.read("a") == b"old"
    assert os.listdir(local_store.url) == ["a"]


def test_a_file_from_another_file_system_is_copied_whole(local_store, tmp_path, monkeypatch):
    path = tmp_path / "elsewhere"
    path.write_bytes(b"content")
    rename = os.replace

    def across(source, target):
        if Path(source) == path:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(local_store_module.os, "replace", across)
    local_store.publish("a/b", path)
    assert local_store.read("a/b") == b"content"
    assert not path.exists()
    assert not [name for name in os.listdir(Path(local_store.url) / "a") if name.startswith(TEMPORARY_PREFIX)]


def test_a_lock_holds_others_off(local_store):
    order = []
    inside = threading.Event()

    def second():
        inside.wait()
        with local_store.exclusive("here"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with local_store.exclusive("here"):
        inside.set()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
