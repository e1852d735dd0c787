"""The region file's `selection`: which scenes of a month are worth fetching."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from geo_assets.domain.region_settings import Number, Settings, Switch, Whole, distinct

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _day(value: object) -> date:
    """A day as YAML writes it, with or without quotes."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass  # such as 2024-02-30: told below
    raise ValueError(f"found {value!r:.40}, expected a day as YYYY-MM-DD, such as 2024-07-15")


Day = Annotated[date, BeforeValidator(_day)]

Share = Annotated[Number, Field(ge=0, le=1)]
Zenith = Annotated[Number, Field(ge=0, le=90, description="Mean angle from the zenith, degrees")]
Platform = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _,-]{0,63}$")]
Orbit = Annotated[Whole, Field(ge=1, le=143, description="Relative orbit; Sentinel-2 repeats itself after 143")]


class Selection(Settings):
    """Which scenes of a month are worth fetching.

    Either a fixed number of scenes (`top_k`), or as many as it takes to reach `coverage_target` (`min_k` to `max_k`).
    """

    top_k: Annotated[Whole, Field(ge=1, le=64, description="Scenes fetched for a tile and month")] = 3
    coverage_target: Annotated[
        Number | None, Field(gt=0, le=1, description="Share of the area to be seen clear, or all that any scene shows")
    ] = None
    """None: `top_k` scenes."""
    min_k: Annotated[Whole, Field(ge=1, le=64, description="With coverage_target: fewest scenes fetched")] = 2
    max_k: Annotated[Whole, Field(ge=1, le=64, description="With coverage_target: most scenes fetched")] = 8
    windowed_fetch: Annotated[Switch, Field(description="Fetch a scene only where it is among the chosen")] = True
    rank: Annotated[
        Literal["area", "scene"], Field(description="Clear share of the area, or of what the scene shows of it")
    ] = "area"
    scout_factor: Annotated[Whole, Field(ge=1, le=64, description="How much coarser the first look is")] = 8
    max_cloud_cover: Annotated[
        Number | None, Field(ge=0, le=100, description="Per cent that the catalogue states of a whole scene")
    ] = None
    """None: no limit; scout sees for itself."""
    min_coverage: Annotated[Share, Field(description="Share of the area that a scene must show")] = 0.0
    platforms: tuple[Platform, ...] = ()
    """Satellites; empty means any."""
    orbits: tuple[Orbit, ...] = ()
    """Relative orbits; empty means any."""
    orbit_state: Literal["ascending", "descending"] | None = None
    """None: both."""
    aod_by_day: Mapping[Day, Annotated[Number, Field(ge=0, le=10)]] = {}
    """Day -> aerosol optical depth over the area, unitless."""
    aod_max: Annotated[Number | None, Field(ge=0, le=10, description="Hazier days of aod_by_day are left out")] = None
    reject_unknown: Annotated[Switch, Field(description="Leave out days that aod_by_day does not name")] = False
    max_view_zenith: Zenith | None = None
    max_sun_zenith: Zenith | None = None
    exclude: Annotated[tuple[str, ...], Field(description="Ids of catalogue items never to use")] = ()

    @field_validator("platforms", "orbits")
    @classmethod
    def _no_repeats(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        return distinct(value)

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        if self.coverage_target is not None and "top_k" in self.model_fields_set:
            raise ValueError(
                f"top_k, coverage_target: found both ({self.top_k} and {self.coverage_target:g}); "
                "give either a fixed number of scenes or a coverage to reach"
            )
        if self.max_k < self.min_k:
            raise ValueError(f"min_k, max_k: found {self.min_k} and {self.max_k}; min_k is the smaller one")
        return self

    @model_validator(mode="after")
    def _haze_is_known(self) -> Self:
        gates = {"aod_max": self.aod_max is not None, "reject_unknown": self.reject_unknown}
        written = [name for name, used in gates.items() if used]
        if written and not self.aod_by_day:
            raise ValueError(
                f"aod_by_day: found none, and {' and '.join(written)} says which of its days to leave out; "
                "give days with their aerosol optical depth, such as {2024-07-15: 0.12}"
            )
        return self
