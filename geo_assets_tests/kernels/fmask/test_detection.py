import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.errors import DetectorError
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.detection import DetectorInput
from geo_assets.kernels.fmask.detection import fmask_detection, mask_codes
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.spectra import Look
from geo_assets.kernels.quality import MaskCode
from geo_assets_tests.kernels.fmask import cloud_references
from geo_assets_tests.kernels.fmask.made_up_scenes import SPECTRA, counts, landscape

SUN = Angles.constant(40.0, 150.0)


def scene(*, seed=1, resolution_m=60.0, angles=None, **cirrus):
    cover, cloud = landscape(seed=seed)
    random = np.random.default_rng(seed)
    bands = counts(cover, random)
    if cirrus:
        bands["cirrus"] = np.rint(random.uniform(10, 14, cover.shape)).astype(np.uint16)
        bands["cirrus"][cirrus["where"]] += np.uint16(400)
    valid = np.ones(cover.shape, bool)
    valid[:, -3:] = False
    return DetectorInput(bands, valid, angles, resolution_m, scene="made up"), cloud & valid


def turned(given):
    bands = {name: np.rot90(band) for name, band in given.bands.items()}
    return dataclasses.replace(given, bands=bands, valid=np.rot90(given.valid))


def test_clouds_over_land_and_water_are_found_and_nothing_else():
    given, cloud = scene()
    detection = fmask_detection(given)
    found = detection.codes == MaskCode.CLOUD
    assert_array_equal(found, cloud_references.smoothed(cloud, given.valid))
    lake = np.array(landscape()[0] == "lake") & given.valid
    assert (detection.codes[lake & ~found] == MaskCode.WATER).mean() > 0.9, "noise hides a few dark pixels"
    assert_array_equal(detection.codes == MaskCode.FILL, ~given.valid)
    assert_array_equal(np.isnan(detection.probability), ~given.valid)


def test_the_whole_equals_the_slow_references_in_a_row():
    given, _ = scene(seed=4)
    detection = fmask_detection(given)
    found = cloud_references.spectra(given.bands, given.valid)
    expected, land, water = cloud_references.probability(found, 0.0, FmaskSettings())
    assert detection.figures["land_threshold"] == pytest.approx(land, abs=1e-5)
    assert detection.figures["water_threshold"] == pytest.approx(water, abs=1e-5)
    assert_allclose(detection.probability, np.minimum(expected, 1), rtol=1e-4, atol=1e-5)
    cloud = found["potential"] & (expected > np.where(found["water"], water, land))
    cloud = cloud_references.smoothed(cloud, given.valid)
    assert_array_equal(detection.codes == MaskCode.CLOUD, cloud)
    assert_array_equal(detection.codes == MaskCode.WATER, found["water"] & ~cloud)


def test_a_turned_scene_has_a_turned_mask():
    random = np.random.default_rng(9)
    ice = random.random((120, 100)) < 0.1
    given, _ = scene(seed=2, where=ice, resolution_m=20.0)
    given = dataclasses.replace(
        given, bands=given.bands | {"rededge3": given.bands["nir"] // 10 * 9, "nir08": np.roll(given.bands["nir"], 1)}
    )
    upright, lying = fmask_detection(given), fmask_detection(turned(given))
    assert_array_equal(np.rot90(upright.codes), lying.codes)
    assert_array_equal(np.rot90(upright.probability), lying.probability)
    assert "bright_surfaces" in upright.figures


def test_cirrus_alone_is_cloud_and_raises_the_probability_everywhere_it_is():
    where = np.zeros((120, 100), bool)
    where[95:110, 10:25] = True
    given, _ = scene(where=where)
    with_ice = fmask_detection(given)
    without = fmask_detection(
        dataclasses.replace(given, bands={name: band for name, band in given.bands.items() if name != "cirrus"})
    )
    gained = (with_ice.codes == MaskCode.CLOUD) & (without.codes != MaskCode.CLOUD)
    inner = where.copy()
    inner[[95, 109]] = inner[:, [10, 24]] = False
    assert gained[inner].all()
    assert not gained[~where].any()
    assert (with_ice.probability >= without.probability - 1e-3)[given.valid].all()
    assert any(text.startswith("cirrus: no band") for text in without.skipped)
    assert not any(text.startswith("cirrus") for text in with_ice.skipped)


def test_what_is_missing_is_said():
    given, _ = scene()
    reasons = " / ".join(fmask_detection(given).skipped)
    for reason in (
        "no band rededge3, nir08",
        "no band cirrus",
        "bright surfaces: no cloud displacement",
        "shadow: no sun",
    ):
        assert reason in reasons
    bands = given.bands | {"rededge3": given.bands["nir"], "nir08": given.bands["nir"]}
    coarse = fmask_detection(dataclasses.replace(given, bands=bands))
    assert "cloud displacement: pixels of 60 m, it needs 15 to 20 m" in coarse.skipped
    fine = fmask_detection(dataclasses.replace(given, bands=bands, resolution_m=20.0, angles=SUN))
    assert not [text for text in fine.skipped if text.startswith(("cloud displacement", "bright", "shadow: no sun"))]


def test_shadows_lie_away_from_the_sun():
    given, cloud = scene(angles=SUN, resolution_m=60.0)
    cover = landscape()[0]
    rows, cols = np.nonzero(cloud)
    # 600 m high: 8.4 px away at a zenith of 40 degrees, upwards and to the left with the sun in the south-east.
    up, left = 600 * np.tan(np.radians(40)) / 60 * np.array([np.cos(np.radians(30)), np.sin(np.radians(30))])
    there = (np.rint(rows - up).astype(int), np.rint(cols - left).astype(int))
    shade = np.zeros(cloud.shape, bool)
    shade[there] = True
    shade &= ~cloud & given.valid & (cover != "lake")
    bands = {name: np.where(shade, dark, given.bands[name]).astype(np.uint16) for name, dark in zip(
        given.bands, np.rint(10_000 * np.array(SPECTRA["shade"])), strict=True)}  # fmt: skip
    shaded = dataclasses.replace(given, bands=bands)
    found = fmask_detection(shaded).codes == MaskCode.SHADOW
    assert (found & shade).sum() > 0.85 * shade.sum()
    assert (found & shade).sum() > 0.65 * found.sum()
    mirrored = fmask_detection(dataclasses.replace(shaded, angles=Angles.constant(40.0, 330.0)))
    assert ((mirrored.codes == MaskCode.SHADOW) & shade).sum() < 0.3 * shade.sum()


def test_an_overcast_scene_is_potential_cloud_without_thresholds():
    bands = counts(np.full((50, 60), "cloud"), np.random.default_rng(0))
    detection = fmask_detection(DetectorInput(bands, np.ones((50, 60), bool), SUN, 60.0))
    assert (detection.codes == MaskCode.CLOUD).all()
    assert (detection.probability == 1).all()
    assert "land_threshold" not in detection.figures
    assert any(text.startswith("cloud probability: too few clear pixels") for text in detection.skipped)
    assert any(text.startswith("shadow: too few clear pixels") for text in detection.skipped)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (3, 3)])
@pytest.mark.parametrize("seen", [True, False])
def test_a_scene_may_be_tiny_or_empty(shape, seen):
    bands = counts(np.full(shape, "field"), np.random.default_rng(0))
    detection = fmask_detection(DetectorInput(bands, np.full(shape, seen), SUN, 20.0))
    assert (detection.codes == (MaskCode.CLEAR if seen else MaskCode.FILL)).all()


def test_even_snow_is_no_cloud_where_it_is_plentiful():
    random = np.random.default_rng(6)
    bands = counts(np.full((200, 200), "snow"), random, noise=0.001)
    bands["swir16"][:] = 3000  # wet, old snow: potential cloud
    bands["swir22"][:] = 2500
    bands["nir"][:] = 6800
    for name in ("green", "red", "blue"):
        bands[name][60:80, 60:80] = np.rint(random.uniform(3000, 9000, (20, 20)))
    seen = DetectorInput(bands, np.ones((200, 200), bool), None, 60.0)
    chosen = dataclasses.replace(FmaskSettings(), snow_texture_radius_m=600.0)
    detection = fmask_detection(seen, chosen)
    assert detection.figures["even_snow_px"] > 0.8 * 200 * 200
    assert (detection.codes[100:] == MaskCode.SNOW).all()
    rare = fmask_detection(dataclasses.replace(seen, resolution_m=30.0), chosen)
    assert "even_snow_px" not in rare.figures


def test_codes_take_cloud_before_shadow_before_snow_before_water():
    seen, snow, water = int(Look.SEEN), int(Look.SNOW), int(Look.WATER)
    look = np.array([[seen, seen | water, seen | water | snow, seen | snow, seen | snow, 0]], np.uint8)
    cloud = np.array([[False, False, False, False, True, True]])
    shadow = np.array([[False, False, False, True, True, True]])
    expected = [[MaskCode.CLEAR, MaskCode.WATER, MaskCode.SNOW, MaskCode.SHADOW, MaskCode.CLOUD, MaskCode.FILL]]
    assert_array_equal(mask_codes(look, cloud, shadow), expected)
    assert_array_equal(mask_codes(look, cloud, None)[0, 3], MaskCode.SNOW)


def test_a_missing_band_is_named():
    given, _ = scene()
    bands = {name: band for name, band in given.bands.items() if name not in ("green", "swir22")}
    with pytest.raises(DetectorError, match="made up: found no band green, swir22"):
        fmask_detection(dataclasses.replace(given, bands=bands))


def test_the_figures_tell_the_shares():
    given, cloud = scene()
    figures = fmask_detection(given).figures
    found = cloud_references.smoothed(cloud, given.valid)
    assert figures["cloud_share"] == pytest.approx(found.sum() / given.valid.sum())
    assert figures["clear_share"] == pytest.approx(figures["clear_land_share"] + figures["clear_water_share"])
