"""Work in units: done on threads, checkpointed one by one, and laid down as rasters in row order."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.domain.errors import ArchiveError, AssetLostError
from geo_assets.io.checkpoint import Checkpoint
from geo_assets.io.cog_writer import RasterBand, write_cog
from geo_assets.io.products import Build
from geo_assets.stations.attribution import ATTRIBUTION
from geo_assets.stations.ground import Ground
from geo_assets.stations.line import Line

UnitArrays: TypeAlias = Mapping[str, NDArray[Any]]

GEOTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def block_name(layer: str, block_row: int, block_col: int) -> str:
    """Name of a block's array within its unit."""
    return f"{layer}-{block_row:03d}-{block_col:03d}"


def finish_units(
    line: Line,
    build: Build,
    jobs: Mapping[str, Callable[[], UnitArrays]],
    what: str,
    *,
    keep: Sequence[str] = (),
    setbacks: dict[str, ArchiveError] | None = None,
    at_once: int | None = None,
) -> dict[str, UnitArrays]:
    """Do every unit that an earlier run has not finished; the first error stops the rest and is raised.

    Parameters
    ----------
    jobs
        Key of the unit -> what makes it. Keys depend on the work alone, never on threads.
    what
        The station and place, for progress.
    keep
        Names of small arrays to hand back; all others wait in the checkpoint, so that memory does not grow.
    setbacks
        Where given, a lost asset stops nothing: it is entered here under its unit's key, and all other units are done.
    at_once
        The most units in flight, where their memory rather than the line's threads is the limit.

    Returns
    -------
    kept
        Key of the unit -> its arrays named in `keep`, in the order of `jobs`; not of units with a setback.
    """
    lost: dict[str, ArchiveError] = {}

    def finish(key: str) -> UnitArrays:
        """One unit's arrays to be handed back; nothing where its asset is lost."""
        try:
            arrays = build.units.take(key, jobs[key])
        except AssetLostError as error:
            if setbacks is None:
                raise
            lost[key] = error
            return {}
        return {name: arrays[name] for name in keep}

    done = 0
    workers = line.threads if at_once is None else min(line.threads, at_once)
    with ThreadPoolExecutor(workers, thread_name_prefix="unit") as pool:
        futures = {key: pool.submit(finish, key) for key in jobs}
        try:
            for future in as_completed(futures.values()):
                future.result()
                done += 1
                if line.on_unit is not None:
                    line.on_unit(what, done, len(futures))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if setbacks is not None:
        setbacks.update({key: lost[key] for key in jobs if key in lost})
    return {key: future.result() for key, future in futures.items() if key not in lost}


class BlockSource:
    """The blocks of one layer, read back from finished units in row order; a unit is let go with its last block."""

    def __init__(
        self,
        units: Checkpoint,
        unit_keys: Mapping[tuple[int, int], str],
        layer: str,
        make: Callable[[str], UnitArrays],
    ) -> None:
        self._units, self._unit_keys, self._layer, self._make = units, unit_keys, layer, make
        self._kept: dict[str, UnitArrays] = {}
        self._last = {key: block for block, key in sorted(unit_keys.items())}

    def __call__(self, block_row: int, block_col: int) -> NDArray[Any] | None:
        """The block's (band, y, x) array, or None where it has no data."""
        key = self._unit_keys.get((block_row, block_col))
        if key is None:
            return None
        if key not in self._kept:
            arrays = self._units.get(key, beginning=f"{self._layer}-")
            self._kept[key] = self._make(key) if arrays is None else arrays
        block = self._kept[key].get(block_name(self._layer, block_row, block_col))
        if self._last[key] == (block_row, block_col):
            del self._kept[key]
        return block


def reflectance_bands(names: Sequence[str]) -> list[RasterBand]:
    """Bands of reflectance counts; where red, green and blue are all there, programs show them in these colours."""
    colours = {"red", "green", "blue"}
    shown = colours if colours <= set(names) else set()
    return [RasterBand(name, scale=1e-4, color=name if name in shown else None) for name in names]


def put_raster(
    build: Build,
    ground: Ground,
    name: str,
    read_block: Callable[[int, int], NDArray[Any] | None],
    *,
    bands: Sequence[RasterBand],
    dtype: DTypeLike,
    nodata: int | None,
    role: str,
    threads: int,
    tags: Mapping[str, str] | None = None,
    attribution: str = "",
    with_fingerprint: bool = False,
) -> Path:
    """Write a COG of a tile's raster from its blocks and put it into the product; returns the file.

    Parameters
    ----------
    tags
        On top of `REGION` and `MONTH`.
    attribution
        What the makers of the data ask to be said (`stations.attribution`).
    with_fingerprint
        Whether the file says what it was made from. Not where stations read it: equal pixels made otherwise would be
        other bytes, and all that follows would be made again.
    """
    standing = {"REGION": build.region, "MONTH": "" if build.place.month is None else str(build.place.month)}
    said = {ATTRIBUTION: attribution, "FINGERPRINT": build.fingerprint if with_fingerprint else ""}
    all_tags = {name: text for name, text in {**standing, **said, **(tags or {})}.items() if text}
    overviews: Literal["average", "nearest"] = "average" if np.dtype(dtype) == np.int16 else "nearest"
    path = build.scratch(name)
    write_cog(
        path,
        ground.geobox,
        dtype,
        nodata,
        bands,
        read_block,
        overviews=overviews,
        threads=threads,
        tags=all_tags,
        block_px=BLOCK_PX,
    )
    build.put(name, path, role=role, media_type=GEOTIFF)
    return path
