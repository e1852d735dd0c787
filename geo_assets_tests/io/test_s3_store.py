"""What only S3 can do wrong: credentials, buckets, endpoints and the cache of downloads."""

import hashlib
import os
import time
import traceback
from dataclasses import replace

import boto3
import pytest

from geo_assets.domain.errors import CorruptProductError, ResourceError
from geo_assets.io.stores.download_cache import DownloadCache
from geo_assets.io.stores.store import S3Access, open_store


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_a_missing_bucket_is_named_with_the_remedy_and_without_secrets(s3_access):
    store = open_store("s3://no-such-bucket/x", s3=s3_access)
    for attempt in (
        lambda: store.write("a", b"x"),
        lambda: store.read("a"),
        lambda: list(store.keys()),
        store.require_writable,
    ):
        with pytest.raises(ResourceError, match=r"NoSuchBucket.*Create the bucket") as refusal:
            attempt()
        shown = "".join(traceback.format_exception(refusal.value))
        assert "hush-hush" not in shown
        assert "key-id" not in shown
        assert "Debug source" not in shown  # obstore's own error, with its request


def test_neither_store_nor_access_print_the_session(s3_access, s3_store):
    for shown in (repr(s3_access), repr(s3_store), str(s3_store)):
        assert "Session" not in shown
        assert "hush-hush" not in shown


def test_without_credentials_the_remedy_is_named(s3_access):
    with pytest.raises(ResourceError, match="AWS_PROFILE"):
        open_store("s3://bucket", s3=replace(s3_access, session=boto3.session.Session()))


def test_an_unknown_profile_is_refused(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ResourceError, match="AWS_PROFILE"):
        open_store("s3://bucket")


def test_plain_http_needs_permission(s3_access):
    with pytest.raises(ResourceError, match="expected https"):
        open_store("s3://bucket", s3=replace(s3_access, allow_http=False))


def test_credentials_in_the_endpoint_are_refused_and_not_repeated():
    with pytest.raises(ResourceError) as refusal:
        open_store("s3://bucket", s3=S3Access(endpoint_url="https://user:hush@host"))
    assert "hush" not in str(refusal.value)


def test_our_endpoint_wins_over_the_environments(s3_access, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    store = open_store(f"s3://{bucket}", s3=s3_access)
    store.write("a", b"x")
    assert store.read("a") == b"x"


def test_a_download_is_verified_kept_and_named_like_its_file(s3_store):
    s3_store.write("a/b.tif", b"pixels")
    path = s3_store.local_path("a/b.tif", sha256(b"pixels"))
    assert path.read_bytes() == b"pixels"
    assert path.suffix == ".tif"
    s3_store.delete("a/b.tif")
    assert s3_store.local_path("a/b.tif", sha256(b"pixels")) == path


def test_a_download_of_other_bytes_is_refused_and_not_kept(s3_store, s3_access):
    s3_store.write("a", b"other")
    with pytest.raises(CorruptProductError, match="backfill"):
        s3_store.local_path("a", sha256(b"pixels"))
    assert os.listdir(s3_access.cache) == []


def test_a_damaged_cached_file_is_downloaded_again(s3_store, s3_access, bucket):
    s3_store.write("a", b"pixels")
    s3_store.local_path("a", sha256(b"pixels")).write_bytes(b"pixelz")
    fresh = open_store(f"s3://{bucket}/some/prefix", s3=s3_access)
    assert fresh.local_path("a", sha256(b"pixels")).read_bytes() == b"pixels"


def test_the_cache_drops_the_least_recently_used_but_nothing_in_use(tmp_path):
    cache = DownloadCache(tmp_path / "cache", max_bytes=25)
    for name, age_s in (("a" * 64, 9000), ("b" * 64, 8000), ("c" * 64, 0)):
        with cache.filling(name, ".tif") as (temporary, final):
            temporary.write_bytes(b"0123456789")
        os.utime(final, (time.time() - age_s,) * 2)
    with cache.filling("d" * 64, ".tif") as (temporary, _):
        temporary.write_bytes(b"0123456789")
    assert sorted(path.name[0] for path in cache.folder.iterdir()) == ["c", "d"]


def test_a_cache_that_is_not_a_folder_of_ours_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResourceError, match="another user"):
        _ = DownloadCache(tmp_path / "cache", max_bytes=1).folder
