"""Which Sentinel-2 tiles exist, by rule: the numbers behind a tile's five characters.

A tile `33TVL` is UTM zone 33, latitude band T, and the 100 km square VL of the military grid. Here such a
square is three integers: the zone, the column (its west edge lies at easting `column` x 100 km) and the row
(its south edge lies at *signed* northing `row` x 100 km, negative in the south).

ESA's list (S2A_OPER_GIP_TILPAR_MPC__20151209T095117_V20150622T000000_21000101T000000_B00.kml, as found in the
package s2tiling 0.1.1) gives every row of squares one band letter, and keeps in each row one run of columns
per zone. The runs are the same in all zones but the first, the last, and those that are widened or narrowed
round Norway and Svalbard. The tables below were read off that list; they give all of its 56,686 tiles and no
other, and a test holds them to the list's digest.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from geo_assets.domain.errors import RegionError

ZONES = range(1, 61)
"""UTM zones, eastward from 180 W; a zone is 6 degrees wide."""

ROWS = range(-93, 94)
"""Rows of squares, northward; the outermost edges lie near 84 S and 84 N."""

COLUMNS_PER_ZONE = 8
"""Squares at 100-899 km easting: the most that any row of a zone has."""

_COLUMN_LETTERS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
"""Letters of columns 1-8, by zone modulo 3 (MGRS scheme AA)."""

_ROW_LETTERS = "ABCDEFGHJKLMNPQRSTUV"
"""Letters of rows, repeating; odd zones have A at the equator, even zones F."""

_BAND_FIRST_ROW = {
    "C": -93, "D": -80, "E": -71, "F": -62, "G": -53, "H": -44, "J": -35, "K": -27, "L": -18, "M": -9,
    "N": 0, "P": 9, "Q": 18, "R": 27, "S": 35, "T": 44, "U": 53, "V": 62, "W": 71, "X": 80,
}  # fmt: skip
"""Southernmost row of each latitude band, from south to north. ESA never splits a row between two bands."""

_BAND_ROWS = {
    band: range(first, after) for (band, first), (_, after) in pairwise([*_BAND_FIRST_ROW.items(), ("", ROWS.stop)])
}
_BAND_OF_ROW = {row: band for band, rows in _BAND_ROWS.items() for row in rows}

_RUNS = (
    (-93, -92, 5, 5), (-91, -82, 4, 5), (-81, -72, 4, 6), (-71, -61, 3, 6), (-60, -48, 3, 7),
    (-47, -30, 2, 7), (-29, 28, 2, 8), (29, 46, 2, 7), (47, 59, 3, 7), (60, 70, 3, 6),
    (71, 80, 4, 6), (81, 90, 4, 5), (91, 93, 5, 5),
)  # fmt: skip
"""First row, last row, west column, east column: the tiles of an ordinary zone."""

_MOVED_ZONE_EDGES = {
    31: ((63, 69, 3, 5), (79, 80, 4, 7), (81, 90, 4, 6)),
    32: ((63, 70, 2, 6), (79, 79, 5, 6), (80, 93, 1, 0)),
    33: ((79, 80, 3, 7), (81, 85, 3, 6), (86, 90, 4, 6), (91, 93, 4, 5)),
    34: ((79, 79, 5, 6), (80, 93, 1, 0)),
    35: ((79, 80, 3, 7), (81, 85, 3, 6), (86, 90, 4, 6), (91, 93, 4, 5)),
    36: ((79, 79, 5, 6), (80, 93, 1, 0)),
    37: ((79, 80, 3, 6), (81, 85, 3, 5), (91, 93, 4, 5)),
}
"""Runs as in `_RUNS` where Norway (32V) and Svalbard (31X 33X 35X 37X) move the zone edges; 1-0 is empty."""

_NAME = re.compile(r"(\d\d)([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])")


@dataclass(frozen=True, slots=True, order=True)
class Square:
    """A 100 km square of one UTM zone; sorts by zone, then column, then row."""

    zone: int
    """UTM zone, 1-60."""
    column: int
    """West edge in units of 100 km easting, 1-8."""
    row: int
    """South edge in units of 100 km signed northing, -93 to 93."""

    @property
    def tile(self) -> str:
        """Its name, such as `33TVL`."""
        column = _COLUMN_LETTERS[self.zone % 3][self.column - 1]
        row = _ROW_LETTERS[(self.row + _first_letter(self.zone)) % len(_ROW_LETTERS)]
        return f"{self.zone:02d}{_BAND_OF_ROW[self.row]}{column}{row}"


def columns_of(zone: int, row: int) -> range:
    """Columns of the squares that are tiles in one row of one zone; may be empty."""
    for first, last, west, east in _MOVED_ZONE_EDGES.get(zone, ()):
        if first <= row <= last:
            return range(west, east + 1)
    west, east = next((west, east) for first, last, west, east in _RUNS if first <= row <= last)
    # In some rows the outer squares of two zones cover the same ground. ESA keeps the western zone's, so runs
    # are a column short in the west; but across 180 degrees zone 1 keeps its own, and zone 60 is short in the
    # east.
    if west + east > COLUMNS_PER_ZONE + 1:
        west, east = west - (zone == ZONES[0]), east - (zone == ZONES[-1])
    return range(west, east + 1)


def square_of(tile: str) -> Square:
    """The square that is called `tile`; `RegionError` if no Sentinel-2 tile has that name."""
    square = _square_named(tile)
    if square is None:
        raise RegionError(
            f"Tile: found {tile!r}, expected a tile of ESA's Sentinel-2 list, such as 33TVL: zone with "
            "two digits, band and square, in capitals, without a leading T. Correct it, or give an area."
        )
    return square


def tile_exists(tile: str) -> bool:
    """Whether ESA's Sentinel-2 list has a tile of that name."""
    return _square_named(tile) is not None


def _square_named(tile: str) -> Square | None:
    match = _NAME.fullmatch(tile)
    if match is None or int(match[1]) not in ZONES:
        return None
    zone = int(match[1])
    column = _COLUMN_LETTERS[zone % 3].find(match[3]) + 1
    letter = _ROW_LETTERS.index(match[4])
    for row in _BAND_ROWS[match[2]]:
        if (row + _first_letter(zone)) % len(_ROW_LETTERS) == letter and column in columns_of(zone, row):
            return Square(zone, column, row)
    return None


def _first_letter(zone: int) -> int:
    return 0 if zone % 2 else _ROW_LETTERS.index("F")
