"""What the makers of the data ask to be said of them, in every raster that is made from it."""

from collections.abc import Collection, Iterable
from pathlib import Path

from geo_assets.io.rasters import raster_facts

ATTRIBUTION = "ATTRIBUTION"
"""The tag in our rasters."""


def attribution_line(levels: Collection[str], years: Collection[int]) -> str:
    """The line for reflectance of some levels (`L1C`, `L2A`, `HLS`, `NBAR`) and years of acquisition.

    Notes
    -----
    Wording: Legal notice on the use of Copernicus Sentinel Data and Service Information; LP DAAC, "Data citation and
    policies".
    """
    when = ", ".join(map(str, sorted(set(years))))
    lines = []
    if set(levels) & {"L1C", "L2A"}:
        lines.append(f"Contains modified Copernicus Sentinel data [{when}]")
    if "HLS" in levels:
        lines.append(
            f"Contains Harmonized Landsat and Sentinel-2 (HLS) data [{when}], courtesy of NASA LP DAAC and USGS, "
            "with modified Copernicus Sentinel data"
        )
    if "NBAR" in levels:
        lines.append(f"Contains MODIS MCD43A4 data [{when}], courtesy of NASA LP DAAC")
    return "; ".join(lines)


def attribution_of(rasters: Iterable[Path]) -> str:
    """The line for what is made from rasters of ours: theirs, each once."""
    lines = {raster_facts(raster).tags.get(ATTRIBUTION, "") for raster in rasters}
    return "; ".join(sorted({line for joined in lines for line in joined.split("; ") if line}))
