"""Which detectors judge a scene, and what its archive's own quality layers say."""

from collections.abc import Sequence

import numpy as np

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode
from geo_assets.domain.bands import S2CLOUDLESS_BANDS
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.kernels.quality import (
    FmaskEncoding,
    fmask_codes,
    hls_quality,
    mcd43a4_codes,
    mcd43a4_quality,
    scl_codes,
    scl_quality,
)

FMASK = "fmask"
"""Layer of an item's own Fmask file."""


def uses_s2cloudless(region: Region) -> bool:
    """True when the region's detectors include s2cloudless, or choose themselves."""
    return region.mask.detectors == "auto" or "s2cloudless" in region.mask.detectors


def quality_layers(bands: Sequence[str], item: SceneItem) -> tuple[str, ...]:
    """The layers by which an item's archive says what is clear in `bands`; none where it does not say."""
    if item.quality == "scl":
        return ("scl",)
    if item.quality == "hls_fmask":
        return (FMASK,)
    if item.quality == "mcd43a4":
        return tuple(f"qa_{band}" for band in bands)
    return ()


def detectors_of(region: Region, scene: Scene) -> tuple[str, ...]:
    """The detectors that a scene's mask is made by: the region's choice, or all that the scene has input for."""
    item = scene.parts[0]
    layers = quality_layers(region.bands, item)
    possible = {
        "quality": bool(layers) and set(layers) <= set(item.assets),
        "s2cloudless": bool(scene.toa_parts) and set(S2CLOUDLESS_BANDS) <= set(scene.toa_parts[0].assets),
        FMASK: FMASK in item.assets and FMASK not in layers,
    }
    if region.mask.detectors == "auto":
        return tuple(name for name, has_input in possible.items() if has_input)
    return region.mask.detectors


def class_layers(region: Region, scene: Scene) -> tuple[str, ...]:
    """The categorical layers that a scene's mask is made from: those of its quality layer, and an Fmask file."""
    detectors = detectors_of(region, scene)
    layers = quality_layers(region.bands, scene.parts[0]) if "quality" in detectors else ()
    return (*layers, FMASK) if FMASK in detectors and FMASK not in layers else layers


def codes_of_layers(scene: Scene, layers: ClassCode) -> ClassCode:
    """(y, x) `MaskCode` by a scene's own quality layers.

    Parameters
    ----------
    layers : (layer, y, x) uint8
        Those that `quality_layers` names, in its order; 255 where the scene has none.

    Raises
    ------
    DetectorError
        A value that the layer does not have.
    """
    quality = scene.parts[0].quality
    if quality == "mcd43a4":
        return mcd43a4_codes(layers)
    if quality == "hls_fmask":
        return fmask_codes(layers[0], FmaskEncoding.HLS_BITS)
    return scl_codes(_with_scl_fill(layers[0]))


def quality_of_layers(scene: Scene, layers: ClassCode) -> ClassCode:
    """(y, x) `Quality` by a scene's own quality layers; parameters as for `codes_of_layers`."""
    quality = scene.parts[0].quality
    if quality == "mcd43a4":
        return mcd43a4_quality(layers)
    return hls_quality(layers[0]) if quality == "hls_fmask" else scl_quality(_with_scl_fill(layers[0]))


def fmask_file_codes(region: Region, scene: Scene, values: ClassCode) -> ClassCode:
    """(y, x) `MaskCode` by an item's Fmask file: in the region's encoding, or as bits where it is an HLS product's."""
    hls = scene.parts[0].quality == "hls_fmask"
    return fmask_codes(values, FmaskEncoding.HLS_BITS if hls else FmaskEncoding(region.mask.fmask_encoding))


def _with_scl_fill(scl: ClassCode) -> ClassCode:
    """SCL with its own 0 where it has no data, instead of our 255."""
    return np.where(scl == NODATA_CLASS, np.uint8(0), scl)
