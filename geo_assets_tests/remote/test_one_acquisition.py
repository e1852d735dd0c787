"""One acquisition, served as each archive serves it: the same reflectance whichever way it comes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geo_assets import build_composite
from geo_assets.domain.errors import GeoAssetsError
from geo_assets_tests.scenery.remote_catalogues import (
    UNSEEN,
    USUAL_BANDS,
    counts_at,
    earth_search_item,
    hls_acquisition,
    modis_acquisition,
    sentinel2_acquisition,
    serve_cdse,
    serve_earth_search,
    serve_hls,
    serve_mcd43a4,
    serve_planetary_computer,
)

CLOUD = (slice(10, 16), slice(4, 20))
UNSEEN_ROWS = (slice(34, 40), slice(0, 40))


@pytest.fixture(scope="module")
def seen():
    """2.4 km of 33TVL: a cloud, and a strip that the swath does not reach."""
    return sentinel2_acquisition("33TVL", "2024-06-10", cloudy=CLOUD, unseen=UNSEEN_ROWS)


def composite(seen, archive, url, resolution=10.0, **settings):
    asked = {"bands": list(USUAL_BANDS), "read": "exact"} | settings
    return build_composite(seen.area(margin_m=100), "2024-06", resolution, archive, catalog_url=url, **asked)


def expected(seen, band, result):
    """Counts where it was clear, the library's nodata elsewhere."""
    counts = counts_at(seen, band, result.grid)
    return np.where(result.quality == 255, UNSEEN, counts)


WAYS = {
    "Planetary Computer": ("planetary-computer", serve_planetary_computer, {}),
    "Earth Search, flag right": ("earth-search", serve_earth_search, {"flag": "right"}),
    "Earth Search, flag wrong": ("earth-search", serve_earth_search, {"flag": "wrong"}),
    "Earth Search, flag missing": ("earth-search", serve_earth_search, {"flag": "missing"}),
    "CDSE": ("cdse", serve_cdse, {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_acquisition_gives_the_same_reflectance_to_one_count(way, seen, server, tmp_path, cdse_keys):
    archive, serve, settings = WAYS[way]
    result = composite(seen, archive, serve(server, tmp_path, [seen], **settings))
    for band in ("blue", "green", "red", "nir"):
        assert np.abs(result.bands[band].astype(int) - expected(seen, band, result)).max() <= 1
    clear = result.quality == 0
    assert 0.75 < clear.mean() < 0.9
    assert_array_equal(result.observation_count, clear.astype(result.observation_count.dtype))
    assert_array_equal(result.quality[~clear], 255)
    for band in ("swir16", "swir22"):
        assert result.bands[band][clear].min() >= 150
        assert_array_equal(result.bands[band] == UNSEEN, ~clear)


def test_an_offset_that_was_never_added_is_found_out_whatever_the_flag_says(seen, server, tmp_path):
    server.folder("/sentinel-cogs", tmp_path / "sentinel-cogs")
    for flag in ("right", "wrong"):
        item = earth_search_item(server.url, tmp_path, seen, flag=flag, shifted=False)
        result = composite(
            seen, "earth-search", server.catalogue([item], f"/{flag}/v1"), bands=["red", "green", "blue"]
        )
        assert_array_equal(result.bands["red"], expected(seen, "red", result))


def bright(seen):
    """The same ground under snow that no test of the offset can judge: no count is dark enough."""
    return replace(
        seen, bands={band: (np.full_like(counts, 7000), grid) for band, (counts, grid) in seen.bands.items()}
    )


def test_an_offset_that_neither_metadata_nor_pixels_tell_is_not_guessed(seen, server, tmp_path):
    url = serve_earth_search(server, tmp_path / "doubtful", [bright(seen)], flag="missing")
    try:
        result = composite(seen, "earth-search", url, bands=["red"])
    except GeoAssetsError as error:
        said = str(error)
    else:
        assert result.coverage == 0
        said = f"{result.reason} {result.ledger}"
    assert "offset" in said
    assert "S2A_33TVL_20240610_0_L2A" in said


def test_an_offset_that_metadata_agree_on_holds_where_pixels_cannot_tell(seen, server, tmp_path):
    snow = bright(seen)
    url = serve_planetary_computer(server, tmp_path, [snow])
    result = composite(snow, "planetary-computer", url, bands=["red"])
    assert_array_equal(result.bands["red"], expected(snow, "red", result))


def test_old_baselines_have_no_offset(server, tmp_path, cdse_keys):
    old = sentinel2_acquisition("33TVL", "2019-06-10", baseline="02.12", cloudy=CLOUD)
    for archive, serve in (
        ("planetary-computer", serve_planetary_computer),
        ("earth-search", serve_earth_search),
        ("cdse", serve_cdse),
    ):
        url = serve(server, tmp_path, [old])
        result = build_composite(
            old.area(margin_m=100), "2019-06", 10.0, archive, ["red"], catalog_url=url, read="exact"
        )
        assert_array_equal(result.bands["red"], expected(old, "red", result))


def test_collection_1_of_earth_search_has_its_own_offset(seen, server, tmp_path):
    url = serve_earth_search(server, tmp_path, [seen], collection="sentinel-2-c1-l2a")
    result = composite(seen, "earth-search", url, bands=["red", "nir"])
    assert_array_equal(result.bands["nir"], expected(seen, "nir", result))


def test_hls_of_both_satellites_is_one_pool_with_negative_reflectance_kept(server, tmp_path):
    window = (slice(100, 180), slice(40, 120))
    landsat = hls_acquisition("33TVL", "2024-06-08", window=window, platform="L8", cloudy=(slice(0, 40), slice(0, 80)))
    sentinel = hls_acquisition("33TVL", "2024-06-10", window=window, cloudy=(slice(40, 80), slice(0, 80)),
                               unseen=(slice(0, 80), slice(70, 80)))  # fmt: skip
    url = serve_hls(server, tmp_path, [landsat, sentinel])
    bands = ["red", "nir08"]
    area = landsat.area(margin_m=60)
    result = build_composite(area, "2024-06", 30.0, "hls", bands, catalog_url=url, read="exact")
    assert len(result.source_ids) == 2
    for band in bands:
        one, other = (counts_at(seen, band, result.grid) for seen in (landsat, sentinel))
        found = result.bands[band]
        np.testing.assert_array_equal(
            found, np.where(result.quality == 255, UNSEEN, np.where(np.isin(found, one) & (found == one), one, other))
        )
        assert (found[result.quality == 0] < 0).any()
        assert (found != -9999).all()
    cloudy_and_unseen = (counts_at(landsat, "red", result.grid) > 3500) & (
        counts_at(sentinel, "red", result.grid) == UNSEEN
    )
    assert cloudy_and_unseen.any()
    assert (result.quality[cloudy_and_unseen] == 255).all()


def test_hls_in_the_south_keeps_its_northern_numbering(server, tmp_path):
    seen = hls_acquisition("19LDD", "2024-06-10", window=(slice(100, 180), slice(40, 120)))
    url = serve_hls(server, tmp_path, [seen])
    result = build_composite(
        seen.area(margin_m=60), "2024-06", 30.0, "hls", ["red"], catalog_url=url, read="exact", output_crs="native"
    )
    assert (result.quality != 255).mean() > 0.97


def test_modis_takes_the_month_by_day_the_newest_production_and_stays_sinusoidal(server, tmp_path):
    window = (slice(500, 560), slice(1200, 1260))
    before = modis_acquisition("h18v04", "2024-05-31", window=window)
    inside = modis_acquisition("h18v04", "2024-06-10", window=window, unseen=(slice(0, 60), slice(0, 20)))
    newer = modis_acquisition("h18v04", "2024-06-10", window=window, seed=5, sequence=30,
                              unseen=(slice(0, 60), slice(0, 20)))  # fmt: skip
    url = serve_mcd43a4(server, tmp_path, [before, inside, newer])
    result = build_composite(
        newer.area(margin_m=3000), "2024-06", 463.3127165279167, "mcd43a4", ["red", "nir"], catalog_url=url,
        read="exact", output_crs="native",
    )  # fmt: skip
    assert len(result.source_ids) == 1
    assert result.grid.crs.epsg is None
    assert_array_equal(result.bands["red"], expected(newer, "red", result))
    assert (result.bands["red"] == UNSEEN).any()
    assert (result.bands["red"] != 32767).all()
    in_utm = build_composite(newer.area(margin_m=3000), "2024-06", 500.0, "mcd43a4", ["red"], catalog_url=url)
    assert 32600 < in_utm.grid.crs.epsg < 32661
    assert (in_utm.bands["red"] != 32767).all()
    assert in_utm.bands["red"].max() <= 4000


def test_auto_takes_the_first_archive_that_answers_and_says_which(seen, server, tmp_path):
    with pytest.raises(GeoAssetsError, match="catalog_url"):
        composite(seen, "auto", "http://127.0.0.1:9/nobody")
