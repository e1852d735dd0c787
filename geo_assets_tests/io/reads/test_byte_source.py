"""Files on disk as sources of bytes."""

import os

import pytest

from geo_assets.domain.errors import AssetLostError
from geo_assets.io.reads.byte_source import LocalFile


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "red.tif"
    path.write_bytes(bytes(range(100)))
    return path


def test_spans_come_exactly_and_in_the_order_asked(path):
    source = LocalFile(path, "Item S2")
    found = source.read([(90, 100), (0, 3), (5, 5)])
    assert [bytes(span) for span in found] == [bytes(range(90, 100)), bytes([0, 1, 2]), b""]
    assert (source.size, source.attempts) == (100, 1)
    source.close()


@pytest.mark.parametrize(("length", "expected"), [(0, 0), (7, 7), (100, 100), (1_000, 100)])
def test_the_head_is_the_whole_file_if_it_is_shorter(path, length, expected):
    assert LocalFile(path, "Item S2").head(length) == bytes(range(expected))


@pytest.mark.parametrize("span", [(0, 101), (100, 10**18), (-1, 5), (9, 8)])
def test_a_span_beyond_the_file_is_refused_before_anything_is_allocated(path, span):
    with pytest.raises(AssetLostError, match=r"^Item S2: cannot be read .*the file has 100.*selection\.exclude"):
        LocalFile(path, "Item S2").read([span])


def test_a_refresh_reads_the_file_that_took_the_place(path, tmp_path):
    source = LocalFile(path, "Item S2")
    (tmp_path / "new").write_bytes(b"new")
    os.replace(tmp_path / "new", path)
    assert source.size == 100
    source.refresh()
    assert source.head(10) == b"new"


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_is_no_file_is_not_opened_nor_waited_for(tmp_path, kind):
    path = tmp_path / "red.tif"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(AssetLostError, match="Item S2: cannot be read"):
        LocalFile(path, "Item S2")


def test_an_address_of_gdals_is_just_a_missing_file():
    with pytest.raises(AssetLostError, match="No such file"):
        LocalFile("/vsicurl/http://127.0.0.1:1/red.tif", "Item S2")


def test_closing_twice_is_no_error(path):
    source = LocalFile(path, "Item S2")
    source.close()
    source.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        source.read([(0, 1)])
