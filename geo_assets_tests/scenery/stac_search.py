"""A STAC API over given items, as `fault_server` answers it: landing page, collections, search, and bad paging."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

Item = dict[str, Any]
Query = dict[str, Any]

CONFORMS_TO = [
    f"https://api.stacspec.org/v1.0.0/{part}"
    for part in ("core", "collections", "ogcapi-features", "item-search", "item-search#query", "item-search#sort")
]


@dataclass
class Paging:
    """How a catalogue pages, and how it pages wrongly; may be changed while serving."""

    largest: int = 100
    """More items than this to a page are not given, whatever limit is asked for."""
    fails_above: int | None = None
    """A limit above this is answered 500."""
    accepts_post: bool = True
    """False answers POST with 405."""
    same_token: bool = False
    """True: every page's next link leads to the second page again."""
    repeats: int = 0
    """So many items of the page before begin every page."""
    matched: int | None = None
    """What numberMatched says instead of the truth."""


@dataclass
class Catalogue:
    """Items that can be searched for."""

    items: list[Item]
    path: str = "/stac/v1"
    """Of the landing page."""
    paging: Paging = field(default_factory=Paging)
    title: str = "test"

    def get(self, base: str, path: str, query: str) -> tuple[int, Any]:
        """Status and JSON of an answer to a GET under the catalogue; `path` is relative to the landing page."""
        here = f"{base}{self.path}"
        parts = [part for part in path.split("/") if part]
        if not parts:
            return 200, self._landing(here)
        if parts == ["conformance"]:
            return 200, {"conformsTo": CONFORMS_TO}
        if parts == ["search"]:
            return self.search(here, _from_url(query), "GET")
        collections = [_collection(here, name) for name in self._collection_names()]
        if parts == ["collections"]:
            return 200, {"collections": collections, "links": [{"rel": "self", "href": f"{here}/collections"}]}
        if parts[0] == "collections" and len(parts) == 2:
            return next(((200, one) for one in collections if one["id"] == parts[1]), (404, {"code": "NotFound"}))
        if parts[0] == "collections" and len(parts) == 4 and parts[2] == "items":
            found = [item for item in self.items if (item["collection"], item["id"]) == (parts[1], parts[3])]
            return (200, found[0]) if found else (404, {"code": "NotFoundError"})
        return 404, {"code": "NotFoundError"}

    def search(self, here: str, query: Query, method: str) -> tuple[int, Any]:
        """Status and JSON of one page of a search."""
        limit = int(query.get("limit") or 10)
        if self.paging.fails_above is not None and limit > self.paging.fails_above:
            return 500, {"code": "InternalServerError", "description": "response too large"}
        if method == "POST" and not self.paging.accepts_post:
            return 405, {"code": "MethodNotAllowed"}
        if "filter" in query:
            return 400, {"code": "BadRequest", "description": "this catalogue knows no filter expressions"}
        found = sorted((item for item in self.items if matches(item, query)), key=_sort_key(query))
        if _descending(query):
            found.reverse()
        size = min(limit, self.paging.largest)
        start = int(str(query.get("token") or "next:0").removeprefix("next:"))
        page = found[max(0, start - self.paging.repeats) : start + size]
        links = [{"rel": "root", "type": "application/json", "href": here}]
        if start + size < len(found):
            token = f"next:{size if self.paging.same_token else start + size}"
            links.append(_next_link(f"{here}/search", query | {"token": token}, method))
        elif self.paging.same_token and start:
            links.append(_next_link(f"{here}/search", query | {"token": f"next:{size}"}, method))
        matched = len(found) if self.paging.matched is None else self.paging.matched
        return 200, {
            "type": "FeatureCollection",
            "features": page,
            "links": links,
            "numberMatched": matched,
            "numberReturned": len(page),
        }

    def post(self, base: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON of an answer to a POST under the catalogue."""
        if path.strip("/") != "search":
            return 404, {"code": "NotFoundError"}
        try:
            query = json.loads(body or b"{}")
        except ValueError:
            return 400, {"code": "BadRequest"}
        return self.search(f"{base}{self.path}", query, "POST")

    def _collection_names(self) -> list[str]:
        return sorted({str(item["collection"]) for item in self.items})

    def _landing(self, here: str) -> dict[str, Any]:
        links: list[dict[str, str]] = [
            {"rel": "self", "type": "application/json", "href": here},
            {"rel": "root", "type": "application/json", "href": here},
            {"rel": "data", "type": "application/json", "href": f"{here}/collections"},
            {"rel": "conformance", "type": "application/json", "href": f"{here}/conformance"},
            {"rel": "search", "type": "application/geo+json", "href": f"{here}/search", "method": "GET"},
            {"rel": "search", "type": "application/geo+json", "href": f"{here}/search", "method": "POST"},
        ]
        links += [
            {"rel": "child", "type": "application/json", "href": f"{here}/collections/{name}"}
            for name in self._collection_names()
        ]
        return {
            "type": "Catalog",
            "id": self.title,
            "title": self.title,
            "stac_version": "1.0.0",
            "description": "items of a test",
            "links": links,
            "conformsTo": CONFORMS_TO,
        }


def matches(item: Mapping[str, Any], query: Query) -> bool:
    """Whether a search finds an item; `intersects` is taken by its envelope."""
    box = query.get("bbox") or (_envelope(query["intersects"]) if query.get("intersects") else None)
    if box and not _boxes_meet(box, item["bbox"]):
        return False
    if query.get("collections") and item["collection"] not in query["collections"]:
        return False
    if query.get("ids") and item["id"] not in query["ids"]:
        return False
    properties = item["properties"]
    if query.get("datetime"):
        first, slash, last = query["datetime"].partition("/")
        begins = _instant(properties.get("start_datetime") or properties["datetime"])
        ends = _instant(properties.get("end_datetime") or properties["datetime"])
        last = last if slash else first
        if (last not in ("", "..") and begins > _instant(last)) or (first not in ("", "..") and ends < _instant(first)):
            return False
    return all(
        _compares(properties.get(name), operator, value)
        for name, conditions in (query.get("query") or {}).items()
        for operator, value in conditions.items()
    )


def _compares(found: Any, operator: str, value: Any) -> bool:
    if found is None:
        return False
    if operator == "in":
        return found in value
    return bool({"lt": found < value, "lte": found <= value, "gt": found > value, "gte": found >= value,
                 "eq": found == value, "neq": found != value}[operator])  # fmt: skip


def _instant(text: str) -> str:
    """To the second, such that text compares as time does."""
    return (text.replace("Z", "").replace("+00:00", "") + "T00:00:00")[:19] if "T" not in text else text[:19]


def _boxes_meet(one: Sequence[float], other: Sequence[float]) -> bool:
    """Boxes of (west, south, east, north); one that crosses the antimeridian has west > east, or goes beyond 180."""
    if one[1] > other[3] or other[1] > one[3]:
        return False
    return any(
        a[0] <= b[1] + turn and b[0] + turn <= a[1]
        for a in _spans(one)
        for b in _spans(other)
        for turn in (-360.0, 0.0, 360.0)
    )


def _spans(box: Sequence[float]) -> list[tuple[float, float]]:
    west, east = box[0], box[2]
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]


def _envelope(geometry: Mapping[str, Any]) -> list[float]:
    points = list(_points(geometry["coordinates"]))
    longitudes, latitudes = [point[0] for point in points], [point[1] for point in points]
    return [min(longitudes), min(latitudes), max(longitudes), max(latitudes)]


def _points(coordinates: Any) -> Iterator[Sequence[float]]:
    if coordinates and isinstance(coordinates[0], (int, float)):
        yield coordinates
        return
    for part in coordinates:
        yield from _points(part)


def _sort_fields(query: Query) -> list[tuple[str, bool]]:
    """Names and whether they descend; `-datetime,id` of a URL, or objects of a body."""
    asked = query.get("sortby") or "-datetime"
    if isinstance(asked, str):
        return [(name.lstrip("+-"), name.startswith("-")) for name in asked.split(",")]
    return [(str(one["field"]), one.get("direction") == "desc") for one in asked]


def _sort_key(query: Query) -> Any:
    names = [name.removeprefix("properties.") for name, _ in _sort_fields(query)]
    return lambda item: tuple(str(item.get(name) or item["properties"].get(name, "")) for name in [*names, "id"])


def _descending(query: Query) -> bool:
    return _sort_fields(query)[0][1]


def _next_link(href: str, query: Query, method: str) -> dict[str, Any]:
    if method == "POST":
        return {"rel": "next", "type": "application/geo+json", "method": "POST", "href": href, "body": query}
    fields = {
        name: ",".join(map(str, value)) if isinstance(value, list) and name != "sortby"
        else json.dumps(value) if isinstance(value, (dict, list))
        else value
        for name, value in query.items()
    }  # fmt: skip
    return {"rel": "next", "type": "application/geo+json", "method": "GET", "href": f"{href}?{urlencode(fields)}"}


def _from_url(text: str) -> Query:
    query: Query = {name: values[0] for name, values in parse_qs(text).items()}
    for name in ("bbox", "collections", "ids"):
        if name in query:
            query[name] = query[name].split(",")
    if "bbox" in query:
        query["bbox"] = [float(value) for value in query["bbox"]]
    for name, value in query.items():
        if isinstance(value, str) and value[:1] in "[{":
            query[name] = json.loads(value)
    return query


def _collection(here: str, name: str) -> dict[str, Any]:
    return {
        "type": "Collection",
        "id": name,
        "stac_version": "1.0.0",
        "description": name,
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2000-01-01T00:00:00Z", None]]},
        },
        "links": [{"rel": "self", "href": f"{here}/collections/{name}"}, {"rel": "root", "href": here}],
    }
