"""Microsoft Planetary Computer: Sentinel-2 L2A as COGs in Azure's West Europe, signed per container.

It states no offset; the baseline says it, and its files hold ESA's counts as they are. Ids do not name the baseline.
"""

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.facts import Collection, Credential, Facts

HOST = "planetarycomputer.microsoft.com"
CATALOG_URL = f"https://{HOST}/api/stac/v1"
SAS_URL = f"https://{HOST}/api/sas/v1"
SUBSCRIPTION_KEY = Credential(("PC_SDK_SUBSCRIPTION_KEY",), "raises the rate limit of signing", needed=False)

SURFACE_BANDS = {name: band.resolution_m for name, band in SENTINEL2_BANDS.items() if name != "cirrus"}
"""L2A has no `cirrus`."""

PLANETARY_COMPUTER = Facts(
    name="planetary-computer",
    title="Microsoft Planetary Computer",
    catalog_url=CATALOG_URL,
    sas_url=SAS_URL,
    hosts=(HOST, "sentinel2l2a01.blob.core.windows.net"),
    credentials=(SUBSCRIPTION_KEY,),
    collections=(
        Collection(
            id="sentinel-2-l2a",
            level="L2A",
            bands=SURFACE_BANDS,
            layers=("scl", "aot"),
            quality="scl",
            nodata=0,
            begins=Month(2015, 6),
            note="scenes up to 2021 were processed by Microsoft with another terrain model than ESA's",
        ),
    ),
)
