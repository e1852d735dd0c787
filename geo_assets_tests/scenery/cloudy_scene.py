"""A Sentinel-2 L1C scene in counts: fields, a lake and one square cloud, with spectra as real scenes have them."""

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.bands import SENTINEL2_BANDS

_SPECTRA = {
    "field": (1016, 729, 628, 364, 704, 2207, 2816, 2710, 3105, 845, 12, 1318, 560),
    "lake": (950, 650, 420, 200, 150, 120, 110, 100, 95, 40, 12, 60, 40),
    "cloud": (3521, 3307, 3143, 3111, 3175, 3543, 3832, 3611, 3963, 1654, 334, 3052, 2059),
}
"""Kind of ground -> reflectance x 10,000 by wavelength: medians of a field and a cloud in real L1C scenes."""

_NOISE = 0.03


def cloudy_band(
    name: str, shape: tuple[int, int], cloud: tuple[slice, slice], lake: tuple[slice, slice]
) -> NDArray[np.uint16]:
    """Counts of one band, offset not added: fields with a lake and, above both, a cloud."""
    place = list(SENTINEL2_BANDS).index(name)
    counts = np.full(shape, _SPECTRA["field"][place], np.float64)
    counts[lake] = _SPECTRA["lake"][place]
    counts[cloud] = _SPECTRA["cloud"][place]
    counts *= 1 + _NOISE * np.random.default_rng(place).standard_normal(shape)
    return counts.clip(1).astype(np.uint16)
