"""What the demo archive shall contain: its tiles, window, months and pixel sizes."""

from dataclasses import asdict, dataclass, fields
from math import ceil, floor

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geo_assets.domain.errors import RegionError
from geo_assets.domain.tile_grid import TILE_EDGE_M, TILE_RESOLUTIONS_M, tile_epsg, tile_geobox
from geo_assets.domain.tile_month import Month

LATTICE_M = 60
"""Extents are multiples of this, so that 10, 20 and 60 m pixels nest."""

MOST_ACQUISITIONS = 10
"""Overpasses of two orbits that any month has, February included."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """A made-up archive: a square window over the common corner of four tiles, some months, some overpasses.

    The default is 15 km of the Sava valley: neighbouring tiles overlap by 9.8 km in its middle, and on all
    sides remains ground that a single tile sees.
    """

    tiles: tuple[str, str, str, str] = ("33TVM", "33TWM", "33TVL", "33TWL")
    """Upper left, upper right, lower left, lower right: neighbours in one UTM zone."""
    window_m: int = 15_000
    """Edge of the window, centred on the ground that all four tiles share; above about 10 km, seams exist."""
    months: tuple[str, ...] = ("2024-06", "2024-07")
    """`YYYY-MM`, in order."""
    acquisitions: int = 5
    """Overpasses a month; the first five differ in weather as a month should, further ones are cloudy."""
    l2a_resolution: int = 20
    """Pixel size of L2A bands, SCL and the truth, metres."""
    l1c_resolution: int = 60
    """Pixel size of all L1C bands, metres."""
    seed: int = 20240601
    """Another seed, another landscape and other weather."""

    def __post_init__(self) -> None:
        self._check_numbers()
        for month in self.months:
            Month.parse(month)
        if not self.months or list(self.months) != sorted(set(self.months)):
            raise RegionError(f"Demo plan, months: found {self.months}, expected at least one, distinct, in order.")
        _check_neighbours(self.tiles)
        west, south, east, north = self.window_bounds
        upper_left, lower_right = _bounds(self.tiles[0]), _bounds(self.tiles[3])
        if west < upper_left[0] or north > upper_left[3] or east > lower_right[2] or south < lower_right[1]:
            raise RegionError(
                f"Demo plan, window_m: found {self.window_m}, which reaches beyond tiles {self.tiles}; "
                f"expected at most about {2 * TILE_EDGE_M - 10_000}. Make it smaller."
            )

    def _check_numbers(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and (type(value) is not int or value < 0):
                raise RegionError(f"Demo plan, {field.name}: found {value!r}, expected a whole number, not negative.")
        if self.window_m % LATTICE_M or self.window_m < 1_200:
            raise RegionError(
                f"Demo plan, window_m: found {self.window_m}, expected a multiple of {LATTICE_M} m, at least 1200."
            )
        if not 1 <= self.acquisitions <= MOST_ACQUISITIONS:
            raise RegionError(f"Demo plan, acquisitions: found {self.acquisitions}, expected 1 to {MOST_ACQUISITIONS}.")
        sizes = (self.l2a_resolution, self.l1c_resolution)
        if any(size not in TILE_RESOLUTIONS_M for size in sizes) or sizes[1] % sizes[0]:
            raise RegionError(
                f"Demo plan, l2a_resolution and l1c_resolution: found {sizes} m, "
                f"expected two of {TILE_RESOLUTIONS_M}, the second a multiple of the first."
            )

    @property
    def epsg(self) -> int:
        """UTM zone of the tiles."""
        return tile_epsg(self.tiles[0])

    @property
    def window_bounds(self) -> tuple[int, int, int, int]:
        """West, south, east, north of the window, metres, on the tiles' 60 m lattice."""
        west, south, east, north = _shared_ground(self.tiles)
        left = west + floor(((east - west) - self.window_m) / 2 / LATTICE_M) * LATTICE_M
        top = north - floor(((north - south) - self.window_m) / 2 / LATTICE_M) * LATTICE_M
        return left, top - self.window_m, left + self.window_m, top

    def window(self, resolution: int) -> GeoBox:
        """Grid of the whole window."""
        return _geobox(self.window_bounds, resolution, self.epsg)

    def part_bounds(self, tile: str) -> tuple[int, int, int, int]:
        """West, south, east, north of the window's part inside a tile, metres."""
        window, whole = self.window_bounds, _bounds(tile)
        return (
            max(window[0], whole[0]),
            max(window[1], whole[1]),
            min(window[2], whole[2]),
            min(window[3], whole[3]),
        )

    def part(self, tile: str, resolution: int) -> GeoBox:
        """Grid of the window's part inside a tile: what a scene's files cover."""
        return _geobox(self.part_bounds(tile), resolution, self.epsg)

    def part_slices(self, tile: str, resolution: int) -> tuple[slice, slice]:
        """Where `part` lies in `window`: rows and columns."""
        window, part = self.window_bounds, self.part_bounds(tile)
        rows = slice((window[3] - part[3]) // resolution, (window[3] - part[1]) // resolution)
        columns = slice((part[0] - window[0]) // resolution, (part[2] - window[0]) // resolution)
        return rows, columns

    @property
    def area(self) -> tuple[float, float, float, float]:
        """West, south, east, north of a box inside the window, in whole 1e-4 degrees; EPSG:4326."""
        west, south, east, north = self.window_bounds
        to_degrees = Transformer.from_crs(self.epsg, 4326, always_xy=True).transform
        eastings, northings = np.linspace(west, east, 41), np.linspace(south, north, 41)
        return (
            ceil(1e4 * to_degrees(np.full(41, west), northings)[0].max()) / 1e4,
            ceil(1e4 * to_degrees(eastings, np.full(41, south))[1].max()) / 1e4,
            floor(1e4 * to_degrees(np.full(41, east), northings)[0].min()) / 1e4,
            floor(1e4 * to_degrees(eastings, np.full(41, north))[1].min()) / 1e4,
        )

    @property
    def identity(self) -> dict[str, object]:
        """All fields as JSON values: plans with equal identities make equal archives."""
        return asdict(self)


def _bounds(tile: str) -> tuple[int, int, int, int]:
    """West, south, east, north of a whole tile, metres."""
    box = tile_geobox(tile, LATTICE_M).boundingbox
    return round(box.left), round(box.bottom), round(box.right), round(box.top)


def _shared_ground(tiles: tuple[str, ...]) -> tuple[int, int, int, int]:
    """West, south, east, north of what all tiles see, metres."""
    wests, souths, easts, norths = zip(*(_bounds(tile) for tile in tiles), strict=True)
    return max(wests), max(souths), min(easts), min(norths)


def _check_neighbours(tiles: tuple[str, ...]) -> None:
    """`RegionError` unless the tiles are a 2 x 2 block in reading order, in one zone."""
    expected = "upper left, upper right, lower left and lower right of a 2 x 2 block of tiles in one UTM zone"
    if len(tiles) != 4 or len({tile_epsg(tile) for tile in tiles}) != 1:
        raise RegionError(f"Demo plan, tiles: found {tiles}, expected {expected}. See {DemoPlan().tiles}.")
    corners = [_bounds(tile)[0::3] for tile in tiles]
    columns, rows = sorted({left for left, _ in corners}), sorted({top for _, top in corners}, reverse=True)
    in_order = [(left, top) for top in rows for left in columns]
    apart = [side[-1] - side[0] for side in (columns, rows[::-1])]
    if corners != in_order or len(columns) != 2 or not all(step < TILE_EDGE_M for step in apart):
        raise RegionError(f"Demo plan, tiles: found {tiles}, expected {expected}. See {DemoPlan().tiles}.")


def _geobox(bounds: tuple[int, int, int, int], resolution: int, epsg: int) -> GeoBox:
    west, south, east, north = bounds
    shape = ((north - south) // resolution, (east - west) // resolution)
    return GeoBox(shape, Affine(resolution, 0, west, 0, -resolution, north), f"EPSG:{epsg}")
