"""Stored counts become reflectance on the tile's grid: offsets, nodata, pixel sizes, shifted and foreign grids."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox
from rasterio.warp import Resampling, reproject

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.domain.errors import AssetLostError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets_tests.scenery import references
from geo_assets_tests.scenery.lines import area_of, pixels_of, product_of, run_until, slices_within, small_line
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE, DAY, NODATA = "33TVL", "2024-06-10", -32768
TILE_60 = tile_geobox(TILE, 60)
QUIET = {"mask": {"detectors": []}, "mosaic": {"feather_m": 60}}


def ground(size: int, side_px: int) -> GeoBox:
    """A square inside the tile, on its lattice: `side_px` pixels of 60 m along an edge, cut into pixels of `size`."""
    return tile_geobox(TILE, 60)[500 : 500 + side_px, 600 : 600 + side_px].zoom_to(resolution=size)


def stored_counts(shape, seed: int, *, holes: float = 0.0) -> np.ndarray:
    """Counts as a rough landscape has them; 0, nodata, in a share of the pixels."""
    draw = np.random.default_rng(seed)
    counts = draw.integers(1, 6000, shape).astype(np.uint16)
    counts[draw.random(shape) < holes] = 0
    return counts


def fetched(tmp_path: Path, bands, region_bands, area: GeoBox, *, resolution=60, store="store", **about):
    """The fetch product of one scene, and its reflectance raster's name."""
    archive = SmallArchive(tmp_path / f"archive-{store}")
    name = archive.add(TILE, DAY, bands, **about)
    line = small_line(
        archive.write(), tmp_path / store, bands=region_bands, resolution=resolution, area=area_of(area), **QUIET
    )
    run_until(line, "fetch")
    return product_of(line, "fetch", TILE), f"{name}.reflectance.tif"


def test_both_offset_conventions_and_nodata_give_the_reflectance_that_was_there(tmp_path):
    geobox = ground(60, 40)
    truth = np.random.default_rng(1).integers(-400, 9000, geobox.shape)
    seen = np.random.default_rng(2).random(geobox.shape) > 0.1
    found = {}
    for added in (1000, 0):
        # Without an offset, counts cannot say what lies below zero: they stop at 1.
        counts = np.where(seen, np.maximum(truth + added, 1), 0).astype(np.uint16)
        product, name = fetched(
            tmp_path, {"red": (counts, geobox)}, ["red"], geobox, store=f"store-{added}", added_counts=added
        )
        found[added] = pixels_of(product, name, slices_within(geobox, TILE_60))[0]
        assert {row["offset_dn"] for row in product.manifest.ledger} == {-added}
    assert_array_equal(found[1000], np.where(seen, truth, NODATA))
    assert_array_equal(found[0], np.where(seen, np.maximum(truth, 1), NODATA))
    assert (found[1000] < 0).sum() - (~seen).sum() > 20


@pytest.mark.parametrize("resolution", [10, 20, 60])
def test_bands_of_10_20_and_60_m_come_onto_one_grid_as_the_slow_references_say(tmp_path, resolution):
    sizes = {"red": 10, "rededge1": 20, "coastal": 60}
    bands = {
        name: (stored_counts(ground(size, 12).shape, size, holes=0.15), ground(size, 12))
        for name, size in sizes.items()
    }
    product, file = fetched(tmp_path, bands, list(sizes), ground(60, 12), resolution=resolution, added_counts=1000)
    window = slices_within(ground(resolution, 12), tile_geobox(TILE, resolution))
    found = pixels_of(product, file, window)
    for plane, (name, size) in zip(found, sizes.items(), strict=True):
        reflectance = bands[name][0].astype(np.int64) - 1000
        reflectance[bands[name][0] == 0] = NODATA
        if size <= resolution:
            expected = references.block_mean(reflectance, resolution // size)
        else:
            expected = interpolated(reflectance, size // resolution)
        assert_array_equal(plane, expected, err_msg=name)


def interpolated(counts: np.ndarray, factor: int) -> np.ndarray:
    """Every fine pixel from the stored ones whose centres are nearest, in fractions; nodata where its own is."""
    fine = np.full([length * factor for length in counts.shape], NODATA)
    for row, col in np.ndindex(fine.shape):
        if counts[row // factor, col // factor] == NODATA:
            continue
        down, right = (Fraction(2 * place + 1, 2 * factor) - Fraction(1, 2) for place in (row, col))
        total = weights = Fraction(0)
        for near_row in (down // 1, down // 1 + 1):
            for near_col in (right // 1, right // 1 + 1):
                weight = (1 - abs(down - near_row)) * (1 - abs(right - near_col))
                at = (min(max(near_row, 0), counts.shape[0] - 1), min(max(near_col, 0), counts.shape[1] - 1))
                if counts[at] != NODATA:
                    total, weights = total + weight * int(counts[at]), weights + weight
        fine[row, col] = references.half_up(total / weights)
    return fine


def corner_geobox(size: float, shape, *, shift=(0.0, 0.0)) -> GeoBox:
    """A grid in the tile's zone over the corner of four blocks of its 60 m raster."""
    left = TILE_60.transform.c + BLOCK_PX * 60 - shape[1] * size / 2 + shift[0]
    top = TILE_60.transform.f - BLOCK_PX * 60 + shape[0] * size / 2 + shift[1]
    return GeoBox(shape, Affine(size, 0, left, 0, -size, top), TILE_60.crs)


def beyond_the_tile() -> GeoBox:
    """A grid that has a third of its ground west and north of the tile, off its lattice."""
    return GeoBox((90, 90), Affine(60, 0, TILE_60.transform.c - 1813, 0, -60, TILE_60.transform.f + 1777), TILE_60.crs)


def in_the_next_zone() -> GeoBox:
    """The ground of the corner of four blocks, in the pixels of zone 32."""
    near = corner_geobox(60, (120, 140)).to_crs("EPSG:32632")
    return GeoBox((120, 140), Affine(60, 0, near.transform.c + 13, 0, -60, near.transform.f - 7), "EPSG:32632")


SOURCES = {
    "shifted by a fraction of a pixel": corner_geobox(60, (120, 140), shift=(17.3, -22.9)),
    "of odd pixels": corner_geobox(52.3, (150, 130)),
    "in another zone": in_the_next_zone(),
    "partly outside the tile": beyond_the_tile(),
}


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_a_foreign_grid_is_warped_as_rasterio_does_however_the_work_is_cut(tmp_path, source):
    geobox = SOURCES[source]
    counts = stored_counts(geobox.shape, 5)
    archive = SmallArchive(tmp_path / "archive")
    name = archive.add(TILE, DAY, {"red": (counts, geobox)})
    archive.write()
    # All four blocks are active, whatever the source covers.
    area = area_of(TILE_60[2:700, 2:700])
    files = {}
    for unit_blocks in (1, 2):
        line = small_line(
            archive.folder, tmp_path / f"store-{unit_blocks}", area=area, unit_blocks=unit_blocks, **QUIET
        )
        run_until(line, "fetch")
        product = product_of(line, "fetch", TILE)
        files[unit_blocks] = product.path(f"{name}.reflectance.tif").read_bytes()
    assert files[1] == files[2]
    expected = np.zeros(TILE_60.shape, np.uint16)
    reproject(
        counts,
        expected,
        src_transform=geobox.transform,
        src_crs=str(geobox.crs),
        src_nodata=0,
        dst_transform=TILE_60.transform,
        dst_crs=str(TILE_60.crs),
        dst_nodata=0,
        resampling=Resampling.bilinear,
        tolerance=1e-3,
        # The four nearest pixels: without this, GDAL widens its kernel by a ratio that depends on the chunk.
        XSCALE=1,
        YSCALE=1,
    )
    found = pixels_of(product, f"{name}.reflectance.tif")[0]
    assert_array_equal(found != NODATA, expected != 0)
    assert (expected != 0).sum() > 3000
    assert np.abs(found - expected.astype(int))[expected != 0].max() <= (8 if source == "in another zone" else 1)


def test_a_nested_grid_that_reaches_beyond_the_tile_is_cut_there(tmp_path):
    geobox = GeoBox(
        (180, 150), Affine(20, 0, TILE_60.transform.c - 600, 0, -20, TILE_60.transform.f + 1200), TILE_60.crs
    )
    counts = stored_counts(geobox.shape, 7, holes=0.1)
    product, file = fetched(tmp_path, {"red": (counts, geobox)}, ["red"], TILE_60[1:39, 1:39])
    reflectance = np.where(counts == 0, NODATA, counts.astype(np.int64))
    expected = references.block_mean(reflectance[60:, 30:], 3)
    assert_array_equal(pixels_of(product, file, (slice(0, 40), slice(0, 40)))[0], expected)


def test_a_truncated_file_stops_the_partition_and_names_scene_band_and_remedy(tmp_path):
    geobox = ground(60, 200)
    archive = SmallArchive(tmp_path / "archive")
    name = archive.add(TILE, DAY, {"red": (stored_counts(geobox.shape, 3), geobox)})
    line = small_line(archive.write(), tmp_path / "store", area=area_of(geobox), **QUIET)
    run_until(line, "scout")
    path = archive.folder / name / "red.tif"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(AssetLostError, match=rf"none .* used \({name}\). Item {name}, band red .*selection.exclude"):
        run_until(line, "fetch")
    path.write_bytes(whole)
    run_until(line, "fetch")
    assert (pixels_of(product_of(line, "fetch", TILE), f"{name}.reflectance.tif") != NODATA).sum() == 200 * 200
