"""Exact histograms of reflectance counts: one bin per value, so nothing is lost and merging is addition.

A mean, a deviation or a percentile of a year of tiles then equals the one over all their pixels, whatever was
merged in which order.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, Flag, ReflectanceCount
from geo_assets.domain.errors import GridMismatchError, ProductError, RegionError
from geo_assets.kernels.expectations import expect_array

BINS = 65_536
"""One for every int16."""

FIRST_VALUE = -32_768
"""The value of bin 0, which is nodata: kept empty."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean and spread of each band, in reflectance counts (x 1e-4 for reflectance)."""

    count: NDArray[np.int64]
    """(band,) pixels that were counted."""
    mean: NDArray[np.float64]
    """(band,) NaN where `count` is 0."""
    std: NDArray[np.float64]
    """(band,) of the population (divided by `count`); NaN where `count` is 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many pixels have each value, band by band."""

    counts: NDArray[np.int64]
    """(band, 65536): bin i holds the pixels of value i - 32768; bin 0, nodata, is always 0."""
    nodata: NDArray[np.int64]
    """(band,) pixels that were looked at and held nodata."""

    def __post_init__(self) -> None:
        expect_array("counts", self.counts, np.int64, (None, BINS))
        expect_array("nodata", self.nodata, np.int64, (self.counts.shape[0],))

    @classmethod
    def empty(cls, bands: int) -> Self:
        """Of no pixels at all."""
        return cls(np.zeros((bands, BINS), np.int64), np.zeros(bands, np.int64))

    @property
    def pixels(self) -> NDArray[np.int64]:
        """(band,) int64: pixels with a value."""
        pixels: NDArray[np.int64] = self.counts.sum(axis=1)
        return pixels

    def __add__(self, other: "Histogram") -> "Histogram":
        """Of the pixels of both; `GridMismatchError` if the number of bands differs."""
        self._expect_same_bands(other)
        return Histogram(self.counts + other.counts, self.nodata + other.nodata)

    def __sub__(self, part: "Histogram") -> "Histogram":
        """Of the pixels that are not in `part`; `ProductError` if `part` has pixels that this one has not."""
        self._expect_same_bands(part)
        rest = Histogram(self.counts - part.counts, self.nodata - part.nodata)
        if rest.counts.min(initial=0) < 0 or rest.nodata.min(initial=0) < 0:
            raise ProductError(
                "Histograms: found more pixels in the part than in the whole, expected a part of the whole. "
                "The part was rebuilt since: merge all parts again."
            )
        return rest

    def packed(self) -> "PackedHistogram":
        """The bins that hold pixels."""
        bands, bins = np.nonzero(self.counts)
        ends = np.searchsorted(bands, np.arange(len(self.counts)), side="right").astype(np.int64)
        return PackedHistogram(bins.astype(np.uint16), self.counts[bands, bins], ends, self.nodata)

    def percentiles(self, percents: Sequence[float]) -> NDArray[np.int16]:
        """The smallest values below or at which lies at least this share of a band's pixels.

        Parameters
        ----------
        percents : sequence of float
            0 to 100, taken as the decimal numbers they print as: 0.1 means one thousandth, exactly.

        Returns
        -------
        values : (band, percent) int16
            Reflectance counts that occur in the band (numpy's `inverted_cdf`, without its rounding of
            ``count * percent / 100``); -32768 for a band without pixels.

        Raises
        ------
        RegionError
            A percent outside 0 to 100.
        """
        values = np.full((len(self.counts), len(percents)), NODATA_REFLECTANCE, np.int16)
        for band, cumulative in enumerate(np.cumsum(self.counts, axis=1)):
            for column, percent in enumerate(percents):
                rank = _rank(percent, int(cumulative[-1]))
                if cumulative[-1] > 0:
                    values[band, column] = np.searchsorted(cumulative, rank) + FIRST_VALUE
        return values

    def clipped(self, low_percent: float, high_percent: float) -> "Histogram":
        """Of the pixels from each band's low to its high percentile, both included; others are left out.

        Raises
        ------
        RegionError
            A percent outside 0 to 100, or low above high.
        """
        if low_percent > high_percent:
            raise RegionError(
                f"Clip percentiles: found {low_percent} above {high_percent}, expected the lower one first."
            )
        low, high = self.percentiles((low_percent, high_percent)).T.astype(np.int64) - FIRST_VALUE
        bins = np.arange(BINS)
        within = (bins >= low[:, np.newaxis]) & (bins <= high[:, np.newaxis])
        return Histogram(np.where(within, self.counts, 0), self.nodata.copy())

    def moments(self) -> Moments:
        """Mean and standard deviation of every band, from exact integer sums."""
        bands = len(self.counts)
        mean, std = np.full(bands, np.nan), np.full(bands, np.nan)
        for band, counts in enumerate(self.counts):
            count = int(counts.sum())
            if count == 0:
                continue
            bins = np.flatnonzero(counts)
            numbers, values = counts[bins], bins + FIRST_VALUE
            total = _exact_sum(numbers, bins) + FIRST_VALUE * count
            squares = _exact_sum(numbers, values * values)
            mean[band] = total / count
            std[band] = math.sqrt((count * squares - total * total) / (count * count))
        return Moments(self.pixels, mean, std)

    def _expect_same_bands(self, other: "Histogram") -> None:
        if len(self.counts) != len(other.counts):
            raise GridMismatchError(
                f"Histograms: found {len(self.counts)} and {len(other.counts)} bands, expected the same. "
                "Build both with the same bands."
            )


@dataclass(frozen=True, slots=True, eq=False)
class PackedHistogram:
    """A histogram by its bins that hold pixels: what is kept of many, and what merges fastest."""

    bins: NDArray[np.uint16]
    """(n,) of all bands one after the other, ascending within a band."""
    numbers: NDArray[np.int64]
    """(n,) pixels in each of `bins`."""
    ends: NDArray[np.int64]
    """(band,) where a band's bins end; the next band's begin there."""
    nodata: NDArray[np.int64]
    """(band,) as in `Histogram`."""

    def __post_init__(self) -> None:
        expect_array("bins", self.bins, np.uint16, (None,))
        expect_array("numbers", self.numbers, np.int64, (self.bins.size,))
        expect_array("ends", self.ends, np.int64, (None,))
        expect_array("nodata", self.nodata, np.int64, (self.ends.size,))
        if np.any(np.diff(self.ends, prepend=0, append=self.bins.size) < 0) or self.ends[-1:].sum() != self.bins.size:
            raise GridMismatchError(
                f"Packed histogram: found bands that end at {self.ends.tolist()}, expected ascending ends, the last "
                f"at {self.bins.size}. Pack the histogram again."
            )

    def unpacked(self) -> Histogram:
        """With all its bins."""
        whole = HistogramSum(self.ends.size)
        whole.add(self)
        return whole.histogram()


class HistogramSum:
    """A running sum of histograms, in whatever order; nothing but additions, so it can be taken back exactly."""

    def __init__(self, bands: int) -> None:
        self._sum = Histogram.empty(bands)

    def add(self, part: Histogram | PackedHistogram) -> None:
        """Add the pixels of a part; `GridMismatchError` if the number of bands differs."""
        self._take(part, 1)

    def subtract(self, part: Histogram | PackedHistogram) -> None:
        """Take the pixels of a part away; `GridMismatchError` if the number of bands differs."""
        self._take(part, -1)

    def histogram(self) -> Histogram:
        """A copy of the sum; `ProductError` if more was subtracted than added."""
        return Histogram.empty(len(self._sum.counts)) + self._expect_whole()

    def packed(self) -> PackedHistogram:
        """The sum's bins that hold pixels; `ProductError` if more was subtracted than added."""
        return self._expect_whole().packed()

    def _take(self, part: Histogram | PackedHistogram, sign: int) -> None:
        bands = len(part.nodata)
        if bands != len(self._sum.nodata):
            raise GridMismatchError(
                f"Histograms: found {len(self._sum.nodata)} and {bands} bands, expected the same. "
                "Build both with the same bands."
            )
        if isinstance(part, PackedHistogram):
            _take_packed(part.bins, part.numbers, part.ends, sign, self._sum.counts)
        else:
            np.add(self._sum.counts, sign * part.counts, out=self._sum.counts)
        np.add(self._sum.nodata, sign * part.nodata, out=self._sum.nodata)

    def _expect_whole(self) -> Histogram:
        if self._sum.counts.min(initial=0) < 0 or self._sum.nodata.min(initial=0) < 0:
            raise ProductError(
                "Histograms: found more pixels in the parts taken away than in those added, expected a part of the "
                "whole. A part was rebuilt since: merge all parts again."
            )
        return self._sum


def merged(histograms: Iterable[Histogram | PackedHistogram]) -> Histogram:
    """Of the pixels of all, in whatever order; `ProductError` if there are none to merge."""
    whole: HistogramSum | None = None
    for histogram in histograms:
        whole = whole or HistogramSum(len(histogram.nodata))
        whole.add(histogram)
    if whole is None:
        raise ProductError(
            "Histograms: found none to merge, expected at least one. Materialise the tiles' stats first."
        )
    return whole.histogram()


def reflectance_histogram(values: ReflectanceCount, inside: Flag | None = None) -> Histogram:
    """Histogram of a block.

    Parameters
    ----------
    values : (band, y, x) int16
        Reflectance counts; nodata (-32768) is counted apart.
    inside : (y, x) bool, optional
        True for pixels to look at; all of them if omitted.

    Returns
    -------
    histogram : Histogram
        `pixels` and `nodata` add up to the pixels that are inside, in every band.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above.
    """
    expect_array("values", values, np.int16, (None, None, None))
    bands, height, width = values.shape
    counts = np.zeros((bands, BINS), np.int64)
    if inside is None:
        looked_at = height * width
        _count(values, counts)
    else:
        expect_array("inside", inside, np.bool_, (height, width))
        looked_at = int(np.count_nonzero(inside))
        _count_inside(values, inside, counts)
    counts[:, 0] = 0
    return Histogram(counts, looked_at - counts.sum(axis=1))


def _rank(percent: float, count: int) -> int:
    """How many of `count` pixels make up `percent` of them: rounded up, at least one."""
    if not 0 <= percent <= 100:
        raise RegionError(f"Percentile: found {percent}, expected 0 to 100.")
    return max(math.ceil(Fraction(str(percent)) * count / 100), 1)


def _exact_sum(numbers: NDArray[np.int64], weights: NDArray[np.int64]) -> int:
    """Sum of ``numbers * weights``, which may not fit an int64: a year of tiles times the square of a count does not.

    `numbers` are cut into digits of 16 bits; times a weight of up to 30 bits, 65,536 of them fit.
    """
    return sum(int(np.dot((numbers >> shift) & 0xFFFF, weights)) << shift for shift in (0, 16, 32, 48))


# One table per band is enough: splitting it to keep runs of one value apart was measured slower (0.5 against
# 0.4 ns a pixel), because the tables then no longer fit the nearest cache. numpy's bincount takes 2.4 ns.


@njit(nogil=True, cache=True)
def _count(values: ReflectanceCount, counts: NDArray[np.int64]) -> None:
    for band in range(values.shape[0]):
        bins = counts[band]
        for row in range(values.shape[1]):
            for col in range(values.shape[2]):
                bins[np.int64(values[band, row, col]) - FIRST_VALUE] += 1


@njit(nogil=True, cache=True)
def _count_inside(values: ReflectanceCount, inside: Flag, counts: NDArray[np.int64]) -> None:
    """Like `_count`, where `inside`; the pixels outside land in the nodata bin, which the caller empties."""
    for band in range(values.shape[0]):
        bins = counts[band]
        for row in range(values.shape[1]):
            for col in range(values.shape[2]):
                value = np.int64(values[band, row, col])
                bins[value - FIRST_VALUE if inside[row, col] else 0] += 1


@njit(nogil=True, cache=True)
def _take_packed(
    bins: NDArray[np.uint16],
    numbers: NDArray[np.int64],
    ends: NDArray[np.int64],
    sign: int,
    counts: NDArray[np.int64],
) -> None:
    begin = 0
    for band in range(ends.size):
        for index in range(begin, ends[band]):
            counts[band, bins[index]] += sign * numbers[index]
        begin = ends[band]
