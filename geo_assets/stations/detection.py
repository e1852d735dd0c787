"""Which detectors judge a scene and why, what they read, and what its archive's own quality layers say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode
from geo_assets.domain.bands import S2CLOUDLESS_BANDS, SENTINEL2_BANDS, Level
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.io.archives.archive import Archive
from geo_assets.io.archives.local import LocalArchive
from geo_assets.io.archives.paired import PairedArchive
from geo_assets.io.detectors.embedded_fmask import EmbeddedFmask
from geo_assets.io.detectors.external_fmask import ExternalFmask
from geo_assets.io.detectors.omnicloudmask import OmniCloudMask
from geo_assets.io.detectors.plug_ins import plug_in
from geo_assets.io.detectors.program_run import Outside
from geo_assets.io.detectors.s2cloudless import S2Cloudless
from geo_assets.io.detectors.scene_facts import SceneFacts
from geo_assets.io.detectors.scores import Scores
from geo_assets.kernels.detection import Detector
from geo_assets.kernels.quality import DetectorBit
from geo_assets.kernels.quality_layers import (
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

QUALITY, S2CLOUDLESS, EMBEDDED_FMASK, EXTERNAL_FMASK = "quality", "s2cloudless", "fmask", "external_fmask"
"""Detectors as the region file calls them."""

IN_HOUSE = (QUALITY, S2CLOUDLESS, EMBEDDED_FMASK)
"""Detectors that hang on nothing but the archive."""

HYBRID = (S2CLOUDLESS, EMBEDDED_FMASK)
"""What `auto` takes where a scene has L1C bands: together they find more than either alone."""


@dataclass(frozen=True, slots=True)
class DetectorChoice:
    """By which detectors a scene is judged, and why."""

    names: tuple[str, ...]
    """As the region file calls them; empty: every valid pixel is clear."""
    reasons: tuple[str, ...]
    """One for each name."""
    missing: tuple[str, ...]
    """Detectors that the scene has no input for, each with what it lacks."""


def detector_choice(region: Region, scene: Scene) -> DetectorChoice:
    """The detectors of a scene: the region's, or by `auto` those that the scene has input for.

    `auto` takes s2cloudless and Fmask where the scene has L1C bands for both; where for one of them only, that one
    beside the quality layer; else the quality layer. An Fmask file of the item joins in any case.
    """
    asked = region.mask.detectors
    if asked != "auto":
        lacks = {name: lack_of(region, scene, name) for name in asked}
        return DetectorChoice(asked, ("mask.detectors names it",) * len(asked), _told(lacks))
    lacks = {name: lack_of(region, scene, name) for name in (QUALITY, *HYBRID, EXTERNAL_FMASK)}
    found = [name for name, lack in lacks.items() if lack is None]
    is_hybrid = set(HYBRID) <= set(found)
    reasons = {
        QUALITY: "the item has it, and L1C bands for s2cloudless and Fmask together are not at hand",
        **dict.fromkeys(HYBRID, f"L1C bands of {_ids(scene.toa_parts)}"),
        EXTERNAL_FMASK: "Fmask files are at hand",
    }
    names = tuple(name for name in found if not (is_hybrid and name == QUALITY))
    if FMASK not in scene.parts[0].assets or scene.parts[0].quality == "hls_fmask":
        del lacks[EXTERNAL_FMASK]  # an extra, which nobody misses
    return DetectorChoice(names, tuple(reasons[name] for name in names), _told(lacks))


def detectors_of(region: Region, scene: Scene) -> tuple[str, ...]:
    """The names of `detector_choice`."""
    return detector_choice(region, scene).names


def lack_of(region: Region, scene: Scene, name: str) -> str | None:
    """What a scene lacks for a detector, in words; None where it has all of it."""
    item = scene.parts[0]
    if name == QUALITY:
        layers = quality_layers(region.bands, item)
        if not layers:
            return "a quality layer"
        return _lacking(layers, scene.parts)
    if name == EXTERNAL_FMASK and reads_own_fmask(region):
        if item.quality == "hls_fmask":
            return "an Fmask file beside its quality layer"
        if lack := _lacking((FMASK,), scene.parts):
            return lack
        # Never guessed: a file of Fmask 4 read as python-fmask's makes shadow of cloud.
        return None if region.mask.external_fmask else "mask.external_fmask.encoding, which says how its values read"
    return _lack_of_bands(region, scene, detector_named(region, name))


def detector_named(
    region: Region, name: str, facts: SceneFacts | None = None, *, threads: int = 1, outside: Outside | None = None
) -> Detector:
    """A detector that judges bands or reads files, with the region's settings; not the layers of an item.

    Parameters
    ----------
    facts
        What the templates of files and commands may say of a scene beside its id; not needed to see what a detector
        declares.
    threads, outside
        For the programs of others; neither changes a byte.

    Raises
    ------
    DetectorError
        A plug-in that is not installed, or is broken.
    """
    settings = region.mask
    facts = facts or SceneFacts()
    if name == S2CLOUDLESS:
        return S2Cloudless(
            threshold=settings.threshold, average_over=settings.average_over, dilation_size=settings.dilation_size
        )
    if name == EMBEDDED_FMASK:
        return EmbeddedFmask(needs_angles=settings.missing_angles == "refuse")
    if name == EXTERNAL_FMASK and settings.external_fmask is not None:
        own = settings.external_fmask
        return ExternalFmask(
            FmaskEncoding(own.encoding),
            own.command,
            own.path,
            facts,
            timeout_s=own.timeout_s,
            threads=threads,
            outside=outside or Outside(),
        )
    if name == "scores" and settings.scores is not None:
        scores = settings.scores
        return Scores(scores.path, scores.high_is, scores.threshold, facts)
    if name == "omnicloudmask" and settings.omnicloudmask is not None:
        return OmniCloudMask(Path(settings.omnicloudmask.weights))
    return _plug_in(name)


_plug_in = cache(plug_in)
"""Looked up once: entry points are searched for in all installed packages."""


def facts_of(archive: Archive, scene: Scene) -> SceneFacts:
    """What templates may say of a scene; its SAFE folder where an archive on disk is made of such folders."""
    item = scene.toa_parts[0] if scene.toa_parts else scene.parts[0]
    return SceneFacts(scene.parts[0].tile or "", f"{scene.acquired:%Y%m%d}", _safe_folder(archive, item))


def _safe_folder(archive: Archive, item: SceneItem) -> Path | None:
    if isinstance(archive, PairedArchive):
        return _safe_folder(archive.companion if item.archive else archive.own, item)
    if not isinstance(archive, LocalArchive):
        return None
    for asset in item.assets.values():
        folders = [folder for folder in PurePosixPath(asset.href).parents if folder.suffix == ".SAFE"]
        if folders and (archive.root / folders[0]).is_dir():
            return archive.root / folders[0]
    return None


def reads_own_fmask(region: Region) -> bool:
    """True when `external_fmask` means the file that an item carries."""
    settings = region.mask.external_fmask
    return settings is None or (settings.path is None and settings.command is None)


def judging_detectors(
    region: Region, scene: Scene, facts: SceneFacts | None = None, *, threads: int = 1
) -> dict[str, Detector]:
    """Name -> detector, of those that are run on a scene; quality layers and an item's own Fmask file are only read."""
    return {
        name: detector_named(region, name, facts, threads=threads)
        for name in detectors_of(region, scene)
        if name != QUALITY and not (name == EXTERNAL_FMASK and reads_own_fmask(region))
    }


def detector_bits(region: Region, scene: Scene) -> dict[str, DetectorBit]:
    """Name -> bit, of all detectors of a scene."""
    bits = {QUALITY: DetectorBit.QUALITY_LAYER, EXTERNAL_FMASK: DetectorBit.EXTERNAL_FMASK}
    judging = judging_detectors(region, scene)
    return {name: judging[name].bit if name in judging else bits[name] for name in detectors_of(region, scene)}


def judges_toa(scene: Scene, detector: Detector) -> bool:
    """True when a detector is given a scene's L1C bands, False when the surface reflectance of the region's bands."""
    return "L1C" in detector.levels and bool(scene.toa_parts) and _lacking(detector.bands, scene.toa_parts) is None


def input_bands(region: Region, scene: Scene, detector: Detector) -> tuple[str, ...]:
    """The bands that a detector is given of a scene, by wavelength: those it needs, and of the others what there is."""
    if judges_toa(scene, detector):
        at_hand = [name for name in detector.optional_bands if _lacking((name,), scene.toa_parts) is None]
    else:
        at_hand = [name for name in detector.optional_bands if name in region.bands]
    return _by_wavelength((*detector.bands, *at_hand))


def toa_bands(region: Region, scene: Scene) -> tuple[str, ...]:
    """The L1C bands that a scene's detectors read, by wavelength; empty where none reads any."""
    wanted: set[str] = set()
    for detector in judging_detectors(region, scene).values():
        if judges_toa(scene, detector):
            wanted.update(input_bands(region, scene, detector))
    return _by_wavelength(wanted)


def uses_toa(region: Region) -> bool:
    """True when L1C bands are of use: the region's detectors choose themselves, or one of them understands only L1C."""
    return region.mask.detectors == "auto" or bool(needed_toa_bands(region))


def needed_toa_bands(region: Region) -> tuple[str, ...]:
    """The L1C bands that an item must have for the detectors that the region names; empty with `auto`."""
    if region.mask.detectors == "auto":
        return ()
    judging = [name for name in region.mask.detectors if name not in (QUALITY, EXTERNAL_FMASK)]
    if EXTERNAL_FMASK in region.mask.detectors and not reads_own_fmask(region):
        judging.append(EXTERNAL_FMASK)
    only_toa = [one for one in (detector_named(region, name) for name in judging) if set(one.levels) == {"L1C"}]
    return _by_wavelength({band for one in only_toa for band in one.bands})


def scouted_by(region: Region, scene: Scene) -> str | None:
    """The one detector that a coarse look takes: the cheapest that tells clear ground from cloud; None without any.

    A quality layer where the region's detectors leave the choice or name it, an Fmask file, or s2cloudless, which needs
    no neighbours and no angles.
    """
    if region.mask.detectors == ():
        return None
    names = detectors_of(region, scene)
    may_see_quality = region.mask.detectors == "auto" or QUALITY in names
    if may_see_quality and lack_of(region, scene, QUALITY) is None:
        return QUALITY
    if EXTERNAL_FMASK in names and reads_own_fmask(region):
        return EXTERNAL_FMASK
    return S2CLOUDLESS if scene.toa_parts and _lacking(S2CLOUDLESS_BANDS, scene.toa_parts) is None else None


def quality_layers(bands: Sequence[str], item: SceneItem) -> tuple[str, ...]:
    """The layers by which an item's archive says what is clear in `bands`; none where it does not say."""
    if item.quality == "scl":
        return ("scl",)
    if item.quality == "hls_fmask":
        return (FMASK,)
    if item.quality == "mcd43a4":
        return tuple(f"qa_{band}" for band in bands)
    return ()


def class_layers(region: Region, scene: Scene) -> tuple[str, ...]:
    """The categorical layers that a scene's mask is made from: those of its quality layer, and an Fmask file."""
    detectors = detectors_of(region, scene)
    layers = quality_layers(region.bands, scene.parts[0]) if QUALITY in detectors else ()
    own = EXTERNAL_FMASK in detectors and reads_own_fmask(region) and FMASK not in layers
    return (*layers, FMASK) if own else layers


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


def fmask_file_codes(region: Region, values: ClassCode) -> ClassCode:
    """(y, x) `MaskCode` by an item's own Fmask file, in the region's encoding; 255 where the item has none."""
    assert region.mask.external_fmask is not None  # `lack_of` holds it back otherwise
    encoding = FmaskEncoding(region.mask.external_fmask.encoding)
    # Where no part has data our own fill stands, and python-fmask's is another.
    own_fill = np.uint8(0 if encoding is FmaskEncoding.PYTHON_FMASK else NODATA_CLASS)
    return fmask_codes(np.where(values == NODATA_CLASS, own_fill, values), encoding)


def _lack_of_bands(region: Region, scene: Scene, detector: Detector) -> str | None:
    if not detector.bands:
        return None
    if judges_toa(scene, detector):
        return None
    if "L1C" in detector.levels and scene.toa_parts:
        lacks = _lacking(detector.bands, scene.toa_parts)
    elif "L1C" in detector.levels:
        lacks = "an L1C item of the same acquisition"
    else:
        lacks = f"bands of level {' or '.join(detector.levels)}"
    if not _feeds(scene.level, detector):
        return lacks
    outside = [name for name in detector.bands if name not in region.bands]
    return f"{', '.join(outside)} among the region's bands" if outside else None


def _feeds(level: Level, detector: Detector) -> bool:
    """Whether a detector may be given the surface reflectance of a level."""
    return level != "L1C" and level in detector.levels


def _lacking(names: Iterable[str], parts: Sequence[SceneItem]) -> str | None:
    """The names that one of the parts has no file for, in words; None where all have all."""
    lacks = [name for name in names if any(name not in part.assets for part in parts)]
    return f"{', '.join(lacks)} in {_ids(parts)}" if lacks else None


def _by_wavelength(names: Iterable[str]) -> tuple[str, ...]:
    wanted = set(names)
    return tuple(name for name in SENTINEL2_BANDS if name in wanted)


def _told(lacks: dict[str, str | None]) -> tuple[str, ...]:
    return tuple(f"{name}: lacks {lack}" for name, lack in lacks.items() if lack is not None)


def _ids(parts: Sequence[SceneItem]) -> str:
    return ", ".join(part.id for part in parts)


def _with_scl_fill(scl: ClassCode) -> ClassCode:
    """SCL with its own 0 where it has no data, instead of our 255."""
    return np.where(scl == NODATA_CLASS, np.uint8(0), scl)
