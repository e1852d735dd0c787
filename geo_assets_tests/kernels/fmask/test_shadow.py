from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import ndimage

from geo_assets.domain.errors import DetectorError, GridMismatchError
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.fmask import shadow as shadows
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.shadow import basin_depth, shadow_mask, shadow_of_unseen, telling_depth
from geo_assets_tests.kernels.fmask import shadow_references

RESOLUTION_M = 20.0
CHOSEN = FmaskSettings()
HIDDEN_PX = 60
"""What of the made-up sky lies around the scene."""


@dataclass(frozen=True)
class Scene:
    """Made-up ground under clouds of known height."""

    nir: NDArray[np.float32]
    swir16: NDArray[np.float32]
    cloud: NDArray[np.bool_]
    shadow: NDArray[np.bool_]
    angles: Angles

    def found(self, chosen=CHOSEN, **change):
        nothing = np.zeros_like(self.cloud)
        arguments = {
            "nir": self.nir, "swir16": self.swir16, "valid": ~nothing, "land": ~self.cloud, "water": nothing,
            "angles": self.angles, "resolution_m": RESOLUTION_M, "settings": chosen, **change,
        }  # fmt: skip
        return shadow_mask(self.cloud, **arguments)


def moved(flag, down_m, right_m):
    return ndimage.shift(flag, np.rint(np.array([down_m, right_m]) / RESOLUTION_M), order=0) > 0


def scene(*, height_m=1200.0, sun=(40.0, 150.0), view=(0.0, 0.0), size=240, seed=1, share=0.12):
    """Fields of 300 m under cumulus; the shadow is drawn from where the clouds are, the clouds where they are seen."""
    random = np.random.default_rng(seed)
    wide = size + 2 * HIDDEN_PX
    fields = np.kron(random.uniform(0.30, 0.36, (wide // 15 + 1,) * 2), np.ones((15, 15)))[:wide, :wide]
    ground = fields + random.normal(0, 0.01, (wide, wide))
    lumps = ndimage.gaussian_filter(random.random((wide, wide)), 6)
    place = lumps > np.quantile(lumps, 1 - share)
    (sun_zenith, view_zenith), (sun_azimuth, view_azimuth) = (
        np.tan(np.radians([sun[0], view[0]])),
        np.radians([sun[1], view[1]]),
    )
    shade = moved(place, height_m * sun_zenith * np.cos(sun_azimuth), -height_m * sun_zenith * np.sin(sun_azimuth))
    cloud = moved(place, height_m * view_zenith * np.cos(view_azimuth), -height_m * view_zenith * np.sin(view_azimuth))
    lit = np.where(shade, 0.4, 1.0)
    inside = (slice(HIDDEN_PX, -HIDDEN_PX),) * 2
    nir, swir16 = (np.where(cloud, 0.6, part * ground * lit).astype(np.float32)[inside] for part in (1.0, 0.6))
    return Scene(nir, swir16, cloud[inside], (shade & ~cloud)[inside], Angles.constant(*sun, *view))


def f1(found, truth):
    return 2 * (found & truth).sum() / max(found.sum() + truth.sum(), 1)


@pytest.mark.parametrize("azimuth", [20, 70, 110, 160, 200, 250, 290, 340])
def test_shadows_of_known_clouds_are_found_in_all_quadrants_and_not_on_the_sunny_side(azimuth):
    made = scene(sun=(40.0, azimuth))
    found = made.found()
    assert f1(found.shadow, made.shadow) > 0.93
    assert found.figures["cloud_height_m"] == pytest.approx(1200, abs=30)
    mirrored = made.found(angles=Angles.constant(40, (azimuth + 180) % 360))
    assert f1(mirrored.shadow, made.shadow) < 0.45


@pytest.mark.parametrize("height_m", [150.0, 600.0, 1200.0])
def test_the_height_need_not_be_known(height_m):
    made = scene(height_m=height_m, sun=(35.0, 140.0))
    found = made.found()
    assert f1(found.shadow, made.shadow) > 0.9
    assert found.figures["cloud_height_m"] == pytest.approx(height_m, abs=60)


@pytest.mark.parametrize("view_azimuth", [100, 280])
def test_clouds_that_are_seen_aslant_are_put_back_to_where_they_stand(view_azimuth):
    made = scene(sun=(40.0, 150.0), view=(10.0, view_azimuth))
    found = made.found()
    assert f1(found.shadow, made.shadow) > 0.92
    assert found.figures["cloud_height_m"] == pytest.approx(1200, abs=40)
    elsewhere = made.found(
        replace(CHOSEN, shadow_growth_m=0.0, shadow_dark_percentile=100.0),
        angles=Angles.constant(40, 150, 10, view_azimuth + 180 if view_azimuth < 180 else view_azimuth - 180),
    )
    stated = made.found(replace(CHOSEN, shadow_growth_m=0.0, shadow_dark_percentile=100.0))
    assert f1(stated.shadow, made.shadow) > f1(elsewhere.shadow, made.shadow) + 0.1


def test_shadow_is_never_on_cloud_nor_where_nothing_is_known():
    made = scene()
    valid = np.ones_like(made.cloud)
    valid[:, 100:130] = False
    holes = made.nir.copy()
    holes[50:60, 20:80] = np.nan
    found = made.found(nir=holes, valid=valid, land=valid & ~made.cloud)
    known = valid & ~np.isnan(holes) & ~made.cloud
    assert not (found.shadow & ~known).any()
    assert not (found.potential & ~known).any()
    assert f1(found.shadow & known, made.shadow & known) > 0.9
    assert valid[50, 20]  # what was given is not written to


def test_without_1600_nm_the_near_infrared_decides_alone_and_it_is_recorded():
    made = scene()
    found = made.found(swir16=None)
    assert f1(found.shadow, made.shadow) > 0.9
    assert [text.partition(":")[0] for text in found.skipped] == ["shadow in swir16"]
    assert "shadow_outlet_swir16" not in found.figures
    assert (found.potential >= made.found().potential).all()


def test_a_sky_without_clouds_has_no_shadow():
    made = replace(scene(), cloud=np.zeros((240, 240), bool))
    found = made.found()
    assert not found.shadow.any()
    assert found.potential.any()
    assert found.skipped == ("shadow: no cloud to match",)


def test_under_a_low_sun_nothing_is_matched_and_it_is_recorded():
    made = scene()
    found = made.found(angles=Angles.constant(85, 150))
    assert not found.shadow.any()
    assert "85.0 degrees" in found.skipped[0]


def test_clouds_without_dark_ground_are_recorded_as_unmatched():
    made = scene()
    even = np.full_like(made.nir, 0.3)
    found = made.found(nir=even, swir16=even)
    assert not found.shadow.any()
    assert found.skipped == ("shadow: no cloud has a match",)


def test_without_clear_land_the_levels_come_from_all_that_is_no_cloud():
    made = scene()
    found = made.found(land=np.zeros_like(made.cloud))
    assert found.skipped[0].startswith("shadow levels of clear land")
    assert f1(found.shadow, made.shadow) > 0.9


def test_a_scene_that_is_all_cloud_or_not_seen_has_no_shadow():
    made = scene(size=60)
    overcast = replace(made, cloud=np.ones_like(made.cloud)).found()
    assert not (overcast.shadow | overcast.potential).any()
    unseen = made.found(valid=np.zeros_like(made.cloud))
    assert not (unseen.shadow | unseen.potential).any()
    assert "shadow: no cloud to match" in unseen.skipped


def test_shadow_does_not_grow_over_water():
    made = scene()
    river = np.zeros_like(made.cloud)
    river[:, 118:122] = True
    nir, swir16 = (np.where(river & ~made.cloud, np.float32(0.02), band) for band in (made.nir, made.swir16))
    dry = made.found(nir=nir, swir16=swir16)
    wet = made.found(nir=nir, swir16=swir16, water=river & ~made.cloud)
    lit = river & ~made.cloud & ~made.shadow
    assert (wet.shadow & lit).sum() < 0.1 * lit.sum() < (dry.shadow & lit).sum()
    assert f1(wet.shadow & ~river, made.shadow & ~river) > 0.9


def test_a_lake_on_the_way_is_not_taken_for_the_shadow():
    ground = np.random.default_rng(1).normal(0.33, 0.01, (160, 160))
    cloud, lake, shade = (np.zeros((160, 160), bool) for _ in range(3))
    cloud[100:110, 80:90] = shade[50:60, 80:90] = lake[76:90, 78:92] = True
    band = np.where(cloud, 0.6, np.where(shade | lake, 0.1, ground)).astype(np.float32)
    made = Scene(band, band, cloud, shade, Angles.constant(40, 180))
    assert made.found(water=lake).figures["cloud_height_m"] == pytest.approx(1200, abs=30)
    assert made.found().figures["cloud_height_m"] < 600


def test_shadow_of_clouds_beyond_the_edge_is_found_where_the_scene_vouches_for_darkness():
    made = scene(share=0.2)
    found = made.found()
    beside = made.found(replace(CHOSEN, shadow_unseen_share=2.0))
    assert found.figures["shadow_of_unseen_share"] > 0.02
    assert found.figures["unseen_caster_share"] > 0.1
    assert beside.figures["shadow_of_unseen_share"] == 0
    assert (found.shadow >= beside.shadow).all()
    assert f1(found.shadow, made.shadow) > f1(beside.shadow, made.shadow)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([0.3, 2 / 3, 1.0]), st.integers(0, 30))
def test_the_depth_that_vouches_is_the_smallest_of_which_enough_is_shadow(seed, share, least_px):
    random = np.random.default_rng(seed)
    depth = random.choice(np.array([0.15, 0.2, 0.335, 0.5, 0.9], np.float32), (9, 8))
    potential, caster_seen = random.random((9, 8)) < 0.8, random.random((9, 8)) < 0.7
    shadow = potential & (random.random((9, 8)) < depth * 1.2)
    found = shadow_of_unseen(shadow, potential, depth, caster_seen=caster_seen, share=share, least_px=least_px)
    expected = np.zeros_like(found)
    for percent in range(101):
        deep = potential & (np.floor(depth * np.float32(100)) >= percent)
        sample = deep & caster_seen
        if sample.sum() >= max(least_px, 1) and (sample & shadow).sum() >= share * sample.sum():
            expected = deep & ~caster_seen
            break
    assert_array_equal(found, expected)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([0.9, 0.98, 1.0]))
def test_the_depth_that_tells_shadow_is_the_smallest_that_agrees_almost_best_with_the_clouds(seed, tolerance):
    random = np.random.default_rng(seed)
    depth = random.choice(np.array([0.0, 0.16, 0.2, 0.335, 0.5, 0.9], np.float32), (9, 8))
    covered, ground = random.random((9, 8)) < depth, random.random((9, 8)) < 0.8
    scores = {
        percent: f1(ground & (np.floor(depth * np.float32(100)) >= percent), ground & covered)
        for percent in range(15, 101)
    }
    expected = min(percent for percent, score in scores.items() if score >= tolerance * max(scores.values()))
    assert telling_depth(depth, covered, ground, least=0.15, tolerance=tolerance) == expected


def test_shadow_does_not_grow_over_fields_in_basins_shallower_than_shadows():
    made = scene()
    fields = np.kron(np.random.default_rng(2).choice([1.0, 0.75], (16, 16)), np.ones((15, 15))).astype(np.float32)
    nir, swir16 = (np.where(made.cloud, band, band * fields) for band in (made.nir, made.swir16))
    found = made.found(nir=nir, swir16=swir16)
    greedy = made.found(replace(CHOSEN, shadow_telling=0.0), nir=nir, swir16=swir16)
    assert found.figures["shadow_growth_depth"] > 0.25 > greedy.figures["shadow_growth_depth"]
    assert f1(found.shadow, made.shadow) > f1(greedy.shadow, made.shadow) + 0.01


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 10), st.integers(1, 10))
def test_depth_is_the_lesser_rise_to_the_rim_of_both_bands(seed, rows, cols):
    random = np.random.default_rng(seed)
    bands = [random.integers(1, 60, (rows, cols)).astype(np.uint16) for _ in range(2)]
    valid, outlets = random.random((rows, cols)) < 0.9, [20, 30]
    rims = [shadow_references.filled_basins(band, valid, level, 4) for band, level in zip(bands, outlets, strict=True)]
    rises = [(rim - band.astype(float)) / rim for rim, band in zip(rims, bands, strict=True)]
    assert_allclose(basin_depth(bands, valid, outlets), np.minimum(*rises), atol=1e-6)


@given(st.integers(-12, 12), st.integers(-12, 12))
def test_a_moved_flag_leaves_its_place_and_brings_nothing_from_outside(down, right):
    flag = np.random.default_rng(4).random((6, 9)) < 0.5
    expected = np.zeros_like(flag)
    for row, col in np.argwhere(flag):
        if 0 <= row + down < 6 and 0 <= col + right < 9:
            expected[row + down, col + right] = True
    assert_array_equal(shadows._moved(flag, down, right), expected)


def test_reflectance_of_counts_is_flooded_exactly():
    counts = np.arange(1, 20_001, dtype=np.uint16).reshape(100, 200)
    usable = np.ones(counts.shape, bool)
    reflectance = counts.astype(np.float32) / np.float32(10_000)
    assert_array_equal(shadows._counts_of(reflectance, usable), counts)
    odd = np.array([[-0.2, np.nan, 9.0]], np.float32)
    usable = np.ones((1, 3), bool)
    assert_array_equal(shadows._counts_of(odd, usable), [[1, 1, 65_535]])
    assert_array_equal(usable, [[True, False, True]])


@pytest.mark.parametrize("change", [{"water": np.zeros((3, 3), bool)}, {"nir": np.zeros((240, 240))}])
def test_arrays_of_another_grid_or_kind_are_refused(change):
    with pytest.raises(GridMismatchError):
        scene().found(**change)


@pytest.mark.parametrize(
    ("chosen", "resolution_m"),
    [(CHOSEN, 0.0), (CHOSEN, float("nan")), (replace(CHOSEN, shadow_lowest_m=900.0, shadow_highest_m=800.0), 20.0)],
)
def test_settings_that_cannot_be_are_refused(chosen, resolution_m):
    with pytest.raises(DetectorError, match="expected"):
        scene(size=60).found(chosen, resolution_m=resolution_m)
