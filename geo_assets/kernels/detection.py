"""The contract of every cloud detector: what it is given, what it answers, and what it has to declare."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import (
    NODATA_CLASS,
    NODATA_REFLECTANCE,
    SATURATED_REFLECTANCE,
    ClassCode,
    Flag,
    Reflectance,
)
from geo_assets.domain.bands import QUANTIFICATION, SENTINEL2_BANDS, Level
from geo_assets.domain.errors import DetectorError, GeoAssetsError
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.quality import DetectorBit, MaskCode

SATURATED_DN = 65535
"""Counts of a saturated pixel of L1C (Sentinel-2 Products Specification, SPECIAL_VALUE SATURATED)."""

_NO_REFLECTANCE = 20.0
"""No pixel reflects twenty times the light of a white surface: such values are counts."""

_DTYPES = (np.uint16, np.int16, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class DetectorInput:
    """One scene, or a piece of it, as a detector sees it; all rasters on one grid."""

    bands: Mapping[str, NDArray[Any]]
    """Stable name -> (y, x), all of one dtype: uint16 counts as stored (DN), int16 reflectance counts (x 10,000, nodata
    -32768, offset applied), or float32 reflectance (NaN is nodata)."""
    valid: Flag
    """(y, x) bool: True where the scene was seen; a detector judges exactly these pixels."""
    angles: Angles | None
    """Where sun and sensor stand; None where nobody knows."""
    resolution_m: float
    """Edge of a pixel, metres."""
    level: Level = "L1C"
    offset: int = 0
    """Added to DN before scaling, such as -1000; 0 for counts and reflectance, which have it already."""
    quantification: int | None = QUANTIFICATION
    """Counts per unit reflectance; None: the bands are reflectance."""
    geobox: GeoBox | None = None
    """Where it lies, for detectors that read files."""
    scene: str = ""
    """Its id, for messages."""

    def reflectance(self, name: str) -> Reflectance:
        """(y, x) float32 reflectance of a band, NaN where `valid` is False or the band holds nodata.

        Divided in float32, as s2cloudless' users do: float64 moves its probabilities by 5e-5.
        """
        stored = self.bands[name]
        known = self.valid & (stored != NODATA_REFLECTANCE) if stored.dtype == np.int16 else self.valid
        reflectance = stored.astype(np.float32)
        if self.quantification is not None:
            reflectance += np.float32(self.offset)
            reflectance /= np.float32(self.quantification)
        reflectance[~known] = np.nan
        return reflectance

    def saturated(self, name: str) -> Flag:
        """(y, x) bool: where a band is brighter than its counts can say; never in float reflectance."""
        stored = self.bands[name]
        if stored.dtype == np.float32:
            return np.zeros(self.valid.shape, np.bool_)
        flags: Flag = self.valid & (stored == (SATURATED_DN if stored.dtype == np.uint16 else SATURATED_REFLECTANCE))
        return flags


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """What one detector says of a scene, before buffers and before it is joined with others."""

    codes: ClassCode
    """(y, x) uint8, `MaskCode`; fill (255) where the input is not valid, or where the detector cannot say."""
    probability: NDArray[np.float32] | None = None
    """(y, x) float32, cloud probability 0 to 1, NaN where the input is not valid; None: it knows no probabilities."""
    skipped: tuple[str, ...] = ()
    """Steps that had no input, each with its reason: recorded, never silent."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What it measured on the way, by name, such as thresholds and counts."""


@runtime_checkable
class Detector(Protocol):
    """Anything that tells clouds: the five built in, and every plug-in of the group `geo_assets.detectors`."""

    @property
    def name(self) -> str:
        """As the region file calls it."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Stable names of the bands that it cannot do without."""

    @property
    def optional_bands(self) -> tuple[str, ...]:
        """Bands that it uses where they are."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """Processing levels that it understands."""

    @property
    def bit(self) -> DetectorBit:
        """How the mask remembers that it flagged a pixel."""

    @property
    def needs_angles(self) -> bool:
        """True when it refuses to work without `DetectorInput.angles`."""

    @property
    def resolution_m(self) -> tuple[float, float]:
        """Finest and coarsest pixels that it is made for, metres."""

    @property
    def halo_m(self) -> float | None:
        """How far around a pixel it looks, metres; None: it wants the whole scene."""

    def detect(self, scene: DetectorInput) -> Detection:
        """Judge a scene; called through `detected`, which checks both sides."""


def detected(detector: Detector, scene: DetectorInput) -> Detection:
    """What a detector says of a scene, with its input and its answer held to the contract.

    Parameters
    ----------
    detector : Detector
        Built in or a plug-in.
    scene : DetectorInput
        The bands that it declares, at a level and a resolution that it declares.

    Returns
    -------
    detection : Detection
        As the detector gave it.

    Raises
    ------
    DetectorError
        Input: another level, missing bands, shapes or dtypes that differ, an offset for values that have it already, no
        angles, a resolution out of range. Answer: not a `Detection`, another shape or dtype, codes that are no
        `MaskCode`, codes other than fill or a probability where nothing is valid, a probability outside 0 to 1,
        `skipped` that are no texts, `figures` that are no numbers. Also whatever else the detector raised, as its
        cause. A plug-in that writes into its input is among these: others are still going to read it.
    """
    about = f"Detector {detector.name}, scene {scene.scene or 'without id'}"
    _expect_level(about, detector, scene)
    _expect_bands(about, detector, scene)
    _expect_geometry(about, detector, scene)
    expect_reflectance(about, scene)
    try:
        detection = detector.detect(_read_only(scene) if detector.bit == DetectorBit.PLUG_IN else scene)
    except GeoAssetsError:
        raise
    except (Exception, SystemExit) as failure:  # a detector that gives up ends neither the scene's others nor the run
        raise DetectorError(
            f"{about}: it failed with {type(failure).__name__}: {failure}. "
            "Correct the detector, or leave it out of mask.detectors."
        ) from failure
    _expect_detection(about, detection, scene.valid)
    return detection


def _read_only(scene: DetectorInput) -> DetectorInput:
    """The same scene, into whose arrays nobody can write by mistake."""
    bands = {name: band.view() for name, band in scene.bands.items()}
    valid = scene.valid.view()
    for array in (*bands.values(), valid):
        array.flags.writeable = False
    return replace(scene, bands=bands, valid=valid)


def expect_reflectance(about: str, scene: DetectorInput) -> None:
    """Refuse counts that are given as reflectance: they are cloud throughout.

    Raises
    ------
    DetectorError
        More than half of the values are too bright for anything that reflects.
    """
    judged = int(scene.valid.sum()) * len(scene.bands)
    if scene.quantification is not None or judged == 0:
        return
    too_bright = sum(int(np.count_nonzero((band > _NO_REFLECTANCE) & scene.valid)) for band in scene.bands.values())
    if too_bright > judged / 2:
        raise DetectorError(
            f"{about}: found values above {_NO_REFLECTANCE:g} in {too_bright / judged:.0%} of the pixels given as "
            "reflectance, expected about 0 to 1. These are counts: give them as integers with quantification=10000 "
            "(QUANTIFICATION_VALUE) and their offset (RADIO_ADD_OFFSET), or divide them first."
        )


def _expect_level(about: str, detector: Detector, scene: DetectorInput) -> None:
    if scene.level in detector.levels:
        return
    reason = (
        f" {scene.level} has no cirrus band (B10), and with zeros in its place a fifth of the pixels flips."
        if "cirrus" in detector.bands
        else ""
    )
    expected = " or ".join(detector.levels)
    raise DetectorError(
        f"{about}: found bands of level {scene.level}, expected {expected}.{reason} "
        f"Give the {expected} bands of the same acquisition, or choose detectors that judge {scene.level}, such as "
        "mask.detectors: [quality]."
    )


def _expect_bands(about: str, detector: Detector, scene: DetectorInput) -> None:
    """The bands are there, of one shape and of a dtype whose meaning is known."""
    missing = [name for name in detector.bands if name not in scene.bands]
    if missing:
        raise DetectorError(
            f"{about}: lacks {_named(missing)}; found {_named(scene.bands) or 'no band'}, expected "
            f"{_named(detector.bands)}. Give the missing bands, or choose detectors that do without them."
        )
    shapes = {name: band.shape for name, band in scene.bands.items()}
    if scene.valid.dtype != np.bool_ or scene.valid.ndim != 2:
        raise DetectorError(
            f"{about}: found valid of {scene.valid.dtype} {scene.valid.shape}, expected a (y, x) array of bool. "
            "Give True where the scene was seen."
        )
    if any(shape != scene.valid.shape for shape in shapes.values()):
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise DetectorError(
            f"{about}: found bands of unequal shapes ({found}; valid {scene.valid.shape}), expected one grid. "
            "Bring bands of 10, 20 and 60 m to one resolution first."
        )
    dtypes = {band.dtype for band in scene.bands.values()}
    if len(dtypes) > 1 or not dtypes.issubset(np.dtype(dtype) for dtype in _DTYPES):
        raise DetectorError(
            f"{about}: found bands of {', '.join(sorted(map(str, dtypes)))}, expected all of uint16 (counts), "
            "of int16 (reflectance x 10,000), or of float32 (reflectance). Convert them."
        )
    _expect_scaling(about, scene, dtypes.pop() if dtypes else None)


def _expect_scaling(about: str, scene: DetectorInput, dtype: "np.dtype[Any] | None") -> None:
    """Offset and quantification belong to the dtype: given twice or not at all they make everything cloud."""
    if dtype is None:
        return
    if (scene.quantification is None) != (dtype == np.float32) or (scene.quantification or 1) <= 0:
        expected = "None, since they are reflectance" if dtype == np.float32 else f"counts per unit, {QUANTIFICATION}"
        raise DetectorError(
            f"{about}: found bands of {dtype} with quantification {scene.quantification}, expected {expected}. "
            "Undivided counts, or reflectance divided again, would be judged wrongly without a word."
        )
    if scene.offset and dtype != np.uint16:
        raise DetectorError(
            f"{about}: found offset {scene.offset} for bands of {dtype}, expected 0: they have their offset already. "
            "Give an offset with uint16 counts as stored only."
        )


def _expect_geometry(about: str, detector: Detector, scene: DetectorInput) -> None:
    finest, coarsest = detector.resolution_m
    if not finest <= scene.resolution_m <= coarsest:
        raise DetectorError(
            f"{about}: found pixels of {scene.resolution_m:g} m, expected {finest:g} to {coarsest:g} m. "
            "Resample the bands, or set mask.resolution."
        )
    if detector.needs_angles and scene.angles is None:
        raise DetectorError(
            f"{about}: found no sun and view angles, expected them. Give angles (from MTD_TL.xml, STAC view:* "
            "properties or HLS layers), or set mask.missing_angles: degrade for cloud without matched shadow."
        )


def _expect_detection(about: str, detection: object, valid: Flag) -> None:
    """The answer is a `Detection` on the same grid, in the vocabulary of the mask."""
    remedy = "Correct the detector, or leave it out of mask.detectors."
    if not isinstance(detection, Detection):
        raise DetectorError(f"{about}: answered with {type(detection).__name__}, expected a Detection. {remedy}")
    _expect_plane(f"{about}: codes", detection.codes, np.uint8, valid.shape, remedy)
    known = np.zeros(256, np.bool_)
    known[list(MaskCode)] = True
    unknown = np.flatnonzero((np.bincount(detection.codes.ravel(), minlength=256) > 0) & ~known)
    if unknown.size:
        raise DetectorError(
            f"{about}: found the code{'s' if unknown.size > 1 else ''} {', '.join(map(str, unknown))}, expected "
            f"{', '.join(f'{code} {code.name.lower()}' for code in MaskCode)}. {remedy}"
        )
    if (detection.codes[~valid] != NODATA_CLASS).any():
        raise DetectorError(
            f"{about}: found codes where the scene was not seen, expected fill ({NODATA_CLASS}) there. {remedy}"
        )
    skipped: Any = detection.skipped  # nobody checked a plug-in's types
    figures: Any = detection.figures
    if not isinstance(skipped, tuple | list) or not all(isinstance(step, str) for step in skipped):
        raise DetectorError(f"{about}: found skipped {skipped!r:.60}, expected a tuple of texts. {remedy}")
    if not isinstance(figures, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Real) for name, value in figures.items()
    ):
        raise DetectorError(f"{about}: found figures {figures!r:.60}, expected a mapping of names to numbers. {remedy}")
    if detection.probability is None:
        return
    _expect_plane(f"{about}: probability", detection.probability, np.float32, valid.shape, remedy)
    known_probability = detection.probability[~np.isnan(detection.probability)]
    if known_probability.size and not 0 <= known_probability.min() <= known_probability.max() <= 1:
        raise DetectorError(
            f"{about}: found probabilities {known_probability.min():g} to {known_probability.max():g}, expected 0 to 1 "
            f"or NaN. {remedy}"
        )
    if not np.isnan(detection.probability[~valid]).all():
        raise DetectorError(f"{about}: found probabilities where the scene was not seen, expected NaN there. {remedy}")


def _expect_plane(what: str, array: object, dtype: type, shape: tuple[int, ...], remedy: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise DetectorError(f"{what}: found {found}, expected {np.dtype(dtype)} {shape}. {remedy}")


def _named(bands: Any) -> str:
    """Bands by stable name and number: `cirrus (B10)`."""
    return ", ".join(f"{name} ({SENTINEL2_BANDS[name].number})" if name in SENTINEL2_BANDS else name for name in bands)
