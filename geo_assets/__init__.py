"""Cloud-free, seamless monthly satellite composites, as partitioned Dagster assets.

The library door: the names in `__all__` are fetched when first asked for, so that `import geo_assets.kernels`
loads arithmetic only. The Dagster door is `geo_assets.definitions`, the terminal door `geo-assets`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geo_assets.api import (
        CloudMask,
        CompositeResult,
        MosaicResult,
        apply_mask,
        blend_mosaic,
        build_composite,
        build_monthly_composites,
        cloud_mask,
        cloud_probability,
        crop_mosaic,
        evi,
        nbr,
        ndvi,
        ndwi,
        open_line,
        read_region,
        run_line,
    )
    from geo_assets.domain.errors import GeoAssetsError

__version__ = "0.1.0"

__all__ = [
    "CloudMask",
    "CompositeResult",
    "GeoAssetsError",
    "MosaicResult",
    "__version__",
    "apply_mask",
    "blend_mosaic",
    "build_composite",
    "build_monthly_composites",
    "cloud_mask",
    "cloud_probability",
    "crop_mosaic",
    "evi",
    "nbr",
    "ndvi",
    "ndwi",
    "open_line",
    "read_region",
    "run_line",
]

# The mosaic of files by itself: `api`, with all archives, takes a second to load.
_ROOM_OF = {
    "CloudMask": "geo_assets.api",
    "CompositeResult": "geo_assets.api",
    "GeoAssetsError": "geo_assets.domain.errors",
    "MosaicResult": "geo_assets.stations.mosaicking.standalone",
    "apply_mask": "geo_assets.api",
    "blend_mosaic": "geo_assets.stations.mosaicking.standalone",
    "build_composite": "geo_assets.api",
    "build_monthly_composites": "geo_assets.api",
    "cloud_mask": "geo_assets.api",
    "cloud_probability": "geo_assets.api",
    "crop_mosaic": "geo_assets.api",
    "evi": "geo_assets.api",
    "nbr": "geo_assets.api",
    "ndvi": "geo_assets.api",
    "ndwi": "geo_assets.api",
    "open_line": "geo_assets.api",
    "read_region": "geo_assets.api",
    "run_line": "geo_assets.api",
}


def __getattr__(name: str) -> object:
    """A name of the library door, from the room that it lives in (PEP 562)."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOM_OF[name]), name)


def __dir__() -> list[str]:
    """The library door's names, besides what is loaded already."""
    return sorted({*globals(), *__all__})
