"""What the mask's inspectors find in a manifest."""

from typing import Any

import pytest

from geo_assets.checks.mask import classes_add_up, scenes_are_judged_alike, what_was_seen_is_judged
from geo_assets.domain.region import region_from
from geo_assets.io.manifest import Inputs, Manifest
from geo_assets.orchestration.inspection import Evidence

HYBRID, QUALITY = ["s2cloudless", "fmask"], ["quality"]


def evidence(detectors: list[list[str]], **metrics: Any) -> Evidence:
    """Of a mask whose scenes `a`, `b`, ... were judged by these."""
    ledger = tuple(
        {"outcome": "masked", "scene": scene, "detectors": names}
        for scene, names in zip("abc", detectors, strict=False)
    )
    manifest = Manifest(
        region="small", station="hybrid_mask", tile="33TVL", month="2024-06", status="done", fingerprint="f",
        inputs=Inputs(upstream={}, items=()), files=(), metrics=metrics, ledger=ledger,
    )  # fmt: skip
    region = region_from(
        {
            "name": "small",
            "tiles": ["33TVL"],
            "months": {"first": "2024-06"},
            "archive": "demo",
            "bands": ["red"],
            "resolution": 60,
        }
    )
    return Evidence(region, manifest, dict)


@pytest.mark.parametrize(("share", "passed"), [(0.0, True), (0.009, True), (0.4, False)])
def test_a_scene_that_a_detector_could_not_judge_whole_is_named(share, passed):
    verdict = what_was_seen_is_judged(evidence([HYBRID, HYBRID], unjudged_shares={"a": 0.001, "b": share}))
    assert verdict.passed == passed
    assert ("b: 40.0% unjudged" in verdict.description) == (not passed)


def test_scenes_that_different_detectors_judged_are_told_apart():
    assert scenes_are_judged_alike(evidence([HYBRID, HYBRID])).passed
    assert scenes_are_judged_alike(evidence([[], []])).passed
    verdict = scenes_are_judged_alike(evidence([HYBRID, QUALITY, HYBRID]))
    assert not verdict.passed
    assert "quality: b; s2cloudless+fmask: a, c" in verdict.description


def test_classes_that_do_not_sum_to_one_are_odd():
    shares = {"a": {"clear": 0.75, "cloud": 0.25}, "b": {"clear": 0.5}}
    verdict = classes_add_up(evidence([HYBRID, HYBRID], class_shares=shares))
    assert not verdict.passed
    assert "b: 0.500000" in verdict.description


@pytest.mark.parametrize("inspector", [classes_add_up, what_was_seen_is_judged])
def test_a_manifest_without_the_figure_is_no_pass(inspector):
    assert not inspector(evidence([HYBRID])).passed
