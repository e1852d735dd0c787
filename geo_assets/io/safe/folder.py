"""A SAFE folder on disk: which product it is, and where its files lie."""

# X.SAFE/MTD_MSIL1C.xml                                    since December 2016; one granule
# X.SAFE/GRANULE/L1C_T33TVL_.../MTD_TL.xml
# X.SAFE/GRANULE/L1C_T33TVL_.../IMG_DATA/..._B02.jp2       L2A: IMG_DATA/R10m/..._B02_10m.jp2
# X.SAFE/GRANULE/L1C_T33TVL_.../QI_DATA/MSK_CLASSI_B00.jp2
# X.SAFE/S2A_OPER_MTD_SAFL1C_....xml                       before; several granules
# X.SAFE/GRANULE/S2A_OPER_MSI_L1C_TL_..._T33TVL_N02.04/S2A_OPER_MTD_L1C_TL_....xml

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from geo_assets.domain.bands import SENTINEL2_BANDS, Level, stable_name
from geo_assets.domain.errors import ArchiveError, AssetLostError, DetectorError
from geo_assets.io.safe.granule import TILE_IN_NAME, GranuleMetadata, granule_metadata
from geo_assets.io.safe.product import product_metadata
from geo_assets.io.safe.xml import read_metadata

_PRODUCT_XML = re.compile(r"MTD_MSIL(1C|2A)\.xml|S2[A-Z]_\w{4}_MTD_SAFL(1C|2A)_\w+\.xml")
_GRANULE_XML = re.compile(r"MTD_TL\.xml|metadata\.xml|S2[A-Z]_\w{4}_MTD_L(1C|2A)_TL_[\w.]+\.xml")
_BAND_FILE = re.compile(r"_(B\d[\dA])(?:_(\d\d)m)?\.jp2")


@dataclass(frozen=True, slots=True)
class SafeProduct:
    """A SAFE folder with one granule."""

    folder: Path
    level: Level
    """`L1C` or `L2A`."""
    baseline: str
    """Processing baseline `NN.NN`."""
    offset_dn: int
    """Added to counts before scaling."""
    quantification: int
    """Counts per unit reflectance."""
    datatake: str
    """Datatake start, UTC, `YYYYMMDDTHHMMSS`."""
    tile: str
    """MGRS tile."""
    bands: Mapping[str, Path]
    """Stable name -> file, by wavelength; of L2A, which has several, the one with the smallest pixels."""
    granule_metadata: Path
    classification: Path | None
    """MSK_CLASSI of L1C, or SCL of L2A; None where the folder has none, as L1C before baseline 04.00 (its MSK_CLOUDS
    are polygons)."""

    def band_files(self, names: Iterable[str]) -> dict[str, Path]:
        """Files of the bands of these stable names; `DetectorError` names those that are missing."""
        wanted = list(names)
        if lacks := [name for name in wanted if name not in self.bands]:
            told = ", ".join(f"{name} ({SENTINEL2_BANDS[name].number})" for name in lacks)
            has = ", ".join(SENTINEL2_BANDS[name].number for name in self.bands) or "none"
            remedy = (
                "L2A never has cirrus (B10): give the L1C product of the same acquisition."
                if self.level == "L2A" and lacks == ["cirrus"]
                else "Download the whole product, or choose a detector that needs less."
            )
            raise DetectorError(f"SAFE {self.folder.name}: lacks {told}; it has {has}. {remedy}")
        return {name: self.bands[name] for name in wanted}

    def granule(self) -> GranuleMetadata:
        """Its granule's grid and angles; errors as those of `granule_metadata`."""
        return granule_metadata(read_metadata(self.granule_metadata), str(self.granule_metadata))


def read_safe(folder: Path, *, tile: str | None = None) -> SafeProduct:
    """A SAFE folder.

    Parameters
    ----------
    folder : Path
        The one that holds `MTD_MSIL1C.xml` or `MTD_MSIL2A.xml`, or their names of before 2017.
    tile : str, optional
        MGRS tile: which granule, where a folder of before 2017 has several.

    Raises
    ------
    AssetLostError
        No SAFE folder, metadata that is unreadable, or two files for one band.
    ArchiveRefusedError
        Metadata that is not safe to open.
    ArchiveError
        Several granules, or none of that tile; or bands with different offsets.
    """
    folder = folder.absolute()  # "." has no name
    product_xml = _only_file(folder, _PRODUCT_XML, "MTD_MSIL1C.xml or MTD_MSIL2A.xml")
    metadata = product_metadata(read_metadata(product_xml), str(product_xml))
    offsets = set(metadata.offsets_dn.values())
    if len(offsets) > 1:
        told = ", ".join(f"{band} {offset}" for band, offset in metadata.offsets_dn.items())
        raise ArchiveError(f"{product_xml}: found offsets that differ ({told}), expected one for all bands.")
    granule, granule_tile = _granule(folder, tile)
    return SafeProduct(
        folder=folder,
        level=metadata.level,
        baseline=metadata.baseline,
        offset_dn=offsets.pop(),
        quantification=metadata.quantification,
        datatake=metadata.datatake,
        tile=granule_tile,
        bands=_band_files(granule / "IMG_DATA"),
        granule_metadata=_only_file(granule, _GRANULE_XML, "MTD_TL.xml"),
        classification=_classification(granule, metadata.level),
    )


def _only_file(folder: Path, name: re.Pattern[str], expected: str) -> Path:
    found = [path for path in _entries(folder) if name.fullmatch(path.name) and path.is_file()]
    if len(found) != 1:
        told = ", ".join(path.name for path in found) or "none"
        raise AssetLostError(
            f"SAFE folder {folder}: found {told}, expected one {expected}. Name the folder whose name ends in .SAFE, "
            "unpacked and whole."
        )
    return found[0]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise AssetLostError(f"SAFE folder {folder}: cannot be read ({error.strerror}). Check its path.") from None


def _granule(folder: Path, tile: str | None) -> tuple[Path, str]:
    """The granule's folder and its tile."""
    tiles = {
        path: named[1]
        for path in _entries(folder / "GRANULE")
        if path.is_dir() and (named := TILE_IN_NAME.search(path.name))
    }
    wanted = [path for path in tiles if tile is None or tiles[path] == tile.upper().removeprefix("T")]
    if len(wanted) == 1:
        return wanted[0], tiles[wanted[0]]
    has = f"{len(tiles)} granules ({', '.join(sorted(tiles.values()))})" if tiles else "no granule"
    if tile is None and tiles:
        raise ArchiveError(f"SAFE folder {folder}: found {has}, expected one. Name the tile.")
    raise ArchiveError(
        f"SAFE folder {folder}: found {has} in GRANULE, expected one{f' of tile {tile}' if tile else ''}. "
        "Check that it is unpacked and whole."
    )


def _band_files(images: Path) -> dict[str, Path]:
    """Stable name -> file with the smallest pixels, in the order of wavelength."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(images.rglob("*.jp2")):
        named = _BAND_FILE.search(path.name)
        band = None if named is None else stable_name(named[1])
        if named is None or band is None:
            continue  # true colour, aerosol, water vapour, classification
        resolution = int(named[2] or 0)
        other = found.setdefault(band, {}).setdefault(resolution, path)
        if other != path:
            raise AssetLostError(f"SAFE {images}: found {other.name} and {path.name}, expected one file a band.")
    return {name: found[name][min(found[name])] for name in SENTINEL2_BANDS if name in found}


def _classification(granule: Path, level: Level) -> Path | None:
    if level == "L2A":
        return next(iter(sorted((granule / "IMG_DATA").rglob("*_SCL_20m.jp2"))), None)
    path = granule / "QI_DATA" / "MSK_CLASSI_B00.jp2"
    return path if path.is_file() else None
