"""One scene's files wherever they lie: a SAFE folder, a STAC item or a folder of bands; read onto one grid."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import NODATA_DN, NODATA_REFLECTANCE, SATURATED_REFLECTANCE, ReflectanceCount
from geo_assets.domain.bands import QUANTIFICATION, SENTINEL2_BANDS, Level, stable_name
from geo_assets.domain.errors import ArchiveError, AssetLostError, DetectorError, GridMismatchError
from geo_assets.domain.scene import SceneItem
from geo_assets.io.angles import AngleFinding, angles_on, safe_angles, scene_angles
from geo_assets.io.archives.archive import Query
from geo_assets.io.archives.local import LocalArchive
from geo_assets.io.reads.band import BandReader, Content, open_band
from geo_assets.io.reads.band_file import BandFile, FileFacts
from geo_assets.io.reads.byte_source import ByteSource, LocalFile
from geo_assets.io.safe.folder import read_safe
from geo_assets.io.safe.xml import LARGEST_METADATA_BYTES
from geo_assets.kernels.angles import angles_from
from geo_assets.kernels.detection import DetectorInput
from geo_assets.kernels.offsets import OFFSET_TEST_BANDS, decided_offset
from geo_assets.stations.offset_findings import OffsetFinding, is_tested
from geo_assets.stations.scene_mask import (
    COARSEST_M,
    FINEST_M,
    GivenAngles,
    Progress,
    in_words,
    offset_doubt,
)

_ITEM_FILES = ("item.json", "items.json", "catalog.json", "collection.json")
_ITEM_SUFFIXES = (".json", ".geojson")
_SAFE_METADATA = ("MTD_MSIL1C.xml", "MTD_MSIL2A.xml")
_BAND_SUFFIXES = (".tif", ".tiff", ".jp2")
_SEPARATORS = re.compile(r"[_.\-\s]+")
_DTYPES = ("uint16", "int16")
_EDGE_TOLERANCE = 0.01
"""Pixels of the finest band by which the edges of two bands may differ."""
_STRIP_PX = 512
_TEST_PX = 1 << 20
_LARGEST_QUANTIFICATION = 20_000
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
_EVERYWHERE = shapely.box(-180, -90, 180, 90)


@dataclass(frozen=True, slots=True)
class BandPlace:
    """Where the pixels of one band lie."""

    open: Callable[[], ByteSource]
    """Opens its file; whoever calls it closes it."""
    band_index: int = 1
    """Counted from 1."""
    nodata: float | None = None
    """Stored count that means none, where it is known better than by the file."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneSource:
    """One scene's bands, and what its metadata say of them."""

    name: str
    """What messages call it."""
    kind: str
    """As `SAFE folder`."""
    level: Level
    bands: Mapping[str, BandPlace]
    """Stable name -> file."""
    offset_dn: int
    """Added to counts, as the metadata have it; 0 where there are none."""
    offset_source: str
    """Who says so."""
    quantification: int = QUANTIFICATION
    """Counts per unit reflectance."""
    angles: Callable[[GeoBox], AngleFinding] = field(
        default=lambda _: AngleFinding(None, "none: no metadata and no --sun-zenith with --sun-azimuth")
    )
    """Sun and view over a grid."""
    item: SceneItem | None = None
    """The catalogue's item, where the pixels may have to decide the offset."""
    close: Callable[[], None] = lambda: None
    """To be called when all is read."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadScene:
    """A scene's bands in memory, on one grid, and what was found out about them."""

    input: DetectorInput
    geobox: GeoBox
    angles_source: str
    """Where the angles come from, or why there are none."""
    offset_dn: int
    """That was added to the counts."""
    offset_source: str
    doubts: tuple[str, ...]
    """What the pixels say against it."""


@contextmanager
def scene_source(path: Path, *, item: str | None = None, tile: str | None = None) -> Iterator[SceneSource]:
    """A scene by its path: SAFE folder, STAC item (a file, or a folder with one), or folder of band files.

    Parameters
    ----------
    path
        A folder called `.SAFE` or with `GRANULE` in it, else with `item.json` or another STAC file, else with files
        such as `B02.tif`, `T33TVL_..._B02.jp2` or `blue.tif`; or a STAC file itself.
    item
        Id, where a STAC file has several items.
    tile
        MGRS tile, where a SAFE folder of before 2017 has several.

    Raises
    ------
    ArchiveError
        There is none of all that, it is unreadable, it is a part of a SAFE folder, it holds several scenes and none is
        named, or one is named where there is no choice.
    DetectorError
        Two files for one band.
    """
    if address := re.match(r"([a-z][a-z0-9]+:)/+(.*)", str(path)):
        raise ArchiveError(
            f"Scene {address[1]}//{address[2]}: found an address, expected a path. Save the STAC item as a file: what "
            "it links to may stay where it is."
        )
    if path.is_dir() and (path.suffix.upper() == ".SAFE" or (path / "GRANULE").is_dir()):
        _expect_no_choice(path, "a SAFE folder", item=item)
        found = _of_safe(path, tile)
    elif _is_json(path) or any((path / name).is_file() for name in _ITEM_FILES):
        _expect_no_choice(path, "a STAC file", tile=tile)
        found = _of_stac(path, item)
    else:
        _expect_no_choice(path, "a folder of bands", item=item, tile=tile)
        found = _of_folder(path)
    try:
        yield found
    finally:
        found.close()


def read_scene(
    source: SceneSource,
    names: Sequence[str],
    *,
    resolution_m: float | None,
    offset: int | None = None,
    quantification: int | None = None,
    angles: GivenAngles = None,
    progress: Progress | None = None,
) -> ReadScene:
    """Bands of a scene as reflectance on one grid: averages downwards, bilinear upwards.

    Parameters
    ----------
    source
        The scene.
    names
        Stable names of the bands to be read, all of which it has.
    resolution_m
        Pixel size; None is that of the finest of the bands, and their own pixels.
    offset, quantification
        Instead of what the scene's metadata say.
    angles
        Instead of those of the metadata.
    progress
        Told of every band.

    Raises
    ------
    GridMismatchError
        Bands of different CRSs or extents, or without place.
    DetectorError
        Pixels that are neither uint16 nor int16; a resolution or quantification out of range.
    ArchiveError
        A file cannot be read; the metadata contradict each other on the offset, and the pixels do not tell.
    """
    facts = {name: _facts(source, name) for name in names}
    _expect_one_place(source.name, facts)
    grid = _grid(source.name, facts, resolution_m)
    per_unit = _quantification(source, quantification)
    stored: dict[str, ReflectanceCount] = {}
    nodata: dict[str, int] = {}
    for number, name in enumerate(names):
        if progress is not None:
            progress(f"read {name}", number / len(names))
        stored[name], nodata[name] = _on_grid(source, name, grid)
    offset_dn, offset_source, doubts = _offset(source, stored, offset)
    finding = source.angles(grid) if angles is None else None
    metres = _pixel_m(grid)
    visible = [stored[name] for name in ("blue", "green", "red") if name in stored] or list(stored.values())
    known = angles_from(angles) if finding is None else angles_on(finding, metres)
    valid = np.logical_and.reduce([counts != NODATA_REFLECTANCE for counts in visible])
    for name, counts in stored.items():
        if nodata[name] == NODATA_DN:  # a single 0 in a pixel that was seen is a dark one: real scenes have them
            counts[valid & (counts == NODATA_REFLECTANCE)] = 0
    return ReadScene(
        input=DetectorInput(
            bands={name: _reflectance(counts, offset_dn, per_unit) for name, counts in stored.items()},
            valid=valid,
            angles=known,
            resolution_m=metres,
            level=source.level,
            geobox=grid,
            scene=source.name,
        ),
        geobox=grid,
        angles_source=finding.source if finding is not None else "as given",
        offset_dn=offset_dn,
        offset_source=offset_source,
        doubts=doubts,
    )


def _of_safe(folder: Path, tile: str | None) -> SceneSource:
    product = read_safe(folder, tile=tile)
    return SceneSource(
        name=folder.name.removesuffix(".SAFE"),
        kind=f"SAFE folder, baseline {product.baseline}",
        level=product.level,
        bands={name: _local(path, f"{folder.name}, band {name}") for name, path in product.bands.items()},
        offset_dn=product.offset_dn,
        offset_source="MTD_MSIL1C.xml" if product.level == "L1C" else "MTD_MSIL2A.xml",
        quantification=product.quantification,
        angles=lambda grid: safe_angles(product, grid),
    )


def _of_stac(path: Path, wanted: str | None) -> SceneSource:
    archive = LocalArchive(path)
    answer = archive.find(Query(_EVERYWHERE, *_ALWAYS))
    found = {one.id: one for one in answer.items if wanted in (None, one.id)}
    if len(found) != 1:
        unusable = "; ".join(f"{one.item}: {one.reason}" for one in answer.excluded)
        listed = ", ".join(one.id for one in answer.items) or "none"
        archive.close()
        raise ArchiveError(
            f"STAC {path}: found {len(found)} usable items{f' called {wanted}' if wanted else ''} (in all: {listed}), "
            f"expected one.{f' Not usable: {unusable}.' if unusable else ''} Name one with --item, or the item's file."
        )
    (item,) = found.values()

    def read_bytes(of: SceneItem, asset: str) -> bytes:
        with closing(archive.open(of.assets[asset], where=f"Item {of.id}, {asset}")) as file:
            return file.head(LARGEST_METADATA_BYTES + 1)

    def read_layer(of: SceneItem, asset: str, _: GeoBox) -> NDArray[Any]:
        raise AssetLostError(f"Item {of.id}, {asset}: layers of angles belong to HLS, which no detector here judges.")

    def place_of(of: SceneItem, name: str) -> BandPlace:
        asset = of.assets[name]
        return BandPlace(
            lambda: archive.open(asset, where=f"Item {of.id}, band {name}"), asset.band_index, asset.nodata
        )

    return SceneSource(
        name=item.id,
        kind="STAC item",
        level=item.level,
        bands={name: place_of(item, name) for name in SENTINEL2_BANDS if name in item.assets},
        offset_dn=item.offset_dn,
        offset_source="STAC item",
        angles=lambda grid: scene_angles([item], read_bytes, read_layer, grid),
        item=item,
        close=archive.close,
    )


def _is_json(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in _ITEM_SUFFIXES


def _expect_no_choice(path: Path, kind: str, **given: str | None) -> None:
    """Refuse an option by which nothing can be chosen."""
    for name, value in given.items():
        if value is not None:
            raise ArchiveError(
                f"Scene {path}: found --{name} {value} for {kind}, expected it for "
                f"{'a STAC file' if name == 'item' else 'a SAFE folder'} only. Leave it out."
            )


def _expect_no_safe_around(path: Path) -> None:
    """Refuse a part of a SAFE folder: its bands do not know the offset and the angles that the whole one states."""
    for folder in path.absolute().parents:
        if any((folder / name).is_file() for name in _SAFE_METADATA):
            raise ArchiveError(
                f"Scene {path}: found a part of {folder.name}, expected the whole folder: it states offset and angles. "
                f"Name {folder}; with --tile, where it has several granules."
            )


def _of_folder(folder: Path) -> SceneSource:
    _expect_no_safe_around(folder)
    if folder.is_file():
        raise ArchiveError(
            f"Scene {folder}: found a file, expected a SAFE folder, a STAC item (.json), or a folder with a file for "
            "each band. Name the folder that holds it; unpack an archive first."
        )
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ArchiveError(
            f"Scene {folder}: cannot be read ({error.strerror}), expected a SAFE folder, a STAC item, or a folder with "
            "a file for each band. Correct the path."
        ) from None
    files: dict[str, Path] = {}
    for path in entries:
        name = _band_of(path)
        if name is None:
            continue
        if name in files:
            raise DetectorError(
                f"Scene {folder}: found {files[name].name} and {path.name}, two files for {in_words([name])}, expected "
                "one. Move one away."
            )
        files[name] = path
    if not files:
        raise ArchiveError(
            f"Scene {folder}: found no file of a band, expected such as B02.tif, T33TVL_20240610T100031_B02.jp2 or "
            "blue.tif. Name the folder that holds them."
        )
    return SceneSource(
        name=folder.absolute().name,
        kind="folder of bands",
        level="L1C",
        bands={name: _local(files[name], f"{folder}, band {name}") for name in SENTINEL2_BANDS if name in files},
        offset_dn=0,
        offset_source="assumed: a folder has no metadata",
    )


def _band_of(path: Path) -> str | None:
    """The band that a file holds, by the one part of its name that is a band's: `T33TVL_..._B02_10m.jp2`."""
    if path.suffix.lower() not in _BAND_SUFFIXES or not path.is_file():
        return None
    named = {name for part in _SEPARATORS.split(path.stem) if (name := stable_name(part)) is not None}
    return named.pop() if len(named) == 1 else None


def _local(path: Path, where: str) -> BandPlace:
    return BandPlace(lambda: LocalFile(path, where))


@contextmanager
def _reader(place: BandPlace, grid: GeoBox, content: Content, where: str) -> Iterator[BandReader]:
    with (
        closing(place.open()) as file,
        open_band(file, place.band_index, grid, content, where=where, nodata=place.nodata) as reader,
    ):
        yield reader


def _facts(source: SceneSource, name: str) -> FileFacts:
    place, where = source.bands[name], f"{source.name}, {name}"
    with closing(place.open()) as file, closing(BandFile(file, place.band_index, where)) as band:
        facts = band.facts
    if facts.dtype not in _DTYPES:
        raise DetectorError(
            f"{where}: found pixels of {facts.dtype}, expected counts of uint16. Reflectance as float goes through "
            "`geo_assets.cloud_mask(..., quantification=None)`."
        )
    if not facts.is_north_up or facts.crs is None:
        raise GridMismatchError(
            f"{where}: found no CRS, or pixels that are turned, expected a north-up grid. Warp it first."
        )
    if not 1 <= place.band_index <= facts.samples:
        raise AssetLostError(
            f"{where}: found {facts.samples} bands in the file, expected band {place.band_index}. Repair the item."
        )
    return facts


def _expect_one_place(where: str, facts: Mapping[str, FileFacts]) -> None:
    """Refuse bands that do not show the same ground."""
    finest = _finest(facts)
    first = facts[finest]
    assert first.transform is not None
    slack = _EDGE_TOLERANCE * first.transform.a
    for name, other in facts.items():
        if other.crs != first.crs:
            raise GridMismatchError(
                f"{where}: found {finest} in {first.crs} and {name} in {other.crs}, expected one CRS. Warp the "
                "bands to one first."
            )
        if max(abs(a - b) for a, b in zip(first.bounds, other.bounds, strict=True)) > slack:
            raise GridMismatchError(
                f"{where}: found {finest} from {_corners(first)} and {name} from {_corners(other)}, expected one "
                "extent. Cut the bands to the same ground first."
            )


def _corners(facts: FileFacts) -> str:
    west, south, east, north = facts.bounds
    return f"({west:.10g}, {south:.10g}) to ({east:.10g}, {north:.10g})"


def _finest(facts: Mapping[str, FileFacts]) -> str:
    areas = {name: math.inf if one.transform is None else -one.transform.determinant for name, one in facts.items()}
    return min(areas, key=areas.__getitem__)


def _grid(where: str, facts: Mapping[str, FileFacts], resolution_m: float | None) -> GeoBox:
    """The grid of the finest band, in its own pixels or in others from the same corner."""
    first = facts[_finest(facts)]
    place = first.transform
    assert place is not None
    own = GeoBox((first.height, first.width), Affine(place.a, 0, place.c, 0, place.e, place.f), first.crs)
    if own.crs is None or own.crs.geographic:
        raise GridMismatchError(
            f"{where}: found pixels in degrees, expected metres. Warp the bands to a UTM zone first."
        )
    size = _pixel_m(own) if resolution_m is None else resolution_m
    if not FINEST_M <= size <= COARSEST_M:
        raise DetectorError(f"Resolution: found {size:g} m, expected {FINEST_M:g} to {COARSEST_M:g} m. Correct it.")
    if resolution_m is None:
        return own
    rows, cols = (
        max(1, math.ceil(length * edge / size - _EDGE_TOLERANCE))
        for length, edge in ((first.height, -place.e), (first.width, place.a))
    )
    return GeoBox((rows, cols), Affine(size, 0, place.c, 0, -size, place.f), first.crs)


def _pixel_m(grid: GeoBox) -> float:
    return round(math.sqrt(abs(grid.transform.determinant)), 1)  # resampled pixels are rarely of 10 m to the millimetre


def _on_grid(source: SceneSource, name: str, grid: GeoBox) -> tuple[ReflectanceCount, int]:
    """(y, x) int16 counts as stored, nodata -32768, saturated at 32767; and the stored count that meant nodata.

    In strips, so that a tile takes little memory.
    """
    height, width = grid.shape
    counts = np.empty((height, width), np.int16)
    with _reader(source.bands[name], grid, "reflectance", f"{source.name}, {name}") as reader:
        for top in range(0, height, _STRIP_PX):
            rows = min(_STRIP_PX, height - top)
            counts[top : top + rows] = reader.reflectance(top, 0, rows, width, offset_dn=0)
        return counts, reader.nodata


def _offset(
    source: SceneSource, stored: Mapping[str, ReflectanceCount], given: int | None
) -> tuple[int, str, tuple[str, ...]]:
    """The offset to be applied, who says so, and what speaks against it."""
    tests = {name: _every_few(stored[name]) for name in OFFSET_TEST_BANDS if name in stored}
    if given is None and source.item is not None and is_tested(source.item):
        decided = decided_offset(tests, NODATA_REFLECTANCE)
        finding = OffsetFinding(source.name, source.offset_dn, decided, source.item.offset_doubtful)
        if finding.problem is not None:
            raise ArchiveError(
                f"{source.name}: its metadata do not agree on the offset of its counts (they would have "
                f"{source.offset_dn:+d}), and its pixels do not tell. Give --offset."
            )
        who = source.offset_source if decided is None else "pixels" if finding.disagrees else "metadata and pixels"
        doubt = f"its metadata state {source.offset_dn:+d}, its pixels show {finding.applied_dn:+d}, which is taken"
        return finding.applied_dn, who, (doubt,) if finding.disagrees else ()
    offset_dn, who = (source.offset_dn, source.offset_source) if given is None else (given, "as given")
    doubt_in_words = offset_doubt(tests, offset_dn, NODATA_REFLECTANCE)
    return offset_dn, who, () if doubt_in_words is None else (doubt_in_words,)


def _every_few(counts: ReflectanceCount) -> ReflectanceCount:
    """So many pixels as tell the offset."""
    step = max(1, math.ceil(math.sqrt(counts.size / _TEST_PX)))
    return counts[::step, ::step]


def _quantification(source: SceneSource, given: int | None) -> int:
    per_unit = source.quantification if given is None else given
    if not 1 <= per_unit <= _LARGEST_QUANTIFICATION:
        raise DetectorError(
            f"{source.name}: found quantification {per_unit}, expected 1 to {_LARGEST_QUANTIFICATION}, "
            f"{QUANTIFICATION} for Sentinel-2. Finer counts go through `geo_assets.cloud_mask`."
        )
    return per_unit


def _reflectance(stored: ReflectanceCount, offset_dn: int, per_unit: int) -> ReflectanceCount:
    """Reflectance x 10,000 from stored counts; nodata and saturated pixels stay what they are."""
    if offset_dn == 0 and per_unit == QUANTIFICATION:
        return stored
    scaled = np.rint((stored.astype(np.float64) + offset_dn) * (QUANTIFICATION / per_unit))
    counts = np.clip(scaled, NODATA_REFLECTANCE + 1, SATURATED_REFLECTANCE).astype(np.int16)
    counts[stored == NODATA_REFLECTANCE] = NODATA_REFLECTANCE
    counts[stored == SATURATED_REFLECTANCE] = SATURATED_REFLECTANCE
    return counts


def names_read(source: SceneSource, wanted: Iterable[str]) -> tuple[str, ...]:
    """Of some bands those that a scene has, by wavelength."""
    names = set(wanted)
    return tuple(name for name in SENTINEL2_BANDS if name in names and name in source.bands)
