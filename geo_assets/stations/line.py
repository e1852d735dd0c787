"""The line: one region, its archive and its products, and what it means to run a station on it."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any, Literal, TypeAlias

from geo_assets.domain.region import Region
from geo_assets.domain.tile_month import TileMonth
from geo_assets.io.archives.archive import Archive
from geo_assets.io.detectors.program_run import Outside
from geo_assets.io.manifest import Inputs, ItemInput, fingerprint
from geo_assets.io.products import Build, Place, Product, Products

log = logging.getLogger(__name__)

Scope: TypeAlias = Literal["tile_month", "month", "all"]
"""What one partition of a station is."""


@dataclass(frozen=True, slots=True)
class Line:
    """Everything that a station needs to work on a region."""

    region: Region
    products: Products
    archive: Archive
    unit_blocks: int = 2
    """Edge of a unit of work in raster blocks: what a killed run repeats at most, per thread. Never changes a byte."""
    threads: int = 2
    """Units in flight at a time. Never changes a byte."""
    outside: Outside = field(default_factory=Outside)
    """What programs of others are given, such as an external Fmask."""
    on_unit: Callable[[str, int, int], None] | None = None
    """Told (what, units finished, units in all) as work goes on."""


@dataclass(frozen=True, slots=True)
class Station:
    """One step of the line."""

    name: str
    version: str
    """Raised in the commit that changes what the station writes for the same input."""
    scope: Scope
    summary: str
    settings: Callable[[Region], Mapping[str, Any]]
    """The part of the region file that its result depends on."""
    upstream: Callable[[Line, Place], tuple[Place, ...]]
    """The products it reads."""
    build: Callable[[Line, Place, Build], None]
    """Fills a product."""
    items: Callable[[Line, Place], tuple[ItemInput, ...]] = lambda line, place: ()
    """Inputs from outside the store."""

    def place(self, tile_month: TileMonth) -> Place:
        """Where its product of one tile and month stands."""
        return Place.of(self.name, tile_month)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What running a station did."""

    product: Product
    reused: bool
    """True if the product was there already, with the same fingerprint."""
    seconds: float
    traffic: Mapping[str, int | float] = field(default_factory=dict)
    """What building it asked of the network, by the names of `Meter.snapshot`; nothing if it was there already."""


@cache
def software_versions() -> dict[str, str]:
    """Versions of the libraries whose arithmetic or encoding reaches into the products."""
    return {name: version(name) for name in ("imagecodecs", "numba", "numpy", "pyarrow", "rasterio", "s2cloudless")}


def expected(line: Line, station: Station, place: Place) -> tuple[str, Inputs]:
    """The fingerprint that the product must carry to be done, and the inputs that go into it.

    Raises
    ------
    MissingProductError
        An upstream product has not been made.
    ArchiveError
        The archive cannot be asked.
    """
    upstream = {place.key: line.products.need(place).digest for place in station.upstream(line, place)}
    inputs = Inputs(upstream=upstream, items=station.items(line, place))
    mark = fingerprint(station.name, station.version, station.settings(line.region), inputs.identities())
    return mark, inputs


def run_station(line: Line, station: Station, place: Place) -> Outcome:
    """The station's product at `place`: the finished one if it still holds, else a new one, built and published.

    Raises
    ------
    CorruptProductError
        A file that it would be made from is damaged.
    GeoAssetsError
        Whatever stopped the work; finished units stay, so that running again goes on from there.
    """
    began = time.perf_counter()
    mark, inputs = expected(line, station, place)
    product = line.products.done(place, mark)
    if product is not None:
        return Outcome(product, reused=True, seconds=time.perf_counter() - began)
    with line.products.building(place, fingerprint=mark, inputs=inputs, software=software_versions()) as build:
        if station.scope != "all":  # those read whole files, which are hashed then
            for upstream in station.upstream(line, place):
                line.products.expect_whole(line.products.need(upstream))
        station.build(line, place, build)
    log.info("Built %s in %.1f s", place, time.perf_counter() - began)
    seconds = time.perf_counter() - began
    return Outcome(line.products.need(place), reused=False, seconds=seconds, traffic=build.meter.snapshot())
