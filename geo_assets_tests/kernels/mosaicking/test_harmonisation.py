"""Gains and offsets of many rasters: known ones come back, in any order, and never do harm."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.kernels.mosaicking.blending import Correction
from geo_assets.kernels.mosaicking.harmonisation import MIN_SAMPLES, QUANTUM, Harmonisation, solve_harmonisation

UNIT = 10_000
NOISE_DN = 20.0
"""Of a cell's mean, in each raster."""


class Truth:
    """A grid of tiles that see the same ground, each with a gain and an offset of its own."""

    def __init__(self, edge: int, seed: int, *, outliers: float = 0.1, samples: int = 300) -> None:
        random = np.random.default_rng(seed)
        self.names = [f"T{row}{col}" for row in range(edge) for col in range(edge)]
        self.gains = dict(zip(self.names, random.uniform(0.97, 1.03, edge**2), strict=True))
        self.offsets = dict(zip(self.names, random.uniform(-0.01, 0.01, edge**2) * UNIT, strict=True))
        self.random, self.outliers, self.samples = random, outliers, samples
        self.neighbours = [
            (f"T{row}{col}", f"T{row + down}{col + right}")
            for row in range(edge)
            for col in range(edge)
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1))
            if row + down < edge and 0 <= col + right < edge
        ]

    def seen(self, name, ground):
        return self.gains[name] * ground + self.offsets[name]

    def pairs(self) -> dict[tuple[str, str], np.ndarray]:
        """Noisy samples of every overlap; in some of them the second tile has cloud."""
        found = {}
        for first, second in self.neighbours:
            ground = self.random.gamma(4, 400, self.samples)
            columns = [
                self.seen(name, ground) + self.random.normal(0, NOISE_DN, ground.shape) for name in (first, second)
            ]
            cloudy = self.random.random(ground.shape) < self.outliers
            columns[1][cloudy] += self.random.uniform(500, 3000, cloudy.sum())
            found[first, second] = np.stack(columns, axis=1)
        return found

    def apart_dn(self, found: Harmonisation) -> np.ndarray:
        """(overlap, ground) how far the harmonised tiles are apart on noiseless ground."""
        ground = np.linspace(200, 4000, 20)

        def harmonised(name):
            given = found.corrections[name]
            return given.gain * self.seen(name, ground) + given.offset

        return np.array([harmonised(second) - harmonised(first) for first, second in self.neighbours])


@pytest.mark.parametrize(("edge", "seed"), [(2, 1), (3, 2), (6, 3)])
def test_known_gains_and_offsets_are_undone_down_to_the_noise_though_a_tenth_is_cloud(edge, seed):
    truth = Truth(edge, seed)
    found = solve_harmonisation(truth.names, truth.pairs(), mode="gain_offset")
    assert not found.left_alone
    assert not found.refused
    assert found.rmse_after <= 1.05 * NOISE_DN * np.sqrt(2) / UNIT
    assert found.rmse_before > 2 * found.rmse_after
    assert np.abs(truth.apart_dn(found)).max() < 15
    assert np.sqrt((truth.apart_dn(found) ** 2).mean()) < 5
    assert np.mean([given.gain for given in found.corrections.values()]) == pytest.approx(1, abs=QUANTUM)


def test_without_offsets_gains_alone_are_found():
    truth = Truth(3, 4)
    truth.offsets = dict.fromkeys(truth.offsets, 0.0)
    found = solve_harmonisation(truth.names, truth.pairs(), mode="gain")
    assert {given.offset for given in found.corrections.values()} == {0.0}
    assert np.abs(truth.apart_dn(found)).max() < 15


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 2**16))
def test_no_order_of_tiles_overlaps_or_samples_changes_a_number(shuffler, seed):
    truth = Truth(2, seed, samples=60)
    pairs = truth.pairs()
    expected = solve_harmonisation(truth.names, pairs, mode="gain_offset")
    names, keys = list(truth.names), list(pairs)
    shuffler.shuffle(names)
    shuffler.shuffle(keys)
    turned = {}
    for first, second in keys:
        samples = truth.random.permutation(pairs[first, second])
        swap = shuffler.random() < 0.5
        turned[(second, first) if swap else (first, second)] = samples[:, ::-1] if swap else samples
    assert solve_harmonisation(names, turned, mode="gain_offset") == expected


def test_a_tile_beyond_the_bounds_is_left_alone_and_the_others_do_not_heed_it():
    truth = Truth(3, 5)
    pairs = truth.pairs()
    truth.gains["T11"] = 1.35  # in the middle of all others
    with_bad = {pair: (truth.pairs()[pair] if "T11" in pair else samples) for pair, samples in pairs.items()}
    found = solve_harmonisation(truth.names, with_bad, mode="gain_offset")
    assert found.left_alone == ("T11",)
    assert found.corrections["T11"] == Correction()
    others = [name for name in truth.names if name != "T11"]
    without = {pair: samples for pair, samples in pairs.items() if "T11" not in pair}
    expected = solve_harmonisation(others, without, mode="gain_offset")
    assert {name: found.corrections[name] for name in others} == expected.corrections
    assert ("T01", "T11") in found.pairs  # and still looked at
    assert all(abs(correction.gain - 1) <= 0.1 for correction in found.corrections.values())
    assert all(abs(correction.offset) <= 0.02 * UNIT for correction in found.corrections.values())


def test_two_tiles_that_are_as_far_beyond_are_both_left_alone_whatever_they_are_called():
    ground = np.random.default_rng(6).gamma(4, 400, 200)
    samples = np.stack([0.8 * ground, 1.2 * ground], axis=1)
    for first, second in permutations("ab"):
        found = solve_harmonisation(["a", "b"], {(first, second): samples}, mode="gain")
        assert found.left_alone == ("a", "b")
        assert found.rmse_after == found.rmse_before


def test_each_connected_group_has_its_own_mean_gain_of_one():
    truth = Truth(2, 7)
    pairs = {pair: samples for pair, samples in truth.pairs().items() if pair in {("T00", "T01"), ("T10", "T11")}}
    found = solve_harmonisation(truth.names, pairs, mode="gain_offset")
    for first, second in pairs:
        gains = [found.corrections[name].gain for name in (first, second)]
        assert gains[0] != 1
        assert np.mean(gains) == pytest.approx(1, abs=QUANTUM)


def test_a_tile_without_an_overlap_or_with_too_small_a_one_keeps_its_values():
    truth = Truth(2, 8)
    pairs = truth.pairs()
    small = {("T00", "T11"): pairs["T00", "T11"][: MIN_SAMPLES - 1], ("T00", "T01"): pairs["T00", "T01"]}
    found = solve_harmonisation([*truth.names, "alone"], small, mode="gain_offset")
    assert found.left_out == (("T00", "T11"),)
    assert {name for name, given in found.corrections.items() if given == Correction()} == {"T10", "T11", "alone"}
    nothing = solve_harmonisation(truth.names, {}, mode="gain")
    assert set(nothing.corrections.values()) == {Correction()}
    assert (nothing.rmse_before, nothing.refused) == (None, False)


def test_what_would_not_agree_better_is_refused():
    random = np.random.default_rng(1)
    # Two thirds say that b is darker, one third that it is brighter by twice as much: Huber's loss heeds the many.
    ground = random.uniform(500, 4000, 300)
    apart = np.where(np.arange(300) % 3, -40.0, 80.0) + random.normal(0, 20, 300)
    samples = np.stack([ground, ground + apart - apart.mean()], axis=1)
    found = solve_harmonisation(["a", "b"], {("a", "b"): samples}, mode="gain")
    assert found.refused
    assert set(found.corrections.values()) == {Correction()}
    assert (found.rmse_after, found.left_alone) == (found.rmse_before, ())


def test_tiles_that_agree_already_are_not_touched():
    ground = np.random.default_rng(10).gamma(4, 400, 200)
    found = solve_harmonisation(["a", "b"], {("a", "b"): np.stack([ground, ground], axis=1)}, mode="gain_offset")
    assert set(found.corrections.values()) == {Correction()}
    assert not found.refused


def test_the_unit_of_reflectance_scales_offsets_and_nothing_else():
    truth = Truth(2, 11)
    pairs = truth.pairs()
    counts = solve_harmonisation(truth.names, pairs, mode="gain_offset")
    floats = solve_harmonisation(
        truth.names, {pair: samples / UNIT for pair, samples in pairs.items()}, mode="gain_offset", unit_dn=1.0
    )
    for name in truth.names:
        assert floats.corrections[name].gain == pytest.approx(counts.corrections[name].gain, abs=2 * QUANTUM)
        assert floats.corrections[name].offset * UNIT == pytest.approx(counts.corrections[name].offset, abs=0.02)
        quanta = counts.corrections[name].offset / (QUANTUM * UNIT)
        assert_allclose(quanta, round(quanta), atol=1e-6)


def test_figures_are_those_of_the_same_samples_before_and_after():
    truth = Truth(2, 12)
    pairs = truth.pairs()
    found = solve_harmonisation(truth.names, pairs, mode="gain_offset")
    pair = ("T00", "T01")
    fit, samples = found.pairs[pair], pairs[pair]
    apart = samples[:, 1] - samples[:, 0]
    middle = np.median(apart)
    trusted = np.abs(apart - middle) <= 3 * 1.4826 * np.median(np.abs(apart - middle))
    corrected = [
        found.corrections[name].gain * samples[trusted, column] + found.corrections[name].offset
        for column, name in enumerate(pair)
    ]
    assert (fit.samples, fit.trusted) == (300, trusted.sum())
    assert fit.bias_before == pytest.approx(apart[trusted].mean() / UNIT)
    assert fit.rmse_after == pytest.approx(np.sqrt(np.mean((corrected[1] - corrected[0]) ** 2)) / UNIT)


def test_what_makes_no_sense_is_refused():
    samples = np.ones((40, 2))
    with pytest.raises(RegionError, match="found a twice"):
        solve_harmonisation(["a", "a"], {}, mode="gain")
    for pair in (("a", "a"), ("a", "unknown")):
        with pytest.raises(RegionError, match="each two of the 2 rasters once"):
            solve_harmonisation(["a", "b"], {pair: samples}, mode="gain")
    with pytest.raises(RegionError, match="each two"):
        solve_harmonisation(["a", "b"], {("a", "b"): samples, ("b", "a"): samples}, mode="gain")
    for wrong in (np.ones((40, 3)), np.full((40, 2), np.nan)):
        with pytest.raises(GridMismatchError, match="finite"):
            solve_harmonisation(["a", "b"], {("a", "b"): wrong}, mode="gain")


def test_inputs_are_not_written_to():
    truth = Truth(2, 13)
    pairs = truth.pairs()
    copies = {pair: samples.copy() for pair, samples in pairs.items()}
    solve_harmonisation(truth.names, pairs, mode="gain_offset")
    for pair, samples in pairs.items():
        assert_array_equal(samples, copies[pair])
