"""XML from strangers: bounded, without entities, and every number checked."""

import math
import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from geo_assets.domain.errors import ArchiveRefusedError, AssetLostError

LARGEST_METADATA_BYTES = 64 << 20
"""Larger files are not read: a granule's metadata has less than 1 MB, a product's of many granules a few."""

_MOST_TAGS = 1_000_000
"""An element takes some hundred bytes of memory, whatever it takes in the file; a granule has some 20,000."""

_BASELINE = re.compile(r"\d\d\.\d\d")


def read_metadata(path: Path) -> bytes:
    """The bytes of a metadata file.

    Raises
    ------
    AssetLostError
        It cannot be read.
    ArchiveRefusedError
        It is larger than `LARGEST_METADATA_BYTES`.
    """
    try:
        with path.open("rb") as file:
            found = file.read(LARGEST_METADATA_BYTES + 1)
    except OSError as error:
        raise AssetLostError(f"Metadata {path}: cannot be read ({error.strerror}). Check folder and rights.") from None
    if len(found) > LARGEST_METADATA_BYTES:
        raise ArchiveRefusedError(_too_large(str(path)))
    return found


def parse_metadata(xml: bytes, where: str) -> Element:
    """The root element of a metadata file.

    Parameters
    ----------
    xml : bytes
        The whole file.
    where : str
        What it is, for messages.

    Raises
    ------
    ArchiveRefusedError
        It declares a document type or entities, or is too large to be metadata.
    AssetLostError
        It is no XML, or ends early.
    """
    if len(xml) > LARGEST_METADATA_BYTES or xml.count(b"<") > _MOST_TAGS:
        raise ArchiveRefusedError(_too_large(where))
    try:
        root: Element = fromstring(xml, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ArchiveRefusedError(
            f"{where}: declares a document type or entities ({type(error).__name__}), which no Sentinel-2 metadata "
            "does. It is not opened: fetch the product again from where you trust it."
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        raise AssetLostError(
            f"{where}: is no well-formed XML ({error}). It may have been cut short: fetch it again."
        ) from None
    return root


def first_element(root: Element, name: str, where: str) -> Element:
    """The first element of that name anywhere below `root`; `AssetLostError` where there is none."""
    found = next(root.iter(name), None)
    if found is None:
        raise AssetLostError(f"{where}: found no {name}, expected one. Check that this is the right file, and whole.")
    return found


def text_of(root: Element, name: str, where: str) -> str:
    """The text of the first element of that name; `AssetLostError` where there is none, or it is empty."""
    text = (first_element(root, name, where).text or "").strip()
    if not text:
        raise AssetLostError(f"{where}, {name}: found nothing, expected text. Fetch the file again.")
    return text


def number_of(root: Element, name: str, where: str) -> float:
    """The finite number in the first element of that name, else `AssetLostError`."""
    return finite_number(text_of(root, name, where), f"{where}, {name}")


def finite_number(text: str | None, where: str) -> float:
    """The finite number that a text says, else `AssetLostError`."""
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise AssetLostError(f"{where}: found {text!r:.40}, expected a finite number. Fetch the file again.")
    return number


def whole_number(text: str | None, where: str) -> int:
    """The whole number that a text says, as "-1000" or "10000.0", else `AssetLostError`."""
    number = finite_number(text, where)
    if number != int(number):
        raise AssetLostError(f"{where}: found {number:g}, expected a whole number. Fetch the file again.")
    return int(number)


def baseline_of(root: Element, where: str) -> str:
    """Processing baseline `NN.NN`, else `AssetLostError`."""
    baseline = text_of(root, "PROCESSING_BASELINE", where)
    if not _BASELINE.fullmatch(baseline):
        raise AssetLostError(f"{where}, PROCESSING_BASELINE: found {baseline!r:.40}, expected NN.NN, as 05.10.")
    return baseline


def _too_large(where: str) -> str:
    return (
        f"{where}: is larger than metadata can be ({LARGEST_METADATA_BYTES >> 20} MB, {_MOST_TAGS:,} tags). "
        "It is not opened: check that this is the right file."
    )
