"""How a file's address becomes one that opens it: nothing added, a SAS token, a bearer token, or an S3 signature.

Addresses are kept unsigned everywhere, and signed for each request; what a signature holds appears in no message.
"""

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from geo_assets.domain.errors import ArchiveError, ArchiveRefusedError
from geo_assets.io.wire.addresses import HostRule, checked_url, shown
from geo_assets.io.wire.token_shelf import Token, TokenShelf

if TYPE_CHECKING:
    from geo_assets.io.wire.exchange import Wire

__all__ = ["BearerTokens", "S3Signatures", "SasTokens", "Signed", "Signer", "TokenShelf", "Unsigned", "storage_account"]

_log = logging.getLogger(__name__)

_TOKEN_LIMIT_BYTES = 65_536
_LONGEST_SECRET = 16_384
_LONGEST_LIFE = timedelta(days=1)  # asked again at least daily, whatever a token says of itself

_BLOB_HOSTS = ".blob.core.windows.net"
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"[a-z0-9]([a-z0-9-]{1,61})[a-z0-9]")
_SAS_PARAMETERS = frozenset(
    """sv ss srt sr st se sp sip spr sig si sdd sks skv ske skt skoid sktid saoid suoid scid ses rscc rscd rsce rscl
    rsct""".split()
)
_SAS_TOKEN = re.compile(r"[A-Za-z]+=[A-Za-z0-9%:/+._~=-]*(&[A-Za-z]+=[A-Za-z0-9%:/+._~=-]*)*")
_SAS_MARGIN = timedelta(minutes=5)
_TOKEN_REFUSED = frozenset({400, 401, 403, 404})

_KEY = re.compile(r"[!-~]{1,1024}")

_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_BEARER_MARGIN = timedelta(minutes=1)
_LOGIN_REFUSED = frozenset({400, 401, 403, 404, 405})

_S3_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>[^\x00-\x1f\x7f]{1,1024})")
_PRESIGNED_LIFE = timedelta(minutes=15)
_PRESIGNED_MARGIN = timedelta(minutes=5)
_KEPT_SIGNATURES = 4_096


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, repr=False)
class Signed:
    """An address that opens a file for a while, and the headers that belong to it."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Signed({shown(self.url)})"


class Signer(Protocol):
    """Signs addresses; usable from many threads."""

    @property
    def remedy(self) -> str:
        """What a user does when a host refuses what was signed."""
        ...

    def signed(self, href: str) -> Signed:
        """The address as it is asked now; signing what is signed already gives a fresh signature.

        Raises
        ------
        ArchiveError
            There are no credentials, or they cannot be got now.
        """
        ...

    def renew(self, href: str, refused: Signed | None = None) -> None:
        """Get new credentials, for the host refused (401, 403) what was `signed`.

        Where another thread or process has already renewed what `refused` was signed with, nothing is done.
        """
        ...


class Unsigned:
    """Files that everybody may read."""

    remedy = "The archive's files are public: it may be down, or block this network. Try later, or another archive."

    def signed(self, href: str) -> Signed:
        """The address itself."""
        return Signed(href)

    def renew(self, href: str, refused: Signed | None = None) -> None:
        """Nothing: there are no credentials."""


def storage_account(href: str) -> tuple[str, str]:
    """The Azure storage account and container of a file.

    `https://ACCOUNT.blob.core.windows.net/CONTAINER/...`; on any other host, which is a mirror,
    `https://HOST/ACCOUNT/CONTAINER/...`.

    Raises
    ------
    ArchiveRefusedError
        The address names none.
    """
    parts = urlsplit(href)
    host, segments = (parts.hostname or "").lower(), parts.path.split("/")[1:]
    if host.endswith(_BLOB_HOSTS):
        segments = [host.removesuffix(_BLOB_HOSTS), *segments]
    if len(segments) < 3 or not _ACCOUNT.fullmatch(segments[0]) or not _CONTAINER.fullmatch(segments[1]):
        raise ArchiveRefusedError(
            f"Address {shown(href)}: names no storage account and container, so that there is no token for it. "
            "Use the archive's own address of the file, or a mirror that keeps /ACCOUNT/CONTAINER/ in front."
        )
    return segments[0], segments[1]


class SasTokens:
    """Shared access signatures as the Planetary Computer hands them out, one for each storage container.

    Parameters
    ----------
    wire
        Asks for the tokens; the token service's host is on its list.
    sas_url
        `GET {sas_url}/token/{account}/{container}` answers `{"token": ..., "msft:expiry": ...}`.
    subscription_key
        Raises the service's rate limit; not needed.
    shelf
        Shares tokens; by default each instance has its own.
    account_of
        Account and container of an address.
    now
        Aware time of day.
    """

    remedy = (
        "The archive hands out a token, and its storage refuses it: correct this machine's clock if it is wrong, "
        "and try again later."
    )

    def __init__(
        self,
        wire: "Wire",
        sas_url: str,
        *,
        subscription_key: SecretStr | None = None,
        shelf: TokenShelf | None = None,
        account_of: Callable[[str], tuple[str, str]] = storage_account,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._wire = wire
        self._sas_url = sas_url.rstrip("/")
        self._key = subscription_key
        if subscription_key is not None and not _KEY.fullmatch(subscription_key.get_secret_value()):
            raise ArchiveRefusedError(
                "The subscription key holds characters that no key has, or none. Correct it in the environment."
            )
        self._shelf = shelf or TokenShelf()
        self._account_of = account_of
        self._now = now
        self._service = _short_digest(self._sas_url)

    def signed(self, href: str) -> Signed:
        """The address with its container's token, in place of any that it has."""
        token = self._token(href, lambda token: False)
        plain = _without_sas(href)
        return Signed(f"{plain}{'&' if '?' in plain else '?'}{token.secret.get_secret_value()}")

    def renew(self, href: str, refused: Signed | None = None) -> None:
        """Get a new token for the address's container."""
        self._token(href, lambda token: refused is None or token.secret.get_secret_value() in refused.url)

    def _token(self, href: str, is_refused: Callable[[Token], bool]) -> Token:
        account, container = self._account_of(href)
        return self._shelf.token(
            f"sas-{self._service}-{account}-{container}",
            good=lambda token: token.lasts(self._now(), margin=_SAS_MARGIN) and not is_refused(token),
            fetch=lambda _: self._fetched(account, container),
        )

    def _fetched(self, account: str, container: str) -> Token:
        what = f"Token for storage container {account}/{container}"
        reply = self._wire.request(
            "GET",
            f"{self._sas_url}/token/{account}/{container}",
            headers={} if self._key is None else {"Ocp-Apim-Subscription-Key": self._key.get_secret_value()},
            limit_bytes=_TOKEN_LIMIT_BYTES,
            what=what,
            accept=_TOKEN_REFUSED,
        )
        if reply.status in _TOKEN_REFUSED:
            key = "with this subscription key: correct or unset it" if self._key else "without a subscription key"
            raise ArchiveRefusedError(f"{what}: the service gives none (HTTP {reply.status}) {key}.")
        answer, now = _document(reply.body, what), self._now()
        secret, expiry = answer.get("token"), _time(answer.get("msft:expiry"))
        if not isinstance(secret, str) or not _SAS_TOKEN.fullmatch(secret) or len(secret) > _LONGEST_SECRET:
            raise ArchiveRefusedError(f"{what}: the service's answer holds no token. Nothing is signed with it.")
        if expiry is None:
            raise ArchiveRefusedError(f"{what}: the service does not say when it ends. Nothing is signed with it.")
        if expiry <= now:
            raise ArchiveRefusedError(
                f"{what}: ended {expiry:%Y-%m-%d %H:%M:%S} UTC when it was handed out, by this machine's clock "
                f"({now:%Y-%m-%d %H:%M:%S} UTC). Correct the clock."
            )
        return Token(SecretStr(secret), issued=now, expires=min(expiry, now + _LONGEST_LIFE))


class BearerTokens:
    """Tokens of a login at an OpenID service, as the Copernicus Data Space has it.

    One session serves a deployment: its refresh token gets the next access token, and only when that has ended is
    there another login.

    Parameters
    ----------
    wire
        Asks for the tokens; the login service's host is on its list.
    token_url
        Takes the grants `password` (with `totp` where given) and `refresh_token`.
    username, password, totp
        Of the user; `totp` is the code of a second factor, which is good for one login.
    hosts
        The only hosts that a token is ever sent to.
    client_id
        Names this kind of client to the service.
    logout_url
        Ends a session.
    shelf
        Shares the session; by default each instance has its own.
    now
        Aware time of day.
    """

    remedy = (
        "The login works, and its token is refused: see whether the account may read this data, and whether it has "
        "used up its quota."
    )

    def __init__(
        self,
        wire: "Wire",
        token_url: str,
        *,
        username: str,
        password: SecretStr,
        hosts: HostRule,
        totp: SecretStr | None = None,
        client_id: str = "cdse-public",
        logout_url: str | None = None,
        shelf: TokenShelf | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._wire = wire
        self._token_url, self._logout_url = token_url, logout_url
        self._username, self._password, self._totp = username, password, totp
        self._client_id = client_id
        self._hosts = hosts
        self._shelf = shelf or TokenShelf()
        self._now = now
        self._name = f"bearer-{_short_digest(token_url, client_id, username)}"

    def signed(self, href: str) -> Signed:
        """The address with an `Authorization` header."""
        checked_url(href, self._hosts)
        token = self._token(lambda token: False)
        return Signed(href, {"Authorization": f"Bearer {token.secret.get_secret_value()}"})

    def renew(self, href: str, refused: Signed | None = None) -> None:
        """Get a new access token, by the session's refresh token if that is still good."""
        header = "" if refused is None else refused.headers.get("Authorization", "")
        self._token(lambda token: refused is None or header == f"Bearer {token.secret.get_secret_value()}")

    def log_out(self) -> None:
        """End the session, for all processes that share it; a failure is logged, and the session ends by itself."""
        token = self._shelf.held(self._name)
        self._shelf.drop(self._name)
        if self._logout_url is None or token is None or token.refresh is None:
            return
        form = {"client_id": self._client_id, "refresh_token": token.refresh.get_secret_value()}
        try:
            self._posted(self._logout_url, form, what="Log-out")
        except ArchiveError as error:
            _log.warning("The session is not ended: %s", error)

    def close(self) -> None:
        """End the session, unless other processes may go on with it: a shared one serves the next partition too."""
        if not self._shelf.is_shared:
            self.log_out()

    def _token(self, is_refused: Callable[[Token], bool]) -> Token:
        return self._shelf.token(
            self._name,
            good=lambda token: token.lasts(self._now(), margin=_BEARER_MARGIN) and not is_refused(token),
            fetch=self._fetched,
        )

    def _fetched(self, old: Token | None) -> Token:
        """The next token of the session that an old one belongs to, or of a new session."""
        client = {"client_id": self._client_id}
        can_refresh = old is not None and old.refresh_expires is not None and self._now() < old.refresh_expires
        if old is not None and old.refresh is not None and can_refresh:
            form = {**client, "grant_type": "refresh_token", "refresh_token": old.refresh.get_secret_value()}
            status, answer = self._posted(self._token_url, form, what="Renewal of the login")
            if status == 200:
                return self._token_from(answer)
        form = {
            **client,
            "grant_type": "password",
            "username": self._username,
            "password": self._password.get_secret_value(),
        }
        if self._totp is not None:
            form["totp"] = self._totp.get_secret_value()
        status, answer = self._posted(self._token_url, form, what="Login")
        if status == 200:
            return self._token_from(answer)
        code = answer.get("error")
        said = f", {code}" if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else ""
        raise ArchiveRefusedError(
            f"Login at {shown(self._token_url)}: refused (HTTP {status}{said}). Correct the user name and password; "
            "with a second factor, give its present code."
        )

    def _posted(self, url: str, form: Mapping[str, str], *, what: str) -> tuple[int, Mapping[str, Any]]:
        what = f"{what} at {shown(url)}"
        reply = self._wire.request(
            "POST",
            url,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode("ascii"),
            limit_bytes=_TOKEN_LIMIT_BYTES,
            what=what,
            accept=_LOGIN_REFUSED,
        )
        return reply.status, _document(reply.body, what) if reply.body else {}

    def _token_from(self, answer: Mapping[str, Any]) -> Token:
        now = self._now()
        secret, life = answer.get("access_token"), _lifetime(answer.get("expires_in"))
        refresh, refresh_life = answer.get("refresh_token"), _lifetime(answer.get("refresh_expires_in"))
        if not _is_bearer(secret) or life is None:
            raise ArchiveRefusedError(
                f"Login at {shown(self._token_url)}: the answer holds no token, or not for how long. Nothing is "
                "signed with it."
            )
        has_refresh = _is_bearer(refresh) and refresh_life is not None
        return Token(
            SecretStr(str(secret)),
            issued=now,
            expires=now + life,
            refresh=SecretStr(str(refresh)) if has_refresh else None,
            refresh_expires=now + refresh_life if has_refresh and refresh_life is not None else None,
        )


class S3Signatures:
    """`s3://BUCKET/KEY` as presigned https addresses, made on this machine; other addresses stay as they are.

    Parameters
    ----------
    session
        Makes a boto3 session, whose chain (environment, files, roles) finds the credentials; made anew at a renewal,
        so that a session's successor is found. By default that of the machine.
    access_key, secret_key
        Fixed credentials instead.
    endpoint_url
        Of a service other than Amazon's.
    region
        Of the buckets.
    path_style
        Whether buckets are named in the path rather than in the host.
    requester_pays
        Whether this account agrees to pay for what is read.
    buckets
        The only ones that are signed for; None: all.
    remedy
        What a user does without credentials, or with those refused.
    now
        Aware time of day.
    """

    def __init__(
        self,
        *,
        session: Callable[[], Any] | None = None,
        access_key: SecretStr | None = None,
        secret_key: SecretStr | None = None,
        endpoint_url: str | None = None,
        region: str | None = None,
        path_style: bool = False,
        requester_pays: bool = False,
        buckets: tuple[str, ...] | None = None,
        remedy: str = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and renew what has expired.",
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._session = session
        self._access_key, self._secret_key = access_key, secret_key
        self._endpoint_url, self._region, self._path_style = endpoint_url, region, path_style
        self._requester_pays = requester_pays
        self._buckets = buckets
        self.remedy = remedy
        self._now = now
        self._client: Any = None
        self._signed: dict[str, tuple[Signed, datetime]] = {}
        self._lock = threading.Lock()

    def signed(self, href: str) -> Signed:
        """The address presigned for a GET, good for a quarter of an hour; the same one until near its end."""
        if not href.startswith("s3://"):
            return Signed(href)
        kept = self._signed.get(href)
        if kept is not None and self._now() < kept[1]:
            return kept[0]
        with self._lock:
            if len(self._signed) >= _KEPT_SIGNATURES:
                self._signed.clear()
            signed = self._presigned(href)
            self._signed[href] = signed, self._now() + _PRESIGNED_LIFE - _PRESIGNED_MARGIN
            return signed

    def renew(self, href: str, refused: Signed | None = None) -> None:
        """Look for credentials anew, and sign with them."""
        with self._lock:
            kept = self._signed.get(href)
            if refused is None or (kept is not None and kept[0].url == refused.url):
                self._client = None
                self._signed.clear()

    def _presigned(self, href: str) -> Signed:
        found = _S3_ADDRESS.fullmatch(href)
        if found is None or any(segment in (".", "..") for segment in found["key"].split("/")):
            raise ArchiveRefusedError(
                f"Address {shown(href)}: is no s3://BUCKET/KEY. The catalogue's entry is not used."
            )
        if self._buckets is not None and found["bucket"] not in self._buckets:
            raise ArchiveRefusedError(
                f"Address {shown(href)}: bucket {found['bucket']} is not the archive's ({', '.join(self._buckets)}). "
                "The catalogue's entry is not used."
            )
        if self._client is None:
            self._client = self._new_client()
        parameters = {"Bucket": found["bucket"], "Key": found["key"]}
        headers = {}
        if self._requester_pays:
            parameters["RequestPayer"] = headers["x-amz-request-payer"] = "requester"  # signed, and so also sent
        seconds = int(_PRESIGNED_LIFE.total_seconds())
        url = self._client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds)
        return Signed(url, headers)

    def _new_client(self) -> Any:
        """A boto3 client; it only computes, and nothing is sent with it."""
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        style = "path" if self._path_style else "virtual"
        fault = "no credentials are set"
        try:
            session = self._new_session(boto3)
            if session.get_credentials() is not None:
                config = Config(signature_version="s3v4", s3={"addressing_style": style})
                return session.client("s3", endpoint_url=self._endpoint_url, region_name=self._region, config=config)
        except BotoCoreError as error:
            fault = f"the credentials cannot be read ({type(error).__name__})"
        raise ArchiveRefusedError(f"S3 signatures: {fault}. {self.remedy}")

    def _new_session(self, boto3: Any) -> Any:
        if self._access_key is not None and self._secret_key is not None:
            return boto3.session.Session(self._access_key.get_secret_value(), self._secret_key.get_secret_value())
        return boto3.session.Session() if self._session is None else self._session()


def _short_digest(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def _without_sas(href: str) -> str:
    """An address less the parameters of a shared access signature: what was stored with one has long expired."""
    plain, _, query = href.partition("?")
    kept = [pair for pair in query.split("&") if pair and pair.partition("=")[0].lower() not in _SAS_PARAMETERS]
    return f"{plain}?{'&'.join(kept)}" if kept else plain


def _document(body: bytes, what: str) -> Mapping[str, Any]:
    """The JSON object that a service answers."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ArchiveRefusedError(f"{what}: the answer is no JSON object. See whether the address is the service's.")
    return document


def _time(text: object) -> datetime | None:
    """An ISO time, UTC where it does not say; None where it is none."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return time if time is None or time.tzinfo else time.replace(tzinfo=UTC)


def _lifetime(seconds: object) -> timedelta | None:
    """Seconds of an answer, at most a day; None where they are none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        return None
    return timedelta(seconds=min(float(seconds), _LONGEST_LIFE.total_seconds()))


def _is_bearer(secret: object) -> bool:
    """Whether something may stand in an `Authorization` header (RFC 6750, b64token)."""
    return isinstance(secret, str) and len(secret) <= _LONGEST_SECRET and _BEARER.fullmatch(secret) is not None


# botocore writes what it signs, and the signature, to its debug log.
logging.getLogger("botocore.auth").addFilter(lambda record: record.levelno > logging.DEBUG)
