"""Copernicus Data Space Ecosystem: ESA's own products, L1C and L2A, as JPEG 2000 in SAFE folders.

Its generator writes `raster:offset` -0.1 for every band and baseline: the baseline alone counts. Old baselines are
withdrawn, and named in a list of deleted products. Four connections an account.
"""

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.facts import Buckets, Collection, Credential, Facts
from geo_assets.io.archives.planetary_computer import SURFACE_BANDS

_DOMAIN = "dataspace.copernicus.eu"

CDSE = Facts(
    name="cdse",
    title="Copernicus Data Space Ecosystem",
    catalog_url=f"https://stac.{_DOMAIN}/v1",
    identity_url=f"https://identity.{_DOMAIN}/auth/realms/CDSE/protocol/openid-connect",
    deleted_url=f"https://catalogue.{_DOMAIN}/odata/v1/DeletedProducts",
    hosts=(f"*.{_DOMAIN}",),
    buckets=Buckets(names=("eodata",), region="default", keys="cdse", endpoint_url=f"https://eodata.{_DOMAIN}"),
    credentials=(
        Credential(
            ("CDSE_S3_ACCESS_KEY", "CDSE_S3_SECRET_KEY"), "reads files through S3, keys of the key manager", needed=True
        ),
        Credential(
            ("CDSE_USERNAME", "CDSE_PASSWORD"), "reads files by login (CDSE_TOTP with a second factor)", needed=True
        ),
    ),
    connections=4,
    connections_are_per_account=True,
    requests_per_minute=2_000,
    collections=(
        Collection(
            id="sentinel-2-l2a",
            level="L2A",
            bands=SURFACE_BANDS,
            layers=("scl", "aot"),
            quality="scl",
            nodata=0,
            begins=Month(2015, 7),
            files="JP2",
        ),
        Collection(
            id="sentinel-2-l1c",
            level="L1C",
            bands={name: band.resolution_m for name, band in SENTINEL2_BANDS.items()},
            layers=(),
            quality="none",
            nodata=0,
            begins=Month(2015, 7),
            files="JP2",
        ),
    ),
)
