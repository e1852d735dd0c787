"""Where a command works: its region file, its store, and the environment, which no other room of this door reads."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from geo_assets.domain.region import Region
from geo_assets.stations.line import Line
from geo_assets.stations.opening import Surroundings, open_line

region_argument: Callable[..., Any] = click.argument(
    "region_file", required=False, type=click.Path(path_type=Path), metavar="[REGION]"
)
store_option: Callable[..., Any] = click.option(
    "--store", help="Where products go: a folder or s3://bucket/prefix [GEO_ASSETS_STORE]"
)


def environment() -> dict[str, str]:
    """A copy of the process environment."""
    return dict(os.environ)


def surroundings(region_file: Path | None, store: str | None) -> Surroundings:
    """What the command's arguments say, and else the environment."""
    variables = environment()
    if region_file is not None:
        variables["GEO_ASSETS_REGION"] = str(region_file)
    if store is not None:
        variables["GEO_ASSETS_STORE"] = store or " "  # an empty name is refused rather than taken for none
    return Surroundings.from_environment(variables)


def open_region(around: Surroundings, found: Region, *, claim: bool = True) -> Line:
    """The region's line; without `claim` for looking only."""
    return open_line(
        found,
        around.store,
        home=around.home,
        s3=around.s3(),
        threads=around.threads,
        claim=claim,
        credentials=around.credentials,
        environment=environment(),
    )
