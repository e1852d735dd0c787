"""Band names, and the facts about the sensors behind them."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["L1C", "L2A", "HLS", "NBAR"]
"""Processing level: L1C is top-of-atmosphere; L2A, HLS (Landsat and Sentinel-2 alike) and NBAR (MCD43A4) surface."""

QUANTIFICATION = 10_000
"""Counts per unit reflectance (QUANTIFICATION_VALUE of every Sentinel-2 product)."""

OFFSET_SINCE_BASELINE_4 = -1000
"""RADIO_ADD_OFFSET / BOA_ADD_OFFSET of processing baseline 04.00 and later (Sentinel-2 Products Specification)."""


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral band of a sensor."""

    name: str
    """The project's stable name."""
    number: str
    """The agency's number: ESA's as in `B8A`, NASA's as in `Band6`."""
    resolution_m: int
    """Native pixel size."""
    wavelength_nm: int
    """Centre wavelength; Sentinel-2A's (Sentinel-2 Spectral Response Functions)."""


SENTINEL2_BANDS: dict[str, Band] = {
    band.name: band
    for band in (
        Band("coastal", "B01", 60, 443),
        Band("blue", "B02", 10, 492),
        Band("green", "B03", 10, 560),
        Band("red", "B04", 10, 665),
        Band("rededge1", "B05", 20, 704),
        Band("rededge2", "B06", 20, 741),
        Band("rededge3", "B07", 20, 783),
        Band("nir", "B08", 10, 833),
        Band("nir08", "B8A", 20, 865),
        Band("nir09", "B09", 60, 945),
        Band("cirrus", "B10", 60, 1374),
        Band("swir16", "B11", 20, 1614),
        Band("swir22", "B12", 20, 2202),
    )
}
"""Stable name -> band, by wavelength. L2A products have no `cirrus`."""

MODIS_BANDS: dict[str, Band] = {
    band.name: band
    for band in (
        Band("blue", "Band3", 500, 469),
        Band("green", "Band4", 500, 555),
        Band("red", "Band1", 500, 645),
        Band("nir", "Band2", 500, 859),
        Band("swir16", "Band6", 500, 1640),
        Band("swir22", "Band7", 500, 2130),
    )
}
"""Stable name -> band of MCD43A4, by wavelength (MODIS Level 1B bandwidths, their middle). Band5, 1240 nm, has no
counterpart among the stable names."""

S2CLOUDLESS_BANDS: tuple[str, ...] = (
    "coastal", "blue", "red", "rededge1", "nir", "nir08", "nir09", "cirrus", "swir16", "swir22",
)  # fmt: skip
"""The ten bands s2cloudless learned on, in its order (B01 B02 B04 B05 B08 B8A B09 B10 B11 B12)."""

FMASK_BANDS: tuple[str, ...] = (
    "blue", "green", "red", "rededge3", "nir", "nir08", "cirrus", "swir16", "swir22",
)  # fmt: skip
"""What the embedded Fmask-type detector uses of L1C, by wavelength."""

HYBRID_BANDS: tuple[str, ...] = tuple(name for name in SENTINEL2_BANDS if name in {*S2CLOUDLESS_BANDS, *FMASK_BANDS})
"""The twelve bands that s2cloudless and Fmask need together, by wavelength: all of L1C but `rededge2`."""

SCL_NAMES: dict[int, str] = {
    0: "no data",
    1: "saturated or defective",
    2: "dark area or topographic shadow",
    3: "cloud shadow",
    4: "vegetation",
    5: "not vegetated",
    6: "water",
    7: "unclassified",
    8: "cloud, medium probability",
    9: "cloud, high probability",
    10: "thin cirrus",
    11: "snow or ice",
}
"""Scene classification of L2A (Sentinel-2 Level-2A Algorithm Theoretical Basis Document)."""


def stable_name(text: str) -> str | None:
    """The stable name of a Sentinel-2 band, called by name or number in any case: `blue` for `B02`, `b2` and `Blue`."""
    known = {band.name: band.name for band in SENTINEL2_BANDS.values()}
    known |= {band.number.lower(): band.name for band in SENTINEL2_BANDS.values()}
    known |= {band.number.lower().replace("b0", "b"): band.name for band in SENTINEL2_BANDS.values()}
    return known.get(text.strip().lower())
