"""The library door: the same stations as Dagster runs, called as plain functions."""

from collections.abc import Iterator

from geo_assets.domain.region import Region
from geo_assets.io.places import Place
from geo_assets.io.region_file import read_region
from geo_assets.stations.catalog import STATION_BY_NAME, STATIONS, station_places
from geo_assets.stations.line import Line, Outcome, run_station
from geo_assets.stations.opening import open_line

__all__ = ["open_line", "places_of", "read_region", "run_line"]


def places_of(region: Region) -> Iterator[Place]:
    """Every product of a region, in an order in which each finds its inputs made."""
    for station in STATIONS:
        yield from station_places(region, station)


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
    for place in places_of(line.region):
        yield run_station(line, STATION_BY_NAME[place.station], place)
