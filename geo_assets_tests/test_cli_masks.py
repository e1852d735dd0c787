"""The terminal's way to one scene's mask, and to its evaluation: sources, grids, files, and what is refused."""

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox
from PIL import Image

import geo_assets
from geo_assets.cli import main
from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets_tests.scenery.cloudy_scene import cloudy_band
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE = "33TVL"
GROUND = tile_geobox(TILE, 10)[600:840, 1200:1440]
"""2.4 km: 240 px of 10 m, 120 of 20 m, 40 of 60 m."""
SUN = ("--sun-zenith", "40", "--sun-azimuth", "150")


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEO_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path


def call(*arguments: object) -> Result:
    """The program within this process; whatever is no deliberate end is raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    return result


def done(*arguments: object) -> list[str]:
    """What the program says when all is well, line by line."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def refusal_of(*arguments: object) -> str:
    """What the program says when it exits with 2."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


def bands() -> dict[str, tuple[np.ndarray, GeoBox]]:
    """A cloud from (480, 480) m to (1200, 1200) m and a lake in the corner, each band in its native pixels."""
    found = {}
    for name, band in SENTINEL2_BANDS.items():
        factor = band.resolution_m // 10
        grid = GROUND.zoom_out(factor)
        cloud, lake = slice(48 // factor, 120 // factor), slice(180 // factor, None)
        found[name] = cloudy_band(name, grid.shape, (cloud, cloud), (lake, lake)), grid
    return found


def write(path: Path, pixels: np.ndarray, grid, **profile) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    count, height, width = planes.shape
    how = {"driver": "GTiff", "dtype": planes.dtype, "crs": str(grid.crs), "transform": grid.transform, **profile}
    with rasterio.open(path, "w", count=count, height=height, width=width, **how) as file:
        file.write(planes)
    return path


def band_folder(folder: Path, *, added: int = 0, leave_out=()) -> Path:
    for name, (pixels, grid) in bands().items():
        if name not in leave_out:
            write(folder / f"T{TILE}_20240610T100031_{SENTINEL2_BANDS[name].number}.tif", pixels + added, grid)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return band_folder(tmp_path_factory.mktemp("scene") / "bands")


def pixels_of(path: str, band: int = 1) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(band)


# A scene


def test_a_folder_of_bands_is_masked_on_one_grid_with_everything_that_belongs_to_it(work, folder):
    lines = done("mask", folder, "--out", "found", *SUN)
    assert sorted(path.name for path in (work / "found").iterdir()) == ["mask.png", "mask.tif", "probability.tif"]
    with rasterio.open("found/mask.tif") as file:
        assert (file.shape, file.dtypes, file.nodata, file.crs) == ((40, 40), ("uint8", "uint8"), 255, GROUND.crs)
        assert file.transform == Affine(60, 0, GROUND.transform.c, 0, -60, GROUND.transform.f)
        codes, detectors = file.read()
        assert file.descriptions[1] == "detectors"
        assert file.tags()["SCENE"] == "bands"
    assert (codes[9:19, 9:19] == 1).all()
    assert (detectors[9:19, 9:19] == 6).all()
    with rasterio.open("found/probability.tif") as file:
        assert (file.scales[0], file.nodata) == (0.01, 255)
        assert (file.read(1)[9:19, 9:19] > 45).all()
    with Image.open("found/mask.png") as picture:
        assert picture.width >= 300
    assert lines[0] == "bands"
    assert "source folder of bands, L1C, 40 x 40 px of 60 m" in lines
    assert "angles as given" in lines
    assert any(line.startswith("classes clear ") and "cloud" in line for line in lines)
    assert any(line.startswith("skipped fmask: cloud displacement") for line in lines)
    assert lines[-1] == "written found/mask.tif, found/probability.tif, found/mask.png"


def test_the_terminal_says_what_the_library_says_of_the_same_pixels(folder):
    done("mask", folder, "--out", "found", "--resolution", "60", "--shadow-buffer", "120", *SUN)
    means = {}
    for name, (pixels, grid) in bands().items():
        factor = round(60 / grid.resolution.x)
        blocks = pixels.astype(np.int64).reshape(40, factor, 40, factor).sum(axis=(1, 3))
        means[name] = ((2 * blocks + factor**2) // (2 * factor**2)).astype(np.uint16)
    expected = geo_assets.cloud_mask(
        means, angles={"sun_zenith": 40.0, "sun_azimuth": 150.0}, resolution_m=60, shadow_buffer_m=120
    )
    assert_array_equal(pixels_of("found/mask.tif"), expected.codes)
    assert_array_equal(pixels_of("found/mask.tif", 2), expected.detectors)
    assert_array_equal(pixels_of("found/probability.tif"), np.rint(100 * expected.probability))


def test_a_single_zero_is_a_dark_pixel_and_zeros_in_the_visible_are_fill(tmp_path):
    def counts(name):
        pixels = cloudy_band(name, (40, 40), (slice(8, 20),) * 2, (slice(30, 40),) * 2)
        pixels[0, 0] = 0
        pixels[2, 3] = 0 if name == "cirrus" else pixels[2, 3]
        pixels[4, 5] = 0 if name == "green" else pixels[4, 5]
        return pixels

    stored = {name: counts(name) for name in SENTINEL2_BANDS}
    for name, pixels in stored.items():
        write(tmp_path / "scene" / f"{name}.tif", pixels + np.uint16(1000) * (pixels > 0), GROUND.zoom_out(6))
    done("mask", tmp_path / "scene", "--out", "found", "--offset", "-1000", *SUN)
    codes = pixels_of("found/mask.tif")
    assert_array_equal(np.argwhere(codes == 255), [[0, 0], [4, 5]])
    expected = geo_assets.cloud_mask(
        {name: pixels + np.uint16(1000) * (pixels > 0) for name, pixels in stored.items()},
        angles={"sun_zenith": 40.0, "sun_azimuth": 150.0}, resolution_m=60, offset=-1000,
    )  # fmt: skip
    assert_array_equal(codes, expected.codes)
    assert_array_equal(
        pixels_of("found/probability.tif"),
        np.where(codes == 255, 255, np.rint(100 * np.nan_to_num(expected.probability))),
    )


@pytest.mark.parametrize(("resolution", "size"), [("20", 120), ("native", 240), ("50", 48)])
def test_bands_come_to_any_resolution_and_native_is_that_of_the_finest(folder, resolution, size):
    done("mask", folder, "--out", "found", "-r", resolution, "-d", "s2cloudless")
    codes = pixels_of("found/mask.tif")
    assert codes.shape == (size, size)
    inside = slice(size * 12 // 40, size * 16 // 40)
    assert (codes[inside, inside] == 1).all()


def test_an_offset_left_in_is_told_and_the_offset_cures_it(tmp_path, folder):
    shifted = band_folder(tmp_path / "shifted", added=1000)
    lines = done("mask", shifted, "--out", "left-in", *SUN)
    assert any(line.startswith("doubt offset +0 is doubtful") and "-1000" in line for line in lines)
    lines = done("mask", shifted, "--out", "cured", "--offset", "-1000", *SUN)
    assert "offset -1000 (as given)" in lines
    assert not any(line.startswith("doubt") for line in lines)
    done("mask", folder, "--out", "found", *SUN)
    assert_array_equal(pixels_of("cured/mask.tif"), pixels_of("found/mask.tif"))
    assert (pixels_of("left-in/probability.tif") != pixels_of("found/probability.tif")).mean() > 0.5


def test_the_threshold_reaches_the_forest(folder):
    done("mask", folder, "--out", "found", "-d", "s2cloudless", "--threshold", "0.0001")
    assert (pixels_of("found/mask.tif") == 1).all()


def test_an_index_is_written_without_the_dropped_classes(folder):
    done("mask", folder, "--out", "found", "--index", "ndvi,nbr", "--drop", "cloud", *SUN)
    codes, ndvi = pixels_of("found/mask.tif"), pixels_of("found/ndvi.tif")
    assert_array_equal(ndvi == -32768, codes == 1)
    with rasterio.open("found/nbr.tif") as file:
        assert (file.dtypes, file.nodata, file.scales) == (("int16",), -32768, (1e-4,))
    assert 0 < np.median(ndvi[codes == 0]) < 10_000


def test_a_stac_item_tells_its_offset_and_angles(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    ground = {name: (pixels + 1000, grid) for name, (pixels, grid) in bands().items()}
    sky = {"view:sun_elevation": 50.0, "view:sun_azimuth": 150.0}
    first = archive.add(TILE, "2024-06-10", ground, level="L1C", added_counts=1000, baseline="05.10", **sky)
    second = archive.add(TILE, "2024-06-20", ground, level="L1C", added_counts=1000, baseline="05.10", **sky)
    path = archive.write()
    assert f"{first}, {second}" in refusal_of("mask", path)
    lines = done("mask", path, "--item", first, "--out", "found")
    assert lines[0] == first
    assert any(line.startswith("offset -1000") for line in lines)
    assert f"angles view:* of {first} (view not stated: nadir assumed)" in lines
    assert (pixels_of("found/mask.tif")[9:19, 9:19] == 1).all()


def test_surface_reflectance_is_refused_with_the_reason(tmp_path):
    archive = SmallArchive(tmp_path / "archive")
    ground = {name: band for name, band in bands().items() if name != "cirrus"}
    archive.add(TILE, "2024-06-10", ground)
    said = refusal_of("mask", archive.write())
    assert "found level L2A, expected L1C for s2cloudless" in said
    assert "cirrus (B10)" in said


def test_the_folder_is_named_after_the_scene_and_nothing_is_written_beside_it(work, folder):
    done("mask", "scene", folder, *SUN)
    assert sorted(path.name for path in work.iterdir()) == ["bands-mask"]


WRONG_FOLDERS = {
    "no B10": (lambda at: band_folder(at, leave_out=["cirrus"]), "lacks cirrus (B10) for s2cloudless"),
    "six missing": (lambda at: band_folder(at, leave_out=["nir", "nir08"]), "lacks nir (B08), nir08 (B8A)"),
    "two files for a band": (
        lambda at: write(band_folder(at) / "blue.tif", *bands()["blue"]).parent,
        "two files for blue (B02)",
    ),
    "another extent": (
        lambda at: (
            write(
                band_folder(at, leave_out=["coastal"]) / "B01.tif", bands()["coastal"][0], GROUND.zoom_out(6).left
            ).parent
        ),
        "expected one extent",
    ),
    "another CRS": (
        lambda at: (
            write(band_folder(at, leave_out=["coastal"]) / "B01.tif", *bands()["coastal"], crs="EPSG:32632").parent
        ),
        "expected one CRS",
    ),
    "floats": (
        lambda at: (
            write(band_folder(at, leave_out=["red"]) / "B04.tif", bands()["red"][0] / np.float32(1e4), GROUND).parent
        ),
        "found pixels of float32",
    ),
    "garbage": (
        lambda at: (band_folder(at, leave_out=["red"]) / "B04.tif").write_bytes(b"no picture") and at,
        "not recognized as TIFF or JPEG 2000",
    ),
    "no band": (lambda at: at.mkdir() or at, "found no file of a band"),
    "an address": (lambda at: "https://example.com/item.json", "https://example.com/item.json: found an address"),
    "one band's file": (lambda at: write(at / "B02.tif", *bands()["blue"]), "found a file, expected a SAFE folder"),
    "a part of a SAFE folder": (
        lambda at: (write(at / "MTD_MSIL1C.xml", *bands()["red"]), band_folder(at / "GRANULE" / "IMG_DATA"))[1],
        "found a part of scene, expected the whole folder",
    ),
    "no folder": (lambda at: at / "nowhere", "cannot be read (No such file or directory)"),
}


@pytest.mark.parametrize("wrong", WRONG_FOLDERS)
def test_a_folder_that_is_no_scene_is_refused_and_nothing_written(work, wrong):
    make, words = WRONG_FOLDERS[wrong]
    at = make(work / "scene")
    assert words in refusal_of("mask", at, "--out", "found")
    assert not (work / "found").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sun-zenith", "40"], "expected --sun-zenith and --sun-azimuth together"),
        (["--view-zenith", "4"], "expected --sun-zenith and --sun-azimuth together"),
        (["--sun-zenith", "91", "--sun-azimuth", "10"], "found 91"),
        (["-r", "wide"], "expected metres, or native"),
        (["-r", "4"], "found 4 m, expected 10 to 160 m for s2cloudless"),
        (["-r", "61"], "found 61 m, expected 10 to 60 m for fmask"),
        (["-r", "nan"], "found nan m"),
        (["-d", "quality"], "needs a region file"),
        (["-d", "fmask,fmask"], "fmask twice"),
        (["--index", "ndmi"], "found no such index"),
        (["--drop", "haze"], "haze"),
        (["--quantification", "65535"], "found quantification 65535"),
        (["--cloud-buffer", "-1"], "--cloud-buffer"),
        (["--shadow-buffer", "1e9"], "--shadow-buffer"),
        (["--item", "one"], "found --item one for a folder of bands, expected it for a STAC file only"),
        (["--tile", "33TVL"], "found --tile 33TVL for a folder of bands, expected it for a SAFE folder only"),
    ],
)
def test_options_that_cannot_be_are_refused(folder, options, words):
    assert words in refusal_of("mask", folder, *options)


def test_help_shows_both_commands_and_nothing_else_is_taken_for_a_scene():
    lines = done("mask", "--help")
    assert any(line.startswith("evaluate") for line in lines)
    assert any("--shadow-buffer" in line for line in done("mask", "scene", "--help"))
    assert "mask" in " ".join(done("--help"))
    assert "no such file" in refusal_of("mask", "evaluate", "--truth", "nowhere.tif", "--mask", "x.tif").lower()


# Evaluation


def labels(**codes: int) -> np.ndarray:
    """20 x 20: left half clear, a cloud block right above, a shadow block right below."""
    truth = np.full((20, 20), codes["clear"], np.uint8)
    truth[2:8, 12:18] = codes["cloud"]
    truth[12:18, 12:18] = codes["shadow"]
    return truth


@pytest.fixture
def rasters(work) -> dict[str, Path]:
    """A mask that misses a column of cloud, which fmask alone would have seen, and a probability that sees it."""
    grid = GROUND[:20, :20]
    truth = labels(clear=0, cloud=1, shadow=2)
    codes, bits = truth.copy(), np.where(truth == 1, 2 | 4, np.where(truth == 2, 4, 0)).astype(np.uint8)
    codes[2:8, 12], bits[2:8, 12] = 0, 0
    codes[0, :4], bits[0, :4] = 1, 2
    bits[2:8, 13] = 4
    share = np.where(truth == 1, 80, 10).astype(np.uint8)
    share[2:8, 12] = 40
    land = np.ones((20, 20), np.uint16)
    land[10:] = 7
    found = {
        "truth": write(work / "truth.tif", truth, grid),
        "other": write(work / "other.tif", labels(clear=3, cloud=4, shadow=0), grid),
        "mask": write(work / "mask.tif", np.stack([codes, bits]), grid, nodata=255),
        "probability": write(work / "probability.tif", share, grid, nodata=255),
        "land": write(work / "land.tif", land, grid),
    }
    with rasterio.open(found["probability"], "r+") as file:
        file.scales = (0.01,)
    return found


def rows_of(folder: str) -> dict[tuple[str, ...], dict[str, str]]:
    with Path(folder, "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {(row["source"], row["setting"], row["value"], row["class"], row["land_cover"]): row for row in rows}


def test_an_evaluation_tells_how_well_the_mask_and_each_detector_do(rasters):
    lines = done("mask", "evaluate", "--truth", rasters["truth"], "--mask", rasters["mask"], "-o", "found")
    rows = rows_of("found")
    whole = rows["all detectors", "", "", "cloud", ""]
    assert [int(whole[key]) for key in ("hits", "false_alarms", "misses", "rejections")] == [30, 4, 6, 360]
    assert (whole["precision"], whole["recall"], whole["iou"]) == ("0.8824", "0.8333", "0.7500")
    assert rows["all detectors", "", "", "shadow", ""]["f1"] == "1.0000"
    assert rows["s2cloudless", "", "", "cloud", ""]["recall"] == "0.6667"
    assert rows["fmask", "", "", "cloud or shadow", ""]["precision"] == "1.0000"
    assert rows["all detectors", "cloud buffer", "0", "cloud", ""]["f1"] == whole["f1"]
    assert int(rows["all detectors", "cloud buffer", "20", "cloud", ""]["misses"]) == 0
    page = Path("found/evaluation.md").read_text()
    assert "| s2cloudless | 0 | 4 |" in page
    assert "| fmask | 42 | 0 |" in page
    assert "Cloud or shadow that no detector saw: 6 pixels." in page
    assert "400 labelled pixels: clear 328 (82.0%), cloud 36 (9.0%), shadow 36 (9.0%)." in lines
    with Image.open("found/evaluation.png") as picture:
        assert picture.width > 500


def test_thresholds_are_tried_on_the_probability_alone_and_with_the_other_detectors(rasters):
    done(
        "mask", "evaluate", "--truth", rasters["truth"], "--mask", rasters["mask"], "-o", "found",
        "--probability", rasters["probability"], "--thresholds", "0.3,0.4,0.79,0.8,0.9",
    )  # fmt: skip
    rows = rows_of("found")
    recall = {
        value: rows["probability", "threshold", value, "cloud", ""]["recall"] for value in ("0.3", "0.4", "0.79", "0.8")
    }
    assert recall == {"0.3": "1.0000", "0.4": "0.8333", "0.79": "0.8333", "0.8": "0.0000"}, "strictly above"
    assert rows["probability or fmask", "threshold", "0.8", "cloud", ""]["recall"] == "0.8333"
    assert "| probability | cloud | 0.3 | 1.0000 | 1.0000 |" in Path("found/evaluation.md").read_text()


def test_figures_are_told_apart_by_land_cover(rasters):
    done(
        "mask", "evaluate", "--truth", rasters["truth"], "--mask", rasters["mask"], "-o", "found",
        "--landcover", rasters["land"],
    )  # fmt: skip
    rows = rows_of("found")
    assert rows["all detectors", "", "", "cloud", "1"]["hits"] == "30"
    assert rows["all detectors", "", "", "cloud", "7"]["hits"] == "0"
    assert "| all detectors | shadow | 7 | 200 | 1.0000 |" in Path("found/evaluation.md").read_text()


def test_labels_of_another_code_are_named_and_some_left_out(rasters):
    where = ("--mask", rasters["mask"], "-o", "found")
    done("mask", "evaluate", "--truth", rasters["other"], *where, "--truth-codes", "cloud=4,shadow=0,clear=3")
    assert rows_of("found")["all detectors", "", "", "cloud", ""]["hits"] == "30"
    lines = done("mask", "evaluate", "--truth", rasters["other"], *where, "--truth-codes", "cloud=4,unlabelled=0+3")
    assert "36 labelled pixels: cloud 36 (100.0%)." in lines
    said = refusal_of("mask", "evaluate", "--truth", rasters["other"], *where, "--truth-codes", "cloud=4")
    assert "found the labels 0, 3, expected labels named" in said


def test_a_probability_alone_is_evaluated_too(rasters):
    where = ("--truth", rasters["truth"], "--probability", rasters["probability"])
    done("mask", "evaluate", *where, "-o", "found", "--buffers", "0,10", "--landcover", rasters["land"])
    assert "## By land cover" in Path("found/evaluation.md").read_text()
    assert rows_of("found")["probability > 0.45", "cloud buffer", "10", "cloud", ""]["recall"] == "1.0000"


def moved(rasters, key):
    with rasterio.open(rasters[key], "r+") as file:
        file.transform = file.transform * Affine.translation(0.5, 0)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda r: moved(r, "mask"), [], "Mask"),
        (lambda r: moved(r, "probability"), [], "Probability"),
        (lambda r: moved(r, "land"), [], "Land cover"),
        (lambda r: write(r["mask"], np.full((1, 20, 20), 9, np.uint8), GROUND[:20, :20]), [], "found the code 9"),
        (lambda r: write(r["truth"], np.full((20, 20), 8, np.uint8), GROUND[:20, :20]), [], "found the label 8"),
        (lambda r: write(r["truth"], np.full((20, 20), 255, np.uint8), GROUND[:20, :20]), [], "no labelled pixel"),
        (
            lambda r: write(r["probability"], np.full((20, 20), 80, np.uint8), GROUND[:20, :20]),
            [],
            "found 0 to 80, expected 0 to 1",
        ),
        (
            lambda r: write(r["land"], np.arange(400, dtype=np.uint16).reshape(20, 20), GROUND[:20, :20]),
            [],
            "found 400 classes",
        ),
        (lambda r: r["mask"].write_bytes(b"no raster"), [], "cannot be read"),
        (lambda r: None, ["--truth-codes", "haze=1"], "haze=1"),
        (lambda r: None, ["--truth-codes", "cloud=1,clear=1"], "label 1 for cloud and for clear"),
        (lambda r: None, ["--thresholds", "0.5,0.4"], "that rise"),
        (lambda r: None, ["--thresholds", "0.5,2"], "expected numbers from 0 to 1 that rise"),
        (lambda r: None, ["--buffers", "-5,10"], "expected numbers from 0 to 10000 that rise"),
        (lambda r: None, ["--buffers", "0,1e9"], "expected numbers from 0 to 10000 that rise"),
    ],
)
def test_what_cannot_be_compared_is_refused(rasters, change, options, words):
    change(rasters)
    said = refusal_of(
        "mask", "evaluate", "--truth", rasters["truth"], "--mask", rasters["mask"],
        "--probability", rasters["probability"], "--landcover", rasters["land"], "-o", "found", *options,
    )  # fmt: skip
    assert words in said
    assert not Path("found").exists()


def test_neither_mask_nor_probability_is_refused(rasters):
    assert "found neither mask nor probability" in refusal_of("mask", "evaluate", "--truth", rasters["truth"])
