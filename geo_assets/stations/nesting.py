"""Two rasters of one tile: the region's, and the one on which detectors work, usually of larger pixels."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, ReflectanceCount
from geo_assets.kernels.quality import most_restrictive
from geo_assets.kernels.radiometry import block_mean
from geo_assets.stations.ground import Blocks, Ground, Window


@dataclass(frozen=True, slots=True, eq=False)
class Nesting:
    """How the pixels of two grounds of one tile lie in each other; both begin at the tile's corner."""

    fine: Ground
    """At the region's resolution."""
    coarse: Ground
    """At the mask's, which may be finer where a region is coarse."""

    @property
    def ratio(self) -> float:
        """Fine pixels along the edge of a coarse one."""
        return float(self.coarse.geobox.resolution.x / self.fine.geobox.resolution.x)

    def under(self, window: Window) -> Window:
        """The fine pixels that some pixel of a coarse window touches."""
        (top, bottom), (left, right) = (
            (math.floor(first * self.ratio + _SAME), min(math.ceil(stop * self.ratio - _SAME), limit))
            for (first, stop), limit in zip(_ends(window), self.fine.geobox.shape, strict=True)
        )
        return Window(top, left, bottom - top, right - left)

    def averaged(self, counts: ReflectanceCount, window: Window) -> ReflectanceCount:
        """Reflectance of a coarse window from the (y, x) counts `under` it.

        Means where coarse pixels are whole groups of fine ones, else the fine pixel at each coarse centre.
        """
        if self.ratio >= 1 and self.ratio.is_integer():
            return block_mean(counts, int(self.ratio))
        under = self.under(window)
        rows, cols = (
            _holding(first, stop, 1 / self.ratio) - begin
            for (first, stop), (begin, _) in zip(_ends(window), _ends(under), strict=True)
        )
        return counts[np.ix_(rows, cols)]

    def holding(self, window: Window) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the coarse raster in which the centres of a fine window's rows and columns lie."""
        (top, bottom), (left, right) = _ends(window)
        return _holding(top, bottom, self.ratio), _holding(left, right, self.ratio)

    def nearest(self, codes: ClassCode, window: Window) -> ClassCode:
        """The codes at a fine window, of the coarse pixel that holds each centre.

        Parameters
        ----------
        codes : (y, x) uint8
            Of the coarse ground's whole extent; fill is everywhere else.
        """
        extent = self.coarse.extent()
        rows, cols = self.holding(window)
        rows, cols = rows - extent.row, cols - extent.col
        inside = ((rows >= 0) & (rows < extent.height))[:, np.newaxis] & ((cols >= 0) & (cols < extent.width))
        found = codes[np.ix_(np.clip(rows, 0, extent.height - 1), np.clip(cols, 0, extent.width - 1))]
        if not inside.all():
            found[~inside] = NODATA_CLASS
        return found

    def completed(self, window: Window) -> Window:
        """A fine window, and as much more as the coarse pixels that begin in it need."""
        height, width = (
            max(int(self._spans(axis, window)[2].max(initial=0)), stop) - first
            for axis, (first, stop) in enumerate(_ends(window))
        )
        return Window(window.row, window.col, height, width)

    def cells(self, codes: ClassCode, window: Window) -> ClassCode:
        """The most restrictive code in each coarse pixel that begins in a fine window.

        Parameters
        ----------
        codes : (y, x) uint8
            Of the `completed` window.
        """
        (_, top, bottom), (_, left, right) = self._spans(0, window), self._spans(1, window)
        if top.size == 0 or left.size == 0:
            return np.empty((top.size, left.size), np.uint8)
        rows, cols = (top - window.row, bottom - window.row), (left - window.col, right - window.col)
        return most_restrictive(codes, rows, cols)

    def lay(self, plane: ClassCode, blocks: Blocks, cells: ClassCode) -> None:
        """Write the `cells` of fine blocks, (n,) uint8 one after the other, to where they lie in the coarse raster."""
        at = 0
        for block in blocks:
            window = self.fine.block_window(*block)
            (row, rows, _), (col, cols, _) = self._spans(0, window), self._spans(1, window)
            size = rows.size * cols.size
            plane[row : row + rows.size, col : col + cols.size] = cells[at : at + size].reshape(rows.size, cols.size)
            at += size

    def _spans(self, axis: int, window: Window) -> tuple[int, NDArray[np.intp], NDArray[np.intp]]:
        """The coarse pixels that begin in a fine window, along one axis.

        Number of the first; of each, its first fine pixel and the one after its last.
        """
        begins, stops = _edges(self.coarse.geobox.shape[axis], self.fine.geobox.shape[axis], self.ratio)
        low, high = (int(number) for number in np.searchsorted(begins, _ends(window)[axis]))
        return low, begins[low:high], stops[low:high]


_SAME = 1e-9
"""Pixels by which two edges may differ and be one."""


def _ends(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """First row and the one after the last, and the same of columns."""
    return (window.row, window.row + window.height), (window.col, window.col + window.width)


def _holding(first: int, stop: int, ratio: float) -> NDArray[np.intp]:
    """The pixels, `ratio` times as large, in which the centres of pixels `first` to `stop` lie."""
    return ((np.arange(first, stop) + 0.5) / ratio).astype(np.intp)


@cache
def _edges(coarse: int, fine: int, ratio: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of `coarse` pixels, each `ratio` fine ones wide: the first fine one of each, and the one after its last."""
    edges = np.arange(coarse + 1) * ratio
    begins, stops = np.floor(edges[:-1] + _SAME).astype(np.intp), np.ceil(edges[1:] - _SAME).astype(np.intp)
    return np.minimum(begins, fine - 1), np.minimum(stops, fine)
