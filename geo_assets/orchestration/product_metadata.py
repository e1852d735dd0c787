"""What Dagster shows of a product: a thumbnail, its numbers, and where it lies."""

import base64
import math
from collections.abc import Iterator, Mapping

import dagster as dg
from pydantic import JsonValue

from geo_assets.domain.errors import ProductError
from geo_assets.io.manifest import FileEntry
from geo_assets.io.products import Product
from geo_assets.stations.line import Outcome

STAC_ROLE = "stac"
THUMBNAIL_ROLE = "thumbnail"
PICTURES_ROLE = "overview"
"""Roles of the files that are linked, drawn and named."""

INLINE_CHARACTERS = 1000
"""Dagster's pages draw Markdown shorter than this, and hide a longer one behind a click (measured on 1.13)."""

DECIMALS = 4
"""Of what is shown: the step in which reflectance is stored, and a hundredth of a per cent in shares."""


def product_metadata(outcome: Outcome) -> dict[str, dg.MetadataValue]:
    """Entries for Dagster's pages, in the order in which they are read: picture, state, metrics, run, places.

    Numbers stay numbers, which Dagster plots over partitions and time. `outcome` is `built`, or `hit` for a product
    that was there already; `status` is `done` or `empty`, then with its `reason`; `seconds` are those of this
    run, as are `requests`, `megabytes_read`, `retries` and `renewals` of archives over the network.
    """
    product = outcome.product
    manifest = product.manifest
    entries: dict[str, dg.MetadataValue] = {}
    for file in product.files_with_role(THUMBNAIL_ROLE)[:1]:
        entries["thumbnail"] = _picture(product, file)
    entries["status"] = dg.MetadataValue.text(manifest.status)
    if manifest.reason is not None:
        entries["reason"] = dg.MetadataValue.text(manifest.reason)
    for name, metric in sorted(manifest.metrics.items(), key=lambda entry: (_reading_order(entry[1]), entry[0])):
        if metric is not None:
            entries[name] = _value(metric)
    entries["outcome"] = dg.MetadataValue.text("hit" if outcome.reused else "built")
    entries["seconds"] = dg.MetadataValue.float(round(outcome.seconds, 3))
    entries |= _traffic(outcome.traffic)
    entries["megabytes_stored"] = dg.MetadataValue.float(round(sum(file.bytes for file in manifest.files) / 1e6, 3))
    entries["path"] = _location(product, "")
    pictures = [file.name for file in product.files_with_role(PICTURES_ROLE)]
    if pictures:
        entries["pictures"] = dg.MetadataValue.text(", ".join(pictures))
    for file in product.files_with_role(STAC_ROLE)[:1]:
        entries["stac"] = _location(product, f"/{file.name}")
    return entries


def _traffic(traffic: Mapping[str, int | float]) -> dict[str, dg.MetadataValue]:
    """Requests, megabytes, retries and renewals of the run; nothing where the network was not asked."""
    if not traffic.get("requests"):
        return {}
    counts = {name: dg.MetadataValue.int(int(traffic.get(name, 0))) for name in ("requests", "retries", "renewals")}
    return {**counts, "megabytes_read": dg.MetadataValue.float(round(traffic.get("bytes", 0) / 1e6, 3))}


def _reading_order(metric: JsonValue) -> int:
    """Numbers before words, words before lists, lists before tables."""
    if isinstance(metric, list):
        return 2
    return 3 if isinstance(metric, dict) else int(isinstance(metric, str))


def _value(metric: JsonValue) -> dg.MetadataValue:
    if isinstance(metric, bool):
        return dg.MetadataValue.bool(metric)
    if isinstance(metric, int):
        return dg.MetadataValue.int(metric)
    if isinstance(metric, float):
        return dg.MetadataValue.float(round(metric, DECIMALS))
    if isinstance(metric, dict):
        table = _table(metric)
        return dg.MetadataValue.md(table) if len(table) < INLINE_CHARACTERS else dg.MetadataValue.json(metric)
    if isinstance(metric, list):
        words = [_brief(entry) for entry in metric]
        return dg.MetadataValue.text(("; " if any("," in word for word in words) else ", ").join(words) or "none")
    return dg.MetadataValue.text(str(metric))


def _brief(value: JsonValue) -> str:
    return f"{round(value, DECIMALS):.12g}" if isinstance(value, float) else str(value)


def _table(metric: Mapping[str, JsonValue]) -> str:
    """Markdown of a mapping, or of a mapping of mappings: the names that are shorter head the columns."""
    cells = {name: dict(_leaves(entry)) for name, entry in metric.items()}
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    if max(map(len, cells), default=0) < max(map(len, columns), default=0):
        cells = {column: {name: row[column] for name, row in cells.items() if column in row} for column in columns}
        columns = list(metric)
    lines = [["", *columns], ["---", *(["---:"] * len(columns))]]
    lines += [[name, *(row.get(column, "") for column in columns)] for name, row in cells.items()]
    return "\n".join(f"|{'|'.join(line)}|" for line in lines)


def _leaves(entry: JsonValue, name: str = "") -> Iterator[tuple[str, str]]:
    """The values in nested mappings, each under the names that lead to it."""
    if isinstance(entry, dict):
        for inner, value in sorted(entry.items(), key=lambda item: _counting_order(item[0])):
            yield from _leaves(value, f"{name} {inner}".strip())
    else:
        yield name, _brief(entry)


def _counting_order(name: str) -> tuple[float, str]:
    """Numbers by their value, behind all other names: a manifest has 100 before 25."""
    try:
        return float(name), name
    except ValueError:
        return -math.inf, name


def _location(product: Product, name: str) -> dg.MetadataValue:
    return dg.MetadataValue.path(f"{product.store.url}/{product.folder}{name}")


def _picture(product: Product, file: FileEntry) -> dg.MetadataValue:
    """The picture itself if it is small enough to be drawn, else where it lies."""
    if file.bytes >= INLINE_CHARACTERS:
        return _location(product, f"/{file.name}")
    try:
        content = base64.b64encode(product.bytes(file.name)).decode()
    except ProductError as damage:  # a thumbnail is no reason to fail a product that stands
        return dg.MetadataValue.text(str(damage))
    markdown = f"![thumbnail](data:{file.media_type};base64,{content})"
    if len(markdown) >= INLINE_CHARACTERS:
        return _location(product, f"/{file.name}")
    return dg.MetadataValue.md(markdown)
