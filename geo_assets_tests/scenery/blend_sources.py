"""Rasters in memory on the lattice of a mosaic."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

NODATA = -32768


@dataclass(eq=False)
class ArraySource:
    """A `BlendSource` of (band, y, x) values."""

    name: str
    row: int
    col: int
    values: Any
    nodata: float = NODATA
    windows: list[tuple[int, int, int, int]] = field(default_factory=list)
    """All that was read."""

    @property
    def bands(self) -> int:
        return len(self.values)

    @property
    def height(self) -> int:
        return self.values.shape[1]

    @property
    def width(self) -> int:
        return self.values.shape[2]

    @property
    def dtype(self):
        return self.values.dtype

    def window(self, row, col, height, width):
        assert 0 <= row <= row + height <= self.height
        assert 0 <= col <= col + width <= self.width
        self.windows.append((row, col, height, width))
        return self.values[:, row : row + height, col : col + width].copy()


@st.composite
def array_sources(draw, *, bands=1, dtype="int16", largest_px=14, most=4):
    """Two to four sources that mostly overlap, with holes."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    names = draw(st.permutations(["a", "b", "c", "d"]))
    sources = []
    for name in names[: draw(st.integers(2, most))]:
        row, col = draw(st.tuples(st.integers(-6, 6), st.integers(-6, 6)))
        height, width = draw(st.tuples(st.integers(1, largest_px), st.integers(1, largest_px)))
        values = random.integers(-300, 3000, (bands, height, width)).astype(dtype)
        for _ in range(draw(st.integers(0, 2))):
            band = draw(st.sampled_from([slice(None), *range(bands)]))
            top, left = draw(st.tuples(st.integers(0, height - 1), st.integers(0, width - 1)))
            values[band, top : top + draw(st.integers(1, 6)), left : left + draw(st.integers(1, 6))] = NODATA
        sources.append(ArraySource(name, row, col, values))
    return sources


def extent_of(sources):
    """Row, column, height and width of what they cover together."""
    top, left = min(source.row for source in sources), min(source.col for source in sources)
    bottom = max(source.row + source.height for source in sources)
    right = max(source.col + source.width for source in sources)
    return top, left, bottom - top, right - left


def on_canvas(source, extent):
    """(band, y, x) of a source on a whole extent, nodata around it."""
    top, left, height, width = extent
    canvas = np.full((source.bands, height, width), source.nodata, source.dtype)
    row, col = source.row - top, source.col - left
    canvas[:, row : row + source.height, col : col + source.width] = source.values
    return canvas
