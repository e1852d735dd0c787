"""What stored values mean, looked up value by value; one that nobody knows is named."""

from collections.abc import Mapping

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import ClassCode
from geo_assets.domain.errors import DetectorError
from geo_assets.kernels.expectations import expect_array

UNKNOWN = -1
"""In a table: a value that should not occur."""


def class_table(meaning: Mapping[int, int], otherwise: int = UNKNOWN) -> NDArray[np.int16]:
    """(256,) int16: what each stored value becomes, 0 to 255, or `UNKNOWN`."""
    return np.array([meaning.get(value, otherwise) for value in range(256)], np.int16)


def translated(values: ClassCode, table: NDArray[np.int16], what: str) -> ClassCode:
    """Values looked up in a table.

    Parameters
    ----------
    values : uint8 array
        Of any shape.
    table : (256,) int16
        Of `class_table`.
    what : str
        What the values are, for the message.

    Returns
    -------
    meanings : uint8 array
        Of the same shape.

    Raises
    ------
    DetectorError
        A value that is `UNKNOWN` to the table.
    GridMismatchError
        Another dtype.
    """
    expect_array(what, values, np.uint8, (None,) * values.ndim)
    meanings = np.empty(values.shape, np.uint8)
    unknown = _translate(np.ravel(values), table, meanings.reshape(-1))
    if unknown != UNKNOWN:
        known = ", ".join(str(value) for value in np.flatnonzero(table != UNKNOWN))
        raise DetectorError(
            f"{what}: found the value {unknown}, expected one of {known}. "
            "Check that this is the right layer, read unresampled, and that its encoding is named rightly."
        )
    return meanings


@njit(nogil=True, cache=True)
def _translate(values: ClassCode, table: NDArray[np.int16], meanings: ClassCode) -> np.int64:
    """Fill `meanings`; the last value that the table does not know, or -1."""
    unknown = np.int64(UNKNOWN)
    for index in range(values.size):
        meaning = table[values[index]]
        if meaning == UNKNOWN:
            unknown = np.int64(values[index])
        else:
            meanings[index] = meaning
    return unknown
