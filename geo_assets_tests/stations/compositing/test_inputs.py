"""What observations are scored and normalised by, brought to the tile's pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.domain.region import region_from
from geo_assets.kernels.scaling import NODE_STEP_PX, factor_nodes, scaled_counts
from geo_assets.stations.compositing.nadir import AS_SEEN, NadirView
from geo_assets.stations.compositing.scores import Scoring, _between_nodes
from geo_assets.stations.ground import Window, ground_of
from geo_assets.stations.nesting import Nesting

TILE = "33TVL"


@dataclass(frozen=True)
class Named:
    """As much of a scene as is asked for here."""

    id: str


@dataclass(frozen=True)
class Folder:
    """As much of a product as is asked for here."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name


@pytest.mark.parametrize("resolution", [60, 20, 15])
def test_distances_come_to_each_pixel_from_the_coarse_pixel_round_its_centre(tmp_path, resolution):
    settings = {"name": "small", "tiles": [TILE], "months": {"first": "2024-06"}, "archive": "demo", "bands": ["red"]}
    region = region_from({**settings, "resolution": resolution})
    nesting = Nesting(ground_of(region, TILE), ground_of(region, TILE, resolution=60))
    size = nesting.coarse.geobox.shape[0]
    distances = np.random.default_rng(3).integers(0, 65_536, (2, size, size)).astype(np.uint16)
    profile = {"driver": "GTiff", "count": 2, "height": size, "width": size, "dtype": "uint16"}
    geobox = nesting.coarse.geobox
    path = tmp_path / "a.distance.tif"
    with rasterio.open(path, "w", **profile, crs=geobox.crs.to_wkt(), transform=geobox.transform) as raster:
        raster.write(distances)
    window = nesting.fine.block_window(1, 2)
    found = Scoring(region, [Named("a")], Folder(tmp_path), nesting, {}, {}, None)._cloud_distances(window)
    rows, cols = (
        ((np.arange(first, first + length) + 0.5) * resolution // 60).astype(int)
        for first, length in ((window.row, window.height), (window.col, window.width))
    )
    assert_array_equal(found, distances.min(axis=0)[np.ix_(rows, cols)][np.newaxis])


def test_angles_are_linear_between_nodes_and_the_same_in_a_window():
    rows, cols = np.mgrid[0:10, 0:12].astype(np.float32) * NODE_STEP_PX
    nodes = (0.01 * rows + 0.003 * cols)[np.newaxis]
    whole = _between_nodes(nodes, Window(0, 0, 288, 320))
    at = np.mgrid[0:288, 0:320]
    assert_allclose(whole[0], 0.01 * at[0] + 0.003 * at[1], rtol=1e-5, atol=1e-5)
    assert_array_equal(_between_nodes(nodes, Window(40, 70, 100, 90)), whole[:, 40:140, 70:160])


def test_blocks_are_normalised_as_the_whole_is_and_only_in_bands_with_factors():
    random = np.random.default_rng(4)
    nodes = factor_nodes(random.uniform(0.9, 1.1, (34, 34)))
    counts = random.integers(0, 5000, (2, 1024, 1030)).astype(np.int16)
    view, scene = NadirView({"a": {1: nodes}}, {}, ()), Named("a")
    whole = np.stack([counts[0], scaled_counts(counts[1], nodes)])
    for row, col, height, width in ((0, 0, 512, 512), (512, 512, 512, 512), (512, 1024, 512, 6)):
        at = slice(row, row + height), slice(col, col + width)
        block = view.from_nadir(scene, counts[:, *at].copy(), Window(row, col, height, width))
        assert_array_equal(block, whole[:, *at])
    assert_array_equal(AS_SEEN.from_nadir(scene, counts.copy(), Window(0, 0, 1024, 1030)), counts)
