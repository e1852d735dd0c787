"""The forms in which a composite leaves memory: dataset, files, picture, a notebook's page."""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image

from geo_assets.domain.arrays import BLOCK_PX, NODATA_CLASS, NODATA_REFLECTANCE
from geo_assets.domain.errors import ResourceError
from geo_assets.io.cog_writer import BlockReader, RasterBand, write_cog
from geo_assets.io.pictures.preview import band_picture, png_bytes, true_colour

if TYPE_CHECKING:
    import xarray

    from geo_assets.stations.bbox.result import CompositeResult

SCALE = 1e-4
"""Reflectance of one count."""

_NO_OBSERVATION = -1
_LAYERS = {"quality": NODATA_CLASS, "observation_count": None, "selected_observation": _NO_OBSERVATION}
"""Layer beside the bands -> its nodata."""
_QUALITY_NAMES = ("clear", "marginal", "dark_or_shadow")
_NOTEBOOK_PX = 480
_SHOWN_SOURCES = 12


def composite_dataset(result: "CompositeResult") -> "xarray.Dataset":
    """See `CompositeResult.to_xarray`."""
    try:
        import xarray
    except ImportError:
        raise ResourceError(
            "Composite to xarray: xarray is not installed. "
            "Install it with `pip install 'geo-assets[xarray]'`, or use `bands` and `grid` as they are."
        ) from None

    def layer(values: NDArray[Any], **attributes: Any) -> "xarray.DataArray":
        variable = xarray.DataArray(values, dims=("y", "x"), attrs=attributes)
        variable.encoding["grid_mapping"] = "spatial_ref"
        return variable

    variables = {name: layer(values, **_band_attributes(result, name)) for name, values in result.bands.items()}
    variables["quality"] = layer(
        result.quality,
        long_name="quality of the observation",
        _FillValue=np.uint8(NODATA_CLASS),
        flag_values=np.arange(len(_QUALITY_NAMES), dtype=np.uint8),
        flag_meanings=" ".join(_QUALITY_NAMES),
    )
    variables["observation_count"] = layer(
        result.observation_count, long_name="clear observations among the selected scenes", units="1"
    )
    variables["selected_observation"] = layer(
        result.selected_observation,
        long_name="scene that the pixel was taken from",
        _FillValue=np.int16(_NO_OBSERVATION),
        **_source_flags(result),
    )
    for name, values in (result.uncertainty or {}).items():
        variables[f"{name}_uncertainty"] = layer(values, **_uncertainty_attributes(name))
    coordinates = {**_axes(result.grid), "time": _begin(result), "spatial_ref": _spatial_reference(result.grid)}
    return xarray.Dataset(variables, coords=coordinates, attrs=_dataset_attributes(result))


def _band_attributes(result: "CompositeResult", name: str) -> dict[str, Any]:
    place = "toa" if result.level == "L1C" else "surface"
    return {
        "standard_name": f"{place}_bidirectional_reflectance",
        "long_name": f"{name} reflectance",
        "units": "1",
        "_FillValue": np.int16(NODATA_REFLECTANCE),
        "scale_factor": SCALE,
        "add_offset": 0.0,
    }


def _uncertainty_attributes(name: str) -> dict[str, Any]:
    return {
        "long_name": f"standard uncertainty of {name} reflectance",
        "units": "1",
        "_FillValue": np.int16(NODATA_REFLECTANCE),
        "scale_factor": SCALE,
        "add_offset": 0.0,
    }


def _source_flags(result: "CompositeResult") -> dict[str, Any]:
    """CF flags that name the sources; their meanings may hold no blanks."""
    if not result.source_ids:
        return {}
    names = ("_".join(source.split()) for source in result.source_ids)
    return {"flag_values": np.arange(len(result.source_ids), dtype=np.int16), "flag_meanings": " ".join(names)}


def _axes(grid: GeoBox) -> dict[str, Any]:
    """Coordinates of the pixels' centres, as (dimension, values, attributes)."""
    units = grid.crs.units[0] if grid.crs is not None else "metre"
    return {
        axis: (
            axis,
            grid.coordinates[axis].values,
            {"standard_name": f"projection_{axis}_coordinate", "long_name": f"{axis} of the pixel's centre",
             "units": "m" if units == "metre" else units, "axis": axis.upper()},
        )
        for axis in ("y", "x")
    }  # fmt: skip


def _begin(result: "CompositeResult") -> Any:
    begin = np.datetime64(result.period[0].replace(tzinfo=None), "ns")
    return ((), begin, {"standard_name": "time", "long_name": "begin of the period, UTC"})


def _spatial_reference(grid: GeoBox) -> Any:
    """The grid mapping as GDAL, rioxarray and odc-geo write and read it."""
    assert grid.crs is not None  # the engine's grids have one
    transform = " ".join(repr(float(term)) for term in grid.transform.to_gdal())
    projection = grid.crs.proj.to_cf()
    return ((), np.int32(0), {**projection, "spatial_ref": projection["crs_wkt"], "GeoTransform": transform})


def _dataset_attributes(result: "CompositeResult") -> dict[str, Any]:
    first, last = _ends(result)
    return {
        "Conventions": "CF-1.10",
        "title": "Best-pixel composite",
        "source": result.archive,
        "time_coverage_start": f"{first:%Y-%m-%dT%H:%M:%SZ}",
        "time_coverage_end": f"{last:%Y-%m-%dT%H:%M:%SZ}",
        **({"comment": f"empty: {result.reason}"} if result.reason else {}),
    }


def _ends(result: "CompositeResult") -> tuple[datetime, datetime]:
    """First and last second of the period."""
    return result.period[0], result.period[1] - timedelta(seconds=1)


def composite_picture(result: "CompositeResult", *, max_px: int) -> Image.Image:
    """See `CompositeResult.picture`."""
    if {"red", "green", "blue"} <= set(result.bands):
        return true_colour(*(result.bands[name] for name in ("red", "green", "blue")), max_px=max_px)
    return band_picture(next(iter(result.bands.values())), max_px=max_px)


def write_picture(picture: Image.Image, path: Path) -> Path:
    """Write a PNG file, complete or not at all, and return its path; `ResourceError` if it cannot be."""
    return write_file(png_bytes(picture), path)


def write_file(content: bytes, path: Path) -> Path:
    """Write a file, complete or not at all, and return its path; `ResourceError` if it cannot be."""
    with _completed(path) as unfinished:
        unfinished.write_bytes(content)
    return path


def write_composite(result: "CompositeResult", path: Path, *, layers: bool) -> Path:
    """See `CompositeResult.to_geotiff`."""
    tags = {
        "ARCHIVE": result.archive,
        "PERIOD": "/".join(f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in _ends(result)),
        "SOURCES": " ".join(result.source_ids),
    }
    write_planes(path, result.grid, result.bands, tags, nodata=NODATA_REFLECTANCE, scale=SCALE)
    if not layers:
        return path
    for name, nodata in _LAYERS.items():
        write_planes(_beside(path, name), result.grid, {name: getattr(result, name)}, tags, nodata=nodata)
    if result.uncertainty:
        beside = _beside(path, "uncertainty")
        write_planes(beside, result.grid, result.uncertainty, tags, nodata=NODATA_REFLECTANCE, scale=SCALE)
    return path


def _beside(path: Path, layer: str) -> Path:
    return path.with_name(f"{path.stem}.{layer}.tif")


def write_planes(
    path: Path,
    grid: GeoBox,
    planes: Mapping[str, NDArray[Any]],
    tags: Mapping[str, str],
    *,
    nodata: int | None,
    scale: float | None = None,
) -> None:
    """Write one COG of planes of one dtype, complete or not at all: with a scale they are quantities, else classes.

    Raises
    ------
    ResourceError
        The file cannot be written.
    """
    with _completed(path) as unfinished:
        write_cog(
            unfinished,
            grid,
            next(iter(planes.values())).dtype,
            nodata,
            [RasterBand(name, scale=scale) for name in planes],
            _blocks(list(planes.values())),
            overviews="average" if scale else "nearest",
            tags=tags,
        )


def _blocks(planes: Sequence[NDArray[Any]]) -> BlockReader:
    def block(row: int, col: int) -> NDArray[Any]:
        rows, cols = (slice(index * BLOCK_PX, (index + 1) * BLOCK_PX) for index in (row, col))
        return np.stack([plane[rows, cols] for plane in planes])

    return block


@contextmanager
def _completed(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place when the block ends well, and vanishes when it does not."""
    if not path.name:
        raise ResourceError(f"File {str(path)!r}: found a folder, expected the name of a file to write.")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        raise ResourceError(
            f"File {path}: cannot be written ({error.strerror or error}). "
            "Choose a folder that you may write to, or free some space."
        ) from None
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def composite_html(result: "CompositeResult") -> str:
    """A self-contained piece of HTML: picture, size, coverage, sources; every text from outside is escaped."""
    height, width = result.grid.shape
    picture = base64.b64encode(png_bytes(composite_picture(result, max_px=_NOTEBOOK_PX))).decode("ascii")
    crs = f"EPSG:{result.grid.crs.epsg}" if result.grid.crs and result.grid.crs.epsg else str(result.grid.crs)
    rows = {
        "Bands": ", ".join(result.bands),
        "Grid": f"{width} × {height} px of {abs(result.grid.resolution.x):g} m, {crs}",
        "Period": period_in_words(result),
        "Archive": " ".join(filter(None, (result.archive, result.archive_reason and f"({result.archive_reason})"))),
        "Coverage": f"{result.coverage:.1%} of the grid" + (f": {result.reason}" if result.reason else ""),
        "Sources": sources_in_words(result.source_ids),
    }
    cells = "".join(
        f'<tr><th style="text-align:left;vertical-align:top">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in rows.items()
    )
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start">'
        f'<img alt="Composite" src="data:image/png;base64,{picture}"/><table>{cells}</table></div>'
    )


def period_in_words(result: "CompositeResult") -> str:
    """First and last day: `2024-06-01 to 2024-06-30`."""
    first, last = _ends(result)
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"


def sources_in_words(source_ids: Sequence[str]) -> str:
    """The first dozen, and how many more."""
    more = len(source_ids) - _SHOWN_SOURCES
    return ", ".join(source_ids[:_SHOWN_SOURCES]) + (f" and {more} more" if more > 0 else "") or "none"
