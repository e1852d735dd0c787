"""Four tiles that see the same ground in different light: two and two on either side of a zone's edge."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geo_assets.stations.line import Line
from geo_assets_tests.scenery.composites import composite_line, put_composite

TILES = ("30TYN", "30TYP", "31TCH", "31TCJ")
"""By id, so that a pair belongs to the one that comes first."""
AREA = (0.55, 43.22, 0.80, 43.36)
LIGHT = {"30TYN": (1.01, 20), "30TYP": (0.97, 60), "31TCH": (1.0, 0), "31TCJ": (1.03, -40)}
"""Tile -> gain, and offset in counts."""


def uneven_line(store: Path, *, threads: int = 2, unit_blocks: int = 2, **mosaic: Any) -> Line:
    """A line that begins at composites; `mosaic` are keys of that section."""
    section = {"feather_m": 1200, **mosaic}
    return composite_line(
        store, threads=threads, unit_blocks=unit_blocks, area=AREA, bands=["red", "nir"], mosaic=section
    )


def put_uneven_composites(line: Line) -> None:
    """Each tile's composite: waves as long as a few cells, with noise of the tile's own."""
    for tile in TILES:
        put_composite(line, tile, partial(_seen, tile))


def _seen(tile: str, geobox: GeoBox) -> NDArray[np.int16]:
    """(band, y, x) counts of red and near infrared."""
    gain, offset = LIGHT[tile]
    noise = np.random.default_rng([TILES.index(tile), *(round(place) for place in geobox.transform * (0, 0))])
    bands = [gain * waves(geobox, bright) + offset + noise.normal(0, 15, geobox.shape) for bright in (900.0, 2800.0)]
    return np.rint(bands).astype(np.int16)


def waves(geobox: GeoBox, bright: float) -> NDArray[np.float64]:
    """(y, x) counts of ground that is the same in every CRS."""
    rows, cols = np.indices(geobox.shape, sparse=True)
    x, y = geobox.transform * (cols + 0.5, rows + 0.5)
    x, y = np.broadcast_arrays(x, y)
    lon, lat = Transformer.from_crs(geobox.crs, "EPSG:4326", always_xy=True).transform(x, y)
    return np.asarray(bright * (1.2 + np.sin(lon * 150) * 0.5 + np.sin(lat * 210) * 0.4))
