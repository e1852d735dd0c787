"""Quality layers and masks by others, read as one vocabulary: SCL, Fmask, HLS, MCD43A4, OmniCloudMask, MSK_CLASSI.

`MaskCode` and `Quality` are those of `kernels.quality`.
"""

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.class_tables import class_table, translated
from geo_assets.kernels.expectations import expect_array
from geo_assets.kernels.quality import MaskCode, Quality


class FmaskEncoding(Enum):
    """How an Fmask raster spells its classes: its program decides, and the values alone do not tell."""

    FMASK4 = "fmask4"
    """Fmask 4 and 5: 0 land, 1 water, 2 shadow, 3 snow, 4 cloud, 255 fill. Categories, never bits."""
    PYTHON_FMASK = "python_fmask"
    """python-fmask: 0 null, 1 clear, 2 cloud, 3 shadow, 4 snow, 5 water."""
    HLS_BITS = "hls_bits"
    """HLS product layer, bits: 0 cirrus (unused in v2), 1 cloud, 2 adjacent, 3 shadow, 4 snow or ice,
    5 water, 6-7 aerosol; 255 fill. Adjacent and aerosol alone are clear."""


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
_SCL_CODE = class_table(
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

_SCL_QUALITY = class_table(
    {
        **dict.fromkeys((4, 5, 6, 11), Quality.CLEAR),
        7: Quality.MARGINAL,
        **dict.fromkeys((2, 3), Quality.DARK),
    },
    otherwise=Quality.NONE,
)

_FMASK_CODE = {
    FmaskEncoding.FMASK4: class_table(
        {
            0: MaskCode.CLEAR,
            1: MaskCode.WATER,
            2: MaskCode.SHADOW,
            3: MaskCode.SNOW,
            4: MaskCode.CLOUD,
            255: MaskCode.FILL,
        }
    ),
    FmaskEncoding.PYTHON_FMASK: class_table(
        {
            0: MaskCode.FILL,
            1: MaskCode.CLEAR,
            2: MaskCode.CLOUD,
            3: MaskCode.SHADOW,
            4: MaskCode.SNOW,
            5: MaskCode.WATER,
        }
    ),
    FmaskEncoding.HLS_BITS: class_table({bits: _hls_code(bits) for bits in range(256)}),
}

_HLS_QUALITY = class_table({bits: _hls_quality(bits) for bits in range(256)})

# Mandatory quality of MCD43A4 (MODIS user guide): 0 full inversion, 1 magnitude inversion, 255 fill.
_MCD43A4_CODE = class_table({0: MaskCode.CLEAR, 1: MaskCode.CLEAR, 255: MaskCode.FILL})
_MCD43A4_QUALITY = class_table({0: Quality.CLEAR, 1: Quality.MARGINAL}, otherwise=Quality.NONE)

# OmniCloudMask's classes (its README): 0 clear, 1 thick cloud, 2 thin cloud, 3 cloud shadow. It has no fill: 0 stands
# for that too, and what was seen must be known beside it.
_OMNICLOUDMASK_CODE = class_table({0: MaskCode.CLEAR, 1: MaskCode.CLOUD, 2: MaskCode.CLOUD, 3: MaskCode.SHADOW})

# MSK_CLASSI of L1C: each layer says yes or no. It knows no fill: where the sensor saw nothing all three are 0.
_CLASSI_CLOUD = class_table({0: MaskCode.CLEAR, 1: MaskCode.CLOUD})
_CLASSI_SNOW = class_table({0: MaskCode.CLEAR, 1: MaskCode.SNOW})


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
    return translated(scl, _SCL_CODE, "Scene classification (SCL)")


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
    return translated(scl, _SCL_QUALITY, "Scene classification (SCL)")


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
    return translated(values, _FMASK_CODE[encoding], f"Fmask ({encoding.value})")


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
    return translated(fmask, _HLS_QUALITY, "Fmask (hls_bits)")


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
    return translated(values, _OMNICLOUDMASK_CODE, "OmniCloudMask")


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
    opaque, cirrus = (translated(layer, _CLASSI_CLOUD, "MSK_CLASSI") for layer in layers[:2])
    snow = translated(layers[2], _CLASSI_SNOW, "MSK_CLASSI")
    codes: ClassCode = np.where(opaque | cirrus, np.uint8(MaskCode.CLOUD), snow)
    return codes


def _worst_layer(layers: ClassCode, table: NDArray[np.int16]) -> ClassCode:
    """The largest of the layers' meanings in every pixel: 255 is fill, and the best is 0."""
    expect_array("quality layers", layers, np.uint8, (None, None, None))
    if layers.shape[0] == 0:
        raise GridMismatchError("MCD43A4 quality: found no layer, expected one for each band. Read those of the bands.")
    worst: ClassCode = translated(layers, table, "MCD43A4 quality").max(axis=0)
    return worst
