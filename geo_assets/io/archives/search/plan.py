"""How a search is cut: boxes over the area, and periods that one request covers."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import shapely
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.tile_month import Month

Box: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north, degrees; west < east."""

Period: TypeAlias = tuple[datetime, datetime]
"""From the first instant to the second, which is not included; UTC."""

_MOST_BOXES = 16
_MERGED_UP_TO = 1.25
"""Boxes become one while it is at most so much larger than they are together."""
_SLIVER = 0.01
"""Degrees: what crosses the antimeridian meets a sliver beside it, on whichever side a catalogue has drawn it."""
_REACH = 3.0
"""Degrees: no scene reaches farther beyond the antimeridian into inhabited latitudes."""
_DECIMALS = 5
_CELL = 1.0
"""Degrees."""
_ITEMS_PER_PERIOD = 2_000
_ITEMS_PER_TILE_MONTH = 15
_TILE_KM = 100.0
_KM_PER_DEGREE = 111.2
_MONTHS = (12, 6, 4, 3, 2, 1)


def boxes_over(area: BaseGeometry) -> tuple[Box, ...]:
    """A few boxes that hold an area, in order, rounded outward.

    Parameters
    ----------
    area
        EPSG:4326, longitudes -180..180, split at the antimeridian.

    Notes
    -----
    One box for every part that lies apart, at most 16. Where one ends at the antimeridian, a sliver on the other side
    is asked for as well: catalogues draw a scene that crosses it with longitudes beyond 180, on either side.
    """
    boxes, cell = [_outward(part.bounds) for part in shapely.get_parts(area)], _CELL
    while len(boxes) > 2 * _MOST_BOXES:  # thousands of islands: those of one cell first
        boxes, cell = _merged_by_cell(boxes, cell), 2 * cell
    while (pair := _closest_pair(boxes)) is not None:
        one, other = pair
        boxes = [box for box in boxes if box not in pair] + [_around(one, other)]
    slivers = [sliver for sliver in _slivers(boxes) if not any(_around(sliver, box) == box for box in boxes)]
    return tuple(sorted({*boxes, *slivers}))


def quarters(box: Box) -> tuple[Box, ...]:
    """The box cut in four."""
    west, south, east, north = box
    middle, equator = (west + east) / 2, (south + north) / 2
    return (
        (west, south, middle, equator),
        (middle, south, east, equator),
        (west, equator, middle, north),
        (middle, equator, east, north),
    )


def periods_between(first: datetime, last: datetime, boxes: Sequence[Box], *, collections: int) -> tuple[Period, ...]:
    """A time cut at calendar months, in as few pieces as hold about 2,000 items each.

    Parameters
    ----------
    first, last
        UTC; `last` is not included.
    boxes, collections
        What is searched, from which the number of items is guessed: 15 for a tile, month and collection.

    Notes
    -----
    Pieces are years, halves, thirds and so on, so that a longer period has the same pieces and their cached answers
    serve again.
    """
    monthly = max(1.0, sum(map(_tiles, boxes)) * _ITEMS_PER_TILE_MONTH * collections)
    length = next((months for months in _MONTHS if months * monthly <= _ITEMS_PER_PERIOD), 1)
    pieces, begin = [], first
    while begin < last:
        year, number = begin.year, (begin.month - 1) // length * length + 1
        following = number + length
        end = min(last, Month(year + following // 13, (following - 1) % 12 + 1).begin)
        pieces.append((begin, end))
        begin = end
    return tuple(pieces)


def _outward(bounds: Box) -> Box:
    scale = 10**_DECIMALS
    west, south, east, north = bounds
    return (
        max(-180.0, math.floor(west * scale) / scale),
        max(-90.0, math.floor(south * scale) / scale),
        min(180.0, math.ceil(east * scale) / scale),
        min(90.0, math.ceil(north * scale) / scale),
    )


def _merged_by_cell(boxes: Sequence[Box], cell: float) -> list[Box]:
    """One box for all whose south-western corners lie in the same cell."""
    merged: dict[tuple[int, int], Box] = {}
    for box in boxes:
        place = math.floor(box[0] / cell), math.floor(box[1] / cell)
        merged[place] = _around(box, merged.get(place, box))
    return list(merged.values())


def _closest_pair(boxes: Sequence[Box]) -> tuple[Box, Box] | None:
    """Two boxes that should be one, those first that grow least; None when all may stay."""
    pairs = [
        (_size(_around(one, other)) - _size(one) - _size(other), one, other)
        for place, one in enumerate(boxes)
        for other in boxes[place + 1 :]
    ]
    if not pairs:
        return None
    growth, one, other = min(pairs)
    small = growth <= (_MERGED_UP_TO - 1) * (_size(one) + _size(other))
    return (one, other) if small or len(boxes) > _MOST_BOXES else None


def _around(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _size(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _slivers(boxes: Sequence[Box]) -> list[Box]:
    """At most one on either side of the antimeridian, as long as the boxes near it."""
    near_west = [box for box in boxes if box[0] < -180 + _REACH]
    near_east = [box for box in boxes if box[2] > 180 - _REACH]
    slivers = []
    for near, west, east in ((near_west, 180 - _SLIVER, 180.0), (near_east, -180.0, -180 + _SLIVER)):
        if near:
            slivers.append((west, min(box[1] for box in near), east, max(box[3] for box in near)))
    return slivers


def _tiles(box: Box) -> float:
    """About how many tiles a box reaches."""
    west, south, east, north = box
    width = (east - west) * _KM_PER_DEGREE * math.cos(math.radians((south + north) / 2))
    height = (north - south) * _KM_PER_DEGREE
    return (width / _TILE_KM + 1.1) * (height / _TILE_KM + 1.1)
