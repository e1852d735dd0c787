"""Statistics count what the composites hold, exactly, in whatever order and pieces they come."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.kernels.histogram import merged
from geo_assets.stations.ground import ground_of
from geo_assets.stations.stats import band_statistics, read_histogram
from geo_assets_tests.scenery.lines import pixels_of, product_of

NODATA, LOWEST = -32768, -32768


@pytest.fixture(scope="module")
def inside_values(demo_line):
    """Tile -> (band, pixel) int16: composite values inside the area, nodata included."""
    found = {}
    for tile in demo_line.region.tile_ids:
        ground = ground_of(demo_line.region, tile)
        inside = ground.inside(ground.extent())
        window = ground.extent().slices
        found[tile] = pixels_of(product_of(demo_line, "monthly_composite", tile), "composite.tif", window)[:, inside]
    return found


def test_a_histogram_is_numpys_over_the_area(demo_line, inside_values):
    for tile, values in inside_values.items():
        histogram = read_histogram(product_of(demo_line, "normalization_stats", tile))
        for band, found in enumerate(values):
            expected = np.bincount(found[found != NODATA].astype(np.int64) - LOWEST, minlength=65_536)
            assert_array_equal(histogram.counts[band], expected)
        assert_array_equal(histogram.nodata, (values == NODATA).sum(axis=1))


def test_the_data_sets_statistics_are_those_of_all_values_together(demo_line, inside_values):
    bands = product_of(demo_line, "dataset_stats").json("stats.json")["bands"]
    together = np.concatenate(list(inside_values.values()), axis=1)
    for name, values in zip(demo_line.region.bands, together, strict=True):
        values = np.sort(values[values != NODATA]) / 10_000
        low, high = values[int(np.ceil(0.01 * len(values))) - 1], values[int(np.ceil(0.99 * len(values))) - 1]
        clipped = values[(low <= values) & (values <= high)]
        found = bands[name]
        assert found["pixels"] == len(values)
        assert (found["percentiles"]["1"], found["percentiles"]["99"]) == pytest.approx((low, high), abs=1e-12)
        assert (found["mean"], found["std"]) == pytest.approx((values.mean(), values.std()), abs=1e-9)
        assert (found["clipped_mean"], found["clipped_std"]) == pytest.approx((clipped.mean(), clipped.std()), abs=1e-9)


def test_tiles_merge_in_any_order(demo_line):
    histograms = [
        read_histogram(product_of(demo_line, "normalization_stats", tile)) for tile in demo_line.region.tile_ids
    ]
    forwards, backwards = (band_statistics(demo_line.region, merged(some)) for some in (histograms, histograms[::-1]))
    assert forwards == backwards == product_of(demo_line, "dataset_stats").json("stats.json")["bands"]
    assert histograms[0].counts.shape == (len(demo_line.region.bands), 65_536)
