"""The mask of one scene whose bands are at hand, outside the line: what the library and the terminal door share."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, Flag
from geo_assets.domain.bands import QUANTIFICATION, SENTINEL2_BANDS, Level, stable_name
from geo_assets.domain.errors import DetectorError, GridMismatchError
from geo_assets.domain.region_mask import DETECTORS
from geo_assets.io.detectors.embedded_fmask import EmbeddedFmask
from geo_assets.io.detectors.plug_ins import plug_in, plug_in_names
from geo_assets.io.detectors.s2cloudless import S2Cloudless
from geo_assets.io.pictures.layer_maps import MASK_CLASSES, class_map
from geo_assets.io.pictures.legend import GREEN
from geo_assets.kernels.angles import Angles, angles_from
from geo_assets.kernels.detection import Detection, Detector, DetectorInput, detected
from geo_assets.kernels.offsets import decided_offset
from geo_assets.kernels.quality import DetectorBit, MaskCode, buffer, fuse_codes
from geo_assets.stations.bbox.forms import write_picture

Progress: TypeAlias = Callable[[str, float], None]
"""Called with what is being done and how much of the whole is."""

GivenAngles: TypeAlias = Angles | Mapping[str, Any] | None
"""What a user may say of sun and view; see `kernels.angles.angles_from`."""

HYBRID = ("s2cloudless", "fmask")
"""The detectors that do better together than either alone."""

MASK_NAMES: Mapping[int, str] = {code: code.name.lower() for code in MaskCode if code != MaskCode.FILL}
"""Mask code -> class, fill left out."""

FINEST_M, COARSEST_M = 5.0, 1000.0
"""Pixels for which a cloud mask means anything."""

_WIDEST_BUFFER_M = 10_000.0
_VISIBLE = ("blue", "green", "red")
_LARGEST_DN = 65535


@dataclass(frozen=True, slots=True, eq=False)
class CloudMask:
    """What one or several detectors say of a scene; all arrays are (y, x) on the grid of its bands."""

    codes: ClassCode
    """uint8: 0 clear, 1 cloud, 2 shadow, 3 snow, 4 water, 255 fill; buffers included."""
    detectors: ClassCode
    """uint8, who said cloud or shadow, buffers left out: 2 s2cloudless, 4 embedded Fmask, 16 a plug-in; 255 at fill."""
    probability: NDArray[np.float32] | None
    """float32, cloud probability 0 to 1, NaN where invalid: that of s2cloudless, or else of the first that has one."""
    skipped: tuple[str, ...] = ()
    """Steps of a detector that had no input, each with its reason."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What the detectors measured on the way, as `detector.figure`."""

    def share(self) -> dict[str, float]:
        """Class -> share of the pixels that are not fill, 0 to 1; NaN where all are."""
        counts = np.bincount(self.codes.ravel(), minlength=NODATA_CLASS + 1)
        seen = counts[:NODATA_CLASS].sum()
        return {name: float(counts[code] / seen) if seen else math.nan for code, name in MASK_NAMES.items()}

    def picture(self) -> Image.Image:
        """The classes in colours, with a legend."""
        colours = {code: colour for code, (_, colour) in MASK_CLASSES.items()} | {MaskCode.CLEAR: GREEN}
        return class_map(self.codes, MASK_NAMES, colours=colours, title="Mask")

    def to_png(self, path: str | Path) -> Path:
        """Write `picture` as a PNG file and return its path.

        Raises
        ------
        ResourceError
            The file cannot be written.
        """
        return write_picture(self.picture(), Path(path))


def named_detectors(names: Any, *, threshold: float | None = None) -> tuple[Detector, ...]:
    """Detectors by name: `s2cloudless`, `fmask` (the embedded one), or that of an installed plug-in.

    Parameters
    ----------
    names : str, Detector, or several of them
        At least one; a detector that is made already is taken as it is.
    threshold
        Cloud probability above which s2cloudless says cloud; its usual one without.

    Raises
    ------
    DetectorError
        No name, one twice, or one that nobody has.
    """
    given = [names] if isinstance(names, str | Detector) else list(names) if isinstance(names, Iterable) else []
    if not given:
        raise DetectorError("Detectors: found none, expected at least one, such as s2cloudless and fmask. Name one.")
    named: dict[str, Any] = {} if threshold is None else {"threshold": threshold}
    built_in: dict[str, Callable[[], Detector]] = {
        # Not dilated: what is grown here is grown in metres, and by all detectors alike.
        "s2cloudless": lambda: S2Cloudless(dilation_size=0, **named),
        "fmask": EmbeddedFmask,
    }
    for one in given:
        if one in DETECTORS and one not in built_in:
            raise DetectorError(
                f"Detectors: found {one}, which needs a region file, expected {', '.join(built_in)}, or a plug-in "
                f"({', '.join(plug_in_names()) or 'none is installed'}). Name it in mask.detectors of a region."
            )
    found = [
        one if isinstance(one, Detector) else built_in[one]() if one in built_in else plug_in(one) for one in given
    ]
    for number, detector in enumerate(found):
        if detector.name in [other.name for other in found[:number]]:
            raise DetectorError(f"Detectors: found {detector.name} twice, expected each once. Name it once.")
    return tuple(found)


def expect_level(where: str, level: Level, detectors: Sequence[Detector]) -> None:
    """Refuse a level that some detector does not understand.

    Raises
    ------
    DetectorError
        With why, and what to take instead.
    """
    for detector in detectors:
        if level not in detector.levels:
            why = (
                " It learned on top-of-atmosphere bands, cirrus (B10) among them, which L2A lacks: with zeros in its "
                "place a fifth of the pixels flips."
                if "cirrus" in detector.bands
                else ""
            )
            raise DetectorError(
                f"{where}: found level {level}, expected {' or '.join(detector.levels)} for {detector.name}.{why} Take "
                f"the {detector.levels[0]} product of the same acquisition."
            )


def expect_bands(where: str, bands: Iterable[str], detectors: Sequence[Detector]) -> None:
    """Refuse bands of which some detector lacks one, and name all that are missing.

    Raises
    ------
    DetectorError
        With what they lack, and which detectors would do without.
    """
    have = set(bands)
    needed = [name for name in SENTINEL2_BANDS if any(name in detector.bands for detector in detectors)]
    missing = [name for name in needed if name not in have]
    if not missing:
        return
    who = " and ".join(detector.name for detector in detectors if set(detector.bands) - have)
    content = [detector.name for detector in detectors if not set(detector.bands) - have]
    level = (
        " Only L1C has the cirrus band (B10): an L2A product does not, and zeros in its place would flip a fifth of "
        "the pixels. Take the L1C product of the same acquisition."
        if missing == ["cirrus"]
        else ""
    )
    less = f"detectors {', '.join(content)}, which do without" if content else "detectors that do without"
    raise DetectorError(
        f"{where}: lacks {in_words(missing)} for {who}; found {in_words(sorted(have)) or 'no band'}, expected "
        f"{in_words(needed)}.{level} Give the missing bands, or choose {less}."
    )


def in_words(names: Iterable[str]) -> str:
    """Bands by name and number, by wavelength: `blue (B02), cirrus (B10)`."""
    order = list(SENTINEL2_BANDS)
    known = sorted(names, key=lambda name: order.index(name) if name in order else len(order))
    return ", ".join(f"{name} ({SENTINEL2_BANDS[name].number})" if name in order else name for name in known)


def scene_input(
    bands: Any,
    *,
    offset: Any,
    quantification: Any,
    valid: Any,
    angles: GivenAngles = None,
    resolution_m: Any = 60.0,
    any_seen: bool = False,
    in_double: bool = False,
    where: str = "Bands",
) -> DetectorInput:
    """A user's arrays as detectors take them, or an error that says what is wrong with them.

    Parameters
    ----------
    bands
        Band name or number -> (y, x); see `geo_assets.cloud_mask`.
    offset, quantification, valid, angles, resolution_m
        As there.
    any_seen
        Without `valid`: counts are valid where any band is not 0, instead of all of blue, green and red.
    in_double
        Keep float64 reflectance as it is, which s2cloudless compares in its own precision; other detectors take
        float32.
    where
        What messages call it.

    Raises
    ------
    DetectorError
        Names, values, offset, quantification, angles or resolution that cannot be meant.
    GridMismatchError
        Bands, `valid` or angles of unequal shapes.
    """
    named = _named(bands, where)
    arrays = {name: _plane(array, f"{where}, {name}") for name, array in named.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise GridMismatchError(
            f"{where}: found unequal shapes ({found}), expected one. Bring bands of 10, 20 and 60 m to one grid first: "
            "averages downwards, bilinear upwards."
        )
    reals = np.float64 if in_double and any(array.dtype == np.float64 for array in arrays.values()) else np.float32
    arrays, offset, quantification = _of_one_kind(arrays, offset, quantification, reals, where)
    seen = _valid(arrays, valid, any_seen=any_seen, where=where)
    if not _is_number(resolution_m) or not FINEST_M <= resolution_m <= COARSEST_M:
        raise DetectorError(
            f"{where}: found pixels of {resolution_m!r:.40} m, expected {FINEST_M:g} to {COARSEST_M:g} m. Give "
            "resolution_m in metres; pixels in degrees have to be warped first."
        )
    known = angles_from(angles)
    if known is not None and isinstance(angles, Mapping) and known.sun_zenith.shape not in ((1, 1), seen.shape):
        raise GridMismatchError(
            f"{where}: found angles of {known.sun_zenith.shape}, expected single ones or {seen.shape}, as the bands. "
            "Give them on the bands' grid."
        )
    return DetectorInput(
        bands=arrays,
        valid=seen,
        angles=known,
        resolution_m=float(resolution_m),
        offset=offset,
        quantification=quantification,
    )


def scene_mask(
    scene: DetectorInput,
    detectors: Sequence[Detector],
    *,
    cloud_buffer_m: Any = 0.0,
    shadow_buffer_m: Any = 0.0,
    progress: Progress | None = None,
) -> CloudMask:
    """The mask of a scene by all detectors together.

    Parameters
    ----------
    scene
        Bands, validity and angles on one grid.
    detectors
        Each judges the whole scene.
    cloud_buffer_m, shadow_buffer_m
        How far cloud and shadow are grown, metres. No buffer reaches over fill, and none of shadow over cloud.
    progress
        Told of every detector.

    Raises
    ------
    DetectorError
        A detector lacks its input, or answers what the contract does not allow; a buffer out of range.
    """
    for name, width_m in (("cloud_buffer_m", cloud_buffer_m), ("shadow_buffer_m", shadow_buffer_m)):
        if not _is_number(width_m) or not 0 <= width_m <= _WIDEST_BUFFER_M:
            raise DetectorError(f"{name}: found {width_m!r:.20}, expected 0 to {_WIDEST_BUFFER_M:g} m. Correct it.")
    expect_bands(scene.scene or "Bands", scene.bands, detectors)
    found: dict[str, Detection] = {}
    for number, detector in enumerate(detectors):
        if progress is not None:
            progress(detector.name, number / len(detectors))
        found[detector.name] = detected(detector, scene)
    fused = fuse_codes([(DetectorBit(one.bit), found[one.name].codes) for one in detectors])
    widths_px = {
        MaskCode.SHADOW: float(shadow_buffer_m) / scene.resolution_m,
        MaskCode.CLOUD: float(cloud_buffer_m) / scene.resolution_m,
    }
    return CloudMask(
        codes=grown(fused.codes, widths_px),
        detectors=fused.detectors,
        probability=_probability(found),
        skipped=tuple(f"{name}: {step}" for name, one in found.items() for step in one.skipped),
        figures={f"{name}.{key}": value for name, one in found.items() for key, value in one.figures.items()},
    )


def grown(codes: ClassCode, widths_px: Mapping[MaskCode, float]) -> ClassCode:
    """Codes with classes spread by their widths, in pixels: over neither fill nor cloud, later classes over earlier."""
    spread = codes.copy()
    for code, width_px in widths_px.items():
        if width_px:
            near = buffer(codes == code, radius_px=width_px)
            spread[near & (spread != MaskCode.FILL) & (spread != MaskCode.CLOUD)] = code
    return spread


def offset_doubt(bands: Mapping[str, NDArray[Any]], offset: int, nodata: int = 0) -> str | None:
    """What the pixels say against an offset, in words; None where they agree or do not tell.

    Parameters
    ----------
    bands
        Stable name -> (y, x) counts as stored, before the offset.
    offset
        That is going to be added to them.
    nodata
        Count that means none.
    """
    decided = decided_offset(bands, nodata)
    if decided is None or decided == offset:
        return None
    why = "go down to far below 1000" if decided == 0 else "begin just below or above 1000 in several bands"
    return (
        f"offset {offset:+d} is doubtful: the darkest counts {why}, as they do where it should be {decided:+d} "
        "(RADIO_ADD_OFFSET: -1000 since processing baseline 04.00, else 0)"
    )


def _probability(found: Mapping[str, Detection]) -> NDArray[np.float32] | None:
    """That of s2cloudless, or of the first detector that has one."""
    ordered = sorted(found, key=lambda name: name != "s2cloudless")
    return next((found[name].probability for name in ordered if found[name].probability is not None), None)


def _named(bands: Any, where: str) -> dict[str, Any]:
    """Bands under their stable names."""
    if not isinstance(bands, Mapping):
        raise DetectorError(
            f"{where}: found {type(bands).__name__}, expected a mapping of band names to arrays, such as "
            "{'B02': blue, ...}. Bands are named, since an order can be mistaken without a word."
        )
    named: dict[str, Any] = {}
    called: dict[str, str] = {}
    for key, array in bands.items():
        name = stable_name(key) if isinstance(key, str) else None
        if name is None:
            raise DetectorError(
                f"{where}: found a band called {key!r:.40}, expected names of Sentinel-2 bands: "
                f"{in_words(SENTINEL2_BANDS)}. Correct the name, or leave the band out."
            )
        if name in named:
            raise DetectorError(
                f"{where}: found both {called[name]!r} and {key!r}, one band, expected it once. Leave one out."
            )
        named[name], called[name] = array, key
    return named


def _plane(given: Any, where: str) -> NDArray[Any]:
    if isinstance(given, np.ma.MaskedArray):
        raise DetectorError(
            f"{where}: found a masked array, expected a plain one. Give its data, and `valid=~mask` for all bands."
        )
    try:
        array = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise GridMismatchError(
            f"{where}: found {type(given).__name__} that is no array ({error}), expected (y, x). Give one number for "
            "every pixel."
        ) from None
    if array.ndim != 2 or not array.size:
        raise GridMismatchError(f"{where}: found an array of shape {array.shape}, expected (y, x) with pixels.")
    return array


def _of_one_kind(
    arrays: dict[str, NDArray[Any]], offset: Any, quantification: Any, reals: type[np.floating[Any]], where: str
) -> tuple[dict[str, NDArray[Any]], int, int | None]:
    """All bands as uint16 counts, or as reflectance of the type `reals`; offset and quantification as whole numbers."""
    whole_offset = _whole_number(offset)
    if whole_offset is None:
        raise DetectorError(
            f"{where}: found offset {offset!r:.20}, expected a whole number of counts, such as -1000. Give "
            "RADIO_ADD_OFFSET of the product's metadata, or 0 where it has none."
        )
    if quantification is None:
        strange = [name for name, array in arrays.items() if array.dtype.kind != "f"]
        if strange:
            raise DetectorError(
                f"{where}: found {arrays[strange[0]].dtype} in {strange[0]} with quantification=None, expected float "
                f"reflectance. Give counts as stored with quantification={QUANTIFICATION}."
            )
        if whole_offset:
            raise DetectorError(
                f"{where}: found offset {whole_offset} for reflectance, expected 0: it is counted in DN. Add it before "
                "the division, (DN + offset) / quantification, or give the DN themselves."
            )
        return {name: np.ascontiguousarray(array, reals) for name, array in arrays.items()}, 0, None
    per_unit = _whole_number(quantification)
    if per_unit is None or per_unit < 1:
        raise DetectorError(
            f"{where}: found quantification {quantification!r:.20}, expected counts per unit reflectance, "
            f"{QUANTIFICATION} for Sentinel-2, or None for reflectance. Give QUANTIFICATION_VALUE of the metadata."
        )
    counts = {}
    for name, array in arrays.items():
        if array.dtype.kind not in "iu":
            raise DetectorError(
                f"{where}: found {array.dtype} in {name} with quantification={per_unit}, expected integer "
                "counts. Give reflectance with quantification=None, or counts as integers."
            )
        if array.dtype != np.uint16 and not 0 <= array.min() <= array.max() <= _LARGEST_DN:
            raise DetectorError(
                f"{where}: found {array.min()} to {array.max()} in {name}, expected counts of 0 to {_LARGEST_DN}. Give "
                "reflectance that is stored as integers as float, NaN where it has no data, with quantification=None."
            )
        counts[name] = np.ascontiguousarray(array, np.uint16)
    return counts, whole_offset, per_unit


def _whole_number(given: Any) -> int | None:
    """An offset or quantification as an int, also where a file or an array made it a float; None for anything else."""
    return int(given) if _is_number(given) and abs(given) <= _LARGEST_DN and given == int(given) else None


def _is_number(given: Any) -> bool:
    """Python's or numpy's; True and False are none."""
    return isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)


def _valid(arrays: Mapping[str, NDArray[Any]], valid: Any, *, any_seen: bool, where: str) -> Flag:
    shape = next(iter(arrays.values())).shape if arrays else (0, 0)
    if valid is not None:
        given = np.asarray(valid)
        if given.dtype != np.bool_ or given.shape != shape:
            raise GridMismatchError(
                f"{where}: found valid of {given.dtype} {given.shape}, expected bool {shape}, as the bands. Give True "
                "where the scene was seen."
            )
        return np.ascontiguousarray(given)
    seen: Flag
    if any(array.dtype.kind == "f" for array in arrays.values()):
        # A forest takes NaN for 0, which is clear: a pixel counts only where all that is given is known.
        seen = ~np.logical_or.reduce([np.isnan(array) for array in arrays.values()])
    elif any_seen:
        seen = np.logical_or.reduce([array != 0 for array in arrays.values()])
    else:
        visible = [arrays[name] for name in _VISIBLE if name in arrays] or list(arrays.values())
        seen = np.logical_and.reduce([array != 0 for array in visible]) if visible else np.zeros(shape, np.bool_)
    return seen
