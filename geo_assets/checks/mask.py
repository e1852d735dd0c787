"""The inspector of the mask: does every observed pixel have exactly one class?"""

import math
from collections.abc import Mapping

from geo_assets.checks.figures import lacking, numbers
from geo_assets.orchestration.inspection import Evidence, Verdict

SHARES = "class_shares"
"""Metric of the mask: scene -> class -> share of the pixels that it observed."""

SHARE_TOLERANCE = 1e-6


def classes_add_up(evidence: Evidence) -> Verdict:
    """The shares of the classes sum to one in every scene."""
    scenes = evidence.manifest.metrics.get(SHARES)
    if not isinstance(scenes, Mapping):
        return lacking(evidence.manifest, SHARES)
    sums = {scene: math.fsum(numbers(shares).values()) for scene, shares in scenes.items()}
    odd = {scene: total for scene, total in sums.items() if abs(total - 1) > SHARE_TOLERANCE}
    listed = "; ".join(f"{scene}: {total:.6f}" for scene, total in list(odd.items())[:3])
    return Verdict(
        not odd,
        f"{len(sums)} scenes, in {len(odd)} of them the shares do not sum to one {listed}".strip(),
        {"scenes": len(sums), "odd": len(odd)},
    )
