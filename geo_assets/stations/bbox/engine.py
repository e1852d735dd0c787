"""One composite, from the archive's answer to arrays in memory.

Quality layers first: they alone say which scene shows each pixel best, so the bands are read only where they win.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, ClassCode, ReflectanceCount
from geo_assets.domain.bands import Level
from geo_assets.domain.errors import ArchiveError, AssetLostError, RegionError
from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.io.archives.archive import Answer, Archive, Exclusion, Query
from geo_assets.io.wire.meter import Meter
from geo_assets.kernels.picking.winners import View, WinnerMap, empty_winners
from geo_assets.stations.bbox.bands import Source, WinnerReader
from geo_assets.stations.bbox.choice import Candidate, best_of_tile, candidate_of, choose, scout_grid, usable_scenes
from geo_assets.stations.bbox.crew import Crew, usual_threads
from geo_assets.stations.bbox.files import Level as FileLevel
from geo_assets.stations.bbox.files import Loss, Losses, SceneFile, SceneFiles, coarsest_level, takes_overviews
from geo_assets.stations.bbox.filling import BandFiller, Made, Selection
from geo_assets.stations.bbox.grid import area_of, native_grid, utm_grid
from geo_assets.stations.bbox.ledger import Ledger, LedgerRow
from geo_assets.stations.bbox.offsets import find_offsets
from geo_assets.stations.bbox.pace import QUALITY_SHARE, Pace
from geo_assets.stations.bbox.request import CompositeRequest, Period
from geo_assets.stations.bbox.uncertainty import spread_of
from geo_assets.stations.bbox.winners import Look, codes_under, rule_of, winner_map

Progress: TypeAlias = Callable[[str, float], None]
"""Told the step that goes on, and the share of the whole that is done, 0 to 1; from any thread, one at a time."""

_VIEWS_KEPT_BYTES = 256 << 20
"""Quality views of scenes that may not be chosen are kept up to here, and read again beyond."""
_NAMED_ITEMS = 3


@dataclass(frozen=True, slots=True, eq=False)
class BboxComposite:
    """The best observation of every pixel of an area in a period. All arrays are (y, x) on `grid`."""

    bands: Mapping[str, ReflectanceCount]
    """Band -> int16 counts of 1e-4 reflectance; nodata -32768; a little negative over dark water."""
    quality: ClassCode
    """uint8: 0 clear, 1 marginal, 2 dark or shadow, 255 no observation."""
    observation_count: NDArray[np.uint8]
    """uint8: usable observations among the chosen scenes, 255 for as many or more."""
    selected_observation: NDArray[np.int16]
    """int16: index into `source_ids`; -1 none."""
    uncertainty: Mapping[str, ReflectanceCount] | None
    """Band -> int16 counts of 1e-4 reflectance, nodata -32768: see `kernels.compositing.uncertainty`; or None."""
    grid: GeoBox
    """Where the pixels lie."""
    source_ids: tuple[str, ...]
    """Items that the composite was made from, best first."""
    period: Period
    """First instant, and the one after the last; UTC."""
    level: Level
    """Of the reflectance."""
    reason: str | None
    """Why the composite is empty; None when it holds data."""
    ledger: tuple[LedgerRow, ...]
    """What became of every item, and what was read of every file."""
    timings: Mapping[str, float]
    """Seconds by step: search, quality, choose, offsets, winners, bands, refill, uncertainty, total."""
    traffic: Mapping[str, float]
    """Requests, bytes, retries, renewals and seconds waited for the files of this composite."""


def compose(
    archive: Archive,
    request: CompositeRequest,
    *,
    meter: Meter | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> BboxComposite:
    """The composite of a request.

    Parameters
    ----------
    archive
        Searched and read.
    request
        What is wanted.
    meter
        Counts what is read of files.
    progress
        Told how far it is.
    threads
        Working side by side; by default two for each processor, at least eight, at most 32.

    Returns
    -------
    composite
        With a `reason` where nothing was observed.

    Raises
    ------
    RegionError
        The archive lacks a band, or the output would be too large.
    ArchiveTransientError
        The archive cannot be read now.
    ArchiveRefusedError
        It does not let us in.
    ArchiveError
        None of the items found can be used, or its answer makes no sense.
    """
    (composite,) = compose_periods(archive, request, [request.period], meter=meter, progress=progress, threads=threads)
    return composite


def compose_periods(
    archive: Archive,
    request: CompositeRequest,
    periods: Sequence[Period],
    *,
    meter: Meter | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Iterator[BboxComposite]:
    """One composite a period, of one request and of one search for periods that follow each other.

    Parameters
    ----------
    archive, request, meter, progress, threads
        As for `compose`; the request's own `datetime` is not used.
    periods
        In order of time.

    Yields
    ------
    composite
        In their order; all lie on one grid.

    Raises
    ------
    GeoAssetsError
        As `compose`; composites before it have been yielded.
    """
    _expect_offered(archive, request)
    began = time.perf_counter()
    tell = progress or (lambda step, share: None)
    tell("search", 0.0)
    answer = _found(archive, request, periods)
    searched = (time.perf_counter() - began) / max(len(periods), 1)
    grid = (
        utm_grid(request.bbox, request.resolution)
        if request.output_crs == "utm"
        else native_grid(request.bbox, request.resolution, answer.items)
    )
    with Crew(threads or usual_threads()) as crew:
        for number, period in enumerate(periods):
            share = partial(_share_of_period, tell, number, len(periods))
            composition = _Composition(archive, request, grid, period, crew, share, searched)
            composite = composition.run(
                [item for item in answer.items if period[0] <= item.acquired < period[1]], answer.excluded
            )
            if meter is not None:
                meter.add_all(composition.traffic)
            yield composite


def _share_of_period(tell: Progress, number: int, periods: int, step: str, share: float) -> None:
    tell(step, (number + min(share, 1.0)) / periods)


def _found(archive: Archive, request: CompositeRequest, periods: Sequence[Period]) -> Answer:
    """The archive's answers for runs of periods without a gap between them."""
    runs: list[Period] = []
    for first, last in sorted(periods):
        if runs and first <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(last, runs[-1][1])
        else:
            runs.append((first, last))
    items: dict[str, SceneItem] = {}
    excluded: dict[Exclusion, None] = {}
    for first, last in runs:
        answer = archive.find(
            Query(
                area_of(request.bbox), first, last, max_cloud_cover=request.max_cloud_cover,
                platforms=request.platforms, orbits=request.orbits,
            )
        )  # fmt: skip
        items.update((item.id, item) for item in answer.items)
        excluded.update(dict.fromkeys(answer.excluded))
    return Answer(tuple(items.values()), tuple(excluded))


def _expect_offered(archive: Archive, request: CompositeRequest) -> None:
    """Refuse bands that no item of the archive can have; an archive that offers nothing yet is not judged."""
    offers = archive.offers()
    offered = frozenset[str]().union(*offers.values())
    lacks = [band for band in request.bands if band not in offered]
    if offered and lacks:
        known = {band for band in offered if not band.startswith("qa_")} - {"scl", "fmask", "aot"}
        raise RegionError(
            f"bands: archive {archive.name} has no {', '.join(lacks)}, it has {', '.join(sorted(known))}. "
            "Choose among them, or another archive."
        )


class _Composition:
    """The composite of one period."""

    def __init__(
        self,
        archive: Archive,
        request: CompositeRequest,
        grid: GeoBox,
        period: Period,
        crew: Crew,
        tell: Progress,
        searched_s: float,
    ) -> None:
        self._archive, self._request, self._grid, self._period = archive, request, grid, period
        self._crew, self._pace = crew, Pace(tell, searched_s)
        self._files = SceneFiles(archive)
        self._reader = WinnerReader(request, grid, self._files, crew, self._pace.advance)
        self._filler = BandFiller(self._reader, self._files, crew, self._pace)
        self._scout = scout_grid(grid, request.scout_factor)
        self._ledger = Ledger()
        self._views: dict[str, View] = {}
        self._rivals: dict[str, list[Candidate]] = {}
        self._lock = threading.Lock()

    @property
    def traffic(self) -> Meter:
        """What was read of all files."""
        total = Meter()
        for meter in self._files.meters.values():
            total.add_all(meter)
        return total

    def run(self, items: Sequence[SceneItem], excluded: Sequence[Exclusion]) -> BboxComposite:
        """The composite of the period's items."""
        began = time.perf_counter()
        try:
            composite = self._composed(items, excluded)
        finally:
            self._files.close()
        self._pace.timings["total"] = self._pace.timings["search"] + time.perf_counter() - began
        self._pace.say("done", 1.0)
        return composite

    def _composed(self, items: Sequence[SceneItem], excluded: Sequence[Exclusion]) -> BboxComposite:
        scenes, unfit, left_out = usable_scenes(items, self._request)
        self._ledger.excluded.update((one.item, one.reason) for one in (*excluded, *unfit, *left_out))
        if not scenes:
            return self._empty(items, self._why_no_scene(items, unfit))
        with self._pace.timed("quality", 0.0):
            bands = self._looked_at(scenes)
        made: Made | None = None
        while True:
            selection = self._selection()
            if selection is None:
                continue  # something was lost or left out: choose again without it
            if not selection.sources:
                self._expect_nothing_lost()
                return self._empty(items, "no scene that can be used saw any of the area")
            with self._pace.timed("winners", self._pace.reading_share):
                winners = winner_map(selection.views, selection.acquisitions, self._grid, self._crew)
            losses, made = self._filler.fill(selection, winners, made, bands)
            if not losses:
                return self._finished(selection, winners, bands, items)
            self._ledger.losses.update(losses)

    def _expect_nothing_lost(self) -> None:
        """Refuse to call ground unseen of which scenes were found, and could not be read."""
        if not self._ledger.losses:
            return
        _, first = min(self._ledger.losses.items())
        raise AssetLostError(
            f"Archive {self._archive.name}: none of its scenes can be used ({', '.join(sorted(self._ledger.losses))}). "
            f"{first.reason}"
        )

    def _plane(self) -> ReflectanceCount:
        return np.full(self._grid.shape, NODATA_REFLECTANCE, np.int16)

    # ---- which scenes ----

    def _looked_at(self, scenes: Sequence[Scene]) -> dict[str, ReflectanceCount]:
        """Look at all scenes, and lay out the bands meanwhile, whose memory takes its time; returns the bands."""
        bands: dict[str, ReflectanceCount] = {}

        def lay_out(band: str) -> None:
            bands[band] = self._plane()

        jobs: list[Callable[[], Candidate | None]] = [partial(self._candidate, scene) for scene in scenes]
        jobs += [partial(lay_out, band) for band in self._request.bands]
        found = self._crew.run(jobs)
        self._ledger.candidates = [candidate for candidate in found if candidate is not None]
        return {band: bands[band] for band in self._request.bands}

    def _candidate(self, scene: Scene) -> Candidate | None:
        """A scene after a coarse look; None if a quality layer of it is lost."""
        looks = []
        for part in scene.parts:
            try:
                looks.append(self._look(part))
            except AssetLostError as error:
                self._ledger.losses[part.id] = Loss("quality layer", str(error))
                return None
        candidate = candidate_of(scene, looks)
        self._forget_outranked(candidate)
        return candidate

    def _look(self, part: SceneItem) -> Look:
        """What an item shows of the scout's grid, from the coarsest level that tells.

        `rank="scene"` is for comparison, and ranks by the very pixels that decide the winners.
        """
        layers = [
            self._files.open(part, name) for name in rule_of(part, self._request.mask).layers(self._request.bands)
        ]
        if self._request.rank == "scene" or all(self._scout_level(file) is self._level(file) for file in layers):
            view, look = codes_under(
                part, self._files, self._request, level_of=self._level, view_on=self._grid, look_on=self._scout
            )
            self._keep(part, view)
        else:
            _, look = codes_under(
                part, self._files, self._request, level_of=self._scout_level, view_on=None, look_on=self._scout
            )
        assert look is not None  # it was asked for
        return look

    def _level(self, file: SceneFile) -> FileLevel:
        """The level of a quality layer that decides the winners."""
        overviews = takes_overviews(file, self._grid, self._request.read)
        return coarsest_level(file, float(self._grid.resolution.x)) if overviews else file.levels[0]

    def _scout_level(self, file: SceneFile) -> FileLevel:
        return coarsest_level(file, float(self._scout.resolution.x))

    def _keep(self, part: SceneItem, view: View | None) -> None:
        assert view is not None  # it was asked for
        with self._lock:
            if sum(one.quality.nbytes for one in self._views.values()) + view.quality.nbytes <= _VIEWS_KEPT_BYTES:
                self._views[part.id] = view

    def _forget_outranked(self, candidate: Candidate) -> None:
        """Let go of views of its tile that will not be chosen, unless something better turns out to be lost."""
        if self._request.coverage_target is not None:
            return  # chunks choose, not tiles
        with self._lock:
            rivals = self._rivals.setdefault(candidate.tile, [])
            rivals.append(candidate)
            kept = best_of_tile(rivals, self._request)
            for one in rivals:
                if one not in kept:
                    for part in one.scene.parts:
                        self._views.pop(part.id, None)
            self._rivals[candidate.tile] = kept

    def _usable(self) -> list[Candidate]:
        """Candidates none of whose parts is lost or left out: half an acquisition is not taken for the whole."""
        gone = self._ledger.losses.keys() | self._ledger.excluded.keys()
        return [one for one in self._ledger.candidates if not any(part.id in gone for part in one.scene.parts)]

    def _selection(self) -> Selection | None:
        """What the composite is made from, ready to be read; None if something of it turned out to be unusable."""
        with self._pace.timed("choose", QUALITY_SHARE / 2):
            factor = float(self._scout.resolution.x / self._grid.resolution.x)
            chosen = choose(self._usable(), self._request, self._grid, factor)
            parts = [(one, part) for one in chosen for part in one.candidate.scene.parts]
            items = [part for _, part in parts]
            losses = self._missing_views(items)
        with self._pace.timed("offsets", QUALITY_SHARE / 2):
            losses |= self._reader.open_all(items, self._request.bands)
            losses |= self._missing_findings([item for item in items if item.id not in losses])
        findings = self._ledger.findings
        undecided = {item.id: findings[item.id].problem for item in items if item.id in findings}
        problems = {item: str(problem) for item, problem in undecided.items() if problem is not None}
        self._ledger.losses.update(losses)
        self._ledger.excluded.update(problems)
        if losses or problems:
            return None
        kept = {item.id for item in items}
        self._views = {item: view for item, view in self._views.items() if item in kept}
        return Selection(
            [Source(item, self._ledger.findings[item.id].applied_dn) for item in items],
            [replace(self._views[part.id], serves=one.serves) for one, part in parts],
            [one.acquisition for one, _ in parts],
        )

    def _missing_views(self, items: Sequence[SceneItem]) -> Losses:
        """Read the views of chosen items that are not at hand."""
        losses: Losses = {}

        def read(item: SceneItem) -> None:
            """Read one item's quality; a lost one is kept for the ledger."""
            try:
                view, _ = codes_under(
                    item, self._files, self._request, level_of=self._level, view_on=self._grid, look_on=None
                )
            except AssetLostError as error:
                losses[item.id] = Loss("quality layer", str(error))
                return
            assert view is not None  # it was asked for
            self._views[item.id] = view

        self._crew.run(partial(read, item) for item in items if item.id not in self._views)
        return losses

    def _missing_findings(self, items: Sequence[SceneItem]) -> Losses:
        """Find out the offsets of chosen items that are not known yet."""
        unknown = [item for item in items if item.id not in self._ledger.findings]
        findings, losses = find_offsets(unknown, self._request.bands, self._files, self._grid, self._crew)
        self._ledger.findings.update(findings)
        return losses

    # ---- what comes of it ----

    def _finished(
        self,
        selection: Selection,
        winners: WinnerMap,
        bands: Mapping[str, ReflectanceCount],
        items: Sequence[SceneItem],
    ) -> BboxComposite:
        uncertainty = None
        if self._request.emit_uncertainty:
            with self._pace.timed("uncertainty", 1.0):
                uncertainty, losses = spread_of(
                    self._reader, selection.sources, selection.views, selection.acquisitions, bands
                )
                self._ledger.losses.update(losses)
        is_empty = int(winners.quality.min()) == NODATA_CLASS
        reason = f"none of {len(items)} items shows a clear pixel of the area" if is_empty else None
        return self._composite(bands, winners, uncertainty, selection.sources, items, reason)

    def _empty(self, items: Sequence[SceneItem], reason: str) -> BboxComposite:
        bands = {band: self._plane() for band in self._request.bands}
        uncertainty = {band: plane.copy() for band, plane in bands.items()} if self._request.emit_uncertainty else None
        return self._composite(bands, empty_winners(*self._grid.shape), uncertainty, (), items, reason)

    def _composite(
        self,
        bands: Mapping[str, ReflectanceCount],
        winners: WinnerMap,
        uncertainty: Mapping[str, ReflectanceCount] | None,
        sources: Sequence[Source],
        items: Sequence[SceneItem],
        reason: str | None,
    ) -> BboxComposite:
        return BboxComposite(
            bands=bands,
            quality=winners.quality,
            observation_count=winners.observation_count,
            selected_observation=winners.selected,
            uncertainty=uncertainty,
            grid=self._grid,
            source_ids=tuple(source.item.id for source in sources),
            period=self._period,
            level=sources[0].item.level if sources else "L2A",
            reason=reason,
            ledger=(*self._ledger.item_rows(items, sources), *self._ledger.file_rows(self._files.meters)),
            timings=self._pace.timings,
            traffic=self.traffic.snapshot(),
        )

    def _why_no_scene(self, items: Sequence[SceneItem], unfit: Sequence[Exclusion]) -> str:
        first, last = self._period
        when = f"from {first:%Y-%m-%d} to before {last:%Y-%m-%d}"
        if not items:
            limit = self._request.max_cloud_cover
            which = "" if limit is None else f" with at most {limit:g}% cloud (max_cloud_cover)"
            return f"archive {self._archive.name} has no scene of the area {when}{which}"
        if len(unfit) < len(items):
            return f"the request leaves out all {len(items)} items of the area {when}: see the ledger"
        named = "; ".join(f"{one.item}: {one.reason}" for one in unfit[:_NAMED_ITEMS])
        raise ArchiveError(
            f"Archive {self._archive.name}: none of the {len(unfit)} items of the area {when} can be used ({named}). "
            "Ask for other bands, or choose another archive."
        )
