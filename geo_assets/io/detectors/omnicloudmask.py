"""OmniCloudMask, an optional detector: red, green and near infrared in, cloud and shadow out, by neural networks.

The package is the extra `omnicloudmask`; its weights are a folder of the user's, and nothing is ever downloaded.
Wright et al. (2025), Remote Sensing of Environment 322: 114694; github.com/DPIRD-DMA/OmniCloudMask (MIT).
"""

import csv
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS
from geo_assets.domain.bands import Level
from geo_assets.domain.errors import DetectorError, ResourceError
from geo_assets.kernels.detection import Detection, DetectorInput
from geo_assets.kernels.quality import DetectorBit
from geo_assets.kernels.quality_layers import omnicloudmask_codes

NAME = "omnicloudmask"

Predict: TypeAlias = Callable[..., NDArray[Any]]
"""As the package's `predict_from_array`: (3, y, x) red, green, near infrared in; with ``export_confidence=True`` the
(4, y, x) confidences of clear, thick cloud, thin cloud and shadow out."""

_CLASSES = 4
_SMALLEST_PX = 32
"""Edge below which the networks refuse a raster (`HARD_MINIMUM_PATCH_SIZE`)."""
_PATCH_PX, _OVERLAP_PX = 1000, 300
_WHOLE_FILE_BYTES = 1 << 20
"""The package fetches a file anew when it has no more than this."""
_NO_DOWNLOAD = "none"
"""No source of downloads by the package's own list: it raises instead of fetching."""
_DARKEST = np.float32(1e-4)
"""The package takes 0 for nodata; one count of reflectance is as dark."""


@dataclass(frozen=True, slots=True)
class OmniCloudMask:
    """OmniCloudMask with weights from a folder."""

    weights: Path
    """Folder of the files of one version of the model, as the package names them."""
    predict: Predict | None = None
    """What predicts; the package's own function by default."""
    name: ClassVar[str] = NAME
    bands: ClassVar[tuple[str, ...]] = ("red", "green", "nir")
    optional_bands: ClassVar[tuple[str, ...]] = ()
    levels: ClassVar[tuple[Level, ...]] = ("L1C", "L2A", "HLS")
    bit: ClassVar[DetectorBit] = DetectorBit.PLUG_IN
    needs_angles: ClassVar[bool] = False
    resolution_m: ClassVar[tuple[float, float]] = (10.0, 50.0)
    halo_m: ClassVar[float | None] = None

    def detect(self, scene: DetectorInput) -> Detection:
        """Cloud (thick and thin), shadow and clear; the probability is that of both clouds together.

        Raises
        ------
        DetectorError
            A scene of less than 32 pixels, weights that are not in the folder, or an answer of another shape.
        ResourceError
            The package is not installed.
        """
        about = f"OmniCloudMask, scene {scene.scene or 'without id'}"
        if min(scene.valid.shape) < _SMALLEST_PX:
            raise DetectorError(
                f"{about}: found {scene.valid.shape} pixels, expected at least {_SMALLEST_PX} in each direction. "
                "Give the whole scene."
            )
        predict = self.predict or package_predict(self.weights)
        patch_px = min(_PATCH_PX, *scene.valid.shape)
        with warnings.catch_warnings():  # of small patches and much nodata: known, and no reason to fail
            warnings.simplefilter("ignore", UserWarning)
            confidence = predict(
                _stack(scene),
                patch_size=patch_px,
                patch_overlap=min(_OVERLAP_PX, patch_px // 2),
                export_confidence=True,
                no_data_value=0,
            )
        if confidence.shape != (_CLASSES, *scene.valid.shape):
            raise DetectorError(
                f"{about}: found an answer of {confidence.shape}, expected {(_CLASSES, *scene.valid.shape)}: "
                "confidences of clear, thick cloud, thin cloud and shadow. Give weights of such a model."
            )
        known = scene.valid & np.isfinite(confidence).all(axis=0)
        codes = omnicloudmask_codes(np.where(known, confidence, 0).argmax(axis=0).astype(np.uint8))
        codes[~known] = NODATA_CLASS
        probability = np.full(scene.valid.shape, np.nan, np.float32)
        probability[known] = np.clip(confidence[1] + confidence[2], 0, 1)[known]
        lacking = int((scene.valid & ~known).sum())
        skipped = (f"{NAME}: {lacking} seen pixels were not predicted",) if lacking else ()
        return Detection(codes, probability, skipped)


def _stack(scene: DetectorInput) -> NDArray[np.float32]:
    """(3, y, x) float32 reflectance of red, green, near infrared; 0 where it was not seen, and nowhere else."""
    stack = np.stack([scene.reflectance(name) for name in OmniCloudMask.bands])
    unknown = np.isnan(stack)
    stack[stack == 0] = _DARKEST
    stack[unknown] = 0
    return stack


def package_predict(weights: Path) -> Predict:
    """The package's `predict_from_array`, bound to weights that are on disk.

    Raises
    ------
    ResourceError
        The package, or what it needs, is not installed.
    DetectorError
        The folder does not hold all files of any version of the model.
    """
    try:
        package = import_module("omnicloudmask")
    except ImportError as error:
        raise ResourceError(
            f"OmniCloudMask cannot be loaded ({error}). Install the extra, pip install 'geo-assets[omnicloudmask]', "
            "or leave omnicloudmask out of mask.detectors."
        ) from None
    predict: Predict = partial(
        package.predict_from_array,
        destination_model_dir=weights,
        model_version=_version_in(weights),
        model_download_source=_NO_DOWNLOAD,
    )
    return predict


def _version_in(weights: Path) -> float:
    """The newest version of the model of which the folder holds every file; what lacks would be downloaded."""
    with (files("omnicloudmask") / "model_download_links.csv").open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    wanted: dict[float, list[str]] = {}
    for row in rows:
        wanted.setdefault(float(row["version"]), []).append(row["file_name"])
    for version in sorted(wanted, reverse=True):
        paths = [weights / name for name in wanted[version]]
        if all(path.is_file() and path.stat().st_size > _WHOLE_FILE_BYTES for path in paths):
            return version
    newest = max(wanted)
    found = sorted(path.name for path in weights.glob("PM_model_*")) if weights.is_dir() else []
    raise DetectorError(
        f"OmniCloudMask: the folder of weights {weights} holds {', '.join(found) or 'none of its files'}, expected "
        f"{' and '.join(wanted[newest])} (version {newest:g}), or all files of an older version. Nothing is downloaded "
        "here: put them there."
    )
