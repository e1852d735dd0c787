"""Real metadata of Sentinel-2: angles against an independent computation, offsets by baseline, SAFE trees."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_allclose
from odc.geo.geobox import GeoBox
from scipy.ndimage import map_coordinates

from geo_assets.domain.bands import HYBRID_BANDS, SENTINEL2_BANDS
from geo_assets.domain.errors import DetectorError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.angles import angles_on, safe_angles
from geo_assets.io.safe.folder import read_safe
from geo_assets.io.safe.granule import granule_metadata
from geo_assets.io.safe.product import product_metadata
from geo_assets.kernels.angles import ground_incidence
from geo_assets.kernels.quality import MaskCode
from geo_assets.kernels.quality_layers import msk_classi_codes

NEW = "S2A_MSIL1C_20240120T105341_N0510_R051_T31TCJ_20240120T125244.SAFE"
OLD = "S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_20180101T124911.SAFE"


@pytest.fixture(scope="module")
def trees(shared_data: Path) -> Path:
    return shared_data / "s2-l1c-safe"


def test_angles_at_the_nodes_are_those_that_wagl_computed_from_the_orbit(shared_data):
    """Sun within 0.05 and 0.07 degrees. The view of a push-broom of twelve staggered detectors differs more from that
    of the satellite as a whole: its zenith by less than 0.3 degrees, its azimuth by up to 12, alternately."""
    folder = next((shared_data / "s2-angles").glob("*_T53JQJ_*"))
    xml = (folder / "MTD_TL.xml").read_bytes()
    angles = granule_metadata(xml, "MTD_TL.xml").angles
    with np.load(folder / "wagl_angles_1km.npz") as wagl:
        at = np.clip(np.arange(23) * 5000 / wagl["geotransform"][1] - 0.5, 0, 109)
        expected = {
            name: map_coordinates(wagl[name].astype(float), np.meshgrid(at, at, indexing="ij"), order=1)
            for name in ("solar_zenith", "solar_azimuth", "satellite_view", "satellite_azimuth")
        }
    assert np.abs(angles.sun_zenith - expected["solar_zenith"]).max() < 0.05
    assert np.abs(angles.sun_azimuth - expected["solar_azimuth"]).max() < 0.07
    # Only the eastern half was seen; beyond it the nearest seen node stands in.
    seen = expected["satellite_view"] < 10.3
    assert 0.4 < seen.mean() < 0.6
    zenith_off = (angles.view_zenith - ground_incidence(expected["satellite_view"]))[seen]
    azimuth_off = (angles.view_azimuth - expected["satellite_azimuth"])[seen]
    assert np.abs(zenith_off).max() < 0.3
    assert np.abs(azimuth_off).max() < 12
    assert np.abs(azimuth_off.mean()) < 4


@pytest.mark.parametrize(
    ("name", "tile"),
    [
        ("S2A_MSIL1C_20200717T221941_R029_T01LAC_20200717T234135.SAFE", "01LAC"),
        ("S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE", "46RER"),
        ("S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE", "07HFE"),
        ("S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE", "33XWJ"),
        ("S2A_OPER_MSI_L2A_TL_VGS1_20220401T110010_A035382_T34LBP", "34LBP"),
    ],
)
def test_granules_of_every_layout_tell_the_tile_s_grid_and_the_angles_that_catalogues_derived(shared_data, name, tile):
    folder = shared_data / "s2-metadata" / name
    path = next(folder.rglob("MTD_TL.xml"), folder / "metadata.xml")
    granule = granule_metadata(path.read_bytes(), str(path))
    stated = json.loads((folder / "expected_output.json").read_text())["properties"]
    assert granule.tile == tile
    for resolution in (10, 60):
        assert granule.geobox(resolution) == tile_geobox(tile, resolution)
    assert granule.assumed == ()
    assert_allclose(granule.angles.sun_zenith.mean(), 90 - stated["view:sun_elevation"], atol=0.2)
    assert_allclose(granule.angles.sun_azimuth.mean(), stated["view:sun_azimuth"], atol=0.3)


def test_offsets_of_l2a_are_those_of_its_baseline(shared_data):
    found = {}
    for path in sorted((shared_data / "s2-metadata").rglob("MTD_MSIL2A.xml")):
        product = product_metadata(path.read_bytes(), str(path))
        found[product.baseline] = (product.level, set(product.offsets_dn.values()), product.datatake)
    assert found == {"02.12": ("L2A", {0}, "20190212T192651"), "04.00": ("L2A", {-1000}, "20220413T150759")}


def test_a_product_of_baseline_5_has_all_its_bands_offset_and_angles(trees):
    product = read_safe(trees / NEW)
    told = (product.level, product.baseline, product.offset_dn, product.quantification, product.datatake, product.tile)
    assert told == ("L1C", "05.10", -1000, 10000, "20240120T105341", "31TCJ")
    assert list(product.bands) == list(SENTINEL2_BANDS)
    with rasterio.open(product.bands["blue"]) as band:
        ground = GeoBox(band.shape, band.transform, band.crs.to_string())
    assert ground.boundingbox.bbox == (350000, 4849720, 350300, 4850020)
    finding = safe_angles(product, ground)
    assert finding.source == f"MTD_TL.xml grids of {NEW}"
    granule = product.granule()
    zenith, azimuth, view_zenith, _ = angles_on(finding, 10).at(-0.5, -0.5)  # the corner is a node of the granule
    assert_allclose(zenith, granule.angles.sun_zenith[10, 10], atol=1e-5)
    assert_allclose(view_zenith, granule.angles.view_zenith[10, 10], atol=1e-5)
    # True north against the grid's, 150 km west of the central meridian at 43.8 degrees north.
    assert_allclose(azimuth - granule.angles.sun_azimuth[10, 10], 1.30, atol=0.03)


def test_the_classification_mask_of_baseline_5_is_decoded(trees):
    product = read_safe(trees / NEW)
    with rasterio.open(product.classification) as raster:
        codes = msk_classi_codes(raster.read())
    assert codes.shape == (1830, 1830)
    assert (codes == MaskCode.CLEAR).all()


def test_a_product_of_baseline_2_has_no_offset_and_its_missing_bands_are_named(trees):
    product = read_safe(trees / OLD)
    assert (product.baseline, product.offset_dn, product.classification) == ("02.06", 0, None)
    finding = safe_angles(product, tile_geobox("31TDH", 60))
    assert_allclose(angles_on(finding, 60).at(915, 915)[0], 67.03, atol=0.02)
    with pytest.raises(DetectorError, match=r"lacks blue \(B02\), green \(B03\), .* swir22 \(B12\); it has B01\."):
        product.band_files(HYBRID_BANDS)
