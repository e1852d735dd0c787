"""The figures M1 to M11 of a month and the honesty of its uncertainty, each held against its goal."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import le
from typing import Any, TypeAlias

from geo_assets.domain import goals
from geo_assets.domain.region import Region
from geo_assets.io.report_page import Goal, Verdict
from geo_assets.stations.region_mosaic import region_figures

MetricsByTile: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Tile -> metrics of its manifest; of an older version's, some are lacking."""

_A_FAULT = (
    "This cannot come from the data. Delete the folders of the month's mosaics and run `geo-assets backfill`; "
    "if it stays, tell the makers."
)


def goals_of(region: Region, composites: MetricsByTile, mosaics: MetricsByTile) -> list[Goal]:
    """Figures of the region's month: of each the worst tile, or the sum over tiles."""
    return [
        _seam(region, mosaics),
        *_overlaps(region, mosaics),
        *_fidelity(region, mosaics),
        _corrections(region, mosaics),
        *_composites(region, composites),
        *_honesty(region, composites),
    ]


def number(value: object) -> float | None:
    """A metric if it is a number, else None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def figure(value: object) -> str:
    """A number for reading; a dash where there is none."""
    found = number(value)
    if found is None:
        return "-"
    if float(found).is_integer():
        return f"{found:,.0f}"
    return f"{found:,.0f}" if abs(found) >= 100 else f"{found:#.3g}"


def percent(value: object) -> str:
    """A share for reading; a dash where there is none."""
    found = number(value)
    return "-" if found is None else f"{found:.1%}"


def _seam(region: Region, mosaics: MetricsByTile) -> Goal:
    found = region_figures(mosaics)
    ratio, naive, worst = found["seam_ratio"], found["seam_naive_ratio"], found["seam_worst"]
    what = "Seams are not seen: steps where the contributing tiles change, over those of the land beside"
    if naive is not None:
        what += f". Tiles laid over each other would have {figure(naive)}"
    if worst is not None:
        what += f". Worst: tile {worst['tile']}" + (f", band {worst['band']}" if worst["band"] else "")
    limit = goals.largest_seam_ratio(region.mosaic.seam_limit, found["seam_ratio_by_chance"])
    return _at_most("M1", what, ratio, limit, _against_seams(region))


def _against_seams(region: Region) -> str:
    """What the region has not tried yet."""
    untried = [
        *(["`mosaic.harmonise: gain_offset` where tiles differ in light"] * (region.mosaic.harmonise == "none")),
        *(["`mosaic.seamline: true` where the ground changed between their days"] * (not region.mosaic.seamline)),
        "a wider `mosaic.feather_m`",
        "more scenes (`selection.top_k`), so that neighbours show the same days",
    ]
    return f"Try {'; '.join(untried)}."


def _overlaps(region: Region, mosaics: MetricsByTile) -> Iterator[Goal]:
    remedy = (
        "Set `mosaic.harmonise: gain_offset`."
        if region.mosaic.harmonise == "none"
        else "A gain and an offset do not explain it: look for haze, cloud or other days in the pairs below "
        "(`mask.cloud_buffer_m`, more scenes by `selection.top_k`)."
    )
    what = "Overlapping tiles agree in the mean: worst difference of a pair and band, reflectance"
    yield _at_most("M2", what, region_figures(mosaics)["overlap_bias"], goals.LARGEST_OVERLAP_BIAS, remedy)
    for name, visible, limit in (
        ("visible", True, goals.LARGEST_OVERLAP_RMSE_VISIBLE),
        ("infrared", False, goals.LARGEST_OVERLAP_RMSE_INFRARED),
    ):
        found = [
            rmse
            for metrics in mosaics.values()
            for bands in (metrics.get("overlap") or {}).values()
            for band, figures in bands.items()
            if (band in goals.VISIBLE) == visible and (rmse := number(figures.get("rmse"))) is not None
        ]
        what = f"Overlapping tiles agree pixel by pixel: worst RMSE of a pair, {name} bands, reflectance"
        yield _at_most("M2", what, max(found, default=None), limit, remedy)


def _fidelity(region: Region, mosaics: MetricsByTile) -> Iterator[Goal]:
    yield _none("M3", "Pixels of one tile alone are that tile's: pixels that differ", mosaics,
                "single_source_mismatch_px")  # fmt: skip
    yield _none("M4", "Data exactly where a tile has data: pixels where not", mosaics, "validity_mismatch_px")
    yield _none("M5", "Blended pixels lie between their tiles: pixels outside", mosaics, "outside_inputs_px")
    least = goals.LEAST_SHARPNESS_SEAMLINE if region.mosaic.seamline else goals.LEAST_SHARPNESS
    kept = min(_numbers(mosaics, "sharpness_kept"), default=None)
    remedy = (
        "Tiles lie beside each other, or changed: compare the scenes of the tile below."
        if region.mosaic.seamline
        else "Set `mosaic.seamline: true`: it blends along a line only, and keeps details."
    )
    what = "Details survive where tiles overlap: gradient energy over that of the tiles, worst tile"
    yield _goal("M7", what, kept, f"at least {least:g}", lambda value: value >= least, remedy)


def _corrections(region: Region, mosaics: MetricsByTile) -> Goal:
    what = "Corrections stay small: tiles that would need more than the bounds, and were left alone"
    if region.mosaic.harmonise == "none":
        return Goal("M8", what, "no correction asked for", "", "quiet")
    told = [metrics["harmonised"] for metrics in mosaics.values() if isinstance(metrics.get("harmonised"), Mapping)]
    alone: dict[str, set[str]] = {}
    for harmonised in told:
        left = harmonised.get("left_alone") or {}
        for tile in left:
            alone.setdefault(str(tile), set()).update(map(str, left[tile]) if isinstance(left, Mapping) else ())
    if not told:
        return Goal("M8", what, "not measured", "none", "quiet")
    words = "; ".join(
        f"{tile} ({', '.join(sorted(bands))})" if bands else tile for tile, bands in sorted(alone.items())
    )
    remedy = "Look at the scenes of these tiles for cloud, haze, or counts with another offset."
    return Goal("M8", what, words or "none", "none", "missed" if alone else "met", remedy if alone else "")


def _composites(region: Region, composites: MetricsByTile) -> Iterator[Goal]:
    settings = region.composite
    yield _none("M9", "A value wherever something clear was seen, and nowhere else: pixels where not", composites,
                "nodata_mismatch_px")  # fmt: skip
    least = settings.minimum_coverage
    yield _goal(
        "M9",
        "Share of the area with a value, worst tile",
        min(_numbers(composites, "valid_share"), default=None),
        f"at least {least:.0%}" if least else "",
        (lambda share: share >= least) if least else None,
        "Allow more scenes (`selection.top_k`, `selection.max_cloud_cover`), or ask for less.",
        told=percent,
    )
    found = (metrics.get("temporal_distance_days") or {} for metrics in composites.values())
    days = [median for distance in found if (median := number(distance.get("median"))) is not None]
    yield _at_most(
        "M10",
        f"Pixels are from near day {settings.target_day}: median distance in days, worst tile",
        max(days, default=None),
        goals.LARGEST_TEMPORAL_DISTANCE_DAYS if settings.method in goals.NEAR_A_DAY else None,
        "Raise `composite.weights.date` or `selection.top_k`, or move `composite.target_day`.",
    )
    yield _at_most(
        "M11",
        "Days lie in patches: share of neighbouring pixels of different days, worst tile",
        max(_numbers(composites, "date_fragmentation"), default=None),
        goals.LARGEST_DATE_FRAGMENTATION if settings.method in goals.OF_ONE_DATE else None,
        "Fewer scenes (`selection.top_k`) or wider mask buffers make larger patches.",
        told=percent,
    )


def _honesty(region: Region, composites: MetricsByTile) -> Iterator[Goal]:
    """How often held-out observations lie within the stated uncertainty, where that can be told."""
    judged = [
        shares
        for metrics in composites.values()
        for shares in (metrics.get("calibration") or {}).values()
        if (number(shares.get("held_out")) or 0) >= goals.FEWEST_HELD_OUT
    ]
    aside = region.composite.method in goals.ASIDE
    for name, least in goals.LEAST_HONEST.items() if judged else ():
        found = min((share for shares in judged if (share := number(shares.get(name))) is not None), default=None)
        yield _goal(
            "M14",
            f"Uncertainty is honest: share of held-out observations {name.replace('_', ' ')}, worst tile and band",
            found,
            "" if aside else f"at least {least:.0%}",
            None if aside else partial(le, least),
            "The mask may leave haze: see `mask.cloud_buffer_m`.",
            told=percent,
        )


def _numbers(metrics: MetricsByTile, name: str) -> list[float]:
    return [value for found in metrics.values() if (value := number(found.get(name))) is not None]


def _none(name: str, what: str, metrics: MetricsByTile, key: str) -> Goal:
    """Held against no pixel at all, over all tiles."""
    found = _numbers(metrics, key)
    return _goal(name, what, sum(found) if found else None, "0", lambda pixels: pixels == 0, _A_FAULT)


def _at_most(
    name: str,
    what: str,
    found: float | None,
    limit: float | None,
    remedy: str,
    *,
    told: Callable[[object], str] = figure,
) -> Goal:
    if limit is None:
        return _goal(name, what, found, "", None, remedy, told=told)
    words = percent(limit) if told is percent else f"{limit:.3g}"
    return _goal(name, what, found, f"at most {words}", lambda value: abs(value) <= limit, remedy, told=told)


def _goal(
    name: str,
    what: str,
    found: float | None,
    goal: str,
    reached: Callable[[float], bool] | None,
    remedy: str,
    *,
    told: Callable[[object], str] = figure,
) -> Goal:
    verdict: Verdict = "quiet"
    if found is not None and reached is not None:
        verdict = "met" if reached(found) else "missed"
    words = "not measured" if found is None else told(found)
    return Goal(name, what, words, goal, verdict, remedy if verdict == "missed" else "")
