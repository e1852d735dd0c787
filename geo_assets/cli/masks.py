"""Commands about one scene's mask, without a region file: mask, and mask evaluate."""

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import click

from geo_assets.cli.telling import interruptible, short_path, steps_shown, tells_errors
from geo_assets.cli.words import names
from geo_assets.domain.errors import DetectorError, ResourceError
from geo_assets.kernels.detection import Detector
from geo_assets.kernels.indices import INDEX_BANDS, mask_codes
from geo_assets.stations.bbox.forms import write_file
from geo_assets.stations.mask_evaluation import BUFFERS_M, THRESHOLDS, UNLABELLED, evaluated_mask
from geo_assets.stations.scene_files import expect_indices, write_mask
from geo_assets.stations.scene_mask import (
    HYBRID,
    MASK_NAMES,
    CloudMask,
    Progress,
    expect_bands,
    expect_level,
    named_detectors,
    scene_mask,
)
from geo_assets.stations.scene_source import ReadScene, SceneSource, names_read, read_scene, scene_source

_WIDEST_BUFFER_M = 10_000
_DROPPED = ("cloud", "shadow")
_READING_SHARE = 0.6
"""Of the time, as a rule of thumb for the progress bar."""


class _MaskGroup(click.Group):
    """A group whose first word may be a scene instead of a command: `mask SCENE` is `mask scene SCENE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = ["scene", *args]
        return super().parse_args(ctx, args)


def _resolution(text: str) -> float | None:
    """Metres, or None for the pixels of the finest band."""
    if text.strip().lower() == "native":
        return None
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"found {text!r}, expected metres, or native: those of the finest band.") from None


def truth_codes(text: str) -> dict[int, str]:
    """Label -> class, of `cloud=4,shadow=0,clear=1+2+3`; `click.BadParameter` for anything else."""
    classes = (*MASK_NAMES.values(), UNLABELLED)
    labels: dict[int, str] = {}
    for part in text.split(","):
        name, _, numbers = (word.strip() for word in part.partition("="))
        values = numbers.split("+")
        if name not in classes or not all(value.strip().isdecimal() for value in values):
            raise click.BadParameter(
                f"found {part!r}, expected a class of {', '.join(classes)} with its labels, such as clear=1+2+3."
            )
        for value in map(int, values):
            if labels.setdefault(value, name) != name:
                raise click.BadParameter(f"found label {value} for {labels[value]} and for {name}, expected it once.")
    return labels


def _probabilities(text: str) -> tuple[float, ...]:
    return _rising_numbers(text, most=1)


def _widths_m(text: str) -> tuple[float, ...]:
    return _rising_numbers(text, most=_WIDEST_BUFFER_M)


def _rising_numbers(text: str, most: float) -> tuple[float, ...]:
    """The numbers in `0.3,0.4`, which rise from 0 to `most`; `click.BadParameter` for anything else."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or any(not one < other for one, other in pairwise(found)) or not 0 <= found[0] <= found[-1] <= most:
        raise click.BadParameter(f"found {text!r}, expected numbers from 0 to {most:g} that rise, with commas between.")
    return found


@click.group(cls=_MaskGroup)
def mask() -> None:
    """Tell cloud, shadow, snow and water in one Sentinel-2 L1C scene, or measure a mask against labels.

    \b
    geo-assets mask S2A_MSIL1C_20240120T105341_....SAFE --out masked
    geo-assets mask item.json --resolution 20 --shadow-buffer 100
    geo-assets mask bands/ --offset -1000 --sun-zenith 62.1 --sun-azimuth 166.4 --index ndvi
    geo-assets mask evaluate --truth labels.tif --mask masked/mask.tif --probability masked/probability.tif

    A scene is a SAFE folder, a STAC item (a JSON file or a folder with item.json), or a folder with a GeoTIFF or
    JPEG 2000 file for each band, such as B02.tif or blue.tif. `geo-assets mask scene --help` lists what can be set.
    """  # noqa: D301


@mask.command(short_help="The default: mask one scene")
@click.argument("source", type=click.Path(path_type=Path), metavar="SCENE")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="For mask.tif, probability.tif and mask.png [<name of the scene>-mask]",
)
@click.option(
    "-r",
    "--resolution",
    type=_resolution,
    default="60",
    show_default=True,
    metavar="M",
    help="Pixel size, metres, 10 to 60; native: that of the finest band",
)
@click.option(
    "-d",
    "--detectors",
    type=names,
    default=",".join(HYBRID),
    show_default=True,
    metavar="A,B,...",
    help="s2cloudless, fmask, or installed plug-ins; a pixel is cloud where one says so",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="P",
    help="Probability above which s2cloudless says cloud [0.45]",
)
@click.option(
    "--cloud-buffer",
    type=click.FloatRange(0, _WIDEST_BUFFER_M),
    default=0.0,
    show_default=True,
    metavar="M",
    help="Metres by which cloud is grown",
)
@click.option(
    "--shadow-buffer",
    type=click.FloatRange(0, _WIDEST_BUFFER_M),
    default=0.0,
    show_default=True,
    metavar="M",
    help="Metres by which shadow is grown",
)
@click.option(
    "--offset",
    type=int,
    metavar="DN",
    help="Added to the counts, instead of what the metadata say: -1000 since baseline 04.00, else 0",
)
@click.option("--quantification", type=int, metavar="N", help="Counts per unit reflectance [10000]")
@click.option("--sun-zenith", type=float, metavar="DEG", help="Instead of the metadata's, 0 overhead")
@click.option("--sun-azimuth", type=float, metavar="DEG", help="Clockwise from the grid's north, towards the sun")
@click.option("--view-zenith", type=float, metavar="DEG", help="With --sun-zenith; nadir is assumed without")
@click.option("--view-azimuth", type=float, metavar="DEG", help="Clockwise from north, towards the sensor")
@click.option(
    "--index",
    "index_names",
    type=names,
    metavar="A,B,...",
    help=f"Write {', '.join(INDEX_BANDS)} without the dropped classes, as <index>.tif",
)
@click.option(
    "--drop",
    type=names,
    default=",".join(_DROPPED),
    show_default=True,
    metavar="A,B,...",
    help="Classes that an index leaves out: " + ", ".join(MASK_NAMES.values()),
)
@click.option("--item", metavar="ID", help="Which item, where a STAC file has several")
@click.option("--tile", metavar="MGRS", help="Which granule, where a SAFE of before 2017 has several")
@tells_errors
def scene(
    source: Path, out: Path | None, resolution: float | None, detectors: tuple[str, ...], threshold: float | None,
    cloud_buffer: float, shadow_buffer: float, offset: int | None, quantification: int | None,
    sun_zenith: float | None, sun_azimuth: float | None, view_zenith: float | None, view_azimuth: float | None,
    index_names: tuple[str, ...] | None, drop: tuple[str, ...], item: str | None, tile: str | None,
) -> None:  # fmt: skip
    """Tell cloud, shadow, snow and water in one scene; the default, so the word `scene` may be left out.

    Offset, quantification and angles come from the scene's metadata where it has any; where the pixels speak against
    the offset, it is said. Without angles there is no matched shadow.
    """
    angles = _angles(sun_zenith, sun_azimuth, view_zenith, view_azimuth)
    chosen = named_detectors(detectors, threshold=threshold)
    _expect_resolution(resolution, chosen)
    with interruptible("nothing was written"), scene_source(source, item=item, tile=tile) as opened:
        expect_level(opened.name, opened.level, chosen)
        expect_bands(opened.name, opened.bands, chosen)
        mask_codes(drop)  # refused now rather than when all is done
        expect_indices(index_names or (), tuple(opened.bands))
        folder = out or Path(f"{opened.name}-mask")
        expect_writable(folder)
        wanted = {band for one in chosen for band in (*one.bands, *one.optional_bands)}
        wanted |= {band for name in index_names or () for band in INDEX_BANDS[name]}
        with steps_shown() as progress:
            read = read_scene(
                opened, names_read(opened, wanted), resolution_m=resolution, offset=offset,
                quantification=quantification, angles=angles, progress=partial(_within, progress, 0.0, _READING_SHARE),
            )  # fmt: skip
            found = scene_mask(
                read.input, chosen, cloud_buffer_m=cloud_buffer, shadow_buffer_m=shadow_buffer,
                progress=partial(_within, progress, _READING_SHARE, 1.0),
            )  # fmt: skip
            with interruptible(f"what {folder} holds is not whole; run the same command again"):
                written = write_mask(folder, read, found, index_names=index_names or (), drop=drop)
        click.echo(_told(opened, read, found, written))


@mask.command(short_help="Measure a mask against labelled pixels")
@click.option("--truth", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Raster of labels")
@click.option(
    "--mask",
    "mask_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="mask.tif: codes, and detector bits in its second band",
)
@click.option(
    "--probability", type=click.Path(path_type=Path), metavar="FILE", help="probability.tif: thresholds are tried on it"
)
@click.option(
    "--landcover",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Raster of classes by which the figures are told apart",
)
@click.option(
    "--truth-codes",
    type=truth_codes,
    metavar="CLASS=N+N,...",
    help=f"Which labels mean which class, such as cloud=4,shadow=0,clear=1+2+3; {UNLABELLED}=N leaves pixels "
    "out [those of the mask: clear=0,cloud=1,shadow=2,snow=3,water=4]",
)
@click.option(
    "--thresholds",
    type=_probabilities,
    metavar="P,P,...",
    help="Probabilities that are tried [0.05 to 0.95]",
)
@click.option(
    "--buffers",
    type=_widths_m,
    metavar="M,M,...",
    help="Widths that are tried, metres [0 to 500]",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.45,
    show_default=True,
    help="Without --mask: where the probability's cloud begins that the buffers grow",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default="evaluation",
    show_default=True,
    metavar="FOLDER",
    help="For evaluation.csv, evaluation.md and evaluation.png",
)
@tells_errors
def evaluate(
    truth: Path, mask_file: Path | None, probability: Path | None, landcover: Path | None,
    truth_codes: dict[int, str] | None, thresholds: tuple[float, ...] | None, buffers: tuple[float, ...] | None,
    threshold: float, out: Path,
) -> None:  # fmt: skip
    """Measure a mask against labelled pixels: precision, recall, F1 and IoU by class, detector and land cover.

    \b
    geo-assets mask evaluate --truth labels.tif --mask mask.tif --probability probability.tif
    geo-assets mask evaluate --truth truth.tif --mask mask.tif --truth-codes cloud=4,shadow=0,clear=1+2+3
    geo-assets mask evaluate --truth labels.tif --probability probability.tif --landcover lulc.tif --out tuning

    All rasters lie on one grid. Tries thresholds on the probability, alone and joined with the mask's other detectors,
    and buffers on cloud and shadow; says what each detector saw alone, rightly and wrongly.
    """  # noqa: D301
    expect_writable(out)
    found = evaluated_mask(
        truth, mask=mask_file, probability=probability, landcover=landcover, truth_codes=truth_codes,
        thresholds=thresholds or THRESHOLDS, buffers_m=buffers or BUFFERS_M, threshold=threshold,
    )  # fmt: skip
    page = found.markdown()
    forms = {"evaluation.csv": found.csv().encode(), "evaluation.md": page.encode(), "evaluation.png": found.png()}
    for name, content in forms.items():
        write_file(content, out / name)
    click.echo(page)
    click.echo(f"Written: {', '.join(short_path(out / name) for name in forms)}")


def _within(progress: Progress, first: float, last: float, step: str, share: float) -> None:
    progress(step, first + share * (last - first))


def _expect_resolution(resolution_m: float | None, detectors: Sequence[Detector]) -> None:
    """Refuse, before anything is read, pixels for which some detector is not made."""
    for detector in detectors:
        finest, coarsest = detector.resolution_m
        if resolution_m is not None and not finest <= resolution_m <= coarsest:
            raise DetectorError(
                f"--resolution: found {resolution_m:g} m, expected {finest:g} to {coarsest:g} m for {detector.name}. "
                "Choose another pixel size, or leave that detector out with --detectors."
            )


def _angles(
    sun_zenith: float | None, sun_azimuth: float | None, view_zenith: float | None, view_azimuth: float | None
) -> Mapping[str, float] | None:
    given = {
        "sun_zenith": sun_zenith,
        "sun_azimuth": sun_azimuth,
        "view_zenith": view_zenith,
        "view_azimuth": view_azimuth,
    }
    stated = {name: angle for name, angle in given.items() if angle is not None}
    if stated and not {"sun_zenith", "sun_azimuth"} <= stated.keys():
        options = ", ".join(f"--{name.replace('_', '-')}" for name in stated)
        raise DetectorError(
            f"Angles: found {options}, expected --sun-zenith and --sun-azimuth together. Give both, or none: then the "
            "scene's metadata are asked."
        )
    return stated or None


def expect_writable(folder: Path) -> None:
    """Refuse, before anything is read, a folder in which nothing can be written."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ResourceError(f"Folder {folder}: {nearest} cannot be written to. Choose another with --out.")


def _told(source: SceneSource, read: ReadScene, found: CloudMask, written: tuple[Path, ...]) -> str:
    height, width = read.geobox.shape
    shares = found.share()
    classes = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    seen = 1 - (found.codes == 255).mean()
    lines = [
        click.style(source.name, bold=True),
        f"  source       {source.kind}, {source.level}, {width} x {height} px of {read.input.resolution_m:g} m",
        f"  offset       {read.offset_dn:+d} ({read.offset_source})",
        f"  angles       {read.angles_source}",
        f"  seen         {seen:.1%} of the pixels",
        f"  classes      {'none: no pixel was seen' if math.isnan(shares['clear']) else classes}",
        *(f"  skipped      {step}" for step in found.skipped),
        f"  written      {', '.join(short_path(path) for path in written)}",
    ]
    doubts = [click.style(f"  doubt        {doubt}", fg="yellow") for doubt in read.doubts]
    return "\n".join([*lines[:3], *doubts, *lines[3:]])
