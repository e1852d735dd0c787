"""Recorded catalogue answers, replayed with rasters behind their hrefs: search, one of each, sign, read, compose."""

from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from geo_assets import build_composite
from geo_assets.domain.errors import ArchiveRefusedError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets_tests.scenery.lines import area_of
from geo_assets_tests.scenery.recorded_answers import ground_counts, replayed
from geo_assets_tests.scenery.remote_catalogues import modis_geobox

PLANETARY_COMPUTER = "planetary-computer_search_sentinel-2-l2a.json"
EARTH_SEARCH_L2A = "earth-search-v1_item_S2A_28QCH.json"
EARTH_SEARCH_L1C = "earth-search_search_sentinel-2-l1c.json"
CDSE = "cdse-stac_search_sentinel-2-l2a.json"
CDSE_BANDS = {"B02_10m": "blue", "B03_10m": "green", "B04_10m": "red", "B11_20m": "swir16", "B12_20m": "swir22"}
HLS = "hls_item_S30_T19LDD.json"
MODIS = "modis-43A4-061_item.json"


@pytest.fixture
def recorded(shared_data) -> Path:
    return shared_data / "stac"


def ground_of(tile: str, row: int, col: int, size: int = 40) -> GeoBox:
    """A square of the tile's 60 m pixels."""
    return tile_geobox(tile, 60)[row : row + size, col : col + size]


def assert_is_ground(result, band: str, margin_px: int = 0, within: float = 1.0) -> None:
    """Every pixel is the plane that `ground_counts` lays through the ground."""
    inner = (slice(margin_px, -margin_px or None),) * 2
    found = result.bands[band][inner]
    assert (found != -32768).all()
    assert np.abs(found - ground_counts(result.grid, band)[inner]).max() <= within


def test_planetary_computers_answer_of_33_items_gives_its_pixels(server, tmp_path, recorded):
    name = "S2A_MSIL2A_20190101T000001_R116_T59VMD_20201007T214704"
    ground = ground_of("59VMD", 900, 1000)
    items = replayed(recorded / PLANETARY_COMPUTER, server.url, tmp_path, {name: ground},
                     bands={"B04": "red", "B11": "swir16"}, classes="SCL", added=0)  # fmt: skip
    server.folder("/sentinel2l2a01", tmp_path / "sentinel2l2a01", gate=server.sas)
    url = server.catalogue(items, largest=10)
    area = area_of(ground, margin_m=300)
    result = build_composite(
        area, "2019-01", 20.0, "planetary-computer", ["red", "swir16"], catalog_url=url, read="exact"
    )
    assert result.source_ids == (name,)
    assert_is_ground(result, "red")
    assert_is_ground(result, "swir16")
    assert server.sas.issued == {"sentinel2l2a01/sentinel2-l2": 1}


def test_two_tiles_of_one_acquisition_in_planetary_computers_answer_are_one_observation(server, tmp_path, recorded):
    names = {
        "S2A_MSIL2A_20190101T000001_R116_T59VMD_20201007T214704": ground_of("59VMD", 20, 900),
        "S2A_MSIL2A_20190101T000001_R116_T59VME_20201007T214706": ground_of("59VME", 1690, 900),
    }
    upper, lower = names.values()
    shared = upper.boundingbox & lower.boundingbox
    assert shared.span_y > 1000, "the tiles overlap here"
    items = replayed(recorded / PLANETARY_COMPUTER, server.url, tmp_path, names,
                     bands={"B04": "red"}, classes="SCL", added=0)  # fmt: skip
    server.folder("/sentinel2l2a01", tmp_path / "sentinel2l2a01", gate=server.sas)
    url = server.catalogue(items)
    both = GeoBox.from_bbox(shared, resolution=60, tight=True)
    area = area_of(both, margin_m=200)
    result = build_composite(area, "2019-01", 20.0, "pc", ["red"], catalog_url=url, read="exact")
    assert_is_ground(result, "red")
    assert (result.observation_count == 1).all()


def test_earth_searchs_recorded_item_gives_its_pixels(server, tmp_path, recorded):
    ground = ground_of("28QCH", 60, 20)
    items = replayed(
        recorded / EARTH_SEARCH_L2A, server.url, tmp_path, {"S2A_28QCH_20200714_0_L2A": ground},
        bands={"red": "red", "nir": "nir"}, classes="scl", added=0,
    )  # fmt: skip
    server.folder("/sentinel-cogs", tmp_path / "sentinel-cogs")
    url = server.catalogue(items, "/v1")
    area = area_of(ground, margin_m=300)
    result = build_composite(area, "2020-07", 10.0, "earth-search", ["red", "nir"], catalog_url=url, read="exact")
    assert_is_ground(result, "red")
    assert_is_ground(result, "nir")


def test_cdses_answer_gives_its_pixels_by_s3_keys(server, tmp_path, recorded, cdse_keys):
    names = ("S2B_MSIL2A_20200705T101559_N0500_R065_T32TNT_20230530T175912",
             "S2A_MSIL2A_20200703T103031_N0500_R108_T32TNT_20230613T212700")  # fmt: skip
    ground = ground_of("32TNT", 400, 250)
    items = replayed(recorded / CDSE, server.url, tmp_path, dict.fromkeys(names, ground),
                     bands=CDSE_BANDS, classes="SCL_20m", added=1000)  # fmt: skip
    server.folder("/eodata", tmp_path / "eodata", gate=server.presigned)
    url = server.catalogue(items, "/v1")
    area = area_of(ground, margin_m=300)
    result = build_composite(area, "2020-07", 20.0, "cdse", ["swir16", "red"], catalog_url=url, read="exact")
    assert set(result.source_ids) <= set(names)
    assert_is_ground(result, "swir16")
    assert_is_ground(result, "red")
    assert (result.observation_count == 2).all(), "two passes, two days"
    assert server.presigned.access_key not in str(list(result.ledger))
    server.deleted_products.append({"Name": f"{names[1]}.SAFE"})
    result = build_composite(area, "2020-07", 20.0, "cdse", ["swir16"], catalog_url=url, read="exact")
    assert result.source_ids == (names[0],), "a withdrawn product is not used"


def test_cdses_answer_gives_its_pixels_by_login(server, tmp_path, recorded, monkeypatch):
    monkeypatch.setenv("CDSE_USERNAME", server.identity.username)
    monkeypatch.setenv("CDSE_PASSWORD", server.identity.password)
    name = "S2B_MSIL2A_20200705T101559_N0500_R065_T32TNT_20230530T175912"
    ground = ground_of("32TNT", 400, 250)
    items = replayed(recorded / CDSE, server.url, tmp_path, {name: ground}, bands=CDSE_BANDS,
                     classes="SCL_20m", added=1000)  # fmt: skip
    for asset in next(item for item in items if item["id"] == name)["assets"].values():
        if "https" in asset.get("alternate", {}):
            asset["alternate"]["https"]["href"] = asset["href"].replace("s3://eodata", f"{server.url}/odata/v1/files")
    server.folder("/odata/v1/files", tmp_path / "eodata", gate=server.identity)
    url = server.catalogue(items, "/v1")
    area = area_of(ground, margin_m=300)
    result = build_composite(area, "2020-07", 20.0, "cdse", ["swir16"], catalog_url=url, read="exact")
    assert_is_ground(result, "swir16")
    assert server.identity.logins == 1
    assert server.identity.open_sessions == 0, "logged out at the end"
    assert server.busiest <= 4, "connections of one account"


def test_earth_searchs_l1c_is_read_by_who_pays(server, tmp_path, recorded, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.presigned.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-hush")
    server.presigned.requester_pays = True
    ground = ground_of("27VWK", 60, 40)
    items = replayed(
        recorded / EARTH_SEARCH_L1C, server.url, tmp_path, {"S2B_27VWK_20240206_0_L1C": ground},
        bands={name: name for name in ("blue", "green", "red", "swir16", "swir22", "cirrus")}, classes=None, added=1000,
    )  # fmt: skip
    server.folder("/sentinel-s2-l1c", tmp_path / "sentinel-s2-l1c", gate=server.presigned)
    url = server.catalogue(items, "/v1")
    area = area_of(ground, margin_m=300)
    bands = ["cirrus", "red"]
    result = build_composite(area, "2024-02", 60.0, "earth-search", bands, catalog_url=url, read="exact", mask="none")
    assert result.level == "L1C"
    assert_is_ground(result, "cirrus")
    assert all("x-amz-request-payer" in request.headers for request in server.requests_for("/sentinel-s2-l1c/*"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ArchiveRefusedError, match="AWS"):
        build_composite(area, "2024-02", 60.0, "earth-search", bands, catalog_url=url, read="exact", mask="none")


def test_the_published_hls_item_is_read_under_either_naming(server, tmp_path, recorded):
    """The example names its assets by colour, Planetary Computer's items by number."""
    ground = tile_geobox("19LDD", 60)[400:440, 400:440]
    northern = GeoBox(ground.shape, ground.affine.translation(0, -10_000_000) * ground.affine, "EPSG:32619")
    items = replayed(recorded / HLS, server.url, tmp_path, {"HLS.S30.T19LDD.2022166T144741.v2.0": northern},
                     bands={"red": "red"}, classes="fmask", added=0, class_value=64)  # fmt: skip
    items[0]["collection"] = "hls2-s30"
    server.folder("/ai4epublictestdata", tmp_path / "ai4epublictestdata", gate=server.sas)
    url = server.catalogue(items)
    result = build_composite(area_of(ground, margin_m=300), "2022-06", 30.0, "hls", ["red"], catalog_url=url)
    assert result.coverage > 0.97


def test_the_published_mcd43a4_item_is_read_on_its_own_grid(server, tmp_path, recorded):
    ground = modis_geobox("h14v10")[1200:1260, 1200:1260]
    item = "MCD43A4.A2022032.h14v10.061"
    items = replayed(
        recorded / MODIS, server.url, tmp_path, {item: ground}, bands={"Nadir_Reflectance_Band1": "red"},
        classes="BRDF_Albedo_Band_Mandatory_Quality_Band1", added=0, class_value=0, fill=(32767, 255),
    )  # fmt: skip
    server.folder("/modiseuwest", tmp_path / "modiseuwest", gate=server.sas)
    url = server.catalogue(items)
    result = build_composite(area_of(ground, margin_m=4000), "2022-02", 463.3127165, "mcd43a4", ["red"],
                             catalog_url=url, output_crs="native")  # fmt: skip
    assert_is_ground(result, "red")
