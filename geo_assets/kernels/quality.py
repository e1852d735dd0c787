"""One vocabulary for everything that judges a pixel, and what all who judge one say together."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, Flag
from geo_assets.domain.errors import DetectorError
from geo_assets.kernels.class_tables import class_table, translated
from geo_assets.kernels.distance import squared_distance
from geo_assets.kernels.expectations import expect_array, expect_at_least


class MaskCode(IntEnum):
    """What a pixel of a mask shows."""

    CLEAR = 0
    CLOUD = 1
    SHADOW = 2
    SNOW = 3
    WATER = 4
    FILL = NODATA_CLASS


class Quality(IntEnum):
    """How good an observation is; lower is better."""

    CLEAR = 0
    MARGINAL = 1
    DARK = 2
    NONE = NODATA_CLASS


class DetectorBit(IntFlag):
    """Who flagged a pixel as cloud or shadow."""

    QUALITY_LAYER = 1
    S2CLOUDLESS = 2
    EMBEDDED_FMASK = 4
    EXTERNAL_FMASK = 8
    PLUG_IN = 16


@dataclass(frozen=True, slots=True, eq=False)
class FusedMask:
    """What all detectors together say."""

    codes: ClassCode
    """(y, x) uint8, `MaskCode`."""
    detectors: ClassCode
    """(y, x) uint8, `DetectorBit` of all that said cloud or shadow; 255 where the code is fill."""


_CLEAR, _CLOUD, _SHADOW = (
    int(MaskCode.CLEAR),
    int(MaskCode.CLOUD),
    int(MaskCode.SHADOW),
)  # numba reads plain integers

_MASK_CODE = class_table({code: code for code in MaskCode})

_BY_RESTRICTION = (MaskCode.FILL, MaskCode.CLEAR, MaskCode.WATER, MaskCode.SNOW, MaskCode.SHADOW, MaskCode.CLOUD)
_RESTRICTS = class_table({code: rank for rank, code in enumerate(_BY_RESTRICTION)})
_CODE_OF_RANK = np.array(_BY_RESTRICTION, np.uint8)

_QUALITY_OF_CODE: Mapping[MaskCode, Quality] = {
    MaskCode.CLEAR: Quality.CLEAR,
    MaskCode.SNOW: Quality.CLEAR,
    MaskCode.WATER: Quality.CLEAR,
    MaskCode.SHADOW: Quality.DARK,
    MaskCode.CLOUD: Quality.DARK,
    MaskCode.FILL: Quality.NONE,
}


def fuse_codes(detections: Iterable[tuple[DetectorBit, ClassCode]]) -> FusedMask:
    """The most restrictive code of all detectors in every pixel, in whatever order they come.

    Parameters
    ----------
    detections : iterable of (DetectorBit, (y, x) uint8)
        Each detector with its `MaskCode` array.

    Returns
    -------
    fused : FusedMask
        Of the codes of a pixel the first of fill, cloud, shadow, snow, water, clear.

    Raises
    ------
    DetectorError
        No detector, or a value that is no `MaskCode`.
    GridMismatchError
        The arrays differ in shape.
    """
    fused: FusedMask | None = None
    for detector, found in detections:
        shape = (None, None) if fused is None else fused.codes.shape
        expect_array(f"codes of {detector.name}", found, np.uint8, shape)
        codes = translated(found, _MASK_CODE, f"Mask of {detector.name}")
        if fused is None:
            fused = FusedMask(np.zeros_like(codes), np.zeros_like(codes))
        _fuse_into(fused.codes, fused.detectors, codes, np.uint8(detector))
    if fused is None:
        raise DetectorError("Mask: found no detector, expected at least one. Name one in the region's mask.")
    fused.detectors[fused.codes == MaskCode.FILL] = NODATA_CLASS
    return fused


def most_restrictive(
    codes: ClassCode, rows: tuple[NDArray[np.intp], NDArray[np.intp]], cols: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> ClassCode:
    """The most restrictive code in each cell of another grid: how categories come to larger pixels.

    Parameters
    ----------
    codes : (y, x) uint8
        `MaskCode`.
    rows, cols : pair of (n,), (m,) int
        First row of each row of cells and the one after its last; columns likewise. Cells may overlap, none is empty.

    Returns
    -------
    cells : (n, m) uint8
        Of the codes in a cell the first of cloud, shadow, snow, water, clear; fill only where there is nothing else.
        One cloudy pixel makes a cell cloud: what is called clear is clear all over.

    Raises
    ------
    DetectorError
        A value that is no `MaskCode`.
    GridMismatchError
        `codes` is no 2-D array of uint8.
    """
    expect_array("codes", codes, np.uint8, (None, None))
    rank = translated(codes, _RESTRICTS, "Mask codes")
    return _CODE_OF_RANK[_largest(_largest(rank, *rows, axis=0), *cols, axis=1)]


def _largest(
    values: NDArray[np.uint8], first: NDArray[np.intp], stop: NDArray[np.intp], *, axis: int
) -> NDArray[np.uint8]:
    """The largest value in each run ``first:stop`` along an axis."""
    largest = values.take(first, axis)
    for further in range(1, int((stop - first).max(initial=1))):
        np.maximum(largest, values.take(np.minimum(first + further, stop - 1), axis), out=largest)
    return largest


def buffer(flag: Flag, *, radius_px: float) -> Flag:
    """Pixels whose centre lies within `radius_px` of a flagged pixel's: dilation by an exact disk.

    Parameters
    ----------
    flag : (y, x) bool
        True to be spread. What lies outside the array counts as False: give blocks a halo of
        ``ceil(radius_px)``.
    radius_px : float
        Radius of the disk; 0 gives a copy.

    Returns
    -------
    buffered : (y, x) bool
        True where `flag` is, and around it.

    Raises
    ------
    RegionError
        A negative radius.
    GridMismatchError
        `flag` is not a 2-D array of bool, or it is empty.
    """
    expect_at_least("radius_px", radius_px, 0)
    expect_array("flag", flag, np.bool_, (None, None))
    distance2 = squared_distance(
        ~flag, cap_px=int(radius_px) + 1, top=0, left=0, height=flag.shape[0], width=flag.shape[1]
    )
    buffered: Flag = distance2 <= radius_px * radius_px
    return buffered


def usable_quality(
    codes: ClassCode,
    base_quality: ClassCode | None = None,
    *,
    drop: Collection[MaskCode] = (MaskCode.CLOUD, MaskCode.SHADOW),
) -> ClassCode:
    """Quality for compositing: what the mask leaves of an observation.

    Parameters
    ----------
    codes : (y, x) uint8
        `MaskCode`.
    base_quality : (y, x) uint8, optional
        `Quality` from the archive's own layer. Without it clear, snow and water are 0, and cloud or shadow
        that is not dropped is 2.
    drop : collection of MaskCode
        Classes that are no observation; fill never is.

    Returns
    -------
    quality : (y, x) uint8
        `Quality`; 255 where the code is fill or dropped, or `base_quality` is 255 for another reason than cloud.

    Raises
    ------
    DetectorError
        A value that is no `MaskCode`.
    GridMismatchError
        Shapes or dtypes differ from the above.
    """
    dropped = {MaskCode.FILL, *drop}
    table = class_table(
        {int(code): Quality.NONE if code in dropped else kept for code, kept in _QUALITY_OF_CODE.items()}
    )
    quality = translated(codes, table, "Mask codes")
    if base_quality is None:
        return quality
    expect_array("base_quality", base_quality, np.uint8, codes.shape)
    # Cloud that the mask keeps on purpose is no observation by the archive's layer, and a dark one by ours.
    kept = np.where((base_quality == Quality.NONE) & (codes == MaskCode.CLOUD), quality, base_quality)
    return np.where(quality == Quality.NONE, np.uint8(Quality.NONE), kept)


@njit(nogil=True, cache=True)
def _fuse_into(fused: ClassCode, detectors: ClassCode, codes: ClassCode, detector: np.uint8) -> None:
    for row in range(fused.shape[0]):
        for col in range(fused.shape[1]):
            code = codes[row, col]
            if _yields(fused[row, col]) > _yields(code):
                fused[row, col] = code
            if code in (_CLOUD, _SHADOW):
                detectors[row, col] |= detector


@njit(nogil=True, cache=True)
def _yields(code: int) -> int:
    """Order of precedence, lowest first: fill, cloud, shadow, snow, water, clear."""
    if code == NODATA_CLASS:
        return 0
    return 5 if code == _CLEAR else code
