"""How reflectance changes with the direction it is seen from, and the factor that brings it to a view from nadir.

Angles are in degrees. The relative azimuth is that of the sensor less that of the sun, both as seen from the ground: at
0 the sensor looks with the light, towards the hot spot; at 180 against it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.errors import RegionError


@dataclass(frozen=True, slots=True)
class BrdfShape:
    """Spectral parameters of the Ross-Thick/Li-Sparse-R model, one set for all land."""

    isotropic: float
    """Reflectance with sun and sensor at the zenith."""
    volumetric: float
    """Share of `ross_thick`."""
    geometric: float
    """Share of `li_sparse`."""


NADIR_BANDS: Mapping[str, BrdfShape] = {
    "blue": BrdfShape(0.0774, 0.0372, 0.0079),
    "green": BrdfShape(0.1306, 0.0580, 0.0178),
    "red": BrdfShape(0.1690, 0.0574, 0.0227),
    "rededge1": BrdfShape(0.2085, 0.0845, 0.0256),
    "rededge2": BrdfShape(0.2316, 0.1003, 0.0273),
    "rededge3": BrdfShape(0.2599, 0.1197, 0.0294),
    "nir": BrdfShape(0.3093, 0.1535, 0.0330),
    "nir08": BrdfShape(0.3093, 0.1535, 0.0330),
    "swir16": BrdfShape(0.3430, 0.1154, 0.0453),
    "swir22": BrdfShape(0.2658, 0.0639, 0.0387),
}
"""Band -> means over a year of MODIS observations of the world's land. Roy et al. (2016), "A general method to
normalize Landsat reflectance data to nadir BRDF adjusted reflectance", table 5; red edge: Roy et al. (2017),
"Examination of Sentinel-2A multi-spectral instrument (MSI) reflectance anisotropy and the suitability of a general
method to normalize MSI reflectance to nadir BRDF adjusted reflectance". `nir08` has the parameters of `nir`, as in HLS
(Claverie et al. 2018): MODIS' own near infrared is that narrow band. `coastal`, `nir09` and `cirrus` have none."""

_CROWN_HEIGHT = 2.0
"""h/b of Li-Sparse: crowns' height above ground by their vertical radius. b/r is 1: crowns are round (MODIS)."""


def c_factor(
    band: str, sun_zenith: ArrayLike, view_zenith: ArrayLike, relative_azimuth: ArrayLike
) -> NDArray[np.float64]:
    """What surface reflectance is multiplied with to look as if seen from nadir, under the same sun.

    Parameters
    ----------
    band : str
        Stable name of a Sentinel-2 band.
    sun_zenith, view_zenith, relative_azimuth : float arrays
        Degrees, of shapes that broadcast; NaN where unknown.

    Returns
    -------
    factor : float64, broadcast
        1 for a band that is not in `NADIR_BANDS`; else NaN where an angle is.

    Raises
    ------
    RegionError
        No such band, or a zenith angle below 0 or from 90 on.

    Notes
    -----
    Model at nadir over model as seen: Roy et al. (2016), section 3.1. The sun's zenith is left as observed: scenes of
    a month differ little, and normalising it as well would take a model of latitude (Zhang et al. 2016).
    """
    if band not in SENTINEL2_BANDS:
        raise RegionError(f"BRDF: found band {band!r}, expected one of {', '.join(SENTINEL2_BANDS)}.")
    sun, view, azimuth = np.broadcast_arrays(
        *(np.asarray(angle, np.float64) for angle in (sun_zenith, view_zenith, relative_azimuth))
    )
    for name, zenith in (("sun", sun), ("view", view)):
        if np.any((zenith < 0) | (zenith >= 90)):
            raise RegionError(
                f"BRDF: found a {name} zenith of {np.nanmin(zenith):g} to {np.nanmax(zenith):g} degrees, expected 0 to "
                "less than 90. Leave out pixels where the sun is down."
            )
    shape = NADIR_BANDS.get(band)
    if shape is None:
        return np.ones(sun.shape)
    nadir = np.zeros_like(sun)
    return np.asarray(_modelled(shape, sun, nadir, nadir) / _modelled(shape, sun, view, azimuth))


def ross_thick(
    sun_zenith: NDArray[np.float64], view_zenith: NDArray[np.float64], relative_azimuth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Volumetric kernel: scattering by a dense canopy of small leaves; 0 with sun and sensor at the zenith.

    Degrees. Roujean et al. (1992), "A bidirectional reflectance model of the Earth's surface for the correction of
    remote sensing data"; in the words of Lucht et al. (2000), equation 38.
    """
    sun, view, azimuth = np.radians(sun_zenith), np.radians(view_zenith), np.radians(relative_azimuth)
    cos_phase = _cos_phase(sun, view, azimuth)
    phase = np.arccos(cos_phase)
    scattered = (np.pi / 2 - phase) * cos_phase + np.sin(phase)
    return np.asarray(scattered / (np.cos(sun) + np.cos(view)) - np.pi / 4)


def li_sparse(
    sun_zenith: NDArray[np.float64], view_zenith: NDArray[np.float64], relative_azimuth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Geometric kernel, reciprocal: sunlit and shaded crowns and ground; 0 with sun and sensor at the zenith.

    Degrees. Li & Strahler (1992) for sparse crowns; Lucht et al. (2000), "An algorithm for the retrieval of albedo
    from space using semiempirical BRDF models", equations 39 to 44, with h/b = 2 and b/r = 1.
    """
    sun, view, azimuth = np.radians(sun_zenith), np.radians(view_zenith), np.radians(relative_azimuth)
    tan_sun, tan_view = np.tan(sun), np.tan(view)
    secants = 1 / np.cos(sun) + 1 / np.cos(view)
    distance_squared = tan_sun**2 + tan_view**2 - 2 * tan_sun * tan_view * np.cos(azimuth)
    across = tan_sun * tan_view * np.sin(azimuth)
    cos_overlap = np.clip(_CROWN_HEIGHT * np.sqrt(np.maximum(distance_squared, 0) + across**2) / secants, -1, 1)
    overlap = np.arccos(cos_overlap)
    shared = (overlap - np.sin(overlap) * cos_overlap) * secants / np.pi
    seen = (1 + _cos_phase(sun, view, azimuth)) / (2 * np.cos(sun) * np.cos(view))
    return np.asarray(shared - secants + seen)


def _modelled(
    shape: BrdfShape, sun: NDArray[np.float64], view: NDArray[np.float64], azimuth: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(
        shape.isotropic
        + shape.volumetric * ross_thick(sun, view, azimuth)
        + shape.geometric * li_sparse(sun, view, azimuth)
    )


def _cos_phase(
    sun: NDArray[np.float64], view: NDArray[np.float64], azimuth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cosine of the angle between sun and sensor; radians in."""
    cosine = np.cos(sun) * np.cos(view) + np.sin(sun) * np.sin(view) * np.cos(azimuth)
    return np.asarray(np.clip(cosine, -1, 1))
