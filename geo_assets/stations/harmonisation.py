"""Between stations 5 and 6: what tiles of a month have in common, and the gains and offsets that make them agree.

Two small stations, in the line only where the region's `mosaic` asks for them. `overlap_statistics` looks at each pair
of neighbours once: the pair belongs to the tile whose id is smaller, and keeps its samples and, for a mosaic cut along
seamlines, its seam. `harmonisation` waits for all tiles of the month, for one solution must hold for all.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.errors import CorruptProductError
from geo_assets.domain.region import Region
from geo_assets.io.pictures.harmonisation_plot import harmonisation_plot
from geo_assets.io.placing import PlacedRaster
from geo_assets.io.products import Build, Place, Product
from geo_assets.kernels.mosaicking.blending import Correction
from geo_assets.kernels.mosaicking.harmonisation import Harmonisation, Pair, PairFit, solve_harmonisation
from geo_assets.stations.composite import COMPOSITE_FILE, MONTHLY_COMPOSITE
from geo_assets.stations.line import Line, Station
from geo_assets.stations.mosaic_grid import mosaic_grid, mosaic_placement, neighbours_of
from geo_assets.stations.mosaicking.overlaps import SAMPLE_STEP, OverlapMeans, overlap_means
from geo_assets.stations.mosaicking.seamlines import PairSeam, find_seam
from geo_assets.stations.pictures import PNG
from geo_assets.stations.units import UnitArrays, finish_units

OVERLAPS_FILE, HARMONISATION_FILE, GAINS_PICTURE = "overlaps.npz", "harmonisation.json", "harmonisation.png"
AGREEMENT_FILE = "overlaps.json"
"""What was found and reached in each overlap; apart from what every mosaic reads, for overlaps are many."""

MOST_SAMPLES = 4_096
"""Of a pair: a longer overlap is sampled on every eighth, sixteenth, ... cell. More would tell the solve nothing."""

_SEAM_ARRAYS = ("seam_names", "seam_origin", "seam_label")
_UNIT_DN = 10_000
_DIGITS = 7  # of biases and errors in reflectance: three below a count, and above what processors round differently


def overlap_statistics_wanted(region: Region) -> bool:
    """Whether the region's mosaic needs to know what its tiles have in common."""
    return harmonisation_wanted(region) or region.mosaic.seamline


def harmonisation_wanted(region: Region) -> bool:
    """Whether the region's tiles are brought to one level of light before they are blended."""
    return region.mosaic.harmonise != "none"


def corrections_of(product: Product, tile: str) -> tuple[Correction, ...]:
    """A tile's correction in every band of the region, from a `harmonisation` product; none from an empty one."""
    if product.manifest.status == "empty":
        return ()
    try:
        return tuple(
            Correction(gain=float(band["gains"][tile]), offset=float(band["offsets_dn"][tile]))
            for band in product.json(HARMONISATION_FILE)["bands"].values()
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise CorruptProductError(
            f"{product.place}, {HARMONISATION_FILE}: has no correction of tile {tile} ({problem!r}). "
            "`geo-assets backfill` rebuilds it."
        ) from None


def left_alone_in(product: Product) -> dict[str, list[str]]:
    """Tile -> the bands in which a `harmonisation` product leaves it alone, for it would need too much."""
    found = product.manifest.metrics.get("left_alone")
    if not isinstance(found, dict):
        return {}
    return {tile: [str(band) for band in bands] for tile, bands in found.items() if isinstance(bands, list)}


def pair_seams(products: Iterable[Product]) -> dict[Pair, PairSeam]:
    """The seams of all pairs in some `overlap_statistics` products; a pair without cells in common has none."""
    found = [arrays for product in products for arrays in _arrays(product, *_SEAM_ARRAYS).values() if arrays]
    return {(seam.first, seam.second): seam for seam in map(PairSeam.from_arrays, found)}


def _pairs_of(region: Region, tile: str) -> tuple[str, ...]:
    """The neighbours whose pairs with a tile belong to it."""
    return tuple(sorted(other for other in neighbours_of(region, tile) if other > tile))


def _composites_of_pairs(line: Line, place: Place) -> tuple[Place, ...]:
    assert place.tile is not None  # the station's scope
    tiles = (place.tile, *_pairs_of(line.region, place.tile))
    return tuple(Place(MONTHLY_COMPOSITE.name, tile, place.month) for tile in tiles)


def _overlap_statistics(line: Line, place: Place, build: Build) -> None:
    region = line.region
    own, *others = (line.products.need(upstream) for upstream in _composites_of_pairs(line, place))
    with_data = [other for other in others if other.manifest.status == "done"]
    if own.manifest.status == "empty" or not with_data:
        build.empty(_why_nothing(own, others))
        return
    raster = _placed(region, own)
    jobs = {str(other.place.tile): partial(_pair_unit, region, raster, _placed(region, other)) for other in with_data}
    finish_units(line, build, jobs, str(place))
    pairs = {other: build.units.take(other, job) for other, job in jobs.items()}
    shared = {other: arrays for other, arrays in pairs.items() if arrays["counts"].any()}
    if not shared:
        build.empty("no neighbour whose pair belongs to this tile has data where it has")
        return
    content = BytesIO()
    named = {f"{other}_{name}": array for other, arrays in shared.items() for name, array in arrays.items()}
    np.savez_compressed(content, allow_pickle=False, **named)
    build.put(OVERLAPS_FILE, content.getvalue(), role="statistics.overlaps", media_type="application/x-npz")
    build.metric("samples", {
        f"{place.tile}+{other}": dict(zip(region.bands, arrays["counts"].tolist(), strict=True))
        for other, arrays in shared.items()
    })  # fmt: skip
    build.metric("nothing_in_common", sorted(set(pairs) - set(shared)))
    build.metric("mosaic_grid", mosaic_grid(region))


def _why_nothing(own: Product, others: list[Product]) -> str:
    if own.manifest.status == "empty":
        return f"the composite is empty: {own.manifest.reason}"
    if not others:
        return "its pairs with neighbours belong to them, whose ids are smaller"
    return "the composites of all neighbours whose pairs belong to this tile are empty"


def _placed(region: Region, composite: Product) -> PlacedRaster:
    return PlacedRaster(composite.path(COMPOSITE_FILE), mosaic_placement(region, str(composite.place.tile)))


def _pair_unit(region: Region, first: PlacedRaster, second: PlacedRaster) -> UnitArrays:
    """`counts` (band,) of samples, `samples` (n, 2) band after band, and the arrays of the pair's seam if wanted."""
    overlap = overlap_means(first, second)
    if overlap is None:
        return {"counts": np.zeros(len(region.bands), np.int64), "samples": np.empty((0, 2), np.float32)}
    step = _step(overlap)
    samples = [overlap.samples(band, step=step) for band in range(len(region.bands))]
    arrays: dict[str, NDArray[Any]] = {
        "counts": np.array([len(some) for some in samples], np.int64),
        # Exact: the mean of 64 int16 needs 22 of the 24 binary digits.
        "samples": np.concatenate(samples).astype(np.float32),
    }
    if region.mosaic.seamline:
        footprints = ((source.row, source.col, source.height, source.width) for source in (first, second))
        arrays |= find_seam(overlap, *footprints).to_arrays()
    return arrays


def _step(overlap: OverlapMeans) -> int:
    """The step at which an overlap has no more samples than wanted: it grows by doubling, so that lattices nest."""
    rows, cols = overlap.first_means.shape[1:]
    step = SAMPLE_STEP
    while (-(-rows // step)) * (-(-cols // step)) > MOST_SAMPLES:
        step *= 2
    return step


def _arrays(product: Product, *names: str) -> dict[str, dict[str, NDArray[Any]]]:
    """Neighbour -> those of the named arrays that an `overlap_statistics` product has of the pair."""
    if product.manifest.status == "empty":
        return {}
    found: dict[str, dict[str, NDArray[Any]]] = {}
    try:
        with np.load(BytesIO(product.bytes(OVERLAPS_FILE)), allow_pickle=False) as arrays:
            for key in arrays.files:
                other, _, name = key.partition("_")
                if name in names:
                    found.setdefault(other, {})[name] = arrays[key]
    except (ValueError, OSError, BadZipFile) as problem:
        raise CorruptProductError(
            f"{product.place}, {OVERLAPS_FILE}: {problem}. `geo-assets backfill` rebuilds it."
        ) from None
    return found


def _all_overlaps(line: Line, place: Place) -> tuple[Place, ...]:
    return tuple(Place(OVERLAP_STATISTICS.name, tile, place.month) for tile in line.region.tile_ids)


def _harmonisation(line: Line, place: Place, build: Build) -> None:
    region = line.region
    assert region.mosaic.harmonise != "none"  # else it is not in the line
    products = [line.products.need(upstream) for upstream in _all_overlaps(line, place)]
    with_pairs = [product for product in products if product.manifest.status == "done"]
    if not with_pairs:
        build.empty("no two tiles of this month share ground with data")
        return
    solved = {
        band: solve_harmonisation(
            region.tile_ids, _samples_of(with_pairs, number), mode=region.mosaic.harmonise, unit_dn=_UNIT_DN
        )
        for number, band in enumerate(region.bands)
    }
    heading = {"region": region.name, "month": str(place.month), "mode": region.mosaic.harmonise}
    records = {
        HARMONISATION_FILE: ("corrections", {band: _corrections_record(found) for band, found in solved.items()}),
        AGREEMENT_FILE: ("overlaps", {band: _overlaps_record(found) for band, found in solved.items()}),
    }
    for name, (role, bands) in records.items():
        content = json.dumps({**heading, "bands": bands}, indent=1).encode() + b"\n"
        build.put(name, content, role=f"harmonisation.{role}", media_type="application/json")
    for name, values in _metrics(solved).items():
        build.metric(name, values)
    title = f"{region.name}, {place.month}: {region.mosaic.harmonise}"
    build.put(
        GAINS_PICTURE, harmonisation_plot(solved, title=title, unit_dn=_UNIT_DN), role="overview.gains", media_type=PNG
    )


def _samples_of(products: Iterable[Product], band: int) -> dict[Pair, NDArray[np.float32]]:
    """The samples of every pair in one band."""
    pairs = {}
    for product in products:
        for other, arrays in _arrays(product, "counts", "samples").items():
            end = int(arrays["counts"][: band + 1].sum())
            pairs[str(product.place.tile), other] = arrays["samples"][end - int(arrays["counts"][band]) : end].copy()
    return pairs


def _corrections_record(found: Harmonisation) -> dict[str, Any]:
    return {
        "gains": {tile: correction.gain for tile, correction in found.corrections.items()},
        "offsets_dn": {tile: correction.offset for tile, correction in found.corrections.items()},
        "left_alone": list(found.left_alone),
        "refused": found.refused,
    }


def _overlaps_record(found: Harmonisation) -> dict[str, Any]:
    return {
        "too_few_samples": ["+".join(pair) for pair in found.left_out],
        "overlaps": {"+".join(pair): _pair_record(fit) for pair, fit in found.pairs.items()},
    }


def _pair_record(fit: PairFit) -> dict[str, float]:
    return {name: value if isinstance(value, int) else _short(value) for name, value in asdict(fit).items()}


def _metrics(solved: Mapping[str, Harmonisation]) -> dict[str, Any]:
    """What is applied, in units of reflectance, and what it does to the overlaps, by band and in the worst band."""
    by_band = {band: _agreement(found) for band, found in solved.items()}
    left_alone: dict[str, list[str]] = {}
    for band, found in solved.items():
        for tile in found.left_alone:
            left_alone.setdefault(tile, []).append(band)
    return {
        "gains": {
            band: {tile: given.gain for tile, given in found.corrections.items()} for band, found in solved.items()
        },
        "offsets": {
            band: {tile: _short(given.offset / _UNIT_DN) for tile, given in found.corrections.items()}
            for band, found in solved.items()
        },
        "left_alone": left_alone,
        "refused": [band for band, found in solved.items() if found.refused],
        "too_few_samples": sorted({"+".join(pair) for found in solved.values() for pair in found.left_out}),
        "by_band": by_band,
        **{
            f"overlap_{figure}": max((found[figure] for found in by_band.values() if found), default=None)
            for figure in ("bias_before", "bias_after", "rmse_before", "rmse_after")
        },
    }


def _agreement(found: Harmonisation) -> dict[str, float]:
    """A band's bias is the largest mean difference of any overlap; its RMSE is that of all overlaps together."""
    if found.rmse_before is None or found.rmse_after is None:
        return {}
    return {
        "bias_before": _short(max(abs(fit.bias_before) for fit in found.pairs.values())),
        "bias_after": _short(max(abs(fit.bias_after) for fit in found.pairs.values())),
        "rmse_before": _short(found.rmse_before),
        "rmse_after": _short(found.rmse_after),
    }


def _short(value: float) -> float:
    return round(value, _DIGITS)


OVERLAP_STATISTICS = Station(
    name="overlap_statistics",
    version="1",
    scope="tile_month",
    summary="What a tile has in common with neighbours of larger ids: means of 8 x 8 pixels, and seams to cut along.",
    settings=lambda region: {
        "bands": list(region.bands),
        "mosaic_grid": mosaic_grid(region),
        "seamline": region.mosaic.seamline,
        "tiles": list(region.tile_ids),
    },
    upstream=_composites_of_pairs,
    build=_overlap_statistics,
)

HARMONISATION = Station(
    name="harmonisation",
    version="1",
    scope="month",
    summary="One gain and offset for every tile and band of a month, so that all overlaps agree as well as they can.",
    settings=lambda region: {
        "bands": list(region.bands),
        "harmonise": region.mosaic.harmonise,
        "tiles": list(region.tile_ids),
    },
    upstream=_all_overlaps,
    build=_harmonisation,
)
