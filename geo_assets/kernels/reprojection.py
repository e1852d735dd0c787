"""Pixels of one grid, taken from another at positions that are given for each of them.

Positions count in pixels of the source from its upper left corner, as GDAL's transforms do: pixel (i, j) covers rows
i to i + 1, and its centre lies at (i + 0.5, j + 0.5). What is not finite lies outside.
"""

from typing import Any, TypeAlias, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array

Stored = TypeVar("Stored", bound=np.generic)

Positions: TypeAlias = NDArray[np.float64]
"""(y, x) rows or columns of a source, pixels from its upper left corner."""


def resample_nearest(
    source: NDArray[Stored], rows: Positions, cols: Positions, *, fill: float, top: int = 0, left: int = 0
) -> NDArray[Stored]:
    """The source pixel in which each position lies; for categories.

    Parameters
    ----------
    source : (row, col) of any integer or boolean dtype
        A window of a raster.
    rows, cols : (y, x) float64
        Positions in that raster.
    fill
        Value where a position lies outside the window.
    top, left
        Row and column of the raster at which the window begins.

    Returns
    -------
    taken : (y, x) of the source's dtype

    Raises
    ------
    GridMismatchError
        An array has another shape or dtype.
    """
    _expect_positions(rows, cols)
    taken = np.empty(rows.shape, source.dtype)
    _nearest(source, rows, cols, top, left, source.dtype.type(fill), taken)
    return taken


def resample_bilinear(
    source: NDArray[Stored], rows: Positions, cols: Positions, *, nodata: int, top: int = 0, left: int = 0
) -> NDArray[Stored]:
    """Bilinear interpolation between the four nearest source pixels, as far as they are valid; for counts.

    Parameters
    ----------
    source : (row, col) int16, uint16, uint8 or int32
        A window of a raster. Beyond the window there is no data, so it needs one pixel more on every side than the
        positions touch, except at the raster's edge.
    rows, cols : (y, x) float64
        Positions in that raster.
    nodata
        Value of source pixels without data, and of the result's.
    top, left
        Row and column of the raster at which the window begins.

    Returns
    -------
    counts : (y, x) of the source's dtype
        Nodata exactly where the pixel in which the position lies is nodata, or outside; elsewhere the weighted mean
        of the valid ones among the four, rounded half up. Where that would be `nodata` itself, one count more.

    Raises
    ------
    GridMismatchError
        An array has another shape or dtype.

    Notes
    -----
    Weights are products of float64, and the same whatever window holds the source: `top` and `left` are subtracted
    as whole numbers.
    """
    if source.dtype not in (np.int16, np.uint16, np.uint8, np.int32):
        raise GridMismatchError(
            f"Source: found {source.dtype}, expected whole counts: int16, uint16, uint8 or int32. "
            "Interpolate counts, and turn them into reflectance afterwards."
        )
    _expect_positions(rows, cols)
    counts = np.empty(rows.shape, source.dtype)
    _bilinear(source, rows, cols, top, left, source.dtype.type(nodata), counts)
    return counts


def lattice_positions(
    nodes: NDArray[np.float64], rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A smooth field at the crossings of rows and columns, by the cubic through four nodes each way.

    Parameters
    ----------
    nodes : (node row, node col) float64
        The field on a lattice of step 1.
    rows, cols : (y,), (x,) float64
        Places on that lattice, each with two nodes on either side.

    Returns
    -------
    field : (y, x) float64
        Lagrange's cubic: its error is of the fourth order in the lattice's step. Not finite where one of the 16
        nodes is not.

    Raises
    ------
    GridMismatchError
        A place has fewer than two nodes on one side.
    """
    for name, places, count in (("rows", rows, nodes.shape[0]), ("cols", cols, nodes.shape[1])):
        if places.size and not (places.min() >= 1 and np.floor(places.max()) + 2 < count):
            raise GridMismatchError(
                f"Lattice {name}: found places {places.min():g} to {places.max():g} among {count} nodes, expected two "
                "nodes on either side of each. Make the lattice wider."
            )
    field = np.empty((rows.size, cols.size))
    _cubic(nodes, rows, cols, field)
    return field


def _expect_positions(rows: Positions, cols: Positions) -> None:
    expect_array("rows", rows, dtype=np.float64, shape=(None, None))
    expect_array("cols", cols, dtype=np.float64, shape=rows.shape)


@njit(nogil=True, cache=True)
def _nearest(
    source: NDArray[Any], rows: Positions, cols: Positions, top: int, left: int, fill: Any, taken: NDArray[Any]
) -> None:
    height, width = source.shape
    for y in range(taken.shape[0]):
        for x in range(taken.shape[1]):
            row, col = rows[y, x] - top, cols[y, x] - left
            # Compared before they become integers: infinity and NaN have none.
            if row >= 0 and col >= 0 and row < height and col < width:
                taken[y, x] = source[int(row), int(col)]
            else:
                taken[y, x] = fill


@njit(nogil=True, cache=True)
def _bilinear(
    source: NDArray[Any], rows: Positions, cols: Positions, top: int, left: int, nodata: Any, counts: NDArray[Any]
) -> None:
    height, width = source.shape
    for y in range(counts.shape[0]):
        for x in range(counts.shape[1]):
            row, col = rows[y, x] - top, cols[y, x] - left
            inside = row >= 0 and col >= 0 and row < height and col < width
            if not inside or source[int(row), int(col)] == nodata:
                counts[y, x] = nodata
                continue
            first_row, first_col = int(np.floor(row - 0.5)), int(np.floor(col - 0.5))
            along, across = row - 0.5 - first_row, col - 0.5 - first_col
            total, weights = 0.0, 0.0
            for below in range(2):
                near_row = first_row + below
                if near_row < 0 or near_row >= height:
                    continue
                weight_row = along if below else 1.0 - along
                for beside in range(2):
                    near_col = first_col + beside
                    if near_col < 0 or near_col >= width or source[near_row, near_col] == nodata:
                        continue
                    weight = weight_row * (across if beside else 1.0 - across)
                    total += weight * source[near_row, near_col]
                    weights += weight
            value = int(np.floor(total / weights + 0.5))
            counts[y, x] = value + 1 if value == nodata else value


@njit(nogil=True, cache=True)
def _cubic_weights(t: float, weights: NDArray[np.float64]) -> None:
    """Lagrange's weights of the nodes at -1, 0, 1 and 2 for a place t beyond 0."""
    weights[0] = -t * (t - 1) * (t - 2) / 6
    weights[1] = (t + 1) * (t - 1) * (t - 2) / 2
    weights[2] = -(t + 1) * t * (t - 2) / 2
    weights[3] = (t + 1) * t * (t - 1) / 6


@njit(nogil=True, cache=True)
def _cubic(nodes: Positions, rows: NDArray[np.float64], cols: NDArray[np.float64], field: Positions) -> None:
    between = np.empty(nodes.shape[1])
    weights = np.empty((cols.size, 4))
    for x in range(cols.size):
        _cubic_weights(cols[x] - np.floor(cols[x]), weights[x])
    down = np.empty(4)
    for y in range(rows.size):
        first = int(np.floor(rows[y])) - 1
        _cubic_weights(rows[y] - np.floor(rows[y]), down)
        for node in range(between.size):
            between[node] = (
                down[0] * nodes[first, node]
                + down[1] * nodes[first + 1, node]
                + down[2] * nodes[first + 2, node]
                + down[3] * nodes[first + 3, node]
            )
        for x in range(cols.size):
            left = int(np.floor(cols[x])) - 1
            field[y, x] = (
                weights[x, 0] * between[left]
                + weights[x, 1] * between[left + 1]
                + weights[x, 2] * between[left + 2]
                + weights[x, 3] * between[left + 3]
            )
