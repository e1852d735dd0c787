"""The inspector of the composite: does it cover what the region asks for?"""

from geo_assets.checks.figures import lacking, number
from geo_assets.orchestration.inspection import Evidence, Verdict

COVERAGE = "valid_share"
"""Metric of the composite: share of the tile's area with a value."""


def coverage_is_enough(evidence: Evidence) -> Verdict:
    """At least `composite.minimum_coverage` of the area has a value."""
    coverage = number(evidence.manifest, COVERAGE)
    if coverage is None:
        return lacking(evidence.manifest, COVERAGE)
    wanted = evidence.region.composite.minimum_coverage
    return Verdict(
        coverage >= wanted,
        f"{coverage:.1%} of the area has a value, expected {wanted:.1%}",
        {"coverage": coverage, "expected": wanted},
    )
