"""Where the sun and the sensor stand over each pixel: known at a few nodes, interpolated in between."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo_assets.domain.errors import DetectorError, GridMismatchError
from geo_assets.kernels.expectations import expect_array

Degrees: TypeAlias = NDArray[np.float32]
"""Angles in degrees; NaN is never among them."""

FourAngles: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Sun zenith, sun azimuth, view zenith and view azimuth, degrees."""

SIN_INCIDENCE_PER_SIN_OFF_NADIR = 1.123
"""What the Earth's curvature adds between the satellite and the ground: 1 + height / Earth's radius, for Sentinel-2's
786 km over 6371 km."""

ANGLE_NAMES: Mapping[str, tuple[str, ...]] = {
    "sun zenith": ("sun_zenith", "sun_elevation", "view:sun_elevation"),
    "sun azimuth": ("sun_azimuth", "view:sun_azimuth"),
    "view zenith": ("view_zenith", "view:incidence_angle", "view:off_nadir"),
    "view azimuth": ("view_azimuth", "view:azimuth"),
}
"""What `angles_from` understands, by what it means."""


@dataclass(frozen=True, slots=True, eq=False)
class Angles:
    """Angles of sun and view over a raster, at the nodes of a regular grid.

    Degrees. Zeniths in [0, 90); azimuths clockwise from the raster's upward direction, which is north, seen from the
    ground towards the sun or the sensor; given in [-180, 360], kept in [0, 360).

    Raises
    ------
    DetectorError
        An angle out of range, or not a number.
    GridMismatchError
        The four grids differ in shape, or are empty; or the step between nodes is not positive.
    """

    sun_zenith: Degrees
    """(n, m) float32; 1 x 1 for a constant, here as in the three others."""
    sun_azimuth: Degrees
    """(n, m) float32."""
    view_zenith: Degrees
    """(n, m) float32; 0 is nadir."""
    view_azimuth: Degrees
    """(n, m) float32; means nothing at nadir."""
    first_row: float = 0.5
    """Where node [0, 0] lies, in pixels from the raster's upper left corner: pixel (r, c) has its centre at
    (r + 0.5, c + 0.5)."""
    first_col: float = 0.5
    row_step: float = 1.0
    """Pixels between nodes."""
    col_step: float = 1.0
    view_assumed: bool = False
    """True: nobody stated the view, nadir was assumed."""

    def __post_init__(self) -> None:
        for name in ("sun_zenith", "sun_azimuth", "view_zenith", "view_azimuth"):
            nodes = np.asarray(getattr(self, name), np.float32)
            expect_array(name, nodes, np.float32, np.shape(self.sun_zenith) if nodes.ndim == 2 else (None, None))
            if nodes.size == 0:
                raise GridMismatchError(f"Angles, {name}: found no node, expected at least one. Leave the angles out.")
            checked = _azimuth_in_range(name, nodes) if name.endswith("azimuth") else _zenith_in_range(name, nodes)
            object.__setattr__(self, name, checked)
        if not (self.row_step > 0 and self.col_step > 0 and np.isfinite([self.first_row, self.first_col]).all()):
            raise GridMismatchError(
                f"Angles: nodes start at {self.first_row, self.first_col} and are {self.row_step, self.col_step} px "
                "apart, expected finite positions and positive steps."
            )

    @classmethod
    def constant(
        cls,
        sun_zenith: float,
        sun_azimuth: float,
        view_zenith: float = 0.0,
        view_azimuth: float = 0.0,
        *,
        view_assumed: bool = False,
    ) -> "Angles":
        """The same angles everywhere."""
        return cls(
            np.full((1, 1), sun_zenith, np.float32),
            np.full((1, 1), sun_azimuth, np.float32),
            np.full((1, 1), view_zenith, np.float32),
            np.full((1, 1), view_azimuth, np.float32),
            view_assumed=view_assumed,
        )

    @classmethod
    def per_pixel(
        cls,
        sun_zenith: NDArray[Any],
        sun_azimuth: NDArray[Any],
        view_zenith: NDArray[Any],
        view_azimuth: NDArray[Any],
        *,
        view_assumed: bool = False,
    ) -> "Angles":
        """Angles of (y, x) arrays: one node at the centre of every pixel."""
        return cls(sun_zenith, sun_azimuth, view_zenith, view_azimuth, view_assumed=view_assumed)

    def at(self, rows: ArrayLike, cols: ArrayLike) -> FourAngles:
        """Angles of pixels.

        Parameters
        ----------
        rows, cols : array_like
            Pixel numbers, broadcast against each other; a fraction lies between centres, as a centroid does. Pixels
            outside the nodes have the angles of the nearest edge.

        Returns
        -------
        sun_zenith, sun_azimuth, view_zenith, view_azimuth : float64 arrays
            Bilinear between nodes. Azimuths are interpolated as unit vectors, so that 359 and 1 meet at north; where
            the vectors cancel each other the azimuth means nothing.
        """
        row, col = np.broadcast_arrays(np.asarray(rows, np.float64), np.asarray(cols, np.float64))
        up, down, downward = _between(row + 0.5, self.first_row, self.row_step, self.sun_zenith.shape[0])
        left, right, rightward = _between(col + 0.5, self.first_col, self.col_step, self.sun_zenith.shape[1])
        corners = (
            (up, left, (1 - downward) * (1 - rightward)),
            (up, right, (1 - downward) * rightward),
            (down, left, downward * (1 - rightward)),
            (down, right, downward * rightward),
        )
        return (
            _weighted_mean(self.sun_zenith, corners),
            _weighted_direction(self.sun_azimuth, corners),
            _weighted_mean(self.view_zenith, corners),
            _weighted_direction(self.view_azimuth, corners),
        )

    def within(self, row: float, col: float) -> "Angles":
        """The same angles for a raster whose upper left corner is that of this one's pixel (row, col)."""
        return replace(self, first_row=self.first_row - row, first_col=self.first_col - col)

    def on_pixels(self, size: float) -> "Angles":
        """The same angles for a raster with the same corner whose pixels are `size` times as large."""
        return replace(
            self,
            first_row=self.first_row / size,
            first_col=self.first_col / size,
            row_step=self.row_step / size,
            col_step=self.col_step / size,
        )


def angles_from(value: Angles | Mapping[str, Any] | None) -> Angles | None:
    """Angles as users write them.

    Parameters
    ----------
    value : Angles, mapping or None
        A mapping has the names of `ANGLE_NAMES`, each of the four angles at most once: numbers, or (y, x) arrays of
        the raster, degrees. The sun is needed. Without a view zenith nadir is assumed, and `view_assumed` says so.
        `view:off_nadir` is the angle at the satellite, and is converted to the one at the ground.

    Returns
    -------
    angles : Angles or None
        None for None.

    Raises
    ------
    DetectorError
        An unknown name, two names for one angle, no sun, a slanting view without azimuth, or an angle out of range.
    GridMismatchError
        Arrays that are not 2-D or differ in shape.
    """
    if value is None or isinstance(value, Angles):
        return value
    known = [name for names in ANGLE_NAMES.values() for name in names]
    if not isinstance(value, Mapping):
        raise DetectorError(
            f"Angles: found {type(value).__name__}, expected a mapping of names to degrees, such as "
            "{'sun_zenith': 31.2, 'sun_azimuth': 147.1}. Name them, since numbers can be mistaken for one another."
        )
    if unknown := [str(name) for name in value if name not in known]:
        raise DetectorError(
            f"Angles: found {', '.join(unknown)}, expected names among {', '.join(known)}. Correct or drop it."
        )
    given = {meaning: _only_one(value, names) for meaning, names in ANGLE_NAMES.items()}
    for meaning in ("sun zenith", "sun azimuth"):
        if given[meaning] is None:
            raise DetectorError(
                f"Angles: found no {meaning}, expected one of {', '.join(ANGLE_NAMES[meaning])}. "
                "Give it, or no angles at all: then cloud is found, and no shadow is matched to it."
            )
    view_zenith, view_azimuth = given["view zenith"], given["view azimuth"]
    if view_azimuth is None and view_zenith is not None and np.any(view_zenith):
        raise DetectorError(
            "Angles: found a view zenith without azimuth, expected both. Give view_azimuth (from the ground towards "
            "the sensor, clockwise from north), or leave out both: then nadir is assumed."
        )
    zeros = np.float32(0)
    four = (given["sun zenith"], given["sun azimuth"], view_zenith, view_azimuth)
    arrays = [zeros if angle is None else np.asarray(angle, np.float32) for angle in four]
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise GridMismatchError(
            f"Angles: found arrays of shapes {shapes}, expected one (y, x) for all. Bring them to the raster's grid."
        ) from None
    sun_zenith, sun_azimuth, *view = (np.broadcast_to(array, shape or (1, 1)) for array in arrays)
    return Angles(sun_zenith, sun_azimuth, view[0], view[1], view_assumed=view_zenith is None)


def _only_one(value: Mapping[str, Any], names: tuple[str, ...]) -> NDArray[Any] | None:
    """The angle that goes by one of these names, as zenith or azimuth; None where there is none."""
    given = [name for name in names if value.get(name) is not None]
    if len(given) > 1:
        raise DetectorError(f"Angles: found {' and '.join(given)}, which say the same, expected one. Leave one out.")
    if not given:
        return None
    try:
        angle = np.ma.filled(np.ma.asarray(value[given[0]], np.float64), np.nan)
    except (TypeError, ValueError):
        raise DetectorError(
            f"Angles, {given[0]}: found {value[given[0]]!r}, expected degrees: a number or a (y, x) array."
        ) from None
    if given[0].endswith("sun_elevation"):
        return np.asarray(90 - angle)
    if given[0] == "view:off_nadir":
        return ground_incidence(angle)
    return angle


def ground_incidence(off_nadir: ArrayLike) -> NDArray[np.float64]:
    """Zenith angle of the view at the ground, from the angle at the satellite; NaN beyond the horizon."""
    sine = SIN_INCIDENCE_PER_SIN_OFF_NADIR * np.sin(np.radians(np.asarray(off_nadir, np.float64)))
    return np.degrees(np.arcsin(np.where(np.abs(sine) <= 1, sine, np.nan)))


def unit_direction(azimuth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(east, north) of the unit vector that points to an azimuth in degrees."""
    radians = np.radians(np.asarray(azimuth, np.float64))
    return np.sin(radians), np.cos(radians)


def azimuth_of(east: NDArray[np.float64], north: NDArray[np.float64]) -> NDArray[np.float64]:
    """Azimuth of a vector, degrees clockwise from north in [0, 360)."""
    azimuth = np.degrees(np.arctan2(east, north)) % 360
    return np.where(azimuth == 360, 0.0, azimuth)  # -1e-16 % 360 is 360


def _zenith_in_range(name: str, nodes: Degrees) -> Degrees:
    wrong = ~((nodes >= 0) & (nodes < 90))
    if wrong.any():
        raise DetectorError(
            f"Angles, {name}: found {nodes[wrong][0]:g}, expected degrees from the zenith, 0 to below 90. "
            "Check that it is neither an elevation nor radians, and that gaps are filled."
        )
    return nodes


def _azimuth_in_range(name: str, nodes: Degrees) -> Degrees:
    wrong = ~((nodes >= -180) & (nodes <= 360))
    if wrong.any():
        raise DetectorError(
            f"Angles, {name}: found {nodes[wrong][0]:g}, expected degrees clockwise from north, 0 to 360 (or -180 to "
            "180). Check its units, and that gaps are filled."
        )
    turned = np.where(nodes < 0, nodes + np.float32(360), nodes)
    return np.where(turned >= 360, np.float32(0), turned)


def _between(
    position: NDArray[np.float64], first: float, step: float, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """The nodes before and after each position, and how far it is from the one to the other."""
    node = np.clip((position - first) / step, 0, count - 1)
    before = np.minimum(node.astype(np.intp), max(count - 2, 0))
    return before, np.minimum(before + 1, count - 1), node - before


_Corners: TypeAlias = tuple[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]], ...]


def _weighted_mean(nodes: Degrees, corners: _Corners) -> NDArray[np.float64]:
    return np.asarray(sum(weight * nodes[row, col] for row, col, weight in corners), np.float64)


def _weighted_direction(nodes: Degrees, corners: _Corners) -> NDArray[np.float64]:
    east, north = np.zeros(corners[0][2].shape), np.zeros(corners[0][2].shape)
    for row, col, weight in corners:
        to_east, to_north = unit_direction(nodes[row, col])
        east, north = east + weight * to_east, north + weight * to_north
    return azimuth_of(east, north)
