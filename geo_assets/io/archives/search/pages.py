"""Pages of a search: pystac-client builds the requests and follows the links, on our own wire.

The requests library never opens a connection here: hosts, redirects, retries and sizes are the wire's.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from pystac.link import Link
from pystac_client.item_search import ItemSearch
from pystac_client.stac_api_io import StacApiIO

from geo_assets.domain.errors import ArchiveRefusedError
from geo_assets.io.wire.addresses import shown
from geo_assets.io.wire.exchange import Wire
from geo_assets.io.wire.meter import Meter

SEARCH_STATUSES = frozenset({400, 404, 405, 406, 411, 413, 414, 415, 422, 431, 500, 501, 502, 504})
"""Answers that say how to ask otherwise, or less at a time; 429 and 503 say when, which the wire obeys."""

_PAGE_LIMIT_BYTES = 64 << 20
_MOST_PAGES = 2_000
_MOST_EMPTY_PAGES = 20
_SHOWN_CHARACTERS = 200


class Unanswered(Exception):
    """The catalogue answered with a status of `SEARCH_STATUSES`: not an error yet, it is asked in another way."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"HTTP {status}{f' ({said})' if said else ''}")
        self.status = status


class WirePages(StacApiIO):
    """The requests of one catalogue, over a wire.

    Parameters
    ----------
    wire
        Knows the hosts that may be asked.
    what
        How messages begin.
    meter
        Counts the requests.
    """

    def __init__(self, wire: Wire, *, what: str, meter: Meter) -> None:
        super().__init__(max_retries=None)
        self._wire, self._what, self._meter = wire, what, meter

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The body of one answer; headers that a catalogue's links ask for are not sent.

        Raises
        ------
        Unanswered
            A status of `SEARCH_STATUSES`.
        ArchiveError
            As `Wire.request` has it.
        """
        body, url, sent = None, href, {"Accept": "application/geo+json, application/json"}
        if (method or "GET").upper() == "POST":
            body = json.dumps(parameters or {}, sort_keys=True).encode()
            sent["Content-Type"] = "application/json"
        elif parameters:
            url = f"{href}{'&' if '?' in href else '?'}{urlencode(parameters)}"
        reply = self._wire.request(
            "GET" if body is None else "POST",
            url,
            headers=sent,
            body=body,
            limit_bytes=_PAGE_LIMIT_BYTES,
            what=self._what,
            meter=self._meter,
            accept=SEARCH_STATUSES,
        )
        text = reply.body.decode("utf-8", errors="replace")
        if not 200 <= reply.status < 300:
            raise Unanswered(reply.status, _printable(text))
        return text

    def pages(self, search: ItemSearch) -> Iterator[list[Mapping[str, Any]]]:
        """The features of every page that has any.

        Raises
        ------
        Unanswered
            See `request`.
        ArchiveRefusedError
            The catalogue pages wrongly (a link that was followed already, pages that bring nothing new, fewer items
            than it says it has), or its answer is no item collection.
        ArchiveError
            As `Wire.request` has it.
        """
        seen: set[tuple[str, str]] = set()
        followed: set[str] = set()
        empty, stated = 0, None
        page = self._page(search.url, search.method, search.get_parameters())
        for _ in range(_MOST_PAGES):
            features, counts = page["features"], [stated, _count(page)]
            stated = min((count for count in counts if count is not None), default=None)
            known = len(seen)
            seen.update((str(feature.get("collection")), str(feature.get("id"))) for feature in features)
            link = _next_link(page)
            empty = 0 if features else empty + 1
            if link is not None and ((features and len(seen) == known) or empty > _MOST_EMPTY_PAGES):
                raise self._refusal(f"sends pages that bring nothing new, after {known} items")
            if features:
                yield features
            if link is None:
                self._expect_all(stated, len(seen))
                return
            mark = json.dumps([link.get(key) for key in ("href", "method", "body", "merge")], sort_keys=True)
            if mark in followed:
                raise self._refusal(f"sends the same link to the next page again, after {len(seen)} items")
            followed.add(mark)
            page = self._linked(link, search.get_parameters())
        raise self._refusal(f"sends more than {_MOST_PAGES} pages")

    def _linked(self, link: Mapping[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
        """The page that a link leads to."""
        try:
            target = Link.from_dict(dict(link))
        except Exception as error:  # whatever a stranger's link does to pystac
            raise self._refusal(f"sends a link to the next page that is none ({type(error).__name__})") from None
        return self._page(target, None, parameters)

    def _page(self, source: str | Link, method: str | None, parameters: dict[str, Any]) -> dict[str, Any]:
        """A page's JSON, its features a list of objects."""
        text = self.read_text(source, method=method, parameters=parameters)
        try:
            page = json.loads(text)
        except (ValueError, RecursionError):
            raise self._refusal(f"answers with what is not JSON ({_printable(text)!r})") from None
        if not isinstance(page, dict) or not isinstance(page.get("features"), list):
            raise self._refusal(f"answers with what is no item collection ({_printable(text)!r})")
        page["features"] = [feature if isinstance(feature, Mapping) else {} for feature in page["features"]]
        return page

    def _expect_all(self, stated: int | None, found: int) -> None:
        """Refuse a search that ends before the catalogue's own count."""
        if stated is not None and stated > found:
            raise self._refusal(f"says that it has {stated} items, and sends {found}")

    def _refusal(self, fault: str) -> ArchiveRefusedError:
        return ArchiveRefusedError(
            f"{self._what}: the catalogue {fault}. Nothing of this search is used, for scenes would be missed; "
            "choose another archive, or try again later."
        )


def search_of(url: str, *, method: str, pages: WirePages, **wanted: Any) -> ItemSearch:
    """pystac-client's search at an address, with no request for the landing page or its conformance classes."""
    return ItemSearch(url, method=method, stac_io=pages, **wanted)


def _next_link(page: Mapping[str, Any]) -> Mapping[str, Any] | None:
    links = page.get("links")
    named = [link for link in links if isinstance(link, Mapping)] if isinstance(links, list) else []
    return next((link for link in named if link.get("rel") == "next" and isinstance(link.get("href"), str)), None)


def _count(page: Mapping[str, Any]) -> int | None:
    """How many items the catalogue says that the search has."""
    context = page.get("context")
    stated = page.get("numberMatched", context.get("matched") if isinstance(context, Mapping) else None)
    return stated if type(stated) is int else None


def _printable(text: str) -> str:
    """The beginning of an answer, without the queries of addresses in it."""
    words = (shown(word) if "://" in word else word for word in text[: 4 * _SHOWN_CHARACTERS].split())
    return "".join(character if character.isprintable() else "?" for character in " ".join(words))[:_SHOWN_CHARACTERS]
