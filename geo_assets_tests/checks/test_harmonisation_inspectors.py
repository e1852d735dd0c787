"""What the inspectors of the harmonisation find in a manifest."""

from typing import Any

import pytest

from geo_assets.checks.harmonisation import every_tile_is_harmonised, overlaps_agree
from geo_assets_tests.checks.test_mosaic_inspectors import evidence

GOOD = {"bias_before": 0.012, "bias_after": 0.001, "rmse_before": 0.013, "rmse_after": 0.006}


def found(**by_band: Any):
    return overlaps_agree(evidence("harmonisation", by_band=by_band))


def test_overlaps_that_agree_pass():
    verdict = found(red=GOOD, nir={**GOOD, "rmse_after": 0.012}, swir16={})
    assert verdict.passed
    assert verdict.figures["rmse_before"] == 0.013


@pytest.mark.parametrize(
    ("band", "figures", "said"),
    [
        ("red", {"bias_after": 0.0031}, "red: bias 0.0031, expected at most 0.003"),
        ("red", {"rmse_after": 0.011}, "red: rmse 0.0110, expected at most 0.01"),
        ("nir", {"rmse_after": 0.016, "rmse_before": 0.02}, "nir: rmse 0.0160, expected at most 0.015"),
        ("nir", {"rmse_after": 0.006, "rmse_before": 0.005}, "nir: rmse 0.0060, before 0.0050"),
    ],
)
def test_what_is_too_far_apart_or_farther_than_before_is_named(band, figures, said):
    verdict = found(**{"blue": GOOD, band: {**GOOD, **figures}})
    assert not verdict.passed
    assert verdict.description == said


def test_tiles_left_alone_and_bands_that_were_better_as_they_were_are_named():
    assert every_tile_is_harmonised(evidence("harmonisation", left_alone={}, refused=[])).passed
    verdict = every_tile_is_harmonised(evidence("harmonisation", left_alone={"33TVL": ["red"]}, refused=["nir"]))
    assert not verdict.passed
    assert "33TVL in red" in verdict.description
    assert "nir" in verdict.description


def test_a_manifest_without_the_figures_says_so():
    for inspector in (overlaps_agree, every_tile_is_harmonised):
        assert "has no metric" in inspector(evidence("harmonisation")).description
