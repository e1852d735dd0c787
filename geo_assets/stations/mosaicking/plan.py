"""How given rasters become one picture: where it lies, what it is made from, and what its inputs agree upon."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.errors import RegionError
from geo_assets.io.cog_writer import RasterBand
from geo_assets.io.input_raster import InputRaster
from geo_assets.io.placing import LATTICE_VERSION
from geo_assets.io.tiff_headers import Palette
from geo_assets.kernels.mosaicking.blending import Correction
from geo_assets.kernels.mosaicking.harmonisation import Harmonisation, solve_harmonisation
from geo_assets.stations.attribution import ATTRIBUTION
from geo_assets.stations.mosaicking.blend import BlendSettings
from geo_assets.stations.mosaicking.files import (
    Lattice,
    MosaicInput,
    common_lattice,
    expect_one_form,
    input_names,
    placed,
    too_narrow_overlaps,
)
from geo_assets.stations.mosaicking.overlaps import overlap_means
from geo_assets.stations.mosaicking.rectangles import Rectangle, footprint_of
from geo_assets.stations.mosaicking.request import MosaicRequest
from geo_assets.stations.mosaicking.seamlines import PairSeam, find_seam

Progress: TypeAlias = Callable[[str, float], None]
"""Called with a step's name and the share of the whole that is done, 0 to 1."""

_FLOAT_UNIT, _BYTE_UNIT, _UNIT = 1.0, 255.0, 10_000.0
_COUNTED_AHEAD = 0.1
"""Of the whole, where overlaps are looked at before anything is blended."""


@dataclass(frozen=True, slots=True, eq=False)
class MosaicPlan:
    """A mosaic before its first pixel."""

    request: MosaicRequest
    rasters: Sequence[InputRaster]
    sources: tuple[MosaicInput, ...]
    lattice: Lattice
    area: Rectangle
    """All that an input reaches."""
    settings: BlendSettings
    nodata: float
    categorical: bool
    solved: tuple[Harmonisation, ...] = ()
    """Of each band, where inputs are harmonised."""

    @property
    def grid(self) -> GeoBox:
        """The mosaic's."""
        return self.lattice.geobox(*self.area)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the inputs and of the mosaic."""
        return self.sources[0].dtype

    @property
    def palette(self) -> Palette | None:
        """Colours of classes in one band of bytes, from the first input that has a colour table."""
        if not self.categorical or self.dtype != np.uint8 or self.sources[0].bands > 1:
            return None
        return next((raster.palette for raster in self.rasters if raster.palette), None)

    def raster_bands(self) -> list[RasterBand]:
        """The bands as the inputs describe them."""
        first, bands = self.rasters[0], []
        for band in range(first.bands):
            name = next((raster.names[band] for raster in self.rasters if raster.names[band]), f"band {band + 1}")
            plain = first.scales[band] == 1.0 and first.offsets[band] == 0.0
            color = first.colors[band]
            bands.append(
                RasterBand(
                    name,
                    None if plain else first.scales[band],
                    None if plain else first.offsets[band],
                    None if color in ("gray", "undefined", "palette") else color,
                )
            )
        return bands

    def tags(self) -> dict[str, str]:
        """What the file says of its making."""
        asked = {line for raster in self.rasters for line in raster.tags.get(ATTRIBUTION, "").split("; ") if line}
        said = {ATTRIBUTION: "; ".join(sorted(asked))} if asked else {}
        return {**said, "MOSAIC_INPUTS": ", ".join(sorted(raster.path.name for raster in self.rasters))}

    @property
    def scale(self) -> float:
        """From counts to the unit that biases and errors are given in: the inputs' scale, if all bands have one."""
        scales = set(self.rasters[0].scales)
        return scales.pop() if len(scales) == 1 else 1.0

    @property
    def unit_dn(self) -> float:
        """Counts of reflectance 1: by the inputs' scale; without one 1 for floats, 255 for bytes, else 10,000."""
        if self.scale != 1.0:
            return abs(1.0 / self.scale)
        if self.dtype.kind == "f":
            return _FLOAT_UNIT
        return _BYTE_UNIT if self.dtype.itemsize == 1 else _UNIT

    def described(self) -> dict[str, Any]:
        """What is known of the mosaic beside what was measured."""
        lattice = self.lattice
        narrow = too_narrow_overlaps(self.sources, self.settings.feather_px) if not self.request.seamline else {}
        return {
            "inputs": sorted(source.name for source in self.sources),
            "warped": sorted(source.name for source in self.sources if not source.placement.native),
            "mosaic_crs": lattice.crs,
            "mosaic_grid": {
                "crs": lattice.crs,
                "origin": [lattice.left, lattice.top],
                "resolution": lattice.size,
                "version": LATTICE_VERSION,
            },
            "feather_px": self.settings.feather_px,
            "feather_exceeds_overlap": {pair: width * lattice.size for pair, width in narrow.items()},
            "seamlines": None if self.settings.seamlines is None else len(self.settings.seamlines),
            "harmonised": self._harmonised(),
        }

    def _harmonised(self) -> dict[str, Any] | None:
        if not self.solved:
            return None
        names = [band.name for band in self.raster_bands()]
        bands = list(zip(names, self.solved, strict=True))
        return {
            "mode": self.request.harmonise,
            "unit_dn": self.unit_dn,
            "gains": {band: {name: c.gain for name, c in found.corrections.items()} for band, found in bands},
            "offsets": {
                band: {name: c.offset / self.unit_dn for name, c in found.corrections.items()} for band, found in bands
            },
            "left_alone": {band: list(found.left_alone) for band, found in bands},
            "overlap_rmse_before": {band: found.rmse_before for band, found in bands},
            "overlap_rmse_after": {band: found.rmse_after for band, found in bands},
        }


def plan_mosaic(rasters: Sequence[InputRaster], request: MosaicRequest) -> MosaicPlan:
    """Hold rasters, in canonical order, against each other and place them; no pixel is read.

    Raises
    ------
    RegionError, GridMismatchError, ProductError
        What is asked for cannot be made of them.
    """
    nodata = expect_one_form(rasters, request.nodata)
    lattice = common_lattice(rasters, request.crs, request.resolution)
    feather_px = request.feather_px(lattice.size)
    categorical = any(raster.palette for raster in rasters) if request.categorical is None else request.categorical
    if categorical and request.harmonise != "none":
        raise RegionError("harmonise: found it for classes, for inputs have a colour table. Leave it out.")
    sources = tuple(
        MosaicInput(raster, placed(raster, name, lattice), nodata=nodata, categorical=categorical)
        for raster, name in zip(rasters, input_names(rasters), strict=True)
    )
    area = footprint_of(sources[0])
    for source in sources[1:]:
        area = area.hull(footprint_of(source))
    settings = BlendSettings(
        feather_px, request.profile, categorical=categorical, measure=request.measure, shares=False
    )
    return MosaicPlan(request, rasters, sources, lattice, area, settings, nodata, categorical)


def agreed(plan: MosaicPlan, progress: Progress) -> MosaicPlan:
    """The plan with gains, offsets and seams, as far as they are asked for: every overlap is looked at once."""
    request = plan.request
    harmonise = request.harmonise
    if harmonise == "none" and not request.seamline:
        return plan
    sources = sorted(plan.sources, key=lambda source: source.name)
    pairs = [
        (first, second)
        for first, second in combinations(sources, 2)
        if not footprint_of(first).common(footprint_of(second)).is_empty
    ]
    samples: list[dict[tuple[str, str], NDArray[np.floating[Any]]]] = [{} for _ in range(sources[0].bands)]
    seams: dict[tuple[str, str], PairSeam] = {}
    for number, (first, second) in enumerate(pairs):
        progress("overlaps", _COUNTED_AHEAD * number / len(pairs))
        means = overlap_means(first, second)
        if means is None:
            continue
        key = first.name, second.name
        if request.seamline:
            seams[key] = find_seam(means, footprint_of(first), footprint_of(second))
        for band in range(sources[0].bands):
            samples[band][key] = means.samples(band)
    solved: tuple[Harmonisation, ...] = ()
    if harmonise != "none":
        names = [source.name for source in sources]
        solved = tuple(solve_harmonisation(names, of_band, mode=harmonise, unit_dn=plan.unit_dn) for of_band in samples)
    corrections: dict[str, tuple[Correction, ...]] = {}
    if solved:
        corrections = {source.name: tuple(found.corrections[source.name] for found in solved) for source in sources}
    settings = replace(plan.settings, corrections=corrections, seamlines=seams if request.seamline else None)
    return replace(plan, settings=settings, solved=solved)


def warnings_of(metrics: dict[str, Any]) -> tuple[str, ...]:
    """What in a mosaic's figures a user should be told, a sentence each."""
    told = []
    for pair, width_m in metrics["feather_exceeds_overlap"].items():
        told.append(
            f"the overlap of {pair} is {width_m:g} m wide, less than two feathers: weights do not reach their full "
            "height there. The mosaic has no seam, but a source's values reach farther into the other's ground."
        )
    if not metrics["valid_px"]:
        told.append("no input has data: the mosaic holds nodata only.")
    elif len(metrics["inputs"]) > 1 and not metrics["blended_px"]:
        told.append("no two inputs have data on the same ground: nothing was blended.")
    unseen = sorted(set(metrics["inputs"]) - {name for name, pixels in metrics["owned_px"].items() if pixels})
    if unseen and metrics["valid_px"]:
        told.append(f"{', '.join(unseen)} weighed most nowhere: without data, or wholly inside others.")
    if metrics["harmonised"] and len(metrics["inputs"]) > 1:
        unsolved = [band for band, rmse in metrics["harmonised"]["overlap_rmse_before"].items() if rmse is None]
        if unsolved:
            told.append(
                f"no two inputs share enough ground to be harmonised in {', '.join(unsolved)}: left as they are."
            )
    alone = (metrics["harmonised"] or {}).get("left_alone", {})
    for band, names in alone.items():
        if names:
            told.append(f"{', '.join(names)} would need more than the allowed gain or offset in {band}: left as it is.")
    return tuple(told)
