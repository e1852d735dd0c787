"""The data set's statistics follow a part that changed by taking it back, and nobody can tell afterwards."""

from io import BytesIO

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.domain.region import region_from
from geo_assets.io.histogram_file import HistogramReader
from geo_assets.io.products import Place, Product, Products
from geo_assets.io.stores.store import open_store
from geo_assets.kernels.histogram import merged, reflectance_histogram
from geo_assets.stations.line import Line, run_station
from geo_assets.stations.stats import DATASET_STATS, HISTOGRAM_FILE, NORMALIZATION_STATS
from geo_assets_tests.scenery.lines import VOLATILE

REGION = region_from(
    {
        "name": "statistics",
        "tiles": ["33TVL", "33TVM", "33TWM"],
        "months": {"first": "2024-05", "last": "2024-08"},
        "archive": "demo",
        "bands": ["red", "nir"],
        "resolution": 60,
    }
)
DATASET = Place("dataset_stats")


def part(seed):
    """A histogram of a few hundred pixels; None, an empty tile and month, for one seed in five."""
    random = np.random.default_rng(seed)
    return None if seed % 5 == 0 else reflectance_histogram(random.normal(1500, 60, (2, 20, 30)).astype(np.int16))


def put_part(line, tile_month, seed):
    histogram = part(seed)
    with line.products.building(NORMALIZATION_STATS.place(tile_month), fingerprint=f"{seed:064d}") as build:
        if histogram is None:
            build.empty("no valid pixel")
            return
        content = BytesIO()
        np.savez_compressed(content, counts=histogram.counts, nodata=histogram.nodata)
        build.put(HISTOGRAM_FILE, content.getvalue(), role="statistics.histogram", media_type="application/x-npz")


def line_of(folder, seeds):
    line = Line(REGION, Products(open_store(str(folder)), REGION.name), archive=None)
    for tile_month, seed in zip(REGION.tile_months, seeds, strict=True):
        put_part(line, tile_month, seed)
    return line


def files_of(line):
    folder = line.products.need(DATASET).folder
    keys = sorted(line.products.store.keys(folder))
    return {key: line.products.store.read(key) for key in keys if not key.endswith(VOLATILE)}


@pytest.fixture
def parts_read(monkeypatch):
    """The tiles and months whose histograms were read from the store."""
    read, real = [], Product.bytes

    def spied(product, name):
        if name == HISTOGRAM_FILE:
            read.append((str(product.place.month), product.place.tile))
        return real(product, name)

    monkeypatch.setattr(Product, "bytes", spied)
    return read


def test_only_the_part_that_changed_is_read_and_the_bytes_are_those_of_all_parts_read_again(tmp_path, parts_read):
    seeds = list(range(1, 13))
    line = line_of(tmp_path / "followed", seeds)
    run_station(line, DATASET_STATS, DATASET)
    assert len(parts_read) == 10  # two are empty
    parts_read.clear()

    seeds[5] = 77
    put_part(line, REGION.tile_months[5], 77)
    assert not run_station(line, DATASET_STATS, DATASET).reused
    assert parts_read == [(str(REGION.tile_months[5].month), REGION.tile_months[5].tile)]

    fresh = line_of(tmp_path / "fresh", seeds)
    run_station(fresh, DATASET_STATS, DATASET)
    assert files_of(fresh) == files_of(line)


@pytest.mark.parametrize("seed", range(3))
def test_any_history_of_changes_leaves_the_same_bytes(tmp_path, seed):
    random = np.random.default_rng(seed)
    seeds = random.integers(1, 40, len(REGION.tile_months))
    line = line_of(tmp_path / "followed", seeds)
    run_station(line, DATASET_STATS, DATASET)
    for _ in range(3):
        for index in random.integers(0, len(seeds), 3):
            seeds[index] = random.integers(0, 40)
            put_part(line, REGION.tile_months[index], seeds[index])
        run_station(line, DATASET_STATS, DATASET)
    fresh = line_of(tmp_path / "fresh", seeds)
    run_station(fresh, DATASET_STATS, DATASET)
    assert files_of(fresh) == files_of(line)


def test_a_month_that_became_empty_leaves_no_trace(tmp_path):
    line = line_of(tmp_path / "followed", range(1, 13))
    run_station(line, DATASET_STATS, DATASET)
    may = [tile_month for tile_month in REGION.tile_months if str(tile_month.month) == "2024-05"]
    seeds = [
        0 if tile_month in may else seed for tile_month, seed in zip(REGION.tile_months, range(1, 13), strict=True)
    ]
    for tile_month in may:
        put_part(line, tile_month, 0)
    run_station(line, DATASET_STATS, DATASET)
    fresh = line_of(tmp_path / "fresh", seeds)
    run_station(fresh, DATASET_STATS, DATASET)
    assert files_of(fresh) == files_of(line)
    assert "2024-05" not in line.products.need(DATASET).json("stats.json")["by_month"]


@pytest.mark.parametrize("name", ["parts.json", "sums.npz", "histograms-2024-07.npz", "manifest.json"])
@pytest.mark.parametrize("damage", ["other bytes", "gone"])
def test_a_damaged_older_product_is_made_again_from_all_parts(tmp_path, parts_read, name, damage):
    seeds = list(range(1, 13))
    line = line_of(tmp_path / "followed", seeds)
    run_station(line, DATASET_STATS, DATASET)
    expected = files_of(line)
    path = tmp_path / "followed" / line.products.need(DATASET).folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage == "other bytes":
        path.write_bytes(content)
    parts_read.clear()
    run_station(line, DATASET_STATS, DATASET)
    assert len(parts_read) == 10
    assert files_of(line) == expected


def test_the_sums_are_those_of_the_parts(tmp_path):
    line = line_of(tmp_path, range(1, 13))
    product = run_station(line, DATASET_STATS, DATASET).product
    parts = {tile_month: part(seed) for tile_month, seed in zip(REGION.tile_months, range(1, 13), strict=True)}
    expected = {
        "all": [found for found in parts.values() if found],
        "months/2024-06": [found for key, found in parts.items() if found and str(key.month) == "2024-06"],
        "tiles/33TVM": [found for key, found in parts.items() if found and key.tile == "33TVM"],
    }
    with HistogramReader(product.path("sums.npz")) as sums:
        for name, some in expected.items():
            assert_array_equal(sums.read(name).unpacked().counts, merged(some).counts)
    statistics = product.json("stats.json")
    assert statistics["by_tile"].keys() == {"33TVL", "33TVM", "33TWM"}
    assert statistics["by_month"]["2024-06"]["nir"]["pixels"] == int(merged(expected["months/2024-06"]).pixels[1])
    assert len(statistics["empty"]) == 2
