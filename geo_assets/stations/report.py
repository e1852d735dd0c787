"""A month of a region as a report: figures against their goals, maps, plots, and what every tile has."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from geo_assets.domain.errors import MissingProductError
from geo_assets.domain.modis_grid import SINUSOIDAL
from geo_assets.domain.region import Region
from geo_assets.domain.tile_grid import tile_crs
from geo_assets.domain.tile_month import Month
from geo_assets.io.places import Place
from geo_assets.io.products import Product
from geo_assets.io.report_page import (
    Calendar,
    CalendarCell,
    CalendarRow,
    Report,
    ReportPicture,
    ReportSection,
    ReportTable,
    report_page,
)
from geo_assets.stations.attribution import attribution_of
from geo_assets.stations.composite import MONTHLY_COMPOSITE
from geo_assets.stations.harmonisation import HARMONISATION, harmonisation_wanted
from geo_assets.stations.line import Line, Station, expected
from geo_assets.stations.mosaic import MOSAIC_FILE, SEAM_BLENDED_MOSAIC
from geo_assets.stations.mosaic_grid import mosaic_crs, most_frequent_crs
from geo_assets.stations.region_mosaic import REGION_MOSAIC, region_figures
from geo_assets.stations.report_goals import MetricsByTile, figure, goals_of, number
from geo_assets.stations.report_sections import (
    calibration_section,
    composite_section,
    harmonisation_section,
    histogram_section,
    overlap_section,
    seam_section,
)
from geo_assets.stations.report_zoom import PROBE_PX, ZOOM_PX, worst_edge
from geo_assets.stations.sheet import acquisitions_of, mosaic_pictures, scene_pictures

_MAP_PX = 1024
_SCENE_PX = 512
_MOST_SCENES = 12
_MOST_MONTHS = 12
_MOST_NAMED = 4


def month_report(line: Line, month: Month) -> bytes:
    """The report of one month as a self-contained HTML page: for the same products the same bytes.

    Raises
    ------
    MissingProductError
        A composite or mosaic of the month has not been made.
    """
    composites = _products(line, MONTHLY_COMPOSITE, month)
    mosaics = _products(line, SEAM_BLENDED_MOSAIC, month)
    whole = line.products.need(Place(REGION_MOSAIC.name, None, month))
    region = line.region
    of_composites, of_mosaics = _done(composites), _done(mosaics)
    return report_page(
        Report(
            title=f"{region.name}, {month}",
            subtitle=_subtitle(region),
            notes=[*_notes(line, [*composites.values(), *mosaics.values(), whole])],
            goals=goals_of(region, of_composites, of_mosaics),
            sections=[*_sections(line, month, of_composites, of_mosaics)],
            calendar=_calendar(line, month),
            small_print=_small_print(whole, mosaics),
            provenance=_provenance(line, month, [*composites.values(), *mosaics.values(), whole]),
        )
    )


def _subtitle(region: Region) -> str:
    """How the month was made."""
    count, crs = len(region.tile_ids), mosaic_crs(region)
    grid, blending = f"in {crs}", f"feather {region.feather_m:g} m, harmonise {region.mosaic.harmonise}, seamline "
    blending += "yes" if region.mosaic.seamline else "no"
    if crs == SINUSOIDAL:
        grid, blending = "of the MODIS sinusoidal grid", "tiles joined, for they do not overlap"
    return (
        f"{count} tile{'s' * (count != 1)} {grid}, {region.pixel_m:g} m; {', '.join(region.bands)}; "
        f"archive {region.archive.partition(':')[0]}; composite by {region.composite.method}; {blending}"
    )


def _products(line: Line, station: Station, month: Month) -> dict[str, Product]:
    return {tile: line.products.need(Place(station.name, tile, month)) for tile in line.region.tile_ids}


def _done(products: Mapping[str, Product]) -> dict[str, Mapping[str, Any]]:
    """Tile -> metrics, of the products that hold data."""
    return {tile: product.manifest.metrics for tile, product in products.items() if product.manifest.status == "done"}


def _notes(line: Line, products: list[Product]) -> Iterator[str]:
    """What is empty, and what was made from other settings or inputs than the region has now."""
    empty = [
        product.manifest
        for product in products
        if product.manifest.status == "empty" and product.manifest.station == MONTHLY_COMPOSITE.name
    ]
    reasons = sorted({manifest.reason for manifest in empty if manifest.reason})
    why = f" Reasons: {'; '.join(reasons[:_MOST_NAMED])}." if reasons else ""
    if len(empty) == len(line.region.tile_ids):
        yield f"No tile has data in this month.{why}"
    elif empty:
        yield f"Tiles without data in this month: {', '.join(sorted(str(manifest.tile) for manifest in empty))}.{why}"
    stale = sorted(str(product.place) for product in products if _is_stale(line, product))
    if stale:
        more = f" and {len(stale) - _MOST_NAMED} more" if len(stale) > _MOST_NAMED else ""
        shown = "; ".join(stale[:_MOST_NAMED]) + more
        yield (
            f"Made from other settings or inputs than the region has now: {shown}. `geo-assets backfill` makes them "
            "again; until then settings named here need not be those of the products."
        )


def _is_stale(line: Line, product: Product) -> bool:
    """Whether it would be made anew; False where its inputs are gone, for then nobody can tell."""
    stations = {station.name: station for station in (MONTHLY_COMPOSITE, SEAM_BLENDED_MOSAIC, REGION_MOSAIC)}
    try:
        wanted, _ = expected(line, stations[product.place.station], product.place)
    except MissingProductError:
        return False
    return wanted != product.manifest.fingerprint


def _sections(line: Line, month: Month, composites: MetricsByTile, mosaics: MetricsByTile) -> Iterator[ReportSection]:
    if not mosaics:
        return
    yield _before_and_after(line, month)
    yield from _zoom(line, month, list(composites), mosaics)
    yield seam_section(mosaics)
    yield from overlap_section(mosaics)
    if harmonisation_wanted(line.region):
        yield harmonisation_section(line.products.find(Place(HARMONISATION.name, None, month)))
    yield composite_section(line, month, composites)
    yield from calibration_section(composites)
    yield histogram_section(line, month)
    yield _observations(line, month)


def _before_and_after(line: Line, month: Month) -> ReportSection:
    text = "Left, tiles laid over each other; right, the mosaic. Both with one fixed stretch."
    crs = most_frequent_crs(line.region)
    if {tile_crs(tile) for tile in line.region.tile_ids} != {crs}:
        text += f" Left only the tiles of {crs}, which are most."
    elif mosaic_crs(line.region) != crs:
        text += f" Left in {crs}, the tiles' own grid."
    alts = ("Map of the region: the tiles' composites with hard edges", "Map of the region: the blended mosaic")
    pictures = [
        ReportPicture.of_photo(picture, caption, max_px=_MAP_PX, alt=alt)
        for (caption, picture), alt in zip(mosaic_pictures(line, month, max_px=2 * _MAP_PX), alts, strict=True)
    ]
    return ReportSection("Before and after blending", text, pictures)


def _zoom(line: Line, month: Month, tiles: Sequence[str], mosaics: MetricsByTile) -> Iterator[ReportSection]:
    worst = region_figures(mosaics)["seam_worst"]
    found = worst_edge(line, month, tiles, near=worst["tile"] if worst else None)
    if found is None:
        return
    height, width = found.shape
    yield ReportSection(
        "The hardest edge, at full resolution",
        f"Through the middle runs the edge of {found.tile}, beyond which {found.other} goes on. Here the two differ by "
        f"{figure(found.difference)} of reflectance in {found.band} (mean of {PROBE_PX} x {PROBE_PX} pixels), more "
        "than elsewhere along the edges of the tile with the worst seam. "
        f"{width} x {height} pixels, both with one stretch: that of the mosaic here.",
        [
            ReportPicture.of_photo(
                picture,
                caption,
                max_px=2 * ZOOM_PX,
                quality=88,
                sharp=True,
                alt=f"{caption}: the pixels around the edge of {found.tile} in {found.other}",
            )
            for caption, picture in (("Tiles laid over each other", found.before), ("The mosaic", found.after))
        ],
    )


def _observations(line: Line, month: Month) -> ReportSection:
    title = "Observations"
    try:
        every = acquisitions_of(line, month)
        chosen = dict(list(every.items())[:_MOST_SCENES])
        inputs, masks = scene_pictures(chosen, line, month, max_px=2 * _SCENE_PX)
    except MissingProductError:
        return ReportSection(title, "The month's fetched scenes or masks are no longer in the store.")
    text = (
        "Each selected scene, and beside it what the mask found: cloud orange, shadow purple, snow light blue, water "
        "blue."
    )
    if len(every) > len(chosen):
        text += f" The first {len(chosen)} of {len(every)} acquisitions."
    pictures = [
        ReportPicture.of_photo(picture, caption, max_px=_SCENE_PX, quality=80, alt=f"{kind} of {caption}")
        for scene, mask in zip(inputs, masks, strict=True)
        for kind, (caption, picture) in (("Scene", scene), ("Scene with its mask", (f"{mask[0]}, mask", mask[1])))
    ]
    return ReportSection(title, text, pictures, columns=4)


def _calendar(line: Line, month: Month) -> Calendar:
    """Valid share of every tile and month, as far as composites are made; of long regions the year around the month."""
    months = line.region.month_list
    first = max(0, min(months.index(month) - _MOST_MONTHS // 2, len(months) - _MOST_MONTHS))
    shown = months[first : first + _MOST_MONTHS]
    rows = [
        CalendarRow(tile, [_cell(line.products.find(Place(MONTHLY_COMPOSITE.name, tile, one))) for one in shown])
        for tile in line.region.tile_ids
    ]
    note = "" if len(shown) == len(months) else f"{len(shown)} of the region's {len(months)} months."
    return Calendar([str(one) for one in shown], rows, str(month), note)


def _cell(product: Product | None) -> CalendarCell:
    if product is None:
        return CalendarCell.of_share(None, "not made")
    if product.manifest.status == "empty":
        return CalendarCell.of_share(None, "empty")
    return CalendarCell.of_share(number(product.manifest.metrics.get("valid_share")), "?")


def _small_print(whole: Product, mosaics: Mapping[str, Product]) -> list[str]:
    """What the page is about, so that it can be found again, and whom to name."""
    manifest = whole.manifest
    software = ", ".join(f"{name} {version}" for name, version in sorted(manifest.software.items()))
    attribution = attribution_of(
        product.path(MOSAIC_FILE) for product in mosaics.values() if product.manifest.status == "done"
    )
    lines = [
        f"Region mosaic: fingerprint {manifest.fingerprint}, content {manifest.content_digest}.",
        f"Made with {software}." if software else "",
        f"{attribution}." if attribution else "",
    ]
    return [line for line in lines if line]


def _provenance(line: Line, month: Month, products: list[Product]) -> ReportTable:
    harmonised = (
        line.products.find(Place(HARMONISATION.name, None, month)) if harmonisation_wanted(line.region) else None
    )
    every = [*products, harmonised] if harmonised else products
    return ReportTable(
        ("Product", "status", "fingerprint", "content"),
        [
            (
                str(product.place),
                product.manifest.status,
                product.manifest.fingerprint[:16],
                product.manifest.content_digest[:16],
            )
            for product in every
        ],
    )
