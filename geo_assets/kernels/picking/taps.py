"""Stored pixels that output pixels are made from.

Both grids lie the same way round, so rows and columns are looked up apart: `Taps` says for every output row (and every
output column) which stored ones it is made from.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_ON_THE_CENTRE = 1e-6
"""Stored pixels: an output centre this near to a stored one lies on it; coordinates are not more exact."""


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """The stored pixels that each pixel along one output axis is made from."""

    first: NDArray[np.int32]
    """(n,): the stored pixel at or before the output pixel's centre; ascending from `begin` to `end`, else -1."""
    second: NDArray[np.int32]
    """(n,): the next one, or `first` where that alone counts."""
    weight: NDArray[np.float32]
    """(n,): of `second`, 0 to 1; `first` has the rest."""
    begin: int
    """First output pixel whose centre lies on the stored raster."""
    end: int
    """One past the last."""
    steps: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Where several output pixels in turn lie between the same two stored ones, as on a grid that nests in a coarser
    one: how many, how many of the first two's are missing, and the outputs for which this holds (begin, end)."""

    def touching(self, first: int, end: int) -> tuple[int, int]:
        """Output pixels with at least one tap among the stored pixels `first` to `end` (not included)."""
        held = slice(self.begin, self.end)
        return (
            self.begin + int(np.searchsorted(self.second[held], first)),
            self.begin + int(np.searchsorted(self.first[held], end)),
        )

    def within(self, first: int, end: int) -> tuple[int, int]:
        """Output pixels all of whose taps are among the stored pixels `first` to `end`; none: an empty range."""
        held = slice(self.begin, self.end)
        begin = self.begin + int(np.searchsorted(self.first[held], first))
        return begin, max(begin, self.begin + int(np.searchsorted(self.second[held], end)))

    def moved(self, *, outputs: int = 0, stored: int = 0) -> "Taps":
        """The same taps, counted from another first output pixel and another first stored one; outputs before go."""
        begin, end = max(self.begin - outputs, 0), max(self.end - outputs, 0)
        first, second = self.first[outputs:].copy(), self.second[outputs:].copy()
        first[begin:end] -= stored
        second[begin:end] -= stored
        return Taps(first, second, self.weight[outputs:], begin, end)

    def straddling(self, border: int) -> tuple[int, int]:
        """Output pixels with one tap before the stored pixel `border` and one from it on."""
        held = slice(self.begin, self.end)
        return (
            self.begin + int(np.searchsorted(self.second[held], border)),
            self.begin + int(np.searchsorted(self.first[held], border)),
        )

    @property
    def stored(self) -> tuple[int, int]:
        """First stored pixel that is a tap, and one past the last; equal where none is."""
        if self.begin >= self.end:
            return 0, 0
        return int(self.first[self.begin]), int(self.second[self.end - 1]) + 1


def bilinear_taps(centres: NDArray[np.float64], length: int) -> Taps:
    """Taps for interpolation between stored pixels' centres.

    Parameters
    ----------
    centres : (n,) float64, ascending
        Where the output pixels' centres lie, in stored pixels from the raster's edge: 0.5 is its first pixel's centre.
    length : int
        Stored pixels along the axis; centres beyond them have no taps.

    Returns
    -------
    taps : Taps
        Half a pixel along the edge, where only one neighbour exists, takes that one.
    """
    begin, end = _on_raster(centres, length)
    place = centres[begin:end] - 0.5
    nearest = np.rint(place)
    place = np.clip(np.where(np.abs(place - nearest) < _ON_THE_CENTRE, nearest, place), 0, max(length - 1, 0))
    first = np.floor(place)
    weight = place - first
    taps = _taps(len(centres), begin, end, first, first + (weight > 0), weight)
    return replace(taps, steps=_steps(taps))


def run_taps(first: int, begin: int, end: int, number: int) -> Taps:
    """Taps of outputs that are stored pixels: outputs `begin` to `end` of `number`, from stored pixel `first` on."""
    pixels = np.arange(first, first + end - begin, dtype=np.float64)
    return _taps(number, begin, end, pixels, pixels, np.zeros_like(pixels))


def nearest_taps(centres: NDArray[np.float64], length: int) -> Taps:
    """Taps for the stored pixel that holds each output centre; parameters as of `bilinear_taps`.

    A centre on the border between two pixels belongs to the second, as in GDAL.
    """
    begin, end = _on_raster(centres, length)
    place = np.floor(centres[begin:end] + _ON_THE_CENTRE)
    pixel = np.clip(place, 0, max(length - 1, 0))
    return _taps(len(centres), begin, end, pixel, pixel, np.zeros_like(pixel))


def _on_raster(centres: NDArray[np.float64], length: int) -> tuple[int, int]:
    return (
        int(np.searchsorted(centres, -_ON_THE_CENTRE)),
        int(np.searchsorted(centres, length + _ON_THE_CENTRE)),
    )


def _taps(
    number: int,
    begin: int,
    end: int,
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> Taps:
    taps = Taps(np.full(number, -1, np.int32), np.full(number, -1, np.int32), np.zeros(number, np.float32), begin, end)
    taps.first[begin:end], taps.second[begin:end], taps.weight[begin:end] = first, second, weight
    return taps


def _steps(taps: Taps) -> tuple[int, int, int, int]:
    """See `Taps.steps`."""
    between = np.flatnonzero(taps.second > taps.first)
    if not between.size or between[-1] - between[0] != between.size - 1:
        return 0, 0, 0, 0
    first = taps.first[between]
    lengths = np.diff(np.flatnonzero(np.diff(first, prepend=-1)))
    many = int(lengths[1]) if lengths.size > 1 else 0
    missing = many - int(lengths[0]) if many else 0
    if many < 2 or missing < 0 or (first != first[0] + (np.arange(first.size) + missing) // many).any():
        return 0, 0, 0, 0
    return many, missing, int(between[0]), int(between[-1]) + 1
