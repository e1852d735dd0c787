"""Classes of stored blocks on an output grid: those of the stored pixel that holds each output centre."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, Flag
from geo_assets.kernels.expectations import expect_array
from geo_assets.kernels.picking.stored_blocks import Block, undo_row
from geo_assets.kernels.picking.taps import Taps


def sample_classes(block: Block, rows: Taps, cols: Taps, table: ClassCode, classes: ClassCode) -> None:
    """Fill `classes` where the nearest stored pixel lies in the block.

    Parameters
    ----------
    block : Block
        uint8.
    rows, cols : Taps
        Of the output axes; `first` alone counts.
    table : (256,) uint8
        What each stored value becomes.
    classes : (y, x) uint8, changed
        On the output grid.
    """
    expect_array("table", table, np.uint8, (256,))
    expect_array("block", block.pixels, np.uint8, (None, None))
    _sample_classes(
        block.pixels, block.undone, block.top, block.left, rows.first, cols.first,
        *rows.within(*block.rows), *cols.within(*block.cols), table, classes,
    )  # fmt: skip


def sample_validity(block: Block, rows: Taps, cols: Taps, nodata: int, classes: ClassCode) -> None:
    """Fill `classes` where the nearest stored pixel lies in the block: 0 where it holds data, else 255.

    Parameters
    ----------
    block : Block
        Of integers.
    rows, cols, classes
        As for `sample_classes`.
    nodata : int
        Stored value that means "nothing seen".
    """
    _sample_validity(
        block.pixels, block.undone, block.top, block.left, rows.first, cols.first,
        *rows.within(*block.rows), *cols.within(*block.cols), nodata, classes,
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _sample_classes(
    pixels: ClassCode, undone: Flag, top: int, left: int, rows: NDArray[np.int32], cols: NDArray[np.int32],
    row_begin: int, row_end: int, col_begin: int, col_end: int, table: ClassCode, classes: ClassCode,
) -> None:  # fmt: skip
    if col_begin >= col_end:
        return
    for row in range(row_begin, row_end):
        undo_row(pixels, undone, rows[row] - top)
        line, places, filled = pixels[rows[row] - top], cols[col_begin:col_end], classes[row, col_begin:col_end]
        for col in range(filled.size):
            filled[col] = table[line[places[col] - left]]


@njit(nogil=True, cache=True)
def _sample_validity(
    pixels: NDArray[Any], undone: Flag, top: int, left: int, rows: NDArray[np.int32], cols: NDArray[np.int32],
    row_begin: int, row_end: int, col_begin: int, col_end: int, nodata: int, classes: ClassCode,
) -> None:  # fmt: skip
    if col_begin >= col_end:
        return
    for row in range(row_begin, row_end):
        undo_row(pixels, undone, rows[row] - top)
        line, places, filled = pixels[rows[row] - top], cols[col_begin:col_end], classes[row, col_begin:col_end]
        for col in range(filled.size):
            filled[col] = NODATA_CLASS if line[places[col] - left] == nodata else 0
