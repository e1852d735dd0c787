import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.kernels.compositing.methods import composite
from geo_assets.kernels.compositing.observations import Observations
from geo_assets.kernels.compositing.reducers import comparators
from geo_assets_tests.kernels.compositing.months import month, months
from geo_assets_tests.kernels.compositing.slow_composites import METHODS, permuted, slow_composite

NODATA, NONE = -32768, 255
LAYERS = ("bands", "quality", "observation_count", "source", "uncertainty")
every_method = pytest.mark.parametrize("method", ["best_pixel", *METHODS])


def composed(observations, scores, method, **options):
    return composite(observations, method, scores=scores, red=0, nir=1, uncertainty=True, **options)


def assert_same(one, other, layers=LAYERS):
    for layer in layers:
        assert_array_equal(getattr(one, layer), getattr(other, layer), layer)


def assert_composite(made, slow, *, within=0):
    bands, quality, count, source = slow
    assert np.abs(made.bands - bands).max() <= within
    assert_array_equal(made.quality, quality)
    assert_array_equal(made.observation_count, count)
    if not within:
        assert_array_equal(made.source, source)


def column(*spectra, quality=None, acquired=None):
    """One pixel: a spectrum for each scene."""
    counts = np.array(spectra, np.int16)[..., np.newaxis, np.newaxis]
    codes = np.zeros(len(spectra)) if quality is None else np.array(quality)
    order = np.arange(len(spectra)) if acquired is None else np.array(acquired)
    return Observations(counts, codes.astype(np.uint8).reshape(-1, 1, 1), order.astype(np.int64))


@every_method
@settings(max_examples=40)
@given(observed=months(), percentile=st.sampled_from((0.0, 25.0, 35.0, 50.0, 100.0)))
def test_a_method_equals_its_slow_reference(method, observed, percentile):
    observations, scores = observed
    made = composed(observations, scores, method, percentile=percentile)
    slow = slow_composite(observations, method, percentile=percentile, scores=scores, red=0, nir=1)
    # Where a step of the geometric median ends near a half, or near the last step's length, either count is right.
    assert_composite(made, slow, within=1 if method == "geomedian" else 0)


@every_method
@settings(max_examples=25)
@given(observed=months(), random=st.randoms())
def test_the_order_of_scenes_changes_nothing_but_the_rank_of_best_pixel(method, observed, random):
    observations, scores = observed
    order = np.array(random.sample(range(len(scores)), len(scores)))
    made, shuffled = (
        composed(observations, scores, method),
        composed(permuted(observations, order), scores[order], method),
    )
    if method == "best_pixel":
        assert_same(made, shuffled, ("quality", "observation_count"))
        return
    assert_same(made, shuffled, ("bands", "quality", "observation_count", "uncertainty"))
    back = np.append(order, [0] * (256 - len(order)))
    found = np.where(shuffled.source == NONE, NONE, back[shuffled.source])
    assert_array_equal(found, made.source)


@every_method
@pytest.mark.parametrize(("top", "left", "right"), [(2, 5, 80), (1, 64, 73), (4, 79, 80)])
def test_crop_then_composite_equals_composite_then_crop(method, top, left, right):
    observations, scores = month(3)
    crop = (..., slice(top, None), slice(left, right))
    cropped = Observations(observations.reflectance[crop], observations.quality[crop], observations.acquired)
    made, whole = composed(cropped, scores[crop], method), composed(observations, scores, method)
    for layer in LAYERS:
        assert_array_equal(getattr(made, layer), getattr(whole, layer)[crop], layer)


@every_method
def test_a_fully_unusable_scene_changes_nothing(method):
    observations, scores = month(4, scenes=4, height=2, width=20)
    with_scene = Observations(
        np.concatenate([observations.reflectance, observations.reflectance[:1]]),
        np.concatenate([observations.quality, np.full_like(observations.quality[:1], NONE)]),
        np.append(observations.acquired, -1),
    )
    made = composed(with_scene, np.concatenate([scores, scores[:1] + 1]), method)
    assert_same(made, composed(observations, scores, method))


@every_method
def test_a_worse_observation_is_counted_and_never_used(method):
    clear, marginal = (500, 3000, 100), (3000, 3001, 9000)
    observations = column(marginal, clear, quality=[1, 0])
    made = composed(observations, np.array([1, 0], np.float32).reshape(2, 1, 1), method)
    assert made.bands.ravel().tolist() == list(clear)
    assert (made.quality.item(), made.observation_count.item(), made.source.item()) == (0, 2, 1)


@every_method
def test_no_scene_at_all_gives_a_composite_of_nothing(method):
    nothing = Observations(np.zeros((0, 2, 1, 1), np.int16), np.zeros((0, 1, 1), np.uint8), np.zeros(0, np.int64))
    made = composed(nothing, np.zeros((0, 1, 1), np.float32), method)
    assert made.bands.ravel().tolist() == [NODATA, NODATA]
    assert made.uncertainty.ravel().tolist() == [NODATA, NODATA]
    assert (made.quality.item(), made.observation_count.item(), made.source.item()) == (NONE, 0, NONE)


@every_method
def test_the_golden_composite_of_four_scenes(method):
    observations = column((100, 800), (140, 900), (90, 400), (5000, 5000), acquired=[3, 1, 0, 2], quality=[0, 0, 0, 2])
    scores = np.array([0.5, 0.25, 0.25, 1], np.float32).reshape(4, 1, 1)
    made = composed(observations, scores, method, percentile=30.0)
    golden = {
        "best_pixel": ([100, 800], 0),
        "bap": ([100, 800], 0),
        "median": ([100, 800], 0),
        "percentile": ([90, 400], 2),
        "weighted_mean": ([108, 725], 0),
        "max_ndvi": ([100, 800], 0),
        "medoid": ([100, 800], 0),
        "geomedian": ([100, 800], 0),
    }
    assert (made.bands.ravel().tolist(), made.source.item()) == golden[method]
    assert (made.quality.item(), made.observation_count.item()) == (0, 4)


def test_the_median_of_an_even_number_rounds_halves_up_below_zero_too():
    made = composite(column((1, -1, 32767), (2, -2, 32767)), "median")
    assert made.bands.ravel().tolist() == [2, -1, 32767]


def test_a_percentile_is_the_decimal_that_is_written():
    observations = column(*[(value,) for value in range(20)])  # as floats, 35 % of 20 is a little more than 7
    assert composite(observations, "percentile", percentile=35.0).bands.item() == 6


def test_equals_go_to_the_earliest_not_to_the_first():
    observations = column((100, 300), (200, 600), acquired=[5, 2])
    equal = np.ones((2, 1, 1), np.float32)
    for method in ("bap", "max_ndvi", "medoid"):
        assert composed(observations, equal, method).source.item() == 1, method
    assert composed(observations, equal, "best_pixel").source.item() == 0


def test_greenness_without_meaning_loses_against_any_other():
    below_zero, nothing, water = (-100, 500), (0, 0), (300, 10)
    assert composed(column(below_zero, nothing, water), None, "max_ndvi").source.item() == 2
    assert composed(column(below_zero, nothing), None, "max_ndvi").source.item() == 0


def test_an_observation_without_a_score_ranks_last():
    observations = column((1, 1), (2, 2), (3, 3))
    scores = np.array([np.nan, 0, np.nan], np.float32).reshape(3, 1, 1)
    assert composed(observations, scores, "bap").source.item() == 1
    assert composed(column((1, 1)), scores[:1], "bap").source.item() == 0
    assert composed(column((1, 1)), scores[:1], "weighted_mean").bands.ravel().tolist() == [1, 1]


def test_the_geometric_median_ignores_how_far_an_outlier_lies():
    clear = [(100, 100), (102, 100), (101, 102)]
    made = [composite(column(*clear, (x, x)), "geomedian").bands.ravel() for x in (2000, 30000)]
    assert np.abs(made[0].astype(int) - made[1]).max() <= 1
    assert np.abs(made[1] - np.array([101, 101])).max() <= 1


def test_the_geometric_median_stays_on_the_observation_that_holds_it():
    # From the mean, (0, 0), which three observations share: no pull of the two others moves it (Vardi & Zhang).
    observations = column((0, 0), (0, 0), (0, 0), (300, 0), (-300, 0))
    assert composite(observations, "geomedian").bands.ravel().tolist() == [0, 0]


def test_of_two_observations_the_geometric_median_is_the_middle():
    assert composite(column((100, 0), (200, 51)), "geomedian").bands.ravel().tolist() == [150, 26]


@pytest.mark.parametrize("length", range(1, 13))
def test_a_network_sorts_whatever_it_is_given(length):
    # A network that sorts all zeros and ones sorts all numbers (Knuth, The Art of Computer Programming 3, 5.3.4).
    bits = (np.arange(2**length) >> np.arange(length)[:, np.newaxis]) & 1
    for low, high in comparators(length):
        bits[[low, high]] = bits[[low, high]].min(axis=0), bits[[low, high]].max(axis=0)
    assert (np.diff(bits, axis=0) >= 0).all()


def test_the_longest_network_sorts():
    values = np.random.default_rng(0).permutation(255)
    for low, high in comparators(255):
        values[[low, high]] = sorted(values[[low, high]])
    assert_array_equal(values, np.arange(255))


@pytest.mark.parametrize("method", ["best_pixel", "median", "weighted_mean"])
def test_the_largest_stack_counts_and_names_every_scene(method):
    quality = np.ones((255, 1, 1), np.uint8)
    quality[-1] = 0
    largest = Observations(np.full((255, 2, 1, 1), 32767, np.int16), quality, np.arange(255))
    made = composed(largest, np.ones((255, 1, 1), np.float32), method)
    assert (made.observation_count.item(), made.source.item()) == (255, 254)
    assert made.bands.ravel().tolist() == [32767, 32767]


def test_what_a_method_lacks_is_named():
    observations, scores = month(0, scenes=2, height=1, width=1)
    for method in ("bap", "weighted_mean"):
        with pytest.raises(RegionError, match=f"{method} needs scores"):
            composite(observations, method)
        with pytest.raises(GridMismatchError, match="'scores'"):
            composite(observations, method, scores=scores[:1])
    with pytest.raises(RegionError, match="needs the bands red and nir"):
        composite(observations, "max_ndvi", red=1)
    with pytest.raises(GridMismatchError, match="indexes of 3 bands"):
        composite(observations, "max_ndvi", red=1, nir=3)
    with pytest.raises(RegionError, match="expected 0 to 100"):
        composite(observations, "percentile", percentile=101)
    with pytest.raises(RegionError, match="'mean', which is none"):
        composite(observations, "mean")


def test_observations_that_do_not_fit_are_refused():
    counts, quality = np.zeros((2, 1, 2, 2), np.int16), np.zeros((2, 2, 2), np.uint8)
    with pytest.raises(GridMismatchError, match="'quality'"):
        Observations(counts, quality[:, :1], np.arange(2))
    with pytest.raises(GridMismatchError, match="'acquired'"):
        Observations(counts, quality, np.arange(3))
    with pytest.raises(GridMismatchError, match="every number once"):
        Observations(counts, quality, np.zeros(2, np.int64))
    with pytest.raises(GridMismatchError, match="at most 255"):
        Observations(np.zeros((256, 1, 1, 1), np.int16), np.zeros((256, 1, 1), np.uint8), np.arange(256))
