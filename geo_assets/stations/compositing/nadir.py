"""Scenes as if seen from the nadir: where their angles are known, and a record of where they are not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import ReflectanceCount
from geo_assets.domain.bands import Level
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene
from geo_assets.io.angles import AngleFinding, angles_on
from geo_assets.io.products import Product
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.brdf import NADIR_BANDS, c_factor
from geo_assets.kernels.scaling import NODE_STEP_PX, factor_nodes, scaled_counts
from geo_assets.stations.fetch import fetched_angles
from geo_assets.stations.ground import Ground, Window

_AS_IT_IS: Mapping[Level, str] = {
    "HLS": "HLS is normalised to nadir by its makers",
    "NBAR": "MCD43A4 is normalised to nadir by its makers",
    "L1C": "level L1C is top-of-atmosphere reflectance, and c-factors are for the surface's",
}
"""Level -> why its reflectance is left alone."""


@dataclass(frozen=True, slots=True, eq=False)
class NadirView:
    """Factors that bring the scenes of one tile and month to a view from nadir."""

    factors: Mapping[str, Mapping[int, NDArray[np.int32]]]
    """Scene -> number of a band -> (n, m) factors at nodes of the tile's raster, as `scaled_counts` takes them."""
    not_applied: Mapping[str, str]
    """Scene -> why its counts are left alone."""
    bands_left: tuple[str, ...]
    """Bands for which no coefficients are known."""

    def from_nadir(self, scene: Scene, counts: ReflectanceCount, window: Window) -> ReflectanceCount:
        """The (band, y, x) counts of a window of whole blocks, normalised in place where that is possible."""
        (first_row, last_row), (first_col, last_col) = (
            (begin // NODE_STEP_PX, (begin + length - 1) // NODE_STEP_PX + 1)
            for begin, length in ((window.row, window.height), (window.col, window.width))
        )
        for number, nodes in self.factors.get(scene.id, {}).items():
            near = np.ascontiguousarray(nodes[first_row : last_row + 1, first_col : last_col + 1])
            counts[number] = scaled_counts(counts[number], near)
        return counts

    def record(self) -> dict[str, object]:
        """For the manifest: which scenes were normalised, which were not and why."""
        return {
            "applied": list(self.factors),
            "not_applied": dict(self.not_applied),
            "bands_left": list(self.bands_left),
        }


AS_SEEN = NadirView({}, {}, ())
"""Every scene is left as it was seen."""


def nadir_view(region: Region, fetched: Product, scenes: Sequence[Scene], ground: Ground) -> NadirView:
    """What `composite.brdf` asks for: a c-factor for every pixel of the scenes whose view is known.

    Factors are computed every `NODE_STEP_PX` pixels, for angles change over kilometres, and are linear in between.
    """
    if region.composite.brdf == "none":
        return AS_SEEN
    factors: dict[str, dict[int, NDArray[np.int32]]] = {}
    not_applied: dict[str, str] = {}
    for scene in scenes:
        finding = fetched_angles(fetched, scene)
        reason = _AS_IT_IS.get(scene.level) or view_problem(finding)
        angles = angles_on(finding, region.pixel_m)
        if reason is None and angles is not None:
            factors[scene.id] = _factors(region.bands, angles, ground)
        else:
            not_applied[scene.id] = str(reason)
    return NadirView(factors, not_applied, tuple(name for name in region.bands if name not in NADIR_BANDS))


def view_problem(finding: AngleFinding) -> str | None:
    """Why nobody knows whence a scene was seen; None where it is known."""
    if finding.angles is None:
        return f"angles: {finding.source}"
    return f"view assumed, not stated: {finding.source}" if finding.angles.view_assumed else None


def _factors(bands: Sequence[str], angles: Angles, ground: Ground) -> dict[int, NDArray[np.int32]]:
    rows, cols = (np.arange(0, length + NODE_STEP_PX, NODE_STEP_PX) for length in ground.geobox.shape)
    sun_zenith, sun_azimuth, view_zenith, view_azimuth = angles.at(rows[:, np.newaxis], cols)
    relative = view_azimuth - sun_azimuth
    return {
        number: factor_nodes(c_factor(name, sun_zenith, view_zenith, relative))
        for number, name in enumerate(bands)
        if name in NADIR_BANDS
    }
