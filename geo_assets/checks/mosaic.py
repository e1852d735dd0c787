"""Inspectors of the mosaics: is there ground under every pixel that one of the inputs has?"""

from geo_assets.checks.figures import lacking, number
from geo_assets.domain.goals import largest_seam_ratio
from geo_assets.orchestration.inspection import Evidence, Verdict

VALID_PX, VALID_SHARE = "valid_px", "valid_share"
"""Metrics: pixels with a value, and the share of the tile's area that they cover (also of a composite)."""

SEAM_RATIO, SHARPNESS = "seam_ratio", "sharpness_kept"

EXACT = {
    "single_source_mismatch_px": "other than their only source",
    "validity_mismatch_px": "with data where no tile has, or without where one has",
    "outside_inputs_px": "beyond what the tiles have",
}
"""Metrics that are 0 in a sound mosaic, and what they count; none where no two tiles meet."""

SHARE_TOLERANCE = 1e-3
"""A tile that is warped into the CRS of a neighbouring zone counts its pixels on another grid."""


def covers_what_its_tile_covers(evidence: Evidence) -> Verdict:
    """The mosaic has a value at least where the tile's own composite has one."""
    covered = number(evidence.manifest, VALID_SHARE)
    if covered is None:
        return lacking(evidence.manifest, VALID_SHARE)
    own = [
        number(manifest, VALID_SHARE) or 0.0
        for place, manifest in evidence.upstream().items()
        if place.tile == evidence.manifest.tile and manifest.status == "done"
    ]
    least = max(own, default=0.0)
    return Verdict(
        covered >= least - SHARE_TOLERANCE,
        f"{covered:.2%} of the area has a value, the tile's own composite has {least:.2%}",
        {"covered": covered, "composite": least},
    )


def pixels_are_exact(evidence: Evidence) -> Verdict:
    """Where one tile has data the mosaic is that tile's; it has data where a tile has; it stays between the tiles."""
    counts = {name: number(evidence.manifest, name) for name in EXACT}
    if not set(EXACT) <= set(evidence.manifest.metrics):
        return lacking(evidence.manifest, ", ".join(EXACT))
    found = {name: count for name, count in counts.items() if count is not None}
    if evidence.manifest.station == "region_mosaic":
        found["gap_px"] = number(evidence.manifest, "gap_px") or 0.0
    told = ", ".join(
        f"{EXACT.get(name, 'without data though a tile has it')} {count:.0f}" for name, count in found.items()
    )
    figures = {name: int(count) for name, count in found.items()}
    return Verdict(
        not any(found.values()), f"wrong pixels, expected none: {told or 'no two tiles meet'}", figures, grave=True
    )


def seams_are_not_seen(evidence: Evidence) -> Verdict:
    """The signed step where contributors change is below `mosaic.seam_limit` times the noise floor, or chance."""
    ratio, naive = number(evidence.manifest, SEAM_RATIO), number(evidence.manifest, "seam_naive_ratio")
    if SEAM_RATIO not in evidence.manifest.metrics:
        return lacking(evidence.manifest, SEAM_RATIO)
    limit = largest_seam_ratio(evidence.region.mosaic.seam_limit, number(evidence.manifest, "seam_ratio_by_chance"))
    if ratio is None:
        return Verdict(True, "no seam long enough to be measured")
    hard = "" if naive is None else f"; cut hard it would be {naive:.2f}"
    kept = number(evidence.manifest, SHARPNESS)
    remedy = "" if ratio <= limit else ": try mosaic.harmonise, mosaic.seamline, or a wider mosaic.feather_m"
    return Verdict(
        ratio <= limit,
        f"seam step {ratio:.2f} times the noise floor{hard}, expected {limit:g} at most{remedy}",
        {"seam_ratio": ratio, "naive": naive, "limit": limit, "sharpness_kept": kept},
    )


def holds_every_tile(evidence: Evidence) -> Verdict:
    """The region's mosaic has no fewer pixels than its largest tile, and no more than all of them together."""
    valid = number(evidence.manifest, VALID_PX)
    if valid is None:
        return lacking(evidence.manifest, VALID_PX)
    tiles = [
        number(manifest, VALID_PX) or 0.0 for manifest in evidence.upstream().values() if manifest.status == "done"
    ]
    least, most = max(tiles, default=0.0), sum(tiles)
    return Verdict(
        least <= valid <= most,
        f"{valid:.0f} px have a value, expected {least:.0f} to {most:.0f} px from {len(tiles)} tiles",
        {"valid_px": valid, "tiles": len(tiles)},
    )
