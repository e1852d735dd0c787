"""Which addresses may be asked: http and https only, hosts on a list, nothing hidden in the text."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from geo_assets.domain.errors import ArchiveRefusedError

_LIMIT_CHARACTERS = 8192  # a presigned S3 address with a session token has about 2,000
_SHOWN_CHARACTERS = 300
# What RFC 3986 lets stand in an address, less the fragment: parsers disagree about everything else, such as a
# backslash, and a host that one of them finds on the list another may not connect to.
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9_-]{0,62})(\.[a-z0-9]([a-z0-9_-]{0,62}))*")
_DOT_SEGMENT = re.compile(r"(?:^|/|%2f|%5c)(?:\.|%2e){1,2}(?:$|/|%2f|%5c)", re.IGNORECASE)
_ANY = "*"


@dataclass(frozen=True, slots=True)
class HostRule:
    """The hosts that may be asked."""

    hosts: tuple[str, ...]
    """`name`, or `*.suffix` for every host below `suffix` (not `suffix` itself), by https.

    Plain http is for hosts of this machine, and for those listed as `http://name`.
    """

    def __post_init__(self) -> None:
        for host in self.hosts:
            name = host.removeprefix("http://").removeprefix("*.")
            if host != _ANY and not _is_host(name):
                raise ValueError(f"{host!r} is no host: write a name, `*.suffix` or `http://name`, in lower case.")

    @classmethod
    def any_host(cls) -> "HostRule":
        """No list: for files that the user wrote down, never for what an archive answers."""
        return cls((_ANY,))

    def plus(self, *hosts: str) -> "HostRule":
        """The rule with further hosts, each a host as above or the http(s) address of something on it."""
        return HostRule((*self.hosts, *(_host_entry(host) for host in hosts)))

    def allows(self, host: str, *, plain: bool = False) -> bool:
        """Whether a host, in lower case, may be asked by https, or by `plain` http."""
        if _ANY in self.hosts:
            return True
        if f"http://{host}" in self.hosts:
            return True
        if plain and not is_loopback(host):
            return False
        return any(host == entry or (entry.startswith("*.") and host.endswith(entry[1:])) for entry in self.hosts)


def checked_url(url: str, rule: HostRule) -> str:
    """The address itself, once it is one that may be asked.

    Raises
    ------
    ArchiveRefusedError
        Not http or https, another host than `rule` lists, a user or fragment in it, `.` or `..` in its path,
        characters that no address has, or a port that is none. Shows the address without its query.
    """
    fault = _fault(url, rule)
    if fault is not None:
        raise ArchiveRefusedError(f"Address {shown(url)}: {fault}")
    return url


def shown(url: str) -> str:
    """An address as messages may show it: without query, user and fragment, printable and bounded."""
    visible = re.split(r"[?#]", str(url)[:_LIMIT_CHARACTERS], maxsplit=1)[0]
    visible = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*:)?[\\/]{2}[^\\/]*@", r"\1//", visible)
    visible = "".join(character if "!" <= character <= "~" else "?" for character in visible)
    return visible if len(visible) <= _SHOWN_CHARACTERS else f"{visible[:_SHOWN_CHARACTERS]}..."


def is_loopback(host: str) -> bool:
    """Whether a host of an address is this machine: `localhost`, or an address of the loopback network."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _fault(url: str, rule: HostRule) -> str | None:
    """What is wrong with an address, and the remedy; None if nothing is."""
    if len(url) > _LIMIT_CHARACTERS:
        return (
            f"has {len(url):,} characters, expected at most {_LIMIT_CHARACTERS:,}. The catalogue's entry is not used."
        )
    if not _CHARACTERS.fullmatch(url):
        return "holds characters that no http address has. The catalogue's entry is not used."
    scheme = url.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        return "is no http or https address. Use an archive whose files are reached by https, or its own sign-in."
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "has a host or port that is none. The catalogue's entry is not used."
    if "@" in parts.netloc:
        return "carries a user name. Give credentials by the environment, never in an address."
    if not _is_host(host) or port == 0 or parts.netloc.endswith(":"):
        return "has a host or port that is none. The catalogue's entry is not used."
    if _DOT_SEGMENT.search(parts.path):
        return "has `.` or `..` in its path. The catalogue's entry is not used."
    if rule.allows(host, plain=scheme == "http"):
        return None
    if rule.allows(host):
        return f"is plain http. Host {host} is trusted by https only."
    return f"host {host} is not on the archive's list ({', '.join(rule.hosts)}). If you trust it, name it as a mirror."


def _is_host(host: str) -> bool:
    if _HOST.fullmatch(host):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).version == 6
    except ValueError:
        return False


def _host_entry(host: str) -> str:
    """A rule's entry for a host, or for the host of an address."""
    if "://" not in host:
        return host
    parts = urlsplit(host)
    name = (parts.hostname or "").lower()
    return f"http://{name}" if parts.scheme == "http" and not is_loopback(name) else name
