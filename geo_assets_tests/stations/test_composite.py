"""The monthly composite by every method, on what the stations before it made, and against the truth behind it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets.demo.truth import load_ground
from geo_assets.domain.errors import RegionError
from geo_assets.domain.region_composite import CompositeMethod
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.domain.tile_month import Month
from geo_assets.io.places import Place
from geo_assets.kernels.brdf import c_factor
from geo_assets.stations.catalog import STATION_BY_NAME
from geo_assets.stations.line import run_station
from geo_assets_tests.scenery.lines import area_of, pixels_of, product_of, run_until, slices_within, small_line
from geo_assets_tests.scenery.small_archive import SmallArchive

NODATA, NONE = -32768, 255
JUNE = Month(2024, 6)
METHODS = CompositeMethod.__args__
UPSTREAM = ("scene_search", "scout", "fetch", "hybrid_mask")


@pytest.fixture(scope="module")
def prepared(demo_line, demo_archive, tmp_path_factory) -> Path:
    """A store with what one tile's composite is made from."""
    store = tmp_path_factory.mktemp("composites") / "store"
    for station in UPSTREAM:
        folder = Path("small") / station / demo_line.region.tile_months[0].tile / str(JUNE)
        shutil.copytree(demo_archive.parent / "store" / folder, store / folder)
    return store


@pytest.fixture(scope="module")
def composed(demo_archive, demo_settings, prepared):
    """Makes the composite of the demo's first tile with some settings."""

    def product(**settings):
        line = small_line(demo_archive, prepared, **demo_settings, composite=settings)
        place = Place("monthly_composite", line.region.tile_months[0].tile, JUNE)
        return run_station(line, STATION_BY_NAME["monthly_composite"], place).product

    return product


@pytest.fixture(scope="module")
def part(demo_plan):
    """Rows and columns of the demo's part of its first tile, in the tile and in the demo's window."""
    tile = demo_plan.tiles[0]
    return slices_within(demo_plan.part(tile, 60), tile_geobox(tile, 60)), demo_plan.part_slices(tile, 60)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_close_to_the_ground_that_was_there(composed, demo_archive, part, method):
    product = composed(method=method)
    window, truth_window = part
    bands, uncertainty, quality, count, source, day = (
        pixels_of(product, f"{name}.tif", window)
        for name in ("composite", "uncertainty", "quality", "observation_count", "source", "day")
    )
    valid = (bands != NODATA).all(axis=0)
    truth = load_ground(demo_archive, JUNE).surface[:, *truth_window]
    error = (bands - truth.astype(int))[:, valid] / 10_000
    # A first quartile takes the darker of three: in the near infrared, ground in thin shadow.
    limits = [0.02, 0.02, 0.02, 0.04 if method == "percentile" else 0.03]
    assert (np.sqrt((error**2).mean(axis=1)) < limits).all()
    for layer in (quality, source, day):
        assert_array_equal(layer[0] != NONE, valid)
    assert_array_equal(count[0] > 0, valid)
    assert_array_equal((uncertainty != NODATA).all(axis=0), valid)
    assert uncertainty[:, valid].min() >= 10
    metrics = product.manifest.metrics
    days = np.array([int(scene.split("_")[2][-2:]) for scene in metrics["scenes"]])
    assert_array_equal(day[0][valid], days[source[0][valid]])
    assert metrics["method"] == method
    assert metrics["nodata_mismatch_px"] == 0
    assert metrics["nodata_share"] == pytest.approx(1 - metrics["valid_share"])
    assert set(metrics["calibration"]) == {"blue", "green", "red", "nir"}
    assert 0 < metrics["date_fragmentation"] < 0.4
    names = {file.name for file in product.manifest.files}
    assert {"uncertainty.tif", "uncertainty.png", "day.png"} <= names


def test_without_uncertainty_neither_layer_nor_picture_nor_calibration_is_made(composed):
    product = composed(uncertainty=False)
    assert not [file.name for file in product.manifest.files if "uncertainty" in file.name]
    assert "calibration" not in product.manifest.metrics


def test_only_settings_that_a_method_reads_make_a_composite_anew(composed):
    def mark(**settings):
        return composed(**settings).manifest.fingerprint

    assert mark(method="bap", weights={"sensor": 0.0}) == mark(method="bap")
    assert mark(method="bap", weights={"date": 0.0, "date_sigma_days": 5.0}) == mark(
        method="bap", weights={"date": 0.0}
    )
    assert mark(method="percentile", percentile=25.0) == mark(method="percentile")
    assert len({mark(method="percentile", percentile=40.0), mark(method="percentile"), mark()}) == 3


def test_bap_comes_nearer_to_the_day_it_is_asked_for(composed):
    far, near = (
        composed(method="bap", target_day=28, weights={"date": weight}).manifest.metrics["temporal_distance_days"]
        for weight in (0.0, 20.0)
    )
    assert near["median"] < far["median"]


GROUND = tile_geobox("33TVL", 60)[700:780, 500:590]
SEEN_FROM = {"view:sun_elevation": 50.0, "view:sun_azimuth": 150.0}
ASKANCE = {**SEEN_FROM, "view:incidence_angle": 11.0, "view:azimuth": 110.0}
NADIR = {**SEEN_FROM, "view:incidence_angle": 0.5, "view:azimuth": 110.0}


def two_scenes(folder, first, second) -> Path:
    """An archive of two whole scenes of random counts, seen from where their properties say."""
    archive = SmallArchive(folder)
    for number, (day, properties) in enumerate((("08", first), ("18", second))):
        draw = np.random.default_rng(number)
        bands = {
            name: (draw.integers(300, 5000, GROUND.shape).astype(np.uint16), GROUND)
            for name in ("coastal", "blue", "red", "nir")
        }
        archive.add("33TVL", f"2024-06-{day}", bands, **properties)
    return archive.write()


def two_scene_line(archive, store, **composite):
    settings = {"bands": ["coastal", "blue", "red", "nir"], "mask": {"detectors": []}, "selection": {"top_k": 2}}
    return small_line(archive, store, **settings, area=area_of(GROUND, margin_m=300), composite=composite)


def composite_of(archive, store, **composite):
    line = two_scene_line(archive, store, **composite)
    run_until(line, "monthly_composite")
    return product_of(line, "monthly_composite"), line


@pytest.mark.parametrize("day", [8, 18], ids=["the scene seen askance", "the scene without angles"])
def test_scenes_seen_askance_are_brought_to_nadir_and_those_without_angles_are_left_and_named(tmp_path, day):
    archive = two_scenes(tmp_path / "archive", ASKANCE, {})
    by_day = {"method": "bap", "target_day": day, "weights": {"haze": 0.0}}
    product, line = composite_of(archive, tmp_path / "store", brdf="c_factor", **by_day)
    brdf = product.manifest.metrics["brdf"]
    askance, unknown = sorted(product.manifest.metrics["scenes"])
    assert brdf["applied"] == [askance]
    assert list(brdf["not_applied"]) == [unknown]
    assert "angles: none" in brdf["not_applied"][unknown]
    assert brdf["bands_left"] == ["coastal"]
    window = slice(700, 780), slice(500, 590)
    own = pixels_of(product_of(line, "fetch"), f"{askance if day == 8 else unknown}.reflectance.tif", window)
    found = pixels_of(product, "composite.tif", window)
    assert (found != NODATA).mean() > 0.8
    for number, band in enumerate(("coastal", "blue", "red", "nir")):
        # The catalogue states one mean for the scene; azimuths turn together to the grid's north.
        factor = np.rint(c_factor(band, 40.0, 11.0, 110.0 - 150.0) * 2**20) / 2**20 if day == 8 else 1.0
        expected = np.floor(own[number] * factor + 0.5)
        assert_array_equal(found[number], np.where(found[number] == NODATA, NODATA, expected))
    assert day == 18 or (found[3] != own[3])[found[3] != NODATA].mean() > 0.9


def test_angles_are_fetched_only_for_those_who_ask(tmp_path):
    archive = two_scenes(tmp_path / "archive", ASKANCE, NADIR)
    for composite, kept in (({}, 0), ({"brdf": "c_factor"}, 2)):
        line = two_scene_line(archive, tmp_path / "store", **composite)
        run_until(line, "fetch")
        names = [file.name for file in product_of(line, "fetch").manifest.files]
        assert sum(name.endswith(".angles.json") for name in names) == kept


VIEW_ALONE = {"date": 0.0, "cloud_distance": 0.0, "haze": 0.0, "view_zenith": 1.0}


def test_bap_by_view_takes_the_scene_nearer_to_nadir(tmp_path):
    archive = two_scenes(tmp_path / "archive", ASKANCE, NADIR)
    product, _ = composite_of(archive, tmp_path / "store", method="bap", weights=VIEW_ALONE)
    nadir = next(scene for scene in product.manifest.metrics["scenes"] if "0618" in scene)
    assert product.manifest.metrics["share_of_scene"][nadir] == 1


def test_a_score_that_one_scene_has_no_input_for_is_left_out_for_all_and_told(tmp_path):
    archive = two_scenes(tmp_path / "archive", ASKANCE, {})
    weights = {"date": 1.0, "cloud_distance": 1.0, "view_zenith": 1.0, "sensor": 0.5, "sensor_scores": {"S2A": 0.5}}
    product, _ = composite_of(archive, tmp_path / "store", method="bap", weights=weights)
    scores = product.manifest.metrics["scores"]
    assert scores["weights"] == {"date": 1.0, "haze": 0.5, "sensor": 0.5}
    assert set(scores["left_out"]) == {"cloud_distance", "view_zenith"}
    assert "no detector looks for cloud" in scores["left_out"]["cloud_distance"]
    assert "angles: none" in scores["left_out"]["view_zenith"]
    assert scores["sensors"] == {"s2a": 0.5}


def test_where_no_score_has_input_the_composite_says_what_to_change(tmp_path):
    line = two_scene_line(
        two_scenes(tmp_path / "archive", ASKANCE, {}), tmp_path / "store", method="weighted_mean", weights=VIEW_ALONE
    )
    with pytest.raises(RegionError, match=r"none of its weighted scores .*\(view_zenith: .* Give composite\.weights"):
        run_until(line, "monthly_composite")
