"""`auto`: the first archive that answers and has the bands and months, chosen once and kept.

In this order: the Planetary Computer (surface reflectance with ESA's counts, COGs); Earth Search (the same scenes, no
signing, counts with a history); CDSE where its credentials are set (everything, but slow JPEG 2000); HLS (30 m) for
bands that surface reflectance of Sentinel-2 lacks. MCD43A4 has pixels of 463 m and has to be named.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.bands import Level
from geo_assets.domain.errors import (
    ArchiveError,
    ArchiveRefusedError,
    ArchiveTransientError,
    RegionError,
    ResourceError,
)
from geo_assets.domain.scene import SceneAsset
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Answer, Query
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.facts import Facts
from geo_assets.io.archives.known import KNOWN
from geo_assets.io.archives.search.plan import Period
from geo_assets.io.archives.stac_api import StacApiArchive
from geo_assets.io.reads.byte_source import ByteSource
from geo_assets.io.stores.leftovers import temporary_name
from geo_assets.io.wire.meter import Meter

log = logging.getLogger(__name__)

AUTO_ORDER = ("planetary-computer", "earth-search", "cdse", "hls")


@dataclass(frozen=True, slots=True)
class Need:
    """What the chosen archive must have."""

    bands: tuple[str, ...]
    area: BaseGeometry
    """EPSG:4326."""
    period: Period

    @property
    def months(self) -> tuple[Month, Month]:
        """The first and the last month of the period."""
        first, last = self.period
        end = Month.containing(last)
        return Month.containing(first), end if last > end.begin else end.previous


class AutoArchive:
    """The archive that suits a need best, found on first use; see `Archive`.

    Parameters
    ----------
    need
        Bands, area and time.
    open_one
        Opens an archive by its facts.
    credentials
        Decide whether an archive that asks for them is considered.
    folder
        Where the choice is kept, for all processes and later runs; None: in this object.
    order
        Names of archives, the best first.
    """

    def __init__(
        self,
        need: Need,
        open_one: Callable[[Facts], StacApiArchive],
        *,
        credentials: Credentials,
        folder: Path | None = None,
        order: Sequence[str] = AUTO_ORDER,
    ) -> None:
        self._need, self._open_one, self._credentials = need, open_one, credentials
        self._path = None if folder is None else folder / f"auto-{_key(need)}.json"
        self._order = tuple(order)
        self._found: StacApiArchive | None = None
        self._lock = threading.Lock()

    @property
    def chosen(self) -> StacApiArchive:
        """The archive.

        Raises
        ------
        RegionError
            No archive has all the bands.
        ArchiveTransientError
            Those that have them do not answer.
        """
        with self._lock:
            if self._found is None:
                self._found = self._kept() or self._choose()
            return self._found

    @property
    def name(self) -> str:
        """See `Archive.name`; that of the chosen archive."""
        return self.chosen.name

    @property
    def chosen_because(self) -> str:
        """See `Archive.chosen_because`."""
        return self.chosen.chosen_because

    def offers(self) -> Mapping[Level, frozenset[str]]:
        """See `Archive.offers`."""
        return self.chosen.offers()

    def search(self, tile: str, month: Month) -> Answer:
        """See `Archive.search`."""
        return self.chosen.search(tile, month)

    def find(self, query: Query) -> Answer:
        """See `Archive.find`."""
        return self.chosen.find(query)

    def open(self, asset: SceneAsset, *, where: str, meter: Meter | None = None) -> ByteSource:
        """See `Archive.open`."""
        return self.chosen.open(asset, where=where, meter=meter)

    def close(self) -> None:
        """See `Archive.close`."""
        if self._found is not None:
            self._found.close()

    def _choose(self) -> StacApiArchive:
        """The first that answers and has scenes; else the first that answers, for the ground may have none."""
        passed_over: list[str] = []
        empty: StacApiArchive | None = None
        failures: list[ArchiveError] = []
        for facts in (KNOWN[name] for name in self._order):
            problem = self._problem(facts)
            archive = None
            if problem is None:
                archive = self._open_one(facts)
                try:
                    problem = self._missing_month(archive)
                except ArchiveError as error:
                    failures.append(error)
                    archive, problem = None, "does not answer"
            if archive is not None and problem is None:
                return self._taken(archive, passed_over)
            empty = empty or archive
            passed_over.append(f"{facts.name} {problem}")
        if empty is not None and not failures:
            return self._taken(empty, passed_over)
        listed = "; ".join(passed_over)
        if failures:
            raise ArchiveTransientError(
                f"Archive auto: none can be chosen ({listed}). {failures[0]} "
                "Run it again later, or name an archive; `geo-assets doctor` says what is wrong with each."
            ) from failures[0]
        raise RegionError(
            f"Archive auto: none has {', '.join(self._need.bands)} in that time ({listed}). "
            "Leave a band out, or name an archive."
        )

    def _problem(self, facts: Facts) -> str | None:
        """Why an archive is not even asked, by its facts; None if it is."""
        needed = [credential for credential in facts.credentials if credential.needed]
        if needed and not any(self._credentials.has(credential) for credential in needed):
            return "lacks credentials"
        usual = [collection for collection in facts.collections if not collection.asked_for]
        by_level: dict[Level, set[str]] = {}
        for collection in usual:
            by_level.setdefault(collection.level, set()).update(collection.bands)
        wanted = set(self._need.bands)
        able = [collection for collection in usual if wanted <= by_level[collection.level]]
        if not able:
            lacks = min((len(wanted - bands), sorted(wanted - bands)) for bands in by_level.values())
            return f"lacks {', '.join(lacks[1])}"
        first, _ = self._need.months
        if all(first < collection.begins for collection in able):
            return f"begins {min(collection.begins for collection in able)}"
        return None

    def _missing_month(self, archive: StacApiArchive) -> str | None:
        """The first or last month of which an archive has no scene over the area; asks it."""
        for month in dict.fromkeys(self._need.months):
            first, last = max(month.begin, self._need.period[0]), min(month.next.begin, self._need.period[1])
            if not archive.has_scenes(self._need.area, (first, last)):
                return f"has no scene over the area in {month}"
        return None

    def _taken(self, archive: StacApiArchive, passed_over: Sequence[str]) -> StacApiArchive:
        has = f"first that answers and has {', '.join(self._need.bands)}"
        archive.chosen_because = f"{has}; passed over: {'; '.join(passed_over)}" if passed_over else has
        log.info("Archive auto takes %s: %s", archive.name, archive.chosen_because)
        if self._path is None or self._keep({"archive": archive.name, "because": archive.chosen_because}, self._path):
            return archive
        return self._kept() or archive

    def _kept(self) -> StacApiArchive | None:
        """The archive that an earlier run chose: tiles and months of one region never come from two."""
        if self._path is None:
            return None
        try:
            choice = json.loads(self._path.read_bytes())
            facts, because = KNOWN[choice["archive"]], str(choice["because"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise ArchiveRefusedError(
                f"Archive auto: {self._path} should hold the earlier choice and does not. "
                "Remove it to choose again, or name the archive in the region file."
            ) from None
        archive = self._open_one(facts)
        archive.chosen_because = because
        return archive

    def _keep(self, choice: Mapping[str, str], path: Path) -> bool:
        """Write the choice down; False if another process was first."""
        temporary = path.with_name(temporary_name())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(choice))
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            raise ResourceError(
                f"Archive auto: the choice cannot be kept in {path.parent} ({error.strerror or error}). "
                "Give GEO_ASSETS_HOME a folder that you may write to."
            ) from None
        finally:
            temporary.unlink(missing_ok=True)
        return True


def _key(need: Need) -> str:
    """A name for the need; the end of its time is left out, for it moves on."""
    area = shapely.to_wkt(need.area, rounding_precision=7)
    described = json.dumps([sorted(need.bands), area, need.period[0].isoformat()])
    return hashlib.sha256(described.encode()).hexdigest()[:24]
