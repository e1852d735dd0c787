"""The interface that every archive adapter keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shapely.geometry.base import BaseGeometry

from geo_assets.domain.bands import Level
from geo_assets.domain.errors import ArchiveRefusedError
from geo_assets.domain.scene import SceneAsset, SceneItem
from geo_assets.domain.tile_month import Month
from geo_assets.io.reads.byte_source import ByteSource
from geo_assets.io.wire.meter import Meter


@dataclass(frozen=True, slots=True)
class Query:
    """Which scenes are wanted."""

    area: BaseGeometry
    """EPSG:4326, longitudes -180..180, split at the antimeridian; scenes whose footprint reaches it are meant."""
    first: datetime
    """Earliest sensing time, UTC, included."""
    last: datetime
    """Latest sensing time, UTC, not included."""
    max_cloud_cover: float | None = None
    """Per cent; scenes that state more are left out, those that state none are kept. None: no limit."""
    platforms: tuple[str, ...] = ()
    """Such as `s2a`, `landsat-8`; empty means any."""
    orbits: tuple[int, ...] = ()
    """Relative orbits; empty means any, and a scene that names none is kept."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A catalogue item that was found and cannot be used."""

    item: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What an archive says about one tile in one month, or a query, in order of time and id."""

    items: tuple[SceneItem, ...]
    excluded: tuple[Exclusion, ...]
    expected: int | None = None
    """Acquisitions that the satellites' repeat cycle lets expect; None where nothing can be said."""
    newest: datetime | None = None
    """Newest sensing time that the archive is known to hold near the area, UTC; None where it is not known."""


def expect_own(asset: SceneAsset, name: str, where: str) -> None:
    """Refuse an asset that belongs to another archive, such as one that L1C is not looked for in any more.

    Raises
    ------
    ArchiveRefusedError
        The asset names an archive.
    """
    if asset.archive:
        raise ArchiveRefusedError(
            f"{where}: found a file of archive {asset.archive}, expected one of {name}. Run the scene search again, or "
            "set mask.l1c_archive back."
        )


class Archive(Protocol):
    """A source of scenes: searched by tile and month or by query, read by file."""

    @property
    def name(self) -> str:
        """Kind of archive, part of every fingerprint: `local`, `demo`, `earth-search`."""
        ...

    @property
    def chosen_because(self) -> str:
        """Why `auto` took this archive; empty where it was named."""
        ...

    def offers(self) -> Mapping[Level, frozenset[str]]:
        """Processing level -> stable names of the bands, and of the layers, that some item of it has.

        Raises
        ------
        ArchiveError
            The archive cannot be asked, or its answer is not a catalogue.
        """
        ...

    def search(self, tile: str, month: Month) -> Answer:
        """Items of every level over `tile` acquired in `month` (UTC).

        Raises
        ------
        ArchiveError
            The archive cannot be asked, or its answer is not a catalogue.
        """
        ...

    def find(self, query: Query) -> Answer:
        """Items of every level whose footprint reaches the area of `query`, by its limits.

        Raises
        ------
        ArchiveError
            The archive cannot be asked, or its answer is not a catalogue.
        """
        ...

    def open(self, asset: SceneAsset, *, where: str, meter: Meter | None = None) -> ByteSource:
        """The bytes of an asset's file; nothing is read yet.

        Parameters
        ----------
        asset
            As the archive's answer has it.
        where
            What messages call it: item and band.
        meter
            Counts the requests and bytes of reading it.

        Raises
        ------
        ArchiveRefusedError
            The href leaves the archive's root or hosts, or uses a scheme that is not opened.
        AssetLostError
            A local file is not there.
        """
        ...

    def close(self) -> None:
        """End logins that nobody else goes on with, and close idle connections."""
        ...
