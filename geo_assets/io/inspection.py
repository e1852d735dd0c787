"""The inspector of a region's folder: reads every byte, and names what is not as its manifest says."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

from geo_assets.domain.errors import CorruptProductError, MissingProductError, SchemaError
from geo_assets.domain.tile_month import Month
from geo_assets.io.building import FAILED, MANIFEST, RUN, UNITS
from geo_assets.io.manifest import Manifest
from geo_assets.io.places import Place
from geo_assets.io.products import REGION_RECORD, Products

FindingKind: TypeAlias = Literal["damaged", "missing", "stray", "unreadable", "incomplete"]

_BELOW_REGION = 4  # region, station, tile, month
_REMEDIES: dict[FindingKind, str] = {
    "damaged": "`geo-assets backfill` rebuilds it.",
    "missing": "`geo-assets backfill` rebuilds it.",
    "stray": "No manifest names it: delete it, or leave it to the next build of its folder.",
    "unreadable": "`geo-assets backfill` rebuilds what is damaged.",
    "incomplete": "A run stopped here: `geo-assets backfill` finishes it from its units.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be; prints as a line with its remedy."""

    kind: FindingKind
    key: str
    """In the store."""
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.key}: {self.detail}. {_REMEDIES[self.kind]}"


def verify(products: Products) -> Iterator[Finding]:
    """Hash every file of the region, and yield what is damaged, missing, stray, unreadable or incomplete.

    Walks the store by listing it. A partition that is being built this moment may appear among the findings. The
    seals of a damaged product are broken: the next run rebuilds it, though sizes and times be as they were.
    """
    keys = products.store.keys(products.region)
    for folder, group in groupby(keys, key=lambda key: "/".join(key.split("/")[:_BELOW_REGION])):
        if folder == f"{products.region}/{REGION_RECORD}":
            yield from _region_record(products, folder)
        else:
            yield from _partition(products, folder, list(group))


def _region_record(products: Products, key: str) -> Iterator[Finding]:
    try:
        products.expect_region({})
    except (CorruptProductError, SchemaError) as error:
        yield Finding("unreadable", key, _clause(error))


def _partition(products: Products, folder: str, keys: list[str]) -> Iterator[Finding]:
    units = f"{folder}/{UNITS}/"
    files = {key for key in keys if not key.startswith(units)}
    if f"{folder}/{MANIFEST}" not in files:
        if folder.count("/") < _BELOW_REGION - 1:
            yield Finding("stray", folder, "lies outside of every product's folder")
        elif files != {f"{folder}/{FAILED}"}:
            yield Finding("incomplete", folder, f"holds {len(keys)} files and no manifest")
        return
    try:
        manifest = Manifest.from_bytes(products.store.read(f"{folder}/{MANIFEST}"), where=f"{folder}/{MANIFEST}")
    except (CorruptProductError, SchemaError) as error:
        yield Finding("unreadable", f"{folder}/{MANIFEST}", _clause(error))
        return
    month = None if manifest.month is None else Month.parse(manifest.month)
    place = Place(manifest.station, manifest.tile, month)
    misplaced = f"{manifest.region}/{place.folder}" != folder
    if misplaced:
        yield Finding("unreadable", f"{folder}/{MANIFEST}", f"is the manifest of {manifest.region}/{place.folder}")
    for finding in _files(products, folder, manifest):
        if finding.kind == "damaged" and not misplaced:
            products.distrust(place)
        yield finding
    named = {f"{folder}/{name}" for name in (MANIFEST, RUN, FAILED, *(file.name for file in manifest.files))}
    for key in sorted(files - named):
        yield Finding("stray", key, "is not named by the manifest")
    if len(files) < len(keys):
        yield Finding("stray", units.rstrip("/"), "are units of a product that is finished")


def _files(products: Products, folder: str, manifest: Manifest) -> Iterator[Finding]:
    for file in manifest.files:
        key = f"{folder}/{file.name}"
        try:
            found = products.store.sha256(key)
        except MissingProductError:
            yield Finding("missing", key, "its manifest names it, the store does not have it")
            continue
        if found != file.sha256:
            yield Finding("damaged", key, f"found sha256 {found[:12]}..., sealed was {file.sha256[:12]}...")


def _clause(error: Exception) -> str:
    """The error's first sentence, which names the file and what was found in it."""
    return str(error).split(". ")[0]
