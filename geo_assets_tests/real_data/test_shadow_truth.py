"""Shadows of labelled clouds (Wieland, Li & Martinis 2019): what the shadow part does when the clouds are right."""

from dataclasses import replace

import numpy as np
import pytest

from geo_assets.kernels.angles import Angles
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.shadow import shadow_mask

SHADOW, WATER, CLOUD = 0, 1, 4
"""Codes of the labels."""
CHOSEN = FmaskSettings()


def f1(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def f1_of_shadow(nir, swir16, truth, *, sun, resolution_m, chosen=CHOSEN):
    """Of the image under a sun of (zenith, azimuth); no view angles are known."""
    cloud, water = truth == CLOUD, truth == WATER
    found = shadow_mask(
        cloud, nir=nir, swir16=swir16, valid=np.ones_like(cloud), land=~cloud & ~water, water=water,
        angles=Angles.constant(*sun, view_assumed=True), resolution_m=resolution_m, settings=chosen,
    )  # fmt: skip
    return f1(found.shadow, truth == SHADOW)


@pytest.fixture(scope="module")
def sentinel2(shared_data):
    """Near infrared, 1600 nm, labels; the image states no metadata, 10 m and the sun are estimates from itself."""
    stored = np.load(shared_data / "cloud-truth" / "sentinel2_west.npz")
    bands = dict(zip(stored["bands"].tolist(), stored["dn"] / np.float32(10_000), strict=True))
    return bands["nir"], bands["swir16"], stored["truth"]


@pytest.fixture(scope="module")
def landsat5(shared_data):
    """The same of an image of 30 m.

    Clouds and dark ground correlate best, with the labels and without them, when clouds are moved by 18 pixels
    north and 17 or 18 west: the sun stands at azimuth 137, if the sensor looks down. The zenith is a guess.
    """
    stored = np.load(shared_data / "cloud-truth" / "landsat5.npz")
    bands = dict(zip(stored["bands"].tolist(), stored["reflectance"], strict=True))
    return bands["nir"], bands["swir16"], stored["truth"]


def test_shadows_of_sentinel2_are_found_without_a_height_range(sentinel2):
    assert f1_of_shadow(*sentinel2, sun=(45, 160), resolution_m=10) >= 0.89


@pytest.mark.parametrize(("lowest_m", "highest_m", "least"), [(50, 1500, 0.89), (200, 12_000, 0.87)])
def test_the_range_of_heights_matters_little(sentinel2, lowest_m, highest_m, least):
    chosen = replace(CHOSEN, shadow_lowest_m=float(lowest_m), shadow_highest_m=float(highest_m))
    assert f1_of_shadow(*sentinel2, sun=(45, 160), resolution_m=10, chosen=chosen) >= least


@pytest.mark.parametrize("azimuth", [70, 250, 340])
def test_with_the_sun_elsewhere_the_shadows_are_missed(sentinel2, azimuth):
    assert f1_of_shadow(*sentinel2, sun=(45, azimuth), resolution_m=10) < 0.65


def test_shadows_of_landsat5_are_found_on_the_side_away_from_the_sun(landsat5):
    right = f1_of_shadow(*landsat5, sun=(40, 137), resolution_m=30)
    assert right >= 0.74
    assert f1_of_shadow(*landsat5, sun=(40, 317), resolution_m=30) < right - 0.2
