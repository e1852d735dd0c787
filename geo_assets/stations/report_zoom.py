"""Where two tiles differ most along an edge, at full resolution: the tiles laid over each other, and the mosaic."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image

from geo_assets.domain.arrays import NODATA_REFLECTANCE
from geo_assets.domain.region import Region
from geo_assets.domain.tile_month import Month
from geo_assets.io.pictures.photos import alike_stretched
from geo_assets.io.pictures.preview import crop_to_valid
from geo_assets.io.places import Place
from geo_assets.io.placing import PlacedRaster, Placement
from geo_assets.io.rasters import raster_geobox
from geo_assets.kernels.mosaicking.seams import SEGMENT_PX
from geo_assets.stations.composite import COMPOSITE_FILE, MONTHLY_COMPOSITE
from geo_assets.stations.line import Line
from geo_assets.stations.mosaic_grid import mosaic_ground, mosaic_placement, neighbours_of
from geo_assets.stations.mosaicking.rectangles import Rectangle, footprint_of
from geo_assets.stations.region_mosaic import REGION_FILE, REGION_MOSAIC

ZOOM_PX = 320
"""Edge of the pictures, in pixels of the mosaic."""

PROBE_PX = 64
"""Edge of the windows in which tiles are compared."""

_MOST_PROBES = 48


@dataclass(frozen=True, slots=True)
class Zoom:
    """One stretch of a tile's edge."""

    tile: str
    """Whose edge runs through the middle."""
    other: str
    """The tile that goes on beyond it."""
    difference: float
    """How far the two differ there in the mean, reflectance, in the band where they differ most."""
    band: str
    shape: tuple[int, int]
    """Rows and columns of the pictures, in pixels of the mosaic; they are drawn enlarged."""
    before: Image.Image
    after: Image.Image


def worst_edge(line: Line, month: Month, tiles: Sequence[str], *, near: str | None = None) -> Zoom | None:
    """The place where laying tiles over each other shows most.

    Parameters
    ----------
    line, month
        Whose composites and region mosaic are made.
    tiles
        Those whose composites have data.
    near
        Only edges that this tile is a party to, if it is one of them.

    Returns
    -------
    zoom
        None where no two tiles share ground with data, as on the MODIS grid. Edges are looked at in at most 48 places.
    """
    region = line.region
    near = near if near in tiles else None
    around = sorted(set(tiles) if near is None else set(tiles) & set(neighbours_of(region, near)))
    pairs = [
        (first, second)
        for first, second in combinations(around, 2)
        if near in (None, first, second) and second in neighbours_of(region, first)
    ]
    sources = {
        tile: PlacedRaster(
            line.products.need(Place(MONTHLY_COMPOSITE.name, tile, month)).path(COMPOSITE_FILE),
            mosaic_placement(region, tile),
        )
        for tile in (around if pairs else ())
    }
    worst: tuple[float, int, Rectangle, str, str] | None = None
    for first, second, probe in _probes(region, pairs):
        found = _difference(sources[first], sources[second], probe)
        if found is not None and (worst is None or found[0] > worst[0]):
            worst = (*found, probe, first, second)
    if worst is None:
        return None
    difference, band, probe, first, second = worst
    window = probe.grown((ZOOM_PX - PROBE_PX) // 2)
    before, after = _hard(sources, window), _from(_region_mosaic(line, month), window)
    rows, cols = crop_to_valid(before, after, margin_px=0)
    shown = _bands_shown(region)
    right, left = alike_stretched(after[shown, rows, cols], before[shown, rows, cols], enlarged=2)
    shape = (rows.stop - rows.start, cols.stop - cols.start)
    return Zoom(first, second, difference * 1e-4, region.bands[band], shape, left, right)


def _probes(region: Region, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, Rectangle]]:
    """Small windows along the edge of each pair's first tile inside the second, within the area; evenly thinned."""
    probes = []
    for first, second in pairs:
        own, other = mosaic_placement(region, first), mosaic_placement(region, second)
        edge = own.outline.boundary.intersection(other.outline).intersection(mosaic_ground(region, first).area)
        size = own.geobox.resolution.x
        number = int(np.ceil(edge.length / (SEGMENT_PX * size)))
        for part in range(number):
            place = _along(edge, (part + 0.5) / number)
            col = own.col + round((place.x - own.geobox.transform.c) / size)
            row = own.row + round((own.geobox.transform.f - place.y) / size)
            half = PROBE_PX // 2
            probes.append((first, second, Rectangle(row - half, col - half, PROBE_PX, PROBE_PX)))
    step = max(1, -(-len(probes) // _MOST_PROBES))
    yield from probes[::step]


def _along(edge: Any, share: float) -> shapely.Point:
    """A point on a line that may have several parts."""
    parts = [part for part in getattr(edge, "geoms", [edge]) if part.length > 0]
    left = share * sum(part.length for part in parts)
    for part in parts:
        if left <= part.length:
            return part.interpolate(left)
        left -= part.length
    return parts[-1].interpolate(parts[-1].length)


def _difference(first: PlacedRaster, second: PlacedRaster, probe: Rectangle) -> tuple[float, int] | None:
    """How far two tiles differ in the mean, counts, and in which band; None where they share too little."""
    one, other = _from(first, probe), _from(second, probe)
    common = (one != NODATA_REFLECTANCE).all(axis=0) & (other != NODATA_REFLECTANCE).all(axis=0)
    if common.sum() < PROBE_PX * PROBE_PX // 8:
        return None
    means = np.abs(one[:, common].astype(np.float64).mean(axis=1) - other[:, common].astype(np.float64).mean(axis=1))
    band = int(means.argmax())
    return float(means[band]), band


def _from(source: PlacedRaster, window: Rectangle) -> NDArray[np.int16]:
    """(band, y, x) of a window that may reach beyond the source: nodata there."""
    values = np.full((source.bands, window.height, window.width), NODATA_REFLECTANCE, np.int16)
    common = footprint_of(source).common(window)
    if not common.is_empty:
        rows, cols = common.slices_in(window)
        values[:, rows, cols] = source.window(
            common.row - source.row, common.col - source.col, common.height, common.width
        )
    return values


def _hard(sources: Mapping[str, PlacedRaster], window: Rectangle) -> NDArray[np.int16]:
    """The first tile by id that has data, pixel by pixel: what the naive figures are measured on."""
    values: NDArray[np.int16] | None = None
    for _, source in sorted(sources.items()):
        if footprint_of(source).common(window).is_empty:
            continue
        found = _from(source, window)
        values = found if values is None else np.where(values == NODATA_REFLECTANCE, found, values)
    assert values is not None  # the probe had data
    return values


def _region_mosaic(line: Line, month: Month) -> PlacedRaster:
    """The region's raster on the lattice of its tiles."""
    path = line.products.need(Place(REGION_MOSAIC.name, None, month)).path(REGION_FILE)
    geobox = raster_geobox(path)
    tile = mosaic_placement(line.region, line.region.tile_ids[0])
    size = geobox.resolution.x
    row = tile.row + round((tile.geobox.transform.f - geobox.transform.f) / size)
    col = tile.col + round((geobox.transform.c - tile.geobox.transform.c) / size)
    outline = shapely.box(*geobox.boundingbox.bbox)
    return PlacedRaster(path, Placement("region", geobox, row, col, outline, native=True))


def _bands_shown(region: Region) -> list[int]:
    """Indexes of red, green and blue, or three times the first band."""
    names = list(region.bands)
    lacking = {"red", "green", "blue"} - set(names)
    return [0, 0, 0] if lacking else [names.index(name) for name in ("red", "green", "blue")]
