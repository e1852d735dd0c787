"""Counts with 1000 on top or without: what their pixels say, and when they say nothing."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.offsets import OFFSET_TEST_BANDS, decided_offset
from geo_assets_tests.scenery.grounds import GROUNDS, reflectance_of, stored

SHAPE = (60, 60)
SHIFTED = {"land": 0, "water": 0, "desert": None, "snow": 0, "cloud": None}
UNSHIFTED = {"land": -1000, "water": -1000, "desert": None, "snow": None, "cloud": None}


def counts_of(ground: str, added_counts: int, *, seed: int = 1, bands=OFFSET_TEST_BANDS) -> dict[str, np.ndarray]:
    counts = stored(reflectance_of(ground, SHAPE, seed=seed), added_counts)
    return {name: counts[name] for name in bands}


@pytest.mark.parametrize("ground", GROUNDS)
def test_counts_without_the_offset_are_recognised_or_left_undecided(ground):
    assert decided_offset(counts_of(ground, 0)) == SHIFTED[ground]


@pytest.mark.parametrize("ground", GROUNDS)
def test_counts_with_the_offset_are_recognised_or_left_undecided(ground):
    assert decided_offset(counts_of(ground, 1000)) == UNSHIFTED[ground]


@given(st.sampled_from(sorted(GROUNDS)), st.sampled_from(sorted(GROUNDS)), st.floats(0, 1), st.integers(0, 99))
@example("desert", "snow", 0.75, 0)
@settings(max_examples=60)
def test_no_mixture_of_grounds_is_taken_for_its_opposite(one, other, share, seed):
    for added, wrong in ((0, -1000), (1000, 0)):
        here, there = counts_of(one, added, seed=seed), counts_of(other, added, seed=seed + 1)
        cut = int(share * SHAPE[0])
        mixed = {name: np.concatenate([here[name][:cut], there[name][cut:]]) for name in here}
        assert decided_offset(mixed) != wrong


@given(st.sampled_from(sorted(GROUNDS)), st.sampled_from((0, 1000)), st.randoms())
@settings(max_examples=30)
def test_where_pixels_lie_and_how_bands_are_ordered_decides_nothing(ground, added, random):
    bands = counts_of(ground, added)
    order = np.random.default_rng(random.randrange(2**32)).permutation(bands["blue"].size)
    shuffled = {name: bands[name].ravel()[order].reshape(SHAPE) for name in random.sample(list(bands), len(bands))}
    assert decided_offset(shuffled) == decided_offset(bands)


def test_haze_over_two_bands_is_not_taken_for_an_offset():
    hazy = {name: np.full(SHAPE, 1100, np.uint16) for name in ("blue", "swir16")}
    assert decided_offset(hazy) is None
    assert decided_offset(hazy | {"swir22": np.full(SHAPE, 1040, np.uint16)}) == -1000


def test_grounds_that_are_dark_in_one_band_each_are_not_taken_for_ground_that_is_dark_in_all():
    desert = {"blue": 1000, "green": 1700, "red": 2500, "swir16": 3500, "swir22": 3000}
    snow = {"blue": 9000, "green": 9000, "red": 9000, "swir16": 1150, "swir22": 1100}
    beside = {name: np.full(SHAPE, desert[name], np.uint16) for name in desert}
    for name, counts in beside.items():
        counts[:20] = snow[name]
    assert decided_offset(beside) is None


def test_two_bands_suffice_to_see_that_the_offset_is_gone():
    assert decided_offset(counts_of("land", 0, bands=("blue", "swir16"))) == 0


def test_an_edge_averaged_with_nodata_does_not_look_dark():
    bands = counts_of("land", 1000)
    for counts in bands.values():
        counts[:, 30:] = 0
        counts[:, 29] //= 3  # as an overview has it whose maker did not know what 0 means
    assert decided_offset(bands) == -1000


def test_bands_may_have_shapes_and_signs_of_their_own():
    bands = counts_of("land", 1000)
    bands["swir16"] = bands["swir16"][::2, ::2]
    bands = {name: counts.astype(np.int16) for name, counts in bands.items()}
    bands["red"][:3] = -32768
    assert decided_offset(bands, nodata=-32768) == -1000


@pytest.mark.parametrize("bands", [{}, {"nir": np.full(SHAPE, 300, np.uint16)}])
def test_bands_that_tell_nothing_decide_nothing(bands):
    assert decided_offset(bands) is None


def test_a_handful_of_pixels_decides_nothing():
    assert decided_offset({name: counts[:15, :15] for name, counts in counts_of("water", 0).items()}) is None


def test_a_scene_without_any_data_decides_nothing():
    assert decided_offset({name: np.zeros(SHAPE, np.uint16) for name in OFFSET_TEST_BANDS}) is None


@pytest.mark.parametrize("counts", [np.ones(SHAPE, np.float32), np.ones((2, *SHAPE), np.uint16)], ids=["float", "3-D"])
def test_what_is_no_band_of_counts_is_refused(counts):
    with pytest.raises(GridMismatchError, match="Band 'blue'"):
        decided_offset({"blue": counts})
