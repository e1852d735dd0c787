"""Indices of a few bands, and the mask that they have to respect.

Bands are named, never counted off: red and near infrared swapped would only turn the sign.
"""

from collections.abc import Collection
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, ClassCode, Reflectance
from geo_assets.domain.bands import QUANTIFICATION
from geo_assets.domain.errors import DetectorError, GridMismatchError, RegionError
from geo_assets.kernels.expectations import expect_array
from geo_assets.kernels.quality import MaskCode

Values = TypeVar("Values", bound=np.generic)

INDEX_BANDS: dict[str, tuple[str, ...]] = {
    "ndvi": ("nir", "red"),
    "ndwi": ("green", "nir"),
    "nbr": ("nir", "swir22"),
    "evi": ("nir", "red", "blue"),
}
"""Index -> the bands that it is made from."""

_EVI_GAIN, _EVI_RED, _EVI_BLUE, _EVI_CANOPY = 2.5, 6.0, 7.5, 1.0


def ndvi(*, nir: NDArray[Any], red: NDArray[Any]) -> Reflectance:
    """Normalized difference vegetation index, ``(nir - red) / (nir + red)``.

    Parameters
    ----------
    nir, red : (..., y, x) int16 or float
        Reflectance x 10,000 with nodata -32768, or reflectance with nodata NaN; all of one dtype and shape.

    Returns
    -------
    index : (..., y, x) float32
        -1 to 1 for reflectance that is not negative; NaN where a band has no data or the denominator is 0.

    Raises
    ------
    GridMismatchError
        The bands differ in shape or dtype, or are neither int16 nor float. Stored counts (uint16) are refused, since
        their offset, which the ratio does not cancel, is not known here.

    Notes
    -----
    Rouse et al. (1974), "Monitoring vegetation systems in the Great Plains with ERTS".
    """
    return _normalized_difference("NDVI", "nir", nir, "red", red)


def ndwi(*, green: NDArray[Any], nir: NDArray[Any]) -> Reflectance:
    """Normalized difference water index, ``(green - nir) / (green + nir)``; open water is positive.

    Parameters, result and errors as for `ndvi`.

    Notes
    -----
    McFeeters (1996), "The use of the Normalized Difference Water Index (NDWI) in the delineation of open water
    features". Gao's index of the same name, for water in leaves, is another.
    """
    return _normalized_difference("NDWI", "green", green, "nir", nir)


def nbr(*, nir: NDArray[Any], swir22: NDArray[Any]) -> Reflectance:
    """Normalized burn ratio, ``(nir - swir22) / (nir + swir22)``; it falls where vegetation has burnt.

    Parameters, result and errors as for `ndvi`.

    Notes
    -----
    Key & Benson (2006), "Landscape Assessment: Ground measure of severity, the Composite Burn Index; and remote
    sensing of severity, the Normalized Burn Ratio".
    """
    return _normalized_difference("NBR", "nir", nir, "swir22", swir22)


def evi(*, nir: NDArray[Any], red: NDArray[Any], blue: NDArray[Any]) -> Reflectance:
    """Enhanced vegetation index, ``2.5 (nir - red) / (nir + 6 red - 7.5 blue + 1)``.

    Parameters, result and errors as for `ndvi`; its range has no bound, and over cloud and snow, where blue is
    bright, it means nothing: mask them.

    Notes
    -----
    Huete et al. (2002), "Overview of the radiometric and biophysical performance of the MODIS vegetation indices".
    """
    bands = _expect_bands("EVI", {"nir": nir, "red": red, "blue": blue})
    index = np.empty(bands[0].shape, np.float32)
    canopy = _EVI_CANOPY * (QUANTIFICATION if bands[0].dtype == np.int16 else 1)  # in the bands' own units
    _fill_evi(np.ravel(bands[0]), np.ravel(bands[1]), np.ravel(bands[2]), canopy, index.reshape(-1))
    return index


def apply_mask(
    values: NDArray[Values], codes: ClassCode, *, drop: Collection[MaskCode | str] = ("cloud", "shadow")
) -> NDArray[Values]:
    """Values without the pixels that a mask drops.

    Parameters
    ----------
    values : (..., y, x) int16 or float
        Bands or an index; not changed.
    codes : (y, x) uint8
        `MaskCode` of the same pixels.
    drop : collection of MaskCode or str
        Classes that become nodata: `cloud`, `shadow`, `snow`, `water`, `clear`. Fill always does.

    Returns
    -------
    masked : (..., y, x) of the dtype of `values`
        A copy: -32768 (int16) or NaN (float) where the class is dropped, else as it was.

    Raises
    ------
    DetectorError
        A value that is no `MaskCode`, or a class that does not exist.
    GridMismatchError
        `codes` is not (y, x) uint8 of the same pixels, or `values` are neither int16 nor float: then there is no
        value that says nodata.
    """
    values, codes = np.asarray(values), np.asarray(codes)
    if values.ndim < 2 or not (values.dtype == np.int16 or values.dtype.kind == "f"):
        raise GridMismatchError(
            f"Values to be masked: found {values.dtype} {values.shape}, expected int16 or float (..., y, x). Bring "
            "stored counts to reflectance first: they have no value for nodata that is not a count."
        )
    expect_array("codes", codes, np.uint8, values.shape[-2:])
    dropped = np.zeros(256, np.bool_)
    dropped[[MaskCode.FILL, *mask_codes(drop)]] = True
    unknown = np.setdiff1d(np.unique(codes), np.array(list(MaskCode), np.uint8))
    if unknown.size:
        raise DetectorError(
            f"Mask codes: found the value {unknown[0]}, expected 0 to 4, or 255. "
            "Give the codes of a mask, not its detectors, and translate those of another program first."
        )
    masked = np.where(dropped[codes], values.dtype.type(_nodata(values)), values)
    return masked


def mask_codes(drop: Collection[MaskCode | str]) -> list[MaskCode]:
    """The codes of classes given by name or code.

    Raises
    ------
    DetectorError
        A class that does not exist.
    RegionError
        One text instead of a list.
    """
    if isinstance(drop, str):
        raise RegionError(f"drop: found the text {drop!r}, expected names of classes in a list, such as [{drop!r}].")
    named: dict[object, MaskCode] = {code.name.lower(): code for code in MaskCode}
    known = named | {code: code for code in MaskCode}
    for one in drop:
        if one not in known:
            raise DetectorError(f"drop: found the class {one!r}, expected some of {', '.join(map(str, named))}.")
    return [known[one] for one in drop]


def index_counts(index: Reflectance) -> NDArray[np.int16]:
    """An index in the form in which it is stored: int16 counts of 1e-4, nodata -32768, limited to +-3.2767."""
    limit = np.iinfo(np.int16).max
    counts = np.clip(np.rint(np.nan_to_num(index) * np.float32(QUANTIFICATION)), -limit, limit)
    return np.where(np.isnan(index), np.int16(NODATA_REFLECTANCE), counts.astype(np.int16))


def _nodata(values: NDArray[Any]) -> float:
    return float("nan") if values.dtype.kind == "f" else NODATA_REFLECTANCE


def _normalized_difference(
    index_name: str, one_name: str, one: NDArray[Any], other_name: str, other: NDArray[Any]
) -> Reflectance:
    bands = _expect_bands(index_name, {one_name: one, other_name: other})
    index = np.empty(bands[0].shape, np.float32)
    _fill_normalized_difference(np.ravel(bands[0]), np.ravel(bands[1]), index.reshape(-1))
    return index


def _expect_bands(index_name: str, bands: dict[str, Any]) -> list[NDArray[Any]]:
    """The bands as arrays, where all are alike and of a kind whose nodata is known."""
    arrays = {name: np.asarray(band) for name, band in bands.items()}
    if len({(band.shape, band.dtype) for band in arrays.values()}) > 1:
        found = ", ".join(f"{name} {band.dtype} {band.shape}" for name, band in arrays.items())
        raise GridMismatchError(f"{index_name}: found {found}, expected one shape and dtype. Bring all to one grid.")
    (dtype,) = {band.dtype for band in arrays.values()}
    if dtype != np.int16 and dtype.kind != "f":
        raise GridMismatchError(
            f"{index_name}: found bands of {dtype}, expected reflectance x 10,000 (int16, nodata -32768) or "
            "reflectance (float, nodata NaN). Stored counts have to lose their offset first: (DN + offset) / 10000."
        )
    return list(arrays.values())


@njit(nogil=True, cache=True)
def _has_data(value: Any) -> bool:
    return value != NODATA_REFLECTANCE and not np.isnan(value)


@njit(nogil=True, cache=True)
def _fill_normalized_difference(one: Any, other: Any, index: Any) -> None:
    for at in range(index.size):
        index[at] = np.nan
        if _has_data(one[at]) and _has_data(other[at]):
            first, second = np.float64(one[at]), np.float64(other[at])  # the scale cancels
            if first + second != 0.0:
                index[at] = (first - second) / (first + second)


@njit(nogil=True, cache=True)
def _fill_evi(nir: Any, red: Any, blue: Any, canopy: float, index: Any) -> None:
    for at in range(index.size):
        index[at] = np.nan
        if _has_data(nir[at]) and _has_data(red[at]) and _has_data(blue[at]):
            of_nir, of_red, of_blue = np.float64(nir[at]), np.float64(red[at]), np.float64(blue[at])
            below = of_nir + _EVI_RED * of_red - _EVI_BLUE * of_blue + canopy
            if below != 0.0:
                index[at] = _EVI_GAIN * (of_nir - of_red) / below
