"""What observations are scored by: which partial scores have their input in all scenes of a tile and month.

A score that some scene has no input for would put that scene above or below the others for no fault of its own. It is
left out for all of them, and the manifest says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import ReflectanceCount
from geo_assets.domain.errors import RegionError
from geo_assets.domain.region import Region
from geo_assets.domain.region_composite import PARTIAL_SCORES
from geo_assets.domain.scene import Scene
from geo_assets.io.angles import angles_on
from geo_assets.io.products import Place, Product
from geo_assets.io.rasters import read_window
from geo_assets.kernels.compositing.scoring import bap_scores
from geo_assets.kernels.scaling import NODE_STEP_PX
from geo_assets.stations.compositing.nadir import view_problem
from geo_assets.stations.detection import detectors_of
from geo_assets.stations.fetch import fetched_angles, layer_file
from geo_assets.stations.ground import Ground, Window, ground_of
from geo_assets.stations.mask import DISTANCE
from geo_assets.stations.nesting import Nesting


@dataclass(frozen=True, slots=True, eq=False)
class Scoring:
    """By what, and with which weights, the observations of one tile and month are scored."""

    region: Region
    scenes: Sequence[Scene]
    """In the order of the stack's time axis."""
    masked: Product
    """Of `hybrid_mask`, with the distances to cloud."""
    nesting: Nesting
    """Of the tile's raster in that of its mask."""
    weights: Mapping[str, float]
    """Partial score -> weight, of those that all scenes have input for."""
    left_out: Mapping[str, str]
    """Weighted partial score -> why it has no say."""
    view_zenith: NDArray[np.float32] | None
    """(time, n, m) degrees at nodes of the tile's raster, [i, j] on pixel (`NODE_STEP_PX` i, `NODE_STEP_PX` j); None
    where it has no say."""

    def scores(self, stack: ReflectanceCount, window: Window) -> NDArray[np.float32]:
        """(time, y, x) float32: how good each observation of a window of whole blocks is.

        Parameters
        ----------
        stack : (time, band, y, x) int16
            Reflectance counts of the scenes.
        """
        settings, bands = self.region.composite, self.region.bands
        sees_haze, sees_cloud = "haze" in self.weights, "cloud_distance" in self.weights
        return bap_scores(
            settings.weights.model_copy(update={name: self.weights.get(name, 0.0) for name in PARTIAL_SCORES}),
            day=np.array([scene.acquired.day for scene in self.scenes]),
            target_day=settings.target_day,
            shape=stack.shape[2:],
            cloud_distance_m=self._cloud_distances(window) if sees_cloud else None,
            blue=stack[:, bands.index("blue")] if sees_haze else None,
            red=stack[:, bands.index("red")] if sees_haze else None,
            view_zenith=None if self.view_zenith is None else _between_nodes(self.view_zenith, window),
            sensor=np.array([self.sensor_score(scene) for scene in self.scenes], np.float32),
        )

    def sensor_score(self, scene: Scene) -> float:
        """Score of the platform that a scene comes from."""
        stated = {_platform(name): score for name, score in self.region.composite.weights.sensor_scores.items()}
        return stated.get(scene.parts[0].platform, 1.0)

    def record(self) -> dict[str, object]:
        """For the manifest: the weights that counted, and what was left out and why."""
        found: dict[str, object] = {"weights": dict(self.weights), "left_out": dict(self.left_out)}
        if "sensor" in self.weights:
            found["sensors"] = {scene.parts[0].platform: self.sensor_score(scene) for scene in self.scenes}
        return found

    def _cloud_distances(self, window: Window) -> NDArray[np.uint16]:
        """(time, y, x) uint16: metres to the nearest cloud or shadow at each pixel's centre; 65,535 where unknown."""
        rows, cols = self.nesting.holding(window)
        asked = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
        place = np.ix_(rows - rows[0], cols - cols[0])
        return np.stack(
            [
                read_window(self.masked.path(layer_file(scene.id, DISTANCE)), *asked).min(axis=0)[place]
                for scene in self.scenes
            ]
        )


def scoring(
    region: Region, place: Place, fetched: Product, masked: Product, scenes: Sequence[Scene], ground: Ground
) -> Scoring | None:
    """The scores of a tile and month; None where the method asks for none.

    Raises
    ------
    RegionError
        Every score that has a weight lacks input in some scene.
    """
    if not region.composite.scores:
        return None
    weighted = region.composite.weights.weighted
    lacks = {name: lack for name in weighted if (lack := _lack(region, fetched, scenes, name)) is not None}
    weights = {name: weight for name, weight in weighted.items() if name not in lacks}
    if not weights:
        reasons = "; ".join(f"{name}: {lack}" for name, lack in lacks.items())
        raise RegionError(
            f"Region {region.name}, {place}: composite.method is {region.composite.method}, and none of its weighted "
            f"scores has input in every scene ({reasons}). Give composite.weights.date a weight, or choose another "
            "method."
        )
    coarse = ground_of(region, ground.tile, resolution=region.mask.resolution)
    view = _view_nodes(region, fetched, scenes, ground) if "view_zenith" in weights else None
    return Scoring(region, scenes, masked, Nesting(ground, coarse), weights, lacks, view)


def _lack(region: Region, fetched: Product, scenes: Sequence[Scene], name: str) -> str | None:
    """What a partial score lacks, in words; None where every scene has it."""
    if name == "haze":
        lacking = [band for band in ("blue", "red") if band not in region.bands]
        return f"the region's bands have no {' and no '.join(lacking)}" if lacking else None
    if name == "cloud_distance":
        unjudged = [scene.id for scene in scenes if not detectors_of(region, scene)]
        return f"no detector looks for cloud in {', '.join(unjudged)}" if unjudged else None
    if name == "view_zenith":
        found = {scene.id: view_problem(fetched_angles(fetched, scene)) for scene in scenes}
        return next((f"{scene}: {problem}" for scene, problem in found.items() if problem is not None), None)
    return None


def _view_nodes(region: Region, fetched: Product, scenes: Sequence[Scene], ground: Ground) -> NDArray[np.float32]:
    rows, cols = (np.arange(0, length + NODE_STEP_PX, NODE_STEP_PX) for length in ground.geobox.shape)
    found = [angles_on(fetched_angles(fetched, scene), region.pixel_m) for scene in scenes]
    return np.stack([angles.at(rows[:, np.newaxis], cols)[2] for angles in found if angles is not None]).astype(
        np.float32
    )


def _between_nodes(nodes: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """(time, y, x): linear between nodes that lie every `NODE_STEP_PX` pixels of the raster."""
    rows, cols = np.arange(window.row, window.row + window.height), np.arange(window.col, window.col + window.width)
    above, left = rows // NODE_STEP_PX, cols // NODE_STEP_PX
    down = (rows % NODE_STEP_PX / NODE_STEP_PX).astype(np.float32)[:, np.newaxis]
    right = (cols % NODE_STEP_PX / NODE_STEP_PX).astype(np.float32)
    lines = nodes[:, above] * (1 - down) + nodes[:, above + 1] * down
    return np.asarray(lines[:, :, left] * (1 - right) + lines[:, :, left + 1] * right, np.float32)


def _platform(name: str) -> str:
    """A platform as items have it: `s2a` for Sentinel-2A."""
    return name.lower().replace("_", "-").replace("sentinel-", "s")
