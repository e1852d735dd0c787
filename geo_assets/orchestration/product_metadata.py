"""What Dagster shows of a product: its numbers, where it lies, and a thumbnail."""

import base64

import dagster as dg
from pydantic import JsonValue

from geo_assets.domain.errors import ProductError
from geo_assets.io.manifest import FileEntry
from geo_assets.io.products import Product
from geo_assets.stations.line import Outcome

STAC_ROLE = "stac"
THUMBNAIL_ROLE = "thumbnail"
"""Roles of the files that are linked and drawn."""

INLINE_CHARACTERS = 1000
"""Dagster's pages draw a data URI shorter than this, and print a longer one as text (measured on 1.13)."""


def product_metadata(outcome: Outcome) -> dict[str, dg.MetadataValue]:
    """Entries for Dagster's pages: every metric of the manifest, then how and where the product was made.

    Numbers stay numbers, which Dagster plots over partitions and time. `outcome` is `built`, or `hit` for a product
    that was there already; `status` is `done` or `empty`, then with its `reason`; `seconds` are those of this run.
    """
    product = outcome.product
    manifest = product.manifest
    entries = {name: _value(metric) for name, metric in manifest.metrics.items() if metric is not None}
    entries["outcome"] = dg.MetadataValue.text("hit" if outcome.reused else "built")
    entries["status"] = dg.MetadataValue.text(manifest.status)
    if manifest.reason is not None:
        entries["reason"] = dg.MetadataValue.text(manifest.reason)
    entries["seconds"] = dg.MetadataValue.float(round(outcome.seconds, 3))
    entries["megabytes"] = dg.MetadataValue.float(round(sum(file.bytes for file in manifest.files) / 1e6, 3))
    entries["path"] = _location(product, "")
    for file in product.files_with_role(STAC_ROLE)[:1]:
        entries["stac"] = _location(product, f"/{file.name}")
    for file in product.files_with_role(THUMBNAIL_ROLE)[:1]:
        entries["thumbnail"] = _picture(product, file)
    return entries


def _value(metric: JsonValue) -> dg.MetadataValue:
    if isinstance(metric, bool):
        return dg.MetadataValue.bool(metric)
    if isinstance(metric, int):
        return dg.MetadataValue.int(metric)
    if isinstance(metric, float):
        return dg.MetadataValue.float(metric)
    if isinstance(metric, str):
        return dg.MetadataValue.text(metric)
    return dg.MetadataValue.json(metric if isinstance(metric, dict) else list(metric or ()))


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
