"""Metadata of a product: `MTD_MSIL1C.xml` and `MTD_MSIL2A.xml`, and their names of before 2017."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from geo_assets.domain.bands import SENTINEL2_BANDS, Level
from geo_assets.domain.errors import AssetLostError
from geo_assets.io.safe.granule import BAND_IDS
from geo_assets.io.safe.xml import baseline_of, parse_metadata, text_of, whole_number

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?Z?")
_OFFSETS_SINCE, _OWN_PROCESSING = "04.00", "99.00"
"""Baselines that have offsets in their metadata; 99.99 is what Sen2Cor writes outside ESA, by any rules."""


@dataclass(frozen=True, slots=True)
class ProductMetadata:
    """What a product's metadata tells about its counts and its acquisition."""

    level: Level
    """`L1C` or `L2A`."""
    baseline: str
    """`NN.NN`."""
    offsets_dn: Mapping[str, int]
    """Stable band name -> what is added to counts before scaling: RADIO_ADD_OFFSET of L1C, BOA_ADD_OFFSET of L2A, 0
    before baseline 04.00."""
    quantification: int
    """Counts per unit reflectance."""
    datatake: str
    """Datatake start, UTC, `YYYYMMDDTHHMMSS`."""


def product_metadata(xml: bytes, where: str) -> ProductMetadata:
    """Metadata of a product.

    Parameters
    ----------
    xml : bytes
        `MTD_MSIL1C.xml` or `MTD_MSIL2A.xml`, of any baseline.
    where : str
        Which file that is, for messages.

    Raises
    ------
    AssetLostError
        No XML of a product, numbers that cannot be, or a baseline that should have offsets and states none.
    ArchiveRefusedError
        XML that is not safe to open.
    """
    root = parse_metadata(xml, where)
    level = _level(root, where)
    baseline = baseline_of(root, where)
    started = text_of(root, "DATATAKE_SENSING_START", where)
    parts = _TIME.fullmatch(started)
    if parts is None:
        raise AssetLostError(f"{where}, DATATAKE_SENSING_START: found {started!r:.40}, expected a UTC time.")
    unit = "QUANTIFICATION_VALUE" if level == "L1C" else "BOA_QUANTIFICATION_VALUE"
    quantification = whole_number(text_of(root, unit, where), f"{where}, {unit}")
    if not 1 <= quantification <= 65_535:
        raise AssetLostError(f"{where}, {unit}: found {quantification}, expected 1 to 65535, as 10000.")
    return ProductMetadata(
        level=level,
        baseline=baseline,
        offsets_dn=_offsets(root, level, baseline, where),
        quantification=quantification,
        datatake="{}{}{}T{}{}{}".format(*parts.groups()[:6]),
    )


def _level(root: Element, where: str) -> Level:
    """`Level-1C` and `Level-2A`; Sen2Cor wrote `Level-2Ap` for a while."""
    text = text_of(root, "PROCESSING_LEVEL", where)
    if text == "Level-1C":
        return "L1C"
    if text in ("Level-2A", "Level-2Ap"):
        return "L2A"
    raise AssetLostError(f"{where}, PROCESSING_LEVEL: found {text!r:.40}, expected Level-1C or Level-2A.")


def _offsets(root: Element, level: Level, baseline: str, where: str) -> dict[str, int]:
    name = "RADIO_ADD_OFFSET" if level == "L1C" else "BOA_ADD_OFFSET"
    stated: dict[str, int] = {}
    for element in root.iter(name):
        band = BAND_IDS.get(element.get("band_id", ""))
        if band is None:
            raise AssetLostError(f"{where}, {name}: found band_id {element.get('band_id')!r:.20}, expected 0 to 12.")
        stated[band] = whole_number(element.text, f"{where}, {name}")
        if not -65_535 <= stated[band] <= 65_535:
            raise AssetLostError(f"{where}, {name}: found {stated[band]} for {band}, expected counts, as -1000.")
    lacks = [band for band in SENTINEL2_BANDS if band not in stated]
    if not lacks or (not stated and not _OFFSETS_SINCE <= baseline < _OWN_PROCESSING):
        return {band: stated.get(band, 0) for band in SENTINEL2_BANDS}
    raise AssetLostError(
        f"{where}: found no {name} of {', '.join(lacks)}, expected one of each band in baseline {baseline}. "
        "Without it a whole scene would be taken for cloud: fetch the file again."
    )
