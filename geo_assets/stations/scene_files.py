"""What is left of one scene's mask on disk: codes, probability, indices, and a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE
from geo_assets.domain.errors import DetectorError
from geo_assets.io.pictures.layer_maps import mask_overlay
from geo_assets.io.pictures.preview import band_picture, true_colour
from geo_assets.kernels import indices
from geo_assets.kernels.indices import INDEX_BANDS
from geo_assets.stations.bbox.forms import write_picture, write_planes
from geo_assets.stations.scene_mask import CloudMask, in_words
from geo_assets.stations.scene_source import ReadScene

CODES, DETECTORS = "codes: 0 clear 1 cloud 2 shadow 3 snow 4 water", "detectors"
"""Bands of `mask.tif`, as the masks of a region have them."""

_PER_CENT = 100
_SCALE = 1e-4


def expect_indices(names: Sequence[str], bands: Sequence[str]) -> None:
    """Refuse indices that nobody knows, or that a scene lacks a band for.

    Raises
    ------
    DetectorError
        With the names that there are, or the bands that are missing.
    """
    for name in names:
        if name not in INDEX_BANDS:
            raise DetectorError(f"Index {name!r}: found no such index, expected some of {', '.join(INDEX_BANDS)}.")
        missing = [band for band in INDEX_BANDS[name] if band not in bands]
        if missing:
            raise DetectorError(
                f"Index {name}: lacks {in_words(missing)}, found {in_words(bands)}. Give the bands, or leave it out."
            )


def write_mask(
    folder: Path, scene: ReadScene, mask: CloudMask, *, index_names: Sequence[str] = (), drop: Sequence[str] = ()
) -> tuple[Path, ...]:
    """Write a scene's mask and what belongs to it.

    Parameters
    ----------
    folder
        Is made; files of the same names are replaced.
    scene, mask
        On one grid.
    index_names
        Names of `INDEX_BANDS`: each becomes a raster without the classes of `drop`.

    Returns
    -------
    paths
        `mask.tif` (codes, detector bits; uint8, 255 fill), `probability.tif` (per cent, uint8, 255 none) where there
        is one, `<index>.tif` (int16 counts of 1e-4, nodata -32768) and `mask.png`.

    Raises
    ------
    ResourceError
        The folder cannot be written to.
    """
    tags = {"SCENE": scene.input.scene, "OFFSET": str(scene.offset_dn), "ANGLES": scene.angles_source}
    tags |= {"SKIPPED": "; ".join(mask.skipped)} if mask.skipped else {}
    written = [folder / "mask.tif"]
    planes = {CODES: mask.codes, DETECTORS: mask.detectors}
    write_planes(written[0], scene.geobox, planes, tags, nodata=NODATA_CLASS)
    if mask.probability is not None:
        written.append(folder / "probability.tif")
        per_cent = np.rint(np.nan_to_num(mask.probability) * _PER_CENT).astype(np.uint8)
        known = np.where(np.isnan(mask.probability), np.uint8(NODATA_CLASS), per_cent)
        write_planes(
            written[-1], scene.geobox, {"cloud probability": known}, tags, nodata=NODATA_CLASS, scale=1 / _PER_CENT
        )
    for name in index_names:
        written.append(folder / f"{name}.tif")
        index = getattr(indices, name)(**{band: scene.input.bands[band] for band in INDEX_BANDS[name]})
        kept = indices.apply_mask(indices.index_counts(index), mask.codes, drop=drop)
        dropped = {**tags, "DROPPED": " ".join(drop)}
        write_planes(written[-1], scene.geobox, {name: kept}, dropped, nodata=NODATA_REFLECTANCE, scale=_SCALE)
    written.append(write_picture(mask_picture(scene, mask), folder / "mask.png"))
    return tuple(written)


def mask_picture(scene: ReadScene, mask: CloudMask) -> Image.Image:
    """The scene in true colour (else its first band in grey), beside it with the mask's classes tinted; a legend."""
    bands = scene.input.bands
    if {"red", "green", "blue"} <= bands.keys():
        base = true_colour(bands["red"], bands["green"], bands["blue"])
    else:
        base = band_picture(next(iter(bands.values())))
    return mask_overlay(base, mask.codes, title=scene.input.scene, beside=True)
