"""Histograms come back from their file as they went in, one by one; a damaged file says so."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import CorruptProductError
from geo_assets.io.histogram_file import HistogramReader, HistogramWriter
from geo_assets.kernels.histogram import reflectance_histogram


def histogram(seed):
    return reflectance_histogram(np.random.default_rng(seed).normal(1500, 60, (3, 20, 30)).astype(np.int16))


def written(path):
    with HistogramWriter(path) as writer:
        for seed in (1, 2):
            writer.write(f"tiles/{seed}", histogram(seed).packed())
    return path


def test_what_was_written_is_read_and_the_bytes_are_the_same_twice(tmp_path):
    path = written(tmp_path / "histograms.npz")
    with HistogramReader(path) as reader:
        for seed in (2, 1):
            assert_array_equal(reader.read(f"tiles/{seed}").unpacked().counts, histogram(seed).counts)
    assert written(tmp_path / "again.npz").read_bytes() == path.read_bytes()
    with np.load(path) as arrays:
        assert_array_equal(arrays["tiles/2/bins"], histogram(2).packed().bins)


def test_a_damaged_or_missing_histogram_is_named(tmp_path):
    path = written(tmp_path / "histograms.npz")
    with HistogramReader(path) as reader, pytest.raises(CorruptProductError, match="tiles/3"):
        reader.read("tiles/3")
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    with HistogramReader(path) as reader, pytest.raises(CorruptProductError, match="tiles/1"):
        reader.read("tiles/1")
    path.write_bytes(b"no archive")
    with pytest.raises(CorruptProductError, match=r"histograms\.npz"):
        HistogramReader(path)
