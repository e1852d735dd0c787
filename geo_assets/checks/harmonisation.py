"""Inspectors of the harmonisation: do tiles agree where they overlap, and could all of them be brought to agree?"""

from collections.abc import Mapping

from geo_assets.checks.figures import lacking, numbers
from geo_assets.domain.goals import LARGEST_OVERLAP_BIAS, largest_overlap_rmse
from geo_assets.orchestration.inspection import Evidence, Verdict

BY_BAND, LEFT_ALONE = "by_band", "left_alone"
"""Metrics: band -> figures of its overlaps before and after; tile -> the bands in which it keeps its values."""


def overlaps_agree(evidence: Evidence) -> Verdict:
    """After harmonisation no overlap's mean difference and no band's RMSE is too large, or larger than before."""
    found = evidence.manifest.metrics.get(BY_BAND)
    if not isinstance(found, Mapping):
        return lacking(evidence.manifest, BY_BAND)
    bands = {band: figures for band, record in found.items() if (figures := numbers(record))}
    far = [
        f"{band}: {figure} {figures[f'{figure}_after']:.4f}, expected at most {limit:g}"
        for band, figures in bands.items()
        for figure, limit in (("bias", LARGEST_OVERLAP_BIAS), ("rmse", largest_overlap_rmse(band)))
        if figures[f"{figure}_after"] > limit
    ]
    worse = [
        f"{band}: rmse {figures['rmse_after']:.4f}, before {figures['rmse_before']:.4f}"
        for band, figures in bands.items()
        if figures["rmse_after"] > figures["rmse_before"]
    ]
    said = "; ".join([*far, *worse]) or f"all {len(bands)} bands agree where tiles overlap (reflectance)"
    worst = {
        figure: max((figures[figure] for figures in bands.values()), default=None)
        for figure in ("bias_before", "bias_after", "rmse_before", "rmse_after")
    }
    return Verdict(not far and not worse, said, worst)


def every_tile_is_harmonised(evidence: Evidence) -> Verdict:
    """No tile would need a gain beyond 0.9 to 1.1 or an offset beyond 0.02, and no band is better off as it was."""
    alone = evidence.manifest.metrics.get(LEFT_ALONE)
    refused = evidence.manifest.metrics.get("refused")
    if not isinstance(alone, Mapping) or not isinstance(refused, list):
        return lacking(evidence.manifest, LEFT_ALONE)
    told = [f"{tile} in {', '.join(map(str, bands))}" for tile, bands in alone.items() if isinstance(bands, list)]
    words = [f"left alone: {'; '.join(told)}; look for cloud, haze or another offset there"] if told else []
    if refused:
        words.append(f"not applied, for overlaps would agree no better: {', '.join(map(str, refused))}")
    return Verdict(not words, "; ".join(words) or "every tile is harmonised", {"left_alone": len(told)})
