"""Where two rasters are cut against each other: along the line on which they differ least, found once for each pair.

A seam is chosen on cells of 8 x 8 pixels of the whole overlap, so it knows nothing of blocks. Given the seams, a
pixel's weights depend on what lies within `FEATHER_PX` of it, and on nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.domain.errors import CorruptProductError, GridMismatchError
from geo_assets.kernels.mosaicking.seam_weights import CellLabels, owners, ownership_weights
from geo_assets.kernels.mosaicking.seamline import HIGHEST_COST, UNDECIDED, Cost, cheapest_path, sides_of
from geo_assets.stations.mosaicking.overlaps import CELL_PX, OverlapMeans

Footprint: TypeAlias = tuple[int, int, int, int]
"""Row, column, height and width of a raster on the lattice, pixels."""

FEATHER_PX: Final = 24
"""How far a weight reaches to either side of a seam."""

TYPICAL_COST: Final = 16
"""Of a cell whose difference is the median one; integers, so finer steps are not told apart."""

CHANGED_COST: Final = 64 * TYPICAL_COST
"""Of a cell that differs 64 times the median or more: one cloud is not worth a detour around the whole overlap."""

UNKNOWN_COST: Final = TYPICAL_COST
"""Of a cell in which both have data, but not in every pixel: worth no detour, and no shelter where both agree."""

ALONE_COST: Final = 4 * TYPICAL_COST
"""Of a cell in which one has no data. A line through it chooses nothing: the cut is where the data ends."""

NOBODY_COST: Final = 0
"""Of a cell in which neither has data: there a line may come from its end to where both begin."""

EDGE_COST: Final = TYPICAL_COST
"""More within the feather's reach of a side on which one raster ends and the other goes on: the feather is halved."""

LENGTH_COST: Final = 2
"""More for each cell, so that a line is short where all cells are alike."""

REACH_CELLS: Final = 2
"""A cell is judged together with the cells so near: they are blended with it."""

SLIVER_PX: Final = 2 * FEATHER_PX
"""Ground beyond a side of the overlap, if narrower, is none: tiles of one row differ by a pixel or six in height."""


@dataclass(frozen=True, slots=True, eq=False)
class PairSeam:
    """Which of two rasters wins on each cell of the ground that they share."""

    first: str
    second: str
    """Their names, `first` before `second`."""
    row: int
    col: int
    """Lattice position of cell [0, 0], in cells: that of its upper left pixel over `CELL_PX`."""
    label: NDArray[np.uint8]
    """(y, x): 0 where `first` wins, 1 where `second` does. Ground beyond the cells follows the nearest cell."""

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays that `from_arrays` makes it from again; their names all begin with `seam_`."""
        return {
            "seam_names": np.array([self.first, self.second]),
            "seam_origin": np.array([self.row, self.col], np.int64),
            "seam_label": self.label,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The seam that `to_arrays` gave.

        Raises
        ------
        CorruptProductError
            An array is absent, or holds something else.
        """
        try:
            first, second = (str(name) for name in arrays["seam_names"])
            row, col = (int(position) for position in arrays["seam_origin"])
            label = np.ascontiguousarray(arrays["seam_label"])
        except (KeyError, ValueError, TypeError) as problem:
            raise CorruptProductError(
                f"Seam: found arrays {sorted(arrays)} ({problem}), expected two names, two positions and labels. "
                "Rebuild the overlap statistics that hold it."
            ) from problem
        if label.dtype != np.uint8 or label.ndim != 2 or not label.size or label.max() > 1:
            raise CorruptProductError(
                f"Seam of {first} and {second}: found labels {label.dtype} {label.shape}, expected uint8 (y, x) of 0 "
                "and 1. Rebuild the overlap statistics that hold it."
            )
        return cls(first, second, row, col, label)


def find_seam(means: OverlapMeans, first_footprint: Footprint, second_footprint: Footprint) -> PairSeam:
    """The line on which two rasters differ least.

    Parameters
    ----------
    means : OverlapMeans
        Of the whole overlap.
    first_footprint, second_footprint : row, col, height, width
        Of `means.first` and `means.second`, pixels of the lattice.

    Returns
    -------
    PairSeam
        The same for both orders of the rasters, and however they were read.

    Raises
    ------
    GridMismatchError
        `means` names the rasters out of order, or its cells do not lie in both footprints.

    Notes
    -----
    *Cost.* Of each band's difference its median over the overlap is taken away, so that neither a gain nor an offset
    between the two draws the line; what is left counts without sign, as the mean over the bands that a cell has, in
    sixteenths of the overlap's median. Where one of the two ends inside the overlap there is nothing to choose, and a
    line keeps to the ground of both (`ALONE_COST`); where neither has data it costs nothing but its length. Cells are
    judged together with those within `REACH_CELLS`.

    *Ends.* Each side of the overlap is the end of one raster, beyond which the other goes on, or (but for a sliver)
    the end of both. Going round, the line must end where first-only ground turns to second-only ground: at a corner,
    or anywhere on the sides between that are the end of both. Where there are not just two such places (one raster
    inside the other, or both crossing), there is no line: a cell is then won by the raster whose own border is
    farther away, and by the first of two as far.
    """
    _require_order(means)
    _require_inside(means, first_footprint, second_footprint)
    sides = _sides(first_footprint, second_footprint)
    shape = means.first_means.shape[1:]
    places = _turns(sides, shape)
    if len(places) != 2:
        label = _deeper(means, first_footprint, second_footprint)
        return PairSeam(means.first, means.second, means.row, means.col, label)
    cost = _costs(means, sides)
    path = cheapest_path(cost, *places)
    won = [_cells_on((side == wins for side in sides), shape) for wins in (0, 1)]
    label = sides_of(path, *won)
    label[label == UNDECIDED] = 0  # the line's own cells are the first's
    return PairSeam(means.first, means.second, means.row, means.col, label)


def seamline_weights(
    valid: Flag,
    names: Sequence[str],
    seams: Mapping[tuple[str, str], PairSeam],
    row: int,
    col: int,
    inner: tuple[slice, slice],
) -> NDArray[np.int32]:
    """Blend weights of a window whose rasters are cut along seams, and feathered along the cuts only.

    Parameters
    ----------
    valid : (source, y, x) bool
        True where a source has data in this band. Around the inner window it reaches `FEATHER_PX` farther, or to where
        every source ends: what lies outside counts as nobody's. Pass the sources whose footprints
        hold the inner window, and no others: then its weights are the same whichever other sources are known.
    names : sequence of str
        Of the sources, in the order of `valid`'s first axis; any order gives the same weights.
    seams : (first, second) -> PairSeam
        Of the pairs that share ground, `first` before `second`; pairs without one are won by the smaller name.
    row, col : int
        Lattice position of ``valid[:, 0, 0]``, pixels.
    inner : (slice, slice)
        Rows and columns of `valid` for which weights are wanted.

    Returns
    -------
    weights : (source, inner y, inner x) int32
        0 to `WEIGHT_ONE`. A pixel is owned by the valid source that wins against every other one valid there; where
        there is none such, by the smallest name. Weights fall and rise as half a cosine over `FEATHER_PX` to either
        side of the line where the owner changes, and towards the end of a source's data. Positive for the owner, 0
        for others as far as `FEATHER_PX` from what they own; `WEIGHT_ONE` where only one is positive; all 0 where
        nobody has data.

    Raises
    ------
    GridMismatchError
        Names and `valid` do not belong together, or `inner` is no window of it.
    """
    if len(names) != len(valid) or len(set(names)) != len(names):
        raise GridMismatchError(
            f"Seamline weights: found {len(valid)} planes of validity for {list(names)}, expected one for each of as "
            "many different names. Pass the validity of each source once."
        )
    canonical = sorted(range(len(names)), key=lambda source: names[source])
    if canonical != list(range(len(names))):
        weights = seamline_weights(valid[canonical], [names[source] for source in canonical], seams, row, col, inner)
        return weights[np.argsort(canonical)]
    labels = {
        (first, second): CellLabels(seam.row, seam.col, seam.label)
        for second in range(len(names))
        for first in range(second)
        if (seam := seams.get((names[first], names[second]))) is not None
    }
    owner = owners(valid, labels, row, col, cell_px=CELL_PX)
    return ownership_weights(valid, owner, inner, feather_px=FEATHER_PX)


def _require_order(means: OverlapMeans) -> None:
    if not means.first < means.second:
        raise GridMismatchError(
            f"Seam: found first {means.first!r} and second {means.second!r}, expected them in order. "
            "Swap the two, so that all find the same seam."
        )


def _require_inside(means: OverlapMeans, *footprints: Footprint) -> None:
    height, width = (CELL_PX * edge for edge in means.first_means.shape[1:])
    top, left = CELL_PX * means.row, CELL_PX * means.col
    for name, (row, col, rows, cols) in zip((means.first, means.second), footprints, strict=True):
        if top < row or left < col or top + height > row + rows or left + width > col + cols:
            raise GridMismatchError(
                f"Seam of {means.first} and {means.second}: found cells of rows {top} to {top + height} and columns "
                f"{left} to {left + width}, expected them inside {name}, rows {row} to {row + rows} and columns {col} "
                f"to {col + cols}. Pass the footprints of the rasters whose overlap it is."
            )


def _sides(first: Footprint, second: Footprint) -> tuple[int | None, ...]:
    """Who goes on beyond the overlap's top, right, bottom and left: 0 the first, 1 the second, None nobody."""
    beyond = (
        second[0] - first[0],
        first[1] + first[3] - second[1] - second[3],
        first[0] + first[2] - second[0] - second[2],
        second[1] - first[1],
    )
    return tuple(0 if by > SLIVER_PX else 1 if by < -SLIVER_PX else None for by in beyond)


def _turns(sides: tuple[int | None, ...], shape: tuple[int, ...]) -> list[Flag]:
    """The places on the border where the one who goes on changes, clockwise from the top."""
    known = [side for side, wins in enumerate(sides) if wins is not None]
    places = []
    for here, there in zip(known, known[1:] + known[:1], strict=True):
        if sides[here] == sides[there]:
            continue
        between = [side % 4 for side in range(here + 1, here + (there - here) % 4)]
        if between:
            places.append(_cells_on((side in between for side in range(4)), shape))
        else:
            place = np.zeros(shape, np.bool_)
            place[(0, -1, -1, 0)[here], (-1, -1, 0, 0)[here]] = True  # the corner at this side's end
            places.append(place)
    return places


def _cells_on(wanted: Iterable[bool], shape: tuple[int, ...], depth: int = 1) -> Flag:
    """Cells within `depth` of the wanted ones of the four sides."""
    cells = np.zeros(shape, np.bool_)
    strips = (cells[:depth], cells[:, -depth:], cells[-depth:], cells[:, :depth])
    for want, strip in zip(wanted, strips, strict=True):
        if want:
            strip[...] = True
    return cells


def _costs(means: OverlapMeans, sides: tuple[int | None, ...]) -> Cost:
    """(y, x) costs of an overlap's cells."""
    difference = means.second_means - means.first_means
    total, bands = np.zeros(difference.shape[1:]), np.zeros(difference.shape[1:], np.int64)
    for band in difference:  # band by band: the order of the sum is then the same everywhere
        known = ~np.isnan(band)
        if known.any():
            total[known] += np.abs(band[known] - np.median(band[known]))
            bands += known
    cost = np.full(total.shape, UNKNOWN_COST, np.int32)
    if means.seen is not None:
        cost[means.seen < 3] = ALONE_COST
        cost[means.seen == 0] = NOBODY_COST
    both = bands > 0
    if both.any():
        apart = total[both] / bands[both]
        typical = float(np.median(apart)) or float(apart.max()) * TYPICAL_COST / CHANGED_COST or 1.0
        cost[both] = np.rint(np.minimum(apart * (TYPICAL_COST / typical), CHANGED_COST))
    cost = _with_surroundings(cost) + np.int32(LENGTH_COST)
    near_end = _cells_on((side is not None for side in sides), cost.shape, depth=FEATHER_PX // CELL_PX)
    cost[near_end] += np.int32(EDGE_COST)
    assert cost.max() <= HIGHEST_COST
    return cost


def _with_surroundings(cost: Cost) -> Cost:
    """Mean over the cells within `REACH_CELLS` in rows and columns, rounded down; fewer at the border."""
    sums, counts = cost.astype(np.int64), np.ones(cost.shape, np.int64)
    for axis in (0, 1):
        sums, counts = (_window_sums(values, axis) for values in (sums, counts))
    return (sums // counts).astype(np.int32)


def _window_sums(values: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    length = values.shape[axis]
    running = np.cumsum(np.insert(values, 0, 0, axis=axis), axis=axis)
    at = np.arange(length)
    last = np.minimum(at + REACH_CELLS + 1, length)
    return running.take(last, axis) - running.take(np.maximum(at - REACH_CELLS, 0), axis)


def _deeper(means: OverlapMeans, first: Footprint, second: Footprint) -> NDArray[np.uint8]:
    """Labels by the greater distance to the own footprint's border."""
    shape = means.first_means.shape[1:]
    rows, cols = (
        2 * CELL_PX * (begin + np.arange(edge)) + CELL_PX
        for begin, edge in zip((means.row, means.col), shape, strict=True)
    )  # of the cells' centres, in half pixels
    depths = [
        np.minimum(
            np.minimum(rows - 2 * row, 2 * (row + height) - rows)[:, np.newaxis],
            np.minimum(cols - 2 * col, 2 * (col + width) - cols)[np.newaxis],
        )
        for row, col, height, width in (first, second)
    ]
    label: NDArray[np.uint8] = (depths[1] > depths[0]).astype(np.uint8)
    return label
