"""One vocabulary for everything that judges a pixel: quality layers, Fmask files and detectors."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, Flag
from geo_assets.domain.errors import DetectorError, GridMismatchError
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


class FmaskEncoding(Enum):
    """How an Fmask raster spells its classes: its program decides, and the values alone do not tell."""

    FMASK4 = "fmask4"
    """Fmask 4 and 5: 0 land, 1 water, 2 shadow, 3 snow, 4 cloud, 255 fill. Categories, never bits."""
    PYTHON_FMASK = "python_fmask"
    """python-fmask: 0 null, 1 clear, 2 cloud, 3 shadow, 4 snow, 5 water."""
    HLS_BITS = "hls_bits"
    """HLS product layer, bits: 0 cirrus (unused in v2), 1 cloud, 2 adjacent, 3 shadow, 4 snow or ice,
    5 water, 6-7 aerosol; 255 fill. Adjacent and aerosol alone are clear."""


@dataclass(frozen=True, slots=True, eq=False)
class FusedMask:
    """What all detectors together say."""

    codes: ClassCode
    """(y, x) uint8, `MaskCode`."""
    detectors: ClassCode
    """(y, x) uint8, `DetectorBit` of all that said cloud or shadow; 255 where the code is fill."""


_UNKNOWN = -1
_CLEAR, _CLOUD, _SHADOW = (
    int(MaskCode.CLEAR),
    int(MaskCode.CLOUD),
    int(MaskCode.SHADOW),
)  # numba reads plain integers


def _table(meaning: Mapping[int, int], otherwise: int = _UNKNOWN) -> NDArray[np.int16]:
    """(256,) int16: what each stored value becomes."""
    return np.array([meaning.get(value, otherwise) for value in range(256)], np.int16)


def _hls_code(bits: int) -> MaskCode:
    """The most restrictive class among the bits of an HLS pixel; 255 is fill before it is bits."""
    if bits == NODATA_CLASS:
        return MaskCode.FILL
    if bits & 0b11:
        return MaskCode.CLOUD
    if bits & 0b1000:
        return MaskCode.SHADOW
    if bits & 0b1_0000:
        return MaskCode.SNOW
    return MaskCode.WATER if bits & 0b10_0000 else MaskCode.CLEAR


def _hls_quality(bits: int) -> Quality:
    """Quality of an HLS pixel by its bits; 255 is fill before it is bits."""
    if bits == NODATA_CLASS or bits & 0b10:
        return Quality.NONE
    if bits & 0b1001:
        return Quality.DARK
    return Quality.MARGINAL if bits & 0b1_0100 or bits >> 6 >= 2 else Quality.CLEAR


# Names of the values: domain/bands.py, SCL_NAMES. 1, saturated or defective, is no cloud, but as little an
# observation.
_SCL_CODE = _table(
    {
        0: MaskCode.FILL,
        1: MaskCode.FILL,
        2: MaskCode.CLEAR,
        3: MaskCode.SHADOW,
        4: MaskCode.CLEAR,
        5: MaskCode.CLEAR,
        6: MaskCode.WATER,
        7: MaskCode.CLEAR,
        8: MaskCode.CLOUD,
        9: MaskCode.CLOUD,
        10: MaskCode.CLOUD,
        11: MaskCode.SNOW,
    }
)

_SCL_QUALITY = _table(
    {
        **dict.fromkeys((4, 5, 6, 11), Quality.CLEAR),
        7: Quality.MARGINAL,
        **dict.fromkeys((2, 3), Quality.DARK),
    },
    otherwise=Quality.NONE,
)

_FMASK_CODE = {
    FmaskEncoding.FMASK4: _table(
        {
            0: MaskCode.CLEAR,
            1: MaskCode.WATER,
            2: MaskCode.SHADOW,
            3: MaskCode.SNOW,
            4: MaskCode.CLOUD,
            255: MaskCode.FILL,
        }
    ),
    FmaskEncoding.PYTHON_FMASK: _table(
        {
            0: MaskCode.FILL,
            1: MaskCode.CLEAR,
            2: MaskCode.CLOUD,
            3: MaskCode.SHADOW,
            4: MaskCode.SNOW,
            5: MaskCode.WATER,
        }
    ),
    FmaskEncoding.HLS_BITS: _table({bits: _hls_code(bits) for bits in range(256)}),
}

_HLS_QUALITY = _table({bits: _hls_quality(bits) for bits in range(256)})

# Mandatory quality of MCD43A4 (MODIS user guide): 0 full inversion, 1 magnitude inversion, 255 fill.
_MCD43A4_CODE = _table({0: MaskCode.CLEAR, 1: MaskCode.CLEAR, 255: MaskCode.FILL})
_MCD43A4_QUALITY = _table({0: Quality.CLEAR, 1: Quality.MARGINAL}, otherwise=Quality.NONE)

# OmniCloudMask's classes (its README): 0 clear, 1 thick cloud, 2 thin cloud, 3 cloud shadow. It has no fill: 0 stands
# for that too, and what was seen must be known beside it.
_OMNICLOUDMASK_CODE = _table({0: MaskCode.CLEAR, 1: MaskCode.CLOUD, 2: MaskCode.CLOUD, 3: MaskCode.SHADOW})

# MSK_CLASSI of L1C: each layer says yes or no. It knows no fill: where the sensor saw nothing all three are 0.
_CLASSI_CLOUD = _table({0: MaskCode.CLEAR, 1: MaskCode.CLOUD})
_CLASSI_SNOW = _table({0: MaskCode.CLEAR, 1: MaskCode.SNOW})

_MASK_CODE = _table({code: code for code in MaskCode})

_BY_RESTRICTION = (MaskCode.FILL, MaskCode.CLEAR, MaskCode.WATER, MaskCode.SNOW, MaskCode.SHADOW, MaskCode.CLOUD)
_RESTRICTS = _table({code: rank for rank, code in enumerate(_BY_RESTRICTION)})
_CODE_OF_RANK = np.array(_BY_RESTRICTION, np.uint8)

_QUALITY_OF_CODE: Mapping[MaskCode, Quality] = {
    MaskCode.CLEAR: Quality.CLEAR,
    MaskCode.SNOW: Quality.CLEAR,
    MaskCode.WATER: Quality.CLEAR,
    MaskCode.SHADOW: Quality.DARK,
    MaskCode.CLOUD: Quality.DARK,
    MaskCode.FILL: Quality.NONE,
}


def scl_codes(scl: ClassCode) -> ClassCode:
    """Mask codes of a Sentinel-2 scene classification.

    Parameters
    ----------
    scl : (..., y, x) uint8
        0 to 11, as in `SCL_NAMES`.

    Returns
    -------
    codes : (..., y, x) uint8
        `MaskCode`: 8 9 10 are cloud, 3 shadow, 11 snow, 6 water, 0 and 1 fill, the others clear.

    Raises
    ------
    DetectorError
        A value above 11.
    """
    return _translated(scl, _SCL_CODE, "Scene classification (SCL)")


def scl_quality(scl: ClassCode) -> ClassCode:
    """Quality of a Sentinel-2 scene classification's pixels.

    Parameters
    ----------
    scl : (..., y, x) uint8
        As in `SCL_NAMES`.

    Returns
    -------
    quality : (..., y, x) uint8
        0 for vegetation, bare ground, water and snow; 1 for unclassified; 2 for dark areas and shadow; 255,
        unusable, for anything else, values that SCL does not have included (`scl_codes` refuses those).
    """
    return _translated(scl, _SCL_QUALITY, "Scene classification (SCL)")


def fmask_codes(values: ClassCode, encoding: FmaskEncoding) -> ClassCode:
    """Mask codes of an Fmask raster.

    Parameters
    ----------
    values : (..., y, x) uint8
        As its program wrote them.
    encoding : FmaskEncoding
        Which program that was.

    Returns
    -------
    codes : (..., y, x) uint8
        `MaskCode`. Of several bits the first of cloud, shadow, snow, water counts; cirrus is cloud.

    Raises
    ------
    DetectorError
        A value that the encoding does not have.
    """
    return _translated(values, _FMASK_CODE[encoding], f"Fmask ({encoding.value})")


def hls_quality(fmask: ClassCode) -> ClassCode:
    """Quality of the pixels of an HLS product's own Fmask layer.

    Parameters
    ----------
    fmask : (..., y, x) uint8
        Bits as in `FmaskEncoding.HLS_BITS`; aerosol (bits 6-7) is 2 moderate, 3 high.

    Returns
    -------
    quality : (..., y, x) uint8
        255, unusable, for cloud and fill; else 2 for cirrus and cloud shadow; else 1 beside cloud or shadow, on snow
        or ice, and under moderate or high aerosol; else 0.
    """
    return _translated(fmask, _HLS_QUALITY, "Fmask (hls_bits)")


def mcd43a4_codes(layers: ClassCode) -> ClassCode:
    """Mask codes of MCD43A4's mandatory quality layers.

    Parameters
    ----------
    layers : (band, y, x) uint8
        One layer for each band in use: 0 full inversion, 1 magnitude inversion, 255 fill.

    Returns
    -------
    codes : (y, x) uint8
        `MaskCode`: fill where any band is fill, else clear: the product is made from cloudless observations only.

    Raises
    ------
    DetectorError
        A value that the layers do not have.
    GridMismatchError
        No layer, or not three axes.
    """
    return _worst_layer(layers, _MCD43A4_CODE)


def mcd43a4_quality(layers: ClassCode) -> ClassCode:
    """Quality of MCD43A4's pixels: that of the worst of the bands in use.

    Parameters
    ----------
    layers : (band, y, x) uint8
        As for `mcd43a4_codes`.

    Returns
    -------
    quality : (y, x) uint8
        0 where every band is a full inversion, 1 where one is a magnitude inversion, 255, unusable, for anything else,
        values that the layers do not have included (`mcd43a4_codes` refuses those).

    Raises
    ------
    GridMismatchError
        No layer, or not three axes.
    """
    return _worst_layer(layers, _MCD43A4_QUALITY)


def omnicloudmask_codes(values: ClassCode) -> ClassCode:
    """Mask codes of a raster by OmniCloudMask.

    Parameters
    ----------
    values : (..., y, x) uint8
        0 clear, 1 thick cloud, 2 thin cloud, 3 cloud shadow.

    Returns
    -------
    codes : (..., y, x) uint8
        `MaskCode`: thin cloud is cloud. Never fill: where it saw nothing, OmniCloudMask writes 0, like clear.

    Raises
    ------
    DetectorError
        A value above 3.
    """
    return _translated(values, _OMNICLOUDMASK_CODE, "OmniCloudMask")


def msk_classi_codes(layers: ClassCode) -> ClassCode:
    """Mask codes of the classification mask of Sentinel-2 L1C, MSK_CLASSI, a raster since baseline 04.00.

    Parameters
    ----------
    layers : (3, y, x) uint8
        Opaque cloud, cirrus, and snow or ice; each 0 or 1.

    Returns
    -------
    codes : (y, x) uint8
        `MaskCode`: cloud where either kind is, else snow, else clear. There is no fill: take that from the bands.

    Raises
    ------
    DetectorError
        A value above 1.
    GridMismatchError
        Not three layers.

    Notes
    -----
    Order of layers: Sentinel-2 Products Specification, processing baseline 04.00 on.
    """
    expect_array("MSK_CLASSI", layers, np.uint8, (3, None, None))
    opaque, cirrus = (_translated(layer, _CLASSI_CLOUD, "MSK_CLASSI") for layer in layers[:2])
    snow = _translated(layers[2], _CLASSI_SNOW, "MSK_CLASSI")
    codes: ClassCode = np.where(opaque | cirrus, np.uint8(MaskCode.CLOUD), snow)
    return codes


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
        codes = _translated(found, _MASK_CODE, f"Mask of {detector.name}")
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
    rank = _translated(codes, _RESTRICTS, "Mask codes")
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
    table = _table({int(code): Quality.NONE if code in dropped else kept for code, kept in _QUALITY_OF_CODE.items()})
    quality = _translated(codes, table, "Mask codes")
    if base_quality is None:
        return quality
    expect_array("base_quality", base_quality, np.uint8, codes.shape)
    # Cloud that the mask keeps on purpose is no observation by the archive's layer, and a dark one by ours.
    kept = np.where((base_quality == Quality.NONE) & (codes == MaskCode.CLOUD), quality, base_quality)
    return np.where(quality == Quality.NONE, np.uint8(Quality.NONE), kept)


def _worst_layer(layers: ClassCode, table: NDArray[np.int16]) -> ClassCode:
    """The largest of the layers' meanings in every pixel: 255 is fill, and the best is 0."""
    expect_array("quality layers", layers, np.uint8, (None, None, None))
    if layers.shape[0] == 0:
        raise GridMismatchError("MCD43A4 quality: found no layer, expected one for each band. Read those of the bands.")
    worst: ClassCode = _translated(layers, table, "MCD43A4 quality").max(axis=0)
    return worst


def _translated(values: ClassCode, table: NDArray[np.int16], what: str) -> ClassCode:
    """`values` looked up in `table`; `DetectorError` names one that is not in it."""
    expect_array(what, values, np.uint8, (None,) * values.ndim)
    translated = np.empty(values.shape, np.uint8)
    unknown = _translate(np.ravel(values), table, translated.reshape(-1))
    if unknown != _UNKNOWN:
        known = ", ".join(str(value) for value in np.flatnonzero(table != _UNKNOWN))
        raise DetectorError(
            f"{what}: found the value {unknown}, expected one of {known}. "
            "Check that this is the right layer, read unresampled, and that its encoding is named rightly."
        )
    return translated


@njit(nogil=True, cache=True)
def _translate(values: ClassCode, table: NDArray[np.int16], translated: ClassCode) -> np.int64:
    """Fill `translated`; the last value that the table does not know, or -1."""
    unknown = np.int64(_UNKNOWN)
    for index in range(values.size):
        meaning = table[values[index]]
        if meaning == _UNKNOWN:
            unknown = np.int64(values[index])
        else:
            translated[index] = meaning
    return unknown


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
