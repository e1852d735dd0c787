"""Station 2: a coarse look at every scene: how much of the area it shows clear, and which are worth fetching."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from geo_assets.domain.arrays import BLOCK_PX, NODATA_CLASS, ClassCode, Flag
from geo_assets.domain.bands import S2CLOUDLESS_BANDS
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.domain.tables import SELECTION
from geo_assets.io.area import inside_area
from geo_assets.io.cog import open_band
from geo_assets.io.detectors import s2cloudless_cloud, s2cloudless_probability
from geo_assets.io.pictures.contact_sheet import SheetRow, contact_sheet
from geo_assets.io.pictures.layer_maps import class_map
from geo_assets.io.pictures.preview import png_bytes
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.tables import table_bytes, table_from
from geo_assets.kernels.quality import FmaskEncoding, MaskCode, fmask_codes, scl_codes
from geo_assets.kernels.selection import rank_by_area_share
from geo_assets.stations.ground import Ground, ground_of, scout_geobox
from geo_assets.stations.line import Line, Station
from geo_assets.stations.search import PARQUET, SCENE_SEARCH, read_scenes
from geo_assets.stations.units import finish_units

SELECTION_FILE = "selection.parquet"
_FOOTPRINT_MARGIN_M = 1_000.0
"""Footprints of catalogues are drawn with few corners; data may lie this far outside."""


def read_selection(product: Product) -> pd.DataFrame:
    """The table of a `scout` product; no rows if it is empty."""
    if product.manifest.status == "empty":
        return pd.DataFrame(columns=list(SELECTION.columns))
    return table_from(product.bytes(SELECTION_FILE), SELECTION)


def detectors_of(region: Region, scene: Scene) -> tuple[str, ...]:
    """The detectors that a scene's mask is made by: the region's choice, or all that the scene has input for."""
    own = scene.parts[0].assets
    possible = {
        "quality": "scl" in own,
        "s2cloudless": bool(scene.toa_parts) and set(S2CLOUDLESS_BANDS) <= set(scene.toa_parts[0].assets),
        "fmask": "fmask" in own,
    }
    if region.mask.detectors == "auto":
        return tuple(name for name, has_input in possible.items() if has_input)
    return region.mask.detectors


def _scout(line: Line, place: Place, build: Build) -> None:
    region, tile = line.region, place.tile
    assert tile is not None  # the station's scope
    scenes = read_scenes(line.products.need(Place(SCENE_SEARCH.name, tile, place.month)))
    if not scenes:
        build.empty("no scene was found")
        return
    ground = ground_of(region, tile)
    grid = scout_geobox(ground)
    jobs = {f"{scene.id}": lambda scene=scene: {"codes": _coarse_codes(line, scene, grid)} for scene in scenes}
    kept = finish_units(line, build, jobs, str(place), keep=["codes"])
    codes = {scene: arrays["codes"] for scene, arrays in kept.items()}
    inside = inside_area(ground.area, grid)
    kept_codes = _kept_codes(region)
    clear_px, valid_px, area_px = _block_counts(codes, inside, ground, grid, kept_codes)
    ranking = rank_by_area_share(
        np.array([clear_px[scene.id].sum() for scene in scenes], np.int64),
        acquired=[scene.acquired for scene in scenes],
        item_ids=[scene.id for scene in scenes],
    )
    ranked = [scenes[index] for index in ranking]
    selected = [scene.id for scene in ranked if valid_px[scene.id].sum() > 0][: region.selection.top_k]
    frame = _selection_frame(ranked, selected, ground, clear_px, valid_px, area_px)
    area = max(int(area_px.sum()), 1)
    build.metric("scenes_found", len(scenes))
    build.metric("scenes_selected", len(selected))
    build.metric("scout_pixel_m", float(grid.resolution.x))
    build.metric("clear_share_of_best", float(clear_px[ranked[0].id].sum() / area))
    of_selected, of_all = (
        _kept_anywhere([codes[scene] for scene in some], inside, kept_codes) / area for some in (selected, list(codes))
    )
    build.metric("clear_share_of_any", of_selected)
    build.metric("clear_share_left_out", of_all - of_selected)  # a larger top_k would fill it
    for scene in ranked:
        share = float(clear_px[scene.id].sum() / area)
        build.record(
            {
                "scene": scene.id,
                "outcome": "selected" if scene.id in selected else "left",
                "clear_share": share,
            }
        )
    build.put(
        "quicklook.png",
        _quicklook(ranked, selected, codes, place),
        role="overview.scout",
        media_type="image/png",
    )
    if not selected:
        build.empty("no scene has a valid pixel in the area")
        return
    build.put(SELECTION_FILE, table_bytes(frame, SELECTION), role="table.selection", media_type=PARQUET)


def _coarse_codes(line: Line, scene: Scene, grid: GeoBox) -> ClassCode:
    """(y, x) mask codes of one scene on the coarse grid."""
    detectors = detectors_of(line.region, scene)
    if "quality" in detectors:
        return scl_codes(_coarse_classes(line, scene.parts, "scl", grid, fill=0))
    if "s2cloudless" in detectors:
        bands = {name: _coarse_reflectance(line, scene.toa_parts, name, grid) for name in S2CLOUDLESS_BANDS}
        probability = s2cloudless_probability(bands)
        cloud = s2cloudless_cloud(probability, threshold=line.region.mask.threshold, average_over=0, dilation_size=0)
        codes = np.where(cloud, np.uint8(MaskCode.CLOUD), np.uint8(MaskCode.CLEAR))
        codes[np.isnan(probability)] = MaskCode.FILL
        return codes
    if "fmask" in detectors:
        return fmask_codes(
            _coarse_classes(line, scene.parts, "fmask", grid, fill=NODATA_CLASS),
            FmaskEncoding(line.region.mask.fmask_encoding),
        )
    seen = _coarse_reflectance(line, scene.parts, line.region.bands[0], grid) != np.iinfo(np.int16).min
    return np.where(seen, np.uint8(MaskCode.CLEAR), np.uint8(MaskCode.FILL))


def _coarse_classes(line: Line, parts: tuple[SceneItem, ...], name: str, grid: GeoBox, *, fill: int) -> ClassCode:
    merged = np.full(grid.shape, fill, np.uint8)
    for part in parts:
        asset = part.assets[name]
        with open_band(
            line.archive.address(asset), asset.band_index, grid, "classes", where=f"Item {part.id}, band {name}"
        ) as band:
            found = band.coarse_classes(fill=fill)
        merged = np.where(merged == fill, found, merged)
    return merged


def _coarse_reflectance(line: Line, parts: tuple[SceneItem, ...], name: str, grid: GeoBox) -> NDArray[np.int16]:
    nodata = np.int16(np.iinfo(np.int16).min)
    merged = np.full(grid.shape, nodata, np.int16)
    for part in parts:
        asset = part.assets[name]
        where = f"Item {part.id}, band {name}"
        with open_band(line.archive.address(asset), asset.band_index, grid, "reflectance", where=where) as band:
            found = band.coarse(offset_dn=part.offset_dn)
        merged = np.where(merged == nodata, found, merged)
    return merged


def _block_counts(
    codes: Mapping[str, ClassCode], inside: Flag, ground: Ground, grid: GeoBox, kept_codes: list[int]
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Clear and valid pixels of each scene, and pixels of the area, in each block of the tile's raster."""
    height, width = grid.shape
    edge_m = BLOCK_PX * ground.geobox.resolution.x
    metres = grid.resolution.x
    rows = (ground.geobox.boundingbox.top - grid.boundingbox.top + (np.arange(height) + 0.5) * metres) // edge_m
    cols = (grid.boundingbox.left - ground.geobox.boundingbox.left + (np.arange(width) + 0.5) * metres) // edge_m
    block = (rows[:, np.newaxis] * ground.active.shape[1] + cols).astype(np.int64)

    def counted(flag: Flag) -> NDArray[np.int64]:
        return np.bincount(block[flag & inside], minlength=ground.active.size).reshape(ground.active.shape)

    clear = {scene: counted(np.isin(found, kept_codes)) for scene, found in codes.items()}
    valid = {scene: counted(found != MaskCode.FILL) for scene, found in codes.items()}
    return clear, valid, counted(np.ones_like(inside))


CLASS_NAMES = {0: "clear", 1: "cloud", 2: "shadow", 3: "snow", 4: "water"}
CLASS_COLOURS = {0: (126, 158, 88), 1: (245, 245, 245), 2: (58, 58, 70), 3: (140, 210, 240), 4: (40, 96, 170)}
"""How pictures name and paint `MaskCode`."""

_LEGEND = "green clear, white cloud, dark shadow, pale snow, blue water, grey no data"


def _kept_codes(region: Region) -> list[int]:
    """The mask codes that the composite takes."""
    dropped = {MaskCode.FILL, *(MaskCode[name.upper()] for name in region.mask.drop)}
    return [int(code) for code in MaskCode if code not in dropped]


def _kept_anywhere(codes: Iterable[ClassCode], inside: Flag, kept_codes: list[int]) -> int:
    """Pixels of the area that at least one of the scenes shows clear."""
    clear = np.zeros_like(inside)
    for found in codes:
        clear |= np.isin(found, kept_codes)
    return int((clear & inside).sum())


def _selection_frame(
    ranked: list[Scene],
    selected: list[str],
    ground: Ground,
    clear_px: Mapping[str, NDArray[np.int64]],
    valid_px: Mapping[str, NDArray[np.int64]],
    area_px: NDArray[np.int64],
) -> pd.DataFrame:
    area = max(int(area_px.sum()), 1)
    rows = []
    for rank, scene in enumerate(ranked):
        reach = Geometry(scene.footprint, "EPSG:4326").to_crs(str(ground.geobox.crs)).geom.buffer(_FOOTPRINT_MARGIN_M)
        for row, col in ground.blocks():
            extent = shapely.box(*ground.window_geobox(ground.block_window(row, col)).boundingbox.bbox)
            touched = bool(valid_px[scene.id][row, col]) or bool(reach.intersects(extent))
            rows.append(
                {
                    "scene": scene.id,
                    "rank": rank,
                    "selected": scene.id in selected,
                    "clear_share": clear_px[scene.id].sum() / area,
                    "valid_share": valid_px[scene.id].sum() / area,
                    "block_row": row,
                    "block_col": col,
                    "block_clear_share": clear_px[scene.id][row, col] / max(int(area_px[row, col]), 1),
                    "serves": scene.id in selected and touched,
                }
            )
    return pd.DataFrame(rows, columns=list(SELECTION.columns))


def _quicklook(ranked: list[Scene], selected: list[str], codes: Mapping[str, ClassCode], place: Place) -> bytes:
    pictures = [
        (
            f"{rank}. {scene.id}{'' if scene.id in selected else ' (left)'}",
            class_map(codes[scene.id], CLASS_NAMES, colours=CLASS_COLOURS, legend=False),
        )
        for rank, scene in enumerate(ranked, start=1)
    ]
    row = SheetRow("Scenes by clear share of the area", pictures, columns=4)
    return png_bytes(contact_sheet([row], title=str(place), subtitle=_LEGEND))


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "resolution": region.resolution,
        "feather_m": region.mosaic.feather_m,
        "top_k": region.selection.top_k,
        "detectors": region.mask.detectors,
        "drop": sorted(region.mask.drop),
        "threshold": region.mask.threshold,
        "fmask_encoding": region.mask.fmask_encoding,
    }


SCOUT = Station(
    name="scout",
    version="1",
    scope="tile_month",
    summary="A coarse look at every scene: clear share of the area, rank, and the scenes and blocks worth fetching.",
    settings=_settings,
    upstream=lambda line, place: (Place(SCENE_SEARCH.name, place.tile, place.month),),
    build=_scout,
)
