"""What is asked of a mosaic without a pipeline, checked as far as it can be before any file is opened."""

import math
import os
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from geo_assets.domain.errors import RegionError
from geo_assets.domain.region_mosaic import Harmonise
from geo_assets.kernels.mosaicking.blending import Profile

Codec: TypeAlias = Literal["zstd", "deflate"]

LARGEST_FEATHER_PX = 4_096
"""The table of weights has an entry for every squared distance."""

_WORDS: dict[str, tuple[str, ...]] = {
    "profile": ("cosine", "linear"),
    "harmonise": ("none", "gain", "gain_offset"),
    "codec": ("zstd", "deflate"),
}
_WHOLE = {"block": (64, 16_384), "threads": (1, 256)}
_MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class MosaicRequest:
    """The settings of `geo_assets.blend_mosaic`, which explains them."""

    feather_m: float = 2400.0
    profile: Profile = "cosine"
    harmonise: Harmonise = "none"
    seamline: bool = False
    crs: str | None = None
    resolution: float | None = None
    block: int = 2048
    nodata: float | None = None
    categorical: bool | None = None
    threads: int | None = None
    overviews: bool = True
    codec: Codec = "zstd"
    measure: bool = True

    def __post_init__(self) -> None:
        for name, allowed in _WORDS.items():
            if getattr(self, name) not in allowed:
                raise RegionError(f"{name}: found {getattr(self, name)!r:.60}, expected one of {', '.join(allowed)}.")
        for name, (low, high) in _WHOLE.items():
            value = getattr(self, name)
            if name == "threads" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise RegionError(f"{name}: found {value!r:.60}, expected a whole number of {low} to {high}.")
        for name in ("feather_m", "resolution"):
            value = getattr(self, name)
            if name == "resolution" and value is None:
                continue
            if not _is_number(value) or value <= 0:
                raise RegionError(f"{name}: found {value!r:.60}, expected a positive number of metres.")
        nodata: Any = self.nodata
        if nodata is not None and (not isinstance(nodata, int | float) or isinstance(nodata, bool)):
            raise RegionError(f"nodata: found {self.nodata!r:.60}, expected a number or NaN.")
        if self.categorical and self.harmonise != "none":
            raise RegionError("harmonise: found it for classes, which have no gain. Leave out one of the two.")

    @property
    def workers(self) -> int:
        """Threads that blend, and as many that encode."""
        return int(self.threads or min(len(os.sched_getaffinity(0)), _MOST_THREADS))

    def feather_px(self, pixel_m: float) -> int:
        """The feather in pixels.

        Raises
        ------
        RegionError
            It is narrower than a pixel, or wider than can be tabled.
        """
        feather_px = round(self.feather_m / pixel_m)
        if not 1 <= feather_px <= LARGEST_FEATHER_PX:
            raise RegionError(
                f"feather_m: found {self.feather_m:g} m, {feather_px} pixels of {pixel_m:g} m, expected 1 to "
                f"{LARGEST_FEATHER_PX} pixels. Choose {pixel_m:g} to {LARGEST_FEATHER_PX * pixel_m:g} m."
            )
        return feather_px


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
