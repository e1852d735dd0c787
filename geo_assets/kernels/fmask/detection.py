"""The whole Fmask-type detector: one scene in, codes out.

An own implementation after Zhu & Woodcock (2012), Zhu, Wang & Woodcock (2015), Frantz et al. (2018), Qiu, Zhu & He
(2019) and Fmask 5; each step's kernel names its own source.
"""

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import ClassCode, Flag
from geo_assets.domain.errors import DetectorError
from geo_assets.kernels.detection import Detection, DetectorInput
from geo_assets.kernels.fmask.displacement import displaced_cloud, displacement_index
from geo_assets.kernels.fmask.percentiles import PixelSet
from geo_assets.kernels.fmask.probability import (
    CLEAR,
    CLEAR_LAND,
    CLEAR_WATER,
    ClearSky,
    cirrus_excess,
    clear_sky,
    cloud_probability,
    how_many,
    look_counts,
    probable_cloud,
)
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.shadow import shadow_mask
from geo_assets.kernels.fmask.spectra import SPECTRAL_BANDS, Look, Scaling, Spectra, saturation_of, spectra
from geo_assets.kernels.fmask.texture import even_snow
from geo_assets.kernels.fmask.tidying import (
    bright_surface,
    cloud_objects,
    cloud_without_bright_surfaces,
    cloud_without_specks,
    smoothed_cloud,
)
from geo_assets.kernels.quality import MaskCode

DISPLACEMENT_BANDS: tuple[str, ...] = ("rededge3", "nir", "nir08")
"""What the cloud displacement index compares; `rededge3` and `nir08` are optional."""

CIRRUS_BAND = "cirrus"
"""Optional as well."""

_SEEN, _WATER, _SNOW = np.uint8(Look.SEEN), np.uint8(Look.WATER), np.uint8(Look.SNOW)
_CLEAR_CODE, _CLOUD_CODE, _SHADOW_CODE, _SNOW_CODE, _WATER_CODE, _FILL_CODE = (np.uint8(code) for code in MaskCode)


@dataclass(slots=True)
class _Record:
    """What is told beside the codes."""

    skipped: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


def fmask_detection(scene: DetectorInput, settings: FmaskSettings | None = None) -> Detection:
    """Cloud, shadow, snow and water of a scene.

    Parameters
    ----------
    scene : DetectorInput
        Top of the atmosphere; blue, green, red, nir, swir16 and swir22, and if possible rededge3, nir08 and cirrus, on
        one grid. The whole scene: the thresholds are percentiles of what is clear in it.
    settings : FmaskSettings, optional
        The published ones if omitted.

    Returns
    -------
    detection : Detection
        Unbuffered. Codes are fill where `scene.valid` is False or one of the six bands is nodata. The probability is
        that of which `figures` has the thresholds (`land_threshold`, `water_threshold`), cut to 0-1; where too little
        is clear to ask the scene, it is 1 for potential cloud and 0 elsewhere. `skipped` names the steps that lacked
        bands, angles, fine enough pixels or clear ground.

    Raises
    ------
    DetectorError
        One of the six bands is missing.
    """
    settings = settings or FmaskSettings()
    if missing := [name for name in SPECTRAL_BANDS if name not in scene.bands]:
        raise DetectorError(
            f"Fmask, scene {scene.scene or 'without a name'}: found no band {', '.join(missing)}, expected "
            f"{', '.join(SPECTRAL_BANDS)}. Give the missing bands, or choose other detectors."
        )
    record = _Record()
    seen_spectra = _spectra(scene, settings, record)
    look = seen_spectra.look
    _drop_even_snow(scene, look, settings, record)
    cdi = _displacement(scene, look, settings, record)
    cirrus = _cirrus(scene, look, settings, record)
    sky = clear_sky(look, settings)
    cloud, probability = _probable_cloud(seen_spectra, cirrus, sky, settings, record)
    _describe(look, record)
    del seen_spectra, cirrus
    cloud = _tidied(cloud, look, cdi, scene.resolution_m, settings, record)
    del cdi
    shadow = _shadow(scene, cloud, look, sky, settings, record)
    codes = mask_codes(look, cloud, shadow)
    _count_codes(codes, record)
    return Detection(codes, probability, tuple(record.skipped), record.figures)


def mask_codes(look: NDArray[np.uint8], cloud: Flag, shadow: Flag | None) -> ClassCode:
    """(y, x) uint8 `MaskCode`: later wins of clear, water, snow, shadow, cloud; fill where not seen (Q19)."""
    codes = np.empty(look.shape, np.uint8)
    _fill_codes(look, cloud, np.zeros(look.shape, np.bool_) if shadow is None else shadow, codes)
    return codes


def _spectra(scene: DetectorInput, settings: FmaskSettings, record: _Record) -> Spectra:
    quantification = 1 if scene.quantification is None else scene.quantification
    scaling = Scaling(np.float32(scene.offset), np.float32(quantification))
    saturation = saturation_of(scene.bands, scene.valid, scaling, settings)
    for name, value in saturation._asdict().items():
        if np.isfinite(value):
            record.figures[f"saturated_{name}"] = float((value + scaling.offset) / scaling.quantification)
    return spectra(scene.bands, scene.valid, scaling, saturation, settings)


def _drop_even_snow(scene: DetectorInput, look: NDArray[np.uint8], settings: FmaskSettings, record: _Record) -> None:
    """Z&W12's snow test is spectral, Q19's looks around: only where snow is plentiful."""
    snow_m2 = how_many(look_counts(look), PixelSet(Look.SNOW, Look.SNOW)) * scene.resolution_m**2
    if snow_m2 < settings.plentiful_snow_m2:
        return
    record.figures["even_snow_px"] = even_snow(
        scene.reflectance("green"), scene.reflectance("swir16"), look, resolution_m=scene.resolution_m,
        settings=settings,
    )  # fmt: skip


def _displacement(
    scene: DetectorInput, look: NDArray[np.uint8], settings: FmaskSettings, record: _Record
) -> NDArray[np.float32] | None:
    missing = [name for name in DISPLACEMENT_BANDS if name not in scene.bands]
    if missing:
        record.skipped.append(f"cloud displacement: no band {', '.join(missing)}")
        return None
    if not settings.cdi_finest_m <= scene.resolution_m <= settings.cdi_coarsest_m:
        record.skipped.append(
            f"cloud displacement: pixels of {scene.resolution_m:g} m, it needs {settings.cdi_finest_m:g} to "
            f"{settings.cdi_coarsest_m:g} m"
        )
        return None
    rededge3, nir, nir08 = (scene.reflectance(name) for name in DISPLACEMENT_BANDS)
    cdi = displacement_index(rededge3, nir, nir08, look, settings)
    record.figures["not_displaced_px"] = displaced_cloud(look, cdi, settings)
    return cdi


def _cirrus(
    scene: DetectorInput, look: NDArray[np.uint8], settings: FmaskSettings, record: _Record
) -> NDArray[np.float32] | None:
    if CIRRUS_BAND not in scene.bands:
        record.skipped.append("cirrus: no band cirrus")
        return None
    cirrus = scene.reflectance(CIRRUS_BAND)
    record.figures["cirrus_base"] = cirrus_excess(cirrus, look, settings)
    return cirrus


def _probable_cloud(
    seen: Spectra, cirrus: NDArray[np.float32] | None, sky: ClearSky, settings: FmaskSettings, record: _Record
) -> tuple[Flag, NDArray[np.float32]]:
    """Cloud before it is tidied, and its probability."""
    if sky.land is None:
        record.skipped.append("cloud probability: too few clear pixels to ask, potential cloud is cloud")
        potential = seen.has(Look.POTENTIAL)
        probability = np.where(seen.has(Look.SEEN), potential.astype(np.float32), np.float32(np.nan))
        return potential, probability
    if sky.water is None and how_many(look_counts(seen.look), PixelSet(Look.WATER, Look.WATER)):
        record.skipped.append(f"water threshold: too little clear water to ask, it is {settings.water_threshold:g}")
    probability, thresholds = cloud_probability(seen, cirrus, sky, settings)
    record.figures |= {
        "hot_low": thresholds.hot_low,
        "hot_high": thresholds.hot_high,
        "land_threshold": thresholds.land,
        "water_threshold": thresholds.water,
    }
    return probable_cloud(seen.look, probability, thresholds), probability


def _tidied(
    cloud: Flag, look: NDArray[np.uint8], cdi: NDArray[np.float32] | None, resolution_m: float,
    settings: FmaskSettings, record: _Record,
) -> Flag:  # fmt: skip
    """Smooth, without specks, and without bright surfaces where something can tell them from small clouds."""
    cloud = smoothed_cloud(cloud, (look & _SEEN) != 0)
    objects, count = cloud_objects(cloud)
    if cdi is None and not settings.bright_surface_without_cdi:
        record.skipped.append("bright surfaces: no cloud displacement that would spare small clouds")
    else:
        candidate = bright_surface(look, cdi, resolution_m=resolution_m, settings=settings)
        cloud, removed = cloud_without_bright_surfaces(
            cloud, objects, count, candidate, look, resolution_m=resolution_m, settings=settings
        )
        objects *= cloud
        record.figures["bright_surfaces"] = removed
    return cloud_without_specks(cloud, objects, count, smallest_px=settings.smallest_cloud_px)


def _shadow(
    scene: DetectorInput, cloud: Flag, look: NDArray[np.uint8], sky: ClearSky, settings: FmaskSettings,
    record: _Record,
) -> Flag | None:  # fmt: skip
    if scene.angles is None:
        record.skipped.append("shadow: no sun and view angles, clouds are without their shadows")
        return None
    if sky.land is None:
        record.skipped.append("shadow: too few clear pixels to tell how bright lit ground is")
        return None
    land: Flag = (look & np.uint8(sky.land.asked)) == np.uint8(sky.land.wanted)
    finding = shadow_mask(
        cloud, nir=scene.reflectance("nir"), swir16=scene.reflectance("swir16"), valid=(look & _SEEN) != 0, land=land,
        water=(look & _WATER) != 0, angles=scene.angles, resolution_m=scene.resolution_m, settings=settings,
    )  # fmt: skip
    record.skipped.extend(finding.skipped)
    record.figures |= finding.figures
    return finding.shadow


def _describe(look: NDArray[np.uint8], record: _Record) -> None:
    """Shares of the seen pixels before the cloud decision: what the thresholds rest on."""
    counts = look_counts(look)
    seen = max(1, how_many(counts, PixelSet(Look.SEEN, Look.SEEN)))
    for name, pixels in {
        "potential_cloud_share": PixelSet(Look.POTENTIAL, Look.POTENTIAL),
        "clear_share": CLEAR,
        "clear_land_share": CLEAR_LAND,
        "clear_water_share": CLEAR_WATER,
    }.items():
        record.figures[name] = how_many(counts, pixels) / seen


def _count_codes(codes: ClassCode, record: _Record) -> None:
    counts = np.bincount(codes.ravel(), minlength=256)
    seen = max(1, int(counts.sum() - counts[MaskCode.FILL]))
    for code in (MaskCode.CLOUD, MaskCode.SHADOW, MaskCode.SNOW, MaskCode.WATER):
        record.figures[f"{code.name.lower()}_share"] = int(counts[code]) / seen


@njit(nogil=True, cache=True)
def _fill_codes(look: NDArray[np.uint8], cloud: Flag, shadow: Flag, codes: ClassCode) -> None:
    for row in range(look.shape[0]):
        for col in range(look.shape[1]):
            flags, code = look[row, col], _CLEAR_CODE
            if flags & _WATER:
                code = _WATER_CODE
            if flags & _SNOW:
                code = _SNOW_CODE
            if shadow[row, col]:
                code = _SHADOW_CODE
            if cloud[row, col]:
                code = _CLOUD_CODE
            codes[row, col] = code if flags & _SEEN else _FILL_CODE
