"""Lines over archives that are reached by HTTP, with the clock and the patience that a test wants."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from geo_assets.domain.region import Region, region_from
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.known import Opening, facts_of, open_known
from geo_assets.io.archives.stac_api import StacApiArchive
from geo_assets.io.wire.exchange import Wire
from geo_assets.stations.line import Line
from geo_assets.stations.opening import open_line
from geo_assets_tests.scenery.clock import Clock
from geo_assets_tests.scenery.remote_catalogues import Acquisition


def remote_region(archive: str, catalog_url: str, seen: Sequence[Acquisition], **settings: Any) -> Region:
    """A region over the ground of acquisitions in June 2024; `settings` are keys of the region file."""
    usual: dict[str, Any] = {
        "name": "remote",
        "archive": archive,
        "catalog_url": catalog_url,
        "area": area_over(seen),
        "months": {"first": "2024-06", "last": "2024-06"},
        "bands": ["red", "nir"],
        "resolution": 20,
        "selection": {"top_k": 2},
        "mosaic": {"feather_m": 60},
    }
    return region_from({**usual, **settings})


def area_over(seen: Sequence[Acquisition], *, margin_m: float = 120.0) -> dict[str, Any]:
    """GeoJSON of boxes inside the acquisitions' grounds, one for each ground."""
    boxes = sorted({one.area(margin_m=margin_m) for one in seen})
    rings = [[[w, s], [e, s], [e, n], [w, n], [w, s]] for w, s, e, n in boxes]
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}


def remote_line(region: Region, store: Path, *, credentials: Credentials | None = None, threads: int = 2) -> Line:
    """The region's line, as the doors open it."""
    return open_line(region, store, home=store.parent / "home", threads=threads, credentials=credentials, unit_blocks=1)


def with_clock(line: Line, clock: Clock, *, home: Path | None = None) -> Line:
    """The same line, its archive asking the test's clock what time it is."""
    region = line.region
    opening = Opening(
        home=home,
        catalog_url=region.catalog_url,
        area=region.geometry,
        period=(region.month_list[0].begin, region.month_list[-1].next.begin),
        now=clock.now,
    )
    return replace(line, archive=open_known(facts_of(region.archive), opening))


def with_patience(line: Line, *, patience_s: float, read_s: float) -> Line:
    """The same line, its archive giving up on a server after so many real seconds."""
    archive = line.archive
    assert isinstance(archive, StacApiArchive)
    archive.access.wire = Wire(archive.access.rule, patience_s=patience_s, read_s=read_s, connect_s=read_s)
    return line
