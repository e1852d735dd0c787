"""The command that hands out a piece of a region's mosaic: crop."""

from pathlib import Path

import click

from geo_assets.api import crop_mosaic
from geo_assets.cli.surroundings import open_region, store_option, surroundings
from geo_assets.cli.telling import interruptible, short_path, size_of, tells_errors
from geo_assets.cli.words import names
from geo_assets.domain.tile_month import Month
from geo_assets.io.region_file import read_area, read_region


@click.command()
@click.argument("words", nargs=-1, metavar="[REGION] MONTH AREA.geojson")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="GeoTIFF to write")
@click.option("-b", "--bands", type=names, metavar="A,B,...", help="Of the region's, in this order [all]")
@click.option("--bbox-only", is_flag=True, help="Keep the whole rectangle round the area")
@store_option
@tells_errors
def crop(
    words: tuple[str, ...], output: Path, bands: tuple[str, ...] | None, bbox_only: bool, store: str | None
) -> None:
    """Cut a region's mosaic of a month along an area, as one GeoTIFF to hand on.

    \b
    geo-assets crop sava.yaml 2024-07 park.geojson -o park.tif
    geo-assets crop 2024-07 park.geojson -o park.tif --bands red,green,blue --bbox-only

    The area is GeoJSON, Polygons in EPSG:4326. Pixels are kept as they are; outside of the area is nodata. A file of
    the same name is replaced.
    """  # noqa: D301
    if len(words) not in (2, 3):
        raise click.UsageError(f"Found {' '.join(words) or 'nothing'}, expected [REGION] MONTH AREA.geojson.")
    *region_file, month_word, area_file = words
    month = Month.parse(month_word)
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise click.BadParameter(f"found {str(output)!r}, expected a name that ends in .tif.", param_hint="--output")
    around = surroundings(Path(region_file[0]) if region_file else None, store)
    area = read_area(area_file)
    line = open_region(around, read_region(around.region_file), claim=False)
    with interruptible("nothing was written"):
        written = crop_mosaic(line, month, area, output, bands=bands, bbox_only=bbox_only)
    click.echo(f"  written      {short_path(written)} ({size_of(written.stat().st_size)})")
