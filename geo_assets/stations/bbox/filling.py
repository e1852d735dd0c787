"""A composite's bands, filled from the winners; and again where a winner turns out to hold nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, Flag, ReflectanceCount
from geo_assets.kernels.picking.winners import View, WinnerMap, next_winners, unfilled
from geo_assets.stations.bbox.bands import Source, Wanted, WinnerReader
from geo_assets.stations.bbox.crew import Crew
from geo_assets.stations.bbox.files import Losses, SceneFiles
from geo_assets.stations.bbox.pace import Pace

_STRIP_ROWS = 512
"""Output rows that one job looks through."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What the composite is made from, best first; one entry an item."""

    sources: Sequence[Source]
    views: Sequence[View]
    acquisitions: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What some bands hold so far."""

    sources: Sequence[Source]
    winners: WinnerMap
    bands: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Pixels:
    """Some pixels of the output, each once."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]

    def where(self, flag: Flag) -> "_Pixels":
        """Those for which the flag is True."""
        return _Pixels(self.rows[flag], self.cols[flag])

    @classmethod
    def none(cls) -> Self:
        """No pixel."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def lacking(self, winners: WinnerMap, bands: Mapping[str, ReflectanceCount]) -> "_Pixels":
        """Those that have a winner, and no value in some band."""
        empty = [values[self.rows, self.cols] == NODATA_REFLECTANCE for values in bands.values()]
        return self.where(np.logical_or.reduce(empty) & (winners.selected[self.rows, self.cols] >= 0))

    def missing_in(self, values: ReflectanceCount) -> int:
        """How many of them a band lacks."""
        return int(np.count_nonzero(values[self.rows, self.cols] == NODATA_REFLECTANCE))


class BandFiller:
    """Fills bands of one composite.

    Parameters
    ----------
    reader, files, crew, pace
        Of the composite.
    """

    def __init__(self, reader: WinnerReader, files: SceneFiles, crew: Crew, pace: Pace) -> None:
        self._reader, self._files, self._crew, self._pace = reader, files, crew, pace

    def fill(
        self, selection: Selection, winners: WinnerMap, made: Made | None, bands: Mapping[str, ReflectanceCount]
    ) -> tuple[Losses, Made]:
        """Fill the bands where the winners are not yet what they hold, then the gaps that turn out.

        Bands of one pixel size lack the same pixels: one of each size is read first, and the others when it is settled
        who wins, so that gaps cost a second read of few bands.

        Returns
        -------
        losses
            Items that were lost on the way: the bands are not complete.
        made
            What they hold.
        """
        if made is None:
            first, numbers = self._one_of_each_size(selection, bands), winners.selected
        else:
            first = {band: bands[band] for band in made.bands}
            numbers = _changed(made, selection.sources, winners, first)
        self._pace.asked_share = len(first) / len(bands)
        losses = self._read_and_settle(selection, winners, numbers, first, first)
        others = {band: values for band, values in bands.items() if band not in first}
        if losses or not others:
            return losses, Made(selection.sources, winners, tuple(first))
        self._pace.asked_share = len(others) / len(bands)
        losses = self._read_and_settle(selection, winners, winners.selected, others, bands)
        return losses, Made(selection.sources, winners, tuple(bands))

    def _one_of_each_size(
        self, selection: Selection, bands: Mapping[str, ReflectanceCount]
    ) -> dict[str, ReflectanceCount]:
        sizes: dict[float, str] = {}
        for band in bands:
            sizes.setdefault(self._files.open(selection.sources[0].item, band).levels[0].pixel_m, band)
        return {band: bands[band] for band in sizes.values()}

    def _read_and_settle(
        self,
        selection: Selection,
        winners: WinnerMap,
        numbers: NDArray[np.int16],
        asked: Mapping[str, ReflectanceCount],
        filled: Mapping[str, ReflectanceCount],
    ) -> Losses:
        """Read some bands where `numbers` says, and all that are filled by then again where one of them has gaps."""
        with self._pace.timed("bands", self._pace.reading_share):
            losses = self._reader.read(Wanted(selection.sources, numbers), asked)
        self._pace.asked_share = 0.0  # second reads are of a few pixels
        with self._pace.timed("refill", self._pace.reading_share):
            empty = self._unfilled(winners, asked) if not losses else _Pixels.none()
            while empty.rows.size and not losses:
                losses = self._refill(selection, winners, empty, filled)
                empty = empty.lacking(winners, filled)
        return losses

    def _unfilled(self, winners: WinnerMap, bands: Mapping[str, ReflectanceCount]) -> _Pixels:
        height = winners.selected.shape[0]
        planes = list(bands.values())
        found = self._crew.run(
            partial(unfilled, winners, planes, begin=begin, end=min(begin + _STRIP_ROWS, height))
            for begin in range(0, height, _STRIP_ROWS)
        )
        rows, cols = zip(*found, strict=True)
        return _Pixels(np.concatenate(rows), np.concatenate(cols))

    def _refill(
        self, selection: Selection, winners: WinnerMap, empty: _Pixels, bands: Mapping[str, ReflectanceCount]
    ) -> Losses:
        """Give pixels whose winner holds no data to the next source that does.

        Bands of one scene mostly lack the same pixels: the one that lacks most is asked first, from source to source,
        and the others only once it has a value.
        """
        asked = max(bands, key=lambda band: empty.missing_in(bands[band]))
        for values in bands.values():
            values[empty.rows, empty.cols] = NODATA_REFLECTANCE  # a pixel never mixes scenes
        left = empty
        while left.rows.size:
            next_winners(selection.views, selection.acquisitions, left.rows, left.cols, winners)
            losses = self._read_again(selection, winners, left, {asked: bands[asked]})
            if losses:
                return losses
            left = left.lacking(winners, {asked: bands[asked]})
        others = {band: values for band, values in bands.items() if band != asked}
        return self._read_again(selection, winners, empty, others)

    def _read_again(
        self, selection: Selection, winners: WinnerMap, pixels: _Pixels, bands: Mapping[str, ReflectanceCount]
    ) -> Losses:
        """Read some pixels from their winners, where they have one."""
        pixels = pixels.where(winners.selected[pixels.rows, pixels.cols] >= 0)
        if not (pixels.rows.size and bands):
            return {}
        count = np.int16(len(selection.sources))
        winners.selected[pixels.rows, pixels.cols] += count  # numbered behind all others: only these are read
        wanted = Wanted(selection.sources, winners.selected, first=int(count), pixels=(pixels.rows, pixels.cols))
        losses = self._reader.read(wanted, bands)
        winners.selected[pixels.rows, pixels.cols] -= count
        return losses


def _changed(
    made: Made, sources: Sequence[Source], winners: WinnerMap, bands: Mapping[str, ReflectanceCount]
) -> NDArray[np.int16]:
    """Numbers of the sources where the bands hold another's pixels, -1 elsewhere; those pixels are emptied."""
    places = {source.item.id: place for place, source in enumerate(sources)}
    now = np.array([places.get(source.item.id, -2) for source in made.sources] + [-1], np.int16)
    changed = now[made.winners.selected] != winners.selected  # the last entry stands for -1: none then, none now
    for values in bands.values():
        values[changed] = NODATA_REFLECTANCE
    return np.where(changed, winners.selected, np.int16(-1))
