"""A mosaic of any GeoTIFFs, without the pipeline: read, blended, measured and written strip by strip."""

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.domain.errors import RegionError, ResourceError
from geo_assets.io.cog_writer import write_cog
from geo_assets.io.free_space import expect_free_space
from geo_assets.io.input_raster import InputRaster
from geo_assets.stations.mosaicking.files import read_inputs
from geo_assets.stations.mosaicking.plan import MosaicPlan, Progress, agreed, plan_mosaic, warnings_of
from geo_assets.stations.mosaicking.request import MosaicRequest
from geo_assets.stations.mosaicking.strips import Strips

_INDEX_BYTES = 64  # of a block: its place in the file, while it is written

_MANY_BLOCKS, _MOST_EMPTY = 1 << 18, 1000
"""Of a mosaic that is refused for the ground between its inputs: blocks, and pixels for each that an input reaches."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class MosaicResult:
    """A mosaic that was written."""

    path: Path
    """The GeoTIFF."""
    grid: GeoBox
    """CRS, transform and shape."""
    metrics: dict[str, Any]
    """Figures of its seams, overlaps and coverage, and what was done: JSON values; `docs/mosaic.md` explains each."""
    warnings: tuple[str, ...]
    """What is not as one would wish, a sentence each."""


def blend_mosaic(
    paths: Iterable[str | Path],
    output: str | Path,
    *,
    feather_m: float = 2400,
    profile: Literal["cosine", "linear"] = "cosine",
    harmonise: Literal["none", "gain", "gain_offset"] = "none",
    seamline: bool = False,
    crs: str | None = None,
    resolution: float | None = None,
    block: int = 2048,
    progress: Progress | None = None,
    nodata: float | None = None,
    categorical: bool | None = None,
    threads: int | None = None,
    overviews: bool = True,
    codec: Literal["zstd", "deflate"] = "zstd",
    measure: bool = True,
) -> MosaicResult:
    """Blend GeoTIFFs into one without a seam, in bounded memory, and measure it.

    Parameters
    ----------
    paths
        GeoTIFFs of one dtype (uint8 to uint32, int8 to int32, float32, float64), one nodata, scale and offset, and
        the same bands. In any order: the order of their names decides where one is needed.
    output
        GeoTIFF to write, a strict cloud-optimised one; a file of that name is replaced when the new one is complete.
    feather_m
        Width of the feather, metres: how far from where an input ends its weight is full.
    profile
        How the weight rises: `cosine`, level at both ends, or `linear`.
    harmonise
        `gain`, or `gain_offset`: before they are blended, inputs are brought to one level by what they show of the
        same ground, one solution for all of a band.
    seamline
        Cut each pair where it differs least, and feather only 24 pixels to either side of the cut: for ground that
        changed between the inputs, or inputs that do not lie exactly over each other.
    crs, resolution
        Of the mosaic, such as `EPSG:32633` and 10 (metres). Inputs whose pixels do not lie on that lattice are warped,
        once, from their own grid. Without either nothing is ever warped, and inputs that do not fit are refused.
    block
        Edge of the windows that are worked on, pixels; changes no pixel, only memory and time.
    progress
        Called as ``progress(step, share)`` while it goes on.
    nodata
        Of inputs that declare none; NaN for those of floats.
    categorical
        Inputs are classes: the input with the largest weight wins, and warping picks the nearest pixel. By default
        those are that have a colour table.
    threads
        As many blend, and as many encode; by default one a processor, at most 8. Changes no pixel.
    overviews
        Write them: averaged, of classes the nearest.
    codec
        `zstd`, or `deflate` for old readers.
    measure
        Compute the figures of seams and overlaps, along with the mosaic.

    Returns
    -------
    result
        Path, grid, metrics and warnings. Where no input has data there is nodata, and nowhere else.

    Raises
    ------
    RegionError
        Something asked for cannot be.
    GridMismatchError
        Inputs do not fit together; the message names the file, what was found, expected, and what to do.
    ProductError
        An input cannot be read, or holds NaN though its nodata is a number, or infinite values.
    ResourceError
        The output cannot be written, or the disk might not hold it.

    Notes
    -----
    Integers are blended in integers: the pixels are the same to the bit for every order of inputs, block and number
    of threads. Nothing is left behind by a call that fails.

    Examples
    --------
    >>> import geo_assets
    >>> mosaic = geo_assets.blend_mosaic(["west.tif", "east.tif"], "both.tif")  # doctest: +SKIP
    >>> mosaic.metrics["seam_ratio"], mosaic.metrics["seam_naive_ratio"]  # doctest: +SKIP
    (1.02, 14.6)
    >>> geo_assets.blend_mosaic(["zone32.tif", "zone33.tif"], "both.tif", crs="EPSG:32633")  # doctest: +SKIP
    """
    if isinstance(paths, str | Path):
        raise RegionError(f"paths: found one, {str(paths)!r:.200}, expected several in a list.")
    request = MosaicRequest(
        feather_m=feather_m, profile=profile, harmonise=harmonise, seamline=seamline, crs=crs, resolution=resolution,
        block=block, nodata=nodata, categorical=categorical, threads=threads, overviews=overviews, codec=codec,
        measure=measure,
    )  # fmt: skip
    tell = progress or _silently
    target = Path(output)
    rasters = read_inputs([Path(path) for path in paths])
    _expect_writable(target, rasters)
    plan = plan_mosaic(rasters, request)
    _expect_room(target, plan)
    plan = agreed(plan, tell)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    try:
        with Strips(plan, tell) as strips:
            _write(unfinished, plan, strips)
        os.replace(unfinished, target)
    except OSError as error:
        raise ResourceError(
            f"Mosaic {target}: cannot be written ({error.strerror}). Free space, or write to another folder."
        ) from None
    finally:
        with suppress(OSError):  # of a name that is too long, which was told
            unfinished.unlink(missing_ok=True)
    metrics = {**plan.described(), **strips.figures()}
    warnings = warnings_of(metrics)
    for warning in warnings:
        _log.warning("Mosaic %s: %s", target, warning)
    tell("mosaic", 1.0)
    return MosaicResult(target, plan.grid, metrics, warnings)


def _silently(step: str, share: float) -> None:
    """Nobody wants to know how far it is."""


def _write(path: Path, plan: MosaicPlan, strips: Strips) -> None:
    request = plan.request
    write_cog(
        path,
        plan.grid,
        plan.dtype,
        plan.nodata,
        plan.raster_bands(),
        strips.block,
        overviews="none" if not request.overviews else "nearest" if plan.categorical else "average",
        codec=request.codec,
        threads=request.workers,
        tags=plan.tags(),
        palette=plan.palette,
    )


def _expect_writable(target: Path, rasters: Sequence[InputRaster]) -> None:
    folder = target.absolute().parent
    if target.suffix.lower() not in (".tif", ".tiff"):
        raise RegionError(f"Output {target}: expected a name that ends in .tif. Rename it.")
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ResourceError(f"Output {target}: {folder} is no folder that can be written to. Choose another.")
    if target.is_dir():
        raise ResourceError(f"Output {target}: is a folder. Name a file in it.")
    for raster in rasters:
        if target.exists() and target.samefile(raster.path):
            raise RegionError(f"Output {target}: is one of the inputs, which would be lost. Choose another name.")


def _expect_room(target: Path, plan: MosaicPlan) -> None:
    """Refuse what the disk might not hold: every pixel that an input can reach, as if nothing could be compressed."""
    area, bands = plan.area, plan.sources[0].bands
    pixels = min(area.height * area.width, sum(source.height * source.width for source in plan.sources))
    worst = pixels * bands * plan.dtype.itemsize
    worst += worst // 3 if plan.request.overviews else 0
    blocks = -(-area.height // BLOCK_PX) * -(-area.width // BLOCK_PX) * bands
    if blocks > _MANY_BLOCKS and pixels < area.height * area.width / _MOST_EMPTY:
        raise RegionError(
            f"Mosaic {target} of {area.width} x {area.height} px: found inputs that cover less than one in "
            f"{_MOST_EMPTY} of them, expected neighbours. Mosaic those that lie together, each group in its own file."
        )
    expect_free_space(
        target.absolute().parent,
        2 * worst + _INDEX_BYTES * blocks,  # the writer collects the blocks before it lays them down in their order
        what=f"Mosaic {target} of {area.width} x {area.height} px",
        remedy="Free space, write to another disk, or choose fewer files or a coarser resolution.",
    )
