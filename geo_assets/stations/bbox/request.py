"""What is asked of a composite, checked before anything is opened."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, TypeAlias

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.errors import RegionError
from geo_assets.domain.tile_month import Month
from geo_assets.stations.bbox.grid import Bbox

Reading: TypeAlias = Literal["auto", "exact", "overview"]
"""How bands are read: see `CompositeRequest.read`."""

Period: TypeAlias = tuple[datetime, datetime]
"""First instant, included, and last one, not included; UTC."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_COARSEST_M = 100_000.0
_MOST_SCENES = 64
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "read": ("auto", "exact", "overview"),
    "rank": ("area", "scene"),
    "output_crs": ("utm", "native"),
    "mask": ("quality", "none"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeRequest:
    """One composite: where, when, of what, and how scenes are chosen and read.

    Raises
    ------
    RegionError
        A value that cannot be; the message says which, what was found, and what to give instead.
    """

    bbox: Bbox
    """West, south, east, north, degrees; west > east crosses the antimeridian."""
    datetime: str
    """`2024-07-01/2024-07-31`, a single day, or a month `2024-07`; whole days, UTC, both ends included."""
    resolution: float = 60.0
    """Metres."""
    bands: tuple[str, ...]
    """Stable names."""
    top_k: int = 3
    """Scenes for each tile."""
    coverage_target: float | None = None
    """Share of each chunk of the area to be seen clear; then `min_k` to `max_k` scenes a chunk take `top_k`'s place."""
    min_k: int = 2
    max_k: int = 8
    windowed_fetch: bool = True
    """With `coverage_target`: use a scene only in the chunks that chose it; else in all of the area."""
    max_cloud_cover: float | None = None
    """Per cent, as the catalogue states of whole scenes. None: no limit, the scout sees for itself."""
    read: Reading = "auto"
    """`exact`: interpolated among the four full-resolution pixels round the output pixel's centre. `overview`: the same
    in the coarsest overview that is not coarser than the output: averaged, and far fewer bytes. `auto`: overviews where
    the output is at least twice as coarse as the band."""
    rank: Literal["area", "scene"] = "area"
    """Scenes are ranked by their clear share of the asked-for ground, or of what they show of it (as bestpixel)."""
    scout_factor: int = 8
    """How much coarser than the output the first look at the scenes is."""
    output_crs: Literal["utm", "native"] = "utm"
    """UTM zone of the area's centre, or the CRS of most of the scenes."""
    mask: Literal["quality", "none"] = "quality"
    """`none`: every pixel with data counts as clear."""
    aod_by_day: Mapping[date, float] = field(default_factory=dict)
    """Aerosol optical depth over the area, by day (UTC)."""
    aod_max: float | None = None
    """Scenes of hazier days are left out."""
    reject_unknown: bool = False
    """Leave out scenes of days that `aod_by_day` does not name."""
    emit_uncertainty: bool = False
    """Also read the observations that did not win, and tell how far they spread."""
    platforms: tuple[str, ...] = ()
    orbits: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_bbox(self.bbox)
        period_of(self.datetime)
        _check_number("resolution", self.resolution, 0, _COARSEST_M, "metres", above=True)
        _check_bands(self.bands)
        _check_whole("top_k", self.top_k, 1, _MOST_SCENES)
        _check_whole("min_k", self.min_k, 1, _MOST_SCENES)
        _check_whole("max_k", self.max_k, self.min_k, _MOST_SCENES)
        _check_whole("scout_factor", self.scout_factor, 1, 64)
        if self.coverage_target is not None:
            _check_number("coverage_target", self.coverage_target, 0, 1, "share of the area", above=True)
        if self.max_cloud_cover is not None:
            _check_number("max_cloud_cover", self.max_cloud_cover, 0, 100, "per cent")
        if self.aod_max is not None:
            _check_number("aod_max", self.aod_max, 0, 10, "optical depth")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise RegionError(f"{name}: found {getattr(self, name)!r:.40}, expected one of {', '.join(allowed)}.")

    @property
    def period(self) -> Period:
        """First and last instant."""
        return period_of(self.datetime)


def period_of(text: str) -> Period:
    """The instants between which a text of `CompositeRequest.datetime`'s form lies.

    Raises
    ------
    RegionError
        It is no such text, or its days are in the wrong order.
    """
    if not isinstance(text, str):
        raise _no_period(text)
    first_text, slash, last_text = text.partition("/")
    try:
        first, _ = _days(first_text)
        _, end = _days(last_text if slash else first_text)
    except ValueError:
        raise _no_period(text) from None
    if first >= end:
        raise RegionError(f"datetime: found {text!r}, the last day lies before the first. Exchange them.")
    return first, end


def _days(text: str) -> Period:
    """First instant of a day or month, and of the one after it; `ValueError` for another text."""
    if _DAY.fullmatch(text):
        day = datetime.fromisoformat(text).replace(tzinfo=UTC)
        return day, day + timedelta(days=1)
    try:
        month = Month.parse(text)
    except RegionError as error:
        raise ValueError(str(error)) from None
    return month.begin, month.next.begin


def _no_period(text: object) -> RegionError:
    return RegionError(
        f"datetime: found {text!r:.60}, expected days as 2024-07-01/2024-07-31, one day, or a month as 2024-07."
    )


def _check_bbox(bbox: Any) -> None:
    numbers = tuple(bbox) if isinstance(bbox, tuple | list) else ()
    if len(numbers) != 4 or not all(_is_finite(one) for one in numbers):
        raise RegionError(
            f"bbox: found {bbox!r:.80}, expected four finite numbers: west, south, east, north in degrees."
        )
    west, south, east, north = numbers
    if not (-90 <= south < north <= 90):
        raise RegionError(
            f"bbox: found south {south:g} and north {north:g}, expected south < north in -90..90. "
            "The order is west, south, east, north."
        )
    if not (-180 <= west <= 180 and -180 <= east <= 180) or west == east:
        raise RegionError(
            f"bbox: found west {west:g} and east {east:g}, expected different longitudes in -180..180, and west > east "
            "only for an area across the antimeridian. Subtract 360 from longitudes beyond 180."
        )


def _check_bands(bands: Any) -> None:
    known = ", ".join(SENTINEL2_BANDS)
    if not isinstance(bands, tuple | list) or not bands:
        raise RegionError(f"bands: found {bands!r:.60}, expected some of {known}.")
    unknown = [str(band) for band in bands if band not in SENTINEL2_BANDS]
    if unknown:
        raise RegionError(f"bands: found {', '.join(unknown)!s:.120}, expected some of {known}.")
    if len(set(bands)) < len(bands):
        raise RegionError(f"bands: found {', '.join(bands)}, one of them twice. Name each band once.")


def _check_number(name: str, value: Any, least: float, most: float, unit: str, *, above: bool = False) -> None:
    if not _is_finite(value) or not least <= value <= most or (above and value == least):
        bounds = f"above {least:g}, at most {most:g}" if above else f"{least:g} to {most:g}"
        raise RegionError(f"{name}: found {value!r:.40}, expected a number ({unit}), {bounds}.")


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RegionError(f"{name}: found {value!r:.40}, expected a whole number, {least} to {most}.")


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
