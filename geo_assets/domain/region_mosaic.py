"""The region file's `mosaic`: how neighbouring tiles become one picture."""

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator
from pyproj import CRS
from pyproj.exceptions import CRSError

from geo_assets.domain.region_settings import Number, Settings, Switch

SMALLEST_OVERLAP_M = 9_780
"""Neighbouring tiles of one zone overlap by this or 60 m more."""

Harmonise: TypeAlias = Literal["none", "gain", "gain_offset"]
"""What is solved for each tile of a month before its pixels are blended."""

SeamGate: TypeAlias = Literal["report", "raise"]


class MosaicSettings(Settings):
    """How neighbouring tiles become one picture."""

    crs: str = "auto"
    """`auto`: the UTM zone of most tiles; or `EPSG:NUMBER` of a projected CRS in metres."""
    feather_m: Annotated[Number, Field(gt=0, le=SMALLEST_OVERLAP_M / 2, description="Feather width, metres")] = 2400.0
    profile: Literal["cosine", "linear"] = "cosine"
    harmonise: Harmonise = "none"
    seamline: Annotated[Switch, Field(description="Cut where tiles differ least, and feather along the cut only")] = (
        False
    )
    seam_gate: SeamGate = "report"
    seam_limit: Annotated[
        Number, Field(ge=1, le=100, description="Seam step over noise floor at which the gate raises")
    ] = 1.3

    @field_validator("crs")
    @classmethod
    def _in_metres(cls, value: str) -> str:
        if value == "auto":
            return value
        name = value.upper()
        try:
            crs = CRS.from_user_input(name) if re.fullmatch(r"EPSG:[1-9][0-9]*", name) else None
        except CRSError:
            crs = None
        if crs is None:
            raise ValueError(f"found {value!r}, expected auto or an EPSG code, such as EPSG:6933")
        if crs.is_compound:
            raise ValueError(f"found {value!r} ({crs.name}), expected one without heights, such as EPSG:6933")
        if not crs.is_projected or any(axis.unit_name not in ("metre", "meter") for axis in crs.axis_info):
            raise ValueError(
                f"found {value!r} ({crs.name}), whose unit is not the metre, and the feather is in metres; "
                "choose a projected CRS, such as EPSG:6933, EPSG:3035 or EPSG:3857"
            )
        return name
