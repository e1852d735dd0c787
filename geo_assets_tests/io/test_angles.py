from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal
from odc.geo.geobox import GeoBox

from geo_assets.domain.errors import ArchiveTransientError, AssetLostError, CorruptProductError
from geo_assets.domain.scene import SceneAsset, SceneItem
from geo_assets.io.angles import AngleFinding, angles_bytes, angles_from_bytes, angles_on, scene_angles
from geo_assets.kernels.angles import Angles
from geo_assets_tests.scenery.granules import granule_xml, mean_angles, sun_grid, view_grid

GROUND = GeoBox((500, 1000), Affine(20, 0, 450_000, 0, -20, 4_900_020), "EPSG:32631")
"""20 km by 10 km, 50 km west of the zone's central meridian."""


def item(name, level="L1C", assets=(), **angles):
    return SceneItem(
        id=name,
        level=level,
        acquired=datetime(2024, 1, 20, tzinfo=UTC),
        datatake="20240120T105341",
        platform="sentinel-2a",
        relative_orbit=51,
        tile="31TCJ",
        datastrip="",
        baseline="05.10",
        generated="",
        offset_dn=-1000,
        footprint=shapely.box(0, 43, 1, 44),
        cloud_cover=None,
        digest="",
        assets={asset: SceneAsset(f"{name}/{asset}") for asset in assets},
        collection="",
        quality="none",
        **angles,
    )


def unread(item, *asked):
    raise AssertionError(f"{item.id}: nobody should read {asked}")


def of(*items, read_bytes=unread, read_layer=unread, ground=GROUND):
    return scene_angles(items, read_bytes, read_layer, ground)


def xml_at(nodes, ulx="300000"):
    """Metadata of a granule whose sun zenith grows by a degree a node to the east, its azimuth always 160."""
    row = [20 + node for node in range(nodes)]
    grid = view_grid([[5] * nodes] * nodes, [[100] * nodes] * nodes)
    return granule_xml(sun_grid([row] * nodes, [[160] * nodes] * nodes), grid, ulx=ulx)


L1C = item("L1C_ITEM", assets=["granule_metadata", "blue"])
L2A = item("L2A_ITEM", "L2A", ["granule_metadata", "blue"])
HLS = item("HLS_ITEM", "HLS", ["sza", "saa", "vza", "vaa"])
STATED = item("STATED", sun_zenith=30.0, sun_azimuth=160.0, view_zenith=5.0, view_azimuth=100.0)


def test_the_l1c_item_s_granule_metadata_come_first():
    read = []

    def read_bytes(item, asset):
        read.append((item.id, asset))
        return xml_at(23)

    finding = of(STATED, HLS, L2A, L1C, read_bytes=read_bytes)
    assert finding.source == "MTD_TL.xml grids of L1C_ITEM"
    assert read == [("L1C_ITEM", "granule_metadata")]


def test_a_granule_s_angles_are_found_wherever_the_ground_lies_in_it():
    zenith, *_ = angles_on(of(L1C, read_bytes=lambda *_: xml_at(23)), 20).at(0, [0, 124.5, 249.5])
    # 150 km east of the tile's corner is beyond its last node, 110 km: the granule ends there.
    assert_allclose(zenith, 42)
    ground = GROUND.translate_pix(-6250, 0)  # 325 km east: 25 km into the tile
    zenith, *_ = angles_on(of(L1C, read_bytes=lambda *_: xml_at(23), ground=ground), 20).at(0, [-0.5, 124.5, 249.5])
    assert_allclose(zenith, [25, 25.5, 26], atol=1e-5)


def test_ground_of_another_utm_zone_has_the_angles_of_the_same_place():
    ground = GeoBox((500, 500), Affine(20, 0, 340_000, 0, -20, 4_880_000), "EPSG:32631")
    other = ground.to_crs("EPSG:32630", resolution=20)
    here, there = (of(L1C, read_bytes=lambda *_: xml_at(23), ground=crossed) for crossed in (ground, other))
    x, y = (ground.transform.c + 5_010, ground.transform.f - 5_010)
    x_there, y_there = ground.crs.transformer_to_crs(other.crs)(x, y)
    row, col = (other.transform.f - y_there) / 20 - 0.5, (x_there - other.transform.c) / 20 - 0.5
    zenith, azimuth, *_ = angles_on(here, 20).at(250, 250)
    zenith_there, azimuth_there, *_ = angles_on(there, 20).at(row, col)
    assert_allclose(zenith_there, zenith, atol=1e-3)
    assert 4 < azimuth - azimuth_there < 4.5  # what the norths of the two zones differ by: 6 degrees * sin(44)


def test_azimuths_count_from_the_grid_s_north():
    ground = GeoBox((10, 10), Affine(20, 0, 300_000, 0, -20, 4_900_020), "EPSG:32631")
    found = angles_on(of(STATED, ground=ground), 20)
    x, y = 300_100.0, 4_899_920.0
    to_degrees = ground.crs.transformer_to_crs("EPSG:4326")
    (lon, lat), (lon_up, lat_up) = to_degrees(x, y), to_degrees(x, y + 1000)
    up = np.degrees(np.arctan2((lon_up - lon) * np.cos(np.radians(lat)), lat_up - lat))
    assert up < -1.5
    assert_allclose(found.sun_azimuth, 160 - up, atol=0.05)
    assert_allclose(found.view_azimuth, 100 - up, atol=0.05)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_hls_layers_are_hundredths_of_a_degree_and_their_gaps_are_filled(dtype):
    counts = {"sza": 3000, "saa": 35_900, "vza": 500, "vaa": 10_000}

    def read_layer(item, name, geobox):
        layer = np.full(geobox.shape, counts[name], np.uint16)
        layer[0, 0] = 40_000
        return layer.astype(dtype)

    ground = GROUND.translate_pix(2500, 0)  # round the central meridian, where grid and true north are one
    finding = of(STATED, HLS, read_layer=read_layer, ground=ground)
    assert finding.source == "HLS layers of HLS_ITEM"
    assert finding.angles.sun_zenith.shape == (2, 4)
    for angle, expected in zip(angles_on(finding, 20).at([[0], [499]], [0, 999]), (30, 359, 5, 100), strict=True):
        assert_allclose(angle, expected, atol=0.2)


def test_negative_azimuths_in_signed_hls_layers_are_meant():
    def read_layer(item, name, geobox):
        return np.full(geobox.shape, -2000 if name == "saa" else 3000, np.int16)

    finding = of(item("HLS_ITEM", "HLS", ["sza", "saa"]), read_layer=read_layer)
    assert_allclose(finding.angles.sun_azimuth, 340, atol=1)
    assert finding.source == "HLS layers of HLS_ITEM (view not stated: nadir assumed)"
    assert finding.angles.view_assumed


def test_what_the_catalogue_states_comes_last_and_tells_what_was_assumed():
    assert of(STATED).source == "view:* of STATED"
    assert not of(STATED).angles.view_assumed
    unseen = of(replace(STATED, view_zenith=None))
    assert unseen.source == "view:* of STATED (view not stated: nadir assumed)"
    slanting = of(replace(STATED, view_azimuth=None))
    assert slanting.source == "view:* of STATED (view without azimuth: nadir assumed)"
    for assumed in (unseen, slanting):
        assert assumed.angles.view_assumed
        assert assumed.angles.view_zenith.item() == 0


def test_nothing_known_is_none_with_the_reason():
    finding = of(item("BARE"))
    assert finding.angles is None
    assert finding.source == (
        "none: no granule metadata, no HLS angle layers and no view:sun_elevation with view:sun_azimuth"
    )
    assert angles_on(finding, 20) is None
    half = of(replace(STATED, sun_azimuth=None))
    assert half.source == "none: left aside: view:* of STATED: found no sun azimuth, expected view:sun_azimuth"


def test_ground_in_degrees_has_no_angles_and_it_is_told():
    ground = GeoBox((10, 10), Affine(0.01, 0, 1, 0, -0.01, 44), "EPSG:4326")
    finding = of(STATED, L1C, ground=ground)
    assert finding.angles is None
    assert finding.source == "none: the ground lies in EPSG:4326, and angles need a projected CRS in metres"


def test_a_source_that_is_lost_or_nonsense_is_left_aside_and_told():
    def read_bytes(item, asset):
        if item.level == "L1C":
            raise AssetLostError(f"Asset {asset} of {item.id}: gone (404). Run search again.")
        return b"<html>"

    def read_layer(item, name, geobox):
        return np.full(geobox.shape, 40_000, np.uint16)

    finding = of(L1C, L2A, HLS, STATED, read_bytes=read_bytes, read_layer=read_layer)
    source, *aside = finding.source.split("; ")
    assert source == "view:* of STATED"
    assert [text.split(":")[1] for text in aside] == [
        " Asset granule_metadata of L1C_ITEM",
        " MTD_TL.xml of L2A_ITEM",
        " HLS layer sza of HLS_ITEM",
    ]


def test_a_source_that_may_be_back_later_is_waited_for():
    def read_bytes(item, asset):
        raise ArchiveTransientError("503")

    with pytest.raises(ArchiveTransientError):
        of(L1C, STATED, read_bytes=read_bytes)


def test_means_instead_of_grids_are_told():
    finding = of(L1C, read_bytes=lambda *_: granule_xml(mean_angles(30, 160)))
    assert finding.source == (
        "MTD_TL.xml angles of L1C_ITEM "
        "(sun: the tile's mean angles, for there is no grid; view not stated: nadir assumed)"
    )


def test_a_finding_comes_back_from_its_bytes_as_it_was():
    finding = of(L1C, read_bytes=lambda *_: xml_at(23))
    data = angles_bytes(finding)
    again = angles_from_bytes(data)
    assert angles_bytes(again) == data
    assert again.source == finding.source
    for name in Angles.__slots__:
        assert_array_equal(getattr(again.angles, name), getattr(finding.angles, name))
    nothing = AngleFinding(None, "none: at all")
    assert angles_from_bytes(angles_bytes(nothing)).source == "none: at all"
    assert angles_from_bytes(angles_bytes(nothing)).angles is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version":2,"source":"","angles":null}',
        b'{"version":1,"source":"","angles":{"sun_zenith":[[1]]}}',
        angles_bytes(AngleFinding(Angles.constant(30, 160), "x")).replace(b"30.0", b"99.0"),
        angles_bytes(AngleFinding(Angles.constant(30, 160), "x")).replace(b"[[30.0]]", b"[]"),
    ],
)
def test_bytes_of_something_else_are_refused(data):
    with pytest.raises(CorruptProductError, match=r"scene\.angles\.json: found no angles"):
        angles_from_bytes(data, "scene.angles.json")
