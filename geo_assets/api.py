"""The library door: composites and masks in memory, and the same stations as Dagster runs, as plain functions."""

import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.bands import QUANTIFICATION, Level
from geo_assets.domain.errors import RegionError
from geo_assets.domain.region import EARLIEST, Region
from geo_assets.domain.region_archive import is_local
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Archive
from geo_assets.io.archives.auto import AutoArchive
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.stac_api import StacApiArchive
from geo_assets.io.detectors.s2cloudless import S2Cloudless, s2cloudless_probability
from geo_assets.io.places import Place
from geo_assets.io.region_file import read_region
from geo_assets.io.stores.store import expanded
from geo_assets.kernels.detection import Detector, DetectorInput
from geo_assets.kernels.indices import apply_mask, evi, nbr, ndvi, ndwi
from geo_assets.stations.bbox.engine import BboxComposite, Progress, compose_periods
from geo_assets.stations.bbox.grid import area_of
from geo_assets.stations.bbox.request import CompositeRequest, Period
from geo_assets.stations.bbox.result import CompositeResult
from geo_assets.stations.crop import crop_mosaic
from geo_assets.stations.line import Line, Outcome, run_station
from geo_assets.stations.mosaicking.standalone import MosaicResult, blend_mosaic
from geo_assets.stations.opening import open_line, open_named_archive
from geo_assets.stations.scene_mask import (
    HYBRID,
    CloudMask,
    GivenAngles,
    expect_bands,
    named_detectors,
    offset_doubt,
    scene_input,
    scene_mask,
)

__all__ = [
    "CloudMask",
    "CompositeResult",
    "MosaicResult",
    "apply_mask",
    "blend_mosaic",
    "build_composite",
    "build_monthly_composites",
    "cloud_mask",
    "cloud_probability",
    "crop_mosaic",
    "evi",
    "nbr",
    "ndvi",
    "ndwi",
    "open_line",
    "places_of",
    "read_region",
    "run_line",
]

USUAL_BANDS = ("blue", "green", "red", "nir")
"""What `bands=None` asks for."""

_SURFACE: tuple[Level, ...] = ("L2A", "HLS", "NBAR")
"""Levels that are searched, unless a band is asked for that L2A lacks."""

_TELLING_PIXELS = 1 << 18
"""Of a scene; so many tell whether its counts still carry an offset."""

_L1C_ONLY = {"cirrus"}
_LAST_YEAR = 9998
_THICKEST = 10.0

_log = logging.getLogger(__name__)


def build_composite(
    bbox: Sequence[float],
    datetime: str,
    resolution: float = 60.0,
    archive: str = "auto",
    bands: Sequence[str] | None = None,
    *,
    top_k: int = 3,
    max_cloud_cover: float | None = None,
    coverage_target: float | None = None,
    min_k: int = 2,
    max_k: int = 8,
    windowed_fetch: bool = True,
    read: Literal["auto", "exact", "overview"] = "auto",
    rank: Literal["area", "scene"] = "area",
    output_crs: Literal["utm", "native"] = "utm",
    mask: Literal["quality", "none"] = "quality",
    aod_by_day: Mapping[str | date, float] | None = None,
    aod_max: float | None = None,
    reject_unknown: bool = False,
    emit_uncertainty: bool = False,
    scout_factor: int = 8,
    catalog_url: str | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> CompositeResult:
    """The best clear observation of every pixel of an area in a period, in memory.

    Parameters
    ----------
    bbox
        West, south, east, north in degrees (EPSG:4326); west > east crosses the antimeridian.
    datetime
        A month `2024-07`, a day `2024-07-03`, or two of them, `2024-07-01/2024-08-15`: whole days, UTC, both ends
        included.
    resolution
        Pixel size, metres.
    archive
        `planetary-computer` (`pc`), `earth-search`, `hls`, `mcd43a4`, `cdse`; `demo`, which needs no network;
        `local:PATH`, a STAC item collection or catalogue of your own; or `auto`, the first that answers and has the
        bands and months. ``geo-assets archives`` lists them.
    bands
        Stable names, such as `red`, `nir`, `swir16`; by default blue, green, red and nir, as far as the archive has
        them.
    top_k
        Scenes taken for each tile, best first.
    max_cloud_cover
        Leave out scenes of which the catalogue states more, per cent. None: no limit, since a cloudy scene may be
        clear just here.
    coverage_target, min_k, max_k
        Instead of `top_k`: in every part of the area as many scenes, `min_k` to `max_k`, as show this share of it
        clear, 0-1.
    windowed_fetch
        With `coverage_target`: use a scene only in the parts that chose it; else everywhere.
    read
        `exact` interpolates full-resolution pixels; `overview` averages and reads far fewer bytes; `auto` takes
        overviews where the output is at least twice as coarse as the band.
    rank
        Scenes are ranked by their clear share of the `area`, or of what the `scene` shows of it.
    output_crs
        `utm`, the zone of the area's centre; or `native`, that of most scenes (sinusoidal for `mcd43a4`).
    mask
        `quality`, the archive's own quality layer; `none` takes every pixel with data for clear.
    aod_by_day, aod_max, reject_unknown
        Day -> aerosol optical depth over the area; leave out scenes of hazier days, or of days not named.
    emit_uncertainty
        Tell how far the observations of a pixel spread; reads those that did not win, too.
    scout_factor
        How much coarser than the output the first look at the scenes is.
    catalog_url
        Another address of the archive's catalogue: a mirror.
    cache
        Folder for what may be kept between calls: answers of searches, tokens, the demo archive. None keeps nothing
        but the demo archive, below `.geo_assets` in the current folder.
    progress
        Called as ``progress(step, share)`` while it goes on.

    Returns
    -------
    result
        Arrays on one grid, with sources, ledger and timings. Where nothing was observed it is empty, all nodata: then
        `result.reason` says why, and a warning is logged.

    Raises
    ------
    RegionError
        Something asked for cannot be; the message says what, and what to give instead. Nothing was read.
    ArchiveTransientError
        The archive cannot be read now: try again later.
    ArchiveRefusedError
        The archive does not let us in, or its answer is not trusted.
    ArchiveError
        None of the scenes found can be used.

    Notes
    -----
    Credentials are read from the environment: PC_SDK_SUBSCRIPTION_KEY, CDSE_USERNAME and CDSE_PASSWORD, or
    CDSE_S3_ACCESS_KEY and CDSE_S3_SECRET_KEY; AWS's own chain for its requester-pays bucket.

    Examples
    --------
    >>> import geo_assets
    >>> june = geo_assets.build_composite((14.97, 45.95, 15.15, 46.07), "2024-06", 20, archive="demo")
    >>> june.bands["red"].shape == june.grid.shape
    True
    >>> june.to_geotiff("june.tif")  # doctest: +SKIP
    PosixPath('june.tif')
    >>> june.to_xarray()["red"].dims  # doctest: +SKIP
    ('y', 'x')
    """
    (result,) = _composites(
        bbox, datetime, None, resolution, archive, bands,
        top_k=top_k, max_cloud_cover=max_cloud_cover, coverage_target=coverage_target, min_k=min_k, max_k=max_k,
        windowed_fetch=windowed_fetch, read=read, rank=rank, output_crs=output_crs, mask=mask, aod_by_day=aod_by_day,
        aod_max=aod_max, reject_unknown=reject_unknown, emit_uncertainty=emit_uncertainty, scout_factor=scout_factor,
        catalog_url=catalog_url, cache=cache, progress=progress,
    )  # fmt: skip
    return result


def build_monthly_composites(
    bbox: Sequence[float],
    years: int | Iterable[int],
    months: int | Iterable[int],
    resolution: float = 60.0,
    archive: str = "auto",
    bands: Sequence[str] | None = None,
    *,
    top_k: int = 3,
    max_cloud_cover: float | None = None,
    coverage_target: float | None = None,
    min_k: int = 2,
    max_k: int = 8,
    windowed_fetch: bool = True,
    read: Literal["auto", "exact", "overview"] = "auto",
    rank: Literal["area", "scene"] = "area",
    output_crs: Literal["utm", "native"] = "utm",
    mask: Literal["quality", "none"] = "quality",
    aod_by_day: Mapping[str | date, float] | None = None,
    aod_max: float | None = None,
    reject_unknown: bool = False,
    emit_uncertainty: bool = False,
    scout_factor: int = 8,
    catalog_url: str | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> list[CompositeResult]:
    """A composite of each of some months, all on one grid, from one search where the months follow each other.

    Parameters
    ----------
    bbox
        As for `build_composite`, and so are all parameters not named here.
    years, months
        Numbers such as ``2024`` and ``range(5, 10)``: every month (1-12) of every year.

    Returns
    -------
    results
        In order of time, with `year` and `month`. A month in which nothing was observed is there, empty, with its
        `reason`.

    Raises
    ------
    RegionError, ArchiveError
        As `build_composite`.

    Examples
    --------
    >>> import geo_assets
    >>> summer = geo_assets.build_monthly_composites((14.97, 45.95, 15.15, 46.07), 2024, [6, 7], 60, archive="demo")
    >>> [(result.year, result.month) for result in summer]
    [(2024, 6), (2024, 7)]
    """
    return list(
        monthly_composites(
            bbox, years, months, resolution, archive, bands,
            top_k=top_k, max_cloud_cover=max_cloud_cover, coverage_target=coverage_target, min_k=min_k, max_k=max_k,
            windowed_fetch=windowed_fetch, read=read, rank=rank, output_crs=output_crs, mask=mask,
            aod_by_day=aod_by_day, aod_max=aod_max, reject_unknown=reject_unknown, emit_uncertainty=emit_uncertainty,
            scout_factor=scout_factor, catalog_url=catalog_url, cache=cache, progress=progress,
        )
    )  # fmt: skip


def monthly_composites(
    bbox: Sequence[float],
    years: int | Iterable[int],
    months: int | Iterable[int],
    resolution: float = 60.0,
    archive: str = "auto",
    bands: Sequence[str] | None = None,
    **settings: Any,
) -> Iterator[CompositeResult]:
    """The results of `build_monthly_composites`, each as soon as it is done: for more months than memory holds."""
    wanted = months_of(years, months)
    periods = [(month.begin, month.next.begin) for month in wanted]
    return _composites(bbox, f"{wanted[0]}/{wanted[-1]}", periods, resolution, archive, bands, **settings)


def months_of(years: int | Iterable[int], months: int | Iterable[int]) -> list[Month]:
    """Every month of every year, in order of time.

    Raises
    ------
    RegionError
        No month, or a number that is none.
    """
    wanted = {
        Month(year, number)
        for year in _numbers("years", years, EARLIEST.year, _LAST_YEAR)
        for number in _numbers("months", months, 1, 12)
    }
    return sorted(wanted)


def _numbers(name: str, given: Any, least: int, most: int) -> list[int]:
    numbers = [given] if isinstance(given, int) else list(given) if isinstance(given, Iterable) else []
    if not numbers or not all(type(number) is int and least <= number <= most for number in numbers):
        raise RegionError(f"{name}: found {given!r:.60}, expected whole numbers, {least} to {most}, at least one.")
    return numbers


def _composites(
    bbox: Any,
    datetime: str,
    periods: Sequence[Period] | None,
    resolution: float,
    archive: str,
    bands: Any,
    *,
    catalog_url: str | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    aod_by_day: Any = None,
    **settings: Any,
) -> Iterator[CompositeResult]:
    """One composite a period, by default of all of `datetime`; what is asked for is checked before anything is."""
    request = CompositeRequest(
        bbox=bbox.tolist() if hasattr(bbox, "tolist") else bbox,  # such as geopandas' `total_bounds`
        datetime=datetime,
        resolution=resolution,
        bands=USUAL_BANDS if bands is None else tuple(bands) if isinstance(bands, list) else bands,
        aod_by_day={} if aod_by_day is None else _depth_of_days(aod_by_day),
        **settings,
    )
    if progress is not None and archive == "demo":
        progress("demo archive, which is made once", 0.0)
    opened = _opened(request, archive, catalog_url, cache)
    return _composed(opened, request, periods or [request.period], progress, usual_bands=bands is None)


def _depth_of_days(given: Any) -> dict[date, float]:
    """Aerosol optical depths by date, from a mapping whose days may be texts."""
    expected = f"expected a mapping of days to optical depths, 0 to {_THICKEST:g}, such as {{'2024-06-10': 0.12}}"
    if not isinstance(given, Mapping):
        raise RegionError(f"aod_by_day: found {given!r:.60}, {expected}.")
    depths: dict[date, float] = {}
    for day, depth in given.items():
        try:
            when = date.fromisoformat(day) if isinstance(day, str) else day
        except ValueError:
            when = None
        if not isinstance(when, date) or not isinstance(depth, int | float) or not 0 <= depth <= _THICKEST:
            raise RegionError(f"aod_by_day: found {day!r:.40}: {depth!r:.40}, {expected}.")
        depths[date(when.year, when.month, when.day)] = depth  # a moment counts for its day
    return depths


def _opened(request: CompositeRequest, archive: str, catalog_url: str | None, cache: str | Path | None) -> Archive:
    if not isinstance(archive, str):
        raise RegionError(f"archive: found {archive!r:.60}, expected a name; `geo-assets archives` lists them.")
    if catalog_url is not None and (archive == "demo" or is_local(archive)):
        raise RegionError(
            f"catalog_url: found {catalog_url!r:.200}, and archive {archive} is read from files. Leave it out."
        )
    return open_named_archive(
        archive,
        credentials=Credentials.from_environment(os.environ),
        home=None if cache is None else expanded(str(cache)),
        catalog_url=catalog_url,
        levels=(*_SURFACE, "L1C") if _L1C_ONLY & set(request.bands) else _SURFACE,
        bands=request.bands,
        area=area_of(request.bbox),
        period=request.period,
        max_cloud_cover=request.max_cloud_cover,
    )


def _composed(
    archive: Archive,
    request: CompositeRequest,
    periods: Sequence[Period],
    progress: Progress | None,
    *,
    usual_bands: bool,
) -> Iterator[CompositeResult]:
    with closing(archive):
        if usual_bands:
            request = _with_offered_bands(request, archive)
        counted: dict[str, float] = {}  # the search's requests, which the first composite is charged with
        for composite in compose_periods(archive, request, periods, progress=progress):
            if composite.reason is not None:
                _log.warning("Composite from %s on is empty: %s", f"{composite.period[0]:%Y-%m-%d}", composite.reason)
            searched = _searched(archive)
            extra = {name: value - counted.get(name, 0) for name, value in searched.items()}
            counted = searched
            yield _result(composite, archive, extra)


def _searched(archive: Archive) -> dict[str, float]:
    """What searches have asked of the network so far."""
    asked = archive.chosen if isinstance(archive, AutoArchive) else archive
    return dict(asked.asked.snapshot()) if isinstance(asked, StacApiArchive) else {}


def _with_offered_bands(request: CompositeRequest, archive: Archive) -> CompositeRequest:
    """The request for those of its bands that some level of the archive has; all, where it offers nothing yet."""
    offers = archive.offers().values()
    offered = max(([band for band in request.bands if band in names] for names in offers), key=len, default=[])
    return replace(request, bands=tuple(offered)) if offered else request


def _result(composite: BboxComposite, archive: Archive, searched: Mapping[str, float]) -> CompositeResult:
    fields = {name: getattr(composite, name) for name in BboxComposite.__dataclass_fields__}
    fields["traffic"] = {name: value + searched.get(name, 0) for name, value in composite.traffic.items()}
    return CompositeResult(**fields, archive=archive.name, archive_reason=archive.chosen_because)


def cloud_probability(
    bands: Mapping[str, Any],
    *,
    offset: int = 0,
    quantification: int | None = QUANTIFICATION,
    valid: Any = None,
) -> NDArray[np.float32]:
    """How probable cloud is in every pixel of a Sentinel-2 L1C scene: exactly what s2cloudless gives, only sooner.

    Parameters
    ----------
    bands
        Band -> (y, x) array, all on one grid: B01 B02 B04 B05 B08 B8A B09 B10 B11 B12, in any order, under those names
        or as `coastal`, `blue`, ...; other Sentinel-2 bands are passed over. Integers are counts as stored (DN), 0 to
        65535; floats are top-of-atmosphere reflectance, and then `quantification` is None.
    offset
        Added to DN before the division: RADIO_ADD_OFFSET of the product's metadata, -1000 since processing baseline
        04.00. Left out where it belongs, all pixels turn cloud; where the counts show that it is, a warning is logged.
    quantification
        DN per unit reflectance, QUANTIFICATION_VALUE of the metadata; None where `bands` are reflectance.
    valid
        (y, x) bool: exactly these pixels are judged, NaN in them as LightGBM does. Without it DN are valid unless all
        bands are 0 (single zeros are dark pixels), and reflectance where no band is NaN.

    Returns
    -------
    probability
        (y, x) float32, 0 to 1; NaN where not valid.

    Raises
    ------
    DetectorError
        Bands are missing (L2A has no B10), unknown or given twice; their values, offset and quantification do not fit
        together.
    GridMismatchError
        Arrays of unequal shapes.

    Notes
    -----
    s2cloudless calls a pixel cloud above 0.4, `cloud_mask` above 0.45.

    Examples
    --------
    >>> import geo_assets
    >>> probability = geo_assets.cloud_probability(bands, offset=-1000)  # doctest: +SKIP
    >>> cloud = probability > 0.45  # doctest: +SKIP
    """
    scene = scene_input(bands, offset=offset, quantification=quantification, valid=valid, any_seen=True, in_double=True)
    expect_bands("Bands", scene.bands, [S2Cloudless()])
    _tell_offset_doubt(scene)
    return s2cloudless_probability(scene)


def cloud_mask(
    bands: Mapping[str, Any],
    *,
    angles: GivenAngles,
    resolution_m: float,
    offset: int = 0,
    quantification: int | None = QUANTIFICATION,
    valid: Any = None,
    detectors: Sequence[str | Detector] = HYBRID,
    cloud_buffer_m: float = 0.0,
    shadow_buffer_m: float = 0.0,
) -> CloudMask:
    """Cloud, shadow, snow and water of a Sentinel-2 L1C scene, by s2cloudless and an Fmask-type detector together.

    Parameters
    ----------
    bands, offset, quantification
        As for `cloud_probability`. The default detectors need all bands but B06; `detectors=("fmask",)` is content
        with B02 B03 B04 B08 B11 B12 and notes what it skips.
    angles
        Where sun and sensor stand, degrees, azimuths clockwise from north: a mapping of `sun_zenith` (or
        `sun_elevation`), `sun_azimuth` and, where known, `view_zenith` and `view_azimuth`, numbers or (y, x) arrays;
        STAC's `view:*` names are understood. None: cloud without matched shadow, which `skipped` tells.
    resolution_m
        Edge of a pixel, 5 to 1000 m; 20 to 60 is best.
    valid
        (y, x) bool, the pixels that were seen. Without it DN are valid where none of blue, green and red is 0, and
        reflectance where no band is NaN.
    detectors
        `s2cloudless`, `fmask`, names of installed plug-ins, or detectors themselves.
    cloud_buffer_m, shadow_buffer_m
        How far cloud and shadow are grown. Cloud wins over shadow, and nothing grows over fill.

    Returns
    -------
    mask
        Codes, who flagged each pixel, probability, and what had to be skipped.

    Raises
    ------
    DetectorError
        As `cloud_probability`; or angles, resolution, detectors or buffers that cannot be.
    GridMismatchError
        Arrays of unequal shapes.

    Examples
    --------
    >>> import geo_assets
    >>> mask = geo_assets.cloud_mask(  # doctest: +SKIP
    ...     bands, angles={"sun_zenith": 31.2, "sun_azimuth": 147.1}, resolution_m=60, offset=-1000
    ... )
    >>> mask.share()  # doctest: +SKIP
    {'clear': 0.61, 'cloud': 0.28, 'shadow': 0.07, 'snow': 0.0, 'water': 0.04}
    >>> clear = geo_assets.apply_mask(geo_assets.ndvi(nir=nir, red=red), mask.codes)  # doctest: +SKIP
    """
    chosen = named_detectors(detectors)
    scene = scene_input(
        bands, offset=offset, quantification=quantification, valid=valid, angles=angles, resolution_m=resolution_m
    )
    _tell_offset_doubt(scene)
    return scene_mask(scene, chosen, cloud_buffer_m=cloud_buffer_m, shadow_buffer_m=shadow_buffer_m)


def _tell_offset_doubt(scene: DetectorInput) -> None:
    """Log a warning where counts speak against the offset that they are going to be given."""
    if scene.quantification != QUANTIFICATION:
        return
    step = max(1, math.isqrt(scene.valid.size // _TELLING_PIXELS))
    doubt = offset_doubt({name: counts[::step, ::step] for name, counts in scene.bands.items()}, scene.offset)
    if doubt is not None:
        _log.warning("Bands: %s. With a wrong offset nearly all pixels turn cloud, or clouds are missed.", doubt)


def places_of(region: Region) -> Iterator[Place]:
    """Every product of a region, in an order in which each finds its inputs made."""
    from geo_assets.stations.catalog import station_places, stations_of  # 0.5 s, which a composite should not pay

    for station in stations_of(region):
        yield from station_places(region, station)


def run_line(line: Line) -> Iterator[Outcome]:
    """Run every station of a line on all its tiles and months, one product after the other.

    Yields
    ------
    outcome
        Of each product, when it is done; finished products are found and kept.

    Raises
    ------
    GeoAssetsError
        The first product that cannot be made; what was finished stays.
    """
    from geo_assets.stations.catalog import STATION_BY_NAME

    for place in places_of(line.region):
        yield run_station(line, STATION_BY_NAME[place.station], place)
