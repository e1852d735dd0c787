"""A line from a region: its archive found, its store opened and claimed."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Self

from geo_assets.demo.archive import ensure_demo_archive
from geo_assets.domain.errors import CorruptProductError, ResourceError
from geo_assets.domain.region import Region
from geo_assets.io.archives.archive import Archive
from geo_assets.io.archives.local import LocalArchive
from geo_assets.io.products import Products
from geo_assets.io.stores.local_store import LocalStore
from geo_assets.io.stores.store import S3Access, expanded, open_store
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

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Self:
        """What GEO_ASSETS_REGION, _STORE, _HOME and _THREADS say, else the demo region under `.geo_assets`.

        Raises
        ------
        ResourceError
            GEO_ASSETS_THREADS is no whole number from 1 to 256, or a path names a user whom there is not.
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


def open_archive(region: Region, home: Path) -> Archive:
    """The archive that a region names; the demo archive is made below `home` on its first use.

    Raises
    ------
    ResourceError
        The demo archive cannot be written.
    """
    if region.archive == "demo":
        try:
            return LocalArchive(ensure_demo_archive(home / "demo"), name="demo")
        except OSError as error:
            raise ResourceError(
                f"Demo archive: cannot be written to {home / 'demo'} ({error.strerror or error}). "
                "Give GEO_ASSETS_HOME a folder that you may write to."
            ) from None
    return LocalArchive(Path(region.archive.removeprefix("local:")))


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
    return Line(region, products, open_archive(region, home), unit_blocks=unit_blocks, threads=threads)
