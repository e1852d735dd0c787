"""Cloud detectors behind one small contract: named bands in, probability out.

s2cloudless' model is loaded from the installed package, never copied (CC BY-SA 4.0).
"""

import threading
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, Flag, ReflectanceCount
from geo_assets.domain.bands import QUANTIFICATION, S2CLOUDLESS_BANDS
from geo_assets.domain.errors import DetectorError

_PIXELS_AT_A_TIME = 1 << 18

_one_at_a_time = threading.Lock()
"""The forest uses every core by itself, and loads on its first call."""


def s2cloudless_probability(bands: Mapping[str, ReflectanceCount]) -> NDArray[np.float32]:
    """Cloud probability of top-of-atmosphere reflectance by s2cloudless.

    Parameters
    ----------
    bands
        Stable name -> (y, x) int16 top-of-atmosphere reflectance x 10,000 with the radiometric offset applied,
        nodata -32768; at least the ten of `S2CLOUDLESS_BANDS`, all on one grid.

    Returns
    -------
    probability : (y, x) float32
        0 to 1; NaN where any of the ten bands is nodata. Divided in float32 like the library does: float64 moves
        pixels by 5e-5.

    Raises
    ------
    DetectorError
        A band is missing or lies on another grid.
    """
    lacks = [name for name in S2CLOUDLESS_BANDS if name not in bands]
    if lacks:
        raise DetectorError(
            f"s2cloudless: lacks {', '.join(lacks)}; it needs the ten L1C bands {', '.join(S2CLOUDLESS_BANDS)}. "
            "L2A has no cirrus band: give L1C bands, or use the quality layer alone (mask.detectors: [quality])."
        )
    shapes = {name: bands[name].shape for name in S2CLOUDLESS_BANDS}
    if len(set(shapes.values())) != 1:
        raise DetectorError(f"s2cloudless: bands lie on different grids ({shapes}). Bring all to one resolution first.")
    stack = np.stack([bands[name] for name in S2CLOUDLESS_BANDS], axis=-1)
    valid: Flag = (stack != NODATA_REFLECTANCE).all(axis=-1)
    probability = np.full(valid.shape, np.nan, np.float32)
    spectra = stack[valid]
    found = np.empty(len(spectra), np.float32)
    detector = _detector(0.5, 0, 0)
    for start in range(0, len(spectra), _PIXELS_AT_A_TIME):
        some = spectra[start : start + _PIXELS_AT_A_TIME].astype(np.float32) / np.float32(QUANTIFICATION)
        with _one_at_a_time:
            found[start : start + len(some)] = detector.get_cloud_probability_maps(some[np.newaxis, np.newaxis])[0, 0]
    probability[valid] = found
    return probability


def s2cloudless_cloud(
    probability: NDArray[np.float32], *, threshold: float, average_over: int, dilation_size: int
) -> Flag:
    """Cloud from probability, smoothed and dilated as the library does.

    Parameters
    ----------
    probability : (y, x) float32
        0 to 1; NaN counts as 0.
    threshold
        Cloud where the smoothed probability is larger.
    average_over, dilation_size
        Radii of the library's disks in pixels; 0 for none.

    Returns
    -------
    cloud : (y, x) bool
    """
    known = np.nan_to_num(probability, nan=0.0)[np.newaxis]
    mask: NDArray[Any] = _detector(threshold, average_over, dilation_size).get_mask_from_prob(known, threshold)[0]
    return mask.astype(bool)


@cache
def _detector(threshold: float, average_over: int, dilation_size: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from s2cloudless.cloud_detector import S2PixelCloudDetector

    return S2PixelCloudDetector(
        threshold=threshold,
        average_over=average_over or None,
        dilation_size=dilation_size or None,
        all_bands=False,
    )
