"""What a search has found, as one JSON document: it is read back exactly as it was written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.errors import RegionError
from geo_assets.domain.scene import SceneAsset, SceneItem
from geo_assets.domain.tile_month import Month
from geo_assets.io.archives.archive import Exclusion
from geo_assets.io.archives.unusable import Unusable

FORMAT = 2
"""Raised when the document changes; another format counts as no document."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The answer to one search."""

    asked: datetime
    """When, UTC."""
    items: tuple[SceneItem, ...]
    """In order of time and id."""
    unusable: tuple[Unusable, ...]
    """In order of id and reason."""


def shelf_bytes(shelf: Shelf) -> bytes:
    """The document of a shelf."""
    document = {
        "format": FORMAT,
        "asked": shelf.asked.isoformat(),
        "items": [_item_document(item) for item in shelf.items],
        "unusable": [_unusable_document(one) for one in shelf.unusable],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def shelf_from(content: bytes) -> Shelf | None:
    """The shelf of a document; None if it is none, for then the search is asked again."""
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            return None
        return Shelf(
            datetime.fromisoformat(document["asked"]),
            tuple(map(_item, document["items"])),
            tuple(map(_unusable, document["unusable"])),
        )
    except (ValueError, KeyError, TypeError, RecursionError, shapely.errors.ShapelyError, RegionError):
        return None


def _item_document(item: SceneItem) -> dict[str, Any]:
    fields: dict[str, Any] = {name: getattr(item, name) for name in SceneItem.__slots__}
    return fields | {
        "acquired": item.acquired.isoformat(),
        "footprint": shapely.to_wkb(item.footprint, hex=True),
        "assets": {
            band: [getattr(asset, name) for name in SceneAsset.__slots__] for band, asset in item.assets.items()
        },
    }


def _item(document: Mapping[str, Any]) -> SceneItem:
    fields = dict(document)
    fields["acquired"] = datetime.fromisoformat(fields["acquired"])
    fields["footprint"] = shapely.from_wkb(fields["footprint"])
    fields["assets"] = {band: SceneAsset(*values) for band, values in fields["assets"].items()}
    return SceneItem(**fields)


def _unusable_document(one: Unusable) -> dict[str, Any]:
    return {
        "item": one.exclusion.item,
        "reason": one.exclusion.reason,
        "month": None if one.month is None else str(one.month),
        "ground": None if one.ground is None else shapely.to_wkb(one.ground, hex=True),
    }


def _unusable(document: Mapping[str, Any]) -> Unusable:
    month, ground = document["month"], document["ground"]
    return Unusable(
        Exclusion(document["item"], document["reason"]),
        None if month is None else Month.parse(month),
        None if ground is None else _geometry(ground),
    )


def _geometry(text: str) -> BaseGeometry:
    return shapely.from_wkb(text)
