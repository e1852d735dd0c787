"""One product in the making: built aside, published in an order that never shows half of it.

The old manifest goes, files come and are read back, strays go, `run.json` comes, then the manifest. Killed
anywhere in between, the partition holds no product and all finished units; these go after the manifest came.
Where another run has put the very same product meanwhile, nothing is touched.
"""

import hashlib
import logging
import re
import shutil
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from os import getpid
from pathlib import Path
from platform import python_version
from types import TracebackType
from typing import Self

from odc.geo.geobox import GeoBox
from pydantic import JsonValue

from geo_assets.domain.errors import CorruptProductError, GeoAssetsError, MissingProductError, ProductError
from geo_assets.io.checkpoint import Checkpoint
from geo_assets.io.manifest import (
    FailureRecord,
    FileEntry,
    GridRecord,
    Inputs,
    Manifest,
    RunRecord,
    UnitCounts,
    canonical_json,
    plain_json,
)
from geo_assets.io.places import Place
from geo_assets.io.stores.store import Store, check_key
from geo_assets.io.wire.meter import Meter

_log = logging.getLogger(__name__)

MANIFEST, RUN, FAILED, UNITS = "manifest.json", "run.json", "failed.json", ".units"
"""What lies beside a product's own files."""

_MAX_MESSAGE = 500


class Build:
    """What a station fills while it makes one product; `Products.building` returns it to a `with`.

    `put`, `metric` and `record` come in any order: the manifest sorts. Threads may share only `units` and `meter`.
    """

    def __init__(
        self,
        store: Store,
        region: str,
        place: Place,
        *,
        fingerprint: str,
        inputs: Inputs,
        grid: GridRecord | None,
        software: Mapping[str, str],
    ) -> None:
        self._store = store
        self._region = region
        self._place = place
        self._folder = f"{region}/{place.folder}"
        self._fingerprint = fingerprint
        self._inputs = inputs
        self._grid = grid
        self._software = dict(software)
        self._files: dict[str, tuple[FileEntry, Path]] = {}
        self._metrics: dict[str, JsonValue] = {}
        self._ledger: list[dict[str, JsonValue]] = []
        self._reason: str | None = None
        self._scratch: Path | None = None
        self._manifest: Manifest | None = None
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self.units = Checkpoint(store, f"{self._folder}/{UNITS}/{fingerprint}")
        """Finished units of this fingerprint, of this and of killed runs."""
        self.meter = Meter()
        """Counts what is read of archives; volatile, so it goes to `run.json` alone."""

    @property
    def region(self) -> str:
        """Name of the region whose product it is."""
        return self._region

    @property
    def place(self) -> Place:
        """Where the product will stand."""
        return self._place

    @property
    def fingerprint(self) -> str:
        """Of the product to be made."""
        return self._fingerprint

    @property
    def manifest(self) -> Manifest:
        """The published manifest; `ProductError` before the build is over."""
        if self._manifest is None:
            raise ProductError(f"{self._named}: asked for its manifest while still building. Leave the `with` first.")
        return self._manifest

    def scratch(self, name: str) -> Path:
        """A local path for building the file `name`; its folder exists, and goes when the build is over."""
        if self._scratch is None:
            self._scratch = self._store.scratch(self._folder)
        path = self._scratch / check_key(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, name: str, content: Path | bytes, role: str, media_type: str) -> None:
        """Add a finished file to the product.

        Parameters
        ----------
        name : str
            Relative to the product's folder; each name once.
        content : Path or bytes
            A file from `scratch` is moved, one from elsewhere copied.
        role : str
            From general to special, such as `mask.probability`.
        media_type : str
            Such as `image/tiff; application=geotiff; profile=cloud-optimized`.
        """
        check_key(name)
        if name in self._files or name in {MANIFEST, RUN, FAILED} or name.startswith("."):
            raise ProductError(f"{self._named}: file {name!r} is reserved or was put before. Choose another name.")
        path = self._staged(name, content)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        entry = FileEntry(name=name, bytes=path.stat().st_size, sha256=digest, role=role, media_type=media_type)
        self._files[name] = entry, path

    def metric(self, name: str, value: object) -> None:
        """Add a number, text, list or mapping to the manifest's metrics; nothing that runs differ in."""
        self._metrics[name] = plain_json(value)

    def record(self, row: Mapping[str, object]) -> None:
        """Add a row to the ledger of inputs; one with `outcome` `LOST` becomes part of the content digest."""
        self._ledger.append({name: plain_json(value) for name, value in row.items()})

    def lies_on(self, geobox: GeoBox) -> None:
        """Say on which grid the product's rasters lie."""
        self._grid = GridRecord.of(geobox)

    def empty(self, reason: str) -> None:
        """Declare that there is nothing to show here, and why; the product is then `empty`."""
        self._reason = reason

    def __enter__(self) -> Self:
        self._store.sweep(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, Exception):
                self._record_failure(error)
            elif error is None:
                self._finish()
        finally:
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def _named(self) -> str:
        return f"Region {self._region}, {self._place}"

    def _staged(self, name: str, content: Path | bytes) -> Path:
        if isinstance(content, Path) and self._scratch is not None and content.is_relative_to(self._scratch):
            return content
        # Beside the caller's own scratch files, whatever those are called.
        path = self.scratch(f"put/{len(self._files)}")
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_bytes(content)
        return path

    def _finish(self) -> None:
        try:
            manifest = self._described()
            with self._store.exclusive(self._folder):
                self._publish(manifest)
                self._store.delete_prefix(f"{self._folder}/{UNITS}")  # of older settings, too
        except Exception as error:
            self._record_failure(error)
            raise
        self._manifest = manifest
        _log.info(
            "%s: %s, %d files, %.1f MB in %.1f s",
            self._named,
            manifest.status,
            len(manifest.files),
            sum(file.bytes for file in manifest.files) / 1e6,
            time.monotonic() - self._clock,
        )

    def _described(self) -> Manifest:
        if not self._files and self._reason is None:
            raise ProductError(f"{self._named}: built no file. Put one, or declare the product empty.")
        month = self._place.month
        return Manifest(
            region=self._region,
            station=self._place.station,
            tile=self._place.tile,
            month=None if month is None else str(month),
            status="done" if self._reason is None else "empty",
            reason=self._reason,
            fingerprint=self._fingerprint,
            inputs=self._inputs,
            files=tuple(self._files[name][0] for name in sorted(self._files)),
            grid=self._grid,
            metrics=self._metrics,
            ledger=tuple(sorted(self._ledger, key=canonical_json)),
            software=self._software,
        )

    def _publish(self, manifest: Manifest) -> None:
        standing = self._standing_manifest()
        if standing == manifest.to_bytes() and self._is_whole(manifest):
            # A rival was faster. Putting the same files again would hide them, for a moment, from its readers.
            self._delete_strays(manifest)
            self._note_retry()
            return
        if standing is not None:
            self._store.delete(f"{self._folder}/{MANIFEST}")
        stamps = {
            file.name: self._store.publish(f"{self._folder}/{file.name}", self._files[file.name][1])
            for file in manifest.files
        }
        for file in manifest.files:
            found = self._store.sha256(f"{self._folder}/{file.name}")
            if found != file.sha256:
                raise CorruptProductError(
                    f"{self._named}, {file.name}: read back sha256 {found}, expected {file.sha256}. "
                    "Disk, network or another program changed it: check them, then run the partition again."
                )
        self._delete_strays(manifest)
        run = self._run_record({name: (stamp.size, stamp.mark) for name, stamp in stamps.items()})
        self._store.write(f"{self._folder}/{RUN}", run.to_bytes())
        self._store.write(f"{self._folder}/{MANIFEST}", manifest.to_bytes())

    def _note_retry(self) -> None:
        """Take the wish for another try from the record of the standing product: lost assets are still lost."""
        key = f"{self._folder}/{RUN}"
        try:
            run = RunRecord.from_bytes(self._store.read(key))
        except MissingProductError:
            return
        if run is not None and run.retry_lost:
            self._store.write(key, run.model_copy(update={"retry_lost": False}).to_bytes())

    def _standing_manifest(self) -> bytes | None:
        try:
            return self._store.read(f"{self._folder}/{MANIFEST}")
        except MissingProductError:
            return None

    def _is_whole(self, manifest: Manifest) -> bool:
        """Whether the store holds every file of the manifest, to the byte."""
        try:
            return all(self._store.sha256(f"{self._folder}/{file.name}") == file.sha256 for file in manifest.files)
        except MissingProductError:
            return False

    def _delete_strays(self, manifest: Manifest) -> None:
        """Remove what the manifest does not name: files of an older product, the record of a failure."""
        named = {f"{self._folder}/{name}" for name in (MANIFEST, RUN, *(file.name for file in manifest.files))}
        units = f"{self._folder}/{UNITS}/"
        for key in list(self._store.keys(self._folder)):
            if key not in named and not key.startswith(units):
                self._store.delete(key)

    def _run_record(self, seals: dict[str, tuple[int, str]]) -> RunRecord:
        return RunRecord(
            started=self._started.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self._clock, 3),
            host=socket.gethostname(),
            pid=getpid(),
            software={"geo_assets": _own_version(), "python": python_version()},
            units=UnitCounts(computed=self.units.computed, reused=self.units.reused),
            traffic=self.meter.snapshot(),
            seals=seals,
        )

    def _record_failure(self, error: Exception) -> None:
        record = FailureRecord(
            fingerprint=self._fingerprint,
            error=type(error).__name__,
            message=without_secrets(str(error)),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            host=socket.gethostname(),
        )
        try:
            self._store.write(f"{self._folder}/{FAILED}", record.to_bytes())
        except GeoAssetsError as refusal:  # the first error is the one to show
            _log.warning("%s: its failure could not be recorded either: %s", self._named, refusal)


def without_secrets(text: str) -> str:
    """`text` of a foreign error, shortened, without the queries and user names of URLs, keys and tokens."""
    text = text[: 4 * _MAX_MESSAGE]
    text = re.sub(r"://[^/\s@]+@", "://", text)
    text = re.sub(r"(://[^\s?'\"]+)\?[^\s'\"]*", r"\1?...", text)
    text = re.sub(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+", r"\1 ...", text)
    text = re.sub(
        r"(?i)((?:secret|token|password|passwd|signature|credential|api[_-]?key)[\w-]*['\"]?\s*[=:]\s*['\"]?)"
        r"[^\s'\",;&]+",
        r"\1...",
        text,
    )
    text = re.sub(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}", "...", text)
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}..."


def _own_version() -> str:
    try:
        return version("geo_assets")
    except PackageNotFoundError:
        return "unknown"
