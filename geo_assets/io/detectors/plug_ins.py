"""Detectors that other packages bring along, under the entry-point group `geo_assets.detectors`."""

from importlib.metadata import EntryPoint, entry_points

from geo_assets.domain.bands import SENTINEL2_BANDS, Level
from geo_assets.domain.errors import DetectorError
from geo_assets.domain.region_mask import DETECTORS
from geo_assets.kernels.detection import Detector
from geo_assets.kernels.quality import DetectorBit

GROUP = "geo_assets.detectors"
"""Entry-point group: a name, and what makes the detector: a class or function without arguments, or a detector."""

_MEMBERS = ("name", "bands", "optional_bands", "levels", "bit", "needs_angles", "resolution_m", "halo_m", "detect")
_LEVELS: tuple[Level, ...] = ("L1C", "L2A", "HLS", "NBAR")


def plug_in_names() -> tuple[str, ...]:
    """Names of the installed plug-ins, in order; none of them is imported, and the broken ones are among them."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def detector_names() -> tuple[str, ...]:
    """Every name that `mask.detectors` may hold: built-in detectors, then plug-ins."""
    return (*DETECTORS, *(name for name in plug_in_names() if name not in DETECTORS))


def plug_in(name: str) -> Detector:
    """The detector that an installed package offers under a name.

    Raises
    ------
    DetectorError
        No package offers it, several do, it has the name of a built-in one, it cannot be imported or made, or what it
        declares breaks the contract of `Detector`.
    """
    point = _entry_point(name)
    about = f"Detector plug-in {name} ({point.value}, of {_package(point)})"
    remedy = "Correct or uninstall that package, or leave the name out of mask.detectors."
    try:
        made = point.load()
    except Exception as failure:  # an import may raise anything
        raise DetectorError(
            f"{about}: it cannot be imported ({type(failure).__name__}: {failure}). {remedy}"
        ) from failure
    if isinstance(made, type) or (callable(made) and not hasattr(made, "detect")):
        try:
            made = made()
        except Exception as failure:  # and so may somebody's constructor
            raise DetectorError(
                f"{about}: it cannot be made without arguments ({type(failure).__name__}: {failure}). {remedy}"
            ) from failure
    lacks = [member for member in _MEMBERS if not hasattr(made, member)]
    if lacks:
        raise DetectorError(
            f"{about}: found {type(made).__name__} without {', '.join(lacks)}, expected all of {', '.join(_MEMBERS)}. "
            f"{remedy}"
        )
    try:
        problem = _problem(made, name)
    except Exception as failure:  # a declaration of another type, or a property that fails
        problem = f"what it declares cannot be read ({type(failure).__name__}: {failure})"
    if problem:
        raise DetectorError(f"{about}: {problem}. {remedy}")
    detector: Detector = made
    return detector


def _entry_point(name: str) -> EntryPoint:
    """The one entry point of a name."""
    found = {(point.value, _package(point)): point for point in entry_points(group=GROUP, name=name)}
    if name in DETECTORS:
        offered = f" ({', '.join(sorted(package for _, package in found))} offers one)" if found else ""
        raise DetectorError(
            f"Detector {name}: the name is a built-in detector's{offered}. Give the plug-in another name."
        )
    if not found:
        installed = ", ".join(plug_in_names()) or "none"
        raise DetectorError(
            f"Detector {name}: found no such plug-in; installed are: {installed}. Install the package that brings it "
            f"(entry-point group {GROUP}), or correct mask.detectors; built in are {', '.join(DETECTORS)}."
        )
    if len(found) > 1:
        offers = " and ".join(sorted(f"{value} of {package}" for value, package in found))
        raise DetectorError(
            f"Detector {name}: found {len(found)} plug-ins of that name, {offers}. Uninstall all but one."
        )
    return next(iter(found.values()))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown package"


def _problem(detector: Detector, name: str) -> str | None:
    """What is wrong with what a detector declares, if anything."""
    unknown = [band for band in (*detector.bands, *detector.optional_bands) if band not in SENTINEL2_BANDS]
    levels = [level for level in detector.levels if level not in _LEVELS]
    finest, coarsest = detector.resolution_m
    if detector.name != name:
        return f"it calls itself {detector.name!r}, expected the name of its entry point, {name!r}"
    if unknown:
        return f"it declares the bands {', '.join(map(repr, unknown))}, expected some of {', '.join(SENTINEL2_BANDS)}"
    if levels or not detector.levels:
        return f"it declares the levels {list(detector.levels)}, expected some of {', '.join(_LEVELS)}"
    if detector.bit != DetectorBit.PLUG_IN:
        return (
            f"it claims the bit {detector.bit!r}, expected DetectorBit.PLUG_IN: the others belong to built-in detectors"
        )
    if not 0 <= finest <= coarsest:
        return f"it declares pixels of {finest} to {coarsest} m, expected the finest first"
    if detector.halo_m is not None and not detector.halo_m >= 0:
        return f"it declares a halo of {detector.halo_m} m, expected 0 or more, or None for the whole scene"
    return None
