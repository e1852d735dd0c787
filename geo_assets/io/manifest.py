"""What a product says about itself: `manifest.json`, sealed by its own digest, with nothing volatile in it.

When, where and how fast a run went is in `run.json`; why one failed in `failed.json`.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from geo_assets.domain.errors import CorruptProductError, ProductError, SchemaError

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

SCHEMA_VERSION: Literal[1] = 1
"""Of manifests and region records; a reader refuses a larger one."""

LOST = "lost"
"""Ledger rows with this `outcome` name assets that are gone for good; they are part of the content."""

_REBUILD = "`geo-assets backfill` rebuilds it."


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Record):
    """One file of a product."""

    name: str
    """Relative to the product's folder."""
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    role: str = Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")
    """What it is, from general to special: `mask.probability`."""
    media_type: str


class ItemInput(_Record):
    """An archive's item that went in, with what tells one version of it from the next."""

    id: str
    baseline: str | None = None
    generation: str | None = None
    checksum: str | None = None
    """Checksum or ETag, where the archive offers one."""


class Inputs(_Record):
    """Everything a product was made from."""

    upstream: dict[str, str] = {}
    """`station|tile|month` -> content digest of that product."""
    items: tuple[ItemInput, ...] = ()

    def identities(self) -> dict[str, str]:
        """Name -> version of every input, as `fingerprint` takes them; the order of items does not matter."""
        versions: dict[str, list[str]] = {}
        for item in self.items:
            versions.setdefault(f"item:{item.id}", []).append(digest_of(item.model_dump(mode="json")))
        return {**self.upstream, **{name: digest_of(sorted(found)) for name, found in versions.items()}}


class GridRecord(_Record):
    """Where a product's rasters lie."""

    crs: str
    """`EPSG:code`, or WKT where there is none."""
    transform: tuple[float, float, float, float, float, float]
    """Affine pixel to CRS: a, b, c, d, e, f as in rasterio."""
    shape: tuple[int, int]
    """Height, width."""

    @classmethod
    def of(cls, geobox: "GeoBox") -> Self:
        """The record of an `odc.geo` grid, which must have a CRS."""
        if geobox.crs is None:
            raise ProductError("Grid: found no CRS, expected one. Give the GeoBox its CRS.")
        a, b, c, d, e, f = tuple(geobox.affine)[:6]
        code = geobox.crs.to_epsg()
        crs = f"EPSG:{code}" if code is not None else geobox.crs.to_wkt()
        return cls(crs=crs, transform=(a, b, c, d, e, f), shape=(geobox.shape.y, geobox.shape.x))


class Manifest(_Record):
    """A product's description, schema version 1. The same product has the same bytes."""

    schema_version: Literal[1] = SCHEMA_VERSION
    region: str
    station: str
    tile: str | None
    month: str | None
    status: Literal["done", "empty"]
    reason: str | None = None
    """Why it is empty."""
    fingerprint: str
    inputs: Inputs
    files: tuple[FileEntry, ...]
    """By name."""
    grid: GridRecord | None = None
    metrics: dict[str, JsonValue] = {}
    ledger: tuple[dict[str, JsonValue], ...] = ()
    """What happened to each input, in canonical order."""
    software: dict[str, str] = {}
    """Versions that change results."""

    @property
    def content_digest(self) -> str:
        """SHA-256 (hex) of what a reader downstream can see: status, bytes of the files, lost assets.

        Not of the fingerprint: rebuilt to identical bytes, a product leaves everything downstream as it is. Nor of the
        words in which a loss was told (`error`): a server finds others the next time.
        """
        rows = (row for row in self.ledger if row.get("outcome") == LOST)
        lost = sorted(({name: row[name] for name in row if name != "error"} for row in rows), key=canonical_json)
        files = [[file.name, file.sha256] for file in self.files]
        return digest_of(
            {
                "station": self.station,
                "status": self.status,
                "reason": self.reason,
                "files": files,
                "lost": lost,
            }
        )

    def to_bytes(self) -> bytes:
        """Canonical JSON with a `seal`, the digest of all the rest."""
        content = self.model_dump(mode="json")
        return canonical_json({**content, "seal": digest_of(content)})

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Self:
        """The manifest in `data`; `where` names its file in errors.

        Raises
        ------
        SchemaError
            Written by a newer version of this software.
        CorruptProductError
            Truncated, changed after it was sealed, or not a manifest at all.
        """
        content = read_record(data, where=where)
        seal = content.pop("seal", None)
        if seal != digest_of(content):
            raise CorruptProductError(f"{where}: found a manifest that was changed after it was sealed. {_REBUILD}")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise CorruptProductError(
                f"{where}: found {_first_problem(error)}, expected a manifest of schema version "
                f"{SCHEMA_VERSION}. {_REBUILD}"
            ) from None


class UnitCounts(_Record):
    """How much of a run's work was new."""

    computed: int = 0
    reused: int = 0


class _VolatileRecord(_Record):
    """What differs from run to run, and can be found out again where it is lost."""

    def to_bytes(self) -> bytes:
        """As JSON."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self | None:
        """The record in `data`; None if it cannot be read."""
        try:
            return cls.model_validate_json(data)
        except ValidationError:
            return None


class RunRecord(_VolatileRecord):
    """`run.json`: how the last run went, and the stamps its files had when their bytes were verified."""

    started: str | None = None
    """UTC, ISO 8601; None in a record made again after the first was lost."""
    finished: str | None = None
    seconds: float | None = None
    host: str | None = None
    pid: int | None = None
    software: dict[str, str] = {}
    units: UnitCounts = UnitCounts()
    traffic: dict[str, int | float] = {}
    """What the network was asked for: requests, bytes, retries, renewals, seconds of waiting."""
    retry_lost: bool = False
    """True where somebody asked that lost assets be tried again: the product is stale until that is done."""
    seals: dict[str, tuple[int, str]] = {}
    """File name -> size in bytes, modification time or ETag."""


class FailureRecord(_VolatileRecord):
    """`failed.json`: why the last run of a partition raised; removed by the next one that does not."""

    fingerprint: str
    error: str
    """Class name."""
    message: str
    """Without addresses' queries and without secrets."""
    at: str
    """UTC, ISO 8601."""
    host: str


def fingerprint(station: str, code_version: str, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """SHA-256 (hex) of everything that decides a product's bytes.

    Parameters
    ----------
    station, code_version : str
        Who makes it, and the version of its code that last changed results.
    settings : mapping
        The part of the region file that the station uses, as JSON values.
    inputs : mapping
        Name -> version or content digest of each input (`Inputs.identities`).
    """
    return digest_of({"station": station, "code_version": code_version, "settings": settings, "inputs": dict(inputs)})


def canonical_json(value: object) -> bytes:
    """`value` as UTF-8 JSON: keys sorted, floats in their shortest exact form, newline at the end.

    Takes numpy scalars and arrays, too; `ProductError` for NaN, infinity and what JSON cannot hold.
    """
    text = json.dumps(plain_json(value), sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
    return text.encode() + b"\n"


def digest_of(value: object) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def plain_json(value: object) -> JsonValue:
    """`value` with numpy scalars, arrays and tuples as what JSON has; `ProductError` if it has nothing."""
    if isinstance(value, np.generic | np.ndarray):
        return plain_json(value.tolist())
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    raise ProductError(
        f"Record: found {type(value).__name__} {str(value)[:60]!r}, expected finite numbers, text, None, "
        "lists or mappings with text keys. Write None for a number that does not exist."
    )


def read_record(data: bytes, *, where: str) -> dict[str, Any]:
    """The JSON object in `data`, once its `schema_version` is one that we know; `where` names its file.

    `SchemaError` when it is newer, `CorruptProductError` when `data` is no such object.
    """
    try:
        content = json.loads(data, parse_constant=_refuse_constant)
    except ValueError:
        content = None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(version, int):
        raise CorruptProductError(
            f"{where}: found {len(data)} bytes that are not a whole record, expected JSON with a "
            f"schema_version. {_REBUILD}"
        )
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"{where}: found schema version {version}, expected {SCHEMA_VERSION} at most: it was made by a "
            "newer geo_assets. Upgrade this one, or choose another GEO_ASSETS_STORE."
        )
    return content


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc']) or 'content'}: {problem['msg']}"
