"""Bad input: a clear error or a correct result, never an abort, a hang, or nodata called success."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.testing import assert_array_equal

from geo_assets import build_composite
from geo_assets.domain.errors import ArchiveError, ArchiveRefusedError, GeoAssetsError
from geo_assets_tests.scenery.faults import Claim, Redirect, Status
from geo_assets_tests.scenery.remote_catalogues import (
    Acquisition,
    counts_at,
    earth_search_item,
    sentinel2_acquisition,
    serve_cdse,
    serve_earth_search,
    serve_planetary_computer,
)

Item = dict[str, Any]


@pytest.fixture(scope="module")
def seen() -> Acquisition:
    return sentinel2_acquisition("33TVL", "2024-06-10", bands=("red", "green"))


@pytest.fixture(scope="module")
def later() -> Acquisition:
    return sentinel2_acquisition("33TVL", "2024-06-20", bands=("red", "green"))


@pytest.fixture
def url(server, tmp_path, seen) -> str:
    return serve_earth_search(server, tmp_path, [seen])


def compose(seen: Acquisition, url: str | None, archive: str = "earth-search", **settings: Any):
    asked = {"resolution": 10.0, "bands": ["red"], "read": "exact", "bbox": seen.area(margin_m=100)} | settings
    return build_composite(asked.pop("bbox"), "2024-06", archive=archive, catalog_url=url, **asked)


def with_file(server, folder: Path, seen: Acquisition, make) -> str:
    """A catalogue of the acquisition whose red file is made by the test."""
    item = earth_search_item(server.url, folder, seen)
    path = folder / item["assets"]["red"]["href"].removeprefix(f"{server.url}/")
    make(path)
    server.folder("/sentinel-cogs", folder / "sentinel-cogs")
    return server.catalogue([item], "/v1")


def refused_or_recorded(seen: Acquisition, url: str, **settings: Any) -> str:
    """What the composite of an archive that holds nothing usable says: an error, or an empty result with its reason."""
    try:
        result = compose(seen, url, **settings)
    except GeoAssetsError as error:
        return str(error)
    assert result.coverage == 0
    assert result.reason
    assert (result.quality == 255).all()
    return f"{result.reason} {list(result.ledger)}"


# What is asked for


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"resolution": -10.0}, "resolution"),
        ({"resolution": 0.0}, "resolution"),
        ({"resolution": math.nan}, "resolution"),
        ({"resolution": math.inf}, "resolution"),
        ({"resolution": "10"}, "resolution"),
        ({"resolution": 1e-9}, "resolution|pixels|larger"),
        ({"bbox": (14.0, 46.2, 14.1, 46.1)}, "south"),
        ({"bbox": (200.0, 46.0, 200.1, 46.1)}, "180"),
        ({"bbox": (14.1, 46.0, 14.0, 46.1)}, "antimeridian|west"),
        ({"bbox": (14.0, 46.0, math.nan, 46.1)}, "bbox|box"),
        ({"bbox": (14.0, 46.0, 14.1)}, "four"),
        ({"bbox": (14.0, 46.0, 14.0, 46.0)}, "south|west"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 2.5}, "top_k"),
        ({"coverage_target": 1.5}, "coverage_target"),
        ({"coverage_target": 0.9, "min_k": 5, "max_k": 2}, "min_k|max_k"),
        ({"scout_factor": 0}, "scout_factor"),
        ({"max_cloud_cover": 200}, "max_cloud_cover"),
        ({"bands": ["ultraviolet"]}, "ultraviolet"),
        ({"bands": []}, "band"),
        ({"bands": "red"}, "band|red"),
        ({"bands": ["red", "red"]}, "red"),
        ({"output_crs": "EPSG:9999999"}, "output_crs"),
        ({"output_crs": "moon"}, "output_crs"),
        ({"read": "guess"}, "read"),
        ({"rank": "luck"}, "rank"),
        ({"mask": "none of it"}, "mask"),
        ({"archive": "atlantis"}, "atlantis"),
        ({"archive": ""}, "archive"),
        ({"archive": "local:/no/such/folder"}, "no/such/folder"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy_before_anything_is_asked(server, url, seen, settings, said):
    with pytest.raises(GeoAssetsError, match=f"(?i){said}"):
        compose(seen, url if "archive" not in settings else None, **settings)
    assert server.requests_for("*.tif") == []


@pytest.mark.parametrize(
    "period", ["2024-13", "2024-06-31", "yesterday", "", "2024-07-01/2024-06-01", "2024-06/", None]
)
def test_a_period_that_is_none_is_refused(server, url, seen, period):
    with pytest.raises(GeoAssetsError, match=r"(?i)datetime|period|month"):
        build_composite(seen.area(), period, 10.0, "earth-search", ["red"], catalog_url=url)
    assert server.requests == []


@pytest.mark.parametrize(
    "address",
    ["ftp://127.0.0.1/v1", "file:///etc", "/etc", "http://user:hush@127.0.0.1/v1", "http://", "", "http://a b/"],
)
def test_a_catalogue_address_that_is_none_is_refused(seen, address):
    with pytest.raises(GeoAssetsError) as refusal:
        compose(seen, address)
    assert "hush" not in str(refusal.value)


def test_credentials_that_are_missing_are_named(server, tmp_path, seen):
    with pytest.raises(GeoAssetsError, match=r"CDSE_S3_ACCESS_KEY|CDSE_USERNAME"):
        compose(seen, serve_cdse(server, tmp_path, [seen]), "cdse")


def test_credentials_that_expired_are_refused_with_the_remedy_and_not_shown(server, tmp_path, seen, cdse_keys):
    server.presigned.expired = True
    with pytest.raises(ArchiveRefusedError) as refusal:
        compose(seen, serve_cdse(server, tmp_path, [seen]), "cdse")
    assert "CDSE_S3" in str(refusal.value) or "key" in str(refusal.value).lower()
    for secret in ("hush", "TESTKEY", "Signature"):
        assert secret not in str(refusal.value)


def test_signatures_that_are_never_accepted_are_renewed_once_and_then_refused(server, tmp_path, seen):
    server.sas.revoked = True
    url = serve_planetary_computer(server, tmp_path, [seen])
    with pytest.raises(ArchiveRefusedError) as refusal:
        compose(seen, url, "planetary-computer")
    assert "sig=" not in str(refusal.value)
    assert server.sas.issued["sentinel2l2a01/sentinel2-l2"] <= 2


# What a catalogue answers


HOSTILE_HREFS = (
    "/vsicurl/http://127.0.0.1:1/red.tif",
    "/vsizip//etc/passwd",
    "/vsimem/red.tif",
    "file:///etc/passwd",
    "/etc/passwd",
    "../../../../etc/passwd",
    "http://127.0.0.1:{port}/sentinel-cogs/../../etc/passwd",
    "http://127.0.0.1:{port}/sentinel-cogs/%2e%2e/%2e%2e/etc/passwd",
    "http://localhost:{port}/sentinel-cogs/red.tif",
    "http://169.254.169.254/latest/meta-data/red.tif",
    "https://evil.example.org/red.tif",
    "http://127.0.0.1:{port}@evil.example.org/red.tif",
    "http://user:secret@127.0.0.1:{port}/red.tif",
    "s3://somebodys-bucket/red.tif",
    "gopher://127.0.0.1/red.tif",
    "javascript:alert(1)",
    "http://127.0.0.1:{port}/red.tif\r\nX-Evil: 1",
    "GTI:/etc/passwd",
    "<VRTDataset></VRTDataset>",
    "",
    7,
    None,
)


@pytest.mark.parametrize("href", HOSTILE_HREFS)
def test_an_href_that_leads_elsewhere_is_not_opened_and_the_other_scene_serves(server, tmp_path, seen, later, href):
    items = [earth_search_item(server.url, tmp_path, one) for one in (seen, later)]
    items[0]["assets"]["red"]["href"] = href.format(port=server.port) if isinstance(href, str) else href
    server.folder("/sentinel-cogs", tmp_path / "sentinel-cogs")
    url = server.catalogue(items, "/v1")
    try:
        result = compose(seen, url, top_k=2)
    except ArchiveError as error:
        said = str(error)
    else:
        assert_array_equal(result.bands["red"], counts_at(later, "red", result.grid))
        said = str(list(result.ledger))
    assert items[0]["id"] in said
    hosts = {request.headers["host"] for request in server.requests}
    assert hosts == {f"127.0.0.1:{server.port}"}
    assert not any("passwd" in request.path for request in server.requests)


@pytest.mark.parametrize(
    "name",
    [
        "../../escape",
        "a/b",
        "/etc/passwd",
        "..",
        "a\\b",
        "C:\\a",
        "a\0b",
        "x" * 5000,
        "",
        "a b",
        "näme",
        7,
        None,
        "-rf",
    ],
)
def test_an_id_that_could_leave_its_folder_is_no_name_of_a_scene(server, tmp_path, seen, name):
    item = earth_search_item(server.url, tmp_path, seen)
    item["id"] = name
    server.folder("/sentinel-cogs", tmp_path / "sentinel-cogs")
    said = refused_or_recorded(seen, server.catalogue([item], "/v1"))
    assert len(said) < 5000


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>busy</html>", b"[]", b"null", b'{"type": "FeatureCollection"}', b'{"features": 7}', b"{" * 100_000,
     b'{"type": "FeatureCollection", "features": [null, 7, {}, {"type": "Feature"}], "links": []}',
     b'{"type": "FeatureCollection", "features": [], "links": [{"rel": "next", "href": "file:///etc/passwd"}]}'],
)  # fmt: skip
def test_an_answer_that_is_no_catalogue_is_said_to_be_none(server, seen, url, answer):
    server.fail("*/search*", Status(200, body=answer))
    said = refused_or_recorded(seen, url)
    assert "Traceback" not in said


def test_a_search_answer_without_end_is_cut_off(server, seen, url):
    server.fail("*/search*", Status(200, body=b'{"type": "FeatureCollection", "features": [' + b" " * (65 << 20)))
    with pytest.raises(GeoAssetsError):
        compose(seen, url)


def test_a_redirect_to_another_host_is_not_followed(server, tmp_path, seen):
    url = serve_earth_search(server, tmp_path, [seen])
    server.fail("*/B04.tif", Redirect(server.other_host + "/stolen{path}"))
    said = refused_or_recorded(seen, url)
    assert "localhost" in said or "redirect" in said
    assert server.requests_for("/stolen*") == []


def test_a_redirect_on_the_host_is_followed_and_one_in_a_circle_is_not(server, tmp_path, seen):
    url = serve_earth_search(server, tmp_path, [seen])
    server.folder("/moved/sentinel-cogs", tmp_path / "sentinel-cogs")
    server.fail("/sentinel-cogs/*/B04.tif", Redirect("/moved{path}"))
    result = compose(seen, url)
    assert_array_equal(result.bands["red"], counts_at(seen, "red", result.grid))
    server.heal()
    server.fail("*/SCL.tif", Redirect("{path}"))
    assert refused_or_recorded(seen, url)


# What files are


def rewritten(path: Path, **profile: Any) -> None:
    """The same pixels in another kind of TIFF."""
    with rasterio.open(path) as raster:
        pixels, usual = raster.read(), raster.profile
    for key in ("blockxsize", "blockysize", "tiled", "compress", "interleave", "predictor"):
        usual.pop(key, None)
    usual |= {"driver": "GTiff"} | profile
    with rasterio.open(path, "w", **usual) as raster:
        raster.write(pixels.astype(usual["dtype"]))


READABLE: dict[str, dict[str, Any]] = {
    "striped": {"tiled": False, "blockysize": 7},
    "one strip": {"tiled": False, "blockysize": 240},
    "uncompressed": {"tiled": True, "blockxsize": 128, "blockysize": 64},
    "LZW, horizontal differences": {
        "compress": "LZW",
        "predictor": 2,
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
    },
    "ZSTD": {"compress": "ZSTD", "predictor": 2, "tiled": True, "blockxsize": 256, "blockysize": 256},
    "LERC": {"compress": "LERC", "MAX_Z_ERROR": 0, "tiled": True, "blockxsize": 256, "blockysize": 256},
    "PackBits": {"compress": "PACKBITS", "tiled": False},
    "LZMA": {"compress": "LZMA", "tiled": True, "blockxsize": 64, "blockysize": 64},
    "big endian": {"ENDIANNESS": "BIG", "compress": "DEFLATE", "predictor": 2},
    "BigTIFF": {"BIGTIFF": "YES", "compress": "DEFLATE", "tiled": True, "blockxsize": 64, "blockysize": 64},
    "signed counts": {"dtype": "int16", "compress": "DEFLATE"},
}


@pytest.mark.parametrize("kind", READABLE)
def test_every_sane_tiff_gives_its_pixels(server, tmp_path, seen, kind):
    url = with_file(server, tmp_path, seen, lambda path: rewritten(path, **READABLE[kind]))
    result = compose(seen, url)
    assert_array_equal(result.bands["red"], counts_at(seen, "red", result.grid))


def _floats(path: Path) -> None:
    with rasterio.open(path) as raster:
        pixels, profile = raster.read().astype("float64"), raster.profile
    pixels[0, :40] = np.nan
    with rasterio.open(path, "w", **(profile | {"driver": "GTiff", "dtype": "float64", "predictor": 3})) as raster:
        raster.write(pixels)


def _complex(path: Path) -> None:
    with rasterio.open(path) as raster:
        pixels, crs, transform = raster.read().astype("complex64"), raster.crs, raster.transform
    with rasterio.open(path, "w", driver="GTiff", count=1, height=240, width=240, dtype="complex64", crs=crs,
                       transform=transform) as raster:  # fmt: skip
        raster.write(pixels)


def _nowhere(path: Path) -> None:
    tifffile.imwrite(path, np.full((240, 240), 700, np.uint16))


def _lossy(path: Path) -> None:
    with rasterio.open(path) as raster:
        crs, transform = raster.crs, raster.transform
    with rasterio.open(path, "w", driver="GTiff", count=3, height=240, width=240, dtype="uint8", compress="JPEG",
                       photometric="YCBCR", crs=crs, transform=transform) as raster:  # fmt: skip
        raster.write(np.full((3, 240, 240), 90, np.uint8))


EXOTIC = {
    "floating point with NaN": _floats,
    "wider counts": lambda path: rewritten(path, dtype="uint32", compress="DEFLATE"),
    "complex numbers": _complex,
    "without coordinates": _nowhere,
    "a photograph": _lossy,
    "empty": lambda path: path.write_bytes(b""),
    "two bytes": lambda path: path.write_bytes(b"II"),
    "a web page": lambda path: path.write_bytes(b"<!DOCTYPE html><html>Please log in</html>" * 50),
    "a VRT": lambda path: path.write_text(
        '<VRTDataset rasterXSize="240" rasterYSize="240"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        "<SourceFilename>/etc/passwd</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    ),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut in its header": lambda path: path.write_bytes(path.read_bytes()[:60]),
}


@pytest.mark.parametrize("kind", EXOTIC)
def test_a_file_that_is_no_band_is_an_error_or_recorded_never_pixels(server, tmp_path, seen, kind):
    said = refused_or_recorded(seen, with_file(server, tmp_path, seen, EXOTIC[kind]))
    assert "S2A_33TVL_20240610_0_L2A" in said


def test_a_rotated_file_is_put_where_it_says(server, tmp_path, seen):
    """A plane over the file's own columns and rows, looked up at the place of every output pixel."""

    def rotate(path: Path) -> None:
        with rasterio.open(path) as raster:
            profile = raster.profile
        places.append(profile["transform"] * profile["transform"].rotation(30))
        plane = 1000 + 4 * np.arange(240)[np.newaxis] + 3 * np.arange(240)[:, np.newaxis]
        with rasterio.open(path, "w", **(profile | {"driver": "GTiff", "transform": places[0]})) as raster:
            raster.write(plane[np.newaxis].astype(np.uint16))

    places: list[Any] = []
    result = compose(seen, with_file(server, tmp_path, seen, rotate))
    rows, cols = np.mgrid[: result.grid.shape[0], : result.grid.shape[1]] + 0.5
    col, row = ~places[0] * (result.grid.affine * (cols, rows))
    inside = (col > 1) & (col < 239) & (row > 1) & (row < 239)
    outside = (col < -1) | (col > 241) | (row < -1) | (row > 241)
    expected = 1000 + 4 * (col - 0.5) + 3 * (row - 0.5)
    assert 0.5 < inside.mean() < 0.7
    assert np.abs(result.bands["red"] - expected)[inside].max() <= 1
    assert (result.bands["red"][outside] == -32768).all()


def tiff_of(width: int, height: int, *, block: int = 256, offsets: int = 1, kind: int = 16, chained: int = 0) -> bytes:
    """A big TIFF's header that promises much: (width, height), and a number of block offsets far beyond the file."""
    tags = [
        (256, kind, 1, width), (257, kind, 1, height), (258, 3, 1, 16), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1),
        (322, kind, 1, block), (323, kind, 1, block), (324, 16, offsets, 16), (325, 16, offsets, 16), (339, 3, 1, 1),
    ]  # fmt: skip
    body = struct.pack("<Q", len(tags))
    for tag, typ, count, value in tags:
        body += struct.pack("<HHQQ", tag, typ, count, value)
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + body + struct.pack("<Q", chained) + bytes(2048)


BOASTERS = {
    "four thousand million blocks": tiff_of(2**31 - 1, 2**31 - 1, offsets=4_000_000_000),
    "terabytes of pixels": tiff_of(4_000_000, 4_000_000, block=512),
    "one block of terabytes": tiff_of(2**21, 2**21, block=2**21),
    "more blocks than numbers": tiff_of(10_980, 10_980, offsets=2**63),
    "no pixels": tiff_of(0, 0),
    "blocks of nothing": tiff_of(10_980, 10_980, block=0),
    "a directory that leads to itself": tiff_of(240, 240, chained=16),
    "a directory beyond the file": tiff_of(240, 240, chained=2**62),
}


@pytest.mark.parametrize("kind", BOASTERS)
def test_a_header_that_boasts_costs_no_memory(server, tmp_path, seen, kind):
    url = with_file(server, tmp_path, seen, lambda path: path.write_bytes(BOASTERS[kind]))
    said = refused_or_recorded(seen, url)
    assert "S2A_33TVL_20240610_0_L2A" in said


@pytest.mark.parametrize("edge", [2**31 - 1, 2**20, 0])
def test_a_jpeg_2000_header_that_boasts_costs_no_memory(server, tmp_path, seen, cdse_keys, edge):
    url = serve_cdse(server, tmp_path, [seen])
    (path,) = (tmp_path / "eodata").rglob("*_B04_10m.jp2")
    content = bytearray(path.read_bytes())
    header, sizes = content.index(b"ihdr") + 4, content.index(b"\xff\x51") + 6
    for place in (header, header + 4, sizes, sizes + 4, sizes + 16, sizes + 20):
        content[place : place + 4] = struct.pack(">I", edge)
    path.write_bytes(bytes(content))
    assert refused_or_recorded(seen, url, archive="cdse")


@pytest.mark.parametrize("lie", [Claim(total=100), Claim(shift=64), Claim(header="bytes */*"),
                                 Claim(header=""), Claim(length=1 << 40), Claim(length=3)])  # fmt: skip
def test_sizes_that_are_lies_are_not_believed(server, tmp_path, seen, impatient, lie):
    url = serve_earth_search(server, tmp_path, [seen])
    server.fail("*/B04.tif", lie)
    assert refused_or_recorded(seen, url)


def test_a_total_that_no_file_has_does_no_harm_where_the_bytes_are_right(server, tmp_path, seen):
    url = serve_earth_search(server, tmp_path, [seen])
    server.fail("*/B04.tif", Claim(total=1 << 44))
    result = compose(seen, url)
    assert_array_equal(result.bands["red"], counts_at(seen, "red", result.grid))


def test_ground_beyond_the_tiles_and_months_to_come_are_empty_and_say_why(seen, url):
    for bbox, month in (((14.0, 86.0, 14.1, 86.1), "2024-06"), (seen.area(), "2999-01")):
        result = build_composite(bbox, month, 60.0, "earth-search", ["red"], catalog_url=url)
        assert result.coverage == 0
        assert result.reason
