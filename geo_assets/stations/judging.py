"""Detectors at work: each judges a whole scene once, on the mask's grid, from what was fetched for it."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, Flag, ReflectanceCount
from geo_assets.domain.errors import DetectorError
from geo_assets.domain.scene import Scene
from geo_assets.io.angles import AngleFinding, angles_on
from geo_assets.io.products import Product
from geo_assets.io.rasters import read_window
from geo_assets.kernels.detection import Detection, DetectorInput, detected
from geo_assets.stations.detection import (
    detector_choice,
    detector_named,
    facts_of,
    input_bands,
    judges_toa,
    toa_bands,
)
from geo_assets.stations.fetch import REFLECTANCE, TOA, fetched_angles, layer_file
from geo_assets.stations.ground import Ground
from geo_assets.stations.line import Line
from geo_assets.stations.nesting import Nesting
from geo_assets.stations.units import UnitArrays

PER_CENT = 100
"""Steps in which probabilities are stored."""

JUDGING_BYTES_PER_PX = 46
"""Memory that one detector takes, its twelve bands included; the more hungry of s2cloudless and Fmask, measured."""

_MOST_JUDGING_BYTES = 4_000_000_000
"""Of all detectors at work at once: a tile at 60 m takes 0.15 GB for each of them, at 20 m 1.4 GB."""


@dataclass(frozen=True, slots=True, eq=False)
class Judging:
    """What the scenes of one tile and month are judged by."""

    line: Line
    fetched: Product
    nesting: Nesting

    def expect_input(self, scene: Scene) -> None:
        """Refuse a scene that lacks input for a detector that the region names, or for any where it names none.

        Raises
        ------
        DetectorError
            With what it lacks.
        """
        region = self.line.region
        choice = detector_choice(region, scene)
        if not choice.names and region.mask.detectors == "auto":
            raise DetectorError(
                f"Region {region.name}, scene {scene.id}: no detector has input ({'; '.join(choice.missing)}). "
                "Set mask.detectors: [] to call every valid pixel clear on purpose."
            )
        if choice.missing and region.mask.detectors != "auto":
            raise DetectorError(
                f"Region {region.name}, scene {scene.id}: {'; '.join(choice.missing)}. Leave the detector out of "
                "mask.detectors, or the scene out by selection.exclude."
            )

    def judged(self, scene: Scene, name: str) -> UnitArrays:
        """What one detector says of a scene, on the whole extent of the mask's ground.

        `codes`: (y, x) uint8; `per_cent`: (y, x) uint8, its cloud probability, 255 where unknown, where it has any;
        `report`: what it skipped and measured, and by which angles, JSON.
        """
        region, coarse = self.line.region, self.nesting.coarse
        line, facts = self.line, facts_of(self.line.archive, scene)
        detector = detector_named(region, name, facts, threads=line.threads, outside=line.outside)
        extent, metres = coarse.extent(), float(coarse.geobox.resolution.x)
        finding = fetched_angles(self.fetched, scene)
        wanted = input_bands(region, scene, detector)
        from_toa = bool(wanted) and judges_toa(scene, detector)
        bands = self._toa(scene, wanted) if from_toa else self._surface(scene)
        # A pixel that only some of the bands show is judged by none of those that need them all.
        seen = all_known(bands.values())
        unseen = f"all: no pixel has every one of {', '.join(wanted)}" if wanted else "all: no pixel was seen"
        found = Detection(np.full(seen.shape, NODATA_CLASS, np.uint8), skipped=(unseen,))
        if seen.any():
            angles = angles_on(finding, metres)
            found = detected(
                detector,
                DetectorInput(
                    bands={band: bands[band] for band in wanted},
                    valid=seen,
                    angles=None if angles is None else angles.within(extent.row, extent.col),
                    resolution_m=metres,
                    level="L1C" if from_toa else scene.level,
                    geobox=coarse.window_geobox(extent),
                    scene=scene.id,
                ),
            )
        arrays = {"codes": found.codes, "report": np.array(_report(found, finding))}
        return arrays if found.probability is None else {**arrays, "per_cent": _per_cent(found.probability)}

    def _toa(self, scene: Scene, names: tuple[str, ...]) -> dict[str, ReflectanceCount]:
        stored = toa_bands(self.line.region, scene)
        indexes = [stored.index(name) + 1 for name in names]
        window = self.nesting.coarse.extent()
        stack = read_window(self.fetched.path(layer_file(scene.id, TOA)), *window.slices, bands=indexes)
        return dict(zip(names, stack, strict=True))

    def _surface(self, scene: Scene) -> dict[str, ReflectanceCount]:
        """The region's bands, brought to the mask's grid."""
        window = self.nesting.coarse.extent()
        under = self.nesting.under(window)
        stack = read_window(self.fetched.path(layer_file(scene.id, REFLECTANCE)), *under.slices)
        return {
            name: self.nesting.averaged(plane, window)
            for name, plane in zip(self.line.region.bands, stack, strict=True)
        }


def judging_bytes(coarse: Ground) -> int:
    """Memory that a detector takes on the mask's ground."""
    extent = coarse.extent()
    return extent.height * extent.width * JUDGING_BYTES_PER_PX


def judged_at_once(coarse: Ground) -> int:
    """How many detectors may work at once on the mask's ground, however many threads there are; at least one."""
    return max(1, _MOST_JUDGING_BYTES // max(judging_bytes(coarse), 1))


def all_known(bands: Iterable[ReflectanceCount]) -> Flag:
    """(y, x) bool: where every band holds data."""
    planes = iter(bands)
    known: Flag = next(planes) != NODATA_REFLECTANCE
    for plane in planes:
        known &= plane != NODATA_REFLECTANCE
    return known


def _per_cent(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Per cent, 255 where it is not known."""
    unknown = np.isnan(probability)
    return np.where(unknown, NODATA_CLASS, np.rint(np.where(unknown, 0, probability) * PER_CENT)).astype(np.uint8)


def _report(found: Detection, angles: AngleFinding) -> str:
    """What a detector skipped and measured, and by which angles, as JSON."""
    figures = {name: float(value) for name, value in found.figures.items()}
    finite = {name: value for name, value in figures.items() if math.isfinite(value)}
    return json.dumps({"skipped": list(found.skipped), "figures": finite, "angles": angles.source}, sort_keys=True)
