"""Metadata of one tile: `MTD_TL.xml` of a SAFE, `metadata.xml` of the cloud archives' layout.

Sentinel-2 Products Specification: angles are given at nodes 5 km apart, the first at the tile's upper left corner;
those of the view for each band and each detector of the focal plane, NaN where the detector did not look.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias
from xml.etree.ElementTree import Element

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import distance_transform_edt

from geo_assets.domain.bands import FMASK_BANDS, SENTINEL2_BANDS
from geo_assets.domain.errors import AssetLostError, DetectorError, GridMismatchError
from geo_assets.io.safe.xml import finite_number, first_element, number_of, parse_metadata, text_of, whole_number
from geo_assets.kernels.angles import Angles, azimuth_of, unit_direction

BAND_IDS: Mapping[str, str] = {str(number): name for number, name in enumerate(SENTINEL2_BANDS)}
"""`bandId` of the metadata -> stable name: 0 is B01, 7 B08, 8 B8A, 12 B12."""

TILE_IN_NAME = re.compile(r"_T(\d{2}[C-X][A-Z]{2})(?:_|$)")
"""The MGRS tile in a granule's identifier or in the name of its folder."""

_MOST_NODES = 1000
"""Along an edge; a tile has 23."""

_Nodes: TypeAlias = NDArray[np.float64]
"""(n, m) degrees; NaN where unknown."""


class _Grid(NamedTuple):
    """Directions at nodes: towards the sun or towards the sensor."""

    zenith: _Nodes
    azimuth: _Nodes
    row_step_m: float = 1.0
    col_step_m: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class GranuleMetadata:
    """What a granule's metadata tells about its grid and its angles."""

    tile: str
    """MGRS tile."""
    crs: str
    """As `EPSG:32633`."""
    ulx: float
    """Upper left corner in `crs`, metres."""
    uly: float
    sizes: Mapping[int, tuple[int, int]]
    """Pixel size in metres -> (rows, columns)."""
    angles: Angles
    """On pixels of 1 m from the upper left corner, azimuths from true north."""
    assumed: tuple[str, ...] = ()
    """What was not stated at every node, and how it was made up for; gaps filled from the nearest node are not told."""

    def geobox(self, resolution_m: int) -> GeoBox:
        """Its grid of pixels of that size; `GridMismatchError` where it has none."""
        if resolution_m not in self.sizes:
            sizes = ", ".join(str(size) for size in self.sizes)
            raise GridMismatchError(
                f"Granule of {self.tile}: found grids of {sizes} m, expected {resolution_m} m. Ask for one of those."
            )
        return GeoBox(self.sizes[resolution_m], Affine(resolution_m, 0, self.ulx, 0, -resolution_m, self.uly), self.crs)


def granule_metadata(xml: bytes, where: str, *, bands: Collection[str] = FMASK_BANDS) -> GranuleMetadata:
    """Metadata of a granule.

    Parameters
    ----------
    xml : bytes
        `MTD_TL.xml` or `metadata.xml`, of L1C or L2A, of any baseline.
    where : str
        Which file that is, for messages.
    bands : collection of str
        Stable names of the bands that are used: the view is the mean direction of these and of the detectors that
        saw a node. Nodes that none saw have the angles of the nearest one.

    Returns
    -------
    metadata : GranuleMetadata

    Raises
    ------
    AssetLostError
        No XML of a granule, or numbers that cannot be.
    ArchiveRefusedError
        XML that is not safe to open.
    """
    root = parse_metadata(xml, where)
    geocoding = first_element(root, "Tile_Geocoding", where)
    tile_angles = first_element(root, "Tile_Angles", where)
    tile_id = text_of(root, "TILE_ID", where)
    tile = TILE_IN_NAME.search(tile_id)
    if tile is None:
        raise AssetLostError(f"{where}, TILE_ID: found {tile_id!r:.80}, expected an MGRS tile in it, as _T33TVL_.")
    sun, sun_assumed = _sun(tile_angles, where)
    view, view_assumed = _view(tile_angles, frozenset(bands), where)
    position = first_element(geocoding, "Geoposition", where)
    return GranuleMetadata(
        tile=tile[1],
        crs=_crs(geocoding, where),
        ulx=number_of(position, "ULX", where),
        uly=number_of(position, "ULY", where),
        sizes=dict(sorted(_sizes(geocoding, where))),
        angles=_together(sun, view, where),
        assumed=tuple(note for note in (sun_assumed, view_assumed) if note),
    )


def _crs(geocoding: Element, where: str) -> str:
    """Sentinel-2 tiles are in UTM zones, EPSG:32601 to 32660 and 32701 to 32760."""
    crs = text_of(geocoding, "HORIZONTAL_CS_CODE", where)
    if not re.fullmatch(r"EPSG:32[67](0[1-9]|[1-5]\d|60)", crs, re.IGNORECASE):
        raise AssetLostError(f"{where}, HORIZONTAL_CS_CODE: found {crs!r:.40}, expected a UTM zone, as EPSG:32633.")
    return crs.upper()


def _sizes(geocoding: Element, where: str) -> Iterable[tuple[int, tuple[int, int]]]:
    for size in geocoding.iter("Size"):
        resolution, rows, cols = (
            whole_number(text, f"{where}, Size")
            for text in (size.get("resolution"), text_of(size, "NROWS", where), text_of(size, "NCOLS", where))
        )
        if min(resolution, rows, cols) < 1:
            raise AssetLostError(f"{where}, Size: found {rows} x {cols} pixels of {resolution} m. Fetch it again.")
        yield resolution, (rows, cols)


def _sun(tile_angles: Element, where: str) -> tuple[_Grid, str]:
    """Directions to the sun, and what was assumed; `AssetLostError` where there is none."""
    element = next(tile_angles.iter("Sun_Angles_Grid"), None)
    grid = None if element is None else _grid(element, f"{where}, Sun_Angles_Grid")
    if grid is not None and _known(grid).any():
        return _filled(grid), ""
    mean = _mean_direction(tile_angles.iter("Mean_Sun_Angle"), f"{where}, Mean_Sun_Angle")
    if mean is None:
        raise AssetLostError(f"{where}: found neither Sun_Angles_Grid nor Mean_Sun_Angle. Fetch the file again.")
    return mean, "sun: the tile's mean angles, for there is no grid"


def _view(tile_angles: Element, bands: frozenset[str], where: str) -> tuple[_Grid, str]:
    """Directions to the sensor, and what was assumed: all bands for the used ones, the tile's mean, or nadir."""

    def of_bands(name: str, wanted: Collection[str]) -> list[Element]:
        return [element for element in tile_angles.iter(name) if BAND_IDS.get(element.get("bandId", "")) in wanted]

    for wanted, note in ((bands, ""), (SENTINEL2_BANDS, "view: of all bands, for those in use have none")):
        elements = of_bands("Viewing_Incidence_Angles_Grids", wanted)
        grids = [_grid(element, f"{where}, Viewing_Incidence_Angles_Grids") for element in elements]
        merged = _merged(grids, f"{where}, Viewing_Incidence_Angles_Grids")
        if merged is not None:
            return _filled(merged), note
    for wanted in (bands, SENTINEL2_BANDS):
        mean = _mean_direction(
            of_bands("Mean_Viewing_Incidence_Angle", wanted), f"{where}, Mean_Viewing_Incidence_Angle"
        )
        if mean is not None:
            return mean, "view: the tile's mean angles, for there is no grid"
    return _Grid(np.zeros((1, 1)), np.zeros((1, 1))), "view not stated: nadir assumed"


def _together(sun: _Grid, view: _Grid, where: str) -> Angles:
    """Sun and view on one set of nodes; a mean of the tile holds at every node of the other."""
    wider = sun if sun.zenith.size > view.zenith.size else view
    for grid in (sun, view):
        if grid.zenith.size > 1 and (grid.zenith.shape != wider.zenith.shape or grid[2:] != wider[2:]):
            raise AssetLostError(
                f"{where}: found nodes of the sun {sun.zenith.shape, *sun[2:]} and of the view "
                f"{view.zenith.shape, *view[2:]}, expected the same. Fetch the file again."
            )
    four = (sun.zenith, sun.azimuth, view.zenith, view.azimuth)
    sun_zenith, sun_azimuth, view_zenith, view_azimuth = (
        np.broadcast_to(nodes, wider.zenith.shape).astype(np.float32) for nodes in four
    )
    try:
        return Angles(
            sun_zenith,
            sun_azimuth,
            view_zenith,
            view_azimuth,
            first_row=0.0,
            first_col=0.0,
            row_step=wider.row_step_m,
            col_step=wider.col_step_m,
            view_assumed=not view.zenith.any(),
        )
    except DetectorError as error:
        raise AssetLostError(f"{where}: {error}") from None


def _grid(element: Element, where: str) -> _Grid:
    zenith, azimuth = (first_element(element, name, where) for name in ("Zenith", "Azimuth"))
    steps = [tuple(number_of(angle, name, where) for name in ("ROW_STEP", "COL_STEP")) for angle in (zenith, azimuth)]
    nodes = [_nodes(angle, where) for angle in (zenith, azimuth)]
    if steps[0] != steps[1] or nodes[0].shape != nodes[1].shape or min(steps[0]) <= 0:
        raise AssetLostError(
            f"{where}: found zeniths of {nodes[0].shape} nodes, steps {steps[0]}, azimuths of {nodes[1].shape}, steps "
            f"{steps[1]}; expected the same nodes, and positive steps. Fetch the file again."
        )
    unknown = np.isnan(nodes[0]) | np.isnan(nodes[1])
    for angle in nodes:
        angle[unknown] = np.nan
    return _Grid(nodes[0], nodes[1], *steps[0])


def _nodes(angle: Element, where: str) -> _Nodes:
    """The numbers of a `Values_List`, NaN among them, rows of one length."""
    rows = [(values.text or "").split() for values in angle.iter("VALUES")]
    if not rows or not rows[0] or {len(row) for row in rows} != {len(rows[0])} or len(rows) > _MOST_NODES:
        raise AssetLostError(f"{where}, {angle.tag}: found no table of VALUES in rows of one length. Fetch it again.")
    try:
        nodes = np.array([[float(number) for number in row] for row in rows], np.float64)
    except ValueError as error:
        raise AssetLostError(f"{where}, {angle.tag}: {error}. Fetch the file again.") from None
    lowest, highest = (0, 90) if angle.tag == "Zenith" else (-180, 360)
    wrong = ~(np.isnan(nodes) | ((nodes >= lowest) & (nodes <= highest)))
    if wrong.any():
        raise AssetLostError(
            f"{where}, {angle.tag}: found {nodes[wrong][0]:g}, expected degrees from {lowest} to {highest}, or NaN. "
            "Fetch the file again."
        )
    return nodes


def _mean_direction(elements: Iterable[Element], where: str) -> _Grid | None:
    """One node with the mean of directions that are given as ZENITH_ANGLE and AZIMUTH_ANGLE; None without any."""
    pairs = [
        [finite_number(element.findtext(name), f"{where}, {name}") for name in ("ZENITH_ANGLE", "AZIMUTH_ANGLE")]
        for element in elements
    ]
    return _merged([_Grid(np.full((1, 1), zenith), np.full((1, 1), azimuth)) for zenith, azimuth in pairs], where)


def _merged(grids: list[_Grid], where: str) -> _Grid | None:
    """The mean unit vector of all that know a node; None where nobody knows any."""
    if not grids:
        return None
    if len({(grid.zenith.shape, *grid[2:]) for grid in grids}) > 1:
        raise AssetLostError(f"{where}: found grids of several shapes, expected one. Fetch the file again.")
    zenith, azimuth = (np.stack(nodes) for nodes in ([grid[0] for grid in grids], [grid[1] for grid in grids]))
    to_east, to_north = unit_direction(azimuth)
    level, up = unit_direction(zenith)
    east, north, upward = (np.nansum(part, axis=0) for part in (level * to_east, level * to_north, up))
    known = upward > 0
    if not known.any():
        return None
    return _Grid(
        np.where(known, np.degrees(np.arctan2(np.hypot(east, north), upward)), np.nan),
        np.where(known, azimuth_of(east, north), np.nan),
        *grids[0][2:],
    )


def _known(grid: _Grid) -> NDArray[np.bool_]:
    return ~np.isnan(grid.zenith)


def _filled(grid: _Grid) -> _Grid:
    """Unknown nodes as the nearest known one."""
    row, col = nearest_known(_known(grid))
    return grid._replace(zenith=grid.zenith[row, col], azimuth=grid.azimuth[row, col])


def nearest_known(known: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(row, column) of the nearest True of every element; there is at least one."""
    row, col = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return row, col
