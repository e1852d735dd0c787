"""CDSE's list of deleted products: which of the scenes that a search has found have been withdrawn."""

import json
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from geo_assets.domain.errors import ArchiveRefusedError
from geo_assets.io.wire.exchange import Wire
from geo_assets.io.wire.meter import Meter

_NAMES_PER_REQUEST = 50
"""About 5,000 characters of address; 8,192 are the most that any request has."""
_LIMIT_BYTES = 8 << 20
_SUFFIX = ".SAFE"


def withdrawn(names: Sequence[str], *, url: str, wire: Wire, meter: Meter) -> frozenset[str]:
    """Those of the product names that the list of deleted products holds.

    Parameters
    ----------
    names
        Item ids, which are SAFE names without `.SAFE`.
    url
        Of the OData entity set.

    Raises
    ------
    ArchiveError
        The list cannot be asked, or its answer is none.
    """
    found: set[str] = set()
    for batch in _batches(sorted(set(names))):
        wanted = " or ".join(f"Name eq '{name}{_SUFFIX}'" for name in batch)
        query = f"$filter={quote(wanted, safe='')}&$top={4 * _NAMES_PER_REQUEST}"
        what = "CDSE's list of deleted products"
        reply = wire.request("GET", f"{url}?{query}", limit_bytes=_LIMIT_BYTES, what=what, meter=meter)
        try:
            entries = json.loads(reply.body)["value"]
            found |= {str(entry["Name"]).removesuffix(_SUFFIX) for entry in entries}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ArchiveRefusedError(
                f"{what}: its answer is not one of OData. Try again later; withdrawn scenes would be used unknowingly."
            ) from None
    return frozenset(found & set(names))


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), _NAMES_PER_REQUEST):
        yield names[first : first + _NAMES_PER_REQUEST]
