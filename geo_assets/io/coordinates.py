"""Where the pixels of one grid lie in another: by a shift where the projections are one, else by PROJ."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.reprojection import Positions, lattice_positions

TOLERANCE_PX = 1e-3
"""How far an interpolated position may lie from PROJ's, in pixels of the source."""

_STEP_PX = 32
"""Target pixels between the places that PROJ is asked for."""
_UNKNOWN_DATUM = re.compile(r"unknown|unnamed|not.specified", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Projection:
    """A projected CRS less its false easting and northing."""

    method: str
    parameters: tuple[tuple[str, float], ...]
    ellipsoid: tuple[float, float]
    meridian: float
    axes: tuple[tuple[str, float], ...]


def shift_between(crs_a: Any, crs_b: Any) -> tuple[float, float] | None:
    """What turns coordinates of one CRS into those of another, where they are one projection.

    HLS writes tiles of the southern hemisphere in the northern UTM zone with negative northings, we in the southern
    one: their pixels are the same, and 10,000,000 m apart.

    Parameters
    ----------
    crs_a, crs_b
        Anything that says what CRS it is: text, or an object of `odc.geo`, rasterio or pyproj.

    Returns
    -------
    (dx, dy) or None
        Metres to add to coordinates of `crs_a`; (0, 0) for one CRS under two descriptions. None where more than
        a false easting or northing differs. A datum that a file leaves unnamed counts as that of the other CRS with
        the same ellipsoid, as PROJ has it.

    Raises
    ------
    GridMismatchError
        One of them is no CRS.
    """
    one, one_false, one_datum = _taken_apart(_text(crs_a))
    other, other_false, other_datum = _taken_apart(_text(crs_b))
    if one is None or one != other:
        return None
    if one_datum != other_datum and "" not in (one_datum, other_datum):
        return None
    return other_false[0] - one_false[0], other_false[1] - one_false[1]


def grid_in_crs_of(crs: Any, grid: GeoBox) -> GeoBox:
    """A grid described in another CRS, where that is the same projection; as it is where it is not.

    The pixels stay where they are: only the origin's numbers change, by `shift_between`.

    Parameters
    ----------
    crs
        Of a file, say; anything that says what CRS it is.
    grid
        In its own CRS.
    """
    shift = shift_between(grid.crs, crs)
    if shift is None:
        return grid
    return GeoBox(grid.shape, Affine.translation(*shift) * grid.transform, _text(crs))


def source_positions(target: GeoBox, crs: Any, transform: Affine) -> tuple[Positions, Positions]:
    """Where the centres of a grid's pixels lie in another raster.

    Parameters
    ----------
    target : GeoBox
        Grid of (height, width) pixels whose rows and columns run along the axes of its CRS. A large one is better
        asked for in parts: the answer holds 16 bytes for each pixel.
    crs, transform
        Those of the raster. `crs` is anything that says what CRS it is, `transform` leads from its pixels to its
        coordinates.

    Returns
    -------
    rows, cols : (height, width) float64
        In pixels from the raster's upper left corner, as `kernels.reprojection` wants them; not finite where the
        other projection has no such place.

    Raises
    ------
    GridMismatchError
        A rotated target, a transform that cannot be inverted, or CRSs between which PROJ knows no way.

    Notes
    -----
    One projection in both: a shift, exact. Else PROJ is asked for a lattice of places that is anchored in the
    target's CRS, not in the target, and a cubic in between: a pixel has the same position, to the last bit, in
    whatever part of a grid it is asked for. In the middle of each cell, where a cubic is worst, PROJ is asked
    again; all pixels of a cell that is off by more than `TOLERANCE_PX` there, as along the antimeridian, are asked
    for one by one.
    """
    if target.transform.b or target.transform.d:
        raise GridMismatchError(
            f"Target grid: found rotated rows ({target.transform!r}), expected them along the axes."
        )
    if not transform.determinant:
        raise GridMismatchError(f"Raster's transform: found {transform!r}, expected one that can be inverted.")
    to_pixels = ~transform
    height, width = target.shape
    xs = target.transform.c + np.arange(0.5, width, dtype=np.float64) * target.transform.a
    ys = target.transform.f + np.arange(0.5, height, dtype=np.float64) * target.transform.e
    shift = shift_between(target.crs, crs)
    if shift is not None:
        return _pixels(to_pixels, *np.meshgrid(xs + shift[0], ys + shift[1]))
    transformer = _transformer(_text(target.crs), _text(crs))
    return _Lattice(transformer, to_pixels, xs, ys, (abs(target.transform.a), abs(target.transform.e))).positions()


class _Lattice:
    """Places `_STEP_PX` target pixels apart round a target's pixels, and their positions in the raster."""

    def __init__(
        self,
        transformer: Transformer,
        to_pixels: Affine,
        xs: NDArray[np.float64],
        ys: NDArray[np.float64],
        pixel: tuple[float, float],
    ) -> None:
        self._transformer, self._to_pixels, self._xs, self._ys = transformer, to_pixels, xs, ys
        self._step_x, self._step_y = pixel[0] * _STEP_PX, pixel[1] * _STEP_PX
        self._first_x, count_x = _nodes_round(xs / self._step_x)
        self._first_y, count_y = _nodes_round(ys / self._step_y)
        self._node_x, self._node_y = np.arange(count_x, dtype=np.float64), np.arange(count_y, dtype=np.float64)
        self._rows, self._cols = self._asked(self._node_x, self._node_y)

    def positions(self) -> tuple[Positions, Positions]:
        """(y, x) rows and columns in the source; exact, not interpolated, in cells that the lattice misses."""
        at_x, at_y = self._xs / self._step_x - self._first_x, self._ys / self._step_y - self._first_y
        rows, cols = lattice_positions(self._rows, at_y, at_x), lattice_positions(self._cols, at_y, at_x)
        wrong = self._wrong_cells()
        if wrong.any():
            row, col = np.nonzero(wrong[np.ix_(np.floor(at_y).astype(np.intp) - 1, np.floor(at_x).astype(np.intp) - 1)])
            rows[row, col], cols[row, col] = self._exact(self._xs[col], self._ys[row])
        return rows, cols

    def _wrong_cells(self) -> NDArray[np.bool_]:
        """(y, x): True where a cell between inner nodes misses PROJ's answer in its middle."""
        middle_x, middle_y = self._node_x[1:-2] + 0.5, self._node_y[1:-2] + 0.5
        rows, cols = self._asked(middle_x, middle_y)
        off_rows = np.abs(lattice_positions(self._rows, middle_y, middle_x) - rows)
        off_cols = np.abs(lattice_positions(self._cols, middle_y, middle_x) - cols)
        wrong: NDArray[np.bool_] = ~(np.maximum(off_rows, off_cols) <= TOLERANCE_PX)
        return wrong

    def _asked(self, at_x: NDArray[np.float64], at_y: NDArray[np.float64]) -> tuple[Positions, Positions]:
        grid_x, grid_y = np.meshgrid((at_x + self._first_x) * self._step_x, (at_y + self._first_y) * self._step_y)
        return self._exact(grid_x, grid_y)

    def _exact(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Positions, Positions]:
        return _pixels(self._to_pixels, *self._transformer.transform(x, y))


def _nodes_round(places: NDArray[np.float64]) -> tuple[int, int]:
    """First node and number of nodes such that every place has two nodes on either side."""
    first = int(np.floor(places.min())) - 1
    return first, int(np.floor(places.max())) + 3 - first


def _pixels(to_pixels: Affine, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Positions, Positions]:
    with np.errstate(invalid="ignore"):  # infinity where the projection has no such place
        cols = to_pixels.a * x + to_pixels.b * y + to_pixels.c
        rows = to_pixels.d * x + to_pixels.e * y + to_pixels.f
    return rows, cols


def _text(crs: Any) -> str:
    """A CRS as text that pyproj reads, and that can be remembered."""
    text = crs if isinstance(crs, str) else crs.to_wkt() if hasattr(crs, "to_wkt") else str(crs)
    return str(text)


@lru_cache(maxsize=64)
def _parsed(text: str) -> CRS:
    try:
        return CRS.from_user_input(text)
    except ProjError:
        raise GridMismatchError(f"CRS: found {text!r:.200}, expected one that PROJ knows.") from None


@lru_cache(maxsize=64)
def _taken_apart(text: str) -> tuple[_Projection | None, tuple[float, float], str]:
    """A CRS as projection, false easting and northing, and datum ("" where unnamed); None for one not projected."""
    crs = _parsed(text)
    if not crs.is_projected or crs.coordinate_operation is None or crs.ellipsoid is None or crs.datum is None:
        return None, (0.0, 0.0), ""
    values = {parameter.name: float(parameter.value) for parameter in crs.coordinate_operation.params}
    false = values.pop("False easting", 0.0), values.pop("False northing", 0.0)
    meridian = crs.prime_meridian.longitude if crs.prime_meridian is not None else 0.0
    projection = _Projection(
        crs.coordinate_operation.method_name,
        tuple(sorted((name, round(value, 9)) for name, value in values.items())),
        (crs.ellipsoid.semi_major_metre, round(crs.ellipsoid.inverse_flattening, 9)),
        meridian,
        tuple((axis.direction, axis.unit_conversion_factor) for axis in crs.axis_info),
    )
    datum = crs.datum.name.removesuffix(" ensemble").lower()
    return projection, false, "" if _UNKNOWN_DATUM.search(datum) else datum


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Transformer:
    """PROJ's way from one CRS to another, x before y; pyproj gives every thread its own behind it."""
    try:
        return Transformer.from_crs(_parsed(source), _parsed(target), always_xy=True)
    except ProjError:
        raise GridMismatchError(
            f"CRS: found no way from {source!r:.200} to {target!r:.200}. Choose an output CRS of the same body."
        ) from None
