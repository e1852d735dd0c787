"""How addresses are signed, by services that `FaultServer` plays."""

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from pydantic import SecretStr

from geo_assets.domain.errors import ArchiveRefusedError, ArchiveTransientError
from geo_assets.io.wire.addresses import HostRule
from geo_assets.io.wire.remote_file import RemoteFile
from geo_assets.io.wire.signing import (
    BearerTokens,
    S3Signatures,
    SasTokens,
    Signed,
    TokenShelf,
    Unsigned,
    storage_account,
)
from geo_assets_tests.io.wire.conftest import CONTENT, answer
from geo_assets_tests.scenery.fault_server import IDENTITY_PATH, SAS_PATH
from geo_assets_tests.scenery.faults import Status

CONTAINER = "sentinel2l2a01/sentinel2-l2"


def test_a_signed_address_never_shows_its_signature():
    assert repr(Signed("https://a.example/b?sig=SECRET", {"Authorization": "SECRET"})) == "Signed(https://a.example/b)"


def test_public_files_are_asked_for_as_they_are():
    signer = Unsigned()
    signer.renew("https://a.example/b")
    assert signer.signed("https://a.example/b") == Signed("https://a.example/b")


# Shared access signatures


@pytest.fixture
def blobs(server, tmp_path):
    """The address of a file in a container that only tokens open."""
    server.folder(f"/{CONTAINER}", tmp_path / "files", gate=server.sas)
    return f"{server.url}/{CONTAINER}/red.tif"


@pytest.fixture
def new_sas(server, wire, clock):
    def made(**settings):
        return SasTokens(wire, f"{server.url}{SAS_PATH}/", now=clock.now, **settings)

    return made


def test_a_file_is_opened_by_its_containers_token(blobs, wire, new_sas):
    red = RemoteFile(blobs, wire=wire, where="red", signer=new_sas())
    assert red.head(100) == CONTENT[:100]
    assert "?" not in red.where


def test_one_token_serves_a_container_for_its_life_among_all_threads(blobs, server, wire, clock, new_sas):
    signer, start = new_sas(), threading.Barrier(8, timeout=30)

    def read(_):
        start.wait()
        return bytes(RemoteFile(blobs, wire=wire, where="red", signer=signer).read([(10, 20)])[0])

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(8))) == {CONTENT[10:20]}
        assert server.sas.issued == {CONTAINER: 1}
        clock.advance(2700 - 301)
        list(pool.map(read, range(8)))
        assert server.sas.issued == {CONTAINER: 1}
        clock.advance(2)
        list(pool.map(read, range(8)))
        assert server.sas.issued == {CONTAINER: 2}
    assert server.statuses("*/red.tif") == {206: 24}


def test_ten_minutes_with_tokens_of_a_minute_meet_no_refusal(blobs, server, wire, clock, new_sas):
    server.sas.lifetime_s = 60.0
    red = RemoteFile(blobs, wire=wire, where="red", signer=new_sas())
    for _ in range(600):
        red.read([(10, 20)])
        clock.advance(1.0)
    assert server.statuses("*/red.tif") == {206: 600}
    assert server.sas.issued[CONTAINER] == 20  # each serves half its life


def test_processes_share_a_token_by_their_shelf(blobs, server, new_sas, tmp_path):
    shelves = [TokenShelf(tmp_path / "tokens") for _ in range(3)]
    assert len({new_sas(shelf=shelf).signed(blobs).url for shelf in shelves}) == 1
    assert server.sas.issued == {CONTAINER: 1}


def test_signing_what_is_signed_gives_one_fresh_signature(blobs, new_sas):
    signer = new_sas()
    once = signer.signed(blobs).url
    assert signer.signed(once).url == once
    assert signer.signed(f"{blobs}?st=2020&SE=2020&sp=rl&sig=old").url == once
    assert signer.signed(f"{blobs}?versionid=7&sig=old").url == once.replace("?", "?versionid=7&", 1)


def test_a_token_that_is_refused_is_renewed_once_for_all_threads(blobs, server, wire, new_sas):
    signer = new_sas()
    stale = signer.signed(blobs)
    server.sas._key = b"rotated"  # all signatures given so far are wrong now
    start = threading.Barrier(8, timeout=30)

    def renew(_):
        start.wait()
        signer.renew(blobs, stale)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(renew, range(8)))
    assert server.sas.issued == {CONTAINER: 2}
    assert RemoteFile(blobs, wire=wire, where="red", signer=signer).head(10) == CONTENT[:10]
    assert server.sas.issued == {CONTAINER: 2}


def test_a_token_that_another_process_renewed_is_not_renewed_again(blobs, server, clock, new_sas, tmp_path):
    one, other = (new_sas(shelf=TokenShelf(tmp_path / "tokens")) for _ in range(2))
    stale = one.signed(blobs)
    assert other.signed(blobs) == stale
    server.sas._key = b"rotated"
    clock.advance(1)
    one.renew(blobs, stale)
    other.renew(blobs, stale)
    assert other.signed(blobs) == one.signed(blobs) != stale
    assert server.sas.issued == {CONTAINER: 2}


def test_a_reader_survives_the_rotation_of_keys(blobs, server, wire, clock, new_sas):
    red = RemoteFile(blobs, wire=wire, where="red", signer=new_sas())
    red.head(10)
    server.sas._key = b"rotated"
    clock.advance(1)
    assert bytes(red.read([(1000, 1010)])[0]) == CONTENT[1000:1010]
    assert server.statuses("*/red.tif") == {206: 2, 403: 1}


def test_a_storage_that_refuses_every_token_is_an_error_with_the_remedy(blobs, server, wire, new_sas):
    server.sas.revoked = True
    with pytest.raises(ArchiveRefusedError, match=r"with renewed credentials too. The archive hands out a token") as e:
        RemoteFile(blobs, wire=wire, where="red", signer=new_sas()).head(10)
    assert "sig=" not in str(e.value)
    assert server.sas.issued == {CONTAINER: 2}


def test_the_subscription_key_goes_to_the_token_service_only(blobs, server, wire, new_sas):
    server.sas.subscription_key = "KEY"
    signer = new_sas(subscription_key=SecretStr("KEY"))
    RemoteFile(blobs, wire=wire, where="red", signer=signer).head(10)
    assert server.requests[0].headers["ocp-apim-subscription-key"] == "KEY"
    assert "KEY" not in str(server.requests[1].headers)
    with pytest.raises(ArchiveRefusedError, match=r"gives none .HTTP 401. without a subscription key"):
        new_sas().signed(blobs)
    with pytest.raises(ArchiveRefusedError, match="correct or unset it") as refusal:
        new_sas(subscription_key=SecretStr("WRONG")).signed(blobs)
    assert "WRONG" not in str(refusal.value)


@pytest.mark.parametrize("key", ["", "two\nlines", "spa ce"])
def test_a_subscription_key_that_is_none_is_refused_unseen(new_sas, key):
    with pytest.raises(ArchiveRefusedError, match="subscription key holds") as refusal:
        new_sas(subscription_key=SecretStr(key))
    assert not key or key not in str(refusal.value)


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ([], "no JSON object"),
        ({}, "holds no token"),
        ({"token": 5, "msft:expiry": "2024-07-01T13:00:00Z"}, "holds no token"),
        ({"token": "a=b\r\nHost: evil", "msft:expiry": "2024-07-01T13:00:00Z"}, "holds no token"),
        ({"token": "@evil.example/", "msft:expiry": "2024-07-01T13:00:00Z"}, "holds no token"),
        ({"token": "sig=" + "a" * 20_000, "msft:expiry": "2024-07-01T13:00:00Z"}, "holds no token"),
        ({"token": "sig=SECRET"}, "does not say when it ends"),
        ({"token": "sig=SECRET", "msft:expiry": "soon"}, "does not say when it ends"),
        ({"token": "sig=SECRET", "msft:expiry": 1720000000}, "does not say when it ends"),
        ({"token": "sig=SECRET", "msft:expiry": "2024-07-01T11:00:00Z"}, "ended 2024-07-01 11:00:00 UTC .*the clock"),
    ],
)
def test_an_answer_of_the_token_service_is_not_trusted_blindly(script, wire, clock, document, fault):
    one = script(answer(body=json.dumps(document).encode()))
    signer = SasTokens(wire, one.url, now=clock.now)
    with pytest.raises(ArchiveRefusedError, match=fault) as refusal:
        signer.signed("http://127.0.0.1/account/container/a.tif")
    assert "SECRET" not in str(refusal.value)


def test_an_expiry_without_zone_is_utc_and_no_token_is_kept_for_longer_than_a_day(script, wire, clock):
    one = script(answer(body=b'{"token": "sig=1", "msft:expiry": "2030-01-01T00:00:00"}'))
    signer = SasTokens(wire, one.url, now=clock.now)
    for _ in range(49):
        signer.signed("http://127.0.0.1/account/container/a.tif")
        clock.advance(3600)
    assert len(one.requests) == 3


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/33/U/a.tif", ("sentinel2l2a01", "sentinel2-l2")),
        ("https://HLS2EUWEST.blob.core.windows.net/hls2/L30/a.tif?sig=x", ("hls2euwest", "hls2")),
        ("http://127.0.0.1:8000/hls2euwest/hls2/L30/a.tif", ("hls2euwest", "hls2")),
    ],
)
def test_account_and_container_are_read_from_the_address(href, expected):
    assert storage_account(href) == expected


@pytest.mark.parametrize(
    "href",
    [
        "https://account.blob.core.windows.net/container",
        "https://account.blob.core.windows.net/con_tainer/a.tif",
        "https://a.b.blob.core.windows.net/container/a.tif",
        "http://127.0.0.1/account/a.tif",
        "http://127.0.0.1/acc..ount/container/a.tif",
    ],
)
def test_an_address_without_account_and_container_gets_no_token(href):
    with pytest.raises(ArchiveRefusedError, match="names no storage account and container"):
        storage_account(href)


# Logins


@pytest.fixture
def nodes(server, tmp_path):
    server.folder("/odata", tmp_path / "files", gate=server.identity)
    return f"{server.url}/odata/red.tif"


@pytest.fixture
def new_login(server, wire, clock):
    def made(**settings):
        settings = {"username": "somebody", "password": SecretStr("p4ssw0rd"), **settings}
        settings.setdefault("hosts", HostRule(("127.0.0.1",)))
        settings.setdefault("logout_url", f"{server.url}{IDENTITY_PATH}/logout")
        return BearerTokens(wire, f"{server.url}{IDENTITY_PATH}/token", now=clock.now, **settings)

    return made


def test_a_login_serves_until_its_session_ends_and_is_ended(nodes, server, wire, clock, new_login):
    signer = new_login()
    red = RemoteFile(nodes, wire=wire, where="red", signer=signer)
    for _ in range(100):
        assert bytes(red.read([(10, 20)])[0]) == CONTENT[10:20]
        clock.advance(60)
    assert server.statuses("*/red.tif") == {206: 100}
    assert (server.identity.logins, server.identity.refreshes) == (1, 11)
    assert server.identity.open_sessions == 1
    signer.close()
    assert (server.identity.open_sessions, server.identity.logouts) == (0, 1)


def test_after_the_session_has_ended_there_is_another_login(nodes, server, wire, clock, new_login):
    red = RemoteFile(nodes, wire=wire, where="red", signer=new_login())
    red.read([(10, 20)])
    clock.advance(3601)
    red.read([(10, 20)])
    assert (server.identity.logins, server.identity.refreshes) == (2, 0)


def test_a_session_that_the_service_has_forgotten_is_replaced(nodes, server, wire, clock, new_login):
    red = RemoteFile(nodes, wire=wire, where="red", signer=new_login())
    red.read([(10, 20)])
    server.identity._sessions.clear()
    server.identity._access.clear()
    red.read([(10, 20)])
    assert server.identity.logins == 2
    assert server.statuses("*/red.tif") == {206: 2, 403: 1}


def test_threads_that_are_refused_together_renew_once(nodes, server, clock, new_login):
    signer = new_login()
    stale = signer.signed(nodes)
    start = threading.Barrier(8, timeout=30)

    def renew(_):
        start.wait()
        signer.renew(nodes, stale)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(renew, range(8)))
    assert (server.identity.logins, server.identity.refreshes) == (1, 1)
    signer.renew(nodes)
    assert server.identity.refreshes == 2


def test_processes_share_one_session_which_none_of_them_ends_by_leaving(nodes, server, new_login, tmp_path):
    for _ in range(4):
        signer = new_login(shelf=TokenShelf(tmp_path / "tokens"))
        signer.signed(nodes)
        signer.close()
    assert (server.identity.logins, server.identity.logouts) == (1, 0)
    new_login(shelf=TokenShelf(tmp_path / "tokens")).log_out()
    assert server.identity.logouts == 1
    assert "SECRET" not in "".join(path.read_text() for path in (tmp_path / "tokens").iterdir())


def test_a_log_out_that_fails_is_logged_and_no_error(nodes, server, new_login, caplog):
    signer = new_login()
    signer.signed(nodes)
    server.fail(f"{IDENTITY_PATH}/logout", Status(503))
    signer.close()
    assert "The session is not ended: Log-out" in caplog.text
    signer.close()


def test_closing_without_a_login_asks_for_nothing(server, new_login):
    new_login().close()
    new_login(logout_url=None).close()
    assert server.requests == []


@pytest.mark.parametrize("shown", ["p4ss", "wr0ng-SECRET"])
def test_a_login_that_is_refused_says_so_without_the_password(nodes, server, new_login, shown, caplog):
    caplog.set_level(logging.DEBUG)
    signer = new_login(password=SecretStr("wr0ng-SECRET"))
    with pytest.raises(ArchiveRefusedError, match=r"refused .HTTP 401, invalid_grant.. Correct the user name") as e:
        signer.signed(nodes)
    assert shown not in str(e.value) + caplog.text


def test_a_second_factor_is_given(nodes, server, new_login):
    server.identity.totp = "123456"
    assert new_login(totp=SecretStr("123456")).signed(nodes).headers["Authorization"].startswith("Bearer ")


def test_a_login_service_that_is_down_is_a_passing_failure(nodes, server, new_login):
    server.fail(f"{IDENTITY_PATH}/token", Status(503))
    with pytest.raises(ArchiveTransientError, match=r"Login at .*HTTP 503"):
        new_login().signed(nodes)


def test_a_token_goes_to_the_archives_hosts_only(server, new_login):
    with pytest.raises(ArchiveRefusedError, match="not on the archive's list"):
        new_login().signed("https://evil.example/red.tif")
    with pytest.raises(ArchiveRefusedError, match="plain http"):
        new_login(hosts=HostRule(("download.example",))).signed("http://download.example/red.tif")
    assert server.requests == []


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"access_token": "a b", "expires_in": 600},
        {"access_token": "a\r\nb", "expires_in": 600},
        {"access_token": "", "expires_in": 600},
        {"access_token": ["a"], "expires_in": 600},
        {"access_token": "abc"},
        {"access_token": "abc", "expires_in": "600"},
        {"access_token": "abc", "expires_in": True},
        {"access_token": "abc", "expires_in": -1},
        {"access_token": "abc", "expires_in": float("nan")},
    ],
)
def test_an_answer_of_the_login_service_is_not_trusted_blindly(script, wire, document):
    one = script(answer(body=json.dumps(document).encode()))
    signer = BearerTokens(wire, one.url, username="a", password=SecretStr("b"), hosts=wire.rule)
    with pytest.raises(ArchiveRefusedError, match="the answer holds no token"):
        signer.signed(one.url)


def test_a_session_without_refresh_token_is_replaced_by_a_login(script, wire, clock):
    one = script(answer(body=b'{"access_token": "abc", "expires_in": 600, "refresh_token": "x y"}'))
    signer = BearerTokens(wire, one.url, username="a", password=SecretStr("b"), hosts=wire.rule, now=clock.now)
    signer.signed(one.url)
    clock.advance(600)
    signer.signed(one.url)
    assert len(one.requests) == 2
    signer.close()


# S3


@pytest.fixture
def new_s3(server, tmp_path, clock):
    server.folder("/eodata", tmp_path / "files", gate=server.presigned)

    def made(**settings):
        settings = {"endpoint_url": server.url, "region": "default", "path_style": True, "now": clock.now, **settings}
        return S3Signatures(**settings)

    return made


def keys(access_key="TESTKEY"):
    return {"access_key": SecretStr(access_key), "secret_key": SecretStr("SECRET")}


def test_an_object_is_read_by_an_address_presigned_for_it(server, wire, new_s3):
    server.presigned.clock = type(server.clock)(start=server.clock.now().replace(year=2020))  # botocore has its own
    red = RemoteFile("s3://eodata/red.tif", wire=wire, where="red", signer=new_s3(**keys()))
    assert red.head(10) == CONTENT[:10]
    assert red.where == "red (s3://eodata/red.tif)"
    query = parse_qs(server.requests[0].query)
    assert query["X-Amz-Expires"] == ["900"]
    assert query["X-Amz-Credential"][0].endswith("/default/s3/aws4_request")


def test_an_address_is_presigned_once_for_most_of_its_life(new_s3, clock):
    signer = new_s3(**keys())
    first = signer.signed("s3://eodata/red.tif")
    assert signer.signed("s3://eodata/red.tif") is first
    assert signer.signed("s3://eodata/blue.tif").url != first.url
    clock.advance(599)
    assert signer.signed("s3://eodata/red.tif") is first
    clock.advance(1)
    assert signer.signed("s3://eodata/red.tif") is not first


def test_addresses_that_are_not_of_s3_stay_as_they_are(new_s3):
    assert new_s3().signed("https://a.example/b.xml") == Signed("https://a.example/b.xml")


def test_who_pays_is_signed_and_sent(server, wire, new_s3):
    server.presigned.requester_pays = True
    signer = new_s3(requester_pays=True, **keys())
    server.presigned.clock = type(server.clock)(start=server.clock.now().replace(year=2020))
    assert RemoteFile("s3://eodata/red.tif", wire=wire, where="red", signer=signer).head(10) == CONTENT[:10]
    assert "x-amz-request-payer" in signer.signed("s3://eodata/red.tif").url


def test_amazons_buckets_are_named_in_the_host():
    signer = S3Signatures(region="eu-central-1", **keys())
    parts = urlsplit(signer.signed("s3://sentinel-s2-l1c/tiles/33/U/B02 a.jp2").url)
    assert parts.hostname == "sentinel-s2-l1c.s3.eu-central-1.amazonaws.com"
    assert parts.path == "/tiles/33/U/B02%20a.jp2"


def test_credentials_that_have_a_successor_are_replaced_when_refused(server, wire, new_s3):
    sessions = [boto3.session.Session(name, "SECRET", "TOKEN") for name in ("EXPIRED", "TESTKEY")]
    server.presigned.clock = type(server.clock)(start=server.clock.now().replace(year=2020))
    red = RemoteFile("s3://eodata/red.tif", wire=wire, where="red", signer=new_s3(session=lambda: sessions.pop(0)))
    assert red.head(10) == CONTENT[:10]
    assert server.statuses() == {403: 1, 206: 1}
    assert sessions == []


def test_credentials_are_looked_for_once_by_threads_that_are_refused_together(new_s3):
    made = []
    signer = new_s3(session=lambda: made.append(1) or boto3.session.Session("TESTKEY", "SECRET"))
    refused = {name: signer.signed(f"s3://eodata/{name}") for name in ("a.tif", "b.tif")}
    for name, stale in refused.items():
        signer.renew(f"s3://eodata/{name}", stale)
    signer.signed("s3://eodata/a.tif")
    assert len(made) == 2
    signer.renew("s3://eodata/a.tif")
    signer.signed("s3://eodata/a.tif")
    assert len(made) == 3


def test_keys_that_are_refused_are_an_error_with_what_to_set(server, wire, new_s3):
    signer = new_s3(remedy="Set CDSE_S3_ACCESS_KEY and CDSE_S3_SECRET_KEY.", **keys("EXPIRED"))
    with pytest.raises(ArchiveRefusedError, match=r"renewed credentials too. Set CDSE_S3_ACCESS_KEY") as refusal:
        RemoteFile("s3://eodata/red.tif", wire=wire, where="red", signer=signer).head(10)
    assert "Signature" not in str(refusal.value)
    assert len(server.requests) == 2


def test_without_credentials_nothing_is_asked_and_the_error_says_what_to_set(server, wire, new_s3):
    with pytest.raises(ArchiveRefusedError, match=r"no credentials are set. Set AWS_ACCESS_KEY_ID"):
        RemoteFile("s3://eodata/red.tif", wire=wire, where="red", signer=new_s3()).head(10)
    assert server.requests == []


def test_credentials_that_cannot_be_read_are_an_error_with_what_to_set(new_s3, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ArchiveRefusedError, match=r"cannot be read .ProfileNotFound.. Set AWS_ACCESS_KEY_ID"):
        new_s3().signed("s3://eodata/red.tif")


@pytest.mark.parametrize(
    "href",
    [
        "s3://eodata",
        "s3://eodata/",
        "s3://EO_data/a",
        "s3://e/a",
        "s3://eodata/a/../b",
        "s3://eodata/a\x00b",
        "s3:///a",
    ],
)
def test_an_address_that_is_no_object_is_not_signed(new_s3, href):
    with pytest.raises(ArchiveRefusedError, match="is no s3://BUCKET/KEY"):
        new_s3(**keys()).signed(href)


def test_nobody_pays_for_a_bucket_that_is_not_the_archives(new_s3):
    with pytest.raises(ArchiveRefusedError, match=r"bucket other-bucket is not the archive's .eodata"):
        new_s3(buckets=("eodata",), **keys()).signed("s3://other-bucket/a")


def test_an_endpoint_that_is_not_on_the_wires_list_is_refused(wire, new_s3):
    signer = new_s3(endpoint_url="https://evil.example", **keys())
    with pytest.raises(ArchiveRefusedError, match=r"evil.example is not on the archive's list") as refusal:
        RemoteFile("s3://eodata/red.tif", wire=wire, where="red", signer=signer).head(10)
    assert "Signature" not in str(refusal.value)


def test_an_object_without_a_signer_is_refused(wire):
    with pytest.raises(ArchiveRefusedError, match=r"s3://eodata/red.tif: is no http or https address"):
        RemoteFile("s3://eodata/red.tif", wire=wire, where="red").head(10)


def test_nothing_that_is_signed_is_logged(new_s3, caplog):
    caplog.set_level(logging.DEBUG)
    url = new_s3(**keys()).signed("s3://eodata/red.tif").url
    assert parse_qs(urlsplit(url).query)["X-Amz-Signature"][0] not in caplog.text
    assert "SECRET" not in caplog.text
