"""What two rasters that overlap have in common: means of 8 x 8 pixel cells, for harmonisation and for seamlines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.mosaicking.blending import has_data
from geo_assets.kernels.mosaicking.cell_means import CellMeans, common_cell_means
from geo_assets.stations.mosaicking.source import BlendSource

CELL_PX: Final = 8
"""Edge of a cell, pixels: below it neighbours' misregistration and noise would be taken for a difference in light."""

SAMPLE_STEP: Final = 4
"""Every fourth cell in rows and columns of the lattice (32 px) is a sample of the harmonisation."""

_WINDOW_CELLS = 64
"""Edge of what is read at a time, cells: 512 px, as large as a raster block."""


@dataclass(frozen=True, slots=True, eq=False)
class OverlapMeans:
    """Cell means of the ground that two rasters share, in stored counts."""

    first: str
    second: str
    """Their names, `first` before `second`."""
    row: int
    col: int
    """Lattice position of cell [0, 0], in cells: that of its upper left pixel over `CELL_PX`."""
    first_means: CellMeans
    second_means: CellMeans
    """(band, y, x) float64; NaN unless all 64 pixels are valid in both, band by band."""
    seen: NDArray[np.uint8] | None = None
    """(y, x): 1 where `first` has data in any pixel of the cell and any band, plus 2 where `second` has; None: both
    everywhere."""

    def samples(self, band: int, *, step: int = SAMPLE_STEP) -> NDArray[np.float64]:
        """(n, 2) float64: means in first and second of every `step`-th cell of the lattice, row by row; none is NaN."""
        sampled = (slice(-self.row % step, None, step), slice(-self.col % step, None, step))
        pairs = np.stack([self.first_means[band][sampled], self.second_means[band][sampled]], axis=-1).reshape(-1, 2)
        return np.ascontiguousarray(pairs[~np.isnan(pairs[:, 0])])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays that `from_arrays` makes it from again; none of them of Python objects."""
        return {
            "names": np.array([self.first, self.second]),
            "origin": np.array([self.row, self.col], np.int64),
            "first_means": self.first_means,
            "second_means": self.second_means,
        } | ({} if self.seen is None else {"seen": self.seen})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The overlap that `to_arrays` gave."""
        first, second = (str(name) for name in arrays["names"])
        row, col = (int(position) for position in arrays["origin"])
        return cls(first, second, row, col, arrays["first_means"], arrays["second_means"], arrays.get("seen"))


def overlap_means(first: BlendSource, second: BlendSource) -> OverlapMeans | None:
    """Cell means of the ground that two rasters share.

    Parameters
    ----------
    first, second
        In either order; the one whose name is smaller becomes the result's `first`. Read in windows of 512 px, each
        pixel once; two windows and the means (a quarter of a byte for each byte of int16) are all that is held.

    Returns
    -------
    OverlapMeans or None
        None where no cell lies within both, or none is wholly valid in both in any band.

    Raises
    ------
    GridMismatchError
        The two have the same name, or differ in bands or dtype.
    """
    if second.name < first.name:
        first, second = second, first
    _expect_alike(first, second)
    top, bottom = _common_cells((first.row, first.height), (second.row, second.height))
    left, right = _common_cells((first.col, first.width), (second.col, second.width))
    if top >= bottom or left >= right:
        return None
    shape = (first.bands, bottom - top, right - left)
    first_means, second_means = np.full(shape, np.nan), np.full(shape, np.nan)
    seen = np.zeros(shape[1:], np.uint8)
    for row in range(top, bottom, _WINDOW_CELLS):
        for col in range(left, right, _WINDOW_CELLS):
            height, width = min(_WINDOW_CELLS, bottom - row), min(_WINDOW_CELLS, right - col)
            cells = (slice(None), slice(row - top, row - top + height), slice(col - left, col - left + width))
            windows = [_cells_of(source, row, col, height, width) for source in (first, second)]
            for bit, source, window in zip((1, 2), (first, second), windows, strict=True):
                seen[cells[1:]] += bit * _cells_with_data(window, source.nodata)
            first_means[cells], second_means[cells] = common_cell_means(
                *windows,
                cell_px=CELL_PX,
                first_nodata=first.nodata,
                second_nodata=second.nodata,
            )
    if np.isnan(first_means).all():
        return None
    return OverlapMeans(first.name, second.name, top, left, first_means, second_means, seen)


def _expect_alike(first: BlendSource, second: BlendSource) -> None:
    found = [(source.bands, np.dtype(source.dtype).name) for source in (first, second)]
    if first.name == second.name or found[0] != found[1]:
        raise GridMismatchError(
            f"Overlap of {first.name} and {second.name}: found {found[0][0]} bands of {found[0][1]} and {found[1][0]} "
            f"bands of {found[1][1]}, expected two names, the same bands and the same dtype. Convert one of them first."
        )


def _common_cells(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    """First and one past the last whole cell of two stretches (begin, length) of lattice pixels."""
    begin, end = max(first[0], second[0]), min(sum(first), sum(second))
    return -(-begin // CELL_PX), end // CELL_PX


def _cells_of(source: BlendSource, row: int, col: int, height: int, width: int) -> NDArray[Any]:
    """(band, y, x) pixels of a rectangle of lattice cells."""
    return source.window(row * CELL_PX - source.row, col * CELL_PX - source.col, height * CELL_PX, width * CELL_PX)


def _cells_with_data(window: NDArray[Any], nodata: float) -> NDArray[np.uint8]:
    """(y, x) of cells: 1 where any pixel of any band of a (band, y, x) window has data."""
    pixels = has_data(window, nodata).any(axis=0)
    cells = pixels.reshape(pixels.shape[0] // CELL_PX, CELL_PX, pixels.shape[1] // CELL_PX, CELL_PX)
    data: NDArray[np.uint8] = np.any(cells, axis=(1, 3)).astype(np.uint8)
    return data
