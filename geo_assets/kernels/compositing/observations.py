"""A stack of observations, what becomes of it, and which of them a pixel uses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, ClassCode, Flag, ReflectanceCount
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array

MOST_SCENES = 255
"""`source` is uint8 and keeps 255 for "none"."""


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """The scenes of a month on one window. Arrays that are views are copied.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from those below, there are more than `MOST_SCENES` scenes, or two of them share a
        place in the order of acquisition.
    """

    reflectance: ReflectanceCount
    """(time, band, y, x) int16: reflectance counts, nodata -32768. `time` is in order of rank, best scene first."""
    quality: ClassCode
    """(time, y, x) uint8: 0 is best; 255 is unusable."""
    acquired: NDArray[np.int64]
    """(time,) int64: order of acquisition, no number twice; ties go to the smallest."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reflectance", np.ascontiguousarray(self.reflectance))
        object.__setattr__(self, "quality", np.ascontiguousarray(self.quality))
        expect_array("reflectance", self.reflectance, np.int16, (None, None, None, None))
        scenes, _, height, width = self.reflectance.shape
        expect_array("quality", self.quality, np.uint8, (scenes, height, width))
        expect_array("acquired", self.acquired, np.int64, (scenes,))
        if scenes > MOST_SCENES:
            raise GridMismatchError(
                f"Composite: found {scenes} scenes, expected at most {MOST_SCENES}. Select fewer scenes."
            )
        if len(np.unique(self.acquired)) != scenes:
            raise GridMismatchError(
                f"Composite: found {self.acquired.tolist()} as order of acquisition, expected every number once: "
                "the earlier of two scenes has to be known. Number the scenes by time and then by id."
            )

    @property
    def chronology(self) -> NDArray[np.int64]:
        """(time,) int64: indexes into time, earliest acquisition first."""
        return np.argsort(self.acquired, kind="stable").astype(np.int64)

    def at(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> "Observations":
        """The observations of some pixels, as a window of one row."""
        return Observations(
            self.reflectance[:, :, rows, cols][:, :, np.newaxis],
            self.quality[:, rows, cols][:, np.newaxis],
            self.acquired,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Composite:
    """One value per pixel, and where it came from."""

    bands: ReflectanceCount
    """(band, y, x) int16: a spectrum in every pixel; -32768 where no scene was usable."""
    quality: ClassCode
    """(y, x) uint8: quality of the observations that were used; 255 where there is none."""
    observation_count: ClassCode
    """(y, x) uint8: usable observations; 0 where there is none, so 255 is a count here and not nodata."""
    source: ClassCode
    """(y, x) uint8: index into time of the chosen observation, or, where several make one value, of the used one
    nearest to it: least sum of squared differences over bands, the earliest of equals; 255 where there is none."""
    uncertainty: ReflectanceCount | None = None
    """(band, y, x) int16: see `uncertainty.standard_uncertainty`; None where it was not asked for."""


def filled(
    fill: Callable[..., None], observations: Observations, *inputs: Any, order: NDArray[np.int64] | None = None
) -> Composite:
    """The composite that a kernel makes of observations, without uncertainty.

    Parameters
    ----------
    fill : callable
        Takes reflectance, quality, order and `inputs`, and fills bands, quality, observation count and source: as
        `Composite` has them, and all as if no scene were usable at first.
    observations : Observations
        Of any order.
    inputs
        What else the kernel reads.
    order : (time,) int64, optional
        Indexes into time, in the order in which scenes are gone through; the order of acquisition by default.
    """
    _, bands, height, width = observations.reflectance.shape
    made = Composite(
        bands=np.full((bands, height, width), NODATA_REFLECTANCE, np.int16),
        quality=np.full((height, width), NODATA_CLASS, np.uint8),
        observation_count=np.zeros((height, width), np.uint8),
        source=np.full((height, width), NODATA_CLASS, np.uint8),
    )
    order = observations.chronology if order is None else order
    layers = (made.bands, made.quality, made.observation_count, made.source)
    fill(observations.reflectance, observations.quality, order, *inputs, *layers)
    return made


@njit(nogil=True, cache=True)
def mark_usable(
    reflectance: ReflectanceCount, quality: ClassCode, order: NDArray[np.int64], row: int, usable: Flag
) -> None:
    """Fill `usable` (time in the order of `order`, x) for one row of a stack."""
    for place in range(order.size):
        codes, line = quality[order[place], row], usable[place]
        for col in range(line.size):
            line[col] = codes[col] != NODATA_CLASS
        for band in range(reflectance.shape[1]):
            counts = reflectance[order[place], band, row]
            for col in range(line.size):
                line[col] &= counts[col] != NODATA_REFLECTANCE


@njit(nogil=True, cache=True)
def mark_used(
    reflectance: ReflectanceCount, quality: ClassCode, order: NDArray[np.int64], row: int,
    used: Flag, best_quality: ClassCode, observation_count: ClassCode,
) -> None:  # fmt: skip
    """Fill, for one row, the best quality, the number of usable observations, and which of them have that quality.

    Row by row: all scenes and bands of one row are still in the processor's cache when they are reduced.
    """
    mark_usable(reflectance, quality, order, row, used)
    for place in range(order.size):
        codes, line = quality[order[place], row], used[place]
        for col in range(line.size):
            observation_count[col] += np.uint8(line[col])
            best_quality[col] = min(best_quality[col], codes[col] if line[col] else np.uint8(NODATA_CLASS))
    for place in range(order.size):
        codes, line = quality[order[place], row], used[place]
        for col in range(line.size):
            line[col] &= codes[col] == best_quality[col]


@njit(nogil=True, cache=True)
def copy_chosen(reflectance: ReflectanceCount, row: int, source: ClassCode, bands: ReflectanceCount) -> None:
    """Copy the whole spectrum of every pixel's chosen scene, for one row."""
    for band in range(bands.shape[0]):
        line = bands[band, row]
        for col in range(line.size):
            if source[col] != NODATA_CLASS:
                line[col] = reflectance[source[col], band, row, col]
