"""The detector on the demo's overpasses, whose sky is known exactly."""

from dataclasses import dataclass

import numpy as np
import pytest

from geo_assets.demo.ground import ground_of, surface_reflectance
from geo_assets.demo.passes import acquisitions
from geo_assets.demo.plan import DemoPlan
from geo_assets.demo.sensor import counts_of, observed_reflectance
from geo_assets.demo.sky import sky_of
from geo_assets.domain.bands import FMASK_BANDS
from geo_assets.domain.tile_month import Month
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.detection import DetectorInput
from geo_assets.kernels.fmask.detection import fmask_detection
from geo_assets.kernels.quality import MaskCode

PLAN = DemoPlan()
OFFSET = -1000


@dataclass(eq=False)
class Tally:
    """Pixels over all overpasses."""

    hit: int = 0
    false: int = 0
    missed: int = 0

    def add(self, found, truth):
        self.hit += int((found & truth).sum())
        self.false += int((found & ~truth).sum())
        self.missed += int((~found & truth).sum())

    @property
    def f1(self):
        return 2 * self.hit / (2 * self.hit + self.false + self.missed)


def overpasses():
    """Each overpass over the whole window at the pixel size of the demo's L1C bands, and its sky."""
    geobox = PLAN.window(PLAN.l1c_resolution)
    ground = ground_of(geobox, seed=PLAN.seed)
    everywhere = np.ones(geobox.shape, bool)
    for month in map(Month.parse, PLAN.months):
        surface = {band: surface_reflectance(ground, month, band) for band in FMASK_BANDS}
        for acquisition in acquisitions(PLAN, month):
            sky = sky_of(PLAN, acquisition, geobox)
            bands = {}
            for band in FMASK_BANDS:
                seen = observed_reflectance(surface[band], sky, acquisition, band, "L1C", geobox)
                bands[band] = counts_of(seen, everywhere, gain=1.0, offset=0.0, added=-OFFSET)
            angles = Angles.constant(90 - acquisition.sun_elevation, acquisition.sun_azimuth)
            yield DetectorInput(bands, everywhere, angles, 60.0, offset=OFFSET, scene=acquisition.name), sky


@pytest.fixture(scope="module")
def tallies():
    cloud, shadow = Tally(), Tally()
    for scene, sky in overpasses():
        codes = fmask_detection(scene).codes
        cloud.add(codes == MaskCode.CLOUD, sky.is_cloud)
        shadow.add(codes == MaskCode.SHADOW, sky.is_shadow)
    return cloud, shadow


def test_clouds_of_the_demo_are_found(tallies):
    cloud, _ = tallies
    assert cloud.f1 >= 0.95
    assert cloud.false < 0.01 * (cloud.hit + cloud.false)


def test_shadows_of_the_demo_are_found_as_far_as_their_clouds_are_in_the_picture(tallies):
    _, shadow = tallies
    # The true clouds, moved by their true heights, would score 0.86: many stand outside the window.
    assert shadow.f1 >= 0.76
