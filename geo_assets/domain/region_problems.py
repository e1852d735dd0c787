"""What is wrong with a region file, told in its own words rather than in those of pydantic."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from geo_assets.domain.region_archive import EXPECTED_ARCHIVE
from geo_assets.domain.region_mask import DETECTORS

_ACCESS = re.compile(r"(://)[^\s'\"]*@")
_QUERY = re.compile(r"(://[^\s?'\"]*)\?[^\s'\"]*")

_EXPECTED = {
    "tuple_type": "expected a list, such as [a, b]",
    "model_type": "expected keys with values, such as {{{keys}}}",
    "string_type": "expected text; put quotes round it",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "too_short": "expected at least {min_length} of them",
    "too_long": "expected at most {max_length} of them",
    "bool_type": "expected true or false",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "string_pattern_mismatch": "expected letters, digits, space, comma, - and _, a letter or digit first",
    "literal_error": "expected {expected}",
    "invalid_key": "a key must be text; put quotes round it, or correct it",
}
"""Kind of error, as pydantic names it -> what the reader of a region file should know."""

_EXPECTED_OF_KEY = {
    "name": "expected 1 to 63 lower-case letters, digits, - and _, a letter or digit first",
    "mask.detectors": f"expected auto, or a list of {', '.join(DETECTORS)} and plug-ins' names",
    "archive": EXPECTED_ARCHIVE,
    "selection.aod_by_day": "expected days with their aerosol optical depth, such as {{2024-07-15: 0.12}}",
    "collection": "expected the id of a STAC collection, such as sentinel-2-c1-l2a",
}

_MOVED = {"mask.fmask_encoding": "mask: {external_fmask: {encoding: fmask4}} (or python_fmask, hls_bits)"}
"""Key of an earlier version -> how it is written now."""


def told(problems: Iterable[Mapping[str, Any]], keys_of: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """One line for each problem: key, value found, what is expected.

    Parameters
    ----------
    problems
        As pydantic's `ValidationError.errors()` lists them.
    keys_of
        Dotted key of a section ("" for the file itself) -> the keys that it may hold.
    """
    seen: set[str] = set()
    for problem in problems:
        key = _dotted(problem["loc"])
        consequence = problem["type"] == "too_short" and problem.get("input")  # of members that were refused themselves
        section = key.rpartition(".")[0]
        if consequence or not seen.isdisjoint({key, section}):
            continue
        seen.add(key)
        yield _told(problem, key, keys_of)


def _told(problem: Mapping[str, Any], key: str, keys_of: Mapping[str, tuple[str, ...]]) -> str:
    kind, found = problem["type"], shortened(problem.get("input"))
    if kind == "extra_forbidden" and key in _MOVED:
        return f"{key}: found {found}; this key has moved, write {_MOVED[key]}"
    if kind == "extra_forbidden":
        section, _, unknown = key.rpartition(".")
        return f"{key}: unknown key {unknown!r}; allowed here: {', '.join(keys_of.get(section, ()))}"
    if kind == "missing":
        return f"{key}: missing; add it"
    if kind == "value_error":
        message = str(problem["ctx"]["error"])
        if not key:
            return message
        return f"{key}: {message}" if message.startswith("found ") else f"{key}: found {found}; {message}"
    template = _EXPECTED_OF_KEY.get(key) or _EXPECTED.get(kind)
    if template is None:
        return f"{key}: found {found}; {problem['msg'][0].lower()}{problem['msg'][1:]}"
    context = {"keys": ", ".join(f"{name}: ..." for name in keys_of.get(key, ())), **problem.get("ctx", {})}
    return f"{key}: found {found}; {template.format(**context)}"


def _dotted(location: tuple[Any, ...]) -> str:
    """The key as the file spells it: pydantic's own words for alternatives left out."""
    own = re.compile(r"function.*|tuple.*|dict.*|literal.*|\[key\]")
    return ".".join(str(part) for part in location if not own.fullmatch(str(part)))


def shortened(value: object) -> str:
    """A value as an error shows it: at most 80 characters, URLs without queries and user names."""
    text = _QUERY.sub(r"\1?...", _ACCESS.sub(r"\1", repr(value)))
    return text if len(text) <= 80 else text[:77] + "..."
