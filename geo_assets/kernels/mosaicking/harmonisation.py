"""One gain and one offset for each of many overlapping rasters, so that all overlaps agree as well as they can.

A block adjustment without a master image: one robust least squares over all overlaps of a band at once, as in Cresson
and Saint-Geours (2015, IEEE JSTARS 8(6), gains by one quadratic programme over all overlaps), with offsets, Huber's
loss (1964, k = 1.345) for ground that changed between the dates, and a ridge towards leaving everything as it is.

Nothing depends on the order of rasters, overlaps or samples: all three are sorted, and summed one after another in
float64 by one thread. No linear algebra library takes part, whose sums depend on its threads and on the machine: the
system, sparse and well conditioned by its ridge, is solved by conjugate gradients in our own fixed order, for two
rasters or for ten thousand. What comes out is rounded to `QUANTUM`, far above what is left of rounding errors.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.kernels.mosaicking.blending import Correction
from geo_assets.kernels.mosaicking.normal_equations import conjugate_gradients, normal_equations

Mode: TypeAlias = Literal["gain", "gain_offset"]
Pair: TypeAlias = tuple[str, str]

MIN_SAMPLES: Final = 30
"""An overlap with fewer samples takes no part."""

GAIN_SPREAD, OFFSET_SPREAD = 0.05, 0.01
"""How far gains (from 1) and offsets (reflectance, from 0) are expected to lie: the ridge's unit."""

GAIN_BOUND, OFFSET_BOUND = 0.1, 0.02
"""Largest |gain - 1| and |offset| (reflectance): beyond, a difference is no matter of light, and nothing is applied."""

QUANTUM: Final = 1e-6
"""Gains and offsets (reflectance) are multiples of it."""

_ONE: Final = 1_000_000
"""Gain 1, and reflectance 1, in quanta."""
_GAIN_BOUND_QUANTA: Final = round(GAIN_BOUND * _ONE)
_OFFSET_AS_GAIN: Final = round(GAIN_BOUND / OFFSET_BOUND)

_HUBER: Final = 1.345  # standard deviations: 95 % efficient where the noise is normal
_MAD_SIGMA: Final = 1.4826  # standard deviations of a normal distribution in its median absolute deviation
_LEAST_SIGMA: Final = 0.001  # reflectance: overlaps of one pass agree to the count, and would rule all others
_TRUSTED_SIGMA: Final = 3.0
_STAGES: Final = 2  # a third moves corrections by less than the noise of the demo's overlaps
_ROUNDS, _SETTLED = 200, 1e-9
_STEPS, _SOLVED = 20_000, 1e-13


@dataclass(frozen=True, slots=True)
class PairFit:
    """How well two rasters agree where they overlap: second less first, in reflectance.

    Over the trusted samples: those whose difference before any correction lies within three robust standard deviations
    of the overlap's median difference. They are the same samples before and after, chosen before anything is solved.
    """

    samples: int
    """All of the overlap's."""
    trusted: int
    """Those of them that the figures are of."""
    bias_before: float
    bias_after: float
    """Mean difference."""
    rmse_before: float
    rmse_after: float
    """Root of the mean squared difference."""


@dataclass(frozen=True, slots=True)
class Harmonisation:
    """Corrections of one band, and what they do to its overlaps."""

    corrections: Mapping[str, Correction]
    """Of every raster, sorted by name; offsets in counts."""
    left_alone: tuple[str, ...]
    """Rasters that would need more than the bounds allow: they keep their values, and the others do not heed them."""
    pairs: Mapping[Pair, PairFit]
    """Overlaps that took part, those of rasters left alone included."""
    left_out: tuple[Pair, ...]
    """Overlaps with too few samples."""
    rmse_before: float | None
    rmse_after: float | None
    """Root of the mean square over all overlaps, each weighted by the root of its samples; None without an overlap."""
    refused: bool
    """True where the corrections would not have brought `rmse_after` below `rmse_before`: all are the identity."""


@dataclass(frozen=True, slots=True, eq=False)
class _Overlaps:
    """Overlaps of numbered rasters, their samples one after another."""

    ends: NDArray[np.int64]
    """(overlap, 2) the numbers of the two."""
    begins: NDArray[np.int64]
    """(overlap + 1,) where each one's samples begin."""
    samples: NDArray[np.float64]
    """(sample, 2) reflectance."""
    sigma: NDArray[np.float64]
    """(overlap,) robust standard deviation of the differences, reflectance; NaN until somebody judges the samples."""

    def chosen(self, kept: NDArray[np.bool_]) -> "_Overlaps":
        """Those that `kept` names."""
        counts = np.diff(self.begins)
        begins = np.concatenate([[0], np.cumsum(counts[kept])])
        return _Overlaps(self.ends[kept], begins, self.samples[np.repeat(kept, counts)], self.sigma[kept])

    def trusted(self, gain: NDArray[np.float64], offset: NDArray[np.float64]) -> "_Overlaps":
        """Without the samples that differ by more than three robust standard deviations under some corrections."""
        sigma, kept = np.empty(len(self.ends)), np.empty(len(self.samples), np.bool_)
        for p, (i, j) in enumerate(self.ends):
            own = slice(self.begins[p], self.begins[p + 1])
            kept[own], sigma[p] = _trusted(self.samples[own] * gain[[i, j]] + offset[[i, j]])
        begins = np.concatenate([[0], np.cumsum(kept)])[self.begins]
        return _Overlaps(self.ends, begins, self.samples[kept], sigma)


def solve_harmonisation(
    names: Sequence[str],
    pairs: Mapping[Pair, NDArray[np.floating[Any]]],
    *,
    mode: Mode,
    unit_dn: float = 10_000,
) -> Harmonisation:
    r"""Gains and offsets of one band of many rasters.

    Minimises, over overlaps p of rasters i and j with samples k, in reflectance,

    .. math:: \sum_p \frac{\sqrt{n_p}}{n_p} \sum_k H\left(\frac{g_i m_{ik} + o_i - g_j m_{jk} - o_j}{\sigma_p}\right)
              + \sum_i \left(\frac{g_i - 1}{0.05}\right)^2 + \left(\frac{o_i}{0.01}\right)^2

    with H(u) = u^2, and 2k|u| - k^2 beyond k = 1.345; the mean gain of every connected group of rasters is 1.
    sigma_p is the overlap's robust standard deviation (1.4826 times the median absolute deviation), at least 0.001.
    Samples beyond 3 sigma_p of the overlap's median difference are left out: Huber's loss bounds what a cloud's
    residual can do, but not its leverage, for a cloud is bright. That is solved twice: with trust and scatter as they
    are before any correction, and as they are after the first solution. Each is convex: there is one solution, whatever
    the iterations begin with.

    Parameters
    ----------
    names
        Every raster once, in any order.
    pairs : (i, j) -> (n, 2) floating
        Counts of the same ground in i and in j; each two names once, in either order.
    mode
        `gain`: offsets stay 0.
    unit_dn
        Counts of reflectance 1.

    Returns
    -------
    Harmonisation
        A raster without an overlap keeps its values. So does one beyond the bounds; it is named, and the others are
        solved again without its overlaps: as a fixed partner it would pull them towards what is wrong with it.

    Raises
    ------
    RegionError
        A name comes twice, or an overlap is of unknown names, of one name, or comes twice.
    GridMismatchError
        Samples are not (n, 2), or not finite.
    """
    order = sorted(names)
    canonical = _canonical(order, pairs)
    left_out = tuple(pair for pair, samples in canonical.items() if len(samples) < MIN_SAMPLES)
    taking_part = {pair: samples for pair, samples in canonical.items() if len(samples) >= MIN_SAMPLES}
    identity = dict.fromkeys(order, Correction())
    if not taking_part:
        return Harmonisation(identity, (), {}, left_out, None, None, refused=False)
    overlaps = _numbered(order, taking_part, unit_dn)
    gains, offsets, alone = _within_bounds(len(order), overlaps, with_offsets=mode == "gain_offset")
    before = _fits(overlaps, np.ones(len(order)), np.zeros(len(order)))
    after = _fits(overlaps, gains / _ONE, offsets / _ONE)
    rmse_before, rmse_after = _together(overlaps, before), _together(overlaps, after)
    refused = not rmse_after < rmse_before and bool((gains != _ONE).any() or (offsets != 0).any())
    if refused:
        after, rmse_after = before, rmse_before
    # Whole multiples of the quantum, divided once: the nearest float to the decimal, on every machine.
    solved = {
        name: Correction(gain=int(gain) / _ONE, offset=int(offset) * unit_dn / _ONE)
        for name, gain, offset in zip(order, gains, offsets, strict=True)
    }
    return Harmonisation(
        corrections=identity if refused else solved,
        left_alone=tuple(order[number] for number in sorted(alone)),
        pairs={
            pair: PairFit(
                len(samples), int(before[p, 0]), *map(float, (before[p, 1], after[p, 1], before[p, 2], after[p, 2]))
            )
            for p, (pair, samples) in enumerate(taking_part.items())
        },
        left_out=left_out,
        rmse_before=rmse_before,
        rmse_after=rmse_after,
        refused=refused,
    )


def _canonical(
    order: Sequence[str], pairs: Mapping[Pair, NDArray[np.floating[Any]]]
) -> dict[Pair, NDArray[np.float64]]:
    """Pairs and names within each sorted, samples sorted by value."""
    known = set(order)
    if len(known) != len(order):
        twice = sorted({name for name in order if order.count(name) > 1})
        raise RegionError(f"Harmonisation: found {', '.join(twice)} twice, expected every raster once. Rename one.")
    canonical: dict[Pair, NDArray[np.float64]] = {}
    for (first, second), samples in pairs.items():
        pair = (min(first, second), max(first, second))
        if first == second or not known.issuperset(pair) or pair in canonical:
            raise RegionError(
                f"Harmonisation: found an overlap of {first} and {second}, expected each two of the {len(order)} "
                "rasters once. Give every raster a name, and every overlap one entry."
            )
        if samples.ndim != 2 or samples.shape[1] != 2 or not np.isfinite(samples).all():
            raise GridMismatchError(
                f"Overlap of {first} and {second}: found samples {samples.shape}, expected (n, 2) of finite numbers. "
                "Leave out the cells that one of the two does not know."
            )
        columns = samples.astype(np.float64)[:, :: 1 if (first, second) == pair else -1]
        canonical[pair] = np.ascontiguousarray(columns[np.lexsort((columns[:, 1], columns[:, 0]))])
    return dict(sorted(canonical.items()))


def _numbered(order: Sequence[str], pairs: Mapping[Pair, NDArray[np.float64]], unit_dn: float) -> _Overlaps:
    number = {name: index for index, name in enumerate(order)}
    samples = np.concatenate(list(pairs.values())) / unit_dn
    begins = np.concatenate([[0], np.cumsum([len(some) for some in pairs.values()])])
    ends = np.array([(number[first], number[second]) for first, second in pairs], np.int64)
    return _Overlaps(ends, begins, samples, np.full(len(ends), np.nan))


def _trusted(samples: NDArray[np.float64]) -> tuple[NDArray[np.bool_], float]:
    """Which samples lie within three robust standard deviations of the median difference; and that deviation."""
    difference = samples[:, 1] - samples[:, 0]
    apart = np.abs(difference - np.median(difference))
    sigma = max(_MAD_SIGMA * float(np.median(apart)), _LEAST_SIGMA)
    return apart <= _TRUSTED_SIGMA * sigma, sigma


def _within_bounds(
    rasters: int, overlaps: _Overlaps, *, with_offsets: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], AbstractSet[int]]:
    """Gains and offsets in quanta, and the rasters left alone.

    One raster that is wrong pulls its neighbours out of bounds, too. So of those beyond, only the ones go that no
    neighbour exceeds; the rest is solved again, until nobody is beyond.
    """
    alone: set[int] = set()
    while True:
        kept = np.array([not alone.intersection(ends) for ends in overlaps.ends.tolist()], np.bool_)
        active = overlaps.chosen(kept)
        gain, offset = np.ones(rasters), np.zeros(rasters)
        for _ in range(_STAGES):
            gain, offset = _solved(rasters, active.trusted(gain, offset), with_offsets=with_offsets)
        gains, offsets = np.rint(gain / QUANTUM).astype(np.int64), np.rint(offset / QUANTUM).astype(np.int64)
        excess = np.maximum(np.abs(gains - _ONE), np.abs(offsets) * _OFFSET_AS_GAIN)
        beyond = excess > _GAIN_BOUND_QUANTA
        if not beyond.any():
            return gains, offsets, alone
        greatest_beside = np.zeros(rasters, np.int64)
        np.maximum.at(greatest_beside, active.ends[:, 0], excess[active.ends[:, 1]])
        np.maximum.at(greatest_beside, active.ends[:, 1], excess[active.ends[:, 0]])
        alone.update(np.flatnonzero(beyond & (excess >= greatest_beside)).tolist())


def _solved(
    rasters: int, overlaps: _Overlaps, *, with_offsets: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gains, and offsets in reflectance: iteratively re-weighted least squares."""
    scale = np.array([GAIN_SPREAD, OFFSET_SPREAD if with_offsets else 0.0])
    unknowns = np.zeros((rasters, 2))  # (gain - 1) and offset, in the ridge's units
    if len(overlaps.ends):
        group = _groups(rasters, overlaps.ends)
        for _ in range(_ROUNDS):
            matrix, right = normal_equations(
                overlaps.ends, overlaps.begins, overlaps.samples, overlaps.sigma, unknowns, scale, _HUBER
            )
            before = unknowns.copy()
            conjugate_gradients(overlaps.ends, matrix, right, group, unknowns, _STEPS, _SOLVED)
            if np.abs(unknowns - before).max() < _SETTLED:
                break
    return 1.0 + unknowns[:, 0] * scale[0], unknowns[:, 1] * scale[1]


def _groups(rasters: int, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """(raster,) the number of the connected group that it belongs to."""
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(rasters, rasters))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _fits(overlaps: _Overlaps, gains: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """(overlap, 3): trusted samples, mean difference (second less first) and its root mean square over them."""
    found = np.empty((len(overlaps.ends), 3))
    for p, ((i, j), begin, end) in enumerate(
        zip(overlaps.ends, overlaps.begins[:-1], overlaps.begins[1:], strict=True)
    ):
        samples = overlaps.samples[begin:end]
        trusted = samples[_trusted(samples)[0]]
        difference = gains[j] * trusted[:, 1] + offsets[j] - gains[i] * trusted[:, 0] - offsets[i]
        found[p] = len(trusted), difference.mean(), np.sqrt((difference**2).mean())
    return found


def _together(overlaps: _Overlaps, fits: NDArray[np.float64]) -> float:
    weights = np.sqrt(np.diff(overlaps.begins))
    return float(np.sqrt((weights * fits[:, 2] ** 2).sum() / weights.sum()))
