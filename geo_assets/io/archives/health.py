"""Whether an archive works: reached, let in, searched and read, each on its own, with what to do about it."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from json import loads
from typing import Literal, TypeAlias

import shapely
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.errors import ArchiveError, ArchiveRefusedError, GeoAssetsError
from geo_assets.domain.scene import ANGLE_ASSETS, SceneItem
from geo_assets.io.archives.stac_api import StacApiArchive
from geo_assets.io.reads.tiff_pixels import TiffPixels
from geo_assets.io.wire.addresses import shown
from geo_assets.io.wire.meter import Meter

Check: TypeAlias = Literal["reach", "login", "search", "read"]

PLACE = shapely.box(14.50, 46.04, 14.52, 46.06)
"""Ljubljana, EPSG:4326: land that every archive has seen since it began."""

_RECENT = timedelta(days=60)
_LIMIT_BYTES = 8 << 20
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_HEAD_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found."""

    check: Check
    ok: bool | None
    """None: it could not be made, because an earlier one failed."""
    said: str
    """What was seen, with the remedy where it is not well."""
    seconds: float


def examined(
    archive: StacApiArchive, *, area: BaseGeometry = PLACE, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Finding]:
    """The findings of all checks, each as soon as it is made.

    Parameters
    ----------
    archive
        Opened as a region would open it.
    area
        EPSG:4326; a few scenes over it are searched for, and one block of one of them is read.
    clock
        Seconds that only grow.

    Notes
    -----
    Nothing is cached, and nothing is written but tokens. A failing check is a finding, not an exception.
    """
    patient = _Patient(archive, area, clock)
    yield patient.finding("reach", patient.reached)
    yield patient.finding("login", patient.let_in)
    yield patient.finding("search", patient.searched)
    yield patient.finding("read", patient.read)


class _Patient:
    """An archive under examination, and what is known of it so far."""

    def __init__(self, archive: StacApiArchive, area: BaseGeometry, clock: Callable[[], float]) -> None:
        self._archive, self._area, self._clock = archive, area, clock
        self._item: SceneItem | None = None
        self._is_reached = True

    def finding(self, check: Check, examine: Callable[[], str | None]) -> Finding:
        """What an examination says; an error of the archive is the finding, with the seconds that it took."""
        began = self._clock()
        try:
            said = examine()
        except GeoAssetsError as error:
            return Finding(check, False, str(error), self._clock() - began)
        return Finding(check, None if said is None else True, said or "not tried", self._clock() - began)

    def reached(self) -> str:
        """Its landing page is one of a STAC API."""
        url = self._archive.catalog_url
        what = f"Landing page of {self._archive.name}"
        self._is_reached = False
        reply = self._archive.access.search_wire.request("GET", url, limit_bytes=_LIMIT_BYTES, what=what)
        try:
            kind = loads(reply.body).get("type")
        except (ValueError, AttributeError, RecursionError):
            kind = None
        if kind != "Catalog":
            raise ArchiveRefusedError(
                f"{what}: {shown(url)} answers with something else than a STAC catalogue. Correct catalog_url; "
                "a login page of this network may stand in between."
            )
        self._is_reached = True
        return f"{shown(url)} is a STAC catalogue"

    def let_in(self) -> str | None:
        """What can be proven of our credentials without reading a file."""
        return self._archive.access.let_in() if self._is_reached else None

    def searched(self) -> str | None:
        """A search over the area finds a scene, a recent one if there is any."""
        if not self._is_reached:
            return None
        now = self._archive.now()
        begun = min(collection.begins for collection in self._archive.collections).begin
        recent = self._archive.sample(self._area, (now - _RECENT, now))
        self._item = recent or self._archive.sample(self._area, (begun, now))
        if self._item is None:
            raise ArchiveError(
                f"Archive {self._archive.name}: a search over the area finds nothing that can be used. "
                "Try another area; the collection may have moved."
            )
        if recent is None:
            raise ArchiveError(
                f"Archive {self._archive.name}: has nothing of the last {_RECENT.days} days over the area: it may have "
                "stopped. Take another archive for recent months."
            )
        return f"found {self._item.id} of {self._item.acquired:%Y-%m-%d}"

    def read(self) -> str | None:
        """One block of the smallest file of that scene comes in whole, and decodes."""
        if self._item is None:
            return None
        item, meter = self._item, Meter()
        layers = [name for name in ("scl", "fmask") if name in item.assets]
        name = next(iter((*layers, *sorted(item.assets.keys() - ANGLE_ASSETS))))
        where = f"Item {item.id}, {name}"
        with closing(self._archive.open(item.assets[name], where=where, meter=meter)) as source:
            head = source.head(_HEAD_BYTES)
            if not head.startswith(_JP2_SIGNATURE):
                pixels = TiffPixels(source)
                coarsest = pixels.file.levels[-1]
                list(pixels.blocks(coarsest, [0]))
        return f"read {name} of {item.id}: {meter.bytes:,} bytes in {meter.requests} requests"
