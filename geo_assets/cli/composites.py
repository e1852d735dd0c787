"""Commands that make a composite from a bounding box, without a region file: composite, monthly."""

import json
import os
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from geo_assets.api import build_composite, monthly_composites
from geo_assets.cli.surroundings import surroundings
from geo_assets.cli.telling import interruptible, short_path, size_of, steps_shown, tells_errors, untold
from geo_assets.cli.words import Bbox, PlaceCommand, names, numbers, place_and_rest
from geo_assets.domain.errors import RegionError, ResourceError
from geo_assets.stations.bbox.forms import period_in_words, sources_in_words
from geo_assets.stations.bbox.result import CompositeResult

_OPTIONS = (
    click.option("--bbox", nargs=4, type=float, metavar="W S E N", help="The place, instead of the first four words"),
    click.option("-r", "--resolution", default=60.0, show_default=True, help="Pixel size, metres"),
    click.option("-a", "--archive", default="auto", show_default=True,
                 help="A name that `geo-assets archives` lists, or local:FOLDER"),
    click.option("-b", "--bands", type=names, metavar="A,B,...", help="[blue,green,red,nir]"),
    click.option("--top-k", default=3, show_default=True, help="Scenes taken for each tile, best first"),
    click.option("--max-cloud-cover", type=float, help="Leave out scenes that state more, per cent"),
    click.option("--coverage-target", type=float,
                 help="Instead of --top-k: as many scenes as show this share of every part clear, 0-1"),
    click.option("--min-k", default=2, show_default=True, help="With --coverage-target: at least so many scenes"),
    click.option("--max-k", default=8, show_default=True, help="With --coverage-target: at most so many scenes"),
    click.option("--windowed-fetch/--whole-fetch", default=True,
                 help="With --coverage-target: use a scene in the parts that chose it, or everywhere"),
    click.option("--read", default="auto", show_default=True,
                 help="exact: full resolution; overview: averaged, fewer bytes; auto: by the pixel size"),
    click.option("--rank", default="area", show_default=True,
                 help="Best is the scene that is clear over most of the area, or of what the scene shows of it"),
    click.option("--output-crs", default="utm", show_default=True, help="utm, or native: that of most scenes"),
    click.option("--mask", default="quality", show_default=True, help="quality; or none: all that has data is clear"),
    click.option("--aod-by-day", type=click.Path(path_type=Path), metavar="FILE",
                 help='Aerosol optical depths as JSON: {"2024-06-10": 0.12}'),
    click.option("--aod-max", type=float, help="Leave out scenes of hazier days"),
    click.option("--reject-unknown", is_flag=True, help="Leave out scenes of days that --aod-by-day does not name"),
    click.option("--uncertainty", "emit_uncertainty", is_flag=True, help="Tell how far a pixel's observations spread"),
    click.option("--scout-factor", default=8, show_default=True, help="How much coarser the first look at clouds is"),
    click.option("--catalog-url", metavar="URL", help="Another address of the archive's catalogue, such as a mirror"),
    click.option("--cache", type=click.Path(path_type=Path), metavar="FOLDER",
                 help="For what may be kept between calls [GEO_ASSETS_HOME]"),
    click.option("--layers", is_flag=True, help="Write quality, count and selected observation beside it, too"),
)  # fmt: skip
_LOCAL = ("demo", "local")
"""Names of archives that are read without a request, as a rule."""


def _composite_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


@click.command(cls=PlaceCommand)
@click.argument("words", nargs=-1, metavar="WEST SOUTH EAST NORTH DATETIME")
@click.option("-o", "--output", type=click.Path(path_type=Path), default="composite.tif", show_default=True,
              help="GeoTIFF to write; its picture goes beside it as .png")  # fmt: skip
@_composite_options
@tells_errors
def composite(words: tuple[str, ...], bbox: Bbox | None, output: Path, layers: bool, **settings: Any) -> None:
    """Make one composite: the best clear observation of every pixel of a bounding box, as a GeoTIFF.

    \b
    geo-assets composite 14.97 45.95 15.15 46.07 2024-06 -a demo -o june.tif
    geo-assets composite -5.2 43.1 -4.9 43.3 2024-05-15/2024-06-15 -b red,green,blue -r 10
    geo-assets composite --bbox -5.2 43.1 -4.9 43.3 2024-07 -a earth-search --coverage-target 0.98

    Coordinates are degrees (EPSG:4326), WEST above EAST crosses the antimeridian; DATETIME is a month, a day, or two
    of them with a slash between. A file of the same name is replaced. Exits with 1, and writes nothing, when no pixel
    of the area was seen clear.
    """  # noqa: D301
    place, (datetime,) = place_and_rest(words, bbox, ["DATETIME"])
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise click.BadParameter(f"found {str(output)!r}, expected a name that ends in .tif.", param_hint="--output")
    _expect_writable(output.parent)
    settings = _settings(settings)
    with interruptible("nothing was written"), untold("geo_assets.api"), steps_shown() as progress:
        result = build_composite(place, datetime, progress=progress, **settings)
    with interruptible("files that are there are complete, others are missing"):
        told = _written(result, output, layers=layers)
    click.echo(told)
    sys.exit(0 if result.reason is None else 1)


@click.command(cls=PlaceCommand)
@click.argument("words", nargs=-1, metavar="WEST SOUTH EAST NORTH")
@click.option("--years", type=numbers, required=True, metavar="N,N-N,...", help="Such as 2024, or 2022-2024")
@click.option("--months", type=numbers, default="1-12", show_default=True, metavar="N,N-N,...", help="Of each year")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=".", show_default=True,
              help="Folder; each month becomes composite-YYYY-MM.tif and .png")  # fmt: skip
@_composite_options
@tells_errors
def monthly(
    words: tuple[str, ...], bbox: Bbox | None, years: tuple[int, ...], months: tuple[int, ...], output: Path,
    layers: bool, **settings: Any,
) -> None:  # fmt: skip
    """Make a composite of each month, all on one grid, with one search for months that follow each other.

    \b
    geo-assets monthly 14.97 45.95 15.15 46.07 --years 2024 --months 6-7 -a demo -o sava
    geo-assets monthly -5.2 43.1 -4.9 43.3 --years 2022-2024 --months 5-9 -b red,green,blue

    Each month is written when it is done. Exits with 1 when one is empty; the others are written.
    """  # noqa: D301
    place, _ = place_and_rest(words, bbox, [])
    _expect_writable(output)
    told, empty = [], False
    settings = _settings(settings)
    with interruptible("months that were done are written"), untold("geo_assets.api"), steps_shown() as progress:
        for result in monthly_composites(place, years, months, progress=progress, **settings):
            path = output / f"composite-{result.year:04d}-{result.month:02d}.tif"
            told.append(_written(result, path, layers=layers))
            empty |= result.reason is not None
    click.echo("\n".join(told))
    sys.exit(1 if empty else 0)


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """The options as the library's arguments."""
    table, cache = options["aod_by_day"], options["cache"] or surroundings(None, None).home
    return {**options, "aod_by_day": None if table is None else _depths(table), "cache": cache}


def _depths(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RegionError(
            f"Aerosol optical depths {path}: cannot be read ({error}), "
            'expected a JSON object of days, such as {"2024-06-10": 0.12}. Correct --aod-by-day.'
        ) from None


def _expect_writable(folder: Path) -> None:
    """Refuse, before anything is read, a folder in which nothing can be written."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ResourceError(f"Folder {folder}: {nearest} cannot be written to. Choose another with --output.")


def _written(result: CompositeResult, path: Path, *, layers: bool) -> str:
    """Write a composite unless it is empty, and describe it."""
    why = f" ({result.archive_reason})" if result.archive_reason else ""
    height, width = result.grid.shape
    lines = [
        click.style(period_in_words(result), bold=True),
        f"  archive      {result.archive}{why}",
        f"  sources      {len(result.source_ids)}: {sources_in_words(result.source_ids)}",
        f"  read         {_traffic(result)}",
        f"  coverage     {result.coverage:.1%} of {width} x {height} px of {abs(result.grid.resolution.x):g} m",
    ]
    if result.reason is not None:
        return "\n".join([*lines, click.style(f"  empty        {result.reason}; nothing was written", fg="yellow")])
    raster = result.to_geotiff(path, layers=layers)
    picture = result.to_png(path.with_suffix(".png"))
    return "\n".join(
        [*lines, f"  written      {short_path(raster)} ({', '.join(result.bands)}), {short_path(picture)}"]
    )


def _traffic(result: CompositeResult) -> str:
    traffic, seconds = result.traffic, result.timings.get("total", 0.0)
    again = f", {traffic['retries']:.0f} tried again" if traffic.get("retries") else ""
    asked = f"{traffic.get('requests', 0):,.0f} requests, {size_of(traffic.get('bytes', 0))}{again}"
    return f"{'local files' if result.archive in _LOCAL else asked}, {seconds:.1f} s"
