"""The probability that a forest gives every pixel of a raster."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.kernels.forest.codes import encode_counts, encode_values
from geo_assets.kernels.forest.trees import ForestTables
from geo_assets.kernels.forest.walk import FLOCK_PX, fill_probability, fill_sums, gather_flocks

_PIXELS_AT_A_TIME = 1 << 20
"""Sorted together: the more, the more alike are the pixels of a flock; each takes some 60 bytes meanwhile."""

_PIXELS_OF_A_THREAD = 1 << 15


def forest_probability(
    tables: ForestTables,
    bands: Sequence[NDArray[Any]],
    valid: Flag,
    *,
    ranks: NDArray[np.uint8] | None = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Probability by a forest with a binary objective, to the bit as LightGBM and s2cloudless give it.

    Parameters
    ----------
    tables
        The forest.
    bands : one (y, x) array for each feature
        All uint16 or all int16 counts with `ranks`; or float32 or float64 values, compared in their own precision.
        NaN counts as 0, as in LightGBM.
    valid : (y, x) bool
        True: judge this pixel.
    ranks : (feature, 65536) uint8
        `rank_table` of the counts' dtype.
    threads
        How many share the work; the result is the same for any number.

    Returns
    -------
    probability : (y, x) float32
        0 to 1; NaN where not valid.
    """
    probability = np.full(valid.size, np.nan, np.float32)
    known = valid.ravel()
    with ThreadPoolExecutor(threads) as pool:
        share: _Share = pool.map if threads > 1 else map
        for rows in _row_blocks(valid.shape):
            block = slice(rows.start * valid.shape[1], rows.stop * valid.shape[1])
            pixels = np.flatnonzero(known[block])
            if pixels.size:
                stack = np.stack([band[rows].ravel() for band in bands])
                _fill_block(tables, stack, ranks, pixels, probability[block], share)
    return probability.reshape(valid.shape)


_Share = Callable[[Callable[[slice], None], Sequence[slice]], Iterator[None]]


def _row_blocks(shape: tuple[int, int]) -> Iterator[slice]:
    height, width = shape
    step = max(1, _PIXELS_AT_A_TIME // max(1, width))
    for first in range(0, height, step):
        yield slice(first, min(height, first + step))


def _parts(size: int) -> list[slice]:
    return [slice(first, min(size, first + _PIXELS_OF_A_THREAD)) for first in range(0, size, _PIXELS_OF_A_THREAD)]


def _fill_block(
    tables: ForestTables,
    stack: NDArray[Any],
    ranks: NDArray[np.uint8] | None,
    pixels: NDArray[np.int64],
    probability: NDArray[np.float32],
    share: _Share,
) -> None:
    """Encode, sort and judge the chosen pixels of a stack (feature, pixel)."""
    codes = np.empty((pixels.size, tables.features), np.uint8)
    keys = np.empty(pixels.size, np.uint64)

    def encode(part: slice) -> None:
        chosen = pixels[part], codes[part], keys[part]
        if ranks is None:
            encode_values(stack, tables.thresholds, tables.key_bits, *chosen)
        else:
            encode_counts(stack.view(np.uint16), ranks, tables.key_bits, *chosen)

    def judge(part: slice) -> None:
        """Fill the probabilities of some pixels."""
        some = order[part]
        flocks = np.empty((-(-some.size // FLOCK_PX), tables.features, FLOCK_PX), np.uint8)
        sums = np.empty(some.size, np.float64)
        gather_flocks(codes, some, flocks)
        fill_sums(
            flocks,
            some.size,
            tables.roots,
            tables.feature,
            tables.rank,
            tables.left,
            tables.right,
            tables.leaf_value,
            sums,
        )
        fill_probability(sums, some, pixels, probability)

    parts = _parts(pixels.size)
    list(share(encode, parts))
    order = np.argsort(keys)
    list(share(judge, parts))
