"""The inspectors of the mask: has every observed pixel exactly one class, by every detector, in all scenes alike?"""

import math
from collections.abc import Mapping

from geo_assets.checks.figures import lacking, numbers
from geo_assets.orchestration.inspection import Evidence, Verdict

SHARES = "class_shares"
"""Metric of the mask: scene -> class -> share of the pixels that it observed."""

SHARE_TOLERANCE = 1e-6

UNJUDGED = "unjudged_shares"
"""Metric of the mask: scene -> share of the area whose bands are there, and which a detector could not judge."""

MOST_UNJUDGED = 0.01
"""Where more is lost, it is no odd pixel: half of an L1C acquisition is missing, or a file is read by a wrong code."""


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


def what_was_seen_is_judged(evidence: Evidence) -> Verdict:
    """Every detector could judge the pixels whose bands are there: what one of them cannot judge is lost to all."""
    metric = evidence.manifest.metrics.get(UNJUDGED)
    if not isinstance(metric, Mapping):
        return lacking(evidence.manifest, UNJUDGED)
    shares = numbers(metric)
    holed = {scene: share for scene, share in shares.items() if share > MOST_UNJUDGED}
    listed = "".join(f"; {scene}: {share:.1%} unjudged" for scene, share in list(holed.items())[:3])
    remedy = ": see whether its L1C is whole, and mask.external_fmask.encoding right" if holed else ""
    return Verdict(
        not holed,
        f"{len(shares)} scenes, in {len(holed)} of them over {MOST_UNJUDGED:.0%} of what was seen is unjudged"
        f"{listed}{remedy}",
        {"scenes": len(shares), "holed": len(holed), "largest_share": max(shares.values(), default=0.0)},
    )


def scenes_are_judged_alike(evidence: Evidence) -> Verdict:
    """The same detectors judged all scenes of the month: else a best pixel is one of the milder judge's."""
    judges: dict[str, list[str]] = {}
    for row in evidence.manifest.ledger:
        detectors = row.get("detectors")
        if row.get("outcome") == "masked" and isinstance(detectors, list):
            judges.setdefault("+".join(map(str, detectors)) or "none", []).append(str(row["scene"]))
    listed = "; ".join(f"{names}: {', '.join(scenes[:3])}" for names, scenes in sorted(judges.items()))
    remedy = ". Name what all scenes have input for in mask.detectors to judge them alike" if len(judges) > 1 else ""
    return Verdict(len(judges) <= 1, f"judged by {listed or 'none'}{remedy}", {"ways": len(judges)})
