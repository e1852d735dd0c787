r"""Our composite as a plug-in of `compare.py`, the bench's driver, in the shapes that its `agreement.py` knows.

    python $GEO_BENCH_TOOLS/compare.py full60x7 bestpixel mine --engine mine=benchmarks.bestpixel:engine \\
        --python mine=.venv/bin/python [--option mine=read=overview]

Options are settings of `CompositeRequest`; by default they are those under which results compare pixel by pixel.
"""

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE
from geo_assets.domain.tile_month import Month, months_between
from geo_assets.stations.bbox.engine import BboxComposite, compose, compose_periods
from geo_assets.stations.bbox.readiness import load_kernels
from geo_assets.stations.bbox.request import CompositeRequest, period_of
from geo_assets.stations.opening import open_named_archive

_NODATA = 65535
_AS_BESTPIXEL: dict[str, Any] = {"read": "exact", "rank": "scene", "top_k": 3, "max_cloud_cover": 90.0}


def prepare() -> None:
    """Load what is compiled, or imported when it is first used, which compare.py does not time."""
    importlib.import_module("geo_assets.io.archives.search.pages")
    load_kernels()
    _codes(np.zeros((1, 1), np.int16))


def engine(
    catalog_url: str, bbox: Sequence[float], datetime: str, resolution: float, bands: Sequence[str], **options: Any
) -> dict[str, Any]:
    """One composite, as `rivals.py` describes an engine."""
    threads = options.pop("threads", None)
    request = _request(bbox, datetime, resolution, bands, options)
    return _shaped(compose(_archive(catalog_url), request, threads=threads))


def months(
    catalog_url: str, bbox: Sequence[float], datetime: str, resolution: float, bands: Sequence[str], **options: Any
) -> dict[str, Any]:
    """A composite a month from one call; a list of (y, x) arrays for each layer."""
    threads = options.pop("threads", None)
    request = _request(bbox, datetime, resolution, bands, options)
    first, last = period_of(datetime)
    wanted = [month for month in months_between(Month.containing(first), Month.containing(last)) if month.begin < last]
    periods = [(month.begin, month.next.begin) for month in wanted]
    made = [_shaped(one) for one in compose_periods(_archive(catalog_url), request, periods, threads=threads)]
    layers = ("quality", "observation_count", "selected_observation")
    return {
        # Lists: compare.py stacks them when the clock has stopped.
        "bands": {band: [one["bands"][band] for one in made] for band in bands},
        **{layer: [one[layer] for one in made] for layer in layers},
        "grid": made[0]["grid"],
        "source_ids": [source for one in made for source in one["source_ids"]],
        "timings": [one["timings"] for one in made],
    }


months.takes_months = True  # type: ignore[attr-defined]  # compare.py asks for it


def _archive(catalog_url: str) -> Any:
    return open_named_archive("earth-search", catalog_url=catalog_url)


def _request(
    bbox: Sequence[float], datetime: str, resolution: float, bands: Sequence[str], options: dict[str, Any]
) -> CompositeRequest:
    west, south, east, north = bbox
    return CompositeRequest(
        bbox=(west, south, east, north), datetime=datetime, resolution=resolution, bands=tuple(bands),
        **(_AS_BESTPIXEL | options),
    )  # fmt: skip


def _shaped(composite: BboxComposite) -> dict[str, Any]:
    grid = composite.grid
    height, width = grid.shape
    bounds = grid.boundingbox
    with ThreadPoolExecutor() as pool:  # the other program's shapes should cost ours little
        quality = pool.submit(_quality, composite.quality)
        planes = list(pool.map(_codes, composite.bands.values()))
    return {
        "bands": dict(zip(composite.bands, planes, strict=True)),
        "quality": quality.result(),
        "observation_count": composite.observation_count,
        "selected_observation": composite.selected_observation,
        "grid": {
            "epsg": grid.crs.epsg if grid.crs is not None else None,
            "bounds": [bounds.left, bounds.bottom, bounds.right, bounds.top],
            "resolution": float(grid.resolution.x),
            "width": width,
            "height": height,
            "transform": list(grid.transform)[:6],
        },
        "source_ids": list(composite.source_ids),
        "timings": dict(composite.timings),
    }


def _codes(values: NDArray[np.int16]) -> NDArray[np.uint16]:
    """The same memory as uint16 with nodata 65535; negative reflectance, which bestpixel does not keep, as 0."""
    codes = values.view(np.uint16)
    _recode(values, codes)
    return codes


def _quality(values: NDArray[np.uint8]) -> NDArray[np.uint16]:
    meanings = np.arange(256, dtype=np.uint16)
    meanings[NODATA_CLASS] = _NODATA
    return meanings[values]


@njit(nogil=True, cache=True)
def _recode(values: NDArray[np.int16], codes: NDArray[np.uint16]) -> None:
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            value = values[row, col]
            codes[row, col] = _NODATA if value == NODATA_REFLECTANCE else max(value, 0)
