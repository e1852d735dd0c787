"""What a mosaic has to reach against known truth, from files to file."""

import shutil

import numpy as np
import pytest
import rasterio

import geo_assets
from geo_assets_tests.scenery.mosaic_truth import NODATA, SCALE, mosaic_truth

EXACT = ("single_source_mismatch_px", "validity_mismatch_px", "outside_inputs_px")


@pytest.fixture(scope="module")
def different_tiles(tmp_path_factory):
    """Six tiles of gentle land whose gains differ by up to 6 % and whose offsets by up to 200 counts."""
    truth = mosaic_truth(3, tiles=(2, 3), bands=2, texture_dn=25.0, fields_dn=30.0)
    folder = tmp_path_factory.mktemp("different-tiles")
    paths = truth.write(folder)
    result = geo_assets.blend_mosaic(paths, folder / "mosaic.tif", feather_m=1000, harmonise="gain_offset")
    plain = geo_assets.blend_mosaic(paths, folder / "plain.tif", feather_m=1000)
    yield truth, folder, result.metrics, plain.metrics
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def changed_land(tmp_path_factory):
    """Four tiles, every second half a pixel off, in each of which one field in twenty has changed."""
    truth = mosaic_truth(2, shifted=True, changed=0.05, noise_dn=8.0, texture_dn=80.0)
    folder = tmp_path_factory.mktemp("changed-land")
    yield truth.write(folder), folder
    shutil.rmtree(folder)


def test_the_signed_seam_stays_at_the_noise_floor_where_hard_edges_leave_it_far_behind(different_tiles):
    _, _, harmonised, plain = different_tiles
    assert plain["seam_naive_ratio"] > 25
    for metrics in (harmonised, plain):
        assert metrics["seam_ratio"] <= 1.3
        assert metrics["seam_segments"] >= 80
        assert all(band["seam_ratio"] <= 1.3 for band in metrics["by_band"].values())


def test_single_sources_validity_and_range_are_exact(different_tiles):
    truth, folder, harmonised, plain = different_tiles
    for metrics in (harmonised, plain):
        assert [metrics[name] for name in EXACT] == [0, 0, 0]
    with rasterio.open(folder / "plain.tif") as file:
        mosaic = file.read()
    contributors = np.zeros(mosaic.shape, np.uint8)
    for tile in truth.tiles:
        contributors[:, tile.row : tile.row + tile.height, tile.col : tile.col + tile.width] += tile.values != NODATA
    for tile in truth.tiles:
        here = np.s_[:, tile.row : tile.row + tile.height, tile.col : tile.col + tile.width]
        alone = (contributors[here] == 1) & (tile.values != NODATA)
        np.testing.assert_array_equal(mosaic[here][alone], tile.values[alone])
    np.testing.assert_array_equal(mosaic != NODATA, contributors > 0)


def test_after_harmonisation_tiles_differ_by_their_noise_alone(different_tiles):
    truth, _, harmonised, plain = different_tiles
    noise = truth.noise_dn * 2**0.5
    rmse = [band["rmse"] for pair in harmonised["overlap"].values() for band in pair.values()]
    assert max(rmse) == harmonised["overlap_rmse"]
    assert np.sqrt(np.mean(np.square(rmse))) <= 1.05 * noise
    assert max(rmse) <= 1.05 * noise
    assert plain["overlap_rmse"] > 5 * noise
    assert abs(harmonised["overlap_bias"]) * SCALE <= 0.003
    assert harmonised["overlap_rmse"] * SCALE <= 0.010


def test_gains_and_offsets_are_those_that_were_put_in_up_to_what_all_tiles_share(different_tiles):
    truth, _, harmonised, _ = different_tiles
    solved = harmonised["harmonised"]
    assert not any(solved["left_alone"].values())
    for band, name in enumerate(solved["gains"]):
        gains, offsets = (np.array([solved[what][name][tile.name] for tile in truth.tiles]) for what in
                          ("gains", "offsets"))  # fmt: skip
        assert (gains >= 0.9).all()
        assert (gains <= 1.1).all()
        assert (np.abs(offsets) <= 0.02).all()
        # Corrected counts of the same ground, dark and bright, agree between tiles.
        for ground in (1200, 2000, 2800):
            seen = np.array([tile.gain[band] * ground + tile.offset[band] for tile in truth.tiles])
            assert np.ptp(gains * seen + offsets / SCALE) < 12
            assert np.ptp(seen) > 50


def test_a_wide_feather_and_even_more_a_seamline_keep_the_land_sharp(changed_land):
    paths, folder = changed_land
    settings = {"feather_m": 1000, "harmonise": "gain_offset"}
    wide = geo_assets.blend_mosaic(paths, folder / "wide.tif", **settings).metrics
    cut = geo_assets.blend_mosaic(paths, folder / "cut.tif", seamline=True, **settings).metrics
    assert wide["sharpness_kept"] >= 0.88
    assert cut["sharpness_kept"] >= 0.97
    for metrics in (wide, cut):
        assert metrics["seam_ratio"] <= 1.3
        assert [metrics[name] for name in EXACT] == [0, 0, 0]


@pytest.mark.parametrize("seamline", [False, True])
def test_holes_slanted_borders_order_and_blocks_change_nothing_that_must_hold(tmp_path, seamline):
    truth = mosaic_truth(5, tiles=(2, 2), tile_px=420, overlap_px=180, holes=5, ragged=True, gain=0.02, offset_dn=50.0)
    paths = truth.write(tmp_path / "tiles")
    settings = {"feather_m": 800, "harmonise": "gain_offset", "seamline": seamline}
    first = geo_assets.blend_mosaic(paths, tmp_path / "first.tif", **settings).metrics
    other = geo_assets.blend_mosaic(paths[::-1], tmp_path / "other.tif", block=256, **settings).metrics
    assert (tmp_path / "first.tif").read_bytes() == (tmp_path / "other.tif").read_bytes()
    assert [first[name] for name in EXACT] == [0, 0, 0]
    assert first["seam_ratio"] <= max(1.3, first["seam_ratio_by_chance"])
    measured = [name for name in first if name.startswith(("seam", "overlap", "sharpness", "by_band"))]
    assert {name: first[name] for name in measured} == {name: other[name] for name in measured}
