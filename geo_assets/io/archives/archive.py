"""The interface that every archive adapter keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from geo_assets.domain.bands import Level
from geo_assets.domain.scene import SceneAsset, SceneItem
from geo_assets.domain.tile_month import Month


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A catalogue item that was found and cannot be used."""

    item: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What an archive says about one tile in one month, in order of time and id."""

    items: tuple[SceneItem, ...]
    excluded: tuple[Exclusion, ...]


class Archive(Protocol):
    """A source of scenes: searched by tile and month, read by band."""

    name: str
    """Kind of archive, part of every fingerprint: `local`, `demo`."""

    def offers(self) -> Mapping[Level, frozenset[str]]:
        """Processing level -> stable names of the bands that some item of it has.

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

    def address(self, asset: SceneAsset) -> str:
        """What GDAL opens for an asset, checked against the archive's root and allowed schemes.

        Raises
        ------
        ArchiveRefusedError
            The href leaves the archive's root, or uses another scheme than http(s).
        """
        ...
