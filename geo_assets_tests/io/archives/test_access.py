"""Files of the archives: who is let in by what, and to whom nothing secret is ever sent."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from geo_assets.domain.errors import ArchiveRefusedError, AssetLostError, ResourceError
from geo_assets.domain.scene import SceneAsset
from geo_assets.io.archives.access import FileAccess
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.known import facts_of
from geo_assets.io.wire.meter import Meter
from geo_assets_tests.scenery.fault_server import FaultServer

CONTENT = bytes(range(256)) * 40
SECRETS = ("p4ssw0rd", "cdse-SECRET-key", "pc-SECRET-key", "access-SECRET", "refresh-SECRET", "sig=")
KEYS = {"CDSE_S3_ACCESS_KEY": "TESTKEY", "CDSE_S3_SECRET_KEY": "cdse-SECRET-key"}
LOGIN = {"CDSE_USERNAME": "somebody", "CDSE_PASSWORD": "p4ssw0rd"}


@pytest.fixture
def files(tmp_path, server) -> Path:
    """A file in everybody's storage, behind the gate that belongs there."""
    for place, gate in (
        ("sentinel2l2a01/sentinel2-l2", server.sas), ("eodata", server.presigned),
        ("odata/v1/Products", server.identity), ("sentinel-cogs", None), ("sentinel-s2-l1c", server.presigned),
    ):  # fmt: skip
        path = tmp_path / "files" / place / "a/b.tif"
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
        server.folder(f"/{place}", tmp_path / "files" / place, gate=gate)
    return tmp_path


def access_of(name: str, server: FaultServer, variables: dict[str, str] | None = None, **settings: Any) -> FileAccess:
    credentials = Credentials.from_environment(variables or {})
    return FileAccess(facts_of(name), f"{server.url}/api/stac/v1", credentials, **settings)


def content_of(access: FileAccess, asset: SceneAsset, meter: Meter | None = None) -> bytes:
    with closing(access.open(asset, where="Item x, band red", meter=meter)) as source:
        return source.head(1 << 20)


def eodata(server: FaultServer, **others: Any) -> SceneAsset:
    return SceneAsset("s3://eodata/a/b.tif", alternate=f"{server.url}/odata/v1/Products/a/b.tif", **others)


def test_the_planetary_computer_s_files_are_signed_with_one_token_for_a_container(server, files):
    access, meter = access_of("pc", server), Meter()
    asset = SceneAsset(f"{server.url}/sentinel2l2a01/sentinel2-l2/a/b.tif")
    for _ in range(3):
        assert content_of(access, asset, meter) == CONTENT
    assert server.sas.issued == {"sentinel2l2a01/sentinel2-l2": 1}
    assert (meter.requests, meter.bytes) == (3, 3 * len(CONTENT))


def test_a_subscription_key_is_used_where_it_is_set(server, files):
    server.sas.subscription_key = "pc-SECRET-key"
    asset = SceneAsset(f"{server.url}/sentinel2l2a01/sentinel2-l2/a/b.tif")
    with pytest.raises(ArchiveRefusedError):
        content_of(access_of("pc", server), asset)
    assert content_of(access_of("pc", server, {"PC_SDK_SUBSCRIPTION_KEY": "pc-SECRET-key"}), asset) == CONTENT


def test_cdse_s_files_come_through_s3_keys_and_without_them_by_login(server, files):
    assert content_of(access_of("cdse", server, KEYS), eodata(server)) == CONTENT
    assert server.requests_for("/eodata/*")
    assert server.identity.logins == 0
    server.forget_requests()
    access = access_of("cdse", server, LOGIN)
    for _ in range(3):
        assert content_of(access, eodata(server)) == CONTENT
    assert server.identity.logins == 1
    assert not server.requests_for("/eodata/*")
    access.close()
    assert server.identity.open_sessions == 0


def test_processes_that_share_a_home_share_a_login(server, files, tmp_path):
    for _ in range(3):
        access = access_of("cdse", server, LOGIN, home=tmp_path / "home")
        assert content_of(access, eodata(server)) == CONTENT
        access.close()  # which does not end what the next one goes on with
    assert server.identity.logins == 1
    assert server.identity.open_sessions == 1


def test_a_size_that_the_catalogue_states_wrongly_is_found_out(server, files):
    access = access_of("cdse", server, KEYS)
    assert content_of(access, eodata(server, size_bytes=len(CONTENT))) == CONTENT
    with pytest.raises(AssetLostError, match="Item x, band red"):
        content_of(access, eodata(server, size_bytes=len(CONTENT) + 1))


@pytest.mark.parametrize("name", ["cdse"])
def test_without_credentials_the_message_says_which_to_set(server, files, name):
    with pytest.raises(ArchiveRefusedError) as refusal:
        content_of(access_of(name, server), eodata(server))
    for part in ("Item x, band red", "CDSE_S3_ACCESS_KEY and CDSE_S3_SECRET_KEY", "CDSE_USERNAME and CDSE_PASSWORD"):
        assert part in str(refusal.value)
    assert server.requests == []


def test_expired_keys_and_wrong_passwords_are_refused_with_the_remedy_and_never_shown(server, files, caplog):
    caplog.set_level("DEBUG")
    server.presigned.expired = True
    with pytest.raises(ArchiveRefusedError, match="Make new S3 keys in CDSE's key manager") as expired:
        content_of(access_of("cdse", server, KEYS), eodata(server))
    with pytest.raises(ArchiveRefusedError, match="Correct the user name and password") as wrong:
        content_of(access_of("cdse", server, LOGIN | {"CDSE_PASSWORD": "wr0ng-SECRET"}), eodata(server))
    shown = f"{expired.value} {wrong.value} {caplog.text}"
    assert not any(secret in shown for secret in (*SECRETS, "wr0ng-SECRET"))


def test_the_requester_pays_for_l1c_of_earth_search(server, files, monkeypatch):
    for name, value in (("AWS_ACCESS_KEY_ID", "TESTKEY"), ("AWS_SECRET_ACCESS_KEY", "aws-SECRET")):
        monkeypatch.setenv(name, value)
    server.presigned.requester_pays = True
    access = access_of("earth-search", server)
    assert content_of(access, SceneAsset("s3://sentinel-s2-l1c/a/b.tif")) == CONTENT
    assert content_of(access, SceneAsset(f"{server.url}/sentinel-cogs/a/b.tif")) == CONTENT
    assert not server.requests_for("/sentinel-cogs/*")[0].is_signed


@pytest.mark.parametrize(
    "href",
    [
        "https://elsewhere.example.org/a.tif", "s3://sentinel-s2-l1c/a.jp2", "s3://eodata/../a.jp2", "/vsis3/eodata/a",
        "file:///etc/passwd", "a/b.tif", "http://localhost:1/a.tif", "s3://eodata", "s3://eodata/a b.jp2",
    ],
)  # fmt: skip
def test_an_address_from_somebody_else_s_table_is_not_opened(server, href):
    with pytest.raises(ArchiveRefusedError, match=r"Item x, band red: href.*selection\.exclude"):
        content_of(access_of("cdse", server, KEYS), SceneAsset(href))


# Mirrors


@pytest.mark.parametrize(("name", "variables"), [("cdse", KEYS), ("cdse", LOGIN), ("cdse", KEYS | LOGIN)])
def test_credentials_are_not_sent_to_a_mirror_on_another_host(name, variables):
    """A region file from a stranger may name any host."""
    mirror = "https://stac.stranger.example.org/v1"
    access = FileAccess(facts_of(name), mirror, Credentials.from_environment(variables))
    asset = SceneAsset("s3://eodata/a/b.tif", alternate="https://zipper.dataspace.copernicus.eu/odata/v1/x")
    with pytest.raises(ArchiveRefusedError, match=r"not sent to stac\.stranger\.example\.org.*Leave catalog_url out"):
        access.open(asset, where="Item x, band red")
    with pytest.raises(ArchiveRefusedError, match="not sent to"):
        access.let_in()


def test_a_mirror_s_host_joins_the_list_and_no_other_does(server):
    access = access_of("pc", server)
    assert access.rule.allows("127.0.0.1", plain=True)
    assert access.rule.allows("sentinel2l2a01.blob.core.windows.net")
    assert not access.rule.allows("localhost", plain=True)
    usual = FileAccess(facts_of("pc"), facts_of("pc").catalog_url, Credentials())
    assert not usual.rule.allows("127.0.0.1", plain=True)
    assert not usual.rule.allows("sentinel2l2a01.blob.core.windows.net", plain=True)


def test_the_usual_services_are_asked_at_their_own_hosts_and_a_mirror_s_at_its_own(server):
    facts = facts_of("cdse")
    usual = FileAccess(facts, facts.catalog_url, Credentials())
    assert usual.address(str(facts.deleted_url)) == facts.deleted_url
    mirrored = access_of("cdse", server)
    assert mirrored.address(str(facts.deleted_url)) == f"{server.url}/odata/v1/DeletedProducts"
    assert mirrored.address(str(facts.identity_url)) == f"{server.url}/auth/realms/CDSE/protocol/openid-connect"


# Credentials


def test_credentials_come_from_the_environment_and_are_never_shown():
    credentials = Credentials.from_environment(
        KEYS | LOGIN | {"PC_SDK_SUBSCRIPTION_KEY": "pc-SECRET-key", "HOME": "/x"}
    )
    assert credentials.cdse_password is not None
    assert credentials.cdse_password.get_secret_value() == "p4ssw0rd"
    shown = (
        f"{credentials!r} {credentials} {credentials.model_dump()} {json.dumps(credentials.model_dump(), default=str)}"
    )
    assert not any(secret in shown for secret in (*SECRETS, "TESTKEY", "somebody"))


@pytest.mark.parametrize(("missing", "given"), [(a, b) for pair in (KEYS, LOGIN) for a in pair for b in pair if a != b])
def test_one_of_a_pair_alone_is_refused_by_name(missing, given):
    with pytest.raises(ResourceError, match=f"{given} is set and {missing} is not") as refusal:
        Credentials.from_environment({given: "SECRET", missing: ""})
    assert "SECRET." not in str(refusal.value).replace(given, "").replace(missing, "")


def test_empty_variables_count_as_not_set():
    assert Credentials.from_environment(dict.fromkeys(KEYS | LOGIN, "")) == Credentials()


def test_aws_credentials_are_looked_for_in_its_own_chain_and_are_not_needed(monkeypatch):
    (credential,) = facts_of("earth-search").credentials
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "TESTKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert Credentials().has(credential)
    assert not credential.needed


def test_a_credential_is_there_when_all_its_variables_are():
    s3, login = facts_of("cdse").credentials
    credentials = Credentials.from_environment(KEYS)
    assert (credentials.has(s3), credentials.has(login)) == (True, False)
