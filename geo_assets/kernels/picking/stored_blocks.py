"""Pieces of stored rasters, as their files hold them.

Where a block's predictor is not undone yet, only the rows that are looked at pay for it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A piece of a stored raster, from a file's block or put together from the edges of several."""

    pixels: NDArray[Any]
    """(y, x), as stored; where `undone` is False a row holds differences from its left neighbour (TIFF predictor 2)."""
    undone: Flag
    """(y,) bool: True for rows that hold values. Rows that are looked at are undone in place."""
    top: int
    """Stored row of `pixels[0]`."""
    left: int
    """Stored column of `pixels[:, 0]`."""

    @property
    def rows(self) -> tuple[int, int]:
        """First stored row, and one past the last."""
        return self.top, self.top + self.pixels.shape[0]

    @property
    def cols(self) -> tuple[int, int]:
        """First stored column, and one past the last."""
        return self.left, self.left + self.pixels.shape[1]


def whole_block(pixels: NDArray[Any], top: int, left: int, *, predicted: bool = False) -> Block:
    """A block none of whose rows is undone (`predicted`), or all of whose rows are values."""
    return Block(pixels, np.full(pixels.shape[0], not predicted, np.bool_), top, left)


def edges_of(block: Block) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Its first row, last row, first column and last column, as values; the whole block is undone for it."""
    _undo_all(block.pixels, block.undone)
    pixels = block.pixels
    return pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]


@njit(nogil=True, cache=True)
def undo_row(pixels: NDArray[Any], undone: Flag, row: int) -> None:
    """Undo horizontal differencing of one row, wrapping as TIFF asks; nothing where it is done."""
    if undone[row]:
        return
    line = pixels[row]
    total = np.int64(0)
    for col in range(line.size):
        total += line[col]
        line[col] = total  # the low bits of the sum: wraps
    undone[row] = True


@njit(nogil=True, cache=True)
def _undo_all(pixels: NDArray[Any], undone: Flag) -> None:
    for row in range(pixels.shape[0]):
        undo_row(pixels, undone, row)
