"""What surrounds a run: region, store, home and threads. Here, and in the terminal, the environment is read."""

import os
from functools import lru_cache
from pathlib import Path

import dagster as dg
import yaml
from dagster_aws.s3 import S3Resource
from pydantic import Field

from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.region_file import read_region
from geo_assets.io.stores.store import S3Access
from geo_assets.stations.line import Line
from geo_assets.stations.opening import Surroundings, open_line


def surroundings() -> Surroundings:
    """What this process's environment says (GEO_ASSETS_REGION, _STORE, _HOME, _THREADS), else the demo's.

    Raises
    ------
    ResourceError
        One of the variables cannot be used.
    """
    return Surroundings.from_environment(os.environ)


def leaves_last_month_open(region_file: Path) -> bool:
    """True for a sound region file without `months.last`: its months go on as time does."""
    document = yaml.safe_load(region_file.read_text(encoding="utf-8"))
    return document["months"].get("last") is None


class LineResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # its value is the resource itself
    """One region with its archive and its store, opened once in a process."""

    region_file: str = Field(description="Region file, YAML")
    store: str = Field(description="Where products go: a folder, or s3://bucket/prefix")
    home: str = Field(description="Folder for the demo archive and caches")
    threads: int = Field(default=2, ge=1, le=256, description="Units of work in flight at a time; changes no byte")
    s3: S3Resource | None = Field(default=None, description="Session for an s3:// store; holds no secrets of its own")

    def open(self) -> Line:
        """The line, the same object for the same settings.

        Raises
        ------
        GeoAssetsError
            The region file, the archive or the store does not allow it; the message has the remedy.
        """
        return _opened(self.region_file, self.store, self.home, self.threads, s3_access(self.s3) if self.s3 else None)


def line_resource(place: Surroundings) -> LineResource:
    """The resource that opens the line in every run process.

    Credentials never enter it, for Dagster shows a resource's settings to everybody: those of archives come from the
    environment, those of AWS from boto3's own chain (environment, AWS_PROFILE, instance role), in the process that
    needs them.
    """
    remote = place.store.startswith("s3://")
    return LineResource(
        region_file=str(place.region_file),
        store=place.store,
        home=str(place.home),
        threads=place.threads,
        s3=S3Resource(endpoint_url=place.s3_endpoint) if remote else None,
    )


@lru_cache(maxsize=4)
def s3_access(resource: S3Resource) -> S3Access:
    """How the store reaches S3 with the session that `resource` describes."""
    import boto3  # costs 0.2 s, which a local store should not pay

    return S3Access(
        session=boto3.session.Session(profile_name=resource.profile_name, region_name=resource.region_name),
        endpoint_url=resource.endpoint_url,
        region=resource.region_name,
        allow_http=(resource.endpoint_url or "").startswith("http://"),
    )


@lru_cache(maxsize=4)
def _opened(region_file: str, store: str, home: str, threads: int, s3: S3Access | None) -> Line:
    credentials = Credentials.from_environment(os.environ)  # of the run's own process: never in its configuration
    region = read_region(Path(region_file))
    return open_line(
        region,
        store,
        home=Path(home),
        s3=s3,
        threads=threads,
        credentials=credentials,
        environment=dict(os.environ),
    )
