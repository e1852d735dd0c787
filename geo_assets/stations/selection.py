"""Which scenes are fetched for a tile and month, and where: chosen on the coarse look that scout took."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from geo_assets.domain.arrays import BLOCK_PX, ClassCode, Flag
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene
from geo_assets.io.area import inside_area
from geo_assets.kernels.quality import MaskCode
from geo_assets.kernels.selection import greedy_selection, rank_by_area_share, rank_by_scene_share
from geo_assets.stations.ground import Ground

_FOOTPRINT_MARGIN_M = 1_000.0
"""Footprints of catalogues are drawn with few corners; data may lie this far outside."""

_ADAPTIVE = frozenset({"coverage_target", "min_k", "max_k", "windowed_fetch"})
"""Keys of the region's selection that mean something with `coverage_target` only."""


@dataclass(frozen=True, slots=True, eq=False)
class CoarseLook:
    """What scout saw of a tile and month."""

    ground: Ground
    grid: GeoBox
    """Coarse, round the area on the tile."""
    scenes: tuple[Scene, ...]
    codes: Mapping[str, ClassCode]
    """Scene id -> (y, x) mask codes on the grid."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The scenes of a coarse look in order, and those to be fetched."""

    ranked: tuple[Scene, ...]
    """Best first."""
    selected: tuple[Scene, ...]
    """Best first."""
    serves: Mapping[str, Flag]
    """Id of a selected scene -> (block rows, block cols): True where it is fetched."""
    clear_px: Mapping[str, NDArray[np.int64]]
    """Scene id -> (block rows, block cols): coarse pixels of the area that it shows clear."""
    valid_px: Mapping[str, NDArray[np.int64]]
    """The same for those that it saw at all."""
    area_px: NDArray[np.int64]
    """(block rows, block cols): coarse pixels of the area."""
    clear_by_selected: int
    """Coarse pixels of the area that a selected scene shows clear where it is fetched."""
    clear_by_any: int
    """The same for all scenes, everywhere."""


def kept_codes(region: Region) -> list[int]:
    """The mask codes that the composite takes."""
    dropped = {MaskCode.FILL, *(MaskCode[name.upper()] for name in region.mask.drop)}
    return [int(code) for code in MaskCode if code not in dropped]


def choice_settings(region: Region) -> dict[str, Any]:
    """The part of the region file that a choice depends on, beside its ground."""
    keys = {"rank", *(_ADAPTIVE if is_adaptive(region) else {"top_k"})}
    return region.selection.model_dump(mode="json", include=keys) | {"drop": sorted(region.mask.drop)}


def is_adaptive(region: Region) -> bool:
    """True where as many scenes are fetched as it takes to cover the area; else a fixed number."""
    return region.selection.coverage_target is not None


def choice_of(look: CoarseLook, region: Region, *, without: Collection[str] = ()) -> Choice:
    """Rank the scenes of a coarse look, and choose among them as the region says.

    Parameters
    ----------
    without
        Ids of scenes that are not to be had: the choice is the one that would be made if they had never been there.
    """
    view = _View(look, region, tuple(scene for scene in look.scenes if scene.id not in without))
    ranked = view.ranked()
    serves = view.greedily_served(ranked) if is_adaptive(region) else view.served_by_best(ranked)
    selected = tuple(scene for scene in ranked if scene.id in serves)
    return Choice(
        ranked,
        selected,
        {scene.id: serves[scene.id] for scene in selected},
        view.clear_px,
        view.valid_px,
        view.area_px,
        view.clear_anywhere((scene, serves[scene.id]) for scene in selected),
        view.clear_anywhere((scene, look.ground.active) for scene in ranked),
    )


@dataclass(frozen=True, eq=False)
class _View:
    """A coarse look with its pixels told apart by the blocks of the tile's raster."""

    look: CoarseLook
    region: Region
    scenes: tuple[Scene, ...]

    @cached_property
    def inside(self) -> Flag:
        """(y, x): True in the area."""
        return inside_area(self.look.ground.area, self.look.grid)

    @cached_property
    def block(self) -> NDArray[np.int64]:
        """(y, x): flat index of the block that holds a coarse pixel's centre."""
        ground, grid = self.look.ground, self.look.grid
        edge_m, size_m = BLOCK_PX * ground.geobox.resolution.x, grid.resolution.x
        down = ground.geobox.boundingbox.top - grid.boundingbox.top + (np.arange(grid.shape[0]) + 0.5) * size_m
        right = grid.boundingbox.left - ground.geobox.boundingbox.left + (np.arange(grid.shape[1]) + 0.5) * size_m
        rows, cols = (
            np.minimum(metres // edge_m, blocks - 1)
            for metres, blocks in zip((down, right), ground.active.shape, strict=True)
        )
        flat: NDArray[np.int64] = (rows[:, np.newaxis] * ground.active.shape[1] + cols).astype(np.int64)
        return flat

    @cached_property
    def clear(self) -> dict[str, Flag]:
        """Scene id -> (y, x): True where it shows the area clear."""
        kept = np.isin(np.arange(256), kept_codes(self.region))
        return {scene.id: kept[self.look.codes[scene.id]] & self.inside for scene in self.scenes}

    @cached_property
    def clear_px(self) -> dict[str, NDArray[np.int64]]:
        """Scene id -> pixels per block."""
        return {scene: self._counted(clear) for scene, clear in self.clear.items()}

    @cached_property
    def valid_px(self) -> dict[str, NDArray[np.int64]]:
        """Scene id -> pixels per block."""
        codes = self.look.codes
        return {scene.id: self._counted((codes[scene.id] != MaskCode.FILL) & self.inside) for scene in self.scenes}

    @cached_property
    def area_px(self) -> NDArray[np.int64]:
        """Pixels per block."""
        return self._counted(self.inside)

    @cached_property
    def by_block(self) -> NDArray[np.intp]:
        """Flat indices of the area's pixels, block after block."""
        inside = np.flatnonzero(self.inside)
        return inside[np.argsort(self.block.ravel()[inside], kind="stable")]

    @cached_property
    def sorted_blocks(self) -> NDArray[np.int64]:
        """Block of each pixel in `by_block`."""
        return self.block.ravel()[self.by_block]

    def _counted(self, flag: Flag) -> NDArray[np.int64]:
        active = self.look.ground.active
        return np.bincount(self.block[flag], minlength=active.size).reshape(active.shape)

    def ranked(self) -> tuple[Scene, ...]:
        """All scenes, best first."""
        clear = np.array([self.clear_px[scene.id].sum() for scene in self.scenes], np.int64)
        valid = np.array([self.valid_px[scene.id].sum() for scene in self.scenes], np.int64)
        acquired, item_ids = [scene.acquired for scene in self.scenes], [scene.id for scene in self.scenes]
        if self.region.selection.rank == "scene":
            ranking = rank_by_scene_share(clear, valid, acquired=acquired, item_ids=item_ids)
        else:
            ranking = rank_by_area_share(clear, acquired=acquired, item_ids=item_ids)
        return tuple(self.scenes[index] for index in ranking)

    def served_by_best(self, ranked: tuple[Scene, ...]) -> dict[str, Flag]:
        """The first `top_k` scenes that see any of the area, each wherever it reaches."""
        seeing = [scene for scene in ranked if self.valid_px[scene.id].any()]
        return {scene.id: self._reached(scene) for scene in seeing[: self.region.selection.top_k]}

    def greedily_served(self, ranked: tuple[Scene, ...]) -> dict[str, Flag]:
        """For each block the scenes that together show enough of it; others are fetched nowhere.

        A block that the area does not touch, for feathering alone, is served like the nearest one that it does.
        """
        ground = self.look.ground
        with_area = self.area_px.ravel() > 0
        chosen = {int(block): self._chosen_for(int(block), ranked) for block in np.flatnonzero(with_area)}
        places = np.argwhere(self.area_px > 0)
        serves: dict[str, Flag] = {}
        for row, col in ground.blocks():
            if not len(places):
                break
            nearest = places[np.argmin(((places - (row, col)) ** 2).sum(axis=1))]
            for scene in chosen[int(nearest[0] * ground.active.shape[1] + nearest[1])]:
                serves.setdefault(scene.id, np.zeros_like(ground.active))[row, col] = True
        if self.region.selection.windowed_fetch:
            return serves
        return {scene.id: self._reached(scene) for scene in ranked if scene.id in serves}

    def clear_anywhere(self, served: Iterable[tuple[Scene, Flag]]) -> int:
        """Pixels of the area that at least one scene shows clear in its blocks."""
        clear = np.zeros_like(self.inside)
        for scene, blocks in served:
            clear |= self.clear[scene.id] & blocks.ravel()[self.block]
        return int(clear.sum())

    def _chosen_for(self, block: int, ranked: tuple[Scene, ...]) -> list[Scene]:
        settings = self.region.selection
        assert settings.coverage_target is not None  # the caller's case
        first, last = np.searchsorted(self.sorted_blocks, (block, block + 1))
        here = self.by_block[first:last]
        seeing = [scene for scene in ranked if self.valid_px[scene.id].flat[block]]
        clear_here = {scene.id: int(self.clear_px[scene.id].flat[block]) for scene in seeing}
        # A scene that is all cloud here is asked only where all are: a finer look may find gaps.
        seeing = [scene for scene in seeing if clear_here[scene.id]] or seeing
        seeing.sort(key=lambda scene: -clear_here[scene.id])  # stable: the rank among equals
        clear = np.array([self.clear[scene.id].ravel()[here] for scene in seeing]).reshape(len(seeing), here.size)
        order = greedy_selection(
            clear.astype(np.bool_),
            order=range(len(seeing)),
            coverage_target=settings.coverage_target,
            min_k=settings.min_k,
            max_k=settings.max_k,
        )
        return [seeing[index] for index in order]

    def _reached(self, scene: Scene) -> Flag:
        """(block rows, block cols): True in active blocks that the scene was seen in, or that its footprint reaches."""
        ground = self.look.ground
        if scene.level == "NBAR":  # four corners do not outline a sinusoidal tile
            return ground.active.copy()
        reach = Geometry(scene.footprint, "EPSG:4326").to_crs(str(ground.geobox.crs)).geom.buffer(_FOOTPRINT_MARGIN_M)
        reached = self.valid_px[scene.id] > 0
        for row, col in ground.blocks():
            extent = shapely.box(*ground.window_geobox(ground.block_window(row, col)).boundingbox.bbox)
            reached[row, col] |= bool(reach.intersects(extent))
        return reached & ground.active
