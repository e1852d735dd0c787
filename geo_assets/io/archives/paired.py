"""Two archives as one: the region's own, and a companion that is asked for the L1C of its scenes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from geo_assets.domain.bands import Level
from geo_assets.domain.errors import ArchiveError, ArchiveRefusedError, ArchiveTransientError
from geo_assets.domain.scene import SceneAsset, SceneItem
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Answer, Archive, Query
from geo_assets.io.archives.filters import in_order
from geo_assets.io.reads.byte_source import ByteSource
from geo_assets.io.wire.meter import Meter

_LONGEST_DATATAKE = timedelta(hours=1)
"""Catalogues name the start of a datatake or a tile's own moment as an item's time: so far they may lie apart."""


class PairedArchive:
    """An archive of L2A whose scenes' L1C lies in another archive; see `Archive`.

    Bands, levels and reflectance are the own archive's alone. Items of L1C that only the companion has come with it,
    each asset marked with the name of the archive that opens it.

    Parameters
    ----------
    own
        The region's.
    companion
        Asked for L1C in months of which the own archive has L2A, and for nothing else.
    because
        Why this companion, for the record.
    """

    def __init__(self, own: Archive, companion: Archive, *, because: str) -> None:
        self.own, self.companion, self.because = own, companion, because

    @property
    def name(self) -> str:
        """See `Archive.name`; the own archive's."""
        return self.own.name

    @property
    def chosen_because(self) -> str:
        """See `Archive.chosen_because`; the own archive's."""
        return self.own.chosen_because

    def offers(self) -> Mapping[Level, frozenset[str]]:
        """See `Archive.offers`; the own archive's."""
        return self.own.offers()

    def search(self, tile: str, month: Month) -> Answer:
        """See `Archive.search`; an acquisition about midnight may be of two months in two catalogues.

        Raises
        ------
        ArchiveError
            One of the two cannot be asked: without its answer nobody knows whether there is L1C.
        """
        answer = self.own.search(tile, month)
        with self._as_companion():
            found = [self.companion.search(tile, near) for near in _months(answer.items)]
        return self._joined(answer, found, month.begin, month.next.begin)

    def find(self, query: Query) -> Answer:
        """See `Archive.find`; L1C is not held to the query's cloud cover, which its catalogue may state otherwise.

        Raises
        ------
        ArchiveError
            As in `search`.
        """
        answer = self.own.find(query)
        wide = replace(
            query, first=query.first - _LONGEST_DATATAKE, last=query.last + _LONGEST_DATATAKE, max_cloud_cover=None
        )
        with self._as_companion():
            found = [self.companion.find(wide)] if _months(answer.items) else []
        return self._joined(answer, found, query.first, query.last)

    def open(self, asset: SceneAsset, *, where: str, meter: Meter | None = None) -> ByteSource:
        """See `Archive.open`; by the archive that the asset names."""
        if asset.archive != self.companion.name:
            return self.own.open(asset, where=where, meter=meter)
        return self.companion.open(replace(asset, archive=""), where=where, meter=meter)

    def close(self) -> None:
        """See `Archive.close`; both."""
        try:
            self.own.close()
        finally:
            self.companion.close()

    @contextmanager
    def _as_companion(self) -> Iterator[None]:
        """Say of a failure that it is the companion's, and how to do without: none is never assumed."""
        try:
            yield
        except ArchiveError as error:
            kind = next(
                (kind for kind in (ArchiveTransientError, ArchiveRefusedError) if isinstance(error, kind)), ArchiveError
            )
            raise kind(
                f"{error} It was asked for the L1C of scenes of {self.own.name}; "
                "set mask.l1c_archive: none to mask them without."
            ) from error

    def _joined(self, answer: Answer, found: Sequence[Answer], first: datetime, last: datetime) -> Answer:
        """The own archive's answer with the L1C of the companion's that it lacks."""
        known = {item.id for item in answer.items}
        beside = {
            item.id: self._marked(item)
            for other in found
            for item in other.items
            if item.level == "L1C" and item.id not in known
            if first - _LONGEST_DATATAKE <= item.acquired < last + _LONGEST_DATATAKE
        }
        excluded = dict.fromkeys((*answer.excluded, *(one for other in found for one in other.excluded)))
        return replace(answer, items=in_order((*answer.items, *beside.values())), excluded=tuple(excluded))

    def _marked(self, item: SceneItem) -> SceneItem:
        assets = {name: replace(asset, archive=self.companion.name) for name, asset in item.assets.items()}
        return replace(item, assets=assets)


def _months(items: Iterable[SceneItem]) -> tuple[Month, ...]:
    """The months under which another catalogue may have the acquisitions of the L2A among the items, in order."""
    shifts = (-_LONGEST_DATATAKE, timedelta(0), _LONGEST_DATATAKE)
    return tuple(
        sorted({Month.containing(item.acquired + shift) for item in items if item.level == "L2A" for shift in shifts})
    )
