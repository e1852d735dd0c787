"""Items by the hundred, without files: what catalogues list of tiles that satellites come back to."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shapely.geometry import mapping

from geo_assets.domain.tile_grid import tile_footprint
from geo_assets_tests.scenery.stac_search import Item

STORAGE = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2"
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "SCL", "AOT")


def pc_item(
    tile: str, day: date, *, platform: str = "S2A", orbit: int = 122, query: str = "", **properties: Any
) -> Item:
    """An item of Planetary Computer's sentinel-2-l2a that covers its tile; `query` is put behind every href."""
    start = datetime(day.year, day.month, day.day, 10, 0, 31, tzinfo=UTC)
    name = f"{platform}_MSIL2A_{start:%Y%m%dT%H%M%S}_R{orbit:03d}_T{tile}_{start + timedelta(hours=5):%Y%m%dT%H%M%S}"
    ground = tile_footprint(tile)
    usual = {
        "datetime": f"{start:%Y-%m-%dT%H:%M:%S}.024000Z",
        "platform": f"Sentinel-{platform[1:]}",
        "s2:mgrs_tile": tile,
        "s2:product_type": "S2MSI2A",
        "s2:processing_baseline": "05.10",
        "s2:datatake_id": f"G{platform}_{start:%Y%m%dT%H%M%S}_012345_N05.10",
        "sat:relative_orbit": orbit,
        "eo:cloud_cover": 20.0,
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "sentinel-2-l2a",
        "bbox": list(ground.bounds),
        "geometry": mapping(ground),
        "links": [{"rel": "self", "href": f"https://planetarycomputer.microsoft.com/api/stac/v1/items/{name}"}],
        "properties": usual | properties,
        "assets": {band: {"href": f"{STORAGE}/{tile}/{name}/{band}.tif{query}"} for band in BANDS},
    }


def passes(tiles: Iterable[str], first: date, last: date, *, every: int = 5, **others: Any) -> list[Item]:
    """An item for every tile and every so many days from `first` up to `last`, included."""
    days = [first + timedelta(days=number) for number in range(0, (last - first).days + 1, every)]
    return [pc_item(tile, day, **others) for tile in tiles for day in days]
