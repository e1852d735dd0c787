"""Inspectors of the first stations: is every scene there once, and do the chosen ones show the ground?"""

from collections import Counter

from geo_assets.checks.figures import lacking, number
from geo_assets.orchestration.inspection import Evidence, Verdict


def scenes_are_unique(evidence: Evidence) -> Verdict:
    """No item is counted twice: twice the weight for one acquisition is no observation more."""
    counts = Counter(item.id for item in evidence.manifest.inputs.items)
    repeated = sorted(item for item, count in counts.items() if count > 1)
    found = number(evidence.manifest, "scenes_found")
    if found is None:
        return lacking(evidence.manifest, "scenes_found")
    description = (
        f"{len(counts)} items, {found:g} scenes, {len(repeated)} items repeated {', '.join(repeated[:3])}".strip()
    )
    return Verdict(not repeated and found <= len(counts), description, {"scenes": found, "repeated": len(repeated)})


def selection_covers(evidence: Evidence) -> Verdict:
    """The selected scenes together show as much clear ground as the region's composite must cover."""
    share = number(evidence.manifest, "clear_share_of_any")
    if share is None:
        return lacking(evidence.manifest, "clear_share_of_any")
    wanted = evidence.region.composite.minimum_coverage
    return Verdict(
        share >= wanted,
        f"{share:.1%} of the area is clear in at least one selected scene, expected {wanted:.1%}",
        {"clear_share": share, "expected": wanted},
    )


def every_scene_was_fetched(evidence: Evidence) -> Verdict:
    """No selected scene was lost on the way: another took its place, yet somebody should know."""
    lost = sorted({str(row.get("item", "?")) for row in evidence.manifest.ledger if row.get("outcome") == "lost"})
    return Verdict(not lost, f"{len(lost)} scenes lost {', '.join(lost[:3])}".strip(), {"lost": len(lost)})
