"""The Fmask-type detector of this house as one detector among others; its arithmetic is `kernels/fmask`."""

from dataclasses import dataclass, field
from typing import ClassVar

from geo_assets.domain.bands import FMASK_BANDS, Level
from geo_assets.kernels.detection import Detection, DetectorInput
from geo_assets.kernels.fmask.detection import fmask_detection
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.quality import DetectorBit

_BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")


@dataclass(frozen=True, slots=True)
class EmbeddedFmask:
    """Cloud, shadow, snow and water of a whole scene: its thresholds are percentiles of what is clear in it."""

    needs_angles: bool = False
    """True: refuse to work without angles, instead of doing without matched shadow."""
    settings: FmaskSettings = field(default_factory=FmaskSettings)
    """Thresholds; the published ones."""
    name: ClassVar[str] = "fmask"
    bands: ClassVar[tuple[str, ...]] = _BANDS
    optional_bands: ClassVar[tuple[str, ...]] = tuple(name for name in FMASK_BANDS if name not in _BANDS)
    """For cirrus, and for the parallax between `rededge3`, `nir` and `nir08`."""
    levels: ClassVar[tuple[Level, ...]] = ("L1C",)
    bit: ClassVar[DetectorBit] = DetectorBit.EMBEDDED_FMASK
    resolution_m: ClassVar[tuple[float, float]] = (10.0, 60.0)
    halo_m: ClassVar[float | None] = None

    def detect(self, scene: DetectorInput) -> Detection:
        """As `fmask_detection` has it."""
        return fmask_detection(scene, self.settings)
