"""Reads our own product rasters, window by window, from any thread.

Nothing here knows remote archives: those come through `io.archives`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from geo_assets.domain.errors import CorruptProductError, GridMismatchError
from geo_assets.io.gdal import BLOCK_CACHE, gdal_warnings

_OPEN_PER_THREAD = 32
"""Datasets that a thread keeps open: a mosaic's neighbours times a few layers."""

_T = TypeVar("_T")


class _Version(NamedTuple):
    """Tells a file from the one that replaced it under the same name."""

    modified_ns: int
    size: int
    inode: int


class _OpenRasters(threading.local):
    """The datasets that a thread holds open, least recently used first: GDAL's handles must not be shared."""

    def __init__(self) -> None:
        self.datasets: OrderedDict[Path, tuple[_Version, rasterio.DatasetReader]] = OrderedDict()


_OPEN = _OpenRasters()


def read_window(path: Path, rows: slice, cols: slice, bands: Sequence[int] | None = None) -> NDArray[Any]:
    """Pixels of one window of a product raster.

    Parameters
    ----------
    path : Path
        A local file; replaced on disk, the new one is read.
    rows, cols : slice
        In pixels, inside the raster, step 1; `slice(None)` is all of it.
    bands : sequence of int, optional
        Counted from 1, as GDAL does; all of them without it.

    Returns
    -------
    pixels : (band, y, x) of the raster's dtype
        As stored, not scaled; the raster's nodata (or 0) where its blocks are missing.

    Raises
    ------
    CorruptProductError
        The file is missing or cannot be read, or GDAL warned while reading it.
    GridMismatchError
        The window or a band lies outside the raster.
    """

    def pixels(dataset: rasterio.DatasetReader) -> NDArray[Any]:
        """The window's, as stored."""
        top, bottom = _bounded(rows, dataset.height, "rows", path)
        left, right = _bounded(cols, dataset.width, "columns", path)
        numbers = list(dataset.indexes if bands is None else bands)
        if not set(numbers) <= set(dataset.indexes):
            raise GridMismatchError(
                f"Raster {path}: bands {numbers} asked for, found bands 1 to {dataset.count}. "
                "Correct the caller, or rebuild the product if it should have them."
            )
        read: NDArray[Any] = dataset.read(numbers, window=Window(left, top, right - left, bottom - top))
        return read

    return _asked(path, pixels)


@dataclass(frozen=True, slots=True)
class RasterFacts:
    """What the header of a product raster says."""

    geobox: GeoBox
    """CRS, transform and shape."""
    dtype: str
    """numpy's name, of all bands; several, with commas between, where they differ."""
    nodata: float | None
    """Of the first band; None where none is declared."""
    names: tuple[str, ...]
    """Of the bands, in their order; empty for one without."""
    tags: Mapping[str, str]
    """Free text metadata of the file."""


def raster_facts(path: Path) -> RasterFacts:
    """What the header of a product raster says.

    Raises
    ------
    CorruptProductError
        The file is missing or cannot be read, or GDAL warned while opening it.
    """

    def facts(dataset: rasterio.DatasetReader) -> RasterFacts:
        names = tuple(name or "" for name in dataset.descriptions)
        dtype = ", ".join(sorted(set(dataset.dtypes)))
        return RasterFacts(GeoBox.from_rio(dataset), dtype, dataset.nodata, names, dataset.tags())

    return _asked(path, facts)


def raster_geobox(path: Path) -> GeoBox:
    """Grid of a product raster: CRS, transform and shape.

    Raises
    ------
    CorruptProductError
        The file is missing or cannot be read, or GDAL warned while opening it.
    """

    def geobox(dataset: rasterio.DatasetReader) -> GeoBox:
        return GeoBox.from_rio(dataset)

    return _asked(path, geobox)


def _bounded(asked: slice, size: int, axis: str, path: Path) -> tuple[int, int]:
    start = 0 if asked.start is None else int(asked.start)
    stop = size if asked.stop is None else int(asked.stop)
    if not 0 <= start <= stop <= size or asked.step not in (None, 1):
        raise GridMismatchError(
            f"Raster {path}: {axis} {start} to {stop} asked for, found 0 to {size}. "
            "Clip the window to the raster's geobox."
        )
    return start, stop


def _asked(path: Path, question: Callable[[rasterio.DatasetReader], _T]) -> _T:
    """The answer of an open dataset; whatever GDAL complains about becomes one error with the file's name."""
    try:
        with rasterio.Env(**BLOCK_CACHE), gdal_warnings() as complaints:
            answer = question(_dataset(path))
        if not complaints:
            return answer
    except (RasterioError, OSError, NotGeoreferencedWarning) as error:
        complaints.append(str(error))
    _OPEN.datasets.pop(path, None)
    raise CorruptProductError(
        f"Raster {path} cannot be read: {'; '.join(complaints)}. Expected the file that its manifest sealed: "
        "run `geo-assets verify`, then materialise its partition again."
    )


def _dataset(path: Path) -> rasterio.DatasetReader:
    status = path.stat()
    version = _Version(status.st_mtime_ns, status.st_size, status.st_ino)
    held, dataset = _OPEN.datasets.pop(path, (None, None))
    if dataset is not None and held != version:
        dataset.close()
        dataset = None
    if dataset is None:
        dataset = rasterio.open(path)
    _OPEN.datasets[path] = (version, dataset)
    while len(_OPEN.datasets) > _OPEN_PER_THREAD:
        _, (_, oldest) = _OPEN.datasets.popitem(last=False)
        oldest.close()
    return dataset


def _let_go(path: Path) -> None:
    """Close this thread's dataset of a file, and free what GDAL keeps of it."""
    _, dataset = _OPEN.datasets.pop(path, (None, None))
    if dataset is not None:
        dataset.close()


def read_reduced(
    path: Path, rows: slice, cols: slice, *, max_px: int, bands: Sequence[int] | None = None
) -> NDArray[Any]:
    """Pixels of a window from the overview whose longest edge fits into `max_px`, for pictures.

    Parameters
    ----------
    path, rows, cols, bands
        As in `read_window`; rows and columns start at whole blocks.
    max_px : int
        Longest edge of the result.

    Returns
    -------
    pixels : (band, y, x) of the raster's dtype
        Reduced by a power of two: what the raster's overviews hold.

    Raises
    ------
    CorruptProductError, GridMismatchError
        As in `read_window`.
    """

    def pixels(dataset: rasterio.DatasetReader) -> NDArray[Any]:
        """The window's, from the overview that fits."""
        top, bottom = _bounded(rows, dataset.height, "rows", path)
        left, right = _bounded(cols, dataset.width, "columns", path)
        step = 1
        while max(bottom - top, right - left) > max_px * step:
            step *= 2
        shape = (-(-(bottom - top) // step), -(-(right - left) // step))
        numbers = list(dataset.indexes if bands is None else bands)
        read: NDArray[Any] = dataset.read(
            numbers, window=Window(left, top, right - left, bottom - top), out_shape=(len(numbers), *shape)
        )
        return read

    try:
        return _asked(path, pixels)
    finally:
        _let_go(path)  # a picture is drawn once, and GDAL keeps the blocks of open files
