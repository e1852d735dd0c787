"""Real seams: neighbouring Landsat scenes whose pixel sizes and origins differ, warped onto one lattice and blended."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import geo_assets
from geo_assets.domain.errors import GridMismatchError

APRIL = ("LC08_L1TP_013032_20180421", "LC08_L1TP_014031_20180428", "LC08_L1TP_014032_20180428")


def test_two_scenes_of_different_dates_lose_their_edge(shared_data: Path, tmp_path):
    scenes = sorted((shared_data / "landsat-seam").glob("*.tif"))
    output = tmp_path / "mosaic.tif"
    with pytest.raises(GridMismatchError, match=r"found pixels of .*Pass resolution="):
        geo_assets.blend_mosaic(scenes, output, feather_m=15_000)
    metrics = {
        seamline: geo_assets.blend_mosaic(scenes, output, feather_m=15_000, resolution=300, seamline=seamline).metrics
        for seamline in (False, True)
    }
    for figures in metrics.values():
        assert figures["warped"] == ["mosaic_cog1", "mosaic_cog2"]
        assert figures["seam_ratio"] < 0.5 * figures["seam_naive_ratio"]
        assert figures["single_source_mismatch_px"] == figures["validity_mismatch_px"] == 0
        assert figures["outside_inputs_px"] == 0
    assert metrics[True]["sharpness_kept"] > metrics[False]["sharpness_kept"]


def test_an_april_of_three_paths_is_one_picture(shared_data: Path, tmp_path):
    scenes = [next((shared_data / "landsat-multidate").glob(f"{name}*/{name}_B4.TIF")) for name in APRIL]
    how = {"feather_m": 30_000, "resolution": 3000, "nodata": 0}
    result = geo_assets.blend_mosaic(scenes, tmp_path / "mosaic.tif", **how)
    again = geo_assets.blend_mosaic(scenes[::-1], tmp_path / "again.tif", **how, block=64, threads=1)
    assert result.path.read_bytes() == again.path.read_bytes()
    assert len(result.metrics["contributors"]) == 3
    assert result.metrics["validity_mismatch_px"] == result.metrics["outside_inputs_px"] == 0
    with rasterio.open(result.path) as mosaic:
        values = mosaic.read(1)
    ends = []
    for path in scenes:
        with rasterio.open(path) as scene:
            counts = scene.read(1)
            ends.append((counts[counts > 0].min(), counts.max()))
    known = values[values > 0]
    assert min(low for low, _ in ends) <= known.min() <= known.max() <= max(high for _, high in ends)
    assert np.count_nonzero(values) > 10_000
