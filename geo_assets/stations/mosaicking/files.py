"""GeoTIFFs of a mosaic without a pipeline: held against each other before a pixel is read, and placed on a lattice."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj import CRS
from pyproj.exceptions import CRSError

from geo_assets.domain.errors import CorruptProductError, GridMismatchError, ProductError, RegionError
from geo_assets.io.coordinates import shift_between
from geo_assets.io.input_raster import InputRaster, input_raster
from geo_assets.io.placing import PlacedRaster, Placement
from geo_assets.kernels.mosaicking.blending import BLENDED_DTYPES

ALIGNED_PX = 1e-3
"""How far pixels may lie beside the lattice and still count as on it."""

_OUTLINE_STEPS = 64
_MOST_STRETCHED = 12


@dataclass(frozen=True, slots=True)
class Lattice:
    """The pixels of a mosaic, continued over all of its CRS."""

    crs: str
    """`EPSG:NUMBER`, or WKT."""
    size: float
    """Edge of a pixel, units of the CRS."""
    left: float
    top: float
    """Where column and row 0 begin: less than a pixel right of and above the CRS's origin."""

    def position(self, x: float, y: float) -> tuple[float, float]:
        """(row, column) of a place, in pixels."""
        return (self.top - y) / self.size, (x - self.left) / self.size

    def geobox(self, row: int, col: int, height: int, width: int) -> GeoBox:
        """A window of it."""
        x, y = self.left + col * self.size, self.top - row * self.size
        return GeoBox((height, width), rasterio.Affine(self.size, 0, x, 0, -self.size, y), self.crs)


class MosaicInput(PlacedRaster):
    """A user's raster as a source: what cannot be read, and what is no number nor nodata, names the file."""

    def __init__(self, raster: InputRaster, placement: Placement, *, nodata: float, categorical: bool) -> None:
        self.raster = raster
        super().__init__(raster.path, placement, nodata=nodata, categorical=categorical)

    def read_stored(self, out: NDArray[Any], row: int, col: int) -> None:
        """Fill a (band, y, x) array with a window of the file's own pixels."""
        try:
            super().read_stored(out, row, col)
        except CorruptProductError as error:
            why = str(error).partition(". Expected")[0]
            raise ProductError(f"Input {self.raster.path}: {why}. Copy the file again, or leave it out.") from None
        if out.dtype.kind != "f":
            return
        strange = ~np.isfinite(out) & (out != self.nodata)
        if math.isnan(self.nodata):
            strange &= ~np.isnan(out)
        if strange.any():
            raise ProductError(
                f"Input {self.raster.path}: found {int(strange.sum())} NaN or infinite values in {out.shape[1]} x "
                f"{out.shape[2]} px from row {row}, column {col} on, expected numbers, for its nodata is "
                f"{self.nodata:g}. Replace them by nodata, or, if all are NaN, declare NaN as nodata in all inputs."
            )


def read_inputs(paths: Sequence[Path]) -> tuple[InputRaster, ...]:
    """The headers of all inputs, in the canonical order of their names.

    Raises
    ------
    RegionError
        There is none, or a file comes twice.
    ProductError
        One cannot be used.
    """
    if not paths:
        raise RegionError("Inputs: found none, expected at least one GeoTIFF. Name the files to mosaic.")
    rasters = [input_raster(path) for path in paths]
    seen: dict[tuple[int, int], Path] = {}
    for raster in rasters:
        status = raster.path.stat()
        key = status.st_dev, status.st_ino
        if key in seen:
            raise RegionError(
                f"Inputs: {raster.path} and {seen[key]} are one file, expected each once, for it would outweigh the "
                "others. Name it once."
            )
        seen[key] = raster.path
    return tuple(sorted(rasters, key=lambda raster: (raster.path.name, str(raster.path.absolute()))))


def input_names(rasters: Sequence[InputRaster]) -> tuple[str, ...]:
    """What the figures call each input: the shortest of stem, file name and path that tells them all apart."""
    forms: tuple[Callable[[Path], str], ...] = (lambda p: p.stem, lambda p: p.name, lambda p: str(p.absolute()))
    named = [tuple(form(raster.path) for raster in rasters) for form in forms]
    return next((names for names in named if len(set(names)) == len(names)), named[-1])


def expect_one_form(rasters: Sequence[InputRaster], nodata: float | None) -> float:
    """Refuse inputs whose values do not mean the same; give their nodata.

    Raises
    ------
    GridMismatchError
        dtype, nodata, number, names, scale or offset of bands differ, or are none that can be blended.
    """
    first = rasters[0]
    for raster in rasters:
        for number, (dtype, color) in enumerate(zip(raster.dtypes, raster.colors, strict=True), 1):
            if dtype not in BLENDED_DTYPES:
                raise GridMismatchError(
                    f"Input {raster.path}, band {number}: found {dtype}, expected one of {', '.join(BLENDED_DTYPES)}. "
                    "Convert it with `gdal_translate -ot`."
                )
            if color == "alpha":
                raise GridMismatchError(
                    f"Input {raster.path}, band {number}: found an alpha band, expected validity as a nodata value. "
                    "Write it into the pixels: `gdalwarp -dstnodata VALUE`, without the alpha band."
                )
        for what, found, expected, remedy in (
            ("bands", raster.bands, first.bands, "Choose the same bands with `gdal_translate -b`"),
            ("dtype", set(raster.dtypes), {first.dtypes[0]}, "Convert with `gdal_translate -ot`"),
            ("scale", raster.scales, first.scales, "Rescale with `gdal_translate -unscale`"),
            ("offset", raster.offsets, first.offsets, "Rescale with `gdal_translate -unscale`"),
        ):
            if found != expected:
                raise _differs(raster, first, what, found, expected, remedy)
        named = [(one, other) for one, other in zip(raster.names, first.names, strict=True) if one and other]
        if any(one != other for one, other in named):
            raise _differs(
                raster, first, "band descriptions", raster.names, first.names, "Bring the bands into one order"
            )
    return _common_nodata(rasters, nodata)


def _common_nodata(rasters: Sequence[InputRaster], given: float | None) -> float:
    first, dtype = rasters[0], np.dtype(rasters[0].dtypes[0])
    if given is None and dtype.kind == "f":
        given = math.nan
    declared = {
        raster.path: {given if value is None else float(value) for value in raster.nodatas} for raster in rasters
    }
    for raster in rasters:
        if None in declared[raster.path]:
            raise GridMismatchError(
                f"Input {raster.path}: declares no nodata, expected a number, for a mosaic has gaps, and every value "
                "would be blended as data. Pass nodata=NUMBER (--nodata), a value that is no data."
            )
        if {str(value) for value in declared[raster.path]} != {str(value) for value in declared[first.path]} or len(
            {str(value) for value in declared[raster.path]}
        ) > 1:
            raise _differs(
                raster, first, "nodata", raster.nodatas, first.nodatas, "Set one with `gdalwarp -srcnodata -dstnodata`"
            )
    (nodata,) = {float(value) for value in list(declared[first.path])[:1] if value is not None}
    limits = None if dtype.kind == "f" else np.iinfo(dtype)
    if limits is not None and not (nodata.is_integer() and limits.min <= nodata <= limits.max):
        raise GridMismatchError(
            f"Input {first.path}: found nodata {nodata:g}, which {dtype} cannot hold, expected {limits.min} to "
            f"{limits.max}. Pass nodata=NUMBER to files without one, or set it with `gdal_edit.py -a_nodata`."
        )
    return float(dtype.type(nodata))


def _differs(
    raster: InputRaster, first: InputRaster, what: str, found: object, expected: object, remedy: str
) -> GridMismatchError:
    return GridMismatchError(
        f"Input {raster.path}: found {what} {found}, expected {expected} as in {first.path}. {remedy}."
    )


def common_lattice(rasters: Sequence[InputRaster], crs: str | None, resolution: float | None) -> Lattice:
    """The lattice that a mosaic of some rasters lies on.

    Parameters
    ----------
    rasters
        In canonical order.
    crs, resolution
        Asked for; without either every input's pixels must lie on one lattice already.

    Returns
    -------
    lattice
        Through the pixels of the first input that has CRS and resolution of the mosaic; else through multiples of the
        resolution.

    Raises
    ------
    GridMismatchError
        Inputs differ where warping was not asked for, or the mosaic's pixels would not be squares measured in metres.
    RegionError
        `crs` or `resolution` make no sense.
    """
    warping = crs is not None or resolution is not None
    if not warping:
        _expect_one_grid(rasters)
    if resolution is not None and not (math.isfinite(resolution) and resolution > 0):
        raise RegionError(f"resolution: found {resolution}, expected a positive number of metres.")
    target = _asked_crs(crs) if crs is not None else _expect_one_crs(rasters)
    _expect_metres(target, given=crs is not None, first=rasters[0])
    size = _resolution(rasters, target) if resolution is None else float(resolution)
    for raster in rasters:
        a, b, x, d, e, y, *_ = raster.transform
        if shift_between(raster.crs, target) == (0.0, 0.0) and not b and not d and _same(a, size) and _same(-e, size):
            return Lattice(target, size, x - math.floor(x / size + 1e-9) * size, y - math.floor(y / size + 1e-9) * size)
    return Lattice(target, size, 0.0, 0.0)


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-9 * other


def _asked_crs(crs: str) -> str:
    try:
        parsed = CRS.from_user_input(crs)
    except CRSError:
        raise RegionError(f"crs: found {crs!r:.80}, expected such as EPSG:32633.") from None
    return _short(parsed.to_wkt())


def _short(wkt: str) -> str:
    """`EPSG:NUMBER` where a CRS has one."""
    code = CRS.from_user_input(wkt).to_epsg()
    return wkt if code is None else f"EPSG:{code}"


def _expect_one_crs(rasters: Sequence[InputRaster]) -> str:
    first = rasters[0]
    for raster in rasters:
        if shift_between(raster.crs, first.crs) != (0.0, 0.0) and CRS(raster.crs) != CRS(first.crs):
            raise _differs(
                raster, first, "CRS", _short(raster.crs), _short(first.crs), "Pass crs= to warp all inputs to one CRS"
            )
    return _short(first.crs)


def _expect_metres(crs: str, *, given: bool, first: InputRaster) -> None:
    parsed = CRS.from_user_input(crs)
    units = {axis.unit_name for axis in parsed.axis_info}
    if not parsed.is_projected or not units <= {"metre", "meter"}:
        where = "crs" if given else f"Input {first.path}"
        raise GridMismatchError(
            f"{where}: found {parsed.name} in {', '.join(sorted(units))}, expected a projected CRS in metres, for the "
            "feather is a width in metres. Pass crs= of one, such as the UTM zone or EPSG:6933."
        )


def _expect_one_grid(rasters: Sequence[InputRaster]) -> None:
    """Every input's pixels lie on the lattice of the first one's."""
    crs = _expect_one_crs(rasters)
    _expect_metres(crs, given=False, first=rasters[0])
    first, (size, *_) = rasters[0], rasters[0].transform
    remedy = "Pass resolution= (and crs=) to warp what does not fit"
    for raster in rasters:
        a, b, x, d, e, y, *_ = raster.transform
        if b or d or e >= 0 or a <= 0 or abs(a + e) * max(raster.height, raster.width) > ALIGNED_PX * a:
            raise GridMismatchError(
                f"Input {raster.path}: found pixels {raster.transform!r:.120}, expected squares with north up. "
                f"{remedy}."
            )
        if abs(a - size) * max(raster.height, raster.width) > ALIGNED_PX * size:
            raise _differs(raster, first, "pixels of", a, size, remedy)
        down, across = (first.transform.f - y) / size, (x - first.transform.c) / size
        fraction = max(abs(down - round(down)), abs(across - round(across)))
        if fraction > ALIGNED_PX:
            raise GridMismatchError(
                f"Input {raster.path}: its pixels lie {fraction:.3f} of a pixel beside those of {first.path}, expected "
                f"at most {ALIGNED_PX:g}. {remedy}."
            )


def _resolution(rasters: Sequence[InputRaster], crs: str) -> float:
    """The resolution of the inputs: of those that have the mosaic's CRS, else of all."""
    own = [raster for raster in rasters if shift_between(raster.crs, crs) == (0.0, 0.0)]
    sizes = {abs(raster.transform.a) for raster in own or rasters}
    metric = own or all(CRS(raster.crs).is_projected for raster in rasters)
    if max(sizes) - min(sizes) > ALIGNED_PX * 1e-3 * min(sizes) or not metric:
        raise RegionError(
            f"resolution: inputs have pixels of {', '.join(f'{size:.9g}' for size in sorted(sizes))}, expected one "
            "size in metres. Pass resolution= in metres."
        )
    return abs((own or rasters)[0].transform.a)


def placed(raster: InputRaster, name: str, lattice: Lattice) -> Placement:
    """Where an input lies on a mosaic's lattice.

    Raises
    ------
    GridMismatchError
        The mosaic's CRS has no place for it, or tears it apart.
    """
    a, b, x, d, e, y, *_ = raster.transform
    row, col = lattice.position(x, y)
    own = shift_between(raster.crs, lattice.crs) == (0.0, 0.0) and not b and not d
    edge = max(raster.height, raster.width)
    fits = max(abs(a - lattice.size), abs(-e - lattice.size)) * edge <= ALIGNED_PX * lattice.size
    if own and fits and max(abs(row - round(row)), abs(col - round(col))) <= ALIGNED_PX:
        geobox = lattice.geobox(round(row), round(col), raster.height, raster.width)
        outline = shapely.box(*geobox.boundingbox.bbox)
        return Placement(name, geobox, round(row), round(col), outline, native=True)
    step = edge * max(abs(a), abs(e)) / _OUTLINE_STEPS
    ground = shapely.segmentize(raster.geobox.extent.geom, step)
    outline = Geometry(ground, raster.crs).to_crs(lattice.crs).geom
    bounds = np.array(outline.bounds)
    if np.isfinite(bounds).all():
        (top, left), (bottom, right) = lattice.position(bounds[0], bounds[3]), lattice.position(bounds[2], bounds[1])
        row, col = math.floor(top), math.floor(left)
        height, width = math.ceil(bottom) - row, math.ceil(right) - col
        if max(height, width) * lattice.size <= _MOST_STRETCHED * _edge_m(raster):
            return Placement(name, lattice.geobox(row, col, height, width), row, col, outline, native=False)
    raise GridMismatchError(
        f"Input {raster.path}: found no place for it in one piece in {lattice.crs:.60}. Choose a crs= that holds all "
        "inputs; cut files in two at the antimeridian."
    )


def _edge_m(raster: InputRaster) -> float:
    """Longest edge in metres, roughly."""
    crs = CRS(raster.crs)
    edge = max(raster.height * abs(raster.transform.e), raster.width * abs(raster.transform.a))
    return edge * (111_320.0 if crs.is_geographic else float(crs.axis_info[0].unit_conversion_factor))


def too_narrow_overlaps(sources: Sequence[PlacedRaster], feather_px: int) -> dict[str, int]:
    """`first+second` -> width of their overlap in pixels, of pairs whose overlap is narrower than two feathers."""
    narrow = {}
    for first, second in combinations(sources, 2):
        height = min(first.row + first.height, second.row + second.height) - max(first.row, second.row)
        width = min(first.col + first.width, second.col + second.width) - max(first.col, second.col)
        if 0 < min(height, width) < 2 * feather_px:
            narrow[f"{first.name}+{second.name}"] = min(height, width)
    return narrow
