"""Station 7: exact counts per band, and the normalization statistics that they merge into."""

import json
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from geo_assets.domain.errors import CorruptProductError, ProductError, SchemaError
from geo_assets.domain.region import Region
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.rasters import read_window
from geo_assets.kernels.histogram import Histogram, merged, reflectance_histogram
from geo_assets.stations.composite import COMPOSITE_FILE, MONTHLY_COMPOSITE
from geo_assets.stations.dataset_histograms import (
    ALL,
    NOTHING_KEPT,
    PARTS_FILE,
    SUMS_FILE,
    Kept,
    kept_by,
    month_file,
    month_files,
    parts_json,
    written_sums,
)
from geo_assets.stations.ground import Blocks, Ground, ground_of, units_of
from geo_assets.stations.line import Line, Station, log
from geo_assets.stations.units import UnitArrays, finish_units

HISTOGRAM_FILE, STATS_FILE = "histogram.npz", "stats.json"
_SCALE = 1e-4


def _statistics(line: Line, place: Place, build: Build) -> None:
    assert place.tile is not None  # the station's scope
    composite = line.products.need(Place(MONTHLY_COMPOSITE.name, place.tile, place.month))
    if composite.manifest.status == "empty":
        build.empty(f"the composite is empty: {composite.manifest.reason}")
        return
    ground = ground_of(line.region, place.tile)
    units = units_of(ground.blocks(), line.unit_blocks)
    jobs = {key: partial(_counted_unit, line, composite, ground, blocks) for key, blocks in units.items()}
    kept = finish_units(line, build, jobs, str(place), keep=["counts", "nodata"])
    whole = merged(Histogram(arrays["counts"], arrays["nodata"]) for arrays in kept.values())
    if whole.pixels.max(initial=0) == 0:
        build.empty("the composite has no valid pixel in the area")
        return
    content = BytesIO()
    np.savez_compressed(content, counts=whole.counts, nodata=whole.nodata, bands=np.array(line.region.bands))
    build.put(HISTOGRAM_FILE, content.getvalue(), role="statistics.histogram", media_type="application/x-npz")
    summary = band_statistics(line.region, whole)
    build.metric("bands", summary)
    build.metric("pixels", int(whole.pixels.max()))


def read_histogram(product: Product) -> Histogram:
    """The exact histogram of a `normalization_stats` product."""
    try:
        with np.load(BytesIO(product.bytes(HISTOGRAM_FILE)), allow_pickle=False) as arrays:
            return Histogram(arrays["counts"], arrays["nodata"])
    except (ValueError, KeyError, OSError) as error:
        raise CorruptProductError(
            f"{product.place}, {HISTOGRAM_FILE}: {error}. `geo-assets backfill` rebuilds it."
        ) from None


def band_statistics(region: Region, histogram: Histogram) -> dict[str, dict[str, Any]]:
    """Band -> pixels, mean, standard deviation and percentiles in reflectance, clipped and unclipped."""
    low, high = region.stats.clip_percentiles
    marks = sorted({0.0, low, 25.0, 50.0, 75.0, high, 100.0})
    plain, clipped = histogram.moments(), histogram.clipped(low, high).moments()
    values = histogram.percentiles(marks)
    return {
        band: {
            "pixels": int(plain.count[index]),
            "mean": _reflectance(plain.mean[index]),
            "std": _reflectance(plain.std[index]),
            "clipped_mean": _reflectance(clipped.mean[index]),
            "clipped_std": _reflectance(clipped.std[index]),
            "percentiles": {f"{mark:g}": _reflectance(value) for mark, value in zip(marks, values[index], strict=True)},
        }
        for index, band in enumerate(region.bands)
        if plain.count[index]
    }


def _reflectance(count: float) -> float:
    return round(float(count) * _SCALE, 10)


def _counted_unit(line: Line, composite: Product, ground: Ground, blocks: Blocks) -> UnitArrays:
    whole = Histogram.empty(len(line.region.bands))
    for row, col in blocks:
        window = ground.block_window(row, col)
        values = read_window(composite.path(COMPOSITE_FILE), *window.slices)
        whole += reflectance_histogram(values, ground.inside(window))
    return {"counts": whole.counts, "nodata": whole.nodata}


def _all_tile_months(line: Line, place: Place) -> tuple[Place, ...]:
    return tuple(NORMALIZATION_STATS.place(tile_month) for tile_month in line.region.tile_months)


def _dataset(line: Line, place: Place, build: Build) -> None:
    region = line.region
    found = {upstream: line.products.need(upstream) for upstream in _all_tile_months(line, place)}
    done = {upstream: product for upstream, product in found.items() if product.manifest.status == "done"}
    if not done:
        build.empty("every tile and month is empty")
        return
    summary, files = _summary(line, build, done, kept_by(_standing(line, place), region.bands))
    document = {
        "region": region.name,
        "unit": "reflectance",
        "clip_percentiles": list(region.stats.clip_percentiles),
        **summary,
        "empty": sorted(str(place.key) for place, product in found.items() if product.manifest.status == "empty"),
    }
    build.put(
        STATS_FILE,
        json.dumps(document, indent=1).encode() + b"\n",
        role="statistics.summary",
        media_type="application/json",
    )
    for name, content in files.items():
        role = "statistics.parts" if name == PARTS_FILE else "statistics.histogram"
        media_type = "application/json" if name == PARTS_FILE else "application/x-npz"
        build.put(name, content, role=role, media_type=media_type)
    build.metric("bands", document["bands"])
    build.metric("tile_months", len(done))


def _standing(line: Line, place: Place) -> Product | None:
    """The product that stands at `place`, None where its manifest is damaged."""
    try:
        return line.products.find(place)
    except (CorruptProductError, SchemaError):
        return None


def _summary(
    line: Line, build: Build, done: Mapping[Place, Product], kept: Kept
) -> tuple[dict[str, Any], dict[str, Path | bytes]]:
    """The statistics of all, of every month and of every tile; and the files to keep, by name.

    Only parts that are not `kept` are read from the store. Where what was kept turns out to be damaged, all are.
    """
    products = {(str(place.month), str(place.tile)): product for place, product in done.items()}
    parts: dict[str, dict[str, str]] = {}
    for (month, tile), product in sorted(products.items()):
        parts.setdefault(month, {})[tile] = product.file(HISTOGRAM_FILE).sha256
    bands = line.region.bands
    by: dict[str, dict[str, Any]] = {"months": {}, "tiles": {}}
    try:
        files = month_files(parts, kept, build.scratch, lambda month, tile: read_histogram(products[month, tile]))
        sums = build.scratch(SUMS_FILE)
        for name, histogram in written_sums(sums, parts, files, kept, len(bands)):
            statistics = band_statistics(line.region, histogram)
            if name == ALL:
                whole = statistics
            else:
                kind, _, member = name.partition("/")
                by[kind][member] = statistics
    except ProductError as error:
        if kept is NOTHING_KEPT:
            raise
        log.warning("%s: what it kept cannot be used, all parts are read: %s", build.place, error)
        return _summary(line, build, done, NOTHING_KEPT)
    kept_files: dict[str, Path | bytes] = {month_file(month): path for month, path in files.items()}
    kept_files |= {SUMS_FILE: sums, PARTS_FILE: parts_json(parts, bands)}
    return {"bands": whole, "by_month": by["months"], "by_tile": by["tiles"]}, kept_files


NORMALIZATION_STATS = Station(
    name="normalization_stats",
    version="1",
    scope="tile_month",
    summary="Exact integer histogram of every band of a composite within the area; merges in any order.",
    settings=lambda region: {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "clip_percentiles": list(region.stats.clip_percentiles),
    },
    upstream=lambda line, place: (Place(MONTHLY_COMPOSITE.name, place.tile, place.month),),
    build=_statistics,
)

DATASET_STATS = Station(
    name="dataset_stats",
    version="2",
    scope="all",
    summary="Normalization statistics of the whole data set: mean, deviation and percentiles of every band.",
    settings=lambda region: {
        "clip_percentiles": list(region.stats.clip_percentiles),
        "bands": list(region.bands),
    },
    upstream=_all_tile_months,
    build=_dataset,
)
