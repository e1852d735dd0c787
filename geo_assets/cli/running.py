"""Commands that run stations, through Dagster: demo, backfill, dev, orphans. Only they wait for it to load."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geo_assets.cli.surroundings import environment, open_region, region_argument, store_option, surroundings
from geo_assets.cli.telling import interruptible, short_path, size_of, tells_errors, write_picture
from geo_assets.domain.tile_month import Month
from geo_assets.io.manifest import LOST
from geo_assets.io.pictures.preview import png_bytes
from geo_assets.io.places import Place
from geo_assets.io.region_file import read_region
from geo_assets.stations.catalog import stations_of
from geo_assets.stations.line import Line
from geo_assets.stations.opening import Surroundings, demo_region_file
from geo_assets.stations.search import reflectance_level
from geo_assets.stations.sheet import month_sheet
from geo_assets.stations.stats import DATASET_STATS, STATS_FILE
from geo_assets.stations.status import retry_lost

if TYPE_CHECKING:
    from geo_assets.orchestration.backfill import BackfillProgress, BackfillReport


@click.command()
@store_option
@tells_errors
def demo(store: str | None) -> None:
    """Run every station on the bundled demo archive and show what came out."""
    around = surroundings(demo_region_file(), store)
    region = read_region(around.region_file)
    line = open_region(around, region)
    report = _backfill(around, line, tiles=None, months=None)
    if not report.ok:
        sys.exit(1)
    sheets = [_write_sheet(line, around, month) for month in region.month_list]
    _print_statistics(line)
    click.echo()
    click.secho("Pictures:", bold=True)
    for sheet in sheets:
        click.echo(f"  {short_path(sheet)}")
    click.echo(f"Products: {short_path(Path(around.store))}")
    click.secho("Next:", bold=True)
    click.echo("  make dev                               look at the assets in Dagster, http://localhost:3000")
    click.echo("  .venv/bin/geo-assets status            what is done")
    click.echo(f"  .venv/bin/geo-assets report {region.month_list[0]}   the month on one page, judged by its goals")
    click.echo("  .venv/bin/geo-assets region            the tiles over the area")
    click.echo(f"  copy {short_path(demo_region_file())} and change area, months and archive to your own")


@click.command()
@region_argument
@store_option
@click.option("--tile", "tiles", multiple=True, help="Only this tile; may be repeated")
@click.option("--month", "months", multiple=True, help="Only this month (YYYY-MM); may be repeated")
@click.option("--retry-lost", "again", is_flag=True, help="Try files again that an archive had lost; rebuild with them")
@tells_errors
def backfill(
    region_file: Path | None, store: str | None, tiles: tuple[str, ...], months: tuple[str, ...], again: bool
) -> None:
    """Make every product of a region that is not done, through Dagster and without its daemon.

    Goes on past a tile and month that fails, names it at the end, and then exits with 1.
    """
    around = surroundings(region_file, store)
    line = open_region(around, read_region(around.region_file))
    wanted = [Month.parse(month) for month in months] or None
    if again:
        places = retry_lost(line)
        count = {0: "No product lacks", 1: "1 product lacks"}.get(len(places), f"{len(places)} products lack")
        click.echo(f"{count} files that an archive had lost{'; they are tried again' if places else ''}.", err=True)
    report = _backfill(around, line, tiles=tiles or None, months=wanted)
    sys.exit(_exit_code(report))


@click.command()
@region_argument
@store_option
@click.option("--port", default=3000, type=click.IntRange(1, 65535), show_default=True, help="Of the web page")
@tells_errors
def dev(region_file: Path | None, store: str | None, port: int) -> None:
    """Open Dagster on a region: web page and daemon, with the history of earlier backfills."""
    from geo_assets.orchestration.home import prepare_home

    around = surroundings(region_file, store)
    read_region(around.region_file)
    variables = {
        "DAGSTER_HOME": str(prepare_home(around.home)),
        "GEO_ASSETS_REGION": str(around.region_file),
        "GEO_ASSETS_STORE": around.store if "://" in around.store else str(Path(around.store).absolute()),
        "GEO_ASSETS_HOME": str(around.home),
    }
    program = str(Path(sys.executable).with_name("dagster"))
    arguments = [program, "dev", "-m", "geo_assets.definitions", "-p", str(port)]
    os.execve(program, arguments, {**environment(), **variables})


@click.command()
@tells_errors
def orphans() -> None:
    """After a power cut: mark Dagster runs that claim to be running as failed. Call it while nothing runs."""
    from geo_assets.orchestration.home import fail_orphaned_runs, open_instance, prepare_home

    with open_instance(prepare_home(surroundings(None, None).home)) as instance:
        runs = fail_orphaned_runs(instance)
    click.echo(f"{len(runs)} runs marked as failed{': ' + ', '.join(runs) if runs else ''}.")


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
    with interruptible(), _progress() as advance, open_instance(prepare_home(around.home)) as instance:
        report = run_backfill(
            definitions,
            line,
            instance,
            stations=stations_of(line.region),
            tiles=tiles,
            months=months,
            on_progress=advance,
        )
    click.echo(
        f"{len(report.built)} products built, {len(report.reused)} found done, {len(report.empty)} of them empty."
    )
    if report.traffic.get("requests"):
        click.echo(f"{report.traffic['requests']:,.0f} requests of archives, {size_of(report.traffic['bytes'])}.")
    _tell_lost(line, [*report.built, *report.reused])
    for place, message in report.failed:
        click.secho(f"failed: {place}: {message}", fg="red", err=True)
    for place, message in (*report.blocked, *report.waiting):
        click.secho(f"not built: {place}: {message}", fg="yellow", err=True)
    if not report.ok:
        click.echo("Remedy the failures and run the same command again: finished work is kept.", err=True)
    return report


def _tell_lost(line: Line, places: Sequence[Place]) -> None:
    """Name the files that archives had lost, for whose scenes others stand in, or nothing does."""
    products = [line.products.find(place) for place in places if place.station in ("scout", "fetch")]
    rows = [row for product in products if product is not None for row in product.manifest.ledger]
    lost = {(row.get("item"), row.get("band")): row.get("error") for row in rows if row.get("outcome") == LOST}
    for error in lost.values():
        click.secho(f"lost: {error}", fg="yellow", err=True)
    if lost:
        click.echo("Their scenes are left out. `geo-assets backfill --retry-lost` tries them again.", err=True)


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
    write_picture(path, png_bytes(month_sheet(line, month)))
    return path


def _print_statistics(line: Line) -> None:
    statistics = line.products.need(Place(DATASET_STATS.name)).json(STATS_FILE)["bands"]
    click.secho("Normalization statistics (reflectance, clipped):", bold=True)
    for band, values in statistics.items():
        click.echo(
            f"  {band:<10} mean {values['clipped_mean']:.4f}  std {values['clipped_std']:.4f}  {values['pixels']:,} px"
        )
