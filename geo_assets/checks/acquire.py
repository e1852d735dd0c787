"""Inspectors of the first stations: is every scene there once, and do the chosen ones show the ground?"""

from collections.abc import Collection

from geo_assets.checks.figures import lacking, number
from geo_assets.orchestration.inspection import Evidence, Verdict

LEAST_OF_EXPECTED = 0.5
"""Where fewer of the expected acquisitions are there, the archive has a gap, or has stopped."""


def scenes_are_unique(evidence: Evidence) -> Verdict:
    """No item that the catalogue lists twice, and no more scenes than items: twice is no observation more."""
    items, found = number(evidence.manifest, "items_found"), number(evidence.manifest, "scenes_found")
    if items is None or found is None:
        return lacking(evidence.manifest, "items_found, scenes_found")
    repeated = sorted({str(row["item"]) for row in evidence.manifest.ledger if "twice" in str(row.get("reason"))})
    description = f"{items:g} items, {found:g} scenes, {len(repeated)} items listed twice {', '.join(repeated[:3])}"
    return Verdict(not repeated and found <= items, description.strip(), {"scenes": found, "repeated": len(repeated)})


def acquisitions_keep_coming(evidence: Evidence) -> Verdict:
    """The archive lists at least half of the acquisitions to be expected, and an empty month is not its end.

    Archives have stopped without a word: a month without scenes is then no cloudy month, and must not look like one.
    """
    metrics = evidence.manifest.metrics
    expected, found = (number(evidence.manifest, f"acquisitions_{name}") for name in ("expected", "found"))
    if found is None:
        return lacking(evidence.manifest, "acquisitions_found")
    newest = metrics.get("newest_in_archive")
    begin = f"{evidence.manifest.month}-01"
    stopped = found == 0 and isinstance(newest, str) and newest < begin
    few = expected is not None and found < LEAST_OF_EXPECTED * expected
    told = "unknown" if expected is None else f"{expected:g}"
    after = f"; the archive's newest item is of {newest}" if isinstance(newest, str) else ""
    remedy = ": ask again later, or choose another archive" if few or stopped else ""
    return Verdict(
        not few and not stopped,
        f"acquisitions: {told} expected, {found:g} found{after}{remedy}",
        {"expected": expected, "found": found},
    )


def offsets_are_applied_once(evidence: Evidence) -> Verdict:
    """Every band of counts has had its item's one offset added: no month mixes counts with and without it."""
    rows = [row for row in evidence.manifest.ledger if row.get("outcome") == "read"]
    counts = [row for row in rows if row.get("offset_applied")]
    offsets: dict[str, set[str]] = {}
    for row in counts:
        offsets.setdefault(str(row.get("item")), set()).add(str(row.get("offset_dn")))
    bare = {str(row["scene"]) for row in rows} - {str(row["scene"]) for row in counts}
    mixed = sorted(item for item, found in offsets.items() if len(found) > 1)
    corrected = {str(row["item"]) for row in counts if row.get("offset_dn") != row.get("offset_asserted_dn")}
    odd = [*sorted(bare), *mixed]
    return Verdict(
        not odd,
        f"{_counted(offsets, 'items read as counts')}; {_counted(odd, 'of them without one offset for all bands')}; "
        f"{_counted(sorted(corrected), 'whose metadata their pixels contradict')}",
        {"items": len(offsets), "odd": len(odd), "corrected": len(corrected)},
    )


def _counted(names: Collection[str], what: str) -> str:
    """`2 scenes (a, b)`: how many there are, and the first three."""
    return f"{len(names)} {what}" + (f" ({', '.join(list(names)[:3])})" if names else "")


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
