"""A map of a region: its area, the tiles that cover it, and where on Earth that is."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import shapely
from PIL import Image, ImageDraw
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.errors import RegionError
from geo_assets.io.pictures.legend import BLUE, HAIRLINE, INK, PAPER, QUIET_INK, Colour, shortened, text_width, write

_LONGEST_PX = 900
_SHORTEST_PX = 360
_MARGIN_SHARE = 0.06  # empty ground around the tiles
_LEFT, _TOP, _RIGHT, _BOTTOM = 84, 92, 36, 88
_TEXT_PX = 14
_OVERSAMPLE = 3  # lines are drawn this much larger and shrunk, which smooths them
_KM_PER_DEGREE = 111.32  # along a meridian, and along the equator (WGS 84, to 0.6 %)
_GRATICULE_STEPS = (
    45.0,
    30.0,
    20.0,
    10.0,
    5.0,
    2.0,
    1.0,
    0.5,
    0.2,
    0.1,
    0.05,
    0.02,
    0.01,
    0.005,
    0.002,
    0.001,
)
_LOCATOR_PX = 16  # an area smaller than this gets a ring round it
_GRATICULE_PX = 110  # at least this far apart, so that labels do not touch
_TITLE_PX = 24
_LABEL_SIZES_PX = (18, 16, 14, 12, 11)
_LABEL_HEIGHTS = (0.5, 0.75, 0.25)  # of the tile, tried in turn
_CROWD = 30  # more tiles than this get thinner lines
_GROUND: Colour = (246, 247, 249)
_TILE_FILL: Colour = (221, 234, 242)
_TILE_INK: Colour = (0, 72, 116)
_AREA_FILL: Colour = (240, 198, 112)
_AREA_INK: Colour = (166, 106, 0)


_Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the map."""


@dataclass(frozen=True, slots=True)
class _View:
    """An equirectangular map, true to scale at its middle latitude."""

    west: float
    north: float
    east: float
    south: float
    width: int
    height: int

    @property
    def px_per_km(self) -> float:
        """Scale along the parallel through the middle."""
        middle = math.radians((self.north + self.south) / 2)
        return self.width / ((self.east - self.west) * _KM_PER_DEGREE * _cosine(middle))

    def position(self, longitude: float, latitude: float) -> tuple[float, float]:
        """Pixels from the upper left corner of the map."""
        x = (longitude - self.west) / (self.east - self.west) * self.width
        return x, (self.north - latitude) / (self.north - self.south) * self.height


def region_map(area: BaseGeometry, tiles: Mapping[str, BaseGeometry], *, title: str) -> Image.Image:
    """The outlines of tiles over the area they serve.

    Parameters
    ----------
    area : shapely geometry, EPSG:4326
        Filled. Parts on both sides of the antimeridian are drawn together.
    tiles : tile name -> shapely geometry, EPSG:4326
        Outlined and labelled; where labels would touch, later ones are left out and the legend says how many.
    title : str
        One line above the map.

    Returns
    -------
    map : RGB image
        Up to about 1020 x 1080 px, with a graticule in degrees and a bar of kilometres, which holds at the
        middle latitude. An area too small to see has a ring round it.

    Raises
    ------
    RegionError
        Neither the area nor any tile has an extent.
    """
    start = _first_longitude([area, *tiles.values()])
    ground = _joined(area, start)
    outlines = {name: _joined(tile, start) for name, tile in tiles.items()}
    view = _view([ground, *outlines.values()])
    size = (view.width + _LEFT + _RIGHT, view.height + _TOP + _BOTTOM)
    sheet = Image.new("RGB", size, PAPER)
    sheet.paste(_drawing(view, ground, outlines), (_LEFT, _TOP))
    draw = ImageDraw.Draw(sheet)
    _write_graticule(draw, view)
    draw.rectangle((_LEFT - 1, _TOP - 1, _LEFT + view.width, _TOP + view.height), outline=QUIET_INK)
    ring = _locator(view, ground)
    if ring:
        left, top, right, bottom = ring
        edges = (_LEFT + left, _TOP + top, _LEFT + right, _TOP + bottom)
        draw.ellipse(edges, outline=_AREA_INK, width=3)
    labelled = _label_tiles(draw, view, outlines, [ring] if ring else [])
    _write_heading(draw, view, title, len(tiles), labelled)
    _draw_scale_bar(draw, view)
    return sheet


def _first_longitude(geometries: list[BaseGeometry]) -> float:
    """Longitude to start the map at: the eastern end of the widest gap that no part covers."""
    spans: list[tuple[float, float]] = sorted(
        (part.bounds[0], part.bounds[2]) for geometry in geometries for part in _parts(geometry)
    )
    if not spans:
        raise RegionError(
            "Region map: found no area and no tiles with an extent, expected at least one. "
            "Give the region an area on land or sea that tiles cover."
        )
    first, reach = spans[0]
    start, widest = first, 0.0
    for west, east in spans[1:]:
        if west - reach > widest:
            widest, start = west - reach, west
        reach = max(reach, east)
    # If the gap from the last part over the antimeridian to the first is the widest, nothing needs to move.
    return first if first + 360 - reach >= widest else start


def _parts(geometry: BaseGeometry) -> Iterator[Polygon]:
    """The polygons in a geometry; points and lines have no ground to show."""
    for part in shapely.get_parts(geometry):
        if isinstance(part, MultiPolygon):
            yield from _parts(part)
        elif isinstance(part, Polygon) and not part.is_empty:
            yield part


def _joined(geometry: BaseGeometry, start: float) -> BaseGeometry:
    """The geometry in longitudes from `start` on, without the seam that the antimeridian cuts."""
    moved = [translate(part, xoff=360) if part.bounds[0] < start - 1e-9 else part for part in _parts(geometry)]
    return shapely.union_all(moved)


def _view(geometries: list[BaseGeometry]) -> _View:
    west, south, east, north = shapely.total_bounds(geometries).tolist()
    middle = _cosine(math.radians((south + north) / 2))
    # At least 1 km is shown, so that a point-like area has a map too.
    margin = max(_MARGIN_SHARE * max((east - west) * middle, north - south), 0.5 / _KM_PER_DEGREE)
    west, east = west - margin / middle, east + margin / middle
    south, north = max(-90.0, south - margin), min(90.0, north + margin)
    across, down = (east - west) * middle, north - south
    scale = _LONGEST_PX / max(across, down)
    width, height = max(_SHORTEST_PX, round(across * scale)), max(_SHORTEST_PX, round(down * scale))
    # A strip is widened with ground, not stretched.
    spare_across = (width / scale - across) / middle / 2
    spare_down = (height / scale - down) / 2
    return _View(west - spare_across, north + spare_down, east + spare_across, south - spare_down, width, height)


def _cosine(latitude: float) -> float:
    return max(0.05, math.cos(latitude))  # the poles themselves would need an endless map


def _drawing(view: _View, ground: BaseGeometry, outlines: Mapping[str, BaseGeometry]) -> Image.Image:
    """Graticule, area and outlines, smooth."""
    size = (view.width * _OVERSAMPLE, view.height * _OVERSAMPLE)
    image = Image.new("RGB", size, _GROUND)
    image.paste(_TILE_FILL, mask=_stencil(view, shapely.union_all(list(outlines.values()))))
    image.paste(_AREA_FILL, mask=_stencil(view, ground))
    draw = ImageDraw.Draw(image)
    for longitude in _meridians(view):
        x = view.position(longitude, view.north)[0] * _OVERSAMPLE
        draw.line((x, 0, x, size[1]), fill=HAIRLINE, width=_OVERSAMPLE)
    for latitude in _parallels(view):
        y = view.position(view.west, latitude)[1] * _OVERSAMPLE
        draw.line((0, y, size[0], y), fill=HAIRLINE, width=_OVERSAMPLE)
    line = _OVERSAMPLE if len(outlines) > _CROWD else 2 * _OVERSAMPLE
    for outline in outlines.values():
        _draw_rings(draw, view, outline, BLUE, line)
    _draw_rings(draw, view, ground, _AREA_INK, 2 * _OVERSAMPLE)
    return image.resize((view.width, view.height), Image.Resampling.LANCZOS)


def _stencil(view: _View, geometry: BaseGeometry) -> Image.Image:
    """1-bit image of where the geometry is, holes left out, at the drawing's size."""
    stencil = Image.new("1", (view.width * _OVERSAMPLE, view.height * _OVERSAMPLE), 0)
    draw = ImageDraw.Draw(stencil)
    for part in _parts(geometry):
        draw.polygon(_drawn(view, part.exterior.coords), fill=1)
        for hole in part.interiors:
            draw.polygon(_drawn(view, hole.coords), fill=0)
    return stencil


def _draw_rings(draw: ImageDraw.ImageDraw, view: _View, geometry: BaseGeometry, colour: Colour, width: int) -> None:
    for part in _parts(geometry):
        for ring in (part.exterior, *part.interiors):
            draw.line(_drawn(view, ring.coords), fill=colour, width=width, joint="curve")


def _drawn(view: _View, coordinates: shapely.coords.CoordinateSequence) -> list[tuple[float, float]]:
    positions = (view.position(longitude, latitude) for longitude, latitude, *_ in coordinates)
    return [(x * _OVERSAMPLE, y * _OVERSAMPLE) for x, y in positions]


def _meridians(view: _View) -> list[float]:
    return _whole_steps(view.west, view.east, view.width)


def _parallels(view: _View) -> list[float]:
    return _whole_steps(view.south, view.north, view.height)


def _whole_steps(low: float, high: float, length_px: int) -> list[float]:
    """Multiples of a round step between `low` and `high`, as dense as labels allow."""
    fitting = [step for step in _GRATICULE_STEPS if step / (high - low) * length_px >= _GRATICULE_PX]
    step = fitting[-1] if fitting else _GRATICULE_STEPS[0]
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 9) for number in range(first, last + 1)]


def _write_graticule(draw: ImageDraw.ImageDraw, view: _View) -> None:
    for longitude in _meridians(view):
        x = _LEFT + view.position(longitude, view.north)[0]
        below = _TOP + view.height
        draw.line((x, below, x, below + 5), fill=QUIET_INK)
        write(draw, (x, below + 9), _degrees(_wrapped(longitude), "EW"), _TEXT_PX, colour=QUIET_INK, anchor="ma")
    for latitude in _parallels(view):
        y = _TOP + view.position(view.west, latitude)[1]
        draw.line((_LEFT - 6, y, _LEFT - 1, y), fill=QUIET_INK)
        write(draw, (_LEFT - 10, y), _degrees(latitude, "NS"), _TEXT_PX, colour=QUIET_INK, anchor="rm")


def _wrapped(longitude: float) -> float:
    """Longitude between -180 and 180."""
    return round((longitude + 180) % 360 - 180, 9)


def _degrees(value: float, hemispheres: str) -> str:
    """Degrees with the hemisphere's letter; none at 0 and 180, which belong to both."""
    number = f"{abs(value):.3f}".rstrip("0").rstrip(".")
    if value == 0 or abs(value) == 180:
        return f"{number}°"
    return f"{number}°{hemispheres[0] if value > 0 else hemispheres[1]}"


def _locator(view: _View, ground: BaseGeometry) -> _Box | None:
    """Where a ring goes round an area that would be overlooked."""
    if ground.is_empty:
        return None
    west, south, east, north = ground.bounds
    (left, top), (right, bottom) = view.position(west, north), view.position(east, south)
    if max(right - left, bottom - top) >= _LOCATOR_PX:
        return None
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - _LOCATOR_PX, y - _LOCATOR_PX, x + _LOCATOR_PX, y + _LOCATOR_PX


def _label_tiles(
    draw: ImageDraw.ImageDraw, view: _View, outlines: Mapping[str, BaseGeometry], taken: list[_Box]
) -> int:
    """Write the names that have room beside what is `taken`, in the order of the tiles; return how many."""
    size = _label_size(view, outlines)
    labelled = 0
    for name, outline in outlines.items():
        if outline.is_empty:
            continue
        west, south, east, north = outline.bounds
        half_width, half_height = text_width(name, size) / 2 + 3, size / 2 + 3
        for share in _LABEL_HEIGHTS:
            x, y = view.position((west + east) / 2, south + share * (north - south))
            box = (x - half_width, y - half_height, x + half_width, y + half_height)
            if all(_apart(box, other) for other in taken):
                taken.append(box)
                labelled += 1
                centre = (_LEFT + x, _TOP + y)
                write(draw, centre, name, size, colour=_TILE_INK, anchor="mm", bold=size > 12, halo=PAPER)
                break
    return labelled


def _label_size(view: _View, outlines: Mapping[str, BaseGeometry]) -> int:
    """The largest size in which every name fits into its tile, or the smallest there is."""

    def fits(size_px: int) -> bool:
        widths = {name: outline.bounds[2] - outline.bounds[0] for name, outline in outlines.items()}
        per_degree = view.width / (view.east - view.west)
        return all(text_width(name, size_px) + 6 <= width * per_degree for name, width in widths.items())

    return next((size_px for size_px in _LABEL_SIZES_PX if fits(size_px)), _LABEL_SIZES_PX[-1])


def _apart(box: _Box, other: _Box) -> bool:
    return box[2] < other[0] or other[2] < box[0] or box[3] < other[1] or other[3] < box[1]


def _write_heading(draw: ImageDraw.ImageDraw, view: _View, title: str, tiles: int, labelled: int) -> None:
    write(draw, (_LEFT, 24), shortened(title, _TITLE_PX, width_px=view.width), _TITLE_PX, anchor="lt", bold=True)
    names = "1 tile" if tiles == 1 else f"{tiles} tiles"
    if labelled < tiles:
        names += f", {labelled} of them named"
    left = _LEFT
    for label, fill, edge in (("area", _AREA_FILL, _AREA_INK), (names, _TILE_FILL, BLUE)):
        draw.rectangle((left, 62, left + 18, 76), fill=fill, outline=edge, width=2)
        write(draw, (left + 26, 69), label, _TEXT_PX, anchor="lm")
        left += 26 + text_width(label, _TEXT_PX) + 24


def _draw_scale_bar(draw: ImageDraw.ImageDraw, view: _View) -> None:
    """A bar of a round length, about a quarter of the map's width."""
    longest_km = 0.3 * view.width / view.px_per_km
    power = 10.0 ** math.floor(math.log10(longest_km))
    length_km = max(step * power for step in (1, 2, 5) if step * power <= longest_km)
    length_px = round(length_km * view.px_per_km)
    y = _TOP + view.height + 52
    half = length_px // 2
    draw.rectangle((_LEFT, y, _LEFT + length_px, y + 6), fill=PAPER, outline=INK)
    draw.rectangle((_LEFT, y, _LEFT + half, y + 6), fill=INK)
    label = f"{length_km:g} km" if length_km >= 1 else f"{1000 * length_km:g} m"
    write(draw, (_LEFT + length_px + 10, y + 3), label, _TEXT_PX, anchor="lm")
