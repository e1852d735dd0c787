"""What a detector hangs on that neither the region file nor a product says: files of the user's, and packages."""

import hashlib
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

from geo_assets.io.detectors.external_fmask import ExternalFmask
from geo_assets.io.detectors.omnicloudmask import OmniCloudMask
from geo_assets.io.detectors.plug_ins import GROUP
from geo_assets.io.detectors.scores import Scores
from geo_assets.kernels.detection import Detector
from geo_assets.kernels.quality import DetectorBit


def outside_identity(detector: Detector, scene: str) -> str | None:
    """What tells one state of the outside from the next, for one scene; None where a detector looks at nothing there.

    Content of a raster (sha256), release of a plug-in's package; of network weights, which may have gigabytes, names
    and sizes. What a command starts is not looked into.
    """
    if isinstance(detector, Scores):
        return _content(detector.facts.path(detector.path, detector.folder, scene, f"Scores, scene {scene}"))
    if isinstance(detector, ExternalFmask):
        if detector.path is None:
            return None
        return _content(detector.facts.path(detector.path, detector.folder, scene, f"External Fmask, scene {scene}"))
    if isinstance(detector, OmniCloudMask):
        files = sorted((path.name, path.stat().st_size) for path in detector.weights.glob("*") if path.is_file())
        return f"{_release('omnicloudmask')} {files}"
    if detector.bit != DetectorBit.PLUG_IN:
        return None
    packages = {point.dist.name for point in entry_points(group=GROUP, name=detector.name) if point.dist is not None}
    return " ".join(f"{package} {_release(package)}" for package in sorted(packages))


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "missing"  # the detector itself says so better


def _release(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
