"""The command that makes a month's report: report."""

from pathlib import Path

import click

from geo_assets.cli.surroundings import open_region, store_option, surroundings
from geo_assets.cli.telling import interruptible, short_path, tells_errors, write_picture
from geo_assets.domain.errors import RegionError
from geo_assets.domain.tile_month import Month
from geo_assets.io.region_file import read_region
from geo_assets.stations.report import month_report


@click.command()
@click.argument("region_and_month", nargs=-1, metavar="[REGION] MONTH")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="HTML to write [<home>/<region>-MONTH.html]")
@store_option
@tells_errors
def report(region_and_month: tuple[str, ...], output: Path | None, store: str | None) -> None:
    """Write one HTML page about a month: quality against its goals, maps, seams, histograms, coverage.

    \b
    geo-assets report 2024-06
    geo-assets report sava.yaml 2024-06 -o june.html

    The page needs nothing beside it. The month must be finished: `geo-assets backfill` finishes it.
    """  # noqa: D301
    if not 1 <= len(region_and_month) <= 2:
        raise click.UsageError(
            f"Found {' '.join(region_and_month) or 'nothing'}, expected a month, such as 2024-06, after a region file."
        )
    *region_file, name = region_and_month
    around = surroundings(Path(region_file[0]) if region_file else None, store)
    found, month = read_region(around.region_file), Month.parse(name)
    if month not in found.month_list:
        months = found.month_list
        raise RegionError(
            f"Region {found.name}, month {month}: not one of its months; expected {months[0]} to {months[-1]}. "
            "Choose one of them, or change `months` in the region file."
        )
    line = open_region(around, found, claim=False)
    target = output or around.home / f"{found.name}-{month}.html"
    with interruptible("nothing was written"):
        page = month_report(line, month)
    write_picture(target, page, option="--output")
    click.echo(short_path(target))
