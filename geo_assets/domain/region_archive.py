"""Which archive a region file names: known names, `local:PATH`, and an address instead of the usual."""

import re

ARCHIVE_NAMES = ("demo", "planetary-computer", "earth-search", "hls", "mcd43a4", "cdse", "auto")
"""Archives by their full names; `local:PATH` comes besides."""

EXPECTED_ARCHIVE = (
    f"expected {', '.join(ARCHIVE_NAMES)}, pc (planetary-computer), or local:PATH (an item collection or catalogue, "
    "relative to the region file)"
)

ARCHIVE_ALIASES = {"pc": "planetary-computer"}
"""Short name -> full name."""

_ADDRESS = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?(?:/[!-~]*)?")
_LONGEST_ADDRESS = 2_000


def archive_name(value: str) -> str:
    """The full name of an archive; `ValueError` for none that is known."""
    name = ARCHIVE_ALIASES.get(value, value)
    if name in ARCHIVE_NAMES or (is_local(name) and name != "local:"):
        return name
    raise ValueError(EXPECTED_ARCHIVE)


def is_local(archive: str) -> bool:
    """Whether an archive is a file or folder of the user's own."""
    return archive.startswith("local:")


def catalog_address(value: str) -> str:
    """An address of a STAC API without a slash at its end; `ValueError` for anything else.

    No user, password, query or fragment: those hold secrets, and the address is written into logs and manifests.
    """
    match = _ADDRESS.fullmatch(value)
    port_is_sane = match is not None and 0 < int(match[1] or 1) < 65_536
    if not port_is_sane or "?" in value or "#" in value or "@" in value or len(value) > _LONGEST_ADDRESS:
        raise ValueError(
            "expected the address of a STAC API, http:// or https://, without user, password, query and fragment, "
            "such as https://stac.example.org/v1; secrets belong into the environment"
        )
    return value.rstrip("/")
