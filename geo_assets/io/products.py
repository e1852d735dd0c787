"""Finished products by place: found by their manifests, judged by their fingerprints, made by `building`.

`<region>/<station>/<tile or _region>/<YYYY-MM or _all>/`: the files, then `manifest.json`. No manifest, no
product.
"""

import builtins
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from geo_assets.domain.errors import (
    CorruptProductError,
    MissingProductError,
    RegionError,
    ResourceError,
    SchemaError,
)
from geo_assets.io.building import FAILED, MANIFEST, RUN, UNITS, Build
from geo_assets.io.manifest import (
    LOST,
    SCHEMA_VERSION,
    FailureRecord,
    FileEntry,
    GridRecord,
    Inputs,
    Manifest,
    RunRecord,
    canonical_json,
    read_record,
)
from geo_assets.io.places import Place
from geo_assets.io.stores.store import Stamp, Store, check_key

__all__ = ["REGION_RECORD", "Build", "Condition", "Place", "Product", "Products", "State"]

_log = logging.getLogger(__name__)

REGION_RECORD = "region.json"
"""In a region's folder: whose it is."""


class State(StrEnum):
    """Where a product stands."""

    DONE = "done"
    EMPTY = "empty"
    """Done, and there was nothing to show."""
    STALE = "stale"
    """Made from other inputs, settings or code."""
    FAILED = "failed"
    """The last attempt raised."""
    INCOMPLETE = "incomplete"
    """Begun, not finished."""
    MISSING = "missing"
    CORRUPT = "corrupt"
    """Its bytes are not the sealed ones."""


@dataclass(frozen=True, slots=True)
class Product:
    """A finished product: its manifest, and ways to its files."""

    store: Store = field(repr=False)
    region: str
    place: Place
    manifest: Manifest = field(repr=False)

    @property
    def digest(self) -> str:
        """Content digest, SHA-256 (hex): what fingerprints downstream and Dagster's data version use."""
        return self.manifest.content_digest

    @property
    def folder(self) -> str:
        """Its folder's key in the store."""
        return f"{self.region}/{self.place.folder}"

    def files_with_role(self, role: str) -> tuple[FileEntry, ...]:
        """Files of `role` or a special case of it (`mask` finds `mask.probability`), by name."""
        return tuple(file for file in self.manifest.files if file.role == role or file.role.startswith(f"{role}."))

    def path(self, name: str) -> Path:
        """A local path to one of its files, for rasterio; S3 downloads and verifies it first."""
        try:
            return self.store.local_path(f"{self.folder}/{name}", self.file(name).sha256)
        except MissingProductError:
            raise self._gone(name) from None

    def json(self, name: str) -> Any:
        """One of its files, parsed as JSON."""
        return json.loads(self.bytes(name))

    def bytes(self, name: str) -> builtins.bytes:
        """The verified content of one of its files; `CorruptProductError` when damaged or gone."""
        file = self.file(name)
        try:
            content = self.store.read(f"{self.folder}/{name}")
        except MissingProductError:
            raise self._gone(name) from None
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise CorruptProductError(
                f"Region {self.region}, {self.place}, {name}: found other bytes than the manifest sealed. "
                "`geo-assets backfill` rebuilds it."
            )
        return content

    def file(self, name: str) -> FileEntry:
        """The manifest's entry of one of its files; `MissingProductError` when it has none of that name."""
        for file in self.manifest.files:
            if file.name == name:
                return file
        names = ", ".join(file.name for file in self.manifest.files) or f"none ({self.manifest.status})"
        raise MissingProductError(
            f"Region {self.region}, {self.place}: has no file {name}. Choose one of its files: {names}."
        )

    def _gone(self, name: str) -> CorruptProductError:
        return CorruptProductError(
            f"Region {self.region}, {self.place}, {name}: its manifest names it, the store does not have it. "
            "`geo-assets backfill` rebuilds it."
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """A product's state, and why."""

    state: State
    reason: str
    product: Product | None = None
    """When there is a readable one, be it stale or corrupt."""


@dataclass(frozen=True, slots=True)
class Products:
    """All products of one region in a store."""

    store: Store
    region: str
    """Name of the region, and of its folder."""

    def __post_init__(self) -> None:
        if "/" in check_key(self.region) or self.region.startswith("."):
            raise RegionError(f"Region name: found {self.region!r}, expected one name without '/'. Rename the region.")

    def find(self, place: Place) -> Product | None:
        """The product at `place` by its manifest, None when there is none; its files are not looked at.

        `CorruptProductError` for a damaged manifest, `SchemaError` for a newer or a misplaced one.
        """
        key = self._key(place, MANIFEST)
        try:
            data = self.store.read(key)
        except MissingProductError:
            return None
        manifest = Manifest.from_bytes(data, where=f"{self.store.url}/{key}")
        month = None if place.month is None else str(place.month)
        expected = (self.region, place.station, place.tile, month)
        found = (manifest.region, manifest.station, manifest.tile, manifest.month)
        if found != expected:
            raise SchemaError(
                f"{self.store.url}/{key}: found the manifest of {_listed(found)}, expected "
                f"{_listed(expected)}. A folder was renamed or copied: put it back, or delete it and run "
                "`geo-assets backfill`."
            )
        return Product(self.store, self.region, place, manifest)

    def need(self, place: Place) -> Product:
        """The product at `place`; `MissingProductError` when it is not made."""
        product = self.find(place)
        if product is None:
            raise MissingProductError(
                f"Region {self.region}: {place} is not made; expected {self._key(place, MANIFEST)} in "
                f"{self.store.url}. `geo-assets backfill` makes it, or Dagster's asset `{place.station}`."
            )
        return product

    def done(self, place: Place, fingerprint: str) -> Product | None:
        """The product at `place` if made with `fingerprint` and whole, be it done or empty; else None.

        Whole: size and stamp of every file as sealed in `run.json`; where they differ, the bytes are hashed,
        and if they are right, sealed again. What a run left that was killed right after its manifest is removed.
        """
        condition = self.condition(place, fingerprint)
        if condition.product is None or condition.state not in {State.DONE, State.EMPTY}:
            return None
        self._tidy(condition.product)
        return condition.product

    def state(self, place: Place, fingerprint: str | None = None) -> State:
        """Where the product stands; without a fingerprint it cannot be stale."""
        return self.condition(place, fingerprint).state

    def condition(self, place: Place, fingerprint: str | None = None) -> Condition:
        """Where the product stands, and why; `SchemaError` for a manifest that is newer or misplaced."""
        try:
            product = self.find(place)
        except CorruptProductError as error:
            return Condition(State.CORRUPT, str(error))
        if product is None:
            return self._unfinished(place)
        made_with = product.manifest.fingerprint
        if made_with != fingerprint:
            failure = self.failure(place)
            if failure is not None and failure.fingerprint != made_with:
                return Condition(State.FAILED, f"{failure.error}: {failure.message}", product)
        if fingerprint is not None and made_with != fingerprint:
            return Condition(State.STALE, f"made as {made_with[:12]}, wanted as {fingerprint[:12]}", product)
        damage = self._damage(product)
        if damage is not None:
            return Condition(State.CORRUPT, damage, product)
        run = self.run(place)
        if run is not None and run.retry_lost:
            return Condition(State.STALE, "its lost assets are to be tried again", product)
        if product.manifest.status == "empty":
            return Condition(State.EMPTY, product.manifest.reason or "", product)
        return Condition(State.DONE, f"{len(product.manifest.files)} files as sealed", product)

    def failure(self, place: Place) -> FailureRecord | None:
        """Why the last attempt at `place` raised; None if it did not."""
        try:
            return FailureRecord.from_bytes(self.store.read(self._key(place, FAILED)))
        except MissingProductError:
            return None

    def run(self, place: Place) -> RunRecord | None:
        """How the last run of `place` went; None when there is no readable record."""
        try:
            return RunRecord.from_bytes(self.store.read(self._key(place, RUN)))
        except MissingProductError:
            return None

    def expect_whole(self, product: Product) -> None:
        """`CorruptProductError` where a file of a product in a local folder is not the one that was sealed.

        Nothing is asked of S3: what is downloaded from there is hashed (`Product.path`).
        """
        damage = None if self.store.url.startswith("s3://") else self._damage(product)
        if damage is not None:
            raise CorruptProductError(
                f"Region {self.region}, {product.place}: {damage}; expected the files that its manifest sealed. "
                "`geo-assets backfill` rebuilds it, and what is made from it."
            )

    def distrust(self, place: Place) -> None:
        """Break the seals of a product whose bytes were found damaged: the next run hashes it, and rebuilds it."""
        run = self.run(place)
        if run is not None and run.seals:
            self._seal(place, run, {})

    def retry_lost(self, place: Place) -> bool:
        """Make the next run try the lost assets of the product at `place` again; False if it has none."""
        product = self.find(place)
        if product is None or not any(row.get("outcome") == LOST for row in product.manifest.ledger):
            return False
        run = self.run(place) or RunRecord()
        self.store.write(self._key(place, RUN), run.model_copy(update={"retry_lost": True}).to_bytes())
        return True

    def building(
        self,
        place: Place,
        *,
        fingerprint: str,
        inputs: Inputs | None = None,
        grid: GridRecord | None = None,
        software: Mapping[str, str] | None = None,
    ) -> Build:
        """A context manager that makes the product at `place`.

        A clean exit publishes it whole, the manifest last. An exception publishes nothing, leaves the older
        product as it is, keeps the finished units and records the failure.

        Parameters
        ----------
        fingerprint : str
            Of the product to be made (`manifest.fingerprint`).
        inputs : Inputs, optional
            What it is made from.
        grid : GridRecord, optional
            Where its rasters lie.
        software : mapping, optional
            Name -> version of software that changes results.
        """
        return Build(
            self.store,
            self.region,
            place,
            fingerprint=fingerprint,
            inputs=inputs or Inputs(),
            grid=grid,
            software=software or {},
        )

    def claim_region(self, identity: Mapping[str, Any]) -> None:
        """Make sure that the region's folder in the store is ours, and put our tiles on its record.

        Parameters
        ----------
        identity : mapping
            `tiles` (ids) and whatever else tells the region apart, as JSON values.

        Raises
        ------
        SchemaError
            The folder is that of another region (none of its tiles is ours), or of a newer geo_assets.
        CorruptProductError
            Its record cannot be read.
        """
        with self.store.exclusive(self.region):
            known = self.expect_region(identity)
            tiles = sorted({*known, *identity.get("tiles", ())})
            record = {**identity, "name": self.region, "schema_version": SCHEMA_VERSION, "tiles": tiles}
            if tiles != list(known):
                self.store.write(f"{self.region}/{REGION_RECORD}", canonical_json(record))

    def expect_region(self, identity: Mapping[str, Any]) -> tuple[str, ...]:
        """The tiles on the region's record, sorted, none without one; writes nothing, raises like `claim_region`."""
        where = f"{self.store.url}/{self.region}/{REGION_RECORD}"
        try:
            known = read_record(self.store.read(f"{self.region}/{REGION_RECORD}"), where=where).get("tiles")
        except MissingProductError:
            return ()
        except CorruptProductError:
            known = None
        if not isinstance(known, list) or not all(isinstance(tile, str) for tile in known):
            raise CorruptProductError(
                f"{where}: found a damaged record, expected the region's tiles. Delete it: `geo-assets backfill` "
                "writes it anew."
            )
        tiles = sorted(identity.get("tiles", ()))
        if known and tiles and not set(known) & set(tiles):
            raise SchemaError(
                f"Region {self.region}: {self.store.url} holds another region of this name, with "
                f"tiles {', '.join(known[:6])}; expected some of {', '.join(tiles[:6])}. Rename the "
                "region, or choose another GEO_ASSETS_STORE."
            )
        return tuple(sorted(set(known)))

    def _key(self, place: Place, name: str) -> str:
        return f"{self.region}/{place.folder}/{name}"

    def _unfinished(self, place: Place) -> Condition:
        failure = self.failure(place)
        if failure is not None:
            return Condition(State.FAILED, f"{failure.error}: {failure.message}")
        if next(self._leavings(place), None) is not None:
            return Condition(State.INCOMPLETE, "begun, and stopped before its manifest was written")
        return Condition(State.MISSING, "never begun")

    def _leavings(self, place: Place) -> Iterator[str]:
        return self.store.keys(f"{self.region}/{place.folder}")

    def _tidy(self, product: Product) -> None:
        units = f"{product.folder}/{UNITS}"
        try:
            self.store.sweep(product.folder)
            if next(self.store.keys(units), None) is not None:
                self.store.delete_prefix(units)
        except ResourceError as refusal:  # as in `_seal`
            _log.info("%s: done, but not tidied: %s", product.place, refusal)

    def _damage(self, product: Product) -> str | None:
        """What is wrong with its files, None if nothing; seals them again where only the stamps are off."""
        run = self.run(product.place)
        sealed = {} if run is None else run.seals
        stamps: dict[str, Stamp] = {}
        broken_seals = []
        for file in product.manifest.files:
            stamp = self.store.stat(f"{product.folder}/{file.name}")
            if stamp is None:
                return f"{file.name} is gone"
            if stamp.size != file.bytes:
                return f"{file.name} has {stamp.size} bytes, sealed were {file.bytes}"
            stamps[file.name] = stamp
            if sealed.get(file.name) != (stamp.size, stamp.mark):
                broken_seals.append(file)
        for file in broken_seals:
            if self.store.sha256(f"{product.folder}/{file.name}") != file.sha256:
                return f"{file.name} has other bytes than its manifest sealed"
        if broken_seals or run is None:
            self._seal(product.place, run or RunRecord(), stamps)
        return None

    def _seal(self, place: Place, run: RunRecord, stamps: Mapping[str, Stamp]) -> None:
        seals = {name: (stamp.size, stamp.mark) for name, stamp in stamps.items()}
        try:
            self.store.write(self._key(place, RUN), run.model_copy(update={"seals": seals}).to_bytes())
        except ResourceError as refusal:  # a reader of somebody else's store may not write, and need not
            _log.info("%s: its seals could not be written: %s", place, refusal)


def _listed(identity: tuple[str | None, ...]) -> str:
    region, station, tile, month = identity
    return f"region {region}, {station} {tile or 'whole region'} {month or 'all months'}"
