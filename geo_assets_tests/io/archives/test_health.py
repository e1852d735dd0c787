"""What `geo-assets doctor` has to tell."""

from datetime import UTC, date, datetime

import pytest
import shapely

from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.health import Finding, examined
from geo_assets.io.archives.known import Opening, facts_of, open_known
from geo_assets_tests.scenery.faults import Status
from geo_assets_tests.scenery.many_items import pc_item
from geo_assets_tests.scenery.remote_catalogues import (
    Acquisition,
    sentinel2_acquisition,
    serve_cdse,
    serve_earth_search,
    serve_planetary_computer,
)

KEYS = {"CDSE_S3_ACCESS_KEY": "TESTKEY", "CDSE_S3_SECRET_KEY": "x"}
LOGIN = {"CDSE_USERNAME": "somebody", "CDSE_PASSWORD": "p4ssw0rd"}
NOW = datetime(2024, 6, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def seen() -> Acquisition:
    return sentinel2_acquisition("33TVL", "2024-06-10", bands=["red"])


def findings(
    name: str, url: str, area: tuple[float, ...], variables: dict[str, str] | None = None, now: datetime = NOW
) -> dict[str, Finding]:
    credentials = Credentials.from_environment(variables or {})
    archive = open_known(facts_of(name), Opening(catalog_url=url, credentials=credentials, now=lambda: now))
    found = {finding.check: finding for finding in examined(archive, area=shapely.box(*area))}
    archive.close()
    assert list(found) == ["reach", "login", "search", "read"]
    return found


def verdicts(found: dict[str, Finding]) -> list[bool | None]:
    return [finding.ok for finding in found.values()]


@pytest.mark.parametrize(
    ("name", "serve", "variables"),
    [
        ("pc", serve_planetary_computer, {}),
        ("earth-search", serve_earth_search, {}),
        ("cdse", serve_cdse, KEYS),
        ("cdse", serve_cdse, LOGIN),
    ],
)
def test_a_sound_archive_is_reached_let_in_searched_and_read(server, tmp_path, seen, name, serve, variables):
    found = findings(name, serve(server, tmp_path, [seen]), seen.area(), variables)
    assert verdicts(found) == [True] * 4
    assert "of 2024-06-10" in found["search"].said
    assert "bytes in" in found["read"].said


def test_an_archive_that_is_not_there_is_told_once(server, seen):
    server.stop()
    found = findings("pc", f"{server.url}/api/stac/v1", seen.area())
    assert verdicts(found) == [False, None, None, None]


def test_a_login_page_in_between_is_recognised(server, seen):
    server.fail("*", Status(200, body=b"<html>Welcome to the airport</html>"))
    found = findings("pc", f"{server.url}/api/stac/v1", seen.area())
    assert verdicts(found) == [False, None, None, None]
    assert "login page" in found["reach"].said


def test_missing_and_wrong_credentials_are_told_with_the_remedy(server, tmp_path, seen):
    url = serve_cdse(server, tmp_path, [seen])
    none = findings("cdse", url, seen.area())
    assert verdicts(none) == [True, False, True, False]
    assert "CDSE_S3_ACCESS_KEY" in none["login"].said
    wrong = findings("cdse", url, seen.area(), LOGIN | {"CDSE_PASSWORD": "SECRET"})
    assert verdicts(wrong) == [True, False, True, False]
    assert "Correct the user name and password" in wrong["login"].said
    server.presigned.expired = True
    expired = findings("cdse", url, seen.area(), KEYS)
    assert verdicts(expired) == [True, True, True, False]
    assert "Make new S3 keys" in expired["read"].said
    assert "SECRET" not in "".join(finding.said for finding in wrong.values())


def test_an_archive_that_has_fallen_silent_is_told_and_still_read(server, tmp_path, seen):
    found = findings(
        "pc", serve_planetary_computer(server, tmp_path, [seen]), seen.area(), now=datetime(2025, 6, 1, tzinfo=UTC)
    )
    assert verdicts(found) == [True, True, False, True]
    assert "nothing of the last 60 days" in found["search"].said


def test_an_archive_without_anything_there_is_told(server, seen):
    found = findings("pc", server.catalogue([]), seen.area())
    assert verdicts(found) == [True, True, False, None]


def test_a_search_that_fails_and_a_file_that_is_gone_are_told(server, tmp_path, seen):
    url = server.catalogue([pc_item("33TVL", date(2024, 6, 10))])
    server.fail("*/search", Status(500))
    assert verdicts(findings("pc", url, seen.area())) == [True, True, False, None]
    server.heal()
    url = serve_planetary_computer(server, tmp_path, [seen], "/second/v1")
    server.fail("*_SCL_20m.tif", Status(404))
    assert verdicts(findings("pc", url, seen.area())) == [True, True, True, False]


def test_nothing_secret_and_no_signature_is_said(server, tmp_path, seen):
    found = findings("cdse", serve_cdse(server, tmp_path, [seen]), seen.area(), KEYS | LOGIN)
    said = "".join(finding.said for finding in found.values())
    assert not any(secret in said for secret in ("p4ssw0rd", "Signature", "access-SECRET", "?"))
