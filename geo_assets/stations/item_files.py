"""The files of catalogue items, opened on a grid: each traced to its item and band, and counted."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from odc.geo.geobox import GeoBox

from geo_assets.domain.errors import AssetLostError
from geo_assets.domain.scene import SceneItem
from geo_assets.io.archives.archive import Archive
from geo_assets.io.reads.band import BandReader, Content, open_band
from geo_assets.io.reads.byte_source import lost_file
from geo_assets.io.wire.meter import Meter

NO_BLOCK = (-1, -1)
"""Stands for the file as a whole, before any block of it."""


class LostBandError(AssetLostError):
    """A band of an item cannot be read, now or later."""

    def __init__(self, message: str, *, item: str, band: str, href: str) -> None:
        super().__init__(message)
        self.item, self.band, self.href = item, band, href
        self.block = NO_BLOCK
        """Block of our raster at which it was found out."""


@dataclass(frozen=True, slots=True)
class ItemFiles:
    """An archive's files, and the meter that counts what is read of them."""

    archive: Archive
    meter: Meter

    @contextmanager
    def opened(self, item: SceneItem, name: str, grid: GeoBox, content: Content) -> Iterator[BandReader]:
        """A band or layer of an item, ready to be read onto a grid.

        Raises
        ------
        LostBandError
            The file is gone or unreadable for good, on opening it or inside the block.
        ArchiveTransientError
            It cannot be read now.
        """
        asset = item.assets[name]
        where = f"Item {item.id}, band {name}"
        with (
            _told_by_item(item, name),
            closing(self.archive.open(asset, where=where, meter=self.meter)) as source,
            open_band(source, asset.band_index, grid, content, where=where, nodata=asset.nodata) as band,
        ):
            yield band

    def whole(self, item: SceneItem, name: str, *, limit_bytes: int) -> bytes:
        """All bytes of a small file of an item, such as its metadata.

        Raises
        ------
        LostBandError
            The file is gone for good, or larger than `limit_bytes`.
        ArchiveTransientError
            It cannot be read now.
        ArchiveRefusedError
            It may not be read.
        """
        where = f"Item {item.id}, {name}"
        with (
            _told_by_item(item, name),
            closing(self.archive.open(item.assets[name], where=where, meter=self.meter)) as source,
        ):
            content = source.head(limit_bytes + 1)
            if len(content) > limit_bytes:
                raise lost_file(source.where, f"found over {limit_bytes:,} bytes, expected a small file")
            return bytes(content)


@contextmanager
def _told_by_item(item: SceneItem, name: str) -> Iterator[None]:
    """Say of a loss of which item and band it is."""
    try:
        yield
    except AssetLostError as loss:
        href = item.assets[name].href.partition("?")[0]
        raise LostBandError(str(loss), item=item.id, band=name, href=href) from loss
