"""Which detectors judge a scene, what becomes of their words, and what is told of those that had no say."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from geo_assets.domain.bands import HYBRID_BANDS, S2CLOUDLESS_BANDS
from geo_assets.domain.errors import DetectorError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.angles import angles_on
from geo_assets.io.products import Product
from geo_assets.kernels.detection import Detection, DetectorInput, detected
from geo_assets.kernels.quality import DetectorBit, MaskCode, fuse_codes
from geo_assets.stations.detection import judging_detectors, toa_bands
from geo_assets.stations.fetch import fetched_angles, fetched_scenes
from geo_assets.stations.line import Line, run_station
from geo_assets.stations.mask import DISTANCE_CAP_M, HYBRID_MASK
from geo_assets_tests.scenery.detector_scenes import write_raster
from geo_assets_tests.scenery.lines import area_of, pixels_of, product_of, run_until, small_line
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
FINE, COARSE = tile_geobox(TILE, 20)[930:1110, 930:1110], tile_geobox(TILE, 60)[310:370, 310:370]
"""The same 3.6 km at 20 and at 60 m, on a corner where four blocks of 20 m pixels meet."""
AT_20_M, AT_60_M = (slice(930, 1110), slice(930, 1110)), (slice(310, 370), slice(310, 370))
SUN = {"view:sun_elevation": 45.0, "view:sun_azimuth": 180.0}
CLOUD, SHADE, HAZE = (slice(20, 30), slice(18, 30)), (slice(13, 20), slice(18, 30)), (slice(45, 50), slice(45, 55))
WITH_ANGLES, WITHOUT, ALONE = "2024-06-05", "2024-06-10", "2024-06-15"
FILL = MaskCode.FILL


def toa(names: tuple[str, ...] = HYBRID_BANDS) -> dict[str, tuple[NDArray[np.uint16], Any]]:
    """Meadows, a cloud, north of it its shadow, and a veil of ice."""
    draw = np.random.default_rng(7)
    level = {"cirrus": 15, "rededge1": 1000, "rededge3": 2400, "nir": 2600, "nir08": 2700, "nir09": 900, "swir16": 1700}
    bands = {}
    for name in names:
        counts = np.full(COARSE.shape, level.get(name, 800), np.int64)
        if level.get(name, 0) > 1000:
            counts[SHADE] //= 3
        counts[CLOUD] = 60 if name == "cirrus" else 5500
        if name == "cirrus":
            counts[HAZE] = 400
        bands[name] = ((counts + draw.integers(0, 10 + counts // 12)).astype(np.uint16), COARSE)
    return bands


def surface(**layers: NDArray[np.uint8]) -> dict[str, tuple[NDArray[Any], Any]]:
    scl = np.full(FINE.shape, 4, np.uint8)
    scl[:30] = 9
    draw = np.random.default_rng(8)
    bands = {name: (draw.integers(500, 900, FINE.shape).astype(np.uint16), FINE) for name in ("red", "nir")}
    return {**bands, "scl": (scl, FINE), **{name: (layer, FINE) for name, layer in layers.items()}}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> SmallArchive:
    """Three scenes: with L1C and angles; with L1C that lacks a strip of a band, without angles; without L1C."""
    archive = SmallArchive(tmp_path_factory.mktemp("mask") / "archive")
    archive.add(TILE, WITH_ANGLES, surface())
    archive.add(TILE, WITH_ANGLES, toa(), level="L1C", **SUN)
    archive.add(TILE, WITHOUT, surface())
    partial = toa()
    partial["coastal"][0][:, 50:] = 0
    archive.add(TILE, WITHOUT, partial, level="L1C")
    fmask = np.ones(FINE.shape, np.uint8)  # python-fmask's clear
    fmask[60:80, 60:80], fmask[:, 170:] = 2, 0
    archive.add(TILE, ALONE, surface(fmask=fmask))
    archive.write()
    return archive


def line_over(archive: SmallArchive, store: Any, **settings: Any) -> Line:
    usual = {"area": area_of(FINE, margin_m=60), "bands": ["red", "nir"], "resolution": 20}
    return small_line(archive.folder, store, **{**usual, "mosaic": {"feather_m": 60}, **settings})


@pytest.fixture(scope="module")
def line(archive) -> Line:
    """Up to the mask, by the detectors that choose themselves."""
    line = line_over(archive, archive.folder.parent / "store")
    run_until(line, "hybrid_mask")
    return line


def masked(line: Line) -> Product:
    run_until(line, "hybrid_mask")
    return product_of(line, "hybrid_mask")


def rows_of(product: Product) -> dict[str, Mapping[str, Any]]:
    """Day -> the ledger's row of its scene."""
    return {day_of(row["scene"]): row for row in product.manifest.ledger}


def day_of(scene: str) -> str:
    stamp = scene.split("_")[2]
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:]}"


def scene_of(product: Product, day: str) -> str:
    return rows_of(product)[day]["scene"]


def alone(line: Line, day: str) -> dict[str, Detection]:
    """What each detector says of a scene on the mask's grid, asked outside of the station."""
    fetched = product_of(line, "fetch")
    scene = next(one for one in fetched_scenes(line, fetched.place) if day_of(one.id) == day)
    names = toa_bands(line.region, scene)
    # All of the ground that the station looks at, which holds no more data than the archive.
    stack = pixels_of(fetched, f"{scene.id}.toa.tif", AT_60_M)
    angles = angles_on(fetched_angles(fetched, scene), 60)
    found = {}
    for name, detector in judging_detectors(line.region, scene).items():
        wanted = [band for band in names if band in (*detector.bands, *detector.optional_bands)]
        bands = {band: stack[names.index(band)] for band in wanted}
        seen = DetectorInput(
            bands=bands,
            valid=np.all([band != -32768 for band in bands.values()], axis=0),
            angles=None if angles is None else angles.within(AT_60_M[0].start, AT_60_M[1].start),
            resolution_m=60,
        )
        found[name] = detected(detector, seen)
    return found


def test_each_scene_is_judged_by_what_it_has_input_for_and_the_ledger_says_why(line):
    product = product_of(line, "hybrid_mask")
    rows = rows_of(product)
    assert rows[WITH_ANGLES]["detectors"] == rows[WITHOUT]["detectors"] == ["s2cloudless", "fmask"]
    assert rows[WITH_ANGLES]["why"]["fmask"] == "L1C bands of S2A_33TVL_20240605_0_L1C"
    assert rows[WITH_ANGLES]["missing"] == []
    assert rows[ALONE]["detectors"] == ["quality"]
    assert rows[ALONE]["missing"][:2] == [
        "s2cloudless: lacks an L1C item of the same acquisition",
        "fmask: lacks an L1C item of the same acquisition",
    ]
    assert "external_fmask: lacks mask.external_fmask.encoding" in rows[ALONE]["missing"][2]
    assert product.manifest.metrics["input_missing"] == sorted(rows[ALONE]["missing"])


def test_a_mask_without_angles_has_no_shadow_and_says_so(line):
    product = product_of(line, "hybrid_mask")
    rows = rows_of(product)
    assert rows[WITHOUT]["angles"].startswith("none:")
    assert any("angles" in step for step in rows[WITHOUT]["skipped"]["fmask"])
    assert any(step.startswith("fmask: ") and "angles" in step for step in product.manifest.metrics["steps_skipped"])
    assert "S2A_33TVL_20240605_0_L1C" in rows[WITH_ANGLES]["angles"]
    assert not any("angles" in step for step in rows[WITH_ANGLES]["skipped"].get("fmask", []))
    codes = {day: pixels_of(product, f"{scene_of(product, day)}.mask.tif", AT_20_M)[0] for day in rows}
    assert (codes[WITHOUT] != MaskCode.SHADOW).all()
    assert (codes[WITH_ANGLES] == MaskCode.SHADOW).any()


def test_a_region_may_refuse_to_do_without_angles(archive, tmp_path):
    line = line_over(archive, tmp_path / "store", mask={"missing_angles": "refuse"})
    with pytest.raises(DetectorError, match=r"20240610.*no sun and view angles.*missing_angles: degrade"):
        run_until(line, "hybrid_mask")


@pytest.mark.parametrize("day", [WITH_ANGLES, WITHOUT])
def test_the_mask_is_the_most_restrictive_word_with_everyones_bit(line, day):
    product = product_of(line, "hybrid_mask")
    bits = {"s2cloudless": DetectorBit.S2CLOUDLESS, "fmask": DetectorBit.EMBEDDED_FMASK}
    said = alone(line, day)
    expected = fuse_codes([(bits[name], detection.codes) for name, detection in said.items()])
    codes, detectors = pixels_of(product, f"{scene_of(product, day)}.mask.tif", AT_20_M)
    assert_array_equal(codes, np.kron(expected.codes, np.ones((3, 3), np.uint8)))
    assert_array_equal(detectors, np.kron(expected.detectors, np.ones((3, 3), np.uint8)))
    assert set(np.unique(detectors)) >= {0, 2 | 4}
    probability = pixels_of(product, f"{scene_of(product, day)}.probability.tif", AT_60_M)
    for stored, detection in zip(probability, said.values(), strict=True):
        unknown = np.isnan(detection.probability)
        assert_array_equal(stored == FILL, unknown)
        assert np.abs(stored[~unknown] - 100 * detection.probability[~unknown]).max() <= 0.5


def test_pixels_that_only_some_bands_show_are_fill_for_the_detectors_that_need_them(line, archive, tmp_path):
    product = product_of(line, "hybrid_mask")
    both = pixels_of(product, f"{scene_of(product, WITHOUT)}.mask.tif", AT_20_M)[0]
    assert (both[:, 150:] == FILL).all()
    assert (both[:, :150] != FILL).all()
    metrics, scene = product.manifest.metrics, scene_of(product, WITHOUT)
    unjudged = metrics["unjudged_shares"]
    assert unjudged[scene] == rows_of(product)[WITHOUT]["unjudged"] == metrics["class_shares"][scene]["nodata"] > 0.1
    assert unjudged[scene_of(product, WITH_ANGLES)] == 0
    by_fmask = masked(line_over(archive, tmp_path / "store", mask={"detectors": ["fmask"]}))  # does without coastal
    assert (pixels_of(by_fmask, f"{scene_of(by_fmask, WITHOUT)}.mask.tif", AT_20_M)[0] != FILL).all()


def test_shares_are_those_of_the_area(line):
    metrics = product_of(line, "hybrid_mask").manifest.metrics
    for scene, shares in metrics["class_shares"].items():
        assert sum(shares.values()) == pytest.approx(1)
        flagged = shares["cloud"] + shares["shadow"]
        by_detector = metrics["detector_shares"][scene]
        assert max(by_detector.values()) <= flagged + 1e-9 <= sum(by_detector.values()) + 2e-9


@pytest.mark.parametrize("day", [WITH_ANGLES, ALONE])
def test_distances_are_metres_to_the_nearest_cloud_and_shadow(line, day):
    product = product_of(line, "hybrid_mask")
    codes = pixels_of(product, f"{scene_of(product, day)}.mask.tif", AT_20_M)[0]
    found = pixels_of(product, f"{scene_of(product, day)}.distance.tif", AT_60_M)
    cells = codes.reshape(60, 3, 60, 3)
    for plane, code in zip(found, (MaskCode.CLOUD, MaskCode.SHADOW), strict=True):
        # Cloud hides the shadow in a pixel that has both.
        is_there = (cells == code).any(axis=(1, 3)) & ~((cells == MaskCode.CLOUD).any(axis=(1, 3)) & (code != 1))
        away = distance_transform_edt(~is_there) * 60 if is_there.any() else np.full(is_there.shape, np.inf)
        assert_array_equal(plane, np.minimum(np.rint(away), DISTANCE_CAP_M))


def test_an_items_own_fmask_file_is_read_in_the_encoding_that_the_region_names(archive, tmp_path):
    external = {"external_fmask": {"encoding": "python_fmask"}}
    product = masked(line_over(archive, tmp_path / "store", mask=external))
    row = rows_of(product)[ALONE]
    assert row["detectors"] == ["quality", "external_fmask"]
    codes, detectors = pixels_of(product, f"{row['scene']}.mask.tif", AT_20_M)
    assert (codes[60:80, 60:80] == MaskCode.CLOUD).all()
    assert (detectors[60:80, 60:80] == DetectorBit.EXTERNAL_FMASK).all()
    assert (detectors[:30, :170] == DetectorBit.QUALITY_LAYER).all()
    assert (codes[:, 170:] == FILL).all()
    assert (codes[30:60, :170] == MaskCode.CLEAR).all()


def test_a_named_detector_without_its_input_leaves_no_scene_to_judge(archive, tmp_path):
    line = line_over(archive, tmp_path / "store", mask={"detectors": ["s2cloudless", "fmask"]})
    assert ALONE not in rows_of(masked(line))


def test_scores_are_read_beside_the_region_and_new_ones_make_a_new_mask(archive, tmp_path):
    scores = np.full(COARSE.shape, 0.9, np.float32)
    scores[:, 30:] = 0.2
    scene = "S2A_33TVL_20240615_0_L2A"
    corner = (COARSE.boundingbox.left, COARSE.boundingbox.top)
    settings = {"path": str(tmp_path / "{tile}_{date}.tif"), "high_is": "clear"}
    one_scene = {"exclude": ["S2A_33TVL_20240605_0_L2A", "S2A_33TVL_20240610_0_L2A"]}
    line = line_over(
        archive, tmp_path / "store", mask={"detectors": ["scores"], "scores": settings}, selection=one_scene
    )
    write_raster(tmp_path / "33TVL_20240615.tif", scores, corner=corner)
    first = masked(line)
    assert product_of(line, "scout").manifest.metrics["scenes_unjudged"] == 1  # no coarse look by scores
    codes, detectors = pixels_of(first, f"{scene}.mask.tif", AT_20_M)
    assert_array_equal(codes, np.kron(scores < 0.5, np.ones((3, 3), bool)))
    assert_array_equal(detectors, DetectorBit.PLUG_IN * codes)
    assert run_station(line, HYBRID_MASK, first.place).reused
    write_raster(tmp_path / "33TVL_20240615.tif", 1 - scores, corner=corner)
    again = run_station(line, HYBRID_MASK, first.place)
    assert not again.reused
    assert_array_equal(pixels_of(again.product, f"{scene}.mask.tif", AT_20_M)[0], 1 - codes)


@dataclass(frozen=True)
class RedFinder:
    """A plug-in that judges the surface, where red is bright."""

    name: str = "red_finder"
    bands: tuple[str, ...] = ("red",)
    optional_bands: tuple[str, ...] = ("nir", "blue")
    levels: tuple[str, ...] = ("L2A",)
    bit: DetectorBit = DetectorBit.PLUG_IN
    needs_angles: bool = False
    resolution_m: tuple[float, float] = (10.0, 100.0)
    halo_m: float | None = 0.0

    def detect(self, scene: DetectorInput) -> Detection:
        assert (scene.level, scene.resolution_m, set(scene.bands)) == ("L2A", 60.0, {"red", "nir"})
        codes = (scene.reflectance("red") > 0.071).astype(np.uint8)
        codes[~scene.valid] = FILL
        return Detection(codes, skipped=("blue: not among the bands",))


def test_a_plug_in_for_surface_reflectance_sees_the_regions_bands_averaged(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("geo_assets.stations.detection._plug_in", lambda name: RedFinder())
    line = line_over(archive, tmp_path / "store")
    detectors = line.region.mask.model_copy(update={"detectors": ("red_finder",)})
    line = replace(line, region=line.region.model_copy(update={"mask": detectors}))
    product = masked(line)
    row = rows_of(product)[ALONE]
    assert row["skipped"] == {"red_finder": ["blue: not among the bands"]}
    red = pixels_of(product_of(line, "fetch"), f"{row['scene']}.reflectance.tif", AT_20_M)[0]
    mean = np.floor(red.reshape(60, 3, 60, 3).mean(axis=(1, 3)) + 0.5)
    codes, detectors = pixels_of(product, f"{row['scene']}.mask.tif", AT_20_M)
    assert_array_equal(codes, np.kron(mean > 710, np.ones((3, 3), bool)))
    assert_array_equal(detectors, 16 * codes)


def test_with_l1c_for_one_of_both_it_judges_beside_the_quality_layer(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    archive.add(TILE, WITH_ANGLES, surface())
    archive.add(TILE, WITH_ANGLES, toa(S2CLOUDLESS_BANDS), level="L1C")
    archive.write()
    row = rows_of(masked(line_over(archive, tmp_path / "store")))[WITH_ANGLES]
    assert row["detectors"] == ["quality", "s2cloudless"]
    assert row["missing"] == ["fmask: lacks green in S2A_33TVL_20240605_0_L1C"]


def test_a_band_without_a_single_count_leaves_nothing_judged_and_is_named(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    archive.add(TILE, WITH_ANGLES, surface())
    empty = toa()
    empty["cirrus"][0][:] = 0
    archive.add(TILE, WITH_ANGLES, empty, level="L1C")
    archive.write()
    row = rows_of(masked(line_over(archive, tmp_path / "store")))[WITH_ANGLES]
    assert row["unjudged"] == 1.0
    assert "no pixel has every one of" in row["skipped"]["s2cloudless"][0]
    assert "cirrus" in row["skipped"]["s2cloudless"][0]
