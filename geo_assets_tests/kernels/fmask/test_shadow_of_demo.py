"""The shadow part on the demo's overpasses, whose clouds, heights and shadows are known exactly."""

import numpy as np
import pytest

from geo_assets.demo.ground import ground_of, surface_reflectance
from geo_assets.demo.passes import acquisitions
from geo_assets.demo.plan import DemoPlan
from geo_assets.demo.sensor import observed_reflectance
from geo_assets.demo.sky import sky_of
from geo_assets.domain.tile_month import Month
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.fmask.shadow import _moved, shadow_mask

PLAN = DemoPlan()
MOST_OF_A_SCENE = 0.9
"""Overpasses with more cloud than this have next to no ground to judge."""


@pytest.fixture(scope="module")
def findings():
    """Of each overpass: finding, the same under a mirrored sun, true shadow, where casters are seen, cloud height."""
    geobox, found = PLAN.window(PLAN.l1c_resolution), []
    ground, everywhere = ground_of(geobox, seed=PLAN.seed), np.ones(geobox.shape, bool)
    for month in map(Month.parse, PLAN.months):
        surface = {band: surface_reflectance(ground, month, band) for band in ("nir", "swir16")}
        for acquisition in acquisitions(PLAN, month):
            sky = sky_of(PLAN, acquisition, geobox)
            if sky.is_cloud.mean() > MOST_OF_A_SCENE:
                continue
            bands = {
                band: observed_reflectance(surface[band], sky, acquisition, band, "L1C", geobox) for band in surface
            }
            cloud, zenith = sky.is_cloud, 90 - acquisition.sun_elevation

            def finding(azimuth, bands=bands, cloud=cloud, zenith=zenith):
                return shadow_mask(
                    cloud, **bands, valid=everywhere, land=~cloud, water=np.zeros_like(cloud),
                    angles=Angles.constant(zenith, azimuth % 360), resolution_m=float(PLAN.l1c_resolution),
                )  # fmt: skip

            east, north = acquisition.shadow_shift_m
            seen = _moved(everywhere, -north / PLAN.l1c_resolution, east / PLAN.l1c_resolution)
            right, mirrored = finding(acquisition.sun_azimuth), finding(acquisition.sun_azimuth + 180)
            found.append((right, mirrored, sky.is_shadow, seen, acquisition.weather.height_m))
    return found


def f1(pairs):
    hit, found, truth = (
        sum(int(count.sum()) for count in counts) for counts in zip(*((a & b, a, b) for a, b in pairs), strict=True)
    )
    return 2 * hit / (found + truth)


def test_shadows_of_the_demo_are_found(findings):
    assert f1((right.shadow, truth) for right, _, truth, _, _ in findings) > 0.82
    assert f1((right.shadow & seen, truth & seen) for right, _, truth, seen, _ in findings) > 0.86


def test_heights_of_the_demos_clouds_are_found(findings):
    for right, _, _, _, height_m in findings:
        assert right.figures["cloud_height_m"] == pytest.approx(height_m, rel=0.12)


def test_with_the_sun_on_the_wrong_side_next_to_nothing_is_found(findings):
    assert f1((mirrored.shadow, truth) for _, mirrored, truth, _, _ in findings) < 0.15
