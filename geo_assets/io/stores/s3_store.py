"""A store in S3 or a service that speaks it: an object appears by one PUT or a completed multipart upload.

Multipart uploads of killed processes stay invisible in the bucket; a lifecycle rule that aborts incomplete
uploads after some days is what removes them.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import obstore
from botocore.exceptions import BotoCoreError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError

from geo_assets.domain.errors import CorruptProductError, MissingProductError, ResourceError
from geo_assets.io.stores.download_cache import DownloadCache
from geo_assets.io.stores.leftovers import temporary_name
from geo_assets.io.stores.store import S3Access, Stamp, check_key

if TYPE_CHECKING:
    from obstore.store import S3Config

_PART_BYTES = 16 << 20  # 10,000 parts of this allow 160 GB an object
_PARTS_IN_FLIGHT = 4
_DELETE_AT_ONCE = 1000

_REMEDIES = {
    "NoSuchBucket": "Create the bucket, or correct GEO_ASSETS_STORE.",
    "AccessDenied": "Ask for s3:GetObject, PutObject, DeleteObject, ListBucket, or set another AWS_PROFILE.",
    "InvalidAccessKeyId": "Renew the credentials (AWS_PROFILE, `aws configure`).",
    "SignatureDoesNotMatch": "Renew the credentials (AWS_PROFILE, `aws configure`).",
    "ExpiredToken": "Renew the credentials (`aws sso login`, or the profile's own way).",
}
_ELSE_REMEDY = "Check the endpoint, the region and the network, then run again; finished work is kept."


class S3Store:
    """Named bytes under a prefix of a bucket. Satisfies `Store`.

    Usable from several threads; a forked process opens its own.
    """

    def __init__(self, bucket: str, prefix: str, access: S3Access) -> None:
        if prefix:
            check_key(prefix)
        self._url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._objects = _connect(bucket, prefix, access)
        self._cache = DownloadCache(access.cache, max_bytes=access.cache_bytes)

    def __repr__(self) -> str:
        return f"S3Store({self.url!r})"

    @property
    def url(self) -> str:
        """The bucket and prefix, as `s3://bucket/prefix`."""
        return self._url

    def read(self, key: str) -> bytes:
        """The object's bytes; `MissingProductError` when absent."""
        check_key(key)
        with self._refusals("read", key):
            return bytes(obstore.get(self._objects, key).bytes())

    def sha256(self, key: str) -> str:
        """SHA-256 (hex) of the object, streamed; `MissingProductError` when absent."""
        check_key(key)
        digest = hashlib.sha256()
        with self._refusals("read", key):
            for chunk in obstore.get(self._objects, key).stream(min_chunk_size=_PART_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def write(self, key: str, data: bytes) -> Stamp:
        """Put `data` under `key` by one PUT."""
        check_key(key)
        with self._refusals("write", key):
            result = obstore.put(self._objects, key, data, chunk_size=_PART_BYTES)
        return Stamp(len(data), result["e_tag"] or "")

    def publish(self, key: str, path: Path) -> Stamp:
        """Upload the finished file `path` and remove it here; in parts, when it is large."""
        check_key(key)
        size = path.stat().st_size
        with self._refusals("write", key):
            result = obstore.put(self._objects, key, path, chunk_size=_PART_BYTES, max_concurrency=_PARTS_IN_FLIGHT)
        path.unlink()
        return Stamp(size, result["e_tag"] or "")

    def local_path(self, key: str, sha256: str) -> Path:
        """A download whose bytes match `sha256` (hex), kept in the cache for the next caller."""
        check_key(key)
        path = self._cache.find(sha256, Path(key).suffix)
        if path is not None:
            return path
        with self._cache.filling(sha256, Path(key).suffix) as (target, found):
            digest = hashlib.sha256()
            with self._refusals("read", key), target.open("xb") as file:
                for chunk in obstore.get(self._objects, key).stream(min_chunk_size=_PART_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
            if digest.hexdigest() != sha256:
                raise CorruptProductError(
                    f"Store {self.url}, {key}: found sha256 {digest.hexdigest()}, expected {sha256}. "
                    "`geo-assets backfill` rebuilds the product."
                )
        return found

    def stat(self, key: str) -> Stamp | None:
        """Size and ETag; None when absent."""
        check_key(key)
        try:
            with self._refusals("look at", key):
                meta = obstore.head(self._objects, key)
        except MissingProductError:
            return None
        return Stamp(meta["size"], meta["e_tag"] or "")

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys in the folder `prefix` and below, in the order of their characters."""
        folder = f"{check_key(prefix)}/" if prefix else None
        with self._refusals("list", prefix):
            for page in obstore.list(self._objects, prefix=folder):
                yield from (meta["path"] for meta in page)

    def delete(self, key: str) -> None:
        """Remove the object; an absent one is fine."""
        check_key(key)
        with self._refusals("delete", key):
            obstore.delete(self._objects, key)

    def delete_prefix(self, prefix: str) -> None:
        """Remove all objects in the folder `prefix` and below."""
        doomed = list(self.keys(prefix))
        with self._refusals("delete", prefix):
            for first in range(0, len(doomed), _DELETE_AT_ONCE):
                obstore.delete(self._objects, doomed[first : first + _DELETE_AT_ONCE])

    def scratch(self, near: str) -> Path:
        """A new folder beside the download cache."""
        check_key(near)
        folder = self._cache.folder / temporary_name()
        folder.mkdir()
        return folder

    def sweep(self, prefix: str) -> None:
        """Remove local scratch folders of processes that are gone; the bucket never shows half an object."""
        check_key(prefix)
        self._cache.sweep()

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        """Nothing: S3 has no locks. Runs of one fingerprint write the same bytes; of two, `done` notices."""
        check_key(prefix)
        return nullcontext()

    def require_writable(self) -> None:
        """Write and remove a small probe; `ResourceError` if that fails."""
        probe = f".probe-{temporary_name().lstrip('.')}"
        self.write(probe, b"probe")
        self.delete(probe)

    @contextmanager
    def _refusals(self, action: str, key: str) -> Iterator[None]:
        """Turn what obstore raises into our errors, without its text: that may quote requests and headers."""
        try:
            yield
        except FileNotFoundError as error:
            if action == "write" or "NoSuchBucket" in str(error):
                raise self._refusal(action, key, "NoSuchBucket") from None
            raise MissingProductError(
                f"Store {self.url}: expected {key}, found nothing. `geo-assets status` shows what is there."
            ) from None
        except BaseError as error:
            raise self._refusal(action, key, _cause(error)) from None
        except OSError as error:
            raise ResourceError(
                f"Store {self.url}: cannot {action} {key} through {self._cache.folder} "
                f"({error.strerror}). Free some space there, or name another cache folder."
            ) from None

    def _refusal(self, action: str, key: str, cause: str) -> ResourceError:
        remedy = _REMEDIES.get(cause, _ELSE_REMEDY)
        return ResourceError(f"Store {self.url}: cannot {action} {key or 'anything'} ({cause}). {remedy}")


def _cause(error: BaseError) -> str:
    """S3's own error code, else the HTTP status, else the kind of failure; never the message."""
    text = str(error)
    code = re.search(r"<Code>(\w{1,60})</Code>", text)
    if code is not None:
        return code[1]
    status = re.search(r"status code: (\d{3})", text)
    if status is not None:
        return "AccessDenied" if status[1] == "403" else f"HTTP {status[1]}"
    if "error sending request" in text or "Connect" in text:
        return "no connection"
    return type(error).__name__.removesuffix("Error")


def _connect(bucket: str, prefix: str, access: S3Access) -> obstore.store.S3Store:
    """The bucket through obstore, signed by boto3's credentials; nothing is contacted yet."""
    endpoint = access.endpoint_url
    if endpoint is not None and "@" in endpoint:
        raise ResourceError("S3 endpoint: found credentials inside the URL, expected https://host. Take them out.")
    if endpoint is not None and not endpoint.startswith("https://") and not access.allow_http:
        raise ResourceError(
            f"S3 endpoint: found {endpoint}, expected https://. Allow plain http only for a server you trust."
        )
    try:
        session = access.session if access.session is not None else boto3.session.Session()
        provider = Boto3CredentialProvider(session)
    except (BotoCoreError, ValueError) as error:
        raise ResourceError(
            f"Store s3://{bucket}: found no AWS credentials ({type(error).__name__}). "
            "Set AWS_PROFILE, run `aws configure` or `aws sso login`, or name a folder in GEO_ASSETS_STORE."
        ) from None
    config: S3Config = {"region": access.region or session.region_name or "us-east-1"}
    if endpoint is not None:
        # Named twice: a service-specific address in the environment would otherwise win over ours.
        config |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}
    return obstore.store.S3Store(
        bucket,
        config=config,
        prefix=prefix or None,
        credential_provider=provider,
        client_options={"allow_http": access.allow_http, "timeout": timedelta(minutes=5)},
        retry_config={"max_retries": 6, "retry_timeout": timedelta(minutes=2)},
    )
