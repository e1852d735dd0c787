"""Commands that look and change nothing: region, plan, status, verify, impact."""

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from geo_assets.api import places_of
from geo_assets.cli.surroundings import open_region, region_argument, store_option, surroundings
from geo_assets.cli.telling import duration_of, interruptible, short_path, size_of, tells_errors, write_picture
from geo_assets.domain.errors import ArchiveError, RegionError
from geo_assets.domain.region import Region
from geo_assets.domain.region_archive import is_local
from geo_assets.domain.tile_grid import tile_footprint
from geo_assets.io.inspection import verify as verify_products
from geo_assets.io.pictures.preview import png_bytes
from geo_assets.io.pictures.region_map import region_map
from geo_assets.io.products import Products, State
from geo_assets.io.region_file import read_region
from geo_assets.io.stores.store import open_store
from geo_assets.stations.ground import ground_of
from geo_assets.stations.line import Line
from geo_assets.stations.mosaic_grid import mosaic_crs
from geo_assets.stations.opening import Surroundings, open_archive
from geo_assets.stations.plan import ASSUMED, PlannedWork, planned_work, sum_of
from geo_assets.stations.search import reflectance_level
from geo_assets.stations.status import products_using, standings, worst_by_tile_month

_MARKS = {
    State.DONE: ("done", "green"),
    State.EMPTY: ("empty", "cyan"),
    State.STALE: ("stale", "yellow"),
    State.INCOMPLETE: ("incomplete", "yellow"),
    State.MISSING: ("missing", None),
    State.FAILED: ("failed", "red"),
    State.CORRUPT: ("corrupt", "red"),
}
_COMPRESSED_SHARE = 0.6
"""Share of their decoded size that 16-bit reflectance takes in our COGs."""


@click.command()
@region_argument
@click.option("--png", type=click.Path(path_type=Path), help="Where to draw the tiles [<home>/<region>-tiles.png]")
@tells_errors
def region(region_file: Path | None, png: Path | None) -> None:
    """Print a region's tiles, months, partitions and sizes, and draw its tiles."""
    around = surroundings(region_file, None)
    found = read_region(around.region_file)
    _expect_bands(around, found)
    months, tiles = found.month_list, found.tile_ids
    height, width = found.tile_shape
    click.secho(found.name, bold=True)
    click.echo(f"  archive      {found.archive.partition(':')[0]}, bands {', '.join(found.bands)}")
    click.echo(f"  months       {months[0]} to {months[-1]}: {len(months)}")
    click.echo(f"  tiles        {len(tiles)}: {', '.join(tiles)}")
    click.echo(f"  partitions   {len(found.tile_months)} (tile x month), {len(list(places_of(found)))} products")
    click.echo(f"  grid         {width} x {height} px of {found.pixel_m:g} m a tile, mosaic in {mosaic_crs(found)}")
    share, decoded = _active_bytes(found)
    click.echo(f"  needed       {share:.0%} of the tiles' blocks (the area and {found.feather_m:g} m round it)")
    scenes = found.selection.top_k
    click.echo(
        f"  expected     about {size_of(decoded * scenes * _COMPRESSED_SHARE)} read a month ({scenes} scenes a tile), "
        f"{size_of(decoded * (scenes + 2) * _COMPRESSED_SHARE * len(months))} stored in all"
    )
    target = png or around.home / f"{found.name}-tiles.png"
    outlines = {tile: tile_footprint(tile) for tile in tiles}
    write_picture(target, png_bytes(region_map(found.geometry, outlines, title=found.name)))
    click.echo(f"  map          {short_path(target)}")


@click.command()
@region_argument
@click.option(
    "--megabytes-per-s",
    default=ASSUMED.megabytes_per_s,
    show_default=True,
    type=click.FloatRange(min=0.001),
    help="That the archive serves, over all connections",
)
@click.option(
    "--request-ms",
    type=click.FloatRange(min=0),
    help=f"That one request waits for its first byte [{1000 * ASSUMED.request_s:g}, and 0 for files of this machine]",
)
@tells_errors
def plan(region_file: Path | None, megabytes_per_s: float, request_ms: float | None) -> None:
    """Say what a region will cost before anything runs: scenes, requests, bytes, hours, peak memory.

    \b
    geo-assets plan sava.yaml
    geo-assets plan sava.yaml --megabytes-per-s 100 --request-ms 20     beside the archive, in its cloud

    Asks the archive for the scenes of every tile and month, and reads the header of one file per band; writes nothing.
    Finished products are counted as if they were missing. Times rest on rates that are assumed, and said at the end.
    """  # noqa: D301
    around = surroundings(region_file, None)
    found = read_region(around.region_file)
    products = Products(open_store(str(around.home)), found.name)  # never touched: the archive alone is asked
    line = Line(found, products, open_archive(found, around.home, around.credentials), threads=around.threads)
    is_here = found.archive == "demo" or is_local(found.archive)
    wait_s = (0.0 if is_here else ASSUMED.request_s) if request_ms is None else request_ms / 1000
    rates = replace(ASSUMED, megabytes_per_s=megabytes_per_s, request_s=wait_s)
    works: list[PlannedWork] = []
    with interruptible("nothing was written"):
        for tile_month, work in planned_work(line, rates=rates):
            if not works:
                titles = f"{'found':>6}{'read':>6}{'requests':>11}{'bytes':>9}{'time':>9}{'memory':>9}"
                click.secho(f"{'month':<9}{'tile':<8}{titles}", bold=True)
            works.append(work)
            click.echo(f"{tile_month.month!s:<9}{tile_month.tile:<8}{_figures(work)}")
    click.secho(f"{'in all':<17}{_figures(sum_of(works))}", bold=True)
    click.echo(
        f"Assumed: {megabytes_per_s:g} MB/s, {1000 * wait_s:g} ms a request, {rates.megapixels_per_s:g} megapixels per "
        f"second and core; {line.threads} threads, one tile and month after the other. Searches come on top."
    )


@click.command()
@region_argument
@store_option
@click.option("--long", "in_full", is_flag=True, help="One line for every product that is not done, with the reason")
@tells_errors
def status(region_file: Path | None, store: str | None, in_full: bool) -> None:
    """Show where every tile and month stands: done, stale, incomplete, empty, missing or failed."""
    around = surroundings(region_file, store)
    line = open_region(around, read_region(around.region_file), claim=False)
    found = list(standings(line))
    table = worst_by_tile_month(found)
    tiles = line.region.tile_ids
    click.echo("         " + "".join(f"{tile:<12}" for tile in tiles))
    for month in line.region.month_list:
        cells = (_MARKS[table[tile, month].state] for tile in tiles)
        click.echo(f"{month}  " + "".join(click.style(f"{word:<12}", fg=colour) for word, colour in cells))
    unfinished = [standing for standing in found if standing.state not in (State.DONE, State.EMPTY)]
    click.echo(f"{len(found) - len(unfinished)} of {len(found)} products are done.")
    for standing in unfinished if in_full else unfinished[:5]:
        click.echo(f"  {standing.place}: {standing.state}{f' ({standing.reason})' if standing.reason else ''}")
    if len(unfinished) > 5 and not in_full:
        click.echo("  ... `--long` lists all; `geo-assets backfill` makes them")


@click.command()
@region_argument
@store_option
@tells_errors
def verify(region_file: Path | None, store: str | None) -> None:
    """Hash every file of a region's products again, and name what is damaged."""
    around = surroundings(region_file, store)
    line = open_region(around, read_region(around.region_file), claim=False)
    findings = list(verify_products(line.products))
    for finding in findings:
        click.secho(str(finding), fg="red" if finding.kind in ("damaged", "missing", "unreadable") else "yellow")
    bad = sum(finding.kind in ("damaged", "missing", "unreadable") for finding in findings)
    files = sum(1 for _ in line.products.store.keys(line.region.name))
    click.echo(f"{files} files, {bad} damaged, {len(findings) - bad} other findings in {around.store}.")
    sys.exit(1 if bad else 0)


@click.command()
@click.argument("item_id")
@region_argument
@store_option
@tells_errors
def impact(item_id: str, region_file: Path | None, store: str | None) -> None:
    """Name every product that used a catalogue item; exits with 1 if none did."""
    around = surroundings(region_file, store)
    line = open_region(around, read_region(around.region_file), claim=False)
    places = products_using(line.products, line, item_id)
    for place in places:
        click.echo(str(place))
    count = {0: "No product", 1: "1 product"}.get(len(places), f"{len(places)} products")
    click.echo(f"{count} used {item_id}.")
    sys.exit(0 if places else 1)


def _figures(work: PlannedWork) -> str:
    return (
        f"{work.scenes_found:>6}{work.scenes_read:>6}{work.requests:>11,}{size_of(work.bytes):>9}"
        f"{duration_of(work.seconds):>9}{size_of(work.peak_bytes):>9}"
    )


def _expect_bands(around: Surroundings, found: Region) -> None:
    """Refuse bands that the archive lacks, by what is known without a request; one that cannot be read is let pass."""
    path = Path(found.archive.removeprefix("local:"))
    if found.archive in ("demo", "auto") or (is_local(found.archive) and not path.exists()):
        return
    products = Products(open_store(str(around.home)), found.name)  # never touched: the archive alone is asked
    with suppress(ArchiveError):
        reflectance_level(Line(found, products, open_archive(found, around.home, around.credentials)))


def _active_bytes(found: Region) -> tuple[float, float]:
    """Share of the tiles' blocks that are needed, and the decoded bytes of one scene on all of them."""
    grounds = [ground_of(found, tile) for tile in found.tile_ids]
    active, blocks = (
        sum(int(ground.active.sum()) for ground in grounds),
        sum(ground.active.size for ground in grounds),
    )
    if not blocks:
        raise RegionError(f"Region {found.name}: no tile. Choose an area that Sentinel-2 sees.")
    height, width = found.tile_shape
    share = active / blocks
    return share, share * len(grounds) * height * width * 2 * len(found.bands)
