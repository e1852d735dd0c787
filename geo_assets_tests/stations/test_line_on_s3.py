"""The whole line with its products in S3, over HTTP: the same files as in a folder, and no secret in any of them."""

import logging

import pytest

from geo_assets.api import run_line
from geo_assets.domain.errors import ResourceError
from geo_assets.io.inspection import verify
from geo_assets.io.stores.leftovers import TEMPORARY_PREFIX
from geo_assets_tests.scenery.lines import VOLATILE, store_bytes
from geo_assets_tests.scenery.valley_line import KEY_ID, NAME, SECRET, Runs, open_valley, s3_access


@pytest.fixture
def s3_url(bucket):
    return f"s3://{bucket}/some/prefix"


def objects(store):
    """Every object by key, the volatile ones too."""
    return {key: store.read(key) for key in store.keys(NAME)}


def lasting(found):
    return {key: content for key, content in found.items() if key.rpartition("/")[2] not in VOLATILE}


def test_the_line_makes_the_same_files_in_s3_as_in_a_folder_and_makes_them_once(
    demo_archive, finished, s3_url, s3_endpoint, tmp_path, caplog
):
    caplog.set_level(logging.DEBUG)
    cache = tmp_path / "cache"
    line = open_valley(demo_archive, s3_url, s3=s3_access(s3_endpoint, cache))
    assert not any(outcome.reused for outcome in run_line(line))
    made = objects(line.products.store)
    assert lasting(made) == store_bytes(finished.store)
    assert list(verify(line.products)) == []

    # Another machine, with nothing in its cache, finds everything done and downloads nothing.
    again = open_valley(demo_archive, s3_url, s3=s3_access(s3_endpoint, tmp_path / "other-cache"))
    assert all(outcome.reused for outcome in run_line(again))
    assert objects(again.products.store) == made
    assert [path for path in (tmp_path / "other-cache").glob("**/*") if path.is_file()] == []

    cached = [path.name for path in cache.iterdir()]
    assert cached
    assert not [name for name in cached if name.startswith(TEMPORARY_PREFIX)]
    sealed = {file.sha256 for outcome in run_line(again) for file in outcome.product.manifest.files}
    assert {name.split(".")[0] for name in cached} <= sealed
    for secret in (SECRET, KEY_ID):
        assert [key for key, content in made.items() if secret.encode() in content] == []
        assert secret not in caplog.text


def test_a_failure_in_s3_is_told_without_secrets(demo_archive, s3_endpoint, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ResourceError, match="Create the bucket") as failure:
        open_valley(demo_archive, "s3://no-such-bucket/prefix", s3=s3_access(s3_endpoint, tmp_path / "cache"))
    for secret in (SECRET, KEY_ID):
        assert secret not in f"{failure.value!r} {failure.value} {caplog.text}"


@pytest.mark.slow
def test_a_line_killed_on_its_way_to_s3_leaves_no_scratch_and_ends_in_the_same_files(
    demo_archive, finished, s3_url, s3_endpoint, tmp_path
):
    cache = tmp_path / "cache"
    runs = Runs(demo_archive, tmp_path, store_url=s3_url)
    way = ("--endpoint", s3_endpoint, "--cache", str(cache))
    for station, after in (("fetch", 12), ("monthly_composite", 5), ("region_mosaic", 3)):
        runs.die(station, *way, after=after)
    assert [path for path in cache.iterdir() if path.name.startswith(TEMPORARY_PREFIX)]
    runs.finish(*way)
    assert not [path for path in cache.iterdir() if path.name.startswith(TEMPORARY_PREFIX)]
    line = open_valley(demo_archive, s3_url, s3=s3_access(s3_endpoint, cache))
    assert lasting(objects(line.products.store)) == store_bytes(finished.store)
    assert list(verify(line.products)) == []
    assert set(runs.noted("unit").values()) == {1}


@pytest.mark.slow
def test_two_lines_at_once_in_one_bucket_both_finish_and_agree(demo_archive, finished, s3_url, s3_endpoint, tmp_path):
    runs = Runs(demo_archive, tmp_path, store_url=s3_url)
    rivals = [runs.start("--endpoint", s3_endpoint, "--cache", str(tmp_path / f"cache-{n}")) for n in range(2)]
    for rival in rivals:
        _, errors = rival.communicate(timeout=240)
        assert rival.returncode == 0, errors.decode()
    line = open_valley(demo_archive, s3_url, s3=s3_access(s3_endpoint, tmp_path / "cache"))
    assert lasting(objects(line.products.store)) == store_bytes(finished.store)
    assert list(verify(line.products)) == []
