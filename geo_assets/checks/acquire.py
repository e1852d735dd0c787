"""Inspectors of the first stations: is every scene there once, and do the chosen ones show the ground?"""

from geo_assets.checks.figures import lacking, number
from geo_assets.orchestration.inspection import Evidence, Verdict


def scenes_are_unique(evidence: Evidence) -> Verdict:
    """No item that the catalogue lists twice, and no more scenes than items: twice is no observation more."""
    items, found = number(evidence.manifest, "items_found"), number(evidence.manifest, "scenes_found")
    if items is None or found is None:
        return lacking(evidence.manifest, "items_found, scenes_found")
    repeated = sorted({str(row["item"]) for row in evidence.manifest.ledger if "twice" in str(row.get("reason"))})
    description = f"{items:g} items, {found:g} scenes, {len(repeated)} items listed twice {', '.join(repeated[:3])}"
    return Verdict(not repeated and found <= items, description.strip(), {"scenes": found, "repeated": len(repeated)})


def selection_covers(evidence: Evidence) -> Verdict:
    """The selected scenes together show as much clear ground as the region's composite must cover."""
    share, left_out = (number(evidence.manifest, f"clear_share_{name}") for name in ("of_any", "left_out"))
    if share is None or left_out is None:
        return lacking(evidence.manifest, "clear_share_of_any, clear_share_left_out")
    wanted = evidence.region.composite.minimum_coverage
    return Verdict(
        share >= wanted,
        f"{share:.1%} of the area is clear in at least one selected scene, expected {wanted:.1%}; "
        f"{left_out:.1%} only in scenes that were left out (a larger selection.top_k would fetch them)",
        {"clear_share": share, "left_out": left_out, "expected": wanted},
    )
