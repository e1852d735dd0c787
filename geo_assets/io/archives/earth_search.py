"""Earth Search v1 of Element 84: Sentinel-2 as COGs on AWS, for everybody; L1C in a bucket whose requester pays.

`sentinel-2-l2a` has usually added the offset to the counts already, and its flag is wrong in both directions for some
items; `sentinel-2-c1-l2a` has ESA's counts as they are, newer baselines, and gaps. They are one pool, in which the
newer baseline of an acquisition wins. Pages above 6 MB are answered 500.
"""

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.facts import Buckets, Collection, Credential, Facts
from geo_assets.io.archives.planetary_computer import SURFACE_BANDS

EARTH_SEARCH = Facts(
    name="earth-search",
    title="Earth Search by Element 84",
    catalog_url="https://earth-search.aws.element84.com/v1",
    hosts=(
        "earth-search.aws.element84.com",
        "sentinel-cogs.s3.us-west-2.amazonaws.com",
        "e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com",
        "sentinel-s2-l1c.s3.eu-central-1.amazonaws.com",
    ),
    buckets=Buckets(names=("sentinel-s2-l1c",), region="eu-central-1", keys="aws", requester_pays=True),
    credentials=(Credential((), "pays Amazon for L1C; AWS's own chain: AWS_PROFILE, AWS_ACCESS_KEY_ID", needed=False),),
    connections=32,
    collections=(
        Collection(
            id="sentinel-2-l2a",
            level="L2A",
            bands=SURFACE_BANDS,
            layers=("scl", "aot"),
            quality="scl",
            nodata=0,
            begins=Month(2015, 6),
            offsets="earth-search",
        ),
        Collection(
            id="sentinel-2-c1-l2a",
            level="L2A",
            bands=SURFACE_BANDS,
            layers=("scl", "aot"),
            quality="scl",
            nodata=0,
            begins=Month(2015, 6),
            offsets="signals",
            note="baselines from 05.00 on; November 2016 to November 2019 and parts of 2022 are missing",
        ),
        Collection(
            id="sentinel-2-l1c",
            level="L1C",
            bands={name: band.resolution_m for name, band in SENTINEL2_BANDS.items()},
            layers=(),
            quality="none",
            nodata=0,
            begins=Month(2015, 6),
            offsets="signals",
            files="JP2",
            asked_for=True,
            note="the requester pays Amazon for every read",
        ),
    ),
)
