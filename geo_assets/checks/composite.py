"""The inspectors of the composite: does it cover what the region asks for, and can its values be trusted?"""

from collections.abc import Mapping

from geo_assets.checks.figures import lacking, number, numbers
from geo_assets.domain.goals import (
    ASIDE,
    FEWEST_HELD_OUT,
    HONEST,
    LARGEST_DATE_FRAGMENTATION,
    LARGEST_TEMPORAL_DISTANCE_DAYS,
    LEAST_HONEST,
    NEAR_A_DAY,
    OF_ONE_DATE,
)
from geo_assets.orchestration.inspection import Evidence, Verdict

COVERAGE, MISMATCH = "valid_share", "nodata_mismatch_px"
"""Metrics of the composite: share of the tile's area with a value; pixels where a value and a usable observation are
not both there or both lacking."""

DISTANCE, FRAGMENTATION, CALIBRATION = "temporal_distance_days", "date_fragmentation", "calibration"
"""Metrics: days between source and target day; share of neighbouring pixels of different days; how often held-out
observations lie within the stated uncertainty."""


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


def has_a_value_where_something_is_clear(evidence: Evidence) -> Verdict:
    """A pixel has values exactly where some scene has a usable observation: no gap, and nothing out of thin air."""
    mismatched = number(evidence.manifest, MISMATCH)
    if mismatched is None:
        return lacking(evidence.manifest, MISMATCH)
    remedy = "" if mismatched == 0 else ": build the composite again, and report it if that does not help"
    return Verdict(
        mismatched == 0,
        f"{mismatched:.0f} px where a value and a usable observation are not both there or both lacking, expected 0"
        f"{remedy}",
        {MISMATCH: mismatched},
    )


def stays_near_the_target_day(evidence: Evidence) -> Verdict:
    """With method `bap`, half of the pixels stem from within 10 days of `composite.target_day`."""
    days = numbers(evidence.manifest.metrics.get(DISTANCE))
    if "median" not in days:
        return lacking(evidence.manifest, DISTANCE)
    judged = evidence.region.composite.method in NEAR_A_DAY
    far = judged and days["median"] > LARGEST_TEMPORAL_DISTANCE_DAYS
    limit = f", expected at most {LARGEST_TEMPORAL_DISTANCE_DAYS:g}" if judged else ""
    remedy = ": raise composite.weights.date or selection.top_k, or move composite.target_day" if far else ""
    return Verdict(
        not far,
        f"half of the pixels are from {days['median']:g} days off day {evidence.region.composite.target_day} or "
        f"nearer{limit}; 95 % from {days.get('p95', days['median']):g} days or fewer{remedy}",
        {"median": days["median"], "p95": days.get("p95")},
    )


def dates_lie_in_patches(evidence: Evidence) -> Verdict:
    """With methods that choose by date and cloud, few neighbouring pixels differ in date."""
    share = number(evidence.manifest, FRAGMENTATION)
    if share is None:
        return lacking(evidence.manifest, FRAGMENTATION)
    judged = evidence.region.composite.method in OF_ONE_DATE
    torn = judged and share > LARGEST_DATE_FRAGMENTATION
    limit = f", expected at most {LARGEST_DATE_FRAGMENTATION:.0%}" if judged else ""
    remedy = ": fewer scenes (selection.top_k), or wider mask buffers, make larger patches" if torn else ""
    return Verdict(
        not torn, f"{share:.2%} of neighbouring pixels differ in date{limit}{remedy}", {FRAGMENTATION: share}
    )


def uncertainty_is_honest(evidence: Evidence) -> Verdict:
    """Held-out clear observations lie within one and two standard uncertainties about as often as they should."""
    bands = evidence.manifest.metrics.get(CALIBRATION)
    if not evidence.region.composite.uncertainty:
        return Verdict(True, "composite.uncertainty is false: none was written")
    if not isinstance(bands, Mapping):
        return lacking(evidence.manifest, CALIBRATION)
    figures = {band: numbers(figure) for band, figure in bands.items()}
    judged = {band: found for band, found in figures.items() if found.get("held_out", 0) >= FEWEST_HELD_OUT}
    odd = [
        f"{band} {name.replace('_', ' ')}: {found[name]:.1%}"
        for band, found in judged.items()
        for name, least in LEAST_HONEST.items()
        if name in found and found[name] < least and evidence.region.composite.method not in ASIDE
    ]
    shares = {f"{band} {name}": found.get(name) for band, found in figures.items() for name in ("held_out", *HONEST)}
    goal = " and ".join(f"{least:.0%} to {most:.0%} {name.replace('_', ' ')}" for name, (least, most) in HONEST.items())
    few = f"; {len(figures) - len(judged)} bands have too few held-out observations to judge by" * (judged != figures)
    remedy = (
        ": values are surer than they should be, see whether the mask leaves haze (mask.cloud_buffer_m)" if odd else ""
    )
    return Verdict(not odd, f"{', '.join(odd[:6]) or 'no band is too sure'}; the goal is {goal}{few}{remedy}", shares)
