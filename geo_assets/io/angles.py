"""Angles of sun and view of a scene, from the best of what its items offer, and what was assumed on the way."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Proj, Transformer

from geo_assets.domain.errors import (
    ArchiveRefusedError,
    AssetLostError,
    CorruptProductError,
    DetectorError,
    GridMismatchError,
)
from geo_assets.domain.scene import ANGLE_LAYERS, GRANULE_METADATA, SceneItem
from geo_assets.io.safe.folder import SafeProduct
from geo_assets.io.safe.granule import GranuleMetadata, granule_metadata, nearest_known
from geo_assets.kernels.angles import Angles

NODE_STEP_M = 5_000.0
"""Between nodes, as in Sentinel-2's metadata."""

_HLS_DEGREES_PER_COUNT, _HLS_NODATA = 0.01, 40_000
"""Of the layers SZA, SAA, VZA and VAA (HLS v2 user guide)."""

_FOUR = ("sun_zenith", "sun_azimuth", "view_zenith", "view_azimuth")
_PLACE = ("first_row", "first_col", "row_step", "col_step")
_VERSION = 1

ReadBytes: TypeAlias = Callable[[SceneItem, str], bytes]
"""The whole file of an item's asset; raises `AssetLostError` where it is gone for good."""

ReadLayer: TypeAlias = Callable[[SceneItem, str, GeoBox], NDArray[Any]]
"""An item's raster on a grid, (y, x) counts as stored, nearest, its own nodata where it has none."""


@dataclass(frozen=True, slots=True, eq=False)
class AngleFinding:
    """Angles of a scene over a piece of ground, and where they come from."""

    angles: Angles | None
    """On pixels of 1 m from the ground's upper left corner, so that one finding serves every resolution; azimuths
    from the grid's upward direction. None where nothing is known. `angles_on` gives those of a raster."""
    source: str
    """As "MTD_TL.xml grids of ITEM", with what was assumed; or "none: ..." with the reason."""


def scene_angles(
    items: Sequence[SceneItem], read_bytes: ReadBytes, read_layer: ReadLayer, geobox: GeoBox
) -> AngleFinding:
    """Angles over a piece of ground, from the first source that has them.

    Parameters
    ----------
    items : sequence of SceneItem
        The parts of a scene and its companions. Asked first for granule metadata, those of L1C before the others;
        then for HLS layers; then for the mean angles that their catalogue states.
    read_bytes, read_layer : callable
        How their files are read. Asked only for assets that an item has, and no more than needed.
    geobox : GeoBox
        The ground, in a projected CRS in metres, on pixels of any size.

    Returns
    -------
    finding : AngleFinding
        A source that is lost, refused or nonsense is left aside, and told in `source`.

    Raises
    ------
    ArchiveTransientError
        A file could not be read now, and may be later.
    """
    if reason := _without_place(geobox):
        return AngleFinding(None, reason)
    aside: list[str] = []
    ordered = sorted(items, key=lambda item: item.level != "L1C")
    sources: list[tuple[SceneItem, Callable[[SceneItem], AngleFinding]]] = []
    sources += [
        (item, lambda item: _of_granule(item, read_bytes, geobox))
        for item in ordered
        if GRANULE_METADATA in item.assets
    ]
    sources += [
        (item, lambda item: _of_hls_layers(item, read_layer, geobox))
        for item in ordered
        if {"sza", "saa"} <= item.assets.keys()
    ]
    sources += [(item, lambda item: _of_catalogue(item, geobox)) for item in ordered if item.sun_zenith is not None]
    for item, angles_of in sources:
        try:
            finding = angles_of(item)
        except (AssetLostError, ArchiveRefusedError, DetectorError) as error:
            aside.append(f"left aside: {str(error).split('. ')[0]}")
        else:
            return replace(finding, source="; ".join([finding.source, *aside]))
    reason = "no granule metadata, no HLS angle layers and no view:sun_elevation with view:sun_azimuth"
    return AngleFinding(None, f"none: {'; '.join(aside) or reason}")


def safe_angles(product: SafeProduct, geobox: GeoBox) -> AngleFinding:
    """Angles of a SAFE folder over a piece of ground.

    Parameters
    ----------
    product : SafeProduct
    geobox : GeoBox
        The ground, as for `scene_angles`; a band's own grid, or a part of it.

    Raises
    ------
    AssetLostError, ArchiveRefusedError
        As for `granule_metadata`.
    """
    if reason := _without_place(geobox):
        return AngleFinding(None, reason)
    return _found_in(product.granule(), geobox, product.folder.name)


def angles_on(finding: AngleFinding, resolution_m: float) -> Angles | None:
    """Angles of the raster with pixels of `resolution_m` whose upper left corner is the ground's; None without any.

    For a window of that raster: ``angles_on(finding, resolution_m).within(row, col)``.
    """
    return None if finding.angles is None else finding.angles.on_pixels(resolution_m)


def angles_bytes(finding: AngleFinding) -> bytes:
    """A finding as JSON: the same bytes for the same finding, some 15 kB for a tile.

    Nodes are in metres from the ground's upper left corner, so that the file serves every resolution.
    """
    angles = finding.angles
    record: dict[str, Any] = {"version": _VERSION, "source": finding.source, "angles": None}
    if angles is not None:
        record["angles"] = {name: _shortest(getattr(angles, name)) for name in _FOUR}
        record["angles"] |= {name: float(getattr(angles, name)) for name in _PLACE}
        record["angles"]["view_assumed"] = angles.view_assumed
    return json.dumps(record, indent=None, separators=(",", ":"), sort_keys=True).encode()


def angles_from_bytes(data: bytes, where: str = "Angles") -> AngleFinding:
    """The finding that `angles_bytes` wrote; `CorruptProductError`, with `where` in it, for anything else."""
    try:
        record = json.loads(data)
        if record["version"] != _VERSION:
            raise ValueError(f"version {record['version']}")
        given = record["angles"]
        if given is None:
            return AngleFinding(None, str(record["source"]))
        four = {name: np.array(given[name], np.float32) for name in _FOUR}
        place = {name: float(given[name]) for name in _PLACE}
        angles = Angles(**four, **place, view_assumed=bool(given["view_assumed"]))  # type: ignore[arg-type]
        return AngleFinding(angles, str(record["source"]))
    except (ValueError, KeyError, TypeError, DetectorError, GridMismatchError) as error:
        raise CorruptProductError(
            f"{where}: found no angles of version {_VERSION} ({error!r:.120}). Run fetch again for this tile and month."
        ) from None


def _shortest(nodes: NDArray[np.float32]) -> list[list[float]]:
    """Nodes as the numbers with the fewest digits that are the same in float32."""
    return [[float(str(node)) for node in row] for row in nodes]


def _of_granule(item: SceneItem, read_bytes: ReadBytes, geobox: GeoBox) -> AngleFinding:
    where = f"MTD_TL.xml of {item.id}"
    granule = granule_metadata(read_bytes(item, GRANULE_METADATA), where)
    if item.tile is not None and granule.tile != item.tile:  # its outermost nodes would stand for the whole ground
        raise AssetLostError(f"{where}: found tile {granule.tile}, expected {item.tile}. Correct the item's link.")
    return _found_in(granule, geobox, item.id)


def _found_in(granule: GranuleMetadata, geobox: GeoBox, owner: str) -> AngleFinding:
    """Angles of a granule over the ground, which may lie anywhere in it, and in another CRS."""
    east, north = _lattice(geobox)
    if geobox.crs != granule.crs:
        east, north = Transformer.from_crs(geobox.crs, granule.crs, always_xy=True).transform(east, north)
    # Nodes are on pixels of 1 m, whose centres `at` counts from.
    sun_zenith, sun_azimuth, view_zenith, view_azimuth = (
        nodes.astype(np.float32) for nodes in granule.angles.at(granule.uly - north - 0.5, east - granule.ulx - 0.5)
    )
    angles = Angles(
        sun_zenith,
        sun_azimuth,
        view_zenith,
        view_azimuth,
        first_row=0.0,
        first_col=0.0,
        row_step=NODE_STEP_M,
        col_step=NODE_STEP_M,
        view_assumed=granule.angles.view_assumed,
    )
    means = any("mean angles" in note for note in granule.assumed)
    notes = f" ({'; '.join(granule.assumed)})" if granule.assumed else ""
    return AngleFinding(
        _towards_grid_north(angles, geobox), f"MTD_TL.xml {'angles' if means else 'grids'} of {owner}{notes}"
    )


def _of_hls_layers(item: SceneItem, read_layer: ReadLayer, geobox: GeoBox) -> AngleFinding:
    """Angles of HLS layers, read at nodes about as far apart as those of a granule."""
    height_m, width_m = geobox.shape[0] * geobox.resolution.x, geobox.shape[1] * geobox.resolution.x
    rows, cols = (max(1, round(length_m / NODE_STEP_M)) for length_m in (height_m, width_m))
    row_step, col_step = height_m / rows, width_m / cols
    corner = geobox.transform
    coarse = GeoBox((rows, cols), Affine(col_step, 0, corner.c, 0, -row_step, corner.f), geobox.crs)
    sees_view = {"vza", "vaa"} <= item.assets.keys()
    read = {
        name: _hls_degrees(read_layer(item, name, coarse), name, item.id)
        for name in (ANGLE_LAYERS if sees_view else ANGLE_LAYERS[:2])
    }
    for name, nodes in read.items():
        if np.isnan(nodes).all():
            raise AssetLostError(f"HLS layer {name} of {item.id}: found no data here, expected angles. Nothing to do.")
    filled = {name: nodes[nearest_known(~np.isnan(nodes))] for name, nodes in read.items()}
    nadir = np.zeros((rows, cols), np.float32)
    angles = Angles(
        filled["sza"],
        filled["saa"],
        filled.get("vza", nadir),
        filled.get("vaa", nadir),
        first_row=row_step / 2,
        first_col=col_step / 2,
        row_step=row_step,
        col_step=col_step,
        view_assumed=not sees_view,
    )
    assumed = "" if sees_view else " (view not stated: nadir assumed)"
    return AngleFinding(_towards_grid_north(angles, geobox), f"HLS layers of {item.id}{assumed}")


def _hls_degrees(counts: NDArray[Any], name: str, item: str) -> NDArray[np.float32]:
    """Degrees of an HLS angle layer, NaN where it has none.

    Some readers hand out its 16 bits as signed: 40,000 is then -25,536, and azimuths beyond 327.67 are below -29,000,
    where no azimuth from -180 degrees on can be.
    """
    if counts.dtype.kind not in "iu" or counts.ndim != 2:
        raise DetectorError(
            f"HLS layer {name} of {item}: found {counts.dtype} {counts.shape}, expected (y, x) counts of 16 bits. "
            "Read it as it is stored."
        )
    unsigned = counts.astype(np.int32)
    unsigned[unsigned < -18_000] += 1 << 16
    return np.where(unsigned == _HLS_NODATA, np.float32(np.nan), unsigned * np.float32(_HLS_DEGREES_PER_COUNT))


def _of_catalogue(item: SceneItem, geobox: GeoBox) -> AngleFinding:
    """The mean angles that a catalogue states (STAC `view:*`), the same everywhere."""
    if item.sun_zenith is None or item.sun_azimuth is None:
        raise DetectorError(f"view:* of {item.id}: found no sun azimuth, expected view:sun_azimuth. Nothing to do.")
    if item.view_zenith is None or (item.view_azimuth is None and item.view_zenith > 0):
        angles = Angles.constant(item.sun_zenith, item.sun_azimuth, view_assumed=True)
        stated = "not stated" if item.view_zenith is None else "without azimuth"
        assumed = f" (view {stated}: nadir assumed)"
    else:
        angles = Angles.constant(item.sun_zenith, item.sun_azimuth, item.view_zenith, item.view_azimuth or 0.0)
        assumed = ""
    middle = replace(  # one node, in the middle: there the grid's north is taken
        angles,
        first_row=geobox.shape[0] * geobox.resolution.x / 2,
        first_col=geobox.shape[1] * geobox.resolution.x / 2,
    )
    return AngleFinding(_towards_grid_north(middle, geobox), f"view:* of {item.id}{assumed}")


def _without_place(geobox: GeoBox) -> str:
    """Why angles cannot be placed on a grid; empty where they can."""
    crs = geobox.crs
    if crs is None or not crs.projected or crs.units[0] not in ("metre", "meter"):
        return f"none: the ground lies in {crs}, and angles need a projected CRS in metres"
    return ""


def _lattice(geobox: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(east, north) of nodes over the ground, the first on its upper left corner, the last on its edges or beyond."""
    rows, cols = (int(np.ceil(length * geobox.resolution.x / NODE_STEP_M)) + 1 for length in geobox.shape)
    east = geobox.transform.c + np.arange(cols) * NODE_STEP_M
    north = geobox.transform.f - np.arange(rows) * NODE_STEP_M
    return np.broadcast_to(east, (rows, cols)), np.broadcast_to(north[:, np.newaxis], (rows, cols))


def _towards_grid_north(angles: Angles, geobox: GeoBox) -> Angles:
    """Angles whose azimuths count from the grid's upward direction instead of from true north.

    In a UTM zone the two differ by up to ``3 degrees * sin(latitude)``, and more where a tile lies beyond its zone:
    at 2 degrees the shadow of a cloud 4 km away is missed by 140 m.
    """
    rows, cols = angles.sun_zenith.shape
    east = geobox.transform.c + angles.first_col + np.arange(cols) * angles.col_step
    north = geobox.transform.f - angles.first_row - np.arange(rows) * angles.row_step
    projection = Proj(geobox.crs)
    east, north = np.meshgrid(east, north)
    lon, lat = projection(east, north, inverse=True)
    turn = np.asarray(projection.get_factors(lon, lat).meridian_convergence)  # true azimuth of the grid's north
    if not np.isfinite(turn).all():
        raise DetectorError("Angles: the ground lies outside its projection. Choose a region within one UTM zone.")
    return replace(
        angles,
        sun_azimuth=_turned(angles.sun_azimuth, turn),
        view_azimuth=_turned(angles.view_azimuth, turn),
    )


def _turned(azimuth: NDArray[np.float32], turn: NDArray[np.float64]) -> NDArray[np.float32]:
    return ((azimuth - turn) % 360).astype(np.float32)
