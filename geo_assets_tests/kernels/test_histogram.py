import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError, ProductError, RegionError
from geo_assets.kernels.histogram import (
    FIRST_VALUE,
    Histogram,
    HistogramSum,
    PackedHistogram,
    merged,
    reflectance_histogram,
)
from geo_assets_tests.scenery import references
from geo_assets_tests.scenery.strategies import flags, reflectance, windows

NODATA = -32768


@st.composite
def blocks(draw):
    """(values (band, y, x) int16, inside (y, x) bool)."""
    window = draw(windows(5))
    return draw(reflectance((draw(st.integers(1, 2)), *window))), draw(flags(window))


def same(one, other):
    return np.array_equal(one.counts, other.counts) and np.array_equal(one.nodata, other.nodata)


def of(values):
    return reflectance_histogram(np.array(values, np.int16).reshape(1, 1, -1))


@given(blocks())
def test_counts_equal_the_values_that_are_there(block):
    values, inside = block
    histogram = reflectance_histogram(values, inside)
    for band, layer in enumerate(values):
        looked_at = layer[inside]
        found, number = np.unique(looked_at[looked_at != NODATA], return_counts=True)
        bins = np.flatnonzero(histogram.counts[band])
        assert_array_equal(bins + FIRST_VALUE, found)
        assert_array_equal(histogram.counts[band, bins], number)
        assert histogram.nodata[band] == np.count_nonzero(looked_at == NODATA)
    assert histogram.counts.dtype == np.int64


@given(blocks())
def test_without_an_area_all_pixels_are_inside(block):
    values, inside = block
    assert same(reflectance_histogram(values), reflectance_histogram(values, np.ones_like(inside)))


@given(blocks())
def test_inside_and_outside_add_up_to_the_whole(block):
    values, inside = block
    whole = reflectance_histogram(values)
    within, beside = reflectance_histogram(values, inside), reflectance_histogram(values, ~inside)
    assert same(within + beside, whole)
    assert same(whole - within, beside)


@given(st.lists(reflectance((1, 2, 3)), min_size=1, max_size=4), st.randoms())
def test_merging_is_the_same_in_any_order_and_equals_the_whole(parts, random):
    whole = reflectance_histogram(np.concatenate(parts, axis=1))
    shuffled = random.sample(parts, len(parts))
    assert same(merged(reflectance_histogram(part) for part in shuffled), whole)


@settings(max_examples=50)
@given(st.lists(st.integers(-32767, 32767), max_size=30), st.sampled_from([0, 0.1, 1, 7, 33.3, 50, 99, 100]))
def test_percentiles_equal_the_slow_reference(values, percent):
    assert of(values).percentiles([percent]).tolist() == [[references.percentile(values, percent)]]


@settings(max_examples=50)
@given(st.lists(st.integers(-32767, 32767), min_size=1, max_size=30))
def test_percentiles_equal_numpys_inverted_cdf(values):
    percents = [0, 12.5, 25, 50, 75, 100]  # shares that floating point holds exactly
    assert_array_equal(of(values).percentiles(percents)[0], np.percentile(values, percents, method="inverted_cdf"))


@settings(max_examples=50)
@given(st.lists(st.integers(-32767, 32767), min_size=1, max_size=30))
def test_moments_equal_numpys(values):
    moments = of(values).moments()
    assert moments.count.item() == len(values)
    assert moments.mean.item() == pytest.approx(np.mean(values), rel=1e-12, abs=1e-9)
    assert moments.std.item() == pytest.approx(np.std(values), rel=1e-9, abs=1e-9)


def test_moments_stay_exact_beyond_the_reach_of_int64():
    histogram = of([32766, 32767])
    many = Histogram(histogram.counts * 10**15, histogram.nodata)
    moments = many.moments()
    assert moments.mean.item() == 32766.5
    assert moments.std.item() == 0.5


@given(reflectance((1, 4, 5)))
def test_clipping_keeps_exactly_the_values_between_the_percentiles(values):
    histogram = reflectance_histogram(values)
    low, high = histogram.percentiles([10, 90])[0]
    valid = values[values != NODATA]
    kept = valid[(valid >= low) & (valid <= high)]
    assert same(histogram.clipped(10, 90), of(kept) + Histogram(np.zeros((1, 65536), np.int64), histogram.nodata))


def test_the_golden_stats():
    histogram = of([NODATA, -120, 0, 0, 350, 350, 350, 900, 1200, 32767])
    assert histogram.nodata.tolist() == [1]
    assert histogram.percentiles([0, 1, 25, 50, 99, 100]).tolist() == [[-120, -120, 0, 350, 32767, 32767]]
    clipped = histogram.clipped(12, 88).moments()
    assert clipped.count.tolist() == [7]
    assert clipped.mean.item() == 450.0
    assert clipped.std.item() == pytest.approx(414.03933560541253, rel=1e-14)


def test_a_band_without_pixels_has_no_statistics_and_no_warning():
    empty = Histogram.empty(2)
    assert empty.percentiles([1, 99]).tolist() == [[NODATA, NODATA]] * 2
    moments = empty.clipped(1, 99).moments()
    assert moments.count.tolist() == [0, 0]
    assert np.isnan(moments.mean).all()
    assert np.isnan(moments.std).all()


def test_adding_nothing_changes_nothing():
    histogram = of([1, 2, NODATA])
    assert same(histogram + Histogram.empty(1), histogram)


def test_taking_away_what_is_not_there_is_refused():
    with pytest.raises(ProductError, match="expected a part of the whole"):
        of([1, 2]) - of([3])
    with pytest.raises(ProductError, match="expected a part of the whole"):
        of([1, 2]) - of([NODATA])


def test_merging_nothing_is_refused():
    with pytest.raises(ProductError, match="found none"):
        merged([])


def test_histograms_of_other_bands_are_refused():
    with pytest.raises(GridMismatchError, match="2 and 1 bands"):
        Histogram.empty(2) + Histogram.empty(1)


@pytest.mark.parametrize("percent", [-1, 100.5, float("nan")])
def test_a_percentile_beyond_0_to_100_is_refused(percent):
    with pytest.raises(RegionError, match="0 to 100"):
        of([1]).percentiles([percent])


def test_clip_percentiles_the_wrong_way_round_are_refused():
    with pytest.raises(RegionError, match="lower one first"):
        of([1]).clipped(99, 1)


def test_values_that_are_not_int16_are_refused():
    with pytest.raises(GridMismatchError, match="found uint16"):
        reflectance_histogram(np.zeros((1, 2, 2), np.uint16))


@settings(max_examples=50)
@given(reflectance((2, 4, 5)))
def test_a_packed_histogram_unpacks_to_itself_and_lists_only_bins_with_pixels(values):
    histogram = reflectance_histogram(values)
    packed = histogram.packed()
    assert same(packed.unpacked(), histogram)
    assert packed.bins.size == np.count_nonzero(histogram.counts)
    assert packed.numbers.min(initial=1) > 0


@settings(max_examples=40)
@given(st.lists(reflectance((1, 2, 3)), min_size=1, max_size=4), st.randoms())
def test_a_sum_that_lost_a_part_and_gained_another_is_that_of_the_parts_it_has(parts, random):
    histograms = [reflectance_histogram(part) for part in parts]
    whole = HistogramSum(1)
    steps = [(whole.add, part) for part in histograms] + [(whole.subtract, part) for part in histograms[1:]]
    random.shuffle(steps)
    for step, part in steps:
        step(part.packed() if random.random() < 0.5 else part)
    assert same(whole.histogram(), histograms[0])
    assert same(whole.packed().unpacked(), histograms[0])
    assert same(merged(part.packed() for part in histograms), merged(histograms))


def test_a_sum_that_lost_more_than_it_had_is_refused():
    whole = HistogramSum(1)
    whole.add(of([1, 2]))
    whole.subtract(of([2, 2]).packed())
    with pytest.raises(ProductError, match="merge all parts again"):
        whole.histogram()
    with pytest.raises(GridMismatchError, match="1 and 2 bands"):
        whole.add(Histogram.empty(2))


def test_a_packed_histogram_whose_bands_end_nowhere_is_refused():
    packed = of([1, 2]).packed()
    with pytest.raises(GridMismatchError, match="ascending ends"):
        PackedHistogram(packed.bins, packed.numbers, np.array([1], np.int64), packed.nodata)


def test_moments_are_exact_beyond_64_bits():
    histogram = Histogram.empty(1)
    histogram.counts[0, [1, 40_000, 65_535]] = 2**45 + 1, 2**60 + 7, 2**50 + 3
    values, numbers = [1 - 32_768, 40_000 - 32_768, 32_767], [2**45 + 1, 2**60 + 7, 2**50 + 3]
    count, total = sum(numbers), sum(n * v for n, v in zip(numbers, values, strict=True))
    squares = sum(n * v * v for n, v in zip(numbers, values, strict=True))
    moments = histogram.moments()
    assert moments.mean[0] == total / count
    assert moments.std[0] == ((count * squares - total * total) / (count * count)) ** 0.5
