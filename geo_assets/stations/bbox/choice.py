"""Which scenes a composite is made from: gates, a coarse look, ranks, and the number of scenes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import NODATA_CLASS, Flag
from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.io.archives.archive import Exclusion
from geo_assets.kernels.picking.winners import CHUNK_PX
from geo_assets.kernels.quality import Quality
from geo_assets.kernels.selection import greedy_selection, rank_by_area_share, rank_by_scene_share
from geo_assets.stations.acquisitions import merged_acquisitions
from geo_assets.stations.bbox.request import CompositeRequest
from geo_assets.stations.bbox.winners import Look, rule_of

Acquisition = tuple[str, str, int]
"""Platform, datatake start and relative orbit: one flight over the ground, whatever tiles it is cut into."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One scene that has been looked at."""

    scene: Scene
    clear: Flag
    """(y, x) bool on the scout's grid: quality 0 in some part."""
    seen: Flag
    """(y, x) bool: some part saw something, clear or not."""

    @property
    def tile(self) -> str:
        """MGRS or MODIS tile; empty where the catalogue names none."""
        return self.scene.parts[0].tile or ""

    @property
    def acquisition(self) -> Acquisition:
        """The flight that it belongs to."""
        own = self.scene.parts[0]
        return own.platform, own.datatake, own.relative_orbit or 0


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """A scene that the composite may be made from."""

    candidate: Candidate
    acquisition: int
    """Number of the acquisition that it counts for; scenes of one lie one behind the other."""
    serves: Flag | None
    """(y, x) bool, a value for each chunk of the output; None: everywhere."""


def usable_scenes(
    items: Iterable[SceneItem], request: CompositeRequest
) -> tuple[tuple[Scene, ...], tuple[Exclusion, ...], tuple[Exclusion, ...]]:
    """The scenes that may be looked at.

    Returns
    -------
    scenes
        Acquisitions over a tile, the newest processing of each, in order of time and id.
    unfit
        Items that lack what the request needs.
    left_out
        Items that the request's gates leave out, or that another processing replaces.
    """
    fit: list[SceneItem] = []
    unfit: list[Exclusion] = []
    left_out: list[Exclusion] = []
    for item in items:
        if gate := _gate(item, request):
            left_out.append(Exclusion(item.id, gate))
        elif lack := _lack(item, request):
            unfit.append(Exclusion(item.id, lack))
        else:
            fit.append(item)
    surface = [item for item in fit if item.level != "L1C"]
    left_out += [
        Exclusion(item.id, "surface reflectance is at hand") for item in fit if surface and item.level == "L1C"
    ]
    acquisitions, superseded = merged_acquisitions(surface or fit)
    return tuple(Scene(parts) for parts in acquisitions), tuple(unfit), (*left_out, *superseded)


def scout_grid(grid: GeoBox, factor: int) -> GeoBox:
    """A grid `factor` times coarser than the output: the cells whose centres lie on it."""
    height, width = grid.shape
    factor = max(1, min(factor, height, width))
    rows, cols = (-(-(2 * length - factor) // (2 * factor)) for length in (height, width))
    return GeoBox((rows, cols), grid.transform @ grid.transform.scale(factor), grid.crs)


def candidate_of(scene: Scene, looks: Sequence[Look]) -> Candidate:
    """A scene and what its parts show of the scout's grid."""
    clear = np.logical_or.reduce([look.quality == Quality.CLEAR for look in looks])
    seen = np.logical_or.reduce([look.seen != NODATA_CLASS for look in looks])
    return Candidate(scene, clear, seen)


def choose(candidates: Sequence[Candidate], request: CompositeRequest, grid: GeoBox, factor: float) -> list[Chosen]:
    """The scenes of a composite, best first.

    Parameters
    ----------
    candidates
        All that were looked at and are not lost.
    request, grid
        Of the composite.
    factor
        Output pixels along the edge of a cell of the scout's grid.

    Returns
    -------
    chosen
        `top_k` scenes of each tile, or as many as each chunk of the output needs. With `rank="scene"` every scene is
        an acquisition of its own and ranks by its clear share of what it saw; with `rank="area"` the tiles of one
        flight rank together, by their clear share of the whole area, and count as one observation where they overlap.
        A scene that saw nothing of the area is never chosen.
    """
    seeing = [candidate for candidate in candidates if candidate.seen.any()]
    if request.coverage_target is None:
        tiles: dict[str, list[Candidate]] = {}
        for candidate in seeing:
            tiles.setdefault(candidate.tile, []).append(candidate)
        kept = [one for tile in sorted(tiles) for one in best_of_tile(tiles[tile], request)]
        return [Chosen(one, number, None) for one, number in _in_order(kept, request.rank)]
    return _adaptive(_in_order(seeing, request.rank), request, grid, factor)


def best_of_tile(candidates: Sequence[Candidate], request: CompositeRequest) -> list[Candidate]:
    """The `top_k` best of a tile's candidates, best first."""
    return [candidates[index] for index in _ranking(candidates, request.rank)[: request.top_k]]


def _gate(item: SceneItem, request: CompositeRequest) -> str | None:
    """Why the request does not want an item."""
    aod = {_as_date(day): value for day, value in request.aod_by_day.items()}.get(item.acquired.date())
    if aod is None:
        return "aerosol optical depth of its day is not known" if request.reject_unknown else None
    if request.aod_max is not None and aod > request.aod_max:
        return f"aerosol optical depth of its day is {aod:g}, above {request.aod_max:g}"
    return None


def _as_date(day: date | str) -> date:
    if isinstance(day, datetime):
        return day.date()
    return date.fromisoformat(day) if isinstance(day, str) else day


def _lack(item: SceneItem, request: CompositeRequest) -> str | None:
    """What an item cannot give."""
    if request.mask == "quality" and item.quality == "none":
        return "has no quality layer; mask='none' takes every pixel"
    needed = (*request.bands, *rule_of(item, request.mask).layers(request.bands))
    lacks = sorted(set(needed) - set(item.assets))
    return f"lacks {', '.join(lacks)}" if lacks else None


def _in_order(candidates: Sequence[Candidate], rank: str) -> list[tuple[Candidate, int]]:
    """Candidates best first, each with the number of its acquisition."""
    if rank == "scene":
        return [(candidates[index], number) for number, index in enumerate(_ranking(candidates, rank))]
    flights: dict[Acquisition, list[Candidate]] = {}
    for candidate in candidates:
        flights.setdefault(candidate.acquisition, []).append(candidate)
    together = list(flights.values())
    united = [np.logical_or.reduce([candidate.clear for candidate in flight]) for flight in together]
    best_first = rank_by_area_share(
        _counts(united),
        acquired=[min(candidate.scene.acquired for candidate in flight) for flight in together],
        item_ids=[min(candidate.scene.id for candidate in flight) for flight in together],
    )
    return [
        (candidate, number)
        for number, index in enumerate(best_first)
        for candidate in (together[index][own] for own in _ranking(together[index], rank))
    ]


def _ranking(candidates: Sequence[Candidate], rank: str) -> NDArray[np.intp]:
    clear = _counts([candidate.clear for candidate in candidates])
    acquired = [candidate.scene.acquired for candidate in candidates]
    item_ids = [candidate.scene.id for candidate in candidates]
    if rank == "scene":
        seen = _counts([candidate.seen for candidate in candidates])
        return rank_by_scene_share(clear, seen, acquired=acquired, item_ids=item_ids)
    return rank_by_area_share(clear, acquired=acquired, item_ids=item_ids)


def _counts(flags: Sequence[Flag]) -> NDArray[np.int64]:
    return np.array([np.count_nonzero(flag) for flag in flags], np.int64)


def _adaptive(
    ordered: Sequence[tuple[Candidate, int]], request: CompositeRequest, grid: GeoBox, factor: float
) -> list[Chosen]:
    """In every chunk as many acquisitions as it takes, each time the one that adds most."""
    assert request.coverage_target is not None
    if not ordered:
        return []
    numbers = sorted({number for _, number in ordered})
    flights = {number: [one for one, own in ordered if own == number] for number in numbers}
    clear = np.stack([np.logical_or.reduce([one.clear for one in flights[number]]) for number in numbers])
    seen = np.stack([np.logical_or.reduce([one.seen for one in flights[number]]) for number in numbers])
    down, across = (-(-length // CHUNK_PX) for length in grid.shape)
    serves = np.zeros((len(numbers), down, across), np.bool_)
    row_chunk, col_chunk = (
        np.minimum(((np.arange(length) + 0.5) * factor).astype(np.int64) // CHUNK_PX, chunks - 1)
        for length, chunks in zip(clear.shape[1:], (down, across), strict=True)
    )
    for row in range(down):
        for col in range(across):
            inside = np.ix_(np.arange(len(numbers)), np.flatnonzero(row_chunk == row), np.flatnonzero(col_chunk == col))
            shown, visible = clear[inside].reshape(len(numbers), -1), seen[inside].reshape(len(numbers), -1)
            serves[
                greedy_selection(
                    shown,
                    order=np.flatnonzero(visible.any(axis=1)).tolist(),
                    coverage_target=request.coverage_target,
                    min_k=request.min_k,
                    max_k=request.max_k,
                ),
                row,
                col,
            ] = True
    if not request.windowed_fetch:
        serves[:] = serves.any(axis=(1, 2), keepdims=True)
    place = {number: index for index, number in enumerate(numbers)}
    return [
        Chosen(candidate, number, None if serves[place[number]].all() else serves[place[number]])
        for candidate, number in ordered
        if serves[place[number]].any()
    ]
