"""Who made which pixel of a blend, and how many have a say in it."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.kernels.expectations import expect_array

NO_OWNER = 255
"""In a layer of owners: no raster has data."""

_RUN_PX = 128


def ownership(
    weights: NDArray[np.int32],
    valid: Flag,
    numbers: NDArray[np.uint8],
    owner: NDArray[np.uint8],
    contributors: NDArray[np.uint8],
) -> None:
    """Who weighs most at every pixel, and how many have data there.

    Parameters
    ----------
    weights : (source, y, x) int32
    valid : (source, y, x) bool
        Where each source has data.
    numbers : (source,) uint8
        What each source is called.
    owner, contributors : (y, x) uint8
        Written: number of the source with the largest weight (of equal weights the first), `NO_OWNER` where none has
        any; how many sources have data.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ.
    """
    expect_array("weights", weights, np.int32, (None, None, None))
    expect_array("valid", valid, np.bool_, weights.shape)
    expect_array("owner", owner, np.uint8, weights.shape[1:])
    expect_array("contributors", contributors, np.uint8, weights.shape[1:])
    expect_array("numbers", numbers, np.uint8, weights.shape[:1])
    _find_owner(weights, valid, numbers, owner, contributors)


def sole_ownership(
    values: NDArray[Any], number: int, owner: NDArray[np.uint8], contributors: NDArray[np.uint8], *, nodata: float
) -> None:
    """The same where one raster lies alone.

    Parameters
    ----------
    values : (y, x) of any of `BLENDED_DTYPES`
        Of the only raster.
    number
        What it is called.
    owner, contributors : (y, x) uint8
        Written, as by `ownership`.
    nodata
        A value of the dtype, or NaN.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ.
    """
    expect_array("values", values, values.dtype, (None, None))
    expect_array("owner", owner, np.uint8, values.shape)
    expect_array("contributors", contributors, np.uint8, values.shape)
    valid = contributors.view(np.bool_)
    np.not_equal(values, values.dtype.type(nodata), out=valid)
    if values.dtype.kind == "f":
        valid &= ~np.isnan(values)
    owner[...] = number
    if not valid.all():
        owner[~valid] = NO_OWNER


class Tally(NamedTuple):
    """Pixels by owner."""

    owned: NDArray[np.int64]
    """(256,) pixels of each number; the last one nobody's."""
    blended_px: int
    """With several contributors."""


def tally(owner: NDArray[np.uint8], contributors: NDArray[np.uint8]) -> Tally:
    """Count what `ownership` wrote.

    Parameters
    ----------
    owner, contributors : (y, x) uint8

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ.
    """
    expect_array("owner", owner, np.uint8, (None, None))
    expect_array("contributors", contributors, np.uint8, owner.shape)
    owned = np.zeros(NO_OWNER + 1, np.int64)
    return Tally(owned, _count(owner, contributors, owned))


@njit(nogil=True, cache=True)
def _find_owner(
    weights: NDArray[np.int32],
    valid: Flag,
    numbers: NDArray[np.uint8],
    owner: NDArray[np.uint8],
    contributors: NDArray[np.uint8],
) -> None:
    height, width = owner.shape
    most = np.empty(width, np.int32)
    owners, several = np.empty(width, np.uint8), np.empty(width, np.uint8)
    for row in range(height):  # a source's row at a time: the compiler then takes many columns at once
        most[:] = 0
        owners[:] = NO_OWNER
        several[:] = 0
        for source in range(weights.shape[0]):
            number = numbers[source]
            weight, known = weights[source, row], valid[source, row]
            for col in range(width):
                owners[col] = number if weight[col] > most[col] else owners[col]
            for col in range(width):
                most[col] = max(most[col], weight[col])
            for col in range(width):
                several[col] += np.uint8(known[col])
        owner[row] = owners
        contributors[row] = several


@njit(nogil=True, cache=True)
def _count(owner: NDArray[np.uint8], contributors: NDArray[np.uint8], owned: NDArray[np.int64]) -> int:
    blended = np.int64(0)
    for row in range(owner.shape[0]):
        for begin in range(0, owner.shape[1], _RUN_PX):
            owners, numbers = owner[row, begin : begin + _RUN_PX], contributors[row, begin : begin + _RUN_PX]
            differing, several = np.uint8(0), np.uint8(0)
            for col in range(owners.size):
                differing |= owners[col] ^ owners[0]
                several += np.uint8(numbers[col] > 1)
            blended += several
            if differing == 0:  # nearly everywhere
                owned[owners[0]] += owners.size
            else:
                for col in range(owners.size):
                    owned[owners[col]] += 1
    return int(blended)
