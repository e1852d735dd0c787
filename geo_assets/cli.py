"""The terminal door: every command says what it does, where the results are, and what to type next."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geo_assets.api import places_of
from geo_assets.domain.errors import ArchiveError, GeoAssetsError, RegionError, ResourceError
from geo_assets.domain.region import Region
from geo_assets.domain.tile_grid import tile_footprint
from geo_assets.domain.tile_month import Month
from geo_assets.io.inspection import verify as verify_products
from geo_assets.io.pictures.preview import png_bytes
from geo_assets.io.pictures.region_map import region_map
from geo_assets.io.places import Place
from geo_assets.io.products import Products, State
from geo_assets.io.region_file import read_region
from geo_assets.io.stores.store import open_store
from geo_assets.stations.catalog import STATIONS
from geo_assets.stations.ground import ground_of
from geo_assets.stations.line import Line
from geo_assets.stations.mosaic import mosaic_epsg
from geo_assets.stations.opening import Surroundings, demo_region_file, open_archive, open_line
from geo_assets.stations.search import reflectance_level
from geo_assets.stations.sheet import month_sheet
from geo_assets.stations.stats import DATASET_STATS, STATS_FILE
from geo_assets.stations.status import products_using, standings, worst_by_tile_month

if TYPE_CHECKING:
    from geo_assets.orchestration.backfill import BackfillProgress, BackfillReport

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


def _tells_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose deliberate errors are printed without a traceback and end it with exit code 2."""

    @wraps(command)
    def telling(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except GeoAssetsError as error:
            click.secho(f"{error}", fg="red", err=True)
            sys.exit(2)

    return telling


_region_argument = click.argument("region_file", required=False, type=click.Path(path_type=Path), metavar="[REGION]")
_store_option = click.option("--store", help="Where products go: a folder or s3://bucket/prefix [GEO_ASSETS_STORE]")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="geo_assets")
def main() -> None:
    """Monthly, cloud-free, seamless satellite mosaics and training statistics.

    REGION is a region file; without one GEO_ASSETS_REGION names it, and else the bundled demo region is used.
    """


@main.command()
@_store_option
@_tells_errors
def demo(store: str | None) -> None:
    """Run every station on the bundled demo archive and show what came out."""
    around = _surroundings(demo_region_file(), store)
    region = read_region(around.region_file)
    line = _open(around, region)
    report = _backfill(around, line, tiles=None, months=None)
    if not report.ok:
        sys.exit(1)
    sheets = [_write_sheet(line, around, month) for month in region.month_list]
    _print_statistics(line)
    click.echo()
    click.secho("Pictures:", bold=True)
    for sheet in sheets:
        click.echo(f"  {_short(sheet)}")
    click.echo(f"Products: {_short(Path(around.store))}")
    click.secho("Next:", bold=True)
    click.echo("  make dev                        look at the assets in Dagster, http://localhost:3000")
    click.echo("  .venv/bin/geo-assets status     what is done")
    click.echo("  .venv/bin/geo-assets region     the tiles over the area")
    click.echo(f"  copy {_short(demo_region_file())} and change area, months and archive to your own")


@main.command()
@_region_argument
@click.option("--png", type=click.Path(path_type=Path), help="Where to draw the tiles [<home>/<region>-tiles.png]")
@_tells_errors
def region(region_file: Path | None, png: Path | None) -> None:
    """Print a region's tiles, months, partitions and sizes, and draw its tiles."""
    around = _surroundings(region_file, None)
    found = read_region(around.region_file)
    _expect_bands(around, found)
    months, tiles = found.month_list, found.tile_ids
    height, width = found.tile_shape
    click.secho(found.name, bold=True)
    click.echo(f"  archive      {found.archive.partition(':')[0]}, bands {', '.join(found.bands)}")
    click.echo(f"  months       {months[0]} to {months[-1]}: {len(months)}")
    click.echo(f"  tiles        {len(tiles)}: {', '.join(tiles)}")
    click.echo(f"  partitions   {len(found.tile_months)} (tile x month), {len(list(places_of(found)))} products")
    click.echo(
        f"  grid         {width} x {height} px of {found.resolution} m a tile, mosaic in EPSG:{mosaic_epsg(found)}"
    )
    share, decoded = _active_bytes(found)
    click.echo(f"  needed       {share:.0%} of the tiles' blocks (the area and {found.mosaic.feather_m:g} m round it)")
    scenes = found.selection.top_k
    click.echo(
        f"  expected     about {_size(decoded * scenes * _COMPRESSED_SHARE)} read a month ({scenes} scenes a tile), "
        f"{_size(decoded * (scenes + 2) * _COMPRESSED_SHARE * len(months))} stored in all"
    )
    target = png or around.home / f"{found.name}-tiles.png"
    outlines = {tile: tile_footprint(tile) for tile in tiles}
    _write_picture(target, png_bytes(region_map(found.geometry, outlines, title=found.name)))
    click.echo(f"  map          {_short(target)}")


@main.command()
@_region_argument
@_store_option
@click.option("--tile", "tiles", multiple=True, help="Only this tile; may be repeated")
@click.option("--month", "months", multiple=True, help="Only this month (YYYY-MM); may be repeated")
@_tells_errors
def backfill(region_file: Path | None, store: str | None, tiles: tuple[str, ...], months: tuple[str, ...]) -> None:
    """Make every product of a region that is not done, through Dagster and without its daemon.

    Goes on past a tile and month that fails, names it at the end, and then exits with 1.
    """
    around = _surroundings(region_file, store)
    line = _open(around, read_region(around.region_file))
    report = _backfill(around, line, tiles=tiles or None, months=[Month.parse(month) for month in months] or None)
    sys.exit(_exit_code(report))


@main.command()
@_region_argument
@_store_option
@click.option("--long", "in_full", is_flag=True, help="One line for every product that is not done, with the reason")
@_tells_errors
def status(region_file: Path | None, store: str | None, in_full: bool) -> None:
    """Show where every tile and month stands: done, stale, incomplete, empty, missing or failed."""
    around = _surroundings(region_file, store)
    line = _open(around, read_region(around.region_file), claim=False)
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


@main.command()
@_region_argument
@_store_option
@_tells_errors
def verify(region_file: Path | None, store: str | None) -> None:
    """Hash every file of a region's products again, and name what is damaged."""
    around = _surroundings(region_file, store)
    line = _open(around, read_region(around.region_file), claim=False)
    findings = list(verify_products(line.products))
    for finding in findings:
        click.secho(str(finding), fg="red" if finding.kind in ("damaged", "missing", "unreadable") else "yellow")
    bad = sum(finding.kind in ("damaged", "missing", "unreadable") for finding in findings)
    files = sum(1 for _ in line.products.store.keys(line.region.name))
    click.echo(f"{files} files, {bad} damaged, {len(findings) - bad} other findings in {around.store}.")
    sys.exit(1 if bad else 0)


@main.command()
@click.argument("item_id")
@_region_argument
@_store_option
@_tells_errors
def impact(item_id: str, region_file: Path | None, store: str | None) -> None:
    """Name every product that used a catalogue item; exits with 1 if none did."""
    around = _surroundings(region_file, store)
    line = _open(around, read_region(around.region_file), claim=False)
    places = products_using(line.products, line, item_id)
    for place in places:
        click.echo(str(place))
    count = {0: "No product", 1: "1 product"}.get(len(places), f"{len(places)} products")
    click.echo(f"{count} used {item_id}.")
    sys.exit(0 if places else 1)


@main.command()
@_region_argument
@_store_option
@click.option("--port", default=3000, type=click.IntRange(1, 65535), show_default=True, help="Of the web page")
@_tells_errors
def dev(region_file: Path | None, store: str | None, port: int) -> None:
    """Open Dagster on a region: web page and daemon, with the history of earlier backfills."""
    from geo_assets.orchestration.home import prepare_home

    around = _surroundings(region_file, store)
    read_region(around.region_file)
    variables = {
        "DAGSTER_HOME": str(prepare_home(around.home)),
        "GEO_ASSETS_REGION": str(around.region_file),
        "GEO_ASSETS_STORE": around.store if "://" in around.store else str(Path(around.store).absolute()),
        "GEO_ASSETS_HOME": str(around.home),
    }
    program = str(Path(sys.executable).with_name("dagster"))
    arguments = [program, "dev", "-m", "geo_assets.definitions", "-p", str(port)]
    os.execve(program, arguments, {**os.environ, **variables})


@main.command()
@_tells_errors
def orphans() -> None:
    """After a power cut: mark Dagster runs that claim to be running as failed. Call it while nothing runs."""
    from geo_assets.orchestration.home import fail_orphaned_runs, open_instance, prepare_home

    with open_instance(prepare_home(_surroundings(None, None).home)) as instance:
        runs = fail_orphaned_runs(instance)
    click.echo(f"{len(runs)} runs marked as failed{': ' + ', '.join(runs) if runs else ''}.")


def _surroundings(region_file: Path | None, store: str | None) -> Surroundings:
    variables = dict(os.environ)
    if region_file is not None:
        variables["GEO_ASSETS_REGION"] = str(region_file)
    if store is not None:
        variables["GEO_ASSETS_STORE"] = store or " "  # an empty name is refused rather than taken for none
    return Surroundings.from_environment(variables)


def _open(around: Surroundings, found: Region, *, claim: bool = True) -> Line:
    return open_line(found, around.store, home=around.home, s3=around.s3(), threads=around.threads, claim=claim)


def _expect_bands(around: Surroundings, found: Region) -> None:
    """Refuse bands that a local archive lacks; one that cannot be read yet is no reason not to look at a region."""
    if not found.archive.startswith("local:") or not Path(found.archive.removeprefix("local:")).exists():
        return
    products = Products(open_store(str(around.home)), found.name)  # never touched: the archive alone is asked
    with suppress(ArchiveError):
        reflectance_level(Line(found, products, open_archive(found, around.home)))


def _backfill(
    around: Surroundings, line: Line, *, tiles: tuple[str, ...] | None, months: list[Month] | None
) -> "BackfillReport":
    from geo_assets.definitions import definitions_for
    from geo_assets.orchestration.backfill import backfill as run_backfill
    from geo_assets.orchestration.home import open_instance, prepare_home
    from geo_assets.orchestration.resources import leaves_last_month_open, line_resource

    reflectance_level(line)  # refuses a band that the archive lacks, before any run does
    growing = leaves_last_month_open(around.region_file)
    definitions = definitions_for(line.region, line_resource(around), growing=growing)
    with _interruptible(), _progress() as advance, open_instance(prepare_home(around.home)) as instance:
        report = run_backfill(
            definitions, line, instance, stations=STATIONS, tiles=tiles, months=months, on_progress=advance
        )
    click.echo(
        f"{len(report.built)} products built, {len(report.reused)} found done, {len(report.empty)} of them empty."
    )
    for place, message in report.failed:
        click.secho(f"failed: {place}: {message}", fg="red", err=True)
    for place, message in (*report.blocked, *report.waiting):
        click.secho(f"not built: {place}: {message}", fg="yellow", err=True)
    if not report.ok:
        click.echo("Remedy the failures and run the same command again: finished work is kept.", err=True)
    return report


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ends the program with 130, as shells expect of Ctrl-C, and says that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Interrupted: finished work is kept; run the same command again.", err=True)
        sys.exit(130)


@contextmanager
def _progress() -> Iterator[Callable[["BackfillProgress"], None]]:
    """What shows each finished product: a bar on a terminal; else, as in a log, lines."""
    if not sys.stderr.isatty():
        click.echo("Starting Dagster", err=True)
        yield _told_in_lines()
        return
    with click.progressbar(length=1, label="Starting Dagster", width=30, item_show_func=str, file=sys.stderr) as bar:

        def advance(progress: "BackfillProgress") -> None:
            bar.length = progress.total
            bar.label = "Backfill"
            bar.update(1, str(progress.done.place))

        yield advance
        bar.update(max((bar.length or 0) - bar.pos, 0), "")


def _told_in_lines() -> Callable[["BackfillProgress"], None]:
    """Writes a line at the first product of a station, at every tenth of the work, and at every failure."""
    told: tuple[str, int] = ("", 0)

    def tell(progress: "BackfillProgress") -> None:
        """One line, unless the last one said as much."""
        nonlocal told
        place, failed = progress.done.place, progress.done.outcome is None
        step = (place.station, 10 * progress.finished // progress.total)
        if step != told or failed:
            told = step
            click.echo(f"{place}{' failed' if failed else ''} ({progress.finished}/{progress.total})", err=True)

    return tell


def _exit_code(report: "BackfillReport") -> int:
    return 0 if report.ok else 1


def _write_sheet(line: Line, around: Surroundings, month: Month) -> Path:
    path = around.home / f"{line.region.name}-{month}.png"
    _write_picture(path, png_bytes(month_sheet(line, month)))
    return path


def _write_picture(path: Path, png: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
    except OSError as error:
        raise ResourceError(
            f"Picture {path}: cannot be written ({error.strerror}). Name another file with --png, "
            "or another folder with GEO_ASSETS_HOME."
        ) from None


def _print_statistics(line: Line) -> None:
    statistics = line.products.need(Place(DATASET_STATS.name)).json(STATS_FILE)["bands"]
    click.secho("Normalization statistics (reflectance, clipped):", bold=True)
    for band, values in statistics.items():
        click.echo(
            f"  {band:<10} mean {values['clipped_mean']:.4f}  std {values['clipped_std']:.4f}  {values['pixels']:,} px"
        )


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


def _size(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def _short(path: Path) -> str:
    path = path.absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    main()
