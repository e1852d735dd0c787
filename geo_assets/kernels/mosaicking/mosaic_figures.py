"""How true a mosaic is to what it was blended from: validity, range, sharpness, and how far sources differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.kernels.expectations import expect_array
from geo_assets.kernels.mosaicking.seams import Frame, void_of

_BITS = 32
_CROWD = 8
_CROWD_STEP = 8
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Contributors:
    """Which sources have a value, pixel by pixel."""

    codes: NDArray[np.uint32]
    """(y, x) one number for each set of sources, 0 where there is none."""
    depth: NDArray[np.uint8]
    """(y, x) number of sources, 255 for that and more."""
    first: NDArray[np.uint32]
    """(y, x) 1 + index of the first source with a value, 0 where there is none."""
    hard: NDArray[Any]
    """(y, x) that source's value, as a mosaic with hard edges has it; nodata where there is none."""
    large_sets: Mapping[int, tuple[int, ...]]
    """Code -> sources, of stacks of more than 32; of others a code's bits tell."""

    def members(self, code: int) -> tuple[int, ...]:
        """Indexes of the sources of a code."""
        if self.large_sets:
            return self.large_sets[code]
        return tuple(index for index in range(_BITS) if code >> index & 1)


def contributors(stack: NDArray[Any], nodata: float) -> Contributors:
    """Which sources have a value, and the mosaic with hard edges, where the first of them wins.

    Parameters
    ----------
    stack : (source, y, x) number
        Sources in canonical order.
    nodata : float
        NaN is never valid in floats; a number that the dtype cannot hold is met nowhere.
    """
    expect_array("stack", stack, stack.dtype, (None, None, None))
    shape, void = stack.shape[1:], void_of(stack.dtype, nodata)
    codes, depth, first = np.empty(shape, np.uint32), np.empty(shape, np.uint8), np.empty(shape, np.uint32)
    hard = np.empty(shape, stack.dtype)
    _fill_contributors(stack, *void, codes, depth, first, hard)
    if len(stack) <= _BITS:
        return Contributors(codes, depth, first, hard, {})
    codes, large_sets = _codes_of_many(stack, *void)
    return Contributors(codes, depth, first, hard, large_sets)


@dataclass(frozen=True, slots=True, eq=False)
class FidelitySums:
    """A mosaic against its sources."""

    faults: NDArray[np.int64]
    """(4,) pixels with several contributors; pixels whose only contributor has another value; pixels that are valid
    without a contributor or invalid with one; blended pixels outside the range of their contributors."""
    pairs: NDArray[Any]
    """(source, source, 3) for the first source before the second: common pixels, sum of first less second, sum of its
    squares."""
    edges: NDArray[Any]
    """(sources + 1, 2) by number of contributors, two and more: the mosaic's gradient energy, and that of all
    contributors together. Sums are int64 for integers of 8 and 16 bits, else float64."""


def fidelity_sums(
    mosaic: NDArray[Any],
    stack: NDArray[Any],
    nodata: float,
    found: Contributors,
    frame: Frame,
) -> FidelitySums:
    """What a mosaic keeps of its sources, summed over a window's inner pixels.

    Parameters
    ----------
    mosaic : (y, x) number
        The blend.
    stack : (source, y, x) number of the same dtype
        What it was blended from.
    nodata : float
        Of both.
    found : Contributors
        Of the stack.
    frame : Frame
        Where they lie. Gradients look one pixel further to the right and down than its inner part.

    Notes
    -----
    Gradient energy is the sum of squared differences to the right and to the lower neighbour, of pixels whose two
    neighbours have the same contributors: it depends on no window. Where more than eight sources meet, pairs are
    compared in every eighth row of the lattice only.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above, or the frame's inner part leaves the arrays.
    """
    expect_array("mosaic", mosaic, stack.dtype, found.codes.shape)
    expect_array("stack", stack, stack.dtype, (None, *found.codes.shape))
    exact = stack.dtype.kind in "iu" and stack.dtype.itemsize <= 2
    wide = np.int64 if exact else np.float64
    sums = FidelitySums(
        np.zeros(4, np.int64),
        np.zeros((len(stack), len(stack), 3), wide),
        np.zeros((len(stack) + 1, 2), wide),
    )
    # Between the smallest and the largest of integers lies whatever is rounded once; floats may round in the division.
    rounding = _ROUNDING if stack.dtype.kind == "f" else 0.0
    if stack.dtype.kind == "f":
        lowest, highest = stack.dtype.type(-np.inf), stack.dtype.type(np.inf)
    else:
        lowest, highest = (stack.dtype.type(limit) for limit in (np.iinfo(stack.dtype).min, np.iinfo(stack.dtype).max))
    void, bounds = void_of(stack.dtype, nodata), frame.bounds(found.codes.shape)
    _add_fidelity(
        mosaic, stack, *void, found.codes, found.depth, frame.row, *bounds, lowest, highest, rounding,
        sums.faults, sums.pairs, sums.edges,
    )  # fmt: skip
    return sums


def _codes_of_many(
    stack: NDArray[Any], void: Any, has_void: bool
) -> tuple[NDArray[np.uint32], dict[int, tuple[int, ...]]]:
    """(y, x) codes of more sources than a code has bits, and what each stands for."""
    valid = (stack == stack) & ((stack != void) | (not has_void))
    rows, inverse = np.unique(np.packbits(valid, axis=0).reshape(-1, stack[0].size), axis=1, return_inverse=True)
    some = rows.any(axis=0)
    numbers = np.where(some, np.cumsum(some), 0).astype(np.uint32)
    members = np.unpackbits(rows, axis=0, count=len(stack))
    sets = {int(number): tuple(np.flatnonzero(members[:, k]).tolist()) for k, number in enumerate(numbers) if number}
    return numbers[inverse.ravel()].reshape(stack.shape[1:]), sets


@njit(nogil=True, cache=True)
def _fill_contributors(
    stack: NDArray[Any],
    void: Any,
    has_void: bool,
    codes: NDArray[np.uint32],
    depth: NDArray[np.uint8],
    first: NDArray[np.uint32],
    hard: NDArray[Any],
) -> None:
    sources, height, width = stack.shape
    for row in range(height):
        for col in range(width):
            codes[row, col], depth[row, col], first[row, col] = 0, 0, 0
            hard[row, col] = void
        for source in range(sources):
            bit = np.uint32(1 << (source & 31))
            for col in range(width):
                value = stack[source, row, col]
                if value == value and not (has_void and value == void):
                    codes[row, col] |= bit
                    if depth[row, col] == 0:
                        first[row, col] = source + 1
                        hard[row, col] = value
                    if depth[row, col] < 255:
                        depth[row, col] += 1


@njit(nogil=True, cache=True)
def _add_fidelity(
    mosaic: NDArray[Any],
    stack: NDArray[Any],
    void: Any,
    has_void: bool,
    codes: NDArray[np.uint32],
    depth: NDArray[np.uint8],
    lattice_row: int,
    top: int,
    bottom: int,
    left: int,
    right: int,
    lowest: Any,
    highest: Any,
    rounding: float,
    faults: NDArray[np.int64],
    pairs: NDArray[Any],
    edges: NDArray[Any],
) -> None:
    height, width = mosaic.shape
    zero = edges.dtype.type(0)
    end = min(right, width - 1)
    low, high = np.empty(right - left, stack.dtype), np.empty(right - left, stack.dtype)
    some, same = np.empty(right - left, np.uint8), np.zeros(right - left, np.uint8)
    # Rows are handed on as arrays of their own: loops from 0 over whole arrays are those the compiler makes fast.
    for row in range(top, bottom):
        depths = depth[row, left:right]
        _add_faults(
            mosaic[row, left:right], stack, row, left, void, has_void, depths, lowest, highest, rounding,
            low, high, faults,
        )  # fmt: skip
        crowded = _CROWD if (lattice_row + row) % _CROWD_STEP != 0 else 255
        for col in range(some.size):
            some[col] = (depths[col] > 1) & (depths[col] <= crowded)
        _add_pairs(stack, row, left, void, has_void, some, pairs)
        if row + 1 == height or end <= left:
            continue
        most = _alike(codes[row, left : end + 1], codes[row + 1, left:end], depths, same)
        for number in range(2, most + 1):
            here, below = mosaic[row, left : end + 1], mosaic[row + 1, left:end]
            edges[number, 0] += _energy(here, below, void, False, same, number, zero)
            for source in range(stack.shape[0]):
                here, below = stack[source, row, left : end + 1], stack[source, row + 1, left:end]
                edges[number, 1] += _energy(here, below, void, has_void, same, number, zero)


@njit(nogil=True, cache=True)
def _alike(
    here: NDArray[np.uint32], below: NDArray[np.uint32], depth: NDArray[np.uint8], same: NDArray[np.uint8]
) -> int:
    """The depth where contributors are those of the right and of the lower neighbour, else 0; and the largest."""
    most = 0
    for col in range(below.size):
        alike = (here[col + 1] == here[col]) & (below[col] == here[col])
        same[col] = depth[col] if alike else 0
        most = max(most, same[col])
    return most


@njit(nogil=True, cache=True)
def _energy(
    here: NDArray[Any],
    below: NDArray[Any],
    void: Any,
    has_void: bool,
    same: NDArray[np.uint8],
    number: int,
    zero: Any,
) -> Any:
    """Squared steps to the right and down, of one row's valid pixels where `same` is a number."""
    total = zero
    for col in range(below.size):
        value = here[col]
        counts = (same[col] == number) & (value == value) & (not (has_void & (value == void)))
        across, down = (zero + here[col + 1]) - value, (zero + below[col]) - value
        total += across * across + down * down if counts else zero
    return total


@njit(nogil=True, cache=True)
def _add_pairs(
    stack: NDArray[Any],
    row: int,
    left: int,
    void: Any,
    has_void: bool,
    some: NDArray[np.uint8],
    pairs: NDArray[Any],
) -> None:
    """Of one row, where `some`."""
    zero = pairs.dtype.type(0)
    for i in range(stack.shape[0]):
        for j in range(i + 1, stack.shape[0]):
            first, second = stack[i, row, left : left + some.size], stack[j, row, left : left + some.size]
            number, total, squares = np.int64(0), zero, zero
            for col in range(some.size):
                one, other = first[col], second[col]
                valid = (one == one) & (other == other) & (not (has_void & ((one == void) | (other == void))))
                both = valid & (some[col] != 0)
                difference = (zero + one) - other if both else zero
                number += np.int64(both)
                total += difference
                squares += difference * difference
            pairs[i, j, 0] += number
            pairs[i, j, 1] += total
            pairs[i, j, 2] += squares


@njit(nogil=True, cache=True)
def _add_faults(
    mosaic: NDArray[Any],
    stack: NDArray[Any],
    row: int,
    left: int,
    void: Any,
    has_void: bool,
    depth: NDArray[np.uint8],
    lowest: Any,
    highest: Any,
    rounding: float,
    low: NDArray[Any],
    high: NDArray[Any],
    faults: NDArray[np.int64],
) -> None:
    """Of one row of the mosaic; `low` and `high` are scratch."""
    for col in range(mosaic.size):
        low[col], high[col] = highest, lowest
    for source in range(stack.shape[0]):
        values = stack[source, row, left : left + mosaic.size]
        for col in range(mosaic.size):
            value = values[col]
            valid = (value == value) & (not (has_void & (value == void)))
            low[col] = min(low[col], value if valid else highest)
            high[col] = max(high[col], value if valid else lowest)
    if rounding > 0:
        for col in range(mosaic.size):
            if depth[col] > 1:
                slack = rounding * max(abs(low[col]), abs(high[col]))
                low[col] -= slack
                high[col] += slack
    blended, single, validity, outside = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
    for col in range(mosaic.size):
        value = mosaic[col]
        valid = (value == value) & (not (has_void & (value == void)))
        beyond = valid & ((value < low[col]) | (value > high[col]))
        blended += np.int32(depth[col] > 1)
        single += np.int32(beyond & (depth[col] == 1))
        validity += np.int32(valid != (depth[col] > 0))
        outside += np.int32(beyond & (depth[col] > 1))
    faults[0] += blended
    faults[1] += single
    faults[2] += validity
    faults[3] += outside
