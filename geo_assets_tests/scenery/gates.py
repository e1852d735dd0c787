"""How archives let their users in, played by `fault_server`: signatures, logins, keys."""

import base64
import hashlib
import hmac
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import parse_qs, urlencode

from geo_assets_tests.scenery.clock import Clock

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a gate sees of a request."""

    path: str
    query: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""


class Gate(Protocol):
    """Lets a request for a file pass, or says why not."""

    def refusal(self, asked: Asked) -> str | None:
        """None where the request may pass."""
        ...


@dataclass(frozen=True, slots=True)
class QueryGate:
    """One secret query for everybody and for ever."""

    secret: str

    def refusal(self, asked: Asked) -> str | None:
        return None if asked.query == self.secret else "the query is not the secret one"


@dataclass
class SasGate:
    """Planetary Computer's signing: tokens for a container, with a lifetime.

    The token endpoint is `/api/sas/v1/token/{account}/{container}`, the files are
    `/{account}/{container}/...`, as Azure's storage has them on a single host.
    """

    clock: Clock
    lifetime_s: float = 2700.0
    issued: Counter[str] = field(default_factory=Counter)
    """`account/container` -> tokens handed out."""
    subscription_key: str | None = None
    """Header without which no token is given."""
    revoked: bool = False
    """True refuses every signature, whatever its age."""
    _key: bytes = b"storage account key"
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def token(self, asked: Asked, container: str) -> tuple[int, bytes]:
        """Status and body of an answer to a signing request."""
        key = asked.headers.get("ocp-apim-subscription-key")
        if self.subscription_key is not None and key != self.subscription_key:
            return 401, b'{"detail": "Access denied due to missing subscription key."}'
        with self._lock:
            self.issued[container] += 1
        now = self.clock.now()
        expiry = f"{now + timedelta(seconds=self.lifetime_s):{_TIME}}"
        start = f"{now - timedelta(days=1):{_TIME}}"
        stated = {"st": start, "se": expiry, "sp": "rl", "sv": "2024-05-04", "sr": "c", "skoid": "c85c15d6-d1ae-42d4"}
        token = urlencode(stated | {"sig": self._signature(container, expiry)})
        return 200, json.dumps({"msft:expiry": expiry, "token": token}).encode()

    def refusal(self, asked: Asked) -> str | None:
        fields = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if any(len(values) > 1 for values in parse_qs(asked.query).values()):
            return "signed twice"
        if "sig" not in fields or "se" not in fields:
            return "no signature"
        container = "/".join(asked.path.split("/")[1:3])
        if self.revoked or not hmac.compare_digest(fields["sig"], self._signature(container, fields["se"])):
            return "wrong signature"
        if datetime.strptime(fields["se"], _TIME).replace(tzinfo=UTC) <= self.clock.now():
            return "signature expired"
        return None

    def _signature(self, container: str, expiry: str) -> str:
        digest = hmac.digest(self._key, f"{container}\n{expiry}".encode(), hashlib.sha256)
        return base64.b64encode(digest).decode()


@dataclass
class PresignedGate:
    """An S3 service that believes every signature of a known key that has not expired; path-style addresses."""

    clock: Clock
    access_key: str = "TESTKEY"
    expired: bool = False
    """True when the key itself is no longer accepted."""
    requester_pays: bool = False
    """True refuses those who do not say that they pay."""

    def refusal(self, asked: Asked) -> str | None:
        fields = {name.lower(): values[0] for name, values in parse_qs(asked.query).items()}
        header = asked.headers.get("authorization", "")
        credential = fields.get("x-amz-credential") or header.partition("Credential=")[2].partition(",")[0]
        if not credential or not (fields.get("x-amz-signature") or "Signature=" in header):
            return "AccessDenied: no signature"
        if self.expired or credential.split("/")[0] != self.access_key:
            return "InvalidAccessKeyId: the key does not exist or has expired"
        payer = fields.get("x-amz-request-payer") or asked.headers.get("x-amz-request-payer")
        if self.requester_pays and payer != "requester":
            return "AccessDenied: requester pays"
        if "x-amz-date" in fields:
            made = datetime.strptime(fields["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            if made + timedelta(seconds=float(fields.get("x-amz-expires", "900"))) <= self.clock.now():
                return "AccessDenied: Request has expired"
        return None


@dataclass
class BearerGate:
    """CDSE's identity service: password and refresh-token grants, access tokens with a lifetime, sessions."""

    clock: Clock
    username: str = "somebody"
    password: str = "p4ssw0rd"
    totp: str | None = None
    access_s: float = 600.0
    refresh_s: float = 3600.0
    logins: int = 0
    refreshes: int = 0
    logouts: int = 0
    _sessions: dict[str, datetime] = field(default_factory=dict)
    """Refresh token -> until when."""
    _access: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """Access token -> its session's first refresh token, and until when."""
    _number: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def open_sessions(self) -> int:
        """Logged in and neither logged out nor expired."""
        now = self.clock.now()
        with self._lock:
            return sum(until > now for until in self._sessions.values())

    def token(self, asked: Asked) -> tuple[int, bytes]:
        """Status and body of an answer to a POST of a form."""
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        now = self.clock.now()
        with self._lock:
            if form.get("client_id") != "cdse-public":
                return 401, b'{"error": "invalid_client"}'
            if form.get("grant_type") == "password":
                given = (form.get("username"), form.get("password"), form.get("totp"))
                if given != (self.username, self.password, self.totp):
                    return 401, b'{"error": "invalid_grant", "error_description": "Invalid user credentials"}'
                self.logins += 1
            elif form.get("grant_type") == "refresh_token":
                until = self._sessions.pop(form.get("refresh_token", ""), None)
                if until is None or until <= now:
                    return 400, b'{"error": "invalid_grant", "error_description": "Token is not active"}'
                self.refreshes += 1
            else:
                return 400, b'{"error": "unsupported_grant_type"}'
            self._number += 1
            access, refresh = f"access-SECRET-{self._number}", f"refresh-SECRET-{self._number}"
            self._sessions[refresh] = now + timedelta(seconds=self.refresh_s)
            self._access[access] = (refresh, now + timedelta(seconds=self.access_s))
        answer = {
            "access_token": access,
            "expires_in": round(self.access_s),
            "refresh_expires_in": round(self.refresh_s),
            "refresh_token": refresh,
            "token_type": "Bearer",
            "scope": "email profile",
        }
        return 200, json.dumps(answer).encode()

    def logout(self, asked: Asked) -> tuple[int, bytes]:
        """Status and body of an answer to a logout."""
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        with self._lock:
            if self._sessions.pop(form.get("refresh_token", ""), None) is None:
                return 400, b'{"error": "invalid_grant"}'
            self.logouts += 1
        return 204, b""

    def refusal(self, asked: Asked) -> str | None:
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        with self._lock:
            _, until = self._access.get(token, ("", None))
        if scheme != "Bearer" or until is None:
            return "no access token"
        return None if until > self.clock.now() else "access token expired"
