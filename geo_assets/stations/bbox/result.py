"""What a composite of the library door is, and the ways out of memory: xarray, GeoTIFF, PNG, a notebook's page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, ReflectanceCount
from geo_assets.domain.bands import Level
from geo_assets.stations.bbox.forms import (
    composite_dataset,
    composite_html,
    composite_picture,
    write_composite,
    write_picture,
)

if TYPE_CHECKING:
    import xarray

_PICTURE_PX = 1024


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CompositeResult:
    """One composite in memory: the best clear observation of every pixel of an area in a period.

    All arrays are (y, x) on `grid`. An empty composite (no scene, or cloud over everything) is a result too: its
    pixels are nodata and `reason` says why, so look at `reason` or `coverage` before the pixels go on.

    Examples
    --------
    >>> result = geo_assets.build_composite((14.97, 45.95, 15.15, 46.07), "2024-06", archive="demo")
    >>> result.bands["red"].dtype, result.grid.crs.epsg
    (dtype('int16'), 32633)
    >>> result.to_geotiff("june.tif")
    PosixPath('june.tif')
    """

    bands: Mapping[str, ReflectanceCount]
    """Band -> (y, x) int16, reflectance x 10,000, nodata -32768; small negative values are real."""
    quality: ClassCode
    """(y, x) uint8: 0 clear, 1 marginal, 2 dark or shadow, 255 no observation."""
    observation_count: NDArray[Any]
    """(y, x) uint8 or uint16: clear observations among the selected scenes; 0 where there is none."""
    selected_observation: NDArray[np.int16]
    """(y, x) int16: index into `source_ids` of the observation that was taken; -1 none."""
    grid: GeoBox
    """CRS, transform and shape: `grid.crs`, `grid.transform`, `grid.shape`, `grid.boundingbox`."""
    source_ids: Sequence[str]
    """Catalogue ids of the selected scenes, best first."""
    archive: str
    """Archive that was read, such as `earth-search`."""
    period: tuple[datetime, datetime]
    """First instant, and the one after the last; UTC."""
    level: Level = "L2A"
    """Of the reflectance: L1C is top-of-atmosphere, all others surface."""
    archive_reason: str = ""
    """Why `auto` took this archive; empty when it was named."""
    reason: str | None = None
    """Why the composite is empty; None when it holds data."""
    uncertainty: Mapping[str, NDArray[Any]] | None = None
    """Band -> (y, x), in counts of 1e-4 as the bands, on request (`emit_uncertainty`); else None."""
    ledger: Sequence[Any] = ()
    """What became of every scene that the search found: used, not needed, or excluded and why."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds by step of the work."""
    traffic: Mapping[str, float] = field(default_factory=dict)
    """Requests, bytes, retries, renewals and seconds waited, all over the composite."""

    @property
    def year(self) -> int:
        """Year in which the period begins."""
        return self.period[0].year

    @property
    def month(self) -> int:
        """Month in which the period begins, 1-12."""
        return self.period[0].month

    @property
    def coverage(self) -> float:
        """Share of the grid's pixels that hold an observation, 0-1."""
        return float(np.count_nonzero(self.quality != NODATA_CLASS) / max(self.quality.size, 1))

    def to_xarray(self) -> "xarray.Dataset":
        """The composite as a dataset by the CF conventions, which rioxarray and odc-geo understand.

        Returns
        -------
        dataset
            A variable for each band (int16 counts, as stored), `quality`, `observation_count`,
            `selected_observation` and `<band>_uncertainty` where there is one; coordinates `x` and `y` of the
            pixels' centres, `time` (begin of the period) and `spatial_ref`. `_FillValue` and `scale_factor` are
            attributes, so that files written from it need no settings.

        Raises
        ------
        ResourceError
            xarray is not installed.

        Notes
        -----
        ``xarray.decode_cf(dataset)`` gives float reflectance with NaN where there is no data. Months lie one
        behind the other with ``xarray.concat(datasets, "time", combine_attrs="drop_conflicts")``.
        """
        return composite_dataset(self)

    def to_geotiff(self, path: str | Path, *, layers: bool = False) -> Path:
        """Write the bands as a strict cloud-optimised GeoTIFF; a file of that name is replaced.

        Parameters
        ----------
        path
            Of the file; its folder is made. It appears when it is complete.
        layers
            Write `<stem>.quality.tif`, `.observation_count.tif`, `.selected_observation.tif` and, where there
            is one, `.uncertainty.tif` beside it.

        Returns
        -------
        path
            The file with the bands: int16, nodata -32768, scale 1e-4, bands described by name; archive, period
            and source ids are its tags.

        Raises
        ------
        ResourceError
            The file cannot be written.
        """
        return write_composite(self, Path(path), layers=layers)

    def picture(self, *, max_px: int = _PICTURE_PX) -> Image.Image:
        """True colour, or the first band in grey where red, green or blue is lacking; at most `max_px` on a side.

        The stretch is fixed, so that two pictures compare: reflectance 0 is black, 0.3 (grey: 0.5) white.
        """
        return composite_picture(self, max_px=max_px)

    def to_png(self, path: str | Path, *, max_px: int = _PICTURE_PX) -> Path:
        """Write `picture` as a PNG file and return its path.

        Raises
        ------
        ResourceError
            The file cannot be written.
        """
        return write_picture(self.picture(max_px=max_px), Path(path))

    def _repr_html_(self) -> str:
        """A picture with size, coverage and sources, for notebooks."""
        return composite_html(self)

    def __repr__(self) -> str:
        height, width = self.grid.shape
        held = f"empty: {self.reason}" if self.reason else f"{self.coverage:.1%} covered"
        return (
            f"<CompositeResult {', '.join(self.bands)}; {width} x {height} px of {abs(self.grid.resolution.x):g} m; "
            f"{held}; {len(self.source_ids)} sources of {self.archive}>"
        )
