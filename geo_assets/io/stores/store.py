"""Where products live: one small interface over a local folder and an S3 bucket.

A key is a relative POSIX path. Whatever is written under a key appears whole or not at all, and replaces what
was there in one step. What the keys mean is decided in `products`.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from geo_assets.domain.errors import ProductError, ResourceError
from geo_assets.io.stores.leftovers import TEMPORARY_PREFIX

_KEY_PART = re.compile(r"[A-Za-z0-9._+=@,-]{1,200}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MAX_KEY_LENGTH = 900  # S3 allows 1024 bytes, the store's own prefix included


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a store says about a file without reading it: if it is unchanged, so is the file."""

    size: int
    """Bytes."""
    mark: str
    """Modification time in nanoseconds (local) or ETag (S3)."""


@dataclass(frozen=True, slots=True)
class S3Access:
    """How to reach S3 or a service that speaks its protocol; credentials come from boto3's chain."""

    session: Any = field(default=None, repr=False)
    """A `boto3.session.Session`; None makes one from the environment and the AWS configuration files."""
    endpoint_url: str | None = None
    """Service address, such as a MinIO server's; None is AWS."""
    region: str | None = None
    """AWS region; None takes the session's, then us-east-1."""
    allow_http: bool = False
    """Whether an endpoint without TLS is accepted."""
    cache: Path | None = None
    """Folder for downloaded products and files under construction; None is a private temporary folder."""
    cache_bytes: int = 20 * 2**30
    """Downloads beyond this size are dropped, least recently used first."""


class Store(Protocol):
    """Named bytes that are written whole; `open_store` gives one."""

    @property
    def url(self) -> str:
        """The folder or `s3://bucket/prefix`, without secrets."""

    def read(self, key: str) -> bytes:
        """The bytes under `key`; `MissingProductError` when there are none."""

    def write(self, key: str, data: bytes) -> Stamp:
        """Put `data` under `key` in one step, durably."""

    def publish(self, key: str, path: Path) -> Stamp:
        """Put the finished local file `path` under `key` in one step, durably; `path` is gone afterwards."""

    def local_path(self, key: str, sha256: str) -> Path:
        """A local file with the content of `key`, for readers that need one (rasterio).

        A local store answers with the file itself, unread. S3 answers with a download whose bytes match
        `sha256`, or raises `CorruptProductError`. Absent: `MissingProductError`.
        """

    def stat(self, key: str) -> Stamp | None:
        """Size and modification mark of `key`, None when absent."""

    def sha256(self, key: str) -> str:
        """SHA-256 (hex) of what the store holds under `key` now; `MissingProductError` when absent."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys in the folder `prefix` and below, sorted; files in the making are not among them."""

    def delete(self, key: str) -> None:
        """Remove `key`; an absent one is fine."""

    def delete_prefix(self, prefix: str) -> None:
        """Remove everything in the folder `prefix` and below."""

    def scratch(self, near: str) -> Path:
        """A new, empty local folder for building what will be published under the prefix `near`.

        The caller removes it; `sweep` removes those of killed processes. In a local store it lies on the
        same file system as `near`, so that `publish` is a rename.
        """

    def sweep(self, prefix: str) -> None:
        """Remove what killed processes left half-made under `prefix`; those still alive are spared."""

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        """Hold others off the folder `prefix` while inside, where the store can (a local file system)."""

    def require_writable(self) -> None:
        """Write and remove a small probe; `ResourceError` if that fails."""


def check_key(key: str) -> str:
    """`key` itself if it can name something in a store, else `ProductError`.

    Relative POSIX path of parts made of ASCII letters, digits and ``. _ + = @ , -``, none of them ``.`` or
    ``..`` or like the name of a temporary file.
    """
    parts = key.split("/")
    proper = all(
        _KEY_PART.fullmatch(part) and part not in {".", ".."} and not part.startswith(TEMPORARY_PREFIX)
        for part in parts
    )
    if not proper or len(key) > _MAX_KEY_LENGTH:
        raise ProductError(
            f"Store key: found {key[:120]!r}, expected parts of ASCII letters, digits and . _ + = @ , - "
            "joined by '/', none of them '.' or '..'. Rename the item, region or file it is made from."
        )
    return key


def expanded(text: str) -> Path:
    """`text` as an absolute path, `~` and `~user` replaced; `ResourceError` if there is no such user."""
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ResourceError(f"Path {text}: found no home folder for the user behind ~. Write the path out.") from None


def open_store(url: str, *, s3: S3Access | None = None) -> Store:
    """The store that `url` names; nothing is created or contacted before the first use.

    Parameters
    ----------
    url : str
        A folder (absolute, relative or with `~`), or `s3://bucket/prefix`.
    s3 : S3Access, optional
        How to reach S3; the default is AWS with boto3's credential chain. Ignored for folders.

    Raises
    ------
    ResourceError
        Another scheme, a malformed bucket, credentials inside the URL, or no credentials at all.
    """
    if "://" not in url:
        from geo_assets.io.stores.local_store import LocalStore

        if not url.strip():
            raise ResourceError(
                "Store: found an empty name, expected a folder or s3://bucket/prefix. Leave it out for the default."
            )
        return LocalStore(expanded(url))
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None or parts.query:
        raise ResourceError(
            "Store: found credentials or a query inside the URL, expected s3://bucket/prefix. Take them out; "
            "credentials come from AWS_PROFILE or the AWS configuration files."
        )
    if parts.scheme != "s3" or _BUCKET.fullmatch(parts.netloc) is None:
        raise ResourceError(f"Store: found {url!r}, expected a folder or s3://bucket/prefix. Correct GEO_ASSETS_STORE.")
    from geo_assets.io.stores.s3_store import S3Store  # boto3 costs 0.2 s, a local store should not pay it

    return S3Store(parts.netloc, parts.path.strip("/"), s3 or S3Access())
