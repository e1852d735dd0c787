"""What there is to know about an archive before it is asked. One small file per archive states it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from geo_assets.domain.bands import Level
from geo_assets.domain.scene import Quality
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.sensors.sentinel2 import OffsetRule

FileKind: TypeAlias = Literal["COG", "JP2"]
"""How files are laid out: COGs are read in blocks of any size, JP2s slowly."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection of a catalogue that we can read."""

    id: str
    """In the catalogue."""
    level: Level
    bands: Mapping[str, int]
    """Stable name -> native pixel size, metres."""
    layers: tuple[str, ...]
    """What comes besides bands: `scl`, `fmask`, `aot`, `qa_<band>`."""
    quality: Quality
    nodata: int
    """Count that means no data in bands."""
    begins: Month
    """First month of which it has anything."""
    offsets: OffsetRule = "baseline"
    """Which signals about the offset count."""
    files: FileKind = "COG"
    asked_for: bool = False
    """True: searched only for a region that asks for it, by name or by level."""
    note: str = ""
    """What a user should know before choosing it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Something secret that lets us in, or lets us in faster."""

    variables: tuple[str, ...]
    """Environment variables, all of them needed; empty for AWS's own chain."""
    purpose: str
    needed: bool
    """False where the archive can be read without it. Of several needed ones, one is enough."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """S3 buckets whose objects are read by presigned addresses."""

    names: tuple[str, ...]
    region: str
    keys: Literal["aws", "cdse"]
    """Whose keys sign: those of AWS's own chain, or of CDSE's key manager."""
    endpoint_url: str | None = None
    """Of a service other than Amazon's."""
    requester_pays: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """One archive."""

    name: str
    """As region files name it."""
    title: str
    catalog_url: str
    """Landing page of its STAC API, without a slash at its end."""
    collections: tuple[Collection, ...]
    """The first of every level is that level's usual one."""
    hosts: tuple[str, ...]
    """The only ones that are asked, as `HostRule` has them."""
    sas_url: str | None = None
    """Token service of the Planetary Computer."""
    buckets: Buckets | None = None
    identity_url: str | None = None
    """Login of an OpenID realm: `/token` and `/logout` below it."""
    deleted_url: str | None = None
    """OData list of withdrawn products."""
    credentials: tuple[Credential, ...] = ()
    connections: int = 16
    """To each host at a time."""
    connections_are_per_account: bool = False
    """True: all processes of this machine share them."""
    requests_per_minute: float | None = None
    page_limit: int = 100
    """Items."""

    def levels(self) -> tuple[Level, ...]:
        """Processing levels, in order of its collections."""
        return tuple(dict.fromkeys(collection.level for collection in self.collections))


def moved(url: str, catalog_url: str, facts: Facts) -> str:
    """A service's address when the catalogue is asked at `catalog_url`.

    A mirror on another host plays the archive's other services as well, under the same paths.
    """
    own, here = urlsplit(facts.catalog_url), urlsplit(catalog_url)
    if (own.scheme, own.netloc) == (here.scheme, here.netloc):
        return url
    return f"{here.scheme}://{here.netloc}{urlsplit(url).path}"
