"""The command that blends GeoTIFFs of one's own, without a region file: mosaic."""

import json
from pathlib import Path
from typing import Any

import click

from geo_assets.api import MosaicResult, blend_mosaic
from geo_assets.cli.telling import interruptible, short_path, size_of, steps_shown, tells_errors, untold, write_picture
from geo_assets.io.pictures.preview import png_bytes
from geo_assets.stations.mosaicking.picture import mosaic_picture


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="OUT.tif",
    help="GeoTIFF to write; a picture goes beside it as .png",
)
@click.option("--feather-m", default=2400.0, show_default=True, help="Width of the feather, metres")
@click.option("--profile", default="cosine", show_default=True, help="How weights rise over it: cosine, linear")
@click.option(
    "--harmonise", default="none", show_default=True, help="Bring inputs to one level first: none, gain, gain_offset"
)
@click.option("--seamline", is_flag=True, help="Cut where inputs differ least, and feather 24 px along the cut only")
@click.option("--crs", metavar="EPSG:NUMBER", help="Of the mosaic: what lies in another one is warped")
@click.option("-r", "--resolution", type=float, help="Of the mosaic, metres: what does not fit is warped")
@click.option("--nodata", type=float, help="Of inputs that declare none; a number, or nan")
@click.option("--categorical/--continuous", default=None, help="Classes or quantities [classes have a colour table]")
@click.option("--block", default=2048, show_default=True, help="Edge of the windows worked on, px; changes no pixel")
@click.option("--threads", type=int, help="Changes no pixel [one a processor, at most 8]")
@click.option("--overviews/--no-overviews", default=True, help="Write them")
@click.option("--codec", default="zstd", show_default=True, help="zstd, or deflate for old readers")
@click.option("--measure/--no-measure", default=True, help="Compute the figures of seams and overlaps")
@click.option("--picture/--no-picture", default=True, help="Write it")
@click.option("--json", "as_json", is_flag=True, help="Tell all figures, as JSON")
@tells_errors
def mosaic(inputs: tuple[Path, ...], output: Path, picture: bool, as_json: bool, **settings: Any) -> None:
    """Blend GeoTIFFs into one without a seam, and measure it.

    \b
    geo-assets mosaic west.tif east.tif -o both.tif
    geo-assets mosaic tiles/*.tif -o region.tif --harmonise gain --seamline
    geo-assets mosaic zone32.tif zone33.tif -o both.tif --crs EPSG:32633 -r 10
    geo-assets mosaic landcover_*.tif -o classes.tif --categorical --feather-m 500

    Inputs have one dtype, nodata, scale and the same bands; their pixels lie on one lattice, unless --crs or
    --resolution ask for warping. What does not fit is refused before a pixel is read. A file of the output's name is
    replaced when the new one is complete. What the figures mean: docs/mosaic.md.
    """  # noqa: D301
    with interruptible("nothing was written"), untold("geo_assets.stations.mosaicking"), steps_shown() as progress:
        result = blend_mosaic(inputs, output, progress=progress, **settings)
    if picture:
        write_picture(output.with_suffix(".png"), png_bytes(mosaic_picture(output)))
    if as_json:
        click.echo(
            json.dumps({"path": str(result.path), "warnings": list(result.warnings), **result.metrics}, indent=1)
        )
    else:
        click.echo(_told(result, picture=picture))
    for warning in result.warnings:
        click.secho(f"Note: {warning}", fg="yellow", err=True)


def _told(result: MosaicResult, *, picture: bool) -> str:
    """The figures in a few lines."""
    metrics, (height, width) = result.metrics, result.grid.shape
    beside = f", {short_path(result.path.with_suffix('.png'))}" if picture else ""
    lines = [
        click.style(f"{short_path(result.path)}{beside}", bold=True),
        f"  pixels       {width} x {height} of {abs(result.grid.resolution.x):g} m in {metrics['mosaic_crs']}, "
        f"{size_of(result.path.stat().st_size)}",
        f"  data         {metrics['valid_share']:.1%}, of which blended {metrics['blended_share']:.1%}",
        f"  inputs       {len(metrics['inputs'])}, {len(metrics['warped'])} warped",
    ]
    if metrics["seam_step_dn"] is not None:
        lines.append(
            f"  seam         {metrics['seam_step_dn']:.3g} counts, {metrics['seam_ratio']:.2f} times the ground's own "
            f"steps; a hard edge {metrics['seam_naive_step_dn']:.3g}, {metrics['seam_naive_ratio']:.2f} times"
        )
    if metrics["overlap_rmse"] is not None:
        lines.append(
            f"  overlaps     differ by {metrics['overlap_rmse']:.3g} (worst RMSE), bias {metrics['overlap_bias']:.3g}"
        )
    if metrics["harmonised"] is not None:
        gains = [gain for band in metrics["harmonised"]["gains"].values() for gain in band.values()]
        lines.append(f"  gains        {min(gains):.3f} to {max(gains):.3f}")
    if metrics["sharpness_kept"] is not None:
        lines.append(f"  sharpness    {metrics['sharpness_kept']:.3f} of the inputs' where they are blended")
    wrong = sum(
        metrics[name] or 0 for name in ("single_source_mismatch_px", "validity_mismatch_px", "outside_inputs_px")
    )
    lines.append(f"  wrong        {wrong} px")
    return "\n".join(lines)
