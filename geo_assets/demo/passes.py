"""The satellites' calendar over the demo: which overpass when, in what weather, processed how, cut where."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import asin, atan2, cos, degrees, pi, radians, sin, tan

import shapely
from pyproj import Transformer

from geo_assets.demo.noise import unit_draw
from geo_assets.demo.plan import DemoPlan
from geo_assets.domain.bands import OFFSET_SINCE_BASELINE_4
from geo_assets.domain.tile_month import Month

OLD_BASELINE, NEW_BASELINE = "02.14", "05.10"

HalfPlane = tuple[float, float, float]
"""(a, b, c): ground where ``a * easting + b * northing + c >= 0``."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What lies between ground and sensor on one date."""

    cloud_share: float
    """Of the window, thicker than half opaque."""
    cell_m: float
    """Size of the largest cloud masses."""
    softness: float
    """0-1: how slowly opacity rises from a cloud's edge inwards."""
    height_m: float
    """Of the clouds above ground; it sets how far their shadows fall."""
    haze: float = 0.0
    """0-1, even over the window."""
    cirrus: float = 0.0
    """0-1: opacity of the thickest ice cloud."""


_FAIR = Weather(0.07, 2600, 0.10, 1700)
_FAIR_WITH_CIRRUS = Weather(0.09, 3400, 0.12, 1500, cirrus=0.30)
_HAZY = Weather(0.15, 3000, 0.13, 2200, haze=1.0)
_OVERCAST = Weather(0.93, 7000, 0.30, 1200)
_SCATTERED = Weather(0.36, 3800, 0.12, 2600, cirrus=0.75)

_SLOTS = (  # (relative orbit, which of its overpasses in the month, weather); a plan takes the first few
    (122, 0, _FAIR), (79, 3, _FAIR_WITH_CIRRUS), (122, 2, _HAZY), (79, 4, _OVERCAST), (122, 1, _SCATTERED),
    (79, 0, _SCATTERED), (122, 4, _OVERCAST), (79, 1, _HAZY), (122, 3, _SCATTERED), (79, 2, _OVERCAST),
)  # fmt: skip
_FAIR_SLOT, _OLD_SLOT = 0, 4

_SWATH_SLOPE = 0.23
"""Metres eastward per metre northward along a swath's edge: a descending pass at 46 degrees."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One overpass over the whole window."""

    slot: int
    platform: str
    """`S2A` or `S2B`."""
    started: datetime
    """Datatake start, UTC."""
    relative_orbit: int
    absolute_orbit: int
    weather: Weather
    baseline: str
    offset_applied: bool
    """L2A counts were shifted back already, as Earth Search usually does; else, since baseline 04.00, not."""
    gain: float
    offset: float
    """What the atmospheric correction got wrong that day: surface reflectance x gain + offset."""
    sun_azimuth: float
    sun_elevation: float
    seed: int

    @property
    def name(self) -> str:
        """`S2A_20240603`: names its truth."""
        return f"{self.platform}_{self.started:%Y%m%d}"

    @property
    def month(self) -> Month:
        """The month it falls in."""
        return Month.containing(self.started)

    @property
    def shadow_shift_m(self) -> tuple[float, float]:
        """Easting and northing from a cloud to its shadow, metres: away from the sun."""
        length = self.weather.height_m / tan(radians(self.sun_elevation))
        azimuth = radians(self.sun_azimuth)
        return -length * sin(azimuth), -length * cos(azimuth)


@dataclass(frozen=True, slots=True)
class Granule:
    """One acquisition over one tile, as one item shows it."""

    acquisition: Acquisition
    tile: str
    sequence: int
    """Last number of the item's id: Earth Search counts processings and datastrips of one day."""
    strip: int
    """Which datastrip of the datatake, 0 or 1."""
    cuts: tuple[HalfPlane, ...]
    """Data lie in all of these, and in the tile's part of the window."""
    gain: float
    """Small gain of this tile on this date, on top of the acquisition's."""
    region: shapely.Polygon
    """Where the data lie, in the tiles' UTM CRS."""

    def item_id(self, level: str) -> str:
        """Earth Search's id, such as `S2A_33TVL_20240603_0_L2A`."""
        day = f"{self.acquisition.started:%Y%m%d}"
        return f"{self.acquisition.platform}_{self.tile}_{day}_{self.sequence}_{level}"

    def added_counts(self, level: str) -> int:
        """What is still added to the counts: 1000 where the reader has to subtract it."""
        done = self.acquisition.baseline < "04.00" or (level == "L2A" and self.acquisition.offset_applied)
        return 0 if done else -OFFSET_SINCE_BASELINE_4


def acquisitions(plan: DemoPlan, month: Month) -> tuple[Acquisition, ...]:
    """The plan's overpasses of a month, in order of time."""
    overpasses: dict[int, list[tuple[datetime, str]]] = {orbit: _overpasses(month, orbit) for orbit in (79, 122)}
    chosen = []
    for slot, (orbit, nth, weather) in enumerate(_SLOTS[: plan.acquisitions]):
        turned = (nth + month.number) % 5  # so that the weather falls on other days in other months
        chosen.append(_acquisition(plan, month, slot, orbit, *overpasses[orbit][turned], weather))
    return tuple(sorted(chosen, key=lambda acquisition: acquisition.started))


def granules(plan: DemoPlan, acquisition: Acquisition) -> tuple[Granule, ...]:
    """The items of an overpass: a tile each, except where a scene was processed twice or cut into datastrips.

    In the first month the fair day's first tile comes in two processings, the older one wrong by several per
    cent; in the last month the fair day's last tile comes as two datastrips, each with a part of the ground.
    """
    swath = (_swath_edge(plan),) if acquisition.relative_orbit == 79 else ()
    made: list[Granule] = []
    for tile in plan.tiles:
        gain = 1.0 + 0.03 * (unit_draw(plan.seed, acquisition.name, tile) - 0.5)
        whole = Granule(acquisition, tile, 0, 0, swath, gain, shapely.Polygon())
        fair, month = acquisition.slot == _FAIR_SLOT, str(acquisition.month)
        if fair and month == plan.months[0] and tile == plan.tiles[0]:
            spoiled = replace(
                acquisition,
                baseline=OLD_BASELINE,
                gain=acquisition.gain * 1.08,
                offset=acquisition.offset + 0.02,
            )
            made += [replace(whole, acquisition=spoiled), replace(whole, sequence=1)]
        elif fair and month == plan.months[-1] and tile == plan.tiles[3]:
            for strip, cut in enumerate(_strip_cuts(plan, tile)):
                made.append(replace(whole, sequence=strip, strip=strip, cuts=(*swath, cut)))
        else:
            made.append(whole)
    shaped = [replace(granule, region=_region(plan, granule)) for granule in made]
    return tuple(granule for granule in shaped if granule.region.area > plan.l1c_resolution**2)


def _acquisition(
    plan: DemoPlan, month: Month, slot: int, orbit: int, started: datetime, platform: str, weather: Weather
) -> Acquisition:
    def draw(what: str) -> float:
        return unit_draw(plan.seed, month, slot, what)

    old = slot == _OLD_SLOT and str(month) == plan.months[0]
    azimuth, elevation = _sun(plan, started)
    return Acquisition(
        slot=slot,
        platform=platform,
        started=started,
        relative_orbit=orbit,
        absolute_orbit=_absolute_orbit(platform, started),
        weather=replace(weather, height_m=weather.height_m * (0.8 + 0.4 * draw("height"))),
        baseline=OLD_BASELINE if old else NEW_BASELINE,
        offset_applied=not old and slot % 2 == 0,
        gain=0.97 + 0.06 * draw("gain"),
        offset=0.02 * (draw("offset") - 0.5),
        sun_azimuth=azimuth,
        sun_elevation=elevation,
        seed=int(draw("sky") * 2**31),
    )


_FIRST_PASS = {  # (platform, relative orbit): a true overpass of 33TVL; each returns every ten days
    ("S2A", 122): datetime(2024, 6, 3, 10, 0, 31, tzinfo=UTC),
    ("S2B", 122): datetime(2024, 6, 8, 10, 5, 59, tzinfo=UTC),
    ("S2A", 79): datetime(2024, 6, 10, 9, 50, 31, tzinfo=UTC),
    ("S2B", 79): datetime(2024, 6, 5, 9, 55, 49, tzinfo=UTC),
}
_ORBITS_A_CYCLE = 143
_ABSOLUTE_ORBIT = {
    "S2A": (datetime(2024, 6, 3, 10, tzinfo=UTC), 46737),
    "S2B": (datetime(2024, 6, 8, 10, tzinfo=UTC), 37900),
}


def _overpasses(month: Month, orbit: int) -> list[tuple[datetime, str]]:
    """Start and platform of an orbit's overpasses in a month, five to seven, in order of time."""
    found = []
    for (platform, relative_orbit), known in _FIRST_PASS.items():
        if relative_orbit == orbit:
            cycles = -((known - month.begin) // timedelta(days=10))
            moment = known + timedelta(days=10) * cycles
            while moment < month.next.begin:
                found.append((moment, platform))
                moment += timedelta(days=10)
    return sorted(found)


def _absolute_orbit(platform: str, moment: datetime) -> int:
    known, number = _ABSOLUTE_ORBIT[platform]
    return number + round((moment - known) / timedelta(days=10) * _ORBITS_A_CYCLE)


def _sun(plan: DemoPlan, moment: datetime) -> tuple[float, float]:
    """Azimuth (clockwise from north) and elevation in degrees over the window; Cooper's declination."""
    west, south, east, north = plan.window_bounds
    to_degrees = Transformer.from_crs(plan.epsg, 4326, always_xy=True).transform
    longitude, latitude = to_degrees((west + east) / 2, (south + north) / 2)
    declination = radians(23.45) * sin(2 * pi * (284 + moment.timetuple().tm_yday) / 365)
    hours = moment.hour + moment.minute / 60 + moment.second / 3600 + longitude / 15 - 12
    angle, phi = radians(15 * hours), radians(latitude)
    height = asin(sin(phi) * sin(declination) + cos(phi) * cos(declination) * cos(angle))
    height = max(height, radians(5))  # another place may have night at the demo's overpass
    east_part = -cos(declination) * sin(angle)
    north_part = sin(declination) * cos(phi) - cos(declination) * sin(phi) * cos(angle)
    azimuth = degrees(atan2(east_part, north_part)) % 360
    return round(azimuth, 4), round(degrees(height), 4)


def _swath_edge(plan: DemoPlan) -> HalfPlane:
    """The western edge of orbit 79's swath, diagonally through the window."""
    west, south, _, north = plan.window_bounds
    edge = west + 0.42 * plan.window_m
    return 1.0, -_SWATH_SLOPE, -edge + _SWATH_SLOPE * (south + north) / 2


def _strip_cuts(plan: DemoPlan, tile: str) -> tuple[HalfPlane, HalfPlane]:
    """Where the northern and the southern datastrip have data; a strip across the track is in both."""
    west, south, east, north = plan.part_bounds(tile)
    middle_east, middle_north = (west + east) / 2, (south + north) / 2
    shared = 0.02 * plan.window_m
    level = middle_north + _SWATH_SLOPE * middle_east
    return (_SWATH_SLOPE, 1.0, -level + shared), (-_SWATH_SLOPE, -1.0, level + shared)


def _region(plan: DemoPlan, granule: Granule) -> shapely.Polygon:
    """The tile's part of the window, less what the cuts take; empty if nothing is left."""
    outline = shapely.box(*plan.part_bounds(granule.tile))
    far = 10.0 * plan.window_m
    for a, b, c in granule.cuts:
        middle = outline.centroid
        if outline.is_empty:
            break
        distance = (a * middle.x + b * middle.y + c) / (a * a + b * b)
        foot = (middle.x - a * distance, middle.y - b * distance)
        inside = shapely.Polygon([
            (foot[0] - b * far, foot[1] + a * far), (foot[0] + b * far, foot[1] - a * far),
            (foot[0] + b * far + a * far, foot[1] - a * far + b * far),
            (foot[0] - b * far + a * far, foot[1] + a * far + b * far),
        ])  # fmt: skip
        outline = outline.intersection(inside)
    return outline
