"""One search, asked in every way that may help: POST or GET, smaller pages, smaller boxes."""

import logging
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, TypeVar

from geo_assets.domain.errors import ArchiveError, ArchiveRefusedError, ArchiveTransientError
from geo_assets.io.archives.search.pages import Unanswered, WirePages, search_of
from geo_assets.io.archives.search.plan import Box, quarters

log = logging.getLogger(__name__)

Method: TypeAlias = Literal["POST", "GET"]
T = TypeVar("T")

LARGEST_PAGE = 100
"""Items: larger pages pass 6 MB, beyond which Earth Search answers 500."""
SMALLEST_PAGE = 5
_PAGE_OF_A_QUARTER = 25
_SLOW_S = 10.0
"""Who fails after so long has too much to do: a smaller area helps more than a smaller page."""
_MOST_SPLITS = 2
"""A box is cut in four, and each quarter in four again."""
_METHOD_NOT_OFFERED = frozenset({405, 406, 411, 415, 501})
_NOT_UNDERSTOOD = frozenset({400, 422})
_SORTING = ["+properties.datetime", "+id"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one search asks for."""

    collections: tuple[str, ...]
    box: Box
    first: datetime
    last: datetime
    """Not included."""
    max_cloud_cover: float | None = None
    """Per cent; asked of the server where it offers that, always to be checked again."""

    def parameters(self, *, limit: int, sorted_by_server: bool) -> dict[str, Any]:
        """As pystac-client names them."""
        cloud = {"eo:cloud_cover": {"lte": self.max_cloud_cover}}
        return {
            "collections": list(self.collections),
            "bbox": list(self.box),
            "datetime": f"{self.first.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}/{_rounded_up(self.last)}",
            "limit": limit,
            "sortby": _SORTING if sorted_by_server else None,
            "query": cloud if self.max_cloud_cover is not None else None,
        }


@dataclass(frozen=True, slots=True)
class _Way:
    """How to ask."""

    limit: int
    splits: int = 0


class Asking:
    """Searches of one catalogue, which remembers what it understands.

    Parameters
    ----------
    url
        Of the catalogue, without a slash at its end.
    pages
        The requests.
    what
        How messages begin.
    page_limit
        Items to a page at first.
    patience_s
        A search that has brought no page for so long fails.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        url: str,
        pages: WirePages,
        *,
        what: str,
        page_limit: int = LARGEST_PAGE,
        patience_s: float = 150.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{url}/search"
        self._pages, self._what, self._clock = pages, what, clock
        self._page_limit, self._patience_s = page_limit, patience_s
        self._methods: tuple[Method, ...] = ("POST", "GET")
        self._sorts = True
        self._heard_at = clock()

    def found(self, wanted: Wanted, read: Callable[[Mapping[str, Any]], tuple[Hashable, T]]) -> list[T]:
        """Every item that a search finds, once each, in the order in which they came.

        Parameters
        ----------
        wanted
            What to search for.
        read
            Identity of an item, and what to keep of it; called for every item as its page comes.

        Raises
        ------
        ArchiveTransientError
            The catalogue does not answer, however little is asked of it.
        ArchiveRefusedError
            It pages wrongly, or does not understand the search.
        ArchiveError
            There is no search at that address.
        """
        self._heard_at = self._clock()
        return list(self._asked(wanted, _Way(self._page_limit), read).values())

    def first_page(self, wanted: Wanted, *, limit: int) -> list[Mapping[str, Any]]:
        """Some of what a search finds, at most `limit`; POST and GET are tried, nothing else.

        Raises
        ------
        ArchiveError
            As in `found`.
        """
        failure: Exception | None = None
        for method in self._methods:
            parameters = wanted.parameters(limit=limit, sorted_by_server=False)
            search = search_of(self._url, method=method, pages=self._pages, **parameters)
            try:
                return next(self._pages.pages(search), [])[:limit]
            except Unanswered as fault:
                self._expect_a_search(fault)
                failure = self._failed(fault)
            except ArchiveTransientError as fault:
                failure = fault
        assert failure is not None  # there is always a method
        raise failure

    def _asked(
        self, wanted: Wanted, way: _Way, read: Callable[[Mapping[str, Any]], tuple[Hashable, T]]
    ) -> dict[Hashable, T]:
        began = self._clock()
        try:
            return self._asked_by_any_method(wanted, way, read)
        except (Unanswered, ArchiveTransientError) as failure:
            is_slow = self._clock() - began > _SLOW_S
            if way.limit <= SMALLEST_PAGE and self._sorts and isinstance(failure, Unanswered):
                self._sorts = False  # it may be the sorting that breaks it, and it is sorted again here
                return self._asked(wanted, way, read)
            smaller = _smaller(way, answered=isinstance(failure, Unanswered), is_slow=is_slow)
            if smaller is None or self._clock() - self._heard_at > self._patience_s:
                raise self._failed(failure) from None
            log.info("%s: %s; asking for pages of %d items", self._what, failure, smaller.limit)
        boxes = quarters(wanted.box) if smaller.splits > way.splits else (wanted.box,)
        kept: dict[Hashable, T] = {}
        for box in boxes:
            kept |= self._asked(replace(wanted, box=box), smaller, read)
        return kept

    def _asked_by_any_method(
        self, wanted: Wanted, way: _Way, read: Callable[[Mapping[str, Any]], tuple[Hashable, T]]
    ) -> dict[Hashable, T]:
        """The items by the first method that works, which is the first from then on."""
        failure: Unanswered | ArchiveTransientError | None = None
        for method in self._methods:
            try:
                kept = self._asked_once(wanted, way, method, read)
            except Unanswered as fault:
                self._expect_a_search(fault)
                if fault.status in _NOT_UNDERSTOOD and self._sorts:
                    self._sorts = False
                    return self._asked_by_any_method(wanted, way, read)
                if fault.status in _METHOD_NOT_OFFERED and len(self._methods) > 1:
                    self._methods = tuple(other for other in self._methods if other != method)
                failure = fault if failure is None or fault.status not in _METHOD_NOT_OFFERED else failure
            except ArchiveTransientError as fault:
                failure = fault
            else:
                self._methods = (method, *(other for other in self._methods if other != method))
                return kept
        assert failure is not None  # there is always a method
        raise failure

    def _asked_once(
        self, wanted: Wanted, way: _Way, method: Method, read: Callable[[Mapping[str, Any]], tuple[Hashable, T]]
    ) -> dict[Hashable, T]:
        parameters = wanted.parameters(limit=way.limit, sorted_by_server=self._sorts)
        kept: dict[Hashable, T] = {}
        for features in self._pages.pages(search_of(self._url, method=method, pages=self._pages, **parameters)):
            self._heard_at = self._clock()
            for feature in features:
                identity, value = read(feature)
                kept.setdefault(identity, value)
        return kept

    def _expect_a_search(self, fault: Unanswered) -> None:
        if fault.status == 404:
            raise ArchiveError(
                f"{self._what}: there is no search at {self._url} (HTTP 404), expected a STAC API. Correct catalog_url."
            ) from None
        if fault.status in _NOT_UNDERSTOOD and not self._sorts:
            raise ArchiveRefusedError(
                f"{self._what}: the catalogue does not understand the search: {fault}. "
                "Check the collection's name, and that catalog_url is a STAC API of version 1."
            ) from None

    def _failed(self, failure: Unanswered | ArchiveTransientError) -> ArchiveTransientError:
        if isinstance(failure, ArchiveTransientError):
            return failure
        return ArchiveTransientError(
            f"{self._what}: the catalogue answers {failure}, also to searches for {SMALLEST_PAGE} items in a part of "
            "the area. Run it again later, or choose another archive; `geo-assets doctor` shows which one answers."
        )


def _smaller(way: _Way, *, answered: bool, is_slow: bool) -> _Way | None:
    """The next smaller way to ask; None when there is none, or when none would help who does not answer at all."""
    if is_slow and way.limit > _PAGE_OF_A_QUARTER:
        return replace(way, limit=_PAGE_OF_A_QUARTER)
    if way.limit > SMALLEST_PAGE and not is_slow:
        return replace(way, limit=max(SMALLEST_PAGE, way.limit // (2 if answered else 4)))
    if way.splits < _MOST_SPLITS and (answered or is_slow):
        return _Way(_PAGE_OF_A_QUARTER, way.splits + 1)
    return None


def _rounded_up(moment: datetime) -> str:
    """As RFC 3339 has it, rounded up to whole seconds: what is found is checked again."""
    return f"{moment.astimezone(UTC) + timedelta(microseconds=999_999):%Y-%m-%dT%H:%M:%SZ}"
