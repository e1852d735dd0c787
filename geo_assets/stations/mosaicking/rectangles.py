"""Windows of a mosaic's lattice, and what they have in common."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from geo_assets.stations.mosaicking.source import BlendSource


class Rectangle(NamedTuple):
    """A window of a lattice."""

    row: int
    col: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """Row after the last."""
        return self.row + self.height

    @property
    def right(self) -> int:
        """Column after the last."""
        return self.col + self.width

    @property
    def is_empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.height <= 0 or self.width <= 0

    def common(self, other: "Rectangle") -> "Rectangle":
        """What both cover; empty where they are apart."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        return Rectangle(row, col, min(self.bottom, other.bottom) - row, min(self.right, other.right) - col)

    def grown(self, by_px: int, across_px: int | None = None) -> "Rectangle":
        """With a border on all sides; above and below only, where that to the left and right is given as well."""
        wide = by_px if across_px is None else across_px
        return Rectangle(self.row - by_px, self.col - wide, self.height + 2 * by_px, self.width + 2 * wide)

    def hull(self, other: "Rectangle") -> "Rectangle":
        """The smallest rectangle round both."""
        row, col = min(self.row, other.row), min(self.col, other.col)
        return Rectangle(row, col, max(self.bottom, other.bottom) - row, max(self.right, other.right) - col)

    def less(self, other: "Rectangle") -> Iterator["Rectangle"]:
        """What is left without `other`: above, below, left and right of it."""
        hole = self.common(other)
        if hole.is_empty:
            yield self
            return
        yield Rectangle(self.row, self.col, hole.row - self.row, self.width)
        yield Rectangle(hole.bottom, self.col, self.bottom - hole.bottom, self.width)
        yield Rectangle(hole.row, self.col, hole.height, hole.col - self.col)
        yield Rectangle(hole.row, hole.right, hole.height, self.right - hole.right)

    def slices_in(self, frame: "Rectangle") -> tuple[slice, slice]:
        """Its rows and columns in an array that begins where `frame` does."""
        return (
            slice(self.row - frame.row, self.bottom - frame.row),
            slice(self.col - frame.col, self.right - frame.col),
        )


def footprint_of(source: BlendSource) -> Rectangle:
    """Where a source lies on the lattice."""
    return Rectangle(source.row, source.col, source.height, source.width)


def cells_of(area: Rectangle, footprints: Sequence[Rectangle]) -> Iterator[tuple[Rectangle, tuple[int, ...]]]:
    """The parts of an area between the edges of footprints, each with the footprints that cover it."""
    rows = _cuts(area.row, area.bottom, [edge for ground in footprints for edge in (ground.row, ground.bottom)])
    cols = _cuts(area.col, area.right, [edge for ground in footprints for edge in (ground.col, ground.right)])
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            cell = Rectangle(top, left, bottom - top, right - left)
            covering = (index for index, ground in enumerate(footprints) if not ground.common(cell).is_empty)
            yield cell, tuple(covering)


def _cuts(low: int, high: int, edges: Sequence[int]) -> list[int]:
    return sorted({low, high, *(edge for edge in edges if low < edge < high)})
