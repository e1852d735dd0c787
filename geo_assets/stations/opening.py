"""A line from a region: its archive found, its store opened and claimed."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Self

from shapely.geometry.base import BaseGeometry

from geo_assets.demo.archive import ensure_demo_archive
from geo_assets.domain.bands import Level
from geo_assets.domain.errors import CorruptProductError, RegionError, ResourceError
from geo_assets.domain.region import Region
from geo_assets.domain.region_archive import is_local
from geo_assets.io.archives.archive import Archive
from geo_assets.io.archives.auto import AutoArchive, Need
from geo_assets.io.archives.cdse import CDSE
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.known import KNOWN, Opening, facts_of, open_known
from geo_assets.io.archives.local import LocalArchive
from geo_assets.io.archives.paired import PairedArchive
from geo_assets.io.archives.search.plan import Period
from geo_assets.io.archives.stac_api import StacApiArchive
from geo_assets.io.detectors.program_run import Outside
from geo_assets.io.products import Products
from geo_assets.io.stores.local_store import LocalStore
from geo_assets.io.stores.store import S3Access, expanded, open_store
from geo_assets.stations.detection import uses_toa
from geo_assets.stations.line import Line

DEFAULT_HOME = ".geo_assets"
"""Under the current folder."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a region's work takes place."""

    region_file: Path
    store: str
    """Folder, or `s3://bucket/prefix`."""
    home: Path
    """Folder for what is ours but no product: the demo archive, caches, Dagster's home."""
    threads: int
    s3_endpoint: str | None = None
    """Address of an S3 service other than AWS."""
    credentials: Credentials = field(default_factory=Credentials)
    """What opens archives that ask who we are."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Self:
        """What GEO_ASSETS_REGION, _STORE, _HOME and _THREADS say, else the demo region under `.geo_assets`.

        Archives' credentials are taken from it as well; `Credentials` names their variables.

        Raises
        ------
        ResourceError
            GEO_ASSETS_THREADS is no whole number from 1 to 256, a path names a user whom there is not, or one of two
            credentials that belong together is missing.
        """
        home = expanded(variables.get("GEO_ASSETS_HOME") or DEFAULT_HOME)
        threads = variables.get("GEO_ASSETS_THREADS") or str(min(os.cpu_count() or 1, 256))
        if not threads.isdecimal() or not 1 <= int(threads) <= 256:
            raise ResourceError(
                f"GEO_ASSETS_THREADS: found {threads!r}, expected a whole number from 1 to 256. "
                "Leave it out to use every core."
            )
        region = variables.get("GEO_ASSETS_REGION")
        return cls(
            region_file=expanded(region) if region else demo_region_file(),
            store=variables.get("GEO_ASSETS_STORE") or str(home / "store"),
            home=home,
            threads=int(threads),
            s3_endpoint=variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL") or None,
            credentials=Credentials.from_environment(variables),
        )

    def s3(self) -> S3Access | None:
        """How an `s3://` store is reached, by boto3's own credential chain; None for a folder."""
        if not self.store.startswith("s3://"):
            return None
        import boto3  # costs 0.2 s, which a local store should not pay

        return S3Access(
            session=boto3.session.Session(),
            endpoint_url=self.s3_endpoint,
            allow_http=(self.s3_endpoint or "").startswith("http://"),
        )


def demo_region_file() -> Path:
    """The region file of the bundled demo."""
    return Path(str(files("geo_assets"))) / "demo" / "region.yaml"


def open_archive(region: Region, home: Path, credentials: Credentials | None = None) -> Archive:
    """The archive that a region names, for its area and months; nothing is asked of it yet.

    Where the L1C of its scenes is looked for in another one, the two are a `PairedArchive`. The demo archive is made
    below `home` on its first use.

    Raises
    ------
    ResourceError
        The demo archive cannot be written.
    RegionError
        The archive has no such collection or level, or the one for L1C has none.
    """
    period = (region.month_list[0].begin, region.month_list[-1].next.begin)
    own = open_named_archive(
        region.archive,
        credentials=credentials,
        home=home,
        catalog_url=region.catalog_url,
        collection=region.collection,
        levels=_searched_levels(region),
        bands=region.bands,
        area=region.geometry,
        period=period,
    )
    companion = _l1c_companion(region, own, credentials or Credentials())
    if companion is None:
        return own
    name, because = companion
    opened = open_named_archive(
        name, credentials=credentials, home=home, levels=("L1C",), area=region.geometry, period=period
    )
    return PairedArchive(own, opened, because=because)


def _l1c_companion(region: Region, own: Archive, credentials: Credentials) -> tuple[str, str] | None:
    """Name of the archive besides the region's own in which the L1C of its scenes is looked for, and why; or None.

    `auto` takes CDSE for archives of Sentinel-2 that list no L1C, where its credentials are at hand: it costs nothing
    but a login. Earth Search's L1C, which the requester pays for, is never taken unless it is named; and who works on
    files of his own, or asks a mirror, is not led elsewhere.

    Raises
    ------
    RegionError
        The archive that the region names for it has no L1C.
    """
    name = region.mask.l1c_archive
    is_sentinel2 = (
        region.grid == "mgrs" and region.archive not in ("hls", "mcd43a4") and region.level in ("auto", "L2A")
    )
    if name == "none" or not is_sentinel2 or not uses_toa(region):
        return None
    if name != "auto":
        if name == region.archive:
            return None
        if name in KNOWN and "L1C" not in KNOWN[name].levels():
            having = ", ".join(facts.name for facts in KNOWN.values() if "L1C" in facts.levels())
            raise RegionError(
                f"mask.l1c_archive: found {name!r}, which has no L1C. "
                f"Write auto, none, {having}, demo or local:PATH there."
            )
        return name, "mask.l1c_archive names it"
    lists_none = isinstance(own, StacApiArchive) and "L1C" not in own.offers()
    if region.catalog_url is not None or not (lists_none or isinstance(own, AutoArchive)):
        return None
    if not any(credentials.has(credential) for credential in CDSE.credentials):
        return None
    return CDSE.name, "the region's archive lists no L1C, and credentials for cdse are at hand"


def open_named_archive(
    name: str,
    *,
    credentials: Credentials | None = None,
    home: Path | None = None,
    catalog_url: str | None = None,
    collection: str | None = None,
    levels: tuple[Level, ...] | None = None,
    bands: tuple[str, ...] = (),
    area: BaseGeometry | None = None,
    period: Period | None = None,
    max_cloud_cover: float | None = None,
) -> Archive:
    """An archive by name; nothing is asked of it yet.

    Parameters
    ----------
    name
        `planetary-computer` (`pc`), `earth-search`, `hls`, `mcd43a4`, `cdse`, `auto`, `demo` or `local:PATH`.
    credentials
        None: none.
    home
        Folder for what is ours but no product: answers of searches, tokens, the demo archive. None keeps answers and
        tokens in memory, and makes the demo archive below `DEFAULT_HOME`.
    catalog_url
        Another address of the archive's STAC API: a mirror.
    collection
        The one collection to use; None: the archive's usual ones.
    levels
        Processing levels to search; None: those of the usual collections.
    bands
        Stable names; `auto` takes an archive that has them.
    area, period
        EPSG:4326, and UTC with the end not included: what will be asked for, in one search. `auto` needs both.
    max_cloud_cover
        Per cent; scenes that state more are not even asked for.

    Raises
    ------
    RegionError
        There is no such archive, collection or level; or `auto` lacks area, period or bands, or has a `catalog_url`.
    ResourceError
        The demo archive cannot be written.
    """
    if name == "demo":
        return _demo_archive(home or Path(DEFAULT_HOME))
    if is_local(name):
        return LocalArchive(Path(name.removeprefix("local:")))
    opening = Opening(
        credentials=credentials or Credentials(),
        home=home,
        catalog_url=catalog_url,
        collection=collection,
        levels=levels,
        area=area,
        period=period,
        max_cloud_cover=max_cloud_cover,
    )
    return _auto_archive(opening, bands) if name == "auto" else open_known(facts_of(name), opening)


def _demo_archive(home: Path) -> Archive:
    try:
        return LocalArchive(ensure_demo_archive(home / "demo"), name="demo")
    except OSError as error:
        raise ResourceError(
            f"Demo archive: cannot be written to {home / 'demo'} ({error.strerror or error}). "
            "Give GEO_ASSETS_HOME a folder that you may write to."
        ) from None


def _auto_archive(opening: Opening, bands: tuple[str, ...]) -> Archive:
    for key, value in (("catalog_url", opening.catalog_url), ("collection", opening.collection)):
        if value is not None:
            raise RegionError(
                f"{key}: found {value!r}, and archive auto chooses among several; name the archive that it belongs to."
            )
    if opening.area is None or opening.period is None or not bands:
        raise RegionError("archive: auto chooses by bands, area and months; give all of them, or name an archive.")
    return AutoArchive(
        Need(bands, opening.area, opening.period),
        lambda facts: open_known(facts, replace(opening, levels=_levels_of(opening, facts.levels()))),
        credentials=opening.credentials,
        folder=None if opening.home is None else opening.home / "searches",
    )


def _levels_of(opening: Opening, levels: tuple[Level, ...]) -> tuple[Level, ...] | None:
    """Those of an archive's levels that are searched; None where it has none of those asked for."""
    return tuple(level for level in levels if level in (opening.levels or ())) or None


def _searched_levels(region: Region) -> tuple[Level, ...] | None:
    """Levels that a region's search needs: L1C only where it is reflectance, or is asked for on purpose.

    That is where a detector that needs it is named, or the archive itself as the one to look for it in; where detectors
    and archive are left to us, it is what the archive searches usually.
    """
    surface: tuple[Level, ...] = ("L2A", "HLS", "NBAR")
    if region.level == "L1C":
        return ("L1C",)
    l1c_archive = region.mask.l1c_archive
    is_looked_for_here = uses_toa(region) and l1c_archive in ("auto", region.archive)
    if is_looked_for_here and (region.mask.detectors != "auto" or l1c_archive != "auto"):
        return (*surface, "L1C")
    return None if is_looked_for_here or region.level == "auto" else surface


def _expect_folder(folder: Path) -> None:
    """Refuse a store in a file's place: looked at only, it would merely seem empty."""
    nearest = next((path for path in (folder, *folder.parents) if os.path.exists(path)), folder)
    if nearest.is_file():
        raise ResourceError(
            f"Store {folder}: {nearest} is a file, expected a folder. Choose another with GEO_ASSETS_STORE."
        )


def open_line(
    region: Region,
    store: str | Path,
    *,
    home: Path = Path(DEFAULT_HOME),
    s3: S3Access | None = None,
    threads: int = 2,
    unit_blocks: int = 2,
    claim: bool = True,
    credentials: Credentials | None = None,
    environment: Mapping[str, str] | None = None,
) -> Line:
    """A region's line, ready to run stations on.

    Parameters
    ----------
    region
        From `read_region`.
    store
        Where products go: a folder, or `s3://bucket/prefix`.
    home
        Folder for the demo archive and caches.
    s3
        Session and endpoint of an `s3://` store; boto3's own chain by default.
    threads, unit_blocks
        Units in flight, and a unit's edge in blocks of 512 pixels; neither changes a byte.
    claim
        Put the region on the store's record. False for looking only: then nothing is written.
    credentials
        What opens an archive that asks who we are; None: none.
    environment
        What programs that the region file names may see, such as an external Fmask; secrets are taken out of it. None:
        a plain PATH.

    Raises
    ------
    ResourceError
        The store cannot be written, or a file is in its place.
    SchemaError
        The store holds another region of this name, or was made by a newer geo_assets.
    """
    products = Products(open_store(str(store), s3=s3), region.name)
    if isinstance(products.store, LocalStore):
        _expect_folder(Path(products.store.url))
    identity = {"tiles": list(region.tile_ids)}
    if claim:
        products.claim_region(identity)
    else:
        with suppress(CorruptProductError):  # a damaged record keeps nobody from looking; `verify` names it
            products.expect_region(identity)
    return Line(
        region,
        products,
        open_archive(region, home, credentials),
        unit_blocks=unit_blocks,
        threads=threads,
        outside=Outside(environment, home / "logs"),
    )
