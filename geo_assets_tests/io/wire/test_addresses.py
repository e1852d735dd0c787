"""Which addresses are asked, and what of them is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.domain.errors import ArchiveRefusedError
from geo_assets.io.wire.addresses import HostRule, checked_url, shown

RULE = HostRule(("data.example.org", "*.blob.example.net", "http://mirror.example"))


@pytest.mark.parametrize(
    "url",
    [
        "https://data.example.org/a/b.tif",
        "https://data.example.org:8443/odata/v1/Products(7-8)/Nodes(a.SAFE)/$value?x=%2F&sig=a%3D",
        "https://account.blob.example.net/container/S2A_T33UWQ.SAFE/..b/b...tif",
        "HTTPS://DATA.example.org",
        "http://mirror.example:8080/a",
    ],
)
def test_an_address_on_a_listed_host_is_taken_as_it_is(url):
    assert checked_url(url, RULE) is url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://other.example.org/a", "not on the archive's list"),
        ("https://blob.example.net/a", "not on the archive's list"),
        ("https://evilblob.example.net/a", "not on the archive's list"),
        ("https://data.example.org.evil.example/a", "not on the archive's list"),
        ("https://data.example.org./a", "host or port"),
        ("http://data.example.org/a", "plain http"),
        ("http://account.blob.example.net/a", "plain http"),
        ("https://data.example.org@evil.example/a", "user name"),
        ("https://user:hush@data.example.org/a", "user name"),
        ("https://evil.example\\@data.example.org/a", "characters"),
        ("https://data.example.org/a b", "characters"),
        ("https://data.example.org/a\r\nHost: evil", "characters"),
        ("https://data.example.org/a\x00", "characters"),
        ("https://däta.example.org/a", "characters"),
        ("https://data.example.org/a#b", "characters"),
        ("https://data.example.org/a/../b", "path"),
        ("https://data.example.org/a/%2e%2E/b", "path"),
        ("https://data.example.org/a%2f..%2fb", "path"),
        ("https://data.example.org/..", "path"),
        ("https://data.example.org/./a", "path"),
        ("https://data.example.org:0/a", "host or port"),
        ("https://data.example.org:99999/a", "host or port"),
        ("https://data.example.org:/a", "host or port"),
        ("https://data.example.org:8x/a", "host or port"),
        ("https:///a", "host or port"),
        ("https://[::1/a", "host or port"),
        ("https://" + "a" * 300 + "/a", "host or port"),
        ("https:/data.example.org/a", "no http or https"),
        ("//data.example.org/a", "no http or https"),
        ("ftp://data.example.org/a", "no http or https"),
        ("file:///etc/passwd", "no http or https"),
        ("/vsicurl/https://data.example.org/a", "no http or https"),
        ("s3://bucket/key", "no http or https"),
        ("", "characters"),
        ("https://data.example.org/" + "a" * 9000, "at most"),
    ],
)
def test_any_other_address_is_refused_and_why(url, fault):
    with pytest.raises(ArchiveRefusedError, match=fault) as refusal:
        checked_url(url, RULE)
    assert "hush" not in str(refusal.value)
    assert len(str(refusal.value)) < 1000


def test_this_machine_is_reached_by_plain_http():
    assert checked_url("http://127.0.0.1:8000/a", HostRule(("127.0.0.1",)))
    assert checked_url("http://[::1]:8000/a", HostRule(("::1",)))
    assert checked_url("http://localhost/a", HostRule(("localhost",)))


def test_a_rule_without_list_is_for_any_host_but_not_for_any_address():
    rule = HostRule.any_host()
    assert checked_url("http://anything.example/a", rule)
    with pytest.raises(ArchiveRefusedError):
        checked_url("file:///etc/passwd", rule)


def test_a_mirror_joins_the_list_by_its_address():
    rule = RULE.plus("http://127.0.0.1:9/stac", "https://Copy.example/x", "http://plain.example", "*.wide.example")
    assert rule.hosts[3:] == ("127.0.0.1", "copy.example", "http://plain.example", "*.wide.example")
    with pytest.raises(ArchiveRefusedError, match="plain http"):
        checked_url("http://copy.example/x", rule)


@pytest.mark.parametrize("host", ["", "a b", "https://a.example", "*", "*a.example", "UPPER.example", "a/b"])
def test_a_rule_refuses_what_is_no_host(host):
    if host == "*":
        assert HostRule.any_host() == HostRule((host,))
    else:
        with pytest.raises(ValueError, match="is no host"):
            HostRule((host,))


def test_what_is_shown_has_neither_query_nor_user():
    assert shown("https://u:p@a.example/b?sig=secret#c") == "https://a.example/b"
    assert shown("https:\\\\u:p@a.example/b") == "https://a.example/b"


@given(st.text(max_size=400))
def test_what_is_shown_is_short_and_printable_and_never_the_query(path):
    text = shown(f"https://somebody:HUSH@a.example/{path}?sig=SECRET")
    assert "SECRET" not in text
    assert "HUSH" not in text
    assert len(text) <= 303
    assert text.isascii()
    assert text.isprintable()
