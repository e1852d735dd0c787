"""s2cloudless as one detector among others: its forest by our kernels, its smoothing and dilation.

Ten bands of L1C, by name and never by place: nothing can be in the wrong order.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, Flag
from geo_assets.domain.bands import S2CLOUDLESS_BANDS, SENTINEL2_BANDS, Level
from geo_assets.domain.errors import DetectorError, RegionError
from geo_assets.io.detectors.forest_model import installed_forest
from geo_assets.kernels.detection import Detection, DetectorInput, expect_reflectance
from geo_assets.kernels.forest.smoothing import cloud_of_probability, halo_px
from geo_assets.kernels.quality import DetectorBit, MaskCode

_FEWEST_FOR_CIRRUS = 400
"""Pixels among which some must show a little light at 1.4 micrometres, if anything was measured there."""


@dataclass(frozen=True, slots=True)
class S2Cloudless:
    """Cloud by s2cloudless' forest, which learned on top-of-atmosphere reflectance of single pixels."""

    threshold: float = 0.45
    """Cloud where the smoothed probability is larger; s2cloudless' own default is 0.4."""
    average_over: int = 1
    """Radius of the disk over which probability is averaged, pixels; 0 for none."""
    dilation_size: int = 1
    """Radius of the disk by which cloud is dilated, pixels; 0 for none."""
    threads: int = 1
    """How many may share the work; changes no bit."""
    name: ClassVar[str] = "s2cloudless"
    bands: ClassVar[tuple[str, ...]] = S2CLOUDLESS_BANDS
    optional_bands: ClassVar[tuple[str, ...]] = ()
    levels: ClassVar[tuple[Level, ...]] = ("L1C",)
    bit: ClassVar[DetectorBit] = DetectorBit.S2CLOUDLESS
    needs_angles: ClassVar[bool] = False
    resolution_m: ClassVar[tuple[float, float]] = (10.0, 160.0)
    """Sentinel Hub's own product runs at 160 m."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise RegionError(f"s2cloudless, threshold: found {self.threshold}, expected more than 0 and less than 1.")
        if min(self.average_over, self.dilation_size) < 0:
            raise RegionError(
                f"s2cloudless: found average_over {self.average_over} and dilation_size {self.dilation_size}, expected "
                "radii in pixels, 0 for none."
            )

    @property
    def halo_px(self) -> int:
        """How many pixels around a block it looks at."""
        return halo_px(self.average_over, self.dilation_size)

    @property
    def halo_m(self) -> float:
        """The same in metres, enough for the coarsest pixels."""
        return self.halo_px * self.resolution_m[1]

    def detect(self, scene: DetectorInput) -> Detection:
        """Cloud or clear for every valid pixel, fill elsewhere, and the probability, not smoothed.

        Raises
        ------
        DetectorError
            As `s2cloudless_probability`.
        """
        probability = s2cloudless_probability(scene, threads=self.threads)
        cloud = s2cloudless_cloud(
            probability, threshold=self.threshold, average_over=self.average_over, dilation_size=self.dilation_size
        )
        codes = np.where(cloud, np.uint8(MaskCode.CLOUD), np.uint8(MaskCode.CLEAR))
        codes[np.isnan(probability)] = MaskCode.FILL
        return Detection(codes=codes, probability=probability)


def s2cloudless_probability(scene: DetectorInput, *, threads: int = 1) -> NDArray[np.float32]:
    """Cloud probability of every valid pixel, to the bit as `S2PixelCloudDetector.get_cloud_probability_maps` gives it.

    Parameters
    ----------
    scene
        At least the ten bands of `S2CLOUDLESS_BANDS`; others are passed over. Divided in float32 as s2cloudless' users
        do; reflectance that was divided in float64 moves single pixels by 5e-5.
    threads
        How many may share the work; changes no bit.

    Returns
    -------
    probability : (y, x) float32
        0 to 1; NaN where `scene.valid` is False, and where an int16 band holds its nodata. NaN in a valid pixel counts
        as 0, as in LightGBM.

    Raises
    ------
    DetectorError
        A level other than L1C, a band that is missing, of another shape or dtype, counts given as reflectance, or a
        cirrus band without any light.
    """
    about = f"s2cloudless, scene {scene.scene or 'without id'}"
    bands = _ten_bands(about, scene)
    valid = scene.valid
    if bands[0].dtype == np.int16:
        valid = valid & np.logical_and.reduce([band != NODATA_REFLECTANCE for band in bands])
    expect_reflectance(about, scene)
    _refuse_dark_cirrus(about, scene.bands, valid)
    return installed_forest().probability(
        bands, valid, offset=scene.offset, quantification=scene.quantification, threads=threads
    )


def s2cloudless_cloud(
    probability: NDArray[np.float32], *, threshold: float, average_over: int, dilation_size: int
) -> Flag:
    """Cloud from probability, smoothed and dilated as the library does; see `cloud_of_probability`."""
    return cloud_of_probability(
        probability, threshold=threshold, average_over=average_over, dilation_size=dilation_size
    )


def _ten_bands(about: str, scene: DetectorInput) -> list[NDArray[Any]]:
    """The bands in the model's order, all of one shape and dtype."""
    lacks = [f"{name} ({SENTINEL2_BANDS[name].number})" for name in S2CLOUDLESS_BANDS if name not in scene.bands]
    if lacks or scene.level != "L1C":
        found = f"lacks {', '.join(lacks)}" if lacks else f"found level {scene.level}"
        raise DetectorError(
            f"{about}: {found}; expected the ten L1C bands {', '.join(S2CLOUDLESS_BANDS)}. L2A has no cirrus band "
            "(B10), and with zeros in its place a fifth of the pixels flips. Give the L1C bands of the acquisition, or "
            "choose other detectors, such as mask.detectors: [quality]."
        )
    bands = [scene.bands[name] for name in S2CLOUDLESS_BANDS]
    if {band.shape for band in bands} != {scene.valid.shape} or len({band.dtype for band in bands}) > 1:
        found = ", ".join(f"{name} {scene.bands[name].dtype} {scene.bands[name].shape}" for name in S2CLOUDLESS_BANDS)
        raise DetectorError(
            f"{about}: found {found}, expected one dtype and one grid, {scene.valid.shape}. "
            "Bring bands of 10, 20 and 60 m to one resolution first."
        )
    is_float = bands[0].dtype.kind == "f"
    if is_float != (scene.quantification is None):
        raise DetectorError(
            f"{about}: found bands of {bands[0].dtype} with quantification {scene.quantification}, expected "
            f"{'None, since they are reflectance' if is_float else 'the counts per unit reflectance, 10000'}."
        )
    return bands


def _refuse_dark_cirrus(about: str, bands: Any, valid: Flag) -> None:
    """Zeros in the place of B10 are what is made of L2A; a real one measures a little light somewhere."""
    if int(valid.sum()) < _FEWEST_FOR_CIRRUS or (bands["cirrus"][valid] != 0).any() or not bands["blue"][valid].any():
        return
    raise DetectorError(
        f"{about}: found cirrus (B10) 0 in all {int(valid.sum())} valid pixels, expected a measured band: with zeros "
        "in its place a fifth of the pixels flips. Give the B10 of the L1C product; L2A has none."
    )
