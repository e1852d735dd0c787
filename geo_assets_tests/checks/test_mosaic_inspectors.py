"""What the mosaics' inspectors find in a manifest."""

from typing import Any

import dagster as dg
import pytest

from geo_assets.checks.mosaic import pixels_are_exact, seams_are_not_seen
from geo_assets.domain.region import region_from
from geo_assets.io.manifest import Inputs, Manifest
from geo_assets.orchestration.inspection import Evidence, Verdict, _severity

SOUND = {"single_source_mismatch_px": 0, "validity_mismatch_px": 0, "outside_inputs_px": 0}


def evidence(station: str = "seam_blended_mosaic", **metrics: Any) -> Evidence:
    manifest = Manifest(
        region="small", station=station, tile="33TVL", month="2024-06", status="done", fingerprint="f",
        inputs=Inputs(upstream={}, items=()), files=(), metrics=metrics, ledger=(),
    )  # fmt: skip
    settings = {
        "name": "small",
        "tiles": ["33TVL"],
        "months": {"first": "2024-06"},
        "archive": "demo",
        "bands": ["red"],
        "resolution": 60,
    }
    return Evidence(region_from(settings), manifest, dict)


@pytest.mark.parametrize("name", SOUND)
def test_one_wrong_pixel_is_grave(name):
    assert pixels_are_exact(evidence(**SOUND)).passed
    verdict = pixels_are_exact(evidence(**{**SOUND, name: 1}))
    assert (verdict.passed, verdict.grave) == (False, True)
    assert " 1" in verdict.description


def test_a_gap_in_the_region_is_grave():
    assert pixels_are_exact(evidence("region_mosaic", **SOUND, gap_px=0)).passed
    assert not pixels_are_exact(evidence("region_mosaic", **SOUND, gap_px=3)).passed


def test_a_mosaic_that_nobody_measured_is_no_pass():
    assert not pixels_are_exact(evidence()).passed
    assert not seams_are_not_seen(evidence()).passed


@pytest.mark.parametrize(("ratio", "passed"), [(1.05, True), (1.3, True), (1.31, False), (None, True)])
def test_a_seam_above_the_limit_is_told_with_what_to_do(ratio, passed):
    verdict = seams_are_not_seen(evidence(seam_ratio=ratio, seam_naive_ratio=28.0, sharpness_kept=0.91))
    assert (verdict.passed, verdict.grave) == (passed, False)
    assert ("mosaic.harmonise" in verdict.description) == (not passed)


def test_only_a_grave_failure_is_an_error_to_dagster():
    sound, odd, wrong = Verdict(True, "", grave=True), Verdict(False, ""), Verdict(False, "", grave=True)
    assert _severity([sound, odd]) == dg.AssetCheckSeverity.WARN
    assert _severity([odd, wrong]) == dg.AssetCheckSeverity.ERROR
