"""Whether a composite's uncertainty is honest: how often an observation that it was made without lies inside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, Flag
from geo_assets.domain.errors import GridMismatchError
from geo_assets.domain.region_composite import CompositeMethod
from geo_assets.kernels.compositing.methods import composite
from geo_assets.kernels.compositing.observations import Observations

LATTICE_PX = 16
"""Every so many rows and columns of the product's grid a pixel is tried."""

FEWEST = 4
"""Clear observations that a pixel needs to be tried: one to hold out, and three that have a spread."""

_PICKS: tuple[CompositeMethod, ...] = ("best_pixel", "bap", "max_ndvi")


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationCounts:
    """How many observations were held out, and how many lay inside; `+` merges the counts of two windows."""

    held_out: NDArray[np.int64]
    """(band,) int64: observations compared with the composite of the others."""
    inside_1_sigma: NDArray[np.int64]
    """(band,) int64: of these, no farther from it than one sigma of the difference."""
    inside_2_sigma: NDArray[np.int64]
    """(band,) int64: no farther than two."""

    def __add__(self, other: "CalibrationCounts") -> "CalibrationCounts":
        return CalibrationCounts.from_array(self.to_array() + other.to_array())

    def to_array(self) -> NDArray[np.int64]:
        """(3, band) int64, in the order of the fields; arrays of several windows add up to that of all."""
        return np.stack([self.held_out, self.inside_1_sigma, self.inside_2_sigma])

    @classmethod
    def from_array(cls, counts: NDArray[np.int64]) -> "CalibrationCounts":
        """The reverse of `to_array`."""
        return cls(*counts)

    def figures(self, band_names: Sequence[str]) -> dict[str, dict[str, float | int | None]]:
        """Band -> how many were held out, and the shares inside; None for a share of nothing."""
        figures: dict[str, dict[str, float | int | None]] = {}
        for name, held_out, one, two in zip(band_names, *self.to_array().tolist(), strict=True):
            shares = {"inside_1_sigma": one, "inside_2_sigma": two}
            figures[name] = {"held_out": held_out} | {
                key: inside / held_out if held_out else None for key, inside in shares.items()
            }
        return figures


def calibration_counts(
    observations: Observations,
    method: CompositeMethod,
    *,
    row: int,
    col: int,
    percentile: float = 25.0,
    scores: NDArray[np.float32] | None = None,
    red: int | None = None,
    nir: int | None = None,
    inside: Flag | None = None,
) -> CalibrationCounts:
    """Hold out one clear observation of some pixels, and compare it with the composite of the others.

    Pixels lie on every `LATTICE_PX`-th row and column of the product's grid and have at least `FEWEST` clear
    observations (quality 0). Which of these is held out follows from the pixel's place, not from what was observed: so
    neither blocks nor the order of scenes change a count, and no observation is chosen for being odd.

    Parameters
    ----------
    observations : Observations
        A window of the product's grid.
    method, percentile, scores, red, nir
        As for `methods.composite`.
    row, col : int
        The window's upper left pixel on the product's grid.
    inside : (y, x) bool or None
        Pixels that may be tried; None: all.

    Returns
    -------
    counts : CalibrationCounts
        For each band.

    Raises
    ------
    RegionError, GridMismatchError
        As of `methods.composite`.

    Notes
    -----
    The composite's sigma is the spread of single observations about its value. A new observation misses that value by
    its own spread, sigma, and by the value's own error. That error is another sigma where the method takes one
    observation, so the difference has ``sqrt(2) sigma``; where it averages n of them, it is near ``sigma / sqrt(n)``,
    and the difference has ``sqrt(1 + 1/n) sigma``. A medoid, one observation but from the middle, lies between, and is
    taken to have half of sigma squared (0.2 to 0.75 on simulated spectra of 1 to 6 bands, 4 to 15 times).

    An honest sigma has 68 % of differences inside one of that and 95 % inside two, if it was estimated from many. From
    three observations a Gaussian one has 58 % and 82 %, from six 64 % and 90 % (Student's t with one degree of freedom
    less). A percentile far from 50 and the greenest pixel lie aside from the middle on purpose, and fall short by it.
    """
    lattice = _lattice(observations, row, col, inside)
    chosen = observations.at(*lattice)
    scored = None if scores is None else np.ascontiguousarray(scores[:, *lattice][:, np.newaxis])
    clear = _clear(chosen)
    tried = np.flatnonzero(clear.sum(axis=0) >= FEWEST)
    held = _held_out(clear[:, tried], chosen.chronology, row + lattice[0][tried], col + lattice[1][tried])
    quality = chosen.quality.copy()
    quality[held, 0, tried] = NODATA_CLASS
    without = Observations(chosen.reflectance, quality, chosen.acquired)
    made = composite(without, method, percentile=percentile, scores=scored, red=red, nir=nir, uncertainty=True)
    assert made.uncertainty is not None  # asked for
    difference = chosen.reflectance[held, :, 0, tried].T - made.bands[:, 0, tried].astype(np.float64)
    own_error = _own_error(method, clear[:, tried].sum(axis=0) - 1)
    sigma = made.uncertainty[:, 0, tried] * np.sqrt(1 + own_error)
    return CalibrationCounts(
        np.full(len(difference), len(tried), np.int64),
        np.count_nonzero(np.abs(difference) <= sigma, axis=1).astype(np.int64),
        np.count_nonzero(np.abs(difference) <= 2 * sigma, axis=1).astype(np.int64),
    )


def _own_error(method: CompositeMethod, others: NDArray[np.int64]) -> NDArray[np.float64]:
    """Variance of the composite's own error over that of one observation."""
    if method in _PICKS:
        return np.ones(others.shape)
    return np.full(others.shape, 0.5) if method == "medoid" else 1 / others


def _lattice(
    observations: Observations, row: int, col: int, inside: Flag | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the window, of pixels on the lattice."""
    height, width = observations.quality.shape[1:]
    if inside is not None and inside.shape != (height, width):
        raise GridMismatchError(
            f"Array 'inside': found {inside.shape}, expected {(height, width)}. Give it for the window's pixels."
        )
    rows, cols = np.meshgrid(
        np.arange(-row % LATTICE_PX, height, LATTICE_PX), np.arange(-col % LATTICE_PX, width, LATTICE_PX), indexing="ij"
    )
    flat_rows, flat_cols = rows.ravel(), cols.ravel()
    if inside is None:
        return flat_rows, flat_cols
    kept = inside[flat_rows, flat_cols]
    return flat_rows[kept], flat_cols[kept]


def _clear(observations: Observations) -> Flag:
    """(time, pixel) bool of a window of one row: usable, of quality 0."""
    seen = (observations.reflectance != NODATA_REFLECTANCE).all(axis=1)
    return np.asarray(seen & (observations.quality == 0))[:, 0]


def _held_out(
    clear: Flag, chronology: NDArray[np.int64], rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(pixel,) indexes into time: of the clear observations in order of acquisition, the one that the place says."""
    number = (_scatter(rows // LATTICE_PX, cols // LATTICE_PX) % clear.sum(axis=0).astype(np.uint64)).astype(np.int64)
    later = np.cumsum(clear[chronology], axis=0) > number
    return np.asarray(chronology[np.argmax(later, axis=0)])


def _scatter(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number for every place that has no pattern along rows, columns or diagonals (multiply, shift, multiply)."""
    mixed = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + cols.astype(np.uint64) * np.uint64(
        0xC2B2AE3D27D4EB4F
    )
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(mixed ^ (mixed >> np.uint64(32)), np.uint64)
