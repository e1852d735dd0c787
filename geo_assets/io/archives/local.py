"""`local:PATH`: a STAC item collection or a static catalogue on disk, with relative or http(s) hrefs."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from geo_assets.domain.bands import Level
from geo_assets.domain.errors import ArchiveError, ArchiveRefusedError
from geo_assets.domain.scene import ANGLE_ASSETS, SceneAsset, SceneItem
from geo_assets.domain.tile_grid import tile_footprint
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Answer, Query, expect_own
from geo_assets.io.archives.filters import covers, fits, in_order
from geo_assets.io.archives.items import ItemError, scene_item
from geo_assets.io.archives.unusable import Unusable, refused, unreadable
from geo_assets.io.reads.byte_source import ByteSource, LocalFile
from geo_assets.io.wire.addresses import HostRule
from geo_assets.io.wire.exchange import Wire
from geo_assets.io.wire.meter import Meter
from geo_assets.io.wire.remote_file import RemoteFile
from geo_assets.io.wire.signing import Unsigned

_ENTRIES = ("catalog.json", "collection.json", "items.json", "item.json")
_CATALOGUE_LIMIT_BYTES = 1 << 30
_DEPTH_LIMIT = 16
_REMOTE = ("http://", "https://")


class _AsWritten(Unsigned):
    """Links of the user's own catalogue, signed by whoever wrote them."""

    remedy = "Renew the access that the catalogue's links give, or name the item in selection.exclude."


@dataclass(frozen=True, slots=True)
class _Catalogue:
    """One reading of the files, indexed."""

    stamps: Mapping[Path, tuple[int, int]]
    """Every file -> modification time and size."""
    items: Mapping[Month, tuple[SceneItem, ...]]
    unusable: tuple[Unusable, ...]
    offers: Mapping[Level, frozenset[str]]
    newest: datetime | None
    """Newest sensing time of its items."""
    queries: Mapping[str, str]
    """http(s) href without its query -> the query, `?...`: a signature is neither stored nor shown."""


@dataclass(slots=True)
class LocalArchive:
    """Scenes listed by STAC files under one folder.

    Parameters
    ----------
    path
        A FeatureCollection, Feature, Catalog or Collection file, or a folder that holds `catalog.json`,
        `collection.json`, `items.json` or `item.json`. The file's folder is the root that no href may leave.
    name
        Kind of archive, as fingerprints know it.
    """

    path: Path
    name: str = "local"
    _read: _Catalogue | None = field(default=None, repr=False)
    _wire: Wire = field(default_factory=lambda: Wire(HostRule.any_host()), repr=False)

    @property
    def chosen_because(self) -> str:
        """See `Archive.chosen_because`."""
        return ""

    @property
    def root(self) -> Path:
        """The folder that every relative href stays in."""
        return self._entry().parent.resolve()

    def offers(self) -> Mapping[Level, frozenset[str]]:
        """See `Archive.offers`."""
        return self._catalogue().offers

    def search(self, tile: str, month: Month) -> Answer:
        """See `Archive.search`; an item that names no tile serves every tile that its footprint overlaps."""
        catalogue, ground = self._catalogue(), tile_footprint(tile)
        items = [item for item in catalogue.items.get(month, ()) if covers(item, tile, ground)]
        excluded = [one.exclusion for one in catalogue.unusable if one.concerns(month, ground)]
        return Answer(in_order(items), tuple(excluded), newest=catalogue.newest)

    def find(self, query: Query) -> Answer:
        """See `Archive.find`."""
        catalogue = self._catalogue()
        items = [item for found in catalogue.items.values() for item in found if fits(item, query)]
        excluded = [one.exclusion for one in catalogue.unusable if one.answers(query)]
        return Answer(in_order(items), tuple(excluded), newest=catalogue.newest)

    def open(self, asset: SceneAsset, *, where: str, meter: Meter | None = None) -> ByteSource:
        """See `Archive.open`; any host that the user's own catalogue names is asked."""
        expect_own(asset, self.name, where)
        try:
            asset, _ = _rooted(asset, self.root / "items.json", self.root)
        except ItemError as error:
            raise ArchiveRefusedError(
                f"Archive {self.path}: {error}. Repair the item, or name it in selection.exclude."
            ) from None
        if not asset.href.startswith(_REMOTE):
            return LocalFile(self.root / asset.href, f"{where} ({asset.href})")
        return RemoteFile(
            f"{asset.href}{self._catalogue().queries.get(asset.href, '')}",
            wire=self._wire,
            where=where,
            signer=_AsWritten(),
            meter=meter,
            size_bytes=asset.size_bytes,
            checksum=asset.checksum,
        )

    def close(self) -> None:
        """See `Archive.close`."""
        self._wire.close()

    def _entry(self) -> Path:
        if self.path.is_file():
            return self.path
        for name in _ENTRIES:
            if (self.path / name).is_file():
                return self.path / name
        if self.path.is_dir():
            raise ArchiveError(
                f"Archive {self.path}: the folder holds none of {', '.join(_ENTRIES)}; name the STAC file."
            )
        raise ArchiveError(
            f"Archive {self.path}: no such file or folder. local:PATH is relative to the region file; correct it there."
        )

    def _catalogue(self) -> _Catalogue:
        """The indexed catalogue, read again when one of its files has changed."""
        if self._read is None or any(_stamp(path) != stamp for path, stamp in self._read.stamps.items()):
            self._read = _indexed(self._entry())
        return self._read


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return -1, -1
    return stat.st_mtime_ns, stat.st_size


def _indexed(entry: Path) -> _Catalogue:
    root = entry.parent.resolve()
    stamps: dict[Path, tuple[int, int]] = {}
    queries: dict[str, str] = {}
    items: dict[Month, list[SceneItem]] = {}
    unusable: list[Unusable] = []
    offers: dict[Level, set[str]] = {}
    seen: set[str] = set()
    for document, source in _features(entry, root, stamps, depth=0):
        try:
            item = scene_item(document)
        except ItemError as error:
            unusable.append(unreadable(document, str(error)))
            continue
        try:
            item = _rooted_item(item, source, root, queries)
        except ItemError as error:
            unusable.append(refused(item, str(error)))
            continue
        if item.id in seen:
            unusable.append(refused(item, "the catalogue lists this id twice"))
            continue
        seen.add(item.id)
        items.setdefault(Month.containing(item.acquired), []).append(item)
        offers.setdefault(item.level, set()).update(item.assets.keys() - ANGLE_ASSETS)
    return _Catalogue(
        stamps,
        {month: tuple(found) for month, found in items.items()},
        tuple(unusable),
        {level: frozenset(bands) for level, bands in offers.items()},
        max((item.acquired for found in items.values() for item in found), default=None),
        queries,
    )


def _features(
    path: Path, root: Path, stamps: dict[Path, tuple[int, int]], *, depth: int
) -> Iterator[tuple[Mapping[str, Any], Path]]:
    """Every item under a STAC file, with the file that holds it."""
    if path in stamps:
        return
    stamps[path] = _stamp(path)
    document = _json(path)
    kind = document.get("type")
    if kind == "Feature":
        yield document, path
    elif kind == "FeatureCollection" and isinstance(document.get("features"), list):
        for feature in document["features"]:
            yield (feature if isinstance(feature, Mapping) else {}), path
    elif kind in ("Catalog", "Collection"):
        links = document.get("links")
        for link in links if isinstance(links, list) else ():
            if isinstance(link, Mapping) and link.get("rel") in ("child", "item") and depth < _DEPTH_LIMIT:
                yield from _features(_linked(link, path, root), root, stamps, depth=depth + 1)
    else:
        raise ArchiveError(
            f"Archive {path}: found type {kind!r:.40}, expected a FeatureCollection, Feature, Catalog or Collection."
        )


def _json(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _CATALOGUE_LIMIT_BYTES:
            raise ArchiveError(f"Archive {path}: over 1 GiB of JSON; split the catalogue.")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ArchiveError(
            f"Archive {path}: cannot be read ({error.strerror}). Correct the catalogue's links."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"Archive {path}: is not JSON ({error!s:.120}). Repair or restore the file.") from None
    if not isinstance(document, Mapping):
        raise ArchiveError(f"Archive {path}: is not a JSON object. Name a STAC file.")
    return document


def _linked(link: Mapping[str, Any], source: Path, root: Path) -> Path:
    """The file that a catalogue's link leads to."""
    href = link.get("href")
    try:
        return root / _relative(str(href), source, root)
    except ItemError as error:
        raise ArchiveRefusedError(
            f"Archive {source}: a link's {error}. Copy what it leads to into the folder, or remove the link."
        ) from None


def _rooted_item(item: SceneItem, source: Path, root: Path, queries: dict[str, str]) -> SceneItem:
    """The item with hrefs relative to the root, or remote and without query; adds what it took off to `queries`.

    An asset of angles that is not to be opened is left out: its scene can do without.
    """
    assets = {}
    for band, asset in item.assets.items():
        try:
            rooted, query = _rooted(asset, source, root)
            if queries.setdefault(rooted.href, query) != query:
                raise ItemError(f"href {_shown(asset.href)}: another file's differs from it in the query alone")
        except ItemError:
            if band in ANGLE_ASSETS:
                continue
            raise
        assets[band] = rooted
    return replace(item, assets=assets)


def _rooted(asset: SceneAsset, source: Path, root: Path) -> tuple[SceneAsset, str]:
    """The asset with its href relative to the root, or remote; its query, `?...`; `ItemError` if it leads elsewhere."""
    if not asset.href.lower().startswith(_REMOTE):
        return replace(asset, href=_relative(asset.href, source, root)), ""
    try:
        parts = urlsplit(asset.href)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ItemError(f"href {_shown(asset.href)} is not a URL") from None
    if not host or port == 0 or re.search(r"[^!-~]", asset.href):
        raise ItemError(f"href {_shown(asset.href)} is not a URL")
    if parts.username is not None or parts.password is not None:
        raise ItemError(f"href {_shown(asset.href)} holds credentials; take them out")
    href = f"{parts.scheme}://{parts.netloc}{parts.path}"
    return replace(asset, href=href), f"?{parts.query}" if parts.query else ""


def _relative(href: str, source: Path, root: Path) -> str:
    """A path written in the file `source`, relative to the root; `ItemError` if it leaves it or is no path."""
    if re.match(r"[A-Za-z][\w+.-]*:", href) or href.lower().startswith("/vsi"):
        raise ItemError(f"href {_shown(href)}: only http(s) and paths in the archive's folder are opened")
    try:
        path = (source.parent / PurePosixPath(href)).resolve() if href.isprintable() else None
    except (OSError, RuntimeError):  # a loop of symbolic links
        path = None
    if path is None or not path.is_relative_to(root):
        raise ItemError(f"href {_shown(href)} leaves the archive's folder")
    return path.relative_to(root).as_posix()


def _shown(href: str) -> str:
    """An href as messages show it: without query and user name, which may be secrets."""
    return repr(re.sub(r"//[^/]*@", "//", href.partition("?")[0]))[:120]
