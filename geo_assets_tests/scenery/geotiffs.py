"""Small GeoTIFFs of one's own, as users bring them."""

import numpy as np
import rasterio
from rasterio.transform import from_origin

WEST, NORTH, PIXEL = 500_000, 5_000_000, 10


def write_geotiff(path, values, *, row=0, col=0, nodata=0, crs="EPSG:32633", pixel=PIXEL, origin=None, **how):
    """A (band, y, x) array whose upper left pixel lies at `row`, `col` of one common lattice; the path."""
    values = values if values.ndim == 3 else values[None]
    names, scales, tags = (how.pop(key, None) for key in ("names", "scales", "tags"))
    left, top = origin or (WEST, NORTH)
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1], width=values.shape[2],
        dtype=values.dtype, nodata=nodata, crs=crs,
        transform=from_origin(left + col * pixel, top - row * pixel, pixel, pixel), **how,
    ) as file:  # fmt: skip
        file.write(values)
        if names:
            file.descriptions = names
        if scales:
            file.scales = scales
        file.update_tags(**(tags or {}))
    return path


def landscape(height, width, *, row=0, col=0, dtype="uint16", level=2000):
    """What lies at a place of the lattice, the same in every file."""
    y, x = np.arange(row, row + height)[:, None], np.arange(col, col + width)[None]
    return (level + 300 * np.sin(y / 9) * np.cos(x / 7) + (y * 31 + x * 17) % 40).astype(dtype)


def two_neighbours(folder, *, height=80, width=90, overlap=30, dtype="uint16", step=0, **how):
    """Two files of one landscape, the right one brighter by `step`."""
    paths = []
    for name, col in (("west.tif", 0), ("east.tif", width - overlap)):
        values = landscape(height, width, col=col, dtype=dtype) + np.array(step if col else 0, dtype)
        paths.append(write_geotiff(folder / name, values, col=col, **how))
    return paths


def read_geotiff(path):
    """(band, y, x) values and the header."""
    with rasterio.open(path) as file:
        return file.read(), {**file.profile, "tags": file.tags(), "names": file.descriptions, "scales": file.scales}
