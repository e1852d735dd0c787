"""A scene: one acquisition over one tile, as an archive describes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import shapely
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.bands import Level

HALVES_OVERLAP_LESS_THAN = 0.5
"""Two datastrips of one acquisition are complementary halves when their footprints share less of the smaller one."""


Quality: TypeAlias = Literal["scl", "hls_fmask", "mcd43a4", "none"]
"""How an item says which pixels are clear: SCL classes, HLS Fmask bits, MCD43A4's quality per band, or not at all."""

GRANULE_METADATA = "granule_metadata"
"""Asset of Sentinel-2: XML with the grids of sun and view angles, `MTD_TL.xml` or `metadata.xml`."""

ANGLE_LAYERS = ("sza", "saa", "vza", "vaa")
"""Assets of HLS: zenith and azimuth of the sun and of the view, rasters of hundredths of a degree."""

ANGLE_ASSETS = frozenset({GRANULE_METADATA, *ANGLE_LAYERS})
"""Assets that tell angles: neither bands nor layers of quality."""

OrbitState: TypeAlias = Literal["ascending", "descending"]
"""Which way the satellite flew."""


@dataclass(frozen=True, slots=True)
class SceneAsset:
    """One band's file."""

    href: str
    """Unsigned, as the catalogue has it, without query: relative to the archive's root, http(s) or s3."""
    band_index: int = 1
    """1-based band of the file."""
    size_bytes: int | None = None
    """As the catalogue states; None where it does not."""
    checksum: str | None = None
    """Multihash in hexadecimal, as the catalogue states (STAC `file:checksum`)."""
    nodata: int | None = None
    """Count that means no data, whatever the file's header says; None leaves it to the header."""
    alternate: str | None = None
    """Another address of the same bytes, http(s) and unsigned, for those who have no keys to `href`."""
    archive: str = ""
    """Name of the archive that opens it; empty: the region's own."""


@dataclass(frozen=True, slots=True)
class SceneItem:
    """One catalogue item: a datastrip of an acquisition over one tile, at one processing level."""

    id: str
    level: Level
    acquired: datetime
    """Sensing time, UTC."""
    datatake: str
    """Identity of the acquisition: datatake start where stated, else the sensing time; `YYYYMMDDTHHMMSS`."""
    platform: str
    relative_orbit: int | None
    tile: str | None
    """MGRS tile, or MODIS tile `hXXvYY`; None when the catalogue does not say."""
    datastrip: str
    baseline: str
    """Processing baseline `NN.NN`; empty when not stated."""
    generated: str
    """When this processing was made, ISO time; empty when not stated."""
    offset_dn: int
    """To be added to stored counts before scaling: 0, or -1000 since baseline 04.00, as the metadata asserts."""
    footprint: BaseGeometry
    """Where it has data, EPSG:4326."""
    cloud_cover: float | None
    """Per cent, as the catalogue states; never trusted for selection."""
    digest: str
    """sha256 of the canonical item: changes when the catalogue's answer does."""
    assets: Mapping[str, SceneAsset]
    """Stable band name, layer (`scl`, `fmask`, `aot`, `qa_<band>` of MCD43A4) or one of `ANGLE_ASSETS` -> file."""
    collection: str
    """The catalogue's collection; empty when it names none."""
    quality: Quality
    """How it says which pixels are clear."""
    offset_doubtful: bool = False
    """True when the metadata's signals about the offset disagree, or are silent: then pixels must decide."""
    sun_zenith: float | None = None
    """Mean angle of the sun from the zenith, degrees."""
    view_zenith: float | None = None
    """Mean angle of the view from the zenith, degrees."""
    orbit_state: OrbitState | None = None
    sun_azimuth: float | None = None
    """Mean direction from the ground to the sun, degrees clockwise from north, 0 to 360."""
    view_azimuth: float | None = None
    """The same to the sensor."""

    @property
    def archive(self) -> str:
        """Name of the archive that opens its files; empty: the region's own."""
        return next((asset.archive for asset in self.assets.values()), "")

    @property
    def acquisition_key(self) -> tuple[str, str, int, str]:
        """Platform, datatake start, relative orbit and tile: one acquisition, whatever its processing."""
        return (self.platform, self.datatake, self.relative_orbit or 0, self.tile or "")

    @property
    def processing_rank(self) -> tuple[tuple[int, ...], str, str]:
        """Orders processings of one acquisition: higher baseline, then newer generation, then id."""
        digits = tuple(int(part) for part in self.baseline.split(".") if part.isdigit())
        return (digits, self.generated, self.id)


@dataclass(frozen=True, slots=True)
class Scene:
    """One acquisition over one tile: its item, or its complementary datastrips, and its L1C companion if any."""

    parts: tuple[SceneItem, ...]
    """Items that together cover the acquisition, in order of id; where two hold data the first one counts."""
    companions: tuple[SceneItem, ...] = ()
    """L1C items of the same acquisition, for detectors that need top-of-atmosphere bands."""

    @property
    def id(self) -> str:
        """The first part's id, which names the scene in products."""
        return self.parts[0].id

    @property
    def level(self) -> Level:
        """Processing level of its reflectance."""
        return self.parts[0].level

    @property
    def acquired(self) -> datetime:
        """Sensing time of its first part, UTC."""
        return self.parts[0].acquired

    @property
    def footprint(self) -> BaseGeometry:
        """Where any part has data, EPSG:4326."""
        return shapely.union_all([part.footprint for part in self.parts])

    @property
    def toa_parts(self) -> tuple[SceneItem, ...]:
        """Its L1C items: its own parts, or its companions; empty when no archive has them."""
        return self.parts if self.level == "L1C" else self.companions


def are_complementary(one: SceneItem, other: SceneItem) -> bool:
    """True when two items of one acquisition are halves of it rather than two processings of the same ground.

    Different datastrips whose footprints share less than half of the smaller one (DOMAIN rule: comparing the
    date alone would drop one half of every acquisition that a datastrip border crosses).
    """
    if one.datastrip == other.datastrip:
        return False
    smaller = min(one.footprint.area, other.footprint.area)
    return bool(one.footprint.intersection(other.footprint).area < HALVES_OVERLAP_LESS_THAN * smaller)
