import numpy as np
import pytest
from numpy.testing import assert_allclose

from geo_assets.domain.errors import ArchiveRefusedError, AssetLostError, GridMismatchError
from geo_assets.io.safe import xml as safe_xml
from geo_assets.io.safe.granule import granule_metadata
from geo_assets_tests.scenery.granules import granule_xml, mean_angles, sun_grid, table, view_grid

NAN = float("nan")
SUN = sun_grid([[30, 31], [32, 33]], [[160, 161], [162, 163]])
BLUE, RED, COASTAL, CIRRUS = 1, 3, 0, 10


def read(*angles, **granule):
    return granule_metadata(granule_xml(*angles, **granule), "MTD_TL.xml")


def test_the_grid_of_a_granule_is_told():
    granule = read(SUN)
    assert (granule.tile, granule.crs, granule.ulx, granule.uly) == ("31TCJ", "EPSG:32631", 300000, 4900020)
    assert granule.geobox(60).shape == (1830, 1830)
    assert granule.geobox(60).transform.f == 4900020
    with pytest.raises(GridMismatchError, match="grids of 60 m, expected 10 m"):
        granule.geobox(10)


def test_nodes_lie_5_km_apart_from_the_tile_s_corner():
    angles = read(SUN).angles
    centre = 2500 - 0.5  # pixels of 1 m, counted by their centres
    assert_allclose(angles.at(-0.5, [-0.5, 4999.5])[0], [30, 31])
    assert_allclose(angles.at(centre, centre)[0], 31.5)


def test_the_view_is_that_of_the_detectors_that_saw_a_node_and_of_the_bands_in_use():
    one = view_grid([[4, NAN], [4, NAN]], [[100, NAN], [100, NAN]], BLUE, detector=1)
    two = view_grid([[NAN, 6], [NAN, 6]], [[NAN, 280], [NAN, 280]], BLUE, detector=2)
    unused = view_grid([[9, 9], [9, 9]], [[9, 9], [9, 9]], COASTAL)
    granule = read(SUN, one, two, unused)
    assert_allclose(granule.angles.view_zenith, [[4, 6], [4, 6]])
    assert_allclose(granule.angles.view_azimuth, [[100, 280], [100, 280]])
    assert not granule.angles.view_assumed
    assert granule.assumed == ()


def test_where_several_look_the_view_is_their_mean_direction():
    grids = [view_grid([[6]], [[azimuth]], band) for band, azimuth in ((BLUE, 350), (RED, 10))]
    granule = read(sun_grid([[30]], [[160]]), *grids)
    # Two vectors that lean 6 degrees, 20 degrees apart: they agree on cos(10) of their lean.
    lean = np.degrees(np.arctan(np.tan(np.radians(6)) * np.cos(np.radians(10))))
    assert_allclose(granule.angles.view_zenith, lean, atol=1e-5)
    assert_allclose(np.cos(np.radians(granule.angles.view_azimuth)), 1, atol=1e-9)


def test_nodes_that_nobody_knows_are_as_the_nearest_that_somebody_does():
    view = view_grid([[NAN, NAN, NAN, 7]], [[NAN, NAN, NAN, 90]])
    granule = read(sun_grid([[30, NAN, NAN, 33]], [[160, 161, NAN, 163]]), view)
    assert_allclose(granule.angles.sun_zenith, [[30, 30, 33, 33]])
    assert_allclose(granule.angles.sun_azimuth, [[160, 160, 163, 163]])
    assert_allclose(granule.angles.view_zenith, 7)
    assert_allclose(granule.angles.view_azimuth, 90)


def test_without_grids_the_means_of_the_tile_hold_and_it_is_told():
    view = view_grid([[NAN, NAN], [NAN, NAN]], [[NAN, NAN], [NAN, NAN]])
    granule = read(mean_angles(30, 160), view, mean_angles(5, 100, BLUE), mean_angles(9, 9, COASTAL))
    assert [angle.item() for angle in granule.angles.at(7, 7)] == pytest.approx([30, 160, 5, 100], abs=1e-5)
    assert granule.assumed == (
        "sun: the tile's mean angles, for there is no grid",
        "view: the tile's mean angles, for there is no grid",
    )


def test_a_mean_sun_holds_at_every_node_of_the_view():
    view = view_grid([[4, 5], [6, 7]], [[90, 90], [90, 90]])
    granule = read(mean_angles(30, 160), view)
    assert_allclose(granule.angles.sun_zenith, np.full((2, 2), 30))
    assert granule.angles.row_step == 5000


def test_bands_without_a_grid_borrow_that_of_others_and_it_is_told():
    granule = read(SUN, view_grid([[4, 4], [4, 4]], [[9, 9], [9, 9]], COASTAL))
    assert_allclose(granule.angles.view_zenith, 4)
    assert granule.assumed == ("view: of all bands, for those in use have none",)


def test_a_view_that_nobody_states_is_nadir_and_it_is_told():
    granule = read(SUN)
    assert granule.angles.view_assumed
    assert not granule.angles.view_zenith.any()
    assert granule.assumed == ("view not stated: nadir assumed",)


@pytest.mark.parametrize(
    ("angles", "message"),
    [
        ([], "neither Sun_Angles_Grid nor Mean_Sun_Angle"),
        ([sun_grid([[NAN]], [[NAN]])], "neither"),
        ([sun_grid([[91]], [[9]])], "Zenith: found 91, expected degrees from 0 to 90"),
        ([sun_grid([[90]], [[9]])], "found 90, expected degrees from the zenith"),
        ([sun_grid([[30]], [["inf"]])], "Azimuth: found inf"),
        ([sun_grid([[30]], [["east"]])], "could not convert"),
        ([sun_grid([[30, 31], [32]], [[1, 2], [3]])], "rows of one length"),
        ([sun_grid([[30, 31]], [[1], [2]])], "expected the same nodes"),
        ([sun_grid([[30]], [[1]]).replace("5000", "-5000")], "positive steps"),
        ([sun_grid([[30]], [[1]]).replace("5000", "NaN")], "STEP: found 'NaN', expected a finite number"),
        ([sun_grid([], [])], "no table of VALUES"),
        ([mean_angles("", 5)], "ZENITH_ANGLE: found '', expected a finite number"),
        ([mean_angles("nan", 5)], "ZENITH_ANGLE: found 'nan'"),
        ([SUN, view_grid([[1, 2]], [[1, 2]])], "nodes of the sun"),
        ([SUN, view_grid([[1]], [[1]]), view_grid([[1, 2]], [[1, 2]])], "several shapes"),
        ([f"<Sun_Angles_Grid><Zenith>{table([[3]])}</Zenith></Sun_Angles_Grid>"], "no Azimuth"),
    ],
)
def test_angles_that_cannot_be_are_refused(angles, message):
    with pytest.raises(AssetLostError, match=message):
        read(*angles)


@pytest.mark.parametrize(
    ("granule", "message"),
    [
        ({"crs": "EPSG:4326"}, "expected a UTM zone"),
        ({"ulx": "1e999"}, "ULX: found '1e999', expected a finite number"),
        ({"ulx": ""}, "ULX: found nothing"),
        ({"tile_id": "S2A"}, "expected an MGRS tile"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(granule, message):
    with pytest.raises(AssetLostError, match=message):
        read(SUN, **granule)


def test_xml_that_expands_or_reads_other_files_is_refused():
    laughs = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>"""
    reads = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>"""
    for hostile in (laughs, reads):
        with pytest.raises(ArchiveRefusedError, match=r"MTD_TL\.xml: declares a document type or entities"):
            granule_metadata(hostile, "MTD_TL.xml")


def test_xml_that_ends_early_or_is_none_is_refused():
    whole = granule_xml(SUN)
    for broken in (whole[: len(whole) // 2], b"", b"\x89PNG", whole.replace(b"UTF-8", b"nonsense")):
        with pytest.raises(AssetLostError, match="no well-formed XML"):
            granule_metadata(broken, "MTD_TL.xml")


def test_xml_of_something_else_is_refused():
    with pytest.raises(AssetLostError, match="found no Tile_Geocoding"):
        granule_metadata(b"<html/>", "MTD_TL.xml")


def test_xml_that_would_fill_the_memory_is_not_parsed(monkeypatch, tmp_path):
    with pytest.raises(ArchiveRefusedError, match="larger than metadata can be"):
        granule_metadata(b"<a>" + b"<b/>" * 1_000_001 + b"</a>", "MTD_TL.xml")
    monkeypatch.setattr(safe_xml, "LARGEST_METADATA_BYTES", 100)
    (tmp_path / "MTD_TL.xml").write_bytes(granule_xml(SUN))
    with pytest.raises(ArchiveRefusedError, match="larger than metadata can be"):
        safe_xml.read_metadata(tmp_path / "MTD_TL.xml")
