"""Weighted means of overlapping rasters, in integers wherever the raster is one.

A weight comes from a table over squared distance, a sum is a sum of integers, and the only division is the
last step: so the blend is the same to the bit for every order of rasters, size of block and number of threads.
Rasters of floats are summed in float64, in the order of the stack, and stay between their contributors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.domain.errors import GridMismatchError, RegionError, ResourceError
from geo_assets.kernels.expectations import expect_array, expect_at_least

Profile: TypeAlias = Literal["cosine", "linear"]
"""How a weight grows from a raster's edge inwards; cosine is level at both ends and leaves no crease."""

WEIGHT_ONE = 1 << 20
"""The weight of a pixel at the cap or deeper."""

FRACTION_BITS = 6
"""Of a count, kept while harmonised values are blended: they are rounded once, at the end."""

BLENDED_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""What can be blended; sums of int64 would not fit, and complex numbers have no order."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What is done to one band of one raster before it is blended: ``gain * value + offset``."""

    gain: float = 1.0
    offset: float = 0.0
    """In counts."""

    @property
    def is_identity(self) -> bool:
        """Whether values stay exactly what they are."""
        return self.gain == 1.0 and self.offset == 0.0


IDENTITY = Correction()


def weight_table(cap_px: int, profile: Profile = "cosine") -> NDArray[np.int32]:
    """Blend weight for every squared distance from 0 to ``cap_px**2``.

    Parameters
    ----------
    cap_px : int
        Width of the feather: where the weight reaches `WEIGHT_ONE`, in pixels from the nearest invalid pixel.
    profile : "cosine" or "linear"
        Rise over t = distance / cap: ``(1 - cos(pi t)) / 2``, or ``t``.

    Returns
    -------
    weights : (cap_px**2 + 1,) int32
        Never decreasing; 0 at distance 0 (an invalid pixel) and at least 1 elsewhere, so that no valid pixel
        is lost.

    Raises
    ------
    RegionError
        `cap_px` is below 1, or `profile` is unknown.
    """
    expect_at_least("cap_px", cap_px, 1)
    depth = np.sqrt(np.arange(cap_px**2 + 1, dtype=np.float64)) / cap_px
    if profile == "cosine":
        rise = (1.0 - np.cos(np.pi * depth)) / 2.0
    elif profile == "linear":
        rise = depth
    else:
        raise RegionError(f"Feather profile: found {profile!r}, expected 'cosine' or 'linear'.")
    weights = np.maximum(np.rint(rise * WEIGHT_ONE), 1).astype(np.int32)
    weights[0] = 0
    return weights


def distance_weights(
    distance2: NDArray[np.int32], table: NDArray[np.int32], *, out: NDArray[np.int32] | None = None
) -> NDArray[np.int32]:
    """The weight of every pixel by its squared distance.

    Parameters
    ----------
    distance2 : (y, x) int32
        From `squared_distance` on a band's validity, with the cap of the table.
    table : (cap_px**2 + 1,) int32
        From `weight_table`.
    out : (y, x) int32, optional
        Written, and returned.

    Returns
    -------
    weights : (y, x) int32
        0 exactly where the distance is.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above.
    RegionError
        A distance lies beyond the table: distances and weights were made with different caps.
    """
    expect_array("distance2", distance2, np.int32, (None, None))
    expect_array("table", table, np.int32, (None,))
    weights = np.empty(distance2.shape, np.int32) if out is None else out
    expect_array("out", weights, np.int32, distance2.shape)
    farthest = _look_up(distance2, table, weights)
    if farthest >= table.size:
        raise RegionError(
            f"Blend: found a squared distance of {farthest}, expected 0 to {table.size - 1}. "
            "Use the same cap_px for the distances and for the weights."
        )
    return weights


def has_data(values: NDArray[Any], nodata: float) -> Flag:
    """Where a raster holds data.

    Parameters
    ----------
    values : (...) of any of `BLENDED_DTYPES`
    nodata : float
        A value of that dtype, or NaN. NaN is never data.

    Returns
    -------
    valid : (...) bool
    """
    if values.dtype.kind == "f":
        known: Flag = ~np.isnan(values)
        return known if np.isnan(nodata) else known & (values != values.dtype.type(nodata))
    valid: Flag = values != values.dtype.type(nodata)
    return valid


def corrected(values: NDArray[Any], correction: Correction, *, nodata: float) -> NDArray[Any]:
    """One band of one raster, harmonised.

    Parameters
    ----------
    values : (y, x) of any of `BLENDED_DTYPES`
    correction
        Identity gives the values themselves, not a copy.
    nodata : float
        Stays what it is.

    Returns
    -------
    harmonised : (y, x) of the same dtype
        Integers: ``gain * value + offset`` to 1/64 of a count, rounded half up, kept inside the range of the dtype, and
        one count beside nodata where it would be nodata. Floats: computed in float64.
    """
    if correction.is_identity:
        return values
    out = np.empty_like(values, order="C")
    contiguous = np.ascontiguousarray(values)
    limits = _limits(values.dtype)
    if values.dtype.kind == "f":
        empty = values.dtype.type(nodata)
        _correct_floats(contiguous, correction.gain, correction.offset, empty, _above(empty), *limits, out)
    else:
        _correct_integers(contiguous, correction.gain, correction.offset, int(nodata), *limits, out)
    return out


def weighted_mean(
    stack: NDArray[Any],
    weights: NDArray[np.int32],
    *,
    nodata: float,
    corrections: Sequence[Correction] = (),
    out: NDArray[Any],
) -> None:
    """Blend one band of several rasters.

    Parameters
    ----------
    stack : (source, y, x) of any of `BLENDED_DTYPES`
        Values in canonical order of the sources.
    weights : (source, y, x) int32
        0 where a source has no data or no say, at most `WEIGHT_ONE`.
    nodata : float
        What is written where no source has a weight: a value of the dtype, or NaN.
    corrections : sequence of Correction, optional
        One for each source; without it none is corrected.
    out : (y, x) of the stack's dtype
        Written. Integers: ``floor(sum(w * v) / sum(w) + 1/2)`` computed exactly (halves go up, negative means too), of
        values harmonised to 1/64 of a count. Floats: float64 sums in order of the sources. Either way between the
        smallest and the largest contributor; the next value above where the mean would be nodata.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above.
    ResourceError
        So many sources of so wide a dtype that sums might not fit an int64.
    """
    _expect_blendable(stack, weights, out)
    corrections = corrections or [IDENTITY] * len(stack)
    gains = np.array([correction.gain for correction in corrections], np.float64)
    offsets = np.array([correction.offset for correction in corrections], np.float64)
    low, high = _limits(stack.dtype)
    if stack.dtype.kind == "f":
        empty = stack.dtype.type(nodata)
        _mean_of_floats(stack, weights, gains, offsets, empty, _above(empty), low, high, out)
        return
    bits = 0 if all(correction.is_identity for correction in corrections) else FRACTION_BITS
    largest = max(abs(int(low)), abs(int(high))) << bits
    if len(stack) * largest * WEIGHT_ONE >= 1 << 63:
        raise ResourceError(
            f"Blend: {len(stack)} rasters of {stack.dtype} lie on one place, and sums of more than "
            f"{(1 << 63) // (largest * WEIGHT_ONE)} may not fit 64 bits. Mosaic some of them first."
        )
    if bits:
        _mean_of_harmonised(stack, weights, gains, offsets, int(nodata), low, high, out)
    else:
        _mean_of_integers(stack, weights, int(nodata), out)


def heaviest(stack: NDArray[Any], weights: NDArray[np.int32], *, nodata: float, out: NDArray[Any]) -> None:
    """The value of the source with the largest weight, for classes: they have no mean.

    Parameters
    ----------
    stack, weights, nodata, out
        As for `weighted_mean`; of equal weights the first source's.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ.
    """
    _expect_blendable(stack, weights, out)
    _pick_heaviest(stack, weights, stack.dtype.type(nodata), out)


def _expect_blendable(stack: NDArray[Any], weights: NDArray[np.int32], out: NDArray[Any]) -> None:
    if stack.dtype.name not in BLENDED_DTYPES:
        raise GridMismatchError(f"Blend: found {stack.dtype}, expected one of {', '.join(BLENDED_DTYPES)}.")
    expect_array("stack", stack, stack.dtype, (None, None, None))
    expect_array("weights", weights, np.int32, stack.shape)
    expect_array("out", out, stack.dtype, stack.shape[1:])


def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Smallest and largest finite value of a dtype."""
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _above(value: Any) -> Any:
    """The next float of the same dtype."""
    return np.nextafter(value, value.dtype.type(np.inf))


@njit(nogil=True, cache=True)
def _look_up(distance2: NDArray[np.int32], table: NDArray[np.int32], weights: NDArray[np.int32]) -> int:
    """Fill the weights, and return the largest squared distance met; one beyond the table weighs nothing."""
    farthest = 0
    for row in range(distance2.shape[0]):
        for col in range(distance2.shape[1]):
            squared = distance2[row, col]
            farthest = max(farthest, squared)
            weights[row, col] = table[squared] if squared < table.size else 0
    return farthest


@njit(nogil=True, cache=True)
def _in_fixed_point(value: Any, gain: float, offset: float, low: int, high: int) -> Any:
    """A harmonised value in 64ths, inside the range of its dtype."""
    exact = np.floor((gain * np.float64(value) + offset) * (1 << FRACTION_BITS) + 0.5)
    return np.int64(min(max(exact, np.float64(low << FRACTION_BITS)), np.float64(high << FRACTION_BITS)))


@njit(nogil=True, cache=True)
def _correct_integers(
    values: NDArray[Any], gain: float, offset: float, nodata: int, low: int, high: int, out: NDArray[Any]
) -> None:
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            value = np.int64(values[row, col])
            if value != nodata:
                fixed = _in_fixed_point(value, gain, offset, low, high)
                value = (fixed + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS
                if value == nodata:  # the neighbour on the side of what is exact; there is none beyond the range
                    upwards = nodata == low or (fixed >= nodata << FRACTION_BITS and nodata != high)
                    value += 1 if upwards else -1
            out[row, col] = value


@njit(nogil=True, cache=True)
def _correct_floats(
    values: NDArray[Any],
    gain: float,
    offset: float,
    nodata: Any,
    above: Any,
    low: float,
    high: float,
    out: NDArray[Any],
) -> None:
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            value = values[row, col]
            if value != nodata and value == value:
                out[row, col] = min(max(gain * np.float64(value) + offset, low), high)
                if out[row, col] == nodata:
                    out[row, col] = above
            else:
                out[row, col] = value


@njit(nogil=True, cache=True)
def _mean_of_integers(stack: NDArray[Any], weights: NDArray[np.int32], nodata: int, out: NDArray[Any]) -> None:
    sources, height, width = stack.shape
    total = np.empty(width, np.int64)
    weight_sum = np.empty(width, np.int64)
    mean = np.empty(width, out.dtype)  # `out` may be part of something larger: the compiler is slow on those
    for row in range(height):  # a source's row at a time: the compiler then takes many columns at once
        total[:] = 0
        weight_sum[:] = 0
        for source in range(sources):
            for col in range(width):
                weight = np.int64(weights[source, row, col])
                total[col] += weight * np.int64(stack[source, row, col])
                weight_sum[col] += weight
        for col in range(width):
            value = np.int64(nodata)
            if weight_sum[col] > 0:
                value = _divided(total[col], weight_sum[col])
                if value == nodata:  # contributors lie on both sides of it
                    value += 1
            mean[col] = value
        out[row] = mean


@njit(nogil=True, cache=True)
def _mean_of_harmonised(
    stack: NDArray[Any],
    weights: NDArray[np.int32],
    gains: NDArray[np.float64],
    offsets: NDArray[np.float64],
    nodata: int,
    low: int,
    high: int,
    out: NDArray[Any],
) -> None:
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            total = np.int64(0)
            weight_sum = np.int64(0)
            for source in range(stack.shape[0]):
                weight = np.int64(weights[source, row, col])
                if weight > 0:
                    value = stack[source, row, col]
                    total += weight * _in_fixed_point(value, gains[source], offsets[source], low, high)
                    weight_sum += weight
            value = np.int64(nodata)
            if weight_sum > 0:
                value = _divided(total, weight_sum << FRACTION_BITS)
                if value == nodata:
                    exact = total - (np.int64(nodata) * weight_sum << FRACTION_BITS)
                    value += 1 if nodata == low or (exact >= 0 and nodata != high) else -1
            out[row, col] = value


@njit(nogil=True, cache=True)
def _divided(total: Any, parts: Any) -> Any:
    """The nearest integer of a quotient, halves upwards, without a number larger than the total."""
    # A quotient of floats, cheaper than one of integers, is off by one at most, for it is below 2**39: put right here.
    quotient = np.int64(np.floor(np.float64(total) / np.float64(parts)))
    rest = total - quotient * parts
    if rest < 0:
        quotient, rest = quotient - 1, rest + parts
    elif rest >= parts:
        quotient, rest = quotient + 1, rest - parts
    return quotient + (1 if 2 * rest >= parts else 0)


@njit(nogil=True, cache=True)
def _mean_of_floats(
    stack: NDArray[Any],
    weights: NDArray[np.int32],
    gains: NDArray[np.float64],
    offsets: NDArray[np.float64],
    nodata: Any,
    above: Any,
    low: float,
    high: float,
    out: NDArray[Any],
) -> None:
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            total = 0.0
            weight_sum = 0.0
            smallest = np.inf
            largest = -np.inf
            for source in range(stack.shape[0]):
                weight = np.float64(weights[source, row, col])
                if weight > 0:
                    value = np.float64(stack[source, row, col])
                    if gains[source] != 1.0 or offsets[source] != 0.0:
                        value = min(max(gains[source] * value + offsets[source], low), high)
                    total += weight * value
                    weight_sum += weight
                    smallest = min(smallest, value)
                    largest = max(largest, value)
            out[row, col] = nodata
            if weight_sum > 0:
                out[row, col] = max(smallest, min(total / weight_sum, largest))
                if out[row, col] == nodata:
                    out[row, col] = above


@njit(nogil=True, cache=True)
def _pick_heaviest(stack: NDArray[Any], weights: NDArray[np.int32], nodata: Any, out: NDArray[Any]) -> None:
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            most = np.int32(0)
            out[row, col] = nodata
            for source in range(stack.shape[0]):
                if weights[source, row, col] > most:
                    most = weights[source, row, col]
                    out[row, col] = stack[source, row, col]
