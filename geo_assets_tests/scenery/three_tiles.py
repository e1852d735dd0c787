"""A small archive of two neighbours and a tile far away, two scenes each in two months."""

from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from geo_assets.domain.bands import HYBRID_BANDS
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets_tests.scenery.lines import area_of
from geo_assets_tests.scenery.small_archive import SmallArchive

LEFT, RIGHT, FAR = TILES = ("33TVL", "33TWL", "33TVN")
MONTHS = ("2024-06", "2024-07")

_STRIP_PX = 60
_GROUND: dict[str, GeoBox] = {
    # Both sides of the neighbours' overlap, across the border of two rows of blocks; and the middle of the far tile.
    LEFT: tile_geobox(LEFT, 60)[490:550, 1580:1830],
    RIGHT: tile_geobox(RIGHT, 60)[490:550, 0:240],
    FAR: tile_geobox(FAR, 60)[900:940, 900:940],
}


def three_tiles(folder: Path) -> SmallArchive:
    """The archive, written; the left tile's first scene in June alone has an L1C companion."""
    archive = SmallArchive(folder)
    for tile, ground in _GROUND.items():
        for month in MONTHS:
            for day, cloudy_cols in (("05", slice(0, 15)), ("15", slice(10, 40))):
                archive.add(tile, f"{month}-{day}", _seen(tile, month, day, ground, cloudy_cols), added_counts=1000)
    ground = _GROUND[LEFT]
    toa = np.full(ground.shape, 700, np.uint16)
    toa[20:40, 60:90] = 7_000  # a cloud that SCL does not have
    toa_bands = {name: (toa // (8 if name == "cirrus" else 1), ground) for name in HYBRID_BANDS}
    archive.add(LEFT, "2024-06-05", toa_bands, level="L1C")
    archive.write()
    return archive


def three_tiles_settings() -> dict[str, Any]:
    """Region keys under which the scenes are looked at from their first to their last pixel."""
    west, south, _, north = area_of(_GROUND[LEFT], margin_m=600)
    _, _, east, _ = area_of(_GROUND[RIGHT], margin_m=600)
    boxes = [(west, south, east, north), area_of(_GROUND[FAR], margin_m=300)]
    return {
        "area": {"type": "MultiPolygon", "coordinates": [[_ring(*box)] for box in boxes]},
        "months": {"first": MONTHS[0], "last": MONTHS[-1]},
        "bands": ["red", "nir"],
        "selection": {"top_k": 2},
        "mosaic": {"feather_m": 600},
    }


def _seen(tile: str, month: str, day: str, ground: GeoBox, cloudy_cols: slice) -> dict[str, Any]:
    draw = np.random.default_rng([TILES.index(tile), MONTHS.index(month), int(day)])
    scl = np.full(ground.shape, 4, np.uint8)
    scl[:, cloudy_cols] = 9
    return {
        **{band: (draw.integers(1200, 5000, ground.shape).astype(np.uint16), ground) for band in ("red", "nir")},
        "scl": (scl, ground),
    }


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]
