"""Recorded catalogue answers, their hrefs led to this machine and rasters laid down behind them.

Everything else in the items stays as it was recorded, but the sizes of JPEG 2000 files, which hold the ground alone.
The ground behind them is `ground_counts`, so that every pixel of every product is known.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.io.cog_writer import RasterBand, write_cog
from geo_assets_tests.scenery.stac_search import Item

_BLOCK_PX = 512


def ground_counts(geobox: GeoBox, band: str) -> NDArray[np.float64]:
    """(y, x) reflectance x 10,000 at the pixels' centres: a plane within each 100 km of easting and northing.

    Two-by-two interpolation of a plane gives the plane again, at every pixel size. 300 to 4,600.
    """
    height, width = geobox.shape
    affine = geobox.affine
    x = affine.c + affine.a * (np.arange(width) + 0.5)
    y = affine.f + affine.e * (np.arange(height) + 0.5)
    shift = sum(band.encode()) % 97
    return 300 + 10 * shift + (x[np.newaxis, :] % 100_000) / 50 + (y[:, np.newaxis] % 100_000) / 80


def replayed(
    answer: Path,
    url: str,
    folder: Path,
    ground: Mapping[str, GeoBox],
    *,
    bands: Mapping[str, str],
    classes: str | None,
    added: int,
    class_value: int = 4,
    fill: tuple[int, int] = (0, 0),
) -> list[Item]:
    """The items of a recorded answer, with files behind the hrefs of those that have ground here.

    Parameters
    ----------
    answer
        A FeatureCollection, or one Item.
    url, folder
        Of the server, and where files go: `{folder}/{host or bucket}/{path}`, at `{url}/{host or bucket}/{path}`.
    ground
        Item id -> where its files have data, on its native 60 m grid; elsewhere they are empty.
    bands
        Asset key -> the band's name for `ground_counts`.
    classes
        Asset key of the layer that is `class_value` wherever there is ground.
    added
        To the counts.
    fill
        Of bands and of the classes, where the item states none.
    """
    recorded = json.loads(answer.read_text())
    items: list[Item] = recorded["features"] if recorded["type"] == "FeatureCollection" else [recorded]
    for item in items:
        for key, asset in item["assets"].items():
            if item["id"] in ground and key in (*bands, classes):
                path = folder / _place_of(asset["href"])
                where = ground[item["id"]]
                band = None if key == classes else bands[key]
                content = _Pixels(
                    _dtype_of(asset, key == classes), _nodata_of(asset, fill[key == classes]), band, added, class_value
                )
                grid = _grid_of(asset, item)
                if path.suffix == ".jp2":  # it cannot leave out what is empty
                    grid = _part_of(grid, where)
                    asset.update(_projection(grid))
                _lay_down(path, grid, where, content)
                if "file:size" in asset:
                    written = path.read_bytes()
                    asset["file:size"] = len(written)
                    asset["file:checksum"] = "1620" + hashlib.sha3_256(written).hexdigest()
            asset["href"] = _led_here(asset["href"], url)
            for other in asset.get("alternate", {}).values():
                other["href"] = _led_here(other["href"], url)
    return items


def _place_of(href: str) -> str:
    """Where a file goes: account or bucket first, then its path."""
    if "://" not in href:  # the published MCD43A4 item stands beside its files
        return f"modiseuwest/modis-061-cogs/{href.rpartition('/')[2]}"
    parts = urlsplit(href)
    return f"{parts.netloc.partition('.')[0]}{parts.path}"


def _led_here(href: str, url: str) -> str:
    return href if href.startswith("s3://") else f"{url}/{_place_of(href)}"


def _dtype_of(asset: Mapping[str, Any], is_classes: bool) -> str:
    stated = asset.get("data_type") or (asset.get("raster:bands") or [{}])[0].get("data_type")
    return str(stated or ("uint8" if is_classes else "uint16"))


def _nodata_of(asset: Mapping[str, Any], fill: int) -> int:
    return int((asset.get("raster:bands") or [{}])[0].get("nodata", asset.get("nodata", fill)))


def _grid_of(asset: Mapping[str, Any], item: Item) -> GeoBox:
    properties = item["properties"]
    shape = asset.get("proj:shape") or properties["proj:shape"]
    a, _, c, _, e, f = (asset.get("proj:transform") or properties["proj:transform"])[:6]
    code = asset.get("proj:code") or properties.get("proj:code")
    crs = code or (f"EPSG:{properties['proj:epsg']}" if properties.get("proj:epsg") else properties["proj:wkt2"])
    return GeoBox(tuple(shape), Affine(a, 0, c, 0, e, f), crs)


@dataclass(frozen=True, slots=True)
class _Pixels:
    dtype: str
    nodata: int
    band: str | None
    """None: classes."""
    added: int
    class_value: int

    def of(self, grid: GeoBox) -> NDArray[Any]:
        if self.band is None:
            return np.full(grid.shape, self.class_value)
        return np.rint(ground_counts(grid, self.band)) + self.added


def _lay_down(path: Path, grid: GeoBox, where: GeoBox, content: _Pixels) -> None:
    """A file on the grid that holds only the blocks that touch the ground; JPEG 2000 holds all."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    first_row, first_col, last_row, last_col = _rows_and_cols(where, grid)

    def pixels(rows: slice, cols: slice) -> NDArray[Any]:
        stored = content.of(grid[rows, cols])
        row, col = np.arange(rows.start, rows.stop)[:, np.newaxis], np.arange(cols.start, cols.stop)[np.newaxis]
        inside = (first_row <= row) & (row < last_row) & (first_col <= col) & (col < last_col)
        return np.where(inside, stored, content.nodata).astype(content.dtype)

    def block(block_row: int, block_col: int) -> NDArray[Any] | None:
        rows = slice(block_row * _BLOCK_PX, min((block_row + 1) * _BLOCK_PX, grid.shape[0]))
        cols = slice(block_col * _BLOCK_PX, min((block_col + 1) * _BLOCK_PX, grid.shape[1]))
        meets = rows.start < last_row and first_row < rows.stop and cols.start < last_col and first_col < cols.stop
        return pixels(rows, cols)[np.newaxis] if meets else None

    if path.suffix == ".jp2":
        _write_jp2(path, pixels(slice(0, grid.shape[0]), slice(0, grid.shape[1])), grid)
        return
    write_cog(
        path, grid, content.dtype, content.nodata, [RasterBand(content.band or "classes")], block,
        overviews="nearest" if content.band is None else "average", codec="deflate", block_px=_BLOCK_PX,
    )  # fmt: skip


def _part_of(grid: GeoBox, where: GeoBox) -> GeoBox:
    """The pixels of a grid that the ground has."""
    first_row, first_col, last_row, last_col = _rows_and_cols(where, grid)
    return grid[first_row:last_row, first_col:last_col]


def _projection(grid: GeoBox) -> dict[str, Any]:
    affine = grid.affine
    return {
        "proj:shape": list(grid.shape),
        "proj:transform": [affine.a, 0.0, affine.c, 0.0, affine.e, affine.f],
        "proj:bbox": list(grid.boundingbox.bbox),
    }


def _rows_and_cols(where: GeoBox, grid: GeoBox) -> Sequence[int]:
    """First row and column of the grid that the ground has, and those behind its last."""
    left, bottom, right, top = where.boundingbox.bbox
    affine = grid.affine
    return (
        round((top - affine.f) / affine.e),
        round((left - affine.c) / affine.a),
        round((bottom - affine.f) / affine.e),
        round((right - affine.c) / affine.a),
    )


def _write_jp2(path: Path, stored: NDArray[Any], grid: GeoBox) -> None:
    height, width = stored.shape
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", count=1, height=height, width=width, dtype=stored.dtype, crs=str(grid.crs),
        transform=grid.affine, QUALITY="100", REVERSIBLE="YES", BLOCKXSIZE=256, BLOCKYSIZE=256,
    ) as raster:  # fmt: skip
        raster.write(stored, 1)
