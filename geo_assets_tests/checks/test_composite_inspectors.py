"""What the composite's inspectors find in a manifest."""

from typing import Any

import pytest

from geo_assets.checks.composite import (
    dates_lie_in_patches,
    has_a_value_where_something_is_clear,
    stays_near_the_target_day,
    uncertainty_is_honest,
)
from geo_assets.domain.region import region_from
from geo_assets.io.manifest import Inputs, Manifest
from geo_assets.orchestration.inspection import Evidence


def evidence(composite: dict[str, Any] | None = None, **metrics: Any) -> Evidence:
    manifest = Manifest(
        region="small", station="monthly_composite", tile="33TVL", month="2024-06", status="done", fingerprint="f",
        inputs=Inputs(upstream={}, items=()), files=(), metrics=metrics, ledger=(),
    )  # fmt: skip
    settings = {"name": "small", "tiles": ["33TVL"], "months": {"first": "2024-06"}, "archive": "demo"}
    region = region_from({**settings, "bands": ["red", "nir"], "resolution": 60, "composite": composite or {}})
    return Evidence(region, manifest, dict)


@pytest.mark.parametrize(("pixels", "passed"), [(0, True), (1, False)])
def test_one_pixel_of_gap_is_too_many(pixels, passed):
    verdict = has_a_value_where_something_is_clear(evidence(nodata_mismatch_px=pixels))
    assert verdict.passed is passed
    assert f"{pixels} px" in verdict.description


@pytest.mark.parametrize(
    ("method", "median", "passed"), [("bap", 10, True), ("bap", 10.5, False), ("medoid", 14, True)]
)
def test_bap_is_held_to_its_target_day_and_others_are_told(method, median, passed):
    verdict = stays_near_the_target_day(
        evidence({"method": method}, temporal_distance_days={"median": median, "p95": 16.0})
    )
    assert verdict.passed is passed
    assert verdict.figures == {"median": median, "p95": 16.0}
    assert ("composite.weights.date" in verdict.description) is not passed


@pytest.mark.parametrize(
    ("method", "share", "passed"), [("best_pixel", 0.05, True), ("bap", 0.06, False), ("median", 0.3, True)]
)
def test_patches_are_asked_of_methods_that_choose_by_date(method, share, passed):
    verdict = dates_lie_in_patches(evidence({"method": method}, date_fragmentation=share))
    assert verdict.passed is passed
    assert f"{share:.2%}" in verdict.description


def held_out(number: int, one: float | None, two: float | None) -> dict[str, Any]:
    return {"red": {"held_out": number, "inside_1_sigma": one, "inside_2_sigma": two}}


@pytest.mark.parametrize(
    ("calibration", "composite", "passed"),
    [
        (held_out(5000, 0.66, 0.93), {}, True),
        (held_out(5000, 0.58, 0.82), {}, True),
        (held_out(5000, 0.45, 0.82), {}, False),
        (held_out(5000, 0.66, 0.6), {}, False),
        (held_out(5000, 0.2, 0.4), {"method": "max_ndvi"}, True),
        (held_out(20, 0.2, 0.4), {}, True),
        (held_out(0, None, None), {}, True),
        (None, {"uncertainty": False}, True),
    ],
)
def test_uncertainty_that_claims_too_much_is_found(calibration, composite, passed):
    verdict = uncertainty_is_honest(evidence(composite, calibration=calibration))
    assert verdict.passed is passed
    assert ("red" in verdict.description) is not passed


@pytest.mark.parametrize(
    "inspector",
    [has_a_value_where_something_is_clear, stays_near_the_target_day, dates_lie_in_patches, uncertainty_is_honest],
)
def test_a_manifest_of_an_earlier_version_is_told_from_a_good_one(inspector):
    verdict = inspector(evidence())
    assert not verdict.passed
    assert "rebuild" in verdict.description
