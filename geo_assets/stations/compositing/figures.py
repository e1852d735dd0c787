"""What is counted while a composite is made, block by block, and the figures that come of it.

Counts add up in any order, and pairs of pixels across a border of blocks are counted from the blocks' edges: no figure
depends on how the work was cut.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import BLOCK_PX, NODATA_CLASS, NODATA_REFLECTANCE, ClassCode, Flag
from geo_assets.domain.scene import Scene
from geo_assets.kernels.compositing.observations import Composite, Observations
from geo_assets.stations.ground import Blocks
from geo_assets.stations.judging import all_known

AREA, VALID, SEEN, ANYWHERE, MISMATCHED = range(5)
"""What `pixels` counts: in the area, of them with a value, of them seen by a scene; with a value, in the area or out of
it; and where a value and a usable observation are not both there or both lacking."""

_DAYS = 32
"""Days by which an observation can be away from another day of its month, and 0."""

_TOP, _BOTTOM, _LEFT, _RIGHT = range(4)

NAMES = ("pixels", "scene_px", "days_away", "pairs", "edges")
"""Arrays of a unit that `composite_metrics` reads."""


class BlockFigures:
    """Counts of the blocks of one unit."""

    def __init__(self, scenes: Sequence[Scene], target_day: int) -> None:
        self._days = np.array([scene.acquired.day for scene in scenes], np.uint8)
        self._away = np.abs(self._days.astype(np.int64) - target_day)
        self._pixels = np.zeros(5, np.int64)
        self._scene_px = np.zeros(len(scenes), np.int64)
        self._pairs = np.zeros(2, np.int64)
        self._edges: list[ClassCode] = []

    def add(self, observations: Observations, found: Composite, inside: Flag) -> ClassCode:
        """Count a block, and return the day of each of its pixels.

        Parameters
        ----------
        observations, found : Observations and Composite
            What the block was made of, and what was made.
        inside : (y, x) bool
            True in the area.

        Returns
        -------
        day : (y, x) uint8
            Day of the month of `found.source`; 255 where there is none.
        """
        bands, source = found.bands, found.source
        seen, usable = np.zeros(inside.shape, np.bool_), np.zeros(inside.shape, np.bool_)
        for spectra, codes in zip(observations.reflectance, observations.quality, strict=True):
            known = all_known(spectra)
            seen |= known
            usable |= known & (codes != NODATA_CLASS)
        valid = all_known(bands)
        partly = np.zeros(inside.shape, np.bool_)
        for band in bands:
            partly |= (band != NODATA_REFLECTANCE) != valid
        chosen = source != NODATA_CLASS
        wrong = partly | (valid != usable) | (valid != chosen)
        self._pixels += [np.count_nonzero(flag) for flag in (inside, inside & valid, inside & seen, valid, wrong)]
        self._scene_px += np.bincount(source[inside & chosen], minlength=len(self._scene_px))[: len(self._scene_px)]
        days = np.full(NODATA_CLASS + 1, NODATA_CLASS, np.uint8)
        days[: len(self._days)] = self._days
        day = days[source]
        counted = np.where(inside, day, np.uint8(NODATA_CLASS))
        self._pairs += _pairs(counted[:-1], counted[1:]) + _pairs(counted[:, :-1], counted[:, 1:])
        self._edges.append(_edges(counted))
        return day

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Those of `NAMES`."""
        away = np.bincount(self._away, weights=self._scene_px, minlength=_DAYS).astype(np.int64)
        return {
            "pixels": self._pixels,
            "scene_px": self._scene_px,
            "days_away": away,
            "pairs": self._pairs,
            "edges": np.stack(self._edges),
        }


def composite_metrics(
    units: Mapping[str, Blocks], counted: Mapping[str, Mapping[str, NDArray[Any]]], scenes: Sequence[Scene]
) -> dict[str, Any]:
    """The metrics of a composite.

    Parameters
    ----------
    units
        Unit -> its blocks.
    counted
        Unit -> its arrays of `BlockFigures`.
    scenes
        Whose observations it was made of, by the number that `source` has for each.

    Returns
    -------
    metrics
        `area_px`, `valid_share`, `seen_share` and `share_of_scene` of the area; `nodata_share`, its share without a
        value; `nodata_mismatch_px`, pixels where a value and a usable observation are not both there or both lacking;
        `temporal_distance_days`, `median` and `p95` of the days between source and target day; `date_fragmentation`,
        share of the pairs of neighbouring pixels whose days differ. None where there is no pixel to speak of.
    """
    total = {name: np.sum([arrays[name] for arrays in counted.values()], axis=0) for name in NAMES if name != "edges"}
    pixels, scene_px = total["pixels"], total["scene_px"]
    area = max(int(pixels[AREA]), 1)
    edges = {
        block: edge for key, blocks in units.items() for block, edge in zip(blocks, counted[key]["edges"], strict=True)
    }
    pairs, differing = (int(number) for number in total["pairs"] + _pairs_across(edges))
    away = total["days_away"]
    return {
        "area_px": int(pixels[AREA]),
        "valid_share": float(pixels[VALID] / area),
        "seen_share": float(pixels[SEEN] / area),
        "nodata_share": float((pixels[AREA] - pixels[VALID]) / area),
        "nodata_mismatch_px": int(pixels[MISMATCHED]),
        "scenes": [scene.id for scene in scenes],
        "scenes_used": int(np.count_nonzero(scene_px)),
        "share_of_scene": {scene.id: float(n / area) for scene, n in zip(scenes, scene_px, strict=True)},
        "days": sorted({scene.acquired.day for scene, n in zip(scenes, scene_px, strict=True) if n}),
        "temporal_distance_days": {"median": quantile_of_counts(away, 0.5), "p95": quantile_of_counts(away, 0.95)},
        "date_fragmentation": differing / pairs if pairs else None,
    }


def has_values(counted: Mapping[str, Mapping[str, NDArray[Any]]]) -> bool:
    """True where some pixel of some unit has a value, in the area or out of it."""
    return any(arrays["pixels"][ANYWHERE] for arrays in counted.values())


def quantile_of_counts(counts: NDArray[np.int64], share: float) -> float | None:
    """The quantile of whole numbers, each as often as `counts` says; between two of them linear, as numpy has it."""
    upto = np.cumsum(counts)
    if upto.size == 0 or upto[-1] == 0:
        return None
    place = share * (int(upto[-1]) - 1)
    below, above = (int(np.searchsorted(upto, int(rank), side="right")) for rank in (np.floor(place), np.ceil(place)))
    return float(below + (above - below) * (place - np.floor(place)))


def _pairs(one: ClassCode, other: ClassCode) -> NDArray[np.int64]:
    """(2,): the pairs of pixels that both have a day, and those of them whose days differ."""
    both = (one != NODATA_CLASS) & (other != NODATA_CLASS)
    return np.array([np.count_nonzero(both), np.count_nonzero(both & (one != other))], np.int64)


def _edges(day: ClassCode) -> ClassCode:
    """(4, `BLOCK_PX`): a block's first and last row, first and last column; 255 beyond its end."""
    edges = np.full((4, BLOCK_PX), NODATA_CLASS, np.uint8)
    height, width = day.shape
    edges[_TOP, :width], edges[_BOTTOM, :width] = day[0], day[-1]
    edges[_LEFT, :height], edges[_RIGHT, :height] = day[:, 0], day[:, -1]
    return edges


def _pairs_across(edges: Mapping[tuple[int, int], ClassCode]) -> NDArray[np.int64]:
    """As `_pairs`, of the pixels on both sides of every border between two blocks."""
    found = np.zeros(2, np.int64)
    for (row, col), own in edges.items():
        if (row, col + 1) in edges:
            found += _pairs(own[_RIGHT], edges[row, col + 1][_LEFT])
        if (row + 1, col) in edges:
            found += _pairs(own[_BOTTOM], edges[row + 1, col][_TOP])
    return found
