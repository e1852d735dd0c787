"""What `dataset_stats` keeps of its parts: enough to take one of them back when it changes.

A part is the histogram of one tile and month. Once that was rebuilt the store no longer has the old one, so the
product keeps its own: `histograms-<month>.npz` with the parts of a month by tile; `sums.npz` with their sums
`months/<month>`, `tiles/<tile>` and `all`; `parts.json` with the SHA-256 of each part. A sum of integers that lost
one part and gained another is that of all parts together, so the files do not tell how they were made.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from geo_assets.domain.errors import CorruptProductError, MissingProductError
from geo_assets.io.histogram_file import COMPRESSION, HistogramReader, HistogramWriter
from geo_assets.io.manifest import canonical_json
from geo_assets.io.products import Product
from geo_assets.kernels.histogram import Histogram, HistogramSum, PackedHistogram

log = logging.getLogger(__name__)

PARTS_FILE, SUMS_FILE = "parts.json", "sums.npz"

ALL = "all"
"""Name of the sum of all parts."""

Parts: TypeAlias = Mapping[str, Mapping[str, str]]
"""Month -> tile -> SHA-256 of the histogram's file, of all tiles and months that have one."""

_Part: TypeAlias = tuple[str, str]
"""Month and tile."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What an older product kept, whole and as it was sealed; nothing without one."""

    parts: Parts
    """Those that its files hold."""
    months: Mapping[str, Path]
    """Month -> its file."""
    sums: Path | None
    """The file of sums; None where nothing was kept."""


NOTHING_KEPT = Kept({}, {}, None)


def month_file(month: str) -> str:
    """Name of the file with the parts of a month."""
    return f"histograms-{month}.npz"


def parts_json(parts: Parts, bands: Sequence[str]) -> bytes:
    """The content of `parts.json`."""
    return canonical_json({"form": _form(bands), "parts": parts})


def kept_by(product: Product | None, bands: Sequence[str]) -> Kept:
    """What a finished product kept; nothing where it has other bands or is damaged, so that all is read again."""
    if product is None or not any(file.name == PARTS_FILE for file in product.manifest.files):
        return NOTHING_KEPT
    try:
        record = product.json(PARTS_FILE)
        if record["form"] != _form(bands):
            return NOTHING_KEPT
        months = {month: _sealed(product, month_file(month)) for month in record["parts"]}
        return Kept(record["parts"], months, _sealed(product, SUMS_FILE))
    except (CorruptProductError, MissingProductError, KeyError, TypeError, ValueError) as error:
        log.warning("%s is damaged, its parts are read again: %s", product.place, error)
        return NOTHING_KEPT


def _form(bands: Sequence[str]) -> dict[str, Any]:
    """What the files' bytes depend on besides the parts."""
    return {"version": 1, "bands": list(bands), "compression": COMPRESSION}


def _sealed(product: Product, name: str) -> Path:
    path = product.path(name)
    expected = next((file.sha256 for file in product.manifest.files if file.name == name), None)
    try:
        with path.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise CorruptProductError(f"{product.place}, {name}: {error}. It is made again from the parts.") from None
    if found != expected:
        raise CorruptProductError(
            f"{product.place}, {name}: found SHA-256 {found}, expected {expected}. It is made again from the parts."
        )
    return path


def month_files(
    parts: Parts, kept: Kept, scratch: Callable[[str], Path], read_part: Callable[[str, str], Histogram]
) -> dict[str, Path]:
    """The file of every month: the kept one where no part changed, else one written anew.

    Parameters
    ----------
    scratch : callable name -> Path
        Where to write.
    read_part : callable (month, tile) -> Histogram
        Reads a part from the store: called once for each that is not kept. One is in memory at a time.
    """
    files = {}
    for month, tiles in sorted(parts.items()):
        before = kept.parts.get(month, {})
        if tiles == before:
            files[month] = kept.months[month]
            continue
        files[month] = scratch(month_file(month))
        with ExitStack() as stack:
            writer = stack.enter_context(HistogramWriter(files[month]))
            reader = stack.enter_context(HistogramReader(kept.months[month])) if before else None
            for tile, digest in sorted(tiles.items()):
                is_kept = reader is not None and before.get(tile) == digest
                writer.write(tile, reader.read(tile) if reader and is_kept else read_part(month, tile).packed())
    return files


def written_sums(
    path: Path, parts: Parts, files: Mapping[str, Path], kept: Kept, bands: int
) -> Iterator[tuple[str, Histogram]]:
    """Write the sums of every month, every tile and all; yields each name with its histogram, one at a time.

    Parameters
    ----------
    path : Path
        Of the file to write.
    files : mapping
        As `month_files` returned them.
    bands : int
        Of every histogram.

    Raises
    ------
    CorruptProductError, ProductError
        What was kept contradicts itself.
    """
    changed = _changed(kept.parts, parts)
    with ExitStack() as stack:
        writer = stack.enter_context(HistogramWriter(path))
        old_sums = None if kept.sums is None else stack.enter_context(HistogramReader(kept.sums))
        touched = {month for month, _ in changed}
        old, new = (
            {month: stack.enter_context(HistogramReader(some[month])) for month in sorted(touched & set(some))}
            for some in (kept.months, files)
        )

        def before(name: str, has_parts: bool) -> PackedHistogram | None:
            """The sum that was kept under a name; None where it had no part then."""
            return old_sums.read(name) if old_sums is not None and has_parts else None

        def renewed(name: str, has_parts: bool, some: Iterable[_Part]) -> HistogramSum:
            """That sum, with what it lost of `some` changed parts taken away and what it gained added."""
            whole = HistogramSum(bands)
            if (older := before(name, has_parts)) is not None:
                whole.add(older)
            for month, tile in some:
                if tile in kept.parts.get(month, {}):
                    whole.subtract(old[month].read(tile))
                if tile in parts.get(month, {}):
                    whole.add(new[month].read(tile))
            return whole

        everything = HistogramSum(bands)
        if (older := before(ALL, bool(kept.parts))) is not None:
            everything.add(older)
        for month in sorted({*kept.parts, *parts}):
            name = f"months/{month}"
            whole = renewed(name, month in kept.parts, [part for part in changed if part[0] == month])
            if month in touched:
                if (older := before(name, month in kept.parts)) is not None:
                    everything.subtract(older)
                everything.add(whole.histogram())
            if month in parts:
                writer.write(name, whole.packed())
                yield name, whole.histogram()
        kept_tiles, tiles = ({tile for some in which.values() for tile in some} for which in (kept.parts, parts))
        for tile in sorted(tiles):
            name = f"tiles/{tile}"
            whole = renewed(name, tile in kept_tiles, [part for part in changed if part[1] == tile])
            writer.write(name, whole.packed())
            yield name, whole.histogram()
        writer.write(ALL, everything.packed())
        yield ALL, everything.histogram()


def _changed(before: Parts, after: Parts) -> list[_Part]:
    """The parts that are new, gone, or other than they were."""
    old, new = (
        {(month, tile): digest for month, tiles in parts.items() for tile, digest in tiles.items()}
        for parts in (before, after)
    )
    return sorted(part for part in {*old, *new} if old.get(part) != new.get(part))
