"""Sections of a month's report that are figures: seams, overlaps, harmonisation, composite, uncertainty, histograms.

Products of an older version lack some figures: a dash stands for them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from geo_assets.domain import goals
from geo_assets.domain.tile_month import Month
from geo_assets.io.pictures.report_plots import histogram_plot, seam_profile_plot
from geo_assets.io.places import Place
from geo_assets.io.products import Product
from geo_assets.io.report_page import ReportPicture, ReportSection, ReportTable
from geo_assets.kernels.histogram import FIRST_VALUE, merged
from geo_assets.stations.line import Line
from geo_assets.stations.report_goals import MetricsByTile, figure, number, percent
from geo_assets.stations.sheet import COMPOSITE_WORDS, composite_pictures
from geo_assets.stations.stats import NORMALIZATION_STATS, read_histogram

_MAP_PX = 1024
_MOST_PAIRS = 100


def seam_section(mosaics: MetricsByTile) -> ReportSection:
    """Steps across the lines where contributors change, by tile, and their mean profile."""
    profiles = [found["seam_profile"] for found in mosaics.values() if found.get("seam_profile")]
    offsets = sorted({float(offset) for profile in profiles for offset in profile.get("mosaic", {})})
    pictures = []
    if offsets:
        mosaic, naive = (_mean_profile(profiles, which, offsets) for which in ("mosaic", "naive"))
        plot = seam_profile_plot(offsets, mosaic, naive)
        alt = (
            f"Plot of the mean step over the distance from the seam. At the seam {_at(0, offsets, naive)} counts where "
            f"tiles lie over each other, {_at(0, offsets, mosaic)} in the mosaic."
        )
        pictures = [ReportPicture.of_svg(plot, "Mean step beside the lines where the contributors change", alt=alt)]
    if not any(number(found.get("seam_ratio")) is not None for found in mosaics.values()):
        return ReportSection(
            "Seams", "No seam was measured: no two tiles with data overlap far enough, or an older version made them."
        )
    columns = (
        "seam_step_dn", "seam_floor_dn", "seam_ratio", "seam_naive_ratio", "seam_sources_dn", "seam_segments",
        "sharpness_kept",
    )  # fmt: skip
    return ReportSection(
        "Seams",
        "The signed step that blending adds on each line where the set of contributing tiles changes, together with "
        "the land's beside it, averaged over segments of 256 pixels: root mean square in counts. The floor is the "
        "land's alone; a ratio of 1 is no seam. `Not blended` is what tiles laid over each other would show; `own` is "
        "how much the composites themselves step on these lines, as between dates along a cloud, which is no seam.",
        pictures,
        ReportTable(
            ("Tile", "area with a value", "step", "floor", "ratio", "not blended", "own", "segments", "sharpness kept"),
            [
                (tile, percent(found.get("valid_share")), *(figure(found.get(name)) for name in columns))
                for tile, found in mosaics.items()
            ],
        ),
    )


def _at(offset: float, offsets: Sequence[float], steps: Sequence[float | None]) -> str:
    return figure(steps[offsets.index(offset)]) if offset in offsets else "-"


def _mean_profile(
    profiles: Sequence[Mapping[str, Mapping[str, float | None]]], which: str, offsets: Sequence[float]
) -> list[float | None]:
    """Mean over tiles of the step at each offset."""
    steps: list[float | None] = []
    for offset in offsets:
        found = [
            float(step)
            for profile in profiles
            for name, step in profile.get(which, {}).items()
            if step is not None and float(name) == offset
        ]
        steps.append(float(np.mean(found)) if found else None)
    return steps


def overlap_section(mosaics: MetricsByTile) -> Iterator[ReportSection]:
    """How far every pair of tiles differs, the worst first; nothing where none overlap."""
    # Both tiles of a pair may have measured it, each on the ground of its own mosaic: the one that saw more counts.
    pairs: dict[str, Mapping[str, Any]] = {}
    for found in mosaics.values():
        for pair, bands in (found.get("overlap") or {}).items():
            if pair not in pairs or _pixels(bands) > _pixels(pairs[pair]):
                pairs[pair] = bands
    if not pairs:
        return
    rows = []
    for pair, bands in pairs.items():
        bias, rmse = (
            {band: value for band, figures in bands.items() if (value := number(figures.get(name))) is not None}
            for name in ("bias", "rmse")
        )
        at_bias, at_rmse = _largest(bias), _largest(rmse)
        told = (_signed(bias.get(at_bias)), at_bias, _signed(rmse.get(at_rmse)).lstrip("+"), at_rmse)
        rows.append((abs(bias.get(at_bias, 0.0)), (pair.replace("+", " and "), *told, figure(_pixels(bands)))))
    rows.sort(key=lambda row: (-row[0], row[1]))
    shown = [row for _, row in rows[:_MOST_PAIRS]]
    text = "First tile less second where both have data, reflectance, as they are blended; the worst band of each pair."
    if len(rows) > len(shown):
        text += f" The worst {len(shown)} of {len(rows)} pairs."
    yield ReportSection(
        "Overlaps", text, table=ReportTable(("Pair", "mean difference", "in", "RMSE", "in", "pixels"), shown)
    )


def _largest(by_band: Mapping[str, float]) -> str:
    """The band with the largest size; empty where there is none."""
    return max(by_band, key=lambda band: abs(by_band[band]), default="")


def _pixels(bands: Mapping[str, Any]) -> float:
    return max((number(figures.get("pixels")) or 0.0 for figures in bands.values()), default=0.0)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 4) + 0.0:+.4f}"  # no minus before nothing


def harmonisation_section(product: Product | None) -> ReportSection:
    """Gains and offsets of every tile and band, and what they did to the overlaps."""
    title = "Harmonisation"
    if product is None:
        return ReportSection(title, "The month's gains and offsets are no longer in the store.")
    found: Mapping[str, Any] = product.manifest.metrics
    gains, offsets = found.get("gains") or {}, found.get("offsets") or {}
    if product.manifest.status == "empty":
        return ReportSection(title, f"Nothing was harmonised: {product.manifest.reason or 'no overlap'}.")
    tiles = sorted({tile for of_band in gains.values() for tile in of_band})
    rows = [
        (
            tile,
            *(f"{gains[band].get(tile, 1.0):.4f} {offsets.get(band, {}).get(tile, 0.0):+.4f}" for band in gains),
        )
        for tile in tiles
    ]
    caption = "Gains and offsets by tile and band, and overlaps before and after"
    pictures = [
        ReportPicture.of_png(product.bytes(file.name), caption)
        for file in product.manifest.files
        if file.role.startswith("overview")
    ]
    bias, rmse = (
        f"{figure(found.get(f'overlap_{name}_before'))} before and {figure(found.get(f'overlap_{name}_after'))} after"
        for name in ("bias", "rmse")
    )
    refused = found.get("refused")
    text = (
        "Gain and offset (reflectance) of every tile, solved over all overlaps of the month at once. The worst bias "
        f"between overlapping tiles is {bias}, the worst RMSE {rmse}."
    )
    if isinstance(refused, list) and refused:
        text += f" Not applied, for overlaps would agree no better: {', '.join(map(str, refused))}."
    return ReportSection(title, text, pictures, ReportTable(("Tile", *gains), rows))


def composite_section(line: Line, month: Month, composites: MetricsByTile) -> ReportSection:
    """What the composites are made of."""
    pictures = [
        ReportPicture.of_classes(picture, caption, alt=f"Map of the region: {caption.lower()}")
        for caption, picture in composite_pictures(line, month, max_px=2 * _MAP_PX)
    ]
    rows = []
    for tile, found in composites.items():
        days = found.get("temporal_distance_days") or {}
        scenes = found.get("scenes")
        of = f" of {len(scenes)}" if isinstance(scenes, list) else ""
        rows.append(
            (
                tile,
                percent(found.get("valid_share")),
                f"{figure(found.get('scenes_used'))}{of}",
                f"{figure(days.get('median'))}, {figure(days.get('p95'))}",
                percent(found.get("date_fragmentation")),
            )
        )
    heading = ("Tile", "area with a value", "scenes used", "days from target, median and 95 %", "differ in day")
    method = COMPOSITE_WORDS[line.region.composite.method]
    return ReportSection(
        f"Composite: {method}",
        "How many clear observations every pixel has, and the day of the one it shows; pixels beside each other that "
        "differ in day make a patchwork.",
        pictures,
        ReportTable(heading, rows),
    )


def calibration_section(composites: MetricsByTile) -> Iterator[ReportSection]:
    """How many held-out observations lie within the stated uncertainty; nothing where none was held out."""
    rows = [
        (
            f"{tile} {band}",
            figure(shares.get("held_out")),
            *(percent(shares.get(name)) for name in goals.HONEST),
        )
        for tile, found in composites.items()
        for band, shares in (found.get("calibration") or {}).items()
        if shares.get("held_out")
    ]
    if rows:
        wanted = " and ".join(f"{low:.0%} to {high:.0%}" for low, high in goals.HONEST.values())
        yield ReportSection(
            "Uncertainty",
            "Clear observations that were held out, and their share within one and two standard uncertainties of the "
            f"composite of the others: {wanted} say that the uncertainty is honest.",
            table=ReportTable(("Tile and band", "held out", "within 1 sigma", "within 2 sigma"), rows),
        )


def histogram_section(line: Line, month: Month) -> ReportSection:
    """The bands' histograms over all tiles."""
    products = [line.products.find(Place(NORMALIZATION_STATS.name, tile, month)) for tile in line.region.tile_ids]
    found = [read_histogram(product) for product in products if product and product.manifest.status == "done"]
    if not found:
        return ReportSection("Histograms", "The tiles' statistics have not been made.")
    whole = merged(found)
    by_band = dict(zip(line.region.bands, whole.counts, strict=True))
    means = {
        band: float(np.average(np.arange(len(counts)) + FIRST_VALUE, weights=counts)) * 1e-4
        for band, counts in by_band.items()
        if counts.any()
    }
    alt = f"Histograms of reflectance; means: {', '.join(f'{band} {mean:.3f}' for band, mean in means.items())}"
    plot = histogram_plot(by_band, first_value=FIRST_VALUE, scale=1e-4)
    return ReportSection(
        "Histograms", f"All bands of all tiles: {int(whole.pixels.max()):,} pixels in the area; ground that two tiles "
        "share counts twice.",
        [ReportPicture.of_svg(plot, "Share of pixels over surface reflectance", alt=alt)],
    )  # fmt: skip
