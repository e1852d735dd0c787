"""Inspectors of the mosaics: is there ground under every pixel that one of the inputs has?"""

from geo_assets.checks.figures import lacking, number
from geo_assets.orchestration.inspection import Evidence, Verdict

VALID_PX, VALID_SHARE = "valid_px", "valid_share"
"""Metrics: pixels with a value, and the share of the tile's area that they cover (also of a composite)."""

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
