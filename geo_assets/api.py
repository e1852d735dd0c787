"""The library door: the same stations as Dagster runs, called as plain functions."""

from collections.abc import Iterable, Iterator

from geo_assets.domain.tile_month import TileMonth
from geo_assets.io.places import Place
from geo_assets.io.region_file import read_region
from geo_assets.stations.catalog import STATIONS
from geo_assets.stations.line import Line, Outcome, run_station
from geo_assets.stations.opening import open_line

__all__ = ["open_line", "places_of", "read_region", "run_line"]


def places_of(line: Line, tile_months: Iterable[TileMonth] | None = None) -> Iterator[Place]:
    """Every product of the given partitions (all by default), in an order in which each finds its inputs made."""
    wanted = tuple(line.region.tile_months if tile_months is None else tile_months)
    for station in STATIONS:
        if station.scope == "tile_month":
            yield from (station.place(tile_month) for tile_month in wanted)
        elif station.scope == "month":
            yield from (Place(station.name, None, month) for month in sorted({one.month for one in wanted}))
        else:
            yield Place(station.name)


def run_line(line: Line) -> Iterator[Outcome]:
    """Run every station of a line on all its tiles and months, one product after the other.

    Yields
    ------
    outcome
        Of each product, when it is done; finished products are found and kept.

    Raises
    ------
    GeoAssetsError
        The first product that cannot be made; what was finished stays.
    """
    by_name = {station.name: station for station in STATIONS}
    for place in places_of(line):
        yield run_station(line, by_name[place.station], place)
