from pathlib import Path

import pytest

from geo_assets.domain.bands import HYBRID_BANDS, SENTINEL2_BANDS
from geo_assets.domain.errors import ArchiveError, AssetLostError, DetectorError
from geo_assets.io.safe.folder import read_safe
from geo_assets.io.safe.product import product_metadata
from geo_assets_tests.scenery.granules import granule_xml, mean_angles, product_xml

NUMBERS = [band.number for band in SENTINEL2_BANDS.values()]


def write(path: Path, content: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def safe(tmp_path) -> Path:
    """A SAFE folder of L1C; its pixels are empty files."""
    folder = tmp_path / "S2A_MSIL1C_20240120T105341_N0510_R051_T31TCJ_20240120T125244.SAFE"
    granule = folder / "GRANULE" / "L1C_T31TCJ_A044807_20240120T105433"
    write(folder / "MTD_MSIL1C.xml", product_xml())
    write(folder / "GRANULE" / "L1C_T31TCJ_A044807_20240120T105433.md5")
    write(granule / "MTD_TL.xml", granule_xml(mean_angles(30, 160)))
    for number in (*NUMBERS, "TCI"):
        write(granule / "IMG_DATA" / f"T31TCJ_20240120T105341_{number}.jp2")
    write(granule / "QI_DATA" / "MSK_CLASSI_B00.jp2")
    return folder


def test_a_safe_folder_tells_its_product_and_its_files(safe):
    product = read_safe(safe)
    told = (product.level, product.baseline, product.offset_dn, product.quantification, product.datatake, product.tile)
    assert told == ("L1C", "05.10", -1000, 10000, "20240120T105341", "31TCJ")
    assert list(product.bands) == list(SENTINEL2_BANDS)
    assert product.bands["nir08"].name == "T31TCJ_20240120T105341_B8A.jp2"
    assert product.classification.name == "MSK_CLASSI_B00.jp2"
    assert product.granule().tile == "31TCJ"


def test_bands_that_are_missing_are_named(safe):
    for number in ("B03", "B10"):
        next(safe.rglob(f"*_{number}.jp2")).unlink()
    product = read_safe(safe)
    assert list(product.band_files(["red", "blue"])) == ["red", "blue"]
    with pytest.raises(DetectorError, match=r"lacks green \(B03\), cirrus \(B10\); it has B01, B02, B04"):
        product.band_files(HYBRID_BANDS)


def test_of_l2a_the_file_with_the_smallest_pixels_counts(tmp_path):
    granule = tmp_path / "GRANULE" / "L2A_T31TCJ_A044807_20240120T105433"
    write(tmp_path / "MTD_MSIL2A.xml", product_xml(level="Level-2A"))
    write(granule / "MTD_TL.xml")
    for name in ("B02_60m", "B02_10m", "B02_20m", "B11_20m", "B11_60m", "AOT_10m", "SCL_20m", "SCL_60m"):
        write(granule / "IMG_DATA" / f"R{name[-3:]}" / f"T31TCJ_20240120T105341_{name}.jp2")
    product = read_safe(tmp_path)
    assert {name: path.name[-11:] for name, path in product.bands.items()} == {
        "blue": "B02_10m.jp2",
        "swir16": "B11_20m.jp2",
    }
    assert product.classification.name.endswith("SCL_20m.jp2")
    with pytest.raises(DetectorError, match="L2A never has cirrus"):
        product.band_files(["blue", "cirrus"])


@pytest.fixture
def old_safe(tmp_path) -> Path:
    """A SAFE folder of before December 2016, with two granules."""
    write(
        tmp_path / "S2A_OPER_MTD_SAFL1C_PDMC_20160605T164852_R122_V20160605.xml",
        product_xml(offset=None, baseline="02.02"),
    )
    for tile in ("33TVL", "33TVM"):
        name = f"S2A_OPER_MSI_L1C_TL_EPA__20160605T113933_A004975_T{tile}"
        granule = tmp_path / "GRANULE" / f"{name}_N02.02"
        write(granule / f"{name.replace('MSI', 'MTD')}.xml")
        write(granule / "IMG_DATA" / f"{name}_B04.jp2")
    return tmp_path


def test_of_several_granules_the_tile_s_is_taken(old_safe):
    product = read_safe(old_safe, tile="33TVM")
    assert (product.tile, product.offset_dn) == ("33TVM", 0)
    assert "T33TVM" in product.bands["red"].name
    assert product.granule_metadata.name.endswith("T33TVM.xml")


def test_several_granules_without_a_tile_are_refused(old_safe):
    with pytest.raises(ArchiveError, match=r"found 2 granules \(33TVL, 33TVM\), expected one. Name the tile"):
        read_safe(old_safe)
    with pytest.raises(ArchiveError, match="expected one of tile 33TVN"):
        read_safe(old_safe, tile="33TVN")


def test_a_folder_that_is_no_safe_is_refused(tmp_path, safe):
    with pytest.raises(AssetLostError, match=r"found none, expected one MTD_MSIL1C\.xml or MTD_MSIL2A\.xml"):
        read_safe(tmp_path)
    with pytest.raises(AssetLostError, match="cannot be read"):
        read_safe(tmp_path / "absent")
    next(safe.rglob("MTD_TL.xml")).unlink()
    with pytest.raises(AssetLostError, match=r"found none, expected one MTD_TL\.xml"):
        read_safe(safe)


def test_a_safe_without_granule_is_refused(tmp_path):
    write(tmp_path / "MTD_MSIL1C.xml", product_xml())
    (tmp_path / "GRANULE").mkdir()
    with pytest.raises(ArchiveError, match="found no granule"):
        read_safe(tmp_path)


def test_two_files_of_one_band_are_refused(safe):
    images = next(safe.rglob("IMG_DATA"))
    write(images / "T31TCJ_20240120T999999_B04.jp2")
    with pytest.raises(AssetLostError, match="expected one file a band"):
        read_safe(safe)


def test_bands_with_different_offsets_are_refused(safe):
    odd = product_xml().replace(b'band_id="3">-1000', b'band_id="3">0')
    (safe / "MTD_MSIL1C.xml").write_bytes(odd)
    with pytest.raises(ArchiveError, match=r"red 0, .*expected one for all bands"):
        read_safe(safe)


@pytest.mark.parametrize(
    ("product", "message"),
    [
        ({"offset": None}, "no RADIO_ADD_OFFSET of coastal, blue, .* in baseline 05.10"),
        ({"bands": 12}, "no RADIO_ADD_OFFSET of swir22, "),
        ({"bands": 14}, "found band_id '13'"),
        ({"offset": "-0.1"}, "expected a whole number"),
        ({"offset": "nan"}, "expected a finite number"),
        ({"offset": "-100000"}, "found -100000 for coastal"),
        ({"quantification": "0"}, "found 0, expected 1 to 65535"),
        ({"quantification": "10000.5"}, "expected a whole number"),
        ({"level": "Level-0"}, "expected Level-1C or Level-2A"),
        ({"baseline": "5.1"}, "PROCESSING_BASELINE: found '5.1'"),
        ({"start": "20th of January"}, "expected a UTC time"),
    ],
)
def test_a_product_s_numbers_that_cannot_be_are_refused(product, message):
    with pytest.raises(AssetLostError, match=message):
        product_metadata(product_xml(**product), "MTD_MSIL1C.xml")


def test_products_of_before_baseline_4_and_of_one_s_own_processing_need_no_offset():
    for baseline in ("02.06", "03.01", "99.99"):
        offsets = product_metadata(product_xml(baseline=baseline, offset=None), "MTD_MSIL1C.xml").offsets_dn
        assert set(offsets.values()) == {0}
    assert set(product_metadata(product_xml(baseline="99.99"), "MTD_MSIL1C.xml").offsets_dn.values()) == {-1000}
