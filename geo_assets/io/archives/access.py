"""Files of an archive that is asked over the network: which addresses are opened, and signed by whom."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from geo_assets.domain.errors import ArchiveRefusedError
from geo_assets.domain.scene import SceneAsset
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.facts import Facts, moved
from geo_assets.io.archives.sensors.stac_item import ItemError
from geo_assets.io.reads.byte_source import ByteSource
from geo_assets.io.wire.addresses import HostRule, checked_url, is_loopback, shown
from geo_assets.io.wire.exchange import Wire, utc_now
from geo_assets.io.wire.governor import Governor, HostLimits
from geo_assets.io.wire.meter import Meter
from geo_assets.io.wire.remote_file import RemoteFile
from geo_assets.io.wire.signing import BearerTokens, S3Signatures, SasTokens, Signer, TokenShelf, Unsigned

_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9.-]{3,63})/(?P<key>[!-~]{1,1024})")
_SEARCH_ATTEMPTS = 2
"""A search that fails is asked in another way before it is asked in the same way again."""


class FileAccess:
    """Addresses of one archive, checked and signed.

    Parameters
    ----------
    facts
        The archive.
    catalog_url
        Where its catalogue is asked: its host joins the archive's own, and plays its other services as well.
    credentials
        Sent to the archive's own hosts and to this machine, to no other mirror.
    home
        Folder in which processes share tokens and connection slots; None keeps them in this process.
    now
        Aware time of day.
    """

    def __init__(
        self,
        facts: Facts,
        catalog_url: str,
        credentials: Credentials,
        *,
        home: Path | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._facts, self._catalog_url, self._credentials = facts, catalog_url, credentials
        own = HostRule(facts.hosts)
        self._is_moved = moved(facts.catalog_url, catalog_url, facts) != facts.catalog_url
        self._is_trusted = not self._is_moved or is_loopback(urlsplit(catalog_url).hostname or "")
        self.rule = own.plus(catalog_url) if self._is_moved else own
        checked_url(catalog_url, self.rule)
        limits = HostLimits(facts.connections, facts.requests_per_minute)
        slots = home / "slots" if home is not None and facts.connections_are_per_account else None
        governor = Governor(limits, slots_folder=slots)
        self.wire = Wire(self.rule, governor=governor, now=now)
        self.search_wire = Wire(self.rule, governor=governor, attempts=_SEARCH_ATTEMPTS, now=now)
        shelf = TokenShelf(None if home is None else home / "tokens")
        self._sas = self._sas_tokens(shelf, now)
        self._s3 = self._s3_signatures(now)
        self._bearer = self._bearer_tokens(shelf, now)

    def address(self, service_url: str) -> str:
        """Where one of the archive's other services is asked."""
        return moved(service_url, self._catalog_url, self._facts)

    def checked(self, asset: SceneAsset) -> SceneAsset:
        """The asset with its addresses unsigned, without query.

        Raises
        ------
        ItemError
            An address has another scheme than http(s) or the archive's S3, another host or bucket, or hides something.
        """
        alternate = None if asset.alternate is None else self._checked_href(asset.alternate)
        return replace(asset, href=self._checked_href(asset.href), alternate=alternate)

    def open(self, asset: SceneAsset, *, where: str, meter: Meter | None = None) -> ByteSource:
        """See `Archive.open`."""
        try:
            asset = self.checked(asset)
        except ItemError as error:
            raise ArchiveRefusedError(
                f"{where}: {error}. Name the item in selection.exclude, or choose another archive."
            ) from None
        href, signer = self._opened_by(asset, where)
        return RemoteFile(
            href,
            wire=self.wire,
            where=where,
            signer=signer,
            meter=meter,
            size_bytes=asset.size_bytes,
            checksum=asset.checksum,
        )

    def let_in(self) -> str:
        """What our credentials are good for, tried as far as that goes without reading a file.

        Raises
        ------
        ArchiveError
            They are missing, or refused.
        """
        if self._bearer is not None and self._facts.identity_url is not None:
            self._bearer.signed(self.address(self._facts.identity_url))
            return "logged in"
        if self._s3 is not None and self._facts.identity_url is not None:
            return "S3 keys are set; the read will tell whether they are good"
        if self._facts.identity_url is not None:
            raise self._locked_out("Login")
        if self._sas is not None:
            key = "with" if self._credentials.pc_subscription_key is not None and self._is_trusted else "without"
            return f"tokens are for everybody, {key} a subscription key; the read will tell"
        return "no login needed"

    def close(self) -> None:
        """End the login, unless other processes share it, and close idle connections."""
        if self._bearer is not None:
            self._bearer.close()
        self.wire.close()
        self.search_wire.close()

    def _checked_href(self, href: str) -> str:
        plain = re.split(r"[?#]", href, maxsplit=1)[0]
        if plain.startswith("s3://"):
            match, buckets = _S3.fullmatch(plain), self._facts.buckets
            if match is None or any(part in ("", ".", "..") for part in match["key"].split("/")):
                raise ItemError(f"href {shown(href)} is no s3://BUCKET/KEY")
            if buckets is None or match["bucket"] not in buckets.names:
                raise ItemError(f"href {shown(href)}: bucket {match['bucket']} is not the archive's")
            return plain
        try:
            return checked_url(plain, self.rule)
        except ArchiveRefusedError as error:
            raise ItemError(f"href: {error}".rstrip(".")) from None

    def _opened_by(self, asset: SceneAsset, where: str) -> tuple[str, Signer]:
        """The address that can be opened with what we have, and its signer."""
        if not asset.href.startswith("s3://"):
            return asset.href, self._signer_of(asset.href, where)
        if self._s3 is not None:
            return asset.href, self._s3
        if asset.alternate is not None and self._bearer is not None:
            return asset.alternate, self._bearer
        raise self._locked_out(where)

    def _signer_of(self, href: str, where: str) -> Signer:
        if self._sas is not None:
            return self._sas
        if self._facts.identity_url is None:
            return Unsigned()
        if self._bearer is None:
            raise self._locked_out(where)
        return self._bearer

    def _locked_out(self, where: str) -> ArchiveRefusedError:
        needed = [" and ".join(one.variables) for one in self._facts.credentials if one.needed]
        if self._is_trusted:
            return ArchiveRefusedError(
                f"{where}: archive {self._facts.name} asks who we are, and no credentials are set. "
                f"Set {', or '.join(needed)} in the environment."
            )
        host = urlsplit(self._catalog_url).hostname
        return ArchiveRefusedError(
            f"{where}: credentials of {self._facts.name} are not sent to {host}, which is not its own host. "
            "Leave catalog_url out."
        )

    def _sas_tokens(self, shelf: TokenShelf, now: Callable[[], datetime]) -> SasTokens | None:
        if self._facts.sas_url is None:
            return None
        key = self._credentials.pc_subscription_key if self._is_trusted else None
        return SasTokens(self.wire, self.address(self._facts.sas_url), subscription_key=key, shelf=shelf, now=now)

    def _s3_signatures(self, now: Callable[[], datetime]) -> S3Signatures | None:
        """For those who have keys; AWS's own chain is asked when the first file is opened."""
        buckets, given = self._facts.buckets, self._credentials
        if buckets is None or not self._is_trusted:
            return None
        if buckets.keys == "cdse" and given.cdse_s3_access_key is None:
            return None
        endpoint = buckets.endpoint_url
        if self._is_moved:
            endpoint = moved(endpoint or "https://s3.amazonaws.com", self._catalog_url, self._facts)
        if buckets.keys == "aws":
            return S3Signatures(
                session=given.aws_session,
                endpoint_url=endpoint,
                region=buckets.region,
                path_style=endpoint is not None,
                requester_pays=buckets.requester_pays,
                buckets=buckets.names,
                now=now,
            )
        return S3Signatures(
            access_key=given.cdse_s3_access_key,
            secret_key=given.cdse_s3_secret_key,
            endpoint_url=endpoint,
            region=buckets.region,
            path_style=True,
            buckets=buckets.names,
            remedy="Make new S3 keys in CDSE's key manager, for they expire, and set CDSE_S3_ACCESS_KEY and "
            "CDSE_S3_SECRET_KEY.",
            now=now,
        )

    def _bearer_tokens(self, shelf: TokenShelf, now: Callable[[], datetime]) -> BearerTokens | None:
        url, given = self._facts.identity_url, self._credentials
        if url is None or not self._is_trusted or given.cdse_username is None or given.cdse_password is None:
            return None
        return BearerTokens(
            self.wire,
            f"{self.address(url)}/token",
            username=given.cdse_username.get_secret_value(),
            password=given.cdse_password,
            totp=given.cdse_totp,
            hosts=self.rule,
            logout_url=f"{self.address(url)}/logout",
            shelf=shelf,
            now=now,
        )
