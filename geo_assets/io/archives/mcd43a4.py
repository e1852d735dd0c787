"""MCD43A4 on the Planetary Computer: daily MODIS reflectance without view angle, sinusoidal pixels of 463 m."""

from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.facts import Collection, Facts
from geo_assets.io.archives.planetary_computer import CATALOG_URL, HOST, SAS_URL, SUBSCRIPTION_KEY
from geo_assets.io.archives.sensors.mcd43a4 import MODIS_BANDS, NODATA_DN

_PIXEL_M = 463
"""463.3127165 m."""

MCD43A4 = Facts(
    name="mcd43a4",
    title="MODIS MCD43A4 v061 on the Planetary Computer",
    catalog_url=CATALOG_URL,
    sas_url=SAS_URL,
    hosts=(HOST, "modiseuwest.blob.core.windows.net"),
    credentials=(SUBSCRIPTION_KEY,),
    collections=(
        Collection(
            id="modis-43A4-061",
            level="NBAR",
            bands=dict.fromkeys(MODIS_BANDS, _PIXEL_M),
            layers=tuple(f"qa_{band}" for band in MODIS_BANDS),
            quality="mcd43a4",
            nodata=NODATA_DN,
            begins=Month(2000, 2),
            note="each day is made from 16; June to November 2025 are missing",
        ),
    ),
)
