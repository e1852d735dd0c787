"""Harmonised Landsat and Sentinel-2 on the Planetary Computer: two collections, one pool of 30 m scenes."""

from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.facts import Collection, Facts
from geo_assets.io.archives.planetary_computer import CATALOG_URL, HOST, SAS_URL, SUBSCRIPTION_KEY
from geo_assets.io.archives.sensors.hls import BAND_KEYS, NODATA_DN

_PIXEL_M = 30

HLS = Facts(
    name="hls",
    title="HLS v2.0 on the Planetary Computer",
    catalog_url=CATALOG_URL,
    sas_url=SAS_URL,
    hosts=(HOST, "hls2euwest.blob.core.windows.net"),
    credentials=(SUBSCRIPTION_KEY,),
    collections=tuple(
        Collection(
            id=f"hls2-{sensor.lower()}",
            level="HLS",
            bands=dict.fromkeys(BAND_KEYS[sensor], _PIXEL_M),
            layers=("fmask",),
            quality="hls_fmask",
            nodata=NODATA_DN,
            begins=Month(2020, 1),
            note=note,
        )
        for sensor, note in (("S30", "from Sentinel-2"), ("L30", "from Landsat 8 and 9; without red edge and nir09"))
    ),
)
