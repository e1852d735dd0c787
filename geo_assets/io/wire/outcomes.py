"""How one attempt at a request can end, and what a message says of it.

Errors of the libraries end here: their texts may show a whole address, signature included.
"""

import http.client
import ssl
from dataclasses import dataclass
from typing import Generic, TypeVar

from urllib3 import exceptions as urllib3_errors

from geo_assets.domain.errors import ArchiveRefusedError, AssetLostError

T = TypeVar("T")

LIBRARY_ERRORS = (urllib3_errors.HTTPError, http.client.HTTPException, OSError)
"""What urllib3 and what is below it raise."""

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (urllib3_errors.ProxyError, "a failure of the proxy"),
    (urllib3_errors.NameResolutionError, "a host name that is not known"),
    (urllib3_errors.NewConnectionError, "a refused connection"),
    (urllib3_errors.ConnectTimeoutError, "a connection that was not taken in time"),
    (urllib3_errors.ReadTimeoutError, "an answer that stalled"),
    (TimeoutError, "an answer that stalled"),
    (ssl.SSLError, "a failure of the encryption"),
    (http.client.IncompleteRead, "an answer that broke off"),
    (http.client.RemoteDisconnected, "a connection that was closed without an answer"),
    (ConnectionResetError, "a connection that was reset"),
)
"""What a message says of the libraries' errors, the first that fits."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The answer."""

    value: T


@dataclass(frozen=True, slots=True)
class Failed:
    """It may work next time."""

    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The governor lets no request through."""

    reason: str


@dataclass(frozen=True, slots=True)
class Denied:
    """The host does not let us in."""

    status: int


@dataclass(frozen=True, slots=True, repr=False)
class Moved:
    """The host sends us elsewhere."""

    status: int
    location: str


@dataclass(frozen=True, slots=True)
class Hopeless:
    """Another attempt would end the same; the error is raised where nothing of the libraries hangs on to it."""

    error: ArchiveRefusedError | AssetLostError


def is_about_trust(error: BaseException) -> bool:
    """Whether a certificate was refused, which another attempt does not heal."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _with_causes(error))


def reason_of(error: BaseException) -> str:
    """What went wrong, in our own words."""
    for cause in _with_causes(error):
        for kind, words in _REASONS:
            if isinstance(cause, kind):
                return words
    return f"a broken connection ({type(error).__name__})"


def _with_causes(error: BaseException) -> list[BaseException]:
    """An error and those that it carries as arguments, which is how urllib3 wraps them."""
    found = [error]
    for cause in found:
        found += [argument for argument in cause.args if isinstance(argument, BaseException)]
    return found[::-1]
