"""A STAC archive of any arrays: for tests that need to know every stored count."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from geo_assets.demo.truth import write_cog

Bands = Mapping[str, tuple[NDArray[Any], GeoBox]]
"""Stable band name, `scl` or `fmask` -> (y, x) uint16 or uint8 as stored (0 nodata), and where it lies."""


@dataclass(frozen=True)
class SmallArchive:
    """Items with their COGs, in the order in which they were added."""

    folder: Path
    items: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        tile: str,
        day: str,
        bands: Bands,
        *,
        level: str = "L2A",
        platform: str = "S2A",
        sequence: int = 0,
        baseline: str | None = None,
        datastrip: str = "DS_1",
        added_counts: int = 0,
        **properties: Any,
    ) -> str:
        """Write a scene's files, list its item, and return its id.

        Parameters
        ----------
        day
            `2024-06-10`; all scenes of a platform and day are one datatake.
        baseline
            05.10 by default; for L1C that has nothing added, 02.14.
        added_counts
            What the stored counts have on top of reflectance x 10,000: 0, or 1000 as since baseline 04.00. Items of
            L2A that have nothing on top say so as Earth Search does.
        properties
            Of the item, on top of or instead of the usual ones.
        """
        if baseline is None:
            baseline = "05.10" if added_counts or level == "L2A" else "02.14"
        name = f"{platform}_{tile}_{day.replace('-', '')}_{sequence}_{level}"
        start = datetime.fromisoformat(f"{day}T10:00:31").replace(tzinfo=UTC)
        _, first_geobox = next(iter(bands.values()))
        outline = first_geobox.extent.to_crs("EPSG:4326")
        usual = {
            "datetime": f"{start + timedelta(seconds=250):%Y-%m-%dT%H:%M:%SZ}",
            "platform": f"sentinel-2{platform[-1].lower()}",
            "grid:code": f"MGRS-{tile}",
            "sat:relative_orbit": 122,
            "s2:product_type": f"S2MSI{level[1:]}",
            "s2:processing_baseline": baseline,
            "s2:generation_time": f"{start + timedelta(hours=5):%Y-%m-%dT%H:%M:%SZ}",
            "s2:datatake_id": f"G{platform}_{start:%Y%m%dT%H%M%S}_012345_N{baseline}",
            "s2:datastrip_id": datastrip,
        }
        if level == "L2A" and not added_counts and baseline >= "04.00":
            usual["earthsearch:boa_offset_applied"] = True
        self.items.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": name,
                "collection": f"sentinel-2-{level.lower()}",
                "geometry": outline.json,
                "properties": usual | properties,
                "assets": {band: self._asset(name, band, *stored, added_counts) for band, stored in bands.items()},
                "links": [],
            }
        )
        return name

    def item(self, name: str) -> dict[str, Any]:
        """The item of that id, to be altered before `write`."""
        return next(item for item in self.items if item["id"] == name)

    def write(self) -> Path:
        """Lay down the catalogue; returns the archive's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": self.items}))
        return self.folder

    def _asset(self, name: str, band: str, counts: NDArray[Any], geobox: GeoBox, added_counts: int) -> dict[str, Any]:
        href = f"{name}/{band}.tif"
        classes = band in ("scl", "fmask")
        nodata = 255 if band == "fmask" else 0
        overviews = Resampling.nearest if classes else Resampling.average
        write_cog(self.folder / href, counts[np.newaxis], geobox, nodata=nodata, overviews=overviews)
        content = (self.folder / href).read_bytes()
        scaling = {} if classes else {"scale": 1e-4, "offset": -added_counts / 10_000}
        return {
            "href": href,
            "file:size": len(content),
            "file:checksum": "1220" + hashlib.sha256(content).hexdigest(),
            "raster:bands": [{"nodata": nodata, "data_type": str(counts.dtype), **scaling}],
        }
