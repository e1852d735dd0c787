"""The region file's words: what an analyst asks for, checked before anything runs."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import shapely
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.bands import SENTINEL2_BANDS, Level
from geo_assets.domain.errors import RegionError
from geo_assets.domain.geojson import geojson_area
from geo_assets.domain.modis_grid import MODIS_RESOLUTION, MODIS_TILE_PX, PIXEL_M, is_modis_tile
from geo_assets.domain.region_archive import archive_name, catalog_address, is_local
from geo_assets.domain.region_composite import CompositeSettings, ScoreWeights
from geo_assets.domain.region_mask import METRIC, PLUG_INS, ExternalFmask, Mask, OmniCloudMask, Scores, metric
from geo_assets.domain.region_mosaic import MosaicSettings
from geo_assets.domain.region_problems import told
from geo_assets.domain.region_selection import Selection
from geo_assets.domain.region_settings import Number, Settings, Whole, distinct
from geo_assets.domain.tile_grid import (
    TILE_EDGE_M,
    TileGrid,
    spatial_order,
    tile_exists,
    tile_footprint,
    tiles_of,
)
from geo_assets.domain.tile_month import Month, TileMonth, months_between

EARLIEST = Month(1972, 7)
"""First pictures of the first Landsat; no archive of this kind is older."""


class Months(Settings):
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


class StatsSettings(Settings):
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


class Region(Settings):
    """One region file: area, months, bands, resolution, archive, and the stations' settings."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    area: tuple[Number, Number, Number, Number] | dict[str, Any] | None = None
    """Bounding box (west, south, east, north) in degrees, or a GeoJSON object; EPSG:4326."""
    tiles: tuple[str, ...] = ()
    """Instead of an area: MGRS tiles, or MODIS tiles `hXXvYY` on the MODIS grid."""
    months: Months
    archive: str
    """Full name, or `local:PATH`."""
    catalog_url: str | None = None
    """Where the archive's STAC API is asked instead of at its usual address: a mirror."""
    collection: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = None
    """The one collection of the archive to use, such as `sentinel-2-c1-l2a`; None leaves it to the archive."""
    level: Annotated[
        Literal["auto"] | Level, Field(description="Reflectance: L1C top-of-atmosphere, the others surface")
    ] = "auto"
    """`auto`: L2A where the archive offers it with all the bands, else L1C; one level for the whole region."""
    bands: Annotated[tuple[str, ...], Field(min_length=1)]
    resolution: Whole
    """Pixel size in metres; `MODIS_RESOLUTION` stands for the native pixels of the MODIS grid."""
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

    @field_validator("archive")
    @classmethod
    def _known_archive(cls, value: str) -> str:
        return archive_name(value)

    @field_validator("catalog_url")
    @classmethod
    def _sound_address(cls, value: str | None) -> str | None:
        return None if value is None else catalog_address(value)

    @field_validator("bands")
    @classmethod
    def _known_bands(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for band in value:
            if band not in SENTINEL2_BANDS:
                raise ValueError(f"found {band!r}, expected one of {', '.join(SENTINEL2_BANDS)}")
        return distinct(value)

    @field_validator("resolution")
    @classmethod
    def _aligned(cls, value: int) -> int:
        return value if value == MODIS_RESOLUTION else metric(value)

    @field_validator("tiles")
    @classmethod
    def _existing(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for tile in value:
            if not tile_exists(tile):
                raise ValueError(
                    f"found {tile!r}, expected ids of tiles: Sentinel-2's, such as 33TVL, or MODIS', such as h18v04"
                )
        return distinct(value)

    @model_validator(mode="after")
    def _one_archive(self) -> Self:
        if self.archive == "demo" or is_local(self.archive):
            written = {"catalog_url": self.catalog_url, "collection": self.collection}
            for key, value in written.items():
                if value is not None:
                    raise ValueError(
                        f"{key}: found {value!r}, and archive {self.archive.partition(':')[0]} is read from files, "
                        f"not asked over a STAC API; leave {key} out, or choose another archive"
                    )
        return self

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        problem = _grid_problem(self)
        if problem:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _composite_has_its_input(self) -> Self:
        problem = self.composite.problem_with(self.bands, archive=self.archive, level=self.level)
        if problem:
            raise ValueError(problem)
        return self

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
        return spatial_order(self.tiles) if self.tiles else tiles_of(self.geometry, grid=self.grid)

    @property
    def grid(self) -> TileGrid:
        """Whose tiles they are: MODIS tiles exactly where `resolution` is `MODIS_RESOLUTION`."""
        return "modis" if self.resolution == MODIS_RESOLUTION else "mgrs"

    @property
    def pixel_m(self) -> float:
        """Edge of a pixel, metres."""
        return PIXEL_M if self.grid == "modis" else float(self.resolution)

    @property
    def feather_m(self) -> float:
        """Width over which neighbours are blended, metres; 0 on the MODIS grid, whose tiles share no ground."""
        return 0.0 if self.grid == "modis" else self.mosaic.feather_m

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
        """Feather width in whole pixels of the region's resolution, at least one."""
        return max(1, round(self.feather_m / self.resolution))

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Height and width of every tile in pixels."""
        if self.grid == "modis":
            return MODIS_TILE_PX, MODIS_TILE_PX
        edge = TILE_EDGE_M // self.resolution
        return edge, edge


def region_from(
    mapping: Mapping[str, Any],
    *,
    origin: str = "region file",
    now: datetime | None = None,
    plug_ins: Collection[str] = (),
) -> Region:
    """The region that a parsed region file describes.

    Parameters
    ----------
    mapping
        Keys of the region file; `area` holds numbers or a GeoJSON object (a path has been read already).
    origin
        Names the file in error messages.
    now
        Aware moment that decides which months are past; the clock's by default.
    plug_ins
        Names of installed detectors, which `mask.detectors` may list beside the built-in ones.

    Raises
    ------
    RegionError
        One line per problem: key, value, what is allowed.
    """
    present = Month.containing(now or datetime.now(UTC))
    try:
        region = Region.model_validate(dict(mapping), context={PLUG_INS: tuple(plug_ins)})
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
    "mask.external_fmask": tuple(ExternalFmask.model_fields),
    "mask.scores": tuple(Scores.model_fields),
    "mask.omnicloudmask": tuple(OmniCloudMask.model_fields),
    "composite": tuple(CompositeSettings.model_fields),
    "composite.weights": tuple(ScoreWeights.model_fields),
    "mosaic": tuple(MosaicSettings.model_fields),
    "stats": tuple(StatsSettings.model_fields),
}
"""Section of the region file -> its keys."""


def _grid_problem(region: Region) -> str | None:
    """Why archive, level, detectors, resolution and tiles do not belong to one grid; None where they do."""
    on_modis, archive = region.grid == "modis", region.archive
    if on_modis and archive != "mcd43a4" and not is_local(archive):
        return (
            f"resolution: found {MODIS_RESOLUTION}, which stands for the native grid of mcd43a4, and archive is "
            f"{archive}; expected {METRIC}"
        )
    if not on_modis and archive == "mcd43a4":
        return (
            f"resolution: found {region.resolution}, and archive is mcd43a4; expected {MODIS_RESOLUTION}, which "
            "stands for its native sinusoidal pixels of 463.31 m, the only grid that it is tiled in"
        )
    if region.level != "auto" and on_modis != (region.level == "NBAR"):
        return (
            f"level: found {region.level}, and resolution is {region.resolution}; NBAR belongs to the MODIS grid, "
            f"resolution {MODIS_RESOLUTION}, and no other level does"
        )
    for tile in region.tiles:
        if is_modis_tile(tile) != on_modis:
            expected = "MODIS tiles, such as h18v04" if on_modis else "Sentinel-2 tiles, such as 33TVL"
            return (
                f"tiles: found {tile!r}, and resolution {region.resolution} belongs to {expected}; change one of them"
            )
    if on_modis and not {"auto", "quality"}.issuperset(_detectors(region.mask)):
        return (
            f"mask.detectors: found {list(region.mask.detectors)}, and the MODIS grid has no detector but quality, "
            "the archive's own layer; write auto or [quality]"
        )
    joined = ("crs", "feather_m", "harmonise", "seamline")
    for key in joined if on_modis else ():
        if key in region.mosaic.model_fields_set:
            return (
                f"mosaic.{key}: found {getattr(region.mosaic, key)}, and MODIS tiles touch without sharing ground, so "
                "they are joined, not feathered, and stay in their own projection; leave it out"
            )
    return None


def _detectors(mask: Mask) -> tuple[str, ...]:
    return (mask.detectors,) if isinstance(mask.detectors, str) else mask.detectors


def _month(value: object) -> Month:
    try:
        return Month.parse(str(value))
    except RegionError as error:
        raise ValueError(f"found {value!r}, expected YYYY-MM, such as 2024-07") from error


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
