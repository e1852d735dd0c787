"""The doors' masks on real L1C scenes: SAFE folders, STAC items, JPEG 2000 bands; and the mistakes that cost most."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from numpy.testing import assert_array_equal

import geo_assets
from geo_assets.cli import main
from geo_assets.domain.bands import HYBRID_BANDS, SENTINEL2_BANDS, stable_name
from geo_assets.domain.errors import DetectorError

SAFE_0510 = "S2A_MSIL1C_20240120T105341_N0510_R051_T31TCJ_20240120T125244.SAFE"
SAFE_0206 = "S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_20180101T124911.SAFE"
OVERCAST = "S2A_L1C_33TVL_20150731T100009"


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def cloudy(shared_data) -> dict[str, np.ndarray]:
    """A corner of a coast under cloud, counts without offset."""
    stored = np.load(shared_data / "s2-l1c-cloudprob" / "scene.npz")
    return {
        str(name): counts[100:220, 100:260].copy() for name, counts in zip(stored["bands"], stored["dn"], strict=True)
    }


def mask(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["mask", *map(str, arguments)])


def pixels_of(path: Path | str, band: int = 1) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(band)


def per_cent(probability: np.ndarray) -> np.ndarray:
    return np.rint(100 * probability)


def test_a_safe_folder_goes_through_angles_offset_and_both_detectors(shared_data):
    folder = shared_data / "s2-l1c-safe" / SAFE_0510
    done = mask(folder, "-r", "native", "--out", "found", "--index", "ndvi")
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "source SAFE folder, baseline 05.10, L1C, 30 x 30 px of 10 m" in lines
    assert "offset -1000 (MTD_MSIL1C.xml)" in lines
    assert f"angles MTD_TL.xml grids of {SAFE_0510}" in lines
    images = next((folder / "GRANULE").iterdir()) / "IMG_DATA"
    counts = {name: pixels_of(next(images.glob(f"*_{SENTINEL2_BANDS[name].number}.jp2"))) for name in HYBRID_BANDS}
    expected = geo_assets.cloud_probability(counts, offset=-1000)
    assert_array_equal(pixels_of("found/probability.tif"), per_cent(expected))
    nir, red = (counts[name].astype(np.int16) - 1000 for name in ("nir", "red"))
    index = pixels_of("found/ndvi.tif")
    clear = np.isin(pixels_of("found/mask.tif"), [0, 3, 4])
    assert_array_equal(index[clear], np.rint(1e4 * geo_assets.ndvi(nir=nir, red=red))[clear])


def test_a_safe_folder_without_bands_is_refused_and_they_are_named(shared_data):
    refused = mask(shared_data / "s2-l1c-safe" / SAFE_0206)
    assert refused.exit_code == 2
    missing = [name for name in HYBRID_BANDS if name not in ("coastal", "rededge3")]
    said = refused.stderr.partition(" for s2cloudless and fmask; found coastal (B01)")[0]
    assert said.endswith("lacks " + ", ".join(f"{name} ({SENTINEL2_BANDS[name].number})" for name in missing))
    assert not list(Path.cwd().iterdir())


def test_a_stac_item_gives_the_probabilities_that_came_with_it(shared_data):
    folder = shared_data / "s2-l1c-multidate" / OVERCAST
    done = mask(folder / "item.json", "-r", "native", "--out", "found")
    assert done.exit_code == 0, done.output
    assert_array_equal(pixels_of("found/probability.tif"), per_cent(pixels_of(folder / "CLP_S2C.tif")))
    assert (pixels_of("found/mask.tif") == 1).mean() > 0.95
    again = mask(shared_data / "s2-l1c-multidate", "--item", OVERCAST, "-r", "native", "--out", "again")
    assert again.exit_code == 0, again.output
    assert Path("again/mask.tif").read_bytes() == Path("found/mask.tif").read_bytes()


def test_jpeg_2000_bands_of_10_20_and_60_m_come_to_one_grid(shared_data):
    folder = shared_data / "s2-l1c-jp2" / "IMG_DATA"
    done = mask(folder, "--out", "found", "--sun-zenith", "30", "--sun-azimuth", "145")
    assert done.exit_code == 0, done.output
    means = {}
    for path in folder.glob("*_B*.jp2"):
        counts = pixels_of(path).astype(np.int64)
        factor = len(counts) // 50
        blocks = counts.reshape(50, factor, 50, factor).sum(axis=(1, 3))
        means[stable_name(path.stem.rpartition("_")[2])] = ((2 * blocks + factor**2) // (2 * factor**2)).astype(
            np.uint16
        )
    expected = geo_assets.cloud_mask(means, angles={"sun_zenith": 30.0, "sun_azimuth": 145.0}, resolution_m=60)
    assert_array_equal(pixels_of("found/mask.tif"), expected.codes)
    assert_array_equal(pixels_of("found/probability.tif"), per_cent(expected.probability))


# Mistakes that cost most (shares of pixels measured on this scene)


def test_an_offset_left_in_turns_all_to_cloud_and_the_offset_cures_it(cloudy):
    right = geo_assets.cloud_probability(cloudy)
    shifted = {name: counts + np.uint16(1000) for name, counts in cloudy.items()}
    assert ((geo_assets.cloud_probability(shifted) > 0.4) != (right > 0.4)).mean() > 0.2
    assert_array_equal(geo_assets.cloud_probability(shifted, offset=-1000), right)


def test_the_order_in_which_bands_are_given_changes_nothing(cloudy):
    assert_array_equal(
        geo_assets.cloud_probability(dict(reversed(cloudy.items()))), geo_assets.cloud_probability(cloudy)
    )


def test_undivided_counts_mixed_grids_and_a_missing_or_empty_b10_are_refused(cloudy):
    wrong = {
        "given as reflectance": ({name: counts.astype(np.float32) for name, counts in cloudy.items()}, None),
        "unequal shapes": ({**cloudy, "B01": cloudy["B01"][::6, ::6]}, 10_000),
        "lacks cirrus": ({name: counts for name, counts in cloudy.items() if name != "B10"}, 10_000),
        r"found cirrus \(B10\) 0 in all": ({**cloudy, "B10": np.zeros_like(cloudy["B10"])}, 10_000),
    }
    for words, (bands, quantification) in wrong.items():
        with pytest.raises((DetectorError, geo_assets.GeoAssetsError), match=words):
            geo_assets.cloud_probability(bands, quantification=quantification)
