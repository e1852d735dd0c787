"""Station 2: a coarse look at every scene: how much of the area it shows clear, and which are worth fetching."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import JsonValue

from geo_assets.domain.arrays import BLOCK_PX, NODATA_CLASS, NODATA_REFLECTANCE, ClassCode, ReflectanceCount
from geo_assets.domain.bands import S2CLOUDLESS_BANDS
from geo_assets.domain.errors import ArchiveError, AssetLostError
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.domain.tables import OFFSETS, SELECTION
from geo_assets.io.building import without_secrets
from geo_assets.io.cog_writer import RasterBand, write_cog
from geo_assets.io.detectors.s2cloudless import S2Cloudless
from geo_assets.io.manifest import LOST
from geo_assets.io.pictures.contact_sheet import SheetRow, contact_sheet
from geo_assets.io.pictures.layer_maps import class_map
from geo_assets.io.pictures.preview import png_bytes
from geo_assets.io.products import Build, Place, Product
from geo_assets.io.rasters import read_window
from geo_assets.io.tables import table_bytes, table_from
from geo_assets.kernels.detection import DetectorInput, detected
from geo_assets.kernels.quality import MaskCode
from geo_assets.stations.detection import (
    EXTERNAL_FMASK,
    FMASK,
    QUALITY,
    S2CLOUDLESS,
    codes_of_layers,
    fmask_file_codes,
    quality_layers,
    scouted_by,
)
from geo_assets.stations.ground import Ground, ground_of
from geo_assets.stations.item_files import ItemFiles, LostBandError
from geo_assets.stations.line import Line, Station
from geo_assets.stations.offset_findings import is_tested
from geo_assets.stations.offsets import (
    Findings,
    find_offsets,
    findings_from,
    items_with_offset,
    offsets_frame,
)
from geo_assets.stations.search import PARQUET, SCENE_SEARCH, read_scenes
from geo_assets.stations.selection import Choice, CoarseLook, choice_of, choice_settings
from geo_assets.stations.units import GEOTIFF, UnitArrays, finish_units

SELECTION_FILE, OFFSETS_FILE, COARSE_FILE = "selection.parquet", "offsets.parquet", "coarse.tif"

_FEWEST_PX = 2_000
"""A look at fewer pixels of the area does not rank scenes well; a finer one is taken instead."""

_FOREST_PIXEL_M = S2Cloudless.resolution_m[1]
"""Where s2cloudless has to scout, it does so on the coarsest pixels that it is made for: ten bands are read for it."""

Withdrawals = dict[str, ArchiveError]
"""Id of a scene that cannot be used -> why: a lost file, or an offset that nobody knows."""


def read_selection(product: Product) -> pd.DataFrame:
    """The table of a `scout` product; no rows if it is empty."""
    if product.manifest.status == "empty":
        return pd.DataFrame(columns=list(SELECTION.columns))
    return table_from(product.bytes(SELECTION_FILE), SELECTION)


def read_offsets(product: Product) -> Findings:
    """What a `scout` product, not an empty one, found out about offsets: item id -> finding."""
    return findings_from(table_from(product.bytes(OFFSETS_FILE), OFFSETS))


def read_look(line: Line, product: Product) -> CoarseLook:
    """The coarse look of a `scout` product that is not empty, without the scenes that it had to withdraw."""
    place = product.place
    assert place.tile is not None  # the station's scope
    searched = line.products.need(Place(SCENE_SEARCH.name, place.tile, place.month))
    seen = set(read_selection(product)["scene"])
    scenes = tuple(scene for scene in read_scenes(searched) if scene.id in seen)
    stack = read_window(product.path(COARSE_FILE), slice(None), slice(None))
    codes = {scene.id: plane for scene, plane in zip(scenes, stack, strict=True)}
    record = product.manifest.grid
    assert record is not None  # `_scout` says where its look lies
    grid = GeoBox(record.shape, Affine(*record.transform), record.crs)
    return CoarseLook(ground_of(line.region, place.tile), grid, scenes, codes)


def settled_choice(
    line: Line,
    build: Build,
    place: Place,
    files: ItemFiles,
    look: CoarseLook,
    findings: Findings,
    withdrawn: Withdrawals,
) -> Choice:
    """The choice among scenes that are not withdrawn, and whose counts are understood; others join them.

    Offsets are looked for in chosen scenes alone. Where one has to go, the choice is made again without it.
    """
    while True:
        choice = choice_of(look, line.region, without=withdrawn)
        setbacks = find_offsets(line, build, place, files, choice.selected, findings)
        if not setbacks:
            return choice
        withdrawn.update(setbacks)


def withdrawal_row(scene: str, error: ArchiveError) -> dict[str, JsonValue]:
    """The ledger's row of a scene that had to go."""
    if isinstance(error, LostBandError):
        return {
            "outcome": LOST,
            "scene": scene,
            "item": error.item,
            "band": error.band,
            "href": error.href,
            "error": without_secrets(str(error)),
        }
    return {"outcome": "excluded", "scene": scene, "reason": str(error)}


def expect_some_left(line: Line, place: Place, withdrawn: Withdrawals, left: Collection[Scene]) -> None:
    """Refuse to go on when scenes there were, and every one of them had to go.

    Raises
    ------
    AssetLostError
        A file of one of them is lost.
    ArchiveError
        Nobody knows their offsets.
    """
    if left or not withdrawn:
        return
    errors = [error for _, error in sorted(withdrawn.items())]
    first = next((error for error in errors if isinstance(error, AssetLostError)), errors[0])
    raise (AssetLostError if isinstance(first, AssetLostError) else ArchiveError)(
        f"Region {line.region.name}, {place}: none of its scenes can be used ({', '.join(sorted(withdrawn))}). "
        f"{without_secrets(str(first))}"
    )


def _scout(line: Line, place: Place, build: Build) -> None:
    region, tile = line.region, place.tile
    assert tile is not None  # the station's scope
    scenes = read_scenes(line.products.need(Place(SCENE_SEARCH.name, tile, place.month)))
    if not scenes:
        build.empty("no scene was found")
        return
    ground, files = ground_of(region, tile), ItemFiles(line.archive, build.meter)
    grid = coarse_grid(region, ground, scenes)
    build.lies_on(grid)
    findings: Findings = {}
    withdrawn = find_offsets(line, build, place, files, _by_reflectance(region, scenes), findings)
    usable = [scene for scene in scenes if scene.id not in withdrawn]
    codes = _coarse_codes(line, build, place, _Looking(region, files, grid, findings), usable, withdrawn)
    look = CoarseLook(ground, grid, tuple(scene for scene in usable if scene.id in codes), codes)
    choice = settled_choice(line, build, place, files, look, findings, withdrawn)
    expect_some_left(line, place, withdrawn, choice.ranked)
    _put_metrics(build, grid, len(scenes), choice)
    unjudged = {scene.id for scene in choice.ranked if scouted_by(region, scene) is None}
    build.metric("scenes_unjudged", len(unjudged))
    _record(build, region, choice, findings, withdrawn)
    build.put(
        "quicklook.png", _quicklook(choice, codes, unjudged, place), role="overview.scout", media_type="image/png"
    )
    if not choice.selected:
        build.empty("no scene has a valid pixel in the area")
        return
    frame = _selection_frame(choice, ground)
    build.put(SELECTION_FILE, table_bytes(frame, SELECTION), role="table.selection", media_type=PARQUET)
    found = offsets_frame([findings[item.id] for scene in choice.selected for item in items_with_offset(region, scene)])
    build.put(OFFSETS_FILE, table_bytes(found, OFFSETS), role="table.offsets", media_type=PARQUET)
    left = [scene for scene in look.scenes if scene.id not in withdrawn]
    _put_codes(line, build, grid, {scene.id: codes[scene.id] for scene in left})


def coarse_grid(region: Region, ground: Ground, scenes: Collection[Scene]) -> GeoBox:
    """Pixels `scout_factor` times as large as the region's, round the area on the tile; finer where it is small."""
    metres, factor = ground.geobox.resolution.x, region.selection.scout_factor
    if any(scouted_by(region, scene) == S2CLOUDLESS for scene in scenes):
        factor = int(_FOREST_PIXEL_M // metres)
    while factor > 1 and ground.area.area < _FEWEST_PX * (factor * metres) ** 2:
        factor //= 2
    base = ground.geobox.zoom_out(factor)
    west, south, east, north = ground.area.bounds
    left, top, size = base.boundingbox.left, base.boundingbox.top, factor * metres
    height, width = base.shape
    rows = slice(max(0, int((top - north) // size)), min(height, int(-(-(top - south) // size))))
    cols = slice(max(0, int((west - left) // size)), min(width, int(-(-(east - left) // size))))
    return base[rows, cols]


def _by_reflectance(region: Region, scenes: Collection[Scene]) -> list[Scene]:
    """The scenes that no class layer judges: their counts are looked at themselves, so offsets must be known first."""
    return [scene for scene in scenes if scouted_by(region, scene) not in (QUALITY, EXTERNAL_FMASK)]


def _coarse_codes(
    line: Line, build: Build, place: Place, looking: "_Looking", scenes: Collection[Scene], withdrawn: Withdrawals
) -> dict[str, ClassCode]:
    """Scene id -> (y, x) mask codes on the coarse grid; scenes with a lost file join `withdrawn`."""
    jobs = {f"look/{scene.id}": partial(looking.codes, scene) for scene in scenes}
    lost: dict[str, ArchiveError] = {}
    kept = finish_units(line, build, jobs, str(place), keep=["codes"], setbacks=lost)
    withdrawn.update({key.removeprefix("look/"): error for key, error in lost.items()})
    return {key.removeprefix("look/"): arrays["codes"] for key, arrays in kept.items()}


@dataclass(frozen=True, slots=True)
class _Looking:
    """How scenes are looked at coarsely."""

    region: Region
    files: ItemFiles
    grid: GeoBox
    findings: Findings

    def codes(self, scene: Scene) -> UnitArrays:
        """`codes`: (y, x) mask codes of one scene on the coarse grid."""
        return {"codes": self._codes(scene)}

    def _codes(self, scene: Scene) -> ClassCode:
        judge = scouted_by(self.region, scene)
        if judge == QUALITY:
            return codes_of_layers(scene, self._classes(scene, quality_layers(self.region.bands, scene.parts[0])))
        if judge == EXTERNAL_FMASK:
            return fmask_file_codes(self.region, self._classes(scene, (FMASK,))[0])
        if judge == S2CLOUDLESS:
            return self._detected(scene)
        seen = self._reflectance(scene.parts, self.region.bands[0]) != NODATA_REFLECTANCE
        return np.where(seen, np.uint8(MaskCode.CLEAR), np.uint8(MaskCode.FILL))

    def _detected(self, scene: Scene) -> ClassCode:
        """By s2cloudless, neither smoothed nor dilated: disks of pixels as large as these would cover everything."""
        bands = {name: self._reflectance(scene.toa_parts, name) for name in S2CLOUDLESS_BANDS}
        valid = np.logical_and.reduce([band != NODATA_REFLECTANCE for band in bands.values()])
        if not valid.any():
            return np.full(valid.shape, NODATA_CLASS, np.uint8)
        detector = S2Cloudless(threshold=self.region.mask.threshold, average_over=0, dilation_size=0)
        seen = DetectorInput(
            bands=bands,
            valid=valid,
            angles=None,
            resolution_m=float(self.grid.resolution.x),
            geobox=self.grid,
            scene=scene.id,
        )
        return detected(detector, seen).codes

    def _classes(self, scene: Scene, layers: tuple[str, ...]) -> ClassCode:
        """(layer, y, x); 255 where no part has data."""
        merged = np.full((len(layers), *self.grid.shape), NODATA_CLASS, np.uint8)
        for part in scene.parts:
            found = np.empty_like(merged)
            for plane, name in zip(found, layers, strict=True):
                with self.files.opened(part, name, self.grid, "classes") as band:
                    plane[:] = band.coarse_classes(fill=NODATA_CLASS)
            merged = np.where((merged == NODATA_CLASS).any(axis=0), found, merged)
        return merged

    def _reflectance(self, parts: tuple[SceneItem, ...], name: str) -> ReflectanceCount:
        merged = np.full(self.grid.shape, NODATA_REFLECTANCE, np.int16)
        for part in parts:
            with self.files.opened(part, name, self.grid, "reflectance") as band:
                found = band.coarse(offset_dn=self.findings[part.id].applied_dn)
            merged = np.where(merged == NODATA_REFLECTANCE, found, merged)
        return merged


def _put_metrics(build: Build, grid: GeoBox, found: int, choice: Choice) -> None:
    area = max(int(choice.area_px.sum()), 1)
    best = choice.clear_px[choice.ranked[0].id].sum() if choice.ranked else 0
    build.metric("scenes_found", found)
    build.metric("scenes_selected", len(choice.selected))
    build.metric("scout_pixel_m", float(grid.resolution.x))
    build.metric("clear_share_of_best", float(best / area))
    build.metric("clear_share_of_any", choice.clear_by_selected / area)
    # What only scenes show that were left out: a larger top_k, or max_k, would fill it.
    build.metric("clear_share_left_out", (choice.clear_by_any - choice.clear_by_selected) / area)


def _record(build: Build, region: Region, choice: Choice, findings: Findings, withdrawn: Withdrawals) -> None:
    """Ledger rows: what became of every scene, and what pixels say of the offsets that are used."""
    area = max(int(choice.area_px.sum()), 1)
    for scene in choice.ranked:
        outcome = "selected" if scene in choice.selected else "left"
        share = float(choice.clear_px[scene.id].sum() / area)
        build.record({"scene": scene.id, "outcome": outcome, "clear_share": share})
    tested = [item for scene in choice.selected for item in items_with_offset(region, scene) if is_tested(item)]
    for item in tested:
        build.record({"outcome": "offset tested", **findings[item.id].row()})
    build.metric("offsets_tested", len(tested))
    build.metric("offsets_corrected", sum(findings[item.id].disagrees for item in tested))
    for scene_id, error in withdrawn.items():
        build.record(withdrawal_row(scene_id, error))
    build.metric("scenes_withdrawn", len(withdrawn))


def _put_codes(line: Line, build: Build, grid: GeoBox, codes: Mapping[str, ClassCode]) -> None:
    """The coarse look itself, one band per scene in order of time: what another choice can be made by."""
    stack = np.stack(list(codes.values()))

    def block(row: int, col: int) -> NDArray[np.uint8]:
        top, left = row * BLOCK_PX, col * BLOCK_PX
        return stack[:, top : top + BLOCK_PX, left : left + BLOCK_PX]

    path = build.scratch(COARSE_FILE)
    bands = [RasterBand(scene) for scene in codes]
    write_cog(
        path, grid, np.uint8, NODATA_CLASS, bands, block, overviews="nearest", threads=line.threads, block_px=BLOCK_PX
    )
    build.put(COARSE_FILE, path, role="mask.coarse", media_type=GEOTIFF)


CLASS_NAMES = {0: "clear", 1: "cloud", 2: "shadow", 3: "snow", 4: "water"}
CLASS_COLOURS = {0: (126, 158, 88), 1: (245, 245, 245), 2: (58, 58, 70), 3: (140, 210, 240), 4: (40, 96, 170)}
"""How pictures name and paint `MaskCode`."""

_LEGEND = "green clear, white cloud, dark shadow, pale snow, blue water, grey no data"


def _selection_frame(choice: Choice, ground: Ground) -> pd.DataFrame:
    area = max(int(choice.area_px.sum()), 1)
    nowhere = np.zeros_like(ground.active)
    rows = []
    for rank, scene in enumerate(choice.ranked):
        clear, valid = choice.clear_px[scene.id], choice.valid_px[scene.id]
        serves = choice.serves.get(scene.id, nowhere)
        for row, col in ground.blocks():
            rows.append(
                {
                    "scene": scene.id,
                    "rank": rank,
                    "selected": scene in choice.selected,
                    "clear_share": clear.sum() / area,
                    "valid_share": valid.sum() / area,
                    "block_row": row,
                    "block_col": col,
                    "block_clear_share": clear[row, col] / max(int(choice.area_px[row, col]), 1),
                    "serves": bool(serves[row, col]),
                }
            )
    return pd.DataFrame(rows, columns=list(SELECTION.columns))


def _quicklook(choice: Choice, codes: Mapping[str, ClassCode], unjudged: Collection[str], place: Place) -> bytes:
    """Classes of every scene; of an unjudged one, for which no detector has a coarse look, only where it has data."""
    pictures = [
        (
            f"{rank}. {scene.id}{'' if scene in choice.selected else ' (left)'}"
            f"{' (not judged)' if scene.id in unjudged else ''}",
            class_map(codes[scene.id], CLASS_NAMES, colours=CLASS_COLOURS, legend=False),
        )
        for rank, scene in enumerate(choice.ranked, start=1)
    ]
    row = SheetRow("Scenes by clear share of the area", pictures, columns=4)
    return png_bytes(contact_sheet([row], title=str(place), subtitle=_LEGEND))


def _settings(region: Region) -> Mapping[str, Any]:
    return {
        "area": shapely.to_wkt(region.geometry, rounding_precision=9),
        "resolution": region.resolution,
        "feather_m": region.mosaic.feather_m,
        "bands": list(region.bands),
        "selection": choice_settings(region),
        "scout_factor": region.selection.scout_factor,
        "detectors": region.mask.detectors,
        "threshold": region.mask.threshold,
        "fmask_encoding": region.mask.external_fmask.encoding if region.mask.external_fmask else None,
    }


SCOUT = Station(
    name="scout",
    version="3",
    scope="tile_month",
    summary="A coarse look at every scene: clear share of the area, rank, and the scenes and blocks worth fetching.",
    settings=_settings,
    upstream=lambda line, place: (Place(SCENE_SEARCH.name, place.tile, place.month),),
    build=_scout,
)
