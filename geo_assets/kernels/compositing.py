"""One observation per pixel out of a stack of them."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, ClassCode, Flag, ReflectanceCount
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array

MOST_SCENES = 255
"""`source` is uint8 and keeps 255 for "none"."""


@dataclass(frozen=True, slots=True, eq=False)
class Composite:
    """The best observation of every pixel, and where it came from."""

    bands: ReflectanceCount
    """(band, y, x) int16: one scene's whole spectrum in every pixel; -32768 where no scene was usable."""
    quality: ClassCode
    """(y, x) uint8: quality of the chosen observation; 255 where there is none."""
    observation_count: ClassCode
    """(y, x) uint8: usable observations; 0 where there is none, so 255 is a count here and not nodata."""
    source: ClassCode
    """(y, x) uint8: index into time of the chosen observation; 255 where there is none."""


def best_pixel(reflectance: ReflectanceCount, quality: ClassCode) -> Composite:
    """The observation of lowest quality code in every pixel; among equals the first in time's order.

    An observation is usable where its quality is not 255 and none of its bands is nodata: a pixel never mixes
    scenes, and never takes nodata while another scene has a value.

    Parameters
    ----------
    reflectance : (time, band, y, x) int16
        Reflectance counts, nodata -32768. `time` is ordered by rank, best scene first; at most 255 scenes.
    quality : (time, y, x) uint8
        0 is best; 255 is unusable.

    Returns
    -------
    composite : Composite
        On the same window.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above, or there are more than `MOST_SCENES` scenes.
    """
    expect_array("reflectance", reflectance, np.int16, (None, None, None, None))
    scenes, bands, height, width = reflectance.shape
    expect_array("quality", quality, np.uint8, (scenes, height, width))
    if scenes > MOST_SCENES:
        raise GridMismatchError(
            f"Composite: found {scenes} scenes, expected at most {MOST_SCENES}. Select fewer scenes."
        )
    composite = Composite(
        bands=np.full((bands, height, width), NODATA_REFLECTANCE, np.int16),
        quality=np.full((height, width), NODATA_CLASS, np.uint8),
        observation_count=np.zeros((height, width), np.uint8),
        source=np.full((height, width), NODATA_CLASS, np.uint8),
    )
    _fill_best_pixel(
        reflectance,
        quality,
        composite.bands,
        composite.quality,
        composite.observation_count,
        composite.source,
    )
    return composite


@njit(nogil=True, cache=True)
def _fill_best_pixel(
    reflectance: ReflectanceCount,
    quality: ClassCode,
    bands: ReflectanceCount,
    best_quality: ClassCode,
    observation_count: ClassCode,
    source: ClassCode,
) -> None:
    # Row by row: all scenes and bands of one row are still in the processor's cache when it is copied.
    scenes, band_count, height, width = reflectance.shape
    usable = np.empty(width, np.bool_)
    for row in range(height):
        for scene in range(scenes):
            _mark_usable(reflectance[scene, :, row], quality[scene, row], usable)
            for col in range(width):
                observation_count[row, col] += usable[col]
                if usable[col] and quality[scene, row, col] < best_quality[row, col]:
                    best_quality[row, col] = quality[scene, row, col]
                    source[row, col] = scene
        for band in range(band_count):
            for col in range(width):
                if source[row, col] != NODATA_CLASS:
                    bands[band, row, col] = reflectance[source[row, col], band, row, col]


@njit(nogil=True, cache=True)
def _mark_usable(spectra: ReflectanceCount, quality: ClassCode, usable: Flag) -> None:
    """Fill `usable` for one row of one scene: (band, x) counts and (x,) quality."""
    for col in range(usable.size):
        usable[col] = quality[col] != NODATA_CLASS
    for band in range(spectra.shape[0]):
        for col in range(usable.size):
            usable[col] &= spectra[band, col] != NODATA_REFLECTANCE
