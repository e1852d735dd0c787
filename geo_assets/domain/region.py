"""The region file's words: what an analyst asks for, checked before anything runs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import shapely
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.bands import SENTINEL2_BANDS
from geo_assets.domain.errors import RegionError
from geo_assets.domain.geojson import geojson_area
from geo_assets.domain.region_problems import told
from geo_assets.domain.tile_grid import TILE_EDGE_M, spatial_order, tile_exists, tile_footprint, tiles_of
from geo_assets.domain.tile_month import Month, TileMonth, months_between

RESOLUTIONS_M = (10, 12, 15, 20, 30, 60)
"""Pixel sizes that divide 60 m, so that neighbouring tiles align."""

SMALLEST_OVERLAP_M = 9_780
"""Neighbouring tiles of one zone overlap by this or 60 m more."""

DetectorName = Literal["quality", "s2cloudless", "fmask"]
MaskClass = Literal["cloud", "shadow", "snow", "water"]

Whole = Annotated[int, Field(strict=True)]
"""A whole number as YAML writes it: no text, no true."""

Number = Annotated[float, Field(strict=True)]
"""A finite number as YAML writes it: no text, no true."""

EARLIEST = Month(1972, 7)
"""First pictures of the first Landsat; no archive of this kind is older."""


class _Settings(BaseModel):
    """Frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Months(_Settings):
    """First and last month, both included."""

    first: Month
    last: Month | None = None

    @field_validator("first", "last", mode="before")
    @classmethod
    def _parsed(cls, value: object, info: ValidationInfo) -> object:
        open_end = value is None and info.field_name == "last"
        return value if open_end or isinstance(value, Month) else _month(value)

    @field_validator("first")
    @classmethod
    def _not_too_early(cls, value: Month) -> Month:
        if value < EARLIEST:
            raise ValueError(f"no satellite archive is older than {EARLIEST}; correct the year")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last is not None and self.last < self.first:
            raise ValueError(f"last {self.last} lies before first {self.first}; swap them")
        return self


class Selection(_Settings):
    """Which scenes of a month are worth fetching."""

    top_k: Annotated[Whole, Field(ge=1, le=64, description="Scenes fetched for a tile and month")] = 3
    exclude: Annotated[tuple[str, ...], Field(description="Ids of catalogue items never to use")] = ()


class Mask(_Settings):
    """How clouds and shadows are found, and what the composite leaves out."""

    detectors: Literal["auto"] | tuple[DetectorName, ...] = "auto"
    """`auto`: the archive's quality layer, s2cloudless where L1C bands are at hand, an item's own Fmask file."""
    drop: tuple[MaskClass, ...] = ("cloud", "shadow")
    fmask_encoding: Annotated[
        Literal["fmask4", "python_fmask", "hls_bits"], Field(description="How an item's own Fmask file spells classes")
    ] = "fmask4"
    resolution: Annotated[Whole, Field(description="Pixel size at which s2cloudless works, metres")] = 60
    threshold: Annotated[Number, Field(gt=0, lt=1, description="Cloud where the probability is larger")] = 0.45
    average_over: Annotated[Whole, Field(ge=0, le=50, description="Smoothing disk radius, mask pixels")] = 1
    dilation_size: Annotated[Whole, Field(ge=0, le=50, description="Dilation disk radius, mask pixels")] = 1
    cloud_buffer_m: Annotated[Number, Field(ge=0, le=3000, description="Growth of cloud, metres")] = 0.0
    shadow_buffer_m: Annotated[Number, Field(ge=0, le=3000, description="Growth of shadow, metres")] = 0.0

    @field_validator("resolution")
    @classmethod
    def _divides_60(cls, value: int) -> int:
        return _resolution(value)

    @field_validator("detectors", "drop")
    @classmethod
    def _no_repeats(cls, value: Any) -> Any:
        return value if isinstance(value, str) else _distinct(value)


class CompositeSettings(_Settings):
    """How a month becomes one value per pixel."""

    method: Literal["best_pixel"] = "best_pixel"
    minimum_coverage: Annotated[Number, Field(ge=0, le=1, description="Share of the area, reported if missed")] = 0.0


class MosaicSettings(_Settings):
    """How neighbouring tiles become one picture."""

    feather_m: Annotated[Number, Field(gt=0, le=SMALLEST_OVERLAP_M / 2, description="Feather width, metres")] = 2400.0
    profile: Literal["cosine", "linear"] = "cosine"
    harmonise: Literal["none"] = "none"
    seam_gate: Literal["report"] = "report"


class StatsSettings(_Settings):
    """What the normalization statistics leave out."""

    clip_percentiles: tuple[
        Annotated[Number, Field(ge=0, le=100)], Annotated[Number, Field(ge=0, le=100)]
    ] = (1.0, 99.0)  # fmt: skip

    @field_validator("clip_percentiles")
    @classmethod
    def _in_order(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError(f"{value[0]} is not below {value[1]}; give the lower percentile first")
        return value


class Region(_Settings):
    """One region file: area, months, bands, resolution, archive, and the stations' settings."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    area: tuple[Number, Number, Number, Number] | dict[str, Any] | None = None
    """Bounding box (west, south, east, north) in degrees, or a GeoJSON object; EPSG:4326."""
    tiles: tuple[str, ...] = ()
    """Instead of an area: MGRS tiles."""
    months: Months
    archive: Annotated[str, Field(pattern=r"^(demo|local:.+)$")]
    level: Annotated[
        Literal["auto", "L1C", "L2A"], Field(description="Reflectance: L1C top-of-atmosphere, L2A surface")
    ] = "auto"
    """`auto`: L2A where the archive offers it with all the bands, else L1C; one level for the whole region."""
    bands: Annotated[tuple[str, ...], Field(min_length=1)]
    resolution: Whole
    selection: Selection = Selection()
    mask: Mask = Mask()
    max_tiles: Annotated[Whole, Field(ge=1, le=10_000)] = 16
    composite: CompositeSettings = CompositeSettings()
    mosaic: MosaicSettings = MosaicSettings()
    stats: StatsSettings = StatsSettings()

    @field_validator("area", mode="before")
    @classmethod
    def _sound_area(cls, value: object) -> object:
        return _checked_area(value)

    @field_validator("bands")
    @classmethod
    def _known_bands(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for band in value:
            if band not in SENTINEL2_BANDS:
                raise ValueError(f"found {band!r}, expected one of {', '.join(SENTINEL2_BANDS)}")
        return _distinct(value)

    @field_validator("resolution")
    @classmethod
    def _divides_60(cls, value: int) -> int:
        return _resolution(value)

    @field_validator("tiles")
    @classmethod
    def _existing(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for tile in value:
            if not tile_exists(tile):
                raise ValueError(f"found {tile!r}, expected ids of Sentinel-2 tiles, such as 33TVL")
        return _distinct(value)

    @model_validator(mode="after")
    def _one_ground(self) -> Self:
        if (self.area is None) == (not self.tiles):
            raise ValueError(
                f"area, tiles: found {'both' if self.tiles else 'neither'}; "
                "give either area (a bounding box or GeoJSON) or tiles"
            )
        try:
            count = len(self.tile_ids)
        except RegionError as error:
            raise ValueError(f"area: {error}") from error
        if count > self.max_tiles:
            raise ValueError(
                f"the area covers {count} tiles and max_tiles is {self.max_tiles}; "
                f"choose a smaller area, or set max_tiles: {count} on purpose"
            )
        if self.mosaic.feather_m < self.resolution:
            raise ValueError(
                f"mosaic.feather_m {self.mosaic.feather_m:g} is under one pixel of {self.resolution} m; "
                f"give at least {self.resolution}"
            )
        return self

    @cached_property
    def geometry(self) -> BaseGeometry:
        """The area, EPSG:4326, longitudes -180..180, split at the antimeridian."""
        if self.tiles:
            return shapely.union_all([tile_footprint(tile) for tile in self.tiles])
        if isinstance(self.area, dict):
            return geojson_area(self.area)
        assert self.area is not None  # held by _one_ground
        return _box(self.area)

    @cached_property
    def tile_ids(self) -> tuple[str, ...]:
        """The tiles that hold any of the area, in spatial order."""
        return spatial_order(self.tiles) if self.tiles else tiles_of(self.geometry)

    @property
    def month_list(self) -> tuple[Month, ...]:
        """Every month asked for, in order of time; needs `last` (see `region_from`)."""
        assert self.months.last is not None  # region_from fills it in
        return months_between(self.months.first, self.months.last)

    @cached_property
    def tile_months(self) -> tuple[TileMonth, ...]:
        """Every partition: months in order, tiles in spatial order within each."""
        tiles = self.tile_ids
        return tuple(TileMonth(tile, month) for month in self.month_list for tile in tiles)

    @property
    def feather_px(self) -> int:
        """Feather width in whole pixels of the region's resolution."""
        return max(1, round(self.mosaic.feather_m / self.resolution))

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Height and width of every tile in pixels."""
        edge = TILE_EDGE_M // self.resolution
        return edge, edge


def region_from(mapping: Mapping[str, Any], *, origin: str = "region file", now: datetime | None = None) -> Region:
    """The region that a parsed region file describes.

    Parameters
    ----------
    mapping
        Keys of the region file; `area` holds numbers or a GeoJSON object (a path has been read already).
    origin
        Names the file in error messages.
    now
        Aware moment that decides which months are past; the clock's by default.

    Raises
    ------
    RegionError
        One line per problem: key, value, what is allowed.
    """
    present = Month.containing(now or datetime.now(UTC))
    try:
        region = Region.model_validate(dict(mapping))
    except ValidationError as failure:
        lines = "\n".join(f"  {line}" for line in told(failure.errors(), _KEYS))
        raise RegionError(f"{origin}:\n{lines}") from None
    asked = region.months.last or region.months.first
    if asked > present:
        key = "last" if region.months.last else "first"
        raise RegionError(
            f"{origin}:\n  months.{key}: found {asked}, which lies in the future; expected {present} at the latest. "
            "Correct it, or leave out months.last to go up to the last full month."
        )
    last = region.months.last or max(present.previous, region.months.first)
    return region.model_copy(update={"months": Months(first=region.months.first, last=last)})


_KEYS = {
    "": tuple(Region.model_fields),
    "months": tuple(Months.model_fields),
    "selection": tuple(Selection.model_fields),
    "mask": tuple(Mask.model_fields),
    "composite": tuple(CompositeSettings.model_fields),
    "mosaic": tuple(MosaicSettings.model_fields),
    "stats": tuple(StatsSettings.model_fields),
}
"""Section of the region file -> its keys."""


def _month(value: object) -> Month:
    try:
        return Month.parse(str(value))
    except RegionError as error:
        raise ValueError(f"found {value!r}, expected YYYY-MM, such as 2024-07") from error


def _resolution(value: int) -> int:
    if value not in RESOLUTIONS_M:
        raise ValueError(
            f"expected one of {', '.join(map(str, RESOLUTIONS_M))} metres (they divide 60, so tiles align)"
        )
    return value


def _distinct(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(value)) != len(value):
        raise ValueError("a value is repeated; name each once")
    return value


def _box(bounds: tuple[float, float, float, float]) -> BaseGeometry:
    west, south, east, north = bounds
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union_all([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])


def _checked_area(area: object) -> object:
    """`area` as given, or `ValueError` with the remedy."""
    if isinstance(area, dict):
        geojson_area(area)
        return area
    numbers = isinstance(area, (list, tuple)) and all(type(number) in (int, float) for number in area)
    if not isinstance(area, (list, tuple)) or not numbers or len(area) != 4:
        raise ValueError("expected four numbers [west, south, east, north] in degrees, or GeoJSON")
    west, south, east, north = area
    if not (-90 <= south < north <= 90):
        raise ValueError("expected [west, south, east, north] with -90 <= south < north <= 90")
    if not (-180 <= west <= 180 and -180 <= east <= 180) or west == east:
        raise ValueError("expected different longitudes in -180..180; west > east means across the antimeridian")
    if west > east and (west - east) < 180:
        raise ValueError("west lies east of east; swap them (only an area across the antimeridian has west > east)")
    return area
